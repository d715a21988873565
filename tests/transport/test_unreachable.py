"""Tests for failed connections: each problem has its own text and fix."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import requests
import tls
from langsmith.utils import LangSmithConnectionError
from stage import assert_no_secret

from safe_langsmith import (
    BlockedByProxyError,
    Diagnosis,
    Policy,
    SafeAsyncClient,
    SafeClient,
)
from safe_langsmith._settings.network import Network, Proxy
from safe_langsmith._transport.unreachable import trouble_in, tunnel_refusal
from safe_langsmith.testing import SimulatedLangSmith

KEY = "lsv2_pt_00000000000000000000000000000000_1234567890"
KINDS = pytest.mark.parametrize("kind", [SafeClient, SafeAsyncClient])


class Listener:
    """A TCP server that sends one text to each connection, or nothing."""

    def __init__(self, answer: str | None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self._thread.start()

    def _serve(self, answer: str | None) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                self._open.append(line)
                if answer is not None:
                    line.recv(65_536)
                    line.sendall(f"HTTP/1.1 {answer}\r\n\r\n".encode())
                    line.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self._open):
            one.close()
        self._thread.join(10)


class Net:
    """The names that a row can use: closed ports, servers, files."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        closed = socket.create_server(("127.0.0.1", 0))
        self.names = {"closed": f"127.0.0.1:{closed.getsockname()[1]}"}
        closed.close()
        self.names["bundle"] = tls.authority_file()

    def __getitem__(self, name: str) -> str:
        if name not in self.names:
            self.names[name] = self._serve(*name.partition("-")[::2])
        return self.names[name]

    def _serve(self, what: str, more: str) -> str:
        if what == "tls":  # with a certificate that is invalid in this way
            files = tls.wrong_files_for("localhost", more)
            served = SimulatedLangSmith(ssl_certfile=files[0], ssl_keyfile=files[1])
            return f"localhost:{self._stack.enter_context(served).port}"
        if what == "plain":
            return f"127.0.0.1:{self._stack.enter_context(SimulatedLangSmith()).port}"
        listener = Listener(None if what == "silent" else ANSWERS[more])
        self._stack.callback(listener.close)
        return listener.address

    def close(self) -> None:
        self._stack.close()


ANSWERS = {
    "403": "403 Forbidden",
    "403bare": "403 ",
    "403words": "403 blocked by policy-7",
    "407": "407 Proxy Authentication Required",
    "502": "502 Bad Gateway",
}


@dataclass(frozen=True)
class Row:
    """The settings, and the expected texts. ``{names}`` are those of `Net`.

    ``requests``, ``httpx``: the next step, if it depends on the library.
    """

    name: str
    endpoint: str
    environ: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    found: str = ""
    step: str = ""
    requests: str = ""
    httpx: str = ""
    code: str = "unknown"

    def __str__(self) -> str:
        return self.name


OFFICIAL = "https://api.smith.langchain.com"
OWN = "https://langsmith.own.example"
CA = "the CA certificate of your server, or of your network's proxy"
ROWS = (
    Row(
        "name, official",
        OFFICIAL,
        summary="the host name of https://api.smith.langchain.com was not found.",
        found="no response from https://api.smith.langchain.com: host name not found",
        step="check your internet connection, DNS, and VPN; if your network needs a "
        "proxy, set HTTPS_PROXY",
    ),
    Row(
        "name, own",
        "https://nowhere.invalid",
        summary="the host name of https://nowhere.invalid was not found.",
        step="check LANGSMITH_ENDPOINT, DNS, and VPN",
    ),
    Row(
        "refused",
        "http://{closed}",
        summary="http://{closed} refused the connection.",
        found="no response from http://{closed}: connection refused",
        step="check LANGSMITH_ENDPOINT, and that the server is running",
    ),
    Row(
        "timeout",
        "http://{silent}",
        summary="http://{silent} did not respond in time.",
        step="check LANGSMITH_ENDPOINT, and VPN or firewall",
    ),
    Row(
        "https to a port that serves http",
        "https://{plain}",
        summary="no TLS connection to https://{plain}.",
        found="TLS handshake failed (WRONG_VERSION_NUMBER)",
        step="check LANGSMITH_ENDPOINT: this port does not speak https",
    ),
    Row(
        "certificate, no variable",
        "https://{tls-authority}",
        {"SSL_CERT_FILE": ""},
        summary="the certificate of https://{tls-authority} is not trusted.",
        found="certificate not trusted (unable to get local issuer certificate)",
        requests="set REQUESTS_CA_BUNDLE (and SSL_CERT_FILE for client.runs) to a "
        f"file with {CA}",
        httpx=f"set SSL_CERT_FILE to a file with {CA}",
    ),
    Row(
        "certificate, the variable is set",
        "https://{tls-authority}",
        {"REQUESTS_CA_BUNDLE": "{bundle}", "SSL_CERT_FILE": "{bundle}"},
        requests=f"add {CA} to the file in REQUESTS_CA_BUNDLE",
        httpx=f"add {CA} to the file in SSL_CERT_FILE",
    ),
    Row(
        "certificate, the second variable is set",
        "https://{tls-authority}",
        {"CURL_CA_BUNDLE": "{bundle}", "SSL_CERT_FILE": "{bundle}"},
        requests=f"add {CA} to the file in CURL_CA_BUNDLE",
    ),
    Row(
        "certificate, the other library's variable is set",
        "https://{tls-authority}",
        {"SSL_CERT_FILE": "{bundle}"},
        requests=f"set REQUESTS_CA_BUNDLE to a file with {CA}; SSL_CERT_FILE is set, but "
        "not read here",
    ),
    Row(
        "certificate, of another name",
        "https://{tls-name}",
        {"REQUESTS_CA_BUNDLE": "{bundle}", "SSL_CERT_FILE": "{bundle}"},
        summary="the certificate of https://{tls-name} is not valid.",
        step="check LANGSMITH_ENDPOINT, and the clock of this machine",
    ),
    Row(
        "certificate, expired",
        "https://{tls-expired}",
        {"REQUESTS_CA_BUNDLE": "{bundle}", "SSL_CERT_FILE": "{bundle}"},
        found="(certificate has expired)",
        step="check LANGSMITH_ENDPOINT, and the clock of this machine",
    ),
    Row(
        "proxy, name",
        OWN,
        {"HTTPS_PROXY": "http://me:secret@proxy.invalid:3128"},
        summary="the host name of the proxy was not found.",
        found="requests to https://langsmith.own.example go through the proxy in "
        "HTTPS_PROXY (http://proxy.invalid:3128)",
        step="correct the URL in HTTPS_PROXY",
    ),
    Row(
        "proxy, refused",
        OFFICIAL,
        {"https_proxy": "http://{closed}"},
        summary="the proxy refused the connection.",
        found="the proxy in https_proxy (http://{closed})",
        step="check the URL in https_proxy, and that the proxy is running",
    ),
    Row(
        "proxy for all",
        OWN,
        {"ALL_PROXY": "http://{closed}", "HTTP_PROXY": "http://other.invalid"},
        summary="the proxy refused the connection.",
        step="check the URL in ALL_PROXY, and that the proxy is running",
    ),
    Row(
        "proxy that is not for this host",
        "http://{closed}",
        {"HTTP_PROXY": "http://proxy.invalid:1", "no_proxy": "other.example, 127.0.0.1"},
        summary="http://{closed} refused the connection.",
        step="check LANGSMITH_ENDPOINT, and that the server is running",
    ),
    Row(
        "proxy, timeout",
        OWN,
        {"HTTPS_PROXY": "http://{silent}"},
        summary="https://langsmith.own.example did not respond in time.",
        step="check LANGSMITH_ENDPOINT, and VPN or firewall; requests go through "
        "HTTPS_PROXY",
    ),
    *(
        Row(
            f"proxy, {answer}",
            OWN,
            {"HTTPS_PROXY": f"http://{{tunnel-{answer}}}"},
            summary="GET /sessions was not sent: the proxy refused to connect to "
            f"https://langsmith.own.example ({ANSWERS[answer].strip()}).",
            found=f"HTTPS_PROXY names the proxy http://{{tunnel-{answer}}}",
            step=step,
            code="blocked-by-proxy",
        )
        for answer, step in (
            (
                "403",
                "; if it can be reached without the proxy, add it to NO_PROXY",
            ),
            ("403bare", "ask the admin of the proxy in HTTPS_PROXY to allow"),
            ("403words", "ask the admin of the proxy in HTTPS_PROXY to allow"),
            (
                "407",
                "the proxy requires a login: add user name and password to HTTPS_PROXY",
            ),
        )
    ),
    Row(
        "proxy, 407 to a login",
        OWN,
        {"all_proxy": "http://me:secret@{tunnel-407}"},
        summary="(407 Proxy Authentication Required).",
        step="the proxy rejected the login: correct user name and password in all_proxy",
        code="blocked-by-proxy",
    ),
    Row(
        "proxy, 502",
        OWN,
        {"HTTPS_PROXY": "http://{tunnel-502}", "NO_PROXY": "127.0.0.1"},
        summary="the proxy did not connect.",
        found="it returned 502 Bad Gateway",
        step="check HTTPS_PROXY",
    ),
)


@pytest.fixture
def net() -> Iterator[Net]:
    opened = Net()
    yield opened
    opened.close()


def fill(text: str, net: Net) -> str:
    for name in {part.partition("}")[0] for part in text.split("{")[1:]}:
        text = text.replace(f"{{{name}}}", net[name])
    return text


def asked(kind: type[Any], patch: pytest.MonkeyPatch, net: Net, row: Row) -> Any:
    patch.setenv("LANGSMITH_ENDPOINT", fill(row.endpoint, net))
    patch.setenv("LANGSMITH_API_KEY", KEY)
    for name, value in row.environ.items():
        patch.setenv(name, fill(value, net))
    more = {"auto_batch_tracing": False} if kind is SafeClient else {}
    slow = "timeout" in row.name
    return kind(policy=Policy(budget_s=0.2 if slow else 4.0), timeout_ms=4_000, **more)


def looked(client: Any) -> Diagnosis:
    if isinstance(client, SafeClient):
        return client.diagnose()

    async def look() -> Diagnosis:
        try:
            return await client.diagnose()  # type: ignore[no-any-return]
        finally:
            await client.aclose()

    return anyio.run(look)


@KINDS
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_trouble_has_its_own_line_and_step(
    row: Row, kind: type[Any], net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnosis = looked(asked(kind, monkeypatch, net, row))
    assert diagnosis.code == row.code
    assert not diagnosis.resolved
    assert fill(row.summary, net) in diagnosis.summary
    assert fill(row.found, net) in "\n".join(f.text for f in diagnosis.findings)
    step = row.step or (row.requests if kind is SafeClient else row.httpx)
    assert len(diagnosis.next_steps) == 1
    assert step in diagnosis.next_steps[0]
    text = f"{diagnosis.report()}{diagnosis!r}{diagnosis._repr_html_()}"
    assert "me:secret" not in text
    assert_no_secret(text, [KEY])


# --- cases for one library only ----------------------------------------------------------


def test_no_key_and_no_answer(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both problems get a next step."""
    monkeypatch.setenv("LANGSMITH_ENDPOINT", fill("http://{closed}", net))
    client = SafeClient(auto_batch_tracing=False)
    with client.session:
        reach, key = client.diagnose().next_steps
    assert reach.startswith("check LANGSMITH_ENDPOINT")
    assert key.startswith("set LANGSMITH_API_KEY")


@dataclass(frozen=True)
class SessionRow:
    """The session of a sync client, and the expected texts."""

    name: str
    environ: dict[str, str]
    session: dict[str, Any]
    summary: str
    step: str

    def __str__(self) -> str:
        return self.name


SESSIONS = (
    SessionRow(
        "the CA file does not exist",
        {"REQUESTS_CA_BUNDLE": "/nowhere.pem"},
        {},
        "the file with CA certificates was not found.",
        "correct the path in REQUESTS_CA_BUNDLE",
    ),
    SessionRow(
        "the URL of the proxy is invalid",
        {"HTTPS_PROXY": "htp://proxy.invalid"},
        {},
        "the URL of the proxy is not valid.",
        "correct HTTPS_PROXY",
    ),
    SessionRow(
        "a proxy of the session",
        {},
        {"proxies": {"https": "http://{closed}"}},
        "the proxy refused the connection.",
        "check the URL in the proxy settings of your session, and that the proxy is",
    ),
    SessionRow(
        "a session that ignores the environment",
        {"HTTPS_PROXY": "http://{closed}"},
        {"trust_env": False},
        "the host name of https://langsmith.own.example was not found.",
        "check LANGSMITH_ENDPOINT, DNS, and VPN",
    ),
    SessionRow(
        "a proxy of the session that refuses",
        {},
        {"proxies": {"https": "http://{tunnel-403}"}},
        "the proxy refused to connect to https://langsmith.own.example (403 Forbidden).",
        "ask the admin of your proxy to allow https://langsmith.own.example",
    ),
    SessionRow(
        "a proxy of the session that requires a login",
        {},
        {"proxies": {"https": "http://{tunnel-407}"}},
        "(407 Proxy Authentication Required).",
        "add user name and password to the URL of your proxy",
    ),
    SessionRow(
        "a proxy that needs another library",
        {"HTTPS_PROXY": "socks5://{closed}"},
        {},
        "LangSmith could not be reached: no response.",
        "check the URL of the proxy in HTTPS_PROXY",
    ),
    SessionRow(
        "a custom adapter that raises an unexpected error",
        {},
        {"adapter": KeyError("no")},
        "LangSmith could not be reached: no response.",
        "check your connection and LANGSMITH_ENDPOINT",
    ),
)


class Raising(requests.adapters.HTTPAdapter):
    """Raises a given error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def send(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("row", SESSIONS, ids=str)
def test_a_session(row: SessionRow, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Row(row.name, OWN, row.environ)
    client = asked(SafeClient, monkeypatch, net, setting)
    for name, value in row.session.items():
        if name == "adapter":
            client.session.mount("https://", Raising(value))
        elif name == "proxies":
            client.session.proxies = {n: fill(v, net) for n, v in value.items()}
        else:
            setattr(client.session, name, value)
    diagnosis = client.diagnose()
    assert row.summary in diagnosis.summary
    assert row.step in diagnosis.next_steps[0]


@KINDS
@pytest.mark.parametrize(
    ("endpoint", "environ", "is_typed"),
    [
        ("http://{closed}", {}, False),
        (OWN, {"HTTPS_PROXY": "http://{tunnel-502}"}, False),
        (OWN, {"HTTPS_PROXY": "http://{tunnel-403}"}, True),
        (OWN, {"https_proxy": "http://{tunnel-403words}"}, True),
        (OWN, {"ALL_PROXY": "http://{tunnel-403bare}"}, True),
        (OWN, {"HTTPS_PROXY": "http://{tunnel-407}"}, True),
    ],
)
def test_what_whoami_raises(
    endpoint: str,
    environ: dict[str, str],
    is_typed: bool,
    kind: type[Any],
    net: Net,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection error; if a proxy refuses, also the typed error."""
    client = asked(kind, monkeypatch, net, Row("", endpoint, environ))

    def ask() -> Any:
        return client.whoami() if kind is SafeClient else anyio.run(client.whoami)

    with pytest.raises(LangSmithConnectionError) as caught:
        ask()
    assert isinstance(caught.value, BlockedByProxyError) == is_typed
    assert next(iter(environ), "LANGSMITH_ENDPOINT") in str(caught.value)


def test_what_the_caller_is_handling_is_not_the_reason(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python sets it as the __context__ of every error that is raised meanwhile."""
    client = asked(SafeAsyncClient, monkeypatch, net, Row("", OWN))
    client._client._transport = None  # using it is an AttributeError

    async def look() -> Diagnosis:
        try:
            socket.create_connection(("127.0.0.1", int(net["closed"].partition(":")[2])))
        except ConnectionRefusedError:
            return await client.diagnose()  # type: ignore[no-any-return]
        raise AssertionError

    assert anyio.run(look).summary == "LangSmith could not be reached: no response."


# --- unit tests -------------------------------------------------------------------------


def linked(*errors: BaseException) -> BaseException:
    """Chain these errors: each is the __context__ of the one before."""
    for one, behind in itertools.pairwise(errors):
        one.__context__ = behind
    return errors[0]


class ProxyError(Exception):
    """Named like the proxy errors of three libraries."""


class Group(Exception):  # noqa: N818
    """Like an ExceptionGroup, which Python 3.10 does not have."""

    exceptions = (ValueError("::1"), ConnectionRefusedError())


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (OSError("All connection attempts failed"), ("", "")),
        (linked(OSError(), Group()), ("refused", "")),
        (linked(ValueError(), TimeoutError(), ssl.SSLWantReadError()), ("timeout", "")),
        (requests.ReadTimeout(), ("timeout", "")),
        (ProxyError("403 "), ("tunnel", "403")),
        (ProxyError("407 \x1b[31mred"), ("tunnel", "407")),
        (ProxyError("4031 Forbidden"), ("", "")),
        (ValueError("403 Forbidden"), ("", "")),
        (linked(*(ValueError() for _ in range(99)), TimeoutError()), ("", "")),
    ],
)
def test_troubles(error: BaseException, trouble: tuple[str, str]) -> None:
    error.__cause__ = error.__cause__ or error  # a loop must also end
    assert trouble_in(error) == trouble


def test_only_403_and_407_are_refusals() -> None:
    assert tunnel_refusal(ProxyError("502 Bad Gateway")) == ""


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, OWN, ("HTTPS_PROXY", "http://p:1")),
        ({"HTTPS_PROXY": "p:1"}, OWN, ("HTTPS_PROXY", "http://p:1")),
        ({"HTTPS_PROXY": "socks5://p:1"}, OWN, ("HTTPS_PROXY", "socks5://p:1")),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, OWN, ("", "")),
        ({"HTTPS_PROXY": "http://p", "https_proxy": "q"}, OWN, ("https_proxy", "http://q")),
        ({"HTTPS_PROXY": "", "All_Proxy": "http://p"}, OWN, ("All_Proxy", "http://p")),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, OWN, ("", "")),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".own.example"}, OWN, ("", "")),
        (
            {"HTTPS_PROXY": "http://p", "NO_PROXY": "n.example,"},
            OWN,
            ("HTTPS_PROXY", "http://p"),
        ),
        ({"HTTP_PROXY": "http://p"}, OWN, ("", "")),
        ({"ALL_PROXY": "http://p"}, "no address", ("ALL_PROXY", "http://p")),
    ],
)
def test_the_proxy_in_force(
    variables: dict[str, str], url: str, proxy: tuple[str, str]
) -> None:
    assert Network(variables).proxy(url) == Proxy(*proxy)
