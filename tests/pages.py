"""Helpers for tests of the docs: their scripts, and texts that can be compared."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def script(name: str) -> Any:
    """Import a script of `docs/` as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def masked(text: str) -> str:
    """Mask the ids, ports, folders, and ends of keys in a text; return it as one line."""
    text = re.sub(r" /\S+/\.env", " <folder>/.env", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"(lsv2_.._…|127\.0\.0\.1:)\w{4,5}", r"\1<some>", text)
    return " ".join(text.split())
