"""Run the SDK's own tests with the plain and with the safe clients, and compare.

``python -m tests.upstream.compare`` runs the fast part, ``--all`` all unit tests. The
tests come from the source distribution of the installed langsmith. The exit code is 1 if
a test passes only with the plain client, or if hardly any test passes, and 2 if nothing
could be compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Clients = Literal["plain", "safe"]

TESTS = Path(__file__).parents[1]
CACHE = TESTS.parent / ".pytest_cache" / "upstream"
# A copy from import time: a test may change the home directory and the proxies.
ENVIRON = dict(os.environ)

FAST = (
    "tests/test_client.py",
    "tests/test_query_streaming.py",
    "tests/test_query_streaming_order.py",
    "tests/test_response.py",
    "tests/test_streaming.py",
    "tests/unit_tests/test_agents.py",
    "tests/unit_tests/test_async_client.py",
    "tests/unit_tests/test_client.py",
    "tests/unit_tests/test_commits_client.py",
    "tests/unit_tests/test_custom_headers.py",
    "tests/unit_tests/test_evaluator_pagination.py",
    "tests/unit_tests/test_feedback_configs.py",
    "tests/unit_tests/test_httpx_compat.py",
    "tests/unit_tests/test_hub_methods.py",
    "tests/unit_tests/test_multipart_retry_matrix.py",
    "tests/unit_tests/test_multiple_endpoints.py",
    "tests/unit_tests/test_prompt_cache.py",
    "tests/unit_tests/test_replica_endpoints.py",
    "tests/unit_tests/test_repos_client.py",
    "tests/unit_tests/test_run_trees.py",
    "tests/unit_tests/test_runs_aliases.py",
    "tests/unit_tests/test_session_writes.py",
)
ALL = ("tests/unit_tests", *(path for path in FAST if "unit_tests" not in path))
# Only in the nightly run: they wait for threads to end. [True-True] also runs in FAST.
SLOW = tuple(
    f"tests/unit_tests/test_client.py::test_client_gc{variant}"
    for variant in ("_after_autoscale", "[True-False]", "[False-True]", "[False-False]")
)
# Differences that are intended, or do not affect users.
_NO_KEY = "a request without a key is sent, and its refusal is explained (key-missing)"
KNOWN = {
    "tests/unit_tests/test_client.py::test_async_methods": (
        "looks up methods in Client.__dict__, which has no inherited methods"
    ),
    "tests/test_client.py::TestLangsmith::test_validate_headers": _NO_KEY,
    "tests/test_client.py::TestAsyncLangsmith::test_validate_headers": _NO_KEY,
}
RERUNS = 2
# Processes for each of the two runs. They mostly wait.
SHARDS = 2
# If no more tests than this pass, the comparison proves nothing.
TOO_FEW = 100


class Unavailable(Exception):  # noqa: N818  # not a failure: there is nothing to compare
    """The SDK's tests are not available; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """How a test ended: passed, failed, skipped, or missing."""

    result: str
    why: str = ""


Outcomes = Mapping[str, Outcome]


@dataclass
class Comparison:
    """The outcomes of the tests in both runs."""

    plain: Outcomes
    safe: Outcomes
    known: dict[str, str] = field(default_factory=dict)
    flaky: dict[str, Outcome] = field(default_factory=dict)
    differing: dict[str, Outcome] = field(default_factory=dict)

    @property
    def passed_plain(self) -> int:
        """The number of tests that pass with the plain client."""
        return sum(outcome.result == "passed" for outcome in self.plain.values())

    def count(self, plain: str, safe: str) -> int:
        """Count the tests with these two results."""
        return sum(
            (outcome.result, self.safe.get(test, MISSING).result) == (plain, safe)
            for test, outcome in self.plain.items()
        )

    def __str__(self) -> str:
        """Return the table, and each differing test with its reason."""
        lines = [
            f"passed in both:  {self.count('passed', 'passed'):5}",
            f"failed in both:  {self.count('failed', 'failed'):5}",
            f"skipped in both: {self.count('skipped', 'skipped'):5}",
            f"known:           {len(self.known):5}",
            *(f"  {test}\n    {why}" for test, why in self.known.items()),
            f"flaky:           {len(self.flaky):5}",
            *(f"  {test}\n    {end.why}" for test, end in self.flaky.items()),
            f"differing:       {len(self.differing):5}",
            *(
                f"  {test}\n    {end.result}: {end.why}"
                for test, end in self.differing.items()
            ),
        ]
        return "\n".join(lines)


MISSING = Outcome("missing", "the run ended before it")


def compare(
    paths: Sequence[str], deselected: Sequence[str] = (), limit: float = 300
) -> Comparison:
    """Run the SDK's tests with both clients, and rerun those that differ."""
    sdist = fetch(importlib.metadata.version("langsmith"))
    with tempfile.TemporaryDirectory() as folder:
        root = unpack(sdist, Path(folder))
        left_out = [f"--deselect={test}" for test in deselected]
        shards = [[*files, *left_out] for files in sharded(root, paths)]
        found = run_both(root, shards, limit)
        differing = differences(found.plain, found.safe)
        found.known = {test: KNOWN[test] for test in differing if test in KNOWN}
        still = {test: end for test, end in differing.items() if test not in KNOWN}
        for _ in range(RERUNS):
            if still:
                again = run_both(root, [list(still)], limit)
                differing = differences(again.plain, again.safe)
                found.flaky |= {t: end for t, end in still.items() if t not in differing}
                still = differing
        found.differing = still
        return found


BOTH: tuple[Clients, Clients] = ("plain", "safe")


def sharded(root: Path, paths: Sequence[str]) -> list[list[str]]:
    """Split the test files under these paths into groups of similar size."""
    files = {
        file
        for path in paths
        for file in (
            [root / path] if path.endswith(".py") else (root / path).rglob("test_*.py")
        )
        if file.exists()
    }
    by_size = sorted(files, key=lambda file: (-file.stat().st_size, file))
    names = [file.relative_to(root).as_posix() for file in by_size]
    return [sorted(names[shard::SHARDS]) for shard in range(SHARDS)]


def run_both(root: Path, shards: Sequence[Sequence[str]], limit: float) -> Comparison:
    """Run each group of tests with both clients, all at the same time."""
    with ThreadPoolExecutor() as pool:
        plain, safe = (
            [pool.submit(run, root, clients, shard, limit) for shard in shards]
            for clients in BOTH
        )
        return Comparison(
            {test: end for done in plain for test, end in done.result().items()},
            {test: end for done in safe for test, end in done.result().items()},
        )


def differences(plain: Outcomes, safe: Outcomes) -> dict[str, Outcome]:
    """Return the tests that pass with the plain client but not with the safe one."""
    return {
        test: safe.get(test, MISSING)
        for test, outcome in plain.items()
        if outcome.result == "passed" and safe.get(test, MISSING).result != "passed"
    }


def fetch(version: str) -> Path:
    """Download the source distribution of langsmith with pip, or use the cached one."""
    sdist = CACHE / f"langsmith-{version}.tar.gz"
    if not sdist.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        wanted = ["--no-deps", "--no-binary", "langsmith", f"langsmith=={version}"]
        done = subprocess.run(
            [*pip, "--quiet", *wanted, "--dest", str(CACHE)],
            env=ENVIRON,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not sdist.exists():
            said = done.stderr.strip().splitlines() or ["pip downloaded no such file"]
            raise Unavailable(f"no source distribution of langsmith {version}: {said[-1]}")
    return sdist


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack the tests, and the file with pytest's settings."""
    with tarfile.open(sdist) as archive:
        root = archive.getnames()[0].partition("/")[0]
        wanted = [
            member
            for member in archive.getmembers()
            if member.name.startswith(f"{root}/tests/")
            or member.name == f"{root}/pyproject.toml"
        ]
        archive.extractall(folder, wanted, filter="data")
    if not (folder / root / "tests").exists():
        raise Unavailable(f"{sdist.name} contains no tests")
    return folder / root


def run(root: Path, clients: Clients, tests: Iterable[str], limit: float) -> Outcomes:
    """Run tests of the SDK in a separate process with a clean environment."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        outcomes = Path(folder) / "outcomes"
        outcomes.touch()
        copy = Path(folder) / "sdk"
        shutil.copytree(root, copy)
        environ: dict[str, str] = {
            **{name: ENVIRON[name] for name in ("PATH", "SYSTEMROOT") if name in ENVIRON},
            "HOME": str(home),
            "USERPROFILE": str(home),
            "PYTHONPATH": str(TESTS),
            "PYTHONHASHSEED": "0",
            "UPSTREAM_CLIENTS": clients,
            "UPSTREAM_OUTCOMES": str(outcomes),
        }
        options = ("-p", "upstream.plugin", "-p", "no:langsmith_plugin", "-o", "addopts=")
        quiet = ("-p", "no:cacheprovider", "--quiet", "--continue-on-collection-errors")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *quiet, *tests],
                cwd=copy,
                env=environ,
                timeout=limit,
                capture_output=True,
                text=True,
                check=False,
            )
            said = done.stdout
        except subprocess.TimeoutExpired as over:
            said = str(over)
        ends = read(outcomes)
        if not ends and clients == "plain":  # with the safe clients, it is a difference
            raise Unavailable(f"the SDK's tests do not run here: {said[-1000:]}")
        return ends


def read(file: Path) -> Outcomes:
    """Return the outcome of each test: that of its worst phase."""
    order = ("failed", "skipped", "passed")
    ends: dict[str, Outcome] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        end = Outcome(row["outcome"], row["why"])
        old = ends.get(row["test"], end)
        ends[row["test"]] = min(old, end, key=lambda one: order.index(one.result))
    return ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="run all unit tests, not only the fast part"
    )
    everything = parser.parse_args(arguments).all
    try:
        found = compare(ALL, limit=3600) if everything else compare(FAST, SLOW)
    except Unavailable as error:
        sys.stdout.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{found}\n")
    return 1 if found.differing or found.passed_plain <= TOO_FEW else 0


if __name__ == "__main__":
    raise SystemExit(main())
