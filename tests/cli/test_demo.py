"""The demonstration ends with every check holding; and a check that does not hold is exit 1."""

from __future__ import annotations

import json
from pathlib import Path

from support.project import Project

from peercoord.edges.cli import main as cli
from peercoord.edges.demo import verify


def test_a_member_is_killed_and_every_task_is_done_exactly_once() -> None:
    code, out, err = cli.serve(["demo", "--fast", "--instances", "2", "--tasks", "6", "--json"])
    answer = json.loads(out)["data"]
    assert code == 0, (answer, err)
    assert all(check["holds"] for check in answer["checks"])
    assert answer["reassigned"], "the kill struck while a task was held"
    assert answer["seconds"] < 60
    assert not any(Path(line.split("  ")[0]).exists() for line in answer["written"]), "nothing is left behind"


def test_what_is_not_true_is_seen(project: Project) -> None:
    project("task", "add", "one")
    project("task", "add", "two")
    project("request")
    project("report", "1", "--status", "done")
    (project.state / "queue" / "parked" / "held" / "1~1").touch()
    found = {c.what: c.holds for c in verify.checks(project.queue, 2, "nobody", [], [project.main])}
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
    assert verify.remembered("# Tools\n\n- a\n- b\n", lines).holds
    assert not verify.remembered("# Tools\n\n- a\n", lines).holds
    assert not verify.remembered("# Tools\n\n- a\n- b\n- b\n", lines).holds
