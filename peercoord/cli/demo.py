"""``peercoord demo``: see it work, on this machine, in a minute."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.mailbox.verbs import json_option
from peercoord.system import streams
from peercoord.system.disk import remove_tree
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.demo.demo import Check, Demo
    from peercoord.foreign import Json
    from peercoord.status.views import Board

FAST_PAUSE, PAUSE = 0.3, 1.0  # seconds for a third of a task
LIMIT = 300.0


@click.command(short_help="Run a real team in a temporary directory, to see it work.")
@click.option("--instances", default=3, type=click.IntRange(2, 10), show_default=True, help="Worktrees.")
@click.option("--tasks", default=15, type=click.IntRange(6, 200), show_default=True, help="Tasks in the database.")
@click.option("--fast", is_flag=True, help="Workers that hardly pause.")
@click.option("--keep", is_flag=True, help="Leave everything there to look at.")
@json_option
@click.pass_obj
def demo(call: Call, instances: int, tasks: int, fast: bool, keep: bool, as_json: bool) -> Reply:
    """Run a real team in a temporary directory, kill one member in the middle, and check the end.

    Makes a git repository and a TaskMaster database, sets the team up, lets scripted workers do every task through
    coordinate.sh, kills one agent and its worker with SIGKILL, and shows the dashboard while it goes on.
    """
    from rich.console import Console

    say: Callable[[str], None] = (lambda _: None) if as_json or call.quiet else streams.show
    pause = FAST_PAUSE if fast else PAUSE
    live = Console().is_terminal and not as_json
    began, ended = time.monotonic(), False
    home = Path(tempfile.mkdtemp(prefix="peercoord-demo-"))
    try:
        say(f"A team of {instances} on {tasks} tasks, in {home}")
        checks, written, handed = _shown(home, instances, tasks, pause, live, say)
        ended = True
    finally:
        if not keep:
            with suppress(OSError):
                remove_tree(str(home))
        if not ended:
            streams.say(f"\npeercoord: broken off; {home} {'is left as it is' if keep else 'is removed'}\n".encode())
    data: Json = {
        "seconds": round(time.monotonic() - began, 1),
        "checks": [{"what": c.what, "holds": c.holds, "seen": c.seen} for c in checks],
        "reassigned": handed,
        "written": written,
    }
    return Reply(data, _lines(data, keep), code=0 if all(c.holds for c in checks) else 1)


def _shown(
    home: Path, instances: int, tasks: int, pause: float, live: bool, say: Callable[[str], None]
) -> tuple[list[Check], list[str], list[Json]]:
    from rich.live import Live
    from rich.text import Text

    from peercoord.demo.demo import Demo, board_lines, plain_frames

    def run(say: Callable[[str], None], frame: Callable[[Board], None]) -> tuple[list[Check], list[str], list[Json]]:
        show = Demo(home, instances, tasks, pause, LIMIT, say, frame)
        try:
            show.set_up()
            return show.run(), show.written(), _handed(show)
        finally:
            show.end()

    if not live:
        return run(say, plain_frames(say))
    with Live(Text(""), refresh_per_second=8) as screen:
        return run(screen.console.print, lambda board: screen.update(Text(board_lines(board))))


def _handed(show: Demo) -> list[Json]:
    who = show.victim
    return [
        {"task_id": h.task, "from": who, "to": h.done_by, "free_after": h.free_after, "held_after": h.again_after}
        for h in show.handed
    ]


def _lines(data: Json, keep: bool) -> list[str]:
    lines = ["", "What must be true:"]
    lines += [f"  {'✓' if c['holds'] else '✗'} {c['what']} ({c['seen']})" for c in data["checks"]]
    lines += ["", "Reassigned after the kill:"]
    lines += [
        f"  task {h['task_id']}: {h['from']} → {h['to']}, claimable after {_seconds(h['free_after'])}, "
        f"in other hands after {_seconds(h['held_after'])}"
        for h in data["reassigned"]
    ]
    lines += ["", "What was written where" + ("" if keep else " (removed now; --keep leaves it)") + ":"]
    lines += [f"  {line}" for line in data["written"]]
    good = all(c["holds"] for c in data["checks"])
    lines += ["", f"{'All checks hold' if good else 'SOMETHING IS WRONG'}, {data['seconds']} s"]
    return [*lines, "", f"Your own project:  {_own_project()} PATH-TO-IT 3"]


def _own_project() -> str:
    """Write the command that sets a team up, so that it can be called where this program was."""
    import shlex
    import shutil
    import sys

    name = "claude-team-coordinated"
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return name if shutil.which(name) or not os.path.exists(beside) else shlex.quote(beside)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"
