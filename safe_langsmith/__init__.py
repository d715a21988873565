"""A drop-in `langsmith.Client` that explains 403s and fixes those that are safe to fix."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from safe_langsmith._sdk.fork import no_fork as _no_fork

if TYPE_CHECKING:
    from safe_langsmith._async_client import SafeAsyncClient
    from safe_langsmith._async_client import SafeAsyncClient as AsyncClient
    from safe_langsmith._client import SafeClient
    from safe_langsmith._client import SafeClient as Client
    from safe_langsmith._diagnose import diagnose
    from safe_langsmith._diagnosis import (
        Diagnosis,
        Finding,
        Fix,
        Identity,
        SettingInfo,
        WorkspaceInfo,
    )
    from safe_langsmith._install import Installation, install
    from safe_langsmith._policy import Policy, set_on_diagnosis
    from safe_langsmith._traces.replay import Replay
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

__version__ = "0.2.0"
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
    "set_on_diagnosis",
]

# Imported on first use, as in langsmith itself: `--version` needs none of them.
_LATE = {
    **dict.fromkeys(("Client", "SafeClient"), "._client"),
    **dict.fromkeys(("AsyncClient", "SafeAsyncClient"), "._async_client"),
    **dict.fromkeys(("Installation", "install"), "._install"),
    **dict.fromkeys(("Diagnosis", "Finding", "Fix", "Identity"), "._diagnosis"),
    **dict.fromkeys(("SettingInfo", "WorkspaceInfo"), "._diagnosis"),
    **{name: ".errors" for name in __all__ if name.endswith("Error")},
    "errors": ".errors",
    **dict.fromkeys(("Policy", "set_on_diagnosis"), "._policy"),
    "Replay": "._traces.replay",
    "diagnose": "._diagnose",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, and cache it."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _no_fork:
        module = _import_module(_LATE[name], __name__)
    own = f"Safe{name}" if name.endswith("Client") and name[:4] != "Safe" else name
    found = module if name == "errors" else getattr(module, own)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List all public names, including those not imported yet."""
    return sorted({*globals(), *__all__})
