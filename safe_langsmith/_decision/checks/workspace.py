"""Does the key need a workspace, and can it use the one that was sent?"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision.case import (
    NO_REFUSAL,
    Case,
    Cause,
    Listed,
    Repair,
    Standing,
    admits,
    identify,
    is_further_destination,
    probe,
    says_org_scoped,
    text_in,
    usable,
    works,
)
from safe_langsmith._decision.protocol import Reply, Steps
from safe_langsmith._diagnosis import Code
from safe_langsmith._knowledge.hosts import (
    WebAddress,
    region_of,
    settings_page,
    web_address,
)
from safe_langsmith._knowledge.keys import clean, kind_of
from safe_langsmith._knowledge.operations import is_uuid
from safe_langsmith._settings.sources import Setting, Source

_MOST_WORKSPACES_TRIED = 3


def workspace_required(case: Case) -> Steps[Cause | None]:
    """The server says that this key needs a workspace. Is there exactly one answer?"""
    if case.refusal.generic:
        return None
    if case.sent.workspace:
        return Cause(
            "workspace-required",
            f"LangSmith says that no workspace arrived ({case.refusal.reply.message}), "
            f"although the header X-Tenant-Id was sent, with {case.sent.workspace}.",
            ("ask who runs your network whether a proxy removes the header X-Tenant-Id",),
        )
    identity = yield from identify(case, case.sent)
    case.workspaces = identity.workspaces or ()
    if identity.workspaces is None:
        case.note("workspace", "unknown", "the key's workspaces could not be listed")
    return (yield from _required(case, "this key needs a workspace, and none was sent."))


def _required(case: Case, summary: str) -> Steps[Cause]:
    """Fill in the workspace where one answer exists: the one named, or the only one."""
    named = named_workspaces(case)
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
    if is_further_destination(case):
        step = _name_for_destination(str(chosen))
    if held.workspace.source.is_explicit:
        return Cause("workspace-required", summary, (step,))
    name = next((f" ({w.name})" for w in case.workspaces if w.id == chosen and w.name), "")
    how = f"used workspace {chosen}{name}, {why}"
    repair = Repair(replace(held, workspace=workspace), case.sent.session, how, step)
    return Cause("workspace-required", summary, (step,), repair)


def named_workspaces(case: Case) -> list[Setting]:
    """The workspaces that are named anywhere but to this client, each once.

    LANGSMITH_WORKSPACE_ID of the environment is the setting itself, so it comes alone.
    """
    setup = case.setup
    environ, dotenv = usable(case, setup.environ), usable(case, setup.dotenv)
    if environ.workspace.value:
        return [environ.workspace]
    # An alias comes with what else its place has.
    kinds = {"environment": environ is setup.environ, "dotenv": dotenv is setup.dotenv}
    aliases = [s for s in setup.aliases if kinds.get(s.source.kind)]
    places = (*aliases, usable(case, setup.profile).workspace, dotenv.workspace)
    return list({s.value: s for s in reversed(places) if s.value}.values())


def _pick_workspace(case: Case) -> tuple[str, ...]:
    example = case.workspaces[0].id if case.workspaces else "..."
    if is_further_destination(case):
        return (_name_for_destination(example),)
    where = "" if case.workspaces else "; its id is in the web app, below Settings"
    return (f'pass workspace_id="{example}", or set LANGSMITH_WORKSPACE_ID{where}',)


def _name_workspace(case: Case, workspace: str) -> str:
    if is_further_destination(case):
        return _name_for_destination(workspace)
    return f'pass workspace_id="{workspace}", or set LANGSMITH_WORKSPACE_ID={workspace}'


def _name_for_destination(workspace: str) -> str:
    return (
        f'name it for this destination: auth={{"api_key": ..., "tenant_id": "{workspace}"}}'
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
    meant = yield from _what_was_meant(case, workspace, identity)
    if meant is not None:
        return meant
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


def soiled_workspace(case: Case) -> Steps[Cause | None]:
    """Is there more in the workspace than its id, and can the key use that one?"""
    workspace = case.sent.workspace or ""
    alone = clean(workspace).partition("#")[0].rstrip()
    if alone == workspace or not is_uuid(alone):
        return None
    if (yield from works(case, replace(case.sent, workspace=alone))) != "good":
        return None
    summary = "there is more in the workspace than its id."
    where = case.setup.held.workspace.source
    step = f"correct {where}: it should hold the id alone, {alone}"
    # As with a key: what is around it is nobody's choice.
    return _meant(case, alone, summary, step, may_repair=True)


def _what_was_meant(case: Case, workspace: str, identity: Standing) -> Steps[Cause | None]:
    """A workspace that is named, but not by its id: find the id."""
    where = case.setup.held.workspace.source
    address = web_address(workspace)
    if address is not None:
        access = replace(case.sent, workspace=address.owner)
        if (yield from works(case, access)) != "good":
            return _useless_address(case, address, identity)
        summary = f"a web address was given as workspace; the id in it is {address.owner}."
        step = _name_workspace(case, address.owner)
        return _meant(case, address.owner, summary, step, may_repair=not where.is_explicit)
    same = [
        w
        for w in identity.workspaces or ()
        if w.name and w.name.casefold() == workspace.strip().casefold()
    ]
    if len(same) != 1:
        return None
    summary = f"{workspace!r} is the name of a workspace, and not its id: {same[0].id}."
    step = _name_workspace(case, same[0].id)
    return _meant(case, same[0].id, summary, step, may_repair=False)


def _meant(
    case: Case, workspace: str, summary: str, step: str, *, may_repair: bool
) -> Cause:
    held = case.setup.held
    settings = replace(held, workspace=Setting(workspace, held.workspace.source))
    if not may_repair:
        return Cause("workspace-mismatch", summary, (step,), right=settings)
    how = f"used workspace {workspace}"
    repair = Repair(settings, case.sent.session, how, step)
    return Cause("workspace-mismatch", summary, (step,), repair)


def _useless_address(case: Case, address: WebAddress, identity: Standing) -> Cause:
    """A web address whose workspace the key cannot use: say what is known of it."""
    region, here = address.region, region_of(case.sent.endpoint)
    steps = _pick_workspace(case)
    if address.owner == identity.organization:
        why = "the id in it is your organization's, not a workspace's"
    elif region and here and region != here:
        why = f"it is of region {region.name}, and the endpoint of {here.name}"
        steps = (f"set LANGSMITH_ENDPOINT={region.api}, with a key of that region",)
    else:
        why = f"the key cannot use {address.owner}, the id in it"
    summary = f"a web address was given as workspace, and {why}."
    return Cause("workspace-mismatch", summary, steps)


def address_as_workspace(case: Case) -> Steps[Cause | None]:
    """Does a web address that was given as workspace tell another region? A finding."""
    yield from ()
    address = web_address(case.sent.workspace or "")
    here = region_of(case.sent.endpoint)
    if address and address.region and here and address.region != here:
        text = (
            f"the workspace is a web address of region {address.region.name}, and the "
            f"endpoint is of {here.name}: set LANGSMITH_ENDPOINT={address.region.api}"
        )
        case.note("region", "unknown", text)
    return None


def _what_is(case: Case, workspace: str, identity: Standing) -> Steps[str]:
    """Say what a text that is no workspace of the key is instead, where it is shown."""
    if not is_uuid(workspace):
        return f"{workspace!r} is not a workspace id, which is a UUID"
    owner = identity.organization
    if owner is None and identity.workspaces is None:
        who = yield from case.ask(probe(replace(case.sent, workspace=None), "/auth/public"))
        data = who.data() if isinstance(who, Reply) else None
        owner = text_in(data.get("organization_id")) if isinstance(data, dict) else None
    if workspace == owner:
        return f"{workspace} is the id of your organization, not of a workspace"
    within = case.workspaces[0].id if len(case.workspaces) == 1 else None
    access = replace(case.sent, workspace=within)
    project = yield from case.ask(probe(access, f"/sessions/{workspace}"))
    data = project.data() if isinstance(project, Reply) and project.status == 200 else None
    if isinstance(data, dict) and data.get("id") == workspace:
        name = text_in(data.get("name"))
        return f"{workspace} is the id of the project {name!r}, not of a workspace"
    return ""


def refused_home(case: Case) -> Steps[Cause | None]:
    """No workspace was sent. Does the key's own refuse it, and another one not?"""
    if case.sent.workspace or case.sent.session:
        return None
    identity = yield from identify(case, case.sent)
    if not identity.workspaces or (yield from admits(case, case.sent)) != "bad":
        return None
    if says_org_scoped((yield from case.ask(probe(case.sent, "/auth/public")))):
        case.workspaces = identity.workspaces
        return (
            yield from _required(case, "this key needs a workspace, and none was sent.")
        )
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
