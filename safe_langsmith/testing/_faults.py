"""Responses that a test sets instead of the real ones."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safe_langsmith.testing._access import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = re.compile(r"/api(/v1)?(?=/|$)")
_ONLY_V1 = ("/platform/", "/fleet/", "/agent-builder/", "/beacon/")


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to the client, sent ``delay`` seconds later."""

    status: int
    body: bytes
    headers: dict[str, str]
    delay: float = 0.0


@dataclass(slots=True)
class Rule:
    """A response that a test has set: for which requests, and how many times."""

    path: str
    method: str | None
    status: int | None
    body: bytes
    headers: dict[str, str]
    times: int | None
    delay: float

    def fits(self, method: str, path: str) -> bool:
        """Whether it applies to this request."""
        return self.method in (None, method) and fnmatch.fnmatchcase(path, self.path)


class Rules:
    """The active rules; the newest one wins."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Add a rule, which comes before all others."""
        self._rules.insert(0, rule)

    def take(self, method: str, path: str) -> Rule | None:
        """The rule for this request; counts it as used once."""
        rule = next((r for r in self._rules if r.fits(method, path)), None)
        if rule and rule.times is not None:
            rule.times -= 1
            if rule.times <= 0:
                self._rules.remove(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()


def new_rule(
    path: str,
    method: str | None,
    status: int | None,
    body: object,
    headers: Mapping[str, str] | None,
    times: int | None,
    delay: float,
) -> Rule:
    """Create a rule from the arguments of a test."""
    content = _content(body)
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if "content-type" not in named:
        named["content-type"] = _content_type(content)
    return Rule(
        path=path if path == "*" else routed(path),
        method=method.upper() if method else None,
        status=status,
        body=content,
        headers=named,
        times=times,
        delay=delay,
    )


def has_prefix(path: str) -> bool:
    """Whether a path begins with ``/api`` or ``/api/v1``."""
    return bool(_PREFIX.match(path))


def routed(path: str) -> str:
    """A path without its prefix and its trailing slash.

    ``/api/v1/platform/…`` becomes ``/v1/platform/…``, since both are the same.
    """
    rest = "/" + _PREFIX.sub("", path.partition("?")[0], count=1).strip("/")
    return f"/v1{rest}" if rest.startswith(_ONLY_V1) else rest


def _content(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else as_json(body)


def _content_type(content: bytes) -> str:
    if content[:1] == b"<":
        return "text/html; charset=utf-8"
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"
