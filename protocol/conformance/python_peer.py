#!/usr/bin/env python3
"""The commands of PEER-CLI.md over the ``peercoord`` package: how the suite drives this project's own peer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from peercoord.errors import EvictedError, LostError, PeercoordError, UsageError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.queue.peer import Peer
from peercoord.queue.reassign import reassign
from peercoord.queue.recovery import Janitor
from peercoord.store import ids, paths, records
from peercoord.store import root as roots
from peercoord.system import process

Words = list[str]
LOOKS_A_SECOND = 5


class RefusedError(Exception):
    """An answer with an exit code other than 0."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


# -- membership --------------------------------------------------------------------------------------------------


def join(project: str, name: str) -> str:
    """Join; the process that called stands for the peer, since this one ends with the call."""
    try:
        peer = Peer.join(project, name, record={"session": process.identify(os.getppid())})
    except UsageError as error:
        raise RefusedError(2, "taken" if error.code == "name-taken" else error.message) from None
    return str(peer.membership.me)


def beat(peer: Peer, _: Words) -> str:
    """Take the next heartbeat."""
    return f"beat {peer.membership.beat()}"


def leave(peer: Peer, _: Words) -> str:
    """Leave the team."""
    peer.leave()
    return "left"


def evict(peer: Peer, words: Words) -> str:
    """Evict a peer that the caller knows to be dead."""
    who = incarnation(words[0])
    if who == peer.membership.me:
        raise RefusedError(2, "a peer leaves by 'leave'")
    if not Janitor(peer.queue, peer.name).evict(who, peer.membership.me, "the caller says that it is dead"):
        raise RefusedError(4, f"gone {who}")
    return f"evicted {who}"


def sweep(peer: Peer, _: Words) -> str:
    """Finish what crashes left."""
    Janitor(peer.queue, peer.name).tidy()
    return "swept"


def lead(peer: Peer, words: Words) -> str:
    """Take the leadership: if nobody has it, or from a peer that the caller says does not lead."""
    leadership = Leadership(peer.membership)
    term = leadership.term()
    if term is None:
        term = leadership.take_from(incarnation(words[0]), "the caller says so") if words else leadership.take()
    if term is None:
        raise RefusedError(4, "follows")
    return f"leads {term}"


def look(peer: Peer, words: Words) -> str:
    """Watch a peer for a time, and evict it once it is dead."""
    from peercoord.agent.monitor import Observer  # the other commands start sooner without it

    who, me = incarnation(words[0]), peer.membership.me
    if not words[1].isdigit():
        raise RefusedError(2, "how many seconds is a whole number")
    if who not in members.living(peer.root):
        raise RefusedError(4, f"gone {who}")
    janitor, leadership = Janitor(peer.queue, peer.name), Leadership(peer.membership)
    observer = Observer(peer.membership, janitor, leadership, log=lambda _: None, revive=lambda _: None)
    end = time.monotonic() + int(words[1])
    while time.monotonic() < end:
        observer.check_peers(everyone=True)
        if who not in members.living(peer.root):
            if (who, me) in members.departed(peer.root):
                return "dead"
            raise RefusedError(4, f"gone {who}")
        time.sleep(1 / LOOKS_A_SECOND)
    return observer.verdict(who).state


# -- work --------------------------------------------------------------------------------------------------------


def claim(peer: Peer, _: Words) -> str:
    """Claim the next task."""
    task = peer.request()
    if task is None:
        raise RefusedError(4, "nothing")
    return f"{'held' if task.again else 'claimed'} {task.id} {task.epoch}"


def report(peer: Peer, words: Words) -> str:
    """Report progress."""
    peer.report(words[0], records.fraction(words[1]))
    return f"reported {words[0]}"


def complete(peer: Peer, words: Words) -> str:
    """Complete a task."""
    peer.complete(words[0])
    return f"done {words[0]}"


def release(peer: Peer, words: Words) -> str:
    """Give a task back."""
    peer.release(words[0])
    return f"released {words[0]}"


def fail(peer: Peer, words: Words) -> str:
    """Give a task up as failed."""
    peer.fail(words[0], "it cannot be done")
    return f"failed {words[0]}"


def park(peer: Peer, words: Words) -> str:
    """Set a held task aside."""
    if words[1] not in ("blocked", "review"):
        raise RefusedError(2, "a holder parks as blocked or review")
    peer.worker.park(words[0], words[1], "a person is needed")
    return f"parked {words[0]}"


# -- tasks -------------------------------------------------------------------------------------------------------


def add(peer: Peer, words: Words) -> str:
    """Add a task."""
    task, priority, needs = words
    if not ids.is_id(task):
        raise RefusedError(2, "that is no id")
    definition = records.define(task, f"Task {task}", priority=priority, dependencies=listed(needs))
    peer.queue.add(definition)
    return f"added {task}"


def place(peer: Peer, words: Words) -> str:
    """Move a ticket that nobody holds to where it belongs."""
    sighting = peer.queue.find(words[0])
    if sighting.state not in ("ready", "waiting", "parked"):
        raise RefusedError(4, f"it is {sighting.state}")
    peer.queue.place(sighting.path, paths.Ticket(sighting.task, sighting.epoch))
    return f"placed {words[0]}"


def edit(peer: Peer, words: Words) -> str:
    """Change a task's title, priority or dependencies."""
    task, key, value = words
    if key not in ("title", "priority", "dependencies"):
        raise RefusedError(2, "that key cannot be changed")
    changed: Any = [ids.public(need) for need in listed(value)] if key == "dependencies" else value
    peer.queue.edit(task, **{key: changed})
    return f"edited {task}"


def cancel(peer: Peer, words: Words) -> str:
    """Cancel a task."""
    peer.queue.cancel(words[0])
    return f"cancelled {words[0]}"


def reopen(peer: Peer, words: Words) -> str:
    """Put a done or parked task back into the queue."""
    peer.queue.reopen(words[0])
    return f"reopened {words[0]}"


def give(peer: Peer, words: Words) -> str:
    """Reassign a task to another peer."""
    task, who = words[0], incarnation(words[1])
    if who not in members.living(peer.root):
        raise RefusedError(4, f"gone {who}")
    try:
        _, epoch = reassign(peer.queue, task, who.peer)
    except LostError as error:
        raise RefusedError(4, error.message) from None
    return f"reassigned {task} {epoch}"


# -- the command line --------------------------------------------------------------------------------------------

COMMANDS: dict[str, tuple[Callable[[Peer, Words], str], int]] = {
    "beat": (beat, 0),
    "claim": (claim, 0),
    "sweep": (sweep, 0),
    "leave": (leave, 0),
    "lead": (lead, 0),
    "complete": (complete, 1),
    "release": (release, 1),
    "fail": (fail, 1),
    "place": (place, 1),
    "cancel": (cancel, 1),
    "reopen": (reopen, 1),
    "evict": (evict, 1),
    "report": (report, 2),
    "park": (park, 2),
    "reassign": (give, 2),
    "look": (look, 2),
    "add": (add, 3),
    "edit": (edit, 3),
}
"""Each command of a peer that joined, and how many words it takes; ``lead`` takes one more, if any."""


def listed(words: str) -> Words:
    """Split a list of ids."""
    return words.split(",") if words else []


def incarnation(word: str) -> paths.Incarnation:
    """Read the name of an incarnation.

    Raises:
        RefusedError: It is none.
    """
    who = paths.parse_incarnation(word)
    if who is None:
        raise RefusedError(2, f"{word!a} is no incarnation")
    return who


def run(command: str, root: str, who: str, words: Words) -> str:
    """Run one command.

    Raises:
        RefusedError: It was refused, or lost a race.
    """
    project, _, name = root.rpartition("/")
    if name != paths.ROOT:
        raise RefusedError(3, f"the coordination directory must be called {paths.ROOT}")
    if command == "join":
        return join(project, who)
    me = incarnation(who)
    try:
        return COMMANDS[command][0](Peer.resume(roots.open_root(root), me), words)
    except LostError as error:
        gone = isinstance(error, EvictedError) or not members.Membership(roots.open_root(root), me).present()
        raise RefusedError(4, "evicted" if gone else f"lost {words[0]}") from None


def fits(argv: Words) -> bool:
    """Check whether there is a command of this name with this many words."""
    if not argv or argv[0] not in {"join", *COMMANDS}:
        return False
    words, wanted = len(argv) - 3, 0 if argv[0] == "join" else COMMANDS[argv[0]][1]
    return words == wanted or (argv[0] == "lead" and words == 1)


def main(argv: Words) -> int:
    """Run the command line."""
    if not fits(argv):
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
