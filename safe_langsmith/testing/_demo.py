"""``safe-langsmith demo``: refusals with the plain client, and then with SafeClient.

It needs no account: it runs a simulated LangSmith on loopback. It ignores the settings of
this machine.
"""

from __future__ import annotations

import logging
import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import langsmith
import requests
from langsmith.utils import LangSmithError

from safe_langsmith._client import SafeClient
from safe_langsmith._diagnosis import Code
from safe_langsmith._policy import Policy
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith.testing import SimulatedLangSmith

_WIDTH = 80
_INDENT = " " * 4
_BUDGET_S = 8.0
_PAGE = "<!doctype html><title>403</title>403 Forbidden"

Names = Mapping[str, str]
World = Callable[[SimulatedLangSmith], Names]


# --- the worlds: what exists, and the values that a row's settings refer to -----------


def _one_workspace(server: SimulatedLangSmith) -> Names:
    """A personal key of the only workspace; a key that was revoked."""
    own = server.add_workspace("Research", projects=2)
    old = server.add_personal_key(workspaces=[own])
    server.revoke(old)
    return {
        "key": server.add_personal_key(workspaces=[own]).secret,
        "old": old.secret,
        "organization": own.organization_id,
    }


def _organization_key(server: SimulatedLangSmith) -> Names:
    """A key of the whole organization, which has one workspace."""
    server.add_workspace("Research", projects=2)
    return {"key": server.add_service_key(workspaces=None).secret}


def _organization_key_of_two(server: SimulatedLangSmith) -> Names:
    """A key of the whole organization, which has two workspaces."""
    names = _organization_key(server)
    server.add_workspace("Production", projects=1)
    return names


def _viewer(server: SimulatedLangSmith) -> Names:
    """A personal key whose role may only read."""
    own = server.add_workspace("Research", projects=2)
    return {"key": server.add_personal_key(workspaces=[own], role="Viewer").secret}


def _key_of_another_workspace(server: SimulatedLangSmith) -> Names:
    """A service key of one workspace, and another workspace."""
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production")
    return {"key": server.add_service_key(workspaces=[own]).secret, "other": other.id}


def _small_plan(server: SimulatedLangSmith) -> Names:
    """An organization whose plan does not include projects."""
    server.disabled_features.add("projects")
    return _one_workspace(server)


def _nervous_proxy(server: SimulatedLangSmith) -> Names:
    """A proxy that refuses two requests, and then no more."""
    server.answer("*", status=403, body=_PAGE, times=2)
    return _one_workspace(server)


def _legacy(server: SimulatedLangSmith) -> Names:
    """A key in the format that stopped working in 2024."""
    server.add_workspace("Research", projects=2)
    return {"key": "ls__0123456789abcdef0123456789abcdef"}


# --- the rows -------------------------------------------------------------------------


_CALLS: Mapping[str, Callable[[langsmith.Client], object]] = {
    "list_projects()": lambda client: [project.name for project in client.list_projects()],
    'create_project("new")': lambda client: client.create_project("new").name,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One refusal: what exists, what is set, and the call.

    ``key`` and ``workspace`` are set when the client is created, and ``dotenv`` is written
    after that. They are templates: ``{key}`` and the like come from the world.
    ``works_at_first``: the call succeeds once, and is refused once after that.
    """

    code: Code
    title: str
    world: World = _one_workspace
    key: str = "{key}"
    workspace: str = ""
    dotenv: str = ""
    works_at_first: bool = False
    self_hosted: bool = False
    call: str = "list_projects()"


ROWS: tuple[Row, ...] = (
    Row(
        "workspace-required",
        "an organization-wide key, and one workspace",
        _organization_key,
    ),
    Row("workspace-required", "the same key, and two workspaces", _organization_key_of_two),
    Row(
        "stale-setting",
        "a notebook; the key in .env was changed",
        key="{old}",
        dotenv="LANGSMITH_API_KEY={key}\n",
    ),
    Row(
        "workspace-mismatch",
        "the organization's id as workspace",
        workspace="{organization}",
    ),
    Row("key-missing", "no key is set anywhere", key=""),
    Row(
        "key-malformed",
        "the variable contains its name and quotes",
        key='LANGSMITH_API_KEY="{key}"',
    ),
    Row("key-rejected", "a revoked key", key="{old}"),
    Row(
        "permission-missing",
        "the role may only read",
        _viewer,
        call='create_project("new")',
    ),
    Row(
        "service-key-scope",
        "a service key of another workspace",
        _key_of_another_workspace,
        workspace="{other}",
    ),
    Row("feature-unavailable", "the plan lacks projects", _small_plan),
    Row("blocked-by-proxy", "a proxy refuses briefly", _nervous_proxy),
    Row("wrong-endpoint", "the endpoint lacks /api/v1", self_hosted=True),
    Row("key-legacy", "a key that begins with ls__", _legacy),
    Row("transient-refusal", "LangSmith briefly refuses a call", works_at_first=True),
)


# --- the loop -------------------------------------------------------------------------


def run(rows: Sequence[Row] = ROWS) -> int:
    """Show every row, and return the exit code of the command."""
    print(f"{len(rows)} refusals, each with langsmith.Client and then with SafeClient.")
    print("A simulated LangSmith runs on 127.0.0.1; nothing leaves this machine.")
    repaired = 0
    with _clean_machine() as home:
        policy = Policy(dotenv=home / ".env", budget_s=_BUDGET_S)
        for number, row in enumerate(rows, 1):
            print(f"\n{number:2}  {row.code}: {row.title}")
            with _refused(row, home, langsmith.Client) as client:
                _show("Client", row, client)
            with _refused(row, home, SafeClient, policy=policy) as client:
                repaired += _show("SafeClient", row, client)
    explained = len(rows) - repaired
    print(f"\n{len(rows)} refusals: {repaired} repaired and answered, ", end="")
    print(f"{explained} explained.\nTo check your own settings: safe-langsmith doctor")
    return 0


@contextmanager
def _refused(
    row: Row, home: Path, make: type[langsmith.Client], **arguments: Any
) -> Iterator[langsmith.Client]:
    """A client in the row's world, whose next call is refused."""
    dotenv = home / ".env"
    with SimulatedLangSmith("self-hosted" if row.self_hosted else "cloud") as server:
        names = row.world(server)
        _forget_settings()
        os.environ["LANGSMITH_ENDPOINT"] = server.url
        for name, value in (("API_KEY", row.key), ("WORKSPACE_ID", row.workspace)):
            if value:
                os.environ[f"LANGSMITH_{name}"] = value.format_map(names)
        dotenv.write_text("", encoding="utf-8")
        client = make(auto_batch_tracing=False, **arguments)
        dotenv.write_text(row.dotenv.format_map(names), encoding="utf-8")
        if row.works_at_first:
            _CALLS[row.call](client)
            server.answer("/sessions", status=403, body={"detail": "Forbidden"}, times=1)
        try:
            yield client
        finally:
            client.session.close()


def _show(name: str, row: Row, client: langsmith.Client) -> bool:
    """Make the call, print the result, and return whether it succeeded."""
    print(f"{_INDENT}{name}().{row.call}")
    with _logged() as records:
        try:
            answer = _CALLS[row.call](client)
        except (LangSmithError, requests.RequestException) as error:
            _print_wrapped(f"{type(error).__name__}: {error}")
            return False
    logged = [f"{record.levelname} {record.getMessage()}" for record in records]
    _print_wrapped("\n".join([*logged, repr(answer)]))
    return True


def _print_wrapped(text: str) -> None:
    """Print below the name of the call, wrapped for a terminal."""
    for line in text.splitlines():
        # The lines of an error are indented below the text after "found:" and the like.
        hang = 13 if line.startswith("  ") else 2
        wrapped = textwrap.fill(
            line,
            _WIDTH,
            initial_indent=_INDENT * 2,
            subsequent_indent=_INDENT * 2 + " " * hang,
            break_on_hyphens=False,
            break_long_words=False,
        )
        print(wrapped)


# --- the machine ----------------------------------------------------------------------


@contextmanager
def _clean_machine() -> Iterator[Path]:
    """An empty home folder. The environment is restored at the end."""
    before = dict(os.environ)
    try:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder).resolve()
            os.environ.update(HOME=str(home), USERPROFILE=str(home))
            yield home
    finally:
        os.environ.clear()
        os.environ.update(before)
        clear_caches()


def _forget_settings() -> None:
    """Remove every LangSmith setting and every proxy from the environment."""
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    # Some systems also configure a proxy elsewhere.
    os.environ["NO_PROXY"] = "*"
    clear_caches()


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    """Collect what safe_langsmith logs; other loggers do not get it."""
    logger = logging.getLogger("safe_langsmith")
    propagate, level = logger.propagate, logger.level
    handler = BufferingHandler(capacity=1000)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield handler.buffer
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        logger.setLevel(level)
