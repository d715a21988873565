"""The types that the decision and a transport exchange.

The decision is a generator. It yields a `Probe` (a read-only request), a `ProbeAll`
(several at the same time) or a `Resend` (the refused request again, changed), and
receives a `Reply` or `Unreachable`. It uses no HTTP library, no clock and no file, so
every transport can drive it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from safe_langsmith._knowledge.access import HIDDEN_BY_A_PAGE, Access
from safe_langsmith._knowledge.hosts import region_of_web
from safe_langsmith._knowledge.operations import is_read, is_run_batch, operation

T = TypeVar("T")

_LONGEST_WORDS = 2_000
_REFUSALS = frozenset(
    {"forbidden", "unauthorized", "invalid token", "invalid auth", "invalid api key"}
)
_REFUSAL_PHRASES = (
    "org_scoped_key_requires_workspace",
    "api key requires a workspace",
    "key is org-scoped",
    "legacy api key",
    "missing permission",
    "insufficient permission",
    "not enabled",
    "only org admins",
    "no prompt owner specified",
)
_BRACKETS = re.compile(r"[\[\]{}]")
_DEEPEST = 100
Trouble = Literal[
    "",
    "name",
    "certificate",
    "bundle",
    "tls",
    "refused",
    "timeout",
    "tunnel",
    "proxy-address",
]
ORG_KEY_WORDINGS = ("org_scoped_key_requires_workspace", "key is org-scoped and requires")
NO_PROMPT_OWNER = "No prompt owner specified"


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's response to the refused request, to a probe, or to the resent request.

    ``is_cut``: the body was too long, or too slow, to be read completely.
    ``redirected_to``: the URL that the server redirected to, if any.
    ``came_as_get``: the redirect turned another method, such as POST, into GET.
    """

    status: int
    body: str = field(default="", repr=False)
    content_type: str = ""
    retry_after: float | None = None
    is_cut: bool = False
    redirected_to: str = ""
    came_as_get: bool = False

    @property
    def is_html(self) -> bool:
        """Whether this is a web page, not a response of the API."""
        return "html" in self.content_type or self.body.lstrip("\ufeff \t\r\n")[:1] == "<"

    def data(self) -> Any:
        """The body as JSON, or None if it is not JSON."""
        # Deeply nested JSON would exceed the recursion limit.
        if _is_deep(self.body):
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_langsmiths(self) -> bool:
        """Whether this has the form and the words of LangSmith's own refusals.

        Then the request was not carried out. Other words (from a gateway, for example) or
        an odd body prove nothing. Sources: LangSmith's OpenAPI document; users' reports.
        """
        data = self.data() if not (self.is_cut or self.redirected_to) else None
        if not isinstance(data, dict) or not ("error" in data or "detail" in data):
            return False
        said = self.message[:_LONGEST_WORDS].casefold().rstrip(".")
        return said in _REFUSALS or any(phrase in said for phrase in _REFUSAL_PHRASES)

    @property
    def message(self) -> str:
        """The server's message, in any of the forms that LangSmith uses."""
        return _words(self.data(), depth=3) or ("" if self.is_html else self.body.strip())

    @property
    def words(self) -> str:
        """The message for display; for a web page, its title."""
        found = re.search(r"(?i)<title>([^<]{1,200})", self.body[:_LONGEST_WORDS])
        title = f"a web page, {found.group(1).strip()!r}" if found else "a web page"
        return title if self.is_html else self.message

    @property
    def wants_workspace(self) -> bool:
        """Whether the server says, in either wording, that the key needs a workspace."""
        return any(wording in self.body for wording in ORG_KEY_WORDINGS)

    @property
    def is_refusal(self) -> bool:
        """Whether this is a 403, a 401, or another response that may be a refusal.

        A web page instead of JSON comes from a proxy or a wrong endpoint. On prompt calls,
        the server treats an unknown key as anonymous, and anonymous senders own no prompts.
        """
        no_owner = self.status in (400, 404, 422) and NO_PROMPT_OWNER in self.body
        # A resent request never follows a redirect. If the SDK followed one that turned
        # POST into GET, nothing was written, whatever the response says.
        stopped = self.status == 405 or 300 <= self.status < 400
        was_lost = bool(self.redirected_to) and (stopped or self.came_as_get)
        is_page = self.status in HIDDEN_BY_A_PAGE and self.is_html
        return self.status in (401, 403) or no_owner or was_lost or is_page


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No response to a probe or to the resent request. It proves nothing about the key.

    ``withheld``: it was not sent, because that is not safe. ``trouble``: what went wrong,
    if known; ``detail``: the certificate error, or the proxy's response to CONNECT.
    ``at_proxy``: whether it failed at a proxy; None if the transport cannot tell.
    ``certificates``: the variables for certificates that this transport reads.
    """

    reason: str
    withheld: bool = False
    trouble: Trouble = ""
    detail: str = ""
    at_proxy: bool | None = False
    certificates: tuple[str, ...] = ()


Answer = Reply | Unreachable


def _is_deep(text: str) -> bool:
    """Whether brackets are nested deeper than in any response of the API."""
    steps = (1 if bracket[0] in "[{" else -1 for bracket in _BRACKETS.finditer(text))
    return any(depth > _DEEPEST for depth in itertools.accumulate(steps))


def _words(data: Any, depth: int) -> str:
    """Find the message in any form of LangSmith's errors."""
    if isinstance(data, str) or not depth:
        return data.strip() if isinstance(data, str) else ""
    if isinstance(data, list):
        return "; ".join(filter(None, (_words(item, depth - 1) for item in data[:3])))
    if isinstance(data, dict):
        names = ("detail", "message", "error_description", "error", "msg", "title")
        said = (_words(data.get(name), depth - 1) for name in names)
        return next(filter(None, said), "")
    return ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request, as plain data.

    ``path`` is relative to the endpoint. ``worked``: this client has used the same
    access successfully before. ``replayable``: its body can be sent again.
    ``login``: the source of an `Authorization` header that is not the client's own.
    ``tied_by``: what binds it to its host, other than its key, such as a login; or empty.
    ``secrets``: other values in it that must not appear in a text.
    """

    method: str
    path: str
    reply: Reply
    access: Access
    worked: bool = False
    replayable: bool = True
    login: str = ""
    tied_by: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def operation(self) -> str:
        """The request's name for display, such as ``GET /sessions/{id}``."""
        return operation(self.method, self.path)

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request can be resent without doing anything twice.

        LangSmith's own refusal means that nothing was done, and its web app carries out no
        requests. After any other refusal, the request may have been carried out.
        """
        return (
            self.reply.is_langsmiths
            or region_of_web(self.access.endpoint) is not None
            or is_read(self.method, self.path)
            or is_run_batch(self.method, self.path)
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """A GET request to this URL. Without a key and a session, it is anonymous.

    ``session``: sent with the client's login session. ``alone``: without the logins,
    cookies and headers that the client would add; probes to another host than that of the
    refused request are always sent this way.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    session: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class ProbeAll:
    """Several probes, sent at the same time. The answer is a tuple in the same order."""

    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the refused request again with this access, and the same body.

    Only if `Refusal.may_be_repeated`. Each entry of ``waits`` is one attempt, after that
    many seconds, until one succeeds. A redirect is not followed: it counts as a refusal.
    """

    access: Access
    waits: tuple[float, ...] = (0.0,)


Step = Probe | ProbeAll | Resend
Steps = Generator[Step, Any, T]
