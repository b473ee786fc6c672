"""A shell completes commands, ids, instances and settings; where there is no project it completes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from support.project import Project

from peercoord.cli import completion, main


def completed(*words: str, program: str = "peercoord") -> list[str]:
    """Complete the last word of a command line."""
    command = main.cli if program == "peercoord" else main._called({"claude-reassign-task": "reassign"}[program])
    shell = ShellComplete(command, {}, program, completion.variable(program))
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def there(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    for title in ("first", "second", "\x1b[2Jthird"):
        project("task", "add", title)
    project("request")
    monkeypatch.chdir(project.main)
    return project


def test_ids_instances_and_settings_are_known(there: Project) -> None:
    assert completed("task", "sh") == ["show"]
    for words in (["task", "show"], ["task", "add", "t", "--depends-on"], ["report"], ["reassign"]):
        assert completed(*words, "") == ["1", "2", "3"]
    assert completed("task", "edit", "2") == ["2"]
    assert completed("reassign", "1", "o") == ["one"]
    assert completed("instance", "") == ["one"]
    assert completed("2", "", program="claude-reassign-task") == ["one"]
    assert completed("config", "max_") == ["max_attempts"]
    assert completed("config", "uncommitted", "") == ["warn", "refuse"]
    assert completed("report", "1", "--status", "b") == ["blocked"]
    items = ShellComplete(main.cli, {}, "peercoord", "X").get_completions(["task", "show"], "")
    assert [item.help for item in items][:2] == ["first", "second"]
    assert all("\x1b" not in str(item.help) for item in items), "titles reach the terminal harmless"


def test_the_project_that_is_named_counts(there: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path.parent)
    assert completed("task", "show", "") == []
    assert completed("reassign", "1", "") == []
    assert completed("-C", str(there.main), "task", "show", "") == ["1", "2", "3"]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_by_what_the_command_prints(there: Project) -> None:
    script = """
    eval "$(peercoord completion bash)"
    complete -p claude-team-coordinated claude-reassign-task >/dev/null || exit 1
    COMP_WORDS=(peercoord task show "") COMP_CWORD=3
    _peercoord_completion peercoord
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["1", "2", "3"]


def test_every_program_is_in_the_script_and_it_is_announced_where_people_look(there: Project) -> None:
    for shell in completion.SHELLS:
        text = there.data("completion", shell)["text"]
        assert all(completion.variable(program) in text for program in main.PROGRAMS)
    _, out, err = main.serve([])
    assert "peercoord completion bash" in (out + err).decode()
