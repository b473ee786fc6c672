"""What a disk promises, tried on the real one, the one in memory, and through a wrapper.

The doubles that the crash tests and the simulation stand on are believed because they pass what the real disk passes.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.faults import Counting, Failing, Wrapper
from support.memory import MemoryDisk

from peercoord.store.beneath import Beneath
from peercoord.system.disk import Disk

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike


@pytest.fixture(params=["real", "memory", "wrapped", "wrapped-real", "beneath", "beneath-inside"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> DiskLike:
    made: dict[str, DiskLike] = {
        "real": Disk(str(tmp_path)),
        "memory": MemoryDisk(),
        "wrapped": Counting(Failing(MemoryDisk(), lambda call: None)),
        "wrapped-real": Wrapper(Disk(str(tmp_path))),
        "beneath": Beneath(str(tmp_path)),
        "beneath-inside": Beneath(str(tmp_path.parent), tmp_path.name),
    }
    return made[request.param]


def refused(*numbers: int) -> object:
    return pytest.raises(OSError, check=lambda error: error.errno in numbers)


class TestFiles:
    def test_a_created_file_is_read_back_and_never_replaced(self, disk: DiskLike) -> None:
        disk.create("a", b"content", True)
        disk.mkdir("d")
        for taken in ("a", "d"):
            with refused(errno.EEXIST):
                disk.create(taken, b"second", False)
        assert (disk.read("a", 100), disk.read("a", 3)) == (b"content", b"con")
        assert sorted(disk.listdir("")) == ["a", "d"]

    def test_appending_makes_the_file_and_adds_at_its_end(self, disk: DiskLike) -> None:
        disk.append("log", b"one\n")
        disk.append("log", b"two\n")
        assert disk.read("log", 100) == b"one\ntwo\n"

    def test_touching_makes_the_file_and_keeps_its_content(self, disk: DiskLike) -> None:
        disk.touch("a")
        assert disk.read("a", 1) == b""
        disk.append("a", b"x")
        before = disk.stat("a").modified_ns
        disk.touch("a")
        assert disk.read("a", 2) == b"x"
        assert disk.stat("a").modified_ns >= before

    def test_a_look_tells_files_from_directories(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.mkdir("d/inner")
        disk.create("d/file", b"four", False)
        disk.create("d/inner/other", b"x", False)
        assert disk.irregular("d") == ["inner"]
        seen, inner = disk.stat("d/file"), disk.stat("d/inner")
        assert (seen.is_file, seen.is_dir, seen.size, seen.links) == (True, False, 4, 1)
        assert (inner.is_file, inner.is_dir, disk.stat("").is_dir) == (False, True, True)

    def test_a_name_has_at_most_255_bytes(self, disk: DiskLike) -> None:
        disk.create("x" * 255, b"", False)
        for name in ("x" * 256, "é" * 128):
            with refused(errno.ENAMETOOLONG):
                disk.create(name, b"", False)


ARGUMENTS: dict[str, tuple[object, ...]] = {
    "read": (10,),
    "append": (b"x",),
    "create": (b"", False),
    "rename": ("b",),
    "link": ("b",),
}


class TestRefused:
    def test_a_missing_path_is_an_error(self, disk: DiskLike) -> None:
        disk.create("file", b"", False)
        for call in ("listdir", "read", "stat", "unlink", "rmdir", "sync", "rename", "link"):
            for path, number in (("no", errno.ENOENT), ("no/way", errno.ENOENT), ("file/below", errno.ENOTDIR)):
                with refused(number):
                    getattr(disk, call)(path, *ARGUMENTS.get(call, ()))
        assert disk.listdir("") == ["file"]

    def test_nothing_is_made_where_there_is_no_directory(self, disk: DiskLike) -> None:
        disk.create("file", b"", False)
        for home, number in (("no", errno.ENOENT), ("file", errno.ENOTDIR)):
            for call in ("create", "append", "mkdir", "touch"):
                with refused(number):
                    getattr(disk, call)(f"{home}/new", *ARGUMENTS.get(call, ()))
            for call in ("rename", "link"):
                with refused(number):
                    getattr(disk, call)("file", f"{home}/new")
        assert disk.listdir("") == ["file"]

    def test_a_directory_is_no_file_and_a_file_no_directory(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("file", b"", False)
        for call in ("read", "append", "touch", "unlink"):
            with refused(errno.EISDIR):
                getattr(disk, call)("d", *ARGUMENTS.get(call, ()))
        for call in ("listdir", "rmdir", "sync"):
            with refused(errno.ENOTDIR):
                getattr(disk, call)("file")
        assert sorted(disk.listdir("")) == ["d", "file"]


class TestNames:
    def test_a_link_is_a_second_name_and_never_replaces(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.create("other", b"y", False)
        disk.mkdir("d")
        disk.link("a", "b")
        assert disk.stat("a").links == disk.stat("b").links == 2
        for taken in ("a", "other", "d"):
            with refused(errno.EEXIST):
                disk.link("a", taken)
        with refused(errno.EPERM):
            disk.link("d", "e")
        if not isinstance(disk, Beneath):  # which opens no file of two names
            disk.append("b", b"y")
            assert disk.read("a", 10) == b"xy"
        disk.unlink("a")
        assert disk.stat("b").links == 1
        with refused(errno.ENOENT):
            disk.unlink("a")
        assert sorted(disk.listdir("")) == ["b", "d", "other"]

    def test_of_two_movers_the_second_finds_nothing(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.mkdir("d")
        disk.rename("a", "d/one")
        with refused(errno.ENOENT):
            disk.rename("a", "two")
        assert disk.listdir("") == ["d"]
        assert disk.read("d/one", 10) == b"x"

    def test_a_rename_replaces_a_file(self, disk: DiskLike) -> None:
        disk.create("a", b"new", False)
        disk.create("b", b"old", False)
        disk.link("b", "other")
        disk.rename("a", "b")
        assert disk.read("b", 10) == b"new"
        assert disk.stat("other").links == 1
        assert disk.read("other", 10) == b"old"

    def test_a_rename_between_two_names_of_one_file_keeps_both(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.link("a", "b")
        disk.rename("a", "b")
        disk.rename("a", "a")
        assert sorted(disk.listdir("")) == ["a", "b"]
        assert disk.stat("a").links == 2

    def test_a_rename_changes_no_content(self, disk: DiskLike) -> None:
        disk.create("a", b"four", False)
        before = disk.stat("a")
        disk.rename("a", "b")
        after = disk.stat("b")
        assert after.modified_ns == before.modified_ns <= before.changed_ns <= after.changed_ns
        disk.append("b", b"!")
        assert disk.stat("b").modified_ns >= before.modified_ns

    def test_a_directory_moves_with_all_it_holds(self, disk: DiskLike) -> None:
        for name in ("d", "d/claims", "empty", "full", "full/x"):
            disk.mkdir(name)
        disk.create("d/claims/t", b"", False)
        with refused(errno.ENOTEMPTY, errno.EEXIST):
            disk.rename("d", "full")
        disk.rename("d", "empty")
        assert disk.listdir("empty/claims") == ["t"]
        with refused(errno.ENOENT):
            disk.rename("d/claims/t", "t")
        assert sorted(disk.listdir("")) == ["empty", "full"]

    def test_files_and_directories_do_not_replace_each_other(self, disk: DiskLike) -> None:
        disk.create("a", b"", False)
        disk.mkdir("d")
        disk.mkdir("d/e")
        for source, target, number in (
            ("a", "d", errno.EISDIR),
            ("d", "a", errno.ENOTDIR),
            ("d", "d/e/f", errno.EINVAL),
            ("d/e", "d", errno.ENOTEMPTY),
        ):
            with refused(number):
                disk.rename(source, target)
        assert sorted(disk.listdir("")) == ["a", "d"]
        assert disk.listdir("d") == ["e"]

    def test_a_directory_is_made_once_and_removed_when_empty(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("d/a", b"", False)
        for name in ("d", "d/a"):
            with refused(errno.EEXIST):
                disk.mkdir(name)
        with refused(errno.ENOTEMPTY, errno.EEXIST):
            disk.rmdir("d")
        disk.sync("d")
        assert disk.listdir("d") == ["a"]
        disk.unlink("d/a")
        disk.rmdir("d")
        assert disk.listdir("") == []


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_flush_loses_nothing(tmp_path: Path, real: bool) -> None:
    """On the real disk it writes out whatever the whole machine holds back."""
    disk = Disk(str(tmp_path)) if real else Wrapper(MemoryDisk())
    disk.create("a", b"x", False)
    disk.flush()
    assert disk.read("a", 1) == b"x"


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
