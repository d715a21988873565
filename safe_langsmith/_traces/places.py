"""Decides where a saved batch is sent: only where new traces would also go."""

from __future__ import annotations

from typing import Any

import langsmith
from langsmith import utils as sdk

from safe_langsmith._knowledge.hosts import shown
from safe_langsmith._knowledge.keys import scrub
from safe_langsmith._sdk.clients import access_of, destinations_of
from safe_langsmith._sdk.modules import remembered_variable
from safe_langsmith._settings.tracing import located, read_destinations
from safe_langsmith._traces.saved import UnsentError
from safe_langsmith._transport.owner import state_of


def place_of(client: langsmith.Client, destination: str) -> tuple[str, dict[str, str]]:
    """Where a batch goes, and with which key.

    A file that names no destination is sent only if the client has exactly one.
    """
    places = _places(client)
    fitting = [p for p in places if destination in ("", shown(p[0]))]
    if len(fitting) == 1:
        return fitting[0]
    again = "LANGSMITH_API_KEY to its key, and replay again"
    if not fitting:
        why = f"it was meant for {shown(destination)}: set LANGSMITH_ENDPOINT to that"
        raise UnsentError(f"{why}, {again}")
    advice = "this client has several: replay with a client that has one"
    if remembered_variable("RUNS_ENDPOINTS", None):
        advice = f"{located('RUNS_ENDPOINTS')} is set: remove it, "
        advice += f"set LANGSMITH_ENDPOINT to the destination, {again}"
    raise UnsentError(f"it doesn't say which destination it was meant for, and {advice}")


def _places(client: Any) -> list[tuple[str, dict[str, str]]]:
    """Where new traces would go, each with its headers, if not the client's."""
    own = access_of(client)
    found = [
        (url, {} if url == own.endpoint else {"x-api-key": key or ""})
        for url, key in destinations_of(client).items()
    ]
    try:
        replicas, _ = read_destinations(own)
    except sdk.LangSmithUserError as error:
        raise UnsentError(scrub(str(error)), for_all=True) from None
    if replicas and not state_of(client).initial.arguments & {"api_url", "api_urls"}:
        found = []  # with replicas, the SDK skips an endpoint not passed as an argument
    for replica in replicas:
        shows = replica.access
        sent = {"x-api-key": shows.key or "", "X-Tenant-Id": shows.workspace or ""}
        sent = {name: text for name, text in sent.items() if text or name == "x-api-key"}
        place = (shows.endpoint, {} if shows == own else sent)
        found += [place] if place not in found else []
    return found
