"""A ``tasks.json`` as one side of a sync: status of tasks and steps, edits both ways, and ``metadata.peercoord``.

Promises: what does not change keeps every byte, whatever shape, tag, order or unknown keys the file has; it is
replaced whole, under the lock of the program it belongs to, and only if it still is what was compared. The term is
checked, and what was agreed on is remembered, in the project's database: the file is written inside that transaction,
so a leader whose term is over never comes so far.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from peercoord.core import ids, sync
from peercoord.core.errors import BrokenFileError, LostError
from peercoord.edges.adapters import files, imported, tasks_json, words
from peercoord.edges.adapters.file_lock import Hold, locked
from peercoord.edges.adapters.imported import Imported, Origin, Reading
from peercoord.edges.adapters.json_text import Patches, Span, elements, members, span
from peercoord.edges.adapters.sight import TWICE, same_source, theirs
from peercoord.edges.adapters.store import Agreements
from peercoord.edges.adapters.vocabulary import Vocabulary, state_of
from peercoord.fs import clock as clocks
from peercoord.fs.disk import Disk
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peercoord.edges.adapters.store import DatabaseStore
    from peercoord.fs.disk import DiskLike
    from peercoord.roles.database import Entry, Sight

    Json = dict[str, Any]

LOCK_SECONDS = 2.0
KEY = "peercoord"
STATUS_WORDS = ("pending", "in-progress", "done", "review", "deferred", "cancelled", "blocked")
_PRIORITIES = ("high", "medium", "low")


class TasksFile:
    """One tag of a ``tasks.json``.

    Args:
        path: The file.
        tag: Which tag; ``None`` for its current one.
        memory: The project's database, which remembers what was agreed on.
        wait: Seconds to wait for another program that has it locked.
        disk: The directory that the file lies in; made from the path if left out.
    """

    def __init__(
        self,
        path: Path,
        tag: str | None,
        memory: DatabaseStore,
        wait: float = LOCK_SECONDS,
        disk: DiskLike | None = None,
    ) -> None:
        self.path, self.tag, self.memory, self.wait = path, tag, memory, wait
        self.target = Path(os.path.realpath(path))
        self.disk = disk or Disk(str(self.target.parent))
        self._memo: dict[str, tuple[str, Json | None]] = {}

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return files.quoted(self.path)

    @property
    def noted(self) -> str:
        """What it is called in records."""
        return Origin(tasks_json.KIND, self.path, self.tag, self.memory.team.home).noted

    def look(self) -> Sight:
        """Read what it holds, changing nothing.

        Raises:
            PeercoordError: It cannot be read or understood now.
        """
        text, place = self._text()
        term, agreed = self.memory.remembered(place)
        return FileSight(self, text, term, agreed, lambda tasks: self.memory.bases_later(place, tasks, agreed))

    def _text(self) -> tuple[str, str]:
        """Read the file as it is, byte for byte; and say under which name its tag is remembered."""
        try:
            text = self.target.read_bytes().decode("utf-8")
        except OSError as error:
            raise files.unreadable(self.path, error) from None
        except UnicodeDecodeError as error:
            raise BrokenFileError(f"{self.name} is not text in UTF-8 (byte {error.start})") from None
        home = self.memory.team.home
        near = self.path.relative_to(home) if self.path.is_relative_to(home) else self.path
        return text, f"{near}#{self.tag or ''}"[-200:]

    def change(self, term: int, work: Callable[[Sight], Sequence[Entry]]) -> list[tuple[str, str]]:
        """Change it, under its lock, inside a transaction of the database that checks the term.

        Args:
            term: The leader's term.
            work: Given what it holds, says what is to be written.

        Returns:
            What was refused, and why.

        Raises:
            LostError: The term is over, or someone wrote the file without taking the lock.
            PeercoordError: It cannot be written now; nothing was changed.
        """
        with locked(self.disk, self.target.name, clocks.token, self.wait) as hold:
            seen = self._mark()
            text, place = self._text()

            def inside(agreements: Agreements) -> list[tuple[str, str]]:
                sight = FileSight(self, text, agreements.term, agreements.agreed, agreements.bases)
                entries = work(sight)
                hold.refresh()
                new, held = _Patching(sight).write(entries)
                if new != text:
                    self._replace(new, seen, hold)
                after = FileSight(self, new, term, {}, lambda _: ({}, set()))
                agreements.remember(entries, held, after.digests, {})
                return []

            return self.memory.remembering(place, term, inside)

    def _mark(self) -> tuple[int, int]:
        try:
            seen = self.disk.stat(self.target.name)
        except OSError as error:
            raise files.unreadable(self.path, error) from None
        return seen.modified_ns, seen.size

    def _replace(self, text: str, seen: tuple[int, int], hold: Hold) -> None:
        staged = f".{self.target.name}.{clocks.token()}"
        try:
            for name in self.disk.listdir(""):
                if name.startswith(f".{self.target.name}.") and not name.startswith(f".{self.target.name}.lock"):
                    self.disk.unlink(name)  # what a crash left: nobody else writes while the lock is held
            self.disk.create(staged, text.encode("utf-8"), True)
            mode = self.target.stat().st_mode & 0o7777
            (self.target.parent / staged).chmod(mode)
            hold.require()
            if self._mark() != seen:
                raise LostError(f"{self.name} was written by someone who did not lock it", hint="try again")
            self.disk.rename(staged, self.target.name)
            self.disk.sync("")
        except OSError as error:
            self._drop(staged)
            raise refused(error, str(self.path)) from None
        except LostError:
            self._drop(staged)
            raise

    def _drop(self, staged: str) -> None:
        with suppress(OSError):
            self.disk.unlink(staged)


class FileSight:
    """What a tag of a file holds.

    Args:
        file: The file.
        text: Its text.
        term: The highest term under which the project's database was written.
        agreed: What was agreed on, by task.
        bases: Reads what was agreed on, and says which tasks someone else has agreed on since.
    """

    def __init__(
        self,
        file: TasksFile,
        text: str,
        term: int,
        agreed: Mapping[str, tuple[str, str]],
        bases: Callable[[Sequence[str]], tuple[Mapping[str, Json], set[str]]],
    ) -> None:
        self.file, self.text = file, text
        self.term, self.agreed = term, agreed
        self.overtaken: set[str] = set()
        self._bases = bases
        self.tag, self.list = self._located()
        self.origin = Origin(tasks_json.KIND, file.path, self.tag, file.memory.team.home)
        self.spans: dict[str, Span] = {}
        self.digests = self._digests()
        self._reading: Reading | None = None

    def _located(self) -> tuple[str, Span]:
        """Find the tag's list of tasks in the text."""
        start = 1 if self.text.startswith("\ufeff") else 0
        try:
            top = span(self.text, start)
            if not isinstance(top.value, dict):
                raise ValueError("it holds no object")
            lists = tasks_json.tagged(top.value, self.file.path)
            tag = tasks_json.choose(lists, self.file.path, self.file.tag)
            inside = members(self.text, top.start)
            nested = tag in inside and isinstance(inside[tag].value, dict)
            holder = members(self.text, inside[tag].start) if nested else inside
            return tag, holder["tasks"]
        except (ValueError, KeyError, RecursionError) as error:
            raise BrokenFileError(
                f"{self.file.name} is not understood: {error}", hint="repair the file, then try again"
            ) from None

    def _digests(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for element in elements(self.text, self.list.start):
            task = words.identifier(element.value.get("id")) if isinstance(element.value, dict) else ""
            if not ids.is_id(task):
                continue
            text = self.text[element.start : element.end].encode("utf-8", "surrogatepass")
            found[task] = TWICE if task in found else blake2b(text, digest_size=9).hexdigest()
            self.spans[task] = element
        return found

    def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]:
        """Give what was agreed on for these tasks; ``overtaken`` names those that someone has agreed on since."""
        found, self.overtaken = self._bases(tasks)
        return found

    def row(self, task: str) -> Json | None:
        """Give the values of a task; ``None`` if it is none, or there are two."""
        digest = self.digests.get(task, TWICE)
        if digest == TWICE:
            return None
        memo = self.file._memo
        known = memo.get(task)
        if known is None or known[0] != digest:
            known = memo[task] = (digest, self._values(task))
        return known[1]

    def _values(self, task: str) -> Json | None:
        entry = self.spans[task].value
        row = tasks_json.row(entry)
        if all(need in self.digests for need in row.needs):
            made = imported.build([row], self.origin).tasks
        else:
            made = [found for found in self._all().tasks if found.definition.task == task]
        if not made:
            return None
        values = theirs(made[0], sync.TEXTS)
        metadata = entry.get("metadata")
        kept = metadata.get(KEY) if isinstance(metadata, dict) else None
        return {
            **values,
            "state": state_of(entry.get("status")),
            "summary": kept,
        }

    def _all(self) -> Reading:
        if self._reading is None:
            rows = [tasks_json.row(found) for found in self.list.value if isinstance(found, dict)]
            self._reading = imported.build(rows, self.origin)
        return self._reading

    def incoming(self, tasks: Sequence[str]) -> Sequence[Imported]:
        """Give tasks as they are to be taken in."""
        wanted = set(tasks)
        return [task for task in self._all().tasks if task.definition.task in wanted]

    def refused(self) -> Sequence[tuple[str, str]]:
        """Say what could not be a task, and why."""
        return self._all().refused

    def state_of(self, word: object) -> str:
        """Say what a status word means."""
        return state_of(word)

    def is_source(self, source: Json) -> bool:
        """Tell whether a task that says where it comes from comes from here."""
        return same_source(source, self.origin)


class _Patching:
    """Puts what goes out into the text of a file."""

    def __init__(self, sight: FileSight) -> None:
        self.sight = sight
        self.patches = Patches(sight.text)
        entries = [found for found in sight.list.value if isinstance(found, dict)]
        self.status = Vocabulary((), STATUS_WORDS)
        used = [str(found["priority"]) for found in entries if isinstance(found.get("priority"), str)]
        self.priority = Vocabulary((), [*_PRIORITIES, *used])
        self.numbers = not any(isinstance(found.get("id"), str) for found in entries)

    def write(self, entries: Sequence[Entry]) -> tuple[str, dict[str, Json]]:
        """Give the new text, and the values that each task holds in it."""
        held = {}
        added = []
        for entry in entries:
            if entry.new:
                record, held[entry.task] = self._added(entry)
                added.append(record)
            else:
                held[entry.task] = self._changed(entry)
        if added:
            self.patches.extend(self.sight.list, added)
        return self.patches.result(), held

    def _number(self, task: str) -> object:
        return ids.public(task) if self.numbers else task

    def _said(self, field: str, value: Any, now: object, title: str) -> tuple[Any, Any]:
        """Give how the file says a value, and what that means. A task without a description stops the program."""
        if field == "state":
            word = self.status.status(value, now) or "pending"
            return word, state_of(word)
        if field == "priority":
            word = self.priority.priority(value, now) or "medium"
            return word, words.priority(word)
        if field == "dependencies":
            return [self._number(need) for need in value], value
        if field == "description":
            return words.plain(value) or words.one_line(title), words.plain(value)
        text = words.one_line(value) if field == "title" else words.plain(value)
        return text, text

    def _changed(self, entry: Entry) -> Json:
        found = self.sight.spans.get(entry.task)
        values = dict(self.sight.row(entry.task) or {})
        if found is None or not entry.outgoing:
            return values
        for field, value in entry.outgoing.items():
            if field == "steps_done":
                self._tick(found, entry.task, set(value))
            elif field == "summary":
                self._note(found, value)
            elif field != "steps":
                key = "status" if field == "state" else field
                said, value = self._said(field, value, found.value.get(key), entry.ours["title"])
                self.patches.set_member(found, key, said)
            values[field] = value
        return values

    def _note(self, found: Span, data: Json | None) -> None:
        """Put what only the team knows where this program leaves it alone: ``metadata.peercoord``."""
        metadata = members(self.sight.text, found.start).get("metadata")
        if metadata is not None and isinstance(metadata.value, dict):
            self.patches.set_member(metadata, KEY, data)
        else:
            self.patches.set_member(found, "metadata", {KEY: data})

    def _tick(self, found: Span, task: str, done: set[str]) -> None:
        steps = members(self.sight.text, found.start).get("subtasks")
        if steps is None or not isinstance(steps.value, list):
            return
        for step in elements(self.sight.text, steps.start):
            own = words.identifier(step.value.get("id")) if isinstance(step.value, dict) else ""
            full = own if own.startswith(f"{task}.") else f"{task}.{own}"
            if own and (words.state(step.value.get("status")) == "done") != (full in done):
                self.patches.set_member(step, "status", "done" if full in done else "pending")

    def _added(self, entry: Entry) -> tuple[Json, Json]:
        """Give a new task with the keys that the program itself gives one, and what that means."""
        ours = entry.ours
        fields = (*sync.TEXTS, "priority", "dependencies", "state")
        said = {field: self._said(field, ours[field], None, ours["title"]) for field in fields}
        done = set(ours["steps_done"])
        record = {
            "id": self._number(entry.task),
            "title": said["title"][0],
            "description": said["description"][0],
            "details": said["details"][0],
            "testStrategy": said["testStrategy"][0],
            **({"acceptanceCriteria": said["acceptanceCriteria"][0]} if said["acceptanceCriteria"][0] else {}),
            "status": said["state"][0],
            "dependencies": said["dependencies"][0],
            "priority": said["priority"][0],
            "subtasks": [
                {
                    "id": ids.public(step.removeprefix(f"{entry.task}.")),
                    "title": title,
                    "description": "",
                    "dependencies": [],
                    "details": "",
                    "status": "done" if step in done else "pending",
                }
                for step, title in ours["steps"]
            ],
            **({"metadata": {KEY: ours["summary"]}} if ours["summary"] else {}),
        }
        means = {field: value for field, (_, value) in said.items()}
        return record, {**means, **{field: ours[field] for field in ("steps", "steps_done", "summary")}}
