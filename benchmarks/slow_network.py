"""Simulate a slow network, for everything that uses `requests`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests


@contextmanager
def slow_network(delay: float) -> Iterator[None]:
    """Delay each request by this many seconds."""
    send = requests.adapters.HTTPAdapter.send

    def slow(self: Any, *args: Any, **kwargs: Any) -> requests.Response:
        time.sleep(delay)
        return send(self, *args, **kwargs)

    requests.adapters.HTTPAdapter.send = slow  # type: ignore[method-assign]
    try:
        yield
    finally:
        requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]
