"""Rename a task, for example because two lists use the same number.

The task is added again under the new id with its results, and tasks that depend on it are changed. Then the old one is
removed: results, definition, ticket, and last the birth record. One result at its highest epoch remains of the old id,
if the task was ever claimed: a later task with that id starts above it, so no old claim is mistaken for a new one.

No peer can claim the task while it has two ids: its old ticket is done, or is parked first, and every step that would
bring it back is refused. After a crash its note names the command that finishes the renaming.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, LostError, NotFoundError, UsageError
from peercoord.queue.intake import KNOWN
from peercoord.queue.queue import RENAMING, moved_meanwhile
from peercoord.queue.tasks import no_task, no_ticket
from peercoord.store import ids, paths, records
from peercoord.store.paths import Ticket

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.placement import Location
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Birth, Definition


def rename(queue: Queue, old: str, new: str) -> list[str]:
    """Rename a task; return the tasks that depend on it, whose definitions name the new id now.

    Raises:
        NotFoundError: There is no such task.
        LostError: A peer holds it, or it moved meanwhile.
        UsageError: The new id is taken, or not allowed; or the task is being renamed to another one.
    """
    ids.check(new)
    if old == new:
        raise UsageError(f"task {old} has that id already", hint="name another one")
    with queue.root.intake():
        birth = queue.birth(old)
        if birth is None:
            raise no_task(old)
        definition = queue.definition(old)
        seen = queue.locate(old)
        moved = records.checked(_renamed(definition, birth, new, _before(queue, definition, seen)))
        _require_free(queue, birth, definition, moved)
        epoch, done = _set_aside(queue, definition, seen, moved)
        _copy_results(queue, old, new)
        if queue.create(moved, birth.order, done=done) == KNOWN and (known := queue.birth(new)):
            ticket = paths.new_ticket(new, known.nonce)
            if queue.files.stat(ticket) is not None:  # the renaming was cut short before the task was placed
                queue.finish_adding(ticket, known, done)
        changed = _point(queue, old, new)
        _remove(queue, old, new, epoch)
        queue.files.flush()
    queue.root.event(queue.actor, "renamed", task=new, was=old)
    for task in changed:
        queue.attempt(queue.place_again, task)
    queue.place_waiting(old)
    queue.place_blocked()
    return changed


def free_number(taken: list[str]) -> str:
    """Return a number that none of these tasks has."""
    return str(max((int(task) for task in taken if task.isdigit()), default=0) + 1)


def unfinished(queue: Queue) -> dict[str, str]:
    """Find renamings that a crash cut short, in all birth records: old id to new id."""
    found = {}
    for task in queue.all_tasks():
        try:
            birth = queue.birth(task)
            before = _source(queue, birth.definition) if birth else ""
        except BrokenFileError:
            continue
        if before:
            found[before] = task
    return found


def former_ids(queue: Queue) -> set[str]:
    """Return the ids that tasks had before. Reads every birth record."""
    found: set[str] = set()
    for task in queue.all_tasks():
        with suppress(BrokenFileError):
            birth = queue.birth(task)
            found.update(map(ids.read, _former(birth.definition) if birth else ()))
    return found - {""}


def _former(definition: Definition) -> list[object]:
    """The ids that a task had before, oldest first."""
    mark, before = definition.raw.get("renamed_from"), definition.raw.get("former_ids")
    last = [mark.get("task")] if isinstance(mark, dict) else []
    return [*(before if isinstance(before, list) else ()), *last]


def _source(queue: Queue, definition: Definition) -> str:
    """Return the id that a task still has beside this one; empty if it has no other."""
    mark = definition.raw.get("renamed_from")
    old = ids.read(mark.get("task")) if isinstance(mark, dict) else ""
    birth = queue.birth(old) if old else None
    return old if birth and birth.mark == mark else ""


def _require_free(queue: Queue, birth: Birth, definition: Definition, moved: Definition) -> None:
    """Refuse an id of another task. After a crash the same task may have it."""
    new = moved.task
    queue.refuse_renamed(definition, to=new)
    before = _source(queue, definition)
    if before:
        raise UsageError(
            f"task {birth.task} is task {before} too, whose renaming was cut short",
            hint=f"go on with it first: peercoord task rename {before} {birth.task}",
            code="renaming",
        )
    other = queue.birth(new)
    if other is None:
        queue.refuse_case_twin(new)
        queue.refuse_cycle(moved)
    elif other.definition.raw.get("renamed_from") != birth.mark:
        taken = queue.all_tasks()
        raise UsageError(
            f"there is a task {new} already",
            hint=f"name an id that is free, for example: peercoord task rename {birth.task} {free_number(taken)}",
            code="exists",
        )


def _set_aside(queue: Queue, definition: Definition, seen: Location | None, moved: Definition) -> tuple[int, bool]:
    """Park the ticket, so that no peer claims it meanwhile; return its highest epoch, and whether the task is done.

    The definition says why before the ticket moves. That of a done task stays: no peer claims it there, and the tasks
    that need it stay ready.
    """
    old, new, known = definition.task, moved.task, _note(definition)
    epoch = queue.highest_epoch(old, seen.epoch if seen else 0)
    done = bool(known.get("done")) or (seen is not None and seen.state == "done")
    if seen is None:
        if queue.birth(new) is None:
            raise no_ticket(old)
        return epoch, done  # a crash came after its removal
    if seen.state in ("claimed", "departed", "new"):
        holder = paths.parse_incarnation(seen.detail)
        who = f"held by {holder.peer}" if holder else "on its way"
        raise LostError(f"task {old} is {who}", hint="rename it when no instance holds it", code="held")
    note = {
        "why": "held",
        "kind": RENAMING,
        "to": ids.public(new),
        "by": queue.actor,
        "at": queue.root.clock.now(),
        "reason": f"it is being renamed: peercoord task rename {old} {new}",
        "was": moved.raw.get("parked"),
        "done": done,
    }
    path, target = paths.definition(old), paths.parked("held", Ticket(old, epoch))
    queue.files.put(path, records.encode_stored({**definition.raw, "parked": note}), durable=True)
    if seen.state != "done" and seen.path != target and not queue.files.move(seen.path, target, make_home=True):
        queue.files.put(path, records.encode_stored(definition.raw), durable=True)
        raise moved_meanwhile(old)
    return epoch, done


def _note(definition: Definition) -> Json:
    """The note of a renaming that a crash cut short."""
    note = definition.note
    return note if note.get("kind") == RENAMING else {}


def _before(queue: Queue, definition: Definition, seen: Location | None) -> object:
    """Why a task was parked before it was renamed; ``None`` if it was not.

    Where only its ticket's place says so, it becomes the note of a definition, so that the new ticket is put there.
    """
    known = _note(definition)
    if known:
        return known.get("was")
    if definition.set_aside or seen is None or seen.state != "parked" or seen.detail not in ("failed", "review"):
        return definition.raw.get("parked")
    if queue.is_answered(definition, seen.epoch):
        return None
    last = (queue.result(definition.task) or (0, "", {}))[2]
    return {"why": seen.detail, "reason": str(last.get("reason", "")), "by": queue.actor, "at": queue.root.clock.now()}


def _renamed(definition: Definition, birth: Birth, new: str, before: object) -> Json:
    """The definition under the new id, with its steps."""
    old = definition.task
    raw = {key: value for key, value in definition.raw.items() if key != "parked"}
    raw |= {"task_id": ids.public(new), "renamed_from": birth.mark} | ({"parked": before} if before else {})
    if former := _former(definition):
        raw["former_ids"] = former
    if isinstance(raw.get("subtasks"), list):
        raw["subtasks"] = [_step(step, old, new) for step in raw["subtasks"]]
    return raw


def _step(step: Json, old: str, new: str) -> Json:
    def moved(text: object) -> object:
        return f"{new}{text[len(old) :]}" if isinstance(text, str) and text.startswith(f"{old}.") else text

    needs = step.get("dependencies")
    more = {"dependencies": [moved(need) for need in needs]} if isinstance(needs, list) else {}
    return {**step, "id": moved(step.get("id")), **more}


def _copy_results(queue: Queue, old: str, new: str) -> None:
    for epoch, outcome in queue.outcomes(old):
        record = queue.read_record(paths.result(old, epoch, outcome)) or {"epoch": epoch, "outcome": outcome}
        steps = [_step({"id": step}, old, new)["id"] for step in records.notes(record.get("steps_done"))]
        moved = {**record, "task_id": ids.public(new), **({"steps_done": steps} if steps else {})}
        queue.files.publish(paths.result(new, epoch, outcome), records.encode_stored(moved), durable=True)


def _point(queue: Queue, old: str, new: str) -> list[str]:
    """Make tasks that depend on the old id depend on the new one."""
    changed = []
    for task in queue.all_tasks():
        try:
            definition = queue.definition(task)
        except (BrokenFileError, NotFoundError):
            continue
        if task != old and old in definition.dependencies:
            needs = dict.fromkeys(new if need == old else need for need in definition.dependencies)
            raw = {**definition.raw, "dependencies": [*map(ids.public, needs)], "edited_at": queue.root.clock.now()}
            queue.files.put(paths.definition(task), records.encode_stored(raw), durable=True)
            changed.append(task)
    return sorted(changed, key=ids.natural)


def _remove(queue: Queue, old: str, new: str, epoch: int) -> None:
    """Remove the old id, the birth record last: while it exists, the renaming can continue.

    The definition, with the note that keeps the task parked, goes after the ticket.
    """
    found = queue.locate(old)
    if epoch:
        reason = f"the task that had this id is task {new} now"
        record = queue.result_record(Ticket(old, epoch), "released", queue.actor, reason=reason)
        queue.files.put(paths.result(old, epoch, "released"), records.encode_stored(record), durable=True)
    for end in queue.outcomes(old):
        if end != (epoch, "released"):
            queue.files.remove(paths.result(old, *end))
    if found is not None:
        queue.files.remove(found.path)
    queue.files.remove(paths.definition(old))
    queue.files.remove(paths.birth(old))
