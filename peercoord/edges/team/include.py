"""``.worktreeinclude``: ignored files that a new worktree needs, such as ``.env``, copied from the main checkout.

The file lies in the main checkout's root and has the syntax of ``.gitignore``. A file is copied if it matches and git
ignores it: tracked files are in the worktree already. Nothing is ever overwritten; what was copied is recorded with
its digest, so that removal can tell a copy from somebody's work.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from peercoord.core import names
from peercoord.edges.team import git, record
from peercoord.edges.team.plan import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.team.repository import Project

FILE = ".worktreeinclude"
_OURS = (names.ROOT, names.INSTANCE)


def selected(project: Project, bank: str) -> list[str]:
    """List the files that ``.worktreeinclude`` selects, as paths from the main checkout's root.

    Args:
        project: The project.
        bank: The memory bank's path from the root: shared, so never copied; empty for none.
    """
    patterns = project.main / FILE
    if not patterns.is_file():
        return []
    words = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={patterns}")
    matching = [path for path in git.fields(project.main, *words) if not path.endswith("/") and not _shared(path, bank)]
    return git.ignored(project.main, matching)


def plan_copies(project: Project, tree: Path, chosen: list[str]) -> list[Action]:
    """Plan to copy what is missing in a worktree.

    Args:
        project: The project.
        tree: The worktree's root, there or about to be.
        chosen: What ``selected`` gave.
    """
    missing = [path for path in chosen if not os.path.lexists(tree / path)]
    if not missing:
        return []
    some = ", ".join(git.shown_path(path) for path in missing[:3]) + (", …" if len(missing) > 3 else "")
    count = "1 file" if len(missing) == 1 else f"{len(missing)} files"
    text = f"copy {count} by {FILE} into {project.short(tree)}: {some}"
    return [Action(text, lambda: _copy_all(project.main, tree, missing))]


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, or of what a link says."""
    if path.is_symlink():
        return hashlib.sha256(b"link " + os.fsencode(path.readlink())).hexdigest()
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def is_own_file(place: Path) -> bool:
    """Tell whether a file is there itself, not seen through a link such as the memory bank's."""
    return place.is_file() and not place.is_symlink() and Path(os.path.realpath(place.parent)) == place.parent


def _shared(path: str, bank: str) -> bool:
    return any(part in _OURS for part in path.split("/")) or (bool(bank) and f"{path}/".startswith(f"{bank}/"))


def _copy_all(main: Path, tree: Path, paths: list[str]) -> str:
    git_dir = Path(git.text(tree, "rev-parse", "--absolute-git-dir"))
    copied = dict(record.table(record.read_worktree(git_dir), "copied"))
    left = []
    for path in paths:
        source, target = main / path, tree / path
        # another branch may have a link where the main checkout has a directory: never write through it
        inside = Path(os.path.realpath(target.parent)).is_relative_to(tree)
        if not inside or not _copy(source, target, git_dir / "peercoord.copy"):
            left.append(path)
        elif path.isprintable():  # what a record cannot spell counts as somebody's own
            copied[path] = digest(target)
    record.note_worktree(git_dir, copied=copied)
    return f"not copied into {git.shown_path(tree)}: {', '.join(map(git.shown_path, left))}" if left else ""


def _copy(source: Path, target: Path, staged: Path) -> bool:
    """Copy one file or link, whole, unless something is there by now or the source is gone."""
    try:
        shutil.copy2(source, staged, follow_symlinks=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            return False
        shutil.move(staged, target)
    except (FileNotFoundError, FileExistsError, NotADirectoryError):
        return False
    finally:
        staged.unlink(missing_ok=True)
    return True
