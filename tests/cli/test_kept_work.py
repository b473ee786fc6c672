"""What an instance had not committed when it was lost is kept, and its task's next holder is told how to get it."""

from __future__ import annotations

from pathlib import Path

from agent.crew import until
from integrations.coder import Process
from support.project import Project, git, project, second

from peercoord.agent import control
from peercoord.mailbox import verbs
from peercoord.membership import membership as members
from peercoord.queue.recovery import Janitor
from peercoord.system import process
from peercoord.system.sessions import Caller
from peercoord.worktree import actions, context
from peercoord.worktree.call import WorktreeCall

__all__ = ["project", "second"]
REF = "refs/peercoord/kept/1-1"


def evicted(project: Project, second: Path) -> None:
    """Let the second instance evict the first."""
    project("check", at=second)
    one, two = sorted(members.living(project.queue.root))
    assert Janitor(project.queue, "two").evict(one, two, "its agent and its session are gone")


def test_the_work_of_an_evicted_instance_is_kept_when_its_task_is_handed_out(project: Project, second: Path) -> None:
    project("task", "add", "One")
    project("request")
    project("report", "--progress", "0.6", "--achievement", "half of it")
    (project.worktree / "half.txt").write_text("half\n")
    evicted(project, second)
    handed = project.data("request", at=second)["hand_over"]
    assert (handed["outcome"], handed["dirty_files"], handed["kept"]) == ("evicted", ["half.txt"], REF)
    assert (handed["progress"], handed["achievements"]) == (0.6, ["half of it"])
    tip = git(project.worktree, "rev-parse", "HEAD").strip()
    assert (handed["worktree"], handed["branch"], handed["commit"]) == (str(project.worktree), "one", tip)
    lines = project("request", at=second)[1]
    assert f"git show {REF}" in lines
    git(second, "cherry-pick", "--no-commit", REF)
    assert (second / "half.txt").read_text() == "half\n"
    assert (project.worktree / "half.txt").read_text() == "half\n"


def test_nothing_is_kept_of_a_clean_worktree_or_for_a_task_that_was_given_back(project: Project, second: Path) -> None:
    project("task", "add", "One")
    project("request")
    (project.worktree / "half.txt").write_text("half\n")
    project("release", "1")
    assert "kept" not in project.data("request", at=second)["hand_over"], "its holder said what becomes of it"
    project("release", "1", at=second)
    (project.worktree / "half.txt").unlink()
    project("request")
    evicted(project, second)
    assert "kept" not in project.data("request", at=second)["hand_over"]
    assert git(second, "for-each-ref", "refs/peercoord") == ""


def test_the_work_of_a_session_that_ended_is_kept_by_its_agent(project: Project, second: Path) -> None:
    project("config", "session_grace_seconds", "1")
    project("task", "add", "One")
    session = Process()
    me = {**(process.identify(session.process.pid) or {}), "program": "claude"}
    call = WorktreeCall(context.find(given=str(project.worktree)), Caller(me, "claude"))
    assert actions.answer(call, verbs.read(["request-task"])).code == 0
    (project.worktree / "half.txt").write_text("half\n")
    control.start(str(project.worktree))
    try:
        session.close()
        until(lambda: "kept" in (project.queue.result("1") or (0, "", {}))[2], what="the result names what is kept")
    finally:
        control.stop(str(project.worktree), False)
    assert project.data("request", at=second)["hand_over"]["kept"] == REF
    assert git(second, "show", f"{REF}:half.txt") == "half\n"
