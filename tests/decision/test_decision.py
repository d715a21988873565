"""Tests for the decision, a generator without I/O, with random setups and answers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_args

import hypothesis
import pytest
import urllib3
from conftest import DECISIONS
from hypothesis import strategies as st
from urllib3.util import parse_url

from safe_langsmith import Diagnosis, Policy
from safe_langsmith._decision.case import Repair
from safe_langsmith._decision.checks.endpoint import PROXY_WAITS
from safe_langsmith._decision.checks.permission import TRANSIENT_WAIT
from safe_langsmith._decision.protocol import (
    NO_PROMPT_OWNER,
    ORG_KEY_WORDINGS,
    Answer,
    Probe,
    ProbeAll,
    Refusal,
    Reply,
    Resend,
    Steps,
    Unreachable,
)
from safe_langsmith._decision.resolve import Verdict, examine, resolve
from safe_langsmith._diagnosis import Finding
from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import (
    REGIONS,
    base_of,
    origin,
    same_origin,
    settings_page,
    shown,
    web_address,
)
from safe_langsmith._knowledge.keys import clean
from safe_langsmith._knowledge.operations import operation, permission_for, route
from safe_langsmith._settings.network import Network
from safe_langsmith._settings.sources import (
    Login,
    Setting,
    Settings,
    Setup,
    Source,
    SourceKind,
)
from safe_langsmith._settings.unread import Mention

T = TypeVar("T")

# The maximum number of steps; see `it_ends`.
MOST_STEPS = 40

# --- what is configured ---------------------------------------------------------------

# Configured texts, and the secret in each.
KEYS: dict[str, str] = {
    f"{before}{core}{after}": core
    for before, core, after in (
        ("", "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", ""),
        ("", "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", ""),
        ("Bearer ", "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", ""),
        ("LANGSMITH_API_KEY=", "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", ""),
        ("", "ls__5be0cd19137e21790f1e2d3c4b5a6978", ""),
        ("", "gateway.Token~Zq81-vXw7-Kp02", ""),
        ('"', "Another/gateway+Token=4421", '",'),
        ("", "sk-ant-api03-QmVyZXRTZWNyZXQ", ""),
        ("\ufeff", "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", ""),
    )
}
PASSWORD = "pa55word-in-the-address"
US, EU = REGIONS[0], REGIONS[1]
ENDPOINTS = (
    US.api,
    EU.api,
    US.web,
    EU.web,
    "http://smith.langchain.com",
    f"{US.api}:443",
    "HTTPS://EU.API.Smith.LangChain.com/api/v1",
    "https://langsmith.own.example/api/v1",
    "https://langsmith.own.example",
    "http://localhost:1984",
    "https://elsewhere.example",
    f"https://elsewhere.example\\@{US.api.removeprefix('https://')}",
    f"https://me:{PASSWORD}@langsmith.own.example",
    f"{US.api}.elsewhere.example",
    "eu.api.smith.langchain.com",
    "http://[",
    "",
)
IDS = tuple(str(uuid.UUID(int=n * 0x1234567890ABCDEF1234567890ABCDEF)) for n in (1, 2, 3))
ORG = str(uuid.UUID(int=99))
# Texts around a workspace id. DIRTY ones are cleaned even if passed as an argument.
DIRTY = {f'{IDS[0]}"  # mine': IDS[0], f"LANGSMITH_WORKSPACE_ID={IDS[1]}": IDS[1]}
PASTED = {f"https://langsmith.own.example/o/{IDS[0]}/projects/p/{IDS[2]}": IDS[0]}
WORKSPACES = (
    *DIRTY,
    *PASTED,
    *IDS,
    IDS[0].upper(),
    ORG,
    "research",
    "",
    "a\x1b[31mb\r\nc",
    next(iter(KEYS)),
)

kinds = st.sampled_from([k for k in get_args(SourceKind) if k not in ("none", "default")])
maybe_keys = st.none() | st.sampled_from(list(KEYS))
maybe_endpoints = st.none() | st.sampled_from(ENDPOINTS[:11]) | st.sampled_from(ENDPOINTS)
maybe_workspaces = st.none() | st.sampled_from(IDS) | st.sampled_from(WORKSPACES)


def setting(
    name: str, values: st.SearchStrategy[str | None], kind: SourceKind
) -> st.SearchStrategy[Setting]:
    source = Source(kind, name, ".env, line 1" if kind == "dotenv" else "")
    return values.map(lambda value: Setting(value, source) if value else Setting())


def held(name: str, values: st.SearchStrategy[str | None]) -> st.SearchStrategy[Setting]:
    sources = st.builds(Source, kinds, st.just(name), st.just("a \x1b[31mplace"))
    return st.builds(Setting, values, sources)


# One reading has any of the three settings, or none.
readings = {
    kind: st.builds(
        Settings,
        setting("LANGSMITH_API_KEY", maybe_keys, kind),
        setting("LANGSMITH_ENDPOINT", maybe_endpoints, kind),
        setting("LANGSMITH_WORKSPACE_ID", maybe_workspaces, kind),
    )
    for kind in get_args(SourceKind)
}
ALIAS = Source("environment", "LANGSMITH_TENANT_ID")
NOTE = Finding("settings", "bad", "\x1b[31mline 1")
# Endpoints in variables that nothing reads.
mentions = st.sampled_from(
    [(), (), (), (Mention("ENDPOINT", "LANGSMITH_BASE_URL", "LANGSMITH_BASE_URL"),)]
)


def with_file(setup: Setup, in_file: Settings, counts: bool) -> Setup:
    return replace(setup, in_file=in_file, dotenv=in_file if counts else Settings())


# Any combination of values and sources.
bare_setups = st.builds(
    Setup,
    held=st.builds(
        Settings,
        held("api_key", maybe_keys),
        held("api_url", st.sampled_from(ENDPOINTS[:11]) | st.sampled_from(ENDPOINTS)),
        held("workspace_id", maybe_workspaces),
    ),
    environ=readings["environment"],
    colab=readings["colab"],
    profile=readings["profile"],
    cached=readings["cache"],
    aliases=st.sampled_from([(), (), *((Setting(w, ALIAS),) for w in WORKSPACES[:6])]),
    mentions=mentions,
    session=st.booleans(),
    notes=st.sampled_from([(), (NOTE,)]),
)
setups = st.builds(
    with_file, bare_setups, readings["dotenv"], st.sampled_from([True, True, False])
).map(lambda setup: replace(setup, session=setup.session and not setup.held.key.value))


policies = st.builds(
    Policy,
    repair=st.sampled_from([True, True, True, False]),
    probe_regions=st.sampled_from([None, True, False]),
)

# --- what the server can send ---------------------------------------------------------

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
# Any message may contain a complete key, and control characters.
echoes = st.sampled_from([*KEYS, *KEYS.values()]).flatmap(
    lambda key: st.sampled_from(
        [key, f"no {key} here\x1b[2J\r\nfix: none", "x" * 480 + key, f"{key}\ud800{key}"]
    )
)
sayings = echoes | st.sampled_from(
    [
        "Forbidden",
        "Invalid token",
        "Using legacy API key. Please generate a new API key.",
        "LLM Gateway is not enabled for this organization",
        "missing permission projects:create",
        NO_PROMPT_OWNER,
        "",
        "\u202ereversed\u2028",
    ]
)
org_scoped = st.sampled_from(
    [
        json.dumps({"error": ORG_KEY_WORDINGS[0]}),
        json.dumps({"detail": f"This API {ORG_KEY_WORDINGS[1]} workspace specification."}),
    ]
)
HTML = "<!doctype html><title>403</title>"
odd_bodies = (
    any_json.map(json.dumps)
    | st.text(max_size=20)
    | st.sampled_from(
        [HTML, "", "[" * 100_000, '{"error":' * 50, "x" * 100_000, "9" * 9_999]
    )
)
rows = st.fixed_dictionaries(
    {"id": st.sampled_from(IDS)},
    optional={
        "display_name": echoes | st.just("Research") | st.just(5),
        "organization_id": st.just(ORG),
        "role_name": echoes,
        "permissions": st.sampled_from([["projects:read"], [], [["deep"], 5], "all"]),
        "is_deleted": st.booleans(),
    },
)
junk_rows: st.SearchStrategy[Any] = st.sampled_from(
    [5, None, [], {}, {"id": 7}, {"id": ""}, {"id": "\r\nX: y"}]
)
listings = st.lists(rows, max_size=3, unique_by=lambda r: str(r["id"])).flatmap(
    lambda good: st.lists(junk_rows, max_size=2).map(lambda junk: [*good, *junk])
)


def refusing(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[Reply]:
    statuses = st.sampled_from([403, 403, 403, 401, 400, 404, 405, 422])
    kinds_of_body = st.sampled_from(
        ["application/json", "application/json", "text/html", ""]
    )
    cut = st.sampled_from([False, False, True])
    return st.builds(Reply, statuses, bodies, kinds_of_body, is_cut=cut)


json_refusals = st.builds(
    Reply,
    st.sampled_from([403, 403, 401]),
    st.dictionaries(st.sampled_from(["error", "detail"]), sayings, min_size=1).map(
        json.dumps
    )
    | org_scoped,
)
pages = st.sampled_from([Reply(s, HTML, "text/html") for s in (200, 403, 405)])
prompts_of_nobody = st.just(Reply(400, json.dumps({"detail": NO_PROMPT_OWNER})))
refusals_as_replies = json_refusals | json_refusals | refusing(odd_bodies) | pages
redirects = st.builds(
    Reply,
    st.sampled_from([403, 405, 302, 307]),
    st.sampled_from(['{"error":"Forbidden"}', HTML, ""]),
    redirected_to=st.sampled_from(
        [
            "https://elsewhere.example/signin",
            f"{EU.api}/sessions",
            "http://localhost:1984/x",
        ]
    ),
)
refusals_as_replies |= prompts_of_nobody | redirects
failures = (
    st.just(Unreachable("no answer \x1b[31m from the host"))
    | st.builds(Reply, st.sampled_from([429, 500, 503]), odd_bodies)
    | st.just(Reply(200, HTML, "text/html"))
)
odd_replies = st.builds(Reply, st.integers(100, 599), odd_bodies)
listing_answers = st.one_of(
    listings.map(lambda r: Reply(200, json.dumps(r))),
    listings.map(lambda r: Reply(200, json.dumps({"workspaces": r}))),
    json_refusals,
    json_refusals | failures | odd_replies,
)
who_answers = st.one_of(
    st.fixed_dictionaries(
        {"tenant_id": st.sampled_from([*IDS, 5])},
        optional={"organization_id": st.just(ORG)},
    ).map(lambda d: Reply(200, json.dumps(d))),
    json_refusals,
    json_refusals | failures | odd_replies,
)
info_answers = (
    st.just(Reply(200, '{"version": "0.15"}')) | failures | json_refusals | odd_replies
)
project_answers = st.one_of(
    st.builds(
        lambda i, n: Reply(200, json.dumps({"id": i, "name": n})),
        st.sampled_from(IDS),
        echoes | st.just("p"),
    ),
    odd_replies,
)
sent_again = refusals_as_replies | failures | st.just(Reply(200)) | odd_replies
by_question = {
    "/workspaces": listing_answers,
    "/auth/public": who_answers,
    "/info": info_answers,
    "/sessions?limit=1": refusals_as_replies | listing_answers,
}


def answers_to(step: Probe | Resend) -> st.SearchStrategy[Answer]:
    """Return a strategy for answers, mostly ones that fit the request."""
    if isinstance(step, Resend):
        return sent_again
    fitting = (a for path, a in by_question.items() if step.url.endswith(path))
    return next(fitting, project_answers)


calls = st.sampled_from(
    [
        ("GET", "/sessions"),
        ("POST", "/sessions"),
        ("POST", "/runs/multipart"),
        ("POST", "/feedback"),
        ("POST", "/runs/query"),
        ("GET", "/orgs/current"),
        ("GET", "/orgs/current/personal-access-tokens"),
        ("GET", "/commits/-/greeting/latest"),
        ("GET", f"/sessions/{IDS[0]}?x=\x1b[31m"),
        ("BREW", "/coffee"),
    ]
)
mostly = st.sampled_from([True, True, True, False])
sometimes = st.booleans()


# --- running it -----------------------------------------------------------------------


@dataclass
class Story:
    """The requests of a decision, and their answers."""

    told: list[tuple[Probe | Resend, Answer]] = field(default_factory=list)

    @property
    def steps(self) -> list[Probe | Resend]:
        """Every request; parallel ones in order."""
        return [step for step, _ in self.told]

    @property
    def resends(self) -> list[Resend]:
        return [step for step in self.steps if isinstance(step, Resend)]

    def run(self, steps: Steps[T], answer: Callable[[Probe | Resend], Answer]) -> T:
        try:
            step = next(steps)
            while True:
                assert len(self.told) < MOST_STEPS, self.steps
                if isinstance(step, ProbeAll):
                    answers = tuple(answer(probe) for probe in step.probes)
                    self.told.extend(zip(step.probes, answers, strict=True))
                    step = steps.send(answers)
                    continue
                self.told.append((step, answer(step)))
                step = steps.send(self.told[-1][1])
        except StopIteration as stop:
            result: T = stop.value
            return result


@dataclass
class Trial:
    """One decision on any setup, with any answers."""

    setup: Setup
    policy: Policy
    refusal: Refusal
    story: Story
    verdict: Verdict | None

    @property
    def diagnosis(self) -> Diagnosis | None:
        return self.verdict.diagnosis if self.verdict else None


Answering = Callable[[Probe | Resend], st.SearchStrategy[Answer]]


@st.composite
def trials(draw: st.DrawFn, answers: Answering = answers_to) -> Trial:
    setup, policy, (method, path) = draw(setups), draw(policies), draw(calls)
    tied = "" if draw(mostly) else "a cookie of your session"
    reply, worked, whole = draw(refusals_as_replies), draw(sometimes), draw(mostly)
    refusal = Refusal(method, path, reply, setup.access, worked, whole, tied_by=tied)
    story = Story()
    verdict = story.run(resolve(refusal, setup, policy), lambda step: draw(answers(step)))
    hypothesis.target(float(len(story.told)), label="steps")
    return Trial(setup, policy, refusal, story, verdict)


@st.composite
def examinations(draw: st.DrawFn) -> tuple[Setup, Story, Diagnosis]:
    setup, policy, story = draw(setups), draw(policies), Story()
    steps = examine(setup, policy)
    return setup, story, story.run(steps, lambda step: draw(answers_to(step)))


# --- properties -----------------------------------------------------------------------


def given(
    strategy: st.SearchStrategy[Any], examples: int | None = None
) -> Callable[[Callable[..., None]], Any]:
    """Like `hypothesis.given`, but slow drawing on a busy machine is not a failure."""
    slow = [hypothesis.HealthCheck.too_slow]
    patient = hypothesis.settings(suppress_health_check=slow)
    if examples:
        patient = hypothesis.settings(patient, max_examples=examples)
    return lambda test: patient(hypothesis.given(trial=strategy)(test))


# All are checked for each trial: drawing one costs far more than checking it.
PROPERTIES: list[Callable[[Trial], None]] = []


def every_trial(holds: Callable[[Trial], None]) -> Callable[[Trial], None]:
    PROPERTIES.append(holds)
    return holds


# --- what proves a cause --------------------------------------------------------------


def answers_of(trial: Trial, *ends: str) -> list[tuple[Probe, Reply]]:
    """Return the probes whose URL has one of these ends, with their responses."""
    return [
        (step, answer)
        for step, answer in trial.story.told
        if isinstance(step, Probe) and isinstance(answer, Reply)
        if step.url.endswith(ends)
    ]


def said(trial: Trial) -> list[Reply]:
    """Return the refusal, and the responses to resent requests."""
    again = [a for s, a in trial.story.told if isinstance(s, Resend)]
    return [trial.refusal.reply, *(a for a in again if isinstance(a, Reply))]


def wants_workspace(reply: Reply) -> bool:
    return any(wording in reply.body for wording in ORG_KEY_WORDINGS)


def key_was_accepted(trial: Trial, *, elsewhere: bool = False) -> bool:
    """Whether a probe (`elsewhere`: at another host) shows that the key is accepted."""
    home = origin_on_the_wire(trial.refusal.access.endpoint)
    return any(
        (reply.status == 200 and reply.data() is not None)
        or (reply.status == 403 and wants_workspace(reply))
        for step, reply in answers_of(trial, "/workspaces", "/auth/public")
        if origin_on_the_wire(step.url) != home or not elsewhere
    )


def refused_by(trial: Trial, *ends: str, workspace: bool = False) -> bool:
    return any(
        (reply.status == 403 or (reply.status == 401 and not step.key))
        and reply.is_langsmiths
        for step, reply in answers_of(trial, *ends)
        if bool(step.workspace) == workspace
    )


def unknown_key(trial: Trial) -> bool:
    """Whether both probes of the key, /workspaces and /auth/public, were refused."""
    return refused_by(trial, "/workspaces") and refused_by(trial, "/auth/public")


def named(trial: Trial, words: str) -> bool:
    return any(re.search(words, reply.body, re.IGNORECASE) for reply in said(trial))


def was_a_page(trial: Trial) -> bool:
    return any(reply.is_html for reply in said(trial))


def of_no_langsmith(reply: Reply) -> bool:
    data = reply.data() if reply.status == 200 else None
    return reply.status in (200, 404, 405) and not (
        isinstance(data, dict) and "version" in data
    )


PROVEN: dict[str, Callable[[Trial], bool]] = {
    "access-denied": lambda trial: True,
    "wrong-endpoint": lambda trial: (
        was_a_page(trial)
        or any(reply.redirected_to for reply in said(trial))
        or any(of_no_langsmith(r) for _, r in answers_of(trial, "/info"))
    ),
    "blocked-by-proxy": lambda trial: (
        was_a_page(trial)
        or any(reply.redirected_to for reply in said(trial))
        or any(reply.status == 401 for reply in said(trial))
        or (
            not all(reply.is_langsmiths for reply in said(trial))
            and any(
                r.status in (401, 403) and not r.is_langsmiths
                for _, r in answers_of(trial, "/info")
            )
        )
    ),
    "key-missing": lambda trial: any(
        not access.key and not access.session
        for access in (trial.refusal.access, *(s.access for s in trial.story.resends))
    ),
    "key-legacy": lambda trial: named(trial, "legacy api key") or unknown_key(trial),
    "key-malformed": lambda trial: key_was_accepted(trial) or unknown_key(trial),
    "key-rejected": unknown_key,
    "workspace-required": lambda trial: (
        any(wants_workspace(reply) for reply in said(trial))
        or refused_by(trial, "/auth/public")
    ),
    "workspace-mismatch": lambda trial: (
        key_was_accepted(trial) or refused_by(trial, "/auth/public", workspace=True)
    ),
    "service-key-scope": lambda trial: (
        "/personal-access-tokens" in trial.refusal.path
        or key_was_accepted(trial)
        or refused_by(trial, "/auth/public", workspace=True)
    ),
    "permission-missing": lambda trial: (
        named(trial, r"[a-z-]+:[a-z-]+")
        or any("permissions" in r.body for _, r in answers_of(trial, "/workspaces"))
    ),
    "feature-unavailable": lambda trial: named(trial, "not enabled for this"),
    "stale-setting": key_was_accepted,
    "wrong-region": lambda trial: key_was_accepted(trial, elsewhere=True),
    "transient-refusal": lambda trial: trial.refusal.worked and key_was_accepted(trial),
}

# --- what must hold -------------------------------------------------------------------


@every_trial
def it_ends(trial: Trial) -> None:
    """`Story.run` stops after MOST_STEPS; an exception would end this test, too."""
    assert trial.verdict is None or isinstance(trial.verdict.diagnosis, Diagnosis)


@every_trial
def without_a_verdict_nothing_is_resent(trial: Trial) -> None:
    """Without a verdict, the response only looked like a refusal; nothing is resent."""
    if trial.verdict is None:
        assert not trial.story.resends
        assert trial.refusal.reply.status not in (401, 403)


@every_trial
def an_explicit_choice_is_never_replaced(trial: Trial) -> None:
    held = trial.setup.held
    used = [step.access for step in trial.story.resends]
    if trial.verdict and trial.verdict.repair:
        used.append(trial.verdict.repair.access)
        assert used[-1] in [step.access for step in trial.story.resends] or (
            not trial.refusal.replayable
        )
    for access in used:
        if held.key.source.is_explicit:
            assert access.key in (held.key.value, clean(held.key.value or "") or None)
        if held.endpoint.source.is_explicit:
            assert access.endpoint == held.endpoint.value
        if held.workspace.source.is_explicit:
            chosen = held.workspace.value
            assert access.workspace in (chosen, DIRTY.get(chosen or "", chosen))


def origin_on_the_wire(url: str) -> str | None:
    """Return where urllib3 would send a request to this URL, or None.

    A dot at the end of a host name makes no difference.
    """
    try:
        parts = parse_url(url)
        (parts.host or "").encode("idna")  # urllib3 does this too, and refuses `a..b`
    except (urllib3.exceptions.LocationParseError, UnicodeError):
        return None
    if parts.scheme not in ("http", "https") or not parts.host:
        return None
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.host.removesuffix('.')}:{port}"


OFFICIAL = {origin_on_the_wire(region.api) for region in REGIONS}


def corrected(endpoint: str | None) -> set[str | None]:
    """Return an endpoint's host, and if it is LangSmith's, all official hosts."""
    here = origin_on_the_wire(endpoint or "")
    found = {here}
    for region in REGIONS:
        if here in (
            origin_on_the_wire(region.web),
            origin_on_the_wire(region.web.replace("https:", "http:")),
        ):
            found.add(origin_on_the_wire(region.api))
    return found | OFFICIAL if found & OFFICIAL else found


def allowed_hosts(setup: Setup, key: str | None) -> set[str | None]:
    """Return the hosts that may receive a key (None: a login session, which never moves).

    They are the program's own host and, if that is official, every official host. A key
    that is configured with an endpoint is only for that host.
    """
    home = corrected(setup.held.endpoint.value)
    if key is None:
        return {origin_on_the_wire(setup.held.endpoint.value or "")}
    found: set[str | None] = set()
    for place in (setup.held, setup.environ, setup.dotenv, setup.colab, setup.profile):
        if place.key.value and key in (place.key.value, clean(place.key.value)):
            there = place.endpoint.value
            found |= home & corrected(there) if there else home
    return found


def assert_keys_stay_at_home(setup: Setup, story: Story) -> None:
    for step in story.steps:
        if isinstance(step, Resend):
            url, key, session = step.access.endpoint, step.access.key, step.access.session
        else:
            url, key, session = step.url, step.key, step.session
        target = origin_on_the_wire(url)
        if target is not None and (key or session):
            assert target in allowed_hosts(setup, key), (step, key)


@every_trial
def a_key_goes_only_to_the_host_that_it_was_configured_for(trial: Trial) -> None:
    assert_keys_stay_at_home(trial.setup, trial.story)


@every_trial
def a_write_is_repeated_only_after_langsmith_s_own_refusal(trial: Trial) -> None:
    """After any other refusal it may have been executed, except by a web app."""
    refusal, webs = trial.refusal, [origin_on_the_wire(r.web) for r in REGIONS]
    webs += [origin_on_the_wire(r.web.replace("https:", "http:")) for r in REGIONS]
    reads = refusal.method == "GET" or refusal.path == "/runs/query"
    if reads or refusal.path == "/runs/multipart":
        return
    before, place = refusal.reply, refusal.access.endpoint
    for step, answer in trial.story.told:
        if not isinstance(step, Resend):
            continue
        assert before.is_langsmiths or origin_on_the_wire(place) in webs, before
        assert isinstance(answer, Reply) or step == trial.story.steps[-1]
        before = answer if isinstance(answer, Reply) else before
        place = step.access.endpoint


@every_trial
def what_has_more_than_a_key_stays_at_its_host(trial: Trial) -> None:
    """A request moves to another host only with a key, and if nothing else ties it."""
    sent = trial.refusal.access
    home = origin_on_the_wire(sent.endpoint)
    for step in trial.story.resends:
        if origin_on_the_wire(step.access.endpoint) != home:
            assert step.access.key
            assert not any((trial.refusal.tied_by, sent.session, sent.foreign))


def texts(value: Any) -> Iterator[str]:
    """Yield every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def assert_clean(diagnosis: Diagnosis, setup: Setup, *more: str) -> None:
    places = (setup.held, setup.environ, setup.dotenv, setup.profile, setup.cached)
    everywhere = (*places, setup.colab, setup.in_file)
    secrets = {KEYS[p.key.value] for p in everywhere if p.key.value} | {PASSWORD}
    shown = [*texts(diagnosis.as_dict()), *more]
    for secret in secrets:
        bare = re.sub(r"^(lsv2_(pt|sk)_|ls__)", "", secret)
        pieces = (bare[i : i + 8] for i in range(len(bare) - 7))
        assert not any(piece in text for piece in pieces for text in shown), secret
    for text in shown:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", text), text
        assert len(text) < 1_000
    for text in (str(diagnosis), diagnosis._repr_html_()):
        assert not any(secret in text for secret in secrets)
        text.encode()


@every_trial
def texts_contain_no_key_and_no_control_character(trial: Trial) -> None:
    if trial.verdict is not None:
        assert_clean(trial.verdict.diagnosis, trial.setup, trial.verdict.diagnosis.headline)


def listed_alone(story: Story, key: str | None) -> set[str]:
    """Return the ids that the server listed as this key's only workspace."""
    found = set()
    for step, answer in story.told:
        if not isinstance(step, Probe) or not step.url.endswith("/workspaces"):
            continue
        if not isinstance(answer, Reply) or answer.status != 200 or step.key != key:
            continue
        data = answer.data()
        rows = data.get("workspaces") if isinstance(data, dict) else data
        ids = {
            row["id"]
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, dict) and row.get("id") in IDS and not row.get("is_deleted")
        }
        found |= ids if len(ids) == 1 else set()
    return found


@every_trial
def a_workspace_is_never_guessed(trial: Trial) -> None:
    """A workspace that is filled in is configured somewhere, or the only one listed."""
    setup = trial.setup
    places = (setup.held, setup.environ, setup.dotenv, setup.colab, setup.profile)
    named = {p.workspace.value for p in places} | {a.value for a in setup.aliases}
    named |= {(DIRTY | PASTED).get(name or "") for name in named}
    for step in trial.story.resends:
        workspace = step.access.workspace
        if workspace not in named:
            assert workspace in listed_alone(trial.story, step.access.key)


@every_trial
def without_repair_nothing_is_resent(trial: Trial) -> None:
    if not trial.policy.repair or not trial.refusal.replayable:
        assert not trial.story.resends
    if not trial.policy.repair:
        assert trial.verdict is None or trial.verdict.repair is None


@every_trial
def a_request_is_resent_once_for_each_repair(trial: Trial) -> None:
    """At most three repairs, each with new settings; the same ones only after a pause."""
    before = [trial.refusal.access]
    changed = 0
    for step in trial.story.resends:
        if step.waits == (0.0,):
            assert step.access not in before
            changed += 1
        else:
            assert step.access == before[-1]
            assert step.waits in (PROXY_WAITS, (TRANSIENT_WAIT,))
        before.append(step.access)
    assert changed <= 3
    assert len(before) - 1 - changed <= 1


@every_trial
def resolved_means_that_the_last_request_was_not_refused(trial: Trial) -> None:
    if trial.diagnosis is None or not trial.diagnosis.resolved:
        return
    step, answer = trial.story.told[-1]
    assert isinstance(step, Resend)
    assert isinstance(answer, Reply)
    assert not answer.is_refusal
    assert trial.verdict is not None
    assert trial.verdict.repair is not None
    assert trial.verdict.repair.access == step.access


@every_trial
def a_cause_is_named_only_if_it_is_proven(trial: Trial) -> None:
    """Check it independently, only from the requests and responses."""
    if trial.diagnosis is None:
        return
    code = trial.diagnosis.code
    assert PROVEN[code](trial), (code, trial.story.told)


# The trials are split between the workers of a parallel run.
PARTS = 4


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("part", range(PARTS))
@given(trials(), examples=DECISIONS // PARTS)
def test_every_decision(part: int, trial: Trial) -> None:
    for holds in PROPERTIES:
        holds(trial)


@pytest.mark.parametrize("code", [code for code in PROVEN if code != "access-denied"])
def test_a_cause_without_proof_is_detected(code: str) -> None:
    """A bare refusal and a silent host prove no cause, so the property can fail."""
    setup = client_of()
    refusal = Refusal("GET", "/sessions", BAD, setup.access)
    silence = [(Probe(f"{US.api}/api/v1/workspaces", FIRST), Unreachable("no answer"))]
    assert not PROVEN[code](Trial(setup, Policy(), refusal, Story([*silence]), None))


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
@given(trials(lambda step: failures))
def test_probes_that_fail_prove_nothing(trial: Trial) -> None:
    """The cause is then unknown, or proven by the refusal itself."""
    if trial.diagnosis is None:
        return
    refusal, code = trial.refusal, trial.diagnosis.code
    body = refusal.reply.body
    was_a_page = refusal.reply.is_html or any(
        isinstance(a, Reply) and a.is_html and isinstance(s, Resend)
        for s, a in trial.story.told
    )
    proven = {
        "access-denied": True,
        "wrong-endpoint": was_a_page or bool(refusal.reply.redirected_to),
        "blocked-by-proxy": was_a_page
        or bool(refusal.reply.redirected_to)
        or refusal.reply.status == 401,
        "key-missing": not refusal.access.key and not refusal.access.session,
        "key-legacy": "legacy API key" in body,
        "workspace-required": any(wording in body for wording in ORG_KEY_WORDINGS),
        "feature-unavailable": "not enabled for this" in body,
    }
    assert proven.get(code), code


@given(examinations())
def test_an_examination_repairs_nothing(trial: tuple[Setup, Story, Diagnosis]) -> None:
    """It resends nothing, and protects keys as a repair does."""
    setup, story, diagnosis = trial
    assert not story.resends
    assert not diagnosis.resolved or diagnosis.code == "ok"
    assert_keys_stay_at_home(setup, story)
    assert_clean(diagnosis, setup)
    if diagnosis.code == "ok":
        _, first = story.told[0]
        assert isinstance(first, Reply)
        assert first.status == 200
        assert isinstance(first.data(), list)


# --- single cases ---------------------------------------------------------------------

FIRST, SECOND, THIRD = (key for key in KEYS if key.startswith("lsv2_") or "ls__" in key)
BAD = Reply(403, '{"error":"Forbidden"}\n')
NEEDS_WORKSPACE = Reply(403, json.dumps({"error": ORG_KEY_WORDINGS[0]}))
INFO = Reply(200, '{"version": "0.15"}')
GOOD = Reply(200, json.dumps({"tenant_id": IDS[0], "organization_id": ORG}))
PAGE = Reply(200, HTML, "text/html")
OWN = "https://langsmith.own.example/api/v1"
ELSEWHERE = "https://elsewhere.example"


def listing(*ids: str, **more: Any) -> Reply:
    return Reply(200, json.dumps([{"id": i, **more} for i in ids]))


def from_environment(
    key: str | None = None, endpoint: str | None = None, workspace: str | None = None
) -> Settings:
    return reading("environment", key, endpoint, workspace)


def reading(
    kind: SourceKind,
    key: str | None = None,
    endpoint: str | None = None,
    workspace: str | None = None,
) -> Settings:
    values = {"API_KEY": key, "ENDPOINT": endpoint, "WORKSPACE_ID": workspace}
    return Settings(
        *(
            Setting(value, Source(kind, f"LANGSMITH_{name}")) if value else Setting()
            for name, value in values.items()
        )
    )


def client_of(
    key: str | None = FIRST,
    endpoint: str = US.api,
    workspace: str | None = None,
    **more: Any,
) -> Setup:
    """Return the setup of a client that was created from the environment."""
    return Setup(from_environment(key, endpoint, workspace), **more)


def played(
    setup: Setup,
    answers: Mapping[str, Answer | list[Answer]],
    *,
    reply: Reply = BAD,
    method: str = "GET",
    path: str = "/sessions",
    policy: Policy | None = None,
    **more: Any,
) -> tuple[Diagnosis | None, Story]:
    """Run a decision. The keys of `answers` are ends of probe URLs, or "again"."""
    left = {end: list(a) if isinstance(a, list) else a for end, a in answers.items()}

    def answer(step: Probe | Resend) -> Answer:
        what = "again" if isinstance(step, Resend) else step.url
        found = next(
            (a for end, a in left.items() if what.endswith(end)), Unreachable("no")
        )
        return found.pop(0) if isinstance(found, list) else found

    story = Story()
    refusal = Refusal(method, path, reply, setup.access, **more)
    verdict = story.run(resolve(refusal, setup, policy or Policy()), answer)
    return (verdict.diagnosis if verdict else None), story


def hosts_of(story: Story, key: str) -> set[str | None]:
    """Return the hosts that received a key."""
    found = set()
    for step in story.steps:
        url, shown = (
            (step.access.endpoint, step.access.key)
            if isinstance(step, Resend)
            else (step.url, step.key)
        )
        if shown == key:
            found.add(origin_on_the_wire(url))
    return found


def test_a_host_that_a_dotenv_named_gets_nothing() -> None:
    """It receives neither the environment's key nor the file's own key."""
    in_file = reading("dotenv", SECOND, ELSEWHERE)
    setup = client_of(environ=from_environment(FIRST), dotenv=in_file, in_file=in_file)
    diagnosis, story = played(
        setup, {"/auth/public": BAD, "/workspaces": BAD, "/info": INFO, "again": BAD}
    )
    assert diagnosis is not None
    assert hosts_of(story, SECOND) == set()
    assert hosts_of(story, FIRST) == {"https://api.smith.langchain.com:443"}
    assert any(
        "a repair does not move requests there" in f.text for f in diagnosis.findings
    )


def test_a_newer_key_is_for_the_endpoint_that_comes_with_it() -> None:
    """It is not tried at another endpoint, even if both are official."""
    chosen = Setting(US.api, Source("argument", "api_url"))
    setup = client_of(environ=from_environment(SECOND, EU.api))
    setup = replace(setup, held=replace(setup.held, endpoint=chosen))
    diagnosis, story = played(
        setup, {"/auth/public": BAD, "/workspaces": BAD, "/info": INFO, "again": BAD}
    )
    assert diagnosis is not None
    assert hosts_of(story, SECOND) == set()
    assert any("is for another endpoint; not tried" in f.text for f in diagnosis.findings)


def test_another_destination_that_redirects_to_https() -> None:
    """The advice is about that destination, not about the client's endpoint."""
    of_it = Source("request", "the settings of this destination")
    setup = client_of(endpoint="http://langsmith.own.example")
    held = replace(setup.held, endpoint=replace(setup.held.endpoint, source=of_it))
    moved = Reply(403, "{}", redirected_to="https://langsmith.own.example/runs/batch")
    diagnosis, story = played(replace(setup, held=held), {}, reply=moved)
    assert diagnosis is not None
    assert diagnosis.code == "wrong-endpoint"
    assert diagnosis.next_steps == (
        "use https://langsmith.own.example for this destination",
    )
    assert not story.steps


def test_an_address_that_reads_in_two_ways_is_not_official() -> None:
    """`urlsplit` reads LangSmith's host from it, but urllib3 would send it elsewhere."""
    double = f"{ELSEWHERE}\\@api.smith.langchain.com"
    setup = client_of(dotenv=reading("dotenv", None, double))
    diagnosis, story = played(
        setup, {"/auth/public": BAD, "/workspaces": BAD, "/info": INFO, "again": BAD}
    )
    assert diagnosis is not None
    assert diagnosis.code == "key-rejected"
    assert hosts_of(story, FIRST) == {"https://api.smith.langchain.com:443"}


def test_a_web_url_and_a_newer_key() -> None:
    """The URL is corrected; then the newer key is used at its API."""
    setup = client_of(endpoint=US.web, environ=from_environment(SECOND))
    diagnosis, story = played(
        setup,
        {
            "/auth/public": BAD,
            "/workspaces": [listing(IDS[0])],
            "again": [BAD, Reply(200)],
        },
        reply=PAGE,
    )
    assert diagnosis is not None
    assert diagnosis.resolved
    assert diagnosis.endpoint == US.api
    assert diagnosis.code == "stale-setting"
    assert [step.access.key for step in story.resends] == [FIRST, SECOND]


def test_a_login_session_with_a_newer_workspace() -> None:
    setup = replace(
        client_of(None, workspace=IDS[0], environ=from_environment(workspace=IDS[1])),
        session=True,
    )
    diagnosis, story = played(setup, {"/workspaces": listing(IDS[1]), "again": Reply(200)})
    assert diagnosis is not None
    assert diagnosis.resolved
    assert diagnosis.key_kind == "oauth"
    assert all(step.session for step in story.steps if isinstance(step, Probe))
    assert story.resends[0].access == Access(US.api, None, IDS[1], session=True)


PASTED_IN_EU = f"{EU.web}/o/{IDS[1]}/projects/p/{IDS[2]}?peek={IDS[0]}"


def test_a_web_url_shows_the_region() -> None:
    """The key is rejected here; it was not checked in the other region."""
    setup = client_of(FIRST, workspace=PASTED_IN_EU)
    diagnosis, _ = played(setup, {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO})
    assert diagnosis is not None
    assert diagnosis.code == "key-rejected"
    assert "the workspace is set to a web URL of region EU, but the endpoint is in US" in [
        f.text for f in diagnosis.findings
    ]


def test_a_web_url_of_another_region_than_the_key_s() -> None:
    now = from_environment(workspace=PASTED_IN_EU)
    setup = client_of(FIRST, workspace=PASTED_IN_EU, environ=now)
    diagnosis, _ = played(setup, {"/workspaces": listing(IDS[0])})
    assert diagnosis is not None
    assert diagnosis.code == "workspace-mismatch"
    assert "it is in region EU, but the endpoint is in US" in diagnosis.summary
    assert diagnosis.next_steps == (
        f"to use it, set the endpoint to {EU.api}, with a key of that region",
    )


@pytest.mark.parametrize(
    ("text", "owner", "region"),
    [
        (f"{US.web}/o/{IDS[0]}", IDS[0], "US"),
        (f" '{US.web}/o/{IDS[0].upper()}/projects/p/{IDS[1]}' ", IDS[0], "US"),
        (f"https://apac.smith.langchain.com/o/{IDS[0]}/settings?x=1", IDS[0], "APAC"),
        (f"aws.smith.langchain.com/o/{IDS[0]}#top", IDS[0], "AWS US"),
        (f"http://localhost:3000/o/{IDS[0]}/dashboards", IDS[0], None),
        (f"https://own.example/langsmith/o/{IDS[0]}/datasets", IDS[0], None),
        (f"{US.web}/projects/p/{IDS[0]}", None, None),
        (f"{US.web}/?next=/o/{IDS[0]}", None, None),
        (f"http://[/o/{IDS[0]}", None, None),
        (f"{US.web}/o/{IDS[0]}0", None, None),
        ("Research", None, None),
        ("", None, None),
    ],
)
def test_the_parts_of_a_web_url(text: str, owner: str | None, region: str | None) -> None:
    found = web_address(text)
    assert (found.owner if found else None) == owner
    assert (found.region.name if found and found.region else None) == region


def test_advice_for_another_destination_uses_its_own_names() -> None:
    """A replica is configured with `tenant_id`, here with a name instead of an id."""
    setup = Setup(reading("request", FIRST, US.api, "research"))
    rows = [{"id": IDS[0], "display_name": "Research"}]
    diagnosis, _ = played(setup, {"/workspaces": Reply(200, json.dumps(rows))})
    assert diagnosis is not None
    assert f'"tenant_id": "{IDS[0]}"' in diagnosis.next_steps[0]


def test_a_name_that_two_workspaces_have_is_not_used() -> None:
    setup = client_of(FIRST, workspace="research")
    rows = [{"id": i, "display_name": "Research"} for i in IDS[:2]]
    diagnosis, _ = played(setup, {"/workspaces": Reply(200, json.dumps(rows))})
    assert diagnosis is not None
    assert "is not a workspace id" in diagnosis.summary


def test_a_newer_key_that_cannot_be_sent_is_not_tried() -> None:
    """It cannot be sent even after cleaning."""
    setup = client_of(FIRST, environ=from_environment(key="\u201cschl\xfcssel\u201d"))
    answers = {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO}
    diagnosis, story = played(setup, answers)
    assert diagnosis is not None
    assert diagnosis.code == "key-rejected"
    assert {step.key for step in story.steps if isinstance(step, Probe)} == {FIRST, None}


def test_an_expired_login_session_and_one_without_a_token() -> None:
    login = Login("my work", "~/.langsmith/config.json", ended=True)
    setup = replace(client_of(None), session=True, login=login)
    bad = {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO}
    diagnosis, _ = played(setup, bad)
    assert diagnosis is not None
    again = "log in again: langsmith auth login --profile 'my work'"
    assert diagnosis.next_steps == (again,)
    assert f"{login} has expired" in [f.text for f in diagnosis.findings]
    assert diagnosis.settings[0].value == "a login session"
    diagnosis, _ = played(replace(setup, session=False), bad)
    assert diagnosis is not None
    assert diagnosis.code == "key-missing"
    assert diagnosis.next_steps[0] == again


def test_a_login_session_that_is_rejected() -> None:
    setup = replace(client_of(None), session=True)
    diagnosis, _ = played(setup, {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO})
    assert diagnosis is not None
    assert diagnosis.code == "key-rejected"
    assert diagnosis.next_steps == ("log in again: langsmith auth login",)


def test_upper_case_is_the_same_workspace() -> None:
    setup = client_of(workspace=IDS[0].upper())
    diagnosis, _ = played(setup, {"/workspaces": listing(IDS[0])})
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"


def test_what_is_not_a_uuid_is_not_a_workspace() -> None:
    """An id is sent in a header, so only UUIDs are used."""
    answers = {"/workspaces": listing("a\r\nX-Evil: b", ""), "again": Reply(200)}
    diagnosis, story = played(client_of(), answers, reply=NEEDS_WORKSPACE)
    assert diagnosis is not None
    assert diagnosis.workspaces == ()
    assert not story.resends


def test_a_prompt_call_without_a_key() -> None:
    nobody = Reply(400, json.dumps({"detail": NO_PROMPT_OWNER}))
    diagnosis, story = played(client_of(None), {}, reply=nobody, path="/commits/-/a/latest")
    assert diagnosis is not None
    assert diagnosis.code == "key-missing"
    assert not story.steps


def test_a_prompt_call_that_fails_with_a_good_key_is_not_a_refusal() -> None:
    nobody = Reply(404, json.dumps({"detail": NO_PROMPT_OWNER}))
    diagnosis, _ = played(client_of(), {"/workspaces": listing(IDS[0])}, reply=nobody)
    assert diagnosis is None


@pytest.mark.parametrize("again", [BAD, Unreachable("a pause did not fit")])
def test_a_pause_that_did_not_help(again: Answer) -> None:
    """The failed retry is reported, and the cause is unknown."""
    answers = {"/workspaces": listing(IDS[0]), "/auth/public": GOOD, "again": again}
    diagnosis, story = played(client_of(), answers, worked=True)
    assert diagnosis is not None
    assert [step.waits for step in story.resends] == [(TRANSIENT_WAIT,)]
    assert diagnosis.code == "access-denied"
    assert "try again in a minute" in diagnosis.next_steps[0]
    unreachable = any(f.text == "a pause did not fit" for f in diagnosis.findings)
    assert unreachable == isinstance(again, Unreachable)


def test_a_probe_that_is_refused_now_proves_no_temporary_refusal() -> None:
    answers = {"/workspaces": listing(IDS[0]), "/auth/public": BAD}
    diagnosis, story = played(client_of(), answers, worked=True)
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"
    assert not story.resends


def test_a_second_refusal_for_the_same_cause_is_not_repaired() -> None:
    """Each cause is repaired once."""
    setup = client_of(
        environ=from_environment(SECOND),
        dotenv=reading("dotenv", "gateway.Token~Zq81-vXw7"),
    )
    diagnosis, story = played(
        setup, {"/auth/public": BAD, "/workspaces": listing(IDS[0]), "again": BAD}
    )
    assert diagnosis is not None
    assert len(story.resends) == 1
    assert diagnosis.code == "access-denied"
    assert "refused again after each repair" in diagnosis.summary


def test_a_page_after_a_repair_is_not_a_success() -> None:
    for endpoint, code in ((OWN, "access-denied"), (US.api, "blocked-by-proxy")):
        setup = client_of(endpoint=endpoint, environ=from_environment(SECOND))
        answers = {
            "/auth/public": BAD,
            "/workspaces": listing(IDS[0]),
            "/info": INFO,
            "again": PAGE,
        }
        diagnosis, _ = played(setup, answers)
        assert diagnosis is not None
        assert not diagnosis.resolved
        assert diagnosis.code == code


def test_a_response_that_is_not_a_json_list_is_not_healthy() -> None:
    """Neither is a 500 with a JSON list. `{}` is the response of another API."""
    for reply, code, endpoint in (
        (Reply(500, "[]"), "unknown", OWN),
        (Reply(200, "{}"), "wrong-endpoint", OWN),
        (Reply(200, "{}"), "unknown", US.api),
        (Unreachable("no route"), "unknown", OWN),
    ):
        steps, story = examine(client_of(endpoint=endpoint), Policy()), Story()
        diagnosis = story.run(steps, lambda _, r=reply: r)  # type: ignore[misc]
        assert diagnosis.code == code
        assert not diagnosis.resolved


def test_a_role_is_read_from_the_listing() -> None:
    """If the workspace was sent, no other probe is needed."""
    answers = {
        "/workspaces": listing(IDS[0], role_name="Reader", permissions=["runs:read", 5])
    }
    setup = client_of(workspace=IDS[0])
    diagnosis, story = played(setup, answers, method="POST")
    assert diagnosis is not None
    assert diagnosis.code == "permission-missing"
    assert diagnosis.summary == 'the role "Reader" of this key lacks projects:create.'
    assert len(story.steps) == 1


def test_long_texts_are_truncated_after_keys_are_removed() -> None:
    setup = client_of(workspace=IDS[0])
    role = "x" * 470 + FIRST + "y" * 100_000
    answers = {"/workspaces": listing(IDS[0], role_name=role, permissions=["runs:read"])}
    reply = Reply(403, json.dumps({"detail": "z" * 290 + FIRST}))
    diagnosis, _ = played(setup, answers, method="POST", reply=reply)
    assert diagnosis is not None
    assert len(diagnosis.summary) == 501
    assert diagnosis.summary.endswith("…")
    assert len(diagnosis.server_message) <= 301
    assert FIRST[8:16] not in diagnosis.summary + diagnosis.server_message


def test_a_finding_is_reported_once() -> None:
    """LangSmith accepts the key before and after the repair."""
    home_refuses: dict[str, Answer | list[Answer]] = {
        "/workspaces": Reply(200, json.dumps({"workspaces": [{"id": IDS[0]}]})),
        "/auth/public": [BAD, GOOD],
        "again": BAD,
    }
    diagnosis, story = played(client_of(), home_refuses)
    assert diagnosis is not None
    assert story.resends[0].access.workspace == IDS[0]
    assert [f.text for f in diagnosis.findings].count("LangSmith accepts the key") == 1


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("argument", f'pass api_url="{US.api}"'),
        ("assigned", f'set client.api_url = "{US.api}"'),
    ],
)
def test_a_web_url_that_was_set_in_code_is_kept(kind: SourceKind, step: str) -> None:
    setup = client_of()
    chosen = Setting(US.web, Source(kind, "api_url"))
    setup = replace(setup, held=replace(setup.held, endpoint=chosen))
    diagnosis, story = played(setup, {}, reply=PAGE)
    assert diagnosis is not None
    assert diagnosis.code == "wrong-endpoint"
    assert diagnosis.next_steps == (step,)
    assert not story.resends


def test_a_newer_reading_that_does_not_help_a_client_without_a_key() -> None:
    """One source has no key, and the other's key is rejected."""
    setup = client_of(
        None, environ=from_environment(workspace=IDS[0]), dotenv=reading("dotenv", SECOND)
    )
    answers = {"/workspaces": BAD, "/auth/public": BAD}
    diagnosis, story = played(setup, answers, reply=Reply(401, BAD.body))
    assert diagnosis is not None
    assert diagnosis.code == "key-missing"
    assert not story.resends


def test_a_profile_for_another_host_is_not_a_newer_setting() -> None:
    setup = client_of(endpoint=OWN, profile=reading("profile", SECOND, US.api))
    answers = {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO}
    diagnosis, story = played(setup, answers)
    assert diagnosis is not None
    assert diagnosis.code == "key-rejected"
    assert not hosts_of(story, SECOND)


def test_a_key_that_is_rejected_even_after_cleaning() -> None:
    answers = {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO}
    diagnosis, story = played(client_of(f"Bearer {SECOND}"), answers)
    assert diagnosis is not None
    assert diagnosis.code == "key-malformed"
    assert "extra characters around it" in diagnosis.summary
    assert not story.resends


def test_a_legacy_key_and_a_refusal_without_a_reason() -> None:
    answers = {"/workspaces": BAD, "/auth/public": BAD, "/info": INFO}
    legacy = next(key for key in KEYS if key.startswith("ls__"))
    diagnosis, _ = played(client_of(legacy), answers)
    assert diagnosis is not None
    assert diagnosis.code == "key-legacy"


def test_a_workspace_that_accepts_the_key_is_not_foreign() -> None:
    """This holds even if the workspaces cannot be listed."""
    answers = {"/workspaces": BAD, "/auth/public": GOOD}
    diagnosis, _ = played(client_of(workspace=IDS[1]), answers)
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"


def test_a_foreign_workspace_of_a_key_that_lists_nothing() -> None:
    """The server reports neither the key's organization nor its workspace."""
    answers: dict[str, Answer | list[Answer]] = {
        "/workspaces": BAD,
        "/auth/public": [Reply(200, "{}"), BAD],
        f"/sessions/{IDS[1]}": BAD,
    }
    setup = client_of(workspace=IDS[1])
    diagnosis, story = played(setup, answers)
    assert diagnosis is not None
    assert diagnosis.code == "workspace-mismatch"
    assert story.steps[-1] == Probe(f"{US.api}/api/v1/sessions/{IDS[1]}", FIRST)


def test_a_call_whose_permission_is_unknown() -> None:
    answers = {"/workspaces": listing(IDS[0]), "/auth/public": GOOD}
    diagnosis, _ = played(client_of(), answers, method="BREW", path="/coffee")
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"
    assert diagnosis.required_permission is None
    assert diagnosis.next_steps[-1].endswith("whether this key may do this")


def test_a_body_that_cannot_be_sent_twice_is_not_resent() -> None:
    """The client is still repaired, for the next call."""
    setup = client_of(environ=from_environment(SECOND))
    answers = {"/auth/public": BAD, "/workspaces": listing(IDS[0])}
    story = Story()
    refusal = Refusal("POST", "/sessions", BAD, setup.access, replayable=False)
    probes: Callable[[Probe | Resend], Answer] = lambda step: next(  # noqa: E731
        a
        for end, a in answers.items()
        if isinstance(step, Probe) and step.url.endswith(end)
    )
    verdict = story.run(resolve(refusal, setup, Policy()), probes)
    assert verdict is not None
    assert verdict.repair is not None
    assert verdict.repair.access.key == SECOND
    assert not verdict.diagnosis.resolved
    assert verdict.diagnosis.next_steps[0].startswith("call it again: used the newer key")


def test_a_stream_is_not_sent_again_after_a_temporary_refusal() -> None:
    """The error has the cause and the step that it has if the second try is refused."""
    answers = {"/workspaces": listing(IDS[0]), "/auth/public": GOOD}
    diagnosis, story = played(client_of(), answers, worked=True, replayable=False)
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"
    assert diagnosis.next_steps[0].startswith("try again in a minute")
    assert any("cannot be sent twice" in f.text for f in diagnosis.findings)
    assert not story.resends


def test_two_repairs_have_two_fixes() -> None:
    setup = client_of(endpoint="https://smith.langchain.com")
    answers: dict[str, Answer | list[Answer]] = {
        "again": [NEEDS_WORKSPACE, Reply(200, "[]")],
        "/workspaces": listing(IDS[0]),
    }
    diagnosis, _ = played(setup, answers, reply=PAGE)
    assert diagnosis is not None
    assert diagnosis.resolved
    fixes = [f"LANGSMITH_ENDPOINT={US.api}", f"LANGSMITH_WORKSPACE_ID={IDS[0]}"]
    assert [str(fix) for fix in diagnosis.fixes] == fixes
    assert diagnosis.next_steps == tuple(f"set {fix}" for fix in fixes)


def test_the_log_line_names_the_repair_and_how_to_make_it_permanent() -> None:
    diagnosis = Diagnosis("stale-setting", True, "it was old.")
    new = from_environment(SECOND, US.api)
    assert Verdict(diagnosis).log_line == "it was old."
    assert Verdict(diagnosis, Repair(new, how="used it")).log_line == (
        "it was old. Repaired: used it."
    )
    assert Verdict(diagnosis, Repair(new, False, "used it", ("set it",))).log_line == (
        "it was old. Repaired: used it. To make it permanent: set it."
    )


def examined(setup: Setup, answers: Mapping[str, Answer]) -> tuple[Diagnosis, Story]:
    story = Story()

    def answer(step: Probe | Resend) -> Answer:
        assert isinstance(step, Probe)
        return next(a for end, a in answers.items() if step.url.endswith(end))

    return story.run(examine(setup, Policy()), answer), story


def test_an_examination_of_good_settings() -> None:
    setup = client_of(environ=from_environment(SECOND))
    who = Reply(200, f'{{"tenant_id": "{IDS[0]}", "organization_id": "{IDS[1]}"}}')
    first = {"/sessions?limit=1": Reply(200, "[]"), "/workspaces": listing(*IDS)}
    diagnosis, story = examined(setup, first | {"public": who})
    assert diagnosis.identity is not None
    assert diagnosis.identity.workspace_id == IDS[0]
    assert diagnosis.identity.organization_id == IDS[1]
    assert (diagnosis.code, diagnosis.resolved, diagnosis.status_code) == ("ok", True, None)
    assert [w.id for w in diagnosis.workspaces] == list(IDS)
    assert not hosts_of(story, SECOND)
    assert any(
        "LANGSMITH_API_KEY in os.environ is now" in f.text for f in diagnosis.findings
    )


def test_an_examination_of_a_rejected_key() -> None:
    answers = {"/sessions?limit=1": BAD, "/workspaces": BAD, "public": BAD, "/info": INFO}
    diagnosis, _ = examined(client_of(), answers)
    assert (diagnosis.code, diagnosis.status_code) == ("key-rejected", 403)


def test_an_examination_that_gets_a_web_page() -> None:
    answers = {"/sessions?limit=1": PAGE, "/info": INFO}
    diagnosis, _ = examined(client_of(endpoint=OWN), answers)
    assert diagnosis.code == "unknown"
    assert "returned 200" in diagnosis.findings[-1].text
    diagnosis, _ = examined(client_of(), answers)
    assert diagnosis.code == "blocked-by-proxy"


def test_an_examination_sends_nothing_if_the_key_cannot_be_sent() -> None:
    diagnosis, story = examined(client_of(f"\ufeff{FIRST}\n"), {})
    assert diagnosis.code == "key-malformed"
    assert not story.steps


@pytest.mark.parametrize(
    "endpoint", ["eu.api.smith.langchain.com", "http://[", "file:///x"]
)
def test_an_examination_sends_nothing_if_the_endpoint_is_invalid(endpoint: str) -> None:
    diagnosis, story = examined(client_of(endpoint=endpoint), {})
    assert diagnosis.code == "wrong-endpoint"
    assert not story.steps


# --- addresses and routes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://Own.Example:443/api", "https://own.example"),
        ("http://own.example:80", "http://own.example"),
        ("http://own.example:1984/", "http://own.example:1984"),
        ("https://me:secret@own.example?q=1", "https://own.example"),
        ("http://[::1]:1984", "http://[::1]:1984"),
        ("https://own.example:port", ""),
        ("https://elsewhere.example\\@own.example", ""),
        ("http://[", ""),
        ("own.example", ""),
        ("ftp://own.example", ""),
        ("", ""),
    ],
)
def test_the_origin_of_an_address(url: str, found: str) -> None:
    assert origin(url) == found
    assert same_origin(url, found) == bool(found)


@hypothesis.given(
    st.from_regex(
        r"https?://[a-z.:@\\\\/?#\[\]0-9 ]{0,20}(api\.smith\.langchain\.com)?",
        fullmatch=True,
    )
)
def test_an_origin_is_where_a_request_would_go(url: str) -> None:
    """If it differed from urllib3's, a key could be sent to a host that looks official."""
    sent_to, seen = origin_on_the_wire(f"{url}/info"), origin(url)
    if seen and sent_to is not None:
        assert sent_to == origin_on_the_wire(seen)


def test_an_address_is_shown_without_its_secrets() -> None:
    assert shown("https://me:secret@own.example/api?key=secret#secret") == (
        "https://own.example/api"
    )
    assert shown("https://elsewhere.example\\@own.example") == "an invalid URL"
    assert shown("http://[") == "an invalid URL"


@pytest.mark.parametrize(
    "address",
    [
        "https:/user:{}@h",
        "https:///user:{}@h",
        "https:user:{}@h",
        "https:\\\\user:{}@h",
        "user:{}@h:1",
        "//user:{}@h",
        "{}@h",
        "http://us er:{}@h",
        "http://us@er:{}/x@h",
        "http://user:{}/x@h",
        "http://user:{}?x@h",
        "http://user:{}#x@h",
        "http://user:{}%40h",
        "user:{}%40h:3128",
        "http://h:80@user:{}",
        "http://user:a{}@b@h",
        "http://user:{}@[::1",
        "http://user:{}@h:99999999",
        "http://h,http://user:{}@h",
        "http://h/?token={}",
    ],
)
def test_no_password_is_shown(address: str) -> None:
    """No malformed URL shows its password, and no proxy's URL does."""
    value = address.format("s3cret")
    for url in ("https://own.example", "http://own.example"):
        proxy = Network({"ALL_PROXY": value}).proxy(url)
        assert proxy.variable == "ALL_PROXY"
        assert "s3cret" not in proxy.address
    assert "s3cret" not in shown(value)


def test_where_probes_start_and_keys_are_created() -> None:
    for endpoint in (OWN, OWN.removesuffix("/v1"), "https://langsmith.own.example/"):
        assert base_of(endpoint) == "https://langsmith.own.example"
        assert settings_page(endpoint) == "https://langsmith.own.example/settings"
    assert settings_page(EU.api) == settings_page(f"{EU.web}/o/1") == f"{EU.web}/settings"


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/api/v1/sessions?limit=1", "projects:read"),
        ("POST", "/sessions", "projects:create"),
        ("POST", "/runs/query", "runs:read"),
        ("POST", "/v2/runs/query", "runs:read"),
        ("POST", "/runs/multipart", "runs:create"),
        ("PATCH", f"/runs/{IDS[0]}", "runs:create"),
        ("POST", "/v1/platform/datasets/x/examples", "datasets:update"),
        ("GET", "/commits/-/a/latest", "prompts:read"),
        ("DELETE", "/annotation-queues/x", "annotation-queues:delete"),
        ("BREW", "/coffee", None),
        ("GET", "", None),
    ],
)
def test_the_permission_that_a_call_needs(
    method: str, path: str, permission: str | None
) -> None:
    assert permission_for(method, path) == permission


def test_a_call_is_named_without_ids_and_query() -> None:
    assert operation("GET", f"/api/v1/sessions/{IDS[0]}?a=b") == "GET /sessions/{id}"
    assert route("/api/v1") == route("") == "/"


@pytest.mark.parametrize("info", [Reply(500, "oops"), Reply(404, "{}")])
def test_an_info_that_fails_does_not_prove_a_wrong_endpoint(info: Reply) -> None:
    """A 404 from only one of the two /info URLs does not prove it either."""
    broken = Reply(500, "oops")
    answers = {"/workspaces": broken, "/auth/public": broken}
    diagnosis, _ = played(client_of(), {**answers, "/api/v1/info": info, "/info": broken})
    assert diagnosis is not None
    assert diagnosis.code == "access-denied"
