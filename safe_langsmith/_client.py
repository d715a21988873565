"""`SafeClient`: the SDK's client, and a hook that looks at each answer.

Nothing that only a refusal needs is imported before one.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import langsmith
import requests
from langsmith.utils import LangSmithError
from requests.utils import default_headers

import safe_langsmith._sdk.fork  # noqa: F401  # for what it does in a forked process
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of, origin
from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._policy import Policy, checked, with_more
from safe_langsmith._sdk.late import load
from safe_langsmith._settings import AtConstruction, at_construction
from safe_langsmith._transport.auth import watched
from safe_langsmith._transport.hook import attach
from safe_langsmith._transport.ledger import Ledger
from safe_langsmith.errors import AccessDeniedError, identity_in

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from langsmith import schemas as ls_schemas
    from langsmith._internal._openapi_auth import AsyncClient as LangsmithOpenAPIClient
    from langsmith._internal._openapi_auth import SyncClient as SyncLangsmithOpenAPIClient
    from langsmith.client import TracingMode
    from langsmith.prompt_cache import PromptCache
    from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found]
    from urllib3.util import Retry

    from safe_langsmith._diagnosis import Diagnosis, Identity
    from safe_langsmith._traces.replay import Replay

# The newest of what the tracing path met; its texts are small, but there may be many.
_MOST_LOST = 1000
# Headers by which a replica of the SDK authenticates itself without a key of LangSmith.
_FOREIGN = {"X-Service-Key", "Authorization", "Cookie"}


class SafeClient(langsmith.Client):
    """The SDK's client; a refused call is diagnosed, repaired and answered, or explained.

    Every argument of ``langsmith.Client``, and ``policy``. Nothing changes until
    LangSmith refuses a request. Then the environment, the SDK's caches, the `.env` and
    the profile file are read, LangSmith is asked with read-only requests, and by the
    rule of repair the request is sent again, or a typed error is raised.

    Args:
        policy: What may be done unasked after a refusal. See `Policy`.
        verify: Whether to ask LangSmith once, when the client is made, if it takes the
            key. "raise" waits for the answer, and raises the typed error. "warn" asks on
            a thread, and logs one line. None, the default, asks nothing. In both
            a refusal is repaired first, if the rule allows it; an answer that cannot be
            had proves nothing, and is logged.

    Raises:
        AccessDeniedError: By every method, or one of its subclasses, in place of the
            SDK's bare error for a refusal.
    """

    policy: Policy
    _ledger: Ledger
    _born: AtConstruction
    _lost: deque[Exception]
    _failure: threading.local

    if TYPE_CHECKING:

        def __init__(
            self,
            api_url: str | None = None,
            *,
            api_key: str | None = None,
            retry_config: Retry | None = None,
            timeout_ms: int | tuple[int, int] | None = None,
            web_url: str | None = None,
            session: requests.Session | None = None,
            auto_batch_tracing: bool = True,
            anonymizer: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
            hide_inputs: Callable[[dict[str, Any]], dict[str, Any]] | bool | None = None,
            hide_outputs: Callable[[dict[str, Any]], dict[str, Any]] | bool | None = None,
            hide_metadata: Callable[[dict[str, Any]], dict[str, Any]] | bool | None = None,
            omit_traced_runtime_info: bool = False,
            process_buffered_run_ops: Callable[
                [Sequence[dict[str, Any]]], Sequence[dict[str, Any]]
            ]
            | None = None,
            run_ops_buffer_size: int | None = None,
            run_ops_buffer_timeout_ms: float | None = None,
            info: dict[str, Any] | ls_schemas.LangSmithInfo | None = None,
            api_urls: dict[str, str] | None = None,
            otel_tracer_provider: TracerProvider | None = None,
            tracing_mode: TracingMode | None = None,
            otel_enabled: bool | None = None,
            tracing_sampling_rate: float | None = None,
            workspace_id: str | None = None,
            profile: str | None = None,
            profile_config_path: str | None = None,
            prefer_profile_auth: bool = False,
            max_batch_size_bytes: int | None = None,
            headers: dict[str, str] | None = None,
            tracing_error_callback: Callable[[Exception], None] | None = None,
            disable_prompt_cache: bool = False,
            cache: bool | PromptCache | None = None,
            policy: Policy | None = None,
            verify: Literal["warn", "raise"] | None = None,
        ) -> None: ...

    else:

        def __init__(
            self,
            *args: Any,
            policy: Policy | None = None,
            verify: Literal["warn", "raise"] | None = None,
            **kwargs: Any,
        ) -> None:
            self.policy = checked(policy)
            if verify not in (None, "warn", "raise"):
                text = f'verify must be "warn", "raise" or None, not {verify!r}'
                raise ValueError(text)
            self._ledger = Ledger()
            self._lost = deque(maxlen=_MOST_LOST)
            self._failure = threading.local()
            super().__init__(*args, **kwargs)
            given = kwargs | dict(zip(("api_url",), args, strict=False))
            self._born = at_construction(self._access(), given)
            if self._api_key and not can_be_sent(self._api_key):
                load()
                from safe_langsmith._settings import sendable_key

                self._use(replace(self._access(), key=sendable_key(given) or self._api_key))
                self._born = replace(self._born, held=self._access())
            attach(self)
            if verify is not None:
                load()
                from safe_langsmith._transport.verify import verify_client

                verify_client(self, verify)

    @property
    def last_diagnosis(self) -> Diagnosis | None:
        """The newest diagnosis of this client, or None."""
        return self._ledger.last_diagnosis

    def diagnose(self) -> Diagnosis:
        """Check now what this client may do, and repair nothing.

        Sends a few read-only requests with this client's key to its own endpoint, and the
        key alone to other regions of LangSmith where ``policy.probe_regions`` allows it;
        reads the environment, the SDK's caches, the `.env` and the profile file. Takes
        at most ``policy.budget_s`` seconds and raises nothing.
        """
        load()
        from safe_langsmith._transport.requests_driver import diagnose

        return diagnose(self)

    def whoami(self) -> Identity:
        """Ask LangSmith who it takes this client for.

        Sends what `diagnose` sends.

        Returns:
            Organization, user, workspace, role and permissions, as far as it says.

        Raises:
            AccessDeniedError: The typed error, if it does not know this client's key.
            LangSmithConnectionError: If it gave no answer that tells.
        """
        return identity_in(self.diagnose())

    def can_i(self, permission: str) -> bool | None:
        """Ask LangSmith whether this client's role has a permission.

        Args:
            permission: Such as "runs:create" (to trace) or "projects:create".

        Returns:
            True or False; None if LangSmith does not say, as for some service keys. An
            access policy of the organization may deny what the role allows.

        Raises:
            ValueError: If LangSmith documents no such permission.
            AccessDeniedError: As `whoami`; and a `LangSmithConnectionError`.
        """
        return self.whoami().may(permission)

    @property
    def api_key(self) -> str | None:
        """The key in use. An assignment reaches the threads that send traces, too."""
        return self._api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        # The SDK's constructor assigns as well; then nothing has a copy yet.
        old = self._access() if hasattr(self, "_born") else None
        self._set_header_affecting_attr("_api_key", value)
        if old is not None and old != self._access():
            home = self._ledger.before_asking(self._born.held, self._access())
            if home is not None:
                self._use(home)
                return
            self._follow(old)
            if value:
                self._ledger.keep_repair(old, self._access())

    def raise_for_tracing_errors(self) -> None:
        """Raise what the tracing path met since the last call, or do nothing.

        Traces are sent in the background, where an error stops nothing. Call this
        after ``client.flush()`` where a run must not pass while nothing is recorded.
        It sends nothing and waits for nothing.

        Raises:
            AccessDeniedError: The typed error, if traces were refused for one reason.
            LangSmithExceptionGroup: With ``exceptions``, if there were several reasons.
            Exception: Whatever else a batch was lost for, such as a
                `LangSmithConnectionError`.
        """
        errors = []
        while self._lost:
            errors.append(self._lost.popleft())
        if errors:
            load()
            from safe_langsmith._traces.lost import raise_for

            raise_for(errors)

    def replay_failed_traces(
        self,
        directory: str | os.PathLike[str],
        *,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Replay:
        """Send the batches that the SDK has saved in ``LANGSMITH_FAILED_TRACES_DIR``.

        Each is sent as it was saved, oldest first, with this client's key to its
        endpoint and workspace; a refusal is repaired as for every call. A file is
        removed once the server has taken it. What cannot be sent stays, and the result
        says why. Run it again at any time: what was taken is not sent twice.

        Args:
            directory: The folder that the batches were saved in.
            on_progress: Called after each file with how many are done, and of how many.

        Returns:
            How many batches were sent, and which files are left, each with its reason.

        Raises:
            NotADirectoryError: If there is no such folder.
            OSError: If it cannot be read; a `BlockingIOError` if another replay is at
                work in it.
        """
        load()
        from safe_langsmith._traces.replay import replay

        return replay(self, directory, on_progress)

    def request_with_retries(
        self,
        /,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        pathname: str,
        **kwargs: Any,
    ) -> requests.Response:
        """As the SDK's; a refusal is repaired and answered, or raises the typed error."""
        if pathname.startswith("http"):
            kwargs = self._without_own_key(pathname, kwargs)
        try:
            return super().request_with_retries(method, pathname, **kwargs)
        except (LangSmithError, ValueError) as error:
            typed = self._typed(error, method, pathname)
            self._failure.url, self._failure.refused = pathname, typed is not None
            if typed is None:
                raise
        try:
            self._note_loss(typed, method, pathname, kwargs)
            raise typed from None
        finally:
            del typed  # its traceback holds this frame, and so the client

    def _without_own_key(self, url: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Keep this client's key from another host that has a credential of its own.

        The SDK would add it to what it sends to a replica with a service key, a token
        or a cookie.
        """
        request = kwargs.get("request_kwargs") or {}
        headers = request.get("headers") or {}
        if origin(url) == origin(self.api_url) or not _FOREIGN & headers.keys():
            return kwargs
        # None takes off what would be merged in.
        return {
            **kwargs,
            "request_kwargs": {**request, "headers": {"x-api-key": None, **headers}},
        }

    def _note_loss(
        self, error: Exception, method: str, path: str, kwargs: Mapping[str, Any]
    ) -> None:
        """Take down a trace that was refused for good."""
        load()
        from safe_langsmith._traces.lost import bare, refused, sends_traces

        if isinstance(error, AccessDeniedError) and sends_traces(method, path, kwargs):
            refused(self, error, path, kwargs.get("request_kwargs") or {})
            if method == "PATCH":  # the SDK shows these to nobody but the caller
                self._lost.extend(bare(error))

    def _invoke_tracing_error_callback(self, error: Exception) -> None:
        """As the SDK's; the error is kept for `raise_for_tracing_errors`."""
        load()
        from safe_langsmith._traces.lost import bare

        self._lost.extend(bare(error))
        super()._invoke_tracing_error_callback(error)

    def _dump_failed_trace(
        self, body_fn: Callable[[], bytes], headers: dict[str, str]
    ) -> None:
        """As the SDK's; the file names the destination, if that was a further one."""
        load()
        from safe_langsmith._traces.lost import addressed, as_refused

        # On this thread the request may have ended otherwise than by our hands.
        refused, url = (getattr(self._failure, n, "") for n in ("refused", "url"))
        with as_refused() if refused else nullcontext():
            super()._dump_failed_trace(body_fn, addressed(self, headers, url))

    def _typed(self, error: Exception, method: str, path: str) -> Exception | None:
        """The typed error behind one of the SDK's, which wraps what its session raises."""
        cause = error.__cause__
        if isinstance(cause, AccessDeniedError):
            return cause
        unsendable = isinstance(cause, (UnicodeError, requests.exceptions.InvalidHeader))
        # A full address is that of some destination, which may be another one.
        own = path.startswith((self.api_url, "/"))
        # What a proxy answers to CONNECT; any other trouble with it is left to the SDK.
        no_tunnel = isinstance(cause, requests.exceptions.ProxyError) and any(
            f"Tunnel connection failed: {status}" in str(cause) for status in (403, 407)
        )
        if unsendable or no_tunnel or (own and not origin(self.api_url)):
            load()
            from safe_langsmith._transport.requests_driver import never_sent

            return never_sent(self, method, path, error)
        return None

    def _settle(
        self, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> requests.Response | None:
        """Deal with an answer that may be a refusal; None leaves it as it is."""
        load()
        from safe_langsmith._transport.requests_driver import answer

        return answer(self, response, kwargs)

    def _get_langsmith_api(self) -> LangsmithOpenAPIClient:
        """The generated async client, behind `runs` and its neighbours, watched."""
        return watched(super()._get_langsmith_api(), self)

    def _get_langsmith_api_sync(self) -> SyncLangsmithOpenAPIClient:
        """The generated sync client, behind `agents`, watched."""
        return watched(super()._get_langsmith_api_sync(), self)

    def _access(self) -> Access:
        """What a request of this client shows the server now."""
        session = not self._api_key and bool(self._oauth_access_token)
        return Access(self.api_url, self._api_key, self._workspace_id, session)

    def _tied_by(self) -> str:
        """What of the session belongs to its host alone: a login, a header, a cookie."""
        session: Any = self.session
        if getattr(session, "cert", None):
            return "the certificate of your session"
        if getattr(session, "auth", None):
            return "the login of your session"
        if getattr(session, "params", None):
            return "a parameter of your session"
        if {*getattr(session, "headers", ())} - {*default_headers()}:
            return "a header of your session"
        # A cookie that a host set for itself goes to no other one anyway.
        cookies = getattr(session, "cookies", ())
        if any(not c.domain or c.domain_specified for c in cookies):
            return "a cookie of your session"
        return ""

    def _use(self, access: Access) -> None:
        """Take over a repaired access wherever the SDK keeps a copy of the old one."""
        old = self._access()
        if access.endpoint != old.endpoint:
            self.api_url = access.endpoint
            for generated in (self._langsmith_api, self._langsmith_api_sync):
                if generated is not None:
                    generated.base_url = base_of(access.endpoint)
        self._workspace_id = access.workspace
        self._set_header_affecting_attr("_api_key", access.key)
        self._follow(old)
        # Remembered answers of the old access; a failed /info is kept as an empty one.
        self._settings = self._tenant_id = None
        if "info" not in self._born.arguments:
            self._info = None

    def _follow(self, old: Access) -> None:
        """Let what the tracing threads hold follow the client's endpoint and key.

        They have copies of these, and a buffer of compressed traces for one destination.
        """
        here, there = (old.endpoint, old.key), (self.api_url, self._api_key)
        self._write_api_urls = dict(
            there
            if place == here
            else (there[0] if place[0] == here[0] else place[0], place[1])
            for place in self._write_api_urls.items()
        )
        buffered = self.compressed_traces
        if buffered is None:
            return
        with buffered.lock:
            if buffered.destinations is not None:
                buffered.destinations = frozenset(
                    d._replace(api_url=there[0], api_key=there[1])
                    if (d.api_url, d.api_key) == here
                    else d
                    for d in buffered.destinations
                )


SafeClient.__init__.__signature__ = with_more(  # type: ignore[attr-defined]
    langsmith.Client.__init__,
    policy="Policy | None",
    verify='Literal["warn", "raise"] | None',
)
