"""What a request shows the server, and the first look at each answer.

All of this is at work for every request; what only a refusal needs stands further down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from safe_langsmith._knowledge.hosts import same_origin

# Statuses that may hide a refusal; what is none among them is told apart by the body.
_LOOKED_AT = frozenset({401, 403, 405})
# On prompt calls these may hide one, too: an unknown key makes a stranger of the sender.
_OF_A_STRANGER = frozenset({400, 404, 422})
HIDDEN_BY_A_PAGE = (200, 400, 404, 405)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request shows the server: where it goes, with which key and workspace.

    ``session`` says that an OAuth login session authenticates the request, ``foreign``
    that something else does, of which nothing is known here: a replica's service key or
    token.
    """

    endpoint: str
    key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    session: bool = False
    foreign: bool = False


def may_be_refusal(status: int, content_type: str, address: str) -> bool:
    """Whether an answer is worth a second look. Runs for every request."""
    if status in _LOOKED_AT or ("html" in content_type and status in HIDDEN_BY_A_PAGE):
        return True
    return status in _OF_A_STRANGER and _is_of_prompts(address)


def _is_of_prompts(address: str) -> bool:
    return "/commits/" in address or "/repos" in address


def came_as_get(asked: tuple[str, str], answered: tuple[str, str]) -> bool:
    """Whether a redirect to another host has turned another method into GET, as most do.

    Of method and address, before and after. One at the same host may be the API's own.
    """
    (method, before), (last, after) = asked, answered
    return method != last == "GET" and not same_origin(before, after)


def is_sure_refusal(status: int, content_type: str) -> bool:
    """Whether an answer is a refusal whatever its body says, as far as anybody reads it."""
    return status in (401, 403) or ("html" in content_type and status in HIDDEN_BY_A_PAGE)


def lets_in(status: int, address: str) -> bool:
    """Whether an answer shows that the server took the key. Runs for every request."""
    # These paths answer strangers too, so a good answer tells nothing about the key.
    return status < 400 and not (
        "/info" in address or _is_of_prompts(address) or "/public/" in address
    )
