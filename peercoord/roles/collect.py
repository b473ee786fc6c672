"""Reading a worktree's ``memory-contributions/``: which files are whole, which are still being written, which never.

A file is taken once it has kept still for a while by our own monotonic clock, and was the same before and after it
was read: an agent that writes it in two steps is not quoted in the middle of a sentence. Links are not followed
wherever they lead, and a file too large is refused without being read, once it grows no more.

What was read is remembered in memory only, to save work: the ids of contributions follow from their text, so that
reading everything again after a restart gives nothing new.
"""

from __future__ import annotations

import errno
from contextlib import suppress

from peercoord.core import ids, names
from peercoord.core.errors import UsageError
from peercoord.core.memory.contributions import FILE_BYTES
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.fs.disk import DiskLike, Stat

    State = tuple[int, int, int]
    """Size, and times of the last changes."""

FOLDER = f"{names.INSTANCE}/memory-contributions"
ORIGINS = f"{names.INSTANCE}/collected"
SETTLE_SECONDS = 2.0  # a file that did not change for so long is whole
FORGET_SECONDS = 60.0  # a file that was gone for so long is another one when it comes back
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_SCRATCH = ("~", ".swp", ".tmp", ".part", ".crdownload")


class Sight:
    """What a look at the folder showed.

    Attributes:
        ready: Files to read now, with their bytes. To be given to ``Folder.taken`` when all of it is published.
        deferred: Files that are still being written, and why they wait. Look again after ``SETTLE_SECONDS``.
        refused: What can never be taken as it is, and why; said once for each state of a file.
    """

    __slots__ = ("deferred", "ready", "refused")

    def __init__(self) -> None:
        self.ready: dict[str, bytes] = {}
        self.deferred: dict[str, str] = {}
        self.refused: dict[str, UsageError] = {}


class Folder:
    """The contributions of one worktree.

    Args:
        disk: The system calls, on the worktree.
        token: Gives a new random word at each call, for names of files under way.
    """

    def __init__(self, disk: DiskLike, token: Callable[[], str]) -> None:
        self.disk, self.token = disk, token
        self._still: dict[str, tuple[State, float]] = {}
        self._read: dict[str, State] = {}
        self._done: dict[str, State] = {}
        self._gone: dict[str, float] = {}

    def look(self, now: float) -> Sight:
        """Look at the folder.

        Args:
            now: Seconds of the monotonic clock.

        Raises:
            StorageError: The filesystem would not let us.
        """
        sight = Sight()
        listed = self._names(sight)
        for name in sorted(listed):
            if name.startswith((".", "#")) or name.endswith(_SCRATCH):
                continue
            state = self._look_at(name, now, sight)
            if state is None:
                self._still.pop(name, None)
        self._forget(listed, now)
        return sight

    def taken(self, name: str) -> None:
        """Note that everything in a file of the last look is published, or refused for good."""
        if name in self._read:
            self._done[name] = self._read[name]

    def origin(self, name: str) -> bytes | None:
        """Give the document that an edited copy was made from, as kept by ``keep_origin``."""
        try:
            return self.disk.read(f"{ORIGINS}/{name}", 4 * FILE_BYTES)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise refused(error, f"{ORIGINS}/{name}") from None

    def keep_origin(self, name: str, document: bytes) -> None:
        """Keep the document that an edited copy is compared with, for as long as the copy is there.

        To be called when the file is read for the first time, before what was read is published. A second call
        changes nothing.
        """
        ids.check(name, "file name")
        scratch = f"{ORIGINS}/.{self.token()}"
        try:
            with suppress(FileExistsError):
                self.disk.mkdir(ORIGINS)
            self.disk.create(scratch, document, durable=False)
            try:
                with suppress(FileExistsError):
                    self.disk.link(scratch, f"{ORIGINS}/{name}")
            finally:
                self.disk.unlink(scratch)
        except OSError as error:
            raise refused(error, f"{ORIGINS}/{name}") from None

    # -- one look --------------------------------------------------------------------------------------------

    def _names(self, sight: Sight) -> list[str]:
        for place in (names.INSTANCE, FOLDER):
            seen = self._stat(place)
            if seen is None:
                return []
            if not seen.is_dir:
                sight.refused[place] = UsageError(
                    f"{place} is a link or a file, not a folder", hint="make it a folder of this worktree", code="link"
                )
                return []
        try:
            return self.disk.listdir(FOLDER)
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise refused(error, FOLDER) from None

    def _look_at(self, name: str, now: float, sight: Sight) -> State | None:
        seen = self._stat(f"{FOLDER}/{name}")
        if seen is None:
            return None
        state = _state(seen)
        if self._done.get(name) == state:
            return state
        problem = _problem(name, seen)
        if problem:
            self._refuse(name, state, problem, sight)
            return state
        before, since = self._still.get(name, (None, now))
        if before != state:
            self._still[name] = (state, now)
            since = now
        if now - since < SETTLE_SECONDS:
            sight.deferred[name] = "it was changed a moment ago and may still be being written"
            return state
        problem = _too_large(name, seen)
        if problem:
            self._refuse(name, state, problem, sight)
            return state
        self._take(name, state, sight)
        return state

    def _take(self, name: str, state: State, sight: Sight) -> None:
        path = f"{FOLDER}/{name}"
        try:
            data = self.disk.read(path, FILE_BYTES + 1)
        except OSError as error:
            if error.errno in _ABSENT:
                return
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                why = UsageError(f"{ids.shown(name)} is no plain file", hint="links are not followed", code="link")
                self._refuse(name, state, why, sight)
                return
            raise refused(error, path) from None
        again = self._stat(path)
        if again is None or _state(again) != state or len(data) != state[0]:
            self._still.pop(name, None)
            sight.deferred[name] = "it changed while it was read"
            return
        self._read[name] = state
        sight.ready[name] = data

    def _refuse(self, name: str, state: State, why: UsageError, sight: Sight) -> None:
        self._done[name] = state
        sight.refused[name] = why

    def _forget(self, listed: list[str], now: float) -> None:
        there = set(listed)
        for known in (self._still, self._read, self._done):
            for name in [name for name in known if name not in there]:
                del known[name]
        try:
            kept = self.disk.listdir(ORIGINS)
        except OSError:
            return
        for name in kept:
            if name in there or name.startswith("."):
                self._gone.pop(name, None)
            elif now - self._gone.setdefault(name, now) >= FORGET_SECONDS:
                del self._gone[name]
                with suppress(OSError):  # it is tried again at the next look
                    self.disk.unlink(f"{ORIGINS}/{name}")

    def _stat(self, path: str) -> Stat | None:
        try:
            return self.disk.stat(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise refused(error, path) from None


def _state(seen: Stat) -> State:
    return seen.size, seen.modified_ns, seen.changed_ns


def _problem(name: str, seen: Stat) -> UsageError | None:
    if seen.is_dir:
        return UsageError(f"{ids.shown(name)} is a folder", hint="put files here, without folders", code="folder")
    if not ids.is_id(name):
        return UsageError(
            f"file name {ids.shown(name)} is not allowed",
            hint="letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 characters at most",
            code="bad-file",
        )
    return None


def _too_large(name: str, seen: Stat) -> UsageError | None:
    if seen.size <= FILE_BYTES:
        return None
    return UsageError(
        f"{ids.shown(name)} has {seen.size} bytes; {FILE_BYTES} are allowed",
        hint="contribute what is new, not a whole file",
        code="too-large",
    )
