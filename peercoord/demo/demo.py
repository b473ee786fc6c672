"""The demonstration: set up a team, let it work, kill one member, and check the end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.demo import worker
from peercoord.membership import signals
from peercoord.membership.membership import judge
from peercoord.memory import runner
from peercoord.queue.queue import Queue
from peercoord.status import screen
from peercoord.status.board import Reader
from peercoord.store import inspection, paths
from peercoord.store.root import open_root
from peercoord.system import git
from peercoord.system.clock import wait_until
from peercoord.team import agents, repository, up
from peercoord.team import plan as plans
from peercoord.team.plan import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.status.views import Board

POLL_SECONDS = 0.02  # between looks at the killed instance's tasks, so that the printed times are close
FRAME_SECONDS = 0.5
SETTINGS = {"heartbeat_seconds": 5, "state_seconds": 1}


class Demo:
    """One run of the demonstration."""

    def __init__(
        self,
        home: Path,  # an empty directory to make everything in
        count: int,  # of worktrees
        tasks: int,
        pause: float,  # seconds for a third of a task
        limit: float,  # seconds after which the run is given up
        say: Callable[[str], None],
        frame: Callable[[Board], None],  # shows a board while the run goes on
    ) -> None:
        self.home, self.tasks, self.pause, self.limit = home, tasks, pause, limit
        self.say, self.frame = say, frame
        self.count, self.instances = count, list[Instance]()
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.victim = ""
        self.killed_at = 0.0
        self.handed: list[Handed] = []

    def set_up(self) -> None:
        """Make the repository, the database and the team."""
        self.project, database = make_project(self.home, self.tasks)
        options = up.SetupOptions(self.count, tasks=str(database), settings=SETTINGS)
        made = up.plan(repository.discover(self.project, exact=True), options)
        self.instances = made.instances
        plans.run(made.actions, lambda text: self.say(f"  {text}"))
        self.queue = Queue(open_root(str(self.project / paths.ROOT)), "demo")
        self.reader = Reader(self.queue, lambda who: judge(self.queue.root, who))

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> list[Check]:
        """Let the team work, kill one of its members in the middle, and check the end."""
        end = time.monotonic() + self.limit
        for instance in self.instances:
            self.workers[instance.peer] = self._hire(instance)
        shown = 0.0
        while time.monotonic() < end and any(hired.poll() is None for hired in self.workers.values()):
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
        wait_until(lambda: views_agree(self.queue, self.tasks).holds, end - time.monotonic(), POLL_SECONDS)
        return self._verdict()

    def _hire(self, instance: Instance) -> subprocess.Popen[bytes]:
        """Start a scripted worker in a session of its own, as a coding agent would be."""
        with (self.home / f"{instance.peer}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", worker.__file__, str(self.pause)],
                cwd=instance.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _strike(self, board: Board) -> None:
        """Kill one instance's agent and worker with SIGKILL, while it holds a task."""
        held = [row for instance in board.peers for row in board.held_by(instance.incarnation) if row.progress > 0]
        if not held:
            return
        self.victim = held[-1].holder
        instance = next(instance for instance in self.instances if instance.peer == self.victim)
        agent = control.running_agent(control.place_of(str(instance.directory)))
        mine = [row.task for row in board.rows if row.holder == self.victim]
        self.killed_at = time.monotonic()
        os.killpg(self.workers[self.victim].pid, signal.SIGKILL)
        if agent:
            signals.send(agent, signal.SIGKILL)
        self.workers[self.victim].wait()
        self.handed = [Handed(task) for task in mine]
        self.say(f"!! kill -9: agent and worker of {self.victim}, in the middle of task {', '.join(mine)}")

    def _follow(self) -> None:
        """Record when the killed instance's tasks are free and held again."""
        for handed in (one for one in self.handed if one.again_after is None):
            found, since = self.queue.locate(handed.task), time.monotonic() - self.killed_at
            holder = paths.parse_incarnation(found.detail) if found and found.state == "claimed" else None
            if found is None or (holder and holder.peer == self.victim):
                continue
            handed.free_after = since if handed.free_after is None else handed.free_after
            if holder:
                handed.again_after, handed.done_by = since, holder.peer
                free, by = f"{handed.free_after:.2f}", holder.peer
                self.say(f"   task {handed.task} is free {free} s after the kill; {by} has it after {since:.2f} s")

    def _verdict(self) -> list[Check]:
        alive = [instance for instance in self.instances if instance.peer != self.victim]
        for instance in alive:
            try:
                self.workers[instance.peer].wait(timeout=self.limit)
            except subprocess.TimeoutExpired:
                self.workers[instance.peer].kill()
        trees = [self.project, *[instance.worktree for instance in alive]]
        checks = final_checks(self.queue, self.tasks, self.victim, self.handed, trees)
        return [*checks, self._bank()]

    def _bank(self) -> Check:
        """Merge the latest contributions and check the memory bank through a worktree's link."""
        runner.run(self.queue.root, "demo")
        document = (self.instances[0].worktree / paths.BANK / worker.DOCUMENT).read_text(encoding="utf-8")
        titles = {task: self.queue.definition(task).title for task in self.queue.all_tasks()}
        return remembered(document, [worker.insight(task, title) for task, title in titles.items()])

    # -- the end ---------------------------------------------------------------------------------------------

    def written(self) -> list[str]:
        """List what was written where."""
        state = self.project / paths.ROOT
        count = sum(path.is_file() for path in state.rglob("*"))
        lines = [f"{state}  ({count} files: the whole state, readable with cat)"]
        return lines + [f"{instance.directory}  (branch {instance.branch})" for instance in self.instances]

    def end(self) -> None:
        """Stop every process of the run, also agents that are just starting."""
        for hired in self.workers.values():
            if hired.poll() is None:
                os.killpg(hired.pid, signal.SIGKILL)
                hired.wait()
        places = [instance.directory for instance in self.instances]
        while left := agents.at(places):  # an agent may have restarted another one just before it ended
            agents.end(left)


def plain_frames(say: Callable[[str], None]) -> Callable[[Board], None]:
    """Show boards as lines for a pipe, one for each change."""
    last: list[str] = []

    def frame(board: Board) -> None:
        held = [f"{row.holder} #{row.task} {round(row.progress * 100)}%" for row in board.rows if row.holder]
        line = f"   {board.count('done')}/{len(board.rows)} done · {' · '.join(held) or 'no one works'}"
        if last != [line]:
            last[:] = [line]
            say(line)

    return frame


def board_lines(board: Board) -> str:
    """Draw a board for a live display."""
    return "\n".join(screen.written(screen.draw(board)))


# -- its repository and database -----------------------------------------------------------------------------------


TASKS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("Project Setup and Foundation", "high", ()),
    ("Research existing link shorteners", "medium", ()),
    ("API Design", "high", (1,)),
    ("Storage layer", "high", (1,)),
    ("Short code generator", "medium", (1,)),
    ("Create endpoint", "high", (3, 4, 5)),
    ("Redirect endpoint", "high", (3, 4)),
    ("Click statistics", "medium", (4, 7)),
    ("Rate limiter", "medium", (3,)),
    ("Command line client", "low", (6,)),
    ("Web page", "low", (6, 7)),
    ("Load test", "medium", (7, 9)),
    ("Documentation", "low", (6, 7)),
    ("Container image", "medium", (6,)),
    ("Release", "critical", (8, 10, 11, 12, 13, 14)),
)
"""Title, priority, dependencies; ids count from 1."""

BANK = {
    "projectbrief.md": "# Project brief\n\nA small link shortener, made to show a team at work.\n",
    "productContext.md": "# Product context\n\n## Problem\n\nLong links break in mail and on paper.\n",
    "systemPatterns.md": "# System patterns\n\n## Decisions\n\n- One process, one SQLite file.\n",
    "techContext.md": "# Tech context\n\n## Tools\n\n- Python, SQLite.\n",
    "activeContext.md": "# Active context\n\n## Current focus\n\nGetting started.\n",
    "progress.md": "# Progress\n\nNothing yet.\n",
}


def make_project(home: Path, tasks: int) -> tuple[Path, Path]:
    """Make the repository and the database."""
    project = home / "shortlink"
    bank = project / "memory-bank"
    bank.mkdir(parents=True)
    for name, content in BANK.items():
        (bank / name).write_text(content, encoding="utf-8")
    (project / "README.md").write_text("# shortlink\n", encoding="utf-8")
    git.set_up(project, "init", "-q", "-b", "main")
    for key, value in (("user.name", "peercoord demo"), ("user.email", "demo@localhost"), ("commit.gpgsign", "false")):
        git.ask(project, "config", key, value)
    git.set_up(project, "add", "-A")
    git.set_up(project, "commit", "-q", "-m", "A project to work on")
    database = home / "claude_memory.db"
    _make_database(database, tasks)
    return project, database


def _make_database(path: Path, count: int) -> None:
    rows = [(at, *_row(at)) for at in range(1, count + 1)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT,"
            " status TEXT DEFAULT 'pending', priority TEXT DEFAULT 'medium', dependencies TEXT DEFAULT '[]')"
        )
        connection.executemany(
            "INSERT INTO tasks (id, title, description, priority, dependencies) VALUES (?, ?, ?, ?, ?)", rows
        )


def _row(at: int) -> tuple[str, str, str, str]:
    if at <= len(TASKS):
        title, priority, needs = TASKS[at - 1]
    else:
        title, priority, needs = f"Follow-up {at - len(TASKS)}", "medium", (at - 3,)
    return title, f"{title} for the link shortener.", priority, str(list(needs))


# -- what must be true at the end ----------------------------------------------------------------------------------


STATE_KEYS = {"created", "instances", "active_instances", "task_assignments", "progress_summary"}
SUMMARY_KEYS = {"total_tasks", "assigned", "in_progress", "completed", "overall_progress"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true, whether it is, and what was seen."""

    what: str
    holds: bool
    seen: str


@dataclass(slots=True)
class Handed:
    """A task that the killed instance held, and where it went: seconds after the kill."""

    task: str
    free_after: float | None = None
    again_after: float | None = None
    done_by: str = ""


def final_checks(queue: Queue, tasks: int, victim: str, handed: Sequence[Handed], trees: Iterable[Path]) -> list[Check]:
    """Check the end of a demonstration."""
    found = Counter(seen.task for seen in queue.locations())
    done = [seen.task for seen in queue.locations() if seen.state == "done"]
    results = Counter(task for task, _ in completions(queue))
    holders = {h.done_by for h in handed}
    handed_to = ", ".join(f"task {h.task} by {h.done_by}" for h in handed)
    reassigned = bool(handed) and victim not in holders and all(h.again_after is not None for h in handed)
    return [
        Check(f"all {tasks} tasks are done", len(done) == tasks, f"{len(done)} done"),
        Check("every task has exactly one ticket", set(found.values()) == {1}, f"{found.total()} tickets"),
        Check("every task was done exactly once", set(results.values()) == {1}, f"{results.total()} done results"),
        Check(f"what {victim} held was done by others", reassigned, handed_to or "it held nothing"),
        views_agree(queue, tasks),
        _clean(trees),
    ]


def completions(queue: Queue) -> set[tuple[str, int]]:
    """Return the attempts with a result ``done`` and no other result.

    A holder killed between writing its result and its commit point leaves a result that the ticket does not bear out;
    the sweep then writes what became of that attempt.
    """
    by_attempt: dict[tuple[str, int], set[str]] = {}
    for shard in queue.files.scan(paths.RESULTS):
        for task, epoch, outcome in filter(None, map(paths.parse_result, queue.files.scan(f"{paths.RESULTS}/{shard}"))):
            by_attempt.setdefault((task, epoch), set()).add(outcome)
    return {attempt for attempt, outcomes in by_attempt.items() if outcomes == {"done"}}


def views_agree(queue: Queue, tasks: int) -> Check:
    """Check that the published views have the mission's keys, and every task done."""
    state = queue.files.record(paths.STATE) or {}
    missing = (STATE_KEYS - state.keys()) | (SUMMARY_KEYS - state.get("progress_summary", {}).keys())
    completed = state.get("progress_summary", {}).get("completed")
    listed = len((queue.files.record(paths.TASK_QUEUE) or {}).get("tasks", []))
    holds = not missing and completed == tasks and listed == tasks
    seen = f"completed {completed}, {listed} tasks listed" + (f", keys missing: {sorted(missing)}" if missing else "")
    return Check("state.json and task_queue.json say so too", holds, seen)


def remembered(document: str, lines: Sequence[str]) -> Check:
    """Check that the memory bank has each contributed line once."""
    found = Counter(line for line in document.splitlines() if line in set(lines))
    missing, twice = [line for line in lines if not found[line]], [line for line in lines if found[line] > 1]
    seen = f"{found.total()} lines" + "".join(f"; missing: {line}" for line in missing)
    seen += "".join(f"; more than once: {line}" for line in twice)
    return Check("what was contributed is in the memory bank, each line once", not missing and not twice, seen)


def _clean(trees: Iterable[Path]) -> Check:
    """Check that ``git status`` is clean outside the memory bank."""
    dirty, count = [], 0
    for tree in trees:
        with inspection.of_directory(str(tree)) as git:
            changed = git.changes().paths()
        dirty += [f"{tree.name}: {path}" for path in changed if not path.startswith(f"{paths.BANK}/")]
        count += 1
    return Check("git status is clean everywhere", not dirty, "; ".join(dirty) or f"{count} checkouts")
