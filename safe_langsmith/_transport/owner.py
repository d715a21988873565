"""What the transports know of a client, and what we keep for each one."""

from __future__ import annotations

import time
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from safe_langsmith._policy import Policy
from safe_langsmith._sdk.clients import access_of, given_headers
from safe_langsmith._settings.construction import AtConstruction

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis
    from safe_langsmith._knowledge.access import Access
    from safe_langsmith._settings.sources import Settings

# Lost traces that are kept for `raise_for_tracing_errors`: small, but there may be many.
_MOST_LOST = 1000


# The arguments that say where a setting came from.
_TOLD_BY = {"api_key", "api_url", "api_urls", "workspace_id"}


@dataclass(eq=False)
class State:
    """What is kept for one client.

    ``session``: the session it was given, if any. ``worked``: hashes of the keys and
    workspaces that the server has accepted; no `repr` shows a key. ``repaired``: what the
    last repair set. ``repairs``: what replaced each rejected access. ``for_reads``:
    settings that only requests that change nothing may use. ``of_traces``: what the
    tracing path found, by access and operation.
    """

    policy: Policy
    born: AtConstruction
    session: Any = None
    last_diagnosis: Diagnosis | None = None
    repaired: Settings | None = None
    worked: set[int] = field(default_factory=set)
    repairs: dict[Access, Access] = field(default_factory=dict)
    for_reads: dict[Access, Settings] = field(default_factory=dict)
    lost: deque[Exception] = field(default_factory=lambda: deque(maxlen=_MOST_LOST))
    of_traces: dict[tuple[Access, str], Diagnosis] = field(default_factory=dict)
    _spent: float = 0.0
    _since: float | None = None

    def left_for_traces(self) -> float:
        """Seconds that the tracing path may still spend: one budget in each cooldown.

        Nobody there waits for one answer: a server that rejects every other batch would
        hold up all of them.
        """
        now = time.monotonic()
        if self._since is None or now >= self._since + self.policy.cooldown_s:
            self._spent, self._since = 0.0, now
            self.of_traces.clear()
        return max(0.0, self.policy.budget_s - self._spent)

    def spend_on_traces(self, seconds: float) -> None:
        """Count what a rejection on the tracing path has cost."""
        self._spent += seconds

    def lent(self, access: Access) -> Settings | None:
        """The settings behind an access that only reads use, or None."""
        every = list(self.for_reads.values())
        return next((s for s in every if s.access == access), None)


class Failure(NamedTuple):
    """How a request ended: where it went, and why it was rejected, if it was."""

    url: str
    diagnosis: Diagnosis | None


# The newest one on this thread, or in this task.
FAILURE: ContextVar[Failure | None] = ContextVar("safe_langsmith_failure", default=None)


class Owner(Protocol):
    """A client of ours, for a transport: a client of the SDK that has a `State`."""

    _safe: State | None


def state_of(owner: Owner) -> State:
    """The state of a client that is watched, as every client in this package is."""
    if owner._safe is None:
        raise AttributeError("this client is not watched")
    return owner._safe


def sender(owner: Owner) -> tuple[object, ...]:
    """What makes two clients ask the same question when the same access is rejected.

    Clients with equal senders share diagnoses.
    """
    state = state_of(owner)
    policy = state.policy
    return (
        replace(policy, dotenv=str(policy.dotenv), on_diagnosis=None),
        id(policy.on_diagnosis),
        replace(state.born, arguments=state.born.arguments & _TOLD_BY),
        state.repaired,
        tuple(sorted(given_headers(owner).items())),
        id(state.session),
    )


def before_asking(owner: Owner) -> Access | None:
    """What a client goes back to when it gets another key, or None.

    An endpoint that was found by asking, and a workspace there, belong to the key that
    they were found for.
    """
    state, now = state_of(owner), access_of(owner)
    repaired = state.repaired
    if repaired is None or not repaired.was_found_by_asking:
        return None
    state.repaired, held = None, state.born.held
    found = now.workspace == repaired.workspace.value
    workspace = held.workspace if found else now.workspace
    return replace(now, endpoint=held.endpoint, workspace=workspace)
