"""The memory bank in a real repository: what git takes out, people who write at the same moment, modes, links."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from memory.banks import ANN
from memory.helpers import TECH, change, note
from memory.real import NAME, Real, real
from support.project import git, project, second

from peercoord.errors import BrokenFileError, LostError, PeercoordError
from peercoord.memory import change as bank_change
from peercoord.memory import documents, runner
from peercoord.memory.change import Changer
from peercoord.memory.documents import BankDisk, Documents
from peercoord.store import manifest, paths
from peercoord.store.lock import held
from peercoord.system import clock

__all__ = ["project", "real", "second"]


# -- what git takes out ------------------------------------------------------------------------------------------


def test_what_git_took_out_does_not_come_back(real: Real) -> None:
    """MEM-12."""
    real.add(note("- a fact"), change("Use ruff and mypy.", ("Tech context", "Tools"), time=1))
    real.merge()
    git(real.main, "reset", "-q", "--hard")
    assert real.file.read_bytes() == TECH
    real.add(note("- meanwhile", ("Tech context", "Language"), time=5))
    real.merge()
    assert [text in real.text() for text in ("a fact", "meanwhile", "mypy")] == [False, True, False]


def test_a_stash_that_comes_back_is_merged_once(real: Real) -> None:
    real.add(note("- a fact"))
    real.merge()
    for words in (("stash", "-q"), ("stash", "pop", "-q")):
        git(real.main, *words)
        real.merge()
    assert real.text().count("- a fact") == 1
    assert [entry.kind for entry in real.bank().entries()] == ["merge", "foreign", "foreign"]


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
    """A disk on which something happens just before one of its calls, counted from 1."""

    def __init__(self, disk: BankDisk, at: int, happens: Callable[[], object]) -> None:
        self.disk, self.left, self.happens = disk, at, happens

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.happens()
            return getattr(self.disk, name)(*given)

        return call


def test_a_save_during_a_replacement_is_never_lost(tmp_path: Path) -> None:
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


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a merge waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(bank_change, "sleep", seconds.append)
    return seconds


def test_a_document_being_written_is_waited_for(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert ("NEW WORDS" in real.text(), "- a fact" in real.text()) == (True, True)
    assert len(slept) >= 3


def test_a_document_that_is_not_closed_is_left_alone_and_reported(real: Real, slept: list[float]) -> None:
    """MEM-18: also one that the ledger knows; the others go on, and so does this one when it is closed."""
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
    assert ("Last words." in real.text(), "- a fact" in real.text()) == (True, True)


def test_a_program_that_opens_a_document_late_loses_nothing(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert (real.text().count("Last words."), real.text().count("- a fact")) == (1, 1)


def test_a_document_not_written_lately_is_merged_at_once(
    real: Real, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MEM-18: no wait for a document that is old, for one that only we wrote, or where nothing is queued."""
    monkeypatch.setattr(bank_change, "SETTLE_SECONDS", 2.0)
    os.utime(real.file, (1, 1))
    for number in range(3):
        real.add(note(f"- fact {number}", time=number))
        real.merge()
    real.file.write_bytes(TECH)
    assert real.merge() == []
    assert [entry.kind for entry in real.bank().entries()] == ["merge"] * 3
    future = real.file.stat().st_mtime + 1000
    os.utime(real.file, (future, future))
    real.add(note("- more", time=9))
    real.merge()
    assert slept == []


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


def test_a_stopped_lock_holder_does_not_block_a_merge(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peercoord.memory.change.LOCK_SECONDS", 0.05)
    real.add(note("- a fact"))
    with held(f"{real.project.state}/{paths.BANK_LOCK}"):
        real.merge()
    assert "- a fact" in real.text()


def test_a_record_that_names_a_place_outside_names_no_bank(real: Real) -> None:
    for name in ("../elsewhere", "/elsewhere", ".git/hooks", "docs/../../x", ".claude-instance", 7, None):
        manifest.note_project(real.main / ".git", "", bank=name)
        assert runner.directory(real.main) == str(real.main / paths.BANK)
    manifest.note_project(real.main / ".git", "", bank="docs/bank")
    assert runner.directory(real.main) == str(real.main / "docs/bank")
