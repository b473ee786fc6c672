"""The memory bank: one directory in the main checkout, seen by every worktree through a link of the same name.

Whether the repository tracks it decides how the link is kept out of git's sight. Untracked: a line of ``info/exclude``
does. Tracked: the worktree leaves the directory out (``sparse``), or every file in it would count as deleted.

That peers only read through the link is a convention: they hand in contributions instead. A directory that stands in
the link's place is removed only as far as git can give it back; what somebody wrote there stays, and is named. A merge
that conflicts inside the bank puts such a directory there, since git does not write through a link.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from peercoord.core import names
from peercoord.core.errors import PeercoordError, UsageError
from peercoord.core.ids import shown
from peercoord.edges.team import excludes, git, include, record, sparse
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.edges.team.repository import Project

DOCUMENTS = {
    "projectbrief.md": "# Project brief\n\nWhat this project is and what it must do.\n",
    "productContext.md": "# Product context\n\nWhy it exists, whose problem it solves, how it should feel to use.\n",
    "systemPatterns.md": "# System patterns\n\nHow it is built: the architecture, and decisions with their reasons.\n",
    "techContext.md": "# Tech context\n\nLanguages, libraries, tools, and how to build, run and test it.\n",
    "activeContext.md": "# Active context\n\nWhat is being worked on now, and what comes next.\n",
    "progress.md": "# Progress\n\nWhat works, what is left, what is known to be broken.\n",
}
"""A new memory bank: each document with the words that say what belongs in it."""

_LINK = "120000"


@dataclass(frozen=True, slots=True)
class Bank:
    """The memory bank of a project, as it is found.

    Attributes:
        path: Its path from the root of every checkout.
        tracked: The repository tracks files in it.
        shared: Worktrees are to see it through a link.
        missing: It is nowhere yet, and is to be made.
        hidden: It is to be hidden in the main checkout too; ``None``: as the user had it.
        note: What people should know about it; empty if nothing.
    """

    path: str
    tracked: bool = False
    shared: bool = True
    missing: bool = False
    hidden: bool | None = None
    note: str = ""


def look(project: Project, name: str, starts: Iterable[str]) -> Bank:
    """Look at a project's memory bank.

    Args:
        project: The project.
        name: Its path in the project; empty for no memory bank.
        starts: The commits that the team's worktrees stand on, or will.

    Raises:
        UsageError: The name cannot be that of a directory in the project.
        PeercoordError: A file, or a link that leads nowhere, stands there.
    """
    if not name:
        return Bank("", shared=False)
    _check(name)
    path = project.path(name.strip("/"))
    place = project.main / path
    modes = _modes(project.main, path, starts)
    made = record.read_project(project.common, project.sub).get("bank_made")
    if modes.get(path) == _LINK:
        return Bank(path, shared=False, note=f"{path} is a link that the repository tracks: left to git")
    if place.is_dir():
        return Bank(path, tracked=bool(modes), hidden=not modes if made else None)
    if os.path.lexists(place):
        raise PeercoordError(
            f"{project.short(place)} is not a directory, so it cannot be the memory bank",
            "move it away, or name the memory bank's directory: --bank NAME",
            code="no-bank",
        )
    if modes:
        note = f"{path}/ is tracked but not in the main checkout (another branch, or sparse): worktrees keep their own"
        return Bank(path, tracked=True, shared=False, note=note)
    return Bank(path, missing=True, hidden=True)


def plan_make(project: Project, bank: Bank) -> list[Action]:
    """Plan to make a memory bank that is missing."""
    if not bank.missing:
        return []
    text = f"make {bank.path}/ with its {len(DOCUMENTS)} documents, hidden from git until you: git add -f {bank.path}"
    return [Action(text, lambda: _make(project, bank))]


def plan_link(project: Project, bank: Bank, tree: Path, git_dir: Path | None) -> tuple[list[Action], list[str]]:
    """Plan the link in one worktree.

    Args:
        project: The project.
        bank: What ``look`` gave.
        tree: The worktree's root.
        git_dir: Its own git directory; ``None`` if the worktree is still to be made.

    Returns:
        Actions, and notes about what stands in the way.
    """
    if not bank.shared:
        return [], []
    place = tree / bank.path
    words = f"link {bank.path} in {project.short(tree)} to the main checkout's"
    if git_dir is None:
        return [Action(words, lambda: link(project, bank, tree))], []
    if git_dir.joinpath("index").exists() and git.text(tree, "ls-files", "-s", "--", bank.path).startswith(_LINK):
        return [], [f"{bank.path} in {project.short(tree)} is a link that its branch tracks: left as it is"]
    tracked = bank.tracked or bool(_modes(tree, bank.path))
    right = place.is_symlink() and place.readlink() == _target(project, bank, tree)
    if right and (not tracked or sparse.is_out(git_dir, excludes.pattern(bank.path))):
        return [], []
    own = [] if place.is_symlink() else _own(tree, bank.path)
    if own:
        some = ", ".join(map(shown_path, own[:3])) + (", …" if len(own) > 3 else "")
        hint = f"hand it in (update-memory) or move it away, then run again to have the link: {some}"
        return [], [f"{bank.path} in {project.short(tree)} has work of its own; {hint}"]
    return [Action(words, lambda: link(project, bank, tree))], []


def link(project: Project, bank: Bank, tree: Path) -> str:
    """Put the link in its place, leaving a tracked directory out of the worktree first.

    Returns:
        What stands in the way, if something does; it is not touched.
    """
    place, target = tree / bank.path, _target(project, bank, tree)
    if place.is_symlink():
        place.unlink()
    if bank.tracked or _modes(tree, bank.path):
        sparse.leave_out(project, tree, excludes.pattern(bank.path))
    if place.is_dir():
        _remove_copies(tree, bank.path)
        _remove_empty(place)
    if os.path.lexists(place) or not Path(os.path.realpath(place.parent)).is_relative_to(tree):
        return f"{project.short(place)} is not the link to the memory bank: something of its own is there"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    if git.text(tree, "status", "--porcelain", "--", bank.path):
        # a commit of everything would replace the tracked directory by the link
        place.unlink()
        return f"no link {bank.path} in {project.short(tree)}: a .gitignore of the project brings it into git's view"
    return ""


def unlink(bank_path: str, tree: Path) -> None:
    """Take a worktree's link away, never what it leads to."""
    place = tree / bank_path
    if bank_path and place.is_symlink() and not git.text(tree, "ls-files", "-s", "--", bank_path).startswith(_LINK):
        place.unlink()


def untouched(project: Project) -> Path | None:
    """Give the directory of the memory bank that the team made, if nobody has changed or added anything in it.

    The section that the leader keeps in ``progress.md`` is nobody's.
    """
    made = record.table(record.read_project(project.common, project.sub), "bank_made")
    if not isinstance(made.get("path"), str):
        return None
    place, files = project.main / made["path"], record.table(made, "files")
    if place.is_symlink() or not place.is_dir() or _modes(project.main, made["path"]):
        return None
    same = all(
        entry.is_file() and not entry.is_symlink() and files.get(entry.name) == _as_made(entry)
        for entry in place.iterdir()
    )
    return place if same else None


def _as_made(entry: Path) -> str:
    from peercoord.core.memory.progress import without_progress

    data = entry.read_bytes()
    try:
        return _digest(without_progress(data))
    except UsageError:  # no text at all any more
        return _digest(data)


def _check(name: str) -> None:
    path = PurePosixPath(name)
    reserved = (names.ROOT, names.INSTANCE, ".git", "..", ".")
    if path.is_absolute() or not path.parts or any(part in reserved for part in path.parts) or not name.isprintable():
        raise UsageError(
            f"{shown(name)} cannot be the memory bank", "name a directory in the project, such as memory-bank"
        )


def _modes(tree: Path, path: str, commits: Iterable[str] = ()) -> dict[str, str]:
    """Map what a checkout's index, and some commits, have at or below a path to its kind."""
    listed = git.fields(tree, "ls-files", "-s", "-z", "--", path)
    for commit in set(commits):
        listed += git.fields(tree, "ls-tree", "-z", "--full-tree", commit, "--", path)
    return {entry.partition("\t")[2]: entry.split(" ", 1)[0] for entry in listed}


def _target(project: Project, bank: Bank, tree: Path) -> Path:
    return Path(os.path.relpath(project.main / bank.path, (tree / bank.path).parent))


def _own(tree: Path, path: str) -> list[str]:
    """List what lies in a directory of a worktree and could not be had from git again."""
    words = ("status", "--porcelain", "-z", "--untracked-files=all", "--ignored", "--no-renames")
    return [entry[3:] for entry in git.fields(tree, *words, "--", path) if (tree / entry[3:]).exists()]


def _remove_copies(tree: Path, path: str) -> None:
    """Remove the files of a directory that are in the index just as they are: git can give them back."""
    for facts, _, name in (entry.partition("\t") for entry in git.fields(tree, "ls-files", "-s", "-z", "--", path)):
        place = tree / name
        if include.is_own_file(place):
            now = git.text(tree, "hash-object", f"--path={name}", "--", name)
            if now == facts.split(" ")[1]:
                place.unlink()


def _remove_empty(place: Path) -> None:
    for directory, _, _ in os.walk(place, topdown=False):
        if not os.listdir(directory):
            os.rmdir(directory)


def _make(project: Project, bank: Bank) -> str:
    files = {name: _digest(text.encode()) for name, text in DOCUMENTS.items()}
    record.note_project(project.common, project.sub, bank_made={"path": bank.path, "files": files})
    place = project.main / bank.path
    place.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        if not (place / name).exists():
            record.put(place / name, text.encode())
    return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
