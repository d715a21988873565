"""The names of the settings, and what is taken down when a client is made.

This room, and no other one of the settings, is imported before a refusal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from safe_langsmith._knowledge.access import Access

Name = Literal["API_KEY", "ENDPOINT", "WORKSPACE_ID"]
NAMES: tuple[Name, ...] = ("API_KEY", "ENDPOINT", "WORKSPACE_ID")
NAMESPACES = ("LANGSMITH", "LANGCHAIN")


def variables(*names: str) -> tuple[str, ...]:
    """The variables of these names, in the SDK's order: LANGSMITH_ before LANGCHAIN_."""
    return tuple(f"{space}_{name}" for name in names for space in NAMESPACES)


# Each of the variables that the SDK's client reads.
READ_BY_CLIENT = tuple(f"{space}_{name}" for name in NAMES for space in NAMESPACES)


@dataclass(frozen=True, slots=True)
class AtConstruction:
    """What was passed to a client and what the environment said when it was made.

    No `repr` shows ``environ``: there is a key in it. ``destinations``: the addresses in
    the argument api_urls.
    """

    held: Access
    arguments: frozenset[str]
    environ: tuple[tuple[str, str], ...] = field(repr=False)
    profile: tuple[str | None, str | None] = (None, None)
    destinations: tuple[str, ...] = ()


def at_construction(held: Access, arguments: Mapping[str, Any]) -> AtConstruction:
    """Take down what a new client holds, its arguments, and the variables it read.

    Reads six variables and no file, so that it costs next to nothing.
    """
    given = frozenset(n for n, value in arguments.items() if value is not None)
    environ = tuple((n, v) for n in READ_BY_CLIENT if (v := os.environ.get(n)))
    chosen = (arguments.get("profile"), arguments.get("profile_config_path"))
    destinations = tuple(arguments.get("api_urls") or ())
    return AtConstruction(held, given, environ, chosen, destinations)
