"""Masks keys and logins in the SDK's errors and log lines, which we only pass on.

They quote URLs, headers and the server. Runs after any error, so it imports little.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from safe_langsmith._knowledge.keys import masked
from safe_langsmith._sdk.clients import destinations_of, given_headers, headers_of
from safe_langsmith._sdk.guard import Guard

# The SDK or requests sets these, too, and they are no secrets.
_PUBLIC = {
    *("x-tenant-id", "accept", "accept-encoding", "connection", "content-type"),
    "user-agent",
}
_MOST_ERRORS, _LONGEST_TEXT = 30, 1_000_000
_LOGGERS = tuple(map(logging.getLogger, ("langsmith.client", "langsmith.async_client")))


def causes(
    error: BaseException, before: BaseException | None = None
) -> Iterator[BaseException]:
    """An error and all its causes, from the outermost to the innermost.

    ``before``: the exception that was being handled before it; it is unrelated.
    """
    seen, left = {id(before)}, [error]
    while left and len(seen) < _MOST_ERRORS:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        several = getattr(one, "exceptions", ())  # in an exception group
        linked = (one.__cause__, getattr(one, "reason", None), *several, *one.args)
        left = [
            e for e in (*linked, one.__context__) if isinstance(e, BaseException)
        ] + left


def text_of(value: str | bytes | None) -> str | None:
    """A header's value as text, or None if it is missing or empty."""
    return value.decode("latin-1") if isinstance(value, bytes) else value or None


def secrets_in(owner: Any, headers: Mapping[str, Any]) -> tuple[str, ...]:
    """Credentials in a request besides its key: a server may echo them in its response."""
    session = getattr(owner, "session", None)
    of_session: Mapping[str, Any] = getattr(session, "headers", {})
    given = {name.lower() for name in (*given_headers(owner), *of_session)} - _PUBLIC
    headers = {**of_session, **headers}
    names = {*given, "authorization", "cookie", "x-service-key"}
    values = [text_of(v) or "" for n, v in headers.items() if n.lower() in names]
    values += [str(value) for value in getattr(session, "cookies", {}).values()]
    login = getattr(session, "auth", None)
    values += [text_of(login[1]) or ""] if isinstance(login, tuple) else []
    words = [word for value in values for word in value.replace(";", " ").split()]
    values += [*words, *(word.partition("=")[2] for word in words)]
    return (*values, *(p for word in words for p in _login(word)), *_passwords(owner))


def _login(word: str) -> Iterator[str]:
    """The password, if this is the login of an Authorization header."""
    with contextlib.suppress(ValueError):
        yield base64.b64decode(word, validate=True).decode("latin-1").partition(":")[2]


def _passwords(owner: Any) -> Iterator[str]:
    for url in destinations_of(owner):
        with contextlib.suppress(ValueError):
            yield unquote(urlsplit(url).password or "")
            yield urlsplit(url).password or ""


def hide_keys(
    client: Any, error: BaseException, before: BaseException | None = None
) -> None:
    """Mask keys and logins in an error of the SDK, its causes, and what is logged next."""
    sent = {**given_headers(client), **headers_of(client)}
    keys = (value for name, value in sent.items() if name.lower() == "x-api-key")
    secrets = [key for key in (*keys, *destinations_of(client).values()) if key]
    # The SDK's mask shows a key's first 5 characters. They are secret, unless `lsv2_`.
    others = [key for key in secrets if not key.startswith("lsv2_")]
    secrets += [f"{key[:5]}{'*' * (len(key) - 7)}{key[-2:]}" for key in others]

    secrets += secrets_in(client, sent)

    def safe(value: Any) -> Any:
        if isinstance(value, str):
            return masked(value[:_LONGEST_TEXT], secrets)
        # The body of an error of the v2 resources.
        if isinstance(value, dict):
            return {name: safe(one) for name, one in value.items()}
        return [*map(safe, value)] if isinstance(value, list) else value

    for one in causes(error, before):
        one.args = tuple(map(safe, one.args))
        # With two arguments, the text of an OSError (such as an HTTPError) is in these.
        own = ("errno", "strerror") if isinstance(one, OSError) else ()
        for name in (*vars(one), *own):
            old = getattr(one, name)
            # An OSError whose `strerror` was set, even to None, does not show its args.
            if (new := safe(old)) != old:
                setattr(one, name, new)
    for logger in _LOGGERS:
        logger.addFilter(_mask)  # a logger adds the same filter only once


def _mask(record: logging.LogRecord) -> bool:
    # Unlike an error in a handler, one in a filter would reach the caller.
    with Guard("mask keys in a log line"):
        said = record.getMessage()[:_LONGEST_TEXT]
        if said != (safe := masked(said)):
            record.msg, record.args = safe, ()
    return True
