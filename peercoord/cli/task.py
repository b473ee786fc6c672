"""Commands on the task list: add, edit, answer, accept, import, export, cancel, reopen, rename."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion, progress, task_show
from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import clean, plain
from peercoord.mailbox.verbs import json_option
from peercoord.queue.queue import Queue
from peercoord.status.needs import TEXT
from peercoord.store import ids, paths, records
from peercoord.store.settings import NOTE_CHARS
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.cli.main import Call
    from peercoord.foreign import Json
    from peercoord.store.records import Definition
    from peercoord.tasklists.importer import Intake

NUMBERS_MOST = 1000  # tries to find a free number for a new task


@click.group(short_help="Add, list, show and change tasks.", context_settings={"help_option_names": ["-h", "--help"]})
def task() -> None:
    """Add, list, show, edit, answer, accept, import, export, cancel, reopen and rename tasks."""


task.add_command(task_show.list_)
task.add_command(task_show.show)


depends_on = partial(
    click.option, "--depends-on", "dependencies", multiple=True, metavar="ID", shell_complete=completion.tasks
)


@task.command()
@click.argument("title")
@click.option("--id", "task_id", default="", metavar="ID", help="Its id; the next free number if left out.")
@click.option("--description", "-d", default="", metavar="TEXT")
@click.option("--priority", "-p", default="medium", metavar="P", help=f"{', '.join(paths.PRIORITIES)}, or 0 to 4.")
@depends_on(help="Must be done first. Repeatable.")
@click.option("--step", "steps", multiple=True, metavar="TITLE", help="A step of it. Repeatable, in order.")
@json_option
@click.pass_obj
def add(
    call: Call,
    title: str,
    task_id: str,
    description: str,
    priority: str,
    dependencies: tuple[str, ...],
    steps: tuple[str, ...],
    as_json: bool,  # noqa: ARG001 - read by the frame
) -> Reply:
    """Add a task called TITLE."""
    needs = [ids.typed(one, "dependency") for one in dependencies]

    def define(task: str) -> Definition:
        parts = [{"id": f"{task}.{at}", "title": clean(step), "status": "pending"} for at, step in enumerate(steps, 1)]
        return records.define(task, title, description=description, priority=priority, dependencies=needs, steps=parts)

    queue = call.queue
    task_id = task_id and ids.typed(task_id)
    new, where = (task_id, queue.add(define(task_id))) if task_id else numbered(queue, define, listed(queue, call))
    state = where.split("/")[1] if where.count("/") else ""
    return Reply({"task_id": ids.public(new), "ticket": where}, [f"task {new} added, {state}: {plain(title)}"])


def listed(queue: Queue, call: Call) -> int:
    """Return the highest number in the project's lists, also of tasks that are not imported."""
    from peercoord.tasklists import selection

    return selection.highest_number(queue.root, Path(call.place.project))


def numbered(queue: Queue, define: Callable[[str], Definition], number: int) -> tuple[str, str]:
    """Add a task under the next free number above ``number``; return its id and where its ticket lies."""
    for _ in range(NUMBERS_MOST):
        number = max(number, *map(ids.number, queue.all_tasks()), 0) + 1
        try:
            return str(number), queue.add(define(str(number)))
        except UsageError as error:
            if error.code != "exists":
                raise
    raise PeercoordError(f"others took {NUMBERS_MOST} numbers while this one was added", hint="try again")


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@click.option("--title", metavar="TEXT")
@click.option("--description", metavar="TEXT")
@click.option("--priority", metavar="P")
@depends_on(help="All it depends on. Repeatable.")
@click.option("--no-dependencies", is_flag=True, help="It depends on nothing any more.")
@json_option
@click.pass_obj
def edit(
    call: Call,
    task_id: str,
    title: str | None,
    description: str | None,
    priority: str | None,
    dependencies: tuple[str, ...],
    no_dependencies: bool,
    as_json: bool,  # noqa: ARG001 - read by the frame
) -> Reply:
    """Change TASK. Its ticket moves if no instance holds it; a holder sees the change when it asks or reports."""
    changes: Json = {}
    if title is not None:
        changes["title"] = clean(title)
    if description is not None:
        changes["description"] = clean(description)
    if priority is not None:
        changes["priority"] = paths.PRIORITIES[records.priority_level(priority)]
    if dependencies or no_dependencies:
        changes["dependencies"] = [ids.public(ids.typed(d, "dependency")) for d in dependencies]
    if not changes:
        raise UsageError("nothing to change", "name --title, --description, --priority or --depends-on")
    wanted = ids.typed(task_id)
    changed = call.queue.edit(wanted, **changes)
    data = {"task_id": ids.public(wanted), "definition": changed.raw}
    return Reply(data, [f"task {wanted} changed: {', '.join(changes)}"])


@task.command(short_help="Take in tasks from a database or a file.", name="import")
@click.argument("source", metavar="PATH_OR_URL")
@click.option("--tag", metavar="T", help="The tag of a tasks.json; its current one if left out.")
@click.option("--take-in-progress", is_flag=True, help="Take tasks a person has in progress there as free to claim.")
@json_option
@click.pass_obj
def import_(call: Call, source: str, tag: str | None, take_in_progress: bool, as_json: bool) -> Reply:
    """Take in the tasks of a TaskMaster database, a tasks.json or a beads file. Twice changes nothing."""
    from peercoord.tasklists.importer import take_in
    from peercoord.tasklists.source import read_source

    reading = read_source(source, tag, Path(call.place.project))
    with progress.shown(as_json or call.quiet):
        intake = take_in(call.queue, reading.tasks, take_in_progress=take_in_progress)
    intake.refused += reading.refused
    code = 1 if intake.refused else 0
    return Reply({"source": source, **intake.as_json()}, import_lines(source, intake), code=code)


@task.command(short_help="Write all tasks as another program keeps them.", name="export")
@click.option(
    "--format", "form", type=click.Choice(["tasks.json", "beads", "csv"]), default="tasks.json", show_default=True
)
@json_option
@click.pass_obj
def export_(call: Call, form: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Write all tasks as another program keeps them, to standard output: take them and go."""
    from peercoord.tasklists.export import export, gather

    queue = call.queue
    tasks, left_out = gather(queue)
    text = export(tasks, form, queue.root.clock.now())
    notes = [f"task {task} is left out: {why}" for task, why in left_out]
    return Reply({"format": form, "tasks": len(tasks), "content": text}, text.removesuffix("\n").split("\n"), notes)


def import_lines(source: str, intake: Intake) -> list[str]:
    """Return the lines that show what an import did."""
    known = f", {len(intake.known)} known already" if intake.known else ""
    parked = sorted(intake.parked.items(), key=lambda item: ids.natural(item[0]))
    return [
        f"{len(intake.added)} tasks taken in from {plain(source)} ({len(intake.done)} of them done before){known}",
        *[f"  task {task} is parked: {plain(why)}" for task, why in parked],
        *[f"  refused: {plain(what)}: {plain(why)}" for what, why in intake.refused],
    ]


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@click.option("--reason", default="", metavar="TEXT")
@json_option
@click.pass_obj
def cancel(call: Call, task_id: str, reason: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Cancel TASK; what depends on it is parked as blocked. Undo: task reopen."""
    wanted = ids.typed(task_id)
    sighting = call.queue.cancel(wanted, reason)
    holder = paths.parse_incarnation(sighting.detail) if sighting.state == "claimed" else None
    beside = f"; {holder.peer} holds it and may still finish" if holder else ""
    return Reply(
        {"task_id": ids.public(wanted), "held_by": holder.peer if holder else None},
        [f"task {wanted} cancelled{beside}"],
    )


@task.command(short_help="Answer what a task waits for: it goes back to the queue.")
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@click.argument("text")
@json_option
@click.pass_obj
def answer(call: Call, task_id: str, text: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Answer what TASK waits for: it goes back to the queue, and its next holder is told.

    For a task that was reported as blocked, put into review, or failed too often. The instance that asked has it again
    at once if it waits for a task, and prefers it when it asks for one.
    """
    from peercoord.queue import reassign

    wanted, said = ids.typed(task_id), clean(text).strip()
    if said in ("", TEXT) or len(said) > NOTE_CHARS:
        raise UsageError(f"an answer has 1 to {NOTE_CHARS} characters", hint="keep more in a file, and name it")
    queue = call.queue
    where, holder = reassign.answer(queue, wanted, said)
    told = records.answers(queue.definition(wanted).raw.get("answers"))[-1:]
    asked = next((one["asked_by"] for one in told if ids.is_id(one.get("asked_by"))), None)
    data = {"task_id": ids.public(wanted), "ticket": where, "asked_by": asked, "assigned_to": holder or None}
    back = f"{holder} has it again" if holder else f"it is back: {where.split('/')[1]}"
    return Reply(data, [f"task {wanted} is answered, {back}; its next holder is told what you said"])


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@json_option
@click.pass_obj
def accept(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Accept TASK, which is in review: it is done. To send it back, answer it."""
    wanted = ids.typed(task_id)
    call.queue.accept(wanted)
    return Reply({"task_id": ids.public(wanted), "status": "done"}, [f"task {wanted} is done"])


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@json_option
@click.pass_obj
def reopen(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Put TASK, done or parked, back into the queue."""
    wanted = ids.typed(task_id)
    where = call.queue.reopen(wanted)
    return Reply({"task_id": ids.public(wanted), "ticket": where}, [f"task {wanted} is back: {where.split('/')[1]}"])


@task.command(short_help="Give task OLD the id NEW.")
@click.argument("old", metavar="OLD", shell_complete=completion.tasks)
@click.argument("new", metavar="NEW")
@json_option
@click.pass_obj
def rename(call: Call, old: str, new: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Give task OLD the id NEW, where another list has a task of that id. No instance may hold it."""
    from peercoord.queue.renaming import rename as renamed

    was, now, queue = ids.typed(old), ids.typed(new), call.queue
    _refuse_listed(queue, was)
    changed = renamed(queue, was, now)
    beside = f"; {', '.join(changed)} depend on it as such" if changed else ""
    data = {"task_id": ids.public(now), "was": ids.public(was), "dependents": [ids.public(task) for task in changed]}
    return Reply(data, [f"task {was} is task {now} now{beside}"])


def _refuse_listed(queue: Queue, task: str) -> None:
    """Refuse to rename a task that a list which is kept in step has under its id: the id is changed there."""
    from peercoord.tasklists import runner, selection

    choice, birth = selection.Choice.of(queue.root.protocol), queue.birth(task)
    source = birth.definition.raw.get("source") if birth else None
    if not choice or not isinstance(source, dict):
        return
    for store in runner.Lists(queue.root, queue.actor, choice).all:
        try:
            sight = store.snapshot()
        except PeercoordError:
            continue
        if task in sight.digests and sight.is_source(source):
            raise UsageError(
                f"task {task} comes from {store.name}, which is kept in step and has it under that id",
                hint=f"give it another id there, then: peercoord task rename {task} NEW",
                code="listed",
            )
