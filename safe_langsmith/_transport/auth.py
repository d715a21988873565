"""The look at each answer of the SDK's httpx clients, before the SDK sees it.

The counterpart of `_hook`: it only tells what may be a refusal from what is none.
httpx calls this an Auth: a flow that may send a request once more.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from langsmith import APIConnectionError
from langsmith._httpx import httpx
from langsmith._internal import _openapi_auth

from safe_langsmith._knowledge.access import came_as_get, lets_in, may_be_refusal
from safe_langsmith._knowledge.hosts import origin
from safe_langsmith._sdk.late import load
from safe_langsmith.errors import error_for, unsent_resource_error

if TYPE_CHECKING:
    from safe_langsmith._transport.settle import Owner


class RefusalAuth(httpx.Auth):
    """Has refused requests of one httpx client answered, or explained.

    ``generated``: the client serves the generated resources, whose errors carry the
    response. It holds its owner weakly.
    """

    def __init__(self, owner: Owner, http: Any, *, generated: bool) -> None:
        self.owner = weakref.ref(owner)
        self.http = weakref.ref(http)
        self.generated = generated

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """See one request of a sync client to its end."""
        log_in(request)
        response = yield request
        if self._is_suspect(request, response):
            load()
            from safe_langsmith._transport.httpx_driver import answer

            yield from answer(self, request, response)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """See one request of an async client to its end."""
        owner = self.owner()
        if owner and not self.generated and not _has_origin(request.url):
            load()
            from safe_langsmith._transport.httpx_driver import unsent

            raise error_for(await unsent(owner, request))
        log_in(request)
        response = yield request
        if not self._is_suspect(request, response):
            return
        load()
        from safe_langsmith._transport.httpx_driver import async_answer

        # What `yield from` is to a generator, spelled out: an async one has no such word.
        flow = async_answer(self, request, response)
        try:
            again = await anext(flow)
            while True:
                again = await flow.asend((yield again))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def _is_suspect(self, request: httpx.Request, response: httpx.Response) -> bool:
        """Whether an answer may be a refusal; if it is none, remember who was let in."""
        owner, status = self.owner(), response.status_code
        if owner is None:
            return False
        kind = response.headers.get("Content-Type", "")
        # httpx decodes a path each time that it is asked for.
        if may_be_refusal(status, kind, request.url.path if status >= 400 else ""):
            return True
        # Where httpx follows redirects, it has done so by now: most turn POST into GET.
        if 300 <= status < 400 and response.has_redirect_location:
            return True
        if response.request is not request and lost_its_method(request, response.request):
            return True
        worked = owner._ledger.worked
        # httpx goes through all headers for each name that is asked for, so they are
        # looked at until the client's own are known to work.
        if hash((owner._api_key, owner._workspace_id)) in worked:
            return False
        if lets_in(status, request.url.raw_path.decode("ascii")):
            headers = request.headers
            worked.add(hash((headers.get("x-api-key"), headers.get("X-Tenant-Id"))))
        return False


def lost_its_method(first: httpx.Request, request: httpx.Request) -> bool:
    """Whether this is what a redirect to another host has left of a request."""
    before, after = ((one.method, str(one.url)) for one in (first, request))
    return came_as_get(before, after)


def log_in(request: httpx.Request) -> None:
    """Let a login in the address be sent, as httpx does where no Auth is set."""
    url = request.url
    if url.userinfo:
        next(httpx.BasicAuth(url.username, url.password).auth_flow(request))


class WatchedAsync(_openapi_auth.AsyncClient):
    """A generated async client that gives each of its requests to a `RefusalAuth`.

    So do its copies, whatever httpx client they were given.
    """

    _owner: weakref.ref[Owner]
    _auth: RefusalAuth | None = None

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        """As the SDK's; a proxy that will not connect to LangSmith is named."""
        try:
            return await super().request(*args, **kwargs)
        except APIConnectionError as error:
            load()
            from safe_langsmith._transport.httpx_driver import no_tunnel_for

            owner, sent = self._owner(), error.request
            found = owner and await no_tunnel_for(owner, sent.method, sent, error)
            if not found:
                raise
            raise unsent_resource_error(found, sent) from None

    async def _prepare_request(self, request: httpx.Request) -> None:
        """Explain an address that is none; sending it would be tried three times."""
        owner = self._owner()
        if owner and not _has_origin(request.url):
            load()
            from safe_langsmith._transport.httpx_driver import unsent

            raise unsent_resource_error(await unsent(owner, request), request)
        await super()._prepare_request(request)

    @property
    def custom_auth(self) -> RefusalAuth | None:
        """The SDK's own seam: asked before each request."""
        return _auth_of(self)

    def _validate_headers(self, headers: Any, custom_headers: Any) -> None:
        """Let a request without a key go out: the server refuses it, and we say why."""
        if _chooses_credentials(custom_headers):
            super()._validate_headers(headers, custom_headers)

    def copy(self, **options: Any) -> WatchedAsync:
        """Copy as the SDK does; the copy is watched too."""
        return _handed_on(super().copy(**options), self._owner)

    with_options = copy


class WatchedSync(_openapi_auth.SyncClient):
    """The same for the generated sync client."""

    _owner: weakref.ref[Owner]
    _auth: RefusalAuth | None = None

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """As the SDK's; a proxy that will not connect to LangSmith is named."""
        try:
            return super().request(*args, **kwargs)
        except APIConnectionError as error:
            load()
            from safe_langsmith._transport.httpx_driver import no_tunnel_here

            owner, sent = self._owner(), error.request
            found = owner and no_tunnel_here(owner, sent.method, sent, error)
            if not found:
                raise
            raise unsent_resource_error(found, sent) from None

    def _prepare_request(self, request: httpx.Request) -> None:
        """Explain an address that is none; sending it would be tried three times."""
        owner = self._owner()
        if owner and not _has_origin(request.url):
            load()
            from safe_langsmith._transport.httpx_driver import unsent_here

            raise unsent_resource_error(unsent_here(owner, request), request)
        super()._prepare_request(request)

    @property
    def custom_auth(self) -> RefusalAuth | None:
        """The SDK's own seam: asked before each request."""
        return _auth_of(self)

    def _validate_headers(self, headers: Any, custom_headers: Any) -> None:
        """Let a request without a key go out: the server refuses it, and we say why."""
        if _chooses_credentials(custom_headers):
            super()._validate_headers(headers, custom_headers)

    def copy(self, **options: Any) -> WatchedSync:
        """Copy as the SDK does; the copy is watched too."""
        return _handed_on(super().copy(**options), self._owner)

    with_options = copy


_WATCHED: dict[type, type] = {
    _openapi_auth.AsyncClient: WatchedAsync,
    _openapi_auth.SyncClient: WatchedSync,
}
Watched = TypeVar("Watched", WatchedAsync, WatchedSync)
Generated = TypeVar("Generated", _openapi_auth.AsyncClient, _openapi_auth.SyncClient)


def watched(generated: Generated, owner: Owner) -> Generated:
    """Watch a generated client of the SDK.

    The SDK makes it, with a class of its own; so the class is changed afterwards.
    """
    kind = _WATCHED.get(type(generated))
    if kind is not None:
        made: Any = generated
        made.__class__ = kind
        made._owner = weakref.ref(owner)
    return generated


def _has_origin(url: httpx.URL) -> bool:
    """Whether an address names a host, as far as all that read it agree."""
    return origin(f"{url.scheme}://{url.netloc.decode('ascii')}") != ""


def _chooses_credentials(headers: Mapping[str, object]) -> bool:
    """Whether a request names its own credentials, or takes them away."""
    return any(name.lower() in ("authorization", "x-api-key") for name in headers)


def _auth_of(client: WatchedAsync | WatchedSync) -> RefusalAuth | None:
    """What watches a generated client: made anew when its httpx client is another one."""
    auth = client._auth
    if auth is None or auth.http() is not client._client:
        owner = client._owner()
        auth = RefusalAuth(owner, client._client, generated=True) if owner else None
        client._auth = auth
    return auth


def _handed_on(twin: Watched, owner: weakref.ref[Owner]) -> Watched:
    twin._owner = owner
    return twin
