"""Files that a worktree needs or must not have: ``.worktreeinclude``, submodules, copies of the task list."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import shown
from peercoord.store import inspection, isolated_git, manifest, paths
from peercoord.store.beneath import Beneath
from peercoord.system import clock, git
from peercoord.system.disk import open_file
from peercoord.system.git import pasted, shown_path
from peercoord.team import excludes, repository
from peercoord.team.plan import Action, apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.team.plan import Instance, Plan

FILE = ".worktreeinclude"
_OURS = (paths.ROOT, paths.INSTANCE)


def selected_files(project: Project, bank: str) -> list[str]:
    """List the files that ``.worktreeinclude`` selects, relative to the main checkout."""
    patterns = project.main / FILE
    if not patterns.is_file():
        return []
    words = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={patterns}")
    found = [path for path in git.fields(project.main, *words) if not path.endswith("/")]
    found = [path for path in found if not any(part in _OURS for part in path.split("/"))]
    return git.ignored(project.main, [path for path in found if not (bank and f"{path}/".startswith(f"{bank}/"))])


def plan_copies(project: Project, tree: Path, chosen: list[str]) -> list[Action]:
    """Plan to copy files that a worktree lacks."""
    missing = [path for path in chosen if not os.path.lexists(tree / path)]
    if not missing:
        return []
    count = "1 file" if len(missing) == 1 else f"{len(missing)} files"
    text = f"copy {count} by {FILE} into {project.short(tree)}: {git.shown_paths(missing)}"
    return [Action(text, lambda: _copy_all(project, tree, missing))]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file or of a link's target."""
    if path.is_symlink():
        return hashlib.sha256(b"link " + os.fsencode(path.readlink())).hexdigest()
    with os.fdopen(open_file(str(path), os.O_RDONLY), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_own_file(place: Path) -> bool:
    """Check whether a file exists without a link in its path."""
    return place.is_file() and not place.is_symlink() and Path(os.path.realpath(place.parent)) == place.parent


def _copy_all(project: Project, tree: Path, paths: list[str]) -> str:
    git_dir = repository.git_dirs(project)[tree]
    copied = dict(manifest.table(manifest.read_worktree(git_dir), "copied"))
    beneath, left = Beneath(str(tree)), []
    for path in paths:
        # the branch may have a link where the main checkout has a directory: never write through it
        try:
            _copy(project.main / path, beneath, path)
        except (FileNotFoundError, FileExistsError, NotADirectoryError):
            left.append(path)
            continue
        if path.isprintable():  # a name that the record cannot hold counts as a file of the user's own
            copied[path] = digest(project.main / path)
    manifest.note_worktree(git_dir, copied=copied)
    return f"not copied into {git.shown_path(tree)}: {', '.join(map(git.shown_path, left))}" if left else ""


def _copy(source: Path, beneath: Beneath, path: str) -> None:
    """Copy one file or link, whole."""
    home, _, name = path.rpartition("/")
    beneath.make_directories(home)
    with suppress(FileNotFoundError):
        beneath.lstat(path)
        raise FileExistsError(path)
    if source.is_symlink():
        beneath.make_link(os.readlink(source), path)
        return
    staged = f"{home}/.{name}.{clock.token()}" if home else f".{name}.{clock.token()}"
    with os.fdopen(open_file(str(source), os.O_RDONLY), "rb") as file:
        seen = os.fstat(file.fileno())
        try:
            with os.fdopen(beneath.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                os.fchmod(copy.fileno(), seen.st_mode & 0o7777)
                os.utime(copy.fileno(), ns=(seen.st_atime_ns, seen.st_mtime_ns))
            beneath.rename(staged, path)
        finally:
            with suppress(FileNotFoundError):
                beneath.unlink(staged)


# -- submodules ----------------------------------------------------------------------------------------------------


def submodules_of(tree: Path, start: str = "") -> dict[str, list[str]]:
    """Map the paths of a checkout's submodules to the names that ``.gitmodules`` has for them.

    A branch may give one path several names, or name a directory above a submodule: git chooses by rules of its own.
    """
    where = ("--blob", f"{start}:.gitmodules") if start else ("--file", str(tree / ".gitmodules"))
    if not start and not (tree / ".gitmodules").is_file():
        return {}
    words = ("config", *where, "-z", "--get-regexp", r"^submodule\..*\.path$")
    entries = git.fields(tree if start else "/", *words, ok=(0, 1, 128))
    found: dict[str, list[str]] = {}
    for key, _, path in (entry.partition("\n") for entry in entries):
        found.setdefault(path, []).append(key.removeprefix("submodule.").removesuffix(".path"))
    return found


def empty_submodules(project: Project, tree: Path, start: str = "") -> list[str]:
    """List the submodules that are filled in the main checkout and empty in a worktree."""
    return [
        path
        for path in submodules_of(tree if not start else project.main, start)
        if _is_wanted(project.main / path, tree / path)
    ]


def _is_wanted(there: Path, here: Path) -> bool:
    """Check whether a submodule is filled there and empty here; a link counts as filled."""
    return (there / ".git").exists() and not here.is_symlink() and not (here / ".git").exists()


def plan_submodules(project: Project, tree: Path, start: str = "") -> list[Action]:
    """Plan to fill a worktree's submodules that the main checkout has."""
    wanted = empty_submodules(project, tree, start)
    if not wanted:
        return []
    some = ", ".join(shown_path(path) for path in wanted)
    text = f"fill submodules of {project.short(tree)} from the main checkout: {some}"
    return [Action(text, lambda: "; ".join(fill_submodules(project.main, tree)))]


def fill_submodules(source: Path, target: Path) -> list[str]:
    """Fill the submodules of a checkout that another one has, at every depth.

    Each is fetched from where the other checkout's came from, whatever ``.gitmodules`` says in this one. Objects are
    copied, not shared: a garbage collection in one checkout must not take them from the other (decision 0059).
    """
    warnings = []
    named = submodules_of(target)
    listed = git.fields(target, "ls-files", "--stage", "-z") if named else []
    links = {entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")}
    for path, names in named.items():
        if path not in links or not _is_wanted(source / path, target / path):
            continue
        words = ["submodule", "--quiet", "update", "--init", "--checkout"]
        try:
            local = git.text(source / path, "rev-parse", "--path-format=absolute", "--git-common-dir")
            if git.text(source / path, "rev-parse", "--is-shallow-repository") == "false":
                words += ["--reference", local, "--dissociate"]
            address = git.text(source / path, "config", "--get", "remote.origin.url", ok=(0, 1)) or local
            urls = {f"submodule.{name}.url": address for name in names}
            origin = git.settings({**urls, "protocol.file.allow": "always"})
            git.set_up(target, *words, "--", path, env=origin)
        except PeercoordError as error:
            retry = f"git -C {pasted(target)} submodule update --init {pasted(path)}"
            warnings.append(f"submodule {shown_path(path)} is not filled ({error.message}); try: {retry}")
        else:
            warnings += fill_submodules(source / path, target / path)
    return warnings


# -- a task list that the repository tracks ------------------------------------------------------------------------


def plan_leave_out_list(project: Project, made: Plan, kept: str) -> None:
    """Plan to leave copies of a tracked task list out of the worktrees."""
    if not kept or os.path.isabs(kept) or kept.startswith(("~", "..")):
        return
    path = project.path(kept)
    if not git.fields(project.main, "ls-files", "-z", "--", path):
        return
    begin = len(made.actions)
    for instance in made.instances:
        with apart(made, instance.peer):
            git_dir, there = instance.git_dir, os.path.lexists(instance.worktree / path)
            if git_dir is not None and not there and excludes.is_out(git_dir, excludes.pattern(path)):
                continue
            if git_dir and isolated_git.is_indexed(git_dir) and _is_changed(project, instance, git_dir, path):
                made.notes.append(_own_changes(project, instance, path))
                continue
            text = f"leave {shown(path, 300)} out of {project.short(instance.worktree)}: its copy is not kept in step"
            made.actions.append(Action(text, partial(_leave_out_list, project, instance, path)))
    if len(made.actions) > begin:
        made.notes.append(
            f"{shown(path, 300)} is tracked, so each worktree would have a stale copy of it: it is left out there; "
            "agents get their tasks from coordinate.sh"
        )


def stale_copies(records: dict[str, Json], project: Path, kept: str) -> Iterator[tuple[str, str]]:
    """List the instances that have a copy of the list in step, each with its copy."""
    if not kept or os.path.isabs(kept) or kept.startswith(("~", "..")):
        return
    for peer, known in records.items():
        directory = str(known.get("worktree", ""))
        if not directory or directory == str(project):
            continue
        try:
            Beneath(directory).stat(kept)
        except OSError:
            continue
        yield peer, f"{directory}/{kept}"


def _is_changed(project: Project, instance: Instance, git_dir: Path, path: str) -> bool:
    if not os.path.lexists(instance.worktree / path):
        return False
    with inspection.of_worktree(project, instance.worktree, git_dir) as found:
        changes = found.changes("--untracked-files=all", "--", path)
    return bool(changes.entries or changes.unsure) or excludes.is_out(git_dir, excludes.pattern(path))


def _own_changes(project: Project, instance: Instance, path: str) -> str:
    return (
        f"{shown(path, 300)} in {project.short(instance.worktree)} was changed there, which no other worktree sees: "
        f"make these changes in {project.main / path}, remove the copy, and run this again"
    )


def _leave_out_list(project: Project, instance: Instance, path: str) -> str:
    git_dir = repository.git_dirs(project)[instance.worktree]
    if _is_changed(project, instance, git_dir, path):
        return _own_changes(project, instance, path)
    excludes.leave_out(project, instance.worktree, git_dir, excludes.pattern(path))
    return ""
