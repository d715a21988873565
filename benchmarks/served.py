"""A simulated LangSmith in a process of its own: its work is not counted as the client's.

It is asked over its standard input, a line for each question, and answers in JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from safe_langsmith.testing import SimulatedLangSmith


class Served:
    """The process, as seen from the one that measures."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.facts: Mapping[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def requests(self) -> dict[str, int]:
        """How many requests of each kind arrived since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write("requests\n")
        self._process.stdin.flush()
        counts: dict[str, int] = self._answer()
        return counts


@contextmanager
def served(delay: float = 0.0) -> Iterator[Served]:
    """Serve while this is entered; each answer comes after ``delay`` seconds."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.served", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Served(process)
        assert process.stdin is not None
        process.stdin.close()  # it ends when nobody can ask any more


def main(delay: float) -> None:
    """Serve one workspace, its key, and a key of the whole organization."""
    with SimulatedLangSmith() as server:
        own = server.add_workspace("Research", projects=2, runs=20)
        facts = {
            "url": server.url,
            "workspace": own.id,
            "key": server.add_personal_key(workspaces=[own]).secret,
            "organization_key": server.add_service_key(workspaces=None).secret,
        }
        if delay:
            server.answer("*", status=None, delay=delay)
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            counts: dict[str, int] = {}
            for exchange in server.exchanges:
                name = f"{exchange.method} {exchange.path} {exchange.status}"
                counts[name] = counts.get(name, 0) + 1
            server.clear()
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
