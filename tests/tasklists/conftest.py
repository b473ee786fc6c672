from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists
from support.postgres import Server, server

from peercoord.store import records
from peercoord.tasklists.source import Imported, Reading, read_source

MEMORY = "/dev/shm"
DATA = Path(__file__).parent / "data"


class Read:
    """A reading by task id, every definition proven to survive being written and read again."""

    def __init__(self, reading: Reading) -> None:
        self.refused = reading.refused
        self.tasks: dict[str, Imported] = {}
        for task in reading.tasks:
            made = task.definition
            again = records.Definition.read(records.decode(records.encode(made.raw), "a record"), "a record", made.task)
            assert again.raw == made.raw
            assert made.task not in self.tasks
            self.tasks[made.task] = task

    def __getitem__(self, task: str) -> Imported:
        return self.tasks[task]

    def raw(self, task: str) -> Any:
        return self.tasks[task].definition.raw

    def needs(self, task: str) -> list[str]:
        return self.tasks[task].definition.dependencies

    def notes(self, task: str) -> list[str]:
        notes: list[str] = self.raw(task)["notes"]
        return notes

    @property
    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.tasks.items()}


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture
def read() -> Callable[..., Read]:
    def read(where: str | Path, tag: str | None = None) -> Read:
        return Read(read_source(str(where), tag))

    return read


@pytest.fixture
def tasks_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of tasks, given as objects, and give its path."""

    def write(*tasks: object) -> Path:
        path = tmp_path / "tasks.json"
        path.write_text(json.dumps({"tasks": tasks}))
        return path

    return write


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., Path]:
    """Create a database from a script and rows of ``tasks``; return its path."""

    def make(script: str, *rows: tuple[Any, ...], name: str = "tasks.db") -> Path:
        path = tmp_path / name
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
            for row in rows:
                connection.execute(f"INSERT INTO tasks VALUES ({', '.join('?' * len(row))})", row)
            connection.commit()
        return path

    return make


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty directory, in memory if possible: nothing here is about power cuts."""
    made = Path(tempfile.mkdtemp(prefix="peercoord sync é ", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def lists(place: Path) -> Lists:
    return Lists(place)


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    """Return a PostgreSQL server, if one is installed."""
    with server() as made:
        yield made
