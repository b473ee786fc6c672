"""A filesystem that keeps case and ignores it, as macOS's and Windows's do: a directory seen through FUSE.

Run as a program with the directory and the mount point it serves until it is unmounted.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SHOWN = ("st_atime", "st_ctime", "st_gid", "st_ino", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")


class Folding:
    """The operations of a filesystem that ignores case, on a real directory."""

    use_ns = True

    def __init__(self, base: str) -> None:
        self.base = base

    def real(self, path: str) -> str:
        """Return the existing path under any case; parts that do not exist stay as given."""
        found = self.base
        for part in path.strip("/").split("/"):
            if part and not os.path.lexists(os.path.join(found, part)) and os.path.isdir(found):
                part = next((name for name in os.listdir(found) if name.casefold() == part.casefold()), part)
            found = os.path.join(found, part)
        return found

    def wanted(self, path: str) -> str:
        """Return the path of a new name, below the existing parent."""
        home, _, name = path.rpartition("/")
        return os.path.join(self.real(home), name)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        seen = os.lstat(self.real(path)) if fh is None else os.fstat(fh)
        exact = {f"st_{time}time": getattr(seen, f"st_{time}time_ns") for time in "acm"}
        return {key: getattr(seen, key) for key in _SHOWN} | exact

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        here = self.real(path)
        found = [(name, os.lstat(os.path.join(here, name))) for name in [".", "..", *os.listdir(here)]]
        return [(name, {"st_ino": seen.st_ino, "st_mode": seen.st_mode}, 0) for name, seen in found]

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self.real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self.real(path), flags & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self.real(path) if fh is None else fh, length)

    def release(self, path: str, fh: int) -> None:
        os.close(fh)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        os.fsync(fh)

    def rename(self, old: str, new: str) -> None:
        source, target = self.real(old), self.real(new)
        os.rename(source, self.wanted(new) if source == target else target)

    def link(self, target: str, source: str) -> None:
        if os.path.lexists(self.real(target)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.link(self.real(source), self.wanted(target), follow_symlinks=False)

    def symlink(self, target: str, source: str) -> None:
        os.symlink(source, self.real(target))

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self.real(path), ns=times, follow_symlinks=False)

    def statfs(self, path: str) -> dict[str, int]:
        seen = os.statvfs(self.real(path))
        return {key: getattr(seen, key) for key in dir(seen) if key.startswith("f_") and key != "f_fsid"}


def on_real_path(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, path, *given: call(self.real(path), *given)


for _name in ("readlink", "unlink", "mkdir", "rmdir", "chmod"):
    setattr(Folding, _name, on_real_path(getattr(os, _name)))


@contextmanager
def mounted(base: Path) -> Iterator[Path]:
    """Mount a filesystem that ignores case for a while; skip with the reason if that fails."""
    pytest.importorskip("mfusepy", reason="pip install mfusepy", exc_type=(ImportError, OSError))
    if not os.path.exists("/dev/fuse") or not shutil.which("fusermount3"):
        pytest.skip("FUSE cannot be used here: apt-get install fuse3")
    kept, place = base / "kept", base / "folding"
    kept.mkdir()
    place.mkdir()
    server = subprocess.Popen([sys.executable, __file__, str(kept), str(place)], stderr=subprocess.PIPE, text=True)
    try:
        while not os.path.ismount(place):
            if server.poll() is not None:
                pytest.skip(f"the filesystem could not be mounted: {(server.communicate()[1] or '').strip()[-200:]}")
        yield place
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(place)], check=False)
        server.kill()  # one that something still uses would not end
        server.communicate()


if __name__ == "__main__":
    import mfusepy

    options = {"use_ino": True, "hard_remove": True, "attr_timeout": 0, "entry_timeout": 0}
    mfusepy.FUSE(Folding(sys.argv[1]), sys.argv[2], foreground=True, **options)
