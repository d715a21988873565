"""Tests of real packages that trace, with the plain and with the safe client.

Without a refusal, both send the same requests. With a key that needs a workspace, the plain
client loses every trace, and with the safe client each arrives.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import langsmith
import openai
import pytest
import tracing
from conftest import QUICK
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langgraph.graph import END, START, StateGraph
from langsmith import RunTree
from langsmith.utils import LangSmithError
from releases import needs_steady_plugin

import safe_langsmith
from safe_langsmith import SafeClient
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
Work = Callable[[langsmith.Client, str], None]


def add_one(number: int) -> int:
    return number + 1


def double(number: int) -> int:
    return 2 * number


# --- typical programs -------------------------------------------------------------------


def traceable(client: langsmith.Client, _: str) -> None:
    @langsmith.traceable(client=client)
    def inner(number: int) -> int:
        return number + 1

    @langsmith.traceable(client=client, run_type="tool")
    def outer(number: int) -> int:
        return inner(number) * 2

    @langsmith.traceable(client=client)
    async def later(number: int) -> int:
        return number

    assert outer(1) == 4
    assert asyncio.run(later(1)) == 1


def run_tree(client: langsmith.Client, _: str) -> None:
    run = RunTree(name="parent", inputs={"a": 1}, ls_client=client)
    run.post()
    child = run.create_child("child", inputs={"b": 1})
    child.post()
    child.end(outputs={"c": 1})
    child.patch()
    run.end(outputs={"d": 1})
    run.patch()


def langchain(client: langsmith.Client, _: str) -> None:
    tracer = LangChainTracer(client=client)
    chain = RunnableLambda(add_one) | RunnableLambda(double)
    assert chain.invoke(1, config={"callbacks": [tracer]}) == 4
    assert chain.batch([1, 2], config={"callbacks": [tracer]}) == [4, 6]
    tracer.wait_for_futures()


class State(TypedDict):
    """The state of the graph below."""

    count: int


def langgraph(client: langsmith.Client, _: str) -> None:
    graph = StateGraph(State)
    graph.add_node("add", lambda state: {"count": state["count"] + 1})
    graph.add_edge(START, "add")
    graph.add_edge("add", END)
    tracer = LangChainTracer(client=client)
    compiled: Any = graph.compile()
    assert compiled.invoke({"count": 1}, config={"callbacks": [tracer]}) == {"count": 2}
    tracer.wait_for_futures()


def wrapped_openai(client: langsmith.Client, url: str) -> None:
    from langsmith.wrappers import wrap_openai  # importing it can cause a warning

    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as plain:
        wrapped = wrap_openai(plain, tracing_extra={"client": client})
        answer = wrapped.chat.completions.create(
            model="made-up", messages=[{"role": "user", "content": "Hi"}]
        )
    assert answer.choices[0].message.content == "Hello"


def configured(client: langsmith.Client, _: str) -> None:
    """The traced function names no client."""

    @langsmith.traceable
    def alone(number: int) -> int:
        return number

    before = langsmith.run_trees._CLIENT
    langsmith.configure(client=client)
    try:
        assert alone(1) == 1
        assert RunnableLambda(add_one).invoke(1) == 2
    finally:
        langsmith.configure(client=before)


def installed(client: langsmith.Client, url: str) -> None:
    """The same with `install()`, if the client is a safe one."""
    if not isinstance(client, SafeClient):
        configured(client, url)
        return

    @langsmith.traceable
    def alone(number: int) -> int:
        return number

    with safe_langsmith.install(client):
        assert alone(1) == 1
        assert RunnableLambda(add_one).invoke(1) == 2


def _with_examples(client: langsmith.Client) -> str:
    name = f"dataset {uuid.uuid4()}"
    dataset = client.create_dataset(name)
    examples: Any = [{"inputs": {"q": n}, "outputs": {"a": n}} for n in range(3)]
    client.create_examples(dataset_id=dataset.id, examples=examples)
    return name


def _is_right(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> dict[str, Any]:
    return {"key": "right", "score": int(outputs == reference_outputs)}


def evaluate(client: langsmith.Client, _: str) -> None:
    name = _with_examples(client)

    def target(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"a": inputs["q"]}

    results = client.evaluate(target, data=name, evaluators=[_is_right])
    assert [r["evaluation_results"]["results"][0].score for r in results] == [1, 1, 1]


def aevaluate(client: langsmith.Client, _: str) -> None:
    name = _with_examples(client)

    async def target(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"a": inputs["q"]}

    async def work() -> None:
        results = await client.aevaluate(target, data=name, evaluators=[_is_right])
        scores = [r["evaluation_results"]["results"][0].score async for r in results]
        assert scores == [1, 1, 1]

    asyncio.run(work())


WORKS: dict[str, Work] = {
    work.__name__: work
    for work in (
        traceable,
        run_tree,
        langchain,
        langgraph,
        wrapped_openai,
        configured,
        installed,
        evaluate,
        aevaluate,
    )
}

# --- with the plain and with the safe client --------------------------------------------

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def requests_of(server: SimulatedLangSmith) -> Counter[str]:
    """Count the requests that a server received, without ids.

    The number of batches varies, and so does whether two threads request ``/info``.
    """
    found: Counter[str] = Counter()
    for exchange in server.exchanges:
        headers = sorted(exchange.headers.keys() - {"content-length"})
        text = f"{exchange.method} {_ID.sub('ID', exchange.path)} {headers}"
        if exchange.path.startswith("/runs/") or exchange.path == "/info":
            found[text] = 1
        else:
            found[text] += 1
    return found


def healthy(server: SimulatedLangSmith) -> str:
    return server.add_personal_key(workspaces=[server.add_workspace("Research")]).secret


def in_need_of_a_workspace(server: SimulatedLangSmith) -> str:
    server.add_workspace("Research")
    return server.add_service_key(workspaces=None).secret


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Creating feedback")
@pytest.mark.parametrize("name", WORKS)
def test_next_to_the_plain_client(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")

    def play(
        make: Callable[..., langsmith.Client], key: Callable[[SimulatedLangSmith], str]
    ) -> SimulatedLangSmith:
        with SimulatedLangSmith() as server:
            # When the SDK starts to compress varies.
            tracing.plain_multipart(server)
            client = make(server.url, api_key=key(server))
            try:
                WORKS[name](client, model)
            except LangSmithError:
                assert make is langsmith.Client
            client.flush()
            client.close()
        return server

    def safe(url: str, api_key: str) -> SafeClient:
        return SafeClient(url, api_key=api_key, policy=QUICK)

    plain = play(langsmith.Client, healthy)
    same = play(safe, healthy)
    assert plain.runs
    assert tracing.shape(same) == tracing.shape(plain)
    assert requests_of(same) == requests_of(plain)

    assert play(langsmith.Client, in_need_of_a_workspace).runs == {}
    repaired = play(safe, in_need_of_a_workspace)
    assert tracing.shape(repaired) == tracing.shape(plain)


# --- langsmith's own plugin for pytest --------------------------------------------------

SUITE = """
import pytest
from langsmith import testing as t

@pytest.mark.langsmith
def test_addition():
    t.log_inputs({"a": 1})
    t.log_outputs({"b": 2})
    assert 1 + 1 == 2

@pytest.mark.langsmith
def test_another():
    t.log_inputs({"a": 2})
    t.log_outputs({"b": 3})
    t.log_feedback(key="right", score=1)
"""
WITH_OURS = """
import safe_langsmith
safe_langsmith.install()
"""


def run_suite(folder: Path, key: Callable[[SimulatedLangSmith], str], conftest: str) -> Any:
    folder.mkdir()
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "conftest.py").write_text(conftest)
    with SimulatedLangSmith() as server:
        tracing.plain_multipart(server)
        environ = {
            **os.environ,
            "LANGSMITH_ENDPOINT": server.url,
            "LANGSMITH_API_KEY": key(server),
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_TEST_SUITE": "the suite",
        }
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return server, done


@needs_steady_plugin
def test_langsmith_s_plugin_for_pytest(tmp_path: Path) -> None:
    plain, done = run_suite(tmp_path / "plain", healthy, "")
    assert done.returncode == 0, done.stdout
    assert len(plain.runs) >= 2
    same, done = run_suite(tmp_path / "same", healthy, WITH_OURS)
    assert done.returncode == 0, done.stdout
    assert tracing.shape(same) == tracing.shape(plain)
    # How often its threads request the project varies.
    assert requests_of(same).keys() == requests_of(plain).keys()

    refused, done = run_suite(tmp_path / "refused", in_need_of_a_workspace, "")
    assert refused.runs == {}
    repaired, done = run_suite(tmp_path / "ours", in_need_of_a_workspace, WITH_OURS)
    assert done.returncode == 0, done.stdout
    assert tracing.shape(repaired) == tracing.shape(plain)
