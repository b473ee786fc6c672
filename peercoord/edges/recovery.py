"""What accidents did to a project, and how it is mended: for ``peercoord doctor``.

``git clean -fdx``, a deleted or moved checkout, a worktree removed by hand, a restored backup: each shows as something
that set-up made and that is not as it was. Mending is set-up's own work, done again; so a finding's ``fix`` may be
called in any order, twice, or after another one has mended the same. What cannot be had back is said by the fix.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

from peercoord.core import names
from peercoord.core.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.edges.context import Place
from peercoord.edges.team import agents, evidence, git, rebuild, record, repository
from peercoord.edges.team import plan as plans
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.seats import MOST, home, seats
from peercoord.edges.team.up import plan_repair
from peercoord.roles.queue import Queue
from peercoord.roles.root import anew, open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from peercoord.edges.doctor.findings import Finding as Check
    from peercoord.edges.team.repository import Project
    from peercoord.roles.root import Root

FIX = "peercoord doctor --fix"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was set up.

    Attributes:
        what: What was found, for people: one line without a full stop.
        hint: The next command.
        fix: Mends it and gives what people should know then, one line each; ``None`` where no program can.
    """

    what: str
    hint: str
    fix: Callable[[], list[str]] | None = None


def find(directory: str = "") -> Place:
    """Find the project that a directory belongs to, also where its coordination directory or records are gone.

    Args:
        directory: A directory in the main checkout or a worktree; the working directory if empty.

    Raises:
        NotFoundError: There is no repository, or none that remembers a team.
    """
    found = repository.discover(directory or os.environ.get("PEERCOORD_PROJECT") or os.getcwd())
    if not repository.is_known(found):
        raise NotFoundError(
            f"no coordinated project at or above {shown_path(found.here)}",
            hint="set one up with: claude-team-coordinated PROJECT",
            code="no-project",
        )
    return Place(str(found.directory))


def place_of(found: Callable[[], Place], directory: str) -> Place:
    """Give where a call stands, also where only the git directory remembers the project.

    Args:
        found: Finds it the ordinary way.
        directory: The directory that was named; the working directory if empty.

    Raises:
        NotFoundError: There is no such project.
    """
    try:
        return found()
    except NotFoundError:
        return find(directory)


def mend(place: Place) -> list[str]:
    """Mend what accidents did; give what was mended and what people should know then, one line each."""
    said = []
    for finding in look(place):
        if finding.fix:
            said += [finding.what, *finding.fix()]
    return list(dict.fromkeys(said))


def checks(place: Place) -> list[Check]:
    """Give what was found as lines of the doctor's report; one that is good if all is as it was set up."""
    from peercoord.edges.doctor import findings

    about = "set-up"
    bad = [findings.bad(about, finding.what, finding.hint) for finding in look(place)]
    return bad or [findings.good(about, "what was made is there, as it was made")]


def look(place: Place) -> list[Finding]:
    """Look for what accidents did to a project.

    Args:
        place: Where the call stands, by ``context.find`` or, where that fails, by ``find``.

    Returns:
        What was found, what matters most first; empty if all is as it was set up.
    """
    try:
        project = repository.discover(place.project, exact=True)
    except NotFoundError:
        return [_no_main(place)]
    if not repository.is_known(project):
        return []
    found = [*_state(project), *_peers(project), *_bank(project)]
    try:
        found += _worktrees(project)
    except PeercoordError as error:
        found.append(Finding(error.message, error.hint or _again(project)))
    return found


def repair(project: Project) -> list[str]:
    """Mend all that set-up can mend.

    Returns:
        What people should know then, one line each.

    Raises:
        PeercoordError: Something stands in the way; what was mended before it stays mended.
    """
    with record.held(project.common):
        made = plan_repair(project)
        bank = list(_bank(project))
        elsewhere = any(finding.fix is None for finding in bank)  # then an empty one would stand in the way
        actions = [a for a in made.actions if not (elsewhere and a.text.startswith("make "))]
        warnings = plans.run(actions)
    return [*warnings, *made.notes, *(finding.what for finding in bank)]


def _again(project: Project) -> str:
    return f"claude-team-coordinated {shown_path(project.directory)}"


def _no_main(place: Place) -> Finding:
    """Say what to do where the main checkout is gone: moved, or deleted with the repository in it."""
    here = shown_path(place.worktree or place.project)
    return Finding(
        f"the main checkout {shown_path(place.project)} is gone, and with it the repository, if it was not moved",
        f"moved: claude-team-coordinated NEW-PLACE; deleted: restore it from a backup (the files in {here} are there)",
    )


def _state(project: Project) -> Iterator[Finding]:
    """Look at the coordination directory: is it there, is it as new as what the worktrees know."""
    fix = partial(repair, project)
    where = shown_path(project.directory / names.ROOT)
    if rebuild.is_gone(project):
        lost = f"{where}/{names.PROTOCOL}" if rebuild.is_whole(project) else where
        yield Finding(f"{lost} is gone: deleted, or cleaned away (git clean -fdx)", FIX, fix)
        return
    root = rebuild.opened(project)
    if root is None:
        yield _closed(project)
        return
    behind = rebuild.late(Queue(root), evidence.gather(project, lists=False))
    if behind:
        text = f"{where} is older than what the worktrees know of {len(behind)} tasks: was a backup restored?"
        yield Finding(text, FIX, fix)


def _closed(project: Project) -> Finding:
    """Say why a coordination directory that is there cannot be worked with."""
    state = str(project.directory / names.ROOT)
    try:
        open_root(state)
    except BrokenFileError as error:
        return Finding(error.message, anew(state))
    except PeercoordError as error:
        return Finding(error.message, error.hint)
    where = shown_path(project.directory / names.ROOT)
    return Finding(f"{where} is not the one that this project's worktrees joined", "is a disk not mounted?")


def _peers(project: Project) -> Iterator[Finding]:
    """Look for peers that are none any more, and for agents that serve no worktree."""
    root: Root | None = None if rebuild.is_gone(project) else rebuild.opened(project)
    for who in rebuild.ghosts(project, root, evidence.gather(project, lists=False)) if root else ():
        text = f"{who} counts as a peer, but its worktree is gone or has joined again since"
        yield Finding(text, FIX, partial(repair, project))
    known = {seat.directory for seat in seats(project)}
    places = {home(project, index) / project.sub for index in range(1, MOST + 1)}
    for process in agents.at(places - known):
        yield Finding(f"process {process.pid} is the agent of a worktree that is gone", FIX, partial(_end, process))


def _end(process: psutil.Process) -> list[str]:
    agents.end([process])
    return []


def _bank(project: Project) -> Iterator[Finding]:
    """Look for the memory bank that worktrees link to; documents that nobody has are not made up."""
    name = record.read_project(project.common, project.sub).get("bank")
    place = project.directory / name if isinstance(name, str) and name else None
    if place is None or os.path.lexists(place):
        return
    where, path = shown_path(place), project.path(str(name))
    if git.fields(project.main, "ls-files", "-z", "--", path):
        yield Finding(f"{where} is gone, the repository has it", f"git -C {shown_path(project.main)} restore {path}")
        return
    kept = _stash_with(project, path)
    if kept:
        yield Finding(f"{where} is gone, {kept} has it", f"git -C {shown_path(project.main)} stash apply {kept}")
        return
    text = f"{where} is gone, in no commit and no stash; an empty one is made in its place"
    yield Finding(text, "restore it from a backup", partial(repair, project))


def _stash_with(project: Project, path: str) -> str:
    """Name the newest stash that holds untracked files below a path; empty if there is none."""
    for stash in git.fields(project.main, "stash", "list", "-z", "--format=%gd"):
        words = ("ls-tree", "--name-only", f"{stash}^3", "--", path)
        if git.ask(project.main, *words, ok=(0, 128)).out:
            return stash
    return ""


def _worktrees(project: Project) -> Iterator[Finding]:
    """Look at the worktrees and what lies in them: whatever set-up would do again."""
    made = plan_repair(project)
    for text in (action.text for action in made.actions if not action.text.startswith(_TOLD)):
        yield Finding(f"not as it was set up; to be done: {text}", FIX, partial(repair, project))


_TOLD = ("note in ", "make ", "rebuild ", "retire ", "bring ", f"write {names.ROOT}/")
