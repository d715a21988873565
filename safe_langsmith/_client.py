"""`SafeClient`: the SDK's client, and a hook that looks at each response.

Nothing that only a rejection needs is imported before one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import langsmith
import requests

from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._policy import Policy, arguments_of, looks_like, take_policy
from safe_langsmith._sdk.child import follow_forks
from safe_langsmith._sdk.clients import access_of, use
from safe_langsmith._sdk.exporter import watching_exports
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.names import report_missing, report_native
from safe_langsmith._sdk.overrides import step_back
from safe_langsmith._sdk.warn import call_as_caller
from safe_langsmith._settings.construction import at_construction, wants_export
from safe_langsmith._translate import TranslatingClient
from safe_langsmith._transport.hook import attach
from safe_langsmith._transport.owner import State, state_of
from safe_langsmith.errors import identity_in

if TYPE_CHECKING:
    import os

    from langsmith import schemas as ls_schemas
    from langsmith.client import TracingMode
    from langsmith.prompt_cache import PromptCache
    from opentelemetry.sdk.trace import TracerProvider
    from urllib3.util import Retry

    from safe_langsmith._diagnosis import Diagnosis, Identity
    from safe_langsmith._traces.replay import Replay

# What the SDK's client does not have. If it gains one of these names, ours goes.
OWN = (
    *("policy", "last_diagnosis", "diagnose", "whoami", "can_i"),
    *("raise_for_tracing_errors", "replay_failed_traces"),
)


class SafeClient(TranslatingClient):
    """The SDK's client; a refused call is diagnosed, repaired and answered, or explained.

    Every argument of ``langsmith.Client``, ``policy`` and ``verify``. Nothing changes until
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

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """And those of safe_langsmith:

            policy: What may be done unasked after a rejection. See `safe_langsmith.Policy`.
            verify: Ask LangSmith once, now, whether it accepts the key: "raise" raises the
                typed error, "warn" logs one line. None asks nothing.
            """
            policy = take_policy(kwargs, self._safe_plain.__init__)
            is_sdks = "verify" in arguments_of(self._safe_plain.__init__)
            verify = None if is_sdks else kwargs.pop("verify", None)
            if verify not in (None, "warn", "raise"):
                text = f'verify must be "warn", "raise" or None, not {verify!r}'
                raise ValueError(text)
            exports = nullcontext()
            with Guard("watch OpenTelemetry's exporter"):
                exports = self._safe_exports(policy, kwargs)
            with exports:
                call_as_caller(super().__init__, *args, **kwargs)
            with Guard("watch this client"):
                self._safe_begin(
                    policy, kwargs | dict(zip(("api_url",), args, strict=False))
                )
            if verify is not None and self._safe is not None:
                with no_fork:
                    from safe_langsmith._transport.verify import verify_client

                verify_client(self, verify)

    def _safe_exports(
        self, policy: Policy, given: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        """Watch the exporter of OpenTelemetry that the SDK may create for this client."""
        if not wants_export(given):
            return nullcontext()
        with no_fork:
            from safe_langsmith._traces.exports import new_session

        return watching_exports(functools.partial(new_session, policy=policy, client=self))

    def _safe_begin(self, policy: Policy, given: Mapping[str, Any]) -> None:
        """Watch a client that the SDK has made with these arguments."""
        report_missing(self)
        report_native(self)
        access = access_of(self)
        if access.key and not can_be_sent(access.key):
            with no_fork:
                from safe_langsmith._settings.environment import sendable_key

            access = replace(access, key=sendable_key(given) or access.key)
            use(self, access)
        own = self.session if given.get("session") is None else None
        state = State(policy, at_construction(access, given), own)
        attach(self)
        self._safe = state
        follow_forks(self)

    @property
    def policy(self) -> Policy:
        """What this client may do unasked. See `Policy`."""
        return state_of(self).policy

    @policy.setter
    def policy(self, value: Policy) -> None:
        state_of(self).policy = value

    @property
    def last_diagnosis(self) -> Diagnosis | None:
        """The newest diagnosis of this client, or None."""
        return self._safe.last_diagnosis if self._safe else None

    def diagnose(self) -> Diagnosis:
        """Check now what this client may do, and repair nothing.

        Sends a few read-only requests with this client's key to its own endpoint, and the
        key alone to other regions of LangSmith where ``policy.probe_regions`` allows it;
        reads the environment, the SDK's caches, the `.env` and the profile file. Takes
        at most ``policy.budget_s`` seconds and raises nothing.
        """
        with no_fork:
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
        errors, lost = [], state_of(self).lost
        while lost:
            errors.append(lost.popleft())
        if errors:
            with no_fork:
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
        with no_fork:
            from safe_langsmith._traces.replay import replay

        return replay(self, directory, on_progress)


looks_like(
    SafeClient.__init__,
    langsmith.Client.__init__,
    policy=Policy | None,
    verify=Literal["warn", "raise"] | None,
)
functools.update_wrapper(
    SafeClient.request_with_retries, langsmith.Client.request_with_retries
)
step_back(SafeClient, langsmith.Client, OWN)
