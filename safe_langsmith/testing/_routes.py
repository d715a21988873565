"""Find the endpoint of a request, let access decide, and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.routing import compile_path

from safe_langsmith.testing import (
    _bodies,
    _datasets,
    _organization,
    _prompts,
    _tracing,
)
from safe_langsmith.testing._access import Refused, decide, error
from safe_langsmith.testing._endpoint import Call, Endpoint, RequestError

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from safe_langsmith.testing._records import Record, Records
    from safe_langsmith.testing._world import World

_ENDPOINTS: tuple[tuple[re.Pattern[str], Endpoint], ...] = tuple(
    (compile_path(endpoint.path)[0], endpoint)
    for endpoint in (
        *_organization.ENDPOINTS,
        *_tracing.ENDPOINTS,
        *_datasets.ENDPOINTS,
        *_prompts.ENDPOINTS,
    )
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in, its path without the deployment's prefix."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def respond(
    request: Request, world: World, records: Records, info: Record
) -> tuple[int, bytes]:
    """Answer one request. Only the endpoint of a granted request changes anything."""
    fitting = [(m, e) for p, e in _ENDPOINTS if (m := p.match(request.path))]
    path = request.path
    if not fitting:
        return 404, b'{"detail":"Not Found"}'
    match, endpoint = next(
        ((m, e) for m, e in fitting if e.method == request.method), (None, None)
    )
    if match is None or endpoint is None:
        return 405, b'{"detail":"Method Not Allowed"}'
    access = decide(request.headers, path, endpoint.needs, endpoint.permission, world)
    if isinstance(access, Refused):
        return access.status, access.body
    try:
        call = Call(
            path=path,
            params=match.groupdict(),
            query=QueryParams(request.query),
            headers=request.headers,
            body=_bodies.decompressed(request.body, request.headers),
            key=access.key,
            workspace=access.workspace,
            world=world,
            records=records,
            info=info,
        )
        reply = endpoint.answer(call)
    except RequestError as problem:
        refusal = error(path, problem.status, problem.text)
        return refusal.status, refusal.body
    except _bodies.UnreadableError as broken:
        refusal = error(path, 422, str(broken))
        return refusal.status, refusal.body
    return reply.status, reply.body
