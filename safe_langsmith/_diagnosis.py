"""The result of a diagnosis: plain data, free of secrets, and its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from safe_langsmith._knowledge.keys import KIND_NAMES, KeyKind
from safe_langsmith._knowledge.notebook import MARKS, Row, table
from safe_langsmith._knowledge.operations import check_permission

Code = Literal[
    "ok",
    "unknown",
    "workspace-required",
    "workspace-mismatch",
    "service-key-scope",
    "stale-setting",
    "wrong-region",
    "wrong-endpoint",
    "key-missing",
    "key-malformed",
    "key-legacy",
    "key-rejected",
    "permission-missing",
    "feature-unavailable",
    "blocked-by-proxy",
    "transient-refusal",
    "access-denied",
]
State = Literal["good", "bad", "unknown"]

_SHORT = 100
_LONGEST_QUOTE = 160
# Lines: what the complete text should not exceed, and the minimum for what was found.
_MOST_LINES, _FEWEST_LINES = 13, 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its subject, its state, and what was found.

    ``state`` is "good", "bad", or "unknown": not determined, or only likely. ``subject`` is
    "key", "workspace", "region", "settings", "permission", "proxy" or "server".
    """

    subject: str
    state: State
    text: str

    def __str__(self) -> str:
        return f"{MARKS[self.state]} {self.subject}: {self.text}"


@dataclass(frozen=True, slots=True)
class WorkspaceInfo:
    """A workspace that the key can use. ``name`` is empty if unknown."""

    id: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.id}  {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who you are to LangSmith, and what you can do.

    ``kind`` is the kind of the key. ``user_id`` is None for a service key. ``workspace_id``
    is the workspace that requests go to, and ``workspaces`` are those that the key can use.
    ``permissions`` are those of the role in that workspace, such as "runs:create"; an
    access policy of the organization may deny more. What LangSmith did not say is None or
    empty (source: LangSmith's OpenAPI document, ``TenantForUser`` and ``PublicAuthInfo``).
    """

    kind: KeyKind
    organization_id: str | None = None
    user_id: str | None = None
    workspace_id: str | None = None
    workspace_name: str = ""
    role: str = ""
    permissions: tuple[str, ...] | None = None
    workspaces: tuple[WorkspaceInfo, ...] = ()

    def may(self, permission: str) -> bool | None:
        """Whether the role has a permission; None if that is unknown.

        LangSmith lists the permissions of a role in a workspace. They say nothing about
        permissions in the organization.

        Raises:
            ValueError: If the role does not have it, and LangSmith documents none of
                that name.
        """
        if permission in (self.permissions or ()):
            return True
        check_permission(permission)
        of_organization = permission.startswith("organization:")
        return None if self.permissions is None or of_organization else False

    def __str__(self) -> str:
        rows = ((f"{name}:" if name else "", value) for name, value in self._rows())
        return "\n".join(f"{name:<13} {value}" for name, value in rows)

    def _repr_html_(self) -> str:
        """The identity as a table for a notebook; every text in it is escaped."""
        return table(Row(name, value) for name, value in self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        key = KIND_NAMES[self.kind]
        who = f"user {self.user_id}, with a {key}" if self.user_id else f"a {key}"
        where = self.workspace_id or "not set"
        if self.workspace_name:
            where += f" ({self.workspace_name})"
        may = self.permissions
        usable = () if self.workspace_id else self.workspaces
        return [
            ("who", who),
            ("organization", self.organization_id or "unknown"),
            ("workspace", where),
            *(("" if n else "can use", str(w)) for n, w in enumerate(usable)),
            ("role", self.role or "unknown"),
            ("permissions", "unknown" if may is None else ", ".join(may) or "none"),
        ]


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting: its value, its source, and the values that were not used.

    ``name`` is "key", "endpoint", "workspace", "project" or "tracing". A key is masked;
    ``value`` is "none" if it is not set. ``passed_over`` are the other places that
    have a value for it: variables by name, files with their line.
    """

    name: str
    value: str
    source: str
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.source == "nowhere":
            return "not set"
        return self.value + (f" ({self.source})" if self.source != self.value else "")


@dataclass(frozen=True, slots=True)
class Fix:
    """A variable and its proven correct value. Never a key."""

    variable: str
    value: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}"


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """Why LangSmith refused a request, what was found, and what to do.

    Frozen, picklable and free of secrets: ``key`` is masked. ``str()`` gives the text
    for people, ``as_dict()`` plain data for JSON. ``code`` is stable; "ok" means that
    everything works, "unknown" that it could not be determined (no error has these two).
    ``resolved`` means that the request succeeded in the end. ``status_code`` is None if no
    request was refused. ``identity`` is None if LangSmith did not accept the key, or did
    not say whose it is. ``fixes`` are what ``safe-langsmith doctor --fix`` can write.
    """

    code: Code
    resolved: bool
    summary: str
    next_steps: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    operation: str = ""
    status_code: int | None = None
    server_message: str = ""
    key: str = ""
    key_kind: KeyKind = "unknown"
    key_source: str = ""
    endpoint: str = ""
    endpoint_source: str = ""
    region: str | None = None
    workspace_id: str | None = None
    workspace_source: str = ""
    workspaces: tuple[WorkspaceInfo, ...] = ()
    required_permission: str | None = None
    settings: tuple[SettingInfo, ...] = ()
    identity: Identity | None = None
    fixes: tuple[Fix, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return dicts, lists, strings and numbers, ready for ``json.dumps``."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    # Celery's JSON serializer calls this, and passes the result to the error's constructor.
    __json__ = as_dict

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis from the result of its `as_dict`."""
        return cls(**{name: _restored(name, value) for name, value in data.items()})

    def __repr__(self) -> str:
        """The code and the headline, for logs and tracebacks; `str` gives everything."""
        said, asked = self.headline, self.operation
        said = said if asked in said else f"{asked}, {said}"
        cut = f"{said[:_SHORT]}\u2026" if len(said) > _SHORT else said
        return f"<Diagnosis {self.code}: {cut}>"

    def __str__(self) -> str:
        return "\n".join([self.headline, *_lines(self._settings()), *self._advice()])

    def report(self) -> str:
        """The text of `str`, plus the settings that it leaves out."""
        settings = _lines(self._settings() + self._more_settings())
        unused = [f"{name}: {text}" for name, text in self._passed_over()]
        blocks = [*settings, *_block("not used", unused), *self._advice()]
        return "\n".join([self.headline, *blocks])

    @property
    def headline(self) -> str:
        """The first line: what failed, and why."""
        if self.status_code is None:
            return self.summary
        verb = "returned a web page" if self.status_code == 200 else "was refused"
        verb = "was redirected" if 300 <= self.status_code < 400 else verb
        verb += " at first" if self.resolved else ""
        return f"{self.operation} {verb} ({self.status_code}): {self.summary}"

    def _settings(self) -> list[tuple[str, str]]:
        key = KIND_NAMES[self.key_kind]
        if self.key_kind != "missing":
            mask = "" if self.key_kind == "oauth" else f" {self.key}"
            key = f"{key}{mask}, from {self.key_source}"
        else:
            key = _unset(self.key_source)
        region = f", region {self.region}" if self.region else ""
        workspace = _unset(self.workspace_source)
        if self.workspace_id:
            workspace = f"{self.workspace_id} ({self.workspace_source})"
        return [
            ("key", key),
            ("endpoint", f"{self.endpoint} ({self.endpoint_source}){region}"),
            ("workspace", workspace),
        ]

    def _more_settings(self) -> list[tuple[str, str]]:
        return [(s.name, str(s)) for s in self.settings if s.name in ("project", "tracing")]

    def _passed_over(self) -> list[tuple[str, str]]:
        return [(s.name, text) for s in self.settings for text in s.passed_over]

    def _advice(self) -> list[str]:
        """What the server said, what was found, what to do, and where to read more."""
        said, room = self.server_message, _MOST_LINES - 6 - len(self.next_steps)
        if len(said) > _LONGEST_QUOTE:
            said = f"{said[:_LONGEST_QUOTE]}\u2026"
        listed = _listing(self.workspaces) if self.workspaces else []
        found = listed + [f.text for f in self.findings if f.state != "good"]
        more = len(found) - max(room, _FEWEST_LINES)
        if more > 0:
            place = ".findings" if len(found) - more > len(listed) else ""
            told = f"and {more + 1} more" if place else "and more"
            found = [*found[: -more - 1], f"{told}, in error.diagnosis{place}"]
        is_cause = self.code not in ("ok", "unknown")
        explain = _lines([("more", explain_command(self.code))] if is_cause else [])
        answer = _block("server", [said] if said else [])
        return [*answer, *_block("found", found), *_block("fix", self.next_steps), *explain]

    def _repr_html_(self) -> str:
        """The diagnosis as a table for a notebook; every text in it is escaped."""
        fix = "fix" if self.code == "ok" or not self.resolved else "make it permanent"
        rows = [Row("result", self.headline, *self._state())]
        rows += [Row(fix, "\n".join(self.next_steps))] if self.next_steps else []
        rows += [Row("found", f"{f.subject}: {f.text}", f.state) for f in self.findings]
        rows += [Row("workspace you can use", str(w)) for w in self.workspaces]
        rows += [Row(name, value.strip()) for name, value in self._settings()]
        rows += [Row(name, value) for name, value in self._more_settings()]
        rows += [Row(f"{name}, not used", text) for name, text in self._passed_over()]
        return table([*rows, Row("code", self.code)])

    def _state(self) -> tuple[State, str]:
        """The overall state, and the word for it."""
        if self.resolved:
            return "good", "ok" if self.code == "ok" else "repaired"
        return ("unknown", "unknown") if self.code == "unknown" else ("bad", "refused")


def explain_command(code: Code) -> str:
    """The command that explains a code."""
    return f"safe-langsmith explain {code}"


def in_one_line(diagnosis: Diagnosis, bridge: str, *more_steps: str) -> str:
    """What is wrong, then ``bridge`` and the fix, in one line for the log."""
    fix = "; ".join((*diagnosis.next_steps, *more_steps))
    return f"{diagnosis.headline} {bridge}: {fix}. More: {explain_command(diagnosis.code)}"


def _unset(source: str) -> str:
    """The text for a setting without a value; a variable that is empty is named."""
    return "not set" if source in ("", "nowhere") else f"not set ({source} is empty)"


def _plain(data: Any) -> Any:
    """Convert tuples to lists, as in JSON."""
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    return [_plain(item) for item in data] if isinstance(data, (list, tuple)) else data


def _restored(name: str, value: Any) -> Any:
    """Undo `_plain` for a field of this name."""
    if isinstance(value, Mapping):
        return _PARTS[name](**{n: _restored(n, v) for n, v in value.items()})
    return tuple(_restored(name, v) for v in value) if isinstance(value, list) else value


_PARTS: dict[str, Callable[..., Any]] = {
    "findings": Finding,
    "workspaces": WorkspaceInfo,
    "settings": SettingInfo,
    "identity": Identity,
    "fixes": Fix,
}


def _listing(workspaces: tuple[WorkspaceInfo, ...]) -> list[str]:
    lines = listed(workspaces, where=", in error.diagnosis.workspaces")
    noun = "workspace" if len(workspaces) == 1 else "workspaces"
    return [f"the key can use {len(workspaces)} {noun}:", *(f"  {x}" for x in lines)]


def listed(items: Sequence[object], most: int = 4, where: str = "") -> list[str]:
    """The first ``most`` of these, and how many more there are (and ``where``)."""
    more = [f"and {len(items) - most} more{where}"] if len(items) > most else []
    return [*map(str, items[:most]), *more]


def _lines(rows: list[tuple[str, str]]) -> list[str]:
    return [f"  {name + ':':<10} {value}" for name, value in rows]


def _block(name: str, texts: Sequence[str]) -> list[str]:
    """One line per text. Only the first has the name."""
    heads = [f"{name}:", *[""] * len(texts)]
    return [f"  {head:<10} {text}" for head, text in zip(heads, texts, strict=False)]
