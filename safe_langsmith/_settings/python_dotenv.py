"""Imports python-dotenv unnoticed, to tell whether the program itself uses it.

A repair may use a `.env` file only if the program uses such files. If it does,
python-dotenv is in `sys.modules`, so our own import must not be visible there. Other
modules import from here what they need of python-dotenv.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

from safe_langsmith._knowledge.installed import is_installed

NAME = "dotenv"
_is_new = NAME not in sys.modules

from dotenv import find_dotenv  # noqa: E402  # after _is_new, which it would change
from dotenv.parser import Binding, Reader, parse_stream, parse_value  # noqa: E402  # the same

# The variables that our command has put into os.environ, as load_dotenv() would, each
# with its line.
LOADED: dict[str, str] = {}
__all__ = ["LOADED", "Binding", "Reader", "find_dotenv", "parse_stream", "parse_value"]

if _is_new:  # pragma: no cover  (in another process, but tested)
    for _name in [n for n in sys.modules if n.partition(".")[0] == NAME]:
        del sys.modules[_name]


def program_uses_it() -> bool:
    """Whether this program has imported python-dotenv itself, or is a notebook.

    An import by an installed package does not count: it may have other reasons.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if hasattr(shell, "kernel"):
        return True
    return NAME in sys.modules and any(map(_names_it, _modules_of_the_program()))


def _modules_of_the_program() -> Iterator[ModuleType]:
    """The program's own modules: not installed, and not part of Python or of us."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        file = file if isinstance(file, str) else ""
        not_ours = file and not name.startswith("safe_langsmith")
        if (not_ours or name == "__main__") and not is_installed(file):
            yield module


def _names_it(module: ModuleType) -> bool:
    """Whether python-dotenv, or something from it, is bound to a name in a module."""
    for value in list(vars(module).values()):
        name = getattr(value, "__module__", None) or getattr(value, "__name__", "")
        if str(name).partition(".")[0] == NAME:
            return True
    return False
