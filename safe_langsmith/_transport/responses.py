"""What can be told of a response of `requests` at a glance. Runs for every request."""

from __future__ import annotations

from typing import Any

import requests

from safe_langsmith._knowledge.access import came_as_get, may_be_refusal

# Left on a response that was looked at: what was found, or None.
FOUND = "safe_langsmith.found"
# Under this name the hooks of a request hold the request that was redirected first.
REDIRECTED = "safe_langsmith.redirected"


def first_request(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request that the SDK made, if this is what requests made of it for a redirect.

    Copies of a request share its hooks; the hook puts the first one there.
    """
    first: Any = request.hooks.get(REDIRECTED)
    return first or request


def lost_its_method(request: requests.PreparedRequest) -> bool:
    """Whether this is what a redirect to another host has left of a request."""
    first = first_request(request)
    before, after = ((one.method or "", one.url or "") for one in (first, request))
    return came_as_get(before, after)


def is_hard_delete(url: str) -> bool:
    """Whether this is a call that the SDK makes around `request_with_retries`."""
    return url.partition("?")[0].endswith("/platform/datasets/examples/delete")


def is_suspect(response: requests.Response) -> bool:
    """Whether a response is worth a second look. Runs for every request."""
    kind = response.headers.get("Content-Type", "")
    if may_be_refusal(response.status_code, kind, response.url):
        return True
    return REDIRECTED in response.request.hooks and lost_its_method(response.request)


def response_behind(
    error: BaseException | None, before: BaseException | None
) -> requests.Response | None:
    """The response that one of the SDK's errors is about, or None.

    ``before``: what was being handled when the request began; that is not about it.
    """
    while error is not None and error is not before:
        response = getattr(error, "response", None)
        if isinstance(error, requests.RequestException) and response is not None:
            return response if isinstance(response, requests.Response) else None
        error = error.__cause__ or error.__context__
    return None
