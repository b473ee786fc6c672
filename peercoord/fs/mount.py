"""Which filesystem a directory lies on, and whether other machines may reach it: then events tell only half."""

from __future__ import annotations

import os
import sys

_LOCAL = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "tmpfs", "ramfs"),
    *("overlay", "aufs", "rootfs", "fuseblk", "apfs", "hfs", "ufs", "ffs", "hammer2"),
}


def kind(path: str) -> str:
    """Name the type of the filesystem that ``path`` lies on, as the system's mount table does; empty if unknown."""
    best, found = "", ""
    for point, name in _mounts():
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, found = point, name
    return found


def local(name: str) -> bool:
    """Tell whether a filesystem of this type is this machine's alone. What is not known is taken for shared."""
    return name in _LOCAL


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "linux":
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
                return [found for found in map(_parse, handle) if found]
        except OSError:
            return []
    import psutil

    return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def _parse(line: str) -> tuple[str, str] | None:
    """Read a line of mountinfo: the mount point is its fifth word, the type the first after `` - ``."""
    before, dash, after = line.partition(" - ")
    words = before.split(" ")
    if not dash or len(words) < 5:
        return None
    point = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
    return os.fsdecode(point), after.split(" ", 1)[0]
