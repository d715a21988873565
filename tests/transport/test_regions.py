"""Tests for regions beyond the table of scenarios: later calls, threads, sessions."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import langsmith
import pytest
import requests
import tls
from conftest import QUICK, Serve
from releases import WATCHES_V2, needs_v2
from requests.adapters import HTTPAdapter
from saved import Place
from scenarios import GONE

from safe_langsmith import (
    AccessDeniedError,
    KeyRejectedError,
    PermissionMissingError,
    Policy,
    Replay,
    SafeAsyncClient,
    SafeClient,
    WrongEndpointError,
    WrongRegionError,
    diagnose,
)
from safe_langsmith._command.cli import main
from safe_langsmith._decision.protocol import Probe, Reply
from safe_langsmith._sdk.clients import access_of, checks_certificates
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.budget import Clock, ask_all
from safe_langsmith.testing import SimulatedLangSmith

US = "https://api.smith.langchain.com"
EU = "https://eu.api.smith.langchain.com"
NAMES = {"US": "", "EU": "eu.", "APAC": "apac.", "AWS US": "aws."}


@pytest.fixture
def regions(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> dict[str, SimulatedLangSmith]:
    """The four official hosts, over TLS; the environment has a key for the EU."""
    monkeypatch.setenv("SSL_CERT_FILE", tls.authority_file())
    found = {n: serve_tls(f"{p}api.smith.langchain.com") for n, p in NAMES.items()}
    own = found["EU"].add_workspace("Research", projects=2)
    key = found["EU"].add_personal_key(workspaces=[own])
    monkeypatch.setenv("LANGSMITH_API_KEY", key.secret)
    return found


@pytest.fixture
def of_two(
    regions: dict[str, SimulatedLangSmith], monkeypatch: pytest.MonkeyPatch
) -> dict[str, SimulatedLangSmith]:
    """The same with a key for two workspaces."""
    server = regions["EU"]
    spaces = [server.add_workspace(name, projects=1) for name in ("One", "Two")]
    key = server.add_personal_key(workspaces=spaces)
    monkeypatch.setenv("LANGSMITH_API_KEY", key.secret)
    monkeypatch.setenv("THE_OTHER", spaces[1].id)
    return regions


def made(**arguments: Any) -> SafeClient:
    given = {"policy": QUICK, "auto_batch_tracing": False, **arguments}
    return SafeClient(**given)


def run(client: SafeAsyncClient, call: Callable[[], Any]) -> Any:
    async def closing() -> Any:
        try:
            return await call()
        finally:
            await client.aclose()  # type: ignore[no-untyped-call]
            await client._langsmith_api.close()

    return anyio.run(closing)


def writes(server: SimulatedLangSmith) -> list[str]:
    return [f"{e.method} {e.path}" for e in server.exchanges if e.method != "GET"]


# --- writes in a region that was found by probing --------------------------------------


def test_reads_go_on_and_later_writes_do_not(of_two: dict[str, SimulatedLangSmith]) -> None:
    client = made()
    for _ in range(2):
        assert [p.name for p in client.list_projects()] == ["One project 1"]
    asked = len(of_two["APAC"].exchanges)
    assert client.api_url == US
    for _ in range(2):
        with pytest.raises(WrongRegionError, match="Nothing was written"):
            client.create_run("run", {}, "chain")
    assert [p.name for p in client.list_projects()] == ["One project 1"]
    assert writes(of_two["EU"]) == []
    assert len(of_two["APAC"].exchanges) == 2 * asked  # once to read, once to write
    # Once the code sets the workspace, it writes, and only there.
    client.workspace_id = os.environ["THE_OTHER"]
    client.create_run("run", {}, "chain")
    assert writes(of_two["EU"]) == ["POST /runs"]
    assert of_two["EU"].exchanges[-1].workspace == client.workspace_id
    assert client.api_url == EU


def test_a_query_by_post_is_a_read(of_two: dict[str, SimulatedLangSmith]) -> None:
    client = made()
    body = json.dumps({"id": [str(uuid.uuid4())]})
    answer = client.request_with_retries(
        "POST", "/runs/query", request_kwargs={"data": body}
    )
    assert answer.status_code < 400
    assert writes(of_two["EU"]) == ["POST /runs/query"]


@needs_v2
def test_the_async_client_writes_nothing_either(
    of_two: dict[str, SimulatedLangSmith],
) -> None:
    client = SafeAsyncClient(policy=QUICK)

    async def call() -> None:
        await client._arequest_with_retries("GET", "/sessions")
        await client._langsmith_api.get("/sessions", cast_to=object)
        with pytest.raises(WrongRegionError):
            await client._arequest_with_retries("POST", "/runs", content="{}")
        with pytest.raises(WrongRegionError):
            await client._langsmith_api.post("/runs", cast_to=object, body={})

    run(client, call)
    assert writes(of_two["EU"]) == []


def test_traces_are_not_written_until_a_workspace_is_named(
    of_two: dict[str, SimulatedLangSmith], caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[Exception] = []
    client = made(auto_batch_tracing=True, tracing_error_callback=lost.append)
    list(client.list_projects())
    for _ in range(2):
        trace(client)
    assert {type(error) for error in lost} == {WrongRegionError}
    assert writes(of_two["EU"]) == []
    lines = [r.getMessage() for r in caplog.records if "Traces are lost" in r.getMessage()]
    assert len(lines) == 1
    lost.clear()
    client.workspace_id = os.environ["THE_OTHER"]
    trace(client)
    client.cleanup()
    assert lost == []
    (run,) = of_two["EU"].runs.values()
    assert {r["workspace"] for r in run} == {client.workspace_id}


def trace(client: SafeClient) -> None:
    now, run_id = datetime.now(timezone.utc), uuid.uuid4()
    order = now.strftime("%Y%m%dT%H%M%S%fZ") + str(run_id)
    client.create_run(
        "run", {}, "chain", id=run_id, trace_id=run_id, dotted_order=order, start_time=now
    )
    client.flush()


def test_what_a_read_meets_there_is_told_with_the_client_s_settings(
    of_two: dict[str, SimulatedLangSmith],
) -> None:
    """The key is revoked while the client reads in the other region."""
    client = made()
    list(client.list_projects())
    server = of_two["EU"]
    server.revoke(server.add_personal_key(secret=str(client.api_key)))
    with pytest.raises(Exception, match=r"eu\.api\.smith\.langchain\.com") as caught:
        list(client.list_projects())
    assert caught.value.diagnosis.code == "key-rejected"  # type: ignore[attr-defined]
    assert caught.value.diagnosis.key_source == "LANGSMITH_API_KEY"  # type: ignore[attr-defined]


def test_a_key_that_is_assigned_later_does_not_stay_in_the_region_of_the_old_one(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    """That region was not configured; the new key belongs to the default one."""
    own = regions["US"].add_workspace("Here", projects=1)
    new = regions["US"].add_personal_key(workspaces=[own]).secret
    client = made()
    list(client.list_projects())
    assert client.api_url == EU
    client.api_key = new
    assert [p.name for p in client.list_projects()] == ["Here project 1"]
    assert client.api_url == US
    assert not regions["EU"].saw(new)


@needs_v2
def test_the_same_with_the_async_client(regions: dict[str, SimulatedLangSmith]) -> None:
    own = regions["US"].add_workspace("Here", projects=1)
    new = regions["US"].add_personal_key(workspaces=[own]).secret
    client = SafeAsyncClient(policy=QUICK)

    async def call() -> None:
        await client._arequest_with_retries("GET", "/sessions")
        client.api_key = client.api_key  # the same key
        assert access_of(client).endpoint == EU
        client.api_key = new
        found = (await client._arequest_with_retries("GET", "/sessions")).json()
        assert [p["name"] for p in found] == ["Here project 1"]
        found = await client._langsmith_api.get("/sessions", cast_to=object)
        assert [p["name"] for p in found] == ["Here project 1"]

    run(client, call)
    assert not regions["EU"].saw(new)


@needs_v2
def test_the_generated_sync_client(regions: dict[str, SimulatedLangSmith]) -> None:
    """The generated client behind `client.agents`."""
    generated = made()._get_langsmith_api_sync()
    assert isinstance(generated.get("/sessions", cast_to=object), list)
    assert regions["EU"].exchanges[-1].path == "/sessions"
    generated.close()


@needs_v2
def test_the_generated_sync_client_with_an_address_that_is_none() -> None:
    generated = made(api_url="production", api_key=GONE)._get_langsmith_api_sync()
    with pytest.raises(WrongEndpointError, match="is not a valid URL") as caught:
        generated.get("/sessions", cast_to=object)
    assert isinstance(caught.value, langsmith.APIConnectionError)
    assert GONE not in repr(dict(caught.value.request.headers))
    generated.close()


# --- certificates, sessions, names ----------------------------------------------------


def others_saw(regions: dict[str, SimulatedLangSmith]) -> list[str]:
    return [name for name, server in regions.items() if name != "US" and server.exchanges]


def test_a_session_that_checks_no_certificates_asks_nobody_else(
    regions: dict[str, SimulatedLangSmith], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    session = requests.Session()
    session.verify = False
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        diagnosis = made(session=session).diagnose()
    assert diagnosis.code == "key-rejected"
    assert "this client does not check certificates" in str(diagnosis)
    assert others_saw(regions) == []
    session.close()


@needs_v2
def test_nor_do_its_resources(
    regions: dict[str, SimulatedLangSmith], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    session = requests.Session()
    session.verify = False
    client = made(session=session)

    async def call() -> None:
        generated = client._get_langsmith_api()
        with pytest.raises(Exception, match="does not check certificates"):
            await generated.get("/sessions", cast_to=object)
        await generated.close()

    anyio.run(call)
    with (
        made(session=session)._get_langsmith_api_sync() as generated,
        pytest.raises(Exception, match="does not check certificates"),
    ):
        generated.get("/sessions", cast_to=object)
    assert others_saw(regions) == []
    session.close()


def test_a_replay_asks_the_other_regions(
    regions: dict[str, SimulatedLangSmith], tmp_path: Path
) -> None:
    """It uses its own adapters, which check certificates."""
    _, run = Place(regions["US"], tmp_path).write()
    assert made().replay_failed_traces(tmp_path) == Replay(1)
    assert len(regions["EU"].runs[run]) == 1


def test_a_replay_beside_a_file_that_names_an_endpoint_asks_nobody_else(
    regions: dict[str, SimulatedLangSmith], tmp_path: Path
) -> None:
    Path(".env").write_text("LANGSMITH_BASE_URL=https://own.example\n")
    folder = tmp_path / "traces"
    folder.mkdir()
    Place(regions["US"], folder).write()
    assert main(["replay", str(folder)]) == 1
    assert others_saw(regions) == []


def test_somebody_s_own_adapter_is_not_trusted_with_a_key_for_another_host(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    class Own(HTTPAdapter):
        """An unknown adapter."""

    client = made()
    client.session.mount("https://", Own())  # the SDK's constructor mounts its own
    assert "does not check certificates" in str(client.diagnose())
    assert others_saw(regions) == []


@pytest.mark.parametrize(
    ("make", "checked"),
    [
        (httpx.Client, True),
        (partial(httpx.Client, verify=False), False),
        (
            partial(
                httpx.Client, transport=httpx.MockTransport(lambda _: httpx.Response(200))
            ),
            False,
        ),
    ],
)
def test_an_httpx_client_that_checks_certificates(
    make: Callable[[], Any], checked: bool
) -> None:
    with make() as http:
        assert checks_certificates(http, f"{EU}/info") is checked


def test_a_host_with_the_certificate_of_another_one_sees_no_key(
    regions: dict[str, SimulatedLangSmith], serve_tls: Serve
) -> None:
    """The name resolves to a different server."""
    liar = serve_tls("eu.api.smith.langchain.com", certificate="elsewhere.example")
    diagnosis = made().diagnose()
    assert diagnosis.code == "key-rejected"
    assert "could not check this key in the EU region" in str(diagnosis)
    assert liar.exchanges == ()


def test_nothing_of_the_session_goes_to_the_other_hosts(
    regions: dict[str, SimulatedLangSmith], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No header, cookie, or login is sent: these are only for the client's own host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password pa55word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session = requests.Session()
    session.headers["X-Gateway"] = "let me in"
    session.cookies.set("gate", "open")
    made(session=session, headers={"X-Own": "mine"}).diagnose()
    for name in ("EU", "APAC", "AWS US"):
        for exchange in regions[name].exchanges:
            told = set(exchange.headers)
            assert not told & {"x-gateway", "cookie", "authorization", "x-own"}
    session.close()


# --- in parallel, and with a time limit -----------------------------------------------


def test_the_hosts_are_asked_at_the_same_time(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    for name in ("EU", "APAC", "AWS US"):
        regions[name].answer("/workspaces", status=None, delay=1.0)
    client = made()
    started = time.monotonic()
    list(client.list_projects())
    assert time.monotonic() - started < 2.5


def test_the_async_client_asks_at_the_same_time(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    for name in ("EU", "APAC", "AWS US"):
        regions[name].answer("/workspaces", status=None, delay=1.0)
    client = SafeAsyncClient(policy=QUICK)
    started = time.monotonic()
    run(client, lambda: client._arequest_with_retries("GET", "/sessions"))
    assert time.monotonic() - started < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("make", [SafeClient, SafeAsyncClient])
def test_hosts_that_are_silent_fit_into_the_budget(
    regions: dict[str, SimulatedLangSmith], make: type[Any]
) -> None:
    for name in ("EU", "APAC", "AWS US"):
        regions[name].answer("*", status=None, delay=30)
    client = make(policy=Policy(budget_s=1.5))
    started = time.monotonic()
    if make is SafeAsyncClient:
        diagnosis = run(client, client.diagnose)
    else:
        diagnosis = client.diagnose()
    assert time.monotonic() - started < 3.5
    assert diagnosis.code == "key-rejected"
    assert "could not check this key in the EU region" in str(diagnosis)


QUESTIONS = tuple(Probe(f"https://host-{n}.example") for n in range(3))


def test_where_no_thread_can_be_started_it_asks_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the interpreter shuts down."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asked: list[str] = []

    def ask(probe: Probe) -> Reply:
        asked.append(probe.url)
        return Reply(200, probe.url)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    answers = ask_all(ask, QUESTIONS, Clock(5))
    assert asked == [probe.url for probe in QUESTIONS]
    assert [a.body for a in answers if isinstance(a, Reply)] == asked


@pytest.mark.slow
def test_a_thread_that_hangs_is_not_waited_for() -> None:
    """Resolving a name has no timeout."""
    hang = threading.Event()

    def ask(probe: Probe) -> Reply:
        hang.wait(10)
        return Reply(200)

    started = time.monotonic()
    answers = ask_all(ask, QUESTIONS, Clock(0.2))
    assert time.monotonic() - started < 3
    assert all("budget_s is over" in getattr(a, "reason", "") for a in answers)
    hang.set()


def test_an_error_of_our_own_on_a_thread_is_not_swallowed() -> None:
    def ask(probe: Probe) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_all(ask, QUESTIONS, Clock(5))


# --- other cases ----------------------------------------------------------------------


def test_diagnose_without_a_client(regions: dict[str, SimulatedLangSmith]) -> None:
    diagnosis = diagnose(policy=QUICK)
    assert (diagnosis.code, diagnosis.region) == ("wrong-region", "US")
    assert f"set LANGSMITH_ENDPOINT={EU}" in diagnosis.next_steps


def test_resources_move_if_they_take_the_new_key_along(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    """Older resources keep the key from their construction, and so their address."""
    client = SafeAsyncClient(policy=QUICK)
    before = str(client._langsmith_api.base_url)
    run(client, lambda: client._arequest_with_retries("GET", "/sessions"))
    assert access_of(client).endpoint == EU
    assert (str(client._langsmith_api.base_url) != before) == WATCHES_V2


@needs_v2
def test_after_a_repair_the_whole_client_is_there(
    regions: dict[str, SimulatedLangSmith],
) -> None:
    client = made()
    list(client.list_projects())
    assert client.last_diagnosis is not None
    assert client.last_diagnosis.region == "EU"
    before = len(regions["US"].exchanges)
    list(client.list_projects())
    client.create_run("run", {}, "chain")
    anyio.run(resource, client)
    assert len(regions["US"].exchanges) == before
    assert client._write_api_urls == {EU: client.api_key}


async def resource(client: SafeClient) -> None:
    generated = client._get_langsmith_api()
    await generated.get("/sessions", cast_to=object)
    await generated.close()


def test_another_proxy_may_lead_to_another_host(
    regions: dict[str, SimulatedLangSmith], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxies are looked up again for the new host."""
    monkeypatch.setenv("NO_PROXY", "api.smith.langchain.com")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert list(made().list_projects())


# --- a login from .netrc or the URL ---------------------------------------------------


@pytest.fixture
def gateway(server: SimulatedLangSmith) -> Iterator[str]:
    """A gateway in front of the server. It treats any login as its own, and rejects it."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = 401, b'{"error":"Unauthorized"}'
            if "Authorization" not in self.headers:
                way = http.client.HTTPConnection("127.0.0.1", server.port)
                way.request("GET", self.path, headers=dict(self.headers))
                answer = way.getresponse()
                status, content = answer.status, answer.read()
                way.close()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as front:
        thread = threading.Thread(target=front.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{front.server_port}"
        front.shutdown()
        thread.join()


@pytest.mark.parametrize("place", ["your .netrc file", "your session"])
def test_a_login_that_spoils_the_key_is_named_with_its_place(
    place: str,
    gateway: str,
    server: SimulatedLangSmith,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = made(api_url=gateway, api_key=key)
    assert list(client.list_projects())
    if place == "your session":
        client.session.auth = ("me", "pa55word")
    else:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password pa55word\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(AccessDeniedError, match=f"from {place} was rejected") as caught:
        list(client.list_projects())
    assert caught.value.next_steps == (f"remove the login for {gateway} from {place}",)
    assert "pa55word" not in str(caught.value)


def test_a_login_that_does_no_harm_is_a_finding(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    client = made(api_url=server.url, api_key=key)
    client.session.headers["Authorization"] = "Basic bWU6cGE1NXdvcmQ="
    with pytest.raises(PermissionMissingError, match="adds an Authorization header"):
        client.create_project("new")


def test_a_login_of_the_request_itself(server: SimulatedLangSmith) -> None:
    client = made(api_url=server.url, api_key=GONE)
    with pytest.raises(KeyRejectedError, match="adds an Authorization header to requests"):
        client.request_with_retries(
            "GET", "/sessions", headers={**client._headers, "Authorization": "Basic eA=="}
        )


def test_diagnose_sends_the_key_of_the_headers(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    diagnosis = made(api_url=server.url, headers={"x-api-key": key}).diagnose()
    assert (diagnosis.code, diagnosis.key_source) == ("ok", "the headers argument")


# --- an invalid endpoint on the tracing path ------------------------------------------


def test_traces_for_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "eu.api.smith.langchain.com")
    lost: list[Exception] = []
    client = made(api_key=GONE, auto_batch_tracing=True, tracing_error_callback=lost.append)
    trace(client)
    client.cleanup()
    assert all(isinstance(error, WrongEndpointError) for error in lost)
    assert lost
