"""Single-flight: one diagnosis at a time per set of credentials, and a cooldown after it.

Shared by all clients of the process. Only tracks who leads a diagnosis, who waits for it,
and what is remembered.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from safe_langsmith._transport.owner import MEMORIES

if TYPE_CHECKING:
    from safe_langsmith._decision.protocol import Reply
    from safe_langsmith._diagnosis import Diagnosis
    from safe_langsmith._knowledge.access import Access
    from safe_langsmith._settings.sources import Settings, Setup

# Which client asks, with which access: see `owner.sender`.
Question = tuple["Access", tuple[object, ...]]
# Whose refusal it is: LangSmith's own, a web page, or unknown.
Kind = Literal["langsmith", "page", "other"]
# Above this number, old entries are dropped: a program may create clients forever.
_MOST_KEPT = 1_000


def kind_of(reply: Reply) -> Kind:
    """The kind of a response: a diagnosis of one kind says nothing about another."""
    return "page" if reply.is_html else "langsmith" if reply.is_langsmiths else "other"


class Found(NamedTuple):
    """A diagnosis of a refusal that could not be repaired.

    ``scope``: the only operation it applies to; empty if it applies to all. ``kind``: the
    kind of response that it applies to.
    """

    diagnosis: Diagnosis
    scope: str
    kind: Kind

    def answers(self, operation: str, kind: Kind) -> bool:
        """Whether this also applies to another refused operation."""
        return self.scope in ("", operation) and self.kind == kind


class Repaired(NamedTuple):
    """What replaced a refused access, for clients that still use the refused one."""

    access: Access
    settings: Settings
    until: float

    def serves(self, *, is_write: bool) -> bool:
        """Whether another client's request may use it.

        A workspace that was chosen as the only one may no longer be the only one: before a
        write, LangSmith is asked again.
        """
        was_filled_in = self.settings.workspace.source.kind == "repair"
        return time.monotonic() < self.until and not (is_write and was_filled_in)


class Flight:
    """A diagnosis in progress. Others with the same refusal wait for it.

    ``found`` is set at the end if nothing was repaired. ``thread`` runs the diagnosis.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.ended = threading.Event()
        self.found: Found | None = None
        self._wakers: list[Callable[[], object]] = []

    def when_ended(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` when the diagnosis ends, on its thread; at once if it has ended."""
        self._wakers.append(wake)
        if self.ended.is_set():
            self._wake()

    def end(self) -> None:
        """Wake everyone who waits."""
        self.ended.set()
        self._wake()

    def _wake(self) -> None:
        # Each callback is popped by one thread, so it is called once.
        while self._wakers:
            with contextlib.suppress(IndexError):
                self._wakers.pop()()


class _Memory(NamedTuple):
    found: Found
    setup: Setup
    until: float


class Flights:
    """The refusals of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over: in a forked process, or between two tests."""
        self.lock = threading.RLock()
        self._flights: dict[Question, Flight] = {}
        MEMORIES.clear()
        self._repairs: dict[Question, Repaired] = {}
        self._said: dict[Hashable, float] = {}

    def join(
        self,
        question: Question,
        known: Callable[[], Access | None],
        *,
        is_write: bool = False,
    ) -> Access | Repaired | tuple[Flight, bool]:
        """Find a known repair, or join the diagnosis of a refused access.

        Returns what ``known`` returns, if anything: what the client uses by now. Otherwise,
        a repair of the same access by another client. Otherwise, a flight, and whether the
        caller leads it. All under one lock, so that no repair is missed.
        """
        with self.lock:
            instead = known()
            if instead is not None:
                return instead
            repaired = self._repairs.get(question)
            if repaired is not None and repaired.serves(is_write=is_write):
                return repaired
            flight = self._flights.get(question)
            # Nothing in this process will end a flight that began before a fork.
            if flight is not None and flight.process == os.getpid():
                return flight, False
            flight = self._flights[question] = Flight(question)
            return flight, True

    def leave(self, flight: Flight) -> None:
        """End a diagnosis that the caller leads, and wake everyone who waits for it."""
        with self.lock:
            if self._flights.get(flight.question) is flight:
                del self._flights[flight.question]
        flight.end()

    def keep_repair(
        self, question: Question, access: Access, settings: Settings, seconds: float
    ) -> None:
        """Remember for other clients what replaced a refused access."""
        repaired = Repaired(access, settings, time.monotonic() + seconds)
        with self.lock:
            self._repairs[question] = repaired
            MEMORIES.clear()
            _trim(self._repairs)

    def drop_repair(self, question: Question) -> None:
        """Forget a repair: it did not help, or its client uses the old access again."""
        with self.lock:
            self._repairs.pop(question, None)

    def remember(
        self, question: Question, setup: Setup, found: Found, seconds: float
    ) -> None:
        """Remember a refusal that could not be repaired, for some seconds."""
        code, until = found.diagnosis.code, time.monotonic() + seconds
        with self.lock:
            self.end(question[0], found.scope, code=code, kind=found.kind)
            MEMORIES[question, found.scope, found.kind] = _Memory(found, setup, until)
            _trim(MEMORIES)

    def end(
        self, access: Access, operation: str, *, code: str = "", kind: Kind | None = None
    ) -> None:
        """Forget what is remembered about an access and this operation; "" for all of them.

        LangSmith has accepted such a request.

        If there is a new diagnosis instead, ``code`` and ``kind`` are its own. Then only
        diagnoses of the same kind of response that have another code are forgotten.
        """
        now = time.monotonic()
        with self.lock:
            for place, memory in list(MEMORIES.items()):
                (asked, _), scope, of = place
                applies = (
                    asked == access
                    and (not operation or scope in ("", operation))
                    and kind in (None, of)
                )
                other = memory.found.diagnosis.code != code
                if (applies and other) or now >= memory.until:
                    del MEMORIES[place]

    def recall(
        self, question: Question, operation: str, kind: Kind, setup: Setup
    ) -> Found | None:
        """The remembered diagnosis that applies to this refusal, or None.

        Valid until it expires or is ended, or until any key, endpoint or workspace changes.
        """
        with self.lock:
            for scope in ("", operation):
                memory: _Memory | None = MEMORIES.get((question, scope, kind))
                if memory is None:
                    continue
                if memory.setup == setup and time.monotonic() < memory.until:
                    return memory.found
                del MEMORIES[question, scope, kind]
        return None

    def remembers(self, question: Question) -> bool:
        """Whether anything is remembered for a question, even if it is no longer valid."""
        with self.lock:
            return any(asked == question for asked, _, _ in MEMORIES)

    def is_news(self, what: Hashable, seconds: float) -> bool:
        """Whether this was not logged within the last seconds; marks it as logged."""
        now = time.monotonic()
        with self.lock:
            self._said = {w: until for w, until in self._said.items() if now < until}
            if what in self._said:
                return False
            self._said[what] = now + seconds
            return True


def _trim(kept: dict[Any, Any]) -> None:
    while len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]


FLIGHTS = Flights()
with contextlib.suppress(AttributeError):  # on Windows, which has no fork
    os.register_at_fork(after_in_child=FLIGHTS.forget)


def for_operation(diagnosis: Diagnosis, operation: str, status_code: int) -> Diagnosis:
    """The same diagnosis for another refused operation. A status of None stays None."""
    status = None if diagnosis.status_code is None else status_code
    return replace(diagnosis, operation=operation, status_code=status)
