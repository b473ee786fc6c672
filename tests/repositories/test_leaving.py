"""Taking a team down: what shows the team is true afterwards, nothing starts again, nothing that was said is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import BIN, Shell, instances

COORDINATION = ".claude-coordination"


def database(path: Path, *titles: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority TEXT,"
            " dependencies TEXT)"
        )
        rows = [(number, title) for number, title in enumerate(titles, 1)]
        connection.executemany(
            "INSERT INTO tasks VALUES (?, ?, '', 'pending', 'medium', '[]')",
            rows,
        )
    return path


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def repo(sh: Shell) -> Path:
    made = sh.repository()
    sh.commit(made, "memory-bank/techContext.md", "# Tech\n")
    sh.commit(made, "memory-bank/progress.md", "# Progress\n")
    return made


@pytest.fixture
def store(sh: Shell) -> Path:
    return database(sh.base / "tm.db", "one", "two", "three")


def statuses(store: Path) -> set[str]:
    return {row[0] for row in rows(store, "SELECT status FROM tasks")}


def state(repo: Path, name: str = "state.json") -> Any:
    return json.loads((repo / COORDINATION / name).read_text())


# -- what is true afterwards -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1, 2])
def test_after_down_everything_says_that_no_instance_works(sh: Shell, repo: Path, store: Path, dead: int) -> None:
    trees = instances(sh.up(repo, 2, "--database", store))
    for tree in trees:
        assert sh.verb(tree, "request-task")["title"]
    sh.verb(trees[0], "report-progress", "--progress", "0.5", "--achievement", "half of it")
    sh.peercoord(repo, "sync")
    sh.peercoord(repo, "memory", "merge")
    progress = repo / "memory-bank" / "progress.md"
    assert "instance-1" in progress.read_text()
    assert statuses(store) >= {"in-progress"}
    for agent in sh.agents()[:dead]:
        agent.send_signal(signal.SIGKILL)
        agent.wait()
    assert sh.peercoord(repo, "down")["warnings"] == []
    assert sh.agents() == []
    queue, view = state(repo, "task_queue.json")["tasks"], state(repo)
    assert [(task["status"], task["assigned_to"]) for task in queue] == [("ready", None)] * 3
    assert (view["leader"], view["instances"], view["active_instances"]) == ("", 0, [])
    assert (view["task_assignments"], view["progress_summary"]["in_progress"]) == ({}, 0)
    for peer in ("instance-1", "instance-2"):
        report = state(repo, f"progress-reports/{peer}.json")
        assert [entry["status"] for entry in report["assigned_tasks"]] == ["released"]
    assert statuses(store) == {"pending"}
    assignments = rows(store, "SELECT status, ended_at FROM instance_assignments")
    assert len(assignments) == 2
    assert all(status != "in-progress" and ended for status, ended in assignments)
    assert "instance-1" not in progress.read_text()


# -- nothing starts ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_starts_or_joins_until_up(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    sh.peercoord(repo, "down")
    assert sh.peercoord(repo, "down")["actions"] == []
    said = sh.run(repo, BIN / "claude-coordination-status", repo).stdout
    assert "The team is down, taken down at " in said
    assert f"start it: claude-team-coordinated {repo}" in " ".join(said.split()), said
    assert sh.peercoord(repo, "status")["down"]["at"] == state(repo, "down.json")["at"]
    for verb in ("request-task", "check-status"):
        refused = sh.verb(tree, verb)
        assert (refused["exit"], refused["code"]) == (3, "down"), verb
        assert refused["hint"] == f"start it: claude-team-coordinated {repo}"
    for words in (("agent", "start"), ("request",), ("check",)):
        assert sh.peercoord(tree, *words)["code"] == "down", words
    foreground = sh.run(tree, BIN / "peercoord", "agent", "run", "--foreground", ok=False)
    assert (foreground.returncode, "taken down" in foreground.stderr) == (3, True)
    joins = "from peercoord import Peer; import sys; Peer.join(sys.argv[1], 'instance-1')"
    assert "DownError" in sh.run(repo, BIN / "python", "-c", joins, repo, ok=False).stderr
    assert sh.peercoord(repo, "doctor", "--fix")
    assert sh.agents() == []
    assert os.listdir(repo / COORDINATION / "peers") == []
    assert sh.peercoord(tree, "join")["instance"]["id"] == "instance-1"
    assert len(sh.agents()) == 1
    sh.up(repo)
    assert "down" not in sh.peercoord(repo, "status")
    assert sh.verb(tree, "request-task")["title"] == "a task"


@pytest.mark.slow
def test_a_crash_between_the_mark_and_the_stop_is_repaired_by_the_same_command(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    sh.verb(tree, "request-task")
    agents = sh.agents()
    (repo / COORDINATION / "down.json").write_text('{"schema_version": 1, "at": "2026-01-31T18:00:00Z", "by": "anna"}')
    assert sh.verb(tree, "request-task")["code"] == "down"  # its agent, which runs, says so too
    sh.peercoord(repo, "down")
    psutil.wait_procs(agents, timeout=240)
    assert sh.agents() == []
    assert state(repo, "down.json")["by"] == "anna"
    assert sh.tasks(repo) == {"1": "ready"}
    assert state(repo)["active_instances"] == []


@pytest.mark.slow
def test_an_agent_that_sees_the_mark_gives_its_tasks_back_and_leaves(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    sh.verb(tree, "request-task")
    settings = json.loads((repo / COORDINATION / "protocol.json").read_text())
    settings["settings"]["state_seconds"] = 1
    sh.peercoord(tree, "agent", "stop")
    (repo / COORDINATION / "protocol.json").write_text(json.dumps(settings))
    sh.peercoord(tree, "agent", "start")
    agents = sh.agents()
    (repo / COORDINATION / "down.json").write_text('{"at": "2026-01-31T18:00:00Z"}')
    assert psutil.wait_procs(agents, timeout=240)[1] == []
    assert os.listdir(repo / COORDINATION / "peers") == []
    assert state(repo)["active_instances"] == []
    assert sh.tasks(repo) == {"1": "ready"}


# -- what is said while it is down -------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_reported_while_the_team_is_down_is_served_after_up(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    assert sh.verb(tree, "request-task")["epoch"] == 1
    sh.verb(tree, "report-progress", "--achievement", "before")
    sh.peercoord(repo, "down")
    outbox = tree / ".claude-instance" / "outbox"
    before = set(outbox.iterdir())
    for words in (
        ("report-progress", "--achievement", "meanwhile"),
        ("report-progress", "1", "--status", "done", "--achievement", "at the end"),
        ("update-memory", "--file", "techContext.md", "--section", "Build", "--content", "use make"),
    ):
        queued = sh.verb(tree, *words)
        assert (queued["exit"], queued["code"]) == (3, "down"), words
        assert f"{words[0]} stays queued and is served after the next start" in queued["message"]
    assert len(set(outbox.iterdir()) - before) == 3
    sh.up(repo)
    sh.verb(tree, "check-status")  # served after what is queued
    assert sh.tasks(repo) == {"1": "done"}
    results = sorted((repo / COORDINATION / "results").rglob("1~*.json"))
    assert [path.name for path in results] == ["1~1.released.json", "1~2.done.json"]
    assert json.loads(results[1].read_text())["achievements"] == ["before", "meanwhile", "at the end"]
    queued = sh.peercoord(repo, "memory", "list")
    assert [one["file"] for kind in ("queued", "merged") for one in queued[kind]] == ["techContext.md"]


@pytest.mark.slow
def test_a_late_report_never_touches_another_holders_claim(sh: Shell, repo: Path) -> None:
    one, two = instances(sh.up(repo, 2))
    sh.task(repo)
    assert sh.verb(one, "request-task")["epoch"] == 1
    sh.peercoord(repo, "down")
    refused = sh.peercoord(one, "report", "1", "--status", "done", "--achievement", "late work")
    assert (
        "if no peer has claimed task 1 since, it is ended as you say; else what you say is kept" in refused["message"]
    )
    hidden = one / ".claude-instance" / "outbox-aside"
    (one / ".claude-instance" / "outbox").rename(hidden)
    sh.up(repo)
    assert sh.verb(two, "request-task")["epoch"] == 2
    sh.peercoord(one, "agent", "stop")
    for queued in hidden.iterdir():
        queued.rename(one / ".claude-instance" / "outbox" / queued.name)
    sh.peercoord(one, "agent", "start")
    sh.verb(one, "check-status")  # served after what is queued
    assert sh.tasks(repo) == {"1": "in-progress"}
    assert sh.verb(two, "check-status")["assigned_tasks"][0]["epoch"] == 2
    kept = json.loads(next((repo / COORDINATION / "results").rglob("1~1.released.json")).read_text())
    assert (kept["achievements"], kept["reported_late"]["status"]) == (["late work"], "done")


# -- what only the team knows ------------------------------------------------------------------------------------


def kept(repo: Path) -> list[Path]:
    return sorted((repo / ".git").glob("peercoord-tasks-*"))


@pytest.mark.slow
def test_purge_writes_what_was_done_to_the_list_before_the_state_goes(sh: Shell, repo: Path, store: Path) -> None:
    tree = instances(sh.up(repo, 1, "--database", store))[0]
    sh.verb(tree, "request-task")
    sh.verb(tree, "report-progress", "--status", "done")
    assert sh.peercoord(repo, "down", "--purge")["warnings"] == []
    assert [row[0] for row in rows(store, "SELECT status FROM tasks ORDER BY id")] == ["done", "pending", "pending"]
    assert not (repo / COORDINATION).exists()
    assert kept(repo) == []  # the list knows all of it


@pytest.mark.slow
def test_purge_keeps_tasks_that_only_the_team_knows_in_a_file_that_is_taken_in_again(
    sh: Shell, repo: Path, store: Path
) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo, "first", "--priority", "critical", "--step", "a", "--step", "b")
    sh.task(repo, "second", "--depends-on", "1", "--priority", "lowest", "--description", "why")
    sh.verb(tree, "request-task")
    sh.verb(tree, "report-progress", "--status", "done", "--achievement", "it runs")
    before = sh.peercoord(repo, "task", "list")["tasks"]
    planned = sh.peercoord(repo, "down", "--purge", "--dry-run")
    assert kept(repo) == []
    done = sh.peercoord(repo, "down", "--purge")
    (file,) = kept(repo)
    assert any(f"2 tasks that only this team knows in {file}" in action for action in done["actions"])
    assert any(f"in {file}" in action for action in planned["actions"])
    assert any(f"task import {file}" in note for note in done["notes"])
    content = file.read_bytes()
    assert b"it runs" in content
    tree = instances(sh.up(repo, 1))[0]
    sh.peercoord(repo, "task", "import", file)
    after = sh.peercoord(repo, "task", "list")["tasks"]
    same = ("task_id", "title", "status", "priority", "dependencies", "progress")
    assert [{key: task[key] for key in same} for task in after] == [{key: task[key] for key in same} for task in before]
    sh.peercoord(repo, "down", "--purge")  # tasks that stand as in the file are not kept again
    assert (kept(repo), file.read_bytes()) == ([file], content)
    sh.up(repo, 1, "--database", store)
    sh.task(repo, "not a number", "--id", "alpha")  # the list cannot have it
    sh.peercoord(repo, "down", "--purge")
    tasks = [json.loads(one.read_text())["master"]["tasks"] for one in kept(repo) if one != file]
    assert [[task["id"] for task in found] for found in tasks] == [["alpha"]]


@pytest.mark.slow
def test_purge_refuses_while_the_list_cannot_be_written_and_names_what_it_does_not_know(
    sh: Shell, repo: Path, store: Path
) -> None:
    tree = instances(sh.up(repo, 1, "--database", store))[0]
    store.rename(store.with_suffix(".away"))
    sh.verb(tree, "request-task")
    sh.verb(tree, "report-progress", "--status", "done")
    refused = sh.peercoord(repo, "down", "--purge")
    assert (refused["exit"], refused["code"]) == (1, "not-in-step")
    assert "tasks done here that it may not know: 1" in refused["message"]
    assert "--discard tasks" in refused["hint"]
    assert len(sh.agents()) == 1  # nothing was touched
    down = sh.peercoord(repo, "down")
    assert "tm.db" in " ".join(down["warnings"])  # without purge the team can always be taken down
    sh.peercoord(repo, "sync", "--database", "none")
    sh.peercoord(repo, "down", "--purge")
    assert b'"status": "done"' in kept(repo)[0].read_bytes()


@pytest.mark.slow
def test_a_team_whose_state_is_gone_leaves_its_own_database(sh: Shell, repo: Path) -> None:
    sh.up(repo, 1)
    sh.task(repo, "only here")
    sh.peercoord(repo, "sync")
    sh.peercoord(repo, "down")
    shutil.rmtree(repo / COORDINATION)
    sh.peercoord(repo, "down", "--purge")
    (file,) = kept(repo)
    sh.up(repo, 1)
    sh.peercoord(repo, "task", "import", file)
    assert sh.tasks(repo) == {"1": "ready"}


# -- what a team leaves behind -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_purge_left_is_listed_and_removed_once_it_is_merged(sh: Shell, repo: Path) -> None:
    one, two = instances(sh.up(repo, 2))
    sh.commit(one)
    (two / "draft.txt").write_text("draft")
    sh.peercoord(repo, "down", "--purge")
    assert not (repo / COORDINATION).exists()
    assert not (one / ".claude-instance").exists()
    listed = sh.peercoord(repo, "down")["notes"]
    assert [note.partition(" is left")[0] for note in listed] == ["../app-instance-1", "../app-instance-2"]
    again = sh.peercoord(repo, "down", "--purge")
    assert any("1 commit is on team/instance-1 alone" in note for note in again["notes"])
    assert one.exists()
    sh.git(repo, "merge", "-q", "team/instance-1")
    (two / "draft.txt").unlink()
    sh.peercoord(repo, "down", "--purge")
    assert not one.exists()
    assert not two.exists()
    assert "team/" not in sh.git(repo, "branch")
    assert not (repo / ".git" / "peercoord").exists()


@pytest.mark.slow
def test_a_branch_that_a_purge_left_alone_is_listed_and_a_worktree_can_be_named(sh: Shell, repo: Path) -> None:
    one, two = instances(sh.up(repo, 2))
    sh.commit(one)
    sh.commit(two, "other.txt")
    sh.peercoord(repo, "down", "--purge", "--discard", "instance-1")
    assert not one.exists()
    listed = " ".join(sh.peercoord(repo, "down")["notes"])
    assert "branch team/instance-1 is left" in listed
    assert "../app-instance-2 is left" in listed
    sh.peercoord(repo, "down", "--remove", "--discard", "instance-2")
    assert not two.exists()
    sh.git(repo, "branch", "-D", "team/instance-1", "team/instance-2")
    sh.peercoord(repo, "down", "--purge")
    assert not (repo / ".git" / "peercoord").exists()


@pytest.mark.slow
def test_a_worktree_in_which_something_was_typed_and_not_taken_in_stays(sh: Shell, repo: Path) -> None:
    one, two = instances(sh.up(repo, 2))
    sh.task(repo)
    sh.verb(one, "request-task")
    sh.peercoord(repo, "down")
    path = one / ".claude-instance" / "progress.json"
    said = json.loads(path.read_text())
    said["assigned_tasks"][0]["achievements"] = ["typed while it was down"]
    path.write_text(json.dumps(said))
    done = sh.peercoord(repo, "down", "--remove")
    assert [instance["id"] for instance in done["kept"]] == ["instance-1"]
    assert "something was typed into progress.json that is not taken in" in " ".join(done["notes"])
    assert not two.exists()
    sh.up(repo)
    sh.verb(one, "check-status")
    kept = json.loads(next((repo / COORDINATION / "results").rglob("1~1.released.json")).read_text())
    assert kept["achievements"] == ["typed while it was down"]
    assert sh.peercoord(repo, "down", "--remove")["kept"] == []


@pytest.mark.slow
def test_when_the_last_instance_leaves_the_task_is_back_in_the_list(sh: Shell, repo: Path, store: Path) -> None:
    tree = instances(sh.up(repo, 1, "--database", store))[0]
    sh.verb(tree, "request-task")
    sh.peercoord(repo, "sync")
    sh.run(tree, BIN / "peercoord", "leave")
    assert statuses(store) == {"pending"}
    assert state(repo)["active_instances"] == []
    assert not (repo / COORDINATION / "down.json").exists()
