"""A report as text: the verdict first, the commands last."""

from __future__ import annotations

from safe_langsmith._command.doctor import Report
from safe_langsmith._command.sections import Line, Mark
from safe_langsmith._command.terminal import Look, columns, wrapped

# The mark, what stands for it where the terminal lacks it, and its colour.
_MARKS: dict[Mark, tuple[str, str, str]] = {
    "good": ("\u2713", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "bad": ("\u2717", "x", "red"),
    "unknown": ("?", "?", "cyan"),
    "info": (" ", " ", ""),
}
_NO_PROBLEM: dict[str, Mark] = {"ok": "good", "unknown": "unknown"}
_NAMES = 17


def rendered(report: Report, look: Look) -> str:
    """The report, as this terminal can show it."""
    mark = _NO_PROBLEM.get(report.code, "bad")
    said = f"{report.code}: {report.message}" if mark == "bad" else report.message
    lines = _marked(mark, "", said, look)
    for section in report.sections:
        lines += ["", look.coloured(section.name.capitalize(), "bold")]
        for line in section.lines:
            lines += _line(line, look)
    if report.next_steps:
        lines += ["", look.coloured("Fix", "bold")]
        for step in report.next_steps:
            lines += wrapped(look.shown(step), look.width, "  - ")
    if report.commands:
        several = sum("LANGSMITH_WORKSPACE_ID" in c for c in report.commands) > 1
        choice = ", with the workspace that you mean" if several else ""
        lines += ["", look.coloured(f"Run{choice}", "bold")]
        # A command that is cut cannot be pasted; the terminal itself breaks a long one.
        lines += [f"  {look.shown(command)}" for command in report.commands]
    return "\n".join(lines)


def _line(line: Line, look: Look) -> list[str]:
    name = look.shown(line.name)
    gap = " " * max(_NAMES - columns(name), 1)
    return [f"  {text}" for text in _marked(line.state, f"{name}{gap}", line.text, look, 2)]


def _marked(state: Mark, name: str, text: str, look: Look, indent: int = 0) -> list[str]:
    """A text behind its mark and name; only the mark is coloured, so that it can be cut."""
    mark, in_ascii, colour = _MARKS[state]
    if not look.can_show("".join(signs[0] for signs in _MARKS.values())):
        mark = in_ascii
    lines = wrapped(look.shown(text), look.width - indent, f"{mark} {name}")
    if colour:
        lines[0] = look.coloured(mark, colour) + lines[0][len(mark) :]
    return lines
