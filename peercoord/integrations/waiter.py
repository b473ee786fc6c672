"""The waiter of a session: it sleeps beside the session, and wakes it when there is work again.

One per session, and it ends with it. It claims the task before it wakes anybody, so of several that wait only one is
woken. A session whose limit resets is woken with the task that it kept. While a session of the same kind of agent is
limited, nobody is woken into the same limit.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import DownError, LostError, PeercoordError, StorageError
from peercoord.foreign import plain
from peercoord.integrations import context
from peercoord.integrations.session import limited_until
from peercoord.membership import membership as members
from peercoord.queue.prospect import Prospect
from peercoord.queue.queue import Queue
from peercoord.store import ids, lock, paths, session_records
from peercoord.store.root import open_root
from peercoord.system import clock
from peercoord.system import process as processes
from peercoord.system.sessions import ENDED, LIMITED, WAITING, WORKING, Caller
from peercoord.system.watch import Changes
from peercoord.worktree import actions
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.handover import SHELL

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.integrations.session import Session
    from peercoord.worktree.context import Place

LOOK_SECONDS = 2.0  # between two looks at the session itself
LATER_SECONDS = 2.0  # after a reset, which providers round


def wait(agent: CodingAgent, session: Session, place: Place, process: Json | None) -> tuple[str, Callable[[], object]]:
    """Wait until there is work for an idle session.

    Args:
        agent: Its kind.
        session: What is known of it.
        place: Its worktree.
        process: Its process.

    Returns:
        What it is woken with, empty if it ended or another waiter is there; and what gives the task of it back.
    """
    if process is None:
        return "", str
    home = f"{place.coordination}/{paths.quiet(place.worktree)}"
    os.makedirs(home, exist_ok=True)
    try:
        with lock.held(f"{home}/waiter", wait=0):
            waiter = _Waiter(agent, session, place, process)
            return waiter.run(), waiter.withdraw
    except (LostError, DownError):
        return "", str


class _Waiter:
    def __init__(self, agent: CodingAgent, session: Session, place: Place, process: Json) -> None:
        self.agent, self.session, self.place, self.process = agent, session, place, process
        self.files = place.shared_files()
        self.withdraw: Callable[[], object] = str
        self._parent = os.getppid()
        self._rung = threading.Event()
        self._changes = Changes(lambda *_: self._rung.set())
        me = place.incarnation
        queue = Queue(open_root(place.coordination, place.store_id))
        self.prospect = Prospect(queue, paths.peer_dir(me) if me else "")

    def run(self) -> str:
        self._changes.watch("bell", f"{self.place.coordination}/{paths.BELL}")
        try:
            while self._goes_on():
                woken = self._look()
                if woken:
                    return woken
                self._rung.wait(LOOK_SECONDS)
                self._rung.clear()
        finally:
            self._changes.close()
        return ""

    def _goes_on(self) -> bool:
        """Check whether the session is there, and is the one that this waiter belongs to."""
        self.session.reload()
        record = self.session.record
        ours = not record or (self.session.is_known and record.get("state") != ENDED)
        down = self.files.stat(paths.DOWN) is not None
        return ours and not down and processes.running(self.process) and os.getppid() == self._parent

    def _look(self) -> str:
        now = time.time()
        if self.session.state == LIMITED:
            until = clock.seconds(self.session.record.get("until"))
            far = until > now + session_records.LONGEST_SECONDS  # the clock went back since
            return self._go_on() if far or now >= until + LATER_SECONDS else ""
        if self.session.state != WAITING or not self.prospect.is_there():
            return ""
        peers = [who.peer for who in members.living(self.prospect.queue.root)]
        if limited_until(self.files, peers, self.agent.key, now):
            return ""
        with suppress(PeercoordError):
            return self._claim()
        return ""

    def _claim(self) -> str:
        call = WorktreeCall(self.place, Caller(self.process, self.agent.program))
        reply = actions.request(call)
        if reply.code or "task_id" not in reply.data:
            return ""
        self.withdraw = call.withdraw
        self._works()
        lines = ["A task became ready and was claimed for this worktree."]
        lines += context.handed_lines(reply.data, self.place.instance)
        return context.cut([*lines, *(f"  {plain(note)}" for note in reply.notes)])

    def _go_on(self) -> str:
        self._works()
        tasks = ", ".join(str(task) for task in self.place.info.get("assigned_tasks") or [] if ids.is_id(str(task)))
        kept = f" Task {tasks} is still this worktree's." if tasks else ""
        return f"The rate limit has reset.{kept} Its state: {SHELL} check-status"

    def _works(self) -> None:
        with suppress(StorageError):  # a full disk: it is woken, and people see less
            self.session.becomes(WORKING, clock.moment(time.time()), blocks=0)
