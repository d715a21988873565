"""Tests for a login session of LangSmith's CLI that could not be refreshed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import QUICK

from safe_langsmith import AccessDeniedError, SafeAsyncClient, SafeClient
from safe_langsmith.testing import SimulatedLangSmith


def sync_call() -> Any:
    return [*SafeClient(policy=QUICK, auto_batch_tracing=False).list_projects()]


def async_call() -> Any:
    async def read() -> Any:
        async with SafeAsyncClient(policy=QUICK) as client:
            return await client.read_project(project_name="none")

    return anyio.run(read)


@pytest.mark.parametrize("call", [sync_call, async_call])
@pytest.mark.parametrize(
    ("session", "summary"),
    [
        (
            {"access_token": "gone", "expires_at": "2020-01-01T00:00:00Z"},
            "the login session has expired, and was not refreshed.",
        ),
        ({}, "has no usable token, and was not refreshed."),
    ],
)
def test_a_refresh_that_failed(
    server: SimulatedLangSmith, call: Any, session: dict[str, str], summary: str
) -> None:
    """The SDK continues silently and is refused; the error reports the failed refresh."""
    server.answer("/oauth/token", status=400, body={"error": "invalid_grant"})
    oauth = {**session, "refresh_token": "used-up"}
    profiles = {"work": {"api_url": server.url, "oauth": oauth}}
    path = Path.home() / ".langsmith" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"current_profile": "work", "profiles": profiles}))
    with pytest.raises(AccessDeniedError) as caught:
        call()
    assert "POST /oauth/token" in {f"{e.method} {e.path}" for e in server.exchanges}
    assert summary in caught.value.diagnosis.summary
    assert "log in again: langsmith auth login --profile work" in caught.value.next_steps
    assert "used-up" not in str(caught.value)
