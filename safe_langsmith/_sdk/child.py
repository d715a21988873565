"""A client that was created before a fork also traces in the child.

The SDK's threads exist only in the parent: with the plain client, runs and `flush()` in a
child would wait for them forever. The parent sends what it has queued, so the child
starts with an empty queue. Its first run starts a new thread, so a child that traces
nothing, or becomes another program, has none.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.cookiejar import CookieJar
from queue import PriorityQueue
from typing import Any

from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.modules import part_of, retries_by_itself

# By id, since a subclass may not be hashable.
_living: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
# A client's locks and events are replaced in the child: a thread that does not exist
# there may hold them.
_FRESH: dict[type, Callable[[], Any]] = {
    type(make()): make
    for make in (threading.Lock, threading.RLock, threading.Event, weakref.WeakSet)
}
_SENDING = "_internal._background_thread"


def follow_forks(client: Any) -> None:
    """Make a client trace in processes that are forked from now on."""
    _living[id(client)] = client


class _Queue(PriorityQueue[Any]):  # pragma: no cover  (in another process, but tested)
    """A queue that starts the tracing thread when its first run is added."""

    def __init__(self, maxsize: int, start: Callable[[], None]) -> None:
        super().__init__(maxsize)
        self._start = start
        self._started = threading.Lock()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        if self._started.acquire(blocking=False):
            with Guard("start the thread that sends traces"):
                self._start()


class _Kept(dt.tzinfo):
    """Keeps an object alive through a reference cycle."""


def _keep(*kept: object) -> None:  # pragma: no cover  (in another process, but tested)
    """Keep objects alive until the process ends.

    The cycle goes through a `datetime`, which the garbage collector does not look into. For
    objects that would wait for a missing thread when they are freed, such as a compressor.
    """
    holder: Any = _Kept()  # type: ignore[abstract]  # never used as a time zone
    holder.kept = (kept, dt.datetime(2000, 1, 1, tzinfo=holder))


def _renew(client: Any) -> None:  # pragma: no cover  (in another process, but tested)
    """Replace what a client of the parent cannot use in this child."""
    _reconnect(client.session)
    run = part_of(_SENDING, "tracing_control_thread_func")
    queue = getattr(client, "tracing_queue", None)
    if run is None or queue is None:
        return  # without this function, runs wait as with the plain client
    compressed = getattr(client, "compressed_traces", None)
    _keep(queue, compressed)
    for name in getattr(client._safe_plain, "__slots__", ()):
        make = _FRESH.get(type(getattr(client, name, None)))
        if make is not None:
            setattr(client, name, make())
    if compressed is not None:
        client.compressed_traces = None
    if getattr(client, "_run_ops_buffer", None):
        client._run_ops_buffer = []
    client.tracing_queue = _Queue(queue.maxsize, partial(_start, run, weakref.ref(client)))


def _start(  # pragma: no cover  (in another process, but tested)
    run: Callable[..., None], client: weakref.ref[Any]
) -> None:
    is_daemon = bool(getattr(client(), "_use_daemon_threads", False))
    threading.Thread(target=run, args=(client,), daemon=is_daemon).start()


def _reconnect(session: Any) -> None:  # pragma: no cover  (in another process, but tested)
    """Leave the connections to the parent: two processes cannot share one."""
    for adapter in filter(retries_by_itself, session.adapters.values()):
        _keep(adapter.poolmanager, adapter.proxy_manager)
        adapter.__setstate__(adapter.__getstate__())
    if isinstance(session.cookies, CookieJar):
        session.cookies._cookies_lock = threading.RLock()  # type: ignore[attr-defined]


def _in_child() -> None:  # pragma: no cover  (in another process, but tested)
    with Guard("trace in a forked process"):
        _renew_pool()
    for client in list(_living.values()):
        with Guard("trace in a forked process"):
            _renew(client)


def _renew_pool() -> None:  # pragma: no cover  (in another process, but tested)
    """Create a new thread pool: the SDK's counts idle threads that do not exist here."""
    sending = sys.modules.get(f"langsmith.{_SENDING}")
    pool = getattr(sending, "LANGSMITH_CLIENT_THREAD_POOL", None)
    if isinstance(pool, ThreadPoolExecutor):
        size = getattr(pool, "_max_workers", None)
        new = ThreadPoolExecutor(max_workers=size)
        setattr(sending, "LANGSMITH_CLIENT_THREAD_POOL", new)  # noqa: B010


if hasattr(os, "register_at_fork"):  # pragma: no branch  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
