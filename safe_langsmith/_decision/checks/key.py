"""Checks whether a key was sent, looks like one, and is accepted."""

from __future__ import annotations

from dataclasses import replace

from safe_langsmith._decision import answers, steps
from safe_langsmith._decision.case import Case, Cause
from safe_langsmith._decision.checks import endpoint
from safe_langsmith._decision.checks.settings import newer_settings, replaced, unused
from safe_langsmith._decision.protocol import Answer, Reply, Steps
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import REGIONS, Region, same_origin, shown
from safe_langsmith._knowledge.keys import clean, is_code, kind_of, oddity
from safe_langsmith._settings.sources import Setting

# Where a key was found that the client does not have, and why it does not.
_UNLOADED = {
    "dotenv": "no key was sent; the .env has one, but it was not loaded.",
    "colab": "no key was sent; there is one in the Colab secrets.",
}


def foreign_credential(case: Case) -> Cause | None:
    """Does another credential, not a LangSmith key, authenticate the request?

    A service key, a token or a cookie belongs to one trace destination. Probes cannot find
    out what it is allowed to do.
    """
    if not case.sent.foreign:
        return None
    what = "service key, token or cookie"
    summary = f"{case.host} rejected the {what} of this destination."
    step = f"check the {what} of this destination"
    return Cause("access-denied", summary, (step,))


def other_login(case: Case) -> Steps[Cause | None]:
    """The request also has a login from elsewhere. Is that the cause?"""
    place = case.refusal.login
    if not place or not case.sent.key:
        return None
    text = f"{place} adds an Authorization header to requests with this key"
    case.note("key", "unknown", text)
    together = yield from case.ask_who(case.sent)
    if not isinstance(together, Reply) or together.status not in (401, 403):
        return None
    alone = yield from case.ask_who(case.sent, alone=True)
    if answers.judge(alone, case.sent) != "good":
        return None
    summary = f"the login from {place} was rejected; without it, the key is accepted."
    step = f"remove the login for {case.host} from {place}"
    return Cause("access-denied", summary, (step,))


def key_missing(case: Case) -> Steps[Cause | None]:
    """No key was sent. Do the current settings have one?"""
    if case.sent.key or case.sent.session:
        return None
    summary, source, give = "no key was sent.", case.held.key.source, steps.give_key(case)
    if case.destination:
        return Cause("key-missing", summary, (give,))
    if source.is_explicit:
        summary = "no key was sent: api_key is empty, so no other key is used."
        step = f"pass a key, or leave out api_key; create a key at {case.keys_page}"
        return Cause("key-missing", summary, (step,))
    if source.kind == "environment":
        summary = f"no key was sent: {source} is set, but empty."
        give += "; in CI, check that the secret exists and that this job may read it"
    login = case.setup.login
    todo = (*([steps.log_in_again(case)] if login else []), *unused(case))
    todo += tuple(steps.mentioned(case, "API_KEY") or [f"or {give}" if todo else give])
    for fresh in newer_settings(case):
        if fresh.key.value and (yield from case.works(fresh.access)) == "good":
            late = "no key was sent; the client was created before one was set."
            summary = _UNLOADED.get(fresh.key.source.kind, late)
            return replaced(case, "key-missing", summary, fresh)
    if login:
        failed = ", and was not refreshed" if login.refreshes else ""
        summary = f"no key was sent: {login} has no usable token{failed}."
    return Cause("key-missing", summary, todo)


def legacy_key(case: Case) -> Cause | None:
    """The server says that the key is a legacy key."""
    is_legacy = "legacy api key" in case.refusal.reply.message.lower()
    return _legacy(case) if is_legacy else None


def _legacy(case: Case) -> Cause:
    summary = "keys that begin with ls__ stopped working in October 2024."
    return Cause("key-legacy", summary, steps.or_new_key(case))


def stripped_key(case: Case) -> Cause | None:
    """A key was sent, but the response is the one for no key. Was it lost on the way?

    LangSmith returns 403, not 401, if it rejects a key.
    """
    if case.refusal.reply.status != 401 or not case.sent.key:
        return None
    text = "the 401 means that no key arrived: a proxy may strip the header x-api-key"
    case.note("proxy", "unknown", text)
    if not case.region:
        return None
    summary = "a key was sent, but LangSmith's 401 means that none arrived."
    return Cause("blocked-by-proxy", summary, (steps.KEY_LOST,))


def padded_key(case: Case) -> Steps[Cause | None]:
    """Are there extra characters around the key, and does the key itself work?"""
    key, held = case.sent.key or "", case.held
    alone = clean(key)
    if alone in ("", key):
        return None
    if (yield from case.works(replace(case.sent, key=alone))) != "good":
        return None
    step = steps.correct(case, "API_KEY", "remove everything around the key")
    summary = "extra characters around the key, such as quotes or a comment."
    cause = Cause("key-malformed", summary, (step,))
    cleaned = replace(held, key=Setting(alone, held.key.source))
    return case.repaired(cause, cleaned, "used the key without the characters around it")


def rejected_key(case: Case) -> Steps[Cause | None]:
    """Was the key rejected, or could that not be determined?"""
    standing = yield from case.identify(case.sent)
    case.workspaces = standing.workspaces or ()
    if standing.state == "good":
        case.note("key", "good", "LangSmith accepts the key")
        return None
    info = yield from case.ask_info(case.sent.endpoint)
    if endpoint.refuses_strangers(info):
        case.note("proxy", "unknown", endpoint.STRANGERS_REFUSED)
        reachable = endpoint.is_in_the_way(info)
    else:
        reachable = isinstance(info, Reply) and info.status < 500 and not info.is_html
    if standing.state == "bad" and reachable:
        return _rejected(case)
    if standing.state == "unknown" and _is_of_another_api(info):
        cause = yield from endpoint.not_an_api(case)
        if cause:
            return cause
    case.note("key", "unknown", "could not check the key")
    lost = case.refusal.reply.status == 401 and case.sent.key
    first = steps.KEY_LOST if lost else steps.AGAIN
    todo = (first, *_other_regions(case))
    return Cause("access-denied", "the cause could not be determined.", todo)


def _is_of_another_api(info: Answer) -> bool:
    """Whether the response is from another API. A web page may come from a portal."""
    if not isinstance(info, Reply) or info.is_html or answers.is_langsmith(info):
        return False
    return info.status in (200, 404)


def _rejected(case: Case) -> Cause:
    key, held = case.sent.key or "", case.held
    if case.sent.session:
        login = case.setup.login
        summary = "the login session is no longer accepted."
        if login and login.ended:
            case.note("key", "bad", f"{login} has expired")
            if login.refreshes:
                summary = "the login session has expired, and was not refreshed."
        return Cause("key-rejected", summary, (steps.log_in_again(case),))
    if kind_of(key) == "legacy":
        return _legacy(case)
    if odd := oddity(key):
        return _malformed(case, odd)
    summary = (
        f"{shown(case.sent.endpoint)} rejected this key (revoked, expired or mistyped)."
    )
    todo = (*unused(case), *steps.mentioned(case, "API_KEY"))
    if held.endpoint.source.kind == "profile" and held.key.source.kind != "profile":
        # The key may be good: the endpoint of the profile belongs to another key.
        where = f"the endpoint comes from {held.endpoint.source}"
        todo += (f"{where}: set LANGSMITH_ENDPOINT to the endpoint of this key",)
    is_broken = any(m.broken and m.setting == "API_KEY" for m in case.setup.mentions)
    if is_broken or (todo and case.names_another_host):
        return Cause("key-rejected", summary, todo)
    if case.region:
        case.note("region", "unknown", "the key may belong to another region")
    todo = steps.or_new_key(case, (*todo, *_other_regions(case)))
    return Cause("key-rejected", summary, todo)


def _malformed(case: Case, odd: str) -> Cause:
    """The cause if a rejected text does not look like a key. ``odd``: what is unusual."""
    how = "remove everything around the key" if "around it" in odd else ""
    if is_code(case.sent.key or ""):
        # Without the value itself, which is masked in every text.
        how = (
            "%env and .env run no code; in a notebook, write "
            "os.environ[...] = userdata.get(...)"
        )
    first = [steps.correct(case, "API_KEY", how)] if how else []
    todo = steps.or_new_key(case, (*first, *unused(case)))
    return Cause("key-malformed", f"the key was rejected: {odd}.", todo)


def _other_regions(case: Case) -> tuple[str, ...]:
    """How to find out whether a key belongs to another region."""
    if not case.region or case.names_another_host:
        return ()
    others = [r for r in REGIONS if r != case.region and not _rejects(case, r)]
    if not others:
        return ()
    step = steps.choose_region(case, others, "if the key is from another region, ")
    was_asked = any(same_origin(p.url, others[0].api) for p in case.answers)
    may_ask = case.probe_regions is None and not was_asked
    return (step, steps.ask_regions(case)) if may_ask else (step,)


def _rejects(case: Case, region: Region) -> bool:
    """Whether a region was asked, and rejected the key."""
    there = Access(region.api, clean(case.sent.key or ""))
    return answers.standing_in(there, *case.told_about(there)).state == "bad"
