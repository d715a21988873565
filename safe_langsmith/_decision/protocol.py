"""The words of the conversation between the decision and a transport.

The decision is a generator. It yields a `Probe` (a question to the server), a `ProbeAll`
(several at the same time) or a `Resend` (the refused request once more, changed) and is
sent a `Reply` or `Unreachable`. It sees no HTTP library, no clock and no file, so every
transport can drive it.
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
    """An answer of the server to a probe or to the request that was sent again.

    ``is_cut``: there was more of it than is read, or it did not come in time.
    ``redirected_to``: the address that the server sent the request on to, if it did.
    ``came_as_get``: there a request that was to change something came without its body.
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
        """Whether this is a page for people and not an answer of the API."""
        return "html" in self.content_type or self.body.lstrip("\ufeff \t\r\n")[:1] == "<"

    def data(self) -> Any:
        """The body as JSON, or None where it is none."""
        # Parsing what is nested too deeply would leave no room on the stack for others.
        if _is_deep(self.body):
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_langsmiths(self) -> bool:
        """Whether this has the form and the words of LangSmith's own refusals.

        Then the request was not carried out. Other words, as a gateway's, or an odd body
        say nothing about that. Sources: LangSmith's OpenAPI document; users' reports.
        """
        data = self.data() if not (self.is_cut or self.redirected_to) else None
        if not isinstance(data, dict) or not ("error" in data or "detail" in data):
            return False
        said = self.message[:_LONGEST_WORDS].casefold().rstrip(".")
        return said in _REFUSALS or any(phrase in said for phrase in _REFUSAL_PHRASES)

    @property
    def message(self) -> str:
        """What the server says in words, in one of the shapes that LangSmith uses."""
        return _words(self.data(), depth=3) or ("" if self.is_html else self.body.strip())

    @property
    def words(self) -> str:
        """The same to be quoted; of a page, its title."""
        found = re.search(r"(?i)<title>([^<]{1,200})", self.body[:_LONGEST_WORDS])
        title = f"a web page, {found.group(1).strip()!r}" if found else "a web page"
        return title if self.is_html else self.message

    @property
    def wants_workspace(self) -> bool:
        """Whether the server says, in either wording, that the key needs a workspace."""
        return any(wording in self.body for wording in ORG_KEY_WORDINGS)

    @property
    def is_refusal(self) -> bool:
        """Whether this is a 403, a 401, or another answer that may hide one.

        A page where the API answers JSON comes from a wrong endpoint. A prompt call with
        a key that is not known degrades to that of a stranger, who owns no prompts.
        """
        no_owner = self.status in (400, 404, 422) and NO_PROMPT_OWNER in self.body
        # A redirect is never followed with a repaired request. One that the SDK followed
        # may have turned POST into GET: whatever comes back then, nothing was written.
        stopped = self.status == 405 or 300 <= self.status < 400
        was_lost = bool(self.redirected_to) and (stopped or self.came_as_get)
        is_page = self.status in HIDDEN_BY_A_PAGE and self.is_html
        return self.status in (401, 403) or no_owner or was_lost or is_page


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer: a probe that failed. It proves nothing about the key.

    ``withheld``: it was not sent at all, for it would not have been safe. ``trouble``: what
    went wrong, if that is known; ``detail``: the error of the certificate, or what a proxy
    answered to CONNECT. ``at_proxy``: it went wrong at a proxy; None: it did if the
    environment names one. ``certificates``: the variables that this transport reads.
    """

    reason: str
    withheld: bool = False
    trouble: Trouble = ""
    detail: str = ""
    at_proxy: bool | None = False
    certificates: tuple[str, ...] = ()


Answer = Reply | Unreachable


def _is_deep(text: str) -> bool:
    """Whether brackets are nested more deeply than in any answer of the API."""
    steps = (1 if bracket[0] in "[{" else -1 for bracket in _BRACKETS.finditer(text))
    return any(depth > _DEEPEST for depth in itertools.accumulate(steps))


def _words(data: Any, depth: int) -> str:
    """Find the message in LangSmith's several shapes of an error."""
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
    access with success before. ``replayable``: its body can be sent once more.
    ``login``: where an `Authorization` header came from that is none of the client's.
    ``tied_by``: what ties it to its host: a credential besides the key, if it has one.
    ``secrets``: what else it carries that no text may show.
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
        """The request as people may call it, such as ``GET /sessions/{id}``."""
        return operation(self.method, self.path)

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending the request again cannot do anything twice.

        LangSmith's own refusal means that it did nothing, and its web app never does
        anything. Behind any other refusal the request may have been carried out.
        """
        return (
            self.reply.is_langsmiths
            or region_of_web(self.access.endpoint) is not None
            or is_read(self.method, self.path)
            or is_run_batch(self.method, self.path)
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """A read-only GET to this address. Without a key it is anonymous.

    ``alone``: without the logins, cookies and headers that the client would add. To
    another host than that of the refused request, every probe goes so.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    session: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class ProbeAll:
    """Several questions, asked at the same time. Answered with a tuple, in this order."""

    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the refused request again with this access, its body rewound and unchanged.

    Only where `Refusal.may_be_repeated`. One try per entry of ``waits``, each after so
    many seconds, until one is not refused. No redirect is followed: it is a refusal, too.
    """

    access: Access
    waits: tuple[float, ...] = (0.0,)


Step = Probe | ProbeAll | Resend
Steps = Generator[Step, Any, T]
