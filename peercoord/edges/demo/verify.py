"""The demonstration's verdict: what must be true when it ends, read from the files themselves."""

from __future__ import annotations

from collections import Counter

from peercoord.core import names, records
from peercoord.edges.team import git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from peercoord.core.records import Json
    from peercoord.roles.queue import Queue

STATE_KEYS = {"created", "instances", "active_instances", "task_assignments", "progress_summary"}
SUMMARY_KEYS = {"total_tasks", "assigned", "in_progress", "completed", "overall_progress"}


class Check:
    """One thing that must be true, whether it is, and what was seen."""

    __slots__ = ("holds", "seen", "what")

    def __init__(self, what: str, holds: bool, seen: str) -> None:
        self.what, self.holds, self.seen = what, holds, seen


class Handed:
    """A task that the killed instance held, and where it went: seconds after the kill."""

    __slots__ = ("again_after", "done_by", "free_after", "task")

    def __init__(self, task: str, free_after: float | None, again_after: float | None, done_by: str) -> None:
        self.task, self.free_after, self.again_after, self.done_by = task, free_after, again_after, done_by


def checks(queue: Queue, tasks: int, victim: str, handed: Sequence[Handed], trees: Iterable[Path]) -> list[Check]:
    """Check the end of a demonstration.

    Args:
        queue: The tasks.
        tasks: How many there should be.
        victim: Name of the instance that was killed.
        handed: What it held, and where that went.
        trees: The main checkout and the worktrees of the living.
    """
    found = Counter(seen.task for seen in queue.sightings())
    done = [seen.task for seen in queue.sightings() if seen.state == "done"]
    results = Counter(task for task, _ in completions(queue))
    holders = {h.done_by for h in handed}
    reassigned = bool(handed) and victim not in holders and all(h.again_after is not None for h in handed)
    return [
        Check(f"all {tasks} tasks are done", len(done) == tasks, f"{len(done)} done"),
        Check("every task has exactly one ticket", set(found.values()) == {1}, f"{found.total()} tickets"),
        Check("every task was done exactly once", set(results.values()) == {1}, f"{results.total()} done results"),
        Check(f"what {victim} held was done by others", reassigned, _handed(handed)),
        views_agree(queue, tasks),
        *_clean(trees),
    ]


def completions(queue: Queue) -> set[tuple[str, int]]:
    """Give the attempts that completed a task: those whose result says done and no other says anything else.

    A holder killed between writing its result and its commit point leaves a result that the ticket does not bear out;
    the sweep then writes what became of that attempt.
    """
    by_attempt: dict[tuple[str, int], set[str]] = {}
    for task, epoch, outcome in _results(queue):
        by_attempt.setdefault((task, epoch), set()).add(outcome)
    return {attempt for attempt, outcomes in by_attempt.items() if outcomes == {"done"}}


def _results(queue: Queue) -> Iterable[tuple[str, int, str]]:
    for shard in queue.files.scan(names.RESULTS):
        yield from filter(None, map(names.parse_result, queue.files.scan(f"{names.RESULTS}/{shard}")))


def _handed(handed: Sequence[Handed]) -> str:
    return ", ".join(f"task {h.task} by {h.done_by}" for h in handed) or "it held nothing"


def views_agree(queue: Queue, tasks: int) -> Check:
    """Check that the published views have the mission's keys, and every task done."""
    state = _view(queue, names.STATE)
    missing = (STATE_KEYS - state.keys()) | (SUMMARY_KEYS - state.get("progress_summary", {}).keys())
    completed = state.get("progress_summary", {}).get("completed")
    listed = len(_view(queue, names.TASK_QUEUE).get("tasks", []))
    holds = not missing and completed == tasks and listed == tasks
    seen = f"completed {completed}, {listed} tasks listed" + (f", keys missing: {sorted(missing)}" if missing else "")
    return Check("state.json and task_queue.json say so too", holds, seen)


def _view(queue: Queue, path: str) -> Json:
    data = queue.files.read(path)
    return records.decode(data, path) if data else {}


def remembered(document: str, lines: Sequence[str]) -> Check:
    """Check that what the workers contributed to the memory bank stands there, each line once.

    Args:
        document: The bank's document.
        lines: What was contributed to it.
    """
    found = Counter(line for line in document.splitlines() if line in set(lines))
    missing, twice = [line for line in lines if not found[line]], [line for line in lines if found[line] > 1]
    seen = f"{found.total()} lines" + "".join(f"; missing: {line}" for line in missing)
    seen += "".join(f"; more than once: {line}" for line in twice)
    return Check("what was contributed is in the memory bank, each line once", not missing and not twice, seen)


def _clean(trees: Iterable[Path]) -> list[Check]:
    """Check that nothing is left lying about; what the leader merged into a tracked memory bank is to be seen there."""
    found = [(tree.name, git.text(tree, "status", "--porcelain").splitlines()) for tree in trees]
    own = [(name, line) for name, lines in found for line in lines if not line[3:].startswith(f"{names.BANK}/")]
    dirty = [f"{name}: {line}" for name, line in own]
    return [Check("git status is clean everywhere", not dirty, "; ".join(dirty) or f"{len(found)} checkouts")]
