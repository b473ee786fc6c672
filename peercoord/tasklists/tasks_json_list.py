"""A ``tasks.json`` as one side of a sync: status of tasks and steps, edits both ways, and ``metadata.peercoord``.

Promises: the file is written in the style it has, so what does not change keeps every byte; only a file that no
``json.dumps`` writes is reformatted, once. It is replaced whole, under its program's lock, and only if it still is what
was compared. The project's database checks the term and remembers what was agreed on: the file is written inside that
transaction, so a leader whose term is over never gets that far.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from peercoord.errors import BrokenFileError, LostError, NotFoundError
from peercoord.store import ids
from peercoord.store.refusals import refused
from peercoord.system import clock as clocks
from peercoord.system.disk import Disk
from peercoord.tasklists import files, imported, normalize, reconcile, tasks_json
from peercoord.tasklists.imported import Origin, Reading, compared
from peercoord.tasklists.normalize import ColumnWords, TaskStatus, full_step_id, status_or_blocked
from peercoord.tasklists.port import ListSnapshot
from peercoord.tasklists.reconcile import TWICE
from peercoord.tasklists.tasks_json import JsonStyle
from peercoord.tasklists.tasks_json_lock import Hold, locked

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.system.disk import DiskLike
    from peercoord.tasklists.port import Agreed, Bases, Memo, Refused, RowUpdate
    from peercoord.tasklists.sql_state import Agreements
    from peercoord.tasklists.sql_store import SqlTaskList

LOCK_SECONDS = 2.0
_MAX_READS = 8  # of a file that changes while it is read
_PRIORITIES = ("high", "medium", "low")  # those that every version of the program knows


class TasksJson:
    """One tag of a ``tasks.json``; a ``TaskList``."""

    def __init__(
        self,
        path: Path,
        tag: str | None,  # ``None`` for its current one
        memory: SqlTaskList,  # the project's database, which remembers what was agreed on
        wait: float = LOCK_SECONDS,  # for another program that has it locked
        disk: DiskLike | None = None,  # the directory of the file; made from the path if left out
        key: str | None = None,  # the tag under which what was agreed on is remembered; ``tag`` if left out
    ) -> None:
        self.path, self.tag, self.memory, self.wait = path, tag, memory, wait
        self.key = tag or "" if key is None else key
        self.target = Path(os.path.realpath(path))
        self.disk = disk or Disk(str(self.target.parent))
        home = memory.team.home
        near = path.relative_to(home) if path.is_relative_to(home) else path
        self.place = f"{near}#{self.key}"[-200:]
        self.memo: Memo = {}

    @property
    def name(self) -> str:
        """Its name in messages."""
        return files.quoted(self.path)

    @property
    def noted(self) -> str:
        """Its name in records."""
        return Origin(tasks_json.KIND, self.path, self.tag, self.memory.team.home).noted

    def snapshot(self) -> ListSnapshot:
        """Read what the list holds, changing nothing.

        Text and agreement are of one moment: else another sync that writes both in between would make its own words
        look like a person's.
        """
        text = self._text()
        for _ in range(_MAX_READS):
            term, agreed = self.memory.remembered(self.place)
            before, text = text, self._text()
            if text == before:
                break
        else:
            raise LostError(f"{self.name} keeps changing while it is read", hint="try again")
        return _Snapshot(self, text, term, agreed, partial(self.memory.bases_later, self.place, agreed))

    def _text(self) -> str:
        """Read the file as it is, byte for byte."""
        try:
            return self.target.read_bytes().decode("utf-8")
        except OSError as error:
            raise files.unreadable(self.path, error) from None
        except UnicodeDecodeError as error:
            raise BrokenFileError(f"{self.name} is not text in UTF-8 (byte {error.start})") from None

    def update(self, term: int, work: Callable[[ListSnapshot], Sequence[RowUpdate]]) -> Refused:
        """Change it, under its lock, inside a transaction of the database that checks the term."""
        with locked(self.disk, self.target.name, self.wait) as hold:
            seen = self._state()
            text = self._text()

            def inside(agreements: Agreements) -> Refused:
                found = _Snapshot(self, text, agreements.term, agreements.agreed, agreements.bases)
                updates = work(found)
                hold.refresh()
                before = found.digests
                held = _Writer(found).write(updates)
                if found.digests != before:
                    self._replace(found.written(), seen, hold)
                agreements.remember(updates, held, found.digests, {})
                return []

            return self.memory.remembering(self.place, term, inside)

    def _state(self) -> tuple[int, int]:
        try:
            seen = self.disk.stat(self.target.name)
        except OSError as error:
            raise files.unreadable(self.path, error) from None
        return seen.modified_ns, seen.size

    def _replace(self, text: str, seen: tuple[int, int], hold: Hold) -> None:
        staged = f".{self.target.name}.{clocks.token()}"
        staged_name = re.compile(rf"\.{re.escape(self.target.name)}\.{clocks.TOKEN}")
        try:
            for name in self.disk.listdir(""):
                if staged_name.fullmatch(name):  # left by a crash: no other program writes while the lock is held
                    self.disk.unlink(name)
            self.disk.create(staged, text.encode("utf-8"), True)
            mode = self.target.stat().st_mode & 0o7777
            (self.target.parent / staged).chmod(mode)
            hold.require()
            if self._state() != seen:
                raise LostError(f"{self.name} was written by someone who did not lock it", hint="try again")
            self.disk.rename(staged, self.target.name)
            self.disk.sync("")
        except (OSError, LostError) as error:
            with suppress(OSError):
                self.disk.unlink(staged)
            if isinstance(error, LostError):
                raise
            raise refused(error, str(self.path)) from None


class _Snapshot(ListSnapshot):
    """What one tag of a file holds."""

    entry = "task"

    def __init__(self, file: TasksJson, text: str, term: int, agreed: Agreed, bases: Bases) -> None:
        self.file, self.text = file, text
        self.data = files.parse_object(text, file.path)
        try:
            lists = tasks_json.tagged(self.data, file.path)
            self.tag = tasks_json.choose(lists, file.path, file.tag)
        except NotFoundError as error:
            command = f"peercoord sync --tasks-file {shlex.quote(str(file.path))} --tag TAG"
            raise NotFoundError(error.message, hint=f"{error.hint}: {command}", code=error.code) from None
        self.list = lists[self.tag]
        origin = Origin(tasks_json.KIND, file.path, self.tag, file.memory.team.home)
        super().__init__(term, agreed, origin, bases, file.memo)
        self.count()

    def count(self) -> None:
        """Note the entry and the digest of each task, as the data is now."""
        self.entries: dict[str, Json] = {}
        self.digests, self.has_rows_without_id = {}, False
        for entry in self.list:
            task = normalize.identifier(entry.get("id")) if isinstance(entry, dict) else ""
            if not ids.is_id(task):
                self.has_rows_without_id = True
                continue
            self.digests[task] = TWICE if task in self.digests else digest(entry)
            self.entries[task] = entry

    def _values(self, task: str) -> Json | None:
        entry = self.entries[task]
        row = tasks_json.row(entry)
        if all(need in self.digests for need in row.needs):
            made = imported.build([row], self.origin).tasks
        else:
            made = list(self.incoming([task]))
        if not made:
            return None
        summary = {key: value for key, value in (tasks_json.noted(entry) or {}).items() if key != "priority"}
        return {
            **compared(made[0], reconcile.TEXTS),
            "state": status_or_blocked(entry.get("status")),
            "summary": summary or None,  # a priority that an export noted is no summary
        }

    def _read(self) -> Reading:
        return imported.build(tasks_json.rows(self.list), self.origin)

    def written(self) -> str:
        """Return the data as text in the style of the file; refuse to reformat a file that would lose something."""
        style = JsonStyle.of(self.text, files.parse_object(self.text, self.file.path))
        if not style.is_exact:
            tasks_json.refuse_lossy(self.text, self.file.name)
        return style.write(self.data)


class _Writer:
    """Writes updates into the data of a snapshot."""

    def __init__(self, found: _Snapshot) -> None:
        self.found = found
        entries = [entry for entry in found.list if isinstance(entry, dict)]
        self.status = ColumnWords(())
        used = [str(entry["priority"]) for entry in entries if isinstance(entry.get("priority"), str)]
        self.priority = ColumnWords((), [*_PRIORITIES, *used])
        self.has_numbers = not any(isinstance(entry.get("id"), str) for entry in entries)

    def write(self, updates: Sequence[RowUpdate]) -> dict[str, Json]:
        """Change the data; return the values that each task holds in it then."""
        held = {}
        for update in updates:
            if update.new:
                entry, held[update.task] = self._new(update)
                self.found.list.append(entry)
            else:
                held[update.task] = dict(self.found.row(update.task) or {})
                entry = self.found.entries.get(update.task, {})
                if entry and update.outgoing:
                    held[update.task] |= self._change(entry, update)
        self.found.count()
        return held

    def _number(self, task: str) -> object:
        return ids.public(task) if self.has_numbers else task

    def _written(self, field: str, value: Any, now: object, title: str) -> tuple[Any, Any]:
        """Return how the file writes a value, and what that means. The program needs a description."""
        if field == "state":
            word = self.status.status(TaskStatus(value), now) or "pending"
            return word, status_or_blocked(word)
        if field == "priority":
            word = self.priority.priority(value, now) or "medium"
            return word, normalize.priority_of(word)
        if field == "dependencies":
            return [self._number(need) for need in value], value
        if field == "description":
            return normalize.plain(value) or normalize.one_line(title), normalize.plain(value)
        text = normalize.one_line(value) if field == "title" else normalize.plain(value)
        return text, text

    def _change(self, entry: Json, update: RowUpdate) -> Json:
        """Change an entry; return the values that changed."""
        values: Json = {}
        for field, value in update.outgoing.items():
            values[field] = value
            if field == "steps_done":
                self._tick(entry, update.task, set(value))
            elif field == "summary":
                values[field] = self._note(entry, value)
            elif field != "steps":
                key = "status" if field == "state" else field
                entry[key], values[field] = self._written(field, value, entry.get(key), update.ours["title"])
        return values

    def _note(self, entry: Json, summary: Json | None) -> Json | None:
        """Write the team's summary into ``metadata``, which the program keeps; return what the entry holds then."""
        if not isinstance(entry.get("metadata") or {}, dict):
            return None  # a person's own value
        old = tasks_json.noted(entry) or {}
        noted = {"priority": old["priority"]} if "priority" in old else {}
        entry["metadata"] = entry.get("metadata") or {}
        entry["metadata"][tasks_json.KEY] = {**summary, **noted} if summary else noted or None
        return summary

    def _tick(self, entry: Json, task: str, done: set[str]) -> None:
        steps = entry.get("subtasks")
        for step in steps if isinstance(steps, list) else []:
            if isinstance(step, dict) and normalize.identifier(step.get("id")):
                normalize.tick(step, full_step_id(step.get("id"), task) in done)

    def _new(self, update: RowUpdate) -> tuple[Json, Json]:
        """Return a new entry with the keys that the program itself gives one, in its order, and what it means."""
        ours, done = update.ours, set(update.ours["steps_done"])
        texts = ("title", "description", "details", "testStrategy", "acceptanceCriteria")
        entry: Json = {"id": self._number(update.task), **dict.fromkeys((*texts, "status", "dependencies", "priority"))}
        fields = (*reconcile.TEXTS, "priority", "dependencies", "state")
        means = self._change(entry, replace(update, outgoing={field: ours[field] for field in fields}))
        if not entry["acceptanceCriteria"]:
            del entry["acceptanceCriteria"]
        entry["subtasks"] = [
            {
                "id": ids.public(step.removeprefix(f"{update.task}.")),
                "title": title,
                "description": "",
                "dependencies": [],
                "details": "",
                "status": "done" if step in done else "pending",
            }
            for step, title in ours["steps"]
        ]
        if ours["summary"]:
            entry["metadata"] = {tasks_json.KEY: ours["summary"]}
        return entry, {**means, **{field: ours[field] for field in ("steps", "steps_done", "summary")}}


def digest(entry: Json) -> str:
    """Return a digest of a task object."""
    try:
        data = orjson.dumps(entry)
    except orjson.JSONEncodeError:  # a lone surrogate, or a number of more than 64 bits
        data = repr(entry).encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=9).hexdigest()
