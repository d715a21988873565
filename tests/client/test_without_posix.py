"""Tests that clients and command work without the modules and functions Windows lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scenarios
from stage import assert_no_secret

from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow

HIDE = """
import os, signal, sys
# Import these first: they check at import time what exists.
import asyncio, logging, multiprocessing, random, subprocess, threading

for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None
for where, names in (
    (os, "chown fchmod fchown fork forkpty geteuid getuid mkfifo register_at_fork"),
    (os, "O_CLOEXEC O_NOFOLLOW O_NONBLOCK sysconf"),
    (signal, "setitimer SIGALRM SIGPIPE SIGXFSZ SIGHUP SIGKILL"),
):
    for name in names.split():
        if hasattr(where, name):
            delattr(where, name)
"""
USE = """
import asyncio
import langsmith
import safe_langsmith
from safe_langsmith import AsyncClient, Client
from safe_langsmith._command.cli import main

client = Client()
print([project.name for project in client.list_projects()])
with safe_langsmith.install(client):
    langsmith.traceable(lambda: 1, name="one")()
    client.flush()
client.raise_for_tracing_errors()


async def count():
    async with AsyncClient() as client:
        return len([dataset async for dataset in client.list_datasets()])


print(asyncio.run(count()))
print(client.diagnose().code)
for words in (["doctor"], ["whoami"], ["doctor", "--fix", "--yes"], ["doctor", "--strict"]):
    print(words[-1], main(words))
os.makedirs("saved", exist_ok=True)
print("replay", main(["replay", "saved", "--env-file", ".env"]))
"""


def test_clients_and_the_command(server: SimulatedLangSmith, tmp_path: Path) -> None:
    names = scenarios.organization_key(server)
    lines = f"LANGSMITH_API_KEY={names['key']}\nLANGSMITH_ENDPOINT={server.url}\n"
    Path(tmp_path, ".env").write_text(f"{lines}LANGSMITH_TRACING=true\n")
    environ = {"LANGSMITH_API_KEY": names["key"], "LANGSMITH_ENDPOINT": server.url}
    done = subprocess.run(
        [sys.executable, "-c", HIDE + USE],
        env={**os.environ, **environ, "LANGSMITH_TRACING": "true"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert "Traceback" not in done.stderr
    assert shown[0].startswith("['Research project")
    assert {run["name"] for runs in server.runs.values() for run in runs} == {"one"}
    for line in ("0", "ok", "doctor 1", "--yes 0", "replay 0"):
        assert line in shown, done.stdout
    assert_no_secret(done.stdout + done.stderr, [names["key"]])
    assert "LANGSMITH_WORKSPACE_ID=" in Path(tmp_path, ".env").read_text()
