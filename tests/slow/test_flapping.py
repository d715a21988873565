"""Tests with a server that refuses some batches: short waits, no more losses, few logs."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import pytest

from slow.flapping import (
    AT_ONCE,
    BUDGET_S,
    FLUSHED,
    PATTERNS,
    STEADY,
    Figures,
    Flapping,
    measure,
)

# Tolerance for a busy machine. A real bug takes much longer.
SLACK_S = 5.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
compressed_or_not = pytest.mark.parametrize(
    "compressed", [True, False], ids=["zstd", "multipart"]
)


def assert_waits_one_budget_at_most(plain: Figures, safe: Figures) -> None:
    assert safe.flush_s <= plain.flush_s + BUDGET_S + SLACK_S


def assert_logs_each_thing_once(figures: Figures) -> None:
    """A repair, and a later failure to repair, count as two things."""
    told = Counter(_cause(line) for line in figures.lines)
    assert set(told.values()) <= {1}, told


def _cause(line: logging.LogRecord) -> object:
    diagnosis = getattr(line, "diagnosis", None)
    return (diagnosis.code, diagnosis.resolved) if diagnosis else line.getMessage()


def assert_loses_no_more(figures: Figures, flapping: Flapping) -> None:
    """Check that no more batches are lost than by a client that sends each one once.

    The server counts, and refuses a fixed share of the batches: nothing is random. A
    client that sends each batch at least once, and resends no accepted one, cannot lose
    more.
    """
    assert figures.unsent == 0
    assert figures.batches_doubled == 0
    assert figures.batches_lost <= flapping.refused_of(figures.batches)


@compressed_or_not
@pytest.mark.parametrize("runs", [1600, 3200])
@pytest.mark.parametrize(
    "pattern", ["every 2nd, JSON", "every 2nd, HTML", "each 0.6 s, JSON"]
)
def test_flush_takes_one_budget_longer_at_most(
    pattern: str, runs: int, compressed: bool
) -> None:
    flapping = PATTERNS[pattern]
    plain = measure("plain", flapping, runs, AT_ONCE, compressed=compressed)
    safe = measure("safe", flapping, runs, AT_ONCE, compressed=compressed)
    assert_waits_one_budget_at_most(plain, safe)
    assert_logs_each_thing_once(safe)
    assert safe.unsent == safe.batches_doubled == 0
    if "2nd" in pattern:
        # The plain client loses exactly as many as the limit in `assert_loses_no_more`.
        assert plain.batches_lost == flapping.refused_of(plain.batches)
        assert_loses_no_more(safe, flapping)


@pytest.mark.parametrize(
    ("pattern", "probe_s", "compressed"),
    [
        ("every 2nd, JSON", 1.5, True),
        ("every 2nd, JSON", 1.5, False),
        ("every 2nd, JSON", 300.0, True),
        ("8 of 16, JSON", 300.0, False),
    ],
)
def test_slow_probes_do_not_add_up(pattern: str, probe_s: float, compressed: bool) -> None:
    """If the server is also slow, only one of all diagnoses may wait for it.

    With the last pattern, several threads are refused at once. A thread that has waited
    for another's diagnosis must not start its own after that one timed out.
    """
    flapping = replace(PATTERNS[pattern], probe_s=probe_s)
    plain = measure("plain", flapping, 3200, AT_ONCE, compressed=compressed)
    safe = measure("safe", flapping, 3200, AT_ONCE, compressed=compressed)
    assert_waits_one_budget_at_most(plain, safe)
    assert_logs_each_thing_once(safe)
    assert_loses_no_more(safe, flapping)


@compressed_or_not
@pytest.mark.parametrize(
    "pattern", ["every 2nd, JSON", "every 2nd, HTML", "8 of 16, JSON", "8 of 16, HTML"]
)
def test_no_more_runs_are_lost(pattern: str, compressed: bool) -> None:
    """All batches have the same size, so that lost runs can be compared."""
    flapping = PATTERNS[pattern]
    plain = measure("plain", flapping, 800, FLUSHED, compressed=compressed)
    safe = measure("safe", flapping, 800, FLUSHED, compressed=compressed)
    assert_loses_no_more(safe, flapping)
    assert_logs_each_thing_once(safe)
    assert safe.lost <= plain.lost


@pytest.mark.parametrize(
    ("pattern", "compressed"),
    [
        ("each 0.5 s, JSON", True),
        ("each 0.6 s, JSON", True),
        ("each 0.6 s, HTML", False),
        ("each 1.5 s, JSON", False),
    ],
)
def test_no_more_runs_are_lost_over_time(pattern: str, compressed: bool) -> None:
    """Runs are traced for 7 s while the server alternately accepts and refuses.

    The plain client loses about half of them. A pause of fixed length would lose all
    waiting runs whenever it ends while the server refuses again: in some of these cases
    400 to 650 runs more. The tolerance is four batches out of 60, which can be sent
    slightly earlier or later than with the plain client.
    """
    flapping = PATTERNS[pattern]
    plain = measure("plain", flapping, 3000, STEADY, compressed=compressed)
    safe = measure("safe", flapping, 3000, STEADY, compressed=compressed)
    assert safe.unsent == safe.batches_doubled == 0
    assert safe.lost <= plain.lost + 4 * STEADY.together
    assert_waits_one_budget_at_most(plain, safe)
    assert_logs_each_thing_once(safe)
