"""Two programs on one task (or as few as it takes): every interleaving, a crash at every step, then a repair.

And with one answer lost after the deed, at every place where that can be. What comes out at the end is compared with
what may come out: an exploration that cannot fail shows nothing, so broken rules are explored as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from support.memory import MemoryDisk

from peercoord.store.paths import Incarnation
from simulation import scenes
from simulation.baton import ViolationError
from simulation.flat import FlatDisk
from simulation.mutants import planted
from simulation.scenes import Scene, program

Played = tuple[Scene, tuple[Any, ...], dict[str, Any]]
EDITING = {"moving": ("tasks/", "queue/parked")}
ADDING = {"moving": ("births/", "tasks/", "queue/parked")}
SCENES: dict[str, Callable[[], Played]] = {}
LONG = (
    "complete_evict_and_redo",
    "cancel_and_finish",
    "add_and_tidy",
    "complete_and_tidy",
    "reopen_and_reopen_and_redo",
)
"""Those with tens of thousands of situations."""


def scene(function: Callable[[], Played]) -> Callable[[], Played]:
    SCENES[function.__name__] = function
    return function


@scene
def claim_and_claim() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.claim), program(s.b, scenes.claim)), {}


@scene
def finish_and_finish() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.finish), program(s.b, scenes.finish)), {}


@scene
def claim_and_evict() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.claim), program(s.b, scenes.evict(s.a))), {}


@scene
def complete_and_evict() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.evict(s.a))), {}


@scene
def complete_evict_and_redo() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.evict(s.a), scenes.finish)), {}


@scene
def release_and_evict() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.release("t1")), program(s.b, scenes.evict(s.a))), {}


@scene
def fail_and_evict() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.fail("t1")), program(s.b, scenes.evict(s.a))), {}


@scene
def park_and_evict() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.park("t1")), program(s.b, scenes.evict(s.a))), EDITING


@scene
def release_and_claim() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.release("t1")), program(s.b, scenes.claim)), {}


@scene
def leave_and_claim() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.leave), program(s.b, scenes.claim)), {}


@scene
def leave_and_evict() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.leave), program(s.b, scenes.evict(s.a))), {}


@scene
def evict_each_other() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.evict(s.b)), program(s.b, scenes.evict(s.a))), {}


@scene
def sweep_and_sweep() -> Played:
    s = Scene(t1=(), t2=("t1",))
    s.held(s.a, "t1")
    c = s.world.join("c").me
    s.departed(s.a, s.b)
    return s, (program(s.b, scenes.sweep(s.a, s.b)), program(c, scenes.sweep(s.a, s.b))), {}


@scene
def sweep_and_tidy_what_was_completed() -> Played:
    s = Scene(t1=(), t2=("t1",))
    s.held(s.a, "t1", done=True)
    c = s.world.join("c").me
    s.departed(s.a, s.b)
    return s, (program(s.b, scenes.sweep(s.a, s.b)), program(c, scenes.tidy)), {}


@scene
def complete_and_place() -> Played:
    """Both dependencies of a task are completed: whoever places it looks at the other one, before and after."""
    s = Scene(t1=(), t2=(), t3=("t1", "t2"))
    s.held(s.a, "t1")
    s.held(s.b, "t2")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.complete("t2"))), {}


@scene
def complete_and_tidy() -> Played:
    s = Scene(t1=(), t2=("t1",))
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.tidy)), {}


@scene
def complete_and_reassign() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.reassign("t1", "b"))), {}


@scene
def claim_and_reassign() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.claim), program(s.b, scenes.reassign("t1", "b"))), {}


@scene
def claim_and_cancel() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.claim), program(s.b, scenes.cancel("t1"))), EDITING


@scene
def complete_and_cancel() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    return s, (program(s.a, scenes.complete("t1")), program(s.b, scenes.cancel("t1"))), EDITING


@scene
def cancel_and_finish() -> Played:
    s = Scene(t1=(), t2=("t1",))
    return s, (program(s.a, scenes.cancel("t1")), program(s.b, scenes.finish)), EDITING


@scene
def join_and_join() -> Played:
    s = Scene(t1=())
    first, second = Incarnation("n", 1, "x"), Incarnation("n", 1, "y")  # stand for two processes; each finds its own
    return s, (program(first, scenes.join), program(second, scenes.join)), {}


@scene
def add_and_add() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.add("t9")), program(s.b, scenes.add("t9"))), ADDING


@scene
def add_and_tidy() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.add("t9", "t1")), program(s.b, scenes.tidy)), ADDING


@scene
def add_and_complete() -> Played:
    s = Scene(t1=())
    s.held(s.b, "t1")
    return s, (program(s.a, scenes.add("t9", "t1")), program(s.b, scenes.complete("t1"))), ADDING


@scene
def lead_and_lead() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.lead), program(s.b, scenes.lead)), {}


@scene
def lead_and_evict() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.lead), program(s.b, scenes.evict(s.a))), {}


@scene
def lead_and_usurp() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.lead), program(s.b, scenes.usurp(s.a))), {}


@scene
def beat_and_evict() -> Played:
    s = Scene(t1=())
    return s, (program(s.a, scenes.beat), program(s.b, scenes.evict(s.a))), {}


@scene
def reopen_and_redo() -> Played:
    s = Scene(t1=())
    s.held(s.a, "t1")
    s.world.resume(s.a).complete("t1")
    return s, (program(s.a, scenes.reopen("t1")), program(s.b, scenes.finish)), {**EDITING, "reopening": True}


@scene
def reopen_and_reopen_and_redo() -> Played:
    """Without the mutex: one reopens what the other one has reopened and done once more."""
    s = Scene(t1=())
    s.held(s.a, "t1")
    s.world.resume(s.a).complete("t1")
    other = program(s.b, scenes.reopen("t1"), scenes.finish, scenes.finish)
    return s, (program(s.a, scenes.reopen("t1")), other), {**EDITING, "reopening": True}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "sweep_and_tidy_what_was_completed" else [])
        for name in SCENES
        if name not in LONG
    ],
)
def test_every_interleaving(name: str) -> None:
    played, programs, options = SCENES[name]()
    report = played.explore(*programs, **options)
    assert report.situations > 5
    assert report.ends


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", LONG)
def test_every_interleaving_of_longer_ones(name: str) -> None:
    played, programs, options = SCENES[name]()
    assert played.explore(*programs, **options).ends


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", [name for name in SCENES if name not in LONG])
def test_every_interleaving_with_one_lost_answer(name: str) -> None:
    played, programs, options = SCENES[name]()
    assert played.explore(*programs, **options, lost=1).ends


# -- what may come out -------------------------------------------------------------------------------------------


def outcomes(name: str, *words: str) -> set[tuple[str, ...]]:
    """What the two peers were told in the end, by word and peer."""
    played, programs, options = SCENES[name]()
    report = played.explore(*programs, **options)
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


def test_of_two_that_add_one_task_one_does() -> None:
    found = outcomes("add_and_add", "added", "refused")
    assert {sum(word.startswith("added") for word in end) for end in found} == {1}


def test_one_leads() -> None:
    played, programs, options = SCENES["lead_and_lead"]()
    for end in played.explore(*programs, **options).told:
        assert sorted(told[2] for told in end if told[0] == "leads") in (["1", "None"], ["1"])


# -- what must be noticed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mutant", "name", "law"),
    [
        ("placement_without_the_second_look", "complete_and_place", ""),
        ("no_placing_again", "complete_and_tidy", "at rest"),
        ("sweep_puts_the_completed_back", "complete_and_evict", "CMP-1"),
        ("evict_without_the_fence", "claim_and_evict", "INV-5"),
        ("two_under_one_name", "join_and_join", "MBR-3"),
        ("claim_by_read_then_write", "claim_and_claim", "INV-1"),
        ("race_toward_a_shared_name", "claim_and_claim", "INV-2"),
        ("reassign_keeps_the_epoch", "complete_and_reassign", "INV-3"),
        ("reassign_what_is_completed", "complete_and_reassign", "CMP-1"),
        ("complete_straight_to_the_shared_name", "complete_evict_and_redo", "INV-4"),
        ("birth_before_the_ticket", "add_and_tidy", "INV-1"),
        ("claim_at_a_used_epoch", "reopen_and_reopen_and_redo", "INV-3"),
    ],
)
def test_a_broken_rule_is_found(mutant: str, name: str, law: str) -> None:
    played, programs, options = SCENES[name]()
    if not law:  # nothing is broken that a tidying would not mend; so nobody tidies, and somebody is forgotten
        assert forgotten(mutant)
        assert not forgotten("")
        return
    options = {**options, "moving": (*options.get("moving", ()), "queue/parked")}
    with planted(mutant), pytest.raises(ViolationError, match=law):
        played.explore(*programs, **options)


def forgotten(mutant: str) -> bool:
    """Tell whether, after two completions, a task may wait for something done with nobody on the way to it."""
    played, programs, _ = SCENES["complete_and_place"]()
    with planted(mutant):
        return any("queue/waiting" in path for path in ended(played, programs))


def ended(played: Scene, programs: tuple[Any, ...]) -> Iterator[str]:
    """Give where task t3 lies at each end."""
    from simulation.explore import Explorer

    class Ends(Explorer):
        found: set[str]

        def _ended(self, situation: Any) -> None:
            if all(point.call is None for point in situation.points):
                self.found.add(situation.places["t3"])

    explorer = Ends(FlatDisk.like(played.disk), programs, scenes.repaired)
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
