"""Several projects in one database, whose ids all begin at 1, with edges and steps in tables of their own."""

from __future__ import annotations

from typing import Any

import pytest
from support.lists import Lists

from peercoord.errors import UsageError
from peercoord.tasklists.sql_projects import Team

TASKS = """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT, PRIMARY KEY (project, id));
    INSERT INTO tasks VALUES (1, 'other', 'Theirs', 'todo'), (2, 'other', 'Their second', 'todo'),
      (1, 'proj', 'Tickets', 'todo'), (2, 'proj', 'Our second', 'todo'), (3, 'proj', 'Our third', 'todo');"""
STEPS = """CREATE TABLE subtasks (id INTEGER, project TEXT, task_id INTEGER, title TEXT, status TEXT);
    INSERT INTO subtasks VALUES (1, 'other', 1, 'their step', 'todo'), (2, 'other', 1, 'their second step', 'done'),
      (1, 'proj', 1, 'our step', 'todo');"""
EDGES = """CREATE TABLE task_dependencies (project TEXT, task_id INTEGER, depends_on INTEGER);
    INSERT INTO task_dependencies VALUES ('other', 1, 2), ('proj', 2, 1);"""
BARE_EDGES = """CREATE TABLE task_dependencies (task_id INTEGER, depends_on INTEGER);"""
NUMBERED = """CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO projects VALUES (7, 'proj'), (8, 'x');
    CREATE TABLE tasks (id INTEGER {key}, project_id INTEGER, title TEXT, status TEXT);
    INSERT INTO tasks VALUES (10, 7, 'Tickets', 'todo'), (11, 7, 'More', 'todo'), (20, 8, 'Theirs', 'todo'),
      (21, 8, 'Theirs', 'todo');
    CREATE TABLE subtasks (id INTEGER PRIMARY KEY, task_id INTEGER, title TEXT, done INTEGER DEFAULT 0);
    INSERT INTO subtasks (task_id, title) VALUES (20, 'theirs'), (10, 'ours'), (20, 'theirs too');
    CREATE TABLE task_dependencies (task_id INTEGER, depends_on INTEGER);
    INSERT INTO task_dependencies VALUES (20, 21), (21, 20), (11, 10);"""


def theirs(lists: Lists, *tables: str) -> list[Any]:
    """Return all that the tables hold of the other project, byte for byte."""
    return [lists.sql(f"SELECT rowid, * FROM {table} WHERE project = 'other' ORDER BY rowid") for table in tables]


def test_steps_of_another_project_are_neither_read_nor_ticked(lists: Lists) -> None:
    lists.make(TASKS + STEPS)
    before = theirs(lists, "tasks", "subtasks")
    lists.settled()
    assert [step["title"] for step in lists.raw("1")["subtasks"]] == ["our step"]
    worker = lists.join()
    worker.request()
    worker.report("1", {"steps": ["1.1"]})
    lists.settled()
    assert lists.sql("SELECT status FROM subtasks WHERE project = 'proj'") == [("done",)]
    worker.complete("1")
    lists.settled()
    assert [row[:3] for row in theirs(lists, "tasks")[0]] == [row[:3] for row in before[0]]
    assert theirs(lists, "tasks", "subtasks")[1] == before[1]
    lists.sql("UPDATE subtasks SET status = 'done' WHERE project = 'other'")
    assert lists.sync().comparisons == [], "what they do is no news here"


def test_edges_of_another_project_are_neither_read_nor_deleted(lists: Lists) -> None:
    lists.make(TASKS + EDGES + "INSERT INTO task_dependencies VALUES ('other', 2, 1);")
    before = theirs(lists, "task_dependencies")
    lists.settled()
    assert lists.state("1") == ("ready", "2"), "their edge 1 → 2 and ours 2 → 1 are no ring"
    assert lists.state("2") == ("waiting", "1")
    lists.queue.edit("2", dependencies=[3])
    lists.queue.edit("3", dependencies=[1])
    lists.settled()
    ours = "SELECT project, task_id, depends_on FROM task_dependencies WHERE project IS NOT 'other' ORDER BY 2, 3"
    assert lists.sql(ours) == [("proj", 2, 3), ("proj", 3, 1)], "what is added says whose it is"
    lists.queue.edit("2", dependencies=[])
    lists.settled()
    assert lists.sql(ours) == [("proj", 3, 1)]
    assert theirs(lists, "task_dependencies") == before


def test_two_projects_kept_in_step_leave_each_other_alone(lists: Lists) -> None:
    lists.make(TASKS + STEPS + EDGES)
    lists.settled()
    columns = "task_id, instance_id, epoch, status, project"
    lists.sql(f"INSERT INTO instance_assignments ({columns}) VALUES (1, 'them', 1, 'held', 'other')")
    before = theirs(lists, "tasks")
    other = lists.store(team=Team("0ther", "other", lists.home))
    told = other.snapshot().row("1")
    assert told is not None
    assert (told["dependencies"], told["steps_done"]) == (["2"], ["1.2"])
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.add("4")
    lists.settled()
    assert theirs(lists, "tasks") == before
    assert other.snapshot().row("1") == told
    assert lists.sql("SELECT id, title, status FROM tasks WHERE project = 'proj' AND id IN (1, 4)") == [
        (1, "Tickets", "done"),
        (4, "Task 4", "todo"),
    ]
    assert lists.sql(f"SELECT {columns} FROM instance_assignments ORDER BY id") == [
        (1, "them", 1, "held", "other"),
        (1, "w1", 1, "done", "proj"),
    ]
    other.update(4, lambda _sight: [])
    terms = lists.sql("SELECT store_id, project, term FROM peercoord_store ORDER BY 1")
    assert terms == [("0ther", "other", 4), ("s70re", "proj", 0)]


def test_a_deleted_row_and_its_neighbour_of_the_same_number(lists: Lists) -> None:
    lists.make(TASKS + STEPS + EDGES)
    lists.settled()
    lists.sql("DELETE FROM tasks WHERE id = 1 AND project = 'proj'")
    before = theirs(lists, "tasks", "subtasks", "task_dependencies")
    lists.settled()
    assert lists.state("1") == ("parked", "cancelled")
    assert theirs(lists, "tasks", "subtasks", "task_dependencies") == before


@pytest.mark.parametrize("own", ["project_name", "PROJECT_KEY"])
def test_a_project_column_may_have_other_names(lists: Lists, own: str) -> None:
    lists.make(TASKS + EDGES.replace("(project TEXT", f"({own} TEXT"))
    lists.settled()
    lists.queue.edit("3", dependencies=[1])
    lists.settled()
    found = lists.sql(f"SELECT {own}, task_id, depends_on FROM task_dependencies ORDER BY rowid")
    assert found == [("other", 1, 2), ("proj", 2, 1), ("proj", 3, 1)]


def test_rows_without_a_project_are_skipped_and_reported(lists: Lists) -> None:
    lists.make(TASKS + EDGES + "INSERT INTO task_dependencies VALUES (NULL, 3, 2);")
    outcome = lists.sync()
    assert ("table 'task_dependencies'", "rows without a project are skipped: 1") in outcome.refused
    assert lists.raw("3")["dependencies"] == []
    lists.queue.edit("3", dependencies=[1])
    lists.settled()
    assert (None, 3, 2) in lists.sql("SELECT * FROM task_dependencies")


# -- tables without a project column -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["PRIMARY KEY", "UNIQUE", "NOT NULL UNIQUE"])
def test_unique_ids_tell_whose_a_row_is(lists: Lists, key: str) -> None:
    lists.make(NUMBERED.format(key=key))
    lists.settled()
    assert lists.state("11") == ("waiting", "10")
    assert [step["title"] for step in lists.raw("10")["subtasks"]] == ["ours"]
    assert lists.store().snapshot().refused() == []


def test_projects_are_distinguished_by_number(lists: Lists) -> None:
    lists.make(NUMBERED.format(key="PRIMARY KEY"))
    with pytest.raises(UsageError, match="none of them is '8'; those there are: 'proj', 'x'") as caught:
        lists.sync(lists.store(team=Team("s70re", "8", lists.home)))
    assert "--project" in caught.value.hint
    assert lists.store(team=Team("s70re", "proj", lists.home, "8")).snapshot().digests.keys() == {"20", "21"}
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.complete("10")
    lists.queue.edit("11", dependencies=[])
    lists.add("20")
    assert "task 20" in dict(lists.sync().refused), "another project has this id"
    lists.add("12")
    lists.sync()
    tasks = lists.sql("SELECT id, project_id, title, status FROM tasks WHERE id IN (10, 12, 20) ORDER BY id")
    assert tasks == [(10, 7, "Tickets", "done"), (12, 7, "Task 12", "todo"), (20, 8, "Theirs", "todo")]
    assert lists.sql("SELECT task_id, done FROM subtasks") == [(20, 0), (10, 1), (20, 0)]
    assert lists.sql("SELECT * FROM task_dependencies") == [(20, 21), (21, 20)]


def everything(lists: Lists) -> list[Any]:
    names = [name for (name,) in lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [(name, lists.sql(f"SELECT * FROM {name}")) for name in names]


@pytest.mark.parametrize(
    "script",
    [
        TASKS + BARE_EDGES,
        TASKS + EDGES + STEPS.replace("project TEXT,", "whose TEXT,"),
        NUMBERED.format(key=""),
        NUMBERED.format(key="") + "CREATE UNIQUE INDEX some ON tasks (id) WHERE status = 'todo';",
        NUMBERED.format(key="") + "CREATE UNIQUE INDEX both ON tasks (id, project_id);",
        NUMBERED.format(key="") + "CREATE UNIQUE INDEX worked_out ON tasks (id + project_id);",
    ],
)
def test_a_table_whose_rows_may_be_of_any_project_is_refused(lists: Lists, script: str) -> None:
    lists.make(script)
    before = everything(lists)
    for do in (lists.plan, lists.sync, lambda: lists.store().explain()):
        with pytest.raises(UsageError, match=r"its table '(task_dependencies|subtasks)' does not say whose") as caught:
            do()
        assert caught.value.code == "no-project-column"
        assert "give it a column 'project" in caught.value.hint
    assert everything(lists) == before


def test_two_ways_to_name_a_project_are_refused(lists: Lists) -> None:
    lists.make(TASKS + EDGES.replace("(project TEXT", "(project_path TEXT"))
    with pytest.raises(UsageError, match="says whose a row is by 'project_path', and 'tasks' by 'project'"):
        lists.sync()


def test_one_project_alone_needs_no_project_column(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT, PRIMARY KEY (project, id));
           INSERT INTO tasks VALUES (1, 'proj', 'Tickets', 'todo'), (2, 'proj', 'More', 'todo');"""
        + BARE_EDGES
        + "INSERT INTO task_dependencies VALUES (2, 1);"
    )
    lists.settled()
    assert lists.state("2") == ("waiting", "1")
    lists.sql("INSERT INTO tasks (id, project, title) VALUES (1, 'other', 'Theirs')")
    with pytest.raises(UsageError, match="does not say whose a row is"):
        lists.sync()


# -- our own tables ----------------------------------------------------------------------------------------------


def test_a_table_of_who_had_what_from_before_gets_the_column(lists: Lists) -> None:
    lists.make("CREATE TABLE tasks (id INTEGER, title TEXT, status TEXT); INSERT INTO tasks VALUES (1, 'A', 'todo');")
    lists.settled()
    lists.sql("ALTER TABLE tasks ADD COLUMN project TEXT")
    lists.sql("UPDATE tasks SET project = 'proj'")
    lists.sql("INSERT INTO tasks (id, title, project) VALUES (1, 'B', 'other')")
    worker = lists.join()
    worker.request()
    lists.settled()
    assert lists.sql("SELECT task_id, instance_id, project FROM instance_assignments") == [(1, "w1", "proj")]


@pytest.mark.parametrize("project", ["", "project TEXT,"])
def test_a_second_team_is_refused_without_a_project_column(lists: Lists, project: str) -> None:
    lists.make(f"CREATE TABLE tasks (id INTEGER PRIMARY KEY, {project} title TEXT, status TEXT);"
               "INSERT INTO tasks (id, title, status) VALUES (1, 'A', 'todo');")  # fmt: skip
    lists.settled()
    other = Team("0ther", "second", lists.home)
    for attempt in (lists.store(team=other).snapshot, lambda: lists.store(team=other).update(1, lambda _: [])):
        with pytest.raises(UsageError, match="another team: project 'proj', store s70re") as caught:
            attempt()
        assert caught.value.code == "other-store"
        assert f"peercoord sync --database {lists.store().database.address.word} --take-over" in caught.value.hint
    lists.store(team=other, take_over=True).update(1, lambda _: [])
    assert lists.sql("SELECT store_id, term FROM peercoord_store") == [("0ther", 1)]
    assert lists.sql("SELECT count(*) FROM peercoord_sync") == [(0,)]
    with pytest.raises(UsageError, match="another team"):
        lists.sync()


def test_an_edge_that_the_database_refuses_costs_its_task(lists: Lists) -> None:
    lists.make(
        TASKS
        + """CREATE TABLE task_dependencies (project TEXT, task_id INTEGER, depends_on INTEGER,
               PRIMARY KEY (task_id, depends_on)); INSERT INTO task_dependencies VALUES ('other', 2, 1);"""
    )
    lists.settled()
    lists.queue.edit("2", dependencies=[1])
    lists.queue.edit("3", dependencies=[1])
    refused = dict(lists.sync().refused)
    assert list(refused) == ["task 2"]
    assert lists.sql("SELECT * FROM task_dependencies ORDER BY 1, 2") == [("other", 2, 1), ("proj", 3, 1)]
