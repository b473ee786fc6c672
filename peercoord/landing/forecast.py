"""Forecast a landing: how far each branch is ahead and behind, and whether merging it would conflict.

An answer depends on two commits alone, so answers are cached by them, in one file that may be lost at any time. A
call asks git for the others, for one second at most; the next call goes on with the rest.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, StorageError
from peercoord.foreign import whole
from peercoord.store import inspection, paths, records
from peercoord.system import git, gitdirs
from peercoord.system.git import TIPS, GitError, branches
from peercoord.worktree import landed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.foreign import Json
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.root import Root

SECONDS = 1.0  # for all branches of one call
FILES_MOST = 20  # files in conflict that are kept of one branch


@dataclass(frozen=True, slots=True)
class Forecast:
    """What merging a branch would meet."""

    branch: str
    base: str  # the branch it would be merged into
    ahead: int  # commits that it has and the base lacks
    behind: int  # commits that the base has and it lacks
    landed: str = ""  # how the base has its content all the same; empty if it does not
    conflicts: tuple[str, ...] | None = ()  # the files in conflict; ``None`` if git cannot tell

    @property
    def told(self) -> str:
        """One line for people; empty if there is nothing to tell."""
        if self.landed:
            return f"on {self.base} already ({self.landed})"
        if not self.ahead:
            return f"{self.behind} behind {self.base}" if self.behind else ""
        said = f"{self.ahead} ahead of {self.base}{f', {self.behind} behind' if self.behind else ''}"
        if self.conflicts is None:
            return f"{said}, git cannot tell whether it would conflict"
        more = f" and {len(self.conflicts) - 1} more" if len(self.conflicts) > 1 else ""
        return f"{said}, would conflict in {self.conflicts[0]}{more}" if self.conflicts else said

    def as_json(self) -> Json:
        """Return it for programs."""
        return {
            "branch": self.branch,
            "base": self.base,
            "ahead": self.ahead,
            "behind": self.behind,
            "landed": self.landed or None,
            "conflicts": None if self.conflicts is None else list(self.conflicts),
        }


def forecasts(root: Root, names: Iterable[str]) -> list[Forecast]:
    """Forecast the merge of each branch into that of the main checkout.

    Branches that there was no time for are left out; all of them if the main checkout is on no branch.
    """
    main, git_dir, _ = gitdirs.repository(str(root.project))
    base = gitdirs.line(f"{git_dir}/HEAD").removeprefix("ref: refs/heads/") if main else ""
    tips = branches(git.text(main, "for-each-ref", TIPS, "refs/heads")) if base else {}
    if base not in tips:
        return []
    wanted = {name: f"{tips[base]}..{tips[name]}" for name in dict.fromkeys(names) if name in tips and name != base}
    known = _known(root)
    new = dict.fromkeys(key for key in wanted.values() if key not in known)
    if new:
        known |= _asked(main, new)
        kept = {key: known[key] for key in wanted.values() if key in known}
        record: Json = {"schema_version": records.SCHEMA_VERSION, "branches": kept}
        with suppress(StorageError):  # a note: on a full disk or a read-only mount git is asked again
            root.files.put(paths.FORECAST, records.encode(record))
    return [_read(name, base, known[key]) for name, key in wanted.items() if key in known]


def _read(name: str, base: str, entry: Json) -> Forecast:
    files = entry.get("conflicts")
    conflicts = None if files is None else tuple(map(str, files)) if isinstance(files, list) else ()
    ahead, behind = (whole(entry.get(key)) or 0 for key in ("ahead", "behind"))
    return Forecast(name, base, ahead, behind, str(entry.get("landed") or ""), conflicts)


def _known(root: Root) -> dict[str, Json]:
    try:
        found = (root.files.record(paths.FORECAST) or {}).get("branches")
    except StorageError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _asked(main: str, keys: Iterable[str]) -> dict[str, Json]:
    """Ask git about pairs of commits, as long as there is time."""
    found: dict[str, Json] = {}
    ends = time.monotonic() + SECONDS
    with (
        inspection.of_directory(main) as inspected,
        tempfile.TemporaryDirectory(prefix="peercoord-forecast-") as scratch,
    ):
        inspected.write_objects_to(scratch)
        for key in keys:
            inspected.ends = ends
            try:
                found[key] = _ask(inspected, *key.split(".."))
            except PeercoordError:
                if time.monotonic() >= ends:
                    break
    return found


def _ask(inspected: Inspection, base: str, tip: str) -> Json:
    counted = inspected.text("rev-list", "--left-right", "--count", f"{base}...{tip}").split("\t")
    behind, ahead = int(counted[0]), int(counted[1])
    entry: Json = {"ahead": ahead, "behind": behind, "landed": "", "conflicts": []}
    if not ahead or not behind:
        return entry
    words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, tip)
    try:
        answer = inspected.ask(*words, ok=(0, 1))
    except GitError:
        return {**entry, "conflicts": None}
    if answer.status:
        files = dict.fromkeys(name for name in answer.out.split("\0")[1:] if name)
        entry["conflicts"] = [name.encode(errors="replace").decode() for name in files][:FILES_MOST]
    return {**entry, "landed": landed.how_contained(inspected, base, tip)}
