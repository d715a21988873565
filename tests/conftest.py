"""Fixtures: each test gets no LangSmith settings, an empty home, and no network."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import signal
import socket
import sys
import threading
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dotenv
import hypothesis
import pytest
import tls
from chat_model import chat_model

from safe_langsmith import Policy
from safe_langsmith._sdk import guard
from safe_langsmith._sdk.modules import clear_caches, part_of
from safe_langsmith._transport.flights import FLIGHTS
from safe_langsmith.testing import SimulatedLangSmith

hypothesis.settings.register_profile("dev", max_examples=100, deadline=None)
hypothesis.settings.register_profile(
    "ci",
    max_examples=150,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")
# The number of random cases for the properties of the decision.
DECISIONS = 3_000 if os.environ.get("CI") else 400

# For benchmarks/. Appended, so that the installed package is used.
sys.path.append(str(Path(__file__).parent.parent))

_OF_THIS_MACHINE = ("LANGSMITH_", "LANGCHAIN_", "REQUESTS_CA", "CURL_CA", "SSL_CERT_")
QUICK = Policy(budget_s=8.0)


# A background run inherits an ignored SIGINT, and would pass it on to its programs.
signal.signal(signal.SIGINT, signal.default_int_handler)


ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the quick check, do not import files in which all tests are marked slow.

    The packages that they import are not installed there.
    """
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    slow = ALL_SLOW.search(collection_path.read_text(encoding="utf-8"))
    return True if slow else None


def pytest_collection_finish() -> None:
    """Freeze all objects, so that the collection after each test only visits new ones."""
    gc.collect()
    gc.freeze()


_ENDED = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Freeze again every 50 tests, for modules that tests have imported."""
    if next(_ENDED) % 50 == 0:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No LangSmith variables, an empty home and working directory, empty SDK caches."""
    for name in list(os.environ):
        if name.startswith(_OF_THIS_MACHINE) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    # The machine's 150 or so authorities take 30 ms for each client that reads them.
    monkeypatch.setenv("SSL_CERT_FILE", tls.unused_authority_file())
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(folder)
    # As in a program that does not import python-dotenv.
    for name in [n for n in sys.modules if n.partition(".")[0] == "dotenv"]:
        monkeypatch.delitem(sys.modules, name)
    clear_caches()
    FLIGHTS.forget()
    yield
    clear_caches()
    for cache in ("prompt_cache_singleton", "async_prompt_cache_singleton"):
        # A thread refreshes the prompts in it, with the client of a test that has ended.
        part_of("prompt_cache", f"{cache}.clear", list)()
    gc.collect()


class _SteppedAside(logging.Handler):
    """Collects the guard's reports during a test: each is a bug in our code or the test."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "stepped aside" in record.getMessage():
            self.lines.append(record.getMessage())


@pytest.fixture(autouse=True)
def stepped_aside() -> Iterator[list[str]]:
    """The guard's reports; a test that expects one removes it from the list."""
    guard._said.clear()
    handler = _SteppedAside()
    guard.logger.addHandler(handler)
    yield handler.lines
    guard.logger.removeHandler(handler)
    assert not handler.lines


# Host names that the running test serves, and their ports on this machine.
PORTS: dict[str, int] = {}
_resolve, _connect = socket.getaddrinfo, BaseSelectorEventLoop.sock_connect


def _only_here(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """Resolve only local names, and names that the test serves.

    Sync code connects to the port that the name resolves to. An event loop keeps the
    requested port, so there each name gets its own address, which `_to_port` maps back.
    """
    name = host.decode() if isinstance(host, bytes) else host
    if name in PORTS:
        # An event loop resolves names in a separate thread.
        in_loop = threading.current_thread().name.startswith("asyncio")
        own = f"127.77.0.{list(PORTS).index(name) + 1}" if in_loop else "127.0.0.1"
        return _resolve(own, PORTS[name], *args, **kwargs)
    if name in ("127.0.0.1", "localhost", "::1") or name.startswith("127.77.0."):
        return _resolve(host, port, *args, **kwargs)
    raise socket.gaierror(socket.EAI_NONAME, f"{name} is not on this machine")


async def _to_port(loop: Any, sock: Any, address: Any) -> None:
    if address[0].startswith("127.77.0."):
        number = int(address[0].rpartition(".")[2])
        address = ("127.0.0.1", list(PORTS.values())[number - 1])
    await _connect(loop, sock, address)


# Permanently, because the SDK's threads can outlive the test that started them.
socket.getaddrinfo = _only_here
BaseSelectorEventLoop.sock_connect = _to_port  # type: ignore[assignment, method-assign]


@pytest.fixture(autouse=True)
def hosts() -> Iterator[dict[str, int]]:
    """The host names that this test serves, with their ports; empty at first."""
    PORTS.clear()
    yield PORTS
    PORTS.clear()


@pytest.fixture
def uses_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has imported python-dotenv."""
    monkeypatch.setitem(sys.modules, "dotenv", dotenv)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Turn off `sys.settrace` in tests with many cases: coverage would double their time.

    In a worker of xdist, the `no_cover` of pytest-cov has no effect.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)


@pytest.fixture
def server() -> Iterator[SimulatedLangSmith]:
    """A simulated LangSmith."""
    with SimulatedLangSmith() as simulated:
        yield simulated


Serve = Callable[..., SimulatedLangSmith]


@pytest.fixture
def serve_tls(
    hosts: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serve]:
    """Serve a host name over real TLS, with a certificate from the tests' authority."""
    bundle = tmp_path / "authority.pem"
    bundle.write_bytes(Path(tls.authority_file()).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    running: list[SimulatedLangSmith] = []

    def serve(host: str, **options: Any) -> SimulatedLangSmith:
        chain, key = tls.files_for(options.pop("certificate", host))
        simulated = SimulatedLangSmith(
            ssl_certfile=chain, ssl_keyfile=key, **options
        ).start()
        running.append(simulated)
        hosts[host] = simulated.port
        return simulated

    yield serve
    for simulated in running:
        simulated.stop()


@pytest.fixture
def model() -> Iterator[str]:
    """The URL of a chat completions server."""
    with chat_model() as url:
        yield url


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log records of all libraries, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return caplog
