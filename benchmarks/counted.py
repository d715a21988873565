"""Count the CPU instructions of a request that is not refused, with callgrind.

One process under callgrind makes the calls of both clients in turn. callgrind counts only
from the first dump to the last. Each stretch is run with few and with many calls; the
difference excludes one-time costs. Run as a script, this module is that process.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import langsmith

from benchmarks.good_calls import NAMES, Calls, calls
from benchmarks.paired import Ratio, summary
from benchmarks.served import served
from safe_langsmith import SafeClient

_KINDS: dict[str, type[langsmith.Client]] = {"plain": langsmith.Client, "safe": SafeClient}


def measure(
    rounds: int, few: int = 10, many: int = 60
) -> dict[str, dict[str, Ratio | int]]:
    """Return the ratio for each call, and the instructions of one plain call."""
    if shutil.which("valgrind") is None:
        return {}
    # Queuing a run is little work, so a stable count needs more of them.
    times = {"create_run": 8}
    return {
        name: _measured(name, rounds, few * times.get(name, 1), many * times.get(name, 1))
        for name in NAMES
    }


def _measured(name: str, rounds: int, few: int, many: int) -> dict[str, Ratio | int]:
    with served() as server, tempfile.TemporaryDirectory() as folder:
        facts = server.facts
        out = Path(folder) / "calls"
        under_callgrind(
            out,
            ["-m", "benchmarks.counted", name, facts["url"], facts["key"]]
            + [str(number) for number in (rounds, few, many)],
            "--instr-atstart=no",
        )
        totals = [
            total_of(out.with_name(f"calls.{number + 1}")) for number in range(rounds * 4)
        ]
    plain, ratios = [], []
    for at in range(0, len(totals), 4):
        plain_few, plain_many, safe_few, safe_many = totals[at : at + 4]
        plain.append((plain_many - plain_few) // (many - few))
        ratios.append((safe_many - safe_few) / (plain_many - plain_few))
    return {"safe": summary(ratios), "instructions": sorted(plain)[len(plain) // 2]}


def under_callgrind(out: Path, arguments: list[str], *options: str) -> None:
    """Run Python under callgrind, which writes to a file."""
    subprocess.run(
        [
            *("valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"),
            *options,
            *(sys.executable, *arguments),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def total_of(dump: Path) -> int:
    """Return the number of instructions in a callgrind file."""
    found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{dump} contains no total")
    return int(found[1])


def _control(option: str, *more: str) -> None:
    command = ["callgrind_control", option, *more, str(os.getpid())]
    subprocess.run(command, check=True, capture_output=True)


def main(name: str, url: str, key: str, numbers: list[int]) -> None:
    """Make the calls; callgrind writes a file after each stretch."""
    rounds, few, many = numbers
    facts = {"url": url, "key": key}
    acts: list[Calls] = [
        calls(name, make, facts, own_threads=False) for make in _KINDS.values()
    ]
    for act in acts:
        act(few)
    _control("--instr=on")
    gc.disable()  # it would run in only some of the stretches
    for _ in range(rounds):
        for act in acts:
            for number in (few, many):
                gc.collect()
                _control("--zero")
                act(number)
                _control("--dump")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], [int(text) for text in sys.argv[4:]])
