"""One refused request under investigation: what a check gets, learns and returns.

The questions that several checks ask stand here; each is put to the server once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from safe_langsmith._decision.answers import Listed, Standing, judge, probe, standing_in
from safe_langsmith._decision.protocol import Answer, Probe, ProbeAll, Refusal, Steps
from safe_langsmith._diagnosis import Code, Finding, State
from safe_langsmith._knowledge import hosts
from safe_langsmith._knowledge.access import Access
from safe_langsmith._settings.sources import HEADERS, Setting, Settings, Setup
from safe_langsmith._settings.unread import Mention


@dataclass(frozen=True, slots=True)
class Repair:
    """What a client uses from now on, what was done, and how to make it permanent.

    ``session``: a login session goes on, unless the settings have a key by now.
    ``for_reads``: only requests that change nothing use it, and the client keeps what
    it has. Then a write is refused as before, and can land nowhere.
    """

    settings: Settings
    session: bool = False
    how: str = ""
    permanent: str = ""
    for_reads: bool = False

    @property
    def access(self) -> Access:
        """What a repaired request shows the server."""
        access = self.settings.access
        return replace(access, session=self.session and not access.key)


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that was shown: what to say of it, and the repair, if the rule allows one.

    ``waits``: seconds to wait before each try of the request with ``repair``.
    ``otherwise``: what holds if the request is refused all the same. ``right``: settings
    that were shown to be right, where the rule lets no client use them unasked.
    """

    code: Code
    summary: str
    next_steps: tuple[str, ...] = ()
    repair: Repair | None = None
    waits: tuple[float, ...] = (0.0,)
    required_permission: str | None = None
    otherwise: Cause | None = None
    right: Settings | None = None


# What a check returns to end the search where nothing was refused.
NO_REFUSAL = Cause("ok", "LangSmith did not refuse this.")


@dataclass(slots=True)
class Case:
    """One refused request under investigation, and what was learnt so far.

    ``home`` is the endpoint before any repair: a key that names none of its own was
    configured for this one. ``probe_regions`` is as in `Policy`.
    """

    refusal: Refusal
    setup: Setup
    home: str
    probe_regions: bool | None = False
    findings: list[Finding] = field(default_factory=list)
    workspaces: tuple[Listed, ...] = ()
    answers: dict[Probe, Answer] = field(default_factory=dict)

    def note(self, subject: str, state: State, text: str) -> None:
        """Add a finding, once."""
        finding = Finding(subject, state, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def repaired(
        self, cause: Cause, settings: Settings, how: str, *, for_reads: bool = False
    ) -> Cause:
        """A cause together with its repair, which its steps make permanent."""
        session, permanent = self.sent.session, "; ".join(cause.next_steps)
        return replace(cause, repair=Repair(settings, session, how, permanent, for_reads))

    # What the request was, and what is configured.

    @property
    def sent(self) -> Access:
        """What the refused request showed the server."""
        return self.refusal.access

    @property
    def held(self) -> Settings:
        """The settings of the refused request, and where each came from."""
        return self.setup.held

    @property
    def host(self) -> str:
        """Where the request went, as people may see it."""
        return hosts.shown(hosts.origin(self.sent.endpoint))

    @property
    def region(self) -> hosts.Region | None:
        """The region whose API the request went to. None: it is no official one."""
        return hosts.region_of(self.sent.endpoint)

    @property
    def keys_page(self) -> str:
        """The page of the web app where keys for this endpoint are made."""
        return hosts.settings_page(self.sent.endpoint)

    @property
    def destination(self) -> str:
        """What a further destination of traces has its key and address from; or "".

        It may be on the client's own host. A key in ``headers=`` is the client's.
        """
        own = (self.held.endpoint.source, self.held.key.source)
        found = (s for s in own if s.kind == "request" and s.name != HEADERS)
        return next(map(str, found), "")

    @property
    def endpoint_mentions(self) -> tuple[Mention, ...]:
        """Where an endpoint is named that nobody reads, if the client has none."""
        if self.held.endpoint.source.kind not in ("default", "none"):
            return ()
        return tuple(m for m in self.setup.mentions if m.setting == "ENDPOINT")

    @property
    def named_endpoints(self) -> list[str]:
        """The endpoints that a newer reading gives, whether a repair may use them."""
        setup = self.setup
        places = (setup.environ, setup.in_file, setup.colab, setup.profile)
        endpoints = [place.endpoint for place in places]
        return [e.value for e in endpoints if e.value and not e.implied]

    @property
    def names_another_host(self) -> bool:
        """Whether another host than the request's own is named anywhere, used or not.

        Then the key may be meant for that one, and what is said of LangSmith's cloud may
        be no advice for this person.
        """
        here = self.sent.endpoint
        elsewhere = any(not hosts.same_origin(url, here) for url in self.named_endpoints)
        return elsewhere or bool(self.endpoint_mentions)

    # The rule of the hosts.

    def may_move(self, endpoint: str) -> bool:
        """Whether a repair may send the request to another host. All that decides on that.

        From LangSmith's own hosts alone, to an official API, with a key alone. The
        transports see to it that certificates are checked there.
        """
        here = self.sent.endpoint
        is_langsmiths = hosts.is_official(here) or hosts.region_of_web(here) is not None
        has_key_alone = bool(self.sent.key) and not self.refusal.tied_by
        return is_langsmiths and hosts.is_official(endpoint) and has_key_alone

    def usable(self, place: Settings) -> Settings:
        """What a repair may take from a place: nothing, if it names a host not to go to."""
        if place.key.implied:  # a variable that a file refers to is never looked up
            place = replace(place, key=Setting())
        endpoint, there = place.endpoint, place.endpoint.value
        if not there or hosts.same_base(self.sent.endpoint, there):
            return place
        # A variable is the program's own, so it may correct the path at the same host.
        own = endpoint.source.kind == "environment"
        if own and hosts.same_origin(self.sent.endpoint, there):
            return place
        if endpoint.implied:  # It tells what the key is for, and is nobody's newer choice.
            return Settings()
        region = hosts.region_of(there)
        if region and self.may_move(region.api):
            return replace(place, endpoint=replace(endpoint, value=region.api))
        names = f"{endpoint.source} names {hosts.shown(there)}"
        self.note("settings", "unknown", f"{names}; a repair does not move requests there")
        return Settings()

    # Questions to the server.

    def ask(self, question: Probe) -> Steps[Answer]:
        """Ask the server, once for each question."""
        if question not in self.answers:
            self.answers[question] = yield question
        return self.answers[question]

    def ask_all(self, probes: Iterable[Probe]) -> Steps[tuple[Answer, ...]]:
        """Ask several questions at the same time, each once."""
        every = tuple(probes)
        new = tuple(p for p in every if p not in self.answers)
        if new:
            self.answers.update(zip(new, (yield ProbeAll(new)), strict=True))
        return tuple(self.answers[p] for p in every)

    def ask_info(self, endpoint: str) -> Steps[Answer]:
        """Ask what a LangSmith answers to everybody."""
        return (yield from self.ask(probe(Access(endpoint), "/info")))

    def ask_who(self, access: Access, *, alone: bool = False) -> Steps[Answer]:
        """Ask who the sender is. That needs no permission."""
        return (yield from self.ask(probe(access, "/auth/public", alone=alone)))

    def identify(self, access: Access) -> Steps[Standing]:
        """Find out whether the server knows a key, without regard to a workspace."""
        anywhere = replace(access, workspace=None)
        listing = yield from self.ask(probe(anywhere, "/workspaces"))
        standing = standing_in(access, listing)
        if standing.workspaces is None:
            standing = standing_in(access, listing, (yield from self.ask_who(anywhere)))
        return standing

    def admits(self, access: Access) -> Steps[State]:
        """Find out whether the server lets this key into this workspace (or its own)."""
        return judge((yield from self.ask_who(access)), access)

    def works(self, access: Access) -> Steps[State]:
        """Find out whether key and workspace are both good."""
        standing = yield from self.identify(access)
        if standing.state != "good" or access.workspace is None:
            return standing.state
        if standing.workspaces is not None:
            return "good" if standing.lists(access.workspace) else "bad"
        return (yield from self.admits(access))


# A check that asks the server is a generator.
Check = Callable[[Case], Steps[Cause | None] | Cause | None]
