"""A worktree's ``progress.json``, which each call writes and people edit.

The file is never written before the edits in it were taken in. ``progress.known.json`` holds the marks of the last two
contents that calls wrote; it is written first, so that a crash between the two leaves a known content. Any other
content is an edit. Edits that are refused stay in the file as they were typed, or a copy of the file is kept; the next
answer tells which.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError
from peercoord.mailbox import verbs
from peercoord.store import ids, paths, records
from peercoord.store.settings import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.foreign import Json
    from peercoord.store.beneath import InstanceFiles

NAME, KNOWN = "progress.json", "progress.known.json"
WHERE = f"{paths.INSTANCE}/{NAME}"
TASKS, MEMORY = "assigned_tasks", "memory_contributions"
NOTES_MOST = 50


class ProgressFile:
    """The file of one worktree, during one call."""

    def __init__(self, files: InstanceFiles) -> None:
        self.files = files
        self.data = files.peek(NAME)  # its content when the call began; ``None`` if there was no file
        self.known = files.peek_record(KNOWN)  # the next call writes a broken one again
        content = self.known.get("content")
        if isinstance(content, dict) and _mark(records.encode(content)) not in _list(self.known.get("marks"))[:1]:
            del self.known["content"]  # a power cut left parts of two contents: it is written in place
        self.mark = "" if self.data is None else _mark(self.data)
        # what stays as it was typed: entries of tasks that cannot be reported, and contributions that were refused
        self.kept: list[Json] = _objects(self.known.get("kept"))
        self.refused: list[object] = _list(self.known.get("refused"))
        self.notes: list[str] = [str(note) for note in _list(self.known.get("notes"))]
        self.held_back = False  # this call must not write the file: the edits could not be taken in now

    def edited(self, published: Callable[[], bytes | None]) -> bool:
        """Check whether the file was edited since a call wrote it; version 0.1.0 wrote the published report into it."""
        data = self.data
        if data is None or records.is_blank(data) or self.mark in _list(self.known.get("marks")):
            return False
        return data != published()

    def content(self) -> Json:
        """Read the content."""
        found = records.decode(self.data or b"", WHERE)
        if not isinstance(found.get(TASKS, []), list) or not isinstance(found.get(MEMORY, []), list):
            raise BrokenFileError(f"{WHERE}: {TASKS} and {MEMORY} must be lists")
        return found

    def says_news(self, published: Json) -> bool:
        """Check whether the file holds edits that were not taken in, or were refused."""
        if self.kept or self.refused:
            return True
        if not self.edited(lambda: records.encode(published)):
            return False
        try:
            said, base = self.content(), self.base(published)
        except BrokenFileError:
            return True
        if any(True for _ in typed_contributions(said, base, published)):
            return True
        for typed in _objects(said.get(TASKS)):
            before, now = entry_of(typed, base), entry_of(typed, published) or {}
            if typed != before and any(difference(typed, before, now)):
                return True
        return False

    def base(self, published: Json) -> Json | None:
        """Return the content before the edits; ``None`` if that is not known."""
        known = self.known.get("content")
        if isinstance(known, dict):  # no call wrote what stays there as it was typed
            return {**known, MEMORY: [one for one in _list(known.get(MEMORY)) if one not in self.refused]}
        said = self.content().get("updated_at", published.get("updated_at"))
        return published if said == published.get("updated_at") else None

    def set_aside(self) -> str:
        """Keep a copy of the file under a name made from its content; return the name."""
        name = f"{NAME}.kept-{_mark(self.data or b'')}"
        if self.data is not None and self.files.stat(name) is None:
            self.files.replace(name, self.data, durable=True)
        return name

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, published: Json) -> None:
        """Write the published report, with the edits that stay in the file.

        An edit made during this call stays: the next call takes it in.
        """
        if self.held_back:
            return
        content = self._with_typed(published)
        data = records.encode(content)
        if len(data) > RECORD_BYTES:
            self.notes.append(f"{NAME} became too large: what was typed in it is kept in {self.set_aside()}")
            self.kept, self.refused = [], []
            content, data = published, records.encode(published)
        now = self.files.peek(NAME)
        if now is not None and now != self.data:
            return
        self._remember(content, data)
        if now != data:
            self.files.replace(NAME, data)

    def _remember(self, content: Json, data: bytes) -> None:
        marks = [_mark(data), *filter(None, [self.mark])]
        known = {
            "schema_version": records.SCHEMA_VERSION,
            "marks": list(dict.fromkeys(marks)),
            "content": content,
            **({"kept": self.kept} if self.kept else {}),
            **({"refused": self.refused} if self.refused else {}),
            **({"notes": self.notes[-NOTES_MOST:]} if self.notes else {}),
        }
        if known != self.known:
            self.files.overwrite(KNOWN, records.encode(known))
            self.known = known

    def _with_typed(self, published: Json) -> Json:
        said = self._said()
        entries = []
        for entry in _objects(published.get(TASKS)):  # with the unknown keys that a person typed
            own = next((one for one in _objects(said.get(TASKS)) if same_claim(one, entry)), {})
            entries.append({**entry, **{key: own[key] for key in own if key not in entry}})
        typed = [one for one in self.refused if one in _list(said.get(MEMORY))]
        kept = [one for one in self.kept if one in _list(said.get(TASKS))]
        self.refused, self.kept = typed, kept
        return {
            **published,
            TASKS: [*entries, *kept],
            MEMORY: [*_list(published.get(MEMORY)), *typed],
            **{key: said[key] for key in said if key not in published and key not in (TASKS, MEMORY)},
        }

    def _said(self) -> Json:
        """Return the content when the call began; empty if there is none."""
        known = self.known.get("content")
        if isinstance(known, dict) and self.mark in _list(self.known.get("marks"))[:1]:
            return known
        try:
            return self.content() if self.data is not None and not records.is_blank(self.data) else {}
        except BrokenFileError:
            return {}


def same_claim(typed: Json, entry: Json) -> bool:
    """Check whether two entries are about one claim; a typed one without an epoch matches any claim of its task."""
    task, epoch = ids.read(typed.get("task_id")), entry.get("epoch")
    return bool(task) and task == ids.read(entry.get("task_id")) and typed.get("epoch", epoch) == epoch


def entry_of(typed: Json, report: Json | None) -> Json | None:
    """Return the newest entry of a report that a typed entry is about."""
    found = reversed(_objects((report or {}).get(TASKS)))
    return next((one for one in found if same_claim(typed, one)), None)


# -- what was typed ----------------------------------------------------------------------------------------------


def difference(typed: Json, base: Json | None, published: Json) -> tuple[Json, str]:
    """Return what is new in an entry, as ``queue.progress.updated`` takes it, and how the task ends, if it does.

    Without a known ``base``, the entry as a call wrote it, only additions to the published entry count.
    """
    said: Json = {}
    for key in ("achievements", "blockers"):
        known = set(records.notes(published.get(key)))
        said[key] = [note for note in records.notes(typed.get(key)) if note not in known]
    done = set(_texts(published.get("steps_done")))
    said["steps"] = [step for step in _texts(typed.get("steps_done")) if step not in done]
    for key, name in (("time_spent", "time_spent"), ("completion_estimate", "estimate"), ("progress", "progress")):
        if key in typed and typed[key] != published.get(key) and _is_news(key, typed, base, published):
            said[name] = verbs.share(typed[key]) if key == "progress" and isinstance(typed[key], str) else typed[key]
    if published.get("steps"):
        said.pop("progress", None)
    status = verbs.state(str(typed.get("status")))
    was = str((base or published).get("status"))
    ended = status if status != was and status in verbs.ENDS else ""
    return {key: value for key, value in said.items() if value not in ([], None)}, ended


def untaken(typed: Json, base: Json, published: Json) -> list[str]:
    """List the changed keys of a published entry that cannot be reported."""
    changed = [key for key in typed if key in published and typed[key] not in (base.get(key), published[key])]
    found = [key for key in changed if key not in (*_TAKEN, "epoch", "task_id")]
    if "progress" in changed and published.get("steps"):
        found.append("progress")
    if "status" in changed and verbs.state(str(typed["status"])) not in verbs.STATUSES:
        found.append("status")
    return found


_TAKEN = ("achievements", "blockers", "steps_done", "time_spent", "completion_estimate", "progress", "status")


def _is_news(key: str, typed: Json, base: Json | None, published: Json) -> bool:
    if base is not None:
        return bool(typed[key] != base.get(key))
    now = published.get(key)
    return not now or (isinstance(now, (int, float)) and isinstance(typed[key], (int, float)) and typed[key] > now)


def typed_contributions(said: Json, base: Json | None, published: Json) -> Iterator[tuple[str, Json]]:
    """Yield the memory contributions that a person added or changed, each with a word that identifies it.

    An entry that a call wrote has the id of its contribution, and is new if its content changed. A typed one is
    identified by its document, time and position, so that editing it makes no second contribution.
    """
    ours = [*_objects(published.get(MEMORY)), *_objects((base or {}).get(MEMORY))]
    known = [(one.get("id"), one.get("content")) for one in ours if one.get("id")]
    count: dict[tuple[str, str], int] = {}
    for entry in _list(said.get(MEMORY)):
        if not isinstance(entry, dict):
            yield "", {"": entry}
            continue
        place = str(entry.get("file")), str(entry.get("timestamp"))
        at = count[place] = count.get(place, -1) + 1
        own = entry.get("id")
        if not own:
            yield _word("typed", *place, str(at)), entry
        elif (own, entry.get("content")) not in known:
            yield _word("edited", str(own)), entry


def _word(*parts: str) -> str:
    import hashlib

    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _mark(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}{len(data)}"


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _objects(found: object) -> list[Json]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _texts(found: object) -> list[str]:
    return [str(item) for item in _list(found) if isinstance(item, (str, int))]
