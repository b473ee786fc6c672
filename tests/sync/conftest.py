from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lists import Lists

MEMORY = "/dev/shm"


@pytest.fixture
def place() -> Iterator[Path]:
    """Give an empty directory, in memory where there is such: nothing here is about power cuts."""
    made = Path(tempfile.mkdtemp(prefix="peercoord sync é ", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def lists(place: Path) -> Lists:
    return Lists(place)
