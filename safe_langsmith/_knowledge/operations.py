"""Which permission and which kind of key a request of the SDK needs.

The table follows LangSmith's documentation, "Organization and workspace operations".
"""

from __future__ import annotations

import re

from safe_langsmith._knowledge.hosts import UUID

_PREFIX = re.compile(r"^(/api(?:/v1)?|/v1(?=/platform))(?=/|$)")

# The first match wins, so narrower patterns come first.
_PERMISSIONS: tuple[tuple[str, str, str | None], ...] = (
    (
        ".*",
        r"/(runs/(rules|experiments)|sessions/.*/insights|feedback/tokens/.*)(/.*)?",
        None,
    ),
    (".*", r"/datasets/(comparative|playground|studio|upload-).*", None),
    (".*", r"/datasets/[^/]*/(comparative|csv|jsonl|openai|openai_ft)", None),
    (".*", r"/repos/.*/(logs|owners|tags)(/.*)?", None),
    (".*", r"/workspaces/current/(members/.+|secrets.*)", None),
    (
        "POST",
        r"/runs/(query|stats|group|generate-query)(/.*)?|/v2/(runs|threads|traces)/.*",
        "runs:read",
    ),
    ("POST", r"/runs/delete.*", "runs:delete"),
    ("POST|PATCH", r"/runs(/.*)?|/otel/v1/traces", "runs:create"),
    ("PUT|DELETE", r"/runs/.*/share", "runs:share"),
    ("GET", r"(/v2)?/(runs|threads|traces)(/.*)?", "runs:read"),
    ("GET", r"/sessions(/.*)?", "projects:read"),
    ("POST", r"/sessions", "projects:create"),
    ("PATCH", r"/sessions/.*", "projects:update"),
    ("DELETE", r"/sessions/.*", "projects:delete"),
    ("PUT|DELETE", r"/datasets/.*/share", "datasets:share"),
    (".*", r"/datasets/[^/]*/experiment-view-overrides.*", "datasets:update"),
    ("POST", r"/datasets/[^/]*/(runs|group|experiments)(/.*)?", "datasets:read"),
    ("GET", r"/(datasets|examples)(/.*)?", "datasets:read"),
    ("PUT", r"/datasets/[^/]*/splits", "datasets:read"),
    ("POST", r"/examples/validate.*", "datasets:read"),
    ("POST", r"/datasets(/upload)?", "datasets:create"),
    ("POST|PATCH|DELETE", r"/examples(/.*)?|/platform/datasets/.*", "datasets:update"),
    ("PATCH|POST|PUT", r"/datasets/.*", "datasets:update"),
    ("DELETE", r"/datasets/.*", "datasets:delete"),
    ("GET", r"/feedback/tokens", "feedback:create"),
    ("GET", r"/feedback(-configs)?(/.*)?", "feedback:read"),
    ("POST", r"/feedback(-configs)?(/.*)?", "feedback:create"),
    ("PATCH", r"/feedback(/.*|-configs)", "feedback:update"),
    ("DELETE", r"/feedback/.*", "feedback:delete"),
    ("GET", r"/annotation-queues(/.*)?", "annotation-queues:read"),
    ("POST", r"/annotation-queues/.*/export", "annotation-queues:read"),
    ("POST", r"/annotation-queues", "annotation-queues:create"),
    ("DELETE", r"/annotation-queues/[^/]*", "annotation-queues:delete"),
    ("POST|PATCH|DELETE|PUT", r"/annotation-queues/.*", "annotation-queues:update"),
    ("GET", r"/(commits|repos)(/.*)?", "prompts:read"),
    ("POST", r"/repos(/.*/(fork|optimization-jobs))?", "prompts:create"),
    ("POST|PATCH", r"/(commits|repos)/.*", "prompts:update"),
    ("DELETE", r"/repos/.*", "prompts:delete"),
    ("GET", r"/workspaces/current/.*", "workspaces:read"),
    ("GET", r"/workspaces|/orgs/current(/.*)?", "organization:read"),
    (
        "POST|PATCH|DELETE",
        r"/workspaces/([^/]+|current/(shared|tag-keys|taggings)(/.*)?)",
        "workspaces:manage",
    ),
    ("POST|PATCH|DELETE", r"/workspaces|/orgs/current/.*", "organization:manage"),
)
# Every permission that LangSmith documents: the enum `authz_internal.Permission` in its
# OpenAPI document, and two that are only in "Organization and workspace operations"
# (datasets:download, prompts:tag).
_DOCUMENTED = {
    f"{resource}:{action}"
    for resource, actions in {
        "alerts": "create delete read update",
        "annotation-queues": "create delete read update",
        "bulk-exports": "manage read",
        "charts": "create delete read update",
        "datasets": "create delete download read share update",
        "deployments": "create delete read update",
        "experiments": "run",
        "feedback": "create delete read update",
        "fleet": "read-admin-config write-admin-config",
        "gateway": "invoke",
        "issues": "create delete read update",
        "mcp-servers": "create delete invoke read update",
        "organization": "manage pats:create read",
        "projects": "create decrease-trace-tier delete increase-trace-tier read update",
        "prompts": "create delete read share tag update",
        "rules": "create delete read update",
        "runs": "create delete read share",
        "sandboxes": "create delete exec read update",
        "workspaces": "manage manage-members manage-model-configs manage-secrets read",
    }.items()
    for action in actions.split()
}
# LangSmith's documentation, "Manage your organization using the API": these paths need a
# user's session and refuse service keys.
_PERSONAL_ONLY = re.compile(
    r"/orgs|/me(/.*)?|/api-key/current.*|/tenants"
    r"|/workspaces/pending.*|/orgs/current/personal-access-tokens.*"
)
# These read with POST and change nothing.
_QUESTIONS = re.compile(r"(/v2)?/(runs|threads|traces)/(query|stats|group)")
# Creating a workspace concerns the organization; listing them does not.
_ORGANIZATION_WIDE = re.compile(r"\w+ /orgs/current(/.*)?|POST /workspaces")
# The server deduplicates runs by id, so a batch can safely be sent twice. It is not known
# to deduplicate the spans of an export.
EXPORT = "/otel/v1/traces"
_RUN_BATCHES = ("/runs/batch", "/runs/multipart")
_LONGEST_PATH = 2_000


def route(path: str) -> str:
    """The path of a request as LangSmith documents it, without prefix and query."""
    path = "/" + path.partition("?")[0].strip("/")[:_LONGEST_PATH]
    return _PREFIX.sub("", path) or "/"


def operation(method: str, path: str) -> str:
    """A request's name for display: ``GET /sessions/{id}``."""
    return f"{method} {re.sub(UUID, '{id}', route(path))}"


def permission_for(method: str, path: str) -> str | None:
    """The permission that this request needs, or None if unknown."""
    where = route(path)
    for methods, pattern, permission in _PERMISSIONS:
        if re.fullmatch(methods, method) and re.fullmatch(pattern, where):
            return permission
    return None


def is_documented(permission: str) -> bool:
    """Whether LangSmith documents this permission."""
    return permission in _DOCUMENTED


def check_permission(permission: str) -> None:
    """Raise a ValueError for an undocumented permission, and suggest the nearest one."""
    if is_documented(permission):
        return
    import difflib

    known = sorted(_DOCUMENTED)
    near = difflib.get_close_matches(permission.lower(), known, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; it has: {', '.join(known)}"
    raise ValueError(f"LangSmith has no permission {permission!r}{hint}")


def needs_personal_key(path: str) -> bool:
    """Whether LangSmith accepts only personal keys for this path."""
    return bool(_PERSONAL_ONLY.fullmatch(route(path)))


def is_read(method: str, path: str) -> bool:
    """Whether a request is known to change nothing."""
    asks = method == "POST" and _QUESTIONS.fullmatch(route(path))
    return method in ("GET", "HEAD") or bool(asks)


def is_run_batch(method: str, path: str) -> bool:
    """Whether a request sends a batch of runs, which may be sent twice."""
    return method == "POST" and route(path) in _RUN_BATCHES


def is_trace(method: str, path: str) -> bool:
    """Whether a request sends traces in the background: a batch of runs, or an export."""
    return is_run_batch(method, path) or (method == "POST" and route(path) == EXPORT)


def is_organization_wide(method: str, path: str) -> bool:
    """Whether a call concerns the organization, not a single workspace."""
    return bool(_ORGANIZATION_WIDE.fullmatch(f"{method} {route(path)}"))


def is_uuid(text: str) -> bool:
    """Whether a text has the form of a workspace id."""
    return bool(re.fullmatch(UUID, text))
