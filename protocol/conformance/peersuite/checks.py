"""What a peer must do alone, one check for each rule. Each gets a new world and says nothing if all is well."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

from typing import TYPE_CHECKING

from peersuite.command import World, expect
from peersuite.store import shard

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[World], None]

CHECKS: dict[str, Check] = {}
CLAUSES: dict[str, tuple[str, ...]] = {}
"""Which clauses of spec.md a check holds an implementation to."""
SMALL: set[str] = set()
"""Checks that need a small filesystem of their own, to fill it."""


def check(*clauses: str, small: bool = False) -> Callable[[Check], Check]:
    """Register a check; ``small``: it needs a small filesystem."""

    def register(function: Check) -> Check:
        if small:
            SMALL.add(function.__name__)
        CHECKS[function.__name__] = function
        CLAUSES[function.__name__] = clauses
        return function

    return register


# -- membership --------------------------------------------------------------------------------------------------


@check("MBR-1", "MBR-2")
def joins_as_a_whole_directory(world: World) -> None:
    peer = world.join("a.B-1")
    expect(world.store.names("peers") == [peer.me], f"peers/ holds {world.store.names('peers')}, not {peer.me}")
    entries = {"assignments", "beat~0", "claims", "peer.json"}
    expect(entries <= set(world.store.names(peer.home)), f"{peer.home} holds {world.store.names(peer.home)}")
    record = world.store.record(f"{peer.home}/peer.json")
    expect((record.get("peer"), record.get("incarnation")) == ("a.B-1", peer.me), f"its peer.json says {record}")
    world.sound()


@check("NAM-5", "EVI-6")
def joins_under_a_rising_number(world: World) -> None:
    for number in (9, 10):
        world.store.peer(f"a~{number}.x1", under=f"departed/a~{number}.x1~b~1.y1")
    (world.store.root / "departed/a~10.x1~b~1.y1/claims").rmdir()
    peer = world.join("a")
    expect(peer.me.startswith("a~11."), f"after a~10 it joined as {peer.me}")
    peer.run("leave").must("left")
    again = world.join("a")
    expect(again.me.startswith("a~12."), f"after a~11 it joined as {again.me}")


@check("MBR-3")
def refuses_a_name_that_is_taken(world: World) -> None:
    first = world.join("a")
    world.run(world.commands[0], "join", "a").refused(2)
    expect(world.store.names("peers") == [first.me], f"peers/ holds {world.store.names('peers')}")
    world.join("ab")
    world.sound()


@check("NAM-1")
def refuses_what_is_no_id(world: World) -> None:
    before = world.store.files()
    for name in ("", "../x", "a/b", ".a", "a~b", "a b", "ü", "x" * 65):
        world.run(world.commands[0], "join", name).refused(2)
    expect(world.store.files() == before, "a refused name left something behind")


@check("MBR-6")
def beats_by_one_rename(world: World) -> None:
    peer = world.join("a")
    for seq in (1, 2):
        peer.run("beat").must(f"beat {seq}")
        beats = [name for name in world.store.names(peer.home) if name.startswith("beat")]
        expect(beats == [f"beat~{seq}"], f"after beat {seq} it has {beats}")


@check("MBR-7", "LIV-7")
def answers_a_challenge(world: World) -> None:
    peer = world.join("a")
    home = world.store.root / peer.home
    (home / "beat~0").rename(home / "beat~9~b~3.x7")
    peer.run("beat").must("beat 10")
    world.sound()


@check("MBR-8", "OPS-5", "OPS-3")
def notices_that_it_was_evicted(world: World) -> None:
    peer = world.holding("1")
    world.store.move(peer.home, f"departed/{peer.me}~b~1.x1")
    before = world.store.files()
    for words in (("beat",), ("claim",), ("complete", "1"), ("release", "1"), ("report", "1", "0.5")):
        peer.run(*words).must("evicted", 4)
    changed = [path for path in set(before) ^ set(world.store.files()) if not path.startswith(("bell/", "events/"))]
    expect(not changed, f"an evicted peer changed {changed}")
    expect(not world.store.has(peer.home), "an evicted peer made its directory again")


@check("EVI-1", "END-2", "LDR-3", "EVI-5")
def leaves_nothing_behind(world: World) -> None:
    peer = world.holding("1")
    world.store.move("queue/leader/leader~0", f"{peer.home}/leader~1")
    peer.run("leave").must("left")
    expect(world.store.names("peers") == [], f"peers/ holds {world.store.names('peers')}")
    expect(world.store.names("departed") == [f"{peer.me}~{peer.me}"], f"departed/: {world.store.names('departed')}")
    expect(not world.store.has(f"departed/{peer.me}~{peer.me}/claims"), "it left without the seal")
    expect(world.store.has("queue/leader/leader~1"), "the leader's ticket did not go back")
    world.lies("1", "queue/ready/2/000000/1~1")
    world.recorded("1", "1.released")
    world.sound()


# -- claiming ----------------------------------------------------------------------------------------------------


@check("CLM-1", "CLM-3", "NAM-7")
def claims_with_the_next_epoch(world: World) -> None:
    world.store.add("5.2")
    peer = world.join("a")
    peer.claimed("5.2", 1)
    world.lies("5.2", f"{peer.home}/claims/5.2~1")
    record = world.store.record(f"{peer.home}/assignments/5.2~1.json")
    said = [record.get(key) for key in ("task_id", "title", "assigned_to", "status", "epoch", "incarnation")]
    expect(said == ["5.2", 'Task "5.2" \\ ü', "a", "in-progress", 1, peer.me], f"the assignment record says {said}")
    world.sound()


@check("CLM-2")
def answers_with_what_it_holds(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    peer = world.join("a")
    peer.claimed("1", 1)
    peer.run("claim").must("held 1 1")
    world.lies("2", "queue/ready/2/000000/2~0")


@check("CLM-6")
def claims_the_most_urgent_then_the_oldest(world: World) -> None:
    for task, priority in (("m", "medium"), ("w", "lowest"), ("c", "critical"), ("h", "high")):
        world.store.add(task, priority=priority)
    world.store.orders = 300
    world.store.add("a")
    peer = world.join("a")
    for task in ("c", "h", "m", "a", "w"):
        peer.claimed(task, 1)
        peer.run("complete", task).must(f"done {task}")
    world.sound()


@check("CLM-1")
def says_that_nothing_is_ready(world: World) -> None:
    world.store.add("1", at="parked/held", parked={"why": "held", "reason": "a person has it"})
    world.store.add("2", needs=("1",))
    world.join("a").run("claim").must("nothing", 4)
    world.sound()


@check("NAM-3", "VER-4")
def leaves_alone_what_is_no_ticket(world: World) -> None:
    foreign = [".DS_Store", "1", "1~01", "1~-1", "1~x", "1~1~done", "1~9999999999999999", "-1~0", "1~0~1", "~0", "1~"]
    for name in foreign:
        world.store.touch(f"queue/ready/0/000000/{name}")
    (world.store.root / "peers/notes").mkdir()
    world.holding("1")
    expect(world.store.names("queue/ready/0/000000") == sorted(foreign), "it touched what is no ticket")
    expect(world.store.has("peers/notes"), "it touched a directory that is no peer")


@check("CLM-5", "PLC-2")
def looks_again_after_the_claim(world: World) -> None:
    world.store.add("1", at="parked/held", parked={"why": "held", "reason": "a person has it"})
    world.store.add("2", needs=("1",), at="ready/2/000000")
    world.store.add("3", at="ready/2/000000", cancelled={"reason": "not any more"})
    world.store.add("4", at="ready/2/000000", parked={"why": "deferred", "reason": "later"})
    world.store.add("5", needs=("3",), at="ready/2/000000")
    world.store.add("6", needs=("nobody",), at="ready/2/000000")
    world.join("a").run("claim").must("nothing", 4)
    places = ("waiting/1/2", "parked/cancelled/3", "parked/deferred/4", "parked/blocked/5", "parked/blocked/6")
    for place in places:
        world.lies(place[-1], f"queue/{place}~1")
    world.sound()


# -- ending ------------------------------------------------------------------------------------------------------


@check("CMP-2", "CMP-4", "NAM-6")
def completes_and_places_what_waited(world: World) -> None:
    world.store.add("Ab")
    world.store.add("2", needs=("Ab",))
    world.store.add("3", needs=("Ab", "2"))
    world.store.add("4", needs=("Ab",), priority="high")
    peer = world.join("a")
    peer.claimed("Ab", 1)
    peer.run("complete", "Ab").must("done Ab")
    world.lies("Ab", f"queue/done/{shard('ab')}/Ab")
    world.lies("2", "queue/ready/2/000000/2~0")
    world.lies("3", "queue/waiting/2/3~0")
    world.lies("4", "queue/ready/1/000000/4~0")
    record = world.store.record(f"results/{shard('ab')}/Ab~1.done.json")
    said = [record.get(key) for key in ("task_id", "epoch", "outcome", "peer", "incarnation")]
    expect(said == ["Ab", 1, "done", "a", peer.me], f"the result says {said}")
    expect(peer.claims() == [], f"it holds {peer.claims()}")
    world.sound()


@check("CMP-3")
def answers_the_same_when_asked_again(world: World) -> None:
    peer = world.holding("1")
    for _ in range(2):
        peer.run("complete", "1").must("done 1")
    world.recorded("1", "1.done")


@check("CMP-6", "RPT-1")
def refuses_what_it_does_not_hold(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    world.store.add("1x2")
    peer, other = world.join("a"), world.store.peer("b~1.x1")
    world.store.hold("1", other, "1~1")
    world.store.finish("2")
    peer.claimed("1x2", 1)
    for task in ("1", "2", "1.2"):
        for words in (("complete", task), ("release", task), ("report", task, "0.5")):
            answer = peer.run(*words)
            expect(answer.code in (3, 4), f"{answer}; expected exit code 4, or 3 where there is no such task")
    world.lies("1", f"{other}/claims/1~1")
    world.lies("1x2", f"{peer.home}/claims/1x2~1")
    world.recorded("1")
    world.sound()


@check("CMP-1", "CMP-4")
def carries_on_what_it_had_completed(world: World) -> None:
    world.store.add("1")
    world.store.add("2", needs=("1",))
    world.store.add("3")
    peer = world.join("a")
    world.store.hold("1", peer.home, "1~1~done")
    world.store.result("1", 1, "done", "a", peer.me)
    answer = peer.run("claim")
    expect(answer.line in ("claimed 2 1", "claimed 3 1"), f"{answer}; expected a claim of 2 or 3")
    world.lies("1", world.store.done("1"))
    world.recorded("1", "1.done")
    world.sound()


@check("END-1", "END-2", "CLM-3")
def releases_and_the_next_claim_is_higher(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    for epoch in (1, 2, 3, 4):
        peer.claimed("1", epoch)
        peer.run("release", "1").must("released 1")
        world.lies("1", f"queue/ready/2/000000/1~{epoch}")
    world.recorded("1", "1.released", "2.released", "3.released", "4.released")
    world.sound()


@check("CLM-3", "CHG-4")
def claims_above_every_result(world: World) -> None:
    world.store.add("1.2")
    world.store.add("1x2")
    world.store.result("1.2", 3, "done", "b", "b~1.x1")
    world.store.result("1.2", 10, "released", "b", "b~1.x1")
    world.store.result("1x2", 40, "done", "b", "b~1.x1")
    peer = world.join("a")
    peer.claimed("1.2", 11)
    world.sound()


@check("RPT-2", "FMT-1")
def reports_under_its_own_name(world: World) -> None:
    peer = world.holding("1")
    peer.run("report", "1", "0.5").must("reported 1")
    record = world.store.record("progress-reports/a.json")
    entries = [entry for entry in record.get("assigned_tasks", []) if entry.get("task_id") == 1]
    said = [(entry.get("progress"), entry.get("epoch"), entry.get("status")) for entry in entries]
    expect(said == [(0.5, 1, "in-progress")], f"its report says {said}")
    expect(record.get("instance_id") == "a", f"its report names {record.get('instance_id')}")
    peer.run("report", "1", "1.5").refused(2)
    world.sound()


# -- eviction and repair -----------------------------------------------------------------------------------------


@check("EVI-1", "EVI-4", "EVI-5", "LDR-3", "CMP-1")
def evicts_and_seals(world: World) -> None:
    for task in ("1", "2", "3"):
        world.store.add(task)
    world.store.add("4", needs=("3",))
    home = world.store.peer("b~2.x1")
    world.store.hold("1", home, "1~1")
    world.store.hold("2", home, "2~7")
    world.store.hold("3", home, "3~1~done")
    world.store.move("queue/leader/leader~0", f"{home}/leader~4")
    peer = world.join("a")
    peer.run("evict", "b~2.x1").must("evicted b~2.x1")
    aside = f"departed/b~2.x1~{peer.me}"
    expect(world.store.has(aside) and not world.store.has(home), "it is not in departed/ under both names")
    expect(not world.store.has(f"{aside}/claims"), "the seal is missing: claims/ is still there")
    expect(world.store.has("queue/leader/leader~4"), "the leader's ticket did not go back under its term")
    world.lies("1", "queue/ready/2/000000/1~1")
    world.lies("2", "queue/ready/2/000000/2~7")
    world.lies("3", world.store.done("3"))
    world.lies("4", "queue/ready/2/000000/4~0")
    for task, outcome in (("1", "1.evicted"), ("2", "7.evicted"), ("3", "1.done")):
        world.recorded(task, outcome)
    world.sound()


@check("END-4", "CMP-5", "EVI-1")
def overwrites_no_word_of_the_holder(world: World) -> None:
    evicted, left = world.store.peer("b~2.x1"), world.store.peer("c~1.x1", under="departed/c~1.x1~c~1.x1")
    held = (("1", evicted, "1~1", "1.failed"), ("2", evicted, "2~3~done", "3.done"), ("3", left, "3~2", "2.released"))
    for task, home, ticket, outcome in held:
        world.store.add(task)
        world.store.hold(task, home, ticket)
        world.store.result(task, int(outcome[0]), outcome[2:], home.split("/")[1][0], home.split("/")[1][:6])
    said = {path: (world.store.root / path).read_bytes() for path in world.store.files() if path.startswith("results/")}
    peer = world.join("a")
    peer.run("evict", "b~2.x1").must("evicted b~2.x1")
    peer.run("sweep").must("swept")
    for path, before in said.items():
        expect((world.store.root / path).read_bytes() == before, f"{path}, which its holder wrote, was overwritten")
    world.recorded("1", "1.evicted", "1.failed")
    world.recorded("2", "3.done")
    world.recorded("3", "2.released")
    world.sound()


@check("EVI-1")
def cannot_evict_who_is_gone(world: World) -> None:
    peer = world.join("a")
    peer.run("evict", "b~1.x1").must("gone b~1.x1", 4)
    world.sound()


@check("END-3")
def parks_what_kills_its_holders(world: World) -> None:
    world.store.add("1")
    peer = world.join("a")
    for life, epoch in enumerate((1, 2, 5), start=1):
        home = world.store.peer(f"b~{life}.x1")
        world.store.hold("1", home, f"1~{epoch}")
        if life == 2:
            world.store.result("1", 2, "failed", "b", "b~2.x1")  # both outcomes of one attempt are one attempt
        peer.run("evict", f"b~{life}.x1").must(f"evicted b~{life}.x1")
        world.lies("1", f"queue/parked/failed/1~{epoch}" if life == 3 else f"queue/ready/2/000000/1~{epoch}")
    world.sound()


@check("EVI-2", "TDY-1", "LAY-5")
def sweeps_what_others_left(world: World) -> None:
    world.store.add("1")
    world.store.add("2")
    left = world.store.peer("b~1.x1", under="departed/b~1.x1~b~1.x1")
    evicted = world.store.peer("c~1.x1", under="departed/c~1.x1~d~1.y1")
    world.store.hold("1", left, "1~3")
    world.store.hold("2", evicted, "2~1")
    world.store.touch(f"{evicted}/claims/notes.txt")
    world.join("a").run("sweep").must("swept")
    for home in (left, evicted):
        expect(not world.store.has(f"{home}/claims"), f"{home} is not sealed")
    world.lies("1", "queue/ready/2/000000/1~3")
    world.lies("2", "queue/ready/2/000000/2~1")
    world.recorded("1", "3.released")
    world.recorded("2", "1.evicted")
    expect(world.store.names("quarantine"), "what was no ticket in claims/ is not in quarantine/")
    world.sound()


@check("EVI-2", "TDY-1", "LDR-3")
def takes_the_leaders_ticket_from_a_sealed_directory(world: World) -> None:
    home = world.store.peer("b~1.x1", under="departed/b~1.x1~c~1.y1")
    (world.store.root / home / "claims").rmdir()
    world.store.move("queue/leader/leader~0", f"{home}/leader~3")
    world.join("a").run("sweep").must("swept")
    expect(world.store.has("queue/leader/leader~3"), "the leader's ticket is still with who departed")


@check("TDY-3", "PLC-4")
def places_again_what_waits_for_something_done(world: World) -> None:
    for task in ("1", "2"):
        world.store.add(task)
    world.store.add("3", needs=("1", "2"))
    world.store.add("4", needs=("2",), at="parked/blocked")
    world.store.finish("1")
    peer = world.join("a")
    peer.run("sweep").must("swept")
    world.lies("3", "queue/waiting/2/3~0")
    world.lies("4", "queue/waiting/2/4~0")
    world.sound()


@check("TDY-4", "INV-1")
def repairs_twice_as_well_as_once(world: World) -> None:
    world.store.add("1")
    home = world.store.peer("b~1.x1", under="departed/b~1.x1~c~1.y1")
    world.store.hold("1", home, "1~1")
    peer = world.join("a")
    peer.run("sweep").must("swept")
    before = world.store.files()
    peer.run("sweep").must("swept")
    changed = [path for path in set(before) ^ set(world.store.files()) if not path.startswith(("bell/", "events/"))]
    expect(not changed, f"a second sweep changed {changed}")
    world.sound()
