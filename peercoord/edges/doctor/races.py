"""Trying out on the actual mount what the protocol rests on: of several processes that race, exactly one wins.

Each racer is a process of its own; all begin at the same moment and run over the same names in the same order, so
that they meet at each. A count of rounds is no proof, but a filesystem that lets two win is most often found in few.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RACERS = 4
ROUNDS = 50


def _rename(home: str, name: str, racer: int) -> None:
    os.rename(f"{home}/{name}", f"{home}/{name}.{racer}")


def _link(home: str, name: str, racer: int) -> None:
    own = f"{home}/own.{racer}"
    if not os.path.exists(own):
        os.close(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.link(own, f"{home}/{name}.linked")


def _create(home: str, name: str, racer: int) -> None:  # noqa: ARG001 - one shape for all races
    os.close(os.open(f"{home}/{name}.made", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _mkdir(home: str, name: str, racer: int) -> None:  # noqa: ARG001 - one shape for all races
    os.mkdir(f"{home}/{name}.dir")


RACES: dict[str, Callable[[str, str, int], None]] = {
    "rename": _rename,
    "link if free": _link,
    "create if free": _create,
    "mkdir": _mkdir,
}
LOST = (errno.ENOENT, errno.EEXIST)


def winners(home: str, race: str, racers: int = RACERS, rounds: int = ROUNDS) -> list[int]:
    """Race processes for names in a directory.

    Args:
        home: An empty directory on the mount; litter stays in it.
        race: A key of ``RACES``.
        racers: How many processes.
        rounds: How many names they race for.

    Returns:
        For each name, how many were told that they won.

    Raises:
        OSError: A racer met an error that is no answer to a race.
    """
    names = [f"n{number:03d}" for number in range(rounds)]
    for name in names if race == "rename" else ():
        os.close(os.open(f"{home}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    gate_read, gate_write = os.pipe()
    pipes = []
    for racer in range(racers):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_write)
            _run(home, RACES[race], names, racer, gate_read, write)
        os.close(write)
        pipes.append((child, read))
    os.close(gate_read)
    os.close(gate_write)  # the gate opens: every racer reads its end
    told = [_collect(child, read) for child, read in pipes]
    broken = [text for text in told if text.startswith(b"!")]
    if broken:
        raise OSError(int(broken[0][1:]), os.strerror(int(broken[0][1:])))
    return [sum(text[at : at + 1] == b"1" for text in told) for at in range(rounds)]


def _run(home: str, step: Callable[[str, str, int], None], names: list[str], racer: int, gate: int, out: int) -> None:
    """Be a racer; never returns."""
    os.read(gate, 1)
    told = b""
    for name in names:
        try:
            step(home, name, racer)
        except OSError as error:
            if error.errno not in LOST:
                told = b"!%d" % (error.errno or 0)
                break
            told += b"0"
        else:
            told += b"1"
    os.write(out, told)
    os._exit(0)


def _collect(child: int, read: int) -> bytes:
    told = b""
    while part := os.read(read, 4096):
        told += part
    os.close(read)
    os.waitpid(child, 0)
    return told
