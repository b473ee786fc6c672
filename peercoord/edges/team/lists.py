"""What a team's tasks are kept in step with, chosen when it is set up.

By default a database of the project's own in the repository's git directory, which ``git clean`` does not reach. A
database that lies elsewhere, and a ``tasks.json``, are written only if the user says so, by naming or by ``--sync``:
the one is other people's, the other is often under version control, where every status would be a change.
"""

from __future__ import annotations

import glob
import os
import shlex
from functools import partial
from pathlib import Path

from peercoord.core import ids, names
from peercoord.core.errors import NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.edges import syncing
from peercoord.edges.syncing import Choice
from peercoord.edges.team import record
from peercoord.edges.team.plan import Action
from peercoord.roles.root import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.adapters.store import DatabaseStore
    from peercoord.edges.team.repository import Project
    from peercoord.roles.root import Root

ACTOR = "set-up"


def plan(
    project: Project,
    database: str,
    sync: bool,
    source: str,
    tag: str | None,
    notes: list[str],
    key: str = "",
    count: int | None = None,
) -> list[Action]:
    """Plan to keep a team's tasks in step with a list; nothing if that is done already.

    Args:
        project: The project.
        database: The database that the user named; empty if none, ``none`` if there shall be none.
        sync: The source of the tasks is written back to.
        source: Where tasks were taken in from; empty if from nowhere.
        tag: Its tag.
        notes: Takes what people should know once it is done.
        key: What a database of several projects calls this one; empty: its name.
        count: How many worktrees were asked for, for the command that is named where something is missing.

    Raises:
        PeercoordError: The database is another team's, or does not know the project.
    """
    state, own = project.directory / names.ROOT, syncing.default_database(project.directory, project.common)
    there = (state / names.PROTOCOL).exists()
    known = Choice.of(open_root(str(state)).protocol) if there else noted(project)
    choice = _chosen(project, known, database, source if sync else "", tag)
    if choice.database not in (syncing.NONE, own):
        choice.key = key or choice.key
    elif key and not (source and _is_database(source)):
        raise UsageError(
            "--project goes with a database of several projects, and none is named",
            hint="name it too, with --database PATH_OR_URL",
        )
    if there and choice.facts() == known.facts():
        return []
    if not choice:
        return [Action("keep no database in step", partial(_none, project, choice))]
    _check(project, choice, database if "://" in database else "", count)
    where = syncing.Lists.shown(choice)
    make = choice.database == own or choice.facts() != known.facts()
    return [Action(f"keep the tasks in step with {where}", partial(_begin, project, choice, database, make, notes))]


def key_in(project: Project, source: str, key: str) -> str:
    """Give what a source of tasks calls a project: what the user says, or said of the same database before."""
    known = noted(project)
    return known.key if not key and known.key and syncing.noted(source, project.directory) == known.database else key


def noted(project: Project) -> Choice:
    """Give what a project is kept in step with, as the git directory remembers it."""
    return Choice.of(record.table(record.read_project(project.common, project.sub), "lists"))


def store_of(project: Project, choice: Choice, url: str = "") -> DatabaseStore:
    """Give a project's database without its coordination directory, which may be gone or yet to be made.

    Args:
        project: The project.
        choice: What it is kept in step with.
        url: The database's URL with its password, if the user gave one just now.

    Raises:
        UsageError: It is no path or URL of a database.
    """
    from peercoord.edges.adapters.engine import Address, Database
    from peercoord.edges.adapters.store import DatabaseStore, Team
    from peercoord.fs.clock import Clock

    store_id = record.read_project(project.common, project.sub).get("store_id")
    team = Team(str(store_id or ""), project.name, project.directory, choice.key)
    return DatabaseStore(Database(Address.read(url or choice.database, project.directory)), team, Clock().now)


def _check(project: Project, choice: Choice, url: str, count: int | None) -> None:
    """Refuse, before anything is made, a database that cannot be this team's.

    One that is yet to be made, or cannot be reached now, is no reason: the leader tries again.
    """
    store = store_of(project, choice, url)
    try:
        store.look()
    except (NotFoundError, StorageError):
        return
    except UsageError as error:
        hint = _hint(error, project, store.database.address.word, count)
        raise UsageError(error.message, hint=hint, code=error.code) from None


def _hint(error: UsageError, project: Project, database: str, count: int | None) -> str:
    """Name a command that can be typed although there may be no team yet, from wherever set-up was called."""
    place = shlex.quote(str(project.directory))
    if error.code == "no-project-row":
        team = f"{place} {count}" if count else place
        return f"say which one is meant: claude-team-coordinated {team} --database {database} --project NAME"
    if error.code == "other-store":
        then = f"peercoord -C {place} sync --database {database} --take-over"
        return f"name another database, or if that team is no more, set up without this one, then: {then}"
    return error.hint


def plan_forget(project: Project, notes: list[str]) -> list[Action]:
    """Plan to let a database that outlives the team forget it, so that it may be another team's; nothing if none does.

    Args:
        project: The project.
        notes: Takes what stays there.
    """
    choice = noted(project)
    if not choice:
        return []
    store = store_of(project, choice)
    path = store.database.address.path
    if path == record.database(project.common, project.sub):
        return []  # it goes with the record of the team
    try:
        with store.database.reading() as connection:
            if store.ledger.term(connection) < 0:
                return []
    except PeercoordError:
        pass  # the action says so
    else:
        notes.append(_left(path, store.name))
    return [Action(f"take the team out of the database {store.name}", partial(_forget, store))]


def _left(path: Path | None, shown: str) -> str:
    from peercoord.edges.adapters.layout import OUTWARD
    from peercoord.edges.adapters.migration import BACKUP, PG_BACKUP

    copies = sorted(path.parent.glob(f"{glob.escape(path.name)}.{BACKUP}*")) if path else []
    copied = ", ".join(ids.shown(str(copy), 300) for copy in copies) if path else f"its table {PG_BACKUP}"
    kept = f"; the copy from before is kept too: {copied}" if copied else ""
    added = f"the columns {', '.join(OUTWARD)} and the tables instance_assignments and peercoord_*"
    return f"in the database {shown} stay the tasks as they are, {added}{kept}"


def _forget(store: DatabaseStore) -> str:
    try:
        with store.database.writing() as connection:
            if store.ledger.exists(connection):
                store.ledger.forget(connection, [store.team.store_id])
    except PeercoordError as error:
        hint = "a new team there needs: peercoord sync --database PATH_OR_URL --take-over"
        return f"{error.message}; it still says that it is this team's: {hint}"
    return ""


def _chosen(project: Project, known: Choice, database: str, source: str, tag: str | None) -> Choice:
    chosen = Choice(known.database, known.key, known.tasks_file, known.tag)
    if source and _is_database(source):
        database = database or source
    elif source:
        chosen.tasks_file, chosen.tag = syncing.noted(source, project.directory), tag
    if database:
        none = database == syncing.NONE
        chosen.choose(syncing.NONE if none else syncing.noted(database, project.directory))
    elif not chosen.database:
        chosen.database = syncing.default_database(project.directory, project.common)
    return chosen


def _is_database(source: str) -> bool:
    from peercoord.edges.adapters import files

    if "://" in source:
        return True
    try:
        with open(os.path.expanduser(source), "rb") as handle:
            return handle.read(len(files.SQLITE_MAGIC)) == files.SQLITE_MAGIC
    except OSError:
        return False


def _none(project: Project, choice: Choice) -> str:
    remember(project, open_root(str(project.directory / names.ROOT)), choice)
    return ""


def _begin(project: Project, choice: Choice, database: str, make: bool, notes: list[str]) -> str:
    """Bring both sides into step once, and write the choice down.

    The database is made if it is yet to be, unless it was there before: then it is on a disk that is not mounted.
    """
    root = open_root(str(project.directory / names.ROOT))
    lists = syncing.Lists(root, ACTOR, choice, url=database if "://" in database else "")
    if make:
        lists.create()
    warning = ""
    try:
        for name, outcome in syncing.run(lists):
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
    """Write a choice down for all peers, and where it is found again if the coordination directory is lost."""
    syncing.remember(root, choice)
    facts = {key: value for key, value in choice.facts().items() if value is not None}
    record.note_project(project.common, project.sub, lists=facts)


def shared_database() -> str:
    """Give the shared database of the mission if there is one on this machine; empty if not."""
    return syncing.MISSION if Path(os.path.expanduser(syncing.MISSION)).is_file() else ""
