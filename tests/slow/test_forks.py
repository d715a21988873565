"""Tests that a forked child works, even after a fork during the first refusal."""

from __future__ import annotations

import importlib.util
import os

import pytest

from slow import forks
from slow.forks import Report

# Not a speed limit: a child that takes longer hangs.
HANGS_S = 60.0
SAFE = ("SafeClient", "SafeAsyncClient")
# The results of the two calls that parent and children make.
EXPECTED = {
    "refused": ("permission-missing", "answered"),
    "repaired": ("answered", "answered"),
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.timeout(5 * HANGS_S),
]


def assert_as_without_a_fork(report: Report, cause: str) -> None:
    """Check that each child got the same results as without a fork."""
    assert report.hanging == 0, f"{report.hanging} of {report.forked}:\n{report.errors}"
    assert report.children == [EXPECTED[cause]] * report.forked, report.errors


@pytest.mark.parametrize("program", range(forks.PROGRAMS))
@pytest.mark.parametrize("cause", forks.CAUSES)
@pytest.mark.parametrize("kind", SAFE)
def test_a_fork_after_a_delay(kind: str, cause: str, program: int) -> None:
    """200 children in total, forked during the first refusal in each parent."""
    report = forks.run(kind, cause, forks.SWEEPS[program], HANGS_S)
    assert report.forked == 10
    assert_as_without_a_fork(report, cause)
    assert report.parent == EXPECTED[cause]


@pytest.mark.parametrize("cause", forks.CAUSES)
@pytest.mark.parametrize("kind", SAFE)
def test_a_fork_at_each_import(kind: str, cause: str) -> None:
    """No module is half imported in a child, which would wait for it forever.

    Without a guard there would be about 50 children. With the guard, the fork waits.
    """
    report = forks.run(kind, cause, forks.AT_IMPORTS, HANGS_S)
    assert report.unguarded == ()
    assert_as_without_a_fork(report, cause)
    assert report.parent == EXPECTED[cause]


@pytest.mark.parametrize("program", [*range(forks.PROGRAMS), "imports"])
@pytest.mark.parametrize("cause", forks.CAUSES)
def test_a_client_that_traces_works_in_each_child(cause: str, program: int | str) -> None:
    """After a fork while the parent traces, every run of both arrives exactly once."""
    moments = forks.AT_IMPORTS if program == "imports" else forks.SWEEPS[int(program)]
    report = forks.run("tracing", cause, moments, HANGS_S)
    assert report.hanging == 0, report.errors
    ends = [*report.children, report.parent]
    assert {end for end, _ in ends} == {EXPECTED[cause][0]}, report.errors
    runs = sorted(run for _, told in ends for run in told.split())
    assert len(runs) == 100 * (report.forked + 1)
    assert sorted(report.arrived) == (runs if cause == "repaired" else [])


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_the_plain_client_forks_as_well(kind: str) -> None:
    """So if a test above fails, the safe client is the cause."""
    report = forks.run(kind, "refused", forks.SWEEPS[0], HANGS_S)
    assert report.children == [("LangSmithError", "answered")] * 10, report.errors
    report = forks.run(kind, "refused", forks.AT_IMPORTS, HANGS_S)
    assert report.forked == 0, report.unguarded


@pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"
)
@pytest.mark.parametrize("start", range(10))
def test_each_worker_of_gunicorn_answers(start: int) -> None:
    """With ``--preload``, gunicorn forks a process that already has threads."""
    cause = forks.CAUSES[start % 2]
    report = forks.run_gunicorn("SafeClient", cause, HANGS_S)
    assert_as_without_a_fork(report, cause)
