"""What is configured, and where each value came from.

The only room that reads the environment and the disk, and only after a refusal, but for
`at_construction`, which takes down a few variables when a client is made: later they
tell a value that came from the environment from one that was passed.
"""

from __future__ import annotations

import io
import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote

from langsmith import utils as ls_utils
from langsmith._internal import _profiles

from safe_langsmith._diagnosis import Finding
from safe_langsmith._hosts import DEFAULT_ENDPOINT, same_origin, shown
from safe_langsmith._keys import can_be_sent, clean, mask
from safe_langsmith._protocol import Access

if TYPE_CHECKING:
    from dotenv.parser import Original

SourceKind = Literal[
    "argument",
    "assigned",
    "request",
    "environment",
    "dotenv",
    "profile",
    "cache",
    "repair",
    "default",
    "none",
]
Name = Literal["API_KEY", "ENDPOINT", "WORKSPACE_ID"]
logger = logging.getLogger("safe_langsmith")
# The SDK's warnings name the first line outside of its own folder, and a line of ours is
# none of the caller's. Before langsmith 0.14.15 nothing reads this.
_OURS = f"{Path(__file__).parent}{os.sep}"
_profiles._PACKAGE_DIR = (  # type: ignore[assignment]
    getattr(_profiles, "_PACKAGE_DIR", _OURS),
    _OURS,
)
_NAMES: tuple[Name, ...] = ("API_KEY", "ENDPOINT", "WORKSPACE_ID")
_NAMESPACES = ("LANGSMITH", "LANGCHAIN")
_ARGUMENTS = {"API_KEY": "api_key", "ENDPOINT": "api_url", "WORKSPACE_ID": "workspace_id"}
_DOTENV_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from: the kind, the exact name, and the place."""

    kind: SourceKind
    name: str = ""
    place: str = ""

    @property
    def is_explicit(self) -> bool:
        """Whether a person wrote this value into the code: it is never replaced."""
        return self.kind in ("argument", "assigned", "request")

    def __str__(self) -> str:
        return {
            "argument": f"the {self.name} argument",
            "assigned": f"an assignment to client.{self.name}",
            "request": self.name or "the request itself",
            "cache": f"the SDK's cache of {self.name}",
            "repair": f"a repair ({self.name})",
            "none": "nowhere",
        }.get(self.kind, f"{self.name}{f' in {self.place}' if self.place else ''}")


NOWHERE = Source("none")
# Of an endpoint that a repair found: nobody configured one, and one region knows the key.
FOUND_BY_ASKING = Source("repair", "the only region that knows the key")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and its source. The value stays out of ``repr``: it may be a key.

    ``implied``: the source does not say so; it is what holds where nothing is said.
    """

    value: str | None = field(default=None, repr=False)
    source: Source = NOWHERE
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Key, endpoint and workspace, as one place gives them."""

    key: Setting = Setting()
    endpoint: Setting = Setting()
    workspace: Setting = Setting()

    @property
    def access(self) -> Access:
        """What a request with these settings shows the server."""
        return Access(self.endpoint.value or "", self.key.value, self.workspace.value)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is configured: what the client holds, and what could be newer.

    ``environ``, ``dotenv`` and ``profile`` are read now. ``aliases`` are variables that
    people set for the workspace and that the SDK's client does not read. ``notes`` say
    what was odd while reading. ``cached`` is what the SDK's cache answers.
    """

    held: Settings
    environ: Settings = Settings()
    dotenv: Settings = Settings()
    profile: Settings = Settings()
    cached: Settings = Settings()
    aliases: tuple[Setting, ...] = ()
    session: bool = False
    notes: tuple[Finding, ...] = ()

    @property
    def access(self) -> Access:
        """What a request of the client shows the server."""
        return replace(self.held.access, session=self.session)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key that was read, to be struck out of texts."""
        everywhere = (self.held, self.environ, self.dotenv, self.profile, self.cached)
        return tuple({s.key.value for s in everywhere if s.key.value})


class AtConstruction(NamedTuple):
    """What was passed to a client and what the environment said when it was made."""

    held: Access
    arguments: frozenset[str]
    environ: Mapping[str, str]
    profile: tuple[str | None, str | None] = (None, None)


def at_construction(held: Access, arguments: Mapping[str, Any]) -> AtConstruction:
    """Take down what a new client holds, its arguments, and the variables it read.

    Reads six variables and no file, so that it costs next to nothing.
    """
    given = frozenset(n for n, value in arguments.items() if value is not None)
    names = [f"{space}_{name}" for name in _NAMES for space in _NAMESPACES]
    environ = {n: v for n in names if (v := os.environ.get(n))}
    chosen = (arguments.get("profile"), arguments.get("profile_config_path"))
    return AtConstruction(held, given, environ, chosen)


def sendable_key(arguments: Mapping[str, Any]) -> str | None:
    """The key of a new client without what no HTTP header can carry, such as a BOM.

    None where nothing is to be taken off, or nothing that can be sent is left.
    """
    given = arguments.get("api_key")
    key = _settings(os.environ, "environment").key.value if given is None else given
    if not key or can_be_sent(key) or not can_be_sent(clean(key)):
        return None
    logger.warning(
        "The LangSmith key has characters around it that cannot be sent; used the key "
        "without them. To make it permanent: type or paste the key anew."
    )
    return clean(key)


def read(
    client_values: Access,
    born: AtConstruction,
    repaired: Settings | None,
    dotenv: str | os.PathLike[str] | Literal[False] | None,
) -> Setup:
    """Read what is configured now, and trace each value of a client to its source.

    Reads os.environ, the SDK's cache, the `.env` file and the profile file.

    Args:
        client_values: What the client holds.
        born: What was taken down when the client was made.
        repaired: What the last repair of this client set, if any.
        dotenv: As in `Policy`.
    """
    in_file, notes = _read_dotenv(dotenv)
    profile, profile_notes = _read_profile(*born.profile)
    setup = Setup(
        held=Settings(),
        environ=_settings(os.environ, "environment"),
        dotenv=_settings(in_file.values, "dotenv", in_file.place),
        profile=profile,
        cached=_read_cache(),
        aliases=_aliases(in_file),
        session=client_values.session,
        notes=(*notes, *profile_notes),
    )
    held = Settings(
        key=_trace("API_KEY", client_values.key, setup, born, repaired),
        endpoint=_trace("ENDPOINT", client_values.endpoint, setup, born, repaired),
        workspace=_trace("WORKSPACE_ID", client_values.workspace, setup, born, repaired),
    )
    return replace(setup, held=held)


def as_sent(setup: Setup, sent: Access, headers: Mapping[str, str]) -> Setup:
    """The setup of one request: what it sent besides the client's own is its choice.

    A further destination of traces, on another host, has settings of its own: what the
    environment and files say is not meant for it. ``headers`` are those that a person
    gave to the client.
    """
    if not same_origin(sent.endpoint, setup.access.endpoint):
        return _of_a_destination(sent)
    given = {name.lower(): value for name, value in headers.items()}

    def chosen(held: Setting, value: str | None, header: str = "") -> Setting:
        if held.value == value:
            return held
        name = "the headers argument" if value and given.get(header) == value else ""
        return Setting(value, Source("request", name))

    held = Settings(
        key=chosen(setup.held.key, sent.key, "x-api-key"),
        endpoint=chosen(setup.held.endpoint, sent.endpoint),
        workspace=chosen(setup.held.workspace, sent.workspace, "x-tenant-id"),
    )
    notes = (*setup.notes, *_quarrels(given, sent))
    return replace(setup, held=held, session=sent.session, notes=notes)


def _quarrels(given: Mapping[str, str], sent: Access) -> tuple[Finding, ...]:
    """Where headers that a person gave to the client quarrel with its own."""
    texts = []
    key, workspace = given.get("x-api-key"), given.get("x-tenant-id")
    if key and key != sent.key:
        texts.append(f"the headers argument has another key, {mask(key)}, not sent")
    if workspace and workspace != sent.workspace:
        texts.append(f"the headers argument has another workspace, {workspace}, not sent")
    if given.get("authorization") and not sent.session:
        texts.append("the headers argument adds a login, Authorization, to the key")
    return tuple(Finding("settings", "unknown", text) for text in texts)


def _of_a_destination(sent: Access) -> Setup:
    own = Source("request", "the settings of this destination")
    workspace = Setting(sent.workspace, own) if sent.workspace else Setting()
    held = Settings(Setting(sent.key, own), Setting(sent.endpoint, own), workspace)
    return Setup(held=held, session=sent.session)


def _part(settings: Settings, name: Name) -> Setting:
    parts = {
        "API_KEY": settings.key,
        "ENDPOINT": settings.endpoint,
        "WORKSPACE_ID": settings.workspace,
    }
    return parts[name]


def _trace(
    name: Name,
    value: str | None,
    setup: Setup,
    born: AtConstruction,
    repaired: Settings | None,
) -> Setting:
    """Find where the value that a client holds came from."""
    argument = _ARGUMENTS[name]
    if repaired is not None and value == _part(repaired, name).value:
        return _part(repaired, name)
    if repaired is not None or value != _initial(name, born.held):
        return Setting(value, Source("assigned", argument))
    if "api_urls" in born.arguments and name != "WORKSPACE_ID":
        return Setting(value, Source("argument", "api_urls"))
    if argument in born.arguments:
        return Setting(value, Source("argument", argument))
    at_birth = _part(_settings(born.environ, "environment"), name)
    # httpx quotes what no address may hold.
    same = value is not None and unquote(value) == at_birth.value
    if at_birth.value and (same or value in (at_birth.value, clean(at_birth.value))):
        return _with_line(replace(at_birth, value=value), _part(setup.dotenv, name))
    if value is None:
        return Setting()
    if value == DEFAULT_ENDPOINT and name == "ENDPOINT":
        return Setting(value, Source("default", "default"))
    if value == _part(setup.profile, name).value:
        return _part(setup.profile, name)
    # Neither passed nor in the environment at birth: the profile, edited since, or the
    # SDK's cache.
    return Setting(value, Source("cache", f"LANGSMITH_{name}"))


def _initial(name: Name, held: Access) -> str | None:
    initial = {"API_KEY": held.key, "ENDPOINT": held.endpoint}
    return initial.get(name, held.workspace)


def _with_line(variable: Setting, in_file: Setting) -> Setting:
    """Say which line of the `.env` a variable was loaded from, where it is the same."""
    if variable.value != in_file.value:
        return variable
    return replace(variable, source=replace(variable.source, place=in_file.source.place))


def _settings(
    variables: Mapping[str, str | None],
    kind: Literal["environment", "dotenv"],
    place: Mapping[str, str] | None = None,
) -> Settings:
    """Pick key, endpoint and workspace out of variables, in the SDK's order of names."""

    def pick(name: Name) -> Setting:
        for space in _NAMESPACES:
            variable = f"{space}_{name}"
            # The SDK takes off white space and one layer of quotes.
            value = (variables.get(variable) or "").strip().strip('"').strip("'")
            if value:
                value = value.rstrip("/") if name == "ENDPOINT" else value
                return Setting(
                    value, Source(kind, variable, (place or {}).get(variable, ""))
                )
        return Setting()

    return Settings(pick("API_KEY"), pick("ENDPOINT"), pick("WORKSPACE_ID"))


def _aliases(in_file: _File) -> tuple[Setting, ...]:
    """LANGSMITH_TENANT_ID, which LangSmith's CLI reads and the SDK's client does not."""
    name = "LANGSMITH_TENANT_ID"
    found = []
    if value := os.environ.get(name, "").strip():
        found.append(Setting(value, Source("environment", name)))
    if value := (in_file.values.get(name) or "").strip():
        found.append(Setting(value, Source("dotenv", name, in_file.place[name])))
    return tuple(found)


def _read_cache() -> Settings:
    """What the SDK's cached reader of the environment answers."""

    def cached(name: Name) -> Setting:
        # The same words as the SDK's own call: its cache tells calls apart by them.
        default = DEFAULT_ENDPOINT if name == "ENDPOINT" else None
        value = ls_utils.get_env_var(name, default=default)
        value = (value or "").strip().strip('"').strip("'") or None
        return Setting(value, Source("cache", f"LANGSMITH_{name}"))

    return Settings(cached("API_KEY"), cached("ENDPOINT"), cached("WORKSPACE_ID"))


def clear_sdk_caches() -> None:
    """Make the SDK read its environment variables anew."""
    ls_utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # its overloads hide it
    ls_utils.get_tracer_project.cache_clear()


class _File(NamedTuple):
    values: Mapping[str, str | None] = {}
    place: Mapping[str, str] = {}


def _read_dotenv(
    dotenv: str | os.PathLike[str] | Literal[False] | None,
) -> tuple[_File, tuple[Finding, ...]]:
    """Read the `.env` file with python-dotenv, and say where each line stands."""
    if dotenv is False:
        return _File(), ()
    from dotenv import find_dotenv

    try:
        path = Path(find_dotenv(usecwd=True) if dotenv is None else dotenv)
    except OSError as error:  # the working directory is gone
        return _File(), (_unreadable(".env", error.strerror or "cannot be found"),)
    if dotenv is None and path == Path():
        return _File(), ()
    known_as = _short(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _File(), (_unreadable(known_as, "it is not a regular file"),)
        with path.open("rb") as file:
            raw = file.read(_DOTENV_LIMIT + 1)
        if len(raw) > _DOTENV_LIMIT:
            return _File(), (_unreadable(known_as, "it is larger than 1 MB"),)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _File(), (_unreadable(known_as, "it is not UTF-8; save it as UTF-8"),)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its path is not one"
        return _File(), (_unreadable(known_as, why),)
    return _parse_dotenv(text, known_as)


def _parse_dotenv(text: str, known_as: str) -> tuple[_File, tuple[Finding, ...]]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    place: dict[str, str] = {}
    notes = []
    for binding in parse_stream(io.StringIO(text)):
        where = f"{known_as}, line {_line(binding.original)}"
        if binding.error:
            reason = "cannot be parsed, so it sets nothing"
            notes.append(Finding("settings", "bad", f"{where}: {reason}"))
        elif binding.key:
            place[binding.key] = where
    # The lines that cannot be parsed are cut out: dotenv would log each once more.
    good = "".join(
        b.original.string for b in parse_stream(io.StringIO(text)) if not b.error
    )
    values = dotenv_values(stream=io.StringIO(good), interpolate=True)
    return _File(values, place), tuple(notes)


def _line(original: Original) -> int:
    """The line of a binding. The parser counts the blank lines before it to it."""
    text = original.string
    blank = text[: len(text) - len(text.lstrip())]
    return original.line + len(re.findall(r"\r\n|\n|\r", blank))


def _unreadable(known_as: str, why: str) -> Finding:
    return Finding("settings", "unknown", f"{known_as} could not be read: {why}")


def _short(path: Path) -> str:
    """A path as people know it: from their home folder on, or by its name."""
    try:
        return f"~/{path.absolute().relative_to(Path.home())}"
    except (ValueError, RuntimeError, OSError):
        return str(path)


def _read_profile(
    profile: str | None, path: str | None
) -> tuple[Settings, tuple[Finding, ...]]:
    """Read the profile of LangSmith's CLI, as the SDK reads it."""
    # The floor's loader takes no arguments, and its client no profile.
    chosen = {"profile": profile, "config_path": path}
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        found = _profiles.load_profile_client_config(**given)
        variable = getattr(found, "api_key_env", None)  # not at the floor
        key = found.api_key or os.environ.get(variable or "")
    except Exception as error:  # the SDK's loader trusts the shape of the file
        why = f"the profile file could not be read: {type(error).__name__}"
        return Settings(), (Finding("settings", "unknown", why),)
    if found.profile_state is None:
        return Settings(), ()
    source = Source(
        "profile",
        f"profile {found.profile_state.profile_name!r}",
        _short(found.profile_state.path),
    )

    def setting(value: object) -> Setting:
        text = value.strip() if isinstance(value, str) else ""
        return Setting(text, source) if text else Setting()

    endpoint = setting(found.api_url)
    if endpoint.value:
        endpoint = replace(endpoint, value=endpoint.value.rstrip("/"))  # as the SDK
    if key and not endpoint.value:
        endpoint = Setting(DEFAULT_ENDPOINT, source, implied=True)
    return Settings(setting(key), endpoint, setting(found.workspace_id)), ()


def disagreements(setup: Setup) -> tuple[Finding, ...]:
    """Name the settings on which the client, os.environ, `.env` and cache disagree."""
    texts = []
    for name in _NAMES:
        show = {"API_KEY": mask, "ENDPOINT": shown}.get(name, str)
        held, environ = _part(setup.held, name), _part(setup.environ, name)
        used = f"the client uses {show(held.value or '') or 'none'}, from {held.source}"
        if held.source.kind == "cache" and environ.value is None:
            texts.append(f"{used}; os.environ does not have it any more")
        for now in (environ, _part(setup.dotenv, name)):
            if now.value is None or now.value == held.value:
                continue
            where = "is" if now.source.place else "in os.environ is now"
            texts.append(f"{now.source} {where} {show(now.value)}; {used}")
    return tuple(Finding("settings", "unknown", text) for text in texts)
