"""What is configured, and where each value came from.

The only rooms that read the environment and the disk, and only after a refusal, but for
`at_construction`, which takes down a few variables when a client is made: later they
tell a value that came from the environment from one that was passed.

    construction    the names, and what is taken down when a client is made
    sources         the words: a value, its source, a setup
    environment     variables, in the SDK's order of names
    unread          names that nobody reads, and what they mean
    python_dotenv   python-dotenv, and whether the program uses it
    dotenv_file     the `.env`, line by line, and what goes wrong in it
    profile_file    the profile of LangSmith's CLI
    sdk_cache       what the SDK remembers of the environment
    colab           the secrets of a Colab notebook
    tracing         the project, the switch and the destinations of tracing
    machine         Python, langsmith, the system
    reading         all of them together
    conflicts       what disagrees
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from safe_langsmith._settings.construction import AtConstruction, at_construction

if TYPE_CHECKING:
    from safe_langsmith._settings.conflicts import disagreements, remembered
    from safe_langsmith._settings.environment import sendable_key
    from safe_langsmith._settings.machine import Machine, read_machine
    from safe_langsmith._settings.reading import as_sent, read
    from safe_langsmith._settings.sdk_cache import clear_sdk_caches
    from safe_langsmith._settings.sources import (
        FOUND_BY_ASKING,
        NOWHERE,
        Login,
        Setting,
        Settings,
        Setup,
        Source,
        SourceKind,
    )
    from safe_langsmith._settings.tracing import read_destinations
    from safe_langsmith._settings.unread import Mention

__all__ = [
    "FOUND_BY_ASKING",
    "NOWHERE",
    "AtConstruction",
    "Login",
    "Machine",
    "Mention",
    "Setting",
    "Settings",
    "Setup",
    "Source",
    "SourceKind",
    "as_sent",
    "at_construction",
    "clear_sdk_caches",
    "disagreements",
    "read",
    "read_destinations",
    "read_machine",
    "remembered",
    "sendable_key",
]


_LATE = {
    "sources": (
        *("FOUND_BY_ASKING", "NOWHERE", "Login", "Setting", "Settings"),
        *("Setup", "Source", "SourceKind"),
    ),
    "environment": ("sendable_key",),
    "sdk_cache": ("clear_sdk_caches",),
    "tracing": ("read_destinations",),
    "unread": ("Mention",),
    "machine": ("Machine", "read_machine"),
    "reading": ("as_sent", "read"),
    "conflicts": ("disagreements", "remembered"),
}


def __getattr__(name: str) -> Any:
    """Import what only a refusal needs when it is asked for."""
    for room, names in _LATE.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
