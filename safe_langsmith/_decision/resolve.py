"""From a refusal to a verdict: runs the checks, and repairs what the policy allows.

All transports call this. A generator without I/O; see `protocol`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from safe_langsmith._decision import steps
from safe_langsmith._decision.answers import data_of
from safe_langsmith._decision.case import NO_REFUSAL, Case, Cause, Repair
from safe_langsmith._decision.checks import CHECKS
from safe_langsmith._decision.checks.endpoint import misspelled, not_an_api
from safe_langsmith._decision.conclusion import conclude
from safe_langsmith._decision.protocol import Answer, Probe, Refusal, Reply, Resend, Steps
from safe_langsmith._decision.unreachable import cannot_reach, tunnel_refused
from safe_langsmith._diagnosis import Code, Diagnosis, Finding
from safe_langsmith._knowledge.hosts import origin, region_of_web, shown
from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._policy import Policy
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.construction import Name
from safe_langsmith._settings.sources import FIELDS, Setup

_MOST_REPAIRS = 3
# These depend on the request, so they apply only to the same operation.
_PER_OPERATION: frozenset[Code] = frozenset(
    {
        "permission-missing",
        "feature-unavailable",
        "service-key-scope",
        "blocked-by-proxy",
        "transient-refusal",
        "access-denied",
        "wrong-region",  # a read may succeed where a write does not
        "ok",
    }
)
# Causes that explain a status, such as 404, that LangSmith also returns to anonymous
# requests.
_OF_STRANGERS: frozenset[Code] = frozenset(
    {"key-rejected", "key-malformed", "key-legacy", "stale-setting", "wrong-region"}
)
_NOT_REPEATED = (
    "the response is not LangSmith's, so the request may have been carried out; it was not "
    "resent"
)
_READ_ONCE = "the body is a stream and cannot be sent twice; the request was not resent"
_AGAIN = Cause(
    "access-denied",
    "it was refused again after each repair.",
    ("run safe-langsmith doctor and send its output to LangSmith support",),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a diagnosis, and the repair that the client keeps, if any.

    ``of_this_request``: this request was not repaired, but another operation with the same
    access may be.
    """

    diagnosis: Diagnosis
    repair: Repair | None = None
    of_this_request: bool = False

    @property
    def scope(self) -> str:
        """The only operation that this applies to; empty if it applies to all."""
        told = self.diagnosis
        return told.operation if self.of_this_request else scope_of(told)

    @property
    def log_line(self) -> str:
        """What was wrong, what is used now, and how to make that permanent."""
        line = self.diagnosis.headline
        if self.repair:
            line += f" Repaired: {self.repair.how}."
            if self.repair.permanent:
                line += f" To make it permanent: {'; '.join(self.repair.permanent)}."
        return line


def resolve(refusal: Refusal, setup: Setup, policy: Policy) -> Steps[Verdict | None]:
    """Find out why a request was refused, and repair it if the rules allow it.

    Returns None if it was not a refusal after all: the caller gets the response. A repair
    may reveal the next cause (a newer key that needs a workspace), so this repeats, with
    each cause at most once.
    """
    home, asking = refusal.access.endpoint, policy.probe_regions
    case = Case(refusal, setup, home, asking, list(setup.notes))
    done: set[Code] = set()
    tried = {case.sent}
    while True:
        cause = yield from decide(case)
        if cause is NO_REFUSAL:
            return Verdict(conclude(case, _AGAIN)) if done else None
        repair, otherwise = cause.repair, _after_earlier(case, cause.otherwise or cause)
        if repair is None or not policy.repair:
            return Verdict(conclude(case, otherwise))
        if not case.refusal.may_be_repeated:
            case.note("server", "unknown", _NOT_REPEATED)
            return Verdict(conclude(case, otherwise), of_this_request=True)
        is_old = repair.access != case.sent and repair.access in tried
        if is_old or cause.code in done or len(done) == _MOST_REPAIRS:
            return Verdict(conclude(case, _AGAIN))
        if not case.refusal.replayable:
            return _not_resent(case, otherwise, repair)
        reply = yield Resend(repair.access, cause.waits)
        if not isinstance(reply, Reply):
            case.note("server", "unknown", reply.reason)
            return Verdict(conclude(case, otherwise))
        if not reply.is_refusal:
            return _repaired(case, cause, repair)
        if repair.access == case.sent:
            return Verdict(conclude(case, otherwise))
        done.add(cause.code)
        tried.add(repair.access)
        case = _next_case(case, repair, reply)


def decide(case: Case) -> Steps[Cause]:
    """Run the checks in order until one proves its cause.

    A status that anonymous requests also get is a refusal only if the key is proven bad.
    """
    is_sure = case.refusal.reply.is_refusal
    if not is_sure and (yield from case.identify(case.sent)).state != "bad":
        return NO_REFUSAL
    for check in CHECKS:
        cause = check(case)
        if isinstance(cause, Generator):
            cause = yield from cause
        if cause is not None:
            return cause if is_sure or cause.code in _OF_STRANGERS else NO_REFUSAL
    raise AssertionError("the last check always names a cause")  # pragma: no cover


def scope_of(diagnosis: Diagnosis) -> str:
    """The only operation that a diagnosis applies to; empty if it applies to all."""
    return diagnosis.operation if diagnosis.code in _PER_OPERATION else ""


def _after_earlier(case: Case, cause: Cause) -> Cause:
    """The cause, with the steps of the earlier repairs that it follows."""
    before = [step for done in case.in_effect(case.held) for step in done.permanent]
    return replace(cause, next_steps=tuple(dict.fromkeys([*before, *cause.next_steps])))


def _not_resent(case: Case, cause: Cause, repair: Repair) -> Verdict:
    """The verdict if the body cannot be sent twice: the caller can call it again."""
    case.note("server", "unknown", _READ_ONCE)
    if repair.access == case.sent:  # it changed nothing, so the next call needs no repair
        return Verdict(conclude(case, cause))
    todo = (f"call it again: {repair.how}", *cause.next_steps)
    return Verdict(conclude(case, replace(cause, next_steps=todo)), repair)


def _repaired(case: Case, cause: Cause, last: Repair) -> Verdict:
    """The verdict if the last repair helped, together with those before it."""
    repair = case.with_earlier(last)
    cause = replace(cause, next_steps=repair.permanent or cause.next_steps)
    return Verdict(conclude(case, cause, repair), repair)


def _next_case(case: Case, repair: Repair, reply: Reply) -> Case:
    """The same request, refused again with the repaired settings."""
    case.note("settings", "unknown", f"{repair.how}; the request was still refused")
    # The server's response may contain what was sent first.
    secrets = (*case.refusal.secrets, case.sent.key or "")
    refusal = replace(
        case.refusal, reply=reply, access=repair.access, worked=False, secrets=secrets
    )
    setup = replace(case.setup, held=repair.settings, session=repair.access.session)
    region = region_of_web(case.home)  # a web app's URL means its API
    home = region.api if region else case.home
    earlier = (*case.earlier, (case.held, repair))
    return replace(
        case, refusal=refusal, setup=setup, home=home, workspaces=(), earlier=earlier
    )


def examine(setup: Setup, policy: Policy) -> Steps[Diagnosis]:
    """Make the most common call, ``GET /sessions``, and diagnose the result.

    Repairs nothing. The code is "ok" if the call succeeds, and "unknown" if the server
    could not be reached, or its response proves nothing about these settings.
    """
    access = setup.access
    if unsendable := _cannot_be_sent(setup):
        return unsendable
    url = f"{access.endpoint}/sessions?limit=1"
    answer = yield Probe(url, access.key, access.workspace, access.session)
    if isinstance(answer, Reply) and answer.is_refusal:
        refusal = Refusal("GET", "/sessions", answer, access)
        verdict = yield from resolve(refusal, setup, replace(policy, repair=False))
        if verdict is not None:
            return verdict.diagnosis
    case = _unrefused("GET", "/sessions", setup, *disagreements(setup))
    healthy = isinstance(data_of(answer), list)
    cause = yield from (_accepted(case) if healthy else _unknown(case, answer))
    return replace(conclude(case, cause), resolved=healthy)


def _accepted(case: Case) -> Steps[Cause]:
    standing = yield from case.identify(case.sent)
    case.workspaces = standing.workspaces or ()
    yield from case.ask_who(case.sent)  # for the identity and the workspace
    case.note("key", "good", "LangSmith accepts the key")
    for answer in case.answers.values():  # LangSmith may list what is missing
        if not isinstance(answer, Reply):
            case.note("server", "unknown", answer.reason)
        elif answer.status >= 500:
            case.note("server", "unknown", f"a check returned {answer.status}")
    return Cause("ok", "LangSmith accepts these settings.")


def _unknown(case: Case, answer: Answer) -> Steps[Cause]:
    if not isinstance(answer, Reply):
        return cannot_reach(case, answer)
    case.note("server", "unknown", f"GET /sessions returned {answer.status}")
    summary = f"{case.host} returned {answer.status}, which proves nothing about the key."
    step = "try again in a moment"
    return (yield from not_an_api(case)) or Cause("unknown", summary, (step,))


def offline(setup: Setup) -> Diagnosis:
    """What can be diagnosed without a request: "unknown", in most cases."""
    if unsendable := _cannot_be_sent(setup):
        return unsendable
    step = "to check with LangSmith: safe-langsmith doctor"
    cause = Cause("unknown", "not checked with LangSmith: offline.", (step,))
    case = _unrefused("GET", "/sessions", setup, *disagreements(setup))
    return replace(conclude(case, cause), operation="")


def _unrefused(method: str, path: str, setup: Setup, *findings: Finding) -> Case:
    """A request that was not refused: not sent, or accepted."""
    refusal = Refusal(method, path, Reply(0), setup.access)  # 0: there is no status
    endpoint = setup.access.endpoint
    return Case(refusal, setup, endpoint, findings=[*setup.notes, *findings])


def _cannot_be_sent(setup: Setup) -> Diagnosis | None:
    access = setup.access
    if not all(can_be_sent(text) for text in (access.key, access.workspace) if text):
        return never_sendable("GET", "/sessions", setup)
    if not origin(access.endpoint) or "#" in access.endpoint:
        return no_address("GET", "/sessions", setup)
    return None


def no_address(method: str, path: str, setup: Setup) -> Diagnosis:
    """The diagnosis of an endpoint that is not a valid URL, so no probe can be sent."""
    case, source = _unrefused(method, path, setup), setup.held.endpoint.source
    summary = (
        f"the endpoint, {shown(setup.access.endpoint)!r} from {source}, is not a valid URL."
    )
    step = steps.correct(case, "ENDPOINT", "it must be a valid https:// URL")
    return conclude(case, misspelled(case) or Cause("wrong-endpoint", summary, (step,)))


def never_sendable(method: str, path: str, setup: Setup) -> Diagnosis:
    """The diagnosis of a key or workspace that no HTTP header can contain."""
    workspace, key = setup.access.workspace or "", setup.access.key or ""
    is_key = not can_be_sent(key) or can_be_sent(workspace)
    code: Code = "key-malformed" if is_key else "workspace-mismatch"
    name: Name = "API_KEY" if is_key else "WORKSPACE_ID"
    case = _unrefused(method, path, setup)
    asked, what = case.refusal.operation, FIELDS[name]
    summary = f"{asked} was not sent: the {what} has characters that cannot be sent."
    step = steps.correct(case, name, f"type or paste the {what} again")
    return conclude(case, Cause(code, summary, (step,)))


def no_tunnel(method: str, path: str, setup: Setup, status: str) -> Diagnosis:
    """The diagnosis of a request that a proxy refused to connect to its host.

    ``status``: the proxy's response to CONNECT, such as "403 Forbidden".
    """
    case = _unrefused(method, path, setup)
    return conclude(case, tunnel_refused(case, status))
