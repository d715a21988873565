"""Write `errors.md` and `errors/` from the texts of ``safe-langsmith explain``."""

from __future__ import annotations

import re
from pathlib import Path

from safe_langsmith._command.explanations import EXPLANATIONS, Explanation
from safe_langsmith.errors import ERRORS, AccessDeniedError

FOLDER = Path(__file__).parent

# For each code, the sections of the docs where it is the cause.
SITUATIONS: dict[str, tuple[str, ...]] = {
    "workspace-required": (
        "fix/workspace.md#organization-key-without-a-workspace",
        "fix/workspace.md#403-from-the-default-workspace",
        "tracing.md#several-destinations",
    ),
    "workspace-mismatch": ("fix/workspace.md#the-id-is-not-a-workspace-id",),
    "stale-setting": ("fix/old-key.md", "key-rotation.md"),
    "wrong-region": ("fix/endpoint.md#the-key-belongs-to-another-region",),
    "wrong-endpoint": (
        "fix/endpoint.md#the-endpoint-is-the-web-app",
        "fix/endpoint.md#self-hosted-langsmith",
    ),
    "key-missing": ("fix/key.md#no-key-was-sent", "ci.md"),
    "key-malformed": (
        "fix/key.md#quotes-or-a-comment-around-the-key",
        "fix/key.md#a-placeholder-or-another-services-key",
    ),
    "key-rejected": (
        "fix/key.md#the-key-was-rejected",
        "fix/endpoint.md#the-key-belongs-to-another-region",
        "key-rotation.md",
    ),
    "permission-missing": ("fix/permission.md",),
    "blocked-by-proxy": ("fix/proxy.md",),
}

_TEXTS = "safe_langsmith/_command/explanations.py"
_NOTE = f"<!-- Written by make_errors.py. Change {_TEXTS}, and run it again. -->"
_HEAD = f"""\
# Error codes

{_NOTE}

Every error has a code. It is in the last line of the error, in `error.code`, and in the
output of `safe-langsmith doctor`. `safe-langsmith explain CODE` prints the same texts as
these pages.

Every error is an `AccessDeniedError`, and so a `langsmith.utils.LangSmithError`. Some have
one more base class, so that your existing `except` clauses keep working. An error for a 401
is also a `LangSmithAuthError`. On v2 resources such as `client.runs` it is also what the
SDK raises there: `PermissionDeniedError` for a 403, `AuthenticationError` for a 401.

Only a `Diagnosis` has the codes `ok` (LangSmith accepts the settings), `unknown` (they
could not be checked), and `transient-refusal`.

| code | cause |
|---|---|
"""


def pages() -> dict[str, str]:
    """Return all pages, by path below `docs/`."""
    rows = (f"| [{e.code}](errors/{e.code}.md) | {e.in_short} |\n" for e in EXPLANATIONS)
    single = {f"errors/{e.code}.md": _page(e) for e in EXPLANATIONS}
    return {"errors.md": _HEAD + "".join(rows), **single}


def _page(explanation: Explanation) -> str:
    fix = "\n".join(f"- {step}" for step in explanation.fix)
    return f"""\
# {explanation.code}

{_NOTE}

{_class_of(explanation)}

{explanation.means}

## How to fix it

{fix}
{_met(explanation)}
## How it is detected

{explanation.shown_by}

## Fixed automatically

{explanation.repair} [All rules](../repair.md)

## Requests made

{explanation.sent} [More](../security.md)
"""


def _class_of(explanation: Explanation) -> str:
    error = ERRORS.get(explanation.code)
    if error is None:
        return "No error has this code: the request succeeded in the end."
    also = [base.__name__ for base in error.__bases__[1:]]
    if error is AccessDeniedError:
        return "`AccessDeniedError`, the base class of all errors"
    return f"`{error.__name__}`" + "".join(f", also a `{name}`" for name in also)


def _met(explanation: Explanation) -> str:
    """Return links to the sections where this is the cause."""
    targets = SITUATIONS.get(explanation.code, ())
    links = [f"[{_title(target)}](../{target})" for target in targets]
    return f"\nExamples: {'; '.join(links)}.\n" if links else ""


def _title(target: str) -> str:
    """Return the heading that a link leads to; without an anchor, the page's title."""
    name, _, anchor = target.partition("#")
    page = (FOLDER / name).read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return next(head for head in heads if not anchor or slug(head) == anchor)


def slug(head: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
