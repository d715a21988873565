"""Tests for the clients of `langsmith.sandbox` after `install(everywhere=True)`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import langsmith
import pytest
from conftest import QUICK
from releases import needs
from scenarios import GONE
from stage import assert_no_secret

from safe_langsmith import (
    AccessDeniedError,
    Installation,
    KeyMalformedError,
    KeyRejectedError,
    WorkspaceRequiredError,
    WrongEndpointError,
    install,
)
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = needs("0.14.12", "sandbox clients keep the endpoint's path")

sandbox: Any = pytest.importorskip("langsmith.sandbox")
BOXES = "/v2/sandboxes/boxes"


def sync_calls(**arguments: Any) -> Any:
    with sandbox.SandboxClient(max_retries=0, **arguments) as client:
        return client.list_sandboxes(), client.list_sandboxes()


def async_calls(**arguments: Any) -> Any:
    async def both() -> Any:
        async with sandbox.AsyncSandboxClient(max_retries=0, **arguments) as client:
            return await client.list_sandboxes(), await client.list_sandboxes()

    return anyio.run(both)


calls = pytest.mark.parametrize("call", [sync_calls, async_calls])


@pytest.fixture(params=["cloud", "self-hosted"])
def server(request: pytest.FixtureRequest) -> Iterator[SimulatedLangSmith]:
    """A server of each layout. Sandboxes are not simulated: tests set the responses."""
    with SimulatedLangSmith(request.param) as server:
        yield server


@pytest.fixture
def everywhere() -> Iterator[Installation]:
    """Make the SDK create safe clients."""
    # Without threads, which would outlive the test and connect to the default endpoint.
    installation = install(everywhere=True, policy=QUICK, auto_batch_tracing=False)
    langsmith.configure(client=None)
    yield installation
    installation.undo()


@pytest.fixture
def own(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, everywhere: Installation
) -> str:
    """Set an organization key in the environment; return the id of its only workspace."""
    path = "/api/v1" if server._layout == "self-hosted" else ""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url + path)
    key = server.add_service_key(workspaces=None).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    clear_caches()
    return server.add_workspace("Research").id


def refuse_once(server: SimulatedLangSmith) -> None:
    body = {"error": "org_scoped_key_requires_workspace"}
    server.answer(BOXES, status=200, body={"sandboxes": []})
    server.answer(BOXES, status=403, body=body, times=1)


def sent(server: SimulatedLangSmith) -> list[Any]:
    return [e for e in server.exchanges if e.path.endswith("/sandboxes/boxes")]


@calls
def test_a_refusal_is_repaired(
    server: SimulatedLangSmith, own: str, call: Callable[[], Any]
) -> None:
    refuse_once(server)
    assert call() == ([], [])
    assert [e.headers.get("x-tenant-id") for e in sent(server)] == [None, own, own]


@calls
def test_the_typed_error_is_also_the_sandbox_client_s(
    server: SimulatedLangSmith, own: str, call: Callable[[], Any]
) -> None:
    server.add_workspace("Production")
    with pytest.raises(WorkspaceRequiredError) as caught:
        call()
    assert isinstance(caught.value, sandbox.SandboxAuthenticationError)
    steps = "choose one and pass its id in headers= as X-Tenant-Id"
    assert caught.value.next_steps == (steps,)


@calls
def test_a_key_that_is_an_argument(
    server: SimulatedLangSmith, own: str, call: Callable[..., Any]
) -> None:
    with pytest.raises(KeyRejectedError) as caught:
        call(api_key=GONE, headers={"X-Tenant-Id": own})
    assert isinstance(caught.value, sandbox.SandboxAuthenticationError)
    assert caught.value.diagnosis.key_source == "the api_key argument"


@calls
def test_a_key_with_a_line_break(
    server: SimulatedLangSmith, own: str, call: Callable[..., Any]
) -> None:
    """It is not sent, so no error quotes it."""
    with pytest.raises(KeyMalformedError, match="was not sent") as caught:
        call(api_key=f"{GONE[:20]}\n{GONE[20:]}")
    assert_no_secret("".join(traceback.format_exception(caught.value)), [GONE])
    assert not server.exchanges


@calls
def test_any_other_error_is_the_sandbox_client_s(
    server: SimulatedLangSmith, own: str, call: Callable[..., Any]
) -> None:
    server.answer(BOXES, status=422, body={"detail": "No"})
    with pytest.raises(sandbox.ValidationError) as caught:
        call(headers={"X-Tenant-Id": own})
    assert not isinstance(caught.value, AccessDeniedError)


def test_a_web_page_instead_of_a_response(server: SimulatedLangSmith, own: str) -> None:
    page = {"Content-Type": "text/html"}
    server.answer("*", status=404, body="<html>", headers=page)
    with pytest.raises(WrongEndpointError) as caught:
        sync_calls(api_endpoint=os.environ["LANGSMITH_ENDPOINT"])
    assert isinstance(caught.value, sandbox.ResourceNotFoundError)


@calls
def test_unchanged_without_a_refusal(
    server: SimulatedLangSmith,
    own: str,
    everywhere: Installation,
    call: Callable[..., Any],
) -> None:
    server.answer(BOXES, status=200, body={"sandboxes": []})
    found = []
    for _ in range(2):
        server.clear()
        assert call() == ([], [])
        found.append([(e.method, e.path, dict(e.headers), e.body) for e in sent(server)])
        everywhere.undo()
    assert found[0] == found[1]


def test_a_repair_can_remove_the_workspace(server: SimulatedLangSmith, own: str) -> None:
    with sandbox.SandboxClient(headers={"X-Tenant-Id": own}) as client:
        owner = client._http.auth.kept
        assert (owner.workspace_id, owner.headers) == (own, {})
        owner.workspace_id, owner.api_key = None, "other"
        assert client._api_key == client._http.headers["X-Api-Key"] == "other"
        assert "X-Tenant-Id" not in client._http.headers
