"""Keep what is not committed in a checkout as a commit of its own, without running anything of that checkout.

The files are read here, never through a link, and stored as they lie: no filter, hook or driver of the repository runs.
Index, branch and files stay as they are. Nothing removes what was kept but a person.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from peercoord.store.beneath import Beneath

if TYPE_CHECKING:
    from peercoord.store.isolated_git import Inspection

FILES_MOST = 1000
BYTES_MOST = 50 << 20  # of one file
WHO = {
    "GIT_AUTHOR_NAME": "peercoord",
    "GIT_AUTHOR_EMAIL": "peercoord@localhost",
    "GIT_COMMITTER_NAME": "peercoord",
    "GIT_COMMITTER_EMAIL": "peercoord@localhost",
}


def reference(task: str, epoch: int) -> str:
    """Return the name under which the work on one claim of a task is kept."""
    return f"refs/peercoord/kept/{task}-{epoch}"


def keep(git: Inspection, ref: str, message: str) -> bool:
    """Keep what is not committed in a checkout, without ignored files; ``False`` if there is nothing to keep.

    ``ref`` is the name to keep it under; what it named before is replaced.
    """
    head = git.text("rev-parse", "-q", "--verify", "HEAD^{commit}", ok=(0, 1))
    found = git.changes("--untracked-files=all")
    entries = _stored(git, [*found.paths(), *found.unsure][:FILES_MOST], "0" * (len(head) or 40))
    if not entries:
        return False
    index = {"GIT_INDEX_FILE": f"{git.home}/kept-index"}
    git.ask("read-tree", head or "--empty", env=index)
    git.ask("update-index", "-z", "--index-info", data="".join(entries), env=index)
    tree = git.ask("write-tree", env=index).out.strip()
    parent = ["-p", head] if head else []
    commit = git.ask("commit-tree", tree, *parent, "-m", message, env=WHO).out.strip()
    git.ask("update-ref", ref, commit)
    return True


def _stored(git: Inspection, paths: list[str], none: str) -> list[str]:
    """Store the content of files; return a line for each, as the index takes it. What is no file is left out."""
    beneath = Beneath(git.checkout.tree)
    copies: list[tuple[str, str]] = []
    modes: list[str] = []
    entries: list[str] = []
    for path in paths:
        copy = f"{git.home}/kept-{len(copies)}"
        try:
            mode = _copied(beneath, path, copy)
        except FileNotFoundError:
            entries.append(f"0 {none}\t{path}\0")
        except OSError:
            continue  # a link in its path, another name of a file elsewhere, no right to read
        else:
            if mode:
                copies.append((copy, path))
                modes.append(mode)
    if copies:
        named = "".join(f"{copy}\n" for copy, _ in copies)
        stored = git.ask("hash-object", "-w", "--no-filters", "--stdin-paths", data=named).out.split()
        facts = zip(modes, stored, copies, strict=True)
        entries += [f"{mode} {name}\t{path}\0" for mode, name, (_, path) in facts]
    return entries


def _copied(beneath: Beneath, path: str, copy: str) -> str:
    """Copy a file to where git may read it; return its mode for git, empty if it is no file or too large."""
    seen = beneath.lstat(path)
    if stat.S_ISLNK(seen.st_mode):
        with open(copy, "wb") as file:
            file.write(os.fsencode(beneath.read_link(path)))
        return "120000"
    if not stat.S_ISREG(seen.st_mode) or seen.st_size > BYTES_MOST:
        return ""
    with open(beneath.open(path, os.O_RDONLY), "rb") as source, open(copy, "wb") as file:
        file.write(source.read(BYTES_MOST))
    return "100755" if seen.st_mode & 0o100 else "100644"
