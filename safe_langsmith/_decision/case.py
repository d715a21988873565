"""One refused request under investigation: what a check gets, learns and returns.

The questions that several checks ask stand here; each is put to the server once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from safe_langsmith._decision.protocol import (
    ORG_KEY_WORDINGS,
    Answer,
    Probe,
    ProbeAll,
    Refusal,
    Reply,
    Steps,
)
from safe_langsmith._diagnosis import Code, Finding, Identity, State
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import (
    base_of,
    is_official,
    region_of,
    region_of_web,
    same_base,
    same_origin,
    shown,
)
from safe_langsmith._knowledge.keys import kind_of
from safe_langsmith._knowledge.operations import is_uuid
from safe_langsmith._settings.sources import Setting, Settings, Setup
from safe_langsmith._settings.unread import Mention


@dataclass(frozen=True, slots=True)
class Repair:
    """What a client uses from now on, what was done, and how to make it permanent.

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
        return replace(self.settings.access, session=self.session)


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


_MOST_PERMISSIONS = 1_000
# What a check returns to end the search where nothing was refused.
NO_REFUSAL = Cause("ok", "LangSmith did not refuse this.")


@dataclass(frozen=True, slots=True)
class Listed:
    """A workspace as the server lists it for a key. No permissions: not known."""

    id: str
    name: str = ""
    organization: str | None = None
    role: str = ""
    permissions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the server thinks of a key. ``workspaces`` is None where it lists none."""

    state: State
    workspaces: tuple[Listed, ...] | None = None
    home: str | None = None
    organization: str | None = None

    def lists(self, workspace: str) -> Listed | None:
        """The listed workspace with this id."""
        same = workspace.lower()
        return next((w for w in self.workspaces or () if w.id.lower() == same), None)


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

    def ask(self, probe: Probe) -> Steps[Answer]:
        """Ask the server, once for each question."""
        if probe not in self.answers:
            self.answers[probe] = yield probe
        return self.answers[probe]

    def ask_all(self, probes: Iterable[Probe]) -> Steps[tuple[Answer, ...]]:
        """Ask several questions at the same time, each once."""
        every = tuple(probes)
        new = tuple(p for p in every if p not in self.answers)
        if new:
            self.answers.update(zip(new, (yield ProbeAll(new)), strict=True))
        return tuple(self.answers[p] for p in every)

    def note(self, subject: str, state: State, text: str) -> None:
        """Add a finding, once."""
        finding = Finding(subject, state, text)
        if finding not in self.findings:
            self.findings.append(finding)

    @property
    def sent(self) -> Access:
        """What the refused request showed the server."""
        return self.refusal.access


Check = Callable[[Case], Steps[Cause | None]]


def is_further_destination(case: Case) -> bool:
    """Whether the request went to a further destination of traces, not to the client's."""
    return case.setup.held.endpoint.source.kind == "request"


def may_move(case: Case, endpoint: str) -> bool:
    """Whether a repair may send the request to another host. All that decides on that.

    From LangSmith's own hosts alone, to an official API, with a key alone. The transports
    see to it that certificates are checked there.
    """
    here = case.sent.endpoint
    is_langsmiths = is_official(here) or region_of_web(here) is not None
    has_key_alone = bool(case.sent.key) and not case.refusal.tied_by
    return is_langsmiths and is_official(endpoint) and has_key_alone


def usable(case: Case, place: Settings) -> Settings:
    """What a repair may take from a place: nothing, if that names a host not to go to."""
    if place.key.implied:  # a variable that a file refers to is never looked up
        place = replace(place, key=Setting())
    endpoint, there = place.endpoint, place.endpoint.value
    if not there or same_base(case.sent.endpoint, there):
        return place
    # A variable is the program's own, so it may correct the path at the same host.
    own = endpoint.source.kind == "environment"
    if own and same_origin(case.sent.endpoint, there):
        return place
    # An implied endpoint tells what the key is for, and is nobody's newer choice.
    region = region_of(there)
    if region and not endpoint.implied and may_move(case, region.api):
        return replace(place, endpoint=replace(endpoint, value=region.api))
    if not endpoint.implied:
        text = f"{endpoint.source} names {shown(there)}, and a repair does not go there"
        case.note("settings", "unknown", text)
    return Settings()


def other_endpoints(case: Case) -> bool:
    """Whether another host than the request's own is named anywhere, used or not.

    Then the key may be meant for that one, and what is said of LangSmith's cloud may be
    no advice for this person.
    """
    setup, here = case.setup, case.sent.endpoint
    places = (setup.environ, setup.in_file, setup.colab, setup.profile)
    named = [p.endpoint.value for p in places if not p.endpoint.implied]
    elsewhere = any(url and not same_origin(url, here) for url in named)
    return elsewhere or bool(endpoint_mentions(case))


def endpoint_mentions(case: Case) -> tuple[Mention, ...]:
    """Where an endpoint is named that the SDK's client does not read, if it has none."""
    if case.setup.held.endpoint.source.kind not in ("default", "none"):
        return ()
    return tuple(m for m in case.setup.mentions if m.setting == "ENDPOINT")


def probe(access: Access, path: str, *, alone: bool = False) -> Probe:
    """A question to the API that this access belongs to."""
    url = f"{base_of(access.endpoint)}/api/v1{path}"
    return Probe(url, access.key, access.workspace, access.session, alone)


def info_of(endpoint: str) -> Probe:
    """The question that a LangSmith answers to everybody."""
    return Probe(f"{base_of(endpoint)}/api/v1/info")


def is_langsmith(answer: Answer) -> bool:
    """Whether this is how LangSmith answers `info_of`."""
    data = answer.data() if isinstance(answer, Reply) and answer.status == 200 else None
    return isinstance(data, dict) and "version" in data


def judge(answer: Answer, access: Access) -> State:
    """Whether a probe was let in. Only LangSmith's own refusal, in JSON, is a no.

    A 401 says that no key arrived, so it says nothing about a key that was sent.
    """
    if not isinstance(answer, Reply) or answer.is_html:
        return "unknown"
    if answer.status == 200 and answer.data() is not None:
        return "good"
    means_no = answer.status == 403 or (answer.status == 401 and not access.key)
    return "bad" if means_no and answer.is_langsmiths else "unknown"


def says_org_scoped(answer: Answer) -> bool:
    """Whether the server knows the key and wants a workspace, in either wording."""
    return (
        isinstance(answer, Reply)
        and answer.status == 403
        and any(wording in answer.body for wording in ORG_KEY_WORDINGS)
    )


def listed_in(answer: Answer) -> tuple[Listed, ...] | None:
    """The workspaces in an answer to ``GET /workspaces``, or None if it is none."""
    data = answer.data() if isinstance(answer, Reply) and answer.status == 200 else None
    if isinstance(data, dict):
        names = ("workspaces", "items", "results")
        data = next((data[n] for n in names if isinstance(data.get(n), list)), None)
    if not isinstance(data, list):
        return None
    rows = [row for row in data if isinstance(row, dict) and not row.get("is_deleted")]
    return tuple(_listed(row) for row in rows if is_uuid(text_in(row.get("id"))))


def _listed(row: dict[str, Any]) -> Listed:
    may = row.get("permissions")
    listed = may[:_MOST_PERMISSIONS] if isinstance(may, list) else ()
    permissions = frozenset(filter(text_in, listed)) if listed else None
    return Listed(
        text_in(row.get("id")),
        text_in(row.get("display_name")),
        text_in(row.get("organization_id")) or None,
        text_in(row.get("role_name")),
        permissions,
    )


def sender(case: Case, access: Access) -> Identity | None:
    """Who the server takes the sender for, out of what it was asked already."""
    listing = case.answers.get(probe(replace(access, workspace=None), "/workspaces"))
    rows = listed_in(listing) if listing is not None else None
    who = case.answers.get(probe(access, "/auth/public"))
    data = who.data() if isinstance(who, Reply) and judge(who, access) == "good" else None
    told: dict[str, Any] = data if isinstance(data, dict) else {}
    if rows is None and not told:
        return None
    workspace = text_in(told.get("tenant_id")) or access.workspace
    here = Standing("good", rows).lists(workspace) if workspace else None
    owners = (text_in(told.get("organization_id")), *(w.organization for w in rows or ()))
    return Identity(
        kind="oauth" if access.session else kind_of(access.key),
        organization_id=next((owner for owner in owners if owner), None),
        user_id=text_in(told.get("ls_user_id")) or text_in(told.get("user_id")) or None,
        workspace_id=workspace if here or told else None,
        workspace_name=here.name if here else "",
        role=here.role if here else "",
        permissions=tuple(sorted(here.permissions)) if here and here.permissions else None,
    )


def text_in(value: object) -> str:
    return value if isinstance(value, str) else ""


def identify(case: Case, access: Access) -> Steps[Standing]:
    """Find out whether the server knows a key, without regard to a workspace."""
    alone = replace(access, workspace=None)
    listing = yield from case.ask(probe(alone, "/workspaces"))
    rows = listed_in(listing)
    if rows is not None:
        owner = next((w.organization for w in rows if w.organization), None)
        return Standing("good", rows, organization=owner)
    who = yield from case.ask(probe(alone, "/auth/public"))
    data = who.data() if isinstance(who, Reply) else None
    if judge(who, access) == "good" and isinstance(data, dict):
        home, owner = text_in(data.get("tenant_id")), text_in(data.get("organization_id"))
        return Standing("good", None, home if is_uuid(home) else None, owner or None)
    if says_org_scoped(who):
        return Standing("good")
    refused = judge(listing, access) == "bad" and judge(who, access) == "bad"
    return Standing("bad" if refused else "unknown")


def admits(case: Case, access: Access) -> Steps[State]:
    """Find out whether the server lets this key into this workspace (or its own)."""
    answer = yield from case.ask(probe(access, "/auth/public"))
    return judge(answer, access)


def works(case: Case, access: Access) -> Steps[State]:
    """Find out whether key and workspace are both good."""
    identity = yield from identify(case, access)
    if identity.state != "good" or access.workspace is None:
        return identity.state
    if identity.workspaces is not None:
        return "good" if identity.lists(access.workspace) else "bad"
    return (yield from admits(case, access))
