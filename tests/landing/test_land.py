"""What lands, what does not, and how the branch and its checkouts move."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from landing.conftest import Scene
from team.conftest import Repo

from peercoord.errors import LostError, NotFoundError, UsageError
from peercoord.landing import branch as branches
from peercoord.landing import land as landing
from peercoord.store import landings, paths
from peercoord.team.removal import plan_purge

PINNED = landings.PINNED


# -- the usual case ----------------------------------------------------------------------------------------------


def test_finished_work_lands_in_order_and_the_main_checkout_has_it(scene: Scene) -> None:
    scene.done(1, "1", {"one.txt": "1\n"})
    scene.done(2, "2", {"two.txt": "2\n"}, title="Second\x1b[31m line")
    scene.done(1, "3", {"one.txt": "1\n3\n"}, needs=("1",))
    made = scene.land()
    assert scene.states(made) == {"1": "landed", "2": "landed", "3": "landed"}
    assert scene.tip() == made.after != made.before
    assert (scene.repo.path / "one.txt").read_text() == "1\n3\n"
    assert (scene.repo.path / "two.txt").read_text() == "2\n"
    assert scene.repo.status() == ""
    log = scene.repo.git("log", "--first-parent", "--format=%an %s", f"{made.before}..main").splitlines()
    assert log == ["Test Land task 3: Task 3", "Test Land task 2: Second line", "Test work of task 1"]
    assert "peercoord land: 3 tasks landed" in scene.repo.git("reflog", "show", "main")
    again = scene.land()
    assert (set(scene.states(again).values()), again.before) == ({"already-there"}, again.after)
    assert len(landings.listed(scene.root)) == 1, "nothing to do is no landing"


def test_nothing_is_left_behind_but_the_landing(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "1\n"})
    before = set(os.listdir(scene.repo.path / ".git"))
    assert scene.land().after == scene.tip()
    assert os.listdir(tmp_path / "tmp") == []
    assert set(os.listdir(scene.repo.path / ".git")) - before <= {"ORIG_HEAD"}
    assert scene.repo.git("for-each-ref", "refs/peercoord") == ""
    assert scene.repo.git("worktree", "list", "--porcelain").count("worktree ") == 4


def test_a_dry_run_changes_nothing_and_says_the_same(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"a.txt": "2\n"})
    objects = sorted(str(path) for path in (scene.repo.path / ".git" / "objects").rglob("*"))
    before = scene.tip()
    dry = scene.land(dry_run=True)
    assert scene.states(dry) == {"1": "landed", "2": "conflict"}
    assert (scene.tip(), scene.repo.status(), landings.listed(scene.root)) == (before, "", [])
    assert sorted(str(path) for path in (scene.repo.path / ".git" / "objects").rglob("*")) == objects
    assert scene.states(scene.land()) == scene.states(dry)


# -- what does not land ------------------------------------------------------------------------------------------


def test_a_conflict_stops_and_what_was_merged_before_lands(scene: Scene) -> None:
    scene.done(1, "1", {"src/main.py": "one\n"})
    scene.done(2, "2", {"src/main.py": "two\n", "other.txt": "x\n"})
    scene.done(3, "3", {"third.txt": "3\n"})
    made = scene.land()
    assert scene.states(made) == {"1": "landed", "2": "conflict", "3": "not-tried"}
    assert made.steps[1].files == ["src/main.py"]
    assert (scene.repo.path / "src/main.py").read_text() == "one\n"
    assert not (scene.repo.path / "other.txt").exists()
    assert scene.repo.status() == ""


def test_what_fails_the_check_is_taken_back_and_so_is_what_depends_on_it(scene: Scene) -> None:
    scene.done(1, "1", {"good.txt": "1\n"})
    scene.done(2, "2", {"bad.txt": "2\n"})
    scene.done(2, "3", {"more.txt": "3\n"})
    scene.done(3, "4", {"four.txt": "4\n"}, needs=("2",))
    scene.done(1, "5", {"five.txt": "5\n"})
    made = scene.land(check="test ! -e bad.txt || { echo no bad files; exit 3; }")
    assert scene.states(made) == {"1": "landed", "2": "check-failed", "3": "waits", "4": "waits", "5": "landed"}
    failed = made.steps[1]
    assert (failed.detail, failed.output) == ("the check fails with it", ["no bad files"])
    assert {name for name in os.listdir(scene.repo.path) if name.endswith(".txt")} == {"good.txt", "five.txt"}


def test_a_commit_that_git_does_not_check_out_keeps_no_other_work_away(scene: Scene) -> None:
    peer, tree = scene.claim(1, "1"), scene.repo.instance(1)
    listed = f"{tree.git('ls-tree', 'HEAD')}040000 tree {tree.git('rev-parse', 'HEAD:src').strip()}\t.git\n"
    words = ["git", "-C", str(tree.path), "mktree"]
    made_of = subprocess.run(words, input=listed, capture_output=True, text=True, check=True).stdout.strip()
    tree.git("update-ref", "HEAD", tree.git("commit-tree", made_of, "-p", "HEAD", "-m", "bad").strip())
    scene.complete(peer, 1, "1")
    scene.done(2, "2", {"good.txt": "2\n"})
    scene.done(3, "3", {"more.txt": "3\n"}, needs=("1",))
    made = scene.land()
    assert scene.states(made) == {"1": "refused", "2": "landed", "3": "waits"}
    assert ".git" in made.steps[0].detail
    assert scene.tip() == made.after


def test_a_check_runs_outside_every_checkout_without_the_caller_s_git(scene: Scene, tmp_path: Path) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    seen = tmp_path / "seen"
    assert scene.states(scene.land(check=f"pwd > {seen}; git ls-files >> {seen}; git rev-parse HEAD >> {seen}"))
    where, *files, head = seen.read_text().splitlines()
    assert not Path(where).is_relative_to(scene.repo.path.parent)
    assert "a.txt" in files
    assert head == scene.tip()
    assert not Path(where).exists()


def test_only_the_work_of_named_instances_lands_and_waits_for_others(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "2\n"}, needs=("1",))
    scene.done(2, "3", {"c.txt": "3\n"})
    made = scene.land("instance-2")
    assert scene.states(made) == {"2": "waits", "3": "waits"}
    assert made.steps[0].detail == "waits for task 1, which is the work of instance-1: name that instance too"
    assert scene.states(scene.land("instance-2", "instance-1")) == {"1": "landed", "2": "landed", "3": "landed"}


def test_what_an_instance_merged_from_another_comes_with_it_and_is_named(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"}, title="The base")
    peer, tree = scene.claim(2, "2", needs=("1",)), scene.repo.instance(2)
    tree.git("merge", "-q", "team/instance-1")
    tree.commit("b.txt")
    scene.complete(peer, 2, "2")
    scene.queue.edit("2", dependencies=[])
    made = scene.land("instance-2")
    assert scene.states(made) == {"2": "landed"}
    assert made.steps[0].notes == ['brings task 1 "The base" of instance-1 too']


def test_a_task_whose_dependency_was_reopened_waits(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "2\n"}, needs=("1",))
    scene.queue.reopen("1")
    made = scene.land()
    assert [(step.state, step.detail) for step in made.steps] == [("waits", "waits for task 1, which is not done")]


def test_unfinished_abandoned_and_uncommitted_work_is_named_and_left(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    peer = scene.claim(1, "2")
    scene.repo.instance(1).commit("half.txt")
    peer.worker.release("2", "later")
    scene.repo.instance(1).write("new name.txt")
    scene.repo.instance(2).write("src/main.py", "changed\n")
    made = scene.land()
    assert not (scene.repo.path / "half.txt").exists()
    assert [(one.kind, one.peer, one.text) for one in made.left] == [
        (
            "unfinished",
            "instance-1",
            "1 commit on team/instance-1 that no finished task recorded (task 2 was given back)",
        ),
        ("uncommitted", "instance-1", "1 file is not committed: new name.txt"),
        ("uncommitted", "instance-2", "1 file is not committed: src/main.py"),
    ]


def test_work_on_a_detached_head_lands_and_what_comes_after_it_is_named(scene: Scene) -> None:
    scene.repo.instance(1).git("checkout", "-q", "--detach")
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.instance(1).commit("more.txt")
    made = scene.land()
    assert scene.states(made) == {"1": "landed"}
    assert made.steps[0].work.branch == ""
    assert [one.text for one in made.left] == [
        "1 commit on no branch that no finished task recorded (they belong to no task)"
    ]


def test_abandoned_commits_below_finished_work_are_named(scene: Scene) -> None:
    peer = scene.claim(1, "1")
    half = scene.repo.instance(1).commit("half.txt")
    peer.worker.fail("1", "no idea", {}, {"commit": half, "branch": "team/instance-1"})
    scene.queue.cancel("1")
    scene.done(1, "2", {"a.txt": "1\n"})
    made = scene.land()
    assert made.steps[-1].notes == ["brings commits of task 1 too, which failed"]


def test_a_commit_that_is_gone_is_named(scene: Scene) -> None:
    peer = scene.claim(1, "1")
    peer.worker.complete("1", {}, {"worktree": "/w", "commit": "ab" * 20, "branch": "team/instance-1"})
    peer = scene.claim(2, "2")
    peer.worker.complete("2", {}, {"worktree": "/w"})
    peer = scene.claim(3, "3")
    peer.worker.complete("3", {}, {})
    made = scene.land()
    assert [(one.kind, one.text) for one in made.left] == [
        ("gone", 'task 1 "Task 1" of instance-1: its commit is gone'),
        ("gone", 'task 2 "Task 2" of instance-2: no commit was noted when it was done'),
    ]
    assert made.steps == []


# -- what is there already ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["merge", "squash", "cherry-pick", "same content"])
def test_work_that_a_person_brought_over_is_recognised(scene: Scene, way: str) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(1, "2", {"a.txt": "1\n2\n", "b.txt": "2\n"})
    main = scene.repo
    main.commit("own.txt")
    if way == "merge":
        main.git("merge", "-q", "--no-edit", "team/instance-1")
    elif way == "squash":
        main.git("merge", "-q", "--squash", "team/instance-1")
        main.git("commit", "-q", "-m", "all of it")
        main.commit("a.txt", "1\n2\nmore\n")
    elif way == "cherry-pick":
        main.git("cherry-pick", "team/instance-1~1", "team/instance-1")
    else:
        main.commit("a.txt", "1\n2\n")
        main.commit("b.txt", "2\n")
    before = scene.tip()
    made = scene.land()
    assert scene.states(made) == {"1": "already-there", "2": "already-there"}
    assert scene.tip() == before


def test_work_that_was_amended_and_goes_on_comes_with_the_later_task(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "first try\n"})
    tree = scene.repo.instance(1)
    tree.write("a.txt", "second try\n")
    tree.git("commit", "-q", "-a", "--amend", "-m", "better")
    scene.done(1, "2", {"b.txt": "2\n"})
    made = scene.land()
    assert [(step.state, step.detail) for step in made.steps] == [
        ("already-there", "rewritten since, comes with task 2"),
        ("landed", ""),
    ]
    assert (scene.repo.path / "a.txt").read_text() == "second try\n"


def test_work_that_was_reverted_after_it_landed_stays_reverted(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.land()
    scene.repo.git("revert", "--no-edit", "HEAD")
    assert scene.states(scene.land()) == {"1": "already-there"}
    assert not (scene.repo.path / "a.txt").exists()


# -- the branch and its checkouts --------------------------------------------------------------------------------


def test_a_changed_checkout_is_not_touched_and_the_typed_line_moves_it(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.write("src/main.py", "mine\n")
    made = scene.land()
    assert [one.why for one in made.obstacles] == ["src/main.py is changed there and not committed"]
    assert scene.tip() == made.before
    assert scene.repo.status() == " M src/main.py\n"
    assert scene.tip(PINNED) == made.after
    assert f"delete {PINNED}, merged work that was not moved onto its branch" in [
        action.text for action in plan_purge(scene.repo.project(), dry_run=True).actions
    ]
    scene.repo.git(*made.obstacles[0].command.split()[3:])
    assert (scene.repo.path / "src/main.py").read_text() == "mine\n"
    assert scene.states(scene.land()) == {"1": "already-there"}
    assert [one.state for one in landings.listed(scene.root)] == ["landed"]
    assert scene.repo.git("for-each-ref", PINNED) == ""


def test_a_result_that_waited_is_made_again_by_the_next_landing(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.write("src/main.py", "mine\n")
    scene.land()
    scene.repo.git("checkout", "-q", "--", "src/main.py")
    scene.done(2, "2", {"b.txt": "2\n"})
    made = scene.land()
    assert scene.tip() == made.after
    assert [one.state for one in landings.listed(scene.root)] == ["landed"]


def test_what_peercoord_wrote_is_no_change_and_is_kept(tracked: Repo) -> None:
    tracked.coordinated()
    tracked.up(2)
    scene = Scene(tracked)
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.write("memory-bank/progress.md", "# Progress\n\nmerged\n")
    scene.repo.write("memory-bank/activeContext.md", "# New\n")
    made = scene.land()
    assert (scene.tip(), made.obstacles) == (made.after, [])
    assert (scene.repo.path / "memory-bank/progress.md").read_text() == "# Progress\n\nmerged\n"
    assert scene.repo.status() == " M memory-bank/progress.md\n?? memory-bank/activeContext.md\n"


def test_what_peercoord_wrote_is_not_written_over_by_what_lands(tracked: Repo) -> None:
    tracked.coordinated()
    tracked.up(1)
    scene = Scene(tracked)
    peer, tree = scene.claim(1, "1"), tracked.instance(1)
    (tracked.path.parent / "text").write_text("theirs\n")
    blob = tree.git("hash-object", "-w", str(tracked.path.parent / "text")).strip()
    tree.git("update-index", "--add", "--cacheinfo", f"100644,{blob},memory-bank/progress.md")
    tree.git("commit", "-q", "-m", "bank")
    scene.complete(peer, 1, "1")
    scene.repo.write("memory-bank/progress.md", "merged\n")
    assert [one.why for one in scene.land().obstacles] == ["memory-bank/progress.md is changed there and not committed"]
    assert (scene.repo.path / "memory-bank/progress.md").read_text() == "merged\n"


def test_a_list_of_tasks_that_is_kept_in_step_is_no_change(scene: Scene) -> None:
    scene.repo.commit(".taskmaster/tasks/tasks.json", "{}\n")
    chosen = {**scene.root.protocol, "tasks_file": {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}}
    scene.root.protocol = chosen
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.write(".taskmaster/tasks/tasks.json", '{"synced": 1}\n')
    assert scene.land().obstacles == []
    assert (scene.repo.path / ".taskmaster/tasks/tasks.json").read_text() == '{"synced": 1}\n'


UNTRACKED = "is in the way there, and git does not track it"
MINE = {  # what a person does in the main checkout; a file that the work adds; why the checkout is left alone
    "an untracked file": ("echo mine >notes.txt", "notes.txt", f"notes.txt {UNTRACKED}"),
    "an ignored file": ("echo mine >notes.log", "notes.log", f"notes.log {UNTRACKED}"),
    "a directory": ("mkdir build; echo mine >build/x", "build", f"build {UNTRACKED}"),
    "a link": ("mkdir ../outside; ln -s ../outside sub", "sub/file", f"sub/file {UNTRACKED}"),
    "a merge": ("git rev-parse main >.git/MERGE_HEAD", "a.txt", "is under way there"),
    "a cherry-pick": ("git rev-parse main >.git/CHERRY_PICK_HEAD", "a.txt", "is under way there"),
    "a bisection": ("git rev-parse main >.git/BISECT_LOG", "a.txt", "is under way there"),
}


def contents(top: Path) -> dict[Path, object]:
    """Everything below a directory, but for the stores of git and of the team."""
    found = [path for path in top.rglob("*") if not {".git", paths.ROOT} & {*path.parts}]
    return {path: path.is_file() and path.read_bytes() for path in found}


@pytest.mark.parametrize("kind", MINE)
def test_what_a_person_has_in_the_checkout_stays_as_it_is(scene: Scene, kind: str) -> None:
    script, name, why = MINE[kind]
    peer = scene.claim(1, "1")
    scene.repo.instance(1).commit(name, "theirs\n")
    scene.complete(peer, 1, "1")
    subprocess.run(["sh", "-ec", script], cwd=scene.repo.path, check=True)
    before = contents(scene.repo.path.parent)
    made = scene.land()
    assert [one.why.endswith(why) for one in made.obstacles] == [True], made.obstacles
    assert (contents(scene.repo.path.parent), scene.tip()) == (before, made.before)


def test_a_branch_that_is_being_rebased_elsewhere_is_left_alone(scene: Scene) -> None:
    scene.repo.commit("src/main.py", "other\n")
    scene.repo.git("worktree", "add", "-q", "-b", "work", "../beside", "HEAD")
    beside = scene.repo.beside("beside")
    beside.commit("src/main.py", "beside\n")
    scene.repo.commit("src/main.py", "changed\n")
    beside.git("rebase", "main", ok=False)
    scene.done(1, "1", {"a.txt": "1\n"})
    assert "is under way there" in scene.land(onto="work").obstacles[0].why


def test_work_lands_on_a_branch_that_no_checkout_stands_on(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.git("branch", "next")
    scene.repo.write("src/main.py", "mine\n")
    made = scene.land(onto="next")
    assert scene.tip("next") == made.after
    assert scene.tip() == made.before
    assert not (scene.repo.path / "a.txt").exists()


@pytest.mark.parametrize("dirty", [False, True])
def test_a_branch_that_is_checked_out_twice_moves_in_both_or_in_none(scene: Scene, dirty: bool) -> None:
    scene.done(1, "1", {"a.txt": "1\n", "src/main.py": "new\n"})
    scene.repo.git("worktree", "add", "-q", "-f", "../beside", "main")
    beside = scene.repo.beside("beside")
    if dirty:
        beside.write("src/main.py", "mine\n")
    made = scene.land()
    assert (scene.tip() == made.before) == dirty == bool(made.obstacles)
    for tree in (scene.repo, beside):
        assert (tree.path / "a.txt").exists() != dirty
        assert tree.status() == (" M src/main.py\n" if dirty and tree is beside else "")


def test_work_does_not_land_in_a_worktree_of_the_team(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    with pytest.raises(UsageError, match="team/instance-2 is the branch of instance-2"):
        scene.land(onto="team/instance-2")


def test_a_main_checkout_on_no_branch_has_to_name_one(scene: Scene) -> None:
    scene.repo.git("checkout", "-q", "--detach")
    with pytest.raises(UsageError, match="is on no branch"):
        scene.land()
    assert scene.land(onto="main").steps == []


def test_a_branch_that_moves_meanwhile_stays_where_it_went(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    tree = scene.repo.git("rev-parse", "main^{tree}").strip()
    other = scene.repo.git("commit-tree", tree, "-p", "main", "-m", "meanwhile").strip()
    swap = branches._swap

    def late(*given: object) -> None:
        scene.repo.git("update-ref", "refs/heads/main", other)
        swap(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(branches, "_swap", late)
    with pytest.raises(LostError, match="main moved meanwhile, so nothing was changed"):
        scene.land()
    assert scene.tip() == other
    assert scene.repo.status() == ""
    assert landings.listed(scene.root) == []
    monkeypatch.setattr(branches, "_swap", swap)
    assert scene.tip() != scene.land().after != other
    assert (scene.repo.path / "a.txt").exists()


def test_one_landing_runs_at_a_time(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    with branches.exclusive(scene.root), pytest.raises(LostError, match="another `peercoord land` is at work"):
        scene.land()
    assert scene.land().after == scene.tip()


# -- undo --------------------------------------------------------------------------------------------------------


def test_undo_takes_the_branch_and_the_files_back_one_landing_after_the_other(scene: Scene) -> None:
    start = scene.tip()
    scene.done(1, "1", {"a.txt": "1\n", "dir/b.txt": "1\n"})
    scene.land()
    between = scene.tip()
    scene.done(2, "2", {"src/main.py": "changed\n"})
    scene.land()
    for wanted in (between, start):
        scene.undo()
        assert (scene.tip(), scene.repo.status()) == (wanted, "")
    assert not (scene.repo.path / "dir").exists()
    with pytest.raises(NotFoundError, match="no landing to take back"):
        scene.undo()
    assert scene.states(scene.land()) == {"1": "landed", "2": "landed"}


def test_undo_is_refused_if_something_came_on_top(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.land()
    mine = scene.repo.commit("mine.txt")
    with pytest.raises(UsageError, match="something came on top of the landing"):
        scene.undo()
    assert scene.tip() == mine


def test_undo_leaves_a_changed_checkout_alone(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    after = scene.land().after
    scene.repo.write("a.txt", "mine\n")
    with pytest.raises(UsageError, match=r"main was not moved back: .*a\.txt is changed"):
        scene.undo()
    assert (scene.tip(), scene.repo.status()) == (after, " M a.txt\n")
    scene.repo.git("checkout", "-q", "a.txt")
    scene.undo()
    assert scene.repo.status() == ""


def test_interrupting_a_landing_leaves_everything_as_it_was(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from peercoord.errors import StoppedError

    scene.done(1, "1", {"a.txt": "1\n"})
    before = scene.tip()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(landing.Merger, "_take", stop)
    with pytest.raises(StoppedError, match="nothing has landed"):
        scene.land()
    assert (scene.tip(), scene.repo.status(), landings.listed(scene.root)) == (before, "", [])
