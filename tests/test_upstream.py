"""The SDK's own tests find no difference between its clients and the safe ones."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from upstream.compare import FAST, SLOW, Unavailable, compare

NEEDED = ("dataclasses_json", "multipart", "pytest_asyncio", "respx")


@pytest.mark.timeout(900)
def test_no_test_of_the_sdk_fails_with_the_safe_client_alone() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"the SDK's tests need {', '.join(missing)}")
    try:
        found = compare(FAST, SLOW)
    except Unavailable as why:
        pytest.skip(str(why))
    assert found.passed_plain > 100, found
    assert not found.differing, found
