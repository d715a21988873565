"""Tests for replay: batches that the SDK saved arrive later, exactly once."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import urllib3
import zstandard
from conftest import QUICK
from hypothesis import strategies as st
from saved import START, WAYS, Place
from scenarios import GONE
from stage import assert_no_secret

from safe_langsmith import (
    AccessDeniedError,
    KeyRejectedError,
    PermissionMissingError,
    Replay,
    SafeClient,
)
from safe_langsmith._command.cli import main
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._traces.lost import DESTINATION
from safe_langsmith.testing import SimulatedLangSmith


@pytest.fixture
def place(
    server: SimulatedLangSmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    folder = tmp_path / "failed-traces"
    folder.mkdir()
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", str(folder))
    return Place(server, folder)


def under_way(file: Path, *, long_ago: bool = True) -> Path:
    """Rename a file as if a replay was killed while it sent the file."""
    sending = file.rename(file.with_suffix(".sending"))
    if long_ago:
        os.utime(sending, (time.time() - 60, time.time() - 60))
    return sending


# --- batches saved by the SDK ---------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_was_saved_arrives_as_it_was_and_once(place: Place, way: str) -> None:
    runs = place.save(way, 3, extras=way != "batch")
    saved = place.posts(403)
    steps: list[tuple[int, int]] = []
    client = place.client()
    result = client.replay_failed_traces(
        str(place.folder), on_progress=lambda done, of: steps.append((done, of))
    )
    number = len(saved)
    assert result == Replay(number)
    assert str(result) == f"{number} batches sent, 0 left"
    assert steps == [(n, number) for n in range(1, number + 1)]
    assert place.files == []
    assert place.arrived(*runs) == [1, 1, 1]
    sent = place.posts(202)
    assert [e.body for e in sent] == [e.body for e in saved]
    for name in ("content-type", "content-encoding"):
        assert [e.headers.get(name) for e in sent] == [e.headers.get(name) for e in saved]
    if way != "batch":
        (attachments,) = (r["attachments"] for r in place.server.runs[runs[0]])
        assert attachments["picture"]["data"] == b"\x89PNG\r\n--\r\n" * 1000
        feedback = list(place.client().list_feedback(run_ids=runs))
        assert sorted(str(f.run_id) for f in feedback) == sorted(runs)
    assert client.replay_failed_traces(place.folder) == Replay(0)


def test_the_oldest_first_and_other_files_are_left_alone(place: Place) -> None:
    runs = [place.write()[1] for _ in range(3)]
    others = ["notes.txt", "trace_1.tmp", "trace_1.json.bak", "my_trace_1.json"]
    for name in others:
        (place.folder / name).write_text("{}")
    assert place.replay() == Replay(3)
    assert [json.loads(e.body)["post"][0]["id"] for e in place.posts()] == runs
    assert place.files == sorted(others)


def test_only_feedback(place: Place) -> None:
    """A batch without a run; also if it is unknown whether it was sent."""
    place.server.info["instance_flags"]["zstd_compression_enabled"] = False
    client = SafeClient(place.server.url, api_key=GONE, policy=QUICK)
    run = uuid.uuid4()
    client.create_feedback(run, "score", score=1, trace_id=run, session_id=run)
    client.flush()
    client.cleanup()
    (name,) = place.files
    copy = (place.folder / name).read_bytes()
    under_way(place.folder / name)
    assert place.replay() == Replay(1)
    (place.folder / name).write_bytes(copy)
    under_way(place.folder / name)
    assert place.replay() == Replay(1)
    assert len(place.posts(202)) == 1


def test_a_folder_that_is_not_there(place: Place) -> None:
    for wrong in (place.folder / "none", Path(__file__)):
        with pytest.raises(NotADirectoryError, match="there is no folder"):
            place.client().replay_failed_traces(wrong)


def test_what_others_send_meanwhile_is_as_before(place: Place) -> None:
    """The session's adapters stay the same, also for other threads."""
    _, run = place.write()
    client = place.client()
    before = client.session.adapters
    place.server.answer("/info", status=503, times=2)
    found: list[int] = []

    def on_another_thread(done: int, of: int) -> None:
        def ask() -> None:
            found.append(client.session.get(f"{place.server.url}/info").status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        client.session.close()  # the replay can continue after that

    client.replay_failed_traces(place.folder, on_progress=on_another_thread)
    assert found == [200]  # after two retries by the SDK's adapter
    assert client.session.adapters is before
    assert place.arrived(run) == [1]


def test_a_session_with_an_adapter_of_its_own(place: Place) -> None:
    _, run = place.write()
    session = requests.Session()
    client = place.client(session=session)
    used: list[str] = []

    class Mine(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> Any:  # type: ignore[override]
            used.append(request.method or "")
            return super().send(request, **kwargs)

    session.mount(place.server.url, Mine())
    assert client.replay_failed_traces(place.folder).sent == 1
    assert used == ["POST"]
    assert place.arrived(run) == [1]
    session.close()


# --- stopped, and run again -----------------------------------------------------------


def settings_of(place: Place, url: str | None = None) -> dict[str, str]:
    return {"LANGSMITH_API_KEY": place.key, "LANGSMITH_ENDPOINT": url or place.server.url}


def started(place: Place, url: str | None = None, **kwargs: Any) -> subprocess.Popen[str]:
    """Start the command in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", "safe_langsmith", "replay", str(place.folder)],
        env={**os.environ, **settings_of(place, url)},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **kwargs},
    )


def stopped(process: subprocess.Popen[str], by: signal.Signals) -> int:
    """Stop a waiting process: Ctrl-C just before a system call is handled after it."""
    time.sleep(1)
    process.send_signal(by)
    process.communicate(timeout=60)
    return process.returncode


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    assert err == ""
    return process.returncode, out


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


STOPS = [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code"), STOPS)
@pytest.mark.parametrize("way", WAYS)
def test_stopped_while_the_server_has_it(
    place: Place, way: str, by: signal.Signals, code: int
) -> None:
    """The batch was accepted, but the response was lost: it is not sent again."""
    runs = place.save(way, 3)
    place.server.clear()
    place.server.answer("/runs/*", method="POST", status=None, delay=30)
    process = started(place)
    wait_for(place.posts)
    assert stopped(process, by) == code
    assert [n.rpartition(".")[2] for n in place.files] == ["sending", "json", "json"]
    place.server.clear_answers()
    assert finished(started(place)) == (0, "3 batches sent, 0 left\n")
    assert place.arrived(*runs) == [1, 1, 1]
    assert place.files == []


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code"), STOPS)
def test_stopped_before_the_server_had_it(
    place: Place, by: signal.Signals, code: int
) -> None:
    """The batch never reached LangSmith: it is sent."""
    runs = [place.write()[1] for _ in range(2)]
    with socket.create_server(("127.0.0.1", 0)) as nowhere:
        process = started(place, f"http://127.0.0.1:{nowhere.getsockname()[1]}")
        with nowhere.accept()[0]:
            assert stopped(process, by) == code
    sending = place.folder / place.files[0]
    assert sending.suffix == ".sending"
    os.utime(sending, (0, 0))
    assert finished(started(place)) == (0, "2 batches sent, 0 left\n")
    assert place.arrived(*runs) == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_again_and_again(place: Place, seed: int) -> None:
    moments = random.Random(seed)
    runs = [place.write()[1] for _ in range(20)]
    place.server.answer("/runs/batch", status=None, delay=0.05)
    kills = 0
    while True:
        posts, process = len(place.posts()), started(place)
        wait_for(lambda: len(place.posts()) > posts or process.poll() is not None)  # noqa: B023
        try:
            process.communicate(timeout=moments.uniform(0.0, 0.4))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        for file in place.folder.glob("*.sending"):
            os.utime(file, (0, 0))
    assert kills
    assert process.returncode == 0
    assert place.arrived(*runs) == [1] * 20
    assert place.files == []


@pytest.mark.slow
def test_langsmith_shows_a_batch_only_after_a_while(place: Place) -> None:
    """Just after a stop, a missing batch may still have been accepted."""
    file, run = place.write()
    sent = json.loads(file.read_text())
    place.client().request_with_retries(
        "POST", "/runs/batch", data=base64.b64decode(sent["body_base64"])
    )
    under_way(file, long_ago=False)
    place.server.answer(f"/runs/{run}", status=404, body={"error": "none"}, times=2)
    assert place.replay() == Replay(1)
    assert place.arrived(run) == [1]
    assert place.files == []


@pytest.mark.slow
def test_the_clock_was_put_back(place: Place) -> None:
    """The file's time is tomorrow; the replay does not wait until then."""
    file, run = place.write()
    os.utime(under_way(file), (time.time() + 90_000, time.time() + 90_000))
    assert place.replay() == Replay(1)
    assert len([e for e in place.server.exchanges if e.method == "GET"]) == 6
    assert place.arrived(run) == [1]


@pytest.mark.parametrize("ended", [True, False])
def test_a_patch_that_may_have_been_sent(place: Place, ended: bool) -> None:
    """A run exists before its patch: only a run with an end time has received it."""
    _, run = place.write()
    end = {"id": run, "trace_id": run, "dotted_order": START + run}
    end["end_time"] = "2026-01-01T00:00:01+00:00"
    patch, _ = place.write(body=json.dumps({"patch": [end]}).encode())
    if not ended:
        kept = patch.rename(place.folder.parent / patch.name)
    assert place.replay().sent == 1 + ended
    if not ended:
        patch = Path(shutil.move(kept, patch))
    else:
        patch.write_text(json.dumps(_file(json.dumps({"patch": [end]}).encode())))
    under_way(patch)
    assert place.replay() == Replay(1)
    assert place.arrived(run) == [2]


def _file(body: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "endpoint": "runs/batch",
        "headers": {"Content-Type": "application/json"},
        "body_base64": base64.b64encode(body).decode(),
        **changes,
    }


def test_whether_it_was_sent_cannot_be_asked(place: Place) -> None:
    """The key can write but not read: that file is left, and the others are sent."""
    key = place.server.add_service_key(
        workspaces=[place.workspace], permissions=frozenset({"runs:create"})
    ).secret
    first, run = place.write()
    _, other = place.write()
    sending = under_way(first)
    result = place.replay(api_key=key)
    assert (result.sent, list(result.left)) == (1, [sending.name])
    assert "LangSmith could not be asked: GET /runs/{id} was refused" in str(result)
    assert "rename it to end in .json" in result.left[sending.name]
    assert isinstance(result.error, AccessDeniedError)
    assert place.arrived(run, other) == [0, 1]
    sending.rename(first)
    assert place.replay(api_key=key) == Replay(1)
    assert place.arrived(run) == [1]


@pytest.mark.parametrize("body", ["no json", "[]"])
def test_a_strange_answer_to_whether_it_was_sent(place: Place, body: str) -> None:
    run = str(uuid.uuid4())
    content = json.dumps({"patch": [{"id": run}]}).encode()
    file, _ = place.write(body=content)
    under_way(file)
    place.server.answer(f"/runs/{run}", method="GET", status=200, body=body)
    result = place.replay()
    assert result.sent == (body == "[]")
    if result.left:
        assert "LangSmith's response is not JSON" in str(result)


def test_two_files_of_one_name(place: Place) -> None:
    """A copy was restored after a replay was killed. Neither is lost or sent twice."""
    file, run = place.write()
    copy = file.read_bytes()
    under_way(file)
    file.write_bytes(copy)
    result = place.replay()
    assert result.sent == 0
    assert set(result.left) == {file.name, file.with_suffix(".sending").name}
    assert "remove one" in str(result)
    file.unlink()
    assert place.replay() == Replay(1)
    assert place.arrived(run) == [1]


def test_two_replays_at_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [place.write()[1] for _ in range(2)]

    def second(done: int, of: int) -> None:
        with pytest.raises(BlockingIOError, match="another replay is running"):
            place.replay()

    place.client().replay_failed_traces(place.folder, on_progress=second)
    assert place.arrived(*runs) == [1, 1]
    assert place.replay() == Replay(0)


def test_where_folders_cannot_be_locked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, which has no fcntl."""
    _, run = place.write()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert place.replay() == Replay(1)
    assert place.arrived(run) == [1]


@contextlib.contextmanager
def without_answers(server: SimulatedLangSmith) -> Iterator[str]:
    """A proxy that forwards each request, and returns no response."""

    def pass_on() -> None:
        with contextlib.suppress(OSError):  # the end
            while True:
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", server.port)) as there:
                    got = b""
                    while not got.endswith(b"--\r\n"):  # the end of a form
                        got += client.recv(65536)
                    there.sendall(got)
                    assert there.recv(65536).startswith(b"HTTP/1.1 202")

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_the_connection_breaks_when_it_was_taken(place: Place) -> None:
    """No lower layer retries the request; LangSmith is asked whether it arrived."""
    runs = place.save("plain", 2)
    with without_answers(place.server) as url:
        client = SafeClient(url, api_key=place.key, auto_batch_tracing=False, policy=QUICK)
        result = client.replay_failed_traces(place.folder)
    assert result.sent == 0
    first, second = result.left
    assert (first.rpartition(".")[2], second.rpartition(".")[2]) == ("sending", "json")
    assert "checks whether LangSmith has these traces" in result.left[first]
    assert "skipped" in result.left[second]
    assert place.replay() == Replay(2)
    assert place.arrived(*runs) == [1, 1]


@pytest.mark.parametrize("status", [408, 502, 504])
def test_a_proxy_lost_sight_of_it(place: Place, status: int) -> None:
    """LangSmith may have the batch, so it is not resent until that is known."""
    file, run = place.write()
    _, other = place.write()
    place.server.answer("/runs/batch", status=status, body="<html>lost", times=1)
    result = place.replay()
    sending = file.with_suffix(".sending")
    assert (result.sent, list(result.left)) == (1, [sending.name])
    assert f"LangSmith returned {status}" in str(result)
    os.utime(sending, (0, 0))
    assert place.replay() == Replay(1)
    assert place.arrived(run, other) == [1, 1]


# --- refused, or not accepted ---------------------------------------------------------


def test_a_refusal_that_cannot_be_repaired(place: Place) -> None:
    """After one refusal, the other batches for this destination are skipped."""
    runs = place.save("zstd", 3)
    before = {f: (place.folder / f).read_bytes() for f in place.files}
    place.server.clear()
    result = place.replay(api_key=GONE)
    assert isinstance(result.error, KeyRejectedError)
    assert (result.sent, list(result.left)) == (0, sorted(before))
    reasons = list(result.left.values())
    assert "rejected this key" in reasons[0]
    assert reasons[1:] == ["skipped: the previous batch failed"] * 2
    assert len(place.posts()) == 1
    assert {f: (place.folder / f).read_bytes() for f in place.files} == before
    assert_no_secret(f"{result}{result!r}{result.error}", place.secrets)
    assert place.replay() == Replay(3)
    assert place.arrived(*runs) == [1, 1, 1]


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_that_is_repaired(place: Place, way: str) -> None:
    runs = place.save(way, 2)
    key = place.server.add_service_key(workspaces=None).secret
    place.server.clear()
    assert place.replay(api_key=key) == Replay(2)
    assert place.arrived(*runs) == [1, 1]
    assert [e.status for e in place.posts()] == [403, 202, 202]
    bodies = [e.body for e in place.posts()]
    assert bodies[0] == bodies[1]


def test_refused_while_in_doubt_is_not_in_doubt(place: Place) -> None:
    """LangSmith does not have the batch, and refuses it: the file gets its old name."""
    file, run = place.write()
    under_way(file)
    key = place.server.add_personal_key(workspaces=[place.workspace], role="Viewer").secret
    result = place.replay(api_key=key)
    assert list(result.left) == [file.name] == place.files
    assert isinstance(result.error, PermissionMissingError)
    assert place.replay() == Replay(1)
    assert place.arrived(run) == [1]


@pytest.mark.slow
def test_the_server_is_not_reached(place: Place) -> None:
    run, other = (place.write()[1] for _ in range(2))
    names = place.files
    place.server.stop()
    result = place.replay()
    assert (result.sent, list(result.left), result.error) == (0, names, None)
    assert list(result.left.values()) == [
        "LangSmith could not be reached",
        "skipped: the previous batch failed",
    ]
    assert place.files == names
    place.server.start()
    assert place.replay() == Replay(2)
    assert place.arrived(run, other) == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_of_a_moment(place: Place, status: int) -> None:
    run, other = (place.write()[1] for _ in range(2))
    headers = {"Retry-After": "0.7"}
    place.server.answer("/runs/batch", status=status, headers=headers, times=2)
    assert place.replay() == Replay(2)
    assert place.arrived(run, other) == [1, 1]
    first, second, third, _ = (e.at for e in place.posts())
    assert min(second - first, third - second) >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_lasts(place: Place, status: int) -> None:
    """After a 500, the other batches are sent; after a 429 or 503, they are skipped."""
    names = [place.write()[0].name for _ in range(2)]
    place.server.answer("/runs/batch", status=status, body="too\n busy", times=3)
    result = place.replay()
    assert list(result.left) == (names[:1] if status == 500 else names)
    assert result.left[names[0]] == f"LangSmith returned {status}: too busy"
    assert place.files == list(result.left)
    assert len(place.posts(status)) == 3


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_batch_that_is_not_wanted(place: Place, status: int) -> None:
    (file, run), (_, other) = place.write(), place.write()
    said = {"detail": f"too much \x1b[31m{place.key}"}
    place.server.answer("/runs/batch", status=status, body=said, times=1)
    result = place.replay()
    assert (result.sent, list(result.left)) == (1, [file.name])
    assert f"{status}" in result.left[file.name]
    assert_no_secret(str(result), [place.key])
    assert "\x1b" not in str(result)
    assert place.files == [file.name]
    assert place.arrived(run, other) == [0, 1]


def test_langsmith_has_it_already(place: Place) -> None:
    place.write()
    place.server.answer("/runs/batch", status=409, body={"error": "Conflict"})
    assert place.replay() == Replay(1)
    assert place.files == []


def test_an_endpoint_that_is_none(place: Place) -> None:
    """Nothing was sent, so the file keeps its name."""
    file, _ = place.write()
    client = place.client()
    client.session.mount("http://", _Broken())
    result = client.replay_failed_traces(place.folder)
    assert list(result.left) == [file.name] == place.files
    assert "cannot go on" in str(result)


class _Broken(requests.adapters.HTTPAdapter):
    def send(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("cannot go on", "")


# --- destinations ---------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[SimulatedLangSmith]:
    with SimulatedLangSmith() as simulated:
        yield simulated


def test_a_batch_for_another_destination(place: Place, other: SimulatedLangSmith) -> None:
    """It is only sent there, with that destination's key."""
    theirs = other.add_personal_key(workspaces=[other.add_workspace("Theirs")]).secret
    refused = SafeClient(
        api_urls={place.server.url: place.key, other.url: GONE}, policy=QUICK
    )
    run = uuid.uuid4()
    refused.create_run(
        "run", {}, "chain", id=run, trace_id=run, dotted_order=f"{START}{run}"
    )
    refused.flush()
    refused.cleanup()
    (name,) = place.files
    assert (
        json.loads((place.folder / name).read_text())["headers"][DESTINATION] == other.url
    )
    assert place.arrived(str(run)) == [1]
    left = place.replay()
    assert (left.sent, list(left.left)) == (0, [name])
    assert f"it was meant for {other.url}: set LANGSMITH_ENDPOINT" in str(left)
    assert not other.saw(place.key)

    client = SafeClient(
        api_urls={place.server.url: place.key, other.url: theirs},
        auto_batch_tracing=False,
        policy=QUICK,
    )
    assert client.replay_failed_traces(place.folder) == Replay(1)
    assert len(other.runs[str(run)]) == 1
    assert place.arrived(str(run)) == [1]
    assert not other.saw(place.key)
    assert not place.server.saw(theirs)


def test_one_destination_is_hopeless_and_the_other_is_not(
    place: Place, other: SimulatedLangSmith
) -> None:
    there = {"Content-Type": "application/json", DESTINATION: other.url}
    names = [place.write(headers=there)[0].name for _ in range(2)]
    here = {**there, DESTINATION: place.server.url}
    runs = [place.write(headers=here)[1] for _ in range(2)]
    client = SafeClient(
        api_urls={place.server.url: place.key, other.url: GONE},
        auto_batch_tracing=False,
        policy=QUICK,
    )
    result = client.replay_failed_traces(place.folder)
    assert (result.sent, list(result.left)) == (2, names)
    assert isinstance(result.error, KeyRejectedError)
    assert place.arrived(*runs) == [1, 1]
    assert len([e for e in other.exchanges if e.method == "POST"]) == 1


def test_a_destination_without_a_key(place: Place, other: SimulatedLangSmith) -> None:
    """It never gets the client's key, not even when asked whether a batch arrived."""
    there = {"Content-Type": "application/json", DESTINATION: other.url}
    file, _ = place.write(headers=there)
    place.write(headers=there)
    under_way(file)
    urls = {place.server.url: place.key, other.url: ""}
    client = SafeClient(api_urls=urls, auto_batch_tracing=False, policy=QUICK)
    assert client.replay_failed_traces(place.folder).sent == 0
    assert other.exchanges
    assert not other.saw(place.key)
    assert {e.key for e in other.exchanges} <= {None, ""}


# LANGSMITH_RUNS_ENDPOINTS, the client's arguments, and where a batch without a destination
# arrives: "first" or "other"; or why it is left.
OWN = {"api_url": "FIRST", "api_key": "KEY"}
BOTH = {"api_urls": {"FIRST": "KEY", "OTHER": "THEIRS"}}
IS_SET = "LANGSMITH_RUNS_ENDPOINTS is set: remove it, set LANGSMITH_ENDPOINT"
UNNAMED = {
    "one": ({"OTHER": "THEIRS"}, {}, "other"),
    "one, and a key for LangSmith": ({"OTHER": "THEIRS"}, {"api_key": "KEY"}, "other"),
    "two": ({"FIRST": "KEY", "OTHER": "THEIRS"}, {}, IS_SET),
    "one twice": ([["OTHER", "THEIRS"], ["OTHER", "KEY"]], {}, IS_SET),
    "one beside an argument": ({"OTHER": "THEIRS"}, OWN, IS_SET),
    "the argument again": ({"FIRST": "KEY"}, OWN, "first"),
    "with a workspace": ([["OTHER", "THEIRS", "WORKSPACE"]], {}, "other"),
    "two arguments": ("", BOTH, "this client has several: replay"),
    "not to be read": ("?", OWN, "first"),
}


def filled(form: Any, names: dict[str, str]) -> Any:
    """Fill these names into settings."""
    text = json.dumps(form)
    for name, value in names.items():
        text = text.replace(f'"{name}"', json.dumps(value))
    return json.loads(text)


@pytest.mark.parametrize(("variable", "arguments", "where"), UNNAMED.values(), ids=UNNAMED)
def test_a_file_that_names_no_destination(
    place: Place,
    other: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    variable: Any,
    arguments: dict[str, Any],
    where: str,
) -> None:
    theirs = other.add_workspace("Theirs")
    key = other.add_personal_key(workspaces=[theirs]).secret
    names = {"FIRST": place.server.url, "OTHER": other.url, "WORKSPACE": theirs.id}
    names |= {"KEY": place.key, "THEIRS": key}
    if isinstance(variable, list):
        fields = ("api_url", "api_key", "workspace_id")
        variable = [dict(zip(fields, one, strict=False)) for one in variable]
    text = json.dumps(filled(variable, names)) if variable else ""
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", text)
    clear_caches()
    file, run = place.write()
    given = filled(arguments, names)
    client = SafeClient(auto_batch_tracing=False, policy=QUICK, **given)
    result = client.replay_failed_traces(place.folder)
    arrived = [len(s.runs.get(run, ())) for s in (place.server, other)]
    assert arrived == [where == "first", where == "other"]
    if not sum(arrived):
        why = f"it doesn't say which destination it was meant for, and {where}"
        assert result.left[file.name].startswith(why)
        assert not other.exchanges
    assert not other.saw(place.key)
    assert not place.server.saw(key)


def test_settings_that_exclude_each_other(
    place: Place, other: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With these settings, the SDK would send nothing."""
    file, _ = place.write()
    client = place.client()
    monkeypatch.setenv("LANGCHAIN_RUNS_ENDPOINTS", json.dumps({other.url: GONE}))
    monkeypatch.setenv("LANGSMITH_ENDPOINT", other.url)
    clear_caches()
    result = client.replay_failed_traces(place.folder)
    assert "You cannot provide both LANGSMITH_ENDPOINT" in result.left[file.name]
    assert (place.posts(), other.exchanges) == ([], ())


def test_the_command_when_the_only_destination_was_down(
    place: Place, other: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent to LangSmith's default endpoint, which was not configured."""
    key = other.add_personal_key(workspaces=[other.add_workspace("Theirs")]).secret
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", json.dumps({other.url: key}))
    clear_caches()
    _, run = place.write()
    assert main(["replay"]) == 0
    assert len(other.runs[run]) == 1


@pytest.mark.parametrize("suffix", [".json", ".sending"])
def test_a_destination_out_of_nowhere(
    place: Place, other: SimulatedLangSmith, suffix: str
) -> None:
    evil = f"http://u:{GONE}@127.0.0.1:{other.port}/\x1b]0;x\x07"
    file, _ = place.write(headers={"Content-Type": "a/b", DESTINATION: evil})
    if suffix == ".sending":
        file = under_way(file)
    result = place.replay()
    assert (result.sent, list(result.left)) == (0, [file.name])
    assert_no_secret(str(result), [GONE])
    assert str(result).isascii()
    assert "\x1b" not in str(result)
    assert "\x07" not in str(result)
    assert other.exchanges == ()


# --- files from unknown sources -------------------------------------------------------


def test_headers_in_the_file_are_not_sent(place: Place) -> None:
    runs = place.save("plain")
    (file,) = place.folder.iterdir()
    content = json.loads(file.read_text())
    evil = {
        "x-api-key": "evil",
        "X-Api-Key": "evil",
        "X-Tenant-Id": "evil",
        "Authorization": "Bearer evil",
        "Cookie": "evil",
        "Host": "evil.example",
        "Content-Length": "4",
        "Transfer-Encoding": "chunked",
        "X-Evil": "evil\r\nX-More: evil",
        "evil\r\nX-More": "evil",
    }
    content["headers"] |= evil
    file.write_text(json.dumps(content))
    place.server.clear()
    assert place.replay() == Replay(1)
    (sent,) = place.posts()
    assert "evil" not in str(sent.headers)
    assert sent.key == place.key
    assert place.arrived(*runs) == [1]


FORM = {"Content-Type": "multipart/form-data; boundary=b0"}
PART = f'--b0\r\nContent-Disposition: form-data; name="post.{uuid.uuid4()}"\r\n\r\n{{}}\r\n'
CLOSED = f"{PART}--b0--\r\n".encode()


def form(body: bytes = CLOSED, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _file(body, endpoint="runs/multipart", headers={**FORM, **named})


BROKEN: dict[str, Any] = {
    "empty": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
    "a list": [],
    "a number": 1,
    "nothing": {},
    "wrong version": _file(b'{"post":[]}', version=2),
    "wrong endpoint": _file(b"{}", endpoint="../sessions"),
    "an endpoint that is none": _file(b"{}", endpoint=["runs/batch"]),
    "an address as endpoint": _file(b"{}", endpoint="https://evil.example/runs/batch"),
    "no headers": _file(b"{}", headers=None),
    "headers that are text": _file(b"{}", headers="Content-Type"),
    "bad base64": _file(b"", body_base64="%%%%"),
    "base64 that is none": _file(b"", body_base64=5),
    "base64 with letters of another alphabet": _file(b"", body_base64="éé"),
    "empty body": _file(b""),
    "no batch": _file(b'{"name":"x"}'),
    "an empty batch": _file(b'{"post":[],"patch":[]}'),
    "a batch that is a list": _file(b"[1]"),
    "a run without an id": _file(b'{"post":[{"name":"x"}]}'),
    "an id that is a path": _file(b'{"post":[{"id":"../../sessions"}]}'),
    "an id of dashes": _file(b'{"post":[{"id":"%s"}]}' % (b"-" * 36)),
    "no form": form(b"hello"),
    "an empty form": form(b"--b0--\r\n"),
    "a form whose end is missing": form(PART.encode()),
    "a form of other parts": form(CLOSED.replace(b"post.", b"user.")),
    "another boundary": form(Content_Type="multipart/form-data; boundary=b1"),
    "no content type": {**form(), "headers": {}},
    "another content type": form(Content_Type="application/json"),
    "newlines in the content type": form(
        Content_Type="multipart/form-data; boundary=b0\r\nx-api-key: evil"
    ),
    "an encoding that is none": form(Content_Encoding="gzip"),
    "newlines in the encoding": form(Content_Encoding="zstd\r\nx-api-key: evil"),
    "compressed, says the header": form(Content_Encoding="zstd"),
    "compressed, and no form": form(zstandard.compress(b"hello"), Content_Encoding="zstd"),
    "a compressed body that breaks off": form(
        zstandard.compress(os.urandom(300_000))[:100], Content_Encoding="zstd"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file(place: Place, name: str) -> None:
    """It is reported and left unchanged, and the others are sent."""
    content = BROKEN[name]
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    broken = place.folder / "trace_0.json"
    broken.write_bytes(data)
    _, run = place.write()
    result = place.replay()
    assert (result.sent, list(result.left)) == (1, ["trace_0.json"])
    assert "batch" in str(result) or "version" in str(result)
    assert broken.read_bytes() == data
    assert place.arrived(run) == [1]
    assert len(place.server.exchanges) == 1


def test_the_parts_of_the_broken_files_are_good(place: Place) -> None:
    """Without the changes of the tests above, they are accepted."""
    compressed = form(zstandard.compress(CLOSED), Content_Encoding="zstd")
    for number, content in enumerate((form(), compressed)):
        (place.folder / f"trace_{number}.json").write_text(json.dumps(content))
    assert place.replay() == Replay(2)


def test_a_huge_file(place: Place) -> None:
    with (place.folder / "trace_0.json").open("wb") as file:
        file.truncate(600_000_000)
    assert "larger than 500 MB" in str(place.replay())
    assert place.files == ["trace_0.json"]


@pytest.mark.slow
def test_a_compressed_body_that_grows_without_end(place: Place) -> None:
    """Only its first part is decompressed."""
    grows = CLOSED + b"\0" * 300_000_000
    content = form(zstandard.compress(grows, 19), Content_Encoding="zstd")
    (place.folder / "trace_0.json").write_text(json.dumps(content))
    place.server.answer("/runs/multipart", status=422, body="no")
    assert "422" in str(place.replay())


def test_what_is_not_a_regular_file(place: Place) -> None:
    """Folders, links (even to a valid batch), and pipes are reported and left."""
    file, _ = place.write()
    elsewhere = Path(shutil.move(file, place.folder.parent / "good.json"))
    (place.folder / "trace_1.json").mkdir()
    (place.folder / "trace_2.json").symlink_to(elsewhere)
    (place.folder / "trace_3.json").symlink_to("nowhere")
    os.mkfifo(place.folder / "trace_4.json")
    result = place.replay()
    assert list(result.left) == [f"trace_{n}.json" for n in range(1, 5)] == place.files
    assert set(result.left.values()) == {"not a regular file"}
    assert elsewhere.exists()
    assert place.server.exchanges == ()


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Run as a user without root permissions, even if the tests run as root."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.fixture
def open_place(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder that all users can reach; everything needed is already imported."""
    place.write()
    assert place.replay() == Replay(1)
    ways = [place.folder, *place.folder.parents][:-1]
    modes = {way: way.stat().st_mode for way in ways}
    for way in ways:
        way.chmod(way.stat().st_mode | 0o755)
    yield place
    for way, mode in modes.items():
        way.chmod(mode)


def test_a_file_that_may_not_be_read(open_place: Place) -> None:
    file, _ = open_place.write()
    _, other = open_place.write()
    for path in open_place.folder.iterdir():
        path.chmod(0o666)
    file.chmod(0)
    open_place.folder.chmod(0o777)
    with without_rights():
        result = open_place.replay()
    assert (result.sent, list(result.left)) == (1, [file.name])
    assert "cannot be read: Permission denied" in str(result)
    assert open_place.arrived(other) == [1]


def test_a_folder_that_may_not_be_written(open_place: Place) -> None:
    """A file that cannot be renamed is not sent."""
    file, run = open_place.write()
    file.chmod(0o644)
    open_place.folder.chmod(0o555)
    with without_rights():
        result = open_place.replay()
    assert list(result.left) == [file.name] == open_place.files
    assert "cannot be renamed or removed: Permission denied" in str(result)
    assert open_place.arrived(run) == [0]


def test_a_folder_that_may_not_be_read(
    open_place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not treated as an empty folder."""
    for name, value in settings_of(open_place).items():
        monkeypatch.setenv(name, value)
    open_place.folder.chmod(0)
    with without_rights():
        with pytest.raises(PermissionError):
            open_place.replay()
        assert main(["replay"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Permission denied" in shown.err


def test_a_file_that_is_gone_when_its_turn_comes(place: Place) -> None:
    place.write()
    file, _ = place.write()
    client = place.client()

    def remove(done: int, of: int) -> None:
        file.unlink(missing_ok=True)

    result = client.replay_failed_traces(place.folder, on_progress=remove)
    assert (result.sent, result.left) == (
        1,
        {file.name: "cannot be read: No such file or directory"},
    )


# Any JSON, and JSON with the form of a saved batch.
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just(1) | values,
        "endpoint": st.sampled_from(["runs/batch", "runs/multipart"]) | values,
        "headers": st.dictionaries(
            st.sampled_from(["Content-Type", "Content-Encoding", DESTINATION]) | st.text(),
            st.sampled_from(["zstd", FORM["Content-Type"], "application/json"]) | values,
        )
        | values,
        "body_base64": (
            st.binary()
            | values.map(lambda v: json.dumps(v).encode())
            | st.dictionaries(st.sampled_from(["post", "patch"]), values).map(
                lambda v: json.dumps(v).encode()
            )
            | st.binary().map(zstandard.compress)
            | st.binary().map(lambda b: b"--b0\r\n" + b + b"--b0--")
        ).map(lambda b: base64.b64encode(b).decode())
        | values,
    },
)


@pytest.mark.slow
@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    st.binary() | (values | nearly).map(lambda v: json.dumps(v).encode()), st.booleans()
)
def test_any_file(place: Place, content: bytes, sending: bool) -> None:
    """No exception: the file is left, with a reason, and a valid one after it is sent."""
    file = place.folder / f"trace_1.{'sending' if sending else 'json'}"
    for old in place.folder.iterdir():
        old.unlink()
    file.write_bytes(content)
    neighbour, run = place.write()
    before = len(place.server.exchanges)
    result = place.replay()
    assert list(result.left) == [file.name]
    assert all(result.left.values())
    assert file.read_bytes() == content
    assert result.sent == 1
    assert not neighbour.exists()
    assert [e.path for e in place.server.exchanges[before:]] == ["/runs/batch"]
    assert place.arrived(run) == [1]
    str(result).encode()


@pytest.mark.slow
@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.data())
def test_any_damage_to_a_good_file(place: Place, data: st.DataObject) -> None:
    """With a changed byte, end, or field, it is either sent or left unchanged."""
    for old in place.folder.iterdir():
        old.unlink()
    file, _ = place.write()
    whole = file.read_bytes()
    where = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    fields = json.loads(whole)
    name = data.draw(st.sampled_from(sorted(fields)))
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:where],
                whole[:where] + byte + whole[where + 1 :],
                json.dumps({**fields, name: data.draw(values)}).encode(),
                json.dumps({n: v for n, v in fields.items() if n != name}).encode(),
            ]
        )
    )
    bad = place.folder / "trace_0.json"
    bad.write_bytes(damaged)
    result = place.replay()
    assert not file.exists()
    assert set(result.left) <= {bad.name}
    assert result.sent + len(result.left) == 2
    if result.left:
        assert bad.read_bytes() == damaged
    assert_no_secret(str(result), place.secrets)


# --- the command ----------------------------------------------------------------------


@pytest.fixture
def ready(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Valid settings in the environment."""
    for name, value in settings_of(place).items():
        monkeypatch.setenv(name, value)
    return place


def test_the_command(ready: Place, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ready.save("zstd", 2)
    capsys.readouterr()
    assert main(["replay", str(ready.folder)]) == 0
    assert capsys.readouterr() == ("2 batches sent, 0 left\n", "")
    assert ready.arrived(*runs) == [1, 1]
    assert main(["replay"]) == 0
    assert capsys.readouterr().out == "0 batches sent, 0 left\n"


def test_the_command_reads_the_other_prefix(
    ready: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK also uses it to save batches."""
    ready.write()
    monkeypatch.delenv("LANGSMITH_FAILED_TRACES_DIR")
    clear_caches()
    monkeypatch.setenv("LANGCHAIN_FAILED_TRACES_DIR", str(ready.folder))
    assert main(["replay"]) == 0
    assert capsys.readouterr().out == "1 batch sent, 0 left\n"


def test_the_command_when_something_is_left(
    ready: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    ready.write()
    (ready.folder / f"trace_2_\x1b[31m{GONE}\n.json").write_text("{}")
    assert main(["replay"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "0 batches sent, 2 left"
    assert "rejected this key" in lines[1]
    assert "not a trace batch saved by the SDK" in lines[2]
    assert lines[4].startswith("POST /runs/batch was refused (403): ")
    assert "  more:      safe-langsmith explain key-rejected" in lines
    assert "\x1b" not in out
    assert_no_secret(out, [GONE])


def test_the_command_and_an_env_file(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in the .env is newer than the one in the environment."""
    _, run = place.write()
    monkeypatch.setenv("LANGSMITH_ENDPOINT", place.server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path("my.env").write_text(
        f"LANGSMITH_API_KEY={place.key}\nLANGSMITH_ENDPOINT={place.server.url}\n"
    )
    assert main(["replay", "--env-file", "my.env"]) == 0
    assert capsys.readouterr().out == "1 batch sent, 0 left\n"
    assert place.arrived(run) == [1]


def test_the_command_takes_no_key_of_a_file_that_was_found(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell's key is rejected; the file's key would work, but is not used."""
    _, run = place.write()
    monkeypatch.setenv("LANGSMITH_ENDPOINT", place.server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text(f"LANGSMITH_API_KEY={place.key}\n")
    assert main(["replay"]) == 1
    assert "0 batches sent, 1 left" in capsys.readouterr().out
    assert place.arrived(run) == [0]


@pytest.mark.parametrize("folder", [(), ("no/such/folder",)])
def test_wrong_use_of_the_command(
    ready: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: tuple[str, ...],
) -> None:
    monkeypatch.delenv("LANGSMITH_FAILED_TRACES_DIR")
    clear_caches()
    assert main(["replay", *folder]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert ("there is no folder" if folder else "which folder?") in err


def test_the_command_with_settings_that_the_sdk_refuses(
    ready: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING_SAMPLING_RATE", "often")
    assert main(["replay"]) == 1
    assert "langsmith cannot create a client" in capsys.readouterr().err


def test_progress_on_a_terminal(place: Place) -> None:
    runs = [place.write()[1] for _ in range(12)]
    terminal, side = pty.openpty()
    process = started(place, stderr=side)
    os.close(side)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal, on Linux
        while piece := os.read(terminal, 1000):
            shown += piece
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "12 batches sent, 0 left\n")
    steps = "".join(f"\r{done} of 12" for done in range(1, 13))
    assert shown.decode() == f"{steps}\r\n"
    assert place.arrived(*runs) == [1] * 12


def test_no_connection_and_no_reason() -> None:
    """After some errors of urllib3, it is unknown whether the batch was sent."""
    from safe_langsmith._traces.replay import _never_arrived

    def failed(reason: Exception) -> Exception:
        pool: Any = None
        return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "", reason))

    new: Any = urllib3.exceptions.NewConnectionError
    assert _never_arrived(failed(new(None, "refused")))
    assert _never_arrived(failed(urllib3.exceptions.ConnectTimeoutError("slow")))
    assert not _never_arrived(failed(urllib3.exceptions.ProtocolError("broke")))
    assert not _never_arrived(requests.ConnectionError())
    assert not _never_arrived(None)
