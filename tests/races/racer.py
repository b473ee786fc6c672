"""One racing peer, a process of its own: joins, waits for the start, claims and completes until nothing is ready.

Told on its command line the project and its name; says what it does on standard output, a line each.
"""

from __future__ import annotations

import sys

from peercoord import Peer


def main() -> None:
    project, name = sys.argv[1:3]
    peer = Peer.join(project, name)
    print("joined", peer.membership.me, flush=True)
    sys.stdin.readline()
    while task := peer.request():
        print("claimed", task.id, task.epoch, flush=True)
        peer.complete(task)
        print("done", task.id, task.epoch, flush=True)
    print("end", flush=True)


main()
