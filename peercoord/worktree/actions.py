"""Carrying out the verbs: each takes a value of ``mailbox.verbs`` and returns a ``Reply``.

The command line and the agent call ``run``. Reports and contributions are in ``reporting`` and ``contributing``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.foreign import counted, named, plain
from peercoord.mailbox.verbs import COORDINATE, CheckStatus, Misuse, Release, ReportProgress, RequestTask, UpdateMemory
from peercoord.status.dashboard import bar
from peercoord.store import ids, instance_records, paths, records, session_records
from peercoord.store.records import percent
from peercoord.store.refusals import refused
from peercoord.system import process
from peercoord.worktree import handover, reporting
from peercoord.worktree.handover import NEXT_HOLDER, NOT_CONTINUED, NOTHING_READY, claim_lines, nothing, whereabouts
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.mailbox.verbs import Verb
    from peercoord.queue.claims import Claim
    from peercoord.queue.peer import Peer
    from peercoord.store.paths import Ticket
    from peercoord.worktree.call import WorktreeCall


def run(call: WorktreeCall, verb: Verb) -> Reply:
    """Carry out a verb in a worktree; an error says why it was refused or could not be understood."""
    if isinstance(verb, RequestTask):
        return request(call)
    if isinstance(verb, ReportProgress):
        return reporting.report_file(call, verb.path, verb.content) if verb.of_file else reporting.report(call, verb)
    if isinstance(verb, UpdateMemory):
        from peercoord.worktree import contributing

        return contributing.hand_in(call) if verb.of_folder else contributing.contribute(call, verb)
    if isinstance(verb, Release):
        return release(call, verb.task, verb.reason)
    if isinstance(verb, CheckStatus):
        return check(call)
    raise verb.error if isinstance(verb, Misuse) else TypeError(verb)


def answer(call: WorktreeCall, verb: Verb) -> Reply:
    """Carry out a verb; a failure becomes a reply too."""
    try:
        return run(call, verb)
    except PeercoordError as error:
        return Reply.of(error, [note for note in call.notes if note not in error.message])
    except OSError as error:
        return Reply.of(refused(error, os.fsdecode(error.filename or COORDINATE)))


def unready(verb: Verb, reply: Reply) -> bool:
    """Check whether a caller that waits for a task has to be served again, because none was ready."""
    return isinstance(verb, RequestTask) and reply.code == NOTHING_READY


# -- request-task ------------------------------------------------------------------------------------------------


def request(call: WorktreeCall) -> Reply:
    """Claim the next task, or say why there is none. A claim that cannot be shown is given back."""
    try:
        with call.peer("request-task") as peer:
            before = held_before(call)
            claim = peer.worker.request()
            call.claimed = None if claim is None or claim.again else claim.ticket
            _note_cancelled(call, peer, before, claim.task if claim else "")
            if claim is None:
                return nothing(peer, call.notes)
            if claim.again:
                _note_other_session(call, peer, claim)
                if peer.worker.assignments.bind(claim.ticket):
                    call.claimed = claim.ticket
                call.note_task(claim.task, edited="this is what it is now")
            call.tasks.handed_out(claim.task)
            data = handed(call, peer, claim)
        return Reply(data, claim_lines(data, peer.name), call.notes)
    except BaseException:
        call.withdraw()
        raise


def held_before(call: WorktreeCall) -> list[str]:
    """List what this worktree held after its last call."""
    known = call.place.info.get("assigned_tasks")
    return [task for task in map(str, known if isinstance(known, list) else []) if ids.is_id(task)]


def _note_cancelled(call: WorktreeCall, peer: Peer, before: list[str], claimed: str) -> None:
    """Note which tasks this worktree lost by asking for the next one, because they were cancelled."""
    gone = [task for task in before if task != claimed]
    held = {ticket.task for ticket in peer.worker.held()} if gone else set()
    for task in gone:
        if task in held:
            call.note_task(task)
        else:
            call.notes += filter(None, [call.tasks.withdrawn(task)])


def _note_other_session(call: WorktreeCall, peer: Peer, claim: Claim) -> None:
    """Tell a second coding session of this worktree that the first one still runs and works on the task."""
    record = peer.queue.read_record(paths.assignment(peer.membership.home, claim.ticket)) or {}
    other, mine = record.get("session"), call.caller.session or {}
    same = isinstance(other, dict) and (other.get("pid"), other.get("start")) == (mine.get("pid"), mine.get("start"))
    if same or other == peer.membership.record().get("agent"):
        return  # the same session asked again; or only the agent was known when the task was claimed
    if isinstance(other, dict) and process.running(other):
        who = (
            f"{named(other['program']) if 'program' in other else 'another coding session'}, process {other.get('pid')}"
        )
        call.notes.append(f"task {claim.task} was claimed by {who} of this worktree, which still runs")


def handed(call: WorktreeCall, peer: Peer, claim: Claim) -> Json:
    """Return all that the holder of a task is told of it."""
    entry, raw = claim.entry, claim.definition.raw
    missing, base = _to_merge(call, peer, claim)
    steps, done = claim.definition.steps, set(entry.get("steps_done", []))
    return {
        "task_id": ids.public(claim.task),
        "title": raw["title"],
        **{key: raw[key] for key in ("description", "details", *handover.CHECKS) if raw.get(key)},
        "priority": paths.PRIORITIES[claim.definition.level],
        "epoch": claim.ticket.epoch,
        "held_before": claim.again,
        "progress": entry.get("progress", 0.0),
        "dependencies": raw.get("dependencies", []),
        "steps": [{"id": s.step, "title": s.title, "done": s.done or s.step in done} for s in steps],
        "notes": records.notes(raw.get("notes")),
        "hand_over": _hand_over(call, claim),
        "merge": missing,
        "base": base,
        "definition": raw,
    }


def _hand_over(call: WorktreeCall, claim: Claim) -> Json:
    """Return what the last holder left, with what its worktree shows now if it is an instance's on this machine."""
    left = claim.hand_over
    tree = left.get("worktree")
    if not isinstance(tree, str) or not os.path.lexists(tree) or not instance_records.of_worktree(call.root, tree):
        return left
    ended = paths.Ticket(claim.task, left.get("epoch", 0))
    facts = call.work_left(ended, tree) if left.get("outcome") == "evicted" else call.git_facts(tree)
    return {**left, **{key: value for key, value in facts.items() if key not in left}}


def _to_merge(call: WorktreeCall, peer: Peer, claim: Claim) -> tuple[list[Json], Json | None]:
    """List what is to be merged into this worktree before the task: work of dependencies, and what has landed."""
    dependencies, place = claim.definition.dependencies, call.place
    if not dependencies and not call.root.files.scan(paths.LANDINGS):
        return [], None
    from peercoord.worktree import merging

    return merging.missing(peer.queue, place.project, place.worktree, place.instance, dependencies)


# -- release, check-status ---------------------------------------------------------------------------------------


def release(call: WorktreeCall, task: str, reason: str) -> Reply:
    """Give a task back."""
    if call.late is not None:
        task = task or ", ".join(call.late)
        return Reply({"task_id": ids.public(task), "ticket": ""}, [f"task {task} was given back already"])
    with call.peer("release") as peer:
        task = ids.typed(task) if task else call.only_task(peer)
        call.note_task(task, stop=NOT_CONTINUED, edited=NEXT_HOLDER)
        where = peer.worker.release(task, reason or "released", call.git_facts())
    return Reply({"task_id": ids.public(task), "ticket": where}, [f"task {task} is {whereabouts(where)}"], call.notes)


def check(call: WorktreeCall) -> Reply:
    """Show what this worktree holds, what is ready, and what needs a person."""
    from peercoord.membership.leadership import leader_name
    from peercoord.membership.membership import judge
    from peercoord.queue.counts import count_tasks
    from peercoord.status import dashboard
    from peercoord.status.board import Reader
    from peercoord.status.needs import needs

    with call.peer("check-status") as peer:
        mine = [_standing(call, peer, ticket) for ticket in peer.worker.held()]
        counts = count_tasks(call.root.files)
        leader = leader_name(call.root.files)
        board = Reader(peer.queue, lambda who: judge(call.root, who)).parked()
    found, said = needs(board), session_records.read(call.root.files, peer.name)
    told = {key: said[key] for key in ("agent", "state", "since", "why", "until") if key in said}
    data: Json = {
        "instance_id": peer.name,
        "incarnation": str(peer.membership.me),
        "assigned_tasks": mine,
        **counts,
        "leader": leader,
        "needs_you": dashboard.data(found),
        **({"session": told} if told else {}),
    }
    until = f" until {told['until']}" if told.get("until") else ""
    lines = [
        *dashboard.needed(found, board.now, title="NEEDS A PERSON"),
        f"{peer.name} ({plain(call.place.info.get('branch', ''))}) holds {counted(mine, 'task')}",
        *(f"  task {m['task_id']} {plain(m['title'])}  {bar(m['progress'])} {percent(m['progress'])}" for m in mine),
        *([f"  its session, as its hooks say: {told['state']}{until}"] if told else []),
        f"{data['done']} of {data['total_tasks'] - data['cancelled']} done, {data['in_progress']} in progress, "
        f"{data['ready']} ready, {data['waiting']} waiting, {data['parked'] - data['cancelled']} parked",
    ]
    return Reply(data, lines, call.notes)


def _standing(call: WorktreeCall, peer: Peer, ticket: Ticket) -> Json:
    entry = peer.worker.reports.entry(peer.name, ticket) or {}
    call.note_task(ticket.task)
    try:
        title = peer.queue.definition(ticket.task).title
    except (BrokenFileError, NotFoundError):
        title = "(its definition cannot be read)"
    share = entry.get("progress", 0.0)
    return {"task_id": ids.public(ticket.task), "title": title, "progress": share, "epoch": ticket.epoch}
