"""What this runs on, which a maintainer asks first; and whether an advice fits it."""

from __future__ import annotations

import os
import platform
import re
from typing import NamedTuple

import langsmith


class Machine(NamedTuple):
    """Python, langsmith, the system, the kind of notebook ("": none), GitHub Actions."""

    python: str
    langsmith: str
    system: str
    notebook: str = ""
    github: bool = False


def read_machine() -> Machine:
    """Look at the machine. No name of a computer, a user or a folder is read."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    # What started this process, also by `!safe-langsmith doctor`.
    notebook = "Jupyter" if "JPY_PARENT_PID" in os.environ else ""
    notebook = "Colab" if "COLAB_RELEASE_TAG" in os.environ else notebook
    github = os.environ.get("GITHUB_ACTIONS") == "true"
    python = platform.python_version()
    return Machine(python, langsmith.__version__, system, notebook, github)


def advice(text: str, since: str, release: str) -> str:
    """An advice; and the release it needs, where the installed one is older."""
    if _numbers(release) >= _numbers(since):
        return text
    return f"{text} (needs langsmith {since} or newer; {release} is installed)"


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", release)[:3])
