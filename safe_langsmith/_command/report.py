"""The report as text: short, to fit on one screen, or with every section."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import accumulate

from safe_langsmith._command.doctor import Report, in_words
from safe_langsmith._command.facts import Line, Mark
from safe_langsmith._command.sections import ALL, SHOWN_WORKSPACES, Section
from safe_langsmith._command.terminal import Look, columns, cut, wrapped
from safe_langsmith._diagnosis import explain_command, listed
from safe_langsmith._settings.sources import Setting

# The mark, its ASCII replacement, and its colour.
_MARKS: dict[Mark, tuple[str, str, str]] = {
    "good": ("\u2713", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "bad": ("\u2717", "x", "red"),
    "unknown": ("?", "?", "cyan"),
    "info": (" ", " ", ""),
}
_COLOUR = re.compile(r"\x1b\[\d+m")
_NAMES, _SHORT_NAMES = 17, 11
# A terminal has 24 rows; the prompt takes one.
_ROWS = 22
_LEAST, _LONGEST_NAME, _FEW = 10, 40, 4
# A second space, which `wrapped` would drop.
_GAP = "\0"
# The doctor does not see what a program passes to its clients.
_STILL = "If your program still gets a 403: safe-langsmith run -- python your_program.py"
_MORE = "Details: safe-langsmith doctor -v"


def rendered(report: Report, look: Look, *, verbose: bool = False, run: bool = True) -> str:
    """The report, for this terminal.

    Args:
        report: The report.
        look: What the terminal can show.
        verbose: Show every section, not only what fits on one screen.
        run: Whether to show the commands to run.
    """
    lines = _in_full(report, look, run) if verbose else _in_short(report, look, run)
    return "\n".join(lines)


def mark_of(report: Report) -> Mark:
    """Whether the result is good, bad or unknown."""
    if report.problems:
        return "bad"
    return "unknown" if report.code == "unknown" else "good"


def verdict_of(report: Report, text: str) -> str:
    """The first line: the error code, if any, and what it means here."""
    is_code = report.code not in ("ok", "unknown")
    if not is_code and report.problems:
        text = report.problems[0]
    return f"{report.code}: {text}" if is_code else text


def _counts(report: Report) -> str:
    """The number of problems and warnings."""
    counts = {"problem": len(report.problems), "warning": len(report.warnings)}
    told = [f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items()]
    if report.code == "unknown" and not report.problems:
        told[0] = "result unknown"
    return ", ".join(told)


# --- in short -------------------------------------------------------------------------


def _in_short(report: Report, look: Look, run: bool) -> list[str]:
    text = report.verdict.summary.removesuffix(".")
    head = _at_most(4, _marked(mark_of(report), "", verdict_of(report, text), look))
    for name, value in _rows(report):
        is_warned = name == "tracing" and any(map(_is_of_tracing, report.warnings))
        state: Mark = "warning" if is_warned else "info"
        row = _marked(state, f"{name:<{_SHORT_NAMES}}", value, look)
        head += [line.replace(_GAP, " ").rstrip() for line in _at_most(3, row)]
    todo = _todo(report, look) if run else []
    room = _ROWS - len(head) - 1
    todo = _at_most(room, todo, look.width)
    room -= sum(_rows_of(line, look.width) for line in todo)
    found = _at_most(room, [*_warned(report, look), *_evidence(report, look)])
    return [*head, *found, *todo, *wrapped(f"{_counts(report)}. {_MORE}", look.width)]


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    """Key, endpoint, workspace and tracing, each with its source."""
    if report.facts.no_client or report.program.refers:
        return
    diagnosis, setup = report.facts.diagnosis, report.facts.setup
    held, switch = setup.held, setup.tracing
    key = {"missing": "not set", "oauth": "login session"}.get(diagnosis.key_kind)
    yield "key", _with_source(key or diagnosis.key, held.key, "")
    region = diagnosis.region or ""
    yield "endpoint", _with_source(diagnosis.endpoint, held.endpoint, region)
    names = {w.id: w.name for w in diagnosis.workspaces}
    sent = diagnosis.workspace_id or "not set"
    yield "workspace", _with_source(sent, held.workspace, names.get(sent, ""))
    if switch.value == "off" and switch.source.kind == "default":
        yield "tracing", "off: set LANGSMITH_TRACING=true"
    else:
        yield "tracing", _with_source(switch.value or "", switch, "")
    if report.program.note:
        yield ".env", report.program.note
    if diagnosis.server_message:
        yield "server", diagnosis.server_message


def _is_of_tracing(warning: str) -> bool:
    """Whether the row of tracing says the same as this warning."""
    return warning.startswith("tracing is ")


def _with_source(value: str, setting: Setting, known: str) -> str:
    source = setting.source
    told = "" if source.kind == "none" else str(source)
    if setting.value is None and source.kind == "environment":
        told = f"{source.name} is empty"
    elif source.kind == "environment" and source.place:
        told = f"{source.place.replace(', line', ' line')}, as load_dotenv() loads it"
    told = ", ".join(filter(None, [known, told]))
    return f"{value}{_GAP} {told}" if told else value


def _warned(report: Report, look: Look) -> list[str]:
    lines: list[str] = []
    has_rows = any(_rows(report))
    for text in report.warnings:
        if not (has_rows and _is_of_tracing(text)):
            lines += _marked("warning", "", text, look)
    return lines


def _evidence(report: Report, look: Look) -> list[str]:
    """Other findings that support the verdict."""
    told = {report.verdict.summary, *report.problems[:1], *report.warnings}
    lines: list[str] = []
    for section in report.sections:
        for line in section.lines:
            is_bad = section.name == "tracing" and in_words(line) in report.problems
            seen = line.name == "found" and line.state in ("bad", "unknown")
            # The verdict already says so.
            unanswered = report.facts.diagnosis.code == "unknown"
            seen &= not (unanswered and line.text.startswith("no response from "))
            if report.code == "ok":  # with unknown permissions, for example
                seen = section.name == "tracing" and line.state == "unknown"
                seen &= report.facts.wants_traces
            if (seen or is_bad) and in_words(line) not in told:
                lines += _marked(line.state, "", in_words(line), look)
    return lines


def _todo(report: Report, look: Look) -> list[str]:
    """The commands, or the steps if no command is proven right."""
    if mark_of(report) == "good":
        return wrapped(_STILL, look.width)
    if not report.commands:
        lines = []
        for step in report.verdict.next_steps:
            lines += wrapped(look.shown(step), look.width, "  - ")
            if step.startswith("choose one"):
                usable = listed(report.verdict.workspaces, SHOWN_WORKSPACES, ALL)
                lines += [f"    {look.shown(text)}" for text in usable]
        return [look.coloured("To fix it:", "bold"), *lines] if lines else []
    return [look.coloured(report.heading, "bold"), *_pasteable(report, look)]


def _pasteable(report: Report, look: Look) -> Iterator[str]:
    """The commands, never cut or wrapped: they are for pasting."""
    left = len(report.verdict.workspaces) - SHOWN_WORKSPACES
    for command, name in report.commands:
        line = f"  {look.shown(command)}"
        if report.facts.machine.notebook and "%env" in command and name:
            # %env uses the rest of the line as the value.
            yield f"  # {look.shown(name)}"
        elif name:
            comment, more = f"  # {look.shown(name)}", look.shown("\u2026")
            # A few lines may wrap; many must fit on the screen.
            few = len(report.commands) <= _FEW
            room = _LONGEST_NAME if few else look.width - columns(line)
            if columns(comment) > room:
                comment = f"{cut(comment, max(room - len(more), 0))}{more}"
            line += comment if room > _LEAST else ""
        yield line
    if left > 0 and len(report.commands) == SHOWN_WORKSPACES:
        yield f"  # and {left} more{ALL}"


def _rows_of(line: str, width: int) -> int:
    return max(1, math.ceil(columns(_COLOUR.sub("", line)) / width))


def _at_most(rows: int, lines: list[str], width: int = 10_000) -> list[str]:
    """The lines that fit; an ellipsis if there are more."""
    ends = [*accumulate(_rows_of(line, width) for line in lines)]
    if not ends or ends[-1] <= rows:
        return lines
    kept = [line for line, end in zip(lines, ends, strict=True) if end < rows]
    return [*kept, "    ..."] if rows > 0 else []


# --- in full --------------------------------------------------------------------------


def _in_full(report: Report, look: Look, run: bool) -> list[str]:
    lines = _marked(mark_of(report), "", verdict_of(report, report.message), look)
    said = look.shown(report.verdict.server_message)
    lines += wrapped(said, look.width, "  server: ") if said else []
    for section in report.sections:
        lines += ["", look.coloured(section.name.capitalize(), "bold")]
        for line in _once(section, report.facts.not_known):
            lines += _line(line, look)
        if section.name == "settings" and report.program.known_as:
            text = f"{report.program.known_as}, as load_dotenv() loads it in this folder; "
            text += "a script searches from its own folder upwards"
            lines += _line(Line("info", ".env", text), look)
        if section.name == "settings" and report.program.note:
            lines += _line(Line("info", "another .env", report.program.note), look)
    if report.program.withheld and report.code != "unknown":
        lines += ["", *_marked("warning", "", report.warnings[0], look)]
    if report.verdict.next_steps:
        lines += ["", look.coloured("Fix", "bold")]
        for step in report.verdict.next_steps:
            lines += wrapped(look.shown(step), look.width, "  - ")
    if report.commands and run:
        lines += ["", look.coloured(report.heading.removesuffix(":"), "bold")]
        lines += _pasteable(report, look)
    if report.code not in ("ok", "unknown"):
        lines += ["", f"More: {explain_command(report.code)}"]
    return [*lines, "", _counts(report)]


def _once(section: Section, not_known: str) -> list[Line]:
    """The lines, with all that is unknown combined into the last one."""
    lost = [x for x in section.lines if x.state == "unknown" and x.text.endswith(not_known)]
    if len(lost) < 2:
        return [*section.lines]
    names = ", ".join(x.name for x in lost)
    rest = [x for x in section.lines if x not in lost]
    why = not_known.removeprefix("unknown: ")
    return [*rest, Line("unknown", "unknown", f"{names}: {why}")]


def _line(line: Line, look: Look) -> list[str]:
    name = look.shown(line.name)
    gap = " " * max(_NAMES - columns(name), 1)
    return [f"  {text}" for text in _marked(line.state, f"{name}{gap}", line.text, look, 2)]


def _marked(state: Mark, name: str, text: str, look: Look, indent: int = 0) -> list[str]:
    """A text after its mark and name. Only the mark is coloured, so lines can be cut."""
    mark, in_ascii, colour = _MARKS[state]
    if not look.can_show("".join(signs[0] for signs in _MARKS.values())):
        mark = in_ascii
    lines = wrapped(look.shown(text), look.width - indent, f"{mark} {name}")
    if colour:
        lines[0] = look.coloured(mark, colour) + lines[0][len(mark) :]
    return lines
