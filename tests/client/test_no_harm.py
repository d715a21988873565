"""Tests that our client does no harm: it leaks nothing, repeats no write, never hangs."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import langsmith
import pytest
import requests
import tls
from conftest import QUICK, Serve
from langsmith.utils import LangSmithConnectionError
from proxy import Line, Proxy, Request
from releases import RESOURCES, WATCHES_V2, needs_v2
from requests.adapters import BaseAdapter
from scenarios import GONE, HTML_403, PAGE
from stage import assert_no_secret, closing
from tracing import record
from urllib3.util import Retry

import safe_langsmith
from safe_langsmith import (
    AccessDeniedError,
    BlockedByProxyError,
    KeyRejectedError,
    PermissionMissingError,
    Policy,
    SafeAsyncClient,
    SafeClient,
    ServiceKeyScopeError,
    WrongEndpointError,
)
from safe_langsmith._command.cli import main
from safe_langsmith._command.fix import write
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._knowledge.keys import clean, is_code, kind_of, mask, oddity, scrub
from safe_langsmith._knowledge.operations import operation, permission_for
from safe_langsmith._sdk.modules import connection_errors
from safe_langsmith._settings.dotenv_file import read_file
from safe_langsmith._settings.unread import meaning, meant_by
from safe_langsmith._transport.owner import state_of
from safe_langsmith.testing import SimulatedLangSmith

OPENAI = "sk-proj-0123456789abcdef0123456789abcdefSECRET"
FORBIDDEN = {"error": "Forbidden"}


@pytest.fixture
def other() -> Iterator[SimulatedLangSmith]:
    """A host that the program did not choose. It accepts every key."""
    with SimulatedLangSmith() as simulated:
        simulated.answer("*", status=200, body=[])
        yield simulated


def new(kind: Any, policy: Policy, arguments: Mapping[str, Any]) -> Any:
    return kind(policy=policy, **arguments)


def same(client: Any) -> Any:
    return client


def list_projects(make: Callable[[], Any]) -> Any:
    client = make()
    return [project.name for project in client.list_projects()]


def list_projects_async(make: Callable[[], Any]) -> Any:
    client = make()

    async def call() -> Any:
        return (await client._arequest_with_retries("GET", "/sessions")).json()

    return anyio.run(closing, client, call)


def diagnose(make: Callable[[], Any]) -> Any:
    return make().diagnose()


def bare_diagnose(make: Callable[[], Any]) -> Any:
    return safe_langsmith.diagnose(policy=make().policy)


# --- secrets and data stay with their host ------------------------------------------------

LINES = (
    "LANGSMITH_ENDPOINT={other}\nLANGSMITH_API_KEY=${{LANGSMITH_API_KEY}}",
    "LANGSMITH_ENDPOINT={other}\nLANGSMITH_API_KEY=${{OPENAI_API_KEY}}",
    "LANGSMITH_ENDPOINT={other}\nLANGSMITH_API_KEY=${{NOTHING:-lsv2}}${{OPENAI_API_KEY}}",
    "LANGSMITH_ENDPOINT={other}/${{OPENAI_API_KEY}}\nLANGSMITH_API_KEY=" + GONE,
    "LANGSMITH_WORKSPACE_ID=${{OPENAI_API_KEY}}",
    "LANGSMITH_API_KEY=${{OPENAI_API_KEY}}",
)
WAYS: tuple[tuple[type[Any], Callable[[Callable[[], Any]], Any]], ...] = (
    (SafeClient, list_projects),
    (SafeAsyncClient, list_projects_async),
    (SafeClient, diagnose),
    (SafeClient, bare_diagnose),
)


@pytest.mark.parametrize(
    "policy", [{}, {"repair": False}, {"probe_regions": False}], ids=str
)
@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("imports", [True, False])
def test_a_dotenv_that_refers_to_variables(
    imports: bool,
    lines: str,
    policy: dict[str, Any],
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Such a file causes no environment variable to be sent anywhere, or shown."""
    if imports:
        request.getfixturevalue("uses_dotenv")
    server.add_workspace("Research")
    server.add_workspace("Production")
    key = server.add_service_key(workspaces=None).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    Path(".env").write_text(lines.format(other=other.url))
    for secret in (key, GONE):
        monkeypatch.setenv("LANGSMITH_API_KEY", secret)
        for kind, way in WAYS:
            made = Policy(**{"budget_s": 8.0, **policy})
            arguments = {"auto_batch_tracing": False} if kind is SafeClient else {}
            try:
                said = repr(way(partial(new, kind, made, arguments)))
            except AccessDeniedError as error:
                said = f"{error}{error!r}{error.diagnosis.as_dict()}"
            assert OPENAI not in said
            assert_no_secret(said, [key])
    assert not other.exchanges
    assert not server.saw(OPENAI)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["doctor", "whoami", "doctor --fix --yes", "doctor --json"]
)
def test_a_command_in_a_cloned_repository(
    command: str, server: SimulatedLangSmith, other: SimulatedLangSmith
) -> None:
    """Our command neither sends nor shows a variable that the `.env` there refers to."""
    lines = LINES[1].format(other=other.url)
    Path(".env").write_text(f"{lines}\nLANGSMITH_WORKSPACE_ID=${{OPENAI_API_KEY}}\n")
    for environ in ({"LANGSMITH_ENDPOINT": server.url, "LANGSMITH_API_KEY": GONE}, {}):
        ended = subprocess.run(
            [sys.executable, "-m", "safe_langsmith", *command.split()],
            env={**os.environ, **environ, "OPENAI_API_KEY": OPENAI},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode in (1, 2, 3), ended.stderr
        assert OPENAI not in ended.stdout + ended.stderr
    assert not other.exchanges


@pytest.mark.usefixtures("uses_dotenv")
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("file", ["dotenv", "profile"])
def test_a_file_with_its_own_host_and_key(
    file: str,
    named: bool,
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither requests nor traces are sent to a host that only a file names."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = SafeClient(policy=Policy(dotenv=".env" if named else None, budget_s=8.0))
    theirs = other.add_personal_key().secret
    if file == "dotenv":
        lines = f"LANGSMITH_ENDPOINT={other.url}\nLANGSMITH_API_KEY={theirs}\n"
        Path(".env").write_text(lines)
    else:
        path = Path.home() / ".langsmith" / "config.json"
        path.parent.mkdir()
        profile = {"api_url": other.url, "api_key": theirs}
        path.write_text(json.dumps({"profiles": {"default": profile}}))
    for call in (
        lambda: list(client.list_projects()),
        lambda: client.create_project("new"),
    ):
        with pytest.raises(
            KeyRejectedError, match="a repair does not move requests there"
        ) as caught:
            call()
        assert other.url in str(caught.value)
    record(client, 3)
    client.flush()
    client.cleanup()
    assert not other.exchanges
    assert not server.saw(theirs)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("way", ["sync client", "async client", RESOURCES])
def test_a_repaired_request_follows_no_redirect(
    way: str,
    status: int,
    server: SimulatedLangSmith,
    other: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a repaired request is redirected, the redirect is not followed."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    server.answer("/sessions", status=status, headers={"Location": f"{other.url}/sessions"})
    server.answer("/sessions", status=403, body=FORBIDDEN, times=1)
    client: Any = SafeClient(policy=QUICK, auto_batch_tracing=False)
    if way == "async client":
        client = SafeAsyncClient(policy=QUICK)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)

    async def resource() -> Any:
        return await client._get_langsmith_api().get("/sessions", cast_to=object)

    calls: dict[str, Callable[[], Any]] = {
        "sync client": lambda: list(client.list_projects()),
        "async client": lambda: list_projects_async(lambda: client),
        "resources": lambda: anyio.run(closing, client, resource),
    }
    with pytest.raises(WrongEndpointError, match="redirects to") as caught:
        calls[way]()
    assert other.url in str(caught.value)
    assert not other.exchanges
    assert [e.path for e in server.exchanges].count("/sessions") == 2


def session_with(what: str) -> requests.Session:
    session = requests.Session()
    if what == "auth":
        session.auth = ("me", OPENAI)
    elif what == "headers":
        session.headers["X-Gateway"] = OPENAI
    elif what == "cookies":
        session.cookies.set("login", OPENAI)
    elif what == "scoped":
        session.cookies.set("login", OPENAI, domain="api.smith.langchain.com")
    elif what == "params":
        session.params = {"gateway": OPENAI}
    return session


def four_regions(serve_tls: Serve) -> tuple[dict[str, SimulatedLangSmith], str]:
    """Serve the official hosts; the key is accepted only in the EU."""
    hosts = {r.name: serve_tls(urllib.parse.urlsplit(r.api).netloc) for r in REGIONS}
    own = hosts["EU"].add_workspace("Research", projects=2)
    return hosts, hosts["EU"].add_personal_key(workspaces=[own]).secret


TIES = ["netrc", "auth", "headers", "cookies", "scoped", "params", "argument"]


@pytest.mark.parametrize("way", ["sync client", RESOURCES])
@pytest.mark.parametrize("what", TIES)
def test_what_belongs_to_a_host_stays_there(
    what: str, way: str, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logins, cookies, and headers are sent to no other host, so nothing is resent."""
    hosts, key = four_regions(serve_tls)
    if what == "netrc":
        line = f"machine api.smith.langchain.com login me password {OPENAI}\n"
        (Path.home() / ".netrc").write_text(line)
    arguments: dict[str, Any] = {"session": session_with(what)}
    if what == "argument":
        arguments = {"headers": {"X-Gateway": OPENAI}}
    client = SafeClient(
        api_key=key, policy=Policy(budget_s=8.0), auto_batch_tracing=False, **arguments
    )
    if way == "resources":
        monkeypatch.setenv("SSL_CERT_FILE", os.environ["REQUESTS_CA_BUNDLE"])
        if what == "netrc":
            pytest.skip("httpx reads no .netrc")
        with pytest.raises(safe_langsmith.WrongRegionError) as caught:
            anyio.run(closing, client, partial(by_resource, client))
        # The client keeps its endpoint.
        assert client.api_url == "https://api.smith.langchain.com"
    else:
        with pytest.raises(safe_langsmith.WrongRegionError) as caught:
            list(client.list_projects())
    assert "set LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com" in str(caught.value)
    assert "the request was not resent there" in str(caught.value)
    encoded = OPENAI if what not in {"netrc", "auth"} else "Basic "
    assert hosts["US"].saw(encoded) or way == "resources"
    for name in ("EU", "APAC", "AWS US"):
        assert not hosts[name].saw(encoded), name
        assert {"authorization", "cookie", "x-gateway"}.isdisjoint(
            header.lower() for e in hosts[name].exchanges for header in e.headers
        )


def test_the_async_client_s_headers_stay_with_its_host(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its headers are sent to no other host, so nothing is resent there."""
    hosts, key = four_regions(serve_tls)
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["REQUESTS_CA_BUNDLE"])
    client = SafeAsyncClient(
        api_key=key, policy=Policy(budget_s=8.0), headers={"X-Gateway": OPENAI}
    )
    with pytest.raises(
        safe_langsmith.WrongRegionError, match="the request was not resent there"
    ):
        list_projects_async(lambda: client)
    assert hosts["US"].saw(OPENAI)
    assert not any(hosts[name].saw(OPENAI) for name in ("EU", "APAC", "AWS US"))


@pytest.mark.parametrize("what", ["cookies", "params"])
def test_what_the_async_client_s_own_httpx_client_adds(
    what: str, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cookies and parameters of the httpx client are sent to no other host either."""
    hosts, key = four_regions(serve_tls)
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["REQUESTS_CA_BUNDLE"])
    client = SafeAsyncClient(api_key=key, policy=Policy(budget_s=8.0))
    http: Any = client._client
    if what == "cookies":
        http.cookies.set("login", OPENAI)
    else:
        http.params = {"gateway": OPENAI}
    with pytest.raises(
        safe_langsmith.WrongRegionError, match="the request was not resent there"
    ):
        list_projects_async(partial(same, client))
    assert not any(hosts[name].saw(OPENAI) for name in ("EU", "APAC", "AWS US"))


@pytest.mark.filterwarnings("ignore:.cert=:DeprecationWarning")  # the SDK's own way
@needs_v2
def test_a_certificate_of_the_session_is_shown_to_no_other_host(
    serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK adds it to its httpx clients, so they send no probes to other hosts."""
    hosts, key = four_regions(serve_tls)
    monkeypatch.setenv("SSL_CERT_FILE", os.environ["REQUESTS_CA_BUNDLE"])
    session = requests.Session()
    session.cert = tls.files_for("api.smith.langchain.com")
    client = SafeClient(
        api_key=key, session=session, policy=QUICK, auto_batch_tracing=False
    )
    with pytest.raises(AccessDeniedError):
        anyio.run(closing, client, partial(by_resource, client))
    assert not any(hosts[name].exchanges for name in ("EU", "APAC", "AWS US"))


def test_a_variable_may_correct_the_path_at_its_host(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is the program's own setting, unlike a file."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    server.answer("/mine/*", status=403, body=FORBIDDEN)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", f"{server.url}/mine")
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    assert len(list(client.list_projects())) == 1


def test_a_notebook_uses_the_dotenv(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook need not import python-dotenv. Its kernel is faked here."""
    own = server.add_workspace("Research", projects=1)
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text(f"LANGSMITH_API_KEY={key}")
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    assert len(list(client.list_projects())) == 1


MENTIONS: dict[str, tuple[dict[str, str], str]] = {
    "a base url": ({"LANGSMITH_BASE_URL": "https://langsmith.corp.example"}, ""),
    "an api url": ({"LANGSMITH_API_URL": "https://langsmith.corp.example"}, ""),
    "a misspelling": ({"LANGCHAIN_ENDPONIT": "https://langsmith.corp.example"}, ""),
    "a misspelled prefix": ({"LANSGMITH_ENDPOINT": "langsmith.corp.example"}, ""),
    "any name with an address": ({"LANGSMITH_OWN": "https://langsmith.corp.example"}, ""),
    "destinations": ({"LANGSMITH_RUNS_ENDPOINTS": "{}"}, ""),
    "a colon": ({}, "LANGSMITH_ENDPOINT: https://langsmith.corp.example"),
    "a colon without a space": ({}, "LANGSMITH_ENDPOINT:https://langsmith.corp.example"),
    "json": ({}, '"LANGSMITH_ENDPOINT": "https://langsmith.corp.example",'),
    "yaml": ({}, "- LANGSMITH_ENDPOINT https://langsmith.corp.example"),
    "hyphens": ({}, "LANGSMITH-ENDPOINT=https://langsmith.corp.example"),
    "a reference": ({}, "LANGSMITH_ENDPOINT=${{CORP}}"),
    "not loaded": ({}, "LANGSMITH_ENDPOINT=https://langsmith.corp.example"),
    "utf-16": ({}, "\ufeffLANGSMITH_ENDPOINT=https://langsmith.corp.example"),
    "a missing profile": ({"LANGSMITH_CONFIG_FILE": "nowhere.json"}, ""),
}


@pytest.mark.parametrize("name", MENTIONS)
def test_an_endpoint_named_anywhere_prevents_probes_of_regions(
    name: str, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an endpoint is named anywhere, no other region is probed; the error says where."""
    hosts, key = four_regions(serve_tls)
    environ, line = MENTIONS[name]
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    if line:
        encoding = "utf-16-le" if name == "utf-16" else "utf-8"
        Path(".env").write_text(f"A=1\n{line}\n", encoding=encoding)
    client = SafeClient(api_key=key, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(KeyRejectedError) as caught:
        list(client.list_projects())
    assert not any(hosts[region].exchanges for region in ("EU", "APAC", "AWS US"))
    place = next(iter(environ), ".env")
    assert place in str(caught.value) or "nowhere.json" in str(caught.value)
    for cloud in ("create a new key", "apac.", "another region", "smith.langchain.com/set"):
        assert cloud not in str(caught.value)


@pytest.mark.usefixtures("uses_dotenv")
@pytest.mark.parametrize(
    "line",
    [
        "LANGSMITH_ENDPOINT=${CORP}",
        "LANGSMITH_ENDPOINT: https://langsmith.corp.example",
        "LANGSMITH_BASE_URL=https://langsmith.corp.example",
        "LANGSMITH-ENDPOINT=https://langsmith.corp.example",
        "declare -x LANGSMITH_ENDPOINT=https://langsmith.corp.example x",
        'os.environ["LANGSMITH_ENDPOINT"] = "https://langsmith.corp.example"',
    ],
)
def test_a_key_beside_an_endpoint_that_cannot_be_parsed(
    line: str, server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's key belongs to the file's endpoint, and is sent nowhere else."""
    own = server.add_workspace("Research")
    theirs = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text(f"{line}\nLANGSMITH_API_KEY={theirs}\n")
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    assert not server.saw(theirs)


@pytest.mark.usefixtures("uses_dotenv")
@pytest.mark.parametrize("form", ["{url}/theirs", "http://me:pw@{host}/mine"])
def test_another_path_or_login_at_the_same_host(
    form: str, server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an address is another endpoint, which a file cannot choose."""
    own = server.add_workspace("Research")
    theirs = server.add_personal_key(workspaces=[own]).secret
    server.answer("/mine/*", status=403, body=FORBIDDEN)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", f"{server.url}/mine")
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    address = form.format(url=server.url, host=server.url.removeprefix("http://"))
    Path(".env").write_text(f"LANGSMITH_ENDPOINT={address}\nLANGSMITH_API_KEY={theirs}\n")
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError, match="a repair does not move requests there"):
        list(client.list_projects())
    assert not server.saw(theirs)
    assert not any("theirs" in e.raw_path for e in server.exchanges)


def test_a_variable_that_a_profile_refers_to(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK reads the variable if it has no other key; a repair never reads it."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    profile = {"api_key_env": "OPENAI_API_KEY"}
    path.write_text(json.dumps({"profiles": {"default": profile}}))
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())
    assert not server.saw(OPENAI)


PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
{imports}
from safe_langsmith import AccessDeniedError, Client, Policy
try:
    list(Client(policy=Policy(budget_s=8.0), auto_batch_tracing=False).list_projects())
    print("answered")
except AccessDeniedError as error:
    print(error.code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imports", "says"),
    [
        ("import dotenv", "answered"),
        ("from dotenv import load_dotenv", "answered"),
        ("", "key-rejected"),
        ("import of_somebody", "key-rejected"),
        ("import in_the_user_folder", "key-rejected"),
        ("import from_debian", "key-rejected"),
        ("import beside_the_program", "answered"),
    ],
)
def test_whether_the_program_itself_imports_python_dotenv(
    imports: str, says: str, server: SimulatedLangSmith, tmp_path: Path
) -> None:
    """An import by an installed package does not count, wherever it was installed."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").write_text(f"LANGSMITH_API_KEY={key}")
    # Parallel tests would remove a file with the same name.
    module = Path(sysconfig.get_path("purelib")) / f"of_somebody_{os.getpid()}.py"
    others = {
        tmp_path / ".local" / "site-packages": "in_the_user_folder",
        tmp_path / "python3" / "dist-packages": "from_debian",
        project: "beside_the_program",
    }
    for folder, name in others.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text("from dotenv import load_dotenv")
    root = str(Path(safe_langsmith.__file__).parent.parent)
    text = PROGRAM.replace("{imports}", imports.replace("of_somebody", module.stem))
    (project / "main.py").write_text(text.format(root=root))
    module.write_text("from dotenv import load_dotenv")
    settings = {
        "LANGSMITH_ENDPOINT": server.url,
        "LANGSMITH_API_KEY": GONE,
        "PYTHONPATH": os.pathsep.join(map(str, others)),
    }
    try:
        ended = subprocess.run(
            [sys.executable, "main.py"],
            cwd=project,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        module.unlink()
    assert ended.stdout.strip() == says


@pytest.mark.slow
def test_a_script_below_the_prefix_of_python(
    server: SimulatedLangSmith, tmp_path: Path
) -> None:
    """Its `.env` is searched from its own folder, so the working directory's is unused."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    (tmp_path / ".env").write_text(f"LANGSMITH_API_KEY={key}")
    root = str(Path(safe_langsmith.__file__).parent.parent)
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        script = Path(folder) / "main.py"
        script.write_text(PROGRAM.format(root=root, imports="import dotenv"))
        ended = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env={**os.environ, "LANGSMITH_ENDPOINT": server.url, "LANGSMITH_API_KEY": GONE},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert ended.stdout.strip() == "key-rejected"
    assert not server.saw(key)


def test_a_fix_sends_no_key_over_plain_http(
    server: SimulatedLangSmith,
    hosts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No key is sent even to the web app's host, if a `.env` names it without https."""
    hosts["smith.langchain.com"] = server.port
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text("LANGSMITH_ENDPOINT=http://smith.langchain.com\n")
    main(["doctor", "--fix", "--yes"])
    assert "not checked with LangSmith: " in capsys.readouterr().out
    assert not server.exchanges


def test_a_password_in_an_address_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is not shown, and no LangSmith cloud address is suggested."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "me:PASSWORD@langsmith.corp.example")
    client = SafeClient(api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(WrongEndpointError) as caught:
        list(client.list_projects())
    assert "PASSWORD" not in f"{caught.value}{caught.value!r}"
    assert "smith.langchain.com" not in str(caught.value)


@pytest.mark.usefixtures("uses_dotenv")
@pytest.mark.parametrize("key", [GONE, None])
def test_a_self_hosted_endpoint_in_a_dotenv(key: str | None, serve_tls: Serve) -> None:
    """The program used the cloud instead; the advice is about the line of the file only."""
    us = serve_tls("api.smith.langchain.com")
    Path(".env").write_text("LANGSMITH_ENDPOINT=https://langsmith.corp.example/api/v1")
    client = SafeClient(api_key=key, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    said = str(caught.value)
    assert ".env, line 1 names https://langsmith.corp.example/api/v1" in said
    assert ".env, line 1 is right, call load_dotenv(" in said
    for cloud in ("create a new key", "apac.", "another region", "smith.langchain.com/set"):
        assert cloud not in said
    assert us.exchanges


def test_a_key_is_cleaned_before_another_one_is_looked_for(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, uses_dotenv: None
) -> None:
    """A workspace is cleaned first, too."""
    own = server.add_workspace("Research", projects=1)
    another = server.add_workspace("Production", projects=2)
    key = server.add_personal_key(workspaces=[own]).secret
    Path(".env").write_text(
        f"LANGSMITH_API_KEY={server.add_personal_key(workspaces=[another]).secret}"
    )
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", f'"{key}"  # mine')
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    assert len(list(client.list_projects())) == 1
    assert client.api_key == key
    both = server.add_personal_key(workspaces=[own, another]).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", both)
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", f'"{own.id}"  # mine')
    Path(".env").write_text(f"LANGSMITH_WORKSPACE_ID={another.id}")
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    assert len(list(client.list_projects())) == 1
    assert client.workspace_id == own.id


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")
def test_a_link_put_in_place_of_a_written_file(tmp_path: Path) -> None:
    """Mode and content of the link's target do not change."""
    victim, path = tmp_path / "victim", tmp_path / "shared" / ".env"
    victim.write_text("secret")
    victim.chmod(0o600)
    path.parent.mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for file in path.parent.iterdir():
                if file.name != ".env" and not file.is_symlink():
                    try:
                        file.unlink()
                        file.symlink_to(victim)
                    except OSError:
                        continue

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(60):
            path.unlink(missing_ok=True)
            path.write_bytes(b"A=1")
            path.chmod(0o646)
            try:
                write(path, b"A=1", b"A=%d" % number)
            except Exception:  # it may fail, but must do no harm
                continue
    finally:
        over.set()
        thread.join()
    assert victim.stat().st_mode & 0o777 == 0o600
    assert victim.read_text() == "secret"


def parts_of(thing: object, seen: set[int]) -> Iterator[object]:
    """Yield an object of this package, and all objects of it inside."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    inside: list[object] = []
    if type(thing).__module__.startswith("safe_langsmith"):
        yield thing
        inside += list(getattr(thing, "__dict__", {}).values())
        if dataclasses.is_dataclass(thing):
            inside += [getattr(thing, f.name) for f in dataclasses.fields(thing)]
    if isinstance(thing, (list, tuple, set, frozenset)):
        inside += thing
    if isinstance(thing, dict):
        inside += [*thing, *thing.values()]
    for part in inside:
        if not isinstance(part, (str, bytes)):
            yield from parts_of(part, seen)


def test_what_a_server_echoes_is_not_shown(server: SimulatedLangSmith) -> None:
    """Neither the client's headers, nor a key, even if written with escapes."""
    headers = {"X-Gateway": OPENAI, "Authorization": f"Basic {OPENAI[::-1]}"}
    client = SafeClient(
        server.url, api_key=GONE, headers=headers, policy=QUICK, auto_batch_tracing=False
    )
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in GONE)
    said = f'{{"detail": [5, {{"msg": "{OPENAI} {OPENAI[::-1]} {escaped}"}}]}}'
    server.answer("/sessions", status=403, body=said.encode())
    calls: list[Callable[[], Any]] = [lambda: list(client.list_projects())]
    if WATCHES_V2:
        calls.append(lambda: in_a_loop(client))
    for call in calls:
        with pytest.raises(AccessDeniedError) as caught:
            call()
        error = caught.value
        shown = f"{error!r}{error.diagnosis.as_dict()}{pickle.dumps(error, 0)!r}"
        shown += repr(getattr(error, "body", ""))
        assert OPENAI not in shown
        assert OPENAI[::-1] not in shown
        assert_no_secret(shown, [GONE])


@pytest.mark.parametrize("status", [403, 409])
@pytest.mark.parametrize("what", ["headers", "cookies", "auth", "url"])
def test_a_login_that_a_server_echoes_is_not_shown(
    what: str, status: int, server: SimulatedLangSmith
) -> None:
    """It may be in the session, or in the endpoint's URL."""
    login = f"//me:{OPENAI}@" if what == "url" else "//"
    session, url = session_with(what), server.url.replace("//", login)
    key = "p\u00e4ssword-in-place-of-a-key"
    client = SafeClient(
        url, api_key=key, session=session, policy=QUICK, auto_batch_tracing=False
    )
    server.answer("*", status=status, body={"detail": f"{OPENAI} {key}"})
    with pytest.raises(Exception, match=r"detail|server") as caught:
        client.create_project("new")
    shown = "".join(traceback.format_exception(caught.value))
    assert OPENAI not in shown
    assert "ssword-in" not in shown
    session.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nobody.invalid"])
def test_an_error_without_a_key_keeps_its_text_and_its_causes(url: str) -> None:
    def texts(kind: type[langsmith.Client]) -> list[str]:
        client = kind(url, api_key=GONE, auto_batch_tracing=False)
        with pytest.raises(LangSmithConnectionError) as caught:
            client.create_project("new")
        error: BaseException | None = caught.value
        found = []
        while error is not None:
            found.append(re.sub(r"0x[0-9a-f]+|\(API Key: .*?\)", "", str(error)))
            error = error.__cause__ or error.__context__
        return found

    assert texts(SafeClient) == texts(langsmith.Client)
    assert len(texts(SafeClient)) > 3


def test_a_key_in_an_error_of_the_sdk(
    server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's own errors and log lines are passed on with the client's key masked."""
    key = GONE[8:]
    arguments: dict[str, Any] = {"policy": QUICK, "headers": {"Authorization": OPENAI}}
    said = f"{key} {OPENAI} lsv2_sk_{GONE[8:]}".encode()
    server.answer("*", status=409, body=said, headers={"Content-Type": "text/plain"})
    client = SafeClient(server.url, api_key=key, auto_batch_tracing=False, **arguments)
    other = SafeAsyncClient(server.url, api_key=key, **arguments)
    calls: list[Callable[[], Any]] = [
        lambda: list(client.list_projects()),
        lambda: list_projects_async(partial(same, other)),
    ]
    if WATCHES_V2:
        calls.append(lambda: in_a_loop(client))
    for call in calls:
        with pytest.raises(Exception, match="6789") as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value))
        assert OPENAI not in shown
        assert_no_secret(shown, [GONE])
    assert client.info
    assert "Failed to get info" in caplog.text
    assert OPENAI not in caplog.text
    assert_no_secret(caplog.text, [GONE])


def test_the_beginning_of_a_key_in_a_connection_error() -> None:
    """The SDK shows five characters; they are secret unless they are a known prefix."""
    arguments: dict[str, Any] = {"retry_config": Retry(0), "auto_batch_tracing": False}
    for key, shown in (("s3cr3t-of-my-own-server", "\u2026"), (GONE, "lsv2_*")):
        client = SafeClient("http://127.0.0.1:9", api_key=key, **arguments)
        with pytest.raises(LangSmithConnectionError) as caught:
            list(client.list_projects())
        assert f"API Key: {shown}" in str(caught.value)
        assert "s3cr3" not in str(caught.value)


@pytest.mark.parametrize("kind", [SafeClient, SafeAsyncClient])
def test_a_key_in_place_of_the_endpoint(
    kind: Any, caplog: pytest.LogCaptureFixture, stepped_aside: list[str]
) -> None:
    client = kind(GONE, api_key="no key", policy=QUICK)
    info = anyio.run(client.info) if kind is SafeAsyncClient else client.info
    assert info is not None
    assert "Failed to get info" in caplog.text
    assert_no_secret(caplog.text, [GONE])
    # A line with a mistake in it reaches logging's own handling of errors.
    wrong = logging.LogRecord("langsmith.client", 30, "", 1, "%d", ("no number",), None)
    assert logging.getLogger("langsmith.client").filter(wrong)
    assert "could not mask keys in a log line (TypeError" in stepped_aside.pop()


def in_a_loop(client: Any) -> Any:
    return anyio.run(closing, client, partial(by_resource, client))


def test_no_repr_shows_a_key(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch, uses_dotenv: None
) -> None:
    """No object that this package adds to a client shows a key, even after a refusal."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    Path(".env").write_text(f"LANGSMITH_API_KEY={key}")
    for made in (SafeClient(policy=QUICK), SafeAsyncClient(policy=QUICK)):
        client: Any = made
        if isinstance(client, SafeClient):
            list(client.list_projects())
            client.api_key = key.replace("_pt_", "_sk_")
            with pytest.raises(AccessDeniedError):
                list(client.list_projects())
        else:
            list_projects_async(partial(same, client))
        ours = [client._safe, client.policy, client.last_diagnosis]
        shown = [repr(part) for one in ours for part in parts_of(one, set())]
        assert_no_secret("\n".join(shown), [key, GONE])
        if isinstance(client, SafeClient):
            client.cleanup()
    file, _ = read_file(Path(".env"))
    assert_no_secret(repr(file), [key])


# --- a write is executed once -------------------------------------------------------------

ODD = {
    "a page": HTML_403.encode(),
    "null": b"null",
    "nothing": b"",
    "truncated": b'{"error":"Forb',
    "plain text": b"Forbidden",
    "a byte order mark": b'\xef\xbb\xbf{"error":"Forbidden"}',
    "another API's": b'{"message":"Forbidden"}',
    "a gateway's": b'{"error":"Access to this API has been disallowed"}',
    "a filter's": b'{"detail":"Blocked by data loss prevention"}',
}
WRITES: dict[str, Callable[[Any], Any]] = {
    "feedback": lambda c: c.create_feedback(None, "k", score=1, project_id=str(GONE_ID)),
    "project": lambda c: c.create_project("new"),
    "dataset": lambda c: c.create_dataset("new"),
    "run": lambda c: c.create_run("run", {}, "chain", project_name="default"),
}
GONE_ID = "00000000-0000-4000-8000-000000000009"


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("newer", [True, False])
def test_a_write_whose_response_was_replaced_is_not_resent(
    newer: bool,
    what: str,
    body: str,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LangSmith has already executed the write, so it is never resent.

    Not even if a newer key, which would work, was set in the meantime.
    """
    own = server.add_workspace("Research")
    keys = [server.add_personal_key(workspaces=[own]).secret for _ in range(2)]

    def refuse(line: Line) -> None:
        line.answer()
        kind = "text/html" if body == "a page" else "application/json"
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: {kind}\r\n"
        length = f"Content-Length: {len(ODD[body])}\r\n\r\n"
        line.send((head + length).encode() + ODD[body])

    def choose(proxy: Proxy, request: Request) -> Callable[[Line], None] | None:
        return refuse if request.method == "POST" else None

    with Proxy(server.port, choose) as proxy:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", proxy.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", keys[0])
        client = SafeClient(policy=Policy(budget_s=8.0), auto_batch_tracing=False)
        if newer:
            monkeypatch.setenv("LANGSMITH_API_KEY", keys[1])
        with pytest.raises(AccessDeniedError) as caught:
            WRITES[what](client)
        client.session.close()
    posts = [request for request in proxy.seen if request.method == "POST"]
    assert len(posts) == 1
    assert isinstance(caught.value, BlockedByProxyError) == (body == "a page")


def test_a_known_repair_resends_no_write(
    server: SimulatedLangSmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write with the old key is not resent after a proxy's refusal."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = SafeClient(server.url, policy=QUICK, auto_batch_tracing=False)
    monkeypatch.setenv("LANGSMITH_API_KEY", key)
    list(client.list_projects())
    server.answer("/datasets", status=403, body=HTML_403)
    server.clear()
    old = {"headers": {"x-api-key": GONE}, "data": "{}"}
    with pytest.raises(BlockedByProxyError):
        client.request_with_retries("POST", "/datasets", request_kwargs=old)
    assert [e.method for e in server.exchanges].count("POST") == 1


@pytest.mark.parametrize("what", ["certificate", "unchecked", "address"])
def test_what_keeps_the_web_app_s_address_from_being_corrected(
    what: str, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client certificate, a login, or `verify=False` prevents the correction."""
    serve_tls("smith.langchain.com", layout="web")
    api = serve_tls("api.smith.langchain.com")
    key = api.add_personal_key(workspaces=[api.add_workspace("Research")]).secret
    login = "me:password@" if what == "address" else ""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", f"https://{login}smith.langchain.com")
    session = requests.Session()
    if what == "certificate":
        session.cert = tls.files_for("smith.langchain.com")
    client = SafeClient(
        api_key=key, session=session, policy=QUICK, auto_batch_tracing=False
    )
    if what == "unchecked":
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        session.verify = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(WrongEndpointError) as caught:
            list(client.list_projects())
    says = {
        "certificate": "the certificate of your session",
        "unchecked": "does not check",
        "address": "the login from this request",
    }
    assert says[what] in str(caught.value)
    assert not api.exchanges


# --- a cause is named only if it is proven ------------------------------------------------


def test_a_proxy_that_removes_the_key(server: SimulatedLangSmith) -> None:
    """LangSmith then responds with 401, and the key is not reported as rejected."""
    server.answer("*", status=401, body={"detail": "Invalid token"})
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError, match="may strip the header x-api-key") as caught:
        list(client.list_projects())
    assert not isinstance(caught.value, KeyRejectedError)
    assert "new key" not in str(caught.value)


@pytest.mark.parametrize("call", ["GET /orgs/current/info", "POST /workspaces"])
def test_permissions_of_the_organization(call: str, server: SimulatedLangSmith) -> None:
    """A workspace's permissions do not include them, so `can_i` returns None."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own])
    method, path = call.split()
    server.answer(path, method=method, status=403, body=FORBIDDEN)
    client = SafeClient(server.url, api_key=key.secret, policy=QUICK)
    with pytest.raises(AccessDeniedError) as caught:
        client.request_with_retries(method, path)  # type: ignore[arg-type]
    assert not isinstance(caught.value, PermissionMissingError)
    assert client.can_i("organization:read") is None
    assert client.can_i("projects:create") is True
    scoped = server.add_service_key(workspaces=[own], lists_workspaces=True)
    wide = server.add_service_key(workspaces=None)
    for service, expected in ((scoped, True), (wide, False)):
        client.api_key, client.workspace_id = service.secret, own.id
        with pytest.raises(AccessDeniedError) as caught:
            client.request_with_retries(method, path)  # type: ignore[arg-type]
        assert isinstance(caught.value, ServiceKeyScopeError) == expected
    client.cleanup()


def test_a_listed_permission_is_not_missing(server: SimulatedLangSmith) -> None:
    """Such a permission is not reported as missing, even if the message names it."""
    server.name_permissions = True
    own = server.add_workspace("Research")
    denied = frozenset({"projects:create"})
    key = server.add_personal_key(workspaces=[own], abac_denies=denied).secret
    client = SafeClient(server.url, api_key=key, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError, match="an access policy") as caught:
        client.create_project("new")
    assert not isinstance(caught.value, PermissionMissingError)


def test_a_gateway_that_refuses_whatever_has_a_key(server: SimulatedLangSmith) -> None:
    """Its message is not LangSmith's, so it proves nothing about the key."""
    for path in ("/sessions", "/workspaces", "/auth/public"):
        server.answer(path, status=403, body={"error": "API access disallowed"})
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert caught.value.code == "access-denied"
    assert "new key" not in str(caught.value)


@pytest.mark.parametrize(
    "words", ["no access to runs:weekly", "You have projects:read; this IP is not allowed"]
)
def test_a_permission_that_is_only_mentioned(
    words: str, server: SimulatedLangSmith
) -> None:
    """A permission that the message only mentions is not reported as missing."""
    own = server.add_workspace("Research")
    key = server.add_service_key(workspaces=[own]).secret
    server.answer("/sessions", status=403, body={"error": words})
    client = SafeClient(server.url, api_key=key, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError) as caught:
        list(client.list_projects())
    assert not isinstance(caught.value, PermissionMissingError)


def test_only_the_probe_without_a_key_is_blocked(server: SimulatedLangSmith) -> None:
    """LangSmith's own refusal of the key is still the cause."""
    server.add_workspace("Research")
    server.answer("/info", status=403, body=HTML_403)
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(KeyRejectedError):
        list(client.list_projects())


@pytest.mark.slow
def test_a_page_from_an_official_host(serve_tls: Serve) -> None:
    """Such a page comes from a web filter; the endpoint is right."""
    us = serve_tls("api.smith.langchain.com")
    us.answer("*", status=200, body="<html>blocked by policy</html>", headers=PAGE)
    client = SafeClient(api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(BlockedByProxyError) as caught:
        list(client.list_projects())
    assert "LANGSMITH_ENDPOINT=" not in str(caught.value)


REDIRECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a login page": ("list", {"status": 200, "body": "<html>log in</html>"}),
    "a login page that refuses": ("list", {"status": 403, "body": HTML_403}),
    "the API at another host": ("list", {"status": 403, "body": FORBIDDEN}),
    "a POST that became a GET, which returns 405": (
        "create",
        {"status": 405, "body": {"detail": "no"}},
    ),
    "a POST that became a GET, which returns 200": ("create", {"status": 200, "body": []}),
    "a POST that became a GET, which returns 404": (
        "create",
        {"status": 404, "body": {"x": 1}},
    ),
}


@pytest.mark.parametrize("what", REDIRECTS)
@pytest.mark.parametrize("way", ["sync client", RESOURCES])
def test_a_redirect_is_named(
    what: str, way: str, server: SimulatedLangSmith, other: SimulatedLangSmith
) -> None:
    """The error names both addresses, and nothing is repaired."""
    call, answer = REDIRECTS[what]
    there = f"{other.url}/signin"
    server.answer("*", status=302, headers={"Location": there})
    other.answer("/signin", **answer)
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)

    async def resource() -> Any:
        generated: Any = client._get_langsmith_api()
        if call == "list":
            return await generated.get("/sessions", cast_to=object)
        return await generated.post("/sessions", cast_to=object, body={"name": "new"})

    def sync() -> Any:
        return (
            list(client.list_projects()) if call == "list" else client.create_project("n")
        )

    with pytest.raises(WrongEndpointError) as caught:
        sync() if way == "sync client" else anyio.run(closing, client, resource)
    said = str(caught.value)
    if call == "create":
        assert f"was redirected from {server.url} to {there} and arrived as a GET" in said
    else:
        assert f"{server.url} redirects to {there}" in said
    assert "destination" not in said
    assert "https://api.smith.langchain.com" not in said


@pytest.mark.parametrize("way", ["sync client", RESOURCES])
def test_a_redirect_of_the_api_itself(way: str, server: SimulatedLangSmith) -> None:
    """A POST redirected to a GET at the same host works as with the plain client."""
    server.answer("/sessions", method="POST", status=303, headers={"Location": "/made"})
    server.answer("/made", method="GET", status=200, body={"name": "made"})
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)

    async def resource() -> Any:
        generated: Any = client._get_langsmith_api()
        return await generated.post("/sessions", cast_to=object, body={"name": "new"})

    if way == "resources":
        assert anyio.run(closing, client, resource) == {"name": "made"}
    else:
        made = client.request_with_retries(
            "POST", "/sessions", request_kwargs={"data": "{}"}
        )
        assert made.json() == {"name": "made"}


def test_http_in_place_of_https(server: SimulatedLangSmith) -> None:
    """The advice is to use the https address that the server redirects to."""
    secure = server.url.replace("http://", "https://")
    server.answer("*", status=301, headers={"Location": f"{secure}/sessions"})
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    diagnosis = client.diagnose()
    assert diagnosis.code == "wrong-endpoint"
    assert diagnosis.next_steps == (f'pass api_url="{secure}"',)


def test_a_proxy_that_removes_the_workspace(server: SimulatedLangSmith) -> None:
    """The error contains the server's reason, and the header that was sent."""
    own = server.add_workspace("Research")
    key = server.add_service_key(workspaces=None).secret
    reason = {"error": "org_scoped_key_requires_workspace"}
    server.answer("/sessions", status=403, body=reason)
    client = SafeClient(server.url, api_key=key, workspace_id=own.id, policy=QUICK)
    with pytest.raises(safe_langsmith.WorkspaceRequiredError) as caught:
        list(client.list_projects())
    said = str(caught.value)
    assert "org_scoped_key_requires_workspace" in said
    assert f"the header X-Tenant-Id was sent, with {own.id}" in said
    client.cleanup()


def test_a_key_of_the_organization_has_no_default_workspace(
    server: SimulatedLangSmith,
) -> None:
    """The error mentions none, although the server gave no reason."""
    for name in ("Research", "Production"):
        server.add_workspace(name)
    key = server.add_service_key(workspaces=None).secret
    server.answer("/sessions", status=403, body=FORBIDDEN)
    client = SafeClient(server.url, api_key=key, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(safe_langsmith.WorkspaceRequiredError) as caught:
        list(client.list_projects())
    assert "default workspace" not in str(caught.value)


def test_a_redirect_from_an_official_host(
    serve_tls: Serve, other: SimulatedLangSmith
) -> None:
    """Such a redirect comes from something in between, never from LangSmith's API."""
    us = serve_tls("api.smith.langchain.com")
    us.answer("*", status=302, headers={"Location": f"{other.url}/portal"})
    other.answer("/portal", status=403, body=HTML_403)
    client = SafeClient(api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(BlockedByProxyError) as caught:
        list(client.list_projects())
    assert f"was redirected to {other.url}/portal" in str(caught.value)


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy that responds to CONNECT with the first item of this list."""
    answers = ["403 Forbidden"]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                line.recv(65_536)
                line.sendall(f"HTTP/1.1 {answers[0]}\r\n\r\n".encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "https://langsmith.own.example")
    yield answers
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


# What the resources raise, with and without this package.
NO_CONNECTION = connection_errors()


async def by_resource(client: Any) -> Any:
    return await client._get_langsmith_api().get("/sessions", cast_to=object)


async def by_sync_resource(client: Any) -> Any:
    return client._get_langsmith_api_sync().get("/sessions", cast_to=object)


async def by_async_client(client: Any) -> Any:
    return await client._arequest_with_retries("GET", "/sessions", stop_after_attempt=1)


async def by_sync_client(client: Any) -> Any:
    return client.request_with_retries("GET", "/sessions")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "way", "plain"),
    [
        (SafeClient, by_sync_client, LangSmithConnectionError),
        (SafeAsyncClient, by_async_client, LangSmithConnectionError),
        pytest.param(SafeClient, by_resource, NO_CONNECTION, marks=needs_v2),
        pytest.param(SafeClient, by_sync_resource, NO_CONNECTION, marks=needs_v2),
    ],
)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("403 Forbidden", "; if it can be reached without the proxy, add it to NO_PROXY"),
        ("403 blocked by policy", "(403 blocked by policy)."),
        ("407 Proxy Authentication Required", "add user name and password to HTTPS_PROXY"),
        ("502 Bad Gateway", ""),
    ],
)
def test_a_proxy_that_does_not_connect(
    answer: str, says: str, kind: Any, way: Any, plain: Any, tunnel: list[str]
) -> None:
    """A 403 or 407 to CONNECT is explained; any other proxy error is unchanged."""
    tunnel[0] = answer
    more = {"auto_batch_tracing": False} if kind is SafeClient else {}
    client = kind(api_key=GONE, policy=QUICK, **more)
    if kind is SafeClient:
        client.session.mount("https://", requests.adapters.HTTPAdapter())
    with pytest.raises(plain) as caught:
        anyio.run(closing, client, partial(way, client))
    assert isinstance(caught.value, BlockedByProxyError) == bool(says)
    assert says in str(caught.value)
    assert_no_secret(f"{caught.value}{caught.value!r}", [GONE])


# --- the program keeps running ------------------------------------------------------------

LONG = 1_000_000
TEXTS = {
    "blanks": " " * LONG,
    "a key and blanks": "lsv2_pt_" + " " * LONG + "x",
    "your": "your" * (LONG // 4),
    "your lang": "yourlang" * (LONG // 8),
    "references": "${" * (LONG // 2),
    "permissions": "runs:" * (LONG // 5) + "_",
    "keys": "lsv2_pt_" * (LONG // 8),
    "slashes": "/o/" * (LONG // 3),
    "signs": " #" * (LONG // 2),
}
# Lines whose parsing once took quadratic time, apart from regular expressions.
MANY = ("A=${\n", "A='${B}'\n", "A=1\n", "nothing here\n")
READERS: dict[str, Callable[[str], object]] = {
    "clean": clean,
    "oddity": oddity,
    "is_code": is_code,
    "mask": mask,
    "kind_of": kind_of,
    "scrub": lambda text: scrub(text, [text[:5000], text]),
    "operation": lambda text: (operation("GET", text), permission_for("GET", text)),
    "meaning": lambda text: (meaning(text, text), meant_by(text)),
    "web address": safe_langsmith._knowledge.hosts.web_address,
    "origin": safe_langsmith._knowledge.hosts.origin,
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reader", READERS)
def test_long_texts_are_read_in_linear_time(reader: str, text: str) -> None:
    """Code that takes quadratic time would reach the test's time limit."""
    READERS[reader](TEXTS[text])


@pytest.mark.parametrize("text", TEXTS)
def test_long_settings(
    text: str,
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    uses_dotenv: None,
) -> None:
    """Long texts in a profile, a `.env`, or a response do not block the call."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    profile = {"api_key": TEXTS[text][:200_000] + "x"}
    path.write_text(json.dumps({"profiles": {"default": profile}}))
    Path(".env").write_text(f"LANGSMITH_API_KEY=x{TEXTS[text][:90_000]}#x\n")
    server.answer("/sessions", status=403, body={"error": TEXTS[text][:900_000]})
    monkeypatch.setenv("LANGSMITH_API_KEY", GONE)
    client = SafeClient(policy=QUICK, auto_batch_tracing=False)
    with pytest.raises(AccessDeniedError):
        list(client.list_projects())


def test_the_tracing_path_has_one_budget(
    server: SimulatedLangSmith, debug_log: pytest.LogCaptureFixture
) -> None:
    """Once the budget is used up, no probes are sent, and the last error is used."""
    server.answer("/runs/*", method="POST", status=403, body=FORBIDDEN)
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=200, body=[], delay=5.0)
    policy = Policy(budget_s=0.3)
    client = SafeClient(server.url, api_key=GONE, policy=policy)
    for _ in range(4):
        record(client, 1)
        client.flush()
    asked = [e.path for e in server.exchanges if e.path in ("/workspaces", "/auth/public")]
    assert len(asked) <= 2
    with pytest.raises(AccessDeniedError):
        client.raise_for_tracing_errors()
    lines = [r for r in debug_log.records if r.name == "safe_langsmith"]
    assert len(lines) == 1
    client.cleanup()


def test_the_tracing_path_reports_only_its_own_refusals(server: SimulatedLangSmith) -> None:
    """Once its budget is used up, it never reports the cause of another request."""
    server.disabled_features.add("projects")
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    client = SafeClient(server.url, api_key=key, policy=QUICK)
    with pytest.raises(safe_langsmith.FeatureUnavailableError):
        list(client.list_projects())
    state = state_of(client)
    state.left_for_traces()
    state.spend_on_traces(client.policy.budget_s)
    server.answer("/runs/*", method="POST", status=403, body=FORBIDDEN)
    record(client, 1)
    client.flush()
    with pytest.raises(AccessDeniedError) as caught:
        client.raise_for_tracing_errors()
    assert caught.value.code == "access-denied"
    client.cleanup()


NOT_FOUND = """
import sys
from safe_langsmith import Client
try:
    list(Client(auto_batch_tracing=False).list_projects())
except Exception as error:
    print(type(error).__name__, "safe_langsmith._transport.requests_driver" in sys.modules)
"""


def test_an_ordinary_404_loads_nothing(server: SimulatedLangSmith) -> None:
    """A 404 is not a refusal, so it costs the same as with the plain client."""
    server.answer("/sessions", status=404, body={"detail": "Not found"})
    ended = subprocess.run(
        [sys.executable, "-c", NOT_FOUND],
        env={**os.environ, "LANGSMITH_ENDPOINT": server.url, "LANGSMITH_API_KEY": GONE},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.split() == ["LangSmithNotFoundError", "False"]


def test_the_tracing_path_pauses_once(
    server: SimulatedLangSmith, debug_log: pytest.LogCaptureFixture
) -> None:
    """The pause ends as soon as a batch is accepted."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    client = SafeClient(server.url, api_key=key, policy=Policy(budget_s=8.0))
    list(client.list_projects())
    for _ in range(3):
        server.answer("/runs/*", method="POST", status=403, body=FORBIDDEN, times=1)
        record(client, 1)
        client.flush()
    client.raise_for_tracing_errors()
    assert len(server.runs) == 3
    lines = [r for r in debug_log.records if r.name == "safe_langsmith"]
    assert [line.levelname for line in lines] == ["WARNING"]
    client.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("line", MANY)
def test_a_dotenv_of_many_lines(line: str) -> None:
    """Code that takes quadratic time would reach the test's time limit."""
    Path(".env").write_text(line * (99_000 // len(line)))
    for _ in range(5):
        read_file(Path(".env"))


def test_files_are_read_even_if_the_thread_pool_is_full(server: SimulatedLangSmith) -> None:
    """The program's own work fills the thread pool, so files are read without it."""
    client = SafeAsyncClient(server.url, GONE, policy=QUICK)
    over, caught = threading.Event(), list[Exception]()

    async def busy() -> None:
        await anyio.to_thread.run_sync(over.wait, 120)

    async def call() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(busy)
            await anyio.sleep(0.1)
            try:
                with anyio.fail_after(60):
                    await client._arequest_with_retries("GET", "/sessions")
            except Exception as error:  # checked below
                caught.append(error)
            over.set()

    anyio.run(closing, client, call)
    assert isinstance(caught[0], KeyRejectedError)


def test_a_login_in_the_address(server: SimulatedLangSmith) -> None:
    """A login is sent exactly as the plain client sends it."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    address = server.url.replace("http://", "http://me:pass%20word@")

    async def resource(client: Any) -> Any:
        return await client._langsmith_api.get("/sessions", cast_to=object)

    seen: list[list[str | None]] = []
    for kind in (langsmith.AsyncClient, SafeAsyncClient):
        server.clear()
        for call in (None, resource):
            client: Any = kind(address, key)
            if call is None:
                list_projects_async(partial(same, client))
            else:
                anyio.run(closing, client, partial(resource, client))
        seen.append([e.headers.get("authorization") for e in server.exchanges])
    assert seen[0] == seen[1]
    assert seen[0][0] == "Basic bWU6cGFzcyB3b3Jk"


class Odd(BaseAdapter):
    """An adapter like that of a mocking library: it accepts only one URL."""

    def __init__(self, answers: requests.adapters.HTTPAdapter) -> None:
        super().__init__()
        self.answers = answers

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> Any:  # type: ignore[override]
        if "/sessions?" not in str(request.url):
            raise RuntimeError("not mocked")
        return self.answers.send(request, **kwargs)

    def close(self) -> None:
        self.answers.close()


@pytest.mark.slow
def test_a_probe_that_raises_something_unusual(server: SimulatedLangSmith) -> None:
    """The refusal is still reported, and `diagnose()` does not raise."""
    client = SafeClient(server.url, api_key=GONE, policy=QUICK, auto_batch_tracing=False)
    client.session.mount("http://", Odd(requests.adapters.HTTPAdapter()))
    with pytest.raises(AccessDeniedError, match="could not be determined"):
        list(client.list_projects())
    assert client.diagnose().code == "access-denied"
