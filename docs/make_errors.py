"""Write `errors.md` and `errors/` from the texts of ``safe-langsmith explain``."""

from __future__ import annotations

from pathlib import Path

from safe_langsmith._command.explanations import EXPLANATIONS, Explanation
from safe_langsmith.errors import ERRORS, AccessDeniedError

FOLDER = Path(__file__).parent

# Where a person meets it: the pages of `how-to/`, by the codes that they end in.
SITUATIONS: dict[str, tuple[str, ...]] = {
    "workspace-required": ("organization-key", "default-workspace", "several-destinations"),
    "workspace-mismatch": ("organization-key",),
    "stale-setting": ("stale-notebook", "key-rotation"),
    "wrong-region": ("wrong-region",),
    "wrong-endpoint": ("self-hosted",),
    "key-missing": ("tracing-in-ci",),
    "key-malformed": ("quotes",),
    "key-rejected": ("key-rotation", "wrong-region"),
    "permission-missing": ("evaluate",),
    "blocked-by-proxy": ("proxy",),
}

_TEXTS = "safe_langsmith/_command/explanations.py"
_NOTE = f"<!-- Written by make_errors.py. Change {_TEXTS}, and run it again. -->"
_HEAD = f"""\
# Error codes

{_NOTE}

Every error of safe_langsmith has a code. Find it in the last line of the error, in
`error.code`, and in the output of `safe-langsmith doctor`. `safe-langsmith explain CODE`
prints the same texts.

Every error is a `langsmith.utils.LangSmithError` and safe_langsmith's `AccessDeniedError`.
Some have one more base class, so your `except` clauses keep working. An error for a 401
is also a `LangSmithAuthError`. On resources such as `client.runs`, it is also the class
that the SDK raises there: `PermissionDeniedError` for a 403, `AuthenticationError` for
a 401.

A `Diagnosis` has two more codes, which no error has: `ok`, when LangSmith accepts the
settings, and `unknown`, when that could not be checked.

| code | in short |
|---|---|
"""


def pages() -> dict[str, str]:
    """Every page by its path below `docs/`."""
    rows = (f"| [{e.code}](errors/{e.code}.md) | {e.in_short} |\n" for e in EXPLANATIONS)
    single = {f"errors/{e.code}.md": _page(e) for e in EXPLANATIONS}
    return {"errors.md": _HEAD + "".join(rows), **single}


def _page(explanation: Explanation) -> str:
    fix = "\n".join(f"- {step}" for step in explanation.fix)
    return f"""\
# {explanation.code}

{_NOTE}

{_class_of(explanation)}

## What it means

{explanation.means}

## How to fix it

{fix}
{_met(explanation)}
## How it is detected

{explanation.shown_by}

## Fixed automatically

{explanation.repair} [The rules](../repair.md).

## Requests made

{explanation.sent} [More](../security.md).
"""


def _class_of(explanation: Explanation) -> str:
    error = ERRORS.get(explanation.code)
    if error is None:
        return "No error has this code: the request succeeded in the end."
    also = [base.__name__ for base in error.__bases__[1:]]
    if error is AccessDeniedError:
        return "`AccessDeniedError`, the base class of all"
    return f"`{error.__name__}`" + "".join(f", also a `{name}`" for name in also)


def _met(explanation: Explanation) -> str:
    """Links to the situations in which it is met."""
    names = SITUATIONS.get(explanation.code, ())
    links = [f"[{_title(name)}](../how-to/{name}.md)" for name in names]
    return f"\nGuides: {'; '.join(links)}.\n" if links else ""


def _title(name: str) -> str:
    page = FOLDER / "how-to" / f"{name}.md"
    first, _, _ = page.read_text(encoding="utf-8").partition("\n")
    return first.removeprefix("# ")


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
