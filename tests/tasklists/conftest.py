from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lists import FileLists, Lists
from support.postgres import Server, server

MEMORY = "/dev/shm"


@pytest.fixture
def data() -> Path:
    return Path(__file__).parent / "data"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty directory, in memory if possible: nothing here is about power cuts."""
    made = Path(tempfile.mkdtemp(prefix="peercoord sync é ", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def lists(place: Path) -> Lists:
    return Lists(place)


@pytest.fixture
def file_lists(place: Path) -> FileLists:
    made = FileLists(place)
    made.path.touch()
    return made


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    """Return a PostgreSQL server, if one is installed."""
    with server() as made:
        yield made
