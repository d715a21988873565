"""Reads the files in ``LANGSMITH_FAILED_TRACES_DIR``: one batch of traces each.

The SDK writes ``{"version": 1, "endpoint", "headers", "body_base64"}``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safe_langsmith._knowledge.operations import is_uuid
from safe_langsmith._traces.lost import DESTINATION
from safe_langsmith.errors import AccessDeniedError

_LARGEST = 500_000_000
# The first record of a batch is at its very beginning.
_BEGINNING = 100_000
_FORM = re.compile(r"multipart/form-data; boundary=([!-~]{1,100})")
_FIRST_PART = re.compile(rb'[^\n]*\bname="(post|patch|feedback)\.([0-9a-fA-F-]{36})"')
# The exceptions that reading unexpected JSON may raise.
_OF_ANY_JSON = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_NO_BATCH = "not a trace batch saved by the SDK"


class Record(NamedTuple):
    """The first record of a batch, to check whether LangSmith has received the batch."""

    kind: str
    id: str


class Batch(NamedTuple):
    """The content of a file: a batch and its destination."""

    endpoint: str
    destination: str
    headers: dict[str, str]
    body: bytes
    first: Record


class UnsentError(Exception):
    """A batch was not sent, and its file stays.

    ``for_all``: other batches for its destination would also fail. ``in_doubt``: LangSmith
    may have received it. ``again_in``: a retry after this many seconds may work.
    """

    def __init__(
        self,
        why: str,
        *,
        for_all: bool = False,
        in_doubt: bool = False,
        again_in: float | None = None,
        error: AccessDeniedError | None = None,
    ) -> None:
        super().__init__(why)
        self.for_all = for_all
        self.in_doubt = in_doubt
        self.again_in = again_in
        self.error = error


def read(file: Path) -> Batch:
    """Read and check a file: only batches that the SDK has saved are sent."""
    try:
        about = file.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise UnsentError("not a regular file")
        if about.st_size > _LARGEST:
            raise UnsentError("larger than 500 MB")
        content = json.loads(file.read_bytes())
        version, endpoint = content["version"], content["endpoint"]
        headers = {name: str(value) for name, value in content["headers"].items()}
        body = base64.b64decode(content["body_base64"], validate=True)
    except OSError as error:
        raise UnsentError(f"cannot be read: {error.strerror}") from None
    except _OF_ANY_JSON:
        raise UnsentError(_NO_BATCH) from None
    # A file may come from anywhere, so its other headers are never sent.
    kept = {n: headers[n] for n in ("Content-Type", "Content-Encoding") if n in headers}
    if version == 1 and endpoint == "runs/batch":
        kept = {"Content-Type": "application/json"}
        first = _first_in_json(body)
    elif version == 1 and endpoint == "runs/multipart":
        first = _first_in_form(body, kept)
    else:
        raise UnsentError("its format is unknown to this version")
    if first is None or not is_uuid(first.id):
        raise UnsentError(_NO_BATCH)
    return Batch(endpoint, headers.get(DESTINATION, ""), kept, body, first)


def _first_in_json(body: bytes) -> Record | None:
    with contextlib.suppress(*_OF_ANY_JSON):
        content: Any = json.loads(body)
        kind = "post" if content.get("post") else "patch"
        return Record(kind, str(content[kind][0]["id"]))
    return None


def _first_in_form(body: bytes, headers: Mapping[str, str]) -> Record | None:
    form = _FORM.fullmatch(headers.get("Content-Type", ""))
    encoding = headers.get("Content-Encoding")
    if not form or encoding not in (None, "zstd"):
        return None
    mark = b"--" + form.group(1).encode()
    if not encoding and not body.rstrip().endswith(mark + b"--"):
        return None  # it is truncated
    head, _, rest = (_decompressed(body) if encoding else body).partition(b"\r\n")
    found = _FIRST_PART.match(rest) if head == mark else None
    return Record(found.group(1).decode(), found.group(2).decode()) if found else None


def _decompressed(body: bytes) -> bytes:
    """The beginning of a compressed body; empty if it cannot be decompressed."""
    import zstandard  # a dependency of langsmith

    with contextlib.suppress(zstandard.ZstdError):
        return zstandard.ZstdDecompressor().stream_reader(body).read(_BEGINNING)
    return b""
