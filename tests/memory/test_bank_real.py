"""The memory bank in a real repository, with real git: what git takes out, commits, modes, links, and its retention."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from memory.banks import ANN, always
from memory.helpers import LIMITS, TECH, change, note, text_of, texts
from support.poison import ATTRIBUTES, Canary
from support.project import Project, add_worktree, git, project, second

from peercoord.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, StorageError
from peercoord.memory import change as bank_change
from peercoord.memory import documents, runner
from peercoord.memory.bank import Bank, MergeSummary
from peercoord.memory.change import Changer
from peercoord.memory.cleanup import BankCleanup
from peercoord.memory.documents import BankDisk, Documents
from peercoord.queue.retention import DAY_SECONDS
from peercoord.store import paths
from peercoord.store.lock import held
from peercoord.system import clock

__all__ = ["project", "second"]

NAME = "techContext.md"
PATH = f"{paths.BANK}/{NAME}"


class Real:
    """A repository that tracks its memory bank."""

    def __init__(self, project: Project) -> None:
        self.project, self.main = project, project.main
        self.root = project.queue.root
        (self.main / paths.BANK).mkdir()
        self.file.write_bytes(TECH)
        self.commit("the bank")

    @property
    def file(self) -> Path:
        return self.main / PATH

    def commit(self, message: str) -> str:
        git(self.main, "add", "-A")
        git(self.main, "commit", "-q", "-m", message)
        return git(self.main, "rev-parse", "HEAD").strip()

    def bank(self) -> Bank:
        return runner.bank_of(self.root)

    def add(self, *ones: object) -> None:
        store = self.bank().store
        store.texts.keep(texts(TECH))
        for one in ones:
            store.publish(one)  # type: ignore[arg-type]

    def merge(self) -> list[MergeSummary]:
        return self.bank().merge("leader", always)

    def text(self) -> str:
        return self.file.read_text()


@pytest.fixture
def real(project: Project, monkeypatch: pytest.MonkeyPatch) -> Real:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@localhost")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Real(project)


# -- what git takes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "away",
    [
        lambda real: git(real.main, "stash", "-q"),
        lambda real: git(real.main, "reset", "-q", "--hard"),
        lambda real: git(real.main, "checkout", "-q", "--", paths.BANK),
    ],
    ids=["stash", "reset", "checkout"],
)
def test_what_git_took_out_does_not_come_back(real: Real, away: Callable[[Real], object]) -> None:
    """MEM-12."""
    one, two = note("- a fact"), change("Use ruff and mypy.", ("Tech context", "Tools"), time=1)
    real.add(one, two)
    real.merge()
    away(real)
    assert real.file.read_bytes() == TECH
    real.add(note("- meanwhile", ("Tech context", "Language"), time=5))
    real.merge()
    assert "a fact" not in real.text()
    assert "meanwhile" in real.text()
    assert "mypy" not in real.text()


def test_a_stash_that_comes_back_is_merged_once(real: Real) -> None:
    real.add(note("- a fact"))
    real.merge()
    git(real.main, "stash", "-q")
    real.merge()
    git(real.main, "stash", "pop", "-q")
    real.merge()
    assert real.text().count("- a fact") == 1
    assert [entry.kind for entry in real.bank().entries()] == ["merge", "foreign", "foreign"]


def test_another_branch_without_the_bank_is_checked_out_and_left_alone(real: Real) -> None:
    """MEM-17."""
    git(real.main, "branch", "bare", "HEAD~1")
    real.add(note("- a fact"))
    real.merge()
    real.commit("merged")
    git(real.main, "switch", "-q", "bare")
    later = note("- later", time=5)
    real.add(later)
    with pytest.raises(NotFoundError, match="not there"):
        real.merge()
    assert not real.file.exists()
    git(real.main, "switch", "-q", "main")
    real.merge()
    assert real.text().count("- a fact") == 1
    assert real.text().count("- later") == 1


# -- the document as a file --------------------------------------------------------------------------------------


def test_a_document_keeps_its_mode_and_no_link_is_followed(real: Real, tmp_path: Path) -> None:
    real.file.chmod(0o640)
    outside = tmp_path / "outside.md"
    outside.write_bytes(TECH)
    (real.main / paths.BANK / "activeContext.md").symlink_to(outside)
    real.add(note("- a fact"), note("- now", (), document="activeContext.md"))
    found = {one.document: one for one in real.merge()}
    assert stat.S_IMODE(real.file.stat().st_mode) == 0o640
    assert "- a fact" in real.text()
    assert "link" in found["activeContext.md"].note
    assert outside.read_bytes() == TECH
    assert (real.main / paths.BANK / "activeContext.md").is_symlink()
    assert not [path for path in (real.main / paths.BANK).iterdir() if path.name.startswith(".")]
    with pytest.raises(BrokenFileError):
        real.bank().read("activeContext.md")


# -- people who write at the same moment -------------------------------------------------------------------------


class Meanwhile:
    """A disk on which something happens just before one of its calls.

    Args:
        disk: The disk.
        at: Before which call, counted from 1.
        happens: What happens.
    """

    def __init__(self, disk: BankDisk, at: int, happens: Callable[[], object]) -> None:
        self.disk, self.left, self.happens = disk, at, happens

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.happens()
            return getattr(self.disk, name)(*given)

        return call


def test_what_an_editor_saves_while_a_document_is_replaced_is_never_lost(tmp_path: Path) -> None:
    """MEM-10: a program that saves by renaming, before each call of a replacement."""
    replaced = []
    for at in range(1, 99):
        home = tmp_path / str(at)
        home.mkdir()
        (home / NAME).write_bytes(TECH)

        def save(home: Path = home) -> None:
            (home / "swap").write_bytes(TECH.replace(b"Use ruff.", b"Use ruff, says Ann."))
            (home / "swap").rename(home / NAME)

        disk = Meanwhile(BankDisk(str(home)), at, save)
        documents = Documents(disk, clock.token)  # type: ignore[arg-type]
        step = documents.stage(NAME, TECH, TECH + b"\nOurs.\n")
        replaced.append(documents.swap(step))
        documents.drop(step.path)
        if disk.left > 0:
            break
        assert "says Ann." in (home / NAME).read_text(), at
        assert os.listdir(home) == [NAME]
    assert replaced[-1], "nobody saved anything"
    assert not any(replaced[:5]), "saved before the text was looked at: it is not replaced"


def test_where_files_cannot_change_places_a_rename_does(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """MEM-10: no Linux, or a filesystem that knows no exchange."""
    real.file.chmod(0o640)
    for number, refusal in enumerate((lambda: None, lambda: _invalid)):
        monkeypatch.setattr(documents, "_renameat2", refusal)
        real.add(note(f"- fact {number}", time=number))
        real.merge()
        assert f"- fact {number}" in real.text()
    assert stat.S_IMODE(real.file.stat().st_mode) == 0o640
    assert not [path for path in real.file.parent.iterdir() if path.name.startswith(".")]


def _invalid(*_: object) -> int:
    ctypes.set_errno(errno.EINVAL)
    return -1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and exchanges")
def test_the_disk_tells_who_writes_and_lets_files_change_places(tmp_path: Path) -> None:
    disk, one, two = BankDisk(str(tmp_path)), tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    with one.open("ab"):
        assert disk.written("one")
        disk.exchange("one", "two")
        assert (disk.written("one"), disk.written("two")) == (False, True)
    with one.open("rb"):
        assert not disk.written("one")
    assert (one.read_text(), two.read_text()) == ("2", "1")
    assert not disk.written("missing")
    with pytest.raises(FileNotFoundError):
        disk.exchange("one", "missing")


def test_a_document_that_is_still_being_written_waits_until_it_is_whole(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MEM-18: by a program that has it open, and by one that closed it a moment ago."""
    monkeypatch.setattr(bank_change, "SETTLE_SECONDS", 2.0)
    slept: list[float] = []

    def step(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            writer.write(b"\nNEW WORDS\n")
            writer.close()
        if writer.closed:
            old = real.file.stat().st_mtime_ns - int(seconds * 10**9)
            os.utime(real.file, ns=(old, old))

    monkeypatch.setattr(bank_change, "sleep", step)
    real.add(note("- a fact"))
    with real.file.open("wb") as writer:
        writer.write(TECH)
        writer.flush()
        (summary,) = real.merge()
    assert summary.note == ""
    assert "NEW WORDS" in real.text()
    assert "- a fact" in real.text()
    assert len(slept) >= 3


def test_a_document_that_is_not_closed_is_left_alone_and_told(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """MEM-18: also one that the ledger knows; the others go on, and so does this one when it is closed."""
    slept: list[float] = []
    monkeypatch.setattr(bank_change, "sleep", slept.append)
    real.add(note("- first"))
    real.merge()
    one = note("- a fact", time=1)
    real.add(one, note("- now", (), document="activeContext.md"))
    with real.file.open("ab") as writer:
        found = {each.document: each for each in real.merge()}
        assert "still be being written" in found[NAME].note
        assert (found[NAME].waiting, found[NAME].changed) == ([one.id], False)
        assert found["activeContext.md"].changed
        with pytest.raises(LostError, match="still be being written") as caught:
            real.bank().undo(real.bank().entries(NAME)[0].id, ANN)
        assert caught.value.code == "unsettled"
        assert sum(slept) <= 2 * (bank_change.SETTLE_TIMEOUT_SECONDS + 0.5)
        writer.write(b"\nLast words.\n")
    real.merge()
    assert "Last words." in real.text()
    assert "- a fact" in real.text()


def test_a_program_that_opens_a_document_right_before_it_is_replaced_loses_nothing(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MEM-10: what it writes afterwards would end in a file without a name."""
    opened: list[BinaryIO] = []
    exchange = BankDisk.exchange

    def late(disk: BankDisk, source: str, target: str) -> None:
        if not opened:
            opened.append(real.file.open("ab"))
        exchange(disk, source, target)

    def closed(_seconds: float) -> None:
        opened[0].write(b"\nLast words.\n")
        opened[0].close()

    monkeypatch.setattr(BankDisk, "exchange", late)
    monkeypatch.setattr(bank_change, "sleep", closed)
    real.add(note("- a fact"))
    real.merge()
    assert opened[0].closed
    assert "Last words." in real.text()
    assert real.text().count("- a fact") == 1


def test_what_nobody_wrote_lately_is_merged_at_once(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """MEM-18: nobody waits for a document that is old, for one that only we wrote, or where nothing is queued."""
    monkeypatch.setattr(bank_change, "SETTLE_SECONDS", 2.0)
    slept: list[float] = []
    monkeypatch.setattr(bank_change, "sleep", slept.append)
    os.utime(real.file, (1, 1))
    for number in range(3):
        real.add(note(f"- fact {number}", time=number))
        real.merge()
    real.file.write_bytes(TECH)
    assert real.merge() == []
    assert slept == []
    assert [entry.kind for entry in real.bank().entries()] == ["merge"] * 3
    future = real.file.stat().st_mtime + 1000
    os.utime(real.file, (future, future))
    real.add(note("- more", time=9))
    real.merge()
    assert slept == []


def test_a_folder_without_write_permission_says_so(real: Real) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    real.file.parent.chmod(0o555)
    real.add(note("- a fact"))
    with pytest.raises(StorageError, match="permission"):
        real.merge()
    real.file.parent.chmod(0o755)
    real.merge()
    assert real.text().count("- a fact") == 1


def test_threads_that_merge_and_decide_at_once(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """MEM-11: with the lock, and without it."""
    for locked in (True, False):
        if not locked:
            monkeypatch.setattr(Changer, "exclusive", _not_exclusive)
        ones = [note(f"- fact {number} {locked}", peer=f"p{number}", time=number) for number in range(12)]
        real.add(*ones)
        start = threading.Barrier(4)

        def work(start: threading.Barrier = start) -> None:
            start.wait()
            with suppress(PeercoordError):
                real.merge()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        real.merge()
        for one in ones:
            assert real.text().count(f"{one.content}\n") == 1
        assert real.bank().store.queued() == []


@contextmanager
def _not_exclusive(_self: Changer):  # type: ignore[no-untyped-def]
    yield


def test_whoever_holds_the_lock_and_is_stopped_holds_up_nobody(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peercoord.memory.change.LOCK_SECONDS", 0.05)
    real.add(note("- a fact"))
    with held(f"{real.project.state}/{paths.BANK_LOCK}"):
        real.merge()
    assert "- a fact" in real.text()


def test_a_record_that_names_a_place_outside_names_no_bank(real: Real) -> None:
    from peercoord.store import manifest

    for name in ("../elsewhere", "/elsewhere", ".git/hooks", "docs/../../x", ".claude-instance", 7, None):
        manifest.note_project(real.main / ".git", "", bank=name)
        assert runner.directory(real.main) == str(real.main / paths.BANK)
    manifest.note_project(real.main / ".git", "", bank="docs/bank")
    assert runner.directory(real.main) == str(real.main / "docs/bank")


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

    def test_the_documents_alone_are_committed_whatever_is_staged(self, real: Real) -> None:
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

    def test_a_hook_that_fails_and_a_signature_that_is_missing_do_not_hurt(self, real: Real) -> None:
        hook = real.main / ".git" / "hooks" / "pre-commit"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        real.add(note("- a fact"))
        assert self.run(real).commit == self.head(real)

    @pytest.mark.parametrize("how", ["merge", "rebase", "staged", "identity", "lock"])
    def test_where_it_cannot_be_it_is_told_and_the_merge_stands(
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

    def test_a_detached_head_and_the_reflog_follow(self, real: Real) -> None:
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


class TestMergeJob:
    """The leader's duty, with a program that notes that it was called in the place of a merge."""

    @pytest.fixture
    def job(self, real: Real, tmp_path: Path) -> tuple[runner.MergeJob, Path, list[float]]:
        called = tmp_path / "called"
        script = f"open({str(called)!r}, 'a').write('x'); print('{{\"data\": {{}}}}')"
        now = [0.0]
        root = real.root
        root.clock = type("Clock", (type(root.clock),), {"monotonic": lambda _: now[0]})()
        return runner.MergeJob(root, str(real.project.worktree), [sys.executable, "-c", script]), called, now

    def times(self, called: Path) -> int:
        return len(called.read_text()) if called.exists() else 0

    def test_it_merges_in_its_time_and_at_once_when_something_was_decided(
        self, real: Real, job: tuple[runner.MergeJob, Path, list[float]]
    ) -> None:
        duty, called, now = job
        duty.run(1)
        assert self.times(called) == 1
        real.add(note("- a fact"))
        now[0] = 599.0
        assert duty.run(1) == 1.0, "woken early, it comes back when its time is over"
        assert self.times(called) == 1
        now[0] = 600.0
        assert duty.run(1) == 600.0
        assert self.times(called) == 2
        real.bank().store.decide("e-0123456789abcdef", {"what": "approve"})
        now[0] = 601.0
        duty.run(1)
        assert self.times(called) == 3
        duty.run(1)
        assert self.times(called) == 3

    def test_an_idle_team_starts_no_process(self, real: Real, job: tuple[runner.MergeJob, Path, list[float]]) -> None:
        duty, called, now = job
        for now[0] in (0.0, 600.0, 1200.0, 1800.0):
            duty.run(1)
        assert self.times(called) == 1

    def test_what_was_left_alone_is_tried_again_though_nothing_changed(
        self, real: Real, job: tuple[runner.MergeJob, Path, list[float]]
    ) -> None:
        """MEM-18: a program that had a document open may close it without a word."""
        duty, called, now = job
        duty.command[-1] = duty.command[-1].replace("{}}", '{"notes": ["left alone"]}}')
        for now[0] in (0.0, 599.0, 600.0):
            duty.run(1)
        assert self.times(called) == 2

    def test_what_is_queued_while_a_merge_runs_is_merged_the_next_time(
        self, real: Real, job: tuple[runner.MergeJob, Path, list[float]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        duty, called, now = job
        merge = duty.call

        def slow(term: int) -> bool:
            left = merge(term)
            real.add(note(f"- fact {self.times(called)}", time=self.times(called)))
            return left

        monkeypatch.setattr(duty, "call", slow)
        duty.run(1)
        monkeypatch.setattr(duty, "call", merge)
        now[0] = 600.0
        duty.run(1)
        assert self.times(called) == 2


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

    def test_a_heading_without_text_is_refused_or_told(self, real: Real) -> None:
        code, out, err = real.project("memory", "add", "--file", NAME, "--content", "## Lonely heading")
        assert (code, out) == (2, "")
        assert "no text stands under 'Lonely heading'" in err
        content = "## Limits\n\n- a fact\n\n## Lonely heading"
        code, out, err = real.project("memory", "add", "--file", NAME, "--content", content)
        assert code == 0
        assert "1 contribution" in out
        assert "left out: no text stands under 'Lonely heading'" in err

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
    def test_progress_is_told_where_git_does_not_show_a_new_file_for_it(self, real: Real, hidden: bool) -> None:
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

    def test_after_it_the_newest_state_the_waiting_and_the_contributions_of_files_stay(self, real: Real) -> None:
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
