"""What a worktree is told of tasks: the one it is handed out, why there is none, and what became of one it holds.

A task may be cancelled or edited while somebody works on it. Its ticket stays where it lies, so its holder learns of
it when it asks or reports. The worktree remembers which state of a definition it was told, by the file's last change;
so one look at that file, unread, is all that a call costs of which nothing is to be told.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import ids, names
from peercoord.core.errors import PeercoordError
from peercoord.edges.reply import Reply, block, percent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.records import Definition, Json
    from peercoord.core.tickets import Sighting
    from peercoord.roles.peer import Peer

SHELL = f"./{names.INSTANCE}/coordinate.sh"
NOTHING_READY = 4
WHY_MOST = 20  # tasks named when nothing is ready


class Tidings:
    """What a worktree has been told of its tasks, and what is new.

    Args:
        peer: Its peer.
        known: What was told so far, as ``kept`` gave it.
    """

    def __init__(self, peer: Peer, known: object) -> None:
        self.peer = peer
        self.files = peer.root.files
        self.known: Json = dict(known) if isinstance(known, dict) else {}

    def handed_out(self, task: str) -> None:
        """Note that the worktree is given the whole of a task, as it is now."""
        with suppress(PeercoordError):
            self.known[task] = self._changed(task)

    def kept(self, tasks: Iterable[str]) -> Json:
        """Give what to remember: of the tasks that are held, no more."""
        return {task: self.known[task] for task in tasks if self.known.get(task)}

    def note(self, task: str, stop: str = "", edited: str = "") -> str:
        """Say what became of a task since its holder was told of it; empty if nothing did.

        An edit is told once. That a task was cancelled is told as long as it is held.

        Args:
            task: Which.
            stop: What follows for one that was cancelled; by default, to stop and to give it back.
            edited: What follows for one that was edited; by default, to read it again.
        """
        with suppress(PeercoordError):  # what cannot be told now must not keep a report from being made
            now = self._changed(task)
            if now == self.known.get(task):
                return ""
            definition = self.peer.queue.definition(task)
            if definition.cancelled is not None:
                stop = stop or f"stop, and give it back with: {SHELL} release {task}"
                return f"{_cancelled(definition)}: {stop}"
            new = task in self.known or self._since_claim(task, now)
            self.known[task] = now
            if new:
                return (
                    f"task {task} was edited since it was handed out: {edited or f'see it with: {SHELL} request-task'}"
                )
        return ""

    def withdrawn(self, task: str) -> str:
        """Say that a task was taken from its holder because it was cancelled; empty if it was not."""
        with suppress(PeercoordError):
            definition = self.peer.queue.definition(task)
            if definition.cancelled is not None:
                return f"{_cancelled(definition)}, and is yours no longer: stop working on it"
        return ""

    def _changed(self, task: str) -> int:
        seen = self.files.stat(names.definition(task))
        return seen.modified_ns if seen else 0

    def _since_claim(self, task: str, changed: int) -> bool:
        """Tell it for a task that was put into this worktree's hands without its asking."""
        mine = next((ticket for ticket in self.peer.worker.held() if ticket.task == task), None)
        claim = self.files.stat(names.claim(self.peer.membership.home, mine)) if mine else None
        return claim is not None and changed > claim.changed_ns


def _cancelled(definition: Definition) -> str:
    note, reason = definition.raw["cancelled"], definition.cancelled
    by = f" by {note['by'] if ids.is_id(note['by']) else ids.shown(note['by'])}" if note.get("by") else ""
    why = f" ({ids.shown(reason, 400)})" if reason != "cancelled" else ""
    return f"task {definition.task} was cancelled{by}{why}"


def claim_lines(data: Json) -> list[str]:
    """Show a task that is handed out."""
    again = " (held already)" if data["held_before"] else ""
    lines = [
        f"task {data['task_id']}: {plain(data['title'])}{again}",
        f"  priority {data['priority']}, epoch {data['epoch']}",
    ]
    for key in ("description", "details"):
        lines += block(data[key]) if data.get(key) else []
    lines += [f"  [{'x' if s['done'] else ' '}] {s['id']} {plain(s['title'])}" for s in data["steps"]]
    lines += [f"  note: {plain(note)}" for note in data["notes"]]
    lines += _hand_over_lines(data["hand_over"])
    lines += [f"  task {m['task_id']} was done on {plain(m['branch'])}: {m['command']}" for m in data["merge"]]
    step = f" --step {data['steps'][0]['id']}" if data["steps"] else " --progress 0.5"
    return [
        *lines,
        f"report: {SHELL} report-progress {data['task_id']}{step}",
        f"finish: {SHELL} report-progress {data['task_id']} --status done",
    ]


def _hand_over_lines(left: Json) -> list[str]:
    if not left:
        return []
    share = left.get("progress")
    came = f" at {percent(share)}" if isinstance(share, float) else ""
    lines = [f"  before you: {plain(left.get('peer', 'someone'))}, {plain(left.get('outcome'))}{came}"]
    for key in ("achievements", "blockers"):
        lines += [f"    {key[:-1]}: {plain(item)}" for item in left.get(key) or []]
    where = [f"{key} {plain(left[key])}" for key in ("branch", "commit", "worktree") if left.get(key)]
    lines += [f"    {', '.join(where)}"] if where else []
    dirty = left.get("dirty_files") or []
    return [*lines, *([f"    not committed there: {', '.join(map(plain, dirty[:10]))}"] if dirty else [])]


def nothing(peer: Peer, notes: list[str]) -> Reply:
    """Say why there is no task to hand out: all are done, there are none yet, or what each one left waits for."""
    states = peer.queue.survey()
    left = [s for s in states.values() if s.state != "done" and s.detail != "cancelled"]
    if not left:
        return _none_left(len(states), notes)
    why = [_why(peer, s) for s in sorted(left, key=lambda s: ids.natural(s.task))[:WHY_MOST]]
    data = {"finished": False, "ready": 0, "waiting_for": why, "not_done": len(left)}
    lines = [f"nothing is ready now; {len(left)} of {len(states)} tasks are not done:"]
    lines += [f"  task {w['task_id']}: {plain(w['why'])}" for w in why]
    return Reply(data, lines, notes, code=NOTHING_READY)


def _none_left(tasks: int, notes: list[str]) -> Reply:
    """Answer when nothing is left. A list that is still empty is not finished: who is to work on it waits."""
    data = {"finished": tasks > 0, "total_tasks": tasks}
    if tasks:
        return Reply(data, ["every task is done: nothing to do"], notes)
    lines = ["there are no tasks yet: ask again later", 'add one with: peercoord task add "TITLE"']
    return Reply(data, lines, notes, code=NOTHING_READY)


def _why(peer: Peer, sighting: Sighting) -> Json:
    holder = names.parse_incarnation(sighting.detail)
    if sighting.state == "claimed" and holder:
        why = f"held by {holder.peer}"
    elif sighting.state == "waiting":
        other = peer.queue.locate(sighting.detail)
        owner = names.parse_incarnation(other.detail) if other and other.state == "claimed" else None
        why = f"waits for task {sighting.detail}" + (f", which {owner.peer} holds" if owner else "")
    elif sighting.state == "parked":
        why = f"{sighting.detail}: {peer.queue.spot(sighting.task).reason or 'see peercoord task show'}"
    else:
        why = f"{sighting.state}: ask again"
    return {"task_id": ids.public(sighting.task), "state": sighting.state, "why": why}
