"""Taking a team away again: one worktree, or everything that was added to the repository.

Nobody's work is deleted on the way: a worktree goes only if ``safety`` finds nothing in it that is nowhere else, or if
a person named it. One that stays becomes an ordinary worktree, without link and settings of ours. A branch goes only if
its commits are kept elsewhere, asked again at the last moment and deleted at exactly the commit that was asked about.

Deleting never follows a link: git removes the link to the memory bank, not what it leads to.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from peercoord.core import names
from peercoord.core.errors import PeercoordError
from peercoord.edges.team import bank, excludes, git, landed, leftover, lists, record, safety, sparse, submodules
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action, Plan
from peercoord.edges.team.repository import worktrees
from peercoord.edges.team.seats import instance_dir, seats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project


MEMORY = "memory"  # what a person types, in place of a peer's name, to let contributions go


def plan_remove(
    project: Project, team: Collection[Seat], named: Collection[str] = (), ignore_pids: Collection[int] = ()
) -> Plan:
    """Plan to remove worktrees that hold nothing of their own.

    Args:
        project: The project.
        team: Which of its seats.
        named: Peers whose names a person typed: their worktrees go with all that is in them, unless a process still
            works there.
        ignore_pids: Processes that do not keep a worktree.

    Returns:
        One action for each worktree that goes; a note for each that stays, with the reasons; the seats that stay.
    """
    made = Plan()
    for seat in team:
        where = project.short(seat.worktree)
        reasons = _reasons(project, seat, seat.peer in named, ignore_pids)
        if not seat.made:
            made.notes.append(f"{where} stays: it was there before the team")
        elif reasons:
            made.notes.append(f"{where} stays: {'; '.join(reason.text for reason in reasons)}")
        else:
            step = partial(remove, project, seat, seat.peer in named, ignore_pids)
            made.actions.append(Action(f"remove worktree {where}" + _lost(seat, named), step))
            continue
        made.seats.append(seat)
    return made


def remove(project: Project, seat: Seat, despite: bool = False, ignore_pids: Collection[int] = ()) -> str:
    """Remove one worktree; its branch stays.

    Args:
        project: The project.
        seat: The worktree.
        despite: A person named it: it goes with all that is in it, unless a process still works there.
        ignore_pids: Processes that do not keep it.

    Returns:
        Why it stays after all, if something was found that was not there when the plan was made.

    Raises:
        PeercoordError: Git could not remove all of it.
    """
    reasons = _reasons(project, seat, despite, ignore_pids)
    if reasons:
        return f"{project.short(seat.worktree)} stays: {'; '.join(reason.text for reason in reasons)}"
    there = (seat.worktree / ".git").exists()
    if instance_dir(seat).is_dir():
        excludes.hide(instance_dir(seat))  # or git's own look would find our files where a .gitignore shows them
    # git refuses submodules even where all is committed; without them its own look is one more
    force = ["--force", "--force"] if despite else ["--force"] if there and submodules.filled(seat.worktree) else []
    git.ask(project.main, "worktree", "remove", *force, str(seat.worktree))
    return ""


def plan_leave(project: Project, seat: Seat) -> list[Action]:
    """Plan to make a worktree an ordinary one again: no link, no settings, no files of ours."""
    text = f"make {project.short(seat.worktree)} an ordinary worktree again"
    return [Action(text, partial(leave, project, seat))]


def leave(project: Project, seat: Seat) -> str:
    """Make a worktree an ordinary one again."""
    if seat.git_dir is None or not (seat.worktree / ".git").exists():
        return ""
    known = record.read_project(project.common, project.sub)
    bank.unlink(project.path(str(known["bank"])) if known.get("bank") else "", seat.worktree)
    sparse.take_back(seat.worktree, seat.git_dir)
    left = leftover.reasons(project, seat)
    _delete_instance(instance_dir(seat), keep=[reason.place for reason in left])
    record.forget_worktree(seat.git_dir)
    excludes.show_inner(project, seat.worktree)
    where = project.short(instance_dir(seat))
    return f"{where} stays: {'; '.join(reason.text for reason in left)}" if left else ""


def _delete_instance(directory: Path, keep: Collection[str]) -> None:
    """Delete what is ours in a worktree, but for directories in which something waits for others."""
    if not keep:
        _delete(directory)
        return
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink() and entry.name not in keep:
            shutil.rmtree(entry)
        elif entry.name not in (*keep, ".gitignore"):
            entry.unlink()


def plan_branches(project: Project, gone: Collection[Seat] = ()) -> Plan:
    """Plan to delete the branches that the team made and that are merged, squashed ones too.

    Args:
        project: The project.
        gone: Seats whose worktrees will be gone by then.
    """
    made = Plan()
    branches = record.table(record.read_project(project.common, project.sub), "branches")
    leaving = {seat.worktree for seat in gone}
    used = {tree.branch: tree.path for tree in worktrees(project) if tree.path not in leaving}
    for branch in branches:
        tip = _tip(project, branch)
        if not tip:
            continue
        where = landed.kept_in(project, tip, [branch])
        if branch in used:
            made.notes.append(f"branch {shown_path(branch)} stays: {project.short(used[branch])} is on it")
        elif not where:
            count = landed.own_commits(project, tip)
            made.notes.append(f"branch {shown_path(branch)} stays: neither merged nor pushed ({count} commits)")
        else:
            text = f"delete branch {shown_path(branch)}, kept in {shown_path(where)}"
            made.actions.append(Action(text, partial(_delete_branch, project, branch, tip)))
    return made


def refuse_waiting(project: Project, named: Collection[str]) -> None:
    """Refuse to delete contributions to the memory bank that wait, unless a person typed that they may go.

    Args:
        project: The project.
        named: What a person typed: ``MEMORY`` among it, or not.

    Raises:
        PeercoordError: There are some.
    """
    waiting = 0 if MEMORY in named else leftover.waiting(project)
    if waiting:
        many = "a contribution" if waiting == 1 else f"{waiting} contributions"
        raise PeercoordError(
            f"{many} to the memory bank would be lost, not merged or not decided on yet",
            f"see: peercoord memory list; throw them away: peercoord down --purge --discard {MEMORY}",
            code="memory-waits",
        )


def plan_purge(
    project: Project, named: Collection[str] = (), ignore_pids: Collection[int] = (), delete_state: bool = True
) -> Plan:
    """Plan to take away everything that the team added to the repository.

    Agents and sessions must have been stopped. Worktrees with work in them stay, as ordinary ones, and are named in the
    notes; so do branches that are not merged, and the memory bank if it holds anything.

    Args:
        project: The project.
        named: Peers whose names a person typed: their worktrees go with all that is in them.
        ignore_pids: Processes that do not keep a worktree.
        delete_state: Delete ``.claude-coordination/`` too.

    Raises:
        PeercoordError: Contributions to the memory bank are not merged yet, and nobody said they may go.
    """
    if delete_state:
        refuse_waiting(project, named)
    team = seats(project)
    made = plan_remove(project, team, named, ignore_pids)
    staying = made.seats
    for seat in staying:
        made.actions += plan_leave(project, seat)
    merged = plan_branches(project, [seat for seat in team if seat not in staying])
    made.actions += merged.actions
    made.notes += merged.notes
    state = project.directory / names.ROOT
    if delete_state:
        made.actions += lists.plan_forget(project, made.notes)
    if delete_state and state.is_dir():
        made.actions.append(Action(f"delete {project.short(state)}/", lambda: _delete(state)))
    made.actions += _plan_bank(project, made)
    made.actions += _plan_settings(project)
    return made


def _reasons(project: Project, seat: Seat, despite: bool, ignore_pids: Collection[int]) -> list[safety.Reason]:
    found = [*safety.removable(project, seat.worktree, ignore_pids), *leftover.reasons(project, seat)]
    return [reason for reason in found if reason.kind == "process" or not despite]


def _lost(seat: Seat, named: Collection[str]) -> str:
    return " with all that is in it, as you named it" if seat.peer in named else ""


def _plan_bank(project: Project, made: Plan) -> list[Action]:
    known = record.table(record.read_project(project.common, project.sub), "bank_made")
    if not known:
        return []
    place = bank.untouched(project)
    if place is None:
        made.notes.append(f"{known.get('path')}/ stays: it is more than the empty documents it was made with")
        return []
    return [Action(f"delete {project.short(place)}/, which nobody has written in", lambda: _delete(place))]


def _plan_settings(project: Project) -> list[Action]:
    """Plan to take back what was added to the git directory, in the reverse order of adding."""
    team = record.read_team(project.common)
    if not team:
        return []
    others = set(record.table(team, "projects")) - {project.sub}
    known = record.read_project(project.common, project.sub).get("bank")
    actions = [] if others else sparse.plan_no_extension(project)
    actions += excludes.plan_no_block(
        project, project.path(known) if isinstance(known, str) and known else "", not others
    )
    home = project.short(project.common / record.HOME)
    return [*actions, Action(f"delete the record of the team in {home}", partial(_forget, project))]


def _forget(project: Project) -> str:
    record.forget_project(project.common, project.sub)
    return ""


def _tip(project: Project, branch: str) -> str:
    return git.text(project.main, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", ok=(0, 1))


def _delete_branch(project: Project, branch: str, tip: str) -> str:
    used = any(tree.branch == branch for tree in worktrees(project))
    if used or _tip(project, branch) != tip or not landed.kept_in(project, tip, [branch]):
        return f"branch {shown_path(branch)} stays: it changed meanwhile"
    git.ask(project.main, "update-ref", "-d", f"refs/heads/{branch}", tip)
    git.ask(project.main, "config", "--local", "--remove-section", f"branch.{branch}", ok=(0, 1, 128))
    return ""


def _delete(directory: Path) -> str:
    """Delete a directory of ours with all that is in it, links as links."""
    if directory.is_symlink():
        raise PeercoordError(
            f"{shown_path(directory)} is a link; it is left as it is", "remove it by hand", code="link"
        )
    if directory.is_dir():
        shutil.rmtree(directory)
    return ""
