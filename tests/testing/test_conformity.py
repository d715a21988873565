"""Tests that simulated routes follow LangSmith's OpenAPI document (`make_tables.py`)."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import langsmith
import pytest
import requests
from make_tables import Answers, needs_of, permission_of
from make_tables import routes as table_of
from pages import DOCS
from releases import WATCHES_V2

from safe_langsmith._knowledge.operations import is_documented, permission_for
from safe_langsmith.testing import SimulatedLangSmith
from safe_langsmith.testing._catalogue import key_of, routes
from safe_langsmith.testing._routes import ENDPOINTS
from safe_langsmith.testing._world import ROLES

TABLES = json.loads(Path(__file__).with_name("answers.json").read_text(encoding="utf-8"))
ROUTES = {(route.method, key_of(route.path)): route for route in routes()}
SIMULATED = sorted(ENDPOINTS.keys() & ROUTES.keys())
NOT_SIMULATED = [route for key, route in ROUTES.items() if key not in ENDPOINTS]
# Hundreds of routes take seconds, so the tests are split into this many parts.
PARTS = 8
# Known behavior that differs from the document: see the endpoints' modules.
KNOWN_BETTER = {
    ("GET", "/workspaces"): "key",
    ("GET", "/orgs/current/personal-access-tokens"): "personal",
    ("GET", "/commits/{}/{}"): "prompt",
    ("GET", "/commits/{}/{}/{}"): "prompt",
    ("POST", "/commits/{}/{}"): "prompt",
    ("POST", "/repos"): "prompt",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "null": type(None),
    "any": object,
}


class Step(NamedTuple):
    """One request in the life of a workspace; ``keep`` names the id in its response."""

    method: str
    path: str
    body: Any = None
    keep: str = ""


def part(name: str, content: Any) -> tuple[str, tuple[None, str, str]]:
    return name, (None, json.dumps(content), "application/json")


def parts(*named: tuple[str, Any]) -> dict[str, Any]:
    return {"files": [part(name, content) for name, content in named]}


RUN = {
    "id": "{run}",
    "trace_id": "{run}",
    "dotted_order": "20260101T000000000000Z{run}",
    "name": "run",
    "run_type": "chain",
    "session_name": "traced",
}
CSV = {
    "files": {"file": ("rows.csv", "q,a\none,1\n", "text/csv")},
    "data": {"name": "rows", "input_keys": "q", "output_keys": "a"},
}
LIFE = (
    Step("GET", "/info"),
    Step("GET", "/ok"),
    Step("GET", "/auth/public"),
    Step("GET", "/settings"),
    Step("GET", "/workspaces"),
    Step("GET", "/workspaces/current/usage_limits"),
    Step("GET", "/orgs/current"),
    Step("GET", "/orgs/current/info"),
    Step("GET", "/orgs/current/personal-access-tokens"),
    Step("GET", "/orgs"),
    Step("POST", "/orgs", {"display_name": "Another"}),
    Step("POST", "/sessions", {"name": "mine"}, "project"),
    Step("GET", "/sessions"),
    Step("GET", "/sessions/{project}"),
    Step("PATCH", "/sessions/{project}", {"description": "d"}),
    Step("POST", "/runs", RUN),
    Step("PATCH", "/runs/{run}", {"outputs": {"a": 1}}),
    Step("POST", "/runs/batch", {"post": [{**RUN, "id": "{other}"}]}),
    Step("POST", "/runs/multipart", parts(("post.{third}", {**RUN, "id": "{third}"}))),
    Step("GET", "/runs/{run}"),
    Step("POST", "/runs/query", {"id": ["{run}"]}),
    Step("GET", "/v2/runs/{run}?selects=NAME&selects=STATUS"),
    Step("POST", "/v2/runs/query", {"ids": ["{run}"], "selects": ["ID", "NAME"]}),
    Step("POST", "/feedback", {"run_id": "{run}", "key": "right", "score": 1}, "feedback"),
    Step("GET", "/feedback"),
    Step("GET", "/feedback/{feedback}"),
    Step("PATCH", "/feedback/{feedback}", {"comment": "c"}),
    Step("DELETE", "/feedback/{feedback}"),
    Step("POST", "/datasets", {"name": "questions"}, "dataset"),
    Step("POST", "/datasets/upload", CSV),
    Step("GET", "/datasets"),
    Step("GET", "/datasets/{dataset}"),
    Step("POST", "/examples", {"dataset_id": "{dataset}", "inputs": {"n": 1}}, "example"),
    Step("POST", "/examples/bulk", [{"dataset_id": "{dataset}", "inputs": {"n": 2}}]),
    Step("POST", "/platform/datasets/{dataset}/examples", parts(("{more}", {}))),
    Step("PATCH", "/platform/datasets/{dataset}/examples", parts(("{more}", {"x": 1}))),
    Step("GET", "/examples"),
    Step("GET", "/examples/{example}"),
    Step("DELETE", "/examples/{example}"),
    Step("DELETE", "/examples?example_ids={more}"),
    Step("POST", "/platform/datasets/examples/delete", {"example_ids": []}),
    Step("POST", "/repos", {"repo_handle": "greeting"}),
    Step("POST", "/commits/-/greeting", {"manifest": {"lc": 1}}),
    Step("GET", "/commits/-/greeting"),
    Step("GET", "/commits/-/greeting/latest"),
    Step("GET", "/repos"),
    Step("GET", "/repos/-/greeting"),
    Step("DELETE", "/repos/-/greeting"),
    Step("DELETE", "/datasets/{dataset}"),
    Step("DELETE", "/sessions/{project}"),
    # Invalid requests.
    Step("GET", "/sessions?limit=x"),
    Step("POST", "/feedback", ["no object"]),
    Step("POST", "/v2/runs/query", {"cursor": "nonsense"}),
    Step("GET", "/v2/runs/{other}x"),
    Step("GET", "/commits/-/none/latest"),
    Step("PATCH", "/runs/{run}", ["no object"]),
)


class World:
    """A server with a workspace, and its senders: no key, an unknown key, the owner."""

    def __init__(self, server: SimulatedLangSmith) -> None:
        self.server = server
        self.session = requests.Session()
        own = server.add_workspace("Research")
        self.owner = server.add_personal_key(workspaces=[own]).secret
        self.viewer = server.add_personal_key(workspaces=[own], role="Viewer").secret
        token = server.add_oauth_token(workspaces=[own]).secret
        stranger = {"x-api-key": "lsv2_pt_unknown"}
        bearer = {"Authorization": f"Bearer {token}"}
        self.senders: tuple[dict[str, str], ...] = ({}, stranger, bearer)

    def ask(self, method: str, path: str, headers: dict[str, str]) -> requests.Response:
        return self.session.request(
            method, self.server.url + path, headers=headers, timeout=10
        )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with SimulatedLangSmith() as server:
        found = World(server)
        yield found
        found.session.close()


class Answer(NamedTuple):
    """The response to a step: the route's method and path, status, and JSON."""

    method: str
    path: str
    status: int
    value: Any


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """All responses for an owner, a viewer, a stranger, and a sender without a key."""
    found: list[Answer] = []
    with SimulatedLangSmith() as server:
        own = server.add_workspace("Research", runs=1)
        owner = server.add_oauth_token(workspaces=[own]).secret
        viewer = server.add_personal_key(workspaces=[own], role="Viewer").secret
        for headers in (
            {"Authorization": f"Bearer {owner}"},
            {"x-api-key": viewer},
            {"x-api-key": "lsv2_pt_unknown"},
            {},
        ):
            names = {name: str(uuid.uuid4()) for name in ("run", "other", "third", "more")}
            with requests.Session() as session:
                session.headers.update(headers)
                found += [take(step, session, server, names) for step in LIFE]
    return found


def take(
    step: Step, session: requests.Session, server: SimulatedLangSmith, names: dict[str, str]
) -> Answer:
    """Take a step, and return the route and the response."""

    def fill(value: Any) -> Any:
        if isinstance(value, (dict, list, tuple)):
            text = repr(value)
            for name, given in names.items():
                text = text.replace(f"{{{name}}}", given)
            return eval(text)
        return value.format_map(Names(names))

    body = {} if step.body is None else fill(step.body)
    more = body if isinstance(body, dict) and "files" in body else {"json": body}
    url = f"{server.url}/api/v1{fill(step.path)}"
    answer = session.request(step.method, url, timeout=10, **more)
    if step.keep and answer.ok:
        names[step.keep] = answer.json()["id"]
    key = next(k for k in SIMULATED if fits(k, step.method, server.exchanges[-1].path))
    return Answer(*key, answer.status_code, answer.json())


class Names(dict[str, str]):
    """The ids by name; a refused request created nothing, so its name gets a new id."""

    def __missing__(self, name: str) -> str:
        return str(uuid.uuid4())


def fits(key: tuple[str, str], method: str, path: str) -> bool:
    """Whether a path matches a route, without the precedence of literal routes."""
    pairs = list(zip(key[1].split("/"), path.split("/"), strict=False))
    same = key[1].count("/") == path.count("/") and key[0] == method
    return same and all(a in (b, "{}") for a, b in pairs)


def misses(shape: Any, value: Any, where: str = "") -> Iterator[str]:
    """Yield the differences between a value and a shape."""
    named = TABLES["schemas"].get(shape) if isinstance(shape, str) else None
    if named is not None and isinstance(value, dict):
        yield from (f"{where}.{name} is missing" for name in named.keys() - value.keys())
        for name in named.keys() & value.keys():
            yield from misses(named[name], value[name], f"{where}.{name}")
    elif isinstance(shape, dict) and "each" in shape and isinstance(value, list):
        for number, one in enumerate(value):
            yield from misses(shape["each"], one, f"{where}[{number}]")
    elif named is not None or not is_a(shape, value):
        yield f"{where}: {value!r} is not {shape}"


def is_a(shape: Any, value: Any) -> bool:
    """Whether a value has a plain type, one of several shapes, or one of the values."""
    if isinstance(shape, list):
        return any(not list(misses(one, value)) for one in shape)
    if isinstance(shape, dict):
        return value in shape.get("one of", ())
    if shape in FORMATS and isinstance(value, str):
        return FORMATS[shape](value)
    if isinstance(value, bool):
        return shape in ("boolean", "any")
    return isinstance(value, TYPES.get(shape, ()))


def is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


def is_time(text: str) -> bool:
    return re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text) is not None


FORMATS = {"uuid": is_uuid, "time": is_time}


@pytest.mark.parametrize(
    ("shape", "value", "said"),
    [
        ("Dataset", [], ": [] is not Dataset"),
        ("FeedbackSchema", {"key": "k"}, ".id is missing"),
        ("FeedbackSchema", {"key": "k", "id": "1"}, ".id: '1' is not uuid"),
        ("TenantForUser", {"is_deleted": 0}, ".is_deleted: 0 is not boolean"),
        ("integer", True, ": True is not integer"),
        ({"each": "time"}, ["now"], "[0]: 'now' is not time"),
        ({"each": "string"}, "text", ": 'text' is not {'each': 'string'}"),
        ({"one of": ["a"]}, "b", ": 'b' is not {'one of': ['a']}"),
        (["string", "null"], 1, ": 1 is not ['string', 'null']"),
    ],
)
def test_a_difference_is_detected(shape: Any, value: Any, said: str) -> None:
    assert said in list(misses(shape, value))


@pytest.mark.parametrize("key", SIMULATED, ids=" ".join)
def test_responses_have_what_the_document_requires(
    key: tuple[str, str], answers: list[Answer]
) -> None:
    mine = [answer for answer in answers if answer[:2] == key]
    good = {answer.status for answer in mine if answer.status < 300}
    assert good
    for answer in mine:
        shape = TABLES["answers"].get(" ".join([*key, str(answer.status)]))
        if shape is None:  # the document often omits error responses
            assert answer.status >= 400
        elif answer.value != {"detail": "No prompt owner specified"}:
            assert list(misses(shape, answer.value)) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_each_route_decides_access_before_anything_else(part: int, world: World) -> None:
    """Without a key: 401. With an unknown key: 403. Only the owner gets the response."""
    for route in routes()[part::PARTS]:
        key = (route.method, key_of(route.path))
        asked = [world.ask(route.method, some(route.path), h) for h in world.senders]
        nobody, stranger, owner = (answer.status_code for answer in asked)
        if KNOWN_BETTER.get(key, route.needs) in ("nothing", "prompt"):
            assert nobody == stranger, route
            assert nobody not in (401, 403), route
        else:
            assert (nobody, stranger) == (401, 403), route
        assert owner not in (401, 403, 405), route
        assert (owner == 501) == (key not in ENDPOINTS), route
        assert owner != 501 or f"{route.method} {route.path}" in asked[-1].text


@pytest.mark.parametrize("part", range(PARTS))
def test_a_request_without_the_permission_is_refused(part: int, world: World) -> None:
    for route in NOT_SIMULATED[part::PARTS]:
        answer = world.ask(route.method, some(route.path), {"x-api-key": world.viewer})
        may_not = route.permission not in {None, *ROLES["Viewer"]}
        status = 403 if may_not or route.needs == "login" else 501
        assert answer.status_code == status, route


def some(path: str) -> str:
    """Return a route's path, with a new id for its parameters."""
    return re.sub(r"{\w+}", str(uuid.uuid4()), path)


def test_simulated_routes_need_what_the_document_says() -> None:
    for key, endpoint in [(k, e) for k, e in ENDPOINTS.items() if k in ROUTES]:
        route = ROUTES[key]
        assert endpoint.needs == KNOWN_BETTER.get(key, route.needs), key
        assert endpoint.permission == route.permission, key


def test_a_missing_permission_is_never_a_wrong_one() -> None:
    """The client names the same permission as this table, or none."""
    for (method, _), route in ROUTES.items():
        if route.needs == "workspace":
            named = permission_for(method, re.sub(r"\{\w+\}", "x", route.path))
            assert named in (None, route.permission), route
            assert route.permission is None or is_documented(route.permission)


def test_the_simulated_roles_include_each_permission() -> None:
    """A permission that is not in this list would be missing for every key."""
    assert {route.permission for route in routes()} <= {None, *ROLES["Admin"]}


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/runs/rules", 501, "GET /api/v1/runs/rules"),
        ("GET", "/api/v1/fleet/agents", 501, "GET /v1/fleet/agents"),
        ("GET", "/v1/fleet/agents/", 501, "GET /v1/fleet/agents"),
        ("GET", "/api/v1/examples/count", 501, "GET /api/v1/examples/count"),
        ("GET", "/datasets/comparative", 404, "Dataset not found"),
        ("GET", "/v2/sandboxes/boxes", 501, '{"detail":{"error":"Not Implemented",'),
        ("POST", "/v2/threads/query", 501, '"title":"Not Implemented","status":501'),
        ("PUT", "/api/v1/sessions", 405, "Method Not Allowed"),
        ("GET", "/api/v1/nonsense", 404, "Not Found"),
        ("GET", "/api/v1/sessions/a/b/c", 404, "Not Found"),
        ("GET", "/api/v1/sessions//views", 404, "Not Found"),
    ],
)
def test_the_response_to_a_path(
    world: World, method: str, path: str, status: int, said: str
) -> None:
    """A literal route takes precedence; a path that LangSmith lacks is a 404."""
    answer = world.ask(method, path, world.senders[-1])

    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.skipif(
    not WATCHES_V2, reason="older releases create these clients differently"
)
def test_a_route_that_is_not_simulated_is_tried_once(world: World) -> None:
    """The SDK's generated clients would retry it, like any other 5xx."""
    client = langsmith.Client(api_url=world.server.url, api_key=world.owner)
    began = len(world.server.exchanges)
    with pytest.raises(Exception, match="not simulated: GET /v1/platform/evaluators"):
        asyncio.run(first(client))

    asked = [e.path for e in world.server.exchanges[began:] if e.path != "/info"]
    assert asked == ["/v1/platform/evaluators"]


async def first(client: langsmith.Client) -> None:
    generated: Any = client._get_langsmith_api()
    try:
        await generated.get("/v1/platform/evaluators", cast_to=object)
    finally:
        await generated.close()


def test_the_page_says_how_many_routes_there_are() -> None:
    page = (DOCS / "testing.md").read_text(encoding="utf-8")
    assert f"all {len(routes())} routes" in " ".join(page.split())
    assert f"\n- {len(ENDPOINTS)} routes are simulated" in page
    named = re.findall(r"is not simulated: (\w+) ([^`]+)`", page)
    assert named
    assert {(method, key_of(path)) for method, path in named} <= {
        (route.method, key_of(route.path)) for route in NOT_SIMULATED
    }


def test_the_table_has_the_permissions_that_its_script_gives() -> None:
    for route in routes():
        given = permission_of(route.method, route.path)
        assert route.permission == (given if route.needs == "workspace" else None), route


NAMED = {"$ref": "#/components/schemas/Thing"}
SCHEMAS = {
    "Thing": {
        "properties": {"id": {"type": "string", "format": "uuid"}, "again": NAMED, "b": {}},
        "required": ["id", "again"],
    },
    "Kind": {"type": "string", "enum": ["a", "b"]},
}


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        (NAMED, "Thing"),
        ({"$ref": "#/components/schemas/Kind"}, {"one of": ["a", "b"]}),
        ({"type": "array", "items": NAMED}, {"each": "Thing"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["integer", "null"]),
        ({"type": "string", "format": "date-time"}, "time"),
        ({}, "any"),
    ],
)
def test_the_tables_of_a_small_document(schema: Any, shape: Any) -> None:
    answer = {"200": {"content": {"application/json": {"schema": schema}}}}
    security: list[Any] = [{"API Key": []}, {"Tenant ID": []}]
    operation = {"responses": answer, "security": security}
    paths = {"/api/v1/datasets": {"get": operation}, "/api/v1/new": {"get": operation}}
    document = {"paths": paths, "components": {"schemas": SCHEMAS}}
    found = Answers(document)

    assert found.answers == {"GET /datasets 200": shape}
    if "Thing" in str(shape):
        assert found.schemas == {"Thing": {"id": "uuid", "again": "Thing"}}
    lines = [line for line in table_of(document).splitlines() if line[0] != "#"]
    assert lines == [
        "/api/v1/datasets workspace GET=datasets:read",
        "/api/v1/new workspace GET",
    ]


@pytest.mark.parametrize(
    ("path", "named", "needs"),
    [
        ("/a", [{"API Key": [], "Tenant ID": []}], "workspace"),
        ("/a", [{"API Key": []}, {"Organization ID": []}], "organization"),
        ("/a", [{"Bearer Auth": []}], "login"),
        ("/a", [], "nothing"),
        ("/oauth/token", [{"API Key": []}, {"Tenant ID": []}], "nothing"),
    ],
)
def test_the_access_that_a_route_needs(path: str, named: Any, needs: str) -> None:
    assert needs_of(path, named) == needs
