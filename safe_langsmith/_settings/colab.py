"""The secrets of a Colab notebook.

Colab returns them only on the main thread, and asks the user for permission. So they are
read only after a refusal, with a time limit, and at most every 10 seconds.
"""

from __future__ import annotations

import importlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from safe_langsmith._settings.construction import NAMES, Name, variables
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.sources import Place, Setting, Settings, Source, noted

_SECONDS = 3.0
_AGAIN_AFTER = 10.0
# The secrets as last read, and when.
_newest: dict[ModuleType, tuple[float, Place]] = {}
_NOT_READ = Place(
    notes=noted(
        "the Colab secrets were not checked: they can only be read on the main thread; "
        "call client.diagnose() in a cell"
    )
)


def read_secrets() -> Place:
    """The secrets of this Colab notebook; none elsewhere.

    On a thread other than the main one, returns what was read last.
    """
    # A Colab kernel has already imported this module; we never import it.
    colab = sys.modules.get("google.colab")
    if colab is None or not hasattr(signal, "setitimer"):
        return Place()
    at, secrets = _newest.get(colab, (-math.inf, _NOT_READ))
    may_ask = threading.current_thread() is threading.main_thread()
    if may_ask and time.monotonic() >= at + _AGAIN_AFTER:
        secrets = _ask()
        _newest[colab] = (time.monotonic(), secrets)
    return secrets


def _ask() -> Place:
    notes: list[str] = []
    try:
        with _within(_SECONDS):
            # Imported by name: only a Colab kernel has this module.
            get = importlib.import_module("google.colab.userdata").get
            key = _secret("API_KEY", get, notes)
            # Most notebooks have no key; without one, nothing else is requested.
            others = [_secret(name, get, notes) for name in NAMES[1:] if key.value]
    except TimeoutError:
        text = f"Colab did not provide its secrets within {_SECONDS:g} s"
        # A key is useless if its endpoint is not known.
        return Place(notes=noted(text))
    except ImportError:
        return Place()
    return Place(Settings(key, *others), notes=noted(*notes))


def _secret(name: Name, get: Callable[[str], Any], notes: list[str]) -> Setting:
    for secret in variables(name):
        try:
            given = get(secret)
        except TimeoutError:
            raise
        except Exception as error:  # Colab's errors are classes of its own
            kind = type(error).__name__
            if kind == "NotebookAccessError":
                text = f"this notebook has no access to the Colab secret {secret}: allow it"
                notes.append(text)
            elif kind != "SecretNotFoundError":
                notes.append(f"the Colab secret {secret} could not be read: {kind}")
            continue
        if value := as_read(name, given if isinstance(given, str) else None):
            return Setting(value, Source("colab", secret))
    return Setting()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer. Main thread only."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
