"""Tests for `install()`: the default client of `@traceable`, LangChain, and `evaluate`."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import langsmith
import pytest
from conftest import QUICK
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import tracing_v2_enabled
from langchain_core.tracers.langchain import LangChainTracer, get_client
from langsmith import run_trees, traceable
from langsmith.run_trees import RunTree
from scenarios import GONE

import safe_langsmith
from safe_langsmith import Installation, SafeAsyncClient, SafeClient, install
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith.testing import SimulatedLangSmith


@pytest.fixture(autouse=True)
def tracing(server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Enable tracing, with an organization key that needs a workspace."""
    server.add_workspace("Research")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", server.add_service_key(workspaces=None).secret)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    clear_caches()
    langsmith.configure(client=None)
    yield
    langsmith.configure(client=None)


def made(**arguments: Any) -> SafeClient:
    return SafeClient(policy=QUICK, **arguments)


def in_use() -> langsmith.Client:
    return run_trees.get_cached_client()


def names(server: SimulatedLangSmith) -> list[str]:
    """Return the names of all runs that were posted, including duplicates."""
    runs = itertools.chain.from_iterable(server.runs.values())
    return sorted(run["name"] for run in runs if run["op"] == "post")


@traceable(name="step")
def step(number: int) -> int:
    return number + 1


# --- each way -------------------------------------------------------------------------


def test_without_arguments(server: SimulatedLangSmith) -> None:
    """After one call to `install()`, a refusal is repaired, and the traces arrive."""
    installation = install()
    assert isinstance(installation, Installation)
    assert type(installation.client) is SafeClient
    assert in_use() is installation.client
    assert step(1) == 2
    installation.client.flush()
    assert names(server) == ["step"]
    assert 403 in {e.status for e in server.exchanges}
    installation.undo()
    assert type(in_use()) is langsmith.Client


def test_with_arguments(server: SimulatedLangSmith) -> None:
    with install(policy=QUICK, workspace_id=str(uuid.uuid4())) as client:
        assert client.policy is QUICK
        assert in_use() is client
    assert type(in_use()) is langsmith.Client


def test_with_a_client(server: SimulatedLangSmith) -> None:
    own = made()
    with install(own) as client:
        assert client is own
        assert in_use() is own
        step(1)
    own.flush()
    assert names(server) == ["step"]


@pytest.mark.parametrize(
    ("arguments", "named", "says"),
    [
        (("https://api.smith.langchain.com",), {}, "must be a SafeClient, not str"),
        ((1,), {}, "must be a SafeClient, not int"),
        ((), {"client": "x"}, "must be a SafeClient, not str"),
        ((), {"api_kye": "x"}, "unexpected keyword argument 'api_kye'"),
        ((), {"policy": "x"}, "Policy"),
    ],
)
def test_wrong_arguments(
    arguments: tuple[Any, ...], named: dict[str, Any], says: str
) -> None:
    """The error names them, and nothing changes."""
    before = in_use()
    with pytest.raises(TypeError, match=says):
        install(*arguments, **named)
    assert in_use() is before


def test_other_clients() -> None:
    for client in (langsmith.Client(), SafeAsyncClient()):
        with pytest.raises(TypeError, match=f"not {type(client).__name__}"):
            install(client)  # type: ignore[arg-type]


def test_a_client_and_arguments() -> None:
    with pytest.raises(TypeError, match="not both"):
        install(made(), api_key=GONE)


def test_the_names_of_the_package() -> None:
    assert safe_langsmith.install is install
    assert safe_langsmith.Installation is Installation


# --- who uses it ----------------------------------------------------------------------


@pytest.mark.parametrize("cached", ["cached", "configured"])
def test_after_a_plain_client_was_created(server: SimulatedLangSmith, cached: str) -> None:
    """`install()` works after tracing has started; later the plain client is back."""
    plain = langsmith.Client(api_key=GONE)
    if cached == "cached":
        plain = in_use()
    else:
        langsmith.configure(client=plain)
    assert get_client() is plain
    with install(policy=QUICK) as client:
        assert in_use() is get_client() is client
        step(1)
    assert in_use() is get_client() is plain
    assert names(server) == ["step"]


def test_run_tree(server: SimulatedLangSmith) -> None:
    with install(policy=QUICK):
        run = RunTree(name="by hand", inputs={"a": 1})
        child = run.create_child("child")
        for each in (child, run):
            each.post()
        run.end(outputs={"b": 2})
        run.patch()
    assert names(server) == ["by hand", "child"]


def test_langchain(server: SimulatedLangSmith) -> None:
    """The tracer, the callback from the environment, and `tracing_v2_enabled` use it."""
    chain: Any = RunnableLambda(lambda number: number + 1).with_config(run_name="chain")
    with install(policy=QUICK) as client:
        tracer = LangChainTracer()
        assert tracer.client is client
        chain.invoke(1, {"callbacks": [tracer]})
        with tracing_v2_enabled() as callback:
            assert callback.client is client
            chain.invoke(1)
        chain.invoke(1)
    assert names(server) == ["chain"] * 3


def test_evaluate(server: SimulatedLangSmith) -> None:
    with install(policy=QUICK) as client:
        dataset = client.create_dataset("questions")
        client.create_examples(
            dataset_id=dataset.id, examples=[{"inputs": {"q": n}} for n in range(2)]
        )
        results = langsmith.evaluate(
            lambda inputs: {"answer": inputs["q"]}, data="questions", max_concurrency=0
        )
        assert len(list(results)) == 2
    assert len(names(server)) == 2


def test_a_client_that_is_passed_takes_precedence(server: SimulatedLangSmith) -> None:
    with install(policy=QUICK) as client, SimulatedLangSmith() as elsewhere:
        space = elsewhere.add_workspace("Elsewhere")
        key = elsewhere.add_personal_key(workspaces=[space]).secret
        given = SafeClient(elsewhere.url, api_key=key, policy=QUICK)
        step(1, langsmith_extra={"client": given})
        with langsmith.tracing_context(client=given):
            step(1)
        given.flush()
        client.flush()
        assert names(elsewhere) == ["step", "step"]
        given.cleanup()
    assert names(server) == []


# --- undoing --------------------------------------------------------------------------


def test_undo_twice() -> None:
    first = install(made())
    first.undo()
    second = install(made())
    first.undo()
    assert in_use() is second.client
    second.undo()
    second.undo()
    assert type(in_use()) is langsmith.Client


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_undo_in_any_order(order: tuple[int, ...]) -> None:
    """The newest installed client is used, and in the end the original one."""
    plain = in_use()
    clients = [made() for _ in range(3)]
    handles = [install(client) for client in clients]
    left = list(range(3))
    for number in order:
        handles[number].undo()
        left.remove(number)
        assert in_use() is (clients[left[-1]] if left else plain)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_same_client_twice(order: tuple[int, ...]) -> None:
    plain, client = in_use(), made()
    handles = [install(client), install(client)]
    handles[order[0]].undo()
    assert in_use() is client
    handles[order[1]].undo()
    assert in_use() is plain


def test_a_client_that_was_configured_later_stays() -> None:
    """`undo()` keeps a client configured later, even after another `install()`."""
    first = install(made())
    other = made()
    langsmith.configure(client=other)
    second = install(made())
    first.undo()
    assert in_use() is second.client
    second.undo()
    assert in_use() is other
    third = install(made())
    langsmith.configure(client=other)
    third.undo()
    assert in_use() is other


def test_an_exception_inside(server: SimulatedLangSmith) -> None:
    """The installation is undone, the traces are sent, and the exception is raised."""
    before = in_use()

    @traceable(name="outer")
    def outer() -> None:
        with install(policy=QUICK) as inner:
            assert in_use() is inner
            step(1)
            raise ValueError("inside")

    with install(policy=QUICK) as client:
        with pytest.raises(ValueError, match="inside"):
            outer()
        assert in_use() is client
    assert in_use() is before
    assert names(server) == ["outer", "step"]


def test_undo_flushes_traces(server: SimulatedLangSmith) -> None:
    handle = install(policy=QUICK)
    for number in range(20):
        step(number)
    handle.undo()
    assert names(server) == ["step"] * 20


# --- threads and tasks ----------------------------------------------------------------


def test_other_threads_and_tasks_use_it(server: SimulatedLangSmith) -> None:
    @traceable(name="task")
    async def task(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def tasks() -> list[int]:
        return await asyncio.gather(*(task(n) for n in range(5)))

    with install(policy=QUICK) as client:
        with ThreadPoolExecutor(5) as pool:
            assert list(pool.map(step, range(5))) == [1, 2, 3, 4, 5]
            assert pool.submit(in_use).result() is client
        assert asyncio.run(tasks()) == [0, 1, 2, 3, 4]
    assert names(server) == ["step"] * 5 + ["task"] * 5


def test_install_in_a_task_applies_to_the_process() -> None:
    """It applies to the process, not only to one context."""

    async def inside() -> Installation:
        return install(made())

    handle = asyncio.run(inside())
    assert in_use() is handle.client
    handle.undo()


def test_many_threads_install_and_undo() -> None:
    """In any order, the original client is back at the end."""
    plain, clients = in_use(), [made(auto_batch_tracing=False) for _ in range(4)]
    barrier = threading.Barrier(8)

    def again(seed: int) -> None:
        chance = random.Random(seed)
        barrier.wait()
        handles: list[Installation] = []
        for _ in range(100):
            if handles and chance.random() < 0.5:
                handles.pop(chance.randrange(len(handles))).undo()
            else:
                handles.append(install(chance.choice(clients)))
                assert in_use() in clients
        for handle in handles:
            handle.undo()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(again, range(8)))
    assert in_use() is plain
