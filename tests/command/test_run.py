"""Tests that `safe-langsmith run` changes only the clients that a program creates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safe_langsmith._command.cli import main
from safe_langsmith._command.run import SITE
from safe_langsmith.testing import SimulatedLangSmith

KINDS = """
import langsmith
client = langsmith.Client(api_key="x", auto_batch_tracing=False)
print(type(client).__name__, type(langsmith.AsyncClient(api_key="x")).__name__)
"""
SAFE, PLAIN = "SafeClient SafeAsyncClient\n", "Client AsyncClient\n"
CALL = """
import langsmith, sys
names = [project.name for project in langsmith.Client().list_projects()]
sys.exit(f"{sys.argv[1:]} {input()} {names}")
"""
CHILDREN = f"""
import multiprocessing, subprocess, sys

def child():
    exec({KINDS!r})

if __name__ == "__main__":
    subprocess.run([sys.executable, "-c", {KINDS!r}], check=True)
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
"""
NOTHING = "import sys; print([name for name in sys.modules if 'langsmith' in name])"
THEIRS = "import sitecustomize; print(sitecustomize.__file__ == __file__)"


def run(*program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the command."""
    return subprocess.run(
        [sys.executable, "-m", "safe_langsmith", "run", *program],
        env={**os.environ, **settings},
        input="typed\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with the environment that the command sets for programs."""
    folders = [str(SITE), *([str(path)] if path else ()), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- the command ----------------------------------------------------------------------


def test_a_refusal_is_repaired(server: SimulatedLangSmith) -> None:
    """The program's arguments, input, output, and exit code are passed through."""
    server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None).secret
    settings = {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}
    done = run("--", sys.executable, "-c", CALL, "--", "-x", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    warning, last = done.stderr.splitlines()
    assert warning.startswith("safe_langsmith: GET /sessions was refused at first (403)")
    assert last == "['--', '-x'] typed ['Research project 1']"


@pytest.mark.skipif(os.name == "nt", reason="needs a shell, and signals")
@pytest.mark.parametrize(
    ("script", "code"), [("exit 5", 5), ("kill -PIPE $$", -signal.SIGPIPE)]
)
def test_exit_codes_and_signals(script: str, code: int) -> None:
    """The program replaces the command's process. SIGPIPE, ignored by Python, is reset."""
    done = run("sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize("before", ["", "/somewhere"])
def test_what_the_program_is_given(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setenv("PYTHONPATH", before)

    def become(*all_of_it: Any) -> None:
        given.append(all_of_it)
        raise SystemExit

    monkeypatch.setattr(os, "execvpe", become)
    with pytest.raises(SystemExit):
        main(["run", "--", "python", "--version"])
    ((name, arguments, environ),) = given
    assert (name, arguments) == ("python", ["python", "--version"])
    path = os.pathsep.join(filter(None, (str(SITE), before)))
    assert environ == {**os.environ, "PYTHONPATH": path}
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        ([], 2, "which program? For example: safe-langsmith run -- python app.py"),
        (["--"], 2, "which program? For example: safe-langsmith run -- python app.py"),
        (["--", "no-such-program", "-h"], 127, "no-such-program: command not found"),
        (["/"], 126, "/: Permission denied"),
    ],
)
def test_a_program_that_cannot_be_run(
    program: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *program]) == code
    assert capsys.readouterr() == ("", f"safe-langsmith: {says}\n")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


# --- what the program notices ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["-c", f"import langsmith.async_client{KINDS}"], SAFE),
        (["-c", f"import langchain_core.tracers.langchain{KINDS}"], SAFE),
        (["-c", f"from safe_langsmith import SafeAsyncClient{KINDS}"], SAFE),
        (["-E", "-c", KINDS], PLAIN),
        (["-c", NOTHING], "[]\n"),
        (["-c", f"import langsmith; {NOTHING}".replace("'lang", "'safe_lang")], "[]\n"),
        (["program.py"], SAFE * 2),
    ],
)
def test_clients(arguments: list[str], printed: str) -> None:
    """`run` works in any import order and in child processes; it imports nothing early."""
    Path("program.py").write_text(CHILDREN, encoding="utf-8")
    done = python(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


def test_below_pytest() -> None:
    """Pytest imports langsmith in its own way, for the plugin."""
    lines = [
        f"    {line}"
        for line in f"{KINDS}assert type(client).__name__[:4] == 'Safe'".split("\n")
    ]
    Path("test_it.py").write_text("\n".join(["def test_it():", *lines]), encoding="utf-8")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "text", "printed"),
    [
        ("safe_langsmith.py", "raise ImportError", PLAIN),
        ("safe_langsmith.py", "version = 'another'", PLAIN),
        ("sitecustomize.py", THEIRS, f"True\n{SAFE}"),
    ],
)
def test_what_else_is_installed(file: str, text: str, printed: str) -> None:
    """safe_langsmith may be missing or a different one; a `sitecustomize` still runs."""
    Path(file).write_text(text, encoding="utf-8")
    done = python("-c", KINDS, path=Path.cwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


@pytest.mark.parametrize(
    "change", ["sys.path.insert(0, '/theirs')", "sys.path = ['/theirs', *sys.path]"]
)
def test_a_sitecustomize_that_changes_the_path(change: str) -> None:
    """Its additions are kept, and our folder is not on the program's path."""
    Path("sitecustomize.py").write_text(f"import sys; {change}", encoding="utf-8")
    shows = f"import sys; print(sys.path.count('/theirs'), {str(SITE)!r} in sys.path)"
    done = python("-c", shows, path=Path.cwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 False\n", "")


def test_without_langsmith() -> None:
    Path("langsmith.py").write_text("print('another')", encoding="utf-8")
    done = python("-c", "import langsmith", path=Path.cwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, "another\n", "")


@pytest.mark.parametrize("text", ["import no_such_module", "raise ValueError"])
def test_a_sitecustomize_that_fails(text: str) -> None:
    """Python reports it as usual, and continues."""
    Path("sitecustomize.py").write_text(text, encoding="utf-8")
    done = python("-c", NOTHING, path=Path.cwd())
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert done.stderr.startswith("Error in sitecustomize")
