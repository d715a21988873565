"""`SafeClient`: the SDK's client, and a hook that looks at each answer.

Nothing that only a refusal needs is imported before one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import langsmith
import requests
from langsmith.utils import LangSmithError

from safe_langsmith._auth import watched
from safe_langsmith._hook import attach
from safe_langsmith._hosts import base_of
from safe_langsmith._keys import can_be_sent
from safe_langsmith._ledger import Ledger
from safe_langsmith._policy import Policy, checked, with_policy
from safe_langsmith._protocol import Access
from safe_langsmith._settings import AtConstruction, at_construction, sendable_key
from safe_langsmith.errors import AccessDeniedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langsmith import schemas as ls_schemas
    from langsmith._internal._openapi_auth import AsyncClient as LangsmithOpenAPIClient
    from langsmith._internal._openapi_auth import SyncClient as SyncLangsmithOpenAPIClient
    from langsmith.client import TracingMode
    from langsmith.prompt_cache import PromptCache
    from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found]
    from urllib3.util import Retry

    from safe_langsmith._diagnosis import Diagnosis


class SafeClient(langsmith.Client):
    """The SDK's client; a refused call is diagnosed, repaired and answered, or explained.

    Every argument of ``langsmith.Client``, and ``policy``. Nothing changes until
    LangSmith refuses a request. Then the environment, the SDK's caches, the `.env` and
    the profile file are read, LangSmith is asked with read-only requests, and by the
    rule of repair the request is sent again, or a typed error is raised.

    Args:
        policy: What may be done unasked after a refusal. See `Policy`.

    Raises:
        AccessDeniedError: By every method, or one of its subclasses, in place of the
            SDK's bare error for a refusal.
    """

    policy: Policy
    _ledger: Ledger
    _born: AtConstruction

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
        ) -> None: ...

    else:

        def __init__(self, *args: Any, policy: Policy | None = None, **kwargs: Any) -> None:
            self.policy = checked(policy)
            super().__init__(*args, **kwargs)
            self._ledger = Ledger()
            given = kwargs | dict(zip(("api_url",), args, strict=False))
            self._born = at_construction(self._access(), given)
            if self._api_key and not can_be_sent(self._api_key):
                self._use(replace(self._access(), key=sendable_key(given) or self._api_key))
                self._born = self._born._replace(held=self._access())
            attach(self)

    @property
    def last_diagnosis(self) -> Diagnosis | None:
        """The newest diagnosis of this client, or None."""
        return self._ledger.last_diagnosis

    def diagnose(self) -> Diagnosis:
        """Check now what this client may do, and repair nothing.

        Sends a few read-only requests with this client's key to its own endpoint;
        reads the environment, the SDK's caches, the `.env` and the profile file. Takes
        at most ``policy.budget_s`` seconds and raises nothing.
        """
        from safe_langsmith._requests import diagnose

        return diagnose(self)

    def request_with_retries(
        self,
        /,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        pathname: str,
        **kwargs: Any,
    ) -> requests.Response:
        """As the SDK's; a refusal is repaired and answered, or raises the typed error."""
        try:
            return super().request_with_retries(method, pathname, **kwargs)
        except LangSmithError as error:
            typed = self._typed(error, method, pathname)
            if typed is None:
                raise
        try:
            raise typed from None
        finally:
            del typed  # its traceback holds this frame, and so the client

    def _typed(self, error: LangSmithError, method: str, path: str) -> Exception | None:
        """The typed error behind one of the SDK's, which wraps what its session raises."""
        cause = error.__cause__
        if isinstance(cause, AccessDeniedError):
            return cause
        if isinstance(cause, (UnicodeError, requests.exceptions.InvalidHeader)):
            from safe_langsmith._requests import never_sent

            return never_sent(self, method, path)
        return None

    def _settle(
        self, response: requests.Response, kwargs: Mapping[str, Any]
    ) -> requests.Response | None:
        """Deal with an answer that may be a refusal; None leaves it as it is."""
        from safe_langsmith._requests import answer

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

    def _use(self, access: Access) -> None:
        """Take over a repaired access wherever the SDK keeps a copy of the old one."""
        old = self._access()
        self._write_api_urls = {
            (access.endpoint if url == old.endpoint else url): (
                access.key if (url, key) == (old.endpoint, old.key) else key
            )
            for url, key in self._write_api_urls.items()
        }
        if access.endpoint != old.endpoint:
            self.api_url = access.endpoint
            for generated in (self._langsmith_api, self._langsmith_api_sync):
                if generated is not None:
                    generated.base_url = base_of(access.endpoint)
        self._workspace_id = access.workspace
        self.api_key = access.key
        # Remembered answers of the old access; a failed /info is kept as an empty one.
        self._settings = self._tenant_id = None
        if "info" not in self._born.arguments:
            self._info = None


SafeClient.__init__.__signature__ = with_policy(langsmith.Client.__init__)  # type: ignore[attr-defined]
