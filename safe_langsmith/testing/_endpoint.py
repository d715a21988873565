"""The type of an endpoint: its route, what it requires, and its function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from safe_langsmith.testing._access import Needs, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.datastructures import QueryParams

    from safe_langsmith.testing._records import Record, Records
    from safe_langsmith.testing._world import Key, Workspace, World

#: LangSmith returns at most this many records at once.
PAGE = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request that is allowed. ``body`` is decompressed."""

    path: str
    params: Mapping[str, str]
    query: QueryParams
    headers: Mapping[str, str]
    body: bytes
    key: Key | None
    workspace: Workspace | None
    world: World
    records: Records
    info: Record

    @property
    def here(self) -> Workspace:
        """The workspace of a request at an endpoint that needs one."""
        return cast("Workspace", self.workspace)

    @property
    def sender(self) -> Key:
        """The key of a request at an endpoint that needs one."""
        return cast("Key", self.key)

    def mine(self, records: Mapping[Any, Record]) -> list[Record]:
        """The records of the request's workspace, newest first."""
        ours = [r for r in records.values() if r["tenant_id"] == self.here.id]
        return ours[::-1]

    def one(self, records: Mapping[Any, Record], what: str) -> Record:
        """The record that the path names; 404 if it is missing, or in another workspace."""
        found = records.get(self.params["id"])
        if found is None or found["tenant_id"] != self.here.id:
            raise RequestError(404, f"{what} not found")
        return found

    def page(self, records: list[Record]) -> list[Record]:
        """One page of a list, by ``limit`` and ``offset``."""
        limit = min(self._number("limit", PAGE), PAGE)
        offset = self._number("offset", 0)
        return records[offset : offset + limit]

    def _number(self, name: str, default: int) -> int:
        text = self.query.get(name, str(default))
        if not text.isdecimal():
            raise RequestError(422, f"{name} is not a number", "query", name)
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """The response of an endpoint, as JSON."""

    value: object = None
    status: int = 200

    @property
    def body(self) -> bytes:
        """The bytes that are sent."""
        return as_json(self.value)


class RequestError(Exception):
    """The request is allowed but invalid. ``place``: where in the request the error is."""

    def __init__(self, status: int, text: str, *place: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of a table of endpoints; ``{…}`` in ``path`` stands for one segment."""

    method: str
    path: str
    needs: Needs
    permission: str | None
    answer: Callable[[Call], Reply]


def only(
    records: Iterable[Record], query: QueryParams, fields: Mapping[str, str]
) -> list[Record]:
    """The records that match the query; ``fields`` maps a parameter to a field.

    The values of a repeated parameter are alternatives.
    """
    wanted = {
        field: set(query.getlist(name)) for name, field in fields.items() if name in query
    }
    part = query.get("name_contains", "").lower()
    return [
        record
        for record in records
        if all(str(record.get(field)) in values for field, values in wanted.items())
        and part in str(record.get("name", "")).lower()
    ]
