"""Property tests for the rules of a repair, over real sockets.

The settings, their sources, and the responses are random. The requests that each host
receives are compared with an independent version of the rules.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import dotenv
import hypothesis
import pytest
import tls
from conftest import PORTS
from hypothesis import strategies as st
from scenarios import HTML_403
from stage import closing

from safe_langsmith import Policy, SafeAsyncClient, SafeClient
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
EXAMPLES = 600 if os.environ.get("CI") else 150
OFFICIAL = {region.name: urlsplit(region.api).netloc for region in REGIONS}
US, EU = (f"https://{OFFICIAL[name]}" for name in ("US", "EU"))
# A different key for each place, so that a request shows where its key came from.
OPENAI = "sk-proj-0123456789abcdef0123456789abcdef-of-another-program"
PASSWORD = "the-password-in-netrc-0123456789"
HEADER = "the-token-of-a-gateway-0123456789"
KEY = "lsv2_pt_{0}{0}{0}{0}{0}{0}{0}{0}_0123456789"
OF_ENVIRON, OF_FILE, OF_PROFILE = (KEY.format(text) for text in ("aaa1", "bbb2", "ccc3"))

LINES = (
    "LANGSMITH_API_KEY=" + OF_FILE,
    "LANGSMITH_API_KEY=${OPENAI_API_KEY}",
    "LANGSMITH_API_KEY=${LANGSMITH_API_KEY}",
    "LANGSMITH_WORKSPACE_ID=${OPENAI_API_KEY}",
    "LANGSMITH_ENDPOINT={other}",
    "LANGSMITH_ENDPOINT={other}/${OPENAI_API_KEY}",
    "LANGSMITH_ENDPOINT={home}",
    f"LANGSMITH_ENDPOINT={EU}",
    "LANGSMITH_ENDPOINT: {home}",
    "LANGCHAIN_ENDPONIT={home}",
)
# The response of the program's host to the first request, and to a resent one.
JSON_403 = {"status": 403, "body": {"error": "Forbidden"}}
FIRST: dict[str, dict[str, Any]] = {
    "json": JSON_403,
    "page": {"status": 403, "body": HTML_403},
    "null": {"status": 403, "body": b"null"},
    "empty": {"status": 403, "body": b""},
    "no key": {"status": 401, "body": {"detail": "Invalid token"}},
}
AGAIN: dict[str, dict[str, Any] | None] = {
    "as it is": None,
    "json": JSON_403,
    "redirect": {"status": 307, "headers": {"Location": "{other}/sessions"}},
}
CALLS = ("read", "write")


@dataclass(frozen=True)
class Machine:
    """A machine, a program on it, and the responses of the program's host."""

    place: str  # "own", "default" or "official"
    lines: tuple[str, ...]
    imports: bool
    names: Any  # Policy.dotenv
    repair: bool
    asking: bool | None
    profile: str  # "other" would be the program's own endpoint at the default place
    extra: str
    call: str
    client: str
    first: str
    again: str
    known: str  # where the environment's key is valid: nowhere, or in the EU


machines = st.builds(
    Machine,
    place=st.sampled_from(["own", "own", "default", "official"]),
    lines=st.lists(st.sampled_from(LINES), max_size=3).map(tuple),
    imports=st.booleans(),
    names=st.sampled_from([None, None, ".env", False]),
    repair=st.sampled_from([True, True, True, False]),
    asking=st.sampled_from([None, True, False]),
    profile=st.sampled_from(["", "", "key", "other"]),
    extra=st.sampled_from(["", "", "netrc", "header"]),
    call=st.sampled_from(CALLS),
    client=st.sampled_from(["sync", "async"]),
    first=st.sampled_from(["json", "json", *FIRST]),
    again=st.sampled_from(list(AGAIN)),
    known=st.sampled_from(["nowhere", "EU"]),
).filter(lambda machine: (machine.place, machine.profile) != ("default", "other"))


class Hosts:
    """The program's own host, the four official ones, and one that was not chosen."""

    def __init__(self, stack: ExitStack) -> None:
        self.own, self.other = (stack.enter_context(SimulatedLangSmith()) for _ in range(2))
        self.official = {}
        for name, host in OFFICIAL.items():
            chain, key = tls.files_for(host)
            server = SimulatedLangSmith(ssl_certfile=chain, ssl_keyfile=key)
            self.official[name] = stack.enter_context(server)
            PORTS[host] = server.port
        for server in (self.own, *self.official.values()):
            research = server.add_workspace("Research", projects=1)
            for key in (OF_FILE, OF_PROFILE):
                server.add_personal_key(workspaces=[research], secret=key)
        self.in_eu = self.official["EU"].add_personal_key(secret=OF_ENVIRON)

    def set_up(self, machine: Machine) -> SimulatedLangSmith:
        """Reset all hosts, and return the one that the program uses."""
        for server in (self.own, self.other, *self.official.values()):
            server.clear()
            server.clear_answers()
        self.other.answer("*", status=200, body=[])
        eu = self.official["EU"]
        eu.revoke(self.in_eu) if machine.known == "nowhere" else eu.restore(self.in_eu)
        home = self.own if machine.place == "own" else self.official["US"]
        again = AGAIN[machine.again]
        for path in ("/sessions", "/datasets"):
            if again:
                there = {
                    n: v.format(other=self.other.url)
                    for n, v in again.get("headers", {}).items()
                }
                home.answer(path, **{**again, "headers": there})
            home.answer(path, times=1, **FIRST[machine.first])
        return home


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(stack)


def set_the_machine(machine: Machine, hosts: Hosts, patch: pytest.MonkeyPatch) -> None:
    home, other = hosts.own.url, hosts.other.url
    patch.setenv("REQUESTS_CA_BUNDLE", tls.authority_file())
    patch.setenv("SSL_CERT_FILE", tls.authority_file())
    patch.setenv("OPENAI_API_KEY", OPENAI)
    patch.setenv("LANGSMITH_API_KEY", OF_ENVIRON)
    if machine.place != "default":
        patch.setenv("LANGSMITH_ENDPOINT", home if machine.place == "own" else US)
    if machine.imports:
        patch.setitem(sys.modules, "dotenv", dotenv)
    text = "\n".join(machine.lines).replace("{home}", home).replace("{other}", other)
    Path(".env").write_text(text)
    folder = Path.home() / ".langsmith"
    folder.mkdir()
    profile = {"api_key": OF_PROFILE} | (
        {"api_url": other} if machine.profile == "other" else {}
    )
    if machine.profile:
        (folder / "config.json").write_text(json.dumps({"profiles": {"default": profile}}))
    if machine.extra == "netrc":
        names = ("127.0.0.1", *OFFICIAL.values())
        lines = (f"machine {name} login me password {PASSWORD}\n" for name in names[:2])
        (Path.home() / ".netrc").write_text("".join(lines))
    clear_caches()


def run(machine: Machine) -> None:
    """Make the call, and ignore its outcome."""
    policy = Policy(
        repair=machine.repair,
        dotenv=machine.names,
        probe_regions=machine.asking,
        budget_s=3.0,
    )
    extra: dict[str, Any] = {}
    if machine.extra == "header":
        extra = {"headers": {"X-Gateway": HEADER}}
    method, path = ("GET", "/sessions") if machine.call == "read" else ("POST", "/datasets")
    body = None if method == "GET" else json.dumps({"name": "new"})
    if machine.client == "sync":
        client = SafeClient(policy=policy, auto_batch_tracing=False, **extra)
        with suppress(Exception):
            client.request_with_retries(method, path, request_kwargs={"data": body})  # type: ignore[arg-type]
        client.session.close()
        return
    there = SafeAsyncClient(policy=policy, **extra)

    async def call() -> None:
        with suppress(Exception):
            await there._arequest_with_retries(method, path, content=body)

    anyio.run(closing, there, call)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("part", range(2))
def test_no_harm_on_the_wire(
    part: int, hosts: Hosts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES // 2,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(machines)
    def check(machine: Machine) -> None:
        for name, host in OFFICIAL.items():
            PORTS[host] = hosts.official[name].port
        folder = tmp_path_factory.mktemp("machine")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(folder))
            patch.setenv("USERPROFILE", str(folder))
            patch.chdir(folder)
            FLIGHTS.forget()
            home = hosts.set_up(machine)
            set_the_machine(machine, hosts, patch)
            run(machine)
        for holds in RULES:
            holds(machine, hosts, home)

    check()


# --- the rules, independent of the package ----------------------------------------------


def no_host_that_nobody_chose_is_asked(
    machine: Machine, hosts: Hosts, home: SimulatedLangSmith
) -> None:
    assert not hosts.other.exchanges
    if machine.place == "own":
        assert not any(server.exchanges for server in hosts.official.values())
    else:
        assert not hosts.own.exchanges


def every_secret_stays_with_its_host(
    machine: Machine, hosts: Hosts, home: SimulatedLangSmith
) -> None:
    password = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    for server in (hosts.own, *hosts.official.values()):
        assert not server.saw(OPENAI)
        if server is not home:
            for secret in (password, PASSWORD, HEADER):
                assert not server.saw(secret)


def a_file_that_does_not_count_is_not_used(
    machine: Machine, hosts: Hosts, home: SimulatedLangSmith
) -> None:
    counts = machine.names == ".env" or (machine.names is None and machine.imports)
    if not counts:
        everywhere = (hosts.own, *hosts.official.values())
        assert not any(server.saw(OF_FILE) for server in everywhere)


def other_regions_are_asked_only_where_none_is_named(
    machine: Machine, hosts: Hosts, home: SimulatedLangSmith
) -> None:
    others = [server for server in hosts.official.values() if server is not home]
    asked = any(server.exchanges for server in others)
    in_file = machine.names is not False and any("ENDP" in line for line in machine.lines)
    named = machine.place != "default" or in_file or machine.profile == "other"
    newer = f"LANGSMITH_ENDPOINT={EU}" in machine.lines  # the third of the three cases
    if machine.asking is False or (machine.asking is None and named):
        assert not asked or newer
    for server in others:
        for exchange in server.exchanges:
            assert {"authorization", "cookie", "x-gateway"}.isdisjoint(exchange.headers)


def no_write_is_carried_out_twice(
    machine: Machine, hosts: Hosts, home: SimulatedLangSmith
) -> None:
    posts = [
        (exchange.status, server)
        for server in (hosts.own, *hosts.official.values())
        for exchange in server.exchanges
        if exchange.method == "POST"
    ]
    # After LangSmith's own refusal, each of at most three repairs can resend once.
    most = 4 if machine.first in ("json", "no key") else 1
    assert len(posts) <= most
    assert sum(status < 300 for status, _ in posts) <= 1


RULES: tuple[Callable[[Machine, Hosts, SimulatedLangSmith], None], ...] = (
    no_host_that_nobody_chose_is_asked,
    every_secret_stays_with_its_host,
    a_file_that_does_not_count_is_not_used,
    other_regions_are_asked_only_where_none_is_named,
    no_write_is_carried_out_twice,
)
