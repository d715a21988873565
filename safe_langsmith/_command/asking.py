"""The commands that ask LangSmith about the settings: doctor, whoami and can-i.

Their docstrings are their help, as `cli.py` tells.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from dataclasses import asdict
from functools import partial

from langsmith.utils import LangSmithError

from safe_langsmith._client import SafeClient
from safe_langsmith._command.doctor import Report, examined, report
from safe_langsmith._command.fix import fixed
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import Look, Progress
from safe_langsmith._diagnose import diagnose
from safe_langsmith._diagnosis import Identity
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._policy import Policy

HEALTHY, PROBLEM, WRONG_USE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130


def doctor(options: argparse.Namespace) -> int:
    """Check the settings found here against LangSmith.

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
    """  # noqa: E501  # the help is shown without the indent
    if wrong := _misuse(options):
        return complain(wrong)
    try:
        policy = Policy(
            dotenv=options.env_file,
            probe_regions=options.probe_regions,
            budget_s=options.timeout,
        )
        if options.fix:
            return _fix(options, policy)
        found = _report(options, policy)
    except (LangSmithError, ValueError) as error:
        return no_client(error)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        print(rendered(found, Look.of(sys.stdout)))
    return _exit_code(found.code)


def _misuse(options: argparse.Namespace) -> str | None:
    """What is wrong with the doctor's options, if anything is."""
    if options.yes and not options.fix:
        return "--yes goes with --fix"
    others = (options.api_url, options.workspace_id, options.profile, options.offline)
    if options.fix and any(others):
        text = "--fix is for what is set: give it without another endpoint, workspace or"
        return f"{text} profile, and not --offline"
    known = inspect.signature(SafeClient).parameters
    if options.profile is not None and "profile" not in known:
        return "--profile needs a newer langsmith"
    return None


def _report(options: argparse.Namespace, policy: Policy) -> Report:
    # An older langsmith does not know the argument.
    chosen = {} if options.profile is None else {"profile": options.profile}
    client = SafeClient(
        options.api_url,
        workspace_id=options.workspace_id,
        auto_batch_tracing=False,
        policy=policy,
        **chosen,
    )
    doing = "reading" if options.offline else f"asking {shown(client.api_url)}"
    with client.session, Progress(doing, sys.stderr):
        return report(examined(client, offline=options.offline))


def _exit_code(code: str) -> int:
    return {"ok": HEALTHY, "unknown": UNKNOWN}.get(code, PROBLEM)


def _fix(options: argparse.Namespace, policy: Policy) -> int:
    """Put the `.env` right, in a talk with whoever sits at the terminal."""
    talk = sys.stderr if options.json else sys.stdout
    say = partial(print, file=talk, flush=True)

    def agrees(file: str) -> bool:
        if options.yes:
            return True
        if not (sys.stdin.isatty() and talk.isatty()):
            say("There is no terminal to ask at. To have it written: doctor --fix --yes")
            return False
        say(f"Write this to {file}? [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    diagnosis = fixed(policy, say, agrees)
    if options.json:
        print(json.dumps(diagnosis.as_dict(), indent=2))
    return _exit_code(diagnosis.code)


def whoami(options: argparse.Namespace) -> int:
    """Say who LangSmith takes you for, and what you may do.

    examples:
      safe-langsmith whoami
      safe-langsmith whoami --json

    exit code: 0 LangSmith knows you; 1 it does not, and why; 3 it gave no answer that tells.
    """  # noqa: E501  # the help is shown without the indent
    who = _identity(options)
    if isinstance(who, int):
        return who
    print(json.dumps(asdict(who), indent=2) if options.json else who)
    return HEALTHY


def can_i(options: argparse.Namespace) -> int:
    """Say whether your role has a permission.

    examples:
      safe-langsmith can-i runs:create
      safe-langsmith can-i projects:create && python evaluate.py

    An access policy of the organization may deny what a role allows.

    exit code: 0 yes; 1 no, or LangSmith does not know the key; 2 there is no such permission;
    3 LangSmith does not say.
    """  # noqa: E501  # the help is shown without the indent
    who = _identity(options)
    if isinstance(who, int):
        return who
    try:
        may = who.may(options.permission)
    except ValueError as error:
        return complain(str(error))
    if may is None:
        print(f"unknown: LangSmith does not say whether this key has {options.permission}")
        return UNKNOWN
    role = f'the role "{who.role}"' if who.role else "the role"
    place = f' in workspace "{who.workspace_name}"' if who.workspace_name else ""
    verdict, verb = ("yes", "has") if may else ("no", "lacks")
    print(f"{verdict}: {role}{place} {verb} {options.permission}")
    return HEALTHY if may else PROBLEM


def _identity(options: argparse.Namespace) -> Identity | int:
    """Who the sender is. If LangSmith does not say: show why, and give the exit code."""
    try:
        diagnosis = diagnose(policy=Policy(dotenv=options.env_file))
    except (LangSmithError, ValueError) as error:
        return no_client(error)
    if diagnosis.identity is not None:
        return diagnosis.identity
    print(diagnosis, file=sys.stderr)
    return UNKNOWN if diagnosis.code in ("ok", "unknown") else PROBLEM


def complain(text: str, code: int = WRONG_USE) -> int:
    """Say why a command was not carried out, and give its exit code."""
    print(f"safe-langsmith: {text}", file=sys.stderr)
    return code


def no_client(error: Exception) -> int:
    """Say that the SDK takes no such settings, and why."""
    why = scrub(" ".join(str(error).split()))
    return complain(f"langsmith makes no client with these settings: {why}", PROBLEM)
