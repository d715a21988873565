"""Tests for traces that stay refused: logged once, kept, and saved; the program goes on."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import langsmith
import pytest
import requests
import tracing
from conftest import QUICK
from langsmith.utils import (
    LangSmithConnectionError,
    LangSmithError,
    LangSmithExceptionGroup,
)
from pages import ROOT

from safe_langsmith import (
    AccessDeniedError,
    KeyRejectedError,
    PermissionMissingError,
    Policy,
    SafeClient,
)
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._traces.lost import DESTINATION
from safe_langsmith._transport.owner import state_of
from safe_langsmith.testing import SimulatedLangSmith

UNKNOWN = "lsv2_pt_00000000000000000000000000000000_0000000000"
RUN = "0d3c41aa-2f0e-4c55-8a0b-5d0f1f3b9e77"
background = pytest.mark.parametrize("way", tracing.BACKGROUND)


def refused_client(
    server: SimulatedLangSmith, way: str = "compressed", **arguments: Any
) -> SafeClient:
    """A client with an unknown key."""
    if not server.runs:
        server.add_workspace("Research")
    options = {"policy": QUICK, "api_key": UNKNOWN, **tracing.WAYS[way](server)}
    return SafeClient(server.url, **(options | arguments))


def in_batches(client: SafeClient, number: int) -> list[str]:
    """Trace this many batches of one run each."""
    runs = []
    for _ in range(number):
        runs += tracing.record(client, 1)
        client.flush()
    return runs


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "safe_langsmith"]


def theirs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The SDK's own log lines about lost traces."""
    told = [r for r in caplog.records if r.name.startswith("langsmith")]
    return [r.getMessage() for r in told if "ail" in r.getMessage()]


# --- while the client is created -------------------------------------------------------


class LateSession(requests.Session):
    """The constructor gets its hooks only once the SDK's thread has followed a redirect."""

    server: SimulatedLangSmith | None = None

    @property
    def hooks(self) -> Any:
        if self.server and threading.current_thread() is threading.main_thread():
            until = time.monotonic() + 20
            while not self.server.saw("/signin") and time.monotonic() < until:
                time.sleep(0.01)
        return self._hooks

    @hooks.setter
    def hooks(self, value: Any) -> None:
        self._hooks = value


def test_a_request_that_began_before_the_client_existed(server: SimulatedLangSmith) -> None:
    """It is not explained: where it was redirected from is unknown."""
    there = {"Location": f"{server.url}/signin"}
    page: Any = {"status": 403, "body": "<html>Log in"}
    server.answer("/signin", **page)
    server.answer("/signin", **page, times=1, delay=1.0)
    for path in ("/info", "/runs/multipart", "/runs/batch"):
        server.answer(path, status=302, headers=there)
    session = LateSession()
    session.server = server
    client = SafeClient(server.url, api_key=UNKNOWN, policy=QUICK, session=session)
    session.server = None
    tracing.record(client, 1)
    client.flush()
    with pytest.raises(AccessDeniedError, match=f"{server.url}/signin"):
        client.raise_for_tracing_errors()
    client.close()


# --- logged once ------------------------------------------------------------------------


@background
def test_one_line_for_a_cause(
    server: SimulatedLangSmith, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    client = refused_client(server, way, tracing_error_callback=errors.append)
    in_batches(client, 6)
    assert [type(e) for e in errors] == [KeyRejectedError] * len(tracing.ingest(server))
    assert len(errors) >= 6
    (line,) = ours(caplog)
    assert "rejected this key" in line
    assert "Traces are lost until this is fixed: create a new key at" in line
    assert line.endswith("More: safe-langsmith explain key-rejected")
    assert UNKNOWN[8:20] not in line
    assert "\n" not in line
    assert theirs(caplog) == []
    # One diagnosis, and one request per batch.
    probes = [e for e in server.exchanges if e.path == "/workspaces"]
    assert len(probes) <= 2
    client.cleanup()


def test_again_after_the_cooldown(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    client = refused_client(server, policy=Policy(budget_s=8, cooldown_s=0.3))
    in_batches(client, 3)
    time.sleep(0.4)
    in_batches(client, 3)
    lines = ours(caplog)
    assert 2 <= len(lines) <= 4  # a slow machine may need more than 0.3 s for three
    assert len(set(lines)) == 1
    client.cleanup()


def test_another_cause_is_said(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer")
    client = SafeClient(server.url, api_key=key.secret, policy=QUICK)
    in_batches(client, 2)
    server.revoke(key)
    client.api_key = UNKNOWN
    in_batches(client, 2)
    first, second = ours(caplog)
    assert "safe-langsmith explain permission-missing" in first
    assert "safe-langsmith explain key-rejected" in second
    client.cleanup()


def test_what_the_plain_client_says(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs each lost batch, even while a safe client is used."""
    plain = langsmith.Client(server.url, api_key=UNKNOWN)
    client = refused_client(server)
    in_batches(client, 2)
    for _ in range(3):
        tracing.record(plain, 1)
        plain.flush()
    assert len(theirs(caplog)) == 3
    assert len(ours(caplog)) == 1
    client.cleanup()
    plain.cleanup()


def test_other_trouble_is_the_sdk_s_to_tell(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    server.answer("/runs/multipart", status=422, body={"detail": "too odd"})
    client = SafeClient(server.url, api_key=key, policy=QUICK)
    in_batches(client, 2)
    assert len(theirs(caplog)) == 2
    assert ours(caplog) == []
    client.cleanup()


@pytest.mark.parametrize("way", tracing.WAYS)
def test_the_program_goes_on(
    server: SimulatedLangSmith,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    client = refused_client(server, way)

    @langsmith.traceable(client=client)
    def double(number: int) -> int:
        return 2 * number

    assert [double(number) for number in range(5)] == [0, 2, 4, 6, 8]
    client.flush()
    assert len(ours(caplog)) == 1
    assert theirs(caplog) == []
    client.cleanup()


# --- kept -------------------------------------------------------------------------------


@background
def test_raise_for_tracing_errors(server: SimulatedLangSmith, way: str) -> None:
    client = refused_client(server, way)
    client.raise_for_tracing_errors()
    in_batches(client, 3)
    with pytest.raises(KeyRejectedError) as caught:
        client.raise_for_tracing_errors()
    assert caught.value.code == "key-rejected"
    client.raise_for_tracing_errors()  # only errors since the last call
    in_batches(client, 1)
    with pytest.raises(KeyRejectedError):
        client.raise_for_tracing_errors()
    client.cleanup()


def test_several_reasons_make_a_group(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    client = SafeClient(server.url, api_key=key, policy=QUICK)
    in_batches(client, 2)
    client.api_key = UNKNOWN
    in_batches(client, 2)
    server.answer("/runs/multipart", status=422, body={"detail": "too odd"})
    in_batches(client, 1)
    with pytest.raises(LangSmithExceptionGroup, match="for 3 reasons") as caught:
        client.raise_for_tracing_errors()
    kinds = [type(e) for e in caught.value.exceptions]
    assert kinds[:2] == [PermissionMissingError, KeyRejectedError]
    assert "\n- KeyRejectedError: POST /runs/multipart was refused (403)" in str(
        caught.value
    )
    assert UNKNOWN[8:20] not in str(caught.value)
    client.cleanup()


@pytest.mark.slow
def test_a_broken_connection_counts_too(server: SimulatedLangSmith) -> None:
    client = refused_client(server, "multipart")
    server.stop()
    tracing.record(client, 1)
    client.flush()
    with pytest.raises(LangSmithConnectionError):
        client.raise_for_tracing_errors()
    client.cleanup()


def test_runs_that_are_sent_one_by_one(server: SimulatedLangSmith) -> None:
    """Both requests of a run (start and end) raise in the caller, as in the SDK."""
    client = refused_client(server, "one by one")
    with pytest.raises(KeyRejectedError):
        client.create_run("run", {}, "chain", id=RUN)
    with pytest.raises(KeyRejectedError):
        client.raise_for_tracing_errors()
    with pytest.raises(KeyRejectedError):
        client.update_run(RUN, outputs={})
    with pytest.raises(KeyRejectedError):
        client.raise_for_tracing_errors()
    client.raise_for_tracing_errors()


class OddError(Exception):
    """An error that cannot be copied."""

    def __reduce__(self) -> Any:
        raise TypeError("no")


def test_an_error_that_cannot_be_copied(server: SimulatedLangSmith) -> None:
    """The SDK passes any exception that prevented sending to the callback."""
    client = refused_client(server)
    client._invoke_tracing_error_callback(OddError("odd"))
    with pytest.raises(LangSmithError, match="OddError: odd"):
        client.raise_for_tracing_errors()
    client.cleanup()


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
def test_what_is_kept_is_bounded_and_holds_no_batch(server: SimulatedLangSmith) -> None:
    """A program that runs for weeks with a bad key does not keep growing."""
    client = refused_client(server, "one by one", policy=QUICK)
    for _ in range(1100):
        with pytest.raises(AccessDeniedError):
            client.update_run(RUN, outputs={})
    assert len(state_of(client).lost) == 1000
    assert all(kept.__traceback__ is None for kept in state_of(client).lost)
    assert all(kept.__context__ is kept.__cause__ is None for kept in state_of(client).lost)


def test_a_client_that_was_refused_is_freed(server: SimulatedLangSmith) -> None:
    """Like the plain client: the SDK's threads end when there is no reference to it."""
    client = refused_client(server)
    in_batches(client, 2)
    found = weakref.ref(client)
    client.cleanup()
    del client
    deadline = time.monotonic() + 30
    while found() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert found() is None


# --- recovered --------------------------------------------------------------------------


@background
def test_an_assignment_recovers_at_once(server: SimulatedLangSmith, way: str) -> None:
    client = refused_client(server, way)
    in_batches(client, 2)
    good = server.add_personal_key().secret
    client.api_key = good
    runs = tracing.record(client, 5)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    assert dict(client._write_api_urls) == {server.url: good}
    client.cleanup()


@background
def test_the_environment_recovers_by_itself(
    server: SimulatedLangSmith, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", UNKNOWN)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    server.add_workspace("Research")
    client = SafeClient(policy=QUICK, **tracing.WAYS[way](server))
    in_batches(client, 2)
    monkeypatch.setenv("LANGSMITH_API_KEY", server.add_personal_key().secret)
    runs = in_batches(client, 3)
    tracing.arrived_whole_and_once(server, runs)
    client.cleanup()


@background
def test_a_role_that_is_widened_is_seen_after_the_cooldown(
    server: SimulatedLangSmith, way: str
) -> None:
    """Nothing changes on the client side, only on the server."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer")
    options = tracing.WAYS[way](server)
    policy = Policy(budget_s=8, cooldown_s=0.2)
    client = SafeClient(server.url, api_key=key.secret, policy=policy, **options)
    in_batches(client, 2)
    server.set_role(key, role="Admin")
    time.sleep(0.3)
    runs = in_batches(client, 2)
    tracing.arrived_whole_and_once(server, runs)
    client.cleanup()


def test_no_key_any_more(server: SimulatedLangSmith) -> None:
    """Assigning None removes the key; that is reported, and no other key is tried."""
    errors: list[Any] = []
    client = refused_client(server, tracing_error_callback=errors.append)
    in_batches(client, 1)
    client.api_key = None
    in_batches(client, 1)
    assert [e.code for e in errors][-1] == "key-missing"
    client.cleanup()


# --- saved ------------------------------------------------------------------------------


@background
def test_a_refused_batch_is_saved_if_wanted(
    server: SimulatedLangSmith,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "failed"
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", str(folder))
    client = refused_client(server, way)
    in_batches(client, 3)
    files = sorted(folder.iterdir())
    assert len(files) == len(tracing.ingest(server)) >= 3
    for file in files:
        content = json.loads(file.read_text())
        assert content["endpoint"] == ("runs/batch" if way == "batch" else "runs/multipart")
        assert UNKNOWN not in file.read_text()
        assert DESTINATION not in content["headers"]
    (line,) = ours(caplog)
    assert "Traces are saved, not sent, until this is fixed" in line
    assert f"then send them: safe-langsmith replay {folder}" in line
    assert theirs(caplog) == []
    client.cleanup()


@pytest.mark.parametrize("bad", [0, 1], ids=["the client's own", "a further one"])
@background
def test_the_file_of_one_of_several_destinations_names_it(
    server: SimulatedLangSmith,
    way: str,
    bad: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "failed"
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", str(folder))
    with SimulatedLangSmith() as other:
        options = tracing.WAYS[way](server) | tracing.WAYS[way](other)
        server.add_workspace("Ours")
        other.add_workspace("Theirs")
        keys = [one.add_personal_key().secret for one in (server, other)]
        keys[bad] = UNKNOWN
        urls = dict(zip((server.url, other.url), keys, strict=True))
        client = SafeClient(api_urls=urls, policy=QUICK, **options)
        in_batches(client, 1)
        headers = [json.loads(f.read_text())["headers"] for f in folder.iterdir()]
        assert {h[DESTINATION] for h in headers} == {[*urls][bad]}
        client.cleanup()


def test_what_the_sdk_saves_for_its_own_reasons(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A batch that failed but was not refused is saved and logged by the SDK as usual."""
    folder = tmp_path / "failed"
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", str(folder))
    server.add_workspace("Research")
    good = server.add_personal_key().secret
    client = SafeClient(server.url, api_key=good, policy=QUICK)
    server.answer("/runs/multipart", status=422, body={"detail": "too odd"})
    in_batches(client, 1)
    assert len(list(folder.iterdir())) == 1
    assert any("data saved to" in text for text in theirs(caplog) + told_at_all(caplog))
    client.cleanup()


def told_at_all(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records]


# --- the end of the program -------------------------------------------------------------

PROGRAM = """
import sys
import tracing
from safe_langsmith import Policy, SafeClient

url, key, end = sys.argv[1:]
client = SafeClient(url, api_key=key, policy=Policy(budget_s=3))
tracing.record(client, 20)
if end == "close":
    client.close()
elif end == "flush":
    client.flush()
print("done", flush=True)
"""


def run_program(url: str, end: str, key: str = UNKNOWN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, url, key, end],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        timeout=60,  # a program that hangs fails here
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit", "flush", "close"])
def test_a_refused_program_ends(server: SimulatedLangSmith, end: str) -> None:
    server.add_workspace("Research")
    done = run_program(server.url, end)
    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert done.stderr.count("was refused (403)") == 1
    assert "Traceback" not in done.stderr
    assert UNKNOWN[8:20] not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit", "close"])
def test_a_program_whose_probes_get_no_answer_ends(
    server: SimulatedLangSmith, end: str
) -> None:
    """The time limit of a diagnosis also applies at exit."""
    server.add_workspace("Research")
    for path in ("/workspaces", "/sessions", "/orgs/*"):
        server.answer(path, status=200, delay=300)
    done = run_program(server.url, end)
    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit", "flush", "close"])
def test_a_repair_as_the_program_ends(server: SimulatedLangSmith, end: str) -> None:
    """Batches that are refused while the interpreter shuts down also arrive."""
    server.add_workspace("Research")
    key = server.add_service_key(workspaces=None).secret
    done = run_program(server.url, end, key)
    assert done.returncode == 0, done.stderr
    assert len(server.runs) == 20
    assert "Traceback" not in done.stderr


def test_closing_while_a_refusal_is_dealt_with(server: SimulatedLangSmith) -> None:
    client = refused_client(server)
    server.answer("/workspaces", status=None, delay=1)
    tracing.record(client, 3)
    closing = threading.Thread(target=client.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()


def test_the_log_may_be_silenced(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("safe_langsmith").setLevel(logging.ERROR)
    try:
        client = refused_client(server)
        in_batches(client, 1)
        assert ours(caplog) == []
        assert theirs(caplog) == []
        client.cleanup()
    finally:
        logging.getLogger("safe_langsmith").setLevel(logging.NOTSET)


# --- clients that cannot be watched -----------------------------------------------------


def test_a_client_that_sends_without_python_says_so(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    native = ModuleType("langsmith_pyo3")
    native.BlockingTracingClient = lambda *_: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langsmith_pyo3", native)
    monkeypatch.setenv("LANGSMITH_USE_PYO3_CLIENT", "1")
    clear_caches()
    for _ in range(2):
        SafeClient(server.url, api_key=UNKNOWN, auto_batch_tracing=False)
    (line,) = ours(caplog)
    assert "so langsmith_pyo3 sends traces. Refused traces are not seen" in line
