"""Merging as a job: commits, the leader's schedule, commands, retention; in a real repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from memory.banks import ANN
from memory.helpers import LIMITS, TECH, change, note, text_of
from memory.real import NAME, PATH, Real, real
from support.poison import ATTRIBUTES, Canary
from support.project import add_worktree, git, project

from peercoord.memory import cleanup, runner
from peercoord.queue.retention import DAY_SECONDS
from peercoord.store import paths
from peercoord.store.root import open_root

__all__ = ["project", "real"]

TOOLS = ("Tech context", "Tools")


# -- commits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def on(real: Real) -> Real:
    """A bank whose merges are committed, and a contribution that waits."""
    assert real.project("config", "memory.commit", "on")[0] == 0
    real.add(note("- a fact"))
    return real


def run(real: Real) -> runner.Merged:
    return runner.run(open_root(str(real.project.state)), "leader")


def head(real: Real) -> str:
    return git(real.main, "rev-parse", "HEAD").strip()


def test_only_the_documents_are_committed_whatever_is_staged(on: Real) -> None:
    """LIM-2."""
    (on.main / "code.py").write_text("1\n")
    on.commit("code")
    (on.main / "code.py").write_text("2\n")
    git(on.main, "add", "code.py")
    (on.main / "new.py").write_text("3\n")
    before = head(on)
    on.project("task", "add", "First")
    done = run(on)
    assert (done.commit, done.notes) == (head(on), [])
    assert git(on.main, "rev-parse", "HEAD~1").strip() == before
    changed = git(on.main, "show", "--name-only", "--format=", "HEAD").split()
    assert sorted(changed) == [f"{paths.BANK}/activeContext.md", f"{paths.BANK}/progress.md", PATH]
    assert git(on.main, "status", "--porcelain").splitlines() == ["M  code.py", "?? new.py"]


def diverge(real: Real, how: str) -> None:
    git(real.main, "switch", "-q", "-c", "side")
    (real.main / "f").write_text("side\n")
    real.commit("side")
    git(real.main, "switch", "-q", "main")
    (real.main / "f").write_text("main\n")
    real.commit("main")
    subprocess.run(["git", "-C", str(real.main), how, "side"], capture_output=True, check=False)


@pytest.mark.parametrize("how", ["merge", "rebase", "staged", "identity", "lock"])
def test_a_commit_that_cannot_be_made_is_reported_and_the_merge_stands(
    on: Real, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how in ("merge", "rebase"):
        diverge(on, how)
    elif how == "staged":
        on.file.write_bytes(TECH.replace(b"Use ruff.", b"Mine."))
        git(on.main, "add", PATH)
    elif how == "identity":
        git(on.main, "config", "user.useConfigOnly", "true")
        for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"):
            monkeypatch.delenv(f"GIT_{name}")
    else:
        (on.main / ".git" / "index.lock").touch()
    before = head(on)
    done = run(on)
    assert (done.commit, head(on)) == ("", before)
    [reason] = done.notes
    assert "committed" in reason
    assert "- a fact" in on.text()
    assert [what for what, _ in runner.troubles(on.root)] == [reason]


def test_a_hostile_configuration_runs_nothing(on: Real, tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    canary.poison(on.main / ".git" / "config")
    assert "signs its commits" in run(on).notes[0]
    git(on.main, "config", "commit.gpgSign", "false")
    (on.main / ".git" / "info" / "attributes").write_text(ATTRIBUTES)
    on.add(note("- another fact"))
    assert "has a filter" in run(on).notes[0]
    (on.main / ".git" / "info" / "attributes").write_text("* diff=evil merge=evil\n")
    canary.mark.unlink(missing_ok=True)  # git config, above, is a person's own call
    on.add(note("- a third fact"))
    done = run(on)
    assert canary.ran() == ""
    assert (done.commit, done.notes) == (head(on), [])


def test_a_detached_head_and_the_reflog_follow_whatever_a_hook_says(on: Real) -> None:
    hook = on.main / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    git(on.main, "checkout", "-q", "--detach")
    done = run(on)
    assert (done.commit, done.notes) == (head(on), [])
    assert git(on.main, "log", "-g", "-1", "--format=%gs").strip() == "commit: memory bank: merged by leader"
    assert git(on.main, "status", "--porcelain") == ""


def test_what_is_not_tracked_or_not_wanted_is_not_committed(on: Real) -> None:
    on.project("config", "memory.commit", "off")
    assert run(on).commit == ""
    assert runner.commit_documents(on.bank(), [NAME], "leader")[0] == head(on)
    on.project("config", "memory.commit", "on")
    git(on.main, "rm", "-rq", "--cached", paths.BANK)
    git(on.main, "commit", "-q", "-m", "untracked")
    before = head(on)
    on.add(note("- another fact"))
    assert (run(on).commit, head(on)) == ("", before)


# -- the leader's job --------------------------------------------------------------------------------------------


class Job:
    """The leader's merge job, with a program that notes that it was called in the place of a merge."""

    def __init__(self, real: Real, called: Path) -> None:
        self.called, self.now = called, 0.0
        script = f"open({str(called)!r}, 'a').write('x'); print('{{\"data\": {{}}}}')"
        clock = type("Clock", (type(real.root.clock),), {"monotonic": lambda _: self.now})
        real.root.clock = clock()
        self.job = runner.MergeJob(real.root, str(real.project.worktree), [sys.executable, "-c", script])

    def run(self, now: float) -> int:
        """Run it at a time; how often it merged so far."""
        self.now = now
        self.wait = self.job.run(1)
        return len(self.called.read_text()) if self.called.exists() else 0


@pytest.fixture
def job(real: Real, tmp_path: Path) -> Job:
    return Job(real, tmp_path / "called")


def test_it_merges_on_schedule_and_at_once_after_a_decision(real: Real, job: Job) -> None:
    assert job.run(0.0) == 1
    real.add(note("- a fact"))
    assert (job.run(599.0), job.wait) == (1, 1.0), "woken early, it comes back when its time is over"
    assert (job.run(600.0), job.wait) == (2, 600.0)
    real.bank().store.decide("e-0123456789abcdef", {"what": "approve"})
    assert [job.run(601.0), job.run(601.0)] == [3, 3]
    assert [job.run(now) for now in (1201.0, 1801.0)] == [3, 3], "an idle team starts no process"


def test_a_document_left_alone_is_tried_again(job: Job) -> None:
    """MEM-18: a program that had a document open may close it without a word."""
    job.job.command[-1] = job.job.command[-1].replace("{}}", '{"notes": ["left alone"]}}')
    assert [job.run(now) for now in (0.0, 599.0, 600.0)] == [1, 1, 2]


def test_a_contribution_queued_during_a_merge_is_merged_next(
    real: Real, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = job.job.call

    def slow(term: int) -> bool:
        left = merge(term)
        real.add(note("- meanwhile"))
        return left

    monkeypatch.setattr(job.job, "call", slow)
    assert job.run(0.0) == 1
    monkeypatch.setattr(job.job, "call", merge)
    assert job.run(600.0) == 2


# -- commands ----------------------------------------------------------------------------------------------------


def test_a_call_is_merged_by_a_call_from_any_worktree(real: Real) -> None:
    """MEM-5: the base that the call names is kept, so it is merged with what others changed meanwhile."""
    third = add_worktree(real.project, "three")
    words = ("memory", "add", "--file", NAME, "--section", "Limits", "--type", "update", "--content")
    lines = text_of(TECH, *LIMITS)
    real.project(*words, lines.replace("20 minutes", "30 minutes"))
    real.project(*words, lines.replace("unique", "short"), at=third)
    found = real.project.data("memory", "merge", at=third)
    assert [one["file"] for one in found["documents"]] == [NAME]
    assert text_of(real.file.read_bytes(), *LIMITS) == lines.replace("20 min", "30 min").replace("unique", "short")
    assert real.project.data("memory", "merge")["documents"] == []
    assert real.project("memory", "merge")[1] == "nothing to merge\n"


def test_a_merge_says_what_a_person_has_to_decide(real: Real) -> None:
    real.add(change("8 MB."), change("6 MB.", peer="two", time=1), note("- behind", time=2))
    said = real.project("memory", "merge")[1]
    assert said == f"{NAME}: 1 to decide (peercoord review), 1 waiting for that decision\n"


def test_a_merge_that_fails_is_shown_by_doctor(real: Real) -> None:
    os.rename(real.main / paths.BANK, real.main / "elsewhere")
    code, _, err = real.project("memory", "merge")
    assert (code, "not there" in err) == (3, True)
    ((what, hint),) = runner.troubles(real.root)
    assert ("failed" in what, bool(hint)) == (True, True)
    found = [one for one in real.project.data("doctor")["checks"] if one["check"] == "memory bank"]
    assert [(one["text"], one["fix"]) for one in found] == [(what, hint)]


def test_an_old_term_merges_nothing(real: Real) -> None:
    real.add(note("- a fact"))
    code, _, err = real.project("memory", "merge", "--term", "7")
    assert (code, "leads now" in err) == (4, True)
    assert real.file.read_bytes() == TECH


@pytest.mark.parametrize("hidden", [False, True])
def test_progress_makes_no_file_that_git_would_show(real: Real, hidden: bool) -> None:
    """MEM-14."""
    real.project("task", "add", "a task")
    if hidden:
        (real.main / ".git" / "info" / "exclude").write_text(f"/{paths.BANK}/progress.md\n/.claude-*/\n")
    before, path = git(real.main, "status", "--porcelain"), real.main / paths.BANK / "progress.md"
    runner.run(real.root, "leader")
    assert path.exists() == hidden
    assert git(real.main, "status", "--porcelain") == before
    path.write_text("# Ours\n")
    runner.run(real.root, "leader")
    assert "0 of 1 tasks done" in path.read_text()


def test_what_was_refused_is_listed(real: Real) -> None:
    real.bank().store.explain("f-0123456789abcdef", "refused", "it is a binary file", "one", file="'x.md'", size=3)
    found = real.project.data("memory", "list")["refused"]
    assert [(one["id"], one["reason"]) for one in found] == [("f-0123456789abcdef", "it is a binary file")]
    assert "it is a binary file" in real.project("memory", "list")[1]


# -- retention ---------------------------------------------------------------------------------------------------


def clear(real: Real, days: float) -> None:
    """Clear away as it would be done so many days from now."""
    now = real.root.files.stat("protocol.json")
    assert now
    moment = now.changed_ns + int(days * DAY_SECONDS * 10**9) + 10**9
    cleanup.clear(real.root, moment, moment - 30 * DAY_SECONDS * 10**9)


def test_within_the_retention_everything_can_be_undone(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """LIM-1: though only so many backups are kept."""
    monkeypatch.setattr("peercoord.memory.store.BACKUPS_MOST", 5)
    for number in range(8):
        real.add(note(f"- fact {number}", time=number))
        real.merge()
    assert len(real.root.files.scan(f"{paths.BACKUPS}/{NAME}")) == 5
    clear(real, 29)
    real.bank().undo(real.bank().entries()[0].id, ANN)
    assert ("fact 0" in real.text(), "fact 7" in real.text()) == (False, True)


def test_after_it_the_newest_state_and_all_that_waits_stay(real: Real) -> None:
    """MEM-15."""
    call, file = note("- of a call"), note("- of a file", time=1, source="learnings.md")
    waits = [change("Use a.", TOOLS), change("Use b.", TOOLS, peer="q")]
    real.add(call)
    real.merge()
    real.add(file, *waits)
    real.merge()
    before = real.bank()
    decided = len(real.root.files.scan(paths.TEXTS))
    clear(real, 32)
    bank = real.bank()
    assert bank.entries() == before.entries()[-1:]
    assert bank.contribution(call.id) is None
    assert bank.contribution(file.id)
    assert {one.id for one in bank.store.queued()} == {one.id for one in waits}
    assert all(one.base in bank.store.texts for one in waits)
    assert len(real.root.files.scan(paths.TEXTS)) < decided
    assert real.merge() == []
    (still,) = bank.waiting()
    bank.approve(still.candidate.id, still.candidate.takes["left"], ANN)
    assert "Use a." in real.text()
