"""What happens when a session ends its turn: it is asked for a report, goes on with the next task, or may stop.

In this order:

1. Its own background work still runs: it may stop; it will go on by itself.
2. Its provider's limit is used up: it may stop, keeps its task, and goes on when the limit resets.
3. It holds a task without a report that ends it: it is asked, once for each claim; then it may stop, and a person is
   shown that it asks something.
4. It never asked for a task, so it is a person's own session, or ``session_continues`` is off: it may stop.
5. It was kept from stopping so often that its agent would overrule the next time: it may stop, and is woken later.
6. A task is ready: it is claimed and handed over in the answer.
7. Tasks are left that others work on: a session that cannot be woken is told how to wait; any other may stop.
8. All is done, or needs a person: it may stop.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.agent.transcripts import opened
from peercoord.foreign import plain
from peercoord.integrations import context, limits
from peercoord.store import ids
from peercoord.system import clock
from peercoord.system.sessions import ASKS, IDLE, LIMITED, WAITING, WORKING
from peercoord.worktree import actions
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.handover import SHELL

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.integrations.session import Session
    from peercoord.store.paths import Ticket

BLOCKS_MOST = 20  # stops in a row that a session is kept from where its agent has no limit
WAITS_MOST = 8  # of them, those in which it only waits
TAIL_BYTES = 1 << 18  # read of the end of a session's own record
LAST_CHARS = 160
LIMIT_WORDS = ("rate_limit", "rate limit", "usage limit", "quota", "429", "hit your limit", "too many requests")


@dataclass
class Choice:
    """What becomes of a session that ends its turn.

    Attributes:
        state: What it does from now on.
        answer: The agent's JSON; empty if it may stop.
        why: The reason, for people; may be empty.
        until: When its limit resets, RFC 3339; empty if it has none.
    """

    state: str
    answer: Json = field(default_factory=dict)
    why: str = ""
    until: str = ""


def is_limit(said: str) -> bool:
    """Check whether an error is a rate limit."""
    low = said.lower()
    return any(word in low for word in LIMIT_WORDS)


def decide(agent: CodingAgent, said: Json, session: Session, call: WorktreeCall) -> Choice:
    """Decide what becomes of a session that ends its turn; what is handed out is claimed.

    Args:
        agent: Its kind.
        said: What it says of its stop.
        session: What is known of it.
        call: Its call.
    """
    if _has_background_work(said):
        return Choice(WORKING, why="its background tasks run")
    until = _used_up(said)
    if until:
        return Choice(LIMITED, until=clock.moment(until))
    most = agent.blocks_most - 1 if agent.blocks_most else BLOCKS_MOST
    held = _held(call)
    if held:
        session.record["worked"] = True
        unasked = [ticket for ticket in held if not session.asked(str(ticket))]
        if unasked and session.blocks < most:
            session.note_asked(str(unasked[0]))
            return Choice(WORKING, agent.ask(_question(unasked[0])))
        last = said.get("last_assistant_message") or said.get("prompt_response")
        said_last = plain(last.strip())[-LAST_CHARS:] if isinstance(last, str) else ""
        return Choice(ASKS, why=said_last or f"it stopped with task {ids.public(held[0].task)}")
    if not session.record.get("worked") or call.root.setting("session_continues") == "off":
        return Choice(IDLE)
    if session.blocks >= most:
        return Choice(WAITING if agent.wakes else IDLE, why="it was kept going as often as its program allows")
    return _next(agent, session, call)


def _next(agent: CodingAgent, session: Session, call: WorktreeCall) -> Choice:
    """Hand over the next task, or say what waiting is good for."""
    reply = actions.request(call)
    if reply.code == 0 and "task_id" in reply.data:
        lines = ["The last task is recorded as done, and the next one was claimed for this worktree."]
        lines += context.handed_lines(reply.data, call.place.instance)
        lines += [f"  {plain(note)}" for note in reply.notes]
        return Choice(WORKING, agent.go_on(context.cut(lines)))
    wait = reply.data.get("wait")
    helps = bool(wait.get("helps")) if isinstance(wait, dict) else False
    session.note_pending(reply.notes)
    if agent.wakes:
        return Choice(WAITING)
    if reply.code == 0 or not helps:
        return Choice(IDLE)
    if session.blocks >= WAITS_MOST:
        return Choice(IDLE)
    told = f"No task is ready now, and others work on what is left. This waits for the next one: {SHELL} request-task"
    return Choice(WAITING, agent.go_on(f"{told} --wait 300"))


def _held(call: WorktreeCall) -> list[Ticket]:
    """List what the worktree holds; the call tells nothing that it would have to pass on."""
    with WorktreeCall(call.place, call.caller, heard=False).peer() as peer:
        return peer.worker.held()


def _question(ticket: Ticket) -> str:
    task = ids.public(ticket.task)
    return (
        f"peercoord still records task {task} as in progress in this worktree. "
        f"If it is finished and committed, this records it: {SHELL} report-progress {task} --status done\n"
        "If a person has to answer something first, this records the question and frees this worktree for other work: "
        f'{SHELL} report-progress {task} --status blocked --reason "THE QUESTION"\n'
        f"To give it back: {SHELL} release {task}"
    )


def _has_background_work(said: Json) -> bool:
    running = said.get("background_tasks")
    tasks = running if isinstance(running, list) else []
    crons = said.get("session_crons")
    ended = ("completed", "failed", "killed", "stopped", "done")
    alive = [one for one in tasks if not (isinstance(one, dict) and one.get("status") in ended)]
    return bool(alive) or bool(isinstance(crons, list) and crons)


def _used_up(said: Json) -> float:
    """Return when the limit of a Codex session resets that is used up, by its rollout file; 0 if it is not."""
    path = said.get("transcript_path")
    if not isinstance(path, str) or not os.path.basename(path).startswith("rollout-"):
        return 0.0
    try:
        with opened(path) as (handle, seen):
            tail = os.pread(handle, TAIL_BYTES, max(0, seen.st_size - TAIL_BYTES))
    except OSError:
        return 0.0
    return limits.in_rollout(tail, time.time())
