"""The door to the coordination directory: what each errno means, and that a file is whole or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.faults import CHANGES, Call, Counting, Failing, Fault, full
from support.memory import MemoryDisk

from peercoord.errors import BrokenFileError, StorageError
from peercoord.store.files import Files
from peercoord.store.settings import RECORD_BYTES
from peercoord.system.clock import token
from peercoord.system.disk import Disk

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike

HOMES = ("tmp", "quarantine", "queue", "bell", "peers", "departed")


def made(disk: DiskLike) -> Files:
    files = Files(disk, token)
    for home in HOMES:
        files.make_dir(home)
    return files


@pytest.fixture
def files() -> Files:
    return made(MemoryDisk())


def failing(rule: Callable[[Call], Fault | None]) -> tuple[Files, MemoryDisk]:
    """A door to a directory in memory that fails by this rule from now on."""
    disk = MemoryDisk()
    made(disk)
    return Files(Failing(disk, rule), token), disk


class TestLooking:
    def test_a_missing_file_is_an_answer(self, files: Files) -> None:
        files.put("file", b"x")
        for path in ("no", "no/way", "file/below"):
            assert files.scan(path) == []
            assert (files.stat(path), files.read(path)) == (None, None)
            assert not files.listed(path)
            assert not files.remove(path)

    def test_a_directory_is_read_at_once_with_the_marks_of_its_files(self, tmp_path: Path) -> None:
        files = made(Disk(str(tmp_path)))
        files.put("queue/a", b"1")
        files.put("queue/large", b"x" * (RECORD_BYTES + 1))
        os.mkfifo(tmp_path / "queue" / "fifo")
        (tmp_path / "queue" / "link").symlink_to(tmp_path / "queue" / "a")
        files.make_dir("queue/home")
        found = dict(files.contents("queue"))
        assert sorted(found) == sorted(files.marks("queue")), "what is no file has a mark all the same"
        assert {name: data for (name, *_), data in found.items() if data} == {"a": b"1"}
        assert files.contents("none") == []

    def test_a_record_may_have_its_full_size_and_not_a_byte_more(self, files: Files) -> None:
        files.put("most", b"x" * RECORD_BYTES)
        files.put("more", b"x" * (RECORD_BYTES + 1))
        assert files.read("most") == b"x" * RECORD_BYTES
        with pytest.raises(BrokenFileError, match=r"^more: larger than any record"):
            files.read("more")

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (Path.mkdir, "a directory stands where a file should be"),
            (lambda path: path.symlink_to("/etc/hostname"), "a symbolic link stands"),
            (os.mkfifo, "something that is no file stands"),
        ],
    )
    def test_anything_but_a_file_is_broken(self, tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
        make(tmp_path / "record")
        with pytest.raises(BrokenFileError, match=f"^record: {words}"):
            Files(Disk(str(tmp_path)), token).read("record")


class TestErrnos:
    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.ENOSPC, "the disk is full"),
            (errno.EDQUOT, "the disk quota is used up"),
            (errno.EROFS, "the filesystem is read-only"),
            (errno.EACCES, "permission denied"),
            (errno.EPERM, "not permitted"),
            (errno.EXDEV, "spans two filesystems"),
            (errno.EIO, os.strerror(errno.EIO)),
        ],
    )
    def test_an_error_names_the_path_the_reason_and_the_next_step(self, number: int, words: str) -> None:
        steps: list[Callable[[Files], object]] = [
            lambda files: files.scan("queue"),
            lambda files: files.stat("queue"),
            lambda files: files.read("queue"),
            lambda files: files.put("queue/a", b"x"),
            lambda files: files.publish("queue/a", b"x"),
            lambda files: files.ticket("queue/a"),
            lambda files: files.make_dir("queue/a"),
            lambda files: files.append("queue/a", b"x"),
            lambda files: files.remove("queue/a"),
            lambda files: files.remove_dir("queue/a"),
        ]
        for step in steps:
            files, disk = failing(lambda call: Fault(number) if "queue" in call.path else None)
            with pytest.raises(StorageError, match=words) as caught:
                step(files)
            assert caught.value.code == errno.errorcode[number].lower()
            assert caught.value.message.startswith("queue")
            assert caught.value.hint
            assert not [path for path in disk.files() if path.startswith("tmp/")]

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ESTALE])
    def test_a_stale_handle_means_gone(self, number: int) -> None:
        files, _ = failing(lambda call: Fault(number) if call.path == "queue/a" else None)
        assert (files.read("queue/a"), files.stat("queue/a")) == (None, None)
        assert not files.remove("queue/a")

    def test_a_bell_that_cannot_be_rung_is_no_error(self) -> None:
        files, disk = failing(lambda call: Fault(errno.EROFS) if call.name == "touch" else None)
        files.ring()
        assert "bell/ring" not in disk.files()


class TestWriting:
    @pytest.mark.parametrize("make", ["put", "publish"])
    def test_missing_directories_are_made(self, files: Files, make: str) -> None:
        files.remove_dir("tmp")
        getattr(files, make)("queue/one/two/three/a", b"x")
        assert files.read("queue/one/two/three/a") == b"x"

    @pytest.mark.parametrize("make", ["put", "publish"])
    @pytest.mark.parametrize("durable", [False, True])
    def test_a_durable_file_is_flushed_before_it_is_named_and_its_name_after(self, make: str, durable: bool) -> None:
        disk = Counting(MemoryDisk())
        files = made(disk)
        disk.calls.clear()
        getattr(files, make)("queue/a", b"x", durable)
        calls = [call for call in disk.calls if call.name in (*CHANGES, "sync") and call.name != "unlink"]
        named = "rename" if make == "put" else "link"
        assert [call.name for call in calls] == ["create", named, *(["sync", "sync"] if durable else [])]
        assert calls[0].args[2] is durable
        assert [call.path for call in calls if call.name == "sync"] == (["queue", ""] if durable else [])

    @pytest.mark.parametrize("make", ["put", "publish"])
    def test_a_full_disk_leaves_the_old_file_and_no_litter(self, make: str) -> None:
        files, disk = failing(full)
        made(disk).put("queue/a", b"old")
        before = disk.files()
        with pytest.raises(StorageError, match="the disk is full"):
            getattr(files, make)("queue/a", b"new")
        assert disk.files() == before


class TestMoving:
    def test_of_two_movers_one_wins(self, files: Files) -> None:
        assert files.ticket("queue/a")
        assert not files.ticket("queue/a")
        assert files.move("queue/a", "queue/mine")
        assert not files.move("queue/a", "queue/yours")
        assert files.move("queue/a", "queue/mine"), "to one place: both find that the ticket lies there"
        assert files.scan("queue") == ["mine"]

    def test_no_directory_is_made_behind_a_link(self, tmp_path: Path) -> None:
        files = made(Disk(str(tmp_path)))
        outside = tmp_path / "outside"
        outside.mkdir()
        (tmp_path / "queue" / "ready").symlink_to(outside)
        files.ticket("queue/a")
        with pytest.raises(StorageError, match=r"^queue/ready: "):
            files.move("queue/a", "queue/ready/2/a", make_home=True)
        assert (list(outside.iterdir()), files.listed("queue/a")) == ([], True)

    @pytest.mark.parametrize("home", ["peers/w~1.abc", "departed/w~1.abc~x~1.def"])
    def test_a_peers_directory_and_its_claims_are_never_made_on_the_way(self, files: Files, home: str) -> None:
        """OPS-3, EVI-5: they are gone for ever once they were sealed."""
        files.ticket("queue/a")
        assert not files.move("queue/a", f"{home}/claims/a", make_home=True)
        for step in (
            lambda: files.put(f"{home}/peer.json", b"x"),
            lambda: files.put(f"{home}/assignments/a.json", b"x"),
            lambda: files.publish(f"{home}/peer.json", b"x"),
            lambda: files.ticket(f"{home}/beat~0"),
        ):
            with pytest.raises(StorageError, match=f"^{home}"):
                step()
        assert files.scan("peers") == files.scan("departed") == files.scan("tmp") == []
        files.make_dir(home)
        assert not files.move("queue/a", f"{home}/claims/a", make_home=True)
        with pytest.raises(StorageError, match=f"^{home}/claims/b"):
            files.ticket(f"{home}/claims/b")
        assert files.scan(home) == []
        files.put(f"{home}/assignments/a.json", b"x")
        assert files.scan(home) == ["assignments"], "its other directories are made where it is there itself"

    @pytest.mark.parametrize("make_home", [True, False])
    def test_trying_again_ends(self, make_home: bool) -> None:
        """OPS-4: also where a look goes on to show a directory that was moved away."""
        files, disk = failing(lambda call: Fault(errno.ENOENT) if call.name == "rename" else None)
        made(disk).ticket("queue/a")
        if make_home:
            with pytest.raises(StorageError, match="queue/b: its directory does not stay"):
                files.move("queue/a", "queue/b", make_home=True)
        else:
            assert not files.move("queue/a", "queue/b")
            assert len(files.disk.met) == 16
        assert files.listed("queue/a")


class TestQuarantine:
    @pytest.mark.parametrize("name", ["a", "x" * 255, "ü" * 127, "a\nb\x1b[31m", "\udcff" * 200])
    def test_a_file_of_any_name_is_kept_with_the_reason(self, files: Files, name: str) -> None:
        files.remove_dir("quarantine")  # somebody cleaned it away
        files.disk.create(f"queue/{name}", b"\xff broken", False)
        aside = files.quarantine(f"queue/{name}", "it is not JSON")
        assert files.read(aside) == b"\xff broken"
        assert (files.read(f"{aside}.why") or b"").endswith(b"\nit is not JSON\n")
        assert not files.listed(f"queue/{name}")
        assert files.set_aside(f"queue/{name}") == aside
        assert files.set_aside("queue/b") == ""
        assert files.quarantine(f"queue/{name}", "x") == "", "another caller came first"
        assert len(files.scan("quarantine")) == 2

    def test_a_directory_is_set_aside_like_a_file(self, files: Files) -> None:
        files.ticket("queue/a/b")
        assert files.scan(files.quarantine("queue/a", "no directory belongs there")) == ["b"]

    def test_on_a_full_disk_only_the_reason_is_lost(self) -> None:
        files, disk = failing(full)
        made(disk).put("queue/a", b"broken")
        aside = files.quarantine("queue/a", "x")
        assert disk.files() == {aside: b"broken"}
