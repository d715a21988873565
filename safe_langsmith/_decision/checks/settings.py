"""Was a setting changed since the client was made, and does the newer one work?

Here stands what may replace what; which hosts a request may go to is in `Case.may_move`.
"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision.case import Case, Cause, Repair
from safe_langsmith._decision.checks.workspace import named_workspaces
from safe_langsmith._decision.protocol import Steps
from safe_langsmith._diagnosis import Code
from safe_langsmith._knowledge.hosts import same_origin, shown
from safe_langsmith._knowledge.keys import can_be_sent, clean, kind_of
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.sources import Setting, Settings, Source


def stale_setting(case: Case) -> Steps[Cause | None]:
    """Was a setting changed since the client was made, and does the newer one work?"""
    for finding in disagreements(case.setup):
        case.note(finding.subject, finding.state, finding.text)
    for fresh in newer_settings(case):
        changed = _changes(case.held, fresh)
        # A good key that lacks a permission is not stale, and is not replaced.
        good = case.works if set(changed) == {"workspace"} else case.admits
        if (yield from good(case.sent)) != "bad":
            return None
        outcome = yield from case.works(Repair(fresh, case.sent.session).access)
        names = " and ".join(changed)
        if outcome == "good":
            summary = f"the client still uses an old {names}."
            return replaced(case, "stale-setting", summary, fresh)
        told = "was refused too" if outcome == "bad" else "could not be tried"
        sources = ", ".join(str(source) for source in changed.values())
        case.note("settings", outcome, f"the newer {names}, from {sources}, {told}")
    return (yield from _removed_workspace(case))


def _removed_workspace(case: Case) -> Steps[Cause | None]:
    """A workspace that was taken out of the environment and lives on in the client."""
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
    summary = "the client still uses a workspace that was taken out of the environment."
    return replaced(case, "stale-setting", summary, replace(held, workspace=only))


def _parts(place: Settings) -> dict[str, Setting]:
    return {"key": place.key, "endpoint": place.endpoint, "workspace": place.workspace}


def _changes(held: Settings, fresh: Settings) -> dict[str, Source]:
    """The settings that another reading has in another way, and where it has them from."""
    old, news = _parts(held), _parts(fresh).items()
    return {n: new.source for n, new in news if new.value not in (None, old[n].value)}


def newer_settings(case: Case) -> list[Settings]:
    """The settings that a newer reading gives, where the rule lets them be used."""
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
    """Whether a newer key is for the host that it would go to.

    A key that comes with an endpoint is for that; one without is for the host that the
    program chose.
    """
    if fresh.key is not newer.key or newer.key.value is None:
        return True
    if same_origin(newer.endpoint.value or case.home, fresh.endpoint.value or ""):
        return True
    text = f"{newer.key.source} is for another endpoint; not tried"
    case.note("settings", "unknown", text)
    return False


def unused(case: Case) -> tuple[str, ...]:
    """The steps for what a repair may not use, and what may be right all the same."""
    setup, steps = case.setup, []
    for place in (setup.environ, setup.colab, setup.profile):
        source, there = place.endpoint.source, shown(place.endpoint.value or "")
        if case.usable(place) is not place and not place.endpoint.implied:
            steps.append(f"if {there}, from {source}, is right, make a client that uses it")
    steps += _not_loaded(case)
    for mention in case.endpoint_mentions:
        if mention.name:
            step = f"if {mention.name} is the address to use, name it LANGSMITH_ENDPOINT"
            steps.append(step)
        elif mention.place not in " ".join(steps):
            what = "LANGSMITH_ENDPOINT=https://..."
            steps.append(f"if {mention.place} is to name the endpoint, write {what} there")
    return tuple(dict.fromkeys(steps))


def _not_loaded(case: Case) -> list[str]:
    """The step for settings in a `.env` that are not those in force."""
    in_file = case.setup.in_file
    if case.setup.dotenv_counts and case.usable(in_file) is in_file:
        return []
    lines = [source.place for source in _changes(case.held, in_file).values()]
    if not lines:
        return []
    where = " and ".join([lines[0], *(line.rpartition(", ")[2] for line in lines[1:])])
    right = "is right" if len(lines) == 1 else "are right"
    step = f"if {where} {right}, call load_dotenv(override=True)"
    return [f"{step} before the client is made"]


def _cleaned(newer: Settings) -> Settings:
    """With the key alone, where something stands around it that is no part of a key."""
    key = newer.key.value or ""
    alone = clean(key)
    if alone == key or (can_be_sent(key) and kind_of(alone) not in ("personal", "service")):
        return newer
    left = Setting(alone, newer.key.source) if can_be_sent(alone) and alone else Setting()
    return replace(newer, key=left)


def _merge(held: Settings, newer: Settings) -> Settings:
    """The held settings with what is newer; an explicit choice is never overridden."""
    new = _parts(newer)
    return Settings(
        **{
            name: old if old.source.is_explicit or not new[name].value else new[name]
            for name, old in _parts(held).items()
        }
    )


def replaced(case: Case, code: Code, summary: str, fresh: Settings) -> Cause:
    """The cause of a value that a newer one replaces, with that repair."""
    changed = _changes(case.held, fresh)
    news = ", ".join(f"{name} from {source}" for name, source in changed.items())
    step = "make the client after its settings are set (or make it anew)"
    if any(source.kind == "dotenv" for source in changed.values()):
        step = "call load_dotenv(override=True) before the client is made"
    secret = next((s.name for s in changed.values() if s.kind == "colab"), "")
    if secret:
        value = f'userdata.get("{secret}")'
        step = f'set os.environ["{secret}"] = {value} before the client is made'
    return case.repaired(Cause(code, summary, (step,)), fresh, f"used the newer {news}")
