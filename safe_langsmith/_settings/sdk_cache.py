"""What the SDK remembers of the environment."""

from __future__ import annotations

from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._sdk.modules import remembered_variable
from safe_langsmith._settings.construction import Name
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.sources import Setting, Settings, Source


def read_cache() -> Settings:
    """What the SDK's cached reader of the environment answers."""

    def cached(name: Name) -> Setting:
        default = DEFAULT_ENDPOINT if name == "ENDPOINT" else None
        value = as_read(name, remembered_variable(name, default)) or None
        return Setting(value, Source("cache", f"LANGSMITH_{name}"))

    return Settings(cached("API_KEY"), cached("ENDPOINT"), cached("WORKSPACE_ID"))
