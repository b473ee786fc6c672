"""The demonstration ends with every check holding; and a check that does not hold is exit 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support import answers
from support.project import Project

from peercoord.cli import demo as demo_command
from peercoord.cli import main as cli
from peercoord.demo import demo


@pytest.mark.slow
def test_a_member_is_killed_and_every_task_is_done_exactly_once() -> None:
    code, out, err = cli.serve(["demo", "--fast", "--instances", "2", "--tasks", "6", "--json"])
    answer = answers.read(out, "demo")["data"]
    assert code == 0, (answer, err)
    assert all(check["holds"] for check in answer["checks"])
    assert answer["reassigned"], "the kill struck while a task was held"
    assert not any(Path(line.split("  ")[0]).exists() for line in answer["written"]), "nothing is left behind"


@pytest.mark.parametrize("moment", ["A team of", pytest.param("/6 done", marks=pytest.mark.slow)])
def test_one_that_is_broken_off_leaves_nothing_and_says_so(tmp_path: Path, moment: str) -> None:
    words = [sys.executable, "-m", "peercoord", "demo", "--instances", "2", "--tasks", "6"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as shown:
        assert shown.stdout is not None
        assert any(moment in line for line in shown.stdout)
        os.kill(shown.pid, signal.SIGINT)
        _, err = shown.communicate(timeout=240)
    # Python ends itself by the signal if that came while a text was executed as code, which dataclasses do.
    assert shown.returncode in (130, -signal.SIGINT), err
    assert "broken off; " in err
    assert "is removed" in err
    assert list(tmp_path.glob("peercoord-demo-*")) == []
    below = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert below == [], "no agent and no worker is left"


def test_it_ends_with_the_command_for_a_project_of_ones_own() -> None:
    data = {"checks": [], "reassigned": [], "written": [], "seconds": 1.0}
    last = demo_command._lines(data, keep=False)[-1]
    command = last.removeprefix("Your own project:  ").removesuffix(" PATH-TO-IT 3")
    assert subprocess.run([command, "--help"], capture_output=True, check=True).stdout.startswith(b"Usage: claude-team")


def test_what_is_not_true_is_seen(project: Project) -> None:
    project("task", "add", "one")
    project("task", "add", "two")
    project("request")
    project("report", "1", "--status", "done")
    (project.state / "queue" / "parked" / "held" / "1~1").touch()
    found = {c.what: c.holds for c in demo.final_checks(project.queue, 2, "nobody", [], [project.main])}
    assert found == {
        "all 2 tasks are done": False,
        "every task has exactly one ticket": False,
        "every task was done exactly once": True,
        "what nobody held was done by others": False,
        "state.json and task_queue.json say so too": False,
        "git status is clean everywhere": True,
    }


def test_what_is_not_remembered_once_is_seen() -> None:
    lines = ["- a", "- b"]
    assert demo.remembered("# Tools\n\n- a\n- b\n", lines).holds
    assert not demo.remembered("# Tools\n\n- a\n", lines).holds
    assert not demo.remembered("# Tools\n\n- a\n- b\n- b\n", lines).holds
