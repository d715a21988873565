"""Tests for lifetimes: clients, threads, sockets, and the end of the interpreter."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import langsmith
import proxy
import pytest
from conftest import QUICK
from proxy import Proxy
from scenarios import GONE
from stage import closing

from safe_langsmith import AccessDeniedError, Policy, SafeAsyncClient, SafeClient
from safe_langsmith.testing import SimulatedLangSmith

# Not a speed limit: it only detects hangs.
HANGS_S = 60.0


@contextmanager
def only_reference_counting() -> Iterator[None]:
    """Disable the garbage collector, so that only reference counting frees objects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def good(client: Any) -> None:
    list(client.list_projects())


def refused(client: Any) -> None:
    with pytest.raises(langsmith.utils.LangSmithError):
        list(client.list_projects())


def repaired(client: Any) -> None:
    if isinstance(client, SafeClient):
        good(client)


def diagnosed(client: Any) -> None:
    if isinstance(client, SafeClient):
        client.diagnose()


LIVES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "made": ("good", id),
    "answered": ("good", good),
    "repaired": ("repaired", repaired),
    "refused": ("refused", refused),
    "diagnosed": ("refused", diagnosed),
}


def keys(server: SimulatedLangSmith) -> dict[str, str]:
    workspace = server.add_workspace("Research", projects=1)
    return {
        "good": server.add_personal_key(workspaces=[workspace]).secret,
        "repaired": server.add_service_key(workspaces=None).secret,
        "refused": GONE,
    }


def is_freed(
    kind: Any, server: SimulatedLangSmith, key: str, life: Callable[[Any], object]
) -> bool:
    """Return whether a client is freed when its last reference is deleted."""
    more = {"policy": QUICK} if kind is SafeClient else {}
    client = kind(server.url, api_key=key, auto_batch_tracing=False, **more)
    life(client)
    client.session.close()
    gone = weakref.ref(client)
    del client
    return gone() is None


@pytest.mark.parametrize("life", LIVES)
def test_a_client_is_freed_when_the_plain_one_is(
    server: SimulatedLangSmith, life: str
) -> None:
    """We create no reference cycle that keeps a client alive."""
    which, work = LIVES[life]
    key = keys(server)[which]
    with only_reference_counting():
        plain = is_freed(langsmith.Client, server, key, work)
        ours = is_freed(SafeClient, server, key, work)
    assert ours == plain


async def async_life(client: Any, *, errs: bool) -> None:
    async with client:
        if not errs:
            await client._arequest_with_retries("GET", "/sessions")
            return
        with pytest.raises(langsmith.utils.LangSmithError):
            await client._arequest_with_retries("GET", "/sessions")


@pytest.mark.parametrize("which", ["good", "refused"])
def test_an_async_client_is_freed_when_the_plain_one_is(
    server: SimulatedLangSmith, which: str
) -> None:
    key = keys(server)[which]

    def is_freed(kind: Any) -> bool:
        client = kind(server.url, api_key=key)
        anyio.run(partial(async_life, client, errs=which == "refused"))
        # The plain client supports no weak references, so watch its httpx client.
        gone = weakref.ref(client._client)
        del client
        # The thread that read the files may still have a reference briefly.
        until = time.monotonic() + 0.5
        while gone() is not None and time.monotonic() < until:
            time.sleep(0.01)
        return gone() is None

    with only_reference_counting():
        assert is_freed(SafeAsyncClient) == is_freed(langsmith.AsyncClient)


def sockets() -> int:
    """Return the number of open sockets of this process."""
    return sum(map(_is_socket, Path("/proc/self/fd").iterdir()))


def _is_socket(opened: Path) -> bool:
    try:
        return str(opened.readlink()).startswith("socket:")
    except OSError:  # the descriptor of the listing itself is closed by now
        return False


linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")


def refuse_sync(url: str) -> None:
    client = SafeClient(url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    for _ in range(20):
        refused(client)
        client.diagnose()
    client.session.close()


def refuse_async(url: str) -> None:
    client = SafeAsyncClient(url, api_key=GONE, policy=QUICK)

    async def life() -> None:
        for _ in range(20):
            with pytest.raises(AccessDeniedError):
                await client._arequest_with_retries("GET", "/sessions")
            await client.diagnose()

    anyio.run(closing, client, life)


def trace(client: langsmith.Client) -> None:
    """Queue a run, which is sent in the background."""
    run = uuid.uuid4()
    order = f"20260101T000000000000Z{run}"
    client.create_run("run", {}, "chain", id=run, trace_id=run, dotted_order=order)


def refuse_traces(url: str) -> None:
    client = SafeClient(url, api_key=GONE, policy=QUICK)
    for _ in range(5):
        trace(client)
        client.flush()
    client.cleanup()
    client.session.close()


@pytest.mark.slow
@linux
@pytest.mark.parametrize("life", [refuse_sync, refuse_async, refuse_traces])
def test_refusals_leave_no_thread_and_no_socket(
    server: SimulatedLangSmith, life: Callable[[str], None]
) -> None:
    def settled() -> tuple[int, int]:
        gc.collect()
        return len(threading.enumerate()), sockets()

    life(server.url)
    before = settled()
    life(server.url)
    until = time.monotonic() + 10
    # The server closes its side of a connection a moment later.
    while any(now > then for now, then in zip(settled(), before, strict=True)):
        assert time.monotonic() < until, (before, settled(), threading.enumerate())
        time.sleep(0.05)


# --- the end of the interpreter ---------------------------------------------------------


HEAD = """
import sys, threading, uuid
from langsmith import Client
from safe_langsmith import Policy, SafeClient
kind = {kind}
more = {{"policy": Policy(budget_s=30)}} if kind is SafeClient else {{}}
"""


def started(kind: str, url: str, program: str) -> subprocess.Popen[str]:
    """Start a program that has a client of this kind."""
    settings = {"LANGSMITH_ENDPOINT": url, "LANGSMITH_API_KEY": GONE}
    return subprocess.Popen(
        [sys.executable, "-c", HEAD.format(kind=kind) + textwrap.dedent(program)],
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


KINDS = ("Client", "SafeClient")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_interpreter_ends_during_a_diagnosis(
    server: SimulatedLangSmith, kind: str
) -> None:
    """A daemon thread in the middle of a diagnosis does not delay the exit."""
    program = """
        client = kind(auto_batch_tracing=False, **more)
        work = threading.Thread(target=lambda: list(client.list_projects()), daemon=True)
        work.start()
        sys.stdin.readline()
    """
    # The plain client sends no probes: it waits for the response to its own request.
    silent_on = "/sessions" if kind == "Client" else "/workspaces"

    def choose(line: Proxy, request: proxy.Request) -> proxy.Fault | None:
        return proxy.silent if silent_on in request.path else None

    with Proxy(server.port, choose) as line:
        process = started(kind, line.url, program)
        until = time.monotonic() + HANGS_S
        while not any(silent_on in request.path for request in list(line.seen)):
            assert time.monotonic() < until
            time.sleep(0.02)
        out, err = process.communicate("go\n", timeout=HANGS_S)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_interpreter_ends_with_a_refused_batch(
    server: SimulatedLangSmith, kind: str
) -> None:
    """As with the plain client, the batch is sent at exit, and the program ends."""
    program = """
        client, run = kind(**more), uuid.uuid4()
        order = f"20260101T000000000000Z{run}"
        client.create_run("run", {}, "chain", id=run, trace_id=run, dotted_order=order)
    """
    out, err = started(kind, server.url, program).communicate(timeout=HANGS_S)
    assert out == ""
    assert [e for e in server.exchanges if e.path.startswith("/runs")]
    assert GONE not in err
    assert "403" in err


def test_an_interrupt_ends_a_diagnosis(server: SimulatedLangSmith) -> None:
    """Ctrl-C during a probe raises KeyboardInterrupt immediately.

    If a signal arrives just before a system call, Python handles it only after the call.
    So wait until the main thread waits for the probe.
    """

    def choose(line: Proxy, request: proxy.Request) -> proxy.Fault | None:
        if "/sessions" in request.path:
            return None
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)
        return proxy.silent

    with Proxy(server.port, choose) as line:
        policy = Policy(budget_s=HANGS_S)
        client = SafeClient(line.url, api_key=GONE, policy=policy, auto_batch_tracing=False)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(client.list_projects())
        assert time.monotonic() - started < HANGS_S / 2
        client.session.close()
