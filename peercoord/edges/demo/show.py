"""The demonstration itself: the team is set up, works, loses a member, and is watched all the while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from peercoord.core import names
from peercoord.edges import agentctl, banking, dashboard
from peercoord.edges.demo import scene, verify, worker
from peercoord.edges.team import agents, repository, up
from peercoord.edges.team import plan as plans
from peercoord.edges.team.plan import Seat
from peercoord.roles.peer import judge
from peercoord.roles.queue import Queue
from peercoord.roles.root import open_root
from peercoord.roles.views import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.views import Board
    from peercoord.edges.demo.verify import Check, Handed

POLL_SECONDS = 0.02  # while the killed instance's tasks are watched, so that what is printed is near the truth
FRAME_SECONDS = 0.5
SETTINGS = {"heartbeat_seconds": 5, "state_seconds": 1}


class Demo:
    """One run.

    Args:
        home: An empty directory to make everything in.
        instances: How many worktrees.
        tasks: How many tasks.
        pause: How long a worker takes for a third of a task, in seconds.
        limit: Seconds after which the run is given up.
        say: Prints a line.
        frame: Shows a board while the run goes on.
    """

    def __init__(
        self,
        home: Path,
        instances: int,
        tasks: int,
        pause: float,
        limit: float,
        say: Callable[[str], None],
        frame: Callable[[Board], None],
    ) -> None:
        self.home, self.tasks, self.pause, self.limit = home, tasks, pause, limit
        self.say, self.frame = say, frame
        self.instances, self.seats = instances, list[Seat]()
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.victim = ""
        self.killed_at = 0.0
        self.handed: dict[str, Handed] = {}

    def set_up(self) -> None:
        """Make the repository, the database and the team."""
        self.project, database = scene.make(self.home, self.tasks)
        wishes = up.Wishes(self.instances, tasks=str(database), settings=SETTINGS)
        made = up.plan(repository.discover(self.project, exact=True), wishes)
        self.seats = made.seats
        plans.run(made.actions, lambda text: self.say(f"  {text}"))
        self.queue = Queue(open_root(str(self.project / names.ROOT)), "demo")
        self.reader = Reader(self.queue, lambda who: judge(self.queue.root, who))

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> list[Check]:
        """Let the team work, kill one of its members in the middle, and check the end."""
        end = time.monotonic() + self.limit
        for seat in self.seats:
            self.workers[seat.peer] = self._hire(seat)
        shown = 0.0
        while time.monotonic() < end and self._at_work():
            self._follow()
            if time.monotonic() - shown >= FRAME_SECONDS:
                board = self.reader.board()
                self.frame(board)
                shown = time.monotonic()
                if board.count("done") == self.tasks:
                    break
                if not self.victim and board.count("done") * 3 >= self.tasks:
                    self._strike(board)
            time.sleep(POLL_SECONDS)
        self._await_views(end)
        return self._verdict()

    def _at_work(self) -> bool:
        return any(hired.poll() is None for hired in self.workers.values())

    def _hire(self, seat: Seat) -> subprocess.Popen[bytes]:
        """Start a scripted worker in a session of its own, as a coding agent would be."""
        with (self.home / f"{seat.peer}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", worker.__file__, str(self.pause)],
                cwd=seat.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _strike(self, board: Board) -> None:
        """Kill one instance's agent and worker with SIGKILL, while it holds a task."""
        if len(self.seats) < 2:
            return
        held = [row for seat in board.seats for row in board.held_by(seat.incarnation) if row.progress > 0]
        if not held:
            return
        self.victim = held[-1].holder
        seat = next(seat for seat in self.seats if seat.peer == self.victim)
        agent = agentctl.status(str(seat.directory))["pid"]
        mine = [row.task for row in board.rows if row.holder == self.victim]
        self.killed_at = time.monotonic()
        os.killpg(self.workers[self.victim].pid, signal.SIGKILL)
        if agent:
            os.kill(agent, signal.SIGKILL)
        self.workers[self.victim].wait()
        self.handed = {task: verify.Handed(task, None, None, "") for task in mine}
        self.say(f"!! kill -9: agent and worker of {self.victim}, in the middle of task {', '.join(mine)}")

    def _follow(self) -> None:
        """Note when what the killed instance held is free again, and when someone else has it."""
        for task, handed in self.handed.items():
            if handed.again_after is not None and handed.done_by:
                continue
            sighting = self.queue.locate(task)
            since = time.monotonic() - self.killed_at
            holder = names.parse_incarnation(sighting.detail) if sighting and sighting.state == "claimed" else None
            gone = sighting is not None and not (holder and holder.peer == self.victim)
            free = handed.free_after if handed.free_after is not None else (since if gone else None)
            again, by = handed.again_after, handed.done_by
            if again is None and holder and holder.peer != self.victim:
                again, by = since, holder.peer
                self.say(f"   task {task} is free {free:.2f} s after the kill; {by} has it after {again:.2f} s")
            self.handed[task] = verify.Handed(task, free, again, by)

    def _await_views(self, end: float) -> None:
        """Wait until the published views have caught up with the last completion."""
        while time.monotonic() < end and not verify.views_agree(self.queue, self.tasks).holds:
            time.sleep(POLL_SECONDS)

    def _verdict(self) -> list[Check]:
        alive = [seat for seat in self.seats if seat.peer != self.victim]
        for seat in alive:
            try:
                self.workers[seat.peer].wait(timeout=self.limit)
            except subprocess.TimeoutExpired:
                self.workers[seat.peer].kill()
        trees = [self.project, *[seat.worktree for seat in alive]]
        checks = verify.checks(self.queue, self.tasks, self.victim, list(self.handed.values()), trees)
        return [*checks, self._bank()]

    def _bank(self) -> Check:
        """Merge what was contributed since the leader did, and look at the memory bank through a worktree's link."""
        banking.run(self.queue.root, "demo")
        document = (self.seats[0].worktree / names.BANK / worker.DOCUMENT).read_text(encoding="utf-8")
        titles = {task: self.queue.definition(task).title for task in self.queue.all_tasks()}
        return verify.remembered(document, [worker.insight(task, title) for task, title in titles.items()])

    # -- the end ---------------------------------------------------------------------------------------------

    def written(self) -> list[str]:
        """Say what was written where."""
        state = self.project / names.ROOT
        count = sum(path.is_file() for path in state.rglob("*"))
        lines = [f"{state}  ({count} files: the whole state, readable with cat)"]
        return lines + [f"{seat.directory}  (branch {seat.branch})" for seat in self.seats]

    def end(self) -> None:
        """Stop every process of the run, also agents that were about to start when it was broken off."""
        for hired in self.workers.values():
            if hired.poll() is None:
                os.killpg(hired.pid, signal.SIGKILL)
                hired.wait()
        places = [seat.directory for seat in self.seats]
        while left := agents.at(places):  # one that is ended may just have started another's again
            agents.end(left)


def plain_frames(say: Callable[[str], None]) -> Callable[[Board], None]:
    """Show boards as lines: one when something changed, for a pipe."""
    last: list[str] = []

    def frame(board: Board) -> None:
        held = [f"{row.holder} #{row.task} {round(row.progress * 100)}%" for row in board.rows if row.holder]
        line = f"   {board.count('done')}/{len(board.rows)} done · {' · '.join(held) or 'nobody works'}"
        if last != [line]:
            last[:] = [line]
            say(line)

    return frame


def board_lines(board: Board) -> str:
    """Draw a board for a live display."""
    return "\n".join(dashboard.lines(board))
