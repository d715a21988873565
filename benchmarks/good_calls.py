"""Measure the wall time of requests that are not refused: SafeClient against Client."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import langsmith
from langsmith._internal._compressed_traces import CompressedTraces

from benchmarks.paired import Ratio, in_turn, summary
from benchmarks.served import served
from safe_langsmith import SafeClient

Calls = Callable[[int], object]
_LOOP = asyncio.new_event_loop()
_CALLS_IN_A_ROUND = {"list_projects": 4, "create_run": 100, "runs.query": 4}
# The rounds for each pair of clients. More of them narrow the range of the ratio; on a busy
# machine, these may be too few to tell whether the limit is exceeded.
_ROUNDS = {"list_projects": 250, "create_run": 250, "runs.query": 200}
_PAIRS = {SafeClient: 40, langsmith.Client: 10}
NAMES = tuple(_CALLS_IN_A_ROUND)


def calls(
    name: str, make: type[langsmith.Client], facts: Mapping[str, str], *, own_threads: bool
) -> Calls:
    """Return a function that makes n calls with a new client, already warmed up."""
    client = make(
        api_url=facts["url"],
        api_key=facts["key"],
        auto_batch_tracing=own_threads and name == "create_run",
    )
    act: Calls = {
        "list_projects": lambda n: [list(client.list_projects()) for _ in range(n)],
        "create_run": lambda n: _create_runs(client, n),
        "runs.query": lambda n: _LOOP.run_until_complete(_query(client, n)),
    }[name]
    if name == "create_run":
        _ready_to_trace(client, own_threads=own_threads)
    act(3)
    return act


def _create_runs(client: langsmith.Client, times: int) -> None:
    for _ in range(times):
        number = uuid.uuid4()
        # A traced function sets these two; without them, each run is sent immediately.
        place: dict[str, Any] = {
            "trace_id": number,
            "dotted_order": f"20260101T000000000000Z{number}",
        }
        client.create_run("run", {"in": 1}, "chain", id=number, **place)
    client.flush()


async def _query(client: langsmith.Client, times: int) -> None:
    projects = [str(uuid.UUID(int=1))]
    for _ in range(times):
        await client.runs.query_v2(project_ids=projects, page_size=10)


def _ready_to_trace(client: langsmith.Client, *, own_threads: bool) -> None:
    """Wait for the SDK's tracing threads, or set up their buffer without them.

    These threads wake up on a timer, so their number of instructions varies between runs.
    Without them, the calls fill the same buffer, and `flush` sends it.
    """
    if not own_threads:
        client.compressed_traces = CompressedTraces()
        client._data_available_event = threading.Event()
    deadline = time.monotonic() + 30
    while client.compressed_traces is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the SDK's tracing threads did not start")
        time.sleep(0.01)


def measure(*, quick: bool) -> dict[str, dict[str, Ratio]]:
    """Return the ratio for each call, and for the plain client against itself (noise)."""
    return {
        name: {
            "safe": _ratio(name, SafeClient, quick=quick),
            "plain": _ratio(name, langsmith.Client, quick=quick),
        }
        for name in NAMES
    }


def _ratio(name: str, other: type[langsmith.Client], *, quick: bool) -> Ratio:
    """Use many pairs of clients: two identical ones can differ by 1 %."""
    pairs, rounds = (1, 2) if quick else (_PAIRS[other], _ROUNDS[name])
    ratios = [ratio for _ in range(pairs) for ratio in _ratios(name, other, rounds)]
    return summary(ratios, together=rounds)


def _ratios(name: str, other: type[langsmith.Client], rounds: int) -> list[float]:
    with served() as server:
        plain = _of(name, langsmith.Client, server.facts)
        # Without this the server keeps all requests, and becomes slower.
        tidy = server.requests
        return in_turn(plain, _of(name, other, server.facts), rounds, tidy)


def _of(
    name: str, make: type[langsmith.Client], facts: Mapping[str, str]
) -> Callable[[], Any]:
    act = calls(name, make, facts, own_threads=True)
    return lambda: act(_CALLS_IN_A_ROUND[name])
