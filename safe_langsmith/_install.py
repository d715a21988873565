"""`install()`: the client that traces go through where none is given.

With ``everywhere=True`` and in `safe-langsmith run` also every client that is created.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import langsmith

from safe_langsmith._client import SafeClient
from safe_langsmith._policy import defaults
from safe_langsmith._sdk.clients import access_of, http_of
from safe_langsmith._sdk.everywhere import create_instead
from safe_langsmith._sdk.exporter import watch_exports
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.modules import tracing_client
from safe_langsmith._sdk.resources import Owner, standalone_classes
from safe_langsmith._sdk.sandbox import SandboxOwner, watch_sandboxes
from safe_langsmith._settings.construction import (
    at_construction_of_generated,
    at_construction_of_sandbox,
)
from safe_langsmith._transport.auth import RejectionAuth, ResourceWatcher
from safe_langsmith._transport.owner import State

# Both are changed within no_fork, which also keeps threads from coming in between.
_installed: list[Installation] = []
# Whether `safe-langsmith run` has started this program.
_ran: list[bool] = []


def install(
    client: SafeClient | None = None, *, everywhere: bool = False, **client_arguments: Any
) -> Installation:
    """Make a SafeClient the one that ``@traceable``, LangChain and ``evaluate`` use.

    For every thread of the process, where no other client is given; also after the SDK
    has made a plain client and cached it. A tracer or run that was made before keeps
    its own.

        import safe_langsmith
        safe_langsmith.install()

    Args:
        client: The client to use. None makes one of ``client_arguments``.
        everywhere: Also create a safe client wherever anybody, langsmith itself included,
            creates a ``langsmith.Client`` or ``langsmith.AsyncClient`` from now on. Its
            policy is that of ``client``. Subclasses that others wrote stay theirs.
        **client_arguments: As for `SafeClient`.

    Returns:
        A handle whose ``client`` is the one in use. ``undo()`` puts back what was there
        before, and so does the end of a ``with`` block.

    Raises:
        TypeError: If ``client`` is no SafeClient, or both kinds of arguments are given.
    """
    if client is not None and client_arguments:
        raise TypeError("pass a client or the arguments for one, not both")
    if client is not None and not isinstance(client, SafeClient):
        raise TypeError(f"client must be a SafeClient, not {type(client).__name__}")
    made = SafeClient(**client_arguments) if client is None else client
    with no_fork:
        installation = Installation(made, tracing_client(), client is None, everywhere)
        _installed.append(installation)
        _create()
        langsmith.configure(client=made)
    return installation


def start_program() -> None:
    """Create safe clients everywhere in this program, to its end."""
    with no_fork:
        _ran[:] = [True]
        _create()


def _create() -> None:  # within no_fork
    """Create safe clients everywhere if anybody wants that, and plain ones if not."""
    with Guard("create safe clients everywhere"):
        wanted = [getattr(i.client, "policy", None) for i in _installed if i.everywhere]
        defaults[1:] = [policy for policy in wanted if policy is not None]
        kinds: dict[Any, Any] = {}
        if wanted or _ran:
            from safe_langsmith._async_client import SafeAsyncClient

            both: tuple[Any, ...] = (SafeClient, SafeAsyncClient)
            kinds = {ours._safe_plain: ours for ours in both} | standalone_classes(_begin)
        create_instead(kinds)
        watch_exports(_session_for_export if kinds else None)
        watch_sandboxes(_begin_sandbox if kinds else None)


def _session_for_export(chosen: bool) -> Any:
    """The session for an exporter of OpenTelemetry that anybody creates."""
    with no_fork:
        from safe_langsmith._traces.exports import new_session

    return new_session(chosen)


def _begin_sandbox(owner: SandboxOwner, arguments: Mapping[str, Any]) -> None:
    """Watch a client of sandboxes; its httpx client keeps what it is watched with."""
    born = at_construction_of_sandbox(access_of(owner), arguments)
    owner.api_url = born.held.endpoint
    owner._safe = State(defaults[-1], born)
    http = http_of(owner)
    http.auth = RejectionAuth(owner, http, generated=False, home=owner.home)
    http.auth.kept = owner


def _begin(owner: Owner, arguments: Mapping[str, Any]) -> ResourceWatcher:
    """Watch a generated client that stands alone: ``langsmith.Langsmith(...)``."""
    born = at_construction_of_generated(access_of(owner), arguments)
    owner._safe = State(defaults[-1], born)
    return ResourceWatcher(owner)


class Installation:
    """A client in use by ``@traceable`` and LangChain, until ``undo()``.

    As a context manager it gives the client, and undoes itself at the end.
    """

    def __init__(
        self,
        client: SafeClient,
        before: langsmith.Client | None,
        own: bool,
        everywhere: bool,
    ) -> None:
        self.client = client
        self.everywhere = everywhere
        self._before = before
        self._own = own

    def undo(self) -> None:
        """Put back what was in use before; twice is as good as once.

        Clients that were created everywhere stay as they are. A client that `install`
        made is flushed first, so that no trace is left behind.
        """
        if self._own:
            self.client.flush()
        with no_fork:
            if self not in _installed:
                return
            place = _installed.index(self)
            later = _installed[place + 1 :]
            del _installed[place]
            _create()
            if later:  # installed since: that one stays, and is to put back ours' before
                if later[0]._before is self.client:
                    later[0]._before = self._before
            elif tracing_client() is self.client:
                langsmith.configure(client=self._before)

    def __enter__(self) -> SafeClient:
        return self.client

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()
