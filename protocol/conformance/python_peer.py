#!/usr/bin/env python3
"""The commands of PEER-CLI.md over the ``peercoord`` package: how the suite drives this project's own peer."""

from __future__ import annotations

import os
import sys

from peercoord.core import names
from peercoord.core.errors import EvictedError, LostError, PeercoordError, UsageError
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles import root as roots
from peercoord.roles.janitor import Janitor
from peercoord.roles.peer import Peer

USAGE = {"join": 2, "beat": 2, "claim": 2, "sweep": 2, "leave": 2, "complete": 3, "release": 3, "evict": 3, "report": 4}


class RefusedError(Exception):
    """An answer with an exit code other than 0."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def join(project: str, name: str) -> str:
    """Join; the process that called stands for the peer, since this one ends with the call."""
    try:
        peer = Peer.join(project, name, record={"session": process.identify(os.getppid())})
    except UsageError as error:
        raise RefusedError(2, "taken" if error.code == "name-taken" else error.message) from None
    return str(peer.membership.me)


def answer(peer: Peer, command: str, words: list[str]) -> str:
    """Run one command of a peer that joined."""
    if command == "beat":
        return f"beat {peer.membership.beat()}"
    if command == "claim":
        task = peer.request()
        if task is None:
            raise RefusedError(4, "nothing")
        return f"{'held' if task.again else 'claimed'} {task.id} {task.epoch}"
    if command == "report":
        peer.report(words[0], float(words[1]))
        return f"reported {words[0]}"
    if command == "complete":
        peer.complete(words[0])
        return f"done {words[0]}"
    if command == "release":
        peer.release(words[0])
        return f"released {words[0]}"
    if command == "leave":
        peer.leave()
        return "left"
    return repair(peer, words)


def repair(peer: Peer, words: list[str]) -> str:
    """Evict a peer, or (without one) finish what crashes left."""
    janitor = Janitor(peer.queue, peer.name)
    if not words:
        janitor.tidy()
        return "swept"
    who = names.parse_incarnation(words[0])
    if who is None:
        raise RefusedError(2, f"{words[0]!a} is no incarnation")
    if not janitor.evict(who, peer.membership.me, "the caller says that it is dead"):
        raise RefusedError(4, f"gone {who}")
    return f"evicted {who}"


def run(command: str, root: str, who: str, words: list[str]) -> str:
    """Run one command.

    Raises:
        RefusedError: It was refused, or lost a race.
    """
    project, _, name = root.rpartition("/")
    if name != names.ROOT:
        raise RefusedError(3, f"the coordination directory must be called {names.ROOT}")
    if command == "join":
        return join(project, who)
    me = names.parse_incarnation(who)
    if me is None:
        raise RefusedError(2, f"{who!a} is no incarnation")
    try:
        return answer(Peer.resume(roots.open_root(root), me), command, words)
    except LostError as error:
        gone = isinstance(error, EvictedError) or not members.Membership(roots.open_root(root), me).present()
        raise RefusedError(4, "evicted" if gone else f"lost {words[0]}") from None


def main(argv: list[str]) -> int:
    """Run the command line."""
    if not argv or USAGE.get(argv[0]) != len(argv) - 1:
        sys.stdout.write("usage: see PEER-CLI.md\n")
        return 2
    try:
        line, code = run(argv[0], os.path.abspath(argv[1]), argv[2], argv[3:]), 0
    except RefusedError as refused:
        line, code = str(refused), refused.code
    except PeercoordError as error:
        line, code = error.message, error.exit_code
    sys.stdout.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
