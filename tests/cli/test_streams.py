"""Standard streams that are closed or full: no traceback, the work is done once, and the exit code says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import Project, project

__all__ = ["project"]

READ = ["--help", "--version", "status", "instance one", "task list", "task show 1 --json", "check", "memory list"]
READ += ["review list", "agent status", "agent call -- check-status", "sync --dry-run", "doctor", "events", "config"]
WRITE = ["task edit 1 --title t", "task cancel 1", "task export {}/out.json --format tasks", "request --json"]
WRITE += ["report 1 --progress 0.5", "release 1", "reassign 1 one", "memory add --file techContext.md --content x"]
WRITE += ["memory merge", "config max_attempts 4", "down --dry-run", "no-such-command", "task show no-such --json"]
STREAMS = [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full"]


def run(project: Project, words: str, streams: str) -> subprocess.CompletedProcess[str]:
    line = f"exec '{sys.executable}' -m peercoord {words} {streams}"
    env = {**os.environ, "PEERCOORD_NO_AGENT": "1"}
    return subprocess.run(
        ["sh", "-c", line], cwd=project.worktree, env=env, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("words", READ + WRITE)
def test_no_command_ends_in_a_traceback(project: Project, words: str, streams: str, tmp_path: Path) -> None:
    project("task", "add", "one")
    done = run(project, words.format(tmp_path), streams)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in (0, 1, 2, 3, 4)


@pytest.mark.parametrize("streams", STREAMS)
def test_what_was_done_is_done_once_and_said_by_the_exit_code_and_written_into_no_file(
    project: Project, streams: str
) -> None:
    done = run(project, "task add one", streams)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert set(project.queue.all_tasks()) == {"1"}
    for path in [*project.state.rglob("*"), *(project.worktree / ".claude-instance").rglob("*")]:
        if path.is_file():
            assert b"peercoord: " not in path.read_bytes(), path


def test_a_claim_that_is_not_shown_is_given_back(project: Project) -> None:
    project("task", "add", "one")
    for streams in (">&-", ">/dev/full"):
        done = run(project, "request --json", streams)
        assert done.returncode == 1
        assert "task 1 was given back" in done.stderr
        assert project.queue.find("1").state == "ready"
    assert project("request")[0] == 0
    assert run(project, "request", ">/dev/full").returncode == 1
    assert project.queue.find("1").state == "claimed", "held before: nothing is given back"


@pytest.mark.parametrize("words", ["status --json", "task list"])
def test_a_question_without_an_answer_has_failed(project: Project, words: str) -> None:
    done = run(project, words, ">/dev/full")
    assert done.returncode == 1
    assert "the answer could not be written to standard output" in done.stderr
    assert run(project, words, ">&-").returncode == 0, "closed on purpose"
