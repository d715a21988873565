"""Handles traces that are lost: logs the cause once, keeps the error, saves the batch.

The SDK sends traces in the background, where an error is easily missed. It logs a line
for each batch that it loses; we log one line per cause instead. Imported only after the
first lost trace.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

from langsmith.utils import LangSmithError, LangSmithExceptionGroup

from safe_langsmith._diagnosis import in_one_line
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.operations import is_trace
from safe_langsmith._sdk.clients import (
    destinations_of,
    endpoint_of,
    failed_traces_folder,
    save_trace,
)
from safe_langsmith._sdk.exporter import EXPORTER
from safe_langsmith._sdk.modules import remembered_variable
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.settle import log
from safe_langsmith.errors import AccessDeniedError

# In a batch's file, if the client has several destinations.
DESTINATION = "X-Safe-LangSmith-Destination"
_SINGLE = re.compile(r"POST \S*/runs|PATCH \S*/runs/[0-9a-fA-F-]{36}")
# The beginnings of the SDK's own lines about a lost batch, by logger.
_SDK_LINES = {
    "langsmith.client": (
        "Failed to multipart ingest runs",
        "Failed to send compressed multipart ingest",
        "Failed to batch ingest runs",
        "LangSmith trace upload failed; data saved",
    ),
    "langsmith.run_helpers": ("Failed to post run",),
    EXPORTER: ("Failed to export",),
}
_DISTINCT_ERRORS = 20


def note_refused(
    owner: Owner,
    error: AccessDeniedError,
    asked: tuple[str, str],
    request: Mapping[str, Any],
) -> None:
    """Handle a refused request that sends traces: log it once, and save the batch.

    The SDK saves what it sends to ``/runs/multipart``; ``/runs/batch`` is saved here.
    ``asked``: method and path.
    """
    method, path = asked
    if getattr(_here, "replaying", False):
        return  # the batch is saved already, and the caller gets the error
    is_batch = is_trace(method, urlsplit(path).path)
    if not is_batch and not _SINGLE.fullmatch(f"{method} {path}"):
        return
    _quiet_the_sdk()
    diagnosis = error.diagnosis
    what = (diagnosis.code, diagnosis.key, diagnosis.endpoint, diagnosis.workspace_id)
    if FLIGHTS.is_news(what, state_of(owner).policy.cooldown_s):
        log(_line(owner, error), diagnosis)
    body = request.get("data")
    if path.endswith("/runs/batch") and isinstance(body, bytes):
        headers = addressed(owner, {"Content-Type": "application/json"}, path)
        with as_refused():
            save_trace(owner, body, headers, "runs/batch")
    if method == "PATCH":  # the SDK reports these only to the caller
        state_of(owner).lost.extend(bare(error))


def _line(owner: Owner, error: AccessDeniedError) -> str:
    """The cause and the fix, in one line."""
    folder, diagnosis = failed_traces_folder(owner)[0], error.diagnosis
    if not folder:
        return in_one_line(diagnosis, "Traces are lost until this is fixed")
    send = f"then send them: safe-langsmith replay {folder}"
    return in_one_line(diagnosis, "Traces are saved, not sent, until this is fixed", send)


def addressed(owner: Owner, headers: Mapping[str, str], url: str) -> dict[str, str]:
    """The headers for a batch's file; they name its destination if there are several.

    The client's own endpoint is named only then, since a repair may change it.
    """
    own = not url.startswith("http") or url.startswith(f"{endpoint_of(owner)}/")
    is_only = not remembered_variable("RUNS_ENDPOINTS", None)
    if own and is_only and len(destinations_of(owner)) == 1:
        return dict(headers)
    place = endpoint_of(owner) if own else url.partition("/runs/")[0]
    return {**headers, DESTINATION: shown(place)}


# --- the SDK's log --------------------------------------------------------------------

_here = threading.local()


def as_refused() -> AbstractContextManager[None]:
    """While in this context, the SDK saves a batch whose refusal was already logged."""
    return _marked("refused")


def replaying() -> AbstractContextManager[None]:
    """While in this context, refused batches of this thread are not logged or saved."""
    return _marked("replaying")


def quiet_export() -> None:
    """Drop the line that OpenTelemetry is about to log on this thread."""
    _here.export = True


@contextmanager
def _marked(name: str) -> Iterator[None]:
    setattr(_here, name, True)
    try:
        yield
    finally:
        setattr(_here, name, False)


def _quiet_the_sdk() -> None:
    for name in _SDK_LINES:
        # A logger adds the same filter only once.
        logging.getLogger(name).addFilter(_should_appear)


def _should_appear(record: logging.LogRecord) -> bool:
    """Whether a log line of the SDK should appear: not if we have logged its cause.

    The SDK logs while it handles our error, so the current exception is that error.
    """
    ours = isinstance(sys.exc_info()[1], AccessDeniedError)
    if record.name == EXPORTER:
        ours, _here.export = getattr(_here, "export", False), False
    if not (ours or getattr(_here, "refused", False)):
        return True
    return not record.getMessage().startswith(_SDK_LINES[record.name])


# --- what was lost --------------------------------------------------------------------


def bare(error: Exception) -> list[Exception]:
    """An error without its traceback, whose frames keep whole batches alive."""
    if isinstance(error, LangSmithExceptionGroup):
        return [alone for one in error.exceptions for alone in bare(one)]
    try:
        return [copy.copy(error)]
    except Exception:  # a custom class that cannot be copied
        return [LangSmithError(f"{type(error).__name__}: {error}")]


def raise_for(errors: Iterable[Exception]) -> NoReturn:
    """Raise the only error, or a group of those that differ."""
    every = list(errors)
    distinct = list({(type(e), str(e)): e for e in every}.values())[:_DISTINCT_ERRORS]
    if len(distinct) == 1:
        raise distinct[0]
    said = "".join(
        f"\n- {type(e).__name__}: {str(e).partition(chr(10))[0]}" for e in distinct
    )
    raise LangSmithExceptionGroup(
        f"Traces were lost, for {len(distinct)} reasons:{said}", exceptions=distinct
    )
