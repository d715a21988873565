"""Parts of langsmith's modules. Each function says what it returns if one is missing."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import langsmith
from langsmith import utils

if TYPE_CHECKING:
    from langsmith._httpx import httpx as httpx  # noqa: PLC0414  # for the others


def part_of(module: str, name: str, default: Any = None) -> Any:
    """An attribute of a langsmith module; the default if either is missing."""
    try:
        found = importlib.import_module(f"langsmith.{module}")
    except ImportError:
        return default
    try:
        return attrgetter(name)(found)
    except AttributeError:
        return default


if not TYPE_CHECKING:  # pragma: no branch
    # The httpx package that the SDK uses: httpx2 since 0.12.0.
    httpx = utils.httpx


def retries_by_itself(adapter: object) -> bool:
    """Whether an HTTP adapter is the SDK's, which retries requests; False if unknown.

    Also true if our own adapter wraps it, which sends this thread's requests only once.
    """
    kind = part_of("client", "_LangSmithHttpAdapter", ())
    return isinstance(getattr(adapter, "safe_langsmith_within", adapter), kind)


def is_rewindable_form(body: object) -> bool:
    """Whether a body is the SDK's form, which can be resent; False if unknown."""
    kind = part_of("_internal._multipart", "RewindableMultipartBody", ())
    return isinstance(body, kind)


def resource_errors() -> dict[int, type[Exception]]:
    """The exceptions of the v2 resources by status, 0 for any other."""
    names = {
        0: "APIStatusError",
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        422: "UnprocessableEntityError",
    }
    found = {status: getattr(langsmith, name, None) for status, name in names.items()}
    return {status: error for status, error in found.items() if error is not None}


def connection_errors() -> tuple[type[Exception], ...]:
    """The exceptions of the v2 resources for failed connections; () if unknown."""
    found: type[Exception] | None = getattr(langsmith, "APIConnectionError", None)
    return (found,) if found else ()


def profile_path(**chosen: Any) -> Any:
    """The path of the CLI's profile file, even if it does not exist; None if unknown."""
    find = part_of("_internal._profiles", "_profile_config_path")
    return find and find(**chosen)


def load_profile(**chosen: Any) -> Any:
    """The active profile as the SDK reads it; None if this release reads none."""
    load = part_of("_internal._profiles", "load_profile_client_config")
    return load and load(**chosen)


def expiry_of(text: str) -> Any:
    """The time at which a profile's session expires, as a datetime; None if unknown."""
    parse = part_of("_internal._profiles", "_parse_profile_expires_at")
    return parse and parse(text)


def tracing_forced() -> Any:
    """The value set by `langsmith.configure(enabled=...)`; None if not set, or unknown."""
    return part_of("_internal._context", "_GLOBAL_TRACING_ENABLED")


def destinations_in_environment() -> list[Mapping[str, Any]]:
    """What the SDK reads from LANGSMITH_RUNS_ENDPOINTS; [] if unknown."""
    read = part_of("run_trees", "_get_write_replicas_from_env", list)
    found: list[Mapping[str, Any]] = read()
    return found


def tracing_client() -> langsmith.Client | None:
    """The client that `@traceable` uses now; None if there is none yet, or unknown."""
    found: langsmith.Client | None = part_of("run_trees", "_CLIENT")
    return found


def remembered_project() -> str | None:
    """The project that the SDK has cached; None if it has not, or unknown.

    Never fills that cache: variables that are set later would have no effect.
    """
    looked_up = getattr(utils.get_tracer_project, "cache_info", None)
    if looked_up is None or not looked_up().currsize:
        return None
    return utils.get_tracer_project()


def remembered_variable(name: str, default: str | None) -> str | None:
    """What the SDK returns for a variable, from its cache if it has read it before."""
    # Same arguments as the SDK's own call: its cache distinguishes calls by them.
    found: str | None = utils.get_env_var(name, default=default)
    return found


def clear_caches() -> None:
    """Make the SDK read its environment variables again."""
    for cached in (utils.get_env_var, utils.get_tracer_project):
        clear: Callable[[], None] | None = getattr(cached, "cache_clear", None)
        if clear is not None:
            with contextlib.suppress(TypeError):
                clear()
