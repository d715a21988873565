"""The steps to fix a cause, worded for the source of the setting in use.

Texts only. A ``set NAME=value`` contains only a value that was proven to be right, never
one of several, a default, or an example.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from safe_langsmith._decision.case import Case
from safe_langsmith._knowledge.hosts import Region
from safe_langsmith._settings.construction import Name
from safe_langsmith._settings.sources import ARGUMENTS, FIELDS, UNNAMED, Source

KEY_LOST = "ask your network admin whether a proxy strips the header x-api-key"
WORKSPACE_LOST = "ask your network admin whether a proxy strips the header X-Tenant-Id"
AGAIN = "try again in a minute"
_NAMED = ("environment", "dotenv")
_UNNAMED = ("default", "none", "cache", "repair")
_API_URLS = "the api_urls argument"
# The first langsmith that was seen to read a workspace_id in LANGSMITH_RUNS_ENDPOINTS.
_ROWS_SINCE = "0.14.17"


# --- the setting in use ---------------------------------------------------------------


def variable(case: Case, name: Name) -> str:
    """The variable to set: the one in use, or the usual one; "" if none would help."""
    source = case.held[name].source
    if case.destination:
        return ""
    if source.kind in _NAMED:
        return source.name
    # The SDK does not allow an endpoint next to LANGSMITH_RUNS_ENDPOINTS.
    is_barred = name == "ENDPOINT" and bool(case.setup.runs_endpoints)
    return f"LANGSMITH_{name}" if source.kind in _UNNAMED and not is_barred else ""


def place(case: Case, name: Name) -> str:
    """Where the setting in use is written, or where to write it."""
    source, argument = case.held[name].source, ARGUMENTS[name]
    if case.destination:
        is_bare = case.destination == UNNAMED[1]
        return "the replica or the headers of this request" if is_bare else case.destination
    if found := variable(case, name):
        return f"{found} in {source.place}" if source.place else found
    if source.kind == "assigned":
        return f"client.{argument}"
    if source.kind == "profile":
        return f'"{argument}" of {source}'
    if source.kind in ("colab", "request"):
        return str(source)
    return f"the {source.name if source.kind == 'argument' else argument} argument"


def put(case: Case, name: Name, value: str) -> str:
    """The step that sets a setting to a value that was proven to be right."""
    where, source = place(case, name), case.held[name].source
    if case.destination:
        return _for_destination(case, name, value)
    if found := variable(case, name):
        return f"set {found}={value}{f' in {source.place}' if source.place else ''}"
    if source.kind == "assigned":
        return f'set {where} = "{value}"'
    if where == f"the {ARGUMENTS[name]} argument":
        return f'pass {ARGUMENTS[name]}="{value}"'
    return f"use {value} in {where}" if where == _API_URLS else f"set {where} to {value}"


def _for_destination(case: Case, name: Name, value: str) -> str:
    """Like `put`, for an additional trace destination, which has its own settings."""
    where = case.destination
    if name == "ENDPOINT":
        named = "" if where in UNNAMED else f", in {where}"
        return f"use {value} for this destination{named}"
    if where == _API_URLS:
        return f"use a key for a single workspace in {where}, which cannot name one"
    if where == case.setup.runs_endpoints:
        rows = f'[{{"api_url": ..., "api_key": ..., "workspace_id": "{value}"}}]'
        return f"set workspace_id in {where} (langsmith {_ROWS_SINCE} or newer): {rows}"
    auth = f'{{"api_key": ..., "tenant_id": "{value}"}}'
    return f"set tenant_id for this destination: auth={auth}"


def choose_workspace(case: Case) -> str:
    """The step that sets a workspace: the key's only one, or one that the user chooses."""
    known, where = case.workspaces, place(case, "WORKSPACE_ID")
    # A workspace without a name was not listed, so there may be others.
    if len(known) == 1 and known[0].name:
        return put(case, "WORKSPACE_ID", known[0].id)
    if case.destination == _API_URLS:
        return _for_destination(case, "WORKSPACE_ID", "")
    if case.destination:
        step = _for_destination(case, "WORKSPACE_ID", "...")
    else:
        step = "pass workspace_id=" if where.endswith("argument") else f"set {where}"
    if len(known) > 1:
        return f"choose one and {step}"
    if known and case.destination:
        return f"{step}; this key can use {known[0].id}"
    if known:
        return f"{step} to one that this key can use, such as {known[0].id}, or remove it"
    return f"{step}; the id of a workspace is in the web app, under Settings"


def choose_region(case: Case, regions: Iterable[Region], condition: str = "") -> str:
    """Set the endpoint to one of several regions; lists them, and picks none."""
    apis = [f"{region.api} ({region.name})" for region in regions]
    these = f"one of: {', '.join(apis)}" if len(apis) > 1 else apis[0]
    return f"{condition}set the endpoint in {place(case, 'ENDPOINT')} to {these}"


def correct(case: Case, name: Name, how: str) -> str:
    """Correct the text of a setting where it is written."""
    return f"correct {place(case, name)}: {how}"


# --- keys -----------------------------------------------------------------------------


def or_new_key(case: Case, others: tuple[str, ...] = (), more: str = "") -> tuple[str, ...]:
    """The step to replace a rejected key, as an alternative to ``others`` if there are any.

    ``more``: where else a key can be created.
    """
    page, where = case.keys_page, place(case, "API_KEY")
    step = f"create a new key at {page}{more}, and put it into {where}"
    return (*others, f"or {step}" if others else step)


def give_key(case: Case) -> str:
    """The step that sets a missing key; next to the endpoint, if a `.env` names that."""
    where, endpoint = place(case, "API_KEY"), case.held.endpoint.source
    if endpoint.place and endpoint.kind in _NAMED and where == "LANGSMITH_API_KEY":
        where += f" in {endpoint.place.partition(', line ')[0]}, next to {endpoint.name}"
    step = f"put a key into {where}" if case.destination else f"set {where}"
    if where == "LANGSMITH_API_KEY":
        step += ", or pass api_key="
    create = "" if case.names_another_host else f"; create a key at {case.keys_page}"
    return f"{step}{create}"


def log_in_again(case: Case) -> str:
    """Log in with LangSmith's CLI: only the user can renew a session."""
    login = case.setup.login
    name = f" --profile {shlex.quote(login.profile)}" if login else ""
    return f"log in again: langsmith auth login{name}"


def ask_regions(case: Case) -> str:
    """How to allow checking the key in the other regions."""
    kinds = {case.held.key.source.kind, case.held.endpoint.source.kind}
    if kinds & {"argument", "assigned", "request"}:
        return "or let the client check the other regions: Policy(probe_regions=True)"
    return "or check the other regions: safe-langsmith doctor --probe-regions"


# --- files, and names that nothing reads ----------------------------------------------


def load(
    case: Case, found: Mapping[Name, Source], condition: str | None = None
) -> list[str]:
    """The steps to load the settings of a `.env` file, which cannot override the code.

    ``condition`` begins the step; None means "if these lines are right".
    """
    steps = []
    in_code = [name for name in found if case.held[name].source.is_explicit]
    for name in in_code:
        where = place(case, name)
        steps.append(f"if {found[name].place} is right, use that value in {where}")
    others = {name: source for name, source in found.items() if name not in in_code}
    if not others:
        return steps
    environ = case.setup.environ
    hidden = [s.name for n, s in others.items() if environ[n].source.name == s.name]
    condition = _if_right(others.values()) if condition is None else condition
    call = f"load_dotenv({'override=True' if hidden else ''})"
    step = f"call {call} before the client is created"
    if hidden and case.setup.dotenv_counts:  # otherwise, nothing may load the file
        step = f"unset {' '.join(hidden)} (if your shell exports it), or {step}"
    return [*steps, f"{condition}{step}"]


def unhide(case: Case, found: Mapping[Name, Source]) -> list[str]:
    """The step that removes the variables that override the settings of a profile."""
    environ = case.setup.environ
    hiding = [str(environ[name].source) for name in found if environ[name].value]
    profile = next(iter(found.values()))
    return [f"remove {' and '.join(hiding)}: it overrides {profile}"] if hiding else []


def _if_right(sources: Iterable[Source]) -> str:
    first, *others = (source.place for source in sources)
    where = " and ".join([first, *(place.rpartition(", ")[2] for place in others)])
    return f"if {where} {'are' if others else 'is'} right, "


def mentioned(case: Case, name: Name) -> list[str]:
    """Correct a setting that is named where nothing reads it, as on a line with a typo."""
    steps, usual = [], f"LANGSMITH_{name}"
    for mention in case.setup.mentions:
        if mention.setting != name:
            continue
        if mention.name.endswith("RUNS_ENDPOINTS"):
            there = f"if the key is for a destination in {mention.name}"
            steps.append(f"{there}, pass its URL as api_url=")
        elif mention.broken:
            text = f"correct {mention.place}: it sets nothing; write {usual}=<value>"
            steps.append(text)
        elif mention.name:
            where = "" if mention.place == mention.name else f" in {mention.place}"
            what = f"{mention.name}{where} contains the {FIELDS[name]}"
            steps.append(f"if {what} to use, rename it to {usual}")
        elif ", line " not in mention.place:
            text = f"correct {mention.place}: no setting could be read from there"
            steps.append(text)
        elif mention.place not in _found_places(case):
            finds = "load_dotenv(find_dotenv(usecwd=True))"
            steps.append(f"if {mention.place} is right, load that file: {finds}")
    return list(dict.fromkeys(steps))


def _found_places(case: Case) -> set[str]:
    """The lines of the `.env` file that load_dotenv() would find."""
    found = case.setup.in_file
    return {s.source.place for s in (found.key, found.endpoint, found.workspace)}


# --- others ---------------------------------------------------------------------------


def ask_owner(case: Case, what: str) -> str:
    """Ask the admin of the server. ``what`` completes the sentence."""
    return f"ask the admin of {case.host} {what}"


def allow_host(case: Case) -> tuple[str, ...]:
    """Have a host allowed that a proxy or firewall blocks."""
    ask = f"ask your network admin to allow {case.host}"
    proxy = case.setup.network.proxy(case.sent.endpoint).variable
    return (ask, f"or check the proxy in {proxy}") if proxy else (ask,)
