"""A simulated LangSmith in a separate process, so that its work is not measured.

The parent writes each question as a line to this process, which answers in JSON.
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
    """The parent's handle for the process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.facts: Mapping[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def requests(self) -> dict[str, int]:
        """Count the requests of each kind since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("requests\n")
        self._process.stdin.flush()
        counts: dict[str, int] = self._answer()
        return counts


@contextmanager
def served(delay: float = 0.0) -> Iterator[Served]:
    """Run the server; each response is delayed by ``delay`` seconds."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.served", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Served(process)
        assert process.stdin is not None
        process.stdin.close()  # this makes the process exit


def main(delay: float) -> None:
    """Serve a workspace, a key for it, and an organization key."""
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
