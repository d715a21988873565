"""Two things in turn, and the ratio of their times."""

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
    """The seconds that something takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def in_turn(
    plain: Callable[[], object],
    safe: Callable[[], object],
    rounds: int,
    tidy: Callable[[], object] | None = None,
) -> list[float]:
    """The ratio of each round. Who begins alternates; no garbage is collected within.

    It is collected now and then between two rounds, where ``tidy`` is called, too: so what
    they leave behind does not slow down the later ones.
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
    """The median, and where it lies with 95 % certainty if the rounds are drawn anew.

    So many rounds are drawn ``together``: those that are alike for more than by chance.
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
