"""What a worker is told of the task it holds when others cancel or edit it; and when there is no task at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from protocol.document import valid
from support.project import Project

from peercoord.store import paths

STOP = "stop, and give it back with: ./.claude-instance/coordinate.sh release 1"


@pytest.fixture
def held(project: Project) -> Project:
    """A project whose worktree holds task 1, which was edited before; task 2 is free."""
    project("task", "add", "first")
    project("task", "add", "second")
    project("task", "edit", "1", "--priority", "high")
    assert project.data("request")["task_id"] == 1
    return project


def cancel(project: Project, *more: str) -> None:
    assert project.data("task", "cancel", "1", *more, "--json", at=project.main)["held_by"] == "one"


def edit(project: Project, task: str, *changes: str) -> None:
    """Edit a task, a while after anything before: a filesystem's clock may stand still for milliseconds."""
    path = project.state / paths.definition(task)
    later = path.stat().st_mtime_ns + 60 * 10**9
    project("task", "edit", task, *changes, at=project.main)
    os.utime(path, ns=(later, later))


# -- cancelled ---------------------------------------------------------------------------------------------------


def test_the_holder_of_a_cancelled_task_is_told_whenever_it_reports_or_looks(held: Project) -> None:
    cancel(held, "--reason", "no longer \x1b[31mwanted")
    told = f'task 1 was cancelled by person ("no longer ·[31mwanted"): {STOP}'
    for words in (["report", "1", "--progress", "0.5"], ["check-status"], ["check", "--json"]):
        code, _, err = held(*words)
        assert (code, told in err, "\x1b" in err) == (0, True, False), err


@pytest.mark.parametrize("other", [True, False], ids=["another task", "none"])
def test_asking_for_the_next_task_says_which_one_was_withdrawn(held: Project, other: bool) -> None:
    cancel(held)
    if not other:
        held("task", "cancel", "2")
    code, out, err = held("request-task")
    assert (code, ('task 2: "second"' if other else "every task is done") in out) == (0, True)
    assert "task 1 was cancelled by person, and is yours no longer: stop working on it" in err
    assert "task 2" not in err, "it was not held"
    assert held.data("task", "show", "1")["detail"] == "cancelled"
    assert "cancelled" not in held("request-task")[2], "it was told"


def test_a_cancelled_task_beside_the_one_that_is_answered_is_named_too(held: Project, second: Path) -> None:
    held("request", at=second)
    assert held.data("reassign", "2", "one")["epoch"] == 2, "now one holds both"
    held("check")
    cancel(held)
    code, out, err = held("request-task")
    assert (code, 'task 2: "second" (held already)' in out) == (0, True)
    assert f"task 1 was cancelled by person: {STOP}" in err, "it is still held"


@pytest.mark.parametrize(
    ("words", "said", "told", "becomes"),
    [
        ("release 1", "task 1 is set aside, it is cancelled", "no instance will continue it", "parked"),
        ("report 1 --status failed", "attempt failed; set aside, it is cancelled", "no instance will", "parked"),
        ("report 1 --status done", "task 1 is done", "it is recorded as done even so", "done"),
    ],
)
def test_a_cancelled_task_ends_as_its_holder_says_and_no_other_gets_it(
    held: Project, second: Path, words: str, said: str, told: str, becomes: str
) -> None:
    held("check", at=second)
    cancel(held)
    refused = held.data("reassign", "1", "two")
    assert (refused["exit"], refused["message"]) == (4, "task 1 is parked: cancelled, cancelled")
    code, out, err = held(*words.split())
    assert (code, said in out, told in err) == (0, True, True), out
    assert held.data("task", "show", "1")["state"] == becomes


# -- edited ------------------------------------------------------------------------------------------------------

TOLD = "task 1 was edited since it was handed out"
LOOK = f"{TOLD}: see it with: ./.claude-instance/coordinate.sh request-task"


def test_the_holder_of_an_edited_task_is_told_once(held: Project) -> None:
    assert "edited" not in held("check")[2] + held("report", "1", "--progress", "0.1")[2], "it was edited before"
    edit(held, "1", "--description", "and mind the gap")
    assert held("-q", "report", "1", "--progress", "0.2")[2] == ""
    assert LOOK in held("report", "1", "--progress", "0.2")[2], "what was not shown is told later"
    assert "edited" not in held("check")[2] + held("report", "1", "--progress", "0.3")[2]
    edit(held, "1", "--priority", "low")
    assert LOOK in held("check")[2], "edited again"
    path = held.state / paths.definition("1")
    path.write_text(path.read_text().replace("first", "first of all"))
    os.utime(path, (2**32, 2**32))
    _, out, err = held("request-task")
    assert ("first of all" in out, f"{TOLD}: this is what it is now" in err) == (True, True), "edited by hand"
    assert "edited" not in held("check")[2]
    edit(held, "1", "--title", "at last")
    assert f"{TOLD}: see whether what is done fits: peercoord task show 1" in held("report", "--status", "done")[2]
    valid("info", json.loads((held.worktree / ".claude-instance" / "info.json").read_text()))


def test_the_holder_of_a_reassigned_task_is_told_what_was_edited_since(held: Project, second: Path) -> None:
    held("check", at=second)
    held("task", "edit", "1", "--title", "before", at=held.main)
    held("reassign", "1", "two")
    assert "edited" not in held("check", at=second)[2]
    held("reassign", "1", "one")
    held("reassign", "2", "two")
    edit(held, "2", "--title", "since")
    assert "task 2 was edited since it was handed out" in held("report", "2", "--progress", "0.1", at=second)[2]


def test_a_definition_that_cannot_be_read_keeps_no_holder_from_ending_the_task(held: Project) -> None:
    (held.state / paths.definition("1")).write_text("{,")
    assert held("check")[0] == 0
    assert held("report", "1", "--status", "done")[0] == 0


def test_a_list_that_is_still_empty_is_not_finished(project: Project) -> None:
    code, out, _ = project("request-task")
    assert (code, 'add one with: peercoord task add "TITLE"' in out) == (4, True)
    empty = {"finished": False, "total_tasks": 0, "wait": {"helps": False, "for": []}}
    assert project.data("request-task") == empty
