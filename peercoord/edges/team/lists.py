"""What a team's tasks are kept in step with, chosen when it is set up.

By default a database of the project's own in the repository's git directory, which ``git clean`` does not reach. A
database that lies elsewhere, and a ``tasks.json``, are written only if the user says so, by naming or by ``--sync``:
the one is other people's, the other is often under version control, where every status would be a change.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from peercoord.core import names
from peercoord.core.errors import StorageError
from peercoord.edges import syncing
from peercoord.edges.syncing import Choice
from peercoord.edges.team import record
from peercoord.edges.team.plan import Action
from peercoord.roles.root import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.team.repository import Project
    from peercoord.roles.root import Root

ACTOR = "set-up"


def plan(project: Project, database: str, sync: bool, source: str, tag: str | None, notes: list[str]) -> list[Action]:
    """Plan to keep a team's tasks in step with a list; nothing if that is done already.

    Args:
        project: The project.
        database: The database that the user named; empty if none, ``none`` if there shall be none.
        sync: The source of the tasks is written back to.
        source: Where tasks were taken in from; empty if from nowhere.
        tag: Its tag.
        notes: Takes what people should know once it is done.
    """
    state = project.directory / names.ROOT
    known = Choice.of(open_root(str(state)).protocol) if (state / names.PROTOCOL).exists() else Choice()
    choice = _chosen(project, known, database, source if sync else "", tag)
    if choice.facts() == known.facts():
        return []
    if not choice:
        return [Action("keep no database in step", partial(_none, project, choice))]
    where = syncing.Lists.shown(choice)
    return [Action(f"keep the tasks in step with {where}", partial(_begin, project, choice, database, notes))]


def _chosen(project: Project, known: Choice, database: str, source: str, tag: str | None) -> Choice:
    chosen = Choice(known.database, known.key, known.tasks_file, known.tag)
    if source and _is_database(source):
        database = database or source
    elif source:
        chosen.tasks_file, chosen.tag = syncing.noted(source, project.directory), tag
    if database:
        none = database == syncing.NONE
        chosen.database = syncing.NONE if none else syncing.noted(database, project.directory)
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


def _begin(project: Project, choice: Choice, database: str, notes: list[str]) -> str:
    """Make the database if it is yet to be, bring both sides into step once, and write the choice down."""
    root = open_root(str(project.directory / names.ROOT))
    lists = syncing.Lists(root, ACTOR, choice, url=database if "://" in database else "")
    lists.create()
    warning = ""
    try:
        for name, outcome in syncing.run(lists):
            if outcome.added:
                notes.append(f"{len(outcome.added)} tasks taken in from {name}")
            notes.extend(f"refused: {what}: {why}" for what, why in outcome.refused)
    except StorageError as error:
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
