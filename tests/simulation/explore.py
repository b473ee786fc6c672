"""Not chance but all of it: every interleaving of small programs that run the production code, breadth first.

A program is a deterministic function of what its file operations answered. So where it stands is the list of answers
it got; what it does next is found by running it again on these answers, up to the first operation that has none. A
situation is then a directory and one list of answers for each program. Situations that agree in both have the same
future and are looked at once: that, and that file operations which no other program can notice are not steps, keeps
the number small. No thread is involved.

What is covered: all interleavings of the operations that touch shared paths; each program's crash at every one of them
(the others go on, then someone repairs); and, if asked for, answers lost after the deed. What is not: looks that show
an old state, and listings torn by what moves meanwhile; these are the seeded simulator's.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import process_time
from typing import TYPE_CHECKING, Any

from support.memory import refuse

from peercoord.system.disk import Stat
from simulation.baton import ViolationError
from simulation.flat import FlatDisk
from simulation.rules import Memory, Rules

if TYPE_CHECKING:
    from simulation.flat import Table
    from simulation.rules import Told

    Body = Callable[["Stage"], None]

OWN = ("tmp/", "events/", "bell/", "progress-reports/", "locks/")
"""Where what one program does is decided by its own answers alone, or decides nothing (LAY-6)."""
STILL = (
    *("births/", "tasks/", "protocol.json", "quarantine", "queue/parked"),
    *(f"queue/ready/{level}" for level in (0, 1, 3, 4)),
)
"""What nobody changes, unless a scene says so. That is held: whoever does all the same ends the exploration."""
LOOKS = frozenset(("listdir", "read", "stat", "sync"))
LOSABLE = {
    "rename": errno.ENOENT,
    "link": errno.EEXIST,
    "mkdir": errno.EEXIST,
    "rmdir": errno.ENOENT,
    "create": errno.EEXIST,
}
"""What a caller may be told although the operation was done."""


class Reached(BaseException):
    """The program is at an operation whose answer is not known yet."""


class Call:
    """One operation that a program is about to do."""

    __slots__ = ("args", "name", "visible")

    def __init__(self, name: str, args: tuple[Any, ...], still: tuple[str, ...]) -> None:
        self.name, self.args = name, args
        paths = args[:2] if name in ("link", "rename") else args[:1]
        own = all(path.startswith(OWN) for path in paths)
        self.visible = not own and not (name in LOOKS and paths[0].startswith(still)) and name != "sync"
        if name not in LOOKS and any(path.startswith(still) for path in paths):
            raise AssertionError(f"{self!r} changes what was said to stand still")

    def on(self, disk: FlatDisk) -> Any:
        """Do it; an error is an answer as well."""
        try:
            return getattr(disk, self.name)(*self.args)
        except OSError as error:
            return error.errno

    def __repr__(self) -> str:
        return f"{self.name} {' '.join(a for a in self.args if isinstance(a, str))}"


class Stage:
    """What a program has before it: a disk that answers from the list, and an ear for what it is told.

    Attributes:
        told: What the program was told, in order: a word, the peer, the task, the epoch.
    """

    def __init__(self, number: int, answers: list[Any]) -> None:
        self.number, self.answers = number, answers
        self.at = 0
        self.words = 0
        self.call: tuple[str, tuple[Any, ...]] | None = None
        self.told: list[Told] = []

    def token(self) -> str:
        """Return a word that no other program gives."""
        self.words += 1
        return f"{'abcdefgh'[self.number]}{self.words:04d}"

    def tell(self, *words: object) -> None:
        """Take down what the program was told."""
        self.told.append(tuple(map(str, words)))

    def irregular(self, path: str) -> list[str]:
        """Return nothing: no scene has irregular files, and looking for them is no step."""
        return []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args: self._asked(name, args)

    def _asked(self, name: str, args: tuple[Any, ...]) -> Any:
        if self.call is not None or self.at == len(self.answers):
            self.call = self.call or (name, args)
            raise Reached
        answer = self.answers[self.at]
        self.at += 1
        if isinstance(answer, int):
            raise refuse(answer, str(args[0]))
        return answer


class Point:
    """Where one program stands: after a list of answers, before a call or at its end."""

    __slots__ = ("after", "answer", "before", "call", "number", "told")

    def __init__(self, number: int, before: Point | None, answer: Any) -> None:
        self.number, self.before, self.answer = number, before, answer
        self.after: dict[Any, Point] = {}
        self.call: Call | None = None
        self.told: tuple[Told, ...] = ()

    def __repr__(self) -> str:
        refused = f" ! {errno.errorcode[self.answer]}" if isinstance(self.answer, int) else ""
        return f"program {self.number}: {self.before and self.before.call}{refused}"

    def answers(self) -> list[Any]:
        """Every answer so far."""
        found: list[Any] = []
        at: Point = self
        while at.before is not None:
            found.append(at.answer)
            at = at.before
        return found[::-1]


class Situation:
    """A directory, where each program stands, and how one came here."""

    __slots__ = ("came", "lost", "memory", "places", "points", "table")

    def __init__(
        self,
        table: Table,
        points: tuple[Point, ...],
        memory: Memory,
        places: dict[str, str],
        lost: int,
        came: tuple[Situation, Point] | None,
    ) -> None:
        self.table, self.points, self.memory = table, points, memory
        self.places, self.lost, self.came = places, lost, came

    def forget(self) -> None:
        """Let go of all but the way here."""
        self.table, self.points, self.memory, self.places = NO_TABLE, (), NO_MEMORY, NO_PLACES

    def story(self, most: int = 60) -> str:
        """Describe the last steps that led here."""
        steps: list[str] = []
        at: Situation = self
        while at.came is not None and len(steps) < most:
            lost, (at, reached) = at.lost, at.came
            steps.append(f"{reached}{', and the answer is lost' if lost > at.lost else ''}")
        return "\n  ".join(steps[::-1])


NO_TABLE: Table = {}
NO_PLACES: dict[str, str] = {}
NO_MEMORY = Memory()


class Report:
    """What an exploration covered."""

    def __init__(self) -> None:
        self.situations = self.steps = self.ends = self.points = self.merged = 0
        self.repaired = 0
        self.longest = 0
        self.seconds = 0.0
        self.told: set[frozenset[Told]] = set()

    def __str__(self) -> str:
        return (
            f"{self.situations} situations, {self.steps} steps ({self.merged} to a known one), longest {self.longest}; "
            f"{self.points} points of programs, {self.ends} ends, {self.repaired} directories repaired after a crash, "
            f"{self.seconds:.1f} s"
        )


class _Own(dict[str, bool]):
    """Whether only its writer reads a path; cached."""

    def __missing__(self, path: str) -> bool:
        found = self[path] = path.startswith(OWN)
        return found


_OWN = _Own()


class Explorer:
    """All interleavings of some programs on one directory.

    Args:
        start: The directory.
        programs: What runs on it.
        repair: Brings a directory to rest after all that runs has ended or crashed; run alone.
        crashes: How many of the programs may crash.
        lost: How many answers may be lost.
        moving: Prefixes of what someone changes although it mostly stands still.
        reopening: Tasks may be done more than once.
    """

    def __init__(
        self,
        start: FlatDisk,
        programs: Sequence[Body],
        repair: Callable[[FlatDisk], None],
        *,
        crashes: int = 1,
        lost: int = 0,
        moving: tuple[str, ...] = (),
        reopening: bool = False,
    ) -> None:
        self.start, self.programs, self.repair = start, programs, repair
        self.crashes, self.losses = crashes, lost
        self.still = tuple(prefix for prefix in STILL if prefix not in moving)
        self.report = Report()
        self.repaired: set[int] = set()
        self.rules = Rules(start.table, bearing="births/" in moving, reopening=reopening)

    # -- programs --------------------------------------------------------------------------------------------

    def _point(self, number: int, before: Point | None, answer: Any) -> Point:
        point = Point(number, before, answer)
        self.report.points += 1
        stage = Stage(number, point.answers())
        with suppress(Reached):
            self.programs[number](stage)
        if stage.call is not None:
            point.call = Call(*stage.call, self.still)
        point.told = tuple(stage.told)
        return point

    def _next(self, point: Point, answer: Any) -> Point:
        key = tuple(answer) if isinstance(answer, list) else answer
        if isinstance(answer, Stat):
            key = (answer.is_dir, answer.size)
        found = point.after.get(key)
        if found is None:
            found = point.after[key] = self._point(point.number, point, answer)
        return found

    def _settled(self, table: Table, point: Point) -> Point:
        """Let a program do what nobody else can notice."""
        disk = FlatDisk(table)
        while point.call is not None and not point.call.visible:
            point = self._next(point, point.call.on(disk))
        return point

    # -- situations ------------------------------------------------------------------------------------------

    def explore(self, most: int = 10_000_000) -> Report:
        """Go through all situations, the nearest first.

        Raises:
            ViolationError: A law is broken; the shortest way there is told.
            TimeoutError: There are more situations than may be looked at.
        """
        begun = process_time()
        table = dict(self.start.table)
        points = tuple(self._settled(table, self._point(number, None, None)) for number in range(len(self.programs)))
        first = Situation(table, points, Memory(), self.rules.places(table), 0, None)
        first.memory = self.rules.moved({}, first.places, first.memory)
        queue, known = deque([(first, 0)]), {self._key(first)}
        while queue:
            situation, depth = queue.popleft()
            self.report.situations += 1
            self.report.longest = max(self.report.longest, depth)
            self._ended(situation)
            for other in self._steps(situation):
                self.report.steps += 1
                key = self._key(other)
                if key in known:
                    self.report.merged += 1
                else:
                    known.add(key)
                    queue.append((other, depth + 1))
            situation.forget()
            if len(known) > most:
                raise TimeoutError(f"not done after {self.report}, {len(queue)} to go")
        self.report.seconds = process_time() - begun
        return self.report

    def _key(self, situation: Situation) -> int:
        own = _OWN
        seen = frozenset([item for item in situation.table.items() if not own[item[0]]])
        return hash((seen, tuple(map(id, situation.points)), situation.memory.key(), situation.lost))

    def _steps(self, situation: Situation) -> Iterable[Situation]:
        for number, point in enumerate(situation.points):
            if point.call is None:
                continue
            yield self._step(situation, number, lost=False)
            if situation.lost < self.losses and point.call.name in LOSABLE:
                other = self._step(situation, number, lost=True)
                if other.lost:
                    yield other

    def _step(self, situation: Situation, number: int, lost: bool) -> Situation:
        point = situation.points[number]
        call = point.call
        assert call is not None
        table = situation.table if call.name in LOOKS else dict(situation.table)
        answer = call.on(FlatDisk(table))
        losses, done = situation.lost, not isinstance(answer, int)
        if lost and not isinstance(answer, int):
            answer, losses = LOSABLE[call.name], losses + 1
        if table is situation.table:
            table = dict(table)
        reached = self._next(point, answer)
        after = self._settled(table, reached)
        points = (*situation.points[:number], after, *situation.points[number + 1 :])
        other = Situation(table, points, situation.memory, situation.places, losses, (situation, reached))
        try:
            self._judge(other, situation, point, call if done and call.name not in LOOKS else None)
        except ViolationError as violation:
            raise ViolationError(f"{violation}, after:\n  {other.story()}") from None
        return other

    def _judge(self, now: Situation, before: Situation, was: Point, change: Call | None) -> None:
        if change is not None:
            now.places = self.rules.places(now.table)
            now.memory = self.rules.moved(before.places, now.places, now.memory)
            if change.name == "rename":
                acting = {words[1] for words in was.told if words[0] == "is"}
                self.rules.fence(acting, change.args, before.memory)
        if now.points[was.number].told != was.told:
            told = [words for point in now.points for words in point.told]
            now.memory = self.rules.said(told, now.memory, now.table)

    # -- at rest ---------------------------------------------------------------------------------------------

    def _ended(self, situation: Situation) -> None:
        """Where no more programs stand still than may crash, somebody repairs, and all must come to rest."""
        going = sum(point.call is not None for point in situation.points)
        if going == 0:
            self.report.ends += 1
            self.report.told.add(frozenset(words for point in situation.points for words in point.told))
        if going > self.crashes:
            return
        key = hash(frozenset(item for item in situation.table.items() if not item[0].startswith(("tmp/", "events/"))))
        if key in self.repaired:
            return
        self.repaired.add(key)
        self.report.repaired += 1
        try:
            self.repair(FlatDisk(dict(situation.table)))
        except ViolationError as violation:
            raise ViolationError(f"{violation}, after repair; before it:\n  {situation.story()}") from None
