"""Reads all settings, and finds the source of each value in a client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import unquote

import langsmith

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT, same_origin
from safe_langsmith._knowledge.keys import clean
from safe_langsmith._settings import python_dotenv
from safe_langsmith._settings.colab import read_secrets
from safe_langsmith._settings.conflicts import conflicts, header_conflicts, passed_over
from safe_langsmith._settings.construction import NAMES, AtConstruction, Name, variables
from safe_langsmith._settings.dotenv_file import (
    LARGEST_FILE,
    Choice,
    Dotenv,
    File,
    read_dotenv,
)
from safe_langsmith._settings.environment import (
    as_read,
    environ_now,
    read_cache,
    settings_in,
)
from safe_langsmith._settings.network import read_network
from safe_langsmith._settings.profile_file import read_profile
from safe_langsmith._settings.sources import (
    ARGUMENTS,
    FIELDS,
    HEADERS,
    NOWHERE,
    UNNAMED,
    Setting,
    Settings,
    Setup,
    Source,
)
from safe_langsmith._settings.tracing import read_project, read_switch
from safe_langsmith._settings.unread import Mention, mentions_in, near_misses


def read(
    client_values: Access,
    initial: AtConstruction,
    repaired: Settings | None,
    dotenv: Choice,
) -> Setup:
    """Read the current settings, and find the source of each value of a client.

    Reads os.environ, the SDK's cache, the `.env` file, the profile file and, in a Colab
    notebook, its secrets.

    Args:
        client_values: What the client sends.
        initial: What was recorded when the client was created.
        repaired: What the last repair of this client set, if any.
        dotenv: As in `Policy`.
    """
    setup = _read_now(client_values.session, initial, dotenv)
    traced = (_trace(name, client_values, setup, initial, repaired) for name in NAMES)
    setup = replace(setup, held=Settings(*traced))
    others = (*passed_over(setup), *setup.passed_over)
    return replace(setup, notes=(*setup.notes, *conflicts(setup)), passed_over=others)


def _read_now(session: bool, initial: AtConstruction, dotenv: Choice) -> Setup:
    """The current settings, independent of the client's own values."""
    files, secrets = read_dotenv(dotenv), read_secrets()
    profile = read_profile(*initial.profile)
    used = files.found if files.counts and files.found.is_clear else File()
    project, other_projects = read_project()
    tracing, other_switches, odd_switch = read_switch()
    return Setup(
        held=Settings(),
        environ=environ_now(),
        dotenv=used.settings,
        in_file=files.found.settings,
        colab=secrets.settings,
        profile=profile.settings,
        cached=read_cache(),
        aliases=(*_aliases(used), *_of_client(initial)),
        mentions=_mentions(files, profile.mentions),
        login=profile.login,
        project=project,
        tracing=tracing,
        network=read_network(),
        destinations=tuple(_destinations(initial)),
        session=session,
        langsmith=langsmith.__version__,
        words=initial.words,
        passed_over=(*other_projects, *other_switches),
        notes=(*files.notes, *secrets.notes, *profile.notes, *odd_switch),
        unread=tuple(near_misses(os.environ, files.found.values, files.found.place)),
    )


def as_sent(setup: Setup, sent: Access, headers: Mapping[str, str]) -> Setup:
    """The setup of one request, which may send other values than the client.

    An additional trace destination on another host has its own settings: the environment
    and files do not apply to it. ``headers`` are those that were passed to the client.
    """
    own = setup.access
    places = setup.destinations
    known = next((name for url, name in places if same_origin(url, sent.endpoint)), "")
    if known and sent.key not in (own.key, None):
        return _of_a_destination(sent, setup, known)
    # An invalid URL has no host, but is still the client's own.
    if sent.endpoint != own.endpoint and not same_origin(sent.endpoint, own.endpoint):
        return _of_a_destination(sent, setup, known or UNNAMED[0])
    given = {name.lower(): value for name, value in headers.items()}

    def chosen(held: Setting, value: str | None, header: str = "") -> Setting:
        if held.value == value:
            return held
        name = HEADERS if value and given.get(header) == value else ""
        return Setting(value, Source("request", name))

    held = Settings(
        key=chosen(setup.held.key, sent.key, "x-api-key"),
        # The part after a # is not sent, so the two always differ.
        endpoint=setup.held.endpoint
        if "#" in own.endpoint
        else chosen(setup.held.endpoint, sent.endpoint),
        workspace=chosen(setup.held.workspace, sent.workspace, "x-tenant-id"),
    )
    notes = (*setup.notes, *header_conflicts(given, sent))
    return replace(setup, held=held, session=sent.session, notes=notes)


def _of_a_destination(sent: Access, setup: Setup, name: str) -> Setup:
    own = Source("request", name)
    workspace = Setting(sent.workspace, own) if sent.workspace else Setting()
    held = Settings(Setting(sent.key, own), Setting(sent.endpoint, own), workspace)
    return setup.for_destination(held, session=sent.session)


def _trace(
    name: Name,
    held: Access,
    setup: Setup,
    initial: AtConstruction,
    repaired: Settings | None,
) -> Setting:
    """Find the source of a value in a client."""
    field, argument = FIELDS[name], ARGUMENTS[name]
    value: str | None = getattr(held, field)
    if repaired is not None and value == repaired[name].value:
        return repaired[name]
    if repaired is not None or value != getattr(initial.held, field):
        return Setting(value, Source("assigned", argument))
    if "api_urls" in initial.arguments and name != "WORKSPACE_ID":
        return Setting(value, Source("argument", "api_urls"))
    if argument in initial.arguments:
        return Setting(value, Source("argument", argument))
    at_creation = settings_in(dict(initial.environ), "environment")[name]
    # httpx percent-encodes what no URL may contain.
    same = value is not None and unquote(value) == at_creation.value
    if at_creation.value and (
        same or value in (at_creation.value, clean(at_creation.value))
    ):
        return Setting(value, _loaded_from(at_creation.source, value, setup.dotenv[name]))
    if value is None and name == "API_KEY" and setup.session and setup.login:
        login = setup.login
        return Setting(None, Source("profile", f"profile {login.profile!r}", login.place))
    if value is None:
        return Setting(None, _blank(name))
    if value == DEFAULT_ENDPOINT and name == "ENDPOINT":
        return Setting(value, Source("default", "default"))
    if value == setup.profile[name].value:
        return setup.profile[name]
    # It was neither passed nor in the environment: it is from the SDK's cache, or from a
    # profile that has changed since.
    return Setting(value, Source("cache", f"LANGSMITH_{name}"))


def _loaded_from(source: Source, value: str | None, in_file: Setting) -> Source:
    """A variable's source, with the line of the `.env` file that the program loaded.

    Without python-dotenv, the same value was exported in some other way.
    """
    is_same = in_file.value == value and in_file.source.name == source.name
    is_loaded = is_same and python_dotenv.program_uses_it()
    otherwise = in_file.source.place if is_loaded else ""
    # Our own command has loaded the file, and recorded each line.
    return replace(source, place=python_dotenv.LOADED.get(source.name, otherwise))


def _blank(name: Name) -> Source:
    """The variable that is set but empty; `NOWHERE` if there is none."""
    texts = {n: os.environ[n] for n in variables(name) if n in os.environ}
    empty = [n for n, text in texts.items() if not as_read(name, text)]
    return Source("environment", empty[0]) if empty else NOWHERE


def _destinations(initial: AtConstruction) -> Iterator[tuple[str, str]]:
    """The additional trace destinations that are configured, as in `Setup`."""
    for url in initial.destinations:
        yield url, "the api_urls argument"
    for name in variables("RUNS_ENDPOINTS"):
        if text := os.environ.get(name, "").strip()[:LARGEST_FILE]:
            yield "", name
            try:
                rows = json.loads(text)
            except (ValueError, RecursionError):
                continue
            rows = rows if isinstance(rows, (list, dict)) else ()
            urls = [row.get("api_url") if isinstance(row, dict) else row for row in rows]
            yield from ((url, name) for url in urls if isinstance(url, str))


def _mentions(files: Dotenv, in_profile: tuple[Mention, ...]) -> tuple[Mention, ...]:
    """Settings that are named where the SDK's client does not read them.

    This includes a `.env` file that is not used.
    """
    unused = (files.here,) if files.counts else (files.here, files.found)
    settings = ((name, file.settings[name]) for file in unused for name in NAMES)
    set_there = (Mention(name, s.source.place) for name, s in settings if s.value)
    in_files = (*files.found.mentions, *files.here.mentions, *in_profile)
    return (*mentions_in(os.environ), *in_files, *set_there)


def _of_client(initial: AtConstruction) -> Iterator[Setting]:
    """The workspace that was passed to the client that owns an exporter."""
    if initial.workspace:
        yield Setting(initial.workspace, Source("argument", ARGUMENTS["WORKSPACE_ID"]))


def _aliases(in_file: File) -> tuple[Setting, ...]:
    """LANGSMITH_TENANT_ID, which LangSmith's CLI reads, but not the SDK's client."""
    name = "LANGSMITH_TENANT_ID"
    sources = {
        Source("environment", name): os.environ.get(name),
        Source("dotenv", name, in_file.place.get(name, "")): in_file.values.get(name),
    }
    found = (((text or "").strip(), source) for source, text in sources.items())
    return tuple(Setting(value, source) for value, source in found if value)
