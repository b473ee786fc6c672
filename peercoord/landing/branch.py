"""Move the branch, with the checkouts that stand on it: forward after a landing, back by ``--undo``.

The order: a record of what is to happen; the new files of every checkout, staged; the branch, by compare and swap; the
files; the record again. What was cut short before the branch moved is dropped, what was cut short after it is finished,
by the next ``peercoord land``.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError
from peercoord.foreign import plain
from peercoord.landing.checkout import Move
from peercoord.landing.trial import opened
from peercoord.memory import runner
from peercoord.store import inspection, landings, paths
from peercoord.store.landings import BESIDE, LANDED, MOVING, PINNED, UNDOING, UNDONE, Landing
from peercoord.store.lock import held
from peercoord.system import git, gitdirs
from peercoord.system.git import GitError, shown_path
from peercoord.team import repository
from peercoord.worktree import landed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from peercoord.landing.trial import Trial
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project, Worktree
    from peercoord.store.root import Root

_LOCK_SECONDS = 10.0
_PUT_OFF = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a branch is not moved."""

    where: Path  # the checkout
    why: str  # what is the matter with it
    command: str  # what a person types there instead; empty if nothing helps but changing that

    @property
    def told(self) -> str:
        """What is the matter, for people."""
        return f"{shown_path(self.where)}: {self.why}"


def tip(project: Project, branch: str) -> str:
    """Return a branch's commit; empty if there is no such branch."""
    return git.text(project.main, "rev-parse", "-q", "--verify", f"refs/heads/{branch}^{{commit}}", ok=(0, 1, 128))


def holders(project: Project, branch: str) -> list[Worktree]:
    """List the checkouts that stand on a branch, also those that are in the middle of rebasing it."""
    name = f"refs/heads/{branch}"
    found = []
    for tree in repository.worktrees(project):
        rebased = {gitdirs.line(str(tree.git_dir / f"rebase-{kind}" / "head-name")) for kind in ("merge", "apply")}
        if not tree.missing and (tree.branch == branch or name in rebased):
            found.append(tree)
    return found


def exclusive(root: Root, wait: float = 0.0) -> AbstractContextManager[int]:
    """Hold the mutex of landing: one at a time."""
    home = root.files.place
    return held(f"{home}/{paths.LANDING_LOCK}", wait, "another `peercoord land` is at work")


def obstacles(project: Project, root: Root, name: str, trial: Trial, old: str) -> list[Obstacle]:
    """List what keeps a branch from being moved to where a trial stands."""
    with ExitStack() as stack:
        return _moves(stack, project, root, Landing(0, name, old, trial.head), trial)[1]


def move(project: Project, root: Root, landing: Landing, trial: Trial, again: bool = False) -> list[Obstacle]:
    """Move a branch as a landing's record says, and every checkout on it; return what is in the way.

    It goes from ``before`` to ``after`` if the landing is ``MOVING``, back if it is ``UNDOING``; the ``trial`` stands
    there. If something is in the way, or the branch moved meanwhile (``LostError``), nothing is changed. ``again`` says
    that the branch has moved already, and its checkouts perhaps in part.
    """
    old, new = _ends(landing)
    with ExitStack() as stack:
        moves, found = _moves(stack, project, root, landing, trial, again)
        if found:
            return found
        home = root.files.place
        stack.enter_context(held(f"{home}/{paths.BANK_LOCK}", _LOCK_SECONDS, "the memory bank is being merged"))
        stack.enter_context(_unbroken())
        landings.write(root, landing)
        try:
            with ExitStack() as moving:
                for one in moves:
                    moving.enter_context(one.prepared(trial))
                if not again:
                    _swap(project, trial.git, landing, old, new)
        except BaseException:
            if tip(project, landing.branch) != new:
                _take_back(root, landing)
            raise
        landing.state = LANDED if landing.state == MOVING else UNDONE
        landings.write(root, landing)
        unpin(project)
    return []


def _take_back(root: Root, landing: Landing) -> None:
    """Make the record of a landing that changed nothing what it was before."""
    if landing.state == UNDOING:
        landing.state = LANDED
        landings.write(root, landing)
    else:
        landings.drop(root, landing)


def _ends(landing: Landing) -> tuple[str, str]:
    both = landing.before, landing.after
    return both if landing.state != UNDOING else (both[1], both[0])


def _moves(
    stack: ExitStack, project: Project, root: Root, landing: Landing, trial: Trial, again: bool = False
) -> tuple[list[Move], list[Obstacle]]:
    old, new = _ends(landing)
    moves, found = [], []
    bound = {instance.worktree: instance.peer for instance in repository.team_instances(project)}
    for tree in holders(project, landing.branch):
        if tree.path in bound:
            why = f"this is the worktree of {bound[tree.path]}, and it stands on {plain(landing.branch)}"
            away = f"git -C {git.pasted(tree.path)} switch -c {shlex.quote(f'team/{bound[tree.path]}')}"
            found.append(Obstacle(tree.path, why, away))
            continue
        command = f"git -C {git.pasted(tree.path)} merge --ff-only {PINNED}"
        if landing.state == UNDOING:
            command = f"git -C {git.pasted(tree.path)} reset --keep {new}"
        try:
            inspected = stack.enter_context(_inspected(project, tree))
            if trial.git.objects:
                inspected.write_objects_to(trial.git.objects)
            one = Move(inspected, old, new, _own(project, root, tree), again)
            why = one.obstacle(trial)
        except PeercoordError as error:
            why = error.message
        if why:
            found.append(Obstacle(tree.path, why, command))
        else:
            moves.append(one)
    return moves, found


@contextmanager
def _inspected(project: Project, tree: Worktree) -> Iterator[Inspection]:
    if tree.path == project.main:
        with inspection.of_main(project) as found:
            yield found
    else:
        with inspection.of_worktree(project, tree.path, tree.git_dir) as found:
            yield found


def _own(project: Project, root: Root, tree: Worktree) -> list[str]:
    """List where peercoord itself writes in the main checkout: the memory bank, and a list of tasks kept in step."""
    if tree.path != project.main:
        return []
    chosen = root.protocol.get("tasks_file")
    named = chosen.get("path") if isinstance(chosen, dict) else None
    places = [runner.directory(project.directory), str(project.directory / named) if isinstance(named, str) else ""]
    inside = [os.path.relpath(place, project.main) for place in places if place]
    return [path for path in inside if not path.startswith("..")]


def _swap(project: Project, inspected: Inspection, landing: Landing, old: str, new: str) -> None:
    words = "undone" if landing.state == UNDOING else "landed"
    many = f"{len(landing.tasks)} task{'' if len(landing.tasks) == 1 else 's'}"
    try:
        git.ask(
            project.main,
            *("update-ref", "-m", f"peercoord land: {many} {words}", f"refs/heads/{landing.branch}", new, old),
            env=inspected.identity(),
        )
    except GitError as error:
        raise LostError(
            f"{plain(landing.branch)} moved meanwhile, so nothing was changed: {error.message}",
            "start again: peercoord land",
            code="moved",
        ) from None


@contextmanager
def _unbroken() -> Iterator[None]:
    """Put off Ctrl-C and its like while the block runs, for git's processes too.

    Those inherit the mask. In a process with other threads a signal goes to one of them, so it is noted as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    handlers = {one: signal.signal(one, lambda number, _: noted.append(number)) for one in _PUT_OFF}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PUT_OFF)
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in noted[:1]:
            signal.raise_signal(number)


# -- what an earlier call left -------------------------------------------------------------------------------------


def pin(project: Project, commit: str) -> None:
    """Keep the result of a landing for a person who has to move the branch."""
    git.ask(project.main, "update-ref", PINNED, commit)


def unpin(project: Project) -> None:
    """Forget the result that was kept for a person."""
    git.ask(project.main, "update-ref", "-d", PINNED, ok=(0, 1, 128))


def settle(project: Project, root: Root) -> str:
    """Finish or drop what the newest landing left: it was killed, or waits for a person; return a note on it."""
    landing = landings.newest(root)
    if landing is None or landing.state in (LANDED, UNDONE):
        return ""
    now, (_, new) = tip(project, landing.branch), _ends(landing)
    if landing.state == BESIDE:
        return _settle_beside(project, root, landing, now)
    if now == new:
        with opened(project, new) as trial:
            found = move(project, root, landing, trial, again=True)
        if found:
            _sweep(project, landing)
            raise PeercoordError(
                f"an earlier landing moved {plain(landing.branch)} and was stopped before the files of {found[0].told}",
                f"save what you need from there, then: git -C {git.pasted(found[0].where)} reset --hard",
                code="half-landed",
            )
        return f"an earlier landing on {plain(landing.branch)} was cut short; it is finished now"
    _take_back(root, landing)
    _sweep(project, landing)
    return f"an earlier landing on {plain(landing.branch)} was cut short; it had changed nothing"


def _settle_beside(project: Project, root: Root, landing: Landing, now: str) -> str:
    with inspection.of_main(project) as inspected:
        moved = bool(now) and landed.contains(inspected, now, landing.after)
    if moved:
        landing.state = LANDED
        landings.write(root, landing)
    else:
        landings.drop(root, landing)
    unpin(project)
    return ""


def _sweep(project: Project, landing: Landing) -> None:
    """Remove what a landing that was killed staged."""
    for tree in holders(project, landing.branch):
        with _inspected(project, tree) as inspected:
            Move(inspected, landing.before, landing.before).sweep()
