"""Tests for network faults: no long wait, no wrong diagnosis, and no second write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import anyio
import langsmith
import proxy
import pytest
import tls
from proxy import Fault, Proxy, Request
from scenarios import GONE, create_project, list_projects
from stage import ROUTES, TRANSPORTS, assert_no_secret, closing
from urllib3.util import Retry

from safe_langsmith import AccessDeniedError, Policy, SafeAsyncClient, SafeClient
from safe_langsmith.testing import SimulatedLangSmith

Place = Literal["first", "probe", "resend"]

# The caller's timeout, and the budget. They are short only for endless faults; for all
# others a busy machine needs the longer ones.
SHORT_S = 0.6, 1.2
LONG_S = 5.0, 8.0
# Not a speed limit: a call that takes longer hangs.
HANGS_S = 15.0

# The plain client waits for these until they end.
ENDLESS = (proxy.dripping_body, proxy.endless_body)
LASTING = (*ENDLESS, proxy.silent, proxy.dripping_headers, proxy.endless_headers)
# The caller's HTTP library has no timeout for these in the caller's own request.
HEADS = (proxy.dripping_headers,)


def client_of(kind: type[Any], url: str, key: str, fault: Fault | None = None) -> Any:
    """A client without retries, so that our own requests can be counted."""
    timeout_s, budget_s = SHORT_S if fault in LASTING else LONG_S
    timeout: tuple[int, ...]
    if issubclass(kind, langsmith.Client):
        timeout = (int(timeout_s * 1000),) * 2
        more: Any = {"auto_batch_tracing": False, "retry_config": Retry(total=0)}
    else:
        timeout = (int(timeout_s * 1000),) * 4
        more = {"retry_config": {"max_retries": 1}}
    if issubclass(kind, (SafeClient, SafeAsyncClient)):
        more["policy"] = Policy(budget_s=budget_s)
    client = kind(api_url=url, api_key=key, timeout_ms=timeout, **more)
    generated_of(client).max_retries = 0
    return client


PLAIN = {SafeClient: langsmith.Client, SafeAsyncClient: langsmith.AsyncClient}


async def call_resource(client: Any, call: Any) -> Any:
    """Like the function in `stage`, but also for the plain clients."""
    method, path, body = ROUTES[call]
    options = {"body": body} if body else {}
    send = getattr(generated_of(client), method.lower())
    return await send(path, cast_to=object, **options)


async def call_async(client: Any, call: Any) -> Any:
    """The same for the async client."""
    method, path, body = ROUTES[call]
    content = None if body is None else json.dumps(body)
    return (await client._arequest_with_retries(method, path, content=content)).json()


async def call_sync(client: Any, call: Any) -> Any:
    """The same for the sync client."""
    return call(client)


WAYS = {
    "sync client": call_sync,
    "async client": call_async,
    "async client's resources": call_resource,
    "sync client's resources": call_resource,
}


def generated_of(client: Any) -> Any:
    """The generated client behind the resources."""
    sync = isinstance(client, langsmith.Client)
    return client._get_langsmith_api() if sync else client._langsmith_api


def outcome(
    transport: str,
    url: str,
    key: str,
    call: Any,
    fault: Fault | None = None,
    *,
    plain: bool = False,
) -> Any:
    """Return the result of a call, or its exception; fail if it hangs."""
    kind = TRANSPORTS[transport][0]
    ends: list[Any] = []

    def work() -> None:
        client = client_of(PLAIN[kind] if plain else kind, url, key, fault)
        way = partial(WAYS[transport], client, call)
        try:
            ends.append(anyio.run(closing, client, way))
        except Exception as error:
            ends.append(error)
        if isinstance(client, langsmith.Client):
            client.session.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HANGS_S)
    assert ends, "it hangs"
    return ends[0]


def at(place: Place, fault: Fault, method: str, times: int = 99) -> Any:
    """Choose the requests with the fault: the caller's own, a probe, or the resend."""
    left = [times]

    def choose(proxy: Proxy, request: Request) -> Fault | None:
        own = request.method == method and "/sessions" in request.path
        probed = any("/sessions" not in r.path for r in proxy.seen)
        here: Place = ("resend" if probed else "first") if own else "probe"
        if here != place or not left[0]:
            return None
        left[0] -= 1
        return fault

    return choose


@pytest.fixture(scope="module")
def world() -> Iterator[SimpleNamespace]:
    """A server with one workspace and an organization key."""
    with SimulatedLangSmith() as server:
        server.add_workspace("Research", projects=1)
        key = server.add_service_key(workspaces=None).secret
        yield SimpleNamespace(server=server, key=key)


def created(world: SimpleNamespace) -> int:
    """How many projects the server has created."""
    found = [e for e in world.server.exchanges if e.method == "POST" and e.status < 300]
    return len(found)


every_way = pytest.mark.parametrize("transport", TRANSPORTS)
every_fault = pytest.mark.parametrize("fault", proxy.FAULTS, ids=lambda f: f.__name__)


def assert_nothing_is_left(secrets: list[str], told: object) -> None:
    """There is no key in the text, and none of our threads is still running."""
    assert_no_secret(f"{told!r} {told}", secrets)
    until = time.monotonic() + 5
    while any(t.name.startswith("safe_langsmith") for t in threading.enumerate()):
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.01)


@pytest.mark.slow
@every_way
@every_fault
def test_on_the_first_request(world: SimpleNamespace, transport: str, fault: Fault) -> None:
    """If no refusal arrived, the error has the same class as the plain client's."""
    if fault in HEADS:
        pytest.skip("the plain client waits too, and nothing was refused yet")
    with Proxy(world.server.port, at("first", fault, "GET")) as line:
        found = outcome(transport, line.url, world.key, list_projects, fault)
    refuses = fault in (*ENDLESS, proxy.huge)
    if refuses:
        assert isinstance(found, (AccessDeniedError, list)), repr(found)
        # A body that was not read completely does not show who sent it.
        assert getattr(found, "code", "") != "blocked-by-proxy"
    else:
        with Proxy(world.server.port, at("first", fault, "GET")) as line:
            plain = outcome(
                transport, line.url, world.key, list_projects, fault, plain=True
            )
        assert type(found) is type(plain), (found, plain)
    assert_nothing_is_left([world.key], found)


@pytest.mark.slow
@every_way
@every_fault
def test_on_a_probe(world: SimpleNamespace, transport: str, fault: Fault) -> None:
    """A failed probe proves nothing: the code comes from the refusal itself."""
    with Proxy(world.server.port, at("probe", fault, "GET")) as line:
        found = outcome(transport, line.url, world.key, list_projects, fault)
        assert isinstance(found, AccessDeniedError), repr(found)
        assert found.code in ("workspace-required", "access-denied")
        assert found.diagnosis.identity is None
    assert_nothing_is_left([world.key], found)


@pytest.mark.slow
@every_way
@every_fault
def test_on_a_probe_of_an_unknown_key(
    world: SimpleNamespace, transport: str, fault: Fault
) -> None:
    with Proxy(world.server.port, at("probe", fault, "GET")) as line:
        found = outcome(transport, line.url, GONE, list_projects, fault)
    assert isinstance(found, AccessDeniedError), repr(found)
    # A one-byte response is valid HTTP, but not a response of a LangSmith API.
    shown = "wrong-endpoint" if fault is proxy.too_short else "access-denied"
    assert found.code == shown
    assert not [f for f in found.diagnosis.findings if f.state == "bad"]
    assert_nothing_is_left([GONE], found)


@every_way
@pytest.mark.parametrize(
    "fault",
    [proxy.reset_before, proxy.reset_within, proxy.lost, proxy.truncated, proxy.garbage],
    ids=lambda f: f.__name__,
)
def test_a_probe_that_fails_once_is_asked_again(
    world: SimpleNamespace, transport: str, fault: Fault
) -> None:
    with Proxy(world.server.port, at("probe", fault, "GET", times=1)) as line:
        found = outcome(transport, line.url, world.key, list_projects, fault)
    assert isinstance(found, list), repr(found)
    assert_nothing_is_left([world.key], found)


@pytest.mark.slow
@every_way
@every_fault
def test_on_the_resend(world: SimpleNamespace, transport: str, fault: Fault) -> None:
    """The error is the plain client's for this fault, and the write is executed once."""
    if fault in HEADS:
        pytest.skip("the plain client waits too: it is the caller's own request")
    before = created(world)
    with Proxy(world.server.port, at("resend", fault, "POST")) as line:
        found = outcome(transport, line.url, world.key, create_project, fault)
        posts = [r for r in line.seen if r.method == "POST"]
    assert created(world) - before <= 1
    assert isinstance(found, Exception), repr(found)
    if fault in (*ENDLESS, proxy.huge):
        assert isinstance(found, AccessDeniedError), repr(found)
    else:
        assert len(posts) == 2
        with Proxy(world.server.port, at("first", fault, "POST")) as line:
            plain = outcome(
                transport, line.url, world.key, create_project, fault, plain=True
            )
        assert type(found) is type(plain), (found, plain)
    assert_nothing_is_left([world.key], found)


# --- redirects ------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[SimulatedLangSmith]:
    """Another host, which records its requests."""
    with SimulatedLangSmith() as server:
        yield server


@every_way
@pytest.mark.parametrize("key", ["known", "unknown"])
def test_a_probe_is_not_redirected(
    world: SimpleNamespace, stranger: SimulatedLangSmith, transport: str, key: str
) -> None:
    sent = world.key if key == "known" else GONE
    fault = proxy.redirecting(stranger.url)
    with Proxy(world.server.port, at("probe", fault, "GET")) as line:
        found = outcome(transport, line.url, sent, list_projects)
    assert isinstance(found, AccessDeniedError), repr(found)
    assert found.code != "key-rejected"
    assert stranger.exchanges == ()
    assert_nothing_is_left([sent], found)


@every_way
def test_no_further_key_follows_a_redirect(
    world: SimpleNamespace, stranger: SimulatedLangSmith, transport: str
) -> None:
    """The SDK follows a redirect with its key; a key from the .env is not sent there."""
    Path(".env").write_text(f"LANGSMITH_API_KEY={world.key}\n")
    fault = proxy.redirecting(stranger.url)
    with Proxy(world.server.port, at("first", fault, "GET")) as line:
        plain = outcome(transport, line.url, GONE, list_projects, plain=True)
        went = bool(stranger.exchanges)
        found = outcome(transport, line.url, GONE, list_projects)
    assert isinstance(plain, Exception)
    assert isinstance(found, Exception)
    assert bool(stranger.exchanges) == went
    assert not stranger.saw(world.key)
    assert_nothing_is_left([GONE, world.key], found)


# --- TLS --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("wrong", ["name", "expired", "authority"])
def test_a_certificate_that_is_wrong(
    world: SimpleNamespace,
    transport: str,
    wrong: str,
    hosts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent, and the error is the same as the plain client's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.authority_file())
    monkeypatch.setenv("SSL_CERT_FILE", tls.authority_file())
    chain, key = tls.wrong_files_for("localhost", wrong)
    with SimulatedLangSmith(ssl_certfile=chain, ssl_keyfile=key) as server:
        url = f"https://localhost:{server.port}"
        plain = outcome(transport, url, world.key, list_projects, plain=True)
        found = outcome(transport, url, world.key, list_projects)
        assert isinstance(found, Exception)
        assert type(found) is type(plain)
        client = client_of(SafeClient, url, world.key)
        diagnosis = client.diagnose()
        client.session.close()
        assert diagnosis.code == "unknown"
        assert f"the certificate of {url} is not " in diagnosis.summary
        assert server.exchanges == ()
    assert_nothing_is_left([world.key], (found, diagnosis))
