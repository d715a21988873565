"""``nox`` runs the quick checks in a few minutes; ``nox -t full`` runs the rest of CI."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["check"]
nox.options.stop_on_first_error = True
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

# Hundreds of tests start programs; each would have to compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# These hardly depend on the version of langsmith. In CI they run once, with the newest
# release; each night they run with all releases.
SKIPPED_WITH_LOWEST = (
    "tests/client/test_advice.py",
    "tests/client/test_errors.py",
    "tests/client/test_escapes.py",
    "tests/client/test_fuzz.py",
    "tests/client/test_identity.py",
    "tests/client/test_lifetime.py",
    "tests/client/test_no_harm.py",
    "tests/command/test_cli.py",
    "tests/command/test_completion.py",
    "tests/command/test_demo.py",
    "tests/command/test_doctor.py",
    "tests/command/test_fix.py",
    "tests/command/test_loaded.py",
    "tests/decision/test_decision.py",
    "tests/decision/test_rule.py",
    "tests/knowledge/test_keys.py",
    "tests/knowledge/test_notebook.py",
    "tests/project/test_benchmarks.py",
    "tests/project/test_ci.py",
    "tests/project/test_pictures.py",
    "tests/project/test_readme.py",
    "tests/project/test_threats.py",
    "tests/sdk/test_guard.py",
    "tests/settings/test_provenance.py",
    "tests/test_layout.py",
    "tests/testing/test_conformity.py",
    "tests/testing/test_pytest_plugin.py",
    "tests/testing/test_simulated_langsmith.py",
    "tests/traces/test_replay.py",
    "tests/transport/test_faults.py",
    "tests/transport/test_on_the_wire.py",
    "tests/transport/test_unreachable.py",
)
# These take minutes, or need more than Python. They have their own sessions.
IN_OWN_SESSIONS = ("tests/slow", "tests/middleboxes", "tests/fleets")
# These use no fork, no terminal, and no signal.
PORTABLE = (
    "tests/decision",
    "tests/knowledge/test_keys.py",
    "tests/settings/test_settings.py",
    "tests/client/test_scenarios.py",
    "tests/client/test_identity.py",
    "tests/client/test_sync_client.py",
    "tests/client/test_async_client.py",
)
GITHUB_SCHEMAS = {
    "github-workflows": "workflows/*.yml",
    "dependabot": "dependabot.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
}
PROJECT = nox.project.load_toml("pyproject.toml")
FLOOR = "0.10.0"
# The lowest allowed versions of langsmith (FLOOR) and of the other two dependencies.
LOWEST = [one.replace(">=", "==") for one in PROJECT["project"]["dependencies"]]
# The first release where the v2 resources can be watched, so all tests run.
ALL_FEATURES = "0.14.12"
# The floor, the newest patch of each minor release, and the first of the last minor; the
# latest release runs in `tests`. Releases before ALL_FEATURES skip the slow tests.
OLDER = (FLOOR, "0.10.18", "0.11.2", "0.12.6", "0.13.0")
EACH_MINOR = (*OLDER, ALL_FEATURES, "0.14.17", "0.15.0")
DIST = Path("build", "dist")
# No autoloaded plugins: they slow down the import (langsmith), or import the package
# before coverage starts (safe_langsmith).
_USED = ("xdist", "timeout", "hypothesispytest")
PLUGINS = ["--disable-plugin-autoload", *(part for name in _USED for part in ("-p", name))]


def groups(*names: str) -> list[str]:
    """The packages of the given dependency groups."""
    return nox.project.dependency_groups(PROJECT, *names)


def install_wheel(session: nox.Session, *packages: str) -> None:
    """Install the wheel from `build`, with other packages.

    The second install forces it: pip skips a wheel with the same version.
    """
    (wheel,) = DIST.glob("*.whl")
    session.install(f"{wheel}[testing]", *packages, "--upgrade")
    session.install(str(wheel), "--force-reinstall", "--no-deps")


def run_tests(session: nox.Session, *options: str) -> None:
    """Run the tests against the installed wheel; one test fails if another is used."""
    always = ["-n", "4", "-q", *PLUGINS, *(f"--ignore={path}" for path in IN_OWN_SESSIONS)]
    session.run("pytest", *always, *options, *session.posargs, env={"TESTS_OF": "wheel"})


def run_lint(session: nox.Session) -> None:
    """Run the steps that `check` and `lint` share."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", "safe_langsmith")


@nox.session
def check(session: nox.Session) -> None:
    """Lint, and all tests except the slow ones (a few minutes)."""
    session.install("-e", ".[testing]", *groups("tests", "lint"))
    run_lint(session)
    fast = ["-q", "-n", "4", "-m", "not slow", *PLUGINS]
    session.run("pytest", *fast, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check formatting, lint, and the package's types (pre-commit hook)."""
    session.install("-e", ".[testing]", *groups("tests", "lint"))
    run_lint(session)


@nox.session
def portable(session: nox.Session) -> None:
    """Tests that also run on Windows and macOS."""
    session.install("-e", ".[testing]", *groups("tests"))
    session.run("pytest", "-q", "-n", "4", "-m", "not slow", *PLUGINS, *PORTABLE)


@nox.session(tags=["full"])
def types(session: nox.Session) -> None:
    """Type-check tests and benchmarks; validate GitHub's files."""
    session.install("-e", ".[testing]", *groups("slow", "types"))
    session.run("mypy")
    session.run("pyright")
    for schema, pattern in GITHUB_SCHEMAS.items():
        files = map(str, Path(".github").glob(pattern))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, in `build/dist`."""
    session.install(*groups("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(DIST), silent=True)


@nox.session(requires=["build"], tags=["full"])
def dist(session: nox.Session) -> None:
    """Check the built packages; write the SBOM; audit dependencies."""
    session.install(*groups("dist"))
    session.run("python", ".ci/dist.py", *session.posargs)


@nox.session(requires=["build"], tags=["full"])
@nox.parametrize("versions", ["newest", "lowest"])
def tests(session: nox.Session, versions: str) -> None:
    """Test the wheel: slow tests (newest langsmith), most tests (lowest)."""
    if versions == "newest":  # `check` has run the quick tests with it.
        install_wheel(session, "langsmith", *groups("slow"))
        run_tests(session, "-m", "slow")
    else:
        install_wheel(session, *LOWEST, *groups("slow"))
        run_tests(session, *(f"--ignore={path}" for path in SKIPPED_WITH_LOWEST))


@nox.session(requires=["build"])
def coverage(session: nox.Session) -> None:
    """All tests on the wheel, with branch coverage (nightly)."""
    install_wheel(session, "langsmith", *groups("slow"))
    run_tests(session, "-p", "pytest_cov", "--cov", "--cov-report=term")


@nox.session(requires=["build"], tags=["full"])
def forks(session: nox.Session) -> None:
    """tests/slow: forks, gunicorn --preload, and a flapping server."""
    install_wheel(session, *groups("slow"))
    session.run("pytest", "-n", "4", "-q", "tests/slow", env={"TESTS_OF": "wheel"})


@nox.session(requires=["build"], tags=["full"])
def middleboxes(session: nox.Session) -> None:
    """Tests behind real nginx, haproxy, and squid, if installed."""
    install_wheel(session, *groups("slow"))
    session.run(
        "pytest", "-n", "4", "-q", "-rs", "tests/middleboxes", env={"TESTS_OF": "wheel"}
    )


@nox.session(requires=["build"])
def fleets(session: nox.Session) -> None:
    """Tests in workers of gunicorn, Celery, and Ray (nightly)."""
    install_wheel(session, *groups("fleets"))
    session.run("pytest", "-q", "-rs", "tests/fleets", env={"TESTS_OF": "wheel"})


@nox.session
def dev(session: nox.Session) -> None:
    """Run the given tests on the source (editable install)."""
    session.install("-e", ".[testing]", *groups("slow"))
    session.run("pytest", *session.posargs)


@nox.session(requires=["build"])
@nox.parametrize("langsmith", EACH_MINOR)
def matrix(session: nox.Session, langsmith: str) -> None:
    """Tests with each minor release of langsmith (nightly)."""
    older = langsmith in OLDER
    needed = groups("tests" if older else "slow")
    install_wheel(session, f"langsmith=={langsmith}", *needed)
    run_tests(session, *(("-m", "not slow") if older else ()))


@nox.session(requires=["build"])
def prereleases(session: nox.Session) -> None:
    """Tests with the latest langsmith, including prereleases (nightly)."""
    install_wheel(session, *groups("slow"))
    session.install("langsmith", "--pre", "--upgrade")
    run_tests(session)


@nox.session(tags=["full"])
def docs(session: nox.Session) -> None:
    """Build the site in `build/site`; broken links are errors."""
    session.install("-e", ".[testing]", *groups("docs"))
    session.run("mkdocs", "build", "--strict", "--quiet")


@nox.session(requires=["build"], tags=["full"])
def upstream(session: nox.Session) -> None:
    """Fast part of the SDK's own tests, with both clients."""
    install_wheel(session, *groups("upstream"))
    # 2: the tests could not be downloaded (reported). Only the nightly run fails then.
    session.run("python", "-m", "tests.upstream.compare", success_codes=[0, 2])


@nox.session(requires=["build"])
def upstream_all(session: nox.Session) -> None:
    """All of the SDK's own unit tests, with both clients (nightly)."""
    install_wheel(session, *groups("upstream-all"))
    session.run("python", "-m", "tests.upstream.compare", "--all")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure speed, write docs/benchmarks.md (about 50 minutes)."""
    session.install("-e", ".[testing]")
    session.run("python", "-m", "benchmarks", *session.posargs)
