"""Write `errors.md` out of the texts of ``safe-langsmith explain``."""  # noqa: INP001

from __future__ import annotations

from pathlib import Path

from safe_langsmith._codes import EXPLANATIONS, Explanation
from safe_langsmith.errors import ERRORS, AccessDeniedError

PAGE = Path(__file__).with_name("errors.md")

_HEAD = """\
# The codes

<!-- Written by make_errors.py. Change safe_langsmith/_codes.py, and run it again. -->

Every error of safe_langsmith has a code. It stands in the last line of the error, in
`error.code`, and in the output of `safe-langsmith doctor`. The same texts come from
`safe-langsmith explain CODE`.

All are a `langsmith.utils.LangSmithError`, and an `AccessDeniedError` of safe_langsmith.
Some are one more class, so that `except` clauses that you have keep working. An error
for a 401 is a `LangSmithAuthError` too. On the resources such as `client.runs` it is
what the SDK raises there: `PermissionDeniedError` for a 403, `AuthenticationError` for
a 401.

A `Diagnosis` has two codes more, which no error has: `ok`, when LangSmith accepts the
settings, and `unknown`, when LangSmith could not be asked.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(e) for e in EXPLANATIONS)])


def _section(explanation: Explanation) -> str:
    fix = "\n".join(f"- {step}" for step in explanation.fix)
    return f"""\
## {explanation.code}

{_class_of(explanation)}

**What it means.** {explanation.means}

**How it is shown.** {explanation.shown_by}

**What is repaired.** {explanation.repair}

**How to fix it.**

{fix}
"""


def _class_of(explanation: Explanation) -> str:
    error = ERRORS.get(explanation.code)
    if error is None:
        return "No error has this code: the request was answered in the end."
    also = [base.__name__ for base in error.__bases__[1:]]
    if error is AccessDeniedError:
        return "`AccessDeniedError`, the base of all"
    return f"`{error.__name__}`" + "".join(f", also a `{name}`" for name in also)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
