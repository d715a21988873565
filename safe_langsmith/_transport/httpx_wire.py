"""Does the work for a refused request with httpx: probes, waits, and reads settings."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import anyio
from tenacity import AsyncRetrying, Retrying

from safe_langsmith._decision.protocol import Answer, Probe, ProbeAll, Resend, Unreachable
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._sdk.clients import checks_certificates
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._settings.colab import read_secrets
from safe_langsmith._transport.budget import (
    Clock,
    ask_all,
    do_blocking,
    probe_retries,
    too_long,
    unchecked,
)
from safe_langsmith._transport.flights import Flight
from safe_langsmith._transport.httpx_exchange import LOCATION, RESENT
from safe_langsmith._transport.httpx_requests import log_in
from safe_langsmith._transport.httpx_unsent import read_settings_async
from safe_langsmith._transport.messages import (
    BODY_LIMIT,
    TooLargeError,
    probe_headers,
    reply_of,
)
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.settle import Read, Wait, Work, Works
from safe_langsmith._transport.unreachable import HTTPX, OVER, no_answer

T = TypeVar("T")


def _unredirected(response: httpx.Response) -> None:
    """Remove the Location that httpx would follow for a resent request."""
    if RESENT in response.request.extensions and response.has_redirect_location:
        location = response.headers.pop("Location")
        with contextlib.suppress(ValueError, httpx.InvalidURL):
            location = str(response.request.url.join(location))
        response.extensions[LOCATION] = location


async def _unredirected_async(response: httpx.Response) -> None:
    """The same for an async client."""
    _unredirected(response)


class Wire:
    """What sync and async clients share. ``home``: the endpoint of the refused request."""

    def __init__(
        self, owner: Owner, http: httpx.Client | httpx.AsyncClient, home: str
    ) -> None:
        self.owner = owner
        self.http: Any = http
        self.home = home
        self.clock = Clock(state_of(owner).policy.budget_s)

    hook: Callable[[Any], Any] = staticmethod(_unredirected)

    def do(self, work: Work) -> Any:
        """Do one piece of work, or return what to await for it."""
        raise NotImplementedError

    def follow_no_redirect(self) -> None:
        """Make resent requests follow no redirect, whatever the client's setting is."""
        hooks = self.http.event_hooks["response"]
        if self.hook not in hooks:
            hooks.append(self.hook)

    def withheld(self, step: Probe | Resend) -> Unreachable | None:
        """Why this must not be sent: no time is left, or certificates are not checked."""
        url = step.access.endpoint if isinstance(step, Resend) else step.url
        if not same_origin(url, self.home):
            # The SDK copies a session's certificate into the context of its httpx clients.
            session: Any = getattr(self.owner, "session", None)
            if getattr(session, "cert", None) or not checks_certificates(self.http, url):
                return unchecked()
        if isinstance(step, Resend):
            return too_long(step, self.clock)
        return None if self.clock.left else no_answer(step, OVER)


class SyncWire(Wire):
    """Does the work of one refused request of a sync client."""

    def do(self, work: Work) -> Any:
        """Do one piece of work; the auth flow itself does a `Resend`."""
        if isinstance(work, (Read, Wait)):
            return do_blocking(work, self.owner, self.clock)
        if isinstance(work, ProbeAll):
            return ask_all(self._answer, work.probes, self.clock)
        return ask_all(self._answer, (cast("Probe", work),), self.clock)[0]

    def _answer(self, probe: Probe) -> Answer:
        answer: Answer = Retrying(**probe_retries(self.clock))(self._ask, probe)
        return answer

    def _ask(self, probe: Probe) -> Answer:
        withheld = self.withheld(probe)
        if withheld:
            return withheld
        before = sys.exc_info()[1]
        try:
            request = probe_request(self, probe)
            response = self.http.send(request, stream=True, **AS_IT_IS)
            with contextlib.closing(response):
                body = b""
                for piece in response.iter_bytes():
                    body = checked_body(body + piece, self.clock)
            url = probe.url
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # a custom transport may raise anything
            return no_answer(probe, error, before, HTTPX)


class AsyncWire(Wire):
    """Does the work of one refused request of an async client without blocking its loop."""

    hook = staticmethod(_unredirected_async)

    async def do(self, work: Work) -> Any:
        """Do one piece of work; the auth flow itself does a `Resend`."""
        if isinstance(work, Read):
            self.clock.start()
            read_secrets()  # Colab returns them only on the main thread
            return await read_settings_async(self.owner)
        if isinstance(work, Wait):
            return await _ended(work.flight, state_of(self.owner).policy.budget_s)
        if isinstance(work, ProbeAll):
            return await self._ask_all(work.probes)
        return await self._answer(cast("Probe", work))

    async def _answer(self, probe: Probe) -> Answer:
        retrying = AsyncRetrying(**probe_retries(self.clock))
        answer: Answer = await retrying(self._ask, probe)
        return answer

    async def _ask_all(self, probes: tuple[Probe, ...]) -> tuple[Answer, ...]:
        """Send several probes at the same time."""
        answers: dict[Probe, Answer] = {}

        async def one(probe: Probe) -> None:
            answers[probe] = await self._answer(probe)

        async with anyio.create_task_group() as group:
            for probe in probes:
                group.start_soon(one, probe)
        return tuple(answers[probe] for probe in probes)

    async def drive(self, works: Works[T]) -> T:
        """Do each piece of work that a generator yields, until it returns."""
        try:
            work = next(works)
            while True:
                work = works.send(await self.do(work))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            works.close()

    async def _ask(self, probe: Probe) -> Answer:
        withheld = self.withheld(probe)
        if withheld:
            return withheld
        before = sys.exc_info()[1]
        try:
            with anyio.fail_after(self.clock.left):
                request = probe_request(self, probe)
                response = await self.http.send(request, stream=True, **AS_IT_IS)
                async with contextlib.aclosing(response):
                    body = b""
                    with contextlib.suppress(TooLargeError):  # its status is known
                        async for piece in response.aiter_bytes():
                            body += piece
                            checked_body(body, self.clock)
            url = probe.url
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # a custom transport may raise anything
            return no_answer(probe, error, before, HTTPX)


# A probe bypasses our own check of its response, and follows no redirect, so that no
# key goes to another host.
AS_IT_IS: dict[str, Any] = {"auth": httpx.Auth(), "follow_redirects": False}


def probe_request(wire: Wire, probe: Probe) -> httpx.Request:
    """A probe as a request of this httpx client, with its cookies and timeouts."""
    http, headers = wire.http, probe_headers(wire.owner, probe, wire.home)
    left = wire.clock.left
    limits = {n: min(t or left, left) for n, t in http.timeout.as_dict().items()}
    if probe.alone or not same_origin(probe.url, wire.home):
        # Cookies and headers of the client are only for its own host.
        extensions = {"timeout": limits}
        return httpx.Request("GET", probe.url, headers=headers, extensions=extensions)
    timeout = httpx.Timeout(**limits)
    request: httpx.Request = http.build_request(
        "GET", probe.url, headers=headers, timeout=timeout
    )
    for name in ("x-api-key", "X-Tenant-Id", "Authorization", "Content-Type"):
        if name not in headers:
            request.headers.pop(name, None)
    log_in(request)
    return request


def checked_body(body: bytes, clock: Clock) -> bytes:
    """Return the body so far. Raises if it is too large, or if time is over."""
    if len(body) > BODY_LIMIT:
        raise TooLargeError("the response is too large")
    if not clock.left:
        raise TimeoutError
    return body


async def _ended(flight: Flight, seconds: float) -> bool:
    """Wait for a flight, whichever thread or event loop leads it."""
    event = anyio.Event()
    flight.when_ended(_setter(event))
    with anyio.move_on_after(seconds):
        await event.wait()
    return flight.ended.is_set()


def _setter(event: anyio.Event) -> Callable[[], object]:
    """A function that sets an event of this event loop from any thread."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _trio_setter(event)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits
            loop.call_soon_threadsafe(event.set)

    return wake


def _trio_setter(event: anyio.Event) -> Callable[[], object]:
    import trio

    token = trio.lowlevel.current_trio_token()
    return lambda: token.run_sync_soon(event.set)
