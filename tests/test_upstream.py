"""The SDK's own tests find no difference between its clients and the safe ones."""

from __future__ import annotations

import pytest
from upstream.compare import FAST, SLOW, Unavailable, compare

pytest.importorskip("pytest_asyncio", reason="the SDK's tests need pytest-asyncio")
pytest.importorskip("respx", reason="the SDK's tests of the generated client need respx")


def test_no_test_of_the_sdk_fails_with_the_safe_client_alone() -> None:
    try:
        found = compare(FAST, SLOW)
    except Unavailable as why:
        pytest.skip(str(why))
    assert found.passed_plain > 100, found
    assert not found.differing, found
