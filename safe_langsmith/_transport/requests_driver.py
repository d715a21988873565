"""Drives refused requests through `requests`: sends probes and resends, and waits.

Imported only after a refusal.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ProxyError
from tenacity import Retrying

from safe_langsmith._decision.protocol import Answer, Probe, ProbeAll, Resend, Unreachable
from safe_langsmith._decision.resolve import never_sendable, no_address, no_tunnel
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import origin, same_origin
from safe_langsmith._knowledge.keys import can_be_sent, mask
from safe_langsmith._sdk.clients import (
    destinations_of,
    endpoint_of,
    given_headers,
    key_of,
    timeouts_of,
    workspace_of,
)
from safe_langsmith._sdk.guard import PassedOn, step_aside
from safe_langsmith._sdk.modules import retries_by_itself
from safe_langsmith._settings.reading import as_sent
from safe_langsmith._transport.budget import (
    Clock,
    ask_all,
    do_blocking,
    pauses,
    probe_retries,
    too_long,
    unchecked,
)
from safe_langsmith._transport.flights import for_operation, kind_of
from safe_langsmith._transport.messages import (
    TooLargeError,
    probe_headers,
    reply_of,
    target_of,
)
from safe_langsmith._transport.owner import SENDING, Owner, state_of
from safe_langsmith._transport.requests_exchange import RequestsExchange, pieces_of
from safe_langsmith._transport.responses import FOUND, is_hard_delete
from safe_langsmith._transport.settle import (
    Work,
    Works,
    diagnosed,
    is_refused,
    read_settings,
    record,
    settle,
)
from safe_langsmith._transport.unreachable import OVER, no_answer, tunnel_refusal
from safe_langsmith.errors import AccessDeniedError, error_for

T = TypeVar("T")


def answer(
    owner: Owner, response: requests.Response, kwargs: Mapping[str, Any]
) -> requests.Response | None:
    """Handle a refused request to the end.

    Returns the response to use instead, or None. If nothing was repaired, the diagnosis
    is stored on the response, under `FOUND`; the SDK raises its own error, and we replace
    it with ours.
    """
    exchange = RequestsExchange(owner, response, kwargs)
    if not is_refused(owner, exchange):
        return None
    vars(response)[FOUND] = None
    diagnosis = None
    try:
        settled = _settled_trace if exchange.is_trace else _settled
        diagnosis = settled(owner, exchange)
    except PassedOn:
        raise
    except Exception as error:
        step_aside("find out why a request was refused", error)
        if (
            exchange.response is response or exchange.reply().is_refusal
        ):  # pragma: no branch
            return None
    if diagnosis is None:
        # The SDK handles the new response as any other.
        vars(exchange.response)[FOUND] = None
        return exchange.response
    found = for_operation(diagnosis, exchange.operation, exchange.response.status_code)
    exchange.response.close()
    if SENDING.get() is None and is_hard_delete(exchange.target.path):
        # The error of this call is not translated elsewhere.
        raise PassedOn(_with_response(found, response))
    vars(response)[FOUND] = found
    if response.status_code < 400:
        vars(response)["raise_for_status"] = partial(_raise_for, weakref.ref(response))
    return None


def _raise_for(ref: weakref.ref[requests.Response]) -> None:
    """Make the SDK treat a response as an error even if its status is not one.

    Refers to it weakly: a cycle would keep its socket open until garbage collection.
    """
    raise requests.HTTPError("not a response of the LangSmith API", response=ref())


def _with_response(found: Diagnosis, response: requests.Response) -> AccessDeniedError:
    """A typed error that is also a `requests.HTTPError`, with its response but no key."""
    error: Any = error_for(found, instead_of=requests.HTTPError())
    sent = response.request
    for name in ("x-api-key", "Authorization"):
        if name in sent.headers:
            sent.headers[name] = mask(str(sent.headers[name])).replace("\u2026", "...")
    error.response, error.request = response, sent
    denied: AccessDeniedError = error
    return denied


def explain(
    owner: Owner,
    error: Exception,
    response: requests.Response | None,
    asked: tuple[str, str],
    settings: Mapping[str, Any],
) -> AccessDeniedError | requests.Response | None:
    """The typed error, or the response after a repair; None keeps the SDK's error.

    ``response``: the one that the error is about. If our hook was not called, because the
    session was replaced, its work is done here. ``asked``: method and path. ``settings``:
    the arguments of the request.
    """
    if response is None:
        return _never_sent(owner, *asked, error)
    if FOUND not in vars(response):
        session: Any = owner.session  # type: ignore[attr-defined]  # it is a sync one
        merge = getattr(session, "merge_environment_settings", None)
        given = (settings.get(n) for n in ("stream", "verify", "cert"))
        kwargs = merge(response.url, settings.get("proxies") or {}, *given) if merge else {}
        kwargs["timeout"] = settings.get("timeout", timeouts_of(owner))
        try:
            answered = answer(owner, response, kwargs)
        except PassedOn:  # pragma: no cover  (it was resent, and got no response)
            return None
        if answered is not None:
            return answered if answered.ok else None
    found = vars(response).get(FOUND)
    return found and error_for(found, instead_of=error)


def _settled(owner: Owner, exchange: RequestsExchange) -> Diagnosis | None:
    """Handle a refused request; None if it was repaired."""
    with RequestsWire(owner, exchange, Clock(state_of(owner).policy.budget_s)) as wire:
        return wire.drive(settle(owner, exchange))


def _settled_trace(owner: Owner, exchange: RequestsExchange) -> Diagnosis | None:
    """The same on the tracing path, where all refusals in a cooldown share one budget."""
    state, kind = state_of(owner), kind_of(exchange.reply())
    what = (exchange.access, exchange.operation, kind)
    left, started = state.left_for_traces(), time.monotonic()
    if not left and what in state.of_traces:
        return replace(state.of_traces[what], resolved=False)
    try:
        with RequestsWire(owner, exchange, Clock(left, shared=True)) as wire:
            found = wire.drive(settle(owner, exchange))
    finally:
        state.spend_on_traces(time.monotonic() - started)
    if found is not None:
        state.of_traces[what] = found
    return found


def diagnose(owner: Owner) -> Diagnosis:
    """Run every check now. Repairs nothing."""
    with RequestsWire(owner, None, Clock(state_of(owner).policy.budget_s)) as wire:
        return wire.drive(diagnosed(owner))


def _never_sent(
    owner: Owner, method: str, path: str, error: Exception
) -> AccessDeniedError | None:
    """The error for a request that could not be sent; None if we cannot explain it.

    Causes: a key that no header can hold, an invalid URL, or a proxy that refused to
    connect.
    """
    cause, endpoint = error.__cause__, endpoint_of(owner)
    status = tunnel_refusal(cause) if isinstance(cause, ProxyError) else ""
    unsendable = isinstance(cause, (UnicodeError, requests.exceptions.InvalidHeader))
    own_values = [value for value in (key_of(owner), workspace_of(owner)) if value]
    # A full URL may be that of an additional trace destination.
    own, there = path.startswith((endpoint, "/")), origin(path)
    path = target_of(path, (endpoint, *destinations_of(owner))).path
    if status:
        setup = read_settings(owner)
        sent = Access(there or endpoint, key_of(owner), workspace_of(owner))
        setup = as_sent(setup, sent, given_headers(owner))
        diagnosis = no_tunnel(method, path, setup, status)
    elif own and not origin(endpoint):
        diagnosis = no_address(method, path, read_settings(owner))
    elif unsendable and not all(map(can_be_sent, own_values)):
        diagnosis = never_sendable(method, path, read_settings(owner))
    else:
        return None
    record(owner, diagnosis)
    return error_for(diagnosis, instead_of=error)


class RequestsWire:
    """Does the work of one refused request, within the budget of a diagnosis.

    Probes use the client's own session with its proxies and certificates; its cookies
    and headers are sent only to its own host. Probes follow no redirect, so no key goes
    to another host.
    """

    def __init__(
        self, owner: Owner, exchange: RequestsExchange | None, clock: Clock
    ) -> None:
        self.owner = owner
        self.session: Any = owner.session  # type: ignore[attr-defined]  # it is a sync one
        self.exchange = exchange
        self.home = exchange.home if exchange else endpoint_of(owner)
        self.clock = clock
        # Not the SDK's adapter, which retries, and sleeps for as long as the server says.
        self.adapter = HTTPAdapter(max_retries=0)

    def __enter__(self) -> RequestsWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.adapter.close()

    def drive(self, works: Works[T]) -> T:
        """Do each piece of work that a generator yields, until it returns."""
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
        return do_blocking(work, self.owner, self.clock)

    def _resend(self, step: Resend) -> Answer:
        if self.exchange is None:
            return Unreachable("there is no request to resend")
        refused = too_long(step, self.clock)
        if refused:
            return refused
        url = step.access.endpoint
        if not same_origin(url, self.home) and not self._is_checked(url):
            return unchecked()
        for pause in pauses(step, self.clock):
            time.sleep(pause)
            reply = self.exchange.resend(step.access)
            if not reply.is_refusal:
                break
        return reply

    def _answer(self, probe: Probe) -> Answer:
        answer: Answer = Retrying(**probe_retries(self.clock))(self._ask, probe)
        return answer

    def _ask(self, probe: Probe) -> Answer:
        session, left = self.session, self.clock.left
        if not left:
            return no_answer(probe, OVER)
        try:
            elsewhere = not same_origin(probe.url, self.home)
            if elsewhere and not self._is_checked(probe.url):
                return unchecked()
            headers = probe_headers(self.owner, probe, self.home)
            asked = requests.Request("GET", probe.url, headers)
            # Cookies, headers and logins of the session are only for the client's own host.
            alone = probe.alone or elsewhere
            request = asked.prepare() if alone else session.prepare_request(asked)
            settings = self._settings(probe.url)
            if elsewhere:
                settings["cert"] = None
            connect, read_one = (min(t, left) for t in timeouts_of(self.owner))
            adapter = self._adapter(probe.url)
            response = adapter.send(request, timeout=(connect, read_one), **settings)
            pieces: list[bytes] = []
            # If a response is too large, its beginning and status are enough.
            with contextlib.closing(response), contextlib.suppress(TooLargeError):
                pieces.extend(pieces_of(response, self.clock))
            url, body = request.url or "", b"".join(pieces)
            return reply_of(response.status_code, response.headers, body, asked=url)
        except Exception as error:  # a custom adapter may raise anything
            return no_answer(probe, error)

    def _settings(self, url: str) -> dict[str, Any]:
        """The session's settings for a URL: proxies, certificates and the like."""
        session = self.session
        settings: Any = session.merge_environment_settings(url, {}, True, None, None)
        return dict(settings)

    def _is_checked(self, url: str) -> bool:
        """Whether this session checks the certificate of a host.

        With a custom adapter, it is unknown, so False.
        """
        adapter = self.session.get_adapter(url)
        own = type(adapter) is HTTPAdapter or retries_by_itself(adapter)
        refused_with = self.exchange.kwargs if self.exchange else {}
        verify = self._settings(url)["verify"] and refused_with.get("verify", True)
        return own and bool(verify)

    def _adapter(self, url: str) -> BaseAdapter:
        mounted = self.session.get_adapter(url)
        return self.adapter if retries_by_itself(mounted) else mounted
