"""`install()`: makes a SafeClient the default client of `@traceable` and LangChain.

With ``everywhere=True``, and in `safe-langsmith run`, every new client is a safe one.
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
from safe_langsmith._transport.auth import RefusalAuth, ResourceWatcher
from safe_langsmith._transport.owner import State

# Both are changed only within no_fork, which also locks out other threads.
_installed: list[Installation] = []
# Whether `safe-langsmith run` started this program.
_ran: list[bool] = []


def install(
    client: SafeClient | None = None, *, everywhere: bool = False, **client_arguments: Any
) -> Installation:
    """Make a SafeClient the one that ``@traceable``, LangChain and ``evaluate`` use.

    It applies to all threads of the process, wherever no other client is passed, even if
    the SDK has already cached a plain client. Existing tracers and runs keep their own.

        import safe_langsmith
        safe_langsmith.install()

    Args:
        client: The client to use. None creates one from ``client_arguments``.
        everywhere: From now on, also create a safe client wherever any code, including
            langsmith itself, creates a ``langsmith.Client`` or ``langsmith.AsyncClient``.
            They get the policy of ``client``. Subclasses in other code are not affected.
        **client_arguments: As for `SafeClient`.

    Returns:
        A handle whose ``client`` is the one in use. ``undo()`` restores the previous
        client, and so does leaving a ``with`` block.

    Raises:
        TypeError: If ``client`` is not a SafeClient, or is combined with other arguments.
    """
    if client is not None and client_arguments:
        raise TypeError("pass either a client or the arguments for one, not both")
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
    """Create safe clients everywhere until this program ends."""
    with no_fork:
        _ran[:] = [True]
        _create()


def _create() -> None:  # within no_fork
    """Create safe clients everywhere while any installation wants that."""
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
    """The session for each new OpenTelemetry exporter."""
    with no_fork:
        from safe_langsmith._traces.exports import new_session

    return new_session(chosen)


def _begin_sandbox(owner: SandboxOwner, arguments: Mapping[str, Any]) -> None:
    """Watch a sandbox client. Its httpx client keeps the owner alive."""
    initial = at_construction_of_sandbox(access_of(owner), arguments)
    owner.api_url = initial.held.endpoint
    owner._safe = State(defaults[-1], initial)
    http = http_of(owner)
    http.auth = RefusalAuth(owner, http, generated=False, home=owner.home)
    http.auth.kept = owner


def _begin(owner: Owner, arguments: Mapping[str, Any]) -> ResourceWatcher:
    """Watch a generated client that is used directly: ``langsmith.Langsmith(...)``."""
    initial = at_construction_of_generated(access_of(owner), arguments)
    owner._safe = State(defaults[-1], initial)
    return ResourceWatcher(owner)


class Installation:
    """The result of `install`: its ``client`` is used until ``undo()``.

    A ``with`` block gets the client, and calls ``undo()`` at its end.
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
        """Restore what was in use before. A second call does nothing.

        Safe clients that ``everywhere`` has created stay safe. A client that `install`
        created is flushed first, so that no trace is lost.
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
            # A later client stays in use; its undo() restores what this one replaced.
            if later:
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
