"""Drives refused requests through httpx: for the async client and the v2 resources.

Imported only after a refusal. The steps are written once, in `_steps`, without any I/O;
`answer` carries them out on a thread, and `async_answer` on an event loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any

import anyio

from safe_langsmith._decision.protocol import Answer, Resend
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import is_sure_refusal
from safe_langsmith._sdk.clients import endpoint_of
from safe_langsmith._sdk.guard import Guard, step_aside
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.budget import Clock, pauses
from safe_langsmith._transport.httpx_exchange import HttpxExchange
from safe_langsmith._transport.httpx_wire import (
    AsyncWire,
    SyncWire,
    Wire,
    checked_body,
)
from safe_langsmith._transport.messages import TooLargeError, cut
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.settle import Work, diagnosed, is_refused, settle

# The client, its httpx client, and whether that belongs to the generated resources.
Watched = tuple[Owner, Any, bool]
_TASK = "find out why a request was refused"


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """Read the body of a request or a response into memory; the result is the body."""

    message: httpx.Request | httpx.Response


# For an httpx.Request, the result is its response. The work is never a `Resend`.
Step = Sleep | Load | Work | httpx.Request


def _steps(
    watched: Watched, wires: type[Wire], request: Any, response: Any
) -> Generator[tuple[Wire, Step], Any, None]:
    """Handle a refused request to the end. Raises nothing: the SDK raises the error."""
    owner, http, generated = watched
    exchange = HttpxExchange(owner, request, response)
    wire = wires(owner, http, exchange.home)
    yield wire, Load(response)
    if not is_refused(owner, exchange):
        return
    exchange.keep((yield wire, Load(request)))
    works = settle(owner, exchange)
    try:
        work = next(works)
        while True:
            if isinstance(work, Resend):
                done = yield from _resend(work, exchange, wire)
            else:
                done = yield wire, work
            work = works.send(done)
    except StopIteration as stop:
        found: Diagnosis | None = stop.value
    finally:
        works.close()
    exchange.end(found, generated=generated)


def _resend(
    step: Resend, exchange: HttpxExchange, wire: Wire
) -> Generator[tuple[Wire, Step], Any, Answer]:
    withheld = wire.withheld(step)
    if withheld:
        return withheld
    wire.follow_no_redirect()
    for pause in pauses(step, wire.clock):
        yield wire, Sleep(pause)
        response = yield wire, exchange.again(step.access)
        if exchange.take(response):
            yield wire, Load(response)
        if not exchange.reply().is_refusal:
            break
    return exchange.reply()


def answer(
    watched: Watched, request: httpx.Request, response: httpx.Response
) -> Generator[httpx.Request, httpx.Response, None]:
    """Handle a request of a sync client if it was refused."""
    done: Any = None
    with contextlib.closing(_steps(watched, SyncWire, request, response)) as steps:
        while (next_one := _next(steps, done)) is not None:
            wire, step = next_one
            if isinstance(step, httpx.Request):
                done = yield step
            elif isinstance(step, Sleep):
                time.sleep(step.seconds)
            elif isinstance(step, Load):
                done = _load(step.message, wire.owner)
            else:
                with Guard(_TASK):
                    done = wire.do(step)
                    continue
                return  # pragma: no cover  (in other processes: tests/sdk/test_guard.py)


async def async_answer(
    watched: Watched, request: httpx.Request, response: httpx.Response
) -> AsyncGenerator[httpx.Request, httpx.Response]:
    """Handle a request of an async client if it was refused."""
    done: Any = None
    with contextlib.closing(_steps(watched, AsyncWire, request, response)) as steps:
        while (next_one := _next(steps, done)) is not None:
            wire, step = next_one
            if isinstance(step, httpx.Request):
                done = yield step
            elif isinstance(step, Sleep):
                await anyio.sleep(step.seconds)
            elif isinstance(step, Load):
                done = await _aload(step.message, wire.owner)
            else:
                with Guard(_TASK):
                    done = await wire.do(step)
                    continue
                return  # pragma: no cover  (in other processes: tests/sdk/test_guard.py)


def _next(steps: Generator[tuple[Wire, Step], Any, None], done: Any) -> Any:
    """The next step; None at the end, or if our own code has failed."""
    try:
        return steps.send(done)
    except StopIteration:
        return None
    except Exception as error:
        step_aside(_TASK, error)
        return None


def _load(message: Any, owner: Owner) -> bytes | None:
    """Read a body; None if it is not available any more.

    For a definite refusal, reading stops at a size and time limit; the plain client would
    read for as long as data arrives.
    """
    if not _is_sure(message):
        with contextlib.suppress(httpx.StreamError):
            body: bytes = message.read()
            return body
        return None  # pragma: no cover  (a stream that has ended)
    clock, body = Clock(state_of(owner).policy.budget_s), b""
    try:
        with contextlib.closing(message):
            for piece in message.iter_bytes():
                body = checked_body(body + piece, clock)
        message._content = body
    except (TimeoutError, TooLargeError):
        cut(message, body)
    return body


async def _aload(message: Any, owner: Owner) -> bytes | None:
    """The same for an async client."""
    if not _is_sure(message):
        with contextlib.suppress(httpx.StreamError):
            body: bytes = await message.aread()
            return body
        return None  # pragma: no cover  (a stream that has ended)
    clock, body = Clock(state_of(owner).policy.budget_s), b""
    try:
        async with contextlib.aclosing(message):
            async for piece in message.aiter_bytes():
                body = checked_body(body + piece, clock)
        message._content = body
    except (TimeoutError, TooLargeError):
        cut(message, body)
    return body


def _is_sure(message: Any) -> bool:
    if isinstance(message, httpx.Request):
        return False
    return is_sure_refusal(message.status_code, message.headers.get("Content-Type", ""))


async def diagnose(owner: Owner, http: httpx.AsyncClient) -> Diagnosis:
    """Run every check now. Repairs nothing."""
    return await AsyncWire(owner, http, endpoint_of(owner)).drive(diagnosed(owner))
