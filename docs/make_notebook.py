"""Run `notebook.ipynb` again, and save its outputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

import safe_langsmith

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


def kept() -> Any:
    """Return the notebook as it is saved."""
    return nbformat.read(NOTEBOOK, as_version=4)


def executed() -> Any:
    """Run the notebook in an empty folder without LangSmith settings, and return it."""
    notebook = kept()
    foreign = ("LANGSMITH_", "LANGCHAIN_")
    environ = {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
    environ["PYTHONPATH"] = str(Path(safe_langsmith.__file__).parent.parent)
    environ["PYTHONWARNINGS"] = "ignore"
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources=resources
        )
        client.execute(env=environ)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
