"""The time limit of a diagnosis, for its retries, pauses and threads."""

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
# Seconds left for a probe to notice by itself that its time is over.
_GRACE = 0.5
_passing_wait = wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1)


class Clock:
    """The time that is left for one diagnosis.

    ``shared``: several requests share this time, so waiting for others counts too.
    """

    def __init__(self, budget: float, *, shared: bool = False) -> None:
        self._budget = budget
        self.shared = shared
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self._deadline = time.monotonic() + self._budget

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._deadline - time.monotonic())


def probe_retries(clock: Clock) -> dict[str, Any]:
    """Options for tenacity: retry temporary failures while there is time."""
    return {
        "retry": retry_if_result(_is_passing),
        "wait": _wait,
        "stop": stop_after_attempt(_PROBE_ATTEMPTS) | stop_before_delay(clock.left),
        "retry_error_callback": last_answer,
    }


def pauses(step: Resend, clock: Clock) -> Iterator[float]:
    """Seconds before each attempt of a resend; only the first may exceed the time left."""
    yield step.waits[0]
    for pause in step.waits[1:]:
        if pause >= clock.left:
            return
        yield pause


def too_long(step: Resend, clock: Clock) -> Unreachable | None:
    """The reason if the pause before a resend does not fit into the budget."""
    pause = step.waits[0]
    if not pause or pause < clock.left:
        return None
    reason = f"a pause of {pause:g} s did not fit into Policy.budget_s"
    return Unreachable(f"{reason}, so the request was not resent")


def do_blocking(work: Read | Wait, owner: Owner, clock: Clock) -> Any:
    """Read the settings, or wait for a flight, on a thread that may block."""
    if isinstance(work, Read):
        if not clock.shared:
            clock.start()
        return read_settings(owner)
    # If a task on this thread leads the flight, waiting here would block that task.
    elsewhere = work.flight.thread != threading.get_ident()
    seconds = clock.left if clock.shared else state_of(owner).policy.budget_s
    return elsewhere and work.flight.ended.wait(seconds)


def ask_all(
    ask: Callable[[Probe], Answer], probes: tuple[Probe, ...], clock: Clock
) -> tuple[Answer, ...]:
    """Send probes at the same time, each on a new thread.

    Even a single one: timeouts cover neither slow name resolution nor a response whose
    headers arrive byte by byte.
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
        # No thread can be started at interpreter shutdown: send one after the other.
        run()
    return future


def unchecked() -> Unreachable:
    """Why nothing is sent to another host: this client does not check certificates."""
    return Unreachable("this client does not check certificates", withheld=True)


def _is_passing(answer: Answer) -> bool:
    """Whether this may be a temporary failure."""
    if isinstance(answer, Unreachable):
        return not answer.withheld and answer.trouble in _PASSING
    return answer.status == 429 or answer.status >= 500


def _wait(state: RetryCallState) -> float:
    """The time that the server asks for, or a little longer each time."""
    answer = last_answer(state)
    if isinstance(answer, Reply) and answer.retry_after is not None:
        return answer.retry_after
    return _passing_wait(state)


def last_answer(state: RetryCallState) -> Any:
    """The latest answer that tenacity has seen."""
    return state.outcome.result() if state.outcome else None
