"""A hook on a client's session that checks each response before the SDK sees it.

This runs for every request, so it only detects possible refusals.
"""

from __future__ import annotations

import weakref
from typing import Any

import requests

from safe_langsmith._knowledge.access import proves_key
from safe_langsmith._sdk.clients import key_of, workspace_of
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import PassedOn, step_aside
from safe_langsmith._transport.owner import MEMORIES, SENDING, Owner
from safe_langsmith._transport.responses import REDIRECTED, is_hard_delete, is_suspect


class Hook:
    """A response hook of `requests`, which may replace the response.

    Refers to its client weakly, since a session may outlive the client.
    """

    __slots__ = ("owner",)

    def __init__(self, owner: Owner | None) -> None:
        self.owner: Any = (lambda: None) if owner is None else weakref.ref(owner)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled copy (also by `dill`) belongs to no client, so it checks nothing."""
        return Hook, (None,)

    def __call__(
        self, response: requests.Response, **kwargs: Any
    ) -> requests.Response | None:
        try:
            return self._look(response, kwargs)
        except PassedOn as passed:
            error = passed.error
        except Exception as ours:
            step_aside("check a response", ours)
            return None
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, and so the response

    def _look(
        self, response: requests.Response, kwargs: dict[str, Any]
    ) -> requests.Response | None:
        owner, status = self.owner(), response.status_code
        if owner is None or owner._safe is None:
            return None
        request = response.request
        if 300 <= status < 400:
            # For a redirect, requests copies the request; copies share their hooks.
            request.hooks.setdefault(REDIRECTED, request)  # type: ignore[arg-type]
            return None
        if is_suspect(response):
            with no_fork:
                from safe_langsmith._transport.requests_driver import answer

            return answer(owner, response, kwargs) if self._is_ours(request) else None
        if MEMORIES and proves_key(status, response.url):
            with no_fork:
                from safe_langsmith._transport.flights import FLIGHTS
                from safe_langsmith._transport.requests_exchange import RequestsExchange

            sent = RequestsExchange(owner, response, kwargs)
            FLIGHTS.end(sent.access, sent.operation)
        worked = owner._safe.worked
        # Only writes may go to replicas, with their own keys. Reads need no check once the
        # client's own key is known to work.
        if request.method == "GET" and hash((key_of(owner), workspace_of(owner))) in worked:
            return None
        if proves_key(status, response.url):
            headers = request.headers
            worked.add(hash((headers.get("x-api-key"), headers.get("X-Tenant-Id"))))
        return None

    def _is_ours(self, request: requests.PreparedRequest) -> bool:
        """Whether the SDK makes this request with this client.

        A caller's session may also be used for other hosts and clients. A hard delete
        bypasses the method that sets SENDING, so its key is compared.
        """
        owner, sending = self.owner(), SENDING.get()
        if sending is not None:
            return sending is owner
        is_known = request.headers.get("x-api-key") == key_of(owner)
        return is_known and is_hard_delete(request.url or "")


def attach(owner: Any) -> None:
    """Put a hook on the client's session, and remove it when the client is freed."""
    hook = Hook(owner)
    hooks = getattr(owner.session, "hooks", None)
    if not isinstance(hooks, dict):
        return  # a fake session, as in a caller's tests
    present = hooks.get("response") or []
    hooks["response"] = [present] if callable(present) else list(present)
    hooks["response"].append(hook)
    # The caller's own session outlives the client.
    weakref.finalize(owner, _detach, owner.session, hook).atexit = False


def _hooks_on(session: requests.Session) -> list[Hook]:
    """Our hooks on a session, for all clients that share it."""
    hooks: Any = getattr(session, "hooks", None)
    present = hooks.get("response") if isinstance(hooks, dict) else None
    return [h for h in present if isinstance(h, Hook)] if isinstance(present, list) else []


def _detach(session: requests.Session, hook: Hook) -> None:
    if hook in _hooks_on(session):
        session.hooks["response"].remove(hook)
