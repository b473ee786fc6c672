"""The example that this program was made from: three instances, its database, its files, its commands.

What it says of death and waiting is tried elsewhere; here one team does what each line promises.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agent.crew import until

from .conftest import Shell

BANK = ("projectbrief", "productContext", "systemPatterns", "techContext", "activeContext", "progress")
TITLES = ["Project Setup and Foundation", "Research", "API Design", *(f"Task {number}" for number in range(4, 16))]
SCRIPT = "./.claude-instance/coordinate.sh"
ENTRY = {"file": "techContext.md", "type": "update", "content": "Added TypeScript configuration details"}
NOTES = {
    1: {"systemPatterns-additions.md": "## Patterns\n\n- One queue for each tool.\n"},
    2: {"techContext-updates.md": "## Build\n\nNode 22 is needed.\n", "learnings.md": "- Panes are numbered.\n"},
    3: {"progress-report.md": "The design has two open questions.\n"},
}


def example(sh: Shell) -> tuple[Path, Path]:
    """Make the example's database of 15 tasks, and its project with a memory bank."""
    database, main = sh.home / "claude_memory.db", sh.home / "Workspace" / "enhanced-iterm-mcp"
    with closing(sqlite3.connect(database)) as made, made:
        made.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority TEXT,"
            " dependencies TEXT)"
        )
        for number, title in enumerate(TITLES, 1):
            row = (number, title, "high" if number < 4 else "medium", "" if number < 10 else str(number - 9))
            made.execute("INSERT INTO tasks VALUES (?, ?, '', 'pending', ?, ?)", row)
    (main / "memory-bank").mkdir(parents=True)
    for name in BANK:
        (main / "memory-bank" / f"{name}.md").write_text(f"# {name}\n")
    for words in ("init -q", "add -A", "commit -q -m first"):
        sh.git(main, *words.split())
    return database, main


@pytest.mark.slow
def test_every_line_of_the_example(sh: Shell) -> None:
    database, main = example(sh)
    sh.run(sh.home, "claude-team-coordinated", main, "3", "--database", database)
    trees = [main.with_name(f"enhanced-iterm-mcp-instance-{number}") for number in (1, 2, 3)]
    state = main / ".claude-coordination"

    def says(number: int, *words: str) -> str:
        return sh.run(trees[number - 1], SCRIPT, *words).stdout

    def reads(path: Path) -> Any:
        return json.loads(path.read_text())

    def rows(query: str) -> list[Any]:
        with closing(sqlite3.connect(database)) as there:
            return there.execute(query).fetchall()

    # each asks for a task: the most urgent whose dependencies are satisfied, and none of them twice
    said = [says(number, "request-task").splitlines()[0] for number in (1, 2, 3)]
    assert said == [f'task {number}: "{title}"' for number, title in enumerate(TITLES[:3], 1)]
    until(lambda: {"1", "2", "3"} <= reads(state / "state.json")["task_assignments"].keys())
    first = reads(state / "state.json")["active_instances"][0]
    assert (first["id"], first["worktree_path"], first["assigned_tasks"]) == ("instance-1", str(trees[0]), [1])
    queue = {task["task_id"]: task for task in reads(state / "task_queue.json")["tasks"]}
    assert (queue[1]["assigned_to"], queue[1]["status"]) == ("instance-1", "in-progress")
    assert (queue[1]["dependencies_satisfied"], queue[10]["dependencies_satisfied"]) == (True, False)

    # an instance writes into its progress.json; then the command without arguments, and the database has it
    path = trees[0] / ".claude-instance" / "progress.json"
    mine = reads(path)
    mine["assigned_tasks"][0] |= {"progress": 0.7, "time_spent": 3600, "completion_estimate": "2h remaining"}
    mine["memory_contributions"] = [{**ENTRY, "timestamp": "2025-05-26T15:20:00Z"}]
    path.write_text(json.dumps(mine))
    assert "task 1: 70%" in says(1, "report-progress")
    report = reads(state / "progress-reports" / "instance-1.json")
    assert report["assigned_tasks"][0]["completion_estimate"] == "2h remaining"
    says(2, "report-progress", "2", "--status", "done")
    until(lambda: rows("SELECT status FROM tasks WHERE id = 2") == [("done",)], "the database has what is done")
    until(lambda: "0.7" in str(rows("SELECT instance_progress FROM tasks WHERE id = 1")))
    assert rows("SELECT assigned_instance FROM tasks WHERE id = 1") == [("instance-1",)]
    assigned = {(1, "instance-1"), (2, "instance-2"), (3, "instance-3")}
    assert set(rows("SELECT task_id, instance_id FROM instance_assignments")) == assigned
    assert "70%" in sh.run(main, "claude-instance-status", "instance-1").stdout

    # what the instances contribute is merged into the documents, and every instance sees it
    for number, files in NOTES.items():
        for name, text in files.items():
            (trees[number - 1] / ".claude-instance" / "memory-contributions" / name).write_text(text)
        said = [says(number, "update-memory")]
        assert [name for name in files if name not in said[0]] == []
    sh.peercoord(main, "memory", "merge")
    bank = {name: (main / "memory-bank" / f"{name}.md").read_text() for name in BANK}
    for name, text in (
        ("systemPatterns", "- One queue for each tool."),
        ("techContext", "Node 22 is needed."),
        ("techContext", "Added TypeScript configuration details"),
        ("activeContext", "Panes are numbered."),
        ("progress", "The design has two open questions."),
    ):
        assert text in bank[name]
    assert (bank["projectbrief"], bank["productContext"]) == ("# projectbrief\n", "# productContext\n")
    for tree in trees:
        assert (tree / "memory-bank" / "systemPatterns.md").read_text() == bank["systemPatterns"]

    # a person moves a task to another instance
    sh.run(main, "claude-reassign-task", "5", "instance-2")
    assert says(2, "request-task").startswith('task 5: "Task 5"')
