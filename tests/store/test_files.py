"""The door to the coordination directory: what each errno means, and that nothing is half done or taken for empty."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.faults import CHANGES, Call, Counting, Crash, Crashing, Failing, Fault, at_call, full, read_only
from support.memory import MemoryDisk

from peercoord.errors import BrokenFileError, StorageError
from peercoord.store.files import Files, refused
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


@pytest.fixture(params=["real", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return made(Disk(str(tmp_path)) if request.param == "real" else MemoryDisk())


def failing(rule: Callable[[Call], Fault | None]) -> tuple[Files, MemoryDisk]:
    """A door to a directory in memory that fails by this rule from now on."""
    disk = MemoryDisk()
    made(disk)
    return Files(Failing(disk, rule), token), disk


class TestLooking:
    def test_what_is_not_there_is_not_there(self, files: Files) -> None:
        files.put("file", b"x")
        for path in ("no", "no/way", "file/below"):
            assert files.scan(path) == []
            assert files.stat(path) is None
            assert files.read(path) is None
            assert not files.listed(path)
            assert not files.remove(path)

    def test_a_listing_shows_what_is_there(self, files: Files) -> None:
        files.ticket("queue/ready/2/000000/7~0")
        assert files.listed("queue/ready/2/000000/7~0")
        assert not files.listed("queue/ready/2/000000/7~1")
        assert files.scan("queue/ready/2/000000") == ["7~0"]

    def test_a_directory_in_a_files_place_is_broken(self, files: Files) -> None:
        files.make_dir("protocol.json")
        with pytest.raises(BrokenFileError, match=r"^protocol\.json: a directory stands where a file should be"):
            files.read("protocol.json")

    def test_a_record_may_have_its_full_size_and_not_a_byte_more(self, files: Files) -> None:
        files.put("most", b"x" * RECORD_BYTES)
        files.put("more", b"x" * (RECORD_BYTES + 1))
        assert files.read("most") == b"x" * RECORD_BYTES
        with pytest.raises(BrokenFileError, match=r"^more: larger than any record"):
            files.read("more")

    def test_a_link_in_a_records_place_is_broken_and_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/etc/hostname")
        with pytest.raises(BrokenFileError, match=r"^link: a symbolic link stands"):
            made(Disk(str(tmp_path))).read("link")

    def test_a_fifo_in_a_records_place_is_broken_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(BrokenFileError, match=r"^fifo: something that is no file stands"):
            made(Disk(str(tmp_path))).read("fifo")

    @pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user to meet a file it may not read")
    def test_a_file_that_may_not_be_read_says_so(self, tmp_path: Path) -> None:
        files = made(Disk(str(tmp_path)))
        files.put("secret", b"x")
        os.chmod(tmp_path / "secret", 0)
        nobody = os.fork()
        if nobody == 0:  # in a child: an effective user cannot be changed for one test in a threaded process
            os._exit(_read_as_nobody(tmp_path))
        assert os.waitstatus_to_exitcode(os.waitpid(nobody, 0)[1]) == 0


def _read_as_nobody(home: Path) -> int:
    for above in (home, *home.parents[:2]):
        if not above.stat().st_mode & 0o001:
            os.chmod(above, 0o755)
    os.seteuid(65534)
    try:
        Files(Disk(str(home)), token).read("secret")
    except StorageError as error:
        return 0 if error.code == "eacces" and error.message.startswith("secret: permission denied") else 2
    return 1


class TestErrnos:
    @pytest.mark.parametrize(
        ("number", "code", "words"),
        [
            (errno.ENOSPC, "enospc", "the disk is full"),
            (errno.EDQUOT, "edquot", "the disk quota is used up"),
            (errno.EROFS, "erofs", "the filesystem is read-only"),
            (errno.EACCES, "eacces", "permission denied"),
            (errno.EPERM, "eperm", "not permitted"),
            (errno.EXDEV, "exdev", "spans two filesystems"),
            (errno.EIO, "eio", os.strerror(errno.EIO)),
        ],
    )
    def test_each_names_the_path_the_reason_and_the_next_step(self, number: int, code: str, words: str) -> None:
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
            assert caught.value.code == code
            assert caught.value.message.startswith("queue")
            assert caught.value.hint
            assert not [path for path in disk.files() if path.startswith("tmp/")]

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ESTALE])
    def test_a_stale_handle_means_gone(self, number: int) -> None:
        files, _ = failing(lambda call: Fault(number) if call.path == "queue/a" else None)
        assert files.read("queue/a") is None
        assert files.stat("queue/a") is None
        assert not files.remove("queue/a")

    def test_an_error_without_a_number_still_has_a_reason(self) -> None:
        assert refused(OSError("odd"), "a").message == "a: odd"

    def test_the_bell_may_fail_unheard(self) -> None:
        files, disk = failing(lambda call: Fault(errno.EROFS) if call.name == "touch" else None)
        files.ring()
        assert "bell/ring" not in disk.files()


class TestWhole:
    @pytest.mark.parametrize("durable", [False, True])
    @pytest.mark.parametrize("mode", ["before", "after", "torn"])
    def test_a_reader_sees_the_old_file_or_the_new_one(self, mode: str, durable: bool) -> None:
        seen, at = set(), 0
        while True:
            at += 1
            disk = MemoryDisk()
            made(disk).put("queue/a", b"old content")
            try:
                Files(Crashing(disk, at, mode), token).put("queue/a", b"new content", durable)
            except Crash:
                seen.add(disk.read("queue/a", 100))
                assert all(path == "queue/a" or path.startswith("tmp/") for path in disk.files())
            else:
                seen.add(disk.read("queue/a", 100))
                break
        assert seen == {b"old content", b"new content"}

    @pytest.mark.parametrize("mode", ["before", "after", "torn"])
    def test_a_published_file_is_whole_or_not_there(self, mode: str) -> None:
        seen, at = set(), 0
        while True:
            at += 1
            disk = MemoryDisk()
            made(disk)
            try:
                Files(Crashing(disk, at, mode), token).publish("queue/deep/er/a", b"content", True)
            except Crash:
                seen.add(disk.files().get("queue/deep/er/a"))
            else:
                seen.add(disk.read("queue/deep/er/a", 100))
                break
        assert seen == {None, b"content"}

    def test_what_must_last_is_flushed_before_it_is_named_and_its_name_after(self) -> None:
        disk = Counting(MemoryDisk())
        files = made(disk)
        for make in (files.put, files.publish):
            disk.calls.clear()
            make("queue/" + make.__name__, b"x", True)
            calls = [call for call in disk.calls if call.name in (*CHANGES, "sync")]
            assert [c.name for c in calls if c.name not in ("rename", "link", "unlink")] == ["create", "sync"]
            assert calls[1].name in ("rename", "link")
            assert calls[0].args[2] is True
            assert next(c for c in calls if c.name == "sync").path == "queue"

    def test_what_need_not_last_is_not_flushed(self) -> None:
        disk = Counting(MemoryDisk())
        files = made(disk)
        files.put("queue/a", b"x")
        files.publish("queue/b", b"x")
        files.ticket("queue/c")
        assert not [c for c in disk.calls if c.name == "sync" or (c.name == "create" and c.args[2])]

    @pytest.mark.parametrize("make", ["put", "publish"])
    def test_a_full_disk_leaves_the_old_file_and_no_litter(self, make: str) -> None:
        disk = MemoryDisk()
        made(disk).put("queue/a", b"old")
        before = disk.files()
        with pytest.raises(StorageError, match="the disk is full"):
            getattr(Files(Failing(disk, full), token), make)("queue/a", b"new")
        assert disk.files() == before

    def test_put_replaces_and_publish_does_not(self, files: Files) -> None:
        files.put("queue/a", b"1")
        files.put("queue/a", b"2")
        assert not files.publish("queue/a", b"3")
        assert files.publish("queue/b", b"3")
        assert (files.read("queue/a"), files.read("queue/b")) == (b"2", b"3")
        assert files.scan("tmp") == []

    @pytest.mark.parametrize("make", ["put", "publish"])
    def test_directories_are_made_on_the_way(self, files: Files, make: str) -> None:
        getattr(files, make)("queue/one/two/three/a", b"x")
        assert files.read("queue/one/two/three/a") == b"x"

    def test_staging_is_made_anew_when_it_was_cleaned_away(self, files: Files) -> None:
        files.remove_dir("tmp")
        files.put("queue/a", b"x")
        assert files.read("queue/a") == b"x"

    def test_nothing_is_put_in_a_directorys_place(self, files: Files) -> None:
        files.make_dir("queue/a")
        with pytest.raises(StorageError, match=r"^queue/a: a directory stands where a file should be"):
            files.put("queue/a", b"x")
        assert not files.publish("queue/a", b"x")
        assert files.scan("tmp") == []

    def test_a_file_in_a_directorys_place_is_named(self, files: Files) -> None:
        files.put("queue/ready", b"")
        files.ticket("queue/new")
        for step in (
            lambda: files.put("queue/ready/a", b"x"),
            lambda: files.publish("queue/ready/a", b"x"),
            lambda: files.ticket("queue/ready/2/a"),
            lambda: files.move("queue/new", "queue/ready/a", make_home=True),
        ):
            with pytest.raises(StorageError, match=r"^queue/ready: a file stands where a directory should be"):
                step()
        assert files.scan("tmp") == []


class TestLostReplies:
    """What was done may be answered with an error; what was answered is found out by looking."""

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.ESTALE, errno.ETIMEDOUT])
    def test_a_move_that_happened_is_a_move(self, number: int) -> None:
        files, disk = failing(_once("rename", Fault(number, done=True)))
        made(disk).ticket("queue/a")
        assert files.move("queue/a", "queue/b")
        assert disk.listdir("queue") == ["b"]

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.ESTALE])
    def test_a_file_that_was_replaced_is_replaced(self, number: int) -> None:
        files, disk = failing(_once("rename", Fault(number, done=True)))
        files.put("queue/a", b"x")
        assert disk.files() == {"queue/a": b"x"}

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EEXIST, errno.ESTALE])
    def test_a_file_that_was_published_is_published(self, number: int) -> None:
        files, disk = failing(_once("link", Fault(number, done=True)))
        assert files.publish("queue/a", b"x")
        assert disk.files() == {"queue/a": b"x"}

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.ENOSPC])
    def test_a_directory_that_was_made_is_there(self, number: int) -> None:
        files, disk = failing(_once("mkdir", Fault(number, done=True)))
        files.put("queue/deep/a", b"x")
        assert disk.files() == {"queue/deep/a": b"x"}

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT])
    def test_clearing_up_after_it_does_not_undo_a_publication(self, number: int) -> None:
        for done in (False, True):
            files, disk = failing(_once("unlink", Fault(number, done)))
            assert files.publish("queue/a", b"x")
            assert disk.files()["queue/a"] == b"x"

    def test_a_move_that_did_not_happen_is_refused_and_nothing_moved(self) -> None:
        files, disk = failing(_once("rename", Fault(errno.EIO)))
        made(disk).ticket("queue/a")
        with pytest.raises(StorageError, match="queue/b"):
            files.move("queue/a", "queue/b")
        assert disk.listdir("queue") == ["a"]


def _once(name: str, fault: Fault) -> Callable[[Call], Fault | None]:
    rule = at_call(1, fault)
    return lambda call: rule(call) if call.name == name else None


class TestMoving:
    def test_the_second_of_two_movers_is_told_that_it_lost(self, files: Files) -> None:
        files.ticket("queue/a")
        assert files.move("queue/a", "queue/mine")
        assert not files.move("queue/a", "queue/yours")
        assert files.scan("queue") == ["mine"]

    def test_two_movers_to_one_place_both_know_it_lies_there(self, files: Files) -> None:
        files.ticket("queue/a")
        assert files.move("queue/a", "queue/b")
        assert files.move("queue/a", "queue/b")

    def test_a_home_is_made_only_on_request(self, files: Files) -> None:
        files.ticket("queue/a")
        assert not files.move("queue/a", "queue/waiting/7/a")
        assert files.listed("queue/a")
        assert files.move("queue/a", "queue/waiting/7/a", make_home=True)
        assert files.listed("queue/waiting/7/a")

    @pytest.mark.parametrize("home", ["peers/w~1.abc", "departed/w~1.abc~x~1.def"])
    def test_a_peers_directory_is_never_made_on_the_way(self, files: Files, home: str) -> None:
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
        assert files.listed("queue/a")

    @pytest.mark.parametrize("home", ["peers/w~1.abc", "departed/w~1.abc~x~1.def"])
    def test_nor_are_its_claims(self, files: Files, home: str) -> None:
        """OPS-3, EVI-5: they are gone for ever once they were sealed."""
        files.make_dir(home)
        files.ticket("queue/a")
        assert not files.move("queue/a", f"{home}/claims/a", make_home=True)
        with pytest.raises(StorageError, match=f"^{home}/claims/b"):
            files.ticket(f"{home}/claims/b")
        assert files.scan(home) == []
        assert files.listed("queue/a")

    def test_what_a_living_peer_lacks_is_made(self, files: Files) -> None:
        files.make_dir("peers/w~1.abc")
        files.put("peers/w~1.abc/assignments/a.json", b"x")
        assert files.read("peers/w~1.abc/assignments/a.json") == b"x"

    def test_a_home_that_is_removed_again_and_again_is_made_again_and_again(self) -> None:
        disk = MemoryDisk()
        removed = 0

        def sweep_away(call: Call) -> Fault | None:
            nonlocal removed
            if call.name == "rename" and removed < 5 and "queue/waiting/7" in disk.folders():
                disk.rmdir("queue/waiting/7")
                removed += 1
            return None

        files = made(disk)
        files.ticket("queue/a")
        assert Files(Failing(disk, sweep_away), token).move("queue/a", "queue/waiting/7/a", make_home=True)
        assert removed == 5

    def test_a_home_that_never_stays_is_an_error_and_no_endless_loop(self) -> None:
        files, disk = failing(lambda call: Fault(errno.ENOENT) if call.name == "rename" else None)
        made(disk).ticket("queue/a")
        with pytest.raises(StorageError, match="queue/b: its directory does not stay"):
            files.move("queue/a", "queue/b", make_home=True)
        assert files.listed("queue/a")

    def test_where_no_home_is_made_a_look_that_shows_one_is_not_believed_for_ever(self) -> None:
        """OPS-4: a peer's ``claims/`` that was moved away may be shown for a while; it is lost all the same."""
        files, disk = failing(lambda call: Fault(errno.ENOENT) if call.name == "rename" else None)
        made(disk).ticket("queue/a")
        assert not files.move("queue/a", "queue/b")
        assert len(files.disk.met) == 16  # type: ignore[attr-defined]
        assert files.listed("queue/a")

    def test_directories_are_removed_when_empty(self, files: Files) -> None:
        files.ticket("queue/d/a")
        assert not files.remove_dir("queue/d")
        files.remove("queue/d/a")
        assert files.remove_dir("queue/d")
        assert files.remove_dir("queue/d")

    def test_a_ticket_is_made_once(self, files: Files) -> None:
        assert files.ticket("queue/a")
        assert not files.ticket("queue/a")

    def test_nothing_changes_on_a_read_only_filesystem(self) -> None:
        disk = MemoryDisk()
        made(disk).ticket("queue/a")
        before = disk.files()
        files = Files(Failing(disk, read_only), token)
        for step in (
            lambda: files.move("queue/a", "queue/b"),
            lambda: files.put("queue/c", b"x"),
            lambda: files.ticket("queue/d"),
            lambda: files.remove("queue/a"),
        ):
            with pytest.raises(StorageError, match="read-only"):
                step()
        assert disk.files() == before


class TestQuarantine:
    def test_it_keeps_the_file_and_the_reason(self, files: Files) -> None:
        files.put("queue/a", b"\xff broken")
        aside = files.quarantine("queue/a", "it is not JSON")
        assert files.read(aside) == b"\xff broken"
        assert files.read(f"{aside}.why") == b"queue/a\nit is not JSON\n"
        assert not files.listed("queue/a")
        assert files.set_aside("queue/a") == aside
        assert files.set_aside("queue/b") == ""

    def test_of_two_that_find_a_broken_file_one_moves_it(self, files: Files) -> None:
        files.put("queue/a", b"broken")
        assert files.quarantine("queue/a", "x")
        assert files.quarantine("queue/a", "x") == ""
        assert len(files.scan("quarantine")) == 2

    def test_a_directory_is_set_aside_like_a_file(self, files: Files) -> None:
        files.ticket("queue/a/b")
        aside = files.quarantine("queue/a", "no directory belongs there")
        assert files.scan(aside) == ["b"]

    def test_the_reason_is_lost_on_a_full_disk_the_file_is_not(self) -> None:
        disk = MemoryDisk()
        made(disk).put("queue/a", b"broken")
        aside = Files(Failing(disk, full), token).quarantine("queue/a", "x")
        assert disk.files() == {aside: b"broken"}

    def test_it_works_where_quarantine_was_cleaned_away(self, files: Files) -> None:
        files.remove_dir("quarantine")
        files.put("queue/a", b"broken")
        assert files.read(files.quarantine("queue/a", "x")) == b"broken"

    @pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a\nb\x1b[31m", "\udcff" * 200])
    def test_any_name_that_a_file_can_have_can_be_set_aside(self, files: Files, name: str) -> None:
        files.disk.create(f"queue/{name}", b"foreign", False)
        aside = files.quarantine(f"queue/{name}", "no name of ours")
        assert files.read(aside) == b"foreign"
        assert files.set_aside(f"queue/{name}") == aside
