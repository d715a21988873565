"""Tests for the pytest plugin: they run pytest inside a test, on a simulated LangSmith."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import langsmith
import pytest
from langsmith.utils import get_env_var
from pages import DOCS, ROOT

import safe_langsmith
from safe_langsmith import Client, KeyRejectedError, Policy, WorkspaceRequiredError
from safe_langsmith._sdk.modules import tracing_client
from safe_langsmith.testing import ReadyLangSmith

pytest_plugins = ("pytester", "pytest_safe_langsmith")
# Other plugins that load automatically would slow down these runs.
ALONE = ("-p", "no:langsmith_plugin", "-p", "no:cacheprovider", "-p", "no:randomly")
PLUGIN = ("-p", "pytest_safe_langsmith")
OPTION = "--langsmith-require-traces"
UNTRACED = "def test_it(): pass"


class Kept:
    """Keeps the modules that an inner run imports; pytester would remove them.

    With two copies of langsmith in a process, neither sees the other's traces.
    """

    modules: Mapping[str, ModuleType] = MappingProxyType({})

    def pytest_unconfigure(self) -> None:
        packages = ("langsmith", "safe_langsmith")
        loaded = sys.modules.items()
        self.modules = {n: m for n, m in loaded if n.partition(".")[0] in packages}


KEPT = Kept()


@pytest.fixture
def modules_stay() -> Iterator[None]:
    yield
    for name, module in KEPT.modules.items():
        sys.modules.setdefault(name, module)


@pytest.fixture
def pytester(modules_stay: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """Set up ``modules_stay`` first, so that it is torn down last."""
    return pytester


def run_here(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests of a folder in this process."""
    return pytester.runpytest_inprocess(*options, plugins=[KEPT])


WORKER = """
    def pytest_configure(config):
        config.workeroutput = {}

    def pytest_unconfigure(config):
        print("sent:", config.workeroutput)
"""
TRACED = """
    import langsmith

    @langsmith.traceable
    def program():
        return 42

    def test_it():
        assert program() == 42
"""


# The fixture


def test_the_environment_is_that_of_a_program(simulated_langsmith: ReadyLangSmith) -> None:
    """There is a workspace, a key with all permissions, and tracing is on."""
    client = langsmith.Client(auto_batch_tracing=False)
    client.create_project("mine")

    assert [project.name for project in client.list_projects()] == ["mine"]
    (exchange, *_) = simulated_langsmith.exchanges
    assert exchange.key == simulated_langsmith.key.secret
    assert langsmith.utils.tracing_is_enabled()


def test_traces_arrive(simulated_langsmith: ReadyLangSmith) -> None:
    simulated_langsmith.flush()  # nothing was traced yet
    langsmith.traceable(lambda: 42)()
    simulated_langsmith.flush()

    assert len(simulated_langsmith.runs) == 1


def test_a_key_is_rejected(simulated_langsmith: ReadyLangSmith) -> None:
    simulated_langsmith.revoke(simulated_langsmith.key)

    with pytest.raises(KeyRejectedError) as caught:
        list(Client().list_projects())
    assert caught.value.diagnosis.findings == ()


def test_another_key_is_used(simulated_langsmith: ReadyLangSmith) -> None:
    """Code that has used the first key uses the other one from then on."""
    other = simulated_langsmith.add_workspace("Production")
    key = simulated_langsmith.add_service_key()
    langsmith.traceable(lambda: 42)()
    simulated_langsmith.use(key)
    with pytest.raises(WorkspaceRequiredError):
        list(Client().list_projects())
    simulated_langsmith.use(key, other)
    langsmith.traceable(lambda: 42)()
    simulated_langsmith.flush()

    assert simulated_langsmith.exchanges[-1].workspace == other.id
    simulated_langsmith.use(simulated_langsmith.key)
    assert "LANGSMITH_WORKSPACE_ID" not in os.environ


@pytest.mark.parametrize("named", [False, True])
def test_no_dotenv_is_read_but_one_that_a_policy_names(
    uses_dotenv: None, simulated_langsmith: ReadyLangSmith, named: bool
) -> None:
    Path(".env").write_text("LANGSMITH_API_KEY=lsv2_pt_of_another_program\n")
    simulated_langsmith.revoke(simulated_langsmith.key)
    policy = Policy(dotenv=".env" if named else None)
    with pytest.raises(KeyRejectedError) as caught:
        list(Client(policy=policy).list_projects())

    assert (".env" in str(caught.value)) == named
    assert not simulated_langsmith.saw("lsv2_pt_of_another_program")


def test_everything_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the machine, the SDK's caches, and the tracing client."""
    monkeypatch.setenv("LANGCHAIN_PROJECT", "mine")
    monkeypatch.setenv("LANGSMITH_RUNS_ENDPOINTS", "[]")
    monkeypatch.setenv("NO_PROXY", "example.com")
    Path.home().joinpath(".langsmith").mkdir()
    profile = '{"profiles": {"default": {"api_url": "http://127.0.0.1:9"}}}'
    Path.home().joinpath(".langsmith", "config.json").write_text(profile)
    own = langsmith.Client(api_url="http://127.0.0.1:9", auto_batch_tracing=False)
    langsmith.configure(client=own)
    assert get_env_var("PROJECT") == "mine"
    before = dict(os.environ)
    try:
        with pytest.MonkeyPatch.context() as patch, ReadyLangSmith(patch) as server:
            assert (get_env_var("PROJECT"), get_env_var("RUNS_ENDPOINTS")) == (None, None)
            assert os.environ["NO_PROXY"] == "example.com,127.0.0.1"
            assert tracing_client() is None
            assert langsmith.Client(auto_batch_tracing=False).api_url == server.url
            server.answer("/runs/multipart", status=None, delay=0.01)
            langsmith.traceable(lambda: 42)()
        assert len(server.runs) == 1
        assert dict(os.environ) == before
        assert tracing_client() is own
        assert get_env_var("PROJECT") == "mine"
    finally:
        langsmith.configure(client=None)


# The option


@pytest.mark.parametrize(
    ("role", "settings", "fault", "program", "said"),
    [
        ("Admin", {}, None, TRACED, ""),
        (
            "Viewer",
            {},
            None,
            TRACED,
            "traces were refused. POST /runs/multipart * (403): *runs:create. Fix: ask *",
        ),
        ("Admin", {}, 422, TRACED, "traces were lost. *422*"),
        (
            "Admin",
            {"LANGSMITH_TRACING": "false"},
            None,
            TRACED,
            "no traces were recorded. Tracing is off; set LANGSMITH_TRACING=true.",
        ),
        (
            "Admin",
            {},
            None,
            UNTRACED,
            "no traces were recorded. No test ran traced code.",
        ),
        (
            "Admin",
            {"LANGSMITH_RUNS_ENDPOINTS": "[]"},
            None,
            UNTRACED,
            "no LangSmith client could be created: *LANGSMITH_RUNS_ENDPOINTS.",
        ),
    ],
)
def test_a_run_without_traces_fails(
    pytester: pytest.Pytester,
    simulated_langsmith: ReadyLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    role: Any,
    settings: dict[str, str],
    fault: int | None,
    program: str,
    said: str,
) -> None:
    simulated_langsmith.set_role(simulated_langsmith.key, role=role)
    simulated_langsmith.answer("/runs/multipart", status=fault, body={"error": "no"})
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(program)

    result = run_here(pytester, *ALONE, *PLUGIN, OPTION)

    result.assert_outcomes(passed=1)
    expected = [f"{OPTION}: {said}"] if said else []
    assert len(verdicts(result)) == len(expected)
    result.stdout.fnmatch_lines(expected)
    assert result.ret == (1 if said else 0)
    assert tracing_client() is None


def verdicts(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith(OPTION)]


def test_a_missing_server_library_is_a_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("safe_langsmith.test")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    result = run_here(pytester, *ALONE, *PLUGIN, OPTION)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    expected = "ERROR: *pip install starlette uvicorn*"
    result.stderr.fnmatch_lines([expected])


def test_a_run_that_only_collects_is_not_watched(
    pytester: pytest.Pytester, simulated_langsmith: ReadyLangSmith
) -> None:
    pytester.makepyfile(UNTRACED)

    result = run_here(pytester, *ALONE, *PLUGIN, OPTION, "--collect-only")

    assert (result.ret, verdicts(result)) == (0, [])


def test_traces_to_a_simulated_langsmith_do_not_count(
    pytester: pytest.Pytester, simulated_langsmith: ReadyLangSmith
) -> None:
    """A test with its own server does not affect the traces of other tests."""
    own = TRACED.replace("test_it()", "test_own(simulated_langsmith)")
    pytester.makepyfile(test_own=own)
    result = run_here(pytester, *ALONE, *PLUGIN, OPTION)
    assert len(verdicts(result)) == 1

    pytester.makepyfile(test_real=TRACED)
    result = run_here(pytester, *ALONE, *PLUGIN, OPTION)
    assert (result.ret, verdicts(result)) == (0, [])
    assert len(simulated_langsmith.runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "program", "said"),
    [("Admin", TRACED, 0), ("Viewer", TRACED, 1)],
)
def test_workers_of_xdist_are_watched_together(
    pytester: pytest.Pytester,
    simulated_langsmith: ReadyLangSmith,
    role: Any,
    program: str,
    said: int,
) -> None:
    """A worker without a traced test does not fail the run; a reason is printed once."""
    simulated_langsmith.set_role(simulated_langsmith.key, role=role)
    pytester.makepyfile(test_traced=program, test_untraced=UNTRACED)

    options = (*ALONE, *PLUGIN, "-p", "xdist", "-n2", "--dist=loadfile", OPTION)
    result = run_here(pytester, *options)

    result.assert_outcomes(passed=2)
    assert (result.ret, len(verdicts(result))) == (said, said)


@pytest.mark.parametrize(
    ("program", "sent"),
    [(TRACED, {"langsmith_traces": [1, []]}), (UNTRACED, {"langsmith_traces": [0, []]})],
)
def test_a_worker_of_xdist_reports_what_it_traced(
    pytester: pytest.Pytester,
    simulated_langsmith: ReadyLangSmith,
    program: str,
    sent: dict[str, Any],
) -> None:
    """The worker itself does not fail."""
    pytester.makeconftest(WORKER)
    pytester.makepyfile(program)

    result = run_here(pytester, *ALONE, *PLUGIN, OPTION)

    assert result.ret == 0
    assert f"sent: {sent}" in result.outlines


# The package


def installed(folder: Path) -> str:
    """Create a folder with the metadata of an installed plugin."""
    table = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'entry-points\.pytest11\]\n(\w+) = "(\w+)"', table)
    assert found is not None
    info = folder / "another-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{found[1]} = {found[2]}\n")
    return str(folder)


USED = "def test_it(simulated_langsmith): pass"


@pytest.mark.parametrize(
    ("conftest", "options", "program", "passed"),
    [
        ("", [], USED, 1),
        ("", ["-p", "pytest_safe_langsmith"], USED, 1),
        ("pytest_plugins = ['pytest_safe_langsmith']", [], USED, 1),
        ("", ["-p", "no:pytest_safe_langsmith"], UNTRACED, 1),
        ("", ["-p", "no:pytest_safe_langsmith"], USED, 0),
        ("", ["--disable-plugin-autoload"], UNTRACED, 1),
        ("", ["--disable-plugin-autoload"], USED, 0),
        ("", ["--disable-plugin-autoload", "-p", "pytest_safe_langsmith"], USED, 1),
    ],
)
def test_the_plugin_is_loaded_once_however_it_is_enabled(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    conftest: str,
    options: list[str],
    program: str,
    passed: int,
) -> None:
    monkeypatch.syspath_prepend(installed(pytester.path / "site"))
    pytester.makeconftest(conftest)
    pytester.makepyfile(program)

    result = run_here(pytester, *ALONE, *options)

    result.assert_outcomes(passed=passed, errors=1 - passed)


def test_a_run_without_the_fixture_does_not_import_langsmith(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import sys
def test_it():
    ours = {m for m in sys.modules if "langsmith" in m or m in ("uvicorn", "starlette")}
    assert ours == {"pytest_safe_langsmith"}
"""
    file = tmp_path / "test_a.py"
    file.write_text(code)
    package = str(Path(safe_langsmith.__file__).parent.parent)
    path = os.pathsep.join([installed(tmp_path / "site"), package])
    monkeypatch.setenv("PYTHONPATH", path)

    command = [sys.executable, "-m", "pytest", "-q", *ALONE, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_of_the_page(pytester: pytest.Pytester) -> None:
    """The examples on the page pass; the first test has five lines."""
    page = (DOCS / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (shown,) = [block for block in blocks if "(simulated_langsmith)" in block]
    tests = re.split(r"\n\n\n", shown.strip())[1:]
    assert len(tests) >= 3
    assert len(tests[0].splitlines()) == 5
    pytester.makepyfile(shown)

    result = run_here(pytester, *ALONE, *PLUGIN)

    result.assert_outcomes(passed=len(tests))


def test_the_example_of_the_readme(pytester: pytest.Pytester) -> None:
    """The example in the README passes; the test has five lines."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(import pytest\n.*?)```", readme, re.DOTALL)
    assert len(shown.partition("\ndef ")[2].splitlines()) == 5
    pytester.makepyfile(shown)

    result = run_here(pytester, *ALONE, *PLUGIN)

    result.assert_outcomes(passed=1)
