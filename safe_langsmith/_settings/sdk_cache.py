"""What the SDK remembers of the environment."""

from __future__ import annotations

from langsmith import utils as ls_utils

from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._settings.construction import Name
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.sources import Setting, Settings, Source


def read_cache() -> Settings:
    """What the SDK's cached reader of the environment answers."""

    def cached(name: Name) -> Setting:
        # The same words as the SDK's own call: its cache tells calls apart by them.
        default = DEFAULT_ENDPOINT if name == "ENDPOINT" else None
        value = as_read(name, ls_utils.get_env_var(name, default=default)) or None
        return Setting(value, Source("cache", f"LANGSMITH_{name}"))

    return Settings(cached("API_KEY"), cached("ENDPOINT"), cached("WORKSPACE_ID"))


def remembered_project() -> str | None:
    """The project that the SDK has settled on, or None while it has not yet.

    Asking would settle it, and a variable that is set later would not count any more.
    """
    if not ls_utils.get_tracer_project.cache_info().currsize:
        return None
    return ls_utils.get_tracer_project()


def clear_sdk_caches() -> None:
    """Make the SDK read its environment variables anew."""
    ls_utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # its overloads hide it
    ls_utils.get_tracer_project.cache_clear()
