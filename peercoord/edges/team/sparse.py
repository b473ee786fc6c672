"""Keeping a tracked directory out of one worktree, so that a link can stand in its place and git sees no change.

Sparse checkout does it: entries that the patterns leave out are marked in the index and never compared, written or
committed, and merges, stashes and branch switches pass them by. ``sparse.expectFilesOutsideOfPatterns`` keeps git
from taking the files that it sees through the link for ones that returned.

All of it must hold for one worktree alone, which needs ``extensions.worktreeConfig``. Turning that on has a rule
(git-worktree, CONFIGURATION FILE): ``core.bare`` and ``core.worktree`` meant the main checkout only, and must move to
its own file. Patterns that the main checkout has, git copies into a new worktree; ours is added to them.
"""

from __future__ import annotations

from pathlib import Path

from peercoord.edges.team import git, record
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.team.repository import Project

_EXTENSION = "extensions.worktreeConfig"
_SPARSE, _CONE = "core.sparseCheckout", "core.sparseCheckoutCone"
_EXPECT = "sparse.expectFilesOutsideOfPatterns"
_MAIN_ONLY = ("core.bare", "core.worktree")


def plan_extension(project: Project) -> list[Action]:
    """Plan to turn on settings of one worktree alone; nothing if they are on."""
    if _get(project.common, _EXTENSION) == "true":
        return []
    return [Action(f"turn on {_EXTENSION}, for settings of one worktree alone", lambda: _turn_on(project))]


def plan_no_extension(project: Project) -> list[Action]:
    """Plan to turn them off again, if it was us who turned them on; decided when nobody uses them any more."""
    if "worktree_config" not in record.read_team(project.common) or _get(project.common, _EXTENSION) != "true":
        return []
    return [Action(f"turn {_EXTENSION} off again, unless something else uses it", lambda: _turn_off(project))]


def is_out(git_dir: Path, pattern: str) -> bool:
    """Tell whether a worktree leaves the directory of a pattern out, as ``leave_out`` does it."""
    config = git_dir / "config.worktree"
    told = all(_in_file(config, key) == "true" for key in (_SPARSE, _EXPECT))
    return told and _in_file(config, _CONE) == "false" and f"!{pattern}/" in _patterns(git_dir)


def leave_out(project: Project, tree: Path, pattern: str) -> None:
    """Leave a directory out of a worktree. What is in it and changed stays where it is.

    Args:
        project: The project.
        tree: Root of the worktree.
        pattern: The directory, as ``excludes.pattern`` writes it.
    """
    git_dir = Path(git.text(tree, "rev-parse", "--absolute-git-dir"))
    if is_out(git_dir, pattern):
        if (git_dir / "index").exists():
            git.ask(tree, "sparse-checkout", "reapply")
        return
    run(plan_extension(project))
    on = git.text(tree, "config", "--type=bool", "--get", _SPARSE, ok=(0, 1)) == "true"
    before = _patterns(git_dir) if on else []
    if "sparse" not in record.read_worktree(git_dir):
        cone = git.text(tree, "config", "--type=bool", "--get", _CONE, ok=(0, 1)) if on else ""
        record.note_worktree(git_dir, sparse={"patterns": before, "cone": cone})
    git.ask(tree, "config", "--worktree", _EXPECT, "true")
    _set(tree, [*(before or ["/*"]), f"!{pattern}/"])


def take_back(tree: Path, git_dir: Path) -> None:
    """Undo ``leave_out``: the worktree has the patterns it had before, or none."""
    known = record.table(record.read_worktree(git_dir), "sparse")
    if not known:
        return
    if known.get("patterns"):
        _set(tree, list(known["patterns"]))
        git.ask(tree, "config", "--worktree", _CONE, str(known.get("cone") or "false"))
        git.ask(tree, "config", "--worktree", "--unset", _EXPECT, ok=(0, 5))
    else:
        git.ask(tree, "sparse-checkout", "disable")
        (git_dir / "info" / "sparse-checkout").unlink(missing_ok=True)
        for key in (_SPARSE, _CONE, _EXPECT, "index.sparse"):
            git.ask(tree, "config", "--worktree", "--unset", key, ok=(0, 5))
    config = git_dir / "config.worktree"
    if config.is_file() and not config.read_bytes().strip():
        config.unlink()


def _set(tree: Path, patterns: list[str]) -> None:
    # a pattern may hold any byte but a newline, so they go through standard input
    git.ask(tree, "sparse-checkout", "set", "--no-cone", "--stdin", data="".join(f"{line}\n" for line in patterns))


def _patterns(git_dir: Path) -> list[str]:
    path = git_dir / "info" / "sparse-checkout"
    return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if path.is_file() else []


def _get(common: Path, key: str) -> str:
    """Read a setting that all checkouts share."""
    return _in_file(common / "config", key)


def _in_file(config: Path, key: str) -> str:
    if not config.is_file():
        return ""
    value = git.text(config.parent, "config", "--file", str(config), "--get", key, ok=(0, 1))
    return value.lower() if value.lower() in ("true", "false") else value


def _turn_on(project: Project) -> str:
    common, own = project.common / "config", project.common / "config.worktree"
    found = {key: _get(project.common, key) for key in _MAIN_ONLY}
    moved = {key: value for key, value in found.items() if value and (key, value) != ("core.bare", "false")}
    record.note_team(project.common, worktree_config={"moved": moved, "file": own.exists()})
    for key, value in moved.items():
        git.ask(project.common, "config", "--file", str(own), key, value)
    git.ask(project.common, "config", "--file", str(common), _EXTENSION, "true")
    for key in moved:
        git.ask(project.common, "config", "--file", str(common), "--unset", key)
    return ""


def _turn_off(project: Project) -> str:
    common, own = project.common / "config", project.common / "config.worktree"
    known = record.table(record.read_team(project.common), "worktree_config")
    moved = record.table(known, "moved")
    users = [path for path in project.common.glob("worktrees/*/config.worktree") if path.read_bytes().strip()]
    if own.is_file():
        listed = git.fields(project.common, "config", "--file", str(own), "--list", "--name-only", "-z")
        users += [own] if set(listed) - {key.lower() for key in moved} else []
    if users:
        return f"{_EXTENSION} stays on: {shown_path(users[0])} has settings of its own"
    for key, value in moved.items():
        git.ask(project.common, "config", "--file", str(common), key, value)
    git.ask(project.common, "config", "--file", str(common), "--unset", _EXTENSION, ok=(0, 5))
    if not known.get("file"):
        own.unlink(missing_ok=True)
    return ""
