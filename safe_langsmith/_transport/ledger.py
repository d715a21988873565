"""What one client knows of its refusals: one diagnosis at a time, remembered a while.

No transport and no decision in here: only who leads, who waits, and what is remembered.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis
    from safe_langsmith._knowledge.access import Access
    from safe_langsmith._policy import Policy
    from safe_langsmith._settings import Settings, Setup


class Found(NamedTuple):
    """A diagnosis of what could not be repaired.

    ``scope``: the operation that it answers alone; empty: every one with this access.
    """

    diagnosis: Diagnosis
    scope: str = ""

    def answers(self, operation: str) -> bool:
        """Whether this answers another refused operation, too."""
        return self.scope in ("", operation)


class Flight:
    """One diagnosis under way. Whoever meets the same refusal waits for its end.

    ``found`` is set at the end if it could not be repaired. ``thread`` leads it.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.ended = threading.Event()
        self.found: Found | None = None
        self._wakers: list[Callable[[], object]] = []

    def when_ended(self, wake: Callable[[], object]) -> None:
        """Call this at the end, on the thread that leads; at once if it is over."""
        self._wakers.append(wake)
        if self.ended.is_set():
            self._wake()

    def end(self) -> None:
        """Let everybody who waits go on."""
        self.ended.set()
        self._wake()

    def _wake(self) -> None:
        # Each is taken out by whoever comes first, so it is called once.
        while self._wakers:
            with contextlib.suppress(IndexError):
                self._wakers.pop()()


class _Memory(NamedTuple):
    found: Found
    setup: Setup
    until: float


class Ledger:
    """The refusals of one client, by what the refused requests showed the server."""

    def __init__(self) -> None:
        self.last_diagnosis: Diagnosis | None = None
        self.repaired: Settings | None = None
        # Key and workspace of requests that were let in, as hashes: no `repr` shows a key.
        # Only ever added to.
        self.worked: set[int] = set()
        self._lock = threading.Lock()
        self._flights: dict[Access, Flight] = {}
        self._memories: dict[tuple[Access, str], _Memory] = {}
        self._repairs: dict[Access, Access] = {}
        self._for_reads: dict[Access, Settings] = {}
        self._said: dict[Hashable, float] = {}
        # What the tracing path has spent on diagnoses, since when; and what it found, for
        # each access and operation.
        self._spent = (0.0, -math.inf)
        self.of_traces: dict[tuple[Access, str], Diagnosis] = {}
        _ledgers.add(self)

    def join(
        self, access: Access, current: Callable[[], Access], *, is_read: bool
    ) -> Access | tuple[Flight, bool]:
        """Give what to use in place of a refused access, since it was repaired.

        Else the diagnosis under way for it, and whether you lead that. ``current`` tells
        what the client uses: an access that it holds again was chosen again, and is not
        replaced. All under one lock, or a repair between two looks would be overlooked.
        """
        with self._lock:
            if is_read and access in self._for_reads:
                return self._for_reads[access].access
            if access == current():
                self._repairs.pop(access, None)
            repaired = self._repairs.get(access)
            if repaired is not None:
                return repaired
            flight = self._flights.get(access)
            # A flight that began before a fork has nobody in this process to end it.
            if flight is not None and flight.process == os.getpid():
                return flight, False
            flight = self._flights[access] = Flight(access)
            return flight, True

    def leave(self, flight: Flight) -> None:
        """End a diagnosis that you lead; whoever waits for it goes on."""
        with self._lock:
            if self._flights.get(flight.access) is flight:
                del self._flights[flight.access]
        flight.end()

    def keep_repair(self, old: Access, new: Access) -> None:
        """Remember that requests with the old access are to use the new one."""
        with self._lock:
            self._repairs[old] = new
            self._for_reads.pop(old, None)
            self._memories.clear()

    def keep_for_reads(self, old: Access, settings: Settings) -> None:
        """Remember that requests which change nothing are to use these settings."""
        with self._lock:
            self._for_reads[old] = settings

    def before_asking(self, born: Access, now: Access) -> Access | None:
        """What a client goes back to when it gets another key, or None.

        An endpoint that was found by asking, and a workspace there, belong to the key
        that they were found for.
        """
        repaired, self.repaired = self.repaired, None
        if repaired is None or not repaired.was_found_by_asking:
            self.repaired = repaired
            return None
        found = now.workspace == repaired.workspace.value
        workspace = born.workspace if found else now.workspace
        return replace(now, endpoint=born.endpoint, workspace=workspace)

    def lent(self, access: Access) -> Settings | None:
        """The settings behind an access that only reads use, or None."""
        with self._lock:
            every = self._for_reads.values()
            return next((s for s in every if s.access == access), None)

    def remember(self, access: Access, setup: Setup, found: Found, seconds: float) -> None:
        """Remember a refusal that could not be repaired, for so many seconds."""
        memory = _Memory(found, setup, time.monotonic() + seconds)
        with self._lock:
            self._memories[access, found.scope] = memory

    def recall(self, access: Access, operation: str, setup: Setup) -> Found | None:
        """The remembered diagnosis that answers this operation, or None.

        It holds until its time is over, or key, endpoint or workspace change anywhere.
        """
        with self._lock:
            for scope in ("", operation):
                memory = self._memories.get((access, scope))
                if memory is None:
                    continue
                if memory.setup == setup and time.monotonic() < memory.until:
                    return memory.found
                del self._memories[access, scope]
        return None

    def left_for_traces(self, policy: Policy) -> float:
        """Seconds that the tracing path may still spend: one budget in each cooldown.

        It has no caller who waits for one answer: a server that refuses every other
        batch would hold up all of them.
        """
        with self._lock:
            spent, since = self._spent
            if time.monotonic() >= since + policy.cooldown_s:
                self._spent = spent, _ = 0.0, time.monotonic()
                self.of_traces.clear()
            return max(0.0, policy.budget_s - spent)

    def spend_on_traces(self, seconds: float) -> None:
        """Take down what a refusal on the tracing path has cost."""
        with self._lock:
            self._spent = (self._spent[0] + seconds, self._spent[1])

    def is_news(self, what: Hashable, seconds: float) -> bool:
        """Whether this was not said within so many seconds; it counts as said now."""
        now = time.monotonic()
        with self._lock:
            self._said = {w: until for w, until in self._said.items() if now < until}
            if what in self._said:
                return False
            self._said[what] = now + seconds
            return True

    def renew_lock(self) -> None:  # pragma: no cover  (in another process, but tested)
        """Forget who held the lock: in a forked process that thread does not exist."""
        self._lock = threading.Lock()


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:  # pragma: no cover  (in another process, but tested)
    for ledger in _ledgers:
        ledger.renew_lock()


with contextlib.suppress(AttributeError):  # on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)


def retold(diagnosis: Diagnosis, operation: str, status_code: int) -> Diagnosis:
    """The same diagnosis for another refused operation; without a status as before."""
    status = None if diagnosis.status_code is None else status_code
    return replace(diagnosis, operation=operation, status_code=status)
