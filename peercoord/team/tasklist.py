"""Choose, at set-up, what a team's tasks are kept in step with.

By default a database of the project's own in the git directory, which ``git clean`` does not reach. Another database or
a ``tasks.json`` is kept in step once a person names it; a list that set-up only found is read. The choice is permanent:
the tag of a ``tasks.json`` is pinned, and a list that appears later is reported, never imported unasked.
"""

from __future__ import annotations

import glob
import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.queue.queue import Queue
from peercoord.store import manifest, paths
from peercoord.store.root import has_protocol, open_root
from peercoord.system import git
from peercoord.tasklists import runner, selection
from peercoord.tasklists.selection import Choice
from peercoord.tasklists.source import BEADS, find_source, kind_of
from peercoord.tasklists.tasks_json import reformat_note
from peercoord.team import repository
from peercoord.team.plan import Action

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.store.root import Root
    from peercoord.tasklists.sql_store import SqlTaskList

ACTOR = "set-up"
FOUND, ONCE, KEPT = "found", "once", "kept"
"""How the list that tasks came from is used: found and read, named and read, kept in step."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the tasks of a team come from."""

    where: str = ""  # a path or URL; empty if from nowhere
    use: str = FOUND  # ``FOUND``, ``ONCE`` or ``KEPT``; empty for a team of package 0.1.0, which stays as it is
    tag: str | None = None  # the tag of a ``tasks.json``, named or pinned; ``None``: the current one
    read: bool = True  # tasks are imported from it now
    stop: bool = False  # it was kept in step and is not any more


def source_of(
    project: Project, named: str, tag: str | None, notes: list[str], *, sync: bool = False, import_only: bool = False
) -> Source:
    """Decide where tasks come from, by which tag, and whether it stays in step."""
    if sync and import_only:
        raise UsageError("--sync and --import-only contradict each other", hint="leave one of them out")
    where = named or find_source(project.directory) or ""
    if not where:
        if sync:
            raise UsageError("--sync has no list to keep in step", hint="name it: --tasks PATH")
        return Source()
    known, before = _current(project), manifest.read_project(project.common, project.sub)
    there = has_protocol(str(project.directory / paths.ROOT))
    spelled, place = written(project, where), selection.noted(where, project.directory)
    kept = bool(place) and place in (known.tasks_file, known.database)
    same, shown = spelled == before.get("source"), foreign.shown(spelled, 300)
    asked = bool(named or sync or import_only or tag)
    if not (asked or same or kept) and there and (before.get("source") or known.tasks_file):
        notes.append(f"{shown} is another list, and is not imported; to import it: {_again(project, where)}")
        return Source()
    if kept and not asked:
        return Source(where, KEPT, known.tag, read=False)  # the sync imports new tasks
    if tag is None and (same or kept):
        tag = _pinned(project, known, before, spelled, there)
    use, why = _use(bool(named), sync, import_only, kept, there and same and "source_use" not in before)
    if use == KEPT and kind_of(where) == BEADS:
        if sync:
            raise UsageError("an export of beads can only be read", hint="leave --sync out", code="read-only")
        use, why = ONCE, ""
        notes.append(f"{shown} is read once: an export of beads is not kept in step")
    if why and before.get("source_use") != ONCE:
        again = _again(project, where if named else "")
        notes.append(f"{shown} is only read, {why}; to keep it in step: {again} --sync")
    return Source(where, use, tag, stop=kept and use == ONCE)


def _again(project: Project, where: str) -> str:
    """Write the command that sets the team up again, with a list; a list that is found need not be named."""
    command = f"claude-team-coordinated {git.pasted(project.directory)}"
    path = git.pasted(os.path.abspath(os.path.expanduser(where))) if "://" not in where else "URL"
    return f"{command} --tasks {path}" if where else command


def _use(named: bool, sync: bool, import_only: bool, kept: bool, old: bool) -> tuple[str, str]:
    """Decide how a list is used, with the reason if people may expect otherwise."""
    if import_only:
        return ONCE, ""
    if sync or kept or (named and not old):
        return KEPT, ""
    return ("", "as package 0.1.0 did") if old else (FOUND, "since it was found, not named")


def _current(project: Project) -> Choice:
    state = project.directory / paths.ROOT
    return Choice.of(open_root(str(state)).protocol) if has_protocol(str(state)) else noted(project)


def written(project: Project, where: str) -> str:
    """Return a list's path as it is recorded: relative if it lies in the project."""
    if "://" in where:
        return where
    path = os.path.abspath(os.path.expanduser(where))
    return os.path.relpath(path, project.directory) if path.startswith(f"{project.directory}/") else path


def kept_file(project: Project, source: Source) -> str:
    """Return the recorded path of the ``tasks.json`` in step; empty if there is none."""
    return _chosen(project, _current(project), "", source).tasks_file


def _pinned(project: Project, known: Choice, before: Json, noted: str, there: bool) -> str | None:
    """Return the tag chosen before, from the record or from the imported tasks."""
    if known.tasks_file and known.tasks_file == noted and known.tag:
        return known.tag
    if isinstance(before.get("tag"), str):
        return str(before["tag"])
    tags = selection.tags_of(Queue(open_root(str(project.directory / paths.ROOT))), noted) if there else set()
    if len(tags) > 1:
        named = ", ".join(map(foreign.shown, sorted(tags)))
        text = f"tasks of several tags of {foreign.shown(noted, 300)} are here: {named}"
        hint = "say which is meant, with --tag"
        raise UsageError(text, hint, code="no-tag")
    return next(iter(tags), None)


def plan(
    project: Project,
    database: str,
    source: Source,
    notes: list[str],
    key: str = "",
    count: int | None = None,
) -> list[Action]:
    """Plan to keep a team's tasks in step with a list."""
    state, own = project.directory / paths.ROOT, default_database(project.directory, project.common)
    there = has_protocol(str(state))
    known = _current(project)
    choice = _chosen(project, known, database, source)
    if choice.database not in (selection.NONE, own):
        choice.key = key or choice.key
    elif key and not (source.where and is_database(source.where)):
        text = "--project goes with a database of several projects, and none is named"
        hint = "name it too, with --database PATH_OR_URL"
        raise UsageError(text, hint)
    if there and choice.facts() == known.facts():
        return []
    if not choice:
        return [Action("keep no database in step", lambda: remember(project, open_root(str(state)), choice))]
    _check(project, choice, database if "://" in database else "", count)
    where = runner.Lists.shown(choice)
    if source.use == KEPT:
        notes.append(f"{where}: kept in step from now on, both ways (to read a list once: --import-only)")
    if choice.tasks_file and (note := reformat_note(project.directory / os.path.expanduser(choice.tasks_file))):
        notes.append(note)
    make = choice.database == own or choice.facts() != known.facts()
    return [Action(f"keep the tasks in step with {where}", partial(_begin, project, choice, database, make, notes))]


def key_in(project: Project, source: str, key: str) -> str:
    """Return the project's name in a database, from the user or the record."""
    known = noted(project)
    return known.key if not key and known.key and selection.noted(source, project.directory) == known.database else key


def noted(project: Project) -> Choice:
    """Return what a project is kept in step with, from the git directory."""
    return Choice.of(manifest.table(manifest.read_project(project.common, project.sub), "lists"))


def store_of(project: Project, choice: Choice, url: str = "") -> SqlTaskList:
    """Return a project's database without using its coordination directory."""
    from peercoord.system.clock import Clock
    from peercoord.tasklists.sql_engine import Address, Database
    from peercoord.tasklists.sql_projects import Team
    from peercoord.tasklists.sql_store import SqlTaskList

    store_id = manifest.read_project(project.common, project.sub).get("store_id")
    team = Team(str(store_id or ""), project.name, project.directory, choice.key)
    return SqlTaskList(Database(Address.read(url or choice.database, project.directory)), team, Clock().now)


def _check(project: Project, choice: Choice, url: str, count: int | None) -> None:
    """Refuse a database that cannot be this team's before anything is made.

    A database that does not exist yet or cannot be reached now is no reason: the leader tries again.
    """
    store = store_of(project, choice, url)
    try:
        store.snapshot()
    except (NotFoundError, StorageError):
        return
    except UsageError as error:
        database, place, hint = store.database.address.word, shlex.quote(str(project.directory)), error.hint
        if error.code == "no-project-row":  # a command that works before there is a team
            team = f"{place} {count}" if count else place
            hint = f"say which one is meant: claude-team-coordinated {team} --database {database} --project NAME"
        elif error.code == "other-store":
            then = f"peercoord -C {place} sync --database {database} --take-over"
            hint = f"name another database, or if that team no longer exists, set up without this one, then: {then}"
        raise UsageError(error.message, hint=hint, code=error.code) from None


def plan_forget(project: Project, notes: list[str]) -> list[Action]:
    """Plan to remove the team's mark from a database that outlives it."""
    choice = noted(project)
    if not choice:
        return []
    store = store_of(project, choice)
    path = store.database.address.path
    if path == manifest.database(project.common, project.sub):
        return []  # it is removed with the team's record
    try:
        with store.database.reading() as connection:
            if store.state.term(connection) < 0:
                return []
    except PeercoordError:
        pass  # the action reports it
    else:
        notes.append(_left(path, store.name))
    return [Action(f"take the team out of the database {store.name}", partial(_forget, store))]


def _left(path: Path | None, shown: str) -> str:
    from peercoord.tasklists.sql_migration import BACKUP, PG_BACKUP
    from peercoord.tasklists.sql_schema import OUTWARD

    copies = sorted(path.parent.glob(f"{glob.escape(path.name)}.{BACKUP}*")) if path else []
    copied = ", ".join(foreign.shown(str(copy), 300) for copy in copies) if path else f"its table {PG_BACKUP}"
    kept = f"; the copy from before is kept too: {copied}" if copied else ""
    added = f"the columns {', '.join(OUTWARD)} and the tables instance_assignments and peercoord_*"
    return f"in the database {shown} stay the tasks as they are, {added}{kept}"


def _forget(store: SqlTaskList) -> str:
    try:
        with store.database.writing() as connection:
            if store.state.exists(connection):
                store.state.forget(connection, [store.team.store_id])
    except PeercoordError as error:
        hint = "a new team there needs: peercoord sync --database PATH_OR_URL --take-over"
        return f"{error.message}; it still says that it is this team's: {hint}"
    return ""


def _chosen(project: Project, known: Choice, database: str, source: Source) -> Choice:
    chosen = Choice(known.database, known.key, known.tasks_file, known.tag, known.late)
    where = selection.noted(source.where, project.directory) if source.where else ""
    if source.stop and where == known.database:
        chosen.choose(default_database(project.directory, project.common))
    elif source.stop:
        chosen.choose_file("", None)
    elif source.use == KEPT and is_database(source.where):
        database = database or source.where
    elif source.use == KEPT and where:
        state = str(project.directory / paths.ROOT)
        chosen.choose_file(where, source.tag, Queue(open_root(state)) if has_protocol(state) else None)
        if database == selection.NONE:
            text = "a tasks.json is kept in step through a database, and '--database none' rules one out"
            hint = "leave '--database none' out, or read the list once: --import-only"
            raise UsageError(text, hint)
    if database:
        none = database == selection.NONE
        chosen.choose(selection.NONE if none else selection.noted(database, project.directory))
    elif not chosen.database:
        chosen.database = default_database(project.directory, project.common)
    return chosen


def is_database(source: str) -> bool:
    """Check whether a source of tasks is a database."""
    from peercoord.tasklists import files

    if "://" in source:
        return True
    try:
        with open(os.path.expanduser(source), "rb") as handle:
            return handle.read(len(files.SQLITE_MAGIC)) == files.SQLITE_MAGIC
    except OSError:
        return False


def _begin(project: Project, choice: Choice, database: str, make: bool, notes: list[str]) -> str:
    """Sync once and record the choice.

    A missing database is created, unless it existed before: then it is on a disk that is not mounted.
    """
    root = open_root(str(project.directory / paths.ROOT))
    lists = runner.Lists(root, ACTOR, choice, url=database if "://" in database else "")
    if make:
        lists.create()
    warning = ""
    try:
        for name, outcome in runner.run(lists):
            if outcome.added:
                notes.append(f"{len(outcome.added)} tasks taken in from {name}")
            notes.extend(f"refused: {what}: {why}" for what, why in outcome.refused)
    except (NotFoundError, StorageError) as error:
        warning = f"{error.message}; the leader tries again"
    if lists.database.backup:
        notes.append(f"before its first change the database was copied to {lists.database.backup}")
    remember(project, root, choice)
    return warning


def remember(project: Project, root: Root, choice: Choice) -> None:
    """Record a choice in the coordination and the git directory."""
    selection.remember(root, choice)
    facts = {key: value for key, value in choice.facts().items() if value is not None}
    manifest.note_project(project.common, project.sub, lists=facts)


def shared_database() -> str:
    """Return the mission's shared database; empty if this machine has none."""
    return selection.MISSION if Path(os.path.expanduser(selection.MISSION)).is_file() else ""


def default_database(project: Path, common: Path) -> str:
    """Return the default database, in the git directory, relative to the project."""
    return os.path.relpath(manifest.database(common, repository.discover(project, exact=True).sub), project)
