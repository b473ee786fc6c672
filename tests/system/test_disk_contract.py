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


def refused(number: int) -> object:
    return pytest.raises(OSError, check=lambda error: error.errno == number)


class TestFiles:
    def test_a_created_file_is_read_back(self, disk: DiskLike) -> None:
        disk.create("a", b"content", True)
        assert disk.read("a", 100) == b"content"
        assert disk.read("a", 3) == b"con"
        assert disk.listdir("") == ["a"]

    def test_a_taken_name_is_refused_and_keeps_its_content(self, disk: DiskLike) -> None:
        disk.create("a", b"first", False)
        with refused(errno.EEXIST):
            disk.create("a", b"second", False)
        assert disk.read("a", 100) == b"first"

    def test_a_name_taken_by_a_directory_is_refused(self, disk: DiskLike) -> None:
        disk.mkdir("a")
        with refused(errno.EEXIST):
            disk.create("a", b"", False)

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

    def test_unlinking_removes_one_name(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.unlink("a")
        assert disk.listdir("") == []
        with refused(errno.ENOENT):
            disk.unlink("a")

    @pytest.mark.parametrize("call", ["read", "append", "touch", "unlink"])
    def test_a_directory_is_no_file(self, disk: DiskLike, call: str) -> None:
        disk.mkdir("d")
        arguments = {"read": (10,), "append": (b"x",)}.get(call, ())
        with refused(errno.EISDIR):
            getattr(disk, call)("d", *arguments)
        assert disk.stat("d").is_dir


class TestMissing:
    @pytest.mark.parametrize("path", ["no", "no/way", "file/below"])
    @pytest.mark.parametrize("call", ["listdir", "read", "stat", "unlink", "rmdir", "sync", "rename", "link"])
    def test_what_is_not_there_is_an_error(self, disk: DiskLike, call: str, path: str) -> None:
        disk.create("file", b"", False)
        arguments: dict[str, tuple[object, ...]] = {"read": (10,), "rename": ("b",), "link": ("b",)}
        with refused(errno.ENOTDIR if path.startswith("file") else errno.ENOENT):
            getattr(disk, call)(path, *arguments.get(call, ()))
        assert disk.listdir("") == ["file"]

    @pytest.mark.parametrize("call", ["create", "append", "mkdir", "touch", "rename", "link"])
    def test_nothing_is_made_where_there_is_no_directory(self, disk: DiskLike, call: str) -> None:
        disk.create("file", b"", False)
        for home, number in (("no", errno.ENOENT), ("file", errno.ENOTDIR)):
            arguments = {"create": (b"", False), "append": (b"x",)}.get(call, ())
            source = ("file",) if call in ("rename", "link") else ()
            with refused(number):
                getattr(disk, call)(*source, f"{home}/new", *arguments)
        assert disk.listdir("") == ["file"]

    @pytest.mark.parametrize("call", ["listdir", "rmdir", "sync"])
    def test_a_file_is_no_directory(self, disk: DiskLike, call: str) -> None:
        disk.create("file", b"", False)
        with refused(errno.ENOTDIR):
            getattr(disk, call)("file")

    def test_a_name_has_at_most_255_bytes(self, disk: DiskLike) -> None:
        disk.create("x" * 255, b"", False)
        for name in ("x" * 256, "é" * 128):
            with refused(errno.ENAMETOOLONG):
                disk.create(name, b"", False)


class TestKinds:
    def test_a_listing_tells_what_is_no_regular_file(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.mkdir("d/inner")
        disk.create("d/file", b"", False)
        disk.create("d/inner/other", b"x", False)
        assert disk.irregular("d") == ["inner"]
        assert (disk.stat("d/inner").is_file, disk.stat("d/file").is_file) == (False, True)


class TestLinks:
    def test_a_second_name_shows_the_same_file(self, disk: DiskLike) -> None:
        if isinstance(disk, Beneath):
            pytest.skip("a file of two names is not opened below a worktree")
        disk.create("a", b"x", False)
        disk.link("a", "b")
        disk.append("b", b"y")
        assert disk.read("a", 10) == b"xy"
        assert disk.stat("a").links == disk.stat("b").links == 2
        disk.unlink("a")
        assert disk.stat("b").links == 1
        assert disk.read("b", 10) == b"xy"

    def test_a_link_never_replaces(self, disk: DiskLike) -> None:
        disk.create("a", b"a", False)
        disk.create("b", b"b", False)
        disk.mkdir("d")
        for target in ("a", "b", "d"):
            with refused(errno.EEXIST):
                disk.link("a", target)
        assert disk.read("b", 10) == b"b"

    def test_directories_have_one_name(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        with refused(errno.EPERM):
            disk.link("d", "e")


class TestRename:
    def test_a_file_moves_whole(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.mkdir("d")
        disk.rename("a", "d/b")
        assert disk.listdir("") == ["d"]
        assert disk.read("d/b", 10) == b"x"

    def test_of_two_movers_the_second_finds_nothing(self, disk: DiskLike) -> None:
        disk.create("a", b"", False)
        disk.rename("a", "one")
        with refused(errno.ENOENT):
            disk.rename("a", "two")
        assert disk.listdir("") == ["one"]

    def test_it_replaces_a_file(self, disk: DiskLike) -> None:
        disk.create("a", b"new", False)
        disk.create("b", b"old", False)
        disk.link("b", "other")
        disk.rename("a", "b")
        assert disk.read("b", 10) == b"new"
        assert disk.stat("other").links == 1
        assert disk.read("other", 10) == b"old"

    def test_two_names_of_one_file_both_stay(self, disk: DiskLike) -> None:
        disk.create("a", b"x", False)
        disk.link("a", "b")
        disk.rename("a", "b")
        disk.rename("a", "a")
        assert sorted(disk.listdir("")) == ["a", "b"]
        assert disk.stat("a").links == 2

    def test_a_directory_moves_with_all_it_holds(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.mkdir("d/claims")
        disk.create("d/claims/t", b"", False)
        disk.rename("d", "e")
        assert disk.listdir("e/claims") == ["t"]
        with refused(errno.ENOENT):
            disk.rename("d/claims/t", "t")

    def test_a_directory_replaces_an_empty_one_only(self, disk: DiskLike) -> None:
        for name in ("d", "empty", "full", "full/x"):
            disk.mkdir(name)
        with pytest.raises(OSError, check=lambda error: error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
            disk.rename("d", "full")
        disk.rename("d", "empty")
        assert sorted(disk.listdir("")) == ["empty", "full"]

    def test_files_and_directories_do_not_replace_each_other(self, disk: DiskLike) -> None:
        disk.create("a", b"", False)
        disk.mkdir("d")
        with refused(errno.EISDIR):
            disk.rename("a", "d")
        with refused(errno.ENOTDIR):
            disk.rename("d", "a")
        assert sorted(disk.listdir("")) == ["a", "d"]

    def test_a_directory_does_not_move_into_itself(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.mkdir("d/e")
        with refused(errno.EINVAL):
            disk.rename("d", "d/e/f")
        with refused(errno.ENOTEMPTY):
            disk.rename("d/e", "d")
        assert disk.listdir("d") == ["e"]


class TestDirectories:
    def test_made_once(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("a", b"", False)
        for name in ("d", "a"):
            with refused(errno.EEXIST):
                disk.mkdir(name)

    def test_removed_only_when_empty(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("d/a", b"", False)
        with pytest.raises(OSError, check=lambda error: error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
            disk.rmdir("d")
        disk.unlink("d/a")
        disk.rmdir("d")
        assert disk.listdir("") == []

    def test_a_look_tells_what_it_is(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("a", b"four", False)
        assert disk.stat("d").is_dir
        assert (disk.stat("a").is_dir, disk.stat("a").size, disk.stat("a").links) == (False, 4, 1)
        assert disk.stat("").is_dir

    def test_a_rename_is_a_change_but_none_of_the_content(self, disk: DiskLike) -> None:
        disk.create("a", b"four", False)
        before = disk.stat("a")
        disk.rename("a", "b")
        after = disk.stat("b")
        assert after.modified_ns == before.modified_ns <= before.changed_ns <= after.changed_ns
        disk.append("b", b"!")
        assert disk.stat("b").modified_ns >= before.modified_ns

    def test_syncing_a_directory_changes_nothing(self, disk: DiskLike) -> None:
        disk.mkdir("d")
        disk.create("d/a", b"", False)
        disk.sync("d")
        assert disk.listdir("d") == ["a"]


def test_a_flush_in_memory_loses_nothing() -> None:
    disk = Wrapper(MemoryDisk())
    disk.create("a", b"x", False)
    disk.flush()
    assert disk.read("a", 1) == b"x"


class TestOnlyOnARealDisk:
    @pytest.mark.slow  # it writes out whatever the whole machine holds back
    def test_a_flush_loses_nothing(self, tmp_path: Path) -> None:
        disk = Disk(str(tmp_path))
        disk.create("a", b"x", False)
        disk.flush()
        assert disk.read("a", 1) == b"x"

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        disk = Disk(str(tmp_path))
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "link").symlink_to("secret")
        for look in (lambda: disk.read("link", 10), lambda: disk.append("link", b"x"), lambda: disk.touch("link")):
            with refused(errno.ELOOP):
                look()
        with refused(errno.EEXIST):
            disk.create("link", b"x", False)
        assert not disk.stat("link").is_dir
        assert disk.stat("link").size == len("secret")
        assert (tmp_path / "secret").read_bytes() == b"secret"

    def test_a_hard_link_of_a_symbolic_link_is_the_link(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "link").symlink_to("secret")
        Disk(str(tmp_path)).link("link", "second")
        assert (tmp_path / "second").is_symlink()

    @pytest.mark.parametrize("writer", [False, True])
    def test_a_fifo_is_refused_and_never_waited_for(self, tmp_path: Path, writer: bool) -> None:
        os.mkfifo(tmp_path / "fifo")
        other_end = os.open(tmp_path / "fifo", os.O_RDWR) if writer else -1
        try:
            with refused(errno.ENXIO):
                Disk(str(tmp_path)).read("fifo", 10)
        finally:
            if writer:
                os.close(other_end)

    def test_files_take_the_mode_that_the_user_asks_for(self, tmp_path: Path) -> None:
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
