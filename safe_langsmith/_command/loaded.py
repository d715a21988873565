"""The environment after ``load_dotenv()``, for commands that use settings.

A `.env` in a folder is not trusted: if it would send a key from elsewhere to its own
endpoint, no request is sent. References (``${NAME}``) are not resolved.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from safe_langsmith._knowledge.hosts import is_official, origin, region_of_web, shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._settings import dotenv_file, python_dotenv
from safe_langsmith._settings.construction import READ_BY_CLIENT
from safe_langsmith._settings.dotenv_file import File
from safe_langsmith._settings.environment import settings_in
from safe_langsmith._settings.network import unused_of_network
from safe_langsmith._settings.profile_file import read_profile
from safe_langsmith._settings.sources import Place
from safe_langsmith._settings.unread import meaning

# The path of a `.env`; False for none; None for the nearest.
Choice = Path | Literal[False] | None
_READ = ("LANGSMITH_", "LANGCHAIN_", "OTEL_EXPORTER_OTLP_")
_CHOOSE_A_HOST = ("_PROFILE", "_CONFIG_FILE")
_IN_PROGRAM = "run print(safe_langsmith.diagnose()) in your program, after load_dotenv()"
_TOGETHER = (
    "remove that line; or if that endpoint is yours, put the key into the same file, or "
    "set both in the shell"
)
_MOST_FOLDERS, _MOST_FILES = 200, 3


class Program(NamedTuple):
    """What a program that starts with ``load_dotenv()`` gets from its `.env`.

    ``places``: the line of each variable that takes effect. ``withheld``: why no request
    may be sent with these settings, and ``step``: what to do; both are empty if requests
    are safe. ``note``: what a script in another folder would load. ``named``: the file was
    passed explicitly. ``refers``: a setting is unknown, since it refers to a variable.
    ``unused``: what the file has but the command does not use. ``is_clear``: as in `File`.
    """

    path: Path | Literal[False] = False
    known_as: str = ""
    places: Mapping[str, str] = MappingProxyType({})
    withheld: str = ""
    step: str = ""
    note: str = ""
    named: bool = False
    refers: bool = False
    unused: tuple[str, ...] = ()
    is_clear: bool = True

    @property
    def fix(self) -> str:
        """The command that writes to this file."""
        more = f" --env-file {shlex.quote(str(self.path))}" if self.named else ""
        return f"safe-langsmith doctor --fix{more}"


@contextmanager
def loaded(choice: Choice) -> Iterator[Program]:
    """Put LangSmith's variables into the environment, as load_dotenv() does.

    Args:
        choice: The `.env`; None for the nearest, in this folder or above; False for none.
    """
    path = nearest() if choice is None else choice
    file = File()
    if path and not dotenv_file.switched_off():
        file, _ = dotenv_file.read_file(path)
    new = {n: v for n, v in file.values.items() if v is not None and _is_read(n, v)}
    places = {name: scrub(file.place[name]) for name in new}
    note = _below() if choice is None else ""
    withheld, step = _referring(file), _IN_PROGRAM
    refers = bool(withheld)
    if not refers:
        withheld, step = _redirecting(file, new)
    if choice is None and _gets_a_login_of_any_host(new):
        new["NETRC"] = os.devnull  # the file where requests looks for logins
    with _in_environment(new, places):
        unused = unused_of_network(file.values, file.place)
        yield Program(
            path=path,
            known_as=scrub(file.known_as),
            places=places,
            withheld=scrub(withheld),
            step=scrub(step),
            note=scrub(note),
            named=bool(choice),
            refers=refers,
            unused=tuple(map(scrub, unused)),
            is_clear=file.is_clear,
        )


@contextmanager
def _in_environment(new: Mapping[str, str], places: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and record the lines that they come from."""
    before = {name: os.environ[name] for name in new if name in os.environ}
    os.environ.update(new)
    python_dotenv.LOADED.update(places)
    if new:
        clear_caches()
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
        os.environ.update(before)
        python_dotenv.LOADED.clear()
        if new:
            clear_caches()


def nearest() -> Path | Literal[False]:
    """The nearest `.env`, in the working directory or a parent, if any."""
    with suppress(OSError):  # the working directory is gone
        if found := python_dotenv.find_dotenv(usecwd=True):
            here = Path(found).parent == Path.cwd()
            return Path(Path(found).name) if here else Path(found)
    return False


def _is_read(name: str, value: str) -> bool:
    """Whether a variable of the file takes effect, and something reads it.

    A name that nothing reads (LANGSMITH_BASE_URL) is reported with its line.
    """
    is_read = name.startswith(_READ) and "\0" not in value and name not in os.environ
    return is_read and (name.endswith("_RUNS_ENDPOINTS") or not meaning(name))


def _referring(file: File) -> str:
    """Why it is unknown what the program sends, and where to; "" if it is known."""
    for name in READ_BY_CLIENT:
        if name in file.refers and name not in os.environ:
            what = "refers to another variable, which is not looked up"
            return f"{name} in {file.place[name]} {what}"
    return ""


def _redirecting(file: File, new: dict[str, str]) -> tuple[str, str]:
    """Why a key from elsewhere would go to a host in the file, and what to do."""
    key = settings_in({**os.environ, **new}, "environment").key.source.name
    chooses = any(name.endswith(_CHOOSE_A_HOST) for name in new)
    if key in new or not (key or chooses or _has_credential(read_profile(None, None))):
        return "", ""
    step = _TOGETHER
    if file.settings.key.value:
        step = f"unset {key} in the shell, if the key in the file is the right one"
    for name, value in new.items():
        if name.endswith(_CHOOSE_A_HOST) or ("ENDPOINT" in name and not _is_ours(value)):
            address = f" names {shown(value)}" if origin(value) else ""
            place = file.place[name]
            return f"{name} in {place}{address}, but the key is not from that file", step
    return "", ""


def _gets_a_login_of_any_host(new: dict[str, str]) -> bool:
    """Whether a host from the file would get the ``default`` login of a `.netrc`."""
    chosen = {n: v for n, v in new.items() if "ENDPOINT" in n and not _is_ours(v)}
    known: Mapping[str, object] = {}
    with suppress(OSError, NetrcParseError):
        known = netrc(os.environ.get("NETRC")).hosts
    return any(urlsplit(origin(value)).hostname not in known for value in chosen.values())


def _has_credential(profile: Place) -> bool:
    """Whether a profile may contain a credential; an unreadable file may."""
    return bool(profile.settings.key.value or profile.login or profile.notes)


def _is_ours(address: str) -> bool:
    web = address.startswith("https://") and region_of_web(address) is not None
    return is_official(address) or web


def _below() -> str:
    """A note about a `.env` in a subfolder, which a script there loads instead."""
    with suppress(OSError):
        folders = sorted(Path().iterdir())[:_MOST_FOLDERS]
        files = [folder / ".env" for folder in folders if folder.name[:1] != "."]
        for file in [file for file in files if file.is_file()][:_MOST_FILES]:
            if dotenv_file.ours(dotenv_file.read_file(file)[0].values):
                option = f"--env-file {shlex.quote(str(file))}"
                return f"a script in {file.parent}/ loads {file}; to check it: {option}"
    return ""
