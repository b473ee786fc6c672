"""Many peers, many faults, every choice drawn from a seed: the laws hold at every step and at rest.

One seed, with its file operations:  PEERCOORD_SEED=936 pytest tests/simulation -k one_seed
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation import sweep
from simulation.world import KINDS, THEMES, World, tell

HERE = Path(__file__).parent
KNOWN = [int(line.split()[0]) for line in (HERE / "seeds.txt").read_text().splitlines() if line[:1].isdigit()]
SEED = os.environ.get("PEERCOORD_SEED", "")
FIRST = int(os.environ.get("PEERCOORD_FIRST_SEED", "0"))
FEW, MANY = 40, 10_000
JOBS = 2


@pytest.mark.parametrize("seed", [int(SEED)] if SEED else [0])
def test_one_seed(seed: int) -> None:
    told = tell(seed)
    assert not told.wrong, sweep.story(seed)


@pytest.mark.parametrize("seed", KNOWN)
def test_a_seed_that_once_failed(seed: int) -> None:
    told = tell(seed)
    assert not told.wrong, sweep.story(seed)


def test_a_few_seeds() -> None:
    found = sweep.failures(FIRST, FIRST + FEW, stop=True)
    assert not found, sweep.story(found[0].seed)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_thousand_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    share = MANY // JOBS
    words = [sys.executable, "-m", "simulation.sweep"]
    starts = range(FIRST, FIRST + MANY, share)
    running = [
        subprocess.Popen([*words, str(start), str(start + share)], cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
        for start in starts
    ]
    said = [process.communicate()[0] for process in running]
    with capsys.disabled():
        print("", *said, sep="\n", end="")
    assert [process.returncode for process in running] == [0] * JOBS, "".join(said)


def test_the_same_seed_is_the_same_run() -> None:
    """Also in another process, whose strings hash otherwise."""
    program = "from simulation.world import tell; print([(t.mark, t.steps) for t in map(tell, range(10))])"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=HERE.parent,
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    }
    assert len(said) == 1


def test_seeds_cover_every_kind_of_run() -> None:
    worlds = [World(seed) for seed in range(400)]
    assert {world.kind for world in worlds} == {kind for kind, _ in KINDS}
    assert {world.faults.partition(":")[0] for world in worlds} == {*THEMES, "anything"}
    faults = {fault.partition("=")[0].strip() for w in worlds for fault in w.faults.partition(":")[2].split(",")}
    assert faults >= {"crash", "pause", "stale_stat", "stale_list", "follow", "unanswered", "refused", "full", "outage"}
    assert faults >= {"both_names", "both_win", "torn_listing", "asleep", "dither"}


def test_a_seed_that_fails_tells_its_story() -> None:
    story = sweep.story(0, "claim_by_read_then_write")
    assert "seed 0 (" in story
    assert "(INV-1)" in story
    assert "rename " in story
    assert story.endswith("again: PEERCOORD_SEED=0 pytest tests/simulation -k one_seed")
