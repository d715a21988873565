"""What a release of langsmith must have for a test; else the test is skipped, and says so.

docs/releases.md has the same for those who use safe_langsmith.
"""

from __future__ import annotations

import langsmith
import pytest

from safe_langsmith._sdk.names import at_least


def needs(release: str, what: str) -> pytest.MarkDecorator:
    """Skip a test with a langsmith that is older than what it tests."""
    text = f"needs langsmith {release}: {what}; this is {langsmith.__version__}"
    return pytest.mark.skipif(not at_least(release), reason=text)


WATCHES_V2 = at_least("0.14.12")
needs_v2 = needs("0.14.12", "the v2 resources ask the client for its key")
