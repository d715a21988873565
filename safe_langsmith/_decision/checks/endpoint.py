"""Checks whether the endpoint is a LangSmith API, and whether something blocks the way."""

from __future__ import annotations

import re
from dataclasses import replace

from safe_langsmith._decision import steps
from safe_langsmith._decision.answers import is_langsmith
from safe_langsmith._decision.case import NO_REFUSAL, Case, Cause, Repair
from safe_langsmith._decision.protocol import Answer, Probe, Reply, Steps
from safe_langsmith._knowledge.hosts import (
    base_of,
    origin,
    region_of,
    region_of_web,
    same_origin,
    shown,
)
from safe_langsmith._settings.sources import Setting, Source

_LONGEST = 20_000
# What the URL of a login page, and the page itself, usually contain.
_LOGIN = re.compile(r"(?i)log-?in|log_in|sign-?in|\b(?:sso|oauth2?|saml2?|auth|idp)\b")
_SIGN_IN = re.compile(r"(?i)type=[\"']?password|<title>[^<]{0,40}(?:log|sign)[ -]?in\b")
_QUOTES = "\"'`<>\u201c\u201d\u2018\u2019"
PROXY_WAITS = (0.5, 1.0, 2.0)
STRANGERS_REFUSED = "a request to /info without a key was refused too"


def wrong_endpoint(case: Case) -> Steps[Cause | None]:
    """A redirect, or a web page instead of JSON: is this a LangSmith API?

    The correctly written URL of an official host always is, whatever the response.
    """
    reply, here = case.refusal.reply, case.sent.endpoint
    if not (reply.is_html or reply.redirected_to):
        return None
    if cause := misspelled(case):
        return cause
    if case.region:
        return None
    if reply.redirected_to and not region_of_web(here):
        return _redirected(case, reply.redirected_to)
    return (yield from not_an_api(case))


def _redirected(case: Case, there: str) -> Cause:
    """The cause if a redirect was not followed, or turned the request into a GET."""
    here, is_login = case.sent.endpoint, bool(_LOGIN.search(there[:_LONGEST]))
    to = f"{shown(there)}{', a login page' if is_login else ''}"
    secure = here.replace("http://", "https://", 1)
    step = steps.put(case, "ENDPOINT", shown(secure))
    if is_login or secure == here or not same_origin(secure, there):
        what = "how programs sign in there" if is_login else "for the URL of its API"
        step = steps.ask_owner(case, what)
    summary = f"{shown(here)} redirects to {to}."
    if case.refusal.reply.came_as_get:
        summary = (
            f"{case.refusal.operation} was redirected from {shown(here)} to {shown(there)} "
            "and arrived as a GET, so nothing was written."
        )
    return Cause("wrong-endpoint", summary, (step,))


def misspelled(case: Case) -> Cause | None:
    """Does the endpoint have quotes or a comment around its URL, or no scheme?"""
    given, where = case.held.endpoint.value or "", case.held.endpoint.source
    text, comment, _ = given.partition("#")
    text = text.strip().strip(_QUOTES).rstrip("/")
    if text == given.strip().rstrip("/") and ("://" in given or "." not in given):
        return None
    what, how = "quotes around it", "remove the quotes"
    if comment:
        what, how = "a comment after it", "remove everything after the URL"
    if "://" not in given and "." in text:
        whole = f"https://{text}"
        what, how = "no https:// in front", "put https:// (or http://) in front"
        if region_of(whole) or region_of_web(whole):
            text, how = whole, "put https:// in front"
    meant = f", so that it is {shown(text)}" if origin(text) else ""
    summary = f"the endpoint, {shown(given).strip()!r} from {where}, has {what}."
    step = steps.correct(case, "ENDPOINT", f"{how}{meant}")
    return Cause("wrong-endpoint", summary, (step,))


def not_an_api(case: Case) -> Steps[Cause | None]:
    """Is the endpoint proven not to be a LangSmith API? If so, where is the API?"""
    endpoint, held = case.sent.endpoint, case.held
    if case.region:
        return None
    region = region_of_web(endpoint)
    if region:
        summary = f"{shown(endpoint)} is the LangSmith web app, not the API."
        return _moved(case, region.api, summary)
    as_configured = yield from case.ask(Probe(f"{endpoint}/info"))
    if not isinstance(as_configured, Reply) or is_langsmith(as_configured):
        return None
    if as_configured.status in (401, 403, 429) or as_configured.status >= 500:
        return None
    if is_langsmith((yield from case.ask_info(endpoint))):
        below = f"{base_of(endpoint)}/api/v1"
        summary = f"{shown(endpoint)} serves the web app; the API is at {shown(below)}."
        step = steps.put(case, "ENDPOINT", shown(below))
        right = replace(held, endpoint=replace(held.endpoint, value=below))
        return Cause("wrong-endpoint", summary, (step,), right=right)
    summary = f"{shown(endpoint)} does not respond like a LangSmith API."
    if _SIGN_IN.search(as_configured.body[:_LONGEST]) and as_configured.is_html:
        summary = f"{shown(endpoint)} returns a login page, so it is not a LangSmith API."
    step = steps.correct(case, "ENDPOINT", "it must be the URL of a LangSmith API")
    return Cause("wrong-endpoint", summary, (step,))


def _moved(case: Case, api: str, summary: str) -> Cause:
    """The cause if the endpoint is the web app. The repair, if allowed, uses the API."""
    cause = Cause("wrong-endpoint", summary, (steps.put(case, "ENDPOINT", api),))
    # A redirected request may have lost its body on the way.
    if case.held.endpoint.source.is_explicit or case.refusal.reply.redirected_to:
        return cause
    if not case.may_move(api):
        return replace(cause, next_steps=(*cause.next_steps, *why_not_moved(case)))
    endpoint = Setting(api, Source("repair", "the API of that web app"))
    return case.repaired(cause, replace(case.held, endpoint=endpoint), f"used {api}")


def why_not_moved(case: Case) -> tuple[str, ...]:
    """Why a request stays at its host although another host could accept it."""
    tied = case.refusal.tied_by
    text = f"the request was not resent there: {tied} belongs to the current host"
    return (text,) if tied else ()


def blocked_by_proxy(case: Case) -> Steps[Cause | None]:
    """Does a proxy refuse the request? LangSmith itself refuses in JSON, not with a page.

    Any other odd body proves nothing: check whether an anonymous request is refused too.
    """
    reply, here = case.refusal.reply, case.sent.endpoint
    there, official = reply.redirected_to, case.region
    if there and official and not same_origin(here, there):
        text = (
            f"the request was redirected to {shown(there)}; LangSmith's API never "
            "redirects to another host"
        )
        return replace(_proxy_refused(case, text), repair=None)
    if reply.is_html and (reply.status in (401, 403) or (official and reply.status == 200)):
        text = "the response is a web page; LangSmith's API returns JSON"
        return _proxy_refused(case, text)
    if reply.status not in (401, 403):
        # If the endpoint is the API, other web pages are not refusals.
        return NO_REFUSAL if reply.is_html else None
    if reply.is_langsmiths:
        return None
    text = "the response does not look like LangSmith's"
    if reply.is_cut:
        text = "the response was too long or too slow to be read completely"
    case.note("proxy", "unknown", text)
    if is_in_the_way((yield from case.ask_info(here))):
        return _proxy_refused(case, STRANGERS_REFUSED)
    return None


def refuses_strangers(info: Answer) -> bool:
    """Whether an anonymous `Case.ask_info` was refused, which LangSmith never does."""
    return isinstance(info, Reply) and info.status in (401, 403)


def is_in_the_way(info: Answer) -> bool:
    """Whether something other than LangSmith refused an anonymous `Case.ask_info`."""
    return refuses_strangers(info) and isinstance(info, Reply) and not info.is_langsmiths


def _proxy_refused(case: Case, shown_by: str) -> Cause:
    case.note("proxy", "bad", shown_by)
    summary = "a proxy or firewall between you and LangSmith blocked it."
    again = sent_unchanged(case)
    return Cause("blocked-by-proxy", summary, steps.allow_host(case), again, PROXY_WAITS)


def sent_unchanged(case: Case) -> Repair:
    """The repair for a temporary refusal: the same request again, after a pause."""
    how = "sent the request again after a pause"
    return Repair(case.held, case.sent.session, how)
