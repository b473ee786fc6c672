"""Waiting: for a moment, a signal, the end of a process, or something that changed. One call, no thread of ours.

Promise: nothing depends on an event arriving. ``wait`` always ends at its time-out, and whoever is woken looks at
the files themselves; an event only makes that look come sooner.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import sys

from peercoord.fs import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.records import Json


class ExitWatch:
    """Becomes readable when one process ends: by the kernel, not by polling (pidfd on Linux, kqueue on macOS).

    Args:
        pid: The process, which need not be a child of ours.

    Raises:
        OSError: There is no such process, or this system cannot watch one.
    """

    def __init__(self, pid: int) -> None:
        if sys.platform == "linux":
            self._handle = os.pidfd_open(pid)
        elif sys.platform == "darwin" or "bsd" in sys.platform:
            self._kqueue = select.kqueue()
            event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
            self._kqueue.control([event], 0, 0)
            self._handle = self._kqueue.fileno()
        else:
            raise OSError("this system tells no process the end of another")

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._handle

    def close(self) -> None:
        """Stop watching."""
        if sys.platform == "linux":
            os.close(self._handle)
        else:
            self._kqueue.close()


class Wakeups:
    """What one process waits for.

    Attributes:
        signals: Numbers of the signals that came since the last look, in order.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._selector.register(self._read, selectors.EVENT_READ, "poke")
        self._exits: dict[tuple[int, object], ExitWatch] = {}

    def on_signals(self, numbers: Iterable[int]) -> None:
        """Note these signals instead of dying by them, and wake."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda got, _: self.signals.append(got))

    def poke(self) -> None:
        """Wake the waiting thread, from any other."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # it has enough to wake it

    def watch_exits(self, processes: Iterable[Json]) -> None:
        """Be woken by the end of these processes, and of no others any more."""
        wanted = {(int(p["pid"]), p["start"]): p for p in processes}
        for key in [key for key in self._exits if key not in wanted]:
            self._forget(key)
        for key, identity in wanted.items():
            if key not in self._exits:
                self._watch(key, identity)

    def _watch(self, key: tuple[int, object], identity: Json) -> None:
        try:
            watch = ExitWatch(key[0])
        except OSError:
            return  # gone already, or not to be watched: the next look tells
        if process.running(identity):  # asked after opening: the pid is still that process
            self._exits[key] = watch
            self._selector.register(watch, selectors.EVENT_READ, key)
        else:
            watch.close()

    def _forget(self, key: tuple[int, object]) -> None:
        watch = self._exits.pop(key)
        self._selector.unregister(watch)
        watch.close()

    def wait(self, seconds: float) -> bool:
        """Wait until something happens, at most so many seconds.

        Returns:
            Whether a watched process ended.
        """
        ended = False
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data == "poke":
                self._drain()
            elif isinstance(key.data, tuple):
                self._forget(key.data)
                ended = True
        return ended

    def _drain(self) -> None:
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of every descriptor."""
        for key in list(self._exits):
            self._forget(key)
        self._selector.close()
        os.close(self._read)
        os.close(self._write)
