"""The memory bank of the main checkout, and the link to its read-only copy in each worktree.

An untracked bank is hidden by ``info/exclude``; a tracked one is left out of the worktree, or git would count each file
in it as deleted. A directory in the link's place is removed only where git can restore it: anything else is kept and
named. A merge that conflicts in the bank leaves such a directory, since git does not write through a link.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import shown
from peercoord.memory import copy
from peercoord.store import inspection, manifest, paths
from peercoord.store.beneath import Beneath
from peercoord.store.settings import DOCUMENT_BYTES
from peercoord.system import git
from peercoord.system.disk import read_file
from peercoord.system.git import shown_paths
from peercoord.team import excludes, files, repository
from peercoord.team.plan import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project

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
    """The memory bank of a project as it was found."""

    path: str  # its path from the root of every checkout
    tracked: bool = False  # the repository tracks files in it
    shared: bool = True  # worktrees are to see it through a link
    missing: bool = False  # it does not exist yet, and has to be created
    hidden: bool | None = None  # it has to be hidden in the main checkout too; ``None``: as the user had it
    note: str = ""  # what people should know about it; empty if nothing


def look(project: Project, name: str, starts: Iterable[str]) -> Bank:
    """Look at a project's memory bank."""
    if not name:
        return Bank("", shared=False)
    if not paths.may_be_bank(name):
        hint = "name a directory in the project, such as memory-bank"
        raise UsageError(f"{shown(name)} cannot be the memory bank", hint)
    path = project.path(name.strip("/"))
    place = project.main / path
    modes = _modes(partial(git.fields, project.main), path, starts)
    made = manifest.read_project(project.common, project.sub).get("bank_made")
    if modes.get(path) == _LINK:
        return Bank(path, shared=False, note=f"{path} is a link that the repository tracks: left to git")
    if place.is_dir():
        return Bank(path, tracked=bool(modes), hidden=not modes if made else None)
    if os.path.lexists(place):
        text = f"{project.short(place)} is not a directory, so it cannot be the memory bank"
        hint = "move it away, or name the memory bank's directory: --bank NAME"
        raise PeercoordError(text, hint, code="no-bank")
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
    """Plan the link in one worktree."""
    if not bank.shared:
        return [], []
    place = tree / bank.path
    words = f"link {bank.path} in {project.short(tree)} to the team's read-only copy"
    if git_dir is None:
        return [Action(words, lambda: link(project, bank, tree))], []
    with inspection.of_worktree(project, tree, git_dir) as found:
        modes, own = _modes(found.fields, bank.path), []
        if not place.is_symlink():  # what git cannot restore
            changes = found.changes("--untracked-files=all", "--ignored", "--", bank.path)
            own = [name for name in (*changes.paths(), *changes.unsure) if os.path.exists(tree / name)]
    if modes.get(bank.path) == _LINK:
        return [], [f"{bank.path} in {project.short(tree)} is a link that its branch tracks: left as it is"]
    tracked = bank.tracked or bool(modes)
    right = place.is_symlink() and place.readlink() == _target(project, bank, tree)
    if right and (not tracked or excludes.is_out(git_dir, f"{excludes.pattern(bank.path)}/")):
        return [], []
    if own:
        hint = f"hand it in (update-memory) or move it away, then run again to have the link: {shown_paths(own)}"
        return [], [f"{bank.path} in {project.short(tree)} has work of its own; {hint}"]
    return [Action(words, lambda: link(project, bank, tree))], []


def link(project: Project, bank: Bank, tree: Path) -> str:
    """Create the link, after leaving a tracked directory out of the worktree."""
    place, target, beneath = tree / bank.path, _target(project, bank, tree), Beneath(str(tree))
    git_dir = repository.git_dirs(project)[tree]
    with inspection.of_worktree(project, tree, git_dir) as found:
        _remove_link(beneath, bank.path)
        if bank.tracked or _modes(found.fields, bank.path):
            excludes.leave_out(project, tree, git_dir, f"{excludes.pattern(bank.path)}/")
        if _is_directory(beneath, bank.path):
            listed = found.fields("ls-files", "-s", "-z", "--", bank.path)
            for facts, _, name in (entry.partition("\t") for entry in listed):
                if files.is_own_file(tree / name) and not found.differs(name, facts.split(" ")[1]):
                    with suppress(FileNotFoundError, NotADirectoryError):
                        beneath.unlink(name)  # git can restore it
            _remove_empty(beneath, bank.path)
        try:
            beneath.make_directories(bank.path.rpartition("/")[0])
            beneath.make_link(str(target), bank.path)
        except (FileExistsError, NotADirectoryError):
            return f"{project.short(place)} is not the link to the memory bank: something of its own is there"
        shows = bool(found.changes("--", bank.path).entries)
    if shows:
        # a commit of everything would replace the tracked directory by the link
        _remove_link(beneath, bank.path)
        return f"no link {bank.path} in {project.short(tree)}: a .gitignore of the project brings it into git's view"
    copy.publish_now(str(project.directory))
    return ""


def _is_directory(beneath: Beneath, path: str) -> bool:
    try:
        return beneath.stat(path).is_dir
    except OSError:
        return False


def _remove_link(beneath: Beneath, path: str) -> None:
    """Remove a symbolic link; anything else is left alone."""
    with suppress(OSError):
        beneath.read_link(path)
        beneath.unlink(path)


def unlink(bank_path: str, found: Inspection) -> None:
    """Remove a worktree's link to the memory bank."""
    if bank_path and _modes(found.fields, bank_path).get(bank_path) != _LINK:
        _remove_link(Beneath(found.checkout.tree), bank_path)


def untouched(project: Project) -> Path | None:
    """Return the directory of the memory bank that the team made, if it is unchanged.

    The section that the leader keeps in ``progress.md`` does not count as work.
    """
    made = manifest.table(manifest.read_project(project.common, project.sub), "bank_made")
    if not isinstance(made.get("path"), str):
        return None
    place, files = project.main / made["path"], manifest.table(made, "files")
    if place.is_symlink() or not place.is_dir() or _modes(partial(git.fields, project.main), made["path"]):
        return None
    same = all(
        entry.is_file() and not entry.is_symlink() and files.get(entry.name) == _as_made(entry)
        for entry in place.iterdir()
    )
    return place if same else None


def _as_made(entry: Path) -> str:
    from peercoord.memory.progress_section import without_progress

    data = read_file(str(entry), DOCUMENT_BYTES)
    try:
        return _digest(without_progress(data))
    except UsageError:  # no longer text
        return _digest(data)


def _modes(fields: Callable[..., list[str]], path: str, commits: Iterable[str] = ()) -> dict[str, str]:
    """Map the paths at or below a path, in a checkout's index and in some commits, to their modes."""
    listed = fields("ls-files", "-s", "-z", "--", path)
    for commit in set(commits):
        listed += fields("ls-tree", "-z", "--full-tree", commit, "--", path)
    return {entry.partition("\t")[2]: entry.split(" ", 1)[0] for entry in listed}


def _target(project: Project, bank: Bank, tree: Path) -> Path:
    """Return the link's target: the read-only copy, by a relative path."""
    return Path(os.path.relpath(copy.target(str(project.directory / paths.ROOT)), (tree / bank.path).parent))


def _remove_empty(beneath: Beneath, path: str) -> None:
    """Remove a directory and its subdirectories where they are empty."""
    for name in beneath.listdir(path):
        if _is_directory(beneath, f"{path}/{name}"):
            _remove_empty(beneath, f"{path}/{name}")
    with suppress(OSError):
        beneath.rmdir(path)


def _make(project: Project, bank: Bank) -> None:
    files = {name: _digest(text.encode()) for name, text in DOCUMENTS.items()}
    manifest.note_project(project.common, project.sub, bank_made={"path": bank.path, "files": files})
    place = project.main / bank.path
    place.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        if not (place / name).exists():
            manifest.put(place / name, text.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- a memory bank under another name ------------------------------------------------------------------------------


PLACES = (
    *(".memory-bank", "memory_bank", "memorybank", ".memory_bank"),
    *(".clinerules/memory-bank", ".cline/memory-bank", "cline_docs", ".cursor/memory-bank", ".claude/memory-bank"),
    *("docs/memory-bank", "docs/memory_bank", "doc/memory-bank", ".clinerules", "docs"),
)
"""Where tools keep a memory bank, as seen from the project."""
_DOCUMENT_NAMES = frozenset(name.lower() for name in DOCUMENTS)
_TELLING_NAMES = _DOCUMENT_NAMES - {"progress.md"}  # a progress.md is in many projects
_MIN_DOCUMENTS = 2  # that many documents make a memory bank


def find_elsewhere(project: Path) -> str:
    """Find a project's memory bank under another name."""
    found = {place: entries for place in PLACES if (entries := _entries(project / place))}
    if not found:
        return ""
    listed = ", ".join(
        f"{shown(place)} ({len(entries & _DOCUMENT_NAMES)} of its documents)" for place, entries in found.items()
    )
    first, entries = next(iter(found.items()))
    if len(found) > 1 or entries - _DOCUMENT_NAMES:
        beside = "" if len(found) > 1 else ", beside other things"
        text = f"the project seems to have a memory bank already: {listed}{beside}"
        hint = f"say which it is: --bank {first}, or for a new one: --bank memory-bank"
        raise UsageError(text, hint, code="which-bank")
    return first


def _entries(place: Path) -> set[str]:
    """List the names in a directory, in lower case; empty if it is no memory bank."""
    if place.is_symlink():
        return set()
    try:
        entries = {name.lower() for name in os.listdir(place)}
    except OSError:
        return set()
    return entries if len(entries & _DOCUMENT_NAMES) >= _MIN_DOCUMENTS and entries & _TELLING_NAMES else set()
