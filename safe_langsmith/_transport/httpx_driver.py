"""The transport for httpx, sync and async: the async client and the v2 resources.

Only imported once something was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
from langsmith._httpx import httpx
from tenacity import AsyncRetrying, Retrying

from safe_langsmith._decision.protocol import (
    Answer,
    Probe,
    ProbeAll,
    Refusal,
    Reply,
    Resend,
    Unreachable,
)
from safe_langsmith._decision.resolve import no_address, no_tunnel
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access, is_sure_refusal
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._knowledge.keys import mask, scrub
from safe_langsmith._knowledge.operations import is_read, is_run_batch, operation
from safe_langsmith._settings import Setup
from safe_langsmith._settings.colab import read_secrets
from safe_langsmith._transport.auth import log_in, lost_its_method
from safe_langsmith._transport.ledger import Flight, retold
from safe_langsmith._transport.settle import (
    Owner,
    Read,
    Wait,
    Work,
    Works,
    diagnosed,
    read_settings,
    record,
    settle,
)
from safe_langsmith._transport.wire import (
    BODY_LIMIT,
    Clock,
    access_of,
    ask_all,
    cut,
    do_blocking,
    moved_on,
    no_answer,
    probe_headers,
    probe_retries,
    refused_reply,
    reply_of,
    resend_retries,
    resent_headers,
    secrets_in,
    target_of,
    tie,
    too_long,
    tunnel_refusal,
    unchecked,
)
from safe_langsmith.errors import AccessDeniedError, error_for, resource_error_for

if TYPE_CHECKING:
    from safe_langsmith._transport.auth import RefusalAuth

T = TypeVar("T")


def answer(
    auth: RefusalAuth, request: httpx.Request, response: httpx.Response
) -> Generator[httpx.Request, httpx.Response, None]:
    """See a request of a sync client to its end, if it was refused."""
    owner, http = auth.owner(), auth.http()
    _read(response, owner)
    if owner is None or http is None:
        return
    exchange = HttpxExchange(owner, request, response)
    if not exchange.reply().is_refusal:
        return
    with contextlib.suppress(httpx.StreamError):
        exchange.keep(request.read())
    wire = SyncWire(owner, http, exchange.home)
    works = settle(owner, exchange)
    try:
        work = next(works)
        while True:
            if isinstance(work, Resend):
                done: Any = yield from _resend(work, exchange, wire)
            else:
                done = wire.do(work)
            work = works.send(done)
    except StopIteration as stop:
        found: Diagnosis | None = stop.value
    finally:
        works.close()
    exchange.end(found, generated=auth.generated)


def _resend(
    step: Resend, exchange: HttpxExchange, wire: SyncWire
) -> Generator[httpx.Request, httpx.Response, Answer]:
    refused = wire.withheld(step)
    if refused:
        return refused
    follow_no_redirect(wire.http, _unredirected)
    retrying = Retrying(**resend_retries(step, wire.clock))
    retrying.sleep(step.waits[0])
    for attempt in retrying:
        response = yield exchange.again(step.access)
        if exchange.take(response):
            _read(response, exchange.owner)
        attempt.retry_state.set_result(exchange.reply())
    return exchange.reply()


async def async_answer(
    auth: RefusalAuth, request: httpx.Request, response: httpx.Response
) -> AsyncGenerator[httpx.Request, httpx.Response]:
    """See a request of an async client to its end, if it was refused."""
    owner, http = auth.owner(), auth.http()
    await _aread(response, owner)
    if owner is None or http is None:
        return
    exchange = HttpxExchange(owner, request, response)
    if not exchange.reply().is_refusal:
        return
    with contextlib.suppress(httpx.StreamError):
        exchange.keep(await request.aread())
    wire = AsyncWire(owner, http, exchange.home)
    works = settle(owner, exchange)
    try:
        work = next(works)
        while True:
            if isinstance(work, Resend):
                # The same as `_resend`; an async generator cannot delegate to another.
                done: Any = wire.withheld(work)
                if done is None:
                    follow_no_redirect(http, _aunredirected)
                    await anyio.sleep(work.waits[0])
                    async for attempt in AsyncRetrying(**resend_retries(work, wire.clock)):
                        response = yield exchange.again(work.access)
                        if exchange.take(response):
                            await _aread(response, exchange.owner)
                        attempt.retry_state.set_result(exchange.reply())
                    done = exchange.reply()
            else:
                done = await wire.do(work)
            work = works.send(done)
    except StopIteration as stop:
        found: Diagnosis | None = stop.value
    finally:
        works.close()
    exchange.end(found, generated=auth.generated)


# Marks a request that was sent again, and the address that it was redirected to.
RESENT, LOCATION = "safe_langsmith.resent", "safe_langsmith.location"


def follow_no_redirect(http: httpx.Client | httpx.AsyncClient, hook: Any) -> None:
    """Have requests that are sent again follow no redirect, whatever the others do."""
    hooks = http.event_hooks["response"]
    if hook not in hooks:
        hooks.append(hook)


def _unredirected(response: httpx.Response) -> None:
    """Take off the address by which httpx would follow a redirect."""
    if RESENT in response.request.extensions and response.has_redirect_location:
        location = response.headers.pop("Location")
        response.extensions[LOCATION] = str(response.request.url.join(location))


async def _aunredirected(response: httpx.Response) -> None:
    """The same for an async client."""
    _unredirected(response)


def _read(response: httpx.Response, owner: Owner | None) -> None:
    """Read an answer that may be a refusal.

    Of one that is sure to be, what is too much or comes too late is left: the plain
    client would wait for as long as somebody sends.
    """
    if owner is None or not _is_sure(response):
        response.read()
        return
    clock, body = Clock(owner.policy.budget_s), b""
    try:
        with contextlib.closing(response):
            for piece in response.iter_bytes():
                body += piece
                grown(body, clock)
        response._content = body
    except (TimeoutError, TooLargeError):
        cut(response, body)


async def _aread(response: httpx.Response, owner: Owner | None) -> None:
    """The same for an async client."""
    if owner is None or not _is_sure(response):
        await response.aread()
        return
    clock, body = Clock(owner.policy.budget_s), b""
    try:
        async with contextlib.aclosing(response):
            async for piece in response.aiter_bytes():
                body += piece
                grown(body, clock)
        response._content = body
    except (TimeoutError, TooLargeError):
        cut(response, body)


def _is_sure(response: httpx.Response) -> bool:
    return is_sure_refusal(response.status_code, response.headers.get("Content-Type", ""))


class HttpxExchange:
    """One refused request of httpx: its answer, and how to send it again."""

    def __init__(
        self, owner: Owner, request: httpx.Request, response: httpx.Response
    ) -> None:
        self.owner = owner
        self.first = self.request = request
        self.response = response
        self.replayable = False
        self.body: bytes | None = None
        own = owner._access()
        self.target = target_of(str(request.url), (own.endpoint,))
        self.access = access_of(self.target.endpoint, request.headers, own)
        self.home = self.access.endpoint
        self.operation = operation(request.method, self.target.path)
        self.is_read = is_read(request.method, self.target.path)
        self.is_trace = is_run_batch(request.method, self.target.path)

    def keep(self, body: bytes) -> None:
        """Take the body that was read back, if it is whole.

        A stream that had ended gives too little, and one of unknown length may.
        """
        self.body = body or None
        headers = self.request.headers
        size = int(headers.get("Content-Length", len(body)))
        self.replayable = len(body) == size and "Transfer-Encoding" not in headers

    def reply(self) -> Reply:
        """The answer as plain data; the body of a success stays unread."""
        response = self.response
        body = response.content if self._is_read() else b""
        reply = refused_reply(response, body)
        asked, answered = str(self.request.url), str(response.request.url)
        there = response.extensions.get(LOCATION) or moved_on(asked, answered)
        if not there:
            return reply
        as_get = lost_its_method(self.first, response.request)
        return replace(reply, redirected_to=there, came_as_get=as_get)

    def _is_read(self) -> bool:
        page = "html" in self.response.headers.get("Content-Type", "")
        return bool(self.response.status_code >= 400 or page)

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""
        return Refusal(
            method=self.request.method,
            path=self.target.path,
            reply=self.reply(),
            access=self.access,
            worked=worked,
            replayable=self.replayable,
            tied_by=tie(self.owner, self.request.headers),
            secrets=secrets_in(self.owner, self.request.headers),
        )

    def again(self, access: Access) -> httpx.Request:
        """The request with another access; its body is in memory by now."""
        before = self.request
        self.request = httpx.Request(
            before.method,
            self.target.url(access.endpoint),
            headers=resent_headers(before.headers, access, self.access),
            content=self.body,
            extensions={**before.extensions, RESENT: True},
        )
        self.access = access
        return self.request

    def take(self, response: httpx.Response) -> bool:
        """Take the newest answer, and say whether its body is to be read."""
        self.response = response
        return self._is_read()

    def end(self, diagnosis: Diagnosis | None, *, generated: bool) -> None:
        """Have the SDK raise the error of a diagnosis when it checks the status."""
        if diagnosis is None:
            return
        response = self.response
        told = retold(diagnosis, self.operation, response.status_code)
        error: AccessDeniedError
        if generated:
            error = resource_error_for(told, response, self._struck())
        else:
            error = error_for(told)

        def refuse() -> None:
            raise error

        # Raised inside the flow, an error would count as a failed connection, and the
        # generated clients would try twice more.
        vars(response)["raise_for_status"] = refuse

    def _struck(self) -> object:
        """Strike the key out of the request, and give the body that is left."""
        # `response.text` takes any encoding that the server names, and fails in some.
        requests = {self.first, self.request, self.response.request}
        secrets = [*secrets_in(self.owner, self.first.headers)]
        secrets += [secret for request in requests for secret in _strike(request)]
        data = self.reply().data()
        if data is None:
            return scrub(self.reply().body, secrets).strip()
        return _without(data, secrets)


def _without(data: object, secrets: list[str]) -> object:
    """JSON without secrets, also where they were spelled with escapes."""
    if isinstance(data, str):
        return scrub(data, secrets)
    if isinstance(data, list):
        return [_without(item, secrets) for item in data]
    if isinstance(data, dict):
        return {scrub(n, secrets): _without(v, secrets) for n, v in data.items()}
    return data


def _strike(request: httpx.Request) -> list[str]:
    """Strike what is secret out of the headers of a request, and give it."""
    headers = request.headers
    names = [name for name in ("x-api-key", "Authorization") if name in headers]
    secrets = [headers[name] for name in names]
    for name in names:
        headers[name] = mask(headers[name]).replace("\u2026", "...")
    return secrets


async def _read_settings(owner: Owner) -> Setup:
    """Read them on a thread of our own: those of anyio's pool may all be busy."""
    return await anyio.to_thread.run_sync(
        read_settings, owner, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
    )


async def unsent(owner: Owner, request: httpx.Request) -> Diagnosis:
    """The diagnosis of a request whose address is none."""
    setup = await _read_settings(owner)
    return _unsent(owner, request, setup)


def unsent_here(owner: Owner, request: httpx.Request) -> Diagnosis:
    """The same on a thread that may block."""
    return _unsent(owner, request, read_settings(owner))


def _path_of(owner: Owner, request: httpx.Request) -> str:
    """The path of a request below its client's endpoint; its secrets are struck out."""
    _strike(request)
    return target_of(str(request.url), (owner._access().endpoint,)).path


def _unsent(owner: Owner, request: httpx.Request, setup: Setup) -> Diagnosis:
    path = _path_of(owner, request)
    diagnosis = no_address(request.method, path, setup)
    record(owner, diagnosis)
    return diagnosis


async def no_tunnel_for(
    owner: Owner, method: str, asked: str | httpx.Request, error: Exception
) -> Diagnosis | None:
    """The diagnosis of a request that a proxy did not connect to its host, if that is so.

    ``asked``: the path of the request, or the request; then its secrets are struck out.
    """
    if not _is_no_tunnel(error):
        return None
    setup = await _read_settings(owner)
    return _no_tunnel(owner, method, asked, error, setup)


def no_tunnel_here(
    owner: Owner, method: str, asked: str | httpx.Request, error: Exception
) -> Diagnosis | None:
    """The same on a thread that may block."""
    if not _is_no_tunnel(error):
        return None
    return _no_tunnel(owner, method, asked, error, read_settings(owner))


def _is_no_tunnel(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, httpx.ProxyError) and bool(tunnel_refusal(cause))


def _no_tunnel(
    owner: Owner, method: str, asked: str | httpx.Request, error: Exception, setup: Setup
) -> Diagnosis:
    path = asked if isinstance(asked, str) else _path_of(owner, asked)
    diagnosis = no_tunnel(method, path, setup, tunnel_refusal(error.__cause__ or error))
    record(owner, diagnosis)
    return diagnosis


class Wire:
    """What both kinds of client share. ``home``: the endpoint of the refused request."""

    def __init__(
        self, owner: Owner, http: httpx.Client | httpx.AsyncClient, home: str
    ) -> None:
        self.owner = owner
        self.http: Any = http
        self.home = home
        self.clock = Clock(owner.policy.budget_s)

    def withheld(self, step: Probe | Resend) -> Unreachable | None:
        """Why this is not sent: there is no time, or nobody checks who answers there."""
        url = step.access.endpoint if isinstance(step, Resend) else step.url
        if not same_origin(url, self.home):
            # The SDK puts a session's certificate into the context of its httpx clients.
            session: Any = getattr(self.owner, "session", None)
            if getattr(session, "cert", None) or not is_checked(self.http, url):
                return unchecked()
        if isinstance(step, Resend):
            return too_long(step, self.clock)
        return None if self.clock.left else no_answer(step, "Policy.budget_s is over")


class SyncWire(Wire):
    """Does the work of one refused request of a sync client."""

    def do(self, work: Work) -> Any:
        """Do one piece of work; a `Resend` is the flow's own."""
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
        try:
            request = probe_request(self, probe)
            response = self.http.send(request, stream=True, **AS_IT_IS)
            with contextlib.closing(response):
                body = b""
                for piece in response.iter_bytes():
                    body = grown(body + piece, self.clock)
            url = probe.url
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # somebody's own transport may raise anything
            return no_answer(probe, type(error).__name__)


class AsyncWire(Wire):
    """Does the work of one refused request of an async client; blocks no event loop."""

    async def do(self, work: Work) -> Any:
        """Do one piece of work; a `Resend` is the flow's own."""
        if isinstance(work, Read):
            self.clock.start()
            read_secrets()  # Colab answers on the main thread alone
            return await _read_settings(self.owner)
        if isinstance(work, Wait):
            return await _ended(work.flight, self.owner.policy.budget_s)
        if isinstance(work, ProbeAll):
            return await self._ask_all(work.probes)
        return await self._answer(cast("Probe", work))

    async def _answer(self, probe: Probe) -> Answer:
        retrying = AsyncRetrying(**probe_retries(self.clock))
        answer: Answer = await retrying(self._ask, probe)
        return answer

    async def _ask_all(self, probes: tuple[Probe, ...]) -> tuple[Answer, ...]:
        """Ask several questions at the same time."""
        answers: dict[Probe, Answer] = {}

        async def one(probe: Probe) -> None:
            answers[probe] = await self._answer(probe)

        async with anyio.create_task_group() as group:
            for probe in probes:
                group.start_soon(one, probe)
        return tuple(answers[probe] for probe in probes)

    async def drive(self, works: Works[T]) -> T:
        """Do each piece of work that a generator asks for, until it returns."""
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
        try:
            with anyio.fail_after(self.clock.left):
                request = probe_request(self, probe)
                response = await self.http.send(request, stream=True, **AS_IT_IS)
                async with contextlib.aclosing(response):
                    body = b""
                    async for piece in response.aiter_bytes():
                        body = grown(body + piece, self.clock)
            url = probe.url
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # somebody's own transport may raise anything
            return no_answer(probe, type(error).__name__)


async def diagnose(owner: Owner, http: httpx.AsyncClient) -> Diagnosis:
    """Check what this client may do, and repair nothing."""
    return await AsyncWire(owner, http, owner._access().endpoint).drive(diagnosed(owner))


# A probe is sent without our own look at its answer, and follows no redirect: no key
# travels to another host.
AS_IT_IS: dict[str, Any] = {"auth": httpx.Auth(), "follow_redirects": False}


def probe_request(wire: Wire, probe: Probe) -> httpx.Request:
    """A probe as a request of this httpx client: with its cookies and its timeouts."""
    http, headers = wire.http, probe_headers(wire.owner, probe, wire.home)
    left = wire.clock.left
    limits = {n: min(t or left, left) for n, t in http.timeout.as_dict().items()}
    if probe.alone or not same_origin(probe.url, wire.home):
        # Cookies and headers of the client are for its own host.
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


def is_checked(http: httpx.Client | httpx.AsyncClient, url: str) -> bool:
    """Whether this httpx client is sure to check the certificate of a host.

    Somebody's own transport may do anything.
    """
    transport: Any = http._transport_for_url(httpx.URL(url))
    if not isinstance(transport, (httpx.HTTPTransport, httpx.AsyncHTTPTransport)):
        return False
    context = getattr(transport._pool, "_ssl_context", None)
    required = getattr(context, "verify_mode", ssl.CERT_NONE) == ssl.CERT_REQUIRED
    return required and getattr(context, "check_hostname", False)


class TooLargeError(ValueError):
    """An answer that is larger than anybody needs it."""


def grown(body: bytes, clock: Clock) -> bytes:
    """The body so far, if it is not too large and there is time for more."""
    if len(body) > BODY_LIMIT:
        raise TooLargeError("the answer is too large")
    if not clock.left:
        raise TimeoutError
    return body


async def _ended(flight: Flight, seconds: float) -> bool:
    """Wait for a flight, whatever thread or event loop leads it."""
    event = anyio.Event()
    flight.when_ended(_setter(event))
    with anyio.move_on_after(seconds):
        await event.wait()
    return flight.ended.is_set()


def _setter(event: anyio.Event) -> Callable[[], object]:
    """What sets an event of this event loop from any thread."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _trio_setter(event)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(event.set)

    return wake


def _trio_setter(event: anyio.Event) -> Callable[[], object]:
    import trio

    token = trio.lowlevel.current_trio_token()
    return lambda: token.run_sync_soon(event.set)
