"""Whether code is installed, or a program's own: by its file's name alone."""

from __future__ import annotations

import functools
import os
import sysconfig

# Folders that pip and Debian install to, also for one user: sysconfig does not name all.
_FOLDERS = tuple(f"{os.sep}{name}-packages{os.sep}" for name in ("site", "dist"))


def is_installed(file: str) -> bool:
    """Whether a module's file is part of Python, or of an installed package."""
    return file.startswith(_python()) or any(folder in file for folder in _FOLDERS)


@functools.cache
def _python() -> tuple[str, ...]:
    """The folders of Python's own modules. Finding them is slow."""
    return tuple(map(sysconfig.get_path, ("stdlib", "platstdlib")))
