"""One sync run: compare the tickets with another program's list, apply, write, remember.

Promises: a sync may be killed between any two instructions, and the next one ends in the same state; a sync that finds
nothing to do reads no definition and writes nothing; under a term that is over nothing is changed, here or there.

The order that carries this: incoming changes are applied to the tickets first, each only if the compared state still
stands. Then one transaction of the list checks the term, compares everything again, writes what goes out and remembers
the agreement. A crash in between leaves both sides alike but not yet agreed on, which the next sync finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, UsageError
from peercoord.foreign import shown
from peercoord.queue.renaming import former_ids
from peercoord.store import ids, paths
from peercoord.system import progress
from peercoord.tasklists import reconcile
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.imported import source_of
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.normalize import TaskStatus, status_or_blocked
from peercoord.tasklists.port import RowUpdate, stale_term
from peercoord.tasklists.reconcile import (
    BOTH,
    CLASH,
    GONE,
    GONE_HERE,
    NEW_HERE,
    NEW_THERE,
    Comparison,
    Outcome,
    Resolution,
    TaskVersion,
)
from peercoord.tasklists.snapshot import Tickets, location_at, parked_status

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Birth
    from peercoord.tasklists.port import ListSnapshot, TaskList
    from peercoord.tasklists.snapshot import Snapshot

SHOWN_MAX = 5  # tasks named in one message
_NONE: Mapping[str, str] = {}


class Sync:
    """Keeps one list in step with the tickets."""

    def __init__(
        self,
        queue: Queue,
        tasklist: TaskList,
        restore: bool = False,  # write a vanished row again instead of cancelling its task
        take_edits: bool = False,  # take rows that look like other tasks as edits, because a person says so
    ) -> None:
        self.queue, self.list = queue, tasklist
        self.restore, self.take_edits = restore, take_edits
        self.tickets = Tickets(queue)
        self._life = str(queue.root.protocol.get("created", ""))  # changes when the directory is rebuilt
        self._values: dict[str, tuple[TaskVersion, Json]] = {}
        self._former: set[str] | None = None

    # -- the run ---------------------------------------------------------------------------------------------

    def plan(self, every: bool = False) -> Outcome:
        """Return what a sync would do, changing nothing; ``every``: compare also tasks that neither side changed."""
        there, here = self.list.snapshot(), self.tickets.snapshot()
        comparisons = self._compare(here, there, every=every)
        refused = [*_refusals(comparisons), *self._unsettled(here, there)]
        if every or any(comparison.kind == NEW_THERE for comparison in comparisons):
            refused += there.refused()
        return Outcome(comparisons, list(dict.fromkeys(refused)))

    def sync(self, term: int, leads: Callable[[], bool]) -> Outcome:
        """Bring both sides into step under the leader's term; ``leads``: whether that is still the current one.

        A ``LostError`` means that the term is over: nothing was changed from then on. After any other error, what came
        in stays.
        """
        there = self.list.snapshot()
        self._require(there.term, term, leads)
        here = self.tickets.snapshot()
        outcome = Outcome(self._compare(here, there), self._unsettled(here, there))
        if not outcome.comparisons:
            return outcome
        fresh = self._apply(outcome, there, lambda: self._require(there.term, term, leads))

        def work(again: ListSnapshot) -> list[RowUpdate]:
            self._require(again.term, term, leads)
            comparisons = self.tickets.flushed(self._compare(self.tickets.snapshot(), again, fresh))
            self._require(again.term, term, leads)  # the directory may be gone since: then the comparison is void
            return [update for comparison in comparisons if (update := _row_update(comparison, self._life))]

        outcome.refused += self.list.update(term, work)
        outcome.refused = list(dict.fromkeys([*outcome.refused, *_refusals(outcome.comparisons)]))
        self._values.clear()
        return outcome

    def _unsettled(self, here: Snapshot, there: ListSnapshot) -> list[tuple[str, str]]:
        """Return what was refused before and still is: every sync names it until a person settles it."""
        again = [
            task
            for task, (version, digest) in there.agreed.items()
            if not digest and task in here.versions and version == here.stored(task) and task not in there.digests
        ]
        bases = there.bases(again) if again else {}
        refused = [(f"task {task}", str(base["refused"])) for task, base in bases.items() if "refused" in base]
        unusable = there.has_rows_without_id or any(
            not ids.is_id(task) or (task not in here.versions and there.row(task) is None)
            for task, digest in there.digests.items()
            if task not in there.agreed and digest != reconcile.TWICE
        )
        return [*there.twice(), *refused, *(there.refused() if unusable else ())]

    def _require(self, seen: int, term: int, leads: Callable[[], bool]) -> None:
        if seen > term or not leads():
            over = f"a leader of term {seen} has written to it since" if seen > term else "another peer leads now"
            raise stale_term(term, self.list.name, over)

    def _apply(self, outcome: Outcome, there: ListSnapshot, require: Callable[[], None]) -> dict[str, str]:
        """Apply what comes in; return the imported tasks with their digests."""
        new = [c.task for c in outcome.comparisons if c.kind == NEW_THERE and not c.why]
        if new:
            require()
            intake = take_in(self.queue, there.incoming(new))
            outcome.added = list(intake.added)
            outcome.refused += [*intake.refused, *there.refused()]
        applier = Applier(self.queue, self.tickets, shown(self.list.noted), require)
        for c in progress.track(outcome.comparisons, "taking edits in", len(outcome.comparisons)):
            if c.version and c.resolution.incoming and not c.why:
                c.why = applier.apply(c.task, c.version, c.resolution, c.theirs)
        applier.finish()
        return {task: there.digests[task] for task in outcome.added if task in there.digests}

    # -- comparing -------------------------------------------------------------------------------------------

    def _compare(
        self, here: Snapshot, there: ListSnapshot, fresh: Mapping[str, str] = _NONE, *, every: bool = False
    ) -> list[Comparison]:
        """Compare every task that changed on either side since both last agreed."""
        versions, digests, agreed = here.versions, there.digests, there.agreed
        touched = [
            task
            for task in {**versions, **digests, **agreed}
            if task not in here.moving
            and (every or agreed.get(task) != (here.stored(task), digests.get(task, "")))
            and (task in versions or task in digests)
            and ids.is_id(task)
        ]
        if not touched:
            return []
        bases, self._former = there.bases(touched), None
        found = []
        for task in progress.track(sorted(touched, key=ids.natural), "comparing", len(touched)):
            theirs = there.row(task)
            if task in there.overtaken or (theirs is None and task in digests):
                continue  # another leader writes it, or its row is no valid task now, which decides nothing
            is_fresh = digests.get(task) == fresh.get(task)
            comparison = self._compare_task(task, versions.get(task), theirs, bases.get(task), there, is_fresh)
            if comparison:
                found.append(comparison)
        clashes = [f"task {c.task}: {c.why.partition(':')[0]}" for c in found if c.kind == CLASH]
        if clashes and not agreed:
            raise UsageError(
                f"{self.list.name} has other tasks under the ids of this project's: {'; '.join(clashes[:SHOWN_MAX])}",
                hint="name another database with: peercoord sync --database PATH_OR_URL",
                code="id-clash",
            )
        self._mark_moved(found, versions, digests)
        if not self.take_edits:
            self._mark_replaced([c for c in found if c.kind == BOTH and c.base], len(agreed))
        gone = [c for c in found if c.kind == GONE and c.resolution]
        if reconcile.too_many_gone(len(gone), len(agreed)):
            raise UsageError(
                f"{len(gone)} of {len(agreed)} tasks have no row any more in {self.list.name}: "
                "refusing to cancel that many tasks",
                hint="put the rows back from a backup, or write them again with: peercoord sync --restore",
                code="rows-gone",
            )
        return found

    def _compare_task(
        self,
        task: str,
        version: TaskVersion | None,
        theirs: Json | None,
        base: Json | None,
        there: ListSnapshot,
        is_fresh: bool,
    ) -> Comparison | None:
        """Compare one task; ``None`` if nothing can be said about it now."""
        if version is None:
            return self._without_task(task, theirs, base) if theirs else None
        try:
            ours = self._ours(task, version)
        except (BrokenFileError, NotFoundError):
            return None  # its ticket is parked as unreadable, and people are told
        if theirs is None:
            return self._without_row(task, version, ours, base, there)
        is_same = True
        if base is None and is_fresh and _is_untouched(version):
            base = {"ours": ours, "theirs": theirs}  # it was imported a moment ago
        elif base is None:
            base, is_same = self._first_base(task, theirs, there)
        elif base.get("life") != self._life:  # agreed on before the directory was lost
            birth = self._birth(task)
            base = base if birth is None else reconcile.of_former(base, reconcile.shared(birth.definition), ours)
        elif base.get("removed"):
            base = {"ours": {}, "theirs": theirs}  # the row belonged to a task that was renamed; now it is this task's
        if is_same:
            return Comparison(task, BOTH, version, ours, theirs, base, reconcile.resolve(base, ours, theirs))
        title = shown(theirs.get("title", ""))
        why = f"it is {shown(ours['title'])} here and {title} there: give one of them another id"
        return Comparison(task, CLASH, version, ours, theirs, why=why)

    def _ours(self, task: str, version: TaskVersion) -> Json:
        known = self._values.get(task)
        if known is None or known[0] != version:
            known = self._values[task] = (version, self.tickets.values(task, version))
        return known[1]

    def _birth(self, task: str) -> Birth | None:
        with suppress(BrokenFileError):
            return self.queue.birth(task)
        return None

    def _without_task(self, task: str, theirs: Json, base: Json | None) -> Comparison | None:
        """Decide on a row without a task: it is new, or its task was renamed here; ``None`` if neither is certain."""
        new = Comparison(task, NEW_THERE, None, {}, theirs, base)
        known = base is not None and base.get("life") == self._life and "refused" not in base
        if base is None or not known or self.queue.files.listed(paths.birth(task)):
            return new
        was = base.get("theirs", {})
        if any(theirs.get(field) != was[field] for field in (*reconcile.SHARED, "state") if field in was):
            return new  # it was written again since
        if self._former is None:
            self._former = former_ids(self.queue)  # once: a list may be locked meanwhile
        if task not in self._former:
            return None  # only a renaming removes a task: the directory is being deleted
        found = Resolution()
        if theirs["state"] not in (TaskStatus.DONE, TaskStatus.CANCELLED):
            found.outgoing["state"] = TaskStatus.CANCELLED
        return Comparison(task, GONE_HERE, None, {**theirs, "claims": []}, theirs, base, found)

    def _without_row(
        self, task: str, version: TaskVersion, ours: Json, base: Json | None, there: ListSnapshot
    ) -> Comparison | None:
        """Decide on a task without a row: it is new here, or its row was deleted."""
        if base is None:
            birth = self._birth(task)
            if birth and there.is_beside(source_of(birth.definition)):
                return None  # its row is in another list of the same file
        was_gone = base is not None and base.get("gone", False)
        over = (TaskStatus.CANCELLED, TaskStatus.DONE)
        is_reopened = base is not None and was_gone and ours["state"] not in (base["ours"].get("state"), *over)
        if base is None or "refused" in base or self.restore or is_reopened:
            return Comparison(task, NEW_HERE, version, ours, {})
        found = Resolution()
        if not was_gone and ours["state"] not in over:
            found.incoming["state"] = TaskStatus.CANCELLED
        reason = {"reason": f"its row was deleted in {shown(self.list.noted)}"}
        return Comparison(task, GONE, version, ours, reason, base, found)

    def _first_base(self, task: str, theirs: Json, there: ListSnapshot) -> tuple[Json | None, bool]:
        """Return the base of a task that both sides have but never agreed on, and whether it is the same task."""
        birth = self._birth(task)
        if birth is None:
            return None, False
        born, source = reconcile.shared(birth.definition), source_of(birth.definition)
        if not there.is_source(source):
            return None, born["title"].casefold() == str(theirs.get("title", "")).casefold()
        was_done, note = self.queue.was_added_done(task), birth.definition.set_aside
        if was_done:
            state = TaskStatus.DONE
        elif birth.definition.cancelled is not None:
            state = TaskStatus.CANCELLED
        else:
            state = parked_status(note[0]) if note else TaskStatus.OPEN
        steps = birth.definition.steps
        ours = {**born, "state": state, "steps_done": sorted(step.step for step in steps if was_done or step.done)}
        row = {key: born[key] for key in born if key in theirs}
        row |= {"state": status_or_blocked(source.get("status"))}
        row |= {"steps_done": sorted(step.step for step in steps if step.done)}
        return {"ours": ours, "theirs": row}, True

    # -- moved, copied and replaced rows ---------------------------------------------------------------------

    def _mark_moved(
        self, comparisons: Sequence[Comparison], versions: Mapping[str, TaskVersion], digests: Mapping[str, str]
    ) -> None:
        """Refuse rows that carry the team's note of another task: the row was moved or copied to another id."""
        store, moved = self.queue.root.store_id, {}
        for comparison in comparisons:
            noted = reconcile.noted_task(comparison.theirs, store)
            task = "" if noted is None else str(noted)
            if task in ("", comparison.task) or task not in versions or comparison.kind not in (NEW_THERE, BOTH):
                continue
            was = comparison.base["theirs"].get("title") if comparison.base and comparison.kind == BOTH else None
            if was is not None and was == comparison.theirs["title"]:
                continue  # its own row with another task's note copied into it: the note is corrected
            moved[task] = comparison.task
            if task in digests:
                then = "copied: to make it a task of its own, take that note out of it"
            else:
                then = f"moved: give it its id back, or: peercoord task rename {task} {comparison.task}"
            comparison.kind, comparison.resolution = CLASH, Resolution()
            comparison.why = f"by what the team noted in it there, it is task {task}, {then}"
        for comparison in comparisons:
            if comparison.kind == GONE and comparison.task in moved:
                comparison.resolution = Resolution()
                comparison.why = f"it has the id {moved[comparison.task]} in {self.list.name} now"

    def _mark_replaced(self, comparisons: Sequence[Comparison], known: int) -> None:
        """Refuse other tasks under the ids of tasks that are held or done."""
        replaced = [c for c in comparisons if reconcile.is_replaced(c.base or {}, c.ours, c.theirs)]
        reset = [c for c in comparisons if c not in replaced and reconcile.is_reset(c.base or {}, c.theirs)]
        if reconcile.is_remade(len(replaced), len(reset), known):
            named = "; ".join(
                f"task {c.task} was {shown(c.ours['title'])}, is {shown(c.theirs['title'])} "
                f"({c.theirs.get('state', '')})"
                for c in [*replaced, *reset][:SHOWN_MAX]
            )
            raise UsageError(
                f"{len(replaced) + len(reset)} of {known} tasks are other ones in {self.list.name} now, "
                f"so it was made again, or is an older copy; nothing was changed: {named}",
                hint="put the list back, or give the new tasks ids of their own; "
                "if all of it is meant as edits: peercoord sync --take-edits",
                code="list-remade",
            )
        for c in replaced:
            was = (c.base or {})["ours"].get("state")
            if c.ours["holder"] or TaskStatus.DONE in (c.ours["state"], was):
                c.kind, c.resolution = CLASH, Resolution()
                c.why = (
                    f"it is {shown(c.ours['title'])} here, {'held' if c.ours['holder'] else 'done'}, and "
                    f"{shown(c.theirs['title'])} there: give that one another id, or if it is the same task: "
                    "peercoord sync --take-edits"
                )


def _is_untouched(version: TaskVersion) -> bool:
    """Check whether a task is as it was imported: never claimed, and not finished."""
    place = location_at(version.path)
    return place.epoch == 0 and place.state in ("waiting", "ready", "parked") and not version.results


def _refusals(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    return [(f"task {c.task}", c.why) for c in comparisons if c.why]


def _row_update(comparison: Comparison, life: str) -> RowUpdate | None:
    """Return what to write for a comparison. Fields that have yet to come in keep their base."""
    if comparison.kind in (NEW_THERE, CLASH) or comparison.why:
        return None
    task, ours, base, found = comparison.task, comparison.ours, comparison.base, comparison.resolution
    version = comparison.version.stored if comparison.version else ""
    left = list(found.incoming)
    if comparison.kind == GONE:
        was = {"ours": {"state": ours["state"]}, "theirs": {}, "gone": True, "life": life}
        return None if left else RowUpdate(task, {}, {}, version, lambda _: was)
    if comparison.kind == GONE_HERE:
        removed = {"ours": {}, "removed": True, "life": life}
        return RowUpdate(task, ours, found.outgoing, "", lambda theirs: {**removed, "theirs": theirs})
    is_new = comparison.kind == NEW_HERE
    return RowUpdate(
        task,
        ours,
        ours if is_new else found.outgoing,
        "" if left else version,
        lambda theirs: {**reconcile.agreed(base, ours, theirs, left), "life": life},
        new=is_new,
    )
