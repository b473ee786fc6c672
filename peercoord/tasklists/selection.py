"""Which lists a project is kept in step with.

The choice is in ``protocol.json``, for all peers: ``database`` (a path as seen from the project, or a URL without its
password), ``database_project`` (what that database calls the project), ``tasks_file`` (``path`` and ``tag`` of a
``tasks.json``).
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, PeercoordError
from peercoord.foreign import shown
from peercoord.store import ids, paths, records

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.root import Root

MISSION = "~/Workspace/tools/claude/memory/claude_memory.db"
"""The shared database of the mission: taken where it exists and the user agrees."""
NONE = "none"


@dataclass
class Choice:
    """What a project is kept in step with."""

    database: str = ""  # path or URL; empty if nothing was chosen, ``none`` for no database
    key: str = ""  # what the database calls the project; empty: its name
    tasks_file: str = ""  # path of a ``tasks.json``; empty if there is none
    tag: str | None = None  # its tag; ``None``: package 0.1.0 chose none, see ``Lists``
    late: bool = False  # the tag was pinned after the first sync, so what was agreed on is remembered without it

    @classmethod
    def of(cls, protocol: Json) -> Choice:
        """Read the choice from ``protocol.json``."""
        file = protocol.get("tasks_file")
        file = file if isinstance(file, dict) else {}
        said = (protocol.get("database"), protocol.get("database_project"), file.get("path"), file.get("tag"))
        database, key, path, tag = [text if isinstance(text, str) else None for text in said]
        return cls(database or "", key or "", path or "", tag, file.get("late") is True)

    def __bool__(self) -> bool:
        return bool(self.database) and self.database != NONE

    def choose(self, database: str) -> None:
        """Choose a database; what another one calls the project says nothing of this one."""
        if database != self.database:
            self.database, self.key = database, ""

    def choose_file(self, path: str, tag: str | None, queue: Queue | None = None) -> None:
        """Choose one list of a ``tasks.json``.

        Args:
            path: The file, as it is written down.
            tag: The list.
            queue: The tasks here, which tell whether package 0.1.0 kept that very list in step, without its tag.
        """
        if (path, tag) != (self.tasks_file, self.tag):
            was_untagged = path == self.tasks_file and self.tag is None
            self.late = queue is not None and was_untagged and tags_of(queue, path) == {tag}
            self.tasks_file, self.tag = path, tag

    def facts(self) -> Json:
        """Return it as ``protocol.json`` holds it; ``None`` for keys to leave out."""
        more = {"tag": self.tag, "late": self.late or None}
        file = {"path": self.tasks_file, **{k: v for k, v in more.items() if v}} if self.tasks_file else None
        return {"database": self.database or None, "database_project": self.key or None, "tasks_file": file}


def remember(root: Root, choice: Choice) -> None:
    """Note the choice in ``protocol.json``, for all peers, if it is not there already."""
    with root.intake():
        data = root.files.read(paths.PROTOCOL)
        old = records.decode(data, paths.PROTOCOL) if data else root.protocol
        new = {key: value for key, value in {**old, **choice.facts()}.items() if value is not None}
        if new != old:
            root.files.put(paths.PROTOCOL, records.encode(new), durable=True)
        root.protocol = new


def noted(where: str, home: Path) -> str:
    """Return a path or URL for ``protocol.json``: relative if inside the project, never with a password.

    Raises:
        UsageError: It is no path or URL of a database.
    """
    from peercoord.tasklists.sql_engine import Address

    if "://" not in where and where.startswith("~"):
        return where  # each machine has its own home
    address = Address.read(where)
    if address.path is None:
        return address.shown
    real = Path(os.path.realpath(address.path.parent)) / address.path.name
    return os.path.relpath(real, home) if real.is_relative_to(home) else str(address.path)


def tags_of(queue: Queue, path: str) -> set[str]:
    """Return the tags of a ``tasks.json`` (its noted path) from which tasks here were imported."""
    from peercoord.tasklists.imported import source_of

    found = set()
    for task in queue.all_tasks():
        with suppress(BrokenFileError):
            birth = queue.birth(task)
            source = source_of(birth.definition) if birth else {}
            if source.get("path") == path and isinstance(source.get("tag"), str):
                found.add(str(source["tag"]))
    return found


def highest_number(root: Root, project: Path) -> int:
    """Return the highest number of a task in the ``tasks.json`` files of a project, of any tag; 0 if there is none.

    The files are the one in step and the one that its own program keeps. A task that is added is given a number above
    it, so that a list that is imported later has its own numbers free.
    """
    from peercoord.tasklists import files, normalize, tasks_json
    from peercoord.tasklists.source import TASKS_JSON

    kept = Choice.of(root.protocol).tasks_file
    paths = {os.path.abspath(project / os.path.expanduser(name)) for name in (TASKS_JSON, kept) if name}
    numbers = [0]
    for path in map(Path, paths):
        with suppress(PeercoordError):  # a sync or an import says so
            lists = tasks_json.tagged(files.json_object(path), path)
            tasks = [task for tag in lists.values() for task in tag if isinstance(task, dict)]
            numbers += [ids.number(normalize.identifier(task.get("id"))) for task in tasks]
    return max(numbers)


def moved_on(path: Path, tag: str | None) -> str:
    """Return the tag that a ``tasks.json`` calls current; empty if that is ``tag``, the pinned one, or unknown."""
    from peercoord.tasklists import tasks_json

    with suppress(PeercoordError):
        current = tasks_json.current_tag(path)
        return current if current and tag and current != tag else ""
    return ""


def switched(root: Root) -> tuple[str, str] | None:
    """Return a warning and a command if the current tag of the ``tasks.json`` is not the one in step."""
    choice = Choice.of(root.protocol)
    if not choice or not choice.tasks_file:
        return None
    path = Path(os.path.abspath(root.project / os.path.expanduser(choice.tasks_file)))
    current = moved_on(path, choice.tag)
    if not current:
        return None
    what = f"the current tag of {shown(choice.tasks_file, 300)} is {shown(current)} now;"
    hint = f"to follow it: peercoord sync --tasks-file {shlex.quote(str(path))} --tag {shlex.quote(current)}"
    return f"{what} the team stays with {shown(choice.tag)}", hint
