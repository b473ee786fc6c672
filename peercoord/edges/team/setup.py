"""What runs in a worktree after it is made: the repository's ``post-checkout`` hook, and the user's set-up command.

Both are other people's programs: they fail, and the worktree is good all the same. So they run last, once everything
is in its place, and a failure is a warning. The set-up command's fate is recorded and the next run tries it again.
"""

from __future__ import annotations

import os
from pathlib import Path

from peercoord.core.ids import shown
from peercoord.edges.team import excludes, git, record
from peercoord.edges.team.git import GitError, shown_path
from peercoord.edges.team.plan import Action, Seat
from peercoord.edges.team.seats import instance_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.edges.team.repository import Project

INDEX = "PEERCOORD_INSTANCE_INDEX"
LOG = "setup.log"


def plan_hook(project: Project, seat: Seat) -> list[Action]:
    """Plan to run the repository's ``post-checkout`` hook in a new worktree, if it has one."""
    if not git.has_hook(project.main, "post-checkout"):
        return []
    text = f"run the repository's post-checkout hook in {project.short(seat.worktree)}"
    return [Action(text, lambda: _hook(seat.worktree))]


def plan_command(project: Project, seat: Seat, command: Sequence[str]) -> list[Action]:
    """Plan to run the user's set-up command in a worktree; nothing if there is none."""
    if not command:
        return []
    import shlex

    text = f"run in {project.short(seat.worktree)}: {shown_path(shlex.join(command))}"
    return [Action(text, lambda: _run(seat, list(command)))]


def plan_again(project: Project, seat: Seat, git_dir: Path, command: Sequence[str]) -> list[Action]:
    """Plan to run the set-up command where it did not succeed when the worktree was new."""
    known = record.table(record.read_worktree(git_dir), "setup")
    if not known or known.get("status") == 0:
        return []
    return plan_command(project, seat, command or known.get("command") or ())


def _hook(tree: Path) -> str:
    head = git.text(tree, "rev-parse", "HEAD")
    try:
        git.hook(tree, "post-checkout", "0" * len(head), head, "1")
    except GitError as error:
        return f"{error.message}; the worktree is made all the same"
    return ""


def _run(seat: Seat, command: list[str]) -> str:
    import subprocess

    excludes.hide(instance_dir(seat))
    log = instance_dir(seat) / LOG
    with log.open("wb") as output:
        try:
            status = subprocess.run(
                command,
                cwd=seat.directory,
                env={**os.environ, INDEX: str(seat.index)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        except OSError as error:
            output.write(f"{command[0]}: {error.strerror}\n".encode())
            status = 127
    git_dir = Path(git.text(seat.worktree, "rev-parse", "--absolute-git-dir"))
    record.note_worktree(git_dir, setup={"command": command, "status": status})
    if not status:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line for line in reversed(lines) if line.strip()), "no output")
    return (
        f"{shown(command[0])} failed in {shown_path(seat.worktree)} (status {status}): {shown(said)}; all of it: {log}"
    )
