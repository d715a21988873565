"""Exporters of OpenTelemetry send with a session of ours, given by their own argument.

The packages of OpenTelemetry are optional, and nothing here imports them: whoever does is
seen, as the class is needed before the first exporter is created.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from safe_langsmith._sdk.guard import Guard

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
# Gives the session for a new exporter; None: it makes its own.
Maker = Callable[[], Any]
_nobody: Maker = lambda: None  # noqa: E731
_everywhere: list[Maker] = [_nobody]
_within: ContextVar[Maker | None] = ContextVar("safe_langsmith_exports", default=None)


def watch_exports(make: Maker | None) -> None:
    """From now on every new exporter sends with a session from here; None: with its own."""
    _everywhere[:] = [make or _nobody]
    if make is not None:
        _watch_for_class()


@contextmanager
def watching_exports(make: Maker) -> Iterator[None]:
    """Within, a new exporter of this thread or task does so."""
    _watch_for_class()
    token = _within.set(make)
    try:
        yield
    finally:
        _within.reset(token)


def _watch_for_class() -> None:
    with Guard("watch OpenTelemetry's exporter"):
        if EXPORTER in sys.modules:
            _watch_class(sys.modules[EXPORTER])
        elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds what the others find, and sees when the module has been imported."""

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        if name != EXPORTER or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec: ModuleSpec | None = importlib.util.find_spec(name)
        with Guard("watch OpenTelemetry's exporter"):
            loader: Any = spec and spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                with Guard("watch OpenTelemetry's exporter"):
                    _watch_class(module)

            loader.exec_module = exec_module
        return spec


def _watch_class(module: ModuleType) -> None:
    kind: Any = getattr(module, "OTLPSpanExporter", None)
    plain = getattr(kind, "__init__", None)
    known = plain and inspect.signature(plain).parameters
    if not known or "session" not in known or hasattr(plain, "_safe_is_ours"):
        return
    place = list(known).index("session")

    @functools.wraps(plain)
    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N807
        with Guard("watch an exporter"):
            if len(args) <= place and kwargs.get("session") is None:
                kwargs["session"] = (_within.get() or _everywhere[-1])()
        plain(*args, **kwargs)

    __init__._safe_is_ours = True  # type: ignore[attr-defined]
    kind.__init__ = __init__
