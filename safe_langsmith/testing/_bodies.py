"""Parses what clients send: compressed bodies, multipart forms, run operations."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safe_langsmith.testing._records import Operation, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(rb'\bname="([^"]*)"')
_BOUNDARY = re.compile(r'boundary="?([^";]+)')


class UnreadableError(Exception):
    """The body is not what its route accepts."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart form."""

    name: str
    content_type: str
    content: bytes


def decompressed(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body without its Content-Encoding (zstd, gzip or none)."""
    encoding = headers.get("content-encoding", "").lower()
    try:
        if encoding == "zstd":
            return _from_zstd(body)
        return gzip.decompress(body) if encoding == "gzip" else body
    except Exception as broken:
        raise UnreadableError(f"the {encoding} body is broken") from broken


def _from_zstd(body: bytes) -> bytes:
    # Imported here because it comes with langsmith, and only tracing needs it.
    import zstandard

    # The SDK's stream does not state its size, which `decompress` would require.
    plain = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
    with plain as reader:
        return bytes(reader.read())


def parts(body: bytes, headers: Mapping[str, str]) -> list[Part]:
    """The parts of a multipart form, in order."""
    found = _BOUNDARY.search(headers.get("content-type", ""))
    if not found:
        raise UnreadableError("the form has no boundary")
    mark = b"--" + found.group(1).encode()
    first, *pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if first or not pieces or not pieces[-1].startswith(b"--"):
        raise UnreadableError("the form has no end")
    return [_part(piece) for piece in pieces[:-1]]


def _part(piece: bytes) -> Part:
    head, separator, content = piece.partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if not separator or not name:
        raise UnreadableError("a part of the form has no name")
    rows = (row.lower().partition(b":") for row in head.split(b"\r\n"))
    lines = {name: value for name, _, value in rows}
    kind = lines.get(b"content-type", b"").strip().decode("latin-1")
    return Part(name.group(1).decode(), kind, content)


def parsed(content: bytes) -> Any:
    """Parse a JSON text."""
    try:
        return json.loads(content or b"{}")
    except ValueError as broken:
        raise UnreadableError("the body is not JSON") from broken


def record(content: bytes) -> Record:
    """Parse a JSON object."""
    value = parsed(content)
    if not isinstance(value, dict):
        raise UnreadableError("the body is not a JSON object")
    return value


def run_operation(op: str, fields: Any, run_id: str | None = None) -> Operation:
    """One run operation, from its JSON."""
    if not isinstance(fields, dict):
        raise UnreadableError("a run is not a JSON object")
    found = run_id or fields.get("id")
    if not isinstance(found, str):
        raise UnreadableError("a run has no id")
    return Operation(op, found, {**fields, "id": found})


def run_operations(form: Iterable[Part]) -> list[Operation]:
    """The run operations of a multipart ingest.

    Its parts are named ``post.<id>``, ``post.<id>.inputs`` and
    ``attachment.<id>.<name>``; a run's main part comes before its others.
    """
    found: list[Operation] = []
    for part in form:
        op, _, rest = part.name.partition(".")
        run_id, _, field = rest.partition(".")
        if op in ("post", "patch") and not field:
            found.append(run_operation(op, record(part.content), run_id))
        elif op in ("post", "patch"):
            run = _latest(found, part, (op,), run_id)
            run.fields[field] = parsed(part.content)
        elif op == "attachment":
            run = _latest(found, part, ("post", "patch"), run_id)
            data = {"mime_type": part.content_type, "data": part.content}
            run.fields.setdefault("attachments", {})[field] = data
        elif op != "feedback":
            raise UnreadableError(f"unexpected part {part.name}")
    return found


def _latest(
    found: list[Operation], part: Part, ops: tuple[str, ...], run_id: str
) -> Operation:
    for operation in reversed(found):
        if operation.id == run_id and operation.op in ops:
            return operation
    raise UnreadableError(f"part {part.name} comes before its run")


def feedback(form: Iterable[Part]) -> list[Record]:
    """The feedback of a multipart ingest."""
    return [record(p.content) for p in form if p.name.startswith("feedback.")]


def examples(form: Iterable[Part]) -> dict[str, Record]:
    """The examples of a multipart upload by id.

    Its parts are named ``<id>``, ``<id>.inputs``, ``<id>.outputs``; files are dropped.
    """
    found: dict[str, Record] = {}
    for part in form:
        example_id, _, field = part.name.partition(".")
        example = found.setdefault(example_id, {"id": example_id})
        if not field:
            example.update(record(part.content))
        elif field in ("inputs", "outputs"):
            example[field] = parsed(part.content)
    return found
