"""Tests that refused OpenTelemetry exports are diagnosed, repaired, and reported."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import exporting
import langsmith
import pytest
import requests
import scenarios
import stage as stages
from conftest import QUICK
from exporting import EXPORT, spans
from langsmith.utils import LangSmithError
from releases import needs_export_path
from scenarios import Scenario, create_run, list_projects
from stage import Stage, assert_no_secret, staged
from table import SCENARIOS

from safe_langsmith import (
    AccessDeniedError,
    SafeClient,
    WorkspaceRequiredError,
    WrongEndpointError,
)
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = needs_export_path
# Rows that do not apply to exports: reads in another region or past a proxy, and the
# projects feature.
_OF_READS = (
    *(" reads", "in another region: two in a row", "a plan without the feature"),
    "a proxy that refuses once",
)
# Exporters do not read these.
_UNREAD = ("LANGSMITH_WORKSPACE_ID", "LANGCHAIN_WORKSPACE_ID")


def applies(row: Scenario, way: str) -> bool:
    """Whether a row applies to exports."""
    own = set() if way == "otel" else {"api_key", "api_url", "workspace_id"}
    return (
        row.call in (list_projects, create_run)
        and row.profile is None
        and not row.headers
        and row.arguments.keys() <= own
        and not any(name in row.environ for name in _UNREAD)
        and all(row.arguments.values())
        and not row.name.endswith(_OF_READS)
        and (way == "otel" or _has_key(row))
    )


def _has_key(row: Scenario) -> bool:
    """The SDK creates no processor without a key, or for the endpoint `http://[`."""
    names = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")
    found = "api_key" in row.arguments or any(row.environ.get(name) for name in names)
    return found and not row.name.endswith("an unclosed bracket")


ROWS = [
    *(("otel", row) for row in scenarios.ROWS if applies(row, "otel")),
    *(("OtelSpanProcessor", row) for row in SCENARIOS if applies(row, "OtelSpanProcessor")),
]


def as_export(row: Scenario) -> Scenario:
    """Adapt a client's row to an exported trace."""
    call = re.compile(r"(GET /sessions|POST /runs)$")
    requests = [call.sub(EXPORT, request) for request in row.requests]
    if requests[-3:] == [EXPORT] * 3:
        del requests[-3:]  # a proxy's refusal: the export may have been carried out

    def world(server: SimulatedLangSmith) -> Any:
        answer = server.answer

        def of_exports(path: str, **arguments: Any) -> None:
            answer(path.replace("/sessions", "/otel/v1/traces"), **arguments)

        server.answer = of_exports  # type: ignore[method-assign]
        return row.world(server)

    return replace(row, requests=tuple(requests), world=world)


@pytest.mark.parametrize(("way", "row"), ROWS, ids=str)
def test_scenario(
    way: str, row: Scenario, tmp_path: Path, debug_log: pytest.LogCaptureFixture
) -> None:
    """Code, outcome, requests, and texts are the same as for a client's own call."""
    ways: list[exporting.Way] = []
    with ExitStack() as stack:

        def make(**arguments: Any) -> Any:
            entered = stack.enter_context(exporting.WAYS[way](**arguments))
            ways.append(entered)
            return entered.client

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(stages.TRANSPORTS, way, (make, None))
            stage = stack.enter_context(staged(as_export(row), way, tmp_path))
        ways[0].export()
        check(stage, debug_log)
        if row.outcome == "answered":  # the next export succeeds immediately
            before = sum(len(server.exchanges) for server in stage.servers.values())
            ways[0].export()
            after = sum(len(server.exchanges) for server in stage.servers.values())
            assert after == before + 1
            assert [n for s in stage.servers.values() for n in spans(s).values()] == [1, 1]


def check(stage: Stage, log: pytest.LogCaptureFixture) -> None:
    row, client = stage.row, cast("SafeClient", stage.client)
    found = client.last_diagnosis
    lines = [r for r in log.records if r.name == "safe_langsmith"]
    assert found is not None
    assert (found.code, found.resolved) == (row.code, row.outcome == "answered")
    assert [line.levelno for line in lines] == [logging.WARNING]
    assert not [r for r in log.records if r.name.startswith("opentelemetry")]
    arrived = [n for server in stage.servers.values() for n in spans(server).values()]
    if found.code != "wrong-endpoint" or found.resolved:  # else: a page, always with 200
        assert arrived == ([1] if found.resolved else [])
    texts = [lines[0].getMessage(), str(found)]
    if not found.resolved:
        with pytest.raises(AccessDeniedError) as caught:
            client.raise_for_tracing_errors()
        assert caught.value.code == row.code
        texts.append(str(caught.value))
    client.raise_for_tracing_errors()
    assert stage.requests == stage.expected_requests
    assert stage.saw == stage.expected_saw
    assert_no_secret("\n".join(texts), stage.secrets)


# --- more ways, and behavior of the exporter --------------------------------------------


@pytest.fixture
def own(server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch) -> str:
    """One workspace, and an organization key in the environment."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    key = server.add_service_key(workspaces=None).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    return server.add_workspace("Research").id


every_way = pytest.mark.parametrize("way", ["otel", "hybrid", "OtelSpanProcessor"])


def sent(server: SimulatedLangSmith) -> list[Any]:
    return [e for e in server.exchanges if f"{e.method} {e.path}" == EXPORT]


@every_way
def test_repaired_once(server: SimulatedLangSmith, own: str, way: str) -> None:
    """Later exports have the workspace immediately, and each span arrives once."""
    with exporting.WAYS[way](policy=QUICK) as entered:
        for _ in range(3):
            entered.export()
        entered.client.raise_for_tracing_errors()
        assert [e.status for e in sent(server)] == [403, 200, 200, 200]
        assert {e.headers["x-tenant-id"] for e in sent(server)[1:]} == {own}
        assert [*spans(server).values()] == [1, 1, 1]


@every_way
def test_told_once(
    server: SimulatedLangSmith, own: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One log line per cause; the callback gets each lost batch, as in the SDK."""
    server.add_workspace("Production")
    told: list[Exception] = []
    with exporting.WAYS[way](policy=QUICK) as entered:
        entered.client._tracing_error_callback = told.append
        for _ in range(3):
            entered.export()
        assert len(sent(server)) == 3
        lost = [e for e in told if "/otel/v1/traces" in str(e)]
        assert [type(e) for e in lost] == [WorkspaceRequiredError] * 3
        with pytest.raises(LangSmithError, match="POST /otel/v1/traces was refused"):
            entered.client.raise_for_tracing_errors()
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "Traces are lost until this is fixed: choose one and " in line
    # Other failures are logged by the exporter itself.
    server.answer("/otel/v1/traces", status=400, body={"detail": "Bad"})
    with exporting.WAYS[way](policy=QUICK) as entered:
        entered.export()
    assert "Failed to export" in caplog.messages[-1]


@pytest.mark.parametrize("way", ["otel", "OtelSpanProcessor"])
def test_the_advice_works(
    server: SimulatedLangSmith,
    own: str,
    way: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with exporting.WAYS[way](policy=QUICK) as entered:
        entered.export()
    advice = re.search(r"give the exporter the header (.*)\.$", caplog.messages[0])
    assert advice  # docs/paths.md says how
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", advice.group(1))
    server.clear()
    with exporting.WAYS[way](policy=QUICK) as entered:
        entered.export()
    assert [e.status for e in sent(server)] == [200]


def test_the_workspace_of_the_client(server: SimulatedLangSmith, own: str) -> None:
    """The SDK's exporter does not send it, so a repair uses it."""
    other = server.add_workspace("Production").id
    with exporting.by_client("otel", policy=QUICK, workspace_id=other) as entered:
        entered.export()
    assert [e.headers.get("x-tenant-id") for e in sent(server)] == [None, other]


def test_an_exporter_that_the_program_sets_up(server: SimulatedLangSmith, own: str) -> None:
    headers = {"x-api-key": os.environ["LANGSMITH_API_KEY"], "Langsmith-Project": "mine"}
    place = f"{server.url}/otel/v1/traces"
    with exporting.by_exporter(endpoint=place, headers=headers) as entered:
        entered.export()
    assert [e.headers.get("x-tenant-id") for e in sent(server)] == [None, own]
    assert {e.headers["langsmith-project"] for e in sent(server)} == {"mine"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/v1/traces", {"x-api-key": "x"}), ("/otel/v1/traces", {"authorization": "Basic x"})],
)
def test_another_collector(
    server: SimulatedLangSmith,
    path: str,
    headers: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.answer("*", status=403, body={"error": "Forbidden"})
    with exporting.by_exporter(endpoint=server.url + path, headers=headers) as entered:
        entered.export()
        assert entered.client.last_diagnosis is None
    assert ["Failed to export" in line for line in caplog.messages] == [True]
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    "place", ["nowhere/v1/traces", "http://127.0.0.1:9/otel/v1/traces"]
)
def test_what_is_not_ours_to_explain(
    place: str, caplog: pytest.LogCaptureFixture, debug_log: pytest.LogCaptureFixture
) -> None:
    """An address without https://, and a server that cannot be reached."""
    headers = {"x-api-key": "x"}
    with exporting.by_exporter(endpoint=place, headers=headers, timeout=0.2) as entered:
        entered.export()
        entered.client.raise_for_tracing_errors()
        assert entered.client.last_diagnosis is None
    assert "Failed to export" in caplog.messages[-1]


def test_a_redirect_is_not_a_success(server: SimulatedLangSmith, own: str) -> None:
    server.answer("*", status=302, headers={"Location": "https://login.example.com/"})
    with exporting.by_processor(policy=QUICK) as entered:
        entered.export()
        with pytest.raises(WrongEndpointError, match=r"login\.example\.com"):
            entered.client.raise_for_tracing_errors()


def test_a_session_of_somebody_else(
    server: SimulatedLangSmith, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replaced, and neither is a configured credential provider."""
    name = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER"
    given = requests.Session()
    for_all: Any = {
        "endpoint": f"{server.url}/otel/v1/traces",
        "headers": {"x-api-key": "x"},
    }
    with exporting.by_exporter(session=given, **for_all) as entered:
        entered.export()
        assert entered.client.last_diagnosis is None
    monkeypatch.setenv(name, "somebody")
    with pytest.raises(RuntimeError, match="somebody"), exporting.by_exporter(**for_all):
        pass


def test_nobody_else_is_told(
    server: SimulatedLangSmith, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a safe client that traces, the failure is only logged."""
    with exporting.by_processor(policy=QUICK) as entered:
        langsmith.configure(client=None)
        entered.export()
        server.add_workspace("Production")
    with exporting.by_processor(policy=QUICK) as other:
        langsmith.configure(client=None)
        other.export()
    assert entered.client.last_diagnosis is other.client.last_diagnosis is None
    assert [e.status for e in sent(server)] == [403, 200, 403]
    assert ["Traces are lost" in line for line in caplog.messages] == [False, True]


@pytest.mark.parametrize("way", exporting.WAYS)
def test_unchanged_without_a_refusal(
    server: SimulatedLangSmith, own: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method, path, headers, and body length are the same as the plain client's."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"X-Tenant-Id={own}")
    headers = {"x-api-key": os.environ["LANGSMITH_API_KEY"]}
    place = f"{server.url}/otel/v1/traces"
    set_up = partial(exporting.by_exporter, endpoint=place, headers=headers)
    found = []
    every: dict[str, Any] = {**exporting.WAYS, "exporter": set_up}
    for make in (langsmith.Client, SafeClient):
        server.clear()
        with every[way](make) as entered:
            entered.export()
        found.append([(e.method, e.path, dict(e.headers)) for e in sent(server)])
        assert [*spans(server).values()] == [1]
    assert found[0] == found[1]
    assert len(found[0]) == 1


# --- watched once it is imported --------------------------------------------------------


def test_nothing_is_imported_for_it(server: SimulatedLangSmith, own: str) -> None:
    """Once the program imports the exporter, it is watched, but not after undo()."""
    program = """
import sys
from safe_langsmith import install
installation = install(everywhere=True)
assert not [name for name in sys.modules if name.startswith("opentelemetry.exporter")]
from opentelemetry.sdk.trace import TracerProvider
from langsmith.integrations.otel import OtelSpanProcessor
for _ in range(2):
    provider = TracerProvider()
    provider.add_span_processor(OtelSpanProcessor())
    provider.get_tracer("tests").start_span("step").end()
    provider.shutdown()
    installation.undo()
print(repr(installation.client.last_diagnosis))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("<Diagnosis workspace-required:"), done.stderr
    assert [e.status for e in sent(server)] == [403, 200, 403]


def test_a_resend_without_an_answer(
    server: SimulatedLangSmith, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter gets the connection error, as without safe_langsmith."""
    body = {"error": "org_scoped_key_requires_workspace"}
    server.answer("/otel/v1/traces", status=None, delay=0.6)
    server.answer("/otel/v1/traces", status=403, body=body, times=1)
    headers = {"x-api-key": os.environ["LANGSMITH_API_KEY"]}
    place = f"{server.url}/otel/v1/traces"
    with exporting.by_exporter(endpoint=place, headers=headers, timeout=0.3) as entered:
        entered.export()
        entered.client.raise_for_tracing_errors()
    assert "Failed to export" in caplog.messages[-1]
    assert len(sent(server)) >= 2
