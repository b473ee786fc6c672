"""The simulator is only worth what it notices: each broken rule within 2,000 seeds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peercoord.queue.worker import Worker
from simulation import sweep
from simulation.mutants import MUTANTS

ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \| ([^|]+) \|$", re.MULTILINE)
TABLE = {row[0]: (row[1], int(row[2])) for row in ROW.findall((Path(__file__).parent / "README.md").read_text())}
SOON = 5
QUICK = [name for name, (_, seed) in TABLE.items() if seed < SOON]


def test_the_table_has_every_mutant_with_the_seed_that_showed_it() -> None:
    said = {name: sweep.row(name, None).split(" | ")[1] for name in MUTANTS}
    assert {name: what for name, (what, _) in TABLE.items()} == said
    assert max(seed for _, seed in TABLE.values()) < sweep.WITHIN


@pytest.mark.parametrize("mutant", QUICK)
def test_notices_soon(mutant: str) -> None:
    assert sweep.failures(0, 50, mutant, stop=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in QUICK])
def test_notices_within_two_thousand_seeds(mutant: str) -> None:
    assert sweep.failures(0, sweep.WITHIN, mutant, stop=True)


def test_a_mutant_is_gone_afterwards() -> None:
    before = Worker._take
    sweep.failures(0, 3, "claim_by_read_then_write")
    assert Worker._take is before
