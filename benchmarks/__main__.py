"""Measure everything, and write the results, the page and the picture."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from benchmarks import counted, good_calls, page, repairs, starting, storms

_PACKAGES = ("langsmith", "requests")
DELAY = 0.1


def results(*, quick: bool = False) -> page.Results:
    """All results. ``quick`` makes a few calls only: whether it runs, not how fast."""
    return {
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "wall": good_calls.measure(quick=quick),
        "instructions": {} if quick else counted.measure(rounds=5),
        "start": starting.measure(1 if quick else 20),
        "start_instructions": {} if quick else starting.counted(rounds=3),
        "modules": starting.modules(),
        "delay": 0.001 if quick else DELAY,
        "least": repairs.LEAST,
        "repairs": repairs.measure(DELAY)
        if not quick
        else repairs.measure(0.001, (repairs.ROWS[0], repairs.ROWS[4])),
        "lines": {way: repairs.lines_of_code(way) for way in repairs.WAYS},
        "storms": storms.measure((2,) if quick else (10, 100, 1000)),
    }


if __name__ == "__main__":
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")):
            del os.environ[name]
    page.write(results())
    print(f"wrote {page.PAGE} and {page.PICTURE}")
