"""Everything that a report is built from, and the verdict.

Plain data. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from safe_langsmith._command.tracing_checks import Destination, Tracing, unanswered
from safe_langsmith._diagnosis import Diagnosis, Finding, listed
from safe_langsmith._settings.machine import Machine
from safe_langsmith._settings.sources import Setup

_SHOWN = 3
Mark = Literal["good", "warning", "bad", "unknown", "info"]


class Line(NamedTuple):
    """One line: its state, its name, and the text."""

    state: Mark
    name: str
    text: str


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
        if why := unanswered(self.diagnosis):
            return f"unknown: {why}"
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
            every = refusing or [*self.tracing.destinations]
            place = every[0]._replace(steps=_steps_of(refusing) or every[0].steps)
            where = ", ".join(listed([f"{p.place} ({p.text})" for p in every], _SHOWN))
            said = "No LangSmith key is set, and none is needed: only OpenTelemetry sends "
            said += "traces, to"
            if self.tracing.way.mode != "otel":
                bad = place.state == "bad"
                only = f"Traces go only to {self.setup.runs_endpoints}:"
                said = "traces do not reach" if bad else only
            said += f" {where}."
            is_unknown = any(p.state == "unknown" for p in every)
            code = "unknown" if is_unknown and not refusing else place.code
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
