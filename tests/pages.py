"""The pages of this project, their scripts, and how two texts of them are compared."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def script(name: str) -> Any:
    """A script of `docs/`, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def masked(text: str) -> str:
    """A text with ids, ports, folders and the ends of keys struck out, in one line."""
    text = re.sub(r" /\S+/\.env", " <folder>/.env", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"(lsv2_.._…|127\.0\.0\.1:)\w{4,5}", r"\1<some>", text)
    return " ".join(text.split())
