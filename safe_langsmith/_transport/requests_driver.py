"""The transport for `requests`: send what a refused request needs to come to its end.

Only imported once something was refused.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from langsmith._internal._multipart import RewindableMultipartBody
from langsmith.client import _LangSmithHttpAdapter
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth, rewind_body
from tenacity import Retrying

from safe_langsmith._decision.protocol import (
    Answer,
    Probe,
    ProbeAll,
    Refusal,
    Reply,
    Resend,
    Unreachable,
)
from safe_langsmith._decision.resolve import never_sendable, no_address, no_tunnel
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access, is_sure_refusal
from safe_langsmith._knowledge.hosts import origin, same_origin
from safe_langsmith._knowledge.operations import is_read, is_run_batch, operation
from safe_langsmith._settings import as_sent
from safe_langsmith._transport.hook import Hook, first_request, lost_its_method
from safe_langsmith._transport.ledger import retold
from safe_langsmith._transport.settle import (
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
    text_of,
    tie,
    too_long,
    tunnel_refusal,
    unchecked,
)
from safe_langsmith.errors import AccessDeniedError, error_for

if TYPE_CHECKING:
    from safe_langsmith._client import SafeClient

T = TypeVar("T")


def answer(
    client: SafeClient, response: requests.Response, kwargs: Mapping[str, Any]
) -> requests.Response | None:
    """Deal with an answer that may be a refusal.

    Returns the response to hand on, or None to leave the answer as it is.

    Raises:
        AccessDeniedError: If it is a refusal that cannot be repaired.
    """
    if not _is_ours(client, response.request):
        return None
    exchange = RequestsExchange(client, response, kwargs)
    if not exchange.reply().is_refusal:
        return None
    settled = _settled_trace if exchange.is_trace else _settled
    diagnosis = settled(client, exchange)
    if diagnosis is not None:
        exchange.response.close()
        raise exchange.error(diagnosis)
    return exchange.response


def _settled(client: SafeClient, exchange: RequestsExchange) -> Diagnosis | None:
    """See a refused request to its end; None if it was answered."""
    with RequestsWire(client, exchange, Clock(client.policy.budget_s)) as wire:
        return wire.drive(settle(client, exchange))


def _settled_trace(client: SafeClient, exchange: RequestsExchange) -> Diagnosis | None:
    """The same on the tracing path, where all refusals of a cooldown share one budget."""
    ledger, what = client._ledger, (exchange.access, exchange.operation)
    left, started = ledger.left_for_traces(client.policy), time.monotonic()
    if not left and what in ledger.of_traces:
        return replace(ledger.of_traces[what], resolved=False)
    try:
        with RequestsWire(client, exchange, Clock(left, shared=True)) as wire:
            found = wire.drive(settle(client, exchange))
    finally:
        ledger.spend_on_traces(time.monotonic() - started)
    if found is not None:
        ledger.of_traces[what] = found
    return found


def diagnose(client: SafeClient) -> Diagnosis:
    """Check what this client may do, and repair nothing."""
    with RequestsWire(client, None, Clock(client.policy.budget_s)) as wire:
        return wire.drive(diagnosed(client))


def never_sent(
    client: SafeClient, method: str, path: str, error: Exception
) -> AccessDeniedError:
    """The error for a request that could not be sent: its key or address is no such.

    Or a proxy would not connect it to its host.
    """
    setup = read_settings(client)
    status = tunnel_refusal(error.__cause__ or error)
    if isinstance(error.__cause__, requests.exceptions.ProxyError):
        sent = Access(origin(path) or client.api_url, client._api_key, client._workspace_id)
        setup = as_sent(setup, sent, client._custom_headers)
        path = target_of(path, (client.api_url, *client._write_api_urls)).path
        diagnosis = no_tunnel(method, path, setup, status)
    elif origin(client.api_url):
        diagnosis = never_sendable(method, path, setup)
    else:
        diagnosis = no_address(method, path, setup)
    record(client, diagnosis)
    return error_for(diagnosis, instead_of=error)


def _is_ours(client: SafeClient, request: requests.PreparedRequest) -> bool:
    """Whether the SDK made this request with this client.

    A caller's session may serve other hosts and other clients. The SDK marks its
    requests with its User-Agent; and of several clients on one session, the one that
    holds the key comes first.
    """
    if request.headers.get("User-Agent") != client._headers.get("User-Agent"):
        return False
    hooks = client.session.hooks["response"]
    found = [hook.client() for hook in hooks if isinstance(hook, Hook)]
    clients = [other for other in found if other is not None]
    key = text_of(request.headers.get("x-api-key"))
    return next((c for c in clients if c._api_key == key), clients[0]) is client


class RequestsExchange:
    """One refused request of `requests`: its answer, and how to send it again."""

    def __init__(
        self, client: SafeClient, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> None:
        self.client = client
        self.response = response
        self.kwargs = kwargs
        # What the SDK asked for; requests may have followed a redirect since.
        answered = response.request
        self.request = first_request(answered)
        asked, self.method = self.request.url or "", self.request.method or ""
        self.redirected_to = moved_on(asked, answered.url or "")
        self.came_as_get = lost_its_method(answered)
        endpoints = (client.api_url, *client._write_api_urls)
        self.target = target_of(asked, endpoints)
        headers = self.request.headers
        self.access = access_of(self.target.endpoint, headers, client._access())
        self.home = self.access.endpoint
        self.operation = operation(self.method, self.target.path)
        self.is_read = is_read(self.method, self.target.path)
        self.is_trace = is_run_batch(self.method, self.target.path)

    def reply(self) -> Reply:
        """The answer as plain data; the body of a success stays unread."""
        response, kind = self.response, self.response.headers.get("Content-Type", "")
        has_words = response.status_code >= 400 or "html" in kind
        try:
            if is_sure_refusal(response.status_code, kind):
                _read_refusal(response, Clock(self.client.policy.budget_s))
            body = response.content if has_words else b""
        except OSError:
            response.close()  # the SDK lets go of it, and with it of an open socket
            raise
        reply = refused_reply(response, body)
        if not self.redirected_to:
            return reply
        return replace(
            reply, redirected_to=self.redirected_to, came_as_get=self.came_as_get
        )

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""
        return Refusal(
            method=self.method,
            path=self.target.path,
            reply=self.reply(),
            access=self.access,
            worked=worked,
            replayable=_is_replayable(self.request),
            login=self._login(),
            tied_by=self._tied_by(),
            secrets=secrets_in(self.client, self.request.headers),
        )

    def _login(self) -> str:
        """Where an `Authorization` came from that is none of the client's, or nothing."""
        client, request = self.client, self.request
        session, given = client.session, {name.lower() for name in client._headers}
        if "Authorization" not in request.headers or "authorization" in given:
            return ""
        if session.auth or "Authorization" in session.headers:
            return "your session"
        found = session.trust_env and get_netrc_auth(request.url or "")
        return "your .netrc file" if found else "this request"

    def _tied_by(self) -> str:
        """What ties the request to its host, besides its key; or nothing."""
        if login := self._login():
            return f"the login from {login}"
        if self.kwargs.get("cert"):
            return "the certificate of your session"
        return tie(self.client, self.request.headers)

    def error(self, diagnosis: Diagnosis) -> AccessDeniedError:
        """The error of a diagnosis, for this request."""
        told = retold(diagnosis, self.operation, self.response.status_code)
        hard_delete = self.target.path.endswith("/platform/datasets/examples/delete")
        return error_for(told, bare=hard_delete)

    def resend(self, access: Access) -> Reply:
        """Send the request again with another access, its body from the start."""
        refused, request = self.response, self.request.copy()
        _ = refused.content  # read to its end, the connection can be used again
        refused.close()
        request.url = self.target.url(access.endpoint)
        headers = resent_headers(request.headers, access, self.access)
        request.headers = CaseInsensitiveDict(headers)
        if isinstance(request.body, RewindableMultipartBody):
            request.body.seek(0)
        elif request._body_position is not None:
            rewind_body(request)
        session, kwargs = self.client.session, self.kwargs
        if not same_origin(access.endpoint, self.home):
            # Another host may have another proxy, and gets no certificate of the client.
            there = session.merge_environment_settings(request.url, {}, None, None, None)
            kwargs = {**kwargs, "proxies": there["proxies"], "cert": None}
        started = time.perf_counter()
        self.response = session.get_adapter(request.url).send(request, **kwargs)
        self.response.elapsed = timedelta(seconds=time.perf_counter() - started)
        self.request, self.access = request, access
        if self.response.is_redirect:
            self.response.close()  # nobody reads it, nor goes on from there
        return self.reply()


def _read_refusal(response: requests.Response, clock: Clock) -> None:
    """Read the body of a refusal; what is too much of it, or comes too late, is left.

    The plain client would wait for as long as somebody sends.
    """
    if response._content is not False:
        return
    pieces: list[bytes] = []
    try:
        pieces.extend(_pieces(response, clock))
        response._content = b"".join(pieces)
    except (OSError, ValueError):
        if clock.left and sum(map(len, pieces)) <= BODY_LIMIT:
            raise
        cut(response, b"".join(pieces))
    response.close()
    response._content_consumed = True


def _pieces(response: requests.Response, clock: Clock) -> Iterator[bytes]:
    """A body in pieces, at most so much of it and only while there is time."""
    # A read waits for as long as single bytes come; only its socket can end it.
    end = threading.Timer(clock.left, _shut, (response,))
    end.daemon = True
    with contextlib.suppress(RuntimeError):  # when the interpreter shuts down
        end.start()
    size = 0
    try:
        for piece in response.iter_content(16_384):
            yield piece
            size += len(piece)
            if size > BODY_LIMIT:
                raise ValueError("the answer is too large")
            if not clock.left:
                raise requests.ReadTimeout
    except requests.RequestException as broken:
        if clock.left:
            raise
        # A read that we ended ourselves looks like a broken one.
        raise requests.ReadTimeout from broken
    finally:
        end.cancel()


def _shut(response: requests.Response) -> None:
    """End a read of this body on another thread, where urllib3 knows how."""
    with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
        response.raw.shutdown()


def _is_replayable(request: requests.PreparedRequest) -> bool:
    """Whether the body can be sent once more: it is in memory, or can be rewound."""
    body = request.body
    # The SDK's own form knows how to begin anew; requests takes no note of its place.
    if body is None or isinstance(body, (bytes, str, RewindableMultipartBody)):
        return True
    return isinstance(request._body_position, int) and hasattr(body, "seek")


class RequestsWire:
    """Does the work of one refused request, within the budget of a diagnosis.

    Probes go through the client's own session: its proxies, certificates, cookies and
    headers stay in force at its own host. They follow no redirect, so no key travels to
    another host.
    """

    def __init__(
        self, client: SafeClient, exchange: RequestsExchange | None, clock: Clock
    ) -> None:
        self.client = client
        self.exchange = exchange
        self.home = exchange.home if exchange else client.api_url
        self.clock = clock
        # The SDK's adapter retries beneath us and sleeps as long as the server says.
        self.adapter = HTTPAdapter(max_retries=0)

    def __enter__(self) -> RequestsWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.adapter.close()

    def drive(self, works: Works[T]) -> T:
        """Do each piece of work that a generator asks for, until it returns."""
        try:
            work = next(works)
            while True:
                work = works.send(self.do(work))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            works.close()

    def do(self, work: Work) -> Any:
        """Do one piece of work."""
        if isinstance(work, Resend):
            return self._resend(work)
        if isinstance(work, Probe):
            return ask_all(self._answer, (work,), self.clock)[0]
        if isinstance(work, ProbeAll):
            return ask_all(self._answer, work.probes, self.clock)
        return do_blocking(work, self.client, self.clock)

    def _resend(self, step: Resend) -> Answer:
        if self.exchange is None:
            return Unreachable("there is no request to send again")
        refused = too_long(step, self.clock)
        if refused:
            return refused
        url = step.access.endpoint
        if not same_origin(url, self.home) and not self._is_checked(url):
            return unchecked()
        retrying = Retrying(**resend_retries(step, self.clock))
        retrying.sleep(step.waits[0])
        reply: Reply = retrying(self.exchange.resend, step.access)
        return reply

    def _answer(self, probe: Probe) -> Answer:
        answer: Answer = Retrying(**probe_retries(self.clock))(self._ask, probe)
        return answer

    def _ask(self, probe: Probe) -> Answer:
        session, left = self.client.session, self.clock.left
        if not left:
            return no_answer(probe, "Policy.budget_s is over")
        try:
            elsewhere = not same_origin(probe.url, self.home)
            if elsewhere and not self._is_checked(probe.url):
                return unchecked()
            headers = probe_headers(self.client, probe, self.home)
            asked = requests.Request("GET", probe.url, headers)
            # Cookies, headers and logins of the session are for the client's own host.
            alone = probe.alone or elsewhere
            request = asked.prepare() if alone else session.prepare_request(asked)
            settings = self._settings(probe.url)
            if elsewhere:
                settings["cert"] = None
            connect, read_one = (min(t, left) for t in self.client._timeout)
            adapter = self._adapter(probe.url)
            response = adapter.send(request, timeout=(connect, read_one), **settings)
            with contextlib.closing(response):
                body = b"".join(_pieces(response, self.clock))
            url = request.url or ""
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # somebody's own adapter may raise anything
            return no_answer(probe, type(error).__name__)

    def _settings(self, url: str) -> dict[str, Any]:
        """What the session says of proxies, certificates and the like for an address."""
        session = self.client.session
        settings: Any = session.merge_environment_settings(url, {}, True, None, None)
        return dict(settings)

    def _is_checked(self, url: str) -> bool:
        """Whether this session is sure to check the certificate of a host.

        Somebody's own adapter may do anything.
        """
        own = type(self.client.session.get_adapter(url)) in (
            HTTPAdapter,
            _LangSmithHttpAdapter,
        )
        refused_with = self.exchange.kwargs if self.exchange else {}
        verify = self._settings(url)["verify"] and refused_with.get("verify", True)
        return own and bool(verify)

    def _adapter(self, url: str) -> BaseAdapter:
        mounted = self.client.session.get_adapter(url)
        return self.adapter if isinstance(mounted, _LangSmithHttpAdapter) else mounted
