"""The secrets of a Colab notebook, where one runs.

Colab answers on the main thread alone, and asks its user; so they are asked for only
after a refusal, with a time limit, and not again at once.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from safe_langsmith._diagnosis import Finding
from safe_langsmith._settings.construction import NAMESPACES, Name
from safe_langsmith._settings.environment import as_read
from safe_langsmith._settings.sources import Setting, Settings, Source

_SECONDS = 3.0
_AGAIN_AFTER = 10.0


class Secrets(NamedTuple):
    """Key, endpoint and workspace among the secrets, and what was odd."""

    settings: Settings = Settings()
    notes: tuple[Finding, ...] = ()


class _Answer(NamedTuple):
    at: float
    of: Any
    secrets: Secrets


_newest: list[_Answer] = []


def read_secrets() -> Secrets:
    """The secrets of the Colab notebook that this runs in; none anywhere else.

    On another thread than the main one: what was answered last.
    """
    # A Colab kernel has loaded this long before; it is never loaded here.
    colab = sys.modules.get("google.colab")
    if colab is None or not hasattr(signal, "setitimer"):
        return Secrets()
    known = [answer for answer in _newest if answer.of is colab]
    if threading.current_thread() is not threading.main_thread():
        return known[0].secrets if known else _unasked()
    if known and time.monotonic() < known[0].at + _AGAIN_AFTER:
        return known[0].secrets
    secrets = _ask()
    _newest[:] = [_Answer(time.monotonic(), colab, secrets)]
    return secrets


def _unasked() -> Secrets:
    text = (
        "the secrets of Colab were not looked at: it answers on the main thread alone; "
        "call client.diagnose() in a cell"
    )
    return Secrets(notes=(Finding("settings", "unknown", text),))


def _ask() -> Secrets:
    notes: list[Finding] = []
    found: dict[Name, Setting] = {}
    try:
        with _within(_SECONDS):
            # Import by name: nothing but a Colab kernel has this.
            userdata = importlib.import_module("google.colab.userdata")

            # Most notebooks have none; the others are asked for only with a key.
            found["API_KEY"] = _secret("API_KEY", userdata.get, notes)
            if found["API_KEY"].value:
                found["ENDPOINT"] = _secret("ENDPOINT", userdata.get, notes)
                found["WORKSPACE_ID"] = _secret("WORKSPACE_ID", userdata.get, notes)
    except TimeoutError:
        text = f"Colab gave no answer about its secrets within {_SECONDS:g} s"
        # A key whose endpoint is not known is of no use.
        return Secrets(notes=(Finding("settings", "unknown", text),))
    except ImportError:
        return Secrets()
    none = Setting()
    settings = Settings(
        found["API_KEY"], found.get("ENDPOINT", none), found.get("WORKSPACE_ID", none)
    )
    return Secrets(settings, tuple(notes))


def _secret(name: Name, get: Callable[[str], Any], notes: list[Finding]) -> Setting:
    for space in NAMESPACES:
        secret = f"{space}_{name}"
        try:
            given = get(secret)
        except TimeoutError:
            raise
        except Exception as error:  # Colab's errors are classes of its own
            kind = type(error).__name__
            if kind == "NotebookAccessError":
                text = f"this notebook may not use the Colab secret {secret}: switch it on"
                notes.append(Finding("settings", "unknown", text))
            elif kind != "SecretNotFoundError":
                text = f"the Colab secret {secret} could not be read: {kind}"
                notes.append(Finding("settings", "unknown", text))
            continue
        value = as_read(name, given if isinstance(given, str) else None)
        if value:
            return Setting(value, Source("colab", secret))
    return Setting()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError when it takes longer. For the main thread alone."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
