"""The read-only copy of the memory bank that worktrees see through their link.

It is published whole: a new directory without write permission, to which a link is then moved by one rename. A reader
opens each document as it was before or as it is now, never half of it. Unchanged documents are hard links to the
previous copy. The time of a document in the copy is the original's ``ctime``, so that an edit which restores size and
``mtime`` is seen too.

File modes stop an ordinary user, not root or a program that changes them. What is changed in a copy never reaches the
bank, and the next look replaces it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError
from peercoord.store import paths
from peercoord.store.lock import held
from peercoord.store.refusals import refused
from peercoord.system import clock
from peercoord.system.disk import Disk, open_file, remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.store.root import Root

    State = tuple[int, int, int]
    """Size, when it was last changed in any way, in nanoseconds, and the mode of its folder in a copy."""

EVERY_SECONDS, LEAST_SECONDS = 10.0, 1.0  # between two looks at the bank; after an event
SETTLE_SECONDS = 2.0  # a document not written for this long is whole
LONGEST_SECONDS = 10.0  # the longest that others wait for a document that is being written
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
MOST, DEPTH_MOST = 4000, 8  # documents of a bank, and levels of its directories


def target(coordination: str) -> str:
    """Return what a worktree's link leads to."""
    return f"{coordination}/{paths.BANK_COPY}/{paths.BANK_CURRENT}"


def look(directory: str, is_copy: bool = False) -> dict[str, State]:
    """Return the documents of the bank, or of a copy, by their path in it: plain files, hidden ones left out."""
    found: dict[str, State] = {}
    folders = [""]
    while folders:
        inside = folders.pop()
        mode = _folder_mode(f"{directory}/{inside}")
        with os.scandir(f"{directory}/{inside}") as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = f"{inside}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False) and path.count("/") < DEPTH_MOST:
                    folders.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False) and len(found) < MOST:
                    seen = entry.stat(follow_symlinks=False)
                    found[path] = seen.st_size, seen.st_mtime_ns if is_copy else seen.st_ctime_ns, mode
    return found


def _folder_mode(folder: str) -> int:
    """Return the mode of a folder in a copy: its own, without any right to write."""
    return os.stat(folder).st_mode & 0o555 | 0o500


def _published(coordination: str) -> dict[str, State]:
    """Return the documents of the copy; empty if there is none."""
    try:
        return look(target(coordination), is_copy=True)
    except OSError:
        return {}


def publish(bank: str, coordination: str, unsettled: Collection[str] = ()) -> bool:
    """Publish a copy of the memory bank; ``False`` if the present copy has all settled documents.

    Documents that are being written (``unsettled``) stay as they are in the copy.
    """
    try:
        with held(f"{coordination}/{paths.BANK_COPY_LOCK}", wait=LONGEST_SECONDS):
            changed = {path for path, _ in look(bank).items() ^ _published(coordination).items()}
            if changed <= {*unsettled} and os.path.isdir(target(coordination)):
                return False
            _replace(bank, coordination, unsettled)
    except LostError:
        return False  # another one publishes
    except OSError as error:
        raise refused(error, f"{coordination}/{paths.BANK_COPY}") from None
    return True


def publish_merged(bank: str, coordination: str, merged: Collection[str]) -> None:
    """Publish the documents that a merge has just written; other changes wait for the leader's next look."""
    if not os.path.islink(target(coordination)):
        return
    published = _published(coordination)
    with suppress(OSError, PeercoordError):  # the leader's next look does it
        others = {path for path, state in look(bank).items() if state != published.get(path) and path not in merged}
        publish(bank, coordination, others)


def _replace(bank: str, coordination: str, unsettled: Collection[str]) -> None:
    home, old = f"{coordination}/{paths.BANK_COPY}", target(coordination)
    with suppress(FileExistsError):
        os.mkdir(home)
    before = os.path.basename(os.path.realpath(old)) if os.path.islink(old) else ""
    name = clock.token()
    new = f"{home}/{name}"
    try:
        os.mkdir(new)
        published = _published(coordination)
        for path, state in look(bank).items():
            os.makedirs(os.path.dirname(f"{new}/{path}"), exist_ok=True)
            last, copy = f"{old}/{path}", f"{new}/{path}"
            same = path in published and published[path][:2] == state[:2]
            done = path not in unsettled and ((same and _linked(last, copy)) or _copied(f"{bank}/{path}", copy))
            if not done and not _linked(last, copy):
                _copied(last, copy, is_copy=True)
        for folder, _, _ in os.walk(new, topdown=False):
            os.chmod(folder, _folder_mode(f"{bank}/{folder.removeprefix(new)}"))
            Disk(folder).sync("")
        os.symlink(name, f"{home}/.{name}")
        os.rename(f"{home}/.{name}", old)
        Disk(home).sync("")
    except OSError:
        with suppress(OSError):
            remove_tree(new)
        raise
    for left in os.listdir(home):
        if left not in (name, before, paths.BANK_CURRENT):  # someone may still read the one before
            with suppress(OSError):
                os.unlink(f"{home}/{left}") if os.path.islink(f"{home}/{left}") else remove_tree(f"{home}/{left}")


def _linked(old: str, new: str) -> bool:
    """Link a document from the previous copy; ``False`` if it is not there, or the filesystem has no links."""
    try:
        if os.lstat(old).st_mode & 0o222:
            return False  # it was made writable
        os.link(old, new, follow_symlinks=False)
    except (OSError, NotImplementedError):
        return False
    return True


def _copied(source: str, new: str, is_copy: bool = False) -> bool:
    """Copy a document; ``False`` if it changes meanwhile, or is gone."""
    try:
        handle = open_file(source, os.O_RDONLY)
    except OSError:
        return False
    with open(handle, "rb") as document, open(os.open(new, _NEW, 0o600), "wb") as made:
        seen = os.fstat(handle)
        shutil.copyfileobj(document, made)
        made.flush()
        os.fchmod(made.fileno(), seen.st_mode & 0o444 | 0o400)
        changed = seen.st_mtime_ns if is_copy else seen.st_ctime_ns
        os.utime(made.fileno(), ns=(changed, changed))
        os.fsync(made.fileno())
        again = os.fstat(handle)
        whole = made.tell() == seen.st_size and (again.st_size, again.st_ctime_ns) == (seen.st_size, seen.st_ctime_ns)
    if not whole:
        os.unlink(new)
    return whole


class CopyJob:
    """Keeps the copy up to date, for the leader."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.coordination = root.files.place
        self.rest()

    def rest(self) -> None:
        """Forget what was seen: another peer leads."""
        self._place: str | None = None
        self._seen: dict[str, tuple[State, float]] = {}
        self._since: float | None = None
        self._exact = True  # the filesystem keeps times as they are set
        self._last: dict[str, State] | None = None

    def run(self, _term: int) -> float | None:
        """Publish a new copy, if the bank changed and stands still; return the seconds until the next look, if any."""
        now = self.root.clock.monotonic()
        there = self._bank()
        published = _published(self.coordination)
        if there is None or there == published or (there == self._last and not self._exact and published):
            self._since, self._seen = None, {}
            return None
        changed = {path: state for path, state in there.items() if state != published.get(path)}
        before = self._seen
        self._seen = {p: (s, before[p][1] if p in before and before[p][0] == s else now) for p, s in changed.items()}
        unsettled = {path for path, (_, since) in self._seen.items() if now - since < SETTLE_SECONDS}
        self._since = now if self._since is None else self._since
        if unsettled and now - self._since < LONGEST_SECONDS:
            return SETTLE_SECONDS
        publish(str(self._place), self.coordination, unsettled)
        self._since, self._last = None, there
        self._exact = bool(unsettled) or there == _published(self.coordination) or there != self._bank()
        return SETTLE_SECONDS if unsettled else None

    def _bank(self) -> dict[str, State] | None:
        from peercoord.memory import runner

        if self._place is None:
            self._place = runner.directory(self.root.project)
        try:
            return look(self._place) if self._place else None
        except OSError:
            return None  # not there now: the copy stays


def publish_now(home: str) -> None:
    """Publish the copy of a project's memory bank at once, for set-up, if it has a team and a bank."""
    from pathlib import Path

    from peercoord.memory import runner

    place, coordination = runner.directory(Path(home)), f"{home}/{paths.ROOT}"
    if place and os.path.isdir(place) and os.path.isfile(f"{coordination}/{paths.PROTOCOL}"):
        publish(place, coordination)
