"""The project that traces go to, and the switch of tracing."""

from __future__ import annotations

import os

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._sdk.modules import (
    destinations_in_environment,
    remembered_project,
    remembered_variable,
    tracing_forced,
)
from safe_langsmith._settings.sources import PassedOver, Setting, Source

# The SDK's order. It takes the first one even if it is blank, the others only if not.
_HOSTED = "HOSTED_LANGSERVE_PROJECT_NAME"
_PROJECT = (
    "LANGSMITH_PROJECT",
    "LANGCHAIN_PROJECT",
    "LANGSMITH_SESSION",
    "LANGCHAIN_SESSION",
)
_SWITCH = (
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING_V2",
    "LANGSMITH_TRACING",
    "LANGCHAIN_TRACING",
)


def read_project() -> tuple[Setting, tuple[PassedOver, ...]]:
    """The project in force, its source, and the names that were passed over."""
    names = (_HOSTED, *_PROJECT) if _HOSTED in os.environ else _PROJECT
    found = [(n, os.environ[n]) for n in names if n == _HOSTED or _is_set(n)]
    project = Setting("default", Source("default", "default"))
    if found:
        project = Setting(found[0][1], Source("environment", found[0][0]))
    remembered = remembered_project()
    if remembered not in (None, project.value):
        project = Setting(remembered, Source("cache", "LANGSMITH_PROJECT"))
        return project, _passed_over("project", found)
    return project, _passed_over("project", found[1:])


def read_switch() -> tuple[Setting, tuple[PassedOver, ...], tuple[Finding, ...]]:
    """Whether tracing is on, why, what was passed over, and what is odd about it."""
    found = [(n, os.environ[n]) for n in _SWITCH if _is_set(n)]
    forced = tracing_forced()
    if forced is not None:
        state = forced if isinstance(forced, str) else "on" if forced else "off"
        source = Source("environment", "langsmith.configure(enabled=...)")
        return Setting(state, source), _passed_over("tracing", found), ()
    if not found:
        return Setting("off", Source("default", "default")), (), ()
    (name, value), *others = found
    switch = Setting("on" if value == "true" else "off", Source("environment", name))
    return switch, _passed_over("tracing", others), _oddities(name, value, others)


def read_destinations() -> tuple[str, ...]:
    """The addresses in LANGSMITH_RUNS_ENDPOINTS, as the SDK reads them; never a key.

    Raises:
        ValueError: If it is set, and the SDK makes nothing of it.
        LangSmithUserError: If it cannot stand beside an endpoint.
    """
    replicas = destinations_in_environment()
    if not replicas and remembered_variable("RUNS_ENDPOINTS", None):
        raise ValueError("it is set, and the SDK finds no destination in it")
    found = (replica.get("api_url") for replica in replicas)
    return tuple(shown(url) for url in found if url)


def _oddities(name: str, value: str, others: list[tuple[str, str]]) -> tuple[Finding, ...]:
    texts = []
    if value not in ("true", "false"):
        texts.append(
            f"{name} is {value[:20]!r}, so tracing is off: it must be the word true, in "
            "small letters and nothing around it"
        )
    texts += [
        f"{name} is {value[:20]!r}, so {other} is not looked at, which is {text[:20]!r}"
        for other, text in others
        if (text == "true") != (value == "true")
    ]
    return tuple(Finding("settings", "unknown", text) for text in texts)


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _passed_over(setting: str, found: list[tuple[str, str]]) -> tuple[PassedOver, ...]:
    return tuple(PassedOver(setting, f"{name} ({value[:80]})") for name, value in found)
