"""Tests that the simulated LangSmith responds like the real one, over a real socket.

The clients are ``requests`` and the plain ``langsmith.Client``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import io
import os
import re
import runpy
import socket
import ssl
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import langsmith
import pytest
import requests
import tls
import trustme
from langsmith.utils import LangSmithError, get_env_var

import safe_langsmith.testing
from safe_langsmith.testing import Key, SimulatedLangSmith, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

GO = "/runs/multipart"
PYTHON = "/sessions"
GO_FORBIDDEN = b'{"error":"Forbidden"}\n'
PYTHON_FORBIDDEN = b'{"detail":"Forbidden"}'
NOBODY = "lsv2_pt_00000000000000000000000000000000_0000000000"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine reaches the SDK."""
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    get_env_var.cache_clear()  # type: ignore[attr-defined]


@pytest.fixture
def server() -> Iterator[SimulatedLangSmith]:
    with SimulatedLangSmith() as running:
        yield running


@pytest.fixture
def workspace(server: SimulatedLangSmith) -> Workspace:
    return server.add_workspace("Research")


@pytest.fixture
def key(server: SimulatedLangSmith, workspace: Workspace) -> Key:
    return server.add_personal_key(workspaces=[workspace])


@pytest.fixture
def client(server: SimulatedLangSmith, key: Key) -> langsmith.Client:
    return new_client(server, key)


def new_client(server: SimulatedLangSmith, key: Key, **settings: Any) -> langsmith.Client:
    settings = {"auto_batch_tracing": False, **settings}
    return langsmith.Client(api_url=server.url, api_key=key.secret, **settings)


def send(
    server: SimulatedLangSmith,
    path: str,
    secret: str | None = None,
    workspace: str | None = None,
    method: str | None = None,
    **more: Any,
) -> requests.Response:
    headers = {"x-api-key": secret, "X-Tenant-Id": workspace, **more.pop("headers", {})}
    method = method or ("POST" if path.startswith("/runs") else "GET")
    return requests.request(method, server.url + path, headers=headers, timeout=10, **more)


# Authentication


@pytest.mark.parametrize(
    ("path", "headers", "status", "body"),
    [
        (GO, {}, 401, b'{"error":"Unauthorized"}\n'),
        (PYTHON, {}, 401, b'{"detail":"Invalid token"}'),
        (PYTHON, {"x-api-key": ""}, 401, b'{"detail":"Invalid token"}'),
        (
            PYTHON,
            {"Authorization": f"Bearer {NOBODY}"},
            401,
            b'{"detail":"Invalid token"}',
        ),
        (GO, {"x-api-key": NOBODY}, 403, GO_FORBIDDEN),
        (PYTHON, {"x-api-key": NOBODY}, 403, PYTHON_FORBIDDEN),
        (
            PYTHON,
            {"x-api-key": "ls__0123"},
            401,
            b'{"detail":"Using legacy API key. Please generate a new API key."}',
        ),
    ],
)
def test_a_sender_without_a_good_key_is_refused(
    server: SimulatedLangSmith,
    path: str,
    headers: dict[str, str],
    status: int,
    body: bytes,
) -> None:
    answer = send(server, path, headers=headers)

    assert (answer.status_code, answer.content) == (status, body)


@pytest.mark.parametrize(
    ("kind", "asked", "go", "python"),
    [
        ("personal", "own", 200, 200),
        ("personal", None, 200, 200),
        ("personal", "", 200, 200),
        ("personal", "foreign", 403, 403),
        ("personal", "organization", 403, 403),
        ("personal", "project", 403, 403),
        ("personal", "nonsense", 403, 403),
        ("personal", "deleted", 403, 403),
        ("lost default", None, 403, 403),
        ("lost default", "own", 200, 200),
        ("service", None, 200, 200),
        ("service", "foreign", 403, 403),
        ("organization", None, "org_scoped", "org-scoped"),
        ("organization", "own", 200, 200),
        ("organization", "other", 200, 200),
        ("organization", "foreign", 403, 403),
        ("oauth", None, 200, 200),
        ("oauth", "foreign", 403, 403),
    ],
)
def test_workspace_of_a_request(
    kind: str, asked: str | None, go: int | str, python: int | str
) -> None:
    """The header names the workspace; without it, the key's own is used."""
    with SimulatedLangSmith() as server:
        own = server.add_workspace("own", projects=1)
        deleted = server.add_workspace("deleted")
        other = server.add_workspace("other")
        abroad = server.add_organization("Abroad")
        foreign = server.add_workspace("foreign", organization=abroad)
        makers: dict[str, Callable[[], Key]] = {
            "personal": lambda: server.add_personal_key(workspaces=[own, deleted]),
            "lost default": lambda: server.add_personal_key(
                workspaces=[own], default=other
            ),
            "service": lambda: server.add_service_key(workspaces=[own]),
            "organization": server.add_service_key,
            "oauth": lambda: server.add_oauth_token(workspaces=[own]),
        }
        key = makers[kind]()
        server.delete_workspace(deleted)
        good = server.add_service_key()
        project = send(server, PYTHON, good.secret, own.id).json()[0]["id"]
        named = {
            "own": own.id,
            "other": other.id,
            "foreign": foreign.id,
            "deleted": deleted.id,
            "organization": own.organization_id,
            "project": project,
            "nonsense": "my-workspace",
        }
        credential = (
            {"Authorization": f"Bearer {key.secret}"}
            if key.kind == "oauth"
            else {"x-api-key": key.secret}
        )
        answers = [
            send(
                server,
                path,
                workspace=named.get(asked, asked) if asked else asked,
                method="GET",
                headers=credential,
            )
            for path in ("/auth/public", PYTHON)
        ]

        for answer, expected in zip(answers, (go, python), strict=True):
            if isinstance(expected, int):
                assert answer.status_code == expected
            else:
                assert answer.status_code == 403
                assert expected in answer.text
        if go == 200:
            wanted = named[asked] if asked else own.id
            assert answers[0].json()["tenant_id"] == wanted
        elif go == 403:
            assert [a.content for a in answers] == [GO_FORBIDDEN, PYTHON_FORBIDDEN]


def test_an_organization_key_must_name_a_workspace(server: SimulatedLangSmith) -> None:
    """Both services report it, with different texts."""
    key = server.add_service_key()

    assert send(server, GO, key.secret).json() == {
        "error": "org_scoped_key_requires_workspace",
        "message": "This API key requires a workspace ID.",
    }
    assert send(server, PYTHON, key.secret).json() == {
        "detail": "This API key is org-scoped and requires workspace specification. "
        "Please provide 'X-Tenant-ID' header."
    }


def test_a_revoked_key_is_rejected_until_it_is_restored(
    server: SimulatedLangSmith, key: Key
) -> None:
    server.revoke(key)
    assert send(server, PYTHON, key.secret).content == PYTHON_FORBIDDEN
    server.set_role(key, role="Viewer")
    assert send(server, PYTHON, key.secret).status_code == 403
    server.restore(key)
    assert send(server, PYTHON, key.secret).status_code == 200


def test_a_user_s_key_for_all_workspaces_uses_the_first(
    server: SimulatedLangSmith,
) -> None:
    """A user has a default workspace; only a service key needs the header."""
    personal, oauth = server.add_personal_key(), server.add_oauth_token()
    assert send(server, PYTHON, personal.secret).content == PYTHON_FORBIDDEN
    first = server.add_workspace("first")
    server.add_workspace("second")

    bearer = {"Authorization": f"Bearer {oauth.secret}"}
    for answer in (
        send(server, "/auth/public", personal.secret),
        send(server, "/auth/public", headers=bearer),
    ):
        assert answer.json()["tenant_id"] == first.id
    server.revoke(oauth)
    assert send(server, PYTHON, headers=bearer).json() == {"detail": "Invalid token"}
    assert send(server, PYTHON, oauth.secret).content == PYTHON_FORBIDDEN


def test_each_key_has_the_shape_of_its_kind(server: SimulatedLangSmith) -> None:
    shape = r"lsv2_{}_[0-9a-f]{{32}}_[0-9a-f]{{10}}"
    personal, service = server.add_personal_key(), server.add_service_key()

    assert re.fullmatch(shape.format("pt"), personal.secret)
    assert re.fullmatch(shape.format("sk"), service.secret)
    assert personal.secret not in repr(personal)
    assert server.add_personal_key(secret=NOBODY).secret == NOBODY


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("Admin", {"trace", "read", "create project", "create dataset"}),
        ("Editor", {"trace", "read", "create dataset"}),
        ("Viewer", {"read"}),
    ],
)
def test_roles(
    server: SimulatedLangSmith, workspace: Workspace, role: Any, may: set[str]
) -> None:
    """A Viewer can read; an Editor can also trace, but cannot create projects."""
    key = server.add_personal_key(workspaces=[workspace], role="Admin")
    server.set_role(key, role=role)
    run = {"id": str(uuid.uuid4()), "name": "run"}
    tried = {
        "trace": send(server, "/runs", key.secret, json=run),
        "read": send(server, PYTHON, key.secret),
        "create project": send(
            server, PYTHON, key.secret, method="POST", json={"name": "p"}
        ),
        "create dataset": send(
            server, "/datasets", key.secret, method="POST", json={"name": "d"}
        ),
    }

    assert {what for what, answer in tried.items() if answer.ok} == may
    for what in tried.keys() - may:
        expected = GO_FORBIDDEN if what == "trace" else PYTHON_FORBIDDEN
        assert tried[what].content == expected
    assert bool(server.runs) == ("trace" in may)


def test_a_role_that_langsmith_does_not_have(server: SimulatedLangSmith) -> None:
    role: Any = "viewer"
    with pytest.raises(ValueError, match="use one of Viewer, Editor, Admin"):
        server.add_personal_key(role=role)


def test_permissions_replace_those_of_the_role(
    server: SimulatedLangSmith, workspace: Workspace
) -> None:
    key = server.add_service_key(
        workspaces=[workspace], permissions=frozenset({"datasets:read"})
    )

    assert send(server, "/datasets", key.secret).status_code == 200
    assert send(server, PYTHON, key.secret).content == PYTHON_FORBIDDEN


def test_an_access_policy_denies_what_the_role_lists(
    server: SimulatedLangSmith, workspace: Workspace
) -> None:
    denied = frozenset({"projects:read"})
    key = server.add_personal_key(workspaces=[workspace], abac_denies=denied)

    listed = send(server, "/workspaces", key.secret).json()[0]["permissions"]
    assert "projects:read" in listed
    assert send(server, PYTHON, key.secret).content == PYTHON_FORBIDDEN


def test_a_missing_permission_is_named_on_demand(
    server: SimulatedLangSmith, workspace: Workspace
) -> None:
    assert not server.name_permissions
    server.name_permissions = True
    key = server.add_service_key(workspaces=[workspace], role="Viewer")

    answer = send(server, PYTHON, key.secret, method="POST", json={"name": "p"})
    assert answer.json() == {"detail": "missing permission projects:create"}
    assert send(server, "/runs", key.secret, json={}).json() == {
        "error": "missing permission runs:create"
    }


def test_a_feature_that_is_off_is_refused_by_name(
    server: SimulatedLangSmith, key: Key
) -> None:
    server.disabled_features.add("projects")
    answer = send(server, PYTHON, key.secret, method="POST", json={"name": "p"})
    assert answer.status_code == 403
    assert answer.json() == {
        "detail": "Projects feature is not enabled for this organization"
    }
    server.disabled_features.discard("projects")
    assert send(server, PYTHON, key.secret).status_code == 200


# Routes without a workspace


@pytest.mark.parametrize(
    ("kind", "workspaces", "organization", "personal"),
    [
        ("personal", 200, 200, 200),
        ("service", 403, 403, 403),
        ("lister", 200, 403, 403),
        ("organization", 200, 200, 403),
    ],
)
def test_routes_of_the_organization(
    server: SimulatedLangSmith,
    workspace: Workspace,
    kind: str,
    workspaces: int,
    organization: int,
    personal: int,
) -> None:
    """They need no workspace, and ignore a wrong one, but do not accept every key."""
    only = [workspace]
    makers: dict[str, Callable[[], Key]] = {
        "personal": lambda: server.add_personal_key(workspaces=only),
        "service": lambda: server.add_service_key(workspaces=only),
        "lister": lambda: server.add_service_key(workspaces=only, lists_workspaces=True),
        "organization": server.add_service_key,
    }
    key = makers[kind]()

    for path, expected in {
        "/workspaces": workspaces,
        "/orgs/current": organization,
        "/orgs/current/info": organization,
        "/orgs/current/personal-access-tokens": personal,
    }.items():
        answer = send(server, path, key.secret, workspace="wrong")
        assert answer.status_code == expected, path
        if expected == 403:
            assert answer.content == PYTHON_FORBIDDEN
    created = send(server, "/orgs", key.secret, method="POST", json={})
    assert created.status_code == 403  # only for logged-in users


def test_workspaces_as_a_key_sees_them(server: SimulatedLangSmith) -> None:
    first, second = server.add_workspace("first"), server.add_workspace("second")
    abroad = server.add_workspace("abroad", organization=server.add_organization("Abroad"))
    key = server.add_service_key(role="Editor")
    server.delete_workspace(second)

    seen = send(server, "/workspaces", key.secret).json()
    deleted = send(server, "/workspaces?include_deleted=true", key.secret).json()

    assert [w["id"] for w in seen] == [first.id]
    assert [(w["id"], w["is_deleted"]) for w in deleted] == [
        (first.id, False),
        (second.id, True),
    ]
    assert seen[0]["display_name"] == "first"
    assert seen[0]["organization_id"] == first.organization_id
    assert seen[0]["organization_id"] != abroad.organization_id
    assert seen[0]["role_name"] == "Editor"
    assert "projects:create" not in seen[0]["permissions"]


def test_info_and_ok_are_public(server: SimulatedLangSmith) -> None:
    assert send(server, "/info").json()["version"] == "0.18.4"
    assert send(server, "/ok", NOBODY).json() == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/commits/-/greeting/latest", 400, "No prompt owner specified"),
        ("GET", "/commits/acme/none/latest", 404, "Repo acme/none not found"),
        ("POST", "/repos", 422, "No prompt owner specified"),
        ("POST", "/commits/-/greeting", 422, "No prompt owner specified"),
    ],
)
def test_prompt_routes_treat_a_rejected_key_like_no_owner(
    server: SimulatedLangSmith, method: str, path: str, status: int, text: str
) -> None:
    """So a rejected key never results in a 403 here."""
    answer = send(server, path, NOBODY, method=method, json={})

    assert answer.status_code == status
    assert answer.json() == {"detail": text}


def test_prompts(
    server: SimulatedLangSmith, workspace: Workspace, client: langsmith.Client
) -> None:
    commit = server.add_prompt(
        "greeting", workspace=workspace, manifest={"template": "Hello"}
    )
    server.add_prompt("open", workspace=workspace, owner="acme")

    pulled = client.pull_prompt_commit("greeting", skip_cache=True)
    listed = client.list_prompts(query="greet")

    assert (pulled.manifest, pulled.commit_hash) == ({"template": "Hello"}, commit)
    assert [p.repo_handle for p in listed.repos] == ["greeting"]
    assert client.get_prompt("none") is None
    assert client.create_prompt("new").repo_handle == "new"
    assert send(server, "/commits/acme/open/latest").status_code == 200
    assert send(server, "/commits/acme/open/latest", NOBODY).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
def test_unknown_paths(server: SimulatedLangSmith, key: Key, prefix: str) -> None:
    answer = send(server, prefix + "/unknown", key.secret)

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert send(server, prefix + PYTHON, key.secret, method="PUT").status_code == 405


# Calls of the SDK


def test_projects_from_creation_to_deletion(client: langsmith.Client) -> None:
    created = client.create_project("mine", metadata={"a": 1})
    assert client.has_project("mine")
    assert not client.has_project("other")
    assert client.read_project(project_name="mine").id == created.id
    assert client.read_project(project_id=str(created.id)).metadata == {"a": 1}
    assert client.update_project(created.id, description="d").description == "d"
    assert client.create_project("mine", upsert=True).id == created.id
    with pytest.raises(LangSmithError):
        client.create_project("mine")
    client.delete_project(project_name="mine")
    assert not client.has_project("mine")


def test_experiments_are_distinguished_from_other_projects(
    client: langsmith.Client,
) -> None:
    dataset = client.create_dataset("d")
    client.create_project("experiment", reference_dataset_id=dataset.id)
    client.create_project("plain")

    plain = client.list_projects(reference_free=True)
    experiments = client.list_projects(reference_dataset_id=dataset.id)
    assert [p.name for p in plain] == ["plain"]
    assert [p.name for p in experiments] == ["experiment"]


def test_projects_are_paged_without_loss(server: SimulatedLangSmith) -> None:
    workspace = server.add_workspace("Big", projects=250)
    server.add_workspace("Other", projects=7)
    key = server.add_service_key()
    client = new_client(server, key, workspace_id=workspace.id)

    names = [project.name for project in client.list_projects()]

    assert len(names) == len(set(names)) == 250
    queries = [e.raw_path for e in server.exchanges]
    assert len(queries) == 3
    assert len(list(client.list_projects(limit=120))) == 120
    assert len(list(client.list_projects(name_contains="project 24"))) == 11


@pytest.mark.filterwarnings("ignore:list_runs:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::langsmith.utils.LangSmithWarning")
def test_runs_are_paged_without_loss_while_others_arrive(
    server: SimulatedLangSmith,
) -> None:
    workspace = server.add_workspace("Big", projects=1, runs=250)
    client = new_client(server, server.add_personal_key(workspaces=[workspace]))
    project = client.read_project(project_name="Big project 1")

    found = []
    for run in client.list_runs(project_id=project.id):
        found.append(run.name)
        if len(found) in (100, 200):
            client.create_run("late", {}, "chain", project_name="Big project 1")

    assert sorted(found) == sorted(f"run {n}" for n in range(1, 251))
    assert client.read_project(project_id=str(project.id)).run_count == 252


def test_runs_are_searched_with_the_v2_route(server: SimulatedLangSmith) -> None:
    workspace = server.add_workspace("Big", runs=250)
    key = server.add_personal_key(workspaces=[workspace])
    client = new_client(server, key)
    project = client.read_project(project_name="Big project 1")

    async def search() -> list[Any]:
        pages = client.runs.query_v2(
            project_ids=[str(project.id)], selects=["NAME", "STATUS"], page_size=60
        )
        return [run async for run in pages]

    async def run_and_close() -> list[Any]:
        found = await search()
        await client.runs._client.close()
        return found

    found = asyncio.run(run_and_close())

    assert len({run.name for run in found}) == len(found) == 250
    assert {run.status for run in found} == {"SUCCESS"}
    assert sum(e.path == "/v2/runs/query" for e in server.exchanges) == 5


def test_a_search_for_all_runs_is_an_error(server: SimulatedLangSmith, key: Key) -> None:
    answer = send(server, "/runs/query", key.secret, json={})

    assert answer.status_code == 400
    assert "At least one of" in answer.text


def test_feedback(client: langsmith.Client) -> None:
    run, project = uuid.uuid4(), uuid.uuid4()
    for score in (0, 1):
        client.create_feedback(run, "correct", score=score, session_id=project)
    client.create_feedback(uuid.uuid4(), "correct", score=1, session_id=project)

    found = list(client.list_feedback(run_ids=[run]))

    assert sorted(int(f.score or 0) for f in found) == [0, 1]
    client.update_feedback(found[0].id, comment="c")
    assert client.read_feedback(found[0].id).comment == "c"
    client.delete_feedback(found[0].id)
    assert len(list(client.list_feedback(run_ids=[run]))) == 1


def test_datasets_and_examples(client: langsmith.Client, tmp_path: Path) -> None:
    dataset = client.create_dataset("questions", description="d")
    assert client.read_dataset(dataset_name="questions").id == dataset.id
    assert [d.name for d in client.list_datasets()] == ["questions"]
    client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {"inputs": {"n": n}, "reference_outputs": {"m": n}, "split": "test"}
            for n in range(130)
        ],
    )
    examples = list(client.list_examples(dataset_id=dataset.id))
    assert sorted((e.inputs or {})["n"] for e in examples) == list(range(130))
    assert not list(client.list_examples(dataset_id=dataset.id, splits=["train"]))
    one = client.create_example({"n": 1}, dataset_id=dataset.id)
    client.update_example(one.id, inputs={"n": 2}, dataset_id=dataset.id)
    assert client.read_example(one.id).inputs == {"n": 2}
    client.delete_example(one.id)
    client.delete_examples([e.id for e in examples[:10]])
    client.delete_examples([e.id for e in examples[10:30]], hard_delete=True)
    assert client.read_dataset(dataset_id=dataset.id).example_count == 100
    client.delete_dataset(dataset_id=dataset.id)
    assert not client.has_dataset(dataset_name="questions")


def test_a_dataset_from_a_csv_file(client: langsmith.Client) -> None:
    rows = io.BytesIO(b"q,a\r\none,1\r\ntwo,2\r\n")
    dataset = client.upload_csv(("rows.csv", rows), ["q"], ["a"], name="rows")

    examples = client.list_examples(dataset_id=dataset.id)
    assert {(e.inputs or {})["q"]: (e.outputs or {})["a"] for e in examples} == {
        "one": "1",
        "two": "2",
    }


# Ingest


def run_fields(**more: Any) -> dict[str, Any]:
    run_id = uuid.uuid4()
    return {
        "id": str(run_id),
        "trace_id": str(run_id),
        "dotted_order": f"20260101T000000000000Z{run_id}",
        "name": "run",
        "run_type": "chain",
        "start_time": "2026-01-01T00:00:00+00:00",
        "inputs": {"question": 1},
        "session_name": "traced",
        **more,
    }


@pytest.mark.parametrize("way", ["single", "batch", "multipart", "zstd"])
@pytest.mark.parametrize("role", ["Admin", "Editor", "Viewer"])
def test_each_run_is_recorded_once(
    server: SimulatedLangSmith, workspace: Workspace, way: str, role: Any
) -> None:
    """Twenty runs arrive exactly once; with a key without the permission, none."""
    key = server.add_service_key(workspaces=[workspace], role=role)
    server.info["batch_ingest_config"]["use_multipart_endpoint"] = way != "batch"
    server.info["instance_flags"]["zstd_compression_enabled"] = way == "zstd"
    errors: list[BaseException] = []
    client = new_client(
        server,
        key,
        auto_batch_tracing=way != "single",
        tracing_error_callback=errors.append,
    )
    while way == "zstd" and client.compressed_traces is None:
        time.sleep(0.005)  # The SDK enables compression in a separate thread.
    runs = [run_fields() for _ in range(20)]
    for run in runs:
        with contextlib.suppress(LangSmithError):
            client.create_run(**{**run, "project_name": run["session_name"]})
    client.flush()
    client.close()

    path = {"single": "/runs", "batch": "/runs/batch"}.get(way, "/runs/multipart")
    sent = [e for e in server.exchanges if e.path.startswith("/runs")]
    assert {e.path for e in sent} == {path}
    assert {e.headers.get("content-encoding") for e in sent} == {
        "zstd" if way == "zstd" else None
    }
    if role == "Viewer":
        assert errors
        assert server.runs == {}
        return
    assert server.runs.keys() == {run["id"] for run in runs}
    for (arrived,) in server.runs.values():
        assert arrived["op"] == "post"
        assert arrived["workspace"] == workspace.id
        assert arrived["inputs"] == {"question": 1}
        assert arrived["session_name"] == "traced"


@pytest.mark.filterwarnings("ignore:read_run:DeprecationWarning")
def test_a_run_and_its_update(server: SimulatedLangSmith, client: langsmith.Client) -> None:
    run = run_fields()
    client.create_run(**{**run, "project_name": "traced"})
    client.update_run(run["id"], outputs={"answer": 2})

    assert [o["op"] for o in server.runs[run["id"]]] == ["post", "patch"]
    read = client.read_run(run["id"])
    assert (read.inputs, read.outputs) == ({"question": 1}, {"answer": 2})
    assert client.has_project("traced")


@pytest.mark.parametrize("zstd", [False, True])
def test_a_run_that_is_sent_twice_is_recorded_twice(
    server: SimulatedLangSmith, key: Key, zstd: bool
) -> None:
    server.info["instance_flags"]["zstd_compression_enabled"] = zstd
    client = new_client(server, key, auto_batch_tracing=True)
    run = run_fields(attachments={"a": ("text/plain", b"\r\n--x\r\n")})
    client.multipart_ingest(create=[dict(run)])
    client.multipart_ingest(create=[dict(run)])
    client.close()

    twice = server.runs[run["id"]]
    assert [o["op"] for o in twice] == ["post", "post"]
    assert twice[0]["attachments"]["a"]["data"] == b"\r\n--x\r\n"


def test_of_an_invalid_batch_nothing_is_recorded(
    server: SimulatedLangSmith, key: Key
) -> None:
    good, bad = run_fields(), {"name": "without an id"}

    answer = send(server, "/runs/batch", key.secret, json={"post": [good, bad]})
    form = send(server, "/runs/multipart", key.secret, data=b"no form")

    assert (answer.status_code, form.status_code) == (422, 422)
    assert server.runs == {}


def form(*parts: tuple[str, str]) -> dict[str, Any]:
    """Return a multipart body with these parts unchanged, and its headers."""
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{c}\r\n'
        for n, c in parts
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"data": ("".join(lines) + "--b--\r\n").encode(), "headers": headers}


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/runs", {"data": b"no json"}),
        ("/runs", {"json": ["no object"]}),
        ("/runs/batch", {"json": {"post": ["no object"]}}),
        ("/runs", {"data": b"x", "headers": {"Content-Encoding": "zstd"}}),
        ("/runs", {"data": b"x", "headers": {"Content-Encoding": "gzip"}}),
        ("/runs/multipart", {"data": b"x", "headers": {"Content-Type": "a; boundary=b"}}),
        (
            "/runs/multipart",
            {"data": b"--b\r\n\r\n--b--", "headers": {"Content-Type": "a; boundary=b"}},
        ),
        ("/runs/multipart", form(("post.1", "{}"), ("unknown.1", "{}"))),
        ("/runs/multipart", form(("post.1", "{}"), ("post.2.inputs", "{}"))),
        ("/runs/multipart", form(("patch.1", "{}"), ("post.1.inputs", "{}"))),
        ("/runs/multipart", form(("feedback.1", '{"key": "k"}'), ("post.1", "no json"))),
        ("/datasets/upload", form(("name", "n"))),
        ("/examples/bulk", {"json": {"no": "list"}}),
    ],
)
def test_a_body_that_cannot_be_read_changes_nothing(
    server: SimulatedLangSmith, key: Key, path: str, sent: dict[str, Any]
) -> None:
    answer = send(server, path, key.secret, method="POST", **sent)

    assert answer.status_code == 422, answer.text
    assert server.runs == {}
    for listed in ("/feedback", "/datasets", "/examples"):
        assert send(server, listed, key.secret).json() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sessions?limit=x", 422),
        ("GET", f"/sessions/{uuid.UUID(int=1)}", 404),
        ("GET", f"/runs/{uuid.UUID(int=1)}", 404),
        ("GET", f"/v2/runs/{uuid.UUID(int=1)}", 404),
        ("POST", "/examples", 404),
        ("DELETE", "/examples?example_ids=none", 404),
        ("GET", "/commits/-/none/latest", 404),
        ("GET", "/commits/-/greeting/none", 404),
        ("POST", "/repos", 409),
        ("POST", "/datasets", 409),
        ("GET", "/orgs", 403),
    ],
)
def test_requests_that_fail(
    server: SimulatedLangSmith,
    workspace: Workspace,
    key: Key,
    method: str,
    path: str,
    status: int,
) -> None:
    server.add_prompt("greeting", workspace=workspace)
    fields = {"repo_handle": "greeting", "name": "d"}
    send(server, "/datasets", key.secret, method="POST", json=fields)

    assert send(server, path, key.secret, method=method, json=fields).status_code == status


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"filter": 'eq(name, "x")'}, 400),
        ({"cursor": "nonsense"}, 400),
        ({"start_time": "yesterday"}, 422),
        ({"is_root": True, "error": False, "run_type": "chain"}, 200),
    ],
)
def test_searches(server: SimulatedLangSmith, wanted: dict[str, Any], status: int) -> None:
    """A search that is not supported is an error, not a wrong result."""
    workspace = server.add_workspace("Research", runs=3)
    key = server.add_service_key(workspaces=[workspace])
    project = send(server, "/sessions", key.secret).json()[0]["id"]
    wanted = {"session": [project], **wanted}

    answer = send(server, "/runs/query", key.secret, json=wanted)

    assert answer.status_code == status
    if status == 200:
        run = answer.json()["runs"][0]
        assert run["status"] == "success"
        read = send(server, f"/v2/runs/{run['id']}?selects=NAME", key.secret, method="GET")
        assert read.json() == {"name": run["name"]}
        later = {
            "max_start_time": run["start_time"],
            "run_type": "CHAIN",
            "ids": [run["id"]],
        }
        found = send(server, "/v2/runs/query", key.secret, method="POST", json=later)
        assert found.json()["items"] == [{"id": run["id"]}]


def test_a_run_with_an_error(server: SimulatedLangSmith, key: Key) -> None:
    project = send(server, "/sessions", key.secret, method="POST", json={"name": "p"})
    run = run_fields(error="broken", session_id=project.json()["id"])
    send(server, "/runs", key.secret, json=run)
    other = run_fields()
    send(server, "/runs", key.secret, json=other)

    read = send(server, f"/runs/{run['id']}", key.secret, method="GET").json()
    assert (read["status"], read["session_id"]) == ("error", project.json()["id"])
    send(server, f"/sessions/{read['session_id']}", key.secret, method="DELETE")
    gone = send(server, f"/runs/{run['id']}", key.secret, method="GET")
    assert gone.status_code == 404
    left = send(server, f"/runs/{other['id']}", key.secret, method="GET")
    assert left.status_code == 200


def test_older_ways_to_create_examples(
    server: SimulatedLangSmith, client: langsmith.Client
) -> None:
    """The deployment reports that it has no multipart upload of examples."""
    server.info["instance_flags"]["dataset_examples_multipart_enabled"] = False
    dataset = client.create_dataset("old")
    client.create_example({"n": 1}, dataset_id=dataset.id)
    client.create_examples(dataset_id=dataset.id, examples=[{"inputs": {"n": 2}}])

    assert len(list(client.list_examples(dataset_id=dataset.id))) == 2
    client.delete_dataset(dataset_id=dataset.id)
    assert list(client.list_examples(dataset_id=dataset.id)) == []


def test_files_of_an_example_are_dropped(client: langsmith.Client) -> None:
    dataset = client.create_dataset("files")
    example = {"inputs": {"n": 1}, "attachments": {"a": ("text/plain", b"text")}}
    client.create_examples(dataset_id=dataset.id, examples=[example])

    assert len(list(client.list_examples(dataset_id=dataset.id))) == 1


def test_commits_of_a_prompt(
    server: SimulatedLangSmith, workspace: Workspace, key: Key, client: langsmith.Client
) -> None:
    first = server.add_prompt("greeting", workspace=workspace)
    sent = {"manifest": {"template": "Hi"}}
    answer = send(server, "/commits/-/greeting", key.secret, method="POST", json=sent)

    commits = [c.commit_hash for c in client.list_prompt_commits("greeting")]
    assert commits == [answer.json()["commit"]["commit_hash"], first]
    assert client.pull_prompt_commit(f"greeting:{first[:8]}").commit_hash == first
    client.delete_prompt("greeting")
    assert client.get_prompt("greeting") is None


def test_organizations_of_a_login(server: SimulatedLangSmith, workspace: Workspace) -> None:
    token = server.add_oauth_token(workspaces=[workspace])
    bearer = {"Authorization": f"Bearer {token.secret}"}

    organizations = send(server, "/orgs", headers=bearer).json()
    assert [o["id"] for o in organizations] == [workspace.organization_id]


def test_an_exception_in_the_server_shows_its_traceback(server: SimulatedLangSmith) -> None:
    server.info["itself"] = server.info

    answer = send(server, "/info")

    assert answer.status_code == 500
    assert "Traceback" in answer.text


def test_a_body_in_an_unreadable_encoding_is_still_searched(
    server: SimulatedLangSmith,
) -> None:
    send(server, "/ok", data=b"a-text", headers={"Content-Encoding": "zstd"})

    assert server.saw("a-text")
    assert not server.saw("another")


def test_a_port_in_use_is_the_callers_error(server: SimulatedLangSmith) -> None:
    threads = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        SimulatedLangSmith(port=server.port).start()
    assert threading.active_count() == threads


@pytest.mark.filterwarnings("ignore::langsmith.utils.LangSmithWarning")
def test_evaluate_runs_from_end_to_end(
    server: SimulatedLangSmith, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = new_client(server, key, auto_batch_tracing=True)
    dataset = client.create_dataset("questions")
    client.create_examples(
        dataset_id=dataset.id, examples=[{"inputs": {"n": n}} for n in range(3)]
    )
    results = client.evaluate(
        lambda inputs: {"m": inputs["n"]},
        data="questions",
        evaluators=[lambda run, example: {"key": "right", "score": 1}],
        max_concurrency=1,
    )
    client.flush()
    client.close()

    assert len(list(results)) == 3
    assert len([f for f in client.list_feedback() if f.key == "right"]) == 3


@pytest.mark.slow
def test_64_threads_lose_nothing(server: SimulatedLangSmith, key: Key) -> None:
    project = {"name": "shared"}

    def work(_: int) -> int:
        run = run_fields()
        with requests.Session() as session:
            session.headers["x-api-key"] = key.secret
            statuses = [
                session.post(server.url + "/runs", json=run, timeout=20).status_code,
                session.get(server.url + "/sessions", timeout=20).status_code,
                session.post(
                    server.url + "/sessions?upsert=true", json=project, timeout=20
                ).status_code,
            ]
        return sum(s < 300 for s in statuses)

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(work, range(256))) == 768

    assert len(server.runs) == 256
    assert len(server.exchanges) == 768
    assert [e.at for e in server.exchanges] == sorted(e.at for e in server.exchanges)


# Layouts


@pytest.mark.parametrize(
    ("layout", "prefix", "get", "post"),
    [
        ("cloud", "", 200, 202),
        ("cloud", "/api", 200, 202),
        ("cloud", "/api/v1", 200, 202),
        ("self-hosted", "", "html", 405),
        ("self-hosted", "/api", 200, 202),
        ("self-hosted", "/api/v1", 200, 202),
        ("web", "", "html", 405),
        ("web", "/api/v1", "html", 405),
    ],
)
def test_layouts(layout: Any, prefix: str, get: int | str, post: int) -> None:
    """Where there is no API, the web app responds."""
    with SimulatedLangSmith(layout) as server:
        workspace = server.add_workspace("Research", projects=1)
        key = server.add_personal_key(workspaces=[workspace])
        read = send(server, prefix + PYTHON, key.secret)
        written = send(
            server, prefix + "/runs", key.secret, method="POST", json=run_fields()
        )

        assert written.status_code == post
        if get == "html":
            assert read.status_code == 200
            assert read.headers["content-type"].startswith("text/html")
            assert "<center><h1>405 Not Allowed</h1></center>" in written.text
            assert server.runs == {}
        else:
            assert len(read.json()) == 1


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
def test_the_sdk_works_at_each_prefix(prefix: str) -> None:
    with SimulatedLangSmith("cloud" if not prefix else "self-hosted") as server:
        workspace = server.add_workspace("Research", projects=2)
        key = server.add_personal_key(workspaces=[workspace])
        client = langsmith.Client(
            api_url=server.url + prefix, api_key=key.secret, auto_batch_tracing=False
        )
        dataset = client.create_dataset("d")
        example = client.create_example({"n": 1}, dataset_id=dataset.id)
        client.delete_examples([example.id], hard_delete=True)

        assert len(list(client.list_projects())) == 2
        platform = [e.path for e in server.exchanges if "platform" in e.path]
        assert platform == [
            f"/v1/platform/datasets/{dataset.id}/examples",
            "/v1/platform/datasets/examples/delete",
        ]


# The log


def test_exchanges(server: SimulatedLangSmith, key: Key, workspace: Workspace) -> None:
    """Each exchange contains the request and the response."""
    send(server, "/api/v1/sessions?limit=1", key.secret, workspace.id)
    send(server, "/runs", NOBODY, json={"a": "text"})

    first, second = server.exchanges
    assert (first.method, first.path, first.status) == ("GET", "/sessions", 200)
    assert first.raw_path == "/api/v1/sessions?limit=1"
    assert (first.key, first.workspace) == (key.secret, workspace.id)
    assert first.authorization is None
    assert first.host == f"127.0.0.1:{server.port}"
    assert (second.path, second.status) == ("/runs", 403)
    assert second.body == b'{"a": "text"}'
    assert second.headers["content-type"] == "application/json"
    server.clear()
    assert server.exchanges == ()


def test_saw_finds_a_text_wherever_it_arrived(server: SimulatedLangSmith, key: Key) -> None:
    client = new_client(server, key, auto_batch_tracing=True)
    while client.compressed_traces is None:
        time.sleep(0.005)
    client.create_run(**run_fields(inputs={"leak": "in-a-zstd-body"}))
    client.flush()
    client.close()
    send(server, "/ok?a=in-a-query", headers={"cookie": "in-a-header"})
    send(server, "/ok", method="POST", data="in-a-body")

    for text in ("in-a-zstd-body", "in-a-query", "in-a-header", "in-a-body"):
        assert server.saw(text), text
    assert server.saw(key.secret)
    assert not server.saw(NOBODY)


# Faults


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
@pytest.mark.parametrize(
    ("body", "content", "kind"),
    [
        ("<html>", b"<html>", "text/html; charset=utf-8"),
        (b"\xff", b"\xff", "text/plain; charset=utf-8"),
        ({"detail": 1}, b'{"detail":1}', "application/json"),
        ("", b"", "text/plain; charset=utf-8"),
    ],
)
def test_a_response_that_replaces_the_real_one(
    server: SimulatedLangSmith,
    key: Key,
    prefix: str,
    body: object,
    content: bytes,
    kind: str,
) -> None:
    server.answer(PYTHON, status=503, body=body, headers={"Retry-After": "1"})

    answer = send(server, prefix + PYTHON, key.secret)

    assert (answer.status_code, answer.content) == (503, content)
    assert answer.headers["content-type"] == kind
    assert answer.headers["retry-after"] == "1"
    assert send(server, "/datasets", key.secret).status_code == 200


def test_the_newest_answer_is_used_as_often_as_requested(
    server: SimulatedLangSmith, key: Key
) -> None:
    server.answer("*", status=500)
    server.answer(PYTHON, status=429, times=2)
    server.answer(PYTHON, method="POST", status=403)

    statuses = [send(server, PYTHON, key.secret).status_code for _ in range(3)]

    assert statuses == [429, 429, 500]
    assert send(server, PYTHON, key.secret, method="POST").status_code == 403
    server.clear_answers()
    assert send(server, PYTHON, key.secret).status_code == 200


def test_of_a_refused_request_nothing_is_recorded(
    server: SimulatedLangSmith, key: Key
) -> None:
    server.answer("/runs", status=403, body={"error": "Forbidden"}, times=1)
    run = run_fields()

    assert send(server, "/runs", key.secret, json=run).status_code == 403
    assert server.runs == {}
    assert send(server, "/runs", key.secret, json=run).status_code == 202
    assert list(server.runs) == [run["id"]]


def test_a_slow_response_does_not_delay_others(
    server: SimulatedLangSmith, key: Key
) -> None:
    server.answer(PYTHON, status=None, delay=30, times=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(send, server, PYTHON, key.secret)
        while not server.exchanges:
            time.sleep(0.005)
        quick = send(server, "/ok")
        assert not slow.done()
        server.stop()  # it responds at once then
        assert (quick.status_code, slow.result().status_code) == (200, 200)


# The socket


def test_a_connection_is_kept_alive(server: SimulatedLangSmith) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sockets = set()
    for _ in range(5):
        connection.request("GET", "/ok")
        assert connection.getresponse().read() == b"{}"
        sockets.add(connection.sock)
    connection.close()
    assert len(sockets) == 1
    assert None not in sockets


def test_tls(tmp_path: Path) -> None:
    """A client trusts the server only with its authority's certificate."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, private, trusted = (
        tmp_path / name for name in ("chain.pem", "key.pem", "ca.pem")
    )
    chain.write_bytes(b"".join(b.bytes() for b in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(private))
    authority.cert_pem.write_to_path(str(trusted))
    session = requests.Session()
    with SimulatedLangSmith(ssl_certfile=str(chain), ssl_keyfile=str(private)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        answer = session.get(server.url + "/ok", timeout=10, verify=str(trusted))
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url + "/ok", timeout=10)
        began = time.monotonic()
    # It does not wait for an idle client that is still connected.
    assert time.monotonic() - began < 5
    session.close()


def test_stop_leaves_no_thread_and_no_socket() -> None:
    before = threading.active_count()
    server = SimulatedLangSmith().start()
    assert server.start() is server
    port = server.port
    with requests.Session() as session:
        session.get(server.url + "/ok", timeout=10)
        server.stop()
        server.stop()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert len(server.exchanges) == 1
    with server:
        assert server.port == port
        assert requests.get(server.url + "/ok", timeout=10).ok


def test_stop_does_not_wait_for_a_slow_answer() -> None:
    server = SimulatedLangSmith().start()
    server.answer("/ok", status=200, delay=30)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(send, server, "/ok")
        while not server.exchanges:
            time.sleep(0.005)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 20
        assert slow.result().status_code == 200


def stop_while(
    connect: Callable[[int], None], threads: int, waits: Iterable[float], **options: Any
) -> None:
    """Stop a server this long after clients start to connect. Leaks cause warnings."""
    over = threading.Event()

    def go_on(port: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connect(port)

    for wait in waits:
        over.clear()
        server = SimulatedLangSmith(**options).start()
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(threads):
                pool.submit(go_on, server.port)
            time.sleep(wait)
            server.stop()
            over.set()
    gc.collect()


@pytest.mark.slow
def test_it_stops_while_clients_connect() -> None:
    """A connection that is accepted at that moment is also closed."""

    def connect(port: int) -> None:
        socket.create_connection(("127.0.0.1", port), 0.05).close()

    stop_while(connect, 2, [0.02] * 5)


def test_it_stops_while_clients_connect_over_tls() -> None:
    """TLS takes longer, and several loop iterations, to set up a connection."""
    chain, key = tls.files_for("127.0.0.1")
    context = ssl.create_default_context(cafile=tls.authority_file())

    def connect(port: int) -> None:
        # Wrapped, then connected: ssl leaks a socket reset before it is wrapped.
        plain = socket.socket()
        plain.settimeout(0.5)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            wrapped.connect(("127.0.0.1", port))
            wrapped.recv(1)

    waits = [number / 4000 for number in range(20)]
    stop_while(connect, 1, waits, ssl_certfile=chain, ssl_keyfile=key)


def test_stop_does_not_wait_for_a_client_without_a_tls_handshake() -> None:
    chain, key = tls.files_for("127.0.0.1")
    server = SimulatedLangSmith(ssl_certfile=chain, ssl_keyfile=key).start()
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 30  # asyncio alone would wait for 60 s
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
    gc.collect()


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "uvicorn")
    caplog.set_level("DEBUG", "asyncio")
    with SimulatedLangSmith() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as broken:
            broken.sendall(b"nonsense\r\n\r\n")
            broken.recv(100)
        send(server, "/ok")
    assert [r for r in caplog.records if r.name.startswith("uvicorn")] == []


def test_a_missing_server_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    with pytest.raises(ImportError, match="pip install starlette uvicorn"):
        runpy.run_path(str(safe_langsmith.testing.__file__))


def test_the_async_client(server: SimulatedLangSmith, key: Key) -> None:
    """It creates and lists datasets, as an example of its calls."""

    async def names() -> list[str]:
        settings: Any = {"api_url": server.url, "api_key": key.secret}
        async with langsmith.AsyncClient(**settings) as client:
            for number in range(3):
                await client.create_dataset(f"d{number}")
            return [dataset.name async for dataset in client.list_datasets()]

    assert sorted(asyncio.run(names())) == ["d0", "d1", "d2"]
