"""Tests that without a private name of langsmith, our client acts like the plain one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import langsmith
import pytest

from safe_langsmith import SafeAsyncClient, SafeClient
from safe_langsmith._sdk.names import NAMES, Name
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("short_program.py")
SDK = Path(langsmith.__file__).parent
EXPECTED = [name for name in NAMES if name.is_expected]


def identifier(name: Name) -> str:
    """Return what to rename: the name, or the private module of a public one."""
    last = name.name.rpartition(".")[2]
    # Renaming this everywhere would rename a public class, too.
    is_public = last in ("AsyncClient", "SyncClient")
    return str(name.owners).rpartition(".")[2] if is_public else last


IDENTIFIERS = sorted({identifier(name) for name in EXPECTED})


def without(gone: str, folder: Path) -> Path:
    """Copy the SDK, and rename a name everywhere in the copy."""
    word = re.compile(rf"\b{re.escape(gone)}\b")
    # Compiled files are copied too: they are still valid for unchanged files.
    shutil.copytree(SDK, folder / "langsmith")
    for file in (folder / "langsmith").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if gone in text:
            file.write_text(word.sub(f"{gone}_moved", text), encoding="utf-8")
        if file.stem == gone:
            file.rename(file.with_name(f"{gone}_moved.py"))
    return folder


def outcome(kind: str, sdk: Path | None) -> tuple[dict[str, Any], bool]:
    """Run the short program; return its results, and whether its run arrived."""
    run = str(uuid.uuid4())
    with SimulatedLangSmith() as server:
        own = server.add_workspace("Research", projects=2)
        key = server.add_personal_key(workspaces=[own]).secret
        project = str(uuid.uuid4())
        environ = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
        if sdk is not None:
            environ["PYTHONPATH"] = str(sdk)
        done = subprocess.run(
            [sys.executable, str(PROGRAM), kind, server.url, key, project, run],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        bodies = b"".join(exchange.body for exchange in server.exchanges)
    return json.loads(done.stdout), run.encode() in bodies


def no_worse(plain: Any, safe: Any) -> bool:
    """Whether the value is the same, or each handler of the plain error catches ours.

    Without a key, the v2 resources raise a TypeError before sending anything; ours send
    the request, and explain the refusal. See docs/seams.md.
    """
    if isinstance(plain, dict):
        asked = {"KeyMissingError", "AuthenticationError"} & {*safe["raised"]}
        if "TypeError" in plain["raised"] and asked:
            return True
        return isinstance(safe, dict) and {*plain["raised"]} <= {*safe["raised"]}
    return bool(safe == plain)


def worse(
    plain: tuple[dict[str, Any], bool], safe: tuple[dict[str, Any], bool]
) -> dict[str, Any]:
    """Return the steps that ended worse with our clients, with both results."""
    before, now = ({**steps, "arrived": arrived} for steps, arrived in (plain, safe))
    assert (before.pop("said"), now.keys() - before.keys()) == ([], {"said"})
    ends = {step: (before[step], now[step]) for step in before}
    return {step: pair for step, pair in ends.items() if not no_worse(*pair)}


@pytest.fixture(scope="module")
def plain() -> tuple[dict[str, Any], bool]:
    """Run with the original SDK: renaming a name everywhere would change nothing."""
    return outcome("plain", None)


def test_every_name_is_there(plain: tuple[dict[str, Any], bool]) -> None:
    """The installed release has every name, and no step ends worse with our clients."""
    safe = outcome("safe", None)
    assert safe[0]["said"] == []
    assert worse(plain, safe) == {}
    assert safe[1]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)
def test_the_release_that_introduced_a_name(name: Name) -> None:
    given: Any = {"api_url": "http://127.0.0.1:9", "api_key": "made-up"}
    clients = (SafeClient(auto_batch_tracing=False, **given), SafeAsyncClient(**given))
    told = {name.is_there(client) for client in clients} - {None}
    assert told == {name.is_expected}


@pytest.mark.parametrize("gone", IDENTIFIERS)
def test_a_name_that_is_gone(
    gone: str, plain: tuple[dict[str, Any], bool], tmp_path: Path
) -> None:
    safe = outcome("safe", without(gone, tmp_path))
    (line,) = safe[0]["said"]
    assert gone in line or any(n.name in line for n in EXPECTED if identifier(n) == gone)
    assert line.startswith(f"safe_langsmith: langsmith {langsmith.__version__} has no ")
    assert worse(plain, safe) == {}
