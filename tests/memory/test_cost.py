"""A thousand contributions into a megabyte cost a few readings of it, and one run of git for each contested section."""

from __future__ import annotations

import pytest
from bench import merge as bench


@pytest.mark.slow
def test_a_thousand_contributions_into_a_megabyte() -> None:
    """Check what does not depend on the machine; ``tests/bench`` measures the time."""
    data = bench.measure(1_000_000, 1_000, 1)
    counted = {name: held for name, held in data["bars"].items() if "readings" not in name}
    assert len(counted) == 2
    assert all(counted.values()), data
