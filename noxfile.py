"""Everything that must hold, in one command: ``nox``."""

import nox

nox.options.stop_on_first_error = True
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

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
    """All tests, with the newest langsmith (and branch coverage) and with the floor."""
    wanted = "langsmith" if langsmith == "newest" else f"langsmith=={langsmith}"
    session.install("-e", ".[testing]", wanted, *groups("tests"), "--upgrade")
    coverage = ["--cov", "--cov-report=term"] if langsmith == "newest" else []
    session.run("pytest", "-n", "4", "-q", *coverage, *session.posargs)
