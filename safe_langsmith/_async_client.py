"""`SafeAsyncClient`: the SDK's async client, and a look at each answer."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import langsmith
from langsmith._httpx import httpx
from langsmith.utils import LangSmithConnectionError

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of
from safe_langsmith._policy import Policy, checked, with_more
from safe_langsmith._sdk.late import load
from safe_langsmith._settings import AtConstruction, at_construction
from safe_langsmith._transport.auth import RefusalAuth, watched
from safe_langsmith._transport.ledger import Ledger
from safe_langsmith.errors import error_for, identity_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langsmith.prompt_cache import AsyncPromptCache

    from safe_langsmith._diagnosis import Diagnosis, Identity

# The order of the SDK's positional arguments.
_POSITIONAL = tuple(inspect.signature(langsmith.AsyncClient).parameters)


class SafeAsyncClient(langsmith.AsyncClient):
    """The SDK's async client; a refused call is diagnosed, repaired and answered.

    Every argument of ``langsmith.AsyncClient``, and ``policy``; otherwise as
    `SafeClient`, by the same checks and the same rule of repair. It never blocks the
    event loop: files are read on a thread.

    Args:
        policy: What may be done unasked after a refusal. See `Policy`.

    Raises:
        AccessDeniedError: By every method, or one of its subclasses, in place of the
            SDK's bare error for a refusal. The v2 resources (``client.runs`` and the
            others) raise one that is the SDK's `PermissionDeniedError` or
            `AuthenticationError` too.
    """

    policy: Policy
    _ledger: Ledger
    _born: AtConstruction

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

        def __init__(self, *args: Any, policy: Policy | None = None, **kwargs: Any) -> None:
            self.policy = checked(policy)
            given = kwargs | dict(zip(_POSITIONAL, args, strict=False))
            try:
                super().__init__(*args, **kwargs)
            except UnicodeEncodeError:
                # The SDK makes no async client with a key that has, say, a BOM in front.
                load()
                from safe_langsmith._settings import sendable_key

                key = sendable_key(given)
                if key is None:
                    raise
                super().__init__(**{**given, "api_key": key})
            self._ledger = Ledger()
            self._born = at_construction(self._access(), given)
            self._client.auth = RefusalAuth(self, self._client, generated=False)
            watched(self._langsmith_api, self)

    @property
    def last_diagnosis(self) -> Diagnosis | None:
        """The newest diagnosis of this client, or None."""
        return self._ledger.last_diagnosis

    @property
    def api_key(self) -> str | None:
        """The key in use."""
        return self._api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        old = self._access()
        self._set_key(value)
        if old != self._access():
            home = self._ledger.before_asking(self._born.held, self._access())
            if home is not None:
                self._use(home)

    def _set_key(self, value: str | None) -> None:
        plain: Any = super(SafeAsyncClient, SafeAsyncClient)
        plain.api_key.fset(self, value)

    async def diagnose(self) -> Diagnosis:
        """Check now what this client may do, and repair nothing.

        Sends a few read-only requests with this client's key to its own endpoint, and the
        key alone to other regions of LangSmith where ``policy.probe_regions`` allows it;
        reads the environment, the SDK's caches, the `.env` and the profile file. Takes
        at most ``policy.budget_s`` seconds and raises nothing.
        """
        load()
        from safe_langsmith._transport.httpx_driver import diagnose

        return await diagnose(self, self._client)

    async def whoami(self) -> Identity:
        """Ask LangSmith who it takes this client for. See `SafeClient.whoami`."""
        return identity_in(await self.diagnose())

    async def can_i(self, permission: str) -> bool | None:
        """Ask whether this client's role has a permission. See `SafeClient.can_i`."""
        return (await self.whoami()).may(permission)

    async def _arequest_with_retries(
        self, method: str, endpoint: str, *args: Any, **kwargs: Any
    ) -> Any:
        """As the SDK's; a proxy that will not connect to LangSmith is named."""
        try:
            return await super()._arequest_with_retries(method, endpoint, *args, **kwargs)
        except LangSmithConnectionError as error:
            load()
            from safe_langsmith._transport.httpx_driver import no_tunnel_for

            diagnosis = await no_tunnel_for(self, method, endpoint, error)
            if diagnosis is None:
                raise
            raise error_for(diagnosis, instead_of=error) from None

    def _access(self) -> Access:
        """What a request of this client shows the server now."""
        session = not self._api_key and bool(self._oauth_access_token)
        endpoint = str(self._client.base_url).rstrip("/")
        return Access(endpoint, self._api_key, self._workspace_id, session)

    def _tied_by(self) -> str:
        """What of the httpx client belongs to its host alone: a parameter, a cookie."""
        http = self._client
        if http.params:
            return "a parameter of your client"
        if any(not c.domain or c.domain_specified for c in http.cookies.jar):
            return "a cookie of your client"
        return ""

    def _use(self, access: Access) -> None:
        """Take over a repaired access wherever the SDK keeps a copy of the old one."""
        if access.endpoint != self._access().endpoint:
            self._client.base_url = httpx.URL(access.endpoint)
            self._langsmith_api.base_url = base_of(access.endpoint)
        self._workspace_id = access.workspace
        self._set_key(access.key)
        # Remembered answers of the old access; a failed /info is kept as an empty one.
        self._settings = self._info = None


SafeAsyncClient.__init__.__signature__ = with_more(  # type: ignore[attr-defined]
    langsmith.AsyncClient.__init__, policy="Policy | None"
)
