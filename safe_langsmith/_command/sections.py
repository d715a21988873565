"""The sections of the doctor's report.

Plain data, built from a diagnosis, the settings and the machine. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from safe_langsmith import __version__
from safe_langsmith._command.facts import Facts, Line, Mark
from safe_langsmith._command.tracing_checks import Destination
from safe_langsmith._diagnosis import SettingInfo, WorkspaceInfo, listed
from safe_langsmith._knowledge.keys import KIND_NAMES, oddity, scrub
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._settings.conflicts import remembered
from safe_langsmith._settings.sources import Setting
from safe_langsmith._settings.tracing import Mode, odd_project

SHOWN_WORKSPACES = 10
ALL = ": safe-langsmith doctor --json"
# Common tasks, and the request that each of them makes.
_JOBS = (
    ("list projects", "GET", "/sessions"),
    ("read runs", "POST", "/runs/query"),
    ("trace", "POST", "/runs/batch"),
    ("create a project, as evaluate does", "POST", "/sessions"),
    ("read datasets", "GET", "/datasets"),
    ("create datasets", "POST", "/datasets"),
    ("give feedback", "POST", "/feedback"),
    ("pull prompts", "GET", "/commits/-/name/latest"),
    ("push new prompts", "POST", "/repos"),
)
_WAYS: dict[Mode, str] = {
    "langsmith": "background threads",
    "hybrid": "background threads and OpenTelemetry",
    "otel": "OpenTelemetry only",
    "pyo3": "langsmith_pyo3",
}
# The error codes and finding subjects that belong to each section.
_BELONGS = {
    "settings": "stale-setting settings",
    "key": "key-missing key-malformed key-legacy key-rejected key",
    "endpoint": "wrong-region wrong-endpoint blocked-by-proxy transient-refusal unknown "
    "endpoint region proxy server",
    "workspaces": "workspace-required workspace-mismatch workspace",
    "permissions": "service-key-scope permission-missing feature-unavailable "
    "access-denied permission",
}
_PLACE = {word: section for section, words in _BELONGS.items() for word in words.split()}


class Section(NamedTuple):
    """One section of the report."""

    name: str
    lines: tuple[Line, ...]


def lines_of(name: str, facts: Facts) -> tuple[Line, ...]:
    """The lines of a section, free of secrets."""
    try:
        lines = [*_of_the_verdict(name, facts), *SECTIONS[name](facts)]
        lines = lines or [Line("unknown", "unknown", facts.not_known)]
    except Exception as error:  # a bug in one section must not break the others
        lines = [Line("unknown", "unknown", f"this check failed: {type(error).__name__}")]
    return tuple(x._replace(text=scrub(x.text, facts.setup.secrets)) for x in lines)


def _of_the_verdict(name: str, facts: Facts) -> list[Line]:
    """The cause and the findings that belong to a section."""
    diagnosis, lines = facts.diagnosis, []
    if _PLACE.get(diagnosis.code) == name:
        unknown = diagnosis.code == "unknown"
        state: tuple[Mark, str] = ("unknown", "reachable") if unknown else ("bad", "cause")
        state = ("info", "not needed") if facts.needs_no_key else state
        lines.append(Line(*state, diagnosis.summary))
    for finding in diagnosis.findings:
        if name == ("tracing" if facts.is_of_switch(finding) else _PLACE[finding.subject]):
            # An unusual setting is a fact, even if it is not the proven cause.
            odd = finding.subject == "settings" and finding.state == "unknown"
            lines.append(Line("warning" if odd else finding.state, "found", finding.text))
    return lines


# --- the sections ---------------------------------------------------------------------


def _environment(facts: Facts) -> list[Line]:
    machine = facts.machine
    return [
        Line("info", "Python", machine.python),
        Line("info", "langsmith", machine.langsmith),
        Line("info", "safe-langsmith", __version__),
        Line("info", "platform", machine.system),
        Line("info", "notebook", machine.notebook or "no"),
    ]


def _settings(facts: Facts) -> list[Line]:
    lines = []
    for setting in facts.diagnosis.settings:
        lines.append(Line("info", setting.name, str(setting)))
        others = setting.passed_over
        lines += [Line("info", "", f"not used: {text}") for text in others]
    told = [finding.text for finding in facts.diagnosis.findings]
    unread = [text for text in facts.setup.unread if text not in told]
    return [*lines, *(Line("warning", "found", text) for text in unread)]


def _key(facts: Facts) -> list[Line]:
    diagnosis, held = facts.diagnosis, facts.setup.held.key.value
    if diagnosis.key_kind == "missing":
        state: Mark = "info" if facts.needs_no_key else "warning"
        text = "" if facts.no_client or facts.withheld else "no key is set"
        return [facts.line(state, "kind", text)]
    if not held:
        return [Line("info", "kind", KIND_NAMES[diagnosis.key_kind])]
    odd = oddity(held)
    return [
        Line("info", "kind", f"{KIND_NAMES[diagnosis.key_kind]} {diagnosis.key}"),
        Line("warning" if odd else "good", "format", odd or "looks like a LangSmith key"),
    ]


def _endpoint(facts: Facts) -> list[Line]:
    diagnosis = facts.diagnosis
    if not diagnosis.endpoint:
        return [facts.line("info", "URL", "")]
    address = f"{diagnosis.endpoint} ({diagnosis.endpoint_source})"
    region = diagnosis.region or "self-hosted or custom"
    lines = [Line("info", "URL", address), Line("info", "region", region)]
    if diagnosis.code == "ok" or diagnosis.identity:
        lines.append(Line("good", "reachable", "yes"))
    return lines


def _identity(facts: Facts) -> list[Line]:
    who = facts.diagnosis.identity
    if who is None:
        return [Line("unknown", "who", facts.not_known)]
    sender = f"user {who.user_id}" if who.user_id else f"a {KIND_NAMES[who.kind]}"
    return [
        Line("good", "who", sender),
        facts.line("info", "organization", who.organization_id),
        facts.line("info", "role", who.role),
    ]


def _workspaces(facts: Facts) -> list[Line]:
    diagnosis = facts.diagnosis
    who, sent, usable = diagnosis.identity, diagnosis.workspace_id, diagnosis.workspaces
    active = None
    if who and who.workspace_id:
        active = str(WorkspaceInfo(who.workspace_id, who.workspace_name))
    text = "" if facts.no_client else "not set"
    text = f"{sent} ({diagnosis.workspace_source})" if sent else text
    return [
        facts.line("info", "configured", text),
        facts.line("good", "active", active),
        facts.line("good", "available", str(len(usable) or "")),
        *(Line("info", "", text) for text in listed(usable, SHOWN_WORKSPACES, ALL)),
    ]


def _permissions(facts: Facts) -> list[Line]:
    outcome = {True: "", False: ": not allowed", None: f": {facts.not_known}"}
    lines = []
    for name, method, path in _JOBS:
        permission = str(permission_for(method, path))
        may = facts.may(permission)
        # The permission that was refused is the verdict; the others may be needed later.
        refused = permission == facts.diagnosis.required_permission
        state = _state(may, refused=refused)
        lines.append(Line(state, permission, f"{name}{outcome[may]}"))
    return lines


def _state(may: bool | None, *, refused: bool) -> Mark:
    if may is None:
        return "unknown"
    no: Mark = "bad" if refused else "warning"
    return "good" if may else no


def _with_source(value: str, setting: Setting) -> str:
    return str(SettingInfo("", value, str(setting.source)))


def _tracing(facts: Facts) -> list[Line]:
    switch, project = facts.setup.tracing, facts.setup.project
    text = _with_source(str(switch.value), switch)
    if switch.source.kind == "default":
        text += ": set LANGSMITH_TRACING=true"
    told = any(map(facts.is_of_switch, facts.diagnosis.findings))
    is_off = switch.value == "off" and not told
    lines = [
        Line("warning" if is_off else "info", "status", text),
        Line("info", "project", _with_source(str(project.value), project)),
    ]
    if odd := odd_project(project):
        lines[-1] = Line("warning", "project", odd)
    if facts.rate is not None:
        state: Mark = "info" if facts.rate else "warning"
        lines.append(Line(state, "sampled", f"{facts.rate:.0%} of all traces"))
    mode, variable, _ = facts.tracing.way
    sent = f"{_WAYS[mode]}{f' ({variable})' if variable else ''}"
    lines.append(facts.line("info", "sent by", "" if facts.no_client else sent))
    lines += [Line("warning", "ignored", note) for note in facts.tracing.notes]
    lines += [_destination(place, facts) for place in facts.tracing.destinations]
    text = "traces are dropped: LANGSMITH_FAILED_TRACES_DIR is not set"
    if facts.saves_traces:
        text = "traces are saved in LANGSMITH_FAILED_TRACES_DIR"
    return [*lines, Line("info", "on failure", text)]


def _destination(place: Destination, facts: Facts) -> Line:
    """Bad only if traces are lost: not if tracing is off."""
    state: Mark = place.state
    if place.state == "bad" and not facts.wants_traces:
        # The client's own problem is reported already.
        is_said = place.is_own and place.code == facts.diagnosis.code != "unknown"
        state = "info" if is_said else "warning"
    return Line(state, place.by, f"{place.place}: {place.text or facts.not_known}")


def _caches(facts: Facts) -> list[Line]:
    texts, project = [*remembered(facts.setup)], facts.setup.project
    if project.source.kind == "cache":
        texts.append(f"the SDK cached project {project.value!r}")
    told = [Line("warning", "SDK cache", text) for text in texts]
    return told or [Line("good", "SDK cache", "up to date")]


SECTIONS: dict[str, Callable[[Facts], list[Line]]] = {
    "environment": _environment,
    "settings": _settings,
    "key": _key,
    "endpoint": _endpoint,
    "identity": _identity,
    "workspaces": _workspaces,
    "permissions": _permissions,
    "tracing": _tracing,
    "caches": _caches,
}
