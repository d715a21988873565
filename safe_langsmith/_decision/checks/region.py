"""Checks whether another LangSmith region accepts the key.

`_may_ask` is the rule for which keys may be sent there. Only the key is sent, over
https, and the transports make sure that certificates are checked.
"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision import steps
from safe_langsmith._decision.answers import Standing, is_langsmith, listed_in, probe
from safe_langsmith._decision.case import Case, Cause
from safe_langsmith._decision.checks.endpoint import why_not_moved
from safe_langsmith._decision.checks.workspace import named_workspaces
from safe_langsmith._decision.protocol import Steps, Unreachable
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import REGIONS, Region
from safe_langsmith._knowledge.keys import clean, kind_of, oddity
from safe_langsmith._knowledge.operations import is_read
from safe_langsmith._settings.sources import FOUND_BY_ASKING, Setting, Settings


def wrong_region(case: Case) -> Steps[Cause | None]:
    """The key is rejected here. Which other regions accept it?"""
    key, here = clean(case.sent.key or ""), case.region
    if here is None or not _may_ask(case, key):
        return None
    alone = Access(case.sent.endpoint, key)
    if (yield from case.identify(alone)).state != "bad":
        return None
    if not is_langsmith((yield from case.ask_info(here.api))):
        return None
    others = [region for region in REGIONS if region != here]
    found = yield from _ask(case, others, key)
    accepting = [region for region in others if found[region].state == "good"]
    sure = all(found[region].state != "unknown" for region in others)
    if len(accepting) == 1:
        (there,) = accepting
        case.note("region", "good", f"the {there.name} region accepts this key")
        summary = f"this key belongs to region {there.name}, not to {here.name}."
        cause = Cause("wrong-region", summary, (steps.put(case, "ENDPOINT", there.api),))
        return _move(case, there, found[there], cause, sure=sure)
    if accepting:
        names = _names(accepting)
        case.note("region", "good", f"{names} accept this key")
        summary = f"this key belongs to {len(accepting)} other regions: {names}."
        return Cause("wrong-region", summary, (steps.choose_region(case, accepting),))
    rejecting = [region for region in others if found[region].state == "bad"]
    if rejecting:
        case.note("region", "bad", f"{_names(rejecting)} rejected this key too")
    if not sure:
        return None
    summary = f"no LangSmith region accepts this key (checked all {len(REGIONS)})."
    todo = steps.or_new_key(case, more=" (or at the same page of your region)")
    return Cause("key-rejected", summary, todo)


def _may_ask(case: Case, key: str) -> bool:
    """Whether this key may be sent to the other official hosts.

    Only if it looks like a LangSmith key: placeholders, keys of other vendors and login
    sessions are never sent there.
    """
    if kind_of(key) not in ("personal", "service") or oddity(key):
        return False
    return _endpoint_is_open(case) if case.probe_regions is None else case.probe_regions


def _endpoint_is_open(case: Case) -> bool:
    """Whether no endpoint is configured or named anywhere."""
    held = case.held.endpoint.source
    if held.kind not in ("default", "none") and held != FOUND_BY_ASKING:
        return False
    # A request with its own key, such as a replica's, also has its own endpoint.
    has_own_key = case.held.key.source.kind == "request"
    return not (has_own_key or case.endpoint_mentions or case.named_endpoints)


def _ask(case: Case, regions: list[Region], key: str) -> Steps[dict[Region, Standing]]:
    """Ask all these regions at the same time whether they accept a key."""
    there = [Access(region.api, key) for region in regions]
    lists = yield from case.ask_all(probe(access, "/workspaces") for access in there)
    pairs = list(zip(there, lists, strict=True))
    unlisted = [access for access, said in pairs if listed_in(said) is None]
    yield from case.ask_all(probe(access, "/auth/public") for access in unlisted)
    found = {}
    for region, (access, said) in zip(regions, pairs, strict=True):
        # All responses have arrived: this only evaluates them.
        found[region] = yield from case.identify(access)
        if found[region].state == "unknown":
            text = f"could not check this key in the {region.name} region"
            if isinstance(said, Unreachable) and said.withheld:
                text += f": {said.reason}"
            case.note("region", "unknown", text)
    return found


def _move(
    case: Case, region: Region, standing: Standing, cause: Cause, *, sure: bool
) -> Cause:
    """The cause if exactly one region accepts the key, with its repair, if allowed.

    ``sure``: the others are proven to reject it.
    """
    held, todo = case.held, cause.next_steps
    if not sure or not _endpoint_is_open(case) or not case.may_move(region.api):
        moved = replace(held, endpoint=replace(held.endpoint, value=region.api))
        todo += why_not_moved(case)
        return replace(cause, next_steps=todo, right=moved if sure else None)
    case.workspaces = standing.workspaces or ()
    workspace, is_certain = _workspace(case, standing)
    how = f"used {region.api}, the only region that accepts this key"
    if not is_certain:
        todo += (steps.choose_workspace(case),)
        cause = replace(cause, next_steps=todo)
        if not is_read(case.refusal.method, case.refusal.path):
            return replace(cause, summary=f"{cause.summary} {_unwritten(standing)}")
        how += ", for reads only until a workspace is named"
    key = replace(held.key, value=clean(case.sent.key or ""))
    settings = Settings(key, Setting(region.api, FOUND_BY_ASKING), workspace)
    return case.repaired(cause, settings, how, for_reads=not is_certain)


def _unwritten(standing: Standing) -> str:
    several = f"it has {len(standing.workspaces or ())} workspaces there"
    known = several if standing.workspaces else "its workspaces there are not known"
    return f"Nothing was written: {known}, and none was named."


def _workspace(case: Case, standing: Standing) -> tuple[Setting, bool]:
    """The workspace to use there, and whether it is certain: named, or the only one.

    If workspaces cannot be listed, there may be several.
    """
    held, only = case.held.workspace, standing.only_workspace
    if held.value:
        return held, True
    if held.source.is_explicit:
        return held, only is not None
    named = named_workspaces(case)
    if len(named) == 1 and standing.lists(named[0].value or ""):
        return named[0], True
    for setting in named:
        text = f"{setting.source} names {setting.value}; no workspace was chosen"
        case.note("workspace", "unknown", text)
    return (only, True) if only and not named else (held, False)


def _names(regions: list[Region]) -> str:
    *first, last = [region.name for region in regions]
    return f"{', '.join(first)} and {last}" if first else last
