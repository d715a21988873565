"""`safe-langsmith run`: runs a program with safe clients, without changing its code."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from safe_langsmith._command.terminal import WRONG_USE, complain

SITE = Path(__file__).with_name("site")
# A shell's exit codes for a program that cannot be started, or was not found.
CANNOT_START, NOT_FOUND = 126, 127


def run(options: argparse.Namespace) -> int:
    """Run a program with safe clients, without changing its code.

    examples:
      safe-langsmith run -- python app.py
      safe-langsmith run -- python -m pytest
      safe-langsmith run -- langgraph dev
      safe-langsmith run -- gunicorn -w 4 app:app

    Wherever the program, its libraries, or the Python processes that it starts create a
    langsmith client, they get a safe one. safe_langsmith must be installed in the Python
    that runs them. Nothing else changes until LangSmith refuses a request.

    It works through PYTHONPATH, so Python's options -E, -I, and -S turn it off.

    exit code: the program's; 2 usage error; 126 cannot be started; 127 not found.
    """
    program = options.program
    program = program[1:] if program[:1] == ["--"] else program
    code, text = (
        WRONG_USE,
        "which program? For example: safe-langsmith run -- python app.py",
    )
    if program:
        try:
            _become(program)
        except FileNotFoundError:
            code, text = NOT_FOUND, f"{program[0]}: command not found"
        except OSError as error:
            code, text = CANNOT_START, f"{program[0]}: {error.strerror}"
    return complain(text, code)


def _become(program: list[str]) -> NoReturn:
    """Replace this process with the program."""
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(SITE), *([before] if before else ())])
    environ = {**os.environ, "PYTHONPATH": path}
    if os.name == "nt":  # pragma: no cover  # the shell there would not wait
        sys.exit(subprocess.call(program, env=environ))  # noqa: S603  # the user's own
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these; programs should not
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(program[0], program, environ)  # noqa: S606  # the user's own
