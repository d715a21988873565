"""Watches the clients of `langsmith.sandbox`, adapted to look like an SDK client.

Requests to a sandbox itself go to another host and are not watched.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar

from safe_langsmith._knowledge.hosts import base_of
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.imports import when_imported

_BELOW = "/v2/sandboxes"
_KEY, _WORKSPACE = "X-Api-Key", "X-Tenant-Id"
# Called with a new client and its arguments.
Begin = Callable[["SandboxOwner", Mapping[str, Any]], None]
_begin: list[Begin] = []


class SandboxOwner:
    """The settings that a sandbox client sends. Refers to that client weakly."""

    _safe: Any = None
    _safe_plain: ClassVar[Any]

    def __init__(self, client: Any, errors: Mapping[int, type[Exception]]) -> None:
        self._of: Any = weakref.proxy(client)
        self.errors = errors
        self.home = client._base_url
        self.api_url = base_of(self.home.removesuffix(_BELOW).removesuffix("/api"))
        given = client._default_headers.items()
        self.headers = {n: v for n, v in given if n.lower() != _WORKSPACE.lower()}

    @property
    def _client(self) -> Any:
        return getattr(self._of, "_http", None)

    @property
    def api_key(self) -> str | None:
        key: str | None = self._client.headers.get(_KEY)
        return key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._of._api_key = value
        self._set(_KEY, value)

    @property
    def workspace_id(self) -> str | None:
        workspace: str | None = self._client.headers.get(_WORKSPACE)
        return workspace

    @workspace_id.setter
    def workspace_id(self, value: str | None) -> None:
        self._set(_WORKSPACE, value)

    def _set(self, name: str, value: str | None) -> None:
        self._client.headers.pop(name, None)
        if value:
            self._client.headers[name] = value


SandboxOwner._safe_plain = SandboxOwner


def watch_sandboxes(begin: Begin | None) -> None:
    """Call ``begin`` with each new sandbox client from now on; with None, stop."""
    _begin[:] = [begin] if begin else []
    if begin is not None:
        when_imported("langsmith.sandbox", _watch_classes)


def _watch_classes(module: ModuleType) -> None:
    names = {0: "SandboxClientError", 404: "ResourceNotFoundError"}
    names |= dict.fromkeys((401, 403), "SandboxAuthenticationError")
    errors = {status: getattr(module, name) for status, name in names.items()}
    for kind in (module.SandboxClient, module.AsyncSandboxClient):
        if not hasattr(kind.__init__, "_safe_is_ours"):
            kind.__init__ = _watched(kind.__init__, errors)


def _watched(plain: Any, errors: Mapping[int, type[Exception]]) -> Any:
    @functools.wraps(plain)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        plain(self, *args, **kwargs)
        with Guard("watch a sandbox client"):
            for begin in _begin:
                begin(SandboxOwner(self, errors), kwargs)

    __init__._safe_is_ours = True  # type: ignore[attr-defined]
    return __init__
