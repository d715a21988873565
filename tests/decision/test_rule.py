"""Tests that every repair keeps the rules, with random sources, values, and answers.

The real decision runs here. This file states the rules again, independently of the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import hypothesis
import pytest
from conftest import DECISIONS
from hypothesis import strategies as st
from test_decision import (
    BAD,
    GOOD,
    IDS,
    INFO,
    NEEDS_WORKSPACE,
    PARTS,
    Story,
    Trial,
    a_write_is_repeated_only_after_langsmith_s_own_refusal,
    answers_to,
    given,
    listing,
    mentions,
    origin_on_the_wire,
    readings,
    refusals_as_replies,
)

from safe_langsmith import Policy
from safe_langsmith._decision.protocol import (
    Answer,
    Probe,
    Refusal,
    Reply,
    Resend,
    Unreachable,
)
from safe_langsmith._decision.resolve import resolve
from safe_langsmith._knowledge.hosts import REGIONS
from safe_langsmith._knowledge.keys import clean
from safe_langsmith._knowledge.operations import permission_for
from safe_langsmith._settings.sources import Setting, Settings, Setup, Source, SourceKind

US = REGIONS[0].api
OFFICIAL = {str(origin_on_the_wire(region.api)): region for region in REGIONS}
OWN = "https://langsmith.own.example/api/v1"
# The maximum, including two probes for each other region.
MOST_REQUESTS = 40

KEYS = (
    "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",
    "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",
    "Bearer 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",
    "sk-ant-api03-QmVyZXRTZWNyZXQ",
    "lsv2_pt_xxxxxxxxxxxxxxxx",
    "gateway.Token~Zq81-vXw7-Kp02",
)
ENDPOINTS = (US, US, REGIONS[1].api, REGIONS[1].web, OWN, "http://api.smith.langchain.com")
DEFAULT = Setting(US, Source("default", "default"))
SOURCES: tuple[SourceKind, ...] = ("argument", "environment", "dotenv", "cache", "profile")


def held(name: str, values: tuple[str, ...], absent: Setting) -> st.SearchStrategy[Setting]:
    """A setting of the client from any source, or absent."""
    sources = st.sampled_from(SOURCES).map(lambda kind: Source(kind, name))
    present = st.builds(Setting, st.sampled_from(values), sources)
    return st.just(absent) | present if name != "api_key" else present


empty = st.just(Settings())
setups = st.builds(
    Setup,
    held=st.builds(
        Settings,
        held("api_key", KEYS, Setting()),
        held("api_url", ENDPOINTS, DEFAULT),
        held("workspace_id", IDS, Setting()),
    ),
    environ=empty | empty | readings["environment"],
    in_file=empty | empty | readings["dotenv"],
    colab=empty | empty | empty | readings["colab"],
    profile=empty | empty | readings["profile"],
    cached=empty | readings["cache"],
    mentions=mentions,
)
# The most important case, a good key at the default host, is rare in `setups`.
plain_setups = st.builds(
    Setup,
    held=st.builds(
        Settings,
        held("api_key", KEYS[:3], Setting()),
        st.sampled_from([DEFAULT, Setting(US, Source("argument", "api_url"))])
        | held("api_url", (US,), DEFAULT),
        st.just(Setting()) | held("workspace_id", IDS, Setting()),
    ),
)
policies = st.builds(
    Policy,
    repair=st.sampled_from([True, True, True, False]),
    probe_regions=st.sampled_from([None, True, False]),
)
calls = st.sampled_from(
    [
        ("GET", "/sessions"),
        ("POST", "/runs/query"),
        ("POST", "/runs/multipart"),
        ("PATCH", f"/runs/{IDS[0]}"),
        ("POST", "/datasets"),
        ("DELETE", f"/sessions/{IDS[0]}"),
        ("GET", "/commits/-/greeting/latest"),
    ]
)


# --- hosts ----------------------------------------------------------------------------


def knows(*workspaces: str) -> Callable[[str], Answer]:
    """Return a host that accepts every key, and lists these workspaces."""
    return lambda path: listing(*workspaces) if path == "/workspaces" else GOOD


def unlisted(path: str) -> Answer:
    """A host that accepts every key, but does not list workspaces."""
    return BAD if path == "/workspaces" else GOOD


def organization_wide(path: str) -> Answer:
    """A host that accepts every key, but requires a workspace."""
    return listing(*IDS[:2]) if path == "/workspaces" else NEEDS_WORKSPACE


def stranger(_: str) -> Answer:
    """A host that rejects every key."""
    return BAD


# The response of a filter, although the request was executed; and a redirect to another
# host.
FILTERED = Reply(403, "<html>no</html>", "text/html")
REDIRECTED = Reply(307, redirected_to="https://elsewhere.example/")


def redirecting(_: str) -> Answer:
    """A host that redirects every request to another host."""
    return REDIRECTED


def silent(_: str) -> Answer:
    """A host that does not respond."""
    return Unreachable("silent")


HOSTS = (knows(IDS[0]), knows(*IDS[:2]), knows(), unlisted, organization_wide, silent)
ODD_HOSTS = (*HOSTS, redirecting)


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    plain = draw(st.booleans())
    setup, policy = draw(plain_setups if plain else setups), draw(policies)
    if draw(st.sampled_from([True, True, False])):
        setup = replace(setup, dotenv=setup.in_file)
    tied = draw(st.sampled_from(["", "", "", "a cookie of your session"]))
    method, path = draw(calls)
    hosts: dict[str | None, Callable[[str], Answer] | None] = {}
    home = origin_on_the_wire(setup.access.endpoint)
    if plain:
        # Only one other region accepts the key: this is rare in `setups`, too.
        hosts = dict.fromkeys(OFFICIAL, stranger)
        there = draw(st.sampled_from([host for host in OFFICIAL if host != home]))
        hosts[there] = draw(st.sampled_from(HOSTS))

    def answer(step: Probe | Resend) -> Answer:
        url = step.access.endpoint if isinstance(step, Resend) else step.url
        host, path = origin_on_the_wire(url), url.rpartition("/api/v1")[2]
        if host not in hosts:
            # The home host mostly rejects the key: that is when the rule matters.
            some = [stranger] * (8 if host == home else 3)
            hosts[host] = draw(st.sampled_from([*some, *ODD_HOSTS, None]))
        behaves = hosts[host]
        if behaves is None:
            return draw(answers_to(step))
        if isinstance(step, Resend):
            others = [Reply(200), Reply(200), BAD, FILTERED, REDIRECTED]
            again = Reply(200) if plain else draw(st.sampled_from(others))
            return BAD if behaves is stranger else again
        return INFO if path == "/info" else behaves(path)

    reply = BAD if plain else draw(st.just(BAD) | refusals_as_replies)
    refusal = Refusal(method, path, reply, setup.access, tied_by=tied)
    story = Story()
    verdict = story.run(resolve(refusal, setup, policy), answer)
    hypothesis.target(float(len(story.told)), label="requests")
    return Trial(setup, policy, refusal, story, verdict)


# --- the rule, stated independently ---------------------------------------------------


def regions_may_be_asked(trial: Trial, key: str) -> bool:
    """Whether other regions may be probed; see "Regions" in docs/repair.md."""
    setup, asking = trial.setup, trial.policy.probe_regions
    if not (key.startswith(("lsv2_pt_", "lsv2_sk_")) and len(key) == 51):
        return False
    home = setup.held.endpoint
    if asking is None:
        places = (setup.environ, setup.in_file, setup.colab, setup.profile)
        named = any(p.endpoint.value for p in places) or bool(setup.mentions)
        return home.source.kind == "default" and not named
    # A web app's address that is corrected counts as official.
    return asking and bool(set(at_home(home.value)) & set(OFFICIAL))


def at_home(endpoint: str | None) -> list[str | None]:
    """Return an endpoint's host, and for a web app also the host of its API."""
    here = origin_on_the_wire(endpoint or "")
    webs = {origin_on_the_wire(region.web): region.api for region in REGIONS}
    webs |= {
        origin_on_the_wire(region.web.replace("https:", "http:")): region.api
        for region in REGIONS
    }
    return [here, *([origin_on_the_wire(webs[here])] if here in webs else [])]


def hosts_of(trial: Trial) -> set[str | None]:
    """Return the hosts that requests may go to, apart from probes of other regions."""
    setup, home = trial.setup, trial.setup.held.endpoint
    found: set[str | None] = set(at_home(home.value))
    if found & set(OFFICIAL) and not home.source.is_explicit:
        places = (setup.environ, setup.dotenv, setup.colab, setup.profile)
        newer = [origin_on_the_wire(p.endpoint.value or "") for p in places]
        found |= {host for host in newer if host in OFFICIAL}
    return found


def allowed(trial: Trial, key: str) -> set[str | None]:
    """Return the hosts that may receive a key: all above, or only its own endpoint's."""
    setup, found = trial.setup, set[str | None]()
    for place in (setup.held, setup.environ, setup.dotenv, setup.colab, setup.profile):
        if not place.key.value or key not in (place.key.value, clean(place.key.value)):
            continue
        own = place is not setup.held and place.endpoint.value
        # The client's own key may be sent to a newer endpoint.
        found |= hosts_of(trial) & set(at_home(own)) if own else hosts_of(trial)
    if regions_may_be_asked(trial, clean(key)):
        found |= set(OFFICIAL)
    return found


RULE: list[Callable[[Trial], None]] = [
    a_write_is_repeated_only_after_langsmith_s_own_refusal
]


def rule(holds: Callable[[Trial], None]) -> Callable[[Trial], None]:
    RULE.append(holds)
    return holds


@rule
def a_key_reaches_no_host_outside_its_allowed_set(trial: Trial) -> None:
    for step in trial.story.steps:
        if isinstance(step, Resend):
            url, key = step.access.endpoint, step.access.key
        else:
            url, key = step.url, step.key
        if key:
            assert origin_on_the_wire(url) in allowed(trial, key), (step, key)


@rule
def no_request_goes_to_a_host_that_is_not_named(trial: Trial) -> None:
    """This includes requests without a key."""
    every = hosts_of(trial)
    every |= set(OFFICIAL) if regions_may_be_asked(trial, clean(home_key(trial))) else set()
    for step in trial.story.steps:
        url = step.access.endpoint if isinstance(step, Resend) else step.url
        assert origin_on_the_wire(url) in every, step


def home_key(trial: Trial) -> str:
    return trial.setup.held.key.value or ""


@rule
def what_is_tied_to_its_host_stays_there(trial: Trial) -> None:
    if trial.refusal.tied_by:
        home = origin_on_the_wire(trial.refusal.access.endpoint)
        for step in trial.story.resends:
            assert origin_on_the_wire(step.access.endpoint) == home


@rule
def a_file_that_does_not_count_changes_nothing(trial: Trial) -> None:
    """The key of a file that is not used is sent only if another source has it, too."""
    setup = trial.setup
    if setup.dotenv != setup.in_file:
        for step in trial.story.steps:
            access = step.access if isinstance(step, Resend) else step
            others = (setup.held, setup.environ, setup.colab, setup.profile)
            if access.key and access.key == setup.in_file.key.value:
                assert any(access.key == p.key.value for p in others)


@rule
def an_argument_is_never_replaced(trial: Trial) -> None:
    now = trial.setup.held
    used = [step.access for step in trial.story.resends]
    if trial.verdict and trial.verdict.repair:
        used.append(trial.verdict.repair.access)
    for access in used:
        if now.key.source.kind == "argument":
            assert access.key in (now.key.value, clean(now.key.value or ""))
        if now.endpoint.source.kind == "argument":
            assert access.endpoint == now.endpoint.value
        if now.workspace.source.kind == "argument":
            assert access.workspace == now.workspace.value


@rule
def it_ends_within_its_budget_of_requests(trial: Trial) -> None:
    assert len(trial.story.steps) < MOST_REQUESTS
    probes = [step for step in trial.story.steps if isinstance(step, Probe)]
    assert len(set(probes)) == len(probes), "asked twice"
    home = origin_on_the_wire(trial.refusal.access.endpoint)
    away = [p for p in probes if origin_on_the_wire(p.url) != home]
    for probe in away:
        assert str(origin_on_the_wire(probe.url)).startswith("https://")
        assert not probe.session


@rule
def another_region_gets_a_write_only_if_the_workspace_is_certain(
    trial: Trial,
) -> None:
    refusal = trial.refusal
    needed = permission_for(refusal.method, refusal.path) or ""
    if refusal.method == "GET" or needed.endswith(":read"):
        return
    for step in trial.story.resends:
        region = OFFICIAL.get(str(origin_on_the_wire(step.access.endpoint)))
        places = (trial.setup.held, trial.setup.environ, trial.setup.dotenv)
        configured = {
            h for p in (*places, trial.setup.profile) for h in at_home(p.endpoint.value)
        }
        if region is None or origin_on_the_wire(region.api) in configured:
            continue
        asked = Probe(f"{region.api}/api/v1/workspaces", step.access.key)
        told = dict(trial.story.told).get(asked)
        listed = told.data() if isinstance(told, Reply) and told.status == 200 else None
        only = isinstance(listed, list) and len([r for r in listed if is_workspace(r)]) == 1
        assert step.access.workspace or only, step


def is_workspace(row: object) -> bool:
    return isinstance(row, dict) and row.get("id") in IDS and not row.get("is_deleted")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("part", range(PARTS))
@given(trials(), examples=DECISIONS // 3 // PARTS)
def test_every_repair_keeps_the_rule(part: int, trial: Trial) -> None:
    for holds in RULE:
        holds(trial)


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
def test_the_trials_include_the_cases_that_matter() -> None:
    """Without these cases, the properties above would prove little."""
    seen = set()

    @hypothesis.settings(
        max_examples=600,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(trials())
    def look(trial: Trial) -> None:
        if trial.verdict and trial.verdict.diagnosis.code == "wrong-region":
            repair = trial.verdict.repair
            what = "reported" if repair is None else "for all"
            seen.add("for reads" if repair and repair.for_reads else what)
            seen.add(trial.setup.held.endpoint.source.kind)

    look()
    assert seen >= {"reported", "for all", "for reads", "default", "argument"}


def test_a_probe_that_breaks_the_rule_is_detected() -> None:
    """A forbidden probe of another region is outside the allowed set of its key."""
    key = KEYS[0]
    environment = Settings(
        Setting(key, Source("environment", "LANGSMITH_API_KEY")),
        Setting(US, Source("environment", "LANGSMITH_ENDPOINT")),
    )
    setup = Setup(environment, environ=environment)
    refusal = Refusal("GET", "/sessions", BAD, setup.access)
    forbidden = Probe(f"{REGIONS[1].api}/api/v1/workspaces", key)
    trial = Trial(setup, Policy(), refusal, Story([(forbidden, BAD)]), None)
    assert origin_on_the_wire(forbidden.url) not in allowed(trial, key)
    permitted = replace(trial, policy=Policy(probe_regions=True))
    assert origin_on_the_wire(forbidden.url) in allowed(permitted, key)
