"""How a peer adds, places and changes tasks, and ends its claims in other ways than by completing."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import expect
from peersuite.store import shard

if TYPE_CHECKING:
    from peersuite.command import World

NONE = ""  # a list of no ids
ADDERS = 4
HALF = 64  # bytes of a record that may still be written: too few for any
ROOM = 8192  # bytes of a record that may still be written: enough for a result
SETTLED = 2.5  # seconds: a blank definition may be taken for what a power cut left
MOMENT = 1.0  # seconds: a command that does not wait has ended
TICK = 0.05  # seconds: the filesystem's clock has gone on
LONG = "x" * 20000  # a description for which that is too little


def unchanged(world: World, before: list[str], what: str) -> None:
    """Demand that no file came or went, but for notes."""
    changed = set(before) ^ set(world.store.files())
    changed = {path for path in changed if not path.startswith(("bell/", "events/", "locks/", "tmp/"))}
    expect(not changed, f"{what}, and still changed {sorted(changed)}")


# -- adding ------------------------------------------------------------------------------------------------------


@check("ADD-1", "ADD-3", "ADD-8", "PLC-2", "NAM-7", "FMT-2")
def adds_a_task_that_can_be_claimed(world: World) -> None:
    peer = world.join("a")
    peer.run("add", "Ab.1", "high", NONE).must("added Ab.1")
    (world.store.root / "locks/order").unlink(missing_ok=True)
    peer.run("add", "7", "lowest", "Ab.1").must("added 7")
    world.lies("Ab.1", "queue/ready/1/000000/Ab.1~0")
    world.lies("7", "queue/waiting/Ab.1/7~0")
    born = world.store.record(f"births/{shard('7')}/7.json")
    said = [born.get("task_id"), born["definition"].get("task_id"), born["definition"].get("dependencies")]
    expect(said == [7, 7, ["Ab.1"]], f"the birth record says {said}")
    expect(isinstance(born.get("nonce"), str) and isinstance(born.get("order"), int), f"the birth record is {born}")
    expect(world.store.definition("7").get("priority") in ("lowest", 4), f"it is {world.store.definition('7')}")
    expect(world.store.names("queue/new") == [], f"queue/new/ holds {world.store.names('queue/new')}")
    peer.claimed("Ab.1", 1)
    peer.run("complete", "Ab.1").must("done Ab.1")
    peer.claimed("7", 1)
    world.sound()


@check("ADD-5", "ADD-6", "NAM-1", "NAM-4", "FMT-6")
def refuses_what_cannot_be_added(world: World) -> None:
    world.store.add("Ab")
    peer = world.join("a")
    before = world.store.files()
    for task, priority, needs in (
        ("1", "medium", "nobody"),
        ("1", "medium", "Ab,1"),
        ("1", "urgent", NONE),
        ("Ab", "medium", NONE),
        ("aB", "medium", NONE),
        ("../x", "medium", NONE),
        ("1~2", "medium", NONE),
        ("1", "medium", "../x"),
    ):
        peer.run("add", task, priority, needs).refused(2)
        unchanged(world, before, f"'add {task} {priority} {needs}' was refused")
    world.sound()


@check("ADD-1", "ADD-3", "INV-1", "OPS-6")
def of_adders_of_one_id_one_adds_it(world: World) -> None:
    members = [world.join(f"p{number}", by=number) for number in range(ADDERS)]
    for task in ("1", "2", "3"):
        started = [world.start(member.command, "add", member.me, task, "medium", NONE) for member in members]
        answers = [world.end(one) for one in started]
        added = [answer for answer in answers if answer.code == 0]
        expect(len(added) == 1, f"{len(added)} added task {task}: {[str(answer) for answer in answers]}")
        world.lies(task, f"queue/ready/2/000000/{task}~0")
    expect(world.store.names("queue/new") == [], f"queue/new/ holds {world.store.names('queue/new')}")
    world.sound()


@check("OPS-12", "LDR-6")
def waits_for_the_mutex_before_it_adds(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    with (world.store.root / "locks/intake").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = world.start(peer.command, "add", peer.me, "2", "medium", NONE)
        peer.claimed("1", 1)  # needs no mutex
        time.sleep(MOMENT)
        place = world.store.at("2")
    answer = world.end(started)
    expect(place == "nowhere", f"the ticket of task 2 lies at {place} while another program has locks/intake")
    answer.must("added 2")
    world.sound()


@check("ADD-1", "ORD-4", "ORD-13", "OPS-8")
def adds_nothing_on_a_full_disk(world: World) -> None:
    peer = world.join("a")
    before = world.store.files()
    with world.full(HALF):
        peer.run("add", "1", "medium", NONE).refused(1)
    unchanged(world, before, "'add 1' was refused")
    peer.run("add", "1", "medium", NONE).must("added 1")
    world.sound()


@check("TDY-2", "ADD-3", "ADD-4", "PLC-6")
def finishes_what_was_being_added(world: World) -> None:
    for task in ("1", "2"):
        world.store.add(task)
        (world.store.root / f"tasks/{shard(task)}/{task}.json").unlink()
    world.store.move("queue/ready/2/000000/1~0", "queue/new/1~n0")
    for ticket in ("2~other", "3~n9"):
        world.store.touch(f"queue/new/{ticket}")
    world.join("a").run("sweep").must("swept")
    world.lies("1", "queue/ready/2/000000/1~0")
    expect(world.store.definition("1").get("task_id") == 1, "the definition was not made from the birth record")
    left = world.store.names("queue/new")
    expect(left == ["3~n9"], f"queue/new/ holds {left}: of a task that has its ticket, and of one without a birth")


# -- placing and changing ----------------------------------------------------------------------------------------


@check("PLC-1", "PLC-2", "PLC-3", "LAY-4", "NAM-7", "FMT-3")
def places_a_ticket_where_it_belongs(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    world.store.add("3", cancelled={"reason": "not any more"}, at="parked/cancelled")
    world.store.finish("1")
    for task, needs, more, place in (
        ("a", ("1", "2"), {}, "waiting/2"),
        ("b", ("1",), {}, "ready/2/000000"),
        ("c", ("3", "2"), {}, "parked/blocked"),
        ("d", ("nobody",), {}, "parked/blocked"),
        ("e", (), {"cancelled": True}, "parked/cancelled"),
        ("f", ("2",), {"parked": {"why": "deferred"}}, "parked/deferred"),
        ("g", (), {"parked": {"why": "mood"}, "priority": "Critical"}, "ready/0/000000"),
    ):
        world.store.add(task, needs=needs, at="waiting/1", **more)
        world.store.move(f"queue/waiting/1/{task}~0", f"queue/waiting/1/{task}~5")
        world.join(f"p-{task}").run("place", task).must(f"placed {task}")
        world.lies(task, f"queue/{place}/{task}~5")
    world.sound()
    world.store.orders = 300
    world.store.add("h", at="parked/blocked")
    birth = f"births/{shard('h')}/h.json"
    (world.store.root / birth).write_text("{,\n")
    world.join("p-h").run("place", "h").must("placed h")
    world.lies("h", "queue/ready/2/000000/h~0")
    expect(world.store.has(birth), "a birth record that cannot be read was moved away")


@check("PLC-2", "PLC-6", "FMT-3")
def rebuilds_a_definition_unless_one_is_quarantined(world: World) -> None:
    peer = world.join("a")
    for task in ("1", "2"):
        world.store.add(task, at="parked/blocked")
        path = f"tasks/{shard(task)}/{task}.json"
        (world.store.root / path).unlink()
        if task == "2":
            (world.store.root / f"quarantine/{path.replace('/', '+')}~q1").write_text("{,")
        peer.run("place", task).must(f"placed {task}")
    world.lies("1", "queue/ready/2/000000/1~0")
    expect(world.store.definition("1").get("task_id") == 1, "the definition was not rebuilt")
    world.lies("2", "queue/parked/unreadable/2~0")
    expect(not world.store.has(f"tasks/{shard('2')}/2.json"), "it was rebuilt beside a quarantined copy")


@check("CHG-2", "PLC-2", "VER-3", "ADD-5", "ADD-6", "LIM-1")
def edits_a_task_and_places_it(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",), mood={"of": "a person"})
    world.store.add("3")
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("edit", "2", "priority", "high").must("edited 2")
    world.lies("2", "queue/waiting/1/2~0")
    peer.run("edit", "2", "dependencies", NONE).must("edited 2")
    world.lies("2", "queue/ready/1/000000/2~0")
    expect(world.store.definition("2").get("mood") == {"of": "a person"}, "an unknown key was lost")
    peer.run("edit", "1", "dependencies", "2").must("edited 1")
    world.lies("1", f"{peer.home}/claims/1~1")
    before = world.store.definition("2")
    for key, value in (("dependencies", "1"), ("dependencies", "nobody"), ("priority", "urgent"), ("title", "x" * 501)):
        peer.run("edit", "2", key, value).refused(2)
        expect(world.store.definition("2") == before, f"'edit 2 {key} {value}' was refused, and changed the task")
    peer.run("release", "1").must("released 1")
    world.lies("1", "queue/waiting/2/1~1")
    world.sound()


@check("CHG-3", "PLC-2")
def cancels_a_task_and_blocks_what_waits_for_it(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",))
    world.store.add("3")
    world.store.add("4")
    world.store.finish("4")
    peer = world.join("a")
    peer.run("cancel", "1").must("cancelled 1")
    world.lies("1", "queue/parked/cancelled/1~0")
    world.lies("2", "queue/parked/blocked/2~0")
    peer.claimed("3", 1)
    peer.run("cancel", "3").must("cancelled 3")
    world.lies("3", f"{peer.home}/claims/3~1")
    peer.run("cancel", "4").refused(2)
    world.lies("4", world.store.done("4"))
    expect(world.store.definition("4").get("cancelled") is None, "a done task was cancelled")
    world.sound()


@check("CHG-3", "ORD-11", "ORD-4", "INV-9")
def cancels_nothing_on_a_full_disk(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    with world.full(HALF):
        peer.run("cancel", "1").refused(1)
    world.lies("1", "queue/ready/2/000000/1~0")
    expect(world.store.definition("1").get("cancelled") is None, "it was cancelled after all")
    peer.claimed("1", 1)
    world.sound()


@check("CHG-4", "CLM-3", "PLC-2", "CMP-6")
def reopens_at_the_highest_epoch(world: World) -> None:
    for task in ("1", "2", "3", "5"):
        world.store.add(task)
    world.store.add("4", needs=("3",))
    world.store.finish("1")
    world.store.result("1", 3, "done", "b", "b~1.x1")
    world.store.result("1", 10, "released", "b", "b~1.x1")
    world.store.move(world.store.at("2"), "queue/parked/failed/2~6")
    peer = world.join("a")
    peer.run("cancel", "3").must("cancelled 3")
    for task in ("1", "2", "3"):
        peer.run("reopen", task).must(f"reopened {task}")
    world.lies("1", "queue/ready/2/000000/1~10")
    world.lies("2", "queue/ready/2/000000/2~6")
    world.lies("3", "queue/ready/2/000000/3~0")
    world.lies("4", "queue/waiting/3/4~0")
    expect(world.store.definition("3").get("cancelled") is None, "it is still cancelled")
    world.store.hold("5", world.store.peer("b~1.x1"), "5~1")
    peer.run("reopen", "5").refused(4)
    world.lies("5", "peers/b~1.x1/claims/5~1")
    peer.claimed("1", 11)
    world.sound()


# -- other ends --------------------------------------------------------------------------------------------------


@check("END-1", "END-2", "LAY-4", "CMP-6")
def parks_what_a_person_must_see(world: World) -> None:
    peer = world.join("a")
    for task, why in (("1", "review"), ("2", "blocked")):
        world.store.add(task)
        peer.claimed(task, 1)
        peer.run("park", task, "mood").refused(2)
        peer.run("park", task, why).must(f"parked {task}")
        world.lies(task, f"queue/parked/{why}/{task}~1")
        note = world.store.definition(task).get("parked")
        expect(isinstance(note, dict) and note.get("why") == why, f"its definition says parked: {note}")
        world.recorded(task, "1.released")
        peer.run("park", task, why).must(f"lost {task}", 4)
    peer.run("claim").must("nothing", 4)
    world.sound()


@check("END-1", "CLM-3", "ORD-4")
def keeps_what_it_cannot_park_on_a_full_disk(world: World) -> None:
    world.store.add("1", description=LONG)
    peer = world.join("a")
    peer.claimed("1", 1)
    with world.full(ROOM):
        peer.run("park", "1", "review").refused(1)
    expect(world.store.definition("1").get("parked") is None, "it was parked after all")
    expect(peer.claims() in (["1~1"], ["1~2"]), f"it holds {peer.claims()}, and was not parked")
    epoch = peer.claims()[0].partition("~")[2]
    peer.run("claim").must(f"held 1 {epoch}")
    peer.run("complete", "1").must("done 1")
    world.sound()


@check("END-1", "END-3")
def parks_what_failed_too_often(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    for epoch in (1, 2, 3):
        peer.claimed("1", epoch)
        peer.run("fail", "1").must("failed 1")
        world.lies("1", f"queue/parked/failed/1~{epoch}" if epoch == 3 else f"queue/ready/2/000000/1~{epoch}")
    world.recorded("1", "1.failed", "2.failed", "3.failed")
    peer.run("fail", "1").must("lost 1", 4)
    world.sound()


@check("ORD-12", "INV-5", "MBR-8")
def leaves_no_reason_in_a_task_that_is_not_its_own(world: World) -> None:
    peer = world.holding("1")
    world.store.move(peer.home, f"departed/{peer.me}~b~1.x1")
    before = world.store.definition("1")
    for words in (("park", "1", "review"), ("fail", "1")):
        peer.run(*words).must("evicted", 4)
    expect(world.store.definition("1") == before, f"its definition says {world.store.definition('1')}")
    world.lies("1", f"departed/{peer.me}~b~1.x1/claims/1~1")
    world.recorded("1")


@check("LIM-2", "END-3")
def takes_an_unusable_setting_for_its_default(world: World) -> None:
    for unusable in (0, "many", None):
        world.store.settings(max_attempts=unusable)
        task = f"t-{unusable}"
        world.store.add(task)
        peer = world.join(f"p-{unusable}")
        for epoch in (1, 2, 3):
            peer.claimed(task, epoch)
            peer.run("fail", task).must(f"failed {task}")
        world.lies(task, f"queue/parked/failed/{task}~3")
    world.sound()


@check("END-1", "ORD-4", "OPS-8")
def fails_nothing_on_a_full_disk(world: World) -> None:
    peer = world.holding("1")
    with world.full(HALF):
        peer.run("fail", "1").refused(1)
    world.lies("1", f"{peer.home}/claims/1~1")
    world.recorded("1")
    world.sound()


# -- reassigning -------------------------------------------------------------------------------------------------


@check("CHG-1", "CLM-3", "END-1", "INV-3")
def reassigns_at_a_higher_epoch_than_any(world: World) -> None:
    for task in ("1", "2"):
        world.store.add(task)
    world.store.result("1", 5, "released", "c", "c~1.x1")
    world.store.result("2", 8, "failed", "c", "c~1.x1")
    holder, target = world.join("a"), world.join("b")
    holder.claimed("1", 6)
    world.store.result("1", 9, "released", "c", "c~1.x1")
    holder.run("reassign", "1", target.me).must("reassigned 1 10")
    world.lies("1", f"{target.home}/claims/1~10")
    world.recorded("1", "5.released", "6.released", "9.released")
    for words in (("complete", "1"), ("report", "1", "0.5"), ("release", "1"), ("fail", "1"), ("park", "1", "review")):
        holder.run(*words).must("lost 1", 4)
    target.run("claim").must("held 1 10")
    target.run("complete", "1").must("done 1")
    holder.run("reassign", "2", target.me).must("reassigned 2 9")
    world.lies("2", f"{target.home}/claims/2~9")
    world.sound()


@check("CHG-1", "PLC-2", "OPS-3")
def reassigns_nothing_that_nobody_may_have(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",))
    world.store.add("3")
    world.store.finish("3")
    world.store.add("4", cancelled={"reason": "not any more"}, at="parked/cancelled")
    peer, target = world.join("a"), world.join("b")
    world.store.add("5")
    world.store.hold("5", target.home, "5~1~done")
    world.store.result("5", 1, "done", "b", target.me)
    before = world.store.files()
    for task in ("2", "3", "4", "5"):
        peer.run("reassign", task, target.me).refused(4)
    peer.run("reassign", "1", "z~1.x1").must("gone z~1.x1", 4)
    unchanged(world, before, "nothing could be reassigned")
    target.run("leave").must("left")
    peer.run("reassign", "1", target.me).must(f"gone {target.me}", 4)
    world.lies("1", "queue/ready/2/000000/1~0")
    world.sound()


# -- what people change by hand ----------------------------------------------------------------------------------


@check("CHG-5", "TDY-3", "PLC-1")
def places_again_what_a_person_edited(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    world.store.add("3", needs=("2",))
    time.sleep(TICK)
    world.store.edit("1", parked={"why": "deferred"})
    world.store.edit("3", dependencies=[])
    peer = world.join("a")
    peer.run("sweep").must("swept")
    world.lies("1", "queue/parked/deferred/1~0")
    world.lies("2", "queue/ready/2/000000/2~0")
    world.lies("3", "queue/ready/2/000000/3~0")
    world.sound()


@check("CHG-5", "FMT-3", "LAY-4", "PLC-2")
def sets_aside_a_definition_that_cannot_be_read(world: World) -> None:
    world.store.add("1")
    path = f"tasks/{shard('1')}/1.json"
    whole = (world.store.root / path).read_bytes()
    (world.store.root / path).write_text("{,\n")
    peer = world.join("a")
    peer.run("place", "1").must("placed 1")
    world.lies("1", "queue/parked/unreadable/1~0")
    expect(not world.store.has(path), "what cannot be read is still in tasks/")
    kept = [name for name in world.store.names("quarantine") if name.startswith(f"{path.replace('/', '+')}~")]
    texts = [(world.store.root / "quarantine" / name).read_text() for name in kept if not name.endswith(".why")]
    expect(texts == ["{,\n"], f"quarantine/ holds {kept}")
    expect(any(name.endswith(".why") for name in kept), f"why is not said: {kept}")
    (world.store.root / path).write_bytes(whole)
    peer.run("sweep").must("swept")
    world.lies("1", "queue/ready/2/000000/1~0")


@check("FMT-10", "PLC-6")
def rebuilds_a_definition_that_a_power_cut_left_blank(world: World) -> None:
    for task, left in (("1", b""), ("2", bytes(300))):
        world.store.add(task, at="parked/blocked")
        (world.store.root / f"tasks/{shard(task)}/{task}.json").write_bytes(left)
    time.sleep(SETTLED)  # an editor might be about to write
    peer = world.join("a")
    for task in ("1", "2"):
        peer.run("place", task).must(f"placed {task}")
        world.lies(task, f"queue/ready/2/000000/{task}~0")
        expect(world.store.definition(task).get("task_id") == int(task), "the definition was not rebuilt")
    expect(world.store.names("quarantine") == [], f"quarantine/ holds {world.store.names('quarantine')}")
    world.sound()


@check("MBR-10")
def neither_joins_nor_claims_while_the_team_is_down(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    world.store.write("down.json", {"schema_version": 1, "at": "2026-01-31T15:30:00Z", "by": "person"})
    world.run(world.commands[0], "join", "b").refused(3)
    peer.run("claim").refused(3)
    expect(all(not name.startswith("b~") for name in world.store.names("peers")), "it joined while the team is down")
    world.lies("1", "queue/ready/2/000000/1~0")
