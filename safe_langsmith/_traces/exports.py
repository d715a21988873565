"""Diagnoses and repairs traces that an OpenTelemetry exporter sends to LangSmith.

The exporter gets our own session. It works like a plain `requests` session until LangSmith
refuses an export; then it does what a safe client does for traces.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import requests
from langsmith.utils import LangSmithConnectionError
from requests.structures import CaseInsensitiveDict

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import same_origin
from safe_langsmith._knowledge.operations import EXPORT
from safe_langsmith._policy import Policy, defaults
from safe_langsmith._sdk.clients import access_of as own_access
from safe_langsmith._sdk.clients import report_lost_trace, workspace_of
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard, PassedOn
from safe_langsmith._sdk.modules import tracing_client
from safe_langsmith._settings.construction import (
    at_construction,
    at_construction_of_export,
    has_credential_provider,
)
from safe_langsmith._transport.hook import Hook
from safe_langsmith._transport.messages import access_of, is_set_by_user, resent_headers
from safe_langsmith._transport.owner import SENDING, State
from safe_langsmith._transport.passed_on import hide_keys
from safe_langsmith._transport.responses import FOUND
from safe_langsmith.errors import AccessDeniedError, error_for


def new_session(
    chosen: bool, policy: Policy | None = None, client: Any = None
) -> requests.Session | None:
    """The session for a new exporter; None if it gets one from a credential provider.

    ``client``: the client that creates the exporter, and to which refusals are reported;
    None for the client that traces at that time. ``chosen``: whether the program chose the
    endpoint.
    """
    if has_credential_provider():
        return None
    told = tracing_client if client is None else weakref.ref(client)
    return ExportSession(policy or defaults[-1], told, chosen)


class Exporter:
    """The settings of an exporter, with the attributes of an SDK client."""

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
    """The session of one exporter. ``client`` returns the client to report refusals to.

    ``chosen``: whether the program chose the endpoint, even if it is the default one.
    """

    # A copy of the session keeps these defaults, so it acts as a plain session.
    _exporter: Any = None
    _sent: Access | None = None

    def __init__(self, policy: Policy, client: Callable[[], Any], chosen: bool) -> None:
        super().__init__()
        self._exporter, self._told = Exporter(self, policy), client
        self._chosen = chosen
        self.hooks["response"].append(Hook(self._exporter))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request. A probe gets none of the session's headers."""
        is_probe = request.method == "GET"
        return request.prepare() if is_probe else super().prepare_request(request)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request, and report an export that could not be sent."""
        try:
            return super().request(method, url, *args, **kwargs)
        except (UnicodeError, requests.RequestException) as error:
            with Guard("explain an export that was not sent"):
                if self._exporter and is_export(url, kwargs.get("headers") or self.headers):
                    self._explain(url, kwargs, error)
                    hide_keys(self._exporter, error)
            raise

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request. A refused export is repaired and resent, or reported."""
        if not self._exporter or not is_export(request.url or "", request.headers):
            return super().send(request, **kwargs)
        with Guard("use the result of a repair"):
            kwargs = self._repaired(request, kwargs)
        sending = SENDING.set(self._exporter)
        try:
            response = self._looked_at(super().send(request, **kwargs), kwargs)
        finally:
            SENDING.reset(sending)
        if FOUND in vars(response):
            with Guard("report a refused export"):
                found = vars(response)[FOUND]
                # The exporter logs nothing for these unless the status is an error.
                is_logged = response.status_code >= 400
                self._report(error_for(found) if found else None, is_logged=is_logged)
        return response

    def _begin(self, url: str, headers: Mapping[str, Any]) -> Access:
        """What this request sends. The first one shows the exporter's settings."""
        endpoint = url.partition("?")[0].removesuffix(EXPORT)
        sent = access_of(endpoint, headers, Access(endpoint))
        if self._sent is None:
            exporter, self._sent = self._exporter, sent
            exporter.headers = {n: str(v) for n, v in headers.items() if is_set_by_user(n)}
            exporter.api_url, exporter.api_key = endpoint, sent.key
            exporter.workspace_id, state = sent.workspace, exporter._safe
            initial = at_construction_of_export(sent, state.initial, self._chosen)
            state.initial = replace(initial, workspace=self._passed_workspace())
        return sent

    def _passed_workspace(self) -> str | None:
        """The workspace that was passed to the client that owns this exporter."""
        client = self._told() if self._told is not tracing_client else None
        state = getattr(client, "_safe", None)
        passed = state is not None and "workspace_id" in state.initial.arguments
        return workspace_of(client) if passed else None

    def _repaired(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Apply an earlier repair to a request. Returns the arguments for `send`."""
        sent = self._begin(request.url or "", request.headers)
        now = own_access(self._exporter)
        if sent != self._sent or sent == now:
            return kwargs
        request.url = now.endpoint + (request.url or "").removeprefix(sent.endpoint)
        request.headers = CaseInsensitiveDict(resent_headers(request.headers, now, sent))
        if same_origin(now.endpoint, sent.endpoint):
            return kwargs
        there = self.merge_environment_settings(request.url, {}, None, None, None)
        return {**kwargs, "proxies": there["proxies"]}

    def _looked_at(
        self, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> requests.Response:
        """Check a redirect: exporters do not follow it, and would count it as a success."""
        if response.is_redirect:
            with Guard("check a redirect"), suppress(PassedOn):
                with no_fork:
                    from safe_langsmith._transport.requests_driver import answer

                how = {n: value for n, value in kwargs.items() if n != "allow_redirects"}
                return answer(self._exporter, response, how) or response
        return response

    def _explain(self, url: str, kwargs: Mapping[str, Any], error: Exception) -> None:
        """Report an export that was not sent because of its key, URL or proxy."""
        with no_fork:
            from safe_langsmith._transport.requests_driver import explain

        self._begin(url, kwargs.get("headers") or self.headers)
        as_the_sdks = LangSmithConnectionError(str(error))
        as_the_sdks.__cause__ = error
        found = explain(self._exporter, as_the_sdks, None, ("POST", EXPORT), kwargs)
        if isinstance(found, AccessDeniedError):
            self._report(found, is_logged=True)

    def _report(self, error: AccessDeniedError | None, *, is_logged: bool) -> None:
        """Report a refusal to the client and the log; ``error`` is None after a repair."""
        exporter, client = self._exporter, self._told()
        state = getattr(client, "_safe", None)
        if state is not None:
            state.last_diagnosis = exporter._safe.last_diagnosis
        if error is None:
            return
        with no_fork:
            from safe_langsmith._traces import lost

        if is_logged:
            lost.quiet_export()
        lost.note_refused(exporter, error, ("POST", EXPORT), {})
        if state is not None:
            report_lost_trace(client, error)


def is_export(url: str, headers: Mapping[str, Any]) -> bool:
    """Whether a request sends traces to LangSmith, not to another collector."""
    return str(url).partition("?")[0].endswith(EXPORT) and any(
        name.lower() == "x-api-key" for name in headers
    )
