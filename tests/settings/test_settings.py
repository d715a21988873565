"""Tests for reading settings: arguments, variables, `.env`, profile, and caches."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from langsmith import utils as ls_utils
from langsmith._internal import _profiles

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import DEFAULT_ENDPOINT
from safe_langsmith._sdk.modules import clear_caches
from safe_langsmith._settings.conflicts import disagreements
from safe_langsmith._settings.construction import AtConstruction, at_construction
from safe_langsmith._settings.environment import sendable_key
from safe_langsmith._settings.reading import as_sent, read
from safe_langsmith._settings.sources import Setting, Settings, Setup, Source

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


def created(held: Access, **arguments: Any) -> AtConstruction:
    return at_construction(held, arguments)


def now(
    held: Access,
    at_creation: AtConstruction | None = None,
    repaired: Settings | None = None,
    dotenv: Any = None,
) -> Setup:
    return read(held, at_creation or created(held), repaired, dotenv)


def from_environ() -> Access:
    """The settings of a client that was created from the environment."""
    get = os.environ.get
    endpoint = get("LANGSMITH_ENDPOINT", DEFAULT_ENDPOINT)
    return Access(endpoint, get("LANGSMITH_API_KEY"), get("LANGSMITH_WORKSPACE_ID"))


def told(setup: Setup) -> list[str]:
    """The texts of the notes."""
    return [note.text for note in setup.notes]


# --- sources of the client's values ---------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "part"),
    [
        ("api_key", KEY, "key"),
        ("api_url", OWN, "endpoint"),
        ("workspace_id", WORKSPACE, "workspace"),
    ],
)
def test_an_argument(
    argument: str, value: str, part: str, set_variable: SetVariable
) -> None:
    """It is named as the source, even if the environment has the same value."""
    for name in ("API_KEY", "ENDPOINT", "WORKSPACE_ID"):
        set_variable(f"LANGSMITH_{name}", value)
    held = Access(OWN, KEY, WORKSPACE)
    setup = now(held, created(held, **{argument: value}))
    setting = getattr(setup.held, part)
    assert setting == Setting(value, Source("argument", argument))
    assert str(setting.source) == f"the {argument} argument"
    assert setting.source.is_explicit


def test_api_urls_names_key_and_endpoint() -> None:
    held = Access(OWN, KEY)
    setup = now(held, created(held, api_urls={OWN: KEY}))
    assert setup.held.key.source == Source("argument", "api_urls")
    assert setup.held.endpoint.source == Source("argument", "api_urls")
    assert setup.held.workspace.source == Source("none")


def test_an_argument_that_is_none_does_not_count() -> None:
    held = Access(DEFAULT_ENDPOINT)
    assert created(held, api_key=None, api_url=None).arguments == frozenset()


def test_an_empty_argument_counts() -> None:
    held = Access(DEFAULT_ENDPOINT, None)
    setup = now(held, created(held, api_key=""))
    assert setup.held.key == Setting(None, Source("argument", "api_key"))


def test_an_assignment() -> None:
    """The client has another value than when it was created, so it was assigned."""
    at_creation = created(Access(DEFAULT_ENDPOINT, OLD))
    setup = now(Access(OWN, KEY, WORKSPACE), at_creation)
    held = setup.held
    assert [str(s.source) for s in (held.key, held.endpoint, held.workspace)] == [
        "an assignment to client.api_key",
        "an assignment to client.api_url",
        "an assignment to client.workspace_id",
    ]
    assert held.key.source.is_explicit


def test_a_repair() -> None:
    """Repaired values have the sources of the repair; the endpoint was assigned later."""
    source = Source("repair", "the only workspace of the key")
    repaired = Settings(
        Setting(KEY, Source("environment", "LANGSMITH_API_KEY")),
        Setting(DEFAULT_ENDPOINT, Source("default", "default")),
        Setting(WORKSPACE, source),
    )
    at_creation = created(Access(DEFAULT_ENDPOINT, OLD))
    held = now(Access(OWN, KEY, WORKSPACE), at_creation, repaired).held
    assert held.key == repaired.key
    assert str(held.workspace.source) == "the only workspace of the key"
    assert not held.workspace.source.is_explicit
    assert held.endpoint.source.kind == "assigned"


@pytest.mark.parametrize("space", ["LANGSMITH", "LANGCHAIN"])
def test_a_variable(space: str, set_variable: SetVariable) -> None:
    set_variable(f"{space}_API_KEY", f' "{KEY}" ')
    set_variable(f"{space}_ENDPOINT", f"{OWN}/")
    set_variable(f"{space}_WORKSPACE_ID", WORKSPACE)
    held = now(Access(OWN, KEY, WORKSPACE)).held
    assert held == Settings(
        Setting(KEY, Source("environment", f"{space}_API_KEY")),
        Setting(OWN, Source("environment", f"{space}_ENDPOINT")),
        Setting(WORKSPACE, Source("environment", f"{space}_WORKSPACE_ID")),
    )
    assert str(held.key.source) == f"{space}_API_KEY"


def test_langsmith_comes_before_langchain(set_variable: SetVariable) -> None:
    set_variable("LANGCHAIN_API_KEY", OLD)
    set_variable("LANGSMITH_API_KEY", KEY)
    assert now(Access(OWN, KEY)).environ.key.source.name == "LANGSMITH_API_KEY"


@pytest.mark.parametrize("blank", ["", "  ", '""'])
def test_a_blank_variable_falls_through(blank: str, set_variable: SetVariable) -> None:
    """As in the SDK: the old key in the other variable is used."""
    set_variable("LANGSMITH_API_KEY", blank)
    set_variable("LANGCHAIN_API_KEY", OLD)
    held = now(Access(DEFAULT_ENDPOINT, OLD)).held
    assert held.key.source == Source("environment", "LANGCHAIN_API_KEY")


def test_a_key_that_was_cleaned_at_construction(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", f"\ufeff{KEY}")
    assert now(Access(OWN, KEY)).held.key.source.name == "LANGSMITH_API_KEY"


def test_a_variable_that_came_from_a_file_names_the_line(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    Path(".env").write_text(f"A=1\nLANGSMITH_API_KEY={KEY}\n")
    source = now(Access(OWN, KEY)).held.key.source
    assert source.kind == "environment"
    assert source.name == "LANGSMITH_API_KEY"
    assert source.place.endswith(".env, line 2")


def test_a_variable_that_the_file_contradicts_names_no_line(
    set_variable: SetVariable,
) -> None:
    set_variable("LANGSMITH_API_KEY", OLD)
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}\n")
    assert now(Access(OWN, OLD)).held.key.source.place == ""


def test_the_default_endpoint_and_nothing_else() -> None:
    held = now(Access(DEFAULT_ENDPOINT)).held
    assert held == Settings(
        Setting(None),
        Setting(DEFAULT_ENDPOINT, Source("default", "default")),
        Setting(None),
    )
    assert str(held.endpoint.source) == "default"
    assert str(held.key.source) == "nowhere"


def test_the_profile() -> None:
    write_profile({"api_key": KEY, "api_url": OWN, "workspace_id": WORKSPACE})
    held = now(Access(OWN, KEY, WORKSPACE)).held
    assert {held.key.source.kind, held.endpoint.source.kind} == {"profile"}
    assert held.workspace.value == WORKSPACE
    assert str(held.key.source) == "profile 'default' in ~/.langsmith/config.json"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_the_profile_s_endpoint_as_the_client_holds_it(slashes: str) -> None:
    """The profile is recognized as the source, however many slashes it ends with."""
    import langsmith

    write_profile({"api_key": KEY, "api_url": OWN + slashes})
    client = langsmith.Client(auto_batch_tracing=False)
    held = Access(client.api_url, client.api_key)
    assert now(held).held.endpoint.source.kind == "profile"
    client.session.close()


def test_the_cache_of_the_sdk(
    set_variable: SetVariable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can still contain a variable that was deleted."""
    set_variable("LANGSMITH_API_KEY", OLD)
    ls_utils.get_env_var("API_KEY", default=None)
    monkeypatch.delenv("LANGSMITH_API_KEY")
    setup = now(Access(DEFAULT_ENDPOINT, OLD))
    assert str(setup.held.key.source) == "the SDK's cache of LANGSMITH_API_KEY"
    assert setup.cached.key.value == OLD
    assert setup.environ.key.value is None
    clear_caches()
    assert now(Access(DEFAULT_ENDPOINT, OLD)).cached.key.value is None


def test_the_settings_of_a_single_request() -> None:
    here = DEFAULT_ENDPOINT
    setup = as_sent(now(Access(here, OLD)), Access(f"{here}/v2", KEY, None), {})
    assert str(setup.held.key.source) == "the request itself"
    assert setup.held.key.source.is_explicit
    assert setup.held.endpoint.value == f"{here}/v2"
    assert setup.held.workspace.source.kind == "none"


def test_another_destination_has_its_own_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", OLD)
    setup = as_sent(now(Access(DEFAULT_ENDPOINT, OLD)), Access(OWN, KEY, None), {})
    assert str(setup.held.key.source) == "the settings of this destination"
    assert setup.held.key.source.is_explicit
    assert setup.held.endpoint.value == OWN
    assert setup.held.workspace.source.kind == "none"
    assert setup.environ.key.value is None


def test_a_login_session() -> None:
    setup = now(Access(DEFAULT_ENDPOINT, None, None, session=True))
    assert setup.access == Access(DEFAULT_ENDPOINT, None, None, session=True)


def test_the_profile_may_be_chosen_by_arguments(tmp_path: Path) -> None:
    path = tmp_path / "chosen.json"
    path.write_text(json.dumps({"profiles": {"work": {"api_key": KEY}}}))
    held = Access(DEFAULT_ENDPOINT)
    if "profile" not in str(_profiles.load_profile_client_config.__annotations__):
        pytest.skip("this langsmith has no such arguments")
    setup = now(held, created(held, profile="work", profile_config_path=str(path)))
    assert setup.profile.key.source.name == "profile 'work'"


def test_a_key_that_no_header_can_carry_is_cleaned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A warning is logged."""
    assert sendable_key(f"\ufeff{KEY}") == KEY
    assert [record.name for record in caplog.records] == ["safe_langsmith"]
    assert KEY[8:16] not in caplog.text


@pytest.mark.parametrize("key", ["", KEY, f"Bearer {KEY}", "sch\u00fcssel"])
def test_any_other_key_is_left_alone(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """It can be sent unchanged, or cannot be cleaned."""
    assert sendable_key(key) is None
    assert not caplog.records


# --- the .env file --------------------------------------------------------------------


def dotenv_of(text: str | bytes) -> Setup:
    Path(".env").write_bytes(text.encode() if isinstance(text, str) else text)
    return now(Access(DEFAULT_ENDPOINT, OLD))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"LANGSMITH_API_KEY={KEY}", 1),
        (f'LANGSMITH_API_KEY="{KEY}"', 1),
        (f"LANGSMITH_API_KEY='{KEY}'", 1),
        (f"export LANGSMITH_API_KEY={KEY}", 1),
        (f"LANGSMITH_API_KEY = {KEY} # mine", 1),
        (f"# first\r\nLANGSMITH_API_KEY={KEY}\r\n", 2),
        (f"\n\n\nLANGSMITH_API_KEY={KEY}\n", 4),
        (f"A=1\r\n\r\n  LANGSMITH_API_KEY={KEY}", 3),
        (f'A="1\n2"\nLANGSMITH_API_KEY={KEY}', 3),
        (f"LANGSMITH_API_KEY={OLD}\nLANGSMITH_API_KEY={KEY}", 2),
        (f"not parsed\nLANGSMITH_API_KEY={KEY}", 2),
        (f"LANGSMITH_API_KEY=\nLANGCHAIN_API_KEY={KEY}", 2),
        (f"LANGSMITH_API_KEY\nLANGCHAIN_API_KEY={KEY}", 2),
        (b"\xef\xbb\xbfLANGSMITH_API_KEY=" + KEY.encode(), 1),
    ],
)
def test_a_line_of_the_file(text: str | bytes, line: int) -> None:
    found = dotenv_of(text).dotenv.key
    assert found.value == KEY
    assert found.source.kind == "dotenv"
    assert found.source.place.endswith(f".env, line {line}")
    assert str(found.source).startswith(f"{found.source.name} in ")


def test_a_reference_is_never_looked_up(set_variable: SetVariable) -> None:
    """Not in the environment, where python-dotenv would look, and not in the file."""
    set_variable("MINE", KEY)
    for text in ("LANGSMITH_API_KEY=${MINE}", f"MY={KEY}\nLANGSMITH_API_KEY='${{MY}}'"):
        setup = dotenv_of(text)
        assert setup.in_file.key.value is None
        assert "LANGSMITH_API_KEY refers to a variable" in told(setup)[-1]


@pytest.mark.parametrize(
    "line",
    [f'"LANGSMITH_API_KEY": "{KEY}",', f"set LANGSMITH_API_KEY={KEY}", f'K="{KEY}",'],
)
def test_a_line_that_cannot_be_parsed_is_named_without_its_content(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    setup = dotenv_of(f"A=1\n\n{line}\n")
    (note,) = setup.notes
    assert note.state == "bad"
    assert ".env, line 3: cannot be parsed, so it sets nothing" in note.text
    meant = "; was it meant to set LANGSMITH_API_KEY?"
    assert note.text.endswith(meant) == ("LANGSMITH" in line)
    assert KEY[8:16] not in note.text
    assert setup.dotenv.key.value is None
    assert not caplog.records  # python-dotenv would also log it


def test_a_dotenv_that_is_not_utf_8() -> None:
    """PowerShell's `echo >` writes UTF-16."""
    (text,) = told(dotenv_of(f"LANGSMITH_API_KEY={KEY}".encode("utf-16")))
    assert text.endswith(".env could not be read: it is UTF-16; save it as UTF-8")
    content = f"A=1\nB=\xe9\nLANGSMITH_API_KEY={KEY}\n".encode("latin-1")
    (text,) = told(dotenv_of(content))
    assert text.endswith("could not be read: line 2 is not UTF-8; save it as UTF-8")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "dotenv"
    folder.mkdir()
    (text,) = told(now(Access(DEFAULT_ENDPOINT), dotenv=folder))
    assert "not a regular file" in text


def test_a_directory_called_dotenv_is_ignored() -> None:
    Path(".env").mkdir()
    assert told(now(Access(DEFAULT_ENDPOINT))) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang() -> None:
    """python-dotenv treats a pipe as a file, and would wait for a writer."""
    os.mkfifo(".env")
    for dotenv in (None, ".env"):
        for text in told(now(Access(DEFAULT_ENDPOINT), dotenv=dotenv)):
            assert "not a regular file" in text


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file"
)
def test_a_file_that_may_not_be_read() -> None:
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}")
    Path(".env").chmod(0)
    (text,) = told(now(Access(DEFAULT_ENDPOINT)))
    assert "Permission denied" in text


def test_a_file_that_cannot_be_opened() -> None:
    """The name is too long, as an example of a system error."""
    (text,) = told(now(Access(DEFAULT_ENDPOINT), dotenv="x" * 5_000))
    assert "could not be read: File name too long" in text


def test_a_file_that_is_too_large() -> None:
    limit = 100_000
    line = f"LANGSMITH_API_KEY={KEY}\n"
    assert dotenv_of(line.ljust(limit, "#")).dotenv.key.value == KEY
    setup = dotenv_of(line.ljust(limit + 1, "#"))
    assert "larger than 100 kB" in told(setup)[0]
    assert setup.dotenv.key.value is None


@pytest.mark.parametrize("path", ["no/such/.env", "a\0b"])
def test_a_named_dotenv_that_does_not_exist(path: str) -> None:
    (text,) = told(now(Access(DEFAULT_ENDPOINT), dotenv=path))
    assert "could not be read" in text


def test_a_working_directory_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    shutil.rmtree(gone)
    assert "could not be read" in told(now(Access(DEFAULT_ENDPOINT)))[0]
    assert "could not be read" in told(now(Access(DEFAULT_ENDPOINT), dotenv="x"))[0]


def test_the_dotenv_is_searched_upwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The search starts in the working directory, not in a module's folder."""
    deep = tmp_path / "folder" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "folder" / ".env").write_text(f"LANGSMITH_API_KEY={OLD}")
    (tmp_path / "folder" / "a" / ".env").write_text(f"LANGSMITH_API_KEY={KEY}")
    monkeypatch.chdir(deep)
    assert now(Access(DEFAULT_ENDPOINT)).dotenv.key.value == KEY


def test_a_file_below_home_is_shown_with_a_tilde() -> None:
    path = Path.home() / "project.env"
    path.write_text(f"LANGSMITH_API_KEY={KEY}")
    setup = now(Access(DEFAULT_ENDPOINT), dotenv=path)
    assert setup.dotenv.key.source.place == "~/project.env, line 1"


def test_any_other_file_is_shown_with_its_full_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    path = Path("project.env").absolute()
    path.write_text(f"LANGSMITH_API_KEY={KEY}")
    setup = now(Access(DEFAULT_ENDPOINT), dotenv=path)
    assert setup.dotenv.key.source.place == f"{path}, line 1"


def test_dotenv_false_reads_no_file() -> None:
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}\nbroken line")
    setup = now(Access(DEFAULT_ENDPOINT), dotenv=False)
    assert setup.dotenv == Settings()
    assert setup.notes == ()


def test_the_tenant_id_is_another_name_of_the_workspace(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_TENANT_ID", f" {WORKSPACE} ")
    Path(".env").write_text("LANGSMITH_TENANT_ID=other")
    environ, dotenv = now(Access(DEFAULT_ENDPOINT)).aliases
    assert environ == Setting(WORKSPACE, Source("environment", "LANGSMITH_TENANT_ID"))
    assert dotenv.value == "other"
    assert dotenv.source.place.endswith(".env, line 1")


# --- the profile ----------------------------------------------------------------------


def write_profile(profile: object) -> Path:
    return write_config({"profiles": {"default": profile}})


def write_config(config: object) -> Path:
    text = config if isinstance(config, str) else json.dumps(config)
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_profile_with_a_key_and_no_endpoint_is_for_the_default_one() -> None:
    """As in the SDK; so its key is sent nowhere else."""
    write_profile({"api_key": KEY})
    profile = now(Access(DEFAULT_ENDPOINT)).profile
    assert profile.endpoint.value == DEFAULT_ENDPOINT
    assert profile.endpoint.source.kind == "profile"


def test_a_profile_without_a_key_names_no_endpoint() -> None:
    write_profile({"workspace_id": WORKSPACE})
    profile = now(Access(DEFAULT_ENDPOINT)).profile
    assert profile.endpoint.value is None
    assert profile.workspace.value == WORKSPACE


def test_a_profile_may_name_the_variable_of_its_key(set_variable: SetVariable) -> None:
    if "api_key_env" not in _profiles.ProfileClientConfig._fields:
        pytest.skip("this langsmith has no api_key_env")
    set_variable("MY_KEY", KEY)
    write_profile({"api_key_env": "MY_KEY"})
    assert now(Access(DEFAULT_ENDPOINT)).profile.key.value == KEY


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        "[]",
        "5",
        '"text"',
        "null",
        "[" * 100_000,
        '{"profiles": []}',
        '{"profiles": {"default": 5}}',
        '{"profiles": {"default": {"api_key": 5}}}',
        '{"profiles": {"default": {"api_url": 5, "workspace_id": [1]}}}',
        '{"profiles": {"default": {"oauth": "text"}}}',
        '{"profiles": {"default": {"api_key_env": "\\ud800"}}}',
        '{"profiles": {"a": {}}, "current_profile": 5}',
    ],
)
def test_a_broken_profile_sets_nothing(config: str) -> None:
    write_config(config)
    setup = now(Access(DEFAULT_ENDPOINT, OLD))
    assert setup.profile == Settings()
    (text,) = told(setup)
    assert text.startswith("~/.langsmith/config.json")


def test_a_profile_that_the_sdk_cannot_read_is_named() -> None:
    write_profile({"api_key": 5})
    (text,) = told(now(Access(DEFAULT_ENDPOINT)))
    assert text == (
        "~/.langsmith/config.json: the SDK cannot read this profile (AttributeError)"
    )


def test_a_profile_in_another_encoding_is_named() -> None:
    path = write_config({})
    path.write_bytes("{}".encode("utf-16"))
    (text,) = told(now(Access(DEFAULT_ENDPOINT)))
    assert text == "~/.langsmith/config.json, line 1: not UTF-8, so no profile is read"


# --- disagreements --------------------------------------------------------------------


def test_disagreements_name_places_and_no_secret(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    set_variable("LANGSMITH_ENDPOINT", "https://me:pa55word@own.example")
    set_variable("LANGSMITH_WORKSPACE_ID", WORKSPACE)
    Path(".env").write_text(f"LANGSMITH_WORKSPACE_ID={WORKSPACE[::-1]}")
    old = Access(DEFAULT_ENDPOINT, OLD)
    setup = now(old, AtConstruction(old, frozenset(), ()))
    found = [finding.text for finding in disagreements(setup)]
    cached = "from the SDK's cache of LANGSMITH_API_KEY"
    assert found[:3] == [
        "LANGSMITH_API_KEY in os.environ is now lsv2_pt_…0002; "
        f"the client uses lsv2_pt_…0001, {cached}",
        "LANGSMITH_ENDPOINT in os.environ is now https://own.example; "
        f"the client uses {DEFAULT_ENDPOINT}, from default",
        f"LANGSMITH_WORKSPACE_ID in os.environ is now {WORKSPACE}; "
        "the client uses none, from nowhere",
    ]
    assert found[3].startswith("LANGSMITH_WORKSPACE_ID in ")
    assert f".env, line 1 is {WORKSPACE[::-1]}; the client uses none" in found[3]
    assert len(found) == 4


def test_what_agrees_is_not_mentioned(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    assert disagreements(now(Access(DEFAULT_ENDPOINT, KEY))) == ()


# --- whatever the settings are --------------------------------------------------------


def test_keys_stay_out_of_repr(set_variable: SetVariable) -> None:
    set_variable("LANGSMITH_API_KEY", KEY)
    Path(".env").write_text(f"LANGSMITH_API_KEY={OLD}")
    setup = now(Access(DEFAULT_ENDPOINT, KEY))
    assert set(setup.secrets) >= {KEY, OLD}
    assert KEY not in repr(setup)
    assert OLD not in repr(setup)
    assert KEY not in repr(setup.access)


NAMES = ("LANGSMITH_API_KEY", "LANGCHAIN_ENDPOINT", "LANGSMITH_TENANT_ID", "MINE")
lines = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}={}".format,
        st.sampled_from(["", "export ", "\n", "\ufeff"]),
        st.sampled_from(NAMES),
        st.text(max_size=20),
    ),
    st.builds(
        "{}={}".format,
        st.sampled_from(NAMES),
        st.sampled_from(["${MINE}", "${", '"', "'a", '"a\nb"', "a#b", "\\", "${A:-b}"]),
    ),
)
dotenv_texts = st.lists(lines, max_size=6).flatmap(
    lambda found: st.sampled_from(["\n", "\r\n", "\r", "", "\x0b", "\u2028"]).map(
        lambda end: end.join(found)
    )
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
profile_names = st.sampled_from(
    ["api_key", "api_url", "workspace_id", "oauth", "api_key_env", "api_key_cmd"]
)
configs = any_json | st.fixed_dictionaries(
    {"profiles": any_json | st.fixed_dictionaries(
        {"default": any_json | st.dictionaries(profile_names, any_json, max_size=3)}
    )},
    optional={"current_profile": any_json},
)  # fmt: skip
function_fixture = hypothesis.HealthCheck.function_scoped_fixture


@pytest.mark.slow
@hypothesis.settings(suppress_health_check=[function_fixture])
@hypothesis.given(
    st.binary(max_size=60) | dotenv_texts.map(lambda t: t.encode("utf-8", "replace"))
)
def test_reading_never_raises_whatever_is_in_the_dotenv(content: bytes) -> None:
    environ = dict(os.environ)
    setup = dotenv_of(content)
    assert dict(os.environ) == environ
    count = content.count(b"\n") + content.count(b"\r") + 1
    for part in (setup.dotenv.key, setup.dotenv.endpoint, *setup.aliases):
        if part.value:
            line = int(part.source.place.rpartition(" ")[2])
            assert 1 <= line <= count


@pytest.mark.slow
@hypothesis.settings(suppress_health_check=[function_fixture])
@hypothesis.given(configs)
def test_reading_never_raises_whatever_is_in_the_profile(config: Any) -> None:
    environ = dict(os.environ)
    write_config(config if isinstance(config, dict) else json.dumps(config))
    setup = now(Access(DEFAULT_ENDPOINT, OLD))
    assert dict(os.environ) == environ
    for part in (setup.profile.key, setup.profile.endpoint, setup.profile.workspace):
        assert part.value is None or part.value.strip()


def test_reading_leaves_the_environment_as_it_is(set_variable: SetVariable) -> None:
    """load_dotenv would add the file's variables."""
    set_variable("LANGSMITH_API_KEY", OLD)
    Path(".env").write_text(f"LANGSMITH_API_KEY={KEY}\nMINE=1\n")
    write_profile({"api_key": KEY})
    before = dict(os.environ)
    assert now(Access(DEFAULT_ENDPOINT, OLD)).dotenv.key.value == KEY
    assert dict(os.environ) == before


# --- additional destinations of traces --------------------------------------------------

THERE = "https://elsewhere.example"
ROWS = f'[{{"api_url": "{THERE}"}}, 5, {{"api_url": 5}}]'


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        (ROWS, [("", "LANGSMITH_RUNS_ENDPOINTS"), (THERE, "LANGSMITH_RUNS_ENDPOINTS")]),
        (
            f'{{"{THERE}": "key"}}',
            [("", "LANGSMITH_RUNS_ENDPOINTS"), (THERE, "LANGSMITH_RUNS_ENDPOINTS")],
        ),
        ("[" * 99_000, [("", "LANGSMITH_RUNS_ENDPOINTS")]),
        ("not JSON", [("", "LANGSMITH_RUNS_ENDPOINTS")]),
        ("5", [("", "LANGSMITH_RUNS_ENDPOINTS")]),
        ("", []),
    ],
)
def test_the_destinations_of_the_environment(
    variable: str, found: list[tuple[str, str]], set_variable: SetVariable
) -> None:
    set_variable("LANGSMITH_RUNS_ENDPOINTS", variable)
    held = Access(DEFAULT_ENDPOINT, KEY)
    assert list(now(held, created(held)).destinations) == found


DESTINATIONS = [
    (Access(OWN, KEY), "the api_urls argument"),
    (Access(OWN, OLD), "the api_urls argument"),
    (Access(f"{THERE}/api/v1", OLD), "the api_urls argument"),
    (Access("https://other.example", OLD), "the settings of this destination"),
]


@pytest.mark.parametrize(("sent", "source"), DESTINATIONS)
def test_the_source_of_a_destination(sent: Access, source: str) -> None:
    """This includes one on the client's own host, if it has another key."""
    held = Access(OWN, KEY)
    setup = now(held, at_construction(held, {"api_urls": {OWN: KEY, THERE: OLD}}))
    setup = as_sent(setup, sent, {})
    assert str(setup.held.key.source) == source
    assert str(setup.held.endpoint.source) == source
    assert (setup.held.key.source.kind == "request") == (sent != held)


def test_an_invalid_endpoint_is_the_clients_own() -> None:
    held = Access("eu.api.smith.langchain.com", KEY)
    setup = now(held, created(held, api_url=held.endpoint))
    assert str(as_sent(setup, held, {}).held.endpoint.source) == "the api_url argument"
