"""If our own code fails, the caller gets the SDK's own result, and one line is logged."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

logger = logging.getLogger("safe_langsmith")
_said: set[str] = set()


class PassedOn(Exception):  # noqa: N818  # it carries an error, but is not one itself
    """Carries an error to the caller unchanged: the plain client raises it too."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def warn_once(key: str, text: str) -> None:
    """Log a WARNING, once per key and process."""
    if is_first(key):
        logger.warning("%s", text)


def is_first(key: str) -> bool:
    """Whether this is the first call with this key in this process."""
    if key in _said:
        return False
    _said.add(key)
    return True


def step_aside(task: str, error: BaseException) -> None:
    """Log an error in our code, once per place. Omits its text, which may contain a key.

    ``task``: what failed, as in "could not ...".
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    warn_once(
        place,
        f"safe_langsmith stepped aside: could not {task} ({type(error).__name__} at "
        f"{place}). You get langsmith's own result. Please report this line.",
    )


class Guard:
    """A ``with`` block that logs and suppresses errors in our code.

    It does not suppress `PassedOn`, or anything that is not an `Exception`.
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
