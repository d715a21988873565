"""What the transports share: from HTTP to plain data and back, and when to try again."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin

from tenacity import (
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_random,
)

from safe_langsmith._decision.protocol import Answer, Probe, Reply, Resend, Unreachable
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of, origin, same_origin, shown
from safe_langsmith._transport.settle import Owner, Read, Wait, read_settings

BODY_LIMIT = 1_000_000
_LONGEST_ERROR = 2_000
_PROBE_ATTEMPTS = 3
# Seconds for a probe to notice by itself that the time is over.
_GRACE = 0.5
_CREDENTIALS = frozenset({"x-api-key", "x-tenant-id", "authorization"})
# What goes along with a request to another host: what its body is, and who asks.
_TRAVELLING = frozenset({"accept", "accept-encoding", "user-agent"})
_passing_wait = wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1)


class Target(NamedTuple):
    """Where a request went: the endpoint it belongs to, and the path below that.

    The generated resources leave out an endpoint's ``/api/v1``; ``below_base`` says so.
    """

    endpoint: str
    path: str
    below_base: bool = False

    def url(self, endpoint: str) -> str:
        """The same path below another endpoint."""
        return (base_of(endpoint) if self.below_base else endpoint) + self.path


def target_of(url: str, endpoints: tuple[str, ...]) -> Target:
    """Find the endpoint of a request among those that its client knows."""
    for endpoint in endpoints:
        if _is_below(url, endpoint):
            return Target(endpoint, url.removeprefix(endpoint))
    for endpoint in endpoints:
        if _is_below(url, base_of(endpoint)):
            return Target(endpoint, url.removeprefix(base_of(endpoint)), below_base=True)
    return Target(origin(url), url.removeprefix(origin(url)))


def _is_below(url: str, endpoint: str) -> bool:
    """Whether an address lies below an endpoint; port 8080 is not below port 80."""
    return url.startswith(endpoint) and url[len(endpoint) :][:1] in ("", "/", "?")


def access_of(endpoint: str, headers: Mapping[str, str | bytes], own: Access) -> Access:
    """What a request showed the server. ``own``: what its client shows it now.

    A token is the client's session only if the client has one and goes to that host.
    """
    token = (text_of(headers.get("Authorization")) or "").startswith("Bearer ")
    key, workspace = text_of(headers.get("x-api-key")), text_of(headers.get("X-Tenant-Id"))
    at_home = same_origin(endpoint, own.endpoint)
    session = not key and token and own.session and at_home
    other = (token and not session) or bool(headers.get("X-Service-Key"))
    # At home a cookie may be anything's; a further destination may be given one.
    other |= bool(headers.get("Cookie")) and not at_home
    return Access(endpoint, key, workspace, session, foreign=not key and other)


def text_of(value: str | bytes | None) -> str | None:
    """A header's value as text, or None where it is missing or empty."""
    return value.decode("latin-1") if isinstance(value, bytes) else value or None


def resent_headers(
    headers: Mapping[str, Any], access: Access, old: Access
) -> dict[str, Any]:
    """The headers of a refused request that is sent again with another access.

    Whatever a session, a `.netrc`, cookies or ``headers=`` added belongs to the host that
    it was sent to, and goes to no other one.
    """
    names = {*_CREDENTIALS} if old.session and access.key else {"x-api-key", "x-tenant-id"}
    kept = {n: v for n, v in headers.items() if n.lower() not in names}
    if not same_origin(access.endpoint, old.endpoint):
        kept = {n: v for n, v in headers.items() if _travels(n.lower())}
    own = {"x-api-key": access.key, "X-Tenant-Id": access.workspace}
    return {**kept, **{name: value for name, value in own.items() if value}}


def _travels(name: str) -> bool:
    return name in _TRAVELLING or name.startswith("content-")


def probe_headers(owner: Owner, probe: Probe, home: str) -> dict[str, str]:
    """The headers of a probe. ``home``: the endpoint of the refused request.

    The client's own go to its own host, and only what is probed goes to another one.
    """
    headers = {"Accept": "application/json"}
    if not probe.alone and same_origin(home, owner._access().endpoint):
        own = owner._headers.items() if same_origin(probe.url, home) else ()
        headers |= {n: v for n, v in own if n.lower() not in _CREDENTIALS}
    if probe.key:
        headers["x-api-key"] = probe.key
    elif probe.session and same_origin(probe.url, owner._access().endpoint):
        own_headers = {n.lower(): v for n, v in owner._headers.items()}
        headers["Authorization"] = own_headers.get("authorization", "")
    if probe.workspace:
        headers["X-Tenant-Id"] = probe.workspace
    return headers


def tie(owner: Owner, headers: Mapping[str, Any]) -> str:
    """What ties a request to its host: a credential of its own besides the key, or "".

    It means nothing at another host, and the request without it is not the same.
    """
    given = {n.lower() for n in owner._custom_headers} - {"x-api-key", "x-tenant-id"}
    if given:
        return "what the headers argument adds"
    if of_session := owner._tied_by():
        return of_session
    found = next((n for n in ("Authorization", "X-Service-Key") if n in headers), "")
    return f"the header {found}" if found else ""


def secrets_in(owner: Owner, headers: Mapping[str, Any]) -> tuple[str, ...]:
    """What a request carries besides its key: a server may say it back."""
    given = {n.lower() for n in owner._custom_headers} - {"x-tenant-id"}
    names = {*given, "authorization", "cookie", "x-service-key"}
    values = [text_of(v) or "" for n, v in headers.items() if n.lower() in names]
    words = [word for value in values for word in value.replace(";", " ").split()]
    return (*values, *words, *(word.partition("=")[2] for word in words))


def reply_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    asked: str = "",
    is_cut: bool = False,
) -> Reply:
    """An answer as plain data. ``asked``: the address that gave it.

    That of a redirect, which nobody follows, is the address that it names.
    """
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    kind = headers.get("Content-Type", "").lower()
    is_cut = is_cut or len(body) > BODY_LIMIT
    there = ""
    if asked and 300 <= status < 400 and "Location" in headers:
        with contextlib.suppress(ValueError):
            there = urljoin(asked, headers["Location"])
    return Reply(
        status, text, kind, _retry_after(headers.get("Retry-After", "")), is_cut, there
    )


def moved_on(asked: str, answered: str) -> str:
    """The address that answered, if it is not the one that was asked.

    LangSmith itself redirects from an address with a slash at its end to one without.
    """
    plain = [url.partition("?")[0].rstrip("/") for url in (asked, answered)]
    return answered if plain[0] != plain[1] else ""


def cut(response: Any, body: bytes) -> None:
    """Let this be the body of an answer whose end was not read, and take note of that."""
    response._content = body
    vars(response)["is_cut"] = True


def refused_reply(response: Any, body: bytes) -> Reply:
    """The answer to the refused request as plain data, with what `cut` took note of."""
    is_cut = "is_cut" in vars(response)
    asked = str(response.request.url or "")
    headers = response.headers
    return reply_of(response.status_code, headers, body, asked=asked, is_cut=is_cut)


def tunnel_refusal(error: BaseException) -> str:
    """What a proxy answered to CONNECT, such as "403 Forbidden"; or "" if it did not.

    Neither HTTP library tells it but in the text of its error.
    """
    found = re.search(r"\b40[37] [A-Z][A-Za-z ]{0,40}", str(error)[:_LONGEST_ERROR])
    return found.group() if found else ""


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from either form of the Retry-After header."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text)
        return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())
    return None


class Clock:
    """The time that one diagnosis has.

    ``shared``: others use up the same time, so waiting for them counts, too.
    """

    def __init__(self, budget: float, *, shared: bool = False) -> None:
        self._budget = budget
        self.shared = shared
        self.start()

    def start(self) -> None:
        """Begin anew."""
        self._deadline = time.monotonic() + self._budget

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._deadline - time.monotonic())


def probe_retries(clock: Clock) -> dict[str, Any]:
    """For tenacity: ask again what failed in passing, as long as there is time."""
    return {
        "retry": retry_if_result(_is_passing),
        "wait": _wait,
        "stop": stop_after_attempt(_PROBE_ATTEMPTS) | stop_before_delay(clock.left),
        "retry_error_callback": last_answer,
    }


def resend_retries(step: Resend, clock: Clock) -> dict[str, Any]:
    """For tenacity: one try for each of the waits after the first, until let in."""
    later = [wait_fixed(seconds) for seconds in step.waits[1:]] or [wait_fixed(0)]
    return {
        "retry": retry_if_result(lambda reply: reply.is_refusal),
        "wait": wait_chain(*later),
        "stop": stop_after_attempt(len(step.waits)) | stop_before_delay(clock.left),
        "retry_error_callback": last_answer,
    }


def too_long(step: Resend, clock: Clock) -> Unreachable | None:
    """Say so if the pause before a resend does not fit into the budget."""
    pause = step.waits[0]
    if not pause or pause < clock.left:
        return None
    reason = f"a pause of {pause:g} s did not fit into Policy.budget_s"
    return Unreachable(f"{reason}, so the request was not sent again")


def do_blocking(work: Read | Wait, owner: Owner, clock: Clock) -> Any:
    """Read the settings, or wait for a flight, on a thread that may block."""
    if isinstance(work, Read):
        if not clock.shared:
            clock.start()
        return read_settings(owner)
    # A task of this very thread may lead; it goes on only when we return.
    elsewhere = work.flight.thread != threading.get_ident()
    seconds = clock.left if clock.shared else owner.policy.budget_s
    return elsewhere and work.flight.ended.wait(seconds)


def ask_all(
    ask: Callable[[Probe], Answer], probes: tuple[Probe, ...], clock: Clock
) -> tuple[Answer, ...]:
    """Ask questions at the same time, each on a thread of its own.

    A single one, too: a name that cannot be resolved and a head that comes byte by byte
    know no timeout.
    """
    futures = [_begun(ask, probe) for probe in probes]

    def answer(probe: Probe, future: Future[Answer]) -> Answer:
        try:
            return future.result(clock.left + _GRACE)
        except TooLate:
            return no_answer(probe, "Policy.budget_s is over")

    return tuple(answer(p, f) for p, f in zip(probes, futures, strict=True))


def _begun(ask: Callable[[Probe], Answer], probe: Probe) -> Future[Answer]:
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(ask(probe))
        except BaseException as error:  # raised where the result is taken
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="safe_langsmith-probe", daemon=True).start()
    except RuntimeError:
        # No thread can be started, as when the interpreter shuts down: one by one.
        run()
    return future


def unchecked() -> Unreachable:
    """What was not sent to another host: this client does not check whom it talks to."""
    return Unreachable("this client does not check certificates", withheld=True)


def no_answer(probe: Probe, why: str) -> Unreachable:
    """A probe that failed for its own reasons."""
    return Unreachable(f"{shown(origin(probe.url))} gave no answer: {why}")


def _is_passing(answer: Answer) -> bool:
    """Whether an answer may be another one in a moment."""
    if isinstance(answer, Unreachable):
        return not answer.withheld
    return answer.status == 429 or answer.status >= 500


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, or a little longer each time."""
    answer = last_answer(state)
    if isinstance(answer, Reply) and answer.retry_after is not None:
        return answer.retry_after
    return _passing_wait(state)


def last_answer(state: RetryCallState) -> Any:
    """The newest answer that tenacity has seen."""
    return state.outcome.result() if state.outcome else None
