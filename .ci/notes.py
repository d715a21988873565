"""Print what CHANGELOG.md says about the version of a tag: `python .ci/notes.py v0.2.0`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(tag: str, changelog: str, project: str) -> str:
    """The section of one version, without its heading.

    Raises:
        SystemExit: If the tag is not the project's version, or has no section.
    """
    version = tag.removeprefix("v")
    if f'\nversion = "{version}"\n' not in project:
        raise SystemExit(f"{tag} is not the version in pyproject.toml")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    found = [one.partition("\n")[2].strip() for one in sections if one.startswith(version)]
    if len(found) != 1 or not found[0]:
        raise SystemExit(f"CHANGELOG.md has no section for {version}")
    return found[0]


if __name__ == "__main__":
    texts = [(ROOT / n).read_text("utf-8") for n in ("CHANGELOG.md", "pyproject.toml")]
    print(notes(sys.argv[1], *texts))
