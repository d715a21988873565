"""Tests that arbitrary bytes in responses, files, and headers break nothing.

Each example here is a complete call over a socket. Fuzz tests for settings files are in
`tests/settings/`, and those for saved traces in `tests/traces/test_replay.py`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import hypothesis
import langsmith
import pytest
import requests
from hypothesis import strategies as st
from langsmith.utils import LangSmithError
from scenarios import GONE
from stage import assert_no_secret, closing
from urllib3.util import Retry

from safe_langsmith import (
    AccessDeniedError,
    Diagnosis,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith._sdk.modules import clear_caches, httpx
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
# A small budget keeps failing probes cheap. HANGS_S only detects hangs.
BUDGET_S = 0.15
HANGS_S = 20.0
QUICK = Policy(budget_s=BUDGET_S, cooldown_s=0)
whole_calls = hypothesis.settings(
    max_examples=40,
    suppress_health_check=list(hypothesis.HealthCheck),
    # No shrinking: an example takes too long for it.
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate),
)


@pytest.fixture(scope="module")
def world() -> Iterator[SimpleNamespace]:
    with SimulatedLangSmith() as server:
        workspace = server.add_workspace("Research", projects=1)
        key = server.add_personal_key(workspaces=[workspace]).secret
        yield SimpleNamespace(server=server, key=key, workspace=workspace.id)


# --- what a server can send ---------------------------------------------------------------

WORDS = (
    "detail",
    "message",
    "error",
    "workspaces",
    "id",
    "display_name",
    "organization_id",
    "tenant_id",
    "permissions",
    "version",
    "org_scoped_key_requires_workspace",
    "Forbidden",
    "00000000-0000-4000-8000-000000000000",
    GONE,
)
texts = st.sampled_from(WORDS) | st.text(max_size=20)
any_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Long:
    """A body that is too long to print when an example fails."""

    start: bytes


long = st.sampled_from([b"[", b'{"detail":', b'[{"id":', b"1"]).map(Long)
numbers = st.sampled_from([b"1e999999", b"-NaN", b'{"detail":1e400}'])
bodies = (
    st.binary(max_size=80)
    | any_json.map(lambda data: json.dumps(data).encode())
    | any_json.map(lambda data: json.dumps(data).encode()[:-1] + b"\x00\xff")
    | any_json.map(lambda data: json.dumps(data).encode("utf-16"))
    | any_json.map(lambda data: gzip.compress(json.dumps(data).encode()))
    | long
    | numbers
    | st.sampled_from([b"<html>", b"\xef\xbb\xbf{}", f'{{"detail":"{GONE}"}}'.encode()])
)
# The server's HTTP library rejects header values with surrounding spaces.
header_texts = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20
).map(str.strip)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["application/json", "text/html", "text/plain; charset=utf-32", "charset=\xff"]
        )
        | header_texts,
        "content-encoding": st.sampled_from(["gzip", "br", "deflate", "zstd", "none"]),
        "retry-after": st.sampled_from(
            [
                "nan",
                "inf",
                "-1",
                "1e400",
                "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
                "Mon, 01 Jan 0000 00:00:00 -0000",
                "Fri, 31 Dec 9999 23:59:59 -9999",
            ]
        )
        | header_texts,
        "location": st.sampled_from(["//", "http://[", "http://127.0.0.1:1/"]),
        "set-cookie": header_texts,
    },
)
answers = st.fixed_dictionaries(
    {
        "status": st.sampled_from([400, 401, 403, 404, 405, 422, 200]),
        "body": bodies,
        "headers": headers,
    }
)
on_probes = answers | st.fixed_dictionaries(
    {
        "status": st.sampled_from([200, 201, 302, 418, 429, 500, 503, 599]),
        "body": bodies,
        "headers": headers,
    }
)


def told(server: SimulatedLangSmith, path: str, answer: dict[str, Any]) -> bytes:
    """Make the server send this response, and return its body."""
    body = answer["body"]
    whole: bytes = body.start * 20_000 if isinstance(body, Long) else body
    headers = {"content-type": "application/json", **answer["headers"]}
    server.answer(path, **{**answer, "body": whole, "headers": headers})
    return whole


def assert_clean(client: Any, found: object, *secrets: str) -> None:
    """Check that no text contains a key or control characters."""
    texts = [str(found), repr(found)]
    diagnosis: Diagnosis | None = client.last_diagnosis
    if diagnosis is not None:
        told = (str(diagnosis), diagnosis.report(), diagnosis._repr_html_())
        for text in told:
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), text
        texts += [*told, json.dumps(diagnosis.as_dict(), ensure_ascii=False)]
    for text in texts:
        assert_no_secret(text, list(secrets))
        text.encode()


def sync_call(url: str, **arguments: Any) -> tuple[Any, Any]:
    """Return a client, and what its call returned or raised."""
    client = SafeClient(
        url,
        auto_batch_tracing=False,
        retry_config=Retry(total=0),
        timeout_ms=2_000,
        policy=QUICK,
        **arguments,
    )
    try:
        return client, client.request_with_retries("GET", "/sessions")
    except (LangSmithError, requests.RequestException, ValueError) as error:
        return client, error
    finally:
        client.session.close()


def async_call(url: str, **arguments: Any) -> tuple[Any, Any]:
    """Do the same with the async client."""
    client = SafeAsyncClient(
        url, retry_config={"max_retries": 1}, policy=QUICK, timeout_ms=2_000, **arguments
    )

    async def call() -> Any:
        return await client._arequest_with_retries("GET", "/sessions")

    try:
        return client, anyio.run(closing, client, call)
    except (LangSmithError, httpx.HTTPError, ValueError) as error:
        return client, error


def resource_call(url: str, **arguments: Any) -> tuple[Any, Any]:
    """Do the same with the generated resources of the sync client, such as `agents`."""
    client = SafeClient(url, auto_batch_tracing=False, policy=QUICK, **arguments)
    generated: Any = client._get_langsmith_api_sync()
    generated.max_retries = 0
    try:
        return client, generated.get("/sessions", cast_to=object)
    except (LangSmithError, langsmith.APIError, ValueError, RecursionError) as error:
        return client, error
    finally:
        generated.close()
        client.session.close()


# requests does not close a response whose body it cannot decode. The plain client leaves
# even more open sockets in this test.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("call", [sync_call, async_call, resource_call])
@whole_calls
@hypothesis.given(answers, on_probes)
def test_any_response(
    world: SimpleNamespace, call: Any, refusal: dict[str, Any], to_probes: dict[str, Any]
) -> None:
    """The call gives the typed error or the SDK's result, in time and without a key."""
    server = world.server
    server.clear_answers()
    body = told(server, "*", to_probes)
    told(server, "/sessions", refusal)
    started = time.monotonic()
    client, found = call(server.url, api_key=GONE)
    assert time.monotonic() - started < HANGS_S
    # If it is not a refusal, the SDK raises its own error, which quotes the response.
    assert_clean(client, found if isinstance(found, AccessDeniedError) else "", GONE)
    encoded = refusal["headers"].get("content-encoding", "none") != "none"
    if refusal["status"] in (401, 403) and not encoded:
        assert isinstance(found, AccessDeniedError), repr(found)
    if isinstance(found, AccessDeniedError) and found.code == "key-rejected":
        assert to_probes["status"] in (401, 403)
        assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize("kind", [SafeClient, SafeAsyncClient])
@whole_calls
@hypothesis.given(on_probes)
def test_any_response_to_diagnose(
    world: SimpleNamespace, kind: type[Any], answer: dict[str, Any]
) -> None:
    """`diagnose()` never raises, whatever the server sends."""
    world.server.clear_answers()
    told(world.server, "*", answer)
    more: Any = {"auto_batch_tracing": False} if kind is SafeClient else {}
    client = kind(world.server.url, api_key=GONE, policy=QUICK, **more)
    if isinstance(client, SafeClient):
        diagnosis = client.diagnose()
        client.session.close()
    else:
        diagnosis = anyio.run(closing, client, client.diagnose)
    assert_clean(client, diagnosis, GONE)


# --- what files can contain ---------------------------------------------------------------

names = st.sampled_from(
    ["LANGSMITH_API_KEY", "LANGSMITH_WORKSPACE_ID", "LANGSMITH_ENDPOINT", "OTHER"]
)
values = (
    st.sampled_from(
        [
            "{key}",
            '"{key}"',
            "'{key}",
            "{key} # mine",
            "${{LANGSMITH_API_KEY}}",
            "{key}\x00",
        ]
    )
    | st.sampled_from(
        ["{workspace}", "http://127.0.0.1:1", "file:///etc/passwd", "http://["]
    )
    | st.text(max_size=12).map(lambda t: t.replace("{", "").replace("}", ""))
)
lines = st.tuples(names, st.sampled_from(["=", " = ", ":", "", "=\\\n"]), values)
dotenvs = st.binary(max_size=60) | st.lists(lines, max_size=5).flatmap(
    lambda rows: st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]).map(
        lambda encoding: (
            "\n".join(map("".join, rows)).encode("utf-8", "replace").decode("utf-8")
        ).encode(encoding, "replace")
    )
)


def filled(content: bytes, world: SimpleNamespace) -> bytes:
    """Replace the templates with this world's key and workspace."""
    for name in ("key", "workspace"):
        content = content.replace(f"{{{name}}}".encode(), getattr(world, name).encode())
    return content


@whole_calls
@hypothesis.given(dotenvs)
def test_any_dotenv(world: SimpleNamespace, content: bytes) -> None:
    """A refused call either succeeds with the key from `.env`, or is explained."""
    server = world.server
    server.clear_answers()
    Path(".env").write_bytes(filled(content, world))
    before = dict(os.environ)
    client, found = sync_call(server.url, api_key=None, headers={"x-api-key": GONE})
    os.environ["LANGSMITH_API_KEY"] = GONE
    os.environ["LANGSMITH_ENDPOINT"] = server.url
    clear_caches()
    try:
        known, answered = sync_call(server.url)
    finally:
        os.environ.clear()
        os.environ.update(before)
    for asked, told in ((client, found), (known, answered)):
        assert isinstance(told, (requests.Response, AccessDeniedError)), repr(told)
        assert_clean(asked, told if isinstance(told, Exception) else "", GONE, world.key)


profile_values = any_json | st.sampled_from(
    ["{key}", "http://127.0.0.1:1", {"access_token": "{key}", "expires_at": "never"}]
)
profiles = st.fixed_dictionaries(
    {},
    optional={
        "current_profile": st.just("default") | any_json,
        "profiles": any_json
        | st.fixed_dictionaries(
            {},
            optional={
                "default": any_json
                | st.dictionaries(
                    st.sampled_from(["api_key", "api_url", "workspace_id", "oauth"]),
                    profile_values,
                )
            },
        ),
    },
)
configs = st.binary(max_size=60) | (profiles | any_json).map(
    lambda data: json.dumps(data).encode()
)


@whole_calls
@hypothesis.given(configs, st.booleans())
def test_any_profile(world: SimpleNamespace, content: bytes, later: bool) -> None:
    """Creation fails only if the plain client's does; later, the file breaks nothing."""
    server = world.server
    server.clear_answers()
    file = Path.home() / ".langsmith" / "config.json"
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    clear_caches()
    whole = filled(content, world)
    plain: Exception | None = None
    if not later:
        file.write_bytes(whole)
        plain = error_of(partial(langsmith.Client, server.url, api_key=GONE))
        clear_caches()
    make = partial(SafeClient, server.url, api_key=GONE, policy=QUICK)
    mine: list[SafeClient] = []
    error = error_of(lambda: mine.append(make(auto_batch_tracing=False)))
    assert type(error) is type(plain)
    for client in mine:
        file.write_bytes(whole)
        with pytest.raises(AccessDeniedError) as caught:
            list(client.list_projects())
        assert_clean(client, caught.value, GONE, world.key)
        client.session.close()


def error_of(work: Any) -> Exception | None:
    """Return the exception that `work` raises, or None."""
    try:
        work()
    except Exception as error:
        return error
    return None


def test_no_thread_is_left_running() -> None:
    """After all these tests, none of our threads is running."""
    until = time.monotonic() + 5
    while any(t.name.startswith("safe_langsmith") for t in threading.enumerate()):
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.05)
