"""Why a request was refused: one check for each cause.

A check returns a `Cause`, or None if it could not prove its cause. A check that needs the
server is a generator: it yields a `Probe`. `CHECKS` is the order of decision: the first
proven cause wins. A check does no I/O itself.
"""

from __future__ import annotations

from safe_langsmith._decision.case import Check
from safe_langsmith._decision.checks import endpoint, key, permission, region, workspace
from safe_langsmith._decision.checks.settings import stale_setting

CHECKS: tuple[Check, ...] = (
    endpoint.wrong_endpoint,
    endpoint.blocked_by_proxy,
    key.foreign_credential,
    key.other_login,
    key.key_missing,
    key.legacy_key,
    key.stripped_key,
    workspace.workspace_required,
    permission.feature_unavailable,
    key.padded_key,
    workspace.padded_workspace,
    stale_setting,
    workspace.url_as_workspace,
    region.wrong_region,
    key.rejected_key,
    workspace.foreign_workspace,
    workspace.default_workspace_refused,
    workspace.unowned_prompt,
    permission.personal_only,
    permission.permission_missing,
    permission.transient_refusal,
    permission.access_denied,
)
