"""Quick checks of an httpx request. Runs for every request."""

from __future__ import annotations

from safe_langsmith._knowledge.access import came_as_get
from safe_langsmith._knowledge.hosts import origin
from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._sdk.clients import key_of, workspace_of
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.owner import Owner


def lost_its_method(first: httpx.Request, request: httpx.Request) -> bool:
    """Whether a redirect to another host has turned a non-GET request into a GET."""
    before, after = ((one.method, str(one.url)) for one in (first, request))
    return came_as_get(before, after)


def log_in(request: httpx.Request) -> None:
    """Send the login in the URL as basic auth, as httpx does if no auth is set."""
    url = request.url
    if url.userinfo:
        next(httpx.BasicAuth(url.username, url.password).auth_flow(request))


def can_send(owner: Owner, request: httpx.Request) -> bool:
    """Whether a request's URL is valid, and headers can hold its client's settings."""
    values = (key_of(owner), workspace_of(owner))
    return has_origin(request) and all(can_be_sent(value) for value in values if value)


def has_origin(request: httpx.Request) -> bool:
    """Whether the request's URL names its host unambiguously."""
    url = request.url
    return origin(f"{url.scheme}://{url.netloc.decode('ascii')}") != ""
