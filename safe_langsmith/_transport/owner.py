"""Our state of each client, and the interface that transports use."""

from __future__ import annotations

import time
import weakref
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from safe_langsmith._policy import Policy
from safe_langsmith._sdk.clients import access_of, given_headers
from safe_langsmith._sdk.modules import retries_by_itself
from safe_langsmith._settings.construction import AtConstruction

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis
    from safe_langsmith._knowledge.access import Access
    from safe_langsmith._settings.sources import Settings

# How many errors of lost traces are kept for `raise_for_tracing_errors`.
_MOST_LOST = 1000


# The arguments that say where a setting came from.
_SOURCE_ARGUMENTS = {"api_key", "api_url", "api_urls", "workspace_id"}


@dataclass(eq=False)
class State:
    """Our state of one client.

    ``session``: the one that the SDK created, or None if the caller passed one. ``worked``:
    hashes of keys and workspaces that the server has accepted; hashes, so that no `repr`
    shows a key. ``repaired``: what the last repair set. ``repairs``: what replaced each
    refused access. ``for_reads``: settings that only requests without side effects may use.
    ``of_traces``: the diagnoses of the tracing path, by access, operation and kind of
    response.
    """

    policy: Policy
    initial: AtConstruction
    session: Any = None
    last_diagnosis: Diagnosis | None = None
    repaired: Settings | None = None
    worked: set[int] = field(default_factory=set)
    repairs: dict[Access, Access] = field(default_factory=dict)
    for_reads: dict[Access, Settings] = field(default_factory=dict)
    lost: deque[Exception] = field(default_factory=lambda: deque(maxlen=_MOST_LOST))
    of_traces: dict[tuple[Access, str, str], Diagnosis] = field(default_factory=dict)
    _spent: float = 0.0
    _since: float | None = None

    def left_for_traces(self) -> float:
        """Seconds that the tracing path may still spend: one budget per cooldown.

        Without this limit, a server that refuses every other batch would delay all of
        them.
        """
        now = time.monotonic()
        if self._since is None or now >= self._since + self.policy.cooldown_s:
            self._spent, self._since = 0.0, now
            self.of_traces.clear()
        return max(0.0, self.policy.budget_s - self._spent)

    def spend_on_traces(self, seconds: float) -> None:
        """Count the time that a refusal on the tracing path has taken."""
        self._spent += seconds

    def read_only_settings(self, access: Access) -> Settings | None:
        """The settings of an access that only reads may use, or None."""
        every = list(self.for_reads.values())
        return next((s for s in every if s.access == access), None)


class Failure(NamedTuple):
    """A failed request: its URL, and its diagnosis if it was refused."""

    url: str
    diagnosis: Diagnosis | None


# The latest failure on this thread, or in this task.
FAILURE: ContextVar[Failure | None] = ContextVar("safe_langsmith_failure", default=None)


# Refusals that are remembered: see `flights`. They are kept here because a success may end
# one, so each success checks whether there are any.
MEMORIES: dict[Any, Any] = {}


# The client whose request this thread is sending with the SDK's own method.
SENDING: ContextVar[object] = ContextVar("safe_langsmith_sending", default=None)


class Owner(Protocol):
    """A client as transports see it: an SDK client with a `State`."""

    _safe: State | None


def state_of(owner: Owner) -> State:
    """The state of a client.

    Raises:
        AttributeError: If it is not watched, because our part of its constructor failed.
    """
    if owner._safe is None:
        raise AttributeError("this client is not watched")
    return owner._safe


def sender(owner: Owner) -> tuple[object, ...]:
    """What makes two clients equal for a diagnosis: equal senders share diagnoses."""
    state = state_of(owner)
    policy = state.policy
    return (
        replace(policy, dotenv=str(policy.dotenv), on_diagnosis=None),
        _Same(policy.on_diagnosis),
        replace(state.initial, arguments=state.initial.arguments & _SOURCE_ARGUMENTS),
        state.repaired,
        tuple(sorted(given_headers(owner).items())),
        *_connection_settings(owner),
    )


class _Same:
    """An object as part of a dict key: equal only to itself, and kept alive."""

    def __init__(self, kept: object) -> None:
        self.kept = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.kept is other.kept

    def __hash__(self) -> int:
        return id(self.kept)


def _reference(kept: object) -> object:
    try:
        return weakref.ref(kept)
    except TypeError:
        return _Same(kept)


def _connection_settings(owner: Owner) -> tuple[object, ...]:
    """The settings of a sync client's session that may affect a request's result."""
    session: Any = getattr(owner, "session", None)
    if session is None:
        return ()
    # A session that the caller passed, or set later, may do anything.
    own = None if session is state_of(owner).session else _reference(session)
    names = ("proxies", "verify", "cert", "trust_env")
    settings = tuple(str(getattr(session, name, None)) for name in names)
    adapters = getattr(session, "adapters", {}).items()
    is_untouched = own is None and settings == ("{}", "True", "None", "True")
    if is_untouched and all(retries_by_itself(adapter) for _, adapter in adapters):
        return ()  # an untouched session: async clients can share the diagnosis
    return (own, *settings, *((prefix, type(one)) for prefix, one in adapters))


def access_for_new_key(owner: Owner) -> Access | None:
    """What a client goes back to when it gets another key, or None.

    What a repair added belongs to the key that it was found for: a region that was found
    by probing, or a workspace that was the only one.
    """
    state, now = state_of(owner), access_of(owner)
    repaired, held = state.repaired, state.initial.held
    if repaired is None:
        return None
    was_asked = repaired.was_found_by_asking
    endpoint = held.endpoint if was_asked else now.endpoint
    filled_in = was_asked or repaired.workspace.source.kind == "repair"
    is_that = filled_in and now.workspace == repaired.workspace.value
    home = replace(
        now, endpoint=endpoint, workspace=held.workspace if is_that else now.workspace
    )
    if home == now:
        return None
    state.repaired = None
    return home
