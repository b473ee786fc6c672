"""Below a worktree no link is followed, nothing is waited for, and only regular files of one name are opened."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peercoord.errors import BrokenFileError, LostError, PeercoordError, StorageError
from peercoord.mailbox.fifo import Door, Wake, ring
from peercoord.store import lock
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.settings import RECORD_BYTES
from peercoord.system.disk import Disk, read_named


def everything(home: Path) -> dict[str, tuple[bytes | None, int]]:
    found = {}
    for path in sorted(home.rglob("*")):
        seen = path.lstat()
        found[str(path)] = (path.read_bytes() if path.is_file() else None, seen.st_mtime_ns)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory that is none of the worktree's, with files and an empty directory: nothing of it may change."""
    made = tmp_path / "outside"
    (made / "empty").mkdir(parents=True)
    for name in ("file", "mine", "other"):
        (made / name).write_bytes(b"precious")
    before = everything(made)
    yield made
    assert everything(made) == before


@pytest.fixture
def tree(tmp_path: Path, outside: Path) -> Beneath:
    (tmp_path / "tree" / "real").mkdir(parents=True)
    (tmp_path / "tree" / "real" / "mine").write_bytes(b"mine")
    (tmp_path / "tree" / "link").symlink_to(outside)
    (tmp_path / "tree" / "leaf").symlink_to(outside / "file")
    return Beneath(str(tmp_path / "tree"))


CALLS: dict[str, Callable[[Beneath, str], object]] = {
    "listdir": lambda disk, home: disk.listdir(home),
    "read": lambda disk, home: disk.read(f"{home}/file", 10),
    "create": lambda disk, home: disk.create(f"{home}/new", b"", False),
    "replace": lambda disk, home: disk.replace(f"{home}/file", ".new", b"", program=True),
    "append": lambda disk, home: disk.append(f"{home}/file", b"x"),
    "link": lambda disk, home: disk.link("real/mine", f"{home}/new"),
    "link from": lambda disk, home: disk.link(f"{home}/file", "real/new"),
    "rename": lambda disk, home: disk.rename("real/mine", f"{home}/new"),
    "rename from": lambda disk, home: disk.rename(f"{home}/file", "real/new"),
    "unlink": lambda disk, home: disk.unlink(f"{home}/file"),
    "mkdir": lambda disk, home: disk.mkdir(f"{home}/new"),
    "make_directories": lambda disk, home: disk.make_directories(f"{home}/new/newer"),
    "rmdir": lambda disk, home: disk.rmdir(f"{home}/empty"),
    "stat": lambda disk, home: disk.stat(f"{home}/file"),
    "sync": lambda disk, home: disk.sync(home),
    "touch": lambda disk, home: disk.touch(f"{home}/file"),
    "open": lambda disk, home: disk.open(f"{home}/file", os.O_RDWR),
    "make_fifo": lambda disk, home: disk.make_fifo(f"{home}/new"),
    "open_fifo": lambda disk, home: disk.open_fifo(f"{home}/file", os.O_RDWR),
    "make_link": lambda disk, home: disk.make_link("x", f"{home}/new"),
    "read_link": lambda disk, home: disk.read_link(f"{home}/file"),
    "remove_tree": lambda disk, home: disk.remove_tree(f"{home}/empty"),
}


@pytest.mark.parametrize("inside", [False, True], ids=["below the top", "on the way to it"])
@pytest.mark.parametrize("call", CALLS)
def test_a_link_in_place_of_a_directory_is_not_followed(tree: Beneath, outside: Path, call: str, inside: bool) -> None:
    disk, home = (Beneath(tree.top, "link"), "") if inside else (tree, "link")
    with pytest.raises(NotADirectoryError):
        CALLS[call](disk, home)
    assert (Path(tree.top) / "real" / "mine").read_bytes() == b"mine"


def refused(*numbers: int) -> object:
    return pytest.raises(OSError, check=lambda error: error.errno in numbers)


def test_a_link_in_the_last_place_is_not_followed(tree: Beneath, outside: Path) -> None:
    for call in (
        lambda: tree.read("leaf", 10),
        lambda: tree.append("leaf", b"x"),
        lambda: tree.touch("leaf"),
        lambda: tree.open("leaf", os.O_RDWR | os.O_CREAT),
        lambda: tree.open_fifo("leaf", os.O_RDWR),
    ):
        with refused(errno.ELOOP):
            call()


def test_a_link_itself_is_seen_replaced_and_removed(tree: Beneath, outside: Path) -> None:
    assert not tree.stat("link").is_dir
    tree.rename("real/mine", "leaf")
    assert tree.read("leaf", 10) == b"mine"
    assert tree.read_link("link") == str(outside)
    tree.unlink("link")
    assert sorted(tree.listdir("")) == ["leaf", "real"]


def test_a_path_that_climbs_is_refused_but_the_worktree_itself_may_be_a_link(tree: Beneath, tmp_path: Path) -> None:
    for path in ("..", "../outside/file", "real/../../outside/file", "real/./mine"):
        with refused(errno.EINVAL):
            tree.read(path, 10)
    (tmp_path / "other").symlink_to(tmp_path / "tree")
    assert Beneath(str(tmp_path / "other")).read("real/mine", 10) == b"mine"


# -- what is no regular file -------------------------------------------------------------------------------------


def special(kind: str, path: Path) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
            with open(path, "rb"):
                pass
        except OSError:
            pytest.skip("no device can be made or opened here")
    elif kind == "directory":
        path.mkdir()
    elif kind == "endless link":
        path.symlink_to(path.name)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")


KINDS = ["fifo", "socket", "device", "directory", "endless link", "link to a device"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("below", [True, False], ids=["below a worktree", "in a coordination directory"])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, below: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    disk = Beneath(str(tmp_path)) if below else Disk(str(tmp_path))
    special(kind, tmp_path / "x")
    for call in (lambda: disk.read("x", 10), lambda: disk.append("x", b"y"), lambda: disk.touch("x")):
        with refused(errno.ENXIO, errno.EISDIR, errno.ELOOP):
            call()
    with pytest.raises(StorageError), lock.held(str(tmp_path / "x"), wait=0):
        raise AssertionError("locked")
    files = InstanceFiles(Beneath(str(tmp_path)))
    with pytest.raises(BrokenFileError):
        files.read("x")
    assert files.peek("x") is None
    files.replace("x", b"new")
    assert files.read("x") == files.peek("x") == b"new"


def test_a_fifo_that_is_read_elsewhere_is_no_file_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    reader = os.open(tmp_path / "x", os.O_RDONLY | os.O_NONBLOCK)
    for call in (lambda: Disk(str(tmp_path)).append("x", b"y"), lambda: Disk(str(tmp_path)).touch("x")):
        with refused(errno.ENXIO):
            call()
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_file_larger_than_a_record_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BrokenFileError, match="larger than any record"):
        InstanceFiles(Beneath(str(tmp_path))).read("x")
    assert len(Beneath(str(tmp_path)).read("x", RECORD_BYTES)) == RECORD_BYTES


def test_a_file_with_a_second_name_is_left_alone(tree: Beneath, outside: Path) -> None:
    os.link(outside / "file", Path(tree.top) / "real" / "second")
    for call in (
        lambda: tree.read("real/second", 10),
        lambda: tree.append("real/second", b"x"),
        lambda: tree.touch("real/second"),
    ):
        with refused(errno.EMLINK):
            call()
    InstanceFiles(tree).replace("real/second", b"new")


# -- the files of an instance ------------------------------------------------------------------------------------


def test_a_restricted_worktree_is_closed_like_the_coordination_directory(tree: Beneath, tmp_path: Path) -> None:
    """Also below its directories; and no handle is left open."""
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o700)
    files = InstanceFiles(tree)
    os.chmod(f"{tree.top}/real", 0o777)
    os.chmod(f"{tree.top}/real/mine", 0o666)
    assert not files.is_restricted(str(root))
    before = os.listdir("/proc/self/fd")
    files.restrict(str(root))
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert files.is_restricted(str(root))
    modes = [stat.S_IMODE(os.stat(f"{tree.top}/{name}").st_mode) for name in ("", "real", "real/mine")]
    assert modes == [0o700, 0o700, 0o600]


def test_a_file_is_staged_under_a_name_that_nobody_can_guess(tree: Beneath) -> None:
    files = InstanceFiles(tree)
    seen: list[str] = []
    replace = tree.replace
    tree.replace = lambda path, staged, *more: (seen.append(staged), replace(path, staged, *more))[1]  # type: ignore[method-assign]
    for _ in range(2):
        files.replace("real/mine", b"new", program=True)
    assert len({*seen}) == 2
    assert all(len(name) > len(".mine.") + 8 for name in seen)
    assert os.access(f"{tree.top}/real/mine", os.X_OK)
    assert tree.listdir("real") == ["mine"]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [(b"a longer one", b"short       ", True), (b"a", b"short", True), (b"x" * 9000, b"short", False)],
)
def test_a_file_is_overwritten_in_place_unless_it_is_much_longer(
    tree: Beneath, before: bytes, after: bytes, same: bool
) -> None:
    path = Path(tree.top, "real", "mine")
    path.write_bytes(before)
    number = path.stat().st_ino
    InstanceFiles(tree).overwrite("real/mine", b"short")
    assert (path.read_bytes(), path.stat().st_ino == number) == (after, same)


def test_blanks_make_no_record_too_large_to_be_read(tree: Beneath, outside: Path) -> None:
    path = Path(tree.top, "real", "mine")
    path.write_bytes(b"x" * (RECORD_BYTES + 1))
    data = b"{}".ljust(RECORD_BYTES)
    InstanceFiles(tree).overwrite("real/mine", data)
    assert path.read_bytes() == data


def test_what_was_written_in_part_is_replaced(tree: Beneath, outside: Path) -> None:
    path = Path(tree.top, "real", "mine")
    path.write_bytes(b"x" * 4000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        InstanceFiles(tree).overwrite("real/mine", b"text")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"text"


@pytest.mark.parametrize("made", ["link", "second name", "fifo", "directory", "nothing"])
def test_what_is_no_file_of_one_name_is_replaced_not_overwritten(tree: Beneath, outside: Path, made: str) -> None:
    path = Path(tree.top, "real", "new")
    ways: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(outside / "file"),
        "second name": lambda: path.hardlink_to(outside / "mine"),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "nothing": lambda: None,
    }
    ways[made]()
    InstanceFiles(tree).overwrite("real/new", b"text")
    assert (path.is_symlink(), path.read_bytes(), path.stat().st_nlink) == (False, b"text", 1)


def test_a_directory_is_claimed_whatever_stands_in_its_place(tree: Beneath, outside: Path) -> None:
    files = InstanceFiles(tree)
    tree.make_fifo("fifo")
    for name in ("link", "leaf", "fifo", "real", "new"):
        files.claim_directory(name)
        assert tree.stat(name).is_dir
    assert tree.read("real/mine", 10) == b"mine"
    tree.create("file", b"somebody's", False)
    files.claim_directory("file")
    kept = [name for name in tree.listdir("") if name.endswith(".aside")]
    assert [tree.read(name, 20) for name in kept] == [b"somebody's"]


def test_a_lock_below_a_worktree_is_held_once(tree: Beneath, outside: Path) -> None:
    files = InstanceFiles(tree)
    with files.held("lock"), pytest.raises(LostError), files.held("lock", wait=0):
        raise AssertionError("held twice")
    with pytest.raises(StorageError), files.held("link/lock", wait=0):
        raise AssertionError("locked outside")


def test_fifos_are_made_and_opened_in_the_worktree_alone(tree: Beneath, outside: Path) -> None:
    for make in (lambda: Door(tree, "link/x.door"), lambda: Wake(tree, "link/wake")):
        with pytest.raises(NotADirectoryError):
            make()
    assert not ring(tree, "link/file", "1")
    assert not ring(tree, "leaf", "1")
    assert not ring(tree, "real/mine", "1")
    wake = Wake(tree, "leaf")  # the link goes, what it leads to stays
    assert ring(tree, "leaf", "1")
    assert wake.read() == ["1"]
    wake.close()
    assert tree.read("real/mine", 10) == b"mine"


# -- a file that a person names ----------------------------------------------------------------------------------


def test_a_file_that_a_person_names_may_be_a_link_or_a_pipe(tree: Beneath, tmp_path: Path) -> None:
    assert read_named(f"{tree.top}/leaf", 100) == b"precious"
    read, write = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(write, b"words"), os.close(write)))
    writer.start()
    assert read_named(f"/dev/fd/{read}", 100) == b"words"
    writer.join()
    os.close(read)
    os.mkfifo(tmp_path / "nobody writes")
    assert read_named(str(tmp_path / "nobody writes"), 100) == b""
    assert len(read_named("/dev/zero", 100)) == 100


def test_a_pipe_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    read, write = os.pipe()
    with pytest.raises(TimeoutError):
        read_named(f"/dev/fd/{read}", 100, patience=0)
    os.close(read)
    os.close(write)


# -- while the coding agent swaps directories --------------------------------------------------------------------

SWAPS = 300


def take_turns(top: Path) -> None:
    """Let a directory and a link take turns under one name."""
    for _ in range(SWAPS):
        os.rename(top / "real", top / "kept")
        os.rename(top / "turn", top / "real")
        os.rename(top / "real", top / "turn")
        os.rename(top / "kept", top / "real")


def steps(files: InstanceFiles) -> list[Callable[[int], object]]:
    """What is done in that directory meanwhile."""
    tree = files.beneath

    def read(_: int) -> None:
        assert tree.read("real/mine", 10) != b"precious"

    def lock(_: int) -> None:
        with files.held("real/lock", wait=0):
            pass

    return [
        read,
        lock,
        lambda number: files.replace("real/mine", b"mine", program=bool(number % 2)),
        lambda number: files.replace(f"real/{number}", b"x"),
        lambda _: tree.rename("real/mine", "real/other"),
        lambda _: tree.rename("real/other", "real/mine"),
        lambda _: [tree.unlink(f"real/{name}") for name in tree.listdir("real") if name.isdigit()],
        lambda _: tree.unlink("real/file"),
        lambda _: tree.append("real/mine", b""),
        lambda number: tree.mkdir(f"real/d{number}"),
        lambda _: tree.rmdir("real/empty"),
        lambda _: Wake(tree, "real/wake").close(),
    ]


def test_nothing_outside_changes_while_a_directory_is_swapped_for_a_link(tree: Beneath, outside: Path) -> None:
    (Path(tree.top) / "turn").symlink_to(outside)
    failed: list[BaseException] = []
    over = threading.Event()

    def work(step: Callable[[int], object]) -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                step(number)
            except (OSError, PeercoordError):
                continue  # the directory was not there, or a link
            except AssertionError as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=work, args=(step,)) for step in steps(InstanceFiles(tree))]
    for thread in threads:
        thread.start()
    take_turns(Path(tree.top))
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
