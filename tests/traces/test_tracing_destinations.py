"""Tests for several destinations: each has its own host, key, and diagnosis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import langsmith
import pytest
import tracing
from conftest import QUICK
from langsmith import RunTree
from langsmith.run_trees import _parse_write_replicas_from_env_var
from langsmith.utils import LangSmithError, LangSmithExceptionGroup
from stage import assert_no_secret

from safe_langsmith import AccessDeniedError, KeyRejectedError, SafeClient
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith.testing import SimulatedLangSmith

ways = pytest.mark.parametrize("way", tracing.WAYS)
background = pytest.mark.parametrize("way", tracing.BACKGROUND)
UNKNOWN = "lsv2_pt_00000000000000000000000000000000_0000000000"


@pytest.fixture
def other() -> Iterator[SimulatedLangSmith]:
    """Another LangSmith, which belongs to somebody else."""
    with SimulatedLangSmith() as simulated:
        yield simulated


def keys_seen(server: SimulatedLangSmith) -> set[str]:
    """All keys that a server received."""
    return {e.headers["x-api-key"] for e in server.exchanges if "x-api-key" in e.headers}


def personal(server: SimulatedLangSmith, name: str) -> str:
    return server.add_personal_key(workspaces=[server.add_workspace(name)]).secret


def two_urls(way: str, urls: dict[SimulatedLangSmith, str], **arguments: Any) -> SafeClient:
    for server in urls:
        arguments |= tracing.WAYS[way](server)
    api_urls = {server.url: key for server, key in urls.items()}
    return SafeClient(api_urls=api_urls, policy=QUICK, **arguments)


# --- api_urls ---------------------------------------------------------------------------


@ways
def test_without_a_refusal_each_gets_its_own(
    server: SimulatedLangSmith, other: SimulatedLangSmith, way: str
) -> None:
    here, there = personal(server, "Ours"), personal(other, "Theirs")
    client = two_urls(way, {server: here, other: there})
    runs = tracing.record(client, 5)
    client.flush()
    for place, key in ((server, here), (other, there)):
        tracing.arrived_whole_and_once(place, runs)
        assert keys_seen(place) == {key}
    client.cleanup()


@ways
def test_a_repair_of_one_changes_no_other(
    server: SimulatedLangSmith, other: SimulatedLangSmith, way: str
) -> None:
    """The second needs a workspace. It is added only there."""
    here = personal(server, "Ours")
    other.add_workspace("Theirs")
    there = other.add_service_key(workspaces=None).secret
    client = two_urls(way, {server: here, other: there})
    before = (client.api_url, client.api_key, client._workspace_id)
    runs = tracing.record(client, 5)
    client.flush()
    for place, key in ((server, here), (other, there)):
        tracing.arrived_whole_and_once(place, runs)
        assert keys_seen(place) == {key}
    tracing.refused_came_again(other)
    assert not tracing.ingest(server, 403)
    assert all("x-tenant-id" not in e.headers for e in server.exchanges)
    assert (client.api_url, client.api_key, client._workspace_id) == before
    assert dict(client._write_api_urls) == {server.url: here, other.url: there}
    client.cleanup()


@background
def test_one_that_refuses_for_good(
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    way: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others get each run once; the error names the destination that refused."""
    here = personal(server, "Ours")
    other.add_workspace("Theirs")
    errors: list[Exception] = []
    client = two_urls(
        way, {other: UNKNOWN, server: here}, tracing_error_callback=errors.append
    )
    # The key in the environment is not for the additional destinations.
    runs = tracing.record(client, 5)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    assert other.runs == {}
    assert keys_seen(server) == {here}
    assert keys_seen(other) == {UNKNOWN}
    assert {type(e) for e in errors} == {KeyRejectedError}
    assert all(other.url in str(e) for e in errors)
    (line,) = [r for r in caplog.records if r.name == "safe_langsmith"]
    assert f"{other.url} rejected this key" in line.getMessage()
    client.cleanup()


def test_several_that_refuse_runs_one_by_one(
    server: SimulatedLangSmith, other: SimulatedLangSmith
) -> None:
    """The SDK raises an exception group; each error in it is kept."""
    server.add_workspace("Ours")
    other.add_workspace("Theirs")
    errors: list[Exception] = []
    client = two_urls(
        "one by one",
        {server: UNKNOWN, other: UNKNOWN},
        tracing_error_callback=errors.append,
    )
    with pytest.raises(LangSmithExceptionGroup):
        tracing.record(client, 1)
    assert [type(e) for e in errors] == [LangSmithExceptionGroup]
    with pytest.raises(LangSmithExceptionGroup, match="for 2 reasons") as caught:
        client.raise_for_tracing_errors()
    found = [str(e) for e in caught.value.exceptions]
    assert [server.url in found[0], other.url in found[1]] == [True, True]


@background
def test_what_the_environment_says_is_not_for_a_further_destination(
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that would work there is not tried: it was not set for that host."""
    here = personal(server, "Ours")
    works_there = personal(other, "Theirs")
    errors: list[Exception] = []
    client = two_urls(
        way, {server: here, other: UNKNOWN}, tracing_error_callback=errors.append
    )
    monkeypatch.setenv("LANGSMITH_API_KEY", works_there)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", other.url)
    runs = tracing.record(client, 5)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    assert keys_seen(other) == {UNKNOWN}
    assert {type(e) for e in errors} == {KeyRejectedError}
    client.cleanup()


@background
def test_an_assigned_key_reaches_its_destination_alone(
    server: SimulatedLangSmith, other: SimulatedLangSmith, way: str
) -> None:
    own = server.add_workspace("Ours")
    old, new = (server.add_personal_key(workspaces=[own]) for _ in range(2))
    there = personal(other, "Theirs")
    client = two_urls(way, {server: old.secret, other: there})
    runs = tracing.record(client, 3)
    client.flush()
    client.api_key = new.secret
    server.revoke(old)
    runs += tracing.record(client, 3)
    client.flush()
    tracing.arrived_whole_and_once(server, runs)
    tracing.arrived_whole_and_once(other, runs)
    assert keys_seen(server) == {old.secret, new.secret}
    assert keys_seen(other) == {there}
    client.cleanup()


# --- replicas ---------------------------------------------------------------------------


@pytest.fixture
def replicas_in_environment(
    server: SimulatedLangSmith, other: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """Two destinations in LANGSMITH_RUNS_ENDPOINTS; the second needs a workspace."""
    here = personal(server, "Ours")
    other.add_workspace("Theirs")
    there = other.add_service_key(workspaces=None).secret
    value = [
        {"api_url": server.url, "api_key": here},
        {"api_url": other.url, "api_key": there},
    ]
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", json.dumps(value))
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    clear_caches()
    _parse_write_replicas_from_env_var.cache_clear()
    yield here, there
    _parse_write_replicas_from_env_var.cache_clear()


@ways
@pytest.mark.filterwarnings("ignore:.*LANGSMITH_RUNS_ENDPOINTS")
def test_endpoints_of_the_environment(
    replicas_in_environment: tuple[str, str],
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    way: str,
) -> None:
    here, there = replicas_in_environment
    arguments = tracing.WAYS[way](server) | tracing.WAYS[way](other)
    client = SafeClient(server.url, api_key=here, policy=QUICK, **arguments)

    @langsmith.traceable(client=client)
    def double(number: int) -> int:
        return 2 * number

    assert [double(number) for number in range(5)] == [0, 2, 4, 6, 8]
    client.flush()
    for place, key in ((server, here), (other, there)):
        assert len(place.runs) == 5
        kinds = [[one["op"] for one in run] for run in place.runs.values()]
        assert all(sorted(kind) in (["post"], ["patch", "post"]) for kind in kinds)
        assert keys_seen(place) == {key}
    tracing.refused_came_again(other)
    client.cleanup()


@ways
@pytest.mark.filterwarnings("ignore:.*LANGSMITH_RUNS_ENDPOINTS")
def test_a_key_in_place_of_a_url(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The SDK's errors and log lines contain that "URL"; the key in it is masked."""
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", str(tmp_path / "failed"))
    server.answer(f"/{UNKNOWN}/runs/multipart", status=400, body={"detail": "No"})
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", json.dumps({UNKNOWN: server.url}))
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    _parse_write_replicas_from_env_var.cache_clear()
    errors: list[Exception] = []
    arguments = tracing.WAYS[way](server) | {"tracing_error_callback": errors.append}
    key = personal(server, "Ours")
    client = SafeClient(server.url, api_key=key, policy=QUICK, **arguments)
    langsmith.traceable(client=client)(str.upper)("text")
    client.flush()
    with pytest.raises(LangSmithError) as caught:
        client.raise_for_tracing_errors()
    assert errors
    told = [*errors, caught.value, *filter(None, (e.__cause__ for e in errors))]
    texts = [*map(repr, told), *map(str, told), caplog.text]
    assert all("lsv2_pt_\u20260000" in text for text in texts)
    texts += [file.read_text() for file in tmp_path.glob("failed/*")]
    if way in ("multipart", "compressed"):  # the SDK saves only these
        texts += client.replay_failed_traces(tmp_path / "failed").left.values()
    assert_no_secret("\n".join(texts), [UNKNOWN, key])
    client.cleanup()
    _parse_write_replicas_from_env_var.cache_clear()


CREDENTIALS: dict[str, dict[str, Any]] = {
    "service key": {"service_key": "service-secret"},
    "token": {"authorization": "Bearer token-secret"},
    "cookie": {"cookie": "session=cookie-secret"},
}


@pytest.mark.parametrize("credential", CREDENTIALS)
@ways
def test_our_key_does_not_go_where_another_credential_is_meant(
    server: SimulatedLangSmith, other: SimulatedLangSmith, way: str, credential: str
) -> None:
    here = personal(server, "Ours")
    arguments = tracing.WAYS[way](server) | tracing.WAYS[way](other)
    errors: list[Exception] = []
    client = SafeClient(
        server.url,
        api_key=here,
        policy=QUICK,
        tracing_error_callback=errors.append,
        **arguments,
    )
    auth: Any = CREDENTIALS[credential]
    run = RunTree(
        name="run",
        ls_client=client,
        replicas=[{"api_url": server.url}, {"api_url": other.url, "auth": auth}],
    )
    run.end(outputs={"a": 1})
    try:
        run.post()
    except AccessDeniedError as error:  # one by one, it reaches the caller
        assert way == "one by one"
        errors.append(error)
    client.flush()
    assert len(server.runs) == 1
    assert tracing.ingest(other, 401) + tracing.ingest(other, 403)
    assert keys_seen(other) == set()
    assert keys_seen(server) == {here}
    assert errors
    assert all("service key, token or cookie of this destination" in str(e) for e in errors)
    assert not any("secret" in str(e) for e in errors)
    client.cleanup()


def test_a_named_workspace_of_a_replica(
    server: SimulatedLangSmith, other: SimulatedLangSmith
) -> None:
    """In the form that the error's advice shows."""
    here = personal(server, "Ours")
    for name in ("Theirs", "More"):
        workspace = other.add_workspace(name)
    there = other.add_service_key(workspaces=None).secret
    errors: list[Any] = []
    client = SafeClient(
        server.url, api_key=here, policy=QUICK, tracing_error_callback=errors.append
    )

    def trace(**auth: str) -> None:
        replicas: Any = [{"api_url": other.url, "auth": {"api_key": there, **auth}}]
        run = RunTree(name="run", ls_client=client, replicas=replicas)
        run.end()
        run.post()
        client.flush()

    trace()
    (error,) = errors
    assert error.code == "workspace-required"
    assert 'auth={"api_key": ..., "tenant_id": "' in error.next_steps[0]
    trace(tenant_id=workspace.id)
    assert len(errors) == 1
    assert len(other.runs) == 1
    client.cleanup()
