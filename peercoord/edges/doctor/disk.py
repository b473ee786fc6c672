"""The filesystem that the coordination directory lies on: tried out, not believed."""

from __future__ import annotations

import errno
import os
import shutil
import time

from peercoord.core import names
from peercoord.edges.doctor import races
from peercoord.edges.doctor.findings import bad, good, warning
from peercoord.fs import clock, mount
from peercoord.fs.watch import events_come

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.edges.doctor.findings import Finding

LEAST_BYTES = 50 << 20
LEAST_INODES = 1000
SKEW_SECONDS = 5
ELSEWHERE = "keep the project on a local disk, NFSv4, CephFS or a GlusterFS replica volume"


def probe(root: str) -> list[Finding]:
    """Try out the filesystem below a coordination directory.

    Args:
        root: Its absolute path.
    """
    kind = mount.kind(root) or "of unknown type"
    where = "this machine's alone" if mount.local(kind) else "may be reached from other machines"
    home = f"{root}/{names.TMP}/doctor-{clock.token()}"
    try:
        os.mkdir(home)
    except OSError as error:
        return [bad("filesystem", f"{root} cannot be written: {error.strerror}", f"ls -ld {root}/{names.TMP}")]
    try:
        found = list(_tried(root, home))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    broken = [one.about for one in found if one.state == "bad"]
    if broken:
        word = bad(
            "filesystem", f"{kind}, {where}: not fit for a coordination directory ({', '.join(broken)})", ELSEWHERE
        )
    else:
        word = good("filesystem", f"{kind}, {where}")
    return [word, *found, *_room(root)]


def _tried(root: str, home: str) -> Iterator[Finding]:
    yield from _races(home)
    checks: list[Callable[[str], Finding]] = [_moves, _seal, _case, _fsync, _lock, _listing, _times]
    for check in checks:
        try:
            yield check(home)
        except OSError as error:
            yield bad(check.__name__.strip("_"), f"fails: {error.strerror}", ELSEWHERE)
    yield _one_device(root)
    yield _events(root)


def _races(home: str) -> Iterator[Finding]:
    for race in races.RACES:
        place = f"{home}/{race.replace(' ', '-')}"
        os.mkdir(place)
        try:
            told = races.winners(place, race)
        except OSError as error:
            yield bad(race, f"fails: {error.strerror}", ELSEWHERE)
            continue
        wrong = sum(count != 1 for count in told)
        if wrong:
            yield bad(race, f"of {len(told)} races {wrong} had not exactly one winner", ELSEWHERE)
        else:
            yield good(race, f"one winner in each of {len(told)} races of {races.RACERS} processes")


def _moves(home: str) -> Finding:
    os.mkdir(f"{home}/from")
    os.mkdir(f"{home}/to")
    open(f"{home}/from/ticket~1", "xb").close()
    os.rename(f"{home}/from/ticket~1", f"{home}/to/ticket~2")
    if os.listdir(f"{home}/from") or os.listdir(f"{home}/to") != ["ticket~2"]:
        return bad("moves", "a file that was renamed into another directory is not there alone", ELSEWHERE)
    os.rename(f"{home}/to", f"{home}/moved")
    if os.listdir(f"{home}/moved") != ["ticket~2"]:
        return bad("moves", "a directory that was renamed does not hold what it held", ELSEWHERE)
    return good("moves", "files and directories move whole")


def _seal(home: str) -> Finding:
    os.mkdir(f"{home}/claims")
    open(f"{home}/claims/x", "xb").close()
    try:
        os.rmdir(f"{home}/claims")
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return good("seal", "a directory that holds something cannot be removed")
        raise
    return bad("seal", "a directory was removed although it held something", ELSEWHERE)


def _case(home: str) -> Finding:
    open(f"{home}/CaseProbe", "xb").close()
    if os.path.exists(f"{home}/caseprobe"):
        return warning("case", "upper and lower case are the same here: task ids that differ only in case are refused")
    return good("case", "upper and lower case differ")


def _fsync(home: str) -> Finding:
    begin = time.perf_counter()
    handle = os.open(f"{home}/synced", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(handle, b"x")
        os.fsync(handle)
    finally:
        os.close(handle)
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    spent = time.perf_counter() - begin
    return good("fsync", f"a file and its directory take {spent * 1000:.1f} ms")


def _lock(home: str) -> Finding:
    import fcntl

    handle = os.open(f"{home}/lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = os.fork()
        if child == 0:
            os._exit(_try_lock(f"{home}/lock"))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
    if code == 1:
        return good("locks", "a lock keeps other processes out")
    text = "a lock does not keep other processes out: two agents of one worktree could start, no claim is at risk"
    return warning("locks", text)


def _try_lock(path: str) -> int:
    """Give 1 if the lock is refused, as it should be."""
    import fcntl

    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 1
    return 0


def _listing(home: str) -> Finding:
    for number in range(20):
        open(f"{home}/listed~{number}", "xb").close()
        if f"listed~{number}" not in os.listdir(home):
            return bad("listings", "a file just made is missing from a listing", ELSEWHERE)
    return good("listings", "show at once what was made here")


def _times(home: str) -> Finding:
    path = f"{home}/time"
    begin = time.time()
    open(path, "xb").close()
    skew = abs(os.stat(path).st_mtime - begin)
    if skew > SKEW_SECONDS:
        text = f"its clock differs from this machine's by {skew:.0f} s; nothing here depends on it"
        return warning("clocks", text, "timedatectl set-ntp true")
    return good("clocks", "its clock and this machine's agree")


def _one_device(root: str) -> Finding:
    own = os.stat(root).st_dev
    for folder in names.SKELETON:
        try:
            other = os.stat(f"{root}/{folder}").st_dev
        except FileNotFoundError:
            continue
        if other != own:
            return bad("one device", f"{folder} lies on another filesystem than the rest", f"umount {root}/{folder}")
    return good("one device", "all of it lies on one filesystem")


def _events(root: str) -> Finding:
    if events_come(f"{root}/{names.TMP}", f"probe{clock.token()}"):
        return good("events", "changes are told by the system")
    return warning("events", "no events come, or not of other machines' changes: agents look every 2 s instead")


def _room(root: str) -> Iterator[Finding]:
    free = os.statvfs(root)
    room = free.f_bavail * free.f_frsize
    if room < LEAST_BYTES:
        yield warning("room", f"{room >> 20} MiB are free", f"df -h {root}")
    elif free.f_files and free.f_favail < LEAST_INODES:
        yield warning("room", f"{free.f_favail} more files can be made", f"df -i {root}")
    else:
        yield good("room", f"{room >> 20} MiB are free")
