"""Tests for what we assume of the SDK, although its documentation does not promise it.

`test_names` tests what happens if a private name is missing.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import langsmith
import pytest
import requests
from langsmith import client as client_module
from langsmith import run_helpers, run_trees, utils
from langsmith._internal import (
    _background_thread,
    _compressed_traces,
    _context,
    _multipart,
    _profiles,
)
from pages import DOCS
from releases import module_of

from safe_langsmith._sdk.modules import httpx
from safe_langsmith._sdk.names import NAMES
from safe_langsmith.testing import SimulatedLangSmith

# docs/seams.md is about the releases that have these.
_openapi_auth = module_of("langsmith._internal._openapi_auth", "0.14.12")
_base_client = module_of("langsmith._base_client", "0.14.10")
_exceptions = module_of("langsmith._exceptions", "0.14.10")

NOWHERE = "http://127.0.0.1:9"
CACHED: Any = utils.get_env_var
GENERATED: tuple[type[Any], ...] = (_openapi_auth.AsyncClient, _openapi_auth.SyncClient)


def plain(**arguments: Any) -> Any:
    """Return a plain client, whose private names are checked."""
    given = {"api_url": NOWHERE, "api_key": "made-up", "auto_batch_tracing": False}
    return langsmith.Client(**{**given, **arguments})


def plain_async(**arguments: Any) -> Any:
    return langsmith.AsyncClient(**{"api_url": NOWHERE, "api_key": "made-up", **arguments})


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


# --- what is read -----------------------------------------------------------------------


def access() -> None:
    for client in (
        plain(workspace_id="w", headers={"X-Mine": "1"}),
        plain_async(workspace_id="w", headers={"X-Mine": "1"}),
    ):
        assert (client._api_key, client._workspace_id) == ("made-up", "w")
        assert client._oauth_access_token is None


def headers() -> None:
    sent = plain(workspace_id="w")._headers
    assert (sent["x-api-key"], sent["X-Tenant-Id"]) == ("made-up", "w")
    assert sent["User-Agent"].startswith("langsmith-py/")


def certificates() -> None:
    http: Any = httpx.Client()
    transport = http._transport_for_url(httpx.URL("https://127.0.0.1"))
    assert transport._pool._ssl_context.check_hostname is True


def httpx_client() -> None:
    http = plain_async()._client
    assert isinstance(http, httpx.AsyncClient)
    assert str(http.base_url).startswith(NOWHERE)


def generated_clients() -> None:
    client = plain()
    assert client._langsmith_api is None
    assert client._langsmith_api_sync is None
    client._get_langsmith_api(), client._get_langsmith_api_sync()
    made: tuple[Any, ...] = (client._langsmith_api, client._langsmith_api_sync)
    assert tuple(map(type, made)) == GENERATED
    assert type(plain_async()._langsmith_api) is _openapi_auth.AsyncClient
    for one in made:
        one.base_url = "http://127.0.0.1:10"
        assert str(one.base_url).startswith("http://127.0.0.1:10")


def adapter() -> None:
    assert issubclass(client_module._LangSmithHttpAdapter, requests.adapters.HTTPAdapter)


def mounted_adapter() -> None:
    mounted = plain().session.adapters.values()
    assert any(isinstance(one, client_module._LangSmithHttpAdapter) for one in mounted)


def profiles() -> None:
    file = Path.cwd() / "config.json"
    profile = {"api_key": "made-up", "workspace_id": "w", "api_url": NOWHERE}
    file.write_text(json.dumps({"current_profile": "p", "profiles": {"p": profile}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGSMITH_CONFIG_FILE", str(file))
        found: Any = _profiles.load_profile_client_config()
        assert _profiles._profile_config_path() == file.resolve()
    assert {name: getattr(found, name) for name in profile} == profile
    assert found.oauth_access_token is found.oauth_expires_at is None
    assert found.profile_state.profile_name == "p"
    if "profile" in parameters(langsmith.Client):  # not in the oldest releases
        taken = parameters(_profiles.load_profile_client_config)
        assert taken == ["profile", "config_path"]
    moment = _profiles._parse_profile_expires_at("2026-01-02T03:04:05Z")
    assert moment is not None
    assert moment.utcoffset() is not None


def tracing_switch() -> None:
    before: Any = _context._GLOBAL_TRACING_ENABLED
    try:
        langsmith.configure(enabled=False)
        assert _context._GLOBAL_TRACING_ENABLED is False
    finally:
        langsmith.configure(enabled=before)


def destinations_in_the_environment() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGSMITH_RUNS_ENDPOINTS", json.dumps({NOWHERE: "made-up"}))
        CACHED.cache_clear()
        (replica,) = run_trees._get_write_replicas_from_env()
    CACHED.cache_clear()
    assert replica["api_url"] == NOWHERE
    assert replica["auth"]["api_key"] == "made-up"


def destinations() -> None:
    client = plain(tracing_sampling_rate=0.5)
    assert client._write_api_urls == {NOWHERE: "made-up"}
    assert client.tracing_sample_rate == 0.5


def settled_project() -> None:
    assert utils.get_tracer_project.cache_info().currsize == 0
    utils.get_tracer_project()
    assert utils.get_tracer_project.cache_info().currsize == 1


def sdk_environment() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGSMITH_SEAM", "1")
        assert utils.get_env_var("SEAM") == "1"
        patch.setenv("LANGSMITH_SEAM", "2")
        assert utils.get_env_var("SEAM") == "1"


def rewindable_form() -> None:
    form = _multipart.RewindableMultipartBody(
        [("post.1", (None, b"{}", "application/json", {}))], "boundary"
    )
    first = form.read()
    form.seek(0)
    assert first
    assert form.read() == first


def saved_where() -> None:
    client = plain()
    assert not client._failed_traces_dir
    assert isinstance(client._failed_traces_max_bytes, int)


def body_position() -> None:
    request = requests.Request("POST", NOWHERE, data=io.BytesIO(b"body")).prepare()
    assert request._body_position == 0


def client_in_use() -> None:
    before, client = run_trees._CLIENT, plain()
    try:
        langsmith.configure(client=client)
        assert run_trees._CLIENT is client
    finally:
        langsmith.configure(client=before)


# --- what a repair sets -----------------------------------------------------------------


def set_access() -> None:
    for client in (plain(), plain_async()):
        client.api_key, client._workspace_id = "other", "w"
        assert client.api_key == "other"
        assert client.workspace_id == "w"
    sync = plain()
    sync.api_url = "http://127.0.0.1:10"
    assert sync.api_url == "http://127.0.0.1:10"


def set_destinations() -> None:
    client = plain()
    assert client._write_api_urls == {NOWHERE: "made-up"}
    assert client.compressed_traces is None
    buffered = _compressed_traces.CompressedTraces()
    assert buffered.destinations is None
    with buffered.lock:
        buffered.destinations = frozenset()
        assert buffered.accepts(frozenset())


def remembered_answers() -> None:
    client = plain()
    assert client._settings is None
    assert client._tenant_id is None
    assert client._info is None
    with SimulatedLangSmith() as server:
        client = plain(api_url=server.url)
        assert client.info is client._info


def caches() -> None:
    CACHED.cache_clear()
    utils.get_tracer_project.cache_clear()


# --- what is overridden -----------------------------------------------------------------


def wrapped_errors() -> None:
    taken = parameters(langsmith.Client.request_with_retries)
    assert taken[:3] == ["self", "method", "pathname"]
    assert taken[-1] == "kwargs"

    class Raising(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            raise error

    error = RuntimeError("from the session")
    with pytest.raises(utils.LangSmithError) as caught:
        plain(session=Raising()).request_with_retries("GET", "/sessions")
    assert type(caught.value) is utils.LangSmithError
    assert caught.value.__cause__ is error


def error_callback() -> None:
    told: list[Exception] = []
    client = plain(tracing_error_callback=told.append)
    error = RuntimeError("lost")
    client._invoke_tracing_error_callback(error)
    assert told == [error]


def dumped_trace() -> None:
    assert parameters(langsmith.Client._dump_failed_trace) == ["self", "body_fn", "headers"]


def written_trace() -> None:
    write = inspect.getattr_static(langsmith.Client, "_write_trace_to_fallback_dir")
    assert isinstance(write, staticmethod)
    taken = parameters(langsmith.Client._write_trace_to_fallback_dir)
    assert taken == ["directory", "body", "endpoint", "headers", "max_bytes"]


def getters() -> None:
    for name in ("_get_langsmith_api", "_get_langsmith_api_sync"):
        assert parameters(getattr(langsmith.Client, name)) == ["self"], name


def custom_auth() -> None:
    for kind in GENERATED:
        assert isinstance(inspect.getattr_static(kind, "custom_auth"), property)
        # We change the class of existing clients, so neither may have slots.
        assert "__dict__" in dir(kind)
        assert "self.custom_auth" in inspect.getsource(kind.request)


def prepared_request() -> None:
    for kind in GENERATED:
        assert parameters(kind._prepare_request) == ["self", "request"]
    assert inspect.iscoroutinefunction(_openapi_auth.AsyncClient._prepare_request)
    assert not inspect.iscoroutinefunction(_openapi_auth.SyncClient._prepare_request)


def validated_headers() -> None:
    for kind in GENERATED:
        assert parameters(kind._validate_headers) == ["self", "headers", "custom_headers"]


# --- other assumptions ------------------------------------------------------------------


def thread_pool() -> None:
    pool = _background_thread.LANGSMITH_CLIENT_THREAD_POOL
    assert isinstance(pool, ThreadPoolExecutor)
    assert pool._max_workers > 0
    # The pool is looked up again for each batch.
    source = inspect.getsource(_background_thread) + inspect.getsource(client_module)
    assert "LANGSMITH_CLIENT_THREAD_POOL.submit(" in source


def log_lines() -> None:
    modules = {"langsmith.client": client_module, "langsmith.run_helpers": run_helpers}
    from safe_langsmith._sdk.exporter import EXPORTER
    from safe_langsmith._traces.lost import _SDK_LINES

    ours = {name: lines for name, lines in _SDK_LINES.items() if name != EXPORTER}
    assert set(ours) == set(modules)  # test_exports.py checks the exporter's lines
    for logger, lines in ours.items():
        source = inspect.getsource(modules[logger])
        found = re.sub(r'"\s*f?"', "", source)
        assert [line for line in lines if line not in found] == [], logger
        assert "getLogger(__name__)" in source


def saved_files() -> None:
    folder = Path.cwd()
    langsmith.Client._write_trace_to_fallback_dir(
        str(folder), b"body", endpoint="runs/batch", headers={"A": "1"}
    )
    (file,) = folder.glob("trace_*.json")
    content = json.loads(file.read_text())
    assert base64.b64decode(content.pop("body_base64")) == b"body"
    assert content == {"version": 1, "endpoint": "runs/batch", "headers": {"A": "1"}}


def hard_delete() -> None:
    asked = []

    class Seen(requests.Session):
        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append((method, url))
            answer = requests.Response()
            answer.status_code, answer.url = 403, url
            return answer

    with pytest.raises(requests.HTTPError):
        plain(session=Seen()).delete_examples(
            ["4b6a0c52-7d1c-4b5e-9a53-0c8f5a3e7d10"], hard_delete=True
        )
    ((method, url),) = asked
    assert method == "POST"
    assert url.endswith("/platform/datasets/examples/delete")


def names_of_settings() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_API_KEY", "other")
        patch.setenv("LANGSMITH_API_KEY", ' "made-up" ')
        CACHED.cache_clear()
        assert langsmith.Client(api_url=NOWHERE).api_key == "made-up"
    CACHED.cache_clear()


def raised_by_the_response() -> None:
    def refuse() -> None:
        raise PermissionError("ours")

    response = httpx.Response(403)
    vars(response)["raise_for_status"] = refuse
    with pytest.raises(PermissionError, match="ours"):
        utils.raise_for_status_with_text(response)
    assert "response.raise_for_status()" in inspect.getsource(_base_client)


CHECKS = (
    access,
    headers,
    certificates,
    httpx_client,
    generated_clients,
    adapter,
    mounted_adapter,
    profiles,
    tracing_switch,
    destinations_in_the_environment,
    destinations,
    settled_project,
    sdk_environment,
    rewindable_form,
    saved_where,
    body_position,
    client_in_use,
    set_access,
    set_destinations,
    remembered_answers,
    caches,
    wrapped_errors,
    error_callback,
    dumped_trace,
    written_trace,
    getters,
    custom_auth,
    prepared_request,
    validated_headers,
    thread_pool,
    log_lines,
    saved_files,
    hard_delete,
    names_of_settings,
    raised_by_the_response,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
def test_an_assumption_about_the_sdk(check: Callable[[], None]) -> None:
    check()


def test_the_page_has_every_row_of_the_table() -> None:
    """If this fails, run docs/make_seams.py: `_sdk/names.py` has changed."""
    page = (DOCS / "seams.md").read_text(encoding="utf-8")
    for name in NAMES:
        (row,) = [r for r in page.splitlines() if r.startswith(f"| `{name.shown}` |")]
        assert all(text in row for text in (name.since, name.use, name.without))
