"""What this runs on: what a maintainer asks first."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

from safe_langsmith._settings.releases import installed


class Machine(NamedTuple):
    """Python, langsmith, the system, and the kind of notebook, empty where it is none."""

    python: str
    langsmith: str
    system: str
    notebook: str = ""


def read_machine() -> Machine:
    """Look at the machine. No name of a computer, a user or a folder is read."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Machine(platform.python_version(), installed(), system, _notebook())


def _notebook() -> str:
    """The kind of notebook that started this process, also by `!safe-langsmith doctor`."""
    if "COLAB_RELEASE_TAG" in os.environ:
        return "Colab"
    return "Jupyter" if "JPY_PARENT_PID" in os.environ else ""
