"""What people and other programs leave there: odd definitions and records, and files that are no tickets."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import expect

if TYPE_CHECKING:
    from peersuite.command import World

HALF = 64  # bytes of a record that may still be written: too few for any
KINDS = ("directory", "full directory", "link")


# -- odd definitions ---------------------------------------------------------------------------------------------


@check("PLC-2", "FMT-6")
def claims_nothing_that_a_person_cancelled(world: World) -> None:
    notes = (True, "not any more", "", [], {}, 0, 1)
    for number, note in enumerate(notes):
        world.store.add(f"t{number}", at="ready/2/000000", cancelled=note)
    for number, note in enumerate((None, False)):
        world.store.add(f"z{number}", cancelled=note)
    peer = world.join("a")
    for task in ("z0", "z1"):
        peer.claimed(task, 1)
        peer.run("complete", task).must(f"done {task}")
    peer.run("claim").must("nothing", 4)
    for number, note in enumerate(notes):
        place = world.store.at(f"t{number}")
        expect(place == f"queue/parked/cancelled/t{number}~1", f"with 'cancelled' {note!r} it lies at {place}")
    world.sound()


@check("FMT-1", "NAM-2")
def takes_a_whole_number_however_it_is_written(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",), task_id=2.0, dependencies=[1.0], priority=1.0)
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("complete", "1").must("done 1")
    world.lies("2", "queue/ready/1/000000/2~0")
    peer.claimed("2", 1)
    peer.run("release", "2").must("released 2")
    world.lies("2", "queue/ready/1/000000/2~1")
    world.sound()


@check("END-3", "PLC-2")
def parks_as_failed_though_it_was_cancelled_too(world: World) -> None:
    world.store.add("1")
    for epoch in (1, 2):
        world.store.result("1", epoch, "failed", "b", "b~1.x1")
    world.store.hold("1", world.store.peer("b~1.x1"), "1~3")
    world.store.edit("1", cancelled=True)
    peer = world.join("a")
    peer.run("evict", "b~1.x1").must("evicted b~1.x1")
    world.lies("1", "queue/parked/failed/1~3")
    world.sound()


@check("END-1", "CLM-5")
def writes_no_result_for_what_it_never_worked_on(world: World) -> None:
    world.store.add("1", at="ready/2/000000", parked={"why": "deferred"})
    world.join("a").run("claim").must("nothing", 4)
    world.lies("1", "queue/parked/deferred/1~1")
    world.recorded("1")
    world.sound()


@check("LAY-6", "VIW-2", "INV-10")
def decides_nothing_by_views_and_notes(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("report", "1", "0.5").must("reported 1")
    tasks = [{"task_id": task, "assigned_to": "b", "status": "done", "epoch": 9} for task in (1, 2)]
    world.store.write("task_queue.json", {"schema_version": 1, "tasks": tasks})
    for path in ("state.json", "progress-reports/a.json", f"{peer.home}/assignments/1~1.json"):
        (world.store.root / path).write_text("{,\n")
    peer.run("claim").must("held 1 1")
    peer.run("complete", "1").must("done 1")
    peer.claimed("2", 1)


@check("VER-2", "VER-3", "FMT-2")
def takes_a_record_of_a_higher_version(world: World) -> None:
    world.store.add("1", schema_version=99, mood={"of": "a person"})
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("complete", "1").must("done 1")
    expect(world.store.definition("1").get("mood") == {"of": "a person"}, "an unknown key was lost")
    world.sound()


@check("VER-1", "LAY-3")
def changes_nothing_where_it_may_not_write(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    record = world.store.record("protocol.json")
    world.store.write("protocol.json", {**record, "protocol": {"version": 2, "least_reader": 1, "least_writer": 2}})
    before = world.store.files()
    for words in (("claim",), ("beat",), ("sweep",), ("leave",)):
        peer.run(*words).refused(1)
    world.run(world.commands[0], "join", "b").refused(1)
    expect(world.store.files() == before, "it changed a directory of a later version")


@check("OPS-11")
def rings_when_something_became_ready(world: World) -> None:
    world.store.add("1")
    world.store.touch("bell/ring")
    peer = world.join("a")
    peer.claimed("1", 1)
    os.utime(world.store.root / "bell/ring", (0, 0))
    peer.run("release", "1").must("released 1")
    expect((world.store.root / "bell/ring").stat().st_mtime > 0, "the bell was not touched")
    (world.store.root / "bell/ring").unlink()
    (world.store.root / "bell").rmdir()
    peer.claimed("1", 2)
    peer.run("complete", "1").must("done 1")
    world.sound()


@check("RPT-5")
def leaves_its_work_as_interrupted(world: World) -> None:
    peer = world.holding("1")
    peer.run("report", "1", "0.5").must("reported 1")
    peer.run("leave").must("left")
    entries = world.store.record("progress-reports/a.json").get("assigned_tasks", [])
    said = [(entry.get("progress"), entry.get("status"), entry.get("interrupted")) for entry in entries]
    expect(said == [(0.5, "released", True)], f"its report says {said}")


# -- what is no ticket -------------------------------------------------------------------------------------------


def _strange(world: World, path: str, kind: str) -> str:
    target = world.store.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        target.symlink_to("../../../leader/leader~0")
    else:
        target.mkdir()
    if kind == "full directory":
        (target / "kept").touch()
    return path


def _is_there(world: World, path: str) -> bool:
    target = world.store.root / path
    return target.is_symlink() or target.exists()


@check("LAY-1", "CLM-1")
def claims_nothing_but_a_regular_file(world: World) -> None:
    for kind in KINDS:
        world.store.add(kind[0], at="parked/held", parked={"why": "held"})
    strange = [_strange(world, f"queue/ready/0/000000/{kind[0]}~3", kind) for kind in KINDS]
    world.store.add("z")
    peer = world.join("a")
    peer.claimed("z", 1)
    expect(peer.claims() == ["z~1"], f"it holds {peer.claims()}")
    left = [path for path in strange if _is_there(world, path)]
    expect(not left, f"no regular file, and still there: {left}")
    expect(len(world.store.names("quarantine")) >= len(KINDS), "what was no ticket is not in quarantine/")
    for kind in KINDS:
        world.lies(kind[0], f"queue/parked/held/{kind[0]}~0")


@check("LAY-5", "EVI-5")
def seals_whatever_lies_among_the_claims(world: World) -> None:
    world.store.add("1")
    home = world.store.peer("b~1.x1")
    world.store.hold("1", home, "1~1")
    for number, kind in enumerate(KINDS):
        _strange(world, f"{home}/claims/{number + 5}~1", kind)
        _strange(world, f"{home}/claims/1~{number + 5}~done", kind)
    peer = world.join("a")
    peer.run("evict", "b~1.x1").must("evicted b~1.x1")
    expect(not world.store.has(f"departed/b~1.x1~{peer.me}/claims"), "claims/ that hold no tickets were not sealed")
    world.lies("1", "queue/ready/2/000000/1~1")
    world.recorded("1", "1.evicted")


@check("LAY-1", "PLC-3")
def takes_no_directory_for_something_done(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",))
    _strange(world, world.store.done("1"), "directory")
    peer = world.join("a")
    peer.run("sweep").must("swept")
    world.lies("2", "queue/waiting/1/2~0")
    peer.claimed("1", 1)
    peer.run("complete", "1").must("done 1")
    world.lies("1", world.store.done("1"))
    world.lies("2", "queue/ready/2/000000/2~0")
    world.sound()


@check("LAY-1")
def takes_a_ticket_that_somebody_wrote_into(world: World) -> None:
    world.store.add("1")
    (world.store.root / world.store.at("1")).write_text("a note\n")
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("complete", "1").must("done 1")
    world.lies("1", world.store.done("1"))


# -- names and words ---------------------------------------------------------------------------------------------


@check("NAM-4")
def refuses_a_new_name_that_differs_only_in_case(world: World) -> None:
    peer = world.join("Ab")
    world.run(world.commands[0], "join", "aB").refused(2)
    peer.run("leave").must("left")
    world.run(world.commands[0], "join", "aB").refused(2)
    expect(world.store.names("peers") == [], f"peers/ holds {world.store.names('peers')}")
    world.store.peer("aB~4.x1", under="departed/aB~4.x1~c~1.y1")  # a team that had both goes on with both
    (world.store.root / "departed/aB~4.x1~c~1.y1/claims").rmdir()
    upper, lower = world.join("Ab"), world.join("aB")
    expect(lower.me.startswith("aB~5."), f"after aB~4 it joined as {lower.me}")
    expect(world.store.names("peers") == sorted((upper.me, lower.me)), f"peers/ holds {world.store.names('peers')}")


@check("CMP-4", "OPS-8")
def answers_nothing_while_a_result_cannot_be_written(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    world.store.hold("1", peer.home, "1~1~done")
    with world.full(HALF):
        peer.run("complete", "1").refused(1)
        world.lies("1", f"{peer.home}/claims/1~1~done")
    peer.run("complete", "1").must("done 1")
    world.lies("1", world.store.done("1"))
    world.recorded("1", "1.done")
    world.sound()


@check("RPT-3", "LAY-3")
def refuses_words_that_cannot_be_meant(world: World) -> None:
    peer = world.holding("1")
    for progress in ("half", "", "nan", "-1", "2"):
        peer.run("report", "1", progress).refused(2)
    peer.run("evict", peer.me).refused(2)
    expect(world.store.names("peers") == [peer.me], f"peers/ holds {world.store.names('peers')}")
    place = world.store.root / "protocol.json"
    place.write_text("{")
    peer.run("beat").refused(1)
    place.unlink()
    peer.run("beat").refused(3)
