"""LangSmith's client, which finds out why it was refused, and repairs what it may."""

from typing import TYPE_CHECKING, Any

from safe_langsmith._client import SafeClient
from safe_langsmith._diagnose import diagnose
from safe_langsmith._policy import Policy
from safe_langsmith._sdk.fork import no_fork as _no_fork
from safe_langsmith.errors import (
    AccessDeniedError,
    BlockedByProxyError,
    FeatureUnavailableError,
    KeyMalformedError,
    KeyMissingError,
    KeyRejectedError,
    LegacyKeyError,
    PermissionMissingError,
    ServiceKeyScopeError,
    StaleSettingError,
    WorkspaceMismatchError,
    WorkspaceRequiredError,
    WrongEndpointError,
    WrongRegionError,
)

if TYPE_CHECKING:
    from safe_langsmith._async_client import SafeAsyncClient
    from safe_langsmith._async_client import SafeAsyncClient as AsyncClient
    from safe_langsmith._diagnosis import (
        Diagnosis,
        Finding,
        Fix,
        Identity,
        SettingInfo,
        WorkspaceInfo,
    )
    from safe_langsmith._install import Installation, install
    from safe_langsmith._traces.replay import Replay

Client = SafeClient

__version__ = "0.1.0"
__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "BlockedByProxyError",
    "Client",
    "Diagnosis",
    "FeatureUnavailableError",
    "Finding",
    "Fix",
    "Identity",
    "Installation",
    "KeyMalformedError",
    "KeyMissingError",
    "KeyRejectedError",
    "LegacyKeyError",
    "PermissionMissingError",
    "Policy",
    "Replay",
    "SafeAsyncClient",
    "SafeClient",
    "ServiceKeyScopeError",
    "SettingInfo",
    "StaleSettingError",
    "WorkspaceInfo",
    "WorkspaceMismatchError",
    "WorkspaceRequiredError",
    "WrongEndpointError",
    "WrongRegionError",
    "__version__",
    "diagnose",
    "install",
]

_OF_A_DIAGNOSIS = {
    *("Diagnosis", "Finding", "Fix", "Identity", "SettingInfo", "WorkspaceInfo")
}


def __getattr__(name: str) -> Any:
    """Import the rest when it is asked for: the SDK does the same with its own."""
    with _no_fork:
        if name in ("SafeAsyncClient", "AsyncClient"):
            from safe_langsmith._async_client import SafeAsyncClient

            return SafeAsyncClient
        if name in ("install", "Installation"):
            from safe_langsmith import _install

            return getattr(_install, name)
        if name == "Replay":
            from safe_langsmith._traces.replay import Replay

            return Replay
        if name in _OF_A_DIAGNOSIS:
            from safe_langsmith import _diagnosis

            return getattr(_diagnosis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
