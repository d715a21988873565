"""Makes imports and forks wait for each other, so that a forked child always works.

A module is locked while it is imported. A child that is forked meanwhile would wait for
that lock forever, because the thread that holds it does not exist there. So everything
that is imported after the start of a program is imported within ``with no_fork:``, and a
fork waits until that is done.
"""

from __future__ import annotations

# Before ours is registered: a fork takes locks in the reverse order, so logging's after
# `no_fork`, as an import does that needs a logger.
import logging  # noqa: F401
import os
import threading

# Held while something is imported; a fork waits for it.
no_fork = threading.RLock()

if hasattr(os, "register_at_fork"):  # pragma: no branch  # not on Windows
    os.register_at_fork(
        before=no_fork.acquire,
        after_in_parent=no_fork.release,
        after_in_child=no_fork.release,
    )
