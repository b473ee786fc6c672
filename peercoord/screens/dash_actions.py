"""What a person does from the dash, by the functions that the commands call. No widget, no terminal in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError
from peercoord.foreign import clean, plain
from peercoord.landing import land as landing
from peercoord.landing import plan
from peercoord.landing.works import named
from peercoord.memory.bank import Decider
from peercoord.queue import reassign as queue_reassign
from peercoord.review import actions, terminal
from peercoord.screens import dash_story
from peercoord.store import ids
from peercoord.team import repository
from peercoord.worktree import actions as worktree_actions
from peercoord.worktree import context
from peercoord.worktree.call import WorktreeCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.landing.land import Outcome
    from peercoord.review.actions import Result
    from peercoord.screens.dash_source import Source

SIGNS = {plan.LANDED: "✓", plan.HERE: "·", plan.WAITS: "○", plan.STOPPED: "○"}


@dataclass(frozen=True)
class Done:
    """What became of an action.

    Attributes:
        told: One line for people, made safe.
        undo: What takes it back; ``None`` if nothing does.
        what: What that would take back, for people.
    """

    told: str
    undo: Callable[[], Done] | None = None
    what: str = ""


def reassign(source: Source, task: str, peer: str) -> Done:
    """Put a task into the hands of an instance."""
    was, epoch = queue_reassign.reassign(source.queue, task, ids.check(peer, "peer name"))
    return Done(f"✓ #{task}: {f'{was} → ' if was else ''}{peer} (epoch {epoch})")


def release(source: Source, task: str, worktree: str) -> Done:
    """Give a task back to the queue, for the instance of a worktree."""
    if not worktree:
        raise NotFoundError(f"the worktree of task {task} is not known", "give it to another: r")
    call = WorktreeCall(context.at(source.project, worktree), heard=False)
    worktree_actions.release(call, task, "released by a person")
    return Done(f"✓ #{task} is back in the queue")


def reopen(source: Source, task: str) -> Done:
    """Put a task, done or parked, back into the queue."""
    where = source.queue.reopen(task)
    return Done(f"✓ #{task} is back: {where.split('/')[1]}")


def accept(source: Source, task: str) -> Done:
    """Accept a task that lies in review: it is done. Reopening takes that back."""
    source.queue.accept(task)
    return Done(f"✓ #{task} is done", lambda: reopen(source, task), f"the acceptance of #{task}")


def answer(source: Source, task: str, text: str) -> Done:
    """Answer what a task waits for; it goes back to the queue."""
    _, holder = queue_reassign.answer(source.queue, task, clean(text).strip())
    return Done(f"✓ #{task} is answered, {f'{holder} has it again' if holder else 'it is back in the queue'}")


# -- decisions of a person: refused from within a coding session -----------------------------------------------


def approve(source: Source, ident: str, choice: str) -> Done:
    """Approve a change of the memory bank: ``left``, ``right``, ``both``, or empty for the only proposal."""
    by = Decider(*actions.person(source.project, "", ["approve", ident]))
    queue = dash_story.review_queue(source)
    return _decided(source, actions.take(queue.bank, queue.find(ident), choice, by))


def edit(source: Source, ident: str) -> Done:
    """Open the proposed text in the person's editor, on a terminal that is free for it, and approve the result."""
    by = Decider(*actions.person(source.project, "", ["edit", ident]))
    queue = dash_story.review_queue(source)
    return _decided(source, actions.edit(queue.bank, queue.find(ident), by, terminal.yes))


def _decided(source: Source, made: Result) -> Done:
    entry = made.entry.id if made.entry and made.entry.edits else ""
    return Done(plain(made.told), (lambda: undo_merge(source, entry)) if entry else None, made.item.place)


def reject(source: Source, ident: str, reason: str) -> Done:
    """Reject a change of the memory bank, for a reason that its authors are told."""
    by = Decider(*actions.person(source.project, "", ["reject", ident]))
    queue = dash_story.review_queue(source)
    return Done(plain(actions.reject(queue.bank, queue.find(ident), clean(reason), by).told))


def undo_merge(source: Source, entry: str) -> Done:
    """Take back what was approved."""
    by = Decider(*actions.person(source.project, "", ["undo", entry]))
    made = dash_story.review_queue(source).bank.undo(entry, by)
    return Done(f"✓ {entry} is taken back: {plain(made.document)}")


def plan_landing(source: Source) -> Outcome:
    """Look what would land and where it would stop; nothing is changed."""
    return landing.land(repository.discover(source.project), source.queue, "", dry_run=True)


def land(source: Source, say: Callable[[str], None]) -> Done:
    """Bring all finished work onto the project's branch."""
    by = actions.person(source.project, "", [], command="land")[0]
    made = landing.land(repository.discover(source.project), source.queue, by, say=say)
    count = sum(len(step.work.tasks) for step in made.having(plan.LANDED))
    stuck = next(iter(made.having(plan.CONFLICT, plan.FAILED, plan.REFUSED)), None)
    rest = f"; stopped at {plain(named(stuck.work))}: {plain(stuck.state)}" if stuck else ""
    if made.obstacles:
        return Done(f"! {plain(made.branch)} was not moved: {plain(made.obstacles[0].told)}")
    if not count:
        return Done(f"· nothing was landed on {plain(made.branch)}{rest}")
    tasks = f"{count} task{'' if count == 1 else 's'}"
    return Done(
        f"✓ {tasks} landed on {plain(made.branch)}{rest}", lambda: undo_landing(source), f"the landing of {tasks}"
    )


def undo_landing(source: Source) -> Done:
    """Take the newest landing back."""
    actions.person(source.project, "", ["--undo"], command="land")
    found = landing.undo(repository.discover(source.project), source.queue)
    return Done(f"✓ {plain(found.branch)} is back at {found.before[:7]}")


def planned(made: Outcome) -> list[str]:
    """What a landing would do, a line for each work."""
    lines = []
    for step in made.steps:
        if step.state != plan.HERE:
            files = f" in {', '.join(map(plain, step.files[:3]))}" if step.files else ""
            word = "lands" if step.state == plan.LANDED else f"{step.state}{files}"
            lines.append(f"{SIGNS.get(step.state, '✗')} {plain(named(step.work))}: {plain(word)}")
    lines += [f"! {plain(one.told)}" for one in made.obstacles]
    return lines
