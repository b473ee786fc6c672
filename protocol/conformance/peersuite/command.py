"""Driving an implementation: a world with one coordination directory, and peers that are command lines."""

from __future__ import annotations

import errno
import resource
import shutil
import subprocess
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from peersuite.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SECONDS = 60  # that one command may take
PAGE = 4096


class ConformanceError(Exception):
    """An implementation breaks the specification."""


class NotTriedError(Exception):
    """A check needs something that this system does not have."""


def expect(holds: object, otherwise: str) -> None:
    """Demand that something holds.

    Raises:
        ConformanceError: It does not.
    """
    if not holds:
        raise ConformanceError(otherwise)


def until_full(write: Callable[[], object]) -> None:
    """Repeat a write until the disk is full."""
    try:
        while True:
            write()
    except OSError as error:
        expect(error.errno == errno.ENOSPC, f"the small filesystem cannot be filled: {error}")


class Answer:
    """What a command said: the first line of its stdout, and its exit code."""

    def __init__(self, words: Sequence[str], code: int, line: str, noise: str) -> None:
        self.words, self.code, self.line, self.noise = words, code, line, noise

    def __str__(self) -> str:
        return (
            f"'{' '.join(self.words)}' answered '{self.line}', exit code {self.code}{self.noise and '; '}{self.noise}"
        )

    def must(self, line: str, code: int = 0) -> None:
        """Demand an answer.

        Raises:
            ConformanceError: It was another one.
        """
        expect((self.line, self.code) == (line, code), f"{self}; expected '{line}', exit code {code}")

    def refused(self, code: int) -> None:
        """Demand an exit code, whatever was said."""
        expect(self.code == code, f"{self}; expected exit code {code}")


class Member:
    """A peer that joined.

    Attributes:
        me: Its incarnation.
    """

    def __init__(self, world: World, command: Sequence[str], me: str) -> None:
        self.world, self.command, self.me = world, command, me
        self.home = f"peers/{me}"

    def run(self, word: str, *more: str) -> Answer:
        """Run one of its commands."""
        return self.world.run(self.command, word, self.me, *more)

    def claims(self) -> list[str]:
        """What lies in its hands."""
        return self.world.store.names(f"{self.home}/claims")

    def claimed(self, task: str, epoch: int) -> None:
        """Demand that its next claim is this one."""
        self.run("claim").must(f"claimed {task} {epoch}")
        expect(self.claims() == [f"{task}~{epoch}"], f"after 'claimed {task} {epoch}' it holds {self.claims()}")


class World:
    """A coordination directory, and the commands that work on it.

    Args:
        project: An empty directory.
        commands: The implementations; the first one is judged, where only one is needed.
        small: The project lies on a small filesystem of its own, which may be filled to the last byte.
        settings: Shared settings that differ from the usual.
    """

    def __init__(
        self, project: Path, commands: Sequence[Sequence[str]], *, small: bool = False, **settings: object
    ) -> None:
        self.commands, self.small = commands, small
        self.store = Store.build(project, **settings)
        self._before_it_runs: Callable[[], None] | None = None

    def run(self, command: Sequence[str], word: str, *more: str) -> Answer:
        """Run one command to its end."""
        return self.end(self.start(command, word, *more))

    def start(self, command: Sequence[str], word: str, *more: str, apart: bool = False) -> subprocess.Popen[str]:
        """Start one command, to run beside others; ``apart``: it and what it starts can be stopped as one."""
        return subprocess.Popen(
            [*command, word, str(self.store.root), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0 if apart else None,
            restore_signals=self._before_it_runs is None,  # else SIGXFSZ stays ignored, and a write says EFBIG
            preexec_fn=self._before_it_runs,  # the suite has one thread
        )

    def end(self, started: subprocess.Popen[str]) -> Answer:
        """Wait for a command that was started.

        Raises:
            ConformanceError: It does not end.
        """
        words = [str(word) for word in started.args]  # type: ignore[union-attr]
        try:
            out, noise = started.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()
            raise ConformanceError(f"'{' '.join(words[-4:])}' did not end within {SECONDS} s") from None
        return self.answer(words, started.returncode, out, noise)

    @contextmanager
    def full(self, room: int = 0) -> Iterator[None]:
        """Refuse every command a file of more than so many bytes: its disk is full.

        On a small filesystem that is the truth (to the page). Elsewhere the system is asked to refuse, which it does
        with ``EFBIG`` in place of ``ENOSPC``: names can still be made, moved and removed, records cannot be written.
        """
        if self.small:
            filler = self.store.root.parent / "filler"
            with filler.open("wb", buffering=0) as file:
                until_full(lambda: file.write(bytes(PAGE)))
            try:
                yield
            finally:
                filler.unlink()
            return
        self._before_it_runs = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            yield
        finally:
            self._before_it_runs = None

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """Refuse new files and directories: the small filesystem has none left. Names can be moved and removed."""
        fillers = self.store.root.parent / "fillers"
        fillers.mkdir()
        numbers = count()
        until_full(lambda: (fillers / str(next(numbers))).touch())
        try:
            yield
        finally:
            shutil.rmtree(fillers)

    @staticmethod
    def answer(words: Sequence[str], code: int, out: str, noise: str) -> Answer:
        """Read an answer from what a process wrote."""
        return Answer(words[-4:], code, out.partition("\n")[0].rstrip(), noise.strip()[-400:])

    def join(self, name: str, by: int = 0) -> Member:
        """Join as a peer of the implementation number ``by``."""
        command = self.commands[by % len(self.commands)]
        answer = self.run(command, "join", name)
        expect(answer.code == 0 and answer.line.startswith(f"{name}~"), f"{answer}; expected an incarnation of {name}")
        return Member(self, command, answer.line)

    def holding(self, task: str) -> Member:
        """Add a task, and let a peer `a` join and claim it."""
        self.store.add(task)
        peer = self.join("a")
        peer.claimed(task, 1)
        return peer

    def lies(self, task: str, place: str) -> None:
        """Demand that a task's one ticket lies there."""
        expect(self.store.at(task) == place, f"the ticket of task {task} lies at {self.store.at(task)}, not at {place}")

    def recorded(self, task: str, *outcomes: str) -> None:
        """Demand that a task has just these results."""
        found = self.store.outcomes(task)
        expect(found == sorted(outcomes), f"task {task} has the results {found}, not {sorted(outcomes)}")

    def sound(self) -> None:
        """Demand that nothing is wrong with the directory."""
        wrong = self.store.faults()
        expect(not wrong, "; ".join(wrong))
