"""Keeping ``git status`` as it was: a marked block in ``info/exclude``, and a ``.gitignore`` of their own inside.

``info/exclude`` belongs to all worktrees, so a plain pattern for the memory bank would hide new files of a bank that
the repository tracks. The pair ``/memory-bank`` and ``!/memory-bank/`` does not: the second line matches directories
only, so a link of that name is hidden and the directory in the main checkout is not. A bank that was ignored before
(by a person's global excludes, say) gets only the first line and stays ignored.

The user's ``.gitignore`` outranks ``info/exclude``; one that un-ignores directories would bring ours into view. A
``.gitignore`` inside a directory outranks both, so our two directories each carry one that says ``*``. The block is
needed all the same: it keeps git from walking through them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from peercoord.core import names
from peercoord.core.errors import PeercoordError
from peercoord.edges.team import git, record
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.edges.team.repository import Project

_BEGIN = "# peercoord: begin (taken out again by: peercoord down --purge)"
_END = "# peercoord: end"
_JOINED = f"{_BEGIN} +"  # the file did not end with a newline before
NAMES = (names.ROOT, names.INSTANCE)
_OURS = tuple(f"{name}/" for name in NAMES)
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n(.*?){re.escape(_END)}\n", re.DOTALL)
_BLOCK_JOINED = re.compile(f"\n{re.escape(_JOINED)}\n(.*?){re.escape(_END)}\n", re.DOTALL)


def pattern(path: str) -> str:
    """Write a path from the root of a checkout as a pattern that matches it alone."""
    literal = re.sub(r"([\\*?\[])", r"\\\1", path)
    return f"/{literal[:-1]}\\ " if literal.endswith(" ") else f"/{literal}"


def hide(directory: Path) -> None:
    """Make a directory of ours invisible to git whatever the user's ``.gitignore`` says; make it if it is missing."""
    directory.mkdir(exist_ok=True)
    mark = directory / ".gitignore"
    if not mark.exists():
        record.put(mark, b"*\n")


def plan_block(project: Project, bank: str, hidden: bool | None) -> list[Action]:
    """Plan the block in ``info/exclude``.

    Args:
        project: The project.
        bank: The memory bank's path from the root of a checkout; empty for none.
        hidden: Whether the bank's directory itself is to be hidden; ``None``: as the user had it before.

    Returns:
        One action, or none if the block is right.
    """
    content = _read(project.common)
    outside, lines = _split(content)
    kept = [line for line in lines if line not in _OURS]
    if bank:
        link, directory = pattern(bank), f"!{pattern(bank)}/"
        if hidden is None:
            hidden = directory not in kept if link in kept else _is_ignored(project, bank)
        kept = [line for line in kept if line not in (link, directory)]
        kept += [link] if hidden else [link, directory]
    wanted = [*_OURS, *kept]
    if lines == wanted:
        return []
    what = " and ".join(_OURS) + (f", and the link {bank}," if bank else "")
    return [Action(f"hide {what} from git status, in info/exclude", lambda: _write(project, outside, wanted))]


def plan_inner(project: Project, tree: Path) -> list[Action]:
    """Plan to hide a joined worktree that lies inside the main checkout, unless the user hides it already."""
    line = _inner(project, tree)
    if not line or git.ignored(project.main, [f"{tree.relative_to(project.main)}/"]):
        return []
    text = f"hide {project.short(tree)}/ from the main checkout's git status, in info/exclude"
    return [Action(text, lambda: _edit(project, line, add=True))]


def show_inner(project: Project, tree: Path) -> None:
    """Take back what ``plan_inner`` added."""
    line = _inner(project, tree)
    if line:
        _edit(project, line, add=False)


def _inner(project: Project, tree: Path) -> str:
    inside = tree != project.main and tree.is_relative_to(project.main)
    return f"{pattern(str(tree.relative_to(project.main)))}/" if inside else ""


def _edit(project: Project, line: str, add: bool) -> str:
    outside, lines = _split(_read(project.common))
    others = [known for known in lines if known != line]
    at = len([known for known in others if known in _OURS])
    wanted = [*others[:at], line, *others[at:]] if add else others
    if wanted != lines:
        _write(project, outside, wanted)
    return ""


def plan_no_block(project: Project, bank: str, last: bool) -> list[Action]:
    """Plan to take the block out again, or a project's lines of it while the repository has another team.

    Args:
        project: The project.
        bank: The memory bank's path from the root of a checkout; empty for none.
        last: No other project of the repository has a team.
    """
    outside, lines = _split(_read(project.common))
    if not lines:
        return []
    own = {pattern(bank), f"!{pattern(bank)}/"} if bank else set()
    rest = [] if last else [line for line in lines if line not in own]
    if rest == lines:
        return []
    return [Action("take our lines out of .git/info/exclude", lambda: _write(project, outside, rest))]


def _file(common: Path) -> Path:
    return common / "info" / "exclude"


def _read(common: Path) -> str:
    path = _file(common)
    if path.is_symlink():
        raise PeercoordError(
            f"{shown_path(path)} is a link, and what it leads to is not ours to change",
            "put a copy in its place, then run the same command again",
        )
    return os.fsdecode(path.read_bytes()) if path.is_file() else ""


def _split(content: str) -> tuple[str, list[str]]:
    """Take our block out of the file: what is outside of it, as it was, and the lines inside."""
    for block in (_BLOCK_JOINED, _BLOCK):
        found = block.search(content)
        if found:
            before, after = content[: found.start()], content[found.end() :]
            between = "\n" if after and before and not before.endswith("\n") else ""
            return before + between + after, found[1].splitlines()
    return content, []


def _write(project: Project, outside: str, lines: Iterable[str]) -> str:
    path = _file(project.common)
    body = "".join(f"{line}\n" for line in lines)
    made = [name for name in ("info", "info/exclude") if not (project.common / name).exists()]
    if body and made:
        record.note_team(project.common, exclude_made=made)
    path.parent.mkdir(exist_ok=True)
    if body and outside and not outside.endswith("\n"):
        outside += f"\n{_JOINED}\n{body}{_END}\n"
    elif body:
        outside += f"{_BEGIN}\n{body}{_END}\n"
    if outside or body:
        record.put(path, os.fsencode(outside))
    else:
        _remove(project.common)
    return ""


def _remove(common: Path) -> None:
    made = record.read_team(common).get("exclude_made") or []
    if "info/exclude" in made:
        _file(common).unlink()
    else:
        record.put(_file(common), b"")
    if "info" in made and not any(_file(common).parent.iterdir()):
        _file(common).parent.rmdir()


def _is_ignored(project: Project, bank: str) -> bool:
    asked = bank if (project.main / bank).is_symlink() else f"{bank}/"
    return bool(git.ignored(project.main, [asked], also_tracked=True))
