"""Tests that the completion scripts are current, and that a real bash completes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pages import script

from safe_langsmith._command.cli import main
from safe_langsmith._command.explanations import EXPLANATIONS

CODES = [e.code for e in EXPLANATIONS]
# What bash does when Tab is pressed: call the registered function.
PRESS_TAB = """
eval "$(cat)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function_of=$(complete -p safe-langsmith)
function_of=${function_of#* -F }
${function_of% *}
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    assert main(["completion", "bash"]) == 0
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", PRESS_TAB, "bash", "safe-langsmith", *words],
        input=capsys.readouterr().out,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_scripts_are_what_is_generated(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, text in script("make_completion").scripts().items():
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == text, "run: python docs/make_completion.py"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), ("doctor", "explain", "replay", "demo", "completion")),
        (("doc",), ("doctor",)),
        (("--ver",), ("--version",)),
        (("doctor", "--js"), ("--json",)),
        (("doctor", "--env-file", ""), ("settings.env", "traces")),
        (("doctor", "--json", "--env-file", "set"), ("settings.env",)),
        (("replay", ""), ("traces",)),
        (("explain", ""), (*CODES,)),
        (("explain", "key-m"), ("key-missing", "key-malformed")),
        (("completion", ""), ("bash", "zsh")),
        (("no-such-command",), ()),
    ],
    ids=str,
)
def test_bash_completes(
    words: tuple[str, ...], offered: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("settings.env").touch()
    Path("traces").mkdir()
    found = completed(capsys, *words)
    assert {*offered} <= {*found}
    # Options and commands that are not listed here may be offered too.
    assert len(found) == len(set(found))
    if words[-1]:
        assert all(word.startswith(words[-1]) for word in found)


def test_zsh_s_script_is_one_for_its_folder_of_functions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Zsh is rarely installed, so check only the first line and the codes."""
    assert main(["completion", "zsh"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("#compdef safe-langsmith\n")
    assert " ".join(CODES) in shown


def test_another_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
