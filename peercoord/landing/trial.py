"""A temporary tree in which work is merged and checked, outside every checkout.

Git runs here as an inspection runs it: no hook, filter, merge driver or monitor that the repository's configuration
names, for a coding agent may have written it. The one exception is signing, where the person's own settings (not the
repository's) ask for it. The objects go to the repository; until a branch leads to them nothing shows them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import inspection
from peercoord.store.isolated_git import Checkout, Inspection
from peercoord.store.refusals import refused
from peercoord.system import git as plain_git
from peercoord.system.git import GitError
from peercoord.worktree import landed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.store.project import Project

MINIMUM = (2, 38)  # merge-tree --write-tree
OUTPUT_LINES = 20  # of a failed check
_BUILT_IN = ("unspecified", "set", "unset", "text", "binary", "union")
_SIGNING = ("user.signingkey", "gpg.")
_SCOPES = ("system", "global", "command")  # whose settings a coding agent cannot write


@dataclass(slots=True)
class Merge:
    """What merging a commit gives."""

    tree: str = ""  # the merged tree; empty if it cannot be merged
    files: list[str] = field(default_factory=list)  # the files in conflict
    why: str = ""  # why it cannot be merged, where it is no conflict of content


class Trial:
    """A tree in which the branch is built up, commit by commit."""

    def __init__(self, git: Inspection, sub: str) -> None:
        self.git = git  # of that tree
        self.sub = sub  # the project's directory in it
        self.head = ""

    def move_to(self, commit: str) -> None:
        """Make the tree what a commit holds; files that git does not track stay."""
        with open(f"{self.git.home}/HEAD", "w", encoding="ascii") as file:
            file.write(f"{commit}\n")
        self.git.ask("read-tree", "--reset", "-u", commit)
        self.head = commit

    def merge(self, commit: str) -> Merge:
        """Merge a commit with the tree's own, without changing anything."""
        try:
            words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", self.head, commit)
            answer = self.git.ask(*words, ok=(0, 1))
        except GitError as error:
            return Merge(why=error.message)
        tree, *files = answer.out.split("\0")
        if answer.status:
            return Merge(files=list(dict.fromkeys(name for name in files if name)))
        driven = self._driven(commit)
        if driven:
            return Merge(files=driven, why="a merge driver is set for it, which only a person's own git runs")
        return Merge(tree)

    def _driven(self, commit: str) -> list[str]:
        """List the files that both sides changed and that a configured program would merge."""
        drivers = {
            key.removeprefix("merge.").removesuffix(".driver")
            for key in self.git.config
            if key.startswith("merge.") and key.endswith(".driver")
        }
        base = self.git.text("merge-base", self.head, commit, ok=(0, 1)) if drivers else ""
        if not base:
            return []
        ours, theirs = (landed.changed_paths(self.git, base, one) for one in (self.head, commit))
        named = "".join(f"{path}\0" for path in sorted(ours & theirs))
        facts = self.git.ask("check-attr", "-z", "--stdin", "merge", data=named).out.split("\0")
        found = zip(*[iter(facts)] * 3, strict=False)
        return [path for path, _, value in found if value not in _BUILT_IN and value in drivers]

    def commit(self, tree: str, second: str, message: str) -> str:
        """Make the merge commit of the tree's own commit and another one."""
        words = ["commit-tree", tree, "-p", self.head, "-p", second]
        env = self.git.identity()
        if self.git.signs_commits:
            words.insert(1, "-S")
            env |= plain_git.settings({**self.git.values, **_signing()})
        return self.git.ask(*words, data=message, env=env).out.strip()

    def check(self, command: str) -> tuple[bool, list[str]]:
        """Run a person's check in the tree; return whether it passed, and the last lines that it wrote."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        at = os.path.join(self.git.checkout.tree, self.sub)
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=at if os.path.isdir(at) else self.git.checkout.tree,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output.seek(max(0, output.seek(0, os.SEEK_END) - (1 << 16)))
            said = output.read().decode(errors="replace").splitlines()
        return done.returncode == 0, [*said[-OUTPUT_LINES:], *([] if said else [f"exit status {done.returncode}"])]


def _signing() -> dict[str, str]:
    """Read how this person signs, from settings that the repository cannot change."""
    own = {key: value for key, value in os.environ.items() if key.startswith("GIT_CONFIG_")}
    said = plain_git.ask_alone("/", "config", "--list", "--show-scope", "-z", env=own).out.split("\0")
    pairs = zip(*[iter(said)] * 2, strict=False)
    found = (entry.partition("\n") for scope, entry in pairs if scope in _SCOPES)
    return {key: value for key, _, value in found if key.startswith(_SIGNING)}


@contextmanager
def opened(project: Project, commit: str) -> Iterator[Trial]:
    """Check a commit out in a temporary tree, which is removed afterwards."""
    found = plain_git.version()
    if found < MINIMUM:
        had, wanted = (".".join(map(str, numbers)) for numbers in (found, MINIMUM))
        text = f"git {had} cannot merge outside a checkout"
        raise PeercoordError(text, f"install git {wanted} or later", code="old-git")
    with inspection.of_main(project) as main:
        try:
            made = tempfile.mkdtemp(prefix="peercoord-land-")
        except OSError as error:
            raise refused(error, "the temporary directory") from None
        try:
            trial = Trial(_apart(main, made), project.sub)
            trial.move_to(commit)
            yield trial
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _apart(main: Inspection, tree: str) -> Inspection:
    """Turn an inspection of the main checkout into one of an empty tree."""
    os.unlink(f"{main.home}/index")
    for name in os.listdir(main.home):
        if name.startswith("sharedindex."):
            os.unlink(f"{main.home}/{name}")
    with open(f"{tree}/.git", "w", encoding="utf-8") as pointer:  # for the git commands of a check
        pointer.write(f"gitdir: {main.home}\n")
    checkout = Checkout(tree, main.checkout.git_dir, main.checkout.common)
    return Inspection(checkout, main.home, main.values, main.filters, main.config)
