"""Tests for `doctor --fix` with real files, a simulated server, and a real terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import resource
import select
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import dotenv
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scenarios import STRANGE, Scenario, list_projects
from stage import PATIENT, assert_no_secret, staged
from table import SCENARIOS
from test_cli import command, settings_workspace

from safe_langsmith import Diagnosis, Fix, diagnose
from safe_langsmith._command.cli import main
from safe_langsmith._command.fix import UnwrittenError, changed, write
from safe_langsmith.testing import SimulatedLangSmith

FILE, KEPT = Path(".env"), Path(".env.bak")
NAME = "LANGSMITH_WORKSPACE_ID"
DOCTOR = ("doctor", "--fix", "--yes")
posix = pytest.mark.skipif(os.name != "posix", reason="the terminal and signals of POSIX")


def key_and_workspace(server: SimulatedLangSmith) -> tuple[str, str]:
    """Return an organization-scoped key and the id of its only workspace."""
    own = server.add_workspace("Research", projects=1)
    return server.add_service_key(workspaces=None).secret, own.id


def names() -> list[str]:
    """Return the names of all files in this folder."""
    return sorted(path.name for path in Path().iterdir())


def set_in_environment(lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of these `.env` lines, as a shell would."""
    for name, value in dotenv.dotenv_values(stream=io.StringIO(lines)).items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def lines(server: SimulatedLangSmith) -> str:
    """Return the text of a `.env` without a workspace."""
    key, _ = key_and_workspace(server)
    return f"# mine\nLANGSMITH_API_KEY={key}\n\nLANGSMITH_ENDPOINT={server.url} # here\n"


# --- the file -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_missing_workspace(server: SimulatedLangSmith, lines: str) -> None:
    """The output has the diagnosis, the change, the backup, and the new diagnosis."""
    FILE.write_text(lines)
    done = command(*DOCTOR)
    own = settings_workspace(server)
    assert (done.returncode, done.stderr) == (0, "")
    assert FILE.read_text() == f"{lines}{NAME}={own}\n"
    assert KEPT.read_text() == lines
    assert names() == [".env", ".env.bak"]
    first, _, rest = done.stdout.partition("\nChange in ")
    assert first.startswith("\u2717 workspace-required: this key needs a workspace")
    assert " .env line 2, as load_dotenv() loads it\n" in first
    assert "\n! tracing    off: set LANGSMITH_TRACING=true\n" in first
    assert "Add this" not in first
    path, change, written, blank, verdict, *_ = rest.splitlines()
    assert path == ".env:"
    assert (change, blank) == (f"  + {NAME}={own}", "")
    assert written.startswith("Written. Backup: ")
    assert verdict == "\u2713 LangSmith accepts these settings"
    assert_no_secret(done.stdout, re.findall("lsv2_.*", lines))
    # A program that loads the file works now.
    program = "import dotenv, langsmith; dotenv.load_dotenv('.env'); "
    program += "print([p.name for p in langsmith.Client().list_projects()])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout == b"['Research project 1']\n"


@pytest.fixture
def web_app(server: SimulatedLangSmith) -> str:
    """Return a `.env` with a self-hosted web app's address; the API is at a subpath."""
    key, _ = key_and_workspace(server)
    return f"LANGSMITH_API_KEY={key}\nLANGCHAIN_ENDPOINT='{server.url}' # the web app\n"


@pytest.mark.parametrize("server", ["self-hosted"], indirect=True)
def test_a_wrong_endpoint_and_then_the_workspace(
    server: SimulatedLangSmith, web_app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The endpoint is corrected, and then the missing workspace is added."""
    FILE.write_text(web_app)
    assert main(DOCTOR) == 0
    own, api = settings_workspace(server), f"{server.url}/api/v1"
    expected = web_app.replace(f"'{server.url}'", f"'{api}'") + f"{NAME}={own}\n"
    assert FILE.read_text() == expected
    assert KEPT.read_text() == web_app
    assert Path(".env.bak.1").read_text() == web_app.replace(f"'{server.url}'", f"'{api}'")
    shown = capsys.readouterr().out
    change = (
        f"  - LANGCHAIN_ENDPOINT={server.url}  (line 2)\n  + LANGCHAIN_ENDPOINT={api}\n"
    )
    assert change in shown
    assert_no_secret(shown, re.findall("lsv2_.*", web_app))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> object:
    """A simulated LangSmith with the layout that the test selects."""
    with SimulatedLangSmith(getattr(request, "param", "cloud")) as simulated:
        yield simulated


@pytest.mark.slow
def test_a_name_in_place_of_the_id(server: SimulatedLangSmith, lines: str) -> None:
    """The line is changed in place; its comment is kept, and not shown."""
    secret = "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"
    text = f'export {NAME} = "Research" # {secret}\n{lines}'
    FILE.write_text(text)
    done = command(*DOCTOR)
    assert done.returncode == 0
    assert FILE.read_text() == text.replace("Research", settings_workspace(server))
    assert f"  - {NAME}=Research  (line 1)\n" in done.stdout
    assert_no_secret(done.stdout + done.stderr, [secret])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_mode_and_owner_are_kept(lines: str, mode: int) -> None:
    FILE.write_text(lines)
    FILE.chmod(mode)
    if os.geteuid() == 0:
        os.chown(FILE, 12345, 23456)
    before = FILE.stat()
    assert main(DOCTOR) == 0
    for file in (FILE, KEPT):
        after = file.stat()
        assert stat.S_IMODE(after.st_mode) == mode
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_a_link_stays_a_link(lines: str) -> None:
    target = Path("shared") / "settings"
    target.parent.mkdir()
    target.write_text(lines)
    FILE.symlink_to(target)
    assert main(DOCTOR) == 0
    assert FILE.readlink() == target
    assert target.read_text().startswith(f"{lines}{NAME}=")
    assert target.with_name("settings.bak").read_text() == lines


def test_no_backup_is_overwritten(lines: str) -> None:
    FILE.write_text(lines)
    for number, name in enumerate((".env.bak", ".env.bak.1")):
        Path(name).write_text(str(number))
    assert main(DOCTOR) == 0
    names = (".env.bak", ".env.bak.1", ".env.bak.2")
    assert [Path(name).read_text() for name in names] == ["0", "1", lines]


def test_a_file_in_a_folder_above(lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FILE.write_text(lines)
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert main(DOCTOR) == 0
    assert NAME in (Path("..") / FILE).read_text()


def test_a_file_that_is_named(
    server: SimulatedLangSmith, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named file is changed even if it has no LangSmith settings yet."""
    set_in_environment(lines, monkeypatch)
    Path("mine").write_text("OTHER=1")
    assert main([*DOCTOR, "--env-file", "mine"]) == 0
    assert Path("mine").read_text() == f"OTHER=1\n{NAME}={settings_workspace(server)}"


@pytest.mark.slow
def test_json(lines: str) -> None:
    """Messages go to stderr; the JSON has the diagnosis after the change."""
    FILE.write_text(lines)
    done = command(*DOCTOR, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, data["code"], data["diagnosis"]["fixes"]) == (0, "ok", [])
    assert (data["problems"], data["env_file"]) == (0, ".env")
    assert "Written." in done.stderr
    assert_no_secret(done.stdout + done.stderr, re.findall("lsv2_.*", lines))


def test_the_environment_is_as_before(lines: str) -> None:
    FILE.write_text(lines)
    before = dict(os.environ)
    assert main(DOCTOR) == 0
    assert dict(os.environ) == before


# --- what is not written --------------------------------------------------------------


def unchanged(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """Run `doctor --fix`, check that it changes no file, and return the output."""
    everything = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    assert main([*DOCTOR, *arguments]) == code
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == everything
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def test_healthy_settings(
    server: SimulatedLangSmith, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FILE.write_text(f"{lines}{NAME}={settings_workspace(server)}\n")
    assert "rit" not in unchanged(capsys, code=0)


def test_two_workspaces(
    server: SimulatedLangSmith, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command picks neither of them, not even with --yes."""
    server.add_workspace("Production")
    FILE.write_text(lines)
    assert "--fix cannot fix this: it only writes an endpoint" in unchanged(capsys)


def test_a_wrong_workspace_is_not_replaced_by_the_only_one(
    lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FILE.write_text(f"{lines}{NAME}={STRANGE}\n")
    assert "proven to be right. It never writes a key." in unchanged(capsys)


@pytest.mark.parametrize("value", ["", "Research"])
def test_a_variable_that_wins(
    lines: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """load_dotenv() does not override a variable that is set, even if it is empty."""
    monkeypatch.setenv(NAME, value)
    FILE.write_text(lines)
    shown = unchanged(capsys)
    assert f"Nothing was written: {NAME} is set in the environment" in shown
    assert f"Set it there: {NAME}=" in shown


def test_no_file(
    server: SimulatedLangSmith,
    lines: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No file is created: the program would not load it."""
    set_in_environment(lines, monkeypatch)
    shown = unchanged(capsys)
    assert "no .env file in this folder or its parents. Set" in shown
    assert f"{NAME}={settings_workspace(server)} where your other settings are" in shown
    FILE.write_text("OTHER=1\n")
    assert ".env has no LangSmith settings" in unchanged(capsys)


def test_a_folder_that_is_gone(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    assert main(DOCTOR) == 1
    assert "no key was sent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("A=1\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"A=1\nB=\xff\n", "line 2 is not UTF-8"),
        (b"A=1\n" * 30_000, "it is larger than 100 kB"),
    ],
)
def test_a_file_that_cannot_be_read(
    content: bytes,
    says: str,
    lines: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_in_environment(lines, monkeypatch)
    FILE.write_bytes(content)
    *_, last = unchanged(capsys).splitlines()
    assert last.startswith("Nothing was written: ")
    assert says in last


def test_a_file_that_is_locked(lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.write_text(lines)
    FILE.chmod(0o400)
    assert ".env is read-only" in unchanged(capsys)


def test_loading_is_switched_off(
    lines: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_in_environment(lines, monkeypatch)
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    FILE.write_text(lines)
    assert "unset PYTHON_DOTENV_DISABLED" in unchanged(capsys)


def test_a_file_cannot_redirect_a_key(
    server: SimulatedLangSmith,
    lines: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A key from the shell is not sent to an address from a file in this folder."""
    (key,) = re.findall("lsv2_.*", lines)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    FILE.write_text(f"LANGSMITH_ENDPOINT={server.url}\n")
    shown = " ".join(unchanged(capsys, code=3).split())
    assert f"names {server.url}, but the key is not from that file" in shown
    assert not server.exchanges


def test_yes_goes_with_fix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--yes"]) == 2
    assert capsys.readouterr().err == "safe-langsmith: --yes works only with --fix\n"


# --- the question ---------------------------------------------------------------------


def test_without_a_terminal(lines: str) -> None:
    FILE.write_text(lines)
    done = command("doctor", "--fix")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith(
        "Not a terminal, so nobody can confirm. Rerun with: doctor --fix --yes\n"
        "\nNothing was written.\n"
    )
    assert FILE.read_text() == lines
    assert names() == [".env"]


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("no\n", 1), (None, 1)])
def test_the_question_in_this_process(
    lines: str, answer: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    FILE.write_text(lines)
    out = Terminal()
    given = io.StringIO("y\n") if answer is None else Terminal(answer)
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["doctor", "--fix"]) == code
    assert ("[y/N] " in out.getvalue()) == (answer is not None)
    assert (FILE.read_text() == lines) == bool(code)


def typed(answer: str) -> tuple[str, int]:
    """Run `doctor --fix` in a terminal, answer its question, and return the output.

    If `answer` is empty, interrupt it at the question.
    """
    ours, theirs = pty.openpty()
    doctor = [sys.executable, "-m", "safe_langsmith", "doctor", "--fix"]
    with subprocess.Popen(doctor, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, answered, end = "", False, time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                shown += os.read(ours, 10_000).decode()
            except OSError:  # Linux: the other side is closed
                break
            if shown.endswith("[y/N] ") and not answered:
                if answer:
                    os.write(ours, answer.encode())
                else:
                    time.sleep(0.5)  # until it waits for the answer
                    process.send_signal(signal.SIGINT)
                answered = True
        code = process.wait(10)
    os.close(ours)
    assert answered
    return shown.replace("\r\n", "\n"), code


@pytest.mark.slow
@posix
@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_the_answer_yes(server: SimulatedLangSmith, lines: str, answer: str) -> None:
    FILE.write_text(lines)
    shown, code = typed(answer)
    assert code == 0
    assert FILE.read_text() == f"{lines}{NAME}={settings_workspace(server)}\n"
    before, _, after = shown.partition("[y/N] ")
    assert before.endswith("Write this to .env? ")
    assert "LangSmith accepts these settings" in after


@pytest.mark.slow
@posix
@pytest.mark.parametrize("answer", ["n\n", "\n", "yess\n", "\x04"])
def test_any_other_answer(lines: str, answer: str) -> None:
    """Any other answer writes nothing: no, an empty line, a typo, or the end of input."""
    FILE.write_text(lines)
    shown, code = typed(answer)
    assert code == 1
    assert shown.endswith("\nNothing was written.\n")
    assert FILE.read_text() == lines
    assert names() == [".env"]


@pytest.mark.slow
@posix
def test_an_interrupt_at_the_question(lines: str) -> None:
    FILE.write_text(lines)
    _, code = typed("")
    assert code == 130
    assert names() == [".env"]
    assert FILE.read_text() == lines


# --- the disk -------------------------------------------------------------------------


def test_a_file_that_was_changed_meanwhile() -> None:
    FILE.write_text("A=2\n")
    with pytest.raises(UnwrittenError, match="changed since it was read"):
        write(FILE, b"A=1\n", b"A=3\n")
    assert FILE.read_text() == "A=2\n"
    assert names() == [".env"]


def test_a_file_that_is_gone_meanwhile() -> None:
    with pytest.raises(UnwrittenError, match="could not be written: No such file"):
        write(FILE, b"A=1\n", b"A=3\n")


STRUCK_DOWN = """
import os, signal, sys
from pathlib import Path
from safe_langsmith._command.fix import write

before, after = Path(".env").read_bytes(), b"B=1\\n" * 5000
STEPS = ("open", "os.chmod", "os.chown", "os.rename", "os.remove")

def child(left):
    def strike(event, arguments):
        nonlocal left
        left -= event in STEPS
        if left < 0 and event in STEPS:  # os.kill is an audit event, too
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(strike)
    write(Path(".env"), before, after)
    os._exit(0)

for steps in range(100):
    for left_behind in Path().glob(".env.*"):
        left_behind.unlink()
    pid = os.fork() or child(steps)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found = {before: "old", after: "new"}.get(Path(".env").read_bytes(), "broken")
    print(ended, found, flush=True)
    if ended != -signal.SIGKILL:
        break
"""
FULL = """
import resource, sys
from pathlib import Path
from safe_langsmith._command.fix import UnwrittenError, write

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    write(Path(".env"), Path(".env").read_bytes(), b"B=1\\n" * 5000)
except UnwrittenError as error:
    print(error)
"""


def ran(program: str, *arguments: str) -> str:
    """Run a program as a separate process in this folder, and return its output."""
    whole = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
@posix
def test_a_crash_leaves_the_old_file_or_the_new_one() -> None:
    """The command is killed before each disk operation in turn; every file is whole."""
    FILE.write_bytes(b"A=1\n" * 5000)
    *killed, done = ran(STRUCK_DOWN).splitlines()
    assert done == "0 new"
    assert killed == ["-9 old"] * len(killed)
    assert len(killed) > 8
    assert KEPT.exists()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("limit", [0, 1000, 19_999, 25_000])
def test_a_full_disk(limit: int) -> None:
    """If the disk is full for the new file or the backup, only the old file remains."""
    before = b"A=1\n" * 10_000
    FILE.write_bytes(before)
    assert ": .env could not be written: File too large" in ran(FULL, str(limit))
    assert FILE.read_bytes() == before
    assert names() == [".env"]


@posix
def test_a_full_disk_in_this_process() -> None:
    before = b"A=1\n" * 10_000
    FILE.write_bytes(before)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UnwrittenError, match="File too large"):
            write(FILE, before, before + b"B=1\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names() == [".env"]


def test_a_folder_in_its_place() -> None:
    FILE.mkdir()
    with pytest.raises(UnwrittenError, match="it is not a regular file"):
        write(FILE, b"", b"A=1\n")


# --- the text -------------------------------------------------------------------------

VALUE = "0d3c41aa-2f0e-4c55-8a0b-5d0f1f3b9e77"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "N=new\n"),
        ("A=1", "A=1\nN=new"),
        ("A=1\n", "A=1\nN=new\n"),
        ("A=1\r\n", "A=1\r\nN=new\r\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\r\nN=new"),
        ("A=1\r", "A=1\rN=new\r"),
        ("\ufeffA=1\n", "\ufeffA=1\nN=new\n"),
        ("\ufeff", "\ufeffN=new\n"),
        ("\ufeff\nN=old", "\ufeff\nN=new"),
        ("N=old", "N=new"),
        ("N=old\r\nA=1\r\n", "N=new\r\nA=1\r\n"),
        (
            "  export  N =  old   # mine = yours\nA=1",
            "  export  N =  new   # mine = yours\nA=1",
        ),
        ("N='old' # it's mine\n", "N='new' # it's mine\n"),
        ('N="o\\"l\nd"\t# "x"\n', 'N="new"\t# "x"\n'),
        ("'N'=old\n", "'N'=new\n"),
        ("N=\n", "N=new\n"),
        ("N=   \n", "N=new   \n"),
        ("N=''\n", "N='new'\n"),
        ("N= # none yet\n", "N=new # none yet\n"),
        ("N=old#mine\n", "N=new\n"),
        ("N=#mine\n", "N=new\n"),
        ("N\n", "N=new\n"),
        ("export 'N' # = x\n", "export 'N'=new # = x\n"),
        ("N# x\n", "N=new # x\n"),
        ("N=1\nA=1\nN=2\nB=2\n", "N=1\nA=1\nN=new\nB=2\n"),
        ("# N=old\n", "# N=old\nN=new\n"),
        ('"N": "old",\n', '"N": "old",\nN=new\n'),
        ("set N=old\n", "set N=old\nN=new\n"),
        ("NN=1\nANN=2\nA=$N\n", "NN=1\nANN=2\nA=$N\nN=new\n"),
        ("A='open\nN=old\n", "A='open\nN=new\n"),
    ],
)
def test_what_is_changed(before: str, after: str) -> None:
    """Only the value changes, and python-dotenv reads the new one."""
    fix = Fix("N", "new")
    assert changed(before.encode(), (fix,)).decode() == after
    assert dotenv.dotenv_values(stream=io.StringIO(after, newline=""))["N"] == "new"


_NAMES = [NAME, f"{NAME}=", "A", "export ", "old"]
_SIGNS = [*"= \t'\"\\#\n\r${}:,", "\r\n", "\ufeff", "\x0b", "\u2028", "\x00", "\u00e9"]
PIECES = st.sampled_from([*_NAMES, *_SIGNS])
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=80))


@pytest.mark.slow
@given(TEXTS)
@example(f"{NAME}=\x0b# x")
@example(f"{NAME}\u2028=\u2028old")
def test_any_text(text: str) -> None:
    """The lines before and after, and all other variables, do not change."""
    old, new = text.encode("utf-8", "replace"), Fix(NAME, VALUE)
    after = changed(old, (new,)).decode()
    before = old.decode()
    read = dotenv.dotenv_values(stream=io.StringIO(after, newline=""), interpolate=False)
    was = dotenv.dotenv_values(stream=io.StringIO(before, newline=""), interpolate=False)
    assert read == {**was, NAME: VALUE}
    bindings = list(dotenv.parser.parse_stream(io.StringIO(before, newline="")))
    parts = [b.original.string for b in bindings]
    ours = [n for n, b in enumerate(bindings) if b.key == NAME]
    if ours:
        assert after.startswith(before[: before.index("".join(parts))])
        rest = "".join(parts[ours[-1] + 1 :])
        assert after.removeprefix("\ufeff").startswith("".join(parts[: ours[-1]]))
        assert after.endswith(rest)
    else:
        assert after.startswith(before)
    assert changed(after.encode(), (new,)).decode() == after


# --- what may be written --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("row", [s for s in SCENARIOS if s.call is list_projects], ids=str)
def test_fixes_of_each_scenario(
    row: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fix sets only an endpoint or a workspace, and removes the cause."""
    with staged(row, "sync client", tmp_path) as stage:
        found = stage.diagnose()
        assert {f.variable.partition("_")[2] for f in found.fixes} <= {
            "ENDPOINT",
            "WORKSPACE_ID",
        }
        assert_no_secret(str(found.fixes), stage.secrets)
        explicit = {"api_url": "ENDPOINT", "workspace_id": "WORKSPACE_ID"}
        for argument in explicit.keys() & row.arguments.keys():
            assert not [f for f in found.fixes if f.variable.endswith(explicit[argument])]
        if not found.fixes:
            return
        for fix in found.fixes:
            stage.patch.setenv(fix.variable, fix.value)
        arguments = {name: stage.fill(value) for name, value in row.arguments.items()}
        policy = replace(PATIENT, **row.policy)
        with_them = diagnose(policy=policy, headers=row.headers or None, **arguments)
        assert with_them.code != found.code


def test_fixes_are_plain_data() -> None:
    fix = Fix(NAME, VALUE)
    found = replace(Diagnosis("ok", False, ""), fixes=(fix,))
    assert found.as_dict()["fixes"] == [{"variable": NAME, "value": VALUE}]
    assert str(fix) == f"{NAME}={VALUE}"


@pytest.mark.parametrize("other", [["--offline"], ["--api-url", "https://example.com"]])
def test_it_is_for_what_is_set(
    other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--fix", *other]) == 2
    assert "--fix cannot be combined with" in capsys.readouterr().err


def test_json_of_settings_that_are_right(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    assert main(["doctor", "--fix", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["code"] == "ok"
    assert key not in shown.out + shown.err
