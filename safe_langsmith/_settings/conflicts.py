"""What disagrees: between the names of a setting, and between the places it stands in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._knowledge.keys import mask
from safe_langsmith._settings.construction import NAMES, NAMESPACES, Name
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.releases import advice
from safe_langsmith._settings.sources import (
    ARGUMENTS,
    PassedOver,
    Setting,
    Setup,
    as_shown,
    part,
)
from safe_langsmith._settings.unread import Mention

_TITLES: dict[Name, str] = {
    "API_KEY": "key",
    "ENDPOINT": "endpoint",
    "WORKSPACE_ID": "workspace",
}
# The SDK reads these names, if not its client; what they say is told elsewhere.
_TOLD_ELSEWHERE = ("TENANT_ID", "RUNS_ENDPOINTS")


def disagreements(setup: Setup) -> tuple[Finding, ...]:
    """Name the settings on which the client, os.environ, `.env` and cache disagree."""
    texts = []
    for name in NAMES:
        held, environ = part(setup.held, name), part(setup.environ, name)
        login = name == "API_KEY" and setup.session and not held.value
        what = "a login session" if login else as_shown(name, held.value)
        used = f"the client uses {what}, from {held.source}"
        if held.source.kind == "cache" and environ.value is None:
            texts.append(f"{used}; os.environ does not have it any more")
        for now in (environ, part(setup.in_file, name), part(setup.colab, name)):
            if now.value is None or now.value == held.value:
                continue
            where = "in os.environ is now" if now is environ else "is"
            text = f"{now.source} {where} {as_shown(name, now.value)}; {used}"
            if now.source.kind == "dotenv":
                text += _why_not_loaded(setup, now, environ)
            texts.append(text)
    return tuple(Finding("settings", "unknown", text) for text in texts)


def _why_not_loaded(setup: Setup, in_file: Setting, environ: Setting) -> str:
    """Why a value in a `.env` is not the one in force, where that is known."""
    if not setup.dotenv_counts:
        return "; that file is not used"
    if in_file.source.name == environ.source.name and in_file.value != environ.value:
        return "; without override=True, load_dotenv() keeps what is set already"
    return ""


def remembered(setup: Setup) -> tuple[str, ...]:
    """What the SDK's cache answers, where os.environ says something else by now."""
    texts = []
    for name in NAMES:
        cached, now = part(setup.cached, name), part(setup.environ, name)
        value = now.value or (DEFAULT_ENDPOINT if name == "ENDPOINT" else None)
        if cached.value != value:
            kept = f"{cached.source} is {as_shown(name, cached.value)}"
            texts.append(f"{kept}; os.environ says {as_shown(name, now.value)}")
    return tuple(texts)


def conflicts(setup: Setup) -> tuple[Finding, ...]:
    """Name the settings that two names give, or that two places have joined."""
    texts = [t for name in NAMES for t in _two_names(name, part(setup.held, name))]
    for mention in setup.mentions:
        held = part(setup.held, mention.setting)
        is_set = held.value and held.source.kind != "default"
        if mention.name and not is_set and not mention.name.endswith(_TOLD_ELSEWHERE):
            texts.append(_unread(mention))
    joined = _joined(setup)
    texts += [joined] if joined else []
    return tuple(Finding("settings", "unknown", text) for text in texts)


def _unread(mention: Mention) -> str:
    """Say that nobody reads a name, and which one is read."""
    is_line = mention.place != mention.name
    sets = f"{mention.place} sets {mention.name}" if is_line else f"{mention.name} is set"
    reads = f"it reads LANGSMITH_{mention.setting}"
    return f"{sets}, and the SDK's client does not read it: {reads}"


def _two_names(name: Name, held: Setting) -> list[str]:
    """LANGSMITH_ comes before LANGCHAIN_, and a blank one does not count."""
    if held.source.kind not in ("environment", "cache"):
        return []
    first, second = (f"{space}_{name}" for space in NAMESPACES)
    one, other = as_read(name, _text(first)), as_read(name, _text(second))
    if one and other and one != other:
        values = f"{as_shown(name, one)} and {as_shown(name, other)}"
        return [f"{first} and {second} differ ({values}); {first} counts"]
    if first in os.environ and other and not one:
        return [f"{first} is blank, so {second} counts"]
    return []


def _joined(setup: Setup) -> str:
    """A key from one place with the endpoint or workspace of a profile."""
    key, endpoint, workspace = setup.held.key, setup.held.endpoint, setup.held.workspace
    if not key.value or key.source.kind == "profile":
        return ""
    others = {"endpoint": endpoint, "workspace": workspace}
    of_profile = [n for n, s in others.items() if s.source.kind == "profile"]
    if not of_profile:
        return ""
    place = next(s.source for s in others.values() if s.source.kind == "profile")
    text = (
        f"the key comes from {key.source}, but the {' and '.join(of_profile)} from "
        f"{place}: they may not belong together"
    )
    if not (setup.profile.key.value or setup.login) or key.source.is_explicit:
        return text
    step = "to use the profile's own key, pass prefer_profile_auth=True"
    return f"{text}; {advice(step, '0.14.15', setup.langsmith)}"


def quarrels(given: Mapping[str, str], sent: Access) -> tuple[Finding, ...]:
    """Where headers that a person gave to the client quarrel with its own."""
    texts = []
    key, workspace = given.get("x-api-key"), given.get("x-tenant-id")
    if key and key != sent.key:
        texts.append(f"the headers argument has another key, {mask(key)}, not sent")
    if workspace and workspace != sent.workspace:
        texts.append(f"the headers argument has another workspace, {workspace}, not sent")
    if given.get("authorization") and not sent.session:
        texts.append("the headers argument adds a login, Authorization, to the key")
    return tuple(Finding("settings", "unknown", text) for text in texts)


def passed_over(setup: Setup) -> tuple[PassedOver, ...]:
    """The places that have a value for a setting, and were not taken."""
    return tuple(
        PassedOver(_TITLES[name], text)
        for name in ARGUMENTS
        for text in _others(name, setup)
    )


def _others(name: Name, setup: Setup) -> list[str]:
    held = part(setup.held, name)
    found = []
    for variable in (f"{space}_{name}" for space in NAMESPACES):
        value = _text(variable)
        if value is None or variable == held.source.name:
            continue
        shown = as_shown(name, as_read(name, value)) if value.strip() else "blank"
        found.append(f"{variable} ({shown})")
    in_file = part(setup.in_file, name)
    if in_file.value not in (None, held.value):
        found.append(f"{in_file.source} ({as_shown(name, in_file.value)})")
    found += [
        f"{setting.source} ({as_shown(name, setting.value)})"
        for setting in (part(setup.colab, name), part(setup.profile, name))
        if setting.value and setting.source != held.source
    ]
    if name == "API_KEY" and setup.login and not setup.session:
        found.append(str(setup.login))
    found += [
        f"{mention.place} (the client does not read it)"
        for mention in setup.mentions
        if mention.name == mention.place and mention.setting == name
    ]
    return found


def _text(variable: str) -> str | None:
    return os.environ.get(variable)
