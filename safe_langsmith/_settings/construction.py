"""The names of the settings, and what is recorded when a client is created.

The only module of this package that is imported together with `SafeClient`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT, base_of

Name = Literal["API_KEY", "ENDPOINT", "WORKSPACE_ID"]
NAMES: tuple[Name, ...] = ("API_KEY", "ENDPOINT", "WORKSPACE_ID")
Words = tuple[tuple[str, str], ...]
NAMESPACES = ("LANGSMITH", "LANGCHAIN")


def variables(*names: str) -> tuple[str, ...]:
    """The variables of these names, in the SDK's order: LANGSMITH_ before LANGCHAIN_."""
    return tuple(f"{space}_{name}" for name in names for space in NAMESPACES)


# The variables from which the SDK's client reads its three settings. Not built with
# `variables`: this line runs at import, where nothing catches an error of our functions.
READ_BY_CLIENT = tuple(f"{space}_{name}" for name in NAMES for space in NAMESPACES)
_EXPORT_SWITCHES = tuple(
    f"{space}_{name}"
    for name in ("TRACING_MODE", "OTEL_ENABLED", "OTEL_ONLY")
    for space in NAMESPACES
)


@dataclass(frozen=True, slots=True)
class AtConstruction:
    """What was passed to a client, and what the environment said at that time.

    ``held``: what it sends. ``arguments``: the names of those that were passed. ``environ``
    is not in `repr`, since it contains a key. ``profile``: the arguments profile and
    profile_config_path. ``destinations``: the URLs in the argument api_urls. ``words``:
    replacements for a text about `langsmith.Client`, for another kind of client.
    ``workspace``: for an exporter, which sends none itself, the one passed to its client.
    """

    held: Access
    arguments: frozenset[str]
    environ: tuple[tuple[str, str], ...] = field(repr=False)
    profile: tuple[str | None, str | None] = (None, None)
    destinations: tuple[str, ...] = ()
    words: Words = ()
    workspace: str | None = None


def at_construction(held: Access, arguments: Mapping[str, Any]) -> AtConstruction:
    """Record a new client's settings, its arguments, and the variables that it read.

    Reads six variables and no file, so it takes almost no time.
    """
    given = frozenset(n for n, value in arguments.items() if value is not None)
    environ = tuple((n, v) for n in READ_BY_CLIENT if (v := os.environ.get(n)))
    chosen = (arguments.get("profile"), arguments.get("profile_config_path"))
    destinations = tuple(arguments.get("api_urls") or ())
    return AtConstruction(held, given, environ, chosen, destinations)


_OF_GENERATED: Words = (
    ("workspace_id=", "tenant_id="),
    ("set LANGSMITH_WORKSPACE_ID", "set LANGSMITH_TENANT_ID"),
    ("the workspace_id argument", "the tenant_id argument or LANGSMITH_TENANT_ID"),
    ("api_url=", "base_url="),
    ("set LANGSMITH_ENDPOINT", "set LANGCHAIN_BASE_URL"),
    ("the api_url argument", "the base_url argument or LANGCHAIN_BASE_URL"),
)


def at_construction_of_generated(
    held: Access, arguments: Mapping[str, Any]
) -> AtConstruction:
    """As `at_construction`, for a generated client that is used directly.

    It reads different variables. Except for the key's, they count as arguments here.
    """
    given = {
        "api_key": arguments.get("api_key"),
        "api_url": held.endpoint != DEFAULT_ENDPOINT or None,
        "workspace_id": held.workspace,
    }
    initial = at_construction(held, given)
    environ = tuple(pair for pair in initial.environ if pair[0] == "LANGSMITH_API_KEY")
    return replace(initial, environ=environ, words=_OF_GENERATED)


_OF_SANDBOX: Words = (
    ("pass workspace_id=", "pass its id in headers= as X-Tenant-Id: "),
    ("set LANGSMITH_WORKSPACE_ID=", "pass it in headers= as X-Tenant-Id: "),
    ("set LANGSMITH_WORKSPACE_ID", "pass its id in headers= as X-Tenant-Id"),
    ("the workspace_id argument", "the headers argument"),
    ("api_url=", "api_endpoint="),
    ("the api_url argument", "the api_endpoint argument"),
)


def at_construction_of_sandbox(
    held: Access, arguments: Mapping[str, Any]
) -> AtConstruction:
    """As `at_construction`, for a sandbox client. It keeps only its endpoint's base."""
    given = {
        "api_key": arguments.get("api_key"),
        "api_url": arguments.get("api_endpoint"),
        "workspace_id": held.workspace,
    }
    initial = at_construction(held, given)
    named = (v for n, v in initial.environ if "ENDPOINT" in n and not given["api_url"])
    endpoint = next((v for v in named if base_of(v) == held.endpoint), held.endpoint)
    return replace(initial, held=replace(held, endpoint=endpoint), words=_OF_SANDBOX)


_OF_EXPORT: Words = (
    ("the api_key argument", "the exporter's header x-api-key"),
    ("the api_url argument", "the exporter's endpoint"),
    ("the workspace_id argument", "the exporter's header X-Tenant-Id"),
    ("pass workspace_id=", "give the exporter the header X-Tenant-Id="),
    ("set LANGSMITH_WORKSPACE_ID=", "give the exporter the header X-Tenant-Id="),
    ("set LANGSMITH_WORKSPACE_ID", "give the exporter its id in the header X-Tenant-Id"),
)


def at_construction_of_export(
    held: Access, initial: AtConstruction, chosen: bool
) -> AtConstruction:
    """As `at_construction`, for an OpenTelemetry exporter: its first export shows ``held``.

    A value that none of its variables contains counts as passed, and so does an endpoint
    that was ``chosen`` in the code.
    """
    shown = {"api_key": held.key, "workspace_id": held.workspace}
    is_chosen = chosen or held.endpoint != DEFAULT_ENDPOINT
    shown["api_url"] = held.endpoint if is_chosen else None
    texts = [text for _, text in initial.environ]
    given = (n for n, v in shown.items() if v and not any(v in text for text in texts))
    return replace(initial, held=held, arguments=frozenset(given), words=_OF_EXPORT)


def wants_export(arguments: Mapping[str, Any]) -> bool:
    """Whether a new client may send to OpenTelemetry."""
    asked = (arguments.get("tracing_mode"), arguments.get("otel_enabled"))
    return any(asked) or any(map(os.environ.get, _EXPORT_SWITCHES))


def has_credential_provider() -> bool:
    """Whether OpenTelemetry gets its exporters' sessions from a credential provider."""
    start, end = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_", "CREDENTIAL_PROVIDER"
    return any(name.startswith(start) and name.endswith(end) for name in os.environ)


def reworded(text: str, words: Words) -> str:
    """Reword a text for another kind of client. See `AtConstruction.words`."""
    for usual, own in words:
        text = text.replace(usual, own)
    return text
