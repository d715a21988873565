"""Runs code once an optional module has been imported, by any code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from safe_langsmith._sdk.guard import Guard


def when_imported(name: str, then: Callable[[ModuleType], None]) -> None:
    """Call ``then`` with a module, now or when the program imports it."""
    with Guard(f"watch {name}"):
        if name in sys.modules:
            then(sys.modules[name])
        elif not any(getattr(f, "_safe_sees", None) == name for f in sys.meta_path):
            sys.meta_path.insert(0, _Finder(name, then))


class _Finder:
    """Lets the other finders find the module, and wraps the execution of it."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._safe_sees, self._then = name, then

    def find_spec(self, name: str, *_: object) -> Any:
        if name != self._safe_sees or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        with Guard(f"watch {name}"):
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                # One loader may load many modules, as pytest's does.
                if module.__name__ != name:
                    execute(module)
                    return
                vars(loader).pop("exec_module", None)
                execute(module)
                with Guard(f"watch {name}"):
                    self._then(module)

            loader.exec_module = exec_module
        return spec
