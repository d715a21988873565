"""The `.env` file, line by line as python-dotenv reads it, and what goes wrong in it."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections import ChainMap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import dotenv
from dotenv.parser import Binding, Original, parse_stream
from dotenv.variables import parse_variables

from safe_langsmith._diagnosis import Finding
from safe_langsmith._settings.construction import NAMES
from safe_langsmith._settings.environment import settings_in
from safe_langsmith._settings.sources import Settings, part

Choice = str | os.PathLike[str] | Literal[False] | None
# python-dotenv takes some seconds for a file of a million characters.
LARGEST_FILE = 100_000
# A value that refers to others may grow beyond every bound.
_LONGEST_VALUE = 10_000
_MOST_LINES = 4
_SWITCH = "PYTHON_DOTENV_DISABLED"
_OURS = ("LANGSMITH_", "LANGCHAIN_")
_UNQUOTED = re.compile(r"=[^\S\r\n]*[^\s\"']")
_CURLY = "\u201c\u201d\u2018\u2019"


class File(NamedTuple):
    """The variables of a `.env`, and the place of each."""

    values: Mapping[str, str | None] = {}
    place: Mapping[str, str] = {}
    known_as: str = ""

    @property
    def settings(self) -> Settings:
        """Key, endpoint and workspace."""
        return settings_in(self.values, "dotenv", self.place)


class Dotenv(NamedTuple):
    """The `.env` of the working directory, and the one that the script would load."""

    found: File = File()
    beside_script: File = File()
    notes: tuple[Finding, ...] = ()


def read_dotenv(choice: Choice) -> Dotenv:
    """Read the `.env` that is chosen, or the nearest one from this folder upwards."""
    if choice is False:
        return Dotenv()
    try:
        path = Path(dotenv.find_dotenv(usecwd=True) if choice is None else choice)
    except OSError as error:  # the working directory is gone
        return Dotenv(notes=(_unreadable(".env", error.strerror or "cannot be found"),))
    if choice is not None:
        found, notes = read_file(path)
        return _unless_disabled(found, notes)
    found, notes = read_file(path) if path != Path() else (File(), ())
    other = _of_script()
    beside, _ = read_file(other) if other and other != path else (File(), ())
    notes = (*notes, *_elsewhere(found, beside))
    return _unless_disabled(found, notes)._replace(beside_script=beside)


def _unless_disabled(found: File, notes: tuple[Finding, ...]) -> Dotenv:
    """Take nothing from the file where its loading is switched off."""
    if not switched_off() or not ours(found.values):
        return Dotenv(found, notes=notes)
    text = (
        f"{_SWITCH} is set: load_dotenv() of python-dotenv 1.2 or newer loads nothing, and "
        f"{found.known_as} is not used"
    )
    return Dotenv(notes=(*notes, Finding("settings", "bad", text)))


def switched_off() -> bool:
    """Whether load_dotenv() is told to load nothing."""
    return os.environ.get(_SWITCH, "").casefold() in ("1", "true", "t", "yes", "y")


def _elsewhere(found: File, beside: File) -> tuple[Finding, ...]:
    """Name the settings of the script's `.env` that are in force nowhere."""
    for name in NAMES:
        other = part(beside.settings, name)
        now = part(settings_in(os.environ, "environment"), name)
        if other.value in (None, now.value, part(found.settings, name).value):
            continue
        was = f"{found.known_as} was read" if found.known_as else "no .env was found"
        text = (
            f"{other.source.place} sets {other.source.name}, and is not in force: {was}, "
            "from the working directory upwards. load_dotenv() in a script looks from "
            "the script's folder upwards"
        )
        return (Finding("settings", "unknown", text),)
    return ()


def _of_script() -> Path | None:
    """The `.env` that load_dotenv() finds in the script that runs, or None."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(file, str):  # a notebook, or a prompt
        return None
    try:
        folders = Path(file).absolute().parents
        if Path(sys.prefix) in folders:  # a command that is installed, no script
            return None
        return next((f / ".env" for f in folders if (f / ".env").is_file()), None)
    except OSError:  # a folder above that may not be looked into
        return None


def read_file(path: Path) -> tuple[File, tuple[Finding, ...]]:
    """Read one file, bounded, whatever is in it."""
    known_as = short(path)
    raw, why = read_bytes(path, LARGEST_FILE)
    if why:
        return File(), (_unreadable(known_as, why),)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        line = raw[: error.start].count(b"\n") + 1
        what = "it is UTF-16" if utf_16 else f"line {line} is not UTF-8"
        why = f"{what}; save it as UTF-8"
        return File(), (_unreadable(known_as, why, "bad"),)
    file, notes = _parse(text, known_as)
    return file, (*_byte_order_mark(raw, known_as), *notes)


def read_bytes(path: Path, limit: int) -> tuple[bytes, str]:
    """The bytes of a regular file that is not too large; or none, and why."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b"", "it is not a regular file"
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except (OSError, ValueError) as error:
        return b"", getattr(error, "strerror", None) or "its path is not one"
    if len(raw) > limit:
        return b"", f"it is larger than {limit // 1000} kB"
    return raw, ""


def _byte_order_mark(raw: bytes, known_as: str) -> tuple[Finding, ...]:
    """Older releases of python-dotenv take it for a part of the first name."""
    if not raw.startswith(b"\xef\xbb\xbf"):
        return ()
    (first, *_) = parse_stream(io.StringIO("\ufeffNAME="))
    harmless = first.key == "NAME"
    told = "reads past it" if harmless else "takes it for a part of the first name"
    text = (
        f"{known_as}, line 1: the file begins with a byte order mark; the python-dotenv "
        f"that is installed {told}"
    )
    return (Finding("settings", "good" if harmless else "bad", text),)


def _parse(text: str, known_as: str) -> tuple[File, tuple[Finding, ...]]:
    bindings = list(parse_stream(io.StringIO(text)))
    broken = [b for b in bindings if b.error]
    named = [b for b in bindings if b.key and not b.error]
    place = {str(b.key): f"{known_as}, line {_line(b.original)}" for b in named}
    file = File(_resolved(named), place, known_as)
    notes = (*_unparsed(broken, known_as), *_traps(named, known_as))
    return file, notes


def _resolved(bindings: Iterable[Binding]) -> dict[str, str | None]:
    """The values with ``${NAME}`` filled in, as python-dotenv does; none too long."""
    values: dict[str, str | None] = {}
    around: dict[str, str | None] = {**os.environ}
    known = ChainMap(values, around)
    for binding in bindings:
        if binding.value is None:
            values[str(binding.key)] = None
            continue
        text = ""
        for atom in parse_variables(binding.value):
            text += atom.resolve(known)
            if len(text) > _LONGEST_VALUE:
                break
        values[str(binding.key)] = text if len(text) <= _LONGEST_VALUE else None
    return values


def _unparsed(broken: list[Binding], known_as: str) -> list[Finding]:
    """Name the lines that python-dotenv skips, those about LangSmith first."""
    about = re.compile("|".join(_OURS))
    first = sorted(broken, key=lambda b: not about.search(b.original.string))[:_MOST_LINES]
    lines = sorted(_line(b.original) for b in first)
    told = [f"{known_as}, line {n}: cannot be parsed, so it sets nothing" for n in lines]
    if len(broken) > _MOST_LINES:
        more = len(broken) - _MOST_LINES
        told.append(f"{known_as}: {more} more lines cannot be parsed")
    return [Finding("settings", "bad", text) for text in told]


def _traps(bindings: list[Binding], known_as: str) -> list[Finding]:
    """What python-dotenv reads in another way than people mean it."""
    found = []
    lines: dict[str, list[int]] = {}
    for binding in bindings:
        name, value = str(binding.key), binding.value
        if not name.startswith(_OURS):
            continue
        line = _line(binding.original)
        lines.setdefault(name, []).append(line)
        if value is None:
            found.append((line, f"{name} has no = behind it, so it sets nothing"))
        elif value[:1] in [*_CURLY] or value[-1:] in [*_CURLY]:
            found.append((line, f"{name} has curly quotes, which count as its value"))
        elif "#" in value and _UNQUOTED.search(binding.original.string):
            found.append(
                (line, f"{name} has a # in its value: a comment needs a space before it")
            )
    for name, (*before, last) in lines.items():
        if before:
            numbers = ", ".join(map(str, before[-3:]))
            told = f"{name} stands on line {numbers} too; this one counts"
            found.append((last, told))
    texts = [f"{known_as}, line {line}: {text}" for line, text in sorted(found)]
    return [Finding("settings", "unknown", text) for text in texts[: 2 * _MOST_LINES]]


def ours(names: Iterable[str]) -> bool:
    """Whether a setting of LangSmith is among these variables."""
    return any(name.startswith(_OURS) for name in names)


def _line(original: Original) -> int:
    """The line of a binding. The parser counts the blank lines before it to it."""
    text = original.string
    blank = text[: len(text) - len(text.lstrip())]
    return original.line + len(re.findall(r"\r\n|\n|\r", blank))


def _unreadable(
    known_as: str, why: str, state: Literal["bad", "unknown"] = "unknown"
) -> Finding:
    return Finding("settings", state, f"{known_as} could not be read: {why}")


def short(path: Path) -> str:
    """A path as people know it: from their home folder on, or by its name."""
    try:
        return f"~/{path.absolute().relative_to(Path.home())}"
    except (ValueError, RuntimeError, OSError):
        return str(path)
