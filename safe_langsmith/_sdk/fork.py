"""A fork at any moment leaves a working child.

A module that is being imported is locked. A child that is forked just then would wait for
that lock forever, because the thread that holds it does not exist there. So whatever is
imported after a program has started is imported within ``with no_fork:``, and a fork
waits for that moment to pass.

The SDK's thread pool counts on the idle threads of its parent, which do not exist in the
child either: `flush()` would wait forever, with the plain client, too. The child gets a
new pool.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Held while something is imported; a fork waits for it.
no_fork = threading.RLock()


def _renew_pool() -> None:  # pragma: no cover  (in another process, but tested)
    sending = sys.modules.get("langsmith._internal._background_thread")
    pool = getattr(sending, "LANGSMITH_CLIENT_THREAD_POOL", None)
    if isinstance(pool, ThreadPoolExecutor):
        size = getattr(pool, "_max_workers", None)
        new = ThreadPoolExecutor(max_workers=size)
        setattr(sending, "LANGSMITH_CLIENT_THREAD_POOL", new)  # noqa: B010


if hasattr(os, "register_at_fork"):  # pragma: no branch  # not on Windows
    os.register_at_fork(
        before=no_fork.acquire,
        after_in_parent=no_fork.release,
        after_in_child=no_fork.release,
    )
    os.register_at_fork(after_in_child=_renew_pool)
