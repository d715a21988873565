"""Tests that the demo shows every cause, and changes nothing on this machine."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stage import assert_no_secret

from safe_langsmith._command.cli import main
from safe_langsmith._command.explanations import EXPLANATIONS
from safe_langsmith.errors import ERRORS
from safe_langsmith.testing import SimulatedLangSmith, _demo

REPAIRED = (
    "workspace-required",
    "stale-setting",
    "key-malformed",
    "blocked-by-proxy",
    "transient-refusal",
)


@pytest.fixture(scope="module")
def output() -> str:
    """Return the output of `safe-langsmith demo`, despite many other settings."""
    with pytest.MonkeyPatch.context() as patch:
        return _printed(patch)


def _printed(patch: pytest.MonkeyPatch) -> str:
    for name in ("API_KEY", "ENDPOINT", "WORKSPACE_ID", "TENANT_ID", "PROFILE"):
        patch.setenv(f"LANGSMITH_{name}", "http://127.0.0.1:9")
        patch.setenv(f"LANGCHAIN_{name}", "http://127.0.0.1:9")
    patch.setenv("http_proxy", "http://127.0.0.1:9")
    patch.setenv("NO_PROXY", "example.org")
    stream = io.StringIO()
    before = dict(os.environ)
    with contextlib.redirect_stdout(stream):
        assert main(["demo"]) == 0
    assert dict(os.environ) == before
    return stream.getvalue()


def test_every_row_comes_out_as_promised(output: str) -> None:
    parts = [part.strip() for part in output.split("\n\n")]
    assert len(parts) == len(_demo.ROWS) + 2
    answered = []
    for number, (row, part) in enumerate(zip(_demo.ROWS, parts[1:], strict=False), 1):
        assert part.startswith(
            f"{number}  {row.code}: {row.title}\n    Client().{row.call}"
        )
        plain, _, safe = part.partition(f"    SafeClient().{row.call}\n")
        assert "Error: " in plain
        if "WARNING" in safe:
            assert (
                safe.splitlines()[-1]
                == "        ['Research project 2', 'Research project 1']"
            )
            answered.append(row.code)
        else:
            assert safe.startswith(f"        {ERRORS[row.code].__name__}: ")
            assert safe.endswith(f"safe-langsmith explain {row.code}")
    assert tuple(answered) == REPAIRED
    assert "14 refusals: 5 repaired and answered, 9 explained." in parts[-1]


def test_every_code_has_a_row(output: str) -> None:
    """Only two have none: one needs the official hosts, one means "unknown cause"."""
    shown = {row.code for row in _demo.ROWS}
    assert {e.code for e in EXPLANATIONS} - shown == {"wrong-region", "access-denied"}


def test_two_workspaces_are_listed(output: str) -> None:
    assert "the key can use 2 workspaces:" in output
    assert "  Research\n" in output
    assert "  Production\n" in output


def test_it_fits_on_a_terminal(output: str) -> None:
    assert max(map(len, output.splitlines())) <= 80
    assert len(output.splitlines()) < 240


def test_no_key_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """No part of any key that the rows use is printed."""
    secrets: list[str] = []

    def watched(world: _demo.World) -> _demo.World:
        def make(server: SimulatedLangSmith) -> _demo.Names:
            names = world(server)
            secrets.extend(names[n] for n in ("key", "old") if n in names)
            return names

        return make

    rows = [replace(r, world=watched(r.world)) for r in _demo.ROWS if not r.works_at_first]
    assert _demo.run(rows) == 0
    printed = capsys.readouterr()
    assert len(secrets) >= len(rows)
    assert_no_secret(printed.out + printed.err, secrets)


def test_it_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Environment, files, and loggers are as before, even after an error."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "mine")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def broken(server: SimulatedLangSmith) -> _demo.Names:
        raise RuntimeError("broken")

    logger = logging.getLogger("safe_langsmith")
    state = logger.level, logger.propagate, list(logger.handlers)
    before, files = dict(os.environ), sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError, match="broken"):
        _demo.run([_demo.ROWS[0], _demo.Row("key-missing", "broken", broken)])
    assert dict(os.environ) == before
    assert sorted(tmp_path.rglob("*")) == files
    assert (logger.level, logger.propagate, list(logger.handlers)) == state
    assert capsys.readouterr().err == ""


def test_it_speaks_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: set[str] = set()
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        addresses.add(address[0])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://api.smith.langchain.com")
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    assert _demo.run(_demo.ROWS[:3]) == 0
    assert addresses == {"127.0.0.1"}
