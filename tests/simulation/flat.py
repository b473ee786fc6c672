"""A directory in memory as one flat table of paths: quick to copy and to compare, for trying out many situations.

A test checks that it answers as ``support.memory.MemoryDisk`` does. A link copies the file, so the two names are not
counted as names of one file.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from support.memory import MemoryDisk, refuse

from peercoord.system.disk import Stat

if TYPE_CHECKING:
    Table = dict[str, "bytes | None"]


class _Homes(dict[str, str]):
    """The parent of each path, cached: it is asked so often that splitting would dominate the run time."""

    def __missing__(self, path: str) -> str:
        home = self[path] = path.rpartition("/")[0]
        return home


_HOMES = _Homes()


class FlatDisk:
    """A directory: every path with its content, ``None`` for a directory.

    Args:
        table: What is there; the root itself has no entry.
    """

    __slots__ = ("table",)

    def __init__(self, table: Table) -> None:
        self.table = table

    @classmethod
    def like(cls, disk: MemoryDisk) -> FlatDisk:
        """Copy another disk."""
        return cls({**dict.fromkeys(disk.folders()), **disk.files()})

    def files(self) -> dict[str, bytes]:
        """Every file by its path, with its content."""
        return {path: data for path, data in self.table.items() if data is not None}

    def folders(self) -> set[str]:
        """Every directory below the root, by its path."""
        return {path for path, data in self.table.items() if data is None}

    def _missing(self, path: str) -> OSError:
        """Return the error for a missing path: a parent is missing, or is no directory."""
        above = path.rpartition("/")[0]
        while above and above not in self.table:
            above = above.rpartition("/")[0]
        return refuse(errno.ENOTDIR if above and self.table[above] is not None else errno.ENOENT, path)

    def _home(self, path: str) -> None:
        home = path.rpartition("/")[0]
        if home and self.table.get(home, b"") is not None:
            raise refuse(errno.ENOTDIR, path) if home in self.table else self._missing(path)

    def _below(self, path: str) -> list[str]:
        inside = f"{path}/" if path else ""
        size = len(inside)
        return [other for other in self.table if other.startswith(inside) and len(other) > size]

    def listdir(self, path: str) -> list[str]:
        if path and self.table.get(path, b"") is not None:
            raise refuse(errno.ENOTDIR, path) if path in self.table else self._missing(path)
        size, homes = len(path) + 1 if path else 0, _HOMES
        return sorted([other[size:] for other in self.table if homes[other] == path])

    def irregular(self, path: str) -> list[str]:
        return [name for name in self.listdir(path) if self.table[f"{path}/{name}" if path else name] is None]

    def read(self, path: str, most: int) -> bytes:
        if path not in self.table:
            raise self._missing(path)
        data = self.table[path]
        if data is None:
            raise refuse(errno.EISDIR, path)
        return data[:most]

    def create(self, path: str, data: bytes, durable: bool) -> None:
        self._home(path)
        if path in self.table:
            raise refuse(errno.EEXIST, path)
        self.table[path] = bytes(data)

    def append(self, path: str, data: bytes) -> None:
        self._home(path)
        self.table[path] = (self.table.get(path) or b"") + data

    def link(self, source: str, target: str) -> None:
        if source not in self.table:
            raise self._missing(source)
        self._home(target)
        if target in self.table:
            raise refuse(errno.EEXIST, target)
        self.table[target] = self.table[source]

    def rename(self, source: str, target: str) -> None:
        self._home(source)
        self._home(target)
        if source not in self.table:
            raise self._missing(source)
        table, folder = self.table, self.table[source] is None
        if folder and target.startswith(f"{source}/"):
            raise refuse(errno.EINVAL, target)
        if source.startswith(f"{target}/"):
            raise refuse(errno.ENOTEMPTY, target)
        if source == target:
            return
        if target in table:
            if folder != (table[target] is None):
                raise refuse(errno.ENOTDIR if folder else errno.EISDIR, target)
            if folder and self._below(target):
                raise refuse(errno.ENOTEMPTY, target)
        inside = self._below(source) if folder else []
        table[target] = table.pop(source)
        for path in inside:
            table[target + path[len(source) :]] = table.pop(path)

    def unlink(self, path: str) -> None:
        if path not in self.table:
            raise self._missing(path)
        if self.table[path] is None:
            raise refuse(errno.EISDIR, path)
        del self.table[path]

    def mkdir(self, path: str) -> None:
        self._home(path)
        if path in self.table:
            raise refuse(errno.EEXIST, path)
        self.table[path] = None

    def rmdir(self, path: str) -> None:
        if self.table.get(path, b"") is not None:
            raise refuse(errno.ENOTDIR, path) if path in self.table else self._missing(path)
        if self._below(path):
            raise refuse(errno.ENOTEMPTY, path)
        del self.table[path]

    def stat(self, path: str) -> Stat:
        if path and path not in self.table:
            raise self._missing(path)
        data = self.table[path] if path else None
        return Stat(data is None, len(data or b""), 0, 1)

    def sync(self, path: str) -> None:
        self.listdir(path)

    def touch(self, path: str) -> None:
        self._home(path)
        self.table.setdefault(path, b"")

    def flush(self) -> None:
        return
