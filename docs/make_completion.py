"""Write the shell scripts that `safe-langsmith completion` prints."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from safe_langsmith._command.cli import _file, _parser
from safe_langsmith._command.explanations import EXPLANATIONS

SHELLS = ("bash", "zsh")
FOLDER = Path(__file__).parent.parent / "safe_langsmith" / "_command" / "completion"


def scripts() -> dict[str, str]:
    """Return the script for each shell."""
    parser = _parser()
    _tell_more(parser)
    return {shell: _tidy(shtab.complete(parser, shell=shell)) for shell in SHELLS}


def _tell_more(parser: argparse.ArgumentParser) -> None:
    """Mark the arguments that are files, folders, or error codes."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _tell_more(command)
        elif action.type is _file:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar == "CODE":
            action.choices = [e.code for e in EXPLANATIONS]


def _tidy(script: str) -> str:
    return "\n".join(line.rstrip() for line in script.rstrip().splitlines()) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in scripts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
