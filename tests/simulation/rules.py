"""What must hold between one situation of an exploration and the next: the invariants, as in ``laws``, without a past.

Whatever of the past they need is carried along in a ``Memory``, which is part of a situation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import tree

from peercoord.store import paths, records
from simulation.baton import ViolationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulation.flat import Table

    Told = tuple[str, ...]


class Memory:
    """What a situation remembers beside the directory.

    Attributes:
        held: Every holding there ever was: task, epoch, incarnation.
        done: Every completion.
        fenced: Incarnations that somebody was told to have evicted.
    """

    __slots__ = ("done", "fenced", "held")

    def __init__(self, held: Iterable[Told] = (), done: Iterable[Told] = (), fenced: Iterable[str] = ()) -> None:
        self.held, self.done, self.fenced = frozenset(held), frozenset(done), frozenset(fenced)

    def key(self) -> int:
        """Return a number that is the same for the same memory."""
        return hash((self.held, self.done, self.fenced))


class Rules:
    """The invariants.

    Args:
        bearing: Tasks are added.
        reopening: Tasks may be done more than once, one time after the other.
    """

    def __init__(self, table: Table, bearing: bool, reopening: bool) -> None:
        self.bearing, self.reopening = bearing, reopening
        self.nonces = nonces(table)

    def born(self, table: Table) -> dict[str, str]:
        """Every task there is, with its nonce."""
        return nonces(table) if self.bearing else self.nonces

    def places(self, table: Table) -> dict[str, str]:
        """Where each task's one ticket lies."""
        places: dict[str, str] = {}
        born = self.born(table)
        for path, data in table.items():
            if data is None or not path.startswith(("queue/", "peers/", "departed/")):
                continue
            task = tree.stands_for(path, born)
            if task and task in places:
                raise ViolationError(f"task {task} has two tickets: {places[task]} and {path} (INV-1)")
            if task:
                places[task] = path
        for task in born:
            if task not in places:
                raise ViolationError(f"task {task} has no ticket (INV-1)")
        return places

    # -- moves -----------------------------------------------------------------------------------------------

    def moved(self, before: dict[str, str], after: dict[str, str], memory: Memory) -> Memory:
        """Look at what a step did to the tickets; gives what is to be remembered then."""
        held, done = set(memory.held), set(memory.done)
        for task, path in after.items():
            was = before.get(task, "")
            if was == path:
                continue
            self._kept(task, was, path)
            if holder(path):
                self._taken(task, was, path, held, done)
            elif path.startswith(paths.DONE):
                if holder(was):
                    done.add((task, was.rpartition("/")[2].split("~")[1], holder(was)))
            else:
                self._lies(task, path, held)
        return Memory(held, done, memory.fenced)

    def _kept(self, task: str, was: str, path: str) -> None:
        if was.endswith("~done") and not path.startswith(paths.DONE) and holder(was) != holder(path):
            raise ViolationError(f"the completed task {task} went from {was} to {path} (CMP-1)")
        if was.startswith(paths.DONE) and not self.reopening:
            raise ViolationError(f"task {task} was done and is at {path} (INV-4)")

    @staticmethod
    def _taken(task: str, was: str, path: str, held: set[Told], done: set[Told]) -> None:
        ticket = paths.parse_ticket(path.rpartition("/")[2])
        assert ticket is not None
        holding = (task, str(ticket.epoch), holder(path))
        top = _top(task, held)
        if holder(was) != holding[2] and ticket.epoch <= top:
            raise ViolationError(f"{holding[2]} got task {task} at epoch {ticket.epoch}, after {top} (INV-3)")
        held.add(holding)
        if ticket.done:
            done.add(holding)

    def _lies(self, task: str, path: str, held: set[Told]) -> None:
        if not path.startswith(paths.NEW) and not self.reopening and int(path.rpartition("~")[2]) < _top(task, held):
            raise ViolationError(f"the epoch of task {task} fell from {_top(task, held)}: {path} (INV-3)")

    # -- words -----------------------------------------------------------------------------------------------

    def said(self, told: Sequence[Told], memory: Memory, table: Table) -> Memory:
        """Hold what all programs were told against what is so."""
        acknowledged: dict[str, Told] = {}
        for words in told:
            if words[0] in ("holds", "done"):
                self._of_a_task(words, memory, acknowledged)
            elif words[0] == "joined":
                self._of_a_name(words, told, table)
        fenced = {words[1] for words in told if words[0] == "evicted"}
        return Memory(memory.held, memory.done, memory.fenced | fenced)

    def _of_a_task(self, words: Told, memory: Memory, acknowledged: dict[str, Told]) -> None:
        word, who, task, epoch = words
        if word == "holds" and (task, epoch, who) not in memory.held:
            raise ViolationError(f"{who} was told that it holds {task}~{epoch}, and never did (INV-2)")
        if word == "done":
            if (task, epoch, who) not in memory.done:
                raise ViolationError(f"{who} was told that it completed {task}~{epoch}, and did not (INV-4)")
            if acknowledged.setdefault(task, words) != words and not self.reopening:
                raise ViolationError(f"{acknowledged[task]} and {words} were both acknowledged (INV-4)")

    @staticmethod
    def _of_a_name(words: Told, told: Sequence[Told], table: Table) -> None:
        joined = {other[1] for other in told if other[0] == "joined" and other[2] == words[2]}
        living = [who for who in joined if f"peers/{who}" in table]
        if len(living) > 1:
            raise ViolationError(f"{sorted(living)} live under one name (MBR-3)")

    @staticmethod
    def fence(acting: set[str], paths: Sequence[str], memory: Memory) -> None:
        """A peer that was evicted moves no task through its own directory any more (INV-5)."""
        for who in acting & memory.fenced:
            own = (f"peers/{who}/claims/", f"departed/{who}~")
            if any(path.startswith(own) and "/claims/" in path for path in paths):
                raise ViolationError(f"{who} was evicted, and still moved {paths[0]} to {paths[-1]} (INV-5)")


def holder(path: str) -> str:
    """Return the incarnation that holds the ticket at a path; empty if none does."""
    return "~".join(path.split("/")[1].split("~")[:2]) if path.startswith(("peers/", "departed/")) else ""


def nonces(table: Table) -> dict[str, str]:
    """Return every born task with its nonce."""
    found = {}
    for path, data in table.items():
        if path.startswith("births/") and data is not None:
            record = records.decode(data, path)
            found[str(record["task_id"])] = str(record["nonce"])
    return found


def _top(task: str, held: set[Told]) -> int:
    return max((int(epoch) for one, epoch, _ in held if one == task), default=0)
