"""Count the forked children that hang if a request is first refused during the fork.

``python -m tests.slow.forks`` prints the count for each kind of client, safe and plain.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from safe_langsmith.testing import SimulatedLangSmith

HERE = Path(__file__).parent
SETTINGS = HERE / "gunicorn_settings.py"
PYTHON_PATH = f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
# Why the call of `forking.py` is refused. With "repaired", a repair is possible.
CAUSES = ("refused", "repaired")
# Ten forks per program. Together they cover 150 ms in steps of 3 ms.
PROGRAMS = 5
SWEEPS = [[f"{3 * first + 15 * n}" for n in range(10)] for first in range(PROGRAMS)]
AT_IMPORTS = ["imports"]
WORKERS = 4


@contextlib.contextmanager
def refusing(cause: str) -> Iterator[tuple[SimulatedLangSmith, str]]:
    """A server that refuses one of the calls of `forking.py`, and a key."""
    with SimulatedLangSmith() as server:
        workspace = server.add_workspace("Research")
        key = (
            server.add_personal_key(workspaces=[workspace], role="Viewer")
            if cause == "refused"
            else server.add_service_key(workspaces=None)
        )
        yield server, key.secret


@dataclass(frozen=True)
class Report:
    """The output of one run: the results of each child that ended in time."""

    forked: int
    children: list[tuple[str, ...]]
    parent: tuple[str, ...]
    unguarded: tuple[str, ...]
    errors: str
    # How many operations (one or two) of each run arrived.
    arrived: Counter[str] = field(default_factory=Counter)

    @property
    def hanging(self) -> int:
        """How many children did not end in time."""
        return self.forked - len(self.children)


def run(kind: str, cause: str, moments: list[str], limit: float) -> Report:
    """Run `forking.py`."""
    with refusing(cause) as (server, key):
        program = [sys.executable, str(HERE / "forking.py"), kind, server.url, key]
        done = subprocess.run(
            [*program, f"{limit}", *moments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        )
        arrived = Counter({run: len(parts) for run, parts in server.runs.items()})
    lines = [(who, tuple(rest)) for who, *rest in map(json.loads, done.stdout.splitlines())]
    about = {who: rest for who, rest in lines if who in ("forked", "parent", "unguarded")}
    return Report(
        forked=int(about.get("forked", ("0",))[0]),
        children=[rest for who, rest in lines if who not in about],
        parent=about.get("parent", ()),
        unguarded=about.get("unguarded", ()),
        errors=done.stderr,
        arrived=arrived,
    )


def run_gunicorn(kind: str, cause: str, limit: float) -> Report:
    """Start gunicorn with `preloaded.py`, and send each worker one request."""
    with contextlib.ExitStack() as stack:
        server, key = stack.enter_context(refusing(cause))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        errors = stack.enter_context(tempfile.TemporaryFile("w+"))
        settings = {
            "PRELOADED_KIND": kind,
            "PRELOADED_URL": server.url,
            "PRELOADED_KEY": key,
            "PRELOADED_LIMIT_S": f"{limit}",
            "PRELOADED_WORKERS": f"{WORKERS}",
        }
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "gunicorn",
                        "-c",
                        HERE / "gunicorn_settings.py",
                    ),
                    *("--bind", f"fd://{listener.fileno()}"),
                ],
                cwd=folder,
                env={**os.environ, **settings, "PYTHONPATH": PYTHON_PATH},
                pass_fds=[listener.fileno()],
                stdout=errors,
                stderr=errors,
            )
        try:
            addresses = [f"http://127.0.0.1:{port}/{n}" for n in range(WORKERS)]
            with ThreadPoolExecutor(WORKERS) as pool:
                answers = list(pool.map(lambda a: _answer(a, 2 * limit), addresses))
        finally:
            process.terminate()
            process.wait()
        errors.seek(0)
        told = [tuple(answer.split()) for answer in answers if answer]
        return Report(WORKERS, told, (), (), errors.read())


def _answer(address: str, limit: float) -> str:
    """Return the worker's response, or an empty string if there is none."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(address, timeout=limit) as got,
    ):
        return str(got.read().decode())
    return ""


def main(limit: float = 10.0) -> None:
    """Print a table: for each kind of client, how many children hang."""

    def row(kind: str, forks: str, forked: object, hanging: object) -> None:
        sys.stdout.write(f"{kind:<17}{forks:<10}{forked!s:>9}{hanging!s:>9}\n")
        sys.stdout.flush()

    def sum_up(kind: str, forks: str, reports: list[Report]) -> None:
        row(kind, forks, sum(r.forked for r in reports), sum(r.hanging for r in reports))

    row("client", "forks", "children", "hanging")

    for kind in ("Client", "AsyncClient", "SafeClient", "SafeAsyncClient"):
        for forks, runs in (("delays", SWEEPS), ("imports", [AT_IMPORTS])):
            sum_up(
                kind, forks, [run(kind, c, each, limit) for c in CAUSES for each in runs]
            )
        if "Async" not in kind:
            causes = CAUSES * 5
            sum_up(kind, "gunicorn", [run_gunicorn(kind, c, limit) for c in causes])


if __name__ == "__main__":
    main()
