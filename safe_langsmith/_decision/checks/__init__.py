"""The decision: why a request was refused, one check for each cause.

A check is a generator: it may ask the server (`yield` a `Probe`) and returns a `Cause`,
or None where its cause could not be shown. `CHECKS` is the order of decision: the first
cause that is shown wins. Nothing here reads, waits or sends.
"""

from __future__ import annotations

from safe_langsmith._decision.case import Check
from safe_langsmith._decision.checks.endpoint import (
    blocked_by_proxy,
    page_by_chance,
    wrong_endpoint,
)
from safe_langsmith._decision.checks.key import (
    foreign_credential,
    key_missing,
    legacy_key,
    other_login,
    refused_key,
    soiled_key,
    stripped_key,
)
from safe_langsmith._decision.checks.permission import (
    access_denied,
    feature_unavailable,
    permission_missing,
    personal_only,
    transient_refusal,
)
from safe_langsmith._decision.checks.region import wrong_region
from safe_langsmith._decision.checks.settings import stale_setting
from safe_langsmith._decision.checks.workspace import (
    address_as_workspace,
    foreign_workspace,
    prompt_of_nobody,
    refused_home,
    soiled_workspace,
    workspace_required,
)

CHECKS: tuple[Check, ...] = (
    wrong_endpoint,
    blocked_by_proxy,
    page_by_chance,
    foreign_credential,
    other_login,
    key_missing,
    legacy_key,
    stripped_key,
    workspace_required,
    feature_unavailable,
    soiled_key,
    soiled_workspace,
    stale_setting,
    address_as_workspace,
    wrong_region,
    refused_key,
    foreign_workspace,
    refused_home,
    prompt_of_nobody,
    personal_only,
    permission_missing,
    transient_refusal,
    access_denied,
)
