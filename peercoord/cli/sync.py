"""``peercoord sync``: bring the TaskMaster database and the tickets into step now, or show what would change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli import progress
from peercoord.cli.main import Call
from peercoord.errors import NotFoundError, UsageError
from peercoord.foreign import plain, shown
from peercoord.mailbox.verbs import json_option
from peercoord.queue.queue import Queue
from peercoord.store import ids
from peercoord.tasklists import reconcile, runner, selection
from peercoord.tasklists.normalize import TaskStatus
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.foreign import Json
    from peercoord.store.root import Root
    from peercoord.tasklists.reconcile import Comparison, Outcome

SHOWN = 60  # characters of a value in a line
_WIDEST = 12


@click.command(short_help="Keep the list of tasks and the tickets in step.", name="sync")
@click.option("--dry-run", is_flag=True, help="Show what would change, row by row, and change nothing.")
@click.option("--explain", is_flag=True, help="Show which columns and words mean what, and who wins; change nothing.")
@click.option("--database", default="", metavar="PATH_OR_URL", help="The database from now on; 'none' for none.")
@click.option("--project", default="", metavar="NAME", help="What a database of several projects calls this one.")
@click.option("--tasks-file", default="", metavar="PATH", help="A tasks.json to keep in step too, from now on.")
@click.option("--tag", metavar="T", help="The tag of the tasks.json; the one that is current now.")
@click.option("--take-over", is_flag=True, help="Take a database that another, former team was kept in step with.")
@click.option("--restore", is_flag=True, help="Write rows again that were deleted, instead of cancelling their tasks.")
@click.option("--take-edits", is_flag=True, help="Take rows that seem to be of other tasks now as edits.")
@click.option("--term", type=click.IntRange(min=0), hidden=True)
@json_option
@click.pass_obj
def sync_(
    call: Call,
    /,
    dry_run: bool,
    explain: bool,
    database: str,
    project: str,
    tasks_file: str,
    tag: str | None,
    term: int | None,
    as_json: bool,
    **asked: bool,
) -> Reply:
    """Bring the TaskMaster database and the tickets into step: both ways, at once.

    The leader's agent does so every two minutes and whenever a task is claimed or completed. New tasks, edits,
    cancellations and "done" by hand come in; status, holder, progress and results go out.
    """
    root = call.root
    looks = dry_run or explain
    notes: list[str] = []
    choice = _choice(root, database, project, tasks_file, tag, notes)
    if database == selection.NONE:
        data: Json = {"dry_run": looks, "database": None, "changed": False, "lists": []}
        if looks:
            return Reply(data, ["no database would be kept in step any more", "nothing was changed"])
        _remember(root, choice)
        return Reply(data, ["no database is kept in step any more"])
    url = database if "://" in database else ""
    lists = runner.Lists(root, call.actor, choice, url=url, **asked)
    if looks:
        return _look(lists, dry_run=dry_run, explain=explain)
    _make(lists, named=bool(database) or not selection.Choice.of(root.protocol))
    with progress.shown(as_json or call.quiet):
        found = runner.run(lists, term)
    if database or project or tasks_file or choice.facts() != selection.Choice.of(root.protocol).facts():
        _remember(root, choice)
    data = _data(lists, found)
    data["changed"] = any(comparison.changes for _, outcome in found for comparison in outcome.comparisons)
    if switched := selection.switched(root):
        notes.append("; ".join(switched))
    if lists.database.backup:
        notes.append(f"before the first change the database was copied to {lists.database.backup}")
        data["backup"] = lists.database.backup
    return Reply(data, _lines(found) or [f"in step with {_named(lists)}: nothing to do"], notes)


def _look(lists: runner.Lists, *, dry_run: bool, explain: bool) -> Reply:
    """Show what a sync would do, or how tables are read, or both; write nothing."""
    from peercoord.tasklists.tasks_json import reformat_note

    path = lists.database.database.address.path
    if path is not None and not path.exists():
        text = f"the database {lists.database.name} is not there yet: every task would be written to it"
        raise NotFoundError(text, "make it with: peercoord sync", code="no-database")
    found = lists.plan(every=explain) if dry_run else []
    data = {**_data(lists, found), "dry_run": True}
    lines = _lines(found)
    adoption = lists.database.adoption()
    if dry_run and not lines:
        rest = "no row and no task changes" if adoption else "nothing to do"
        lines = [f"in step with {_named(lists)}: {rest}"]
    if adoption:
        data["adoption"] = adoption
        lines += _adopting(lists.database.name, adoption)
    if explain:
        data["explain"] = {**lists.database.explain(), "wins": reconcile.WINS}
        lines += _explained(data["explain"])
    lines.append(f"nothing was changed ({'--dry-run' if dry_run else '--explain'})")
    note = reformat_note(lists.file.path) if lists.file else ""
    return Reply(data, lines, [note] if note else [])


def _data(lists: runner.Lists, found: Sequence[tuple[str, Outcome]]) -> Json:
    listed = [{"name": name, **_as_json(outcome)} for name, outcome in found]
    return {"dry_run": False, "database": lists.database.name, "changed": False, "lists": listed}


def _lines(found: Sequence[tuple[str, Outcome]]) -> list[str]:
    """List what came in from each list and went out to it, in all rounds."""
    told: dict[str, list[str]] = {}
    for name, outcome in found:
        lines = _told(name, outcome)
        told.setdefault(name, lines).extend(line for line in lines if line not in told[name])
    return [line for lines in told.values() for line in lines]


def _named(lists: runner.Lists) -> str:
    return ", ".join(plain(store.name) for store in lists.all)


def _choice(
    root: Root, database: str, project: str, tasks_file: str, tag: str | None, notes: list[str]
) -> selection.Choice:
    """Return which lists are kept in step: the earlier choice, with what the user says now."""
    choice, home = selection.Choice.of(root.protocol), root.project
    if project and not (database or choice):
        hint = "name it too: peercoord sync --database PATH_OR_URL --project NAME"
        raise UsageError("--project goes with a database of several projects, and none is chosen", hint)
    if database:
        none = database == selection.NONE
        choice.choose(selection.NONE if none else selection.noted(database, home))
        if "://" in database and not none and choice.database != database:
            notes.append("the password is not written down: agents find it in ~/.pgpass or PGPASSWORD")
    elif not choice:
        choice.database = _own(home)
    if project:
        choice.key = project
    if tasks_file:
        if not os.path.isfile(os.path.expanduser(tasks_file)):
            raise NotFoundError(f"{shown(tasks_file, 300)} is not there", hint="name a tasks.json")
        choice.choose_file(selection.noted(tasks_file, home), tag_of(tasks_file, tag), Queue(root))
    elif tag:
        raise UsageError("--tag goes with --tasks-file", hint="peercoord sync --tasks-file PATH --tag T")
    return choice


def tag_of(path: str, tag: str | None) -> str:
    """Return the tag to pin: the named one, or the one that is current now."""
    from peercoord.tasklists import files, tasks_json

    full = Path(os.path.abspath(os.path.expanduser(path)))
    return tasks_json.choose(tasks_json.tagged(files.json_object(full), full), full, tag)


def _own(home: Path) -> str:
    from peercoord.team import repository, tasklist

    return tasklist.default_database(home, repository.discover(home, exact=True).common)


def _remember(root: Root, choice: selection.Choice) -> None:
    from peercoord.store import manifest
    from peercoord.team import repository, tasklist

    project = repository.discover(root.project, exact=True)
    with manifest.held(project.common):
        tasklist.remember(project, root, choice)


def _make(lists: runner.Lists, *, named: bool) -> None:
    """Create a missing database, but only one that was just named, or the project's own.

    Any other missing database was moved, or is on a disk that is not mounted.
    """
    path = lists.database.database.address.path
    if path is None or path.exists():
        return
    home = lists.root.project
    if named or str(path) == os.path.abspath(home / _own(home)):
        lists.create()


# -- what is shown -----------------------------------------------------------------------------------------------


def _adopting(name: str, adoption: Json) -> list[str]:
    lines = [f"before the first change to {plain(name)}"]
    if adoption["backup"]:
        lines.append(f"  it is copied to     {plain(adoption['backup'])}")
    lines += [f"  a table is added    {plain(table)}" for table in adoption["tables"]]
    return lines + [f"  a column is added   {plain(c['table'])}.{plain(c['column'])}" for c in adoption["columns"]]


def _as_json(outcome: Outcome) -> Json:
    return {
        "added": [ids.public(task) for task in outcome.added],
        "changes": [row for comparison in outcome.comparisons for row in _rows(comparison)],
        "refused": [{"what": what, "why": why} for what, why in outcome.refused],
    }


def _rows(comparison: Comparison) -> list[Json]:
    """Return one row for each field of a task that changes."""
    task = ids.public(comparison.task)
    if not comparison.ours or not comparison.theirs:
        title = (comparison.ours or comparison.theirs).get("title", "")
        if comparison.resolution.incoming:
            return [_row(task, "state", "in", comparison.ours.get("state"), TaskStatus.CANCELLED, comparison)]
        way = "in" if comparison.kind == "new there" else "out"
        return [_row(task, "task", way, None, title, comparison)] if comparison.changes else []
    found, ours, theirs = comparison.resolution, comparison.ours, comparison.theirs
    rows = [_row(task, key, "in", ours.get(key), value, comparison) for key, value in found.incoming.items()]
    return rows + [_row(task, key, "out", theirs.get(key), value, comparison) for key, value in found.outgoing.items()]


def _row(task: object, field: str, way: str, was: object, now: object, comparison: Comparison) -> Json:
    row: Json = {"task_id": task, "field": field, "direction": way, "was": was, "now": now}
    if comparison.why:
        row["refused"] = comparison.why
    if field in comparison.resolution.lost:
        side, value = comparison.resolution.lost[field]
        row["overruled"] = {"side": side, "value": value}
    return row


def _told(name: str, outcome: Outcome) -> list[str]:
    rows = [row for comparison in outcome.comparisons for row in _rows(comparison)]
    if not rows and not outcome.refused:
        return []
    width = min(_WIDEST, max((len(str(row["task_id"])) for row in rows), default=1))
    lines = [plain(name)]
    for row in rows:
        arrow = "→ here" if row["direction"] == "in" else "→ there"
        change = plain(_short(row["now"])) if row["was"] is None else f"{_short(row['was'])} → {_short(row['now'])}"
        beside = f"  (over {_short(row['overruled']['value'])})" if "overruled" in row else ""
        beside += f"  NOT: {plain(row['refused'])}" if "refused" in row else ""
        lines.append(f"  {row['task_id']:>{width}}  {row['field']:<17} {arrow:<7}  {change}{beside}")
    return [*lines, *[f"  refused: {plain(what)}: {plain(why)}" for what, why in outcome.refused]]


def _short(value: object) -> str:
    import json

    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _explained(told: Json) -> list[str]:
    lines = ["", "Columns"]
    lines += [f"  {key:<19} {plain(name)}" for key, name in told["columns"].items()]
    lines += [f"  {table['holds']:<19} {_beside(table)}" for table in told["tables"]]
    if told["project"]:
        lines.append(f"  project             {plain(told['project']['column'])} = {plain(told['project']['value'])}")
    lines += ["", "Status words there, and what they mean here", *_pairs(told["status_words"].items())]
    lines += ["", "What is written there for a state", *_pairs(told["written_words"].items())]
    lines += ["", "Priority words there, and what they mean here", *_pairs(told["priority_words"].items())]
    lines += ["", "Who wins when both sides changed a field (theirs: the list's, ours: the tickets')"]
    return lines + _pairs(told["wins"].items())


def _beside(table: Json) -> str:
    """Describe how a table other than ``tasks`` is read."""
    if not table["task"] or table.get("on", "") is None:
        return f"table {plain(table['table'])}, which is not understood"
    what = f"{plain(table['task'])} depends on {plain(table['on'])}" if "on" in table else f"of {plain(table['task'])}"
    whose = f", project in {plain(table['project'])}" if table["project"] else ""
    return f"table {plain(table['table'])}: {what}{whose}"


def _pairs(items: Iterable[Sequence[object]]) -> list[str]:
    return [f"  {plain(key):<19} {plain(value) if value is not None else '(no word for it)'}" for key, value in items]
