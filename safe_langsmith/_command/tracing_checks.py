"""Whether each destination of traces would accept them. Nothing is sent there but reads.

The decision that explains a rejected request judges every destination, with the key of
that destination alone, and in the same words.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from safe_langsmith._client import SafeClient
from safe_langsmith._decision.answers import object_of, probe
from safe_langsmith._decision.protocol import Answer, Reply, Unreachable
from safe_langsmith._decision.resolve import examine, offline
from safe_langsmith._diagnosis import Code, Diagnosis, Identity, State
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import describe
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._sdk.clients import destinations_of
from safe_langsmith._settings.sources import Settings, Setup, Source
from safe_langsmith._settings.tracing import (
    DESTINATIONS,
    EXPORT_HEADERS,
    Way,
    as_destination,
    read_destinations,
    read_export,
    read_way,
)
from safe_langsmith._transport.budget import Clock
from safe_langsmith._transport.requests_driver import RequestsWire
from safe_langsmith._transport.settle import Work

TO_TRACE = str(permission_for("POST", "/runs/batch"))
_LIMITS = "/workspaces/current/usage_limits"
# What was refused to the doctor's call, and may be allowed to a batch.
_OF_ONE_CALL = ("ok", "permission-missing", "feature-unavailable", "access-denied")


def role_of(who: Identity | None) -> str:
    """The role of a key, and the workspace where it has it: what an admin needs to know."""
    role = f'the role "{who.role}"' if who and who.role else "the key's role"
    place = f' in workspace "{who.workspace_name}"' if who and who.workspace_name else ""
    return f"{role}{place}"


class Destination(NamedTuple):
    """Where traces go, whether they would be accepted, and what was seen.

    ``text`` is empty where nothing was asked. ``code`` is that of the error that a batch
    would meet; "ok" where none was found. ``is_own``: the report's verdict is about it.
    """

    place: str
    state: State
    text: str
    code: Code = "ok"
    steps: tuple[str, ...] = ()
    by: str = "destination"
    is_own: bool = False


class Tracing(NamedTuple):
    """How traces are sent, and where to. ``notes``: what langsmith ignores."""

    way: Way = Way()
    destinations: tuple[Destination, ...] = ()
    notes: tuple[str, ...] = ()


class _Place(NamedTuple):
    """A destination that is to be asked. ``listed``: where it is one of several.

    ``known``: the diagnosis of the client's own.
    """

    setup: Setup
    listed: str = ""
    by: str = "destination"
    known: Diagnosis | None = None

    def judged(self, state: State, text: str, code: Code, step: str = "") -> Destination:
        """The destination, after it was asked."""
        access = self.setup.access
        place = shown(access.endpoint)
        if self.listed:
            place += f" with {describe(access.key)}"
            step = step and f"{place}: {step}"
        steps, is_own = (step,) if step else (), self.known is not None
        return Destination(place, state, text, code, steps, self.by, is_own)


class _Wire(RequestsWire):
    """Remembers whether there was an answer, or no time left for one."""

    answered = False

    def do(self, work: Work) -> Any:
        answer = super().do(work)
        failed = isinstance(answer, Unreachable) and not answer.withheld
        self.answered |= not (failed and self.clock.left)
        return answer


def look_at_tracing(
    client: SafeClient, own: Diagnosis, setup: Setup, until: float | None
) -> Tracing:
    """Ask every destination, at the same time, until then; None: ask nobody."""
    way, access = read_way(str(client.tracing_mode)), setup.access
    notes, places = [way.note], []
    if way.mode != "otel":
        replicas, note = read_destinations(access)
        notes.append(note)
        places = [_Place(_setup_of(setup, each), DESTINATIONS) for each in replicas]
        places = places or [*_of_client(client, own, setup)]
    foreign = []
    if way.mode in ("otel", "hybrid"):
        export = read_export(access)
        if export.settings is None:
            text = "not checked: it is not LangSmith"
            foreign = [Destination(export.address, "unknown", text, by="OpenTelemetry")]
        else:
            to_langsmith = _setup_of(setup, export.settings)
            places.append(_Place(to_langsmith, by="OpenTelemetry"))
    with ThreadPoolExecutor(max_workers=len(places) or 1) as pool:
        found = [*pool.map(lambda place: _asked(client, place, until), places)]
    if way.mode == "pyo3":
        why = "not checked: langsmith_pyo3 sends traces there"
        found = [f._replace(state="unknown", text=why) if f.is_own else f for f in found]
    return Tracing(way, (*found, *foreign), tuple(filter(None, notes)))


def _of_client(client: SafeClient, own: Diagnosis, setup: Setup) -> Iterator[_Place]:
    """The client's own endpoint, and others in its argument ``api_urls``."""
    access, source = setup.access, Source("argument", "api_urls")
    for url, key in destinations_of(client).items():
        if url == access.endpoint:
            yield _Place(setup, known=own)
        else:
            other = as_destination(url, key, access, source)
            yield _Place(_setup_of(setup, other), source.name)


def _setup_of(setup: Setup, held: Settings) -> Setup:
    """The setup of a destination: what is set for the client is not meant for it."""
    return Setup(
        held, project=setup.project, tracing=setup.tracing, langsmith=setup.langsmith
    )


def _asked(client: SafeClient, place: _Place, until: float | None) -> Destination:
    """Ask one destination."""
    if until is None:
        return _judged(place, place.known or offline(place.setup))
    policy = replace(client.policy, repair=False, probe_regions=False)
    wire = _Wire(client, None, Clock(until - time.monotonic()))
    with wire:
        diagnosis = place.known or wire.drive(examine(place.setup, policy))
        if diagnosis.code in _OF_ONE_CALL:
            answer = wire.do(probe(place.setup.access, _LIMITS))
            return _judged_by_limits(place, diagnosis, answer)
        found = _judged(place, diagnosis)
        said = [f.text for f in diagnosis.findings if f.subject == "server"]
        if diagnosis.code != "unknown" or place.known:
            return found
        if wire.answered:
            return found._replace(text=f"not known: {said[-1]}")
        return found._replace(state="bad", text=f"unreachable: {said[-1]}")


def _judged(place: _Place, diagnosis: Diagnosis) -> Destination:
    """A destination that rejects every call, or about which nothing is known."""
    code = diagnosis.code
    todo = diagnosis.next_steps  # with a key, what may be found out comes first
    step = "".join(todo[-1:] if code == "key-rejected" else todo[:1])
    if code == "unknown":
        return place.judged("unknown", "", code, step)
    if place.known:
        return place.judged("bad", f"traces would be refused: {code}", code)
    text = f"{code}: {diagnosis.summary.rstrip('.')}"
    if place.by == "OpenTelemetry":
        where = place.setup.held.key.source.name or "LANGSMITH_API_KEY"
        step = f"correct the key in {where}"
        if code == "workspace-required":
            text = f"{code}: the key needs a workspace, and OpenTelemetry sends none"
            both = "x-api-key=<key>,X-Tenant-Id=<workspace>"
            step = f"use a key of one workspace, or set {EXPORT_HEADERS} to {both}"
    return place.judged("bad", text, code, step)


def _judged_by_limits(place: _Place, diagnosis: Diagnosis, limits: Answer) -> Destination:
    """A destination that accepts the key: its permission, and the usage limit."""
    who, said = diagnosis.identity, object_of(limits) or {}
    may, full = who and who.may(TO_TRACE), said.get("in_reject_set")
    if may is False:
        step = (
            f"ask an admin for a role with {TO_TRACE}, use another key, or turn tracing off"
        )
        text = f"{role_of(who)} lacks {TO_TRACE}, so traces are refused"
        return place.judged("bad", text, "permission-missing", step)
    if full is True:
        limit = (
            f"{said.get('usage_limit_type') or 'usage limit'} of {said.get('tenant_limit')}"
        )
        text = f"a usage limit is reached ({limit}), so traces are refused with 429"
        step = "raise the usage limit in LangSmith's settings, or wait until it resets"
        return place.judged("bad", text, "feature-unavailable", step)
    if who is None:
        return place.judged("unknown", "", diagnosis.code)
    if may is None:
        text = f"the key's permissions are not listed, and traces need {TO_TRACE}"
        return place.judged("unknown", f"not known: {text}", "ok")
    if full is not False:
        told = limits.status if isinstance(limits, Reply) else limits.reason
        text = f"the usage limit, which only a trace would show (GET {_LIMITS}: {told})"
        return place.judged("unknown", f"not checked: {text}", "ok")
    by_export = place.by == "OpenTelemetry"
    text = "accepts traces with this key" if by_export else "would accept a batch"
    return place.judged("good", text, "ok")
