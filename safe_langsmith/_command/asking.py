"""The commands that use settings: doctor, whoami, can-i and replay.

Each uses the settings of a program that starts with ``load_dotenv()``. `cli.py` has their
help; it imports this module, and with it the SDK, only when one of them runs.
"""

from __future__ import annotations

import argparse
import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial, wraps
from typing import Any

from langsmith.utils import LangSmithError

from safe_langsmith._client import SafeClient
from safe_langsmith._command.doctor import Report, examined, no_client, report
from safe_langsmith._command.fix import fixed
from safe_langsmith._command.github import announce
from safe_langsmith._command.loaded import Choice, Program, loaded, nearest
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import (
    HEALTHY,
    PROBLEM,
    UNKNOWN,
    Look,
    Progress,
    complain,
)
from safe_langsmith._command.tracing_checks import (
    OF_ONE_CALL,
    role_of,
    step_after,
    unanswered,
)
from safe_langsmith._diagnosis import Diagnosis, Identity, in_one_line
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._policy import Policy
from safe_langsmith._sdk.clients import failed_traces_folder
from safe_langsmith._settings.construction import NAMES, reworded
from safe_langsmith._settings.profile_file import read_profile
from safe_langsmith._settings.sources import FIELDS, Setup
from safe_langsmith._transport.owner import state_of

_Command = Callable[[argparse.Namespace], int]
# Replace a client's arguments in texts by the command's options.
_OPTIONS = (
    ("the api_url argument", "--api-url"),
    ("pass api_url=", "pass --api-url "),
    ("the workspace_id argument", "--workspace-id"),
    ("the profile argument", "--profile"),
    ("pass workspace_id=", "pass --workspace-id "),
    (": Policy(probe_regions=True)", ": --probe-regions"),
    ("=True) before the client is created", "=True) in the program (not visible here)"),
)


class NoClientError(Exception):
    """The SDK cannot create a client with the settings: why, and what to do, if known."""


@contextmanager
def _client(program: Program, url: str | None = None, **more: Any) -> Iterator[SafeClient]:
    """A client as the program would create it."""
    more.setdefault("policy", Policy(dotenv=program.path))
    try:
        client = SafeClient(url, auto_batch_tracing=False, **more)
    except Exception as error:  # the SDK does not check the structure of a profile
        why = str(error)
        if not isinstance(error, (LangSmithError, ValueError)):
            notes = read_profile(more.get("profile"), None).notes
            why = notes[0].text if notes else f"{type(error).__name__}: {why}"
        why = scrub(" ".join(why.split()))
        raise NoClientError(why, step_after(why)) from error
    with client.session:
        yield client


def _with_settings(command: _Command) -> _Command:
    """Print one line if no client can be created."""

    @wraps(command)
    def run(options: argparse.Namespace) -> int:
        try:
            return command(options)
        except NoClientError as error:
            why = "; ".join(filter(None, error.args))
            text = f"langsmith cannot create a client with these settings: {why}"
            return complain(text, PROBLEM)

    return run


# --- doctor ---------------------------------------------------------------------------


def doctor(options: argparse.Namespace) -> int:
    """Check the settings; with --fix, correct the `.env`."""
    with loaded(options.env_file):  # it may name the file with the profiles
        wrong = _misuse(options)
    if wrong:
        return complain(wrong)
    found = _fix(options) if options.fix else _report(options, options.env_file)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    elif not options.fix:
        print(rendered(found, Look.of(sys.stdout), verbose=options.verbose))
    announce(found, sys.stderr if options.json else sys.stdout)
    if found.problems or (options.strict and found.warnings and found.code == "ok"):
        return PROBLEM
    return UNKNOWN if found.code == "unknown" else HEALTHY


def _misuse(options: argparse.Namespace) -> str | None:
    """What is wrong with the doctor's options, if anything."""
    if options.yes and not options.fix:
        return "--yes works only with --fix"
    others = (options.api_url, options.workspace_id, options.profile, options.offline)
    if options.fix and (any(others) or options.env_file is False):
        without = "--api-url, --workspace-id, --profile, --offline, or --no-env-file"
        return f"--fix cannot be combined with {without}"
    known = inspect.signature(SafeClient).parameters
    if options.profile is None:
        return None
    if "profile" not in known:
        return "--profile needs a newer langsmith"
    place = read_profile(options.profile, None)
    return reworded(place.notes[0].text, _OPTIONS) if place.mentions else None


def _overridden(setup: Setup) -> Iterator[str]:
    """What a profile has, but variables override."""
    for name in NAMES:
        source, there = setup.held[name].source, setup.profile[name]
        has_login = name == "API_KEY" and setup.login is not None
        is_there = has_login or (there.value and not there.implied)
        if is_there and source.kind == "environment":
            yield f"--profile: its {FIELDS[name]} is not used; {source.name} overrides it"


def _report(options: argparse.Namespace, choice: Choice) -> Report:
    given = {"workspace_id": options.workspace_id, "profile": options.profile}
    # An older langsmith has no argument `profile`.
    given = {name: value for name, value in given.items() if value is not None}
    with loaded(choice) as program:
        policy = Policy(
            dotenv=program.path,
            probe_regions=options.probe_regions,
            budget_s=options.timeout,
        )
        try:
            with _client(program, options.api_url, policy=policy, **given) as client:
                state_of(client).initial = replace(state_of(client).initial, words=_OPTIONS)
                offline = options.offline or bool(program.withheld)
                doing = "reading" if offline else f"asking {shown(client.api_url)}"
                with Progress(doing, sys.stderr):
                    facts = examined(client, offline=offline)
            more = _overridden(facts.setup) if options.profile else ()
            return report(facts, program._replace(unused=(*program.unused, *more)))
        except NoClientError as error:
            given = {"api_url": options.api_url, **given}
            return report(no_client(program, given, *error.args), program)


def _fix(options: argparse.Namespace) -> Report:
    """Correct the `.env`, after asking at the terminal."""
    talk = sys.stderr if options.json else sys.stdout
    say = partial(print, file=talk, flush=True)
    path = options.env_file or nearest()
    found: list[Report] = []

    def look() -> Diagnosis:
        found.append(_report(options, path))
        run = not found[-1].verdict.fixes
        say(rendered(found[-1], Look.of(talk), verbose=options.verbose, run=run))
        return found[-1].verdict

    def agrees(file: str) -> bool:
        if options.yes:
            return True
        if not (sys.stdin.isatty() and talk.isatty()):
            say("Not a terminal, so nobody can confirm. Rerun with: doctor --fix --yes")
            return False
        say(f"Write this to {file}? [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    fixed(path, named=bool(options.env_file), look=look, say=say, agrees=agrees)
    return found[-1]


# --- the others -----------------------------------------------------------------------


def _not_asked(program: Program) -> int:
    return complain(f"nothing was sent: {program.withheld}; {program.step}", UNKNOWN)


@_with_settings
def whoami(options: argparse.Namespace) -> int:
    """Show who you are to LangSmith."""
    found = _identified(options)
    if isinstance(found, int):
        return found
    diagnosis, who = found
    print(json.dumps(asdict(who), indent=2) if options.json else who)
    if diagnosis.code in OF_ONE_CALL:
        return HEALTHY
    return complain(in_one_line(diagnosis, "To fix it"), PROBLEM)


@_with_settings
def can_i(options: argparse.Namespace) -> int:
    """Print whether your role has a permission."""
    found = _identified(options)
    if isinstance(found, int):
        return found
    diagnosis, who = found
    may = who.may(options.permission)
    if may is None:
        why = "LangSmith does not list permissions for this key"
        why = why if who.workspace_id else "no workspace is set; see safe-langsmith doctor"
        print(f"unknown: {unanswered(diagnosis) or why}")
        return UNKNOWN
    verdict, verb = ("yes", "has") if may else ("no", "lacks")
    print(f"{verdict}: {role_of(who)} {verb} {options.permission}")
    return HEALTHY if may else PROBLEM


def _identified(options: argparse.Namespace) -> tuple[Diagnosis, Identity] | int:
    """Who you are to LangSmith; if unknown, print why and return the exit code."""
    with loaded(options.env_file) as program:
        if program.withheld:
            return _not_asked(program)
        with _client(program) as client:
            diagnosis = client.diagnose()
    if diagnosis.identity and diagnosis.code in (*OF_ONE_CALL, "workspace-required"):
        return diagnosis, diagnosis.identity
    print(diagnosis, file=sys.stderr)
    return UNKNOWN if diagnosis.code in ("ok", "unknown") else PROBLEM


@_with_settings
def replay(options: argparse.Namespace) -> int:
    """Send the traces that were saved."""
    with loaded(options.env_file) as program:
        if program.withheld:
            return _not_asked(program)
        if program.places and not program.named:
            return _unnamed(program, options.folder)
        # A file that was found is not used, but it may name another endpoint.
        asking = None if program.is_clear else False
        policy = Policy(dotenv=program.named and program.path, probe_regions=asking)
        with _client(program, policy=policy) as client:
            folder = options.folder or failed_traces_folder(client)[0]
            if not folder:
                return complain("which folder? Pass it, or set LANGSMITH_FAILED_TRACES_DIR")
            try:
                result = client.replay_failed_traces(folder, on_progress=_progress)
            except NotADirectoryError as error:
                return complain(str(error))
            except OSError as error:
                return complain(str(error), PROBLEM)
    print(result)
    if result.error is not None:
        print(f"\n{result.error}")
    return PROBLEM if result.left else HEALTHY


def _unnamed(program: Program, folder: str | None) -> int:
    """Refuse to send traces with a `.env` that was found, not passed explicitly."""
    first = next(iter(program.places))
    words = ["safe-langsmith", "replay", folder, "--env-file", str(program.path)]
    command = scrub(shlex.join(word for word in words if word))
    return complain(
        f"nothing was sent: {first} comes from {program.places[first]}, and replay uses "
        f"only a .env that you name. If you trust this file, and it has the key, "
        f"run: {command}"
    )


def _progress(done: int, of: int) -> None:
    """Show the progress, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done} of {of}", end=end, file=sys.stderr, flush=True)
