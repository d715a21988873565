"""The command ``safe-langsmith``: one function for each of its commands."""

from __future__ import annotations

import argparse
import codecs
import difflib
import inspect
import io
import json
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from langsmith.utils import LangSmithError

from safe_langsmith import __version__
from safe_langsmith._client import SafeClient
from safe_langsmith._command.doctor import examined, report
from safe_langsmith._command.explanations import EXPLANATIONS, explain
from safe_langsmith._command.fix import fixed
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import Look, Progress
from safe_langsmith._diagnose import diagnose
from safe_langsmith._diagnosis import Identity
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._policy import Policy

HEALTHY, PROBLEM, WRONG_USE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130

_DOCTOR_HELP = """\
examples:
  safe-langsmith doctor
  safe-langsmith doctor --env-file ../settings/.env
  safe-langsmith doctor --profile work --timeout 30
  safe-langsmith doctor --offline
  safe-langsmith doctor --json
  safe-langsmith doctor --fix

It reads the environment, the .env file and the profile of LangSmith's CLI, sends a few
read-only requests to your endpoint, and changes nothing. Keys are shown masked: what it
prints can be shown to others.

With --fix it loads the .env as your program does, shows the line that it would change, and
asks. The old file is kept as .env.bak. A key is never written.

exit code: 0 LangSmith accepts the settings; 1 a problem was found; 2 wrong use;
3 it could not be determined.
"""
_EXPLAIN_HELP = """\
examples:
  safe-langsmith explain
  safe-langsmith explain workspace-required
"""
_REPLAY_HELP = """\
examples:
  safe-langsmith replay
  safe-langsmith replay ./failed-traces

With LANGSMITH_FAILED_TRACES_DIR=./failed-traces the SDK saves each batch of traces that
could not be sent. This sends them with the settings found here, oldest first, and removes
a file once LangSmith has taken it. Stop it at any time, and run it again: for a batch
that was under way then, LangSmith is asked whether it has it.

exit code: 0 nothing is left; 1 something is left, and why; 2 wrong use.
"""
_WHOAMI_HELP = """\
examples:
  safe-langsmith whoami
  safe-langsmith whoami --json

exit code: 0 LangSmith knows you; 1 it does not, and why; 3 it gave no answer that tells.
"""
_CAN_I_HELP = """\
examples:
  safe-langsmith can-i runs:create
  safe-langsmith can-i projects:create && python evaluate.py

An access policy of the organization may deny what a role allows.

exit code: 0 yes; 1 no, or LangSmith does not know the key; 2 there is no such permission;
3 LangSmith does not say.
"""
_DEMO_HELP = """\
example:
  safe-langsmith demo

It needs no account and reads none of your settings. A simulated LangSmith answers on
this machine; install it with: pip install "safe-langsmith[testing]"
"""
_COMPLETION_HELP = """\
examples:
  source <(safe-langsmith completion bash)                      # for this shell
  safe-langsmith completion bash > ~/.local/share/bash-completion/completions/safe-langsmith
  safe-langsmith completion zsh > ~/.zfunc/_safe-langsmith      # a folder in your $fpath

It prints a script, and writes no file.
"""

_LONGEST = 600
_ENV_FILE = "the .env file to read (else: the nearest, from this folder upwards)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    0: healthy or done. 1: a problem was found. 2: wrong use. 3: not determined.
    """
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)
    code = PROBLEM
    try:
        with _quiet_sdk():
            code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        # Else Python would flush the rest at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


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

    def command(
        name: str, about: str, examples: str, run: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=run)
        return added

    about = "check the settings found here against LangSmith"
    doctor = command("doctor", about, _DOCTOR_HELP, _doctor)
    _doctor_options(doctor)
    about = "say what a code means, how it is shown, and how to fix it"
    codes = command("explain", about, _EXPLAIN_HELP, _explain)
    codes.add_argument(
        "code", nargs="?", metavar="CODE", help="the code in an error; none: list all"
    )
    about = "send the traces that could not be sent before"
    replay = command("replay", about, _REPLAY_HELP, _replay)
    replay.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        help="the folder they were saved in (else: LANGSMITH_FAILED_TRACES_DIR)",
    )
    replay.add_argument("--env-file", metavar="PATH", type=_file, help=_ENV_FILE)
    about = "say who LangSmith takes you for, and what you may do"
    whoami = command("whoami", about, _WHOAMI_HELP, _whoami)
    whoami.add_argument("--json", action="store_true", help="print it as JSON")
    whoami.add_argument("--env-file", metavar="PATH", type=_file, help=_ENV_FILE)
    about = "say whether your role has a permission"
    can_i = command("can-i", about, _CAN_I_HELP, _can_i)
    can_i.add_argument("permission", metavar="PERMISSION", help="such as runs:create")
    can_i.add_argument("--env-file", metavar="PATH", type=_file, help=_ENV_FILE)
    about = "show each cause with the plain client and with SafeClient"
    command("demo", about, _DEMO_HELP, _demo)
    about = "print what your shell needs to complete this command"
    completion = command("completion", about, _COMPLETION_HELP, _completion)
    completion.add_argument("shell", choices=("bash", "zsh"))
    return parser


def _doctor_options(doctor: argparse.ArgumentParser) -> None:
    def add(*names: str, **about: Any) -> None:
        doctor.add_argument(*names, **about)

    add("--json", action="store_true", help="print the report as JSON")
    about = "send nothing; what only LangSmith can tell is ?"
    add("--offline", action="store_true", help=about)
    add("--env-file", metavar="PATH", type=_file, help=_ENV_FILE)
    about = "the profile of LangSmith's CLI to use"
    add("--profile", metavar="NAME", help=about)
    add("--api-url", metavar="URL", help="the endpoint to check, in place of the set one")
    about = "the workspace to check, in place of the set one"
    add("--workspace-id", metavar="ID", help=about)
    about = (
        "whether a key that its region does not know may be shown to LangSmith's other "
        "regions (else: only if no endpoint is set)"
    )
    regions = argparse.BooleanOptionalAction
    add("--probe-regions", action=regions, default=None, help=about)
    about = "the most seconds that the check may take (else: 10)"
    add("--timeout", metavar="SECONDS", type=_seconds, default=10.0, help=about)
    about = "write the endpoint or workspace that was found into the .env, after asking"
    add("--fix", action="store_true", help=about)
    add("--yes", action="store_true", help="with --fix: do not ask")


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


# --- the commands ---------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    if options.yes and not options.fix:
        return _complain("--yes goes with --fix", WRONG_USE)
    others = (options.api_url, options.workspace_id, options.profile, options.offline)
    if options.fix and any(others):
        text = "--fix is for what is set: give it without another endpoint, workspace or"
        return _complain(f"{text} profile, and not --offline", WRONG_USE)
    chosen = {} if options.profile is None else {"profile": options.profile}
    if not chosen.keys() <= inspect.signature(SafeClient).parameters.keys():
        return _complain("--profile needs a newer langsmith", WRONG_USE)
    try:
        policy = Policy(
            dotenv=options.env_file,
            probe_regions=options.probe_regions,
            budget_s=options.timeout,
        )
        if options.fix:
            return _fix(options, policy)
        client = SafeClient(
            options.api_url,
            workspace_id=options.workspace_id,
            auto_batch_tracing=False,
            policy=policy,
            **chosen,
        )
    except (LangSmithError, ValueError) as error:
        return _no_client(error)
    doing = "reading" if options.offline else f"asking {shown(client.api_url)}"
    with client.session, Progress(doing, sys.stderr):
        found = report(examined(client, offline=options.offline))
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        print(rendered(found, Look.of(sys.stdout)))
    return _exit_code(found.code)


def _exit_code(code: str) -> int:
    return {"ok": HEALTHY, "unknown": UNKNOWN}.get(code, PROBLEM)


def _fix(options: argparse.Namespace, policy: Policy) -> int:
    """Put the `.env` right, in a talk with whoever sits at the terminal."""
    talk = sys.stderr if options.json else sys.stdout

    def say(text: str) -> None:
        print(text, file=talk, flush=True)

    def agrees(file: str) -> bool:
        if options.yes:
            return True
        if not (sys.stdin.isatty() and talk.isatty()):
            say("There is no terminal to ask at. To have it written: doctor --fix --yes")
            return False
        print(f"Write this to {file}? [y/N] ", end="", file=talk, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    diagnosis = fixed(policy, say, agrees)
    if options.json:
        print(json.dumps(diagnosis.as_dict(), indent=2))
    return _exit_code(diagnosis.code)


def _explain(options: argparse.Namespace) -> int:
    if options.code is None:
        for explanation in EXPLANATIONS:
            print(_listed(explanation.code, explanation.in_short))
        return HEALTHY
    found = explain(options.code)
    if found is None:
        near = difflib.get_close_matches(options.code, [e.code for e in EXPLANATIONS], 1)
        hint = f"did you mean {near[0]}?" if near else "all codes: safe-langsmith explain"
        return _complain(f"there is no code {options.code!r}; {hint}", WRONG_USE)
    print(found)
    return HEALTHY


def _listed(code: str, meaning: str) -> str:
    hang = " " * 21
    return textwrap.fill(meaning, 80, initial_indent=f"{code:<21}", subsequent_indent=hang)


def _replay(options: argparse.Namespace) -> int:
    try:
        policy = Policy(dotenv=options.env_file)
        client = SafeClient(auto_batch_tracing=False, policy=policy)
    except (LangSmithError, ValueError) as error:
        return _no_client(error)
    folder = options.folder or client._failed_traces_dir
    if not folder:
        text = "name the folder, or set LANGSMITH_FAILED_TRACES_DIR"
        return _complain(text, WRONG_USE)
    try:
        result = client.replay_failed_traces(folder, on_progress=_progress)
    except NotADirectoryError as error:
        return _complain(str(error), WRONG_USE)
    except OSError as error:
        return _complain(str(error), PROBLEM)
    print(result)
    if result.error is not None:
        print(f"\n{result.error}")
    return PROBLEM if result.left else HEALTHY


def _whoami(options: argparse.Namespace) -> int:
    return _with_identity(options, lambda who: _introduce(who, as_json=options.json))


def _introduce(who: Identity, *, as_json: bool) -> int:
    print(json.dumps(asdict(who), indent=2) if as_json else who)
    return HEALTHY


def _can_i(options: argparse.Namespace) -> int:
    return _with_identity(options, lambda who: _judge(who, options.permission))


def _judge(who: Identity, permission: str) -> int:
    role = f'the role "{who.role}"' if who.role else "the role"
    place = f' in workspace "{who.workspace_name}"' if who.workspace_name else ""
    try:
        may = who.may(permission)
    except ValueError as error:
        return _complain(str(error), WRONG_USE)
    if may is None:
        print(f"unknown: LangSmith does not say whether this key has {permission}")
        return UNKNOWN
    verdict, verb = ("yes", "has") if may else ("no", "lacks")
    print(f"{verdict}: {role}{place} {verb} {permission}")
    return HEALTHY if may else PROBLEM


def _with_identity(options: argparse.Namespace, tell: Callable[[Identity], int]) -> int:
    """Ask who the sender is; if LangSmith does not say, show why."""
    try:
        diagnosis = diagnose(policy=Policy(dotenv=options.env_file))
    except (LangSmithError, ValueError) as error:
        return _no_client(error)
    if diagnosis.identity is not None:
        return tell(diagnosis.identity)
    print(diagnosis, file=sys.stderr)
    return UNKNOWN if diagnosis.code in ("ok", "unknown") else PROBLEM


def _progress(done: int, of: int) -> None:
    """Show how far a long run is, on a terminal alone."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done} of {of}", end=end, file=sys.stderr, flush=True)


def _demo(options: argparse.Namespace) -> int:
    try:
        from safe_langsmith._command.demo import run
    except ImportError as error:
        return _complain(str(error), WRONG_USE)
    return run()


def _completion(options: argparse.Namespace) -> int:
    """Print a script that was made from the parser above by docs/make_completion.py."""
    script = resources.files(__package__) / "completion" / options.shell
    print(script.read_text(encoding="utf-8"), end="")
    return HEALTHY


# --- the terminal ---------------------------------------------------------------------


def _complain(text: str, code: int) -> int:
    print(f"safe-langsmith: {text}", file=sys.stderr)
    return code


def _no_client(error: Exception) -> int:
    why = scrub(" ".join(str(error).split()))
    return _complain(f"langsmith makes no client with these settings: {why}", PROBLEM)


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
