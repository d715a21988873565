"""The five steps of LangSmith's help article on 403, as a wrapper for a call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dotenv import load_dotenv
from langsmith import Client, utils

from benchmarks.by_hand import RefusedError

T = TypeVar("T")
_NAMES = ("LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "LANGSMITH_WORKSPACE_ID")


def call(act: Callable[[Client], T], client: Client, dotenv: Path) -> T:
    """Call, and if LangSmith refuses, go through the five steps."""
    try:
        return act(client)
    except utils.LangSmithError as error:
        if not any(status in str(error) for status in ("401", "403")):
            raise
    # 1. Which kind of key is it?
    key = os.environ.get("LANGSMITH_API_KEY", "")
    if not key:
        raise RefusedError("key-missing", "set LANGSMITH_API_KEY")
    if key.startswith("ls__"):
        raise RefusedError("key-legacy", "make a new key")
    if not key.startswith(("lsv2_pt_", "lsv2_sk_")):
        raise RefusedError("key-malformed", "look at what stands in LANGSMITH_API_KEY")
    # 2. A service key may need a workspace.
    if key.startswith("lsv2_sk_") and not os.environ.get("LANGSMITH_WORKSPACE_ID"):
        raise RefusedError("workspace-required", "pass workspace_id")
    # 3. Which settings are active?
    for name in _NAMES:
        print(name, os.environ.get(name, "")[:8])
    # 4. Clear the caches, and load the .env again.
    load_dotenv(dotenv, override=True)
    # The SDK's types do not show that it is cached.
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
    try:
        return act(Client(auto_batch_tracing=False))
    except utils.LangSmithError as error:
        # 5. Create a new key.
        raise RefusedError("key-rejected", "make a new key") from error
