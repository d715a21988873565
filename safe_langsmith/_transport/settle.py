"""One refused request, from the refusal to its end, for every transport.

Like the decision, a generator without I/O: besides a `Probe` or a `Resend` it asks its
transport to `Read` the settings, or to `Wait` for the diagnosis that somebody else makes.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from safe_langsmith._decision.protocol import Refusal, Reply, Resend, Step, Steps
from safe_langsmith._decision.resolve import Verdict, examine, offline, resolve
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._policy import Policy
from safe_langsmith._settings import AtConstruction, Setup, as_sent, clear_sdk_caches, read
from safe_langsmith._transport.ledger import Flight, Found, Ledger

T = TypeVar("T")
logger = logging.getLogger("safe_langsmith")

# Each round after the first follows a repair that somebody else made meanwhile.
_MOST_ROUNDS = 4
# The one pause of the tracing path. It ends as soon as a batch is let in, for runs wait
# meanwhile: these are then sent while the server takes them.
TRACE_WAITS = (0.25, 0.5, 0.75, 1.5)


@dataclass(frozen=True, slots=True)
class Read:
    """Read the settings, and start the clock of a diagnosis. Answered with a `Setup`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the end of a flight. Answered with False if that cannot be waited for."""

    flight: Flight


Work = Step | Read | Wait
Works = Generator[Work, Any, T]


class Owner(Protocol):
    """What a client of safe_langsmith shows: `SafeClient` or `SafeAsyncClient`."""

    policy: Policy
    _ledger: Ledger
    _born: AtConstruction
    _api_key: str | None
    _workspace_id: str | None

    def _access(self) -> Access:
        """What a request of this client shows the server now."""

    def _use(self, access: Access) -> None:
        """Take over a repaired access."""

    def _tied_by(self) -> str:
        """What of this client's own belongs to its host alone, besides the key; or ""."""

    @property
    def _headers(self) -> dict[str, str]:
        """The headers of this client's requests."""

    @property
    def _custom_headers(self) -> dict[str, str]:
        """Those among them that a person gave to it."""


class Exchange(Protocol):
    """A refused request of some HTTP library; a `Resend` changes its access and reply.

    ``is_read``: it changes nothing. ``is_trace``: a tracing thread sends it.
    """

    access: Access
    operation: str
    is_read: bool
    is_trace: bool

    def reply(self) -> Reply:
        """The newest answer, as plain data."""

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request, as plain data."""


def settle(owner: Owner, exchange: Exchange) -> Works[Diagnosis | None]:
    """Have a refused request answered, or say why not.

    None: it was answered in the end, or was no refusal. One caller makes the diagnosis
    of an access; the others wait for it, and then send their own requests again.
    """
    ledger = owner._ledger
    for _ in range(_MOST_ROUNDS):
        place = ledger.join(exchange.access, owner._access, is_read=exchange.is_read)
        if isinstance(place, Access):
            answer = (yield Resend(place)) if _may_resend(exchange, place) else None
            if not isinstance(answer, Reply):
                break
            if not answer.is_refusal:
                return None
            continue
        flight, leads = place
        if not leads and not (yield Wait(flight)):
            flight, leads = Flight(exchange.access), True
        if leads:
            try:
                flight.found = yield from _lead(owner, exchange)
            finally:
                ledger.leave(flight)
            return flight.found and flight.found.diagnosis
        if flight.found is not None and flight.found.answers(exchange.operation):
            return flight.found.diagnosis
    found = yield from _lead(owner, exchange)
    return found and found.diagnosis


def _may_resend(exchange: Exchange, place: Access) -> bool:
    """Whether a repair that was made for others may be used for this request, too."""
    refusal = exchange.refusal(worked=False)
    stays = same_origin(place.endpoint, exchange.access.endpoint)
    return refusal.may_be_repeated and refusal.replayable and (stays or not refusal.tied_by)


def _lead(owner: Owner, exchange: Exchange) -> Works[Found | None]:
    """Make the diagnosis of a refused request; None if it was answered in the end.

    What was found of settings that changed meanwhile is no answer: it is made again, for
    what was sent at first, since what a repair sent was nobody's choice.
    """
    ledger, sent, current = owner._ledger, exchange.access, owner._access()
    read: Setup = yield Read()
    for _ in range(_MOST_ROUNDS):  # pragma: no branch  # it settles long before
        setup = _as_refused(owner, sent, read)
        known = ledger.recall(sent, exchange.operation, setup)
        if known is not None:
            return known
        worked = hash((sent.key, sent.workspace)) in ledger.worked
        refusal = replace(exchange.refusal(worked=worked), access=sent)
        steps = resolve(refusal, setup, owner.policy)
        verdict = yield from _paced(owner, exchange, steps)
        if verdict is None or verdict.repair is not None:
            break
        before, read = read, (yield Read())
        if read == before:
            break
    if verdict is None:
        return None
    _keep(owner, sent, current, verdict)
    record(owner, verdict.diagnosis)
    if verdict.diagnosis.resolved:
        # What a repair changed is said once; what went by may come again and again.
        went_by = (verdict.diagnosis.code, sent)
        is_kept = verdict.repair is not None and verdict.repair.access != sent
        if is_kept or ledger.is_news(went_by, owner.policy.cooldown_s):
            logger.warning("%s", verdict.log_line)
        return None
    found = Found(verdict.diagnosis, verdict.scope)
    ledger.remember(sent, setup, found, owner.policy.cooldown_s)
    return found


def _paced(owner: Owner, exchange: Exchange, steps: Steps[T]) -> Steps[T]:
    """Let the tracing path pause once in each cooldown; after that it tries at once."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Resend) and exchange.is_trace and any(step.waits):
                pauses = owner._ledger.is_news("pause", owner.policy.cooldown_s)
                step = replace(step, waits=TRACE_WAITS if pauses else (0.0,))
            step = steps.send((yield step))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


def _as_refused(owner: Owner, sent: Access, setup: Setup) -> Setup:
    """The setup of a refused request."""
    lent = owner._ledger.lent(sent)
    if lent:
        return replace(setup, held=lent)
    return as_sent(setup, sent, owner._custom_headers)


def _keep(owner: Owner, sent: Access, current: Access, verdict: Verdict) -> None:
    """Let a repair reach the whole client, if the request used the client's settings."""
    repair = verdict.repair
    if repair is None or repair.access == sent:
        return
    if repair.for_reads:
        owner._ledger.keep_for_reads(sent, repair.settings)
        return
    if verdict.diagnosis.code == "stale-setting":
        clear_sdk_caches()
    # What a request chose for itself, such as a replica's key, is its own affair.
    if sent == current == owner._access():
        owner._ledger.repaired = repair.settings
        owner._use(repair.access)
    # Last, since a client that still held the old access would count as having chosen it.
    owner._ledger.keep_repair(sent, repair.access)


def diagnosed(owner: Owner) -> Works[Diagnosis]:
    """Check what a client may do, and repair nothing."""
    setup: Setup = yield Read()
    diagnosis = yield from examine(_as_diagnosed(owner, setup), owner.policy)
    record(owner, diagnosis)
    return diagnosis


def unasked(owner: Owner) -> Diagnosis:
    """What can be told of a client without asking the server."""
    return offline(_as_diagnosed(owner, read_settings(owner)))


def _as_diagnosed(owner: Owner, setup: Setup) -> Setup:
    """The setup of a request that this client would send."""
    own, headers = owner._access(), {n.lower(): v for n, v in owner._headers.items()}
    # Headers that were given to the client may be all that it sends.
    key = own.key or headers.get("x-api-key")
    workspace = own.workspace or headers.get("x-tenant-id")
    sent = replace(own, key=key, workspace=workspace, session=own.session and not key)
    return as_sent(setup, sent, owner._custom_headers)


def read_settings(owner: Owner) -> Setup:
    """Read what is configured for a client, from the environment and the disk."""
    return read(owner._access(), owner._born, owner._ledger.repaired, owner.policy.dotenv)


def record(owner: Owner, diagnosis: Diagnosis) -> None:
    """Keep a new diagnosis, and show it to the caller's hook."""
    owner._ledger.last_diagnosis = diagnosis
    if owner.policy.on_diagnosis is None:
        return
    try:
        owner.policy.on_diagnosis(diagnosis)
    except Exception:  # the caller's code, which must not cost the caller an answer
        logger.exception("Policy.on_diagnosis raised")
