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
from support.project import Project, add_worktree, git, project, second

from peercoord.memory import runner
from peercoord.memory.cleanup import BankCleanup
from peercoord.queue.retention import DAY_SECONDS
from peercoord.store import paths

__all__ = ["project", "real", "second"]


# -- commits -----------------------------------------------------------------------------------------------------


class TestCommit:
    @pytest.fixture(autouse=True)
    def _on(self, real: Real) -> None:
        assert real.project("config", "memory.commit", "on")[0] == 0

    def run(self, real: Real) -> runner.Merged:
        from peercoord.store.root import open_root

        return runner.run(open_root(str(real.project.state)), "leader")

    def head(self, real: Real) -> str:
        return git(real.main, "rev-parse", "HEAD").strip()

    def test_only_the_documents_are_committed_whatever_is_staged(self, real: Real) -> None:
        """LIM-2."""
        (real.main / "code.py").write_text("1\n")
        real.commit("code")
        (real.main / "code.py").write_text("2\n")
        git(real.main, "add", "code.py")
        (real.main / "new.py").write_text("3\n")
        before = self.head(real)
        real.project("task", "add", "First")
        real.add(note("- a fact"))
        done = self.run(real)
        assert (done.commit, done.notes) == (self.head(real), [])
        assert git(real.main, "rev-parse", "HEAD~1").strip() == before
        changed = git(real.main, "show", "--name-only", "--format=", "HEAD").split()
        assert sorted(changed) == [f"{paths.BANK}/activeContext.md", f"{paths.BANK}/progress.md", PATH]
        status = git(real.main, "status", "--porcelain")
        assert status.splitlines() == ["M  code.py", "?? new.py"]

    @pytest.mark.parametrize("how", ["merge", "rebase", "staged", "identity", "lock"])
    def test_a_commit_that_cannot_be_is_told_and_the_merge_stands(
        self, real: Real, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if how in ("merge", "rebase"):
            git(real.main, "switch", "-q", "-c", "side")
            (real.main / "f").write_text("side\n")
            real.commit("side")
            git(real.main, "switch", "-q", "main")
            (real.main / "f").write_text("main\n")
            real.commit("main")
            subprocess.run(["git", "-C", str(real.main), how, "side"], capture_output=True, check=False)
        elif how == "staged":
            real.file.write_bytes(TECH.replace(b"Use ruff.", b"Mine."))
            git(real.main, "add", PATH)
        elif how == "identity":
            git(real.main, "config", "user.useConfigOnly", "true")
            for role in ("AUTHOR", "COMMITTER"):
                monkeypatch.delenv(f"GIT_{role}_NAME")
                monkeypatch.delenv(f"GIT_{role}_EMAIL")
        else:
            (real.main / ".git" / "index.lock").touch()
        before = self.head(real)
        real.add(note("- a fact"))
        done = self.run(real)
        assert done.commit == ""
        assert len(done.notes) == 1
        assert "committed" in done.notes[0]
        assert self.head(real) == before
        assert "- a fact" in real.text()
        assert [what for what, _ in runner.troubles(real.root)] == done.notes

    def test_a_hostile_configuration_runs_nothing(self, real: Real, tmp_path: Path) -> None:
        canary = Canary(tmp_path / "canary")
        canary.poison(real.main / ".git" / "config")
        real.add(note("- a fact"))
        assert "signs its commits" in self.run(real).notes[0]
        git(real.main, "config", "commit.gpgSign", "false")
        (real.main / ".git" / "info" / "attributes").write_text(ATTRIBUTES)
        real.add(note("- another fact"))
        assert "has a filter" in self.run(real).notes[0]
        (real.main / ".git" / "info" / "attributes").write_text("* diff=evil merge=evil\n")
        canary.mark.unlink(missing_ok=True)  # git config, above, is a person's own call
        real.add(note("- a third fact"))
        done = self.run(real)
        assert canary.ran() == ""
        assert (done.commit, done.notes) == (self.head(real), [])

    def test_a_detached_head_and_the_reflog_follow_whatever_a_hook_says(self, real: Real) -> None:
        hook = real.main / ".git" / "hooks" / "pre-commit"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        git(real.main, "checkout", "-q", "--detach")
        real.add(note("- a fact"))
        done = self.run(real)
        assert (done.commit, done.notes) == (self.head(real), [])
        assert git(real.main, "log", "-g", "-1", "--format=%gs").strip() == "commit: memory bank: merged by leader"
        assert git(real.main, "status", "--porcelain") == ""

    def test_what_is_not_tracked_is_not_committed(self, project: Project, second: Path, real: Real) -> None:
        git(real.main, "rm", "-rq", "--cached", paths.BANK)
        git(real.main, "commit", "-q", "-m", "untracked")
        before = self.head(real)
        real.add(note("- a fact"))
        assert (self.run(real).commit, self.head(real)) == ("", before)

    def test_off_by_default(self, real: Real) -> None:
        real.project("config", "memory.commit", "off")
        real.add(note("- a fact"))
        assert self.run(real).commit == ""
        assert runner.commit_documents(real.bank(), [NAME], "leader")[0] == self.head(real)


# -- commands ----------------------------------------------------------------------------------------------------


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


class TestMergeJob:
    @pytest.fixture
    def job(self, real: Real, tmp_path: Path) -> Job:
        return Job(real, tmp_path / "called")

    def test_it_merges_on_schedule_and_at_once_after_a_decision(self, real: Real, job: Job) -> None:
        assert job.run(0.0) == 1
        real.add(note("- a fact"))
        assert job.run(599.0) == 1
        assert job.wait == 1.0, "woken early, it comes back when its time is over"
        assert job.run(600.0) == 2
        assert job.wait == 600.0
        real.bank().store.decide("e-0123456789abcdef", {"what": "approve"})
        assert [job.run(601.0), job.run(601.0)] == [3, 3]

    def test_an_idle_team_starts_no_process(self, job: Job) -> None:
        assert [job.run(now) for now in (0.0, 600.0, 1200.0, 1800.0)] == [1] * 4

    def test_a_document_left_alone_is_tried_again(self, job: Job) -> None:
        """MEM-18: a program that had a document open may close it without a word."""
        job.job.command[-1] = job.job.command[-1].replace("{}}", '{"notes": ["left alone"]}}')
        assert [job.run(now) for now in (0.0, 599.0, 600.0)] == [1, 1, 2]

    def test_a_contribution_queued_during_a_merge_is_merged_next(
        self, real: Real, job: Job, monkeypatch: pytest.MonkeyPatch
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


class TestCommand:
    def test_a_call_is_merged_by_a_call_from_any_worktree(self, real: Real) -> None:
        worktree = add_worktree(real.project, "three")
        (worktree / paths.BANK).is_dir()
        real.project("memory", "add", "--file", NAME, "--section", "Limits", "--content", "- from one")
        found = real.project.data("memory", "merge", at=worktree)
        assert [one["file"] for one in found["documents"]] == [NAME]
        assert "- from one" in real.text()
        again = real.project.data("memory", "merge")
        assert again["documents"] == []
        assert real.project("memory", "merge")[1] == "nothing to merge\n"

    def test_an_update_is_merged_with_what_others_changed_meanwhile(self, real: Real) -> None:
        """MEM-5: the base that the call names is kept."""
        words = ("memory", "add", "--file", NAME, "--section", "Limits", "--type", "update", "--content")
        lines = text_of(TECH, *LIMITS)
        real.project(*words, lines.replace("20 minutes", "30 minutes"))
        real.project(*words, lines.replace("unique", "short"), at=add_worktree(real.project, "three"))
        real.project("memory", "merge")
        assert text_of(real.file.read_bytes(), *LIMITS) == lines.replace("20 min", "30 min").replace("unique", "short")

    def test_the_views_say_how_it_stands(self, real: Real) -> None:
        from support.worlds import unknown

        from peercoord.status.board import Reader

        reader = Reader(real.project.queue, unknown)
        assert reader.board().memory["last_merge"] is None
        real.add(change("8 MB."), change("6 MB.", peer="two", time=1), note("- behind", time=2))
        assert reader.board().memory["pending"] == 3
        runner.run(real.root, "leader")
        memory = reader.board().memory
        assert (memory["pending"], memory["conflicts"], memory["approvals"], memory["queued"]) == (1, 1, 0, 3)
        assert memory["last_merge"] == runner.health(real.root)["at"]

    def test_a_merge_that_fails_is_told_to_doctor(self, real: Real) -> None:
        real.add(note("- a fact"))
        os.rename(real.main / paths.BANK, real.main / "elsewhere")
        code, _, err = real.project("memory", "merge")
        assert code == 3
        assert "not there" in err
        ((what, hint),) = runner.troubles(real.root)
        assert "failed" in what
        assert hint
        found = [one for one in real.project.data("doctor")["checks"] if one["check"] == "memory bank"]
        assert [(one["text"], one["fix"]) for one in found] == [(what, hint)]

    def test_an_old_term_merges_nothing(self, real: Real) -> None:
        real.add(note("- a fact"))
        code, _, err = real.project("memory", "merge", "--term", "7")
        assert code == 4
        assert "leads now" in err
        assert real.file.read_bytes() == TECH

    @pytest.mark.parametrize("hidden", [False, True])
    def test_progress_makes_no_file_that_git_would_show(self, real: Real, hidden: bool) -> None:
        """MEM-14."""
        real.project("task", "add", "a task")
        if hidden:
            (real.main / ".git" / "info" / "exclude").write_text(f"/{paths.BANK}/progress.md\n/.claude-*/\n")
        before = git(real.main, "status", "--porcelain")
        runner.run(real.root, "leader")
        assert (real.main / paths.BANK / "progress.md").exists() == hidden
        assert git(real.main, "status", "--porcelain") == before
        (real.main / paths.BANK / "progress.md").write_text("# Ours\n")
        runner.run(real.root, "leader")
        assert "0 of 1 tasks done" in (real.main / paths.BANK / "progress.md").read_text()

    def test_what_was_refused_is_listed(self, real: Real) -> None:
        real.bank().store.explain("f-0123456789abcdef", "refused", "it is a binary file", "one", file="'x.md'", size=3)
        found = real.project.data("memory", "list")
        assert [(one["id"], one["reason"]) for one in found["refused"]] == [
            ("f-0123456789abcdef", "it is a binary file")
        ]
        assert "it is a binary file" in real.project("memory", "list")[1]


# -- retention ---------------------------------------------------------------------------------------------------


class TestRetention:
    def cleared(self, real: Real, days: float) -> None:
        """Clear away as it would be done so many days from now."""
        now = BankCleanup(real.root).files.stat("protocol.json")
        assert now
        moment = now.changed_ns + int(days * DAY_SECONDS * 10**9) + 10**9
        BankCleanup(real.root).run(moment, moment - 30 * DAY_SECONDS * 10**9)

    def test_within_it_everything_can_be_undone(self, real: Real) -> None:
        real.add(note("- a fact"))
        (summary,) = real.merge()
        real.add(note("- more", time=1))
        real.merge()
        self.cleared(real, 29)
        real.bank().undo(summary.entry, ANN)
        assert "- a fact" not in real.text()
        assert "- more" in real.text()

    def test_after_it_the_newest_state_and_all_that_waits_stay(self, real: Real) -> None:
        """MEM-15."""
        call, file = note("- of a call"), note("- of a file", time=1, source="learnings.md")
        waits = [
            change("Use a.", ("Tech context", "Tools")), change("Use b.", ("Tech context", "Tools"), peer="q"),
        ]  # fmt: skip
        real.add(call)
        real.merge()
        real.add(file, *waits)
        real.merge()
        before = real.bank()
        decided = len(real.root.files.scan(paths.TEXTS))
        self.cleared(real, 32)
        bank = real.bank()
        assert bank.entries() == before.entries()[-1:]
        assert bank.contribution(call.id) is None
        assert bank.contribution(file.id)
        assert {one.id for one in bank.store.queued()} == {one.id for one in waits}
        assert all(one.base in bank.store.texts for one in waits)
        assert len(real.root.files.scan(paths.TEXTS)) < decided
        assert real.merge() == []
        assert [one.kind for one in bank.entries()] == ["merge"]
        (still,) = bank.waiting()
        bank.approve(still.candidate.id, still.candidate.takes["left"], ANN)
        assert "Use a." in real.text()

    def test_only_so_many_backups_are_kept(self, real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
        """LIM-1."""
        monkeypatch.setattr("peercoord.memory.store.BACKUPS_MOST", 5)
        for number in range(8):
            real.add(note(f"- fact {number}", time=number))
            real.merge()
        assert len(real.root.files.scan(f"{paths.BACKUPS}/{NAME}")) == 5
        first = real.bank().entries()[0]
        real.bank().undo(first.id, ANN)
        assert "fact 0" not in real.text()
        assert "fact 7" in real.text()
