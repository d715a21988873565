"""The `.env` file, line by line as python-dotenv reads it, and common mistakes in it."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from safe_langsmith._diagnosis import Finding, State
from safe_langsmith._settings import python_dotenv
from safe_langsmith._settings.construction import NAMES
from safe_langsmith._settings.environment import environ_now, settings_in
from safe_langsmith._settings.python_dotenv import Binding
from safe_langsmith._settings.sources import Settings, noted
from safe_langsmith._settings.unread import Mention, meaning_of_line, meant_by

Choice = str | os.PathLike[str] | Literal[False] | None
# python-dotenv takes seconds for a file of a million characters.
LARGEST_FILE = 100_000
# python-dotenv takes quadratic time for a run of blanks: its pattern for comments is
# `\s+#.*`.
_LONG_RUN = re.compile(r"([^\S\r\n]{100})[^\S\r\n]+")
_MOST_LINES = 4
_SWITCH = "PYTHON_DOTENV_DISABLED"
_OURS = ("LANGSMITH_", "LANGCHAIN_")
_UNQUOTED = re.compile(r"=[^\S\r\n]*[^\s\"']")
_CURLY = "\u201c\u201d\u2018\u2019"


@dataclass(frozen=True, slots=True)
class File:
    """The variables of a `.env` file, each with its line.

    A variable whose value refers to another (``${NAME}``) has no value here, and is listed
    in ``refers``. ``mentions`` are settings that a line seems to mean but does not set.
    """

    values: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    place: Mapping[str, str] = field(default_factory=dict)
    known_as: str = ""
    mentions: tuple[Mention, ...] = ()
    refers: frozenset[str] = frozenset()

    @property
    def settings(self) -> Settings:
        """Key, endpoint and workspace."""
        return settings_in(self.values, "dotenv", self.place)

    @property
    def is_clear(self) -> bool:
        """Whether the endpoint of its key and workspace is known."""
        named = any(mention.setting == "ENDPOINT" for mention in self.mentions)
        return not named or bool(self.settings.endpoint.value)


class Dotenv(NamedTuple):
    """The `.env` file that load_dotenv() finds, and whether a repair may use it.

    ``here`` is the first `.env` from the working directory upwards, if that is another
    file.
    """

    found: File = File()
    counts: bool = False
    here: File = File()
    notes: tuple[Finding, ...] = ()


def read_dotenv(choice: Choice) -> Dotenv:
    """Read the chosen `.env` file, or the one that load_dotenv() would find.

    load_dotenv() searches upwards from the script's folder; in a notebook, at a prompt,
    and in an installed command, from the working directory.
    """
    if choice is False:
        return Dotenv()
    try:
        here = Path(python_dotenv.find_dotenv(usecwd=True) if choice is None else choice)
    except OSError as error:  # the working directory is gone
        why = error.strerror or "cannot be found"
        return Dotenv(notes=noted(f".env could not be read: {why}"))
    if choice is None:
        dotenv = _as_load_dotenv_finds(here)
    else:
        found, notes = read_file(here)
        dotenv = Dotenv(found, counts=True, notes=notes)
    if not switched_off() or not ours(dotenv.found.values):
        return dotenv
    text = (
        f"{_SWITCH} is set: load_dotenv() of python-dotenv 1.2 or newer loads nothing, and "
        f"{dotenv.found.known_as} is not used"
    )
    notes = (*dotenv.notes, *noted(text, state="bad"))
    return dotenv._replace(counts=False, notes=notes)


def _as_load_dotenv_finds(here: Path) -> Dotenv:
    """The `.env` file that load_dotenv() finds. ``here``: as in `Dotenv`."""
    path = _from_script_upwards(here)
    found, notes = read_file(path) if path != Path() else (File(), ())
    other, _ = read_file(here) if here not in (path, Path()) else (File(), ())
    counts = python_dotenv.program_uses_it()
    if not counts and ours(found.values):
        no_import = "no module of this program imports python-dotenv at its top level"
        text = f"{found.known_as} is not used: {no_import}"
        notes = (*notes, *noted(text))
    return Dotenv(found, counts, other, (*notes, *_elsewhere(found, other)))


def switched_off() -> bool:
    """Whether load_dotenv() is disabled."""
    return os.environ.get(_SWITCH, "").casefold() in ("1", "true", "t", "yes", "y")


def _elsewhere(found: File, here: File) -> tuple[Finding, ...]:
    """Report the first setting in ``here`` (as in `Dotenv`) that is not used."""
    for name in NAMES:
        other, now = here.settings[name], environ_now()[name]
        if other.value in (None, now.value, found.settings[name].value):
            continue
        finds = f"it finds {found.known_as}" if found.known_as else "it finds none there"
        text = (
            f"{other.source.place} sets {other.source.name}, but is not used: "
            f"load_dotenv() searches upwards from the script's folder, and {finds}"
        )
        return noted(text)
    return ()


def _from_script_upwards(here: Path) -> Path:
    """The first `.env` from the script's folder upwards; an empty path if there is none.

    Returns ``here`` where load_dotenv() starts from the working directory.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(file, str):  # a notebook, or a prompt
        return here
    folders = list(Path(file).absolute().parents)
    kinds = ("scripts", "purelib", "platlib", "stdlib")
    of_a_command = {Path(sysconfig.get_path(kind)) for kind in kinds}
    if {*of_a_command, Path(__file__).parent.parent} & {*folders}:
        return here
    try:
        return next((f / ".env" for f in folders if (f / ".env").is_file()), Path())
    except OSError:  # no permission to look into a folder above
        return Path()


def read_file(path: Path) -> tuple[File, tuple[Finding, ...]]:
    """Read one file, up to a size limit, whatever its content."""
    known_as, text = short(path), ""
    raw, why = read_bytes(path, LARGEST_FILE)
    state: State = "unknown"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        line = raw[: error.start].count(b"\n") + 1
        what = "it is UTF-16" if utf_16 else f"line {line} is not UTF-8"
        why, state = f"{what}; save it as UTF-8", "bad"
    if why:
        # Its content is unknown, so it may name an endpoint.
        nothing = File(mentions=(Mention("ENDPOINT", known_as),))
        return nothing, noted(f"{known_as} could not be read: {why}", state=state)
    file, notes = _parse(text, known_as)
    return file, (*_byte_order_mark(raw, known_as), *notes)


def read_bytes(path: Path, limit: int) -> tuple[bytes, str]:
    """The bytes of a regular file below the size limit; otherwise none, and the reason."""
    try:
        # Non-blocking: the path may be a pipe.
        how = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        opened = os.open(path, how)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            return b"", "it is not a regular file"
        with os.fdopen(opened, "rb") as file:
            raw = file.read(limit + 1)
    except (OSError, ValueError) as error:
        return b"", getattr(error, "strerror", None) or "its path is invalid"
    if len(raw) > limit:
        return b"", f"it is larger than {limit // 1000} kB"
    return raw, ""


def _byte_order_mark(raw: bytes, known_as: str) -> tuple[Finding, ...]:
    """Report a BOM: older releases of python-dotenv read it as part of the first name."""
    if not raw.startswith(b"\xef\xbb\xbf"):
        return ()
    (first, *_) = python_dotenv.parse_stream(io.StringIO("\ufeffNAME="))
    harmless = first.key == "NAME"
    told = "skips it" if harmless else "reads it as part of the first name"
    installed = f"the installed python-dotenv {told}"
    text = f"{known_as}, line 1: the file begins with a byte order mark; {installed}"
    return noted(text, state="good" if harmless else "bad")


def _parse(text: str, known_as: str) -> tuple[File, tuple[Finding, ...]]:
    text = _LONG_RUN.sub(r"\1", text)
    bindings = [_at_its_line(b) for b in python_dotenv.parse_stream(io.StringIO(text))]
    named = [b for b in bindings if b.key]
    place = {str(b.key): f"{known_as}, line {b.original.line}" for b in named}
    # If a name is on several lines, the last one wins.
    last = {str(b.key): b for b in named}
    refers = frozenset(name for name, b in last.items() if _refers(b))
    values = {name: None if name in refers else b.value for name, b in last.items()}
    mentions = tuple(_mentions(bindings, values, known_as))
    file = File(values, place, known_as, mentions, refers)
    broken = [b for b in bindings if b.error]
    of_ours = [b for b in named if ours([str(b.key)])]
    notes = _traps(of_ours, known_as) + _references(of_ours, known_as)
    return file, _unparsed(broken, known_as) + notes


def _at_its_line(binding: Binding) -> Binding:
    """Correct a binding's line: the parser counts from the blank lines before it."""
    text, line = binding.original
    blank = text[: len(text) - len(text.lstrip())]
    line += len(re.findall(r"\r\n|\n|\r", blank))
    return binding._replace(original=binding.original._replace(line=line))


def _refers(binding: Binding) -> bool:
    """Whether python-dotenv would expand a variable: ``${NAME}``.

    Such a value is not used: any file could have a secret of the environment sent or shown.
    """
    # python-dotenv's own pattern for this takes quadratic time.
    return "${" in (binding.value or "")


def _mentions(
    bindings: Iterable[Binding], values: Mapping[str, str | None], known_as: str
) -> Iterable[Mention]:
    """The settings that lines seem to mean but do not set."""
    for binding in bindings:
        name, (text, line) = str(binding.key or ""), binding.original
        value = values.get(name)
        if setting := meaning_of_line(name, value, text):
            place = f"{known_as}, line {line}"
            yield Mention(setting, place, name if value else "", broken=not value)


def _references(bindings: list[Binding], known_as: str) -> tuple[Finding, ...]:
    told = "refers to a variable, which safe_langsmith does not expand"
    found = ((b.original.line, f"{b.key} {told}") for b in bindings if _refers(b))
    return _listed(found, known_as)


def _unparsed(broken: list[Binding], known_as: str) -> tuple[Finding, ...]:
    """Report the lines that python-dotenv skips, those about LangSmith first."""
    meant = {b.original.line: meant_by(b.original.string) for b in broken}
    found = []
    for line, name in sorted(meant.items(), key=lambda item: item[1] is None):
        told = f"; was it meant to set LANGSMITH_{name}?" if name else ""
        found.append((line, f"cannot be parsed, so it sets nothing{told}"))
    return _listed(found, known_as, "bad")


def _listed(
    found: Iterable[tuple[int, str]], known_as: str, state: State = "unknown"
) -> tuple[Finding, ...]:
    """A finding for each of the first lines; the others are counted."""
    every = list(found)
    first = sorted(every[:_MOST_LINES])
    texts = [f"{known_as}, line {line}: {text}" for line, text in first]
    if left := len(every) - len(first):
        texts.append(f"{known_as}: {left} more of these")
    return noted(*texts, state=state)


def _traps(bindings: list[Binding], known_as: str) -> tuple[Finding, ...]:
    """Lines that python-dotenv reads differently than they look."""
    found = []
    lines: dict[str, list[int]] = {}
    for binding in bindings:
        name, value, (text, line), _ = binding
        lines.setdefault(str(name), []).append(line)
        if value is None:
            found.append((line, f"{name} has no =, so it is ignored"))
        elif "\0" in value:
            found.append((line, f"{name} has a null byte, so load_dotenv() fails there"))
        elif value[:1] in [*_CURLY] or value[-1:] in [*_CURLY]:
            found.append((line, f"{name} has curly quotes, which become part of its value"))
        elif "#" in value and _UNQUOTED.search(text):
            told = f"{name} has a # in its value: a comment needs a space before it"
            found.append((line, told))
    for name, (*before, last) in lines.items():
        if before:
            numbers = ", ".join(map(str, before[-3:]))
            where = f"lines {numbers}" if before[1:] else f"line {numbers}"
            found.append((last, f"{name} is also on {where}; the last one wins"))
    return _listed(sorted(found), known_as)


def ours(names: Iterable[str]) -> bool:
    """Whether any of these variables is a LangSmith setting."""
    return any(name.startswith(_OURS) for name in names)


def short(path: Path) -> str:
    """A path for display; a path in the home folder begins with ``~``."""
    try:
        return f"~/{path.absolute().relative_to(Path.home())}"
    except (ValueError, RuntimeError, OSError):
        return str(path)
