"""`SafeClient(verify=...)`: ask once, when the client is made, whether LangSmith takes it.

Only imported where that was asked for.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal, Protocol

from safe_langsmith._diagnosis import in_one_line
from safe_langsmith._transport.settle import log, logger
from safe_langsmith.errors import AccessDeniedError

if TYPE_CHECKING:
    import requests

    from safe_langsmith._diagnosis import Diagnosis


# The key and its workspace are good; a role that lacks something may have enough.
_GOOD = ("ok", "permission-missing", "feature-unavailable")


class Verified(Protocol):
    """What is asked of a client here."""

    def diagnose(self) -> Diagnosis:
        """Check what the client may do."""

    def request_with_retries(self, method: Any, pathname: str, /) -> requests.Response:
        """Make a request."""


def verify_client(client: Verified, how: Literal["warn", "raise"]) -> None:
    """See `SafeClient`.

    It takes at most ``Policy.budget_s``, and a refusal as much again: that is repaired or
    raised by a call that needs no permission (source: LangSmith's OpenAPI document,
    ``GET /auth/public``).
    """
    if how == "raise":
        _ask(client)
        return
    # The thread keeps no client alive that nobody else holds.
    asked = threading.Thread(
        target=_warn, args=(weakref.ref(client),), name="safe-langsmith-verify", daemon=True
    )
    asked.start()


def _warn(ref: weakref.ref[Verified]) -> None:
    client = ref()
    if client is None:
        return
    try:
        _ask(client)
    except AccessDeniedError as error:
        log(in_one_line(error.diagnosis, "To fix it"), error.diagnosis)
    except Exception as error:  # a thread has nobody to raise to
        logger.warning("safe_langsmith could not check the key: %s", type(error).__name__)


def _ask(client: Verified) -> None:
    """Look first, within the budget; only what is refused is then asked for in earnest."""
    diagnosis = client.diagnose()
    if diagnosis.code == "unknown":
        log(f"{diagnosis.summary} So the settings were not checked.", diagnosis)
    elif diagnosis.code not in _GOOD:
        client.request_with_retries("GET", "/auth/public")
