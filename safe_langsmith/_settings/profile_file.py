"""The profile of LangSmith's CLI as the SDK reads it, and common mistakes in its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import langsmith

from safe_langsmith._diagnosis import Finding, State, listed
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._sdk.modules import expiry_of, load_profile, profile_path
from safe_langsmith._settings.dotenv_file import read_bytes, short
from safe_langsmith._settings.machine import advice
from safe_langsmith._settings.sources import Login, Place, Setting, Settings, Source, noted
from safe_langsmith._settings.unread import Mention

_LARGEST_FILE = 1_000_000
_MOST_NAMES = 5
# Places for a profile's key that the Python SDK cannot read.
_ELSEWHERE = {
    "api_key_cmd": "the output of a command (api_key_cmd)",
    "secret_store": "the system keychain (secret_store)",
}


def read_profile(name: str | None, config_path: str | None) -> Place:
    """Read the profile that a client uses. Takes the client's two arguments."""
    # The oldest supported release has a loader without arguments.
    place = {} if config_path is None else {"config_path": config_path}
    chosen = place if name is None else {**place, "profile": name}
    try:
        path = profile_path(**place)
        if path is None or not path.exists():
            return _missing(path, config_path, name)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its path is invalid"
        return _unread("the profile file", f"the profile file could not be read: {why}")
    known_as = short(path)
    data, why = _json_in(path, known_as)
    if why:
        return _unread(known_as, why, "bad")
    try:
        found = load_profile(**chosen)
        state = getattr(found, "profile_state", None)
        if state is None:
            return _without_profile(data, name, known_as)
        name, raw = state.profile_name, data["profiles"][state.profile_name]
        for field in ("api_url", "workspace_id"):
            if not isinstance(raw.get(field, ""), (str, type(None))):
                why = f"{known_as}: {field} of profile {name!r} is not text"
                return _unread(known_as, why, "bad")
        return _as_profile(found, name, known_as, raw)
    except Exception as error:  # the SDK's loader does not check the file's structure
        text = f"{known_as}: the SDK cannot read this profile ({type(error).__name__})"
        return _unread(known_as, text, "bad")


def _unread(place: str, text: str, state: State = "unknown") -> Place:
    """A file that could not be read, so it may name an endpoint."""
    return Place(notes=noted(text, state=state), mentions=(Mention("ENDPOINT", place),))


def _missing(path: Path | None, config_path: str | None, name: str | None) -> Place:
    """A missing file: only worth a note if it, or a profile, was named explicitly."""
    who, named = "LANGSMITH_CONFIG_FILE", short(path) if path else "a file"
    if config_path is not None:
        who = "the profile_config_path argument"
    elif not os.environ.get(who):
        text = f"the profile argument names profile {name!r}; there is no {named}"
        return _unread(named, text, "bad") if name else Place()
    return _unread(named, f"{who} names {named}, which does not exist")


def _json_in(path: Path, known_as: str) -> tuple[dict[str, Any], str]:
    """The content of the file, and an empty text; or {}, and why the SDK ignores it."""
    raw, why = read_bytes(path, _LARGEST_FILE)
    if why:
        return {}, f"{known_as} could not be read: {why}"
    try:
        # The SDK fails at a byte order mark, so this must too.
        if raw.startswith(b"\xef\xbb\xbf"):
            mark = "begins with a byte order mark, so the SDK reads no profile"
            return {}, f"{known_as} {mark}; save it as UTF-8 without one"
        data = json.loads(raw.decode("utf-8"))
    except json.JSONDecodeError as error:
        return {}, f"{known_as}, line {error.lineno}: not valid JSON, so no profile is read"
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return {}, f"{known_as}, line {line}: not UTF-8, so no profile is read"
    except (ValueError, RecursionError):
        return {}, f"{known_as}: not valid JSON, so no profile is read"
    if not isinstance(data, dict) or not isinstance(data.get("profiles"), dict):
        return {}, f'{known_as} has no "profiles", so no profile is read'
    return data, ""


def _without_profile(data: Mapping[str, Any], name: str | None, known_as: str) -> Place:
    """The file is valid, but the SDK selects no profile from it."""
    names = [str(n) for n in data["profiles"]]
    if not names and not name:
        return Place()
    has = ", ".join(listed([*map(repr, names)], _MOST_NAMES)) or "none"
    variable = os.environ.get("LANGSMITH_PROFILE")
    if name or variable:
        who = "the profile argument" if name else "LANGSMITH_PROFILE"
        text = f"{who} names profile {name or variable!r}; {known_as} has {has}"
        return _unread(who, text, "bad")
    text = f"{known_as} names no current_profile, so none is used; it has {has}"
    return _unread(known_as, text)


def _as_profile(found: Any, name: str, known_as: str, raw: Mapping[str, Any]) -> Place:
    source = Source("profile", f"profile {name!r}", known_as)

    def setting(value: object) -> Setting:
        text = value.strip() if isinstance(value, str) else ""
        return Setting(text, source) if text else Setting()

    variable = getattr(found, "api_key_env", None)  # missing in the oldest release
    key = setting(found.api_key)
    if not key.value and variable:
        # The SDK uses this if it has no other key; a repair never does.
        key = replace(setting(os.environ.get(variable)), implied=True)
    endpoint = setting(found.api_url)
    if endpoint.value:
        endpoint = replace(endpoint, value=endpoint.value.rstrip("/"))  # as the SDK
    if key.value and not endpoint.value:
        endpoint = Setting(DEFAULT_ENDPOINT, source, implied=True)
    login = None
    if found.oauth_access_token or found.oauth_refresh_token:
        refreshes = bool(found.oauth_refresh_token)
        login = Login(name, known_as, _is_over(found.oauth_expires_at), refreshes)
    settings = Settings(key, endpoint, setting(found.workspace_id))
    notes = () if key.value or login else _keyless(raw, source)
    return Place(settings, login, notes)


def _keyless(raw: Mapping[str, Any], source: Source) -> tuple[Finding, ...]:
    """Report where a profile without a key takes it from, and whether the SDK can."""
    variable = raw.get("api_key_env")
    if variable:
        unset = "" if os.environ.get(variable) else ", which is not set"
        text = f"{source} takes its key from the variable {variable}{unset}"
        return noted(advice(text, "0.14.17", langsmith.__version__))
    places = " and ".join(place for name, place in _ELSEWHERE.items() if raw.get(name))
    text = f"{source} takes its key from {places}, which the Python SDK cannot read"
    return noted(text, state="bad") if places else ()


def _is_over(expires_at: object) -> bool:
    """Whether this time has passed; False if it is not a time."""
    parsed = expiry_of(expires_at) if isinstance(expires_at, str) else None
    return parsed is not None and bool(parsed <= datetime.now(timezone.utc))
