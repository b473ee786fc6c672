"""``report-progress``: how far a task is or how it ended, said in options or in a progress file.

A late report, on a released claim, ends the task if no peer has claimed it since; else the next holder gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import BrokenFileError, StorageError, UsageError
from peercoord.foreign import plain
from peercoord.store import ids, records
from peercoord.store.records import percent
from peercoord.store.settings import RECORD_BYTES
from peercoord.system.disk import read_named
from peercoord.worktree.handover import NEXT_HOLDER, NOT_CONTINUED, SHELL, whereabouts
from peercoord.worktree.progress_file import NAME, WHERE
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.mailbox.verbs import ReportProgress
    from peercoord.queue.peer import Peer
    from peercoord.store.paths import Ticket
    from peercoord.worktree.call import WorktreeCall
    from peercoord.worktree.context import Place


def report(call: WorktreeCall, verb: ReportProgress) -> Reply:
    """Report on a task: progress, or how it ends."""
    said, task = verb.facts, verb.task
    with call.peer("report-progress") as peer:
        if call.late is not None:
            return _late_reply(call, peer, ids.typed(task) if task else "", verb)
        task = ids.typed(task) if task else call.only_task(peer)
        if verb.status != "in-progress":
            return _ended(call, peer, task, said, verb.status, verb.reason)
        entry = peer.worker.report(task, said)
        shown = "" if entry.get("steps") else "~"
        if verb.progress is not None and entry.get("steps"):
            done = len(entry.get("steps_done") or ())
            call.notes.append(
                f"task {task} has steps, and they count, not --progress: {done} of {entry['steps']} are done "
                f"(report one with --step)"
            )
        call.note_task(task)
        line = f"task {task}: {shown}{percent(entry['progress'])} reported"
        return Reply({"task_id": ids.public(task), "status": "in-progress", **entry}, [line], call.notes)


def end_task(call: WorktreeCall, peer: Peer, task: str, said: Json, status: str, reason: str = "") -> str:
    """End a task with this status, and say how; its last blocker is the reason if none is given."""
    return _ended(call, peer, task, said, status, reason).lines[0]


def report_late(call: WorktreeCall, peer: Peer, ticket: Ticket, said: Json, status: str, reason: str = "") -> str:
    """Report on a claim that was given back, and say what became of the report. Arguments as for ``end_task``."""
    task = ticket.task
    if status not in ("", "in-progress") and peer.worker.reclaim(ticket):
        call.notes.append(
            f"task {task} was given back and no peer has claimed it since: it was claimed again to end it"
        )
        return end_task(call, peer, task, said, status, reason)
    peer.worker.report_late(ticket, said, status or "in-progress")
    return f"task {task} is not {peer.name}'s any more: what was reported is kept for its next holder"


def _late_reply(call: WorktreeCall, peer: Peer, task: str, verb: ReportProgress) -> Reply:
    given_back = call.late or {}
    task = task or next(iter(given_back))
    if task not in given_back:
        raise UsageError(f"{peer.name} held another task: {', '.join(given_back)}", hint=f"name it: {SHELL} …")
    line = report_late(call, peer, given_back[task], verb.facts, verb.status, verb.reason)
    return Reply({"task_id": ids.public(task), "status": verb.status}, [line], call.notes)


def _ended(call: WorktreeCall, peer: Peer, task: str, said: Json, status: str, reason: str) -> Reply:
    facts = call.git_facts()
    reason = reason or next(reversed(records.notes(said.get("blockers"))), "") or f"reported as {status}"
    lines = [f"next: {SHELL} request-task"]
    if status == "done":
        _check_committed(call, facts)
        fits = f"see whether what is done fits: peercoord task show {task}"
        call.note_task(task, stop="it is recorded as done even so", edited=fits)
        result = peer.worker.complete(task, said, {k: v for k, v in facts.items() if k != "dirty_files"})
        lines.insert(0, f"task {task} is done (epoch {result['epoch']})")
        return Reply({"task_id": ids.public(task), "status": "done", **result}, lines, call.notes)
    call.note_task(task, stop=NOT_CONTINUED, edited=NEXT_HOLDER)
    if status == "failed":
        where = peer.worker.fail(task, reason, said, facts)
        lines.insert(0, f"task {task}: attempt failed; {whereabouts(where)}")
    else:
        peer.worker.park(task, status, reason, said, facts)
        lines.insert(0, f"task {task} is parked as {status}, a person is asked: {plain(reason)}")
    return Reply({"task_id": ids.public(task), "status": status, "reason": reason}, lines, call.notes)


def _check_committed(call: WorktreeCall, facts: Json) -> None:
    """Warn of work that is not committed; refuse it, or not knowing, where the team's settings say so."""
    dirty, refuse = facts.get("dirty_files") or [], call.root.setting("uncommitted") == "refuse"
    what = ""
    if dirty:
        others = " and others" if len(dirty) > 1 else ""
        many = foreign.counted(dirty, "file", "of this worktree is", "of this worktree are")
        what = f"{many} not committed: {foreign.shown(dirty[0])}{others}"
    if refuse and (dirty or call.unknown):
        hint = "commit, then report it done again" if dirty else "see: git status"
        raise UsageError(f"the task is not completed: {what or call.unknown}", hint=hint, code="dirty")
    if dirty:
        call.notes.append(f"{what}: others will not see that work before it is committed")


# -- progress files ----------------------------------------------------------------------------------------------


def report_file(call: WorktreeCall, path: str = "", content: str | None = None) -> Reply:
    """Report what a progress file in the mission's schema says of each task that this peer holds."""
    said = entries_of(call.place, path, content)
    own = content is None and path in ("", WHERE)
    path = "the progress file" if content is not None else path or WHERE
    done: list[Json] = []
    skipped: list[str] = []
    with call.peer("report-progress") as peer:
        held = {ticket.task for ticket in peer.worker.held()}
        late = call.late or {}
        for entry in said:
            task = ids.check(entry.get("task_id"))
            if task in late and task not in held:
                peer.worker.report_late(late[task], _facts_of(entry), str(entry.get("status") or "in-progress"))
        for entry in said:
            task = ids.check(entry.get("task_id"))
            if task in held:  # the worktree's own file was taken in when the call began
                done.append(peer.worker.report(task, {} if own else _facts_of(entry)))
                call.note_task(task)
            elif entry.get("status") in (None, "in-progress"):
                skipped.append(task)
    call.notes += [f"task {task} is not held here: what {path} says of it was passed over" for task in skipped]
    reported = [ids.read(entry["task_id"]) for entry in done]
    lines = [f"reported from {path}: {', '.join(reported) or ('no task is held now' if own else 'nothing')}"]
    lines += [f"  task {one['task_id']}: {percent(one['progress'])} {plain(one.get('title', ''))}" for one in done]
    return Reply({"reported": reported, "passed_over": skipped}, lines, call.notes)


def entries_of(place: Place, path: str = "", content: str | None = None) -> list[Json]:
    """Read the entries of a progress file. Arguments as for ``report_file``."""
    shown = "the progress file" if content is not None else path or WHERE
    try:
        if content is not None:
            data: bytes | None = content.encode("utf-8", "surrogateescape")
        else:
            data = read_named(path, RECORD_BYTES + 1) if path else place.files().read(NAME)
        raw = records.decode(data or b"", shown)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="name a progress file: --file PATH") from None
    except BrokenFileError as error:
        raise BrokenFileError(error.message, f"mend it, or report in words: {SHELL} report-progress TASK") from None
    entries = raw.get("assigned_tasks")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BrokenFileError(f"{shown}: assigned_tasks must be a list of objects", f"see {SHELL} check-status")
    return entries


def _facts_of(entry: Json) -> Json:
    known = {key: entry.get(key) for key in ("achievements", "blockers", "time_spent", "progress")}
    return {**known, "estimate": entry.get("completion_estimate"), "steps": entry.get("steps_done") or []}
