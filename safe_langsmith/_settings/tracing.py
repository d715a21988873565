"""The project that traces go to, and the switch of tracing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._sdk import modules
from safe_langsmith._settings.construction import variables
from safe_langsmith._settings.python_dotenv import LOADED
from safe_langsmith._settings.sources import PassedOver, Setting, Source, noted

# The SDK's order. It takes the first one even if it is blank, the others only if not.
_HOSTED = "HOSTED_LANGSERVE_PROJECT_NAME"
_PROJECT = variables("PROJECT", "SESSION")
_SWITCH = variables("TRACING_V2", "TRACING")


def read_project() -> tuple[Setting, tuple[PassedOver, ...]]:
    """The project in force, its source, and the names that were passed over."""
    hosted = os.environ.get(_HOSTED)
    found = [*([] if hosted is None else [(_HOSTED, hosted)]), *_set_among(_PROJECT)]
    project, others = Setting("default", Source("default", "default")), found[1:]
    if found:
        project = Setting(found[0][1], _in_environment(found[0][0]))
    remembered = modules.remembered_project()
    if remembered not in (None, project.value):
        project, others = Setting(remembered, Source("cache", "LANGSMITH_PROJECT")), found
    return project, _passed_over("project", others)


def read_switch() -> tuple[Setting, tuple[PassedOver, ...], tuple[Finding, ...]]:
    """Whether tracing is on, why, what was passed over, and what is odd about it."""
    found = _set_among(_SWITCH)
    forced = modules.tracing_forced()
    if forced is not None:
        state = forced if isinstance(forced, str) else "on" if forced else "off"
        source = Source("environment", "langsmith.configure(enabled=...)")
        return Setting(state, source), _passed_over("tracing", found), ()
    if not found:
        return Setting("off", Source("default", "default")), (), ()
    (name, value), *others = found
    switch = Setting("on" if value == "true" else "off", _in_environment(name))
    notes = noted(*_oddities(name, value, others))
    return switch, _passed_over("tracing", others), notes


def read_destinations() -> tuple[str, ...]:
    """The addresses in LANGSMITH_RUNS_ENDPOINTS, as the SDK reads them; never a key.

    Raises:
        ValueError: If it is set, and the SDK makes nothing of it.
        LangSmithUserError: If it cannot stand beside an endpoint.
    """
    replicas = modules.destinations_in_environment()
    if not replicas and modules.remembered_variable("RUNS_ENDPOINTS", None):
        raise ValueError("it is set, and the SDK finds no destination in it")
    found = (replica.get("api_url") for replica in replicas)
    return tuple(shown(url) for url in found if url)


def _oddities(name: str, value: str, others: list[tuple[str, str]]) -> Iterator[str]:
    so = f"{name} is {value[:20]!r}, so"
    if value not in ("true", "false"):
        must = "it must be the word true, in small letters and nothing around it"
        yield f"{so} tracing is off: {must}"
    unlike = [(n, text) for n, text in others if (text == "true") != (value == "true")]
    for other, text in unlike:
        yield f"{so} {other} is not looked at, which is {text[:20]!r}"


def _in_environment(name: str) -> Source:
    return Source("environment", name, LOADED.get(name, ""))


def _set_among(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Those that are set and not blank, with their values."""
    return [(n, value) for n in names if (value := os.environ.get(n, "")).strip()]


def _passed_over(setting: str, found: list[tuple[str, str]]) -> tuple[PassedOver, ...]:
    return tuple(PassedOver(setting, f"{name} ({value[:80]})") for name, value in found)
