"""Traces that OpenTelemetry's exporter sends to LangSmith.

It sends with a session of ours, which is `requests`' own until LangSmith rejects an export.
Then it does what a client of ours does on the tracing path.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import requests
from requests.structures import CaseInsensitiveDict

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._knowledge.operations import EXPORT
from safe_langsmith._policy import Policy, defaults
from safe_langsmith._sdk.clients import access_of as own_access
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard, PassedOn
from safe_langsmith._sdk.modules import tracing_client
from safe_langsmith._settings.construction import (
    at_construction,
    at_construction_of_export,
    has_credential_provider,
)
from safe_langsmith._transport.hook import Hook
from safe_langsmith._transport.messages import access_of, is_of_a_person, resent_headers
from safe_langsmith._transport.owner import SENDING, State
from safe_langsmith._transport.responses import FOUND
from safe_langsmith.errors import error_for


def new_session(policy: Policy | None = None, client: Any = None) -> requests.Session | None:
    """The session for a new exporter; None: it has one from somebody else.

    ``client``: the one that creates it, which is told of rejections; None: the one that
    traces by then.
    """
    if has_credential_provider():
        return None
    told = tracing_client if client is None else weakref.ref(client)
    return ExportSession(policy or defaults[-1], told)


class Exporter:
    """What an exporter sends with, as a client of the SDK holds it."""

    __slots__ = (
        *("__weakref__", "_safe", "api_key", "api_url", "headers"),
        *("session", "timeout_ms", "workspace_id"),
    )
    _safe_plain: ClassVar[Any]

    def __init__(self, session: requests.Session, policy: Policy) -> None:
        self._safe: State | None = State(policy, at_construction(Access(""), {}), session)
        self.session = session
        self.timeout_ms = (10_000, 10_000)
        self.headers: dict[str, str] = {}
        self.api_url = ""
        self.api_key: str | None = None
        self.workspace_id: str | None = None


Exporter._safe_plain = Exporter


class ExportSession(requests.Session):
    """The session of one exporter. ``client``: gives whom to tell of rejections."""

    # A copy has none of this, and is a plain session.
    _exporter: Exporter | None = None
    _sent: Access | None = None
    _said: Any = None

    def __init__(self, policy: Policy, client: Callable[[], Any]) -> None:
        super().__init__()
        self._exporter, self._client = Exporter(self, policy), client
        self.hooks["response"].append(Hook(self._exporter))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As ever; but some exporters keep their key in here, and a probe has its own."""
        return request.prepare() if request.method == "GET" else super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send as ever; a rejected export is repaired and answered, or reported."""
        url = (request.url or "").partition("?")[0]
        if not url.endswith(EXPORT) or "x-api-key" not in request.headers:
            return super().send(request, **kwargs)
        with Guard("use what a repair has found"):
            if self._said:
                self._said.mark_export(refused=False)
            kwargs = self._repaired(request, kwargs)
        sending = SENDING.set(self._exporter)
        try:
            response = self._looked_at(super().send(request, **kwargs), kwargs)
        except PassedOn as passed:
            raise passed.error from None
        finally:
            SENDING.reset(sending)
        with Guard("report a rejected export"):
            self._report(url, response)
        return response

    def _repaired(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Let a request have what a repair has found; gives how to send it."""
        exporter, url = self._exporter, request.url or ""
        if exporter is None or exporter._safe is None:
            return kwargs
        endpoint = url.partition("?")[0].removesuffix(EXPORT)
        sent = access_of(endpoint, request.headers, Access(endpoint))
        if self._sent is None:
            headers = request.headers.items()
            exporter.headers = {n: str(v) for n, v in headers if is_of_a_person(n)}
            exporter.api_url, exporter.api_key = endpoint, sent.key
            exporter.workspace_id, self._sent = sent.workspace, sent
            born = exporter._safe.born
            exporter._safe.born = at_construction_of_export(sent, born)
        now = own_access(exporter)
        if sent != self._sent or sent == now:
            return kwargs
        request.url = now.endpoint + url.removeprefix(endpoint)
        request.headers = CaseInsensitiveDict(resent_headers(request.headers, now, sent))
        if same_origin(now.endpoint, endpoint):
            return kwargs
        there = self.merge_environment_settings(request.url, {}, None, None, None)
        return {**kwargs, "proxies": there["proxies"]}

    def _looked_at(
        self, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> requests.Response:
        """Look at a redirect, too: exporters follow none, and take it for a success."""
        if response.is_redirect and self._exporter is not None:
            with Guard("look at a redirect"):
                with no_fork:
                    from safe_langsmith._transport.requests_driver import answer

                how = {n: value for n, value in kwargs.items() if n != "allow_redirects"}
                return answer(self._exporter, response, how) or response
        return response

    def _report(self, url: str, response: requests.Response) -> None:
        """Tell the client, and the log, what became of an export that was rejected."""
        exporter = self._exporter
        if exporter is None or exporter._safe is None or FOUND not in vars(response):
            return
        client, found = self._client(), vars(response)[FOUND]
        state = getattr(client, "_safe", None)
        if state is not None:
            state.last_diagnosis = exporter._safe.last_diagnosis
        if found is None:
            return
        error = error_for(found)
        self._said = _lost()
        self._said.mark_export(refused=True)
        self._said.note_rejected(exporter, error, ("POST", url), {})
        if state is not None:
            client._invoke_tracing_error_callback(error)


def _lost() -> Any:
    """What deals with lost traces."""
    with no_fork:
        from safe_langsmith._traces import lost

    return lost
