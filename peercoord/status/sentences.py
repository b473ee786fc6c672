"""Events as sentences that people read: ``instance-1 reported 70% on #1``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError
from peercoord.foreign import plain, whole
from peercoord.status.needs import moment
from peercoord.store import paths, records
from peercoord.store.records import percent
from peercoord.store.settings import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from peercoord.foreign import Json
    from peercoord.store.files import Files
    from peercoord.system.disk import Stat

TEXT_CHARS = 200  # of a text in a sentence; the event has all of it
PROJECT = "person"  # the actor of what is done in the main checkout


def events(files: Files) -> list[Json]:
    """Return every event that is kept, of all peers together, the oldest first."""
    return Tail(files).new()


class Tail:
    """Reads events, each once.

    Args:
        files: Of the coordination directory.
        most: The newest events of each file that the first look returns; 0: all.
    """

    def __init__(self, files: Files, most: int = 0) -> None:
        self.files, self._most = files, most
        self._read: dict[str, int] = {}  # the size up to which a file is read, by its name
        self._ends: set[tuple[str, ...]] = set()

    def new(self) -> list[Json]:
        """Return every event that was not returned before, of all peers together, the oldest first."""
        sizes = {name: seen.size for name in sorted(self.files.scan(paths.EVENTS)) if (seen := self._stat(name))}
        for name, size in sizes.items():
            if size < self._read.get(name, 0):  # it was moved aside, and another begun
                self._read[f"{name}.1"] = self._read.pop(name)
        grown = [name for name, size in sizes.items() if size > self._read.get(name, 0)]
        found = sorted((e for name in grown for e in self._added(name)), key=lambda event: moment(event.get("at")))
        return [event for event in found if self._is_news(event)]

    def _is_news(self, event: Json) -> bool:
        """Whether no other peer said it: several may give back what a departed one held, and each notes it."""
        if event.get("event") not in ("done", "evicted", "released") or "task" not in event:
            return True
        end = tuple(str(event.get(key)) for key in ("event", "task", "epoch", "incarnation"))
        seen = end in self._ends
        self._ends.add(end)
        return not seen

    def _stat(self, name: str) -> Stat | None:
        return self.files.stat(f"{paths.EVENTS}/{name}")

    def _added(self, name: str) -> Iterator[Json]:
        before = self._read.get(name, 0)
        data = self.files.grown(f"{paths.EVENTS}/{name}", before)
        lines, end, _ = data.rpartition(b"\n")  # the last line may be half written
        self._read[name] = before + len(lines) + len(end)
        for line in lines.splitlines() if before else lines[-RECORD_BYTES:].splitlines()[-self._most :]:
            with suppress(BrokenFileError):
                yield records.decode(line, name)


def chosen(found: Iterable[Json], since: str = "", peer: str = "", task: str = "") -> Iterator[Json]:
    """Pick the events since a moment, of a peer, about a task; empty stands for any."""
    for event in found:
        about = [event.get(key) for key in ("peer", "to", "who", "was")]
        concerns = not peer or any(_peer(one) == peer for one in about)
        if concerns and (not task or str(event.get("task")) == task) and moment(event.get("at")) >= since:
            yield event


def line(event: Json, local: str = "") -> str:
    """Write an event in one line, at its time; ``local`` is that time as it is shown."""
    return f"{local or plain(moment(event.get('at')) or '?')}  {sentence(event)}"


def sentence(event: Json) -> str:
    """Write an event as a sentence without its time. Every text in it is made safe."""
    kind, who = str(event.get("event")), _cut(event.get("peer") or "?")
    own = _peer(event.get("incarnation")) == who
    if "task" in event and not own:
        kind = {"done": "done for", "evicted": "taken back", "released": "taken back"}.get(kind, kind)
    kind = "cancelled" if kind == "edited" and event.get("keys") == ["cancelled"] else kind
    done = _SENTENCES.get(kind)
    if done is None:
        keys = [key for key in event if key not in ("at", "event", "peer")]
        facts = ", ".join(f"{plain(key)} {_cut(_listed(event[key]))}" for key in keys)
        return f"{who}: {_cut(kind)}{f' ({facts})' if facts else ''}"
    return f"{'a person' if who == PROJECT else who} {done.format_map(_Facts(event))}{_because(event)}"


_SENTENCES = {
    "accepted": "accepted #{task}: it is done",
    "added": "added #{task}",
    "agent-ended": "has no background agent any more",
    "answered": "answered the question about #{task}",
    "cancelled": "cancelled #{task}",
    "caught up": "brought {tasks} up to what the worktrees know",
    "challenged": "asked {who} for a sign of life",
    "claimed": "claimed #{task}",
    "configured": "set {key} to {value}",
    "contributed": "contributed to {file}",
    "decided": "recorded what {decided_by} decided about {file}",
    "done": "finished #{task}",
    "done for": "brought #{task} to done, which {incarnation} had finished",
    "edited": "edited {keys} of #{task}",
    "evicted": "evicted {who}",
    "joined": "joined",
    "landed": "landed {tasks} on {branch}",
    "landing-undone": "took the last landing on {branch} back",
    "leads": "leads",
    "left": "left",
    "limit-over": "is no longer rate limited",
    "limited": "ran into a rate limit",
    "merged": "merged contributions into {file}",
    "overruled": "kept {value} as {field} of #{task}: the other side had changed it too",
    "overtaken": "kept a version of {file} that was overwritten",
    "parked": "parked #{task} as {why}",
    "parted": "removed a second name of a ticket",
    "poison": "parked #{task} as failed after {attempts} attempts",
    "progress": "reported {progress} on #{task}",
    "quarantined": "set {path} aside, which cannot be read",
    "reassigned": "gave #{task} to {to}",
    "rebuilt": "rebuilt the coordination directory with {tasks}",
    "rejected": "recorded that {decided_by} rejected a change of {file}",
    "released": "gave #{task} back",
    "renamed": "gave task {was} the id {task}",
    "reopened": "reopened #{task}",
    "reported-late": "reported late on #{task}",
    "resigned": "leads no longer",
    "stuck": "could not repair something",
    "taken back": "took #{task} back from {incarnation}",
    "synced": "took {keys} of #{task} over from {source}",
    "unlocked": "went on without the lock of the memory bank",
    "unreadable": "cannot read {path}",
}


class _Facts(dict[str, object]):
    """The facts of an event, as its sentence has them; what is missing is a question mark."""

    def __getitem__(self, key: str) -> str:
        value = self.get(key)
        if key == "progress" and isinstance(value, (int, float)) and 0 <= value <= 1:
            return percent(float(value))
        if key == "tasks":
            return _tasks(value)
        if key in ("who", "incarnation"):
            return _cut(_peer(value)) or "?"
        return _cut(_listed(value)) or "?"


def _tasks(value: object) -> str:
    count = whole(value)
    if count is not None:
        return "1 task" if count == 1 else f"{count} tasks"
    return _cut(", ".join(f"#{one}" for one in value)) if isinstance(value, list) and value else "nothing"


def _because(event: Json) -> str:
    """The reason of an event, after its sentence."""
    why = _cut(event.get("reason") or event.get("because") or "")
    return f": {why}" if why else ""


def _peer(value: object) -> str:
    """The peer's name in an incarnation's, or in a name."""
    who = paths.parse_incarnation(value) if isinstance(value, str) else None
    return who.peer if who else str(value)


def _listed(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value


def _cut(text: object) -> str:
    said = plain(text)
    return f"{said[:TEXT_CHARS]}…" if len(said) > TEXT_CHARS else said
