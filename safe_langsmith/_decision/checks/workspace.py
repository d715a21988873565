"""Checks whether the key needs a workspace, and has access to the one that was sent."""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision import answers, steps
from safe_langsmith._decision.answers import Listed, Standing
from safe_langsmith._decision.case import NO_REFUSAL, Case, Cause
from safe_langsmith._decision.protocol import Reply, Steps
from safe_langsmith._knowledge.hosts import WebAddress, web_address
from safe_langsmith._knowledge.keys import clean, kind_of
from safe_langsmith._knowledge.operations import is_uuid
from safe_langsmith._settings.sources import Setting

_MOST_WORKSPACES_TRIED = 3
_NONE_SENT = "this key needs a workspace, and none is set."


def workspace_required(case: Case) -> Steps[Cause | None]:
    """The server says that this key needs a workspace. Is there exactly one choice?"""
    if not case.refusal.reply.wants_workspace:
        return None
    if case.sent.workspace:
        summary = (
            f"LangSmith says that no workspace arrived ({case.refusal.reply.message}), "
            f"although the header X-Tenant-Id was sent, with {case.sent.workspace}."
        )
        return Cause("workspace-required", summary, (steps.WORKSPACE_LOST,))
    standing = yield from case.identify(case.sent)
    if standing.workspaces is None:
        case.note("workspace", "unknown", "the key's workspaces could not be listed")
    return (yield from _required(case, standing, _NONE_SENT))


def _required(case: Case, standing: Standing, summary: str) -> Steps[Cause]:
    """The cause, with the repair that uses a workspace named elsewhere, or the only one."""
    case.workspaces = standing.workspaces or ()
    named, only = named_workspaces(case), standing.only_workspace
    cause = Cause("workspace-required", summary, (steps.choose_workspace(case),))
    for setting in named:
        outcome = yield from case.works(replace(case.sent, workspace=setting.value))
        if outcome != "good":
            told = "this key cannot use" if outcome == "bad" else "could not be tried"
            text = f"{setting.source} names {setting.value}, which {told}"
            case.note("workspace", outcome, text)
            return cause
    if len(named) == 1:
        return _filled(case, cause, named[0], f"from {named[0].source}")
    if only and not named:
        return _filled(case, cause, only, "the only one that this key can use")
    return cause


def _filled(case: Case, cause: Cause, workspace: Setting, why: str) -> Cause:
    held, chosen = case.held, workspace.value or ""
    cause = replace(cause, next_steps=(steps.put(case, "WORKSPACE_ID", chosen),))
    if held.workspace.source.is_explicit:
        return cause
    name = next((f" ({w.name})" for w in case.workspaces if w.id == chosen and w.name), "")
    how = f"used workspace {chosen}{name}, {why}"
    return case.repaired(cause, replace(held, workspace=workspace), how)


def named_workspaces(case: Case) -> list[Setting]:
    """The workspaces set in the environment, the `.env` file and the profile, each once.

    If LANGSMITH_WORKSPACE_ID is in the environment, only that one counts; for an exporter,
    only the one that was passed to its client.
    """
    setup = case.setup
    passed = [s for s in setup.aliases if s.source.kind == "argument"]
    if passed:
        return passed
    environ, dotenv = case.usable(setup.environ), case.usable(setup.dotenv)
    if environ.workspace.value:
        return [environ.workspace]
    # An alias comes with the other settings of its source.
    kinds = {"environment": environ is setup.environ, "dotenv": dotenv is setup.dotenv}
    aliases = [s for s in setup.aliases if kinds.get(s.source.kind)]
    places = (*aliases, case.usable(setup.profile).workspace, dotenv.workspace)
    return list({s.value: s for s in reversed(places) if s.value}.values())


def foreign_workspace(case: Case) -> Steps[Cause | None]:
    """The key is good. Does it have access to the workspace that was sent?"""
    workspace = case.sent.workspace
    if not workspace:
        return None
    standing = yield from case.identify(case.sent)
    if standing.lists(workspace):
        return None
    if standing.workspaces is None and (yield from case.admits(case.sent)) != "bad":
        return None
    if standing.workspaces is None and standing.home:
        case.workspaces = (Listed(standing.home),)
    meant = yield from _what_was_meant(case, workspace, standing)
    if meant is not None:
        return meant
    what = yield from _what_is(case, workspace, standing)
    pick = steps.choose_workspace(case)
    if not what and kind_of(case.sent.key) == "service":
        summary = f"this service key has no access to workspace {workspace}."
        step = f"or, if it still exists, create a key for it at {case.keys_page}"
        return Cause("service-key-scope", summary, (pick, step))
    summary = f"{what or f'this key has no access to workspace {workspace}'}."
    return Cause("workspace-mismatch", summary, (pick,))


def padded_workspace(case: Case) -> Steps[Cause | None]:
    """Are there extra characters around the id, and does the key have access to it?"""
    workspace = case.sent.workspace or ""
    alone = clean(workspace).partition("#")[0].rstrip()
    if alone == workspace or not is_uuid(alone):
        return None
    if (yield from case.works(replace(case.sent, workspace=alone))) != "good":
        return None
    summary = "extra characters around the workspace id, such as quotes or a comment."
    step = steps.correct(case, "WORKSPACE_ID", f"it must be only the id, {alone}")
    # As with a key, the extra characters are never meant, so they may be removed anywhere.
    return _meant(case, alone, summary, step, may_repair=True)


def _what_was_meant(case: Case, workspace: str, standing: Standing) -> Steps[Cause | None]:
    """If the workspace is set to a URL or a name instead of its id, find the id."""
    address = web_address(workspace)
    if address is not None:
        access = replace(case.sent, workspace=address.owner)
        if (yield from case.works(access)) != "good":
            return _useless_address(case, address, standing)
        summary = f"the workspace is set to a web URL; the id in it is {address.owner}."
        may_repair = not case.held.workspace.source.is_explicit
        return _meant(case, address.owner, summary, may_repair=may_repair)
    name = workspace.strip().casefold()
    same = [w for w in standing.workspaces or () if w.name and w.name.casefold() == name]
    if len(same) != 1:
        return None
    summary = f"{workspace!r} is a workspace name, not its id: {same[0].id}."
    return _meant(case, same[0].id, summary, may_repair=False)


def _meant(
    case: Case, workspace: str, summary: str, step: str = "", *, may_repair: bool
) -> Cause:
    """The cause if the right id is proven. ``step``: the fix; by default, to set it."""
    held = case.held.workspace
    right = replace(case.held, workspace=Setting(workspace, held.source))
    todo = (step or steps.put(case, "WORKSPACE_ID", workspace),)
    cause = Cause("workspace-mismatch", summary, todo, right=right)
    how = f"used workspace {workspace}"
    return case.repaired(cause, right, how) if may_repair else cause


def _useless_address(case: Case, address: WebAddress, standing: Standing) -> Cause:
    """The cause for a web URL of a workspace that the key has no access to."""
    region, here = address.region, case.region
    step = steps.choose_workspace(case)
    if address.owner == standing.organization:
        why = "the id in it is your organization's, not a workspace's"
    elif region and here and region != here:
        why = f"it is in region {region.name}, but the endpoint is in {here.name}"
        step = f"to use it, set the endpoint to {region.api}, with a key of that region"
    else:
        why = f"the key cannot use {address.owner}, the id in it"
    summary = f"the workspace is set to a web URL, and {why}."
    return Cause("workspace-mismatch", summary, (step,))


def url_as_workspace(case: Case) -> Cause | None:
    """Report a web URL of another region that was set as the workspace; never a cause."""
    address, here = web_address(case.sent.workspace or ""), case.region
    if address and address.region and here and address.region != here:
        text = (
            f"the workspace is set to a web URL of region {address.region.name}, but the "
            f"endpoint is in {here.name}"
        )
        case.note("region", "unknown", text)
    return None


def _what_is(case: Case, workspace: str, standing: Standing) -> Steps[str]:
    """What this id or text is, if it is proven not to be a workspace."""
    if not is_uuid(workspace):
        return f"{workspace!r} is not a workspace id, which is a UUID"
    owner = standing.organization
    if owner is None and standing.workspaces is None:
        who = yield from case.ask_who(replace(case.sent, workspace=None))
        data = who.data() if isinstance(who, Reply) else None
        owner = answers.text_of(data, "organization_id") if isinstance(data, dict) else None
    if workspace == owner:
        return f"{workspace} is the id of your organization, not of a workspace"
    within = case.workspaces[0].id if len(case.workspaces) == 1 else None
    access = replace(case.sent, workspace=within)
    found = yield from case.ask(answers.probe(access, f"/sessions/{workspace}"))
    project = answers.object_of(found) or {}
    if project.get("id") != workspace:
        return ""
    name = answers.text_of(project, "name")
    return f"{workspace} is the id of the project {name!r}, not of a workspace"


def default_workspace_refused(case: Case) -> Steps[Cause | None]:
    """No workspace was sent. Does the default one refuse the key, and another accept it?"""
    if case.sent.workspace or case.sent.session:
        return None
    standing = yield from case.identify(case.sent)
    if not standing.workspaces or (yield from case.admits(case.sent)) != "bad":
        return None
    if answers.says_org_scoped((yield from case.ask_who(case.sent))):
        return (yield from _required(case, standing, _NONE_SENT))
    states = []
    for workspace in standing.workspaces[:_MOST_WORKSPACES_TRIED]:
        access = replace(case.sent, workspace=workspace.id)
        states.append((yield from case.admits(access)))
    if "good" not in states:
        return None
    summary = "no workspace is set, and the key's default workspace refuses it."
    return (yield from _required(case, standing, summary))


def unowned_prompt(case: Case) -> Cause | None:
    """A prompt call that failed for a reason other than the key: not a refusal."""
    return None if case.refusal.reply.status in (401, 403) else NO_REFUSAL
