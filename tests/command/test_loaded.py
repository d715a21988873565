"""Tests that commands read the settings that load_dotenv() would give a program."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import scenarios
from conftest import Serve
from scenarios import GONE
from stage import assert_no_secret
from test_doctor import facts, rows_of, run_json

from safe_langsmith import Diagnosis, Fix, WorkspaceInfo
from safe_langsmith._command.cli import main
from safe_langsmith._command.doctor import report
from safe_langsmith._command.github import announce
from safe_langsmith._command.loaded import Program, loaded
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import Look
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._settings.machine import Machine
from safe_langsmith._settings.sources import Setting, Settings, Setup, Source
from safe_langsmith.testing import SimulatedLangSmith

World = Callable[[SimulatedLangSmith], dict[str, str]]


def healthy(server: SimulatedLangSmith) -> dict[str, str]:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    return {"key": key, "organization": own.organization_id, "own": own.id}


def organization_key(server: SimulatedLangSmith) -> dict[str, str]:
    own = server.add_workspace("Research")
    return {"key": server.add_service_key(workspaces=None).secret, "own": own.id}


def two_workspaces(server: SimulatedLangSmith) -> dict[str, str]:
    names = organization_key(server)
    return {**names, "other": server.add_workspace("Production").id}


@dataclass(frozen=True)
class Row:
    """A `.env`, and what the doctor shows in its folder. ``{}`` are names of the world."""

    name: str
    file: str
    code: str
    shows: tuple[str, ...] = ()
    world: World = healthy
    environ: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    asks: bool = True

    def __str__(self) -> str:
        return self.name


AT = "LANGSMITH_ENDPOINT={url}\n"
ROWS = [
    Row(
        "all settings in the file",
        "LANGSMITH_API_KEY={key}\n" + AT + "LANGSMITH_TRACING=true\n",
        "ok",
        (".env line 2, as load_dotenv() loads it",),
    ),
    Row(
        "a file that is switched off",
        "LANGSMITH_API_KEY={key}\n",
        "key-missing",
        ("key        not set", "PYTHON_DOTENV_DISABLED is set"),
        environ={"PYTHON_DOTENV_DISABLED": "1", "LANGSMITH_ENDPOINT": "{url}"},
    ),
    Row(
        "the id of the organization as the workspace",
        "LANGSMITH_API_KEY={key}\n" + AT + "LANGSMITH_WORKSPACE_ID={organization}\n",
        "workspace-mismatch",
        (
            "workspace  {organization}  .env line 3, as load_dotenv() loads it",
            "Change .env, line 3 to this:\n  LANGSMITH_WORKSPACE_ID={own}  # Research\n",
        ),
    ),
    Row(
        "a proxy and certificates, which a file may not choose for us",
        "LANGSMITH_API_KEY={key}\n" + AT + "http_proxy=http://127.0.0.1:1\nHTTPS_PROXY=\n"
        "SSL_CERT_DIR=${{HOME}}/ca\nNO_PROXY=x\n",
        "ok",
        (
            "! .env, line 3 sets http_proxy, which the doctor does not use\n",
            "! .env, line 5 sets SSL_CERT_DIR, which the doctor does not use\n",
            "0 problems, 3 warnings.",
        ),
        environ={"NO_PROXY": "127.0.0.1"},
    ),
    Row(
        "a null byte",
        "LANGSMITH_API_KEY={key}\0b\n" + AT,
        "key-missing",
        ("line 1: LANGSMITH_API_KEY has a null byte, so load_dotenv() fails there",),
        environ={"LANGSMITH_ENDPOINT": "{url}"},
    ),
    Row(
        "a placeholder",
        "LANGSMITH_API_KEY=<your-api-key>\n" + AT,
        "key-malformed",
        ("placeholder", "key        \u2026  .env line 1, as load_dotenv() loads it"),
    ),
    Row(
        "curly quotes, without which the client uses the key",
        "LANGSMITH_API_KEY=\u201c{key}\u201d\n" + AT,
        "ok",
        (
            "LANGSMITH_API_KEY in .env, line 1 has extra characters around the key: remove",
            "0 problems, 3 warnings.",
        ),
    ),
    Row(
        "two switches that disagree",
        "LANGSMITH_API_KEY={key}\nLANGSMITH_TRACING=true\nLANGCHAIN_TRACING_V2=0\n" + AT,
        "ok",
        ("overrides LANGSMITH_TRACING=true, so tracing is off; remove one of them",),
    ),
    Row(
        "one workspace is possible",
        "\nLANGSMITH_API_KEY={key}\n" + AT,
        "workspace-required",
        (
            "key        lsv2_sk_\u2026{end}  .env line 2, as load_dotenv() loads it\n",
            "Add this to .env, or run safe-langsmith doctor --fix:\n"
            "  LANGSMITH_WORKSPACE_ID={own}  # Research\n",
            "1 problem, 1 warning. Details: safe-langsmith doctor -v\n",
        ),
        organization_key,
    ),
    Row(
        "two are possible, and the file is named",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "workspace-required",
        (
            "Add one of these to my.env:\n"
            "  LANGSMITH_WORKSPACE_ID={own}  # Research\n"
            "  LANGSMITH_WORKSPACE_ID={other}  # Production\n",
        ),
        two_workspaces,
        options=("--env-file", "my.env"),
    ),
    Row(
        "one is possible, and the file is named",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "workspace-required",
        ("Add this to my.env, or run safe-langsmith doctor --fix --env-file my.env:\n",),
        organization_key,
        options=("--env-file", "my.env"),
    ),
    Row(
        "the shell has an older key",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "stale-setting",
        (
            f"key        lsv2_pt_\u2026{GONE[-4:]}  LANGSMITH_API_KEY\n",
            "call load_dotenv(override=True) in the program (not visible here)",
        ),
        environ={"LANGSMITH_API_KEY": GONE, "LANGSMITH_ENDPOINT": "{url}"},
    ),
    Row(
        "the shell has an older key, and the file the endpoint",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "unknown",
        ("unset LANGSMITH_API_KEY in the shell, if the key in the file is the right one",),
        environ={"LANGSMITH_API_KEY": GONE},
        asks=False,
    ),
    Row(
        "an empty line",
        "LANGSMITH_API_KEY={key}\nLANGSMITH_WORKSPACE_ID=\n" + AT,
        "workspace-required",
        ("\n  LANGSMITH_WORKSPACE_ID={own}  # Research\n",),
        organization_key,
    ),
    Row(
        "the shell has what the file says",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "workspace-required",
        ("key        lsv2_sk_\u2026{end}  LANGSMITH_API_KEY\n", "Run:\n  export LANGS"),
        organization_key,
        environ={"LANGSMITH_API_KEY": "{key}", "LANGSMITH_ENDPOINT": "{url}"},
    ),
    Row(
        "the shell's variable of the other prefix",
        "LANGSMITH_API_KEY={key}\n" + AT,
        "workspace-mismatch",
        ("\n  export LANGCHAIN_WORKSPACE_ID={own}  # Research\n",),
        environ={"LANGCHAIN_WORKSPACE_ID": scenarios.STRANGE},
    ),
    Row(
        "a key that refers to a variable",
        "LANGSMITH_API_KEY=${{MINE}}\n" + AT,
        "unknown",
        (
            "LANGSMITH_API_KEY in .env, line 1 refers to another variable, which is not",
            "run print(safe_langsmith.diagnose()) in your program",
        ),
        environ={"MINE": "{key}"},
        asks=False,
    ),
    Row(
        "an endpoint that refers to one, so that nobody knows where the key goes",
        "LANGSMITH_API_KEY={key}\nLANGSMITH_ENDPOINT=${{MINE}}\n",
        "unknown",
        ("LANGSMITH_ENDPOINT in .env, line 2 refers to another variable",),
        asks=False,
    ),
    Row(
        "one that the shell sets",
        "LANGSMITH_API_KEY={key}\nLANGSMITH_ENDPOINT=${{MINE}}\n",
        "ok",
        environ={"LANGSMITH_ENDPOINT": "{url}"},
    ),
    Row(
        "an endpoint for the shell's key",
        AT,
        "unknown",
        (
            "LANGSMITH_ENDPOINT in .env, line 1 names {url}, but the key is not from",
            "if that endpoint is yours, put the key into the same file",
        ),
        environ={"LANGSMITH_API_KEY": "{key}"},
        asks=False,
    ),
    Row(
        "an endpoint for the shell's key, which cannot be used in any case",
        AT,
        "key-malformed",
        ("not checked with LangSmith: LANGSMITH_ENDPOINT in .env",),
        environ={"LANGSMITH_API_KEY": f"{GONE}\u00e9"},
        asks=False,
    ),
    Row(
        "destinations of traces for the shell's key",
        'LANGSMITH_RUNS_ENDPOINTS={{"{url}": "{key}"}}\n',
        "unknown",
        ("LANGSMITH_RUNS_ENDPOINTS in .env, line 1, but the key is not from that file",),
        environ={"LANGSMITH_API_KEY": GONE},
        asks=False,
    ),
    Row(
        "a file of profiles for the shell's key",
        "LANGSMITH_CONFIG_FILE=theirs.json\n",
        "unknown",
        ("LANGSMITH_CONFIG_FILE in .env, line 1, but the key is not from that file",),
        environ={"LANGSMITH_API_KEY": GONE, "LANGSMITH_ENDPOINT": "{url}"},
        asks=False,
    ),
    Row(
        "a name that nobody reads",
        "LANGSMITH_APIKEY={key}\n",
        "key-missing",
        (".env, line 1 sets LANGSMITH_APIKEY, but nothing reads it",),
        environ={"LANGSMITH_ENDPOINT": "{url}"},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_in_this_folder(
    row: Row,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"url": server.url, **row.world(server)}
    names["end"] = names["key"][-4:]
    for name, value in row.environ.items():
        monkeypatch.setenv(name, value.format(**names))
    Path(row.options[-1] if row.options else ".env").write_text(row.file.format(**names))
    before = dict(os.environ)
    code = {"ok": 0, "unknown": 3}.get(row.code, 1)
    assert main(["doctor", *row.options]) == code
    shown = capsys.readouterr().out
    assert rows_of(shown) <= 23
    joined = " ".join(shown.split())
    for text in (text.format(**names) for text in row.shows):
        assert text in shown or " ".join(text.split()) in joined, shown
    assert main(["doctor", "-v", *row.options]) == code
    withheld = "not checked with LangSmith: "
    assert (withheld in capsys.readouterr().out) == (withheld in shown)
    data, again = run_json(capsys, *row.options)
    assert (again, data["code"]) == (code, row.code)
    assert (data["problems"] > 0) == (code == 1)
    # The other commands use the same settings.
    server.clear()
    who = main(["whoami", *row.options])
    out, err = capsys.readouterr()
    assert (who == 3) == (not row.asks)
    assert ("nothing was sent: " in err) == (not row.asks)
    assert bool(server.exchanges) <= row.asks
    assert main(["replay", ".", *row.options]) in (0, 2, 3)
    capsys.readouterr()
    assert dict(os.environ) == before
    assert_no_secret(shown + json.dumps(data) + out + err, [names["key"], GONE])


@pytest.mark.parametrize(
    ("machine", "named", "sent"),
    [
        ("default", False, False),
        ("default", True, True),
        ("machine 127.0.0.1", False, True),
    ],
)
@pytest.mark.parametrize("variable", [True, False])
def test_a_login_in_netrc(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machine: str,
    named: bool,
    sent: bool,
    variable: bool,
) -> None:
    """A `default` login is not sent to a host that is named only in a found file."""
    Path(".env").write_text(
        f"LANGSMITH_API_KEY={healthy(server)['key']}\n{AT}".format(url=server.url)
    )
    logins = (tmp_path / "logins") if variable else Path.home() / ".netrc"
    logins.write_text(f"{machine} login me password pa55word\n")
    logins.chmod(0o600)
    if variable:
        monkeypatch.setenv("NETRC", str(logins))
    before = dict(os.environ)
    for command in (["doctor"], ["whoami"], ["can-i", "runs:create"]):
        server.clear()
        main([*command, *(["--env-file", ".env"] if named else [])])
        assert server.exchanges
        assert any("authorization" in e.headers for e in server.exchanges) == sent
        assert dict(os.environ) == before


def test_a_key_of_another_region(
    serve_tls: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file names no endpoint, so the other regions are probed."""
    for region in REGIONS:
        serve_tls(region.api.removeprefix("https://"))
    there = serve_tls("eu.api.smith.langchain.com")
    Path(".env").write_text(f"LANGSMITH_API_KEY={scenarios.personal(there)['key']}\n")
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("\u2717 wrong-region: ")
    line = "LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com"
    assert f"Add this to .env, or run safe-langsmith doctor --fix:\n  {line}\n" in shown


def test_an_official_endpoint_for_the_shell_s_key(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = serve_tls("eu.api.smith.langchain.com")
    monkeypatch.setenv("LANGSMITH_API_KEY", scenarios.personal(there)["key"])
    for host in ("eu.api.smith.langchain.com", "eu.smith.langchain.com"):
        Path(".env").write_text(f"LANGSMITH_ENDPOINT=https://{host}\n")
        main(["doctor"])
        assert "was not asked" not in capsys.readouterr().out
    assert there.exchanges


def test_a_script_in_another_folder(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A script loads the `.env` in its folder; those without our settings are ignored."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    for name, line in (("a", "OTHER=1"), (".hidden", "LANGSMITH_API_KEY=1"), ("b b", "")):
        Path(name).mkdir()
        Path(name, ".env").write_text(line)
    note = "a script in b b/ loads b b/.env; to check it: --env-file 'b b/.env'"
    main(["doctor"])
    assert "a script in" not in capsys.readouterr().out
    Path("b b", ".env").write_text(f"LANGSMITH_API_KEY={healthy(server)['key']}")
    for options in ((), ("-v",)):
        main(["doctor", *options])
        assert note in " ".join(capsys.readouterr().out.split())
    assert main(["doctor", *shlex.split(note.partition("check it: ")[2])]) == 0
    assert main(["doctor", "--no-env-file"]) == 1


def test_a_folder_that_is_gone() -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    with loaded(None) as program:
        assert program == Program()


def test_the_failed_traces_are_those_of_the_file(
    server: SimulatedLangSmith, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("traces").mkdir()
    lines = f"LANGSMITH_API_KEY={healthy(server)['key']}\nLANGSMITH_ENDPOINT={server.url}\n"
    Path(".env").write_text(f"{lines}LANGSMITH_FAILED_TRACES_DIR=traces\n")
    assert main(["replay", "--env-file", ".env"]) == 0
    assert capsys.readouterr().out == "0 batches sent, 0 left\n"
    assert main(["replay", "--no-env-file"]) == 2
    Path(".env").write_text("LANGSMITH_API_KEY=k\nLANGSMITH_FAILED_TRACES_DIR=later\n")
    assert main(["replay", "--env-file", ".env"]) == 2
    assert "no traces were saved there" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [(), ("my traces",)])
@pytest.mark.parametrize(
    ("lines", "shell"),
    [
        ("LANGSMITH_API_KEY={theirs}\nLANGSMITH_ENDPOINT={url}\n", {}),
        ("LANGSMITH_API_KEY={theirs}\n", {"LANGSMITH_ENDPOINT": "{url}"}),
        ("", {"LANGSMITH_API_KEY": "{own}", "LANGSMITH_ENDPOINT": "{url}"}),
    ],
)
def test_no_traces_are_sent_with_a_file_that_was_found(
    server: SimulatedLangSmith,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    shell: dict[str, str],
    folder: tuple[str, ...],
) -> None:
    """`replay` may run in any folder, so it uses only a `.env` that the user names."""
    names = {"url": server.url, "own": healthy(server)["key"]}
    names["theirs"] = healthy(server)["key"]
    for name, value in shell.items():
        monkeypatch.setenv(name, value.format(**names))
    Path("my traces").mkdir()
    saved = Path("my traces", "trace_1.json")
    saved.write_text("{}")
    dotenv = f"{lines.format(**names)}LANGSMITH_FAILED_TRACES_DIR='my traces'\n"
    Path(".env").write_text(dotenv)
    assert main(["replay", *folder]) == 2
    out, err = capsys.readouterr()
    assert (out, server.exchanges, saved.exists()) == ("", (), True)
    assert "comes from .env, line 1, and replay uses only a .env that you name" in err
    command = err.partition("run: safe-langsmith ")[2].strip()
    assert shlex.split(command) == ["replay", *folder, "--env-file", ".env"]
    assert main(shlex.split(command)) == 1
    assert "1 left" in capsys.readouterr().out


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_strict(
    strict: tuple[str, ...],
    code: int,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --strict, a warning (tracing is off) fails the check."""
    monkeypatch.setenv("LANGSMITH_API_KEY", healthy(server)["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    data, ended = run_json(capsys, *strict)
    assert (ended, data["code"], data["problems"], data["warnings"]) == (code, "ok", 0, 1)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    data, ended = run_json(capsys, *strict)
    assert (ended, data["warnings"]) == (0, 0)
    assert main(["doctor", *strict]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("\u2713 LangSmith accepts these settings\n")
    assert "\n0 problems, 0 warnings. " in shown
    assert main(["doctor", *strict, "--offline"]) == 3


# --- GitHub Actions -------------------------------------------------------------------


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a job's summary, which already has text from an earlier step."""
    path = Path("summary.md")
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_in_github_actions(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    summary: Path,
) -> None:
    key = two_workspaces(server)["key"]
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    *_, last = out.splitlines()
    assert last.endswith(" To fix it: choose one and set LANGSMITH_WORKSPACE_ID")
    assert last.startswith("::error title=safe-langsmith%3A workspace-required::GET /ses")
    assert err == ""
    text = summary.read_text()
    assert text.startswith(
        "before\n### safe-langsmith doctor\n\n```text\n\u2717 workspace-re"
    )
    assert text.endswith("Details: safe-langsmith doctor -v\n```\n")
    heading, *lines = out.splitlines()[-5:-2]
    assert heading == "Set one of these in the env: of the job:"
    assert all(line.startswith("  LANGSMITH_WORKSPACE_ID: ") for line in lines)
    assert main(["doctor", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["problems"] == 1
    assert err == f"{last}\n"
    assert_no_secret(text + out + err, [key])
    os.mkfifo("pipe")
    for odd in (Path("no") / "such" / "file", Path("pipe"), Path()):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(odd))
        assert main(["doctor"]) == 1
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert main(["doctor"]) == 1
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    capsys.readouterr()
    assert main(["doctor"]) == 1
    assert "::" not in capsys.readouterr().out


FORGED = "::error::forged ##[error]forged "


@pytest.mark.parametrize("said", [FORGED * 9, "x" + FORGED.replace(" ", "") * 20])
@pytest.mark.parametrize("options", [(), ("-v",)])
def test_no_line_is_a_command_but_ours(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    summary: Path,
    said: str,
    options: tuple[str, ...],
) -> None:
    """GitHub Actions runs a line that starts with ``::``, even after spaces."""
    own = server.add_workspace(said)
    key = server.add_personal_key(
        workspaces=[own, server.add_workspace(f"y {said}")]
    ).secret
    for name, value in (("API_KEY", key), ("ENDPOINT", server.url)):
        monkeypatch.setenv(f"LANGSMITH_{name}", value)
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", "00000000-0000-4000-8000-000000000000")
    server.answer("/sessions", status=403, body={"detail": said})
    assert main(["doctor", *options]) in (1, 3)
    *lines, last = capsys.readouterr().out.splitlines()
    assert any("error" in line for line in lines)
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)
    assert last.startswith(("::error title=safe-", "::warning title=safe-"))
    assert "##[" not in last
    assert main(["whoami"]) in (0, 1, 3)
    for line in "".join(capsys.readouterr()).splitlines():
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


EVIL = "100%\n::set-env name=A::b\r```\n# big"
VERDICTS = [
    ({"code": "ok", "summary": "fine."}, ""),
    ({"code": "unknown", "summary": EVIL}, "::warning title=safe-langsmith::"),
    ({"code": "access-denied", "summary": EVIL}, "::error title=safe-langsmith%3A access-"),
]


@pytest.mark.parametrize(("changes", "begins"), VERDICTS)
def test_an_annotation_is_one_line(
    changes: dict[str, Any],
    begins: str,
    capsys: pytest.CaptureFixture[str],
    summary: Path,
) -> None:
    """Nothing in it can end the code block of the summary."""
    diagnosis = replace(facts().diagnosis, **changes)
    on = Setup(held=Settings(), tracing=Setting("on"))
    found = replace(report(facts(diagnosis=diagnosis, setup=on)), warnings=())
    announce(found, sys.stdout)
    shown = capsys.readouterr().out
    assert shown.startswith(begins)
    assert shown.count("\n") == bool(begins)
    if begins:
        assert "100%25%0A%3A%3A".replace("%3A", ":") in shown
        assert "%0D```%0A" in shown
    lines = summary.read_text().splitlines()
    fence = lines[3].removesuffix("text")
    assert lines.count(fence) == 1
    assert lines[-1] == fence


def test_a_warning_in_github_actions(
    capsys: pytest.CaptureFixture[str], summary: Path
) -> None:
    found = replace(report(facts()), warnings=("a", "b, c: d"))
    announce(found, sys.stdout)
    assert capsys.readouterr().out == "::warning title=safe-langsmith::a; b, c: d\n"


# --- what to run ----------------------------------------------------------------------


def choice(*names: str, **changes: Any) -> Diagnosis:
    """Return the diagnosis of a key that can use workspaces with these names."""
    found = [WorkspaceInfo(f"id-{n}", name) for n, name in enumerate(names)]
    changes.setdefault("next_steps", ("choose one and set LANGSMITH_WORKSPACE_ID",))
    return Diagnosis(
        "workspace-required", False, "choose.", workspaces=tuple(found), **changes
    )


def test_a_name_is_not_a_command() -> None:
    """By default, interactive zsh runs the text after a # as part of the command."""
    diagnosis = choice("$(touch stolen)", "`touch stolen`; touch stolen #")
    shown = rendered(report(facts(diagnosis=diagnosis)), Look())
    lines = shown.partition("Run one of these:\n")[2].splitlines()[:2]
    assert [line.partition("#")[2] for line in lines] == [
        " touch stolen",
        " touch stolen touch stolen",
    ]
    for shell in filter(None, map(shutil.which, ("bash", "zsh"))):
        subprocess.run([shell, "-i"], input="\n".join(lines), text=True, check=False)
    assert not Path("stolen").exists()


def test_a_workspace_that_is_not_an_id() -> None:
    """Such a workspace is not offered: it could not be pasted safely."""
    odd = (WorkspaceInfo("a b", "Odd"), WorkspaceInfo("a", "Plain"))
    diagnosis = replace(choice(), workspaces=odd)
    found = report(facts(diagnosis=diagnosis))
    assert found.commands == (("export LANGSMITH_WORKSPACE_ID=a", "Plain"),)
    assert found.heading == "Run:"


def test_a_notebook_takes_no_comment() -> None:
    """%env uses the rest of the line as the value."""
    machine = Machine("3.12.1", "0.15.1", "Linux", "Jupyter")
    shown = rendered(report(facts(diagnosis=choice("Research"), machine=machine)), Look())
    assert "\n  # Research\n  %env LANGSMITH_WORKSPACE_ID=id-0\n" in shown


def test_an_argument_is_put_right_where_it_stands() -> None:
    passed = Setting("x", Source("argument", "workspace_id"))
    setup = Setup(held=Settings(workspace=passed))
    diagnosis = choice("Research", next_steps=("pass another one",))
    found = report(facts(diagnosis=diagnosis, setup=setup))
    assert found.commands == ()
    assert "To fix it:\n  - pass another one\n" in rendered(found, Look())
    assert "\nRun" not in rendered(found, Look(), verbose=True)


def test_two_lines_of_a_file() -> None:
    """Both the endpoint and the workspace have to be set."""
    held = Settings(endpoint=Setting("x", Source("environment", "LANGSMITH_ENDPOINT")))
    fixes = (Fix("LANGSMITH_ENDPOINT", "https://a"), Fix("LANGSMITH_WORKSPACE_ID", "b"))
    key = Setting("k", Source("environment", "LANGSMITH_API_KEY"))
    setup = Setup(held=replace(held, key=key))
    places = {"LANGSMITH_ENDPOINT": "f, line 1", "LANGSMITH_API_KEY": "f, line 2"}
    program = Program(Path("f"), "f", places)
    diagnosis = Diagnosis("wrong-region", False, "there.", fixes=fixes)
    found = report(facts(diagnosis=diagnosis, setup=setup), program)
    assert found.heading == "Add this to f, or run safe-langsmith doctor --fix:"
    assert [c.text for c in found.commands] == [
        "LANGSMITH_ENDPOINT=https://a",
        fixes[1].__str__(),
    ]


LONG = "word " * 300


def test_what_is_too_long_for_a_screen() -> None:
    """Each part is cut, with a mark; the counts are shown, and -v shows everything."""
    steps = tuple(f"{n} {LONG}" for n in range(9))
    diagnosis = Diagnosis(
        "access-denied", False, LONG, next_steps=steps, server_message=LONG
    )
    found = report(facts(diagnosis=diagnosis))
    shown = rendered(found, Look())
    assert rows_of(shown) <= 22
    assert "\n    ...\n" in shown
    assert shown.splitlines()[-1].startswith("1 problem, 0 warnings. Details: ")
    assert rendered(found, Look(), verbose=True).count("word") >= 3000
    many = choice(*(f"{n} {LONG}" for n in range(10)))
    assert rows_of(rendered(report(facts(diagnosis=many)), Look())) <= 22
    assert "  # " not in rendered(report(facts(diagnosis=many)), Look(42))


def test_an_empty_variable_is_named() -> None:
    """For example, a CI secret is empty in a run from a fork."""
    key = Setting(None, Source("environment", "LANGSMITH_API_KEY"))
    diagnosis = Diagnosis("key-missing", False, "no key.", key_kind="missing")
    found = report(facts(diagnosis=diagnosis, setup=Setup(held=Settings(key))))
    shown = rendered(found, Look())
    assert "\n  key        not set  LANGSMITH_API_KEY is empty\n" in shown
