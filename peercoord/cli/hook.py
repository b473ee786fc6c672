"""``peercoord hook``, which coding agents call by their hooks, and ``peercoord prime``, which prints what it tells."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.errors import NotFoundError, PeercoordError
from peercoord.mailbox.verbs import json_option
from peercoord.system import streams
from peercoord.system.schedule import FAULTS
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.integrations.hook import Answer
    from peercoord.worktree.context import Place

LOG = "hook.log"  # in .claude-instance/
CHECK = "check"  # no event: asks whether hooks work at all
LEFT_SECONDS = 1.5  # of the agent's own time limit, in which the answer is written


class _LateError(Exception):
    """The agent's time limit is nearly over."""


@click.command(short_help="What the hooks of a coding agent call.")
@click.argument("event")
@click.option("--agent", "key", default="", metavar="AGENT", help="claude, codex, gemini, copilot or opencode.")
@click.option("--worktree", default="", metavar="DIR", help="Its worktree; by default the one that the event names.")
@click.pass_obj
def hook(call: Call, event: str, key: str, worktree: str) -> None:
    """Answer an EVENT of a coding agent, whose JSON is read from standard input.

    EVENT is start, prompt, tools, permission, notification, compact, stop, stop-failure, wait or end. Exit 0, whatever
    happens: errors are in .claude-instance/hook.log. Only `wait` exits 2, to wake an idle session.
    """
    code = 0
    with suppress(BaseException):
        code = _answered(event, key, worktree or call.directory, os.path.realpath(call.project) if call.project else "")
    raise SystemExit(code)


def _answered(event: str, key: str, worktree: str, project: str) -> int:
    from peercoord.integrations import agents
    from peercoord.integrations import hook as hooks
    from peercoord.worktree import context

    if event == CHECK:
        os.write(1, b"{}\n")
        return 0
    agent = agents.AGENTS.get(key)
    told = agent.events.get(event) if agent else None
    if agent is None or told is None:
        streams.say(f"peercoord: no event {event!r} of {key!r}\n".encode())
        return 0
    place: Place | None = None
    answer: Answer | None = None
    try:
        _limit(told.seconds - LEFT_SECONDS)
        if worktree:
            tree = os.path.realpath(worktree)
            place = context.at(project, tree) if project else context.find(given=tree)
        said = hooks.parsed(_input(hooks.INPUT_BYTES))
        if place is None:
            named = hooks.text(said, "cwd", "directory")
            place = context.find(given=named if os.path.isdir(named) else os.getcwd())
        if not place.worktree or project not in ("", place.project):
            return 0
        if not project and not _is_believed(place, event):
            return 0
        answer = hooks.run(agent, event, said, place)
    except NotFoundError:
        return 0  # no instance's worktree
    except (PeercoordError, _LateError, *FAULTS) as error:
        _log(place, event, error)
        return 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return _deliver(answer, place, event)


def _is_believed(place: Place, event: str) -> bool:
    """Check whether something but the worktree's own files leads to a project, as what lies there would be run."""
    from peercoord.integrations import agents
    from peercoord.integrations.setup import PersonalSetup
    from peercoord.store import paths
    from peercoord.worktree import context

    person, script = PersonalSetup(), f"{place.coordination}/{paths.HOOK_SCRIPT}"
    if not (context.is_beside(place) or person.knows_team(place.worktree, script)):
        return False
    if event == agents.START:
        with suppress(PeercoordError, OSError, UnicodeError):  # its session has the slow way
            person.note_team(place.worktree, script)
    return True


def _limit(seconds: float) -> None:
    """End what this hook does when its agent's time limit is nearly over."""

    def late(*_: object) -> None:
        raise _LateError(f"not answered within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _input(most: int) -> bytes:
    """Read what the agent tells; nothing from a terminal, or if standard input is closed."""
    if sys.stdin is None or sys.stdin.isatty():
        return b""
    with suppress(OSError, ValueError):
        return sys.stdin.buffer.read(most)
    return b""


def _deliver(answer: Answer, place: Place, event: str) -> int:
    """Write an answer; what it hands out is given back if nobody reads it."""
    try:
        for handle, data in ((1, answer.output()), (2, answer.err.encode())):
            while data:
                data = data[os.write(handle, data) :]
    except OSError as error:
        answer.withdraw()
        _log(place, event, error)
        return 0
    return answer.code


def _log(place: Place | None, event: str, error: BaseException) -> None:
    from peercoord.system.log import Log

    if place is not None:
        known = isinstance(error, (PeercoordError, _LateError))
        Log(place.files().beneath, LOG)(f"{event}: {error if known else traceback.format_exc()}")


@click.command(short_help="Print what a coding agent has to know.")
@json_option
@click.pass_obj
def prime(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Print what a coding agent in this worktree has to know: who it is, its task, the team, the commands.

    Hooks tell the same at the start of a session. This is for agents without hooks that can run a command.
    """
    from peercoord.integrations import context
    from peercoord.worktree.call import WorktreeCall

    made = WorktreeCall(call.place, call.caller, heard=not call.quiet)
    call.withdraw = made.withdraw
    with made.peer("check-status") as peer:
        told = context.text(made, peer)
    return Reply({"instance_id": peer.name, "text": told}, told.split("\n"))
