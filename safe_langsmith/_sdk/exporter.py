"""OpenTelemetry exporters send through our session, passed as ``session=``.

OpenTelemetry's packages are optional and never imported here. The class is patched when the
program imports it, which is before it can create an exporter.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Any

from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.imports import when_imported

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
# Returns the session for a new exporter, or None to let it create its own. The argument is
# True if the program chose the endpoint, False if the SDK did.
Maker = Callable[[bool], Any]
_everywhere: list[Maker] = []
_within: ContextVar[Maker | None] = ContextVar("safe_langsmith_exports", default=None)


def watch_exports(make: Maker | None) -> None:
    """Give new exporters a session from ``make``; with None, they use their own."""
    _everywhere[:] = [make] if make else []
    if make is not None:
        when_imported(EXPORTER, _watch_class)


@contextmanager
def watching_exports(make: Maker) -> Iterator[None]:
    """Do so within a block, for exporters that this thread or task creates."""
    when_imported(EXPORTER, _watch_class)
    token = _within.set(make)
    try:
        yield
    finally:
        _within.reset(token)


def _watch_class(module: ModuleType) -> None:
    kind: Any = getattr(module, "OTLPSpanExporter", None)
    plain: Any = getattr(kind, "__init__", None)
    known = inspect.signature(plain).parameters if kind else ()
    if "session" not in known or hasattr(plain, "_safe_is_ours"):
        return
    place = list(known).index("session")

    @functools.wraps(plain)
    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N807
        with Guard("watch an exporter"):
            make = _within.get() or next(iter(_everywhere), None)
            if make and len(args) <= place and kwargs.get("session") is None:
                kwargs["session"] = make(_is_chosen(sys._getframe(1)))
        plain(*args, **kwargs)

    __init__._safe_is_ours = True  # type: ignore[attr-defined]
    kind.__init__ = __init__


def _is_chosen(caller: FrameType) -> bool:
    """Whether the program chose the endpoint of a new exporter.

    The SDK always passes an endpoint: that of its own argument, or its default.
    """
    is_sdks = str(caller.f_globals.get("__name__")).startswith("langsmith.")
    return not is_sdks or bool(caller.f_locals.get("url"))
