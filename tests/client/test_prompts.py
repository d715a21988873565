"""Tests for a prompt that is not found: the key is checked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from conftest import QUICK
from langsmith.utils import LangSmithNotFoundError
from releases import needs

from safe_langsmith import AccessDeniedError, KeyRejectedError, SafeAsyncClient, SafeClient
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = needs("0.14.12", "pulling a prompt sends no other request")

GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"
PATH = "/commits/acme/greeting/latest"


def sync_client(server: SimulatedLangSmith, key: str) -> Callable[[str], Any]:
    client = SafeClient(server.url, api_key=key, policy=QUICK, auto_batch_tracing=False)
    return lambda path: client.request_with_retries("GET", path)


def async_client(server: SimulatedLangSmith, key: str) -> Callable[[str], Any]:
    async def get(path: str) -> Any:
        async with SafeAsyncClient(server.url, api_key=key, policy=QUICK) as client:
            return await client._arequest_with_retries("GET", path)

    return lambda path: anyio.run(get, path)


both = pytest.mark.parametrize("connect", [sync_client, async_client])


def why(call: Callable[[str], Any]) -> LangSmithNotFoundError:
    with pytest.raises(LangSmithNotFoundError) as caught:
        call(PATH)
    return caught.value


def probes(server: SimulatedLangSmith) -> list[str]:
    return [exchange.path for exchange in server.exchanges if exchange.path != PATH]


@both
def test_a_rejected_key(server: SimulatedLangSmith, connect: Any) -> None:
    """The typed error is also the SDK's own class, and is remembered."""
    call = connect(server, GONE)
    for _ in range(2):
        assert isinstance(why(call), KeyRejectedError)
    assert probes(server) == ["/workspaces", "/auth/public", "/info"]


@both
@pytest.mark.parametrize("kind", ["good", "unknown", "unclear", "missing"])
def test_otherwise_the_sdk_s_error_is_raised(
    server: SimulatedLangSmith, connect: Any, kind: str, stepped_aside: list[str]
) -> None:
    """Otherwise, the SDK's error is raised, and the key is checked at most once."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    if kind == "unknown":
        server.answer("/workspaces", status=429)
        server.answer("/auth/public", status=429)
    if kind == "unclear":  # the key is rejected, but a request without a key is refused too
        key = GONE
        server.answer("/info", status=403, body={"error": "Forbidden"})
    call = connect(server, "" if kind == "missing" else key)
    for _ in range(3):
        assert not isinstance(why(call), AccessDeniedError)
    expected = {
        "good": ["/workspaces"],
        "unknown": ["/workspaces", "/auth/public"],
        "unclear": ["/workspaces", "/auth/public", "/info"],
        "missing": [],
    }
    assert list(dict.fromkeys(probes(server))) == expected[kind]
    assert len(probes(server)) <= 6  # a probe with a 429 response is sent three times


def test_a_key_that_has_worked_is_not_checked(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research")
    call = sync_client(server, server.add_personal_key(workspaces=[own]).secret)
    call("/sessions")
    server.clear()
    assert not isinstance(why(call), AccessDeniedError)
    assert probes(server) == []
