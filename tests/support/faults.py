"""Disks with something wrong with them: wrappers around any object with the methods of ``Disk``.

Every wrapper has one place where a call passes through, ``around``; what it does there is all it does::

    Counting(disk)                     writes down every call
    Crashing(disk, at=7, mode="torn")  the process dies at its seventh call
    Pausing(disk, at=7, meanwhile=f)   the process stands still before its seventh call, while f() happens
    Failing(disk, rule)                calls are refused, or done and then answered with an error
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from support.memory import refuse

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike, Stat

CHANGES = frozenset(("create", "append", "link", "rename", "unlink", "mkdir", "rmdir", "touch"))
"""The calls that change something."""


class Crash(BaseException):
    """The process is gone: nothing it would have done happens any more."""


class Call:
    """One call on its way to a disk."""

    __slots__ = ("_disk", "args", "name")

    def __init__(self, disk: DiskLike, name: str, args: tuple[Any, ...]) -> None:
        self._disk, self.name, self.args = disk, name, args

    def run(self) -> Any:
        return getattr(self._disk, self.name)(*self.args)

    def torn(self) -> None:
        """Do half of it: a file is there with the first half of its content. All other calls are whole or nothing."""
        if self.name == "create":
            self._disk.create(self.args[0], self.args[1][: len(self.args[1]) // 2], False)
        elif self.name == "append":
            self._disk.append(self.args[0], self.args[1][: len(self.args[1]) // 2])

    @property
    def path(self) -> str:
        """The path that the call is about: for a link or a rename, where it leads."""
        return str(self.args[1] if self.name in ("link", "rename") else self.args[0] if self.args else "")

    @property
    def writes(self) -> bool:
        """It needs room for data or for a directory on the disk."""
        return self.name == "mkdir" or (self.name in ("create", "append") and bool(self.args[1]))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(str(a) for a in self.args if isinstance(a, str))})"


class Wrapper:
    """Passes every call on to another disk, through ``around``."""

    def __init__(self, disk: DiskLike) -> None:
        self.disk = disk

    def around(self, call: Call) -> Any:
        return call.run()

    def _pass(self, name: str, *args: Any) -> Any:
        return self.around(Call(self.disk, name, args))

    def listdir(self, path: str) -> list[str]:
        return self._pass("listdir", path)  # type: ignore[no-any-return]

    def irregular(self, path: str) -> list[str]:
        found: list[str] = self._pass("irregular", path)
        return found

    def read(self, path: str, most: int) -> bytes:
        return self._pass("read", path, most)  # type: ignore[no-any-return]

    def create(self, path: str, data: bytes, durable: bool) -> None:
        self._pass("create", path, data, durable)

    def append(self, path: str, data: bytes) -> None:
        self._pass("append", path, data)

    def link(self, source: str, target: str) -> None:
        self._pass("link", source, target)

    def rename(self, source: str, target: str) -> None:
        self._pass("rename", source, target)

    def unlink(self, path: str) -> None:
        self._pass("unlink", path)

    def mkdir(self, path: str) -> None:
        self._pass("mkdir", path)

    def rmdir(self, path: str) -> None:
        self._pass("rmdir", path)

    def stat(self, path: str) -> Stat:
        return self._pass("stat", path)  # type: ignore[no-any-return]

    def sync(self, path: str) -> None:
        self._pass("sync", path)

    def touch(self, path: str) -> None:
        self._pass("touch", path)

    def flush(self) -> None:
        self._pass("flush")


class Counting(Wrapper):
    """Writes down every call that passes."""

    def __init__(self, disk: DiskLike) -> None:
        super().__init__(disk)
        self.calls: list[Call] = []
        self.changes: list[Call] = []

    def around(self, call: Call) -> Any:
        self.calls.append(call)
        answer = call.run()
        if call.name in CHANGES:
            self.changes.append(call)  # what was refused has changed nothing
        return answer


class Crashing(Wrapper):
    """A disk whose process dies at one call."""

    def __init__(self, disk: DiskLike, at: int, mode: str = "before") -> None:  # or "after", or "torn": in the middle
        super().__init__(disk)
        self.left, self.mode = at, mode
        self.last: Call | None = None

    def around(self, call: Call) -> Any:
        self.left -= 1
        if self.left > 0:
            return call.run()
        if self.left == 0:
            self.last = call
            if self.mode == "after":
                call.run()
            elif self.mode == "torn":
                call.torn()
        raise Crash(repr(call))


class Pausing(Wrapper):
    """A disk whose process stands still before one call, while something else happens."""

    def __init__(self, disk: DiskLike, at: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(disk)
        self.left, self.meanwhile = at, meanwhile
        self.last: Call | None = None

    def around(self, call: Call) -> Any:
        self.left -= 1
        if self.left == 0:
            self.last = call
            self.meanwhile()
        return call.run()


class Meanwhile(Wrapper):
    """A disk on which something happens just before the first call that a rule picks; once for each rule."""

    def __init__(self, disk: DiskLike, *steps: tuple[Callable[[Call], bool], Callable[[], object]]) -> None:
        super().__init__(disk)
        self.steps = list(steps)

    def around(self, call: Call) -> Any:
        for step in [step for step in self.steps if step[0](call)]:
            self.steps.remove(step)
            step[1]()
        return call.run()


def renames_to(start: str) -> Callable[[Call], bool]:
    """Pick a rename to a path that begins like this."""
    return lambda call: call.name == "rename" and call.path.startswith(start)


class Fault:
    """What a faulty disk answers: an error number, after doing what was asked or instead of it."""

    __slots__ = ("done", "number")

    def __init__(self, number: int, done: bool = False) -> None:
        self.number, self.done = number, done


class Failing(Wrapper):
    """A disk that refuses what ``rule`` says."""

    def __init__(self, disk: DiskLike, rule: Callable[[Call], Fault | None]) -> None:
        super().__init__(disk)
        self.rule = rule
        self.met: list[Call] = []

    def around(self, call: Call) -> Any:
        fault = self.rule(call)
        if fault is None:
            return call.run()
        self.met.append(call)
        if fault.done:
            call.run()
        raise refuse(fault.number, call.path)


def full(call: Call) -> Fault | None:
    """Rule: a disk without a free block. Names still fit into the directories there are; data does not."""
    return Fault(errno.ENOSPC) if call.writes else None


def unreadable(*paths: str) -> Callable[[Call], Fault | None]:
    """Rule: these files belong to someone else, who does not let us read them."""
    return lambda call: Fault(errno.EACCES) if call.name == "read" and call.path in paths else None
