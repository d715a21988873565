"""python-dotenv, imported so that it does not show: does the program itself use it?

A `.env` may drive a repair only if the program uses such files. That it has imported
python-dotenv shows it, so our own import must leave no trace.
"""

from __future__ import annotations

import sys

NAME = "dotenv"
_is_new = NAME not in sys.modules

from dotenv import find_dotenv  # noqa: E402  # the line above must come first
from dotenv.parser import (  # noqa: E402  # the same
    Binding,
    Original,
    Reader,
    parse_stream,
    parse_value,
)

__all__ = [
    "Binding",
    "Original",
    "Reader",
    "find_dotenv",
    "parse_stream",
    "parse_value",
    "program_uses_it",
]

if _is_new:  # pragma: no cover  (in another process, but tested)
    for _name in [n for n in sys.modules if n.partition(".")[0] == NAME]:
        del sys.modules[_name]


def program_uses_it() -> bool:
    """Whether this program has imported python-dotenv, or is a notebook."""
    if NAME in sys.modules:
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
