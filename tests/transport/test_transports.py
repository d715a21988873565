"""Tests for edge cases of the transports: odd sessions, timeouts, deleted clients."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import anyio
import langsmith
import pytest
import requests
from proxy import Proxy, dripping_body
from releases import needs_v2
from scenarios import GONE, PAGE

import safe_langsmith.__main__
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith._command import cli
from safe_langsmith._decision.protocol import Reply, Resend, Unreachable
from safe_langsmith._knowledge.access import Access
from safe_langsmith._sdk.clients import access_of
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.auth import RefusalAuth
from safe_langsmith._transport.budget import Clock
from safe_langsmith._transport.flights import FLIGHTS, Flight, Repaired
from safe_langsmith._transport.httpx_wire import checked_body
from safe_langsmith._transport.messages import reply_of, target_of
from safe_langsmith._transport.owner import sender
from safe_langsmith._transport.requests_driver import RequestsWire
from safe_langsmith._transport.requests_exchange import RequestsExchange, _shut, pieces_of
from safe_langsmith._transport.settle import Read, Wait, settle
from safe_langsmith.testing import SimulatedLangSmith

HERE = Access("http://127.0.0.1:1", GONE)


@pytest.fixture
def client(server: SimulatedLangSmith) -> Iterator[SafeClient]:
    made = SafeClient(
        server.url, api_key=GONE, auto_batch_tracing=False, policy=Policy(budget_s=2)
    )
    yield made
    made.session.close()


def test_python_dash_m_is_the_command() -> None:
    assert vars(safe_langsmith.__main__)["main"] is cli.main


def test_a_stand_in_for_a_session() -> None:
    """As in the tests of programs that use the SDK."""
    client = SafeClient(session=mock.Mock(), api_key=GONE, auto_batch_tracing=False)
    assert client.last_diagnosis is None


def test_a_hook_that_the_caller_took_off(server: SimulatedLangSmith) -> None:
    session = requests.Session()
    client = SafeClient(server.url, session=session, api_key=GONE, auto_batch_tracing=False)
    session.hooks["response"].clear()
    del client
    gc.collect()
    assert session.hooks["response"] == []


def test_a_page_from_the_api_itself_is_not_a_refusal(
    client: SafeClient, server: SimulatedLangSmith
) -> None:
    server.answer("/sessions", status=200, body="<html>hi</html>", headers=PAGE)
    assert client.request_with_retries("GET", "/sessions").text == "<html>hi</html>"
    assert client.last_diagnosis is None


def test_a_repair_that_no_longer_helps(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request with the old key is resent with the repaired one, since revoked."""
    own = server.add_workspace("Research", projects=1)
    old, new = (server.add_personal_key(workspaces=[own]) for _ in range(2))
    monkeypatch.setenv("LANGSMITH_API_KEY", old.secret)
    client = SafeClient(server.url, auto_batch_tracing=False, policy=Policy(budget_s=2))
    server.revoke(old)
    monkeypatch.setenv("LANGSMITH_API_KEY", new.secret)
    assert list(client.list_projects())
    server.revoke(new)
    with pytest.raises(KeyRejectedError):
        client.request_with_retries("GET", "/sessions", headers={"x-api-key": old.secret})


class Before(requests.adapters.HTTPAdapter):
    """Calls a function before each request is sent."""

    def __init__(self, call: Callable[[requests.PreparedRequest], None]) -> None:
        super().__init__()
        self.call = call

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self.call(request)
        return super().send(request, *args, **kwargs)


def test_a_key_that_is_rotated_again_before_the_request_is_resent(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer key is valid when it is checked, and revoked when it is used."""
    own = server.add_workspace("Research", projects=1)
    first, second, third = (server.add_personal_key(workspaces=[own]) for _ in range(3))
    told: list[str] = []

    def rotate_again(request: requests.PreparedRequest) -> None:
        if (
            "/sessions" in str(request.url)
            and request.headers["x-api-key"] == second.secret
        ):
            monkeypatch.setenv("LANGSMITH_API_KEY", third.secret)
            server.revoke(second)

    monkeypatch.setenv("LANGSMITH_API_KEY", first.secret)
    policy = Policy(budget_s=8, on_diagnosis=lambda found: told.append(found.code))
    client = SafeClient(server.url, auto_batch_tracing=False, policy=policy)
    client.session.mount("http://", Before(rotate_again))
    server.revoke(first)
    monkeypatch.setenv("LANGSMITH_API_KEY", second.secret)
    assert len(list(client.list_projects())) == 1
    assert told == ["stale-setting"]
    assert client.api_key == third.secret
    client.session.close()


def test_a_wait_that_brings_nothing_ends(client: SafeClient) -> None:
    """After a few rounds it stops waiting for others, and starts its own diagnosis."""
    response = requests.Response()
    response.status_code, response._content = 403, b'{"error":"Forbidden"}'
    request = requests.Request("GET", f"{client.api_url}/sessions", {"x-api-key": GONE})
    response.request = request.prepare()
    place = FLIGHTS.join((access_of(client), sender(client)), lambda: None)
    assert not isinstance(place, (Access, Repaired))
    flight, leads = place
    assert leads
    works = settle(client, RequestsExchange(client, response, {}))
    work = next(works)
    rounds = 0
    while isinstance(work, Wait):
        assert work.flight is flight
        rounds += 1
        work = works.send(True)
    assert isinstance(work, Read)
    assert rounds == 4
    works.close()


def test_a_waiter_who_comes_too_late_is_woken_at_once() -> None:
    flight, woken = Flight((HERE, ())), []
    flight.end()
    flight.when_ended(lambda: woken.append(1))
    assert woken == [1]


def test_an_examination_has_nothing_to_send_again(client: SafeClient) -> None:
    with RequestsWire(client, None, Clock(5.0)) as wire:
        assert wire.do(Resend(HERE)) == Unreachable("there is no request to resend")


def test_an_answer_that_is_too_large(
    client: SafeClient, server: SimulatedLangSmith
) -> None:
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=200, body="x" * 1_100_000)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert caught.value.code == "access-denied"


@pytest.mark.parametrize("is_async", [False, True])
def test_an_answer_that_is_too_large_is_one(
    server: SimulatedLangSmith, is_async: bool
) -> None:
    """The server was reached; its status is used even though the body is cut off."""
    server.answer("*", status=500, body="x" * 1_100_000)
    given: Any = {"api_key": GONE, "policy": Policy(budget_s=2)}
    if is_async:

        async def asked() -> Diagnosis:
            client = SafeAsyncClient(server.url, **given)
            try:
                return await client.diagnose()
            finally:
                await client.aclose()  # type: ignore[no-untyped-call]

        found = anyio.run(asked)
    else:
        client = SafeClient(server.url, auto_batch_tracing=False, **given)
        with client.session:
            found = client.diagnose()
    assert found.code == "unknown"
    assert "500" in str(found)
    for wrong in ("could not be reached", "no answer", "connection"):
        assert wrong not in str(found)


def test_an_answer_that_outlasts_the_budget(
    client: SafeClient, server: SimulatedLangSmith
) -> None:
    with Proxy(server.port, lambda *_: dripping_body) as proxy:
        for is_ended_first in (False, True):
            response = requests.get(f"{proxy.url}/info", stream=True, timeout=5)
            if is_ended_first:  # as the timer does if it is faster
                _shut(weakref.ref(response))
            with pytest.raises(requests.ReadTimeout):
                list(pieces_of(response, Clock(0)))
            response.close()
    is_there = requests.Response()
    is_there.raw = io.BytesIO(b"{}")  # from a custom adapter: it cannot be closed
    with pytest.raises(requests.ReadTimeout):
        list(pieces_of(is_there, Clock(0)))
    with pytest.raises(TimeoutError):
        checked_body(b"", Clock(0))


@pytest.mark.slow
@needs_v2
def test_a_sync_resource_that_is_not_a_refusal_or_stays_one(
    server: SimulatedLangSmith,
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = SafeClient(server.url, api_key=key, auto_batch_tracing=False)
    generated = client._get_langsmith_api_sync()
    with pytest.raises(langsmith.NotFoundError) as missing:
        generated.get("/nothing", cast_to=object)
    assert not isinstance(missing.value, AccessDeniedError)
    generated.get("/sessions", cast_to=object)
    server.answer("/sessions", status=403, body={"detail": "Forbidden"})
    with pytest.raises(AccessDeniedError, match="caches a refusal"):
        generated.get("/sessions", cast_to=object)
    generated.close()


@needs_v2
def test_credentials_that_a_request_takes_away(client: SafeClient) -> None:
    """The SDK's own error is raised before anything is sent."""
    generated: Any
    for generated in (client._get_langsmith_api_sync(), client._get_langsmith_api()):
        generated.api_key = generated.tenant_id = None
        with pytest.raises(TypeError, match="authentication method"):
            generated._validate_headers({}, {"Authorization": ""})
    client._get_langsmith_api_sync().close()
    anyio.run(client._get_langsmith_api().close)


def test_an_owner_that_goes_during_its_request(server: SimulatedLangSmith) -> None:
    """The response is not changed."""
    client = SafeAsyncClient(server.url, api_key=GONE)
    auth = RefusalAuth(client, client._client, generated=False)
    auth.owner = lambda: None  # type: ignore[assignment]
    request = httpx.Request("GET", f"{server.url}/sessions")
    response = httpx.Response(403, request=request, content=b"{}")

    flow = auth.sync_auth_flow(request)
    assert next(flow) is request
    with pytest.raises(StopIteration):
        flow.send(response)

    async def none() -> None:
        again = auth.async_auth_flow(request)
        assert await anext(again) is request
        with pytest.raises(StopAsyncIteration):
            await again.asend(response)

    anyio.run(none)
    anyio.run(client._client.aclose)


def test_where_a_request_went() -> None:
    """The generated resources omit the /api/v1 of an endpoint."""
    known = ("https://other.test", "https://own.test/api/v1")
    target = target_of("https://own.test/v2/runs/query", known)
    assert (target.endpoint, target.path) == (known[1], "/v2/runs/query")
    assert target.url("https://new.test/api") == "https://new.test/v2/runs/query"
    foreign = target_of("https://replica.test/runs?x=1", known)
    assert (foreign.endpoint, foreign.path) == ("https://replica.test", "/runs?x=1")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        ("-1", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_both_forms_of_retry_after(text: str, seconds: float | None) -> None:
    assert reply_of(429, {"Retry-After": text}, b"") == Reply(429, retry_after=seconds)
