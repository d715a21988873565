"""A pytest plugin for the SDK's tests: it swaps the clients, and records the outcomes.

It is loaded with `-p`, before any test module is imported. ``UPSTREAM_CLIENTS`` is "plain"
or "safe"; ``UPSTREAM_OUTCOMES`` is the file for the outcomes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from langsmith._httpx import httpx

SAFE = os.environ["UPSTREAM_CLIENTS"] == "safe"
OUTCOMES = Path(os.environ["UPSTREAM_OUTCOMES"])

if httpx.__name__ == "httpx2":
    # The SDK's tests import httpx. The SDK's own sitecustomize also sets this alias.
    httpx.alias_httpx()  # type: ignore[attr-defined]

# Imported after the alias is set.
import langsmith  # noqa: E402
import langsmith.async_client  # noqa: E402
import langsmith.client  # noqa: E402
from langsmith._internal import _openapi_auth  # noqa: E402

REPLACED: dict[type, type] = {}
if SAFE:
    # The plain run does not import safe_langsmith, so that it cannot be affected.
    import safe_langsmith
    from safe_langsmith._sdk.resources import watch
    from safe_langsmith._transport.auth import ResourceWatcher

    REPLACED[langsmith.client.Client] = safe_langsmith.SafeClient
    REPLACED[langsmith.async_client.AsyncClient] = safe_langsmith.SafeAsyncClient
_resolve = socket.getaddrinfo


def swap() -> None:
    """Replace the plain clients in all modules of the SDK with the safe ones."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "langsmith":
            for attribute, value in list(vars(module).items()):
                if isinstance(value, type) and value in REPLACED:
                    setattr(module, attribute, REPLACED[value])


def generated(**options: Any) -> Any:
    """Create the generated client as `Client` does, with the arguments of `Langsmith`."""
    headers: dict[str, Any] = {}
    made = _openapi_auth.SyncClient(header_provider=lambda: dict(headers), **options)
    _keep_headers(made, headers)
    return _watched(made, langsmith.Client)


def generated_async(**options: Any) -> Any:
    """The same for `AsyncLangsmith`."""
    headers: dict[str, Any] = {}

    async def provider() -> dict[str, Any]:
        return dict(headers)

    made = _openapi_auth.AsyncClient(header_provider=provider, **options)
    _keep_headers(made, headers)
    return _watched(made, langsmith.AsyncClient)


def _keep_headers(made: Any, headers: dict[str, Any]) -> None:
    """Make the client send the headers from its constructor."""
    known = {"X-API-Key": made.api_key, "X-Tenant-Id": made.tenant_id}
    headers.update({name: value for name, value in known.items() if value})
    headers.update(made._custom_headers)


def _watched(made: Any, kind: Any) -> Any:
    """In the safe run, watch the generated client; it keeps its owner alive."""
    if not SAFE:
        return made
    made.its_owner = kind(api_url="http://localhost:1", api_key="test")
    return watch(made, ResourceWatcher(made.its_owner))


def resolve_this_machine(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Resolve only local names, so that no test contacts the real LangSmith."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
        raise socket.gaierror(socket.EAI_NONAME, "only this machine can be reached")
    return _resolve(host, *args, **kwargs)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Use the plain class in a test's name, even if it gets the safe one."""
    for plain, safe in REPLACED.items():
        if val is safe:
            return plain.__name__
    return None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the outcome of one phase of a test."""
    crash = getattr(report.longrepr, "reprcrash", None)
    row = {
        "test": report.nodeid,
        "outcome": report.outcome,
        "phase": report.when,
        "why": getattr(crash, "message", "").partition("\n")[0],
    }
    with OUTCOMES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


socket.getaddrinfo = resolve_this_machine
# Only for the tests' imports: the SDK itself keeps using the original classes.
vars(langsmith).update(Langsmith=generated, AsyncLangsmith=generated_async)
if SAFE:
    swap()
