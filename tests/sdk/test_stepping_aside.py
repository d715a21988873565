"""Tests for the guard in this process: after a fault, we step aside and log it once.

`test_guard` makes every function fail, in separate processes.
"""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import langsmith
import pytest
import requests
from langsmith.utils import LangSmithError
from releases import needs, needs_v2

import safe_langsmith
from safe_langsmith import AccessDeniedError, Policy, SafeAsyncClient, SafeClient
from safe_langsmith._command.cli import main
from safe_langsmith._policy import looks_like, take_policy
from safe_langsmith._sdk import clients, modules, overrides
from safe_langsmith._sdk.guard import Guard, PassedOn
from safe_langsmith._settings import python_dotenv
from safe_langsmith._transport import owner, verify
from safe_langsmith._transport.auth import ResourceWatcher
from safe_langsmith._transport.budget import Clock, pauses
from safe_langsmith._transport.flights import Flights
from safe_langsmith.testing import SimulatedLangSmith

httpx = modules.httpx
GONE = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"


@pytest.fixture
def once(stepped_aside: list[str]) -> Iterator[Callable[[], str]]:
    """Return a function that returns the only line logged so far."""

    def line() -> str:
        (only,) = stepped_aside
        stepped_aside.clear()
        return only

    yield line
    assert not stepped_aside


def test_the_guard_logs_a_fault_once(
    stepped_aside: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with Guard("count to three"):
            raise ValueError(GONE)
    (line,) = stepped_aside
    stepped_aside.clear()
    assert "could not count to three (ValueError at " in line
    assert GONE not in line
    with pytest.raises(PassedOn), Guard("pass on"):
        raise PassedOn(ValueError())
    with pytest.raises(KeyboardInterrupt), Guard("be interrupted"):
        raise KeyboardInterrupt


def test_a_fault_in_the_hook(server: SimulatedLangSmith, once: Callable[[], str]) -> None:
    server.add_workspace("Research", projects=2)
    key = server.add_personal_key().secret
    client = SafeClient(server.url, api_key=key, auto_batch_tracing=False)
    assert client._safe is not None
    client._safe.worked = None  # type: ignore[assignment]
    with client.session:
        assert len(list(client.list_projects())) == 2
    assert "check a response" in once()


def test_a_fault_after_a_refusal(
    server: SimulatedLangSmith, once: Callable[[], str]
) -> None:
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    assert client._safe is not None
    del client._safe.initial
    with client.session, pytest.raises(LangSmithError) as caught:
        list(client.list_projects())
    assert not isinstance(caught.value, AccessDeniedError)
    assert "find out why a request was refused" in once()


@pytest.mark.parametrize("lost", ["initial", "policy"])
def test_a_fault_on_the_async_client(
    lost: str, server: SimulatedLangSmith, once: Callable[[], str]
) -> None:
    client = SafeAsyncClient(server.url, api_key=GONE)
    delattr(client._safe, lost)

    async def call() -> None:
        with pytest.raises(LangSmithError) as caught:
            _ = [d async for d in client.list_datasets()]
        assert not isinstance(caught.value, AccessDeniedError)
        await client.aclose()  # type: ignore[no-untyped-call]

    anyio.run(call)
    assert "find out why a request was refused" in once()


@needs("0.14.12", "resources that are watched")
def test_a_fault_on_the_sync_resources(
    server: SimulatedLangSmith, once: Callable[[], str]
) -> None:
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    generated = client._get_langsmith_api_sync()
    assert client._safe is not None
    del client._safe.initial
    with pytest.raises(langsmith.PermissionDeniedError) as caught:
        generated.get("/sessions", cast_to=object)
    assert not isinstance(caught.value, AccessDeniedError)
    generated.close()
    client.session.close()
    once()


def faulty_body() -> Any:
    """Return a transport that sends a 403 whose body raises an unusual error."""

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError("of a transport of somebody's own")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            raise RuntimeError("of a transport of somebody's own")
            yield b""

    return httpx.MockTransport(lambda _: httpx.Response(403, stream=Body()))


@needs("0.14.12", "resources that are watched")
def test_a_transport_that_fails_in_its_own_way(
    server: SimulatedLangSmith, stepped_aside: list[str]
) -> None:
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    watcher: Any = ResourceWatcher(client)
    with httpx.Client(transport=faulty_body()) as http:
        http.auth = watcher.auth(http)
        with pytest.raises(Exception):  # noqa: B017, PT011  # the transport's own error
            http.get(server.url)

    async def call() -> None:
        async with httpx.AsyncClient(transport=faulty_body()) as http:
            http.auth = watcher.auth(http)
            with pytest.raises(Exception):  # noqa: B017, PT011
                await http.get(server.url)

    anyio.run(call)
    assert watcher.auth(None) is None
    client.session.close()
    assert stepped_aside
    stepped_aside.clear()


@needs_v2
def test_a_watcher_without_what_it_needs(
    server: SimulatedLangSmith, stepped_aside: list[str]
) -> None:
    """Each method returns None, and the SDK continues."""
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    watcher: Any = ResourceWatcher(client)
    odd = SimpleNamespace(request=object())
    request = httpx.Request("GET", server.url)
    broken = langsmith.APIConnectionError(request=request)
    broken.__cause__ = httpx.ProxyError("Tunnel connection failed: 403 Forbidden")
    assert client._safe is not None
    del client._safe.initial
    assert watcher.unsent(odd) is None
    assert watcher.explained(broken) is None
    assert anyio.run(watcher.unsent_async, odd) is None
    assert anyio.run(watcher.explained_async, broken) is None
    client.session.close()
    assert stepped_aside
    stepped_aside.clear()


def test_a_fault_while_an_invalid_endpoint_is_explained(
    stepped_aside: list[str],
) -> None:
    client = SafeAsyncClient("http://", api_key=GONE)
    assert client._safe is not None
    del client._safe.initial

    async def call() -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # httpx's own
            await client._arequest_with_retries("GET", "/sessions")
        assert not isinstance(caught.value, AccessDeniedError)
        await client.aclose()  # type: ignore[no-untyped-call]

    anyio.run(call)
    assert stepped_aside
    stepped_aside.clear()


# --- the names of the SDK -----------------------------------------------------------


def test_a_name_that_is_gone_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(langsmith.Client, "_get_tenant_id")
    with caplog.at_level(logging.WARNING, "safe_langsmith"):
        for _ in range(2):
            SafeClient("http://127.0.0.1:9", api_key=GONE, auto_batch_tracing=False)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "safe_langsmith"]
    assert "has no _get_tenant_id: get_run_url() raises" in line


def test_a_name_that_does_not_exist_has_a_default() -> None:
    assert modules.part_of("no_such_module", "x", 1) == 1
    assert modules.part_of("client", "no_such_name", 2) == 2
    assert clients.without_key(odd := SimpleNamespace()) is odd
    assert clients.checks_certificates(SimpleNamespace(), "https://x.test") is False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(langsmith.utils, "get_env_var", lambda *_, **__: None)
        modules.clear_caches()


def test_an_async_client_without_an_httpx_client_stays_plain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = SafeAsyncClient("http://127.0.0.1:9", api_key=GONE)
    client._safe = None
    http, client._client = client._client, None  # type: ignore[assignment]
    client._safe_begin(Policy(), {})
    assert client._safe is None
    client._client = http
    anyio.run(client.aclose)


def test_the_sdk_s_own_names_and_arguments(caplog: pytest.LogCaptureFixture) -> None:
    class Plain:
        def whoami(self) -> str:
            return "the SDK's"

    class Ours(Plain):
        def whoami(self) -> str:
            return "ours"

        def can_i(self) -> str:
            return "ours"

    with caplog.at_level(logging.WARNING, "safe_langsmith"):
        overrides.step_back(Ours, Plain, ("whoami", "can_i"))
    assert (Ours().whoami(), Ours().can_i()) == ("the SDK's", "ours")
    assert "has its own Plain.whoami, so ours is disabled" in caplog.text

    def plain(policy: object = None) -> None: ...

    kwargs: dict[str, Any] = {"policy": "the SDK's"}
    assert take_policy(kwargs, plain) == Policy()
    assert kwargs == {"policy": "the SDK's"}
    kwargs = {"policy": Policy(repair=False)}
    assert take_policy(kwargs, plain) == Policy(repair=False)
    assert kwargs == {}


# --- smaller things ------------------------------------------------------------------


def test_pauses_that_do_not_fit_are_left_out() -> None:
    step: Any = SimpleNamespace(waits=(0.0, 0.1, 50.0, 0.1))
    assert list(pauses(step, Clock(5.0))) == [0.0, 0.1]


def test_old_repairs_are_dropped() -> None:
    flights, access = Flights(), SimpleNamespace()
    for number in range(1002):
        question: Any = (number, ())
        flights.keep_repair(question, access, access, 60)  # type: ignore[arg-type]
    assert len(flights._repairs) == 1000


def test_a_hard_delete_on_another_session(server: SimulatedLangSmith) -> None:
    """Only the hook sees this call: without it, the SDK's own error is raised."""
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    client.session.hooks["response"] = []
    with client.session:
        with pytest.raises(requests.HTTPError) as caught:
            client.delete_examples([uuid.uuid4()], hard_delete=True)
        assert not isinstance(caught.value, AccessDeniedError)
        url = "/v1/platform/datasets/examples/delete"
        with pytest.raises(AccessDeniedError):
            client.request_with_retries("POST", url)


def test_a_fault_while_the_key_is_verified(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault is logged: the check runs on a thread, where nothing could catch it."""
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    assert client._safe is not None
    del client._safe.initial
    with caplog.at_level(logging.WARNING, "safe_langsmith"):
        verify._warn(weakref.ref(client))
    assert "could not check the key: AttributeError" in caplog.text
    client.session.close()


def test_only_modules_that_are_not_installed_belong_to_the_program() -> None:
    found = [module.__name__ for module in python_dotenv._modules_of_the_program()]
    assert __name__ in found
    assert "json" not in found


def test_can_i_with_a_rejected_key(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    assert main(["can-i", "runs:create"]) == 1


def test_dir_lists_every_public_name() -> None:
    assert set(safe_langsmith.__all__) <= set(dir(safe_langsmith))
    assert "verify: Check the key once" in (SafeClient.__init__.__doc__ or "")


@needs("0.14.12", "resources that are watched")
def test_a_generated_client_without_its_watcher(
    server: SimulatedLangSmith, stepped_aside: list[str]
) -> None:
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    generated: Any = client._get_langsmith_api_sync()
    generated._safe_watcher = SimpleNamespace()
    assert generated.custom_auth is None
    generated.close()
    client.session.close()
    assert stepped_aside
    stepped_aside.clear()


def test_the_overrides_of_a_client_that_is_not_watched(server: SimulatedLangSmith) -> None:
    """They do nothing, as in the plain client."""
    owner.FAILURE.set(None)
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    client._safe = None
    client._safe_watch(object())
    client._safe_lost(ValueError())
    assert client._safe_saving({"a": "b"})[0] == {"a": "b"}
    assert client._safe_swallowed(LangSmithError()) is None
    client.session.close()
    other: Any = SafeAsyncClient(server.url, api_key=GONE)
    other.policy = Policy(repair=False)
    auth, other._safe = other._client.auth, None
    request = httpx.Request("GET", server.url)
    assert auth._driver_for(request, httpx.Response(403, request=request)) is None
    anyio.run(other.aclose)


def test_an_argument_that_the_sdk_adds_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def plain(policy: object = None) -> None: ...

    def ours() -> None:
        """Ours."""

    with caplog.at_level(logging.WARNING, "safe_langsmith"):
        looks_like(ours, plain, policy=Policy)
    assert "has its own argument policy" in caplog.text


def test_a_session_without_weak_references() -> None:
    class Slotted:
        __slots__ = ()

    one, other = Slotted(), Slotted()
    assert owner._reference(one) == owner._reference(one)
    assert owner._reference(one) != owner._reference(other)
    assert hash(owner._reference(one)) == hash(owner._reference(one))


def test_a_buffer_that_is_emptied_meanwhile() -> None:
    """A thread sends the buffer just before a repair would change it."""

    class Emptied:
        destinations: frozenset[Any] | None = frozenset({"somewhere"})

        @property
        @contextmanager
        def lock(self) -> Iterator[None]:
            self.destinations = None
            yield

    client = SafeClient("http://127.0.0.1:9", api_key=GONE, auto_batch_tracing=False)
    before, buffer = clients.access_of(client), Emptied()
    client.compressed_traces = buffer  # type: ignore[assignment]
    clients.follow(client, before)
    assert buffer.destinations is None
    client.compressed_traces = None
