"""The simulated LangSmith: what a test can set, and what it can read."""

from __future__ import annotations

import copy
import traceback
from typing import TYPE_CHECKING, Literal

from safe_langsmith.testing import _exchange, _faults, _routes
from safe_langsmith.testing._faults import Answer
from safe_langsmith.testing._population import Population
from safe_langsmith.testing._socket import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from starlette.requests import Request

    from safe_langsmith.testing._exchange import Exchange
    from safe_langsmith.testing._records import Record

Layout = Literal["cloud", "self-hosted", "web"]

_APP = b"""<!doctype html>
<html><head><title>LangSmith</title></head>\
<body><div id="root"></div><script src="/index.js"></script></body></html>
"""
_NOT_ALLOWED = (
    b"<html>\r\n<head><title>405 Not Allowed</title></head>\r\n<body>\r\n"
    b"<center><h1>405 Not Allowed</h1></center>\r\n<hr><center>nginx</center>\r\n"
    b"</body>\r\n</html>\r\n"
)
_INFO: Record = {
    "git_sha": "0000000000000000000000000000000000000000",
    "license_expiration_time": None,
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20971520,
    },
    "instance_flags": {
        "ch_query_enabled": True,
        "sdb_query_enabled": True,
        "dataset_examples_multipart_enabled": True,
        "examples_multipart_enabled": True,
        "zstd_compression_enabled": True,
    },
    "customer_info": None,
}


class SimulatedLangSmith(Population):
    """A LangSmith API on a loopback socket, for tests.

    A context manager; ``start`` and ``stop`` do the same. Thread-safe, also while it
    serves requests.

    ``layout`` says where the API is. "cloud": at ``/…``, ``/api/…`` and ``/api/v1/…``.
    "self-hosted": only below ``/api`` and ``/api/v1``, with the web app everywhere else.
    "web": nowhere, as at the URL of LangSmith's web app.
    """

    def __init__(
        self,
        layout: Layout = "cloud",
        *,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        version: str = "0.18.4",
    ) -> None:
        super().__init__()
        self._layout = layout
        self._host = host
        self._port = port
        self._ssl = (ssl_certfile, ssl_keyfile)
        self._exchanges: list[Exchange] = []
        self._rules = _faults.Rules()
        self._listener: Listener | None = None
        #: The response to ``GET /info``. Change it to switch features of the SDK.
        self.info: Record = {"version": version, **copy.deepcopy(_INFO)}

    # The socket

    def start(self) -> SimulatedLangSmith:
        """Listen, and return once requests are served."""
        if self._listener is None:
            address = (self._host, self._port)
            self._listener = Listener(self._serve, address, *self._ssl)
            self._port = self._listener.port
        return self

    def stop(self) -> None:
        """Stop listening, close all connections, end the thread.

        The exchanges remain available, and ``start`` listens on the same port.
        """
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def __enter__(self) -> SimulatedLangSmith:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port; before ``start`` it may still be 0."""
        return self._port

    @property
    def url(self) -> str:
        """The URL, without a path."""
        scheme = "https" if self._ssl[0] else "http"
        return f"{scheme}://{self._host}:{self._port}"

    # What happened

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request so far, in order of arrival."""
        with self._world.lock:
            return tuple(self._exchanges)

    def clear(self) -> None:
        """Clear the exchanges so far."""
        with self._world.lock:
            self._exchanges.clear()

    def saw(self, secret: str) -> bool:
        """Whether this text, such as a key, arrived in any header, path, query or body."""
        return any(exchange.contains(secret) for exchange in self.exchanges)

    @property
    def runs(self) -> dict[str, list[Record]]:
        """What was ingested: for each run id its operations, in order.

        Each has ``op`` ("post" or "patch"), ``workspace`` and the fields of the run. A
        run that was sent twice is there twice; refused requests add nothing.
        """
        with self._world.lock:
            return copy.deepcopy(self._records.arrivals)

    # Faults

    def answer(
        self,
        path: str,
        *,
        method: str | None = None,
        status: int | None,
        body: object = "",
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
        delay: float = 0.0,
    ) -> None:
        """Respond like this from now on, ``times`` times or forever. The newest wins.

        ``"/workspaces"`` stands for that path with any prefix, ``*`` for any text.
        ``body`` is text, bytes, or any JSON value. With status None, the request
        gets its real response, after ``delay`` seconds.
        """
        rule = _faults.new_rule(path, method, status, body, headers, times, delay)
        with self._world.lock:
            self._rules.add(rule)

    def clear_answers(self) -> None:
        """Remove all of these responses."""
        with self._world.lock:
            self._rules.clear()

    # Serving

    async def _serve(self, request: Request) -> Answer:
        body = await request.body()
        path = _faults.routed(request.scope["path"])
        with self._world.lock:
            try:
                answer = self._answer(request, path, body)
            except Exception:
                # A bug in the simulator: respond with the place, since nothing is logged.
                text = traceback.format_exc().encode()
                answer = Answer(500, text, {"content-type": "text/plain"})
            # Added before the response is sent, so the client finds the exchange.
            self._exchanges.append(_exchange.log(request, path, body, answer.status))
        return answer

    def _answer(self, request: Request, path: str, body: bytes) -> Answer:
        rule = self._rules.take(request.method, path)
        if rule and rule.status is not None:
            return Answer(rule.status, rule.body, rule.headers, rule.delay)
        delay = rule.delay if rule else 0.0
        api = self._layout == "cloud" or _faults.has_prefix(request.scope["path"])
        if self._layout == "web" or not api:
            return _web_page(request.method, delay)
        status, content = _routes.respond(
            _routes.Request(
                request.method, path, request.url.query, _exchange.headers(request), body
            ),
            self._world,
            self._records,
            self.info,
        )
        headers = {"content-type": "application/json"}
        if status == 501:  # the generated clients retry after any other 5xx
            headers["x-should-retry"] = "false"
        return Answer(status, content, headers, delay)


def _web_page(method: str, delay: float) -> Answer:
    status, page = (200, _APP) if method in ("GET", "HEAD") else (405, _NOT_ALLOWED)
    return Answer(status, page, {"content-type": "text/html"}, delay)
