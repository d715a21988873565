"""The ways to LangSmith on which a program creates no client itself: one row for each.

docs/without-changing-code.md has a table of them.
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

from safe_langsmith import SafeClient

HEADERS: dict[str | bytes, str | bytes] = {
    "langsmith-trace": f"20260101T000000000000Z{uuid.UUID(int=9)}"
}


@dataclass(frozen=True)
class Way:
    """``shown``: as the docs have it. ``call`` goes it, and gives what it got.

    ``needs``: a module, or a class of langsmith, that may be missing. ``traces``: whether
    it sends traces, which raise nothing to the program.
    """

    shown: str
    call: Callable[[], Any]
    needs: str | None = None
    traces: bool = False

    def __str__(self) -> str:
        return self.shown


@langsmith.traceable(name="step")
def step(number: int) -> int:
    return number + 1


def of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def later(call: Callable[[langsmith.AsyncClient], Any]) -> Any:
    """A call of an async client, which is closed afterwards."""

    async def whole() -> Any:
        async with langsmith.AsyncClient() as client:
            return await call(client)

    return asyncio.run(whole())


def listed(client: Any) -> Any:
    """A call of a generated client, and of a copy of it."""
    first = client.get("/api/v1/sessions", cast_to=object)
    client.with_options(timeout=9, api_key=None).get("/api/v1/sessions", cast_to=object)
    client.close()
    return first


def generated() -> Any:
    return listed(langsmith.Langsmith(base_url=os.environ["LANGSMITH_ENDPOINT"]))


def generated_later() -> Any:
    async def whole() -> Any:
        url = os.environ["LANGSMITH_ENDPOINT"]
        async with langsmith.AsyncLangsmith(base_url=url) as client:
            return await client.get("/api/v1/sessions", cast_to=object)

    return asyncio.run(whole())


def flushed(client: Any) -> str:
    """Have traces sent; raise what they met on their way, if the client can tell."""
    client.flush()
    if isinstance(client, SafeClient):
        client.raise_for_tracing_errors()
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


WAYS = (
    Way("`langsmith.Client()`", projects),
    Way(
        "`langsmith.AsyncClient()`",
        lambda: later(lambda client: client.read_dataset(dataset_name="questions")),
    ),
    Way("`langsmith.Langsmith()`", generated, "langsmith.Langsmith"),
    Way("`langsmith.AsyncLangsmith()`", generated_later, "langsmith.Langsmith"),
    Way("`@traceable`", trace, traces=True),
    Way("`RunTree.from_headers(headers)`", trace_from_headers, traces=True),
    Way(
        "`tracing_context(parent=headers, client=client)`", trace_below_headers, traces=True
    ),
    Way(
        "`evaluate()`, `aevaluate()`",
        evaluate,
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
)


def table() -> str:
    """The rows, as the docs have them."""
    ends = {
        False: "repaired and answered, or the typed error",
        True: "repaired and sent, or logged once; `client.raise_for_tracing_errors()`",
    }
    return "".join(f"| {way.shown} | {ends[way.traces]} |\n" for way in WAYS)
