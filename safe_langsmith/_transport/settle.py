"""Handles one refused request from the refusal to the resend or the error.

Like the decision, this is a generator without I/O, shared by every transport. Besides a
`Probe` or a `Resend`, it yields `Read` (the settings) or `Wait` (for another diagnosis).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from safe_langsmith._decision.protocol import Refusal, Reply, Resend, Step, Steps
from safe_langsmith._decision.resolve import Verdict, examine, offline, resolve, scope_of
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._knowledge.notebook import show_repair
from safe_langsmith._policy import callbacks_of
from safe_langsmith._sdk.clients import access_of, given_headers, headers_of, use
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._settings.construction import reworded
from safe_langsmith._settings.reading import as_sent, read
from safe_langsmith._settings.sources import Settings, Setup
from safe_langsmith._transport.flights import (
    FLIGHTS,
    Flight,
    Found,
    Question,
    Repaired,
    kind_of,
)
from safe_langsmith._transport.owner import Owner, sender, state_of

T = TypeVar("T")
logger = logging.getLogger("safe_langsmith")

# Another round follows if someone else made a repair in the meantime.
_MOST_ROUNDS = 4
# The only pause of the tracing path. It ends as soon as a batch is accepted: the runs
# that are waiting are then sent while the server accepts them.
TRACE_WAITS = (0.25, 0.5, 0.75, 1.5)


# Whether a callback is running.
_in_callback: ContextVar[bool] = ContextVar("safe_langsmith_in_callback", default=False)


@dataclass(frozen=True, slots=True)
class Read:
    """Read the settings, and start the clock of a diagnosis. The result is a `Setup`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the end of a flight. The result is False if waiting is impossible."""

    flight: Flight


Work = Step | Read | Wait
Works = Generator[Work, Any, T]


class Exchange(Protocol):
    """A refused request of some HTTP library; a `Resend` changes its access and reply.

    ``is_read``: it changes nothing. ``is_trace``: a tracing thread sends it.
    """

    access: Access
    operation: str
    is_read: bool
    is_trace: bool

    def reply(self) -> Reply:
        """The latest response as plain data."""

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""


def is_refused(owner: Owner, exchange: Exchange) -> bool:
    """Whether a response is a refusal, or may hide one.

    On prompt calls, LangSmith returns 404 if it does not know the key. Until the key has
    worked, this is checked once per cooldown.
    """
    reply, sent, state = exchange.reply(), exchange.access, state_of(owner)
    if reply.is_refusal or reply.status != 404 or not sent.key:
        return reply.is_refusal
    if hash((sent.key, sent.workspace)) in state.worked:
        return False
    is_known = FLIGHTS.remembers((sent, sender(owner)))
    return is_known or FLIGHTS.is_news(("stranger", sent), state.policy.cooldown_s)


def settle(owner: Owner, exchange: Exchange) -> Works[Diagnosis | None]:
    """Repair and resend a refused request, or diagnose it.

    Returns None if it succeeded in the end, or was not refused. One caller makes the
    diagnosis; the others wait for it, and then resend their own requests.
    """
    state, who, sent = state_of(owner), sender(owner), exchange.access
    for _ in range(_MOST_ROUNDS):
        question = (sent, who)
        known = partial(_known, owner, question, exchange.is_read)
        place = FLIGHTS.join(question, known, is_write=not exchange.is_read)
        if isinstance(place, (Access, Repaired)):
            access = place if isinstance(place, Access) else place.access
            answer = (yield Resend(access)) if _may_resend(exchange, access) else None
            if not isinstance(answer, Reply):
                break
            if not answer.is_refusal:
                if isinstance(place, Repaired):
                    _take_over(owner, sent, place.access, place.settings)
                return None
            if isinstance(place, Repaired):
                FLIGHTS.drop_repair(question)
            else:
                sent = access
            continue
        flight, leads = place
        if not leads and not (yield Wait(flight)):
            flight, leads = Flight(question), True
        if leads:
            return (yield from _lead(owner, exchange, flight))
        kind = kind_of(exchange.reply())
        if flight.found is not None and flight.found.answers(exchange.operation, kind):
            state.last_diagnosis = flight.found.diagnosis
            return flight.found.diagnosis
    return (yield from _lead(owner, exchange, Flight((sent, who))))


def _lead(owner: Owner, exchange: Exchange, flight: Flight) -> Works[Diagnosis | None]:
    """Lead a diagnosis. Returns None if the request succeeded in the end."""
    try:
        flight.found, made = yield from _make_diagnosis(owner, exchange, flight.question)
    finally:
        FLIGHTS.leave(flight)
    # After the flight: the caller's callback may use this client.
    _notify(owner, made)
    return flight.found and flight.found.diagnosis


def _known(owner: Owner, question: Question, is_read: bool) -> Access | None:
    """What this client uses instead of a refused access that it has repaired before.

    If the client uses the refused access again, someone has set it deliberately: keep it.
    """
    state, (access, _) = state_of(owner), question
    if is_read and access in state.for_reads:
        return state.for_reads[access].access
    if access == access_of(owner) and access in state.repairs:
        del state.repairs[access]
        FLIGHTS.drop_repair(question)
    return state.repairs.get(access)


def _take_over(owner: Owner, sent: Access, access: Access, settings: Settings) -> None:
    """Apply a repair to the client, if the request used the client's settings.

    If the request used its own, such as a replica's key, the client does not change.
    """
    state = state_of(owner)
    with FLIGHTS.lock:
        if sent == access_of(owner):
            state.repaired = settings
            use(owner, access, keep_info="info" in state.initial.arguments)
        state.repairs[sent] = access
        state.for_reads.pop(sent, None)


def _may_resend(exchange: Exchange, place: Access) -> bool:
    """Whether a repair that was made for others may be used for this request."""
    refusal = exchange.refusal(worked=False)
    stays = same_origin(place.endpoint, exchange.access.endpoint)
    return refusal.may_be_repeated and refusal.replayable and (stays or not refusal.tied_by)


def _make_diagnosis(
    owner: Owner, exchange: Exchange, question: Question
) -> Works[tuple[Found | None, Diagnosis | None]]:
    """Make the diagnosis of a refused request.

    Returns the diagnosis, or None if the request succeeded in the end; and the diagnosis
    again if it is a new one. If the settings changed in the meantime, the diagnosis is
    repeated for the access that was sent first.
    """
    (sent, _), state, kind = question, state_of(owner), kind_of(exchange.reply())
    read: Setup = yield Read()
    for _ in range(_MOST_ROUNDS):  # pragma: no branch  # it ends long before that
        setup = _as_refused(owner, sent, read)
        known = FLIGHTS.recall(question, exchange.operation, kind, setup)
        if known is not None:
            state.last_diagnosis = known.diagnosis
            return known, None
        worked = hash((sent.key, sent.workspace)) in state.worked
        refusal = replace(exchange.refusal(worked=worked), access=sent)
        steps = resolve(refusal, setup, state.policy)
        verdict = yield from _paced(owner, exchange, steps)
        if verdict is None or verdict.repair is not None:
            break
        before, read = read, (yield Read())
        if read == before:
            break
    if verdict is None:
        return None, None
    _keep(owner, question, verdict)
    state.last_diagnosis = verdict.diagnosis
    if verdict.diagnosis.resolved:
        FLIGHTS.end(sent, exchange.operation)
        _log(owner, sent, verdict)
        return None, verdict.diagnosis
    found = Found(verdict.diagnosis, verdict.scope, kind)
    FLIGHTS.remember(question, setup, found, state.policy.cooldown_s)
    return found, verdict.diagnosis


def _log(owner: Owner, sent: Access, verdict: Verdict) -> None:
    """Log a repair once. Temporary failures are logged each time."""
    is_kept = verdict.repair is not None and verdict.repair.access != sent
    cooldown = state_of(owner).policy.cooldown_s
    if is_kept or FLIGHTS.is_news((verdict.diagnosis.code, sent), cooldown):
        words = state_of(owner).initial.words
        log(reworded(verdict.log_line, words), verdict.diagnosis)


def log(line: str, diagnosis: Diagnosis) -> None:
    """Log one line about a diagnosis; the record carries the diagnosis.

    A notebook displays stderr in red. If no handler is configured there, a repair is
    displayed as an output of the cell instead.
    """
    line = scrub(f"safe_langsmith: {line}")  # it contains names from the server
    names = {n: getattr(diagnosis, n) for n in ("code", "operation")}
    extra = {**names, "diagnosis": diagnosis}
    if diagnosis.resolved and not logger.hasHandlers():
        with Guard("display a repair"):
            if logger.isEnabledFor(logging.WARNING) and show_repair(line):
                return
    try:
        logger.warning("%s", line, extra=extra)
    except KeyError:  # the program's own log records already use such a name
        logger.warning("%s", line)


def _paced(owner: Owner, exchange: Exchange, steps: Steps[T]) -> Steps[T]:
    """Let the tracing path pause once per cooldown; otherwise, it retries immediately."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Resend) and exchange.is_trace and any(step.waits):
                cooldown = state_of(owner).policy.cooldown_s
                pauses = FLIGHTS.is_news(("pause", exchange.access), cooldown)
                step = replace(step, waits=TRACE_WAITS if pauses else (0.0,))
            step = steps.send((yield step))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


def _as_refused(owner: Owner, sent: Access, setup: Setup) -> Setup:
    """The setup with the settings that the refused request was sent with."""
    read_only_settings = state_of(owner).read_only_settings(sent)
    if read_only_settings:
        return replace(setup, held=read_only_settings)
    return as_sent(setup, sent, given_headers(owner))


def _keep(owner: Owner, question: Question, verdict: Verdict) -> None:
    """Apply a repair to the client, and remember it for other clients."""
    (sent, _), repair = question, verdict.repair
    if repair is None or repair.access == sent:
        return
    state = state_of(owner)
    if repair.for_reads:
        state.for_reads[sent] = repair.settings
        return
    if verdict.diagnosis.code == "stale-setting":
        clear_caches()
    _take_over(owner, sent, repair.access, repair.settings)
    seconds = state.policy.cooldown_s
    FLIGHTS.keep_repair(question, repair.access, repair.settings, seconds)


def diagnosed(owner: Owner) -> Works[Diagnosis]:
    """Run every check of a client. Repairs nothing."""
    setup = _as_diagnosed(owner, (yield Read()))
    diagnosis = yield from examine(setup, state_of(owner).policy)
    if diagnosis.code != "unknown":
        FLIGHTS.end(setup.access, scope_of(diagnosis), code=diagnosis.code)
    record(owner, diagnosis)
    return diagnosis


def diagnosed_offline(owner: Owner) -> Diagnosis:
    """The diagnosis of a client without a request to the server."""
    return offline(_as_diagnosed(owner, read_settings(owner)))


def _as_diagnosed(owner: Owner, setup: Setup) -> Setup:
    """The setup of a request that this client would send."""
    own, headers = access_of(owner), {n.lower(): v for n, v in headers_of(owner).items()}
    # Key and workspace may be only in the headers argument.
    key = own.key or headers.get("x-api-key")
    workspace = own.workspace or headers.get("x-tenant-id")
    sent = replace(own, key=key, workspace=workspace, session=own.session and not key)
    return as_sent(setup, sent, given_headers(owner))


def read_settings(owner: Owner) -> Setup:
    """Read the current settings for a client, from the environment and from files."""
    state = state_of(owner)
    return read(access_of(owner), state.initial, state.repaired, state.policy.dotenv)


def record(owner: Owner, diagnosis: Diagnosis) -> None:
    """Store a new diagnosis, and pass it to the caller's callback."""
    state_of(owner).last_diagnosis = diagnosis
    _notify(owner, diagnosis)


def _notify(owner: Owner, diagnosis: Diagnosis | None) -> None:
    """Pass a new diagnosis to the callback, unless a callback itself caused it."""
    if diagnosis is None or _in_callback.get():
        return
    token = _in_callback.set(True)
    try:
        for callback in callbacks_of(state_of(owner).policy):
            _call(callback, diagnosis)
    finally:
        _in_callback.reset(token)


def _call(callback: Callable[[Diagnosis], object], diagnosis: Diagnosis) -> None:
    try:
        callback(diagnosis)
    except Exception:  # a bug in the caller's callback must not affect the request
        logger.exception("safe_langsmith: on_diagnosis raised")
