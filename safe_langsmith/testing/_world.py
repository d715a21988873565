"""The types of a simulated LangSmith's world: organizations, workspaces and keys.

Nothing here knows about HTTP. Hold the lock to read or change a world.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyKind = Literal["personal", "service", "oauth"]
Role = Literal["Admin", "Editor", "Viewer"]

_READ = frozenset(
    f"{thing}:read"
    for thing in (
        "annotation-queues",
        "datasets",
        "feedback",
        "projects",
        "prompts",
        "runs",
        "workspaces",
    )
)
_EDIT = frozenset(
    [
        "annotation-queues:create",
        "annotation-queues:update",
        "datasets:create",
        "datasets:update",
        "feedback:create",
        "feedback:delete",
        "feedback:update",
        "prompts:create",
        "prompts:delete",
        "prompts:update",
        "runs:create",
        "runs:share",
    ]
)
_ADMINISTER = frozenset(
    [
        "annotation-queues:delete",
        "datasets:delete",
        "datasets:share",
        "projects:create",
        "projects:delete",
        "projects:update",
        "prompts:share",
        "runs:delete",
        "workspaces:manage",
    ]
)
#: The permissions of LangSmith's own roles, from its documentation, "Organization and
#: workspace operations". An Editor may trace, but not create a project.
ROLES: dict[Role, frozenset[str]] = {
    "Viewer": _READ,
    "Editor": _READ | _EDIT,
    "Admin": _READ | _EDIT | _ADMINISTER,
}


def permitted_to(role: Role) -> frozenset[str]:
    """The permissions of one of LangSmith's own roles."""
    if role not in ROLES:
        raise ValueError(f"role={role!r}: use one of {', '.join(ROLES)}")
    return ROLES[role]


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer of LangSmith, who owns workspaces."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace. LangSmith's headers and older texts call it a tenant."""

    id: str
    name: str
    organization_id: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Key:
    """A credential and its access. ``secret`` is the text that clients send.

    ``workspaces`` is None if the key has access to every workspace of its organization.
    ``default`` is used for requests that name no workspace; a user may have lost
    access to it, so it need not be in ``workspaces``. ``abac_denies`` are permissions that
    an access policy denies, although the role has them.
    """

    secret: str = field(repr=False)
    kind: KeyKind
    organization_id: str
    workspaces: tuple[str, ...] | None
    default: str | None
    role: Role
    permissions: frozenset[str]
    lists_workspaces: bool
    abac_denies: frozenset[str]
    user_id: str | None


@dataclass(slots=True)
class World:
    """Everything that exists, with the switches that a test may set."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    disabled_features: set[str] = field(default_factory=set)
    name_permissions: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add_organization(self, name: str) -> Organization:
        """Add an organization."""
        organization = Organization(new_id(), name)
        self.organizations[organization.id] = organization
        return organization

    def first_organization(self) -> Organization:
        """The oldest organization; adds one if there is none."""
        oldest = next(iter(self.organizations.values()), None)
        return oldest or self.add_organization("Acme")

    def add_workspace(self, name: str, organization: Organization) -> Workspace:
        """Add a workspace to an organization."""
        workspace = Workspace(new_id(), name, organization.id, now())
        self.workspaces[workspace.id] = workspace
        return workspace

    def add_key(self, key: Key) -> Key:
        """Add a key; replaces an earlier one with the same text."""
        self.keys[key.secret] = key
        self.revoked.discard(key.secret)
        return key

    def set_role(self, key: Key, role: Role, permissions: frozenset[str] | None) -> Key:
        """Give a key another role; its text stays the same."""
        permitted = permitted_to(role) if permissions is None else permissions
        changed = replace(self.keys[key.secret], role=role, permissions=permitted)
        self.keys[key.secret] = changed
        return changed

    def key(self, secret: str) -> Key | None:
        """The key with this text, unless it is unknown or revoked."""
        return None if secret in self.revoked else self.keys.get(secret)

    def reached_by(self, key: Key, deleted: bool = False) -> list[Workspace]:
        """The workspaces that a key has access to; with ``deleted`` also deleted ones."""
        return [
            workspace
            for workspace in self.workspaces.values()
            if workspace.organization_id == key.organization_id
            and (key.workspaces is None or workspace.id in key.workspaces)
            and (deleted or workspace.id not in self.deleted)
        ]

    def reaches(self, key: Key, workspace_id: str) -> Workspace | None:
        """The workspace with this id, if the key has access to it."""
        found = (w for w in self.reached_by(key) if w.id == workspace_id)
        return next(found, None)


def new_key(
    kind: KeyKind,
    organization: Organization,
    workspaces: Iterable[Workspace] | None,
    *,
    default: Workspace | None,
    role: Role,
    permissions: frozenset[str] | None,
    lists_workspaces: bool | None,
    secret: str | None,
    abac_denies: frozenset[str],
) -> Key:
    """Create a key from the arguments of a test."""
    ids = None if workspaces is None else tuple(w.id for w in workspaces)
    # A key for single workspaces may not read the organization's data. Source: a third
    # party's notes.
    lists = kind != "service" or ids is None
    return Key(
        secret=secret or new_secret(kind),
        kind=kind,
        organization_id=organization.id,
        workspaces=ids,
        default=default.id if default else next(iter(ids or ()), None),
        role=role,
        permissions=permitted_to(role) if permissions is None else permissions,
        lists_workspaces=lists if lists_workspaces is None else lists_workspaces,
        abac_denies=abac_denies,
        user_id=None if kind == "service" else new_id(),
    )


def new_secret(kind: KeyKind) -> str:
    """A new text in the format of LangSmith's keys; not valid anywhere else."""
    if kind == "oauth":
        return f"oauth_{secrets.token_urlsafe(32)}"
    prefix = {"personal": "lsv2_pt", "service": "lsv2_sk"}[kind]
    return f"{prefix}_{uuid.uuid4().hex}_{secrets.token_hex(5)}"


def new_id() -> str:
    """A new id."""
    return str(uuid.uuid4())


def now() -> str:
    """The current time, as LangSmith writes it."""
    return datetime.now(timezone.utc).isoformat()
