"""Stepping aside: a bug of ours, or a change in the SDK, costs nobody an answer."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

logger = logging.getLogger("safe_langsmith")
_said: set[str] = set()


class PassedOn(Exception):  # noqa: N818  # it carries an error and is none itself
    """Carries an error that the caller gets as it is: the plain client raises it, too."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def warn_once(key: str, text: str) -> None:
    """Log one WARNING for each key in the life of this process."""
    if is_first(key):
        logger.warning("%s", text)


def is_first(key: str) -> bool:
    """Whether this is asked for the first time in the life of this process."""
    if key in _said:
        return False
    _said.add(key)
    return True


def step_aside(task: str, error: BaseException) -> None:
    """Report an error of ours, once for each place; its text may hold a key, so not that.

    ``task``: what failed, as in "could not ...".
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    warn_once(
        place,
        f"safe_langsmith stepped aside: it could not {task} ({type(error).__name__} at "
        f"{place}). You get langsmith's own answer. Please report this line.",
    )


class Guard:
    """A ``with`` block of ours that may fail without the caller noticing more than a line.

    `PassedOn` goes through; so does what is no `Exception`.
    """

    __slots__ = ("task",)

    def __init__(self, task: str) -> None:
        self.task = task

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, PassedOn):
            return False
        step_aside(self.task, error)
        return True
