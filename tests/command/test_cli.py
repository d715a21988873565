"""Tests for the command, as a separate process and through main()."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scenarios import GONE
from stage import assert_no_secret

import safe_langsmith
from safe_langsmith._command.asking import _progress
from safe_langsmith._command.cli import main
from safe_langsmith._command.explanations import EXPLANATIONS
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith.testing import SimulatedLangSmith


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a separate process, in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "safe_langsmith", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def healthy(server: SimulatedLangSmith) -> dict[str, str]:
    """Return settings that work."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    return {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}


@pytest.fixture
def settings(server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set working settings in the environment."""
    found = healthy(server)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


# --- as a process ---------------------------------------------------------------------


def test_doctor_of_healthy_settings(server: SimulatedLangSmith) -> None:
    settings = healthy(server)
    done = command("doctor", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    key = settings["LANGSMITH_API_KEY"]
    assert done.stdout == (
        "✓ LangSmith accepts these settings\n"
        f"  key        lsv2_pt_…{key[-4:]}  LANGSMITH_API_KEY\n"
        f"  endpoint   {server.url}  LANGSMITH_ENDPOINT\n"
        "  workspace  not set\n"
        "! tracing    off: set LANGSMITH_TRACING=true\n"
        "If your program still gets a 403: safe-langsmith run -- python your_program.py\n"
        "0 problems, 1 warning. Details: safe-langsmith doctor -v\n"
    )
    done = command("doctor", "-v", **settings)
    shown = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        f"kind personal key lsv2_pt_…{key[-4:]}",
        f"URL {server.url} (LANGSMITH_ENDPOINT)",
        f"✓ active {settings_workspace(server)} Research",
        "✓ runs:create trace",
        "! status off (default): set LANGSMITH_TRACING=true",
        "0 problems, 1 warning",
    ):
        assert line in shown


def settings_workspace(server: SimulatedLangSmith) -> str:
    """Return the id of the only workspace."""
    (workspace,) = server._world.workspaces.values()
    return workspace.id


def test_doctor_on_a_terminal_that_knows_few_characters(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Forschung für später", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    found = {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}
    done = command("doctor", "--verbose", **found, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"lsv2_pt_...{key[-4:]}" in done.stdout
    assert "Forschung f?r sp?ter" in done.stdout


def test_no_text_fails_on_such_a_terminal(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["explain"]) == 0
    assert main(["doctor"]) == 1
    own = server.add_workspace("Forschung für später…")
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    clear_caches()
    assert main(["whoami"]) == 0
    monkeypatch.undo()
    assert b"lsv2_pt_...6789" in raw.getvalue()
    assert b"(Forschung f?r sp?ter...)" in raw.getvalue()


@pytest.mark.slow
def test_version_and_help() -> None:
    version = command("--version")
    assert version.stdout == f"safe-langsmith {safe_langsmith.__version__}\n"
    assert "usage: safe-langsmith run [-h] -- PROGRAM ...\n" in command("run", "-h").stdout
    for name in ("doctor", "explain", "demo"):
        shown = command(name, "--help")
        assert shown.returncode == 0
        assert f"  safe-langsmith {name}" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("docter",), "unknown command 'docter'; did you mean doctor?"),
        (("403",), "unknown command '403'; see safe-langsmith --help"),
        (("doctor", "--env-file", ".", "--no-env-file"), "'.' is not a regular file"),
        (("doctor", "--no-env-file", "--env-file", __file__), "not allowed with"),
        (("doctor", "--no-env-file", "--fix"), "--fix cannot be combined with"),
        (("doctor", "--env-file", "no/such/file"), "there is no file 'no/such/file'"),
        (("doctor", "--env-file", "."), "'.' is not a regular file"),
        (("doctor", "more"), "unrecognized arguments: more; see safe-langsmith doctor --h"),
        (
            ("can-i", "runs:crate"),
            "'runs:crate'; did you mean runs:create? see safe-langsm",
        ),
        (("can-i", "nonsense"), "LangSmith has no permission 'nonsense'; it has: "),
        (("explain", "workspace-requird"), "did you mean workspace-required?"),
        (("explain", "403"), "to check a 403: safe-langsmith doctor; all codes: safe-lan"),
        (("doctor", "--env-file", "/dev/null"), "'/dev/null' is not a regular file"),
        ((GONE,), "unknown command 'lsv2_pt_\u20266789'"),
        (("explain", GONE), "unknown code 'lsv2_pt_\u20266789'"),
        (("doctor", GONE), "unrecognized arguments: lsv2_pt_\u20266789"),
        (("doctor", "--env-file", GONE), "there is no file 'lsv2_pt_\u20266789'"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and one line explains the usage error."""
    try:
        code: int | str | None = main(arguments)
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert says in shown.err
    assert len(shown.err.splitlines()) == 1
    assert_no_secret(shown.err, [GONE])


def test_nothing_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The help is shown with exit code 2, so that a script notices an empty variable."""
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: safe-langsmith ")
    assert (shown.out.count("doctor"), shown.err) == (2, "")


IMPORTS = """
import sys
from safe_langsmith._command.cli import main
try:
    main(sys.argv[1:])
finally:
    print("langsmith" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "imports"),
    [
        (("--version",), False),
        (("completion", "bash"), False),
        (("explain",), False),
        (("doctor", "--help"), False),
        (("doctor", "--offline"), True),
    ],
)
def test_the_sdk_is_imported_when_it_is_needed(
    arguments: tuple[str, ...], imports: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout
    assert done.stderr == f"{imports}\n"


def test_wrong_use_as_a_process() -> None:
    done = command("docter")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


# --- through main() -------------------------------------------------------------------


def test_doctor_of_a_problem(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("Research", "Production"):
        server.add_workspace(name)
    key = server.add_service_key(workspaces=None).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    assert main(["doctor"]) == 1
    text, errors = capsys.readouterr()
    assert text.startswith("✗ workspace-required: this key needs a workspace")
    assert "Research" in text
    assert "Production" in text
    assert errors == ""
    assert main(["doctor", "--json"]) == 1
    shown = capsys.readouterr().out
    data = json.loads(shown)
    assert data["code"] == "workspace-required"
    assert [w["name"] for w in data["diagnosis"]["workspaces"]] == [
        "Research",
        "Production",
    ]
    assert_no_secret(text + shown, [key])


def test_doctor_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    assert main(["doctor"]) == 3
    assert "refused the connection" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        (
            {"LANGSMITH_API_KEY": "<your-api-key>"},
            "correct LANGSMITH_API_KEY: it is a placeholder",
        ),
        (
            {"LANGSMITH_ENDPOINT": "https://smith.langchain.com"},
            "set LANGSMITH_ENDPOINT=https://api.smith.langchain.com",
        ),
        (
            {"LANGSMITH_BASE_URL": "https://langsmith.example/api"},
            "if LANGSMITH_BASE_URL contains the endpoint to use, rename it to LANGSMITH",
        ),
        (
            {"LANGSMITH_API_KEY": "", "LANGSMITH_APIKEY": GONE},
            "if LANGSMITH_APIKEY contains the key to use, rename it to LANGSMITH_API_KEY",
        ),
    ],
)
def test_without_an_answer_what_is_seen_anyway_is_a_step(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    step: str,
) -> None:
    for name, value in {"LANGSMITH_API_KEY": GONE, **settings}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("? LangSmith could not be reached: ")
    assert f" - {step}" in shown.partition("To fix it:")[2]


def test_a_file_of_profiles_is_not_for_load_dotenv(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file may name an endpoint, but load_dotenv() cannot load it."""
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    path.write_text('{"profiles": {"work": {}}}')
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    assert main(["doctor"]) == 3
    assert "load_dotenv" not in capsys.readouterr().out


def test_a_key_that_refers_to_a_variable_is_reported_once(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".env").write_text("LANGSMITH_API_KEY=${OTHER}\n")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert main(["doctor"]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("? not checked with LangSmith: LANGSMITH_API_KEY in .env, l")
    assert "no key is set" not in shown
    assert shown.count("LANGSMITH_API_KEY") == 1
    assert "result unknown, 0 warnings" in shown


def test_doctor_changes_nothing(
    server: SimulatedLangSmith, settings: dict[str, str]
) -> None:
    before, files = dict(os.environ), sorted(Path.cwd().parent.rglob("*"))
    assert main(["doctor"]) == 0
    assert dict(os.environ) == before
    assert sorted(Path.cwd().parent.rglob("*")) == files
    assert {e.method for e in server.exchanges} == {"GET"}


@pytest.mark.parametrize("named", [True, False])
def test_doctor_reads_the_dotenv(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: bool,
) -> None:
    """It reads the nearest one from this folder upwards, or the one that is named."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    name = "settings.env" if named else ".env"
    lines = f"LANGSMITH_API_KEY={key}\nLANGCHAIN_TRACING_V2=true\n"
    Path(name).write_text(f"\n{lines}LANGSMITH_PROJECT=mine\n")
    before = dict(os.environ)
    options = ["--env-file", name] if named else []
    for command in (["doctor"], ["whoami"], ["can-i", "runs:create"]):
        assert main([*command, *options]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("✓ LangSmith accepts these settings\n")
    assert f"LANGSMITH_API_KEY in {name} line 2" in shown or f"  {name} line 2, as" in shown
    assert main(["doctor", "-v", *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"project mine (LANGSMITH_PROJECT in {name}, line 4)" in shown
    assert f"tracing on (LANGCHAIN_TRACING_V2 in {name}, line 3)" in shown
    assert_no_secret(shown, [key])
    assert dict(os.environ) == before
    for command in (["doctor"], ["whoami"], ["can-i", "runs:create"]):
        assert main([*command, "--no-env-file"]) == 1


@pytest.mark.parametrize("rate", ["2", "1.5", "often"])
@pytest.mark.parametrize("name", ["LANGSMITH", "LANGCHAIN"])
def test_settings_that_the_sdk_refuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rate: str,
    name: str,
) -> None:
    """Each command names the variable that is set; the SDK's message may not."""
    monkeypatch.setenv(f"{name}_TRACING_SAMPLING_RATE", rate)
    says = "langsmith cannot create a client with these settings: "
    step = f"correct {name}_TRACING_SAMPLING_RATE: it must be a number from 0 to 1"
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert says in " ".join(shown.out.split())
    assert f"To fix it: - {step}" in " ".join(shown.out.split())
    assert shown.err == ""
    for command in (["whoami"], ["can-i", "runs:create"]):
        assert main(command) == 1
        shown = capsys.readouterr()
        assert (shown.out, len(shown.err.splitlines())) == ("", 1)
        assert says in shown.err
        assert shown.err.endswith(f"; {step}\n")
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == 1


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    everything = capsys.readouterr().out
    for explanation in EXPLANATIONS:
        assert f"\n{explanation.code} " in f"\n{everything}"
        assert main(["explain", explanation.code]) == 0
        text = capsys.readouterr().out
        assert text.splitlines()[0] == explanation.code
        assert main(["explain", explanation.code.upper()]) == 0
        assert capsys.readouterr().out == text
        heads = (
            "What it means",
            "How to fix it",
            "How it is detected",
            "Fixed automatically",
        )
        assert all(f"\n\n{head}\n  " in text for head in heads)
        assert max(map(len, text.splitlines())) <= 80
    assert max(map(len, everything.splitlines())) <= 80


def test_output_into_something_that_is_not_a_terminal() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        assert main(["explain", "key-legacy"]) == 0
    assert caught.getvalue().startswith("key-legacy\n")


def test_a_reader_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `safe-langsmith explain | head -1`: there is no traceback and no error."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["explain"]) == 0
        monkeypatch.undo()


@pytest.mark.slow
def test_an_interrupt(server: SimulatedLangSmith) -> None:
    """Interrupt a separate process that waits for LangSmith.

    If a signal arrives just before a system call, Python handles it only after the call,
    and may lose it in a finalizer. So wait until the call has begun.
    """
    server.answer("/sessions", status=None, delay=60)
    doctor = [sys.executable, "-m", "safe_langsmith", "doctor"]
    with subprocess.Popen(
        doctor,
        env={**os.environ, **healthy(server)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not server.exchanges:
            time.sleep(0.01)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert process.stderr
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
    assert process.returncode == 130
    server.clear_answers()


@pytest.mark.parametrize(
    ("output", "code", "says"),
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        (">/dev/full", 3, "safe-langsmith: could not write the output: "),
        ("2>&1 >/dev/full", 3, ""),
    ],
)
def test_an_output_that_takes_nothing(output: str, code: int, says: str) -> None:
    """The output is closed, or the disk is full."""
    for words, usual in (("explain", 0), ("doctor --offline --json", 3)):
        line = f'"$0" -m safe_langsmith {words} {output}'
        done = subprocess.run(
            ["sh", "-c", line, sys.executable], capture_output=True, text=True, check=False
        )
        assert done.returncode == (code or usual)
        assert done.stderr.startswith(says)
        assert len(done.stderr.splitlines()) == bool(says)


def test_an_interrupt_while_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())
    assert main(["explain"]) == 130


def test_demo_without_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith("safe_langsmith.testing"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["demo"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "pip install starlette uvicorn" in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    _progress(1, 2)
    _progress(2, 2)
    shown = "\r1 of 2\r2 of 2\n" if is_terminal else ""
    assert stream.getvalue() == shown
