"""Converts HTTP messages to plain data and back: target, access, headers, response."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin

from requests.utils import default_headers

from safe_langsmith._decision.protocol import Probe, Reply
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of, origin, same_origin
from safe_langsmith._sdk.clients import access_of as own_access
from safe_langsmith._sdk.clients import given_headers, headers_of, http_of, is_sync
from safe_langsmith._transport.owner import Owner
from safe_langsmith._transport.passed_on import text_of

BODY_LIMIT = 1_000_000
_SDKS = frozenset({"x-api-key", "x-tenant-id"})
_CREDENTIALS = _SDKS | {"authorization"}
# Headers about the sender that may go to another host: see `_travels` for the others.
_TRAVELLING = frozenset({"accept", "accept-encoding", "user-agent"})


class TooLargeError(ValueError):
    """A response that is larger than `BODY_LIMIT`."""


class Target(NamedTuple):
    """Where a request went: the endpoint, and the path below it.

    ``below_base``: the path is below the endpoint without its ``/api/v1``, as the
    generated resources send it.
    """

    endpoint: str
    path: str
    below_base: bool = False

    def url(self, endpoint: str) -> str:
        """The same path below another endpoint."""
        return (base_of(endpoint) if self.below_base else endpoint) + self.path


def target_of(url: str, endpoints: tuple[str, ...]) -> Target:
    """Find the endpoint of a request among those of its client; if none: its origin."""
    for endpoint in endpoints:
        if _is_below(url, endpoint):
            return Target(endpoint, url.removeprefix(endpoint))
    for endpoint in endpoints:
        if _is_below(url, base_of(endpoint)):
            return Target(endpoint, url.removeprefix(base_of(endpoint)), below_base=True)
    return Target(origin(url), url.removeprefix(origin(url)))


def _is_below(url: str, endpoint: str) -> bool:
    """Whether a URL is below an endpoint; port 8080 is not below port 80."""
    return url.startswith(endpoint) and url[len(endpoint) :][:1] in ("", "/", "?")


def access_of(endpoint: str, headers: Mapping[str, str | bytes], own: Access) -> Access:
    """What a request sent. ``own``: what its client sends now.

    A token is the client's session only if the client has one and uses that host.
    """
    token = (text_of(headers.get("Authorization")) or "").startswith("Bearer ")
    key, workspace = text_of(headers.get("x-api-key")), text_of(headers.get("X-Tenant-Id"))
    at_home = same_origin(endpoint, own.endpoint)
    session = not key and token and own.session and at_home
    other = (token and not session) or bool(headers.get("X-Service-Key"))
    # At the client's own host, a cookie may be unrelated; elsewhere it may authenticate.
    other |= bool(headers.get("Cookie")) and not at_home
    return Access(endpoint, key, workspace, session, foreign=not key and other)


def resent_headers(
    headers: Mapping[str, Any], access: Access, old: Access
) -> dict[str, Any]:
    """The headers to resend a refused request with another access.

    Anything added by a session, a `.netrc`, cookies or ``headers=`` belongs to the original
    host, and is not sent to another one.
    """
    names = {*_CREDENTIALS} if old.session and access.key else {"x-api-key", "x-tenant-id"}
    kept = {n: v for n, v in headers.items() if n.lower() not in names}
    if not same_origin(access.endpoint, old.endpoint):
        kept = {n: v for n, v in headers.items() if _travels(n.lower())}
    own = {"x-api-key": access.key, "X-Tenant-Id": access.workspace}
    return {**kept, **{name: value for name, value in own.items() if value}}


def _travels(name: str) -> bool:
    return name in _TRAVELLING or name.startswith(("content-", "langsmith-"))


def is_set_by_user(name: str) -> bool:
    """Whether a header of this name was set by the user, not by the SDK or `requests`."""
    low = name.lower()
    return not (_travels(low) or low in _SDKS or low == "connection")


def probe_headers(owner: Owner, probe: Probe, home: str) -> dict[str, str]:
    """The headers of a probe. ``home``: the endpoint of the refused request.

    The client's own headers go only to its own host; another host gets only the probe's.
    """
    headers = {"Accept": "application/json"}
    if not probe.alone and same_origin(home, own_access(owner).endpoint):
        own = headers_of(owner).items() if same_origin(probe.url, home) else ()
        headers |= {n: v for n, v in own if n.lower() not in _CREDENTIALS}
    if probe.key:
        headers["x-api-key"] = probe.key
    elif probe.session and same_origin(probe.url, own_access(owner).endpoint):
        own_headers = {n.lower(): v for n, v in headers_of(owner).items()}
        headers["Authorization"] = own_headers.get("authorization", "")
    if probe.workspace:
        headers["X-Tenant-Id"] = probe.workspace
    return headers


def tie(owner: Owner, headers: Mapping[str, Any]) -> str:
    """What binds a request to its host: a credential other than the key, or "".

    It is useless at another host, and the request may not work without it.
    """
    given = {n.lower() for n in given_headers(owner)} - {"x-api-key", "x-tenant-id"}
    if given:
        return "what the headers argument adds"
    if of_session := tied_by(owner):
        return of_session
    found = next((n for n in ("Authorization", "X-Service-Key") if n in headers), "")
    return f"the header {found}" if found else ""


def tied_by(owner: Owner) -> str:
    """What binds a client to its host, other than the key; or ""."""
    if not is_sync(owner):
        http = http_of(owner)
        if http.params:
            return "a parameter of your client"
        return "a cookie of your client" if _has_own_cookie(http.cookies.jar) else ""
    session: Any = owner.session  # type: ignore[attr-defined]  # it is a sync one
    for name, what in (("cert", "certificate"), ("auth", "login"), ("params", "parameter")):
        if getattr(session, name, None):
            return f"the {what} of your session"
    headers = {*getattr(session, "headers", ())} - {*default_headers()}
    if any(map(is_set_by_user, headers)):
        return "a header of your session"
    cookies = getattr(session, "cookies", ())
    return "a cookie of your session" if _has_own_cookie(cookies) else ""


def _has_own_cookie(cookies: Any) -> bool:
    """Whether a cookie was set by hand. One from a server is sent only to that server."""
    return any(not c.domain or c.domain_specified for c in cookies)


def reply_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    asked: str = "",
    is_cut: bool = False,
) -> Reply:
    """A response as plain data. ``asked``: the URL that was requested.

    A redirect is not followed; its target is in ``redirected_to``.
    """
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    kind = headers.get("Content-Type", "").lower()
    is_cut = is_cut or len(body) > BODY_LIMIT
    there = ""
    if asked and 300 <= status < 400 and "Location" in headers:
        with contextlib.suppress(ValueError):
            there = urljoin(asked, headers["Location"])
    return Reply(
        status, text, kind, _retry_after(headers.get("Retry-After", "")), is_cut, there
    )


def moved_on(asked: str, answered: str) -> str:
    """The URL that responded, if it is not the requested one.

    LangSmith itself redirects from a URL with a trailing slash to one without.
    """
    plain = [url.partition("?")[0].rstrip("/") for url in (asked, answered)]
    return answered if plain[0] != plain[1] else ""


def cut(response: Any, body: bytes) -> None:
    """Set the body of a response that was not read completely, and mark it as cut."""
    response._content = body
    vars(response)["is_cut"] = True


def refused_reply(response: Any, body: bytes) -> Reply:
    """The response to the refused request as plain data, with the mark from `cut`."""
    is_cut = "is_cut" in vars(response)
    asked = str(response.request.url or "")
    headers = response.headers
    return reply_of(response.status_code, headers, body, asked=asked, is_cut=is_cut)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from either form of the Retry-After header."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text)
        return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())
    return None
