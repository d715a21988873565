"""LangSmith's client, which finds out why it was refused, and repairs what it may."""

from typing import TYPE_CHECKING, Any

from safe_langsmith._client import SafeClient
from safe_langsmith._diagnose import diagnose
from safe_langsmith._diagnosis import Diagnosis, Finding, WorkspaceInfo
from safe_langsmith._policy import Policy
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
    "KeyMalformedError",
    "KeyMissingError",
    "KeyRejectedError",
    "LegacyKeyError",
    "PermissionMissingError",
    "Policy",
    "SafeAsyncClient",
    "SafeClient",
    "ServiceKeyScopeError",
    "StaleSettingError",
    "WorkspaceInfo",
    "WorkspaceMismatchError",
    "WorkspaceRequiredError",
    "WrongEndpointError",
    "WrongRegionError",
    "__version__",
    "diagnose",
]


def __getattr__(name: str) -> Any:
    """Import the async client when it is asked for: the SDK does the same with its own."""
    if name in ("SafeAsyncClient", "AsyncClient"):
        from safe_langsmith._async_client import SafeAsyncClient

        return SafeAsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
