"""Run the tasks in the workers of one engine: `python -m fleets.drive ENGINE FILE`.

It pickles the outcomes to the file: for each task and worker, the result or the error.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langsmith.run_trees import get_cached_client
from langsmith.utils import LangSmithError

from fleets.tasks import AT_IMPORT, PATIENCE_S, TASKS, WORKERS

# Runs one task, and waits for its result.
Do = Callable[[str, str], Any]


@contextmanager
def ended(*command: Any, **options: Any) -> Iterator[None]:
    """Run a program, and terminate it at the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", *command], **options)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def by_executor(pool: Executor) -> Do:
    return lambda task, turn: pool.submit(TASKS[task], turn).result(2 * PATIENCE_S)


@contextmanager
def processes(method: str) -> Iterator[Do]:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(WORKERS, context) as pool:
        yield by_executor(pool)


@contextmanager
def loky() -> Iterator[Do]:
    import loky  # type: ignore[import-not-found]

    with loky.ProcessPoolExecutor(WORKERS) as pool:
        yield by_executor(pool)


@contextmanager
def dask() -> Iterator[Do]:
    import distributed  # type: ignore[import-not-found]

    local = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        distributed.LocalCluster(WORKERS, threads_per_worker=1, **local) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield lambda task, turn: client.submit(TASKS[task], turn, pure=False).result()


@contextmanager
def ray() -> Iterator[Do]:
    import ray  # type: ignore[import-not-found]

    local = {"include_dashboard": False, "log_to_driver": False}
    ray.init(num_cpus=WORKERS, _node_ip_address="127.0.0.1", **local)
    remote = {name: ray.remote(task) for name, task in TASKS.items()}
    try:
        yield lambda task, turn: ray.get(remote[task].remote(turn))
    finally:
        ray.shutdown()


@contextmanager
def celery() -> Iterator[Do]:
    from fleets.queues import TASKS as REMOTE

    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR")
    work = ("-A", "fleets.queues", "worker", "-P", "prefork", "-c", str(WORKERS), *quiet)
    with ended("celery", *work):
        yield (
            lambda task, turn: (
                REMOTE[task].delay(turn).get(timeout=2 * PATIENCE_S, interval=0.05)
            )
        )


@contextmanager
def served(*command: str, option: str) -> Iterator[Do]:
    """Serve over HTTP. `outcomes` delays requests so that each worker gets one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        bind = (option, f"fd://{number}" if option == "--bind" else f"{number}")
        with ended(*command, *bind, pass_fds=[number]):
            yield lambda task, turn: fetched(f"http://127.0.0.1:{port}/{task}/{turn}")


def fetched(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=2 * PATIENCE_S) as got:
        result = pickle.loads(got.read())
    if isinstance(result, Exception):
        raise result
    return result


def gunicorn(*more: str) -> Any:
    command = ("gunicorn", "fleets.web:wsgi", "-w", str(WORKERS), "-t", "0", *more)
    return served(*command, "--no-control-socket", option="--bind")


def uvicorn() -> Any:
    command = ("uvicorn", "fleets.web:asgi", "--workers", str(WORKERS))
    return served(*command, "--log-level", "error", option="--fd")


ENGINES: dict[str, Callable[[], Any]] = {
    "concurrent.futures, fork": lambda: processes("fork"),
    "concurrent.futures, spawn": lambda: processes("spawn"),
    "concurrent.futures, forkserver": lambda: processes("forkserver"),
    "loky": loky,
    "Dask distributed": dask,
    "Ray": ray,
    "Celery, JSON": celery,
    "Celery, pickle": celery,
    "gunicorn": gunicorn,
    "gunicorn --preload": lambda: gunicorn("--preload"),
    "uvicorn": uvicorn,
}


def outcomes(do: Do, task: str, turn: str) -> list[Any]:
    """Run one task in each worker, and return the results or errors."""
    folder = Path(os.environ["FLEET_FOLDER"], turn)

    def one(number: int) -> Any:
        until = time.monotonic() + PATIENCE_S
        while number and time.monotonic() < until:
            if folder.exists() and len(list(folder.iterdir())) >= number:
                break
            time.sleep(0.01)
        try:
            return do(task, turn)
        except Exception as error:
            is_typed = isinstance(error, LangSmithError) and hasattr(error, "diagnosis")
            return (error.code, error.diagnosis) if is_typed else repr(error)  # type: ignore[attr-defined]

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(WORKERS)))


def main(engine: str, file: str) -> None:
    with ENGINES[engine]() as do:
        turns = {"trace": "first", "ask": "second", "again": "third"}
        found = {
            turn: outcomes(do, "trace" if turn == "again" else turn, name)
            for turn, name in turns.items()
        }
    get_cached_client().flush()
    Path(file).write_bytes(pickle.dumps({**found, "own": [[AT_IMPORT]]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
