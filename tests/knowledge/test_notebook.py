"""Tests in a real IPython kernel: `%env`, `%dotenv`, Colab secrets, and tracebacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from pages import masked, script
from stage import assert_no_secret
from traitlets.config import Config

import safe_langsmith
from safe_langsmith import AccessDeniedError, Diagnosis
from safe_langsmith.errors import error_for
from safe_langsmith.testing import SimulatedLangSmith

pytestmark = pytest.mark.slow
# Where the package under test is: the wheel, or the source.
ROOT = Path(safe_langsmith.__file__).parent.parent
# A fake of the parts of Colab's module that we use.
USERDATA = """
import threading

class SecretNotFoundError(Exception):
    pass

def get(name):
    assert threading.current_thread() is threading.main_thread()
    if name not in SECRETS:
        raise SecretNotFoundError(name)
    return SECRETS[name]

SECRETS = {}
"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Notebook:
    """A kernel in a separate process, and the output of its cells."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join([str(ROOT), str(folder / "modules")])
        environ = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environ, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, *lines: str) -> str:
        """Run a cell, and return everything that it shows or raises."""
        shown: list[str] = []

        def show(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                shown.extend(content["data"].values())
            elif kind == "error":
                shown.append(f"{content['ename']}: {content['evalue']}")

        self.client.execute_interactive("\n".join(lines), output_hook=show, timeout=60)
        return "\n".join(shown)

    def outputs(self, *lines: str) -> dict[str, list[str]]:
        """Run a cell, and return its output by kind. Notebooks show stderr on red."""
        shown: dict[str, list[str]] = {"stderr": [], "text/plain": [], "text/html": []}

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.setdefault(content["name"], []).append(content["text"])
            for kind, text in content.get("data", {}).items():
                shown[kind].append(text)

        self.client.execute_interactive("\n".join(lines), output_hook=show, timeout=60)
        return shown

    def traceback(self, *lines: str) -> str:
        """Run a cell, and return the traceback that the user sees."""
        shown: list[str] = []

        def show(message: dict[str, Any]) -> None:
            if message["msg_type"] == "error":
                shown.extend(message["content"]["traceback"])

        self.client.execute_interactive("\n".join(lines), output_hook=show, timeout=60)
        return _COLOUR.sub("", "\n".join(shown))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    colab = tmp_path / "folder" / "modules" / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").write_text("")
    (colab / "userdata.py").write_text(USERDATA)
    opened = Notebook(tmp_path / "folder")
    yield opened
    opened.close()


def keys_of(server: SimulatedLangSmith) -> tuple[str, str]:
    """Return a revoked key, and one that works."""
    own = server.add_workspace("Research", projects=2)
    old, new = (server.add_personal_key(workspaces=[own]) for _ in range(2))
    server.revoke(old)
    return old.secret, new.secret


CLIENT = (
    "from safe_langsmith import Client",
    "client = Client(auto_batch_tracing=False)",
)
CALL = "[project.name for project in client.list_projects()]"
NAMES = "'Research project 1'"


def test_env_with_quotes_and_a_comment(
    notebook: Notebook, server: SimulatedLangSmith
) -> None:
    _, key = keys_of(server)
    notebook.run(
        f"%env LANGSMITH_ENDPOINT={server.url}",
        f'%env LANGSMITH_API_KEY="{key}"  # mine',
    )
    shown = notebook.run(*CLIENT, CALL)
    assert NAMES in shown
    assert "extra characters around the key" in shown
    assert "correct LANGSMITH_API_KEY: remove everything around the key" in shown
    assert "WARNING" not in notebook.run(CALL)
    assert_no_secret(shown, [key])


def test_a_repair_is_not_shown_on_red(
    notebook: Notebook, server: SimulatedLangSmith
) -> None:
    """It is an output, not on stderr, unless the program has set up logging."""
    server.add_workspace("Research", projects=1)
    keys = [server.add_service_key(workspaces=None).secret for _ in range(2)]
    notebook.run(
        f"%env LANGSMITH_ENDPOINT={server.url}",
        f"%env LANGSMITH_API_KEY={keys[0]}",
        *CLIENT,
    )
    shown = notebook.outputs(f"names = {CALL}")
    assert shown["stderr"] == []
    assert [t.partition(" (403)")[0] for t in shown["text/plain"]] == [
        "safe_langsmith: GET /sessions was refused at first"
    ]
    assert "\u2713 repaired</b> safe_langsmith: GET" in shown["text/html"][0]
    table = notebook.outputs("client.whoami()")
    assert ">organization</th>" in table["text/html"][0]
    notebook.run("import logging; logging.basicConfig()")
    notebook.run(f"%env LANGSMITH_API_KEY={keys[1]}")
    shown = notebook.outputs(*CLIENT, f"names = {CALL}")
    assert shown["text/html"] == []
    assert "WARNING:safe_langsmith:safe_langsmith: GET" in "".join(shown["stderr"])


def test_env_with_code(notebook: Notebook, server: SimulatedLangSmith) -> None:
    keys_of(server)
    shown = notebook.run(
        f"%env LANGSMITH_ENDPOINT={server.url}",
        '%env LANGSMITH_API_KEY=userdata.get("LANGSMITH_API_KEY")',
        *CLIENT,
        CALL,
    )
    assert "KeyMalformedError: GET /sessions was refused (403)" in shown
    assert "it is code, not a key" in shown
    assert "in a notebook, write os.environ[...] = userdata.get(...)" in shown


def test_the_dotenv_is_edited_while_the_kernel_runs(
    notebook: Notebook, server: SimulatedLangSmith, tmp_path: Path
) -> None:
    old, key = keys_of(server)
    dotenv = tmp_path / "folder" / ".env"
    dotenv.write_text(f"LANGSMITH_ENDPOINT={server.url}\nLANGSMITH_API_KEY={old}\n")
    shown = notebook.run("%load_ext dotenv", "%dotenv", *CLIENT, CALL)
    assert "KeyRejectedError" in shown
    assert "folder/.env, line 2" in shown
    dotenv.write_text(f"LANGSMITH_ENDPOINT={server.url}\n# new\nLANGSMITH_API_KEY={key}\n")
    # `%dotenv` overrides nothing; the edit ends the cooldown.
    shown += notebook.run("%dotenv", CALL)
    assert NAMES in shown
    assert "folder/.env, line 3" in shown
    assert "load_dotenv(override=True)" in shown
    assert old in notebook.run("import os; os.environ['LANGSMITH_API_KEY']")
    assert_no_secret(shown, [old, key])


def test_secrets_of_colab(notebook: Notebook, server: SimulatedLangSmith) -> None:
    """They work in a cell, and in a cell with await: both run on the main thread."""
    _, key = keys_of(server)
    notebook.run(f"%env LANGSMITH_ENDPOINT={server.url}")
    shown = notebook.run(*CLIENT, CALL)
    assert "KeyMissingError" in shown
    # A Colab kernel imports this when it starts.
    notebook.run(
        "import google.colab",
        "from google.colab import userdata",
        f"userdata.SECRETS['LANGSMITH_API_KEY'] = {key!r}",
    )
    shown = notebook.run(*CLIENT, CALL)
    assert NAMES in shown
    assert "key from the Colab secret LANGSMITH_API_KEY" in shown
    shown += notebook.run(
        "from safe_langsmith import AsyncClient",
        "other = AsyncClient()",
        "answer = await other._arequest_with_retries('GET', '/sessions')",
        "[project['name'] for project in answer.json()]",
    )
    assert shown.count(NAMES) == 2
    table = notebook.run("client.diagnose()")
    assert ">tracing</th>" in table
    assert_no_secret(shown + table, [key])


def test_a_thread_reads_no_secret_of_colab(
    notebook: Notebook, server: SimulatedLangSmith
) -> None:
    """Colab may hang if a thread reads a secret; the fake module would fail."""
    _, key = keys_of(server)
    notebook.run(
        f"%env LANGSMITH_ENDPOINT={server.url}",
        "from google.colab import userdata",
        f"userdata.SECRETS['LANGSMITH_API_KEY'] = {key!r}",
    )
    shown = notebook.run(
        *CLIENT,
        "import threading",
        "def call():",
        "    try:",
        "        list(client.list_projects())",
        "    except Exception as error:",
        "        print(error)",
        "thread = threading.Thread(target=call)",
        "thread.start()",
        "thread.join()",
    )
    assert "no key was sent" in shown
    assert "they can only be read on the main thread" in shown
    assert NAMES in notebook.run(CALL)


def test_the_kernel_uses_this_python_and_package(notebook: Notebook) -> None:
    """The kernel uses the same Python and the same package as these tests."""
    import safe_langsmith

    shown = notebook.run("import sys, safe_langsmith as s", "sys.executable, s.__file__")
    assert sys.executable in shown
    assert str(safe_langsmith.__file__) in shown


# --- an uncaught error ---------------------------------------------------------------

INSIDE_THE_SDK = "langsmith/client.py"


@pytest.fixture
def refused(notebook: Notebook, server: SimulatedLangSmith) -> Notebook:
    """A notebook whose client has a revoked key."""
    old, _ = keys_of(server)
    notebook.run(f"%env LANGSMITH_ENDPOINT={server.url}", f"%env LANGSMITH_API_KEY={old}")
    notebook.run(*CLIENT)
    return notebook


def test_an_error_shows_its_text_and_where_you_called(refused: Notebook) -> None:
    shown = refused.traceback("import os", CALL)
    lines = shown.splitlines()
    assert lines[0].startswith("KeyRejectedError: GET /sessions was refused (403)")
    assert re.fullmatch(
        rf"  called:    Cell In\[\d+\], line 2: {re.escape(CALL)}", lines[-2]
    )
    assert lines[-1] == "  traceback: %tb"
    assert len(lines) <= 14
    assert INSIDE_THE_SDK not in shown


def test_an_error_in_a_cell_with_await(refused: Notebook) -> None:
    refused.run("import asyncio", "async def ask():", f"    return {CALL}")
    shown = refused.traceback("await ask()")
    assert re.search(rf"called:    Cell In\[\d+\], line 3: return {re.escape(CALL)}", shown)
    assert INSIDE_THE_SDK not in shown


@pytest.mark.parametrize("asks", ["%tb", "%tb Verbose", "%tb Plain"])
def test_the_full_traceback_can_be_shown(refused: Notebook, asks: str) -> None:
    assert INSIDE_THE_SDK not in refused.traceback(CALL)
    shown = refused.traceback(asks)
    assert INSIDE_THE_SDK in shown
    assert "KeyRejectedError: GET /sessions was refused (403)" in shown
    # `%tb` does not change how later errors are shown.
    assert INSIDE_THE_SDK not in refused.traceback(CALL)


def test_the_modes_of_xmode_are_respected(refused: Notebook) -> None:
    refused.run("%xmode Verbose")
    assert INSIDE_THE_SDK in refused.traceback(CALL)
    refused.run("%xmode Minimal")
    shown = refused.traceback(CALL)
    assert shown.startswith("KeyRejectedError: ")
    assert "called:" not in shown
    refused.run("%xmode Context")
    assert "called:" in refused.traceback(CALL)


def test_the_line_in_a_file_of_yours(refused: Notebook, tmp_path: Path) -> None:
    module = tmp_path / "folder" / "report.py"
    module.write_text(f"def names(client):\n    return {CALL}\n")
    shown = refused.traceback("import report", "report.names(client)")
    assert f"  called:    {module}, line 2: return {CALL}" in shown


def test_the_line_is_not_in_a_library_of_the_user_s_folder(
    refused: Notebook, tmp_path: Path
) -> None:
    library = tmp_path / "lib" / "site-packages" / "library.py"
    library.parent.mkdir(parents=True)
    library.write_text(f"def names(client):\n    return {CALL}\n")
    refused.run(f"import sys; sys.path.append({str(library.parent)!r})")
    shown = refused.traceback("import library", "library.names(client)")
    assert re.search(r"  called:    Cell In\[\d+\], line 2: library.names\(client\)", shown)


def test_our_error_inside_a_chain_of_errors(refused: Notebook) -> None:
    """The user's own error, raised from ours, is shown in IPython's usual form."""
    shown = refused.traceback(
        "try:",
        f"    {CALL}",
        "except Exception as error:",
        "    raise ValueError('no projects') from error",
    )
    assert "ValueError: no projects" in shown
    assert "KeyRejectedError: GET /sessions was refused (403)" in shown


# --- the same in this process, which measures coverage --------------------------------


class Shell:
    """IPython in this process, and its output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        self.shell: Any = InteractiveShell.instance(config=config)
        self._capsys = capsys

    def run(self, cell: str) -> str:
        self.shell.run_cell(cell)
        return self._capsys.readouterr().out


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    names = ("displayhook", "excepthook", "last_type", "last_value", "last_traceback")
    before = {name: getattr(sys, name, None) for name in names}
    yield Shell(capsys)
    InteractiveShell.clear_instance()
    for name, value in before.items():
        setattr(sys, name, value)


def rejected() -> AccessDeniedError:
    return error_for(Diagnosis(code="key-rejected", resolved=False, summary="No.\nNo."))


RAISE = "from test_notebook import rejected; raise rejected()"


def test_the_forms_in_ipython(shell: Shell) -> None:
    short = shell.run(RAISE)
    assert short.startswith("KeyRejectedError: No.\nNo.\n")
    assert re.search(rf"  called:    Cell In\[\d+\], line 1: {re.escape(RAISE)}\n", short)
    assert "Traceback" in shell.run("%tb")
    assert "Traceback" not in shell.run(RAISE)
    shell.run("%xmode Plain")
    assert "Traceback" in shell.run(RAISE)


def test_a_script_that_is_run_in_ipython(shell: Shell) -> None:
    """Its path is shown unchanged, as for cells in older releases of IPython."""
    path = Path("script.py").resolve()
    path.write_text(RAISE)
    assert f"  called:    {path}, line 1: {RAISE}\n" in shell.run("%run script.py")


def test_an_error_without_a_line_of_the_program(shell: Shell) -> None:
    """Its traceback starts inside an installed package, as in a widget's callback."""
    inside = compile("raise error", str(Path(os.__file__).with_name("x.py")), "exec")
    error = rejected()
    try:
        exec(inside, {"__name__": "x", "error": error})
    except AccessDeniedError:
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next
        shown = error._render_traceback_()
    assert shown[0].startswith("KeyRejectedError: ")
    assert shown[1:] == ["  traceback: %tb"]


def test_without_a_shell_it_is_the_traceback_of_python() -> None:
    error = rejected()
    try:
        raise error
    except AccessDeniedError:
        assert "".join(error._render_traceback_()) == traceback.format_exc()


def test_python_shows_the_usual_traceback() -> None:
    here = Path(__file__).parent
    code = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]}; {RAISE}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "safe_langsmith.errors.KeyRejectedError: No." in done.stderr


# --- the notebook in docs ---------------------------------------------------------------


def outputs(notebook: Any) -> list[str]:
    """Return the source and the output of each cell."""
    shown = []
    for cell in notebook.cells:
        parts = [cell.source]
        for output in cell.get("outputs", []):
            texts = sorted(output.get("data", {}).values())
            parts += [output.get("text", ""), *texts, *output.get("traceback", [])]
        shown.append(masked(_COLOUR.sub("", "\n".join(parts))))
    return shown


def test_the_notebook_in_docs_is_current() -> None:
    make_notebook = script("make_notebook")
    text = make_notebook.NOTEBOOK.read_text(encoding="utf-8")
    kept = make_notebook.kept()
    assert outputs(make_notebook.executed()) == outputs(kept), "run docs/make_notebook.py"
    assert not re.search(r"lsv2_.._[0-9a-f]{5}|/tmp/|ipykernel_", text)
    errors = [o.ename for c in kept.cells for o in c.get("outputs", []) if "ename" in o]
    assert errors == ["KeyRejectedError", "WorkspaceRequiredError"]
