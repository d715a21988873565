"""Tests for `whoami`, `can_i`, and `verify`, in code and in the command."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from conftest import QUICK
from langsmith.utils import LangSmithConnectionError
from scenarios import GONE
from stage import assert_no_secret, closing

from safe_langsmith import (
    Identity,
    KeyRejectedError,
    Policy,
    SafeAsyncClient,
    SafeClient,
    WorkspaceInfo,
    WorkspaceRequiredError,
)
from safe_langsmith._command.cli import main
from safe_langsmith.testing import SimulatedLangSmith


def client_for(server: SimulatedLangSmith, key: str, **arguments: Any) -> SafeClient:
    arguments.setdefault("policy", QUICK)
    return SafeClient(server.url, api_key=key, auto_batch_tracing=False, **arguments)


# --- whoami and can_i -------------------------------------------------------------------


def test_whoami_with_a_personal_key(server: SimulatedLangSmith) -> None:
    own, other = server.add_workspace("Research"), server.add_workspace("Production")
    key = server.add_personal_key(workspaces=[own, other], role="Editor")
    who = client_for(server, key.secret).whoami()
    assert who == Identity(
        kind="personal",
        organization_id=own.organization_id,
        user_id=key.user_id,
        workspace_id=own.id,
        workspace_name="Research",
        role="Editor",
        permissions=tuple(sorted(key.permissions)),
        workspaces=(
            WorkspaceInfo(own.id, "Research"),
            WorkspaceInfo(other.id, "Production"),
        ),
    )
    text = str(who)
    assert f"workspace:    {own.id} (Research)" in text
    assert_no_secret(text, [key.secret])
    elsewhere = client_for(server, key.secret, workspace_id=other.id).whoami()
    assert elsewhere.workspace_name == "Production"


def test_a_service_key_whose_workspaces_are_not_listed(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research")
    key = server.add_service_key(workspaces=[own]).secret
    client = client_for(server, key)
    who = client.whoami()
    assert (who.kind, who.user_id, who.workspace_id) == ("service", None, own.id)
    assert who.permissions is None
    assert client.can_i("runs:create") is None
    assert "permissions:  unknown" in str(who)


def test_an_organization_key_without_a_workspace(server: SimulatedLangSmith) -> None:
    """The identity is known, although the key cannot be used without a workspace."""
    own = server.add_workspace("Research")
    other = server.add_workspace("Production")
    who = client_for(server, server.add_service_key(workspaces=None).secret).whoami()
    assert who.organization_id == own.organization_id
    assert (who.workspace_id, who.permissions) == (None, None)
    lines = (
        "workspace:    not set",
        f"can use:      {own.id}  Research",
        f"              {other.id}  Production",
    )
    assert "\n".join(lines) in str(who)


def test_permissions_of_a_role(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    client = client_for(server, key)
    assert client.can_i("projects:read") is True
    assert client.can_i("runs:create") is False
    with pytest.raises(ValueError, match="did you mean runs:create"):
        client.can_i("runs:crate")
    with pytest.raises(ValueError, match="it has: alerts:create"):
        client.can_i("nonsense")


def test_a_key_that_can_only_create_runs(server: SimulatedLangSmith) -> None:
    """Its permissions are known, although the first request of a diagnosis is refused."""
    own = server.add_workspace("Research")
    may = frozenset({"runs:create"})
    key = server.add_personal_key(workspaces=[own], permissions=may).secret
    client = client_for(server, key)
    assert client.diagnose().code == "permission-missing"
    assert client.can_i("runs:create") is True
    assert client.can_i("projects:read") is False


def test_an_identity_without_permissions() -> None:
    identity = Identity("personal", permissions=())
    assert identity.may("runs:create") is False
    assert "permissions:  none" in str(identity)


def test_whoami_with_a_rejected_key(server: SimulatedLangSmith) -> None:
    server.add_workspace("Research")
    with pytest.raises(KeyRejectedError):
        client_for(server, GONE).whoami()


def test_whoami_without_a_usable_response(server: SimulatedLangSmith) -> None:
    server.answer("*", status=500, body="no")
    with pytest.raises(LangSmithConnectionError, match="did not say who you are"):
        client_for(server, GONE, policy=Policy(budget_s=1)).whoami()


def test_the_async_client(server: SimulatedLangSmith) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    client = SafeAsyncClient(server.url, api_key=key, policy=QUICK)

    async def call() -> tuple[Identity, bool | None]:
        return await client.whoami(), await client.can_i("runs:create")

    who, may = anyio.run(closing, client, call)
    assert (who.workspace_name, may) == ("Research", False)


# --- the command ------------------------------------------------------------------------

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(
    server: SimulatedLangSmith,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Say:
    """Run a command with a key; return the exit code, stdout, and stderr."""

    def run(key: str, *command: str) -> tuple[int, str, str]:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", key)
        code = main(command)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_the_command_whoami(server: SimulatedLangSmith, say: Say) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    code, out, _ = say(key, "whoami")
    assert code == 0
    assert "role:         Viewer" in out
    code, out, _ = say(key, "whoami", "--json")
    assert json.loads(out)["workspace_id"] == own.id
    assert_no_secret(out, [key])
    code, out, err = say(GONE, "whoami")
    assert (code, out) == (1, "")
    assert "rejected this key" in err
    server.answer("*", status=500, body="no")
    assert say(key, "whoami")[0] == 3


def test_a_key_that_cannot_be_used_without_a_workspace(
    server: SimulatedLangSmith, say: Say
) -> None:
    """`whoami` shows who it is, but ordinary calls are refused, so it fails."""
    for name in ("Research", "Production"):
        server.add_workspace(name)
    key = server.add_service_key(workspaces=None).secret
    for options in ((), ("--json",)):
        code, out, err = say(key, "whoami", *options)
        assert (code, "Production" in out) == (1, True)
        assert "this key needs a workspace, and none is set" in err
        assert "To fix it: choose one and set LANGSMITH_WORKSPACE_ID" in err


def test_a_service_key_of_another_workspace(
    server: SimulatedLangSmith, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = server.add_workspace("Research"), server.add_workspace("Production")
    key = server.add_service_key(workspaces=[own]).secret
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", other.id)
    for command in (("whoami",), ("can-i", "runs:create")):
        code, out, err = say(key, *command)
        assert (code, out) == (1, "")
        assert f"this service key has no access to workspace {other.id}" in err


def test_permissions_that_are_not_told_in_time(
    server: SimulatedLangSmith, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are reported as unknown, with the reason."""
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own]).secret
    server.answer("/auth/public", status=502, body="oops")
    answer = (3, "unknown: a check returned 502\n", "")
    assert say(key, "can-i", "runs:create") == answer


def test_a_wrong_workspace(
    server: SimulatedLangSmith, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the workspace, although LangSmith accepts the key."""
    key = server.add_personal_key(workspaces=[server.add_workspace("Research")]).secret
    monkeypatch.setenv("LANGSMITH_WORKSPACE_ID", GONE[-10:])
    for command in (("whoami",), ("can-i", "runs:create")):
        code, out, err = say(key, *command)
        assert (code, out) == (1, "")
        assert "workspace" in err.splitlines()[0]


def test_the_command_can_i(server: SimulatedLangSmith, say: Say) -> None:
    own = server.add_workspace("Research")
    key = server.add_personal_key(workspaces=[own], role="Viewer").secret
    assert say(key, "can-i", "projects:read") == (
        0,
        'yes: the role "Viewer" in workspace "Research" has projects:read\n',
        "",
    )
    assert say(key, "can-i", "runs:create") == (
        1,
        'no: the role "Viewer" in workspace "Research" lacks runs:create\n',
        "",
    )
    service = server.add_service_key(workspaces=[own]).secret
    code, out, _ = say(service, "can-i", "runs:create")
    assert (code, out) == (3, "unknown: LangSmith does not list permissions for this key\n")
    everywhere = server.add_service_key(workspaces=None).secret
    server.add_workspace("Production")
    code, out, _ = say(everywhere, "can-i", "runs:create")
    assert (code, out.startswith("unknown: no workspace is set; ")) == (3, True)


def test_settings_with_which_no_client_can_be_created(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING_SAMPLING_RATE", "often")
    code, _, err = say(GONE, "whoami")
    assert code == 1
    assert "langsmith cannot create a client" in err


# --- SafeClient(verify=...) -------------------------------------------------------------


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "safe_langsmith"]


def until_verified() -> None:
    for thread in threading.enumerate():
        if thread.name == "safe-langsmith-verify":
            thread.join(30)


@pytest.mark.parametrize("how", ["warn", "raise"])
def test_verifying_a_valid_key_logs_nothing(
    server: SimulatedLangSmith, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research")
    only_traces = frozenset({"runs:create"})
    for permissions in (None, only_traces):
        key = server.add_personal_key(workspaces=[own], permissions=permissions).secret
        client_for(server, key, verify=how)
        until_verified()
    assert ours(caplog) == []


def test_verify_none_sends_no_request(server: SimulatedLangSmith) -> None:
    client_for(server, GONE)
    assert server.exchanges == ()


def test_verify_raise(server: SimulatedLangSmith) -> None:
    server.add_workspace("Research")
    server.add_workspace("Production")
    with pytest.raises(KeyRejectedError):
        client_for(server, GONE, verify="raise")
    key = server.add_service_key(workspaces=None).secret
    with pytest.raises(WorkspaceRequiredError):
        client_for(server, key, verify="raise")


def test_verify_warn(server: SimulatedLangSmith, caplog: pytest.LogCaptureFixture) -> None:
    server.add_workspace("Research")
    client = client_for(server, GONE, verify="warn")
    until_verified()
    (line,) = ours(caplog)
    assert (
        "rejected this key (revoked, expired or mistyped). To fix it: create a new key at"
        in line
    )
    assert line.endswith("More: safe-langsmith explain key-rejected")
    assert "\n" not in line
    assert client.last_diagnosis is not None


def test_verify_warn_does_not_wait(server: SimulatedLangSmith) -> None:
    server.answer("*", status=None, delay=30, times=1)
    client = client_for(server, GONE, verify="warn")
    assert client.last_diagnosis is None
    server.stop()  # it responds at once then
    until_verified()


@pytest.mark.parametrize("how", ["warn", "raise"])
def test_verify_repairs_settings(
    server: SimulatedLangSmith, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.add_workspace("Research")
    key = server.add_service_key(workspaces=None).secret
    client = client_for(server, key, verify=how)
    until_verified()
    assert client.workspace_id == own.id
    (line,) = ours(caplog)
    assert "Repaired: used workspace" in line


@pytest.mark.parametrize("how", ["warn", "raise"])
def test_verify_without_a_usable_response_proves_nothing(
    server: SimulatedLangSmith, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer("*", status=500, body="no")
    client_for(server, GONE, verify=how, policy=Policy(budget_s=8))
    until_verified()
    (line,) = ours(caplog)
    assert line.startswith(f"safe_langsmith: {server.url} returned 500, which proves ")
    assert line.endswith(" So the settings were not checked.")


def test_a_client_that_is_gone_is_not_checked(caplog: pytest.LogCaptureFixture) -> None:
    """The check's thread may start after the client is gone."""
    from safe_langsmith._transport import verify as _verify

    _verify._warn(lambda: None)  # type: ignore[arg-type]
    assert ours(caplog) == []


def test_verify_accepts_no_other_value(server: SimulatedLangSmith) -> None:
    with pytest.raises(ValueError, match='verify must be "warn", "raise" or None'):
        client_for(server, GONE, verify="yes")


def test_verify_prints_nothing(
    server: SimulatedLangSmith, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the program handles log records, the warning is only logged."""
    logger, handler = logging.getLogger("safe_langsmith"), logging.NullHandler()
    logger.addHandler(handler)
    client_for(server, GONE, verify="warn")
    until_verified()
    logger.removeHandler(handler)
    assert capsys.readouterr() == ("", "")
