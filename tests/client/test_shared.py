"""Tests for what clients share and what they must not: sessions, repairs, callbacks."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import anyio
import langsmith
import pytest
import requests
from conftest import QUICK
from langsmith.utils import LangSmithError
from stage import closing

from safe_langsmith import (
    AccessDeniedError,
    BlockedByProxyError,
    Diagnosis,
    KeyMalformedError,
    KeyRejectedError,
    PermissionMissingError,
    Policy,
    SafeAsyncClient,
    SafeClient,
    WorkspaceRequiredError,
)
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith.testing import SimulatedLangSmith

GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"


def safe(server: SimulatedLangSmith, key: str = GONE, **more: Any) -> SafeClient:
    return SafeClient(server.url, api_key=key, auto_batch_tracing=False, **more)


@pytest.fixture
def org_key(server: SimulatedLangSmith) -> str:
    server.add_workspace("Research", projects=1)
    return server.add_service_key(workspaces=None).secret


def test_a_new_key_drops_the_workspace_that_a_repair_filled_in(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """It was chosen as the old key's only workspace, so it is wrong for another key."""
    client = safe(server, org_key)
    list(client.list_projects())
    assert client.workspace_id is not None
    other = server.add_workspace("Other")
    client.api_key = server.add_personal_key(workspaces=[other]).secret
    assert client.workspace_id is None
    assert list(client.list_projects()) == []
    client.session.close()


def test_a_cancelled_call_leaves_nobody_waiting(server: SimulatedLangSmith) -> None:
    server.answer("/workspaces", status=200, body=[], delay=2)
    client = SafeAsyncClient(server.url, api_key=GONE)

    async def call() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client._arequest_with_retries("GET", "/sessions"), 0.3)
        assert not FLIGHTS._flights
        await client.aclose()  # type: ignore[no-untyped-call]

    asyncio.run(call())


@pytest.mark.parametrize("name", ["langsmith.Client", "langsmith.client.Client"])
def test_a_program_that_mocks_the_client_class(
    name: str, server: SimulatedLangSmith, org_key: str
) -> None:
    client = safe(server, org_key)
    with client.session, mock.patch(name):
        assert len(list(client.list_projects())) == 1
        assert client.api_key == org_key


def test_an_error_of_the_caller_s_own(server: SimulatedLangSmith) -> None:
    class OwnError(Exception):
        pass

    def handle(response: requests.Response, attempt: int) -> bool:
        raise OwnError

    client = safe(server)
    with client.session, pytest.raises(OwnError):
        client.request_with_retries(
            "GET", "/sessions", handle_response=handle, stop_after_attempt=2
        )


def test_responses_and_sessions_can_be_pickled(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = safe(server, org_key)
    with client.session:
        response = client.request_with_retries("GET", "/sessions")
        copied = pickle.loads(pickle.dumps(response))
        assert copied.json() == response.json()
        session = pickle.loads(pickle.dumps(client.session))
        assert session.get(f"{server.url}/sessions").status_code == 401


def test_later_classes_in_the_mro_are_called(
    server: SimulatedLangSmith, org_key: str
) -> None:
    seen = []

    class Counting(langsmith.Client):
        def request_with_retries(self, method: Any, pathname: str, **kwargs: Any) -> Any:
            seen.append(pathname)
            return super().request_with_retries(method, pathname, **kwargs)

    class Mine(SafeClient, Counting):
        pass

    client = Mine(server.url, api_key=org_key, auto_batch_tracing=False)
    with client.session:
        list(client.list_projects())
    assert seen == ["/sessions"]


def test_each_client_of_a_session_has_its_own_policy(
    server: SimulatedLangSmith, org_key: str
) -> None:
    session = requests.Session()
    repairs = safe(server, org_key, session=session)
    plain = langsmith.Client(
        server.url, api_key=org_key, session=session, auto_batch_tracing=False
    )
    seen: list[Diagnosis] = []
    policy = Policy(repair=False, on_diagnosis=seen.append)
    asks = safe(server, org_key, session=session, policy=policy)
    with session:
        with pytest.raises(WorkspaceRequiredError):
            asks.create_project("p")
        assert [d.code for d in seen] == ["workspace-required"]
        with pytest.raises(LangSmithError) as caught:
            plain.create_project("p")
        assert not isinstance(caught.value, AccessDeniedError)
        assert repairs.create_project("p").name == "p"
    assert asks.last_diagnosis is seen[0]


def test_a_good_key_beside_a_header_that_cannot_be_sent(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = safe(server, org_key, headers={"X-Name": "Zo\u0451"})
    with client.session, pytest.raises(LangSmithError) as caught:
        list(client.list_projects())
    assert not isinstance(caught.value, KeyMalformedError)


def test_a_remembered_proxy_does_not_hide_langsmith_s_own_refusal(
    server: SimulatedLangSmith,
) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(
        workspaces=[own], permissions=frozenset({"projects:read"})
    ).secret
    page = "<html>blocked</html>"
    html = {"Content-Type": "text/html"}
    server.answer("/sessions", method="POST", status=403, body=page, headers=html, times=1)
    first, second = safe(server, key), safe(server, key)
    with first.session, second.session:
        with pytest.raises(BlockedByProxyError):
            first.create_project("p")
        with pytest.raises(PermissionMissingError):
            second.create_project("p")


@pytest.fixture
def came_back(server: SimulatedLangSmith) -> Iterator[SafeClient]:
    """A key that was rejected, which is remembered; now it is valid, with another role."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own], role="Viewer")
    for path in ("/sessions", "/workspaces", "/auth/public"):
        server.answer(path, status=403, body={"error": "Forbidden"})
    client = safe(server, key.secret)
    with client.session:
        for _ in range(2):
            with pytest.raises(KeyRejectedError):
                client.create_project("p")
        server.clear_answers()
        yield client


@pytest.mark.parametrize("of", ["this client", "another client", "an async client"])
def test_a_success_ends_what_is_remembered(
    server: SimulatedLangSmith, came_back: SafeClient, of: str
) -> None:
    """It ends for other clients with the same key, too, even with another policy."""
    key, other = came_back.api_key or "", came_back
    if of == "an async client":
        later = SafeAsyncClient(server.url, api_key=key, policy=QUICK)
        get = partial(later._arequest_with_retries, "GET", "/sessions")
        assert anyio.run(closing, later, get).json()
    else:
        if of == "another client":
            other = safe(server, key, policy=Policy(budget_s=7))
        with other.session:
            assert list(other.list_projects())
    with pytest.raises(PermissionMissingError, match="projects:create"):
        came_back.create_project("p")


def test_a_newer_diagnosis_ends_what_is_remembered(
    server: SimulatedLangSmith, came_back: SafeClient
) -> None:
    """The newer diagnosis is made by `diagnose()`, or by a client with another policy."""
    other = safe(server, came_back.api_key or "", policy=Policy(budget_s=7))
    with other.session, pytest.raises(PermissionMissingError):
        other.create_project("p")
    with pytest.raises(PermissionMissingError):
        came_back.create_project("p")
    assert list(came_back.list_projects())  # another operation's success ends nothing
    asked = len(server.exchanges)
    with pytest.raises(PermissionMissingError):
        came_back.create_project("p")
    assert len(server.exchanges) == asked + 1


def test_a_check_ends_what_is_remembered(came_back: SafeClient) -> None:
    assert came_back.diagnose().code == "ok"
    with pytest.raises(PermissionMissingError):
        came_back.create_project("p")


def test_a_check_ends_what_is_remembered_of_each_operation(
    server: SimulatedLangSmith,
) -> None:
    """The error of a rejected key is no longer that of a role without the permission."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer")
    client = safe(server, key.secret)
    with client.session:
        with pytest.raises(PermissionMissingError):
            client.create_project("p")
        server.revoke(key)
        assert client.diagnose().code == "key-rejected"
        with pytest.raises(KeyRejectedError):
            client.create_project("p")


def test_each_kind_of_response_has_its_own_diagnosis(server: SimulatedLangSmith) -> None:
    """A proxy's page within the cooldown of a rejected key, and the other way round."""
    html = {"Content-Type": "text/html"}
    client = safe(server, GONE)
    with client.session:
        for _ in range(2):
            with pytest.raises(KeyRejectedError):
                client.create_project("p")
            page = "<title>Blocked</title>"
            server.answer("/sessions", status=403, body=page, headers=html, times=1)
            with pytest.raises(BlockedByProxyError) as caught:
                client.create_project("p")
            assert "Blocked" in caught.value.diagnosis.server_message
    paths = [e.path for e in server.exchanges]
    assert paths.count("/sessions") == 4
    assert paths.count("/workspaces") == 1


@pytest.mark.parametrize("on_thread", [False, True])
def test_a_callback_that_uses_its_client(
    on_thread: bool, server: SimulatedLangSmith
) -> None:
    calls = []

    def again(diagnosis: Diagnosis) -> None:
        calls.append(diagnosis.code)

        def use() -> None:
            with pytest.raises(AccessDeniedError):
                list(client.list_projects())

        run(use)

    def run(use: Callable[[], None]) -> None:
        if not on_thread:
            use()
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            pool.submit(use).result()

    client = safe(server, policy=Policy(on_diagnosis=again))
    with client.session, pytest.raises(AccessDeniedError):
        list(client.list_projects())
    assert calls == ["key-rejected"]


def test_each_callback_is_called(server: SimulatedLangSmith) -> None:
    """A new client's callback is called, even if an earlier client is gone."""
    calls = []
    for number in range(5):
        policy = Policy(on_diagnosis=lambda _, number=number: calls.append(number))  # type: ignore[misc]
        client = safe(server, policy=policy)
        with client.session, pytest.raises(AccessDeniedError):
            list(client.list_projects())
    assert calls == [0, 1, 2, 3, 4]


def test_a_shared_repair_is_checked_again_before_a_write(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """The workspace may no longer be the only one."""
    first, second = safe(server, org_key), safe(server, org_key)
    with first.session, second.session:
        list(first.list_projects())
        server.add_workspace("Another")
        with pytest.raises(WorkspaceRequiredError):
            second.create_project("p")


def test_clients_with_different_adapters_share_no_diagnosis(
    server: SimulatedLangSmith,
) -> None:
    """Each may reach LangSmith in another way."""
    first, second = safe(server), safe(server)
    first.session.mount("http://", requests.adapters.HTTPAdapter())
    for client in (first, second):
        with client.session, pytest.raises(AccessDeniedError):
            list(client.list_projects())
    asked = [e.path for e in server.exchanges if e.path == "/workspaces"]
    assert len(asked) == 2
