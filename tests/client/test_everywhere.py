"""Tests for `install(everywhere=True)`: clients that other code creates are safe, too."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import threading
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import langsmith
import pytest
import tls
from conftest import QUICK, Serve
from langchain_core.load import dumpd
from langchain_core.prompts import PromptTemplate
from langsmith.utils import LangSmithError
from pages import DOCS, ROOT, masked, script
from ways import OTHERS, WAYS, Other, Way

from safe_langsmith import (
    AccessDeniedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
    WorkspaceRequiredError,
    _install,
    install,
)
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._sdk.everywhere import create_instead
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._sdk.names import at_least
from safe_langsmith.testing import SimulatedLangSmith

NEEDS_WORKSPACE = {"error": "org_scoped_key_requires_workspace"}
BOXES = "/v2/sandboxes/boxes"
PLAIN = (langsmith.Client, langsmith.AsyncClient)


@pytest.fixture(autouse=True)
def world(server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Create a workspace with data, and set an organization key in the environment."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_service_key(workspaces=None).secret
    manifest = dumpd(PromptTemplate.from_template("Hello"))
    server.add_prompt("greeting", workspace=own, manifest=manifest)
    filling = SafeClient(server.url, api_key=key, workspace_id=own.id)
    dataset = filling.create_dataset("questions")
    filling.create_example({"number": 1}, dataset_id=dataset.id)
    # Not simulated: an agent, which is requested first, and messages.
    agent = "/v1/platform/hub/repos/*"
    server.answer(agent, status=404, body={"detail": "Not found"})
    server.answer(agent, status=403, body=NEEDS_WORKSPACE, times=1)
    server.answer(BOXES, status=200, body={"sandboxes": []})
    server.answer(BOXES, status=403, body=NEEDS_WORKSPACE, times=1)
    server.answer("/datasets/*/openai_ft", status=200, body='{"messages": []}')
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    for name in ("REDIS_URI", "DATABASE_URI", "LANGGRAPH_RUNTIME_EDITION"):
        monkeypatch.setenv(name, "inmem")  # importing LangGraph's server requires these
    clear_caches()
    langsmith.configure(client=None)
    yield own.id
    langsmith.configure(client=None)


@pytest.fixture
def everywhere() -> Iterator[SafeClient]:
    """Install everywhere, and let the SDK create the tracing client, as under `run`."""
    with install(everywhere=True, policy=QUICK) as client:
        langsmith.configure(client=None)
        yield client


def made() -> dict[str, type]:
    """Return the types that the SDK's classes currently create."""
    clients = [plain(api_key="x") for plain in PLAIN]
    return {plain.__name__: type(c) for plain, c in zip(PLAIN, clients, strict=True)}


SAFE = {"Client": SafeClient, "AsyncClient": SafeAsyncClient}
AS_BEFORE = {plain.__name__: plain for plain in PLAIN}


# --- each way -------------------------------------------------------------------------


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    if "tracing_mode" in found.shown and not at_least("0.14.9"):
        pytest.skip("needs langsmith 0.14.9: exports go to /otel/v1/traces")
    first, _, rest = (found.needs or "langsmith.Client").partition(".")
    is_there = importlib.util.find_spec(first) is not None
    if not is_there or (first == "langsmith" and not hasattr(langsmith, rest)):
        pytest.skip(f"needs {found.needs}")
    return found


def test_with_one_workspace_the_call_is_repaired(
    way: Way, everywhere: SafeClient, server: SimulatedLangSmith
) -> None:
    assert way.call() is not None
    assert 403 in {exchange.status for exchange in server.exchanges}


def test_with_two_workspaces_the_typed_error_is_raised(
    way: Way, everywhere: SafeClient, server: SimulatedLangSmith
) -> None:
    server.add_workspace("Production")
    with pytest.raises(WorkspaceRequiredError) as caught:
        way.call()
    assert [space.name for space in caught.value.diagnosis.workspaces] == [
        "Research",
        "Production",
    ]


def test_without_a_refusal_the_plain_client_s_requests_are_sent(
    way: Way, world: str, server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORKSPACE_ID", "TENANT_ID"):
        monkeypatch.setenv(f"LANGSMITH_{name}", world)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"X-Tenant-Id={world}")
    clear_caches()
    server.answer("/v1/platform/hub/repos/*", status=404, body={"detail": "Not found"})
    server.answer(BOXES, status=200, body={"sandboxes": []})

    def sent() -> set[tuple[object, ...]]:
        langsmith.configure(client=None)
        server.clear()
        assert way.call() is not None
        seen = [e for e in server.exchanges if e.path != "/info"]
        key, workspace = "x-api-key", "x-tenant-id"
        return {
            (e.method, masked(e.path), e.status, e.headers[key], e.headers.get(workspace))
            for e in seen
        }

    plain = sent()
    with install(everywhere=True, policy=QUICK):
        assert sent() == plain
    statuses = {status for _, _, status, _, _ in plain}
    assert statuses
    assert 403 not in statuses


def test_the_page_of_paths_is_current() -> None:
    assert (DOCS / "paths.md").read_text(encoding="utf-8") == script("make_paths").page()


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.test)
def test_the_other_paths_have_their_own_tests(other: Other) -> None:
    file, _, name = other.test.partition("::")
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert f"def {name or 'test_'}" in text


def test_clone_public_dataset(everywhere: SafeClient, server: SimulatedLangSmith) -> None:
    """The SDK uses a second client there, whose placeholder key cannot be repaired."""
    server.answer("/public/*", status=403, body={"error": "Forbidden"})
    server.clear()
    with pytest.raises(AccessDeniedError, match="GET /public/"):
        everywhere.clone_public_dataset(str(uuid.uuid4()))
    sent = [e for e in server.exchanges if e.path != "/info"]
    assert {e.headers["x-api-key"] for e in sent} == {"placeholder"}


# --- standalone generated clients ------------------------------------------------------

needs_generated = pytest.mark.skipif(
    not hasattr(langsmith, "Langsmith"), reason="needs langsmith.Langsmith"
)


def why(client: Any) -> AccessDeniedError:
    """Return the error of a refused call."""
    with pytest.raises(AccessDeniedError) as caught, client:
        client.get("/api/v1/sessions", cast_to=object)
    return caught.value


@needs_generated
def test_advice_names_the_arguments_of_a_generated_client(
    everywhere: SafeClient, server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """A generated client has other arguments, and reads other variables."""
    url, foreign = server.url, str(uuid.UUID(int=7))
    with langsmith.Langsmith(base_url=url) as client:
        client.get("/api/v1/sessions", cast_to=object)
        own = client.tenant_id
    assert f"set LANGSMITH_TENANT_ID={own}." in caplog.text
    server.add_workspace("Production")
    error = why(langsmith.Langsmith(base_url=url, tenant_id=foreign))
    assert error.next_steps[0] == "choose one and pass tenant_id="
    diagnosis = error.diagnosis
    assert diagnosis.key_source == "LANGSMITH_API_KEY"
    assert diagnosis.endpoint_source == "the base_url argument or LANGCHAIN_BASE_URL"
    assert diagnosis.workspace_source == "the tenant_id argument or LANGSMITH_TENANT_ID"


@needs_generated
def test_a_copy_of_a_generated_client_keeps_its_arguments(
    everywhere: SafeClient, server: SimulatedLangSmith
) -> None:
    client = langsmith.Langsmith(base_url=server.url, api_key="lsv2_pt_gone")
    copied = client.with_options(default_headers={"X-Own": "1"})
    assert type(copied) is type(client)
    assert why(copied).diagnosis.key_source == "the api_key argument"
    headers = [e.headers for e in server.exchanges if e.path == "/workspaces"]
    assert headers[-1]["x-own"] == "1"


@needs_generated
def test_a_key_of_another_region(
    everywhere: SafeClient, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region that a repair found is used from then on."""
    monkeypatch.delenv("LANGSMITH_ENDPOINT")
    monkeypatch.setenv("SSL_CERT_FILE", tls.authority_file())
    servers = {
        region.api: serve_tls(region.api.removeprefix("https://")) for region in REGIONS
    }
    address, server = list(servers.items())[1]
    key = server.add_personal_key(workspaces=[server.add_workspace("Research")]).secret
    with langsmith.Langsmith(api_key=key) as client:
        client.get("/api/v1/sessions", cast_to=object)
        assert str(client.base_url).rstrip("/") == address
        server.clear()
        client.get("/api/v1/sessions", cast_to=object)
    assert [exchange.status for exchange in server.exchanges] == [200]


@needs_generated
def test_a_generated_client_that_cannot_be_watched_is_plain(
    everywhere: SafeClient, stepped_aside: list[str]
) -> None:
    client = langsmith.Langsmith(default_headers=[("X-Own", "1", "2")])  # type: ignore[arg-type]
    assert type(client) is langsmith.Langsmith
    client.close()
    (line,) = stepped_aside
    assert "watch this client" in line
    stepped_aside.clear()


# --- which clients are safe ------------------------------------------------------------


class Theirs(langsmith.Client):
    """A subclass written by somebody else."""

    def __init__(self, number: int) -> None:
        super().__init__(api_key=f"x{number}", auto_batch_tracing=False)
        self.number = number


class Creator:
    """A base class that defines `__new__`."""

    given: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        created = super().__new__(cls)
        created.given = args, kwargs
        return created


class Mixed(Theirs, Creator):
    pass


def test_undo_puts_everything_back() -> None:
    before = made()
    with install(everywhere=True, api_key="x") as client:
        assert made() == SAFE
        earlier = langsmith.Client(api_key="x")
        assert isinstance(earlier, SafeClient)
        assert earlier.policy == client.policy
    assert made() == before == AS_BEFORE
    assert type(earlier) is SafeClient
    assert type(SafeClient(api_key="x")) is SafeClient


def test_install_alone_leaves_others_alone() -> None:
    with install(api_key="x"):
        assert made() == AS_BEFORE


@pytest.mark.parametrize("first", [0, 1])
def test_installed_twice(first: int) -> None:
    """It applies until both are undone, in any order; the newest policy is used."""
    policies = [Policy(repair=False), Policy(cooldown_s=1)]
    handles = [install(everywhere=True, policy=policy, api_key="x") for policy in policies]
    assert SafeClient(api_key="x").policy is policies[1]
    handles[first].undo()
    assert made() == SAFE
    assert SafeAsyncClient(api_key="x").policy is policies[1 - first]
    handles[1 - first].undo()
    assert made() == AS_BEFORE
    assert SafeClient(api_key="x").policy == Policy()


def test_the_policy_of_a_client_that_is_not_watched_is_not_used() -> None:
    client = SafeClient(api_key="x")
    client._safe = None
    with install(client, everywhere=True):
        assert SafeClient(api_key="x").policy == Policy()


def test_a_program_that_was_started_with_run() -> None:
    """In a program started with `run`, `install()` and `undo()` do not affect it."""
    _install.start_program()
    try:
        assert made() == SAFE
        install(everywhere=True, api_key="x").undo()
        assert made() == SAFE
    finally:
        _install._ran.clear()
        install(api_key="x").undo()
    assert made() == AS_BEFORE


@pytest.mark.parametrize("during", [True, False])
def test_subclasses_of_others(during: bool) -> None:
    """They are created as before, even if a base class defines `__new__`."""
    handle = install(everywhere=True, api_key="x")
    if not during:
        handle.undo()
    theirs, mixed = Theirs(1), Mixed(2)
    assert (type(theirs), theirs.number) == (Theirs, 1)
    assert (type(mixed), mixed.number, mixed.given) == (Mixed, 2, ((2,), {}))
    handle.undo()


def test_signatures_and_names_of_the_classes_stay_the_same() -> None:
    """Signatures, names, and types of copies stay the same, also after `undo()`."""
    kinds = (*PLAIN, SafeClient, SafeAsyncClient, Theirs)
    before = [(str(inspect.signature(kind)), kind.__name__, kind.__doc__) for kind in kinds]
    plain = langsmith.Client(api_key="x", auto_batch_tracing=False)
    with install(everywhere=True, api_key="x"):
        during = [
            (str(inspect.signature(kind)), kind.__name__, kind.__doc__) for kind in kinds
        ]
        assert type(copy.copy(plain)) is langsmith.Client
        assert type(copy.copy(langsmith.Client(api_key="x"))) is SafeClient
    after = [(str(inspect.signature(kind)), kind.__name__, kind.__doc__) for kind in kinds]
    assert before == during == after


def test_a_warning_points_at_the_line_that_creates_the_client(
    everywhere: SafeClient,
) -> None:
    for plain in PLAIN:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plain(api_key="x", cache=True)
        assert {warning.filename for warning in caught} == {__file__}


def test_wrong_arguments_are_the_sdks_errors(everywhere: SafeClient) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'api_kye'"):
        langsmith.Client(api_kye="x")  # type: ignore[call-arg]
    with pytest.raises(LangSmithError, match="must be between 0 and 1"):
        langsmith.Client(api_key="x", tracing_sampling_rate=2.0)


def test_a_class_that_cannot_be_changed_stays(stepped_aside: list[str]) -> None:
    create_instead({int: bool})
    create_instead({})
    (line,) = stepped_aside
    assert "watch every int" in line
    stepped_aside.clear()


def test_many_threads_create_install_and_undo() -> None:
    barrier = threading.Barrier(4)

    def again(number: int) -> set[type]:
        barrier.wait()
        kinds: set[type] = set()
        for _ in range(10):
            with install(SafeClient(api_key="x"), everywhere=bool(number % 2)):
                kinds.add(type(langsmith.Client(api_key="x", auto_batch_tracing=False)))
                if number % 2:
                    assert made() == SAFE
        return kinds

    with ThreadPoolExecutor(4) as pool:
        for kinds in pool.map(again, range(4)):
            assert kinds <= {langsmith.Client, SafeClient}
    assert made() == AS_BEFORE
