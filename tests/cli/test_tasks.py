"""Commands on the task list: who adds at the same time, what is shown of earlier attempts."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

from agent.crew import until
from support.project import Project, git
from support.waiting import waits_at

from peercoord.store import paths

ADDERS = 3


def test_tasks_added_without_an_id_at_the_same_time_get_a_number_each(project: Project) -> None:
    with open(project.state / paths.INTAKE_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        adding = [
            subprocess.Popen(
                [sys.executable, "-m", "peercoord", "task", "add", f"t{number}", "--step", "s", "--json"],
                cwd=project.worktree,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for number in range(ADDERS)
        ]
        until(lambda: all(waits_at(one.pid, lock.name) for one in adding), what="all have looked for a number")
    answers = [one.communicate(timeout=240) for one in adding]
    assert [one.returncode for one in adding] == [0] * ADDERS, answers
    given = sorted(json.loads(out)["data"]["task_id"] for out, _ in answers)
    assert given == list(range(1, ADDERS + 1))
    definitions = [project.queue.definition(str(number)) for number in given]
    assert {definition.title for definition in definitions} == {f"t{number}" for number in range(ADDERS)}
    assert [definition.steps[0].step for definition in definitions] == [f"{number}.1" for number in given]


def test_a_task_shows_who_had_it_before_and_how_far_it_came(project: Project, second: Path) -> None:
    project("task", "add", "t")
    project("request")
    project("report", "--progress", "0.6")
    project("report", "--status", "failed", "--reason", "the build is \x1b[31mred")
    project("request", at=second)
    project("report", "--status", "done", at=second)
    _, out, _ = project("task", "show", "1")
    assert "  attempt 1: failed, one, at 60%, branch one: the build is ·[31mred\n" in out
    assert "  attempt 2: done, two, branch two\n" in out
    first, last = project.data("task", "show", "1")["results"]
    assert (first["epoch"], first["outcome"], first["peer"], first["progress"]) == (1, "failed", "one", 0.6)
    assert (last["epoch"], last["peer"], last["progress"]) == (2, "two", 1.0)
    assert last["commit"] == git(second, "rev-parse", "HEAD").strip()


def test_a_result_that_says_nothing_or_nonsense_is_shown_as_an_attempt(project: Project) -> None:
    project("task", "add", "t")
    for epoch, text in ((1, "{"), (2, '{"peer": 7, "branch": ["x"], "progress": "far", "reason": null}')):
        path = project.state / paths.result("1", epoch, "evicted")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert project.data("task", "show", "1")["results"] == [
        {"epoch": 1, "outcome": "evicted"},
        {"epoch": 2, "outcome": "evicted"},
    ]
