"""Remove a team: one worktree, or everything that was added to the repository.

A worktree is removed only if ``safety`` finds nothing that is nowhere else, or if a person named it. One that stays
becomes an ordinary worktree. A branch is deleted only if its commits are kept elsewhere, checked again at the last
moment and at exactly that commit. Deleting never follows a link.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import inspection, instance_records, isolated_git, manifest, paths
from peercoord.store import root as roots
from peercoord.store.landings import PINNED
from peercoord.store.refusals import refused
from peercoord.system import git
from peercoord.system.disk import remove_tree
from peercoord.system.git import shown_path
from peercoord.team import bank_link, excludes, final_sync, repository, safety, tasklist
from peercoord.team.plan import Action, Plan
from peercoord.team.repository import instance_dir, instance_files, is_place_of, left_behind, team_instances, worktrees
from peercoord.worktree import landed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from peercoord.store.project import Project
    from peercoord.team.plan import Instance


MEMORY = "memory"  # a person names this, like a peer, to throw away waiting contributions


def plan_remove(project: Project, team: Collection[Instance], named: Collection[str] = ()) -> Plan:
    """Plan to remove worktrees that hold nothing of their own."""
    made = Plan()
    for instance in team:
        where = project.short(instance.worktree)
        reasons = _reasons(project, instance, instance.peer in named)
        if not instance.made:
            made.notes.append(f"{where} stays: it was there before the team")
        elif reasons:
            made.notes.append(_stays(where, reasons))
        else:
            step = partial(remove, project, instance, instance.peer in named)
            lost = " with all that is in it, as you named it" if instance.peer in named else ""
            made.actions.append(Action(f"remove worktree {where}{lost}", step))
            continue
        made.instances.append(instance)
    return made


def remove(project: Project, instance: Instance, despite: bool = False) -> str:
    """Remove one worktree; its branch stays."""
    reasons = _reasons(project, instance, despite)
    if reasons:
        return _stays(project.short(instance.worktree), reasons)
    # not by git, which would follow its own list and a link swapped in meanwhile, and run filters
    for place in (instance.worktree, instance.git_dir):
        if place is not None and os.path.lexists(place):
            try:
                shutil.rmtree(place)
            except OSError as error:
                raise refused(error, shown_path(error.filename or place)) from None
    with suppress(OSError):
        (project.common / "worktrees").rmdir()  # as git does after the last worktree
    _forget_instance(project, instance)
    return ""


def plan_leave(project: Project, instance: Instance, remember: bool = False) -> list[Action]:
    """Plan to turn a worktree into an ordinary one, without link, settings and files of ours."""
    text = f"make {project.short(instance.worktree)} an ordinary worktree again"
    return [Action(text, partial(leave, project, instance, remember))]


def leave(project: Project, instance: Instance, remember: bool = False) -> str:
    """Turn a worktree into an ordinary one; see ``plan_leave``."""
    if instance.git_dir is None or not (instance.worktree / ".git").exists():
        return ""
    known = manifest.read_project(project.common, project.sub)
    try:
        with inspection.of_worktree(project, instance.worktree, instance.git_dir) as found:
            bank_link.unlink(project.path(str(known["bank"])) if known.get("bank") else "", found)
            excludes.take_back(found, instance.git_dir)
    except PeercoordError as error:
        if error.code != isolated_git.CHANGED:
            raise
        _forget_worktree(instance, remember)
        _forget_instance(project, instance)
        return f"{project.short(instance.worktree)} is left as it is: {error.message}"
    left = safety.undelivered(project, instance)
    _delete_instance(instance, keep=[reason.place for reason in left])
    _forget_worktree(instance, remember)
    _forget_instance(project, instance)
    excludes.show_inner(project, instance.worktree)
    return _stays(project.short(instance_dir(instance)), left) if left else ""


def _forget_worktree(instance: Instance, remember: bool) -> None:
    if instance.git_dir is not None and remember and instance.made:
        manifest.leave_worktree(instance.git_dir)
    elif instance.git_dir is not None:
        manifest.forget_worktree(instance.git_dir)


def _forget_instance(project: Project, instance: Instance) -> None:
    """Remove the records of an instance that left, and of its session."""
    with suppress(PeercoordError):
        root = roots.open_root(str(project.directory / paths.ROOT))
        instance_records.remove(root, instance.peer)
        root.files.remove(paths.session(instance.peer))


def _delete_instance(instance: Instance, keep: Collection[str]) -> None:
    """Delete our files in a worktree except directories in which something waits."""
    tree, files = instance_files(instance, "").beneath, instance_files(instance)
    home = files.stat("")
    if home is None or not home.is_dir:
        with suppress(FileNotFoundError, NotADirectoryError):
            tree.unlink(paths.INSTANCE)  # a link or a file in its place
        return
    if not keep:
        tree.remove_tree(paths.INSTANCE)
        return
    for name in files.scan(""):
        seen = files.stat(name)
        if seen is not None and seen.is_dir and name not in keep:
            files.beneath.remove_tree(name)
        elif name not in (*keep, ".gitignore"):
            files.remove(name)


def plan_branches(project: Project, gone: Collection[Instance] = ()) -> Plan:
    """Plan to delete the team's branches that are merged, also as a squash."""
    made = Plan()
    branches = manifest.branches(project.common, project.sub)
    leaving = {instance.worktree for instance in gone}
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
    """Refuse to delete waiting memory contributions unless a person named them."""
    waiting = 0 if MEMORY in named else safety.waiting_contributions(project)
    if waiting:
        many = "a contribution" if waiting == 1 else f"{waiting} contributions"
        text = f"{many} to the memory bank would be lost, not merged or not decided on yet"
        hint = f"see: peercoord memory list; throw them away: peercoord down --purge --discard {MEMORY}"
        raise PeercoordError(text, hint, code="memory-waits")


def plan_purge(project: Project, named: Collection[str] = (), dry_run: bool = False) -> Plan:
    """Plan to remove everything that the team added to the repository.

    Agents and sessions must have been stopped. Worktrees with work in them stay, as ordinary ones, and are named in the
    notes; so do branches that are not merged, and the memory bank if it holds anything.
    """
    refuse_waiting(project, named)
    if not dry_run:
        final_sync.require_sync(project, named)
    team, former = team_instances(project), left_behind(project)
    made = plan_remove(project, [*team, *former], named)
    staying = made.instances
    for instance in staying:
        made.actions += plan_leave(project, instance, remember=True) if instance in team else []
    merged = plan_branches(project, [instance for instance in (*team, *former) if instance not in staying])
    made.actions += merged.actions
    made.notes += merged.notes
    state = project.directory / paths.ROOT
    made.actions += final_sync.plan_keep_tasks(project, named, made.notes, dry_run)
    made.actions += tasklist.plan_forget(project, made.notes)
    if state.is_dir():
        made.actions.append(Action(f"delete {project.short(state)}/", lambda: _delete(state)))
    bank_made = manifest.table(manifest.read_project(project.common, project.sub), "bank_made")
    bank = bank_link.untouched(project) if bank_made else None
    if bank is not None:
        made.actions.append(Action(f"delete {project.short(bank)}/, which is as it was made", partial(_delete, bank)))
    elif bank_made:
        made.notes.append(f"{bank_made.get('path')}/ stays: it is more than the empty documents it was made with")
    made.actions += _plan_settings(project, bool(made.actions))
    return made


def left(project: Project) -> list[str]:
    """List worktrees and unmerged branches that a removed team left behind."""
    trees = left_behind(project)
    used = {instance.branch for instance in trees}
    former = manifest.table(manifest.table(manifest.read_team(project.common), "left"), project.sub)
    found = [project.short(instance.worktree) for instance in trees]
    found += [f"branch {shown_path(name)}" for name in former if name not in used and _tip(project, name)]
    again = "remove what is merged by now: peercoord down --purge"
    return [f"{what} is left from a team that was taken away; {again}" for what in found]


def _stays(where: str, reasons: Sequence[safety.Reason]) -> str:
    return f"{where} stays: {'; '.join(reason.text for reason in reasons)}"


def _reasons(project: Project, instance: Instance, despite: bool) -> list[safety.Reason]:
    if instance.git_dir is None or not (
        repository.leads_to(instance.worktree, instance.git_dir) or is_place_of(project, instance)
    ):
        return [safety.Reason("unknown", "git's list alone says that it is a worktree of the team")]
    found = [*safety.removable(project, instance.worktree), *safety.undelivered(project, instance)]
    if instance.worktree.is_dir() and not (instance.worktree / ".git").exists():
        found.append(safety.Reason("unknown", "its .git file is gone, so git cannot tell what is in it"))
    return [reason for reason in found if reason.kind == "process" or not despite]


def _plan_settings(project: Project, changed: bool) -> list[Action]:
    """Plan to undo additions to the git directory, in reverse order."""
    team = manifest.read_team(project.common)
    if not team:
        return []
    if project.sub not in manifest.table(team, "projects"):
        former = manifest.table(manifest.table(team, "left"), project.sub)
        if not former or (not changed and all(_tip(project, branch) for branch in former)):
            return []
        return [Action("forget what the former team does not leave any more", partial(_forget, project))]
    others = set(manifest.table(team, "projects")) - {project.sub}
    known = manifest.read_project(project.common, project.sub).get("bank")
    actions = [] if others else excludes.plan_no_extension(project)
    actions += excludes.plan_no_block(
        project, project.path(known) if isinstance(known, str) and known else "", not others
    )
    if git.text(project.main, "for-each-ref", PINNED):
        text = f"delete {PINNED}, merged work that was not moved onto its branch"
        actions.append(Action(text, lambda: git.text(project.main, "update-ref", "-d", PINNED)))
    home = project.short(project.common / manifest.HOME)
    return [*actions, Action(f"delete the record of the team in {home}", partial(_forget, project))]


def _forget(project: Project) -> None:
    branches = manifest.branches(project.common, project.sub)
    left = {branch: start for branch, start in branches.items() if _tip(project, branch)}
    manifest.forget_project(project.common, project.sub, left)


def _tip(project: Project, branch: str) -> str:
    return git.text(project.main, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", ok=(0, 1))


def _delete_branch(project: Project, branch: str, tip: str) -> str:
    used = any(tree.branch == branch for tree in worktrees(project))
    if used or _tip(project, branch) != tip or not landed.kept_in(project, tip, [branch]):
        return f"branch {shown_path(branch)} stays: it changed meanwhile"
    git.ask(project.main, "update-ref", "-d", f"refs/heads/{branch}", tip)
    git.ask(project.main, "config", "--local", "--remove-section", f"branch.{branch}", ok=(0, 1, 128))
    return ""


def _delete(directory: Path) -> None:
    """Delete a directory of ours; links are not followed."""
    if directory.is_symlink():
        raise PeercoordError(
            f"{shown_path(directory)} is a link; it is left as it is", "remove it by hand", code="link"
        )
    if directory.is_dir():
        remove_tree(str(directory))
