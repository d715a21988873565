"""The key is good and in the right workspace: may it do what was asked?"""

from __future__ import annotations

import re
from dataclasses import replace

from safe_langsmith._decision.case import (
    Case,
    Cause,
    Listed,
    Standing,
    admits,
    identify,
    judge,
    probe,
    text_in,
)
from safe_langsmith._decision.checks.endpoint import sent_unchanged
from safe_langsmith._decision.protocol import (
    Reply,
    Steps,
)
from safe_langsmith._knowledge.hosts import settings_page
from safe_langsmith._knowledge.keys import describe, kind_of
from safe_langsmith._knowledge.operations import (
    is_documented,
    is_organization_wide,
    needs_personal_key,
    permission_for,
)

# How long to wait before a credential that worked is tried once more. LangSmith
# remembers how it judged a key for about a minute; a diagnosis has less time than that.
TRANSIENT_WAIT = 3.0
_LONGEST = 2_000


_FEATURE = re.compile(
    r"not enabled for this|is not enabled|feature.{0,40}not available|no plan found"
    r"|requires an? \w+ plan|upgrade your plan",
    re.IGNORECASE,
)


# What the server says is missing, and not just any permission that it speaks of.
_PERMISSION = re.compile(
    r"(?:missing|lacks?|requires?|needs?)\W{1,5}(?:\w{1,20}\W{1,5}){0,3}"
    r"\b((?:runs|projects|datasets|feedback|prompts|annotation-queues|workspaces"
    r"|organization|rules|charts|deployments)(?::[a-z][a-z-]*)+)\b"
)


def _said(case: Case) -> str:
    """What the server said, as far as a pattern looks at it."""
    return case.refusal.reply.message[:_LONGEST]


def feature_unavailable(case: Case) -> Steps[Cause | None]:
    """The server says that a feature or plan is missing."""
    yield from ()
    if not _FEATURE.search(_said(case)):
        return None
    return Cause(
        "feature-unavailable",
        "the organization's plan or settings do not include this.",
        ("ask an admin of your LangSmith organization to enable it, or change the plan",),
    )


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
    if not is_organization_wide(case.refusal.method, case.refusal.path):
        return None
    # LangSmith lets a key of the organization in only together with a workspace.
    alone = replace(case.sent, workspace=None)
    who = yield from case.ask(probe(alone, "/auth/public"))
    if judge(who, alone) == "good":
        return Cause(
            "service-key-scope",
            "this service key is scoped to workspaces, and the call is for the whole "
            "organization.",
            (f"use an organization-scoped service key, or a personal key; {page}",),
        )
    return None


def permission_missing(case: Case) -> Steps[Cause | None]:
    """The key is good and in the right workspace. Does its role allow the call?"""
    named = _PERMISSION.search(_said(case))
    needed = named.group(1) if named and is_documented(named.group(1)) else None
    named = named if needed else None
    needed = needed or permission_for(case.refusal.method, case.refusal.path)
    if not needed:
        return None
    identity = yield from identify(case, case.sent)
    here = yield from _workspace_in_force(case, identity)
    # What a workspace lists says nothing about the organization's permissions.
    of_workspace = here and here.permissions and not needed.startswith("organization:")
    if of_workspace and here and needed in (here.permissions or ()):
        text = f"the role has {needed}; an access policy of the organization may deny it"
        case.note("permission", "unknown", text)
        return None
    if not named and not of_workspace:
        text = f"the role of this key may lack {needed}, which the call needs"
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


def _workspace_in_force(case: Case, identity: Standing) -> Steps[Listed | None]:
    """The workspace that the server resolved for the refused request, as it lists it."""
    if case.sent.workspace:
        return identity.lists(case.sent.workspace)
    who = yield from case.ask(probe(case.sent, "/auth/public"))
    data = who.data() if isinstance(who, Reply) and who.status == 200 else None
    return (
        identity.lists(text_in(data.get("tenant_id"))) if isinstance(data, dict) else None
    )


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
        sent_unchanged(case),
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
