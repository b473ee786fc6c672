"""Two programs on one task (or as few as it takes): every interleaving, a crash at every step, then a repair.

And with one answer lost after the deed, at every place where that can be. What comes out at the end is compared with
what may come out: an exploration that cannot fail shows nothing, so broken rules are explored as well. By default only
those run that take less than a second; ``-m slow`` runs the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import pytest
from support.memory import MemoryDisk

from peercoord.store.paths import Incarnation
from simulation import scenes
from simulation.baton import ViolationError
from simulation.explore import Explorer
from simulation.flat import FlatDisk
from simulation.mutants import planted
from simulation.scenes import Scene, program

FREE: dict[str, tuple[str, ...]] = {"t1": ()}
CHAIN: dict[str, tuple[str, ...]] = {"t1": (), "t2": ("t1",)}
BOTH: dict[str, tuple[str, ...]] = {"t1": (), "t2": (), "t3": ("t1", "t2")}
EDITING = ("tasks/", "queue/parked")
ADDING = ("births/", "tasks/", "queue/parked")


class Small(NamedTuple):
    """What two programs do and where they begin.

    Attributes:
        first: The steps of ``a``, by their names in ``scenes``, each with its words.
        second: The steps of ``b``, or of another peer that is named first.
        tasks: Each task, and what it depends on.
        held: Which task a peer holds (``a t1``), or has completed and not filed (``a t1 done``).
        departed: ``a`` was evicted by ``b`` and not swept.
        done: ``a`` has completed t1.
        moving: Which paths the programs change that otherwise stand still.
        reopening: A task may be opened again.
    """

    first: str
    second: str
    tasks: dict[str, tuple[str, ...]] = FREE
    held: tuple[str, ...] = ()
    departed: bool = False
    done: bool = False
    moving: tuple[str, ...] = ()
    reopening: bool = False


HELD = ("a t1",)
SWEEP = "sweep a b"
SMALL = {
    "claim_and_claim": Small("claim", "claim"),
    "finish_and_finish": Small("finish", "finish"),
    "claim_and_evict": Small("claim", "evict a"),
    "complete_and_evict": Small("complete t1", "evict a", held=HELD),
    "complete_evict_and_redo": Small("complete t1", "evict a; finish", held=HELD),
    "release_and_evict": Small("release t1", "evict a", held=HELD),
    "fail_and_evict": Small("fail t1", "evict a", held=HELD),
    "park_and_evict": Small("park t1", "evict a", held=HELD, moving=EDITING),
    "release_and_claim": Small("release t1", "claim", held=HELD),
    "leave_and_claim": Small("leave", "claim", held=HELD),
    "leave_and_evict": Small("leave", "evict a", held=HELD),
    "evict_each_other": Small("evict b", "evict a", held=HELD),
    "sweep_and_sweep": Small(f"b: {SWEEP}", f"c: {SWEEP}", CHAIN, HELD, departed=True),
    "sweep_and_tidy_what_was_completed": Small(f"b: {SWEEP}", "c: tidy", CHAIN, ("a t1 done",), departed=True),
    # both dependencies of a task are completed: whoever places it looks at the other one, before and after
    "complete_and_place": Small("complete t1", "complete t2", BOTH, ("a t1", "b t2")),
    "complete_and_tidy": Small("complete t1", "tidy", CHAIN, HELD),
    "complete_and_reassign": Small("complete t1", "reassign t1 'b", held=HELD),
    "claim_and_reassign": Small("claim", "reassign t1 'b"),
    "claim_and_cancel": Small("claim", "cancel t1", moving=EDITING),
    "complete_and_cancel": Small("complete t1", "cancel t1", held=HELD, moving=EDITING),
    "cancel_and_finish": Small("cancel t1", "finish", CHAIN, moving=EDITING),
    "join_and_join": Small("n~1.x: join", "n~1.y: join"),  # stand for two processes; each finds its own incarnation
    "add_and_add": Small("add t9", "add t9", moving=ADDING),
    "add_and_tidy": Small("add t9 t1", "tidy", moving=ADDING),
    "add_and_complete": Small("add t9 t1", "complete t1", held=("b t1",), moving=ADDING),
    "lead_and_lead": Small("lead", "lead"),
    "lead_and_evict": Small("lead", "evict a"),
    "lead_and_usurp": Small("lead", "usurp a"),
    "beat_and_evict": Small("beat", "evict a"),
    "reopen_and_redo": Small("reopen t1", "finish", done=True, moving=EDITING, reopening=True),
    # without the mutex: one reopens what the other one has reopened and done once more
    "reopen_and_reopen_and_redo": Small(
        "reopen t1", "reopen t1; finish; finish", done=True, moving=EDITING, reopening=True
    ),
    "finish_and_finish_two": Small("finish; finish", "finish; finish", {"t1": (), "t2": ()}),
    "finish_and_finish_a_chain": Small("finish; finish", "finish; finish", CHAIN),
    "finish_two_and_evict": Small("finish; finish", "evict a; finish", CHAIN),
    "finish_two_and_tidy": Small("finish; finish", "finish; tidy", CHAIN),
}
LARGE = {  # the situations that they have at least: an exploration that became trivial is noticed
    "complete_evict_and_redo": 5,
    "cancel_and_finish": 5,
    "add_and_tidy": 5,
    "complete_and_tidy": 5,
    "reopen_and_reopen_and_redo": 5,
    "finish_and_finish_two": 5_000,
    "finish_and_finish_a_chain": 5_000,
    "finish_two_and_evict": 200_000,
    "finish_two_and_tidy": 20_000,
}
SECONDS = {  # those that take a second or more
    *("sweep_and_tidy_what_was_completed", "add_and_complete", "fail_and_evict", "complete_and_cancel"),
    *("claim_and_cancel", "release_and_evict", "add_and_add", "park_and_evict", "complete_and_place"),
}


def slow(*values: str, when: bool) -> Any:
    return pytest.param(*values, marks=[pytest.mark.slow] if when else [])


def played(name: str) -> tuple[Scene, tuple[Any, ...], dict[str, Any]]:
    """Prepare a scene; give it with its programs and how it is explored."""
    small = SMALL[name]
    scene = Scene(**small.tasks)
    peers = {"a": scene.a, "b": scene.b}
    for holder, task, *done in map(str.split, small.held):
        scene.held(peers[holder], task, done=bool(done))
    if small.done:
        scene.held(scene.a, "t1").world.resume(scene.a).complete("t1")
    if small.departed:
        peers["c"] = scene.world.join("c").me
        scene.departed(scene.a, scene.b)

    def read(who: str, text: str) -> Any:
        named, _, steps = text.rpartition(": ")
        me = peers.get(named or who) or Incarnation(named[0], int(named[2]), named[4])
        return program(me, *(step(line.split()) for line in steps.split("; ")))

    def step(words: list[str]) -> Any:
        given = [peers.get(word, word.removeprefix("'")) for word in words[1:]]
        return getattr(scenes, words[0])(*given) if given else getattr(scenes, words[0])

    options = {"moving": small.moving, "reopening": small.reopening}
    return scene, (read("a", small.first), read("b", small.second)), options


@pytest.mark.parametrize("name", [slow(name, when=name in SECONDS) for name in SMALL if name not in LARGE])
def test_every_interleaving(name: str) -> None:
    scene, programs, options = played(name)
    report = scene.explore(*programs, **options)
    assert report.situations > 5
    assert report.ends


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", LARGE)
def test_every_interleaving_of_larger_ones(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scene, programs, options = played(name)
    report = scene.explore(*programs, **options)
    with capsys.disabled():
        print(f"\n{name}: {report}")
    assert report.situations > LARGE[name]
    assert report.ends


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", [name for name in SMALL if name not in LARGE])
def test_every_interleaving_with_one_lost_answer(name: str) -> None:
    scene, programs, options = played(name)
    assert scene.explore(*programs, **options, lost=1).ends


# -- what may come out -------------------------------------------------------------------------------------------


def outcomes(name: str, *words: str) -> set[tuple[str, ...]]:
    """What the two peers were told in the end, by word and peer."""
    scene, programs, options = played(name)
    report = scene.explore(*programs, **options)
    return {
        tuple(sorted(f"{told[0]} {told[1].partition('~')[0]}" for told in end if told[0] in words))
        for end in report.told
    }


def test_of_two_claims_one_wins() -> None:
    assert outcomes("claim_and_claim", "holds") == {("holds a",), ("holds b",)}


@pytest.mark.slow
def test_a_completion_is_acknowledged_or_refused_never_both() -> None:
    found = outcomes("complete_evict_and_redo", "done", "refused", "evicted")
    assert ("done a", "evicted a") in found
    assert ("done b", "evicted a", "refused evicted") in found
    assert not any("done a" in end and "done b" in end for end in found)


def test_of_two_that_join_at_most_one_stays() -> None:
    found = outcomes("join_and_join", "joined", "refused")
    assert all(sum(word.startswith("joined") for word in end) <= 1 for end in found)
    assert any(sum(word.startswith("joined") for word in end) == 1 for end in found)


@pytest.mark.slow
def test_of_two_that_add_one_task_one_does() -> None:
    found = outcomes("add_and_add", "added", "refused")
    assert {sum(word.startswith("added") for word in end) for end in found} == {1}


def test_one_leads() -> None:
    scene, programs, options = played("lead_and_lead")
    for end in scene.explore(*programs, **options).told:
        assert sorted(told[2] for told in end if told[0] == "leads") in (["1", "None"], ["1"])


# -- what must be noticed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mutant", "name", "law"),
    [
        ("sweep_puts_the_completed_back", "complete_and_evict", "CMP-1"),
        ("evict_without_the_fence", "claim_and_evict", "INV-5"),
        ("two_under_one_name", "join_and_join", "MBR-3"),
        ("claim_by_read_then_write", "claim_and_claim", "INV-1"),
        ("race_toward_a_shared_name", "claim_and_claim", "INV-2"),
        ("reassign_keeps_the_epoch", "complete_and_reassign", "INV-3"),
        ("reassign_what_is_completed", "complete_and_reassign", "CMP-1"),
        ("birth_before_the_ticket", "add_and_tidy", "INV-1"),
        slow("no_placing_again", "complete_and_tidy", "at rest", when=True),
        slow("complete_straight_to_the_shared_name", "complete_evict_and_redo", "INV-4", when=True),
        slow("claim_at_a_used_epoch", "reopen_and_reopen_and_redo", "INV-3", when=True),
    ],
)
def test_a_broken_rule_is_found(mutant: str, name: str, law: str) -> None:
    scene, programs, options = played(name)
    options = {**options, "moving": (*options["moving"], "queue/parked")}
    with planted(mutant), pytest.raises(ViolationError, match=law):
        scene.explore(*programs, **options)


@pytest.mark.slow
def test_without_the_second_look_a_task_is_forgotten() -> None:
    """PLC-4: tidying would mend it; so nobody tidies, and after two completions a task waits for something done."""
    for mutant, forgotten in (("", False), ("placement_without_the_second_look", True)):
        with planted(mutant):
            assert any("queue/waiting" in path for path in ends("complete_and_place")) == forgotten


def ends(name: str) -> Iterator[str]:
    """Where task t3 lies at each end."""

    class Ends(Explorer):
        found: set[str]

        def _ended(self, situation: Any) -> None:
            if all(point.call is None for point in situation.points):
                self.found.add(situation.places["t3"])

    scene, programs, _ = played(name)
    explorer = Ends(FlatDisk.like(scene.disk), programs, scenes.repaired)
    explorer.found = set()
    explorer.explore()
    yield from explorer.found


# -- the table it works on ---------------------------------------------------------------------------------------


CALLS = ("mkdir", "mkdir", "create", "rename", "rename", "unlink", "rmdir", "listdir", "read", "stat")


def test_the_flat_directory_answers_as_the_deep_one() -> None:
    chance = Random(7)
    names = ["a", "b", "a/x", "a/y", "b/x", "b/x/z", "a/x/z", "c"]
    for _ in range(60):
        deep, flat = MemoryDisk(), FlatDisk({})
        for _ in range(60):
            call = chance.choice(CALLS)
            args: list[Any] = [chance.choice(names)]
            more: dict[str, list[Any]] = {"create": [b"data", False], "rename": [chance.choice(names)], "read": [99]}
            args += more.get(call, [])
            assert answered(deep, call, args) == answered(flat, call, args), (call, args)
            assert (deep.files(), deep.folders()) == (flat.files(), flat.folders())


def answered(disk: Any, call: str, args: list[Any]) -> Any:
    try:
        answer = getattr(disk, call)(*args)
    except OSError as error:
        return type(error).__name__ if error.errno is None else error.errno
    if call == "listdir":
        return sorted(answer)
    return (answer.is_dir, answer.size) if call == "stat" else answer
