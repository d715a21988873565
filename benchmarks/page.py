"""Write the page and the picture from the results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "speed.svg"
REQUEST_LIMIT, START_LIMIT = 1.01, 1.05
Results = dict[str, Any]


def read() -> Results:
    """Return the saved results."""
    results: Results = json.loads(RESULTS.read_text("utf-8"))
    return results


def write(results: Results) -> None:
    """Save the results, and write the page and the picture."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(results), "utf-8")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(results), "utf-8")


def page(results: Results) -> str:
    """Return the page as Markdown."""
    return _PAGE.format(
        versions=", ".join(f"{n} {v}" for n, v in results["versions"].items()),
        requests=_requests(results),
        start=_start(results),
        days=" and ".join(sorted(set(results["measured"].values()))),
        delay=round(results["delay"] * 1000),
        repairs=_repairs(results),
        storms=_storms(results),
        by_hand=_by_hand(results),
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(ratio: dict[str, float], limit: float | None = None) -> str:
    """Return a ratio with its range; with a limit, also whether it is exceeded."""
    text = f"{ratio['ratio']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
    if limit is None or ratio["high"] <= limit:
        return text
    return f"{text}, **above {limit}**" if ratio["low"] > limit else f"{text}, not decided"


def _requests(results: Results) -> str:
    head = ("call", "instructions", "wall time", "wall time, Client against itself")
    rows = []
    for name, wall in results["wall"].items():
        counted = results["instructions"].get(name)
        count = _spread(counted["safe"], REQUEST_LIMIT) if counted else "no valgrind"
        own = _spread(wall["safe"], REQUEST_LIMIT)
        rows.append((f"`{name}`", count, own, _spread(wall["plain"])))
    return _table(head, rows)


def _start(results: Results) -> str:
    counted = results["start_instructions"]
    rows = (
        (
            name,
            _spread(counted[name], START_LIMIT) if name in counted else "not counted",
            _spread(wall, START_LIMIT),
        )
        for name, wall in results["start"].items()
    )
    return _table(("what", "instructions", "wall time"), rows)


def _repairs(results: Results) -> str:
    rows = []
    for row in results["repairs"]:
        safe = row["ways"]["SafeClient"]
        least = results["least"].get(safe["end"], "")
        what = f"{row['title']}: {safe['end']}"
        trips = f"{safe['trips']:.1f}"
        rows.append((f"`{row['code']}`", what, safe["requests"], least, trips))
    return _table(("code", "case and result", "requests", "minimum", "round trips"), rows)


def _storms(results: Results) -> str:
    head = ("calls", "on", "result", "refused", "probes", "time", "memory, MB")
    rows = (
        (
            f"{storm['calls']:,}",
            storm["way"],
            storm["end"],
            f"{storm['refused']:,}",
            storm["probes"],
            f"{storm['time']:.1f}",
            f"{storm['memory_kb'] / 1024:.1f}",
        )
        for storm in results["storms"]
    )
    return _table(head, rows)


def _by_hand(results: Results) -> str:
    head = ("way", "lines", "answered", "explained", "wrong", "requests", "round trips")
    rows = []
    for way, lines in results["lines"].items():
        ends = [row["ways"][way] for row in results["repairs"]]
        tally = [e["end"] for e in ends]
        rows.append(
            (
                way,
                lines,
                tally.count("answered"),
                tally.count("explained"),
                tally.count("wrong cause"),
                sum(e["requests"] for e in ends),
                round(sum(e["trips"] for e in ends)),
            )
        )
    return _table(head, rows)


# --- the picture ----------------------------------------------------------------------

_LEFT, _WIDTH, _ROW = 165, 430, 26
_FROM, _TO = 0.95, 1.15


def picture(results: Results) -> str:
    """Return the ratios as SVG. It has its own background, for dark pages."""
    bars = []
    for name, wall in results["wall"].items():
        counted = results["instructions"].get(name)
        if counted:
            bars.append((f"{name}, instructions", counted["safe"], REQUEST_LIMIT))
        bars.append((f"{name}, time", wall["safe"], REQUEST_LIMIT))
    bars += [(name, ratio, START_LIMIT) for name, ratio in results["start"].items()]
    height = 60 + _ROW * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'width="600" font-family="sans-serif" font-size="12" fill="#1f2328">',
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        '<text x="12" y="22" font-weight="bold">SafeClient against Client '
        "(1: the same; red: the limit)</text>",
        _line(1.0, 34, height - 22, "#8c959f"),
    ]
    for number, (name, ratio, limit) in enumerate(bars):
        y = 50 + _ROW * number
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{name}</text>',
            _line(limit, y - 9, y + 9, "#cf222e"),
            f'<line x1="{_x(ratio["low"])}" x2="{_x(ratio["high"])}" y1="{y}" y2="{y}" '
            'stroke="#0969da" stroke-width="3"/>',
            f'<circle cx="{_x(ratio["ratio"])}" cy="{y}" r="5" fill="#0969da"/>',
            f'<text x="{_WIDTH - 50}" y="{y + 4}">{ratio["ratio"]:.3f}</text>',
        ]
    marks = (0.95, 1.0, 1.05, 1.1, 1.15)
    parts += [
        f'<text x="{_x(m)}" y="{height - 8}" text-anchor="middle">{m}</text>' for m in marks
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(ratio: float) -> float:
    """Return the x position of a ratio, clamped to the scale."""
    share = (min(max(ratio, _FROM), _TO) - _FROM) / (_TO - _FROM)
    return round(_LEFT + share * (_WIDTH - 70 - _LEFT), 1)


def _line(ratio: float, top: float, bottom: float, colour: str) -> str:
    at = f'x1="{_x(ratio)}" x2="{_x(ratio)}" y1="{top}" y2="{bottom}"'
    return f'<line {at} stroke="{colour}"/>'


_PAGE = """\
# Speed

Measured on {days} with {versions}; later changes of safe_langsmith are not included.
`nox -s benchmarks` measures everything again.

Wall times and instructions are ratios of two sides that took turns in one run, so that a
slow or busy machine affects both in the same way. Wall times and instructions may come from
different runs. The range in brackets contains the median with 95 % certainty (for the few
rounds of instructions, it is the lowest and the highest value). If a limit is within the
range, the result is "not decided".

![SafeClient against Client](speed.svg)

## A request that is not refused

`SafeClient` against `Client`; the limit is 1.01. A simulated LangSmith runs in a separate
process. Wall times are from 40 pairs of new clients (10 pairs in the last column),
because even two identical clients can differ by 1 % for their whole lifetime.

{requests}

Instructions are counted by callgrind on a warm client, without garbage collection. For
`create_run`, the SDK's two tracing threads are left out, because they wake up on a timer:
the calls fill the same buffer, and `flush` sends it. The last column shows how much of the
wall time ratio is noise.

## Import and construction

The limit is 1.05. Each import runs in a new process; Python's own startup is not included.
The constructed client sends no traces. That takes a fraction of a millisecond, so small
additions are a large share. The largest is reading six environment variables, to detect
later changes. Modules needed only for a refusal are imported after one.

{start}

## A repair

These are the rows of `safe-langsmith demo`. The minimum is the refused request, one probe,
and, if the call succeeds, the resent request. A request takes {delay} ms here; "round
trips" is the total time divided by that. It includes waits: 0.5 seconds after a proxy's
refusal, and 3 seconds after a temporary refusal by LangSmith.

{repairs}

## Many refused calls at once

All calls of one client start at the same time, and each is answered after 50 ms.
"repaired": the key needs the only workspace. "explained": LangSmith rejects the key. The
time is relative to a single such call, including the start of the threads or of the event
loop. Memory is Python's own peak for all calls.

{storms}

## Compared with hand-written code

The same rows with the five steps of LangSmith's help article around each call
(`benchmarks/by_hand/five_steps.py`), and as a tenacity decorator
(`benchmarks/by_hand/with_tenacity.py`). "lines" counts code without docstrings; "wrong"
counts wrong causes.

{by_hand}

When the five steps find no cause, they guess ("create a new key"), and so need fewer
requests.
"""


if __name__ == "__main__":
    write(read())
