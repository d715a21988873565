"""Typical user code: the safe clients are used wherever the SDK accepts its own.

mypy and pyright check it in strict mode, and tests/project/test_typing.py runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import langsmith
import openai
from langchain_core.tracers import LangChainTracer
from langsmith import schemas
from langsmith.pagination import AsyncItemsCursorPostPagination
from langsmith.run_trees import RunTree
from langsmith.types import Run
from langsmith.utils import LangSmithAuthError, LangSmithError
from typing_extensions import assert_type

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    Identity,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
)

# --- existing code for the SDK's clients ------------------------------------------------


def names_of_projects(client: langsmith.Client) -> list[str]:
    return sorted(project.name or "" for project in client.list_projects())


async def names_of_datasets(client: langsmith.AsyncClient) -> list[str]:
    return [dataset.name async for dataset in client.list_datasets()]


def answer(inputs: dict[str, int]) -> dict[str, int]:
    return {"answer": inputs["question"] + 1}


async def answer_async(inputs: dict[str, int]) -> dict[str, int]:
    return answer(inputs)


# --- the clients ------------------------------------------------------------------------


def clients(url: str, key: str) -> tuple[SafeClient, SafeAsyncClient]:
    """The SDK's arguments, by position and by name, and our own."""
    policy = Policy(repair=True, budget_s=8, cooldown_s=60, on_diagnosis=keep)
    verify: Literal["warn", "raise"] = "raise"
    sync = SafeClient(url, api_key=key, timeout_ms=9000, policy=policy, verify=verify)
    async_client = SafeAsyncClient(url, key, 9000, workspace_id=None, policy=policy)
    plain: langsmith.Client = sync
    plain_async: langsmith.AsyncClient = async_client
    assert_type(safe_langsmith.Client(url, api_key=key), SafeClient)
    assert_type(safe_langsmith.AsyncClient(url, api_key=key), SafeAsyncClient)
    assert (plain, plain_async) == (sync, async_client)
    return sync, async_client


KEPT: list[Diagnosis] = []


def keep(diagnosis: Diagnosis) -> None:
    KEPT.append(diagnosis)


def sync_use(client: SafeClient) -> list[str]:
    assert_type(client.list_projects(), Iterator[schemas.TracerSessionResult])
    dataset = client.create_dataset("questions")
    assert_type(dataset, schemas.Dataset)
    client.create_examples(
        dataset_id=dataset.id,
        examples=[{"inputs": {"question": 1}}, {"inputs": {"question": 2}}],
    )
    assert_type(client.whoami(), Identity)
    assert_type(client.can_i("runs:create"), bool | None)
    assert_type(client.diagnose(), Diagnosis)
    assert_type(safe_langsmith.diagnose(api_url=client.api_url), Diagnosis)
    return names_of_projects(client)


async def async_use(client: SafeAsyncClient, project: str) -> tuple[list[str], list[str]]:
    runs: list[str] = []
    async for run in client.runs.query(project_ids=[project]):
        assert_type(run, Run)
        runs.append(str(run.id))
    page = await client.runs.query(project_ids=[project], page_size=1)
    assert_type(page, AsyncItemsCursorPostPagination[Run])
    assert_type(await client.whoami(), Identity)
    assert_type(await client.can_i("runs:create"), bool | None)
    assert_type(await client.diagnose(), Diagnosis)
    return runs, await names_of_datasets(client)


# --- where the SDK accepts a client -----------------------------------------------------


def traced(client: SafeClient, model: openai.OpenAI) -> int:
    from langsmith.wrappers import wrap_openai  # importing it can cause a warning

    @langsmith.traceable(client=client)
    def add_one(number: int) -> int:
        return number + 1

    assert_type(add_one(1), int)
    with langsmith.tracing_context(client=client, enabled=True):
        assert_type(add_one(2), int)
    with langsmith.trace("by hand", client=client) as run:
        assert_type(run, RunTree)
    tree = RunTree(name="tree", ls_client=client)
    tree.post()
    tree.end()
    tree.patch()
    tracer = LangChainTracer(client=client)
    assert tracer.client is client
    assert_type(wrap_openai(model, tracing_extra={"client": client}), openai.OpenAI)
    return add_one(3)


def evaluated(client: SafeClient) -> int:
    results = client.evaluate(answer, data="questions", max_concurrency=0)
    assert_type(results.experiment_name, str)
    again = langsmith.evaluate(answer, data="questions", client=client, max_concurrency=0)
    return len(list(results)) + len(list(again))


async def evaluated_async(client: SafeClient) -> int:
    results = await langsmith.aevaluate(answer_async, data="questions", client=client)
    return len([row async for row in results])


def installed(client: SafeClient) -> None:
    @langsmith.traceable
    def double(number: int) -> int:
        return 2 * number

    with safe_langsmith.install(client) as used:
        assert_type(used, SafeClient)
        assert double(2) == 4
    installation = safe_langsmith.install(client)
    assert_type(installation.client, SafeClient)
    installation.undo()
    langsmith.configure(client=client)
    langsmith.configure(client=None)


# --- the errors -------------------------------------------------------------------------


def refused(client: SafeClient) -> tuple[str, tuple[str, ...]]:
    """Return the code and the steps of a refused call's error, which is also the SDK's."""
    try:
        names_of_projects(client)
    except KeyRejectedError as error:
        auth: LangSmithAuthError = error
        base: LangSmithError = error
        access: AccessDeniedError = error
        assert auth is base is access
        assert_type(error.diagnosis, Diagnosis)
        assert_type(error.next_steps, tuple[str, ...])
        assert_type(error.diagnosis.status_code, int | None)
        code: str = error.code
        return code, error.next_steps
    return "", ()
