"""An application whose first refused request happens while gunicorn forks its workers.

Once all workers have a request, each makes the same call and responds with the result. A
worker that hangs prints its traceback to stderr, and exits.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from slow.forking import KINDS, Sync

KIND, URL, KEY = (os.environ[f"PRELOADED_{name}"] for name in ("KIND", "URL", "KEY"))
LIMIT_S = float(os.environ["PRELOADED_LIMIT_S"])
WORKERS = int(os.environ["PRELOADED_WORKERS"])
# Each worker creates a file here, named after its process id.
ARRIVED = Path.cwd()

tested, plain = KINDS[KIND]
warm_up = Sync(plain, URL, KEY)
warm_up.refused()
warm_up.good()
calls = Sync(tested, URL, KEY)


def app(
    environ: object, start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Make the refused call in this worker."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    (ARRIVED / f"{os.getpid()}").touch()
    while len(list(ARRIVED.iterdir())) < WORKERS:
        time.sleep(0.01)
    calls.in_child()
    told = f"{calls.refused()} {calls.good()}".encode()
    faulthandler.cancel_dump_traceback_later()
    start_response("200 OK", [("Content-Length", f"{len(told)}")])
    return [told]


threading.Thread(target=calls.refused, daemon=True).start()
