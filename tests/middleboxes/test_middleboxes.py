"""Real middleboxes between client and LangSmith: nginx, haproxy, and squid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import boxes
import pytest
from middlebox_calls import Call, Outcome, outcome_of
from middlebox_table import CASES, Case, Stage, staged
from stage import assert_no_secret

from safe_langsmith.errors import ERRORS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(boxes.missing()), reason=boxes.missing()),
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:list_runs"),
]
ROWS = [(case, call) for case in CASES for call in case.calls]
WRITES = [(case, call) for case, call in ROWS if call.kind == "write"]


def name_of(row: Any) -> str:
    return row.name if isinstance(row, Case) else str(row)


@pytest.fixture(autouse=True, scope="module")
def reaped_at_the_end() -> Iterator[None]:
    yield
    boxes.reaped()


@pytest.mark.parametrize(("case", "call"), ROWS, ids=name_of)
def test_outcome_of_a_call(case: Case, call: Call) -> None:
    with staged(case.box, case.place, login=case.login) as stage:
        found = outcome_of(call, stage.world, budget_s=case.budget_s)
    if case.passes and call.kind != "write":
        assert_answered(found, call, stage)
        return
    assert isinstance(found.error, ERRORS[case.ends]), repr(found.error)
    assert found.error.code == case.ends
    for pattern in case.says:
        assert re.search(pattern.replace("{url}", re.escape(stage.url)), found.told)
    assert not re.search(case.unsaid, found.told)
    assert_no_secret(found.told, [stage.world.key])
    if call.kind == "write" or not case.arrives:
        assert call.times(stage.server) == case.arrives
    if call.kind == "write":
        assert stage.box.count(call.request) == case.seen
    elif call.kind == "batch":
        assert {type(error) for error in found.errors} == {type(found.error)}
        assert set(stage.server.runs) <= set(found.result)


def assert_answered(found: Outcome, call: Call, stage: Stage) -> None:
    """The call succeeded, as without the middlebox."""
    assert found.error is None
    assert found.result
    assert call.times(stage.server) >= 1
    if call.kind == "batch":
        assert set(stage.server.runs) == set(found.result)


@pytest.mark.parametrize(("case", "call"), WRITES, ids=name_of)
def test_plain_client_executes_writes_as_often(case: Case, call: Call) -> None:
    with staged(case.box, case.place, login=case.login) as stage:
        outcome_of(call, stage.world, plain=True)
    assert call.times(stage.server) == case.arrives
    assert stage.box.count(call.request) == case.seen
