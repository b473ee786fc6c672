"""A database that was named: read when all else is lost, left alone otherwise, free again when the team is gone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.worlds import World

from peercoord.cli import main as cli
from peercoord.errors import PeercoordError
from peercoord.mailbox import protocol
from peercoord.queue.queue import Queue
from peercoord.store import manifest, paths, records
from peercoord.store.project import Project
from peercoord.store.root import Root, create, open_root
from peercoord.system.disk import Disk
from peercoord.tasklists import runner
from peercoord.tasklists.selection import Choice
from peercoord.team import evidence, excludes, final_sync, rebuild, safety, tasklist
from peercoord.team import plan as plans
from peercoord.team.evidence import Evidence, Known
from peercoord.team.removal import plan_purge, refuse_waiting
from peercoord.team.repository import discover

LONG_AGO = "2026-01-31T15:30:00Z"
COLUMNS = "id, title, description, status, priority, dependencies"


@dataclass
class Kept:
    """A project without agents, its tasks kept in step with a database that was named, and with a ``tasks.json``."""

    project: Project
    path: Path
    file: Path | None = None

    @property
    def state(self) -> Path:
        return self.project.directory / paths.ROOT

    @property
    def root(self) -> Root:
        return open_root(str(self.state))

    def create(self, *rows: tuple[object, ...], more: str = "") -> None:
        """Make the database."""
        self.sql(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT,"
            f" status TEXT DEFAULT 'pending', priority TEXT DEFAULT 'medium', dependencies TEXT DEFAULT '[]'{more})"
        )
        for row in rows:
            self.sql(f"INSERT INTO tasks VALUES ({', '.join('?' * len(row))})", *row)

    def set_up(self) -> list[str]:
        """Do of a set-up what concerns tasks; give its notes."""
        notes: list[str] = []
        root = create(str(self.state), self.project.name)
        excludes.hide(self.state)
        old = {**root.protocol, "created": LONG_AGO}
        root.files.put(paths.PROTOCOL, records.encode(old))
        manifest.note_project(self.project.common, self.project.sub, store_id=root.store_id)
        if self.file:
            tasklist.remember(self.project, root, Choice(str(self.path), tasks_file=str(self.file)))
            self.sync()
        else:
            plans.run(tasklist.plan(self.project, str(self.path), tasklist.Source(), notes))
        return notes

    def sync(self) -> None:
        runner.run(runner.Lists(self.root, "leader", Choice.of(self.root.protocol)))

    def lose(self) -> None:
        shutil.rmtree(self.state)

    def rebuild(self) -> list[str]:
        notes: list[str] = []
        plans.run(rebuild.plan_gone(self.project, notes))
        return notes

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def rows(self) -> list[Any]:
        return self.sql(f"SELECT {COLUMNS} FROM tasks ORDER BY id")

    def reported(self, *tasks: tuple[int, str, str], **odd: Any) -> None:
        """Leave what a worktree's peer remembers of tasks: how each ended, and its title."""
        home = self.project.directory.parent / "app-instance-1" / paths.INSTANCE
        home.mkdir(exist_ok=True)
        excludes.hide(home)
        entries = [{"task_id": task, "title": title, "status": end, "epoch": 1, **odd} for task, end, title in tasks]
        (home / "progress.json").write_text(json.dumps({"instance_id": "instance-1", "assigned_tasks": entries}))


@pytest.fixture
def kept(team, tmp_path: Path) -> Kept:
    made = Kept(team.project(), tmp_path / "mine.db")
    a, b = (1, "A", "about A", "pending", "high", "[]"), (2, "B", "about B", "done", "low", "[]")
    made.create(a, b, (3, "C", "about C", "pending", "low", "[1, 2]"))
    return made


# -- the coordination directory is lost --------------------------------------------------------------------------


@pytest.mark.parametrize("reach", ["there", "away"])
@pytest.mark.parametrize("status", ["returned", "done"])
def test_rows_lose_nothing_when_the_directory_is_lost(kept: Kept, reach: str, status: str) -> None:
    """Also where the database could not be read for the rebuild, so that of a task only the title is known."""
    kept.set_up()
    before = kept.rows()
    kept.reported((1, status, "A"))
    kept.lose()
    away = kept.path.rename(kept.path.with_name("away.db")) if reach == "away" else kept.path
    said = " ".join(kept.rebuild())
    assert ("of 1 tasks only the title is known" in said) == (reach == "away"), said
    assert ("is not there; the next sync takes them in" in said) == (reach == "away"), said
    away.rename(kept.path)
    for _ in range(2):
        kept.sync()
    after = [("done" if row[0] == 1 and status == "done" else row[3]) for row in before]
    assert kept.rows() == [(*row[:3], now, *row[4:]) for row, now in zip(before, after, strict=True)]
    assert Queue(kept.root).definition("1").raw["description"] == "about A"
    assert {task: s.state for task, s in Queue(kept.root).survey().items()} == {
        "1": "done" if status == "done" else "ready",
        "2": "done",
        "3": "ready" if status == "done" else "waiting",
    }


def test_an_open_task_of_the_rebuild_takes_edits_and_a_done_one_stays_done(kept: Kept) -> None:
    """Of both, only the title was known."""
    kept.set_up()
    before = kept.rows()
    kept.reported((1, "returned", "A"), (2, "returned", "B"))
    kept.lose()
    away = kept.path.rename(kept.path.with_name("away.db"))
    kept.rebuild()
    queue = Queue(kept.root)
    assert queue.find("2").state == "ready"
    raw = {**queue.definition("1").raw, "description": "written again"}
    kept.root.files.put(paths.definition("1"), records.encode_stored(raw))
    away.rename(kept.path)
    kept.sync()
    assert kept.rows() == [(1, "A", "written again", *before[0][3:]), *before[1:]]
    assert queue.find("2").state == "done"


def test_a_tasks_json_keeps_a_task_done_without_the_database(kept: Kept, tmp_path: Path) -> None:
    kept.file = tmp_path / "tasks.json"
    kept.file.write_text(json.dumps({"master": {"tasks": [{"id": 7, "title": "S", "status": "pending"}]}}))
    kept.set_up()
    data = json.loads(kept.file.read_text())
    task = next(one for one in data["master"]["tasks"] if one["id"] == 7)
    task |= {"status": "done", "metadata": {"peercoord": {"task": 7, "store": kept.root.store_id, "epoch": 2}}}
    kept.file.write_text(json.dumps(data))
    kept.reported((7, "in-progress", "S"))  # at epoch 1: another peer was given it since
    kept.lose()
    kept.path.rename(kept.path.with_name("away.db"))
    kept.rebuild()
    assert Queue(kept.root).find("7").state == "done"


def test_an_epoch_that_no_claim_can_have_loses_no_task(kept: Kept) -> None:
    kept.set_up()
    kept.sync()
    kept.sql("UPDATE tasks SET coordination_data = ? WHERE id = 1", json.dumps({"epoch": 10**15 - 1}))
    kept.lose()
    kept.rebuild()
    assert Queue(kept.root).find("1").state == "ready"


def test_a_claim_above_a_done_report_says_that_the_task_was_reopened(kept: Kept) -> None:
    kept.set_up()
    kept.reported((3, "done", "C"))
    assert evidence.gather(kept.project).tasks["3"].state == "done"
    current = kept.project.directory.parent / "app-instance-2" / paths.INSTANCE / protocol.CURRENT
    current.parent.mkdir(parents=True)
    excludes.hide(current.parents[1])
    current.write_text("instance-2~1.abc 3~2")
    known = evidence.gather(kept.project).tasks["3"]
    assert (known.state, known.epoch, known.hand_over) == ("open", 2, {})


def test_a_report_of_odd_values_breaks_no_later_claim(kept: Kept) -> None:
    kept.set_up()
    odd = {"blockers": 5, "achievements": {"a": 1}, "steps_done": 7, "progress": "much", "branch": ["x"]}
    kept.reported((1, "returned", "A"), (98, "done", "x\n" * 1000), (99, "done", "x\n" * 1000), **odd)
    kept.lose()
    kept.rebuild()
    queue = Queue(kept.root)
    left = records.decode(queue.files.read(paths.result("1", 1, "released")) or b"", "result")
    assert not left.keys() & {"blockers", "achievements", "steps_done", "progress"}
    assert {task: queue.find(task).state for task in ("98", "99")} == {"98": "done", "99": "done"}


def test_an_interrupted_rebuild_keeps_what_was_left(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.set_up()
    kept.lose()
    kept.state.mkdir()
    (kept.state / "written by a person").write_text("kept")
    rename = os.rename

    def crash(source: Path, target: Path) -> None:
        if Path(target) == kept.state:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        kept.rebuild()
    monkeypatch.undo()
    kept.rebuild()
    left = kept.state / paths.QUARANTINE / "before-rebuild" / "written by a person"
    assert left.read_text() == "kept"


def test_a_tasks_json_loses_nothing_either(kept: Kept, tmp_path: Path) -> None:
    kept.file = tmp_path / "tasks.json"
    step = {"id": 1, "title": "first step", "status": "done"}
    task = {"id": 7, "title": "S", "description": "about S", "status": "pending", "priority": "high"}
    task |= {"details": "how", "subtasks": [step]}
    kept.file.write_text(json.dumps({"master": {"tasks": [task]}}))
    kept.set_up()
    rows = kept.rows()
    kept.reported((7, "returned", "S"))
    kept.lose()
    away = [path.rename(path.with_name(f"away-{path.name}")) for path in (kept.path, kept.file)]
    assert "of 1 tasks only the title is known (7)" in " ".join(kept.rebuild())
    for path, back in zip(away, (kept.path, kept.file), strict=True):
        path.rename(back)
    for _ in range(2):
        kept.sync()
    [after] = [one for one in json.loads(kept.file.read_text())["master"]["tasks"] if one["id"] == 7]
    assert {key: after[key] for key in task} == task
    assert kept.rows() == rows


def test_only_the_rows_of_the_project_are_read(team, tmp_path: Path) -> None:
    made = Kept(team.project(), tmp_path / "mine.db")
    ours = (1, "ours", "about it", "pending", "high", "[]", "app")
    made.create(ours, (2, "theirs", "not ours", "pending", "high", "[]", "other"), more=", project TEXT")
    made.set_up()
    made.lose()
    made.rebuild()
    assert Queue(made.root).all_tasks() == ["1"]
    assert Queue(made.root).definition("1").raw["description"] == "about it"


def test_set_up_after_a_loss_keeps_to_the_database_that_was_named(kept: Kept) -> None:
    kept.set_up()
    kept.lose()
    away = kept.path.rename(kept.path.with_name("away.db"))
    kept.rebuild()
    kept.lose()
    [action] = tasklist.plan(kept.project, "", tasklist.Source(), [])
    kept.rebuild()
    assert "mine.db' is not there; the leader tries again" in action.do()
    assert Choice.of(kept.root.protocol).database == str(kept.path)
    assert not kept.path.exists(), "an empty one would be taken for the one on the disk that is not mounted"
    assert away.exists()


@pytest.mark.parametrize(
    ("here", "told", "state", "late"),
    [
        (3, 3, "open", False),  # the claim of epoch 3 left no result yet
        (3, 2, "open", False),
        (2, 3, "open", True),
        (0, 1, "open", True),
        (1, 1, "done", True),
    ],
)
def test_tasks_of_which_the_worktrees_know_more(here: int, told: int, state: str, late: bool) -> None:
    world = World.new()
    world.add("1")
    holder = world.join("instance-1")
    for epoch in range(1, here + 1):
        assert holder.request().task == "1"
        if epoch < here:
            holder.release("1")
    known = Evidence(tasks={"1": Known(records.define("1", "One"), state, epoch=told)})
    assert list(rebuild.behind(world.queue, known)) == (["1"] if late else [])


# -- the team is purged ------------------------------------------------------------------------------------------


def test_a_purge_lets_the_database_go_and_says_what_stays_in_it(kept: Kept) -> None:
    kept.set_up()
    before = kept.rows()
    made = plan_purge(kept.project)
    said = " ".join(made.notes)
    assert "the columns assigned_instance, instance_progress, coordination_data" in said
    assert "instance_assignments" in said
    assert f"{kept.path}.before-peercoord" in said
    assert plans.run(made.actions) == []
    assert [kept.sql(f"SELECT * FROM peercoord_{table}") for table in ("store", "sync", "base")] == [[], [], []]
    assert kept.rows() == before
    kept.set_up()
    assert len(kept.sql("SELECT store_id FROM peercoord_store")) == 1, "the same project, set up again"


def test_a_purge_goes_on_without_the_database_only_if_a_person_says_so_and_warns(kept: Kept) -> None:
    kept.set_up()
    kept.path.write_text("no database")
    with pytest.raises(PeercoordError, match="is not a SQLite database") as refused:
        plan_purge(kept.project)
    assert "--discard tasks" in refused.value.hint
    assert kept.state.exists()
    made = plan_purge(kept.project, ["tasks"])
    [warning] = plans.run(made.actions)
    assert "is not a SQLite database; it still says that it is this team's" in warning
    assert "--take-over" in warning
    assert not kept.state.exists()


def test_tasks_that_cannot_be_kept_stop_the_purge(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    Queue(create(str(kept.state), "app")).add(records.define("alpha", "only here"))
    [keep] = final_sync.plan_keep_tasks(kept.project, (), [])
    create_file = Disk.create

    def full(disk: Disk, path: str, *more: Any) -> None:
        if path.startswith("peercoord-tasks-"):
            raise OSError(errno.ENOSPC, "no space")
        create_file(disk, path, *more)

    monkeypatch.setattr(Disk, "create", full)
    with pytest.raises(PeercoordError, match="the disk is full"):
        plans.run([keep])
    monkeypatch.undo()
    plans.run([keep])
    [file] = kept.project.common.glob("peercoord-tasks-*")
    assert "only here" in file.read_text()


def test_two_projects_of_one_repository_have_a_database_each(repo) -> None:
    made = []
    for name in ("web", "api"):
        repo.commit(f"{name}/main.py")
        kept = Kept(discover(repo.path / name, exact=True), repo.path / ".git" / "none")
        root = create(str(kept.state), name)
        excludes.hide(kept.state)
        manifest.note_project(kept.project.common, name, store_id=root.store_id)
        plans.run(tasklist.plan(kept.project, "", tasklist.Source(), []))
        Queue(root).add(records.define("1", f"of {name}"))
        kept.sync()
        made.append(kept)
    web, api = made
    home = repo.path / ".git" / manifest.HOME
    files = [manifest.database(repo.path / ".git", name) for name in ("web", "api")]
    assert files == [home / "taskmaster.db", home / "taskmaster-2.db"]
    api.lose()
    api.rebuild()
    assert Queue(api.root).definition("1").title == "of api"
    assert manifest.forget_project(web.project.common, "web") is False
    assert [path.exists() for path in files] == [False, True]
    assert manifest.forget_project(api.project.common, "api") is True
    assert not home.exists()


def test_a_database_of_another_team_is_refused_before_anything_is_made(
    kept: Kept, templates: Path, tmp_path: Path
) -> None:
    kept.set_up()
    fresh = tmp_path / "lone" / "other"
    shutil.copytree(templates / "plain" / "app", fresh)
    code, _, err = cli.serve(["up", str(fresh), "1", "--database", str(kept.path)])
    assert (code, b"is kept in step with another team" in err) == (2, True), err
    assert [path.name for path in fresh.parent.iterdir()] == ["other"]
    assert not [path for path in (fresh / paths.ROOT, fresh / ".git" / manifest.HOME) if path.exists()]


# -- contributions that wait -------------------------------------------------------------------------------------


def test_two_contributions_in_conflict_are_two(kept: Kept) -> None:
    kept.set_up()
    memory = kept.state / paths.MEMORY
    for name in ("c-one", "c-two"):
        (memory / "queued" / f"{name}.json").write_text("{}")
    for kind in ("candidates", "approvals"):
        (memory / kind / "k-1.json").write_text(json.dumps({"contributions": ["c-one", "c-two"]}))
    assert safety.waiting_contributions(kept.project) == 2
    with pytest.raises(PeercoordError, match="2 contributions to the memory bank would be lost"):
        refuse_waiting(kept.project, ())
    (memory / "candidates" / "k-2.json").write_text("torn")
    assert safety.waiting_contributions(kept.project) == 3
    refuse_waiting(kept.project, ["memory"])
