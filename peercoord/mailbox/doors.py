"""The agent's doors: FIFOs kept ready for callers, each with a number above all that were ever used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.mailbox import protocol
from peercoord.mailbox.fifo import Door, Wake

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.store.beneath import InstanceFiles

READY = 8  # FIFOs kept ready: as many callers can come at once
LEAST_READY = 3  # with fewer free doors, more are made


class Doors:
    """The doors of one worktree; none on a filesystem without FIFOs, where ``wake`` stays ``None``."""

    def __init__(self, files: InstanceFiles) -> None:
        self.files = files
        self.wake: Wake | None = None
        self._open: dict[str, Door] = {}
        self._last = 0

    def open(self) -> None:
        """Make the FIFO that wakes the agent, after removing the doors of an agent that died."""
        for name in self.files.scan(protocol.INBOX):
            if name.endswith((".door", ".new")):
                self.files.remove(f"{protocol.INBOX}/{name}")
        self._last = last_count(self.files)
        self.wake = Wake(self.files.beneath, protocol.WAKE)

    def close(self) -> None:
        """Remove the doors; a caller that waits at one reads the end of the file."""
        for door in self._open.values():
            door.close()
        self._open.clear()
        if self.wake is not None:
            self.wake.close()
            self.files.remove(protocol.WAKE)
            self.wake = None

    def refill(self, taken: Collection[str], least: int = READY) -> None:
        """Make doors, if fewer than ``least`` are free; callers that wait have taken theirs."""
        if self.wake is None or len(self._open) - len(taken) >= least:
            return
        while len(self._open) - len(taken) < READY:
            self._last += 1
            number = f"{self._last:08d}-{self.files.token()[:6]}"
            self._open[number] = Door(self.files.beneath, protocol.fifo(number))

    def attended(self, number: str) -> bool:
        """Check whether a caller has a door open."""
        door = self._open.get(number)
        return door is not None and door.attended()

    def is_open(self, number: str) -> bool:
        """Check whether there is a door of this number."""
        return number in self._open

    def attended_all(self) -> list[str]:
        """List the doors that callers have open."""
        return [number for number, door in self._open.items() if door.attended()]

    def send(self, number: str, data: bytes) -> bool:
        """Send an answer through a door and close it; ``False`` if its caller has gone."""
        door = self._open.pop(number, None)
        if door is None:
            return self.wake is None  # without FIFOs the caller reads the answer's file
        try:
            return door.send(data)
        finally:
            door.close()

    def drop(self, number: str) -> None:
        """Close a door; its caller, if there is one, tries another way."""
        door = self._open.pop(number, None)
        if door is not None:
            door.close()

    def mend(self) -> None:
        """Close doors whose FIFO is gone, and remove files that only look like doors."""
        there = {n for n in (protocol.parse_name(name, ".door") for name in self.files.scan(protocol.INBOX)) if n}
        for number in [n for n, door in self._open.items() if n not in there and not door.attended()]:
            self.drop(number)
        for number in there - self._open.keys():
            self.files.remove(protocol.fifo(number))  # a plain file, written by a caller that came too late


def last_count(files: InstanceFiles) -> int:
    """The highest number of a request, answer or door there is; 0 if there is none."""
    names = [*files.scan(protocol.OUTBOX), *files.scan(protocol.INBOX)]
    return max(map(_count, names), default=0)


def _count(name: str) -> int:
    digits = name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else 0
