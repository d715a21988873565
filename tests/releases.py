"""Skip tests that need a newer langsmith than the installed one, with a reason.

docs/releases.md lists the same differences for users.
"""

from __future__ import annotations

import importlib
from typing import Any

import langsmith
import pytest

from safe_langsmith._sdk.names import at_least


def needs(release: str, what: str) -> pytest.MarkDecorator:
    """Skip a test if langsmith is older than this release."""
    text = f"needs langsmith {release}: {what}; this is {langsmith.__version__}"
    return pytest.mark.skipif(not at_least(release), reason=text)


def module_of(name: str, release: str) -> Any:
    """Import a module that needs this release of langsmith, or skip the test file."""
    if not at_least(release):
        text = f"needs langsmith {release}: {name}; this is {langsmith.__version__}"
        pytest.skip(text, allow_module_level=True)
    return importlib.import_module(name)


WATCHES_V2 = at_least("0.14.12")
needs_v2 = needs("0.14.12", "the v2 resources ask the client for its key")
# A parameter for tests that run in several ways.
RESOURCES = pytest.param("resources", marks=needs_v2)
needs_export_path = needs("0.14.9", "exports go to /otel/v1/traces")
needs_rewindable_bodies = needs("0.12.3", "a body above 20 MB can be sent twice")
# Flaky with 0.10.0; 0.14.12 is the oldest release that is known to be stable.
needs_steady_plugin = needs("0.14.12", "the pytest plugin always sends the inputs")
