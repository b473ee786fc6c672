"""What a sync costs beside the least that it could: a look at the same files and rows, or the bare making of them.

Rounds are interleaved, and the ratio of medians is what is compared with a bar: what else the machine does falls on
both sides alike.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peercoord.queue.peer import Peer
from peercoord.store import paths as names
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.store.root import Root
from peercoord.system.disk import Disk
from peercoord.tasklists import runner, selection

IDLE_BAR, FIRST_BAR = 4.0, 6.0
FILES_EACH = 3  # ticket, birth record, definition
_EVERY_NTH_WAITS, _EVERY_NTH_DONE = 3, 4
_TEXT = "What is to be done, in some words that are long enough to be like those of a real task. " * 3
_TASKS = (
    "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT, status TEXT, priority TEXT,"
    " dependencies TEXT)"
)


class Counting(Disk):
    """A disk that counts which definitions are read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.definitions = 0

    def read(self, path: str, most: int) -> bytes:
        """Read a file, and note if it is a definition."""
        self.definitions += path.startswith(f"{names.TASKS}/")
        return super().read(path, most)


def measure(tasks: int, rounds: int, where: str = "") -> dict[str, Any]:
    """Measure the first import, and syncs that find nothing to do."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="peercoord-bench-", dir=where or None)))
    try:
        first = _first(base, tasks)
        idle = _idle(base, tasks, rounds)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return {
        "tasks": tasks,
        "rounds": rounds,
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "first_import": first,
        "nothing_to_do": idle,
        "bars": {
            f"nothing to do: at most {IDLE_BAR:g} times a stat and a SELECT": idle["ratio"] <= IDLE_BAR,
            "nothing to do: no definition is read": idle["definitions_read"] == 0,
            f"first import: at most {FIRST_BAR:g} times the bare making": first["ratio"] <= FIRST_BAR,
        },
    }


def _rows(tasks: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for at in range(1, tasks + 1):
        status = "done" if at % _EVERY_NTH_DONE == 0 else "pending"
        needs = f"[{at - 1}]" if at % _EVERY_NTH_WAITS == 0 else "[]"
        rows.append((at, f"Task number {at} of the list", _TEXT, status, "medium", needs))
    return rows


def _lists(base: Path, disk: Disk | None = None) -> runner.Lists:
    root = roots.open_root(str(base / names.ROOT))
    if disk is not None:
        root = Root(Files(disk, root.files.token), root.protocol, root.clock, root.chance, root.intake)
    return runner.Lists(root, "bench", selection.Choice("tasks.db"))


def _first(base: Path, tasks: int) -> dict[str, Any]:
    """Time the first import of a database, and the bare making of as many files and rows with the same flush."""
    with closing(sqlite3.connect(base / "tasks.db")) as connection, connection:
        connection.execute(_TASKS)
        connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", _rows(tasks))
    root = roots.create(str(base / names.ROOT), "bench")
    bare = _timed(lambda: _bare(base / "bare", tasks))
    os.sync()
    taken = _timed(lambda: runner.run(_lists(base)))
    return {
        "bare_ms": round(bare * 1000, 1),
        "import_ms": round(taken * 1000, 1),
        "ratio": round(taken / bare, 2),
        "taken_in": sum(len(root.files.scan(f"{names.BIRTHS}/{shard}")) for shard in root.files.scan(names.BIRTHS)),
    }


def _bare(at: Path, tasks: int) -> None:
    for shard in range(256):
        (at / f"{shard:02x}").mkdir(parents=True)
    data = (_TEXT + '"padding": "as much as a record has beside its text, in keys and marks"').encode()
    for number in range(tasks):
        for kind in range(FILES_EACH):
            with open(f"{at}/{number & 255:02x}/{number}.{kind}", "wb") as handle:
                handle.write(data if kind else b"")
    with closing(sqlite3.connect(at / "rows.db")) as connection, connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, mark TEXT, digest TEXT, base TEXT)")
        rows = [(number, "m" * 60, "d" * 18, _TEXT * 2) for number in range(tasks)]
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
    os.sync()


def _idle(base: Path, tasks: int, rounds: int) -> dict[str, Any]:
    """Time syncs that find nothing to do, each beside a stat of the definitions and a SELECT of the rows."""
    with Peer.join(base, "one") as one, Peer.join(base, "two") as two:
        for peer in (one, two):
            peer.request()
        runner.run(_lists(base))
        runner.run(_lists(base))
        disk = Counting(str(base / names.ROOT))
        paths = [f"{base}/{names.ROOT}/{names.definition(str(at))}" for at in range(1, tasks + 1)]
        bare, taken = [], []
        for _ in range(rounds):
            bare.append(_timed(lambda: _look(paths, base / "tasks.db")))
            taken.append(_timed(partial(_lists(base, disk).sync, 0, lambda: True)))
    return {
        "bare_ms": round(median(bare) * 1000, 1),
        "sync_ms": round(median(taken) * 1000, 1),
        "ratio": round(median(taken) / median(bare), 2),
        "definitions_read": disk.definitions,
    }


def _look(paths: list[str], database: Path) -> None:
    for path in paths:
        os.stat(path)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT * FROM tasks").fetchall()


def _timed(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin
