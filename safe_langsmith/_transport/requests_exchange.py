"""One refused request of `requests`: its response, and how to resend it."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth, rewind_body

from safe_langsmith._decision.protocol import Refusal, Reply
from safe_langsmith._knowledge.access import Access, is_sure_refusal
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._knowledge.operations import is_read, is_trace, operation
from safe_langsmith._sdk.clients import access_of as own_access
from safe_langsmith._sdk.clients import destinations_of, headers_of
from safe_langsmith._sdk.guard import PassedOn
from safe_langsmith._sdk.modules import is_rewindable_form
from safe_langsmith._transport.budget import Clock
from safe_langsmith._transport.messages import (
    BODY_LIMIT,
    TooLargeError,
    access_of,
    cut,
    moved_on,
    refused_reply,
    resent_headers,
    target_of,
    tie,
)
from safe_langsmith._transport.owner import Owner, state_of
from safe_langsmith._transport.passed_on import secrets_in
from safe_langsmith._transport.responses import first_request, lost_its_method


class RequestsExchange:
    """One refused request of `requests`: its response, and how to resend it."""

    def __init__(
        self, owner: Owner, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> None:
        self.owner = owner
        self.session: Any = owner.session  # type: ignore[attr-defined]  # it is a sync one
        self.response = response
        self.kwargs = kwargs
        # The SDK's own request; requests may have followed a redirect since.
        answered = response.request
        self.request = first_request(answered)
        asked, self.method = self.request.url or "", self.request.method or ""
        self.redirected_to = moved_on(asked, answered.url or "")
        self.came_as_get = lost_its_method(answered)
        own = own_access(owner)
        self.target = target_of(asked, (own.endpoint, *destinations_of(owner)))
        self.access = access_of(self.target.endpoint, self.request.headers, own)
        self.home = self.access.endpoint
        self.operation = operation(self.method, self.target.path)
        self.is_read = is_read(self.method, self.target.path)
        self.is_trace = is_trace(self.method, self.target.path)

    def reply(self) -> Reply:
        """The response as plain data; the body of a success is not read."""
        response, kind = self.response, self.response.headers.get("Content-Type", "")
        has_words = response.status_code >= 400 or "html" in kind
        try:
            if is_sure_refusal(response.status_code, kind):
                _read_refusal(response, Clock(state_of(self.owner).policy.budget_s))
            body = response.content if has_words else b""
        except OSError as error:
            response.close()  # the SDK drops it without closing its socket
            raise PassedOn(error) from error
        reply = refused_reply(response, body)
        if not self.redirected_to:
            return reply
        return replace(
            reply, redirected_to=self.redirected_to, came_as_get=self.came_as_get
        )

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""
        return Refusal(
            method=self.method,
            path=self.target.path,
            reply=self.reply(),
            access=self.access,
            worked=worked,
            replayable=_is_replayable(self.request)
            and hasattr(self.session, "get_adapter"),
            login=self._login(),
            tied_by=self._tied_by(),
            secrets=secrets_in(self.owner, self.request.headers),
        )

    def _login(self) -> str:
        """The source of an `Authorization` that is not the client's own, or ""."""
        session, request = self.session, self.request
        given = {name.lower() for name in headers_of(self.owner)}
        if "Authorization" not in request.headers or "authorization" in given:
            return ""
        if getattr(session, "auth", None) or "Authorization" in session.headers:
            return "your session"
        found = session.trust_env and get_netrc_auth(request.url or "")
        return "your .netrc file" if found else "this request"

    def _tied_by(self) -> str:
        """What binds the request to its host, other than its key; or ""."""
        if login := self._login():
            return f"the login from {login}"
        if self.kwargs.get("cert"):
            return "the certificate of your session"
        return tie(self.owner, self.request.headers)

    def resend(self, access: Access) -> Reply:
        """Resend the request with this endpoint, key and workspace, and the whole body."""
        refused, request = self.response, self.request.copy()
        _ = refused.content  # a connection can be reused once the body has been read
        refused.close()
        request.url = self.target.url(access.endpoint)
        headers = resent_headers(request.headers, access, self.access)
        request.headers = CaseInsensitiveDict(headers)
        if is_rewindable_form(request.body):
            request.body.seek(0)  # type: ignore[union-attr]
        elif request._body_position is not None:
            rewind_body(request)
        session, kwargs = self.session, self.kwargs
        if not same_origin(access.endpoint, self.home):
            # Another host may need another proxy, and gets no client certificate.
            there = session.merge_environment_settings(request.url, {}, None, None, None)
            kwargs = {**kwargs, "proxies": there["proxies"], "cert": None}
        started = time.perf_counter()
        try:
            self.response = session.get_adapter(request.url).send(request, **kwargs)
        except Exception as error:  # no response: raise what the plain client would raise
            raise PassedOn(error) from error
        self.response.elapsed = timedelta(seconds=time.perf_counter() - started)
        self.request, self.access = request, access
        if self.response.is_redirect:
            self.response.close()  # it will not be read
        return self.reply()


def _read_refusal(response: requests.Response, clock: Clock) -> None:
    """Read the body of a refusal, up to a size and time limit.

    The plain client would read for as long as data arrives.
    """
    if response._content is not False:
        return
    pieces: list[bytes] = []
    try:
        pieces.extend(pieces_of(response, clock))
        response._content = b"".join(pieces)
    except (OSError, ValueError):
        if clock.left and sum(map(len, pieces)) <= BODY_LIMIT:
            raise
        cut(response, b"".join(pieces))
    response.close()
    response._content_consumed = True


def pieces_of(response: requests.Response, clock: Clock) -> Iterator[bytes]:
    """The pieces of a body, up to a size and time limit."""
    # A read can go on forever if single bytes arrive; only closing the socket ends it.
    end = threading.Timer(clock.left, _shut, (weakref.ref(response),))
    end.daemon = True
    with contextlib.suppress(RuntimeError):  # at interpreter shutdown
        end.start()
    size = 0
    try:
        for piece in response.iter_content(16_384):
            yield piece
            size += len(piece)
            if size > BODY_LIMIT:
                raise TooLargeError("the response is too large")
            if not clock.left:
                raise requests.ReadTimeout
    except requests.RequestException as broken:
        if clock.left:
            raise
        # Our closing of the socket looks like a broken connection.
        raise requests.ReadTimeout from broken
    finally:
        end.cancel()


def _shut(ref: weakref.ref[requests.Response]) -> None:
    """End a read of this body from another thread, if this urllib3 supports it."""
    with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
        ref().raw.shutdown()  # type: ignore[union-attr]  # it may be freed already


def _is_replayable(request: requests.PreparedRequest) -> bool:
    """Whether the body can be sent again: it is in memory, or can be rewound."""
    body = request.body
    # The SDK's own form can rewind itself; requests does not record its position.
    if body is None or isinstance(body, (bytes, str)) or is_rewindable_form(body):
        return True
    return isinstance(request._body_position, int) and hasattr(body, "seek")
