"""Where a team's tasks come from: a list that is named is kept in step, one that is found is read, and choices stay."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from peercoord.agent import control
from peercoord.doctor import checks
from peercoord.errors import PeercoordError
from peercoord.queue.queue import Queue
from peercoord.store import manifest, paths
from peercoord.store.project import Project
from peercoord.store.root import Root, open_root
from peercoord.tasklists import runner, selection
from peercoord.tasklists.selection import Choice
from peercoord.team import plan as plans
from peercoord.team import up
from peercoord.team.removal import plan_leave
from peercoord.team.repository import team_instances

FILE = ".taskmaster/tasks/tasks.json"


class Listed:
    """A project with a ``tasks.json``, and set-up without agents in it."""

    def __init__(self, project: Project, fresh: bool = True) -> None:
        self.project, self.file = project, project.directory / FILE
        if fresh:
            self.write(master=[(1, "Alpha")], other=[(9, "Only here")])
            self.switch("master")

    def write(self, **tags: list[tuple[int, str]]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        rows = {tag: [{"id": n, "title": title, "status": "pending"} for n, title in of] for tag, of in tags.items()}
        self.file.write_text(json.dumps({tag: {"tasks": tasks} for tag, tasks in rows.items()}, indent=2))

    def switch(self, tag: str) -> None:
        (self.file.parent.parent / "state.json").write_text(json.dumps({"currentTag": tag}))

    def up(self, **wished: Any) -> str:
        """Set the team up; give notes and warnings."""
        made = up.plan(self.project, up.SetupOptions(1, **wished))
        warnings = plans.run(made.actions)
        return "\n".join([*made.notes, *warnings])

    @property
    def root(self) -> Root:
        return open_root(str(self.project.directory / paths.ROOT))

    @property
    def queue(self) -> Queue:
        return Queue(self.root)

    @property
    def choice(self) -> Choice:
        return Choice.of(self.root.protocol)

    @property
    def tasks(self) -> list[str]:
        return sorted(self.queue.all_tasks())

    def sync(self) -> list[Any]:
        return runner.run(runner.Lists(self.root, "leader", self.choice))

    def made_by_the_first_release(self, tag: str | None = None, sync: bool = False) -> None:
        """Leave what a set-up of package 0.1.0 leaves: a source without its use, and a list without its tag."""
        self.up(import_only=not sync, sync=sync)
        team = manifest.read_team(self.project.common)
        mine = team["projects"][self.project.sub]
        del mine["source_use"]
        mine["tag"] = tag
        manifest.note_team(self.project.common, projects=team["projects"])
        if sync:
            choice = self.choice
            choice.tag = tag
            selection.remember(self.root, choice)


@pytest.fixture
def listed(repo: Any, monkeypatch: pytest.MonkeyPatch) -> Listed:
    monkeypatch.setattr(control, "start", lambda *_: None)  # no agents: what they sync is synced here
    return Listed(repo.project(exact=True))


def test_a_list_that_is_named_is_kept_in_step_or_only_read_as_a_person_says(listed: Listed, tmp_path: Path) -> None:
    before, named = listed.file.read_bytes(), str(listed.file)
    assert "kept in step from now on, both ways" in listed.up(tasks=named)
    assert (listed.choice.tasks_file, listed.choice.tag) == (FILE, "master")
    assert listed.file.read_bytes() == before, "set-up alone changes nothing there"
    listed.queue.cancel("1")
    listed.sync()
    assert json.loads(listed.file.read_text())["master"]["tasks"][0]["status"] == "cancelled"
    assert "kept in step" not in listed.up(tasks=named, import_only=True)
    assert (listed.tasks, listed.choice.tasks_file) == (["1"], "")
    database = tmp_path / "plan.db"
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies TEXT)")
    listed.up(tasks=str(database))
    assert listed.choice.database == str(database)
    listed.up(tasks=str(database), import_only=True)
    assert "plan.db" not in listed.choice.database


def test_a_list_that_is_found_is_only_read_and_set_up_says_so(listed: Listed) -> None:
    said = listed.up()
    assert f"'{FILE}' is only read, since it was found, not named" in said
    assert f"to keep it in step: claude-team-coordinated {listed.file.parents[2]} --sync" in said
    assert (listed.tasks, listed.choice.tasks_file) == (["1"], "")
    assert "is only read" in listed.up()
    listed.up(sync=True)
    assert listed.choice.tasks_file == FILE
    assert "is only read" not in listed.up()


def test_set_up_and_sync_keep_to_the_tag_that_was_current(listed: Listed) -> None:
    listed.up(tasks=str(listed.file))
    listed.switch("other")
    assert "is 'other' now; the team stays with 'master'" in listed.up()
    listed.queue.cancel("1")
    listed.sync()
    data = json.loads(listed.file.read_text())
    assert [data[tag]["tasks"][0]["status"] for tag in ("master", "other")] == ["cancelled", "pending"]
    told = selection.switched(listed.root)
    assert told is not None
    assert "is 'other' now; the team stays with 'master'" in told[0]
    assert f"peercoord sync --tasks-file {listed.file} --tag other" in told[1]
    listed.up(tasks=str(listed.file), tag="other")
    assert listed.file.read_text() == json.dumps(data, indent=2), "it is given none of the first tag's tasks"
    listed.queue.cancel("9")
    listed.sync()
    assert (listed.choice.tag, listed.tasks) == ("other", ["1", "9"]), "a person asked for it"
    tasks = {tag: rows["tasks"] for tag, rows in json.loads(listed.file.read_text()).items()}
    assert [[one["id"] for one in tasks[tag]] for tag in ("master", "other")] == [[1], [9]]
    assert tasks["other"][0]["status"] == "cancelled"


@pytest.mark.parametrize("wished", [{}, {"sync": True}])
def test_a_tag_that_is_gone_is_named_and_nothing_is_taken_in(listed: Listed, wished: Any) -> None:
    listed.up(**wished)
    listed.write(other=[(9, "Only here"), (1, "Not Alpha")])
    if not wished:
        said = listed.up()
        assert "nothing was taken in" in said
        assert "has no tag 'master'" in said
        assert "say which with --tag" in said
    else:
        with pytest.raises(PeercoordError, match="has no tag 'master'"):
            listed.sync()
        assert "has no tag 'master'" in str(runner.troubles(listed.root))
    assert listed.tasks == ["1"]
    assert listed.queue.find("1").state == "ready"


@pytest.mark.parametrize("wished", [{}, {"named": True}])
def test_a_team_of_the_first_release_stays_as_it_is_until_a_person_says_so(listed: Listed, wished: Any) -> None:
    listed.made_by_the_first_release()
    listed.switch("other")
    named = {"tasks": str(listed.file)} if wished else {}
    for _ in range(2):
        said = listed.up(**named)
        assert "is only read, as package 0.1.0 did; to keep it in step" in said
        assert (listed.tasks, listed.choice.tasks_file) == (["1"], ""), "and its tag is that of its tasks"
    listed.up(**named, sync=True)
    assert (listed.choice.tasks_file, listed.choice.tag) == (FILE, "master")


def test_a_tag_that_the_first_release_did_not_choose_is_pinned_with_what_was_agreed(listed: Listed) -> None:
    listed.made_by_the_first_release(sync=True)
    assert listed.choice.tag is None
    listed.write(master=[(1, "Alpha"), (2, "Beta"), (3, "Gamma")], other=[(9, "Only here")])
    choice = listed.choice
    lists = runner.Lists(listed.root, "leader", choice)
    assert lists.file is not None
    lists.file.key, lists.file.tag = "", None  # what 0.1.0 remembers it by
    runner.run(lists)
    listed.switch("other")
    listed.write(master=[(1, "Alpha"), (3, "Gamma")], other=[(9, "Only here")])
    choice = listed.choice
    runner.run(runner.Lists(listed.root, "leader", choice))
    assert (choice.tag, choice.late) == ("master", True)
    assert listed.queue.find("2").detail == "cancelled", "what was agreed on is still known"
    assert listed.tasks == ["1", "2", "3"]
    selection.remember(listed.root, choice)
    assert listed.choice.facts() == choice.facts()


def test_a_list_that_turns_up_later_is_named_and_not_taken_in(listed: Listed, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"tasks": [{"id": 5, "title": "Mine", "status": "pending"}]}))
    listed.up(tasks=str(mine))
    assert listed.tasks == ["5"]
    said = listed.up()
    assert f"'{FILE}' is another list, and is not imported" in said
    assert listed.tasks == ["5"]


def test_an_export_of_beads_is_read_once(listed: Listed, tmp_path: Path) -> None:
    export = tmp_path / "issues.jsonl"
    export.write_text('{"id": "bd-1", "title": "Bead", "status": "open"}\n')
    assert "is read once: an export of beads is not kept in step" in listed.up(tasks=str(export))
    assert (listed.tasks, listed.choice.tasks_file) == (["bd-1"], "")
    with pytest.raises(PeercoordError, match="can only be read"):
        listed.up(tasks=str(export), sync=True)


@pytest.mark.parametrize(
    ("wished", "text"),
    [
        ({"sync": True, "import_only": True}, "contradict each other"),
        ({"tasks": FILE, "database": "none"}, "through a database"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(listed: Listed, wished: Any, text: str) -> None:
    if "tasks" in wished:
        wished = {**wished, "tasks": str(listed.file)}
    with pytest.raises(PeercoordError, match=text):
        listed.up(**wished)
    assert not (listed.project.directory / paths.ROOT).exists()


# -- copies of a tracked list in the worktrees -------------------------------------------------------------------


@pytest.fixture
def tracked_list(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> Listed:
    monkeypatch.setattr(control, "start", lambda *_: None)
    task = {"id": 1, "title": "One", "status": "pending"}
    tracked.commit(FILE, json.dumps({"master": {"tasks": [task]}}))
    return Listed(tracked.project(exact=True), fresh=False)


def has_a_copy(listed: Listed) -> bool:
    return any("instance-1 has a copy of the list in step" in one.text for one in checks.examine_lists(listed.root))


def test_a_tracked_list_in_step_is_left_out_of_the_worktrees(tracked_list: Listed, tracked: Any) -> None:
    listed, tree = tracked_list, tracked.instance(1)
    said = listed.up(tasks=str(listed.file))
    assert f"'{FILE}' is tracked, so each worktree would have a stale copy of it" in said
    assert not (tree.path / FILE).exists()
    assert (tree.path / "memory-bank").is_symlink(), "the link is as it was"
    assert (tree.status(), tracked.status()) == ("", "")
    tree.commit("work.txt")
    assert tree.git("diff", "--name-only", "HEAD~1").split() == ["work.txt"], "no commit removes it"
    assert ("is tracked" in listed.up(), has_a_copy(listed)) == (False, False)
    tree.write(FILE, '{"tasks": [1]}')  # it comes back
    assert has_a_copy(listed)
    assert "was changed there, which no other worktree sees" in listed.up()
    (tree.path / FILE).unlink()
    plans.run(plan_leave(listed.project, team_instances(listed.project)[0]))
    assert ((tree.path / FILE).exists(), tree.status()) == (True, ""), "a worktree that leaves has it again"


def test_a_copy_that_was_changed_stays_and_is_named(tracked_list: Listed, tracked: Any) -> None:
    listed, tree = tracked_list, tracked.instance(1)
    assert "is tracked" not in listed.up(), "a list that is only read stays"
    (tree.path / FILE).write_text('{"tasks": []}')
    assert f"'{FILE}' in ../app-instance-1 was changed there" in listed.up(tasks=str(listed.file))
    assert ((tree.path / FILE).read_text(), has_a_copy(listed)) == ('{"tasks": []}', True)
    tree.git("checkout", "--", FILE)
    listed.up()
    assert not (tree.path / FILE).exists()
