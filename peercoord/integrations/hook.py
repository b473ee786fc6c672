"""One event of a coding agent in, one answer out.

A hook never fails its agent: whatever is wrong is logged, and the answer is empty. It never brings back a team that a
person took down. Only the end of a session takes its work away; every other event changes what people see.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from peercoord.errors import DownError, PeercoordError, StorageError
from peercoord.foreign import plain
from peercoord.integrations import agents, context, limits, quiet, stopping
from peercoord.integrations.session import Session, process_of
from peercoord.mailbox import protocol
from peercoord.mailbox.fifo import ring
from peercoord.membership import membership as members
from peercoord.store import down, ids, paths
from peercoord.store.files import Files
from peercoord.system import clock
from peercoord.system.sessions import ASKS, ENDED, FAILED, IDLE, LIMITED, PERMISSION, WORKING, Caller
from peercoord.worktree import actions
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.handover import SHELL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.queue.peer import Peer
    from peercoord.worktree.context import Place

INPUT_BYTES = 64 << 20  # read of what an agent tells; more is not looked at
MESSAGE_CHARS, PATH_CHARS = 2000, 4096
ONGOING = ("clear", "resume")  # reasons of an end after which the same process goes on
ASKING = ("agent_needs_input", "elicitation_dialog")
RING = "-"  # rung at the agent's door: no request has this id
UNATTENDED = "CLAUDE_CODE_SESSION_ATTENDED"  # 0 in a session without a terminal (`claude -p`)
VERB = "check-status"  # what a hook counts as in the record of the peer


@dataclass
class Answer:
    """What a hook answers.

    Attributes:
        data: The agent's JSON; empty for no answer at all.
        err: Text for standard error, of a waiter that wakes its session.
        code: The exit code.
        withdraw: Gives back what the answer hands out, if it cannot be delivered.
    """

    data: Json = field(default_factory=dict)
    err: str = ""
    code: int = 0
    withdraw: Callable[[], object] = str

    def output(self) -> bytes:
        """Return what is printed."""
        return orjson.dumps(self.data) if self.data else b""


def parsed(data: bytes) -> Json:
    """Read what an agent tells; empty for anything but a JSON object."""
    try:
        said = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def text(said: Mapping[str, object], *keys: str) -> str:
    """Return the first of some keys that holds a text; empty if none does."""
    return next((value for key in keys if isinstance(value := said.get(key), str)), "")


class Hook:
    """One event of a coding agent, told in a worktree.

    Args:
        agent: What kind of coding agent tells it.
        event: Our word for it.
        said: What the agent says.
        place: The worktree.
        environ: The environment of the hook.
    """

    def __init__(
        self, agent: CodingAgent, event: str, said: Json, place: Place, environ: Mapping[str, str] = os.environ
    ) -> None:
        place.require_worktree()
        self.agent, self.event, self.said, self.place, self.environ = agent, event, said, place, environ
        self.files: Files = place.shared_files()
        self.now = clock.moment(time.time())
        self.process = process_of(agent, environ)
        ident = text(said, "session_id", "sessionId")[:200]
        self.session = Session(self.files, place.instance, agent, ident, self.process)

    def answer(self) -> Answer:
        """Return the answer to the event."""
        if down.read(self.files) is not None:
            return Answer()
        if self.said.get("agent_id"):
            return Answer()  # a subagent: its session tells of itself
        handle = {
            agents.START: self._start,
            agents.PROMPT: self._prompt,
            agents.TOOLS: self._tools,
            agents.PERMISSION: self._permission,
            agents.NOTIFICATION: self._notification,
            agents.COMPACT: self._compact,
            agents.STOP: self._stop,
            agents.STOP_FAILURE: self._stop_failure,
            agents.WAIT: self._wait,
            agents.END: self._end,
        }[self.event]
        try:
            return handle()
        except DownError:
            return Answer()

    # -- the session begins, and goes on ---------------------------------------------------------------------

    def _start(self) -> Answer:
        ongoing = self.session.is_known and text(self.said, "source") == "compact"
        told = self._whole_context()
        if ongoing:
            self._becomes(WORKING)
        else:
            self.session.begin(self.now, model=text(self.said, "model")[:80])
            self._becomes(IDLE)
            quiet.trim_costs(self.files, self.place, self.now)
        return Answer(self.agent.context(agents.START, told, **self._title()))

    def _whole_context(self) -> str:
        call = self._call()
        with call.peer(VERB) as peer:
            told = context.text(call, peer)
        self._start_agent()
        return told

    def _title(self) -> dict[str, str]:
        return {"sessionTitle": self.place.instance} if self.agent is agents.CLAUDE else {}

    def _prompt(self) -> Answer:
        # unknown: the team came up after this session, or another one ran here since
        told = self._notices() if self.session.is_known else self._whole_context()
        self._becomes(WORKING, blocks=0)
        return Answer(self.agent.context(agents.PROMPT, told))

    def _tools(self) -> Answer:
        told = self._notices()
        self._becomes(WORKING)
        return Answer(self.agent.context(agents.TOOLS, told))

    def _compact(self) -> Answer:
        if self.agent.events[agents.COMPACT].injects:
            return Answer(self.agent.context(agents.COMPACT, self._whole_context()))
        return Answer()  # the session is told again when it goes on

    def _notices(self) -> str:
        """Return what is new for the session since it was told last."""
        call = self._call()
        with call.peer(VERB) as peer:
            before = actions.held_before(call)
            held = peer.worker.held()
            for ticket in held:
                call.note_task(ticket.task)
            gone = [task for task in before if task not in {ticket.task for ticket in held}]
            given = [ids.public(ticket.task) for ticket in held if ticket.task not in before]
            call.notes += [
                f"task {task} was given to this worktree; it is shown by: {SHELL} request-task" for task in given
            ]
            notes = [*self.session.pending(), *(self._lost(call, peer, task) for task in gone), *call.notes]
            quiet.note(self.files, self.place, peer, [ticket.task for ticket in held])
        new = self.session.untold([note for note in notes if note])
        return context.cut(["peercoord states:", *(f"  {plain(note)}" for note in new)]) if new else ""

    def _lost(self, call: WorktreeCall, peer: Peer, task: str) -> str:
        """Say what became of a task that this worktree held after its last call and holds no more."""
        cancelled = call.tasks.withdrawn(task)
        found = peer.queue.locate(task)
        if cancelled or found is None or found.state == "done":
            return cancelled
        holder = paths.parse_incarnation(found.detail) if found.state == "claimed" else None
        now = f"is {holder.peer}'s now" if holder else "is not this worktree's any more"
        return f"task {ids.public(task)} {now}: a report on it from here is refused"

    def _call(self) -> WorktreeCall:
        """Return a call of this session in its worktree."""
        self._note_work()
        return WorktreeCall(self.place, Caller(self.process, self.agent.program) if self.process else Caller())

    def _note_work(self) -> None:
        """Remember that this session works on tasks: a person's that never asked for one is given none."""
        found = self._peer_record().get("last_call")
        call = found if isinstance(found, dict) else {}
        since = str(self.session.record.get("started"))
        if call.get("verb") in ("request-task", "report-progress") and str(call.get("at")) >= since:
            self.session.record["worked"] = True

    def _peer_record(self) -> Json:
        me = self.place.incarnation
        return (members.read_record(self.files, paths.peer_dir(me)) if me else None) or {}

    def _start_agent(self) -> None:
        from peercoord.agent import client, control

        alone = self.environ.get(client.NO_AGENT) or self._peer_record().get("stopped_at")
        if not alone and not control.locked(self.place.worktree, self.place.checkout):
            control.start_apart(self.place.project, self.place.worktree)

    def _becomes(self, state: str, why: str = "", **facts: object) -> None:
        if not self.session.is_known:
            self.session.begin(self.now)
        path, source = text(self.said, "transcript_path")[:PATH_CHARS], text(self.said, "source")[:80]
        self.session.note_transcript(path, self.now, source)
        begins = not self.session.state
        with suppress(StorageError):  # a full disk: the agent is answered, and people see less
            self.session.becomes(state, self.now, why, **facts)
        if state != WORKING:
            quiet.forget(self.files, self.place)  # the next call of a tool says that it works again
        if begins:
            with suppress(OSError):
                ring(self.place.files().beneath, protocol.WAKE, RING)  # its agent watches the process from now on

    # -- what a person should see ----------------------------------------------------------------------------

    def _permission(self) -> Answer:
        tool = text(self.said, "tool_name", "toolName")
        given = self.said.get("tool_input") or self.said.get("toolInput")
        about = text(given, "command", "file_path", "path") if isinstance(given, dict) else ""
        self._becomes(PERMISSION, f"{tool}: {about}" if about else tool)
        return Answer()

    def _notification(self) -> Answer:
        kind, message = text(self.said, "notification_type", "type"), text(self.said, "message")[:MESSAGE_CHARS]
        if kind in ("permission_prompt", "ToolPermission"):
            if self.session.state != PERMISSION:
                self._becomes(PERMISSION, message)
        elif kind in ASKING:
            self._becomes(ASKS, message)
        elif kind == "idle_prompt" and self.session.state == WORKING:
            self._becomes(IDLE)
        return Answer()

    def _stop_failure(self) -> Answer:
        error = self.said.get("error")
        kind = error if isinstance(error, str) else text(error, "name", "type") if isinstance(error, dict) else ""
        message = text(self.said, "last_assistant_message", "message", "errorMessage")
        if isinstance(error, dict):
            message = message or text(error, "message")
        message = message[:MESSAGE_CHARS]
        if stopping.is_limit(f"{kind} {message}"):
            until = limits.in_message(message, time.time())
            self._becomes(LIMITED, message, until=clock.moment(until))
        else:
            self._becomes(FAILED, f"{kind}: {message}" if kind and message else kind or message)
        return Answer()

    def _end(self) -> Answer:
        reason = text(self.said, "reason")[:80]
        if not self.session.is_known or (self.agent is agents.CLAUDE and reason in ONGOING):
            return Answer()
        unfinished = self.session.state in (WORKING, PERMISSION)  # no stop came before: its turn failed
        self._becomes(ENDED, f"in the middle of a turn ({reason})" if unfinished else reason, failed=unfinished)
        return Answer()

    # -- a turn ends -----------------------------------------------------------------------------------------

    def _stop(self) -> Answer:
        if not self.session.is_known:
            self.session.begin(self.now)
        call = self._call()
        if not self.said.get("stop_hook_active"):
            self.session.record["blocks"] = 0
        try:
            chosen = stopping.decide(self.agent, self.said, self.session, call)
            until = {"until": chosen.until} if chosen.until else {}
            self._becomes(chosen.state, chosen.why, blocks=self.session.blocks + bool(chosen.answer), **until)
        except BaseException:
            call.withdraw()  # the session would not learn of it
            raise
        return Answer(chosen.answer, withdraw=call.withdraw)

    def _wait(self) -> Answer:
        from peercoord.integrations import waiter

        if self.environ.get(UNATTENDED) == "0":
            return Answer()  # it ends with its turn, and would wait for its waiter before each tool
        woken, withdraw = waiter.wait(self.agent, self.session, self.place, self.process)
        return Answer(err=woken, code=2, withdraw=withdraw) if woken else Answer()


def run(agent: CodingAgent, event: str, said: Json, place: Place, environ: Mapping[str, str] = os.environ) -> Answer:
    """Answer one event; a team that is down, or a worktree that is none, has no answer.

    Raises:
        PeercoordError: The event could not be handled.
    """
    if event not in agent.events:
        raise PeercoordError(f"{agent.title} has no event {event}")
    return Hook(agent, event, said, place, environ).answer()
