"""Measure the requests and round trips for each cause in the demo.

Each row runs with the plain client, `SafeClient`, and the code in by_hand/.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import langsmith
import requests
from langsmith.utils import LangSmithError

from benchmarks.by_hand import RefusedError, five_steps, with_tenacity
from benchmarks.slow_network import slow_network
from safe_langsmith import AccessDeniedError, Policy, SafeClient
from safe_langsmith.testing import SimulatedLangSmith, _demo

ROWS = _demo.ROWS
# The fewest requests: the refused one, one probe, and, if answered, the resent one.
LEAST = {"answered": 3, "explained": 2}
Act = Callable[[langsmith.Client], object]
Way = Callable[[Act, langsmith.Client, Path], object]
BY_HAND: dict[str, Any] = {"five steps": five_steps, "tenacity": with_tenacity}
WAYS: dict[str, tuple[type[langsmith.Client], Way]] = {
    "Client": (langsmith.Client, lambda act, client, _: act(client)),
    **{name: (langsmith.Client, module.call) for name, module in BY_HAND.items()},
    "SafeClient": (SafeClient, lambda act, client, _: act(client)),
}


def measure(delay: float, rows: tuple[_demo.Row, ...] = ROWS) -> list[dict[str, Any]]:
    """Measure each row in each way."""
    logger = logging.getLogger("safe_langsmith")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    found = []
    with _demo._clean_machine() as home, slow_network(delay):
        _measured("SafeClient", rows[0], home, delay)  # warm-up: late imports
        for row in rows:
            ways = {name: _measured(name, row, home, delay) for name in WAYS}
            found.append({"code": row.code, "title": row.title, "ways": ways})
    logger.propagate = True
    return found


def _measured(name: str, row: _demo.Row, home: Path, delay: float) -> dict[str, Any]:
    servers: list[SimulatedLangSmith] = []

    def world(server: SimulatedLangSmith) -> _demo.Names:
        servers.append(server)
        return row.world(server)

    make, way = WAYS[name]
    act = _demo._CALLS[row.call]
    more = {"policy": Policy(dotenv=home / ".env")} if make is SafeClient else {}
    with _demo._refused(replace(row, world=world), home, make, **more) as client:
        servers[0].clear()
        begin = time.perf_counter()
        end = _end(lambda: way(act, client, home / ".env"), row)
        seconds = time.perf_counter() - begin
        count = len(servers[0].exchanges)
    return {"end": end, "requests": count, "trips": seconds / delay}


def _end(call: Callable[[], object], row: _demo.Row) -> str:
    """Return how a call ended: answered, explained, with a wrong cause, or with none."""
    try:
        call()
    except AccessDeniedError as error:
        return "explained" if error.code == row.code else "wrong cause"
    except RefusedError as error:
        return "explained" if error.code == row.code else "wrong cause"
    except (LangSmithError, requests.RequestException):
        return "no cause"
    return "answered"


def lines_of_code(way: str) -> int:
    """Count the lines that are not blank, a comment, or a docstring."""
    if way not in BY_HAND:
        return 1  # the import
    code = 0
    quoted = False
    for line in Path(BY_HAND[way].__file__).read_text("utf-8").splitlines():
        text = line.strip()
        marks = text.count('"""')
        if marks or quoted:
            quoted ^= marks == 1
        elif text and not text.startswith("#"):
            code += 1
    return code
