"""One refused request of httpx: its response, and how to resend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from safe_langsmith._decision.protocol import Refusal, Reply
from safe_langsmith._diagnosis import Diagnosis
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.keys import mask, scrub
from safe_langsmith._knowledge.operations import is_read, is_trace, operation
from safe_langsmith._sdk.clients import access_of as own_access
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._transport.flights import for_operation
from safe_langsmith._transport.httpx_requests import lost_its_method
from safe_langsmith._transport.messages import (
    access_of,
    moved_on,
    refused_reply,
    resent_headers,
    target_of,
    tie,
)
from safe_langsmith._transport.owner import Owner
from safe_langsmith._transport.passed_on import secrets_in
from safe_langsmith.errors import AccessDeniedError, error_for, resource_error_for

# Extensions: RESENT marks a resent request, LOCATION is where a response redirected it.
RESENT, LOCATION = "safe_langsmith.resent", "safe_langsmith.location"


class HttpxExchange:
    """One refused request of httpx: its response, and how to resend it."""

    def __init__(
        self, owner: Owner, request: httpx.Request, response: httpx.Response
    ) -> None:
        self.owner = owner
        self.first = self.request = request
        self.response = response
        self.replayable = False
        self.body: bytes | None = None
        own = own_access(owner)
        self.target = target_of(str(request.url), (own.endpoint,))
        self.access = access_of(self.target.endpoint, request.headers, own)
        self.home = self.access.endpoint
        self.operation = operation(request.method, self.target.path)
        self.is_read = is_read(request.method, self.target.path)
        self.is_trace = is_trace(request.method, self.target.path)

    def keep(self, body: bytes | None) -> None:
        """Keep the body if it was read completely.

        A stream that was consumed before returns less, and one of unknown length may.
        """
        if body is None:
            return
        self.body = body or None
        headers = self.request.headers
        size = int(headers.get("Content-Length", len(body)))
        self.replayable = len(body) == size and "Transfer-Encoding" not in headers

    def reply(self) -> Reply:
        """The response as plain data; the body of a success is not read."""
        response = self.response
        body = response.content if self._is_read() else b""
        reply = refused_reply(response, body)
        asked, answered = str(self.request.url), str(response.request.url)
        there = response.extensions.get(LOCATION) or moved_on(asked, answered)
        if not there:
            return reply
        as_get = lost_its_method(self.first, response.request)
        return replace(reply, redirected_to=there, came_as_get=as_get)

    def _is_read(self) -> bool:
        page = "html" in self.response.headers.get("Content-Type", "")
        return bool(self.response.status_code >= 400 or page)

    def refusal(self, *, worked: bool) -> Refusal:
        """The refused request as plain data."""
        return Refusal(
            method=self.request.method,
            path=self.target.path,
            reply=self.reply(),
            access=self.access,
            worked=worked,
            replayable=self.replayable,
            tied_by=tie(self.owner, self.request.headers),
            secrets=secrets_in(self.owner, self.request.headers),
        )

    def again(self, access: Access) -> httpx.Request:
        """The request with another access and the same body."""
        before = self.request
        self.request = httpx.Request(
            before.method,
            self.target.url(access.endpoint),
            headers=resent_headers(before.headers, access, self.access),
            content=self.body,
            extensions={**before.extensions, RESENT: True},
        )
        self.access = access
        return self.request

    def take(self, response: httpx.Response) -> bool:
        """Keep the latest response. Returns whether its body must be read."""
        self.response = response
        return self._is_read()

    def end(self, diagnosis: Diagnosis | None, *, generated: bool) -> None:
        """Make the SDK raise the error for a diagnosis when it checks the status."""
        if diagnosis is None:
            return
        response = self.response
        told = for_operation(diagnosis, self.operation, response.status_code)
        error: AccessDeniedError
        if generated:
            error = resource_error_for(told, response, self._redacted_body())
        else:
            # A sandbox client has its own error classes.
            kinds: Mapping[int, Any] = getattr(self.owner, "errors", {})
            kind = kinds.get(response.status_code) or kinds.get(0)
            error = error_for(told, instead_of=kind and kind(""))
        held = [error]

        def refuse() -> None:
            # Raised only once: a stored error would keep itself alive by its traceback.
            del vars(response)["raise_for_status"]
            raise held.pop()

        # An error raised inside the flow would count as a failed connection, and the
        # generated clients would retry twice.
        vars(response)["raise_for_status"] = refuse

    def _redacted_body(self) -> object:
        """Remove the key from the request, and return the redacted body."""
        # Not `response.text`: it fails for some encodings that a server may name.
        requests = {self.first, self.request, self.response.request}
        secrets = [*secrets_in(self.owner, self.first.headers)]
        secrets += [secret for request in requests for secret in redact(request)]
        data = self.reply().data()
        if data is None:
            return scrub(self.reply().body, secrets).strip()
        return _without(data, secrets)


def _without(data: object, secrets: list[str]) -> object:
    """JSON without secrets, even if they were escaped in it."""
    if isinstance(data, str):
        return scrub(data, secrets)
    if isinstance(data, list):
        return [_without(item, secrets) for item in data]
    if isinstance(data, dict):
        return {scrub(n, secrets): _without(v, secrets) for n, v in data.items()}
    return data


def redact(request: httpx.Request) -> list[str]:
    """Remove the secrets from a request's headers, and return them."""
    headers = request.headers
    names = [name for name in ("x-api-key", "Authorization") if name in headers]
    secrets = [headers[name] for name in names]
    for name in names:
        headers[name] = mask(headers[name]).replace("\u2026", "...")
    return secrets
