"""The hook on a client's session: it sees each answer before the SDK does.

This runs for every request, so it only tells what may be a refusal from what is none.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import requests

from safe_langsmith._knowledge.access import came_as_get, lets_in, may_be_refusal

if TYPE_CHECKING:
    from safe_langsmith._client import SafeClient


# Under this name the hooks of a request hold the request that was redirected first.
REDIRECTED = "safe_langsmith.redirected"


class Hook:
    """A response hook of `requests`, which may put another response in the place of one.

    It holds its client weakly, for a session may outlive the client.
    """

    __slots__ = ("client",)

    def __init__(self, client: SafeClient) -> None:
        self.client = weakref.ref(client)

    def __call__(
        self, response: requests.Response, **kwargs: Any
    ) -> requests.Response | None:
        client = self.client()
        if client is None:
            return None
        status = response.status_code
        if 300 <= status < 400:
            # requests makes a copy for where it is sent on to; copies share their hooks.
            response.request.hooks.setdefault(REDIRECTED, response.request)  # type: ignore[arg-type]
            return None
        request = response.request
        kind = response.headers.get("Content-Type", "")
        if may_be_refusal(status, kind, response.url) or (
            REDIRECTED in request.hooks and lost_its_method(request)
        ):
            return client._settle(response, kwargs)
        worked = client._ledger.worked
        # Only what is written may go to replicas, with keys of their own; what is read
        # need not be looked at any more once the client's own are known to work.
        if (
            request.method == "GET"
            and hash((client._api_key, client._workspace_id)) in worked
        ):
            return None
        if lets_in(status, response.url):
            headers = request.headers
            worked.add(hash((headers.get("x-api-key"), headers.get("X-Tenant-Id"))))
        return None


def first_request(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request that the SDK made, if this is what requests made of it for a redirect.

    Copies of a request share its hooks; `Hook` puts the first one there.
    """
    first: Any = request.hooks.get(REDIRECTED)
    return first or request


def lost_its_method(request: requests.PreparedRequest) -> bool:
    """Whether this is what a redirect to another host has left of a request."""
    first = first_request(request)
    before, after = ((one.method or "", one.url or "") for one in (first, request))
    return came_as_get(before, after)


def attach(client: SafeClient) -> None:
    """Put a hook on the client's session, and take it off when the client goes."""
    hook = Hook(client)
    hooks = getattr(client.session, "hooks", None)
    if not isinstance(hooks, dict):
        return  # a stand-in for a session, as in a caller's tests
    present = hooks.get("response") or []
    hooks["response"] = [present] if callable(present) else list(present)
    hooks["response"].append(hook)
    # The caller's own session outlives the client.
    weakref.finalize(client, _detach, client.session, hook).atexit = False


def _detach(session: requests.Session, hook: Hook) -> None:
    if hook in session.hooks["response"]:
        session.hooks["response"].remove(hook)
