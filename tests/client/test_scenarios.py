"""Tests for every row of `SCENARIOS`, over a socket, with each transport."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from pathlib import Path

import langsmith
import pytest
from scenarios import Scenario, list_projects
from stage import TRANSPORTS, Stage, assert_no_secret, staged
from table import SCENARIOS

from safe_langsmith import AccessDeniedError
from safe_langsmith._sdk.clients import access_of
from safe_langsmith.errors import ERRORS


@pytest.mark.parametrize("row", SCENARIOS, ids=str)
def test_scenario(
    row: Scenario, tmp_path: Path, debug_log: pytest.LogCaptureFixture
) -> None:
    """Code, outcome, requests, and texts match the row; all transports agree."""
    found = {}
    for transport in TRANSPORTS:
        debug_log.clear()
        with staged(row, transport, tmp_path) as stage:
            texts = (
                answered(stage, debug_log) if row.outcome == "answered" else raised(stage)
            )
            check(stage, [*texts, debug_log.text])
            found[transport] = stage.findings
    assert all(findings == found["sync client"] for findings in found.values()), found


def answered(stage: Stage, log: pytest.LogCaptureFixture) -> list[str]:
    """Check that the call succeeds and that one line is logged."""
    stage.run()
    lines = [r for r in log.records if r.name == "safe_langsmith"]
    assert [line.levelno for line in lines] == [logging.WARNING]
    record, found = lines[0], stage.client.last_diagnosis
    assert record.getMessage().startswith("safe_langsmith: ")
    assert found is not None
    told = (found.code, found.operation, found)
    assert tuple(vars(record)[n] for n in ("code", "operation", "diagnosis")) == told
    return [record.getMessage()]


def raised(stage: Stage) -> list[str]:
    """Check that the call raises the row's error, and that it can be copied and pickled."""
    with pytest.raises(AccessDeniedError) as caught:
        stage.run()
    error = caught.value
    assert isinstance(error, ERRORS[stage.row.code])  # type: ignore[index]
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert twin.diagnosis == error.diagnosis
        assert str(twin) == str(error)
    assert len(str(error).splitlines()) <= 14
    if "resources" in stage.way.__name__:
        assert isinstance(error, langsmith.APIError)
        assert isinstance(error, langsmith.APIStatusError) == bool(stage.row.requests)
    shown = [str(error), repr(error), repr(vars(error)), *error.next_steps]
    shown += [pickle.dumps(error, 0).decode("latin-1"), *traceback.format_exception(error)]
    return shown


def check(stage: Stage, texts: list[str]) -> None:
    """Check the row's code, requests, and words, and that no key is shown."""
    row, diagnosis = stage.row, stage.client.last_diagnosis
    assert diagnosis is not None
    assert diagnosis.code == row.code
    assert diagnosis.resolved == (row.outcome == "answered")
    assert stage.requests == stage.expected_requests
    assert stage.saw == stage.expected_saw
    said = "\n".join([*texts, str(diagnosis)])
    for text in row.says:
        assert stage.fill(text) in said
    for name in row.unseen:
        assert not stage.server.saw(stage.names[name])
    shown = [*texts, str(diagnosis), repr(diagnosis), diagnosis._repr_html_()]
    shown += [repr(stage.client), json.dumps(diagnosis.as_dict())]
    assert_no_secret("\n".join(shown), stage.secrets)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sync client", "async client"])
@pytest.mark.parametrize("row", [s for s in SCENARIOS if s.call is list_projects], ids=str)
def test_diagnose_agrees(row: Scenario, transport: str, tmp_path: Path) -> None:
    """`client.diagnose()` repairs nothing, and finds the same code, or the first of two."""
    with staged(row, transport, tmp_path) as stage:
        before = access_of(stage.client), dict(stage.client._headers)
        diagnosis = stage.diagnose()
        assert diagnosis.code == row.code or row.name.endswith("in a row")
        assert not diagnosis.resolved
        assert (access_of(stage.client), dict(stage.client._headers)) == before
        assert stage.client.last_diagnosis == diagnosis
