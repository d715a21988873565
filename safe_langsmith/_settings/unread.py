"""Variables that nothing reads, such as `LANGSMITH_BASE_URL`, and what was meant.

Such a name, or a line that cannot be parsed, sets nothing, but it shows what its author
meant: if that is an endpoint, no other region is asked by default.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from safe_langsmith._settings.construction import (
    NAMES,
    NAMESPACES,
    READ_BY_CLIENT,
    Name,
    variables,
)
from safe_langsmith._settings.python_dotenv import LOADED

_LONGEST = 500
# What people write after LANGSMITH or LANGCHAIN for each setting, letters only.
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
# What people write for langsmith's other variables: not key, endpoint or workspace.
_MORE_FORMS = {
    "TRACING": "TRACING TRACINGENABLED ENABLETRACING TRACINGON TRACES TRACE",
    "PROJECT": "PROJECT PROJECTNAME PROJECTID DEFAULTPROJECT SESSIONNAME",
    "TRACING_MODE": "TRACINGMODE",
    "OTEL_ENABLED": "OTELENABLED OTELENABLE ENABLEOTEL OTEL",
    "OTEL_ONLY": "OTELONLY",
    "TRACING_SAMPLING_RATE": "TRACINGSAMPLINGRATE SAMPLINGRATE SAMPLERATE",
    "FAILED_TRACES_DIR": "FAILEDTRACESDIR",
}
_MORE_MEANINGS = {
    f"{space}{form}": f"LANGSMITH_{name}"
    for name, forms in _MORE_FORMS.items()
    for form in forms.split()
    for space in NAMESPACES
}
# After LANGSMITH_ or LANGCHAIN_: what langsmith reads in any release since 0.10.0.
_READ = frozenset(
    variables(
        *NAMES,
        *_MORE_FORMS,
        *("TRACING_V2", "SESSION", "RUNS_ENDPOINTS", "AGENT_ID", "AGENT_ENVIRONMENT"),
        *("HIDE_INPUTS", "HIDE_OUTPUTS", "HIDE_METADATA", "TRACING_QUEUE_MAX_SIZE"),
        *("USE_PYO3_CLIENT", "USE_DAEMON", "FAILED_TRACES_MAX_MB", "OTEL_SPAN_TTL_SECONDS"),
        *("TEST_CACHE", "TEST_SUITE", "TEST_TRACKING", "EXPERIMENT", "EXPERIMENT_METADATA"),
        *("BATCH_INGEST_SIZE_LIMIT", "MAX_INGEST_MEMORY_BYTES", "DISABLE_RUN_COMPRESSION"),
        *("RUN_COMPRESSION_LEVEL", "RUN_COMPRESSION_THREADS", "EXCLUDE_INPUTS_ON_PATCH"),
        *("ALLOW_UNPROCESSED_PAYLOADS", "BAGGAGE_ALLOWED_UPDATE_FIELDS"),
        *("EXPERIMENTAL_FEATURES", "SANDBOX_SSE_TIMEOUT_READ", "REVISION_ID"),
        # The generated client, the CLI, LangChain, LangGraph and the JavaScript SDK.
        *("PROFILE", "CONFIG_FILE", "TENANT_ID", "CUSTOM_HEADERS", "LOG", "HANDLER"),
        *("HOST_PROJECT_ID", "HOST_PROJECT_NAME", "HOST_REVISION_ID", "LICENSE_KEY"),
        *("AUTH_ENDPOINT", "TRACING_BACKGROUND", "CONTROL_PLANE_API_KEY"),
    )
) | {"LANGCHAIN_BASE_URL"}
# A name in a line, in any common form; only the first few are checked.
_NAME = re.compile(r"[A-Za-z][\w.\-]{0,60}")
_MOST_NAMES = 8


class Mention(NamedTuple):
    """A setting that is named where the SDK does not read it.

    ``place``: where. ``name``: the name that is not read, if any. ``broken``: the line sets
    nothing.
    """

    setting: Name
    place: str
    name: str = ""
    broken: bool = False


def meaning_of_line(name: str, value: str | None, text: str) -> Name | None:
    """The setting that a line of a `.env` file means but does not set, or None."""
    if not value:
        return meant_by(text)
    return None if name in READ_BY_CLIENT else meaning(name, value) or meant_by(name)


def meaning(name: str, value: str = "") -> Name | None:
    """The setting that was meant by a name that the SDK does not read, or None."""
    letters = _letters(name)
    if name in READ_BY_CLIENT or not letters:
        return None
    near = difflib.get_close_matches(letters, _MEANINGS, n=1, cutoff=0.9)
    if near:
        return _MEANINGS[near[0]]
    of_langsmith = letters.startswith(NAMESPACES)
    return "ENDPOINT" if of_langsmith and "://" in value[:_LONGEST] else None


def near_miss(name: str) -> str | None:
    """The variable that was meant by a name that nothing reads, or None."""
    letters = _letters(name)
    if name in _READ or not letters:
        return None
    if setting := meaning(name):
        return f"LANGSMITH_{setting}"
    near = difflib.get_close_matches(letters, _MORE_MEANINGS, n=1, cutoff=0.9)
    return _MORE_MEANINGS[near[0]] if near else None


def near_misses(
    environ: Mapping[str, str], in_file: Mapping[str, str | None], place: Mapping[str, str]
) -> Iterator[str]:
    """Report the variables, and lines of a `.env` file, that nothing reads."""
    for name, value in {**in_file, **environ}.items():
        if value and (meant := near_miss(name)):
            otherwise = "" if name in environ else place[name]
            yield unread(name, meant, LOADED.get(name, otherwise))


def unread(name: str, meant: str, place: str = "") -> str:
    """Report a variable that nothing reads. ``place``: the line that sets it, if any."""
    is_set = f"{place} sets {name}" if place else f"{name} is set"
    return f"{is_set}, but nothing reads it. Did you mean {meant}?"


def _letters(name: str) -> str:
    """The letters of a name, in upper case, if it may mean LangSmith; otherwise empty.

    Comparing is slow, and an environment may have a thousand variables.
    """
    letters = re.sub(r"[^A-Z]", "", name[:_LONGEST].upper())
    return letters if letters.startswith("LAN") or "SMITH" in letters else ""


def mentions_in(environ: Mapping[str, str]) -> tuple[Mention, ...]:
    """The settings that are named by variables that the SDK's client does not read."""
    found = ((meaning(name, value), name) for name, value in environ.items() if value)
    return tuple(Mention(setting, name, name) for setting, name in found if setting)


def meant_by(line: str) -> Name | None:
    """The setting that was meant by a line or a name that sets nothing, or None."""
    text = line.strip()[:_LONGEST]
    for found in itertools.islice(_NAME.finditer(text), _MOST_NAMES):
        name = found.group()
        if name in READ_BY_CLIENT:
            return next(n for n in NAMES if name.endswith(n))
        if setting := meaning(name, text[found.end() :]):
            return setting
    return None
