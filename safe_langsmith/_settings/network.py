"""The environment variables for proxies and certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from safe_langsmith._knowledge.hosts import origin, shown

# requests reads the first two, httpx the others.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
# Read by urllib for requests and httpx, in upper or lower case.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Proxy(NamedTuple):
    """A proxy: the variable that sets it, and its URL without a login."""

    variable: str = ""
    address: str = ""
    has_login: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """The variables for proxies (which may contain a login) and certificates."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)

    def proxy(self, url: str) -> Proxy:
        """The proxy that both HTTP libraries use for a URL, or an empty one."""
        parts = urlsplit(origin(url))
        host, direct = parts.hostname or "", self.variables.get(self.name("no_proxy"), "")
        for name in (one.strip().lstrip(".").lower() for one in direct.split(",")):
            if name and (name in ("*", host) or host.endswith(f".{name}")):
                return Proxy()
        for kind in (parts.scheme, "all"):
            if variable := self.name(f"{kind}_proxy"):
                value = self.variables[variable]
                address = shown(value if "://" in value else f"http://{value}").rstrip("/")
                return Proxy(variable, address, "@" in value)
        return Proxy()

    def name(self, wanted: str) -> str:
        """The spelling of a proxy variable that is set; lower case wins."""
        if wanted in self.variables:
            return wanted if self.variables[wanted] else ""
        spelled = [n for n, v in self.variables.items() if n.lower() == wanted and v]
        return spelled[-1] if spelled else ""

    def certificates(self, read: tuple[str, ...]) -> str:
        """The first of these variables that is set; empty if none is."""
        return next((name for name in read if self.variables.get(name)), "")


def read_network() -> Network:
    """Read the variables for proxies, in upper or lower case, and for certificates."""
    return Network(
        {
            name: os.environ.get(name, "")  # another thread may remove it
            for name in os.environ
            if name.lower().endswith("_proxy") or name in CERTIFICATES
        }
    )


def unused_of_network(
    in_file: Mapping[str, str | None], place: Mapping[str, str]
) -> Iterator[str]:
    """Report proxies and certificates in a `.env` file: our commands do not use those.

    If they did, any file that is found could send each request through its proxy.
    """
    for name, value in in_file.items():
        known = name.lower() in _PROXIES or name in CERTIFICATES
        if known and value != "" and name not in os.environ:
            yield f"{place[name]} sets {name}, which the doctor does not use"
