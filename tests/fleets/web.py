"""The tasks as a web application: `/TASK/TURN` returns the pickled result."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from fleets.tasks import TASKS


def answer(path: str) -> bytes:
    _, task, turn = path.split("/")
    try:
        return pickle.dumps(TASKS[task](turn))
    except Exception as error:
        return pickle.dumps(error)


def wsgi(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    start("200 OK", [])
    return [answer(environ["PATH_INFO"])]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer(scope["path"])})
