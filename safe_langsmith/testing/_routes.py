"""Routes a request to its endpoint, checks access, and responds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from safe_langsmith.testing import (
    _bodies,
    _catalogue,
    _datasets,
    _organization,
    _prompts,
    _tracing,
)
from safe_langsmith.testing._access import Refused, decide, error
from safe_langsmith.testing._endpoint import Call, Endpoint, Reply, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from safe_langsmith.testing._records import Record, Records
    from safe_langsmith.testing._world import World

#: The simulated endpoints, by method and path; names of path parameters are removed.
ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    (endpoint.method, _catalogue.key_of(endpoint.path)): endpoint
    for endpoint in (
        *_organization.ENDPOINTS,
        *_tracing.ENDPOINTS,
        *_datasets.ENDPOINTS,
        *_prompts.ENDPOINTS,
    )
}
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived, its path without the deployment's prefix."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def respond(
    request: Request, world: World, records: Records, info: Record
) -> tuple[int, bytes]:
    """Answer one request. Nothing is changed unless access is granted."""
    path = request.path
    found = list(_catalogue.at(path))
    if not found:
        return 404, b'{"detail":"Not Found"}'
    routes, values = next((f for f in found if request.method in f[0]), found[0])
    if request.method not in routes:
        return 405, b'{"detail":"Method Not Allowed"}'
    endpoint = _endpoint(routes[request.method])
    access = decide(request.headers, path, endpoint.needs, endpoint.permission, world)
    if isinstance(access, Refused):
        return access.status, access.body
    try:
        call = Call(
            path=path,
            params=dict(zip(_PARAMETER.findall(endpoint.path), values, strict=True)),
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
        refusal = error(path, problem.status, problem.text, problem.place)
        return refusal.status, refusal.body
    except _bodies.UnreadableError as broken:
        refusal = error(path, 422, str(broken), ("body",))
        return refusal.status, refusal.body
    return reply.status, reply.body


def _endpoint(route: _catalogue.Route) -> Endpoint:
    """The endpoint of a route; if it is not simulated, one that says so."""
    simulated = ENDPOINTS.get((route.method, _catalogue.key_of(route.path)))
    if simulated:
        return simulated

    def answer(_: Call) -> Reply:
        name = f"{route.method} {route.path}"
        raise RequestError(501, f"This route of LangSmith is not simulated: {name}")

    return Endpoint(route.method, route.path, route.needs, route.permission, answer)
