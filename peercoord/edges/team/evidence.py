"""What is known of a project's tasks without its coordination directory: from the database, the source, the worktrees.

Each worktree keeps copies of what its peer said (``progress.json``): task, title, epoch, progress, how it ended. The
database and the list that tasks were taken in from know the rest. Of several words about one task the one of the
highest epoch counts, and "done" above all others of the same epoch.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field

from peercoord.core import door, ids, names, records
from peercoord.core.errors import PeercoordError
from peercoord.edges.team import lists as chosen
from peercoord.edges.team import record
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.seats import instance_dir, seats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from peercoord.core.records import Definition, Json
    from peercoord.edges.adapters.store import DatabaseStore
    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project

_STATES = {"done": "done", "completed": "done", "blocked": "blocked", "review": "review", "cancelled": "cancelled"}
_FINAL = ("cancelled", "deferred")  # a person's word, of no epoch
_LEFT = ("progress", "steps_done", "achievements", "blockers", "completion_estimate", "time_spent", "branch", "commit")


@dataclass(slots=True)
class Known:
    """What is known of one task.

    Attributes:
        definition: What it is.
        state: As a source gives it: ``open``, ``done``, ``held``, ``review``, ``blocked``, ``cancelled``, ``deferred``.
        reason: Why, for people.
        epoch: The highest epoch anyone knows of.
        left: What its last holder left, for the next one.
        titled: Nothing but its title is known.
    """

    definition: Definition
    state: str = "open"
    reason: str = ""
    epoch: int = 0
    left: Json = field(default_factory=dict)
    titled: bool = False


@dataclass(slots=True)
class Evidence:
    """All that is known.

    Attributes:
        store_id: That of the coordination directory; empty if nobody knows it.
        tasks: By id, in the order of their sources.
        reports: The worktrees' progress reports, by peer.
        numbers: The number of the last incarnation that a worktree remembers, by peer.
        epochs: Further epochs that were seen, by task.
        claims: Epochs of claims that a worktree's requests name, by task: newer than any report of an earlier epoch.
        origins: Where it comes from, for people.
        notes: What could not be read.
    """

    store_id: str = ""
    tasks: dict[str, Known] = field(default_factory=dict)
    reports: dict[str, Json] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(project: Project, lists: bool = True) -> Evidence:
    """Gather what is known of a project's tasks outside its coordination directory.

    Args:
        project: The project.
        lists: Read the database and the source too, not the worktrees' own records alone.
    """
    known = record.read_project(project.common, project.sub)
    found = Evidence(store_id=_text(known.get("store_id")))
    if lists:
        _read_lists(found, project)
        where = _text(known.get("source"))
        if where:
            _read_list(found, project, where, known.get("tag"))
        _read_remains(found, project.directory / names.ROOT)
    for seat in seats(project):
        _read_worktree(found, seat)
    for task, one in found.tasks.items():
        claimed = found.claims.get(task, 0)
        if claimed > one.epoch > 0 and one.state not in _FINAL:
            one.state, one.reason, one.left = "open", "", {}  # reopened since what was said of it was said
        one.epoch = max(one.epoch, claimed, found.epochs.get(task, 0))
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# -- lists of tasks ----------------------------------------------------------------------------------------------


def _read_lists(found: Evidence, project: Project) -> None:
    """Read what the project is kept in step with: its own database, or the one that was named; a ``tasks.json``."""
    choice = chosen.noted(project)
    own = record.database(project.common, project.sub)
    store = chosen.store_of(project, choice) if choice else None
    if store is not None and store.database.address.path != own:
        _read_named(found, store)
    else:
        _read_database(found, project, own)
    if choice.tasks_file:
        _read_list(found, project, choice.tasks_file, choice.tag)


def _read_named(found: Evidence, store: DatabaseStore) -> None:
    """Read the project's part of a database that was named, which may be on a server, and other projects' as well."""
    try:
        sight = store.look()
        for task in sight.incoming(list(sight.digests)):
            row = sight.row(task.definition.task) or {}
            known = Known(task.definition, task.state, task.reason)
            found.tasks[task.definition.task] = known
            _add_row(known, row)
    except PeercoordError as error:
        found.notes.append(f"tasks could not be read again: {error.message}; the next sync takes them in")
        return
    found.origins.append(store.name)


def _read_list(found: Evidence, project: Project, where: str, tag: object) -> bool:
    from peercoord.edges.adapters.source import read_source

    if "://" not in where:
        where = os.path.join(project.directory, os.path.expanduser(where))
    try:
        reading = read_source(where, tag if isinstance(tag, str) else None, project.directory)
    except PeercoordError as error:
        found.notes.append(f"tasks could not be read again: {error.message}")
        return False
    for task in reading.tasks:
        known = Known(task.definition, task.state, task.reason)
        found.tasks.setdefault(task.definition.task, known)
    found.origins.append(shown_path(where))
    return True


def _read_database(found: Evidence, project: Project, path: Path) -> None:
    """Read the team's own database: unlike other lists it says which peer had a task, and how often it was claimed."""
    if not path.exists() or not _read_list(found, project, str(path), None):
        return
    from peercoord.edges.adapters import sqlite_tables

    try:
        table = sqlite_tables.read(path, ("tasks",)).found.get("tasks")
    except PeercoordError as error:
        found.notes.append(f"epochs could not be read: {error.message}")
        return
    for row in table.rows if table else []:
        known = found.tasks.get(str(row.get("id")))
        if known is not None:
            _add_row(known, row)


def _add_row(known: Known, row: Json) -> None:
    """Add what a database's row says of who had a task, and how often it was claimed."""
    data = _object(row.get("coordination_data"))
    left = {"peer": _text(row.get("assigned_instance")), **_object(row.get("instance_progress")), **data}
    if row.get("assigned_instance") and known.state == "held":
        known.state, known.reason = "open", ""  # a peer had it; what a person has in progress names no peer
    if isinstance(data.get("epoch"), int):
        known.epoch = max(known.epoch, data["epoch"])
        known.left = _left(left)


def _object(value: object) -> Json:
    try:
        found = json.loads(value) if isinstance(value, (str, bytes)) else value
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _left(entry: Json) -> Json:
    return {key: entry[key] for key in ("peer", "worktree", *_LEFT) if entry.get(key) not in (None, "", [])}


def _read_remains(found: Evidence, state: Path) -> None:
    """Read what a deletion left of the coordination directory: it fails half way where agents write meanwhile."""
    if (state / names.PROTOCOL).exists():
        return
    for path in sorted((*state.glob(f"{names.TASKS}/*/*.json"), *state.glob(f"{names.BIRTHS}/*/*.json"))):
        raw = _read(found, path)
        raw = raw.get("definition", raw) if isinstance(raw.get("definition"), dict) else raw
        task = names.parse_record(path.name)
        with suppress(PeercoordError):
            if task and task not in found.tasks:
                found.tasks[task] = Known(records.Definition.read(raw, str(path), task))
                found.origins.append("what is left of it")
    for path in state.glob(f"{names.DONE}/*/*"):
        if path.name in found.tasks:
            found.tasks[path.name].state = "done"
    for path in state.glob(f"{names.RESULTS}/*/*.json"):
        result = names.parse_result(path.name)
        if result:
            found.epochs[result[0]] = max(result[1], found.epochs.get(result[0], 0))


# -- worktrees ---------------------------------------------------------------------------------------------------


def _read_worktree(found: Evidence, seat: Seat) -> None:
    home = instance_dir(seat)
    _read_claims(found, home / door.CURRENT)
    info, report = _read(found, home / "info.json"), _read(found, home / "progress.json")
    found.store_id = found.store_id or _text(info.get("store_id"))
    me = names.parse_incarnation(_text(info.get("incarnation")))
    if me and me.peer == seat.peer:
        found.numbers[seat.peer] = me.number
    entries = report.get("assigned_tasks")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not entries:
        return
    found.reports[seat.peer] = report
    found.origins.append(f"{seat.peer}'s own record")
    for entry in entries:
        _take_entry(found, seat, entry)


def _read_claims(found: Evidence, current: Path) -> None:
    """Read what the worktree's requests name: its claims of this moment, which its report may not have yet."""
    if not current.is_file():
        return
    for word in current.read_bytes().decode("ascii", "replace").split()[1:]:
        ticket = names.parse_ticket(word)
        if ticket:
            found.claims[ticket.task] = max(ticket.epoch, found.claims.get(ticket.task, 0))


def _take_entry(found: Evidence, seat: Seat, entry: Json) -> None:
    task, epoch = str(entry.get("task_id")), entry.get("epoch")
    if not ids.is_id(task) or not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 1:
        return
    known = found.tasks.get(task)
    if known is None:
        definition = records.define(task, str(entry.get("title") or f"task {task}"))
        known = found.tasks[task] = Known(definition, titled=True)
    state = _STATES.get(_text(entry.get("status")), "open")
    if epoch < known.epoch or (epoch == known.epoch and known.state == "done"):
        return
    known.epoch = epoch
    if known.state not in _FINAL:
        known.state = state
        known.reason = next(reversed(records.notes(entry.get("blockers"))), "") if state != "done" else ""
    known.left = _left({**entry, "peer": seat.peer, "worktree": str(seat.directory), "branch": seat.branch})


def _read(found: Evidence, path: Path) -> Json:
    try:
        return records.decode(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (PeercoordError, OSError) as error:
        found.notes.append(f"{shown_path(path)} could not be read: {error}")
        return {}
