"""Is the endpoint a LangSmith API, and does anything stand between?"""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._case import (
    NO_REFUSAL,
    Case,
    Cause,
    Repair,
    info_of,
    is_further_destination,
    is_langsmith,
)
from safe_langsmith._hosts import (
    DEFAULT_ENDPOINT,
    base_of,
    origin,
    region_of_web,
    shown,
)
from safe_langsmith._protocol import (
    Probe,
    Reply,
    Steps,
)
from safe_langsmith._settings import Setting, Source

PROXY_WAITS = (0.5, 1.0, 2.0)


def wrong_endpoint(case: Case) -> Steps[Cause | None]:
    """A page instead of JSON, or 405: is the endpoint a LangSmith API at all?"""
    if not case.refusal.reply.is_html:
        return None
    return (yield from not_an_api(case))


def not_an_api(case: Case) -> Steps[Cause | None]:
    """Is the endpoint shown to be no LangSmith API? Where is the API, then?"""
    endpoint = case.sent.endpoint
    region = region_of_web(endpoint)
    if region:
        summary = f"{shown(endpoint)} is the LangSmith web app, not the API."
        return _moved(case, region.api, summary)
    as_configured = yield from case.ask(Probe(f"{endpoint}/info"))
    if not isinstance(as_configured, Reply) or is_langsmith(as_configured):
        return None
    if as_configured.status in (401, 403, 429) or as_configured.status >= 500:
        return None
    below = f"{base_of(endpoint)}/api/v1"
    api = yield from case.ask(info_of(endpoint))
    if is_langsmith(api):
        summary = f"{shown(endpoint)} serves the web app; the API is at {shown(below)}."
        step = set_endpoint(case, shown(below))
        held = case.setup.held
        right = replace(held, endpoint=replace(held.endpoint, value=below))
        return Cause("wrong-endpoint", summary, (step,), right=right)
    summary = f"{shown(endpoint)} does not answer like a LangSmith API."
    step = set_endpoint(case, DEFAULT_ENDPOINT)
    return Cause("wrong-endpoint", summary, (f"{step}, or your region's or own address",))


def _moved(case: Case, api: str, summary: str) -> Cause:
    held = case.setup.held
    step = set_endpoint(case, api)
    if held.endpoint.source.is_explicit:
        return Cause("wrong-endpoint", summary, (step,))
    endpoint = Setting(api, Source("repair", "the API of that web app"))
    repair = Repair(
        replace(held, endpoint=endpoint), case.sent.session, f"used {api}", step
    )
    return Cause("wrong-endpoint", summary, (step,), repair)


def set_endpoint(case: Case, address: str) -> str:
    """The step that gives this request another endpoint."""
    if is_further_destination(case):
        return f"use {address} for this destination"
    if case.setup.held.endpoint.source.kind == "argument":
        return f'pass api_url="{address}"'
    return f"set LANGSMITH_ENDPOINT={address}"


def page_by_chance(case: Case) -> Steps[Cause | None]:
    """A page from an endpoint that is the API: no refusal, whatever it is."""
    yield from ()
    if case.refusal.reply.status in (401, 403) or not case.refusal.reply.is_html:
        return None
    return NO_REFUSAL


def blocked_by_proxy(case: Case) -> Steps[Cause | None]:
    """LangSmith refuses in JSON; anything else comes from something in between."""
    yield from ()
    reply = case.refusal.reply
    if reply.status not in (401, 403) or reply.data() is not None:
        return None
    if reply.is_cut and not reply.is_html:
        text = "the answer was too long, or too slow, to be read to its end"
        case.note("proxy", "unknown", text)
        return None
    return proxy_refused(
        case, "the answer is not LangSmith's, which always refuses in JSON"
    )


def proxy_refused(case: Case, shown_by: str) -> Cause:
    case.note("proxy", "bad", shown_by)
    host = origin(case.sent.endpoint)
    return Cause(
        "blocked-by-proxy",
        "a proxy or firewall on the way to LangSmith refused it.",
        (
            f"ask who runs your network to let {host} through",
            "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        ),
        sent_unchanged(case),
        waits=PROXY_WAITS,
    )


def sent_unchanged(case: Case) -> Repair:
    how = "sent the request again after a pause"
    return Repair(case.setup.held, case.sent.session, how)
