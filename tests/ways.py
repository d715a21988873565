"""The paths on which a program can send requests to LangSmith.

Each is a row of docs/paths.md, which docs/make_paths.py writes.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import langsmith
from langchain_core.document_loaders import LangSmithLoader
from langsmith.run_trees import RunTree, get_cached_client
from langsmith.utils import LangSmithExceptionGroup

from safe_langsmith import SafeClient

HEADERS: dict[str | bytes, str | bytes] = {
    "langsmith-trace": f"20260101T000000000000Z{uuid.UUID(int=9)}"
}


@dataclass(frozen=True)
class Way:
    """``shown``: the text in the docs. ``call`` uses the path, and returns the result.

    ``needs``: a module, or a class of langsmith, that may be missing. ``traces``: whether
    it sends traces, which raise no errors in the program. ``own``: whether it uses a
    client that the program can create as a safe one.
    """

    shown: str
    call: Callable[[], Any]
    needs: str | None = None
    traces: bool = False
    own: bool = False

    def __str__(self) -> str:
        return self.shown


@langsmith.traceable(name="step")
def step(number: int) -> int:
    return number + 1


def of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def with_async_client(call: Callable[[langsmith.AsyncClient], Any]) -> Any:
    """Make a call with an async client, and close the client."""

    async def whole() -> Any:
        async with langsmith.AsyncClient() as client:
            return await call(client)

    return asyncio.run(whole())


def listed(client: Any) -> Any:
    """Make a call with a generated client, and one with a copy of it."""
    with client:
        first = client.get("/api/v1/sessions", cast_to=object)
        client.with_options(timeout=9, api_key=None).get("/api/v1/sessions", cast_to=object)
        return first


def generated() -> Any:
    return listed(langsmith.Langsmith(base_url=os.environ["LANGSMITH_ENDPOINT"]))


def generated_async() -> Any:
    async def whole() -> Any:
        url = os.environ["LANGSMITH_ENDPOINT"]
        async with langsmith.AsyncLangsmith(base_url=url) as client:
            return await client.get("/api/v1/sessions", cast_to=object)

    return asyncio.run(whole())


def flushed(client: Any) -> str:
    """Flush traces; with a safe client, raise the error of refused ones."""
    client.flush()
    if isinstance(client, SafeClient):
        try:
            client.raise_for_tracing_errors()
        except LangSmithExceptionGroup as group:  # two errors with the same cause
            raise group.exceptions[0] from None
    return "sent"


def trace_from_headers() -> str:
    parent = RunTree.from_headers(HEADERS)
    assert parent is not None
    parent.create_child("step").post()
    return flushed(parent.client)


def trace_below_headers() -> str:
    with langsmith.tracing_context(parent=HEADERS, client=langsmith.Client(), enabled=True):
        step(1)
    return flushed(get_cached_client())


def trace() -> str:
    step(1)
    return flushed(get_cached_client())


def run_url() -> str:
    context = of("opentelemetry.trace", "SpanContext")(1, 2, is_remote=False)
    find = of("langsmith.integrations.otel", "get_langsmith_run_url_for_span")
    return str(find(context, project_id=uuid.UUID(int=1)))


def answer(inputs: dict[str, int]) -> dict[str, int]:
    return {"answer": inputs["number"] + 1}


def evaluate() -> Any:
    results = langsmith.evaluate(answer, data="questions", max_concurrency=0)
    get_cached_client().flush()
    return results


def pull() -> Any:
    of("langsmith.prompt_cache", "prompt_cache_singleton").clear()
    return of("langchain_classic.hub", "pull")("greeting")


def platform() -> bool:
    create = of("langgraph_api.stream", "get_langsmith_client").__wrapped__
    return not create().has_project("none")


def documents() -> list[str]:
    loader = LangSmithLoader(dataset_name="questions")
    return [document.page_content for document in loader.lazy_load()]


def sessions() -> list[Any]:
    load = of("langchain_community.chat_loaders.langsmith", "LangSmithDatasetChatLoader")
    return list(load(dataset_name="questions").lazy_load())


def linked() -> bool:
    backend = of("deepagents.backends.context_hub", "ContextHubBackend")("-/agent")
    return not backend.get_linked_entries()


def projects() -> list[str | None]:
    return [project.name for project in langsmith.Client().list_projects()]


def runs_one_by_one() -> str:
    client = langsmith.Client(auto_batch_tracing=False)
    client.create_run("step", {"number": 1}, "chain")
    return flushed(client)


def resources() -> Any:
    """Call a simulated route with the generated client behind `client.runs`."""
    client = langsmith.Client(auto_batch_tracing=False)
    with client._get_langsmith_api_sync() as generated:
        return generated.get("/sessions", cast_to=object)


def trace_to_replica() -> str:
    there = {f"api_{n}": os.environ[f"LANGSMITH_{v}"] for n, v in _OF_REPLICA.items()}
    client = langsmith.Client()
    with langsmith.tracing_context(replicas=[there], client=client, enabled=True):  # type: ignore[list-item]
        step(1)
    return flushed(client)


def export(way: str, **arguments: Any) -> str:
    with of("exporting", "WAYS")[way](langsmith.Client, **arguments) as entered:
        langsmith.configure(client=entered.client)
        entered.export()
        return flushed(entered.client)


def export_by_hand() -> str:
    place = f"{os.environ['LANGSMITH_ENDPOINT']}/otel/v1/traces"
    headers = {"x-api-key": os.environ["LANGSMITH_API_KEY"]}
    return export("exporter", endpoint=place, headers=headers)


def sandboxes() -> Any:
    with of("langsmith.sandbox", "SandboxClient")(max_retries=0) as client:
        return client.list_sandboxes()


def sandboxes_async() -> Any:
    async def whole() -> Any:
        async with of("langsmith.sandbox", "AsyncSandboxClient")(max_retries=0) as client:
            return await client.list_sandboxes()

    return asyncio.run(whole())


_OF_REPLICA = {"url": "ENDPOINT", "key": "API_KEY"}
_EXPORTER = "opentelemetry.exporter"
WAYS = (
    Way("`langsmith.Client()`", projects, own=True),
    Way(
        "`client.runs` and the other v2 resources",
        resources,
        "langsmith.Langsmith",
        own=True,
    ),
    Way(
        "`Client(auto_batch_tracing=False)`, which sends each run separately",
        runs_one_by_one,
        own=True,
    ),
    Way(
        "`langsmith.AsyncClient()`",
        lambda: with_async_client(
            lambda client: client.read_dataset(dataset_name="questions")
        ),
        own=True,
    ),
    Way("`langsmith.Langsmith()`", generated, "langsmith.Langsmith"),
    Way("`langsmith.AsyncLangsmith()`", generated_async, "langsmith.Langsmith"),
    Way("`@traceable`", trace, traces=True, own=True),
    Way(
        "a replica, `tracing_context(replicas=...)`",
        trace_to_replica,
        traces=True,
        own=True,
    ),
    Way(
        '`tracing_mode="otel"`, `LANGSMITH_OTEL_ONLY`',
        lambda: export("otel"),
        _EXPORTER,
        traces=True,
        own=True,
    ),
    Way(
        '`tracing_mode="hybrid"`, `LANGSMITH_OTEL_ENABLED`',
        lambda: export("hybrid"),
        _EXPORTER,
        traces=True,
        own=True,
    ),
    Way(
        "OpenTelemetry: `OtelSpanProcessor`, `OtelExporter`",
        lambda: export("OtelSpanProcessor"),
        _EXPORTER,
        traces=True,
    ),
    Way(
        "OpenTelemetry: `OTLPSpanExporter` with LangSmith's URL",
        export_by_hand,
        _EXPORTER,
        traces=True,
    ),
    Way("`RunTree.from_headers(headers)`", trace_from_headers, traces=True),
    Way(
        "`tracing_context(parent=headers, client=client)`", trace_below_headers, traces=True
    ),
    Way(
        "`evaluate()`, `aevaluate()`",
        evaluate,
        own=True,
    ),
    Way(
        "`otel.get_langsmith_run_url_for_span(span)`",
        run_url,
        "opentelemetry.sdk",
    ),
    Way("LangChain: `LangSmithLoader`", documents),
    Way(
        "LangChain: `hub.pull()`",
        pull,
        "langchain_classic",
    ),
    Way(
        "LangChain: `LangSmithDatasetChatLoader`, `LangSmithRunChatLoader`",
        sessions,
        "langchain_community",
    ),
    Way("Deep Agents: `ContextHubBackend`", linked, "deepagents"),
    Way(
        "LangGraph's server (`langgraph_api`)",
        platform,
        "langgraph_api.stream",
    ),
    Way("`langsmith.sandbox.SandboxClient()`", sandboxes, "websockets"),
    Way("`langsmith.sandbox.AsyncSandboxClient()`", sandboxes_async, "websockets"),
)


@dataclass(frozen=True)
class Other:
    """A path with its own test, ``test``. ``end`` and ``by`` are columns of the page."""

    shown: str
    end: str
    by: str
    test: str


_EVERYWHERE = "`everywhere=True`"
_OWN = "a safe client"
OTHERS = (
    Other(
        "batches: `/runs/multipart`, compressed or not, and `/runs/batch`",
        "repaired and sent completely, exactly once, or reported",
        _OWN,
        "traces/test_tracing_delivery.py::test_what_was_refused_arrives",
    ),
    Other(
        "additional destinations: `api_urls=`, `LANGSMITH_RUNS_ENDPOINTS`",
        "diagnosed separately, each with its own host and key",
        _OWN,
        "traces/test_tracing_destinations.py",
    ),
    Other(
        "`safe-langsmith run -- python app.py`",
        "covers all paths above",
        "—",
        "command/test_run.py",
    ),
    Other(
        "a client that was created before a fork",
        "the child does not wait for a diagnosis that is running in the parent",
        _OWN,
        "slow/test_forks.py",
    ),
    Other(
        "`langsmith_pyo3` (`LANGSMITH_USE_PYO3_CLIENT`)",
        "not covered; one log line reports it when the client is created, and so does "
        "the doctor",
        "—",
        "traces/test_tracing_refused.py::test_a_client_that_sends_without_python_says_so",
    ),
    Other(
        "OpenTelemetry to another collector",
        "not covered; its exports are not changed",
        "—",
        "traces/test_exports.py::test_another_collector",
    ),
    Other(
        "OpenTelemetry with your own session or credential provider",
        "not covered; its exports are not changed",
        "—",
        "traces/test_exports.py::test_a_session_of_somebody_else",
    ),
)


def table() -> str:
    """Return the rows of the table in the docs."""
    ends = {
        False: "repaired and resent, or the typed error",
        True: "repaired and resent, or logged once; `raise_for_tracing_errors()`",
    }
    places = {True: _OWN, False: _EVERYWHERE}
    rows = [f"| {w.shown} | {ends[w.traces]} | {places[w.own]} |\n" for w in WAYS]
    return "".join([*rows, *(f"| {o.shown} | {o.end} | {o.by} |\n" for o in OTHERS)])
