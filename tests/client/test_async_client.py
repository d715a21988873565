"""Tests for `SafeAsyncClient` and the v2 resources, in tasks, threads, and event loops."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import pickle
import threading
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import langsmith
import pytest
import requests
from conftest import QUICK, Serve
from langsmith.utils import LangSmithError, LangSmithNotFoundError
from releases import RESOURCES, WATCHES_V2, needs_v2
from scenarios import GONE, HTML_403, list_projects
from stage import TRANSPORTS, assert_no_secret, closing
from table import SCENARIOS

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    KeyMalformedError,
    KeyMissingError,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith._knowledge.access import Access
from safe_langsmith._sdk.clients import access_of
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.flights import FLIGHTS, Repaired
from safe_langsmith._transport.owner import sender
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")


def client_for(server: SimulatedLangSmith, **arguments: Any) -> SafeAsyncClient:
    arguments.setdefault("policy", QUICK)
    return SafeAsyncClient(server.url, **arguments)


def sync_client_for(server: SimulatedLangSmith, **arguments: Any) -> SafeClient:
    arguments.setdefault("policy", QUICK)
    return SafeClient(server.url, auto_batch_tracing=False, **arguments)


def run(
    client: SafeAsyncClient | SafeClient, call: Callable[[], Awaitable[Any]], **options: Any
) -> Any:
    """Run a call in an event loop, and close the client in it."""
    return anyio.run(closing, client, call, **options)


def paths(server: SimulatedLangSmith) -> list[str]:
    return [f"{e.method} {e.path} {e.status}" for e in server.exchanges]


async def arrival(server: SimulatedLangSmith) -> None:
    """Wait for the first request of a call: the server runs on its own thread."""
    while not any(e.path == "/sessions" for e in server.exchanges):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.fixture
def org_key(server: SimulatedLangSmith) -> str:
    """An organization-scoped key; its only workspace has projects and runs."""
    server.add_workspace("Research", projects=3, runs=250)
    return server.add_service_key(workspaces=None).secret


def project_of(server: SimulatedLangSmith, key: str) -> str:
    """Return the id of the project that has runs."""
    client = sync_client_for(server, api_key=key)
    found = client.read_project(project_name="Research project 1")
    client.session.close()
    server.clear()
    return str(found.id)


# --- drop-in --------------------------------------------------------------------------


def test_it_is_the_sdk_s_client(server: SimulatedLangSmith) -> None:
    client = client_for(server, api_key=GONE)
    assert isinstance(client, langsmith.AsyncClient)
    assert safe_langsmith.AsyncClient is SafeAsyncClient


def test_signature_shows_every_argument_and_policy() -> None:
    plain = inspect.signature(langsmith.AsyncClient).parameters
    safe = inspect.signature(SafeAsyncClient).parameters
    assert list(safe) == [*plain, "policy"]
    assert all(safe[name] == plain[name] for name in plain)


def test_positional_arguments_count_as_arguments(server: SimulatedLangSmith) -> None:
    client = SafeAsyncClient(server.url, GONE)
    diagnosis = run(client, client.diagnose)
    assert diagnosis.key_source == "the api_key argument"
    assert diagnosis.endpoint_source == "the api_url argument"
    assert client.last_diagnosis == diagnosis


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 404, 405, 409, 422, 429, 500, 503])
@pytest.mark.parametrize("way", ["client", RESOURCES])
def test_other_errors_are_those_of_the_plain_client(
    server: SimulatedLangSmith, status: int, way: str
) -> None:
    """The exception, its text, and the requests are the same as with the plain client."""
    key = server.add_personal_key().secret
    server.answer("/sessions", status=status, body={"detail": "no"})
    seen = []
    for make in (langsmith.AsyncClient, SafeAsyncClient):
        server.clear()
        client: Any = make(server.url, api_key=key, retry_config={"max_retries": 2})
        generated = client._langsmith_api.with_options(max_retries=1)

        async def call(client: Any = client, generated: Any = generated) -> Any:
            if way == "client":
                return await client._arequest_with_retries("GET", "/sessions")
            return await generated.get("/sessions", cast_to=object)

        with pytest.raises(Exception) as caught:  # noqa: PT011  # any exception
            run(client, call)
        seen.append((type(caught.value), str(caught.value), paths(server)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("way", ["client", RESOURCES])
def test_a_connection_error_is_that_of_the_plain_client(way: str) -> None:
    seen = []
    for make in (langsmith.AsyncClient, SafeAsyncClient):
        client: Any = make(
            "http://127.0.0.1:9", api_key=GONE, retry_config={"max_retries": 1}
        )
        generated = client._langsmith_api.with_options(max_retries=0)

        async def call(client: Any = client, generated: Any = generated) -> Any:
            if way == "client":
                return await client._arequest_with_retries("GET", "/sessions")
            return await generated.get("/sessions", cast_to=object)

        with pytest.raises(Exception, match="onnection") as caught:
            run(client, call)
        seen.append(type(caught.value))
    assert seen[0] is seen[1]


# --- the async client -----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_list_runs_across_a_repair(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """The key changes while runs are listed; no run is lost or returned twice."""
    own = server.add_workspace("Research", projects=1, runs=250)
    old = server.add_personal_key(workspaces=[own])
    project = project_of(server, old.secret)
    monkeypatch.setenv("LANGSMITH_API_KEY", old.secret)
    client = client_for(server)

    async def call() -> list[str]:
        ids = []
        async for found in client.list_runs(project_id=project):
            ids.append(str(found.id))
            if len(ids) == 130:
                server.revoke(old)
                new = server.add_personal_key(workspaces=[own]).secret
                monkeypatch.setenv("LANGSMITH_API_KEY", new)
        return ids

    ids = run(client, call, backend=backend)
    assert len(ids) == len(set(ids)) == 250
    assert client.last_diagnosis is not None
    assert client.last_diagnosis.code == "stale-setting"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_refusal_is_explained(server: SimulatedLangSmith, backend: str) -> None:
    """The call raises a typed error, after one refused request and three probes."""
    client = client_for(server, api_key=GONE)
    with pytest.raises(KeyRejectedError, match="rejected this key") as caught:
        run(client, lambda: client.read_project(project_name="x"), backend=backend)
    assert isinstance(caught.value, LangSmithError)
    assert paths(server)[0] == "GET /sessions 403"
    assert len(paths(server)) == 4


def test_a_prompt_call_with_a_rejected_key_is_also_a_not_found_error(
    server: SimulatedLangSmith,
) -> None:
    body = {"detail": "No prompt owner specified"}
    server.answer("/commits/*", status=404, body=body)
    client = client_for(server, api_key=GONE, retry_config={"max_retries": 1})
    with pytest.raises(LangSmithNotFoundError) as caught:
        run(client, lambda: client._arequest_with_retries("GET", "/commits/-/x/latest"))
    assert isinstance(caught.value, KeyRejectedError)


def test_writes_are_resent_completely(server: SimulatedLangSmith, org_key: str) -> None:
    client = client_for(server, api_key=org_key)
    identity = uuid.uuid4()
    run(client, lambda: client.create_run("r", {"a": "b"}, "chain", id=identity))
    assert len(server.runs[str(identity)]) == 1
    sent = [e for e in server.exchanges if e.path == "/runs"]
    assert [e.status for e in sent] == [403, 202]
    assert sent[0].body == sent[1].body


def test_a_body_that_cannot_be_read_twice(server: SimulatedLangSmith, org_key: str) -> None:
    """The client is repaired, and the error says to call again."""
    client = client_for(server, api_key=org_key)

    async def body() -> Any:
        yield b'{"name":"x"}'

    def call() -> Any:
        return client._arequest_with_retries("POST", "/sessions", content=body())

    async def twice() -> Any:
        with pytest.raises(AccessDeniedError, match="cannot be sent twice"):
            await call()
        return await call()

    assert run(client, twice).status_code == 200


def test_a_file_that_cannot_be_rewound(server: SimulatedLangSmith, org_key: str) -> None:
    """A form is not resent if its file was already read: the file would be missing."""

    class Pipe:
        def __init__(self) -> None:
            self.left = b"rows"

        def read(self, _: int = -1) -> bytes:
            left, self.left = self.left, b""
            return left

        def fileno(self) -> int:
            raise OSError

        def tell(self) -> int:
            return 0 if self.left else 4

    client = client_for(server, api_key=org_key)

    async def call() -> Any:
        files: Any = {"file": ("data.csv", Pipe())}
        return await client._client.post("/sessions", files=files)

    response = run(client, call)
    with pytest.raises(AccessDeniedError, match="cannot be sent twice"):
        response.raise_for_status()
    assert [e.status for e in server.exchanges if e.path == "/sessions"] == [403]


@pytest.mark.parametrize("source", ["argument", "environment"])
def test_a_key_with_a_bom(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """The BOM is removed. The plain client cannot even be created with such a key."""
    own = server.add_workspace("Research", projects=1)
    key = "\ufeff" + server.add_personal_key(workspaces=[own]).secret
    arguments = {"api_key": key} if source == "argument" else {}
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    client = client_for(server, **arguments)
    assert run(client, client.diagnose).code == "ok"
    assert client.last_diagnosis is not None
    expected = "the api_key argument" if source == "argument" else "LANGSMITH_API_KEY"
    assert client.last_diagnosis.key_source == expected


@pytest.mark.parametrize(
    ("key", "repair"), [("ключ-" + GONE[8:], True), (f"\u201c{GONE}\u201d", False)]
)
def test_a_key_with_which_no_client_can_be_created(
    server: SimulatedLangSmith, key: str, repair: bool
) -> None:
    """The plain client raises a UnicodeEncodeError, which is a ValueError, too."""
    told: list[Diagnosis] = []
    policy = Policy(repair=repair, on_diagnosis=told.append)
    with pytest.raises(KeyMalformedError, match="the client was not created") as caught:
        client_for(server, api_key=key, policy=policy)
    assert isinstance(caught.value, ValueError)
    assert told == [caught.value.diagnosis]
    assert caught.value.diagnosis.key_source == "the api_key argument"
    assert caught.value.diagnosis.endpoint == server.url
    assert_no_secret("".join(traceback.format_exception(caught.value)), [GONE])
    with pytest.raises(UnicodeEncodeError):  # its own text contains no key
        client_for(server, headers={"X-Name": "\u00e9"})


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_key_with_a_line_break(server: SimulatedLangSmith, transport: str) -> None:
    """It is not sent, so nothing quotes it."""
    kind, call = TRANSPORTS[transport]
    broken = f"{GONE[:20]}\n{GONE[20:]}"
    alone = {} if kind is SafeAsyncClient else {"auto_batch_tracing": False}
    client = kind(server.url, api_key=broken, policy=QUICK, **alone)
    row = next(row for row in SCENARIOS if row.call is list_projects)
    with pytest.raises(KeyMalformedError, match="was not sent: the key has char") as caught:
        anyio.run(closing, client, partial(call, client, row))
    assert_no_secret("".join(traceback.format_exception(caught.value)), [GONE])
    assert server.exchanges == ()


@needs_v2
def test_the_web_app_s_address_is_corrected(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The correction applies to the client and to its resources."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    web = serve_tls("eu.smith.langchain.com", layout="web")
    api = serve_tls("eu.api.smith.langchain.com")
    own = api.add_workspace("Research", projects=1)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://eu.smith.langchain.com")
    monkeypatch.setenv("LANGSMITH_API_KEY", api.add_personal_key(workspaces=[own]).secret)
    client = SafeAsyncClient(policy=QUICK)

    async def call() -> Any:
        await client.read_project(project_name="Research project 1")
        return await client._langsmith_api.get("/sessions", cast_to=object)

    assert len(run(client, call)) == 1
    assert client._api_url.rstrip("/") == "https://eu.api.smith.langchain.com"
    assert (len(web.exchanges), len(api.exchanges)) == (1, 2)


@needs_v2
def test_a_login_session(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    own = server.add_workspace("Research", projects=1)
    token = server.add_oauth_token(workspaces=[own])
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    profile = {"api_url": server.url, "oauth": {"access_token": token.secret}}
    path.write_text(json.dumps({"profiles": {"default": profile}}))
    client = SafeAsyncClient(policy=QUICK)

    async def call() -> None:
        assert (await client.diagnose()).key_kind == "oauth"
        server.revoke(token)
        with pytest.raises(
            KeyRejectedError, match="langsmith auth login --profile default"
        ):
            await client.read_project(project_name="Research project 1")
        with pytest.raises(KeyRejectedError) as caught:
            await client._langsmith_api.get("/sessions", cast_to=object)
        assert token.secret not in repr(vars(caught.value))
        key = server.add_personal_key(workspaces=[own]).secret
        monkeypatch.setenv("LANGSMITH_API_KEY", key)
        await client.read_project(project_name="Research project 1")

    run(client, call)


# --- the v2 resources -----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("make", [client_for, sync_client_for])
@needs_v2
def test_runs_query_across_a_repair(
    server: SimulatedLangSmith, org_key: str, make: Callable[..., Any], backend: str
) -> None:
    """Every page is read, and each run is returned once."""
    project = project_of(server, org_key)
    client = make(server, api_key=org_key)

    async def call() -> list[str]:
        query = client.runs.query_v2(project_ids=[project], page_size=100)
        return [str(found.id) async for found in query]

    ids = run(client, call, backend=backend)
    assert len(ids) == len(set(ids)) == 250
    refused = [e for e in server.exchanges if e.status == 403]
    assert [e.path for e in refused] == ["/v2/runs/query"]


@needs_v2
def test_a_refusal_on_the_resources(server: SimulatedLangSmith) -> None:
    """The error is also the SDK's, contains no key, and is raised after one request."""
    client = client_for(server, api_key=GONE)
    with pytest.raises(langsmith.PermissionDeniedError) as caught:
        run(client, lambda: client._langsmith_api.get("/sessions", cast_to=object))
    assert isinstance(caught.value, KeyRejectedError)
    error: Any = caught.value
    assert error.status_code == 403
    assert error.body == {"detail": "Forbidden"}
    assert error.response.status_code == 403
    assert GONE not in str(error.response.request.headers)
    assert error.request is error.response.request
    assert error.message == str(error)
    twin: Any = pickle.loads(pickle.dumps(error))
    assert (twin.response, twin.request, twin.status_code) == (None, None, 403)
    assert twin.body == error.body
    assert paths(server).count("GET /sessions 403") == 1


@needs_v2
def test_no_key_on_the_resources(server: SimulatedLangSmith) -> None:
    """The error is the SDK's for a 401. The plain client raises a TypeError instead."""
    client = client_for(server)
    with pytest.raises(langsmith.AuthenticationError) as caught:
        run(client, lambda: client._langsmith_api.get("/sessions", cast_to=object))
    assert isinstance(caught.value, KeyMissingError)


@needs_v2
def test_a_web_page_for_the_resources(server: SimulatedLangSmith) -> None:
    """A proxy's page is kept as the body of the error, as text."""
    server.answer("*", status=403, body=HTML_403)
    client = client_for(server, api_key=GONE, policy=Policy(budget_s=0.4))
    with pytest.raises(langsmith.PermissionDeniedError) as caught:
        run(client, lambda: client._langsmith_api.get("/sessions", cast_to=object))
    assert isinstance(caught.value, AccessDeniedError)
    assert caught.value.code == "blocked-by-proxy"
    assert vars(caught.value)["body"] == HTML_403


@pytest.mark.parametrize("make", [client_for, sync_client_for])
@needs_v2
def test_raw_streamed_and_copied_resources(
    server: SimulatedLangSmith, org_key: str, make: Callable[..., Any]
) -> None:
    """The variants of the generated client are watched too."""
    project = project_of(server, org_key)

    async def query(runs: Any) -> Any:
        return await runs.query_v2(project_ids=[project], page_size=10)

    async def raw(client: Any) -> int:
        return int((await query(client.runs.with_raw_response)).status_code)

    async def streamed(client: Any) -> int:
        streaming = client.runs.with_streaming_response
        async with streaming.query_v2(project_ids=[project]) as response:
            assert b'"items"' in await response.read()
            return int(response.status_code)

    async def changed(client: Any) -> int:
        _ = client.runs
        twin = client._langsmith_api.with_options(timeout=5).copy(max_retries=0)
        return len((await query(twin.runs)).items) * 20

    for way in (raw, streamed, changed):
        server.clear()
        FLIGHTS.forget()
        client = make(server, api_key=org_key)
        assert run(client, lambda way=way, client=client: way(client)) == 200  # type: ignore[misc]
        asked = [p for p in paths(server) if "/info" not in p]
        assert [p.split()[1] for p in asked] == [
            "/v2/runs/query",
            "/workspaces",
            "/v2/runs/query",
        ]


@needs_v2
def test_a_copy_with_an_http_client_of_its_own(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """The settings of the HTTP client apply to the probes too."""
    client = client_for(server, api_key=org_key)

    async def call() -> Any:
        own = httpx.AsyncClient(headers={"X-Gateway": "let me in"}, base_url=server.url)
        async with own:
            twin = client._langsmith_api.copy(http_client=own)
            return await twin.get("/sessions", cast_to=object)

    assert len(run(client, call)) == 3
    assert {e.headers.get("x-gateway") for e in server.exchanges} == {"let me in"}


@needs_v2
def test_a_copy_with_a_key_of_its_own(server: SimulatedLangSmith, org_key: str) -> None:
    """If the copy's key is rejected, the client keeps its own settings."""
    client = client_for(server, api_key=org_key)

    async def call() -> None:
        twin = client._langsmith_api.with_options(api_key=GONE)
        with pytest.raises(KeyRejectedError) as caught:
            await twin.get("/sessions", cast_to=object)
        assert caught.value.diagnosis.key_source == "the request itself"

    run(client, call)
    assert client.api_key == org_key


@needs_v2
def test_the_sync_resource(server: SimulatedLangSmith, org_key: str) -> None:
    """`agents` of the sync client uses a sync generated client."""
    client = sync_client_for(server, api_key=org_key)
    generated = client._get_langsmith_api_sync()
    assert client.agents._client is generated
    found: Any = generated.get("/sessions", cast_to=object)
    assert len(found) == 3
    assert client.workspace_id is not None
    client.api_key, client.workspace_id = GONE, None
    with pytest.raises(langsmith.PermissionDeniedError) as caught:
        generated.with_options(timeout=5).get("/sessions", cast_to=object)
    assert isinstance(caught.value, KeyRejectedError)
    generated.close()


@pytest.mark.slow
@needs_v2
def test_the_sync_resource_waits_and_gives_up(server: SimulatedLangSmith) -> None:
    """A temporary refusal is retried, unless the pause exceeds the budget."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    client = sync_client_for(server, api_key=key)
    generated = client._get_langsmith_api_sync()
    generated.get("/sessions", cast_to=object)
    server.answer("/sessions", status=403, body={"detail": "Forbidden"}, times=1)
    assert generated.get("/sessions", cast_to=object)
    server.answer("/sessions", status=403, body={"detail": "Forbidden"})
    client.policy = Policy(budget_s=1)
    with pytest.raises(AccessDeniedError, match="did not fit"):
        generated.get("/sessions", cast_to=object)
    generated.close()


@needs_v2
def test_probes_of_the_sync_resource_that_fail(server: SimulatedLangSmith) -> None:
    client = sync_client_for(server, api_key=GONE, policy=Policy(budget_s=0.5))
    generated = client._get_langsmith_api_sync()
    server.answer("/workspaces", status=403, body={"detail": "no"}, delay=30)
    server.answer("/auth/public", status=200, body="x" * 1_100_000)
    with pytest.raises(AccessDeniedError) as caught:
        generated.get("/sessions", cast_to=object)
    assert caught.value.code == "access-denied"
    server.clear_answers()
    generated.close()


# --- a repair reaches every path ------------------------------------------------------


@needs_v2
def test_a_repair_of_the_sync_client_reaches_its_resources(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = sync_client_for(server, api_key=org_key)
    list(client.list_projects())
    server.clear()
    run(client, lambda: client._get_langsmith_api().get("/sessions", cast_to=object))
    assert paths(server) == ["GET /sessions 200"]


@needs_v2
def test_a_repair_of_the_resources_reaches_the_sync_client(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = sync_client_for(server, api_key=org_key)
    run(client, lambda: client._get_langsmith_api().get("/sessions", cast_to=object))
    server.clear()
    list(client.list_projects())
    assert paths(server) == ["GET /sessions 200"]


@needs_v2
def test_a_repair_reaches_both_ways_of_the_async_client(
    server: SimulatedLangSmith, org_key: str
) -> None:
    for first, second in (("client", "resources"), ("resources", "client")):
        client = client_for(server, api_key=org_key)

        async def call(way: str, client: SafeAsyncClient = client) -> None:
            if way == "client":
                await client.read_project(project_name="Research project 1")
            else:
                await client._langsmith_api.get("/sessions", cast_to=object)

        async def both(first: str = first, second: str = second, call: Any = call) -> None:
            await call(first)
            server.clear()
            await call(second)

        run(client, both)
        assert paths(server) == ["GET /sessions 200"]


# --- one flight, for tasks, loops and threads -----------------------------------------


def test_many_tasks_refused_together(server: SimulatedLangSmith, org_key: str) -> None:
    diagnoses: list[Diagnosis] = []
    client = client_for(
        server, api_key=org_key, policy=Policy(on_diagnosis=diagnoses.append)
    )

    async def one(number: int) -> Any:
        if number % 2 and WATCHES_V2:
            return await client._langsmith_api.get("/sessions", cast_to=object)
        return (await client._arequest_with_retries("GET", "/sessions")).json()

    async def call() -> list[Any]:
        return await asyncio.gather(*(one(number) for number in range(64)))

    answers = run(client, call)
    assert [len(a) for a in answers] == [3] * 64
    assert len(diagnoses) == 1
    assert paths(server).count("GET /workspaces 200") == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_tasks_get_the_same_error(server: SimulatedLangSmith, backend: str) -> None:
    diagnoses: list[Diagnosis] = []
    client = client_for(server, api_key=GONE, policy=Policy(on_diagnosis=diagnoses.append))
    errors: list[AccessDeniedError] = []

    async def one() -> None:
        try:
            await client.read_project(project_name="x")
        except AccessDeniedError as error:
            errors.append(error)

    async def call() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)

    run(client, call, backend=backend)
    assert {type(e) for e in errors} == {KeyRejectedError}
    assert len(errors) == 20
    assert len(diagnoses) == 1


@needs_v2
def test_loops_in_threads_and_a_thread_without_one(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """Sync calls and async resources of one client wait for the same diagnosis."""
    diagnoses: list[Diagnosis] = []
    policy = Policy(on_diagnosis=diagnoses.append)
    client = sync_client_for(server, api_key=org_key, policy=policy)
    client._get_langsmith_api()
    server.answer("/workspaces", status=None, delay=0.5)
    barrier = threading.Barrier(12)

    def one(number: int) -> int:
        barrier.wait()
        if number % 2:
            return len(list(client.list_projects()))

        async def call() -> int:
            # An httpx client belongs to one event loop.
            async with httpx.AsyncClient(base_url=server.url) as http:
                twin = client._get_langsmith_api().copy(http_client=http)
                answer: Any = await twin.get("/sessions", cast_to=object)
                return len(answer)

        return asyncio.run(call())

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(one, range(12))) == [3] * 12
    assert len(diagnoses) == 1
    anyio.run(client._get_langsmith_api().close)


@needs_v2
def test_a_sync_call_in_the_loop_that_leads(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """A blocking call cannot wait for a task on its own thread, so it diagnoses too."""
    client = sync_client_for(server, api_key=org_key)
    server.answer("/workspaces", status=None, delay=0.3)

    async def call() -> tuple[int, int]:
        task = asyncio.create_task(
            client._get_langsmith_api().get("/sessions", cast_to=object)
        )
        await arrival(server)
        await asyncio.sleep(0.1)
        here = len(list(client.list_projects()))
        there: Any = await task
        return here, len(there)

    assert run(client, call) == (3, 3)


def test_cancelling_the_leader_leaves_nobody_waiting(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = client_for(server, api_key=org_key)
    server.answer("/workspaces", status=None, delay=30, times=1)

    async def one() -> int:
        return len((await client._arequest_with_retries("GET", "/sessions")).json())

    async def call() -> list[int]:
        leader = asyncio.create_task(one())
        await arrival(server)
        others = [asyncio.create_task(one()) for _ in range(5)]
        await asyncio.sleep(0.2)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        return await asyncio.gather(*others)

    assert run(client, call) == [3] * 5


def test_a_timeout_of_the_caller_ends_promptly(
    server: SimulatedLangSmith, org_key: str
) -> None:
    client = client_for(server, api_key=org_key)
    server.answer("/workspaces", status=None, delay=30)

    async def call() -> float:
        started = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.read_project(project_name="x"), 0.3)
        return time.monotonic() - started

    assert run(client, call) < 20  # the response takes 30 s


def test_a_leader_that_never_ends_is_not_waited_for_forever(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """If the leader's event loop was stopped, another call leads after the budget."""
    client = client_for(server, api_key=org_key, policy=Policy(budget_s=0.5))
    place = FLIGHTS.join((access_of(client), sender(client)), lambda: None)
    assert not isinstance(place, (Access, Repaired))
    flight, leads = place
    flight.thread = 0
    assert leads

    async def call() -> int:
        return len((await client._arequest_with_retries("GET", "/sessions")).json())

    assert run(client, call) == 3
    FLIGHTS.forget()
    sync = sync_client_for(server, api_key=org_key, policy=Policy(budget_s=0.5))
    place = FLIGHTS.join((access_of(sync), sender(sync)), lambda: None)
    assert not isinstance(place, (Access, Repaired))
    flight, leads = place
    flight.thread = 0
    assert len(list(sync.list_projects())) == 3


@pytest.mark.slow
def test_the_event_loop_keeps_running_during_a_diagnosis(
    server: SimulatedLangSmith,
) -> None:
    """Other tasks keep running while files are read, and during probes and pauses."""
    server.answer("*", status=403, body=HTML_403)
    Path(".env").write_text("LANGSMITH_PROJECT=x\n" * 20_000)
    client = client_for(server, api_key=GONE)
    gaps: list[float] = []

    async def heartbeat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    async def call() -> None:
        beat = asyncio.create_task(heartbeat())
        with pytest.raises(AccessDeniedError):
            await client.read_project(project_name="x")
        beat.cancel()

    run(client, call)
    # The pauses take 3.5 s in total; in a blocked loop there would be only a few beats.
    assert len(gaps) > 30


def test_a_second_refusal_within_the_cooldown_sends_no_probe(
    server: SimulatedLangSmith,
) -> None:
    client = client_for(server, api_key=GONE)

    async def call() -> None:
        for _ in range(2):
            with pytest.raises(KeyRejectedError):
                await client.read_project(project_name="x")
        with pytest.raises(KeyRejectedError, match="GET /datasets was refused"):
            await client._arequest_with_retries("GET", "/datasets")
        if WATCHES_V2:
            with pytest.raises(KeyRejectedError, match="GET /datasets was refused"):
                await client._langsmith_api.get("/datasets", cast_to=object)

    run(client, call)
    assert paths(server).count("GET /workspaces 403") == 1


# --- the caller's settings ------------------------------------------------------------


@needs_v2
def test_a_session_s_certificates_apply_to_the_resources(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The caller's `verify` applies to the request, the probes, and the resend."""
    api = serve_tls("langsmith.test")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    api.add_workspace("Research", projects=2)
    key = api.add_service_key(workspaces=None).secret
    session = requests.Session()
    session.verify = str(tmp_path / "authority.pem")
    session.headers["X-Gateway"] = "let me in"
    for way in ("client", "resources"):
        FLIGHTS.forget()  # so that each sends its own probes
        client = SafeClient(
            "https://langsmith.test",
            api_key=key,
            session=session,
            policy=QUICK,
            auto_batch_tracing=False,
        )
        if way == "client":
            assert len(list(client.list_projects())) == 2
        else:
            get = partial(client._get_langsmith_api().get, "/sessions", cast_to=object)
            assert len(run(client, get)) == 2
    assert {e.headers.get("x-gateway") for e in api.exchanges} == {"let me in"}
    session.close()


@pytest.fixture
def proxy(server: SimulatedLangSmith) -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy, the only way to reach the server, and the requests that it saw."""
    seen: list[str] = []

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {urlsplit(self.path).path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            way = http.client.HTTPConnection("127.0.0.1", server.port)
            path = self.path.partition("langsmith.test")[2]
            way.request(self.command, path, body, dict(self.headers))
            answer = way.getresponse()
            content = answer.read()
            way.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the names of http.server

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", seen
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("way", ["client", RESOURCES])
def test_a_session_s_proxy_applies_to_probes_and_resends(
    server: SimulatedLangSmith, org_key: str, proxy: tuple[str, list[str]], way: str
) -> None:
    address, seen = proxy
    session = requests.Session()
    session.proxies = {"http": address}
    client = SafeClient(
        "http://langsmith.test",
        api_key=org_key,
        session=session,
        policy=QUICK,
        auto_batch_tracing=False,
    )
    if way == "client":
        assert len(list(client.list_projects())) == 3
    else:
        get = partial(client._get_langsmith_api().get, "/sessions", cast_to=object)
        assert len(run(client, get)) == 3
    assert seen == ["GET /sessions", "GET /api/v1/workspaces", "GET /sessions"]
    session.close()


@pytest.mark.slow
def test_a_short_timeout_applies_to_probes(
    server: SimulatedLangSmith, org_key: str
) -> None:
    """Each of a probe's three attempts ends at this timeout, well within the budget."""
    policy = Policy(budget_s=20)
    client = client_for(
        server, api_key=org_key, timeout_ms=(200, 200, 200, 200), policy=policy
    )
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=None, delay=30)
    with pytest.raises(AccessDeniedError, match="could not be listed"):
        run(client, lambda: client.read_project(project_name="x"))
    assert len([p for p in paths(server) if "/workspaces" in p]) == 3


def test_responses_to_probes_that_are_too_large_or_invalid(
    server: SimulatedLangSmith,
) -> None:
    client = client_for(server, api_key=GONE, policy=Policy(budget_s=2))
    server.answer("/workspaces", status=200, body="x" * 1_100_000)
    server.answer("/auth/public", status=302, headers={"Location": "http://[broken"})
    with pytest.raises(AccessDeniedError) as caught:
        run(client, lambda: client.read_project(project_name="x"))
    assert caught.value.code == "access-denied"


@needs_v2
def test_a_client_that_is_gone(server: SimulatedLangSmith) -> None:
    """A generated client that outlives its owner behaves like the SDK's own."""
    client = client_for(server, api_key=GONE)
    generated: Any = client._langsmith_api
    http = client._client
    auth: Any = http.auth
    generated._safe_watcher._owner = lambda: None  # like a dead weak reference
    auth.owner = lambda: None

    async def call() -> None:
        with pytest.raises(langsmith.PermissionDeniedError) as caught:
            await generated.get("/sessions", cast_to=object)
        assert not isinstance(caught.value, AccessDeniedError)
        response = await http.get("/sessions")
        assert response.status_code == 403
        response.raise_for_status  # noqa: B018
        with pytest.raises(httpx.HTTPStatusError):
            response.raise_for_status()

    run(client, call)


def test_an_assigned_key(server: SimulatedLangSmith) -> None:
    """It is used from then on, and the diagnosis names the assignment as its source."""
    server.add_workspace("Research")
    client = client_for(server, api_key=GONE)
    client.api_key = server.add_personal_key().secret
    diagnosis = run(client, client.diagnose)
    assert (diagnosis.code, diagnosis.key_source) == (
        "ok",
        "an assignment to client.api_key",
    )
