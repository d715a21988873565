"""Settings that contradict each other, between variables or between sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT, shown
from safe_langsmith._knowledge.keys import clean, mask
from safe_langsmith._settings.construction import NAMES, Name, variables
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.machine import advice
from safe_langsmith._settings.sources import (
    FIELDS,
    NOWHERE,
    PassedOver,
    Setting,
    Setup,
    noted,
)
from safe_langsmith._settings.unread import near_miss, unread


def disagreements(setup: Setup) -> tuple[Finding, ...]:
    """Settings with another value in os.environ, `.env` or Colab than in the client."""
    texts = []
    for name in NAMES:
        held, environ = setup.held[name], setup.environ[name]
        if held.source.kind == "request":  # other sources do not apply
            continue
        login = name == "API_KEY" and setup.session and not held.value
        what = "a login session" if login else _as_shown(name, held.value)
        used = f"the client uses {what}, from {held.source}"
        if held.source.kind == "cache" and environ.value is None:
            texts.append(f"{used}; os.environ no longer has it")
        for now in (environ, setup.in_file[name], setup.colab[name]):
            if now.value is None or now.value == held.value:
                continue
            if name == "API_KEY" and clean(now.value) == held.value:
                texts.append(
                    f"{now.source} has extra characters around the key: remove them"
                )
                continue
            is_exported = now is environ and not now.source.place
            where = "in os.environ is now" if is_exported else "is"
            text = f"{now.source} {where} {_as_shown(name, now.value)}; {used}"
            if now.source.kind == "dotenv":
                text += _why_not_loaded(setup, now, environ)
            texts.append(text)
    return noted(*dict.fromkeys(texts))


def _why_not_loaded(setup: Setup, in_file: Setting, environ: Setting) -> str:
    """Why the value in a `.env` file is not in use, if known."""
    if not setup.dotenv_counts:
        return "; that file is not used"
    if in_file.source.name == environ.source.name and in_file.value != environ.value:
        return "; load_dotenv() does not override it"
    return ""


def remembered(setup: Setup) -> Iterator[str]:
    """Values in the SDK's cache that differ from os.environ by now."""
    for name in NAMES:
        cached, now = setup.cached[name], setup.environ[name]
        value = now.value or (DEFAULT_ENDPOINT if name == "ENDPOINT" else None)
        if cached.source != NOWHERE and cached.value != value:
            kept = f"{cached.source} is {_as_shown(name, cached.value)}"
            yield f"{kept}; os.environ says {_as_shown(name, now.value)}"


def conflicts(setup: Setup) -> tuple[Finding, ...]:
    """Variables that differ or are not read, and settings combined from two sources."""
    texts = [text for name in NAMES if (text := _two_names(name, setup.held[name]))]
    for mention in setup.mentions:
        held = setup.held[mention.setting]
        is_set = held.value and held.source.kind != "default"
        if mention.name and not is_set and not mention.name.endswith("RUNS_ENDPOINTS"):
            place = "" if mention.place == mention.name else mention.place
            if meant := near_miss(mention.name):
                texts.append(unread(mention.name, meant, place))
                continue
            sets = f"{place} sets {mention.name}" if place else f"{mention.name} is set"
            reads = f"it reads LANGSMITH_{mention.setting}"
            texts.append(f"{sets}, but the SDK's client does not read it: {reads}")
    return noted(*texts, *_joined(setup))


def _two_names(name: Name, held: Setting) -> str:
    """Report that LANGSMITH_ overrides LANGCHAIN_, or is empty and does not."""
    if held.source.kind not in ("environment", "cache"):
        return ""
    first, second = variables(name)
    one, other = (as_read(name, os.environ.get(v)) for v in (first, second))
    if one and other and one != other:
        values = f"{_as_shown(name, one)} and {_as_shown(name, other)}"
        return f"{first} and {second} differ ({values}); {first} is used"
    blank = first in os.environ and other and not one
    return f"{first} is empty, so {second} is used" if blank else ""


def _joined(setup: Setup) -> Iterator[str]:
    """Report a key that is combined with the endpoint or workspace of a profile."""
    key = setup.held.key
    of_profile = [n for n in NAMES if setup.held[n].source.kind == "profile"]
    if not key.value or "API_KEY" in of_profile or not of_profile:
        return
    what = " and ".join(FIELDS[name] for name in of_profile)
    place = setup.held[of_profile[0]].source
    text = f"the key comes from {key.source}, but the {what} from {place}"
    text += ": they may not belong together"
    if (setup.profile.key.value or setup.login) and not key.source.is_explicit:
        step = "to use the profile's own key, pass prefer_profile_auth=True"
        text += f"; {advice(step, '0.14.15', setup.langsmith)}"
    yield text


def header_conflicts(given: Mapping[str, str], sent: Access) -> tuple[Finding, ...]:
    """Headers passed to the client that contradict its own settings."""
    texts = []
    key, workspace = given.get("x-api-key"), given.get("x-tenant-id")
    if key and key != sent.key:
        texts.append(f"the headers argument has another key, {mask(key)}: not sent")
    if workspace and workspace != sent.workspace:
        texts.append(f"the headers argument has another workspace, {workspace}: not sent")
    if given.get("authorization") and not sent.session:
        texts.append("the headers argument adds an Authorization header to the key")
    return noted(*texts)


def passed_over(setup: Setup) -> tuple[PassedOver, ...]:
    """The sources that have a value for a setting but were not used."""
    return tuple(
        PassedOver(FIELDS[name], text) for name in NAMES for text in _others(name, setup)
    )


def _others(name: Name, setup: Setup) -> Iterator[str]:
    held = setup.held[name]
    for variable in variables(name):
        value = os.environ.get(variable)
        if value is not None and variable != held.source.name:
            told = _as_shown(name, as_read(name, value)) if value.strip() else "empty"
            yield f"{variable} ({told})"
    in_file = setup.in_file[name]
    if in_file.value not in (None, held.value):
        yield f"{in_file.source} ({_as_shown(name, in_file.value)})"
    for setting in (setup.colab[name], setup.profile[name]):
        if setting.value and setting.source != held.source:
            yield f"{setting.source} ({_as_shown(name, setting.value)})"
    if name == "API_KEY" and setup.login and not setup.session:
        yield str(setup.login)
    for mention in setup.mentions:
        is_variable = mention.name == mention.place and mention.setting == name
        if is_variable and not mention.name.endswith("RUNS_ENDPOINTS"):
            yield f"{mention.place} (the client does not read it)"


def _as_shown(name: Name, value: str | None) -> str:
    """A value for display: a key masked, a URL without a login; "none" if empty."""
    show = {"API_KEY": mask, "ENDPOINT": shown}.get(name, str)
    return show(value or "") or "none"
