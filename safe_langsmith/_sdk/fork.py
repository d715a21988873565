"""Makes imports and forks wait for each other, so that a forked child always works.

A module is locked while it is imported. A child that is forked meanwhile would wait for
that lock forever, because the thread that holds it does not exist there. So every import
after the start of a program is within ``with no_fork:``, and a fork waits for it.
"""

from __future__ import annotations

# Must be imported before we register: a fork takes locks in reverse order of registration,
# so `no_fork` before logging's lock. An import that logs takes them in the same order.
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
