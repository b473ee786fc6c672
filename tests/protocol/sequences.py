"""The crash table of the specification: the steps of every scene, and what a crash before each one comes to.

``vectors/v1/crashes.json`` is held equal to what is found here. To bring its calls and ends up to date, keeping its
notes: ``python tests/protocol/sequences.py``.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # called as a script
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support import tree
from support.faults import CHANGES, Call, Crash, Wrapper
from support.memory import MemoryDisk
from support.scenes import AFTER, ME, OTHER, PERSON, RIVAL, SCENES, SURVIVOR, TASK, Scene, who
from support.worlds import World

from peercoord.membership import membership as members
from peercoord.store import paths
from protocol import document

NOTES = ("events/", "bell/")
STAGED = ("tmp/", f"{paths.ROOT}.")
TABLE = document.VECTORS / "crashes.json"
HEAD = """{
  "$schema": "vectors.schema.json",
  "title": "What a crash before each step leaves, and who goes on",
  "vectors": [
"""


class Recording(Wrapper):
    """Writes down the steps that pass: the calls that change what others see, without notes and staging."""

    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.directory = disk
        self.steps: list[Call] = []

    def around(self, call: Call) -> object:
        if _is_step(call, self.directory):
            self.steps.append(call)
        return call.run()


class CrashingAtStep(Recording):
    """A disk whose process dies just before its n-th step."""

    def __init__(self, disk: MemoryDisk, at: int) -> None:
        super().__init__(disk)
        self.at = at

    def around(self, call: Call) -> object:
        if len(self.steps) >= self.at or (len(self.steps) == self.at - 1 and _is_step(call, self.directory)):
            raise Crash(repr(call))
        return super().around(call)


def _is_step(call: Call, disk: MemoryDisk) -> bool:
    if call.name not in CHANGES or call.name == "mkdir" or call.path.startswith((*NOTES, *STAGED)):
        return False
    try:
        getattr(disk.copy(), call.name)(*call.args)
    except OSError:
        return False
    return True


def steps(scene: Scene) -> list[str]:
    """The steps of a scene, as the table shows them."""
    world = scene.world.twin()
    recording = Recording(world.memory)
    scene.run(world.on(recording))
    return [shown(call) for call in recording.steps]


def end(scene: Scene, at: int, power: bool = False) -> str:
    """What a crash just before a step comes to, once the others have repaired what it left."""
    world = scene.world.twin()
    try:
        scene.run(world.on(CrashingAtStep(world.memory, at)))
    except Crash:
        pass
    else:
        raise AssertionError(f"{scene.name} has no step {at}")
    if power:
        world = World(world.memory.after_power_cut(), like=world)
    if scene.by != PERSON:
        for one in members.living(world.root):
            if one.peer == scene.by and one.number != RIVAL:
                world.evict(one, who(world, SURVIVOR))
    world.janitor(SURVIVOR).tidy()
    if scene.judged not in ("views", "root") and not power:
        tree.check_at_rest(world.memory)
    return _said(world, scene)


def _said(world: World, scene: Scene) -> str:
    if scene.judged == "views":
        return ", ".join(name for name in (paths.TASK_QUEUE, paths.STATE) if world.files.stat(name)) or "no view"
    if scene.judged == "root":
        return "a root" if world.files.stat(f"{paths.ROOT}/{paths.PROTOCOL}") else "no root"
    if scene.judged == "task":
        return _task(world)
    living = sum(one.peer == ME for one in members.living(world.root))
    past = sum(one.peer == ME for one, _ in members.departed(world.root))
    lies = [name for name in world.files.scan(paths.LEADER) if paths.parse_leader(name) is not None]
    return f"{'a peer' if living else 'departed' if past else 'no peer'}; {lies[0] if lies else 'led'}"


def _task(world: World) -> str:
    sighting = world.queue.locate(TASK)
    if sighting is None or world.queue.birth(TASK) is None:
        return "no task"
    where = sighting.state + (f"/{sighting.detail}" if sighting.state in ("waiting", "parked") else "")
    epoch = "" if sighting.state == "done" else f" {sighting.epoch}"
    outcomes = ", ".join(f"{number} {outcome}" for number, outcome in world.outcomes(TASK))
    return f"{where}{epoch}" + (f"; {outcomes}" if outcomes else "")


def shown(call: Call) -> str:
    """A call as the table shows it: what differs from run to run as a placeholder."""
    text = " ".join([call.name, *(arg for arg in call.args if isinstance(arg, str))])
    text = re.sub(rf"{ME}~\d+\.\w+", "<me>", text)
    text = re.sub(rf"{OTHER}~\d+\.\w+", "<by>", text)
    text = text.replace(f"reports/{ME}", "reports/<me>").replace(f"reports/{OTHER}", "reports/<by>")
    text = re.sub(rf"(tmp/|{paths.ROOT}\.|quarantine/\S*~)\d{{6}}token", r"\1<token>", text)
    text = re.sub(r"\d{6}token", "<nonce>", text)
    for task, word in ((TASK, "<id>"), (AFTER, "<next>"), ("6", "<other>")):
        text = re.sub(rf"([/+]){paths.shard(task)}(?=[/+])", r"\1<shard>", text)
        text = re.sub(rf"(?<=[/+]){task}(?=[~./]|$| )", word, text)
    text = re.sub(r"(leader|beat)~(\d+)", lambda m: f"{m[1]}~{_counted(m[2], 't' if m[1] == 'leader' else 'n')}", text)
    text = re.sub(r">~(\d+)(?=$|[ .]|~done)", lambda m: f">~{_counted(m[1], 'e')}", text)
    return re.sub(r"ready/\d/\d{6}", "ready/<level>/<block>", text)


def _counted(number: str, letter: str) -> str:
    return f"<{letter}>" if number == "0" else f"<{letter}+{number}>"


@cache
def rows() -> dict[str, tuple[str, str]]:
    """Call and end of every step, by scene and number."""
    return {
        f"{each.name} {number}": (step, end(each, number))
        for each in SCENES
        for number, step in enumerate(steps(each), 1)
    }


def table() -> list[dict[str, Any]]:
    """The crash table of the specification, one vector for each step."""
    found: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))["vectors"]
    return found


def rewritten() -> str:
    """The crash table with the calls and ends that are found now; clauses and notes stay."""
    known = {(vector["description"], vector["then"]["call"]): vector for vector in table()}
    blocks = []
    for name, (call, found) in rows().items():
        old = known.get((name, call), {"clause": "CRA-1", "note": "?"})
        sequence, _, number = name.rpartition(" ")
        lines = (
            {"description": name, "clause": old["clause"], "rule": "crash"},
            {"given": {"sequence": sequence, "step": int(number)}},
            {"then": {"call": call, "end": found}},
            {"note": old["note"]},
        )
        text = ",\n      ".join(json.dumps(line, ensure_ascii=False)[1:-1] for line in lines)
        blocks.append(f"    {{\n      {text}\n    }}")
    return HEAD + ",\n".join(blocks) + "\n  ]\n}\n"


if __name__ == "__main__":
    TABLE.write_text(rewritten(), encoding="utf-8")
