"""Tests for each kind of step in a fix, for each source of a setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safe_langsmith._decision import steps
from safe_langsmith._decision.answers import Listed
from safe_langsmith._decision.case import Case, Repair
from safe_langsmith._decision.checks.settings import unused
from safe_langsmith._decision.protocol import Refusal, Reply
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._settings.construction import Name
from safe_langsmith._settings.sources import (
    HEADERS,
    UNNAMED,
    Setting,
    Settings,
    Setup,
    Source,
)
from safe_langsmith._settings.unread import Mention

RUNS = "LANGSMITH_RUNS_ENDPOINTS"
IN_ROWS = f"set workspace_id in {RUNS} (langsmith 0.14.17 or newer)"
ID = "00000000-0000-0000-0000-000000000001"
API = "https://eu.api.smith.langchain.com"


def case_of(**more: Any) -> Case:
    """Return a case with these sources; all other arguments are fields of `Setup`."""
    sources = {name: more.pop(name, Source("none")) for name in ("key", "endpoint")}
    values = {"key": "a key", "endpoint": REGIONS[0].api}
    held = Settings(
        **{name: Setting(values[name], source) for name, source in sources.items()},
        workspace=Setting(None, more.pop("workspace", Source("none"))),
    )
    setup = Setup(held, **more)
    return Case(Refusal("GET", "/sessions", Reply(403), setup.access), setup, "")


ENDPOINT = "LANGSMITH_ENDPOINT"
TO: Any = {"destinations": (("", RUNS),)}
PUT: list[tuple[Name, str, dict[str, Any], str]] = [
    ("ENDPOINT", API, {}, f"set {ENDPOINT}={API}"),
    ("ENDPOINT", API, {"endpoint": Source("default", "default")}, f"set {ENDPOINT}={API}"),
    ("ENDPOINT", API, {"endpoint": Source("cache", ENDPOINT)}, f"set {ENDPOINT}={API}"),
    ("ENDPOINT", API, TO, f'pass api_url="{API}"'),
    ("ENDPOINT", API, {"endpoint": Source("argument", "api_url")}, f'pass api_url="{API}"'),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("argument", "api_urls")},
        f"use {API} in the api_urls argument",
    ),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("assigned", "api_url")},
        f'set client.api_url = "{API}"',
    ),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("dotenv", "LANGCHAIN_ENDPOINT", ".env, line 3")},
        f"set LANGCHAIN_ENDPOINT={API} in .env, line 3",
    ),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("colab", ENDPOINT)},
        f"set the Colab secret {ENDPOINT} to {API}",
    ),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("request", UNNAMED[0])},
        f"use {API} for this destination",
    ),
    (
        "ENDPOINT",
        API,
        {"endpoint": Source("request", RUNS), **TO},
        f"use {API} for this destination, in {RUNS}",
    ),
    (
        "WORKSPACE_ID",
        ID,
        {"key": Source("request", RUNS), **TO},
        f'{IN_ROWS}: [{{"api_url": ..., "api_key": ..., "workspace_id": "{ID}"}}]',
    ),
    (
        "WORKSPACE_ID",
        ID,
        {"key": Source("request", "the api_urls argument")},
        "use a key for a single workspace in the api_urls argument, which cannot name one",
    ),
    (
        "WORKSPACE_ID",
        ID,
        {"key": Source("request")},
        f'set tenant_id for this destination: auth={{"api_key": ..., "tenant_id": "{ID}"}}',
    ),
    (
        "WORKSPACE_ID",
        ID,
        {"key": Source("request", HEADERS)},
        f"set LANGSMITH_WORKSPACE_ID={ID}",
    ),
    (
        "WORKSPACE_ID",
        ID,
        {"workspace": Source("request", HEADERS)},
        f"set the headers argument to {ID}",
    ),
]


@pytest.mark.parametrize(("name", "value", "setup", "step"), PUT)
def test_a_value_is_put_where_it_is_used(
    name: Name, value: str, setup: dict[str, Any], step: str
) -> None:
    assert steps.put(case_of(**setup), name, value) == step


API_URLS = (
    "use a key for a single workspace in the api_urls argument, which cannot name one"
)
ROW = f'{IN_ROWS}: [{{"api_url": ..., "api_key": ..., "workspace_id": "..."}}]'
ONE, TWO = (Listed(ID),), (Listed(ID, "Research"), Listed(ID[::-1], "Production"))


@pytest.mark.parametrize(
    ("sources", "known", "step"),
    [
        ({}, TWO, "choose one and set LANGSMITH_WORKSPACE_ID"),
        ({}, ONE, f"set LANGSMITH_WORKSPACE_ID to one that this key can use, such as {ID}"),
        ({}, (), "set LANGSMITH_WORKSPACE_ID; the id of a workspace is in the web app"),
        ({"key": Source("request", RUNS), **TO}, TWO, f"choose one and {ROW}"),
        ({"key": Source("request", RUNS), **TO}, ONE, f"{ROW}; this key can use {ID}"),
        ({"key": Source("request", RUNS), **TO}, (), f"{ROW}; the id of a workspace is in"),
        ({"key": Source("request", "the api_urls argument")}, TWO, API_URLS),
        ({"key": Source("request", "the api_urls argument")}, ONE, API_URLS),
        ({"key": Source("request", "the api_urls argument")}, (), API_URLS),
    ],
)
def test_a_workspace_to_choose(
    sources: dict[str, Any], known: tuple[Listed, ...], step: str
) -> None:
    case = case_of(**sources)
    case.workspaces = known
    assert steps.choose_workspace(case).startswith(step)


@pytest.mark.parametrize(
    ("setup", "step"),
    [
        ({}, "set LANGSMITH_API_KEY, or pass api_key=; create a key at https://smith"),
        ({"key": Source("request", RUNS)}, f"put a key into {RUNS}; create a key at "),
        (
            {"key": Source("environment", "LANGCHAIN_API_KEY")},
            "set LANGCHAIN_API_KEY; create",
        ),
    ],
)
def test_a_missing_key(setup: dict[str, Any], step: str) -> None:
    assert steps.give_key(case_of(**setup)).startswith(step)


MENTIONS = [
    (
        Mention("ENDPOINT", RUNS, RUNS),
        [f"if the key is for a destination in {RUNS}, pass its URL as api_url="],
    ),
    (Mention("API_KEY", "A", "A"), []),
    (
        Mention("ENDPOINT", ".env, line 1", "LANGSMITH_URL"),
        [
            "if LANGSMITH_URL in .env, line 1 contains the endpoint to use, rename it to "
            "LANGSMITH_ENDPOINT"
        ],
    ),
    (
        Mention("ENDPOINT", ".env, line 1", broken=True),
        ["correct .env, line 1: it sets nothing; write LANGSMITH_ENDPOINT=<value>"],
    ),
    (
        Mention("ENDPOINT", "other.json"),
        ["correct other.json: no setting could be read from there"],
    ),
    (
        Mention("ENDPOINT", ".env, line 1"),
        ["if .env, line 1 is right, load that file: load_dotenv(find_dotenv(usecwd=True))"],
    ),
]


@pytest.mark.parametrize(("mention", "found"), MENTIONS)
def test_a_setting_that_is_not_read(mention: Mention, found: list[str]) -> None:
    """Even if it is mentioned twice, there is at most one step."""
    case = case_of(mentions=(mention, mention))
    assert steps.mentioned(case, "ENDPOINT") == found


def test_the_step_for_lines_that_load_dotenv_finds() -> None:
    line = Setting(API, Source("dotenv", ENDPOINT, ".env, line 1"))
    mentions = (Mention("ENDPOINT", ".env, line 1"),)
    case = case_of(mentions=mentions, in_file=Settings(endpoint=line))
    assert steps.mentioned(case, "ENDPOINT") == []
    found = {"ENDPOINT": line.source, "API_KEY": Source("dotenv", "A", ".env, line 2")}
    assert steps.load(case, found) == [  # type: ignore[arg-type]
        "if .env, line 1 and line 2 are right, call load_dotenv() before the client is "
        "created"
    ]


def test_the_steps_of_an_earlier_repair_that_was_undone_are_left_out() -> None:
    case = case_of()
    for key in ("second", "third"):
        first = replace(case.held, key=Setting("second"))
        case.earlier = ((case.held, Repair(first, how="used it", permanent=("set it",))),)
        last = replace(case.held, key=Setting(key), workspace=Setting(ID))
        both = case.with_earlier(Repair(last, how="chose it", permanent=("choose it",)))
        is_in_effect = key == "second"
        assert both.how == ("used it; chose it" if is_in_effect else "chose it")
        assert both.permanent == (("set it",) if is_in_effect else ()) + ("choose it",)


@pytest.mark.parametrize("url", [REGIONS[0].api, "https://langsmith.own.example/api/v1"])
def test_an_endpoint_that_the_client_uses_is_not_advised(url: str) -> None:
    """Not even if the profile's key comes from a variable, which no repair reads."""
    source = Source("profile", "profile 'default'", "config.json")
    there = Settings(Setting("key", source, implied=True), Setting(url, source))
    is_used = url == REGIONS[0].api
    assert len(unused(case_of(profile=there))) == (0 if is_used else 1)
