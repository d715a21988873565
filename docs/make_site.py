"""Hooks for mkdocs: the version, links to the source, and the notebook's page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import safe_langsmith

_NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


def on_config(config: Any) -> None:
    """Show the version and, in a GitHub workflow, links to the source of each page."""
    config.copyright = f"safe_langsmith {safe_langsmith.__version__}"
    repository = os.environ.get("GITHUB_REPOSITORY")
    if repository:
        config.repo_url = f"{os.environ['GITHUB_SERVER_URL']}/{repository}/"
        config.edit_uri = "edit/main/docs/"


def on_files(files: Any, config: Any) -> None:
    """Add the notebook."""
    page = notebook(json.loads(_NOTEBOOK.read_text(encoding="utf-8")))
    files.append(File.generated(config, "notebook.md", content=page))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to the notebook at its page."""
    return markdown.replace("notebook.ipynb)", "notebook.md)")


def notebook(content: Any) -> str:
    """Return a notebook as Markdown, with its outputs."""
    return "\n\n".join(part for cell in content["cells"] for part in _parts(cell)) + "\n"


def _parts(cell: Any) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *map(_shown, cell["outputs"])]


def _shown(output: Any) -> str:
    """Return an output as HTML if it has any, otherwise as text."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">{"".join(data["text/html"])}</div>'
    text = output.get("text") or data.get("text/plain") or "\n".join(output["traceback"])
    return f"```text\n{''.join(text).rstrip()}\n```"
