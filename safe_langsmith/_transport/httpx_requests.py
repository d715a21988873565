"""What can be told of a request of httpx at a glance. Runs for every request."""

from __future__ import annotations

from safe_langsmith._knowledge.access import came_as_get
from safe_langsmith._knowledge.hosts import origin
from safe_langsmith._sdk.modules import httpx


def lost_its_method(first: httpx.Request, request: httpx.Request) -> bool:
    """Whether this is what a redirect to another host has left of a request."""
    before, after = ((one.method, str(one.url)) for one in (first, request))
    return came_as_get(before, after)


def log_in(request: httpx.Request) -> None:
    """Let a login in the address be sent, as httpx does where no Auth is set."""
    url = request.url
    if url.userinfo:
        next(httpx.BasicAuth(url.username, url.password).auth_flow(request))


def has_origin(request: httpx.Request) -> bool:
    """Whether an address names a host, as far as all that read it agree."""
    url = request.url
    return origin(f"{url.scheme}://{url.netloc.decode('ascii')}") != ""
