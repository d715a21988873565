"""Run real nginx, haproxy, and squid as subprocesses, each with a small configuration.

Placeholders in a configuration: $PORT (where the middlebox listens), $ORIGIN (the port of
the server behind it), $FOLDER (its temporary folder), $HOST, $CHAIN and $PRIVATE (its
certificate), and $AUTHORITY (the CA it trusts).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import Literal

import tls

Program = Literal["nginx", "haproxy", "squid"]

PACKAGES: dict[Program, str] = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "squid": "squid-openssl",
}
COMMANDS: dict[Program, str] = {
    "nginx": "nginx -e $FOLDER/errors -c $FOLDER/config",
    "haproxy": "haproxy -db -f $FOLDER/config",
    # The name after -n keeps the shared memory of two instances apart.
    "squid": "squid -N -n box$PORT -f $FOLDER/config",
}
# Graceful: each finishes its requests first, so its log is complete.
LEAVE: dict[Program, signal.Signals] = {
    "nginx": signal.SIGQUIT,
    "haproxy": signal.SIGUSR1,
    "squid": signal.SIGTERM,
}
START_S = 10.0
STOP_S = 10.0

# Squid does not run as root. The Debian package creates this user.
SQUID_USER = "proxy"

_NGINX = """
daemon off;
user root;
worker_processes 1;
worker_shutdown_timeout 2s;
pid $FOLDER/pid;
events {}
http {
  log_format requests '$request_method $uri $http_x_api_key';
  access_log $FOLDER/requests requests;
  client_body_temp_path $FOLDER/bodies;
  proxy_temp_path $FOLDER/proxied;
  fastcgi_temp_path $FOLDER/fastcgi;
  uwsgi_temp_path $FOLDER/uwsgi;
  scgi_temp_path $FOLDER/scgi;
  server {
    listen 127.0.0.1:$PORT $SSL;
    $CERTIFICATE
    location / { proxy_pass http://127.0.0.1:$ORIGIN; $LOCATION }
    $SERVER
  }
}
"""
_HAPROXY = """
global
    log stdout format raw local0
    hard-stop-after 2s
defaults
    mode http
    log global
    log-format "%HM %HP %[capture.req.hdr(0)]"
    option dontlognull
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend box
    bind 127.0.0.1:$PORT
    http-request capture req.hdr(x-api-key) len 200
    http-request set-var(txn.path) path
    $RULES
    default_backend origin
backend origin
    server origin 127.0.0.1:$ORIGIN
"""
_SQUID = """
pid_filename none
pinger_enable off
cache deny all
netdb_filename none
shutdown_lifetime 0 seconds
dns_nameservers 127.0.0.1
hosts_file $FOLDER/hosts
cache_effective_user $USER
cache_log $FOLDER/errors
logformat requests %rm %ru %{x-api-key}>h
access_log stdio:$FOLDER/requests requests
http_port 127.0.0.1:$PORT $INTERCEPTION
$RULES
http_access allow all
"""
_CERTIFICATE = "ssl_certificate $CHAIN; ssl_certificate_key $PRIVATE;"


@dataclass(frozen=True)
class Config:
    """The configuration of a middlebox, and more files for its folder."""

    program: Program
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def nginx(location: str = "", server: str = "", *, tls: bool = False) -> Config:
    """A reverse proxy, with more directives in its location and its server block."""
    parts = {
        "LOCATION": location,
        "SERVER": server,
        "SSL": "ssl" if tls else "",
        "CERTIFICATE": _CERTIFICATE if tls else "",
    }
    return Config("nginx", Template(_NGINX).safe_substitute(parts))


def haproxy(*rules: str, body: bytes = b"") -> Config:
    """A reverse proxy with these rules. They can respond with $FOLDER/body."""
    text = Template(_HAPROXY).safe_substitute(RULES="\n    ".join(rules))
    return Config("haproxy", text, {"body": body})


def squid(*rules: str, intercepts: bool = False, helper: str = "") -> Config:
    """A forward proxy with these rules. They can use the script $FOLDER/helper.

    If it intercepts TLS, it sends the requests for every host to the server behind it.
    """
    interception = ""
    if intercepts:
        interception = (
            "ssl-bump tls-cert=$CHAIN tls-key=$PRIVATE generate-host-certificates=off"
        )
        rules = (
            *rules,
            "ssl_bump bump all",
            "cache_peer 127.0.0.1 parent $ORIGIN 0 no-query no-digest originserver "
            "tls tls-cafile=$AUTHORITY ssldomain=$HOST",
            "never_direct allow all",
        )
    parts = {"RULES": "\n".join(rules), "INTERCEPTION": interception}
    files = {"hosts": b"127.0.0.1 $HOST\n", "helper": helper.encode()}
    return Config("squid", Template(_SQUID).safe_substitute(parts), files)


@dataclass(frozen=True)
class Seen:
    """A request in the log of a middlebox, with its API key ("-" if none)."""

    method: str
    path: str
    key: str


class Box:
    """A running middlebox."""

    def __init__(self, config: Config, port: int, names: Mapping[str, str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._root = tempfile.TemporaryDirectory(prefix="middlebox")
        self._folder = Path(self._root.name)
        known = {"PORT": str(port), "FOLDER": self._root.name, "USER": SQUID_USER, **names}
        files = {**config.files, "config": config.text.encode()}
        for name, content in files.items():
            # Latin-1 keeps every byte as it is.
            text = Template(content.decode("latin-1")).safe_substitute(known)
            (self._folder / name).write_bytes(text.encode("latin-1"))
        if config.program == "squid" and os.geteuid() == 0:
            shutil.chown(self._folder, SQUID_USER)
        command = Template(COMMANDS[config.program]).substitute(known).split()
        command[0] = str(_path_of(config.program))
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Its own process group, because some start helpers.
                start_new_session=True,
            )
        self._leave = LEAVE[config.program]

    def wait_until_it_listens(self) -> None:
        """Wait until it accepts connections."""
        end = time.monotonic() + START_S
        while not self._listens():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"it did not start:\n{self._read('output', 'errors')}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Stop it and wait for it to exit."""
        self.leave()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def leave(self) -> None:
        """Ask it to exit. It stops listening at once; squid then needs 2 s to exit."""
        if self._process.poll() is None:
            self._process.send_signal(self._leave)

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        self._root.cleanup()

    @property
    def seen(self) -> list[Seen]:
        """All requests it received. This stops it, so that the log is complete."""
        self.stop()
        rows = (line.split(" ") for line in self._read("requests", "output").splitlines())
        return [Seen(*row) for row in rows if len(row) == 3 and row[0] in _METHODS]

    def count(self, request: str) -> int:
        """How many requests like "POST /runs/*" it received."""
        method, _, path = request.partition(" ")
        paths = [seen.path.partition("?")[0] for seen in self.seen if seen.method == method]
        return sum(fnmatchcase(found, f"*{path}") for found in paths)

    def _read(self, *names: str) -> str:
        paths = (self._folder / name for name in names)
        return "".join(p.read_text(errors="replace") for p in paths if p.exists())


_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}


@contextmanager
def running(
    config: Config, origin: int, *, host: str = "127.0.0.1", wrong: str = ""
) -> Iterator[Box]:
    """Run a middlebox in front of a server, with a certificate for a host.

    ``wrong`` makes the certificate invalid, see ``tls``. On exit the middlebox is asked to
    stop; ``reaped`` waits for it.
    """
    chain, private = tls.wrong_files_for(host, wrong) if wrong else tls.files_for(host)
    names = {
        "ORIGIN": str(origin),
        "HOST": host,
        "CHAIN": chain,
        "PRIVATE": private,
        "AUTHORITY": tls.authority_file(),
    }
    with ExitStack() as stack:
        with _free_port() as port:
            box = Box(config, port, names)
            _BOXES.append(box)
            stack.callback(box.leave)
            box.wait_until_it_listens()
        yield box


_BOXES: list[Box] = []


def reaped() -> None:
    """Wait for every middlebox to exit."""
    while _BOXES:
        _BOXES.pop().close()


@contextmanager
def _free_port() -> Iterator[int]:
    """A free port. It stays reserved until the middlebox listens on it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def missing() -> str:
    """Why these tests cannot run here, or an empty string."""
    absent = [name for name in PACKAGES if _path_of(name) is None]
    if not absent:
        return ""
    packages = " ".join(PACKAGES.values())
    return f"{', '.join(absent)} not found: install the Debian packages {packages}"


def _path_of(program: Program) -> str | None:
    # Debian installs them here, which is not on every user's PATH.
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
