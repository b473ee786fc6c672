"""Try out the filesystem of the coordination directory: what the protocol needs of it.

Racing processes must find exactly one winner. Each racer is a process; all start together and go through the same names
in the same order. A count of rounds is no proof, but a filesystem that lets two win usually shows it within a few.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from typing import TYPE_CHECKING

from peercoord.doctor.checks import bad, command, good, warning
from peercoord.store import paths
from peercoord.system import clock
from peercoord.system.disk import Disk, filesystem_type, is_local
from peercoord.system.watch import events_come

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.doctor.checks import Finding

LEAST_BYTES = 50 << 20
LEAST_INODES = 1000
SKEW_SECONDS = 5
ELSEWHERE = "keep the project on a local disk, NFSv4, CephFS or a GlusterFS replica volume"


def probe(root: str) -> list[Finding]:
    """Try out the filesystem below a coordination directory."""
    kind = filesystem_type(root) or "of unknown type"
    where = "this machine's alone" if is_local(kind) else "may be reached from other machines"
    home = f"{root}/{paths.TMP}/doctor-{clock.token()}"
    try:
        os.mkdir(home)
    except OSError as error:
        look = command("ls", "-ld", f"{root}/{paths.TMP}")
        return [bad("filesystem", f"{root} cannot be written: {error.strerror}", look)]
    try:
        found = list(_tried(root, home))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    broken = [one.about for one in found if one.state == "bad"]
    if broken:
        text = f"{kind}, {where}: not fit for a coordination directory ({', '.join(broken)})"
        word = bad("filesystem", text, ELSEWHERE)
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
    for race in RACES:
        place = f"{home}/{race.replace(' ', '-')}"
        os.mkdir(place)
        try:
            told = winners(place, race)
        except OSError as error:
            yield bad(race, f"fails: {error.strerror}", ELSEWHERE)
            continue
        wrong = sum(count != 1 for count in told)
        if wrong:
            yield bad(race, f"of {len(told)} races {wrong} had not exactly one winner", ELSEWHERE)
        else:
            yield good(race, f"one winner in each of {len(told)} races of {RACERS} processes")


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
    begin, disk = time.perf_counter(), Disk(home)
    disk.create("synced", b"x", True)
    disk.sync("")
    spent = time.perf_counter() - begin
    return good("fsync", f"a file and its directory take {spent * 1000:.1f} ms")


def _lock(home: str) -> Finding:
    import fcntl

    handle = os.open(f"{home}/lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = os.fork()
        if child == 0:
            try:
                fcntl.flock(os.open(f"{home}/lock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(1)  # refused, as it should be
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
    if code == 1:
        return good("locks", "a lock keeps other processes out")
    text = "a lock does not keep other processes out: two agents of one worktree could start, no claim is at risk"
    return warning("locks", text)


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
    for folder in paths.SKELETON:
        try:
            other = os.stat(f"{root}/{folder}").st_dev
        except FileNotFoundError:
            continue
        if other != own:
            text = f"{folder} lies on another filesystem than the rest"
            return bad("one device", text, command("umount", f"{root}/{folder}"))
    return good("one device", "all of it lies on one filesystem")


def _events(root: str) -> Finding:
    if events_come(Disk(root), paths.TMP, f"probe{clock.token()}"):
        return good("events", "the system reports changes")
    return warning("events", "no events come, or not of other machines' changes: agents look every 2 s instead")


def _room(root: str) -> Iterator[Finding]:
    free = os.statvfs(root)
    room = free.f_bavail * free.f_frsize
    if room < LEAST_BYTES:
        yield warning("room", f"{room >> 20} MiB are free", command("df", "-h", root))
    elif free.f_files and free.f_favail < LEAST_INODES:
        yield warning("room", f"{free.f_favail} more files can be made", command("df", "-i", root))
    else:
        yield good("room", f"{room >> 20} MiB are free")


# -- races ---------------------------------------------------------------------------------------------------------


RACERS = 4
ROUNDS = 50


def _rename(home: str, name: str, racer: int) -> None:
    os.rename(f"{home}/{name}", f"{home}/{name}.{racer}")


def _link(home: str, name: str, racer: int) -> None:
    own = f"{home}/own.{racer}"
    if not os.path.exists(own):
        os.close(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.link(own, f"{home}/{name}.linked")


def _create(home: str, name: str, racer: int) -> None:  # noqa: ARG001 - one shape for all races
    os.close(os.open(f"{home}/{name}.made", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _mkdir(home: str, name: str, racer: int) -> None:  # noqa: ARG001 - one shape for all races
    os.mkdir(f"{home}/{name}.dir")


RACES: dict[str, Callable[[str, str, int], None]] = {
    "rename": _rename,
    "link if free": _link,
    "create if free": _create,
    "mkdir": _mkdir,
}
LOST = (errno.ENOENT, errno.EEXIST)


def winners(home: str, race: str, rounds: int = ROUNDS) -> list[int]:
    """Race processes for names in a directory."""
    names = [f"n{number:03d}" for number in range(rounds)]
    for name in names if race == "rename" else ():
        os.close(os.open(f"{home}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    gate_read, gate_write = os.pipe()
    pipes = []
    for racer in range(RACERS):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_write)
            _race(home, RACES[race], names, racer, gate_read, write)
        os.close(write)
        pipes.append((child, read))
    os.close(gate_read)
    os.close(gate_write)  # the gate opens: every racer reads its end
    told = [_result_of(child, read) for child, read in pipes]
    broken = [text for text in told if text.startswith(b"!")]
    if broken:
        raise OSError(int(broken[0][1:]), os.strerror(int(broken[0][1:])))
    return [sum(text[at : at + 1] == b"1" for text in told) for at in range(rounds)]


def _race(home: str, step: Callable[[str, str, int], None], names: list[str], racer: int, gate: int, out: int) -> None:
    """Run one racer and exit."""
    os.read(gate, 1)
    told = b""
    for name in names:
        try:
            step(home, name, racer)
        except OSError as error:
            if error.errno not in LOST:
                told = b"!%d" % (error.errno or 0)
                break
            told += b"0"
        else:
            told += b"1"
    os.write(out, told)
    os._exit(0)


def _result_of(child: int, read: int) -> bytes:
    told = b""
    while part := os.read(read, 4096):
        told += part
    os.close(read)
    os.waitpid(child, 0)
    return told
