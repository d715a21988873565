"""`install()`: the client that traces go through where none is given."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import langsmith

from safe_langsmith._client import SafeClient
from safe_langsmith._sdk.modules import tracing_client

_lock = threading.Lock()
_installed: list[Installation] = []


def install(client: SafeClient | None = None, **client_arguments: Any) -> Installation:
    """Make a SafeClient the one that ``@traceable``, LangChain and ``evaluate`` use.

    For every thread of the process, where no other client is given; also after the SDK
    has made a plain client and cached it. A tracer or run that was made before keeps
    its own.

        import safe_langsmith
        safe_langsmith.install()

    Args:
        client: The client to use. None makes one of ``client_arguments``.
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
    with _lock:
        installation = Installation(made, tracing_client(), own=client is None)
        _installed.append(installation)
        langsmith.configure(client=made)
    return installation


class Installation:
    """A client in use by ``@traceable`` and LangChain, until ``undo()``.

    As a context manager it gives the client, and undoes itself at the end.
    """

    def __init__(
        self, client: SafeClient, before: langsmith.Client | None, *, own: bool
    ) -> None:
        self.client = client
        self._before = before
        self._own = own

    def undo(self) -> None:
        """Put back what was in use before; twice is as good as once.

        A client that `install` made is flushed first, so that no trace is left behind.
        """
        if self._own:
            self.client.flush()
        with _lock:
            if self not in _installed:
                return
            place = _installed.index(self)
            later = _installed[place + 1 :]
            del _installed[place]
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
