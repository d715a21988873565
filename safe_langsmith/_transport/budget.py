"""The time that a diagnosis has, and how it is spent: retries, pauses, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from typing import Any

from tenacity import (
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from safe_langsmith._decision.protocol import Answer, Probe, Reply, Resend, Unreachable
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.settle import Read, Wait, read_settings
from safe_langsmith._transport.unreachable import OVER, no_answer

_PROBE_ATTEMPTS = 3
_PASSING = ("", "name", "refused", "timeout")
# Seconds for a probe to notice by itself that the time is over.
_GRACE = 0.5
_passing_wait = wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1)


class Clock:
    """The time that one diagnosis has.

    ``shared``: others use up the same time, so waiting for them counts, too.
    """

    def __init__(self, budget: float, *, shared: bool = False) -> None:
        self._budget = budget
        self.shared = shared
        self.start()

    def start(self) -> None:
        """Begin anew."""
        self._deadline = time.monotonic() + self._budget

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._deadline - time.monotonic())


def probe_retries(clock: Clock) -> dict[str, Any]:
    """For tenacity: ask again what failed in passing, as long as there is time."""
    return {
        "retry": retry_if_result(_is_passing),
        "wait": _wait,
        "stop": stop_after_attempt(_PROBE_ATTEMPTS) | stop_before_delay(clock.left),
        "retry_error_callback": last_answer,
    }


def pauses(step: Resend, clock: Clock) -> Iterator[float]:
    """Seconds before each try of a resend; after the first, only while they fit."""
    yield step.waits[0]
    for pause in step.waits[1:]:
        if pause >= clock.left:
            return
        yield pause


def too_long(step: Resend, clock: Clock) -> Unreachable | None:
    """Say so if the pause before a resend does not fit into the budget."""
    pause = step.waits[0]
    if not pause or pause < clock.left:
        return None
    reason = f"a pause of {pause:g} s did not fit into Policy.budget_s"
    return Unreachable(f"{reason}, so the request was not sent again")


def do_blocking(work: Read | Wait, owner: Owner, clock: Clock) -> Any:
    """Read the settings, or wait for a flight, on a thread that may block."""
    if isinstance(work, Read):
        if not clock.shared:
            clock.start()
        return read_settings(owner)
    # A task of this very thread may lead; it goes on only when we return.
    elsewhere = work.flight.thread != threading.get_ident()
    seconds = clock.left if clock.shared else state_of(owner).policy.budget_s
    return elsewhere and work.flight.ended.wait(seconds)


def ask_all(
    ask: Callable[[Probe], Answer], probes: tuple[Probe, ...], clock: Clock
) -> tuple[Answer, ...]:
    """Ask questions at the same time, each on a thread of its own.

    A single one, too: a name that cannot be resolved and a head that comes byte by byte
    know no timeout.
    """
    futures = [_begun(ask, probe) for probe in probes]

    def answer(probe: Probe, future: Future[Answer]) -> Answer:
        try:
            return future.result(clock.left + _GRACE)
        except TooLate:
            return no_answer(probe, OVER)

    return tuple(answer(p, f) for p, f in zip(probes, futures, strict=True))


def _begun(ask: Callable[[Probe], Answer], probe: Probe) -> Future[Answer]:
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(ask(probe))
        except BaseException as error:  # raised where the result is taken
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="safe_langsmith-probe", daemon=True).start()
    except RuntimeError:
        # No thread can be started, as when the interpreter shuts down: one by one.
        run()
    return future


def unchecked() -> Unreachable:
    """What was not sent to another host: this client does not check whom it talks to."""
    return Unreachable("this client may not check certificates", withheld=True)


def _is_passing(answer: Answer) -> bool:
    """Whether an answer may be another one in a moment."""
    if isinstance(answer, Unreachable):
        return not answer.withheld and answer.trouble in _PASSING
    return answer.status == 429 or answer.status >= 500


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, or a little longer each time."""
    answer = last_answer(state)
    if isinstance(answer, Reply) and answer.retry_after is not None:
        return answer.retry_after
    return _passing_wait(state)


def last_answer(state: RetryCallState) -> Any:
    """The newest answer that tenacity has seen."""
    return state.outcome.result() if state.outcome else None
