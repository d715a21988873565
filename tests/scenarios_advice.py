"""The table of advice: texts that must appear, and texts that must not.

`says` must be in every text: the error, the log line, and the diagnosis. `shows` must be
in the multi-line ones. `never` must be in none. To add a row, call `advice(...)` below.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langsmith import Client, RunTree
from scenarios import (
    GONE,
    KEY,
    OLD,
    PAGE,
    STRANGE,
    Scenario,
    World,
    elsewhere,
    legacy,
    list_projects,
    organization_key,
    organization_key_of_two,
    personal,
    personal_of_two,
    proxy,
    rotated,
    rotated_to_organization_key,
    rotated_to_organization_key_of_two,
    workspace_key,
)
from scenarios_regions import EU_API, US_API, nothing_here, strangers, twin

from safe_langsmith.testing import SimulatedLangSmith

LOST = {"LANGSMITH_API_KEY": GONE}
APAC_API = "https://apac.api.smith.langchain.com"
CLOUD = ("api.smith.langchain.com", "export ")


@dataclass(frozen=True)
class Advice:
    """One row. ``diagnosed``: `client.diagnose()` has the same result.

    ``by``: the name in `stage.TRANSPORTS`. The sync client follows redirects.
    """

    scenario: Scenario
    says: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    diagnosed: bool = True
    by: str = "sync client"

    def __str__(self) -> str:
        return self.scenario.name


def advice(
    name: str,
    world: World,
    code: str,
    *,
    says: tuple[str, ...] = (),
    shows: tuple[str, ...] = (),
    never: tuple[str, ...] = (),
    diagnosed: bool = True,
    repaired: bool = False,
    by: str = "sync client",
    **settings: Any,
) -> Advice:
    """Create a row. ``settings`` are fields of a `Scenario`; requests are not checked."""
    outcome: Any = "answered" if repaired else "raised"
    scenario = Scenario(name, world, code, outcome, (), **settings)
    return Advice(scenario, says, shows, never, diagnosed, by)


# --- the worlds -------------------------------------------------------------------------


def to_https(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A server that redirects http to https."""
    secure = server.url.replace("http://", "https://")
    server.answer("*", status=308, headers={"Location": f"{secure}/sessions"})
    return {"secure": secure, "key": GONE}


def to_login(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A gateway that redirects to a login page."""
    there = {"Location": f"{server.url}/login?next=1"}
    server.answer("/sessions", status=302, headers=there)
    body = "<html><title>Single sign-on</title></html>"
    server.answer("/login", status=200, body=body, headers=PAGE)
    return {"key": GONE}


def login_page(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A gateway that responds with its login page."""
    body = "<html><title>Sign in</title><form><input type=password></form></html>"
    server.answer("*", status=200, body=body, headers=PAGE)
    return {"key": GONE}


def titled_proxy(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A proxy whose page has a title."""
    body = "<html><head><title>Access denied by Example Corp</title></head></html>"
    server.answer("*", status=403, body=body, headers=PAGE)
    return {"key": GONE}


def deleted_workspace(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A service key, and the id of a deleted workspace."""
    return {**workspace_key(server), "deleted": str(uuid.UUID(int=9))}


# --- the calls --------------------------------------------------------------------------


def trace(client: Client) -> Any:
    """Send a run to each destination of LANGSMITH_RUNS_ENDPOINTS."""
    RunTree(name="run", ls_client=client).post()


def trace_to_replica(client: Client) -> Any:
    """Send a run with another key to the client's own host."""
    replica: Any = {"api_url": client.api_url, "auth": {"api_key": GONE}}
    RunTree(name="run", ls_client=client, replicas=[replica]).post()


def without_path(client: Client) -> Any:
    """Assign an endpoint without /api/v1, and list projects."""
    client.api_url = client.api_url.removesuffix("/api/v1")
    return list_projects(client)


def destinations(*rows: str) -> Mapping[str, str]:
    """LANGSMITH_RUNS_ENDPOINTS with these keys, each for the client's own host."""
    text = ", ".join(f'{{{{"api_url": "{{url}}", "api_key": "{key}"}}}}' for key in rows)
    return {"LANGSMITH_RUNS_ENDPOINTS": f"[{text}]"}


# --- the rows ---------------------------------------------------------------------------

SELF_HOSTED: Mapping[str, Any] = {"layout": "self-hosted"}
US: Mapping[str, Any] = {"regions": {"US": strangers}}
ASKING: Mapping[str, Any] = {"policy": {"probe_regions": True}}
OFFICIAL_EU: Mapping[str, Any] = {"regions": {"EU": strangers}}

ADVICE: tuple[Advice, ...] = (
    # the advice depends on the source
    advice(
        "the endpoint is an argument",
        personal,
        "wrong-endpoint",
        arguments={"api_url": "{url}"},
        environ=KEY,
        says=('pass api_url="{url}/api/v1"',),
        never=("LANGSMITH_ENDPOINT", *CLOUD),
        **SELF_HOSTED,
    ),
    advice(
        "the endpoint was assigned",
        personal,
        "wrong-endpoint",
        call=without_path,
        arguments={"api_url": "{url}/api/v1"},
        environ=KEY,
        says=('set client.api_url = "{url}/api/v1"',),
        never=("LANGSMITH_ENDPOINT", *CLOUD),
        **SELF_HOSTED,
    ),
    advice(
        "the endpoint comes from LANGCHAIN_ENDPOINT",
        personal,
        "wrong-endpoint",
        environ={**KEY, "LANGSMITH_ENDPOINT": None, "LANGCHAIN_ENDPOINT": "{url}"},
        says=("set LANGCHAIN_ENDPOINT={url}/api/v1",),
        never=("LANGSMITH_ENDPOINT", *CLOUD),
        **SELF_HOSTED,
    ),
    advice(
        "the endpoint was loaded from a line of the .env",
        personal,
        "wrong-endpoint",
        environ=KEY,
        dotenv="# mine\nLANGSMITH_ENDPOINT={url}\n",
        says=("set LANGSMITH_ENDPOINT={url}/api/v1 in ", ".env, line 2"),
        never=CLOUD,
        **SELF_HOSTED,
    ),
    advice(
        "the endpoint comes from a profile",
        personal,
        "wrong-endpoint",
        environ=KEY,
        profile={"api_url": "{url}"},
        says=(
            "set \"api_url\" of profile 'default' in ~/.langsmith/config.json to {url}/api",
        ),
        never=("LANGSMITH_ENDPOINT", *CLOUD),
        **SELF_HOSTED,
    ),
    advice(
        "the key is an argument",
        personal,
        "key-rejected",
        arguments={"api_key": GONE},
        says=("create a new key at {url}/settings, and put it into the api_key argument",),
        never=("LANGSMITH_API_KEY", *CLOUD),
    ),
    advice(
        "the key comes from LANGCHAIN_API_KEY",
        personal,
        "key-rejected",
        environ={"LANGCHAIN_API_KEY": GONE},
        says=("and put it into LANGCHAIN_API_KEY",),
        never=("LANGSMITH_API_KEY",),
    ),
    advice(
        "the key is a header of the client",
        personal,
        "key-rejected",
        headers={"x-api-key": GONE},
        says=("and put it into the headers argument",),
        never=("LANGSMITH_API_KEY", "destination"),
    ),
    advice(
        "a legacy key in a profile",
        legacy,
        "key-legacy",
        profile={"api_key": "{key}", "api_url": "{url}"},
        arguments={"api_url": "{url}"},
        says=("put it into \"api_key\" of profile 'default'",),
        never=("LANGSMITH_API_KEY",),
    ),
    advice(
        "the workspace is an argument",
        personal_of_two,
        "workspace-mismatch",
        arguments={"workspace_id": STRANGE},
        environ=KEY,
        says=("choose one and pass workspace_id=",),
        never=("LANGSMITH_WORKSPACE_ID", 'workspace_id="'),
    ),
    advice(
        "with LANGSMITH_RUNS_ENDPOINTS, no LANGSMITH_ENDPOINT can be set",
        strangers,
        "wrong-region",
        regions={"US": strangers, "EU": personal},
        environ={**KEY, "LANGSMITH_RUNS_ENDPOINTS": "[]"},
        says=(f'pass api_url="{EU_API}"',),
        never=("LANGSMITH_ENDPOINT",),
        **ASKING,
    ),
    advice(
        "a key for a destination, on the client's own host",
        personal,
        "key-rejected",
        call=trace,
        arguments={"api_url": "{url}"},
        environ={**KEY, **destinations("{key}", GONE)},
        says=("put it into LANGSMITH_RUNS_ENDPOINTS",),
        never=("LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "api_url="),
        diagnosed=False,
    ),
    advice(
        "no workspace for a destination on the client's own host",
        organization_key_of_two,
        "workspace-required",
        call=trace,
        arguments={"api_url": "{url}", "api_key": GONE},
        environ=destinations("{key}"),
        says=(
            "in LANGSMITH_RUNS_ENDPOINTS (langsmith 0.14.17 or newer): "
            '[{{"api_url": ..., "api_key": ..., "workspace_id": "..."}}]',
        ),
        never=("set LANGSMITH_WORKSPACE_ID", "pass workspace_id"),
        diagnosed=False,
    ),
    advice(
        "a key of a replica, on the client's own host",
        personal,
        "key-rejected",
        call=trace_to_replica,
        environ=KEY,
        says=("put it into the replica or the headers of this request",),
        never=("LANGSMITH_API_KEY", "set LANGSMITH"),
        diagnosed=False,
    ),
    # the value that is already used is never advised
    advice(
        "a key of another region at a configured endpoint",
        strangers,
        "key-rejected",
        environ={**LOST, "LANGSMITH_ENDPOINT": EU_API},
        says=(f"{US_API} (US), {APAC_API} (APAC)", "LANGSMITH_ENDPOINT"),
        never=("LANGSMITH_ENDPOINT=", f"{EU_API} (EU)", "Policy("),
        **OFFICIAL_EU,
    ),
    # none of several is picked
    advice(
        "two workspaces",
        organization_key_of_two,
        "workspace-required",
        environ=KEY,
        says=("choose one and set LANGSMITH_WORKSPACE_ID",),
        shows=("{own}  Research", "{other}  Production"),
        never=("WORKSPACE_ID=", 'workspace_id="'),
    ),
    advice(
        "two regions",
        strangers,
        "wrong-region",
        regions={"US": strangers, "EU": twin, "APAC": twin},
        environ=KEY,
        says=(
            f"set the endpoint in LANGSMITH_ENDPOINT to one of: {EU_API} (EU), {APAC_API}",
        ),
        never=("LANGSMITH_ENDPOINT=",),
    ),
    # a step never contains a made-up URL; mistakes in a URL are recognized
    advice(
        "an endpoint that is not LangSmith",
        elsewhere,
        "wrong-endpoint",
        environ=KEY,
        says=("correct LANGSMITH_ENDPOINT: it must be the URL of a LangSmith API",),
        never=CLOUD,
    ),
    advice(
        "http instead of https",
        to_https,
        "wrong-endpoint",
        by="async client",
        environ=KEY,
        diagnosed=False,
        says=("{url} redirects to {secure}/sessions", "set LANGSMITH_ENDPOINT={secure}"),
        never=CLOUD,
    ),
    advice(
        "a redirect to a login page",
        to_login,
        "wrong-endpoint",
        environ=KEY,
        says=("{url} redirects to {url}/login, a login page",),
        never=("set LANGSMITH_ENDPOINT", *CLOUD),
    ),
    advice(
        "a login page instead of a response",
        login_page,
        "wrong-endpoint",
        environ=KEY,
        says=("{url} returns a login page",),
        shows=("server:    a web page, 'Sign in'",),
        never=("set LANGSMITH_ENDPOINT", *CLOUD),
    ),
    advice(
        "no scheme",
        personal,
        "wrong-endpoint",
        environ={**KEY, "LANGSMITH_ENDPOINT": "langsmith.own.example/api/v1"},
        says=(
            "from LANGSMITH_ENDPOINT, has no https:// in front",
            "correct LANGSMITH_ENDPOINT: put https:// (or http://) in front",
        ),
        never=("set LANGSMITH_ENDPOINT", "this destination", *CLOUD),
    ),
    advice(
        "no scheme, and the endpoint is an argument",
        personal,
        "wrong-endpoint",
        arguments={"api_url": "langsmith.own.example/api/v1"},
        environ=KEY,
        says=(
            "from the api_url argument, has no https://",
            "correct the api_url argument: put https",
        ),
        never=("LANGSMITH_ENDPOINT", "this destination", *CLOUD),
    ),
    advice(
        "a comment after the address",
        personal,
        "wrong-endpoint",
        environ={**KEY, "LANGSMITH_ENDPOINT": "https://langsmith.own.example # prod"},
        says=(
            "has a comment after it",
            "correct LANGSMITH_ENDPOINT: remove everything after the URL, so that it "
            "is https://langsmith.own.example",
        ),
        never=("set LANGSMITH_ENDPOINT", *CLOUD),
    ),
    advice(
        "a comment after an address with a path",
        nothing_here,
        "wrong-endpoint",
        environ={**LOST, "LANGSMITH_ENDPOINT": "{url}/api/v1 # prod"},
        says=("has a comment after it", "so that it is {url}/api/v1"),
        never=("set LANGSMITH_ENDPOINT", *CLOUD),
    ),
    advice(
        "quotes around the address",
        personal,
        "wrong-endpoint",
        arguments={"api_url": "\u201chttps://langsmith.own.example\u201d"},
        environ=KEY,
        says=("has quotes around it", "remove the quotes"),
        never=CLOUD,
    ),
    # no step is impossible
    advice(
        "a workspace that was deleted",
        deleted_workspace,
        "service-key-scope",
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{deleted}"},
        says=(
            "set LANGSMITH_WORKSPACE_ID to one that this key can use, such as {own}, or "
            "remove it",
            "or, if it still exists, create a key for it",
        ),
        never=("in its scope", "WORKSPACE_ID="),
    ),
    advice(
        "regions were not checked for a key from a variable",
        strangers,
        "key-rejected",
        environ={**LOST, "LANGSMITH_ENDPOINT": US_API},
        says=("safe-langsmith doctor --probe-regions",),
        never=("Policy(", "LANGSMITH_ENDPOINT="),
        **US,
    ),
    advice(
        "regions were not checked for a key in the code",
        strangers,
        "key-rejected",
        arguments={"api_key": GONE, "api_url": US_API},
        says=(
            "Policy(probe_regions=True)",
            "set the endpoint in the api_url argument to one",
        ),
        never=("doctor --probe-regions", "LANGSMITH_ENDPOINT"),
        **US,
    ),
    advice(
        "the other regions were checked, and two could not be reached",
        strangers,
        "key-rejected",
        environ=LOST,
        regions={"US": strangers, "EU": strangers, "APAC": None, "AWS US": None},
        says=(
            "if the key is from another region, set the endpoint in LANGSMITH_ENDPOINT to "
            f"one of: {APAC_API} (APAC), https://aws.api.smith.langchain.com (AWS US)",
        ),
        never=("--probe-regions", EU_API),
    ),
    advice(
        "the other regions were checked, and one could not be reached",
        strangers,
        "key-rejected",
        environ=LOST,
        regions={"US": strangers, "EU": strangers, "APAC": None, "AWS US": strangers},
        says=(f"set the endpoint in LANGSMITH_ENDPOINT to {APAC_API} (APAC)",),
        never=("--probe-regions", EU_API, "one of"),
    ),
    advice(
        "checking regions is not allowed",
        strangers,
        "key-rejected",
        environ={**LOST, "LANGSMITH_ENDPOINT": US_API},
        policy={"probe_regions": False},
        says=("if the key is from another region",),
        never=("Policy(", "--probe-regions"),
        **US,
    ),
    advice(
        "an exported variable overrides a .env that is not loaded",
        rotated,
        "key-rejected",
        environ=OLD,
        dotenv="LANGSMITH_API_KEY={key}",
        uses_dotenv=False,
        says=(
            ".env, line 1 is right, call load_dotenv(override=True) before the client is",
            "or create a new key at {url}/settings",
        ),
        never=("unset ",),
    ),
    advice(
        "an exported variable overrides the .env",
        rotated,
        "stale-setting",
        environ=OLD,
        dotenv="LANGSMITH_API_KEY={key}",
        repaired=True,
        says=(
            "unset LANGSMITH_API_KEY (if your shell exports it), or call load_dotenv(over",
        ),
    ),
    advice(
        "two repairs in a row: the steps of both",
        rotated_to_organization_key,
        "workspace-required",
        environ=OLD,
        dotenv="LANGSMITH_API_KEY={key}",
        repaired=True,
        says=("call load_dotenv(override=True) before", "set LANGSMITH_WORKSPACE_ID={own}"),
        diagnosed=False,
    ),
    advice(
        "the newer key works, but not in the workspace that is set",
        rotated,
        "stale-setting",
        environ={**OLD, "LANGSMITH_WORKSPACE_ID": STRANGE},
        dotenv="LANGSMITH_API_KEY={key}",
        says=(
            f"The newer one has no access to workspace {STRANGE}.",
            "or call load_dotenv(override=True) before the client is created",
            "set LANGSMITH_WORKSPACE_ID={own}",
        ),
        never=("create a new key", "was rejected too"),
    ),
    advice(
        "the newer key needs one of two workspaces: the steps for both",
        rotated_to_organization_key_of_two,
        "workspace-required",
        environ=OLD,
        dotenv="LANGSMITH_API_KEY={key}",
        says=(
            "or call load_dotenv(override=True) before the client is created",
            "choose one and set LANGSMITH_WORKSPACE_ID",
        ),
        diagnosed=False,
    ),
    advice(
        "an exported variable overrides the profile",
        rotated,
        "stale-setting",
        environ=OLD,
        later_profile={"api_key": "{key}", "api_url": "{url}"},
        arguments={"api_url": "{url}"},
        repaired=True,
        says=("remove LANGSMITH_API_KEY: it overrides profile 'default' in",),
        never=("recreate",),
    ),
    advice(
        "a .env that is not loaded, and no exported variable",
        personal,
        "key-missing",
        dotenv="LANGSMITH_API_KEY={key}",
        uses_dotenv=False,
        says=(
            ".env, line 1 is right, call load_dotenv() before the client is created",
            "or set LANGSMITH_API_KEY",
        ),
        never=("override", "unset "),
    ),
    advice(
        "a .env cannot override an argument",
        rotated,
        "key-rejected",
        arguments={"api_key": "{old}"},
        dotenv="LANGSMITH_API_KEY={key}",
        uses_dotenv=False,
        says=(".env, line 1 is right, use that value in the api_key argument",),
        never=("load_dotenv", "unset "),
    ),
    advice(
        "a line of the .env that cannot be parsed, and no key",
        personal,
        "key-missing",
        dotenv='"LANGSMITH_API_KEY": "{key}",\n',
        says=("correct ", ".env, line 1: it sets nothing; write LANGSMITH_API_KEY=<value>"),
        never=("create a key at", "create a new key"),
    ),
    advice(
        "a line of the .env that cannot be parsed, and an old key",
        rotated,
        "key-rejected",
        environ=OLD,
        dotenv='"LANGSMITH_API_KEY": "{key}",\n',
        says=(".env, line 1: it sets nothing; write LANGSMITH_API_KEY=<value>",),
        never=("create a key at", "create a new key"),
    ),
    advice(
        "a key in an unknown variable",
        personal,
        "key-missing",
        environ={"LANGSMITH_APIKEY": GONE},
        says=(
            "if LANGSMITH_APIKEY contains the key to use, rename it to LANGSMITH_API_KEY",
        ),
        never=("create a key at",),
    ),
    advice(
        "an endpoint in an unknown variable",
        strangers,
        "key-rejected",
        environ={**LOST, "LANGSMITH_BASE_URL": "https://langsmith.own.example"},
        says=(
            "LANGSMITH_BASE_URL contains the endpoint to use, "
            "rename it to LANGSMITH_ENDPOINT",
        ),
        never=("LANGSMITH_ENDPOINT=", EU_API),
        **US,
    ),
    # sources
    advice(
        "an exported key that is also in a .env that is not loaded",
        personal,
        "key-rejected",
        environ=LOST,
        dotenv=f"LANGSMITH_API_KEY={GONE}",
        uses_dotenv=False,
        policy={"dotenv": ".env"},
        says=("put it into LANGSMITH_API_KEY",),
        never=(".env",),
    ),
    advice(
        "a key that is set but empty",
        personal,
        "key-missing",
        environ={"LANGSMITH_API_KEY": ""},
        says=(
            "no key was sent: LANGSMITH_API_KEY is set, but empty.",
            "in CI, check that the secret exists",
        ),
        shows=("key:       not set (LANGSMITH_API_KEY is empty)",),
    ),
    advice(
        "a profile file with a byte order mark",
        personal,
        "key-rejected",
        environ=LOST,
        profile='\ufeff{{"profiles": {{"default": {{"api_key": "x"}}}}}}',
        shows=("config.json begins with a byte order mark",),
        never=("not JSON",),
    ),
    advice(
        "a key that only one other region accepts",
        strangers,
        "wrong-region",
        regions={"US": strangers, "EU": personal},
        environ={**KEY, "LANGSMITH_ENDPOINT": US_API},
        says=(f"set LANGSMITH_ENDPOINT={EU_API}",),
        never=("APAC", "\u2717 region"),
        **ASKING,
    ),
    advice(
        "an endpoint that was found by probing",
        strangers,
        "wrong-region",
        regions={"US": strangers, "EU": personal},
        environ=KEY,
        repaired=True,
        says=(f"set LANGSMITH_ENDPOINT={EU_API}",),
        shows=(f"{EU_API} (the only region that accepts the key), region EU",),
        never=("a repair (",),
    ),
    # the server's texts
    advice(
        "the server requires a workspace",
        organization_key_of_two,
        "workspace-required",
        environ=KEY,
        shows=("\n  server:    This API key is org-scoped and requires workspace spec",),
    ),
    advice(
        "a proxy with its own page",
        titled_proxy,
        "blocked-by-proxy",
        environ=KEY,
        says=("ask your network admin to allow",),
        shows=("server:    a web page, 'Access denied by Example Corp'",),
        never=("HTTPS_PROXY", *CLOUD),
    ),
    advice(
        "the only workspace, and the key is an argument",
        organization_key,
        "workspace-required",
        arguments={"api_key": "{key}"},
        repaired=True,
        says=("set LANGSMITH_WORKSPACE_ID={own}",),
    ),
    advice(
        "no region accepts the key",
        strangers,
        "key-rejected",
        environ=LOST,
        says=("no LangSmith region accepts this key (checked all 4)",),
        shows=("EU, APAC and AWS US rejected this key too",),
        never=("LANGSMITH_ENDPOINT",),
        **US,
    ),
    advice(
        "an anonymous page instead of a response",
        proxy,
        "blocked-by-proxy",
        environ=KEY,
        says=("ask your network admin to allow {url}",),
        shows=("server:    a web page, '403'",),
    ),
)
