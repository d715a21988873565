"""The pytest fixture: a simulated LangSmith that the environment points at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import langsmith

from safe_langsmith._sdk.modules import clear_caches, part_of, tracing_client
from safe_langsmith._settings import reading
from safe_langsmith._settings.dotenv_file import Choice, Dotenv, read_dotenv
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith.testing._server import SimulatedLangSmith

if TYPE_CHECKING:
    from types import TracebackType

    import pytest

    from safe_langsmith.testing._world import Key, Workspace

_OURS = ("LANGSMITH_", "LANGCHAIN_")
_NO_PROXY = ("NO_PROXY", "no_proxy")
# It has no profile, so no profile of this machine is used.
_NO_PROFILE = str(Path(__file__).with_name("no-profile.json"))


class ReadyLangSmith(SimulatedLangSmith):
    """A simulated LangSmith that the environment points at until it stops.

    It has a ``workspace`` and a ``key``: a personal key with every permission there. No
    other LangSmith setting is used, whether from the environment, a `.env` file, a
    profile, or the SDK's cache. Tracing is on.

    ``patch`` changes the environment, and restores it at its own end.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._patch = patch
        self._client: langsmith.Client | None = None
        self.workspace = self.add_workspace("Research")
        self.key = self.add_personal_key(workspaces=[self.workspace])

    def __enter__(self) -> ReadyLangSmith:
        """Start, and set the environment."""
        self.start()
        self._client = tracing_client()
        direct = (os.environ.get(name) for name in _NO_PROXY)
        no_proxy = ",".join([*filter(None, dict.fromkeys(direct)), "127.0.0.1"])
        for name in [name for name in os.environ if name.startswith(_OURS)]:
            self._patch.delenv(name)
        for name, value in {
            "LANGSMITH_ENDPOINT": self.url,
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_CONFIG_FILE": _NO_PROFILE,
            "PYTHON_DOTENV_DISABLED": "true",  # load_dotenv() then loads nothing
            **dict.fromkeys(_NO_PROXY, no_proxy),
        }.items():
            self._patch.setenv(name, value)
        self._patch.setattr(reading, "read_dotenv", _read_named_dotenv)
        self.use(self.key)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for traces, stop, clear caches, and restore the client that traces."""
        self.clear_answers()
        self.flush()
        self.stop()
        _forget(self._client)

    def use(self, key: Key, workspace: Workspace | None = None) -> None:
        """Set LANGSMITH_API_KEY to another key, and set or unset the workspace."""
        self._patch.setenv("LANGSMITH_API_KEY", key.secret)
        self._patch.delenv("LANGSMITH_WORKSPACE_ID", raising=False)
        if workspace is not None:
            self._patch.setenv("LANGSMITH_WORKSPACE_ID", workspace.id)
        _forget(None)

    def flush(self) -> None:
        """Wait until everything traced so far has been sent."""
        client = tracing_client()
        if client is not None:
            client.flush()


def _read_named_dotenv(choice: Choice) -> Dotenv:
    """Read a `.env` file that a policy names, but search for no other."""
    return read_dotenv(False if choice is None else choice)


def _forget(client: langsmith.Client | None) -> None:
    """Clear what is cached, and trace with this client; None creates a new one."""
    clear_caches()
    # The variables that are attached to each run.
    part_of("env", "get_langchain_env_var_metadata.cache_clear", tuple)()
    FLIGHTS.forget()
    langsmith.configure(client=client)
