"""Masks keys in the SDK's errors and log lines, which we only pass on.

They quote URLs, headers and the server. Runs after any error, so it imports little.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from safe_langsmith._knowledge.keys import masked
from safe_langsmith._sdk.clients import destinations_of, headers_of
from safe_langsmith._sdk.guard import Guard

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


def hide_keys(
    client: Any, error: BaseException, before: BaseException | None = None
) -> None:
    """Mask keys in an error of the SDK, in its causes, and in what the SDK logs next."""
    sent = {name.lower(): value for name, value in headers_of(client).items()}
    keys = (sent.get("x-api-key"), sent.get("authorization"))
    secrets = [key for key in (*keys, *destinations_of(client).values()) if key]
    # The SDK masks a key as `lsv2_***9f`; another one may not begin with a public prefix.
    others = [key for key in secrets if not key.startswith("lsv2_")]
    secrets += [f"{key[:5]}{'*' * (len(key) - 7)}{key[-2:]}" for key in others]

    def safe(value: Any) -> Any:
        return masked(value[:_LONGEST_TEXT], secrets) if isinstance(value, str) else value

    for one in causes(error, before):
        one.args = tuple(map(safe, one.args))
        # With two arguments, the text of an OSError (such as an HTTPError) is in these.
        own = ("errno", "strerror") if isinstance(one, OSError) else ()
        for name in (*vars(one), *own):
            setattr(one, name, safe(getattr(one, name)))
    for logger in _LOGGERS:
        logger.addFilter(_mask)  # a logger adds the same filter only once


def _mask(record: logging.LogRecord) -> bool:
    # Unlike an error in a handler, one in a filter would reach the caller.
    with Guard("mask keys in a log line"):
        said = record.getMessage()[:_LONGEST_TEXT]
        if said != (safe := masked(said)):
            record.msg, record.args = safe, ()
    return True
