from __future__ import annotations

import pytest
from support.worlds import World


@pytest.fixture
def world() -> World:
    """A coordination directory in memory: it answers as a real disk does (tests/system/test_disk_contract.py)."""
    return World.new()
