"""Measure import and construction against the plain client; list imported modules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import langsmith

from benchmarks.counted import total_of, under_callgrind
from benchmarks.paired import Ratio, in_turn, summary
from benchmarks.served import served
from safe_langsmith import SafeClient

_ARGUMENTS: dict[str, Any] = {"api_url": "http://127.0.0.1:9", "api_key": "lsv2_pt_x"}
_TIMED = """
import time
begin = time.perf_counter()
from {package} import Client
{then}
print(time.perf_counter() - begin)
"""
_MADE = f"Client(auto_batch_tracing=False, **{_ARGUMENTS})"
_IMPORTED = "from {} import Client\n{}"
_LOADED = """
import json, sys
from safe_langsmith import Client
client = Client({url!r}, api_key={key!r}, auto_batch_tracing=False)
list(client.list_projects())
print(json.dumps([n for n in sys.modules if n.startswith("safe_langsmith.")]))
"""


def measure(rounds: int) -> dict[str, Ratio]:
    """Return the ratios. Each import runs in a new process; Python's start is excluded."""
    return {
        "import": summary([_fresh("") for _ in range(rounds)]),
        "import and construction": summary([_fresh(_MADE) for _ in range(rounds)]),
        "construction": summary(
            in_turn(lambda: _make(langsmith.Client), lambda: _make(SafeClient), rounds * 2)
        ),
    }


def counted(rounds: int) -> dict[str, Ratio]:
    """Return the same ratios in instructions; Python's own start is subtracted."""
    if shutil.which("valgrind") is None:
        return {}
    bare = _instructions("pass")
    return {
        name: summary(
            [
                (_instructions(_IMPORTED.format("safe_langsmith", then)) - bare)
                / (_instructions(_IMPORTED.format("langsmith", then)) - bare)
                for _ in range(rounds)
            ]
        )
        for name, then in (("import", ""), ("import and construction", _MADE))
    }


def _instructions(script: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "start"
        under_callgrind(out, ["-W", "ignore", "-c", script])
        return total_of(out)


def _make(make: type[langsmith.Client]) -> None:
    for _ in range(5):
        make(auto_batch_tracing=False, **_ARGUMENTS)


def _fresh(then: str) -> float:
    """Return the ratio of two imports on each side, in the order A, B, B, A."""
    order = ("langsmith", "safe_langsmith", "safe_langsmith", "langsmith")
    times = [float(_printed(_TIMED.format(package=p, then=then))) for p in order]
    return (times[1] + times[2]) / (times[0] + times[3])


def _printed(script: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, check=True, text=True, capture_output=True)
    return done.stdout


def modules() -> dict[str, list[str]]:
    """Return the modules imported after a successful call, and those a refusal adds."""
    with served() as server:
        url = server.facts["url"]
        good, refused = (
            set(json.loads(_printed(_LOADED.format(url=url, key=server.facts[key]))))
            for key in ("key", "organization_key")
        )
    return {"good": sorted(good), "refused": sorted(refused - good)}
