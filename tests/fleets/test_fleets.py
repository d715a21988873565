"""Tests in the workers of real engines (gunicorn, Celery, Ray, ...), on loopback.

The numbers are documented in docs/fleets.md.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

from safe_langsmith import Diagnosis
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
TESTS = ROOT / "tests"
WORKERS, LIMIT_S = 2, 180
WAYS = ("install", "run")
# Each engine, and the package that it needs. `drive.py` starts it.
ENGINES = {
    "concurrent.futures, fork": None,
    "concurrent.futures, spawn": None,
    "concurrent.futures, forkserver": None,
    "loky": "loky",
    "Dask distributed": "distributed",
    "Ray": "ray",
    "Celery, JSON": "celery",
    "Celery, pickle": "celery",
    "gunicorn": "gunicorn",
    "gunicorn --preload": "gunicorn",
    "uvicorn": "uvicorn",
}


@dataclass
class Outcome:
    """The results of the tasks by turn, the runs that arrived, and the number of probes."""

    found: dict[str, list[Any]]
    arrived: dict[str, list[str]]
    probes: int


@functools.cache
def outcome(engine: str, way: str) -> Outcome:
    with SimulatedLangSmith() as server, tempfile.TemporaryDirectory() as folder:
        server.add_workspace("Research")
        rejected = server.add_personal_key()
        server.revoke(rejected)
        file = Path(folder, "found")
        environ = {
            **{n: v for n, v in os.environ.items() if not n.startswith("LANG")},
            "LANGSMITH_ENDPOINT": server.url,
            "LANGSMITH_API_KEY": server.add_personal_key().secret,
            "LANGSMITH_TRACING": "true",
            "FLEET_REJECTED_KEY": rejected.secret,
            "FLEET_FOLDER": folder,
            "FLEET_WAY": way,
            "FLEET_RESULTS": engine.rpartition(" ")[2].lower(),
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        run = ["-m", "safe_langsmith", "run", "--", sys.executable] if way == "run" else []
        command = [sys.executable, *run, "-m", "fleets.drive", engine, str(file)]
        said = drive(command, environ)
        assert file.exists(), said
        asked = [
            e
            for e in server.exchanges
            if (e.path in ("/workspaces", "/auth/public") and e.key == rejected.secret)
            or (e.path == "/info" and "x-api-key" not in e.headers)
        ]
        arrived = {run: sorted(o["op"] for o in ops) for run, ops in server.runs.items()}
        return Outcome(pickle.loads(file.read_bytes()), arrived, len(asked))


def drive(command: list[str], environ: dict[str, str]) -> str:
    """Run `drive.py`, and leave no process behind."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, env=environ, stdout=said, stderr=said, start_new_session=True
        ) as process,
    ):
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        said.seek(0)
        return said.read()[-5000:]


def error_comes_back(got: Outcome) -> None:
    for code, diagnosis in got.found["ask"]:
        assert code == "key-rejected"
        assert isinstance(diagnosis, Diagnosis)
        assert (diagnosis.code, diagnosis.operation) == (code, "GET /sessions")
        assert diagnosis.findings
        assert diagnosis.next_steps


def traces_arrive_once(got: Outcome) -> None:
    told = {
        run
        for turn in ("trace", "again", "own")
        for runs in got.found[turn]
        for run in runs
    }
    assert len(told) > 80
    assert told <= got.arrived.keys()
    assert {tuple(ops) for ops in got.arrived.values()} <= {("post",), ("patch", "post")}


def probes_are_bounded(got: Outcome) -> None:
    """The limit is in the table in docs/fleets.md."""
    assert 0 < got.probes <= WORKERS * documented_probes()


def documented_probes() -> int:
    page = (ROOT / "docs" / "fleets.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d+) \|", page, re.MULTILINE)
    assert [name for name, _ in rows] == list(ENGINES)
    (probes,) = {int(number) for _, number in rows}
    return probes


QUESTIONS: tuple[Callable[[Outcome], None], ...] = (
    error_comes_back,
    traces_arrive_once,
    probes_are_bounded,
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_in_the_workers(engine: str, way: str, question: Callable[[Outcome], None]) -> None:
    needed = ENGINES[engine]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    question(outcome(engine, way))
