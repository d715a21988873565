"""The environment as ``load_dotenv()`` would leave it, for commands that read settings.

A `.env` may lie in any folder, so it is trusted with nothing that is not its own: if it
chooses where a key goes that is not from that file, nothing is sent at all. What it refers
to (``${NAME}``) is not looked up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.hosts import is_official, region_of_web, shown
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._settings import dotenv_file, python_dotenv
from safe_langsmith._settings.construction import READ_BY_CLIENT
from safe_langsmith._settings.dotenv_file import File, short
from safe_langsmith._settings.environment import LOADED, Loaded, settings_in
from safe_langsmith._settings.sources import noted
from safe_langsmith._settings.unread import meaning

_READ = ("LANGSMITH_", "LANGCHAIN_", "OTEL_EXPORTER_OTLP_")
_CHOOSE_A_HOST = ("_PROFILE", "_CONFIG_FILE")
_MOST_FOLDERS, _MOST_FILES = 200, 3


class Program(NamedTuple):
    """What a program that begins with ``load_dotenv()`` has from its `.env`.

    ``unasked``: why nothing may be sent with these settings; empty if it may. ``note``: the
    files that a script in another folder would load.
    """

    path: Path | Literal[False] = False
    known_as: str = ""
    places: dict[str, str] = {}  # noqa: RUF012  # it is never changed
    unasked: str = ""
    note: str = ""


@contextmanager
def loaded(choice: Path | Literal[False] | None) -> Iterator[Program]:
    """Have the variables of LangSmith in the environment as load_dotenv() puts them there.

    Args:
        choice: The `.env`; None: the nearest one, from here upwards; False: none.
    """
    path = nearest() if choice is None else choice
    file = File()
    if path and not dotenv_file.switched_off():
        file, _ = dotenv_file.read_file(path)
    new = {n: v for n, v in file.values.items() if v is not None and _is_read(n, v)}
    places = {name: file.place[name] for name in new}
    note = _others(path) if choice is None else ""
    unasked = _referring(file) or _redirecting(file, new)
    notes: tuple[Finding, ...] = noted(unasked) if unasked else ()
    os.environ.update(new)
    LOADED.append(Loaded(places, notes))
    clear_caches()
    try:
        yield Program(path, file.known_as, places, unasked, note)
    finally:
        for name in new:
            del os.environ[name]
        LOADED.pop()
        clear_caches()


def nearest() -> Path | Literal[False]:
    """The `.env` that load_dotenv() finds from the working directory upwards, if any."""
    with suppress(OSError):  # the working directory is gone
        if found := python_dotenv.find_dotenv(usecwd=True):
            return Path(found)
    return False


def _is_read(name: str, value: str) -> bool:
    """Whether a variable of the file comes into force, and something reads it.

    A name that nobody reads (LANGSMITH_BASE_URL) is reported with its line.
    """
    is_read = name.startswith(_READ) and "\0" not in value and name not in os.environ
    return is_read and (name.endswith("_RUNS_ENDPOINTS") or not meaning(name))


def _referring(file: File) -> str:
    """Why it is not known what the program sends, and where."""
    for name in READ_BY_CLIENT:
        if name in file.refers and name not in os.environ:
            place = file.place[name]
            return f"{name} in {place} refers to another variable, which is not looked up"
    return ""


def _redirecting(file: File, new: dict[str, str]) -> str:
    """Why a key that is not from the file would go where the file says."""
    if settings_in({**os.environ, **new}, "environment").key.source.name in new:
        return ""
    for name, value in new.items():
        if name.endswith(_CHOOSE_A_HOST) or ("ENDPOINT" in name and not _is_ours(value)):
            address = f" names {shown(value)}" if name.endswith("_ENDPOINT") else ""
            place = file.place[name]
            return f"{name} in {place}{address}, but the key is not from that file"
    return ""


def _is_ours(address: str) -> bool:
    web = address.startswith("https://") and region_of_web(address) is not None
    return is_official(address) or web


def _others(path: Path | Literal[False]) -> str:
    """The `.env` files right below this folder: a script in one of these loads its own."""
    found: list[str] = []
    with suppress(OSError):
        folders = sorted(Path().iterdir())[:_MOST_FOLDERS]
        candidates = [folder / ".env" for folder in folders if folder.name[:1] != "."]
        files = [file for file in candidates if file.is_file()][:_MOST_FILES]
        found = [
            str(file)
            for file in files
            if dotenv_file.ours(dotenv_file.read_file(file)[0].values)
        ]
    if not found:
        return ""
    here = (
        f"{short(path)} is used here" if path else "there is none from this folder upwards"
    )
    return (
        "load_dotenv() looks for a .env from the script's own folder upwards; "
        f"{here}. To check another one: --env-file {found[0]}"
    )
