"""`langsmith.Client(...)` creates one of ours, whoever calls it.

The class itself stays what it is, so that `isinstance`, subclasses and whoever has imported
it before notice nothing. Only its `__new__` gives an object of our class, which Python then
initializes, without a frame in between.
"""

from __future__ import annotations

import copyreg
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from safe_langsmith._sdk.guard import Guard

# The plain classes, each with the one that is created in its place.
_instead: dict[Any, Any] = {}


def create_instead(kinds: Mapping[Any, Any]) -> None:
    """From now on create these in place of plain ones, and no others."""
    for plain in kinds:
        with Guard(f"watch every {plain.__name__}"):
            if not getattr(vars(plain).get("__new__"), "_safe_is_ours", False):
                plain.__new__ = _new_for(plain)
    _instead.update(kinds)
    for plain in _instead.keys() - kinds.keys():
        del _instead[plain]


def _new_for(plain: Any) -> Any:
    """What creates the objects of a class, and of the classes that others made of it.

    It stays for good: Python does not forget that a class once had a `__new__`, and without
    one `object` would complain about the arguments.
    """

    def __new__(cls: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        ours = _instead.get(cls)
        # A copy is to be what it is copied from.
        if ours and sys._getframe(1).f_code is not copyreg.__newobj__.__code__:  # type: ignore[attr-defined]
            return object.__new__(ours)
        create = super(plain, cls).__new__
        if create is object.__new__:
            return create(cls)
        return create(cls, *args, **kwargs)

    # `inspect.signature` asks a class for its `__new__` before its `__init__`.
    __new__.__signature__ = inspect.signature(plain.__init__)  # type: ignore[attr-defined]
    __new__._safe_is_ours = True  # type: ignore[attr-defined]
    return __new__
