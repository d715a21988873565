"""Checks whether a key that works has permission for this call."""

from __future__ import annotations

import re
from dataclasses import replace

from safe_langsmith._decision.answers import Listed, Standing, object_of, text_of
from safe_langsmith._decision.case import Case, Cause
from safe_langsmith._decision.checks.endpoint import sent_unchanged
from safe_langsmith._decision.protocol import Steps
from safe_langsmith._decision.steps import AGAIN
from safe_langsmith._knowledge import operations
from safe_langsmith._knowledge.keys import describe, kind_of

# Seconds before the only retry, if the key worked earlier. LangSmith caches its decision
# on a key for about a minute, which is longer than a diagnosis may take. If the retry is
# refused too, the error says to try again in a minute.
TRANSIENT_WAIT = 3.0
_LONGEST = 2_000
_FEATURE = re.compile(
    r"not enabled for this|is not enabled|feature.{0,40}not available|no plan found"
    r"|requires an? \w+ plan|upgrade your plan",
    re.IGNORECASE,
)
# Finds the missing permission, not just any permission that the server mentions.
_PERMISSION = re.compile(
    r"(?:missing|lacks?|requires?|needs?)\W{1,5}(?:\w{1,20}\W{1,5}){0,3}"
    r"\b((?:runs|projects|datasets|feedback|prompts|annotation-queues|workspaces"
    r"|organization|rules|charts|deployments)(?::[a-z][a-z-]*)+)\b"
)


def _said(case: Case) -> str:
    """The server's message, up to the length that patterns search."""
    return case.refusal.reply.message[:_LONGEST]


def feature_unavailable(case: Case) -> Cause | None:
    """The server says that a feature or plan is missing."""
    if not _FEATURE.search(_said(case)):
        return None
    summary = "the organization's plan or settings do not include this."
    step = "ask an admin of your LangSmith organization to enable it, or change the plan"
    return Cause("feature-unavailable", summary, (step,))


def personal_only(case: Case) -> Steps[Cause | None]:
    """Does the call need a personal key, or an organization's key?"""
    if kind_of(case.sent.key) != "service":
        return None
    if operations.needs_personal_key(case.refusal.path):
        summary = "this call needs a personal key (lsv2_pt_), not a service key."
        step = f"use a personal key for this call; create one at {case.keys_page}"
        return Cause("service-key-scope", summary, (step,))
    if not operations.is_organization_wide(case.refusal.method, case.refusal.path):
        return None
    # LangSmith accepts an organization's key only together with a workspace.
    if (yield from case.admits(replace(case.sent, workspace=None))) != "good":
        return None
    summary = (
        "this service key is scoped to workspaces, and the call is for the whole "
        "organization."
    )
    step = f"use an organization-scoped service key or a personal key: {case.keys_page}"
    return Cause("service-key-scope", summary, (step,))


def permission_missing(case: Case) -> Steps[Cause | None]:
    """The key works in the right workspace. Does its role allow the call?"""
    found = _PERMISSION.search(_said(case))
    named = found.group(1) if found and operations.is_documented(found.group(1)) else None
    needed = named or operations.permission_for(case.refusal.method, case.refusal.path)
    if not needed:
        return None
    standing = yield from case.identify(case.sent)
    here = (yield from _workspace_in_use(case, standing)) or Listed("")
    # A workspace's list says nothing about permissions of the organization.
    listed = None if needed.startswith("organization:") else here.permissions
    if listed and needed in listed:
        text = f"the role has {needed}; an access policy of the organization may deny it"
        case.note("permission", "unknown", text)
        return None
    if not named and not listed:
        text = f"the role of this key may lack {needed}, which the call needs"
        case.note("permission", "unknown", text)
        return None
    role = f'role "{here.role}"' if here.role else "role"
    place = f' in workspace "{here.name}"' if here.name else ""
    who = "user" if kind_of(case.sent.key) == "personal" else "key"
    summary = f"the {role} of this key{place} lacks {needed}."
    step = f"ask an admin for a role with {needed} for this {who}, or use another key"
    return Cause("permission-missing", summary, (step,), required_permission=needed)


def _workspace_in_use(case: Case, standing: Standing) -> Steps[Listed | None]:
    """The workspace that the server used for the refused request, if it is listed."""
    if case.sent.workspace:
        return standing.lists(case.sent.workspace)
    told = object_of((yield from case.ask_who(case.sent))) or {}
    return standing.lists(text_of(told, "tenant_id"))


def transient_refusal(case: Case) -> Steps[Cause | None]:
    """Did the key work before, and does it work again? Then wait a little, and retry."""
    if not case.refusal.worked or (yield from case.admits(case.sent)) != "good":
        return None
    case.note("server", "good", "the same key worked before, and a test request succeeded")
    summary = "LangSmith briefly refused what it allowed before; it works again."
    todo = ("if this happens often, contact LangSmith support",)
    cause = Cause("transient-refusal", summary, todo, sent_unchanged(case))
    is_langsmiths = case.refusal.reply.is_langsmiths
    cached = ": LangSmith caches a refusal for about that long" if is_langsmiths else ""
    otherwise = _denied(case, f"{AGAIN}{cached}")
    return replace(cause, waits=(TRANSIENT_WAIT,), otherwise=otherwise)


def access_denied(case: Case) -> Cause | None:
    """No cause was proven: report what is known."""
    return _denied(case)


def _denied(case: Case, *first: str) -> Cause:
    kind = describe(case.sent.key, "oauth" if case.sent.session else None)
    needed = operations.permission_for(case.refusal.method, case.refusal.path)
    why = "LangSmith does not say why it refused this"
    if not case.refusal.reply.is_langsmiths:
        why = "the response that refused this does not look like LangSmith's"
    summary = f"LangSmith accepts the {kind}, but {why}."
    ask = f"ask an admin of your organization whether this key may do {needed or 'this'}"
    return Cause("access-denied", summary, (*first, ask), required_permission=needed)
