"""Every private name of langsmith that we use, and what we lose without it.

docs/seams.md is generated from this table, and tests/sdk/ removes each name in turn. The
other modules of this package use the names, each with a fallback.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import langsmith

from safe_langsmith._sdk.guard import is_first, warn_once
from safe_langsmith._sdk.modules import part_of

BOTH = ("Client", "AsyncClient")
SYNC, ASYNC = BOTH[:1], BOTH[1:]


_NOWHERE = object()


class Name(NamedTuple):
    """A private name.

    ``owners``: the clients that have it, or a module below `langsmith`. ``since``: the
    first release that has it. ``use``: its purpose. ``without``: what happens without it.
    """

    owners: tuple[str, ...] | str
    name: str
    since: str
    use: str
    without: str

    @property
    def shown(self) -> str:
        """The name with its owner."""
        owner = " and ".join(self.owners) if isinstance(self.owners, tuple) else self.owners
        return f"{owner}: {self.name}"

    @property
    def is_expected(self) -> bool:
        """Whether the installed release is new enough to have it."""
        return at_least(self.since)

    def is_there(self, client: Any) -> bool | None:
        """Whether it exists; None if this kind of client never has it."""
        if isinstance(self.owners, str):
            return part_of(self.owners, self.name, _NOWHERE) is not _NOWHERE
        kind = client._safe_plain.__name__
        if kind not in self.owners:
            return None
        # Not on the client's class, since ours overrides some of them.
        return hasattr(client._safe_plain, self.name) or self.name in vars(client)


_CONNECTION = "the connection is not watched, so refused requests are not explained"
_V2 = "client.runs and the other v2 resources stay plain"
_TRACED = "after a repair, traces still go to the old URL or with the old key"
NAMES = (
    Name(ASYNC, "_client", "0.8.1", "its httpx client, which is watched", _CONNECTION),
    Name(
        *(BOTH, "_headers", "0.8.1", "sent with each probe to the client's own host"),
        "probes carry only the headers that you passed to the client",
    ),
    Name(
        *(BOTH, "_oauth_access_token", "0.8.1", "whether a CLI login authenticates"),
        "an expired CLI login is reported as a missing key",
    ),
    Name(
        *(BOTH, "_workspace_id", "0.8.17", "set by a repair"),
        "the workspace of an async client cannot be removed",
    ),
    Name(SYNC, "_write_api_urls", "0.8.1", "where the tracing threads send", _TRACED),
    Name(
        *(BOTH, "_settings", "0.8.1", "the SDK's cache, cleared by a repair"),
        "after a repair, settings of the old workspace are still used",
    ),
    Name(
        *(SYNC, "_tenant_id", "0.8.1", "the SDK's cache, cleared by a repair"),
        "after a repair, links lead to the old workspace",
    ),
    Name(
        *(BOTH, "_info", "0.8.17", "the SDK's cache, cleared by a repair"),
        "after a repair, /info is not requested again if it failed before",
    ),
    Name(
        *(SYNC, "_failed_traces_dir", "0.8.1", "where lost traces are saved"),
        "batches for /runs/batch are not saved",
    ),
    Name(
        *(SYNC, "_failed_traces_max_bytes", "0.8.1", "limits their size"),
        "the size of saved batches is not limited",
    ),
    Name(
        *(SYNC, "_write_trace_to_fallback_dir", "0.8.1", "saves a batch"),
        "batches for /runs/batch are not saved",
    ),
    Name(
        *(SYNC, "_dump_failed_trace", "0.8.1", "overridden: names the destination"),
        "a saved batch does not name its destination if there are several",
    ),
    Name(
        *(SYNC, "_invoke_tracing_error_callback", "0.8.1", "overridden: keeps the error"),
        "raise_for_tracing_errors() raises nothing",
    ),
    Name(
        *(SYNC, "_get_tenant_id", "0.8.1", "overridden: raises the typed error"),
        'get_run_url() raises "No tenant ID found" after a refusal',
    ),
    Name(
        *(ASYNC, "_arequest_with_retries", "0.8.1", "overridden: reports a proxy"),
        "a proxy that refuses to connect is reported as a plain connection error",
    ),
    Name(
        *(SYNC, "_pyo3_client", "0.8.1", "sends traces outside of Python, if enabled"),
        "no warning that LANGSMITH_USE_PYO3_CLIENT hides refused traces",
    ),
    Name(SYNC, "_get_langsmith_api", "0.9.3", "overridden: watches client.runs", _V2),
    Name(SYNC, "_get_langsmith_api_sync", "0.10.10", "overridden: the same", _V2),
    Name(BOTH, "_langsmith_api", "0.9.2", "the v2 resources, moved by a repair", _V2),
    Name(SYNC, "_langsmith_api_sync", "0.10.10", "the same", _V2),
    Name("_internal._openapi_auth", "AsyncClient", "0.14.12", "the v2 resources", _V2),
    Name("_internal._openapi_auth", "SyncClient", "0.14.12", "the v2 resources", _V2),
    Name(
        *("_internal._openapi_auth", "SyncClient.custom_auth", "0.14.12"),
        *("overridden: checks each response", _V2),
    ),
    Name(
        *("_internal._openapi_auth", "SyncClient._prepare_request", "0.14.12"),
        *("overridden: explains an invalid URL", "an invalid URL is tried three times"),
    ),
    Name(
        *("_internal._openapi_auth", "SyncClient._validate_headers", "0.14.12"),
        "overridden: a request without a key is sent, and explained",
        "the v2 resources raise a bare TypeError without a key",
    ),
    Name(
        *("client", "_LangSmithHttpAdapter", "0.8.1", "retries requests: probes bypass it"),
        "the SDK may retry probes",
    ),
    Name(
        *("_internal._multipart", "RewindableMultipartBody", "0.12.3", "a large batch"),
        "large batches of traces are not resent after a repair",
    ),
    Name(
        *("_internal._profiles", "load_profile_client_config", "0.8.1", "the CLI profile"),
        "CLI profiles are not read",
    ),
    Name(
        *("_internal._profiles", "_profile_config_path", "0.8.1", "its path"),
        "CLI profiles are not read",
    ),
    Name(
        *("_internal._profiles", "_parse_profile_expires_at", "0.8.1", "its expiry"),
        "an expired CLI login is not recognized",
    ),
    Name(
        *("_internal._context", "_GLOBAL_TRACING_ENABLED", "0.8.1"),
        "what langsmith.configure(enabled=...) has set",
        "the doctor ignores langsmith.configure(enabled=...)",
    ),
    Name(
        *("run_trees", "_get_write_replicas_from_env", "0.8.1"),
        "reads LANGSMITH_RUNS_ENDPOINTS, for the doctor",
        "the doctor ignores LANGSMITH_RUNS_ENDPOINTS",
    ),
    Name(
        *("run_trees", "_CLIENT", "0.8.1", "what @traceable uses, for install().undo()"),
        "undo() makes the SDK create a new client",
    ),
    Name(
        *("_internal._background_thread", "LANGSMITH_CLIENT_THREAD_POOL", "0.8.1"),
        "a forked process gets a new one",
        "a forked process may wait forever in flush(), as with the plain client",
    ),
    Name(
        *("_internal._background_thread", "tracing_control_thread_func", "0.8.1"),
        "sends runs: a forked process starts it with its first run",
        "a client from before a fork traces nothing in the child, like the plain client",
    ),
    Name(
        *(SYNC, "_use_daemon_threads", "0.8.1", "whether that thread is a daemon"),
        "in a forked process, the thread is never a daemon",
    ),
    Name(
        *(SYNC, "_run_ops_buffer", "0.8.1", "emptied in a forked process"),
        "with process_buffered_run_ops, a run from before a fork may be sent twice",
    ),
)


def report_missing(client: Any) -> None:
    """Log one line with the names that this langsmith should have but lacks."""
    # Once per kind of client: this costs more than everything else at creation.
    if not is_first(f"names of {client._safe_plain.__name__}"):
        return
    missing = [n for n in NAMES if n.is_expected and n.is_there(client) is False]
    if missing:
        names = ", ".join(dict.fromkeys(n.name for n in missing))
        effects = "; ".join(dict.fromkeys(n.without for n in missing))
        text = f"langsmith {langsmith.__version__} has no {names}: {effects}"
        warn_once(names, f"safe_langsmith: {text}. Please report this line.")


def report_native(client: Any) -> None:
    """Log one line if a client sends its traces where they cannot be watched."""
    if getattr(client, "_pyo3_client", None) is not None:
        text = (
            "safe_langsmith: LANGSMITH_USE_PYO3_CLIENT is set, so langsmith_pyo3 sends "
            "traces. Refused traces are not seen, repaired, or reported; other calls are. "
            "To have traces watched, unset it."
        )
        warn_once("langsmith_pyo3", text)


def at_least(release: str) -> bool:
    """Whether the installed langsmith is this release or a newer one."""
    return numbers_in(langsmith.__version__) >= numbers_in(release)


def numbers_in(release: str) -> tuple[int, ...]:
    """The first three numbers of a release, for comparing."""
    return tuple(int(n) for n in re.findall(r"\d+", release)[:3])
