"""How a notebook displays uncaught errors, repairs and tables.

IPython is never imported here: if it is not loaded already, this is not a notebook.
"""

from __future__ import annotations

import html
import linecache
import sys
import traceback
from collections.abc import Iterable
from types import CodeType
from typing import Any, Literal, NamedTuple

from safe_langsmith._knowledge.installed import is_installed

# IPython's default for %xmode.
_USUAL_MODE = "Context"
# Readable on white and on black; other text keeps the page's color.
_COLORS = {"good": "#218a4c", "bad": "#d9473c", "unknown": "#9a7400"}
MARKS = {"good": "\u2713", "bad": "\u2717", "unknown": "?"}


class Row(NamedTuple):
    """A row of a table: its name, a text, and optionally its state.

    ``word`` is displayed for the state; empty means the state itself.
    """

    name: str
    text: str
    state: Literal["good", "bad", "unknown", ""] = ""
    word: str = ""


def table(rows: Iterable[Row]) -> str:
    """An HTML table that fits light and dark, narrow and wide pages. Escapes every text."""
    head = ' style="text-align: left; vertical-align: top; white-space: nowrap"'
    cell = ' style="text-align: left; white-space: pre-wrap; overflow-wrap: anywhere"'
    lines = (
        f"<tr><th{head}>{html.escape(row.name)}</th><td{cell}>{_stated(row)}</td></tr>"
        for row in rows
    )
    return f"<table>{''.join(lines)}</table>"


def _stated(row: Row) -> str:
    """The text of a row, after its state in color and in words."""
    text = html.escape(row.text)
    if not row.state:
        return text
    word = html.escape(f"{MARKS[row.state]} {row.word or row.state}")
    return f'<b style="color: {_COLORS[row.state]}">{word}</b> {text}'


def show_repair(line: str) -> bool:
    """Display a repair as output of the cell. Returns False outside a notebook."""
    module = sys.modules.get("IPython")
    shell: Any = module and module.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return False
    shown = _stated(Row("", line, "good", "repaired"))
    div = f'<div style="overflow-wrap: anywhere">{shown}</div>'
    shell.display_pub.publish({"text/plain": line, "text/html": div})
    return True


def traceback_lines(error: BaseException) -> list[str]:
    """The short form of an error in IPython, or the full traceback if that was requested.

    Users request it with another mode (`%xmode Verbose`, `%tb Verbose`), or by calling
    `%tb` later, when the error is no longer being handled.
    """
    module = sys.modules.get("IPython")
    shell: Any = module and module.get_ipython()
    trace = (type(error), error, error.__traceback__)
    if shell is None:
        return traceback.format_exception(*trace)
    if sys.exc_info()[1] is not error or shell.InteractiveTB.mode != _USUAL_MODE:
        return list(shell.InteractiveTB.structured_traceback(*trace))
    what = f"{type(error).__name__}: {error}"
    return [what, *_called_from(error, shell), "  traceback: %tb"]


def _called_from(error: BaseException, shell: Any) -> list[str]:
    """The last line of the user's own code that led to the error, if there is one."""
    own = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_own(frame.f_code, frame.f_globals.get("__name__", ""))
    ]
    if not own:
        return []
    code, line = own[-1]
    text = linecache.getline(code.co_filename, line).strip()
    # The cell's name as IPython shows it, or the file's. Colab's older IPython lacks this
    # method; its cells have readable file names.
    name_of_cell = getattr(shell.compile, "format_code_name", lambda _: None)
    label = name_of_cell(code.co_filename)
    place = " ".join(label) if label else code.co_filename
    return [f"  called:    {place}, line {line}: {text}".rstrip(": ")]


def _is_own(code: CodeType, module: str) -> bool:
    """Whether code is the user's own: not installed, nor part of Python or langsmith."""
    if module == "__main__":
        return True
    file, package = code.co_filename, module.partition(".")[0]
    is_ours = package in ("langsmith", "safe_langsmith")
    return not (is_ours or is_installed(file) or file.startswith("<frozen"))
