"""The generated clients behind `client.runs` and its neighbors, and how they are watched.

The SDK makes them with classes of its own, so the class is changed afterwards. Without
`langsmith._internal._openapi_auth` (before 0.14.12) they stay plain.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.modules import part_of


class Watcher(Protocol):
    """What is asked about each request of a generated client.

    An error it returns is raised in place of what the SDK would do or raise.
    """

    def auth(self, http: Any) -> Any:
        """What takes part in each request of this httpx client; None: nothing."""

    def unsent(self, request: Any) -> Exception | None:
        """Why a request cannot be sent; None: it can."""

    async def unsent_async(self, request: Any) -> Exception | None:
        """The same for an async client."""

    def explained(self, error: Any) -> Exception | None:
        """What to raise in place of an error; None: that one."""

    async def explained_async(self, error: Any) -> Exception | None:
        """The same for an async client."""


def watch(generated: Any, watcher: Watcher) -> Any:
    """Have a generated client ask a watcher about each request; so do its copies."""
    kind = _watched_classes().get(type(generated))
    if kind is not None:
        generated.__class__ = kind
        generated._safe_watcher = watcher
    return generated


def _watched_sync(plain: Any) -> Any:
    """The watched class in place of the plain sync one."""

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
    """The same for the async one."""

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
    """What both do in the same way."""

    class Shared(plain):  # type: ignore[misc]
        _safe_watcher: Watcher

        @property
        def custom_auth(self) -> Any:
            """The SDK's own seam: asked before each request."""
            with Guard("watch a request"):
                return self._safe_watcher.auth(getattr(self, "_client", None))
            return super().custom_auth

        def _validate_headers(self, headers: Any, custom_headers: Any) -> None:
            """Let a request without a key go out: the server rejects it, and we say why."""
            if any(n.lower() in ("authorization", "x-api-key") for n in custom_headers):
                super()._validate_headers(headers, custom_headers)

        def copy(self, **options: Any) -> Any:
            """Copy as the SDK does; the copy is watched, too."""
            copied = super().copy(**options)
            copied._safe_watcher = self._safe_watcher
            return copied

        with_options = copy

    return Shared


@functools.cache
def _watched_classes() -> dict[Any, Any]:
    """The classes that can be watched, each with the one that takes its place."""
    kinds = (("SyncClient", _watched_sync), ("AsyncClient", _watched_async))
    plain = {part_of("_internal._openapi_auth", name): make for name, make in kinds}
    return {k: make(k) for k, make in plain.items() if hasattr(k, "custom_auth")}
