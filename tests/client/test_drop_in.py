"""Tests that our clients behave like the plain ones in details that programs rely on."""

from __future__ import annotations

import subprocess
import sys
import threading
import typing
import uuid
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import dill  # type: ignore[import-untyped]
import langsmith
import pytest
import requests
from langsmith.utils import LangSmithError, LangSmithUserError

from safe_langsmith import (
    AccessDeniedError,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith.testing import SimulatedLangSmith

GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"


@pytest.fixture
def good(server: SimulatedLangSmith) -> str:
    own = server.add_workspace("Research", projects=1)
    return server.add_personal_key(workspaces=[own]).secret


def safe(server: SimulatedLangSmith, key: str | None = GONE, **more: Any) -> SafeClient:
    more = {"auto_batch_tracing": False, **more}
    return SafeClient(server.url, api_key=key, **more)


# --- the constructor ----------------------------------------------------------------------

CACHED = {"cache": True, "disable_prompt_cache": True}


def said_by(make: Callable[..., Any], **arguments: Any) -> list[tuple[Any, ...]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(api_url="http://127.0.0.1:9", api_key=GONE, **arguments)
    return [(w.category, str(w.message), w.filename, w.lineno) for w in caught]


def test_warnings_of_the_constructor_name_the_caller_s_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGSMITH_AGENT_ID", "half of an address")
    more = {**CACHED, "otel_enabled": True, "auto_batch_tracing": False}
    plain, ours = (said_by(c, **more) for c in (langsmith.Client, SafeClient))
    assert len(plain) >= 3
    assert ours == plain
    assert {filename for _, _, filename, _ in ours} == {__file__}
    plain, ours = (said_by(c, **CACHED) for c in (langsmith.AsyncClient, SafeAsyncClient))
    assert plain
    assert ours == plain


@pytest.mark.slow
def test_python_s_default_filter_shows_the_warnings() -> None:
    """Python shows a DeprecationWarning only if it points at the program itself."""
    program = (
        "from {0} import {1}\n{1}(api_url='http://127.0.0.1:9', api_key='k', cache=True)\n"
    )
    shown = []
    for module, name in (("langsmith", "Client"), ("safe_langsmith", "SafeClient")):
        code = program.format(module, name)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        shown.append(done.stderr.count("DeprecationWarning"))
    assert shown[0] == shown[1] > 0


def test_a_warning_names_the_line_of_a_subclass() -> None:
    class Mine(SafeClient):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)

    said = said_by(Mine, **CACHED, auto_batch_tracing=False)
    assert {line for *_, line in said} == {Mine.__init__.__code__.co_firstlineno + 1}


@pytest.mark.slow
def test_importing_twice_leaves_the_plain_client_alone() -> None:
    code = """
import importlib, sys, langsmith
for _ in range(3):
    import safe_langsmith
    importlib.reload(safe_langsmith)
    safe_langsmith.SafeClient(api_url="http://127.0.0.1:9", api_key="k")
    langsmith.Client(api_url="http://127.0.0.1:9", api_key="k", cache=True)
    for name in [n for n in sys.modules if n.startswith("safe_langsmith")]:
        del sys.modules[name]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize(
    ("ours", "plain", "more"),
    [
        (SafeClient, langsmith.Client, {"policy", "verify"}),
        (SafeAsyncClient, langsmith.AsyncClient, {"policy"}),
    ],
)
def test_type_hints_are_the_sdk_s_and_ours(ours: Any, plain: Any, more: set[str]) -> None:
    known = {"TracerProvider": object}  # from an optional package
    hints = typing.get_type_hints(ours.__init__, localns=known)
    expected = typing.get_type_hints(plain.__init__, localns=known)
    assert {n: hints[n] for n in expected} == expected
    assert hints.keys() - expected.keys() == more


def test_the_signature_of_a_request() -> None:
    import inspect

    signatures = [
        inspect.signature(kind.request_with_retries)
        for kind in (SafeClient, langsmith.Client)
    ]
    assert signatures[0] == signatures[1]
    assert "to_ignore" in signatures[0].parameters


@pytest.mark.parametrize("wrong", [3, True, 1.5, ["x"]])
def test_a_policy_s_dotenv_is_a_path(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"Policy\.dotenv must be a path"):
        Policy(dotenv=wrong)


@pytest.mark.parametrize("name", ["repair", "probe_regions"])
@pytest.mark.parametrize("wrong", ["no", "False", 2, ["x"]])
def test_a_policy_s_switches_are_true_or_false(name: str, wrong: Any) -> None:
    """A text such as "no" would count as yes."""
    with pytest.raises(ValueError, match=rf"Policy\.{name} must be one of "):
        Policy(**{name: wrong})


GAINED = """
import inspect, logging, langsmith, langsmith.client as c
seen = []
before = c.Client.__init__
def gained(self, api_url=None, *, policy=None, verify=None, **kwargs):
    seen.append((policy, verify))
    before(self, api_url, **kwargs)
c.Client.__init__ = gained
c.Client.whoami = lambda self: "the SDK's own"
logging.basicConfig(format="%(message)s")
import safe_langsmith
client = safe_langsmith.SafeClient("http://127.0.0.1:9", api_key="k", policy="p", verify=1)
assert client.whoami() == "the SDK's own"
other = safe_langsmith.SafeClient(
    "http://127.0.0.1:9", api_key="k", policy=safe_langsmith.Policy(repair=False)
)
assert not other.policy.repair
assert seen == [("p", 1), (None, None)], seen
names = list(inspect.signature(safe_langsmith.SafeClient.__init__).parameters)
assert names.count("policy") == names.count("verify") == 1
"""


@pytest.mark.slow
def test_a_name_that_the_sdk_adds_replaces_ours() -> None:
    """The method and the arguments of the SDK are used, and one line for each says so."""
    done = subprocess.run(
        [sys.executable, "-c", GAINED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "has its own Client.whoami, so ours is disabled" in done.stderr
    assert done.stderr.count("ours is disabled") == 3  # the method and both arguments


# --- identity -----------------------------------------------------------------------------


def test_dill_copies_a_client(server: SimulatedLangSmith, good: str) -> None:
    client = safe(server, good)
    with client.session, dill.loads(dill.dumps(client)).session as session:
        assert session.hooks["response"]
    copied = dill.loads(dill.dumps(client))
    assert [p.name for p in copied.list_projects()] == [
        p.name for p in client.list_projects()
    ]
    copied.api_key = GONE
    with pytest.raises(KeyRejectedError):
        list(copied.list_projects())
    for one in (client, copied):
        one.session.close()


class Around(SafeClient):
    """A subclass that bypasses our constructor."""

    def __init__(self, url: str, key: str) -> None:
        langsmith.Client.__init__(self, url, api_key=key, auto_batch_tracing=False)


def test_a_subclass_that_bypasses_our_constructor(
    server: SimulatedLangSmith, good: str
) -> None:
    """It works as a plain client; our own methods raise an error that says so."""
    client = Around(server.url, good)
    assert len(list(client.list_projects())) == 1
    client.api_key = GONE
    with pytest.raises(LangSmithError) as caught:
        list(client.list_projects())
    assert not isinstance(caught.value, AccessDeniedError)
    assert client.last_diagnosis is None
    with pytest.raises(AttributeError, match="not watched"):
        client.diagnose()
    client.session.close()


# --- a request ----------------------------------------------------------------------------


def test_to_ignore_returns_the_response(server: SimulatedLangSmith) -> None:
    client = safe(server)
    with client.session:
        response = client.request_with_retries(
            "GET", "/sessions", to_ignore=[LangSmithError]
        )
    assert response.status_code == 403


def test_handle_response_is_called(server: SimulatedLangSmith) -> None:
    seen: list[int] = []

    def handle(response: requests.Response, attempt: int) -> bool:
        seen.append(response.status_code)
        return False

    client = safe(server)
    with client.session, pytest.raises(KeyRejectedError):
        client.request_with_retries(
            "GET", "/sessions", handle_response=handle, stop_after_attempt=2
        )
    assert seen == [403]


def test_a_body_that_makes_the_plain_client_crash(server: SimulatedLangSmith) -> None:
    """The plain client raises AttributeError for a list instead of an object."""
    server.answer("/sessions", status=403, body=["Forbidden"])
    client = safe(server)
    with client.session, pytest.raises(AccessDeniedError):
        list(client.list_projects())


def test_the_org_scoped_wording_although_a_workspace_was_sent(
    server: SimulatedLangSmith, good: str
) -> None:
    server.answer(
        "/sessions", status=403, body={"error": "org_scoped_key_requires_workspace"}
    )
    client = safe(server, good, workspace_id=str(uuid.uuid4()))
    with client.session, pytest.raises(LangSmithUserError) as caught:
        list(client.list_projects())
    assert isinstance(caught.value, AccessDeniedError)


def test_the_error_of_a_hard_delete_has_the_response(server: SimulatedLangSmith) -> None:
    client = safe(server)
    with client.session, pytest.raises(requests.HTTPError) as caught:
        client.delete_examples([uuid.uuid4()], hard_delete=True)
    assert isinstance(caught.value, KeyRejectedError)
    error: Any = caught.value
    assert error.response.status_code == 403
    assert GONE not in str(vars(error.response.request))
    import pickle

    assert pickle.loads(pickle.dumps(error)).response is None


@pytest.mark.filterwarnings("ignore")  # get_run_url() is deprecated
def test_no_tenant_id(server: SimulatedLangSmith) -> None:
    """The SDK's error hides the refusal, ours does not. Otherwise, its error is raised."""

    class Run:
        id = session_id = uuid.uuid4()
        session_name = None
        app_path = start_time = None

    client = safe(server)
    with client.session:
        with pytest.raises(KeyRejectedError) as caught:
            client.get_run_url(run=Run())
        assert isinstance(caught.value, LangSmithError)
        server.answer("/sessions", status=200, body=[])
        with pytest.raises(LangSmithError, match="No tenant ID found") as none:
            client.get_run_url(run=Run())
        assert not isinstance(none.value, AccessDeniedError)


# --- another session, other hooks ------------------------------------------------------


def other_session(client: SafeClient) -> dict[str, Any]:
    client.session = requests.Session()
    return {}


def no_hooks(client: SafeClient) -> dict[str, Any]:
    client.session.hooks["response"] = []
    return {}


def hooks_of_one_request(client: SafeClient) -> dict[str, Any]:
    return {"hooks": {"response": []}}


def wrapped_hooks(client: SafeClient) -> dict[str, Any]:
    own = client.session.hooks["response"][0]
    client.session.hooks["response"] = lambda r, **k: own(r, **k)  # type: ignore[assignment]  # noqa: PLW0108
    return {}


def duck(client: SafeClient) -> dict[str, Any]:
    """Replace the session with an object that has only what the SDK needs."""

    class Duck:
        def __init__(self, session: requests.Session) -> None:
            self._session = session

        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            return self._session.request(*args, **kwargs)

        def close(self) -> None:
            self._session.close()

    client.session = Duck(requests.Session())  # type: ignore[assignment]
    return {}


LOST = [other_session, no_hooks, hooks_of_one_request, wrapped_hooks, duck]


@pytest.mark.parametrize("lose", LOST)
def test_a_refusal_is_explained_without_our_hook(
    lose: Callable[[SafeClient], dict[str, Any]], server: SimulatedLangSmith
) -> None:
    client = safe(server)
    own = lose(client)
    with pytest.raises(AccessDeniedError) as caught:
        client.request_with_retries("GET", "/sessions", request_kwargs=own)
    known = "access-denied" if lose is duck else "key-rejected"
    assert caught.value.code == known
    client.session.close()


@pytest.mark.parametrize("lose", LOST[:4])
def test_a_refusal_is_repaired_without_our_hook(
    lose: Callable[[SafeClient], dict[str, Any]], server: SimulatedLangSmith
) -> None:
    own = server.add_workspace("Research", projects=2)
    key = server.add_service_key(workspaces=None).secret
    client = safe(server, key)
    kwargs = lose(client)
    response = client.request_with_retries("GET", "/sessions", request_kwargs=kwargs)
    assert len(response.json()) == 2
    assert client.workspace_id == own.id
    client.session.close()


def test_a_call_of_the_session_returns_the_response(server: SimulatedLangSmith) -> None:
    client = safe(server)
    with client.session:
        response = client.session.get(f"{server.url}/sessions", headers=client._headers)
        assert response.status_code == 403
        with pytest.raises(requests.HTTPError):
            response.raise_for_status()


def test_a_web_page_is_an_error_only_in_calls_of_the_sdk(
    server: SimulatedLangSmith,
) -> None:
    page = "<html><title>Sign in</title></html>"
    html = {"Content-Type": "text/html"}
    server.answer("*", status=200, body=page, headers=html)
    client = safe(server)
    with client.session:
        with pytest.raises(AccessDeniedError):
            list(client.list_projects())
        response = client.session.get(f"{server.url}/sessions", headers=client._headers)
        assert response.text == page


def test_a_mock_session_gets_no_header_that_is_none(
    server: SimulatedLangSmith,
) -> None:
    from unittest import mock

    session = mock.MagicMock(spec=requests.Session)
    client = SafeClient(server.url, api_key=GONE, session=session, auto_batch_tracing=False)
    client.request_with_retries(
        "POST",
        "https://replica.example/runs",
        request_kwargs={"headers": {"X-Service-Key": "s"}},
    )
    headers = session.request.call_args.kwargs["headers"]
    assert headers["X-Service-Key"] == "s"
    assert None not in headers.values()
    assert not {"x-api-key", "X-Tenant-Id"} & headers.keys()


# --- several clients with the same credentials -----------------------------------------


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    def found() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "safe_langsmith"]

    return found


def probes(server: SimulatedLangSmith) -> list[str]:
    asked = [f"{e.method} {e.path}" for e in server.exchanges]
    return [line for line in asked if line not in ("GET /sessions", "GET /datasets")]


def test_five_clients_share_an_error(server: SimulatedLangSmith) -> None:
    clients = [safe(server) for _ in range(5)]
    seen = []

    def call(client: SafeClient) -> None:
        with pytest.raises(KeyRejectedError) as caught:
            list(client.list_projects())
        seen.append(caught.value.diagnosis)

    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 5
    assert len(probes(server)) == 3
    assert all(client.last_diagnosis == seen[0] for client in clients)
    async_client = SafeAsyncClient(server.url, api_key=GONE)

    async def call_async() -> None:
        with pytest.raises(KeyRejectedError):
            _ = [d async for d in async_client.list_datasets()]
        await async_client.aclose()  # type: ignore[no-untyped-call]

    anyio.run(call_async)
    assert len(probes(server)) == 3
    for client in clients:
        client.session.close()


def test_five_clients_share_a_repair_and_its_line(
    server: SimulatedLangSmith, lines: Callable[[], list[str]]
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None).secret
    clients = [safe(server, key) for _ in range(5)]
    for client in clients:
        assert len(list(client.list_projects())) == 1
        assert client.workspace_id == own.id
    assert probes(server) == ["GET /workspaces"]
    assert len(lines()) == 1
    for client in clients:
        client.session.close()


def test_clients_whose_keys_have_different_sources_share_no_diagnosis(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose key comes from another source gets its own diagnosis."""
    first = safe(server)
    with pytest.raises(KeyRejectedError) as caught:
        list(first.list_projects())
    assert caught.value.diagnosis.key_source == "the api_key argument"
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    second = safe(server, None)
    with pytest.raises(KeyRejectedError) as caught:
        list(second.list_projects())
    assert caught.value.diagnosis.key_source == "LANGSMITH_API_KEY"
    for client in (first, second):
        client.session.close()


def test_a_shared_repair_that_does_not_help_is_dropped(server: SimulatedLangSmith) -> None:
    """The key is revoked after the first client's repair; the second gets an error."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None)
    first, second = (safe(server, key.secret) for _ in range(2))
    assert len(list(first.list_projects())) == 1
    assert own.id == first.workspace_id
    server.revoke(key)
    with pytest.raises(AccessDeniedError) as caught:
        list(second.list_projects())
    assert caught.value.code == "key-rejected"
    for client in (first, second):
        client.session.close()
