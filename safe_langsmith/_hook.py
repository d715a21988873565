"""The hook on a client's session: it sees each answer before the SDK does.

This runs for every request, so it only tells what may be a refusal from what is none.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from safe_langsmith._client import SafeClient

# Statuses that may hide a refusal; what is none among them is told apart later.
_LOOKED_AT = frozenset({400, 401, 403, 404, 405, 422})
# These answer strangers too, so a good answer tells nothing about the key.
_PUBLIC = ("/info", "/commits/", "/repos", "/public/")


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
        page = status == 200 and "html" in response.headers.get("Content-Type", "")
        if status in _LOOKED_AT or page:
            return client._settle(response, kwargs)
        if status < 400 and not any(path in response.url for path in _PUBLIC):
            request = response.request
            access = (header(request, "x-api-key"), header(request, "X-Tenant-Id"))
            client._ledger.worked.add(access)
        return None


def header(request: requests.PreparedRequest, name: str) -> str | None:
    """A header of a request as text, or None where it is missing or empty."""
    value = request.headers.get(name)
    return value.decode("latin-1") if isinstance(value, bytes) else value or None


def attach(client: SafeClient) -> None:
    """Put a hook on the client's session, and take it off when the client goes."""
    hook = Hook(client)
    hooks = client.session.hooks
    present = hooks.get("response") or []
    hooks["response"] = [present] if callable(present) else list(present)
    hooks["response"].append(hook)
    # The caller's own session outlives the client.
    weakref.finalize(client, _detach, client.session, hook).atexit = False


def _detach(session: requests.Session, hook: Hook) -> None:
    if hook in session.hooks["response"]:
        session.hooks["response"].remove(hook)
