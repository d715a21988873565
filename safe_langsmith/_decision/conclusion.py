"""Turns a cause into its `Diagnosis`: everything that people see, free of secrets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from safe_langsmith._decision.answers import sender_in
from safe_langsmith._decision.case import Case, Cause, Repair
from safe_langsmith._decision.steps import variable
from safe_langsmith._diagnosis import Diagnosis, Fix, SettingInfo, WorkspaceInfo
from safe_langsmith._knowledge.hosts import region_of, shown
from safe_langsmith._knowledge.keys import clean, kind_of, mask, scrub
from safe_langsmith._settings.construction import reworded
from safe_langsmith._settings.sources import Setup

_LONGEST_MESSAGE = 300
_LONGEST_TEXT = 500
# Fields with only our own words. All other texts may contain input from elsewhere.
_OURS = frozenset(
    {"code", "key", "key_kind", "kind", "region", "required_permission", "state", "subject"}
)
# Values that read the same with and without quotes, in any `.env` file and shell.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
# Not "profile": a profile is corrected in its file, not overridden with a variable.
_WRITABLE = ("environment", "dotenv", "default", "none")


def conclude(case: Case, cause: Cause, repair: Repair | None = None) -> Diagnosis:
    """Build the diagnosis. With a ``repair``, the request succeeded in the end."""
    refusal = case.refusal
    held = repair.settings if repair else case.held
    access = repair.access if repair else case.sent
    secrets = (*case.setup.secrets, case.sent.key or "", access.key or "", *refusal.secrets)

    def safe(text: str) -> str:
        # Mask keys before shortening: a part of a key would not be recognized.
        return _cut(scrub(reworded(text, case.setup.words), secrets), _LONGEST_TEXT)

    region = region_of(access.endpoint)
    raw = Diagnosis(
        code=cause.code,
        resolved=repair is not None,
        summary=cause.summary,
        next_steps=cause.next_steps,
        findings=tuple(case.findings),
        operation=refusal.operation,
        status_code=None if refusal.reply.came_as_get else refusal.reply.status or None,
        server_message=refusal.reply.words,
        key=mask(access.key),
        key_kind="oauth" if access.session else kind_of(access.key),
        key_source=str(held.key.source),
        endpoint=shown(access.endpoint),
        endpoint_source=str(held.endpoint.source),
        region=region.name if region else None,
        workspace_id=access.workspace or None,
        workspace_source=str(held.workspace.source),
        workspaces=tuple(WorkspaceInfo(w.id, w.name) for w in case.workspaces),
        required_permission=cause.required_permission,
        identity=sender_in(access, *case.told_about(access)),
    )
    told: Diagnosis = _made_safe(raw, safe)
    return replace(
        told,
        server_message=_cut(" ".join(told.server_message.split()), _LONGEST_MESSAGE),
        settings=_settings_of(told, case.setup, safe),
        fixes=tuple(f for f in _fixes(case, cause) if safe(f.value) == f.value),
    )


def _made_safe(value: Any, safe: Callable[[str], str]) -> Any:
    """A copy in which each text is made safe, except in the fields in ``_OURS``."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, tuple):
        return tuple(_made_safe(item, safe) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [f.name for f in fields(value) if f.name not in _OURS]
    return replace(value, **{n: _made_safe(getattr(value, n), safe) for n in names})


def _settings_of(
    told: Diagnosis, setup: Setup, safe: Callable[[str], str]
) -> tuple[SettingInfo, ...]:
    """Each active setting, its source, and the sources that were not used."""
    key = "a login session" if told.key_kind == "oauth" and setup.login else told.key
    project, tracing = setup.project, setup.tracing
    rows = (
        ("key", key, told.key_source),
        ("endpoint", told.endpoint, told.endpoint_source),
        ("workspace", told.workspace_id or "none", told.workspace_source),
        ("project", project.value or "none", str(project.source)),
        ("tracing", tracing.value or "none", str(tracing.source)),
    )
    infos = []
    for name, value, source in rows:
        others = [other.text for other in setup.passed_over if other.setting == name]
        # A repair may have used a source that was not used before.
        left = tuple(safe(text) for text in others if not text.startswith(f"{source} ("))
        infos.append(SettingInfo(name, safe(value), safe(source), left))
    return tuple(infos)


def _fixes(case: Case, cause: Cause) -> list[Fix]:
    """The proven endpoint and workspace that are not configured yet.

    Empty if they were proven with another key, since they may fit only that one, or if
    the repair is only for reads: a write could land in a workspace that was not named.
    """
    if case.earlier:  # compare with what is configured, not with an earlier repair
        case = replace(case, setup=replace(case.setup, held=case.earlier[0][0]))
    held, repair = case.held, cause.repair
    right = repair.settings if repair else cause.right
    if right is None or (repair and repair.for_reads):
        return []
    if clean(right.key.value or "") != clean(held.key.value or ""):
        return []
    rows = [
        (variable(case, "ENDPOINT"), held.endpoint, right.endpoint.value or ""),
        (variable(case, "WORKSPACE_ID"), held.workspace, right.workspace.value or ""),
    ]
    if cause.code == "wrong-region" and kind_of(held.key.value) == "personal":
        del rows[1]  # such a key has its own default workspace there
    return [
        Fix(name, new)
        for name, old, new in rows
        if name
        and new != (old.value or "")
        and old.source.kind in _WRITABLE
        and _PLAIN.fullmatch(new)
    ]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\u2026"
