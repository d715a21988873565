"""The doctor's report: the facts about a client, the verdict, and the commands to run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Any

from safe_langsmith._client import SafeClient
from safe_langsmith._command.sections import (
    SECTIONS,
    SHOWN_WORKSPACES,
    Facts,
    Line,
    Section,
    lines_of,
)
from safe_langsmith._command.terminal import assignment
from safe_langsmith._command.tracing_checks import Tracing, look_at_tracing
from safe_langsmith._diagnosis import Code, Diagnosis, explain_command
from safe_langsmith._sdk.clients import failed_traces_folder
from safe_langsmith._settings.machine import read_machine
from safe_langsmith._settings.sources import Setting, Settings, Setup
from safe_langsmith._transport.settle import read_settings, unasked

# What a report is made of, for those who read one.
__all__ = ["SECTIONS", "Facts", "Line", "Report", "examined", "report"]

SCHEMA_VERSION = 1

_ASSIGNMENT = re.compile(r"\bset (LANG[A-Z_]+)=([^\s,;]+)")
# These say what holds; in the steps of the others an assignment is an example.
_ASSIGNABLE = ("workspace-required", "workspace-mismatch", "wrong-region", "wrong-endpoint")


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
    until = None if offline else time.monotonic() + client.policy.budget_s
    try:
        setup = read_settings(client)
        diagnosis = unasked(client)
        if not offline:
            diagnosis = client.diagnose()
    except Exception as error:  # a fault of ours must not cost what is known already
        why = f"the check broke: {type(error).__name__}."
        diagnosis = replace(diagnosis, code="unknown", summary=why)
    try:
        tracing = look_at_tracing(client, diagnosis, setup, until)
    except Exception as error:  # whatever the SDK makes of what it cannot read
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


def report(facts: Facts) -> Report:
    """Make the report: every section, the verdict, and the commands to run."""
    sections = tuple(Section(name, lines_of(name, facts)) for name in SECTIONS)
    verdict = facts.verdict
    text, commands = verdict.headline, _commands(verdict, facts)
    return Report(verdict.code, text, verdict.next_steps, commands, sections, facts)


def _commands(verdict: Diagnosis, facts: Facts) -> tuple[str, ...]:
    """What to paste. Several workspaces give one line each, to choose from."""
    if verdict.code in ("ok", "unknown"):
        again = verdict.code == "unknown" and facts.offline
        return ("safe-langsmith doctor",) if again else ()
    found: list[tuple[str, str]] = []
    if verdict.code in _ASSIGNABLE:
        found = [pair for step in verdict.next_steps for pair in _ASSIGNMENT.findall(step)]
    if verdict.code.startswith("workspace-") and not found:
        usable = verdict.workspaces[:SHOWN_WORKSPACES]
        found = [("LANGSMITH_WORKSPACE_ID", workspace.id) for workspace in usable]
    lines = dict.fromkeys(assignment(*pair, facts.machine) for pair in found)
    return (*lines, explain_command(verdict.code))
