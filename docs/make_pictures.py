"""Draw `pictures/`: the doctor's output, from real runs against a simulated LangSmith.

Values that differ between runs (ids, ports, the ends of keys) are replaced.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

import safe_langsmith
from safe_langsmith.testing import SimulatedLangSmith

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 48  # so that it can be read on a phone
COMMAND = ("safe-langsmith", "doctor")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IDS = (
    "0d3c41aa-2f0e-4c55-8a0b-5d0f1f3b9e77",
    "77ab90c1-5a39-4a0e-9a0e-3b1f4a6c2d18",
    "4b6a0c52-7d1c-4b5e-9a53-0c8f5a3e7d10",
)


def _problem(server: SimulatedLangSmith) -> str:
    server.add_workspace("Research", projects=2)
    server.add_workspace("Production", projects=1)
    return server.add_service_key(workspaces=None).secret


def _healthy(server: SimulatedLangSmith) -> str:
    own = server.add_workspace("Research", projects=2)
    return server.add_personal_key(workspaces=[own]).secret


PICTURES: dict[str, Callable[[SimulatedLangSmith], str]] = {
    "doctor-problem": _problem,
    "doctor-healthy": _healthy,
}


def shown(name: str) -> str:
    """Return the doctor's terminal output in the world of a picture."""
    with SimulatedLangSmith() as server, tempfile.TemporaryDirectory() as home:
        environ = {
            "LANGSMITH_API_KEY": PICTURES[name](server),
            "LANGSMITH_ENDPOINT": server.url,
            "HOME": home,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(safe_langsmith.__file__).parent.parent),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "COLUMNS": str(WIDTH),
        }
        text = _on_a_terminal(environ, home)
    return _made_up(text.replace(server.url, "http://127.0.0.1:1984"))


def _on_a_terminal(environ: dict[str, str], folder: str) -> str:
    """Run the doctor in a terminal, and return its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, WIDTH, 0, 0))
    doctor = subprocess.Popen(
        [sys.executable, "-m", "safe_langsmith", *COMMAND[1:]],
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
    os.close(ours)
    _, complaints = doctor.communicate()
    if complaints:
        raise RuntimeError(complaints.decode())
    return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """Return the next part, or nothing at the end, where Linux raises an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def _made_up(text: str) -> str:
    found = list(dict.fromkeys(re.findall(_UUID, text)))
    for real, made_up in zip(found, _IDS, strict=False):
        text = text.replace(real, made_up)
    return re.sub(r"(lsv2_.._…)\w{4}", r"\g<1>9f2c", text)


def picture(name: str) -> str:
    """Return the picture as SVG, whose text can be searched and copied."""
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        legacy_windows=False,
    )
    console.print(Text(f"$ {' '.join(COMMAND)}", style="bold"))
    console.print(Text.from_ansi(shown(name)))
    svg = console.export_svg(title=" ".join(COMMAND), unique_id=name)
    # Remove the fonts: the viewer would download them from another site.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    # Normal text size if there is space; narrow screens scale the picture down.
    svg = svg.replace("<svg ", f'<svg width="{WIDTH * 10}" ', 1)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in PICTURES:
        (FOLDER / f"{each}.svg").write_text(picture(each), encoding="utf-8")
