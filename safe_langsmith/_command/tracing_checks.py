"""Checks whether each destination would accept traces. Sends only read-only requests.

Each destination is diagnosed like a refused request, with its own key only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from langsmith.utils import LangSmithUserError

from safe_langsmith._client import SafeClient
from safe_langsmith._decision.answers import object_of, probe
from safe_langsmith._decision.protocol import Answer, Reply, Unreachable
from safe_langsmith._decision.resolve import examine, offline
from safe_langsmith._diagnosis import Code, Diagnosis, Identity, State, listed
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import describe
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._sdk.clients import destinations_of
from safe_langsmith._settings.environment import environ_now
from safe_langsmith._settings.sources import Setup, Source
from safe_langsmith._settings.tracing import (
    EXPORT_HEADERS,
    Way,
    as_destination,
    located,
    read_destinations,
    read_export,
    read_way,
)
from safe_langsmith._transport.budget import Clock
from safe_langsmith._transport.requests_driver import RequestsWire
from safe_langsmith._transport.settle import Work

TO_TRACE = str(permission_for("POST", "/runs/batch"))
_LIMITS = "/workspaces/current/usage_limits"
# The doctor's call was refused, but a batch may still be accepted.
OF_ONE_CALL = ("ok", "permission-missing", "feature-unavailable", "access-denied")


def step_after(why: str) -> str:
    """The step that fixes what the SDK complains about in this message; "" if unknown."""
    if "cannot provide both" in why:
        both = f"{environ_now().endpoint.source}, or {located('RUNS_ENDPOINTS')}"
        return f"remove {both}: only one of them may be set"
    if "to float" in why or "SAMPLING_RATE" in why:
        rate = located("TRACING_SAMPLING_RATE")
        return f"correct {rate}: it must be a number from 0 to 1"
    return ""


def unanswered(diagnosis: Diagnosis) -> str:
    """Why a check of a good key got no usable response; "" if all did."""
    is_good = diagnosis.code == "ok"
    said = (f.text for f in diagnosis.findings if is_good and f.subject == "server")
    return next(said, "")


def role_of(who: Identity | None) -> str:
    """The role of a key, and its workspace: what an admin needs to know."""
    role = f'the role "{who.role}"' if who and who.role else "the key's role"
    place = f' in workspace "{who.workspace_name}"' if who and who.workspace_name else ""
    return f"{role}{place}"


class Destination(NamedTuple):
    """Where traces go, whether they would be accepted, and why.

    ``text`` is empty if no request was sent. ``code`` is the code of the error that a batch
    would raise, or "ok". ``is_own``: it is the client's own endpoint.
    """

    place: str
    state: State
    text: str
    code: Code = "ok"
    steps: tuple[str, ...] = ()
    by: str = "destination"
    is_own: bool = False


class Tracing(NamedTuple):
    """How traces are sent, and where. ``notes``: what langsmith ignores."""

    way: Way = Way()
    destinations: tuple[Destination, ...] = ()
    notes: tuple[str, ...] = ()


class _Place(NamedTuple):
    """A destination to check. ``listed``: the setting that lists it with others.

    ``known``: its diagnosis, if it is the client's own endpoint.
    """

    setup: Setup
    listed: str = ""
    by: str = "destination"
    known: Diagnosis | None = None

    def judged(self, state: State, text: str, code: Code, step: str = "") -> Destination:
        """The destination, with the result of its check."""
        access = self.setup.access
        place = shown(access.endpoint)
        if self.listed:
            place += f" with {describe(access.key)}"
            step = step and f"{place}: {step}"
        steps, is_own = (step,) if step else (), self.known is not None
        return Destination(place, state, text, code, steps, self.by, is_own)


class _Wire(RequestsWire):
    """Remembers whether the server responded, or time ran out."""

    answered = False

    def do(self, work: Work) -> Any:
        answer = super().do(work)
        failed = isinstance(answer, Unreachable) and not answer.withheld
        self.answered |= not (failed and self.clock.left)
        return answer


def look_at_tracing(
    client: SafeClient, own: Diagnosis, setup: Setup, until: float | None
) -> Tracing:
    """Check all destinations in parallel. ``until``: the deadline; None to send nothing."""
    way, access = read_way(str(client.tracing_mode)), setup.access
    notes, places = [way.note], []
    try:
        replicas, note = read_destinations(access)
    except LangSmithUserError as error:  # as for each run of the program
        text = f"each @traceable function raises an error: {error}".rstrip(".")
        place, step = setup.runs_endpoints, (step_after(text),)
        broken = Destination(place, "bad", text, "unknown", step, is_own=True)
        return Tracing(way, (broken,), tuple(filter(None, notes)))
    if way.mode != "otel":
        notes.append(note)
        variable = setup.runs_endpoints
        places = [_Place(setup.for_destination(each), variable) for each in replicas]
        places = places or [*_of_client(client, own, setup)]
    foreign = []
    if way.mode in ("otel", "hybrid"):
        export = read_export(access)
        if export.settings is None:
            text = "not checked: it is not LangSmith"
            foreign = [Destination(export.address, "unknown", text, by="OpenTelemetry")]
        else:
            to_langsmith = setup.for_destination(export.settings)
            places.append(_Place(to_langsmith, by="OpenTelemetry"))
    with ThreadPoolExecutor(max_workers=len(places) or 1) as pool:
        found = [*pool.map(lambda place: _asked(client, place, until), places)]
    if way.mode == "pyo3":
        why = "not checked: langsmith_pyo3 sends traces there"
        found = [f._replace(state="unknown", text=why) if f.is_own else f for f in found]
    return Tracing(way, (*found, *foreign), tuple(filter(None, notes)))


def _of_client(client: SafeClient, own: Diagnosis, setup: Setup) -> Iterator[_Place]:
    """The client's own endpoint, and others from its ``api_urls`` argument."""
    access, source = setup.access, Source("argument", "api_urls")
    for url, key in destinations_of(client).items():
        if url == access.endpoint:
            yield _Place(setup, known=own)
        else:
            other = as_destination(url, key, access, source)
            yield _Place(setup.for_destination(other), source.name)


def _asked(client: SafeClient, place: _Place, until: float | None) -> Destination:
    """Check one destination."""
    if until is None:
        return _judged(place, place.known or offline(place.setup))
    policy = replace(client.policy, repair=False, probe_regions=False)
    wire = _Wire(client, None, Clock(until - time.monotonic()))
    with wire:
        diagnosis = place.known or wire.drive(examine(place.setup, policy))
        if diagnosis.code in OF_ONE_CALL:
            answer = wire.do(probe(place.setup.access, _LIMITS))
            return _judged_by_limits(place, diagnosis, answer)
        found = _judged(place, diagnosis)
        said = [f.text for f in diagnosis.findings if f.subject == "server"]
        if diagnosis.code != "unknown" or place.known:
            return found
        if wire.answered:
            return found._replace(text=f"unknown: {said[-1]}")
        return found._replace(state="bad", text=f"unreachable: {said[-1]}")


def _judged(place: _Place, diagnosis: Diagnosis) -> Destination:
    """A destination that refuses every call, or whose state is unknown."""
    code = diagnosis.code
    todo = diagnosis.next_steps  # a new key is the last of several
    step = "".join(todo[-1:] if code == "key-rejected" else todo[:1]).removeprefix("or ")
    if code.startswith("workspace-") and len(diagnosis.workspaces) > 1:
        step += f"; the key can use {', '.join(listed(diagnosis.workspaces))}"
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
            step = f"use a key for a single workspace, or set {EXPORT_HEADERS} to {both}"
    return place.judged("bad", text, code, step)


def _judged_by_limits(place: _Place, diagnosis: Diagnosis, limits: Answer) -> Destination:
    """A destination that accepts the key: check the permission and the usage limit."""
    who, said = diagnosis.identity, object_of(limits) or {}
    may, full = who and who.may(TO_TRACE), said.get("in_reject_set")
    if may is False:
        step = f"ask an admin for a role with {TO_TRACE}, or use another key"
        text = f"{role_of(who)} lacks {TO_TRACE}, so traces are refused"
        return place.judged("bad", text, "permission-missing", step)
    if full is True:
        limit = (
            f"{said.get('usage_limit_type') or 'usage limit'} of {said.get('tenant_limit')}"
        )
        text = f"a usage limit is reached ({limit}), so traces are refused with 429"
        step = "raise the usage limit in LangSmith's settings, or wait until it resets"
        return place.judged("bad", text, "feature-unavailable", step)
    if may is None and (why := unanswered(diagnosis)):
        return place.judged("unknown", f"unknown: {why}", "ok")
    if who is None:
        return place.judged("unknown", "", diagnosis.code)
    if may is None:
        text = f"LangSmith does not list this key's permissions; traces need {TO_TRACE}"
        return place.judged("unknown", f"unknown: {text}", "ok")
    if full is not False:
        told = limits.status if isinstance(limits, Reply) else limits.reason
        text = f"not checked: the usage limit (GET {_LIMITS}: {told})"
        return place.judged("unknown", text, "ok")
    return place.judged("good", "accepts traces with this key", "ok")
