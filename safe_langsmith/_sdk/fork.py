"""A fork at any moment leaves a working child.

A module that is being imported is locked. A child that is forked just then would wait for
that lock forever, because the thread that holds it does not exist there. So whatever is
imported after a program has started is imported within ``with no_fork:``, and a fork
waits for that moment to pass.
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
