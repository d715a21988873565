"""What the text of a LangSmith key reveals, and how to mask keys in other texts.

Pure functions: no network, no files.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from typing import Literal

KeyKind = Literal["personal", "service", "legacy", "oauth", "unknown", "missing"]

_PREFIXES: dict[str, KeyKind] = {
    "lsv2_pt_": "personal",
    "lsv2_sk_": "service",
    "ls__": "legacy",
}
KIND_NAMES: dict[KeyKind, str] = {
    "personal": "personal key",
    "service": "service key",
    "legacy": "legacy key",
    "oauth": "login session",
    "unknown": "key",
    "missing": "none",
}

# Patterns are compiled on first use, to keep imports fast. Each takes linear time. A text
# of more than LONGEST characters cannot be a key, so it is not cleaned or matched as one.
LONGEST = 1_000
# LangSmith does not document the format of its keys. Secret scanners use this pattern; a
# key that does not match it is still sent, and LangSmith decides.
_SHAPE = r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"
_LENGTH = 51
_KEY_IN_TEXT = r"(lsv2_(?:pt|sk)_|ls__)[0-9A-Za-z_]{8,}"
# The fewest characters of a key that are masked in other texts.
_PART = 8
_WORD = r"[0-9A-Za-z_]{8,}"
_INVISIBLE = (
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Also line breaks, marks that change the writing direction, and what cannot be encoded.
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_ASSIGNMENT = r"^((export|set)\s+)?LANG(SMITH|CHAIN)_(API_KEY|WORKSPACE_ID)\s*[=:]\s*"
_PLACEHOLDER = r"(?i)your.?.?.?(lang\w{1,20}.?)?(api.?)?key|placeholder|change.?me|^<.*>$"
_ELLIPSIS = r"(lsv2_(pt|sk)_)?[.\u2026xX*_-]+"
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_OTHER_VENDORS = {
    "sk-ant-": "Anthropic",
    "sk-": "OpenAI",
    "pk-lf-": "Langfuse",
    "gsk_": "Groq",
    "hf_": "Hugging Face",
    "AIza": "Google",
    "ghp_": "GitHub",
}


def kind_of(key: str | None) -> KeyKind:
    """The kind of a key, by its prefix; "missing" if there is none."""
    if not key:
        return "missing"
    return next((k for p, k in _PREFIXES.items() if key.startswith(p)), "unknown")


def mask(key: str | None) -> str:
    """Show at most a key's prefix and its last four characters."""
    if not key:
        return "none"
    prefix = next((p for p in _PREFIXES if key.startswith(p)), "")
    # For a short text, even four characters would reveal too much.
    tail = key[-4:] if len(key) - len(prefix) >= 16 else ""
    return f"{prefix}\u2026{tail if tail.isascii() and tail.isprintable() else ''}"


def describe(key: str | None, kind: KeyKind | None = None) -> str:
    """Kind and mask of a key, such as ``service key lsv2_sk_…9f2c``, or only the kind."""
    name = KIND_NAMES[kind or kind_of(key)]
    return f"{name} {mask(key)}" if key else name


def clean(key: str) -> str:
    """Remove what is not part of a key: invisible characters, quotes, ``Bearer``,
    ``LANGSMITH_API_KEY=``, a trailing comma or comment. The key itself is not changed.
    A text that is too long to contain a key is returned as it is.
    """
    if len(key) > LONGEST:
        return key
    text = re.sub(_INVISIBLE, "", key).strip()
    text = re.sub(_ASSIGNMENT, "", text)
    # Not `\s+#.*$`: quadratic time for a run of blanks.
    text = re.split(r"\s#", text, maxsplit=1)[0]
    text = text.strip().rstrip(",;").strip(_QUOTES + " ")
    text = re.sub(r"(?i)^bearer\s+", "", text).strip(_QUOTES + " ")
    found = re.match(_SHAPE, text)
    # `KEY=v#c` without a space: python-dotenv keeps the comment in the value.
    return found.group() if found and text[found.end() :].startswith("#") else text


def can_be_sent(key: str) -> bool:
    """Whether an HTTP header can hold this text."""
    return key.isascii() and key.isprintable() and key == key.strip()


def is_code(key: str) -> bool:
    """Whether this is code that would read a key, such as a call of `getenv`."""
    code = r"(getenv|environ|userdata\.get|process\.env|\$\{|\$\()"
    return bool(re.search(code, key[:LONGEST]))


def oddity(key: str) -> str | None:
    """What is unusual about the text of a key, or None.

    Only a hint after the server has rejected the key; working keys are never checked.
    """
    length = f"it has {len(key)} characters, and a LangSmith key has {_LENGTH}"
    if len(key) == _LENGTH:
        length = "it has characters that no LangSmith key has"
    around = "it has extra characters around it, such as quotes or a comment"
    if len(key) > LONGEST:
        return length
    if is_code(key):
        return "it is code, not a key"
    if re.search(_PLACEHOLDER, key) or re.fullmatch(_ELLIPSIS, key):
        return "it is a placeholder"
    vendor = next((v for p, v in _OTHER_VENDORS.items() if key.startswith(p)), None)
    if vendor:
        return f"it looks like a key from {vendor}"
    if kind_of(key) in ("personal", "service") and not re.fullmatch(_SHAPE, key):
        return around if re.search(_SHAPE, key.lower()) or clean(key) != key else length
    if kind_of(key) != kind_of(clean(key)):
        return around
    if re.match(r"s?v?2?_(pt|sk)_", key):
        return "its beginning is missing: LangSmith keys begin with lsv2_pt_ or lsv2_sk_"
    if kind_of(key) == "unknown":
        begins = "begins with lsv2_pt_ or lsv2_sk_"
        return f"it does not look like a LangSmith key, which {begins}"
    return None


@functools.lru_cache(maxsize=4)
def _forms(secrets: tuple[str, ...]) -> list[str]:
    """The forms in which secrets may appear in a text, longest first; none is short."""
    forms = {form for s in secrets for form in (s, clean(s), re.sub(_INVISIBLE, "", s))}
    # Each form as JSON escapes it, and all of these as `repr` escapes them.
    forms |= {json.dumps(form)[1:-1] for form in forms}
    forms |= {repr(form)[1:-1] for form in forms}
    return sorted((form for form in forms if len(form) >= _PART), key=len, reverse=True)


@functools.lru_cache(maxsize=4)
def _parts(secrets: tuple[str, ...]) -> frozenset[str]:
    """All 8-character parts of those secrets that are keys, without their prefixes."""
    keys = (f[:LONGEST].lower() for f in _forms(secrets) if kind_of(f) != "unknown")
    rests = [key[len(mask(key).partition("\u2026")[0]) :] for key in keys]
    return frozenset(r[n : n + _PART] for r in rests for n in range(len(r) - _PART + 1))


def _without_parts(word: str, parts: frozenset[str]) -> str:
    """Mask the parts of keys in a word, and what is between them."""
    low = word.lower()
    at = [n for n in range(len(word) - _PART + 1) if low[n : n + _PART] in parts]
    return f"{word[: at[0]]}\u2026{word[at[-1] + _PART :]}" if at else word


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with all keys masked; the same text if it contains none.

    Masks each of ``secrets`` (also in the form that `clean` returns), each part of a key,
    and everything that looks like a key; nothing shorter than 8 characters. Invisible
    characters are removed for that, since a key that contains one would not be found.
    """
    plain = found = re.sub(_INVISIBLE, "", text)
    secrets = tuple(secrets)
    for secret in _forms(secrets):
        found = found.replace(secret, mask(secret))
    if parts := _parts(secrets):
        found = re.sub(_WORD, lambda word: _without_parts(word.group(), parts), found)
    found = re.sub(_KEY_IN_TEXT, lambda key: mask(key.group()), found)
    return text if found == plain else found


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """`masked`, without invisible characters, and with spaces for control characters."""
    text = re.sub(_INVISIBLE, "", masked(text, secrets))
    # GitHub Actions treats this as the start of a command, anywhere in a line.
    return re.sub(_CONTROL, " ", text).replace("##[", "## [")
