"""Commands on the task list: add, list, show, edit, import, export, cancel, reopen."""

from __future__ import annotations

from pathlib import Path

import click

from peercoord.core import ids, names, records
from peercoord.core.errors import PeercoordError, UsageError
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.reply import Reply, block, percent, plain
from peercoord.roles.queue import Queue
from peercoord.roles.root import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.records import Definition, Json
    from peercoord.core.views import Row
    from peercoord.edges.importing import Intake

NUMBERS_MOST = 1000  # taken by others, one after the other, while a task that was given no id is being added


def queue_of(call: Call) -> Queue:
    """Open the task list of the project that a call stands in, as whoever calls."""
    return Queue(open_root(call.place.coordination, call.place.store_id), call.place.instance or "person")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def task() -> None:
    """Add, list, show, edit, import, export, cancel and reopen tasks."""


@task.command()
@click.argument("title")
@click.option("--id", "task_id", default="", metavar="ID", help="Its id; the next free number if left out.")
@click.option("--description", "-d", default="", metavar="TEXT")
@click.option("--priority", "-p", default="medium", metavar="P", help=f"{', '.join(names.PRIORITIES)}, or 0 to 4.")
@click.option("--depends-on", "dependencies", multiple=True, metavar="ID", help="Must be done first. Repeatable.")
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
            dependencies=dependencies,
            steps=[{"id": f"{task}.{at}", "title": step, "status": "pending"} for at, step in enumerate(steps, 1)],
        )

    queue = queue_of(call)
    new, where = (task_id, queue.add(define(task_id))) if task_id else _numbered(queue, define)
    state = where.split("/")[1] if where.count("/") else ""
    return Reply({"task_id": ids.public(new), "ticket": where}, [f"task {new} added, {state}: {plain(title)}"])


def _numbered(queue: Queue, define: Callable[[str], Definition]) -> tuple[str, str]:
    """Add a task under the next free number: the first that nobody else takes between our look and our adding.

    Returns:
        Its id, and where its ticket lies.
    """
    number = 0
    for _ in range(NUMBERS_MOST):
        number = max(number, *(int(task) for task in queue.all_tasks() if task.isdigit()), 0) + 1
        try:
            return str(number), queue.add(define(str(number)))
        except UsageError as error:
            if error.code != "exists":
                raise
    raise PeercoordError(f"others took {NUMBERS_MOST} numbers while this one was added", hint="try again")


@task.command(name="list")
@click.option("--status", "wanted", multiple=True, metavar="S", help="Only tasks that stand like this. Repeatable.")
@json_option
@click.pass_obj
def list_(call: Call, wanted: tuple[str, ...], as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List the tasks: how they stand, who holds them, what they wait for."""
    from peercoord.core import views
    from peercoord.edges.cli.status import board_of

    board = board_of(call)
    known = {row.status for row in board.rows}
    unknown = set(wanted) - known - {"ready", "waiting", "in-progress", "done", "missing", *names.PARKED_WHY}
    if unknown:
        raise UsageError(f"no task stands as {ids.shown(min(unknown))}", f"those there are: {', '.join(sorted(known))}")
    rows = [row for row in board.rows if not wanted or row.status in wanted]
    picked = {row.task for row in rows}
    tasks = [entry for entry in views.task_queue(board)["tasks"] if str(entry["task_id"]) in picked]
    width = max((len(row.task) for row in rows), default=1)
    lines = [f"{row.task:>{width}}  {row.status:<11} {plain(row.title)}{_beside(row)}" for row in rows]
    return Reply({"tasks": tasks, "summary": views.summary(board.rows)}, lines or ["no tasks"])


def _beside(row: Row) -> str:
    if row.holder:
        return f"  ({row.holder}, {percent(row.progress)})"
    if row.waits_for:
        return f"  (waits for {', '.join(row.waits_for)})"
    return f"  ({row.finished_by})" if row.finished_by else ""


@task.command()
@click.argument("task_id", metavar="TASK")
@json_option
@click.pass_obj
def show(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show one task: what it is, where its ticket lies, what became of earlier attempts."""
    queue = queue_of(call)
    wanted = ids.check(task_id)
    sighting = queue.find(wanted)
    spot = queue.spot(wanted) if sighting.state == "parked" else None
    definition = queue.definition(wanted)
    attempts = _attempts(queue, wanted)
    data: Json = {
        "task_id": ids.public(wanted),
        "state": sighting.state,
        "detail": sighting.detail,
        "reason": spot.reason if spot else "",
        "epoch": max(sighting.epoch, max((attempt["epoch"] for attempt in attempts), default=0)),
        "ticket": f"{names.ROOT}/{sighting.path}",
        "file": f"{names.ROOT}/{names.definition(wanted)}",
        "results": attempts,
        "definition": definition.raw,
    }
    detail = f" {sighting.detail}" if sighting.detail and sighting.state != "ready" else ""
    reason = f": {plain(spot.reason)}" if spot and spot.reason else ""
    needs = ", ".join(definition.dependencies) or "nothing"
    lines = [
        f"task {wanted}: {plain(definition.title)}",
        f"  {sighting.state}{detail}{reason}, epoch {data['epoch']}",
        f"  priority {names.PRIORITIES[definition.level]}, depends on {needs}",
        *block(definition.raw.get("description", "")),
        *[f"  step {step.step} {plain(step.title)}" for step in definition.steps],
        *map(_attempt_line, attempts),
        f"  edit: {data['file']}",
    ]
    return Reply(data, lines)


def _attempts(queue: Queue, task: str) -> list[Json]:
    """Give what became of each time a task was in someone's hands, as far as its result tells."""
    found = sorted(r[1:] for r in map(names.parse_result, queue.results(task)) if r and r[0] == task)
    attempts = []
    for epoch, outcome in found:
        record = queue.read_record(names.result(task, epoch, outcome)) or {}
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
@click.argument("task_id", metavar="TASK")
@click.option("--title", metavar="TEXT")
@click.option("--description", metavar="TEXT")
@click.option("--priority", metavar="P")
@click.option("--depends-on", "dependencies", multiple=True, metavar="ID", help="All it depends on. Repeatable.")
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
        changes["title"] = title
    if description is not None:
        changes["description"] = description
    if priority is not None:
        changes["priority"] = names.PRIORITIES[records.priority_level(priority)]
    if dependencies or no_dependencies:
        changes["dependencies"] = [ids.public(ids.check(d, "dependency")) for d in dependencies]
    if not changes:
        raise UsageError("nothing to change", "name --title, --description, --priority or --depends-on")
    wanted = ids.check(task_id)
    changed = queue_of(call).edit(wanted, **changes)
    data = {"task_id": ids.public(wanted), "definition": changed.raw}
    return Reply(data, [f"task {wanted} changed: {', '.join(changes)}"])


@task.command(name="import")
@click.argument("source", metavar="PATH_OR_URL")
@click.option("--tag", metavar="T", help="The tag of a tasks.json; its current one if left out.")
@click.option("--take-in-progress", is_flag=True, help="Take tasks a person has in progress there as free to claim.")
@json_option
@click.pass_obj
def import_(call: Call, source: str, tag: str | None, take_in_progress: bool, as_json: bool) -> Reply:  # noqa: ARG001
    """Take in the tasks of a TaskMaster database, a tasks.json or a beads file. Twice changes nothing."""
    from peercoord.edges.adapters.source import read_source
    from peercoord.edges.importing import take_in

    reading = read_source(source, tag, Path(call.place.project))
    intake = take_in(queue_of(call), reading.tasks, take_in_progress=take_in_progress)
    intake.refused += reading.refused
    return Reply({"source": source, **intake.as_json()}, import_lines(source, intake))


@task.command(name="export")
@click.option(
    "--format", "form", type=click.Choice(["tasks.json", "beads", "csv"]), default="tasks.json", show_default=True
)
@json_option
@click.pass_obj
def export_(call: Call, form: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Write all tasks as another program keeps them, to standard output: take them and go."""
    from peercoord.edges.adapters.export import export
    from peercoord.edges.exporting import gather

    queue = queue_of(call)
    tasks, left_out = gather(queue)
    text = export(tasks, form, queue.root.clock.now())
    notes = [f"task {task} is left out: {why}" for task, why in left_out]
    return Reply({"format": form, "tasks": len(tasks), "content": text}, text.removesuffix("\n").split("\n"), notes)


def import_lines(source: str, intake: Intake) -> list[str]:
    """Say what an import did."""
    known = f", {len(intake.known)} known already" if intake.known else ""
    return [
        f"{len(intake.added)} tasks taken in from {plain(source)} ({len(intake.done)} of them done before){known}",
        *[f"  task {task} is parked: {plain(why)}" for task, why in sorted(intake.parked.items(), key=_by_id)],
        *[f"  refused: {plain(what)}: {plain(why)}" for what, why in intake.refused],
    ]


def _by_id(item: tuple[str, str]) -> tuple[tuple[int, int, str], ...]:
    return ids.natural(item[0])


@task.command()
@click.argument("task_id", metavar="TASK")
@click.option("--reason", default="", metavar="TEXT")
@json_option
@click.pass_obj
def cancel(call: Call, task_id: str, reason: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Cancel TASK; what depends on it is parked as blocked. Undo: task reopen."""
    wanted = ids.check(task_id)
    sighting = queue_of(call).cancel(wanted, reason)
    holder = names.parse_incarnation(sighting.detail) if sighting.state == "claimed" else None
    beside = f"; {holder.peer} holds it and may still finish" if holder else ""
    return Reply(
        {"task_id": ids.public(wanted), "held_by": holder.peer if holder else None},
        [f"task {wanted} cancelled{beside}"],
    )


@task.command()
@click.argument("task_id", metavar="TASK")
@json_option
@click.pass_obj
def reopen(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Put TASK, done or parked, back into the queue."""
    wanted = ids.check(task_id)
    where = queue_of(call).reopen(wanted)
    return Reply({"task_id": ids.public(wanted), "ticket": where}, [f"task {wanted} is back: {where.split('/')[1]}"])
