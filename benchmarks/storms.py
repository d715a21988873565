"""Measure many calls that are refused at once, on 64 threads and as asyncio tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.paired import timed
from benchmarks.served import Served, served
from safe_langsmith import AccessDeniedError, Policy, SafeAsyncClient, SafeClient
from safe_langsmith._transport.flights import FLIGHTS

THREADS = 64
_DELAY = 0.05
_GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"
# For each way that the calls end: the name of the key that they use.
KEYS = {"repaired": "organization_key", "explained": ""}


def _on_threads(server: Served, key: str, calls: int) -> Callable[[], object]:
    client = SafeClient(
        server.facts["url"],
        api_key=key,
        auto_batch_tracing=False,
        policy=Policy(dotenv=False),
    )

    def call(_: int) -> None:
        with contextlib.suppress(AccessDeniedError):
            client.request_with_retries("GET", "/sessions")

    def act() -> None:
        FLIGHTS.forget()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(call, range(calls)))

    return act


def _as_tasks(server: Served, key: str, calls: int) -> Callable[[], object]:
    async def call(client: SafeAsyncClient) -> None:
        with contextlib.suppress(AccessDeniedError):
            await client._arequest_with_retries("GET", "/sessions")

    async def all_of_them() -> None:
        FLIGHTS.forget()
        client = SafeAsyncClient(
            server.facts["url"],
            api_key=key,
            timeout_ms=60_000,
            policy=Policy(dotenv=False),
        )
        try:
            await asyncio.gather(*(call(client) for _ in range(calls)))
        finally:
            await client.aclose()  # type: ignore[no-untyped-call]

    return lambda: asyncio.run(all_of_them())


WAYS = {"64 threads": _on_threads, "tasks": _as_tasks}


def measure(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the probes, the time relative to a single refused call, and peak memory."""
    logging.getLogger("safe_langsmith").setLevel(logging.ERROR)
    found = []
    with served(_DELAY) as server:
        for way, make in WAYS.items():
            for end, name in KEYS.items():
                key = server.facts[name] if name else _GONE
                make(server, key, 1)()  # warm-up: late imports
                alone = min(timed(make(server, key, 1)) for _ in range(3))
                for calls in sizes:
                    server.requests()
                    seconds = timed(make(server, key, calls))
                    arrived = server.requests()
                    asked = {n: c for n, c in arrived.items() if "/sessions" not in n}
                    found.append(
                        {
                            "way": way,
                            "end": end,
                            "calls": calls,
                            "refused": arrived.get("GET /sessions 403", 0),
                            "probes": sum(asked.values()),
                            "time": seconds / alone,
                            "memory_kb": _peak(make(server, key, calls)) / 1024,
                        }
                    )
    return found


def _peak(act: Callable[[], object]) -> int:
    """Return the peak of the memory that Python allocates during a call, in bytes."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
