"""Tests for what can be told from the text of a key, and for removing keys from texts."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from safe_langsmith._knowledge.keys import (
    can_be_sent,
    clean,
    describe,
    kind_of,
    mask,
    oddity,
    scrub,
)

PERSONAL = "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"
SERVICE = PERSONAL.replace("_pt_", "_sk_")
LEGACY = "ls__8f3a61c09be74d52a1f0c6e7d8b94325"

hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)
keys = st.builds(
    "lsv2_{}_{}_{}".format,
    st.sampled_from(["pt", "sk"]),
    hexadecimal,
    hexadecimal.map(lambda digits: digits[:10]),
)
# A custom gateway may accept any text as a key.
opaque = st.text("ABCDEFGHJKMNPQRSTUVWXYZ23456789-~+/", min_size=8, max_size=60)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (PERSONAL, "personal"),
        (SERVICE, "service"),
        (LEGACY, "legacy"),
        ("sk-ant-1", "unknown"),
        ("LSV2_PT_1", "unknown"),
        ("", "missing"),
        (None, "missing"),
    ],
)
def test_the_prefix_tells_the_kind(key: str | None, kind: str) -> None:
    assert kind_of(key) == kind


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (PERSONAL, "lsv2_pt_…9e7b"),
        (SERVICE, "lsv2_sk_…9e7b"),
        (LEGACY, "ls__…4325"),
        ("lsv2_pt_0123456789abcde", "lsv2_pt_…"),
        ("an-opaque-key-01", "…y-01"),
        ("hunter2", "…"),
        ("0123456789abcdef\x1b[m", "…"),
        ("0123456789abcdefé", "…"),
        ("", "none"),
        (None, "none"),
    ],
)
def test_a_mask_shows_which_key_is_meant(key: str | None, shown: str) -> None:
    assert mask(key) == shown


@hypothesis.given(st.text())
def test_a_mask_shows_four_characters_at_most(key: str) -> None:
    tail = mask(key).rpartition("…")[2]
    if key:
        assert tail == "" or (len(tail) == 4 and key.endswith(tail) and len(key) >= 16)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (SERVICE, "service key lsv2_sk_…9e7b"),
        ("hunter2", "key …"),
        (None, "none"),
    ],
)
def test_a_key_is_described_by_kind_and_mask(key: str | None, text: str) -> None:
    assert describe(key) == text


def test_a_login_session_has_no_mask_to_show() -> None:
    assert describe(None, "oauth") == "login session"


DIRTY = [
    "\ufeff{}",
    "\u200b{}\u200b",
    "{}\xad",
    "  {}\t\r\n",
    '"{}"',
    "'{}'",
    "`{}`",
    "“{}”",
    "\"'{}'\"",
    "Bearer {}",
    "bearer  {}",
    'Bearer "{}"',
    "LANGSMITH_API_KEY={}",
    'LANGSMITH_API_KEY="{}"',
    "LANGCHAIN_API_KEY = {}",
    "export LANGSMITH_API_KEY={}",
    "set LANGSMITH_API_KEY={}",
    "LANGSMITH_API_KEY: {}",
    "{},",
    '"{}",',
    "{};",
    "{} # mine",
    "{}\t# mine # again",
]


@hypothesis.given(st.sampled_from(DIRTY), keys | opaque)
def test_cleaning_leaves_the_key_as_it_is(dirty: str, key: str) -> None:
    assert clean(dirty.format(key)) == key
    assert clean(key) == key


@hypothesis.given(keys)
def test_cleaning_removes_a_comment_without_a_space(key: str) -> None:
    """`KEY=v#c`: python-dotenv keeps the comment. LangSmith keys contain no `#`."""
    assert clean(f"{key}#mine") == key


@hypothesis.given(opaque)
def test_a_number_sign_inside_an_unknown_key_stays(key: str) -> None:
    assert clean(f"{key}#{key}") == f"{key}#{key}"


@hypothesis.given(st.text())
def test_cleaning_only_removes(text: str) -> None:
    """The characters that are left were in the text, in the same order."""
    left = iter(text)
    assert all(character in left for character in clean(text))


@pytest.mark.parametrize(
    ("key", "sendable"),
    [
        (PERSONAL, True),
        ("any text", True),
        (f"\ufeff{PERSONAL}", False),
        (f"{PERSONAL}\n", False),
        (f" {PERSONAL}", False),
        ("“lsv2”", False),
        ("a\x7fb", False),
    ],
)
def test_what_a_header_can_carry(key: str, sendable: bool) -> None:
    assert can_be_sent(key) is sendable


CODE = "it is code, not a key"
PLACEHOLDER = "it is a placeholder"
AROUND = "it has extra characters around it, such as quotes or a comment"
NO_BEGINNING = "its beginning is missing: LangSmith keys begin with lsv2_pt_ or lsv2_sk_"
NO_KEY = "it does not look like a LangSmith key, which begins with lsv2_pt_ or lsv2_sk_"


@pytest.mark.parametrize(
    ("key", "odd"),
    [
        (PERSONAL, None),
        (SERVICE, None),
        (LEGACY, None),
        ('os.getenv("LANGSMITH_API_KEY")', CODE),
        ("os.environ['LANGSMITH_API_KEY']", CODE),
        ("userdata.get('LANGSMITH_API_KEY')", CODE),
        ("process.env.LANGSMITH_API_KEY", CODE),
        ("${LANGSMITH_API_KEY}", CODE),
        ("$(cat key)", CODE),
        ("<your-api-key>", PLACEHOLDER),
        ("your_langsmith_api_key", PLACEHOLDER),
        ("YOUR_API_KEY_HERE", PLACEHOLDER),
        ("changeme", PLACEHOLDER),
        ("<key>", PLACEHOLDER),
        ("lsv2_pt_...", PLACEHOLDER),
        ("lsv2_sk_xxxxxxxx", PLACEHOLDER),
        ("***", PLACEHOLDER),
        ("sk-ant-api03-abc", "it looks like a key from Anthropic"),
        ("sk-proj-abc", "it looks like a key from OpenAI"),
        ("pk-lf-abc", "it looks like a key from Langfuse"),
        ("gsk_abc", "it looks like a key from Groq"),
        ("hf_abc", "it looks like a key from Hugging Face"),
        ("AIzaSy", "it looks like a key from Google"),
        ("ghp_abc", "it looks like a key from GitHub"),
        (PERSONAL[:40], "it has 40 characters, and a LangSmith key has 51"),
        (f"{PERSONAL[:-1]}x", "it has characters that no LangSmith key has"),
        (f"{PERSONAL}{PERSONAL}", AROUND),
        (f"{PERSONAL},", AROUND),
        (f"Bearer {PERSONAL}", AROUND),
        (f"LANGSMITH_API_KEY={LEGACY}", AROUND),
        (PERSONAL.upper().replace("LSV2_PT", "lsv2_pt"), AROUND),
        (PERSONAL[1:], NO_BEGINNING),
        (PERSONAL[4:], NO_BEGINNING),
        ("hello", NO_KEY),
        ("", None),
    ],
)
def test_what_is_odd_about_a_key(key: str, odd: str | None) -> None:
    assert oddity(key) == odd


@hypothesis.given(st.text())
def test_oddities_show_nothing_of_the_key(key: str) -> None:
    odd = oddity(f"lsv2_pt_{key}QZ")
    assert odd is None or "QZ" not in odd


@hypothesis.given(st.text(), keys | opaque, st.text())
def test_a_key_is_removed_wherever_it_is(before: str, key: str, after: str) -> None:
    assert key not in scrub(f"{before}{key}{after}{key}", [key])


@hypothesis.given(st.text(), keys, st.text())
def test_the_secret_part_of_an_unknown_key_is_removed(
    before: str, key: str, after: str
) -> None:
    """Text that looks like a key is removed, even if it is not a known key."""
    hypothesis.assume(key[8:20] not in before + after)
    assert key[8:40] not in scrub(f"{before}{key}{after}")
    assert key[8:20] not in scrub(f"{before}{key[:20]}{after}")


@hypothesis.given(st.sampled_from(DIRTY), opaque)
def test_the_key_inside_a_dirty_one_is_removed(dirty: str, key: str) -> None:
    """The setting is the uncleaned text, but a server may echo the cleaned key."""
    assert key not in scrub(f"no such key: {key}!", [dirty.format(key)])


@pytest.mark.parametrize("key", [PERSONAL, SERVICE, LEGACY])
@pytest.mark.parametrize(
    "part", [slice(8, None), slice(5, -1), slice(12, 20), slice(-20, None), slice(1, None)]
)
@pytest.mark.parametrize("said", ["no key {}!", "no key x{}", "{}x {}", "id-{}-1"])
def test_every_part_of_a_key_is_removed(key: str, part: slice, said: str) -> None:
    """A server may echo a key without its prefix, or truncated."""
    for shown in (key[part], key[part].upper()):
        struck = scrub(said.format(shown, shown), [f'"{key}"']).lower()
        assert not any(key[n : n + 8] in struck for n in range(8, len(key) - 8))


def test_what_is_not_part_of_a_key_stays() -> None:
    text = "workspace 00000000-8f3a61c-8f3a61c1: lsv2_pt_ is a prefix, and ls__…4325"
    assert scrub(text, [PERSONAL, LEGACY, "workspace"[:4]]) == text


def test_the_longer_of_two_keys_is_removed_first() -> None:
    assert scrub(f"{LEGACY}-more", [LEGACY, f"{LEGACY}-more"]) == "ls__…more"


def test_a_short_key_is_not_removed() -> None:
    """Otherwise, a key like "key" would be removed from ordinary words."""
    assert scrub("the key is refused", ["key", ""]) == "the key is refused"


@hypothesis.given(st.text())
def test_a_scrubbed_text_is_one_line_that_can_be_printed(text: str) -> None:
    scrubbed = scrub(f"{text}\x1b[31m\u2028\u202e\ud800\n")
    assert len(scrubbed.splitlines()) == 1
    assert "\x1b" not in scrubbed
    assert scrubbed.encode()
