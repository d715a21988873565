"""LangSmith's client, which finds out why it was refused, and repairs what it may."""

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

Client = SafeClient

__version__ = "0.1.0"
__all__ = [
    "AccessDeniedError",
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
