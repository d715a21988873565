"""A request without a refusal: SafeClient against Client, by wall time."""

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
# With each pair of clients. The more, the narrower the spread of the ratio; on a busy
# machine these may not decide.
_ROUNDS = {"list_projects": 250, "create_run": 250, "runs.query": 200}
_PAIRS = {SafeClient: 40, langsmith.Client: 10}
NAMES = tuple(_CALLS_IN_A_ROUND)


def calls(
    name: str, make: type[langsmith.Client], facts: Mapping[str, str], *, own_threads: bool
) -> Calls:
    """So many calls of a new client, which has been warmed up."""
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
        # As a traced function is sent; a run without these two is sent at once, alone.
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
    """Wait for the SDK's tracing threads; or set up their buffer without them.

    These threads wake up by the clock, so the number of their instructions differs from
    run to run. Without them the same buffer is filled, and `flush` sends it.
    """
    if not own_threads:
        client.compressed_traces = CompressedTraces()
        client._data_available_event = threading.Event()
    deadline = time.monotonic() + 30
    while client.compressed_traces is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the SDK's tracing threads did not come up")
        time.sleep(0.01)


def measure(*, quick: bool) -> dict[str, dict[str, Ratio]]:
    """The ratio of each call, and that of the plain client against itself: the noise."""
    return {
        name: {
            "safe": _ratio(name, SafeClient, quick=quick),
            "plain": _ratio(name, langsmith.Client, quick=quick),
        }
        for name in NAMES
    }


def _ratio(name: str, other: type[langsmith.Client], *, quick: bool) -> Ratio:
    """Of many pairs of clients: of two alike, one can be faster by 1 % all its life."""
    pairs, rounds = (1, 2) if quick else (_PAIRS[other], _ROUNDS[name])
    ratios = [ratio for _ in range(pairs) for ratio in _ratios(name, other, rounds)]
    return summary(ratios, together=rounds)


def _ratios(name: str, other: type[langsmith.Client], rounds: int) -> list[float]:
    with served() as server:
        plain = _of(name, langsmith.Client, server.facts)
        # It keeps each request until it is asked for them, and would become slower.
        tidy = server.requests
        return in_turn(plain, _of(name, other, server.facts), rounds, tidy)


def _of(
    name: str, make: type[langsmith.Client], facts: Mapping[str, str]
) -> Callable[[], Any]:
    act = calls(name, make, facts, own_threads=True)
    return lambda: act(_CALLS_IN_A_ROUND[name])
