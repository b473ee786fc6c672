"""The line that brings a dependency's work is true when the task is handed out, whatever became of the branch.

Task 1 was done in the worktree "one"; task 2, which depends on it, is asked for in the worktree "two".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, build, clear, copy, git

from peercoord.queue.recovery import Janitor
from peercoord.store.paths import Incarnation
from peercoord.worktree import context, merging

SHELL = """set -e
git() { command git -c user.name=t -c user.email=t@localhost -c commit.gpgsign=false "$@"; }
commit() { printf "$2" >"$1"; shift 2; git add -A; git commit -qm work "$@"; }
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = build(Path(os.path.realpath(tmp_path_factory.mktemp("done"))), "two")
    project("task", "add", "base")
    project("task", "add", "upon it", "--depends-on", "1", "--priority", "critical")
    project("request")
    sh(project.worktree, "commit work.txt 'first\\n'")
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


def sh(at: Path, script: str) -> str:
    """Run a script in a worktree, at the end of which its last commit is printed."""
    words = ["sh", "-c", f"{SHELL}{script} >/dev/null; git rev-parse HEAD"]
    return subprocess.run(words, cwd=at, check=True, capture_output=True, text=True).stdout.strip()


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


AMEND = "commit work.txt 'better\\n' --amend"
RESET = "git reset -q --hard main"


@pytest.mark.parametrize(
    ("became", "command", "note", "text"),
    [
        ("commit work.txt 'first\\nsecond\\n'", "git merge one", "", "first\nsecond\n"),
        (AMEND, "git merge one", "rewritten since", "better\n"),
        ("git branch -m renamed", "git merge renamed", "", "first\n"),
        (f"git branch -m renamed; {AMEND}", "git merge renamed", "rewritten since", "better\n"),
        ("git checkout -q -B other main; git branch -q -D one", "git merge {work}", "", "first\n"),
        (f"{RESET}; commit else.txt x", "git merge {work}", "does not have this commit any more", "first\n"),
    ],
)
def test_the_line_brings_the_work_whatever_became_of_its_branch(
    base: Project, second: Path, became: str, command: str, note: str, text: str
) -> None:
    work = git(base.worktree, "rev-parse", "HEAD").strip()[:12]
    sh(base.worktree, became)
    found = told(base, second)
    assert (found["command"], note in found.get("note", "")) == (command.format(work=work), True)
    assert brought(base, second) == text


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("true", "git merge -q --squash one; git commit -qm all"),
        ("true", "git cherry-pick main..one"),
        ("commit more.txt better --amend", "git merge -q --squash one; git commit -qm all"),
    ],
    ids=["squash", "cherry-pick", "amended squash"],
)
def test_work_that_is_here_in_other_commits_needs_no_line(base: Project, second: Path, there: str, here: str) -> None:
    sh(base.worktree, "commit more.txt x")
    base("report", "1", "--status", "done")
    sh(base.worktree, there)
    sh(second, f"{here}; commit own.txt x")
    assert told(base, second) == {}


def test_done_again_is_about_the_commit_of_now(base: Project, second: Path) -> None:
    git(second, "merge", "-q", "one")
    work = sh(base.worktree, "commit work.txt 'first\\nsecond\\n'")
    assert told(base, second) == {}
    answer = base.data("report", "1", "--status", "done", "--achievement", "second thoughts")
    assert (answer["commit"], answer["achievements"]) == (work, ["second thoughts"])
    assert brought(base, second) == "first\nsecond\n"


@pytest.mark.parametrize("amended", [False, True])
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (("failed", "--reason", "no good"), "which failed"),
        (("blocked", "--reason", "no good"), "which was given back"),
        (("evicted",), "which was taken back"),
        ((), "which is not done"),
    ],
)
def test_later_work_on_a_task_that_is_not_done_is_left_out_or_named(
    base: Project, second: Path, end: tuple[str, ...], said: str, amended: bool
) -> None:
    if amended:
        sh(base.worktree, AMEND)
    assert base.data("request", at=second)["task_id"] == 2
    base("task", "add", "another")
    assert base.data("request")["task_id"] == 3
    sh(base.worktree, "commit bad.txt x")
    if end == ("evicted",):
        me = context.find(str(base.worktree)).incarnation
        assert me
        assert Janitor(base.queue, "judge").evict(me, Incarnation("judge", 1, "aaa"), "a test says so")
    elif end:
        base("report", "3", "--status", *end)
    found, bad = told(base, second), f"brings commits of task 3 too, {said}"
    if amended:
        assert (found["command"], bad in found["note"]) == ("git merge one", True), "only that branch has the work"
    else:
        assert found["note"] == f"without what came later on its branch: {bad}"
        assert (brought(base, second), (second / "bad.txt").exists()) == ("first\n", False)


@pytest.mark.parametrize("committed", [False, True])
def test_earlier_work_that_was_given_up_is_named_if_there_is_a_commit_of_it(
    project: Project, second: Path, committed: bool
) -> None:
    project("task", "add", "given up", "--priority", "critical")
    project("task", "add", "base")
    project("task", "add", "upon it", "--depends-on", "2", "--priority", "high")
    sh(project.main, "commit later.txt x")
    git(project.worktree, "merge", "-q", "main")  # the second worktree is behind
    project("request")
    if committed:
        sh(project.worktree, "commit bad.txt x")
    project("report", "--status", "blocked", "--reason", "no good")
    project("request")
    sh(project.worktree, "commit work.txt 'first\\n'")
    project("report", "2", "--status", "done")
    given_up = "brings commits of task 1 too, which was given back"
    assert told(project, second).get("note") == (given_up if committed else None)


@pytest.mark.parametrize("name", ["a;id", "$(id)", "v1", "it's"])
def test_no_branch_name_becomes_a_shell_word_or_another_ref(base: Project, second: Path, name: str) -> None:
    git(base.worktree, "branch", "-m", name)
    work = sh(base.worktree, "commit work.txt 'first\\nsecond\\n'; git tag v1 main; git branch 'a\u2028b' main")
    base("report", "1", "--status", "done")
    assert told(base, second)["command"] == f"git merge {work[:12]}"
    assert base("status", at=base.main)[0] == 0, "a name with another end of line stops nothing"


def test_an_author_s_name_is_no_argument_of_git(base: Project, second: Path, tmp_path: Path) -> None:
    """Other programs than git know more ends of a line: here the name would have begun a line of its own."""
    victim = tmp_path / "precious.txt"
    victim.write_text("precious\n")
    at = git(base.worktree, "log", "-1", "--format=%at").strip()
    author = f"X\u2028--output={victim} {at} t@localhost t <t@localhost>"
    sh(base.worktree, f"git reset -q --hard HEAD~1; commit other.txt x '--author={author}' --date=@{at}")
    assert told(base, second)["commit"]
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize(
    "how",
    [
        'git worktree remove --force "{one}"; git branch -q -D one',
        f'git -C "{{one}}" {RESET[4:]}',
        'git -C "{one}" checkout -q --detach main; git branch -q -D one',
    ],
    ids=["removed", "set back", "detached"],
)
def test_work_that_is_gone_is_said_to_be_gone(base: Project, second: Path, how: str) -> None:
    """A branch that was set back to what is here anyway says nothing of the work."""
    sh(base.main, f"{how.format(one=base.worktree)}; git reflog expire --expire=now --all; git gc -q --prune=now")
    answer = told(base, second)
    assert (answer["command"], "its commit is gone and no branch has it; ask one" in answer["note"]) == ("", True)
    assert "task 1 was done on one\n" in base("request", at=second)[1]


@pytest.mark.parametrize("why", ["no time", "no repository"])
def test_work_counts_as_missing_where_git_cannot_tell(
    base: Project, second: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "no time":
        monkeypatch.setattr(merging, "_SECONDS", 0.0)
    else:
        (second / ".git").write_text("gitdir: /nowhere\n")
    answer = told(base, second)
    assert answer["command"] == f"git merge {answer['commit'][:12]}"
    assert "git could not be asked" in answer["note"]
