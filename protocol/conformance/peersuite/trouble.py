"""Faults around a peer: a full disk, foreign names, files that others changed or removed."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import expect
from peersuite.store import shard

if TYPE_CHECKING:
    from peersuite.command import World

CANCELLED = {"reason": "not any more"}
HALF = 64  # bytes of a record that may still be written: too few for any


# -- a full disk -------------------------------------------------------------------------------------------------


@check("CMP-2", "ORD-2", "ORD-4", "INV-6", "INV-9", "OPS-8")
def completes_nothing_on_a_full_disk(world: World) -> None:
    peer = world.holding("1")
    for room in (0, HALF):
        with world.full(room):
            peer.run("complete", "1").refused(1)
        world.lies("1", f"{peer.home}/claims/1~1")
        world.recorded("1")
    peer.run("complete", "1").must("done 1")
    world.recorded("1", "1.done")
    world.sound()


@check("CMP-4", "INV-6", "OPS-8")
def finishes_nothing_without_a_result(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    home = world.store.peer("b~1.x1", under="departed/b~1.x1~c~1.y1")
    peer = world.join("a")
    world.store.hold("1", home, "1~1~done")
    world.store.hold("2", peer.home, "2~1~done")
    with world.full(HALF):
        peer.run("sweep")
        peer.run("claim")
        world.lies("1", f"{home}/claims/1~1~done")
        world.lies("2", f"{peer.home}/claims/2~1~done")
        world.recorded("1")
        world.recorded("2")
    peer.run("sweep").must("swept")
    peer.run("claim").must("nothing", 4)
    for task in ("1", "2"):
        world.lies(task, world.store.done(task))
        world.recorded(task, "1.done")
    world.sound()


@check("CMP-4", "CMP-3")
def finishes_on_a_full_disk_what_has_its_result(world: World) -> None:
    world.store.add("1")
    (world.store.root / "queue/done" / shard("1")).mkdir()
    peer = world.join("a")
    world.store.hold("1", peer.home, "1~1~done")
    world.store.result("1", 1, "done", "a", peer.me)
    with world.full():
        peer.run("complete", "1").must("done 1")
    world.lies("1", world.store.done("1"))
    world.recorded("1", "1.done")
    world.sound()


@check("END-1", "MBR-6", "CLM-7", "INV-9")
def goes_on_claiming_and_giving_back_on_a_full_disk(world: World) -> None:
    world.store.add("1")
    home = world.store.peer("b~1.x1")
    world.store.hold("1", home, "1~1")
    peer = world.join("a")
    with world.full(HALF):
        peer.run("beat").must("beat 1")
        peer.run("evict", "b~1.x1").must("evicted b~1.x1")
        world.lies("1", "queue/ready/2/000000/1~1")
        peer.claimed("1", 2)
        peer.run("release", "1").must("released 1")
        world.lies("1", "queue/ready/2/000000/1~2")
        peer.claimed("1", 3)
        peer.run("leave").must("left")
    world.lies("1", "queue/ready/2/000000/1~3")
    world.sound()


@check("OPS-2", "OPS-8", "INV-9")
def says_that_a_report_was_not_written(world: World) -> None:
    peer = world.holding("1")
    peer.run("report", "1", "0.5").must("reported 1")
    before = world.store.record("progress-reports/a.json")
    with world.full(HALF):
        peer.run("report", "1", "0.75").refused(1)
    after = world.store.record("progress-reports/a.json")
    expect(after == before, f"a report that was refused changed the one that stood: {after}")
    world.sound()


@check("MBR-2", "ORD-9", "ORD-4")
def joins_whole_or_not_at_all(world: World) -> None:
    with world.full(HALF):
        world.run(world.commands[0], "join", "a").refused(1)
    expect(world.store.names("peers") == [], f"peers/ holds {world.store.names('peers')}")
    world.join("a")
    world.sound()


@check("CLM-7", "END-1", small=True)
def gives_back_to_the_first_block_where_no_other_can_be_made(world: World) -> None:
    world.store.orders = 300
    peer = world.holding("1")
    block = world.store.root / "queue/ready/2/000001"
    if block.exists():  # a peer may have removed the empty block, and need not
        block.rmdir()
    with world.crowded():
        peer.run("release", "1").must("released 1")
    world.lies("1", "queue/ready/2/000000/1~1")
    world.sound()


# -- what others changed or removed ------------------------------------------------------------------------------


@check("MBR-6", "MBR-7")
def beats_again_without_a_heartbeat(world: World) -> None:
    peer = world.join("a")
    home = world.store.root / peer.home
    (home / "beat~0").unlink()
    for foreign in ("beat~", "beat~07", "beat~9x", "beat~9999999999999999"):
        (home / foreign).touch()
    answer = peer.run("beat")
    seq = answer.line.removeprefix("beat ")
    expect(answer.code == 0 and seq in ("0", "1"), f"{answer}; expected 'beat 0' or 'beat 1'")
    expect(world.store.has(f"{peer.home}/beat~{seq}"), f"after {answer} it has {world.store.names(peer.home)}")
    peer.run("beat").must(f"beat {int(seq) + 1}")
    for foreign in ("beat~", "beat~07", "beat~9x", "beat~9999999999999999"):
        expect(world.store.has(f"{peer.home}/{foreign}"), f"{foreign}, which is no heartbeat, was taken for one")


@check("CLM-2", "CHG-3", "PLC-2")
def lays_aside_what_was_cancelled_in_its_hand(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    peer = world.join("a")
    peer.claimed("1", 1)
    world.store.edit("1", cancelled=CANCELLED)
    peer.claimed("2", 1)
    world.lies("1", "queue/parked/cancelled/1~1")
    world.sound()


@check("CHG-3", "CMP-5")
def finishes_what_was_cancelled_in_its_hand(world: World) -> None:
    peer = world.holding("1")
    world.store.edit("1", cancelled=CANCELLED)
    peer.run("complete", "1").must("done 1")
    world.lies("1", world.store.done("1"))
    world.sound()


@check("CLM-2", "PLC-2", "LAY-4")
def lays_aside_what_became_unreadable_in_its_hand(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    peer = world.join("a")
    peer.claimed("1", 1)
    (world.store.root / f"tasks/{shard('1')}/1.json").write_text("{,\n")
    peer.claimed("2", 1)
    world.lies("1", "queue/parked/unreadable/1~1")


@check("CMP-5", "CMP-6", "INV-4")
def does_not_answer_for_who_completed_it_later(world: World) -> None:
    peer = world.holding("1")
    peer.run("complete", "1").must("done 1")
    world.store.result("1", 2, "done", "b", "b~1.x1")  # it was reopened, and another completed it
    peer.run("complete", "1").must("lost 1", 4)
    world.sound()


@check("CMP-3", "CMP-6")
def does_not_answer_for_an_earlier_life(world: World) -> None:
    peer = world.holding("1")
    peer.run("complete", "1").must("done 1")
    peer.run("leave").must("left")
    world.join("a").run("complete", "1").must("lost 1", 4)
    world.sound()


@check("CMP-4", "CMP-5", "INV-6")
def finishes_with_a_result_at_this_very_epoch(world: World) -> None:
    world.store.add("1")
    world.store.result("1", 1, "done", "c", "c~1.x1")  # it was reopened since
    world.store.hold("1", world.store.peer("b~1.x1", under="departed/b~1.x1~d~1.y1"), "1~3~done")
    world.join("a").run("sweep").must("swept")
    world.lies("1", world.store.done("1"))
    world.recorded("1", "1.done", "3.done")
    world.sound()


@check("OPS-3", "OPS-5", "MBR-8")
def makes_no_directory_of_a_peer_again(world: World) -> None:
    peer = world.holding("1")
    aside = world.store.root.parent / "aside"
    (world.store.root / peer.home).rename(aside)
    for words in (("complete", "1"), ("release", "1"), ("report", "1", "0.5"), ("claim",), ("beat",)):
        peer.run(*words).must("evicted", 4)
        expect(world.store.names("peers") == [], f"'{words[0]}' made {world.store.names('peers')} in peers/ again")
    aside.rename(world.store.root / peer.home)
    claims = world.store.root / peer.home / "claims"
    claims.rename(aside)
    world.store.add("2")
    for words in (("complete", "1"), ("release", "1"), ("claim",)):
        answer = peer.run(*words)
        expect(answer.code != 0, f"{answer}; its claims/ is gone")
        expect(not claims.exists(), f"'{words[0]}' made {peer.home}/claims again")
    world.lies("2", "queue/ready/2/000000/2~0")


# -- a ticket with two names -------------------------------------------------------------------------------------


def link(world: World, source: str, target: str) -> None:
    """Leave a second name of a ticket, as a machine does that crashes in the middle of a rename."""
    (world.store.root / target).hardlink_to(world.store.root / source)


@check("ASM-10", "CLM-4", "INV-1", "INV-2")
def claims_nothing_that_has_another_name(world: World) -> None:
    other = world.store.peer("b~1.x1")
    link(world, world.store.add("1"), f"{other}/claims/1~1")
    world.join("a").run("claim").must("nothing", 4)  # of two claims at one epoch that of the later name stays
    world.lies("1", f"{other}/claims/1~1")
    link(world, world.store.add("2"), f"{other}/claims/2~1")
    peer = world.join("c")
    peer.claimed("2", 1)
    world.lies("2", f"{peer.home}/claims/2~1")
    world.sound()


@check("ASM-10", "CLM-2", "TDY-6")
def settles_the_two_names_of_what_it_holds(world: World) -> None:
    ready = world.store.add("1")
    peer = world.join("a")
    link(world, ready, f"{peer.home}/claims/1~1")
    peer.run("claim").must("held 1 1")
    world.lies("1", f"{peer.home}/claims/1~1")
    world.sound()


@check("ASM-10", "TDY-6", "EVI-5")
def seals_over_no_second_name(world: World) -> None:
    home = world.store.peer("b~1.x1", under="departed/b~1.x1~c~1.y1")
    world.store.add("1")
    world.store.hold("1", home, "1~1")
    link(world, f"{home}/claims/1~1", "queue/ready/2/000000/1~1")
    world.join("a").run("sweep").must("swept")
    world.lies("1", "queue/ready/2/000000/1~1")
    expect(not world.store.has(f"{home}/claims"), f"{home} is not sealed")
    world.sound()


# -- foreign names -----------------------------------------------------------------------------------------------


@check("VER-4", "NAM-3", "NAM-7")
def claims_from_no_other_place_than_a_block(world: World) -> None:
    places = ("7/000000", "5/000000", "00/000000", "x/000000", "2/12", "2/00001", "2/notes", "2/100000a", "2/0000000")
    for number, place in enumerate(places):
        world.store.add(f"t{number}", at=f"ready/{place}")
    peer = world.join("a")
    peer.run("claim").must("nothing", 4)
    world.store.add("1")
    peer.claimed("1", 1)
    for number, place in enumerate(places):
        left = world.store.names(f"queue/ready/{place}")
        expect(left == [f"t{number}~0"], f"queue/ready/{place} is no block, and holds {left}, not t{number}~0")


@check("VER-4", "NAM-3", "EVI-2")
def sweeps_no_directory_but_of_the_departed(world: World) -> None:
    world.store.add("1")
    world.store.hold("1", world.store.peer("b~1.x1", under="departed/notes"), "1~1")
    world.join("a").run("sweep").must("swept")
    expect(world.store.has("departed/notes/claims/1~1"), "departed/notes is no departed peer, and was swept")


@check("PLC-2", "VER-5")
def knows_the_reasons_to_park(world: World) -> None:
    world.store.add("1", at="parked/blocked", parked={"why": "mood", "reason": "none that is known"})
    world.store.add("2", at="parked/blocked", parked={"why": "review", "reason": "have a look"})
    world.join("a").run("sweep").must("swept")
    world.lies("1", "queue/ready/2/000000/1~0")
    world.lies("2", "queue/parked/review/2~0")
    world.sound()
