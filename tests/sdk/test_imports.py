"""Tests for `when_imported`, which calls a function once a module is imported."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from safe_langsmith._sdk.imports import when_imported


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Create two modules that no test has imported."""
    names = [f"{name}_{tmp_path.name}" for name in ("wanted", "other")]
    for name in names:
        (tmp_path / f"{name}.py").write_text("NUMBER = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return names


def test_the_function_is_called_once_the_module_is_complete(modules: list[str]) -> None:
    seen: list[tuple[str, int]] = []
    finders = [*sys.meta_path]

    def see(module: ModuleType) -> None:
        seen.append((module.__name__, module.NUMBER))

    wanted, other = modules
    for _ in range(2):
        when_imported(wanted, see)
    assert len(sys.meta_path) == len(finders) + 1
    importlib.import_module(other)
    assert not seen
    importlib.import_module(wanted)
    assert seen == [(wanted, 1)]
    assert sys.meta_path == finders
    when_imported(wanted, see)
    assert seen == [(wanted, 1)] * 2


class Shared:
    """A finder and loader of many modules, like the one of pytest that rewrites asserts."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.startswith("shared_") else None  # type: ignore[arg-type]

    def create_module(self, _: ModuleSpec) -> None:
        """Create the module as usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Import another module during the import."""
        if module.__name__ == "shared_wanted":
            importlib.import_module("shared_within")


def test_a_loader_of_many_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared()
    monkeypatch.setattr(sys, "meta_path", [shared, *sys.meta_path])
    seen: list[str] = []
    when_imported("shared_wanted", lambda module: seen.append(module.__name__))
    spec = importlib.util.find_spec("shared_wanted")
    importlib.import_module("shared_other")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert (seen, vars(shared)) == (["shared_wanted"], {})


def test_a_module_that_does_not_exist(stepped_aside: list[str]) -> None:
    finders = [*sys.meta_path]
    when_imported("no_such_module_anywhere", lambda _: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_anywhere")
    assert sys.meta_path == finders
    assert stepped_aside == []
