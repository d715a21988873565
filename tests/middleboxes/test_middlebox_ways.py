"""Middleboxes that do not fit the table: redirects, tunnels, interception."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import boxes
import pytest
import tls
import tracing
from boxes import haproxy, nginx, squid
from conftest import PORTS
from langsmith.utils import LangSmithError
from middlebox_calls import ASYNC, CALLS, MORE_CALLS, SYNC, Call, outcome_of
from middlebox_table import (
    COUNTED,
    OPEN_INFO,
    OWN,
    REFUSE_ONCE,
    REFUSED_TUNNELS,
    REQUEST_FILTERS,
    STRIPPED_KEYS,
    Case,
    staged,
)

from safe_langsmith import (
    BlockedByProxyError,
    KeyRejectedError,
    PermissionMissingError,
    WrongEndpointError,
)
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(boxes.missing()), reason=boxes.missing()),
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:list_runs"),
]
calls = pytest.mark.parametrize("call", CALLS, ids=str)
LIST, _, TRACE, LIST_ASYNC, _ = CALLS
QUERIES = tuple(call for call in MORE_CALLS if "/v2/" in call.request)


@pytest.fixture(autouse=True, scope="module")
def reaped_at_the_end() -> Iterator[None]:
    yield
    boxes.reaped()


# --- the errors -------------------------------------------------------------------------


CAUGHT = (REQUEST_FILTERS[0], REQUEST_FILTERS[2], STRIPPED_KEYS[0], *REFUSED_TUNNELS)


@pytest.mark.parametrize("case", CAUGHT, ids=lambda case: case.name)
@pytest.mark.parametrize("call", [LIST, TRACE, LIST_ASYNC, *QUERIES], ids=str)
def test_existing_handlers_catch_the_error(case: Case, call: Call) -> None:
    with staged(case.box, case.place, login=case.login) as stage:
        plain = outcome_of(call, stage.world, plain=True)
        safe = outcome_of(call, stage.world, budget_s=case.budget_s)
    assert plain.error is not None
    assert isinstance(safe.error, type(plain.error))
    assert isinstance(safe.error, LangSmithError)


def test_retry_if_the_credentials_worked_before() -> None:
    """One odd response proves nothing. The key works before and after it."""
    second = f"http-response return status 403 if {OPEN_INFO} {{ sc0_inc_gpc0 eq 2 }}"

    def list_twice(client: Any, world: Any) -> Any:
        return [list(client.list_projects()) for _ in range(2)]

    call = Call(SYNC, "read", "GET /sessions", list_twice)
    with staged(haproxy(*COUNTED, second), "own") as stage:
        found = outcome_of(call, stage.world)
    assert found.error is None
    assert [len(projects) for projects in found.result] == [1, 1]
    assert stage.box.count("GET /sessions") == 3


# --- headers ----------------------------------------------------------------------------


@calls
def test_stripped_workspace_header(call: Call) -> None:
    with staged(nginx('proxy_set_header X-Tenant-Id "";'), "own") as stage:
        own = next(iter(stage.server._world.workspaces))
        key = stage.server.add_service_key(workspaces=None).secret
        found = outcome_of(call, stage.world, api_key=key, workspace_id=own)
    assert isinstance(found.error, LangSmithError)
    assert re.search("requires (workspace specification|a workspace ID)", found.told)
    assert re.search(r"(?i)X-Tenant-Id\b.* was sent|sent .*X-Tenant-Id", found.told)
    if call.kind == "write":
        assert call.times(stage.server) == 0
        assert stage.box.count(call.request) == 1


# --- redirects --------------------------------------------------------------------------


@calls
def test_login_page_on_another_host(call: Call) -> None:
    """The safe client sends that host no request that the plain client would not send.

    The plain sync client follows the redirect and sends the key there.
    """
    elsewhere = "login.own.example"
    away = nginx(f"return 302 http://{elsewhere}/signin;")
    with SimulatedLangSmith("web") as login, staged(away, "own") as stage:
        PORTS[elsewhere] = login.port
        outcome_of(call, stage.world, plain=True)
        before = [(e.method, e.path, e.key) for e in login.exchanges]
        login.clear()
        found = outcome_of(call, stage.world)
    assert isinstance(found.error, WrongEndpointError), repr(found.error)
    assert stage.url in found.told
    assert elsewhere in found.told
    assert [(e.method, e.path, e.key) for e in login.exchanges] == before
    assert not stage.server.exchanges


def to_https(status: int) -> boxes.Config:
    """Redirect plain HTTP to the same port, which speaks TLS."""
    return nginx(server=f"error_page 497 ={status} https://$host$request_uri;", tls=True)


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize("call", [*CALLS, *MORE_CALLS], ids=str)
def test_redirect_to_https(
    call: Call, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the async client's own calls follow it. A 301 turns a POST into a GET.

    If LangSmith itself responds to that GET, the outcome can be the plain client's.
    """
    follows = call.client == SYNC or "/v2/" in call.request
    with staged(to_https(status), "own") as stage:
        PORTS[OWN] = stage.box.port
        monkeypatch.setenv("LANGSMITH_ENDPOINT", f"http://{OWN}")
        plain = outcome_of(call, stage.world, plain=True)
        stage.server.clear()
        found = outcome_of(call, stage.world)
    if follows and (status == 308 or call.request.startswith("GET")):
        assert plain.error is None
        assert found.error is None
        assert call.times(stage.server) == 1
        return
    assert call.times(stage.server) == 0
    asked_405 = "examples" in call.request
    if follows and not asked_405 and not isinstance(found.error, WrongEndpointError):
        assert comparable(found.error) == comparable(plain.error)
        return
    assert isinstance(found.error, WrongEndpointError), repr(found.error)
    assert re.search(f"http://{OWN}(?!:)", found.told)
    assert f"https://{OWN}" in found.told


# --- tunnels ----------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True], ids=["safe", "plain"])
@calls
def test_tunnel_refused_once(call: Call, *, plain: bool) -> None:
    """The SDK retries the connection, even for a write."""
    once = squid(
        "external_acl_type once ttl=0 negative_ttl=0 cache=0 children-max=1 "
        "%>rm /bin/sh $FOLDER/helper",
        "acl later external once",
        "acl tunnel method CONNECT",
        "http_access deny tunnel !later",
        helper=REFUSE_ONCE,
    )
    more: dict[str, Any] = (
        {"retry_config": {"max_retries": 2}} if call.client == ASYNC else {}
    )
    with staged(once, "https by proxy") as stage:
        found = outcome_of(call, stage.world, plain=plain, **more)
    assert found.error is None
    assert call.times(stage.server) == 1
    assert stage.box.count("CONNECT *") >= 2


# --- interception -----------------------------------------------------------------------


def comparable(error: Exception) -> tuple[type[Exception], str]:
    """An error without ids and numbers, which differ between runs."""
    return type(error), re.sub(
        r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+", "0", str(error)
    )


@calls
def test_untrusted_interceptor_sees_no_key(call: Call) -> None:
    with staged(squid(intercepts=True), "official by proxy", wrong="authority") as stage:
        plain = outcome_of(call, stage.world, plain=True)
        safe = outcome_of(call, stage.world)
    assert comparable(safe.error) == comparable(plain.error)
    assert not stage.server.exchanges
    assert {(seen.method, seen.key) for seen in stage.box.seen} == {("CONNECT", "-")}


def trust_only_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the interceptor only by the variable that the client's HTTP library reads."""
    unread = "SSL_CERT_FILE" if call.client == SYNC else "REQUESTS_CA_BUNDLE"
    monkeypatch.setenv(unread, tls.unused_authority_file())


@calls
def test_trusted_interceptor(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(squid(intercepts=True), "official by proxy") as stage:
        trust_only_for(call, monkeypatch)
        found = outcome_of(call, stage.world)
    assert found.error is None
    assert call.times(stage.server) == 1
    if call.kind == "batch":
        tracing.arrived_whole_and_once(stage.server, found.result)


def viewer_key(server: SimulatedLangSmith) -> str:
    own = next(iter(server._world.workspaces.values()))
    only = frozenset({"workspaces:read"})
    return server.add_personal_key(workspaces=[own], permissions=only).secret


def unknown_key(server: SimulatedLangSmith) -> str:
    return "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"


@pytest.mark.parametrize(
    ("key_of", "error"),
    [(viewer_key, PermissionMissingError), (unknown_key, KeyRejectedError)],
)
@calls
def test_refusal_behind_a_trusted_interceptor(
    call: Call,
    key_of: Callable[[SimulatedLangSmith], str],
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged(squid(intercepts=True), "https by proxy") as stage:
        trust_only_for(call, monkeypatch)
        found = outcome_of(call, stage.world, api_key=key_of(stage.server))
    assert isinstance(found.error, error)
    assert not isinstance(found.error, BlockedByProxyError)
    assert call.times(stage.server) == 0
