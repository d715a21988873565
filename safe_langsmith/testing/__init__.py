"""A simulated LangSmith for tests: a server on a loopback socket.

It responds like LangSmith's API, and refuses requests with the same status codes and the
same terse messages. Nothing is patched, so any client can talk to it.

    from safe_langsmith.testing import SimulatedLangSmith

    with SimulatedLangSmith() as server:
        workspace = server.add_workspace("Research", projects=3)
        key = server.add_service_key(workspaces=None)
        client = Client(api_url=server.url, api_key=key.secret)

The pytest fixture ``simulated_langsmith`` returns a `ReadyLangSmith`, and sets the
environment variables so that clients use it.
"""

from __future__ import annotations

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "safe_langsmith.testing needs two more packages: pip install starlette uvicorn"
    ) from missing

from safe_langsmith.testing._exchange import Exchange
from safe_langsmith.testing._ready import ReadyLangSmith
from safe_langsmith.testing._server import SimulatedLangSmith
from safe_langsmith.testing._world import Key, Organization, Workspace

__all__ = [
    "Exchange",
    "Key",
    "Organization",
    "ReadyLangSmith",
    "SimulatedLangSmith",
    "Workspace",
]
