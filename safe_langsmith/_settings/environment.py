"""The variables that the SDK's client reads, in its order of names.

What is taken down when a client is made stands here too: this room, and no other one of
the settings, is imported before a refusal.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from langsmith._internal import _profiles

from safe_langsmith._keys import can_be_sent, clean
from safe_langsmith._protocol import Access
from safe_langsmith._settings.sources import (
    NAMES,
    NAMESPACES,
    AtConstruction,
    Name,
    Setting,
    Settings,
    Source,
)

logger = logging.getLogger("safe_langsmith")
# The SDK's warnings name the first line outside of its own folder, and a line of ours is
# none of the caller's. Before langsmith 0.14.15 nothing reads this.
_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_profiles._PACKAGE_DIR = (  # type: ignore[assignment]
    getattr(_profiles, "_PACKAGE_DIR", _OURS),
    _OURS,
)
# Each of the names of each setting.
_VARIABLES = tuple(f"{space}_{name}" for name in NAMES for space in NAMESPACES)


def at_construction(held: Access, arguments: Mapping[str, Any]) -> AtConstruction:
    """Take down what a new client holds, its arguments, and the variables it read.

    Reads six variables and no file, so that it costs next to nothing.
    """
    given = frozenset(n for n, value in arguments.items() if value is not None)
    environ = {n: v for n in _VARIABLES if (v := os.environ.get(n))}
    chosen = (arguments.get("profile"), arguments.get("profile_config_path"))
    return AtConstruction(held, given, environ, chosen)


def sendable_key(arguments: Mapping[str, Any]) -> str | None:
    """The key of a new client without what no HTTP header can carry, such as a BOM.

    None where nothing is to be taken off, or nothing that can be sent is left.
    """
    given = arguments.get("api_key")
    key = settings_in(os.environ, "environment").key.value if given is None else given
    if not key or can_be_sent(key) or not can_be_sent(clean(key)):
        return None
    logger.warning(
        "The LangSmith key has characters around it that cannot be sent; used the key "
        "without them. To make it permanent: type or paste the key anew."
    )
    return clean(key)


def settings_in(
    variables: Mapping[str, str | None],
    kind: Literal["environment", "dotenv"],
    place: Mapping[str, str] | None = None,
) -> Settings:
    """Pick key, endpoint and workspace out of variables, in the SDK's order of names."""

    def pick(name: Name) -> Setting:
        for space in NAMESPACES:
            variable = f"{space}_{name}"
            value = as_read(name, variables.get(variable))
            if value:
                return Setting(
                    value, Source(kind, variable, (place or {}).get(variable, ""))
                )
        return Setting()

    return Settings(pick("API_KEY"), pick("ENDPOINT"), pick("WORKSPACE_ID"))


def as_read(name: Name, text: str | None) -> str:
    """The value that the SDK takes from a text: without blanks, one layer of quotes."""
    value = (text or "").strip().strip('"').strip("'")
    return value.rstrip("/") if name == "ENDPOINT" else value


def environ_now() -> Settings:
    """What the environment says now."""
    return settings_in(os.environ, "environment")
