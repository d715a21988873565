"""Tests that the page on speed matches the stored results, and that benchmarks run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page, repairs

pytestmark = pytest.mark.slow
ROOT = Path(page.ROOT)


def test_the_page_and_the_picture_match_the_results() -> None:
    results = page.read()
    again = "run: nox -s benchmarks"
    assert page.PAGE.read_text("utf-8") == page.page(results), again
    assert page.PICTURE.read_text("utf-8") == page.picture(results), again
    assert list(results["lines"]) == list(repairs.WAYS)
    assert [row["title"] for row in results["repairs"]] == [r.title for r in repairs.ROWS]


def test_a_quick_run_works() -> None:
    """A quick run works; its times are not checked."""
    script = (
        "import json; from benchmarks import starting; "
        "from benchmarks.__main__ import results; "
        "print(json.dumps([results(quick=True), starting.modules()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    results, modules = json.loads(done.stdout.splitlines()[-1])
    assert list(results["wall"]) == ["list_projects", "create_run", "runs.query"]
    assert [row["ways"]["SafeClient"]["end"] for row in results["repairs"]] == [
        "answered",
        "explained",
    ]
    assert {"_decision.resolve", "_transport.requests_driver", "_diagnosis"} <= {
        name.partition(".")[2] for name in modules["refused"]
    }
    for storm in results["storms"]:
        assert storm["refused"] == 2
        assert storm["probes"] == {"repaired": 1, "explained": 3}[storm["end"]]
    assert "## Many refused calls" in page.page(results)
    assert page.picture(results).startswith("<svg")
