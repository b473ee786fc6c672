"""Keeping the tickets and another program's list in step: look, compare, take in, write out, remember.

Promises: a sync may be killed between any two instructions, and the next one ends in the same state; one that finds
nothing to do reads no definition and writes nothing; under a term that is over nothing is changed, here or there.

The order that carries this: first what comes in is written here, each change only where the compared state still
stands; then, in one transaction of the list that begins with the check of the term, everything is compared anew, what
goes out is written, and the agreement is remembered. A crash in between leaves both sides alike but not yet agreed on:
compared again, that is an agreement.
"""

from __future__ import annotations

from peercoord.core import ids, names, sync
from peercoord.core.errors import BrokenFileError, LostError, NotFoundError, UsageError
from peercoord.roles import membership as members
from peercoord.roles.ours import Ours, Place, shared
from peercoord.roles.taking import Taking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    from peercoord.core.records import Json
    from peercoord.core.sync import Settlement
    from peercoord.roles.ours import Look
    from peercoord.roles.queue import Queue
    from peercoord.roles.root import Root

    class Sight(Protocol):
        """The other list at one moment. What is not needed is not read."""

        @property
        def term(self) -> int: ...  # noqa: D102 - the highest under which it was written; -1 if it never was
        @property
        def digests(self) -> Mapping[str, str]: ...  # noqa: D102 - what each row says, as one word
        @property
        def agreed(self) -> Mapping[str, tuple[str, str]]: ...  # noqa: D102 - our mark and their digest as they were
        @property
        def overtaken(self) -> set[str]: ...  # noqa: D102 - tasks that someone else agreed on since
        def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]: ...  # noqa: D102 - as ``sync.agreed`` gave them
        def row(self, task: str) -> Json | None: ...  # noqa: D102 - the values of a task there
        def incoming(self, tasks: Sequence[str]) -> Sequence[Any]: ...  # noqa: D102 - these tasks, to be taken in
        def refused(self) -> Sequence[tuple[str, str]]: ...  # noqa: D102 - what there is no task, and why
        def state_of(self, word: object) -> str: ...  # noqa: D102 - what a status word means
        def is_source(self, source: Json) -> bool: ...  # noqa: D102 - whether a task was imported from here

    class Store(Protocol):
        """Another program's list of tasks."""

        @property
        def name(self) -> str: ...  # noqa: D102 - what it is called in messages; never a password in it
        @property
        def noted(self) -> str: ...  # noqa: D102 - what it is called in records, which move with the project
        def look(self) -> Sight: ...  # noqa: D102
        def change(self, term: int, work: Callable[[Sight], Sequence[Entry]]) -> list[tuple[str, str]]: ...  # noqa: D102


NEW_HERE, NEW_THERE, BOTH, GONE, CLASH = "new here", "new there", "both", "gone there", "clash"
CLASHES_SHOWN = 5
_NONE: Mapping[str, str] = {}


class Entry:
    """What is to be written of one task: to the other list, and to what is remembered of it.

    Attributes:
        task: Task id.
        ours: The values that were compared; empty if the task is not to be written.
        outgoing: Fields to write.
        new: The list has no row of it yet.
        mark: How our side stood; an empty one makes the next sync look at the task again.
        base: Gives what to remember, for the other side's values as they are then.
    """

    __slots__ = ("base", "mark", "new", "ours", "outgoing", "task")

    def __init__(
        self, task: str, ours: Json, outgoing: Json, mark: str, base: Callable[[Json], Json], *, new: bool = False
    ) -> None:
        self.task, self.ours, self.outgoing, self.mark, self.base, self.new = task, ours, outgoing, mark, base, new


class Meeting:
    """One task that has to be looked at.

    Attributes:
        task: Task id.
        kind: One of ``new here``, ``new there``, ``both``, ``gone there``, ``clash``.
        mark: How our side stands; empty if it has no such task.
        ours: Our values, empty if there are none.
        theirs: Their values, empty if there are none.
        base: What both last agreed on.
        found: What follows.
        why: Why nothing is done about it; empty if something is.
    """

    __slots__ = ("base", "found", "kind", "mark", "ours", "task", "theirs", "why")

    def __init__(
        self, task: str, kind: str, mark: str, ours: Json, theirs: Json, base: Json | None, found: Settlement
    ) -> None:
        self.task, self.kind, self.mark = task, kind, mark
        self.ours, self.theirs, self.base, self.found = ours, theirs, base, found
        self.why = ""

    @property
    def changes(self) -> bool:
        """Something has to be done about it."""
        return bool(self.found) or self.kind in (NEW_HERE, NEW_THERE)


class Outcome:
    """What a sync did, or would do.

    Attributes:
        meetings: The tasks it looked at.
        refused: What could not be done, and why.
        added: Ids of tasks that came in.
    """

    def __init__(self) -> None:
        self.meetings: list[Meeting] = []
        self.refused: list[tuple[str, str]] = []
        self.added: list[str] = []


class Database:
    """Keeps one list in step.

    Args:
        queue: The tasks, as whoever does this.
        store: The other list.
        take_in: Brings new tasks into being.
        restore: A row that vanished there is written again instead of cancelling its task.
    """

    def __init__(
        self,
        queue: Queue,
        store: Store,
        take_in: Callable[[Queue, Sequence[Any]], Any],
        restore: bool = False,
    ) -> None:
        self.queue, self.store, self.take_in, self.restore = queue, store, take_in, restore
        self.ours = Ours(queue)
        self._life = str(queue.root.protocol.get("created", ""))  # of the directory: another one since it was rebuilt
        self._values: dict[str, tuple[str, Json]] = {}

    # -- the sequence ----------------------------------------------------------------------------------------

    def plan(self, every: bool = False) -> Outcome:
        """Say what a sync would do, changing nothing.

        Args:
            every: Look at every task, also where neither side changed.
        """
        outcome = Outcome()
        sight = self.store.look()
        outcome.meetings = self._meet(self.ours.look(), sight, every=every)
        outcome.refused = _refusals(outcome.meetings)
        if every or any(meeting.kind == NEW_THERE for meeting in outcome.meetings):
            outcome.refused += sight.refused()
        return outcome

    def sync(self, term: int, leads: Callable[[], bool]) -> Outcome:
        """Bring both sides into step.

        Args:
            term: The leader's term under which this is done.
            leads: Tells whether that term still stands.

        Raises:
            LostError: The term is over; nothing was changed from then on.
            PeercoordError: The list cannot be read or written now; what came in stays.
        """
        outcome = Outcome()
        sight = self.store.look()
        self._require(sight.term, term, leads)
        outcome.meetings = self._meet(self.ours.look(), sight)
        if not outcome.meetings:
            return outcome
        fresh = self._come_in(outcome, sight, lambda: self._require(sight.term, term, leads))

        def work(again: Sight) -> list[Entry]:
            self._require(again.term, term, leads)
            meetings = self.ours.flushed(self._meet(self.ours.look(), again, fresh))
            return [entry for meeting in meetings if (entry := _entry(meeting, self._life))]

        outcome.refused += self.store.change(term, work)
        outcome.refused += _refusals(outcome.meetings)
        self._values.clear()
        return outcome

    def _require(self, seen: int, term: int, leads: Callable[[], bool]) -> None:
        if seen > term or not leads():
            over = f"a leader of term {seen} has written to it since" if seen > term else "someone else leads now"
            raise LostError(
                f"term {term} is over, so nothing was changed in {self.store.name}: {over}",
                hint="the leader of now does it; see who that is: claude-coordination-status",
                code="stale-term",
            )

    def _come_in(self, outcome: Outcome, sight: Sight, require: Callable[[], None]) -> dict[str, str]:
        """Take in what comes from there.

        Returns:
            The tasks that are new here, with their digests.
        """
        new = [m.task for m in outcome.meetings if m.kind == NEW_THERE]
        added: set[str] = set()
        old = [m for m in outcome.meetings if m.found.incoming and not m.why]
        if new:
            require()
            intake = self.take_in(self.queue, sight.incoming(new))
            outcome.added = list(intake.added)
            added.update(intake.added)
            outcome.refused += [*intake.refused, *sight.refused()]
        taking = Taking(self.queue, self.ours, ids.shown(self.store.noted), require)
        changed: set[str] = set()
        for meeting in sorted(old, key=lambda m: ids.natural(m.task)):
            meeting.why = taking.take(meeting.task, meeting.mark, meeting.found, meeting.theirs)
            if not meeting.why:
                changed |= meeting.found.incoming.keys()
        if old:
            taking.finish(changed)
        return {task: sight.digests[task] for task in new if task in added}  # not what someone added here meanwhile

    # -- comparing -------------------------------------------------------------------------------------------

    def _meet(
        self, look: Look, sight: Sight, fresh: Mapping[str, str] = _NONE, *, every: bool = False
    ) -> list[Meeting]:
        """Compare every task that changed on either side since both last agreed."""
        marks, digests, agreed = look.marks, sight.digests, sight.agreed
        touched = [
            task
            for task in {**marks, **digests, **agreed}
            if task not in look.moving
            and (every or agreed.get(task) != (marks.get(task, ""), digests.get(task, "")))
            and (task in marks or task in digests)
            and ids.is_id(task)
        ]
        if not touched:
            return []
        bases = sight.bases(touched)
        meetings = []
        for task in sorted(touched, key=ids.natural):
            mark, theirs = marks.get(task, ""), sight.row(task)
            if task in sight.overtaken or (theirs is None and task in digests):
                continue  # someone else is at it; or its row is no task any more, which is no decision about it
            meeting = self._meeting(task, mark, theirs, bases.get(task), sight, digests.get(task) == fresh.get(task))
            if meeting:
                meetings.append(meeting)
        if not self.restore:
            self._guard([m for m in meetings if m.kind == GONE and m.found], len(agreed))
        if not agreed:
            _refuse_clashes([m for m in meetings if m.kind == CLASH], self.store.name)
        return meetings

    def _meeting(
        self, task: str, mark: str, theirs: Json | None, base: Json | None, sight: Sight, fresh: bool
    ) -> Meeting | None:
        if not mark:
            return Meeting(task, NEW_THERE, "", {}, theirs, base, sync.Settlement()) if theirs else None
        try:
            ours = self._read(task, mark)
        except (BrokenFileError, NotFoundError):
            return None  # its ticket is parked as unreadable, and the people who look after the team are told
        if theirs is None:
            return self._without_row(task, mark, ours, base)
        same = True
        if base is None and fresh and _untouched(mark):
            base = {"ours": ours, "theirs": theirs}  # it came from there a moment ago
        elif base is None:
            base, same = self._first_base(task, theirs, sight)
        elif base.get("life") != self._life:
            base = self._former(task, base, ours)
        if same:
            return Meeting(task, BOTH, mark, ours, theirs, base, sync.settle(base, ours, theirs))
        clash = Meeting(task, CLASH, mark, ours, theirs, None, sync.Settlement())
        there = ids.shown(theirs.get("title", ""))
        clash.why = f"it is {ids.shown(ours['title'])} here and {there} there: give one of them another id"
        return clash

    def _read(self, task: str, mark: str) -> Json:
        known = self._values.get(task)
        if known is None or known[0] != mark:
            known = self._values[task] = (mark, self.ours.values(task, mark))
        return known[1]

    def _without_row(self, task: str, mark: str, ours: Json, base: Json | None) -> Meeting:
        """Decide on a task that has no row there: new here, or its row was deleted."""
        gone = base is not None and base.get("gone", False)
        if base is None or "refused" in base or self.restore or (gone and _revived(base, ours)):
            return Meeting(task, NEW_HERE, mark, ours, {}, None, sync.Settlement())
        found = sync.Settlement()
        if not gone and ours["state"] not in (sync.DONE, sync.CANCELLED):
            found.incoming["state"] = sync.CANCELLED
        reason = {"reason": f"its row was deleted in {ids.shown(self.store.noted)}"}
        return Meeting(task, GONE, mark, ours, reason, base, found)

    def _former(self, task: str, base: Json, ours: Json) -> Json:
        """Give a base that was agreed on before the directory was lost, as far as it still tells of edits here."""
        try:
            birth = self.queue.birth(task)
        except BrokenFileError:
            birth = None
        return base if birth is None else sync.of_former(base, shared(birth.definition), ours)

    def _first_base(self, task: str, theirs: Json, sight: Sight) -> tuple[Json | None, bool]:
        """Give the base of a task that both sides have and never agreed on, and whether it is the same task at all."""
        try:
            birth = self.queue.birth(task)
        except BrokenFileError:
            birth = None
        if birth is None:
            return None, False
        born = shared(birth.definition)
        source = birth.definition.raw.get("source")
        if not isinstance(source, dict) or not sight.is_source(source):
            return None, born["title"].casefold() == str(theirs.get("title", "")).casefold()
        done = "done" if self.queue.born_done(task) else ""
        note = birth.definition.set_aside
        here = done or (sync.CANCELLED if birth.definition.cancelled is not None else note[0] if note else sync.OPEN)
        there = sight.state_of(source.get("status"))
        ticked = sorted(step.step for step in birth.definition.steps if step.done)
        all_steps = sorted(step.step for step in birth.definition.steps)
        return {
            "ours": {
                **born,
                "state": here if here in sync.STATES else sync.BLOCKED,
                "steps_done": all_steps if done else ticked,
            },
            "theirs": {**{key: born[key] for key in born if key in theirs}, "state": there, "steps_done": ticked},
        }, True

    def _guard(self, gone: Sequence[Meeting], known: int) -> None:
        if sync.too_many_gone(len(gone), known):
            raise UsageError(
                f"{len(gone)} of {known} tasks have no row any more in {self.store.name}: "
                "that many are not cancelled unasked",
                hint="put the rows back from a backup, or write them again with: peercoord sync --restore",
                code="rows-gone",
            )


def _refuse_clashes(clashes: Sequence[Meeting], where: str) -> None:
    if clashes:
        shown = "; ".join(f"task {m.task}: {m.why.partition(':')[0]}" for m in clashes[:CLASHES_SHOWN])
        raise UsageError(
            f"{where} has other tasks under the ids of this project's: {shown}",
            hint="name another database with: peercoord sync --database PATH_OR_URL",
            code="id-clash",
        )


def _revived(base: Json, ours: Json) -> bool:
    """Tell whether a task whose row was deleted was taken up again here."""
    return ours["state"] not in (base["ours"].get("state"), sync.CANCELLED, sync.DONE)


def _untouched(mark: str) -> bool:
    """Tell whether a task stands as it was taken in: in nobody's hands so far, and not finished."""
    path, _, results = mark.split(" ")[:3]
    place = Place(path)
    return place.epoch == 0 and place.state in ("waiting", "ready", "parked") and not results


def _refusals(meetings: Sequence[Meeting]) -> list[tuple[str, str]]:
    return [(f"task {m.task}", m.why) for m in meetings if m.why]


def _entry(meeting: Meeting, life: str) -> Entry | None:
    """Make of a meeting what is to be written there. What has yet to come in stays as it was agreed before.

    Args:
        meeting: The meeting.
        life: The directory's, which whatever is agreed on now belongs to.
    """
    if meeting.kind in (NEW_THERE, CLASH):
        return None
    ours, base, left = meeting.ours, meeting.base, list(meeting.found.incoming)
    if meeting.kind == GONE:
        if left:
            return None
        was = {"ours": {"state": ours["state"]}, "theirs": {}, "gone": True, "life": life}
        return Entry(meeting.task, {}, {}, meeting.mark, lambda _: was)
    mark = "" if left else meeting.mark
    outgoing = ours if meeting.kind == NEW_HERE else meeting.found.outgoing
    return Entry(
        meeting.task,
        ours,
        outgoing,
        mark,
        lambda theirs: {**sync.agreed(base, ours, theirs, left), "life": life},
        new=meeting.kind == NEW_HERE,
    )


# -- whose term it is --------------------------------------------------------------------------------------------


def term_now(root: Root) -> int:
    """Give the term of whoever leads, or under which nobody does at the moment.

    Raises:
        LostError: The leader's ticket is on its way from one hand to another.
    """
    homes = [names.LEADER, *(names.peer_dir(who) for who in members.living(root))]
    homes += [f"{names.DEPARTED}/{name}" for name in root.files.scan(names.DEPARTED)]
    terms = [term for home in homes for term in map(names.parse_leader, root.files.scan(home)) if term is not None]
    if not terms:
        raise LostError("the leadership is changing hands at this moment", hint="try again", code="no-leader")
    return max(terms)


def raise_term(root: Root, home: str, term: int, above: int) -> int:
    """Raise the term of a leader whose ticket is behind what a database has seen: the directory was made anew.

    One rename, of the ticket where it lies; if it lies there no more, someone else leads and nothing happens.

    Args:
        root: The coordination directory.
        home: The directory of the leader, or that of the ticket that nobody has.
        term: The leader's term.
        above: The new term is higher than this.

    Returns:
        The term now.
    """
    new = max(term, above) + 1
    return new if root.files.move(names.leader(home, term), names.leader(home, new)) else term


def home_of(root: Root, term: int) -> str:
    """Give the directory in which the leader's ticket of a term lies; empty if it lies in none."""
    homes = [names.LEADER, *(names.peer_dir(who) for who in members.living(root))]
    return next((home for home in homes if term in map(names.parse_leader, root.files.scan(home))), "")
