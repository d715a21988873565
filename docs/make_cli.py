"""Write `cli.md`, the page of all commands, from the parser of ``safe-langsmith``."""

from __future__ import annotations

import argparse
from pathlib import Path

from safe_langsmith._command.cli import _parser

_HEAD = """\
# CLI

<!-- Written by make_cli.py. Change safe_langsmith/_command/, and run it again. -->

`python -m safe_langsmith` is the same as `safe-langsmith`.

| command | what it does |
|---|---|
"""
_FIRST = {"doctor": "What its report means: [The doctor](doctor.md)."}


def page() -> str:
    """Return the page as Markdown."""
    (commands,) = (
        a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)
    )
    about = {a.dest: a.help for a in commands._choices_actions}
    rows = (f"| [`{name}`](#{name}) | {text} |\n" for name, text in about.items())
    parts = (_command(name, parser) for name, parser in commands.choices.items())
    return _HEAD + "".join(rows) + "".join(parts)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    examples, _, rest = (parser.epilog or "").partition("\n\n")
    shown = "\n".join(line.strip() for line in examples.splitlines()[1:])
    parts = [f"\n## {name}", parser.description or "", _FIRST.get(name, "")]
    parts += [f"```console\n{shown}\n```", _arguments(parser)]
    parts += [rest.replace("exit code:", "Exit code:")]
    return "\n".join(f"{part}\n" for part in parts if part)


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = [
        f"| {_names(action)} | {action.help} |"
        for action in parser._actions
        if action.help and action.dest != "help"
    ]
    return "\n".join(["| option | |", "|---|---|", *rows]) if rows else ""


def _names(action: argparse.Action) -> str:
    metavar = f" {action.metavar}" if action.metavar else ""
    names = action.option_strings or [""]
    return ", ".join(f"`{name + metavar}`".replace("` ", "`") for name in names)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
