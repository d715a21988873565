"""Which release of langsmith is installed, and which one an advice needs."""

from __future__ import annotations

import re

import langsmith


def installed() -> str:
    """The release that is installed."""
    return langsmith.__version__


def advice(text: str, since: str, release: str) -> str:
    """An advice; and the release it needs, where the installed one is older."""
    if _numbers(release) >= _numbers(since):
        return text
    return f"{text} (needs langsmith {since} or newer; {release} is installed)"


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", release)[:3])
