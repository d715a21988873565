"""The variables that the SDK's client reads, and the SDK's cache of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Literal

from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._knowledge.keys import can_be_sent, clean
from safe_langsmith._sdk.modules import remembered_variable
from safe_langsmith._settings.construction import NAMES, Name, variables
from safe_langsmith._settings.python_dotenv import LOADED
from safe_langsmith._settings.sources import Setting, Settings, Source

logger = logging.getLogger("safe_langsmith")


def sendable_key(key: str) -> str | None:
    """The cleaned key, if no HTTP header can contain the key as it is. Logs that.

    None if the key can be sent as it is, or not even the cleaned one can.
    """
    if can_be_sent(key) or not can_be_sent(clean(key)):
        return None
    logger.warning(
        "safe_langsmith: %s",
        "The LangSmith key has characters around it that cannot be sent (such as curly "
        "quotes); used the key without them. To make it permanent: remove them.",
    )
    return clean(key)


def settings_in(
    values: Mapping[str, str | None],
    kind: Literal["environment", "dotenv"],
    place: Mapping[str, str] | None = None,
) -> Settings:
    """Pick key, endpoint and workspace from variables, in the SDK's order of names.

    ``place``: the file and line of each variable, if known.
    """

    def pick(name: Name) -> Setting:
        for variable in variables(name):
            if value := as_read(name, values.get(variable)):
                source = Source(kind, variable, (place or {}).get(variable, ""))
                return Setting(value, source)
        return Setting()

    return Settings(*map(pick, NAMES))


def as_read(name: Name, text: str | None) -> str:
    """The value that the SDK reads from a text: without blanks and quotes around it.

    An endpoint also loses its trailing slash.
    """
    value = (text or "").strip().strip('"').strip("'")
    return value.rstrip("/") if name == "ENDPOINT" else value


def environ_now() -> Settings:
    """The settings in the environment now."""
    return settings_in(os.environ, "environment", LOADED)


def read_cache() -> Settings:
    """The settings as the SDK reads them, through its cache."""

    def cached(name: Name) -> Setting:
        default = DEFAULT_ENDPOINT if name == "ENDPOINT" else None
        value = as_read(name, remembered_variable(name, default)) or None
        return Setting(value, Source("cache", f"LANGSMITH_{name}"))

    return Settings(*map(cached, NAMES))
