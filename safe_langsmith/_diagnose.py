"""`diagnose()`: `SafeClient.diagnose` without creating a client yourself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safe_langsmith._client import SafeClient
from safe_langsmith._policy import Policy

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Diagnosis


def diagnose(*, policy: Policy | None = None, **client_arguments: Any) -> Diagnosis:
    """Check whether a client with these arguments works. Repairs nothing.

    Takes the arguments of `SafeClient`. Sends a few read-only requests with the key that
    such a client would use, to its endpoint and, if the policy allows it, to other
    LangSmith regions (only the key). Reads the environment, the `.env` file, the profile
    file and, in a Colab notebook, its secrets.

    Raises:
        LangSmithUserError: If the SDK cannot create such a client.
    """
    client_arguments.setdefault("auto_batch_tracing", False)  # no background thread
    client = SafeClient(policy=policy, **client_arguments)
    try:
        return client.diagnose()
    finally:
        if "session" not in client_arguments:
            client.session.close()
