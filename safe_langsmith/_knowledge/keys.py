"""What the text of a LangSmith key tells, and how a text is kept free of keys.

Pure functions: nothing is read, nothing is sent.
"""

from __future__ import annotations

import functools
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

# Patterns are compiled when they are used: not when a program starts.
# Each takes time linear in the text, and no text longer than this meets one: whoever
# writes a profile or a `.env` decides how long a key in it is.
LONGEST = 1_000
# LangSmith publishes no grammar for its keys. This shape is what secret scanners
# have settled on, so it serves as a hint and never as a reason to refuse a key.
_SHAPE = r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"
_KEY_IN_TEXT = r"(lsv2_(?:pt|sk)_|ls__)[0-9A-Za-z_]{8,}"
# So many characters of a key are a part of it that nobody may see.
_PART = 8
_WORD = r"[0-9A-Za-z_]{8,}"
_INVISIBLE = (
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Also what breaks a line, changes the direction of writing, or cannot be encoded.
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
    """Tell the kind of a key by its prefix."""
    if not key:
        return "missing"
    return next((k for p, k in _PREFIXES.items() if key.startswith(p)), "unknown")


def mask(key: str | None) -> str:
    """Show which key is meant: its prefix and last four characters, never more."""
    if not key:
        return "none"
    prefix = next((p for p in _PREFIXES if key.startswith(p)), "")
    # A short text has no four characters to spare.
    tail = key[-4:] if len(key) - len(prefix) >= 16 else ""
    return f"{prefix}\u2026{tail if tail.isascii() and tail.isprintable() else ''}"


def describe(key: str | None, kind: KeyKind | None = None) -> str:
    """Say kind and mask of a key, such as ``service key lsv2_sk_…9f2c``."""
    kind = kind or kind_of(key)
    return KIND_NAMES[kind] if kind == "missing" else f"{KIND_NAMES[kind]} {mask(key)}"


def clean(key: str) -> str:
    """Take off what is not part of a key: invisible characters, quotes, ``Bearer``,
    ``LANGSMITH_API_KEY=``, a trailing comma or comment. The key itself stays as it is.
    So does a text that is too long to be a key with something around it.
    """
    if len(key) > LONGEST:
        return key
    text = re.sub(_INVISIBLE, "", key).strip()
    text = re.sub(_ASSIGNMENT, "", text)
    # Not `\s+#.*$`: that takes quadratic time for a run of blanks.
    text = re.split(r"\s#", text, maxsplit=1)[0]
    text = text.strip().rstrip(",;").strip(_QUOTES + " ")
    text = re.sub(r"(?i)^bearer\s+", "", text).strip(_QUOTES + " ")
    found = re.match(_SHAPE, text)
    # `KEY=v#c` without a space: python-dotenv keeps the comment in the value.
    return found.group() if found and text[found.end() :].startswith("#") else text


def can_be_sent(key: str) -> bool:
    """Whether an HTTP header can carry this text at all."""
    return key.isascii() and key.isprintable() and key == key.strip()


def is_code(key: str) -> bool:
    """Whether this is code that would give a key, where only text is taken."""
    code = r"(getenv|environ|userdata\.get|process\.env|\$\{|\$\()"
    return bool(re.search(code, key[:LONGEST]))


def oddity(key: str) -> str | None:
    """Say what is odd about the text of a key, or None.

    A hint for a key that the server has refused; a key that works is never held to it.
    """
    length = f"it has {len(key)} characters, and a LangSmith key has 51"
    around = "it has extra characters around it, such as quotes or a comment"
    if len(key) > LONGEST:
        return length
    if is_code(key):
        return "it is code, not a key"
    if re.search(_PLACEHOLDER, key) or re.fullmatch(_ELLIPSIS, key):
        return "it is a placeholder"
    vendor = next((v for p, v in _OTHER_VENDORS.items() if key.startswith(p)), None)
    if vendor:
        return f"it looks like a key of {vendor}"
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
    """The forms in which secrets may stand in a text, the longest first."""
    forms = {form for s in secrets for form in (s, clean(s), re.sub(_INVISIBLE, "", s))}
    return sorted((form for form in forms if len(form) >= 8), key=len, reverse=True)


@functools.lru_cache(maxsize=4)
def _parts(secrets: tuple[str, ...]) -> frozenset[str]:
    """What stands in the keys among these behind their prefixes, in pieces."""
    keys = (f[:LONGEST].lower() for f in _forms(secrets) if kind_of(f) != "unknown")
    rests = [key[len(mask(key).partition("\u2026")[0]) :] for key in keys]
    return frozenset(r[n : n + _PART] for r in rests for n in range(len(r) - _PART + 1))


def _without_parts(run: str, parts: frozenset[str]) -> str:
    """A word without what it shows of a key."""
    low = run.lower()
    at = [n for n in range(len(run) - _PART + 1) if low[n : n + _PART] in parts]
    return f"{run[: at[0]]}\u2026{run[at[-1] + _PART :]}" if at else run


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Strike keys and control characters out of a text that people will see.

    ``secrets`` are struck out wherever they stand, also as `clean` leaves them, and so is
    each part of a key; besides, whatever looks like a key. Invisible characters go first:
    within a key they would hide it.
    """
    text = re.sub(_INVISIBLE, "", text)
    secrets = tuple(secrets)
    for secret in _forms(secrets):
        text = text.replace(secret, mask(secret))
    if parts := _parts(secrets):
        text = re.sub(_WORD, lambda found: _without_parts(found.group(), parts), text)
    text = re.sub(_KEY_IN_TEXT, lambda found: mask(found.group()), text)
    # GitHub Actions takes this for the beginning of a command, wherever it stands.
    return re.sub(_CONTROL, " ", text).replace("##[", "## [")
