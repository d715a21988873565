"""Check the built packages: complete, three dependencies, no known vulnerability.

``nox -s dist`` runs this on what `nox -s build` made. The exit code is 1 if something is
wrong. An audit that could not be made is reported as unknown; the exit code is 1 for it
only with ``--strict``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
DIST = ROOT / "build" / "dist"
SBOM = ROOT / "build" / "sbom.json"
OURS = "safe-langsmith"
DEPENDENCIES = ("langsmith", "python-dotenv", "tenacity")
DATA = (
    "_command/completion/bash",
    "_command/completion/zsh",
    "doctor.schema.json",
    "py.typed",
    "testing/__init__.py",
    "testing/no-profile.json",
    "testing/routes.txt",
)
# What a packager needs to run the tests, besides the package.
FOLDERS = (".ci", ".github", "benchmarks", "docs", "safe_langsmith", "tests")
PLUGIN = "pytest_safe_langsmith.py"
FILES = ("CHANGELOG.md", "LICENSE", "README.md", "noxfile.py", "pyproject.toml", PLUGIN)
INSTALLED = """
import importlib.metadata, json
print(json.dumps({d.name: d.version for d in importlib.metadata.distributions()}))
"""


def files_in(folder: str) -> set[str]:
    """The files of a folder of the project, without what Python leaves there."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def of_sdist(sdist: Path) -> Iterator[str]:
    """What is wrong with the sdist."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {*FILES}.union(*(files_in(folder) for folder in FOLDERS))
    yield from (f"the sdist has no {name}" for name in sorted(wanted - names))


def of_wheel(wheel: Path) -> Iterator[str]:
    """What is wrong with the wheel: too little, too much, or what it asks for."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        asked = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist")
    wanted = files_in("safe_langsmith") | {f"safe_langsmith/{name}" for name in DATA}
    wanted.add(PLUGIN)
    yield from (f"the wheel has no {name}" for name in sorted(wanted - names))
    yield from (f"the wheel has {name}, too" for name in sorted(names - wanted))
    requirements = [Requirement(line) for line in asked or ()]
    needed = sorted(r.name for r in requirements if "extra" not in str(r.marker))
    if needed != sorted(DEPENDENCIES):
        yield f"the wheel depends on {', '.join(needed)}"


def environment(folder: Path, *packages: str) -> tuple[Path, dict[str, str]]:
    """A new environment with these packages, without pip; and what is in it."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python")
    run(*pip, str(python), "install", "--quiet", *packages)
    found = json.loads(run(str(python), "-c", INSTALLED))
    return python, {plain(name): version for name, version in found.items()}


def run(*command: str) -> str:
    """Run a command, and return its stdout; its stderr is shown."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def plain(name: str) -> str:
    """The normalized name of a distribution, for comparisons."""
    return re.sub(r"[-_.]+", "-", name).lower()


def of_installed(python: Path, with_ours: dict[str, str], folder: Path) -> Iterator[str]:
    """What the wheel brings besides its dependencies, and whether it works with them."""
    _, without = environment(folder, *DEPENDENCIES)
    others = {name: version for name, version in with_ours.items() if name != OURS}
    if others != without:
        yield f"installing the wheel brings {others.items() ^ without.items()}"
    command = [str(python), "-W", "error", "-m", "safe_langsmith", "explain", "key-missing"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"the command does not run with the wheel alone: {done.stderr}"


def of_sbom(python: Path, installed: dict[str, str]) -> Iterator[str]:
    """Write the SBOM of an environment; yield what is missing in it, or too much."""
    options = ("--of", "JSON", "--pyproject", "pyproject.toml", "-o", str(SBOM))
    run(sys.executable, "-m", "cyclonedx_py", "environment", *options, str(python))
    parts = json.loads(SBOM.read_text(encoding="utf-8"))["components"]
    named = {plain(part["name"]): part["version"] for part in parts}
    expected = {name: version for name, version in installed.items() if name != OURS}
    named.pop(OURS, None)
    if named != expected:
        yield f"the SBOM differs from what is installed: {named.items() ^ expected.items()}"


def audit(python: Path, installed: dict[str, str], folder: Path) -> tuple[list[str], str]:
    """The known vulnerabilities of the installed packages, and why any are unknown."""
    site = run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    report = folder / "audit.json"
    options = ("--format", "json", "--output", str(report), "--progress-spinner", "off")
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--path", site.strip(), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():  # it ends without one if the service cannot be reached
        return [], (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    return judged(json.loads(report.read_text(encoding="utf-8")), installed)


def judged(
    report: dict[str, list[dict[str, object]]], installed: dict[str, str]
) -> tuple[list[str], str]:
    """What a pip-audit report says: vulnerabilities, and what it could not look up."""
    asked = {plain(str(one["name"])): one for one in report["dependencies"]}
    holes = [f"{name}: {hole}" for name, one in asked.items() if (hole := one.get("vulns"))]
    known = {name for name, one in asked.items() if "vulns" in one}
    unknown = sorted(installed.keys() - known - {OURS})
    if not unknown:
        return holes, ""
    why = next((str(asked[n]["skip_reason"]) for n in unknown if n in asked), "not listed")
    return holes, f"{len(unknown)} of {len(installed) - 1} packages not looked up ({why})"


def main(arguments: list[str]) -> int:
    """Run every check, and print the results."""
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    wrong = [*of_sdist(sdist), *of_wheel(wheel)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        python, installed = environment(folder / "ours", str(wheel))
        wrong += of_installed(python, installed, folder / "theirs")
        wrong += of_sbom(python, installed)
        holes, unknown = audit(python, installed, folder)
    wrong += holes
    print(f"{len(installed)} packages, {SBOM.relative_to(ROOT)}")
    if unknown:
        print(f"audit: UNKNOWN, it could not be made: {unknown}")
        if "--strict" in arguments:
            wrong.append("the audit could not be made")
    elif not holes:
        print("audit: no known vulnerability")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
