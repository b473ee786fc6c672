"""Commands that set a team up and take it down."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext

import click

from peercoord.core.errors import NotFoundError
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.desk import SHELL
from peercoord.edges.reply import Reply, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from peercoord.core.records import Json
    from peercoord.edges.team.plan import Plan, Seat
    from peercoord.edges.team.repository import Project
    from peercoord.edges.team.up import Wishes


@click.command()
@click.argument("project", default=".")
@click.argument("count", type=click.IntRange(min=1), required=False, metavar="[N]")
@click.option(
    "--tasks", default="", metavar="PATH_OR_URL", help="Where tasks are; looked for in the project if left out."
)
@click.option("--tag", metavar="T", help="The tag of a tasks.json; its current one if left out.")
@click.option("--take-in-progress", is_flag=True, help="Take tasks a person has in progress there as free to claim.")
@click.option("--database", default="", metavar="PATH_OR_URL", help="Keep the tasks in step with it; 'none' for none.")
@click.option(
    "--project", "key", default="", metavar="NAME", help="What a database of several projects calls this one."
)
@click.option("--sync", is_flag=True, help="Write back to where the tasks come from, as they change.")
@click.option("--base", default="", metavar="REV", help="What new branches start from; HEAD if left out.")
@click.option("--branch-prefix", metavar="P", help="Before instance-<k> in a branch's name; team/ if never said.")
@click.option("--bank", metavar="DIR", help="The memory bank's directory; memory-bank if never said.")
@click.option("--setup", default="", metavar="CMD", help="A command to run in each new worktree.")
@click.option("--launch", type=click.Choice(["none", "tmux"]), default="none", help="Open a session per worktree.")
@click.option("--command", default="", metavar="CMD", help="What runs in each session; claude where installed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def up(
    call: Call,
    /,
    project: str,
    count: int | None,
    launch: str,
    command: str,
    dry_run: bool,
    as_json: bool,
    **wished: object,
) -> Reply:
    """Set up a coordinated team on PROJECT: N worktrees (3 if left out), each with its agent.

    Run again, it repairs what is missing; with a larger N it adds worktrees.
    """
    from peercoord.edges.team import launch as launches
    from peercoord.edges.team import repository
    from peercoord.edges.team.up import plan

    found = repository.discover(call.directory or project, exact=True)
    repository.commit(found)
    words = launches.command_words(command)
    _offer_shared(found, wished, ask=not (as_json or call.quiet or dry_run))
    with _one_at_a_time(found, dry_run):
        made = plan(found, _wishes(count, wished))
        if launch == "tmux" and words:
            made.actions += launches.plan_open(made.seats, words)
        warnings = _carried_out(call, made, dry_run, as_json)
    to_type = [] if launch == "tmux" and words else launches.lines(made.seats, words)
    data: Json = {
        "project": str(found.directory),
        "dry_run": dry_run,
        "actions": [action.text for action in made.actions],
        "notes": made.notes,
        "warnings": warnings,
        "instances": [_seat(seat) for seat in made.seats],
        "sessions": {} if dry_run else launches.opened(made.seats),
        "to_type": to_type,
    }
    return Reply(data, _closing(data, dry_run), warnings)


def _offer_shared(found: Project, wished: dict[str, object], *, ask: bool) -> None:
    """Ask whether a new team shall use the shared database of this machine; nobody at a terminal: it does not."""
    from peercoord.core import names
    from peercoord.edges.team import lists

    shared = lists.shared_database()
    new = not (found.directory / names.ROOT / names.PROTOCOL).exists()
    question = f"{shared} is there. Keep this project's tasks in it?"
    offer = new and shared and ask and not (wished["database"] or wished["sync"]) and sys.stdin.isatty()
    if offer and click.confirm(question, default=False, err=True):
        wished["database"] = shared


def _one_at_a_time(found: Project, dry_run: bool) -> AbstractContextManager[None]:
    """Let no two set-ups or removals of one repository run at once; one that only looks need not wait."""
    from peercoord.edges.team import record

    return nullcontext() if dry_run else record.held(found.common)


def _carried_out(call: Call, made: Plan, dry_run: bool, as_json: bool) -> list[str]:
    """Carry a plan out, or only say what it would do; give its warnings."""
    from peercoord.edges.team import plan as plans

    actions = [plans.Action(a.text, str) for a in made.actions] if dry_run else made.actions
    return plans.run(actions, _quiet if as_json or call.quiet else _say)


def _say(text: str) -> None:
    """Tell a step; what nobody reads any more is done all the same."""
    try:
        click.echo(f"  {plain(text)}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _quiet(text: str) -> None:
    """Say nothing: a program reads the end, or the caller wants quiet."""


def _wishes(count: int | None, wished: dict[str, object]) -> Wishes:
    from peercoord.edges.team.up import Wishes
    from peercoord.edges.team.worktrees import Options

    setup = str(wished["setup"])
    return Wishes(
        count,
        Options(
            base=str(wished["base"]),
            branch_prefix=None if wished["branch_prefix"] is None else str(wished["branch_prefix"]),
            bank=None if wished["bank"] is None else str(wished["bank"]),
            setup=("/bin/sh", "-c", setup) if setup else (),
        ),
        tasks=str(wished["tasks"]),
        tag=str(wished["tag"]) if wished["tag"] else None,
        take_in_progress=bool(wished["take_in_progress"]),
        database=str(wished["database"]),
        sync=bool(wished["sync"]),
        key=str(wished["key"]),
    )


def _seat(seat: Seat) -> Json:
    return {"id": seat.peer, "worktree_path": str(seat.directory), "branch": seat.branch, "index": seat.index}


def _closing(data: Json, dry_run: bool) -> list[str]:
    notes = [f"  {plain(note)}" for note in data["notes"]]
    if dry_run:
        return [*notes, "nothing was done (--dry-run)"]
    if not data["actions"]:
        notes.append("  nothing to do: the team is as it should be")
    attach = [f"  tmux attach -t {name}" for name in data["sessions"].values()]
    return [
        *notes,
        "",
        "Start a session in each worktree:" if data["to_type"] else "Sessions:",
        *[f"  {plain(line)}" for line in data["to_type"] or attach],
        "",
        f"Watch    claude-coordination-status {shlex.quote(data['project'])}",
        f"Work     in a worktree: {SHELL} request-task",
        f"Undo     peercoord -C {shlex.quote(data['project'])} down --remove",
    ]


@click.command()
@click.option(
    "--remove", is_flag=True, help="Remove worktrees that are clean and merged, or hold nothing of their own."
)
@click.option("--purge", is_flag=True, help="Take every trace of the team out of the repository.")
@click.option(
    "--discard",
    "named",
    multiple=True,
    metavar="NAME",
    help="Remove this instance with all that is in it; 'memory': the contributions to the memory bank that wait.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def down(call: Call, remove: bool, purge: bool, named: tuple[str, ...], dry_run: bool, as_json: bool) -> Reply:
    """Stop the team's agents and sessions and give every task back; worktrees stay, unless told otherwise.

    A worktree with work that would be lost is named and kept, whatever is asked, unless you type its name: --discard.
    """
    from peercoord.edges.team import down as downs
    from peercoord.edges.team.plan import Plan
    from peercoord.edges.team.removal import MEMORY, refuse_waiting

    found = _project(call)
    stop = downs.plan_stop(found)
    unknown = set(named) - {seat.peer for seat in stop.seats} - {MEMORY}
    if unknown:
        known = ", ".join(seat.peer for seat in stop.seats) or "none"
        raise NotFoundError(f"there is no instance {min(unknown)}", hint=f"those there are: {known}", code="no-peer")
    with _one_at_a_time(found, dry_run):
        if purge:
            refuse_waiting(found, named)
        warnings = _carried_out(call, stop, dry_run, as_json)
        clear = downs.plan_clear(found, named, purge) if remove or purge or named else Plan()
        warnings += _carried_out(call, clear, dry_run, as_json)
    actions = [action.text for action in (*stop.actions, *clear.actions)]
    data: Json = {
        "project": str(found.directory),
        "dry_run": dry_run,
        "actions": actions,
        "notes": clear.notes,
        "warnings": warnings,
        "kept": [_seat(seat) for seat in clear.seats],
    }
    lines = [f"  {plain(note)}" for note in clear.notes]
    end = "nothing was done (--dry-run)" if dry_run else "the team is down" if actions else "nothing to do"
    return Reply(data, [*lines, end], warnings)


def _project(call: Call) -> Project:
    """Find the project of a call, also one whose coordination directory is gone."""
    from peercoord.edges.team import repository

    try:
        return repository.discover(call.place.project)
    except NotFoundError as error:
        found = repository.discover(call.directory or os.environ.get("PEERCOORD_PROJECT") or ".")
        if not repository.is_known(found):
            raise error from None
        return found


@click.command()
@click.argument("path", default=".")
@click.option("--name", default="", metavar="N", help="The instance's name; the next free instance-<k> if left out.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def join(call: Call, path: str, name: str, dry_run: bool, as_json: bool) -> Reply:
    """Take the existing worktree at PATH into the team, also one that a coding agent made for itself."""
    from pathlib import Path

    from peercoord.edges.team import repository
    from peercoord.edges.team.up import plan_join

    at = Path(call.directory or path)
    found = repository.discover(at)
    with _one_at_a_time(found, dry_run):
        made = plan_join(found, at, name)
        warnings = _carried_out(call, made, dry_run, as_json)
    data: Json = {
        "dry_run": dry_run,
        "actions": [action.text for action in made.actions],
        "notes": made.notes,
        "instance": _seat(made.seats[0]),
    }
    joined = "nothing was done (--dry-run)" if dry_run else f"{made.seats[0].peer} is in the team"
    return Reply(data, [*[f"  {plain(note)}" for note in made.notes], joined], warnings)


@click.command()
@click.argument("path", default=".")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def leave(call: Call, path: str, dry_run: bool, as_json: bool) -> Reply:
    """Take the worktree at PATH out of the team: its tasks go back, it stays as an ordinary worktree."""
    from peercoord.edges.team import down as downs
    from peercoord.edges.team import repository
    from peercoord.edges.team.seats import seat_at

    found = repository.discover(call.directory or path)
    seat = seat_at(found, found.here)
    if seat is None:
        raise NotFoundError(f"{plain(found.here)} is no instance of this team", "see: claude-coordination-status")
    with _one_at_a_time(found, dry_run):
        made = downs.plan_leave(found, seat)
        warnings = _carried_out(call, made, dry_run, as_json)
    data: Json = {"dry_run": dry_run, "actions": [action.text for action in made.actions], "instance": _seat(seat)}
    return Reply(data, ["nothing was done (--dry-run)" if dry_run else f"{seat.peer} has left the team"], warnings)
