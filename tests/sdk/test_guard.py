"""Tests that with a fault in any of our modules, clients work like the plain one."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_names import no_worse, outcome

import safe_langsmith

pytestmark = pytest.mark.slow
PACKAGE = Path(safe_langsmith.__file__).parent
# These are not guarded: they are the guard, or check the caller's arguments.
OUTSIDE = {"__init__", "__main__", "_policy", "_sdk.guard", "_sdk.fork", "_sdk.warn"}
# In these, only guarded functions get a fault. Public methods are allowed to fail.
PARTLY = {"_client", "_async_client", "_translate", "_sdk.overrides"}
NOT_OF_CLIENTS = ("testing", "_command", "_install", "_diagnose")


def names() -> list[str]:
    found = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if parts[0] not in NOT_OF_CLIENTS and name not in OUTSIDE:
            found.append(name)
    return sorted(found)


class Faulty(ast.NodeTransformer):
    """Makes each function raise when it is called."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._broken(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._broken(node)

    def _broken(self, node: Any) -> Any:
        if node.name.startswith(self.prefix):
            node.body = [*ast.parse("raise RuntimeError('injected')").body, *node.body]
        return node


def copy_with_a_fault(module: str, folder: Path, *, at_import: bool) -> bool:
    """Copy the package with a fault in one module; return whether the module changed."""
    shutil.copytree(PACKAGE, folder / "safe_langsmith")
    file = folder.joinpath("safe_langsmith", *module.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    before = ast.dump(tree)
    if at_import:
        tree.body += ast.parse("raise RuntimeError('injected')").body
    else:
        tree = Faulty("_safe_" if module in PARTLY else "").visit(tree)
    file.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
    return ast.dump(tree) != before


@pytest.fixture(scope="module")
def plain() -> dict[str, object]:
    found, arrived = outcome("plain", None)
    assert arrived
    return found


@pytest.mark.parametrize("module", names())
def test_a_fault_when_called(module: str, plain: dict[str, object], tmp_path: Path) -> None:
    if copy_with_a_fault(module, tmp_path, at_import=False):
        assert_no_worse(plain, tmp_path)


# Modules that are imported after a refusal, at least one of each package.
LATE = (
    "_decision.resolve",
    "_diagnosis",
    "_settings.reading",
    "_traces.lost",
    "_transport.httpx_driver",
    "_transport.httpx_unsent",
    "_transport.requests_driver",
)


@pytest.mark.parametrize("module", LATE)
def test_a_fault_when_imported(
    module: str, plain: dict[str, object], tmp_path: Path
) -> None:
    copy_with_a_fault(module, tmp_path, at_import=True)
    assert_no_worse(plain, tmp_path)


def assert_no_worse(plain: dict[str, object], package: Path) -> None:
    safe, arrived = outcome("safe", package)
    said = safe.pop("said")
    worse = {n: (plain[n], safe[n]) for n in safe if not no_worse(plain[n], safe[n])}
    assert not worse
    assert arrived
    assert all("stepped aside" in line and "injected" not in line for line in said)
    assert len(said) == len(set(said)) <= 6  # one line for each place
