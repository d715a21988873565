"""The command ``safe-langsmith``: doctor, explain, demo."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence

from safe_langsmith import __version__
from safe_langsmith._codes import EXPLANATIONS, explain
from safe_langsmith._diagnose import diagnose
from safe_langsmith._policy import Policy

HEALTHY, PROBLEM, WRONG_USE, UNKNOWN = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    0: healthy or done. 1: a problem was found. 2: wrong use. 3: not determined.
    """
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return HEALTHY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safe-langsmith",
        description="Why does LangSmith say 403 Forbidden? Find out, and fix it.",
    )
    parser.add_argument(
        "--version", action="version", version=f"safe-langsmith {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    about = "look at the settings of this folder and environment, and ask LangSmith"
    doctor = commands.add_parser("doctor", help=about, description=about.capitalize())
    doctor.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    doctor.add_argument("--env-file", metavar="PATH", help="the .env file to look at")
    doctor.set_defaults(command=_doctor)

    about = "say what a code means, how it is shown, and how to fix it"
    codes = commands.add_parser("explain", help=about, description=about.capitalize())
    codes.add_argument("code", nargs="?", help="such as workspace-required; none: list all")
    codes.set_defaults(command=_explain)

    about = "show each cause with the plain client and with SafeClient; needs no account"
    demo = commands.add_parser("demo", help=about, description=about.capitalize())
    demo.set_defaults(command=_demo)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from langsmith.utils import LangSmithError

    # The SDK's own warnings would stand between the lines of the answer.
    logging.getLogger("langsmith").setLevel(logging.ERROR)
    try:
        diagnosis = diagnose(policy=Policy(dotenv=options.env_file))
    except LangSmithError as error:
        print(f"langsmith makes no client with these settings: {error}", file=sys.stderr)
        return PROBLEM
    if options.json:
        print(json.dumps(diagnosis.as_dict(), indent=2))
    else:
        print(diagnosis)
    return {"ok": HEALTHY, "unknown": UNKNOWN}.get(diagnosis.code, PROBLEM)


def _explain(options: argparse.Namespace) -> int:
    if options.code is None:
        for explanation in EXPLANATIONS:
            first, _, _ = explanation.means.partition(". ")
            print(f"{explanation.code:<20} {first.rstrip('.')}.")
        return HEALTHY
    found = explain(options.code)
    if found is None:
        print(
            f"there is no code {options.code!r}; see: safe-langsmith explain",
            file=sys.stderr,
        )
        return WRONG_USE
    print(found)
    return HEALTHY


def _demo(options: argparse.Namespace) -> int:
    try:
        from safe_langsmith._demo import run
    except ImportError as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    return run()
