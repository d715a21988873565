"""The command ``safe-langsmith``: one function for each of its commands.

The docstring of such a function is the help of its command: the first line says what it
does, and the rest stands below the options.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import inspect
import io
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from langsmith.utils import LangSmithError

from safe_langsmith import __version__
from safe_langsmith._client import SafeClient
from safe_langsmith._command import asking
from safe_langsmith._command.explanations import EXPLANATIONS, explain
from safe_langsmith._command.run import run as run_program
from safe_langsmith._policy import Policy
from safe_langsmith._sdk.clients import failed_traces_folder

_LONGEST = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    0: healthy or done. 1: a problem was found. 2: wrong use. 3: not determined.
    """
    options = _parser().parse_args(argv)
    command: _Command = options.command
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)
    code = asking.PROBLEM
    try:
        with _quiet_sdk():
            code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        # Else Python would flush the rest at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return asking.INTERRUPTED
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(asking.WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="safe-langsmith",
        description="Why does LangSmith say 403 Forbidden? Find out, and fix it.",
        epilog="Begin with: safe-langsmith doctor",
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
        )
        command.set_defaults(command=run)
        for argument, about_it, settings in arguments:
            command.add_argument(argument, help=about_it, **settings)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no time between 0 and {_LONGEST} s")
    return seconds


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


# --- commands that ask about no settings --------------------------------------------


def _explain(options: argparse.Namespace) -> int:
    """Say what a code means, how it is shown, and how to fix it.

    examples:
      safe-langsmith explain
      safe-langsmith explain workspace-required
    """
    if options.code is None:
        for e in EXPLANATIONS:
            print(
                textwrap.fill(f"{e.code:<21}{e.in_short}", 80, subsequent_indent=" " * 21)
            )
        return asking.HEALTHY
    found = explain(options.code)
    if found is None:
        near = difflib.get_close_matches(options.code, [e.code for e in EXPLANATIONS], 1)
        hint = f"did you mean {near[0]}?" if near else "all codes: safe-langsmith explain"
        return asking.complain(f"there is no code {options.code!r}; {hint}")
    print(found)
    return asking.HEALTHY


def _replay(options: argparse.Namespace) -> int:
    """Send the traces that could not be sent before.

    examples:
      safe-langsmith replay
      safe-langsmith replay ./failed-traces

    With LANGSMITH_FAILED_TRACES_DIR=./failed-traces the SDK saves each batch of traces that
    could not be sent. This sends them with the settings found here, oldest first, and removes
    a file once LangSmith has taken it. Stop it at any time, and run it again: for a batch
    that was under way then, LangSmith is asked whether it has it.

    exit code: 0 nothing is left; 1 something is left, and why; 2 wrong use.
    """  # noqa: E501  # the help is shown without the indent
    try:
        policy = Policy(dotenv=options.env_file)
        client = SafeClient(auto_batch_tracing=False, policy=policy)
    except (LangSmithError, ValueError) as error:
        return asking.no_client(error)
    folder = options.folder or failed_traces_folder(client)[0]
    if not folder:
        return asking.complain("name the folder, or set LANGSMITH_FAILED_TRACES_DIR")
    try:
        result = client.replay_failed_traces(folder, on_progress=_progress)
    except NotADirectoryError as error:
        return asking.complain(str(error))
    except OSError as error:
        return asking.complain(str(error), asking.PROBLEM)
    print(result)
    if result.error is not None:
        print(f"\n{result.error}")
    return asking.PROBLEM if result.left else asking.HEALTHY


def _progress(done: int, of: int) -> None:
    """Show how far a long run is, on a terminal alone."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done} of {of}", end=end, file=sys.stderr, flush=True)


def _demo(options: argparse.Namespace) -> int:
    """Show each cause with the plain client and with SafeClient.

    example:
      safe-langsmith demo

    It needs no account and reads none of your settings. A simulated LangSmith answers on
    this machine; install it with: pip install "safe-langsmith[testing]"
    """
    try:
        from safe_langsmith._command.demo import run
    except ImportError as error:
        return asking.complain(str(error))
    return run()


def _completion(options: argparse.Namespace) -> int:
    """Print what your shell needs to complete this command.

    examples:
      source <(safe-langsmith completion bash)                      # for this shell
      safe-langsmith completion bash > ~/.local/share/bash-completion/completions/safe-langsmith
      safe-langsmith completion zsh > ~/.zfunc/_safe-langsmith      # a folder in your $fpath

    It prints a script, and writes no file.
    """  # noqa: E501  # the help is shown without the indent
    # docs/make_completion.py made the scripts out of the parser.
    script = resources.files(__package__) / "completion" / options.shell
    print(script.read_text(encoding="utf-8"), end="")
    return asking.HEALTHY


# --- every command and its arguments --------------------------------------------------

# The name, the help, and what else argparse is told.
_Argument = tuple[str, str | None, dict[str, Any]]
_Command = Callable[[argparse.Namespace], int]
_FLAG: dict[str, Any] = {"action": "store_true"}
_ENV_FILE: _Argument = (
    "--env-file",
    "the .env file to read (else: the nearest, from this folder upwards)",
    {"metavar": "PATH", "type": _file},
)
_OF_DOCTOR: tuple[_Argument, ...] = (
    ("--json", "print the report as JSON", _FLAG),
    ("--offline", "send nothing; what only LangSmith can tell is ?", _FLAG),
    _ENV_FILE,
    ("--profile", "the profile of LangSmith's CLI to use", {"metavar": "NAME"}),
    ("--api-url", "the endpoint to check, in place of the set one", {"metavar": "URL"}),
    (
        "--workspace-id",
        "the workspace to check, in place of the set one",
        {"metavar": "ID"},
    ),
    (
        "--probe-regions",
        "whether a key that its region does not know may be shown to LangSmith's other "
        "regions (else: only if no endpoint is set)",
        {"action": argparse.BooleanOptionalAction, "default": None},
    ),
    (
        "--timeout",
        "the most seconds that the check may take (else: 10)",
        {"metavar": "SECONDS", "type": _seconds, "default": 10.0},
    ),
    (
        "--fix",
        "write the endpoint or workspace that was found into the .env, after asking",
        _FLAG,
    ),
    ("--yes", "with --fix: do not ask", _FLAG),
)
_CODE = "the code in an error; none: list all"
_FOLDER = "the folder they were saved in (else: LANGSMITH_FAILED_TRACES_DIR)"
_PERMISSION = ("permission", "such as runs:create", {"metavar": "PERMISSION"})
_COMMANDS: dict[str, tuple[_Command, tuple[_Argument, ...]]] = {
    "doctor": (asking.doctor, _OF_DOCTOR),
    "explain": (_explain, (("code", _CODE, {"nargs": "?", "metavar": "CODE"}),)),
    "replay": (
        _replay,
        (("folder", _FOLDER, {"nargs": "?", "metavar": "DIR"}), _ENV_FILE),
    ),
    "whoami": (asking.whoami, (("--json", "print it as JSON", _FLAG), _ENV_FILE)),
    "can-i": (asking.can_i, (_PERMISSION, _ENV_FILE)),
    "run": (
        run_program,
        (("program", None, {"nargs": argparse.REMAINDER, "metavar": "..."}),),
    ),
    "demo": (_demo, ()),
    "completion": (_completion, (("shell", None, {"choices": ("bash", "zsh")}),)),
}


# --- the terminal ---------------------------------------------------------------------


@contextmanager
def _quiet_sdk() -> Iterator[None]:
    """Keep the SDK's own warnings out of the lines of the answer."""
    logger = logging.getLogger("langsmith")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _never_fails(stream: TextIO) -> None:
    """Let a terminal that knows few characters show others in its own way."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("safe_langsmith", _in_ascii)
        stream.reconfigure(errors="safe_langsmith")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that cannot be encoded: "..." for an ellipsis."""
    failed = cast("UnicodeEncodeError", error)
    lost = failed.object[failed.start : failed.end]
    return "".join("..." if c == "\u2026" else "?" for c in lost), failed.end
