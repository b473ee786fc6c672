"""The leader's commit of what it merged, where ``memory.commit`` is on and the repository tracks the bank.

Only the documents that were merged are committed, whatever else is staged; nothing is committed where a person is in
the midst of something that a commit would become part of (a merge, a rebase, a bisection), or has staged one of these
documents. Hooks of the repository do not run. What a person edited in the same document and did not commit goes in
with it: a file is committed whole. If it cannot be done it is said why, and the merge stands: the next one tries again.
"""

from __future__ import annotations

import os

from peercoord.core.errors import PeercoordError
from peercoord.edges.team import git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.roles.bank import Bank

_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}


def commit(bank: Bank, documents: Sequence[str], by: str) -> tuple[str, str]:
    """Commit documents.

    Args:
        bank: The memory bank.
        documents: Their names.
        by: The peer that merged them.

    Returns:
        The commit, empty if there is none; and what people should know, empty if nothing.
    """
    place = str(getattr(bank.files.disk, "root", ""))
    try:
        return _commit(place, documents, by)
    except PeercoordError as error:
        return "", f"the memory bank was merged but not committed: {error.message}"


def _commit(place: str, documents: Sequence[str], by: str) -> tuple[str, str]:
    tracked = git.fields(place, "ls-files", "-z", "--", ".")
    if not tracked:
        return "", ""  # the repository does not track the bank
    busy = next((word for name, word in _UNDER_WAY.items() if _there(place, name)), "")
    if busy:
        return "", f"the memory bank was not committed: {busy} is under way in the main checkout"
    staged = git.fields(place, "diff", "--cached", "--name-only", "--relative", "-z", "--", *documents)
    if staged:
        return "", f"the memory bank was not committed: {git.shown_path(staged[0])} is staged by someone"
    hidden = git.ignored(place, documents)
    new = [name for name in documents if name not in tracked and name not in hidden and _there_is(place, name)]
    paths = [name for name in documents if name in tracked] + new
    if not paths or not git.ask(place, "status", "--porcelain", "--", *paths).out:
        return "", ""
    if new:
        git.ask(place, "add", "--intent-to-add", "--", *new)
    try:
        words = f"memory bank: merged by {by}"
        git.ask(place, "commit", "--quiet", "--only", "--no-verify", "-m", words, "--", *paths)
    except PeercoordError:
        if new:
            git.ask(place, "reset", "--quiet", "--", *new)
        raise
    return git.text(place, "rev-parse", "HEAD"), ""


def _there(place: str, name: str) -> bool:
    return os.path.exists(git.text(place, "rev-parse", "--path-format=absolute", "--git-path", name))


def _there_is(place: str, name: str) -> bool:
    return os.path.isfile(f"{place}/{name}")
