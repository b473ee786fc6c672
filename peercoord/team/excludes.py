"""Keep what the team adds out of git's sight: ``info/exclude``, ``.gitignore`` and sparse checkout.

All worktrees share ``info/exclude``. A plain pattern for the memory bank would also hide new files of a tracked bank,
so two lines hide the link alone: ``/memory-bank`` and ``!/memory-bank/`` (decision 0024). A user's ``.gitignore``
outranks ``info/exclude``, so our directories each carry a ``.gitignore`` of their own as well.

A tracked directory or file is left out of one worktree by sparse checkout: git then neither compares nor commits it.
``sparse.expectFilesOutsideOfPatterns`` stops git from taking files seen through the link for returned ones. These
settings hold for one worktree alone, which needs ``extensions.worktreeConfig``; turning it on moves ``core.bare`` and
``core.worktree`` to the main checkout's own file (git-worktree, CONFIGURATION FILE).
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import inspection, isolated_git, manifest, paths
from peercoord.system import git
from peercoord.system.git import shown_path
from peercoord.team.plan import Action, run
from peercoord.team.repository import instance_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project
    from peercoord.team.plan import Instance

_BEGIN = "# peercoord: begin (taken out again by: peercoord down --purge)"
_END = "# peercoord: end"
_JOINED = f"{_BEGIN} +"  # the file did not end with a newline before
NAMES = (paths.ROOT, paths.INSTANCE)
_EVERYTHING = b"*\n"
_OURS = tuple(f"{name}/" for name in NAMES)
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n(.*?){re.escape(_END)}\n", re.DOTALL)
_BLOCK_JOINED = re.compile(f"\n{re.escape(_JOINED)}\n(.*?){re.escape(_END)}\n", re.DOTALL)


def pattern(path: str) -> str:
    """Return the pattern that matches only this path of a checkout."""
    literal = re.sub(r"([\\*?\[])", r"\\\1", path)
    return f"/{literal[:-1]}\\ " if literal.endswith(" ") else f"/{literal}"


def hide(directory: Path) -> None:
    """Create a directory of ours with a ``.gitignore`` that hides it."""
    directory.mkdir(exist_ok=True)
    mark = directory / ".gitignore"
    if not mark.exists() or not mark.stat().st_size:
        manifest.put(mark, _EVERYTHING)


def hide_instance(instance: Instance) -> None:
    """Create and hide a worktree's ``.claude-instance/`` without following links."""
    instance_files(instance, "").claim_directory(paths.INSTANCE)
    files = instance_files(instance)
    seen = files.stat(".gitignore")
    if seen is None or seen.is_dir or not seen.size:
        files.replace(".gitignore", _EVERYTHING)


def plan_block(project: Project, bank: str, hidden: bool | None) -> list[Action]:
    """Plan the block in ``info/exclude``."""
    content = _read(project.common)
    outside, lines = _split(content)
    kept = [line for line in lines if line not in _OURS]
    if bank:
        link, directory = pattern(bank), f"!{pattern(bank)}/"
        if hidden is None and link in kept:
            hidden = directory not in kept
        elif hidden is None:
            asked = bank if (project.main / bank).is_symlink() else f"{bank}/"
            hidden = bool(git.ignored(project.main, [asked], also_tracked=True))
        kept = [line for line in kept if line not in (link, directory)]
        kept += [link] if hidden else [link, directory]
    wanted = [*_OURS, *kept]
    if lines == wanted:
        return []
    what = " and ".join(_OURS) + (f", and the link {bank}," if bank else "")
    return [Action(f"hide {what} from git status, in info/exclude", lambda: _write(project, outside, wanted))]


def plan_inner(project: Project, tree: Path) -> list[Action]:
    """Plan to hide a joined worktree inside the main checkout, unless it is hidden already."""
    inside = tree != project.main and tree.is_relative_to(project.main)
    if not inside or git.ignored(project.main, [f"{tree.relative_to(project.main)}/"]):
        return []
    text = f"hide {project.short(tree)}/ from the main checkout's git status, in info/exclude"
    return [Action(text, lambda: show_inner(project, tree, hide=True))]


def show_inner(project: Project, tree: Path, hide: bool = False) -> None:
    """Undo ``plan_inner``, or do it."""
    if tree == project.main or not tree.is_relative_to(project.main):
        return
    line = f"{pattern(str(tree.relative_to(project.main)))}/"
    outside, lines = _split(_read(project.common))
    others = [known for known in lines if known != line]
    at = len([known for known in others if known in _OURS])
    wanted = [*others[:at], line, *others[at:]] if hide else others
    if wanted != lines:
        _write(project, outside, wanted)


def plan_no_block(project: Project, bank: str, last: bool) -> list[Action]:
    """Plan to remove the block, or one project's lines if another team needs it."""
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
        text = f"{shown_path(path)} is a link, and what it leads to is not ours to change"
        hint = "put a copy in its place, then run the same command again"
        raise PeercoordError(text, hint)
    return os.fsdecode(path.read_bytes()) if path.is_file() else ""


def _split(content: str) -> tuple[str, list[str]]:
    """Split the file's text into what is outside our block and the lines inside."""
    for block in (_BLOCK_JOINED, _BLOCK):
        found = block.search(content)
        if found:
            before, after = content[: found.start()], content[found.end() :]
            between = "\n" if after and before and not before.endswith("\n") else ""
            return before + between + after, git.lines(found[1])
    return content, []


def _write(project: Project, outside: str, lines: Iterable[str]) -> None:
    path = _file(project.common)
    body = "".join(f"{line}\n" for line in lines)
    made = [name for name in ("info", "info/exclude") if not (project.common / name).exists()]
    if body and made:
        manifest.note_team(project.common, exclude_made=made)
    path.parent.mkdir(exist_ok=True)
    if body and outside and not outside.endswith("\n"):
        outside += f"\n{_JOINED}\n{body}{_END}\n"
    elif body:
        outside += f"{_BEGIN}\n{body}{_END}\n"
    made = [] if outside else manifest.read_team(project.common).get("exclude_made") or []
    if "info/exclude" in made:
        path.unlink()
    else:
        manifest.put(path, os.fsencode(outside))
    if "info" in made and not any(path.parent.iterdir()):
        path.parent.rmdir()


# -- files that a worktree leaves out ------------------------------------------------------------------------------


EXTENSION = "extensions.worktreeConfig"
_SPARSE, _CONE = "core.sparseCheckout", "core.sparseCheckoutCone"
_EXPECT = "sparse.expectFilesOutsideOfPatterns"
_MAIN_ONLY = ("core.bare", "core.worktree")


def plan_extension(project: Project) -> list[Action]:
    """Plan to turn on settings per worktree, if they are off."""
    if _get(project.common, EXTENSION) == "true":
        return []
    return [Action(f"turn on {EXTENSION}, for settings of one worktree alone", lambda: _turn_on(project))]


def plan_no_extension(project: Project) -> list[Action]:
    """Plan to turn settings per worktree off again if set-up turned them on."""
    if "worktree_config" not in manifest.read_team(project.common) or _get(project.common, EXTENSION) != "true":
        return []
    return [Action(f"turn {EXTENSION} off again, unless something else uses it", lambda: _turn_off(project))]


def is_out(git_dir: Path, pattern: str) -> bool:
    """Check whether ``leave_out`` was done for a pattern in a worktree."""
    config = git_dir / "config.worktree"
    told = all(_in_file(config, key) == "true" for key in (_SPARSE, _EXPECT))
    return told and _in_file(config, _CONE) == "false" and f"!{pattern}" in _patterns(git_dir)


def leave_out(project: Project, tree: Path, git_dir: Path, pattern: str) -> None:
    """Leave a file out of a worktree, or a directory if the pattern ends with a slash; changed files stay."""
    if not is_out(git_dir, pattern):
        run(plan_extension(project))
        config = git_dir / "config.worktree"
        own, common = (_in_file(file, _SPARSE) for file in (config, project.common / "config"))
        on = (own or common) == "true"
        before = _patterns(git_dir) if on else []
        if "sparse" not in manifest.read_worktree(git_dir):
            cone = (_in_file(config, _CONE) or _in_file(project.common / "config", _CONE)) if on else ""
            manifest.note_worktree(git_dir, sparse={"patterns": before, "cone": cone})
        values = {_SPARSE: "true", _CONE: "false", _EXPECT: "true"}
        _set_sparse(git_dir, [*(before or ["/*"]), f"!{pattern}"], values)
    if isolated_git.is_indexed(git_dir):
        with inspection.of_worktree(project, tree, git_dir) as found:
            found.leave_out(_patterns(git_dir))


def take_back(found: Inspection, git_dir: Path) -> None:
    """Undo ``leave_out`` and restore the patterns from before."""
    known = manifest.table(manifest.read_worktree(git_dir), "sparse")
    if not known:
        return
    patterns, cone = list(known.get("patterns") or []), str(known.get("cone") or "false")
    found.leave_out(patterns or ["/*"], cone == "true")
    if patterns:
        _set_sparse(git_dir, patterns, {_CONE: cone, _EXPECT: ""})
    else:
        _set_sparse(git_dir, [], dict.fromkeys((_SPARSE, _CONE, _EXPECT, "index.sparse"), ""))
    files = manifest.beneath(git_dir)
    config = files.peek("config.worktree")
    if config is not None and not config.strip():
        files.remove("config.worktree")


def _set_sparse(git_dir: Path, patterns: list[str], values: dict[str, str]) -> None:
    """Write a worktree's sparse patterns and settings; empty ones are removed."""
    files = manifest.beneath(git_dir)
    with tempfile.TemporaryDirectory(prefix="peercoord-git-") as home:
        config = Path(home, "config")  # a copy: git would follow a link in its place
        config.write_bytes(files.peek("config.worktree") or b"")
        for key, value in values.items():
            words = (key, value) if value else ("--unset-all", key)
            git.ask("/", "config", "--file", str(config), *words, ok=(0, 5))
        files.replace("config.worktree", config.read_bytes(), durable=True)
    if patterns:
        files.beneath.make_directories("info")
        text = "".join(f"{line}\n" for line in patterns).encode(errors="surrogateescape")
        files.replace("info/sparse-checkout", text, durable=True)
    else:
        files.remove("info/sparse-checkout")


def _patterns(git_dir: Path) -> list[str]:
    found = manifest.beneath(git_dir).peek("info/sparse-checkout") or b""
    return git.lines(found.decode("utf-8", "surrogateescape"))


def _get(common: Path, key: str) -> str:
    """Read a setting shared by all checkouts."""
    return _in_file(common / "config", key)


def _in_file(config: Path, key: str) -> str:
    if not config.is_file():
        return ""
    value = git.text("/", "config", "--file", str(config), "--get", key, ok=(0, 1))
    return value.lower() if value.lower() in ("true", "false") else value


def _turn_on(project: Project) -> None:
    common, own = project.common / "config", project.common / "config.worktree"
    found = {key: _get(project.common, key) for key in _MAIN_ONLY}
    moved = {key: value for key, value in found.items() if value and (key, value) != ("core.bare", "false")}
    manifest.note_team(project.common, worktree_config={"moved": moved, "file": own.exists()})
    for key, value in moved.items():
        git.ask(project.common, "config", "--file", str(own), key, value)
    manifest.settle(own)
    git.ask(project.common, "config", "--file", str(common), EXTENSION, "true")
    for key in moved:
        git.ask(project.common, "config", "--file", str(common), "--unset", key)
    manifest.settle(common)


def _turn_off(project: Project) -> str:
    common, own = project.common / "config", project.common / "config.worktree"
    known = manifest.table(manifest.read_team(project.common), "worktree_config")
    moved, users = manifest.table(known, "moved"), []
    for git_dir in project.common.glob("worktrees/*"):
        files = manifest.beneath(git_dir)
        content = files.peek("config.worktree") if files.stat("config.worktree") is not None else b""
        if content is None or content.strip():  # what cannot be read may hold some
            users.append(git_dir / "config.worktree")
    if own.is_file():
        listed = git.fields(project.common, "config", "--file", str(own), "--list", "--name-only", "-z")
        users += [own] if set(listed) - {key.lower() for key in moved} else []
    if users:
        return f"{EXTENSION} stays on: {shown_path(users[0])} has settings of its own"
    for key, value in moved.items():
        git.ask(project.common, "config", "--file", str(common), key, value)
    git.ask(project.common, "config", "--file", str(common), "--unset", EXTENSION, ok=(0, 5))
    manifest.settle(common)
    if not known.get("file"):
        own.unlink(missing_ok=True)
    return ""
