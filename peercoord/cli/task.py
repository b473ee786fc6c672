"""Commands on the task list: add, list, show, edit, answer, accept, import, export, cancel, reopen, rename."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.cli.main import Call
from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import block, clean, plain, shown
from peercoord.mailbox import verbs
from peercoord.mailbox.verbs import json_option
from peercoord.queue.queue import Queue
from peercoord.status.dashboard import percent
from peercoord.status.needs import TEXT
from peercoord.store import ids, paths, records
from peercoord.store.root import open_root
from peercoord.store.settings import NOTE_CHARS
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.status.views import Row
    from peercoord.store.records import Definition
    from peercoord.tasklists.importer import Intake

NUMBERS_MOST = 1000  # tries to find a free number for a new task


def queue_of(call: Call) -> Queue:
    """Open the task list of the project that a call stands in, for the call's actor."""
    return Queue(open_root(call.place.coordination, call.place.store_id), call.actor)


@click.group(short_help="Add, list, show and change tasks.", context_settings={"help_option_names": ["-h", "--help"]})
def task() -> None:
    """Add, list, show, edit, answer, accept, import, export, cancel, reopen and rename tasks."""


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

    def define(task: str) -> Definition:
        return records.define(
            task,
            title,
            description=description,
            priority=priority,
            dependencies=[ids.typed(d, "dependency") for d in dependencies],
            steps=[
                {"id": f"{task}.{at}", "title": clean(step), "status": "pending"} for at, step in enumerate(steps, 1)
            ],
        )

    queue = queue_of(call)
    task_id = task_id and ids.typed(task_id)
    new, where = (task_id, queue.add(define(task_id))) if task_id else _numbered(queue, define, _listed(queue, call))
    state = where.split("/")[1] if where.count("/") else ""
    return Reply({"task_id": ids.public(new), "ticket": where}, [f"task {new} added, {state}: {plain(title)}"])


def _listed(queue: Queue, call: Call) -> int:
    """Return the highest number in the project's lists, also of tasks that are not imported."""
    from peercoord.tasklists import selection

    return selection.highest_number(queue.root, Path(call.place.project))


def _numbered(queue: Queue, define: Callable[[str], Definition], number: int) -> tuple[str, str]:
    """Add a task under the next free number.

    Args:
        queue: The tasks.
        define: Makes the definition for an id.
        number: Numbers up to this one are kept for the project's lists.

    Returns:
        The task's id, and where its ticket lies.
    """
    for _ in range(NUMBERS_MOST):
        number = max(number, *map(ids.number, queue.all_tasks()), 0) + 1
        try:
            return str(number), queue.add(define(str(number)))
        except UsageError as error:
            if error.code != "exists":
                raise
    raise PeercoordError(f"others took {NUMBERS_MOST} numbers while this one was added", hint="try again")


@task.command(short_help="List the tasks, and how they stand.", name="list")
@click.option("--status", "wanted", multiple=True, metavar="S", help="Only tasks that stand like this. Repeatable.")
@json_option
@click.pass_obj
def list_(call: Call, wanted: tuple[str, ...], as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List the tasks: how they stand, who holds them, what they wait for."""
    from peercoord.cli.status import board_of
    from peercoord.status import views

    board = board_of(call)
    wanted = tuple(verbs.state(word) for word in wanted)
    known = {row.status for row in board.rows}
    unknown = set(wanted) - known - {"ready", "waiting", "in-progress", "done", "missing", *paths.PARKED_WHY}
    if unknown:
        raise UsageError(f"no task stands as {shown(min(unknown))}", f"those there are: {', '.join(sorted(known))}")
    rows = [row for row in board.rows if not wanted or row.status in wanted]
    picked = {row.task for row in rows}
    tasks = [entry for entry in views.task_queue(board)["tasks"] if str(entry["task_id"]) in picked]
    width = max((len(row.task) for row in rows), default=1)
    lines = [
        f"{row.task:>{width}}  {paths.PARKED_WORDS.get(row.status, row.status):<11} {plain(row.title)}{_beside(row)}"
        for row in rows
    ]
    from peercoord.worktree.handover import NO_TASKS

    nothing = ["no tasks stand like this"] if board.rows else ["no tasks yet", NO_TASKS]
    return Reply({"tasks": tasks, "summary": views.summary(board.rows)}, lines or nothing)


def _beside(row: Row) -> str:
    if row.holder:
        return f"  ({row.holder}, {percent(row.progress)})"
    if row.waits_for:
        return f"  (waits for {', '.join(row.waits_for)})"
    return f"  ({row.finished_by})" if row.finished_by else ""


@task.command(short_help="Show one task, and what became of earlier attempts.")
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@json_option
@click.pass_obj
def show(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show one task: what it is, where its ticket lies, what became of earlier attempts."""
    queue = queue_of(call)
    wanted = ids.typed(task_id)
    sighting = queue.find(wanted)
    spot = queue.location_of(wanted) if sighting.state == "parked" else None
    definition = queue.definition(wanted)
    attempts = _attempts(queue, wanted)
    data: Json = {
        "task_id": ids.public(wanted),
        "state": sighting.state,
        "detail": sighting.detail,
        "reason": spot.reason if spot else "",
        "epoch": max(sighting.epoch, max((attempt["epoch"] for attempt in attempts), default=0)),
        "ticket": f"{paths.ROOT}/{sighting.path}",
        "file": f"{paths.ROOT}/{paths.definition(wanted)}",
        "results": attempts,
        "definition": definition.raw,
    }
    word = paths.PARKED_WORDS.get(sighting.detail, sighting.detail) if spot else sighting.detail
    detail = f" {word}" if word and sighting.state != "ready" else ""
    reason = f": {plain(spot.reason)}" if spot and spot.reason else ""
    needs = ", ".join(definition.dependencies) or "nothing"
    lines = [
        f"task {wanted}: {plain(definition.title)}",
        f"  {sighting.state}{detail}{reason}, epoch {data['epoch']}",
        f"  priority {paths.PRIORITIES[definition.level]}, depends on {needs}",
        *block(definition.raw.get("description", "")),
        *[f"  step {step.step} {plain(step.title)}" for step in definition.steps],
        *[
            f"  {plain(one.get('question') or 'it was parked')} → {plain(one['answer'])} ({plain(one.get('by'))})"
            for one in records.answers(definition.raw.get("answers"))
        ],
        *map(_attempt_line, attempts),
        f"  edit: {data['file']}",
    ]
    return Reply(data, lines)


def _attempts(queue: Queue, task: str) -> list[Json]:
    """Return each finished attempt at a task, from its results."""
    found = sorted(r[1:] for r in map(paths.parse_result, queue.results(task)) if r and r[0] == task)
    attempts = []
    for epoch, outcome in found:
        record = queue.read_record(paths.result(task, epoch, outcome)) or {}
        told = {key: record[key] for key in ("peer", "at", "branch", "commit", "reason") if _is_text(record.get(key))}
        share = record.get("progress")
        if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1:
            told["progress"] = share
        attempts.append({"epoch": epoch, "outcome": outcome, **told})
    return attempts


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _attempt_line(attempt: Json) -> str:
    about = [plain(attempt["peer"])] if "peer" in attempt else []
    if "progress" in attempt and attempt["outcome"] != "done":
        about.append(f"at {percent(attempt['progress'])}")
    if "branch" in attempt:
        about.append(f"branch {plain(attempt['branch'])}")
    reason = f": {plain(attempt['reason'])}" if "reason" in attempt else ""
    return f"  attempt {attempt['epoch']}: {', '.join([attempt['outcome'], *about])}{reason}"


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
    """Change TASK. Its ticket moves if nobody holds it; a holder is told when it asks or reports."""
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
    changed = queue_of(call).edit(wanted, **changes)
    data = {"task_id": ids.public(wanted), "definition": changed.raw}
    return Reply(data, [f"task {wanted} changed: {', '.join(changes)}"])


@task.command(short_help="Take in tasks from a database or a file.", name="import")
@click.argument("source", metavar="PATH_OR_URL")
@click.option("--tag", metavar="T", help="The tag of a tasks.json; its current one if left out.")
@click.option("--take-in-progress", is_flag=True, help="Take tasks a person has in progress there as free to claim.")
@json_option
@click.pass_obj
def import_(call: Call, source: str, tag: str | None, take_in_progress: bool, as_json: bool) -> Reply:  # noqa: ARG001
    """Take in the tasks of a TaskMaster database, a tasks.json or a beads file. Twice changes nothing."""
    from peercoord.tasklists.importer import take_in
    from peercoord.tasklists.source import read_source

    reading = read_source(source, tag, Path(call.place.project))
    intake = take_in(queue_of(call), reading.tasks, take_in_progress=take_in_progress)
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

    queue = queue_of(call)
    tasks, left_out = gather(queue)
    text = export(tasks, form, queue.root.clock.now())
    notes = [f"task {task} is left out: {why}" for task, why in left_out]
    return Reply({"format": form, "tasks": len(tasks), "content": text}, text.removesuffix("\n").split("\n"), notes)


def import_lines(source: str, intake: Intake) -> list[str]:
    """Return the lines that show what an import did."""
    known = f", {len(intake.known)} known already" if intake.known else ""
    return [
        f"{len(intake.added)} tasks taken in from {plain(source)} ({len(intake.done)} of them done before){known}",
        *[f"  task {task} is parked: {plain(why)}" for task, why in sorted(intake.parked.items(), key=_by_id)],
        *[f"  refused: {plain(what)}: {plain(why)}" for what, why in intake.refused],
    ]


def _by_id(item: tuple[str, str]) -> tuple[tuple[int, int, str], ...]:
    return ids.natural(item[0])


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@click.option("--reason", default="", metavar="TEXT")
@json_option
@click.pass_obj
def cancel(call: Call, task_id: str, reason: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Cancel TASK; what depends on it is parked as blocked. Undo: task reopen."""
    wanted = ids.typed(task_id)
    sighting = queue_of(call).cancel(wanted, reason)
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
    queue = queue_of(call)
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
    """Accept TASK, which lies in review: it is done. To send it back, answer it."""
    wanted = ids.typed(task_id)
    queue_of(call).accept(wanted)
    return Reply({"task_id": ids.public(wanted), "status": "done"}, [f"task {wanted} is done"])


@task.command()
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@json_option
@click.pass_obj
def reopen(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Put TASK, done or parked, back into the queue."""
    wanted = ids.typed(task_id)
    where = queue_of(call).reopen(wanted)
    return Reply({"task_id": ids.public(wanted), "ticket": where}, [f"task {wanted} is back: {where.split('/')[1]}"])


@task.command(short_help="Give task OLD the id NEW.")
@click.argument("old", metavar="OLD", shell_complete=completion.tasks)
@click.argument("new", metavar="NEW")
@json_option
@click.pass_obj
def rename(call: Call, old: str, new: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Give task OLD the id NEW, where another list has a task of that id. Nobody may hold it."""
    from peercoord.queue.renaming import rename as renamed

    was, now, queue = ids.typed(old), ids.typed(new), queue_of(call)
    _refuse_listed(queue, was)
    changed = renamed(queue, was, now)
    beside = f"; {', '.join(changed)} depend on it as such" if changed else ""
    data = {"task_id": ids.public(now), "was": ids.public(was), "dependents": [ids.public(task) for task in changed]}
    return Reply(data, [f"task {was} is task {now} now{beside}"])


def _refuse_listed(queue: Queue, task: str) -> None:
    """Refuse to rename a task that a list which is kept in step has under its id: the id is changed there.

    Raises:
        UsageError: One has it.
    """
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
