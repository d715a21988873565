"""Tests for every row of `ADVICE`: the error, the log line, and the diagnosis."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from scenarios_advice import ADVICE, Advice
from stage import Stage, assert_no_secret, staged

from safe_langsmith import AccessDeniedError, Diagnosis
from safe_langsmith._command.doctor import report
from safe_langsmith._command.facts import Facts
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import Look
from safe_langsmith._diagnosis import in_one_line
from safe_langsmith._settings.machine import read_machine
from safe_langsmith._transport.settle import read_settings

ROWS = tuple(f"  {name} " for name in ("key", "endpoint", "workspace", "tracing", "server"))


@pytest.mark.parametrize("row", ADVICE, ids=str)
def test_advice(row: Advice, tmp_path: Path, debug_log: pytest.LogCaptureFixture) -> None:
    """Each text contains the required phrases, and none that do not apply."""
    with staged(row.scenario, row.by, tmp_path) as stage:
        diagnosis = outcome(stage)
        assert diagnosis.code == row.scenario.code
        in_short = [in_one_line(diagnosis, "To fix it")]
        if diagnosis.resolved:
            in_short = [
                r.getMessage() for r in debug_log.records if r.levelname == "WARNING"
            ]
        check(stage, row, diagnosis, in_short)
        if row.diagnosed and not diagnosis.resolved:
            asked = stage.diagnose()
            assert asked.code == row.scenario.code
            check(stage, row, asked, [in_one_line(asked, "To fix it")])
            check_doctor(stage, row, asked)


def outcome(stage: Stage) -> Diagnosis:
    """Return the diagnosis of the row's call, from its error or its repair."""
    if stage.row.outcome == "answered":
        stage.run()
        assert stage.client.last_diagnosis is not None
        return stage.client.last_diagnosis
    with pytest.raises(AccessDeniedError) as caught:
        stage.run()
    diagnosis: Diagnosis = caught.value.diagnosis
    assert str(caught.value) == str(diagnosis)
    return diagnosis


def check(stage: Stage, row: Advice, diagnosis: Diagnosis, in_short: list[str]) -> None:
    """Each text contains every required phrase and no forbidden one."""
    whole, steps = str(diagnosis), "; ".join(diagnosis.next_steps)
    assert 1 <= len(diagnosis.next_steps) <= 4
    assert len(whole.splitlines()) <= 13
    for text in (whole, diagnosis.report(), *in_short):
        for phrase in row.says:
            assert stage.fill(phrase) in text or diagnosis.resolved
        assert "safe-langsmith explain" in text or diagnosis.resolved
    for phrase in row.says:
        assert stage.fill(phrase) in "\n".join(in_short)
    for phrase in row.shows:
        assert stage.fill(phrase) in whole
    fixes = " ".join(map(str, diagnosis.fixes))
    for phrase in row.never:
        for text in (whole, steps, fixes, *in_short):
            assert stage.fill(phrase) not in without_the_settings(text)
    assert_no_secret("\n".join([diagnosis.report(), *in_short]), stage.secrets)


def check_doctor(stage: Stage, row: Advice, diagnosis: Diagnosis) -> None:
    """Check the same for the doctor's text and JSON, and for a notebook."""
    setup = read_settings(stage.client)
    found = report(Facts(diagnosis, setup, read_machine()))
    lines = rendered(found, Look(10_000)).splitlines()
    told = "\n".join(x for x in lines if not x.startswith(ROWS))
    data = found.as_dict()
    advised = "; ".join(data["next_steps"])
    # Either a command is proven, or there are several to choose from.
    is_proven = len(found.commands) == len(diagnosis.fixes)
    assert is_proven or len(found.commands) > 1
    page = html.unescape(diagnosis._repr_html_())
    for phrase in map(stage.fill, row.says):
        assert phrase in page
        assert phrase in f"{diagnosis.headline} {advised}" or phrase in json.dumps(data)
        # A proven command replaces the step.
        assert phrase.rstrip(".") in told or found.commands
    told = told.partition(found.heading)[0] if found.commands else told
    for phrase in map(stage.fill, row.never):
        assert phrase not in told
        assert phrase not in advised
    assert_no_secret(f"{told}{json.dumps(data)}{page}", stage.secrets)


def without_the_settings(text: str) -> str:
    """Return a text without the lines that show the settings: they are not advice."""
    heads = ("  key: ", "  endpoint: ", "  workspace: ")
    return "\n".join(line for line in text.splitlines() if not line.startswith(heads))
