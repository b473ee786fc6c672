"""What needs a person, and what each instance does. Pure functions of the board.

Every status screen uses these, so all of them show the same needs in the same order with the same commands. A need is
something that only a person can settle. What a person has decided already (a task that was cancelled, put off, or kept
for elsewhere) is not a need.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

from peercoord.membership import liveness
from peercoord.status import views
from peercoord.store import ids
from peercoord.system.sessions import ASKS, ENDED, FAILED, IDLE, LIMITED, PERMISSION, PROGRAMS, WAITING, WORKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from peercoord.foreign import Json
    from peercoord.status.views import Board, PeerView, Row

    Words = tuple[str, ...]

TEXT = "…"  # stands in a command for what a person has to write
MOMENT_CHARS = 40  # of a time, at most
THEN = "&&"  # stands between two commands of which the second follows the first


@dataclass(frozen=True)
class Need:
    """One thing that waits for a person.

    Attributes:
        kind: A word for programs: ``blocked``, ``review``, ``failed``, ``dependency``, ``unreadable``, ``missing``,
            ``gone``, ``silent``, ``permission``, ``asks``, ``turn``, ``limit``, ``stopped``, ``worktree``,
            ``not-started``, ``conflict``, ``approval``, ``refused``, ``sync`` or ``quarantined``.
        about: What it is about, for people: ``#14 "Pricing rules"``.
        what: What is the matter, in a word or two: ``blocked``.
        commands: What settles it, as words; the first is the usual one. ``TEXT`` and ``THEN`` may be among them.
        sign: Its sign on a screen.
        who: The instance that asked, or that it is about; empty if there is none.
        task: Task id; empty if it is about no task.
        why: The reason, in the words of its author; may be empty.
        since: Since when, RFC 3339; empty if that is not known.
    """

    kind: str
    about: str
    what: str
    commands: Sequence[Words]
    _: KW_ONLY
    sign: str = "!"
    who: str = ""
    task: str = ""
    why: str = ""
    since: str = ""


@dataclass(frozen=True)
class Doing:
    """What an instance does, as a screen shows it.

    Attributes:
        sign: Its sign.
        state: A word for programs: ``working``, ``permission``, ``asks``, ``limited``, ``turn-failed``, ``waiting``,
            ``idle``, ``silent``, ``stuck``, ``no-session`` or ``gone``.
        word: The words on the screen.
        since: The moment whose age follows; empty if none does.
        why: What follows the age; may be empty.
        until: When it ends, if that is known; empty if not.
    """

    sign: str
    state: str
    word: str
    since: str = ""
    why: str = ""
    until: str = ""


def needs(board: Board) -> list[Need]:
    """List everything that needs a person: instances first, then tasks, the memory bank, other lists, files."""
    return [*_instances(board), *_tasks(board), *_memory(board), *_lists(board), *_files(board)]


def doing(board: Board, peer: PeerView) -> Doing:
    """What an instance does now."""
    held, silent = board.held_by(peer.incarnation), moment(peer.record.get("silent_since"))
    if peer.gone or peer.verdict.state == liveness.DEAD:
        return Doing("✕", "gone", "gone", peer.gone or peer.active or peer.heartbeat, _left(board, peer))
    if peer.verdict.state == liveness.SUSPECT or peer.stopped:
        return Doing("!", "stuck", "stuck", peer.active, peer.verdict.because if not peer.stopped else "it is stopped")
    if peer.waits:
        return Doing("◌", "waiting", "waits for a task")
    if peer.session == views.ENDED:
        return Doing("✕", "gone", _end(peer), why=_left(board, peer))  # since when is not known yet
    there = peer.session in (views.RUNS, views.UNSEEN)
    told = _told(peer) if there else None
    if told is not None:
        return told
    if silent and (held or peer.session == views.RUNS):
        return Doing("!", "silent", "silent", silent, "its session runs" if peer.session == views.RUNS else "")
    if held or (there and peer.said.get("state") == WORKING):
        return Doing("●", "working", "working,", peer.active or _text(peer.said.get("since")) or _claimed(held[0]))
    joined = moment(peer.record.get("joined_at"))  # what it lost before that, says nothing of the session it has now
    lost = (row.last for row in _dropped(board, peer) if moment(row.last.get("at")) > joined)
    ended = _ended(peer) or next(lost, {})
    if ended and peer.session in (views.NONE, views.UNSEEN):
        return Doing("✕", "gone", _end(peer), moment(ended.get("at")), _left(board, peer))
    if peer.session == views.NONE:
        return Doing("–", "no-session", "no session")
    return Doing("○", "idle", "idle", peer.active)


_TOLD = {
    PERMISSION: ("?", "permission"),
    ASKS: ("?", "asks"),
    LIMITED: ("‖", "limited"),
    FAILED: ("✗", "turn-failed"),
    WAITING: ("◌", "waiting"),
    IDLE: ("○", "idle"),
}
"""Sign and word for programs of what a session says by its hooks."""


def _told(peer: PeerView) -> Doing | None:
    """What a running session said that it does; ``None`` if it works, or said nothing."""
    said = _text(peer.said.get("state"))
    if said not in _TOLD:
        return None
    sign, state = _TOLD[said]
    until = moment(peer.said.get("until"))
    if said == LIMITED and until:
        return Doing(sign, state, LIMITED, until=until)
    word = "waits for a task" if said == WAITING else said
    return Doing(sign, state, word, moment(peer.said.get("since")), _text(peer.said.get("why")))


def _end(peer: PeerView) -> str:
    """How a session went, as far as it said so itself."""
    return FAILED if peer.said.get("state") == ENDED and peer.said.get("failed") is True else "session gone"


def called(record: Json) -> str:
    """When a peer's worktree last made a call, by its record; empty if it never did."""
    call = record.get("last_call")
    return moment(call.get("at")) if isinstance(call, dict) else ""


# -- instances ---------------------------------------------------------------------------------------------------


def _instances(board: Board) -> Iterator[Need]:
    for peer in sorted([*board.peers, *board.lost], key=lambda peer: ids.natural(peer.name)):
        place, now = str(peer.record.get("worktree") or ""), doing(board, peer)
        if peer.homeless and not peer.gone:
            mend = ("peercoord", "doctor", "--fix")
            yield Need("worktree", peer.name, "its worktree is gone", [mend], who=peer.name, why=place)
        elif peer.stopped:
            go_on = ("kill", "-CONT", str(peer.stopped))
            yield Need("stopped", peer.name, "is stopped", [go_on], who=peer.name, since=peer.active)
        elif now.state == "silent":
            yield _silent(board, peer, place)
        elif now.state in ATTENTION:
            kind = ATTENTION[now.state]
            go = [("cd", place)]
            yield Need(kind, peer.name, now.word, go, sign=now.sign, who=peer.name, why=now.why, since=now.since)
        elif now.state == "limited" and moment(peer.said.get("until")) < board.now:
            since = moment(peer.said.get("until"))
            yield Need(
                "limit", peer.name, "may go on, its rate limit has reset", [("cd", place)], who=peer.name, since=since
            )
        elif now.state == "gone" and not board.finished:
            commands: list[Words] = []
            if place:
                commands = [("cd", place, *_started(peer)), ("peercoord", "leave", place)]
            yield Need(
                "gone",
                peer.name,
                now.word,
                commands or [("peercoord", "doctor")],
                sign=now.sign,
                who=peer.name,
                why=now.why or (peer.verdict.because if peer.verdict.state == liveness.DEAD else ""),
                since=now.since,
            )


ATTENTION = {"permission": "permission", "asks": "asks", "turn-failed": "turn"}
"""The kind of need for what a session does, where a person has to look at it."""


def _silent(board: Board, peer: PeerView, place: str) -> Need:
    """The need of an instance that shows no work: a running session keeps its task, others cannot be seen."""
    held = board.held_by(peer.incarnation)
    call = peer.record.get("last_call")
    verb, program = (_text(call.get(key)) for key in ("verb", "program")) if isinstance(call, dict) else ("", "")
    last = f"its last call was {verb}" + (f", by {program}" if program else "") if verb else ""
    has = f"it has {_listed([f'#{row.task}' for row in held])}" if held else ""
    commands: list[Words]
    if peer.session == views.RUNS:
        commands = [("peercoord", "reassign", row.task, TEXT) for row in held] or [("cd", place)]
        has = "; ".join(filter(None, [has, "its session runs"]))
    else:
        commands = [("peercoord", "-C", place, "release", row.task) for row in held]
    why = "; ".join(filter(None, [has, last]))
    since = moment(peer.record.get("silent_since"))
    return Need("silent", peer.name, "silent", commands, who=peer.name, why=why, since=since)


def _ended(peer: PeerView) -> Json:
    """How the last coding session ended, if it ended without a report and none came after it."""
    ended = peer.record.get("session_ended")
    return ended if isinstance(ended, dict) else {}


def _dropped(board: Board, peer: PeerView) -> list[Row]:
    """The tasks that an instance lost when it was evicted or its session ended, and that no peer has claimed since."""
    return [row for row in board.lost_rows if row.last.get("peer") == peer.name]


def _left(board: Board, peer: PeerView) -> str:
    """What becomes of the work of an instance that is gone."""
    back = [f"#{row.task}" for row in _dropped(board, peer)]
    held = [f"#{row.task}" for row in board.held_by(peer.incarnation)]
    said = [f"{_listed(back)} {'is' if len(back) == 1 else 'are'} back in the queue"] if back else []
    return "; ".join([*said, *([f"{_listed(held)} {'goes' if len(held) == 1 else 'go'} back soon"] if held else [])])


def _listed(some: list[str]) -> str:
    return ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")


def _started(peer: PeerView) -> Words:
    """The words that start its coding agent again, if it is a known one."""
    known = [one.get("program") for one in [*liveness.sessions(peer.record), _ended(peer)]]
    return next(((THEN, program) for program in known if isinstance(program, str) and program in PROGRAMS), ())


def _claimed(row: Row) -> str:
    return moment(row.assignment.get("assigned_at"))


# -- tasks -------------------------------------------------------------------------------------------------------


def _tasks(board: Board) -> Iterator[Need]:
    waiting = [row for status in _NEEDED for row in board.by_status.get(status, ())]
    for row in sorted(waiting, key=lambda row: ids.natural(row.task)):
        yield _NEEDED[row.status](row)


def _blocked(row: Row) -> Need:
    note = _note(row)
    if note.get("why") == "blocked" and note.get("kind") != "cycle":
        return _task("blocked", row, "blocked", ("answer", row.task, TEXT), ("show", row.task))
    if note.get("kind") == "cycle":
        return _task("dependency", row, "blocked", ("edit", row.task, "--depends-on", TEXT), ("show", row.task))
    other, state = row.behind
    if not other:
        return _task("dependency", row, "blocked", ("show", row.task))
    needed = row.definition.dependencies if row.definition else []
    others = [word for need in needed if need != other for word in ("--depends-on", need)]
    without = ("edit", row.task, *(others or ["--no-dependencies"]))
    first = [("reopen", other)] if state == "cancelled" else []
    is_now = "was cancelled" if state == "cancelled" else "is not known"
    return _task("dependency", row, "blocked", *first, without, why=f"it depends on #{other}, which {is_now}")


def _review(row: Row) -> Need:
    return _task("review", row, "waits for review", ("accept", row.task), ("answer", row.task, TEXT))


def _failed(row: Row) -> Need:
    return _task("failed", row, "failed", ("reopen", row.task), ("show", row.task))


def _unreadable(row: Row) -> Need:
    return _task("unreadable", row, "cannot be read", ("show", row.task), ("reopen", row.task))


def _missing(row: Row) -> Need:
    return replace(_task("missing", row, "has no ticket"), commands=[("peercoord", "doctor", "--fix")])


_NEEDED = {
    "blocked": _blocked,
    "review": _review,
    "failed": _failed,
    "unreadable": _unreadable,
    "missing": _missing,
}


def _task(kind: str, row: Row, what: str, *commands: Words, why: str = "") -> Need:
    note = _note(row) or row.last
    by = note.get("by") or note.get("peer")
    return Need(
        kind,
        f'#{row.task} "{row.title}"',
        what,
        [("peercoord", "task", *words) for words in commands],
        who=by if isinstance(by, str) and ids.is_id(by) else "",
        task=row.task,
        why=why or _text(note.get("reason")),
        since=moment(note.get("at")),
    )


def _note(row: Row) -> Json:
    note = row.definition.raw.get("parked") if row.definition else None
    return note if isinstance(note, dict) and note.get("why") == row.status else {}


# -- the memory bank, other lists, files -------------------------------------------------------------------------


def _memory(board: Board) -> Iterator[Need]:
    for one in board.deciding:
        section = one.get("section")
        path = [one.get("file"), *(section if isinstance(section, list) else [])]
        conflict = one.get("conflict") is True
        yield Need(
            "conflict" if conflict else "approval",
            " › ".join(_text(part) for part in path),
            "has two versions" if conflict else "has a change to approve",
            [("peercoord", "review")],
            who=_author(one),
            why=_text(one.get("why")),
            since=moment(one.get("made_at")),
        )


def _author(one: Json) -> str:
    """The instance whose contribution waits; empty if there are several, or none is known."""
    sides = [one.get(side) for side in ("left", "right")]
    listed = [side.get("authors") for side in sides if isinstance(side, dict)]
    found = {a.get("instance_id") for some in listed if isinstance(some, list) for a in some if isinstance(a, dict)}
    named = [name for name in found if isinstance(name, str) and name]
    return named[0] if len(named) == 1 else ""


def _lists(board: Board) -> Iterator[Need]:
    synced, where = board.synced, _text(board.synced.get("database")) or "the task list"
    if synced.get("ok") is False:
        since = moment(synced.get("since")) or moment(synced.get("at"))
        why = "; ".join(filter(None, [_text(synced.get("message")), _text(synced.get("hint"))]))
        yield Need("sync", where, "is not kept in step", [("peercoord", "sync")], why=why, since=since)
    refused = synced.get("refused")
    for one in refused if isinstance(refused, list) else []:
        if isinstance(one, dict):
            what, why, since = _text(one.get("what")), _text(one.get("why")), moment(one.get("since"))
            yield Need("refused", what, "is not in step", [("peercoord", "sync", "--dry-run")], why=why, since=since)


def _files(board: Board) -> Iterator[Need]:
    if board.quarantined:
        files = "1 file" if board.quarantined == 1 else f"{board.quarantined} files"
        yield Need("quarantined", files, "could not be read and lie in quarantine/", [("peercoord", "doctor")])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def moment(value: object) -> str:
    """A time as records hold it; empty for anything else."""
    text = value if isinstance(value, str) else ""
    return text if len(text) <= MOMENT_CHARS and text[10:11] == "T" and text.endswith("Z") else ""
