"""From a refusal to a verdict: run the checks, repair what the policy allows.

Every decision ends here. A generator without I/O; see `_protocol`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from safe_langsmith._decision.case import (
    NO_REFUSAL,
    Case,
    Cause,
    Repair,
    admits,
    identify,
    sender,
)
from safe_langsmith._decision.checks import CHECKS
from safe_langsmith._decision.checks.endpoint import not_an_api
from safe_langsmith._decision.protocol import (
    Probe,
    Refusal,
    Reply,
    Resend,
    Steps,
    Unreachable,
)
from safe_langsmith._diagnosis import (
    Code,
    Diagnosis,
    Fix,
    Identity,
    SettingInfo,
    WorkspaceInfo,
)
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import (
    origin,
    region_of,
    region_of_web,
    shown,
)
from safe_langsmith._knowledge.keys import can_be_sent, clean, kind_of, mask, scrub
from safe_langsmith._knowledge.operations import operation
from safe_langsmith._policy import Policy
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.sources import Setting, Setup

_MOST_REPAIRS = 3
# These depend on what was asked, so they answer the same operation alone.
_PER_OPERATION: frozenset[Code] = frozenset(
    {
        "permission-missing",
        "feature-unavailable",
        "service-key-scope",
        "blocked-by-proxy",
        "transient-refusal",
        "access-denied",
        "wrong-region",  # a read may be answered where a write is not
    }
)
_LONGEST_MESSAGE = 300
_LONGEST_TEXT = 500
# The same text within quotes and without, in any `.env` and any shell.
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
# A profile is not overruled by a variable: it is put right where it stands.
_WRITABLE = ("environment", "dotenv", "default", "none")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a diagnosis, and the repair that the client is to keep, if any.

    ``of_this_request``: another request with the same access might be repaired.
    """

    diagnosis: Diagnosis
    repair: Repair | None = None
    of_this_request: bool = False

    @property
    def scope(self) -> str:
        """The operation that this answers alone; empty: every one with this access."""
        alone = self.of_this_request or self.diagnosis.code in _PER_OPERATION
        return self.diagnosis.operation if alone else ""

    @property
    def log_line(self) -> str:
        """What was wrong, what is used now, and how to make that permanent."""
        line = self.diagnosis.headline
        if self.repair:
            line += f" Repaired: {self.repair.how}."
            if self.repair.permanent:
                line += f" To make it permanent: {self.repair.permanent}."
        return line


def resolve(refusal: Refusal, setup: Setup, policy: Policy) -> Steps[Verdict | None]:
    """Find out why a request was refused, and repair it if the rule allows.

    None: it was no refusal after all, and the answer stands as it is. One repair may
    bring the next cause to light (a newer key that needs a workspace), so it goes
    round, each cause at most once.
    """
    home, asking = refusal.access.endpoint, policy.probe_regions
    case = Case(refusal, setup, home, asking, list(setup.notes))
    done: set[Code] = set()
    while True:
        cause = yield from decide(case)
        if cause is NO_REFUSAL:
            return None if not done else _verdict(case, _again())
        if cause.repair is None or not policy.repair:
            return _verdict(case, cause.otherwise or cause)
        if not case.refusal.may_be_repeated:
            return _not_repeated(case, cause)
        if cause.code in done or len(done) == _MOST_REPAIRS:
            return _verdict(case, _again())
        if not case.refusal.replayable:
            return _unsendable(case, cause)
        reply = yield Resend(cause.repair.access, cause.waits)
        if isinstance(reply, Unreachable):
            case.note("server", "unknown", reply.reason)
            return _verdict(case, cause.otherwise or cause)
        if not reply.is_refusal:
            return _verdict(case, cause, cause.repair)
        if cause.repair.access == case.sent:
            return _verdict(case, cause.otherwise or cause)
        done.add(cause.code)
        case = _next_case(case, cause.repair, reply)


def decide(case: Case) -> Steps[Cause]:
    """Run the checks in their order until one shows its cause."""
    for check in CHECKS:
        cause = yield from check(case)
        if cause is not None:
            return cause
    raise AssertionError("the last check always names a cause")  # pragma: no cover


def examine(setup: Setup, policy: Policy) -> Steps[Diagnosis]:
    """Make the most common call, and say how it went: what a doctor does.

    Repairs nothing. The code is "ok" where the call is let in, and "unknown" where the
    server gave no answer that tells.
    """
    access = setup.access
    unsendable = _cannot_be_sent(setup)
    if unsendable is not None:
        return unsendable
    url = f"{access.endpoint}/sessions?limit=1"
    reply = yield Probe(url, access.key, access.workspace, access.session)
    if isinstance(reply, Reply) and reply.is_refusal:
        refusal = Refusal("GET", "/sessions", reply, access)
        verdict = yield from resolve(refusal, setup, replace(policy, repair=False))
        if verdict is not None:
            return verdict.diagnosis
    healthy = (
        isinstance(reply, Reply) and reply.status == 200 and isinstance(reply.data(), list)
    )
    refusal = Refusal("GET", "/sessions", Reply(200), access)
    findings = [*setup.notes, *disagreements(setup)]
    case = Case(refusal, setup, access.endpoint, findings=findings)
    if not healthy:
        case.note("server", "unknown", _no_answer(reply))
        elsewhere = (yield from not_an_api(case)) if isinstance(reply, Reply) else None
        steps = ("look at your connection and at LANGSMITH_ENDPOINT, then try again",)
        unknown = Cause("unknown", "LangSmith gave no answer that tells.", steps)
        cause = elsewhere or unknown
    else:
        standing = yield from identify(case, access)
        case.workspaces = standing.workspaces or ()
        yield from admits(case, access)  # which tells who the sender is, and where
        case.note("key", "good", "the server knows the key")
        cause = Cause("ok", "LangSmith accepts these settings.")
    diagnosis = _verdict(case, cause).diagnosis
    return replace(diagnosis, resolved=healthy, status_code=None)


def offline(setup: Setup) -> Diagnosis:
    """Say what can be told without asking the server: "unknown", in most cases."""
    unsendable = _cannot_be_sent(setup)
    if unsendable is not None:
        return unsendable
    step = "to have LangSmith asked: safe-langsmith doctor"
    cause = Cause("unknown", "LangSmith was not asked: this is offline.", (step,))
    told = replace(setup, notes=(*setup.notes, *disagreements(setup)))
    return replace(_unsent("GET", "/sessions", told, cause), operation="")


def _cannot_be_sent(setup: Setup) -> Diagnosis | None:
    access = setup.access
    if not all(can_be_sent(text) for text in (access.key, access.workspace) if text):
        return never_sendable("GET", "/sessions", setup)
    if not origin(access.endpoint):
        return no_address("GET", "/sessions", setup)
    return None


def no_address(method: str, path: str, setup: Setup) -> Diagnosis:
    """The diagnosis of an endpoint that is no web address: there is nobody to ask."""
    source, given = setup.held.endpoint.source, shown(setup.access.endpoint)
    whole = f"https://{given}"
    summary = f"{given!r}, from {source}, is no web address."
    step = "set it to one that begins with https://"
    if region_of(whole) or region_of_web(whole):
        step += f": {whole}"
    return _unsent(method, path, setup, Cause("wrong-endpoint", summary, (step,)))


def never_sendable(method: str, path: str, setup: Setup) -> Diagnosis:
    """The diagnosis of a key or workspace that no HTTP header can carry."""
    held, workspace = setup.held, setup.access.workspace or ""
    code: Code = "key-malformed"
    wrong, what = held.key, "key"
    if not can_be_sent(workspace) and can_be_sent(setup.access.key or ""):
        code = "workspace-mismatch"
        wrong, what = held.workspace, "workspace"
    asked = operation(method, path)
    summary = f"{asked} was not sent: the {what} holds characters that cannot be sent."
    step = f"correct {wrong.source}: type or paste the {what} anew"
    return _unsent(method, path, setup, Cause(code, summary, (step,)))


def no_tunnel(method: str, path: str, setup: Setup, status: str) -> Diagnosis:
    """The diagnosis of a request that a proxy did not connect to its host.

    ``status``: what it answered to CONNECT, such as "403 Forbidden".
    """
    asked, host = operation(method, path), shown(origin(setup.access.endpoint))
    summary = f"{asked} was not sent: the proxy refused to connect to {host} ({status})."
    step = f"ask who runs the proxy in HTTPS_PROXY to let {host} through, or set NO_PROXY"
    if status.startswith("407"):
        step = "the proxy wants a login: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    return _unsent(method, path, setup, Cause("blocked-by-proxy", summary, (step,)))


def _unsent(method: str, path: str, setup: Setup, cause: Cause) -> Diagnosis:
    refusal = Refusal(method, path, Reply(0), setup.access)
    case = Case(refusal, setup, setup.access.endpoint, findings=list(setup.notes))
    return replace(_verdict(case, cause).diagnosis, status_code=None)


def _no_answer(reply: Reply | Unreachable) -> str:
    if isinstance(reply, Unreachable):
        return reply.reason
    return f"GET /sessions was answered with {reply.status}"


def _next_case(case: Case, repair: Repair, reply: Reply) -> Case:
    """The same request, refused once more with the repaired settings."""
    case.note("settings", "unknown", f"{repair.how}; it was refused all the same")
    refusal = replace(case.refusal, reply=reply, access=repair.access, worked=False)
    setup = replace(case.setup, held=repair.settings, session=repair.session)
    region = region_of_web(case.home)  # who wrote the web app's address meant its API
    home = region.api if region else case.home
    asking = case.probe_regions
    return Case(refusal, setup, home, asking, case.findings, answers=case.answers)


def _again() -> Cause:
    steps = ("run safe-langsmith doctor, and show its output to LangSmith's support",)
    return Cause("access-denied", "it was refused again after each repair.", steps)


def _unsendable(case: Case, cause: Cause) -> Verdict:
    """The body was a stream that cannot be read twice: repair, and ask to call again."""
    text = "the body was a stream that cannot be sent twice, so it was not sent again"
    case.note("server", "unknown", text)
    again = f"call it again: {cause.repair.how}" if cause.repair else ""
    verdict = _verdict(case, replace(cause, next_steps=(again, *cause.next_steps)))
    return Verdict(verdict.diagnosis, cause.repair)


def _not_repeated(case: Case, cause: Cause) -> Verdict:
    """The refusal may be that of a filter behind which the request was carried out."""
    text = (
        "the answer is not LangSmith's, so the request may have been carried out, and it "
        "was not sent again"
    )
    case.note("server", "unknown", text)
    verdict = _verdict(case, cause.otherwise or cause)
    return replace(verdict, of_this_request=True)


def _verdict(case: Case, cause: Cause, repair: Repair | None = None) -> Verdict:
    """Write the diagnosis: everything that people may see, with all keys struck out."""
    refusal = case.refusal
    held = repair.settings if repair else case.setup.held
    access = repair.access if repair else refusal.access
    secrets = (*case.setup.secrets, case.sent.key or "", access.key or "")
    secrets += refusal.secrets

    def safe(text: str) -> str:
        # A cut before the keys are struck out could leave a part of one.
        return _cut(scrub(text, secrets), _LONGEST_TEXT)

    message, region = safe(refusal.reply.message), region_of(access.endpoint)
    diagnosis = Diagnosis(
        code=cause.code,
        resolved=repair is not None,
        summary=safe(cause.summary),
        next_steps=tuple(safe(step) for step in cause.next_steps),
        findings=tuple(replace(f, text=safe(f.text)) for f in case.findings),
        operation=safe(operation(refusal.method, refusal.path)),
        status_code=None if refusal.reply.came_as_get else refusal.reply.status,
        server_message=_cut(" ".join(message.split()), _LONGEST_MESSAGE),
        key=mask(access.key),
        key_kind="oauth" if access.session else kind_of(access.key),
        key_source=safe(str(held.key.source)),
        endpoint=safe(shown(access.endpoint)),
        endpoint_source=safe(str(held.endpoint.source)),
        region=region.name if region else None,
        workspace_id=safe(access.workspace) if access.workspace else None,
        workspace_source=safe(str(held.workspace.source)),
        workspaces=tuple(WorkspaceInfo(safe(w.id), safe(w.name)) for w in case.workspaces),
        required_permission=cause.required_permission,
        identity=_identity(case, access, safe),
    )
    infos = tuple(
        replace(
            info,
            value=safe(info.value),
            source=safe(info.source),
            passed_over=tuple(safe(text) for text in info.passed_over),
        )
        for info in _settings_of(diagnosis, case.setup)
    )
    fixes = tuple(f for f in _fixes(case, cause) if safe(f.value) == f.value)
    return Verdict(replace(diagnosis, settings=infos, fixes=fixes), repair)


def _fixes(case: Case, cause: Cause) -> list[Fix]:
    """The endpoint and the workspace that were shown to be right, and are not held.

    None with another key: they may be right for that one alone. And none that was found
    for reads alone: a write could land in a workspace that nobody named.
    """
    held, repair = case.setup.held, cause.repair
    right = repair.settings if repair else cause.right
    if right is None or (repair and repair.for_reads):
        return []
    if clean(right.key.value or "") != clean(held.key.value or ""):
        return []
    pairs = {
        "LANGSMITH_ENDPOINT": (held.endpoint, right.endpoint),
        "LANGSMITH_WORKSPACE_ID": (held.workspace, right.workspace),
    }
    found = [_fix(name, old, new.value or "") for name, (old, new) in pairs.items()]
    return [fix for fix in found if fix]


def _fix(name: str, held: Setting, value: str) -> Fix | None:
    if value == (held.value or "") or held.source.kind not in _WRITABLE:
        return None
    named = held.source.kind in ("environment", "dotenv")
    variable = held.source.name if named else name
    return Fix(variable, value) if _PLAIN_VALUE.fullmatch(value) else None


def _identity(case: Case, access: Access, safe: Callable[[str], str]) -> Identity | None:
    """Who the server takes the sender for, with all keys struck out."""
    found = sender(case, access)
    if found is None:
        return None
    return replace(
        found,
        organization_id=found.organization_id and safe(found.organization_id),
        user_id=found.user_id and safe(found.user_id),
        workspace_id=found.workspace_id and safe(found.workspace_id),
        workspace_name=safe(found.workspace_name),
        role=safe(found.role),
        permissions=found.permissions and tuple(map(safe, found.permissions)),
    )


def _settings_of(diagnosis: Diagnosis, setup: Setup) -> tuple[SettingInfo, ...]:
    """Each setting in force, where it came from, and what was passed over."""
    key, workspace = diagnosis.key, diagnosis.workspace_id or "none"
    if diagnosis.key_kind == "oauth" and setup.login:
        key = "a login session"
    project, tracing = setup.project, setup.tracing
    rows = (
        ("key", key, diagnosis.key_source),
        ("endpoint", diagnosis.endpoint, diagnosis.endpoint_source),
        ("workspace", workspace, diagnosis.workspace_source),
        ("project", project.value or "none", str(project.source)),
        ("tracing", tracing.value or "none", str(tracing.source)),
    )
    return tuple(
        SettingInfo(
            name,
            value,
            source,
            # A repair may have taken since what was passed over at first.
            tuple(
                other.text
                for other in setup.passed_over
                if other.setting == name and not other.text.startswith(f"{source} (")
            ),
        )
        for name, value, source in rows
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\u2026"
