"""Ten peers contribute while leaders are killed and stopped: no text is lost or merged twice.

``PEERCOORD_SOAK_SECONDS`` sets the duration, 20 by default.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from peercoord.errors import LostError, NotFoundError
from peercoord.memory.bank import Bank, Decider
from peercoord.store import paths
from peercoord.store import root as roots

SECONDS = float(os.environ.get("PEERCOORD_SOAK_SECONDS", "20"))
PEERS, LEADERS = 10, 2
SECTIONS = ("Limits", "Tools", "Language")
PACE = threading.Event()  # never set
BANK = (
    "# Tech context\n\n## Limits\n\nOne.\n\n## Tools\n\nTwo.\n\n## Language\n\nThree.\n\n## Contested\n\nFour.\nFive.\n"
)

CONTRIBUTES = """
import random, sys, threading
from peercoord.memory import contribution
from peercoord.memory import reader
from peercoord.memory.store import MemoryStore
from peercoord.store.root import open_root
from peercoord.system import clock

place, bank, peer, log = sys.argv[1:]
store, chance, pace = MemoryStore(open_root(place)), random.Random(peer), threading.Event()  # never set
written = open(log, "a", buffering=1)
number = 0
while True:
    number += 1
    author = contribution.Author(peer, "", store.root.clock.now())
    update = number % 25 == 0
    document = chance.choice(["techContext.md", "techContext.md", "activeContext.md"])
    section = "Contested" if update else chance.choice(["Limits", "Tools", "Language"])
    text = f"Four, says {peer} {number}.\\nFive." if update else f"- {peer} says {number}"
    try:
        seen = open(f"{bank}/{document}", "rb").read()
    except OSError:
        seen = None
    kind = "update" if update else "addition"
    found = reader.from_call(author, document, text, clock.token(), briefed=seen, section=section, kind=kind)
    store.texts.keep(found.texts)
    for one in found.contributions:
        written.write(f"{one.id} {one.kind} {one.document} {one.content.splitlines()[0]}\\n")
        store.publish(one)
    pace.wait(chance.expovariate(3))  # leaders keep up, so that they are killed while they merge, not while they read
"""

LEADS = """
import sys
from peercoord.errors import PeercoordError
from peercoord.memory import bank
from peercoord.memory import change
from peercoord.store.root import open_root

change.LOCK_SECONDS = 0.3
place, home, name = sys.argv[1:]
made = bank.Bank(open_root(place), home)
while True:
    try:
        made.merge(name, lambda: True)
    except PeercoordError as error:
        print(error.code, error.message, file=sys.stderr, flush=True)
"""


class Team:
    """The processes, and a person who decides now and then."""

    def __init__(self, base: Path) -> None:
        self.place, self.home, self.base = base / paths.ROOT, base / paths.BANK, base
        self.home.mkdir()
        (self.home / "techContext.md").write_text(BANK)
        self.root = roots.create(str(self.place), "soak")
        self.random = random.Random(7)
        self.errors = (base / "leaders.log").open("ab")
        self.peers = [self.start(CONTRIBUTES, f"p{number}", str(base / f"p{number}.log")) for number in range(PEERS)]
        self.leaders = [self.start(LEADS, f"l{number}") for number in range(LEADERS)]
        self.killed = 0

    def start(self, script: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", script, str(self.place), str(self.home), *words]
        return subprocess.Popen(command, stderr=self.errors)

    def bank(self) -> Bank:
        return Bank(self.root, str(self.home))

    def disturb(self) -> None:
        """Kill a leader, stop one for a while, or decide on a candidate."""
        at = self.random.randrange(LEADERS)
        act = self.random.random()
        if act < 0.6:
            self.leaders[at].kill()
            self.leaders[at].wait()
            self.killed += 1
            self.leaders[at] = self.start(LEADS, f"l{self.killed + LEADERS}")
        elif act < 0.8:
            os.kill(self.leaders[at].pid, signal.SIGSTOP)
            PACE.wait(self.random.uniform(0.2, 1.2))
            os.kill(self.leaders[at].pid, signal.SIGCONT)
        else:
            self.decide()

    def decide(self) -> None:
        for waits in self.bank().waiting()[:1]:
            with suppress(LostError, NotFoundError):  # decided or replaced meanwhile
                if self.random.random() < 0.7:
                    self.bank().approve(waits.candidate.id, waits.candidate.takes["right"], Decider("ann"))
                else:
                    self.bank().reject(waits.candidate.id, "not so", Decider("ann"))

    def end(self) -> None:
        for process in (*self.peers, *self.leaders):
            process.kill()
            process.wait()
        self.errors.close()

    def contributed(self) -> dict[str, tuple[str, str, str]]:
        """What was written down before it was queued, by id: kind, document, text."""
        logs = [(self.base / f"p{number}.log").read_text() for number in range(PEERS)]
        lines = [line.split(" ", 3) for log in logs for line in log.splitlines()]
        return {ident: (kind, document, text) for ident, kind, document, text in lines}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_contribution_is_in_one_place_and_its_text_stands_once(tmp_path: Path) -> None:
    team = Team(tmp_path)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            PACE.wait(team.random.uniform(0.05, 0.6))
            team.disturb()
            assert all(one.poll() is None for one in team.peers)
    finally:
        team.end()
    for _ in range(3):
        team.bank().merge("last", lambda: True)
    assert team.killed
    check(team)


def check(team: Team) -> None:
    bank, known = team.bank(), team.contributed()
    found = [(ident, state) for state in ("queued", "merged", "rejected") for ident in bank.store.idents(state)]
    states = dict(found)
    assert len(found) == len(states), "each is in one place"
    lost = known.keys() - states.keys()
    assert len(lost) <= PEERS, f"{len(lost)} were lost"  # each peer was killed between its note and its publishing
    assert states.keys() <= known.keys()
    waiting = [waits.candidate for waits in bank.waiting()]
    members = [ident for candidate in waiting for ident in candidate.members]
    assert len(members) == len({*members})
    assert all(states[ident] == "queued" for ident in members)
    held = {candidate.document: candidate.section for candidate in waiting}
    for ident in {ident for ident, state in found if state == "queued"} - {*members}:
        one = bank.contribution(ident)
        assert one
        assert held[one.document][-1:] == one.section[-1:] == ("Contested",), one
    lines = {name: Counter((bank.read(name) or b"").decode().splitlines()) for name in bank.documents()}
    wrong = [
        (ident, states[ident], lines[document][text])
        for ident, (kind, document, text) in known.items()
        if kind == "addition" and ident in states and lines[document][text] != (states[ident] == "merged")
    ]
    assert [each for each in wrong if each[2] > 1] == []
    # Without an exchange of two files a leader that is killed while it writes may lose a line.
    assert len(wrong) <= (0 if sys.platform == "linux" else team.killed / 10), wrong
    print(json.dumps({"contributions": len(known), "killed": team.killed, **Counter(states.values())}))
