"""Quick checks of an httpx request. Runs for every request."""

from __future__ import annotations

from safe_langsmith._knowledge.access import came_as_get
from safe_langsmith._knowledge.hosts import origin
from safe_langsmith._sdk.modules import httpx


def lost_its_method(first: httpx.Request, request: httpx.Request) -> bool:
    """Whether a redirect to another host has turned a non-GET request into a GET."""
    before, after = ((one.method, str(one.url)) for one in (first, request))
    return came_as_get(before, after)


def log_in(request: httpx.Request) -> None:
    """Send the login in the URL as basic auth, as httpx does if no auth is set."""
    url = request.url
    if url.userinfo:
        next(httpx.BasicAuth(url.username, url.password).auth_flow(request))


def has_origin(request: httpx.Request) -> bool:
    """Whether the request's URL names its host unambiguously."""
    url = request.url
    return origin(f"{url.scheme}://{url.netloc.decode('ascii')}") != ""
