"""The pytest plugin: `simulated_langsmith` and ``--langsmith-require-traces``.

pytest imports this file at every start. So it is outside the package, and imports nothing
from there until the fixture or the option is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from safe_langsmith.testing import ReadyLangSmith


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--langsmith-require-traces``."""
    parser.getgroup("langsmith", "LangSmith").addoption(
        "--langsmith-require-traces",
        action="store_true",
        help="fail the run if LangSmith recorded no traces, or refused some",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the traces of this run if the option is used."""
    # The default is needed if a test module loads the plugin: it cannot add options then.
    wanted = config.getoption("langsmith_require_traces", default=False)
    if wanted and not config.option.collectonly:
        try:
            from safe_langsmith.testing._required import RequiredTraces
        except ImportError as missing:  # the message says what to install
            raise pytest.UsageError(str(missing)) from missing
        config.pluginmanager.register(RequiredTraces(config), "langsmith_require_traces")


@pytest.fixture
def simulated_langsmith(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadyLangSmith]:
    """A simulated LangSmith with a workspace and a key; the environment points to it."""
    from safe_langsmith.testing import ReadyLangSmith

    with ReadyLangSmith(monkeypatch) as server:
        yield server
