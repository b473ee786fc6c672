"""A directory in memory with the methods of ``peercoord.system.disk.Disk`` and the errors that Linux gives.

It keeps the promises that ``tests/system/test_disk_contract.py`` states for the real one, so that what is tried out
here (every crash, every interleaving) says something about disks. Files have inodes, names are links to them. Not here:
symbolic links, FIFOs, permissions, two filesystems; those are tried on the real disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from peercoord.system.disk import Stat

NAME_MAX = 255  # bytes


class Inode:
    """What a file is apart from its names."""

    __slots__ = ("changed_ns", "data", "flushed", "links", "modified_ns")

    def __init__(self, data: bytes, modified_ns: int, changed_ns: int = 0, links: int = 1, flushed: int = 0) -> None:
        self.data, self.flushed = data, flushed
        self.modified_ns = modified_ns
        self.changed_ns = changed_ns or modified_ns
        self.links = links


class Folder:
    """A directory: names, each of a file or of a directory."""

    __slots__ = ("changed_ns", "entries", "modified_ns")

    def __init__(self, modified_ns: int, changed_ns: int = 0) -> None:
        self.entries: dict[str, Inode | Folder] = {}
        self.modified_ns = modified_ns
        self.changed_ns = changed_ns or modified_ns

    def holds(self, other: Folder) -> bool:
        """Whether ``other`` is this directory or lies below it."""
        return self is other or any(isinstance(node, Folder) and node.holds(other) for node in self.entries.values())


def _copied(folder: Folder, known: dict[int, Inode]) -> Folder:
    twin = Folder(folder.modified_ns, folder.changed_ns)
    for name, node in folder.entries.items():
        if isinstance(node, Folder):
            twin.entries[name] = _copied(node, known)
        elif id(node) in known:
            twin.entries[name] = known[id(node)]
        else:
            twin.entries[name] = known[id(node)] = Inode(
                node.data, node.modified_ns, node.changed_ns, node.links, node.flushed
            )
    return twin


def _list(prefix: str, folder: Folder, found: list[tuple[str, Inode | Folder]]) -> None:
    for name, node in sorted(folder.entries.items()):
        found.append((f"{prefix}{name}", node))
        if isinstance(node, Folder):
            _list(f"{prefix}{name}/", node, found)


def _is_too_long(name: str) -> bool:
    return len(name) * 4 > NAME_MAX and len(os.fsencode(name)) > NAME_MAX


def refuse(number: int, path: str) -> OSError:
    """Make the error that the kernel would give."""
    return OSError(number, os.strerror(number), path)


class MemoryDisk:
    """An empty directory in memory. Copies are independent: ``copy()`` is how one situation is tried in many ways."""

    def __init__(self) -> None:
        self.top = Folder(0)
        self.ticks = 0
        self._listed: tuple[int, list[tuple[str, Inode | Folder]]] = (-1, [])

    # -- the calls of Disk -----------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        return list(self._folder(path).entries)

    def irregular(self, path: str) -> list[str]:
        return [name for name, node in self._folder(path).entries.items() if isinstance(node, Folder)]

    def read(self, path: str, most: int) -> bytes:
        node = self._node(path)
        if isinstance(node, Folder):
            raise refuse(errno.EISDIR, path)
        return node.data[:most]

    def create(self, path: str, data: bytes, durable: bool) -> None:
        home, name = self._home(path)
        if name in home.entries:
            raise refuse(errno.EEXIST, path)
        home.entries[name] = Inode(bytes(data), self._tick(home), flushed=len(data) if durable else 0)

    def append(self, path: str, data: bytes) -> None:
        node = self._opened(path)
        node.data += data
        node.modified_ns = node.changed_ns = self._tick()

    def link(self, source: str, target: str) -> None:
        node = self._node(source)
        home, name = self._home(target)
        if name in home.entries:
            raise refuse(errno.EEXIST, target)
        if isinstance(node, Folder):
            raise refuse(errno.EPERM, source)
        home.entries[name] = node
        node.links += 1
        node.changed_ns = self._tick(home)

    def rename(self, source: str, target: str) -> None:
        old, old_name = self._home(source)
        new, new_name = self._home(target)
        node, there = old.entries.get(old_name), new.entries.get(new_name)
        if node is None:
            raise refuse(errno.ENOENT, source)
        if isinstance(node, Folder) and node.holds(new):
            raise refuse(errno.EINVAL, target)
        if isinstance(there, Folder) and there.holds(old):
            raise refuse(errno.ENOTEMPTY, target)
        if node is there:  # two names of one file, or one name twice: nothing happens, both stay
            return
        self._make_way(node, there, target)
        del old.entries[old_name]
        new.entries[new_name] = node
        node.changed_ns = self._tick(old, new)

    def unlink(self, path: str) -> None:
        home, name = self._home(path)
        node = self._node(path)
        if isinstance(node, Folder):
            raise refuse(errno.EISDIR, path)
        del home.entries[name]
        node.links -= 1
        node.changed_ns = self._tick(home)

    def mkdir(self, path: str) -> None:
        home, name = self._home(path)
        if name in home.entries:
            raise refuse(errno.EEXIST, path)
        home.entries[name] = Folder(self._tick(home))

    def rmdir(self, path: str) -> None:
        home, name = self._home(path)
        if self._folder(path).entries:
            raise refuse(errno.ENOTEMPTY, path)
        del home.entries[name]
        self._tick(home)

    def stat(self, path: str) -> Stat:
        node = self._node(path)
        if isinstance(node, Folder):
            return Stat(True, 0, node.modified_ns, 1, node.changed_ns)
        return Stat(False, len(node.data), node.modified_ns, node.links, node.changed_ns)

    def sync(self, path: str) -> None:
        self._folder(path)

    def touch(self, path: str) -> None:
        node = self._opened(path)
        node.modified_ns = node.changed_ns = self._tick()

    def flush(self) -> None:
        for _, node in self._walk():
            if isinstance(node, Inode):
                node.flushed = len(node.data)

    # -- for tests -------------------------------------------------------------------------------------------

    def copy(self) -> MemoryDisk:
        """Return an independent copy, names of one file staying names of one file."""
        twin = MemoryDisk()
        twin.top, twin.ticks = _copied(self.top, {}), self.ticks
        return twin

    def after_power_cut(self, left: Callable[[bytes], bytes] = lambda _: b"") -> MemoryDisk:
        """Return a copy as a power cut leaves it: every name is there, what was not flushed is not."""
        twin = self.copy()
        for _, node in twin._walk():
            if isinstance(node, Inode):
                node.data = node.data[: node.flushed] + left(node.data[node.flushed :])
        return twin

    def files(self) -> dict[str, bytes]:
        """Every file by its path, with its content."""
        return {path: node.data for path, node in self._walk() if isinstance(node, Inode)}

    def folders(self) -> set[str]:
        """Every directory below the root, by its path."""
        return {path for path, node in self._walk() if isinstance(node, Folder)}

    def _walk(self) -> list[tuple[str, Inode | Folder]]:
        """List every name below the root by its path, in order; once, as long as no name comes or goes."""
        if self._listed[0] != self.ticks:
            found: list[tuple[str, Inode | Folder]] = []
            _list("", self.top, found)
            self._listed = (self.ticks, found)
        return self._listed[1]

    # -- steps -----------------------------------------------------------------------------------------------

    def _node(self, path: str) -> Inode | Folder:
        node: Inode | Folder = self.top
        try:
            for name in path.split("/") if path else ():
                node = node.entries[name]  # type: ignore[union-attr]
        except (KeyError, AttributeError):
            raise self._missing(path) from None
        return node

    def _missing(self, path: str) -> OSError:
        """Return why nothing can be reached by a path."""
        node: Inode | Folder = self.top
        for name in path.split("/"):
            if not isinstance(node, Folder):
                return refuse(errno.ENOTDIR, path)
            if _is_too_long(name):
                return refuse(errno.ENAMETOOLONG, path)
            if name not in node.entries:
                break
            node = node.entries[name]
        return refuse(errno.ENOENT, path)

    def _folder(self, path: str) -> Folder:
        node = self._node(path)
        if not isinstance(node, Folder):
            raise refuse(errno.ENOTDIR, path)
        return node

    def _home(self, path: str) -> tuple[Folder, str]:
        if not path:
            raise refuse(errno.EBUSY, path)
        home, _, name = path.rpartition("/")
        folder = self._folder(home)
        if _is_too_long(name):
            raise refuse(errno.ENAMETOOLONG, path)
        return folder, name

    def _opened(self, path: str) -> Inode:
        home, name = self._home(path)
        if name not in home.entries:
            self.create(path, b"", False)
        node = home.entries[name]
        if isinstance(node, Folder):
            raise refuse(errno.EISDIR, path)
        return node

    def _make_way(self, node: Inode | Folder, there: Inode | Folder | None, target: str) -> None:
        if there is None:
            return
        if isinstance(node, Folder):
            if not isinstance(there, Folder):
                raise refuse(errno.ENOTDIR, target)
            if there.entries:
                raise refuse(errno.ENOTEMPTY, target)
        elif isinstance(there, Folder):
            raise refuse(errno.EISDIR, target)
        else:
            there.links -= 1

    def _tick(self, *changed: Folder) -> int:
        self.ticks += 1
        for folder in changed:
            folder.modified_ns = folder.changed_ns = self.ticks
        return self.ticks
