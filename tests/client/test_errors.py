"""Tests for the typed errors and their diagnosis: classes, texts, and copies."""

from __future__ import annotations

import copy
import html
import json
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
import requests
from langsmith.utils import (
    LangSmithAuthError,
    LangSmithError,
    LangSmithNotFoundError,
    LangSmithUserError,
)
from releases import needs_v2

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    Finding,
    Identity,
    SettingInfo,
    WorkspaceInfo,
    errors,
)
from safe_langsmith._diagnosis import Code, Fix, State
from safe_langsmith._sdk.modules import httpx
from safe_langsmith.errors import ERRORS, error_for, resource_error_for

NEVER_RAISED = {"ok", "unknown", "transient-refusal"}
CODES: list[Code] = [code for code in get_args(Code) if code not in NEVER_RAISED]
ALSO = {
    "workspace-required": LangSmithUserError,
    "key-missing": LangSmithAuthError,
    "key-malformed": LangSmithAuthError,
    "key-legacy": LangSmithAuthError,
    "key-rejected": LangSmithAuthError,
}

EXAMPLE = Diagnosis(
    code="workspace-required",
    resolved=False,
    summary="this key needs a workspace, and none is set.",
    next_steps=("choose one and set LANGSMITH_WORKSPACE_ID",),
    operation="GET /sessions",
    status_code=403,
    server_message="org_scoped_key_requires_workspace",
    key="lsv2_sk_…9f2c",
    key_kind="service",
    key_source="LANGSMITH_API_KEY",
    endpoint="https://langsmith.own.example/api/v1",
    endpoint_source="default",
    workspaces=(WorkspaceInfo("0d3c", "Research"), WorkspaceInfo("77ab", "Production")),
)
TEXT = """\
GET /sessions was refused (403): this key needs a workspace, and none is set.
  key:       service key lsv2_sk_…9f2c, from LANGSMITH_API_KEY
  endpoint:  https://langsmith.own.example/api/v1 (default)
  workspace: not set
  server:    org_scoped_key_requires_workspace
  found:     the key can use 2 workspaces:
               0d3c  Research
               77ab  Production
  fix:       choose one and set LANGSMITH_WORKSPACE_ID
  more:      safe-langsmith explain workspace-required"""


def diagnosis_of(code: Code, status: int | None = 403) -> Diagnosis:
    return Diagnosis(code, False, f"it is {code}.", operation="GET /x", status_code=status)


# --- the classes ----------------------------------------------------------------------


def test_each_code_has_one_class_and_each_class_one_code() -> None:
    defined = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, AccessDeniedError)
    ]
    assert sorted(ERRORS) == sorted(CODES)
    assert {error.code: error for error in defined} == ERRORS
    assert len(defined) == len(CODES)
    assert all("code" in vars(error) for error in defined)


def test_each_class_is_public() -> None:
    for error in ERRORS.values():
        assert getattr(safe_langsmith, error.__name__) is error
        assert error.__name__ in safe_langsmith.__all__


def test_the_docstring_of_the_module_lists_the_classes() -> None:
    row = re.compile(r"(?:├──|└──) (\w+)\s+([a-z-]+)(?:\s+also (\w+))?")
    table = {
        name: (code, also or None) for name, code, also in row.findall(errors.__doc__ or "")
    }
    expected = {
        error.__name__: (code, ALSO[code].__name__ if code in ALSO else None)
        for code, error in ERRORS.items()
    }
    expected["AccessDeniedError"] = ("access-denied", None)
    assert table == expected


@pytest.mark.parametrize("code", CODES)
def test_existing_handlers_keep_working(code: Code) -> None:
    error = error_for(diagnosis_of(code))
    assert type(error) is ERRORS[code]
    assert isinstance(error, LangSmithError)
    assert isinstance(error, AccessDeniedError)
    extra = {LangSmithUserError, LangSmithAuthError, LangSmithNotFoundError}
    assert {e for e in extra if isinstance(error, e)} == (
        {ALSO[code]} if code in ALSO else set()
    )
    assert not isinstance(error, requests.HTTPError)


def test_a_code_without_a_class_is_access_denied() -> None:
    """A retry may not fit into the budget; the diagnosis then keeps that code."""
    error = error_for(diagnosis_of("transient-refusal"))
    assert type(error) is AccessDeniedError
    assert error.code == "access-denied"
    assert error.diagnosis.code == "transient-refusal"


VARIANTS: list[tuple[int | None, bool, set[type]]] = [
    (403, False, set()),
    (None, False, set()),
    (400, False, set()),
    (403, True, {requests.HTTPError}),
    (401, False, {LangSmithAuthError}),
    (401, True, {LangSmithAuthError, requests.HTTPError}),
    (404, False, {LangSmithNotFoundError}),
]


@pytest.mark.parametrize(("status", "bare", "also"), VARIANTS)
@pytest.mark.parametrize("code", CODES)
def test_an_error_survives_every_copy(
    code: Code, status: int | None, bare: bool, also: set[type]
) -> None:
    """Process pools, Ray, and Celery copy errors; some have additional base classes."""
    error = error_for(
        diagnosis_of(code, status), instead_of=requests.HTTPError() if bare else None
    )
    twins = [
        pickle.loads(pickle.dumps(error, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for twin in (error, *twins, copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert isinstance(twin, (ERRORS[code]))
        assert all(isinstance(twin, other) for other in also)
        assert type(twin).__name__ == ERRORS[code].__name__
        assert twin.diagnosis == error.diagnosis
        assert twin.code == code
        assert twin.next_steps == error.diagnosis.next_steps
        assert str(twin) == str(error.diagnosis)
        assert vars(twin) == {"diagnosis": error.diagnosis}
        assert twin.args == (error.diagnosis,)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
@pytest.mark.parametrize("code", CODES)
@needs_v2
def test_an_error_of_the_resources_leaves_its_response_out_of_copies(
    code: Code, status: int
) -> None:
    request = httpx.Request("GET", "https://langsmith.own.example/v2/runs")
    response = httpx.Response(status, request=request)
    error: Any = resource_error_for(diagnosis_of(code, status), response, {"error": "no"})
    assert issubclass(type(error), ERRORS[code])
    assert (error.response, error.request) == (response, request)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert (twin.status_code, twin.body) == (status, {"error": "no"})
        assert twin.response is twin.request is None


@pytest.mark.parametrize("code", CODES)
def test_an_error_survives_json(code: Code) -> None:
    """Celery rebuilds an error from its arguments as JSON; the result must be equal."""
    who = Identity("personal", permissions=("runs:read",))
    settings = (SettingInfo("key", "none", "nowhere", passed_over=("another",)),)
    fixes = (Fix("LANGSMITH_WORKSPACE_ID", "1"),)
    diagnosis = replace(EXAMPLE, code=code, identity=who, settings=settings, fixes=fixes)
    error = error_for(diagnosis)
    twin = type(error)(*json.loads(json.dumps([a.__json__() for a in error.args])))
    assert (twin.code, twin.diagnosis, str(twin)) == (code, diagnosis, str(error))


def test_a_copy_of_an_error_can_be_raised() -> None:
    error = error_for(diagnosis_of("key-rejected"), instead_of=requests.HTTPError())
    with pytest.raises(requests.HTTPError, match="it is key-rejected") as caught:
        raise pickle.loads(pickle.dumps(error))
    assert isinstance(caught.value, errors.KeyRejectedError)


# --- the text -------------------------------------------------------------------------


def test_the_text_of_an_error() -> None:
    assert str(EXAMPLE) == TEXT
    assert str(error_for(EXAMPLE)) == TEXT


def changed(**changes: Any) -> Diagnosis:
    return replace(EXAMPLE, **changes)


def texted(**changes: Any) -> str:
    return str(changed(**changes))


def test_a_workspace_is_shown_with_its_source() -> None:
    text = texted(workspace_id="0d3c", workspace_source="the workspace_id argument")
    assert "  workspace: 0d3c (the workspace_id argument)\n" in text


def test_a_missing_key_has_no_source() -> None:
    text = texted(key_kind="missing", key="none", key_source="nowhere")
    assert "  key:       not set\n" in text


def test_a_setting_that_is_empty_is_named() -> None:
    text = texted(key_kind="missing", key_source="LANGSMITH_API_KEY")
    assert "  key:       not set (LANGSMITH_API_KEY is empty)\n" in text
    text = texted(workspace_source="the workspace_id argument")
    assert "  workspace: not set (the workspace_id argument is empty)\n" in text


def test_the_region_of_an_official_endpoint_is_shown() -> None:
    assert "(default), region EU\n" in texted(region="EU")


def test_a_repaired_refusal_says_so() -> None:
    assert texted(resolved=True).startswith("GET /sessions was refused at first (403): ")


@pytest.mark.parametrize("code", ["ok", "unknown"])
def test_without_a_refusal_the_text_begins_with_the_summary(code: Code) -> None:
    lines = texted(code=code, status_code=None, summary="all is well.").splitlines()
    assert lines[0] == "all is well."
    assert not any("more:" in line for line in lines)


def test_one_workspace_is_in_the_singular() -> None:
    text = texted(workspaces=(WorkspaceInfo("0d3c"),))
    assert "  found:     the key can use 1 workspace:\n               0d3c\n" in text


def test_good_findings_stay_out_of_the_text() -> None:
    good = Finding("key", "good", "LangSmith accepts the key")
    bad = Finding("proxy", "bad", "a page")
    assert "found:" not in texted(workspaces=(), findings=(good,))
    assert "  found:     a page\n" in texted(workspaces=(), findings=(good, bad))
    assert str(good) == "✓ key: LangSmith accepts the key"
    assert str(bad) == "✗ proxy: a page"
    assert str(Finding("region", "unknown", "perhaps")) == "? region: perhaps"


def test_the_text_stays_short_with_many_workspaces_and_findings() -> None:
    """What is omitted is counted, and the text says where to find it."""
    workspaces = tuple(WorkspaceInfo(str(n), f"name {n}") for n in range(200))
    findings = tuple(Finding("settings", "bad", f"finding {n}") for n in range(50))
    text = texted(workspaces=workspaces)
    assert "and 196 more, in error.diagnosis.workspaces" in text
    assert len(text.splitlines()) <= 13
    text = texted(workspaces=(), findings=findings)
    assert "finding 4\n" in text
    assert "and 45 more, in error.diagnosis.findings" in text
    assert len(text.splitlines()) <= 13
    text = texted(workspaces=workspaces, findings=findings)
    assert "and more, in error.diagnosis\n" in text
    assert len(text.splitlines()) <= 13
    # If workspaces are omitted, their own count is, too.
    text = texted(workspaces=workspaces[:7], next_steps=("one", "two"))
    assert "name 2\n" in text
    assert "name 3" not in text
    assert "and more, in error.diagnosis\n" in text
    text = texted(findings=findings, next_steps=("one", "two", "three"))
    assert "Research" in text
    assert len(text.splitlines()) <= 13
    assert len(texted(server_message="x" * 999).splitlines()[4]) < 200


# --- as data --------------------------------------------------------------------------


def test_a_diagnosis_is_plain_data() -> None:
    found = changed(findings=(Finding("key", "good", "known"),))
    data = json.loads(json.dumps(found.as_dict()))
    assert data == found.as_dict()
    assert data["findings"] == [{"subject": "key", "state": "good", "text": "known"}]
    assert data["workspaces"][0] == {"id": "0d3c", "name": "Research"}
    assert data["next_steps"] == list(EXAMPLE.next_steps)
    assert data["code"] == "workspace-required"


def test_a_diagnosis_is_frozen() -> None:
    with pytest.raises(AttributeError):
        EXAMPLE.code = "ok"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(EXAMPLE)) == EXAMPLE
    assert len({EXAMPLE, copy.deepcopy(EXAMPLE)}) == 1


class Cells(HTMLParser):
    """Collect the tags and the texts of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_the_table_of_a_notebook_is_escaped() -> None:
    """Every text could come from the server."""
    evil = '<script>alert("1")</script>&'
    found = changed(
        summary=evil,
        next_steps=(evil,),
        findings=(Finding("key", "good", evil),),
        operation=evil,
        key_source=evil,
        endpoint=evil,
        workspace_id=evil,
        workspaces=(WorkspaceInfo(evil, evil),),
        region=evil,
        settings=(SettingInfo("project", evil, f"{evil} ", (evil,)),),
    )
    table = Cells()
    table.feed(found._repr_html_())
    assert table.tags == {"table", "tr", "th", "td", "b"}
    text = "".join(table.cells)
    assert text.count(evil) == 13
    assert html.escape(evil) not in text


def cells_of(shown: Any) -> list[str]:
    """Return the texts that a notebook shows for an object."""
    table = Cells()
    table.feed(shown._repr_html_())
    return table.cells


@pytest.mark.parametrize(
    ("changes", "state", "fix"),
    [
        ({}, "✗ refused", "fix"),
        ({"resolved": True}, "✓ repaired", "make it permanent"),
        ({"code": "ok", "resolved": True, "status_code": None}, "✓ ok", "fix"),
        ({"code": "unknown", "status_code": None}, "? unknown", "fix"),
    ],
)
def test_the_table_begins_with_the_state_and_the_fix(
    changes: dict[str, Any], state: str, fix: str
) -> None:
    """The state is also in words, and each step has its own line."""
    found = changed(next_steps=("one", "two"), **changes)
    head = ["result", state, f" {found.headline}", fix, "one\ntwo"]
    assert cells_of(found)[:5] == head
    assert cells_of(changed(next_steps=()))[3] == "workspace you can use"


def test_the_table_shows_the_state_of_each_finding() -> None:
    findings = tuple(Finding("key", state, "seen") for state in get_args(State))
    cells = cells_of(changed(findings=findings))
    assert [c for c in cells if c[0] in "✓✗?"][1:] == ["✓ good", "✗ bad", "? unknown"]


def test_a_table_is_readable_in_light_and_dark_narrow_and_wide() -> None:
    """It sets no background and no width, breaks long words, and has enough contrast."""
    page = changed(findings=(Finding("a", "good", "b"), Finding("a", "unknown", "b")))
    text = page._repr_html_()
    assert "background" not in text
    assert "width" not in text
    assert text.count("overflow-wrap: anywhere") == text.count("<td")
    colors = set(re.findall(r'style="color: #(\w{6})"', text))
    assert len(colors) == 3
    for color in colors:
        light = luminance(color)
        for page_color in ("ffffff", "111111", "1e1e1e"):
            dark, bright = sorted((light, luminance(page_color)))
            assert (bright + 0.05) / (dark + 0.05) >= 3.5, (color, page_color)


def luminance(color: str) -> float:
    """Return the relative luminance of a color, as defined in WCAG 2."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (
        p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_table_of_an_identity() -> None:
    evil = "<script>"
    sender = Identity("personal", "o", evil, workspace_name=evil, role="r")
    cells = cells_of(sender)
    assert cells[:2] == ["who", f"user {evil}, with a personal key"]
    assert "".join(cells).count(evil) == 2
    assert cells[::2] == [line.partition(":")[0] for line in str(sender).splitlines()]


# --- the short form ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "short"),
    [
        (
            EXAMPLE,
            "<Diagnosis workspace-required: GET /sessions was refused (403): this key "
            "needs a workspace, and none is set.>",
        ),
        (Diagnosis("ok", True, "All is well."), "<Diagnosis ok: All is well.>"),
        (
            Diagnosis("unknown", False, "It is down.", operation="GET /x"),
            "<Diagnosis unknown: GET /x, It is down.>",
        ),
    ],
)
def test_a_diagnosis_is_short_in_a_log(found: Diagnosis, short: str) -> None:
    assert repr(found) == short
    assert repr(error_for(found)) == f"{type(error_for(found)).__name__}({short})"


def test_the_short_form_is_truncated() -> None:
    assert len(repr(error_for(changed(summary="long " * 99)))) < 200
