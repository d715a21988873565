"""LangSmith's own hosts, and what an endpoint's address tells.

The regions are those of LangSmith's documentation ("Cloud": GCP US, GCP EU, GCP APAC,
AWS US). Pure functions: nothing is resolved, nothing is sent.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit


class Region(NamedTuple):
    """One LangSmith cloud region: its name, its API and its web app."""

    name: str
    api: str
    web: str


# The id of a workspace, a project or a run.
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Patterns are compiled when they are used: not when a program starts.
_OWNER = rf"^[^?#]*/o/({UUID})\b"
DEFAULT_ENDPOINT = "https://api.smith.langchain.com"
# Written out, so that every host a key may be sent to can be found by searching for it.
REGIONS = (
    Region("US", DEFAULT_ENDPOINT, "https://smith.langchain.com"),
    Region("EU", "https://eu.api.smith.langchain.com", "https://eu.smith.langchain.com"),
    Region(
        "APAC", "https://apac.api.smith.langchain.com", "https://apac.smith.langchain.com"
    ),
    Region(
        "AWS US", "https://aws.api.smith.langchain.com", "https://aws.smith.langchain.com"
    ),
)


# What DNS allows a name to have.
_LONGEST_HOST = 255
_LONGEST_ADDRESS = 2_000
# What no name or number of a host holds, whatever the language that it is written in.
_HOST = r"[^\s\x00-\x20\x7f<>\"{}|^`%/?#@\\\[\]]+|[0-9a-f:.]+%\w+"


@functools.lru_cache(maxsize=64)
def origin(url: str) -> str:
    """Scheme, host and port of an address, in lower case, without a default port.

    Empty where the address cannot be read, or not in one way only: for urllib3 the host
    ends at a backslash, for `urlsplit` it does not.
    """
    if "\\" in url:
        return ""
    try:
        parts = urlsplit(url.strip())
        # A dot at the end says that a name is whole, and is no part of it.
        host, port = (parts.hostname or "").lower().removesuffix("."), parts.port
    except ValueError:
        return ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or len(host) > _LONGEST_HOST or not re.fullmatch(_HOST, host):
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses are of one host, and it is known which."""
    return origin(one) == origin(other) != ""


def same_base(one: str, other: str) -> bool:
    """Whether two endpoints are one: host, login and path, but for ``/api/v1`` behind."""
    return same_origin(one, other) and _login_and_path(one) == _login_and_path(other)


def _login_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(base_of(url))
    return parts.netloc.rpartition("@")[0], parts.path


def shown(url: str) -> str:
    """An address as people may see it: without user, password and query."""
    unreadable = "an address that cannot be read"
    try:
        parts = urlsplit(url)
        odd = parts.port == -1
    except ValueError:  # a password may stand where the port should be
        return unreadable
    # A backslash can be read in two ways: see `origin`. Before an @ may be a password.
    login, _, netloc = parts.netloc.rpartition("@")
    rest = netloc + url.rpartition(parts.netloc)[2] if login else url
    if odd or "\\" in parts.netloc or "@" in rest.replace("%40", "@"):
        return unreadable
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def region_of(url: str) -> Region | None:
    """The region whose API this https address is, or None."""
    return next((r for r in REGIONS if origin(url) == r.api), None)


def region_of_web(url: str) -> Region | None:
    """The region whose web app this address is (people paste it for the API), or None."""
    host = origin(url).replace("http://", "https://")
    return next((r for r in REGIONS if host == r.web), None)


class WebAddress(NamedTuple):
    """What the address of a page of LangSmith's web app names.

    ``owner`` stands behind ``/o/``: a workspace, or on some pages the organization.
    """

    owner: str
    region: Region | None = None


def web_address(text: str) -> WebAddress | None:
    """Read the address of a page of LangSmith's web app, on any host; None if it is none.

    ``https://smith.langchain.com/o/<id>/projects/p/<id>`` and the like.
    """
    url = text.strip().strip("\"'")[:_LONGEST_ADDRESS]
    if "://" not in url:
        url = f"https://{url}"
    found = re.search(_OWNER, url)
    if not found or not origin(url):
        return None
    return WebAddress(found.group(1).lower(), region_of_web(url))


def is_official(url: str) -> bool:
    """Whether this is the https address of an official LangSmith API."""
    return region_of(url) is not None


def base_of(url: str) -> str:
    """An endpoint without a trailing ``/api/v1`` or ``/api``: what probes start from."""
    return re.sub(r"/api(/v1)?\Z", "", url.rstrip("/"))


def settings_page(endpoint: str) -> str:
    """The page of this deployment's web app where keys are made."""
    region = region_of(endpoint) or region_of_web(endpoint)
    return f"{region.web if region else shown(base_of(endpoint))}/settings"
