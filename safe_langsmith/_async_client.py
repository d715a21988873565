"""`SafeAsyncClient`: the SDK's async client, with a check of each response."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import langsmith
from langsmith.utils import LangSmithConnectionError, LangSmithError

from safe_langsmith._client import OWN
from safe_langsmith._knowledge.keys import can_be_sent
from safe_langsmith._policy import Policy, looks_like, take_policy
from safe_langsmith._sdk.clients import access_of, generated_of, http_of, use
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard
from safe_langsmith._sdk.names import report_missing
from safe_langsmith._sdk.overrides import WatchedAsyncClient, step_back
from safe_langsmith._sdk.resources import watch
from safe_langsmith._sdk.warn import call_as_caller
from safe_langsmith._settings.construction import at_construction
from safe_langsmith._transport.auth import RefusalAuth, ResourceWatcher
from safe_langsmith._transport.owner import State, access_for_new_key, state_of
from safe_langsmith._transport.passed_on import hide_keys
from safe_langsmith.errors import AccessDeniedError, error_for, identity_in

if TYPE_CHECKING:
    from langsmith.prompt_cache import AsyncPromptCache

    from safe_langsmith._diagnosis import Diagnosis, Identity

# The order of the SDK's positional arguments.
_POSITIONAL = tuple(inspect.signature(langsmith.AsyncClient).parameters)


class SafeAsyncClient(WatchedAsyncClient):
    """`langsmith.AsyncClient`, but a refused request is repaired and resent, or explained.

    Takes every argument of ``langsmith.AsyncClient``, and ``policy``; otherwise like
    `SafeClient`, with the same checks and repairs. It never blocks the event loop: files
    are read on a thread.

    Args:
        policy: What the client may do by itself after a refusal. See `Policy`.

    Raises:
        AccessDeniedError: From every method, as for `SafeClient`.
        KeyMalformedError: Also from the constructor, if the key cannot be sent.
        TypeError: From the constructor, if ``policy`` is not a `Policy`.
    """

    _safe: State | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            api_url: str | None = None,
            api_key: str | None = None,
            timeout_ms: int
            | tuple[int | None, int | None, int | None, int | None]
            | None = None,
            retry_config: Mapping[str, Any] | None = None,
            web_url: str | None = None,
            headers: dict[str, str] | None = None,
            workspace_id: str | None = None,
            disable_prompt_cache: bool = False,
            cache: bool | AsyncPromptCache | None = None,
            *,
            profile: str | None = None,
            profile_config_path: str | None = None,
            prefer_profile_auth: bool = False,
            policy: Policy | None = None,
        ) -> None: ...

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """Additional argument of safe_langsmith:

            policy: What the client may do by itself after a refusal.
            """
            policy = take_policy(kwargs, self._safe_plain.__init__)
            given = kwargs | dict(zip(_POSITIONAL, args, strict=False))
            unsendable: tuple[str, Exception] | None = None
            try:
                call_as_caller(super().__init__, *args, **kwargs)
            except UnicodeEncodeError as error:
                # The SDK cannot create an async client with such a key.
                key = getattr(self, "api_key", None)
                if not key or can_be_sent(key):
                    raise
                with no_fork:
                    from safe_langsmith._settings.environment import sendable_key

                cleaned = sendable_key(key) if policy.repair else None
                unsendable = None if cleaned else (key, error)
                given_now = {**given, "api_key": cleaned or "none"}
                call_as_caller(super().__init__, **given_now)
            with Guard("watch this client"):
                self._safe_begin(policy, given)
            if unsendable is not None:
                raise self._safe_not_created(*unsendable) from None

    def _safe_not_created(self, key: str, error: Exception) -> Exception:
        """The typed error for a key with which the SDK creates no client, or its own."""
        typed = None
        with Guard("explain a key that cannot be sent"):
            with no_fork:
                from safe_langsmith._transport.httpx_unsent import not_created

            typed = error_for(not_created(self, key), instead_of=ValueError())
        return typed or error

    def _safe_begin(self, policy: Policy, given: Mapping[str, Any]) -> None:
        """Watch a client that the SDK has created with these arguments."""
        report_missing(self)
        http = http_of(self)
        if http is None:
            return
        state = State(policy, at_construction(access_of(self), given))
        http.auth = RefusalAuth(self, http, generated=False)
        watch(generated_of(self), ResourceWatcher(self))
        self._safe = state

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

    @property
    def api_key(self) -> str | None:
        """The key in use."""
        return super().api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        old = None
        with Guard("follow a new key"):
            old = access_of(self) if self._safe is not None else None
        self._safe_plain.api_key.__set__(self, value)  # the SDK's own
        with Guard("follow a new key"):
            home = access_for_new_key(self) if old and old != access_of(self) else None
            if home is not None:
                use(self, home)

    async def diagnose(self) -> Diagnosis:
        """Run every check now. Repairs nothing.

        Sends a few read-only requests with this client's key to its own endpoint and, if
        ``policy.probe_regions`` allows it, to other LangSmith regions (only the key).
        Reads the environment, the SDK's caches, the `.env` file and the profile file. Takes
        at most ``policy.budget_s`` seconds and never raises.
        """
        with no_fork:
            from safe_langsmith._transport.httpx_driver import diagnose

        return await diagnose(self, http_of(self))

    async def whoami(self) -> Identity:
        """Ask LangSmith which identity this client's key has. See `SafeClient.whoami`."""
        return identity_in(await self.diagnose())

    async def can_i(self, permission: str) -> bool | None:
        """Ask whether this client's role has a permission. See `SafeClient.can_i`."""
        return (await self.whoami()).may(permission)

    async def _safe_explained(
        self, method: str, path: str, error: LangSmithError
    ) -> Exception | None:
        """Name the proxy if it refused to connect to LangSmith.

        The typed error has no context: how the SDK got to its own error is only noise.
        """
        if isinstance(error, AccessDeniedError):
            return error.with_traceback(None)
        diagnosis = None
        if self._safe is not None and isinstance(error, LangSmithConnectionError):
            with no_fork:
                from safe_langsmith._transport.httpx_unsent import no_tunnel_async

            diagnosis = await no_tunnel_async(self, method, path, error)
        if diagnosis is None:
            hide_keys(self, error)
        return error_for(diagnosis, instead_of=error) if diagnosis else None


looks_like(SafeAsyncClient.__init__, langsmith.AsyncClient.__init__, policy=Policy | None)
step_back(SafeAsyncClient, langsmith.AsyncClient, OWN)
