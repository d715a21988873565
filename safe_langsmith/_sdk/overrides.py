"""Overrides of the clients' private methods, which call our own (`_safe_...`).

If a release renames one, the override is never called, and the client stays plain there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import langsmith
from langsmith.utils import LangSmithError

from safe_langsmith._sdk.guard import Guard, warn_once


class WatchedClient(langsmith.Client):
    """`langsmith.Client` with hooks in its private methods."""

    # Saved here: a test may replace the name in langsmith, and a lookup costs time.
    _safe_plain: ClassVar[Any] = langsmith.Client

    def _safe_watch(self, generated: Any) -> None:
        """Watch the generated client behind ``client.runs`` and its neighbors."""

    def _safe_lost(self, error: Exception) -> None:
        """Keep a tracing thread's error."""

    def _safe_saving(
        self, headers: dict[str, str]
    ) -> tuple[dict[str, str], AbstractContextManager[None]]:
        """The headers to save with a lost batch, and a context to save it in."""
        raise NotImplementedError

    def _safe_failure(self) -> object:
        """The latest failed request on this thread, or None."""
        raise NotImplementedError

    def _safe_swallowed(self, error: LangSmithError) -> Exception | None:
        """The typed error for that failure, to replace an error that hides the cause."""

    def _get_langsmith_api(self) -> Any:
        generated = super()._get_langsmith_api()
        with Guard("watch the v2 resources"):
            self._safe_watch(generated)
        return generated

    def _get_langsmith_api_sync(self) -> Any:
        generated = super()._get_langsmith_api_sync()
        with Guard("watch the v2 resources"):
            self._safe_watch(generated)
        return generated

    def _invoke_tracing_error_callback(self, error: Exception) -> None:
        with Guard("keep a tracing thread's error"):
            self._safe_lost(error)
        super()._invoke_tracing_error_callback(error)

    def _dump_failed_trace(
        self, body_fn: Callable[[], bytes], headers: dict[str, str]
    ) -> None:
        within: AbstractContextManager[None] = nullcontext()
        with Guard("name the destination of a saved batch"):
            headers, within = self._safe_saving(headers)
        with within:
            super()._dump_failed_trace(body_fn, headers)

    def _get_tenant_id(self) -> Any:
        earlier: object = None
        typed: Exception | None = None
        with Guard("remember the newest failure"):
            earlier = self._safe_failure()
        try:
            return super()._get_tenant_id()
        except LangSmithError as error:
            with Guard("explain a missing tenant id"):
                if self._safe_failure() is not earlier:
                    typed = self._safe_swallowed(error)
            if typed is None:
                raise
        raise typed


class WatchedAsyncClient(langsmith.AsyncClient):
    """`langsmith.AsyncClient` with hooks in its private methods."""

    _safe_plain: ClassVar[Any] = langsmith.AsyncClient

    async def _safe_explained(
        self, method: str, path: str, error: LangSmithError
    ) -> Exception | None:
        """The typed error to raise instead of the SDK's, or None."""

    async def _arequest_with_retries(
        self, method: str, endpoint: str, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return await super()._arequest_with_retries(method, endpoint, *args, **kwargs)
        except LangSmithError as error:
            typed = None
            with Guard("explain a connection that failed"):
                typed = await self._safe_explained(method, endpoint, error)
            if typed is None:
                raise
        try:
            raise typed
        finally:
            del typed  # its traceback holds this frame


def step_back(ours: type, plain: type, names: tuple[str, ...]) -> None:
    """Remove our attribute if a new SDK release has one of that name: the SDK's wins."""
    for name in names:
        if hasattr(plain, name):
            delattr(ours, name)
            there = f"langsmith {langsmith.__version__} has its own {plain.__name__}.{name}"
            text = f"safe_langsmith: {there}, so ours is disabled."
            warn_once(there, f"{text} Please report this line.")
