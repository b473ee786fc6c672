"""The simulator is only worth what it notices: each broken rule within 1,000 seeds."""

from __future__ import annotations

import pytest

from peercoord.roles.worker import Worker
from simulation import sweep
from simulation.mutants import MUTANTS

QUICK = ("evict_without_the_fence", "race_toward_a_shared_name", "no_look_after_the_claim", "reassign_keeps_the_epoch")


@pytest.mark.parametrize("mutant", QUICK)
def test_notices_soon(mutant: str) -> None:
    assert sweep.failures(0, 200, mutant, stop=True)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in QUICK])
def test_notices_within_a_thousand_seeds(mutant: str) -> None:
    assert sweep.failures(0, 1000, mutant, stop=True)


def test_a_mutant_is_gone_afterwards() -> None:
    before = Worker._take
    sweep.failures(0, 3, "claim_by_read_then_write")
    assert Worker._take is before
