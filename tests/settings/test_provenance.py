"""Tests for the source of each setting, unused values, and problems in the files."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import langsmith
import pytest
from hypothesis import strategies as st
from langsmith import utils as ls_utils
from langsmith._internal import _profiles
from scenarios import GONE
from stage import assert_no_secret

import safe_langsmith
from safe_langsmith import Diagnosis, SafeClient, SettingInfo, WorkspaceMismatchError
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.construction import at_construction
from safe_langsmith._settings.machine import advice
from safe_langsmith._settings.reading import read
from safe_langsmith._settings.sources import Login, Setup
from safe_langsmith.testing import SimulatedLangSmith

# As in a program that imports python-dotenv. Programs without it: see test_no_harm.
pytestmark = pytest.mark.usefixtures("uses_dotenv")
OLD = "lsv2_pt_00000000000000000000000000000001_0000000001"
KEY = "lsv2_pt_00000000000000000000000000000002_0000000002"
OWN = "https://langsmith.own.example/api/v1"
WORKSPACE = "00000000-0000-4000-8000-000000000003"

SetVariable = Callable[[str, str], None]


@pytest.fixture
def set_variable(monkeypatch: pytest.MonkeyPatch) -> SetVariable:
    return monkeypatch.setenv


def made(dotenv: Any = None, **arguments: Any) -> Setup:
    """Create a plain client, and read its settings."""
    client = langsmith.Client(auto_batch_tracing=False, **arguments)
    client.session.close()
    session = not client.api_key and bool(client._oauth_access_token)
    held = Access(client.api_url, client.api_key, client.workspace_id, session)
    return read(held, at_construction(held, arguments), None, dotenv)


def told(setup: Setup) -> list[str]:
    return [note.text for note in setup.notes]


def over(setup: Setup, setting: str) -> list[str]:
    """The values that are not used for a setting."""
    return [p.text for p in setup.passed_over if p.setting == setting]


# --- values that are not used ---------------------------------------------------------


def test_an_argument_passes_over_both_variables(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", OLD)
    set_variable("LANGCHAIN_API_KEY", KEY)
    setup = made(api_key=KEY, api_url=OWN)
    assert over(setup, "key") == [
        "LANGSMITH_API_KEY (lsv2_pt_…0001)",
        "LANGCHAIN_API_KEY (lsv2_pt_…0002)",
    ]
    assert told(setup) == []


def test_names_in_the_order_of_the_sdk(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    set_variable("LANGCHAIN_API_KEY", OLD)
    set_variable("LANGCHAIN_ENDPOINT", f"{OWN}/")
    set_variable("LANGSMITH_ENDPOINT", "")
    setup = made()
    assert over(setup, "key") == ["LANGCHAIN_API_KEY (lsv2_pt_…0001)"]
    assert over(setup, "endpoint") == ["LANGSMITH_ENDPOINT (empty)"]
    assert told(setup) == [
        "LANGSMITH_API_KEY and LANGCHAIN_API_KEY differ (lsv2_pt_…0002 and "
        "lsv2_pt_…0001); LANGSMITH_API_KEY is used",
        "LANGSMITH_ENDPOINT is empty, so LANGCHAIN_ENDPOINT is used",
    ]


def test_two_names_with_the_same_value_are_not_a_conflict(
    set_variable: SetVariable,
) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    set_variable("LANGCHAIN_API_KEY", f'"{KEY}"')
    setup = made()
    assert told(setup) == []
    assert over(setup, "key") == ["LANGCHAIN_API_KEY (lsv2_pt_…0002)"]


def test_names_that_the_client_does_not_read(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    set_variable("LANGCHAIN_BASE_URL", OWN)
    set_variable("LANGSMITH_TENANT_ID", WORKSPACE)
    setup = made()
    assert over(setup, "endpoint") == ["LANGCHAIN_BASE_URL (the client does not read it)"]
    assert over(setup, "workspace") == ["LANGSMITH_TENANT_ID (the client does not read it)"]
    assert told(setup) == [
        "LANGCHAIN_BASE_URL is set, but the SDK's client does not read it: it reads "
        "LANGSMITH_ENDPOINT",
        "LANGSMITH_TENANT_ID is set, but the SDK's client does not read it: it reads "
        "LANGSMITH_WORKSPACE_ID",
    ]
    set_variable("LANGSMITH_ENDPOINT", OWN)
    set_variable("LANGSMITH_WORKSPACE_ID", WORKSPACE)
    assert told(made()) == []


def test_files_that_were_passed_over(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    Path(".env").write_text(f"A=1\nLANGSMITH_API_KEY={OLD}\n")
    write_profile({"api_key": GONE, "oauth": {"access_token": "token"}})
    file, profile, login = over(made(), "key")
    assert file.endswith(".env, line 2 (lsv2_pt_…0001)")
    assert profile == "profile 'default' in ~/.langsmith/config.json (lsv2_pt_…6789)"
    assert login.startswith("the login session of profile 'default' in ")


def test_a_file_that_was_loaded_without_override(set_variable: SetVariable) -> None:
    """The note only appears if the same variable was set before."""
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}")
    told_of = "load_dotenv() does not override it"
    set_variable("LANGCHAIN_API_KEY", OLD)
    (text,) = [finding.text for finding in disagreements(made())]
    assert told_of not in text
    set_variable("LANGSMITH_API_KEY", GONE)
    texts = [finding.text for finding in disagreements(made())]
    assert texts[-1].endswith(told_of)


def test_a_login_session_disagrees_with_a_key() -> None:
    write_profile({"oauth": {"access_token": "token"}})
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}")
    (text,) = [finding.text for finding in disagreements(made())]
    place = "profile 'default' in ~/.langsmith/config.json"
    assert text.endswith(f"; the client uses a login session, from {place}")


# --- project and tracing --------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "value", "source", "passed"),
    [
        ({}, "default", "default", []),
        ({"LANGCHAIN_SESSION": "a"}, "a", "LANGCHAIN_SESSION", []),
        (
            {"LANGCHAIN_PROJECT": "b", "LANGSMITH_SESSION": "a", "LANGSMITH_PROJECT": " "},
            "b",
            "LANGCHAIN_PROJECT",
            ["LANGSMITH_SESSION (a)"],
        ),
        (
            {"HOSTED_LANGSERVE_PROJECT_NAME": "c", "LANGSMITH_PROJECT": "b"},
            "c",
            "HOSTED_LANGSERVE_PROJECT_NAME",
            ["LANGSMITH_PROJECT (b)"],
        ),
    ],
)
def test_the_project(
    variables: dict[str, str],
    value: str,
    source: str,
    passed: list[str],
    set_variable: SetVariable,
) -> None:
    """It is the SDK's project, and reading it does not fill the SDK's cache."""
    for name, text in variables.items():
        set_variable(name, text)
    setup = made()
    assert (setup.project.value, str(setup.project.source)) == (value, source)
    assert over(setup, "project") == passed
    assert not ls_utils.get_tracer_project.cache_info().currsize
    assert ls_utils.get_tracer_project() == value


def test_a_project_that_the_sdk_remembers(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_PROJECT", "old")
    assert ls_utils.get_tracer_project() == "old"
    assert str(made().project.source) == "LANGSMITH_PROJECT"
    set_variable("LANGSMITH_PROJECT", "new")
    setup = made()
    assert setup.project.value == "old"
    assert str(setup.project.source) == "the SDK's cache of LANGSMITH_PROJECT"
    assert over(setup, "project") == ["LANGSMITH_PROJECT (new)"]


@pytest.mark.parametrize(
    ("variables", "state", "source", "says"),
    [
        ({}, "off", "default", None),
        ({"LANGSMITH_TRACING": "true"}, "on", "LANGSMITH_TRACING", None),
        ({"LANGCHAIN_TRACING_V2": "false"}, "off", "LANGCHAIN_TRACING_V2", None),
        (
            {"LANGSMITH_TRACING": "True"},
            "off",
            "LANGSMITH_TRACING",
            "LANGSMITH_TRACING is 'True', so tracing is off: it must be exactly 'true'",
        ),
        (
            {"LANGSMITH_TRACING": "true", "LANGCHAIN_TRACING_V2": "false"},
            "off",
            "LANGCHAIN_TRACING_V2",
            "LANGCHAIN_TRACING_V2=false overrides LANGSMITH_TRACING=true, so tracing is "
            "off; remove one of them",
        ),
        *(
            (
                {"LANGSMITH_TRACING": "true", "LANGSMITH_TRACING_SAMPLING_RATE": rate},
                "on",
                "LANGSMITH_TRACING",
                says,
            )
            for rate, says in (
                ("0", "LANGSMITH_TRACING_SAMPLING_RATE is 0, so no traces are sent"),
                ("nan", "LANGSMITH_TRACING_SAMPLING_RATE is nan, so no traces are sent"),
                ("0.01", None),
                ("1", None),
            )
        ),
    ],
)
def test_the_tracing_switch(
    variables: dict[str, str],
    state: str,
    source: str,
    says: str | None,
    set_variable: SetVariable,
) -> None:
    """Our result is the same as the SDK's."""
    for name, text in variables.items():
        set_variable(name, text)
    setup = made(api_key=KEY)
    assert (setup.tracing.value, str(setup.tracing.source)) == (state, source)
    assert len(told(setup)) == (says is not None)
    assert says is None or told(setup)[0].startswith(says)
    assert ls_utils.tracing_is_enabled() == (state == "on")


def test_reading_does_not_cache_the_tracing_switch(set_variable: SetVariable) -> None:
    """The SDK caches it at its own first read."""
    assert made(api_key=KEY).tracing.value == "off"
    set_variable("LANGSMITH_TRACING", "true")
    assert ls_utils.tracing_is_enabled() is True


@pytest.mark.parametrize(
    ("enabled", "state"), [(True, "on"), (False, "off"), ("local", "local")]
)
def test_tracing_that_was_configured_in_code(
    enabled: Any, state: str, set_variable: SetVariable
) -> None:
    set_variable("LANGSMITH_TRACING", "true")
    langsmith.configure(enabled=enabled)
    try:
        setup = made(api_key=KEY)
    finally:
        langsmith.configure(enabled=None)
    assert setup.tracing.value == state
    assert str(setup.tracing.source) == "langsmith.configure(enabled=...)"
    assert over(setup, "tracing") == ["LANGSMITH_TRACING (true)"]


# --- on a diagnosis -------------------------------------------------------------------


def test_the_settings_on_a_diagnosis(
    server: SimulatedLangSmith, set_variable: SetVariable
) -> None:
    """They are plain data, can be pickled, appear in the report, and show no key."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    set_variable("LANGSMITH_API_KEY", key)
    set_variable("LANGCHAIN_API_KEY", OLD)
    set_variable("LANGSMITH_ENDPOINT", server.url)
    set_variable("LANGSMITH_PROJECT", f"my {key}")
    Path(".env").write_text(f"# mine\nLANGSMITH_API_KEY={key}\n")
    client = SafeClient(auto_batch_tracing=False)
    diagnosis = client.diagnose()
    client.session.close()
    key_info, endpoint, workspace, project, tracing = diagnosis.settings
    assert key_info.name == "key"
    assert key_info.value == f"lsv2_pt_…{key[-4:]}"
    assert key_info.source.startswith("LANGSMITH_API_KEY in ")
    assert key_info.source.endswith(".env, line 2")
    assert key_info.passed_over == ("LANGCHAIN_API_KEY (lsv2_pt_…0001)",)
    assert endpoint == SettingInfo("endpoint", server.url, "LANGSMITH_ENDPOINT")
    assert workspace == SettingInfo("workspace", "none", "nowhere")
    assert project.source == "LANGSMITH_PROJECT"
    assert tracing == SettingInfo("tracing", "off", "default")
    assert pickle.loads(pickle.dumps(diagnosis)) == diagnosis
    data = diagnosis.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["settings"][0]["passed_over"] == list(key_info.passed_over)
    report = diagnosis.report().splitlines()
    assert report[:4] == str(diagnosis).splitlines()[:4]
    assert report[4:7] == [
        f"  project:   my lsv2_pt_…{key[-4:]} (LANGSMITH_PROJECT)",
        "  tracing:   off (default)",
        "  not used:  key: LANGCHAIN_API_KEY (lsv2_pt_…0001)",
    ]
    assert ">key, not used</th>" in diagnosis._repr_html_()
    assert ">tracing</th>" in diagnosis._repr_html_()
    shown = [repr(diagnosis), "\n".join(report), json.dumps(data), diagnosis._repr_html_()]
    assert_no_secret("\n".join(shown), [key, OLD])


def test_a_diagnosis_without_settings_has_no_more_lines() -> None:
    plain = Diagnosis("ok", True, "all is well.")
    assert plain.report() == str(plain)


# --- the .env -------------------------------------------------------------------------


def of_file(text: str | bytes, **more: Any) -> Setup:
    Path(".env").write_bytes(text.encode() if isinstance(text, str) else text)
    return made(**more)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LANGSMITH_ENDPOINT=https://a.example#mine", "line 1: LANGSMITH_ENDPOINT has a #"),
        ("A=1\n\nLANGSMITH_API_KEY=#", "line 3: LANGSMITH_API_KEY has a #"),
        ("LANGSMITH_PROJECT=\u2018a\u2019", "line 1: LANGSMITH_PROJECT has curly quotes"),
        (
            "export LANGSMITH_API_KEY",
            "line 1: LANGSMITH_API_KEY has no =, so it is ignored",
        ),
        (
            "LANGSMITH_PROJECT=1\nLANGSMITH_PROJECT=2\nA=1\nLANGSMITH_PROJECT=3",
            "line 4: LANGSMITH_PROJECT is also on lines 1, 2; the last one wins",
        ),
        (
            b"\xef\xbb\xbfLANGSMITH_API_KEY=a",
            "line 1: the file begins with a byte order mark; the installed python-dotenv",
        ),
    ],
)
def test_a_mistake_in_the_dotenv(text: str | bytes, says: str) -> None:
    (note,) = of_file(text).notes
    assert f".env, {says}" in note.text


@pytest.mark.parametrize(
    "text",
    [
        'LANGSMITH_API_KEY="a#b"',
        "LANGSMITH_API_KEY='a # b'",
        "LANGSMITH_API_KEY=a # b#c",
        "LANGSMITH_API_KEY=",
        "# LANGSMITH_API_KEY=a#b",
        "OTHER=a#b\nOTHER=\u201cc\u201d\nOTHER",
    ],
)
def test_a_dotenv_without_a_mistake(text: str) -> None:
    assert told(of_file(text)) == []


@pytest.mark.parametrize("line", ["LANGSMITH_KEY_{n}=${OTHER}", "LANGSMITH_{n}"])
def test_lines_that_are_not_shown_are_counted(line: str) -> None:
    found = told(of_file("\n".join(line.replace("{n}", str(n)) for n in range(9))))
    assert [text.partition(":")[0][-6:] for text in found[:4]] == [
        f"line {n}" for n in range(1, 5)
    ]
    assert found[4].endswith(".env: 5 more of these")


def test_many_lines_that_cannot_be_parsed_are_counted() -> None:
    lines = [f"nothing {n} here" for n in range(40)]
    lines[30] = "set LANGSMITH_API_KEY = x y"
    found = told(of_file("\n".join(lines)))
    assert len(found) == 5
    assert ".env, line 31: cannot be parsed, so it sets nothing; was it meant" in found[3]
    assert found[4].endswith("36 more of these")


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        *("junk \n", "A=1\n", "=\n", "\n", "A='", "A=\"\n'", "A \\\n", "${", "A=${B}"),
        *("\t ", " #", "A= ", "'", "\\'", "export ", "A=${"),
    ],
)
def test_the_largest_file_is_read_in_time(content: str) -> None:
    """With quadratic time, the test would time out."""
    text = content * (99_900 // len(content))
    assert of_file(text).dotenv.key.value is None
    assert of_file(f"LANGSMITH_API_KEY=x{text}#").held.key.value is None


@pytest.mark.parametrize("value", ["1", "TRUE", "yes"])
def test_a_dotenv_that_is_switched_off(value: str, set_variable: SetVariable) -> None:
    set_variable("PYTHON_DOTENV_DISABLED", value)
    setup = of_file(f"LANGSMITH_API_KEY={KEY}")
    assert setup.dotenv.key.value is None
    assert told(setup)[0].startswith("PYTHON_DOTENV_DISABLED is set")
    assert told(of_file("OTHER=1")) == []
    setup = of_file(f"LANGSMITH_API_KEY={KEY}", dotenv=Path(".env"))
    assert setup.dotenv.key.value is None
    set_variable("PYTHON_DOTENV_DISABLED", "0")
    assert of_file(f"LANGSMITH_API_KEY={KEY}").dotenv.key.value == KEY


SCRIPT = """
import os, sys
{imports}
sys.path.insert(0, sys.argv[1])
os.environ.update(eval(sys.argv[2]))
os.chdir(sys.argv[3])
from safe_langsmith import diagnose
found = diagnose()
print(found.settings[0].source)
print(*[f.text for f in found.findings], sep="\\n")
"""


def of_script(
    tmp_path: Path, environ: dict[str, str], folder: Path, imports: str = "import dotenv"
) -> list[str]:
    """Run a script whose folder is not the working directory."""
    project = tmp_path / "project" / "src"
    project.mkdir(parents=True, exist_ok=True)
    script = project / "main.py"
    script.write_text(SCRIPT.replace("{imports}", imports))
    root = str(Path(safe_langsmith.__file__).parent.parent)
    always = {"LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, str(script), root, repr({**always, **environ}), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_dotenv_of_the_script_s_folder(tmp_path: Path) -> None:
    """load_dotenv() in a script searches there, not in the working directory."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".env").write_text(f"A=1\nLANGSMITH_API_KEY={KEY}\n")
    work = tmp_path / "work"
    work.mkdir()
    source, *found = of_script(tmp_path, {}, work)
    assert source == "nowhere"
    assert not any("but is not used" in text for text in found)
    (work / ".env").write_text(f"LANGSMITH_API_KEY={OLD}\nLANGSMITH_PROJECT=x")
    _, *found = of_script(tmp_path, {}, work)
    (text,) = [text for text in found if "but is not used" in text]
    assert "work/.env, line 1 sets LANGSMITH_API_KEY" in text
    assert "project/.env" in text
    # It was loaded: it is the source of the variable, and there is nothing to report.
    source, *found = of_script(tmp_path, {"LANGSMITH_API_KEY": KEY}, work)
    assert source.startswith("LANGSMITH_API_KEY in ")
    assert source.endswith("project/.env, line 2")
    assert KEY[8:16] not in "".join([source, *found])
    # A file that was never loaded is only mentioned.
    source, *found = of_script(tmp_path, {"LANGSMITH_API_KEY": KEY}, work, imports="")
    assert source == "LANGSMITH_API_KEY"
    assert any("imports python-dotenv at its top level" in text for text in found)


@pytest.mark.parametrize("main", [None, "", 5])
def test_an_interactive_session_has_no_script(
    main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", main, raising=False)
    assert told(made()) == []


def test_the_script_s_folder_in_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_variable: SetVariable
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".env").write_text(f"LANGSMITH_API_KEY={KEY}")
    script = str(tmp_path / "other" / "main.py")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
    assert made().dotenv.key.value == KEY
    set_variable("LANGSMITH_API_KEY", KEY)
    source = made().held.key.source
    assert source.place.endswith("other/.env, line 1")
    Path(".env").write_text(f"LANGSMITH_API_KEY={OLD}")
    assert (
        "but is not used: load_dotenv() searches upwards from the script's"
        in told(made())[0]
    )
    (tmp_path / "other" / ".env").unlink()
    assert told(made())[0].endswith("and it finds none there")
    assert made().in_file.key.value is None


def test_a_script_whose_folder_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, and the working directory was deleted."""
    gone = Path("gone")
    gone.mkdir()
    monkeypatch.chdir(gone)
    Path.cwd().rmdir()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "main.py", raising=False)
    assert told(made())[0].startswith(".env could not be read")
    assert told(made(dotenv=False)) == []


@pytest.mark.parametrize(
    "main",
    [
        str(Path(sys.prefix) / "bin" / "some-command"),
        f"/{'x' * 5_000}/main.py",
    ],
)
def test_the_folder_of_an_installed_command_is_not_searched(
    main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the folder of a script whose path is too long for the system."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", main, raising=False)
    assert told(made()) == []


# --- the workspace ---------------------------------------------------------------------


def test_a_workspace_that_cannot_be_sent(
    server: SimulatedLangSmith, set_variable: SetVariable
) -> None:
    """With a byte order mark in front, nothing is sent; the error is not about the key."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    set_variable("LANGSMITH_WORKSPACE_ID", f"\ufeff{own.id}")
    client = SafeClient(server.url, api_key=key, auto_batch_tracing=False)
    with pytest.raises(WorkspaceMismatchError, match="the workspace has characters") as e:
        list(client.list_projects())
    assert e.value.next_steps == (
        "correct LANGSMITH_WORKSPACE_ID: type or paste the workspace again",
    )
    assert client.diagnose().code == "workspace-mismatch"
    assert not server.exchanges
    client.session.close()


# --- the profile ----------------------------------------------------------------------


def write_profile(profile: object, **more: Any) -> Path:
    return write_config(json.dumps({"profiles": {"default": profile}, **more}, indent=1))


def write_config(content: str | bytes) -> Path:
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def of_config(content: str | bytes) -> Setup:
    """Read settings with this file, for a client that was created without it."""
    write_config(content)
    held = Access(DEFAULT_ENDPOINT, KEY)
    return read(held, at_construction(held, {"api_key": KEY}), None, False)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"profiles":\n{"a": 1,}}', ", line 2: not valid JSON, so no profile is read"),
        ("[" * 100_000, ": not valid JSON, so no profile is read"),
        ("5", ' has no "profiles", so no profile is read'),
        ('{"profiles": [1]}', ' has no "profiles", so no profile is read'),
        (b'{\n"\xff": 1}', ", line 2: not UTF-8, so no profile is read"),
        (b" " * 1_000_001, " could not be read: it is larger than 1000 kB"),
        ('{"profiles": {"a": {}, "b": {}}}', " names no current_profile, so none is"),
    ],
)
def test_a_profile_file_without_a_usable_profile(content: str | bytes, says: str) -> None:
    (text,) = told(of_config(content))
    assert text.startswith(f"~/.langsmith/config.json{says}")


def test_a_file_without_profiles_is_fine() -> None:
    assert told(of_config('{"profiles": {}}')) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_the_file_does_not_hang(set_variable: SetVariable) -> None:
    os.mkfifo("pipe")
    set_variable("LANGSMITH_CONFIG_FILE", "pipe")
    held = Access(DEFAULT_ENDPOINT, KEY)
    setup = read(held, at_construction(held, {}), None, False)
    assert told(setup)[0].endswith("could not be read: it is not a regular file")


def test_a_profile_file_that_does_not_exist(
    set_variable: SetVariable, tmp_path: Path
) -> None:
    set_variable("LANGSMITH_CONFIG_FILE", str(tmp_path / "home" / "no.json"))
    (text,) = told(made())
    assert text == "LANGSMITH_CONFIG_FILE names ~/no.json, which does not exist"
    set_variable("LANGSMITH_CONFIG_FILE", "x" * 5_000)
    held = Access(DEFAULT_ENDPOINT, KEY)
    (text,) = told(read(held, at_construction(held, {}), None, False))
    assert text.endswith(("names a file, which does not exist", "File name too long"))
    if "config_path" in str(_profiles.load_profile_client_config.__annotations__):
        given = at_construction(held, {"profile_config_path": "no.json"})
        (text,) = told(read(held, given, None, False))
        assert text.startswith("the profile_config_path argument names ")
        given = at_construction(held, {"profile_config_path": "a\0b"})
        (text,) = told(read(held, given, None, False))
        assert text == "the profile file could not be read: its path is invalid"


def test_a_profile_that_is_not_in_the_file(set_variable: SetVariable) -> None:
    names: dict[str, object] = {f"p{n}": {} for n in range(9)}
    write_config(json.dumps({"profiles": names}))
    set_variable("LANGSMITH_PROFILE", "work")
    (text,) = told(made())
    has = "'p0', 'p1', 'p2', 'p3', 'p4', and 4 more"
    file = "~/.langsmith/config.json"
    assert text == f"LANGSMITH_PROFILE names profile 'work'; {file} has {has}"
    if "profile" in str(_profiles.load_profile_client_config.__annotations__):
        (text,) = told(made(profile="home"))
        assert text == f"the profile argument names profile 'home'; {file} has {has}"


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ({"api_key_cmd": "pass show key"}, "the output of a command (api_key_cmd)"),
        ({"secret_store": "keychain"}, "the system keychain (secret_store)"),
        ({"api_key_env": "MY_KEY"}, "takes its key from the variable MY_KEY"),
    ],
)
def test_a_profile_that_keeps_its_key_elsewhere(profile: Any, says: str) -> None:
    (text,) = told(of_config(json.dumps({"profiles": {"default": profile}})))
    assert text.startswith("profile 'default' in ~/.langsmith/config.json takes its key")
    assert says in text
    assert "pass show" not in text


@pytest.mark.parametrize(
    ("expires_at", "ended"),
    [
        ("2020-01-01T00:00:00Z", True),
        ("2999-01-01T00:00:00+00:00", False),
        ("soon", False),
        (5, False),
        (None, False),
    ],
)
def test_a_login_session_and_its_end(expires_at: object, ended: bool) -> None:
    oauth = {"access_token": "token", "expires_at": expires_at}
    setup = of_config(json.dumps({"profiles": {"default": {"oauth": oauth}}}))
    assert setup.login == Login("default", "~/.langsmith/config.json", ended)


def test_a_key_that_is_combined_with_a_profile(set_variable: SetVariable) -> None:
    write_profile({"api_url": OWN, "workspace_id": WORKSPACE})
    set_variable("LANGSMITH_API_KEY", KEY)
    (text,) = told(made())
    place = "profile 'default' in ~/.langsmith/config.json"
    joined = f"but the endpoint and workspace from {place}: they may not belong together"
    assert text == f"the key comes from LANGSMITH_API_KEY, {joined}"
    write_profile({"api_url": OWN, "api_key": OLD})
    (text,) = told(made())
    assert "to use the profile's own key, pass prefer_profile_auth=True" in text
    (text,) = told(made(api_key=KEY))
    assert "prefer_profile_auth" not in text
    set_variable("LANGSMITH_ENDPOINT", OWN)
    assert told(made()) == []


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ("0.14.15", "pass it"),
        ("0.15.0rc1", "pass it"),
        ("1.0", "pass it"),
        ("0.14.12", "pass it (needs langsmith 0.14.15 or newer; 0.14.12 is installed)"),
    ],
)
def test_advice_names_the_release_that_it_needs(release: str, text: str) -> None:
    assert advice("pass it", "0.14.15", release) == text


def test_the_releases_in_advice_are_right() -> None:
    """Advice names another release exactly if the installed one lacks the feature."""
    installed = langsmith.__version__
    can = "prefer_profile_auth" in SafeClient.__init__.__signature__.parameters  # type: ignore[attr-defined]
    assert (advice("x", "0.14.15", installed) == "x") == can
    can = "api_key_env" in _profiles.ProfileClientConfig._fields
    assert (advice("x", "0.14.17", installed) == "x") == can


function_fixture = hypothesis.HealthCheck.function_scoped_fixture


@hypothesis.settings(suppress_health_check=[function_fixture])
@hypothesis.given(st.binary(max_size=200), st.sampled_from([b"", b'{"profiles":', b"["]))
def test_any_bytes_as_profile(content: bytes, start: bytes) -> None:
    """Reading raises no exception, and each note names the file."""
    setup = of_config(start + content)
    assert setup.profile.key.value is None
    for text in told(setup):
        assert text.startswith("~/.langsmith/config.json")


# --- Colab ----------------------------------------------------------------------------


class SecretNotFoundError(Exception):
    """Like Colab's."""


class NotebookAccessError(Exception):
    """Like Colab's."""


class Colab:
    """A fake of Colab's module."""

    def __init__(self, patch: pytest.MonkeyPatch, secrets: dict[str, Any]) -> None:
        self.secrets = secrets
        self.asked: list[str] = []
        userdata = ModuleType("google.colab.userdata")
        userdata.get = self.get  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        patch.setitem(sys.modules, "google.colab.userdata", userdata)

    def get(self, name: str) -> Any:
        assert threading.current_thread() is threading.main_thread()
        self.asked.append(name)
        found = self.secrets.get(name, SecretNotFoundError(name))
        if isinstance(found, Exception):
            raise found
        if callable(found):
            return found()
        return found


def test_a_secret_of_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"API_KEY": f" {KEY} ", "ENDPOINT": f"{OWN}/", "WORKSPACE_ID": 5}
    colab = Colab(monkeypatch, {f"LANGCHAIN_{n}": v for n, v in names.items()})
    found = made().colab
    assert found.key.value == KEY
    assert str(found.key.source) == "the Colab secret LANGCHAIN_API_KEY"
    assert found.endpoint.value == OWN
    assert found.workspace.value is None
    asked = len(colab.asked)
    assert made().colab == found
    assert len(colab.asked) == asked  # remembered
    answers: list[Setup] = []
    thread = threading.Thread(target=lambda: answers.append(made()))
    thread.start()
    thread.join()
    assert answers[0].colab == found  # the remembered one
    assert len(colab.asked) == asked


def test_without_a_key_no_other_secret_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colab = Colab(monkeypatch, {"LANGSMITH_ENDPOINT": OWN})
    assert made().notes == ()
    assert colab.asked == ["LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"]


def test_another_thread_reads_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    colab = Colab(monkeypatch, {"LANGSMITH_API_KEY": KEY})
    answers: list[Setup] = []
    thread = threading.Thread(target=lambda: answers.append(made()))
    thread.start()
    thread.join()
    assert answers[0].colab.key.value is None
    assert "they can only be read on the main thread" in told(answers[0])[0]
    assert colab.asked == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            NotebookAccessError(),
            "this notebook has no access to the Colab secret LANGSMITH_AP",
        ),
        (
            RuntimeError(),
            "the Colab secret LANGSMITH_API_KEY could not be read: RuntimeError",
        ),
    ],
)
def test_a_secret_that_colab_does_not_provide(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Colab(monkeypatch, {"LANGSMITH_API_KEY": error})
    setup = made()
    assert setup.colab.key.value is None
    assert told(setup)[0].startswith(says)


@pytest.mark.slow
def test_colab_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends after 3 seconds; the application's own timer keeps running."""
    import signal

    Colab(monkeypatch, {"LANGSMITH_API_KEY": lambda: time.sleep(30)})
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        started = time.monotonic()
        setup = made()
        assert 2 < time.monotonic() - started < 10
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 20
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert told(setup) == ["Colab did not provide its secrets within 3 s"]
    assert setup.colab.key.value is None
    assert not rung


def test_a_colab_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old release of Colab has no such module."""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.userdata", None)
    assert made().notes == ()
