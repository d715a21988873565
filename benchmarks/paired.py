"""Run two functions in turn, and calculate the ratio of their times."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import chain

Ratio = dict[str, float]
_RESAMPLES = 2000


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def in_turn(
    plain: Callable[[], object],
    safe: Callable[[], object],
    rounds: int,
    tidy: Callable[[], object] | None = None,
) -> list[float]:
    """Return the ratio of each round. Which one goes first alternates.

    Garbage is collected only between rounds, every 50 of them, and ``tidy`` is called
    then, so that leftovers do not slow down later rounds.
    """
    ratios = []
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            if number % 2:
                second, first = timed(safe), timed(plain)
            else:
                first, second = timed(plain), timed(safe)
            ratios.append(second / first)
            if number % 50 == 49:
                gc.collect()
                if tidy is not None:
                    tidy()
    finally:
        gc.enable()
    return ratios


def summary(ratios: Sequence[float], together: int = 1) -> Ratio:
    """Return the median and its 95 % range, by resampling the rounds (bootstrap).

    ``together``: the size of the groups that are drawn; rounds of one group are correlated.
    """
    draw = random.Random(0)
    groups = [ratios[at : at + together] for at in range(0, len(ratios), together)]
    medians = sorted(
        statistics.median(chain.from_iterable(draw.choices(groups, k=len(groups))))
        for _ in range(_RESAMPLES)
    )
    return {
        "ratio": statistics.median(ratios),
        "low": medians[int(_RESAMPLES * 0.025)],
        "high": medians[int(_RESAMPLES * 0.975) - 1],
        "rounds": len(ratios),
    }
