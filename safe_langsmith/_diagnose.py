"""`diagnose()`: the same checks without a client of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safe_langsmith._client import SafeClient
from safe_langsmith._policy import Policy

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis


def diagnose(*, policy: Policy | None = None, **client_arguments: Any) -> Diagnosis:
    """Check what a client with these arguments may do, and repair nothing.

    Takes the arguments of `SafeClient`. Sends a few read-only requests with the key that
    such a client would use, to its endpoint, and with the key alone to other regions of
    LangSmith where the policy allows it. Reads the environment, the `.env` and the profile
    file.

    Raises:
        LangSmithUserError: If the SDK refuses to make such a client.
    """
    client_arguments.setdefault("auto_batch_tracing", False)  # no thread for one look
    client = SafeClient(policy=policy, **client_arguments)
    try:
        return client.diagnose()
    finally:
        if "session" not in client_arguments:
            client.session.close()
