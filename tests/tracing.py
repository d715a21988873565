"""Helpers that trace runs in each of the SDK's ways, and check what arrived."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

import langsmith

from safe_langsmith.testing import SimulatedLangSmith
from safe_langsmith.testing._bodies import decompressed

INGEST = ("/runs/multipart", "/runs/batch", "/runs", "/feedback")
LARGE = 3_000_000


def plain_multipart(server: SimulatedLangSmith) -> dict[str, Any]:
    server.info["instance_flags"]["zstd_compression_enabled"] = False
    return {}


def compressed(server: SimulatedLangSmith) -> dict[str, Any]:
    return {}


def batch(server: SimulatedLangSmith) -> dict[str, Any]:
    server.info["batch_ingest_config"]["use_multipart_endpoint"] = False
    return plain_multipart(server)


def single(server: SimulatedLangSmith) -> dict[str, Any]:
    return {"auto_batch_tracing": False}


# How the SDK sends runs depends on the server's /info and on the client's arguments.
WAYS: dict[str, Callable[[SimulatedLangSmith], dict[str, Any]]] = {
    "multipart": plain_multipart,
    "compressed": compressed,
    "batch": batch,
    "one by one": single,
}
# The ways in which the SDK sends in the background.
BACKGROUND = [way for way in WAYS if way != "one by one"]


def record(
    client: langsmith.Client, number: int, size: int = 10, *, attachment: bytes = b""
) -> list[str]:
    """Trace this many finished runs of this size in bytes, and return their ids."""
    return [_one(client, index, size, attachment) for index in range(number)]


def _one(client: langsmith.Client, index: int, size: int, attachment: bytes) -> str:
    run, now = uuid.uuid4(), datetime.now(timezone.utc)
    place: dict[str, Any] = {
        "trace_id": run,
        "dotted_order": f"{now:%Y%m%dT%H%M%S%fZ}{run}",
    }
    files = {"file": ("text/plain", attachment)} if attachment else None
    client.create_run(
        f"run {index}",
        {"text": "x" * size},
        "chain",
        id=run,
        start_time=now,
        attachments=files,
        **place,
    )
    client.update_run(run, outputs={"text": "y" * size}, end_time=now, **place)
    return str(run)


def arrived_whole_and_once(
    server: SimulatedLangSmith, runs: Iterable[str], size: int = 10
) -> None:
    """Check that each of these runs arrived completely, and exactly once."""
    arrived = server.runs
    expected = list(runs)
    assert expected
    for run in expected:
        assert run in arrived, f"{run} did not arrive"
        operations = arrived[run]
        kinds = sorted(operation["op"] for operation in operations)
        # The SDK joins the start and end of a run if both are queued. Otherwise they can
        # arrive in any order, because it sends on several threads.
        assert kinds in (["post"], ["patch", "post"]), kinds
        whole = operations[0] | operations[-1]
        assert whole["inputs"] == {"text": "x" * size}
        assert whole["outputs"] == {"text": "y" * size}
    assert arrived.keys() <= set(expected), "something else arrived"


def ingest(server: SimulatedLangSmith, status: int | None = None) -> list[Any]:
    """The requests with runs or feedback, optionally only those with this status."""
    found = [
        exchange
        for exchange in server.exchanges
        if exchange.path.startswith(INGEST) and exchange.method != "GET"
    ]
    return [e for e in found if status in (None, e.status)]


def refused_came_again(server: SimulatedLangSmith) -> None:
    """Check that each refused body was accepted later, unchanged, exactly once."""
    accepted = Counter(
        exchange.body for exchange in ingest(server) if exchange.status < 300
    )
    refused = ingest(server, 403) + ingest(server, 401)
    assert refused, "nothing was refused"
    assert all(accepted[exchange.body] == 1 for exchange in refused)


def feedback_in(server: SimulatedLangSmith) -> Counter[str]:
    """How many times each feedback was accepted, by its comment."""
    bodies = (decompressed(e.body, e.headers) for e in ingest(server) if e.status < 300)
    comments = (piece for body in bodies for piece in body.split(b'"comment":"')[1:])
    return Counter(comment.partition(b'"')[0].decode() for comment in comments)


def _fields(operations: list[dict[str, Any]]) -> set[str]:
    """The fields with a value, except session_id: it is only in a separate patch."""
    given = {f for one in operations for f, value in one.items() if value is not None}
    return given - {"session_id"}


def shape(server: SimulatedLangSmith) -> list[str]:
    """What was traced, without ids and times, which differ between runs."""
    return sorted(
        json.dumps(
            {
                "fields": sorted(_fields(operations)),
                "name": operations[0].get("name"),
                "inputs": operations[0].get("inputs"),
                "outputs": operations[-1].get("outputs"),
            },
            sort_keys=True,
        )
        for operations in server.runs.values()
    )
