"""Names that nobody reads, and what their authors meant: `LANGSMITH_BASE_URL`.

Such a name, or a line that cannot be parsed, never sets anything. But it shows what is
wanted: who names an endpoint has one, so no other host is asked about the key.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping
from typing import NamedTuple

from safe_langsmith._settings.construction import NAMES, NAMESPACES, READ_BY_CLIENT, Name

_LONGEST = 500
# Letters alone; behind LANGSMITH or LANGCHAIN.
_FORMS: dict[Name, str] = {
    "ENDPOINT": "ENDPOINT ENDPOINTURL APIENDPOINT APIURL APIBASE APIHOST BASEURL URL HOST "
    "HOSTNAME DOMAIN BACKEND SERVER RUNSENDPOINTS",
    "API_KEY": "APIKEY KEY APITOKEN TOKEN ACCESSTOKEN SECRETKEY",
    "WORKSPACE_ID": "WORKSPACEID WORKSPACE TENANTID TENANT",
}
_MEANINGS: dict[str, Name] = {
    f"{space}{form}": name
    for name, forms in _FORMS.items()
    for form in forms.split()
    for space in NAMESPACES
}
# A name in a line, in any form that people give one; the first few are looked at.
_NAME = re.compile(r"[A-Za-z][\w.\-]{0,60}")
_MOST_NAMES = 8


class Mention(NamedTuple):
    """A setting that is named where the SDK does not read it.

    ``place``: where. ``name``: the name that nobody reads, if it is one. ``broken``: a line
    that sets nothing.
    """

    setting: Name
    place: str
    name: str = ""
    broken: bool = False


def meaning_of_line(name: str, value: str | None, text: str) -> Name | None:
    """The setting that a line of a `.env` means and does not set; None if none is."""
    if not value:
        return meant_by(text)
    return None if name in READ_BY_CLIENT else meaning(name, value) or meant_by(name)


def meaning(name: str, value: str = "") -> Name | None:
    """The setting that is meant by a name that the SDK does not read; None if none is."""
    letters = re.sub(r"[^A-Z]", "", name[:_LONGEST].upper())
    # Comparing is slow, and an environment may have a thousand names.
    if name in READ_BY_CLIENT or not (letters.startswith("LAN") or "SMITH" in letters):
        return None
    near = difflib.get_close_matches(letters, _MEANINGS, n=1, cutoff=0.9)
    if near:
        return _MEANINGS[near[0]]
    of_langsmith = letters.startswith(NAMESPACES)
    return "ENDPOINT" if of_langsmith and "://" in value[:_LONGEST] else None


def mentions_in(variables: Mapping[str, str]) -> tuple[Mention, ...]:
    """The settings that are named by variables which the SDK's client does not read."""
    found = ((meaning(name, value), name) for name, value in variables.items() if value)
    return tuple(Mention(setting, name, name) for setting, name in found if setting)


def meant_by(line: str) -> Name | None:
    """The setting that a line means which cannot be parsed; None if none is."""
    text = line.strip()[:_LONGEST]
    for found in itertools.islice(_NAME.finditer(text), _MOST_NAMES):
        name = found.group()
        if name in READ_BY_CLIENT:
            return next(n for n in NAMES if name.endswith(n))
        if setting := meaning(name, text[found.end() :]):
            return setting
    return None
