"""GitHub Actions: the verdict as an annotation, and the report in the job summary."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from safe_langsmith._command.doctor import Report
from safe_langsmith._command.report import mark_of, rendered, verdict_of
from safe_langsmith._command.terminal import Look

_FENCE = re.compile(r"`{3,}")


def announce(report: Report, stream: TextIO) -> None:
    """Write an annotation and the job summary, if this is GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    text = report.message if report.code != "ok" else verdict_of(report, report.message)
    level = {"bad": "error", "unknown": "warning"}.get(mark_of(report), "")
    if not level and report.warnings:
        level, text = "warning", "; ".join(report.warnings)
    if report.problems and report.verdict.next_steps:
        text += f" To fix it: {report.verdict.next_steps[0]}"
    title = f"safe-langsmith: {report.code}" if report.problems else "safe-langsmith"
    if level:
        print(f"::{level} title={_as_property(title)}::{_as_data(text)}", file=stream)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path and Path(path).is_file():  # a pipe could wait for its reader forever
        with suppress(OSError), Path(path).open("a", encoding="utf-8") as summary:
            summary.write(_summary(report))


def _as_data(text: str) -> str:
    """Escape a text for GitHub's runner, where a command ends at a line break."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _as_property(text: str) -> str:
    """Escape a text for a property of such a command, such as its title."""
    return _as_data(text).replace(":", "%3A").replace(",", "%2C")


def _summary(report: Report) -> str:
    """The short report in Markdown, in a fence longer than any in the report."""
    text = rendered(report, Look())
    fence = max([*_FENCE.findall(text), "``"], key=len) + "`"
    return f"### safe-langsmith doctor\n\n{fence}text\n{text}\n{fence}\n"
