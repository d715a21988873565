"""What README and docs show is run here, against a simulated api.smith.langchain.com."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import logging
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import scenarios
from conftest import Serve

from safe_langsmith import Policy
from safe_langsmith._cli import main
from safe_langsmith._codes import EXPLANATIONS
from safe_langsmith.errors import ERRORS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md")}
_FENCE = re.compile(
    r"(?:<!-- world: (?P<world>[^\n]+) -->\n)?"
    r"```(?P<kind>\w+)\n(?P<code>.*?)```\n(?:```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)


class Block(NamedTuple):
    """One block of code in a page, the world it runs in, and what it shows."""

    page: str
    line: int
    kind: str
    world: str
    code: str
    output: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        part = found.groupdict("")
        yield Block(page, line, part["kind"], part["world"], part["code"], part["output"])


BLOCKS = [*blocks("README.md", README)]
for name in sorted(PAGES):
    BLOCKS += blocks(name, PAGES[name])
RUN = [block for block in BLOCKS if block.kind in ("python", "pycon")]


class Console:
    """Runs a block like a person at a prompt, and takes down all that is shown."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "readme"}
        self.shown = io.StringIO()

    def run(self, code: str, mode: str) -> str:
        """Run the code, and give what was printed, logged and raised."""
        handler = logging.StreamHandler(self.shown)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger = logging.getLogger("safe_langsmith")
        logger.addHandler(handler)
        try:
            with contextlib.redirect_stdout(self.shown):
                for statement in ast.parse(code).body:
                    self._run(ast.unparse(statement), mode)
        finally:
            logger.removeHandler(handler)
            self.names.clear()
        return self.shown.getvalue()

    def _run(self, statement: str, mode: str) -> None:
        try:
            exec(compile(statement, "README", mode), self.names)
        except Exception as error:
            self.shown.write(f"{type(error).__name__}: {error}\n")


def masked(text: str) -> str:
    """A text with ids, ports and the ends of keys struck out, in one line."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"(lsv2_.._…|127\.0\.0\.1:)\w{4,5}", r"\1<some>", text)
    return " ".join(text.split())


@pytest.mark.parametrize("block", RUN, ids=str)
def test_block(block: Block, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs, and shows what the page says that it shows."""
    if block.world:
        name, *settings = block.world.split()
        api = serve_tls("api.smith.langchain.com")
        names = getattr(scenarios, name)(api)
        for setting in ("LANGSMITH_API_KEY={key}", *settings):
            variable, _, value = setting.partition("=")
            monkeypatch.setenv(variable, value.format_map(names))
    if block.kind == "python":
        assert masked(Console().run(block.code, "exec")) == masked(block.output)
        return
    lines = block.code.splitlines()
    typed = [line[4:] for line in lines if line.startswith(">>> ")]
    shown = [line for line in lines if not line.startswith(">>> ")]
    code = "\n".join(["from safe_langsmith import Client", *typed])
    assert masked(Console().run(code, "single")) == masked("\n".join(shown))


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_readme_shows_both_errors_at_once() -> None:
    first = README.splitlines()[:13]
    assert any(line.startswith("LangSmithError: ") for line in first)
    assert any(line.startswith("WorkspaceMismatchError: ") for line in first)


def test_readme_s_policy_shows_the_defaults() -> None:
    (block,) = [b for b in BLOCKS if b.page == "README.md" and "policy = Policy(" in b.code]
    tree = ast.parse(block.code)
    call = next(n for n in ast.walk(tree) if isinstance(n, ast.Call))
    shown: dict[str, Any] = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    assert Policy(**shown) == Policy()


def test_readme_s_test_command_is_the_one_that_is_run() -> None:
    (command,) = [line for line in README.splitlines() if line.endswith("/nox")]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_readme_s_demo_command_installs_what_it_runs() -> None:
    (command,) = [line for line in README.splitlines() if line.endswith("demo")][-1:]
    assert "'.[testing]'" in command
    assert command.endswith(".venv/bin/safe-langsmith demo")


def test_readme_s_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"^safe-langsmith ([\w-]+)", README, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([\w-]+) ", capsys.readouterr().out, re.MULTILINE)
    assert named == set(listed)


def test_readme_names_every_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", README, re.MULTILINE)
    assert rows == [e.code for e in EXPLANATIONS]


def test_errors_page_is_what_is_generated() -> None:
    path = ROOT / "docs" / "make_errors.py"
    spec = importlib.util.spec_from_file_location("make_errors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGES["errors.md"] == module.page(), "run: python docs/make_errors.py"


def test_errors_page_has_a_section_for_every_code() -> None:
    sections = set(re.findall(r"^## ([a-z-]+)$", PAGES["errors.md"], re.MULTILINE))
    assert sections == {*ERRORS, "transient-refusal"}
    assert sections == {e.code for e in EXPLANATIONS}


def test_the_numbers_of_requests() -> None:
    """docs/how-it-works.md says how many requests each cause takes."""
    counted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in scenarios.SCENARIOS:
        counted[row.code, row.outcome].add(len(row.requests))
    expected = {
        (code, outcome, f"{min(n)}" if len(n) == 1 else f"{min(n)} to {max(n)}")
        for (code, outcome), n in counted.items()
    }
    table = re.findall(
        r"^\| `([a-z-]+)` \| (\w+) \| ([\d to]+) \|", PAGES["how-it-works.md"], re.MULTILINE
    )
    assert set(table) == expected


@pytest.mark.parametrize("name", ["README.md", *sorted(PAGES)])
def test_links_lead_somewhere(name: str) -> None:
    """To a file of this project, or to a page of LangSmith that is known to exist."""
    page, folder = (README, ROOT) if name == "README.md" else (PAGES[name], ROOT / "docs")
    for target in re.findall(r"\]\(([^)#]*)", page):
        assert (folder / target).exists() or target in KNOWN_PAGES


KNOWN_PAGES = (
    "https://smith.langchain.com/settings",
    "https://docs.langchain.com/langsmith/create-account-api-key",
)


def test_an_id_is_masked() -> None:
    assert masked(f"{uuid.uuid4()} lsv2_pt_…9f2c") == "<id> lsv2_pt_…<some>"
