"""The versions in use and the system, for bug reports and for advice."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

import langsmith

from safe_langsmith._sdk.names import numbers_in


class Machine(NamedTuple):
    """The versions in use, the system, the kind of notebook or "", and GitHub Actions."""

    python: str
    langsmith: str
    system: str
    notebook: str = ""
    github: bool = False


def read_machine() -> Machine:
    """Describe the machine, without the name of a computer, user or folder."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    # These variables are inherited, so they are also there for `!safe-langsmith doctor`.
    notebook = "Jupyter" if "JPY_PARENT_PID" in os.environ else ""
    notebook = "Colab" if "COLAB_RELEASE_TAG" in os.environ else notebook
    github = os.environ.get("GITHUB_ACTIONS") == "true"
    python = platform.python_version()
    return Machine(python, langsmith.__version__, system, notebook, github)


def advice(text: str, since: str, release: str) -> str:
    """The advice, and the release that it needs if the installed one is older."""
    if numbers_in(release) >= numbers_in(since):
        return text
    return f"{text} (needs langsmith {since} or newer; {release} is installed)"
