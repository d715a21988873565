"""Is there a key, is it a key, and does the server know it?"""

from __future__ import annotations

import shlex
from dataclasses import replace

from safe_langsmith._decision.case import (
    Case,
    Cause,
    Repair,
    identify,
    info_of,
    is_further_destination,
    is_langsmith,
    judge,
    other_endpoints,
    probe,
    works,
)
from safe_langsmith._decision.checks.endpoint import (
    is_in_the_way,
    not_an_api,
    refuses_strangers,
)
from safe_langsmith._decision.checks.settings import newer_settings, replaced, unused
from safe_langsmith._decision.protocol import (
    Answer,
    Reply,
    Steps,
)
from safe_langsmith._knowledge.hosts import (
    is_official,
    origin,
    region_of,
    settings_page,
    shown,
)
from safe_langsmith._knowledge.keys import clean, is_code, kind_of, oddity
from safe_langsmith._settings.sources import Setting, Source

_HEADER_LOST = "ask who runs your network whether a proxy removes the header"


def foreign_credential(case: Case) -> Steps[Cause | None]:
    """Is it something else than a key of LangSmith that authenticates the request?

    A service key, a token or a cookie belongs to one destination of traces; what it may
    do cannot be asked for.
    """
    yield from ()
    if not case.sent.foreign:
        return None
    host = shown(origin(case.sent.endpoint))
    return Cause(
        "access-denied",
        f"{host} refused the service key, token or cookie of this destination.",
        ("check the service key, token or cookie that this destination was given",),
    )


def other_login(case: Case) -> Steps[Cause | None]:
    """A login went along with the key that is none of the client's. Does it spoil it?"""
    place = case.refusal.login
    if not place or not case.sent.key:
        return None
    text = f"a login, Authorization, went along with the key, from {place}"
    case.note("key", "unknown", text)
    together = yield from case.ask(probe(case.sent, "/auth/public"))
    if not isinstance(together, Reply) or together.status not in (401, 403):
        return None
    alone = yield from case.ask(probe(case.sent, "/auth/public", alone=True))
    if judge(alone, case.sent) != "good":
        return None
    host = shown(origin(case.sent.endpoint))
    return Cause(
        "access-denied",
        f"the login from {place} was refused; the key alone is let in.",
        (f"take the login for {host} out of {place}",),
    )


def key_missing(case: Case) -> Steps[Cause | None]:
    """No key was sent. Does a newer reading have one?"""
    if case.sent.key or case.sent.session:
        return None
    held = case.setup.held.key
    page = settings_page(case.sent.endpoint)
    made = "" if other_endpoints(case) else f"; keys are made at {page}"
    steps: tuple[str, ...] = (f"set LANGSMITH_API_KEY, or pass api_key={made}",)
    if is_further_destination(case):
        step = f"give this destination a key; keys are made at {page}"
        return Cause("key-missing", "no key was sent.", (step,))
    if held.source.is_explicit:
        summary = "no key was sent: an empty api_key was passed, so none was looked for."
        return Cause("key-missing", summary, (f"pass a key, or no api_key at all; {page}",))
    steps = (*unused(case), *steps)
    for fresh in newer_settings(case):
        if not fresh.key.value or (yield from works(case, fresh.access)) != "good":
            continue
        summary = "no key was sent; the client was made before one was set."
        if fresh.key.source.kind == "dotenv":
            summary = "no key was sent; there is one in the .env, which was not loaded."
        if fresh.key.source.kind == "colab":
            summary = "no key was sent; there is one among the secrets of Colab."
        return replaced(case, "key-missing", summary, fresh)
    if case.setup.login:
        summary = f"no key was sent: {case.setup.login} has no token that can be sent."
        return Cause("key-missing", summary, (_log_in_again(case), *steps))
    return Cause("key-missing", "no key was sent.", steps)


def _log_in_again(case: Case) -> str:
    """The command of LangSmith's CLI: a session is made anew by its owner alone."""
    login = case.setup.login
    name = f" --profile {shlex.quote(login.profile)}" if login else ""
    return f"log in again: langsmith auth login{name}"


def legacy_key(case: Case) -> Steps[Cause | None]:
    """The server itself says that the key is a legacy one."""
    yield from ()
    if "legacy api key" not in case.refusal.reply.message.lower():
        return None
    return _legacy(case)


def _legacy(case: Case) -> Cause:
    return Cause(
        "key-legacy",
        "keys that begin with ls__ stopped working in October 2024.",
        (_new_key(case),),
    )


def stripped_key(case: Case) -> Steps[Cause | None]:
    """A key was sent, and the answer is the one to no key at all. Did it get lost?

    LangSmith answers 403 to a key that it does not know.
    """
    yield from ()
    if case.refusal.reply.status != 401 or not case.sent.key:
        return None
    text = (
        "it answers as if no key had arrived (401): a proxy may remove the header x-api-key"
    )
    case.note("proxy", "unknown", text)
    if not is_official(case.sent.endpoint):
        return None
    return Cause(
        "blocked-by-proxy",
        "a key was sent, and LangSmith answers as if none had arrived (401).",
        (f"{_HEADER_LOST} x-api-key",),
    )


def soiled_key(case: Case) -> Steps[Cause | None]:
    """Is there more in the text than the key, and does the key alone work?"""
    key = case.sent.key or ""
    alone = clean(key)
    if not key or alone == key or not alone:
        return None
    access = replace(case.sent, key=alone)
    if (yield from works(case, access)) != "good":
        return None
    where = case.setup.held.key.source
    step = f"correct {where}: it should hold the key alone"
    held = case.setup.held
    cleaned = replace(held, key=Setting(alone, held.key.source))
    how = "used the key without the characters around it"
    repair = Repair(cleaned, case.sent.session, how, step)
    summary = "there is more around the key than the key."
    return Cause("key-malformed", summary, (step,), repair)


def refused_key(case: Case) -> Steps[Cause | None]:
    """Does the server not know the key, or could that not be determined?"""
    identity = yield from identify(case, case.sent)
    case.workspaces = identity.workspaces or ()
    if identity.state == "good":
        case.note("key", "good", "the server knows the key")
        return None
    info = yield from case.ask(info_of(case.sent.endpoint))
    if refuses_strangers(info):
        text = "a request without a key, to /info, was refused as well"
        case.note("proxy", "unknown", text)
    if identity.state == "unknown" and _is_of_another_api(info):
        cause = yield from not_an_api(case)
        if cause:
            return cause
    answers = isinstance(info, Reply) and info.status < 500 and not info.is_html
    reachable = is_in_the_way(info) or (answers and not refuses_strangers(info))
    if identity.state == "unknown" or not reachable:
        case.note("key", "unknown", "whether the server knows the key could not be asked")
        steps: tuple[str, ...] = ("try again in a minute", *_other_regions(case))
        if case.refusal.reply.status == 401 and case.sent.key:
            steps = (f"{_HEADER_LOST} x-api-key", *steps[1:])
        return Cause("access-denied", "the cause could not be determined.", steps)
    return _rejected(case)


def _is_of_another_api(info: Answer) -> bool:
    """Whether an API answers here, and not as LangSmith does. A page may be a portal's."""
    if not isinstance(info, Reply) or info.is_html or is_langsmith(info):
        return False
    return info.status in (200, 404)


def _rejected(case: Case) -> Cause:
    key = case.sent.key or ""
    if case.sent.session:
        login = case.setup.login
        if login and login.ended:
            case.note("key", "bad", f"the time of {login} is over")
        summary = "the login session is not accepted any more."
        return Cause("key-rejected", summary, (_log_in_again(case),))
    if kind_of(key) == "legacy":
        return _legacy(case)
    odd = oddity(key)
    if odd:
        where = case.setup.held.key.source
        return Cause(
            "key-malformed",
            f"the key is refused, and {odd}.",
            (*_correct(key, where), _new_key(case)),
        )
    summary = f"{shown(case.sent.endpoint)} does not know this key."
    steps = (*unused(case), *_own_endpoint(case))
    if steps and other_endpoints(case):
        return Cause("key-rejected", summary, steps)
    if region_of(case.sent.endpoint):
        case.note("region", "unknown", "the key may belong to another region")
    return Cause("key-rejected", summary, (*steps, *_other_regions(case), _new_key(case)))


def _correct(key: str, where: Source) -> tuple[str, ...]:
    """How to put a key in the place of what is none."""
    if not is_code(key):
        return (f"correct {where}",)
    # Not the very words that stand there: they are struck out of every text.
    return (
        f"correct {where}: %env and .env take text and run no code; in a notebook, write "
        "os.environ[...] = userdata.get(...)",
    )


def _own_endpoint(case: Case) -> tuple[str, ...]:
    """The key may be good, and the endpoint that a profile joined to it another one's."""
    held = case.setup.held
    if held.endpoint.source.kind != "profile" or held.key.source.kind == "profile":
        return ()
    where = f"the endpoint comes from {held.endpoint.source}"
    return (f"{where}: set LANGSMITH_ENDPOINT to the one that this key is for",)


def _new_key(case: Case) -> str:
    return f"make a new key at {settings_page(case.sent.endpoint)}"


def _other_regions(case: Case) -> tuple[str, ...]:
    """How to find out whether a key belongs to another region."""
    if not region_of(case.sent.endpoint) or other_endpoints(case):
        return ()
    step = (
        "look at the address of your web app: on eu., apac. or aws.smith.langchain.com, "
        "set LANGSMITH_ENDPOINT=https://eu.api.smith.langchain.com (or apac., aws.)"
    )
    if case.probe_regions is None:
        step += "; or have the regions asked: Policy(probe_regions=True)"
    return (step,)
