"""What a disk promises: the real one, the one in memory and the one below a worktree answer the same.

The doubles that the crash tests and the simulator stand on are believed because no sequence of calls tells them from
the real disk.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.faults import Counting, Failing, Wrapper
from support.memory import MemoryDisk

from peercoord.store.beneath import Beneath
from peercoord.system.disk import Disk

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike

NAMES = ("a", "b", "d", "d/a", "d/e", "d/e/a", "c/a")
LONG = ("é" * 127, "é" * 128)
ONE_NAME = ("read", "append", "touch")  # below a worktree, of a file with one name alone
CALLS = ("mkdir", "create", "link", "rename", "rename", "unlink", "rmdir", "stat", "listdir", "irregular", "sync")


BEGIN = [("create", ["a", b"1", True]), ("create", ["b", b"2", True]), ("mkdir", ["d"]), ("link", ["b", "d/a"])]


def answered(disk: DiskLike, call: str, args: list[Any]) -> Any:
    """What a caller can tell of a call: its answer without times, or its error number."""
    try:
        answer = getattr(disk, call)(*args)
    except OSError as error:
        either = {errno.EEXIST: errno.ENOTEMPTY} if call in ("rename", "rmdir") else {}  # not empty
        if call in ("rename", "link"):
            either[errno.ENOTDIR] = errno.ENOENT  # where both paths are wrong
        return either.get(error.errno or 0, error.errno)
    if call == "stat":
        return answer.is_dir, answer.is_file, answer.is_file and (answer.size, answer.links)
    return sorted(answer) if call in ("listdir", "irregular") else answer


def any_call(chance: Random) -> tuple[str, list[Any]]:
    call = chance.choice((*CALLS, *ONE_NAME))
    more: dict[str, list[Any]] = {
        "create": [b"data", chance.random() < 0.5],
        "append": [b"more"],
        "read": [chance.choice((3, 99))],
        "rename": [chance.choice(NAMES)],
        "link": [chance.choice(NAMES)],
    }
    names = (*NAMES, *LONG) if call == "create" else (*NAMES, "") if call in ("listdir", "stat", "sync") else NAMES
    return call, [chance.choice(names), *more.get(call, [])]


@pytest.mark.parametrize("kind", ["memory", "beneath", "beneath-inside"])
def test_no_sequence_of_calls_tells_it_from_the_real_disk(tmp_path: Path, kind: str) -> None:
    chance, met = Random(7), set()
    for number in range(60):
        real, other = tmp_path / f"real{number}", tmp_path / f"other{number}"
        real.mkdir()
        other.mkdir()
        truth: DiskLike = Wrapper(Disk(str(real)))
        doubles: dict[str, DiskLike] = {
            "memory": Counting(Failing(MemoryDisk(), lambda call: None)),
            "beneath": Beneath(str(other)),
            "beneath-inside": Beneath(str(tmp_path), other.name),
        }
        for call, args in (*BEGIN, *(any_call(chance) for _ in range(80))):
            if kind != "memory" and call in ONE_NAME and (real / args[0]).is_file() and truth.stat(args[0]).links > 1:
                assert answered(doubles[kind], call, args) == errno.EMLINK
                continue
            seen = answered(truth, call, args)
            assert answered(doubles[kind], call, args) == seen, (number, call, args)
            for name in NAMES:
                assert answered(doubles[kind], "stat", [name]) == answered(truth, "stat", [name]), (number, call, args)
            met.add((call, seen if isinstance(seen, int) else "done"))
    assert len(met) > 40, "they met errors of every kind"


@pytest.mark.parametrize("real", [True, False])
def test_times_show_what_changed(tmp_path: Path, real: bool) -> None:
    """A rename changes no content, and what changes content shows."""
    disk: DiskLike = Disk(str(tmp_path)) if real else MemoryDisk()
    disk.create("a", b"four", False)
    before = disk.stat("a")
    disk.rename("a", "b")
    after = disk.stat("b")
    assert after.modified_ns == before.modified_ns <= before.changed_ns <= after.changed_ns
    disk.append("b", b"!")
    assert disk.stat("b").modified_ns >= before.modified_ns
    before = disk.stat("b")
    disk.touch("b")
    assert (disk.stat("b").modified_ns >= before.modified_ns, disk.stat("b").size) == (True, 5)


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_flush_loses_nothing(tmp_path: Path, real: bool) -> None:
    """On the real disk it writes out whatever the whole machine holds back."""
    disk = Disk(str(tmp_path)) if real else Wrapper(MemoryDisk())
    disk.create("a", b"x", False)
    disk.flush()
    assert disk.read("a", 1) == b"x"


def refused(*numbers: int) -> object:
    return pytest.raises(OSError, check=lambda error: error.errno in numbers)


class TestOnlyOnARealDisk:
    """Links and FIFOs in the last place: tests/store/test_beneath.py tries them on both kinds of real disk."""

    def test_a_symbolic_link_is_itself(self, tmp_path: Path) -> None:
        disk = Disk(str(tmp_path))
        (tmp_path / "secret").write_bytes(b"secret!")
        (tmp_path / "link").symlink_to("secret")
        with refused(errno.EEXIST):
            disk.create("link", b"x", False)
        assert not disk.stat("link").is_dir
        assert disk.stat("link").size == len("secret")
        disk.link("link", "second")
        assert (tmp_path / "second").is_symlink()
        assert (tmp_path / "secret").read_bytes() == b"secret!"

    def test_a_fifo_with_a_writer_is_refused_too(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        writer = os.open(tmp_path / "fifo", os.O_RDWR)
        try:
            with refused(errno.ENXIO):
                Disk(str(tmp_path)).read("fifo", 10)
        finally:
            os.close(writer)

    def test_files_have_the_mode_that_the_user_asks_for(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            Disk(str(tmp_path)).create("a", b"", False)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640

    def test_no_handle_outlives_a_call(self, tmp_path: Path) -> None:
        disk = Disk(str(tmp_path))
        open_before = len(os.listdir("/proc/self/fd"))
        for number in range(5):
            disk.create(f"f{number}", b"x", True)
            disk.append(f"f{number}", b"y")
            disk.read(f"f{number}", 5)
            disk.touch(f"f{number}")
            disk.sync("")
            with refused(errno.ENOENT):
                disk.read("no", 5)
        assert len(os.listdir("/proc/self/fd")) == open_before
