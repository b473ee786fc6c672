"""A project in a git repository, and one checkout of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from peercoord.system.git import shown_path


@dataclass(frozen=True, slots=True)
class Worktree:
    """One checkout of the repository, as git's list has it."""

    path: Path  # its root
    git_dir: Path  # its own git directory
    head: str  # the commit it stands on; empty before the first one
    branch: str  # its branch without ``refs/heads/``; empty when detached
    locked: str | None  # why it is locked; ``None`` if it is not
    missing: bool  # its directory is gone


@dataclass(frozen=True, slots=True)
class Project:
    """A project in a repository."""

    main: Path  # root of the main checkout
    sub: str  # the project's directory below the root of every checkout, with ``/``; empty if it is the root
    common: Path  # the git directory that all checkouts share
    here: Path  # root of the checkout that was asked about
    shallow: bool  # the history is cut off (a shallow clone)

    @property
    def directory(self) -> Path:
        """The project in the main checkout."""
        return self.main / self.sub

    @property
    def name(self) -> str:
        """The project's name: that of its directory."""
        return self.directory.name or "project"

    def path(self, name: str) -> str:
        """Return the path, from a checkout's root, of something in the project."""
        return f"{self.sub}/{name}" if self.sub else name

    def short(self, path: Path) -> str:
        """Write a path for people, from the main checkout where that is shorter."""
        return shown_path(min(os.path.relpath(path, self.main), str(path), key=len))
