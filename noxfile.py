"""Everything that must hold, in one command: ``nox``."""

import nox

nox.options.sessions = ["lint", "tests", "upstream"]
nox.options.stop_on_first_error = True
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

# What these test is the same with every langsmith, so they run once.
OURS_ALONE = (
    "tests/test_benchmarks.py",
    "tests/test_completion.py",
    "tests/test_decision.py",
    "tests/test_demo.py",
    "tests/test_fix.py",
    "tests/test_keys.py",
    "tests/test_layout.py",
    "tests/test_pictures.py",
    "tests/test_readme.py",
    "tests/test_rule.py",
    "tests/test_simulated_langsmith.py",
)
# The table of scenarios runs through every client with the floor too; the doctor's
# report of each row is made of the same diagnosis.
ONCE = (
    "tests/test_doctor.py::test_the_verdict_is_that_of_the_error",
    "tests/test_doctor.py::test_other_calls",
    "tests/test_replay.py::test_killed_at_any_moment_again_and_again",
)
PROJECT = nox.project.load_toml("pyproject.toml")
FLOOR = "0.14.12"


def groups(*names: str) -> list[str]:
    """The packages of the given dependency groups."""
    return nox.project.dependency_groups(PROJECT, *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, types."""
    session.install("-e", ".[testing]", *groups("tests", "lint"))
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
@nox.parametrize("langsmith", ["newest", FLOOR])
def tests(session: nox.Session, langsmith: str) -> None:
    """The tests: all with the newest langsmith, with branch coverage; and the floor."""
    wanted = "langsmith" if langsmith == "newest" else f"langsmith=={langsmith}"
    session.install("-e", ".[testing]", wanted, *groups("tests"), "--upgrade")
    options = ["-n", "4", "-q", "--ignore=tests/test_upstream.py"]
    if langsmith == "newest":
        options += ["--cov", "--cov-report=term"]
    else:
        options += [f"--ignore={path}" for path in OURS_ALONE]
        options += [f"--deselect={test}" for test in ONCE]
    session.run("pytest", *options, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, in `build/site`; a broken link is an error."""
    session.install("-e", ".[testing]", *groups("docs"))
    session.run("mkdocs", "build", "--strict", "--quiet")


@nox.session
def upstream(session: nox.Session) -> None:
    """The fast part of the SDK's own tests, with the plain and the safe clients."""
    session.install("-e", ".[testing]", *groups("tests", "upstream"))
    session.run("pytest", "-q", "tests/test_upstream.py")


@nox.session
def upstream_all(session: nox.Session) -> None:
    """All of the SDK's own unit tests, with the plain and the safe clients: nightly."""
    session.install("-e", ".[testing]", *groups("upstream-all"))
    session.run("python", "-m", "tests.upstream.compare", "--all")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Speed as ratios, about ten minutes: `docs/benchmarks.md`. Counts with valgrind."""
    session.install("-e", ".[testing]")
    session.run("python", "-m", "benchmarks")
