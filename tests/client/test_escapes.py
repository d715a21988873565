"""Tests that text from a server, `.env`, or profile cannot control a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from saved import Place
from scenarios import GONE
from stage import closing

from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith._command.cli import main
from safe_langsmith.testing import SimulatedLangSmith

EVIL = {
    "window title": "\x1b]0;owned\x07",
    "clear screen": "\x1b[2J\x1b[H",
    "hyperlink": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "C1": "\x9b2J\x9d0;owned\x9c",
    "bidi": "\u202egnorw\u202c\u2066\u2069\u200f\u061c",
    "zero width": "\u200b\u200d\u2060\ufeff\u00ad\U000e0041",
    "lines": "one\r\n  fix:       paste your key here\x0b\x0c\x85\u2028\u2029",
    "backspace": "good\x08\x08\x08\x08evil\x7f",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
}
ALL = "".join(EVIL.values())
# Characters that control a terminal, except the line feed, which our own layout needs.
CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\U000e0000-\U000e007f]"
)

# Too short for any pause before a resend.
QUICK = Policy(budget_s=0.4)

every_evil = pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)


def assert_harmless(*texts: str) -> None:
    for text in texts:
        assert not CONTROLS.search(text), ascii(text)
        # A server must not be able to forge one of our lines.
        assert not re.search(r"^\s*fix:\s+paste your key here", text, re.MULTILINE)


def assert_shown_harmless(diagnosis: Diagnosis) -> None:
    """Check every form of a diagnosis."""
    assert_harmless(str(diagnosis), diagnosis.report(), diagnosis.headline, repr(diagnosis))
    assert_harmless(str(diagnosis.identity), *map(str, diagnosis.workspaces))
    page = diagnosis._repr_html_()
    assert_harmless(page)
    assert "<script" not in page
    assert "<img" not in page
    # Other programs may show these texts.
    assert_harmless(*_strings(diagnosis.as_dict()))


def _strings(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [text for value in data.values() for text in _strings(value)]
    if isinstance(data, list):
        return [text for item in data for text in _strings(item)]
    return [data] if isinstance(data, str) else []


@pytest.mark.parametrize(
    "body",
    [
        lambda evil: {"detail": f"no: {evil}"},
        lambda evil: {"error": "org_scoped_key_requires_workspace", "message": evil},
        lambda evil: f"<html>{evil}</html>",
        lambda evil: f"plain {evil}",
        lambda evil: json.dumps({"unknown": evil}, ensure_ascii=False),
    ],
    ids=["detail", "message", "page", "text", "no message"],
)
@pytest.mark.parametrize("kind", [SafeClient, SafeAsyncClient])
def test_a_refusal(
    server: SimulatedLangSmith,
    caplog: pytest.LogCaptureFixture,
    kind: type[Any],
    body: Any,
) -> None:
    server.answer("*", status=403, body=body(ALL), headers={"x-request-id": "\x9b2J"})
    more = {"auto_batch_tracing": False} if kind is SafeClient else {}
    client = kind(server.url, api_key=GONE, policy=QUICK, **more)
    if isinstance(client, SafeClient):
        with pytest.raises(AccessDeniedError) as caught:
            list(client.list_projects())
        client.session.close()
    else:
        with pytest.raises(AccessDeniedError) as caught:
            anyio.run(
                closing, client, lambda: client._arequest_with_retries("GET", "/sessions")
            )
    assert_shown_harmless(caught.value.diagnosis)
    assert_harmless(str(caught.value), repr(caught.value), *caplog.messages)
    # What Python and notebooks show if the error is not caught.
    assert_harmless(*caught.value._render_traceback_())


def told(server: SimulatedLangSmith, evil: str) -> None:
    """Put the text into every response that a diagnosis reads."""
    workspace = server.add_workspace("Research", projects=1)
    row: dict[str, Any] = {
        "id": workspace.id,
        "display_name": f"Research {evil}",
        "organization_id": f"organization {evil}",
        "role_name": f"Admin {evil}",
        "permissions": ["runs:create", f"more {evil}"],
    }
    server.answer("/workspaces", status=200, body=[row, {**row, "id": "0" + row["id"][1:]}])
    who = {"tenant_id": row["id"], "organization_id": evil, "ls_user_id": f"me {evil}"}
    server.answer("/auth/public", status=200, body=who)
    server.answer("/info", status=200, body={"version": evil})


@every_evil
def test_names(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture, evil: str
) -> None:
    """Check names of workspaces, roles, organizations, and users."""
    told(server, evil)
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert caught.value.diagnosis.workspaces
    assert_shown_harmless(caught.value.diagnosis)
    assert_shown_harmless(client.diagnose())
    assert_harmless(str(client.whoami()), *caplog.messages)
    client.session.close()


@every_evil
def test_settings(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture, evil: str
) -> None:
    """A `.env` or a profile may come from somebody else, for example in a clone."""
    quoted = evil.replace("\r", "").replace("\n", "\\n").replace('"', "")
    Path(".env").write_text(
        f'LANGSMITH_WORKSPACE_ID="{quoted}"\nLANGSMITH_PROJECT="{quoted}"\n'
        f'LANGSMITH_ENDPOINT="http://{quoted}"\nLANGSMITH_TRACING="{quoted}"\n',
        encoding="utf-8",
    )
    file = Path.home() / ".langsmith" / "config.json"
    file.parent.mkdir()
    profile = {"workspace_id": evil, "api_url": f"http://{evil}"}
    file.write_text(
        json.dumps(
            {"current_profile": evil, "profiles": {evil: profile, "default": profile}}
        )
    )
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert_shown_harmless(caught.value.diagnosis)
    assert_harmless(str(caught.value), *caplog.messages)
    client.session.close()


@pytest.mark.parametrize(
    "command",
    ["doctor", "doctor -v", "doctor --json", "whoami", "can-i runs:create"],
)
def test_commands(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    told(server, ALL)
    server.answer("/sessions", status=403, body={"detail": ALL})
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    main(command.split())
    out, err = capsys.readouterr()
    assert out
    assert_harmless(out, err)


@every_evil
@pytest.mark.parametrize("options", [(), ("-v",), ("--json",)])
def test_a_dotenv_that_the_command_loads(
    server: SimulatedLangSmith,
    capsys: pytest.CaptureFixture[str],
    evil: str,
    options: tuple[str, ...],
) -> None:
    """A `.env` from somebody else, with an endpoint that is probed, or one that is not."""
    quoted = evil.replace("\r", "").replace("\n", "\\n").replace('"', "")
    names = ("WORKSPACE_ID", "PROJECT", "TRACING")
    lines = "".join(f'LANGSMITH_{name}="{quoted}"\n' for name in names)
    key = f"LANGSMITH_API_KEY={GONE}\n"
    for endpoint in (server.url, f"http://{quoted}"):
        for own_key in (key, ""):
            text = f'{own_key}LANGSMITH_ENDPOINT="{endpoint}"\n{lines}'
            Path(".env").write_text(text, encoding="utf-8")
            main(["doctor", *options])
            assert_harmless(*capsys.readouterr())


def test_a_doctor_on_a_terminal(server: SimulatedLangSmith) -> None:
    """The only escape sequences are the doctor's own colors."""
    told(server, ALL)
    server.answer("/sessions", status=403, body={"detail": ALL})
    variables = {"LANGSMITH_ENDPOINT": server.url, "LANGSMITH_API_KEY": GONE}
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "safe_langsmith", "doctor"],
        env={**os.environ, **variables, "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:
        pass  # the terminal closed when the program ended
    os.close(ours)
    assert program.wait(60) == 1
    text = re.sub(r"\x1b\[\d+m|\r", "", shown.decode())
    assert "owned" in text
    assert_harmless(text)


@every_evil
def test_a_replay(server: SimulatedLangSmith, tmp_path: Path, evil: str) -> None:
    """Check a server's response, a file's name, and a file's content."""
    folder = tmp_path / "failed"
    folder.mkdir()
    place = Place(server, folder)
    place.write()
    place.write(headers={"X-LangSmith-Destination": evil, "Content-Type": evil})
    place.write(endpoint=evil)
    (folder / f"trace_9{evil.replace('/', '')}.json").write_text(evil)
    for path in ("/runs/batch", "/runs/multipart"):
        server.answer(path, status=422, body={"detail": evil})
    result = place.replay()
    assert result.left
    assert_harmless(str(result))
    assert_harmless(*result.left.values())


def test_an_unknown_code(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that a user pastes may also come from a server."""
    for evil in EVIL.values():
        assert main(["explain", evil]) != 0
        assert_harmless(*capsys.readouterr())


def test_a_repair_is_one_line_of_the_log(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    server.add_workspace("N\n::error::forged\r\x1b[31m\u202eX", projects=1)
    key = server.add_service_key(workspaces=None).secret
    assert list(
        SafeClient(server.url, api_key=key, auto_batch_tracing=False).list_projects()
    )
    (line,) = [r.getMessage() for r in caplog.records if "Repaired" in r.getMessage()]
    assert line.isprintable()
