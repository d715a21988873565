"""Tests for the doctor's tracing checks: only what was checked gets a check mark."""

from __future__ import annotations

import importlib.machinery
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import langsmith
import pytest
import scenarios
from scenarios import GONE
from stage import assert_no_secret
from test_doctor import SCHEMA

from safe_langsmith import SafeClient
from safe_langsmith._command.cli import main
from safe_langsmith._command.doctor import examined, report
from safe_langsmith._command.sections import lines_of
from safe_langsmith._command.terminal import quiet_sdk
from safe_langsmith._knowledge.access import Access
from safe_langsmith._sdk.names import at_least
from safe_langsmith._settings.tracing import read_destinations
from safe_langsmith._settings.unread import near_miss
from safe_langsmith.testing import SimulatedLangSmith

ON = {"LANGSMITH_TRACING": "true"}
LIMITS = "/workspaces/current/usage_limits"
VIEWER = 'the role "Viewer" in workspace "Research"'
NOBODY = "http://127.0.0.1:9"
Prepare = Callable[[SimulatedLangSmith, SimulatedLangSmith], object]


# --- the worlds -----------------------------------------------------------------------


def with_opentelemetry(patch: pytest.MonkeyPatch) -> None:
    """Install a fake OpenTelemetry that the SDK accepts as the real one."""

    class Provider:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def get_tracer(self, *_: object) -> object:
            return object()

    class Module(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Provider if name == "get_tracer_provider" else type(name, (), {})

    parts = ("", ".trace", ".context", ".context.context", ".sdk", ".sdk.trace")
    for name in (f"opentelemetry{part}" for part in parts):
        module = Module(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.get_tracer = Provider  # type: ignore[attr-defined]
        patch.setitem(sys.modules, name, module)
    for name in (f"opentelemetry{part}" for part in parts if part):
        parent, _, last = name.rpartition(".")
        setattr(sys.modules[parent], last, sys.modules[name])


def without_opentelemetry(patch: pytest.MonkeyPatch) -> None:
    for name in ["opentelemetry", *sys.modules]:
        if name.partition(".")[0] == "opentelemetry":
            patch.setitem(sys.modules, name, None)


def with_pyo3(patch: pytest.MonkeyPatch) -> None:
    Path("langsmith_pyo3.py").write_text("")
    patch.syspath_prepend(str(Path.cwd()))


def limit_reached(server: SimulatedLangSmith, _: object) -> None:
    limit = {"in_reject_set": True, "usage_limit_type": "total_unique_traces"}
    server.answer(LIMITS, status=200, body=json.dumps({**limit, "tenant_limit": 5000}))


def limit_unknown(server: SimulatedLangSmith, _: object) -> None:
    server.answer(LIMITS, status=404, body='{"detail":"Not Found"}')


def limit_silent(server: SimulatedLangSmith, _: object) -> None:
    server.answer(LIMITS, status=None, delay=60)


def no_list(server: SimulatedLangSmith, _: object) -> None:
    server.answer("/workspaces", status=None, delay=60)


def nothing_listed(server: SimulatedLangSmith, _: object) -> None:
    server.answer("/workspaces", status=403, body='{"error":"Forbidden"}')


def other_broken(_: object, there: SimulatedLangSmith) -> None:
    there.answer("/sessions", status=400, body="oops")


def no_projects(server: SimulatedLangSmith, _: object) -> None:
    server.disabled_features.add("projects")


# --- the table ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Settings, and what the tracing section shows for them.

    ``says``: state, name, and part of the text of lines. ``places``: the states of all
    destinations, in order. Names in braces are those of the world.
    """

    name: str
    environ: Mapping[str, str]
    says: tuple[tuple[str, str, str], ...] = ()
    places: str | None = None
    code: str = "ok"
    message: str = ""
    step: str = ""
    options: tuple[str, ...] = ()
    prepare: Prepare | None = None
    package: Callable[[pytest.MonkeyPatch], None] | None = None
    section: str = "tracing"
    own: bool = True
    unseen: tuple[str, ...] = field(default=("key_there",))

    def __str__(self) -> str:
        return self.name


def fill(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def entries(*pairs: tuple[str, str], **more: str) -> str:
    return json.dumps([{"api_url": url, "api_key": key, **more} for url, key in pairs])


HERE = ("{url}", "{key}")
THERE = ("{there}", "{key_there}")
OTEL = {"LANGSMITH_OTEL_ONLY": "true", **ON}
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}
ROWS = (
    # 1. Every destination.
    Row(
        "own endpoint",
        ON,
        (("good", "destination", "{url}: accepts traces with this key"),),
        "good",
    ),
    Row(
        "two destinations, each with its own key",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(HERE, THERE)},
        (
            ("good", "destination", "{url} with personal key lsv2_pt_…"),
            ("good", "destination", "{there} with personal key lsv2_pt_…"),
        ),
        "good good",
    ),
    Row(
        "a destination that rejects its key",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(HERE, ("{there}", "{key}"))},
        (("bad", "destination", "key-rejected: "),),
        "good bad",
        code="key-rejected",
        message="LangSmith accepts these settings, but traces do not reach {there} with",
        step="create a new key at {there}/settings, and put it into LANGSMITH_RUNS_END",
    ),
    *(
        Row(
            f"a destination in {variable} whose key needs a workspace, and can use two",
            {**ON, variable: entries(("{there}", "{org_there}"))},
            (("bad", "destination", "workspace-required: "),),
            "bad",
            code="workspace-required",
            step=f"choose one and set workspace_id in {variable} "
            "(langsmith 0.14.17 or newer): "
            '[{"api_url": ..., "api_key": ..., "workspace_id": "..."}]; '
            "the key can use {own_there}  Elsewhere",
            unseen=(),
        )
        for variable in ("LANGSMITH_RUNS_ENDPOINTS", "LANGCHAIN_RUNS_ENDPOINTS")
    ),
    Row(
        "a destination that rejects its key, and tracing is off",
        {"LANGSMITH_RUNS_ENDPOINTS": entries(HERE, ("{there}", "{key}"))},
        (("warning", "destination", "key-rejected: "),),
        "good warning",
    ),
    Row(
        "the same, offline",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(HERE, ("{there}", "{key}"))},
        (("unknown", "destination", "not checked: --offline"),),
        "unknown unknown",
        code="unknown",
        options=("--offline",),
        unseen=("key", "key_there"),
    ),
    Row(
        "a destination without a scheme",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(HERE, ("eu.example.com", "{key}"))},
        (
            (
                "bad",
                "destination",
                "wrong-endpoint: the endpoint, 'eu.example.com' from LANGSMITH_RUNS_",
            ),
        ),
        "good bad",
        code="wrong-endpoint",
    ),
    Row(
        "a destination without a scheme, offline",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(("eu.example.com", "{key}"))},
        (("bad", "destination", "wrong-endpoint: "),),
        "bad",
        code="unknown",
        options=("--offline",),
        unseen=("key", "key_there"),
    ),
    Row(
        "a destination that cannot be reached",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries((NOBODY, "{key}"))},
        (("bad", "destination", f"unreachable: no response from {NOBODY}"),),
        "bad",
        code="unknown",
        message=f"LangSmith accepts these settings, but traces do not reach {NOBODY}",
    ),
    Row(
        "a destination that is no API",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(("{there}/x", "{key_there}"))},
        code="wrong-endpoint",
        step="{there}/x with personal key",
        unseen=(),
    ),
    Row(
        "no key but that of a destination",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(THERE)},
        (("good", "destination", "accepts traces with this key"),),
        "good",
        message="Traces go only to LANGSMITH_RUNS_ENDPOINTS: {there}",
        own=False,
        unseen=(),
    ),
    Row(
        "no key but those of two destinations",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(THERE, HERE)},
        (("good", "destination", "accepts traces with this key"),),
        "good good",
        message="(accepts traces with this key), {url} with personal key lsv2_pt_",
        own=False,
        unseen=(),
    ),
    Row(
        "no key but those of two destinations, and one answer tells nothing",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(HERE, THERE)},
        (("unknown", "destination", "unknown: GET /sessions returned 400"),),
        "good unknown",
        code="unknown",
        prepare=other_broken,
        own=False,
        unseen=(),
    ),
    Row(
        "the same, and it rejects the key",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(("{there}", GONE))},
        (("bad", "destination", "key-rejected: "),),
        "bad",
        code="key-rejected",
        step="create a new key at {there}/settings",
        own=False,
        unseen=(),
    ),
    Row(
        "a destination whose answer tells nothing",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": entries(THERE)},
        (("unknown", "destination", "unknown: GET /sessions returned 400"),),
        "unknown",
        prepare=other_broken,
        unseen=(),
    ),
    Row(
        "a destination with a workspace of its own",
        {
            **ON,
            "LANGSMITH_RUNS_ENDPOINTS": entries(
                ("{there}", "{org_there}"), workspace_id="{own_there}"
            ),
        },
        places="good" if at_least("0.14.16") else "bad",
        code="ok" if at_least("0.14.16") else "workspace-required",
    ),
    Row(
        "by address and key",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": '{"{url}": "{key}", "{there}": "{key_there}"}'},
        places="good good",
    ),
    Row(
        "an entry that langsmith ignores",
        {
            **ON,
            "LANGSMITH_RUNS_ENDPOINTS": (
                '[{"api_url": "x"}, {"api_url": "{url}", "api_key": "{key}"}]'
            ),
        },
        (("warning", "ignored", "ignores 1 of the entries in LANGSMITH_RUNS_ENDPOINTS: "),),
        "good",
    ),
    Row(
        "destinations that are no JSON",
        {**ON, "LANGSMITH_RUNS_ENDPOINTS": "{there} {key_there}"},
        (("warning", "ignored", "ignores LANGSMITH_RUNS_ENDPOINTS: it must be JSON"),),
        "good",
    ),
    *(
        Row(
            f"an endpoint next to destinations, which the SDK refuses; tracing: {tracing}",
            {**tracing, "LANGCHAIN_RUNS_ENDPOINTS": '{"{there}": "{key_there}"}'},
            (
                (
                    state,
                    "destination",
                    "LANGCHAIN_RUNS_ENDPOINTS: each @traceable function raises an error: "
                    "You cannot provide both LANGSMITH_ENDPOINT",
                ),
            ),
            state,
            code=code,
            step=step,
        )
        for tracing, state, code, step in (
            (
                ON,
                "bad",
                "unknown",
                "remove LANGSMITH_ENDPOINT, or LANGCHAIN_RUNS_ENDPOINTS: only one of them",
            ),
            ({}, "warning", "ok", ""),
        )
    ),
    Row(
        "the role may not trace",
        {**ON, "LANGSMITH_API_KEY": "{viewer}"},
        (("bad", "destination", f"{VIEWER} lacks runs:create"),),
        "bad",
        code="permission-missing",
        message=f"LangSmith accepts these settings, but {VIEWER} lacks runs:create",
        step="ask an admin for a role with runs:create",
    ),
    Row(
        "the permissions are not listed",
        ON,
        (("unknown", "destination", "unknown: LangSmith does not list this key's"),),
        "unknown",
        prepare=nothing_listed,
    ),
    Row(
        "the permissions are not told in time",
        ON,
        (("unknown", "destination", "{url}: unknown: no response from {url}: "),),
        "unknown",
        options=("--timeout", "0.4"),
        prepare=no_list,
    ),
    Row(
        "the same: nothing counts as not listed",
        ON,
        (("unknown", "who", "unknown: no response from {url}: "),),
        options=("--timeout", "0.4"),
        prepare=no_list,
        section="identity",
    ),
    Row(
        "the client's own key is rejected",
        {**ON, "LANGSMITH_API_KEY": GONE},
        (("bad", "destination", "traces would be refused: key-rejected"),),
        "bad",
        code="key-rejected",
    ),
    Row(
        "the same, and tracing is off: told once",
        {"LANGSMITH_API_KEY": GONE},
        (("info", "destination", "traces would be refused: key-rejected"),),
        "info",
        code="key-rejected",
    ),
    Row(
        "projects are off, and maybe traces are not",
        ON,
        (("unknown", "destination", "{url}: unknown: feature-unavailable"),),
        "unknown",
        code="feature-unavailable",
        prepare=no_projects,
    ),
    # 2. Every way of sending.
    Row("the default", ON, (("info", "sent by", "background threads"),)),
    Row(
        "both ways",
        {**ON, "LANGCHAIN_OTEL_ENABLED": "1"},
        (
            ("info", "sent by", "threads and OpenTelemetry (LANGCHAIN_OTEL_ENABLED)"),
            ("good", "OpenTelemetry", "{url}: accepts traces with this key"),
        ),
        "good good",
        package=with_opentelemetry,
    ),
    Row(
        "OpenTelemetry alone, by its mode",
        {**ON, "LANGSMITH_TRACING_MODE": "OTEL", "LANGSMITH_OTEL_ENABLED": "true"},
        (("info", "sent by", "OpenTelemetry only (LANGSMITH_TRACING_MODE)"),),
        "good",
        package=with_opentelemetry,
    ),
    Row(
        "OpenTelemetry is not installed",
        {**ON, "LANGSMITH_OTEL_ENABLED": "true"},
        (
            ("info", "sent by", "background threads"),
            (
                "warning",
                "ignored",
                "LANGSMITH_OTEL_ENABLED has no effect: OpenTelemetry is",
            ),
        ),
        "good",
        package=without_opentelemetry,
    ),
    Row(
        "a workspace that OpenTelemetry does not send",
        {**OTEL, "LANGSMITH_API_KEY": "{org}", "LANGSMITH_WORKSPACE_ID": "{own}"},
        (("bad", "OpenTelemetry", "the key needs a workspace, and OpenTelemetry sends"),),
        "bad",
        code="workspace-required",
        step="use a key for a single workspace, or set OTEL_EXPORTER_OTLP_HEADERS to",
        package=with_opentelemetry,
    ),
    Row(
        "a rejected key in the headers of OpenTelemetry",
        {**OTEL, "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={GONE}"},
        (("bad", "OpenTelemetry", "key-rejected: "),),
        "bad",
        code="key-rejected",
        step="correct the key in OTEL_EXPORTER_OTLP_HEADERS",
        package=with_opentelemetry,
    ),
    Row(
        "another collector, and no key",
        {**OTEL, **COLLECTOR},
        (("unknown", "OpenTelemetry", ":4318: not checked: it is not LangSmith"),),
        "unknown",
        code="unknown",
        message="No LangSmith key is set, and none is needed: only OpenTelemetry sends",
        package=with_opentelemetry,
        own=False,
    ),
    Row(
        "the same: the key section has no cross",
        {**OTEL, **COLLECTOR},
        (("info", "not needed", ""), ("info", "kind", "no key is set")),
        code="unknown",
        package=with_opentelemetry,
        section="key",
        own=False,
    ),
    Row(
        "the key in the headers of OpenTelemetry alone",
        {
            **OTEL,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/otel/v1/traces",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key={org}, X-Tenant-Id={own}",
        },
        places="good",
        message="No LangSmith key is set, and none is needed: only OpenTelemetry sends",
        package=with_opentelemetry,
        own=False,
    ),
    Row(
        "no key for OpenTelemetry",
        OTEL,
        (("bad", "OpenTelemetry", "key-missing: "),),
        "bad",
        code="key-missing",
        package=with_opentelemetry,
        own=False,
    ),
    Row(
        "the client in Rust, which is not installed",
        {**ON, "LANGSMITH_USE_PYO3_CLIENT": "1"},
        (("warning", "ignored", "LANGSMITH_USE_PYO3_CLIENT has no effect: langsmith_"),),
        "good",
    ),
    Row(
        "the client in Rust",
        {**ON, "LANGSMITH_USE_PYO3_CLIENT": "1"},
        (
            ("info", "sent by", "langsmith_pyo3 (LANGSMITH_USE_PYO3_CLIENT)"),
            ("unknown", "destination", "not checked: langsmith_pyo3 sends traces there"),
        ),
        "unknown",
        package=with_pyo3,
    ),
    # 3. The usage limit.
    Row(
        "a usage limit is reached",
        ON,
        (("bad", "destination", "is reached (total_unique_traces of 5000), so traces"),),
        "bad",
        code="feature-unavailable",
        message="LangSmith accepts these settings, but a usage limit is reached",
        step="raise the usage limit",
        prepare=limit_reached,
    ),
    Row(
        "the usage limit is unknown",
        ON,
        (
            (
                "unknown",
                "destination",
                f"not checked: the usage limit (GET {LIMITS}: 404)",
            ),
        ),
        "unknown",
        prepare=limit_unknown,
    ),
    Row(
        "the usage limit is not told in time",
        ON,
        (("unknown", "destination", "not checked: the usage limit (GET"),),
        "unknown",
        options=("--timeout", "0.4"),
        prepare=limit_silent,
    ),
    # 4. The project's name.
    *(
        Row(
            f"the project {given!r}",
            {**ON, variable: given},
            (("warning", "project", f"{variable} is {given!r}; did you mean 'StyleAI'?"),),
        )
        for variable, given in (
            ("LANGSMITH_PROJECT", '"StyleAI"'),
            ("LANGCHAIN_PROJECT", "StyleAI\r"),
            ("LANGSMITH_PROJECT", " 'StyleAI' "),
        )
    ),
    Row(
        "a project of quotes",
        {**ON, "LANGSMITH_PROJECT": '""'},
        (("warning", "project", "LANGSMITH_PROJECT is '\"\"'"),),
    ),
    Row(
        "a project in order",
        {**ON, "LANGSMITH_PROJECT": 'the "new" one'},
        (("info", "project", 'the "new" one (LANGSMITH_PROJECT)'),),
    ),
    # 5. The switch, and names that nothing reads.
    Row(
        "tracing is off",
        {},
        (("warning", "status", "off (default): set LANGSMITH_TRACING"),),
    ),
    Row(
        "tracing is switched off",
        {"LANGSMITH_TRACING": "false"},
        (("warning", "status", "off (LANGSMITH_TRACING)"),),
    ),
    *(
        Row(
            f"the switch {given!r}",
            {"LANGSMITH_TRACING": given},
            (
                ("warning", "found", f"LANGSMITH_TRACING is {given!r}, so tracing is off"),
                ("info", "status", "off (LANGSMITH_TRACING)"),
            ),
        )
        for given in ("True", "1", "yes", "true ", '"true"')
    ),
    Row(
        "one switch overrides the other",
        {**ON, "LANGCHAIN_TRACING_V2": "false"},
        (
            (
                "warning",
                "found",
                "LANGSMITH_TRACING=true, so tracing is off; remove one of them",
            ),
        ),
    ),
    *(
        Row(
            name,
            {**ON, name: "x"},
            (
                (
                    "warning",
                    "found",
                    f"{name} is set, but nothing reads it. Did you mean {meant}?",
                ),
            ),
            section="settings",
        )
        for name, meant in (
            ("LANGSMITH_TRACING_ENABLED", "LANGSMITH_TRACING"),
            ("LANGSMITH_APIKEY", "LANGSMITH_API_KEY"),
            ("LANGCHAIN-API-KEY", "LANGSMITH_API_KEY"),
            ("LANGSMITH_KEY", "LANGSMITH_API_KEY"),
            ("LANGSMITH_API_URL", "LANGSMITH_ENDPOINT"),
            ("LANGSMITH_PROJECT_NAME", "LANGSMITH_PROJECT"),
            ("LANGSMIHT_TRACING", "LANGSMITH_TRACING"),
            ("LANGSMITH_OTEL", "LANGSMITH_OTEL_ENABLED"),
        )
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_said_of_tracing(
    row: Row,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with SimulatedLangSmith() as there:
        names = world(server, there)
        own = {"LANGSMITH_API_KEY": "{key}"} if row.own else {}
        for name, value in {**own, **row.environ}.items():
            monkeypatch.setenv(name, fill(value, names))
        options = row.options
        if "LANGSMITH_RUNS_ENDPOINTS" in row.environ:
            options += ("--api-url", server.url)
        else:
            monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        if row.package:
            row.package(monkeypatch)
        if row.prepare:
            row.prepare(server, there)
        main(["doctor", "--json", *options])
        server.clear_answers()
        data = json.loads(capsys.readouterr().out)
        jsonschema.validate(data, SCHEMA)
        assert data["code"] == row.code
        assert fill(row.message, names) in data["message"]
        assert fill(row.step, names) in " ".join(data["next_steps"])
        assert not any("LANGSMITH_" in c for c in data["commands"] if row.step)
        lines = {s["name"]: s["lines"] for s in data["sections"]}
        found = [(x["state"], x["name"], x["text"]) for x in lines[row.section]]
        for state, name, text in row.says:
            said = [x for x in found if x[:2] == (state, name)]
            assert any(fill(text, names) in x[2] for x in said), found
        places = [x[0] for x in found if x[1] in ("destination", "OpenTelemetry")]
        assert row.places is None or places == row.places.split()
        keys = [v for n, v in names.items() if v.startswith("lsv2")]
        assert_no_secret(json.dumps(data), [*keys, GONE])
        # The key of a destination is sent only to that destination.
        assert not any(server.saw(names[name]) for name in row.unseen)
        elsewhere = re.sub(r"\W", "", json.dumps(dict(row.environ)))
        assert "there" in elsewhere or not there.exchanges
        assert {e.method for e in (*server.exchanges, *there.exchanges)} <= {"GET"}


def world(server: SimulatedLangSmith, there: SimulatedLangSmith) -> dict[str, str]:
    """Create several kinds of keys on two servers."""
    own, other = server.add_workspace("Research"), there.add_workspace("Elsewhere")
    server.add_workspace("Production")
    there.add_workspace("Nowhere")
    return {
        "url": server.url,
        "there": there.url,
        "own": own.id,
        "own_there": other.id,
        "key": server.add_personal_key(workspaces=[own]).secret,
        "viewer": server.add_personal_key(workspaces=[own], role="Viewer").secret,
        "org": server.add_service_key(workspaces=None).secret,
        "key_there": there.add_personal_key(workspaces=[other]).secret,
        "org_there": there.add_service_key(workspaces=None).secret,
    }


def test_settings_with_which_every_traced_function_fails(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The SDK checks this variable only once a run is traced."""
    names = world(server, server)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGCHAIN_RUNS_ENDPOINTS", json.dumps({server.url: names["key"]}))
    with pytest.raises(langsmith.utils.LangSmithUserError, match="provide both"):
        langsmith.traceable(lambda: 1)()
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("\u2717 LangSmith accepts these settings, but each @traceable")
    assert "LANGSMITH_RUNS_ENDPOINTS.." not in shown
    assert "1 problem, 0 warnings" in shown


NOT_THERE = f"{NOBODY} with personal key lsv2_pt_"


@pytest.mark.parametrize(
    ("own", "places", "problems", "says"),
    [
        ("{key}", [(NOBODY, "{key}")], 1, "\u2717 LangSmith accepts these settings, but "),
        (
            "{key}",
            [(NOBODY, "{key}"), (NOBODY, GONE)],
            2,
            f"\u2717 destination: {NOT_THERE}",
        ),
        ("{key}", [("{url}", GONE), ("{url}", GONE)], 2, "\u2717 destination: {url} with"),
        (
            "{key}",
            [("{url}", GONE), (NOBODY, GONE), ("{there}", GONE)],
            3,
            "\u2717 key-rej",
        ),
        ("{key}", [("{url}", "{key}"), (NOBODY, "{key}")], 1, f"not reach {NOT_THERE}"),
        (GONE, [(NOBODY, "{key}")], 2, f"\u2717 destination: {NOT_THERE}"),
    ],
)
def test_each_destination_that_loses_traces_is_a_problem(
    own: str,
    places: list[tuple[str, str]],
    problems: int,
    says: str,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Even if two of them fail for the same reason, or do not respond."""
    with SimulatedLangSmith() as there:
        names = world(server, there)
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", fill(own, names))
        monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", fill(entries(*places), names))
        assert main(["doctor", "--api-url", server.url]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert fill(says, names) in shown
    assert f"{problems} problem{'s' * (problems > 1)}, 0 warnings" in shown


def test_the_report_uses_the_settings_of_the_client(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read the environment again."""
    names = world(server, server)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGCHAIN_RUNS_ENDPOINTS", json.dumps({server.url: names["key"]}))
    with quiet_sdk():
        client = SafeClient(auto_batch_tracing=False)
    with client.session:
        facts = examined(client)
    monkeypatch.delenv("LANGCHAIN_RUNS_ENDPOINTS")
    assert report(facts).message.startswith(
        f"Traces go only to LANGCHAIN_RUNS_ENDPOINTS: {server.url} with "
    )


@pytest.mark.parametrize("place", ["{key}", "https://{key}", "http://127.0.0.1:9/{key}"])
@pytest.mark.parametrize("options", [(), ("-v",), ("--json",), ("--offline", "-v")])
def test_a_key_in_place_of_a_destination_is_not_shown(
    place: str,
    options: tuple[str, ...],
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """URL and key are swapped, or the key is part of the URL."""
    key = server.add_personal_key().secret
    swapped = json.dumps({place.format(key=key): server.url})
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", swapped)
    assert main(["doctor", *options]) != 0
    shown = capsys.readouterr()
    assert_no_secret(shown.out + shown.err, [key])


# --- settings in the code -------------------------------------------------------------


def test_destinations_in_the_code(server: SimulatedLangSmith) -> None:
    """The first URL in the argument ``api_urls`` is the client's own endpoint."""
    with SimulatedLangSmith() as there:
        names = world(server, there)
        urls = {server.url: names["key"], there.url: names["key"]}
        client = SafeClient(api_urls=urls, auto_batch_tracing=False)
        with client.session:
            found = report(examined(client))
    texts = [x for x in lines_of("tracing", found.facts) if x.name == "destination"]
    assert [x.state for x in texts] == ["good", "warning"]
    assert texts[1].text.startswith(f"{there.url} with personal key lsv2_pt_…")


def test_the_mode_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with_opentelemetry(monkeypatch)
    client = SafeClient(tracing_mode="hybrid", api_key=GONE, auto_batch_tracing=False)
    with client.session:
        tracing = examined(client, offline=True).tracing
    assert tracing.way[:2] == ("hybrid", "")


def test_the_workspace_that_a_destination_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the client's workspace, on the client's host or with the client's key."""
    own = Access("http://127.0.0.1:9", GONE, scenarios.STRANGE)
    rows = (("http://127.0.0.1:9", "a"), ("http://other.example", GONE), ("http://b", "b"))
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", entries(*rows))
    found, note = read_destinations(own)
    foreign = None if at_least("0.14.16") else scenarios.STRANGE
    expected = [scenarios.STRANGE, scenarios.STRANGE, foreign]
    assert [settings.workspace.value for settings in found] == expected
    assert note == ""


def test_a_destination_and_no_endpoint(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The result does not depend on LangSmith's cloud, which is unreachable here."""
    names = world(server, server)
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    rows = entries((server.url, names["key"]))
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", rows)
    assert main(["doctor"]) == 3
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert "internet" not in capsys.readouterr().out


def test_what_is_not_known_of_traces_is_shown_in_short(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is not a warning: for most service keys, no permissions are listed."""
    own = server.add_workspace("Research")
    key = server.add_service_key(workspaces=[own], role="Viewer").secret
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert main(["doctor", "--strict"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "? destination: " in shown
    assert "does not list this key's permissions; traces need runs:create" in shown


# --- names that nothing reads ---------------------------------------------------------


def test_no_name_that_langsmith_reads_is_a_near_miss() -> None:
    """Check every name in the source of the installed langsmith, including comments."""
    folder = Path(langsmith.__file__).parent
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"\bLANG(?:SMITH|CHAIN)_[A-Z0-9_]*[A-Z0-9]\b", text))
        asked = re.findall(r"get_env_var\(\s*\"([A-Z0-9_]+)\"", text)
        names |= {f"{space}_{n}" for n in asked for space in ("LANGSMITH", "LANGCHAIN")}
    assert len(names) > 50
    # Constants in the code, not variables.
    constants = {"LANGSMITH_NAME", "LANGSMITH_SESSION_NAME"}
    assert {name: near for name in names - constants if (near := near_miss(name))} == {}


@pytest.mark.parametrize(
    "name",
    [
        *("LANGSMITH_TENANT_ID", "LANGCHAIN_TRACING", "LANGSMITH_HOST_PROJECT_NAME"),
        *("LANGFUSE_TRACING_ENABLED", "LANGFUSE_HOST", "LANGGRAPH_API_KEY", "LANG", "PATH"),
        *("LANGCHAIN_BASE_URL", "LANGSMITH_LANGGRAPH_API_VARIANT", "LANGCHAIN_VERBOSE"),
    ],
)
def test_names_that_others_read(name: str) -> None:
    assert near_miss(name) is None


def test_a_name_that_is_a_finding_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGSMITH_WORKSPACE", scenarios.STRANGE)
    main(["doctor", "--json", "--offline"])
    lines = json.loads(capsys.readouterr().out)["sections"][1]["lines"]
    says = "LANGSMITH_WORKSPACE is set, but nothing reads it. Did you mean "
    (line,) = [x for x in lines if x["text"] == f"{says}LANGSMITH_WORKSPACE_ID?"]
    assert line["state"] == "warning"


def test_a_line_of_the_dotenv_that_nobody_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".env").write_text("A=1\nLANGSMITH_TRACING_ENABLED=true\nLANGSMITH_TRACE=\n")
    main(["doctor", "--json", "--offline"])
    data = json.loads(capsys.readouterr().out)
    lines = next(s["lines"] for s in data["sections"] if s["name"] == "settings")
    (line,) = [x for x in lines if "nothing reads it" in x["text"]]
    assert (line["state"], line["name"]) == ("warning", "found")
    assert line["text"].endswith(
        ".env, line 2 sets LANGSMITH_TRACING_ENABLED, but nothing reads it. "
        "Did you mean LANGSMITH_TRACING?"
    )
