"""Tests that imports and forks do not deadlock."""

from __future__ import annotations

import subprocess
import sys

# A thread gets loggers, which needs the lock of `logging`, while the main thread forks.
# The program imports `logging` after our module.
PROGRAM = """
import safe_langsmith._sdk.fork as ours
import logging, os, threading

over = threading.Event()

def imports():
    number = 0
    while not over.is_set():
        with ours.no_fork:
            number += 1
            logging.getLogger(f"logger-{number}")

thread = threading.Thread(target=imports)
thread.start()
for _ in range(60):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
over.set()
thread.join()
"""


def test_a_logger_that_an_import_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{PROGRAM}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
