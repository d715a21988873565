"""The words: a value and its source, the settings of one place, a whole setup.

Plain data: nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

from safe_langsmith._diagnosis import Finding, State
from safe_langsmith._knowledge.access import Access
from safe_langsmith._settings.construction import Name, Words
from safe_langsmith._settings.network import Network
from safe_langsmith._settings.unread import Mention

# What a person wrote into the code, what is read from elsewhere, and the rest.
InCode = Literal["argument", "assigned", "request"]
Configured = Literal["environment", "dotenv", "colab", "profile", "cache"]
SourceKind = Literal[InCode, Configured, "repair", "default", "none"]
# What each setting is called in `Settings` and in `Access`.
FIELDS = {"API_KEY": "key", "ENDPOINT": "endpoint", "WORKSPACE_ID": "workspace"}
# Which argument of a client sets it.
ARGUMENTS: dict[Name, str] = {
    "API_KEY": "api_key",
    "ENDPOINT": "api_url",
    "WORKSPACE_ID": "workspace_id",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from: the kind, the exact name, and the place."""

    kind: SourceKind
    name: str = ""
    place: str = ""

    @property
    def is_explicit(self) -> bool:
        """Whether a person wrote this value into the code: it is never replaced."""
        return self.kind in get_args(InCode)

    def __str__(self) -> str:
        return {
            "argument": f"the {self.name} argument",
            "assigned": f"an assignment to client.{self.name}",
            "request": self.name or UNNAMED[1],
            "repair": self.name,
            "colab": f"the Colab secret {self.name}",
            "cache": f"the SDK's cache of {self.name}",
            "none": "nowhere",
        }.get(self.kind, f"{self.name}{f' in {self.place}' if self.place else ''}")


NOWHERE = Source("none")
# What a request sends because of the client's argument of this name.
HEADERS = "the headers argument"
# Of a destination that no setting names, such as a replica in the code.
UNNAMED = ("the settings of this destination", "the request itself")
# Of an endpoint that a repair found: nobody configured one.
FOUND_BY_ASKING = Source("repair", "the only region that accepts the key")


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

    def __getitem__(self, name: Name) -> Setting:
        setting: Setting = getattr(self, FIELDS[name])
        return setting

    @property
    def was_found_by_asking(self) -> bool:
        """Whether nobody configured this endpoint, and one region knows the key."""
        return self.endpoint.source == FOUND_BY_ASKING

    @property
    def access(self) -> Access:
        """What a request with these settings shows the server."""
        return Access(self.endpoint.value or "", self.key.value, self.workspace.value)


class Login(NamedTuple):
    """The login session that a profile holds, and whether its time is over.

    ``refreshes``: the SDK asks for a new token before each request after that.
    """

    profile: str
    place: str
    ended: bool
    refreshes: bool = False

    def __str__(self) -> str:
        return f"the login session of profile {self.profile!r} in {self.place}"


class PassedOver(NamedTuple):
    """A place that has a value for a setting and was not taken. Free of secrets."""

    setting: str
    text: str


class Place(NamedTuple):
    """What one place says: Colab's secrets, or the profile; and what was odd there.

    ``mentions``: a file that nobody can read may name an endpoint.
    """

    settings: Settings = Settings()
    login: Login | None = None
    notes: tuple[Finding, ...] = ()
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is configured: what the client holds, and what could be newer.

    ``environ``, ``dotenv``, ``colab`` and ``profile`` are read now. ``in_file`` is what
    the `.env` says; ``dotenv`` is the same where that may drive a repair, else nothing.
    ``aliases`` are variables that people set for the workspace and that the SDK's client
    does not read. ``mentions`` are settings that are named where nobody reads them.
    ``notes`` say what was odd while reading, ``unread`` which names nobody reads.
    ``cached`` is what the SDK's cache answers. ``destinations``: each further address
    that traces go to, and what names it. ``langsmith`` is the installed release.
    ``words`` are those of `AtConstruction`.
    """

    held: Settings
    environ: Settings = Settings()
    dotenv: Settings = Settings()
    in_file: Settings = Settings()
    colab: Settings = Settings()
    profile: Settings = Settings()
    cached: Settings = Settings()
    aliases: tuple[Setting, ...] = ()
    mentions: tuple[Mention, ...] = ()
    login: Login | None = None
    project: Setting = Setting()
    tracing: Setting = Setting()
    network: Network = field(default_factory=Network)
    destinations: tuple[tuple[str, str], ...] = ()
    session: bool = False
    langsmith: str = "0"
    words: Words = ()
    # What is only told; two setups with the same values are the same.
    passed_over: tuple[PassedOver, ...] = field(default=(), compare=False)
    notes: tuple[Finding, ...] = field(default=(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)

    @property
    def access(self) -> Access:
        """What a request of the client shows the server."""
        return replace(self.held.access, session=self.session)

    @property
    def runs_endpoints(self) -> str:
        """The variable that lists destinations. The SDK allows no endpoint beside it."""
        return next((n for _, n in self.destinations if n.startswith("LANG")), "")

    @property
    def dotenv_counts(self) -> bool:
        """Whether the `.env` may drive a repair."""
        return self.dotenv == self.in_file

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key that was read, to be struck out of texts."""
        places = (self.held, self.environ, self.dotenv, self.colab, self.profile)
        everywhere = (*places, self.in_file, self.cached)
        return tuple({s.key.value for s in everywhere if s.key.value})


def noted(*texts: str, state: State = "unknown") -> tuple[Finding, ...]:
    """Notes about the settings: what was odd while reading them."""
    return tuple(Finding("settings", state, text) for text in texts)
