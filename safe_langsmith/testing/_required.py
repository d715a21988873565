"""``pytest --langsmith-require-traces``: fails if traces are refused or missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from langsmith.utils import tracing_is_enabled

from safe_langsmith._install import Installation, install
from safe_langsmith.errors import AccessDeniedError

if TYPE_CHECKING:
    from collections.abc import Generator

    import requests

_OPTION = "--langsmith-require-traces"
_SENT = "langsmith_traces"  # sent by a worker of xdist to the main process
_RUNS = re.compile(r"/runs(/batch|/multipart)?$")


class RequiredTraces:
    """Traces with its own client, and fails the run if traces are missing or lost."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._accepted = 0
        self._problems: list[str] = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, None]:
        """Watch while the tests run; with xdist, in each worker."""
        if self._config.pluginmanager.hasplugin("dsession"):
            yield
        else:
            watched = self._watch()
            yield
            if watched:
                self._end(watched)
        report: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if report is not None:
            report[_SENT] = [self._accepted, self._problems]
        elif self._verdict:
            session.testsfailed += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect the results of a worker of xdist."""
        accepted, problems = getattr(node, "workeroutput", {}).get(_SENT, (0, ()))
        self._accepted += accepted
        self._problems += problems

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Report why the run fails."""
        for line in self._verdict:
            terminalreporter.write_line(f"{_OPTION}: {line}", red=True)

    @property
    def _verdict(self) -> list[str]:
        """Why the run fails; empty if it passes."""
        if self._problems or self._accepted:
            return list(dict.fromkeys(self._problems))
        if tracing_is_enabled():
            return ["no traces were recorded. No test ran traced code."]
        return ["no traces were recorded. Tracing is off; set LANGSMITH_TRACING=true."]

    def _watch(self) -> Installation | None:
        """Trace with our own client, and count what it sends."""
        try:
            watched = install()
        except Exception as error:  # the SDK's own, for settings that it does not accept
            self._problems.append(f"no LangSmith client could be created: {error}")
            return None
        watched.client.session.hooks["response"].append(self._count)
        return watched

    def _count(self, response: requests.Response, **_: object) -> None:
        """Count accepted batches."""
        path = (response.request.url or "").partition("?")[0]
        self._accepted += response.ok and _RUNS.search(path) is not None

    def _end(self, watched: Installation) -> None:
        """Wait for pending traces, and note which were lost."""
        watched.undo()
        try:
            watched.client.raise_for_tracing_errors()
        except AccessDeniedError as error:
            fix = f" Fix: {error.next_steps[0]}." if error.next_steps else ""
            self._problems.append(f"traces were refused. {_first_line(error)}.{fix}")
        except Exception as error:  # traces may be lost for any other reason
            self._problems.append(f"traces were lost. {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].removesuffix(".")
