"""A short program that runs the same steps with the plain clients or with ours.

    python short_program.py plain|safe URL KEY PROJECT RUN

Prints JSON: the value of each step or the classes of its error, and under "said" the
log lines of safe_langsmith.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from collections.abc import Callable
from typing import Any

import langsmith

GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"


class Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "diagnosis"):  # about itself, not about a refusal
            self.lines.append(record.getMessage())


def ended(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except Exception as error:
        return {"raised": [kind.__name__ for kind in type(error).__mro__]}


def main(kind: str, url: str, key: str, project: str, run: str) -> dict[str, Any]:
    said = Said()
    logging.getLogger("safe_langsmith").addHandler(said)
    if kind == "safe":
        import safe_langsmith as clients
    else:
        clients = langsmith  # type: ignore[misc]
    made: dict[str, Any] = {"api_url": url, "auto_batch_tracing": False}
    client = clients.Client(api_url=url, api_key=key)
    single, keyless, gone = (
        clients.Client(api_key=one, **made) for one in (key, None, GONE)
    )
    steps: dict[str, Callable[[], Any]] = {
        "good": lambda: sorted(p.name for p in single.list_projects()),
        "missing": lambda: single.request_with_retries("GET", "/nothing"),
        "no key": lambda: list(keyless.list_projects()),
        "refused": lambda: list(gone.list_projects()),
        "written": lambda: single.create_run("r", {}, "chain", id=uuid.uuid4()),
        "refused write": lambda: gone.create_run("r", {}, "chain", id=uuid.uuid4()),
        "link": lambda: "http" in str(single.get_run_url(run=_Run(project))),
    }
    found = {name: ended(step) for name, step in steps.items()}
    client.create_run("traced", {}, "chain", id=uuid.UUID(run), project_name="Research")
    client.flush()

    async def asynchronously() -> dict[str, Any]:
        ways: dict[str, Any] = {}
        for name, one in (("good", key), ("no key", None), ("rejected", GONE)):
            async_client = clients.AsyncClient(api_url=url, api_key=one)
            ways[f"async {name}"] = await ended_async(_names(async_client))
            missing = async_client.read_run(uuid.uuid4())
            ways[f"async missing {name}"] = await ended_async(missing)
            if hasattr(async_client, "runs"):
                ways[f"v2 {name}"] = await ended_async(_runs(async_client, project))
            await async_client.aclose()  # type: ignore[no-untyped-call]
        if hasattr(single, "runs"):
            ways["v2 of the sync client"] = await ended_async(_runs(single, project))
        return ways

    found |= asyncio.run(asynchronously())
    found["said"] = said.lines
    return found


async def ended_async(step: Any) -> Any:
    try:
        return await step
    except Exception as error:
        return {"raised": [kind.__name__ for kind in type(error).__mro__]}


async def _names(client: Any) -> list[str]:
    return sorted([d.name async for d in client.list_datasets()])


async def _runs(client: Any, project: str) -> int:
    return len([run async for run in client.runs.query(project_ids=[project])])


class _Run:
    """The parts of a run that a link needs."""

    def __init__(self, project: str) -> None:
        self.id = self.session_id = project
        self.app_path = None
        self.start_time = None
        self.session_name = "Research"


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
