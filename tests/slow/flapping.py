"""Send traces to a server that refuses only some, with the plain and the safe client.

``python -m tests.slow.flapping`` prints the duration of ``flush()`` and the lost runs.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import langsmith
from starlette.requests import Request

from safe_langsmith import Policy, SafeClient
from safe_langsmith.testing import SimulatedLangSmith
from safe_langsmith.testing._bodies import decompressed
from safe_langsmith.testing._faults import Answer

BUDGET_S = 10.0
KINDS: dict[str, Callable[..., langsmith.Client]] = {
    "plain": langsmith.Client,
    "safe": lambda *args, **kw: SafeClient(*args, policy=Policy(budget_s=BUDGET_S), **kw),
}
JSON = Answer(403, b'{"detail":"Forbidden"}', {"content-type": "application/json"})
HTML = Answer(403, b"<html><body>Forbidden</body></html>", {"content-type": "text/html"})
_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Flapping:
    """Which batches a server refuses, and how.

    ``refuses`` is called with the number of earlier batches, and the seconds since the
    first. ``probe_s``: how long the response to a probe takes.
    """

    refuses: Callable[[int, float], bool]
    answer: Answer = JSON
    probe_s: float = 0.0

    def refused_of(self, batches: int) -> int:
        """How many of these batches are refused, if time makes no difference."""
        return sum(self.refuses(before, 0.0) for before in range(batches))


@dataclass(frozen=True)
class Pace:
    """How fast runs are traced: a group of runs, then a pause or a flush."""

    together: int
    pause_s: float = 0.0
    flushes: bool = False


AT_ONCE = Pace(together=100_000)
FLUSHED = Pace(together=25, flushes=True)
# The SDK sends 50 runs as one batch: five batches while the server toggles once.
STEADY = Pace(together=50, pause_s=0.12)


def toggling(seconds: float, answer: Answer) -> Flapping:
    """Accept batches for this many seconds, refuse them for as long, and so on."""
    return Flapping(lambda _, since: since % (2 * seconds) >= seconds, answer)


PATTERNS = {
    "every 2nd, JSON": Flapping(lambda before, _: before % 2 == 1),
    "every 2nd, HTML": Flapping(lambda before, _: before % 2 == 1, HTML),
    "8 of 16, JSON": Flapping(lambda before, _: before % 16 >= 8),
    "8 of 16, HTML": Flapping(lambda before, _: before % 16 >= 8, HTML),
    "each 0.5 s, JSON": toggling(0.5, JSON),
    "each 0.6 s, JSON": toggling(0.6, JSON),
    "each 0.6 s, HTML": toggling(0.6, HTML),
    "each 1.5 s, JSON": toggling(1.5, JSON),
}
_PROBED = ("/workspaces", "/sessions", "/orgs/*", "/auth/*")


class FlappingLangSmith(SimulatedLangSmith):
    """A simulated LangSmith that refuses some of the batches."""

    def __init__(self, flapping: Flapping) -> None:
        super().__init__()
        self._flapping = flapping
        self._batches = 0
        self._first = 0.0
        for path in _PROBED if flapping.probe_s else ():
            self.answer(path, method="GET", status=None, delay=flapping.probe_s)

    def _answer(self, request: Request, path: str, body: bytes) -> Answer:
        if request.method != "POST" or not path.startswith("/runs"):
            return super()._answer(request, path, body)
        self._first = self._first or time.monotonic()
        refused = self._flapping.refuses(self._batches, time.monotonic() - self._first)
        self._batches += 1
        return self._flapping.answer if refused else super()._answer(request, path, body)


@dataclass(frozen=True)
class Figures:
    """The result of tracing some runs. A run is lost if a part of it did not arrive."""

    flush_s: float
    lost: int
    unsent: int
    batches: int
    batches_lost: int
    batches_doubled: int
    lines: list[logging.LogRecord]


def record(client: langsmith.Client, number: int) -> set[str]:
    """Trace this many finished runs, and return their ids."""
    runs = []
    for _ in range(number):
        run, now = uuid.uuid4(), datetime.now(timezone.utc)
        runs.append(str(run))
        place: dict[str, Any] = {
            "trace_id": run,
            "dotted_order": f"{now:%Y%m%dT%H%M%S%fZ}{run}",
        }
        client.create_run("run", {"text": "in"}, "chain", id=run, start_time=now, **place)
        client.update_run(run, outputs={"text": "out"}, end_time=now, **place)
    return set(runs)


def measure(
    kind: str,
    flapping: Flapping,
    runs: int,
    pace: Pace = AT_ONCE,
    *,
    compressed: bool = True,
) -> Figures:
    """Trace this many runs, flush, and count."""
    with FlappingLangSmith(flapping) as server, _log() as lines:
        server.info["instance_flags"]["zstd_compression_enabled"] = compressed
        server.add_workspace("Research")
        client = KINDS[kind](server.url, api_key=server.add_personal_key().secret)
        recorded: set[str] = set()
        while len(recorded) < runs:
            recorded |= record(client, min(runs, pace.together))
            time.sleep(pace.pause_s)
            if pace.flushes:
                client.flush()
        started = time.monotonic()
        client.flush()
        flush_s = time.monotonic() - started
        client.close()
        return _counted(server, recorded, flush_s, lines)


def _counted(
    server: SimulatedLangSmith,
    recorded: set[str],
    flush_s: float,
    lines: list[logging.LogRecord],
) -> Figures:
    sent = [e for e in server.exchanges if e.method == "POST" and "/runs" in e.path]
    bodies = {e.body: decompressed(e.body, e.headers) for e in sent}
    ids = {found.decode() for body in bodies.values() for found in _ID.findall(body)}
    taken = Counter(e.body for e in sent if e.status < 300)
    whole = {
        run
        for run, parts in server.runs.items()
        if all(any(part.get(side) for part in parts) for side in ("inputs", "outputs"))
    }
    return Figures(
        flush_s=flush_s,
        lost=len(recorded - whole),
        unsent=len(recorded - ids),
        batches=len(bodies),
        batches_lost=len(bodies.keys() - taken.keys()),
        batches_doubled=sum(times > 1 for times in taken.values()),
        lines=lines,
    )


@contextmanager
def _log() -> Iterator[list[logging.LogRecord]]:
    """Collect the records of the safe_langsmith logger, from WARNING up."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler, logger = Keep(logging.WARNING), logging.getLogger("safe_langsmith")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


WAYS: tuple[tuple[str, int, Pace, bool], ...] = (
    ("zstd", 1600, AT_ONCE, True),
    ("zstd", 3200, AT_ONCE, True),
    ("multipart", 1600, AT_ONCE, False),
    ("flushed", 800, FLUSHED, True),
    ("steady", 3000, STEADY, True),
)


def main() -> None:
    """Print a table of all patterns."""
    # Otherwise Python prints the SDK's log line for each lost batch.
    logging.getLogger("langsmith").addHandler(logging.NullHandler())
    head = (
        f"{'refused':<18}{'sent as':<12}{'runs':>5}{'client':>7}{'all s':>7}{'flush s':>9}"
    )
    sys.stdout.write(f"{head}{'lost':>6}{'batches':>9}{'lost':>6}{'lines':>7}\n")
    for name, flapping in PATTERNS.items():
        for way, runs, pace, compressed in WAYS:
            for kind in KINDS:
                started = time.monotonic()
                got = measure(kind, flapping, runs, pace, compressed=compressed)
                all_s = time.monotonic() - started
                row = f"{name:<18}{way:<12}{runs:>5}{kind:>7}{all_s:>7.1f}"
                rest = f"{got.flush_s:>9.1f}{got.lost:>6}{got.batches:>9}"
                sys.stdout.write(f"{row}{rest}{got.batches_lost:>6}{len(got.lines):>7}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
