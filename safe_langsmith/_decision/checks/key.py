"""Is there a key, is it a key, and does the server know it?"""

from __future__ import annotations

import shlex
from dataclasses import replace

from safe_langsmith._decision import answers
from safe_langsmith._decision.case import Case, Cause
from safe_langsmith._decision.checks import endpoint
from safe_langsmith._decision.checks.settings import newer_settings, replaced, unused
from safe_langsmith._decision.protocol import Answer, Reply, Steps
from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import clean, is_code, kind_of, oddity
from safe_langsmith._settings.sources import Setting

_HEADER_LOST = "ask who runs your network whether a proxy removes the header x-api-key"
# Where a key was found that the client does not have, and why it does not.
_UNLOADED = {
    "dotenv": "no key was sent; there is one in the .env, which was not loaded.",
    "colab": "no key was sent; there is one among the secrets of Colab.",
}


def foreign_credential(case: Case) -> Cause | None:
    """Is it something else than a key of LangSmith that authenticates the request?

    A service key, a token or a cookie belongs to one destination of traces; what it may
    do cannot be asked for.
    """
    if not case.sent.foreign:
        return None
    what = "service key, token or cookie"
    summary = f"{case.host} refused the {what} of this destination."
    step = f"check the {what} that this destination was given"
    return Cause("access-denied", summary, (step,))


def other_login(case: Case) -> Steps[Cause | None]:
    """A login went along with the key that is none of the client's. Does it spoil it?"""
    place = case.refusal.login
    if not place or not case.sent.key:
        return None
    text = f"a login, Authorization, went along with the key, from {place}"
    case.note("key", "unknown", text)
    together = yield from case.ask_who(case.sent)
    if not isinstance(together, Reply) or together.status not in (401, 403):
        return None
    alone = yield from case.ask_who(case.sent, alone=True)
    if answers.judge(alone, case.sent) != "good":
        return None
    summary = f"the login from {place} was refused; the key alone is let in."
    step = f"take the login for {case.host} out of {place}"
    return Cause("access-denied", summary, (step,))


def key_missing(case: Case) -> Steps[Cause | None]:
    """No key was sent. Does a newer reading have one?"""
    if case.sent.key or case.sent.session:
        return None
    page, summary = case.keys_page, "no key was sent."
    if case.is_further_destination:
        step = f"give this destination a key; keys are made at {page}"
        return Cause("key-missing", summary, (step,))
    if case.held.key.source.is_explicit:
        summary = "no key was sent: an empty api_key was passed, so none was looked for."
        return Cause("key-missing", summary, (f"pass a key, or no api_key at all; {page}",))
    made = "" if case.names_another_host else f"; keys are made at {page}"
    steps = (*unused(case), f"set LANGSMITH_API_KEY, or pass api_key={made}")
    for fresh in newer_settings(case):
        if fresh.key.value and (yield from case.works(fresh.access)) == "good":
            late = "no key was sent; the client was made before one was set."
            summary = _UNLOADED.get(fresh.key.source.kind, late)
            return replaced(case, "key-missing", summary, fresh)
    if case.setup.login:
        summary = f"no key was sent: {case.setup.login} has no token that can be sent."
        steps = (_log_in_again(case), *steps)
    return Cause("key-missing", summary, steps)


def _log_in_again(case: Case) -> str:
    """The command of LangSmith's CLI: a session is made anew by its owner alone."""
    login = case.setup.login
    name = f" --profile {shlex.quote(login.profile)}" if login else ""
    return f"log in again: langsmith auth login{name}"


def legacy_key(case: Case) -> Cause | None:
    """The server itself says that the key is a legacy one."""
    is_legacy = "legacy api key" in case.refusal.reply.message.lower()
    return _legacy(case) if is_legacy else None


def _legacy(case: Case) -> Cause:
    summary = "keys that begin with ls__ stopped working in October 2024."
    return Cause("key-legacy", summary, (_new_key(case),))


def stripped_key(case: Case) -> Cause | None:
    """A key was sent, and the answer is the one to no key at all. Did it get lost?

    LangSmith answers 403 to a key that it does not know.
    """
    if case.refusal.reply.status != 401 or not case.sent.key:
        return None
    text = (
        "it answers as if no key had arrived (401): a proxy may remove the header x-api-key"
    )
    case.note("proxy", "unknown", text)
    if not case.region:
        return None
    summary = "a key was sent, and LangSmith answers as if none had arrived (401)."
    return Cause("blocked-by-proxy", summary, (_HEADER_LOST,))


def soiled_key(case: Case) -> Steps[Cause | None]:
    """Is there more in the text than the key, and does the key alone work?"""
    key, held = case.sent.key or "", case.held
    alone = clean(key)
    if alone in ("", key):
        return None
    if (yield from case.works(replace(case.sent, key=alone))) != "good":
        return None
    step = f"correct {held.key.source}: it should hold the key alone"
    cause = Cause("key-malformed", "there is more around the key than the key.", (step,))
    cleaned = replace(held, key=Setting(alone, held.key.source))
    return case.repaired(cause, cleaned, "used the key without the characters around it")


def refused_key(case: Case) -> Steps[Cause | None]:
    """Does the server not know the key, or could that not be determined?"""
    standing = yield from case.identify(case.sent)
    case.workspaces = standing.workspaces or ()
    if standing.state == "good":
        case.note("key", "good", "the server knows the key")
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
    case.note("key", "unknown", "whether the server knows the key could not be asked")
    lost = case.refusal.reply.status == 401 and case.sent.key
    first = _HEADER_LOST if lost else "try again in a minute"
    steps = (first, *_other_regions(case))
    return Cause("access-denied", "the cause could not be determined.", steps)


def _is_of_another_api(info: Answer) -> bool:
    """Whether an API answers here, and not as LangSmith does. A page may be a portal's."""
    if not isinstance(info, Reply) or info.is_html or answers.is_langsmith(info):
        return False
    return info.status in (200, 404)


def _rejected(case: Case) -> Cause:
    key, held = case.sent.key or "", case.held
    if case.sent.session:
        login = case.setup.login
        if login and login.ended:
            case.note("key", "bad", f"the time of {login} is over")
        summary = "the login session is not accepted any more."
        return Cause("key-rejected", summary, (_log_in_again(case),))
    if kind_of(key) == "legacy":
        return _legacy(case)
    if odd := oddity(key):
        step = f"correct {held.key.source}"
        if is_code(key):
            # Not the very words that stand there: they are struck out of every text.
            step += (
                ": %env and .env take text and run no code; in a notebook, write "
                "os.environ[...] = userdata.get(...)"
            )
        summary = f"the key is refused, and {odd}."
        return Cause("key-malformed", summary, (step, _new_key(case)))
    summary, steps = f"{shown(case.sent.endpoint)} does not know this key.", unused(case)
    if held.endpoint.source.kind == "profile" and held.key.source.kind != "profile":
        # The key may be good, and the endpoint that a profile joined to it another one's.
        where = f"the endpoint comes from {held.endpoint.source}"
        steps += (f"{where}: set LANGSMITH_ENDPOINT to the one that this key is for",)
    if steps and case.names_another_host:
        return Cause("key-rejected", summary, steps)
    if case.region:
        case.note("region", "unknown", "the key may belong to another region")
    return Cause("key-rejected", summary, (*steps, *_other_regions(case), _new_key(case)))


def _new_key(case: Case) -> str:
    return f"make a new key at {case.keys_page}"


def _other_regions(case: Case) -> tuple[str, ...]:
    """How to find out whether a key belongs to another region."""
    if not case.region or case.names_another_host:
        return ()
    step = (
        "look at the address of your web app: on eu., apac. or aws.smith.langchain.com, "
        "set LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com (or apac., aws.)"
    )
    if case.probe_regions is None:
        step += "; or have the regions asked: Policy(probe_regions=True)"
    return (step,)
