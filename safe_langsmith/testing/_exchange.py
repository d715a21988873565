"""The log of a simulated LangSmith: one record for each request."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from safe_langsmith.testing import _bodies

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that arrived, and the status of its response.

    ``path`` is the path for routing: without ``/api`` or ``/api/v1``, and with
    ``/v1/platform/…`` for both of its spellings. ``raw_path`` is the path as sent, with
    its query. ``at`` is the time of arrival, as from ``time.monotonic``.
    """

    method: str
    path: str
    raw_path: str
    host: str
    key: str | None = field(repr=False)
    workspace: str | None
    authorization: str | None = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    at: float

    def contains(self, text: str) -> bool:
        """Whether a text arrived in a header, the path, the query or the body."""
        sought = text.encode()
        try:
            plain = _bodies.decompressed(self.body, self.headers)
        except _bodies.UnreadableError:
            plain = b""
        return (
            text in self.raw_path
            or any(text in value for value in self.headers.values())
            or sought in self.body
            or sought in plain
        )


def log(request: Request, path: str, body: bytes, status: int) -> Exchange:
    """Record a request, which has just arrived in full."""
    found = headers(request)
    raw = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return Exchange(
        method=request.method,
        path=path,
        raw_path=f"{raw}?{query}" if query else raw,
        host=found.get("host", ""),
        key=found.get("x-api-key"),
        workspace=found.get("x-tenant-id"),
        authorization=found.get("authorization"),
        headers=found,
        body=body,
        status=status,
        at=time.monotonic(),
    )


def headers(request: Request) -> dict[str, str]:
    """The headers by lower-case name; different values of one name are joined.

    Before langsmith 0.14.12 the v2 resources send the same key twice.
    """
    found: dict[str, str] = {}
    for name, value in dict.fromkeys(request.headers.items()):
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
