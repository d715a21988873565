"""The types: a value and its source, the settings of one source, the complete setup.

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

# Values from the code, values that are read from elsewhere, and the rest.
InCode = Literal["argument", "assigned", "request"]
Configured = Literal["environment", "dotenv", "colab", "profile", "cache"]
SourceKind = Literal[InCode, Configured, "repair", "default", "none"]
# The name of each setting in `Settings` and in `Access`.
FIELDS = {"API_KEY": "key", "ENDPOINT": "endpoint", "WORKSPACE_ID": "workspace"}
# The client argument that sets each of them.
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
        """Whether this value is in the program's code, so it is never replaced."""
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
# The name of a source if a request sends a value because of this argument.
HEADERS = "the headers argument"
# The sources for a destination that no setting names, such as a replica in the code: the
# first if it is on another host than the client's, the second if it is on the same host.
UNNAMED = ("the settings of this destination", "the request itself")
# For an endpoint that a repair found, because none was configured.
FOUND_BY_ASKING = Source("repair", "the only region that accepts the key")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and its source. The value stays out of ``repr``: it may be a key.

    ``implied``: the value follows from the source, but is not stated there.
    """

    value: str | None = field(default=None, repr=False)
    source: Source = NOWHERE
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Key, endpoint and workspace from one source."""

    key: Setting = Setting()
    endpoint: Setting = Setting()
    workspace: Setting = Setting()

    def __getitem__(self, name: Name) -> Setting:
        setting: Setting = getattr(self, FIELDS[name])
        return setting

    @property
    def was_found_by_asking(self) -> bool:
        """Whether no endpoint was configured, and a repair found the only region."""
        return self.endpoint.source == FOUND_BY_ASKING

    @property
    def access(self) -> Access:
        """What a request with these settings sends."""
        return Access(self.endpoint.value or "", self.key.value, self.workspace.value)


class Login(NamedTuple):
    """The login session in a profile.

    ``ended``: it has expired. ``refreshes``: it has a refresh token, with which the SDK
    renews an expired session before a request.
    """

    profile: str
    place: str
    ended: bool
    refreshes: bool = False

    def __str__(self) -> str:
        return f"the login session of profile {self.profile!r} in {self.place}"


class PassedOver(NamedTuple):
    """A source that has a value for a setting but was not used. Free of secrets."""

    setting: str
    text: str


class Place(NamedTuple):
    """The settings in one source (Colab's secrets, or the profile), and notes about it.

    ``mentions``: a file that cannot be read may still name an endpoint.
    """

    settings: Settings = Settings()
    login: Login | None = None
    notes: tuple[Finding, ...] = ()
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that is configured.

    ``held`` is what the client uses. ``environ``, ``in_file`` (the `.env` file), ``colab``
    and ``profile`` are read now. ``dotenv`` is ``in_file`` if a repair may use it,
    otherwise empty. ``cached`` is what the SDK's cache returns. ``aliases`` are workspaces
    that are set where this client does not read them: in LANGSMITH_TENANT_ID, or in the
    client that owns an exporter. ``mentions`` are settings that are named where the SDK's
    client does not read them. ``destinations``: each additional URL that traces go to, and
    the setting that names it; an empty URL stands for the setting itself. ``session``: the
    client uses a login session. ``langsmith``: the installed release. ``words``: see
    `AtConstruction`. ``notes`` are problems found while reading, ``unread`` the variables
    that nothing reads.
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
    # Only for display: two setups with the same values are equal.
    passed_over: tuple[PassedOver, ...] = field(default=(), compare=False)
    notes: tuple[Finding, ...] = field(default=(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)

    @property
    def access(self) -> Access:
        """What a request of the client sends."""
        return replace(self.held.access, session=self.session)

    def for_destination(self, held: Settings, *, session: bool = False) -> Setup:
        """The setup of a trace destination, without the client's own settings."""
        return Setup(
            held,
            project=self.project,
            tracing=self.tracing,
            network=self.network,
            destinations=self.destinations,
            session=session,
            langsmith=self.langsmith,
        )

    @property
    def runs_endpoints(self) -> str:
        """The variable that lists destinations. The SDK allows no endpoint next to it."""
        return next((n for _, n in self.destinations if n.startswith("LANG")), "")

    @property
    def dotenv_counts(self) -> bool:
        """Whether a repair may use the `.env` file."""
        return self.dotenv == self.in_file

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key that was read, to be masked in texts."""
        places = (self.held, self.environ, self.dotenv, self.colab, self.profile)
        everywhere = (*places, self.in_file, self.cached)
        return tuple({s.key.value for s in everywhere if s.key.value})


def noted(*texts: str, state: State = "unknown") -> tuple[Finding, ...]:
    """A finding about settings for each text."""
    return tuple(Finding("settings", state, text) for text in texts)
