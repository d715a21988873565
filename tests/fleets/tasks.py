"""The tasks for the workers of every engine: a refused call, and a trace.

With `safe-langsmith run`, the module does not use safe_langsmith; otherwise it calls
`install()`. If the engine's parent imports it before a fork, the parent has traced.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import langsmith
from langsmith.run_trees import get_cached_client

WORKERS = 2
PATIENCE_S = 60.0
if os.environ["FLEET_WAY"] == "install":
    import safe_langsmith

    safe_langsmith.install(everywhere=True)


@langsmith.traceable
def step(name: str) -> str:
    return name


def traced() -> str:
    """Trace one run, and return its id."""
    run = str(uuid.uuid4())
    step("step", langsmith_extra={"run_id": run})
    return run


# Also in the parent, if that imports this module.
AT_IMPORT = traced()


def together(turn: str) -> None:
    """Wait until each worker has a task of this turn."""
    folder = Path(os.environ["FLEET_FOLDER"], turn)
    folder.mkdir(exist_ok=True)
    (folder / f"{os.getpid()}").touch()
    until = time.monotonic() + PATIENCE_S
    while len(list(folder.iterdir())) < WORKERS:
        if time.monotonic() > until:
            raise TimeoutError("the other worker has no task")
        time.sleep(0.01)


def trace(turn: str) -> list[str]:
    """Trace some runs; return their ids, and the id of the run at import."""
    together(turn)
    runs = [AT_IMPORT, *(traced() for _ in range(20))]
    get_cached_client().flush()
    return runs


def ask(turn: str) -> Any:
    """Make two calls with a rejected key, and raise the error of the second."""
    together(turn)
    for _ in range(2):
        client = langsmith.Client(api_key=os.environ["FLEET_REJECTED_KEY"])
        try:
            list(client.list_projects())
        except langsmith.utils.LangSmithError as error:
            found = error
    raise found


TASKS = {"trace": trace, "ask": ask}
