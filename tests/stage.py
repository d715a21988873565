"""Plays a scenario over a socket, through one of the transports."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from langsmith import AsyncClient
from scenarios import (
    Scenario,
    create_project,
    create_run,
    filled,
    list_projects,
    my_keys,
    organization,
    pull_prompt,
)

from safe_langsmith import Diagnosis, Policy, SafeAsyncClient, SafeClient
from safe_langsmith._keys import mask
from safe_langsmith._settings import clear_sdk_caches
from safe_langsmith.testing import SimulatedLangSmith

PATIENT = Policy(budget_s=8.0)
Client = SafeClient | SafeAsyncClient

# The same requests for the clients that have no method for them.
ROUTES: dict[Callable[..., Any], tuple[str, str, dict[str, Any] | None]] = {
    list_projects: ("GET", "/sessions", None),
    create_project: ("POST", "/sessions", {"name": "new"}),
    create_run: ("POST", "/runs", {"id": "1", "name": "run", "run_type": "chain"}),
    organization: ("GET", "/orgs/current", None),
    my_keys: ("GET", "/orgs/current/personal-access-tokens", None),
    pull_prompt: ("GET", "/commits/-/greeting/latest", None),
}


async def call_async(client: Client, row: Scenario) -> Any:
    """The call by the async client's own way."""
    assert isinstance(client, SafeAsyncClient)
    method, path, body = ROUTES[row.call]
    content = None if body is None else json.dumps(body)
    return (await client._arequest_with_retries(method, path, content=content)).json()


async def call_resource(client: Client, row: Scenario) -> Any:
    """The call by the way of the generated resources, with their retries."""
    if isinstance(client, SafeAsyncClient):
        generated: Any = client._langsmith_api
    else:
        generated = client._get_langsmith_api()
    method, path, body = ROUTES[row.call]
    if method == "GET":
        return await generated.get(path, cast_to=object)
    return await generated.post(path, cast_to=object, body=body)


async def call_sync(client: Client, row: Scenario) -> Any:
    """The call by the sync client's own method."""
    return row.call(client)  # type: ignore[arg-type]


TRANSPORTS: dict[str, tuple[type[Any], Callable[[Client, Scenario], Any]]] = {
    "sync client": (SafeClient, call_sync),
    "async client": (SafeAsyncClient, call_async),
    "async client's resources": (SafeAsyncClient, call_resource),
    "sync client's resources": (SafeClient, call_resource),
}


async def closing(client: Client, call: Callable[[], Any]) -> Any:
    """Make a call, and close what the SDK's httpx clients hold open in this event loop."""
    try:
        return await call()
    finally:
        if isinstance(client, AsyncClient):
            await client.aclose()  # type: ignore[no-untyped-call]
        if client._langsmith_api is not None:
            await client._langsmith_api.close()


class SecretNotFoundError(Exception):
    """As Colab's: its name is what it is known by."""


def ask_colab(known: Mapping[str, str], name: str) -> str:
    """As Colab's `userdata.get`, which answers on the main thread alone."""
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
        self.server = SimulatedLangSmith(row.layout).start()
        self.names = dict(row.world(self.server))
        self.names |= {"url": self.server.url, "port": str(self.server.port)}
        self.client = self._client()

    def _client(self) -> Client:
        row = self.row
        arguments: dict[str, Any] = {k: self.fill(v) for k, v in row.arguments.items()}
        by_profile = isinstance(row.profile, Mapping) and "api_url" in row.profile
        if "api_url" not in arguments and not by_profile:
            self.patch.setenv("LANGSMITH_ENDPOINT", self.server.url)
        self._set(row.environ)
        self._write(row.dotenv)
        self._write_profile(row.profile)
        if row.colab is not None:
            self._enter_colab(row.colab)
        if self.make is SafeClient:
            arguments["auto_batch_tracing"] = False
        client: Client = self.make(policy=PATIENT, **arguments)
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
        """Put Colab's module, which this machine does not have, where a kernel has it."""
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

    def _write(self, dotenv: str | None) -> None:
        if dotenv is not None:
            Path(".env").write_text(self.fill(dotenv), encoding=self.row.encoding)

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
        """A text with the names of this world in it."""
        return filled(template, self.names)

    def unfill(self, text: str) -> str:
        """The text with this world's names as templates: comparable with another's."""
        for name, value in sorted(self.names.items(), key=lambda n: -len(n[1])):
            text = text.replace(value, f"{{{name}}}").replace(mask(value), f"{{{name}}}")
        return text

    @property
    def findings(self) -> list[str]:
        """What the newest diagnosis found."""
        assert self.client.last_diagnosis is not None
        return [self.unfill(str(f)) for f in self.client.last_diagnosis.findings]

    @property
    def requests(self) -> list[str]:
        """What the server was asked, in order."""
        return [f"{e.method} {e.path}" for e in self.server.exchanges]

    @property
    def secrets(self) -> list[str]:
        """Every key in this scenario."""
        named = [v for n, v in self.names.items() if n in ("key", "old", "admin")]
        held = [v for n, v in os.environ.items() if n.endswith("API_KEY")]
        return [*named, *held]


@contextmanager
def staged(row: Scenario, transport: str, folder: Path) -> Iterator[Stage]:
    """Set a scenario up on a machine of its own, and take it down again."""
    home = folder / transport
    place = home / "folder"
    place.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        patch.chdir(place)
        clear_sdk_caches()
        stage = Stage(row, transport, patch)
        try:
            yield stage
        finally:
            stage.server.stop()


def pieces(secret: str) -> Iterator[str]:
    """Every eight characters in a row of a key's secret part."""
    body = secret
    for prefix in ("lsv2_pt_", "lsv2_sk_", "ls__"):
        body = body.rpartition(prefix)[2]
    return (body[i : i + 8] for i in range(len(body) - 7))


def assert_no_secret(text: str, secrets: list[str]) -> None:
    """No key, nor eight characters in a row of one, stands in a text."""
    for secret in secrets:
        if any(prefix in secret for prefix in ("lsv2_", "ls__", "sk-ant")):
            assert not any(piece in text for piece in pieces(secret)), secret
