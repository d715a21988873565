"""Tests that every trace arrives exactly once after a repair, however the SDK sends it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import tracing
from conftest import QUICK
from langsmith._internal import _background_thread
from releases import needs_rewindable_bodies

from safe_langsmith import AccessDeniedError, SafeClient
from safe_langsmith._sdk.clients import access_of
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith._transport.owner import sender
from safe_langsmith.testing import SimulatedLangSmith
from safe_langsmith.testing._world import Key

Refuse = Callable[[], None]
Make = Callable[..., tuple[SafeClient, Refuse]]


def rotated(server: SimulatedLangSmith, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    """The client's key is revoked, and the environment has a new one."""
    own = server.add_workspace("Research")
    old = server.add_personal_key(workspaces=[own])
    new = server.add_personal_key(workspaces=[own])
    patch.setenv("LANGSMITH_ENDPOINT", server.url)
    patch.setenv("LANGSMITH_API_KEY", old.secret)
    client = SafeClient(policy=QUICK, **options)

    def refuse() -> None:
        server.revoke(old)
        patch.setenv("LANGSMITH_API_KEY", new.secret)

    return client, refuse


def without_workspace(
    server: SimulatedLangSmith, patch: pytest.MonkeyPatch, **options: Any
) -> Any:
    """The client has an organization key, and no workspace."""
    server.add_workspace("Research")
    patch.setenv("LANGSMITH_ENDPOINT", server.url)
    patch.setenv("LANGSMITH_API_KEY", server.add_service_key(workspaces=None).secret)
    return SafeClient(policy=QUICK, **options), lambda: None


CAUSES = {"rotated": rotated, "no workspace": without_workspace}


@pytest.mark.filterwarnings("ignore:Creating feedback")
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("way", tracing.WAYS)
def test_what_was_refused_arrives(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, way: str, cause: str
) -> None:
    options = tracing.WAYS[way](server)
    client, refuse = CAUSES[cause](server, monkeypatch, **options)
    refuse()
    runs = tracing.record(client, 8)
    for run in runs:
        client.create_feedback(
            run_id=run, trace_id=uuid.UUID(run), key="score", score=1, comment=run
        )
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    tracing.refused_came_again(server)
    assert tracing.feedback_in(server) == dict.fromkeys(runs, 1)
    client.cleanup()


@pytest.mark.parametrize("way", ["multipart", "compressed"])
def test_attachments_arrive(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    options = tracing.WAYS[way](server)
    client, refuse = rotated(server, monkeypatch, **options)
    refuse()
    content = os.urandom(200_000).replace(b"\r\n--", b"")
    runs = tracing.record(client, 3, attachment=content)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    tracing.refused_came_again(server)
    arrived = server.runs
    for run in runs:
        assert arrived[run][0]["attachments"]["file"]["data"] == content
    client.cleanup()


@needs_rewindable_bodies
@pytest.mark.parametrize("way", tracing.BACKGROUND)
def test_large_bodies_arrive(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Including streamed bodies."""
    options = tracing.WAYS[way](server)
    client, refuse = rotated(server, monkeypatch, **options)
    refuse()
    runs = tracing.record(client, 4, tracing.LARGE)
    client.flush()
    tracing.arrived_whole_and_once(server, runs, tracing.LARGE)
    tracing.refused_came_again(server)
    if way == "multipart":  # the SDK streams bodies above 20 MB
        assert max(len(e.body) for e in tracing.ingest(server, 403)) > 20_000_000
    client.cleanup()


@pytest.mark.parametrize("way", tracing.BACKGROUND)
def test_sixteen_threads_and_a_key_that_is_rotated_twice(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    own = server.add_workspace("Research")
    keys = [server.add_personal_key(workspaces=[own]) for _ in range(3)]
    options = tracing.WAYS[way](server)
    # This makes the SDK start all its sixteen threads immediately.
    server.info["batch_ingest_config"] |= {"scale_up_qsize_trigger": 0, "size_limit": 5}
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", keys[0].secret)
    server.answer("/runs/*", status=None, delay=0.02)
    client = SafeClient(policy=QUICK, **options)
    barrier = threading.Barrier(16)

    def rotate(before: Key, after: Key) -> None:
        monkeypatch.setenv("LANGSMITH_API_KEY", after.secret)
        server.revoke(before)

    def work(number: int) -> list[str]:
        runs = []
        for turn in range(3):
            barrier.wait()
            if turn and not number:
                rotate(*keys[turn - 1 : turn + 1])
            runs += tracing.record(client, 5)
        return runs

    with ThreadPoolExecutor(16) as pool:
        runs = [run for some in pool.map(work, range(16)) for run in some]
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    tracing.refused_came_again(server)
    assert client.api_key == keys[2].secret
    # One diagnosis per rotation, however many batches were refused together.
    assert len([e for e in server.exchanges if e.path == "/workspaces"]) <= 4
    client.cleanup()


@pytest.mark.slow
def test_user_threads_do_not_wait_for_a_repair(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the tracing thread waits for the network, tracing and other calls continue."""
    options = tracing.WAYS["multipart"](server)
    own = server.add_workspace("Research")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", server.add_service_key(workspaces=None).secret)
    client = SafeClient(policy=QUICK, **options)
    server.answer("/workspaces", status=None, delay=2)
    first = tracing.record(client, 1)
    while not [e for e in server.exchanges if e.path == "/workspaces"]:
        threading.Event().wait(0.01)
    # The probe takes two seconds; all of this is done before.
    more = tracing.record(client, 500)
    assert client.last_diagnosis is None
    assert client.request_with_retries("GET", "/info").ok
    assert client.last_diagnosis is None
    client.flush()
    tracing.arrived_whole_and_once(server, first + more)
    assert client._workspace_id == own.id
    client.cleanup()


# --- processes --------------------------------------------------------------------------

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
forks = pytest.mark.skipif(FORK is None, reason="this system cannot fork")
# Newer versions of Python warn about forks with threads, which these tests need.
fork_warns = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def _child_with_a_client_of_its_own(pipe: Any) -> None:
    client = SafeClient(policy=QUICK)
    runs = tracing.record(client, 5)
    client.flush()
    pipe.send(runs)


def _child_with_the_parent_s(client: SafeClient, pipe: Any) -> None:
    pipe.send(tracing.record(client, 5))


def flushed(client: SafeClient) -> str:
    """Flush, and return the code of a tracing error, or an empty string."""
    client.flush()
    try:
        client.raise_for_tracing_errors()
    except AccessDeniedError as error:
        return error.code
    return ""


def _child_that_flushes(client: SafeClient, pipe: Any) -> None:
    pipe.send((tracing.record(client, 5), flushed(client)))


def in_a_fork(work: Callable[..., None], *arguments: Any) -> Any:
    """Call this in a forked process, and return what it sends: the runs it traced."""
    assert FORK is not None
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=work, args=(*arguments, theirs))
    child.start()
    try:
        assert ours.poll(60), "the forked process does not end"
        runs = ours.recv()
    finally:
        child.join(10)
        child.kill()
        ours.close()
        theirs.close()
    return runs


@forks
@fork_warns
def test_a_forked_process_makes_its_own_client(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with gunicorn, where each worker creates a client."""
    client, _ = without_workspace(server, monkeypatch)
    runs = tracing.record(client, 5)
    client.flush()
    runs += in_a_fork(_child_with_a_client_of_its_own)
    tracing.arrived_whole_and_once(server, runs)
    client.cleanup()


@forks
@fork_warns
@pytest.mark.parametrize("held", [False, True])
def test_a_forked_process_uses_its_parent_s_client(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Without batching, the plain client works after a fork, and so does the safe one.

    Also if another thread of the parent held our lock at that moment, or was running a
    diagnosis.
    """
    client, _ = without_workspace(server, monkeypatch, auto_batch_tracing=False)
    if held:
        FLIGHTS.join((access_of(client), sender(client)), lambda: None)
        with FLIGHTS.lock:
            runs = in_a_fork(_child_with_the_parent_s, client)
    else:
        runs = in_a_fork(_child_with_the_parent_s, client)
    tracing.arrived_whole_and_once(server, runs)
    tracing.refused_came_again(server)


@forks
@fork_warns
@pytest.mark.parametrize(
    ("way", "before", "others"),
    [
        ("compressed", 0, 0),
        ("compressed", 5, 1),
        ("multipart", 5, 0),
        ("multipart", 0, 1),
        ("batch", 5, 0),
    ],
)
def test_a_client_from_before_a_fork(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    before: int,
    others: int,
) -> None:
    """Only the parent sends what was queued before; later runs are sent by each process."""
    client, _ = without_workspace(server, monkeypatch, **tracing.WAYS[way](server))
    for number in range(others):
        server.add_workspace(f"Another {number}")
    runs = tracing.record(client, before)
    more, code = in_a_fork(_child_that_flushes, client)
    runs += more + tracing.record(client, 5)
    expected = "workspace-required" if others else ""
    assert (code, flushed(client)) == (expected, expected)
    if others:
        assert not server.runs
    else:
        tracing.arrived_whole_and_once(server, runs)
    client.cleanup()


@forks
@fork_warns
def test_a_fork_without_the_sdk_s_function(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the plain client: runs wait in the child, and the parent continues."""
    client, _ = without_workspace(server, monkeypatch)
    runs = tracing.record(client, 5)
    client.flush()
    monkeypatch.delattr(_background_thread, "tracing_control_thread_func")
    in_a_fork(_child_with_the_parent_s, client)
    runs += tracing.record(client, 5)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    client.cleanup()
