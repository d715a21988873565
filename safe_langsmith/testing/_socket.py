"""Runs uvicorn on a loopback socket, in its own thread, and stops it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from safe_langsmith.testing._faults import Answer

# Iterations of the event loop to wait; aborting a connection takes fewer.
_TURNS = 8
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


class Listener:
    """A socket that is served from its creation until ``stop``."""

    def __init__(
        self,
        serve: Callable[[Request], Awaitable[Answer]],
        address: tuple[str, int],
        certificate: str | None,
        private_key: str | None,
    ) -> None:
        self._serve = serve
        config = uvicorn.Config(
            Starlette(routes=[Route("/{path:path}", self._respond, methods=_METHODS)]),
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        # Not in the thread: the caller gets the error if the certificate is invalid.
        config.load()
        self._socket = _bound(address)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._run, name="simulated-langsmith", daemon=True
        )
        self._thread.start()
        self._server.listening.wait()

    def stop(self) -> None:
        """Close the socket and its connections, and wait for the thread."""
        self._server.stop()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        own = threading.get_ident()

        def of_another_thread(record: logging.LogRecord) -> bool:
            return record.thread != own

        # Hide this server's log. Not with a level: the process may run another uvicorn.
        logger = logging.getLogger("uvicorn.error")
        logger.addFilter(of_another_thread)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            logger.removeFilter(of_another_thread)
            self._server.listening.set()

    async def _respond(self, request: Request) -> Response:
        answer = await self._serve(request)
        if answer.delay:
            await self._server.sleep(answer.delay)
        return Response(answer.body, answer.status, answer.headers)


def _bound(address: tuple[str, int]) -> socket.socket:
    # With an explicit protocol, asyncio sets TCP_NODELAY; otherwise a response takes 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows this option would let two servers share a port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


class _Server(uvicorn.Server):
    """A uvicorn that reports when it listens, and does not wait for idle clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop  # since startup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.listening.set()

    def stop(self) -> None:
        """Stop from another thread."""
        self.should_exit = True
        # It may have stopped for another reason, or never started.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """As in uvicorn, which polls every 0.1 s whether to stop; this one is woken."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            await self.sleep(0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        # When a server closes, asyncio leaks connections that were accepted but not set
        # up. With TLS that takes a while, and never ends for a silent client.
        for listener in sockets or ():
            self._loop.remove_reader(listener)
        busy = {asyncio.current_task(), *self.server_state.tasks}
        setting_up = asyncio.all_tasks() - busy
        if setting_up:
            await asyncio.wait(setting_up, timeout=1)
        # Keep-alive connections would delay the shutdown, especially with TLS, where both
        # sides close.
        self._abort(idle_only=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)  # gives them at least 0.1 s
            self._abort(idle_only=False)
            await asyncio.sleep(0)
            return
        for closing in (*self.servers, *(sockets or ())):
            closing.close()

    def _abort(self, idle_only: bool) -> None:
        for connection in list(self.server_state.connections):
            known: Any = connection
            busy = known.cycle is not None and not known.cycle.response_complete
            if not (busy and idle_only) and known.transport is not None:
                known.transport.abort()

    async def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or the server stops."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
