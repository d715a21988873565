"""The decision: why a request was refused, one check for each cause.

A check is a generator: it may ask the server (`yield` a `Probe`) and returns a `Cause`,
or None where its cause could not be shown. `CHECKS` is the order of decision: the first
cause that is shown wins. Nothing here reads, waits or sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from safe_langsmith._diagnosis import Code, Finding, State
from safe_langsmith._hosts import (
    DEFAULT_ENDPOINT,
    base_of,
    is_official,
    origin,
    region_of,
    region_of_web,
    same_origin,
    settings_page,
    shown,
)
from safe_langsmith._keys import clean, describe, kind_of, oddity
from safe_langsmith._operations import (
    is_organization_wide,
    is_uuid,
    needs_personal_key,
    permission_for,
)
from safe_langsmith._protocol import (
    ORG_KEY_WORDINGS,
    Access,
    Answer,
    Probe,
    Refusal,
    Reply,
    Steps,
)
from safe_langsmith._settings import Setting, Settings, Setup, Source, disagreements

# How long to wait before a credential that worked is tried once more. LangSmith
# remembers how it judged a key for about a minute; a diagnosis has less time than that.
TRANSIENT_WAIT = 3.0
PROXY_WAITS = (0.5, 1.0, 2.0)
_MOST_WORKSPACES_TRIED = 3

_FEATURE = re.compile(
    r"not enabled for this|is not enabled|feature.{0,40}not available|no plan found"
    r"|requires an? \w+ plan|upgrade your plan",
    re.IGNORECASE,
)
_PERMISSION = re.compile(
    r"\b((?:runs|projects|datasets|feedback|prompts|annotation-queues|workspaces"
    r"|organization|rules|charts|deployments)(?::[a-z][a-z-]*)+)\b"
)


@dataclass(frozen=True, slots=True)
class Repair:
    """What a client uses from now on, what was done, and how to make it permanent."""

    settings: Settings
    session: bool = False
    how: str = ""
    permanent: str = ""

    @property
    def access(self) -> Access:
        """What a repaired request shows the server."""
        return replace(self.settings.access, session=self.session)


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that was shown: what to say of it, and the repair, if the rule allows one.

    ``waits``: seconds to wait before each try of the request with ``repair``.
    ``otherwise``: what holds if the request is refused all the same.
    """

    code: Code
    summary: str
    next_steps: tuple[str, ...] = ()
    repair: Repair | None = None
    waits: tuple[float, ...] = (0.0,)
    required_permission: str | None = None
    otherwise: Cause | None = None


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
class Identity:
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
    configured for this one.
    """

    refusal: Refusal
    setup: Setup
    home: str
    findings: list[Finding] = field(default_factory=list)
    workspaces: tuple[Listed, ...] = ()
    answers: dict[Probe, Answer] = field(default_factory=dict)

    def ask(self, probe: Probe) -> Steps[Answer]:
        """Ask the server, once for each question."""
        if probe not in self.answers:
            self.answers[probe] = yield probe
        return self.answers[probe]

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


def probe(access: Access, path: str) -> Probe:
    """A question to the API that this access belongs to."""
    url = f"{base_of(access.endpoint)}/api/v1{path}"
    return Probe(url, access.key, access.workspace, access.session)


# --- what the answers say -------------------------------------------------------------


def judge(answer: Answer) -> State:
    """Whether a probe was let in. Only LangSmith's own refusal, in JSON, is a no."""
    if not isinstance(answer, Reply) or answer.is_html:
        return "unknown"
    data = answer.data()
    if answer.status == 200 and data is not None:
        return "good"
    if answer.status in (401, 403) and isinstance(data, dict):
        return "bad"
    return "unknown"


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
    return tuple(_listed(row) for row in rows if is_uuid(_text(row.get("id"))))


def _listed(row: dict[str, Any]) -> Listed:
    may = row.get("permissions")
    permissions = frozenset(filter(_text, may)) if isinstance(may, list) and may else None
    return Listed(
        _text(row.get("id")),
        _text(row.get("display_name")),
        _text(row.get("organization_id")) or None,
        _text(row.get("role_name")),
        permissions,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def identify(case: Case, access: Access) -> Steps[Identity]:
    """Find out whether the server knows a key, without regard to a workspace."""
    alone = replace(access, workspace=None)
    listing = yield from case.ask(probe(alone, "/workspaces"))
    rows = listed_in(listing)
    if rows is not None:
        owner = next((w.organization for w in rows if w.organization), None)
        return Identity("good", rows, organization=owner)
    who = yield from case.ask(probe(alone, "/auth/public"))
    data = who.data() if isinstance(who, Reply) else None
    if judge(who) == "good" and isinstance(data, dict):
        home, owner = _text(data.get("tenant_id")), _text(data.get("organization_id"))
        return Identity("good", None, home if is_uuid(home) else None, owner or None)
    if says_org_scoped(who):
        return Identity("good")
    refused = judge(listing) == "bad" and judge(who) == "bad"
    return Identity("bad" if refused else "unknown")


def admits(case: Case, access: Access) -> Steps[State]:
    """Find out whether the server lets this key into this workspace (or its own)."""
    answer = yield from case.ask(probe(access, "/auth/public"))
    return judge(answer)


def works(case: Case, access: Access) -> Steps[State]:
    """Find out whether key and workspace are both good."""
    identity = yield from identify(case, access)
    if identity.state != "good" or access.workspace is None:
        return identity.state
    if identity.workspaces is not None:
        return "good" if identity.lists(access.workspace) else "bad"
    return (yield from admits(case, access))


# --- the checks -----------------------------------------------------------------------


def wrong_endpoint(case: Case) -> Steps[Cause | None]:
    """A page instead of JSON, or 405: is the endpoint a LangSmith API at all?"""
    endpoint = case.sent.endpoint
    if not case.refusal.reply.is_html:
        return None
    region = region_of_web(endpoint)
    if region:
        summary = f"{shown(endpoint)} is the LangSmith web app, not the API."
        return _moved(case, region.api, summary)
    as_configured = yield from case.ask(Probe(f"{endpoint}/info"))
    if not isinstance(as_configured, Reply) or _is_langsmith(as_configured):
        return None
    if as_configured.status in (401, 403) or as_configured.status >= 500:
        return None
    below = f"{base_of(endpoint)}/api/v1"
    api = yield from case.ask(Probe(f"{below}/info"))
    if isinstance(api, Reply) and _is_langsmith(api):
        summary = f"{shown(endpoint)} serves the web app; the API is at {shown(below)}."
        return Cause("wrong-endpoint", summary, (_set_endpoint(case, shown(below)),))
    summary = f"{shown(endpoint)} does not answer like a LangSmith API."
    step = _set_endpoint(case, DEFAULT_ENDPOINT)
    return Cause("wrong-endpoint", summary, (f"{step}, or your region's or own address",))


def _is_langsmith(reply: Reply) -> bool:
    data = reply.data()
    return reply.status == 200 and isinstance(data, dict) and "version" in data


def _moved(case: Case, api: str, summary: str) -> Cause:
    held = case.setup.held
    step = _set_endpoint(case, api)
    if held.endpoint.source.is_explicit:
        return Cause("wrong-endpoint", summary, (step,))
    endpoint = Setting(api, Source("repair", "the API of that web app"))
    repair = Repair(
        replace(held, endpoint=endpoint), case.sent.session, f"used {api}", step
    )
    return Cause("wrong-endpoint", summary, (step,), repair)


def _set_endpoint(case: Case, address: str) -> str:
    if case.setup.held.endpoint.source.kind == "argument":
        return f'pass api_url="{address}"'
    return f"set LANGSMITH_ENDPOINT={address}"


def page_by_chance(case: Case) -> Steps[Cause | None]:
    """A page from an endpoint that is the API: no refusal, whatever it is."""
    yield from ()
    if case.refusal.reply.status in (401, 403) or not case.refusal.reply.is_html:
        return None
    return NO_REFUSAL


def blocked_by_proxy(case: Case) -> Steps[Cause | None]:
    """LangSmith refuses in JSON; anything else comes from something in between."""
    yield from ()
    reply = case.refusal.reply
    if reply.status not in (401, 403) or reply.data() is not None:
        return None
    return _proxy(case, "the answer is not LangSmith's, which always refuses in JSON")


def _proxy(case: Case, shown_by: str) -> Cause:
    case.note("proxy", "bad", shown_by)
    host = origin(case.sent.endpoint)
    return Cause(
        "blocked-by-proxy",
        "a proxy or firewall on the way to LangSmith refused it.",
        (
            f"ask who runs your network to let {host} through",
            "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        ),
        _unchanged(case),
        waits=PROXY_WAITS,
    )


def _unchanged(case: Case) -> Repair:
    how = "sent the request again after a pause"
    return Repair(case.setup.held, case.sent.session, how)


def key_missing(case: Case) -> Steps[Cause | None]:
    """No key was sent. Does a newer reading have one?"""
    if case.sent.key or case.sent.session:
        return None
    held = case.setup.held.key
    page = settings_page(case.sent.endpoint)
    steps = (f"set LANGSMITH_API_KEY, or pass api_key=; keys are made at {page}",)
    if held.source.is_explicit:
        summary = "no key was sent: an empty api_key was passed, so none was looked for."
        return Cause("key-missing", summary, (f"pass a key, or no api_key at all; {page}",))
    for fresh in _fresher(case):
        if not fresh.key.value or (yield from works(case, fresh.access)) != "good":
            continue
        summary = "no key was sent; the client was made before one was set."
        if fresh.key.source.kind == "dotenv":
            summary = "no key was sent; there is one in the .env, which was not loaded."
        return _replaced(case, "key-missing", summary, fresh)
    return Cause("key-missing", "no key was sent.", steps)


def legacy_key(case: Case) -> Steps[Cause | None]:
    """The server itself says that the key is a legacy one."""
    yield from ()
    if "legacy api key" not in case.refusal.reply.message.lower():
        return None
    return _legacy(case)


def _legacy(case: Case) -> Cause:
    return Cause(
        "key-legacy",
        "keys that begin with ls__ stopped working in October 2024.",
        (_new_key(case),),
    )


def workspace_required(case: Case) -> Steps[Cause | None]:
    """The server says that this key needs a workspace. Is there exactly one answer?"""
    if case.refusal.generic or case.sent.workspace:
        return None
    identity = yield from identify(case, case.sent)
    case.workspaces = identity.workspaces or ()
    if identity.workspaces is None:
        case.note("workspace", "unknown", "the key's workspaces could not be listed")
    return (yield from _required(case, "this key needs a workspace, and none was sent."))


def _required(case: Case, summary: str) -> Steps[Cause]:
    """Fill in the workspace where one answer exists: the one named, or the only one."""
    named = _named_workspaces(case)
    for setting in named:
        access = replace(case.sent, workspace=setting.value)
        outcome = yield from works(case, access)
        if outcome != "good":
            told = (
                "which this key cannot use" if outcome == "bad" else "which was not tried"
            )
            text = f"{setting.source} names {setting.value}, {told}"
            case.note("workspace", outcome, text)
            return Cause("workspace-required", summary, _pick_workspace(case))
    if len(named) == 1:
        return _filled(case, summary, named[0], f"from {named[0].source}")
    if not named and len(case.workspaces) == 1:
        source = Source("repair", "the only workspace of the key")
        only = Setting(case.workspaces[0].id, source)
        return _filled(case, summary, only, "the only one that this key can use")
    return Cause("workspace-required", summary, _pick_workspace(case))


def _filled(case: Case, summary: str, workspace: Setting, why: str) -> Cause:
    held, chosen = case.setup.held, workspace.value
    step = f'set LANGSMITH_WORKSPACE_ID={chosen}, or pass workspace_id="{chosen}"'
    if held.workspace.source.is_explicit:
        return Cause("workspace-required", summary, (step,))
    name = next((f" ({w.name})" for w in case.workspaces if w.id == chosen and w.name), "")
    how = f"used workspace {chosen}{name}, {why}"
    repair = Repair(replace(held, workspace=workspace), case.sent.session, how, step)
    return Cause("workspace-required", summary, (step,), repair)


def _named_workspaces(case: Case) -> list[Setting]:
    """The workspaces that are named anywhere but to this client, each once.

    LANGSMITH_WORKSPACE_ID of the environment is the setting itself, so it comes alone.
    """
    setup = case.setup
    if setup.environ.workspace.value:
        return [setup.environ.workspace]
    places = (*setup.aliases, setup.profile.workspace, setup.dotenv.workspace)
    return list({s.value: s for s in reversed(places) if s.value}.values())


def _pick_workspace(case: Case) -> tuple[str, ...]:
    example = case.workspaces[0].id if case.workspaces else "..."
    where = "" if case.workspaces else "; its id is in the web app, below Settings"
    return (f'pass workspace_id="{example}", or set LANGSMITH_WORKSPACE_ID{where}',)


def feature_unavailable(case: Case) -> Steps[Cause | None]:
    """The server says that a feature or plan is missing."""
    yield from ()
    if not _FEATURE.search(case.refusal.reply.message):
        return None
    return Cause(
        "feature-unavailable",
        "the organization's plan or settings do not include this.",
        ("ask an admin of your LangSmith organization to enable it, or change the plan",),
    )


def stale_setting(case: Case) -> Steps[Cause | None]:
    """Was a setting changed since the client was made, and does the newer one work?"""
    for finding in disagreements(case.setup):
        case.note(finding.subject, finding.state, finding.text)
    held = case.setup.held
    for fresh in _fresher(case):
        changed = _changes(held, fresh)
        if (yield from _is_good(case, changed)):
            return None
        outcome = yield from works(case, _access(case, fresh))
        names = " and ".join(changed)
        if outcome == "good":
            summary = f"the client still uses an old {names}."
            return _replaced(case, "stale-setting", summary, fresh)
        told = "was refused too" if outcome == "bad" else "could not be tried"
        sources = ", ".join(str(source) for source in changed.values())
        case.note("settings", outcome, f"the newer {names}, from {sources}, {told}")
    return (yield from _removed_workspace(case))


def _is_good(case: Case, changed: dict[str, Source]) -> Steps[bool]:
    """Whether what the client holds is not shown to be bad, and so not stale.

    A good key that lacks a permission is not stale, and is not replaced.
    """
    if set(changed) == {"workspace"}:
        return (yield from works(case, case.sent)) != "bad"
    return (yield from admits(case, case.sent)) != "bad"


def _removed_workspace(case: Case) -> Steps[Cause | None]:
    """A workspace that was taken out of the environment and lives on in the client."""
    held = case.setup.held
    if held.workspace.source.kind not in ("environment", "cache"):
        return None
    if _named_workspaces(case) or (yield from works(case, case.sent)) != "bad":
        return None
    identity = yield from identify(case, case.sent)
    if len(identity.workspaces or ()) != 1:
        return None
    case.workspaces = identity.workspaces or ()
    source = Source("repair", "the only workspace of the key")
    fresh = replace(held, workspace=Setting(case.workspaces[0].id, source))
    summary = "the client still uses a workspace that was taken out of the environment."
    return _replaced(case, "stale-setting", summary, fresh)


def _changes(held: Settings, fresh: Settings) -> dict[str, Source]:
    pairs = {
        "key": (held.key, fresh.key),
        "endpoint": (held.endpoint, fresh.endpoint),
        "workspace": (held.workspace, fresh.workspace),
    }
    return {n: new.source for n, (old, new) in pairs.items() if old.value != new.value}


def _fresher(case: Case) -> list[Settings]:
    """The settings that a newer reading gives, where the rule lets them be used."""
    found: list[Settings] = []
    setup = case.setup
    for newer in (setup.environ, setup.dotenv, setup.profile):
        fresh = _merge(setup.held, newer)
        if fresh.access == setup.held.access or fresh in found:
            continue
        if _may_be_used(case, setup.held, newer, fresh):
            found.append(fresh)
    return found


def _access(case: Case, fresh: Settings) -> Access:
    """What a request with newer settings shows; a login session goes on without a key."""
    return replace(fresh.access, session=case.sent.session and not fresh.key.value)


def _merge(held: Settings, newer: Settings) -> Settings:
    """The held settings with what is newer; an explicit choice is never overridden."""

    def merged(old: Setting, new: Setting) -> Setting:
        return old if old.source.is_explicit or not new.value else new

    return Settings(
        merged(held.key, newer.key),
        merged(held.endpoint, newer.endpoint),
        merged(held.workspace, newer.workspace),
    )


def _may_be_used(case: Case, held: Settings, newer: Settings, fresh: Settings) -> bool:
    """Whether a key may go where these settings send it.

    A key is sent only to the host that it was configured for. So a key that comes with
    an endpoint stays with it, and an endpoint takes along no key of another place,
    except from one official host to another.
    """
    here, there = held.endpoint.value or "", fresh.endpoint.value or ""
    configured_for = newer.endpoint.value or case.home
    new_key = fresh.key is newer.key and newer.key.value is not None
    if new_key and not same_origin(configured_for, there):
        source = newer.key.source
        case.note("settings", "unknown", f"{source} is for another endpoint; not tried")
        return False
    if same_origin(here, there) or (is_official(here) and is_official(there)):
        return True
    if newer.endpoint.source.kind == "profile":
        return False
    if new_key:
        return True
    source = newer.endpoint.source
    case.note(
        "settings",
        "unknown",
        f"{source} names {shown(there)}, but no key for it; the key was not sent there",
    )
    return False


def _replaced(case: Case, code: Code, summary: str, fresh: Settings) -> Cause:
    changed = _changes(case.setup.held, fresh)
    news = ", ".join(f"{name} from {source}" for name, source in changed.items())
    if any(source.kind == "dotenv" for source in changed.values()):
        step = "call load_dotenv(override=True) before the client is made"
    else:
        step = "make the client after its settings are set (or make it anew)"
    session = _access(case, fresh).session
    repair = Repair(fresh, session, f"used the newer {news}", step)
    return Cause(code, summary, (step,), repair)


def soiled_key(case: Case) -> Steps[Cause | None]:
    """Is there more in the text than the key, and does the key alone work?"""
    key = case.sent.key or ""
    alone = clean(key)
    if not key or alone == key or not alone:
        return None
    access = replace(case.sent, key=alone)
    if (yield from works(case, access)) != "good":
        return None
    where = case.setup.held.key.source
    step = f"correct {where}: it should hold the key alone"
    held = case.setup.held
    cleaned = replace(held, key=Setting(alone, held.key.source))
    how = "used the key without the characters around it"
    repair = Repair(cleaned, case.sent.session, how, step)
    summary = "there is more around the key than the key."
    return Cause("key-malformed", summary, (step,), repair)


def refused_key(case: Case) -> Steps[Cause | None]:
    """Does the server not know the key, or could that not be determined?"""
    identity = yield from identify(case, case.sent)
    case.workspaces = identity.workspaces or ()
    if identity.state == "good":
        case.note("key", "good", "the server knows the key")
        return None
    info = yield from case.ask(Probe(f"{base_of(case.sent.endpoint)}/api/v1/info"))
    if isinstance(info, Reply) and info.status in (401, 403):
        return _proxy(case, "a request without a key, to /info, was refused as well")
    reachable = isinstance(info, Reply) and info.status < 500 and not info.is_html
    if identity.state == "unknown" or not reachable:
        case.note("key", "unknown", "whether the server knows the key could not be asked")
        return Cause(
            "access-denied",
            "the cause could not be determined.",
            ("try again in a minute", *_other_regions(case)),
        )
    return _rejected(case)


def _rejected(case: Case) -> Cause:
    key = case.sent.key or ""
    if case.sent.session:
        summary = "the login session is not accepted any more."
        return Cause("key-rejected", summary, ("log in again: langsmith login",))
    if kind_of(key) == "legacy":
        return _legacy(case)
    odd = oddity(key)
    if odd:
        where = case.setup.held.key.source
        return Cause(
            "key-malformed",
            f"the key is refused, and {odd}.",
            (f"correct {where}", _new_key(case)),
        )
    summary = f"{shown(case.sent.endpoint)} does not know this key."
    if region_of(case.sent.endpoint):
        case.note("region", "unknown", "the key may belong to another region")
    steps = (*_other_regions(case), _new_key(case))
    return Cause("key-rejected", summary, steps)


def _new_key(case: Case) -> str:
    return f"make a new key at {settings_page(case.sent.endpoint)}"


def _other_regions(case: Case) -> tuple[str, ...]:
    """How to find out whether a key belongs to another region."""
    if not region_of(case.sent.endpoint):
        return ()
    return (
        "look at the address of your web app: on eu., apac. or aws.smith.langchain.com, "
        "set LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com (or apac., aws.)",
    )


def foreign_workspace(case: Case) -> Steps[Cause | None]:
    """The key is good. Can it use the workspace that was sent?"""
    workspace = case.sent.workspace
    if not workspace:
        return None
    identity = yield from identify(case, case.sent)
    if identity.lists(workspace):
        return None
    if identity.workspaces is None and (yield from admits(case, case.sent)) != "bad":
        return None
    if identity.workspaces is None and identity.home:
        case.workspaces = (Listed(identity.home),)
    what = yield from _what_is(case, workspace, identity)
    code: Code = "workspace-mismatch"
    if not what and kind_of(case.sent.key) == "service":
        code = "service-key-scope"
        summary = f"this service key does not reach workspace {workspace}."
    else:
        summary = f"{what or f'workspace {workspace} is not one that this key can use'}."
    steps = _pick_workspace(case)
    if code == "service-key-scope":
        page = settings_page(case.sent.endpoint)
        steps = (*steps, f"or make a key with that workspace in its scope, at {page}")
    return Cause(code, summary, steps)


def _what_is(case: Case, workspace: str, identity: Identity) -> Steps[str]:
    """Say what a text that is no workspace of the key is instead, where it is shown."""
    if not is_uuid(workspace):
        return f"{workspace!r} is not a workspace id, which is a UUID"
    owner = identity.organization
    if owner is None and identity.workspaces is None:
        who = yield from case.ask(probe(replace(case.sent, workspace=None), "/auth/public"))
        data = who.data() if isinstance(who, Reply) else None
        owner = _text(data.get("organization_id")) if isinstance(data, dict) else None
    if workspace == owner:
        return f"{workspace} is the id of your organization, not of a workspace"
    within = case.workspaces[0].id if len(case.workspaces) == 1 else None
    access = replace(case.sent, workspace=within)
    project = yield from case.ask(probe(access, f"/sessions/{workspace}"))
    data = project.data() if isinstance(project, Reply) and project.status == 200 else None
    if isinstance(data, dict) and data.get("id") == workspace:
        name = _text(data.get("name"))
        return f"{workspace} is the id of the project {name!r}, not of a workspace"
    return ""


def refused_home(case: Case) -> Steps[Cause | None]:
    """No workspace was sent. Does the key's own refuse it, and another one not?"""
    if case.sent.workspace or case.sent.session:
        return None
    identity = yield from identify(case, case.sent)
    if not identity.workspaces or (yield from admits(case, case.sent)) != "bad":
        return None
    open_ones = []
    for workspace in identity.workspaces[:_MOST_WORKSPACES_TRIED]:
        access = replace(case.sent, workspace=workspace.id)
        if (yield from admits(case, access)) == "good":
            open_ones.append(workspace.id)
    if not open_ones:
        return None
    summary = "no workspace was sent, and the key's default workspace refuses it."
    return (yield from _required(case, summary))


def prompt_of_nobody(case: Case) -> Steps[Cause | None]:
    """A prompt call that failed for another reason than the key: no refusal."""
    yield from ()
    return None if case.refusal.reply.status in (401, 403) else NO_REFUSAL


def personal_only(case: Case) -> Steps[Cause | None]:
    """A good service key, on a path that takes only a personal or wider one."""
    if kind_of(case.sent.key) != "service":
        return None
    page = settings_page(case.sent.endpoint)
    if needs_personal_key(case.refusal.path):
        return Cause(
            "service-key-scope",
            "LangSmith takes only a personal key (lsv2_pt_) for this call.",
            (f"use a personal key for it; it is made at {page}",),
        )
    identity = yield from identify(case, case.sent)
    if is_organization_wide(case.refusal.path) and identity.workspaces is None:
        return Cause(
            "service-key-scope",
            "this service key is scoped to workspaces, and the call is for the whole "
            "organization.",
            (f"use an organization-scoped service key, or a personal key; {page}",),
        )
    return None


def permission_missing(case: Case) -> Steps[Cause | None]:
    """The key is good and in the right workspace. Does its role allow the call?"""
    named = _PERMISSION.search(case.refusal.reply.message)
    needed = named.group(1) if named else None
    needed = needed or permission_for(case.refusal.method, case.refusal.path)
    if not needed:
        return None
    identity = yield from identify(case, case.sent)
    here = yield from _workspace_in_force(case, identity)
    if not named and (here is None or here.permissions is None):
        text = f"the role of this key may lack {needed}, which the call needs"
        case.note("permission", "unknown", text)
        return None
    if not named and here and needed in (here.permissions or ()):
        text = f"the role has {needed}; an access policy of the organization may deny it"
        case.note("permission", "unknown", text)
        return None
    role = f'role "{here.role}"' if here and here.role else "role"
    place = f' in workspace "{here.name}"' if here and here.name else ""
    who = "user" if kind_of(case.sent.key) == "personal" else "key"
    return Cause(
        "permission-missing",
        f"the {role} of this key{place} lacks {needed}.",
        (f"ask an admin for a role with {needed} for this {who}, or use another key",),
        required_permission=needed,
    )


def _workspace_in_force(case: Case, identity: Identity) -> Steps[Listed | None]:
    """The workspace that the server resolved for the refused request, as it lists it."""
    if case.sent.workspace:
        return identity.lists(case.sent.workspace)
    who = yield from case.ask(probe(case.sent, "/auth/public"))
    data = who.data() if isinstance(who, Reply) and who.status == 200 else None
    return identity.lists(_text(data.get("tenant_id"))) if isinstance(data, dict) else None


def transient_refusal(case: Case) -> Steps[Cause | None]:
    """It worked before, and the server lets it in again: wait a little, try once more."""
    if not case.refusal.worked:
        return None
    if (yield from admits(case, case.sent)) != "good":
        return None
    case.note("server", "good", "the same key worked before, and a probe was let in again")
    return Cause(
        "transient-refusal",
        "LangSmith refused for a moment what it allowed before and allows again.",
        ("if it happens often, tell LangSmith's support",),
        _unchanged(case),
        waits=(TRANSIENT_WAIT,),
        otherwise=_denied(case, ("try again in a minute: LangSmith remembers a refusal",)),
    )


def access_denied(case: Case) -> Steps[Cause | None]:
    """Nothing above could be shown: say what is known."""
    yield from ()
    return _denied(case)


def _denied(case: Case, first: tuple[str, ...] = ()) -> Cause:
    kind = describe(case.sent.key, "oauth" if case.sent.session else None)
    needed = permission_for(case.refusal.method, case.refusal.path)
    ask = f"ask an admin of your organization whether this key may do {needed or 'this'}"
    return Cause(
        "access-denied",
        f"the server knows the {kind}, and does not say why it refused.",
        (*first, ask),
        required_permission=needed,
    )


CHECKS: tuple[Check, ...] = (
    wrong_endpoint,
    page_by_chance,
    blocked_by_proxy,
    key_missing,
    legacy_key,
    workspace_required,
    feature_unavailable,
    stale_setting,
    soiled_key,
    refused_key,
    foreign_workspace,
    refused_home,
    prompt_of_nobody,
    personal_only,
    permission_missing,
    transient_refusal,
    access_denied,
)
