"""A forked process starts with a thread pool of its own for the SDK's traces.

The SDK's pool believes that its parent's idle threads will do the work, and they do not
exist in the child: `flush()` then waits for ever, with the plain client as well.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from langsmith._internal import _background_thread

_POOL = "LANGSMITH_CLIENT_THREAD_POOL"


def _renew_pool() -> None:  # pragma: no cover  (in another process, but tested)
    pool = getattr(_background_thread, _POOL, None)
    if isinstance(pool, ThreadPoolExecutor):
        new = ThreadPoolExecutor(max_workers=pool._max_workers)
        setattr(_background_thread, _POOL, new)


if hasattr(os, "register_at_fork"):  # pragma: no branch  # not on Windows
    os.register_at_fork(after_in_child=_renew_pool)
