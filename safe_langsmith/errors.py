"""One error class for each cause. Each error holds its diagnosis, which contains no key.

LangSmithError (langsmith.utils)
└── AccessDeniedError            access-denied         another cause, or unknown
    ├── WorkspaceRequiredError   workspace-required    also LangSmithUserError
    ├── WorkspaceMismatchError   workspace-mismatch
    ├── ServiceKeyScopeError     service-key-scope
    ├── StaleSettingError        stale-setting
    ├── WrongRegionError         wrong-region
    ├── WrongEndpointError       wrong-endpoint
    ├── KeyMissingError          key-missing           also LangSmithAuthError
    ├── KeyMalformedError        key-malformed         also LangSmithAuthError
    ├── LegacyKeyError           key-legacy            also LangSmithAuthError
    ├── KeyRejectedError         key-rejected          also LangSmithAuthError
    ├── PermissionMissingError   permission-missing
    ├── FeatureUnavailableError  feature-unavailable
    └── BlockedByProxyError      blocked-by-proxy
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, cast

import requests
from langsmith.utils import (
    LangSmithAuthError,
    LangSmithConnectionError,
    LangSmithError,
    LangSmithNotFoundError,
    LangSmithUserError,
)

from safe_langsmith._sdk.fork import no_fork
from safe_langsmith._sdk.modules import connection_errors, httpx, resource_errors

if TYPE_CHECKING:
    from safe_langsmith._diagnosis import Code, Diagnosis, Identity


class AccessDeniedError(LangSmithError):
    """LangSmith refused a request. The base class of all errors of safe_langsmith.

    Its only argument is the diagnosis, or the dict of one, so it survives pickle, copy,
    deepcopy and JSON.
    """

    code: ClassVar[Code] = "access-denied"

    def __init__(self, diagnosis: Diagnosis | dict[str, Any]) -> None:
        if isinstance(diagnosis, dict):
            with no_fork:
                from safe_langsmith._diagnosis import Diagnosis

            diagnosis = Diagnosis.from_dict(diagnosis)
        # Not super(): some of the SDK's classes, as additional bases, require a response.
        Exception.__init__(self, diagnosis)
        self.diagnosis = diagnosis

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What to do. A step that begins with "or" is an alternative."""
        return self.diagnosis.next_steps

    def _render_traceback_(self) -> list[str]:
        """The traceback that IPython displays if this is not caught (documented hook)."""
        with no_fork:
            from safe_langsmith._knowledge.notebook import traceback_lines

        return traceback_lines(self)


class WorkspaceRequiredError(AccessDeniedError, LangSmithUserError):
    """The key needs a workspace, and none reached LangSmith."""

    code = "workspace-required"


class WorkspaceMismatchError(AccessDeniedError):
    """The key has no access to the workspace in the request."""

    code = "workspace-mismatch"


class ServiceKeyScopeError(AccessDeniedError):
    """The service key is valid, but its scope does not include this call."""

    code = "service-key-scope"


class StaleSettingError(AccessDeniedError):
    """The client uses an outdated setting; the newer value works."""

    code = "stale-setting"


class WrongRegionError(AccessDeniedError):
    """The key belongs to another LangSmith region."""

    code = "wrong-region"


class WrongEndpointError(AccessDeniedError):
    """The endpoint is not the URL of a LangSmith API."""

    code = "wrong-endpoint"


class KeyMissingError(AccessDeniedError, LangSmithAuthError):
    """No key was sent."""

    code = "key-missing"


class KeyMalformedError(AccessDeniedError, LangSmithAuthError):
    """The key is not a LangSmith key, or has extra characters around it."""

    code = "key-malformed"


class LegacyKeyError(AccessDeniedError, LangSmithAuthError):
    """An ``ls__`` key, which LangSmith no longer accepts."""

    code = "key-legacy"


class KeyRejectedError(AccessDeniedError, LangSmithAuthError):
    """LangSmith rejected the key."""

    code = "key-rejected"


class PermissionMissingError(AccessDeniedError):
    """The key is valid, but its role lacks the permission that the call needs."""

    code = "permission-missing"


class FeatureUnavailableError(AccessDeniedError):
    """The plan or the settings do not include this feature."""

    code = "feature-unavailable"


class BlockedByProxyError(AccessDeniedError):
    """Something between this machine and LangSmith refused the request."""

    code = "blocked-by-proxy"


# Every class above, by its code.
ERRORS: dict[Code, type[AccessDeniedError]] = {
    AccessDeniedError.code: AccessDeniedError,
    **{error.code: error for error in AccessDeniedError.__subclasses__()},
}

# What the SDK raises for these statuses, whatever the cause: code that catches that also
# catches our error.
_BY_STATUS: dict[int | None, type[Exception]] = {
    401: LangSmithAuthError,
    404: LangSmithNotFoundError,
}
_SDKS = (LangSmithError.__module__, "langsmith.sandbox.")
_ALSO = (ValueError, requests.HTTPError)


def error_for(
    diagnosis: Diagnosis, *, instead_of: Exception | None = None
) -> AccessDeniedError:
    """The error for a diagnosis.

    ``instead_of``: what the SDK raised. The error is also an instance of its class if that
    is the SDK's, a ``ValueError``, or the ``requests.HTTPError`` of a hard delete.
    """
    also: list[type[Exception]] = []
    kind: type[Any] = type(instead_of)
    if kind.__module__.startswith(_SDKS) or kind in _ALSO:
        also.append(kind)
    if diagnosis.status_code in _BY_STATUS:
        also.append(_BY_STATUS[diagnosis.status_code])
    return _made(diagnosis, also)


def identity_in(diagnosis: Diagnosis) -> Identity:
    """The identity in a diagnosis.

    Raises:
        AccessDeniedError: If the request was refused, or could not be sent.
        LangSmithConnectionError: If LangSmith could not be reached, or did not say who
            you are.
    """
    if diagnosis.identity is not None:
        return diagnosis.identity
    lost = LangSmithConnectionError(f"LangSmith did not say who you are.\n{diagnosis}")
    if diagnosis.code in ("ok", "unknown"):
        raise lost
    is_lost = diagnosis.code == "blocked-by-proxy" and diagnosis.status_code is None
    raise error_for(diagnosis, instead_of=lost if is_lost else None)


def resource_error_for(
    diagnosis: Diagnosis, response: httpx.Response, body: object
) -> AccessDeniedError:
    """The error for a diagnosis on the generated resources, such as `client.runs`.

    It is also of the class that they raise for this status, with its ``status_code``,
    ``body``, ``response`` and ``request``. Pickling drops the last two.
    """
    classes = resource_errors()
    status = diagnosis.status_code
    kind = classes.get(status or 0) or classes.get(0)
    error: Any = _made(diagnosis, [kind] if kind else [])
    error.status_code, error.body, error.message = status, body, str(diagnosis)
    error.response, error.request = response, response.request
    return cast("AccessDeniedError", error)


def unsent_resource_error(
    diagnosis: Diagnosis, request: httpx.Request
) -> AccessDeniedError:
    """The error for a request of the generated resources that was not sent."""
    error: Any = _made(diagnosis, [*connection_errors()])
    error.message, error.body, error.request = str(diagnosis), None, request
    return cast("AccessDeniedError", error)


def _made(diagnosis: Diagnosis, also: list[type[Exception]]) -> AccessDeniedError:
    error = ERRORS.get(diagnosis.code, AccessDeniedError)
    classes: list[type[Any]] = [error]
    for kind in also:
        if not any(issubclass(c, kind) for c in classes):
            # If one class is a subclass of another, only the subclass is needed.
            classes = [c for c in classes if c is error or not issubclass(kind, c)]
            classes.append(kind)
    return _joined(tuple(classes))(diagnosis)


@functools.cache
def _joined(classes: tuple[type[Any], ...]) -> type[AccessDeniedError]:
    """A class that adds base classes to an error, under the same name."""
    error: type[AccessDeniedError] = classes[0]
    if len(classes) == 1:
        return error

    def reduce(self: AccessDeniedError) -> tuple[Any, ...]:
        kept = {n: v for n, v in vars(self).items() if n not in ("response", "request")}
        return _rebuild, (classes, self.diagnosis), kept

    body = {"__doc__": error.__doc__, "__module__": __name__, "__reduce__": reduce}
    return type(error.__name__, classes, {**body, "response": None, "request": None})


def _rebuild(classes: tuple[type[Any], ...], diagnosis: Diagnosis) -> AccessDeniedError:
    return _joined(classes)(diagnosis)
