"""Scenarios with the official hosts, over TLS, and which of them received a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios import (
    GONE,
    INFO,
    KEY,
    PAGE,
    PUBLIC,
    SESSIONS,
    WORKSPACES,
    Outcome,
    Scenario,
    World,
    create_run,
    list_projects,
    organization_key,
    organization_key_of_two,
    personal,
    personal_of_two,
    proxy_in_json,
    pull_prompt,
    with_prompt,
)

from safe_langsmith.testing import SimulatedLangSmith


def strangers(server: SimulatedLangSmith) -> Mapping[str, str]:
    """Someone else's workspace: this server rejects all keys of the row."""
    server.add_workspace("Strangers", projects=1)
    return {}


def asked(*names: str, twice: tuple[str, ...] = ("APAC", "AWS US")) -> tuple[str, ...]:
    """The probes of other regions: the workspaces, and then the identity."""
    first = tuple(f"{name}: {WORKSPACES}" for name in names)
    return first + tuple(f"{name}: {PUBLIC}" for name in twice)


# The requests to the client's own host before other regions are checked.
HERE = (SESSIONS, WORKSPACES, PUBLIC, INFO)
WRITE_HERE = ("POST /runs", WORKSPACES, PUBLIC, INFO)
OTHERS = ("EU", "APAC", "AWS US")
ALL_SAW = dict.fromkeys(OTHERS, ("key",))
ALL_ASKED = asked(*OTHERS, twice=OTHERS)
US_API = "https://api.smith.langchain.com"
EU_API = "https://eu.api.smith.langchain.com"
ALWAYS = {"probe_regions": True}


def elsewhere(
    name: str, world: World, code: str, outcome: Outcome, **more: Any
) -> Scenario:
    """A row where a key from the EU is sent to the US."""
    more = {"environ": KEY, "saw": ALL_SAW, **more}
    home: World = more.pop("home", strangers)
    regions = {"US": home, "EU": world, **more.pop("others", {})}
    requests = more.pop("requests", (*HERE, *asked(*OTHERS)))
    return Scenario(name, home, code, outcome, requests, regions=regions, **more)


def twin(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A key that the EU and another region accept."""
    own = server.add_workspace("Twin", projects=1)
    server.add_personal_key(workspaces=[own], secret=TWIN)
    return {"key": TWIN}


def redirecting(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A host that redirects every request to another host."""
    away = {"Location": "https://aws.api.smith.langchain.com/api/v1/workspaces"}
    server.answer("*", status=307, headers=away)
    return {}


def welcoming(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A host that responds with a web page to every request, as a portal does."""
    server.answer("*", status=200, body="<html>welcome</html>", headers=PAGE)
    return {}


def nothing_here(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A server that is not LangSmith, and returns 404 with a page."""
    server.answer("*", status=404, body="<html>nothing here</html>", headers=PAGE)
    return {}


def swallowing(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A proxy that strips the key from each request."""
    for path in ("/sessions", "/workspaces", "/auth/public"):
        server.answer(path, status=401, body={"detail": "Invalid token"})
    return personal(server)


def another_api(server: SimulatedLangSmith) -> Mapping[str, str]:
    """Another service that also has /sessions."""
    server.answer("*", status=404, body={"message": "Not Found"})
    server.answer("/sessions", status=401, body={"message": "Requires authentication"})
    return {}


def of_two_scopes(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A service key for two workspaces that cannot list them."""
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production")
    key = server.add_service_key(workspaces=[own, other])
    return {"key": key.secret, "own": own.id, "other": other.id}


# The texts for an endpoint without a scheme, and for any other invalid URL.
BARE = ("has no https:// in front", "put https:// in front, so that it is https://")
INVALID = ("is not a valid URL", "it must be a valid https:// URL")
TWIN = "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"

REGION_ROWS = (
    # exactly one region accepts the key, and no endpoint is configured
    elsewhere(
        "a key of another region, and no endpoint was configured",
        personal,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        says=(
            f"used {EU_API}, the only region that accepts this key",
            f"LANGSMITH_ENDPOINT={EU_API}",
        ),
    ),
    elsewhere(
        "a key of another region with one workspace: a write",
        personal,
        "wrong-region",
        "answered",
        requests=(*WRITE_HERE, *asked(*OTHERS), "EU: POST /runs"),
        call=create_run,
    ),
    elsewhere(
        "a key of another region, as an argument",
        personal,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        environ={},
        arguments={"api_key": "{key}"},
    ),
    elsewhere(
        "an organization key of another region, with one workspace",
        organization_key,
        "wrong-region",
        "answered",
        requests=(*WRITE_HERE, *asked(*OTHERS), "EU: POST /runs"),
        call=create_run,
    ),
    elsewhere(
        "a key of another region with its name in front",
        personal,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        environ={"LANGSMITH_API_KEY": "LANGSMITH_API_KEY={key}"},
    ),
    elsewhere(
        "a profile that has a key and no endpoint",
        personal,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        later_profile={"api_key": "{key}"},
    ),
    elsewhere(
        "a prompt call with a key of another region returns 400, not 403",
        with_prompt,
        "wrong-region",
        "answered",
        requests=(
            *("GET /commits/-/greeting/latest", WORKSPACES, PUBLIC, INFO),
            *asked(*OTHERS),
            "EU: GET /commits/-/greeting/latest",
        ),
        call=pull_prompt,
    ),
    # several workspaces there: only reads, until one is named
    elsewhere(
        "a key with two workspaces in another region reads",
        personal_of_two,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        says=("for reads only until a workspace is named",),
    ),
    elsewhere(
        "a key with two workspaces in another region writes nothing",
        personal_of_two,
        "wrong-region",
        "raised",
        requests=(*WRITE_HERE, *asked(*OTHERS)),
        call=create_run,
        says=("Nothing was written: it has 2 workspaces there", "{own}", "{other}"),
    ),
    elsewhere(
        "a key with two workspaces in another region, and LANGSMITH_TENANT_ID names one",
        personal_of_two,
        "wrong-region",
        "answered",
        requests=(*WRITE_HERE, *asked(*OTHERS), "EU: POST /runs"),
        call=create_run,
        environ={**KEY, "LANGSMITH_TENANT_ID": "{other}"},
    ),
    elsewhere(
        "a key of another region, and LANGSMITH_TENANT_ID names a foreign workspace",
        personal_of_two,
        "wrong-region",
        "raised",
        requests=(*WRITE_HERE, *asked(*OTHERS)),
        call=create_run,
        environ={**KEY, "LANGSMITH_TENANT_ID": "{foreign}"},
        says=("LANGSMITH_TENANT_ID names {foreign}",),
    ),
    elsewhere(
        "a key with two workspaces in another region, and an argument names one",
        personal_of_two,
        "wrong-region",
        "answered",
        requests=(*WRITE_HERE, *asked(*OTHERS), "EU: POST /runs"),
        call=create_run,
        arguments={"workspace_id": "{other}"},
    ),
    elsewhere(
        "a key of another region, and a foreign workspace argument: two causes in a row",
        personal_of_two,
        "workspace-mismatch",
        "raised",
        requests=(
            *(SESSIONS, WORKSPACES, PUBLIC, INFO),
            *asked(*OTHERS),
            f"EU: {SESSIONS}",
            "EU: GET /sessions/{foreign}",
        ),
        arguments={"workspace_id": "{foreign}"},
    ),
    elsewhere(
        "a service key of another region that cannot list workspaces reads",
        of_two_scopes,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS, twice=OTHERS), f"EU: {SESSIONS}"),
    ),
    elsewhere(
        "a service key of another region that cannot list workspaces writes nothing",
        of_two_scopes,
        "wrong-region",
        "raised",
        requests=(*WRITE_HERE, *asked(*OTHERS, twice=OTHERS)),
        call=create_run,
        says=("its workspaces there are not known",),
    ),
    elsewhere(
        "an organization key with two workspaces in another region: two in a row",
        organization_key_of_two,
        "workspace-required",
        "raised",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        says=(f"used {EU_API}", "{own}  Research", "{other}  Production"),
    ),
    elsewhere(
        "a key of another region, and an empty workspace_id argument",
        personal,
        "wrong-region",
        "answered",
        requests=(*WRITE_HERE, *asked(*OTHERS), "EU: POST /runs"),
        call=create_run,
        arguments={"workspace_id": ""},
    ),
    elsewhere(
        "a key in the headers argument is sent to no other region",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        environ={},
        headers={"x-api-key": "{key}"},
        saw={},
    ),
    # no single region is certain
    elsewhere(
        "two regions accept the key: neither is guessed",
        twin,
        "wrong-region",
        "raised",
        requests=(*HERE, *asked(*OTHERS, twice=("AWS US",))),
        others={"APAC": twin},
        says=("2 other regions: EU and APAC", "eu.api.", "apac.api."),
    ),
    elsewhere(
        "every other region accepts the key: each is asked once",
        twin,
        "wrong-region",
        "raised",
        requests=(*HERE, *asked(*OTHERS, twice=())),
        others={"APAC": twin, "AWS US": twin},
        says=("3 other regions", "eu.api.", "apac.api.", "aws.api."),
    ),
    elsewhere(
        "no region accepts the key",
        strangers,
        "key-rejected",
        "raised",
        requests=(*HERE, *ALL_ASKED),
        environ={"LANGSMITH_API_KEY": GONE},
        saw=dict.fromkeys(OTHERS, (GONE,)),
        says=("no LangSmith region accepts this key (checked all 4)",),
    ),
    elsewhere(
        "one region accepts the key, and another cannot be reached",
        personal,
        "wrong-region",
        "raised",
        requests=(*HERE, f"EU: {WORKSPACES}", f"AWS US: {WORKSPACES}", f"AWS US: {PUBLIC}"),
        others={"APAC": None},
        saw={"EU": ("key",), "AWS US": ("key",)},
        says=(
            "could not check this key in the APAC region",
            f"LANGSMITH_ENDPOINT={EU_API}",
        ),
    ),
    elsewhere(
        "no region accepts the key, and one cannot be reached",
        strangers,
        "key-rejected",
        "raised",
        requests=(*HERE, *asked("EU", "AWS US", twice=("EU", "AWS US"))),
        others={"APAC": None},
        environ={"LANGSMITH_API_KEY": GONE},
        saw={"EU": (GONE,), "AWS US": (GONE,)},
        says=(
            "could not check this key in the APAC region",
            "the key may belong to another region",
        ),
    ),
    elsewhere(
        "a region that redirects the probe to another host",
        personal,
        "wrong-region",
        "raised",
        others={"APAC": redirecting},
        says=("could not check this key in the APAC region",),
    ),
    elsewhere(
        "a region that responds with a page",
        personal,
        "wrong-region",
        "raised",
        others={"APAC": welcoming},
        says=("could not check this key in the APAC region",),
    ),
    # which regions are checked
    elsewhere(
        "an endpoint was configured, even the default one: no other region is checked",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        environ={**KEY, "LANGSMITH_ENDPOINT": US_API},
        saw={},
        says=("safe-langsmith doctor --probe-regions",),
    ),
    elsewhere(
        "an endpoint in the .env is also configured",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        dotenv=f"LANGSMITH_ENDPOINT={US_API}",
        saw={},
    ),
    elsewhere(
        "an endpoint in the profile is also configured",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        later_profile={"api_url": US_API},
        saw={},
    ),
    elsewhere(
        "an endpoint as an argument is also configured",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        arguments={"api_url": US_API},
        saw={},
    ),
    elsewhere(
        "Policy(probe_regions=False): no other region is checked",
        personal,
        "key-rejected",
        "raised",
        requests=HERE,
        policy={"probe_regions": False},
        saw={},
    ),
    elsewhere(
        "Policy(probe_regions=True): checked, but a configured endpoint is kept",
        personal,
        "wrong-region",
        "raised",
        environ={**KEY, "LANGSMITH_ENDPOINT": US_API},
        policy=ALWAYS,
        says=("belongs to region EU, not to US", f"set LANGSMITH_ENDPOINT={EU_API}"),
    ),
    elsewhere(
        "Policy(probe_regions=True): checked, but an endpoint argument is kept",
        personal,
        "wrong-region",
        "raised",
        arguments={"api_url": US_API},
        policy=ALWAYS,
        says=(f'pass api_url="{EU_API}"',),
    ),
    elsewhere(
        "Policy(probe_regions=True) and no endpoint: repaired",
        personal,
        "wrong-region",
        "answered",
        requests=(*HERE, *asked(*OTHERS), f"EU: {SESSIONS}"),
        policy=ALWAYS,
    ),
    elsewhere(
        "Policy(repair=False): checked, but not repaired",
        personal,
        "wrong-region",
        "raised",
        policy={"repair": False},
    ),
    elsewhere(
        "a newer value of a configured endpoint: no region is checked",
        personal,
        "stale-setting",
        "answered",
        requests=(SESSIONS, PUBLIC, f"EU: {WORKSPACES}", f"EU: {SESSIONS}"),
        environ={**KEY, "LANGSMITH_ENDPOINT": US_API},
        later={"LANGSMITH_ENDPOINT": EU_API},
        saw={"EU": ("key",)},
    ),
    elsewhere(
        "a placeholder is sent to no other region",
        strangers,
        "key-malformed",
        "raised",
        requests=HERE,
        environ={"LANGSMITH_API_KEY": "lsv2_pt_xxxxxxxxxxxxxxxxxxxx"},
        saw={},
    ),
    elsewhere(
        "another vendor's key is sent to no other region",
        strangers,
        "key-malformed",
        "raised",
        requests=HERE,
        environ={"LANGSMITH_API_KEY": "sk-ant-0123456789abcdef0123456789"},
        saw={},
    ),
    elsewhere(
        "a truncated key is sent to no other region",
        strangers,
        "key-malformed",
        "raised",
        requests=HERE,
        environ={"LANGSMITH_API_KEY": GONE[:40]},
        saw={},
    ),
    elsewhere(
        "a proxy that refuses everything in JSON: no region is checked",
        strangers,
        "access-denied",
        "raised",
        requests=HERE,
        environ={"LANGSMITH_API_KEY": GONE},
        home=proxy_in_json,
        saw={},
    ),
    elsewhere(
        "a key that a proxy strips: no region is checked",
        strangers,
        "blocked-by-proxy",
        "raised",
        requests=(SESSIONS,),
        environ={"LANGSMITH_API_KEY": GONE},
        home=swallowing,
        saw={},
        says=("401 means that none arrived", "a proxy strips the header x-api-key"),
    ),
    # invalid endpoints, and endpoints of other services
    *(
        Scenario(
            f"an endpoint that is not a valid URL: {what}",
            personal,
            "wrong-endpoint",
            "raised",
            (),
            call=call,
            environ={**KEY, "LANGSMITH_ENDPOINT": address},
            says=(
                f"from LANGSMITH_ENDPOINT, {wrong}",
                f"correct LANGSMITH_ENDPOINT: {better}",
            ),
        )
        for what, address, wrong, better, call in (
            (
                "no scheme",
                EU_API.removeprefix("https://"),
                *BARE,
                list_projects,
            ),
            ("no scheme, with a write", "api.smith.langchain.com", *BARE, create_run),
            ("another scheme", "ftp://langsmith.test", *INVALID, list_projects),
            ("a word", "production", *INVALID, list_projects),
            ("a space within", "https://langsmith. test", *INVALID, list_projects),
            ("an unclosed bracket", "http://[", *INVALID, list_projects),
            ("a port too high", f"{US_API}:99999", *INVALID, list_projects),
        )
    ),
    Scenario(
        "a host that returns a 404 page for everything",
        nothing_here,
        "wrong-endpoint",
        "raised",
        (SESSIONS, INFO, INFO),
        environ={"LANGSMITH_API_KEY": GONE},
        says=("does not respond like a LangSmith API",),
    ),
    Scenario(
        "another API that refuses in JSON",
        another_api,
        "wrong-endpoint",
        "raised",
        (SESSIONS, INFO, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": GONE},
        says=("does not respond like a LangSmith API",),
    ),
    # the headers argument, and a header that a proxy strips
    Scenario(
        "a rejected key in the headers argument",
        personal,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        headers={"x-api-key": GONE},
        says=("from the headers argument",),
    ),
    Scenario(
        "a workspace in the headers argument that the key cannot use",
        personal_of_two,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, "GET /sessions/{foreign}"),
        environ=KEY,
        headers={"X-Tenant-Id": "{foreign}"},
        says=("{foreign} (the headers argument)",),
    ),
    Scenario(
        "a key, a workspace, and a login in the headers argument besides the client's own",
        personal_of_two,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": GONE, "LANGSMITH_WORKSPACE_ID": "{own}"},
        headers={
            "x-api-key": "{key}",
            "X-Tenant-Id": "{foreign}",
            "Authorization": "Basic bWU6cGE1NXdvcmQ=",
        },
        says=(
            "another key, lsv2_pt_",
            "another workspace, {foreign}: not sent",
            "adds an Authorization header",
        ),
        unseen=("key",),
    ),
    Scenario(
        "a key that a proxy strips",
        swallowing,
        "access-denied",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ=KEY,
        says=("a proxy may strip the header x-api-key",),
    ),
    # the web app's URL instead of the API's
    *(
        Scenario(
            f"the EU web app's URL, and a {kind}",
            strangers,
            "wrong-endpoint",
            "answered",
            (what, f"EU: {what}"),
            call=call,
            environ={**KEY, "LANGSMITH_ENDPOINT": "https://eu.smith.langchain.com"},
            regions={"EU web": strangers, "EU": personal},
            saw={"EU": ("key",)},
            says=(f"LANGSMITH_ENDPOINT={EU_API}",),
        )
        for kind, what, call in (
            ("read", SESSIONS, list_projects),
            ("write", "POST /runs", create_run),
        )
    ),
    Scenario(
        "the web app's URL as an argument is not replaced",
        strangers,
        "wrong-endpoint",
        "raised",
        (SESSIONS,),
        arguments={"api_url": "https://eu.smith.langchain.com"},
        environ=KEY,
        regions={"EU web": strangers, "EU": personal},
        says=(f'pass api_url="{EU_API}"',),
    ),
    Scenario(
        "the web app's URL of one region and a key of another: two causes in a row",
        strangers,
        "key-rejected",
        "raised",
        (SESSIONS, *(f"EU: {what}" for what in HERE)),
        environ={**KEY, "LANGSMITH_ENDPOINT": "https://eu.smith.langchain.com"},
        regions={"EU web": strangers, "EU": strangers, "US": personal},
        saw={"EU": ("key",)},
    ),
)
