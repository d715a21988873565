"""``doctor --fix``: writes the proven endpoint or workspace to the `.env` in use.

The only module that writes a settings file. It never writes a key.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from safe_langsmith._diagnosis import Diagnosis, Fix
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._settings import dotenv_file, python_dotenv
from safe_langsmith._settings.dotenv_file import short

# First the endpoint, then perhaps a workspace; one more, to be safe.
_MOST_CHANGES = 3
_BLANKS = re.compile(r"[^\S\r\n]*")
_NEWLINE = re.compile(r"\r\n|\n|\r")


class UnwrittenError(Exception):
    """The file was not changed. The text continues "Nothing was written"."""


# --- the command ----------------------------------------------------------------------


def fixed(
    path: Path | Literal[False],
    *,
    named: bool,
    look: Callable[[], Diagnosis],
    say: Callable[[str], None],
    agrees: Callable[[str], bool],
) -> Diagnosis:
    """Diagnose, show the change, write it after a yes, and diagnose again.

    Returns the last diagnosis.

    Args:
        path: The `.env` that may be changed; False if there is none.
        named: Whether it was passed explicitly, not found.
        look: Diagnoses the program as it is now, and prints the result.
        say: Prints a text.
        agrees: Asks whether the change to this file may be written.
    """
    diagnosis = look()
    for _ in range(_MOST_CHANGES):  # pragma: no branch  # two settings, so two changes
        if not diagnosis.fixes:
            break
        try:
            target = _writable(path, named=named, fixes=diagnosis.fixes)
            kept = _change(target, diagnosis.fixes, say, agrees)
        except UnwrittenError as why:
            say(f"\nNothing was written{why}.")
            return diagnosis
        say(f"Written. Backup: {short(kept)} (may contain your key; keep it out of git)\n")
        diagnosis = look()
    if diagnosis.code != "ok" and not diagnosis.fixes:
        say(
            "\n--fix cannot fix this: it only writes an endpoint or a workspace id that is "
            "proven to be right. It never writes a key."
        )
    return diagnosis


def _change(
    path: Path,
    fixes: tuple[Fix, ...],
    say: Callable[[str], None],
    agrees: Callable[[str], bool],
) -> Path:
    """Show the change, ask, and write it. Returns the backup file."""
    before = _content(path)
    say(_shown(path, fixes))
    if not agrees(short(path)):
        raise UnwrittenError("")
    return write(path, before, changed(before, fixes))


def _writable(path: Path | Literal[False], *, named: bool, fixes: tuple[Fix, ...]) -> Path:
    """The `.env` where these fixes take effect; an error if there is none."""
    lines = " and ".join(map(str, fixes))
    if not path:
        raise UnwrittenError(
            f": no .env file in this folder or its parents. Set {lines} where your other "
            "settings are"
        )
    if dotenv_file.switched_off():
        raise UnwrittenError(f": {short(path)} is not loaded: unset PYTHON_DOTENV_DISABLED")
    file, notes = dotenv_file.read_file(path)
    if not file.known_as:
        raise UnwrittenError(f": {notes[0].text}")
    if not named and not dotenv_file.ours(file.values):
        raise UnwrittenError(
            f": {file.known_as} has no LangSmith settings. Set {lines} where your other "
            f"settings are, or rerun with --env-file {file.known_as}"
        )
    for fix in fixes:
        if fix.variable in os.environ:
            raise UnwrittenError(
                f": {fix.variable} is set in the environment, and a .env does not override "
                f"it. Set it there: {fix}"
            )
    return path


def _shown(path: Path, fixes: tuple[Fix, ...]) -> str:
    """The change, without other lines of the file: any of them may contain a key."""
    file, _ = dotenv_file.read_file(path)
    keys = [v for n, v in file.values.items() if v and "KEY" in n]
    text = [f"\nChange in {short(path)}:"]
    for fix in fixes:
        old = file.values.get(fix.variable)
        if old is not None:
            told = shown(old) if fix.variable.endswith("ENDPOINT") else old
            line = file.place[fix.variable].rpartition(", ")[2]
            text.append(f"  - {fix.variable}={scrub(told[:200], keys)}  ({line})")
        text.append(f"  + {fix}")
    return "\n".join(text)


# --- the text -------------------------------------------------------------------------


def changed(content: bytes, fixes: tuple[Fix, ...]) -> bytes:
    """The content of a `.env` with these values; every other byte stays.

    python-dotenv's own ``set_key`` changes quotes, drops the comment after the value, and
    changes every line with that name.
    """
    text = content.decode("utf-8")
    for fix in fixes:
        text = _with(text, fix)
    return text.encode("utf-8")


def _with(text: str, fix: Fix) -> str:
    bindings = list(python_dotenv.parse_stream(io.StringIO(text, newline="")))
    parts = [binding.original.string for binding in bindings]
    mark = text[: len(text) - sum(map(len, parts))]  # the parser drops a byte order mark
    named = [n for n, b in enumerate(bindings) if b.key == fix.variable]
    if named:
        parts[named[-1]] = _rewritten(bindings[named[-1]], fix)
        return mark + "".join(parts)
    found = _NEWLINE.search(text)
    newline = found.group() if found else "\n"
    if text.removeprefix("\ufeff") and not text.endswith(("\n", "\r")):
        return f"{text}{newline}{fix}"
    return f"{text}{fix}{newline}"


def _rewritten(binding: python_dotenv.Binding, fix: Fix) -> str:
    """The line, or lines, of one variable, with another value."""
    text = binding.original.string
    if binding.value is None:  # the name alone
        end = text.index(fix.variable) + len(fix.variable)
        end += text[end : end + 1] == "'"
        space = " " if text[end : end + 1] == "#" else ""
        return f"{text[:end]}={fix.value}{space}{text[end:]}"
    head, _, rest = text.partition("=")
    blanks = _BLANKS.match(rest).group()  # type: ignore[union-attr]  # it matches anything
    old = rest[len(blanks) :]
    if old[:1] in ("'", '"'):
        reader = python_dotenv.Reader(io.StringIO(old, newline=""))
        python_dotenv.parse_value(reader)
        quote, end = old[0], reader.position.chars
        return f"{head}={blanks}{quote}{fix.value}{quote}{old[end:]}"
    if not binding.value or (blanks and old.startswith("#")):  # a comment may follow
        return f"{head}={fix.value}{rest}"
    return f"{head}={blanks}{fix.value}{old[len(binding.value) :]}"


# --- the disk -------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    content, why = dotenv_file.read_bytes(path, dotenv_file.LARGEST_FILE)
    if why:
        raise UnwrittenError(f": {short(path)} could not be read: {why}")
    return content


def write(path: Path, before: bytes, after: bytes) -> Path:
    """Replace the content atomically. Returns the backup file.

    A link stays a link: its target is replaced, with the backup next to it.
    """
    made: list[Path] = []
    try:
        real, about = _unchanged(path, before)
        handle, name = tempfile.mkstemp(".tmp", f"{real.name}.", real.parent)
        new = Path(name)
        made.append(new)
        _fill(handle, after, about)
        handle, kept = _new_backup(real)
        made.append(kept)
        _fill(handle, before, about)
        new.replace(real)
    except BaseException as error:
        for file in made:
            with suppress(OSError):  # the first error is the one to report
                file.unlink()
        if isinstance(error, OSError):
            why = error.strerror or type(error).__name__
            raise UnwrittenError(f": {short(path)} could not be written: {why}") from error
        raise
    return kept


def _unchanged(path: Path, before: bytes) -> tuple[Path, os.stat_result]:
    """The real file: writable, and unchanged since it was read."""
    real = path.resolve(strict=True)
    about = real.stat()
    # Root can write any file, but a read-only file is meant to stay as it is.
    if not about.st_mode & 0o222 or not os.access(real, os.W_OK):
        raise UnwrittenError(f": {short(path)} is read-only")
    if _content(real) != before:
        raise UnwrittenError(
            f": {short(path)} has changed since it was read; run this again"
        )
    return real, about


def _new_backup(real: Path) -> tuple[int, Path]:
    """Create an empty backup next to this file (.bak, .bak.1, ...), and open it."""
    numbers = itertools.chain([""], (f".{n}" for n in itertools.count(1)))
    while True:
        kept = real.with_name(f"{real.name}.bak{next(numbers)}")
        with suppress(FileExistsError):
            return os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), kept


def _fill(handle: int, content: bytes, about: os.stat_result) -> None:
    """Write a new file to disk, with the owner and mode of the old one.

    Fails if the owner cannot be kept. Works on the open file, since another file may have
    its name by now.
    """
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        if hasattr(os, "fchown"):  # pragma: no branch  # not on Windows
            os.fchown(stream.fileno(), about.st_uid, about.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(about.st_mode))
        os.fsync(stream.fileno())
