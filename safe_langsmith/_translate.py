"""Replaces the SDK's error for a refusal with the typed error.

`SafeClient` overrides these methods of the SDK's client. Each does what the SDK does,
except for what it raises, keeps or saves after a refusal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import requests
from langsmith.utils import LangSmithError

from safe_langsmith._knowledge.hosts import origin
from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._sdk.clients import (
    access_of,
    endpoint_of,
    follow,
    use,
    without_key,
)
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.overrides import WatchedClient
from safe_langsmith._sdk.resources import watch
from safe_langsmith._transport.auth import ResourceWatcher
from safe_langsmith._transport.owner import (
    FAILURE,
    SENDING,
    Failure,
    State,
    access_for_new_key,
)
from safe_langsmith._transport.passed_on import hide_keys
from safe_langsmith._transport.responses import FOUND, is_suspect, response_behind
from safe_langsmith.errors import error_for

# Headers that log in to an additional trace destination without a LangSmith key.
_FOREIGN = {"X-Service-Key", "Authorization", "Cookie"}


class TranslatingClient(WatchedClient):
    """The overridden methods of `SafeClient`."""

    _safe: State | None = None
    # Whether its constructor may remove what is not part of a key.
    _safe_cleans = False

    @property
    def api_key(self) -> str | None:
        """The key in use. Assigning it also updates the threads that send traces."""
        return super().api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        # The SDK's constructor assigns it too, before its threads start to send it.
        old = None
        with Guard("follow a new key"):
            if self._safe is not None:
                old = access_of(self)
            elif value and self._safe_cleans and not can_be_sent(value):
                with no_fork:
                    from safe_langsmith._settings.environment import sendable_key

                value = sendable_key(value) or value
        self._safe_plain.api_key.__set__(self, value)  # the SDK's own
        with Guard("follow a new key"):
            if self._safe is None or old is None or old == access_of(self):
                return
            home = access_for_new_key(self)
            if home is not None:
                use(self, home, keep_info="info" in self._safe.initial.arguments)
                return
            follow(self, old)
            if value:
                self._safe.repairs[old] = access_of(self)

    def request_with_retries(
        self,
        /,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        pathname: str,
        **kwargs: Any,
    ) -> requests.Response:
        """Send as the SDK does; a refusal is repaired, or raises the typed error."""
        before, found = sys.exc_info()[1], None
        client, state = self, self._safe
        # If the constructor had not finished, our hook may have missed a redirect.
        sending = SENDING.set(self if state else None)
        if pathname.startswith("http"):
            with Guard("keep the key from another host"):
                client = self._safe_sender(pathname, kwargs)
        try:
            send = super(TranslatingClient, client).request_with_retries
            return send(method, pathname, **kwargs)
        except Exception as error:
            if kwargs.get("handle_response") and not isinstance(error, LangSmithError):
                raise  # it may be the caller's own
            if state is not None:
                with Guard("explain a refused request"):
                    found = self._safe_explain(error, before, (method, pathname), kwargs)
            if found is None:
                with Guard("mask keys in an error"):
                    hide_keys(self, error, before)
                raise
        finally:
            SENDING.reset(sending)
        if isinstance(found, requests.Response):
            return found
        try:
            raise found from None
        finally:
            del found  # its traceback holds this frame, and so the client

    def _safe_explain(
        self,
        error: Exception,
        before: BaseException | None,
        asked: tuple[str, str],
        kwargs: Mapping[str, Any],
    ) -> Exception | requests.Response | None:
        """The typed error, or the response after a repair; None keeps the SDK's error."""
        response = response_behind(error, before)
        FAILURE.set(Failure(asked[1], None))
        if response is None:
            # The request was not sent because of a key, a URL or a proxy.
            trouble = (UnicodeError, requests.RequestException)
            if isinstance(error.__cause__, trouble) or not origin(endpoint_of(self)):
                return self._safe_found(error, None, asked, kwargs)
            return None
        if FOUND in vars(response) or is_suspect(response):
            return self._safe_found(error, response, asked, kwargs)
        return None

    def _safe_found(
        self,
        error: Exception,
        response: requests.Response | None,
        asked: tuple[str, str],
        kwargs: Mapping[str, Any],
    ) -> Exception | requests.Response | None:
        with no_fork:
            from safe_langsmith._traces.lost import note_refused
            from safe_langsmith._transport.requests_driver import explain

        request = kwargs.get("request_kwargs") or {}
        found = explain(self, error, response, asked, {**request, **kwargs})
        if isinstance(found, Exception):
            FAILURE.set(Failure(asked[1], found.diagnosis))
            note_refused(self, found, asked, request)
        return found

    def _safe_sender(self, url: str, kwargs: Mapping[str, Any]) -> TranslatingClient:
        """Keep this client's key away from another host that has its own credential.

        The SDK would add the key to requests to a replica with a service key, a token
        or a cookie.
        """
        headers = (kwargs.get("request_kwargs") or {}).get("headers") or {}
        if origin(url) == origin(endpoint_of(self)) or not _FOREIGN & headers.keys():
            return self
        sender: TranslatingClient = without_key(self)
        return sender

    def _safe_watch(self, generated: Any) -> None:
        """Watch the generated client behind ``client.runs`` and the other v2 resources."""
        if self._safe is not None:
            watch(generated, ResourceWatcher(self))

    def _safe_lost(self, error: Exception) -> None:
        """Keep a tracing thread's error for `raise_for_tracing_errors`."""
        if self._safe is not None:
            with no_fork:
                from safe_langsmith._traces.lost import bare

            self._safe.lost.extend(bare(error))

    def _safe_saving(
        self, headers: dict[str, str]
    ) -> tuple[dict[str, str], AbstractContextManager[None]]:
        """Name the destination in a saved batch's file if there are several."""
        failure = FAILURE.get()
        if failure is None or self._safe is None:
            return headers, nullcontext()
        with no_fork:
            from safe_langsmith._traces.lost import addressed, as_refused

        quiet = as_refused() if failure.diagnosis else nullcontext()
        return addressed(self, headers, failure.url), quiet

    def _safe_failure(self) -> Failure | None:
        return FAILURE.get()

    def _safe_swallowed(self, error: LangSmithError) -> Exception | None:
        failure = FAILURE.get()
        if failure is None or failure.diagnosis is None:
            return None
        return error_for(failure.diagnosis, instead_of=error)
