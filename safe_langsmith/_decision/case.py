"""One refused request under diagnosis: what checks receive, find out and return.

Probes that several checks need are defined here; each is sent only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from safe_langsmith._decision.answers import (
    NOT_SENT,
    Listed,
    Standing,
    judge,
    probe,
    standing_in,
)
from safe_langsmith._decision.protocol import Answer, Probe, ProbeAll, Refusal, Steps
from safe_langsmith._diagnosis import Code, Finding, State
from safe_langsmith._knowledge import hosts
from safe_langsmith._knowledge.access import Access
from safe_langsmith._settings.construction import NAMES
from safe_langsmith._settings.sources import HEADERS, Setting, Settings, Setup
from safe_langsmith._settings.unread import Mention


@dataclass(frozen=True, slots=True)
class Repair:
    """What a client uses from now on, what that changes, and how to make it permanent.

    ``session``: a login session stays in use, unless the settings now have a key.
    ``permanent``: the steps that make it unnecessary.
    ``for_reads``: only requests that change nothing use it, and the client itself stays as
    it is. A write is still refused, so it cannot land in the wrong place.
    """

    settings: Settings
    session: bool = False
    how: str = ""
    permanent: tuple[str, ...] = ()
    for_reads: bool = False

    @property
    def access(self) -> Access:
        """What a repaired request sends."""
        access = self.settings.access
        return replace(access, session=self.session and not access.key)


@dataclass(frozen=True, slots=True)
class Cause:
    """A proven cause: its text, and the repair, if the rules allow one.

    ``waits``: seconds to wait before each attempt with ``repair``. ``otherwise``: the
    cause if the request is still refused. ``right``: settings that were proven to be right,
    but that a repair must not use.
    """

    code: Code
    summary: str
    next_steps: tuple[str, ...] = ()
    repair: Repair | None = None
    waits: tuple[float, ...] = (0.0,)
    required_permission: str | None = None
    otherwise: Cause | None = None
    right: Settings | None = None


# A check returns this to end the search if nothing was refused.
NO_REFUSAL = Cause("ok", "LangSmith did not refuse this.")


@dataclass(slots=True)
class Case:
    """One refused request under diagnosis, and what was found out so far.

    ``home`` is the endpoint before any repair: a key from a source without an endpoint was
    meant for this one. ``probe_regions`` is as in `Policy`. ``earlier``: the repairs after
    which the request was still refused, each with the settings before it.
    """

    refusal: Refusal
    setup: Setup
    home: str
    probe_regions: bool | None = False
    findings: list[Finding] = field(default_factory=list)
    workspaces: tuple[Listed, ...] = ()
    answers: dict[Probe, Answer] = field(default_factory=dict)
    earlier: tuple[tuple[Settings, Repair], ...] = ()

    def note(self, subject: str, state: State, text: str) -> None:
        """Add a finding, once."""
        finding = Finding(subject, state, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def repaired(
        self, cause: Cause, settings: Settings, how: str, *, for_reads: bool = False
    ) -> Cause:
        """A cause with its repair; its steps make the repair permanent."""
        session, permanent = self.sent.session, cause.next_steps
        return replace(cause, repair=Repair(settings, session, how, permanent, for_reads))

    def in_effect(self, now: Settings) -> list[Repair]:
        """The earlier repairs of which these settings still have each change."""
        return [done for old, done in self.earlier if _holds(old, done, now)]

    def with_earlier(self, repair: Repair) -> Repair:
        """The last repair, together with the earlier ones that are still in effect."""
        both = [*self.in_effect(repair.settings), repair]
        return replace(
            repair,
            how="; ".join(done.how for done in both),
            permanent=tuple(dict.fromkeys(s for done in both for s in done.permanent)),
            for_reads=any(done.for_reads for done in both),
        )

    # What the request was, and what is configured.

    @property
    def sent(self) -> Access:
        """What the refused request sent."""
        return self.refusal.access

    @property
    def held(self) -> Settings:
        """The settings of the refused request, each with its source."""
        return self.setup.held

    @property
    def host(self) -> str:
        """The host that the request went to, for display."""
        return hosts.shown(hosts.origin(self.sent.endpoint))

    @property
    def region(self) -> hosts.Region | None:
        """The region whose API the request went to; None if it is not an official one."""
        return hosts.region_of(self.sent.endpoint)

    @property
    def keys_page(self) -> str:
        """The page of the web app where keys for this endpoint are created."""
        return hosts.settings_page(self.sent.endpoint)

    @property
    def destination(self) -> str:
        """The setting that names an additional destination, if the request went to one.

        It may be on the client's own host. A key in ``headers=`` is the client's.
        """
        own = (self.held.endpoint.source, self.held.key.source)
        found = (s for s in own if s.kind == "request" and s.name != HEADERS)
        return next(map(str, found), "")

    @property
    def endpoint_mentions(self) -> tuple[Mention, ...]:
        """Places that name an endpoint but that nothing reads, if none is configured."""
        if self.held.endpoint.source.kind not in ("default", "none"):
            return ()
        return tuple(m for m in self.setup.mentions if m.setting == "ENDPOINT")

    @property
    def named_endpoints(self) -> list[str]:
        """The endpoints in the current settings, whether a repair may use them or not."""
        setup = self.setup
        places = (setup.environ, setup.in_file, setup.colab, setup.profile)
        endpoints = [place.endpoint for place in places]
        return [e.value for e in endpoints if e.value and not e.implied]

    @property
    def names_another_host(self) -> bool:
        """Whether a host other than the request's own is named anywhere, used or not.

        The key may be meant for that host, so advice about LangSmith's cloud may be
        wrong.
        """
        here = self.sent.endpoint
        elsewhere = any(not hosts.same_origin(url, here) for url in self.named_endpoints)
        return elsewhere or bool(self.endpoint_mentions)

    # Which hosts a repair may use.

    def may_move(self, endpoint: str) -> bool:
        """Whether a repair may send the request to this other host. Decided only here.

        Only from LangSmith's own hosts to an official API, and only if the key is the only
        credential. The transports make sure that certificates are checked.
        """
        here = self.sent.endpoint
        is_langsmiths = hosts.is_official(here) or hosts.region_of_web(here) is not None
        has_key_alone = bool(self.sent.key) and not self.refusal.tied_by
        return is_langsmiths and hosts.is_official(endpoint) and has_key_alone

    def usable(self, place: Settings) -> Settings:
        """What a repair may use from a source: nothing if its host is not allowed."""
        if place.key.implied:  # a variable that a file refers to is never expanded
            place = replace(place, key=Setting())
        endpoint, there = place.endpoint, place.endpoint.value
        if not there or hosts.same_base(self.sent.endpoint, there):
            return place
        # A variable belongs to the program, so it may correct the path at the same host.
        own = endpoint.source.kind == "environment"
        if own and hosts.same_origin(self.sent.endpoint, there):
            return place
        if endpoint.implied:  # it tells what the key is for, but it is not a newer setting
            return Settings()
        region = hosts.region_of(there)
        if region and self.may_move(region.api):
            return replace(place, endpoint=replace(endpoint, value=region.api))
        names = f"{endpoint.source} names {hosts.shown(there)}"
        self.note("settings", "unknown", f"{names}; a repair does not move requests there")
        return Settings()

    # Probes to the server.

    def ask(self, question: Probe) -> Steps[Answer]:
        """Send a probe, or reuse its earlier answer."""
        if question not in self.answers:
            self.answers[question] = yield question
        return self.answers[question]

    def ask_all(self, probes: Iterable[Probe]) -> Steps[tuple[Answer, ...]]:
        """Send several probes at the same time, each only once."""
        every = tuple(probes)
        new = tuple(p for p in every if p not in self.answers)
        if new:
            self.answers.update(zip(new, (yield ProbeAll(new)), strict=True))
        return tuple(self.answers[p] for p in every)

    def ask_info(self, endpoint: str) -> Steps[Answer]:
        """Request /info, which needs no key."""
        return (yield from self.ask(probe(Access(endpoint), "/info")))

    def ask_who(self, access: Access, *, alone: bool = False) -> Steps[Answer]:
        """Ask who the key belongs to. This needs no permission."""
        return (yield from self.ask(probe(access, "/auth/public", alone=alone)))

    def told_about(self, access: Access) -> tuple[Answer, Answer]:
        """The answers so far that tell whose key this is: its workspaces, its owner."""
        anywhere = replace(access, workspace=None)
        asked = (probe(anywhere, "/workspaces"), probe(access, "/auth/public"))
        listing, who = (self.answers.get(question, NOT_SENT) for question in asked)
        return listing, who

    def identify(self, access: Access) -> Steps[Standing]:
        """Check whether the server accepts a key, in any workspace."""
        anywhere = replace(access, workspace=None)
        listing = yield from self.ask(probe(anywhere, "/workspaces"))
        standing = standing_in(access, listing)
        if standing.workspaces is None:
            standing = standing_in(access, listing, (yield from self.ask_who(anywhere)))
        return standing

    def admits(self, access: Access) -> Steps[State]:
        """Check whether the server accepts this key in this workspace (or the default)."""
        return judge((yield from self.ask_who(access)), access)

    def works(self, access: Access) -> Steps[State]:
        """Check whether both key and workspace are accepted."""
        standing = yield from self.identify(access)
        if standing.state != "good" or access.workspace is None:
            return standing.state
        if standing.workspaces is not None:
            return "good" if standing.lists(access.workspace) else "bad"
        return (yield from self.admits(access))


def _holds(before: Settings, repair: Repair, now: Settings) -> bool:
    """Whether everything that a repair changed is still in effect."""
    there = repair.settings
    return all(now[n] == there[n] for n in NAMES if there[n].value != before[n].value)


# A check that sends probes is a generator.
Check = Callable[[Case], Steps[Cause | None] | Cause | None]
