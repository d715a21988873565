"""What only a refusal needs is imported after one, and never while the process forks.

A module that is being imported is locked. A child that is forked just then waits for
that lock for ever: the thread that holds it does not exist there. So a fork waits until
these imports, which take a moment, are over.
"""

from __future__ import annotations

import importlib
import os
import threading

_MODULES = (
    "_transport.requests_driver",
    "_transport.httpx_driver",
    "_traces.lost",
    "_traces.replay",
    "_transport.verify",
    "_knowledge.notebook",
)
# Held while something is imported; a fork waits for it.
no_fork = threading.RLock()
_loaded: list[str] = []

if hasattr(os, "register_at_fork"):  # pragma: no branch  # not on Windows
    os.register_at_fork(
        before=no_fork.acquire,
        after_in_parent=no_fork.release,
        after_in_child=no_fork.release,
    )


def load() -> None:
    """Import it, once. An import that stands within a function comes after this."""
    if len(_loaded) == len(_MODULES):
        return
    with no_fork:
        for name in _MODULES[len(_loaded) :]:
            importlib.import_module(f"safe_langsmith.{name}")
            _loaded.append(name)
