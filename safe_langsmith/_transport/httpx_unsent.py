"""Explains httpx requests that could not be sent: see `can_send`, or a proxy refused.

Most functions exist twice: for a thread that may block, and for an event loop.
"""

from __future__ import annotations

from dataclasses import replace

import anyio

from safe_langsmith._decision.resolve import never_sendable, no_address
from safe_langsmith._decision.resolve import no_tunnel as tunnel_diagnosis
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._sdk.clients import access_of, endpoint_of
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._settings.reading import read
from safe_langsmith._settings.sources import Setup
from safe_langsmith._transport.httpx_exchange import redact
from safe_langsmith._transport.httpx_requests import has_origin
from safe_langsmith._transport.messages import target_of
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.settle import read_settings, record
from safe_langsmith._transport.unreachable import tunnel_refusal


async def read_settings_async(owner: Owner) -> Setup:
    """Read the settings on a new thread: anyio's pool threads may all be busy."""
    return await anyio.to_thread.run_sync(
        read_settings, owner, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
    )


def unsent(owner: Owner, request: httpx.Request) -> Diagnosis:
    """The diagnosis of a request that cannot be sent: see `httpx_requests.can_send`."""
    return _unsent(owner, request, read_settings(owner))


async def unsent_async(owner: Owner, request: httpx.Request) -> Diagnosis:
    """The same on an event loop."""
    return _unsent(owner, request, await read_settings_async(owner))


def no_tunnel(
    owner: Owner, method: str, asked: str | httpx.Request, error: Exception
) -> Diagnosis | None:
    """The diagnosis if a proxy refused to connect a request to its host; otherwise None.

    ``asked``: the path of the request, or the request itself, to remove its secrets.
    """
    refusal = _refusal_in(error)
    if not refusal:
        return None
    return _no_tunnel(owner, method, asked, refusal, read_settings(owner))


async def no_tunnel_async(
    owner: Owner, method: str, asked: str | httpx.Request, error: Exception
) -> Diagnosis | None:
    """The same on an event loop."""
    refusal = _refusal_in(error)
    if not refusal:
        return None
    return _no_tunnel(owner, method, asked, refusal, await read_settings_async(owner))


def not_created(owner: Owner, key: str) -> Diagnosis:
    """The diagnosis of a client that the SDK cannot create with this key."""
    state, access = state_of(owner), replace(access_of(owner), key=key)
    initial = replace(state.initial, held=access)
    setup = read(access, initial, None, state.policy.dotenv)
    found = never_sendable("GET", "/sessions", setup)
    why = found.summary.partition(": ")[2]
    found = replace(found, operation="", summary=f"the client was not created: {why}")
    record(owner, found)
    return found


def _unsent(owner: Owner, request: httpx.Request, setup: Setup) -> Diagnosis:
    explain = never_sendable if has_origin(request) else no_address
    diagnosis = explain(request.method, _path_of(owner, request), setup)
    record(owner, diagnosis)
    return diagnosis


def _refusal_in(error: Exception) -> str:
    cause = error.__cause__
    return tunnel_refusal(cause) if isinstance(cause, httpx.ProxyError) else ""


def _no_tunnel(
    owner: Owner, method: str, asked: str | httpx.Request, refusal: str, setup: Setup
) -> Diagnosis:
    path = asked if isinstance(asked, str) else _path_of(owner, asked)
    diagnosis = tunnel_diagnosis(method, path, setup, refusal)
    record(owner, diagnosis)
    return diagnosis


def _path_of(owner: Owner, request: httpx.Request) -> str:
    """The path of a request below its client's endpoint. Removes its secrets."""
    redact(request)
    return target_of(str(request.url), (endpoint_of(owner),)).path
