"""``peercoord down``: stop a team, remove worktrees, take every trace away."""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.cli.team import carry_out, failed_lines, failures, instance_record
from peercoord.errors import BrokenFileError, LostError, NotFoundError, PeercoordError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.store import ids
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.team.plan import Plan

LOCK_SECONDS = 10.0  # how long `down` waits for another set-up or removal before it stops agents even so


@click.command(short_help="Stop the team and give every task back.")
@click.option(
    "--remove", is_flag=True, help="Remove worktrees that are clean and merged, or hold nothing of their own."
)
@click.option("--purge", is_flag=True, help="Take every trace of the team out of the repository.")
@click.option(
    "--discard",
    "named",
    multiple=True,
    metavar="NAME",
    help="Remove this instance with all that is in it; 'memory': the contributions to the memory bank that wait; "
    "'tasks': those that only this team knows.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def down(call: Call, remove: bool, purge: bool, named: tuple[str, ...], dry_run: bool, as_json: bool) -> Reply:
    """Stop the team's agents and sessions and give every task back; worktrees stay, unless told otherwise.

    A worktree with work that would be lost is named and kept, whatever is asked, unless you type its name: --discard.
    """
    from peercoord.team import down as downs
    from peercoord.team import removal
    from peercoord.team.final_sync import TASKS
    from peercoord.team.plan import Plan
    from peercoord.team.repository import left_behind, team_instances

    try:
        found = _project(call)
        stop = downs.plan_stop(found)
    except PeercoordError as error:
        return _down_without_git(call, error, dry_run, as_json, more=remove or purge or bool(named))
    words = [removal.MEMORY, TASKS, *(instance.peer for instance in (*stop.instances, *left_behind(found)))]
    named = tuple(ids.meant(name, words) for name in named)
    unknown = set(named) - set(words)
    if unknown:
        known = ", ".join(instance.peer for instance in stop.instances) or "none"
        text = f"there is no instance {plain(min(unknown))}"
        raise NotFoundError(text, hint=f"known: {known}", code="no-peer")
    with ExitStack() as stack:
        busy = _alone(stack, found, dry_run)
        if purge:
            downs.refuse_loss(found, named, dry_run)
        warnings = carry_out(call, stop, dry_run, as_json)
        clear = Plan()
        if remove or purge or named:
            _require_stopped(stop, busy)
            clear = (
                removal.plan_purge(found, named, dry_run)
                if purge
                else removal.plan_remove(found, [*team_instances(found), *left_behind(found)], named)
            )
        else:
            clear.notes += removal.left(found)
        warnings += carry_out(call, clear, dry_run, as_json)
    data = _data(str(found.directory), dry_run, stop, clear, warnings)
    lines = [f"  {plain(note)}" for note in clear.notes]
    end = "nothing was done (--dry-run)" if dry_run else "the team is down" if data["actions"] else "nothing to do"
    if stop.failed:
        end = f"the team is down, except {', '.join(map(plain, stop.failed))}"
    notes = [*warnings, *failed_lines(stop, "not stopped")]
    return Reply(data, [*lines, end], notes, code=1 if stop.failed else 0)


def _data(project: str, dry_run: bool, stop: Plan, clear: Plan, warnings: list[str]) -> Json:
    return {
        "project": project,
        "dry_run": dry_run,
        "actions": [action.text for action in (*stop.actions, *clear.actions)],
        "notes": clear.notes,
        "warnings": warnings,
        "kept": [instance_record(instance) for instance in clear.instances],
        "failed": failures(stop),
    }


def _down_without_git(call: Call, error: PeercoordError, dry_run: bool, as_json: bool, more: bool) -> Reply:
    """Stop the agents that the coordination directory names, where git does not say what the team is."""
    from pathlib import Path

    from peercoord.team import down as downs
    from peercoord.team.plan import Plan

    try:
        state = call.place.coordination
    except PeercoordError:
        raise error from None
    stop = downs.plan_stop_on_record(Path(state))
    if more or not (stop.actions or stop.failed):
        raise error
    warnings = [*carry_out(call, stop, dry_run, as_json), f"only agents were stopped: {error.message}"]
    data = _data(call.place.project, dry_run, stop, Plan(), warnings)
    return Reply(data, ["the agents on record are stopped"], [*warnings, *failed_lines(stop, "not stopped")], code=1)


def _alone(stack: ExitStack, found: Project, dry_run: bool) -> LostError | None:
    """Wait a while for another set-up or removal to end; if it does not, agents are stopped even so."""
    from peercoord.store import manifest

    try:
        stack.enter_context(nullcontext() if dry_run else manifest.held(found.common, LOCK_SECONDS))
    except LostError as error:
        return error
    return None


def _require_stopped(stop: Plan, busy: LostError | None) -> None:
    """Refuse to remove anything while an agent may run, or another set-up."""
    if busy is not None:
        raise busy
    for peer, error in stop.failed.items():
        text = f"nothing was removed, since {peer} may still run: {error.message}"
        raise PeercoordError(text, error.hint, code="not-stopped")


def _project(call: Call) -> Project:
    """Find the project of a call, also if its coordination directory is gone, or its team left something behind."""
    from peercoord.store import manifest
    from peercoord.team import repository
    from peercoord.team.repository import left_behind

    try:
        return repository.discover(call.place.project)
    except (NotFoundError, BrokenFileError) as error:
        found = repository.discover(call.directory or os.environ.get("PEERCOORD_PROJECT") or ".")
        if not (repository.is_known(found) or manifest.branches(found.common, found.sub) or left_behind(found)):
            raise error from None
        return found
