"""Tests that the tests of the wheel use the installed one, and for its metadata."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import safe_langsmith

PLUGIN = "pytest_safe_langsmith"
of_the_wheel = pytest.mark.skipif(
    os.environ.get("TESTS_OF") != "wheel", reason="these are tests of the source"
)


@of_the_wheel
def test_the_installed_wheel_is_tested() -> None:
    site = Path(sysconfig.get_path("purelib"))
    assert Path(safe_langsmith.__file__).parent == site / "safe_langsmith"
    files = importlib.metadata.files("safe-langsmith") or []
    assert "safe_langsmith/py.typed" in {file.as_posix() for file in files}


@of_the_wheel
def test_programs_that_tests_start_use_the_wheel_too() -> None:
    code = "import safe_langsmith; print(safe_langsmith.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == safe_langsmith.__file__


@of_the_wheel
def test_pytest_finds_the_plugin() -> None:
    (found,) = importlib.metadata.entry_points(group="pytest11", module=PLUGIN)
    assert found.name == PLUGIN
    assert found.dist is not None
    assert found.dist.name == "safe-langsmith"


def test_the_version_matches_the_metadata() -> None:
    assert importlib.metadata.version("safe-langsmith") == safe_langsmith.__version__
