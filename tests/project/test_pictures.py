"""Tests that pictures show the doctor's current output, and contain no key or URL."""

from __future__ import annotations

import html
import re

import pytest
from pages import DOCS, script

pytestmark = pytest.mark.slow
PICTURES = script("make_pictures")


def words(svg: str) -> list[str]:
    """Return the words in a picture, with version numbers masked."""
    parts = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    said = html.unescape(" ".join(parts)).split()
    return ["1.2.3" if re.fullmatch(r"\d+\.\d+\.\d+\S*", word) else word for word in said]


@pytest.mark.parametrize("name", PICTURES.PICTURES)
def test_a_picture_is_current(name: str) -> None:
    drawn = (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    now = words(PICTURES.picture(name))
    assert "safe-langsmith" in now
    assert words(drawn) == now, "run: python docs/make_pictures.py"
    assert not re.search(r"lsv2_.._[0-9a-f]{5}|@import|url\(http", drawn)


def test_all_pictures_are_drawn_here() -> None:
    assert {path.stem for path in (DOCS / "pictures").iterdir()} == set(PICTURES.PICTURES)
