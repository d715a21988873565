"""Makes imports and forks wait for each other, so that a forked child always works.

A module is locked while it is imported. A child that is forked meanwhile would wait for
that lock forever, because the thread that holds it does not exist there. So everything
that is imported after the start of a program is imported within ``with no_fork:``, and a
fork waits until that is done.
"""

from __future__ import annotations

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
