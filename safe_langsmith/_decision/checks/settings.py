"""Checks whether a setting has changed since the client was created.

Defines which values may replace others; `Case.may_move` defines the allowed hosts.
"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision import steps
from safe_langsmith._decision.case import Case, Cause, Repair
from safe_langsmith._decision.checks.workspace import named_workspaces
from safe_langsmith._decision.protocol import Steps
from safe_langsmith._diagnosis import Code
from safe_langsmith._knowledge.hosts import same_origin, shown
from safe_langsmith._knowledge.keys import can_be_sent, clean, kind_of
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.construction import NAMES, Name
from safe_langsmith._settings.sources import FIELDS, Setting, Settings, Source


def stale_setting(case: Case) -> Steps[Cause | None]:
    """Was a setting changed since the client was created, and does the newer one work?"""
    for finding in disagreements(case.setup):
        case.note(finding.subject, finding.state, finding.text)
    for fresh in newer_settings(case):
        changed = _changes(case.held, fresh)
        # A good key that lacks a permission is not outdated, and is not replaced.
        good = case.works if set(changed) == {"workspace"} else case.admits
        if (yield from good(case.sent)) != "bad":
            return None
        outcome = yield from case.works(Repair(fresh, case.sent.session).access)
        names = " and ".join(changed)
        summary = f"the client uses an outdated {names}."
        if outcome == "good":
            return replaced(case, "stale-setting", summary, fresh)
        if outcome == "bad" and (cause := (yield from _misplaced(case, fresh, summary))):
            return cause
        told = "was rejected too" if outcome == "bad" else "could not be tried"
        sources = ", ".join(str(source) for source in changed.values())
        case.note("settings", outcome, f"the newer {names}, from {sources}, {told}")
    return (yield from _removed_workspace(case))


def _misplaced(case: Case, fresh: Settings, summary: str) -> Steps[Cause | None]:
    """Is the newer key good, but without access to the workspace?"""
    if fresh.key == case.held.key or not fresh.workspace.value:
        return None
    standing = yield from case.identify(Repair(fresh, case.sent.session).access)
    if standing.state != "good":
        return None
    case.workspaces = standing.workspaces or ()
    summary += f" The newer one has no access to workspace {fresh.workspace.value}."
    todo = (*_steps_to_use(case, fresh), steps.choose_workspace(case))
    return Cause("stale-setting", summary, todo)


def _removed_workspace(case: Case) -> Steps[Cause | None]:
    """Was the workspace removed from the environment, but not from the client?"""
    held = case.held
    if held.workspace.source.kind not in ("environment", "cache"):
        return None
    if named_workspaces(case) or (yield from case.works(case.sent)) != "bad":
        return None
    standing = yield from case.identify(case.sent)
    only = standing.only_workspace
    if only is None:
        return None
    case.workspaces = standing.workspaces or ()
    summary = "the client still uses a workspace that is no longer in the environment."
    how = f"used workspace {only.value}, the only one that this key can use"
    fresh = replace(held, workspace=only)
    cause = Cause("stale-setting", summary, _steps_to_use(case, fresh))
    return case.repaired(cause, fresh, how)


def _parts(place: Settings) -> dict[str, Setting]:
    return {"key": place.key, "endpoint": place.endpoint, "workspace": place.workspace}


def _changes(held: Settings, fresh: Settings) -> dict[str, Source]:
    """The settings that differ in the newer reading, each with its new source."""
    old, news = _parts(held), _parts(fresh).items()
    return {n: new.source for n, new in news if new.value not in (None, old[n].value)}


def newer_settings(case: Case) -> list[Settings]:
    """The settings that a repair may try: the client's, each updated from one source."""
    found: list[Settings] = []
    setup, held = case.setup, case.held
    for place in (setup.environ, setup.dotenv, setup.colab, setup.profile):
        newer = case.usable(place)
        if newer.key.value != held.key.value:
            newer = _cleaned(newer)
        fresh = _merge(held, newer)
        if fresh.access == held.access or fresh in found:
            continue
        if _is_of_this_host(case, newer, fresh):
            found.append(fresh)
    return found


def _is_of_this_host(case: Case, newer: Settings, fresh: Settings) -> bool:
    """Whether a newer key belongs to the host that it would be sent to.

    A key that comes with an endpoint belongs to that endpoint; one without, to the host
    that the program chose.
    """
    if fresh.key is not newer.key or newer.key.value is None:
        return True
    if same_origin(newer.endpoint.value or case.home, fresh.endpoint.value or ""):
        return True
    text = f"{newer.key.source} is for another endpoint; not tried"
    case.note("settings", "unknown", text)
    return False


def unused(case: Case) -> tuple[str, ...]:
    """The steps for values that may be right, but that a repair must not use."""
    setup, todo = case.setup, []
    for place in (setup.environ, setup.colab, setup.profile):
        source, there = place.endpoint.source, shown(place.endpoint.value or "")
        is_used = case.usable(place).endpoint is place.endpoint
        if not (is_used or place.endpoint.implied):
            todo.append(
                f"if {there}, from {source}, is right, create a client that uses it"
            )
    in_file = setup.in_file
    if not (setup.dotenv_counts and case.usable(in_file) is in_file):
        todo += steps.load(case, _sources(case.held, in_file))
    if case.endpoint_mentions:
        todo += steps.mentioned(case, "ENDPOINT")
    return tuple(dict.fromkeys(todo))


def _sources(held: Settings, fresh: Settings) -> dict[Name, Source]:
    """As `_changes`, with the names that steps use."""
    changed = _changes(held, fresh)
    return {name: changed[FIELDS[name]] for name in NAMES if FIELDS[name] in changed}


def _cleaned(newer: Settings) -> Settings:
    """The settings with a cleaned key, if there are extra characters around it."""
    key = newer.key.value or ""
    alone = clean(key)
    if alone == key or (can_be_sent(key) and kind_of(alone) not in ("personal", "service")):
        return newer
    left = Setting(alone, newer.key.source) if can_be_sent(alone) and alone else Setting()
    return replace(newer, key=left)


def _merge(held: Settings, newer: Settings) -> Settings:
    """The client's settings with the newer values, except where the code sets one."""
    new = _parts(newer)
    return Settings(
        **{
            name: old if old.source.is_explicit or not new[name].value else new[name]
            for name, old in _parts(held).items()
        }
    )


def replaced(case: Case, code: Code, summary: str, fresh: Settings) -> Cause:
    """The cause for an outdated value, with the repair that uses the newer one."""
    changed = _changes(case.held, fresh).items()
    news = ", ".join(f"{name} from {source}" for name, source in changed)
    cause = Cause(code, summary, _steps_to_use(case, fresh))
    return case.repaired(cause, fresh, f"used the newer {news}")


def _steps_to_use(case: Case, fresh: Settings) -> tuple[str, ...]:
    """The steps to use newer values, worded for where they are."""
    todo = ["create the client after its settings are set (or recreate it)"]
    sources = _sources(case.held, fresh).items()
    of_file = {name: source for name, source in sources if source.kind == "dotenv"}
    of_profile = {name: source for name, source in sources if source.kind == "profile"}
    if of_file:
        todo = steps.load(case, of_file, "")
    elif of_profile:
        todo = steps.unhide(case, of_profile) or todo
    secret = next((source.name for _, source in sources if source.kind == "colab"), "")
    if secret:
        value = f'userdata.get("{secret}")'
        todo = [f'set os.environ["{secret}"] = {value} before the client is created']
    return tuple(todo)
