"""A coordination directory in memory and two peers, for the tests of single clauses."""

from __future__ import annotations

import pytest
from support.worlds import World

from peercoord.queue.worker import Worker


@pytest.fixture
def world() -> World:
    return World.new()


@pytest.fixture
def amber(world: World) -> Worker:
    return world.join("amber")


@pytest.fixture
def birch(world: World) -> Worker:
    return world.join("birch")
