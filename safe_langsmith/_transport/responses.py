"""Quick checks of a response of `requests`. Runs for every request."""

from __future__ import annotations

from typing import Any

import requests

from safe_langsmith._knowledge.access import came_as_get, may_be_refusal

# Set on a response that was checked: the diagnosis, or None after a repair.
FOUND = "safe_langsmith.found"
# The hooks of a redirected request hold the original request under this name.
REDIRECTED = "safe_langsmith.redirected"


def first_request(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request that the SDK made: the original, if this is a redirect's copy.

    On a redirect, our hook stores the original in `request.hooks`, which copies share.
    """
    first: Any = request.hooks.get(REDIRECTED)
    return first or request


def lost_its_method(request: requests.PreparedRequest) -> bool:
    """Whether a redirect to another host has turned another method into GET."""
    first = first_request(request)
    before, after = ((one.method or "", one.url or "") for one in (first, request))
    return came_as_get(before, after)


def is_hard_delete(url: str) -> bool:
    """Whether the SDK makes this call without `request_with_retries`."""
    return url.partition("?")[0].endswith("/platform/datasets/examples/delete")


def is_suspect(response: requests.Response) -> bool:
    """Whether a response needs a closer look. Runs for every request."""
    kind = response.headers.get("Content-Type", "")
    if may_be_refusal(response.status_code, kind, response.url):
        return True
    return REDIRECTED in response.request.hooks and lost_its_method(response.request)


def response_behind(
    error: BaseException | None, before: BaseException | None
) -> requests.Response | None:
    """The response that an error of the SDK is about, or None.

    ``before``: the exception that was being handled before the request; it is unrelated.
    """
    while error is not None and error is not before:
        response = getattr(error, "response", None)
        if isinstance(error, requests.RequestException) and response is not None:
            return response if isinstance(response, requests.Response) else None
        error = error.__cause__ or error.__context__
    return None
