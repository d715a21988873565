"""Tests that run the examples in README and docs on a simulated LangSmith."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import logging
import re
import shlex
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import langsmith
import pytest
import scenarios
import tls
import yaml
from conftest import Serve
from langsmith.utils import LangSmithError
from pages import DOCS, ROOT, masked, script
from table import SCENARIOS

import safe_langsmith
import safe_langsmith.testing
from safe_langsmith import AccessDeniedError, Policy, SafeAsyncClient, SafeClient
from safe_langsmith._client import OWN
from safe_langsmith._command.cli import main
from safe_langsmith._command.explanations import EXPLANATIONS, Explanation
from safe_langsmith.errors import ERRORS
from safe_langsmith.testing._world import ROLES

slug = script("make_errors").slug
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md")
}
_FENCE = re.compile(
    r"(?:<!-- world: (?P<world>[^\n]+) -->\n)?"
    r"```(?P<kind>\w+)\n(?P<code>.*?)```\n(?:```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)


OFFICIAL = tuple(
    f"{region}api.smith.langchain.com" for region in ("", "eu.", "apac.", "aws.")
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
RUN = [
    pytest.param(block, marks=[pytest.mark.slow] if "langgraph" in block.code else [])
    for block in BLOCKS
    if block.kind in ("python", "pycon")
]


class Console:
    """Runs a block as if typed at a prompt, and records everything shown."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "readme"}
        self.shown = io.StringIO()

    def run(self, code: str, mode: str) -> str:
        """Run the code, and return what was printed, logged, and raised."""
        handler = logging.StreamHandler(self.shown)
        logger = logging.getLogger("safe_langsmith")
        # Ignore threads of an earlier block's client, which may still run. All clients
        # share the threads of the SDK's pool: those count as this block's.
        earlier = {
            thread
            for thread in threading.enumerate()
            if thread is not threading.current_thread()
            and not thread.name.startswith("ThreadPoolExecutor")
        }
        handler.addFilter(lambda _: threading.current_thread() not in earlier)
        before = logger.handlers[:]
        logger.addHandler(handler)
        # If a block sets up logging, show only the output of its own handlers.
        handler.addFilter(lambda _: logger.handlers == [*before, handler])
        try:
            with contextlib.redirect_stdout(self.shown):
                for statement in ast.parse(code).body:
                    self._run(ast.unparse(statement), mode)
        finally:
            logger.handlers[:] = before
            self.names.clear()
        return self.shown.getvalue()

    def _run(self, statement: str, mode: str) -> None:
        try:
            exec(compile(statement, "README", mode), self.names)
        except Exception as error:
            self.shown.write(f"{type(error).__name__}: {error}\n")


def enter(world: str, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve a world and set its settings: ``NAME [host=] [layout=] [.env:]VARIABLE=value``.

    The world is on the default host, or on `host`. If `host` is official, the other
    official hosts are served too, and reject every key.
    """
    name, *settings = shlex.split(world)
    given = dict(setting.split("=", 1) for setting in settings)
    host = given.pop("host", None)
    api = serve_tls(host or OFFICIAL[0], layout=given.pop("layout", "cloud"))
    monkeypatch.setenv("SSL_CERT_FILE", tls.authority_file())  # for the async client
    names = getattr(scenarios, name)(api)
    for other in OFFICIAL:
        if host in OFFICIAL and other != host:
            serve_tls(other)
    for variable, value in {"LANGSMITH_API_KEY": "{key}", **given}.items():
        if variable.startswith(".env:"):
            line = f"{variable.removeprefix('.env:')}={value}\n".format_map(names)
            Path(".env").write_text(line, encoding="utf-8")
        else:
            monkeypatch.setenv(variable, value.format_map(names))


@pytest.mark.parametrize("block", RUN, ids=str)
def test_block(block: Block, serve_tls: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs, and its output is the same as on the page."""
    if block.world:
        enter(block.world, serve_tls, monkeypatch)
    if block.kind == "python":
        assert masked(Console().run(block.code, "exec")) == masked(block.output)
        return
    lines = block.code.splitlines()
    typed = [line[4:] for line in lines if line.startswith(">>> ")]
    shown = [line for line in lines if not line.startswith(">>> ")]
    code = "\n".join(["from safe_langsmith import Client", *typed])
    assert masked(Console().run(code, "single")) == masked("\n".join(shown))


def test_blocks_that_need_another_package_are_python() -> None:
    """Blocks with structlog, Sentry, and OpenTelemetry are only parsed, not run."""
    alone = [block for block in BLOCKS if block.kind == "py"]
    assert {block.page for block in alone} == {"logging.md"}
    assert all(ast.parse(block.code) for block in alone)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_readme_begins_with_both_errors() -> None:
    first = README.splitlines()[:16]
    assert any(line.startswith("LangSmithError: ") for line in first)
    assert any(line.startswith("WorkspaceMismatchError: ") for line in first)


def test_the_policy_that_is_shown_has_the_defaults() -> None:
    (block,) = [b for b in BLOCKS if "policy = Policy(\n" in b.code]
    call = next(n for n in ast.walk(ast.parse(block.code)) if isinstance(n, ast.Call))
    shown: dict[str, Any] = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    assert set(shown) == {field.name for field in dataclasses.fields(Policy)}
    assert Policy(**shown) == Policy()


def test_readme_s_test_command_is_the_one_that_is_run() -> None:
    (command,) = [line for line in README.splitlines() if line.endswith("/nox")]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_readme_s_demo_command_installs_what_it_runs() -> None:
    (command,) = [line for line in README.splitlines() if line.endswith("demo")][-1:]
    assert "'.[testing]'" in command
    assert command.endswith(".venv/bin/safe-langsmith demo")


def test_readme_s_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"\bsafe-langsmith ([a-z-]+)", README))
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([\w-]+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert {"doctor", "run", "demo"} <= named <= set(listed)


def test_error_pages_are_what_is_generated() -> None:
    pages = script("make_errors").pages()
    found = {n: t for n, t in PAGES.items() if n == "errors.md" or n.startswith("errors/")}
    assert found == pages, "run: python docs/make_errors.py"


def test_every_code_has_a_page() -> None:
    pages = {Path(name).stem for name in PAGES if name.startswith("errors/")}
    assert pages == {*ERRORS, "transient-refusal"}
    assert pages == {e.code for e in EXPLANATIONS}


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda e: e.code)
def test_error_pages_list_every_request(explanation: Explanation) -> None:
    """The page lists every probe of scenarios with this code, and probes of regions."""
    for row in SCENARIOS:
        if row.code != explanation.code:
            continue
        for request in row.requests[1:]:
            region, _, asked = request.rpartition(": ")
            if asked == row.requests[0]:
                assert "Nothing is resent" not in explanation.sent or region, row.name
                continue
            asked = re.sub(r"(?<=/sessions/).+", "{id}", asked)
            assert asked in explanation.sent, row.name
            assert not region or "region" in explanation.sent, row.name


def test_the_command_page_is_what_is_generated() -> None:
    assert PAGES["cli.md"] == script("make_cli").page(), "run: python docs/make_cli.py"


def test_every_situation_is_listed() -> None:
    pages = {name for name in PAGES if name.startswith("fix/")} - {"fix/index.md"}
    listed = re.findall(r"\]\(([a-z-]+\.md)[^)]*\)", PAGES["fix/index.md"])
    assert {f"fix/{name}" for name in listed} == pages


def trace(client: langsmith.Client) -> None:
    langsmith.traceable(client=client, enabled=True)(str.upper)("text")
    client.flush()


def run_url(client: langsmith.Client) -> None:
    run = SimpleNamespace(id=uuid.uuid4(), session_id=uuid.uuid4(), session_name=None)
    run.app_path = run.start_time = None
    client.get_run_url(run=run)


def body(error: BaseException | None) -> str:
    """Return the response's body; the SDK's error may contain only part of it."""
    while error is not None:
        if (response := getattr(error, "response", None)) is not None:
            return str(response.text)
        error = error.__context__
    return ""


def met_by(kind: type[langsmith.Client], call: Callable[[Any], Any]) -> Exception:
    """Return the error that a call raises, or the one that its traces get."""
    met: list[Exception] = []
    try:
        call(kind(tracing_error_callback=met.append))
    except LangSmithError as error:
        return error
    return met[0]


OLD = f"rotated LANGSMITH_API_KEY={{old}} LANGSMITH_ENDPOINT=https://{OFFICIAL[0]}"
NONE = "personal LANGSMITH_API_KEY="
WEB = "personal host=a.example layout=self-hosted LANGSMITH_ENDPOINT=https://a.example"
SYMPTOMS = (
    ("403 Client Error: Forbidden for url", OLD, scenarios.list_projects, "key-rejected"),
    ('{"detail":"Forbidden"}', OLD, scenarios.list_projects, "key-rejected"),
    ('{"error":"Forbidden"}', OLD, trace, "key-rejected"),
    (
        "org_scoped_key_requires_workspace",
        "organization_key_of_two",
        trace,
        "workspace-required",
    ),
    (
        "This API key is org-scoped and requires workspace specification",
        "organization_key_of_two",
        scenarios.list_projects,
        "workspace-required",
    ),
    ("No tenant ID found", OLD, run_url, "key-rejected"),
    ("405 Not Allowed", WEB, scenarios.create_project, "wrong-endpoint"),
    ('{"detail":"Invalid token"}', NONE, scenarios.list_projects, "key-missing"),
    ('{"error":"Unauthorized"}', NONE, trace, "key-missing"),
    (
        "Using legacy API key. Please generate a new API key.",
        "legacy",
        scenarios.list_projects,
        "key-legacy",
    ),
    ("No prompt owner specified", OLD, scenarios.pull_prompt, "key-rejected"),
)


@pytest.mark.filterwarnings("ignore")  # get_run_url() is deprecated
@pytest.mark.parametrize(("words", "world", "call", "code"), SYMPTOMS)
def test_a_symptom(
    words: str,
    world: str,
    call: Callable[[Any], Any],
    code: str,
    serve_tls: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The plain client's error has the words on the page; ours names the cause."""
    assert words in PAGES["fix/index.md"]
    enter(world, serve_tls, monkeypatch)
    plain, why = met_by(langsmith.Client, call), met_by(SafeClient, call)
    assert isinstance(why, AccessDeniedError)
    assert why.code == code
    assert words in f"{plain} {body(plain)}"
    # The first one if the SDK has compressed the batch, the second one if not.
    lines = (
        "Failed to send compressed multipart ingest",
        "Failed to multipart ingest runs",
    )
    assert call is not trace or any(line in caplog.text for line in lines)


def test_the_roles_table() -> None:
    """docs/fix/permission.md shows what each role can do."""
    rows = re.findall(r"^\| [^|]+ \| (`.+) \|$", PAGES["fix/permission.md"], re.MULTILINE)
    assert len(rows) > 5
    for row in rows:
        needed, *said = row.split(" | ")
        names = set(re.findall(r"`([^`]+)`", needed))
        roles = (ROLES["Admin"], ROLES["Editor"], ROLES["Viewer"])
        assert said == ["yes" if names <= role else "no" for role in roles], row


@pytest.mark.parametrize("module", [safe_langsmith, safe_langsmith.testing])
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    """Each has its own entry; the aliases of the clients are named in the text."""
    page = PAGES["reference.md"]
    shown = set(re.findall(rf"^::: {module.__name__}\.(\w+)$", page, re.MULTILINE))
    others = {"Client", "AsyncClient", "__version__"} & set(module.__all__)
    assert all(f"`{name}`" in page for name in others)
    assert shown == set(module.__all__) - others


@pytest.mark.parametrize("client", [SafeClient, SafeAsyncClient])
def test_every_method_that_we_add_is_in_the_reference(client: type) -> None:
    found = re.search(
        rf"^::: safe_langsmith\.{client.__name__}\n.*\n +members: \[(.*)\]$",
        PAGES["reference.md"],
        re.MULTILINE,
    )
    assert found is not None
    assert set(found[1].split(", ")) == {name for name in OWN if hasattr(client, name)}


def test_the_numbers_of_requests() -> None:
    """docs/how-it-works.md shows how many requests each cause needs."""
    counted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in SCENARIOS:
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
def test_links_lead_to_known_pages(name: str) -> None:
    """They are files or headings in this project, or known pages of LangSmith."""
    path = ROOT / name if name == "README.md" else DOCS / name
    page = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert set(re.findall(r"<(https?:[^>]+)>", page)) <= set(KNOWN_PAGES)
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page):
        if target in KNOWN_PAGES:
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.is_file(), target
        if anchor:
            heads = re.findall(
                r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE
            )
            assert anchor in map(slug, heads), f"{target}#{anchor}"


def test_every_page_is_in_the_menu_of_the_site() -> None:
    """It lists nothing else. `mkdocs build --strict` also checks the links."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed, left = set(), [site["nav"]]
    while left:
        item = left.pop()
        if isinstance(item, str):
            listed.add(item)
        else:
            left += item.values() if isinstance(item, dict) else item
    assert listed == {*PAGES, "notebook.md"}


KNOWN_PAGES = (
    "https://smith.langchain.com/settings",
    "https://docs.langchain.com/langsmith/create-account-api-key",
)


def test_an_id_is_masked() -> None:
    assert masked(f"{uuid.uuid4()} lsv2_pt_…9f2c") == "<id> lsv2_pt_…<some>"
