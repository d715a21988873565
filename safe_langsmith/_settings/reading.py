"""All that is configured, read at once, and the source of each value of a client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT, same_origin
from safe_langsmith._knowledge.keys import clean
from safe_langsmith._settings.colab import read_secrets
from safe_langsmith._settings.conflicts import conflicts, passed_over, quarrels
from safe_langsmith._settings.construction import NAMES, AtConstruction, Name
from safe_langsmith._settings.dotenv_file import Choice, Dotenv, File, read_dotenv
from safe_langsmith._settings.environment import environ_now, settings_in
from safe_langsmith._settings.profile_file import Profile, read_profile
from safe_langsmith._settings.releases import installed
from safe_langsmith._settings.sdk_cache import read_cache
from safe_langsmith._settings.sources import (
    ARGUMENTS,
    Setting,
    Settings,
    Setup,
    Source,
    part,
)
from safe_langsmith._settings.tracing import read_project, read_switch
from safe_langsmith._settings.unread import Mention, mentions_in


def read(
    client_values: Access,
    born: AtConstruction,
    repaired: Settings | None,
    dotenv: Choice,
) -> Setup:
    """Read what is configured now, and trace each value of a client to its source.

    Reads os.environ, the SDK's cache, the `.env` file, the profile file and, in a Colab
    notebook, its secrets.

    Args:
        client_values: What the client holds.
        born: What was taken down when the client was made.
        repaired: What the last repair of this client set, if any.
        dotenv: As in `Policy`.
    """
    files, secrets = read_dotenv(dotenv), read_secrets()
    counts = files.counts and files.found.is_clear
    profile = read_profile(*born.profile)
    project, other_projects = read_project()
    tracing, other_switches, odd_switch = read_switch()
    setup = Setup(
        held=Settings(),
        environ=environ_now(),
        dotenv=files.found.settings if counts else Settings(),
        in_file=files.found.settings,
        colab=secrets.settings,
        profile=profile.settings,
        cached=read_cache(),
        aliases=_aliases(files.found if counts else File()),
        mentions=_mentions(files, profile),
        login=profile.login,
        project=project,
        tracing=tracing,
        session=client_values.session,
        langsmith=installed(),
    )
    values = (client_values.key, client_values.endpoint, client_values.workspace)
    held = Settings(
        *(
            _trace(name, value, setup, born, repaired)
            for name, value in zip(ARGUMENTS, values, strict=True)
        )
    )
    setup = replace(setup, held=held)
    notes = (*files.notes, *secrets.notes, *profile.notes, *odd_switch, *conflicts(setup))
    others = (*passed_over(setup), *other_projects, *other_switches)
    return replace(setup, notes=notes, passed_over=others)


def as_sent(setup: Setup, sent: Access, headers: Mapping[str, str]) -> Setup:
    """The setup of one request: what it sent besides the client's own is its choice.

    A further destination of traces, on another host, has settings of its own: what the
    environment and files say is not meant for it. ``headers`` are those that a person
    gave to the client.
    """
    if not same_origin(sent.endpoint, setup.access.endpoint):
        return _of_a_destination(sent, setup)
    given = {name.lower(): value for name, value in headers.items()}

    def chosen(held: Setting, value: str | None, header: str = "") -> Setting:
        if held.value == value:
            return held
        name = "the headers argument" if value and given.get(header) == value else ""
        return Setting(value, Source("request", name))

    held = Settings(
        key=chosen(setup.held.key, sent.key, "x-api-key"),
        endpoint=chosen(setup.held.endpoint, sent.endpoint),
        workspace=chosen(setup.held.workspace, sent.workspace, "x-tenant-id"),
    )
    notes = (*setup.notes, *quarrels(given, sent))
    return replace(setup, held=held, session=sent.session, notes=notes)


def _of_a_destination(sent: Access, setup: Setup) -> Setup:
    own = Source("request", "the settings of this destination")
    workspace = Setting(sent.workspace, own) if sent.workspace else Setting()
    held = Settings(Setting(sent.key, own), Setting(sent.endpoint, own), workspace)
    return Setup(
        held=held,
        project=setup.project,
        tracing=setup.tracing,
        session=sent.session,
        langsmith=setup.langsmith,
    )


def _trace(
    name: Name,
    value: str | None,
    setup: Setup,
    born: AtConstruction,
    repaired: Settings | None,
) -> Setting:
    """Find where the value that a client holds came from."""
    argument = ARGUMENTS[name]
    if repaired is not None and value == part(repaired, name).value:
        return part(repaired, name)
    if repaired is not None or value != _initial(name, born.held):
        return Setting(value, Source("assigned", argument))
    if "api_urls" in born.arguments and name != "WORKSPACE_ID":
        return Setting(value, Source("argument", "api_urls"))
    if argument in born.arguments:
        return Setting(value, Source("argument", argument))
    at_birth = part(settings_in(dict(born.environ), "environment"), name)
    # httpx quotes what no address may hold.
    same = value is not None and unquote(value) == at_birth.value
    if at_birth.value and (same or value in (at_birth.value, clean(at_birth.value))):
        return _loaded_from(replace(at_birth, value=value), part(setup.dotenv, name))
    if value is None and name == "API_KEY" and setup.session and setup.login:
        login = setup.login
        source = Source("profile", f"profile {login.profile!r}", login.place)
        return Setting(None, source)
    if value is None:
        return Setting()
    if value == DEFAULT_ENDPOINT and name == "ENDPOINT":
        return Setting(value, Source("default", "default"))
    if value == part(setup.profile, name).value:
        return part(setup.profile, name)
    # Neither passed nor in the environment at birth: the profile, edited since, or the
    # SDK's cache.
    return Setting(value, Source("cache", f"LANGSMITH_{name}"))


def _initial(name: Name, held: Access) -> str | None:
    initial = {"API_KEY": held.key, "ENDPOINT": held.endpoint}
    return initial.get(name, held.workspace)


def _loaded_from(variable: Setting, in_file: Setting) -> Setting:
    """Say which line of the `.env` a variable was loaded from, where it is the same."""
    if variable.value != in_file.value:
        return variable
    return replace(variable, source=replace(variable.source, place=in_file.source.place))


def _mentions(files: Dotenv, profile: Profile) -> tuple[Mention, ...]:
    """Settings that are named anywhere, and not where the SDK's client reads them.

    A `.env` that is not used names its settings so, too.
    """
    found = [*mentions_in(os.environ), *files.found.mentions, *files.here.mentions]
    found += profile.mentions
    unused = [files.here] if files.counts else [files.here, files.found]
    for file in unused:
        found += [
            Mention(name, setting.source.place)
            for name in NAMES
            if (setting := part(file.settings, name)).value
        ]
    return tuple(found)


def _aliases(in_file: File) -> tuple[Setting, ...]:
    """LANGSMITH_TENANT_ID, which LangSmith's CLI reads and the SDK's client does not."""
    name = "LANGSMITH_TENANT_ID"
    found = []
    if value := os.environ.get(name, "").strip():
        found.append(Setting(value, Source("environment", name)))
    if value := (in_file.values.get(name) or "").strip():
        found.append(Setting(value, Source("dotenv", name, in_file.place[name])))
    return tuple(found)
