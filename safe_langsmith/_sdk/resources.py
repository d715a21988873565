"""Watches the generated clients behind `client.runs` and the other v2 resources.

The SDK creates them from its own classes, so their class is changed afterwards. Without
`langsmith._internal._openapi_auth` (before 0.14.12) they stay plain.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import langsmith

from safe_langsmith._knowledge.hosts import base_of
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.modules import part_of


class Watcher(Protocol):
    """Called for each request of a generated client.

    If a method returns an error, it is raised in place of the SDK's result or error.
    """

    def auth(self, http: Any) -> Any:
        """The auth object for each request of this httpx client, or None."""

    def unsent(self, request: Any) -> Exception | None:
        """The error for a request that cannot be sent, or None."""

    async def unsent_async(self, request: Any) -> Exception | None:
        """The same for an async client."""

    def explained(self, error: Any) -> Exception | None:
        """The error to raise instead of this one, or None to keep it."""

    async def explained_async(self, error: Any) -> Exception | None:
        """The same for an async client."""


def watch(generated: Any, watcher: Watcher) -> Any:
    """Have a watcher called for each request of a generated client and its copies."""
    kind = _watched_classes().get(type(generated))
    if kind is not None:
        generated.__class__ = kind
        generated._safe_watcher = watcher
    return generated


def _watched_sync(plain: Any) -> Any:
    """The watched subclass that replaces the plain sync class."""

    class Watched(_shared(plain)):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().request(*args, **kwargs)
            except Exception as error:
                found = self._safe_watcher.explained(error)
                if found is None:
                    raise
            try:
                raise found
            finally:
                del found  # its traceback holds this frame

        def _prepare_request(self, request: Any) -> None:
            found = self._safe_watcher.unsent(request)
            if found is not None:
                raise found
            super()._prepare_request(request)

    return Watched


def _watched_async(plain: Any) -> Any:
    """The same for the async class."""

    class Watched(_shared(plain)):  # type: ignore[misc]
        async def request(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super().request(*args, **kwargs)
            except Exception as error:
                found = await self._safe_watcher.explained_async(error)
                if found is None:
                    raise
            try:
                raise found
            finally:
                del found  # its traceback holds this frame

        async def _prepare_request(self, request: Any) -> None:
            found = await self._safe_watcher.unsent_async(request)
            if found is not None:
                raise found
            await super()._prepare_request(request)

    return Watched


def _shared(plain: Any) -> Any:
    """What both classes share."""

    class Shared(plain):  # type: ignore[misc]
        _safe_watcher: Watcher

        @property
        def custom_auth(self) -> Any:
            """The SDK's own extension point, called before each request."""
            with Guard("watch a request"):
                return self._safe_watcher.auth(getattr(self, "_client", None))
            return super().custom_auth

        def _validate_headers(self, headers: Any, custom_headers: Any) -> None:
            """Send a request without a key: the server refuses it, and we explain why."""
            if any(n.lower() in ("authorization", "x-api-key") for n in custom_headers):
                super()._validate_headers(headers, custom_headers)

        def copy(self, **options: Any) -> Any:
            """Copy as the SDK does; the copy is watched too."""
            copied = super().copy(**options)
            copied._safe_watcher = self._safe_watcher
            return copied

        with_options = copy

    return Shared


@functools.cache
def _watched_classes() -> dict[Any, Any]:
    """The classes that can be watched, each with its replacement."""
    kinds = (("SyncClient", _watched_sync), ("AsyncClient", _watched_async))
    plain = {part_of("_internal._openapi_auth", name): make for name, make in kinds}
    return {k: make(k) for k, make in plain.items() if hasattr(k, "custom_auth")}


class Owner:
    """A generated client that is used directly, with the attributes of an SDK client.

    Refers to that client weakly.
    """

    _safe: Any = None
    _safe_plain: ClassVar[Any]

    def __init__(self, generated: Any, headers: Mapping[str, str] | None) -> None:
        self._generated: Any = weakref.proxy(generated)
        self.headers = dict(headers or {})

    @property
    def _client(self) -> Any:
        return getattr(self._generated, "_client", None)

    @property
    def api_url(self) -> str:
        return str(self._generated.base_url).rstrip("/")

    @api_url.setter
    def api_url(self, value: str) -> None:
        self._generated.base_url = base_of(value)

    @property
    def api_key(self) -> str | None:
        key: str | None = self._generated.api_key
        return key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._generated.api_key = value

    @property
    def workspace_id(self) -> str | None:
        workspace: str | None = self._generated.tenant_id
        return workspace

    @workspace_id.setter
    def workspace_id(self, value: str | None) -> None:
        self._generated.tenant_id = value


Owner._safe_plain = Owner


@functools.cache
def standalone_classes(
    begin: Callable[[Owner, Mapping[str, Any]], Watcher],
) -> dict[Any, Any]:
    """The classes of generated clients that are used directly, with their replacements.

    ``begin``: returns the watcher for a new client with these arguments.
    """
    kinds = (("Langsmith", _watched_sync), ("AsyncLangsmith", _watched_async))
    plain = {getattr(langsmith, name, None): make for name, make in kinds}
    found = {k: make for k, make in plain.items() if hasattr(k, "custom_auth")}
    return {kind: _standalone(kind, make(kind), begin) for kind, make in found.items()}


def _standalone(plain: Any, watched: Any, begin: Callable[..., Watcher]) -> Any:
    class Standalone(watched):  # type: ignore[misc]
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self._safe_begin(arguments)

        def _safe_begin(self, arguments: Mapping[str, Any]) -> None:
            with Guard("watch this client"):
                self._safe_given = arguments
                self._safe_owner = Owner(self, arguments.get("default_headers"))
                self._safe_watcher = begin(self._safe_owner, arguments)
                return
            self.__class__ = plain

        def copy(self, **options: Any) -> Any:
            """Copy as the SDK does; the copy has the same settings and sources."""
            copied = super().copy(**options)
            given = {n: value for n, value in options.items() if value is not None}
            copied._safe_begin({**self._safe_given, **given})
            return copied

        with_options = copy

    Standalone.__name__ = Standalone.__qualname__ = f"Safe{plain.__name__}"
    return Standalone
