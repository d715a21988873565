"""The calls to make through a middlebox, and the data on the server behind it."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import anyio
import langsmith
import tracing
from stage import closing
from urllib3.util import Retry

from safe_langsmith import Policy, SafeAsyncClient, SafeClient
from safe_langsmith.testing import SimulatedLangSmith

Kind = Literal["read", "write", "batch"]
SYNC, ASYNC = "SafeClient", "SafeAsyncClient"
MAKERS: dict[tuple[str, bool], type[Any]] = {
    (SYNC, False): SafeClient,
    (SYNC, True): langsmith.Client,
    (ASYNC, False): SafeAsyncClient,
    (ASYNC, True): langsmith.AsyncClient,
}


@dataclass(frozen=True)
class World:
    """The data on the server."""

    key: str
    project: str
    dataset: str
    run: str


def populated(server: SimulatedLangSmith) -> World:
    """Add a key, a project with a run, and a dataset."""
    own = server.add_workspace("Research", projects=1, runs=1)
    key = server.add_personal_key(workspaces=[own]).secret
    records = server._records
    (project,), ((_, run),) = records.projects, records.runs
    return World(key, project, records.add_dataset(own, "given")["id"], run)


@dataclass(frozen=True)
class Call:
    """A call, and the request that LangSmith receives for it."""

    client: str
    kind: Kind
    request: str
    make: Callable[[Any, World], Any]

    def __str__(self) -> str:
        return f"{self.client}-{self.request}"

    def times(self, server: SimulatedLangSmith) -> int:
        """How many times the server executed it."""
        method, _, path = self.request.partition(" ")
        done = [e for e in server.exchanges if e.method == method and e.status < 300]
        return sum(fnmatchcase(e.path, path) for e in done)


def list_projects(client: Any, world: World) -> Any:
    return list(client.list_projects())


def list_runs(client: Any, world: World) -> Any:
    return list(client.list_runs(project_id=world.project))


async def query_runs(client: Any, world: World) -> Any:
    return [run async for run in client.runs.query_v2(project_ids=[world.project])]


def create_dataset(client: Any, world: World) -> Any:
    return client.create_dataset(f"new {uuid.uuid4()}")


def create_feedback(client: Any, world: World) -> Any:
    return client.create_feedback(world.run, "key", score=1, session_id=world.project)


def create_examples(client: Any, world: World) -> Any:
    examples = [{"inputs": {"question": 1}}, {"inputs": {"question": 2}}]
    return client.create_examples(dataset_id=world.dataset, examples=examples)


def trace(client: Any, world: World) -> Any:
    runs = tracing.record(client, 1)
    client.flush()
    return runs


async def list_datasets(client: Any, world: World) -> Any:
    return [dataset async for dataset in client.list_datasets()]


async def list_runs_async(client: Any, world: World) -> Any:
    return [run async for run in client.list_runs(project_id=world.project)]


CALLS = (
    Call(SYNC, "read", "GET /sessions", list_projects),
    Call(SYNC, "write", "POST /datasets", create_dataset),
    Call(SYNC, "batch", "POST /runs/*", trace),
    Call(ASYNC, "read", "GET /datasets", list_datasets),
    Call(ASYNC, "write", "POST /datasets", create_dataset),
)
MORE_CALLS = (
    Call(SYNC, "read", "POST /runs/query", list_runs),
    Call(SYNC, "read", "POST /v2/runs/query", query_runs),
    Call(SYNC, "write", "POST /feedback", create_feedback),
    Call(SYNC, "write", "POST *examples*", create_examples),
    Call(ASYNC, "read", "POST /runs/query", list_runs_async),
    Call(ASYNC, "read", "POST /v2/runs/query", query_runs),
    Call(ASYNC, "write", "POST /feedback", create_feedback),
)


@dataclass
class Outcome:
    """The result of a call, or its error. For traces, that of the error callback."""

    result: Any = None
    error: Any = None
    errors: list[Exception] = field(default_factory=list)

    @property
    def told(self) -> str:
        """The full text of the error and its diagnosis."""
        diagnosis = self.error.diagnosis
        found = (str(finding) for finding in diagnosis.findings)
        return "\n".join((str(self.error), *found, *diagnosis.next_steps))


def outcome_of(
    call: Call, world: World, *, budget_s: float = 8.0, plain: bool = False, **more: Any
) -> Outcome:
    """Create a client from the environment and make a call with it."""
    outcome = Outcome()
    options: dict[str, Any] = {"api_key": world.key}
    if call.client == SYNC:
        options["auto_batch_tracing"] = call.kind == "batch"
        options["tracing_error_callback"] = outcome.errors.append
        options["retry_config"] = Retry(total=1, backoff_factor=0)
    else:
        options["retry_config"] = {"max_retries": 1}
    if not plain:
        options["policy"] = Policy(budget_s=budget_s)
    client = MAKERS[call.client, plain](**(options | more))

    async def make() -> Any:
        given = call.make(client, world)
        return await given if inspect.isawaitable(given) else given

    try:
        outcome.result = anyio.run(closing, client, make)
    except Exception as error:
        outcome.error = error
    if call.client == SYNC:
        client.cleanup()
        client.session.close()
    if outcome.errors:
        outcome.error = outcome.errors[0]
    return outcome
