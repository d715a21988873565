"""A program that forks while one of its threads gets its first refused request.

    python forking.py KIND URL KEY LIMIT_S (DELAY_MS... | imports)

It forks after each delay, counted from the thread's call, or, with ``imports``, each time
a thread starts to import a module. Every child makes the same call and one more, and
writes a line of JSON to stdout. A child that is not done after LIMIT_S seconds prints its
traceback to stderr instead, and exits.

The modules that the plain client needs are imported first, and no child uses a connection
of its parent. So if a child hangs here, the plain client is not the cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import langsmith
import requests
from langsmith.utils import LangSmithError
from tracing import record

from safe_langsmith import SafeAsyncClient, SafeClient

# The server closes each connection, so that no child can reuse one from the pool.
HEADERS = {"Connection": "close"}
KINDS: dict[str, tuple[Any, Any]] = {
    "Client": (langsmith.Client, langsmith.Client),
    "SafeClient": (SafeClient, langsmith.Client),
    "AsyncClient": (langsmith.AsyncClient, langsmith.AsyncClient),
    "SafeAsyncClient": (SafeAsyncClient, langsmith.AsyncClient),
    "tracing": (SafeClient, SafeClient),
}
# How long an importing thread waits for the fork, which may be waiting for that import.
FORK_S = 0.2


def outcome(call: Callable[[], object]) -> str:
    """Return the error's code or class, or "answered"."""
    try:
        call()
    except LangSmithError as error:
        return str(getattr(error, "code", type(error).__name__))
    return "answered"


class Sync:
    """The calls of a sync client. Parent and children use the same one."""

    def __init__(self, kind: Any, url: str, key: str) -> None:
        self.client: langsmith.Client = kind(
            url, api_key=key, headers=HEADERS, auto_batch_tracing=False
        )

    def in_child(self) -> None:
        """Replace the pool: a thread that no longer exists may hold its lock."""
        self.client.session.mount("http://", requests.adapters.HTTPAdapter())

    def refused(self) -> str:
        name = f"project of {os.getpid()}"
        return outcome(lambda: self.client.create_project(name))

    def good(self) -> str:
        return outcome(lambda: list(self.client.list_datasets()))


class Tracing:
    """Traces runs instead of making calls. A child only uses its parent's client."""

    def __init__(self, kind: Any, url: str, key: str) -> None:
        plain = langsmith.Client(url, api_key=key)
        record(plain, 1)  # refused, but imports the SDK's tracing modules
        plain.flush()
        self.client: SafeClient = kind(url, api_key=key)
        self.runs: list[str] = []

    def in_child(self) -> None:
        """Report only the child's own runs."""
        self.runs = []

    def refused(self) -> str:
        for _ in range(20):  # so that the parent traces during all forks
            self.runs += record(self.client, 5)
            time.sleep(0.007)
        self.client.flush()
        return outcome(self.client.raise_for_tracing_errors)

    def good(self) -> str:
        return " ".join(self.runs)


class Async:
    """The calls of async clients. Each child creates one for its new event loop."""

    def __init__(self, kind: Any, url: str, key: str) -> None:
        self.make: Callable[[], Any] = lambda: kind(url, api_key=key, headers=HEADERS)
        # Created here: OpenSSL reads files, and a fork meanwhile can leave a lock held.
        self.client: langsmith.AsyncClient = self.make()

    def in_child(self) -> None:
        self.client = self.make()

    def refused(self) -> str:
        name = f"project of {os.getpid()}"
        return outcome(lambda: asyncio.run(self.client.create_project(name)))

    def good(self) -> str:
        return outcome(lambda: asyncio.run(self._list()))

    async def _list(self) -> None:
        async for _ in self.client.list_datasets():
            pass


class Family:
    """The children. They wait at a gate, so that they do not slow down the parent."""

    def __init__(self, calls: Sync | Async | Tracing, limit: float) -> None:
        self.calls = calls
        self.limit = limit
        self.children: list[int] = []
        self.gate = os.pipe()

    def fork(self, moment: str) -> None:
        """Fork a child, which reports the moment of its fork."""
        child = os.fork()
        if child:
            self.children.append(child)
            return
        try:
            self._live(moment)
        except BaseException:  # must not reach the child's copy of the main program
            traceback.print_exc()
        os._exit(0)

    def _live(self, moment: str) -> None:
        faulthandler.dump_traceback_later(self.limit, exit=True)
        os.close(self.gate[1])
        os.read(self.gate[0], 1)  # until the parent closes it
        self.calls.in_child()
        tell(moment, self.calls.refused(), self.calls.good())

    def wait(self) -> None:
        """Open the gate, and wait for each child to exit."""
        os.close(self.gate[1])
        for child in self.children:
            os.waitpid(child, 0)


def tell(who: str, *outcomes: str) -> None:
    """Write a line in one call, so that lines of different processes do not mix."""
    os.write(1, (json.dumps([who, *outcomes]) + "\n").encode())


class Imports:
    """Makes the main thread fork each time another thread imports a module."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.moments: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.forked = threading.Event()
        self.forked.set()
        self.unguarded: list[str] = []

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Pause an import until the fork is done, or FORK_S is over."""
        in_thread = threading.current_thread() is not threading.main_thread()
        is_due = not self.forked.is_set()
        if event != "import" or not in_thread or is_due or os.getpid() != self.process:
            return
        self.forked.clear()
        self.moments.put(arguments[0])
        if self.forked.wait(FORK_S):
            self.unguarded.append(arguments[0])

    def fork_at_each(self, family: Family, thread: threading.Thread) -> None:
        """Fork at each import, until the thread has ended."""
        sys.addaudithook(self.audit)
        thread.start()
        while thread.is_alive():
            with contextlib.suppress(queue.Empty):
                family.fork(self.moments.get(timeout=FORK_S))
                self.forked.set()
        tell("unguarded", *self.unguarded)


def fork_after(delays: Iterable[float], family: Family, thread: threading.Thread) -> None:
    """Fork this many seconds after the start of the thread."""
    thread.start()
    begun = time.monotonic()
    for delay in delays:
        time.sleep(max(0.0, begun + delay - time.monotonic()))
        family.fork(f"{delay * 1000:g} ms")


def main(kind: str, url: str, key: str, limit: str, *moments: str) -> None:
    """Warm up, start a thread whose request is refused, and fork meanwhile."""
    logging.basicConfig()
    tested, plain = KINDS[kind]
    calls_of: Any = Async if "Async" in kind else Sync
    warm_up = calls_of(plain, url, key)
    warm_up.refused()
    warm_up.good()
    calls = (Tracing if kind == "tracing" else calls_of)(tested, url, key)
    family = Family(calls, float(limit))
    thread = threading.Thread(
        target=lambda: tell("parent", calls.refused(), calls.good()), daemon=True
    )
    if moments == ("imports",):
        Imports().fork_at_each(family, thread)
    else:
        fork_after((float(ms) / 1000 for ms in moments), family, thread)
    thread.join(float(limit))
    tell("forked", str(len(family.children)))
    family.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
