"""The settings of an SDK client, sync or async, and how to change them.

If a private name is missing, a function falls back to public attributes, or returns None.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

from safe_langsmith._knowledge.access import Access
from safe_langsmith._knowledge.hosts import base_of
from safe_langsmith._sdk.modules import httpx
from safe_langsmith._sdk.names import at_least


def is_sync(client: Any) -> bool:
    """Whether a client sends with `requests`, as the sync client does."""
    return hasattr(client, "session")


def endpoint_of(client: Any) -> str:
    """The URL that a client sends its requests to, without a final slash; "" if unknown."""
    endpoint: str | None = getattr(client, "api_url", None)
    return endpoint or str(getattr(http_of(client), "base_url", "")).rstrip("/")


def http_of(client: Any) -> Any:
    """The httpx client of an async client; None if it cannot be watched."""
    return getattr(client, "_client", None)


def generated_of(client: Any) -> Any:
    """The generated client behind an async client's v2 resources; None if unknown."""
    return getattr(client, "_langsmith_api", None)


def key_of(client: Any) -> str | None:
    """The key that a client sends."""
    key: str | None = client.api_key
    return key


def workspace_of(client: Any) -> str | None:
    """The workspace that a client sends."""
    workspace: str | None = client.workspace_id
    return workspace


def has_login(client: Any) -> bool:
    """Whether a login session of the CLI authenticates a client; False if unknown."""
    return not key_of(client) and bool(getattr(client, "_oauth_access_token", None))


def headers_of(client: Any) -> Mapping[str, str]:
    """The headers of a client's requests; if unknown, those that were passed to it."""
    found: Mapping[str, str] = getattr(client, "_headers", None) or client.headers
    return found


def given_headers(client: Any) -> Mapping[str, str]:
    """The headers that were passed to a client."""
    found: Mapping[str, str] = client.headers
    return found


def timeouts_of(client: Any) -> tuple[float, float]:
    """The timeouts in seconds, to connect and to read."""
    connect, read = client.timeout_ms
    return connect / 1000, read / 1000


def destinations_of(client: Any) -> dict[str, str | None]:
    """The URLs that a client sends traces to, each with its key; its own if unknown."""
    own = {endpoint_of(client): key_of(client)}
    found: dict[str, str | None] = getattr(client, "_write_api_urls", None) or own
    return found


def failed_traces_folder(client: Any) -> tuple[str | None, int | None]:
    """The folder where a client saves lost traces, and its size limit in bytes."""
    folder = getattr(client, "_failed_traces_dir", None)
    return folder, getattr(client, "_failed_traces_max_bytes", None)


def save_trace(client: Any, body: bytes, headers: dict[str, str], endpoint: str) -> None:
    """Save a batch as the SDK would; does nothing if this release cannot."""
    folder, most = failed_traces_folder(client)
    save = getattr(client, "_write_trace_to_fallback_dir", None)
    if folder and save is not None:
        save(folder, body, endpoint=endpoint, headers=headers, max_bytes=most)


def report_lost_trace(client: Any, error: Exception) -> None:
    """Keep an error in a safe client, and call the program's callback with it."""
    client._invoke_tracing_error_callback(error)


def access_of(client: Any) -> Access:
    """What a request of a client would send now."""
    key, login = key_of(client), has_login(client)
    return Access(endpoint_of(client), key, workspace_of(client), login)


def use(client: Any, access: Access, *, keep_info: bool = False) -> None:
    """Set where a client sends its requests, and with which key and workspace.

    Updates every copy: headers, generated clients, and the tracing threads. Clears what
    the SDK has cached about the server; with ``keep_info``, except ``/info``.
    """
    old = access_of(client)
    if access.endpoint != old.endpoint:
        if hasattr(client, "api_url"):
            client.api_url = access.endpoint
        else:
            http_of(client).base_url = httpx.URL(access.endpoint)
        # In older releases the v2 resources keep the old key, so also the old URL.
        follow_key = at_least("0.14.12")
        for name in ("_langsmith_api", "_langsmith_api_sync") if follow_key else ():
            generated = getattr(client, name, None)
            if generated is not None:
                generated.base_url = base_of(access.endpoint)
    if access.workspace != old.workspace:
        # The async client's property reads None as "use the environment".
        name = "_workspace_id" if hasattr(client, "_workspace_id") else "workspace_id"
        setattr(client, name, access.workspace)
    set_key(client, access.key)  # rebuilds the headers
    follow(client, old)
    for name in ("_settings", "_tenant_id", *(() if keep_info else ("_info",))):
        if hasattr(client, name):
            setattr(client, name, None)


def follow(client: Any, before: Access) -> None:
    """Update the tracing threads' copies of a client's endpoint and key."""
    old, new = (before.endpoint, before.key), (endpoint_of(client), key_of(client))
    places: dict[str, str | None] | None = getattr(client, "_write_api_urls", None)
    if places:
        client._write_api_urls = dict(
            new if (url, key) == old else (new[0] if url == old[0] else url, key)
            for url, key in places.items()
        )
    buffered: Any = getattr(client, "compressed_traces", None)
    if not hasattr(buffered, "destinations"):
        return
    # Meanwhile, another thread may send and empty the buffer.
    with buffered.lock:
        if buffered.destinations is not None:
            buffered.destinations = frozenset(
                d._replace(api_url=new[0], api_key=new[1])
                if (d.api_url, d.api_key) == old
                else d
                for d in buffered.destinations
            )


def without_key(client: Any) -> Any:
    """A copy of this client that sends no key and no workspace.

    The client itself if it cannot be copied.
    """
    headers = getattr(client, "_headers", None)
    if headers is None:
        return client
    twin, own = copy.copy(client), ("x-api-key", "x-tenant-id")
    kept = {name: v for name, v in headers.items() if name.lower() not in own}
    object.__setattr__(twin, "_headers", kept)
    return twin


def set_key(client: Any, key: str | None) -> None:
    """Set the key through the SDK's own property, bypassing ours."""
    client._safe_plain.api_key.__set__(client, key)


def checks_certificates(http: Any, url: str) -> bool:
    """Whether an httpx client checks a host's certificate; False if unknown.

    With a custom transport, it is unknown.
    """
    with contextlib.suppress(AttributeError):
        transport = http._transport_for_url(httpx.URL(url))
        if isinstance(transport, (httpx.HTTPTransport, httpx.AsyncHTTPTransport)):
            context: Any = transport._pool._ssl_context
            required = context.verify_mode.name == "CERT_REQUIRED"
            return bool(required and context.check_hostname)
    return False
