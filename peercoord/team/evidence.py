"""What the lists and the worktrees' own records know of a project's tasks, without its coordination directory.

A list knows what a task is and whether it is done. A worktree keeps what its peer reported (``progress.json``) and the
claims it holds: of several reports about one task the one of the highest epoch counts.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import whole
from peercoord.mailbox import protocol
from peercoord.store import ids, manifest, paths, records
from peercoord.store.settings import CLAIMED_MOST
from peercoord.system.git import shown_path
from peercoord.tasklists import normalize, tasks_json
from peercoord.tasklists.selection import Choice
from peercoord.tasklists.source import read_source
from peercoord.team import tasklist
from peercoord.team.repository import instance_dir, instance_files, team_instances

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.store.records import Definition
    from peercoord.team.plan import Instance

_STATES = {"done": "done", "completed": "done", "blocked": "blocked", "review": "review", "cancelled": "cancelled"}
_BY_A_PERSON = ("cancelled", "deferred")  # states of a list that no peer's report changes
_HAND_OVER = (
    *("peer", "worktree", "progress", "steps_done", "achievements", "blockers", "completion_estimate", "time_spent"),
    *("branch", "commit"),
)
_LISTS = ("steps_done", "achievements", "blockers")


@dataclass(slots=True)
class Known:
    """What is known of one task."""

    definition: Definition
    state: str = "open"  # as a list gives it; also ``done held review blocked cancelled deferred``
    reason: str = ""  # why, for people
    epoch: int = 0  # the highest known
    hand_over: Json = field(default_factory=dict)  # what its last holder left for the next one
    titled: bool = False  # only its title is known


@dataclass(slots=True)
class Evidence:
    """What the lists and the worktrees' own records know."""

    store_id: str = ""  # that of the coordination directory; empty if it is unknown
    tasks: dict[str, Known] = field(default_factory=dict)  # by id, in the order of their lists
    reports: dict[str, Json] = field(default_factory=dict)  # the worktrees' progress reports, by peer
    numbers: dict[str, int] = field(default_factory=dict)  # by peer: the last incarnation that its worktree remembers
    claims: dict[str, int] = field(default_factory=dict)  # by task: the epoch of a claim, perhaps not reported yet
    origins: list[str] = field(default_factory=list)  # where the tasks come from, for people
    notes: list[str] = field(default_factory=list)  # what could not be read


def gather(project: Project, lists: bool = True) -> Evidence:
    """Gather what is known of a project's tasks outside its coordination directory, with or without its lists."""
    known = manifest.read_project(project.common, project.sub)
    found = Evidence(store_id=_text(known.get("store_id")))
    if lists:
        _read_database(found, project)
        choice = tasklist.noted(project)
        for where, tag in ((choice.tasks_file, choice.tag), (_text(known.get("source")), known.get("tag"))):
            if where:
                _read_list(found, project, where, tag)
    for instance in team_instances(project):
        try:
            _read_worktree(found, instance)
        except (PeercoordError, OSError) as error:
            found.notes.append(f"what {instance.peer} knows could not be read: {error}")
    for task, one in found.tasks.items():
        claimed = found.claims.get(task, 0)
        if claimed > one.epoch > 0 and one.state not in _BY_A_PERSON:
            one.state, one.reason, one.hand_over = "open", "", {}  # it was reopened since that report
        one.epoch = max(one.epoch, claimed)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_database(found: Evidence, project: Project) -> None:
    """Read the project's rows of the database in step, with the last epoch of each task."""
    own = manifest.database(project.common, project.sub)
    store = tasklist.store_of(project, tasklist.noted(project) or Choice(str(own)))
    if store.database.address.path == own and not own.exists():
        return
    try:
        sight = store.snapshot()
        for task in sight.incoming(list(sight.digests)):
            row = sight.row(task.definition.task) or {}
            known = found.tasks[task.definition.task] = Known(task.definition, task.state, task.reason, _epoch(row))
            if row.get("assigned_instance") and known.state == "held":
                known.state, known.reason = "open", ""  # a peer had it: a person's own work in progress names no peer
    except PeercoordError as error:
        found.notes.append(f"tasks could not be read again: {error.message}; the next sync takes them in")
        return
    found.origins.append(store.name)


def _epoch(row: Json) -> int:
    data = row.get("coordination_data")
    try:
        data = json.loads(data) if isinstance(data, (str, bytes)) else data
    except ValueError:
        return 0
    return _believed(data.get("epoch")) if isinstance(data, dict) else 0


def _noted_epoch(definition: Definition, store_id: str) -> int:
    """Return the epoch that this team noted in a task of a ``tasks.json``."""
    source = definition.raw.get("source")
    extra = source.get("extra") if isinstance(source, dict) else None
    noted = tasks_json.noted(extra) if isinstance(extra, dict) else None
    return _believed(noted.get("epoch")) if noted and noted.get("store") == store_id else 0


def _believed(value: object) -> int:
    """Return an epoch; 0 if no claim can have it."""
    epoch = whole(value) or 0
    return epoch if 1 <= epoch <= CLAIMED_MOST else 0


def _read_list(found: Evidence, project: Project, where: str, tag: object) -> None:
    if "://" not in where:
        where = os.path.join(project.directory, os.path.expanduser(where))
    try:
        reading = read_source(where, tag if isinstance(tag, str) else None, project.directory)
    except PeercoordError as error:
        found.notes.append(f"tasks could not be read again: {error.message}")
        return
    for task in reading.tasks:
        epoch = _noted_epoch(task.definition, found.store_id)
        found.tasks.setdefault(task.definition.task, Known(task.definition, task.state, task.reason, epoch))
    found.origins.append(shown_path(where))


def _read_worktree(found: Evidence, instance: Instance) -> None:
    files = instance_files(instance)
    for word in (files.peek(protocol.CURRENT) or b"").decode("ascii", "replace").split()[1:]:
        ticket = paths.parse_ticket(word)
        if ticket and ticket.epoch <= CLAIMED_MOST:
            found.claims[ticket.task] = max(ticket.epoch, found.claims.get(ticket.task, 0))
    own: dict[str, Json] = {"info.json": {}, "progress.json": {}}
    for name in own:
        try:
            data = files.read(name)
            own[name] = records.decode(data, name) if data else {}
        except PeercoordError as error:
            found.notes.append(f"{shown_path(instance_dir(instance) / name)} could not be read: {error}")
    info, report = own.values()
    if ids.is_id(info.get("store_id")):
        found.store_id = found.store_id or info["store_id"]
    me = paths.parse_incarnation(_text(info.get("incarnation")))
    if me and me.peer == instance.peer and me.number <= CLAIMED_MOST:
        found.numbers[instance.peer] = me.number
    entries = report.get("assigned_tasks")
    entries = [_clean(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if entries:
        found.reports[instance.peer] = {**report, "assigned_tasks": entries}
        found.origins.append(f"{instance.peer}'s own record")
    for entry in entries:
        _take_entry(found, instance, entry)


def _clean(entry: Json) -> Json:
    """Return a report's entry with values of the kinds that its readers expect: a coding agent can write that file."""
    kept = {key: value for key, value in entry.items() if isinstance(value, (str, int, float))}
    kept["title"] = normalize.one_line(entry.get("title")) or f"task {kept.get('task_id')}"
    if not isinstance(kept.get("progress"), (int, float)):
        kept.pop("progress", None)
    return {**kept, **{key: records.notes(entry[key]) for key in _LISTS if key in entry}}


def _take_entry(found: Evidence, instance: Instance, entry: Json) -> None:
    """Take a report's entry if its epoch is the highest known; at the same epoch "done" wins."""
    task, epoch = ids.read(entry.get("task_id")), _believed(entry.get("epoch"))
    if not task or not epoch:
        return
    known = found.tasks.get(task)
    if known is None:
        definition = records.define(task, entry["title"])
        known = found.tasks[task] = Known(definition, titled=True)
    if epoch < known.epoch or (epoch == known.epoch and known.state == "done"):
        return
    known.epoch = epoch
    if known.state not in _BY_A_PERSON:
        known.state = _STATES.get(_text(entry.get("status")), "open")
        blockers = records.notes(entry.get("blockers")) if known.state != "done" else []
        known.reason = next(reversed(blockers), "")
    where = {"peer": instance.peer, "worktree": str(instance.directory), "branch": instance.branch}
    known.hand_over = {
        key: value for key, value in {**entry, **where}.items() if key in _HAND_OVER and value not in (None, "", [])
    }
