"""Move a checkout from one commit of its branch to another, together with the branch, file by file.

A checkout is moved only if nothing in it is changed, but for what peercoord itself wrote there. New content is staged
beside the checkout's index before the branch moves; from then on files are only renamed and removed. A file is as it
was or as it is to be, never half of it, and a move that was cut short can be done again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING

from peercoord.errors import LostError
from peercoord.store.refusals import refused
from peercoord.system import clock, gitdirs
from peercoord.system.disk import read_file
from peercoord.system.git import shown_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from peercoord.landing.trial import Trial
    from peercoord.store.isolated_git import Inspection

_GITLINK, _LINK, _ABSENT = "160000", "120000", "000000"
_STAGED, _MARK = "peercoord-landing", b"peercoord land\n"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two commits: mode and object before and after, ``000000`` where it is absent."""

    path: str
    old_mode: str
    new_mode: str
    old: str
    new: str

    @property
    def is_submodule(self) -> bool:
        """Whether it is a submodule on both sides where it is there."""
        return _GITLINK in self.modes <= {_GITLINK, _ABSENT}

    @property
    def modes(self) -> set[str]:
        """Both modes."""
        return {self.old_mode, self.new_mode}


def changes(git: Inspection, old: str, new: str) -> list[Change]:
    """List what differs between two commits."""
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--ignore-submodules=none", old, new)
    fields = git.fields(*words)
    found = []
    for facts, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, before, after, _ = facts.removeprefix(":").split(" ")
        found.append(Change(path, old_mode, new_mode, before, after))
    return found


@dataclass(slots=True)
class Move:
    """The move of one checkout."""

    git: Inspection  # asked about the checkout
    old: str  # the commit that it is at
    new: str  # the commit to which it goes
    own: Collection[str] = ()  # files and directories, from the checkout's root, in which peercoord itself writes
    again: bool = False  # a move that was cut short: files may be as they were or as they are to be
    changes: list[Change] = field(init=False)
    staged: str = field(init=False)

    def __post_init__(self) -> None:
        self.changes = changes(self.git, self.old, self.new)
        self.staged = os.path.join(self.git.checkout.git_dir, _STAGED)

    # -- may it be moved -----------------------------------------------------------------------------------------

    def obstacle(self, trial: Trial) -> str:
        """Return why the checkout is left alone, for people; empty if it can be moved to what a trial's tree holds."""
        busy = gitdirs.under_way(self.git.checkout.git_dir)
        if busy:
            return f"{busy[0]} is under way there"
        if self.git.config.get("core.sparsecheckout", "").lower() == "true":
            return "it is a sparse checkout, which only a person's own git moves"
        if any(_GITLINK in one.modes and not one.is_submodule for one in self.changes):
            return "a submodule takes the place of a file there, or a file that of a submodule"
        moved = [change.path for change in self.changes]
        filtered = sorted({*self.git.filtered(moved), *trial.git.filtered(moved)})  # attributes may change as well
        if filtered:
            return f"{shown_path(filtered[0])} has a filter, which only a person's own git runs"
        return self._half_moved() if self.again else self._dirty()

    def _dirty(self) -> str:
        seen = self.git.changes()
        moved = {change.path for change in self.changes}
        touched = [path for marks, path in seen.entries if marks != "??"]
        foreign = [path for path in (*touched, *seen.unsure) if path in moved or not self._is_own(path)]
        if foreign:
            many = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            return f"{shown_path(foreign[0])}{many} is changed there and not committed"
        blocked = next((change.path for change in self.changes if self._is_blocked(change)), "")
        return f"{shown_path(blocked)} is in the way there, and git does not track it" if blocked else ""

    def _is_own(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self.own)

    def _is_blocked(self, change: Change) -> bool:
        """Check whether something that git does not track lies where a new file goes."""
        going = {one.path for one in self.changes if one.new_mode == _ABSENT}
        parts = change.path.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            mode = self._mode(above)
            if mode and not S_ISDIR(mode):
                return above not in going
        mode = self._mode(change.path) if change.old_mode == _ABSENT else 0
        if mode and S_ISDIR(mode):
            inside = {one for one in going if one.startswith(f"{change.path}/")}
            return change.new_mode != _GITLINK and not self._holds_only(change.path, inside)
        return bool(mode)

    def _holds_only(self, directory: str, known: Collection[str]) -> bool:
        top = self._at(directory)
        found = (os.path.join(where, name) for where, _, names in os.walk(top) for name in names)
        return all(os.path.relpath(path, self.git.checkout.tree) in known for path in found)

    def _half_moved(self) -> str:
        other = next((change.path for change in self.changes if not self._is_either(change)), "")
        return f"{shown_path(other)} was changed since the landing began" if other else ""

    def _is_either(self, change: Change) -> bool:
        """Check whether a path is as it was before the move, or as it is to be."""
        mode = self._mode(change.path)
        if not mode or S_ISDIR(mode):
            return True  # absent for a moment between two steps; a directory is not written over
        if S_ISLNK(mode):
            text = os.fsencode(os.readlink(self._at(change.path)))
            found = self.git.ask("hash-object", "--stdin", data=os.fsdecode(text)).out.strip()
        else:
            found = self.git.text("hash-object", f"--path={change.path}", "--", change.path)
        return found in (change.old, change.new)

    def _mode(self, path: str) -> int:
        try:
            return os.lstat(self._at(path)).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _at(self, path: str) -> str:
        return os.path.join(self.git.checkout.tree, path)

    # -- moving it -----------------------------------------------------------------------------------------------

    @contextmanager
    def prepared(self, trial: Trial) -> Iterator[None]:
        """Stage the new files and hold git's lock of the index while the block moves the branch; then move the files.

        The tree of the ``trial`` is what the checkout is to be.
        """
        self.sweep()
        with self.git.locked_index(_MARK) as write_index:
            try:
                names = self._stage(trial)
                self._look_again(trial)
                yield
                self._apply(names)
            except OSError as error:
                raise refused(error, str(error.filename or self.git.checkout.tree)) from None
            finally:
                shutil.rmtree(self.staged, ignore_errors=True)
            write_index("read-tree", "-i", "-m", self.old, self.new)
            write_index("update-index", "-q", "--refresh", ok=(0, 1))

    def _look_again(self, trial: Trial) -> None:
        """Refuse the move if someone has changed a file since the first look: locks and staging take their time."""
        why = self.obstacle(trial)
        if why:
            where = shown_path(self.git.checkout.tree)
            hint = "commit it or put it away, then start again: peercoord land"
            raise LostError(f"{where}: {why}, so nothing was changed", hint, code="dirty")

    def sweep(self) -> None:
        """Remove the lock and the staged files of a landing that was killed; the caller holds the mutex of landing."""
        shutil.rmtree(self.staged, ignore_errors=True)
        lock = os.path.join(self.git.checkout.git_dir, "index.lock")
        with suppress(OSError):
            if read_file(lock, 64) == _MARK:
                os.unlink(lock)

    def _stage(self, trial: Trial) -> dict[str, str]:
        """Copy the new files beside the index; return where each lies."""
        os.mkdir(self.staged)
        names = {}
        for number, change in enumerate(self.changes):
            if change.new_mode in (_ABSENT, _GITLINK):
                continue
            source = os.path.join(trial.git.checkout.tree, change.path)
            names[change.path] = target = f"{self.staged}/{number}"
            shutil.copyfile(source, target, follow_symlinks=False)
            if change.new_mode != _LINK:
                shutil.copymode(source, target)
        return names

    def _apply(self, names: dict[str, str]) -> None:
        for change in self.changes:
            if change.new_mode == _ABSENT and change.old_mode != _GITLINK:
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    os.unlink(self._at(change.path))
                self._prune(change.path)
        for change in self.changes:
            place = self._at(change.path)
            if change.new_mode == _GITLINK:
                os.makedirs(place, exist_ok=True)
            elif change.path in names:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                _rename(names[change.path], place)

    def _prune(self, path: str) -> None:
        """Remove the directories that a removed file leaves empty."""
        above = os.path.dirname(path)
        while above:
            try:
                os.rmdir(self._at(above))
            except OSError:
                return
            above = os.path.dirname(above)


def _rename(source: str, target: str) -> None:
    """Rename a staged file into place, by a copy beside it where the git directory is on another filesystem."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != 18:  # EXDEV
            raise
        beside = f"{os.path.dirname(target)}/.peercoord-{clock.token()}"
        shutil.copy2(source, beside, follow_symlinks=False)
        os.replace(beside, target)
