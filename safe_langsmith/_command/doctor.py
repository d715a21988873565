"""The doctor's report: the facts about a client, the verdict, and the commands to run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from safe_langsmith._client import SafeClient
from safe_langsmith._command.facts import Facts, Line
from safe_langsmith._command.loaded import Program
from safe_langsmith._command.sections import SECTIONS, SHOWN_WORKSPACES, Section, lines_of
from safe_langsmith._command.terminal import assignment
from safe_langsmith._command.tracing_checks import Tracing, look_at_tracing
from safe_langsmith._decision.resolve import offline as offline_diagnosis
from safe_langsmith._diagnosis import Code, Diagnosis, explain_command
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._sdk.clients import failed_traces_folder
from safe_langsmith._sdk.modules import remembered_variable
from safe_langsmith._settings.construction import NAMES, at_construction
from safe_langsmith._settings.environment import environ_now
from safe_langsmith._settings.machine import read_machine
from safe_langsmith._settings.profile_file import read_profile
from safe_langsmith._settings.reading import read
from safe_langsmith._settings.sources import ARGUMENTS, Setting, Settings, Setup
from safe_langsmith._transport.settle import diagnosed_offline, read_settings

# For callers that read a report.
__all__ = ["SECTIONS", "Command", "Facts", "Line", "Report", "examined", "report"]

SCHEMA_VERSION = 2

# Needs no quotes in any shell, notebook or `.env`.
_PLAIN_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
# A step (in an error's next_steps) that tells you to set a workspace.
_SETS = re.compile(r"(?:choose one and )?set (LANG\w+_ID)(?:=([\w-]+))?(?: in .*)?")
_NOT_PLAIN = re.compile(r"[^\w ]+")


class Command(NamedTuple):
    """A line to paste, and the name of the workspace that it selects."""

    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. ``code`` is that of the error that a call would raise.

    ``heading`` says where to put the commands, and whether to choose one of them.
    """

    code: Code
    message: str
    verdict: Diagnosis
    sections: tuple[Section, ...]
    facts: Facts
    program: Program
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    heading: str = ""
    commands: tuple[Command, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report for `--json`, as `doctor.schema.json` describes it."""
        diagnosis = self.facts.diagnosis
        more = () if self.code in ("ok", "unknown") else (explain_command(self.code),)
        return {
            "schema_version": SCHEMA_VERSION,
            "code": self.code,
            "message": self.message,
            "problems": len(self.problems),
            "warnings": len(self.warnings),
            "next_steps": list(self.verdict.next_steps),
            "commands": [*(command.text for command in self.commands), *more],
            "commands_for": self.heading.removesuffix(":"),
            "env_file": self.program.known_as or None,
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
    """Gather the facts about a client; sends requests unless ``offline``."""
    setup = Setup(held=Settings(Setting(client.api_key)))
    diagnosis = Diagnosis("unknown", resolved=False, summary="")
    until = None if offline else time.monotonic() + client.policy.budget_s
    try:
        setup = read_settings(client)
        diagnosis = diagnosed_offline(client)
        if not offline:
            diagnosis = client.diagnose()
    except Exception as error:  # our own bug must not hide what is known already
        why = f"the check failed: {type(error).__name__}."
        diagnosis = replace(diagnosis, code="unknown", summary=why)
    try:
        tracing = look_at_tracing(client, diagnosis, setup, until)
    except Exception as error:  # the SDK may raise anything
        tracing = Tracing(notes=(" ".join(str(error).split()),))
    return Facts(
        diagnosis=diagnosis,
        setup=setup,
        machine=read_machine(),
        tracing=tracing,
        rate=client.tracing_sample_rate,
        saves_traces=bool(failed_traces_folder(client)[0]),
        offline=offline,
    )


def no_client(program: Program, arguments: Mapping[str, Any], why: str, step: str) -> Facts:
    """The facts if the SDK cannot create a client: its message, and what to do."""
    now, place = environ_now(), read_profile(arguments.get("profile"), None)
    key, endpoint, workspace = (
        arguments.get(ARGUMENTS[n]) or now[n].value or place.settings[n].value
        for n in NAMES
    )
    access = Access(endpoint or DEFAULT_ENDPOINT, key, workspace)
    setup = read(access, at_construction(access, arguments), None, program.path)
    seen = offline_diagnosis(setup)
    summary = f"langsmith cannot create a client with these settings: {why.rstrip('.')}."
    if place.notes and setup.held.endpoint.source.kind == "default":
        rest = tuple(s for s in seen.settings if s.name != "endpoint")
        seen = replace(seen, endpoint="", region=None, settings=rest)
    told = tuple(f for f in seen.findings if f.text not in summary)
    return Facts(
        diagnosis=replace(
            seen,
            code="unknown",
            summary=summary,
            next_steps=(step,) if step else (),
            findings=told,
        ),
        setup=setup,
        machine=read_machine(),
        saves_traces=bool(remembered_variable("FAILED_TRACES_DIR", None)),
        no_client=True,
    )


def report(facts: Facts, program: Program | None = None) -> Report:
    """Build the report: every section, the verdict, and the commands to run."""
    program = program or Program()
    if program.withheld:
        facts = _withheld(facts, program)
    unread = (*facts.setup.unread, *program.unused)
    facts = replace(facts, setup=replace(facts.setup, unread=unread))
    sections = tuple(Section(name, lines_of(name, facts)) for name in SECTIONS)
    verdict = facts.verdict
    found = Report(
        code=verdict.code,
        message=verdict.headline,
        verdict=verdict,
        sections=sections,
        facts=facts,
        program=program,
        problems=tuple(_problems(verdict, facts, sections)),
        warnings=tuple(dict.fromkeys(_warnings(verdict, program, sections))),
    )
    heading, commands = _commands(found)
    return replace(found, heading=heading, commands=commands)


def _withheld(facts: Facts, program: Program) -> Facts:
    """The facts if the settings of the `.env` must not be used for requests."""
    diagnosis = facts.diagnosis
    if diagnosis.code == "unknown" and not facts.no_client:
        summary = f"not checked with LangSmith: {program.withheld}."
        diagnosis = replace(diagnosis, summary=summary, next_steps=(program.step,))
    return replace(facts, diagnosis=diagnosis, offline=False, withheld=True)


# --- problems and warnings ------------------------------------------------------------


def _problems(
    verdict: Diagnosis, facts: Facts, sections: tuple[Section, ...]
) -> Iterator[str]:
    """The verdict, and the other destinations that lose traces."""
    is_known = verdict.code not in ("ok", "unknown")
    if is_known or facts.no_client or facts.is_about_traces:
        yield verdict.summary
    lines = next(s.lines for s in sections if s.name == "tracing")
    bad = (line for line in lines if line.state == "bad")
    for number, (place, line) in enumerate(zip(facts.refusing, bad, strict=False)):
        is_said = facts.is_about_traces and number == 0
        if not is_said and not (place.is_own and is_known):
            yield in_words(line)


def _warnings(
    verdict: Diagnosis, program: Program, sections: tuple[Section, ...]
) -> Iterator[str]:
    if program.withheld and verdict.code != "unknown":
        yield f"not checked with LangSmith: {program.withheld}"
    is_said = f"{program.withheld.partition(' ')[0]} refers to a variable"
    for section in sections:
        warned = [x for x in section.lines if x.state == "warning"]
        if section.name == "key" and verdict.code.startswith("key-"):
            continue  # the verdict says so already
        if section.name == "permissions":
            lacks = [x.name for x in warned if x.name != "found"]
            if lacks:
                yield f"the role lacks {', '.join(lacks)}"
            warned = [x for x in warned if x.name == "found"]
        if any(x.name == "found" for x in warned):  # it says why tracing is off
            warned = [x for x in warned if x.name != "status"]
        if section.name == "settings":  # such as a line that cannot be parsed
            warned = [x for x in section.lines if x.state in ("warning", "bad")]
            warned = [x for x in warned if not (program.refers and is_said in x.text)]
        yield from (in_words(line) for line in warned if line.name != "cause")


def in_words(line: Line) -> str:
    """The text of a line when it is shown outside of its section."""
    names = {"status": f"tracing is {line.text}", "format": f"the key: {line.text}"}
    if line.name in names:
        return names[line.name]
    return (
        line.text
        if line.name in ("", "found", "cause", "ignored", "kind")
        else f"{line.name}: {line.text}"
    )


# --- what to run ----------------------------------------------------------------------


def _commands(found: Report) -> tuple[str, tuple[Command, ...]]:
    """What to paste, and where. Only proven values."""
    verdict, facts = found.verdict, found.facts
    if verdict.code == "unknown" and facts.offline:
        return "Run:", (Command("safe-langsmith doctor"),)
    known = {w.id: w.name for w in verdict.workspaces if _PLAIN_ID.fullmatch(w.id)}
    pairs = [(fix.variable, fix.value) for fix in verdict.fixes]
    step = _SETS.fullmatch("\n".join(verdict.next_steps))
    is_choice = bool(step and not pairs)
    if step and is_choice:  # the same as the step, but ready to paste
        name, value = step.groups()
        usable = [value] if value else [*known][:SHOWN_WORKSPACES]
        pairs = [(name, workspace) for workspace in usable]
    if not pairs:
        return "", ()
    into = _file_of([variable for variable, _ in pairs], found)
    lines = tuple(
        Command(
            f"{name}={value}" if into else assignment(name, value, facts.machine),
            # Some shells execute what follows a #.
            " ".join(_NOT_PLAIN.sub(" ", known.get(value, "")).split()),
        )
        for name, value in pairs
    )
    many = is_choice and len(lines) > 1
    what = "one of these" if many else "this"
    heading = "Run one of these:" if many else "Run:"
    if facts.machine.github:
        heading = f"Set {what} in the env: of the job:"
    if into:
        fix = f", or run {found.program.fix}" if verdict.fixes else ""
        heading = f"{into.format(what)}{fix}:"
    return heading, lines


def _file_of(variables: list[str], found: Report) -> str:
    """The change to make in the `.env` that has the variables, or the key; "" if none."""
    held, places = found.facts.setup.held, found.program.places
    into = f"Add {{}} to {found.program.known_as}"
    for variable in variables:
        is_endpoint = variable.endswith("_ENDPOINT")
        setting = held.endpoint if is_endpoint else held.workspace
        is_set = setting.source.kind not in ("default", "none")
        if (setting if is_set else held.key).source.name not in places:
            return ""
        if is_set and len({*variables}) == 1:
            into = f"Change {places[variable]} to {{}}"
    return into
