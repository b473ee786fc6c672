"""Find where a project's tasks come from, and read any kind of source.

A source is recognised by its content: a SQLite file by its first bytes, an export of beads by one object a line (or
its suffix ``.jsonl``); everything else is taken for a ``tasks.json``. Reading never changes a source.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.tasklists import files
from peercoord.tasklists.imported import Imported, Reading

__all__ = ["Imported", "Reading", "find_source", "read_source"]

TASKS_JSON = ".taskmaster/tasks/tasks.json"
DATABASE, BEADS, TASKS_FILE = "database", "beads", "tasks.json"
_DATABASES = (".db", ".sqlite", ".sqlite3")


def read_source(where: str, tag: str | None = None, home: Path | None = None, project: str = "") -> Reading:
    """Read the tasks of a source.

    Args:
        where: A path, or ``sqlite:///PATH``. A ``~`` at the beginning of the path is the home directory.
        tag: Of a ``tasks.json`` with tags, which one; by default its current one.
        home: The project they are read for. A source inside it is noted relative to it.
        project: Its name in a database of several projects, if not the name of its directory.

    Raises:
        NotFoundError: The source or the tag is not there.
        UsageError: The source cannot be read here, or a tag was given for one without tags.
        BrokenFileError: The file is not understood.
        StorageError: It is locked or cannot be read.
    """
    from peercoord.tasklists import beads, sql_rows, tasks_json

    path, kind = _path_and_kind(where)
    if kind == DATABASE:
        return sql_rows.read(path, tag, home=home, project=project)
    if kind == BEADS:
        if tag is not None:
            raise UsageError(f"{files.quoted(path)} has no tags", hint="leave --tag out")
        return beads.read(path, home)
    return tasks_json.read(path, tag, home)


def kind_of(where: str) -> str:
    """Return what a source is, by its path or URL: ``DATABASE``, ``BEADS`` or ``TASKS_FILE``."""
    return _path_and_kind(where)[1]


def _path_and_kind(where: str) -> tuple[Path, str]:
    """Return the full path and the kind of a source. A URL is never quoted in a message: it may hold a password."""
    from peercoord.tasklists import beads
    from peercoord.tasklists.sql_engine import Address

    scheme, is_url, _ = where.partition("://")
    kind = scheme.lower().partition("+")[0]
    if is_url and kind in ("postgresql", "postgres"):
        raise UsageError(
            "a PostgreSQL database is not read with --tasks: it is kept in step, both ways",
            hint="name it with --database instead: claude-team-coordinated PROJECT --database URL",
            code="server-database",
        )
    if is_url and kind != "sqlite":
        raise UsageError(
            f"tasks cannot be read from a URL of the kind {shown(kind)}",
            hint="name a file, or sqlite:///PATH with three slashes, four before a full path",
        )
    path = Address.read(where).path or Path()
    start = files.head(path)
    if is_url or start.startswith(files.SQLITE_MAGIC) or path.suffix.lower() in _DATABASES:
        return path, DATABASE
    return path, BEADS if path.suffix.lower() == ".jsonl" or beads.is_export(path) else TASKS_FILE


def find_source(project: Path) -> str | None:
    """Find where a project keeps its tasks, inside the project; return a path for ``read_source``.

    First ``.taskmaster/tasks/tasks.json``; then a TaskMaster database in ``.taskmaster/`` or at the top level, by the
    suffixes ``.db``, ``.sqlite`` and ``.sqlite3``. A database that was not named must have all columns of one,
    dependencies among them: many applications have a table ``tasks`` of another kind.

    Raises:
        UsageError: There are several databases; which one is meant is not known.
    """
    from peercoord.tasklists import sql_rows

    if os.path.lexists(project / TASKS_JSON):
        return str(project / TASKS_JSON)
    for folder in (project / ".taskmaster", project):
        names: list[str] = []
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder) if name.lower().endswith(_DATABASES))
        found = list(filter(sql_rows.is_taskmaster, [folder / name for name in names]))
        if len(found) > 1:
            raise UsageError(
                f"{files.quoted(folder)} holds {len(found)} databases with tasks: "
                f"{', '.join(shown(path.name) for path in found)}",
                hint=f"say which with --tasks, for example --tasks {found[0]}",
                code="several-sources",
            )
        if found:
            return str(found[0])
    return None
