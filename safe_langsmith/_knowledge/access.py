"""What a request sends, and the first check of each response: is it a refusal?

This runs for every request, so it is small.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from safe_langsmith._knowledge.hosts import same_origin

# On prompt calls, these may be refusals: the server treats an unknown key as anonymous.
_MAYBE_ON_PROMPTS = frozenset({400, 404, 422})
# With a web page instead of JSON, these are refusals by a proxy or a wrong endpoint.
HIDDEN_BY_A_PAGE = (200, 400, 404, 405)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request sends: its endpoint, key and workspace.

    ``session``: an OAuth login session authenticates the request. ``foreign``: another
    credential does, such as a replica's service key, token or cookie.
    """

    endpoint: str
    key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    session: bool = False
    foreign: bool = False


def may_be_refusal(status: int, content_type: str, url: str) -> bool:
    """Whether a response needs a closer look. Runs for every request."""
    if status == 405 or is_sure_refusal(status, content_type):
        return True
    return status in _MAYBE_ON_PROMPTS and _is_of_prompts(url)


def _is_of_prompts(url: str) -> bool:
    return "/commits/" in url or "/repos" in url


def came_as_get(asked: tuple[str, str], answered: tuple[str, str]) -> bool:
    """Whether a redirect to another host has turned another method into GET.

    Takes (method, URL) before and after. A redirect within a host may be the API's own.
    """
    (method, before), (last, after) = asked, answered
    return method != last == "GET" and not same_origin(before, after)


def is_sure_refusal(status: int, content_type: str) -> bool:
    """Whether a response is a refusal whatever its body says."""
    return status in (401, 403) or ("html" in content_type and status in HIDDEN_BY_A_PAGE)


def proves_key(status: int, url: str) -> bool:
    """Whether a response proves that the key was accepted. Runs for every request."""
    # These paths also answer without a key, so success proves nothing about it.
    return status < 400 and not ("/info" in url or _is_of_prompts(url) or "/public/" in url)
