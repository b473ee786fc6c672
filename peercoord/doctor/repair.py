"""Find and repair what accidents did to a project: ``git clean -fdx``, a moved or deleted checkout, a restored backup.

Repair is set-up's own work done again, so a finding's ``repair`` may be called in any order and repeatedly. It says
what cannot be recovered.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from peercoord.doctor.checks import BAD, FIX, Finding, good
from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.queue.queue import Queue
from peercoord.store import inspection, manifest, paths
from peercoord.store.refusals import refused
from peercoord.store.root import open_root, rewrite_command
from peercoord.system import git
from peercoord.system.git import pasted, shown_path
from peercoord.team import agents, evidence, rebuild, repository
from peercoord.team import plan as plans
from peercoord.team.repository import MOST, home, team_instances
from peercoord.team.up import plan_repair
from peercoord.worktree.context import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.store.root import Root


def damage(text: str, fix: str, repair: Callable[[], list[str]] | None = None) -> Finding:
    """Return a finding of something that is not as it was set up."""
    return Finding("set-up", BAD, text, fix, repair)


def find_project(directory: str = "") -> Place:
    """Find the project of a directory by the git directory's record."""
    found = repository.discover(directory or os.environ.get("PEERCOORD_PROJECT") or os.getcwd())
    if not repository.is_known(found):
        text = f"no coordinated project at or above {shown_path(found.here)}"
        hint = f"set one up with: claude-team-coordinated {pasted(found.main)}"
        raise NotFoundError(text, hint, code="no-project")
    return Place(str(found.directory))


def place_of(found: Callable[[], Place], directory: str) -> Place:
    """Return where a call stands: found the ordinary way, or else by the git directory's record."""
    try:
        return found()
    except (NotFoundError, BrokenFileError):
        return find_project(directory)


def repair_all(place: Place) -> list[str]:
    """Repair all damage; return what was repaired, what was not, and notes."""
    said = []
    for finding in find_damage(place):
        if finding.repair:
            try:
                said += [finding.text, *finding.repair()]
            except PeercoordError as error:
                said.append(f"not mended: {finding.text}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                said += getattr(error, "__notes__", ())
    return list(dict.fromkeys(said))


def examine_setup(place: Place) -> list[Finding]:
    """Check what set-up made; one good finding if all is as it was set up."""
    return find_damage(place) or [good("set-up", "everything that set-up made is in place")]


def find_damage(place: Place) -> list[Finding]:
    """Find what accidents did to a project."""
    try:
        project = repository.discover(place.project, exact=True)
    except NotFoundError:
        return [_no_main(place)]
    if not repository.is_known(project):
        return []
    found: list[Finding] = []
    for part in (_state, _peers, _bank, _worktrees):
        try:
            for one in part(project):
                found.append(one)  # noqa: PERF402 - what a part found before it failed counts
        except PeercoordError as error:
            found.append(damage(error.message, error.hint or _again(project)))
        except OSError as error:
            found.append(damage(refused(error, str(error.filename)).message, _again(project)))
    return found


def repair(project: Project) -> list[str]:
    """Repair all that set-up can repair; return warnings and notes, which an error carries as its own notes."""
    with manifest.held(project.common):
        made = plan_repair(project)
        bank = list(_bank(project))
        elsewhere = any(finding.repair is None for finding in bank)  # an empty memory bank would be in the way
        actions = [a for a in made.actions if not (elsewhere and a.text.startswith("make "))]
        try:
            warnings = plans.run(actions, failed=made.failed)
        except PeercoordError as error:
            for note in made.notes:
                error.add_note(note)
            raise
    failed = [f"not mended: {peer}: {error.message}" for peer, error in made.failed.items()]
    return [*warnings, *made.notes, *failed, *(finding.text for finding in bank)]


def _again(project: Project) -> str:
    return f"claude-team-coordinated {pasted(project.directory)}"


def _no_main(place: Place) -> Finding:
    """Return the finding for a main checkout that is gone."""
    here = shown_path(place.worktree or place.project)
    return damage(
        f"the main checkout {shown_path(place.project)} is gone, and with it the repository, if it was not moved",
        f"moved: claude-team-coordinated NEW-PLACE; deleted: restore it from a backup (the files in {here} are there)",
    )


def _state(project: Project) -> Iterator[Finding]:
    """Check that the coordination directory exists and is not older than the worktrees."""
    fix = partial(repair, project)
    where = shown_path(project.directory / paths.ROOT)
    if rebuild.is_gone(project):
        lost = f"{where}/{paths.PROTOCOL}" if rebuild.is_whole(project) else where
        cut = (project.directory / paths.ROOT / paths.PROTOCOL).exists()
        why = "has lost a part of its content" if cut else "is gone: deleted, or cleaned away (git clean -fdx)"
        yield damage(f"{lost} {why}", FIX, fix)
        return
    root = rebuild.opened(project)
    if root is None:
        yield _closed(project)
        return
    behind = rebuild.behind(Queue(root), evidence.gather(project, lists=False))
    if behind:
        text = f"{where} is older than what the worktrees know of {len(behind)} tasks: was a backup restored?"
        yield damage(text, FIX, fix)


def _closed(project: Project) -> Finding:
    """Return why an existing coordination directory cannot be used."""
    state = str(project.directory / paths.ROOT)
    try:
        open_root(state)
    except BrokenFileError as error:
        return damage(error.message, rewrite_command(state))
    except PeercoordError as error:
        return damage(error.message, error.hint)
    where = shown_path(project.directory / paths.ROOT)
    return damage(f"{where} is not the one that this project's worktrees joined", "is a disk not mounted?")


def _peers(project: Project) -> Iterator[Finding]:
    """Find stale peers and agents without a worktree."""
    root: Root | None = None if rebuild.is_gone(project) else rebuild.opened(project)
    for who in rebuild.stale_peers(project, root, evidence.gather(project, lists=False)) if root else ():
        text = f"{who} counts as a peer, but its worktree is gone or has joined again since"
        yield damage(text, FIX, partial(repair, project))
    known = {instance.directory for instance in team_instances(project)}
    places = {home(project, index) / project.sub for index in range(1, MOST + 1)}
    for found in agents.at(places - known):
        text = f"process {found['agent']['pid']} is the agent of a worktree that is gone"
        yield damage(text, FIX, partial(_end, found))


def _end(record: Json) -> list[str]:
    agents.end([record])
    return []


def _bank(project: Project) -> Iterator[Finding]:
    """Check that the memory bank exists."""
    name = manifest.read_project(project.common, project.sub).get("bank")
    place = project.directory / name if isinstance(name, str) and name else None
    if place is None or os.path.lexists(place):
        return
    where, path = shown_path(place), project.path(str(name))
    if git.fields(project.main, "ls-files", "-z", "--", path):
        yield damage(f"{where} is gone, the repository has it", f"git -C {pasted(project.main)} restore {pasted(path)}")
        return
    kept = _stash_with(project, path)
    if kept:
        yield damage(f"{where} is gone, {kept} has it", f"git -C {pasted(project.main)} stash apply {pasted(kept)}")
        return
    text = f"{where} is gone, in no commit and no stash; an empty one is made in its place"
    yield damage(text, "restore it from a backup", partial(repair, project))


def _stash_with(project: Project, path: str) -> str:
    """Return the newest stash with untracked files below a path; empty if none."""
    with inspection.of_main(project) as found:
        for stash in found.fields("stash", "list", "-z", "--format=%gd"):
            if found.ask("ls-tree", "--name-only", f"{stash}^3", "--", path, ok=(0, 128)).out:
                return stash
    return ""


def _worktrees(project: Project) -> Iterator[Finding]:
    """Find what set-up would do again in the worktrees."""
    made = plan_repair(project)
    for peer, error in made.failed.items():
        yield damage(f"{peer}: {error.message}", error.hint or _again(project))
    gone = {instance.peer: instance.directory for instance in team_instances(project) if not instance.worktree.exists()}
    for peer, place in gone.items():
        text = f"the worktree of {peer} is gone: {shown_path(place)}"
        yield damage(text, FIX, partial(repair, project))
    left = (action for action in made.actions if action.peer not in gone)
    for text in (action.text for action in left if not action.text.startswith(_TOLD)):
        yield damage(f"not as it was set up; to be done: {text}", FIX, partial(repair, project))


_TOLD = ("note in ", "make ", "rebuild ", "retire ", "bring ", f"write {paths.ROOT}/")
