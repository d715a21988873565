"""The transport for `requests`: drive the decision, and send what it asks for.

Only imported once something was refused.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import urllib3
from langsmith.client import _LangSmithHttpAdapter
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import rewind_body
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_random,
)

from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._hook import Hook, header
from safe_langsmith._hosts import origin, shown
from safe_langsmith._ledger import applies_to, retold
from safe_langsmith._operations import operation
from safe_langsmith._protocol import (
    Access,
    Answer,
    Probe,
    Refusal,
    Reply,
    Resend,
    Step,
    Steps,
    Unreachable,
)
from safe_langsmith._resolve import Verdict, examine, never_sendable, resolve
from safe_langsmith._settings import Setup, as_sent, clear_sdk_caches, read
from safe_langsmith.errors import AccessDeniedError, error_for

if TYPE_CHECKING:
    from safe_langsmith._client import SafeClient

T = TypeVar("T")
logger = logging.getLogger("safe_langsmith")

_BODY_LIMIT = 1_000_000
_PROBE_ATTEMPTS = 3
# Each round after the first follows a repair that another thread made meanwhile.
_MOST_ROUNDS = 4
_CREDENTIALS = frozenset({"x-api-key", "x-tenant-id", "authorization"})
_passing_wait = wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1)


# --- one refused request --------------------------------------------------------------


def settle(
    client: SafeClient, response: requests.Response, kwargs: Mapping[str, Any]
) -> requests.Response | None:
    """Deal with an answer that may be a refusal.

    Returns the response to hand on, or None to leave the answer as it is. One thread
    makes the diagnosis; the others wait for it, and then send their own requests again.

    Raises:
        AccessDeniedError: If it is a refusal that cannot be repaired.
    """
    if not _is_ours(client, response.request):
        return None
    exchange = Exchange(client, response, kwargs)
    if not exchange.reply().is_refusal:
        return None
    for _ in range(_MOST_ROUNDS):
        newer = client._ledger.repaired_access(exchange.access, client._access())
        if newer is not None:
            if not exchange.resend(newer).is_refusal:
                return exchange.response
            continue
        flight, leads = client._ledger.join(exchange.access)
        if leads:
            try:
                flight.diagnosis = _lead(client, exchange)
            finally:
                client._ledger.leave(flight)
            if flight.diagnosis is None:
                return exchange.response
            raise exchange.error(flight.diagnosis)
        flight.ended.wait()
        found = flight.diagnosis
        if found is not None and applies_to(found, exchange.operation):
            raise exchange.error(found)
    return exchange.response


def _lead(client: SafeClient, exchange: Exchange) -> Diagnosis | None:
    """Make the diagnosis of a refused request; None if it was answered in the end."""
    ledger, policy, sent = client._ledger, client.policy, exchange.access
    current = client._access()
    setup = as_sent(_read(client), sent)
    known = ledger.recall(sent, exchange.operation, setup)
    if known is not None:
        return known
    refusal = exchange.refusal(worked=(sent.key, sent.workspace) in ledger.worked)
    with Wire(client, exchange) as wire:
        verdict = drive(resolve(refusal, setup, policy), wire.send)
    if verdict is None:
        return None
    _keep(client, sent, current, verdict)
    record(client, verdict.diagnosis)
    if verdict.diagnosis.resolved:
        logger.warning("%s", verdict.log_line)
        return None
    ledger.remember(sent, setup, verdict.diagnosis, policy.cooldown_s)
    return verdict.diagnosis


def _keep(client: SafeClient, sent: Access, current: Access, verdict: Verdict) -> None:
    """Let a repair reach the whole client, if the request used the client's settings."""
    repair = verdict.repair
    if repair is None or repair.access == sent:
        return
    client._ledger.keep_repair(sent, repair.access)
    if verdict.diagnosis.code == "stale-setting":
        clear_sdk_caches()
    # What a request chose for itself, such as a replica's key, is its own affair.
    if sent == current == client._access():
        client._ledger.repaired = repair.settings
        client._use(repair.access)


def record(client: SafeClient, diagnosis: Diagnosis) -> None:
    """Keep a new diagnosis, and show it to the caller's hook."""
    client._ledger.last_diagnosis = diagnosis
    if client.policy.on_diagnosis is None:
        return
    try:
        client.policy.on_diagnosis(diagnosis)
    except Exception:
        logger.exception("Policy.on_diagnosis raised")


def _read(client: SafeClient) -> Setup:
    repaired = client._ledger.repaired
    return read(client._access(), client._born, repaired, client.policy.dotenv)


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
    key = header(request, "x-api-key")
    return next((c for c in clients if c._api_key == key), clients[0]) is client


class Exchange:
    """One refused request of `requests`: its answer, and how to send it again."""

    def __init__(
        self, client: SafeClient, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> None:
        self.client = client
        self.response = response
        self.kwargs = kwargs
        self.access = _access_of(client, response.request)
        self.path = (response.request.url or "").removeprefix(self.access.endpoint)
        self.operation = operation(response.request.method or "", self.path)

    def reply(self) -> Reply:
        """The answer as plain data; the body of a success stays unread."""
        return _reply(self.response)

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""
        request = self.response.request
        return Refusal(
            method=request.method or "",
            path=self.path,
            reply=self.reply(),
            access=self.access,
            worked=worked,
            replayable=_is_replayable(request),
        )

    def error(self, diagnosis: Diagnosis) -> AccessDeniedError:
        """The error of a diagnosis, for this request."""
        told = retold(diagnosis, self.operation, self.response.status_code)
        return error_for(
            told, bare=self.path.endswith("/platform/datasets/examples/delete")
        )

    def resend(self, access: Access) -> Reply:
        """Send the request again with another access, its body from the start."""
        refused, request = self.response, self.response.request.copy()
        _ = refused.content  # read to its end, the connection can be used again
        refused.close()
        request.url = access.endpoint + self.path
        if access.key and self.access.session:
            del request.headers["Authorization"]
        sent = {"x-api-key": access.key, "X-Tenant-Id": access.workspace}
        for name, value in sent.items():
            request.headers.pop(name, None)
            if value:
                request.headers[name] = value
        if request._body_position is not None:
            rewind_body(request)
        adapter = self.client.session.get_adapter(request.url)
        started = time.perf_counter()
        self.response = adapter.send(request, **self.kwargs)
        self.response.elapsed = timedelta(seconds=time.perf_counter() - started)
        self.access = access
        return self.reply()


def _access_of(client: SafeClient, request: requests.PreparedRequest) -> Access:
    """What a request showed the server."""
    url = request.url or ""
    known = (client.api_url, *client._write_api_urls)
    endpoint = next((e for e in known if url.startswith(e)), origin(url))
    session = header(request, "Authorization") or ""
    key, workspace = header(request, "x-api-key"), header(request, "X-Tenant-Id")
    return Access(endpoint, key, workspace, session.startswith("Bearer ") and not key)


def _is_replayable(request: requests.PreparedRequest) -> bool:
    """Whether the body can be sent once more: it is in memory, or can be rewound."""
    body = request.body
    if body is None or isinstance(body, (bytes, str)):
        return True
    position = request._body_position
    return isinstance(position, int) and hasattr(body, "seek")


def _reply(response: requests.Response) -> Reply:
    kind = response.headers.get("Content-Type", "").lower()
    read_body = response.status_code >= 400 or "html" in kind
    body = response.content[:_BODY_LIMIT].decode("utf-8", "replace") if read_body else ""
    after = _retry_after(response.headers.get("Retry-After", ""))
    return Reply(response.status_code, body, kind, after)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from either form of the Retry-After header."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        at = parsedate_to_datetime(text)
        return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())
    return None


# --- asking the server ----------------------------------------------------------------


def drive(steps: Steps[T], send: Callable[[Step], Answer]) -> T:
    """Run a decision: send each step that it asks for, until it returns."""
    try:
        step = next(steps)
        while True:
            step = steps.send(send(step))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


class Wire:
    """Sends the steps of one diagnosis, within its budget.

    Probes go through the client's own session: its proxies, certificates, cookies and
    headers stay in force. They follow no redirect, so no key travels to another host.
    """

    def __init__(self, client: SafeClient, exchange: Exchange | None = None) -> None:
        self.client = client
        self.exchange = exchange
        self.deadline = time.monotonic() + client.policy.budget_s
        # The SDK's adapter retries beneath us and sleeps as long as the server says.
        self.adapter = HTTPAdapter(max_retries=0)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.adapter.close()

    def send(self, step: Step) -> Answer:
        """Do one step."""
        return self._resend(step) if isinstance(step, Resend) else self._probe(step)

    def _left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def _probe(self, probe: Probe) -> Answer:
        """Ask, and ask again what failed in passing, as long as the budget lasts."""
        retrying = Retrying(
            retry=retry_if_result(_is_passing),
            wait=_wait,
            stop=stop_after_attempt(_PROBE_ATTEMPTS) | stop_before_delay(self._left()),
            retry_error_callback=_last,
        )
        answer: Answer = retrying(self._ask, probe)
        return answer

    def _resend(self, step: Resend) -> Answer:
        """Send the refused request again, once for each of the waits that fits."""
        if self.exchange is None:
            return Unreachable("there is no request to send again")
        first, *later = step.waits
        left = self._left() - first
        if first and left <= 0:
            reason = f"a pause of {first:g} s did not fit into Policy.budget_s"
            return Unreachable(f"{reason}, so the request was not sent again")
        retrying = Retrying(
            retry=retry_if_result(lambda reply: reply.is_refusal),
            wait=wait_chain(*map(wait_fixed, later or [0.0])),
            stop=stop_after_attempt(len(step.waits)) | stop_before_delay(left),
            retry_error_callback=_last,
        )
        retrying.sleep(first)
        answer: Answer = retrying(self.exchange.resend, step.access)
        return answer

    def _ask(self, probe: Probe) -> Answer:
        session, left = self.client.session, self._left()
        where = f"{shown(origin(probe.url))} gave no answer"
        if not left:
            return Unreachable(f"{where} within Policy.budget_s")
        try:
            request = session.prepare_request(
                requests.Request("GET", probe.url, headers=self._headers(probe))
            )
            settings: Any = session.merge_environment_settings(
                probe.url, {}, True, None, None
            )
            connect, read_one = (min(t, left) for t in self.client._timeout)
            timeout = (connect, read_one)
            response = self._adapter(probe.url).send(request, timeout=timeout, **settings)
            with contextlib.closing(response):
                response._content = b"".join(self._body(response))
                return replace(_reply(response), body=response.text)
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            # The errors of requests are OSErrors; a strange address is a ValueError.
            return Unreachable(f"{where}: {type(error).__name__}")

    def _headers(self, probe: Probe) -> dict[str, str]:
        """The client's own headers for its own host, and the access that is probed."""
        client, headers = self.client, {"Accept": "application/json"}
        if origin(probe.url) == origin(client.api_url):
            headers |= {
                n: v for n, v in client._headers.items() if n.lower() not in _CREDENTIALS
            }
        if probe.key:
            headers["x-api-key"] = probe.key
        elif probe.session:
            headers["Authorization"] = client._headers.get("Authorization", "")
        if probe.workspace:
            headers["X-Tenant-Id"] = probe.workspace
        return headers

    def _adapter(self, url: str) -> BaseAdapter:
        mounted = self.client.session.get_adapter(url)
        return self.adapter if isinstance(mounted, _LangSmithHttpAdapter) else mounted

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        """The body in pieces, at most so much of it and only while there is time."""
        size = 0
        for piece in response.iter_content(16_384):
            yield piece
            size += len(piece)
            if size > _BODY_LIMIT:
                raise ValueError("the answer is too large")
            if not self._left():
                raise requests.ReadTimeout


def _is_passing(answer: Answer) -> bool:
    """Whether an answer may be another one in a moment."""
    return isinstance(answer, Unreachable) or answer.status == 429 or answer.status >= 500


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, or a little longer each time."""
    answer = _last(state)
    if isinstance(answer, Reply) and answer.retry_after is not None:
        return answer.retry_after
    return _passing_wait(state)


def _last(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None


# --- without a refusal ----------------------------------------------------------------


def diagnose(client: SafeClient) -> Diagnosis:
    """Check what this client may do, and repair nothing."""
    with Wire(client) as wire:
        diagnosis = drive(examine(_read(client), client.policy), wire.send)
    record(client, diagnosis)
    return diagnosis


def never_sent(client: SafeClient, method: str, path: str) -> AccessDeniedError:
    """The error for a request that could not be sent, because of the text of its key."""
    diagnosis = never_sendable(method, path, _read(client))
    record(client, diagnosis)
    return error_for(diagnosis)
