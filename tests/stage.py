"""Runs a scenario over a socket, with one of the transports."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import dotenv
import pytest
import tls
from conftest import PORTS
from langsmith import AsyncClient
from releases import WATCHES_V2
from scenarios import (
    Scenario,
    World,
    create_project,
    create_run,
    filled,
    list_projects,
    my_keys,
    organization,
    pull_named_prompt,
    pull_prompt,
)
from scenarios_regions import strangers

from safe_langsmith import Diagnosis, Policy, SafeAsyncClient, SafeClient
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._knowledge.keys import clean, mask
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith.testing import SimulatedLangSmith

PATIENT = Policy(budget_s=8.0)
Client = SafeClient | SafeAsyncClient

# What each call sends, for clients that have no method for it.
ROUTES: dict[Callable[..., Any], tuple[str, str, dict[str, Any] | None]] = {
    list_projects: ("GET", "/sessions", None),
    create_project: ("POST", "/sessions", {"name": "new"}),
    create_run: ("POST", "/runs", {"id": "1", "name": "run", "run_type": "chain"}),
    organization: ("GET", "/orgs/current", None),
    my_keys: ("GET", "/orgs/current/personal-access-tokens", None),
    pull_prompt: ("GET", "/commits/-/greeting/latest", None),
    pull_named_prompt: ("GET", "/commits/acme/greeting/latest", None),
}


async def call_async(client: Client, row: Scenario) -> Any:
    """Make the row's call with the async client's own request method."""
    assert isinstance(client, SafeAsyncClient)
    method, path, body = ROUTES[row.call]
    content = None if body is None else json.dumps(body)
    return (await client._arequest_with_retries(method, path, content=content)).json()


async def call_resource(client: Client, row: Scenario) -> Any:
    """Make the row's call with the generated resources, including their retries."""
    if isinstance(client, SafeAsyncClient):
        generated: Any = client._langsmith_api
    else:
        generated = client._get_langsmith_api()
    method, path, body = ROUTES[row.call]
    if method == "GET":
        return await generated.get(path, cast_to=object)
    return await generated.post(path, cast_to=object, body=body)


async def call_sync(client: Client, row: Scenario) -> Any:
    """Make the row's call with the sync client's method."""
    return row.call(client)  # type: ignore[arg-type]


TRANSPORTS: dict[str, tuple[type[Any], Callable[[Client, Scenario], Any]]] = {
    "sync client": (SafeClient, call_sync),
    "async client": (SafeAsyncClient, call_async),
}
if WATCHES_V2:
    TRANSPORTS["async client's resources"] = (SafeAsyncClient, call_resource)
    TRANSPORTS["sync client's resources"] = (SafeClient, call_resource)


async def closing(client: Client, call: Callable[[], Any]) -> Any:
    """Make a call, and close the SDK's httpx clients in this event loop."""
    try:
        return await call()
    finally:
        if isinstance(client, AsyncClient):
            await client.aclose()  # type: ignore[no-untyped-call]
        if client._langsmith_api is not None:
            await client._langsmith_api.close()


class SecretNotFoundError(Exception):
    """Like Colab's error, which is recognized by its class name."""


def ask_colab(known: Mapping[str, str], name: str) -> str:
    """Like Colab's `userdata.get`, which only works on the main thread."""
    assert threading.current_thread() is threading.main_thread()
    if name not in known:
        raise SecretNotFoundError(name)
    return known[name]


class Stage:
    """A scenario set up for one transport: the server, its names, the client."""

    def __init__(self, row: Scenario, transport: str, patch: pytest.MonkeyPatch) -> None:
        self.row = row
        self.patch = patch
        self.make, self.way = TRANSPORTS[transport]
        self.names: dict[str, str] = {}
        # By name of the region; the client's own is first.
        self.servers: dict[str, SimulatedLangSmith] = {}
        url = self._serve_regions() if row.regions else self._serve()
        self.server = next(iter(self.servers.values()))
        self.names |= {"url": url, "port": str(self.server.port)}
        self.client = self._client()

    def _serve(self) -> str:
        """Serve the row's only world."""
        server = self.servers["own"] = SimulatedLangSmith(self.row.layout).start()
        self.names |= self.row.world(server)
        return server.url

    def _serve_regions(self) -> str:
        """Serve the official hosts over TLS, and return the URL of the first."""
        self.patch.setenv("REQUESTS_CA_BUNDLE", tls.authority_file())
        self.patch.setenv("SSL_CERT_FILE", tls.authority_file())
        first = next(iter(self.row.regions))
        address = {region.name: region.api for region in REGIONS}
        address |= {f"{region.name} web": region.web for region in REGIONS}
        others = {region.name: strangers for region in REGIONS}
        worlds: dict[str, World | None] = {first: self.row.world, **others}
        for name, world in {**worlds, **self.row.regions, first: self.row.world}.items():
            if world is None:
                continue
            host = address[name].removeprefix("https://")
            chain, key = tls.files_for(host)
            layout: Any = "web" if name.endswith("web") else "cloud"
            server = SimulatedLangSmith(layout, ssl_certfile=chain, ssl_keyfile=key)
            self.servers[name] = server.start()
            self.names |= world(server)
            PORTS[host] = server.port
        return address[first]

    def stop(self) -> None:
        """Stop every server."""
        for server in self.servers.values():
            server.stop()
        PORTS.clear()

    def _client(self) -> Client:
        row = self.row
        arguments: dict[str, Any] = {k: self.fill(v) for k, v in row.arguments.items()}
        if row.headers:
            arguments["headers"] = {k: self.fill(v) for k, v in row.headers.items()}
        by_profile = isinstance(row.profile, Mapping) and "api_url" in row.profile
        if "api_url" not in arguments and not row.regions and not by_profile:
            self.patch.setenv("LANGSMITH_ENDPOINT", self.server.url)
        if row.uses_dotenv:
            self.patch.setitem(sys.modules, "dotenv", dotenv)
        self._set(row.environ)
        self._write(row.dotenv)
        self._write_profile(row.profile)
        if row.colab is not None:
            self._enter_colab(row.colab)
        if self.make is SafeClient:
            arguments["auto_batch_tracing"] = False
        policy = replace(PATIENT, **row.policy)
        client: Client = self.make(policy=policy, **arguments)
        self._set(row.later)
        self._write(row.later_dotenv)
        self._write_profile(row.later_profile)
        return client

    def _write_profile(self, profile: Mapping[str, Any] | str | None) -> None:
        if profile is None:
            return
        text = profile
        if not isinstance(text, str):
            text = json.dumps({"profiles": {"default": profile}}, indent=1)
            for name, value in self.names.items():
                text = text.replace(f"{{{name}}}", value)
        path = Path.home() / ".langsmith" / "config.json"
        path.parent.mkdir()
        path.write_text(text)

    def _enter_colab(self, secrets: Mapping[str, str]) -> None:
        """Install a fake of Colab's module."""
        known = {name: self.fill(value) for name, value in secrets.items()}
        userdata = ModuleType("google.colab.userdata")
        userdata.get = partial(ask_colab, known)  # type: ignore[attr-defined]
        self.patch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        self.patch.setitem(sys.modules, "google.colab.userdata", userdata)

    def _set(self, variables: Mapping[str, str | None]) -> None:
        for name, value in variables.items():
            if value is None:
                self.patch.delenv(name)
            else:
                self.patch.setenv(name, self.fill(value))

    def _write(self, text: str | None) -> None:
        if text is not None:
            Path(".env").write_text(self.fill(text), encoding=self.row.encoding)

    def run(self) -> Any:
        """Make the row's call."""
        return anyio.run(closing, self.client, partial(self.way, self.client, self.row))

    def diagnose(self) -> Diagnosis:
        """Ask the client for a diagnosis."""
        if isinstance(self.client, SafeAsyncClient):
            found: Diagnosis = anyio.run(closing, self.client, self.client.diagnose)
            return found
        return self.client.diagnose()

    def fill(self, template: str) -> str:
        """Fill the names of this world into a text."""
        return filled(template, self.names)

    def unfill(self, text: str) -> str:
        """Replace this world's values in a text with their names, to compare worlds."""
        for name, value in sorted(self.names.items(), key=lambda n: -len(n[1])):
            text = text.replace(value, f"{{{name}}}").replace(mask(value), f"{{{name}}}")
        return text

    @property
    def findings(self) -> list[str]:
        """The findings of the last diagnosis."""
        assert self.client.last_diagnosis is not None
        return [self.unfill(str(f)) for f in self.client.last_diagnosis.findings]

    @property
    def requests(self) -> dict[str, list[str]]:
        """The requests to each server, in order."""
        return {
            name: [f"{e.method} {e.path}" for e in server.exchanges]
            for name, server in self.servers.items()
            if server.exchanges
        }

    @property
    def expected_requests(self) -> dict[str, list[str]]:
        """The requests that the row expects."""
        expected: dict[str, list[str]] = {}
        for request in self.row.requests:
            name, colon, rest = self.fill(request).partition(": ")
            own = next(iter(self.servers))
            where, what = (name, rest) if colon else (own, name)
            expected.setdefault(where, []).append(what)
        return expected

    @property
    def saw(self) -> dict[str, set[str]]:
        """The keys that each server saw, in any header, path, or body."""
        return {
            name: {key for key in self.keys if server.saw(self.keys[key])}
            for name, server in self.servers.items()
            if server.exchanges
        }

    @property
    def expected_saw(self) -> dict[str, set[str]]:
        """The keys that the row expects; by default, the keys in its settings."""
        row = self.row
        own = next(iter(self.servers))
        saw = {own: self.named - {*row.unseen}} if own in self.expected_requests else {}
        return saw | {name: {*keys} for name, keys in row.saw.items()}

    @property
    def keys(self) -> dict[str, str]:
        """All keys of this row's world and settings, by name."""
        named = {n: v for n, v in self.names.items() if n in ("key", "old", "admin")}
        literal = {text: clean(text) for text in self._texts if "{" not in text}
        return named | literal

    @property
    def named(self) -> set[str]:
        """The names of the keys in the settings."""
        names = {n for n in ("key", "old", "admin") if f"{{{n}}}" in "".join(self._texts)}
        return names | {text for text in self._texts if text and "{" not in text}

    @property
    def _texts(self) -> list[str]:
        """All values for a key in the row's settings."""
        row = self.row
        given = [row.arguments, row.environ, row.later, row.later_profile or {}]
        given += [row.colab or {}, row.profile if isinstance(row.profile, Mapping) else {}]
        given.append({n.replace("-", "_"): v for n, v in row.headers.items()})
        texts = [v for some in given for n, v in some.items() if "api_key" in n.lower()]
        for file in (row.dotenv, row.later_dotenv):
            texts += re.findall(r"API_KEY=(.*)", file or "")
        return [text for text in texts if text]

    @property
    def secrets(self) -> list[str]:
        """All keys in this scenario, to check that no text shows one."""
        named = [v for n, v in self.names.items() if n in ("key", "old", "admin")]
        held = [v for n, v in os.environ.items() if n.endswith("API_KEY")]
        return [*named, *held]


@contextmanager
def staged(row: Scenario, transport: str, folder: Path) -> Iterator[Stage]:
    """Set up a scenario with its own home and working directory, and clean up."""
    home = folder / transport
    place = home / "folder"
    place.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        patch.chdir(place)
        clear_caches()
        FLIGHTS.forget()
        stage = Stage(row, transport, patch)
        try:
            yield stage
        finally:
            stage.stop()


def pieces(secret: str) -> Iterator[str]:
    """Every eight consecutive characters of a key's secret part."""
    body = secret
    for prefix in ("lsv2_pt_", "lsv2_sk_", "ls__"):
        body = body.rpartition(prefix)[2]
    return (body[i : i + 8] for i in range(len(body) - 7))


def assert_no_secret(text: str, secrets: list[str]) -> None:
    """Check that a text contains no key, and no eight consecutive characters of one."""
    for secret in secrets:
        if any(prefix in secret for prefix in ("lsv2_", "ls__", "sk-ant")):
            assert not any(piece in text for piece in pieces(secret)), secret
