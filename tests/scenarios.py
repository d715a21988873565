"""The table of scenarios: one row for each thing that can be wrong.

A row has the world, the settings with their sources, the call, and the expected result:
the code, answered or raised, the requests to the server (the refused one, the probes, the
resent one), and the keys that each host saw.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langsmith import Client

from safe_langsmith.testing import SimulatedLangSmith

HTML_403 = "<!doctype html><title>403</title>403 Forbidden"

GONE: str = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"
STRANGE: str = str(uuid.UUID(int=7))

Outcome = Literal["answered", "raised"]
World = Callable[[SimulatedLangSmith], Mapping[str, str]]


# --- the calls ------------------------------------------------------------------------


def list_projects(client: Client) -> Any:
    return [project.name for project in client.list_projects()]


def create_project(client: Client) -> Any:
    return client.create_project("new").name


def create_run(client: Client) -> Any:
    return client.create_run("run", {"in": 1}, "chain", project_name="default")


def organization(client: Client) -> Any:
    return client.request_with_retries("GET", "/orgs/current").json()["display_name"]


def my_keys(client: Client) -> Any:
    path = "/orgs/current/personal-access-tokens"
    return client.request_with_retries("GET", path).json()


def pull_prompt(client: Client) -> Any:
    return client.pull_prompt_commit("greeting").commit_hash


def pull_named_prompt(client: Client) -> Any:
    path = "/commits/acme/greeting/latest"
    return client.request_with_retries("GET", path).json()


# --- the worlds -----------------------------------------------------------------------


def personal(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A personal key for one workspace."""
    own = server.add_workspace("Research", projects=2)
    key = server.add_personal_key(workspaces=[own])
    return {"key": key.secret, "own": own.id, "org": own.organization_id}


def personal_of_two(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A personal key for two workspaces, and someone else's workspace."""
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production", projects=1)
    foreign = server.add_workspace(
        "Foreign", organization=server.add_organization("Foreign")
    )
    key = server.add_personal_key(workspaces=[own, other])
    return {
        "key": key.secret,
        "own": own.id,
        "other": other.id,
        "foreign": foreign.id,
        "org": own.organization_id,
    }


def organization_key(server: SimulatedLangSmith) -> Mapping[str, str]:
    """An organization key, and one workspace."""
    own = server.add_workspace("Research", projects=2)
    key = server.add_service_key(workspaces=None)
    return {"key": key.secret, "own": own.id}


def organization_key_of_two(server: SimulatedLangSmith) -> Mapping[str, str]:
    """An organization key, and two workspaces."""
    names = dict(organization_key(server))
    foreign = server.add_workspace(
        "Foreign", organization=server.add_organization("Foreign")
    )
    return {
        **names,
        "other": server.add_workspace("Production", projects=1).id,
        "foreign": foreign.id,
    }


def locked_organization_key(server: SimulatedLangSmith) -> Mapping[str, str]:
    """An organization key that cannot list the workspaces."""
    own = server.add_workspace("Research", projects=2)
    key = server.add_service_key(workspaces=None, lists_workspaces=False)
    return {"key": key.secret, "own": own.id}


def removed_from_default(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A personal key with access to another workspace, but not to its default one."""
    default = server.add_workspace("Old")
    own = server.add_workspace("Research", projects=2)
    key = server.add_personal_key(workspaces=[own], default=default)
    return {"key": key.secret, "own": own.id, "default": default.id}


def removed_from_default_of_three(server: SimulatedLangSmith) -> Mapping[str, str]:
    """The same, with two other workspaces."""
    default = server.add_workspace("Old")
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production", projects=1)
    key = server.add_personal_key(workspaces=[own, other], default=default)
    return {"key": key.secret, "own": own.id, "other": other.id}


def rotated(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A revoked old key, and a new one."""
    names = personal(server)
    old = server.add_personal_key()
    server.revoke(old)
    return {**names, "old": old.secret}


def rotated_to_organization_key(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A revoked old key; the new one is an organization key."""
    names = organization_key(server)
    old = server.add_personal_key()
    server.revoke(old)
    return {**names, "old": old.secret}


def rotated_to_organization_key_of_two(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A revoked old key; the new one is an organization key with two workspaces."""
    server.add_workspace("Production")
    return rotated_to_organization_key(server)


def workspace_key(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A service key for one of two workspaces."""
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production")
    key = server.add_service_key(workspaces=[own])
    return {"key": key.secret, "own": own.id, "other": other.id, "org": own.organization_id}


def with_project(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A personal key for one workspace, and the id of a project in it."""
    names = personal(server)
    with Projects(server.url, names["key"]) as client:
        project = next(iter(client.list_projects()))
    server.clear()
    return {**names, "project": str(project.id)}


class Projects(Client):
    """A plain client without threads, to read from a world."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(api_url=url, api_key=key, auto_batch_tracing=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def viewer(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A personal key with a read-only role, and an admin's key."""
    own = server.add_workspace("Research", projects=2)
    key = server.add_personal_key(workspaces=[own], role="Viewer")
    admin = server.add_personal_key(workspaces=[own])
    return {"key": key.secret, "own": own.id, "admin": admin.secret}


def viewer_of_two(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A read-only key for two workspaces, one of which is the default."""
    own = server.add_workspace("Research", projects=2)
    other = server.add_workspace("Production")
    key = server.add_personal_key(workspaces=[own, other], role="Viewer")
    return {"key": key.secret, "own": own.id, "other": other.id}


def outspoken_viewer(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A read-only service key, on a server that names the missing permission."""
    server.name_permissions = True
    own = server.add_workspace("Research", projects=2)
    key = server.add_service_key(workspaces=[own], role="Viewer")
    return {"key": key.secret, "own": own.id}


def quiet_viewer(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A read-only service key, on a server that does not name the missing permission."""
    own = server.add_workspace("Research", projects=2)
    key = server.add_service_key(workspaces=[own], role="Viewer")
    return {"key": key.secret, "own": own.id}


def policy_denies(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A key whose role has the permission, and an access policy that denies it."""
    own = server.add_workspace("Research", projects=2)
    denied = frozenset({"projects:create"})
    key = server.add_personal_key(workspaces=[own], abac_denies=denied)
    return {"key": key.secret, "own": own.id}


def without_feature(server: SimulatedLangSmith) -> Mapping[str, str]:
    """An organization without the projects feature."""
    server.disabled_features.add("projects")
    return personal(server)


def legacy(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A legacy key."""
    return {"key": "ls__0123456789abcdef0123456789abcdef"}


def with_prompt(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A prompt in a workspace."""
    own = server.add_workspace("Research")
    server.add_prompt("greeting", workspace=own)
    return {"key": server.add_personal_key(workspaces=[own]).secret, "own": own.id}


def passing_proxy(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A proxy that refuses the first request only."""
    # Not "*": a thread of the client requests /info at the same time.
    server.answer("/sessions", status=403, body=HTML_403, times=1)
    return personal(server)


def proxy(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A proxy that refuses every request with a web page."""
    server.answer("*", status=403, body=HTML_403)
    return personal(server)


def proxy_in_json(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A proxy that refuses every request, in JSON like LangSmith."""
    server.answer("*", status=403, body={"error": "Forbidden"})
    return personal(server)


def broken_probes(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A server that refuses the call, and returns 500 for probes of the key."""
    for path in ("/workspaces", "/auth/public"):
        server.answer(path, status=500, body="oops")
    return {"key": GONE}


def elsewhere(server: SimulatedLangSmith) -> Mapping[str, str]:
    """A server that is not LangSmith."""
    server.answer("*", status=404, body="<html>nothing here</html>")
    server.answer("/sessions", status=200, body="<html>hi</html>", headers=PAGE)
    return {"key": GONE}


PAGE = {"content-type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Scenario:
    """One row. Texts are templates: names such as ``{key}`` come from the world."""

    name: str
    world: World
    code: str
    outcome: Outcome
    requests: tuple[str, ...]
    call: Callable[[Client], Any] = list_projects
    arguments: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    dotenv: str | None = None
    # Whether the program has imported python-dotenv.
    uses_dotenv: bool = True
    # Changes after the client is created.
    later: Mapping[str, str | None] = field(default_factory=dict)
    later_dotenv: str | None = None
    later_profile: Mapping[str, str] | None = None
    # Texts that the error, the log line, or the diagnosis must contain.
    says: tuple[str, ...] = ()
    layout: Literal["cloud", "self-hosted"] = "cloud"
    # The encoding of the .env.
    encoding: str = "utf-8"
    # The profile when the client is created, or the full text of its file.
    profile: Mapping[str, Any] | str | None = None
    # The secrets of a Colab notebook.
    colab: Mapping[str, str] | None = None
    # The names of keys that no host may receive.
    unseen: tuple[str, ...] = ()
    # Official hosts, over TLS, by region; ``world`` is for the first, the client's own.
    # None: it cannot be reached. Regions that are not named reject every key of the row.
    # In ``requests``, a request to another region begins with its name.
    regions: Mapping[str, World | None] = field(default_factory=dict)
    # The keys that each other region receives.
    saw: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


KEY: Mapping[str, str] = {"LANGSMITH_API_KEY": "{key}"}
OLD: Mapping[str, str] = {"LANGSMITH_API_KEY": "{old}"}
SESSIONS: str = "GET /sessions"
WORKSPACES: str = "GET /workspaces"
PUBLIC: str = "GET /auth/public"
INFO: str = "GET /info"

ROWS: tuple[Scenario, ...] = (
    # workspace-required
    Scenario(
        "an organization key without a workspace, and only one exists",
        organization_key,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ=KEY,
        says=("{own}", "LANGSMITH_WORKSPACE_ID"),
    ),
    Scenario(
        "an organization key without a workspace, refused by the service for runs",
        organization_key,
        "workspace-required",
        "answered",
        ("POST /runs", WORKSPACES, "POST /runs"),
        call=create_run,
        environ=KEY,
    ),
    Scenario(
        "an organization key as an argument, without a workspace",
        organization_key,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        arguments={"api_key": "{key}"},
    ),
    Scenario(
        "two workspaces: neither is guessed",
        organization_key_of_two,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES),
        environ=KEY,
        says=(
            "{own}  Research",
            "{other}  Production",
            "choose one and set LANGSMITH_WORKSPACE_ID",
        ),
    ),
    Scenario(
        "two workspaces, one named by LANGSMITH_TENANT_ID",
        organization_key_of_two,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={**KEY, "LANGSMITH_TENANT_ID": "{other}"},
        says=("{other}", "LANGSMITH_TENANT_ID"),
    ),
    Scenario(
        "two workspaces, one named by the .env",
        organization_key_of_two,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ=KEY,
        dotenv="LANGSMITH_WORKSPACE_ID={other}",
        says=("{other}", ".env, line 1"),
    ),
    Scenario(
        "two workspaces, one named by the CLI's profile",
        organization_key_of_two,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ=KEY,
        later_profile={"workspace_id": "{other}"},
        says=("{other}", "profile 'default'"),
    ),
    Scenario(
        "two workspaces, and each is named by another setting",
        organization_key_of_two,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES),
        environ={**KEY, "LANGSMITH_TENANT_ID": "{other}"},
        dotenv="LANGSMITH_WORKSPACE_ID={own}",
    ),
    Scenario(
        "a workspace that was set after the client was created",
        organization_key_of_two,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ=KEY,
        later={"LANGSMITH_WORKSPACE_ID": "{other}"},
    ),
    Scenario(
        "one workspace, but LANGSMITH_TENANT_ID names a foreign one",
        organization_key_of_two,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES),
        environ={**KEY, "LANGSMITH_TENANT_ID": "{foreign}"},
        says=("LANGSMITH_TENANT_ID names {foreign}, which this key cannot use",),
    ),
    Scenario(
        "an empty workspace_id argument is not filled in",
        organization_key,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES),
        arguments={"workspace_id": ""},
        environ=KEY,
    ),
    Scenario(
        "the workspaces cannot be listed",
        locked_organization_key,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC),
        environ=KEY,
        says=("could not be listed",),
    ),
    Scenario(
        "the workspaces cannot be listed, but a setting names one",
        locked_organization_key,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, PUBLIC, PUBLIC, SESSIONS),
        environ={**KEY, "LANGSMITH_TENANT_ID": "{own}"},
    ),
    Scenario(
        "a personal key without access to its default workspace, but to one other",
        removed_from_default,
        "workspace-required",
        "answered",
        (SESSIONS, WORKSPACES, PUBLIC, PUBLIC, SESSIONS),
        environ=KEY,
        says=("{own}", "default workspace refuses it"),
    ),
    Scenario(
        "a personal key without access to its default workspace, but to two others",
        removed_from_default_of_three,
        "workspace-required",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, PUBLIC, PUBLIC),
        environ=KEY,
        says=("{own}  Research", "{other}  Production"),
    ),
    # workspace-mismatch
    Scenario(
        "a foreign workspace as an argument is not replaced",
        personal,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, f"GET /sessions/{STRANGE}"),
        arguments={"workspace_id": STRANGE},
        environ=KEY,
        says=(STRANGE, "{own}  Research", "the workspace_id argument"),
    ),
    Scenario(
        "a foreign workspace in a variable is not replaced by the only one",
        personal,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, f"GET /sessions/{STRANGE}"),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": STRANGE},
        says=("LANGSMITH_WORKSPACE_ID",),
    ),
    Scenario(
        "the organization's id instead of a workspace id",
        personal,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{org}"},
        says=("the id of your organization",),
    ),
    Scenario(
        "the organization's id, with a service key that cannot list workspaces",
        workspace_key,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, PUBLIC),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{org}"},
        says=("the id of your organization",),
    ),
    Scenario(
        "a project's id instead of a workspace id",
        with_project,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, "GET /sessions/{project}"),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{project}"},
        says=("the id of the project 'Research project",),
    ),
    Scenario(
        "a workspace that is not a UUID",
        personal,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "my-team"},
        says=("'my-team' is not a workspace id",),
    ),
    # service-key-scope
    Scenario(
        "a service key of another workspace",
        workspace_key,
        "service-key-scope",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, PUBLIC, "GET /sessions/{other}"),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{other}"},
        says=("has no access to workspace {other}",),
    ),
    Scenario(
        "an organization call with a workspace's service key",
        workspace_key,
        "service-key-scope",
        "raised",
        ("GET /orgs/current", WORKSPACES, PUBLIC),
        call=organization,
        environ=KEY,
    ),
    Scenario(
        "a call that needs a personal key",
        organization_key,
        "service-key-scope",
        "raised",
        ("GET /orgs/current/personal-access-tokens", WORKSPACES),
        call=my_keys,
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{own}"},
        says=("this call needs a personal key (lsv2_pt_)",),
    ),
    # stale-setting, and which sources can be replaced
    Scenario(
        "the variable was changed after the client was created",
        rotated,
        "stale-setting",
        "answered",
        (SESSIONS, PUBLIC, WORKSPACES, SESSIONS),
        environ=OLD,
        later=KEY,
        says=("LANGSMITH_API_KEY",),
    ),
    Scenario(
        "the .env was edited after the client was created",
        rotated,
        "stale-setting",
        "answered",
        (SESSIONS, PUBLIC, WORKSPACES, SESSIONS),
        environ=OLD,
        dotenv="LANGSMITH_API_KEY={old}",
        later_dotenv="# new\nLANGSMITH_API_KEY={key}\n",
        says=(".env, line 2", "load_dotenv(override=True)"),
    ),
    Scenario(
        "the profile was edited after the client was created",
        rotated,
        "stale-setting",
        "answered",
        (SESSIONS, PUBLIC, WORKSPACES, SESSIONS),
        arguments={"api_url": "{url}"},
        environ=OLD,
        later_profile={"api_key": "{key}", "api_url": "{url}"},
        says=("profile 'default'",),
    ),
    Scenario(
        "the newer key needs a workspace: two repairs in a row",
        rotated_to_organization_key,
        "workspace-required",
        "answered",
        (SESSIONS, PUBLIC, WORKSPACES, SESSIONS, SESSIONS),
        environ=OLD,
        later=KEY,
    ),
    Scenario(
        "the newer key is rejected too",
        rotated,
        "key-rejected",
        "raised",
        (SESSIONS, PUBLIC, WORKSPACES, PUBLIC, WORKSPACES, INFO),
        environ=OLD,
        later={"LANGSMITH_API_KEY": GONE},
        says=("was rejected too",),
    ),
    Scenario(
        "a key as an argument is not replaced by a newer variable",
        rotated,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        arguments={"api_key": "{old}"},
        environ=KEY,
        says=("the api_key argument",),
        unseen=("key",),
    ),
    Scenario(
        "the workspace's variable was changed after the client was created",
        personal_of_two,
        "stale-setting",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{foreign}"},
        later={"LANGSMITH_WORKSPACE_ID": "{other}"},
    ),
    Scenario(
        "the workspace's line in the .env was edited",
        personal_of_two,
        "stale-setting",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{foreign}"},
        dotenv="LANGSMITH_WORKSPACE_ID={other}",
    ),
    Scenario(
        "the workspace's variable was unset, and the key can use one workspace",
        personal,
        "stale-setting",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": STRANGE},
        later={"LANGSMITH_WORKSPACE_ID": None},
        says=("used workspace {own}, the only one that this key can use.",),
    ),
    Scenario(
        "the workspace's variable was unset, and the key can use two workspaces",
        personal_of_two,
        "workspace-mismatch",
        "raised",
        (SESSIONS, WORKSPACES, "GET /sessions/{foreign}"),
        environ={**KEY, "LANGSMITH_WORKSPACE_ID": "{foreign}"},
        later={"LANGSMITH_WORKSPACE_ID": None},
    ),
    Scenario(
        "a valid key without a permission is not replaced by another key",
        viewer,
        "permission-missing",
        "raised",
        ("POST /sessions", PUBLIC, WORKSPACES),
        call=create_project,
        environ=KEY,
        dotenv="LANGSMITH_API_KEY={admin}",
        unseen=("admin",),
    ),
    Scenario(
        "an endpoint in the .env receives no key",
        rotated,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ=OLD,
        dotenv="LANGSMITH_ENDPOINT=http://localhost:{port}",
        says=(
            ".env, line 1 names http://localhost:{port}; a repair does not move requests",
            ".env, line 1 is right, unset LANGSMITH_ENDPOINT",
        ),
    ),
    Scenario(
        "the .env's key belongs to its own endpoint, and the endpoint is an argument",
        rotated,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        arguments={"api_url": "{url}"},
        environ=OLD,
        dotenv="LANGSMITH_ENDPOINT=http://localhost:1\nLANGSMITH_API_KEY={key}",
        says=("names http://localhost:1; a repair does not move requests there",),
        unseen=("key",),
    ),
    Scenario(
        "a key and an endpoint in the .env: neither is used",
        rotated,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ=OLD,
        dotenv="LANGSMITH_ENDPOINT=http://localhost:{port}\nLANGSMITH_API_KEY={key}",
        says=(".env, line 2 and line 1 are right, unset LANGSMITH_API_KEY LANGSM",),
        unseen=("key",),
    ),
    # wrong-endpoint; the rows for official web hosts, over TLS, are in scenarios_regions
    Scenario(
        "a self-hosted endpoint without /api/v1",
        personal,
        "wrong-endpoint",
        "raised",
        (SESSIONS, INFO, INFO),
        environ=KEY,
        layout="self-hosted",
        says=("{url}/api/v1",),
    ),
    Scenario(
        "a self-hosted endpoint without /api/v1, and a POST, which returns 405",
        personal,
        "wrong-endpoint",
        "raised",
        ("POST /runs", INFO, INFO),
        call=create_run,
        environ=KEY,
        layout="self-hosted",
    ),
    Scenario(
        "a server that is not LangSmith",
        elsewhere,
        "wrong-endpoint",
        "raised",
        (SESSIONS, INFO, INFO),
        environ=KEY,
        says=("does not respond like a LangSmith API",),
    ),
    # key-missing
    Scenario(
        "no key anywhere",
        personal,
        "key-missing",
        "raised",
        (SESSIONS,),
        says=("no key was sent", "LANGSMITH_API_KEY"),
    ),
    Scenario(
        "a key that was set after the client was created",
        personal,
        "key-missing",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        later=KEY,
    ),
    Scenario(
        "a key in the .env that was never loaded",
        personal,
        "key-missing",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        dotenv="LANGSMITH_API_KEY={key}",
    ),
    Scenario(
        "an empty api_key argument is not filled in",
        personal,
        "key-missing",
        "raised",
        (SESSIONS,),
        arguments={"api_key": ""},
        environ=KEY,
        says=("api_key is empty, so no other key is used",),
        unseen=("key",),
    ),
    # key-malformed
    Scenario(
        "a key with its name in front",
        personal,
        "key-malformed",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={"LANGSMITH_API_KEY": "LANGSMITH_API_KEY={key}"},
    ),
    Scenario(
        "a key with Bearer in front, as an argument",
        personal,
        "key-malformed",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        arguments={"api_key": "Bearer {key}"},
    ),
    Scenario(
        "a key with a comment after it",
        personal,
        "key-malformed",
        "answered",
        (SESSIONS, WORKSPACES, SESSIONS),
        environ={"LANGSMITH_API_KEY": "{key}#mine"},
    ),
    Scenario(
        "a placeholder",
        personal,
        "key-malformed",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": "<your-api-key>"},
        says=("it is a placeholder",),
    ),
    Scenario(
        "code instead of a key",
        personal,
        "key-malformed",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": "userdata.get('LANGSMITH_API_KEY')"},
        says=("it is code, not a key",),
    ),
    Scenario(
        "another vendor's key",
        personal,
        "key-malformed",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": "sk-ant-0123456789abcdef0123456789"},
        says=("a key from Anthropic",),
    ),
    Scenario(
        "a truncated key",
        personal,
        "key-malformed",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": GONE[:40]},
        says=("it has 40 characters, and a LangSmith key has 51",),
    ),
    # key-legacy, key-rejected
    Scenario(
        "a legacy key",
        legacy,
        "key-legacy",
        "raised",
        (SESSIONS,),
        environ=KEY,
        says=("October 2024",),
    ),
    Scenario(
        "an unknown key",
        personal,
        "key-rejected",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ={"LANGSMITH_API_KEY": GONE},
        says=("rejected this key", "{url}/settings"),
    ),
    Scenario(
        "a prompt call with an unknown key",
        with_prompt,
        "key-rejected",
        "raised",
        ("GET /commits/-/greeting/latest", WORKSPACES, PUBLIC, INFO),
        call=pull_prompt,
        environ={"LANGSMITH_API_KEY": GONE},
    ),
    Scenario(
        "a prompt call that names the owner, with an unknown key: it returns 404",
        with_prompt,
        "key-rejected",
        "raised",
        ("GET /commits/acme/greeting/latest", WORKSPACES, PUBLIC, INFO),
        call=pull_named_prompt,
        environ={"LANGSMITH_API_KEY": GONE},
        says=("was refused (404)", "rejected this key"),
    ),
    # permission-missing, feature-unavailable
    Scenario(
        "a role without the permission",
        viewer,
        "permission-missing",
        "raised",
        ("POST /sessions", WORKSPACES, PUBLIC),
        call=create_project,
        environ=KEY,
        says=('the role "', 'workspace "Research" lacks projects:create'),
    ),
    Scenario(
        "a role without the permission, in the default of two workspaces",
        viewer_of_two,
        "permission-missing",
        "raised",
        ("POST /sessions", WORKSPACES, PUBLIC),
        call=create_project,
        environ=KEY,
    ),
    Scenario(
        "a missing permission that the server names",
        outspoken_viewer,
        "permission-missing",
        "raised",
        ("POST /sessions", WORKSPACES, PUBLIC),
        call=create_project,
        environ=KEY,
        says=("projects:create",),
    ),
    Scenario(
        "a plan without the feature",
        without_feature,
        "feature-unavailable",
        "raised",
        (SESSIONS,),
        environ=KEY,
    ),
    # blocked-by-proxy
    Scenario(
        "a proxy that refuses once",
        passing_proxy,
        "blocked-by-proxy",
        "answered",
        (SESSIONS, INFO, SESSIONS),
        environ=KEY,
    ),
    Scenario(
        "a proxy that refuses with a page",
        proxy,
        "blocked-by-proxy",
        "raised",
        (SESSIONS, INFO, SESSIONS, SESSIONS, SESSIONS),
        environ=KEY,
        says=("the response is a web page",),
    ),
    Scenario(
        "a proxy that refuses everything in JSON",
        proxy_in_json,
        "access-denied",
        "raised",
        (SESSIONS, WORKSPACES, PUBLIC, INFO),
        environ=KEY,
        says=("a request to /info without a key",),
    ),
    # access-denied
    Scenario(
        "an access policy denies what the role allows",
        policy_denies,
        "access-denied",
        "raised",
        ("POST /sessions", WORKSPACES, PUBLIC),
        call=create_project,
        environ=KEY,
        says=("an access policy",),
    ),
    Scenario(
        "a service key with unknown permissions",
        quiet_viewer,
        "access-denied",
        "raised",
        ("POST /sessions", WORKSPACES, PUBLIC),
        call=create_project,
        environ=KEY,
        says=("may lack projects:create",),
    ),
    Scenario(
        "probes that return 500 prove nothing",
        broken_probes,
        "access-denied",
        "raised",
        (SESSIONS, *[WORKSPACES] * 3, *[PUBLIC] * 3, INFO),
        environ=KEY,
        says=("could not be",),
    ),
)


def filled(template: str, names: Mapping[str, str]) -> str:
    """Fill the names of a world into a text."""
    return template.format_map(names)
