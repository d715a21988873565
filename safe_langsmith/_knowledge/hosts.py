"""LangSmith's official hosts, and how to read the URL of an endpoint.

The regions are those of LangSmith's documentation ("Cloud": GCP US, GCP EU, GCP APAC,
AWS US). Pure functions: no DNS lookups, no requests.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from safe_langsmith._knowledge.keys import scrub


class Region(NamedTuple):
    """One LangSmith cloud region: its name, its API and its web app."""

    name: str
    api: str
    web: str


# The id of a workspace, a project or a run.
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Compiled on first use, to keep imports fast.
_OWNER = rf"^[^?#]*/o/({UUID})\b"
DEFAULT_ENDPOINT = "https://api.smith.langchain.com"
# Written out, so that a search finds every host that a key may be sent to.
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


# The limit of DNS.
_LONGEST_HOST = 255
# Of a longer text, only the beginning is searched for the URL of a page.
_LONGEST_URL = 2_000
# A host name in any script, or an IPv6 address with a zone.
_HOST = r"[^\s\x00-\x20\x7f<>\"{}|^`%/?#@\\\[\]]+|[0-9a-f:.]+%\w+"


@functools.lru_cache(maxsize=64)
def origin(url: str) -> str:
    """Scheme, host and port of a URL, in lower case, without a default port.

    Empty if the URL is invalid or ambiguous: for urllib3 the host ends at a backslash,
    for `urlsplit` it does not.
    """
    if "\\" in url:
        return ""
    try:
        parts = urlsplit(url.strip())
        # A trailing dot only marks a fully qualified name.
        host, port = (parts.hostname or "").lower().removesuffix("."), parts.port
    except ValueError:
        return ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or len(host) > _LONGEST_HOST or not re.fullmatch(_HOST, host):
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same origin. False if either is invalid."""
    return origin(one) == origin(other) != ""


def same_base(one: str, other: str) -> bool:
    """Whether two endpoints have the same origin, login and path.

    A trailing ``/api/v1`` or ``/api`` does not count.
    """
    return same_origin(one, other) and _login_and_path(one) == _login_and_path(other)


def _login_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(base_of(url))
    return parts.netloc.rpartition("@")[0], parts.path


def shown(url: str) -> str:
    """A URL for display: no user, password, query, fragment, or key in place of a URL."""
    unreadable = "an invalid URL"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # a password may be where the port should be
        return unreadable
    # A backslash is ambiguous: see `origin`. Text before an @ may be a password.
    login, _, netloc = parts.netloc.rpartition("@")
    rest = netloc + url.rpartition(parts.netloc)[2] if login else url
    if "\\" in parts.netloc or "@" in rest.replace("%40", "@"):
        return unreadable
    return scrub(urlunsplit((parts.scheme, netloc, parts.path, "", "")))


def region_of(url: str) -> Region | None:
    """The region whose API is at the host of this https URL, or None."""
    return next((r for r in REGIONS if origin(url) == r.api), None)


def region_of_web(url: str) -> Region | None:
    """The region whose web app is at this URL's host, or None.

    Such a URL is often pasted instead of the API's.
    """
    host = origin(url).replace("http://", "https://")
    return next((r for r in REGIONS if host == r.web), None)


class WebAddress(NamedTuple):
    """What the URL of a page in LangSmith's web app refers to.

    ``owner`` is the id after ``/o/``: a workspace, or on some pages the organization.
    ``region`` is None if the web app is not an official one.
    """

    owner: str
    region: Region | None = None


def web_address(text: str) -> WebAddress | None:
    """Parse the URL of a page in LangSmith's web app, on any host; None for other URLs.

    Example: ``https://smith.langchain.com/o/<id>/projects/p/<id>``.
    """
    url = text.strip().strip("\"'")[:_LONGEST_URL]
    if "://" not in url:
        url = f"https://{url}"
    found = re.search(_OWNER, url)
    if not found or not origin(url):
        return None
    return WebAddress(found.group(1).lower(), region_of_web(url))


def is_official(url: str) -> bool:
    """Whether this is an https URL at the host of an official LangSmith API."""
    return region_of(url) is not None


def base_of(url: str) -> str:
    """An endpoint without a trailing ``/api/v1`` or ``/api``: the base URL for probes."""
    return re.sub(r"/api(/v1)?\Z", "", url.rstrip("/"))


def settings_page(endpoint: str) -> str:
    """The page of this deployment's web app where keys are created."""
    region = region_of(endpoint) or region_of_web(endpoint)
    return f"{region.web if region else shown(base_of(endpoint))}/settings"
