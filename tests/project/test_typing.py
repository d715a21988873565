"""Tests that run `typed_use`, the code for the type checkers."""

from __future__ import annotations

import itertools

import anyio
import langsmith
import openai
import pytest
from releases import module_of
from stage import closing

from safe_langsmith import SafeClient
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
typed_use = module_of("typed_use", "0.14.12")  # reads the v2 resources


@pytest.fixture
def key(server: SimulatedLangSmith) -> str:
    return server.add_personal_key(workspaces=[server.add_workspace("Research")]).secret


@pytest.fixture(autouse=True)
def tracing(server: SimulatedLangSmith, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wherever_the_sdk_takes_a_client(
    server: SimulatedLangSmith, key: str, model: str
) -> None:
    client, async_client = typed_use.clients(server.url, key)
    assert typed_use.sync_use(client) == []
    with openai.OpenAI(base_url=model, api_key="none", max_retries=0) as plain:
        assert typed_use.traced(client, plain) == 4
    assert typed_use.evaluated(client) == 4
    typed_use.installed(client)
    client.flush()
    sent = itertools.chain.from_iterable(server.runs.values())
    names = [run["name"] for run in sent if "name" in run and "inputs" in run]
    assert names.count("add_one") == 3
    assert {"Target", "by hand", "double", "tree"} < set(names)
    project = str(client.read_project(project_name="default").id)

    async def use_async() -> tuple[list[str], list[str], int]:
        rows = await typed_use.evaluated_async(client)
        runs, datasets = await typed_use.async_use(async_client, project)
        return runs, datasets, rows

    runs, datasets, rows = anyio.run(closing, async_client, use_async)
    assert len(runs) > 5
    assert (datasets, rows) == (["questions"], 2)
    assert {found.code for found in typed_use.KEPT} == {"ok"}


def test_what_a_refusal_says(server: SimulatedLangSmith) -> None:
    unknown = SafeClient(server.url, api_key="lsv2_pt_" + "0" * 32 + "_" + "0" * 10)
    code, steps = typed_use.refused(unknown)
    assert code == "key-rejected"
    assert steps
    plain: langsmith.Client = unknown
    assert plain.api_url == server.url
