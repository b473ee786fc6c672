"""Wait for a moment, a signal, the end of a process, a caller at the mailbox, or a changed file.

Nothing depends on an event: ``wait`` always ends at its timeout, and the woken caller looks at the files itself. An
event only makes that look come sooner. Whether events arrive at all is tested, because a change by another machine
brings none, although the watching library may promise it.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.system import process
from peercoord.system.disk import filesystem_type, is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from peercoord.foreign import Json
    from peercoord.system.disk import DiskLike

    class Waitable(Protocol):  # noqa: D101
        def fileno(self) -> int: ...  # noqa: D102


PROBE_SECONDS = 1.0


class ExitWatch:
    """Becomes readable when one process ends, not only a child of ours: by pidfd on Linux, by kqueue on macOS.

    ``OSError`` if there is no such process, or this system cannot watch one.
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
            raise OSError("this system cannot watch the end of another process")

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._handle

    def close(self) -> None:
        """Stop watching."""
        if sys.platform == "linux":
            os.close(self._handle)
        else:
            self._kqueue.close()


class Wakeups:
    """The events that one process waits for; ``signals`` are the numbers of the received ones, in order."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._selector.register(self._read, selectors.EVENT_READ, "poke")
        self._exits: dict[tuple[int, object], ExitWatch] = {}
        self._noticed: set[str] = set()
        self._hears_signals = False

    def on_signals(self, numbers: Iterable[int]) -> None:
        """Record these signals, instead of dying from them, and wake."""
        self._hears_signals = True
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda got, _: self.signals.append(got))

    def poke(self, what: str) -> None:
        """Wake the waiting thread from any other thread, with the name of the reason."""
        self._noticed.add(what)
        with suppress(BlockingIOError):  # a full pipe wakes it as well
            os.write(self._write, b"\0")

    def listen(self, name: str, source: Waitable) -> None:
        """Wake while ``source`` has something to read, under this name."""
        self._selector.register(source, selectors.EVENT_READ, name)

    def watch_exits(self, processes: Iterable[Json]) -> bool:
        """Wake at the end of these processes, and of no others any more; return whether all were still running."""
        wanted = {(int(p["pid"]), p["start"]): p for p in processes}
        for key in [key for key in self._exits if key not in wanted]:
            self._forget(key)
        new = [(key, one) for key, one in wanted.items() if key not in self._exits]
        return not [key for key, one in new if not self._watch(key, one)]

    def _watch(self, key: tuple[int, object], identity: Json) -> bool:
        try:
            watch = ExitWatch(key[0])
        except OSError:
            return process.running(identity)  # it cannot be watched here: the next look shows its end
        if not process.running(identity):  # asked after opening: so the pid is still that process, or it is gone
            watch.close()
            return False
        self._exits[key] = watch
        self._selector.register(watch, selectors.EVENT_READ, key)
        return True

    def _forget(self, key: tuple[int, object]) -> None:
        watch = self._exits.pop(key)
        self._selector.unregister(watch)
        watch.close()

    def wait(self, seconds: float) -> set[str]:
        """Wait for an event, at most this many seconds.

        Returns the names given to ``poke`` and ``listen``, and ``exit`` for the end of a process.
        """
        happened: set[str] = set()
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data == "poke":
                self._drain()
            elif isinstance(key.data, str):
                happened.add(key.data)
            else:
                self._forget(key.data)
                happened.add("exit")
        while self._noticed:
            happened.add(self._noticed.pop())
        return happened

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def close(self) -> None:
        """Close every descriptor."""
        for key in list(self._exits):
            self._forget(key)
        self._selector.close()
        if self._hears_signals:
            signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)


class Changes:
    """Directories watched for changes by the system's events, told to ``notice`` from another thread. Hints only."""

    def __init__(self, notice: Callable[[str, str], None]) -> None:
        self._notice = notice
        self._observer: Any = None
        self._watched: dict[str, tuple[tuple[str, int], Any]] = {}
        self.works = True

    def watch(self, name: str, path: str) -> bool:
        """Watch one directory, without its subdirectories; replaces a watch of the same name elsewhere.

        ``False`` if no events arrive and the caller has to poll. Call it repeatedly: a directory that was created again
        has to be watched again.
        """
        if not self.works:
            return False
        try:
            place = (path, os.stat(path).st_ino)
            if self._watched.get(name, (None,))[0] == place:
                return True
            self.unwatch(name)
            self._watched[name] = (place, self._schedule(name, path))
        except OSError:  # no more watches or instances for this user, or the directory is not there
            return False
        return True

    def _schedule(self, name: str, path: str) -> Any:
        import logging

        from watchdog import events
        from watchdog.observers import Observer

        if self._observer is None:
            logging.getLogger("watchdog").addHandler(logging.NullHandler())  # its own messages do not matter
            self._observer = Observer()
            self._observer.daemon = True
            self._observer.start()
        handler = events.FileSystemEventHandler()
        handler.dispatch = lambda event: self._heard(name, event)  # type: ignore[method-assign]
        kinds = [events.FileCreatedEvent, events.FileModifiedEvent, events.FileMovedEvent, events.FileDeletedEvent]
        kinds += [events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent]
        touched = getattr(events, "FileAttribEvent", None)  # a modification, in older versions
        kinds += [touched] if touched else []
        return self._observer.schedule(handler, path, event_filter=kinds)

    def _heard(self, name: str, event: Any) -> None:
        paths = {event.src_path, getattr(event, "dest_path", "")} - {""}
        for path in paths:
            self._notice(name, os.path.basename(os.fsdecode(path)))

    def unwatch(self, name: str) -> None:
        """End a watch."""
        _, watch = self._watched.pop(name, (None, None))
        if watch is not None:
            with suppress(KeyError, OSError):  # it ended by itself: its directory is gone
                self._observer.unschedule(watch)

    def close(self) -> None:
        """End every watch."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)


def events_come(disk: DiskLike, folder: str, token: str) -> bool:
    """Check whether a change in a directory brings an event, and only this machine can reach it."""
    path = f"{getattr(disk, 'root', '')}/{folder}".rstrip("/")
    if not path or not is_local(filesystem_type(os.path.realpath(path))):
        return False
    came = threading.Event()
    changes = Changes(lambda _, entry: came.set() if entry == token else None)
    probe = f"{folder}/{token}" if folder else token
    try:
        if not changes.watch("probe", path):
            return False
        disk.create(probe, b"", False)
        return came.wait(PROBE_SECONDS)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            disk.unlink(probe)
        changes.close()
