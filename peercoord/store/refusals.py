"""What an errno of the filesystem means, and what to do about it: once, for every folder."""

from __future__ import annotations

import errno

from peercoord.errors import StorageError

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EMLINK)  # something else stands where a file should be

_WHY = {
    errno.ENOSPC: ("the disk is full", "free some space; claims, releases and heartbeats go on meanwhile"),
    errno.EDQUOT: ("the disk quota is used up", "free some space; claims, releases and heartbeats go on meanwhile"),
    errno.EROFS: ("the filesystem is read-only", "mount it read-write, or work through the background agent"),
    errno.EACCES: ("permission denied", "check the owner and mode of that path: peercoord doctor"),
    errno.EPERM: ("not permitted", "check the owner, mode and mount options of that path: peercoord doctor"),
    errno.ENOENT: ("its directory is gone", "look with: peercoord doctor"),
    errno.ENXIO: ("something that is no file stands where a file should be", "remove it: peercoord doctor"),
    errno.EISDIR: ("a directory stands where a file should be", "move it away: peercoord doctor"),
    errno.EMLINK: ("the file has a second name, which may lie outside", "replace it by a copy"),
    errno.ELOOP: ("a symbolic link stands where a file should be", "remove the link: peercoord doctor"),
    errno.EXDEV: ("the coordination directory spans two filesystems", "keep all of it on one: peercoord doctor"),
}


def refused(error: OSError, path: str) -> StorageError:
    """Turn an ``OSError`` about a path into an error that says what to do."""
    reason, hint = _WHY.get(error.errno or 0, (error.strerror or str(error), "look with: peercoord doctor"))
    return StorageError(f"{path}: {reason}", hint, code=errno.errorcode.get(error.errno or 0, "EIO").lower())
