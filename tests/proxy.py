"""A TCP proxy in front of a server, which breaks the responses that a test chooses.

It uses real sockets, so a client sees the same errors as on a bad network.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from types import TracebackType

HEADER_LIMIT = 1_000_000


@dataclass(frozen=True)
class Request:
    """A request, with its complete head and body as bytes."""

    method: str
    path: str
    raw: bytes


@dataclass(frozen=True)
class Line:
    """The connection to a client, as a fault uses it."""

    socket: socket.socket
    proxy: Proxy
    request: Request

    def answer(self) -> bytes:
        """Forward the request to the server, and return its response."""
        return self.proxy.forward(self.request)

    def send(self, data: bytes) -> None:
        """Send to the client."""
        self.socket.sendall(data)

    def reset(self) -> None:
        """Break the connection: the client sees "connection reset by peer"."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    @property
    def over(self) -> threading.Event:
        """Set when the test is over, to end all faults."""
        return self.proxy.over


Fault = Callable[[Line], None]


class Proxy:
    """Forwards requests to a server; ``choose`` returns the fault of a request, or None.

    A connection ends after a fault. ``seen`` are the requests that arrived, and
    ``passed`` those that were forwarded to the server.
    """

    def __init__(self, port: int, choose: Callable[[Proxy, Request], Fault | None]) -> None:
        self._port = port
        self._choose = choose
        self.over = threading.Event()
        self.seen: list[Request] = []
        self.passed: list[Request] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def refuse(self) -> None:
        """Stop listening: new connections are refused."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            incoming = client.makefile("rb")
            while True:
                request = _read(incoming)
                if request is None:
                    break
                self.seen.append(request)
                fault = self._choose(self, request)
                line = Line(client, self, request)
                if fault is None:
                    line.send(line.answer())
                    continue
                incoming.close()
                fault(line)
                break
        self._open.discard(client)

    def forward(self, request: Request) -> bytes:
        """Forward a request, and return the response with a Content-Length."""
        self.passed.append(request)
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            server.sendall(request.raw)
            answer = http.client.HTTPResponse(server, method=request.method)
            answer.begin()
            body = answer.read()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP_BY_HOP]
        kept.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in kept)
        status = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
        return f"{status}{head}\r\n".encode("latin-1") + body

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.refuse()
        for client in list(self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")


def _read(incoming: BinaryIO) -> Request | None:
    """Return the next request of a connection, or None at its end."""
    first = incoming.readline(HEADER_LIMIT)
    head, row = first, first
    while row.strip():
        row = incoming.readline(HEADER_LIMIT)
        head += row
    if not row:
        return None
    headers = http.client.parse_headers(io.BytesIO(head[len(first) :]))
    body = incoming.read(int(headers.get("Content-Length", "0")))
    method, path, _ = first.decode("latin-1").split(" ", 2)
    return Request(method, path, head + body)


# --- the faults ---------------------------------------------------------------------------


def reset_before(line: Line) -> None:
    """The connection breaks before the request is forwarded."""
    line.reset()


def reset_within(line: Line) -> None:
    """The connection breaks in the middle of the response."""
    answer = line.answer()
    line.send(answer[: len(answer) - 1])
    line.reset()


def lost(line: Line) -> None:
    """The server executes the request, and its response is lost."""
    line.answer()
    line.reset()


def truncated(line: Line) -> None:
    """The response ends early, without a connection error."""
    answer = line.answer()
    line.send(answer[: len(answer) - 1])


def silent(line: Line) -> None:
    """No response is ever sent."""
    line.over.wait()


def dripping_body(line: Line) -> None:
    """A refusal that never ends: each byte arrives before any timeout."""
    line.send(_head(403, "Content-Length: 900000"))
    _drip(line, b"x")


def dripping_headers(line: Line) -> None:
    """A response whose headers never end, one byte at a time."""
    line.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(line, b"x")


def endless_body(line: Line) -> None:
    """A refusal that never ends, sent as fast as possible."""
    line.send(_head(403, "Transfer-Encoding: chunked"))
    while not line.over.is_set():
        line.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")


def endless_headers(line: Line) -> None:
    """An endless number of headers."""
    line.send(b"HTTP/1.1 200 OK\r\n")
    while not line.over.is_set():
        line.send(b"X-More: and more\r\n" * 100)


def huge(line: Line) -> None:
    """A refusal of 3 MB."""
    body = b'{"detail": "' + b"x" * 3_000_000 + b'"}'
    line.send(_head(403, f"Content-Length: {len(body)}") + body)


def too_long(line: Line) -> None:
    """The Content-Length of the response is too large."""
    head, _, body = line.answer().partition(b"\r\n\r\n")
    said = f"Content-Length: {len(body)}".encode()
    more = f"Content-Length: {len(body) + 10}".encode()
    line.send(head.replace(said, more) + b"\r\n\r\n" + body)


def too_short(line: Line) -> None:
    """The Content-Length is too small; the rest looks like another response."""
    line.send(_head(200, "Content-Length: 1") + b"[]HTTP/1.1 200 OK\r\n\r\n")


def garbage(line: Line) -> None:
    """The response is not HTTP."""
    line.send(b"\x00\x16\x03\x01 lsv2\xff\r\n\r\n")


def not_gzip(line: Line) -> None:
    """The response is not in the encoding that its header names."""
    body = b"this is no gzip"
    line.send(_head(403, f"Content-Encoding: gzip\r\nContent-Length: {len(body)}") + body)


def no_connection(line: Line) -> None:
    """The server no longer listens."""
    line.proxy.refuse()
    line.reset()


def _head(status: int, more: str) -> bytes:
    kind = "Content-Type: application/json"
    return f"HTTP/1.1 {status} Whatever\r\n{kind}\r\n{more}\r\n\r\n".encode()


def _drip(line: Line, byte: bytes) -> None:
    while not line.over.wait(0.05):
        line.send(byte)


def redirecting(where: str) -> Fault:
    """Return a fault that redirects to another host."""

    def redirect(line: Line) -> None:
        line.send(_head(307, f"Location: {where}{line.request.path}\r\nContent-Length: 0"))

    return redirect


FAULTS: tuple[Fault, ...] = (
    reset_before,
    reset_within,
    lost,
    truncated,
    silent,
    dripping_body,
    dripping_headers,
    endless_body,
    endless_headers,
    huge,
    too_long,
    too_short,
    garbage,
    not_gzip,
    no_connection,
)
