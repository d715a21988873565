"""`SafeClient(verify=...)`: check the key once, when the client is created.

Imported only if that was requested.
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


# Key and workspace are good, and the role may still be sufficient for the program.
_GOOD = ("ok", "permission-missing", "feature-unavailable")


class Verified(Protocol):
    """The part of a client that is used here."""

    def diagnose(self) -> Diagnosis:
        """Run every check now."""

    def request_with_retries(self, method: Any, pathname: str, /) -> requests.Response:
        """Make a request."""


def verify_client(client: Verified, how: Literal["warn", "raise"]) -> None:
    """Check the key of a new client. See `SafeClient`.

    Takes at most ``Policy.budget_s``, or twice that after a refusal: a second call, which
    needs no permission, then repairs or raises (source: LangSmith's OpenAPI document,
    ``GET /auth/public``).
    """
    if how == "raise":
        _ask(client)
        return
    # The thread does not keep the client alive.
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
    except Exception as error:  # nothing would catch it on a thread
        logger.warning("safe_langsmith could not check the key: %s", type(error).__name__)


def _ask(client: Verified) -> None:
    """Diagnose first; only after a refusal, make a real request to repair or raise."""
    diagnosis = client.diagnose()
    if diagnosis.code == "unknown":
        log(f"{diagnosis.summary} So the settings were not checked.", diagnosis)
    elif diagnosis.code not in _GOOD:
        client.request_with_retries("GET", "/auth/public")
