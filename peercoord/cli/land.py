"""``peercoord land``: bring finished work onto the project's branch; started by a person."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion, progress
from peercoord.cli.main import Call
from peercoord.cli.review import as_option
from peercoord.errors import NotFoundError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.store import ids
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.landing.land import Outcome
    from peercoord.landing.plan import Step
    from peercoord.queue.queue import Queue
    from peercoord.store.project import Project

SIGNS = {
    "landed": "✓",
    "already-there": "·",
    **dict.fromkeys(("conflict", "check-failed", "refused"), "✗"),
    **dict.fromkeys(("waits", "not-tried"), "○"),
}
_LISTED_MOST = 20  # tasks named that are on the branch already
_AFTER = "then: peercoord land"


@click.command(short_help="Bring finished work onto the project's branch.")
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1, shell_complete=completion.instances)
@click.option("--onto", default="", metavar="BRANCH", help="Land there; the main checkout's branch if left out.")
@click.option("--dry-run", is_flag=True, help="Say what would land and where it would stop, and change nothing.")
@click.option("--check", default="", metavar="COMMAND", help="Run this after each merge; what fails it does not land.")
@click.option("--offer", is_flag=True, help="At a conflict, make it a task of the instance whose work it is.")
@click.option("--undo", is_flag=True, help="Take the last landing back, if nothing came on top.")
@as_option
@json_option
@click.pass_obj
def land(
    call: Call,
    instances: tuple[str, ...],
    onto: str,
    dry_run: bool,
    check: str,
    offer: bool,
    undo: bool,
    named: str,
    as_json: bool,
) -> Reply:
    """Bring the finished work of all instances, or of each INSTANCE, onto the project's branch.

    What lands are the commits that were recorded when tasks were reported done, in the order of the tasks'
    dependencies. They are merged in a temporary directory; then the branch moves, and with it the main checkout if
    nothing in it is changed. Unfinished, abandoned and uncommitted work stays where it is and is named.

    It stops at the first conflict and says what to type; what was merged before it lands. --check "make test" runs in
    the temporary directory after each merge, with the rights of whoever calls this. Exit code 1: something is left
    for a person.
    """
    from peercoord.landing import land as landing
    from peercoord.review import actions
    from peercoord.team import repository

    words = _words(instances, onto, check, offer, undo)
    if undo and (instances or onto or dry_run or check or offer):
        raise UsageError("--undo takes the last landing back and goes with nothing else", "peercoord land --undo")
    by = "" if dry_run else actions.person(call.place.project, named, words, command="land")[0]
    project, queue = repository.discover(call.place.project), call.queue
    if undo:
        found = landing.undo(project, queue)
        tasks = [str(one.get("task_id")) for one in found.tasks]
        data: Json = {"branch": found.branch, "before": found.after, "after": found.before, "undone": True}
        said = f"✓ {plain(found.branch)} is back at {found.before[:7]}, as before the landing of {_tasks(tasks)}"
        return Reply(
            data, [said, "  The branches of the instances still have that work; land it again: peercoord land"]
        )
    peers = _peers(project, queue, instances)

    def say(text: str) -> None:
        if not (as_json or call.quiet):
            progress.say(f"  {plain(text)} …", error=True)

    with progress.shown(as_json or call.quiet):
        made = landing.land(project, queue, by, peers, onto, check, dry_run, say)
    offered = _offered(call, queue, made, new=offer and not dry_run)
    return Reply(
        _data(made, offered), _lines(project, made, offered), made.notes, code=int(bool(_stuck(made) or made.obstacles))
    )


def _words(instances: tuple[str, ...], onto: str, check: str, offer: bool, undo: bool) -> list[str]:
    """Return the words of the call, to be typed again elsewhere."""
    chosen = [*(["--onto", onto] if onto else []), *(["--check", check] if check else [])]
    return [*instances, *chosen, *(["--offer"] if offer else []), *(["--undo"] if undo else [])]


def _peers(project: Project, queue: Queue, named: tuple[str, ...]) -> list[str]:
    """Return the instances that are meant: those of the team, and those that did a task."""
    from peercoord.team import repository

    if not named:
        return []
    records = ((queue.result(task) or (0, "", {}))[2] for task in queue.all_tasks())
    known = {*(one.peer for one in repository.team_instances(project)), *(str(one.get("peer")) for one in records)}
    peers = [ids.meant(name, known) for name in named]
    unknown = next((name for name in peers if name not in known), "")
    if unknown:
        there = ", ".join(sorted(known - {"None"}, key=ids.natural)) or "none"
        raise NotFoundError(f"there is no instance {plain(unknown)}", f"known: {there}", code="no-peer")
    return peers


def _stuck(made: Outcome) -> list[Step]:
    return made.having("conflict", "check-failed", "refused", "waits", "not-tried")


def _offered(call: Call, queue: Queue, made: Outcome, *, new: bool) -> tuple[str, str] | None:
    """Return the task that the conflict is, and the instance that has it; ``new``: make it one."""
    from peercoord.cli import task
    from peercoord.landing.offer import offer, offered

    step = next(iter(made.having("conflict")), None)
    if step is None:
        return None
    if not new:
        return offered(queue, step, made.branch)
    return offer(
        queue, step, made.branch, made.after, lambda define: task.numbered(queue, define, task.listed(queue, call))[0]
    )


# -- what is said ------------------------------------------------------------------------------------------------


def _data(made: Outcome, offered: tuple[str, str] | None) -> Json:
    return {
        "branch": made.branch,
        "before": made.before,
        "after": made.after,
        "moved": made.after != made.before and not made.obstacles and not made.dry_run,
        "dry_run": made.dry_run,
        "works": [
            {
                "tasks": [ids.public(task) for task in step.work.tasks],
                "instance_id": step.work.peer,
                "branch": step.work.branch or None,
                "commit": step.work.commit,
                "state": step.state,
                "detail": step.detail,
                "without_commit": [ids.public(task) for task in step.work.tasks if task in step.work.empty],
                "files": [os.fsencode(path).decode(errors="replace") for path in step.files],
                "notes": step.notes,
                "output": step.output,
            }
            for step in made.steps
        ],
        "left": [
            {"kind": one.kind, "instance_id": one.peer, "what": one.text, "tasks": [*map(ids.public, one.tasks)]}
            for one in made.left
        ],
        "in_the_way": [
            {"worktree_path": str(one.where), "why": one.why, "command": one.command} for one in made.obstacles
        ],
        "offered": {"task_id": ids.public(offered[0]), "assigned_to": offered[1] or None} if offered else None,
    }


def _lines(project: Project, made: Outcome, offered: tuple[str, str] | None) -> list[str]:
    from peercoord.landing.plan import FAILS_WITHOUT
    from peercoord.landing.works import named

    would = "would land" if made.dry_run else "landed"
    here: dict[str, list[str]] = {}
    for step in made.having("already-there"):
        for task in step.work.tasks:
            here.setdefault("" if task in step.work.empty else step.detail, []).append(task)
    empty = here.pop("", [])
    drawn = []
    for how, tasks in here.items():
        are = "is" if len(tasks) == 1 else "are"
        drawn.append(f" · {_some(tasks)} {are} on {plain(made.branch)} already ({plain(how)})")
    drawn += [f" · nothing was committed for {_some(empty)}"] if empty else []
    for step in made.steps:
        if step.state == "already-there":
            continue
        detail = "conflict" if step.state == "conflict" else step.detail
        drawn.append(f" {SIGNS[step.state]} {plain(named(step.work))}{f': {plain(detail)}' if detail else ''}")
        without = [task for task in step.work.tasks if task in step.work.empty]
        drawn += [f"     nothing was committed for {_some(without)}"] if without else []
        drawn += [f"     {plain(note)}" for note in step.notes]
        drawn += [f"     | {plain(line)}" for line in step.output]
        if step.detail == FAILS_WITHOUT:
            drawn.append(f"     {plain(made.branch)} itself does not pass the check: mend that first")
        elif step.state in ("check-failed", "refused"):
            drawn.append(f"     send it back to the queue: peercoord task reopen {step.work.tasks[0]}")
    end = _moved(made, would)
    conflicts = [line for step in made.having("conflict") for line in _conflict(project, made, step, offered)]
    left = [f" - {plain(one.peer)}{': ' if one.peer else ''}{plain(one.text)}" for one in made.left]
    parts = [
        drawn,
        end,
        conflicts,
        [f"Left where it is{'' if made.dry_run else ', untouched'}:", *left] if left else [],
    ]
    return [line for part in parts if part for line in (*part, "")][:-1]


def _moved(made: Outcome, would: str) -> list[str]:
    branch, tasks = plain(made.branch), [task for step in made.having("landed") for task in step.work.tasks]
    if made.after == made.before:
        stuck = "nothing could be landed" if _stuck(made) else "there is nothing to land"
        return [f"{branch} stays at {made.before[:7]}: {stuck}"]
    if made.obstacles:
        first = made.obstacles[0]
        what = "cannot be moved" if made.dry_run else "was not moved"
        lines = [f"{branch} {what}: {plain(first.told)}"]
        lines += [f"  also {plain(other.told)}" for other in made.obstacles[1:]]
        if not made.dry_run and len(made.obstacles) == 1 and "merge --ff-only" in first.command:
            lines += [f"  All is merged. Move it yourself: {first.command}", f"  or commit or stash that, {_AFTER}"]
        else:
            away = [] if "merge --ff-only" in first.command else [f"  Type: {first.command}"]
            lines += [*away, f"  {'Settle' if not away else 'After'} that, {_AFTER}"]
        return lines
    if made.dry_run:
        return [f"{_tasks(tasks)} {would} on {branch}; nothing was done (--dry-run)"]
    return [f"{branch} is at {made.after[:7]}: {_tasks(tasks)} {would}", "  take it back: peercoord land --undo"]


def _conflict(project: Project, made: Outcome, step: Step, offered: tuple[str, str] | None) -> list[str]:
    from peercoord.landing.branch import holders
    from peercoord.landing.works import named
    from peercoord.system.git import pasted, shown_path

    work, onto = step.work, plain(made.branch)
    standing = [tree.path for tree in holders(project, made.branch)]
    where_to_type = pasted(standing[0]) if standing else f"A-CHECKOUT-OF-{onto}"
    where = f" (branch {plain(work.branch)})" if work.branch else ""
    lines = [f"{plain(named(work))}{where} cannot be merged into {onto}"]
    lines += [f"  {plain(step.detail)}"] if step.detail else []
    lines += [f"  in conflict: {shown_path(path)}" for path in step.files]
    if offered:
        holder = f"{offered[1]} has it" if offered[1] else "the next instance that asks gets it"
        return [*lines, f"  It is task {offered[0]} now, and {holder}; once that is done: peercoord land"]
    if made.dry_run and made.after != made.before:
        before = _tasks([task for one in made.having("landed") for task in one.work.tasks])
        return [
            *lines,
            f"  Land {before} first: peercoord land; it says then how to merge this one.",
            f"  Or let {work.peer or 'an instance'} do it: peercoord land --offer",
        ]
    return [
        f"NEEDS YOU: {lines[0]}",
        *lines[1:],
        f"  Merge it yourself on {onto}: git -C {where_to_type} merge {work.commit[:12]}",
        f"  settle the files, git commit; {_AFTER}",
        f"  Or let {work.peer or 'an instance'} do it: peercoord land --offer",
    ]


def _some(tasks: list[str]) -> str:
    more = f" and {len(tasks) - _LISTED_MOST} more" if tasks[_LISTED_MOST:] else ""
    return f"task {tasks[0]}" if len(tasks) == 1 else f"tasks {', '.join(tasks[:_LISTED_MOST])}{more}"


def _tasks(tasks: list[str]) -> str:
    return f"task {tasks[0]}" if len(tasks) == 1 else f"{len(tasks)} tasks"
