"""The routes of LangSmith's API and what each requires, including those not simulated.

The table is derived from LangSmith's OpenAPI document.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, cast

from safe_langsmith.testing._faults import routed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from safe_langsmith.testing._access import Needs


@dataclass(frozen=True, slots=True)
class Route:
    """One route, its path as LangSmith writes it. ``permission`` is None if unknown."""

    method: str
    path: str
    needs: Needs
    permission: str | None


#: The path that OpenTelemetry exporters send to.
UNDOCUMENTED = Route("POST", "/otel/v1/traces", "workspace", "runs:create")


@dataclass(frozen=True, slots=True)
class _Place:
    """The routes of one path, by method, and the paths below it, by segment."""

    routes: dict[str, Route] = field(default_factory=dict)
    below: dict[str, _Place] = field(default_factory=dict)


def key_of(path: str) -> str:
    """A path as routed, with ``{}`` for each parameter."""
    return re.sub(r"{\w+}", "{}", routed(path))


@functools.cache
def routes() -> tuple[Route, ...]:
    """All routes of LangSmith."""
    table = resources.files("safe_langsmith.testing").joinpath("routes.txt")
    found = []
    for line in table.read_text(encoding="utf-8").splitlines():
        path, needs, *methods = line.split()
        if path == "#":
            continue
        for method, _, permission in (m.partition("=") for m in methods):
            found.append(Route(method, path, cast("Needs", needs), permission or None))
    return tuple(found)


@functools.cache
def _tree() -> _Place:
    root = _Place()
    for route in (*routes(), UNDOCUMENTED):
        place = root
        for segment in key_of(route.path).split("/"):
            place = place.below.setdefault(segment, _Place())
        place.routes.setdefault(route.method, route)
    return root


def at(path: str) -> Iterator[tuple[dict[str, Route], list[str]]]:
    """The routes by method at a path as routed, and the values of its parameters.

    A literal segment comes before a parameter, as in LangSmith.
    """
    yield from _at(_tree(), path.split("/"))


def _at(place: _Place, segments: list[str]) -> Iterator[tuple[dict[str, Route], list[str]]]:
    if not segments:
        if place.routes:
            yield place.routes, []
        return
    first, *rest = segments
    if first in place.below:
        yield from _at(place.below[first], rest)
    if first and "{}" in place.below:
        yield from ((r, [first, *values]) for r, values in _at(place.below["{}"], rest))
