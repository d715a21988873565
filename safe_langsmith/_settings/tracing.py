"""How and where traces are sent: the switch, the project, every destination."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import (
    DEFAULT_ENDPOINT,
    is_official,
    same_origin,
    shown,
)
from safe_langsmith._sdk import modules
from safe_langsmith._sdk.names import at_least
from safe_langsmith._settings.construction import variables
from safe_langsmith._settings.environment import environ_now
from safe_langsmith._settings.python_dotenv import LOADED
from safe_langsmith._settings.sources import PassedOver, Setting, Settings, Source, noted

# In the SDK's order. It uses the first even if it is empty, and skips others if empty.
_HOSTED = "HOSTED_LANGSERVE_PROJECT_NAME"
_PROJECT = variables("PROJECT", "SESSION")
_SWITCH = variables("TRACING_V2", "TRACING")
_SAMPLING = variables("TRACING_SAMPLING_RATE")
# What the SDK accepts as yes, in any case; the tracing switch is stricter.
_YES = ("true", "1")
_EXPORT_TO = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORT_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"

Mode = Literal["langsmith", "hybrid", "otel", "pyo3"]


class Way(NamedTuple):
    """How traces are sent, and the variable that sets it; empty for the default.

    ``note``: a variable that is set but has no effect.
    """

    mode: Mode = "langsmith"
    variable: str = ""
    note: str = ""


class Export(NamedTuple):
    """The URL where OpenTelemetry sends traces; no ``settings`` if not to LangSmith."""

    address: str
    settings: Settings | None = None


def read_project() -> tuple[Setting, tuple[PassedOver, ...]]:
    """The active project, its source, and the variables that were not used."""
    hosted = os.environ.get(_HOSTED)
    found = [*([] if hosted is None else [(_HOSTED, hosted)]), *_set_among(_PROJECT)]
    project, others = Setting("default", Source("default", "default")), found[1:]
    if found:
        project = Setting(found[0][1], _in_environment(found[0][0]))
    remembered = modules.remembered_project()
    if remembered not in (None, project.value):
        project, others = Setting(remembered, Source("cache", "LANGSMITH_PROJECT")), found
    return project, _passed_over("project", others)


def odd_project(project: Setting) -> str | None:
    """What is unusual about a project name (the SDK sends it unchanged), or None."""
    name = (project.value or "").strip(" \t\r\n\ufeff")
    if name[:1] in ("'", '"') and name[-1:] == name[:1]:
        name = name.strip("'\" \t")
    if project.value in (None, name):
        return None
    meant = f"; did you mean {name[:80]!r}?" if name else ""
    return f"{project.source.name} is {(project.value or '')[:80]!r}{meant}"


def read_switch() -> tuple[Setting, tuple[PassedOver, ...], tuple[Finding, ...]]:
    """Whether tracing is on, and why; the variables that were not used; problems."""
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


def variable_in_use(name: str) -> str:
    """The variable of this name that is set; the usual one if none is."""
    usual = variables(name)
    return next((variable for variable, _ in _set_among(usual)), usual[0])


def located(name: str) -> str:
    """The same, with its line if a `.env` has set it."""
    variable = variable_in_use(name)
    return str(Source("environment", variable, LOADED.get(variable, "")))


def read_way(mode: str) -> Way:
    """How a client sends traces; ``mode`` is what the client reports."""
    asked: list[tuple[str, str]] = [
        *((name, value.lower()) for name, value in _set_among(variables("TRACING_MODE"))),
        *((name, "otel") for name in _said_yes("OTEL_ONLY")),
        *((name, "hybrid") for name in _said_yes("OTEL_ENABLED")),
    ]
    name, wanted = asked[0] if asked else ("", "langsmith")
    if wanted != mode == "langsmith":
        without = "OpenTelemetry is not installed here: pip install 'langsmith[otel]'"
        return Way(note=f"{name} has no effect: {without}")
    if mode != "langsmith":
        return Way("otel" if mode == "otel" else "hybrid", name)
    native = next((name for name, _ in _set_among(variables("USE_PYO3_CLIENT"))), "")
    if native and importlib.util.find_spec("langsmith_pyo3"):
        return Way("pyo3", native)
    without = f"{native} has no effect: langsmith_pyo3 is not installed here"
    return Way("langsmith", name, without if native else "")


def read_destinations(own: Access) -> tuple[tuple[Settings, ...], str]:
    """The settings of each destination in LANGSMITH_RUNS_ENDPOINTS, and what is ignored.

    Raises:
        LangSmithUserError: If it conflicts with an endpoint.
    """
    text = modules.remembered_variable("RUNS_ENDPOINTS", None)
    replicas = [r for r in modules.destinations_in_environment() if r.get("api_url")]
    note, variable = "", variable_in_use("RUNS_ENDPOINTS")
    if text and not replicas:
        example = '[{"api_url": "https://...", "api_key": "..."}]'
        note = f"langsmith ignores {variable}: it must be JSON such as {example}"
    elif text and (ignored := len(json.loads(text)) - len(replicas)):
        each = "each needs an api_url and an api_key, both strings"
        note = f"langsmith ignores {ignored} of the entries in {variable}: {each}"
    return tuple(_of_replica(replica, own) for replica in replicas), note


def _of_replica(replica: Mapping[str, Any], own: Access) -> Settings:
    auth = replica.get("auth") or replica
    return as_destination(
        str(replica["api_url"]),
        auth.get("api_key"),
        own,
        Source("request", variable_in_use("RUNS_ENDPOINTS")),
        auth.get("tenant_id"),
    )


def as_destination(
    url: str, key: str | None, own: Access, source: Source, workspace: str | None = None
) -> Settings:
    """The settings of an additional destination.

    Without a ``workspace``, the SDK sends the client's if the key or the host is the
    client's, and before langsmith 0.14.16 always.
    """
    inherits = key == own.key or same_origin(url, own.endpoint) or not at_least("0.14.16")
    workspace = workspace or (own.workspace if inherits else None)
    return Settings(Setting(key, source), Setting(url, source), Setting(workspace, source))


def read_export(own: Access) -> Export:
    """Where the OpenTelemetry exporter that the SDK creates sends traces.

    It reads key and endpoint only from the environment. It sends no workspace, except one
    in OTEL_EXPORTER_OTLP_HEADERS.
    """
    now = environ_now()
    url = now.endpoint.value or DEFAULT_ENDPOINT
    source = now.endpoint.source
    variable = next((name for name in _EXPORT_TO if os.environ.get(name)), None)
    if variable:
        given, source = os.environ[variable], Source("environment", variable)
        url = given.rstrip("/").removesuffix("/v1/traces").removesuffix("/otel")
        if not (is_official(url) or same_origin(url, own.endpoint)):
            return Export(shown(given))
    key, workspace = now.key, Setting()
    if text := os.environ.get(EXPORT_HEADERS):
        pairs = (pair.partition("=") for pair in text.split(","))
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        of_header = Source("environment", EXPORT_HEADERS)
        key = Setting(headers.get("x-api-key"), of_header)
        workspace = Setting(headers.get("x-tenant-id"), of_header)
    return Export(shown(url), Settings(key, Setting(url, source), workspace))


def _oddities(name: str, value: str, others: list[tuple[str, str]]) -> Iterator[str]:
    if value not in ("true", "false"):
        yield f"{name} is {value[:20]!r}, so tracing is off: it must be exactly 'true'"
    for rate, text in _set_among(_SAMPLING)[:1]:
        with suppress(ValueError):  # the SDK reports that itself
            if not float(text) > 0:  # also nan
                yield f"{rate} is {text[:20]}, so no traces are sent"
    unlike = [(n, text) for n, text in others if (text == "true") != (value == "true")]
    for other, text in unlike:
        state = "on" if value == "true" else "off"
        told = f"{name}={value[:20]} overrides {other}={text[:20]}"
        yield f"{told}, so tracing is {state}; remove one of them"


def _said_yes(name: str) -> list[str]:
    """The variable of this name, in a list, if its value means yes to the SDK."""
    first = _set_among(variables(name))[:1]
    return [variable for variable, value in first if value.lower() in _YES]


def _in_environment(name: str) -> Source:
    return Source("environment", name, LOADED.get(name, ""))


def _set_among(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The variables that are set and not blank, with their values."""
    return [(n, value) for n in names if (value := os.environ.get(n, "")).strip()]


def _passed_over(setting: str, found: list[tuple[str, str]]) -> tuple[PassedOver, ...]:
    return tuple(PassedOver(setting, f"{name} ({value[:80]})") for name, value in found)
