"""Does another LangSmith region know the key?

Here stands the rule of who may be asked: see `_may_ask`. They are sent the key alone, over
https, and the transports see to it that certificates are checked.
"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision.case import (
    Case,
    Cause,
    Repair,
    Standing,
    endpoint_mentions,
    identify,
    info_of,
    is_langsmith,
    listed_in,
    may_move,
    probe,
)
from safe_langsmith._decision.checks.endpoint import set_endpoint, why_not_moved
from safe_langsmith._decision.checks.workspace import named_workspaces
from safe_langsmith._decision.protocol import Steps, Unreachable
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import REGIONS, Region, region_of
from safe_langsmith._knowledge.keys import clean, kind_of, oddity
from safe_langsmith._knowledge.operations import is_read
from safe_langsmith._settings.sources import FOUND_BY_ASKING, Setting, Settings, Source


def wrong_region(case: Case) -> Steps[Cause | None]:
    """LangSmith does not know the key here. Does exactly one other region know it?"""
    key, here = clean(case.sent.key or ""), region_of(case.sent.endpoint)
    if here is None or not _may_ask(case, key):
        return None
    alone = Access(case.sent.endpoint, key)
    if (yield from identify(case, alone)).state != "bad":
        return None
    if not is_langsmith((yield from case.ask(info_of(here.api)))):
        return None
    others = [region for region in REGIONS if region != here]
    found = yield from _ask(case, others, key)
    knowing = [region for region in others if found[region].state == "good"]
    unknown = [region for region in others if found[region].state == "unknown"]
    if len(knowing) == 1:
        return _one(case, knowing[0], found[knowing[0]], sure=not unknown)
    if knowing:
        return _several(case, knowing)
    return None if unknown else _nobody(here)


def _may_ask(case: Case, key: str) -> bool:
    """Whether this key may be shown to the other official hosts.

    Only a text that looks like a key of LangSmith: a placeholder, a key of another
    vendor and a login session stay where they are.
    """
    if kind_of(key) not in ("personal", "service") or oddity(key):
        return False
    if case.probe_regions is None:
        return endpoint_is_open(case)
    return case.probe_regions


def endpoint_is_open(case: Case) -> bool:
    """Whether no endpoint is configured, nor named, anywhere."""
    setup = case.setup
    held = setup.held.endpoint.source
    if held.kind not in ("default", "none") and held != FOUND_BY_ASKING:
        return False
    # Who gives a request a key of its own, such as a replica's, gives it an endpoint too.
    if setup.held.key.source.kind == "request" or endpoint_mentions(case):
        return False
    places = (setup.environ, setup.in_file, setup.colab, setup.profile)
    return not any(p.endpoint.value and not p.endpoint.implied for p in places)


def _ask(case: Case, regions: list[Region], key: str) -> Steps[dict[Region, Standing]]:
    """What each region thinks of a key; they are asked at the same time."""
    there = [Access(region.api, key) for region in regions]
    lists = [probe(access, "/workspaces") for access in there]
    answers = yield from case.ask_all(lists)
    pairs = list(zip(there, answers, strict=True))
    unlisted = [access for access, said in pairs if listed_in(said) is None]
    yield from case.ask_all(probe(a, "/auth/public") for a in unlisted)
    found = {}
    for region, (access, said) in zip(regions, pairs, strict=True):
        # All is answered by now: this only judges.
        found[region] = yield from identify(case, access)
        if found[region].state == "unknown":
            why = (
                f": {said.reason}"
                if isinstance(said, Unreachable) and said.withheld
                else ""
            )
            text = f"the {region.name} region could not be asked for this key{why}"
            case.note("region", "unknown", text)
    strange = [r for r in regions if found[r].state == "bad"]
    if strange:
        case.note("region", "bad", f"{_names(strange)}: this key is not known there either")
    return found


def _one(case: Case, region: Region, identity: Standing, *, sure: bool) -> Cause:
    """Exactly one region knows the key. ``sure``: the others are shown not to."""
    case.note("region", "good", f"the {region.name} region knows this key")
    here = region_of(case.sent.endpoint)
    summary = (
        f"this key belongs to region {region.name}, not to {here.name if here else ''}."
    )
    step = set_endpoint(case, region.api)
    steps: tuple[str, ...]
    if not sure or not endpoint_is_open(case) or not may_move(case, region.api):
        steps = (step, *why_not_moved(case))
        held = case.setup.held
        moved = replace(held, endpoint=replace(held.endpoint, value=region.api))
        return Cause("wrong-region", summary, steps, right=moved if sure else None)
    case.workspaces = identity.workspaces or ()
    workspace, is_certain = _workspace(case, identity)
    steps = (step,)
    if not is_certain:
        name = "name the workspace: set LANGSMITH_WORKSPACE_ID, or pass workspace_id="
        steps = (step, name)
        if not is_read(case.refusal.method, case.refusal.path):
            return Cause("wrong-region", f"{summary} {_unwritten(identity)}", steps)
    settings = Settings(
        replace(case.setup.held.key, value=clean(case.sent.key or "")),
        Setting(region.api, FOUND_BY_ASKING),
        workspace,
    )
    how = f"used {region.api}, the only region that knows this key"
    if not is_certain:
        how += ", for reads alone until a workspace is named"
    repair = Repair(settings, False, how, "; ".join(steps), for_reads=not is_certain)
    return Cause("wrong-region", summary, steps, repair)


def _unwritten(identity: Standing) -> str:
    several = f"it has {len(identity.workspaces or ())} workspaces there"
    known = several if identity.workspaces else "its workspaces there are not known"
    return f"Nothing was written: {known}, and none was named."


def _workspace(case: Case, identity: Standing) -> tuple[Setting, bool]:
    """The workspace to use there, and whether it is named or the only one.

    What cannot be listed may be several.
    """
    held = case.setup.held.workspace
    if held.value:
        return held, True
    listed = identity.workspaces or ()
    only = listed[0] if len(listed) == 1 else None
    if held.source.is_explicit:
        return held, only is not None
    named = named_workspaces(case)
    if len(named) == 1 and identity.lists(named[0].value or ""):
        return named[0], True
    for setting in named:
        text = f"{setting.source} names {setting.value}; none was chosen"
        case.note("workspace", "unknown", text)
    if only is None or named:
        return held, False
    return Setting(only.id, Source("repair", "the only workspace of the key")), True


def _several(case: Case, regions: list[Region]) -> Cause:
    names = _names(regions)
    case.note("region", "good", f"{names}: this key is known there")
    steps = tuple(set_endpoint(case, region.api) for region in regions)
    summary = f"this key belongs to {len(regions)} other regions: {names}."
    return Cause("wrong-region", summary, (" or ".join(steps),))


def _nobody(here: Region) -> Cause:
    """The whole of LangSmith does not know the key."""
    summary = f"no region of LangSmith knows this key; all {len(REGIONS)} were asked."
    page = f"{here.web}/settings"
    step = f"make a new key at {page}, or at the same page of your region's web app"
    return Cause("key-rejected", summary, (step,))


def _names(regions: list[Region]) -> str:
    *first, last = [region.name for region in regions]
    return f"{', '.join(first)} and {last}" if first else last
