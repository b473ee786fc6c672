"""The command that brings the work of a finished dependency into the worktree of a task that needs it.

The commit was recorded when the dependency was reported done. Since then its branch may have grown, or been amended,
rebased, renamed, merged, squashed or deleted, and may hold work of other tasks. So git is asked when the task is handed
out. If the work is not here, the branch as it is now brings it, or else the commit. A note says what else that would
bring. If git cannot tell, the work counts as missing.

After a landing (``peercoord land``) the branch with the landed work is named too, until it is merged.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import named
from peercoord.store import ids, inspection, instance_records, landings, paths
from peercoord.system import gitdirs
from peercoord.system.git import MARKED_TIPS, tips
from peercoord.worktree import landed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.landings import Landing

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PLAIN_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*[a-z0-9]")  # needs no quoting, in no shell
_CLAIMS_MOST = 50  # newest claims of an instance that are checked for other work on its branch
_ALIKE_MOST = 5  # commits of the same author and time that are compared by their files
_SECONDS = 10.0  # for all calls to git when a task is handed out
ENDS = {"done": "done", "failed": "failed", "released": "was given back", "evicted": "was taken back"}


@dataclass(slots=True)
class _Work:
    """The work of one dependency."""

    task: str  # its id
    record: Json  # its result
    commit: str  # the commit noted when it was done; empty if none was
    branch: str  # the branch noted then

    def entry(self, commit: str, command: str, *notes: str) -> Json:
        said = "; ".join(filter(None, notes))
        return {
            "task_id": ids.public(self.task),
            "branch": self.branch or None,
            "commit": commit,
            "command": command,
            **({"note": said} if said else {}),
        }


@dataclass(frozen=True, slots=True)
class PastClaim:
    """A claim of an instance, and how it ended."""

    task: str
    began: str  # when it was claimed
    outcome: str  # how it ended; empty if it is held
    commit: str  # the commit that was noted at its end; empty if none was


def missing(
    queue: Queue, project: str, worktree: str, peer: str, dependencies: Iterable[str]
) -> tuple[list[Json], Json | None]:
    """List the finished dependencies whose work a worktree lacks, and the branch on which work has landed.

    Each missing dependency has ``task_id``, ``branch``, ``commit``, ``command`` (empty if no command brings the work)
    and perhaps ``note``; a branch with landed work that the worktree lacks has the same without ``task_id``. What comes
    with that branch is not missing.
    """
    works = [work for task in dependencies if (work := _work(queue, task))]
    landing = landings.newest(queue.root)
    if not works and landing is None:
        return [], None
    try:
        with inspection.of_instance(queue.root, project, worktree, peer) as git:
            git.ends = time.monotonic() + _SECONDS
            search = Search(queue, git)
            base = search.base(landing) if landing else None
            there = base["commit"] if base else ""
            brought = [work for work in works if there and work.commit and search.brings(there, work.commit)]
            return [entry for work in works if work not in brought and (entry := search.entry(work))], base
    except PeercoordError as error:
        why = f"git could not be asked whether it is here: {error.message}"
        return [work.entry(work.commit, f"git merge {work.commit[:12]}", why) for work in works if work.commit], None


def _work(queue: Queue, task: str) -> _Work | None:
    """Return a dependency's work; ``None`` if it was not done in a worktree."""
    record = (queue.result(task) or (0, "", {}))[2]
    commit, branch = recorded_commit(record), record.get("branch")
    return None if commit is None else _Work(task, record, commit, branch if isinstance(branch, str) else "")


def recorded_commit(result: Json) -> str | None:
    """Return the commit of a done task; empty if none was noted, ``None`` if it was not done in a worktree."""
    commit = result.get("commit")
    if isinstance(commit, str) and _COMMIT.fullmatch(commit):
        return commit
    return "" if isinstance(result.get("worktree"), str) else None


class Search:
    """Looks for the work of dependencies in one worktree; answers of git are cached."""

    def __init__(self, queue: Queue, git: Inspection) -> None:
        self.queue, self.git = queue, git
        marked = tips(git.text("for-each-ref", MARKED_TIPS, "refs/heads"))
        self.tips = {name[1:].removeprefix("refs/heads/"): tip for name, tip in marked.items()}
        self.head = next((tip for name, tip in marked.items() if name[0] == "*"), "") or git.text(
            "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}"
        )
        main = gitdirs.line(os.path.join(git.checkout.common, "HEAD")).removeprefix("ref: refs/heads/")
        shared = (self.head, self.tips.get(main, ""))
        self.common = [f"^{tip}" for tip in shared if tip]  # commits that belong to no task
        self.is_here = cache(partial(landed.how_contained, git, self.head))
        self.is_known = cache(self._is_known)
        self.contains = cache(partial(landed.contains, git))
        self.claims = cache(partial(past_claims, queue))
        self.also = cache(self._also)

    def entry(self, work: _Work) -> Json | None:
        """Return how a dependency's work comes here; ``None`` if it is here."""
        commit = work.commit if work.commit and self.is_known(work.commit) else ""
        if commit and self.is_here(commit):
            return None
        branch, tip, whole = self._branch_now(work, commit)
        here = bool(tip) and self.is_here(tip)
        if here and (whole or not work.commit):
            return None
        if not commit and (here or not tip):
            who = named(work.record["peer"]) if work.record.get("peer") else "its holder"
            whom = f"ask {who}, or see what the task is to bring"
            return work.entry(work.commit, "", "its commit is gone and no branch has it", whom)
        peer = str(work.record.get("peer") or "")
        more = self.also(tip, peer) if tip else []
        if not commit:
            why = "its commit is gone; this is its branch as it is now" if work.commit else "no commit was noted for it"
            return work.entry(tip, self._line(branch, tip), why, *more)
        own, line = self.also(commit, peer), f"git merge {commit[:12]}"
        if not tip:
            where = f"branch {named(work.branch)} does not have this commit any more" if work.branch else ""
            return work.entry(commit, line, where, *own)
        inside = self.contains(tip, commit)
        if inside and len(more) > len(own):
            left_out = ", ".join(one for one in more if one not in own)
            return work.entry(commit, line, *own, f"without what came later on its branch: {left_out}")
        work.branch = branch or work.branch
        rewritten = "" if inside else f"rewritten since it was done as {commit[:12]}"
        return work.entry(tip, self._line(branch, tip), rewritten, *more)

    def base(self, landing: Landing) -> Json | None:
        """Return how the branch comes here on which work has landed; ``None`` if that is here, or was taken back."""
        tip = self.tips.get(landing.branch, "")
        if landing.state == landings.UNDONE or not tip or not self.brings(tip, landing.after):
            return None
        if self.brings(self.head, landing.after):
            return None
        many = f"{len(landing.tasks)} task{'' if len(landing.tasks) == 1 else 's'}"
        note = f"work of {many} has landed on {named(landing.branch)}, and this worktree lacks it"
        return {"branch": landing.branch, "commit": tip, "command": self._line(landing.branch, tip), "note": note}

    def brings(self, tip: str, commit: str) -> bool:
        """Check whether a commit is there and another one contains it."""
        return self.is_known(commit) and self.contains(tip, commit)

    def _line(self, branch: str, tip: str) -> str:
        """Return the command, with the branch's name if that is safe to type and unambiguous."""
        if branch and _PLAIN_BRANCH.fullmatch(branch) and not _COMMIT.fullmatch(branch):
            means = self.git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", branch, ok=(0, 1, 128))
            if means.status == 0 and means.out.strip() == tip:
                return f"git merge {branch}"
        return f"git merge {tip[:12]}"

    # -- the branch now ------------------------------------------------------------------------------------------

    def _branch_now(self, work: _Work, commit: str) -> tuple[str, str, bool]:
        """Return the branch that holds a dependency's work now, its commit, and whether that is certain."""
        found = [(work.branch, self.tips[work.branch])] if work.branch in self.tips else []
        found += [one for one in self._stands_on(work) if one not in found]
        if not commit:
            return (*found[0], False) if found else ("", "", False)
        for has in (self.contains, partial(has_rewritten, self.git)):
            for name, tip in found:
                if has(tip, commit):
                    return name, tip, True
        return "", "", False

    def _stands_on(self, work: _Work) -> list[tuple[str, str]]:
        """Return the branch or commit of the worktree in which a dependency was done."""
        known = instance_records.of_worktree(self.queue.root, str(work.record.get("worktree") or ""))
        head = gitdirs.line(os.path.join(str(known["git_dir"]), "HEAD")) if known else ""
        if _COMMIT.fullmatch(head):
            return [("", head)]
        name = head.removeprefix("ref: refs/heads/")
        return [(name, self.tips[name])] if name in self.tips else []

    def _is_known(self, commit: str) -> bool:
        return self.git.ask("cat-file", "-e", f"{commit}^{{commit}}", ok=(0, 1, 128)).status == 0

    # -- what else would come ------------------------------------------------------------------------------------

    def _also(self, tip: str, peer: str) -> list[str]:
        """List the unfinished tasks of a peer whose commits a merge of ``tip`` would bring."""
        claims = self.claims(peer)
        found = []
        before = [*self.common]
        for number, claim in enumerate(claims):
            later = claims[number + 1 :]
            done = claim.outcome == "done" or any(one.task == claim.task and one.outcome == "done" for one in later)
            known = bool(claim.commit) and self.is_known(claim.commit)
            comes = not done and known and self._comes_with(tip, claim.commit)
            if comes or not (done or claim.commit):
                # without a recorded commit: those made while it was held
                held = [f"--since={claim.began}", *(f"--before={one.began}" for one in later[:1])]
                made = [claim.commit] if claim.commit else [*held, tip]
                if self.git.text("rev-list", "-n1", *made, *before):
                    why = ENDS.get(claim.outcome, "is not done")
                    found.append(f"brings commits of task {claim.task} too, which {why}")
            if known:
                before.append(f"^{claim.commit}")
        return list(dict.fromkeys(found))

    def _comes_with(self, tip: str, commit: str) -> bool:
        return self.contains(tip, commit) or has_rewritten(self.git, tip, commit)


def has_rewritten(git: Inspection, tip: str, commit: str) -> bool:
    """Check whether a branch has a rewritten version of a commit.

    Amending and rebasing keep the author and the author's time, and touch at least one file of the old commit.
    """
    form = ("-z", "--format=%H %at %ae %an")
    listed = [line.partition(" ") for line in git.fields("log", "--no-merges", "-n500", *form, tip, f"^{commit}")]
    wanted = git.fields("log", "-1", *form, commit)[0].partition(" ")[2]
    paths = _paths(git, commit)
    same = [one for one, _, who in listed if who == wanted and _COMMIT.fullmatch(one)][:_ALIKE_MOST]
    return any(paths & _paths(git, one) for one in same) or bool(landed.how_contained(git, tip, commit))


def _paths(git: Inspection, commit: str) -> set[str]:
    return set(git.fields("diff-tree", "-r", "--root", "--no-commit-id", "--name-only", "-z", commit))


def past_claims(queue: Queue, peer: str) -> list[PastClaim]:
    """List an instance's claims from its events, oldest first, and how each ended."""
    began: dict[tuple[str, int], str] = {}
    for event in queue.files.lines(paths.events(peer), '"claimed"') if ids.is_id(peer) else ():
        task, epoch = str(event.get("task")), event.get("epoch")
        if event.get("event") == "claimed" and ids.is_id(task) and isinstance(epoch, int):
            began[task, epoch] = str(event.get("at") or "")
    found = []
    for (task, epoch), at in list(began.items())[-_CLAIMS_MOST:]:
        ended = {outcome for number, outcome in queue.outcomes(task) if number == epoch}
        outcome = next((word for word in ENDS if word in ended), "")
        record = (queue.read_record(paths.result(task, epoch, outcome)) or {}) if outcome else {}
        commit = str(record.get("commit") or "")
        found.append(PastClaim(task, at, outcome, commit if _COMMIT.fullmatch(commit) else ""))
    return found
