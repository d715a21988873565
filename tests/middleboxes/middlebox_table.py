"""The table of middleboxes: one row for each thing a middlebox can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import boxes
import pytest
import tls
from boxes import Box, Config, haproxy, nginx, squid
from conftest import PORTS
from middlebox_calls import CALLS, MORE_CALLS, Call, World, populated

from safe_langsmith._diagnosis import Code
from safe_langsmith.testing import SimulatedLangSmith

OFFICIAL = "api.smith.langchain.com"
OWN = "langsmith.own.example"

# A reverse proxy: at the client's endpoint, or at LangSmith's official host.
# A forward proxy: for a self-hosted LangSmith over http or https, or for the official host.
Place = Literal["own", "official", "http by proxy", "https by proxy", "official by proxy"]


@dataclass(frozen=True)
class Case:
    """What a middlebox does, and what the client should conclude.

    ``ends``: the code of the error. ``passes``: reads and batches succeed after a retry.
    ``arrives``: how many times a write is executed. ``seen``: how many times the middlebox
    receives it. ``says``: patterns in the error; ``unsaid``: a pattern that must be absent.
    """

    name: str
    box: Config
    ends: Code
    arrives: int
    place: Place = "own"
    passes: bool = False
    seen: int = 1
    says: tuple[str, ...] = ()
    unsaid: str = "LANGSMITH_ENDPOINT=https://api.smith.langchain.com"
    calls: tuple[Call, ...] = CALLS
    login: str = ""
    # Enough for two retries. More would only take longer.
    budget_s: float = 2.9


ALL_CALLS = (*CALLS, *MORE_CALLS)
# Requests of the calls only, so that probes get through.
ROUTES = "sessions|datasets|runs|feedback|v1/platform|v2"
ASKED = f"{{ var(txn.path) -m reg ^(/api)?/({ROUTES})(/|$) }}"
OPEN_INFO = "!{ var(txn.path) -m end /info }"
FIRST = "{ sc0_inc_gpc0 eq 1 }"
COUNTED = (
    "stick-table type string len 128 size 1k expire 10m store gpc0",
    "http-request track-sc0 path",
)
JSON_INFO = (
    "http-response return status 403 content-type application/json "
    """string '{"detail":"Forbidden"}' if { var(txn.path) -m end /info }"""
)
STRIPPED = (r"(?is)proxy.*(remov|strip)",)
NEW_KEY = r"(?i)new (api )?key|(make|create) (a|another) "
SIGN_IN = (
    r"location = /signin { default_type text/html; return 200 '<html>Sign in</html>'; }"
)
BOTH_ADDRESSES = (r"{url}(?!/signin)", "{url}/signin")
# Scripts for squid, which sends them a line for each decision.
REFUSE_ONCE = "n=0; while read line; do [ $n = 0 ] && echo ERR || echo OK; n=1; done"
REFUSE_ALL = "while read line; do echo ERR; done"


def odd(body: bytes, kind: str, condition: str, *first: str) -> Config:
    """Replace LangSmith's response with a 403 with this body: the request was executed."""
    rule = f"http-response return status 403 content-type {kind} file $FOLDER/body"
    return haproxy(*first, f"{rule} {condition}", body=body)


JSON, TEXT = "application/json", "text/plain"
ODD: dict[str, tuple[bytes, str]] = {
    "null": (b"null", JSON),
    "an empty body": (b"", JSON),
    "truncated JSON": (b'{"detail":"Forb', JSON),
    "plain text": (b"Access denied.", TEXT),
    "JSON with a BOM": (b'\xef\xbb\xbf{"detail":"Forbidden"}', JSON),
}

REQUEST_FILTERS = (
    Case(
        "nginx refuses every request",
        nginx("return 403;"),
        ends="blocked-by-proxy",
        arrives=0,
        calls=ALL_CALLS,
    ),
    Case(
        "nginx refuses every request to the official host",
        nginx("return 403;", tls=True),
        ends="blocked-by-proxy",
        arrives=0,
        place="official",
    ),
    Case(
        "nginx requires a password",
        # The file is only read if a password is sent.
        nginx('auth_basic "Network"; auth_basic_user_file $FOLDER/users;'),
        ends="blocked-by-proxy",
        arrives=0,
    ),
    Case(
        "haproxy refuses the first request",
        haproxy(*COUNTED, f"http-request deny deny_status 403 if {ASKED} {FIRST}"),
        ends="blocked-by-proxy",
        arrives=0,
        passes=True,
        calls=ALL_CALLS,
        budget_s=8,
    ),
)
RESPONSE_FILTERS = (
    Case(
        "haproxy refuses every response",
        haproxy(f"http-response deny deny_status 403 if {OPEN_INFO}"),
        ends="blocked-by-proxy",
        arrives=1,
        calls=ALL_CALLS,
    ),
    Case(
        "haproxy refuses the first response",
        haproxy(*COUNTED, f"http-response deny deny_status 403 if {ASKED} {FIRST}"),
        ends="blocked-by-proxy",
        arrives=1,
        passes=True,
        calls=ALL_CALLS,
        budget_s=8,
    ),
    Case(
        "squid refuses every response",
        squid("acl open urlpath_regex /info$", "http_reply_access deny !open"),
        ends="blocked-by-proxy",
        arrives=1,
        place="http by proxy",
    ),
    Case(
        "squid intercepts TLS and refuses every response",
        squid(
            "acl open urlpath_regex /info$",
            "acl tunnel method CONNECT",
            "http_reply_access deny !open !tunnel",
            intercepts=True,
        ),
        ends="blocked-by-proxy",
        arrives=1,
        place="official by proxy",
    ),
)
ODD_BODIES = (
    *(
        Case(
            f"haproxy responds with {name}",
            odd(body, kind, f"if {OPEN_INFO}"),
            ends="access-denied",
            arrives=1,
        )
        for name, (body, kind) in ODD.items()
    ),
    *(
        Case(
            f"haproxy responds with {name}, also to /info",
            odd(*ODD[name], ""),
            ends="blocked-by-proxy",
            arrives=1,
        )
        for name in ("null", "plain text")
    ),
    Case(
        "haproxy responds with null, and to /info with JSON",
        odd(*ODD["null"], f"if {OPEN_INFO}", JSON_INFO),
        ends="access-denied",
        arrives=1,
    ),
    Case(
        "haproxy responds with null once",
        odd(*ODD["null"], f"if {ASKED} {FIRST}", *COUNTED),
        ends="access-denied",
        arrives=1,
        calls=tuple(call for call in ALL_CALLS if call.kind == "write"),
        budget_s=8,
    ),
)
STRIPPED_KEYS = (
    Case(
        "nginx strips the key",
        nginx('proxy_set_header x-api-key "";'),
        ends="access-denied",
        arrives=0,
        says=STRIPPED,
        unsaid=NEW_KEY,
        calls=ALL_CALLS,
    ),
    Case(
        "nginx strips the key for the official host",
        nginx('proxy_set_header x-api-key "";', tls=True),
        ends="blocked-by-proxy",
        arrives=0,
        place="official",
        says=STRIPPED,
        unsaid=NEW_KEY,
    ),
)
LOGINS = (
    Case(
        "nginx redirects to a login page",
        nginx("return 302 /signin;", SIGN_IN),
        ends="wrong-endpoint",
        arrives=0,
        says=BOTH_ADDRESSES,
        calls=ALL_CALLS,
    ),
    Case(
        "nginx redirects to a login page that returns 403",
        nginx("return 302 /signin;", "location = /signin { return 403; }"),
        ends="wrong-endpoint",
        arrives=0,
        says=BOTH_ADDRESSES,
        calls=ALL_CALLS,
    ),
)
# No feedback: without a connection, the SDK sends it ten times, with ever longer pauses.
TUNNELED = (*CALLS, *(call for call in MORE_CALLS if "/v2/" in call.request))
REFUSED_TUNNELS = (
    Case(
        "squid refuses CONNECT",
        squid("acl tunnel method CONNECT", "http_access deny tunnel"),
        ends="blocked-by-proxy",
        arrives=0,
        seen=0,
        place="official by proxy",
        says=(r"\b403\b", "HTTPS_PROXY"),
        calls=TUNNELED,
    ),
    Case(
        "squid requires authentication",
        squid(
            "auth_param basic program /bin/sh $FOLDER/helper",
            "acl known proxy_auth REQUIRED",
            "http_access deny !known",
            helper=REFUSE_ALL,
        ),
        ends="blocked-by-proxy",
        arrives=0,
        seen=0,
        place="official by proxy",
        says=(r"\b407\b", "HTTPS_PROXY"),
        calls=TUNNELED,
        login="someone:pass-of-proxy@",
        unsaid="pass-of-proxy",
    ),
)
CASES = (
    *REQUEST_FILTERS,
    *RESPONSE_FILTERS,
    *ODD_BODIES,
    *STRIPPED_KEYS,
    *LOGINS,
    *REFUSED_TUNNELS,
)


@dataclass(frozen=True)
class Stage:
    """A middlebox, the server behind it, and the endpoint of the client."""

    box: Box
    server: SimulatedLangSmith
    world: World
    url: str


@contextmanager
def staged(
    box: Config, place: Place, *, login: str = "", wrong: str = ""
) -> Iterator[Stage]:
    """Run a middlebox in front of a server, and set the environment for a client.

    ``login``: the credentials for a proxy. ``wrong``: what is wrong with its certificate.
    """
    proxied, host = "proxy" in place, OFFICIAL if "official" in place else OWN
    chain, private = tls.files_for(host)
    behind_tls = proxied and place != "http by proxy"
    with (
        pytest.MonkeyPatch.context() as patch,
        SimulatedLangSmith(
            ssl_certfile=chain if behind_tls else None,
            ssl_keyfile=private if behind_tls else None,
        ) as server,
        boxes.running(box, server.port, host=host, wrong=wrong) as running,
    ):
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.setenv(name, tls.authority_file())
        url = f"https://{OFFICIAL}"
        if proxied:
            for name in ("HTTP_PROXY", "HTTPS_PROXY"):
                patch.setenv(name, f"http://{login}127.0.0.1:{running.port}")
        if place == "official":
            PORTS[OFFICIAL] = running.port
        elif place != "official by proxy":
            scheme = "https" if behind_tls else "http"
            url = f"{scheme}://{OWN}:{server.port}" if proxied else running.url
            patch.setenv("LANGSMITH_ENDPOINT", url)
        yield Stage(running, server, populated(server), url)
        PORTS.clear()
