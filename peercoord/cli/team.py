"""``peercoord join`` and ``leave``, and what all commands that change a team share."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from peercoord.cli import progress
from peercoord.cli.main import Call
from peercoord.errors import NotFoundError, StoppedError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.team.plan import Instance, Plan


@click.command(short_help="Take an existing worktree into the team.")
@click.argument("path", default="")
@click.option("--name", default="", metavar="N", help="The instance's name; the next free instance-<k> if left out.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def join(call: Call, path: str, name: str, dry_run: bool, as_json: bool) -> Reply:
    """Take the existing worktree at PATH into the team, also one that a coding agent made for itself."""
    from pathlib import Path

    from peercoord.team import repository
    from peercoord.team.up import flush, plan_join

    at = Path(path or call.directory or ".")
    found = _of_project(call, repository.discover(at))
    with one_at_a_time(found, dry_run):
        made = plan_join(found, at, name)
        warnings = carry_out(call, made, dry_run, as_json)
        if not dry_run:
            flush(found, made)
    _raise_first(made)
    member = made.instances[0]
    told = {"actions": [action.text for action in made.actions], "notes": made.notes}
    data: Json = {"dry_run": dry_run, **told, "instance": instance_record(member)}
    joined = "nothing was done (--dry-run)" if dry_run else f"{member.peer} is in the team"
    return Reply(data, [*[f"  {plain(note)}" for note in made.notes], joined], warnings)


@click.command(short_help="Take a worktree out of the team; it stays.")
@click.argument("path", default="")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def leave(call: Call, path: str, dry_run: bool, as_json: bool) -> Reply:
    """Take the worktree at PATH out of the team: its tasks go back, it stays as an ordinary worktree."""
    from peercoord.team import down as downs
    from peercoord.team import repository
    from peercoord.team.repository import instance_at

    found = _of_project(call, repository.discover(path or call.directory or "."))
    instance = instance_at(found, found.here)
    if instance is None:
        raise NotFoundError(f"{plain(found.here)} is no instance of this team", "see: claude-coordination-status")
    with one_at_a_time(found, dry_run):
        made = downs.plan_leave(found, instance)
        warnings = carry_out(call, made, dry_run, as_json)
    _raise_first(made)
    actions = [action.text for action in made.actions]
    data: Json = {"dry_run": dry_run, "actions": actions, "instance": instance_record(instance)}
    return Reply(data, ["nothing was done (--dry-run)" if dry_run else f"{instance.peer} has left the team"], warnings)


def _of_project(call: Call, found: Project) -> Project:
    """Refuse a worktree that is not of the project that ``-C`` names."""
    from peercoord.team import repository

    if call.directory and repository.discover(call.directory).common != found.common:
        raise UsageError(
            f"{plain(found.here)} is no worktree of the project at {plain(call.directory)}",
            f"leave out -C, or name one of its own: peercoord -C {shlex.quote(call.directory)} status",
        )
    return found


def _raise_first(made: Plan) -> None:
    """Where a command is about one instance, its failure is the command's."""
    for error in made.failed.values():
        raise error


def one_at_a_time(found: Project, dry_run: bool) -> AbstractContextManager[object]:
    """Let no two set-ups or removals of one repository run at once; a dry run need not wait."""
    from peercoord.store import manifest

    return nullcontext() if dry_run else manifest.held(found.common)


def carry_out(call: Call, made: Plan, dry_run: bool, as_json: bool, undo: str = "") -> list[str]:
    """Carry a plan out, or only say what it would do; give its warnings. ``made.failed`` takes what failed."""
    from peercoord.team import plan as plans

    actions = [plans.Action(a.text, str) for a in made.actions] if dry_run else made.actions
    begun: list[str] = []

    def say(text: str) -> None:
        begun.append(text)
        if not (as_json or call.quiet):
            progress.say(f"  {plain(text)}")

    try:
        with progress.shown(as_json or call.quiet or dry_run):
            return plans.run(actions, say, made.failed)
    except KeyboardInterrupt:
        done = f"interrupted at step {len(begun)} of {len(actions)}: {begun[-1]}" if begun else "nothing was done"
        kept = "; the steps before it are done" if len(begun) > 1 else ""
        raise StoppedError(f"{done}{kept}", "; ".join(filter(None, ["go on: the same command again", undo]))) from None


def failures(made: Plan) -> list[Json]:
    """Return what failed for one instance while the others went on, for programs."""
    return [
        {"id": peer, "code": error.code, "message": error.message, "hint": error.hint}
        for peer, error in made.failed.items()
    ]


def failed_lines(made: Plan, what: str) -> list[str]:
    """Write for people what failed for one instance while the others went on."""
    lines = []
    for peer, error in made.failed.items():
        lines += [f"{what}: {plain(peer)}: {plain(error.message)}"]
        lines += [f"  hint: {plain(error.hint)}"] if error.hint else []
    return lines


def instance_record(instance: Instance) -> Json:
    """Return an instance for programs."""
    tree, branch = str(instance.directory), instance.branch
    return {"id": instance.peer, "worktree_path": tree, "branch": branch, "index": instance.index}
