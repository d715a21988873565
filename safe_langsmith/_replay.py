"""Send what the SDK has saved in ``LANGSMITH_FAILED_TRACES_DIR``.

A file has one batch: ``{"version": 1, "endpoint", "headers", "body_base64"}``. While it
is sent its name ends in ``.sending``: if that is found later, a replay was stopped at
this file, and LangSmith is asked whether it took the batch.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
import urllib3
from langsmith.utils import (
    LangSmithAPIError,
    LangSmithConflictError,
    LangSmithConnectionError,
    LangSmithError,
    LangSmithNotFoundError,
    LangSmithRateLimitError,
    LangSmithRequestTimeout,
)
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from safe_langsmith._hosts import shown
from safe_langsmith._tracing import DESTINATION
from safe_langsmith.errors import AccessDeniedError

if TYPE_CHECKING:
    from safe_langsmith._client import SafeClient

_ENDPOINTS = ("runs/multipart", "runs/batch")
# A file may come from anywhere, so no other header of it is sent.
_HEADERS = ("Content-Type", "Content-Encoding")
_LARGEST = 500_000_000
_PASSING = (LangSmithAPIError, LangSmithRateLimitError, LangSmithRequestTimeout)
# The first run of a batch stands at its very beginning.
_BEGINNING = 1_000_000
_RUN = re.compile(rb'name="(post|patch)\.([0-9a-fA-F-]{36})"')


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went: how many batches were sent, and what is left.

    ``left`` maps the name of each file that is still there to the reason. ``error`` is
    the typed error, if LangSmith refused one.
    """

    sent: int
    left: Mapping[str, str] = field(default_factory=dict)
    error: AccessDeniedError | None = None

    def __str__(self) -> str:
        batches = "batch" if self.sent == 1 else "batches"
        lines = [f"{self.sent} {batches} sent, {len(self.left)} left"]
        return "\n".join([*lines, *(f"  {name}: {why}" for name, why in self.left.items())])


class _Batch(NamedTuple):
    """What a file says: where to, and what."""

    endpoint: str
    destination: str
    headers: dict[str, str]
    body: bytes


class _UnsentError(Exception):
    """A file was not sent, and stays. ``for_all``: nor would others for its destination."""

    def __init__(
        self, why: str, *, for_all: bool = False, error: AccessDeniedError | None = None
    ) -> None:
        super().__init__(why)
        self.for_all = for_all
        self.error = error


def replay(
    client: SafeClient,
    directory: str | os.PathLike[str],
    on_progress: Callable[[int, int], object] | None,
) -> Replay:
    """See `SafeClient.replay_failed_traces`."""
    folder = Path(directory)
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {str(folder)!r}")
    files = sorted([*folder.glob("trace_*.json"), *folder.glob("trace_*.sending")])
    sent = 0
    left: dict[str, str] = {}
    hopeless: set[str] = set()
    error = None
    for number, file in enumerate(files, 1):
        try:
            _send_file(client, file, hopeless)
            sent += 1
        except _UnsentError as unsent:
            name = file.name if file.exists() else _under_way(file).name
            left[name] = str(unsent)
            error = error or unsent.error
        if on_progress is not None:
            on_progress(number, len(files))
    return Replay(sent, left, error)


def _read(file: Path) -> _Batch:
    """Read a file that may be broken, or anything."""
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _UnsentError("it is not a regular file")
        if about.st_size > _LARGEST:
            raise _UnsentError("it is larger than 500 MB")
        content = json.loads(file.read_bytes())
        endpoint, headers = content["endpoint"], content["headers"]
        known = content["version"] == 1 and endpoint in _ENDPOINTS
        body = base64.b64decode(content["body_base64"], validate=True)
        kept = {name: str(headers[name]) for name in _HEADERS if name in headers}
        destination = str(headers.get(DESTINATION, ""))
    except OSError as error:
        raise _UnsentError(f"it cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _UnsentError("it is no batch that the SDK has saved") from None
    if not known:
        raise _UnsentError("it is of a kind that this version does not know")
    if not all(value.isprintable() and value.isascii() for value in kept.values()):
        raise _UnsentError("it is no batch that the SDK has saved")
    return _Batch(endpoint, destination, kept, body)


def _under_way(file: Path) -> Path:
    """The name of a file while it is sent."""
    return file.with_suffix(".sending")


def _send_file(client: SafeClient, file: Path, hopeless: set[str]) -> None:
    """Send the batch in a file and remove that; else the file is as it was.

    ``hopeless``: destinations that take nothing at the moment; may be added to.
    """
    batch = _read(file)
    if batch.destination in hopeless:
        raise _UnsentError("not tried, since the one before could not be sent")
    try:
        if file != _under_way(file) or not _was_taken(client, batch):
            _send_and_rename(client, file, batch)
        _under_way(file).unlink()
    except _UnsentError as unsent:
        if unsent.for_all:
            hopeless.add(batch.destination)
        raise
    except OSError as error:
        raise _UnsentError(f"it cannot be renamed: {error.strerror}") from None


def _send_and_rename(client: SafeClient, file: Path, batch: _Batch) -> None:
    """Send a batch; its name goes on to say so where it may have been taken or not."""
    under_way = file.rename(_under_way(file))
    try:
        _send(client, batch)
    except _UnsentError:
        under_way.rename(file.with_suffix(".json"))
        raise
    except (LangSmithConnectionError, requests.RequestException) as error:
        if _never_arrived(error):
            under_way.rename(file.with_suffix(".json"))
            raise _UnsentError("LangSmith was not reached", for_all=True) from None
        why = "the connection broke, so whether LangSmith took it is asked the next time"
        raise _UnsentError(why, for_all=True) from None


def _send(client: SafeClient, batch: _Batch) -> None:
    """Send a batch; what fails in passing is tried again."""
    url, headers = _place(client, batch.destination)
    send = Retrying(
        retry=retry_if_exception_type(_PASSING),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    try:
        send(
            client.request_with_retries,
            "POST",
            f"{url}/{batch.endpoint}",
            request_kwargs={"data": batch.body, "headers": {**headers, **batch.headers}},
        )
    except LangSmithConflictError:
        return  # it has these runs already
    except AccessDeniedError as error:
        raise _UnsentError(error.diagnosis.headline, for_all=True, error=error) from None
    except _PASSING as error:
        raise _UnsentError(_said(error), for_all=True) from None
    except LangSmithConnectionError:
        raise
    except LangSmithError as error:
        raise _UnsentError(_said(error)) from None


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _place(client: SafeClient, destination: str) -> tuple[str, dict[str, str]]:
    """Where a batch goes, and with which key; only where this client is set up to send."""
    if destination in ("", shown(client.api_url)):
        return client.api_url, {}
    for url, key in client._write_api_urls.items():
        if shown(url) == destination:
            return url, {"x-api-key": key or ""}
    why = f"it was meant for {shown(destination)}: set LANGSMITH_ENDPOINT to that"
    raise _UnsentError(f"{why}, LANGSMITH_API_KEY to its key, and replay again")


def _never_arrived(error: Exception) -> bool:
    """Whether no connection came about, so that nothing was sent."""
    cause = error.__cause__ if isinstance(error, LangSmithConnectionError) else error
    reason = getattr(cause.args[0] if cause and cause.args else None, "reason", None)
    never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(reason, never)


# --- a batch that was under way when a replay was stopped ---------------------------------


def _was_taken(client: SafeClient, batch: _Batch) -> bool:
    """Ask LangSmith whether it has the first run of a batch, which is taken whole."""
    first = _first_run(batch)
    if first is None:
        raise _UnsentError(
            "a replay was stopped while it was sent, and whether LangSmith took it "
            "cannot be asked; to send it again, let its name end in .json"
        )
    kind, run_id = first
    url, headers = _place(client, batch.destination)
    try:
        response = client.request_with_retries(
            "GET", f"{url}/runs/{run_id}", request_kwargs={"headers": headers}
        )
        ended = response.json().get("end_time") is not None
    except LangSmithNotFoundError:
        return False
    except AccessDeniedError as error:
        raise _UnsentError(error.diagnosis.headline, for_all=True, error=error) from None
    except (LangSmithError, requests.RequestException, ValueError, AttributeError) as error:
        why = f"whether LangSmith took it could not be asked: {_said(error)}"
        raise _UnsentError(why, for_all=True) from None
    # What ends a run comes as a patch; a run that has not ended did not get it.
    return kind == "post" or ended


def _first_run(batch: _Batch) -> tuple[str, str] | None:
    """Kind ("post" or "patch") and id of the first run in a batch, if it has one."""
    if batch.endpoint == "runs/batch":
        return _first_in_json(batch.body)
    beginning = batch.body[:_BEGINNING]
    if batch.headers.get("Content-Encoding") == "zstd":
        beginning = _decompressed(batch.body)
    found = _RUN.search(beginning)
    return (found.group(1).decode(), found.group(2).decode()) if found else None


def _first_in_json(body: bytes) -> tuple[str, str] | None:
    with contextlib.suppress(ValueError, RecursionError, LookupError, TypeError):
        content: Any = json.loads(body)
        kind = "post" if content.get("post") else "patch"
        run_id = content[kind][0]["id"]
        if re.fullmatch(r"[0-9a-fA-F-]{36}", run_id):
            return kind, run_id
    return None


def _decompressed(body: bytes) -> bytes:
    """The beginning of a compressed body; empty where that cannot be had."""
    import zstandard  # langsmith brings it along

    with contextlib.suppress(zstandard.ZstdError):
        return zstandard.ZstdDecompressor().stream_reader(body).read(_BEGINNING)
    return b""
