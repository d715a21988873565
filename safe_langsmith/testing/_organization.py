"""Endpoints of the deployment, its organizations and its workspaces."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from safe_langsmith.testing import _bodies
from safe_langsmith.testing._endpoint import Call, Endpoint, Reply

if TYPE_CHECKING:
    from safe_langsmith.testing._records import Record
    from safe_langsmith.testing._world import Key, Organization, Workspace


def _info(call: Call) -> Reply:
    return Reply(call.info)


def _ok(_: Call) -> Reply:
    return Reply({})


def _who_am_i(call: Call) -> Reply:
    user = call.sender.user_id
    return Reply(
        {
            "organization_id": call.here.organization_id,
            "tenant_id": call.here.id,
            "user_id": user,
            "ls_user_id": user,
            "user_email": f"{user[:8]}@example.com" if user else None,
        }
    )


def _settings(call: Call) -> Reply:
    workspace = call.here
    return Reply(
        {
            "id": workspace.id,
            "display_name": workspace.name,
            "created_at": workspace.created_at,
            "tenant_handle": None,
        }
    )


def _usage_limits(_: Call) -> Reply:
    """``TenantUsageLimitInfo`` in LangSmith's OpenAPI document: nothing is refused."""
    return Reply({"in_reject_set": False, "usage_limit_type": None, "tenant_limit": None})


def _list_workspaces(call: Call) -> Reply:
    deleted = call.query.get("include_deleted", "").lower() == "true"
    reached = call.world.reached_by(call.sender, deleted)
    gone = call.world.deleted
    return Reply([_as_user_sees(w, call.sender, w.id in gone) for w in reached])


def _as_user_sees(workspace: Workspace, key: Key, is_deleted: bool) -> Record:
    """``TenantForUser`` in LangSmith's OpenAPI document."""
    return {
        "id": workspace.id,
        "created_at": workspace.created_at,
        "display_name": workspace.name,
        "is_personal": False,
        "is_deleted": is_deleted,
        "organization_id": workspace.organization_id,
        "tenant_handle": None,
        "read_only": key.role == "Viewer",
        "role_id": str(uuid.uuid5(uuid.NAMESPACE_URL, key.role)),
        "role_name": key.role,
        "permissions": sorted(key.permissions),
    }


def _current_organization(call: Call) -> Reply:
    organization = call.world.organizations[call.sender.organization_id]
    return Reply(
        {
            **_organization(organization),
            "tier": "enterprise",
            "connected_to_stripe": False,
            "connected_to_metronome": False,
            "has_cancelled": False,
            "permissions": ["organization:read"],
            "member_disabled": False,
            "sso_only": False,
            "pat_creation_disabled": False,
            "ip_allowlist_enabled": False,
            "ip_allowlist": [],
        }
    )


def _organization(organization: Organization) -> Record:
    return {
        "id": organization.id,
        "display_name": organization.name,
        "is_personal": False,
        "disabled": False,
        "config": {},
    }


def _create_organization(call: Call) -> Reply:
    name = str(_bodies.record(call.body).get("display_name", "Untitled"))
    return Reply(_organization(call.world.add_organization(name)))


def _list_organizations(call: Call) -> Reply:
    return Reply([_organization(o) for o in call.world.organizations.values()])


def _list_personal_keys(call: Call) -> Reply:
    mine = [k for k in call.world.keys.values() if k.user_id == call.sender.user_id]
    return Reply([_key(k) for k in mine if k.secret not in call.world.revoked])


def _key(key: Key) -> Record:
    return {
        # An id that is not derived from the key's text.
        "id": key.user_id,
        "short_key": f"{key.secret[:8]}...{key.secret[-4:]}",
        "description": "",
        "expires_at": None,
    }


ENDPOINTS = (
    Endpoint("GET", "/info", "nothing", None, _info),
    Endpoint("GET", "/ok", "nothing", None, _ok),
    Endpoint("GET", "/auth/public", "workspace", None, _who_am_i),
    Endpoint("GET", "/settings", "workspace", None, _settings),
    Endpoint("GET", "/workspaces", "key", None, _list_workspaces),
    Endpoint(
        "GET",
        "/workspaces/current/usage_limits",
        "workspace",
        "workspaces:read",
        _usage_limits,
    ),
    Endpoint("GET", "/orgs/current", "organization", None, _current_organization),
    Endpoint("GET", "/orgs/current/info", "organization", None, _current_organization),
    Endpoint(
        "GET", "/orgs/current/personal-access-tokens", "personal", None, _list_personal_keys
    ),
    Endpoint("GET", "/orgs", "login", None, _list_organizations),
    Endpoint("POST", "/orgs", "login", None, _create_organization),
)
