"""``doctor --fix``: write what was shown to be right into the `.env` that is in force.

The only room that writes a file of settings: an endpoint or a workspace, and never a key.
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

# A right endpoint may bring to light that a workspace is needed.
_MOST_CHANGES = 3
_BLANKS = re.compile(r"[^\S\r\n]*")
_NEWLINE = re.compile(r"\r\n|\n|\r")


class UnwrittenError(Exception):
    """The file was not changed. The text goes on after "Nothing was written"."""


# --- the command ----------------------------------------------------------------------


def fixed(
    path: Path | Literal[False],
    *,
    named: bool,
    look: Callable[[], Diagnosis],
    say: Callable[[str], None],
    agrees: Callable[[str], bool],
) -> Diagnosis:
    """Diagnose, show the change, write it if that is agreed to, and diagnose again.

    Gives the last diagnosis.

    Args:
        path: The `.env` that may be changed; False: there is none.
        named: Whether it was named, not found.
        look: Makes the diagnosis of the program as it is now, and shows it.
        say: Takes each text for people.
        agrees: Whether the change, whose file is named to it, may be written.
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
        say(f"Written. The old file is {short(kept)}; keep it out of git, like .env.\n")
        diagnosis = look()
    if diagnosis.code != "ok" and not diagnosis.fixes:
        say(
            "\nNothing was written: --fix only adds a missing workspace id or corrects an "
            "endpoint, if one value is right. It never changes a key or an id that you set."
        )
    return diagnosis


def _change(
    path: Path,
    fixes: tuple[Fix, ...],
    say: Callable[[str], None],
    agrees: Callable[[str], bool],
) -> Path:
    """Show the change, ask, and write it. Gives the file in which the old one is kept."""
    before = _content(path)
    say(_shown(path, fixes))
    if not agrees(short(path)):
        raise UnwrittenError("")
    return write(path, before, changed(before, fixes))


def _writable(path: Path | Literal[False], *, named: bool, fixes: tuple[Fix, ...]) -> Path:
    """The `.env` where these fixes come into force, or why there is none."""
    lines = " and ".join(map(str, fixes))
    if not path:
        raise UnwrittenError(
            f": there is no .env, from this folder upwards. Set {lines} where your other "
            "settings are"
        )
    if dotenv_file.switched_off():
        raise UnwrittenError(f": {short(path)} is not loaded: unset PYTHON_DOTENV_DISABLED")
    file, notes = dotenv_file.read_file(path)
    if not file.known_as:
        raise UnwrittenError(f": {notes[0].text}")
    if not named and not dotenv_file.ours(file.values):
        raise UnwrittenError(
            f": {file.known_as} has no setting of LangSmith. Set {lines} where your other "
            f"settings are, or run this with --env-file {file.known_as}"
        )
    for fix in fixes:
        if fix.variable in os.environ:
            raise UnwrittenError(
                f": {fix.variable} is set in the environment, and a .env does not replace "
                f"it. Set it there: {fix}"
            )
    return path


def _shown(path: Path, fixes: tuple[Fix, ...]) -> str:
    """The change, with no line of the file: there may be a key in any."""
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
    """The content of a `.env` with these values; every other byte as it was.

    python-dotenv's own ``set_key`` quotes anew, drops the comment behind the value, and
    changes every line of that name.
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
    """The line, or lines, of one variable with another value."""
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
    """Put a new content in the place of the old one, whole or not at all.

    Gives the file in which the old content is kept. A link stays one: its target is
    replaced, and kept beside it.
    """
    made: list[Path] = []
    try:
        real, about = _unchanged(path, before)
        handle, name = tempfile.mkstemp(".tmp", f"{real.name}.", real.parent)
        new = Path(name)
        made.append(new)
        _fill(handle, after, about)
        handle, kept = _vacant(real)
        made.append(kept)
        _fill(handle, before, about)
        new.replace(real)
    except BaseException as error:
        for file in made:
            with suppress(OSError):  # what went wrong first is what is told
                file.unlink()
        if isinstance(error, OSError):
            why = error.strerror or type(error).__name__
            raise UnwrittenError(f": {short(path)} could not be written: {why}") from error
        raise
    return kept


def _unchanged(path: Path, before: bytes) -> tuple[Path, os.stat_result]:
    """The file itself, which may be written and is still as it was shown."""
    real = path.resolve(strict=True)
    about = real.stat()
    # The superuser may write everything; a file without the right was locked on purpose.
    if not about.st_mode & 0o222 or not os.access(real, os.W_OK):
        raise UnwrittenError(f": {short(path)} is read-only")
    if _content(real) != before:
        raise UnwrittenError(f": {short(path)} was changed meanwhile; run this again")
    return real, about


def _vacant(real: Path) -> tuple[int, Path]:
    """A new file beside this one, under a name that nothing has."""
    numbers = itertools.chain([""], (f".{n}" for n in itertools.count(1)))
    while True:
        kept = real.with_name(f"{real.name}.bak{next(numbers)}")
        with suppress(FileExistsError):
            return os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), kept


def _fill(handle: int, content: bytes, about: os.stat_result) -> None:
    """Write a new file through to the disk, with the owner and the mode of the old one.

    Where the owner cannot be kept this fails: a file that others share is left to them.
    All is done to the open file: at its name somebody may have put another one by now.
    """
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        if hasattr(os, "fchown"):  # pragma: no branch  # not on Windows
            os.fchown(stream.fileno(), about.st_uid, about.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(about.st_mode))
        os.fsync(stream.fileno())
