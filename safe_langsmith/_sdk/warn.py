"""Makes warnings of the SDK's constructors point at the caller's line, as in the SDK.

The SDK counts frames to find that line, and our wrapper adds one. Python hides a
`DeprecationWarning` that does not point at the program's own code, and
`warnings.catch_warnings` changes the filters of every thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

_OURS = f"{os.path.dirname(os.path.dirname(__file__))}{os.sep}"  # noqa: PTH120
_CALL = compile("call(*args, **kwargs)", "", "exec")


def call_as_caller(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call the SDK from a frame that looks like our caller's: same file, line and globals.

    The SDK's frame count then ends at the same line as it would without safe_langsmith.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    code: CodeType = _CALL.replace(
        co_filename=frame.f_code.co_filename,
        co_firstlineno=frame.f_lineno,
        co_name=frame.f_code.co_name,
    )
    names = {"call": call, "args": args, "kwargs": kwargs}
    exec(code, frame.f_globals, names)  # noqa: S102  # a constant, compiled above
