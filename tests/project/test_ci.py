"""Tests for the CI workflows, the noxfile, and the audit of dependencies."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ALL_SLOW
from pages import ROOT

RELEASES = ROOT / "tests" / "releases.py"
WORKFLOWS = ROOT / ".github" / "workflows"


def loaded(name: str) -> Any:
    """Load a script of `.ci/` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def workflow(name: str) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return loaded


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def sessions() -> dict[str, ast.FunctionDef]:
    """Return the sessions of the noxfile, by name."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(one) for one in node.decorator_list)
    }


def default_sessions() -> set[str]:
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (found,) = re.findall(r"^nox\.options\.sessions = (.+)$", text, re.MULTILINE)
    return set(ast.literal_eval(found))


def full_sessions() -> set[str]:
    """Return the sessions of `nox -t full`."""
    return {
        name
        for name, node in sessions().items()
        if any("tags=['full']" in ast.unparse(one) for one in node.decorator_list)
    }


def nightly_sessions() -> set[str]:
    """Return the sessions in the nightly matrix and in commands."""
    jobs = workflow("nightly.yml")["jobs"]
    named = set(jobs["session"]["strategy"]["matrix"]["session"])
    for step in steps("nightly.yml"):
        named |= set(re.findall(r"nox -s (\w+)", step.get("run", "")))
    return named


def test_the_workflow_runs_what_any_ci_runs() -> None:
    all_of_it = workflow("ci.yml")["jobs"]["all"]["steps"]
    assert [step["run"] for step in all_of_it if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = [line for line in readme.splitlines() if line.endswith("/nox")]
    assert command in text.splitlines()
    longer = ".venv/bin/nox -t full"
    assert f"`{longer}`" in readme
    assert text.splitlines()[-1] == longer


def test_the_workflow_runs_each_supported_python() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    strategy = workflow("ci.yml")["jobs"]["all"]["strategy"]
    assert strategy["matrix"]["python"] == promised


def test_each_session_exists_and_runs_somewhere() -> None:
    assert default_sessions() == {"check"}
    assert {"types", "dist", "tests", "forks", "middleboxes", "upstream"} <= full_sessions()
    assert nightly_sessions() <= set(sessions())
    # Others include `build` and `lint`; `dev` and `benchmarks` are for developers.
    by_hand = {"build", "dev", "benchmarks", "lint"}
    assert "nox -s portable" in [step.get("run") for step in steps("ci.yml")]
    by_hand.add("portable")
    run = default_sessions() | full_sessions() | nightly_sessions() | by_hand
    assert set(sessions()) == run


def test_only_the_quick_check_and_older_releases_leave_out_slow_tests() -> None:
    assert [n for n, node in sessions().items() if "not slow" in ast.unparse(node)] == [
        "check",
        "portable",
        "matrix",
    ]


def test_the_paths_in_the_noxfile_exist() -> None:
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    named = re.findall(r'"(tests/[\w/.]+)"', text)
    assert len(named) > 20
    assert all((ROOT / path).exists() for path in named)


def fast_tests(folder: Path) -> list[str]:
    """Return the tests in a folder that are not marked as slow."""
    texts = (path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    heads = re.compile(r"^((?:@.+\n)*)(?:async )?def (test_\w+)", re.MULTILINE)
    return [
        name
        for text in texts
        if not ALL_SLOW.search(text)
        for marks, name in heads.findall(text)
        if "@pytest.mark.slow\n" not in marks
    ]


def test_the_quick_check_has_tests_of_each_part() -> None:
    parts = {path for path in (ROOT / "tests").iterdir() if [*path.glob("test_*.py")]}
    assert len(parts) > 8
    assert {p.name for p in parts if not fast_tests(p)} == {"fleets", "middleboxes", "slow"}


ACTION = re.compile(r"uses: ((?:actions|pypa)/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")


@pytest.mark.parametrize("name", ["ci.yml", "nightly.yml", "release.yml"])
def test_a_workflow_may_only_read(name: str) -> None:
    """Only three jobs of a release have more permissions, each only what it needs."""
    assert workflow(name)["permissions"] == {"contents": "read"}
    more = {n: job.get("permissions") for n, job in workflow(name)["jobs"].items()}
    may = {n: permissions for n, permissions in more.items() if permissions}
    attest = {"attestations": "write", "id-token": "write"}
    of_release = {
        "attest": attest,
        "publish": {"id-token": "write"},
        "announce": {"contents": "write"},
    }
    assert may == (of_release if name == "release.yml" else {})


def test_actions_are_pinned() -> None:
    """Each is pinned to a commit, with its version in a comment for dependabot."""
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml")]
    pins = [pin for text in texts for pin in ACTION.findall(text)]
    assert len(pins) == sum(text.count("uses:") for text in texts)
    assert len({name for name, _, _ in pins}) == len(set(pins))


def test_pre_commit_runs_what_the_session_runs() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repo["hooks"]] == ["nox -s lint"]


PROJECT = '[project]\nversion = "1.2.3"\n'


def test_the_notes_of_a_release() -> None:
    """They come from CHANGELOG.md; a tag must match the version and have notes."""
    changelog = "# Changes\n\n## 1.2.3 (2026-01-02)\n\n- New.\n\n## 1.2.2\n\n- Old.\n"
    notes = loaded("notes").notes
    assert notes("v1.2.3", changelog, PROJECT) == "- New."
    for tag, text in (("v1.2.2", changelog), ("v1.2.3", "## 1.2.3\n"), ("v1.2.3", "")):
        with pytest.raises(SystemExit):
            notes(tag, text, PROJECT)


def test_this_version_has_notes() -> None:
    texts = [(ROOT / n).read_text("utf-8") for n in ("CHANGELOG.md", "pyproject.toml")]
    (version,) = re.findall(r'^version = "(.+)"$', texts[1], re.MULTILINE)
    assert loaded("notes").notes(f"v{version}", *texts)


def test_the_lowest_release_is_the_same_everywhere() -> None:
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in ("noxfile.py", "pyproject.toml", "README.md", "docs/releases.md")
    }
    (floor,) = re.findall(r'^FLOOR = "(.+)"$', texts["noxfile.py"], re.MULTILINE)
    assert f'"langsmith>={floor}"' in texts["pyproject.toml"]
    assert f"langsmith {floor} or newer" in " ".join(texts["README.md"].split())
    assert f"langsmith {floor} or newer" in texts["docs/releases.md"]


def test_older_releases_are_before_the_first_with_all_features() -> None:
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (whole,) = re.findall(r'^ALL_FEATURES = "(.+)"$', text, re.MULTILINE)
    assert f'WATCHES_V2 = at_least("{whole}")' in RELEASES.read_text(encoding="utf-8")
    (older,) = re.findall(r"^OLDER = \((.+)\)$", text, re.MULTILINE)
    numbers = [
        tuple(map(int, one.split("."))) for one in [*re.findall(r'"(.+?)"', older), whole]
    ]
    assert numbers == sorted(numbers)


# --- the audit --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist() -> Any:
    return loaded("dist")


INSTALLED = {"safe-langsmith": "1", "good-one": "1", "other": "2"}
GOOD = {"name": "good_one", "version": "1", "vulns": []}
OTHER = {"name": "other", "version": "2", "vulns": []}
HOLE = {**OTHER, "vulns": [{"id": "PYSEC-1"}]}
SKIPPED = {"name": "other", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("listed", "holes", "unknown"),
    [
        ([GOOD, OTHER], [], ""),
        ([GOOD, HOLE], ["other: [{'id': 'PYSEC-1'}]"], ""),
        ([GOOD, SKIPPED], [], "1 of 2 packages not looked up (not found)"),
        ([GOOD], [], "1 of 2 packages not looked up (not listed)"),
        ([], [], "2 of 2 packages not looked up (not listed)"),
        (
            [HOLE],
            ["other: [{'id': 'PYSEC-1'}]"],
            "1 of 2 packages not looked up (not listed)",
        ),
    ],
)
def test_what_an_audit_proves(
    dist: Any, listed: list[Any], holes: list[str], unknown: str
) -> None:
    assert dist.judged({"dependencies": listed}, INSTALLED) == (holes, unknown)


def test_an_audit_that_fails_says_why(
    dist: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python or pip-audit is missing here, or its service is unreachable."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    python = tmp_path / "none"
    with pytest.raises((FileNotFoundError, PermissionError)):
        dist.audit(python, INSTALLED, tmp_path)
    holes, unknown = dist.audit(sys.executable, INSTALLED, tmp_path)
    assert holes == []
    assert unknown
