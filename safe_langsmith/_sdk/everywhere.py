"""Makes `langsmith.Client(...)` create a SafeClient, in any code.

The class itself stays the same, so `isinstance`, subclasses and earlier imports still
work. Only its `__new__` returns a SafeClient, which Python then initializes, without an
extra stack frame.
"""

from __future__ import annotations

import copyreg
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from safe_langsmith._sdk.guard import Guard

# The plain classes, each with the class that is created instead.
_instead: dict[Any, Any] = {}


def create_instead(kinds: Mapping[Any, Any]) -> None:
    """From now on, create these classes instead of the plain ones. ``{}`` undoes it."""
    for plain in kinds:
        with Guard(f"watch every {plain.__name__}"):
            if not getattr(vars(plain).get("__new__"), "_safe_is_ours", False):
                plain.__new__ = _new_for(plain)
    _instead.update(kinds)
    for plain in _instead.keys() - kinds.keys():
        del _instead[plain]


def _new_for(plain: Any) -> Any:
    """The `__new__` of a class and of its subclasses.

    It is never removed: Python remembers that a class once had a `__new__`, and without
    one `object` would reject the arguments.
    """

    def __new__(cls: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        ours = _instead.get(cls)
        # A copy keeps the class of the original.
        if ours and sys._getframe(1).f_code is not copyreg.__newobj__.__code__:  # type: ignore[attr-defined]
            return object.__new__(ours)
        create = super(plain, cls).__new__
        if create is object.__new__:
            return create(cls)
        return create(cls, *args, **kwargs)

    # `inspect.signature` prefers a class's `__new__` to its `__init__`.
    __new__.__signature__ = inspect.signature(plain.__init__)  # type: ignore[attr-defined]
    __new__._safe_is_ours = True  # type: ignore[attr-defined]
    return __new__
