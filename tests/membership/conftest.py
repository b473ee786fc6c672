from __future__ import annotations

from pathlib import Path

import pytest
from support.worlds import World

from peercoord.system.disk import Disk


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A coordination directory on the real disk."""
    return World.new(Disk(str(tmp_path)))
