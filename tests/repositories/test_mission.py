"""The document this program was made from, walked through on its own example: three instances, its files, its commands.

What it says of death and waiting is tried elsewhere; here one team does what each line promises.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agent.crew import until

from .conftest import Shell

DATABASE = "Workspace/tools/claude/memory/claude_memory.db"
PROJECT = "Workspace/tools/mcp/enhanced-iterm-mcp"
BANK = ("projectbrief", "productContext", "systemPatterns", "techContext", "activeContext", "progress")
TITLES = ["Project Setup and Foundation", "Research", "API Design", *(f"Task {number}" for number in range(4, 16))]
ALTERED = {"assigned_instance", "instance_progress", "coordination_data"}
WORK = "./.claude-instance/coordinate.sh"


class Mission:
    """The example: its database of 15 tasks, its project with a memory bank, and three worktrees."""

    def __init__(self, sh: Shell) -> None:
        self.sh, self.database, self.main = sh, sh.home / DATABASE, sh.home / PROJECT
        self.database.parent.mkdir(parents=True)
        with closing(sqlite3.connect(self.database)) as made:
            made.execute(
                "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority TEXT,"
                " dependencies TEXT)"
            )
            for number, title in enumerate(TITLES, 1):
                needs = "" if number < 10 else str(number - 9)
                row = (number, title, "", "pending", "high" if number < 4 else "medium", needs)
                made.execute("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", row)
            made.commit()
        (self.main / "memory-bank").mkdir(parents=True)
        for name in BANK:
            (self.main / "memory-bank" / f"{name}.md").write_text(f"# {name}\n")
        sh.git(self.main, "init", "-q")
        sh.git(self.main, "add", "-A")
        sh.git(self.main, "commit", "-q", "-m", "first")
        sh.run(sh.home, "claude-team-coordinated", self.main, "3", "--database", self.database)
        self.trees = [self.main.with_name(f"enhanced-iterm-mcp-instance-{number}") for number in (1, 2, 3)]
        self.state = self.main / ".claude-coordination"

    def says(self, number: int, *words: str) -> str:
        """Call ``coordinate.sh`` in a worktree, as its document writes it."""
        return self.sh.run(self.trees[number - 1], WORK, *words).stdout

    def reads(self, path: Path) -> Any:
        return json.loads(path.read_text())

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as there:
            return there.execute(query).fetchall()


@pytest.fixture
def mission(sh: Shell) -> Mission:
    return Mission(sh)


@pytest.mark.slow
def test_every_line_of_the_example(mission: Mission) -> None:
    for step in (assigned, files_are_where_they_should_be, reported, shown, remembered, reassigned):
        step(mission)


def assigned(mission: Mission) -> None:
    """Each asks for a task: the most urgent whose dependencies are satisfied, and none of them twice."""
    said = [mission.says(number, "request-task") for number in (1, 2, 3)]
    assert [line.splitlines()[0] for line in said] == [f"task {n}: {title}" for n, title in enumerate(TITLES[:3], 1)]
    until(lambda: {"1", "2", "3"} <= mission.reads(mission.state / "state.json")["task_assignments"].keys())
    state = mission.reads(mission.state / "state.json")
    assert state.keys() >= {"created", "instances", "active_instances", "task_assignments", "progress_summary"}
    assert state["instances"] == 3
    first = state["active_instances"][0]
    assert first.keys() >= {"id", "worktree_path", "status", "assigned_tasks", "last_heartbeat"}
    assert (first["id"], first["worktree_path"], first["assigned_tasks"]) == ("instance-1", str(mission.trees[0]), [1])
    assert state["task_assignments"]["1"].keys() >= {"assigned_to", "status", "progress", "last_update"}
    summary = {"total_tasks", "assigned", "in_progress", "completed", "overall_progress"}
    assert state["progress_summary"].keys() >= summary
    queue = {task["task_id"]: task for task in mission.reads(mission.state / "task_queue.json")["tasks"]}
    assert (
        queue[1].items()
        >= {
            "title": TITLES[0],
            "assigned_to": "instance-1",
            "status": "in-progress",
            "dependencies_satisfied": True,
        }.items()
    )
    assert queue[1]["assigned_at"].endswith("Z")
    assert queue[10]["dependencies_satisfied"] is False


def files_are_where_they_should_be(mission: Mission) -> None:
    there = set(os.listdir(mission.state))
    assert there >= {"state.json", "task_queue.json", "memory-updates", "progress-reports"}
    for tree in mission.trees:
        inside = set(os.listdir(tree / ".claude-instance"))
        assert inside >= {"info.json", "progress.json", "memory-contributions", "coordinate.sh"}
    assert mission.reads(mission.trees[0] / ".claude-instance/info.json")["assigned_tasks"] == [1]
    assert {row[1] for row in mission.rows("PRAGMA table_info(tasks)")} >= ALTERED
    columns = {row[1] for row in mission.rows("PRAGMA table_info(instance_assignments)")}
    assert columns >= {"id", "task_id", "instance_id", "assigned_at", "status"}
    settings = mission.sh.peercoord(mission.main, "config")["settings"]
    paces = {"heartbeat_seconds": 300, "state_seconds": 30, "database_seconds": 120, "merge_seconds": 600}
    assert {key: settings[key] for key in paces} == paces


def reported(mission: Mission) -> None:
    """An instance writes into its progress.json; then the command without arguments, and the database knows."""
    path = mission.trees[0] / ".claude-instance/progress.json"
    mine = mission.reads(path)
    mine["assigned_tasks"][0] |= {
        "progress": 0.7,
        "time_spent": 3600,
        "completion_estimate": "2h remaining",
        "achievements": ["TypeScript project structure created", "MCP SDK integrated"],
    }
    mine["memory_contributions"] = [
        {
            "file": "techContext.md",
            "type": "update",
            "content": "Added TypeScript configuration details",
            "timestamp": "2025-05-26T15:20:00Z",
        }
    ]
    path.write_text(json.dumps(mine))
    assert "task 1: 70%" in mission.says(1, "report-progress")
    report = mission.reads(mission.state / "progress-reports/instance-1.json")
    assert report["assigned_tasks"][0]["completion_estimate"] == "2h remaining"
    mission.says(2, "report-progress", "2", "--status", "done")
    mission.says(3, "report-progress", "3", "--progress", "0.4")
    until(lambda: mission.rows("SELECT status FROM tasks WHERE id = 2") == [("done",)], "the database is told")
    until(lambda: "0.7" in str(mission.rows("SELECT instance_progress FROM tasks WHERE id = 1")))
    assert mission.rows("SELECT assigned_instance FROM tasks WHERE id = 1") == [("instance-1",)]
    assigned = set(mission.rows("SELECT task_id, instance_id FROM instance_assignments"))
    assert assigned == {(1, "instance-1"), (2, "instance-2"), (3, "instance-3")}


def shown(mission: Mission) -> None:
    """The dashboard has the document's lines, and each instance shows what it holds."""
    until(lambda: mission.reads(mission.state / "state.json")["task_assignments"]["1"]["progress"] == 0.7)
    said = mission.sh.run(mission.sh.home, "claude-coordination-status", mission.main).stdout
    for line in (
        "🤖 Multi-Agent Progress Dashboard\n=====================================\n",
        "📊 Overall Progress: █░░░░░░░░░ 14% (1/15 tasks)",
        '🎯 Active Instances:\n   Instance-1: Task #1 "Project Setup and Foundation" ███████░░░ 70%',
        '   Instance-2: Task #2 "Research" ██████████ 100% ✅',
        '   Instance-3: Task #3 "API Design" ████░░░░░░ 40%',
        "📋 Task Pipeline:\n   ✅ Completed: 1 task\n   🔄 In Progress: 2 tasks\n   📋 Ready: 7 tasks\n"
        "   ⏳ Blocked: 5 tasks (waiting for dependencies)\n",
        "🧠 Memory Updates:\n   📝 Pending merges: ",
        "   🔄 Last sync: ",
        "   ✅ Conflicts: 0",
    ):
        assert line in said
    assert "70%" in mission.sh.run(mission.main, "claude-instance-status", "instance-1").stdout
    assert "instance-2" in mission.says(2, "check-status")


def remembered(mission: Mission) -> None:
    """What the instances contribute is merged into the documents, and every instance sees it."""
    found = {
        1: {"systemPatterns-additions.md": "## Patterns\n\n- One queue for each tool.\n"},
        2: {"techContext-updates.md": "## Build\n\nNode 22 is needed.\n", "learnings.md": "- Panes are numbered.\n"},
        3: {"progress-report.md": "The design has two open questions.\n"},
    }
    for number, files in found.items():
        for name, text in files.items():
            (mission.trees[number - 1] / ".claude-instance/memory-contributions" / name).write_text(text)
        said = mission.says(number, "update-memory")
        assert [name for name in files if name not in said] == []
    mission.sh.peercoord(mission.main, "memory", "merge")
    bank = {name: (mission.main / "memory-bank" / f"{name}.md").read_text() for name in BANK}
    assert "- One queue for each tool." in bank["systemPatterns"]
    assert "Node 22 is needed." in bank["techContext"]
    assert "Added TypeScript configuration details" in bank["techContext"]
    assert "Panes are numbered." in bank["activeContext"]
    assert "The design has two open questions." in bank["progress"]
    assert (bank["projectbrief"], bank["productContext"]) == ("# projectbrief\n", "# productContext\n")
    for tree in mission.trees:
        assert (tree / "memory-bank/systemPatterns.md").read_text() == bank["systemPatterns"]


def reassigned(mission: Mission) -> None:
    mission.sh.run(mission.main, "claude-reassign-task", "5", "instance-2")
    assert mission.says(2, "request-task").startswith("task 5: Task 5")
