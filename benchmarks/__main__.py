"""Measure everything, and write the results, the page, and the picture."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from benchmarks import counted, good_calls, page, repairs, starting, storms

_PACKAGES = ("langsmith", "requests")
_DELAY = 0.1


def _repairs(quick: bool) -> Any:
    if quick:
        return repairs.measure(0.001, (repairs.ROWS[0], repairs.ROWS[4]))
    return repairs.measure(_DELAY)


MEASURES: Mapping[str, Callable[[bool], Any]] = {
    "wall": lambda quick: good_calls.measure(quick=quick),
    "instructions": lambda quick: {} if quick else counted.measure(rounds=5),
    "start": lambda quick: starting.measure(1 if quick else 150),
    "start_instructions": lambda quick: {} if quick else starting.counted(rounds=3),
    "repairs": _repairs,
    "storms": lambda quick: storms.measure((2,) if quick else (10, 100, 1000)),
}


def versions() -> dict[str, str]:
    """Return the versions that are measured."""
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def results(names: Iterable[str] = MEASURES, *, quick: bool = False) -> page.Results:
    """Measure these. ``quick``: only a few calls, to check that it runs."""
    today = datetime.now(timezone.utc).date().isoformat()
    return {
        "versions": versions(),
        "measured": dict.fromkeys(names, today),
        "delay": _DELAY,
        "least": repairs.LEAST,
        "lines": {way: repairs.lines_of_code(way) for way in repairs.WAYS},
        **{name: MEASURES[name](quick) for name in names},
    }


def main() -> None:
    """Measure what the command line names; keep the other results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=MEASURES,
        help="measure only this, and keep the other results; can be repeated",
    )
    only = parser.parse_args().only
    # The page names one set of versions for all figures.
    if only and page.read()["versions"] != versions():
        parser.error("the saved results are from other versions: run without --only")
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")):
            del os.environ[name]
    new = results(only) if only else results()
    if only:
        kept = page.read()
        new = {**kept, **new, "measured": {**kept["measured"], **new["measured"]}}
    page.write(new)
    print(f"wrote {page.PAGE} and {page.PICTURE}")


if __name__ == "__main__":
    main()
