"""Tests for the doctor: every scenario, each output format, several kinds of terminals."""

from __future__ import annotations

import fcntl
import inspect
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import langsmith
import pytest
import scenarios
from conftest import Serve
from pages import DOCS, ROOT
from scenarios import GONE, Scenario, list_projects
from stage import Stage, assert_no_secret, staged
from table import SCENARIOS

import safe_langsmith
from safe_langsmith import Diagnosis, Fix, SafeClient
from safe_langsmith._command.cli import main
from safe_langsmith._command.doctor import SECTIONS, Facts, Line, Report, examined, report
from safe_langsmith._command.report import rendered
from safe_langsmith._command.terminal import Look, Progress, columns, wrapped
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._settings.machine import Machine
from safe_langsmith._settings.sources import Settings, Setup
from safe_langsmith.testing import SimulatedLangSmith

GOLDEN = ROOT / "tests" / "golden"
SCHEMA = json.loads(
    (Path(safe_langsmith.__file__).parent / "doctor.schema.json").read_text()
)
LINUX = Machine("3.12.1", "0.15.1", "Linux 6 x86_64")
COLOUR = re.compile(r"\x1b\[\d+m")


def doctor_of(stage: Stage) -> Report:
    """Return the doctor's report on the client of a scenario."""
    assert isinstance(stage.client, SafeClient)
    return report(examined(stage.client))


def every_form(found: Report) -> str:
    """Return the report in every output format; check that each is valid."""
    data = found.as_dict()
    jsonschema.validate(data, SCHEMA)
    forms = [json.dumps(data), repr(data)]
    for look in (Look(), Look(encoding="ascii"), Look(60), Look(120, colour=True)):
        for verbose in (False, True):
            text = rendered(found, look, verbose=verbose)
            assert not too_wide(text, found, look.width)
            text.encode(look.encoding)
            forms.append(text)
    assert rows_of(rendered(found, Look())) <= 23
    return "\n".join(forms)


def too_wide(text: str, found: Report, width: int) -> list[str]:
    """Return the lines wider than the terminal, except commands: they are never broken."""
    plain = COLOUR.sub("", text).splitlines()
    commands = tuple(f"  {command.text}" for command in found.commands)
    wide = [line for line in plain if columns(line) > width]
    return [line for line in wide if not commands or not line.startswith(commands)]


def rows_of(text: str, width: int = 80) -> int:
    """Return the number of terminal rows that a text needs."""
    lines = COLOUR.sub("", text).splitlines()
    return sum(max(1, -(-columns(line) // width)) for line in lines)


def lines_of(found: Report, section: str) -> list[Line]:
    return [x for s in found.sections if s.name == section for x in s.lines]


# --- every scenario -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("row", [s for s in SCENARIOS if s.call is list_projects], ids=str)
def test_the_verdict_is_that_of_the_error(row: Scenario, tmp_path: Path) -> None:
    with staged(row, "sync client", tmp_path) as stage:
        found = doctor_of(stage)
        assert found.code == row.code or row.name.endswith("in a row")
        for verbose in (False, True):
            first = rendered(found, Look(500), verbose=verbose).splitlines()[0]
            assert f"\u2717 {found.code}: " in first
        assert found.problems
        marks = [line for s in found.sections for line in s.lines if line.state == "bad"]
        assert any(x.name == "cause" for x in marks)
        assert found.verdict.next_steps
        assert_no_secret(every_form(found), stage.secrets)


@pytest.mark.parametrize(
    "row", [s for s in SCENARIOS if s.call is not list_projects], ids=str
)
def test_other_calls(row: Scenario, tmp_path: Path) -> None:
    """The doctor's own call may succeed; a missing permission is reported anyway."""
    with staged(row, "sync client", tmp_path) as stage:
        found = doctor_of(stage)
        assert found.code in ("ok", row.code) or row.name.endswith("in a row")
        assert_no_secret(every_form(found), stage.secrets)
        if row.code != "permission-missing":
            return
        with pytest.raises(safe_langsmith.PermissionMissingError) as caught:
            stage.run()
        needed = caught.value.diagnosis.required_permission
        states = {x.state for x in lines_of(found, "permissions") if x.name == needed}
        assert "good" not in states


# --- golden outputs -------------------------------------------------------------------


def put(settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Set these environment variables."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def in_a_healthy_world(server: SimulatedLangSmith) -> dict[str, str]:
    key = scenarios.personal_of_two(server)["key"]
    return {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}


def without_a_workspace(server: SimulatedLangSmith) -> dict[str, str]:
    key = scenarios.organization_key_of_two(server)["key"]
    return {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}


def with_traces_refused(server: SimulatedLangSmith) -> dict[str, str]:
    key = scenarios.viewer(server)["key"]
    settings = {"LANGSMITH_API_KEY": key, "LANGSMITH_ENDPOINT": server.url}
    return {**settings, "LANGSMITH_TRACING": "true", "LANGSMITH_PROJECT": "nightly"}


def with_a_broken_switch(server: SimulatedLangSmith) -> dict[str, str]:
    return {**in_a_healthy_world(server), "LANGSMITH_TRACING": "True"}


def in_a_dotenv(server: SimulatedLangSmith) -> dict[str, str]:
    """Write an organization key only to a `.env`, with one line that cannot be parsed."""
    settings = without_a_workspace(server)
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    Path(".env").write_text(
        "".join([*lines, "LANGSMITH_WORKSPACE_ID: x\nLANGSMITH_TRACING=true\n"])
    )
    return {"LANGSMITH_PROJECT": "nightly"}


def with_a_strange_key(server: SimulatedLangSmith) -> dict[str, str]:
    return {**in_a_healthy_world(server), "LANGSMITH_API_KEY": GONE}


def without_an_answer(server: SimulatedLangSmith) -> dict[str, str]:
    server.answer("*", status=500, body="oops")
    return in_a_healthy_world(server)


WORLDS = {
    "healthy": (in_a_healthy_world, 0, ()),
    "workspace-required": (without_a_workspace, 1, ()),
    "permission-missing": (with_traces_refused, 1, ()),
    "odd-switch": (with_a_broken_switch, 0, ()),
    "unknown": (without_an_answer, 3, ()),
    "offline": (in_a_healthy_world, 3, ("--offline",)),
    "dotenv": (in_a_dotenv, 1, ()),
    "key-rejected": (with_a_strange_key, 1, ()),
}
FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "txt": ("utf-8", ()),
    "ascii.txt": ("ascii", ()),
    "full.txt": ("utf-8", ("-v",)),
    "json": ("utf-8", ("--json",)),
}


def masked(text: str) -> str:
    """Mask what differs between runs; equal ids get the same mask."""
    ids = dict.fromkeys(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))
    for number, known in enumerate(ids, 1):
        text = text.replace(known, f"<id {number}>")
    text = re.sub(r"(lsv2_.._(?:…|\\u2026|\.\.\.))\w{4}", r"\1<end>", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "<host>", text)
    for name in ("Python", "langsmith", "safe-langsmith", "platform"):
        text = re.sub(rf"(?m)^(    {name} +)\S.*$", r"\1<some>", text)
        text = re.sub(rf'("name": "{name}",\s+"text": ")[^"]*', r"\1<some>", text)
    return text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("world", WORLDS)
def test_golden(
    world: str,
    form: str,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To rewrite them: RENEW_GOLDEN=1 pytest tests/command/test_doctor.py -k golden."""
    make, code, options = WORLDS[world]
    settings = make(server)
    put(settings, monkeypatch)
    encoding, more = FORMS[form]
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["doctor", *options, *more]) == code
    monkeypatch.undo()
    shown = raw.getvalue().decode(encoding)
    assert_no_secret(shown, [settings.get("LANGSMITH_API_KEY", "lsv2_sk_0")])
    path = GOLDEN / f"{world}.{form}"
    if os.environ.get("RENEW_GOLDEN"):
        path.write_text(masked(shown), encoding="utf-8")
    assert masked(shown) == path.read_text(encoding="utf-8")
    if form == "json":
        jsonschema.validate(json.loads(shown), SCHEMA)
    else:
        wide = [line for line in shown.splitlines() if columns(line) > 80]
        assert all("  # " in line for line in wide)
        assert form == "full.txt" or rows_of(shown) <= 20
    if "--offline" in options:
        assert not server.exchanges


def test_the_page_shows_what_the_doctor_says() -> None:
    """The page shows the doctor's real output, except omitted parts."""
    page = (DOCS / "doctor.md").read_text(encoding="utf-8")
    short, full = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    golden = (GOLDEN / "workspace-required.txt").read_text(encoding="utf-8")
    assert masked(short) == golden
    golden = (GOLDEN / "workspace-required.full.txt").read_text(encoding="utf-8")
    said = [part.strip("\n") for part in golden.split("\n\n")]
    parts = masked(full).split("\n...\n")
    assert len(parts) == 2
    assert all(part.strip("\n") in said for part in "\n".join(parts).split("\n\n"))


def test_the_page_names_every_section() -> None:
    page = (DOCS / "doctor.md").read_text(encoding="utf-8")
    for name in SECTIONS:
        assert f"| {name.capitalize()} |" in page


def test_the_schema_is_a_schema_and_holds_something() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    data = json.loads((GOLDEN / "workspace-required.json").read_text(encoding="utf-8"))
    jsonschema.validate(data, SCHEMA)
    changes: list[dict[str, Any]] = [
        {"code": "forbidden"},
        {"schema_version": 1},
        {"sections": [{}]},
    ]
    for wrong in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**data, **wrong}, SCHEMA)


# --- terminals ------------------------------------------------------------------------


@contextmanager
def terminal(width: int) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the user's end and the program's end."""
    person, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    try:
        yield person, program
    finally:
        os.close(person)


def on_a_terminal(width: int, *arguments: str, **environ: str) -> tuple[str, str, int]:
    """Run the doctor with one terminal for stdout and another for stderr."""
    with terminal(width) as (person, out), terminal(width) as (other, err):
        process = subprocess.Popen(
            [sys.executable, "-m", "safe_langsmith", "doctor", *arguments],
            env={**os.environ, "TERM": "xterm-256color", **environ},
            stdout=out,
            stderr=err,
        )
        os.close(out)
        os.close(err)
        shown = read_to_the_end(person), read_to_the_end(other)
        return *shown, process.wait(60)


def read_to_the_end(person: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(person, 65536)
        except OSError:  # Linux: the program has closed its end
            piece = b""
        if not piece:
            return b"".join(pieces).decode().replace("\r\n", "\n")
        pieces.append(piece)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-v",)])
@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal(
    server: SimulatedLangSmith, width: int, options: tuple[str, ...]
) -> None:
    """The output fits its width and has colors; the progress line is erased at the end."""
    settings = without_a_workspace(server)
    server.answer("/workspaces", status=None, delay=0.3)
    shown, beside, code = on_a_terminal(width, *options, **settings)
    assert code == 1
    plain = COLOUR.sub("", shown)
    assert "\x1b[31m\u2717\x1b[0m workspace-required: " in shown
    assert ("\x1b[1mEnvironment\x1b[0m" in shown) == ("-v" in options)
    assert rows_of(shown, width) < 24 or "-v" in options
    lines = [line for line in plain.splitlines() if "  # " not in line]
    widest = max(map(columns, lines))
    assert widest <= width
    assert widest <= 80 or width > 80
    assert f"\rasking {server.url} (0 s)" in beside
    assert beside.endswith(" \r")
    assert_no_secret(shown + beside, [settings["LANGSMITH_API_KEY"]])


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours(server: SimulatedLangSmith, environ: dict[str, str]) -> None:
    shown, beside, code = on_a_terminal(80, **in_a_healthy_world(server), **environ)
    assert code == 0
    assert "\x1b" not in shown + beside
    assert bool(beside) == ("NO_COLOR" in environ)


@pytest.mark.slow
def test_a_terminal_that_was_never_told_its_size(server: SimulatedLangSmith) -> None:
    shown, _, _ = on_a_terminal(0, **without_a_workspace(server))
    lines = COLOUR.sub("", shown).splitlines()
    assert max(columns(line) for line in lines if "  # " not in line) <= 80


@pytest.mark.slow
def test_json_on_a_terminal_is_json(server: SimulatedLangSmith) -> None:
    shown, _, _ = on_a_terminal(80, "--json", **in_a_healthy_world(server))
    jsonschema.validate(json.loads(shown), SCHEMA)


def test_piped(server: SimulatedLangSmith) -> None:
    """There are no colors and no progress, although TERM is set."""
    done = subprocess.run(
        [sys.executable, "-m", "safe_langsmith", "doctor"],
        env={**os.environ, **in_a_healthy_world(server), "TERM": "xterm-256color"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"\x1b" not in done.stdout
    assert b"\r" not in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "utf-16", "cp437"])
def test_what_a_terminal_cannot_show(encoding: str) -> None:
    look = Look(encoding=encoding)
    text = look.shown("für lsv2_pt_…9f2c, 研究")
    assert text.encode(encoding)
    assert ("für" in text) == (encoding != "ascii")
    assert ("研究" in text) == encoding.startswith("utf")
    assert "lsv2_pt_…9f2c" in text or "lsv2_pt_...9f2c" in text


def test_an_old_console_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(90) as (_, program), os.fdopen(program, "w", encoding="utf-8") as stream:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert Look.of(stream) == Look(90, "utf-8", colour=True)
        monkeypatch.setattr(sys, "platform", "win32")
        assert Look.of(stream) == Look(90, "utf-8", colour=False)
        monkeypatch.setenv("WT_SESSION", "1")
        assert Look.of(stream) == Look(90, "utf-8", colour=True)
        monkeypatch.setenv("NO_COLOR", "1")
        assert Look.of(stream) == Look(90, "utf-8", colour=False)


def test_wrapping_counts_columns() -> None:
    text = "研究 " * 30 + "e\u0301" * 90
    assert all(columns(line) <= 40 for line in wrapped(text, 40, "- "))
    together = "".join(
        line.strip(" -").replace(" ", "") for line in wrapped(text, 40, "- ")
    )
    assert together == text.replace(" ", "")
    assert columns("研") == 2
    assert columns(unicodedata.normalize("NFD", "é")) == 1
    assert wrapped("", 40, "- ") == ["-"]


def test_progress_shows_the_time_and_goes_away() -> None:
    with terminal(50) as (person, program):
        stream = os.fdopen(program, "w", encoding="ascii")
        with stream, Progress("asking … " + "x" * 90, stream):
            seen = os.read(person, 1000).decode()
            assert os.read(person, 1000)  # it is updated
        assert seen == "\r" + ("asking ... " + "x" * 90)[:49]
        assert read_to_the_end(person).endswith(f"\r{' ' * 49}\r")


# --- options --------------------------------------------------------------------------


def run_json(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[dict[str, Any], int]:
    code = main(["doctor", "--json", *arguments])
    data = json.loads(capsys.readouterr().out)
    jsonschema.validate(data, SCHEMA)
    return data, code


def settings_of(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    found = data["diagnosis"]["settings"]
    return {s["name"]: (s["value"], s["source"]) for s in found}


def test_another_endpoint_and_workspace(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = scenarios.personal_of_two(server)
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    place = ("--api-url", server.url, "--workspace-id")
    data, code = run_json(capsys, *place, names["other"])
    assert (code, data["code"], data["workspace_id"]) == (0, "ok", names["other"])
    assert settings_of(data)["endpoint"] == (server.url, "--api-url")
    data, code = run_json(capsys, *place, names["foreign"])
    assert (code, data["code"]) == (1, "workspace-mismatch")
    assert data["commands"][-1] == "safe-langsmith explain workspace-mismatch"


def test_a_profile(server: SimulatedLangSmith, capsys: pytest.CaptureFixture[str]) -> None:
    names = scenarios.personal(server)
    profile = {"api_url": server.url, "api_key": names["key"]}
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"profiles": {"work": profile}}))
    if "profile" not in inspect.signature(langsmith.Client).parameters:
        assert main(["doctor", "--profile", "work"]) == 2
        assert "--profile needs a newer langsmith" in capsys.readouterr().err
        return
    data, code = run_json(capsys, "--profile", "work")
    assert (code, data["api_url"]) == (0, server.url)
    assert "profile 'work'" in data["auth_source"]


PROFILES = pytest.mark.skipif(
    "profile" not in inspect.signature(langsmith.Client).parameters, reason="no profiles"
)


@PROFILES
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (None, "there is no ~/.langsmith/config.json"),
        ((), "~/.langsmith/config.json has none"),
        (("a", "b"), "~/.langsmith/config.json has 'a', 'b'"),
        ("abcdefg", "~/.langsmith/config.json has 'a', 'b', 'c', 'd', 'e', and 2 more"),
    ],
)
def test_a_profile_that_does_not_exist(
    names: Sequence[str] | None,
    says: str,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The SDK ignores it, and uses the other settings."""
    put(in_a_healthy_world(server), monkeypatch)
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    if names is not None:
        profiles = {name: {"api_key": GONE} for name in names}
        path.write_text(json.dumps({"profiles": profiles}))
    assert main(["doctor", "--profile", "work"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, server.exchanges) == ("", ())
    assert shown.err == f"safe-langsmith: --profile names profile 'work'; {says}\n"


@PROFILES
@pytest.mark.parametrize(
    ("profile", "what"),
    [
        ({"api_key": GONE, "api_url": "http://127.0.0.1:9"}, ("key", "endpoint")),
        ({"api_key": GONE}, ("key",)),
        ({"oauth": {"access_token": "x"}}, ("key",)),
    ],
)
def test_a_profile_that_variables_override(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    profile: dict[str, Any],
    what: tuple[str, ...],
) -> None:
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"profiles": {"work": profile}}))
    put(in_a_healthy_world(server), monkeypatch)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert main(["doctor", "--profile", "work", "--strict"]) == 1
    shown = capsys.readouterr().out
    by = {"key": "LANGSMITH_API_KEY", "endpoint": "LANGSMITH_ENDPOINT"}
    for name in what:
        text = f"! --profile: its {name} is not used; {by[name]} overrides it\n"
        assert text in shown
    assert shown.count("\n! ") == len(what)


def test_a_langsmith_that_knows_no_profiles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    monkeypatch.setattr(SafeClient.__init__, "__signature__", inspect.Signature(alone))
    assert main(["doctor", "--profile", "work"]) == 2
    assert "--profile needs a newer langsmith" in capsys.readouterr().err


def test_regions_are_asked_if_that_is_said(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for region in REGIONS:
        serve_tls(region.api.removeprefix("https://"))
    there = serve_tls("eu.api.smith.langchain.com")
    monkeypatch.setenv("LANGSMITH_API_KEY", scenarios.personal(there)["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://api.smith.langchain.com")
    for options in ((), ("--no-probe-regions",)):
        data, code = run_json(capsys, *options)
        assert (code, data["code"]) == (1, "key-rejected")
        assert data["commands"] == ["safe-langsmith explain key-rejected"]
        assert not there.exchanges
    data, code = run_json(capsys, "--probe-regions")
    assert (code, data["code"]) == (1, "wrong-region")
    assert (
        "export LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com" in data["commands"]
    )


def test_a_time_limit(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was not checked in time is marked `?`; everything else is reported."""
    put(in_a_healthy_world(server), monkeypatch)
    server.answer("/sessions", status=None, delay=60)
    data, code = run_json(capsys, "--timeout", "0.3")
    server.clear_answers()
    assert (code, data["code"]) == (3, "unknown")
    states = {
        (s["name"], x["name"]): x["state"] for s in data["sections"] for x in s["lines"]
    }
    assert states["endpoint", "reachable"] == "unknown"
    assert states["key", "format"] == "good"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "601"])
def test_no_time_at_all(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["doctor", f"--timeout={text}"])
    assert end.value.code == 2
    assert f"{text!r} is not between 0 and 600 seconds" in capsys.readouterr().err


def test_offline_says_what_needs_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", "sk-ant-0123456789abcdef")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "api.smith.langchain.com")
    data, code = run_json(capsys, "--offline")
    assert (code, data["code"], data["offline"]) == (1, "wrong-endpoint", True)
    monkeypatch.delenv("LANGSMITH_ENDPOINT")
    clear_caches()
    data, code = run_json(capsys, "--offline")
    assert (code, data["code"]) == (3, "unknown")
    key = next(s["lines"] for s in data["sections"] if s["name"] == "key")
    assert "it looks like a key from Anthropic" in [x["text"] for x in key]
    monkeypatch.setenv("LANGSMITH_API_KEY", f"{GONE}\u00e9")
    clear_caches()
    data, code = run_json(capsys, "--offline")
    assert (code, data["code"]) == (1, "key-malformed")


# --- the report -----------------------------------------------------------------------


def facts(**changes: Any) -> Facts:
    """Return the facts about settings that work."""
    diagnosis = Diagnosis("ok", resolved=True, summary="LangSmith accepts these settings.")
    known = Facts(diagnosis, Setup(held=Settings()), LINUX)
    return replace(known, **changes)


def test_a_section_that_breaks_ends_nothing() -> None:
    """Without facts about the machine, only that section fails."""
    found = report(facts(machine=None))
    (line,) = lines_of(found, "environment")
    assert line == Line("unknown", "unknown", "this check failed: AttributeError")
    assert lines_of(found, "caches")
    assert rendered(found, Look(), verbose=True).startswith("\u2713 ")


def test_a_diagnosis_that_breaks_ends_nothing(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(SafeClient):
        def diagnose(self) -> Diagnosis:
            raise RuntimeError(self.api_key)

    client = Broken(server.url, api_key=GONE, auto_batch_tracing=False)
    with client.session:
        found = report(examined(client))
    assert found.code == "unknown"
    assert found.message == "the check failed: RuntimeError."
    assert {x.name for x in lines_of(found, "settings")} >= {"key", "endpoint"}
    (line,) = [x for x in lines_of(found, "endpoint") if x.name == "reachable"]
    assert line.state == "unknown"
    assert_no_secret(every_form(found), [GONE])


def test_tracing_checks_that_break_end_nothing(server: SimulatedLangSmith) -> None:
    class Broken(SafeClient):
        @property
        def tracing_mode(self) -> Any:
            raise RuntimeError(f"no mode\n{self.api_key}")

    names = scenarios.personal(server)
    client = Broken(server.url, api_key=names["key"], auto_batch_tracing=False)
    with client.session:
        found = report(examined(client))
    assert found.code == "ok"
    (line,) = [x for x in lines_of(found, "tracing") if x.name == "ignored"]
    assert line.text.startswith("no mode lsv2_pt_\u2026")
    assert_no_secret(every_form(found), [names["key"]])


def test_settings_that_break_end_nothing(server: SimulatedLangSmith) -> None:
    """If the settings cannot be read, the report says that the check failed."""
    client = SafeClient(server.url, api_key=GONE, auto_batch_tracing=False)
    assert client._safe is not None
    del client._safe.initial
    with client.session:
        found = report(examined(client))
    assert (found.code, found.message) == ("unknown", "the check failed: AttributeError.")
    assert lines_of(found, "settings")[0].state == "unknown"
    assert_no_secret(every_form(found), [GONE])


def test_destinations(server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their addresses are shown, but never a key or a password."""
    there = [{"api_url": "https://me:secret@other.example", "api_key": GONE}]
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", json.dumps(there))
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = SafeClient(auto_batch_tracing=False)
    with client.session:
        found = report(examined(client, offline=True))
    places = [x.text for x in lines_of(found, "tracing") if x.name == "destination"]
    (place,) = places
    assert place.startswith("https://other.example with personal key lsv2_pt_\u2026")
    assert "secret" not in every_form(found)
    assert_no_secret(every_form(found), [GONE])


def test_destinations_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGCHAIN_RUNS_ENDPOINTS", f"https://other.example {GONE}")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    data, code = run_json(capsys, "--offline")
    assert code == 3
    tracing = next(s["lines"] for s in data["sections"] if s["name"] == "tracing")
    (line,) = [x for x in tracing if x["name"] == "ignored"]
    assert line["state"] == "warning"
    why = "langsmith ignores LANGCHAIN_RUNS_ENDPOINTS: it must be JSON"
    assert line["text"].startswith(why)
    assert_no_secret(json.dumps(data), [GONE])


# What a profile contains, and the message that explains why there is no client.
BROKEN_PROFILES = {
    "a key that is a list": ({"api_key": ["x"]}, "the SDK cannot read this profile"),
    "an endpoint that is a number": (
        {"api_url": 5, "api_key": "x"},
        "api_url of profile 'default' is not text",
    ),
    "a session that is a list": ({"oauth": ["x"]}, "the SDK cannot read this profile"),
    "a workspace that is a list": (
        {"workspace_id": [1], "api_key": "x"},
        "workspace_id of profile 'default' is not text",
    ),
    "a deep one": ("[" * 200_000, "not valid JSON"),
}


@PROFILES
@pytest.mark.parametrize("place", ["home", ".env"])
@pytest.mark.parametrize(("profile", "why"), BROKEN_PROFILES.values(), ids=BROKEN_PROFILES)
def test_a_broken_profile(
    profile: object,
    why: str,
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The plain client fails with a traceback; each command explains it in one line."""
    text = profile
    if not isinstance(profile, str):
        text = json.dumps({"profiles": {"default": profile}})
    path = Path.home() / ".langsmith" / "config.json"
    if place == ".env":
        path = tmp_path / "c.json"
        Path(".env").write_text(f"LANGSMITH_CONFIG_FILE={path}\n")
    path.parent.mkdir(exist_ok=True)
    path.write_text(str(text))
    for command in (langsmith.Client, SafeClient) if place == "home" else ():
        with pytest.raises((AttributeError, RecursionError, TypeError)):
            command()
    data, code = run_json(capsys)
    assert code == 1
    assert why in data["message"]
    assert main(["doctor", "-v"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "? URL not checked: no client" in shown
    for words in (["whoami"], ["can-i", "runs:create"], ["replay", str(tmp_path)]):
        assert main(words) in ((1,) if place == "home" else (2, 3))
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1)
        assert (why if place == "home" else "nothing was sent") in err


# Variables with which the SDK cannot create a client.
REFUSED = {
    "sampling": {"LANGSMITH_TRACING_SAMPLING_RATE": "7"},
    "destinations": {"LANGSMITH_RUNS_ENDPOINTS": '{"https://other.example": "x"}'},
}


@pytest.mark.parametrize("more", REFUSED.values(), ids=REFUSED)
def test_what_is_set_is_told_without_a_client(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, str],
) -> None:
    own = in_a_healthy_world(server)
    own["LANGSMITH_WORKSPACE_ID"] = "w"
    more = {**own, **more, "LANGSMITH_FAILED_TRACES_DIR": "x", "LANGSMITH_PROJECT": "mine"}
    put(more, monkeypatch)
    data, code = run_json(capsys)
    assert (code, data["problems"]) == (1, 1)
    lines = {(s["name"], x["name"]): x for s in data["sections"] for x in s["lines"]}
    texts = {place: x["text"] for place, x in lines.items()}
    assert texts["endpoint", "URL"] == f"{server.url} (LANGSMITH_ENDPOINT)"
    assert texts["workspaces", "configured"].endswith("(LANGSMITH_WORKSPACE_ID)")
    assert texts["tracing", "project"] == "mine (LANGSMITH_PROJECT)"
    assert texts["tracing", "on failure"] == (
        "traces are saved in LANGSMITH_FAILED_TRACES_DIR"
    )
    assert lines["tracing", "sent by"]["state"] == "unknown"
    assert not any("nowhere" in text for text in texts.values())
    assert server.exchanges == ()


@pytest.mark.parametrize("more", REFUSED.values(), ids=REFUSED)
def test_each_counted_warning_has_a_mark(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, str],
) -> None:
    """This holds even if there is no client, so that the settings are not shown."""
    misspelled = {"LANGSMITH_APIKEY": "x"}
    put({**in_a_healthy_world(server), **more, **misspelled}, monkeypatch)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "1 problem, 2 warnings" in shown
    assert shown.count("\n! ") == 2
    for name in more:
        monkeypatch.delenv(name)
    clear_caches()
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "0 problems, 2 warnings" in shown
    assert shown.count("\n! ") == 2


def test_two_settings_that_exclude_each_other_in_two_places(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cause is that no client can be created, not that nothing was sent."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text('LANGSMITH_RUNS_ENDPOINTS={"https://evil.example": "x"}\n')
    data, code = run_json(capsys)
    assert (code, data["problems"]) == (1, 1)
    assert data["message"].startswith(
        "langsmith cannot create a client with these settings"
    )
    assert server.exchanges == ()


def test_sampling_and_saving(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sampling rate of 0 loses no traces, although the role cannot create runs."""
    put(with_traces_refused(server), monkeypatch)
    monkeypatch.setenv("LANGSMITH_TRACING_SAMPLING_RATE", "0")
    monkeypatch.setenv("LANGSMITH_FAILED_TRACES_DIR", "traces")
    data, code = run_json(capsys)
    assert (code, data["code"]) == (0, "ok")
    tracing = next(s["lines"] for s in data["sections"] if s["name"] == "tracing")
    lines = {x["name"]: (x["state"], x["text"]) for x in tracing}
    assert lines["sampled"] == ("warning", "0% of all traces")
    assert lines["destination"][0] == "warning"
    assert lines["on failure"][1] == "traces are saved in LANGSMITH_FAILED_TRACES_DIR"


def test_caches_that_differ(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The caches are outdated if a process keeps running, as in a notebook."""
    settings = in_a_healthy_world(server)
    put(settings, monkeypatch)
    run_json(capsys)
    from langsmith.utils import get_tracer_project

    assert get_tracer_project() == "default"
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", scenarios.STRANGE)
    monkeypatch.setenv("LANGSMITH_PROJECT", "nightly")
    data, _ = run_json(capsys)
    caches = next(s["lines"] for s in data["sections"] if s["name"] == "caches")
    assert {x["state"] for x in caches} == {"warning"}
    assert [x["text"] for x in caches] == [
        "the SDK's cache of LANGSMITH_WORKSPACE_ID is none; os.environ says "
        f"{scenarios.STRANGE}",
        "the SDK cached project 'default'",
    ]


def test_many_workspaces(server: SimulatedLangSmith) -> None:
    for number in range(12):
        server.add_workspace(f"Team {number}")
    key = server.add_service_key(workspaces=None).secret
    client = SafeClient(server.url, api_key=key, auto_batch_tracing=False)
    with client.session:
        found = report(examined(client))
    texts = [x.text for x in lines_of(found, "workspaces")]
    assert texts[-1] == "and 2 more: safe-langsmith doctor --json"
    assert len(found.commands) == 10
    shown = rendered(found, Look())
    assert rows_of(shown) <= 22
    assert shown.count("  export ") == 10
    assert "# Team 9" in shown
    assert "  # and 2 more: safe-langsmith doctor --json\n" in shown


def test_a_workspace_of_another_region_is_not_replaced_by_one_of_this_region(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor gives the same advice as the error."""
    here = serve_tls("api.smith.langchain.com")
    names = scenarios.personal(here)
    url = f"https://eu.smith.langchain.com/o/{scenarios.STRANGE}/projects"
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://api.smith.langchain.com")
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", url)
    with pytest.raises(safe_langsmith.WorkspaceMismatchError) as caught:
        list(SafeClient(auto_batch_tracing=False).list_projects())
    data, code = run_json(capsys)
    assert (code, data["code"]) == (1, "workspace-mismatch")
    assert tuple(data["next_steps"]) == caught.value.next_steps
    assert data["commands"] == ["safe-langsmith explain workspace-mismatch"]
    assert main(["doctor"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"To fix it: - {data['next_steps'][0]} 1 problem" in shown


def test_a_workspace_is_chosen_where_it_is_set(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For example, in a profile. If there is no command to paste, the ids are listed."""
    names = scenarios.personal_of_two(server)
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    profile = {"default": {"workspace_id": names["foreign"]}}
    path.write_text(json.dumps({"profiles": profile}))
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "export" not in shown
    _, _, todo = shown.partition("To fix it:\n")
    step, *listed, _ = todo.replace("\n    ~", " ~").splitlines()
    assert step.startswith('  - choose one and set "workspace_id" of profile')
    assert listed == [
        f"    {names['own']}  Research",
        f"    {names['other']}  Production",
    ]


def test_the_workspaces_of_another_region_are_listed(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for region in REGIONS:
        serve_tls(region.api.removeprefix("https://"))
    there = serve_tls("eu.api.smith.langchain.com")
    names = scenarios.personal_of_two(there)
    monkeypatch.setenv("LANGSMITH_API_KEY", names["key"])
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    step = "  - choose one and set LANGSMITH_WORKSPACE_ID\n"
    assert f"{step}    {names['own']}  Research\n    {names['other']}  " in shown


@pytest.mark.parametrize(
    ("machine", "line"),
    [
        (LINUX, "export LANGSMITH_ENDPOINT='https://a.example/b$c'"),
        (
            LINUX._replace(system="Windows 11 AMD64"),
            "$env:LANGSMITH_ENDPOINT = 'https://a.example/b$c'",
        ),
        (LINUX._replace(notebook="Colab"), "%env LANGSMITH_ENDPOINT=https://a.example/b$c"),
        (LINUX._replace(github=True), 'LANGSMITH_ENDPOINT: "https://a.example/b$c"'),
    ],
)
def test_commands_are_those_of_the_place(machine: Machine, line: str) -> None:
    """Special characters in an address are quoted for the shell."""
    diagnosis = Diagnosis(
        "wrong-region",
        resolved=False,
        summary="this key belongs elsewhere.",
        next_steps=("set LANGSMITH_ENDPOINT=https://another.example",),
        fixes=(Fix("LANGSMITH_ENDPOINT", "https://a.example/b$c"),),
    )
    found = report(facts(diagnosis=diagnosis, machine=machine))
    assert found.commands == ((line, ""),)
    assert found.as_dict()["commands"] == [line, "safe-langsmith explain wrong-region"]
    heading = "Set this in the env: of the job:" if machine.github else "Run:"
    assert f"{heading}\n  {line}\n" in rendered(found, Look())


@pytest.mark.parametrize(
    ("variable", "kind"),
    [("JPY_PARENT_PID", "Jupyter"), ("COLAB_RELEASE_TAG", "Colab"), ("HOME", "no")],
)
def test_the_kind_of_notebook(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    kind: str,
) -> None:
    monkeypatch.setenv(variable, os.environ.get(variable, "1"))
    data, _ = run_json(capsys, "--offline")
    assert {"state": "info", "name": "notebook", "text": kind} in data["sections"][0][
        "lines"
    ]


def test_a_login_session_has_no_shape() -> None:
    diagnosis = replace(facts().diagnosis, key_kind="oauth")
    found = report(facts(diagnosis=diagnosis))
    assert lines_of(found, "key") == [Line("info", "kind", "login session")]
