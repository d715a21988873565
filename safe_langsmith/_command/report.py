"""A report as text: the verdict first, the commands last."""

from __future__ import annotations

from safe_langsmith._command.doctor import Report
from safe_langsmith._command.sections import Line, Mark
from safe_langsmith._command.terminal import Look, columns, wrapped

_MARKS: dict[Mark, str] = {
    "good": "\u2713",
    "warning": "!",
    "bad": "\u2717",
    "unknown": "?",
    "info": " ",
}
_ASCII: dict[Mark, str] = {**_MARKS, "good": "+", "bad": "x"}
_COLOURS: dict[Mark, str] = {
    "good": "green",
    "warning": "yellow",
    "bad": "red",
    "unknown": "cyan",
}
_NO_PROBLEM: dict[str, Mark] = {"ok": "good", "unknown": "unknown"}
_NAMES = 17


def rendered(report: Report, look: Look) -> str:
    """The report, as this terminal can show it."""
    lines = _verdict(report, look)
    for section in report.sections:
        lines += ["", _title(section.name.capitalize(), look)]
        for line in section.lines:
            lines += _line(line, look)
    if report.next_steps:
        lines += ["", _title("Fix", look)]
        for step in report.next_steps:
            lines += wrapped(look.shown(step), look.width, "  - ")
    if report.commands:
        several = sum("LANGSMITH_WORKSPACE_ID" in c for c in report.commands) > 1
        choice = ", with the workspace that you mean" if several else ""
        lines += ["", _title(f"Run{choice}", look)]
        # A command that is cut cannot be pasted; the terminal itself breaks a long one.
        lines += [f"  {look.shown(command)}" for command in report.commands]
    return "\n".join(lines)


def _verdict(report: Report, look: Look) -> list[str]:
    if report.code in _NO_PROBLEM:
        return _marked(_NO_PROBLEM[report.code], "", report.message, look)
    return _marked("bad", "", f"{report.code}: {report.message}", look)


def _line(line: Line, look: Look) -> list[str]:
    name = look.shown(line.name)
    gap = " " * max(_NAMES - columns(name), 1)
    return [f"  {text}" for text in _marked(line.state, f"{name}{gap}", line.text, look, 2)]


def _marked(state: Mark, name: str, text: str, look: Look, indent: int = 0) -> list[str]:
    """A text behind its mark and name; only the mark is coloured, so that it can be cut."""
    marks = _MARKS if look.can_show("".join(_MARKS.values())) else _ASCII
    mark = marks[state]
    lines = wrapped(look.shown(text), look.width - indent, f"{mark} {name}")
    if state in _COLOURS:
        lines[0] = look.coloured(mark, _COLOURS[state]) + lines[0][len(mark) :]
    return lines


def _title(text: str, look: Look) -> str:
    return look.coloured(text, "bold")
