"""Run the repository's ``post-checkout`` hook and the user's set-up command in a new worktree.

Both are other people's programs. They run last, and a failure is a warning: the worktree is complete without them. How
the set-up command ended is recorded, but the command is never taken from that record, since a coding agent may write
it: the user names the command again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.foreign import shown
from peercoord.store import manifest
from peercoord.system import git
from peercoord.system.git import GitError, shown_path
from peercoord.team import excludes, repository
from peercoord.team.plan import Action, Instance
from peercoord.team.repository import instance_dir, instance_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from peercoord.store.project import Project

INDEX = "PEERCOORD_INSTANCE_INDEX"
LOG = "setup.log"


def plan_hook(project: Project, instance: Instance) -> list[Action]:
    """Plan to run the repository's ``post-checkout`` hook in a new worktree."""
    if not git.has_hook(project.main, "post-checkout"):
        return []

    def run() -> str:
        head = git.text(instance.worktree, "rev-parse", "HEAD")
        try:
            git.hook(instance.worktree, "post-checkout", "0" * len(head), head, "1")
        except GitError as error:
            return f"{error.message}; the worktree was created anyway"
        return ""

    return [Action(f"run the repository's post-checkout hook in {project.short(instance.worktree)}", run)]


def plan_command(project: Project, instance: Instance, command: Sequence[str]) -> list[Action]:
    """Plan to run the user's set-up command in a worktree."""
    if not command:
        return []
    import shlex

    text = f"run in {project.short(instance.worktree)}: {shown_path(shlex.join(command))}"
    return [Action(text, lambda: _run(project, instance, list(command)))]


def is_unfinished(git_dir: Path) -> bool:
    """Check whether a worktree's set-up command did not succeed."""
    known = manifest.table(manifest.read_worktree(git_dir), "setup")
    return bool(known) and known.get("status") != 0


def _run(project: Project, instance: Instance, command: list[str]) -> str:
    import subprocess

    excludes.hide_instance(instance)
    files = instance_files(instance)
    files.replace(LOG, b"")
    output = files.beneath.open(LOG, os.O_WRONLY | os.O_APPEND)
    try:
        status = subprocess.run(
            command,
            cwd=instance.directory,
            env={**os.environ, INDEX: str(instance.index)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    except OSError as error:
        os.write(output, f"{command[0]}: {error.strerror}\n".encode())
        status = 127
    finally:
        os.close(output)
    git_dir = repository.git_dirs(project)[instance.worktree]
    manifest.note_worktree(git_dir, setup={"command": command, "status": status})
    if not status:
        return ""
    lines = files.read_tail(LOG).decode("utf-8", "replace").split("\n")
    said = next((line for line in reversed(lines) if line.strip()), "no output")
    log = instance_dir(instance) / LOG
    where = shown_path(instance.worktree)
    return f"{shown(command[0])} failed in {where} (status {status}): {shown(said)}; all of it: {log}"
