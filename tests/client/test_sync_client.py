"""Tests for `SafeClient` with each kind of SDK call: lists, uploads, threads, sessions."""

from __future__ import annotations

import gc
import inspect
import io
import logging
import multiprocessing
import os
import pickle
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import langsmith
import pytest
import requests
from conftest import QUICK, Serve
from langsmith.utils import (
    LangSmithAPIError,
    LangSmithAuthError,
    LangSmithConflictError,
    LangSmithConnectionError,
    LangSmithError,
    LangSmithNotFoundError,
    LangSmithRateLimitError,
    LangSmithUserError,
)
from releases import needs_v2
from scenarios import GONE, HTML_403
from stage import assert_no_secret
from tracing import record
from urllib3.util import Retry

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    KeyMalformedError,
    KeyMissingError,
    KeyRejectedError,
    PermissionMissingError,
    Policy,
    SafeClient,
    WorkspaceRequiredError,
    WrongEndpointError,
)
from safe_langsmith.testing import SimulatedLangSmith


def client_for(server: SimulatedLangSmith, **arguments: Any) -> SafeClient:
    arguments.setdefault("policy", QUICK)
    arguments.setdefault("auto_batch_tracing", False)
    return SafeClient(server.url, **arguments)


@pytest.fixture
def rotated(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], SafeClient]:
    """Return a function that makes a client; `client.rotate()` replaces its key."""
    own = server.add_workspace("Research", projects=250, runs=120)
    old = server.add_personal_key(workspaces=[own])
    new = server.add_personal_key(workspaces=[own])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", old.secret)

    def rotate() -> None:
        server.revoke(old)
        monkeypatch.setenv("LANGSMITH_API_KEY", new.secret)

    def make() -> SafeClient:
        client = SafeClient(policy=QUICK, auto_batch_tracing=False)
        client.rotate = rotate  # type: ignore[attr-defined]
        return client

    return make


def paths(server: SimulatedLangSmith) -> list[str]:
    return [f"{e.method} {e.path} {e.status}" for e in server.exchanges]


# --- drop-in --------------------------------------------------------------------------


def test_it_is_the_sdk_s_client(server: SimulatedLangSmith) -> None:
    assert isinstance(client_for(server), langsmith.Client)
    assert safe_langsmith.Client is SafeClient


def test_signature_shows_every_argument_and_policy() -> None:
    plain = inspect.signature(langsmith.Client).parameters
    safe = inspect.signature(SafeClient).parameters
    assert list(safe) == [*plain, "policy", "verify"]
    assert all(safe[name] == plain[name] for name in plain)


def test_written_signature_is_the_sdk_s() -> None:
    """The signature for type checkers has every argument of the newest SDK."""
    import ast

    tree = ast.parse(Path(safe_langsmith._client.__file__).read_text())
    inits = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    written = next(n for n in inits if n.name == "__init__" and len(n.args.kwonlyargs) > 2)
    names = [a.arg for a in (*written.args.args, *written.args.kwonlyargs)]
    plain = list(inspect.signature(langsmith.Client.__init__).parameters)
    assert set(plain) | {"policy", "verify"} <= set(names)


def test_positional_endpoint_counts_as_an_argument(server: SimulatedLangSmith) -> None:
    client = client_for(server, api_key=GONE)
    assert client.diagnose().endpoint_source == "the api_url argument"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, LangSmithNotFoundError),
        (409, LangSmithConflictError),
        (422, LangSmithError),
        (400, LangSmithError),
        (405, LangSmithError),
        (429, LangSmithRateLimitError),
        (500, LangSmithAPIError),
    ],
)
def test_other_errors_are_those_of_the_plain_client(
    server: SimulatedLangSmith, status: int, error: type[Exception]
) -> None:
    """The exception, its text, and the requests are the same as with the plain client."""
    key = server.add_personal_key().secret
    server.answer(
        "/sessions", status=status, body={"detail": "no"}, headers={"Retry-After": "0"}
    )
    seen = []
    for make in (langsmith.Client, SafeClient):
        server.clear()
        retry = Retry(total=1, status_forcelist=[429, 500], raise_on_status=False)
        client = make(server.url, api_key=key, auto_batch_tracing=False, retry_config=retry)
        with pytest.raises(LangSmithError) as caught:
            list(client.list_projects())
        seen.append((type(caught.value), str(caught.value), paths(server)))
    assert seen[0] == seen[1]
    assert seen[0][0] is error


def test_a_timeout_is_that_of_the_plain_client(server: SimulatedLangSmith) -> None:
    key = server.add_personal_key().secret
    server.answer("/sessions", status=200, body=[], delay=5)
    seen = []
    for make in (langsmith.Client, SafeClient):
        server.clear()
        client = make(
            server.url,
            api_key=key,
            auto_batch_tracing=False,
            timeout_ms=200,
            retry_config=Retry(total=0),
        )
        with pytest.raises(LangSmithError) as caught:
            list(client.list_projects())
        seen.append(type(caught.value))
    assert seen[0] is seen[1]
    server.clear_answers()


def test_a_connection_error_is_that_of_the_plain_client() -> None:
    seen = []
    for make in (langsmith.Client, SafeClient):
        client = make(
            "http://127.0.0.1:9",
            api_key=GONE,
            auto_batch_tracing=False,
            retry_config=Retry(total=0),
        )
        with pytest.raises(LangSmithConnectionError) as caught:
            list(client.list_projects())
        seen.append(type(caught.value))
    assert seen[0] is seen[1]


def test_a_run_without_a_refusal_costs_nothing(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends the same requests, and adds no threads and no opened files."""
    own = server.add_workspace("Research", projects=3)
    key = server.add_personal_key(workspaces=[own]).secret
    Path(".env").write_text("LANGSMITH_WORKSPACE_ID=x\n")
    opened: list[str] = []
    really_open = io.open

    def noted(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(file))
        return really_open(file, *args, **kwargs)

    monkeypatch.setattr(io, "open", noted)
    seen = []
    # The first round fills the SDK's caches, which includes calls of git.
    for make in (langsmith.Client, langsmith.Client, SafeClient):
        server.clear()
        opened.clear()
        threads = threading.active_count()
        client = make(server.url, api_key=key, auto_batch_tracing=False)
        list(client.list_projects())
        client.create_run("run", {}, "chain", id=uuid.UUID(int=1))
        seen.append((paths(server), threading.active_count() - threads, list(opened)))
    assert seen[1] == seen[2]
    assert not any(name.endswith(".env") for name in opened)


def test_nothing_of_the_decision_is_imported_without_a_refusal() -> None:
    import subprocess
    import sys

    code = (
        "import sys, safe_langsmith\n"
        "late = ['_transport.requests_driver', '_decision', '_command', 'testing']\n"
        "found = [n for n in late if 'safe_langsmith.' + n in sys.modules]\n"
        "assert not found, found\n"
        "assert 'tenacity' not in sys.modules and 'dotenv' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- every call of the client ---------------------------------------------------------


def test_page_three_of_a_lazy_listing(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    """The key changes while items are listed; none is lost or returned twice."""
    client = rotated()
    expected = [p.name for p in client.list_projects()]
    listing = client.list_projects()
    names = [next(listing).name for _ in range(150)]
    client.rotate()  # type: ignore[attr-defined]
    names += [p.name for p in listing]
    assert names == expected
    assert len(names) == len(set(names)) == 250
    assert client.last_diagnosis is not None
    assert client.last_diagnosis.code == "stale-setting"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_list_runs_across_a_repair(rotated: Callable[[], SafeClient]) -> None:
    client = rotated()
    project = next(p for p in client.list_projects() if p.name == "Research project 1")
    listing = client.list_runs(project_id=project.id)
    ids = [next(listing).id for _ in range(5)]
    client.rotate()  # type: ignore[attr-defined]
    ids += [r.id for r in listing]
    assert len(ids) == len(set(ids)) == 120


def test_a_call_with_a_snapshot_of_the_headers(rotated: Callable[[], SafeClient]) -> None:
    """Some calls pass a copy of the old headers; the request itself is repaired."""
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    dataset = client.create_dataset("made with a snapshot")
    client.delete_dataset(dataset_id=dataset.id)
    assert not client.has_dataset(dataset_name="made with a snapshot")


def test_a_direct_call(rotated: Callable[[], SafeClient]) -> None:
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    old_headers = {"x-api-key": client.api_key, "Accept": "application/json"}
    response = client.request_with_retries("GET", "/sessions", headers=old_headers)
    assert response.status_code == 200


def test_hard_delete(rotated: Callable[[], SafeClient], server: SimulatedLangSmith) -> None:
    """Only this call bypasses `request_with_retries`."""
    client = rotated()
    dataset = client.create_dataset("examples")
    example = client.create_example(inputs={"a": 1}, dataset_id=dataset.id)
    client.rotate()  # type: ignore[attr-defined]
    client.delete_examples([example.id], hard_delete=True)
    assert list(client.list_examples(dataset_id=dataset.id)) == []


def test_hard_delete_refused_is_an_http_error_too(server: SimulatedLangSmith) -> None:
    client = client_for(server, api_key=GONE)
    with pytest.raises(requests.HTTPError) as caught:
        client.delete_examples([uuid.UUID(int=1)], hard_delete=True)
    assert isinstance(caught.value, KeyRejectedError)
    twin = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(twin, requests.HTTPError)
    assert isinstance(twin, KeyRejectedError)


def test_uploads_are_resent_completely(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    rows = b"question,answer\nwho,me\nwhat,that\n"
    client.upload_csv(
        ("data.csv", io.BytesIO(rows)), ["question"], ["answer"], name="uploaded"
    )
    uploads = [e for e in server.exchanges if e.path == "/datasets/upload"]
    assert [e.status for e in uploads] == [403, 200]
    assert uploads[0].body == uploads[1].body
    assert rows in uploads[1].body


def test_a_streamed_body_is_rewound(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    body = io.BytesIO(b"skip" + b'{"name":"x"}')
    body.seek(4)
    client.request_with_retries("POST", "/sessions", data=body)
    sent = [e.body for e in server.exchanges if e.method == "POST"]
    assert sent == [b'{"name":"x"}'] * 2


def test_a_body_that_cannot_be_rewound_is_not_sent_twice(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    """The client is repaired, and the error says to call again."""
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    with pytest.raises(AccessDeniedError, match="cannot be sent twice") as caught:
        client.request_with_retries("POST", "/sessions", data=iter([b'{"name":"x"}']))
    assert "call it again" in caught.value.next_steps[0]
    client.request_with_retries("POST", "/sessions", data=iter([b'{"name":"x"}']))
    posts = [e.status for e in server.exchanges if e.method == "POST"]
    assert posts == [403, 200]


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_traces_reach_the_server_once(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith, size: int
) -> None:
    """A repair works for tracing too: refused runs arrive completely, and once."""
    rotate = rotated().rotate  # type: ignore[attr-defined]
    client = SafeClient(policy=QUICK)
    rotate()
    runs = [uuid.uuid4() for _ in range(5)]
    for run in runs:
        client.create_run(
            "run",
            {"text": "x" * size},
            "chain",
            id=run,
            trace_id=run,
            dotted_order=f"20260101T000000000000Z{run}",
        )
    client.flush()
    arrived = server.runs
    assert [len(arrived[str(run)]) for run in runs] == [1] * 5
    assert all(arrived[str(run)][0]["inputs"] == {"text": "x" * size} for run in runs)
    client.cleanup()


def test_a_repair_reaches_the_whole_client(
    rotated: Callable[[], SafeClient],
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = rotated()
    _ = client.info
    client.rotate()  # type: ignore[attr-defined]
    list(client.list_projects())
    key = os.environ["LANGSMITH_API_KEY"]
    assert client.api_key == key
    assert client._headers["x-api-key"] == key
    assert dict(client._write_api_urls) == {server.url: key}
    assert client._settings is None
    server.clear()
    list(client.list_projects())
    assert {e.status for e in server.exchanges} == {200}


def test_a_given_info_stays(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_workspace("Research")
    key = server.add_service_key(workspaces=None).secret
    client = client_for(server, api_key=key, info={"version": "9.9.9"})
    list(client.list_projects())
    assert client.info.version == "9.9.9"


def test_the_environment_is_not_changed(rotated: Callable[[], SafeClient]) -> None:
    client = rotated()
    client.rotate()  # type: ignore[attr-defined]
    before = dict(os.environ)
    list(client.list_projects())
    assert dict(os.environ) == before


def test_the_sdk_s_caches_are_cleared(
    rotated: Callable[[], SafeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_PROJECT", "before")
    client = rotated()
    assert langsmith.utils.get_tracer_project() == "before"
    monkeypatch.setenv("LANGSMITH_PROJECT", "after")
    client.rotate()  # type: ignore[attr-defined]
    list(client.list_projects())
    assert langsmith.utils.get_tracer_project() == "after"


def test_a_workspace_from_the_sdk_s_cache(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted variable is still in the SDK's cache; this is detected and repaired."""
    own = server.add_workspace("Research", projects=1)
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", str(uuid.uuid4()))
    monkeypatch.setenv(
        "LANGSMITH_API_KEY", server.add_personal_key(workspaces=[own]).secret
    )
    langsmith.utils.get_env_var("WORKSPACE_ID", default=None)
    monkeypatch.delenv("LANGSMITH_WORKSPACE_ID")
    client = client_for(server)
    assert client.diagnose().workspace_source == "the SDK's cache of LANGSMITH_WORKSPACE_ID"
    assert len(list(client.list_projects())) == 1
    assert client.workspace_id == own.id
    assert "os.environ no longer has it" in str(client.last_diagnosis)


# --- what a repair does not change ----------------------------------------------------


def test_an_assigned_key_is_not_replaced(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    client = rotated()
    client.api_key = GONE
    with pytest.raises(KeyRejectedError) as caught:
        list(client.list_projects())
    assert caught.value.diagnosis.key_source == "an assignment to client.api_key"


def test_the_old_key_assigned_again_is_not_replaced(
    rotated: Callable[[], SafeClient],
) -> None:
    client = rotated()
    old = client.api_key
    client.rotate()  # type: ignore[attr-defined]
    list(client.list_projects())
    client.api_key = old
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    assert client.api_key == old


def test_a_key_of_one_request_does_not_change_the_client(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request with its own key is diagnosed with that key; the client keeps its key."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = client_for(server, api_key=key)
    with pytest.raises(KeyRejectedError) as caught:
        client.request_with_retries("GET", "/sessions", headers={"x-api-key": GONE})
    assert caught.value.diagnosis.key_source == "the request itself"
    assert client.api_key == key
    assert list(client.list_projects())


def test_a_request_with_an_organization_key_of_its_own(server: SimulatedLangSmith) -> None:
    """The workspace is filled in for this request only; the client keeps its settings."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    other = server.add_service_key(workspaces=None).secret
    client = client_for(server, api_key=key)
    for _ in range(2):
        response = client.request_with_retries(
            "GET", "/sessions", headers={"x-api-key": other}
        )
        assert response.status_code == 200
    assert client.workspace_id is None
    assert client.api_key == key
    probes = [e for e in server.exchanges if e.path == "/workspaces"]
    assert len(probes) == 1


def test_repair_can_be_switched_off(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    client = rotated()
    client.policy = Policy(repair=False)
    client.rotate()  # type: ignore[attr-defined]
    with pytest.raises(safe_langsmith.StaleSettingError) as caught:
        list(client.list_projects())
    assert caught.value.next_steps
    assert [e.path for e in server.exchanges].count("/sessions") == 1


@pytest.mark.usefixtures("uses_dotenv")
def test_dotenv_can_be_switched_off(server: SimulatedLangSmith) -> None:
    key = server.add_personal_key().secret
    Path(".env").write_text(f"LANGSMITH_API_KEY={key}\n")
    client = client_for(server, policy=Policy(dotenv=False))
    with pytest.raises(KeyMissingError):
        list(client.list_projects())


def test_dotenv_can_be_named(server: SimulatedLangSmith, tmp_path: Path) -> None:
    own = server.add_workspace("Research", projects=1)
    path = tmp_path / "settings.txt"
    path.write_text(
        f"LANGSMITH_API_KEY={server.add_personal_key(workspaces=[own]).secret}\n"
    )
    client = client_for(server, policy=Policy(dotenv=path))
    assert list(client.list_projects())


# --- official hosts, over TLS ---------------------------------------------------------


def test_the_web_app_s_address_is_corrected(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve_tls("eu.smith.langchain.com", layout="web")
    api = serve_tls("eu.api.smith.langchain.com")
    own = api.add_workspace("Research", projects=2)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://eu.smith.langchain.com")
    monkeypatch.setenv("LANGSMITH_API_KEY", api.add_personal_key(workspaces=[own]).secret)
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    assert len(list(client.list_projects())) == 2
    assert client.api_url == "https://eu.api.smith.langchain.com"
    assert client.last_diagnosis is not None
    assert client.last_diagnosis.code == "wrong-endpoint"
    assert client.last_diagnosis.region == "EU"
    client.create_run("run", {}, "chain")
    assert (len(web.exchanges), len(api.exchanges)) == (1, 2)


def test_the_web_app_s_address_as_an_argument_is_kept(serve_tls: Serve) -> None:
    web = serve_tls("smith.langchain.com", layout="web")
    api = serve_tls("api.smith.langchain.com")
    client = SafeClient(
        "https://smith.langchain.com", api_key=GONE, policy=QUICK, auto_batch_tracing=False
    )
    with pytest.raises(WrongEndpointError) as caught:
        list(client.list_projects())
    assert caught.value.next_steps == ('pass api_url="https://api.smith.langchain.com"',)
    assert (len(web.exchanges), len(api.exchanges)) == (1, 0)


def test_a_probe_follows_no_redirect(server: SimulatedLangSmith) -> None:
    with SimulatedLangSmith() as elsewhere:
        location = {"Location": f"{elsewhere.url}/workspaces"}
        server.answer("/workspaces", status=302, headers=location)
        server.answer("/auth/public", status=307, headers=location)
        with pytest.raises(AccessDeniedError):
            list(client_for(server, api_key=GONE).list_projects())
        assert elsewhere.exchanges == ()


def test_a_certificate_that_is_not_trusted(
    serve_tls: Serve, hosts: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_tls("api.smith.langchain.com")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    client = SafeClient(api_key=GONE, policy=Policy(budget_s=1), auto_batch_tracing=False)
    diagnosis = client.diagnose()
    assert diagnosis.code == "unknown"
    assert "the certificate of https://api.smith.langchain.com is not" in str(diagnosis)


# --- one diagnosis at a time, remembered for a while ----------------------------------


def together(call: Callable[[], Any], threads: int = 64) -> list[Any]:
    """Run a call on many threads at once; return the results or exceptions."""
    barrier = threading.Barrier(threads)

    def one(_: int) -> Any:
        barrier.wait()
        try:
            return call()
        except AccessDeniedError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_64_threads_refused_together_are_repaired_by_one_diagnosis(
    rotated: Callable[[], SafeClient], server: SimulatedLangSmith
) -> None:
    client = rotated()
    diagnoses: list[Diagnosis] = []
    client.policy = Policy(on_diagnosis=diagnoses.append)
    client.rotate()  # type: ignore[attr-defined]
    answers = together(lambda: client.read_project(project_name="Research project 1").name)
    assert answers == ["Research project 1"] * 64
    assert len(diagnoses) == 1
    assert [e.path for e in server.exchanges].count("/workspaces") == 1


def test_64_threads_refused_together_get_the_same_error(server: SimulatedLangSmith) -> None:
    diagnoses: list[Diagnosis] = []
    client = client_for(server, api_key=GONE, policy=Policy(on_diagnosis=diagnoses.append))
    errors = together(lambda: list(client.list_projects()))
    assert {type(e) for e in errors} == {KeyRejectedError}
    assert len(diagnoses) == 1
    assert [e.path for e in server.exchanges].count("/workspaces") == 1


def test_a_second_refusal_within_the_cooldown_sends_no_probe(
    server: SimulatedLangSmith,
) -> None:
    client = client_for(server, api_key=GONE)
    for _ in range(3):
        with pytest.raises(KeyRejectedError):
            list(client.list_projects())
    with pytest.raises(KeyRejectedError, match="GET /datasets was refused"):
        list(client.list_datasets())
    assert [e.path for e in server.exchanges] == [
        "/sessions",
        "/workspaces",
        "/auth/public",
        "/info",
        "/sessions",
        "/sessions",
        "/datasets",
    ]


def test_a_missing_permission_is_remembered_for_each_operation(
    server: SimulatedLangSmith,
) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    client = client_for(server, api_key=key)
    for _ in range(2):
        with pytest.raises(PermissionMissingError, match="projects:create"):
            client.create_project("new")
    with pytest.raises(PermissionMissingError, match="datasets:create"):
        client.create_dataset("new")
    assert [e.path for e in server.exchanges].count("/workspaces") == 2


def test_the_cooldown_ends(server: SimulatedLangSmith) -> None:
    client = client_for(server, api_key=GONE, policy=Policy(cooldown_s=0))
    for _ in range(2):
        with pytest.raises(KeyRejectedError):
            list(client.list_projects())
    assert [e.path for e in server.exchanges].count("/workspaces") == 2


@pytest.mark.usefixtures("uses_dotenv")
@pytest.mark.parametrize("change", ["assigned", "environ", "dotenv"])
def test_a_change_ends_the_cooldown(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = client_for(server)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    if change == "assigned":
        client.api_key = key
    elif change == "environ":
        monkeypatch.setenv("LANGSMITH_API_KEY", key)
    else:
        Path(".env").write_text(f"LANGSMITH_API_KEY={key}\n")
    assert list(client.list_projects())


@pytest.mark.slow
def test_a_key_that_worked_is_tried_once_more(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    client = client_for(server, api_key=server.add_personal_key(workspaces=[own]).secret)
    list(client.list_projects())
    server.answer("/sessions", status=403, body={"detail": "Forbidden"}, times=1)
    assert list(client.list_projects())
    assert client.last_diagnosis is not None
    assert client.last_diagnosis.code == "transient-refusal"
    assert client.last_diagnosis.resolved


def test_a_temporary_refusal_without_repair(server: SimulatedLangSmith) -> None:
    """Without a resend, nothing proves that it is temporary: the cause is unknown."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = client_for(server, api_key=key, policy=Policy(repair=False))
    list(client.list_projects())
    server.answer("/sessions", status=403, body={"detail": "Forbidden"}, times=1)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert caught.value.code == caught.value.diagnosis.code == "access-denied"


def test_a_pause_that_does_not_fit_is_reported(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = client_for(server, api_key=key, policy=Policy(budget_s=1))
    list(client.list_projects())
    server.answer("/sessions", status=403, body={"detail": "Forbidden"})
    with pytest.raises(AccessDeniedError, match="a pause of 3 s did not fit") as caught:
        list(client.list_projects())
    assert caught.value.code == "access-denied"
    assert [e.path for e in server.exchanges].count("/sessions") == 2


@pytest.mark.slow
def test_a_refusal_that_stays_after_the_pause(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    client = client_for(server, api_key=server.add_personal_key(workspaces=[own]).secret)
    list(client.list_projects())
    server.answer("/sessions", status=403, body={"detail": "Forbidden"})
    with pytest.raises(AccessDeniedError, match="caches a refusal") as caught:
        list(client.list_projects())
    assert caught.value.code == "access-denied"


def test_a_probe_waits_as_long_as_the_server_asks(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None).secret
    server.answer("/workspaces", status=429, headers={"Retry-After": "1"}, times=1)
    client = client_for(server, api_key=key)
    assert list(client.list_projects())
    assert client.workspace_id == own.id
    probes = [e.at for e in server.exchanges if e.path == "/workspaces"]
    assert len(probes) == 2
    assert probes[1] - probes[0] >= 1


def test_a_wait_longer_than_the_budget_is_skipped(server: SimulatedLangSmith) -> None:
    server.add_workspace("Research")
    key = server.add_service_key(workspaces=None).secret
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=429, headers={"Retry-After": "3600"})
    client = client_for(server, api_key=key)
    started = time.monotonic()
    with pytest.raises(WorkspaceRequiredError, match="could not be listed"):
        list(client.list_projects())
    assert time.monotonic() - started < QUICK.budget_s
    assert [e.path for e in server.exchanges].count("/workspaces") == 1


def test_a_probe_that_times_out_proves_nothing(server: SimulatedLangSmith) -> None:
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=403, body={"detail": "Forbidden"}, delay=30)
    client = client_for(server, api_key=GONE, policy=Policy(budget_s=0.5))
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert caught.value.code == "access-denied"
    assert [f.state for f in caught.value.diagnosis.findings] == ["unknown"]
    server.clear_answers()


# --- the caller's own sessions --------------------------------------------------------


def test_other_hosts_on_a_shared_session_are_left_alone(server: SimulatedLangSmith) -> None:
    session = requests.Session()
    client = client_for(server, api_key=GONE, session=session)
    with SimulatedLangSmith() as elsewhere:
        elsewhere.answer("*", status=403, body={"error": "Forbidden"})
        assert session.get(f"{elsewhere.url}/sessions").status_code == 403
        # The caller's own request to the same host is left alone too.
        assert session.get(f"{server.url}/sessions").status_code == 401
        assert len(elsewhere.exchanges) == len(server.exchanges) == 1
    assert client.last_diagnosis is None
    session.close()


def test_two_clients_on_one_session(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    session = requests.Session()
    first = client_for(server, api_key=GONE, session=session)
    second = client_for(
        server, api_key=server.add_service_key(workspaces=None).secret, session=session
    )
    assert list(second.list_projects())
    assert second.workspace_id == own.id
    assert first.last_diagnosis is None
    with pytest.raises(KeyRejectedError):
        list(first.list_projects())
    session.close()


def test_a_session_keeps_its_own_hooks_and_loses_ours(server: SimulatedLangSmith) -> None:
    session = requests.Session()
    seen: list[int] = []

    def hook(response: requests.Response, **_: Any) -> None:
        seen.append(response.status_code)

    session.hooks["response"] = hook  # type: ignore[assignment]
    client = client_for(server, api_key=GONE, session=session)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    assert seen == [403]
    late = session.hooks["response"][1]
    del client
    gc.collect()
    assert session.hooks["response"] == [hook]
    response = requests.Response()
    response.status_code = 403
    assert late(response) is None
    session.close()


def test_the_session_s_settings_apply_to_probes(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    session = requests.Session()
    session.headers["X-Gateway"] = "let me in"
    session.mount(server.url, requests.adapters.HTTPAdapter(max_retries=0))
    client = client_for(
        server,
        api_key=server.add_service_key(workspaces=None).secret,
        session=session,
        headers={"X-Team": "blue"},
    )
    assert list(client.list_projects())
    assert client.workspace_id == own.id
    assert {e.headers.get("x-gateway") for e in server.exchanges} == {"let me in"}
    assert {e.headers.get("x-team") for e in server.exchanges} == {"blue"}
    session.close()


def test_a_client_can_be_garbage_collected(server: SimulatedLangSmith) -> None:
    client = client_for(server, api_key=GONE)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    client.diagnose()
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


# --- keys that cannot be sent ---------------------------------------------------------


@pytest.mark.parametrize("spoil", ["\ufeff{}", "{}\u200b", "\u201c{}\u201d"])
def test_characters_that_cannot_be_sent_are_removed_from_a_key(
    server: SimulatedLangSmith, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = client_for(server, api_key=spoil.format(key))
    assert list(client.list_projects())
    assert client.diagnose().key_source == "the api_key argument"
    assert "To make it permanent: remove them" in caplog.text


@pytest.mark.parametrize("repair", [True, False])
def test_a_key_in_quotes_and_the_tracing_thread(
    server: SimulatedLangSmith, repair: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """That thread asks for /info before the client is complete. No line shows the key."""
    key = server.add_personal_key(workspaces=[server.add_workspace("Research")]).secret
    quoted = f"\u201c{key}\u201d"
    client = SafeClient(server.url, api_key=quoted, policy=Policy(repair=repair))
    assert client.api_key == (key if repair else quoted)
    record(client, 1)
    client.flush()
    assert (len(server.runs), "Failed to get info" in caplog.text) == (repair, not repair)
    assert ("To make it permanent" in caplog.text) == repair
    assert_no_secret(caplog.text, [key])
    unsent = pytest.raises(KeyMalformedError, match=r"^POST /runs[a-z/]* was not sent: ")
    with nullcontext() if repair else unsent:
        client.raise_for_tracing_errors()
    client.cleanup()


def test_a_key_that_cannot_be_sent_is_named(server: SimulatedLangSmith) -> None:
    """The error does not contain the key; the plain client's does."""
    client = client_for(server, api_key="ключ-" + "0123456789abcdef")
    with pytest.raises(KeyMalformedError, match="cannot be sent") as caught:
        list(client.list_projects())
    assert "GET /sessions was not sent" in str(caught.value)
    assert "0123456789abcdef" not in repr(caught.value)
    assert client.diagnose().code == "key-malformed"
    assert server.exchanges == ()


@pytest.mark.parametrize("address", ["foo", "smith.langchain.com", "http://[", "ftp://x"])
def test_an_endpoint_that_is_not_a_url(address: str) -> None:
    client = SafeClient(address, api_key=GONE, auto_batch_tracing=False)
    diagnosis = client.diagnose()
    assert diagnosis.code == "wrong-endpoint"
    assert diagnosis.summary.startswith("the endpoint, ")


# --- errors, handlers, processes ------------------------------------------------------


def test_existing_handlers_keep_working(server: SimulatedLangSmith) -> None:
    server.add_workspace("Research")
    server.add_workspace("Production")
    organization_key = server.add_service_key(workspaces=None).secret
    with pytest.raises(LangSmithUserError):
        list(client_for(server, api_key=organization_key).list_projects())
    with pytest.raises(LangSmithAuthError):
        list(client_for(server, api_key="").list_projects())
    with pytest.raises(LangSmithAuthError):
        list(client_for(server, api_key="ls__0123456789abcdef").list_projects())
    server.answer("*", status=401, body=HTML_403)
    client = client_for(server, api_key=GONE, policy=Policy(budget_s=0.4))
    with pytest.raises(LangSmithAuthError) as caught:
        list(client.list_projects())
    assert caught.value.code == "blocked-by-proxy"  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", ['"Forbidden"', "[]", "null", '["a", {"msg": "b"}]', "42"])
def test_a_refusal_whose_json_is_not_an_object(
    server: SimulatedLangSmith, body: str
) -> None:
    """The plain client raises AttributeError for these."""
    server.answer("/sessions", status=403, body=body.encode())
    client = client_for(server, api_key=GONE, policy=Policy(budget_s=1))
    with pytest.raises(AccessDeniedError):
        list(client.list_projects())


def fail(url: str) -> None:
    client = SafeClient(url, api_key=GONE, auto_batch_tracing=False)
    list(client.list_projects())


@pytest.mark.slow
def test_errors_pass_through_a_process_pool(server: SimulatedLangSmith) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool, pytest.raises(KeyRejectedError) as caught:
        pool.apply(fail, (server.url,))
    pool.join()
    assert caught.value.diagnosis.code == "key-rejected"


def test_a_refusal_in_the_background_reaches_the_callback(
    server: SimulatedLangSmith,
) -> None:
    errors: list[Exception] = []
    client = SafeClient(server.url, api_key=GONE, tracing_error_callback=errors.append)
    run = uuid.uuid4()
    order = f"20260101T000000000000Z{run}"
    client.create_run("run", {}, "chain", id=run, trace_id=run, dotted_order=order)
    client.flush()
    assert [type(e) for e in errors] == [KeyRejectedError]
    client.cleanup()


def test_on_diagnosis_may_fail(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(_: Diagnosis) -> None:
        raise RuntimeError("mine")

    client = client_for(server, api_key=GONE, policy=Policy(on_diagnosis=raises))
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    assert "safe_langsmith: on_diagnosis raised" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"budget_s": 0}, {"budget_s": float("nan")}, {"cooldown_s": -1}, {"dotenv": True}],
)
def test_a_wrong_policy_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Policy"):
        Policy(**wrong)


def test_a_policy_that_is_a_dict(server: SimulatedLangSmith) -> None:
    with pytest.raises(TypeError, match="policy must be a Policy, not dict"):
        client_for(server, api_key=GONE, policy={"repair": False})


def test_a_login_session(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fix is to log in again, or a key in a variable, which is used from then on."""
    import json

    own = server.add_workspace("Research", projects=1)
    token = server.add_oauth_token(workspaces=[own])
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    profile = {"api_url": server.url, "oauth": {"access_token": token.secret}}
    path.write_text(json.dumps({"profiles": {"default": profile}}))
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    assert list(client.list_projects())
    assert client.diagnose().key_kind == "oauth"
    server.revoke(token)
    with pytest.raises(
        KeyRejectedError, match="langsmith auth login --profile default"
    ) as caught:
        list(client.list_projects())
    assert token.secret[:16] not in str(caught.value)
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    assert list(client.list_projects())
    assert client.api_key == key


def test_the_log_line_of_a_repair(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None).secret
    with caplog.at_level(logging.WARNING, "safe_langsmith"):
        list(client_for(server, api_key=key).list_projects())
    (record,) = [r for r in caplog.records if r.name == "safe_langsmith"]
    assert record.getMessage() == (
        "safe_langsmith: GET /sessions was refused at first (403): this key needs a "
        "workspace, and none "
        f"is set. Repaired: used workspace {own.id} (Research), the only one that this "
        f"key can use. To make it permanent: set LANGSMITH_WORKSPACE_ID={own.id}."
    )


@pytest.mark.slow
def test_the_key_changes_once_more_during_a_diagnosis(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A diagnosis of outdated settings is not used."""
    own = server.add_workspace("Research", projects=1)
    keys = [server.add_personal_key(workspaces=[own]) for _ in range(3)]
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", keys[0].secret)
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    for key in keys[:2]:
        server.revoke(key)
    monkeypatch.setenv("LANGSMITH_API_KEY", keys[1].secret)
    server.answer("/workspaces", status=None, delay=0.5)

    def change() -> None:
        while not [e for e in server.exchanges if e.path == "/workspaces"]:
            time.sleep(0.01)
        monkeypatch.setenv("LANGSMITH_API_KEY", keys[2].secret)

    changing = threading.Thread(target=change)
    changing.start()
    assert len(list(client.list_projects())) == 1
    changing.join()
    assert client.api_key == keys[2].secret


@needs_v2
def test_no_time_for_a_probe(server: SimulatedLangSmith) -> None:
    """With no time left, no probe is sent, and the error says so."""
    hurried = Policy(budget_s=1e-6)
    with pytest.raises(AccessDeniedError) as by_method:
        list(client_for(server, api_key=GONE, policy=hurried).list_projects())
    client = client_for(server, api_key=GONE, policy=hurried)
    with (
        client._get_langsmith_api_sync() as generated,
        pytest.raises(AccessDeniedError) as by_resource,
    ):
        generated.get("/sessions", cast_to=object)
    for caught in (by_method, by_resource):
        texts = [finding.text for finding in caught.value.diagnosis.findings]
        assert "could not check the key" in texts
    assert paths(server) == ["GET /sessions 403"] * 2
