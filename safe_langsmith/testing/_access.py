"""Decides whether a request is allowed, from its headers and the simulated world.

A pure function. It checks in the server's order: the credential, the workspace, the
feature, the permission. Statuses and bodies follow LangSmith's OpenAPI document and users'
reports; a refusal says very little, which is why a 403 needs a diagnosis.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from safe_langsmith.testing._world import Key, Workspace, World

#: What a route requires, from nothing to a workspace. "prompt" routes also serve anonymous
#: requests, and treat a rejected key as anonymous.
Needs = Literal[
    "nothing", "key", "organization", "personal", "login", "workspace", "prompt"
]

_GO = re.compile(r"/(runs|auth|info|v1|v2)(/.*)?")
_PROBLEM = re.compile(r"/v2/(runs|threads|traces)/.*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OF_THE_ORGANIZATION = ("key", "organization", "personal", "login")


@dataclass(frozen=True, slots=True)
class Granted:
    """The request is allowed. Both are None if the route did not need a key."""

    key: Key | None
    workspace: Workspace | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The request ends here, with this response."""

    status: int
    body: bytes


def is_go(path: str) -> bool:
    """Whether LangSmith's Go services serve this path; their errors look different."""
    return bool(_GO.fullmatch(path))


def as_json(value: object) -> bytes:
    """JSON as LangSmith writes it, without spaces."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def error(path: str, status: int, text: str, place: tuple[str, ...] = ()) -> Refused:
    """An error as the service of this path writes it.

    The Go services end theirs with a newline. The Python services name the location of
    an invalid value in a request.
    """
    title = HTTPStatus(status).phrase
    if path.startswith("/v2/sandboxes/"):
        return Refused(status, as_json({"detail": {"error": title, "message": text}}))
    if _PROBLEM.fullmatch(path):
        problem = {"type": "about:blank", "title": title, "status": status}
        return Refused(status, as_json({**problem, "detail": text}) + b"\n")
    if is_go(path):
        return Refused(status, as_json({"error": text}) + b"\n")
    invalid = [{"loc": place, "msg": text, "type": "value_error"}]
    return Refused(status, as_json({"detail": invalid if place else text}))


def decide(
    headers: Mapping[str, str],
    path: str,
    needs: Needs,
    permission: str | None,
    world: World,
) -> Granted | Refused:
    """Decide on one request. ``headers`` have lower-case names."""
    if needs == "nothing":
        return Granted(None, None)
    key = _identify(headers, path, world)
    if isinstance(key, Refused):
        return Granted(None, None) if needs == "prompt" else key
    if needs in _OF_THE_ORGANIZATION:
        return _decide_on_organization(key, path, needs)
    workspace = _resolve_workspace(key, headers.get("x-tenant-id", ""), path, world)
    if isinstance(workspace, Refused):
        nameless = workspace == _forbidden(path) and needs == "prompt"
        return Granted(None, None) if nameless else workspace
    return _check_permission(key, workspace, path, permission, world)


def _identify(headers: Mapping[str, str], path: str, world: World) -> Key | Refused:
    secret = headers.get("x-api-key", "")
    if secret.startswith("ls__"):
        text = "Using legacy API key. Please generate a new API key."
        return Refused(401, as_json({"detail": text}))
    if secret:
        key = world.key(secret)
        return key if key and key.kind != "oauth" else _forbidden(path)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        key = world.key(token.strip())
        if key and key.kind == "oauth":
            return key
    return error(path, 401, "Unauthorized" if is_go(path) else "Invalid token")


def _decide_on_organization(key: Key, path: str, needs: Needs) -> Granted | Refused:
    allowed = {
        "key": key.lists_workspaces,
        "organization": key.kind != "service" or key.workspaces is None,
        "personal": key.kind != "service",
        "login": key.kind == "oauth",
    }
    return Granted(key, None) if allowed[needs] else _forbidden(path)


def _resolve_workspace(
    key: Key, asked: str, path: str, world: World
) -> Workspace | Refused:
    wanted = asked.lower() or key.default
    if wanted is None and key.kind == "service":
        return _org_scoped(path)
    if wanted is None:
        return next(iter(world.reached_by(key)), _forbidden(path))
    if not _UUID.fullmatch(wanted):
        return _forbidden(path)
    return world.reaches(key, wanted) or _forbidden(path)


def _check_permission(
    key: Key, workspace: Workspace, path: str, permission: str | None, world: World
) -> Granted | Refused:
    if permission is None:
        return Granted(key, workspace)
    thing = permission.partition(":")[0]
    if world.disabled_features & {thing, permission}:
        feature = thing.replace("-", " ").capitalize()
        text = f"{feature} feature is not enabled for this organization"
        return error(path, 403, text)
    if permission not in key.permissions or permission in key.abac_denies:
        if world.name_permissions:
            return error(path, 403, f"missing permission {permission}")
        return _forbidden(path)
    return Granted(key, workspace)


def _forbidden(path: str) -> Refused:
    return error(path, 403, "Forbidden")


def _org_scoped(path: str) -> Refused:
    body = (
        {
            "error": "org_scoped_key_requires_workspace",
            "message": "This API key requires a workspace ID.",
        }
        if is_go(path)
        else {
            "detail": "This API key is org-scoped and requires workspace "
            "specification. Please provide 'X-Tenant-ID' header."
        }
    )
    return Refused(403, as_json(body))
