"""What a worktree is told about tasks: the task it gets, why there is none, and changes of a task it holds.

A task may be cancelled or edited while its holder works on it. The holder is told with its next call. The worktree
remembers the definition's time of change that it last reported, so a call only has to compare that time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import block, named, plain, quoted
from peercoord.store import ids, paths
from peercoord.store.records import percent
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from peercoord.foreign import Json
    from peercoord.queue.peer import Peer
    from peercoord.queue.placement import Location
    from peercoord.store.records import Definition

SHELL = f"./{paths.INSTANCE}/coordinate.sh"
NOTHING_READY = 4
NO_TASKS = 'add one with: peercoord task add "TITLE"'
KEPT = "refs/peercoord/kept/"  # where what was not committed is kept
QUOTE = "  > "  # before each line that people or other agents wrote
CHECKS = {"testStrategy": "how to test it", "acceptanceCriteria": "it is done when"}
"""The keys of a definition that say when a task is done, and their headings for people."""
WHY_MOST = 20  # tasks named when nothing is ready
FREED_MOST = 10  # tasks named that wait for one
NOT_CONTINUED = "no instance will continue it"
NEXT_HOLDER = "its next holder gets the new version"
WAIT_FOR_PEOPLE = "waiting does not help: what is left needs a person, see: claude-coordination-status"


class TaskNotices:
    """What a worktree was told about its tasks, as ``kept`` returned it, and what is new."""

    def __init__(self, peer: Peer, known: object) -> None:
        self.peer = peer
        self.files = peer.root.files
        self.known: Json = dict(known) if isinstance(known, dict) else {}

    def handed_out(self, task: str) -> None:
        """Note that the worktree is given the whole task as it is now."""
        with suppress(PeercoordError):
            self.known[task] = self._changed(task)

    def kept(self, tasks: Iterable[str]) -> Json:
        """Return what to remember about the tasks that are held."""
        return {task: self.known[task] for task in tasks if self.known.get(task)}

    def note(self, task: str, stop: str = "", edited: str = "") -> str:
        """Return a note if a task was cancelled or edited since its holder was told, with what to do; else empty.

        An edit is reported once, a cancellation by each call while the task is held.
        """
        with suppress(PeercoordError):  # a note that fails must not stop a report
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
        """Return a note if the holder lost a task because it was cancelled; else empty."""
        with suppress(PeercoordError):
            definition = self.peer.queue.definition(task)
            if definition.cancelled is not None:
                return f"{_cancelled(definition)}, and is yours no longer: stop working on it"
        return ""

    def _changed(self, task: str) -> int:
        seen = self.files.stat(paths.definition(task))
        return seen.modified_ns if seen else 0

    def _since_claim(self, task: str, changed: int) -> bool:
        """Check whether a definition changed after a task was assigned to this worktree unasked."""
        mine = next((ticket for ticket in self.peer.worker.held() if ticket.task == task), None)
        claim = self.files.stat(paths.claim(self.peer.membership.home, mine)) if mine else None
        return claim is not None and changed > claim.changed_ns


def _cancelled(definition: Definition) -> str:
    note, reason = definition.raw["cancelled"], definition.cancelled
    who = note.get("by") if isinstance(note, dict) else None
    by = f" by {named(who)}" if who else ""
    why = f" ({quoted(str(reason)[:400])})" if reason != "cancelled" else ""
    return f"task {definition.task} was cancelled{by}{why}"


def claim_lines(data: Json, peer: str) -> list[str]:
    """Return the lines that show a task to its new holder.

    What people and other agents wrote stands in quotes, or behind a mark on each of its lines: it can be told from the
    rest, whatever it says.
    """
    again = " (held already)" if data["held_before"] else ""
    lines = [
        f"task {data['task_id']}: {quoted(data['title'])}{again}",
        f"  priority {data['priority']}, epoch {data['epoch']}",
    ]
    for key in ("description", "details"):  # lists that ask for a description repeat the title in it
        lines += block(data[key], QUOTE) if data.get(key) and data[key] != data["title"] else []
    lines += [f"  [{'x' if s['done'] else ' '}] {s['id']} {quoted(s['title'])}" for s in data["steps"]]
    for key, name in CHECKS.items():
        lines += [f"  {name}:", *_listed(data[key])] if data.get(key) else []
    lines += [f"  note: {quoted(note)}" for note in data["notes"]]
    lines += _hand_over_lines(data["hand_over"], peer)
    base = data["base"]
    lines += [f"  {plain(base['note'])}: {base['command']}"] if base else []
    for missing in data["merge"]:
        where = f" on {named(missing['branch'])}" if missing["branch"] else ""
        command = f": {missing['command']}" if missing["command"] else ""
        lines += [f"  task {missing['task_id']} was done{where}{command}"]
        lines += [f"    {plain(missing['note'])}"] if missing.get("note") else []
    step = next((f" --step {s['id']}" for s in data["steps"] if not s["done"]), "")
    more = step if data["steps"] else " --progress 0.5"
    return [
        *lines,
        *([f"report: {SHELL} report-progress {data['task_id']}{more}"] if more else []),
        f"finish: {SHELL} report-progress {data['task_id']} --status done",
    ]


def _listed(text: object) -> list[str]:
    """Return the lines of a text, or of each text in a list."""
    if isinstance(text, list):
        return [f"  {QUOTE}{plain(entry)}" for entry in text]
    return block(text, f"  {QUOTE}")


def _hand_over_lines(left: Json, peer: str) -> list[str]:
    """Return the lines that show what the last holder left; that may have been the same peer."""
    share = left.get("progress")
    came = f" at {percent(share)}" if isinstance(share, float) else ""
    who = "you, earlier" if left.get("peer") == peer else f"before you: {named(left.get('peer', 'someone'))}"
    lines = [f"  {who}, {plain(left['outcome'])}{came}"] if "outcome" in left else []
    for key in ("achievements", "blockers"):
        lines += [f"    {key[:-1]}: {quoted(item)}" for item in left.get(key) or []]
    where = [f"{key} {named(left[key])}" for key in ("branch", "commit", "worktree") if left.get(key)]
    lines += [f"    {', '.join(where)}"] if where else []
    dirty = left.get("dirty_files") or []
    lines += [f"    not committed there: {', '.join(map(quoted, dirty[:10]))}"] if dirty else []
    kept = str(left.get("kept") or "")
    if kept.startswith(KEPT) and named(kept) == kept:  # nothing else from a record stands in a command
        lines += [f"    what was not committed is kept: git show {kept}"]
        lines += [f"    it is brought here by: git cherry-pick --no-commit {kept}"]
        lines += ["    a program that the session had started may still run there and write"]
    for one in left.get("answers") or []:
        asked = f" ({named(one['asked_by'])})" if one.get("asked_by") else ""
        lines += [f"  asked{asked}: {quoted(one['question'])}"] if one.get("question") else []
        lines += ["  answer:", *block(one["answer"], f"  {QUOTE}")]
    return lines


def nothing(peer: Peer, notes: list[str]) -> Reply:
    """Return why no task is ready: all are done, there are none, or what each open task waits for."""
    states = peer.queue.survey()
    wanted = [s for s in states.values() if (s.state, s.detail) != ("parked", "cancelled")]
    left = [s for s in wanted if s.state != "done"]
    if not left:  # an empty list is not finished: its first task may come
        none: Json = {"finished": bool(states), "total_tasks": len(states)}
        if states:
            return Reply(none, ["every task is done: nothing to do"], notes)
        none["wait"] = {"helps": False, "for": []}
        return Reply(none, ["there are no tasks yet: ask again later", NO_TASKS], notes, code=NOTHING_READY)
    why = [_why(peer, s, states) for s in sorted(left, key=lambda s: ids.natural(s.task))[:WHY_MOST]]
    wait = _wait(left, states)
    data = {"finished": False, "ready": 0, "waiting_for": why, "not_done": len(left), "wait": wait}
    lines = [f"nothing is ready now; {len(left)} of {len(wanted)} tasks are not done:"]
    lines += [f"  task {w['task_id']}: {_why_line(w)}" for w in why]
    lines += [_wait_line(entry) for entry in wait["for"]]
    again = f"ask again, and wait: {SHELL} request-task --wait"
    return Reply(data, [*lines, again if wait["helps"] else WAIT_FOR_PEOPLE], notes, code=NOTHING_READY)


def _wait(left: Iterable[Location], states: Mapping[str, Location]) -> Json:
    """Return whether waiting may bring a task, and who holds the tasks that others wait for.

    A task that is held may free others, and may come back itself.
    """
    freed: dict[str, list[str]] = {}
    ends: dict[str, Location] = {}  # by task, the end of its chain of dependencies
    for sighting in left:
        chain, at = {sighting.task}, sighting
        while at.state == "waiting" and at.detail in states and at.detail not in chain and at.task not in ends:
            at = states[at.detail]
            chain.add(at.task)
        end = ends.get(at.task, at)
        ends |= dict.fromkeys(chain, end)
        if end.state == "claimed":
            freed.setdefault(end.task, []).extend([sighting.task] if end is not sighting else [])
    moving = any(end.state not in ("parked", "waiting") for end in ends.values())
    holders = {task: paths.parse_incarnation(states[task].detail) for task in sorted(freed, key=ids.natural)}
    found = [
        {
            "task_id": ids.public(task),
            "held_by": who.peer,
            "frees": [*map(ids.public, sorted(freed[task], key=ids.natural))],
        }
        for task, who in holders.items()
        if who
    ]
    return {"helps": moving, "for": found[:WHY_MOST]}


def _wait_line(entry: Json) -> str:
    frees = [str(task) for task in entry["frees"]]
    more = ", …" if len(frees) > FREED_MOST else ""
    one = len(frees) == 1
    these = f"task{'' if one else 's'} {', '.join(frees[:FREED_MOST])}{more}"
    what = f", and {these} wait{'s' if one else ''} for it" if frees else ""
    return f"wait for {entry['held_by']}: it works on task {entry['task_id']}{what}"


def _why(peer: Peer, sighting: Location, states: Mapping[str, Location]) -> Json:
    holder = paths.parse_incarnation(sighting.detail)
    if sighting.state == "claimed" and holder:
        why = f"held by {holder.peer}"
    elif sighting.state == "waiting":
        other = states.get(sighting.detail)
        owner = paths.parse_incarnation(other.detail) if other and other.state == "claimed" else None
        why = f"waits for task {sighting.detail}" + (f", which {owner.peer} holds" if owner else "")
    elif sighting.state == "parked":
        word = paths.PARKED_WORDS.get(sighting.detail, sighting.detail)
        why = f"{word}: {peer.queue.location_of(sighting.task).reason or 'see peercoord task show'}"
    else:
        why = f"{sighting.state}: ask again"
    return {"task_id": ids.public(sighting.task), "state": sighting.state, "why": why}


def _why_line(entry: Json) -> str:
    """Why a task is not ready; the reason of one that is set aside is text of people and agents."""
    word, colon, reason = entry["why"].partition(": ")
    return f"{word}: {quoted(reason)}" if colon and entry["state"] == "parked" else plain(entry["why"])


def whereabouts(path: str) -> str:
    """Return where a ticket went that this worktree gave up, in words."""
    home, _, why = path.rpartition("/")[0].rpartition("/")
    return _AFTER.get(why, "set aside") if home == paths.PARKED else "back in the queue"


_AFTER = {"failed": "set aside, too many attempts", "cancelled": "set aside, it is cancelled"}
