"""The command ``safe-langsmith``: one function for each of its commands.

The docstring of each is its help: the first line is the summary, and the rest is printed
below the options.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from safe_langsmith import __version__
from safe_langsmith._command.explanations import EXPLANATIONS, explain
from safe_langsmith._command.run import run as run_program
from safe_langsmith._command.terminal import (
    HEALTHY,
    INTERRUPTED,
    PROBLEM,
    UNKNOWN,
    WRONG_USE,
    complain,
    drop_output,
    never_fails,
    open_closed_streams,
    quiet_sdk,
)
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._knowledge.operations import check_permission

_LONGEST = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    0: healthy or done. 1: a problem was found. 2: usage error. 3: unknown.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    open_closed_streams()
    parser = _parser()
    if not words:  # an error, so that a script with an empty variable notices
        parser.print_help()
        return WRONG_USE
    name = next((word for word in words if not word.startswith("-")), "doctor")
    if name not in _COMMANDS:
        near = difflib.get_close_matches(name, _COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "see safe-langsmith --help"
        return complain(f"unknown command {name!r}; {hint}")
    options, others = parser.parse_known_args(words)
    if others:  # argparse would name the help of all commands
        options.parser.error(f"unrecognized arguments: {' '.join(others)}")
    command: _Command = options.command
    for stream in (sys.stdout, sys.stderr):
        never_fails(stream)
    code = PROBLEM
    try:
        with quiet_sdk():
            code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        drop_output()
    except OSError as error:  # a full disk  # pragma: no cover  (in another process)
        drop_output()
        return complain(f"could not write the output: {error}", UNKNOWN)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


class _Parser(argparse.ArgumentParser):
    """A parser with error messages of one line."""

    def error(self, message: str) -> NoReturn:
        text = f"{scrub(message)};".replace("?;", "?")
        self.exit(WRONG_USE, f"{self.prog}: {text} see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="safe-langsmith",
        description="Why does LangSmith say 403 Forbidden? Find out, and fix it.",
        epilog="Start with: safe-langsmith doctor",
    )
    parser.add_argument(
        "--version", action="version", version=f"safe-langsmith {__version__}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (run, arguments) in _COMMANDS.items():
        about, _, examples = (inspect.getdoc(run) or "").partition("\n\n")
        command = commands.add_parser(
            name,
            help=about[:1].lower() + about[1:].removesuffix("."),
            description=about,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # argparse writes only "..." for the rest of a line.
            usage="%(prog)s [-h] -- PROGRAM ..." if name == "run" else None,
        )
        command.set_defaults(command=run, parser=command)
        has_either = any(name == "--env-file" for name, _, _ in arguments)
        either = command.add_mutually_exclusive_group() if has_either else command
        for argument, about_it, settings in arguments:
            group = either if argument.endswith("env-file") else command
            names = ("-v", argument) if argument == "--verbose" else (argument,)
            group.add_argument(*names, help=about_it, **settings)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not between 0 and {_LONGEST} seconds"
        )
    return seconds


def _permission(text: str) -> str:
    try:
        check_permission(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        what = "{!r} is not a regular file" if path.exists() else "there is no file {!r}"
        raise argparse.ArgumentTypeError(what.format(text))
    return path


# --- commands that read settings: in `asking`, which imports the SDK ------------------


def _doctor(options: argparse.Namespace) -> int:
    """Check your LangSmith settings.

    examples:
      safe-langsmith doctor
      safe-langsmith doctor -v
      safe-langsmith doctor --env-file ../settings/.env
      safe-langsmith doctor --profile work --timeout 30
      safe-langsmith doctor --offline
      safe-langsmith doctor --json
      safe-langsmith doctor --fix

    It checks the settings that a program has after load_dotenv(): environment variables, the
    nearest .env file (in this folder or a parent), and the profile of LangSmith's CLI. It sends
    a few read-only requests to your endpoint, and changes nothing. Keys are masked, so you can
    share the output.

    With --fix it shows the line of the .env file to change, and asks first. The old file is kept
    as .env.bak. It never writes a key.

    In GitHub Actions it adds an annotation, and writes the report to the job summary.

    exit code: 0 LangSmith accepts the settings; 1 a problem was found, or with --strict a
    warning; 2 usage error; 3 unknown.
    """  # noqa: E501  # the help is shown without the indent
    from safe_langsmith._command import asking

    return asking.doctor(options)


def _whoami(options: argparse.Namespace) -> int:
    """Show who you are to LangSmith, and what you can do.

    examples:
      safe-langsmith whoami
      safe-langsmith whoami --json

    exit code: 0 LangSmith accepts key and workspace; 1 it does not; 3 unknown.
    """
    from safe_langsmith._command import asking

    return asking.whoami(options)


def _can_i(options: argparse.Namespace) -> int:
    """Check whether your role has a permission.

    examples:
      safe-langsmith can-i runs:create
      safe-langsmith can-i projects:create && python evaluate.py

    An access policy of the organization may deny what a role allows.

    exit code: 0 yes; 1 no, or LangSmith rejected the key; 2 no such permission, or another
    usage error; 3 unknown.
    """
    from safe_langsmith._command import asking

    return asking.can_i(options)


def _replay(options: argparse.Namespace) -> int:
    """Send saved traces that could not be sent before.

    examples:
      safe-langsmith replay
      safe-langsmith replay ./failed-traces

    With LANGSMITH_FAILED_TRACES_DIR=./failed-traces the SDK saves each batch of traces that
    could not be sent. This command sends them, oldest first, and deletes each file once
    LangSmith has accepted it. You can stop it and run it again: it first asks LangSmith whether
    the interrupted batch has arrived. If the nearest .env file has LangSmith settings, it sends
    nothing until you choose --env-file or --no-env-file.

    exit code: 0 nothing is left; 1 some batches are left; 2 usage error; 3 unknown.
    """  # noqa: E501  # the help is shown without the indent
    from safe_langsmith._command import asking

    return asking.replay(options)


# --- commands that read none ----------------------------------------------------------


def _explain(options: argparse.Namespace) -> int:
    """Explain an error code, and how to fix it.

    examples:
      safe-langsmith explain
      safe-langsmith explain workspace-required
    """
    if options.code is None:
        for e in EXPLANATIONS:
            print(
                textwrap.fill(f"{e.code:<21}{e.in_short}", 80, subsequent_indent=" " * 21)
            )
        return HEALTHY
    code = options.code.lower()
    found = explain(code)
    if found is None:
        near = difflib.get_close_matches(code, [e.code for e in EXPLANATIONS], 1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else "to check a 403: safe-langsmith doctor; all codes: safe-langsmith explain"
        )
        return complain(f"unknown code {options.code!r}; {hint}")
    print(found)
    return HEALTHY


def _demo(options: argparse.Namespace) -> int:
    """Show most causes, with the plain client and with SafeClient.

    example:
      safe-langsmith demo

    It needs no account, and does not read your settings. It runs a simulated LangSmith on
    this machine, which needs two more packages: pip install starlette uvicorn

    Two codes are missing: wrong-region needs LangSmith's own hosts, and access-denied means
    that the cause is unknown.
    """
    try:
        from safe_langsmith.testing._demo import run
    except ImportError as error:
        return complain(str(error))
    return run()


def _completion(options: argparse.Namespace) -> int:
    """Print a shell completion script.

    examples:
      source <(safe-langsmith completion bash)                      # for this shell
      safe-langsmith completion bash > ~/.local/share/bash-completion/completions/safe-langsmith
      safe-langsmith completion zsh > ~/.zfunc/_safe-langsmith      # a folder in your $fpath

    It only prints the script, and writes no file.
    """  # noqa: E501  # the help is shown without the indent
    # docs/make_completion.py generates the scripts from the parser.
    script = resources.files(__package__) / "completion" / options.shell
    print(script.read_text(encoding="utf-8"), end="")
    return HEALTHY


# --- every command and its arguments --------------------------------------------------

# The name, the help, and other arguments for argparse.
_Argument = tuple[str, str | None, dict[str, Any]]
_Command = Callable[[argparse.Namespace], int]
_FLAG: dict[str, Any] = {"action": "store_true"}
_LOAD: dict[str, Any] = {"metavar": "PATH", "type": _file}
_DO_NOT_LOAD: dict[str, Any] = {"action": "store_const", "const": False, "dest": "env_file"}
# Mutually exclusive.
_ENV_FILE: tuple[_Argument, ...] = (
    ("--env-file", "the .env file to load (default: the nearest, here or above)", _LOAD),
    ("--no-env-file", "do not load a .env file", _DO_NOT_LOAD),
)
_ENV_FILE_OF_REPLAY: tuple[_Argument, ...] = (
    ("--env-file", "the .env file to load (default: none)", _LOAD),
    ("--no-env-file", "ignore the .env file in this folder or a parent", _DO_NOT_LOAD),
)
_OF_DOCTOR: tuple[_Argument, ...] = (
    ("--verbose", "show every section", _FLAG),
    ("--json", "print the report as JSON", _FLAG),
    ("--offline", "send no requests; skip online checks", _FLAG),
    ("--strict", "exit with 1 if there are warnings", _FLAG),
    *_ENV_FILE,
    ("--profile", "the profile of LangSmith's CLI to use", {"metavar": "NAME"}),
    ("--api-url", "check this endpoint, not the configured one", {"metavar": "URL"}),
    ("--workspace-id", "check this workspace, not the configured one", {"metavar": "ID"}),
    (
        "--probe-regions",
        "check a rejected key in the other regions too (default: if no endpoint is set)",
        {"action": argparse.BooleanOptionalAction, "default": None},
    ),
    (
        "--timeout",
        "time limit in seconds (default: 10)",
        {"metavar": "SECONDS", "type": _seconds, "default": 10.0},
    ),
    ("--fix", "write the right endpoint or workspace to the .env, after asking", _FLAG),
    ("--yes", "with --fix: write without asking", _FLAG),
)
_CODE = "an error code (default: list all)"
_PROGRAM = "the program to run, and its arguments"
_FOLDER = "folder with the saved traces (default: LANGSMITH_FAILED_TRACES_DIR)"
_PERMISSION = {"metavar": "PERMISSION", "type": _permission}
_REST = {"nargs": argparse.REMAINDER, "metavar": "PROGRAM ..."}
_COMMANDS: dict[str, tuple[_Command, tuple[_Argument, ...]]] = {
    "doctor": (_doctor, _OF_DOCTOR),
    "explain": (_explain, (("code", _CODE, {"nargs": "?", "metavar": "CODE"}),)),
    "replay": (
        _replay,
        (("folder", _FOLDER, {"nargs": "?", "metavar": "DIR"}), *_ENV_FILE_OF_REPLAY),
    ),
    "whoami": (_whoami, (("--json", "print it as JSON", _FLAG), *_ENV_FILE)),
    "can-i": (_can_i, (("permission", "such as runs:create", _PERMISSION), *_ENV_FILE)),
    "run": (run_program, (("program", _PROGRAM, _REST),)),
    "demo": (_demo, ()),
    "completion": (_completion, (("shell", None, {"choices": ("bash", "zsh")}),)),
}
