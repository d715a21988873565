"""Every row of the table of scenarios, over a socket."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK
from scenarios import SCENARIOS, Scenario, filled, list_projects

from safe_langsmith import AccessDeniedError, SafeClient
from safe_langsmith.errors import ERRORS
from safe_langsmith.testing import SimulatedLangSmith


class Stage:
    """A scenario set up: the server, the names of its world, and the client."""

    def __init__(self, scenario: Scenario, patch: pytest.MonkeyPatch) -> None:
        self.scenario = scenario
        self.patch = patch
        self.server = SimulatedLangSmith(scenario.layout).start()
        self.names = dict(scenario.world(self.server))
        self.names |= {"url": self.server.url, "port": str(self.server.port)}

    def client(self) -> SafeClient:
        row = self.scenario
        arguments: dict[str, Any] = {k: self.fill(v) for k, v in row.arguments.items()}
        if "api_url" not in arguments:
            self.patch.setenv("LANGSMITH_ENDPOINT", self.server.url)
        self.set(row.environ)
        self.write(row.dotenv)
        client = SafeClient(auto_batch_tracing=False, policy=QUICK, **arguments)
        self.set(row.later)
        self.write(row.later_dotenv)
        if row.later_profile is not None:
            profile = {k: self.fill(v) for k, v in row.later_profile.items()}
            path = Path.home() / ".langsmith" / "config.json"
            path.parent.mkdir()
            path.write_text(json.dumps({"profiles": {"default": profile}}))
        return client

    def set(self, variables: Mapping[str, str | None]) -> None:
        for name, value in variables.items():
            if value is None:
                self.patch.delenv(name)
            else:
                self.patch.setenv(name, self.fill(value))

    def write(self, dotenv: str | None) -> None:
        if dotenv is not None:
            Path(".env").write_text(self.fill(dotenv))

    def fill(self, template: str) -> str:
        return filled(template, self.names)

    @property
    def requests(self) -> list[str]:
        return [f"{e.method} {e.path}" for e in self.server.exchanges]

    @property
    def secrets(self) -> list[str]:
        named = [v for n, v in self.names.items() if n in ("key", "old", "admin")]
        held = [v for n, v in os.environ.items() if n.endswith("API_KEY")]
        return [*named, *held]


@pytest.fixture(params=SCENARIOS, ids=str)
def stage(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    staged = Stage(request.param, monkeypatch)
    yield staged
    staged.server.stop()


def pieces(secret: str) -> Iterator[str]:
    """Every eight characters in a row of a key's secret part."""
    body = secret
    for prefix in ("lsv2_pt_", "lsv2_sk_", "ls__"):
        body = body.rpartition(prefix)[2]
    return (body[i : i + 8] for i in range(len(body) - 7))


def assert_no_secret(text: str, secrets: list[str]) -> None:
    for secret in secrets:
        if "lsv2_" not in secret and "ls__" not in secret and "sk-ant" not in secret:
            continue  # a placeholder is not a secret
        assert not any(piece in text for piece in pieces(secret)), secret


def test_scenario(stage: Stage, debug_log: pytest.LogCaptureFixture) -> None:
    """Code, outcome, requests, texts; and no secret in anything that can be seen."""
    row, client = stage.scenario, stage.client()
    shown = []
    if row.outcome == "answered":
        answer = row.call(client)
        assert answer is None or answer
        warnings = [r for r in debug_log.records if r.name == "safe_langsmith"]
        assert [r.levelno for r in warnings] == [logging.WARNING]
        shown.append(warnings[0].getMessage())
    else:
        with pytest.raises(AccessDeniedError) as caught:
            row.call(client)
        error = caught.value
        assert isinstance(error, ERRORS[row.code])  # type: ignore[index]
        shown += [str(error), repr(error), repr(vars(error)), *error.next_steps]
        shown += traceback.format_exception(error)
        for twin in (
            pickle.loads(pickle.dumps(error)),
            copy.copy(error),
            copy.deepcopy(error),
        ):
            assert type(twin) is type(error)
            assert twin.diagnosis == error.diagnosis
            assert str(twin) == str(error)
        shown.append(pickle.dumps(error, 0).decode("latin-1"))
        assert len(str(error).splitlines()) <= 14
    diagnosis = client.last_diagnosis
    assert diagnosis is not None
    assert diagnosis.code == row.code
    assert diagnosis.resolved == (row.outcome == "answered")
    assert stage.requests == [stage.fill(r) for r in row.requests]
    everything = "\n".join([*shown, str(diagnosis)])
    for text in row.says:
        assert stage.fill(text) in everything
    for name in row.unseen:
        assert not stage.server.saw(stage.names[name])
    shown += [str(diagnosis), repr(diagnosis), diagnosis._repr_html_(), repr(client)]
    shown += [json.dumps(diagnosis.as_dict()), debug_log.text]
    assert_no_secret("\n".join(shown), stage.secrets)


@pytest.mark.parametrize(
    "stage", [s for s in SCENARIOS if s.call is list_projects], indirect=True, ids=str
)
def test_diagnose_agrees(stage: Stage) -> None:
    """`client.diagnose()` names the same code, and repairs nothing."""
    client = stage.client()
    before = dict(client._headers), client.api_url, dict(client._write_api_urls)
    diagnosis = client.diagnose()
    assert diagnosis.code == stage.scenario.code or stage.scenario.name.endswith("in a row")
    assert not diagnosis.resolved
    assert (dict(client._headers), client.api_url, dict(client._write_api_urls)) == before
    assert client.last_diagnosis == diagnosis
