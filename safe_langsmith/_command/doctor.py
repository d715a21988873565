"""The doctor's report: one section for each question that a maintainer asks.

Plain data, made of a diagnosis, the settings and the machine; nothing is sent here. A
section that breaks becomes a line that says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from safe_langsmith import __version__
from safe_langsmith._client import SafeClient
from safe_langsmith._diagnosis import Code, Diagnosis, Finding, explain_command
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import KIND_NAMES, oddity, scrub
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._settings.conflicts import remembered
from safe_langsmith._settings.machine import Machine, read_machine
from safe_langsmith._settings.sources import Setting, Settings, Setup
from safe_langsmith._settings.tracing import read_destinations
from safe_langsmith._transport.settle import read_settings, unasked

SCHEMA_VERSION = 1
Mark = Literal["good", "warning", "bad", "unknown", "info"]

_SHOWN_WORKSPACES = 10
# What people come for, and the request that each of them makes.
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
_TO_TRACE = str(permission_for("POST", "/runs/batch"))
# The section that the cause of a refusal belongs to.
_PLACE: dict[str, str] = {
    "workspace-required": "workspaces",
    "workspace-mismatch": "workspaces",
    "service-key-scope": "permissions",
    "stale-setting": "settings",
    "wrong-region": "endpoint",
    "wrong-endpoint": "endpoint",
    "key-missing": "key",
    "key-malformed": "key",
    "key-legacy": "key",
    "key-rejected": "key",
    "permission-missing": "permissions",
    "feature-unavailable": "permissions",
    "blocked-by-proxy": "endpoint",
    "transient-refusal": "endpoint",
    "access-denied": "permissions",
    "unknown": "endpoint",
}
_SUBJECTS = {
    "key": "key",
    "workspace": "workspaces",
    "endpoint": "endpoint",
    "region": "endpoint",
    "settings": "settings",
    "permission": "permissions",
    "proxy": "endpoint",
    "server": "endpoint",
}
_ASSIGNMENT = re.compile(r"\bset (LANG[A-Z_]+)=([^\s,;]+)")
# These say what holds; in the steps of the others an assignment is an example.
_ASSIGNABLE = ("workspace-required", "workspace-mismatch", "wrong-region", "wrong-endpoint")


class Line(NamedTuple):
    """One line: whether it is good, its name, and what was seen."""

    state: Mark
    name: str
    text: str


class Section(NamedTuple):
    """The answer to one question."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report is made of."""

    diagnosis: Diagnosis
    setup: Setup
    machine: Machine
    destinations: tuple[str, ...] | Exception = ()
    rate: float | None = None
    saves_traces: bool = False
    offline: bool = False

    @property
    def not_known(self) -> str:
        """Why something is not known."""
        return "not asked: offline" if self.offline else "LangSmith does not say"


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. ``code`` is that of the error which a call would raise."""

    code: Code
    message: str
    next_steps: tuple[str, ...]
    commands: tuple[str, ...]
    sections: tuple[Section, ...]
    facts: Facts

    def as_dict(self) -> dict[str, Any]:
        """The report for `--json`, as `doctor.schema.json` describes it."""
        diagnosis = self.facts.diagnosis
        return {
            "schema_version": SCHEMA_VERSION,
            "code": self.code,
            "message": self.message,
            "next_steps": list(self.next_steps),
            "commands": list(self.commands),
            "auth_source": diagnosis.key_source,
            "api_url": diagnosis.endpoint,
            "workspace_id": diagnosis.workspace_id,
            "offline": self.facts.offline,
            "sections": [
                {"name": s.name, "lines": [line._asdict() for line in s.lines]}
                for s in self.sections
            ],
            "diagnosis": diagnosis.as_dict(),
        }


def examined(client: SafeClient, *, offline: bool = False) -> Facts:
    """Gather the facts about a client: by asking LangSmith, if that is allowed."""
    setup = Setup(held=Settings(Setting(client.api_key)))
    diagnosis = Diagnosis("unknown", resolved=False, summary="")
    try:
        setup = read_settings(client)
        diagnosis = unasked(client)
        if not offline:
            diagnosis = client.diagnose()
    except Exception as error:  # a fault of ours must not cost what is known already
        why = f"the check broke: {type(error).__name__}."
        diagnosis = replace(diagnosis, code="unknown", summary=why)
    destinations: tuple[str, ...] | Exception
    try:
        destinations = (*map(shown, client._write_api_urls), *read_destinations())
    except Exception as error:  # whatever the SDK makes of what it cannot read
        destinations = error
    return Facts(
        diagnosis=diagnosis,
        setup=setup,
        machine=read_machine(),
        destinations=destinations,
        rate=client.tracing_sample_rate,
        saves_traces=bool(client._failed_traces_dir),
        offline=offline,
    )


def report(facts: Facts) -> Report:
    """Make the report: every section, the verdict, and the commands to run."""
    sections = tuple(
        Section(name, _scrubbed(_lines(make, name, facts), facts))
        for name, make in SECTIONS.items()
    )
    diagnosis = facts.diagnosis
    if diagnosis.code == "ok" and _loses_traces(facts):
        message = (
            f"LangSmith accepts these settings, but the key's role lacks {_TO_TRACE}, "
        )
        step = f"ask an admin for a role with {_TO_TRACE}, or switch tracing off"
        code: Code = "permission-missing"
        return Report(
            code,
            f"{message}so traces are refused.",
            (step,),
            (explain_command(code),),
            sections,
            facts,
        )
    steps, commands = diagnosis.next_steps, _commands(facts)
    message = diagnosis.headline
    return Report(diagnosis.code, message, steps, commands, sections, facts)


def _lines(make: Callable[[Facts], list[Line]], name: str, facts: Facts) -> list[Line]:
    try:
        lines = [*_of_the_verdict(name, facts), *make(facts)]
        return lines or [Line("unknown", "not known", facts.not_known)]
    except Exception as error:  # one section that breaks must not cost the others
        return [Line("unknown", "not known", f"this check broke: {type(error).__name__}")]


def _of_the_verdict(name: str, facts: Facts) -> list[Line]:
    """The cause and the findings that belong to a section."""
    diagnosis, lines = facts.diagnosis, []
    if _PLACE.get(diagnosis.code) == name:
        unknown = diagnosis.code == "unknown"
        lines.append(
            Line("unknown", "answers", diagnosis.summary)
            if unknown
            else Line("bad", "cause", diagnosis.summary)
        )
    for finding in diagnosis.findings:
        if _section_of(finding, facts) == name:
            # What is odd about settings is seen, though not shown to be the cause.
            odd = finding.subject == "settings" and finding.state == "unknown"
            lines.append(Line("warning" if odd else finding.state, "found", finding.text))
    return lines


def _section_of(finding: Finding, facts: Facts) -> str:
    """Findings about the switch of tracing begin with the name of its variable."""
    switch = facts.setup.tracing.source.name
    if switch and finding.text.startswith(f"{switch} is "):
        return "tracing"
    return _SUBJECTS[finding.subject]


def _scrubbed(lines: list[Line], facts: Facts) -> tuple[Line, ...]:
    return tuple(x._replace(text=scrub(x.text, facts.setup.secrets)) for x in lines)


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
    return lines


def _key(facts: Facts) -> list[Line]:
    diagnosis, held = facts.diagnosis, facts.setup.held.key.value
    if diagnosis.key_kind == "missing":
        return [Line("warning", "kind", "there is no key")]
    if not held:
        return [Line("info", "kind", KIND_NAMES[diagnosis.key_kind])]
    odd = oddity(held)
    return [
        Line("info", "kind", f"{KIND_NAMES[diagnosis.key_kind]} {diagnosis.key}"),
        Line("warning" if odd else "good", "shape", odd or "that of a LangSmith key"),
    ]


def _endpoint(facts: Facts) -> list[Line]:
    diagnosis = facts.diagnosis
    region = diagnosis.region or "none of LangSmith's own, such as a self-hosted one"
    lines = [
        Line("info", "address", f"{diagnosis.endpoint} ({diagnosis.endpoint_source})"),
        Line("info", "region", region),
    ]
    if diagnosis.code == "ok" or diagnosis.identity:
        lines.append(Line("good", "answers", "LangSmith answers there"))
    return lines


def _identity(facts: Facts) -> list[Line]:
    who = facts.diagnosis.identity
    if who is None:
        return [Line("unknown", "who", facts.not_known)]
    sender = f"a {KIND_NAMES[who.kind]}"
    lines = [Line("good", "who", f"user {who.user_id}" if who.user_id else sender)]
    for name, value in (("organization", who.organization_id), ("role", who.role)):
        known: Mark = "info" if value else "unknown"
        lines.append(Line(known, name, value or facts.not_known))
    return lines


def _workspaces(facts: Facts) -> list[Line]:
    diagnosis = facts.diagnosis
    who, sent = diagnosis.identity, diagnosis.workspace_id
    text = f"{sent} ({diagnosis.workspace_source})" if sent else "none is configured"
    lines = [Line("info", "sent", text)]
    if who and who.workspace_id:
        name = f"{who.workspace_id}  {who.workspace_name}".rstrip()
        lines.append(Line("good", "in force", name))
    else:
        lines.append(Line("unknown", "in force", facts.not_known))
    usable = diagnosis.workspaces
    if not usable:
        return [*lines, Line("unknown", "usable", facts.not_known)]
    lines.append(Line("good", "usable", str(len(usable))))
    lines += [Line("info", "", str(w)) for w in usable[:_SHOWN_WORKSPACES]]
    if len(usable) > _SHOWN_WORKSPACES:
        more = f"and {len(usable) - _SHOWN_WORKSPACES} more: safe-langsmith doctor --json"
        lines.append(Line("info", "", more))
    return lines


def _permissions(facts: Facts) -> list[Line]:
    return [_job(name, str(permission_for(*what)), facts) for name, *what in _JOBS]


def _job(name: str, permission: str, facts: Facts) -> Line:
    """Whether a job is allowed. The refused one is the verdict; others only may fail."""
    may = _may(facts, permission)
    if may is None:
        return Line("unknown", permission, f"{name}: {facts.not_known}")
    if may:
        return Line("good", permission, name)
    refused = permission == facts.diagnosis.required_permission
    return Line("bad" if refused else "warning", permission, f"{name}: not allowed")


def _may(facts: Facts, permission: str) -> bool | None:
    who = facts.diagnosis.identity
    return who.may(permission) if who else None


def _tracing(facts: Facts) -> list[Line]:
    setup = facts.setup
    switch, project = setup.tracing, setup.project
    lines = [
        Line("info", "switch", f"{switch.value} ({switch.source})"),
        Line("info", "project", f"{project.value} ({project.source})"),
    ]
    if facts.rate is not None:
        state: Mark = "info" if facts.rate else "warning"
        lines.append(Line(state, "sampled", f"{facts.rate:.0%} of all traces"))
    lines += _destinations(facts)
    may = _may(facts, _TO_TRACE)
    if may is None:
        text = f"needs {_TO_TRACE}: {facts.not_known}"
        lines.append(Line("unknown", "a batch", text))
    elif may:
        lines.append(Line("good", "a batch", "would be accepted"))
    else:
        state = "bad" if _loses_traces(facts) else "warning"
        lines.append(
            Line(state, "a batch", f"would be refused: the role lacks {_TO_TRACE}")
        )
    text = "lost: LANGSMITH_FAILED_TRACES_DIR is not set"
    if facts.saves_traces:
        text = "saved in LANGSMITH_FAILED_TRACES_DIR"
    return [*lines, Line("info", "if refused", text)]


def _destinations(facts: Facts) -> list[Line]:
    if isinstance(facts.destinations, Exception):
        why = " ".join(str(facts.destinations).split())
        return [Line("warning", "destinations", f"LANGSMITH_RUNS_ENDPOINTS: {why}")]
    places = facts.destinations or (facts.diagnosis.endpoint,)
    return [Line("info", "destination", place) for place in places]


def _loses_traces(facts: Facts) -> bool:
    """Whether traces are wanted, for the client's own endpoint, and would be refused."""
    wanted = facts.setup.tracing.value not in ("off", "local") and facts.rate != 0
    elsewhere = facts.destinations not in ((), (facts.diagnosis.endpoint,))
    return wanted and not elsewhere and _may(facts, _TO_TRACE) is False


def _caches(facts: Facts) -> list[Line]:
    lines = [Line("warning", "differs", text) for text in remembered(facts.setup)]
    project = facts.setup.project
    if project.source.kind == "cache":
        text = f"the SDK has settled on project {project.value!r}"
        lines.append(Line("warning", "differs", text))
    return lines or [Line("good", "agree", "what the SDK remembers is what is set")]


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


# --- the commands ---------------------------------------------------------------------


def _commands(facts: Facts) -> tuple[str, ...]:
    """What to paste. Several workspaces give one line each, to choose from."""
    diagnosis = facts.diagnosis
    if diagnosis.code == "ok":
        return ()
    if diagnosis.code == "unknown":
        return ("safe-langsmith doctor",) if facts.offline else ()
    found = [
        _assign(name, value, facts.machine)
        for step in diagnosis.next_steps
        for name, value in _ASSIGNMENT.findall(step)
        if diagnosis.code in _ASSIGNABLE
    ]
    if diagnosis.code.startswith("workspace-") and not found:
        ids = [w.id for w in diagnosis.workspaces[:_SHOWN_WORKSPACES]]
        found = [_assign("LANGSMITH_WORKSPACE_ID", i, facts.machine) for i in ids]
    return (*dict.fromkeys(found), explain_command(diagnosis.code))


def _assign(name: str, value: str, machine: Machine) -> str:
    """The line that sets a variable in the shell, or the notebook, that is at work."""
    if machine.notebook:
        return f"%env {name}={value}"
    if machine.system.startswith("Windows"):
        quoted = value.replace("'", "''")
        return f"$env:{name} = '{quoted}'"
    return f"export {name}={shlex.quote(value)}"
