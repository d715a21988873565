"""What a release of langsmith must have for a test; else the test is skipped, and says so.

docs/releases.md has the same for those who use safe_langsmith.
"""

from __future__ import annotations

import importlib
from typing import Any

import langsmith
import pytest

from safe_langsmith._sdk.names import at_least


def needs(release: str, what: str) -> pytest.MarkDecorator:
    """Skip a test with a langsmith that is older than what it tests."""
    text = f"needs langsmith {release}: {what}; this is {langsmith.__version__}"
    return pytest.mark.skipif(not at_least(release), reason=text)


def module_of(name: str, release: str) -> Any:
    """A module that needs a release of langsmith: without that, the file is skipped."""
    if not at_least(release):
        text = f"needs langsmith {release}: {name}; this is {langsmith.__version__}"
        pytest.skip(text, allow_module_level=True)
    return importlib.import_module(name)


WATCHES_V2 = at_least("0.14.12")
needs_v2 = needs("0.14.12", "the v2 resources ask the client for its key")
# One of the ways that a test goes.
RESOURCES = pytest.param("resources", marks=needs_v2)
needs_export_path = needs("0.14.9", "what it exports goes to /otel/v1/traces")
needs_rewindable_bodies = needs("0.12.3", "a body above 20 MB can be sent twice")
# Seen with 0.10.0; 0.14.12 is the oldest that is known to be steady.
needs_steady_plugin = needs("0.14.12", "the plugin for pytest sends the inputs each time")
