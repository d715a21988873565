"""Methods for a test to add organizations, workspaces, keys and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safe_langsmith.testing._records import Records
from safe_langsmith.testing._world import (
    Key,
    KeyKind,
    Organization,
    Role,
    Workspace,
    World,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Population:
    """What exists in a simulated LangSmith. Safe to change from many threads."""

    def __init__(self) -> None:
        self._world = World()
        self._records = Records()

    def add_organization(self, name: str) -> Organization:
        """Add an organization."""
        with self._world.lock:
            return self._world.add_organization(name)

    def add_workspace(
        self,
        name: str,
        *,
        organization: Organization | None = None,
        projects: int = 0,
        runs: int = 0,
    ) -> Workspace:
        """Add a workspace, to the first organization unless another is given.

        It gets ``projects`` projects, named ``"{name} project 1"`` and so on, and
        ``runs`` finished runs, all in the first project.
        """
        with self._world.lock:
            owner = organization or self._world.first_organization()
            workspace = self._world.add_workspace(name, owner)
            self._records.seed(workspace, projects, runs)
            return workspace

    def delete_workspace(self, workspace: Workspace) -> None:
        """Delete a workspace: from now on, no key has access to it."""
        with self._world.lock:
            self._world.deleted.add(workspace.id)

    def add_prompt(
        self,
        name: str,
        *,
        workspace: Workspace,
        manifest: Mapping[str, Any] | None = None,
        owner: str | None = None,
    ) -> str:
        """Store a prompt with one commit, and return the commit's hash.

        If ``owner`` (a handle) is given, anyone can read the prompt at ``owner/name``.
        """
        with self._world.lock:
            prompt = self._records.add_prompt(workspace, name, owner)
            content = {"lc": 1, "id": ["prompt"]} if manifest is None else dict(manifest)
            return str(self._records.add_commit(prompt, content)["commit_hash"])

    def add_personal_key(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        default: Workspace | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
    ) -> Key:
        """Add a personal access token, with the access of its user.

        Requests without a workspace go to ``default``, which is the first of
        ``workspaces`` unless given. A default that is not in ``workspaces`` means that
        the user has lost access to it. ``permissions`` replaces those of the role;
        ``abac_denies`` are refused although the role lists them. With ``workspaces``
        None, the key has access to all workspaces of its organization.
        """
        return self._add_key(
            "personal",
            workspaces,
            default,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
        )

    def add_service_key(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
        organization: Organization | None = None,
    ) -> Key:
        """Add a service key for these workspaces; None means the whole organization.

        An organization key has access to all workspaces, and must name one in each request.
        A workspace key is refused at ``GET /workspaces`` unless ``lists_workspaces``.
        """
        return self._add_key(
            "service",
            workspaces,
            None,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
            organization,
        )

    def add_oauth_token(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        default: Workspace | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
    ) -> Key:
        """Add the token of a login session, which is sent as ``Authorization: Bearer``."""
        return self._add_key(
            "oauth",
            workspaces,
            default,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
        )

    def _add_key(
        self,
        kind: KeyKind,
        workspaces: Iterable[Workspace] | None,
        default: Workspace | None,
        role: Role,
        permissions: frozenset[str] | None,
        lists_workspaces: bool | None,
        secret: str | None,
        abac_denies: frozenset[str],
        organization: Organization | None = None,
    ) -> Key:
        with self._world.lock:
            reached = None if workspaces is None else list(workspaces)
            key = new_key(
                kind,
                organization or self._organization_of(reached, default),
                reached,
                default=default,
                role=role,
                permissions=permissions,
                lists_workspaces=lists_workspaces,
                secret=secret,
                abac_denies=abac_denies,
            )
            return self._world.add_key(key)

    def _organization_of(
        self, workspaces: list[Workspace] | None, default: Workspace | None
    ) -> Organization:
        some = next(iter(workspaces or ()), default)
        if some is None:
            return self._world.first_organization()
        return self._world.organizations[some.organization_id]

    def revoke(self, key: Key) -> None:
        """From now on, reject a key like an unknown one."""
        with self._world.lock:
            self._world.revoked.add(key.secret)

    def restore(self, key: Key) -> None:
        """Accept a revoked key again."""
        with self._world.lock:
            self._world.revoked.discard(key.secret)

    def set_role(
        self, key: Key, *, role: Role, permissions: frozenset[str] | None = None
    ) -> Key:
        """Give a key another role; its text stays the same."""
        with self._world.lock:
            return self._world.set_role(key, role, permissions)

    @property
    def disabled_features(self) -> set[str]:
        """Features that are off: ``"projects"`` refuses all of ``projects:…``."""
        return self._world.disabled_features

    @property
    def name_permissions(self) -> bool:
        """Whether a 403 names the missing permission. LangSmith's own rarely do."""
        return self._world.name_permissions

    @name_permissions.setter
    def name_permissions(self, value: bool) -> None:
        self._world.name_permissions = value
