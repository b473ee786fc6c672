"""Land finished work: merge it commit by commit in a temporary tree, then move the branch once.

A check that a person names runs after each merge; work that fails it is taken back, and so is work that depends on it.
A conflict ends the merging; what was merged before it still lands.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, StoppedError, UsageError
from peercoord.foreign import line, plain
from peercoord.landing import branch as branches
from peercoord.landing import plan, works
from peercoord.landing.checkout import changes
from peercoord.landing.plan import CONFLICT, FAILED, FAILS_WITHOUT, HERE, LANDED, REFUSED, STOPPED, WAITS, Step
from peercoord.landing.trial import opened
from peercoord.landing.works import named
from peercoord.store import ids, inspection, landings
from peercoord.store.landings import BESIDE, Landing
from peercoord.system import git as plain_git
from peercoord.system import progress
from peercoord.system.git import GitError
from peercoord.team import repository
from peercoord.worktree import landed, merging

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from peercoord.foreign import Json
    from peercoord.landing.branch import Obstacle
    from peercoord.landing.plan import Work
    from peercoord.landing.trial import Trial
    from peercoord.landing.works import Found, Left
    from peercoord.queue.queue import Queue
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project

_SUBMODULE = "git submodule update; if git does not find the commit, push it from the worktree where it was made"
_TITLE_MOST = 60  # characters of a task's title in a merge commit's subject


@dataclass(slots=True)
class Outcome:
    """What a landing did, or would do."""

    branch: str
    before: str  # its commit
    after: str  # its commit then; the same if nothing landed
    steps: list[Step] = field(default_factory=list)  # what became of each work, in order
    left: list[Left] = field(default_factory=list)  # work that does not land, and why
    obstacles: list[Obstacle] = field(default_factory=list)  # checkouts that cannot be moved: a person is asked
    notes: list[str] = field(default_factory=list)  # what else a person should know
    dry_run: bool = False  # nothing was changed

    def having(self, *states: str) -> list[Step]:
        """List the steps in some states."""
        return [step for step in self.steps if step.state in states]


def target(project: Project, onto: str) -> tuple[str, str]:
    """Return the named branch, else the branch of the main checkout, with its commit: work lands on it."""
    trees = repository.worktrees(project)
    name = onto or next((tree.branch for tree in trees if tree.path == project.main), "")
    if not name:
        raise UsageError(
            f"{plain_git.shown_path(project.main)} is on no branch",
            "say which branch the work lands on: peercoord land --onto BRANCH",
        )
    own = next((one for one in repository.team_instances(project) if one.branch == name), None)
    if own:
        raise UsageError(
            f"{plain(name)} is the branch of {own.peer}: work lands on a branch that no instance works on",
            "name another: peercoord land --onto BRANCH",
        )
    commit = branches.tip(project, name)
    if not commit:
        raise NotFoundError(f"there is no branch {plain(name)}", "see them with: git branch", code="no-branch")
    return name, commit


def land(
    project: Project,
    queue: Queue,
    by: str,
    peers: Collection[str] = (),
    onto: str = "",
    check: str = "",
    dry_run: bool = False,
    say: Callable[[str], None] | None = None,
) -> Outcome:
    """Land finished work.

    Args:
        project: The project.
        queue: Its tasks.
        by: The person who starts it.
        peers: The instances whose work lands; all if empty.
        onto: The branch; that of the main checkout if empty.
        check: A command to run after each merge; empty for none.
        dry_run: Change nothing; the check is not run.
        say: Called with what is being done.

    Raises:
        LostError: Another landing runs, or the branch moved meanwhile.
        StoppedError: A person interrupted it; nothing has landed.
    """
    if dry_run:
        return _land(project, queue, by, peers, onto, "", True, say or (lambda _: None))
    with branches.exclusive(queue.root):
        known = landings.numbers(queue.root)
        try:
            note = branches.settle(project, queue.root)
            made = _land(project, queue, by, peers, onto, check, False, say or (lambda _: None))
        except KeyboardInterrupt:
            newest = landings.newest(queue.root)
            if newest and newest.number not in known and newest.state == landings.LANDED:
                raise StoppedError(
                    "interrupted after the work had landed", "take it back: peercoord land --undo"
                ) from None
            raise StoppedError("interrupted: nothing has landed", "start again: peercoord land") from None
        made.notes = [*filter(None, [note]), *made.notes]
        return made


def _land(
    project: Project,
    queue: Queue,
    by: str,
    peers: Collection[str],
    onto: str,
    check: str,
    dry_run: bool,
    say: Callable[[str], None],
) -> Outcome:
    name, base = target(project, onto)
    made = Outcome(name, base, base, dry_run=dry_run)
    with inspection.of_main(project) as git:
        found = works.collect(project, queue, git, base, peers)
        made.left = found.left
        if all(work.commit in found.here for work in found.works):
            made.steps = [Step(work, HERE, found.here[work.commit]) for work in found.works]
            return made
        with ExitStack() as stack:
            trial = stack.enter_context(opened(project, base))
            if dry_run:
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="peercoord-land-"))
                trial.git.write_objects_to(scratch)
            merger = Merger(queue, git, trial, name, found, check, say)
            made.steps = merger.run()
            made.after = trial.head
            if made.after != base:
                _move(project, queue, by, made, trial)
    return made


def _move(project: Project, queue: Queue, by: str, made: Outcome, trial: Trial) -> None:
    root = queue.root
    if made.dry_run:
        made.obstacles = branches.obstacles(project, root, made.branch, trial, made.before)
        return
    tasks = [_record(step.work, task) for step in made.having(LANDED) for task in step.work.tasks]
    number = max(landings.numbers(root), default=0) + 1
    landing = Landing(number, made.branch, made.before, made.after, by=by, at=root.clock.now(), tasks=tasks)
    made.obstacles = branches.move(project, root, landing, trial)
    if made.obstacles:
        branches.pin(project, made.after)
        landing.state = BESIDE
        landings.write(root, landing)
    else:
        brought = [one["task_id"] for one in tasks]
        root.event(queue.actor, "landed", branch=made.branch, commit=made.after, tasks=brought)
        root.files.ring()
        moved = [plain(one.path) for one in changes(trial.git, made.before, made.after) if one.is_submodule]
        made.notes += [f"submodule {one} is at another commit now: {_SUBMODULE}" for one in moved]


def _record(work: Work, task: str) -> Json:
    return {"task_id": ids.public(task), "instance_id": work.peer, "commit": work.commit}


class Merger:
    """Merges works one by one in a tree of its own, which stands on the branch's commit at first."""

    def __init__(
        self,
        queue: Queue,
        git: Inspection,  # of the main checkout
        trial: Trial,
        branch: str,
        found: Found,
        check: str,
        say: Callable[[str], None],
    ) -> None:
        self.trial, self.branch, self.found = trial, branch, found
        self.command, self.say = check, say
        self.base = trial.head
        self.search = merging.Search(queue, git)
        self.steps: dict[str, Step] = {}  # by commit, in order
        self.refused: dict[str, str] = {}  # by commit, its first task
        self.base_passes: bool | None = None
        waiting = [*found.works, *found.unchosen]
        here = {task for work in waiting if work.commit in found.here for task in work.tasks}
        self.open = ({task for work in waiting for task in work.tasks} | {*found.open}) - here

    def run(self) -> list[Step]:
        """Merge what can be merged; return what became of each work, in order."""
        stopped = ""
        for work in progress.track(self.found.works, "landing", len(self.found.works)):
            if work.commit in self.steps:
                continue
            if stopped:
                self._note(Step(work, STOPPED, f"not tried after {stopped}"))
            elif not self._try(work) and self.steps[work.commit].state == CONFLICT:
                stopped = f"the conflict of {named(work)}"
        return [self.steps[work.commit] for work in self.found.works]

    def _note(self, step: Step) -> bool:
        """Note what became of a work; return whether it is on the branch."""
        self.steps[step.work.commit] = step
        if step.state in (LANDED, HERE):
            self.open -= set(step.work.tasks)
            return True
        self.refused[step.work.commit] = step.work.tasks[0]
        return False

    def _try(self, work: Work) -> bool:
        if work.commit in self.found.here:
            return self._note(Step(work, HERE, self.found.here[work.commit]))
        waits = plan.missing(work, self.found.works, self.open, self.refused)
        if waits:
            return self._note(Step(work, WAITS, self._why(waits)))
        if landed.contains(self.trial.git, self.trial.head, work.commit):
            return self._note(Step(work, LANDED, "came with later work", self.trial.head))
        self.say(f"merging {named(work)}")
        if landed.contains(self.trial.git, work.commit, self.trial.head):
            return self._take(Step(work, LANDED, "", work.commit))
        merged = self.trial.merge(work.commit)
        if not merged.tree:
            return self._resolved_later(work) or self._note(Step(work, CONFLICT, merged.why, files=merged.files))
        if merged.tree == self.trial.git.text("rev-parse", f"{self.trial.head}^{{tree}}"):
            return self._note(Step(work, HERE, "same content"))
        commit = self.trial.commit(merged.tree, work.commit, _message(work, self.branch))
        return self._take(Step(work, LANDED, "merged" if self.trial.git.objects else f"merged as {commit[:7]}", commit))

    def _why(self, task: str) -> str:
        other = next((work for work in self.found.unchosen if task in work.tasks), None)
        if other:
            return f"waits for task {task}, which is the work of {other.peer}: name that instance too"
        if task in self.found.open:
            return f"waits for task {task}, which is not done"
        return f"waits for task {task}, which does not land"

    def _resolved_later(self, work: Work) -> bool:
        """Land a later work that contains this one and can be merged: its instance has settled the conflict."""
        before, self.open = self.open, self.open - {*work.tasks}
        for later in plan.containing(work, self.found.works):
            if later.commit not in self.steps and self.trial.merge(later.commit).tree and self._try(later):
                return self._note(Step(work, LANDED, f"came with task {later.tasks[0]}", self.trial.head))
        self.open = before
        return False

    def _take(self, step: Step) -> bool:
        """Go to a commit, and keep it if the check passes."""
        before = self.trial.head
        try:
            self.trial.move_to(step.commit)
        except GitError as error:  # a name such as .git/config, which no checkout may hold
            self.trial.move_to(before)
            return self._note(Step(step.work, REFUSED, f"git does not write its files: {error.message}"))
        if self.command:
            self.say(f"checking {named(step.work)}")
            passed, said = self.trial.check(self.command)
            if not passed:
                self.trial.move_to(before)
                why = "the check fails with it" if self._passes_without(before) else FAILS_WITHOUT
                return self._note(Step(step.work, FAILED, why, output=said))
        step.notes = self._brings(step.work)
        return self._note(step)

    def _passes_without(self, before: str) -> bool:
        """Check whether the check passes on the branch as it was: asked once, after the first failure."""
        if before != self.base:
            return True  # it passed with what was merged before
        if self.base_passes is None:
            self.say(f"checking {self.branch} without it")
            self.base_passes = self.trial.check(self.command)[0]
        return self.base_passes

    def _brings(self, work: Work) -> list[str]:
        """Name what else comes with a work: of instances that were not named, and of tasks that are not done."""
        others = [f"brings {named(other)} too" for other in self.found.unchosen if other.commit in work.inside]
        for other in self.found.unchosen:
            self.open -= set(other.tasks) if other.commit in work.inside else set()
        return [*others, *(self.search.also(work.commit, work.peer) if ids.is_id(work.peer) else [])]


def _message(work: Work, onto: str) -> str:
    title = line(work.title)
    title = title if len(title) <= _TITLE_MOST else f"{title[:_TITLE_MOST]}…"
    first = f"Land task {work.tasks[0]}" if len(work.tasks) == 1 else f"Land tasks {', '.join(work.tasks)}"
    where = f" from {line(work.branch)}" if work.branch and work.branch != "HEAD" else ""
    return f"{first}{f': {title}' if title else ''}\n\nDone by {work.peer}{where}, merged into {line(onto)}.\n"


def undo(project: Project, queue: Queue) -> Landing:
    """Move the branch back to where it was before the newest landing, unless something came on top of that."""
    root = queue.root
    with branches.exclusive(root):
        branches.settle(project, root)
        found = next((one for one in landings.listed(root) if one.state == landings.LANDED), None)
        if found is None:
            raise NotFoundError("there is no landing to take back", "see: git log", code="no-landing")
        now = branches.tip(project, found.branch)
        if now != found.after:
            raise UsageError(
                f"something came on top of the landing: {plain(found.branch)} is at {now[:7] or 'nothing'}, "
                f"not at {found.after[:7]}",
                f"take back one commit after the other: git log {found.after[:12]}..{plain(found.branch)}, git revert",
                code="on-top",
            )
        found.state = landings.UNDOING
        with opened(project, found.before) as trial:
            obstacles = branches.move(project, root, found, trial)
        if obstacles:
            raise UsageError(
                f"{plain(found.branch)} was not moved back: {obstacles[0].told}",
                f"settle that, then: peercoord land --undo; or by hand: {obstacles[0].command}",
                code="dirty",
            )
        root.event(queue.actor, "landing-undone", branch=found.branch, commit=found.before)
        root.files.ring()
        return found
