"""The terminal: its width and characters, shell syntax, and progress."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import re
import shlex
import sys
import threading
import time
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO, cast

from safe_langsmith._knowledge.keys import scrub

if TYPE_CHECKING:
    from safe_langsmith._settings.machine import Machine

# The exit codes.
HEALTHY, PROBLEM, WRONG_USE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130

_NARROWEST, _NO_TERMINAL = 40, 80
_BEAT_S = 0.1
_COMMAND = re.compile(r"^(\s*):(?=:)")
_COLOURS = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "bold": 1}


class Look(NamedTuple):
    """What a stream can show. The default is that of a file or a pipe."""

    width: int = _NO_TERMINAL
    encoding: str = "utf-8"
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Look:
        """Find out what a stream can show."""
        encoding = stream.encoding or "utf-8"
        if not stream.isatty():
            return cls(encoding=encoding)
        width = 0
        with suppress(OSError, ValueError):  # an editor's console may have no file
            width = os.get_terminal_size(stream.fileno()).columns
        # A terminal without a known size says 0.
        width = width or _NO_TERMINAL
        return cls(max(width, _NARROWEST), encoding, _shows_colours())

    def can_show(self, text: str) -> bool:
        """Whether the stream has these characters."""
        try:
            text.encode(self.encoding)
        except UnicodeError:
            return False
        return True

    def shown(self, text: str) -> str:
        """A text with only characters that the stream has."""
        if self.can_show(text):
            return text
        plain = text.replace("\u2026", "...")
        return plain.encode(self.encoding, "replace").decode(self.encoding)

    def coloured(self, text: str, colour: str) -> str:
        """A text in a colour, where there are any."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour else text


def _shows_colours() -> bool:
    """Whether to use colours: not with NO_COLOR (no-color.org) or on an old Windows."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.platform != "win32" or "WT_SESSION" in os.environ


def assignment(name: str, value: str, machine: Machine) -> str:
    """The line that sets a variable in this shell, notebook or GitHub job."""
    if machine.github:
        return f"{name}: {json.dumps(value) if shlex.quote(value) != value else value}"
    if machine.notebook:
        return f"%env {name}={value}"
    if machine.system.startswith("Windows"):
        quoted = value.replace("'", "''")
        return f"$env:{name} = '{quoted}'"
    return f"export {name}={shlex.quote(value)}"


def columns(text: str) -> int:
    """The columns of a text: wide characters take two, combining accents none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def cut(text: str, width: int) -> str:
    """The start of a text that fits into this many columns."""
    text = text[: 2 * width]  # the text may be very long
    while columns(text) > width:
        text = text[:-1]
    return text


def wrapped(text: str, width: int, first: str = "") -> list[str]:
    """A text after ``first``, wrapped to this width, with a hanging indent.

    A word longer than a line is split. No line starts with ``::``, which GitHub Actions
    would execute as a command.
    """
    hang = " " * columns(first)
    lines, line, is_new = [], first, True
    for word in text.split():
        if not is_new and columns(f"{line} {word}") > width:
            lines.append(line)
            line, is_new = hang, True
        line += word if is_new else f" {word}"
        is_new = False
        while columns(line) > width:
            cut = next(n for n in range(len(line)) if columns(line[: n + 1]) > width)
            lines.append(line[:cut])
            line = hang + line[cut:]
    return [_COMMAND.sub(r"\1: ", line) for line in (*lines, line.rstrip())]


def complain(text: str, code: int = WRONG_USE) -> int:
    """Print why a command failed, and return its exit code."""
    print(f"safe-langsmith: {scrub(text)}", file=sys.stderr)
    return code


@contextmanager
def quiet_sdk() -> Iterator[None]:
    """Silence all warnings, and the SDK's log."""
    logger = logging.getLogger("langsmith")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def open_closed_streams() -> None:
    """Replace a stream that the shell has closed (``>&-``)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # pragma: no cover  (in another process, but tested)
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def drop_output() -> None:
    """Drop further output; otherwise Python retries at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def never_fails(stream: TextIO) -> None:
    """Replace characters that a terminal cannot show."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("safe_langsmith", _in_ascii)
        stream.reconfigure(errors="safe_langsmith")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """A replacement for characters that cannot be encoded."""
    failed = cast("UnicodeEncodeError", error)
    lost = failed.object[failed.start : failed.end]
    return "".join("..." if c == "\u2026" else "?" for c in lost), failed.end


class Progress:
    """Shows on a terminal what is running, and for how long."""

    def __init__(self, text: str, stream: TextIO) -> None:
        self._text, self._stream = text, stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._longest = 0

    def __enter__(self) -> Progress:
        if self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._longest:
            print(f"\r{' ' * self._longest}\r", end="", file=self._stream, flush=True)

    def _run(self) -> None:
        look, began = Look.of(self._stream), time.monotonic()
        while True:
            text = f"{self._text} ({time.monotonic() - began:.0f} s)"
            line = look.shown(text)[: look.width - 1]
            self._longest = max(self._longest, columns(line))
            print(f"\r{line}", end="", file=self._stream, flush=True)
            if self._over.wait(_BEAT_S):
                return
