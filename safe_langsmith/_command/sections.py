"""The sections of the doctor's report.

Plain data, built from a diagnosis, the settings and the machine. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from safe_langsmith import __version__
from safe_langsmith._command.tracing_checks import Destination, Tracing
from safe_langsmith._diagnosis import Diagnosis, Finding, SettingInfo, WorkspaceInfo
from safe_langsmith._knowledge.keys import KIND_NAMES, oddity, scrub
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._settings.conflicts import remembered
from safe_langsmith._settings.machine import Machine
from safe_langsmith._settings.sources import Setting, Setup
from safe_langsmith._settings.tracing import Mode, odd_project

Mark = Literal["good", "warning", "bad", "unknown", "info"]

SHOWN_WORKSPACES = 10
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


class Line(NamedTuple):
    """One line: its state, its name, and the text."""

    state: Mark
    name: str
    text: str


class Section(NamedTuple):
    """One section of the report."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report is built from."""

    diagnosis: Diagnosis
    setup: Setup
    machine: Machine
    tracing: Tracing = field(default_factory=Tracing)
    rate: float | None = None
    saves_traces: bool = False
    offline: bool = False
    # The SDK cannot create a client; it is not safe to send requests with these settings.
    no_client: bool = False
    withheld: bool = False

    @property
    def not_known(self) -> str:
        """Why something is unknown."""
        if self.no_client or self.withheld:
            return "not checked: no client" if self.no_client else "not checked, for safety"
        if self.offline:
            return "not checked: --offline"
        code = self.diagnosis.code
        if self.diagnosis.identity or code == "ok":
            return "not listed by LangSmith"
        return f"unknown: {'no response' if code == 'unknown' else code}"

    def line(self, state: Mark, name: str, value: str | None) -> Line:
        """A line with this value, or the reason why it is unknown."""
        return Line(state, name, value) if value else Line("unknown", name, self.not_known)

    def may(self, permission: str) -> bool | None:
        """Whether the key's role has a permission; None if unknown."""
        who = self.diagnosis.identity
        return who.may(permission) if who else None

    @property
    def wants_traces(self) -> bool:
        """Whether tracing is on."""
        return self.setup.tracing.value not in ("off", "local") and self.rate != 0

    @property
    def refusing(self) -> list[Destination]:
        """The destinations that lose traces."""
        places = self.tracing.destinations if self.wants_traces else ()
        return [place for place in places if place.state == "bad"]

    @property
    def is_about_traces(self) -> bool:
        """Whether the verdict is that of the first destination that loses traces."""
        return bool(self.refusing) and (self.needs_no_key or self.diagnosis.code == "ok")

    @property
    def verdict(self) -> Diagnosis:
        """The client's diagnosis; if it is healthy, that of a destination that fails."""
        own, refusing = self.diagnosis, self.refusing
        if self.needs_no_key:
            place = (refusing or self.tracing.destinations)[0]
            place = place._replace(steps=_steps_of(refusing) or place.steps)
            said = "No LangSmith key is set, and none is needed: only OpenTelemetry sends "
            said += "traces, to"
            if self.tracing.way.mode != "otel":
                bad = place.state == "bad"
                only = f"Traces go only to {self.setup.runs_endpoints}:"
                said = "traces do not reach" if bad else only
            said += f" {place.place} ({place.text})."
            code = "unknown" if place.state == "unknown" else place.code
        elif self.is_about_traces:
            place, code = refusing[0], refusing[0].code
            place = place._replace(steps=_steps_of(refusing))
            what = f"traces do not reach {place.place} ({place.text})"
            what = place.text if place.is_own else what
            said = f"LangSmith accepts these settings, but {what}."
        else:
            is_known = own.code != "unknown"
            more = _steps_of(p for p in refusing if not (p.is_own and is_known))
            return replace(own, next_steps=(*own.next_steps, *more))
        verdict = replace(own, code=code, summary=said, next_steps=place.steps)
        return replace(verdict, status_code=None, workspaces=())

    def is_of_switch(self, finding: Finding) -> bool:
        """Whether a finding is about the variable that turns tracing on."""
        switch = self.setup.tracing.source.name
        return bool(switch) and finding.text.startswith((f"{switch} is ", f"{switch}="))

    @property
    def needs_no_key(self) -> bool:
        """Whether traces are sent, but not with the client's own key or endpoint."""
        own, places = self.diagnosis, self.tracing.destinations
        is_missing = own.code == "key-missing"
        if self.tracing.way.mode == "otel":
            return is_missing and all(p.code != "key-missing" for p in places)
        has_none = own.code == "unknown" and own.endpoint_source == "default"
        asked = not (self.offline or self.withheld) and self.wants_traces and bool(places)
        return asked and (is_missing or has_none) and not any(p.is_own for p in places)


def _steps_of(places: Iterable[Destination]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step for place in places for step in place.steps))


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
        return [facts.line(state, "kind", "" if facts.no_client else "no key is set")]
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
    shown_ones, more = usable[:SHOWN_WORKSPACES], len(usable) - SHOWN_WORKSPACES
    lines = [
        facts.line("info", "configured", text),
        facts.line("good", "active", active),
        facts.line("good", "available", str(len(usable) or "")),
        *(Line("info", "", str(workspace)) for workspace in shown_ones),
    ]
    if more > 0:
        lines.append(Line("info", "", f"and {more} more: safe-langsmith doctor --json"))
    return lines


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
