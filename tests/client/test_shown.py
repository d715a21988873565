"""Tests for where a refusal is shown: log records, callbacks, notebooks, tracebacks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import langsmith
import pytest
from releases import needs_v2
from stage import assert_no_secret, closing

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
    set_on_diagnosis,
)
from safe_langsmith.testing import SimulatedLangSmith

GONE = "lsv2_pt_00000000000000000000000000000000_1234567890"


def org_key(server: SimulatedLangSmith) -> str:
    """Return an organization key with one workspace: a call without one is repaired."""
    server.add_workspace("Research", projects=1)
    return server.add_service_key(workspaces=None).secret


def client_for(server: SimulatedLangSmith, key: str, **more: Any) -> SafeClient:
    return SafeClient(server.url, api_key=key, auto_batch_tracing=False, **more)


# --- log records --------------------------------------------------------------------------


def records(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [r for r in caplog.records if r.name == "safe_langsmith"]


def test_a_record_keeps_the_names_of_the_program(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """If the program's records already have a `code`, we add no attributes."""
    plain = logging.getLogRecordFactory()

    def with_a_code(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.code = "mine"
        return record

    logging.setLogRecordFactory(with_a_code)
    try:
        assert list(client_for(server, org_key(server)).list_projects())
    finally:
        logging.setLogRecordFactory(plain)
    (record,) = records(caplog)
    assert record.code == "mine"
    assert not hasattr(record, "diagnosis")


def test_the_record_of_a_lost_batch(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    client = SafeClient(server.url, api_key=GONE)
    run = {"id": "0d3c41aa-2f0e-4c55-8a0b-5d0f1f3b9e77", "trace_id": ""}
    run["trace_id"] = run["id"]
    order = f"20260101T000000000000Z{run['id']}"
    client.create_run("run", {}, "chain", dotted_order=order, **run)  # type: ignore[arg-type]
    client.flush()
    client.cleanup()
    (record,) = records(caplog)
    assert record.getMessage().startswith("safe_langsmith: POST /runs/")
    assert (record.code, record.diagnosis.code) == ("key-rejected", "key-rejected")
    assert record.operation == record.diagnosis.operation


def test_the_sdk_s_own_line_is_short(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK logs the `repr` of the error, which is short."""
    server.answer("/info", status=403, body={"error": "Forbidden"})
    assert client_for(server, GONE).info.version == ""
    (line,) = [r.getMessage() for r in caplog.records if r.name == "langsmith.client"]
    assert line.startswith("Failed to get info from ")
    assert "Error(<Diagnosis " in line
    assert len(line) < 300
    assert_no_secret(line, [GONE])


# --- callbacks ----------------------------------------------------------------------------


@pytest.fixture
def for_all() -> Iterator[list[Diagnosis]]:
    """Collect what the callback for the whole process receives."""
    told: list[Diagnosis] = []
    set_on_diagnosis(told.append)
    yield told
    set_on_diagnosis(None)


def test_a_callback_for_the_whole_process(
    server: SimulatedLangSmith, for_all: list[Diagnosis]
) -> None:
    own: list[Diagnosis] = []
    client = client_for(server, GONE, policy=Policy(on_diagnosis=own.append))
    found = client.diagnose()
    other = SafeAsyncClient(server.url, api_key=GONE)
    also = anyio.run(closing, other, other.diagnose)
    assert own == [found]
    assert for_all == [found, also]
    set_on_diagnosis(None)
    client.diagnose()
    assert len(for_all) == 2


def test_a_callback_that_is_set_twice_is_called_once(server: SimulatedLangSmith) -> None:
    told: list[Diagnosis] = []
    callback = told.append
    set_on_diagnosis(callback)
    try:
        client_for(server, GONE, policy=Policy(on_diagnosis=callback)).diagnose()
    finally:
        set_on_diagnosis(None)
    assert len(told) == 1


def test_a_callback_that_fails_does_not_stop_the_other(
    server: SimulatedLangSmith, for_all: list[Diagnosis], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Diagnosis) -> None:
        raise RuntimeError("mine")

    client = client_for(server, org_key(server), policy=Policy(on_diagnosis=fails))
    assert list(client.list_projects())
    assert [found.code for found in for_all] == ["workspace-required"]
    assert "safe_langsmith: on_diagnosis raised" in caplog.text


def test_a_diagnosis_inside_a_callback_calls_none(
    server: SimulatedLangSmith, for_all: list[Diagnosis]
) -> None:
    clients: list[SafeClient] = []
    inside: list[Diagnosis] = []

    def asks(_: Diagnosis) -> None:
        inside.append(clients[0].diagnose())

    clients.append(client_for(server, GONE, policy=Policy(on_diagnosis=asks)))
    with pytest.raises(KeyRejectedError):
        list(clients[0].list_projects())
    assert len(inside) == len(for_all) == 1
    clients[0].diagnose()
    assert len(inside) == len(for_all) == 2


def test_an_interrupt_in_a_callback_is_raised(server: SimulatedLangSmith) -> None:
    """Ctrl+C in a callback is raised; the next call works and does not hang."""

    def stops(_: Diagnosis) -> None:
        raise KeyboardInterrupt

    client = client_for(server, GONE, policy=Policy(on_diagnosis=stops))
    with pytest.raises(KeyboardInterrupt):
        list(client.list_projects())
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())


def test_an_async_callback_is_an_error() -> None:
    async def waits(_: Diagnosis) -> None:
        """Do nothing: it is never awaited."""

    with pytest.raises(ValueError, match="must be a plain function"):
        Policy(on_diagnosis=waits)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be a plain function"):
        set_on_diagnosis(waits)


# --- in a notebook ------------------------------------------------------------------------


@contextmanager
def logging_not_set_up(level: int = logging.WARNING) -> Iterator[None]:
    """Reset our logger as in a program that sets up no logging: pytest adds handlers."""
    logger = logging.getLogger("safe_langsmith")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger, "handlers", [])
        patch.setattr(logger, "propagate", False)
        before = logger.level
        logger.setLevel(level)
        yield
        logger.setLevel(before)


class Shell:
    """The parts of a kernel's shell that we use."""

    kernel: object = object()

    def __init__(self, publisher: Any) -> None:
        self.display_pub = publisher


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    IPython = pytest.importorskip("IPython")  # noqa: N806  # its name; an optional package
    made = Shell(IPython.core.displaypub.CapturingDisplayPublisher())
    monkeypatch.setattr(IPython, "get_ipython", lambda: made)
    return made


def test_a_repair_is_shown_as_an_output(
    server: SimulatedLangSmith, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_not_set_up():
        assert list(client_for(server, org_key(server)).list_projects())
    (shown,) = shell.display_pub.outputs
    text, page = shown["data"]["text/plain"], shown["data"]["text/html"]
    assert text.startswith("safe_langsmith: GET /sessions was refused at first (403): ")
    assert "\u2713 repaired</b> safe_langsmith: GET /sessions" in page
    assert "set LANGSMITH_WORKSPACE_ID=" in page
    assert capsys.readouterr().err == ""


def test_a_logger_at_error_level_shows_no_repair(
    server: SimulatedLangSmith, shell: Shell
) -> None:
    with logging_not_set_up(logging.ERROR):
        assert list(client_for(server, org_key(server)).list_projects())
    assert shell.display_pub.outputs == []


@pytest.mark.parametrize("trouble", ["a handler", "no kernel", "broken"])
def test_any_other_repair_is_logged(
    server: SimulatedLangSmith,
    trouble: str,
    shell: Shell,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    stepped_aside: list[str],
) -> None:
    """With a handler, in terminal IPython, or if the display fails, the log is used."""
    if trouble == "no kernel":
        shell.kernel = None
    elif trouble == "broken":
        shell.display_pub = None
    with nullcontext() if trouble == "a handler" else logging_not_set_up():
        assert list(client_for(server, org_key(server)).list_projects())
    assert trouble == "broken" or shell.display_pub.outputs == []
    line = caplog.text if trouble == "a handler" else capsys.readouterr().err
    assert "safe_langsmith: GET /sessions was refused at first (403): " in line
    stepped_aside.clear()


# --- tracebacks ---------------------------------------------------------------------------


async def by_list(client: Any) -> Any:
    return list(client.list_projects())


async def by_prompt(client: Any) -> Any:
    return client.pull_prompt(f"greeting-{uuid.uuid4()}")


async def by_async_list(client: Any) -> Any:
    return [dataset async for dataset in client.list_datasets()]


async def by_async_create(client: Any) -> Any:
    return await client.create_project("new")


async def by_resource(client: Any) -> Any:
    return await client._get_langsmith_api().get("/sessions", cast_to=object)


async def by_sync_resource(client: Any) -> Any:
    return client._get_langsmith_api_sync().get("/sessions", cast_to=object)


async def by_async_resource(client: Any) -> Any:
    return await client._langsmith_api.get("/sessions", cast_to=object)


SYNC, ASYNC = (langsmith.Client, SafeClient), (langsmith.AsyncClient, SafeAsyncClient)
WAYS = [
    (SYNC, by_list),
    (SYNC, by_prompt),
    (ASYNC, by_async_list),
    (ASYNC, by_async_create),
    *(
        pytest.param(kinds, way, marks=needs_v2)
        for kinds, way in (
            (SYNC, by_resource),
            (SYNC, by_sync_resource),
            (ASYNC, by_async_resource),
        )
    ),
]


@pytest.mark.parametrize(("kinds", "way"), WAYS)
def test_a_traceback_is_no_longer_than_the_plain_one(
    kinds: tuple[Any, Any], way: Any, server: SimulatedLangSmith
) -> None:
    """It has no more frames, and no more lines except the error's own text."""
    lengths = []
    for kind in kinds:
        client = kind(server.url, api_key=GONE)
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the SDK has several
            anyio.run(closing, client, partial(way, client))
        error = caught.value
        assert isinstance(error, AccessDeniedError) == (kind is kinds[1])
        text = "".join(traceback.format_exception(error))
        lines = len(text.replace(str(error), "").splitlines())
        lengths.append((len(traceback.extract_tb(error.__traceback__)), lines))
    (plain_frames, plain_lines), (frames, lines) = lengths
    assert frames <= plain_frames
    assert lines <= plain_lines


SCRIPT = "from {} import Client\nlist(Client(auto_batch_tracing=False).list_projects())\n"


@pytest.mark.slow
def test_a_script_ends_with_a_traceback_no_longer_than_the_plain_one(
    server: SimulatedLangSmith,
) -> None:
    """The error's own text is included in the count."""
    places = os.pathsep.join([str(Path(safe_langsmith.__file__).parent.parent), *sys.path])
    environ = {**os.environ, "LANGSMITH_ENDPOINT": server.url, "LANGSMITH_API_KEY": GONE}
    lengths = []
    for package in ("langsmith", "safe_langsmith"):
        script = Path(f"{package}_script.py")
        script.write_text(SCRIPT.format(package))
        done = subprocess.run(
            [sys.executable, str(script)],
            env={**environ, "PYTHONPATH": places},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        lengths.append(len(done.stderr.splitlines()))
    assert lengths[1] <= lengths[0]
