"""The file that a coding agent keeps of a session, read for the tokens that each answer of its model took.

A hook names the file, and a coding session can call a hook itself. So its name has to be that of such a file, outside
the worktree; only a regular file of this user is opened; a part of bounded size is read at a time; and nothing but
counts leaves it. A form that is not known gives no counts.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from peercoord.foreign import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.foreign import Json

PART_BYTES = 2 << 20  # read at a time
FIRST_BYTES = 64 << 20  # of its end, if more of it was not read
ANSWERS_MOST = 20_000  # kept of one file
COUNT_MOST = 10**12  # tokens of one answer: more makes no sense
SUBAGENTS_MOST = 500  # of one session

Counts = tuple[int, int]  # tokens in, those from a cache among them, and tokens out
_SECOND = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")
_IDENT = re.compile(r"[A-Za-z0-9-]{8,64}")


@contextmanager
def opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file of this user, and nothing else.

    Raises:
        OSError: There is none.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(str(error)) from None
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
            raise OSError("it is no regular file of this user")
        yield handle, seen
    finally:
        os.close(handle)


def is_named_so(agent: str, session: str, path: str, worktree: str) -> bool:
    """Check whether a path is one at which a kind of coding agent keeps the transcript of a session.

    Args:
        agent: Its name in commands.
        session: The agent's own id of the session.
        path: The path that a hook named.
        worktree: Where the session works: it may write there what it likes.
    """
    shape = _SHAPES.get(agent)
    if shape is None or not _IDENT.fullmatch(session) or path != os.path.normpath(path) or "\0" in path:
        return False
    within = f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(worktree)}/")
    return re.fullmatch(f"/.*{shape.format(id=session, short=session[:8])}", path) is not None and not within


class Transcript:
    """One file that grows, and the counts of the answers in it.

    Attributes:
        broken: It cannot be read now, or says something that makes no sense: nothing is known from it.
        since: What it says of this second and earlier ones is not known; empty if all is.
    """

    def __init__(self, path: str, agent: str) -> None:
        self.path, self.agent = path, agent
        self._begin()

    def _begin(self) -> None:
        self.broken, self.since = False, ""
        self._file, self._offset = (0, 0), 0
        self._within = self._late = False  # in the middle of a line, or of the file
        self._answers: dict[str, tuple[str, Counts]] = {}  # by the answer's id: its second and counts
        self._number = 0  # of the last answer without an id
        self._total = (0, 0)  # of a program that says the sum of a session

    def follow(self) -> bool:
        """Read what was added, up to a bounded part; return whether all of it was read."""
        try:
            with opened(self.path) as (handle, seen):
                added = seen.st_size - self._offset
                if (seen.st_dev, seen.st_ino) != self._file or not 0 <= added <= FIRST_BYTES:
                    self._begin()
                    self._file = seen.st_dev, seen.st_ino
                    self._offset = max(0, seen.st_size - FIRST_BYTES)
                    self._late = self._within = self._offset > 0
                part = os.pread(handle, PART_BYTES, self._offset) if seen.st_size > self._offset else b""
        except OSError:
            self._begin()
            self.broken = True
            return True
        lines, end, _ = part.rpartition(b"\n")
        if not end:  # half a line; or one of an image
            self._within = self._within or len(part) == PART_BYTES
            self._offset += len(part) if self._within else 0
            return len(part) < PART_BYTES
        self._offset += len(lines) + 1
        for line in lines.split(b"\n")[1 if self._within else 0 :]:
            self._take(line)
        self._within = False
        return len(part) < PART_BYTES

    def _take(self, line: bytes) -> None:
        mark, read = _READERS[self.agent]
        if mark not in line:
            return
        try:
            said = orjson.loads(line)
            found = read(said) if isinstance(said, dict) else None
            if found is None:
                return
            ident, counts = found
            second = _SECOND.fullmatch(str(said.get("timestamp")))
            if second is None or max(counts) >= COUNT_MOST:
                raise ValueError(line[:80])
        except (ValueError, TypeError, AttributeError, KeyError):
            self.broken = True
            return
        at = f"{second[1]}Z"
        if self._late:
            self._late, self.since = False, at
        if self.agent in _SUMS:
            before, self._total = self._total, counts
            if counts == before:
                return
            begins = counts[0] < before[0] or counts[1] < before[1]  # of a conversation that was continued elsewhere
            counts = counts if begins else (counts[0] - before[0], counts[1] - before[1])
            self._number += 1
            ident = str(self._number)
        self._answers[ident] = self._answers.get(ident, (at, counts))[0], counts
        if len(self._answers) > ANSWERS_MOST:
            self.since = self._answers.pop(next(iter(self._answers)))[0]

    @property
    def size(self) -> int:
        """The number of answers that are kept of it."""
        return len(self._answers)

    def used(self, after: str, until: str) -> tuple[int, int, int] | None:
        """Return the number of answers after a second, up to another, and their counts; ``None`` if not known."""
        if self.broken or (self.since and after < self.since):
            return None
        found = [counts for at, counts in self._answers.values() if after < at <= until]
        return len(found), sum(one[0] for one in found), sum(one[1] for one in found)


# -- the programs ------------------------------------------------------------------------------------------------


def _count(said: Json, *keys: str) -> int:
    """Add up counts. A missing one is 0; a ``ValueError`` refuses what is no count."""
    counts = [whole(said.get(key, 0)) for key in keys]
    known = [count for count in counts if count is not None and count >= 0]
    if len(known) < len(counts):
        raise ValueError(keys)
    return sum(known)


def _claude(said: Json) -> tuple[str, Counts] | None:
    """An answer has a line for each of its parts, each with the counts of the whole, as far as they are known then."""
    if said.get("type") != "assistant" or "usage" not in said["message"]:
        return None
    usage = said["message"]["usage"]
    read = _count(usage, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return str(said["message"]["id"]), (read, _count(usage, "output_tokens"))


def _codex(said: Json) -> tuple[str, Counts] | None:
    inner = said.get("payload")
    if not isinstance(inner, dict) or inner.get("type") != "token_count" or not inner.get("info"):
        return None
    total = inner["info"]["total_token_usage"]
    return "", (_count(total, "input_tokens"), _count(total, "output_tokens"))


def _gemini(said: Json) -> tuple[str, Counts] | None:
    if said.get("type") != "gemini" or not said.get("tokens"):
        return None
    tokens = said["tokens"]
    return str(said["id"]), (_count(tokens, "input", "tool"), _count(tokens, "output", "thoughts"))


_READERS: dict[str, tuple[bytes, Callable[[Json], tuple[str, Counts] | None]]] = {
    "claude": (b'"usage"', _claude),
    "codex": (b'"token_count"', _codex),
    "gemini": (b'"tokens"', _gemini),
}
_SUMS = ("codex",)  # it says the sum of the session each time
_SHAPES = {
    "claude": r"/projects/[^/]+/{id}\.jsonl",
    "codex": r"/sessions/\d{{4}}/\d\d/\d\d/rollout-[0-9T-]+-{id}\.jsonl",
    "gemini": r"/chats/session-[\w-]+-{short}\.jsonl",
}


def files_of(path: str, agent: str) -> list[str]:
    """List the files of a session: its transcript, and those of its subagents, where they have their own."""
    found = [path]
    if agent == "claude":
        place = f"{path.removesuffix('.jsonl')}/subagents"
        with suppress(OSError), os.scandir(place) as entries:
            names = [entry.name for entry in islice(entries, SUBAGENTS_MOST + 1)]
            found += [f"{place}/{name}" for name in sorted(names) if name.endswith(".jsonl")]
            if len(names) > SUBAGENTS_MOST:
                found.append(place)  # no file: what is not read whole is not known
    return found
