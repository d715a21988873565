"""Searches runs, in the older (``/runs/query``) and the newer (``/v2``) API.

Both return the newest first. A cursor is the position of the last returned run, so
runs that arrive between two pages neither shift nor repeat any.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from safe_langsmith.testing._endpoint import PAGE, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from safe_langsmith.testing._records import Record

_CANNOT_SEARCH = (
    "At least one of 'session', 'id', 'parent_run', 'trace' or 'reference_example' "
    "must be specified"
)
_CANNOT_FILTER = "the simulated LangSmith does not support filter expressions"
_FILTERS = ("filter", "trace_filter", "tree_filter", "query", "sem_filter", "ai_search")


def search(runs: Iterable[Record], wanted: Record) -> Record:
    """Answer ``POST /runs/query``."""
    scopes = ("session", "id", "parent_run", "trace", "reference_example")
    if not any(wanted.get(scope) for scope in scopes):
        raise RequestError(400, _CANNOT_SEARCH)
    tests = [
        _among("session_id", wanted.get("session")),
        _among("id", wanted.get("id")),
        _among("parent_run_id", wanted.get("parent_run")),
        _among("trace_id", wanted.get("trace")),
        _among("reference_example_id", wanted.get("reference_example")),
        _among("run_type", wanted.get("run_type")),
        _flag(_is_root, wanted.get("is_root")),
        _flag(_has_error, wanted.get("error")),
        _since(wanted.get("start_time")),
    ]
    page, cursor = _page(runs, tests, wanted, wanted.get("limit"))
    return {
        "runs": [_without_order(run) for run in page],
        "cursors": {"next": cursor, "prev": None},
        "parsed_query": None,
    }


def search_v2(runs: Iterable[Record], wanted: Record) -> Record:
    """Answer ``POST /v2/runs/query``, which goes back one day by default."""
    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat()
    tests = [
        _among("session_id", wanted.get("project_ids")),
        _among("id", wanted.get("ids")),
        _among("trace_id", wanted.get("trace_id")),
        _among("reference_example_id", wanted.get("reference_examples")),
        _among("run_type", _lower(wanted.get("run_type"))),
        _flag(_is_root, wanted.get("is_root")),
        _flag(_has_error, wanted.get("has_error")),
        _since(wanted.get("min_start_time") or yesterday),
        _until(wanted.get("max_start_time")),
    ]
    page, cursor = _page(runs, tests, wanted, wanted.get("page_size"), 1000)
    selects = wanted.get("selects") or ["ID"]
    more = {"has_more": True, "next_cursor": cursor} if cursor else {"has_more": False}
    return {"items": [v2(run, selects) for run in page], **more}


def v2(run: Record, selects: Iterable[str]) -> Record:
    """A run in the newer format, with the selected fields."""
    extra = run.get("extra") or {}
    whole = {
        **run,
        "run_type": run["run_type"].upper(),
        "status": run["status"].upper(),
        "project_id": run["session_id"],
        "is_root": _is_root(run),
        "metadata": extra.get("metadata"),
        "parent_run_ids": [run["parent_run_id"]] if run["parent_run_id"] else [],
    }
    return {name.lower(): whole.get(name.lower()) for name in selects}


def _page(
    runs: Iterable[Record],
    tests: Iterable[Callable[[Record], bool]],
    wanted: Record,
    limit: int | None,
    most: int = PAGE,
) -> tuple[list[Record], str | None]:
    if any(wanted.get(name) for name in _FILTERS):
        raise RequestError(400, _CANNOT_FILTER)
    before = _place(wanted.get("cursor"))
    found = [
        run
        for run in sorted(runs, key=lambda run: -run["order"])
        if (before is None or run["order"] < before) and all(t(run) for t in tests)
    ]
    size = max(1, min(limit or PAGE, most))
    last = found[size - 1]["order"] if len(found) > size else None
    return found[:size], None if last is None else f"before-{last}"


def _place(cursor: Any) -> int | None:
    if not cursor:
        return None
    number = str(cursor).removeprefix("before-")
    if not number.isdecimal():
        raise RequestError(400, "Invalid cursor")
    return int(number)


def _among(field: str, values: Any) -> Callable[[Record], bool]:
    if not values:
        return _any
    allowed = {values} if isinstance(values, str) else set(values)
    return lambda run: run.get(field) in allowed


def _flag(has: Callable[[Record], bool], value: bool | None) -> Callable[[Record], bool]:
    return _any if value is None else lambda run: has(run) == value


def _since(text: str | None) -> Callable[[Record], bool]:
    return _any if not text else lambda run: _time(run["start_time"]) >= _time(text)


def _until(text: str | None) -> Callable[[Record], bool]:
    return _any if not text else lambda run: _time(run["start_time"]) <= _time(text)


def _any(_: Record) -> bool:
    return True


def _is_root(run: Record) -> bool:
    return run["parent_run_id"] is None


def _has_error(run: Record) -> bool:
    return bool(run.get("error"))


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


def _time(text: str) -> datetime:
    try:
        # Python 3.10 cannot parse the "Z".
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise RequestError(422, f"{text} is not a time", "body") from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _without_order(run: Record) -> Record:
    return {name: value for name, value in run.items() if name != "order"}
