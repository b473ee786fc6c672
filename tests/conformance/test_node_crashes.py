"""The peer in Node.js dies before each call that others can see: the call and the end are those of the vectors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from peersuite.command import World

ROOT = Path(__file__).parent.parent.parent
NODE = ["node", str(Path(__file__).parent / "node" / "peer.mjs")]
DIED = 99

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
    pytest.mark.skipif(not shutil.which("flock"), reason="flock(1) is not installed"),
]


class Team:
    """Two peers, `a` who acts and `b`, and the tasks 5 (`<id>`), 8 (`<next>`) and 9 (`<other>`)."""

    def __init__(self, project: Path) -> None:
        self.root = World(project, [NODE]).store.root
        self.me = self.run("join", "a")
        self.by = self.run("join", "b")

    def call(self, verb: str, *words: str, dies: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one command; it may die before a call."""
        environment = {**os.environ, "PEER_DIES_BEFORE": str(dies)}
        line = [*NODE, verb, str(self.root), *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)

    def run(self, verb: str, *words: str) -> str:
        done = self.call(verb, *words)
        assert done.returncode == 0, done
        return done.stdout.splitlines()[0]

    def tasks(self, **needs: str) -> None:
        """Add tasks: `t5="8"` is task 5 that waits for 8. Those added first are claimed first."""
        for name, wanted in needs.items():
            self.run("add", self.me, name[1:], "medium", wanted)

    def held(self, **needs: str) -> None:
        self.tasks(**needs)
        assert self.run("claim", self.me) == "claimed 5 1"

    def define(self, text: str | None = None, **keys: object) -> None:
        """Change the definition of task 5 by hand."""
        (path,) = self.root.glob("tasks/*/5.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}) if text is None else text)

    def plain(self, call: str) -> str:
        """A call in the words of the vectors."""
        call = call.strip().replace(self.me, "<me>").replace(self.by, "<by>")
        call = re.sub(
            r"progress-reports/(a|b)\.", lambda m: f"progress-reports/{'<me>' if m[1] == 'a' else '<by>'}.", call
        )
        call = re.sub(r"(tmp/|json~)[0-9a-f]{20}", r"\1<token>", call)
        call = re.sub(r"new/5~[0-9a-f]{20}", "new/5~<nonce>", call)
        call = re.sub(r"ready/[0-4]/[0-9]{6}", "ready/<level>/<block>", call)
        call = re.sub(r"(births|tasks|results|done)([/+])[0-9a-f]{2}([/+])", r"\1\2<shard>\3", call)
        call = re.sub(r"leader~([01])", lambda m: f"leader~{'<t>' if m[1] == '0' else '<t+1>'}", call)
        names = {"5": "<id>", "8": "<next>", "9": "<other>"}
        call = re.sub(r"(?<=[/+])([589])(?=[~./ ]|$)", lambda m: names[m[1]], call)
        epochs = {"0": "<e>", "1": "<e+1>", "2": "<e+2>"}
        return re.sub(r"(?<=[dtr]>~)([012])(?=[~.]|$| )", lambda m: epochs[m[1]], call)

    def end(self) -> str:
        """Where task 5 stands, in the words of the vectors."""
        if not list(self.root.glob("births/*/5.json")):
            return "no task"
        (ticket,) = [
            *self.root.glob("queue/done/*/5"),
            *self.root.glob("queue/new/5~*"),
            *self.root.glob("queue/*/**/5~*"),
            *self.root.glob("peers/*/claims/5~*"),
        ]
        words = ticket.relative_to(self.root).parts
        epoch = ticket.name.split("~")[1] if "~" in ticket.name else ""
        at = {"peers": "claimed"}.get(words[0], words[1])
        place = f"{at}/{words[2]}" if at in {"waiting", "parked"} else at
        results = sorted(path.name.split("~")[1].split(".")[:2] for path in self.root.glob("results/*/5~*"))
        return f"{place} {epoch}".strip() + ("; " + ", ".join(" ".join(one) for one in results) if results else "")


def settings(team: Team) -> None:
    path = team.root / "protocol.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "settings": {**found.get("settings", {}), "max_attempts": 1}}))


def completed(team: Team) -> None:
    team.held(t5="", t8="5")
    assert team.call("complete", team.me, "5", dies=3).returncode == DIED


def done(team: Team) -> None:
    team.held(t5="")
    team.run("complete", team.me, "5")


def cancelled(team: Team) -> None:
    team.tasks(t5="", t8="5")
    team.run("cancel", team.me, "5")


def leading(team: Team) -> None:
    team.run("lead", team.me)
    team.held(t5="")


BEFORE: dict[str, tuple[Callable[[Team], object], str]] = {
    "add": (lambda team: None, "add ME 5 medium -"),
    "add what waits": (lambda team: team.tasks(t8=""), "add ME 5 medium 8"),
    "claim": (lambda team: team.tasks(t5=""), "claim ME"),
    "claim what was set aside": (
        lambda team: (team.tasks(t5=""), team.define(parked={"why": "deferred"})),
        "claim ME",
    ),
    "report": (lambda team: team.held(t5=""), "report ME 5 0.5"),
    "complete": (lambda team: team.held(t5="", t8="5"), "complete ME 5"),
    "complete one of two": (lambda team: team.held(t5="", t9="", t8="5,9"), "complete ME 5"),
    "release": (lambda team: team.held(t5=""), "release ME 5"),
    "fail": (lambda team: team.held(t5=""), "fail ME 5"),
    "fail for the last time": (lambda team: (settings(team), team.held(t5="")), "fail ME 5"),
    "park": (lambda team: team.held(t5=""), "park ME 5 review"),
    "reassign": (lambda team: team.held(t5=""), "reassign ME 5 BY"),
    "edit": (lambda team: team.tasks(t5=""), "edit ME 5 priority high"),
    "edit what it waits for": (lambda team: team.tasks(t8="", t5="8"), "edit ME 5 dependencies -"),
    "cancel": (lambda team: team.tasks(t5="", t8="5"), "cancel ME 5"),
    "reopen": (done, "reopen ME 5"),
    "reopen what was cancelled": (cancelled, "reopen ME 5"),
    "place what cannot be read": (lambda team: (team.tasks(t5=""), team.define("{,")), "place ME 5"),
    "leave": (lambda team: team.held(t5=""), "leave ME"),
    "evict": (leading, "evict BY ME"),
    "evict one that completed": (completed, "evict BY ME"),
}
"""By sequence: what was before, and the command. Sequences of membership and of a leader's duties are left out."""
VECTORS = json.loads((ROOT / "protocol" / "vectors" / "v1" / "crashes.json").read_text())["vectors"]
CRASHES = [vector for vector in VECTORS if vector["given"]["sequence"] in BEFORE]


@pytest.mark.parametrize("vector", CRASHES, ids=[vector["description"] for vector in CRASHES])
def test_a_crash_before_a_step(vector: dict[str, dict[str, str]], tmp_path: Path) -> None:
    sequence, step = vector["given"]["sequence"], int(vector["given"]["step"])
    note = str(vector["note"])
    team = Team(tmp_path)
    prepare, command = BEFORE[sequence]
    prepare(team)
    verb, *words = command.split()
    words = [{"ME": team.me, "BY": team.by, "-": ""}.get(word, word) for word in words]
    crashed = team.call(verb, *words, dies=step)
    assert (crashed.returncode, team.plain(crashed.stdout)) == (DIED, vector["then"]["call"])
    if note.startswith(("the others evict", "the sweep carries")):
        team.run("evict", team.by, team.me)
    elif "tidying" in note:
        team.run("sweep", team.by)
    assert team.end() == vector["then"]["end"]


@pytest.mark.parametrize("sequence", BEFORE)
def test_there_is_no_step_more(sequence: str, tmp_path: Path) -> None:
    team = Team(tmp_path)
    prepare, command = BEFORE[sequence]
    prepare(team)
    verb, *words = command.split()
    words = [{"ME": team.me, "BY": team.by, "-": ""}.get(word, word) for word in words]
    steps = sum(vector["given"]["sequence"] == sequence for vector in CRASHES)
    assert team.call(verb, *words, dies=steps + 1).returncode != DIED
