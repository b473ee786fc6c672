"""The line that brings a dependency's work is true when the task is handed out, whatever became of the branch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, build, clear, copy, git

from peercoord.queue.recovery import Janitor
from peercoord.store.paths import Incarnation
from peercoord.worktree import context, merging


def commit(tree: Path, name: str, text: str = "x\n", *words: str) -> str:
    (tree / name).write_text(text)
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", f"write {name}", *words)
    return git(tree, "rev-parse", "HEAD").strip()


def evict(project: Project, worktree: Path) -> None:
    me = context.find(str(worktree)).incarnation
    assert me
    assert Janitor(project.queue, "judge").evict(me, Incarnation("judge", 1, "aaa"), "a test says so")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a task is done in the first of two worktrees, and another one waits for it."""
    project = build(Path(os.path.realpath(tmp_path_factory.mktemp("done"))), "two")
    project("task", "add", "base")
    project("task", "add", "upon it", "--depends-on", "1", "--priority", "critical")
    project("request")
    commit(project.worktree, "work.txt", "first\n")
    project("report", "--status", "done")
    return project.main.parent


@pytest.fixture
def base(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    clear(monkeypatch)
    return copy(done, Path(os.path.realpath(tmp_path)))


@pytest.fixture
def second(request: pytest.FixtureRequest) -> Path:
    project: Project = request.getfixturevalue("base" if "base" in request.fixturenames else "project")
    return project.main.parent / "two"


def told(project: Project, second: Path) -> dict[str, Any]:
    """What the second worktree is told of the dependency; empty if its work is here."""
    found = project.data("request", at=second)["merge"]
    assert len(found) <= 1
    return dict(found[0]) if found else {}


def brought(project: Project, second: Path) -> str:
    """Type the line, and see that the work is here then."""
    git(second, *told(project, second)["command"].split()[1:])
    assert told(project, second) == {}
    return (second / "work.txt").read_text()


def later(base: Project) -> None:
    commit(base.worktree, "work.txt", "first\nsecond\n")


def amended(base: Project) -> None:
    commit(base.worktree, "work.txt", "better\n", "--amend")


def renamed(base: Project) -> None:
    git(base.worktree, "branch", "-m", "renamed")


def renamed_and_amended(base: Project) -> None:
    renamed(base)
    amended(base)


def gone(base: Project) -> None:
    git(base.worktree, "checkout", "-q", "-B", "other", "main")
    git(base.main, "branch", "-q", "-D", "one")


def set_back(base: Project) -> None:
    git(base.worktree, "reset", "-q", "--hard", "main")
    commit(base.worktree, "else.txt")


@pytest.mark.parametrize(
    ("became", "command", "note", "text"),
    [
        (later, "git merge one", "", "first\nsecond\n"),
        (amended, "git merge one", "rewritten since", "better\n"),
        (renamed, "git merge renamed", "", "first\n"),
        (renamed_and_amended, "git merge renamed", "rewritten since", "better\n"),
        (gone, "git merge {work}", "", "first\n"),
        (set_back, "git merge {work}", "does not have this commit any more", "first\n"),
    ],
)
def test_the_line_brings_the_work_whatever_became_of_its_branch(
    base: Project, second: Path, became: Callable[[Project], None], command: str, note: str, text: str
) -> None:
    work = git(base.worktree, "rev-parse", "HEAD").strip()[:12]
    became(base)
    found = told(base, second)
    assert (found["command"], note in found.get("note", "")) == (command.format(work=work), True)
    assert brought(base, second) == text


@pytest.mark.parametrize("how", ["squash", "cherry-pick", "amended squash"])
def test_work_that_is_here_in_other_commits_needs_no_line(base: Project, second: Path, how: str) -> None:
    commit(base.worktree, "more.txt")
    base("report", "1", "--status", "done")
    if how == "amended squash":
        commit(base.worktree, "more.txt", "better\n", "--amend")
    if how == "cherry-pick":
        git(second, "cherry-pick", "main..one")
    else:
        git(second, "merge", "-q", "--squash", "one")
        git(second, "commit", "-q", "-m", "all of it")
    commit(second, "own.txt")
    assert told(base, second) == {}


def test_done_again_is_about_the_commit_of_now(base: Project, second: Path) -> None:
    git(second, "merge", "-q", "one")
    work = commit(base.worktree, "work.txt", "first\nsecond\n")
    assert told(base, second) == {}
    answer = base.data("report", "1", "--status", "done", "--achievement", "second thoughts")
    assert (answer["commit"], answer["achievements"]) == (work, ["second thoughts"])
    assert brought(base, second) == "first\nsecond\n"


def give_up_another(base: Project, second: Path, *end: str) -> None:
    """The second worktree holds what waits; the first one begins another task on its branch, and does not finish it."""
    assert base.data("request", at=second)["task_id"] == 2
    base("task", "add", "another")
    assert base.data("request")["task_id"] == 3
    commit(base.worktree, "bad.txt")
    if end:
        base("report", "3", "--status", *end)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (("failed", "--reason", "no good"), "which failed"),
        (("blocked", "--reason", "no good"), "which was given back"),
        (("evicted",), "which was taken back"),
        ((), "which is not done"),
    ],
)
def test_later_work_on_a_task_that_is_not_done_is_left_out(
    base: Project, second: Path, end: tuple[str, ...], said: str
) -> None:
    give_up_another(base, second, *(end if end != ("evicted",) else ()))
    if end == ("evicted",):
        evict(base, base.worktree)
    note = f"without what came later on its branch: brings commits of task 3 too, {said}"
    assert told(base, second)["note"] == note
    assert brought(base, second) == "first\n"
    assert not (second / "bad.txt").exists()


def test_what_only_the_rewritten_branch_has_is_brought_and_said(base: Project, second: Path) -> None:
    commit(base.worktree, "work.txt", "better\n", "--amend")
    give_up_another(base, second, "failed")
    answer = told(base, second)
    assert (answer["command"], "task 3" in answer["note"]) == ("git merge one", True)


@pytest.mark.parametrize("committed", [False, True])
def test_earlier_work_that_was_given_up_is_named_if_there_is_a_commit_of_it(
    project: Project, second: Path, committed: bool
) -> None:
    project("task", "add", "given up", "--priority", "critical")
    project("task", "add", "base")
    project("task", "add", "upon it", "--depends-on", "2", "--priority", "high")
    commit(project.main, "later.txt")
    git(project.worktree, "merge", "-q", "main")  # the second worktree is behind
    project("request")
    if committed:
        commit(project.worktree, "bad.txt")
    project("report", "--status", "blocked", "--reason", "no good")
    project("request")
    commit(project.worktree, "work.txt", "first\n")
    project("report", "2", "--status", "done")
    assert told(project, second).get("note") == (
        "brings commits of task 1 too, which was given back" if committed else None
    )


@pytest.mark.parametrize("name", ["a;id", "$(id)", "v1", "it's"])
def test_no_branch_name_becomes_a_shell_word_or_another_ref(base: Project, second: Path, name: str) -> None:
    git(base.worktree, "branch", "-m", name)
    work = commit(base.worktree, "work.txt", "first\nsecond\n")
    git(base.main, "tag", "v1", "main")
    base("report", "1", "--status", "done")
    assert told(base, second)["command"] == f"git merge {work[:12]}"


@pytest.mark.parametrize("how", ["removed", "set back", "detached"])
def test_work_that_is_gone_is_said_to_be_gone(base: Project, second: Path, how: str) -> None:
    """A branch that was set back to what is here anyway says nothing of the work."""
    if how == "removed":
        git(base.main, "worktree", "remove", "--force", str(base.worktree))
    elif how == "set back":
        git(base.worktree, "reset", "-q", "--hard", "main")
    else:
        git(base.worktree, "checkout", "-q", "--detach", "main")
    if how != "set back":
        git(base.main, "branch", "-q", "-D", "one")
    git(base.main, "reflog", "expire", "--expire=now", "--all")
    git(base.main, "gc", "-q", "--prune=now")
    answer = told(base, second)
    assert answer["command"] == ""
    assert "its commit is gone and no branch has it; ask one" in answer["note"]
    assert "task 1 was done on one\n" in base("request", at=second)[1]


def test_work_counts_as_missing_where_git_cannot_tell(base: Project, second: Path) -> None:
    shutil.copy(second / ".git", base.main / "kept")
    (second / ".git").write_text("gitdir: /nowhere\n")
    answer = told(base, second)
    assert answer["command"] == f"git merge {answer['commit'][:12]}"
    assert "git could not be asked" in answer["note"]


def test_no_display_setting_hides_work_that_is_not_committed(project: Project) -> None:
    project("config", "uncommitted", "refuse")
    project("task", "add", "t")
    project("request")
    settings = {"status.showUntrackedFiles": "no", "status.relativePaths": "false", "diff.ignoreSubmodules": "all"}
    (project.worktree / "new.py").write_text("x\n")
    for key, value in settings.items():
        git(project.worktree, "config", key, value)
        assert project.data("report", "--status", "done")["code"] == "dirty", key
    commit(project.worktree, "new.py")
    assert project.data("report", "--status", "done")["status"] == "done"


def test_an_author_s_name_is_no_argument_of_git(base: Project, second: Path, tmp_path: Path) -> None:
    """Other programs than git know more ends of a line: here the name would have begun a line of its own."""
    victim = tmp_path / "precious.txt"
    victim.write_text("precious\n")
    at = git(base.worktree, "log", "-1", "--format=%at").strip()
    git(base.worktree, "reset", "-q", "--hard", "HEAD~1")
    author = f"X\u2028--output={victim} {at} t@localhost t <t@localhost>"
    commit(base.worktree, "other.txt", "x\n", f"--author={author}", f"--date=@{at}")
    assert told(base, second)["commit"]
    assert victim.read_text() == "precious\n"


def test_a_branch_s_name_with_another_end_of_line_stops_nobody(base: Project, second: Path) -> None:
    git(base.worktree, "branch", "a\u2028b")
    assert told(base, second)["command"] == "git merge one"
    assert base("status", at=base.main)[0] == 0
    assert base("doctor", at=base.main)[0] in (0, 1)


def test_git_is_asked_for_so_long_and_then_the_work_counts_as_missing(
    base: Project, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_SECONDS", 0.0)
    found = told(base, second)
    assert found["command"].startswith("git merge ")
    assert "git could not be asked" in found["note"]
