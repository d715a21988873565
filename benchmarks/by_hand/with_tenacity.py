"""The same steps with tenacity: reload the settings, and retry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dotenv import load_dotenv
from langsmith import Client, utils
from tenacity import (
    retry,
    retry_if_exception_message,
    stop_after_attempt,
    wait_exponential,
)

from benchmarks.by_hand import RefusedError

T = TypeVar("T")


def call(act: Callable[[Client], T], client: Client, dotenv: Path) -> T:
    """Call up to three times; reload the settings before each retry."""
    clients = [client]

    def renew(_: object) -> None:
        load_dotenv(dotenv, override=True)
        # The SDK's types do not show that it is cached.
        utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
        clients.append(Client(auto_batch_tracing=False))

    @retry(
        retry=retry_if_exception_message(match=r"(?s).*\b(401|403)\b"),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.5),
        before_sleep=renew,
        reraise=True,
    )
    def tried() -> T:
        return act(clients[-1])

    try:
        return tried()
    except utils.LangSmithError as error:
        key = os.environ.get("LANGSMITH_API_KEY", "")
        if not key:
            raise RefusedError("key-missing", "set LANGSMITH_API_KEY") from error
        if key.startswith("ls__"):
            raise RefusedError("key-legacy", "make a new key") from error
        if not key.startswith(("lsv2_pt_", "lsv2_sk_")):
            raise RefusedError("key-malformed", "look at LANGSMITH_API_KEY") from error
        if key.startswith("lsv2_sk_") and not os.environ.get("LANGSMITH_WORKSPACE_ID"):
            raise RefusedError("workspace-required", "pass workspace_id") from error
        raise RefusedError("key-rejected", "make a new key") from error
