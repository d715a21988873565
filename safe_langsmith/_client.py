"""`SafeClient`: the SDK's client, with a hook that checks each response.

Code that is needed only after a refusal is imported at the first one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import langsmith
import requests

from safe_langsmith._policy import Policy, arguments_of, looks_like, take_policy
from safe_langsmith._sdk.child import follow_forks
from safe_langsmith._sdk.clients import access_of
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

# What we add to the SDK's client. If the SDK adds one of these names, ours is removed.
OWN = (
    *("policy", "last_diagnosis", "diagnose", "whoami", "can_i"),
    *("raise_for_tracing_errors", "replay_failed_traces"),
)


class SafeClient(TranslatingClient):
    """`langsmith.Client`, but a refused request is repaired and resent, or explained.

    Takes ``policy``, ``verify`` and every argument of ``langsmith.Client``. It behaves like
    the SDK's client until LangSmith refuses a request. Then it reads the environment, the
    SDK's caches, the `.env` file and the profile file, sends a few read-only requests to
    LangSmith, and repairs and resends the request if that is safe, or raises a typed error.

    Args:
        policy: What the client may do by itself after a refusal. See `Policy`.
        verify: Whether to check the key once, when the client is created. "raise" waits for
            the result, and raises the typed error after a refusal. "warn" checks on a
            thread, and logs one line. With either, a refusal is repaired first if that is
            safe; if the check could not be completed, that is logged, and nothing is
            raised. None (the default) checks nothing.

    Raises:
        AccessDeniedError: From every method, if LangSmith refuses a request. It has a
            subclass for each cause, and is a `LangSmithError`, as the SDK's own error is.
            The v2 resources (``client.runs`` and the others) raise one that is also the
            SDK's `PermissionDeniedError` or `AuthenticationError`.
        TypeError, ValueError: From the constructor, if ``policy`` or ``verify`` is wrong.
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
            """Additional arguments of safe_langsmith:

            policy: What the client may do by itself after a refusal.
            verify: Check the key once, now: "raise" raises the typed error, "warn" logs
                one line. None checks nothing.
            """
            policy = take_policy(kwargs, self._safe_plain.__init__)
            is_sdks = "verify" in arguments_of(self._safe_plain.__init__)
            verify = None if is_sdks else kwargs.pop("verify", None)
            if verify not in (None, "warn", "raise"):
                text = f'verify must be "warn", "raise" or None, not {verify!r}'
                raise ValueError(text)
            self._safe_cleans = policy.repair and not kwargs.get("api_urls")
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
        """Watch the OpenTelemetry exporter that the SDK may create for this client."""
        if not wants_export(given):
            return nullcontext()
        with no_fork:
            from safe_langsmith._traces.exports import new_session

        return watching_exports(functools.partial(new_session, policy=policy, client=self))

    def _safe_begin(self, policy: Policy, given: Mapping[str, Any]) -> None:
        """Watch a client that the SDK has created with these arguments."""
        report_missing(self)
        report_native(self)
        own = self.session if given.get("session") is None else None
        state = State(policy, at_construction(access_of(self), given), own)
        attach(self)
        self._safe = state
        follow_forks(self)

    @property
    def policy(self) -> Policy:
        """What this client may do by itself after a refusal. See `Policy`."""
        return state_of(self).policy

    @policy.setter
    def policy(self, value: Policy) -> None:
        state_of(self).policy = value

    @property
    def last_diagnosis(self) -> Diagnosis | None:
        """The latest diagnosis of this client, or None."""
        return self._safe.last_diagnosis if self._safe else None

    def diagnose(self) -> Diagnosis:
        """Run every check now. Repairs nothing.

        Sends a few read-only requests with this client's key to its own endpoint and, if
        ``policy.probe_regions`` allows it, to other LangSmith regions (only the key).
        Reads the environment, the SDK's caches, the `.env` file and the profile file. Takes
        at most ``policy.budget_s`` seconds and never raises.
        """
        with no_fork:
            from safe_langsmith._transport.requests_driver import diagnose

        return diagnose(self)

    def whoami(self) -> Identity:
        """Ask LangSmith which identity this client's key has.

        Sends what `diagnose` sends.

        Returns:
            Organization, user, workspace, role and permissions, as far as LangSmith says.

        Raises:
            AccessDeniedError: The typed error, if the request was refused, or could not be
                sent.
            LangSmithConnectionError: If LangSmith could not be reached, or did not say who
                you are.
        """
        return identity_in(self.diagnose())

    def can_i(self, permission: str) -> bool | None:
        """Ask LangSmith whether this client's role has a permission.

        Args:
            permission: Such as "runs:create" (to trace) or "projects:create".

        Returns:
            True or False; None if unknown, as for some service keys. An access policy of
            the organization may still deny what the role allows.

        Raises:
            ValueError: If LangSmith documents no such permission.
            AccessDeniedError, LangSmithConnectionError: As for `whoami`.
        """
        return self.whoami().may(permission)

    def raise_for_tracing_errors(self) -> None:
        """Raise the tracing errors since the last call, if there are any.

        Traces are sent in the background, where errors do not stop the program. Call this
        after ``client.flush()`` in a program that must fail if its traces are lost.
        It sends nothing and does not wait.

        Raises:
            AccessDeniedError: The typed error, if traces were refused for one reason.
            LangSmithExceptionGroup: If there were several reasons; see its ``exceptions``.
            Exception: Any other reason why traces were lost, such as a
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

        Sends each batch as it was saved, oldest first, with this client's key to its
        endpoint and workspace; a refusal is repaired as for any call. A file is
        removed once the server has accepted it. Otherwise it stays, and the result
        says why. Calling this again is safe: accepted batches are not sent twice.

        Args:
            directory: The folder where the batches were saved.
            on_progress: Called after each file with the number done and the total.

        Returns:
            How many batches were sent, and which files are left, each with the reason.

        Raises:
            NotADirectoryError: If the folder does not exist.
            OSError: If it cannot be read; a `BlockingIOError` if another replay is using
                it.
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
