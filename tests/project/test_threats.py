"""Tests that each line of the threat model in SECURITY.md names its tests."""

from __future__ import annotations

import ast
import functools
import re

import pytest
from pages import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "SECURITY.md").read_text()
LINES = [line for line in PAGE.splitlines() if line.startswith(("| can |", "| cannot |"))]


@functools.cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize("line", LINES)
def test_each_line_names_its_tests(line: str) -> None:
    _, _, what, shown, _ = line.split("|")
    assert what.strip()
    named = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", shown)
    assert named
    assert len(named) == shown.count("`") / 2
    for file, test in named:
        assert test in functions_of(file), f"{file} has no {test}"


def test_the_page_says_what_each_attacker_can_and_cannot_do() -> None:
    parts = [part for part in PAGE.split("\n### ") if "| can |" in part]
    assert len(parts) >= 5
    assert all("| cannot |" in part for part in parts)
