"""Checks each response of the SDK's httpx clients before the SDK sees it.

The counterpart of `hook`: it only detects possible refusals. An `httpx.Auth` may send a
request again.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator
from typing import Any

from safe_langsmith._knowledge.access import may_be_refusal, proves_key
from safe_langsmith._sdk.clients import key_of, workspace_of
from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.guard import Guard, step_aside
from safe_langsmith._sdk.modules import connection_errors, httpx
from safe_langsmith._transport.httpx_requests import (
    can_send,
    log_in,
    lost_its_method,
)
from safe_langsmith._transport.owner import MEMORIES, Owner
from safe_langsmith._transport.passed_on import hide_keys
from safe_langsmith.errors import AccessDeniedError, error_for, unsent_resource_error

# The plain client also raises these if there is no response.
_NO_ANSWER = (httpx.HTTPError, httpx.StreamError, OSError)


class RefusalAuth(httpx.Auth):
    """Repairs or explains refused requests of one httpx client.

    ``generated``: the client belongs to the generated resources, whose errors have the
    response. ``home``: only URLs below it are checked. Refers to its owner weakly.
    """

    def __init__(self, owner: Owner, http: Any, *, generated: bool, home: str = "") -> None:
        self.home = home
        self.owner = weakref.ref(owner)
        self.http = weakref.ref(http)
        self.generated = generated

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request of a sync client, and handle a refusal."""
        unsent = None if self.generated else self._unsent(request)
        if unsent is not None:
            raise unsent
        _log_in(request)
        response = yield request
        driver = self._driver_for(request, response)
        if driver is not None:
            watched = self.owner(), self.http(), self.generated
            try:
                yield from driver.answer(watched, request, response)
            except _NO_ANSWER:  # pragma: no cover  (as in the async flow)
                raise
            except Exception as error:
                step_aside("handle a refused request", error)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request of an async client, and handle a refusal."""
        unsent = None if self.generated else await self._unsent_async(request)
        if unsent is not None:
            raise unsent
        _log_in(request)
        response = yield request
        driver = self._driver_for(request, response)
        if driver is None:
            return
        watched = self.owner(), self.http(), self.generated
        # `yield from`, written out: async generators do not have it.
        flow = driver.async_answer(watched, request, response)
        try:
            again = await anext(flow)
            while True:
                again = await flow.asend((yield again))
        except StopAsyncIteration:
            return
        except _NO_ANSWER:
            raise
        except Exception as error:
            step_aside("handle a refused request", error)
        finally:
            await flow.aclose()

    def _unsent(self, request: httpx.Request) -> Exception | None:
        """The error for a request that cannot be sent: see `can_send`."""
        owner = self.owner()
        with Guard("explain a request that cannot be sent"):
            if owner is not None and not can_send(owner, request):
                return error_for(_late().unsent(owner, request))
        return None

    async def _unsent_async(self, request: httpx.Request) -> Exception | None:
        """The same for an async client."""
        owner = self.owner()
        with Guard("explain a request that cannot be sent"):
            if owner is not None and not can_send(owner, request):
                return error_for(await _late().unsent_async(owner, request))
        return None

    def _driver_for(self, request: httpx.Request, response: httpx.Response) -> Any:
        """The handler for a response that may be a refusal, or None."""
        owner, http = self.owner(), self.http()
        with Guard("check a response"):
            if owner and http and self._look(owner, request, response):
                with no_fork:
                    from safe_langsmith._transport import httpx_driver

                return httpx_driver
        return None

    def _look(self, owner: Owner, request: httpx.Request, response: httpx.Response) -> bool:
        status = response.status_code
        if owner._safe is None or (
            self.home and not str(request.url).startswith(self.home)
        ):
            return False
        kind = response.headers.get("Content-Type", "")
        # httpx decodes a path each time that it is read.
        if may_be_refusal(status, kind, request.url.path if status >= 400 else ""):
            return True
        # httpx has followed redirects already, if it may: most turn POST into GET.
        if 300 <= status < 400 and response.has_redirect_location:
            return True
        if response.request is not request and lost_its_method(request, response.request):
            return True
        if MEMORIES and proves_key(status, request.url.path):
            with no_fork:
                from safe_langsmith._transport.flights import FLIGHTS
                from safe_langsmith._transport.httpx_exchange import HttpxExchange

            sent = HttpxExchange(owner, request, response)
            FLIGHTS.end(sent.access, sent.operation)
        worked = owner._safe.worked
        # httpx searches all headers for each lookup, so headers are checked only until the
        # client's own are known to work.
        if hash((key_of(owner), workspace_of(owner))) in worked:
            return False
        if proves_key(status, request.url.raw_path.decode("ascii")):
            headers = request.headers
            worked.add(hash((headers.get("x-api-key"), headers.get("X-Tenant-Id"))))
        return False


class ResourceWatcher:
    """Called for each request of `client.runs` and the other v2 resources.

    Refers to its client weakly.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = weakref.ref(owner)
        self._auth: RefusalAuth | None = None

    def auth(self, http: Any) -> RefusalAuth | None:
        """The auth object for each request; a new one if the httpx client changes."""
        auth = self._auth
        if http is None:
            return None
        if auth is None or auth.http() is not http:
            owner = self._owner()
            auth = RefusalAuth(owner, http, generated=True) if owner else None
            self._auth = auth
        return auth

    def unsent(self, request: httpx.Request) -> Exception | None:
        """Explain a request that cannot be sent; the SDK would try it three times."""
        owner = self._owner()
        with Guard("explain a request that cannot be sent"):
            if owner is not None and not can_send(owner, request):
                diagnosis = _late().unsent(owner, request)
                return unsent_resource_error(diagnosis, request)
        return None

    async def unsent_async(self, request: httpx.Request) -> Exception | None:
        """The same for an async client."""
        owner = self._owner()
        with Guard("explain a request that cannot be sent"):
            if owner is not None and not can_send(owner, request):
                diagnosis = await _late().unsent_async(owner, request)
                return unsent_resource_error(diagnosis, request)
        return None

    def explained(self, error: Any) -> Exception | None:
        """Name the proxy if it refused to connect to LangSmith.

        The typed error has no context: how the SDK got to its own error is only noise.
        """
        if isinstance(error, AccessDeniedError):
            return error.with_traceback(None)
        owner = self._of_a_connection(error)
        with Guard("explain a failed connection"):
            if owner is not None:
                sent = error.request
                found = _late().no_tunnel(owner, sent.method, sent, error)
                return unsent_resource_error(found, sent) if found else None
        return None

    async def explained_async(self, error: Any) -> Exception | None:
        """The same for an async client."""
        if isinstance(error, AccessDeniedError):
            return error.with_traceback(None)
        owner = self._of_a_connection(error)
        with Guard("explain a failed connection"):
            if owner is not None:
                sent = error.request
                found = await _late().no_tunnel_async(owner, sent.method, sent, error)
                return unsent_resource_error(found, sent) if found else None
        return None

    def _of_a_connection(self, error: Any) -> Owner | None:
        """The client, if its connection failed. Masks the keys in any error."""
        owner = self._owner()
        with Guard("mask keys in an error"):
            if owner is not None:  # pragma: no branch  # its resources keep it alive
                hide_keys(owner, error)
        return owner if isinstance(error, connection_errors()) else None


def _log_in(request: httpx.Request) -> None:
    with Guard("send the login in a URL"):
        log_in(request)


def _late() -> Any:
    """The module for requests that could not be sent."""
    with no_fork:
        from safe_langsmith._transport import httpx_unsent

    return httpx_unsent
