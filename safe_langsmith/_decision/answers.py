"""What a response tells about a key, its workspaces, and the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safe_langsmith._decision.protocol import Answer, Probe, Reply, Unreachable
from safe_langsmith._diagnosis import Identity, State, WorkspaceInfo
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of
from safe_langsmith._knowledge.keys import kind_of
from safe_langsmith._knowledge.operations import is_uuid
from safe_langsmith._settings.sources import Setting, Source

_MOST_PERMISSIONS = 1_000
# The answer to a probe that was not sent.
NOT_SENT = Unreachable("it was not sent")


@dataclass(frozen=True, slots=True)
class Listed:
    """A workspace that the server lists for a key. ``permissions`` is None if unknown."""

    id: str
    name: str = ""
    organization: str | None = None
    role: str = ""
    permissions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the server accepts a key, and its workspaces.

    ``workspaces`` is None if the server returned no list. ``home`` is the key's default
    workspace.
    """

    state: State
    workspaces: tuple[Listed, ...] | None = None
    home: str | None = None
    organization: str | None = None

    def lists(self, workspace: str) -> Listed | None:
        """The listed workspace with this id, or None."""
        same = workspace.lower()
        return next((w for w in self.workspaces or () if w.id.lower() == same), None)

    @property
    def only_workspace(self) -> Setting | None:
        """The workspace of a key that has access to exactly one."""
        if self.workspaces is None or len(self.workspaces) != 1:
            return None
        source = Source("repair", "the only workspace of this key")
        return Setting(self.workspaces[0].id, source)


def data_of(answer: Answer) -> Any:
    """The JSON of a response with status 200, or None."""
    return answer.data() if isinstance(answer, Reply) and answer.status == 200 else None


def object_of(answer: Answer) -> dict[str, Any] | None:
    """The JSON object of a response with status 200, or None."""
    data = data_of(answer)
    return data if isinstance(data, dict) else None


def text_of(fields: dict[str, Any], name: str) -> str:
    """The text of this name in a JSON object; empty if there is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def probe(access: Access, path: str, *, alone: bool = False) -> Probe:
    """A probe to the API that this access belongs to."""
    url = f"{base_of(access.endpoint)}/api/v1{path}"
    return Probe(url, access.key, access.workspace, access.session, alone)


def judge(answer: Answer, access: Access) -> State:
    """Whether a probe was accepted. Only a refusal in LangSmith's own JSON means no.

    A 401 means that no key arrived, so it proves nothing about a key that was sent.
    """
    if not isinstance(answer, Reply) or answer.is_html:
        return "unknown"
    if answer.status == 200 and answer.data() is not None:
        return "good"
    means_no = answer.status == 403 or (answer.status == 401 and not access.key)
    return "bad" if means_no and answer.is_langsmiths else "unknown"


def says_org_scoped(answer: Answer) -> bool:
    """Whether the server accepts the key but requires a workspace."""
    return isinstance(answer, Reply) and answer.status == 403 and answer.wants_workspace


def is_langsmith(info: Answer) -> bool:
    """Whether `Case.ask_info` got the response of a LangSmith server."""
    return "version" in (object_of(info) or {})


def listed_in(answer: Answer) -> tuple[Listed, ...] | None:
    """The workspaces in a response to ``GET /workspaces``, or None if there is no list."""
    data = data_of(answer)
    if isinstance(data, dict):
        names = ("workspaces", "items", "results")
        data = next((data[n] for n in names if isinstance(data.get(n), list)), None)
    if not isinstance(data, list):
        return None
    rows = [row for row in data if isinstance(row, dict) and not row.get("is_deleted")]
    return tuple(_listed(row) for row in rows if is_uuid(text_of(row, "id")))


def _listed(row: dict[str, Any]) -> Listed:
    may = row.get("permissions")
    listed = may[:_MOST_PERMISSIONS] if isinstance(may, list) else []
    permissions = frozenset(name for name in listed if name and isinstance(name, str))
    return Listed(
        text_of(row, "id"),
        text_of(row, "display_name"),
        text_of(row, "organization_id") or None,
        text_of(row, "role_name"),
        permissions or None,
    )


def standing_in(access: Access, listing: Answer, who: Answer = NOT_SENT) -> Standing:
    """What the responses to ``/workspaces`` and ``/auth/public`` tell about a key."""
    rows = listed_in(listing)
    if rows is not None:
        owner = next((w.organization for w in rows if w.organization), None)
        return Standing("good", rows, organization=owner)
    told = object_of(who)
    if told is not None and judge(who, access) == "good":
        home, owner = text_of(told, "tenant_id"), text_of(told, "organization_id") or None
        return Standing("good", None, home if is_uuid(home) else None, owner)
    if says_org_scoped(who):
        return Standing("good")
    states = {judge(answer, access) for answer in (listing, who)}
    return Standing("bad" if states == {"bad"} else "unknown")


def sender_in(access: Access, listing: Answer, who: Answer) -> Identity | None:
    """The identity behind a key, or None, from the same responses as `standing_in`."""
    rows = listed_in(listing)
    told = (object_of(who) if judge(who, access) == "good" else None) or {}
    if rows is None and not told:
        return None
    workspace = text_of(told, "tenant_id") or access.workspace
    here = Standing("good", rows).lists(workspace or "") or Listed("")
    owners = (text_of(told, "organization_id"), *(w.organization for w in rows or ()))
    return Identity(
        kind="oauth" if access.session else kind_of(access.key),
        organization_id=next(filter(None, owners), None),
        user_id=text_of(told, "ls_user_id") or text_of(told, "user_id") or None,
        workspace_id=workspace if here.id or told else None,
        workspace_name=here.name,
        role=here.role,
        permissions=tuple(sorted(here.permissions)) if here.permissions else None,
        workspaces=tuple(WorkspaceInfo(w.id, w.name) for w in rows or ()),
    )
