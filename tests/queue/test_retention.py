"""How long tombstones, results and events are kept on a real disk, and which stay for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.retention import DAY_SECONDS, Archivist
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue(roots.create(str(tmp_path / paths.ROOT), "p"))
    for task in ("1", "2"):
        made.add(records.define(task, f"task {task}"))
    return made


def kept(state: Path) -> dict[str, set[str]]:
    """Everything that retention may remove, by kind."""
    return {
        "results": {path.name for path in (state / "results").rglob("*.json")},
        "departed": {path.name.partition("~")[0] for path in (state / "departed").iterdir()},
        "events": {path.name for path in (state / "events").iterdir()},
    }


def age(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Move the filesystem's clock this many days on."""
    now = time.time_ns() + days * DAY_SECONDS * 10**9
    monkeypatch.setattr(Files, "now", lambda _: now)


@pytest.mark.parametrize("days", [30, 3], ids=["the default", "a setting"])
def test_after_the_retention_tombstones_old_attempts_and_rotated_events_go(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """One task is done at the third attempt, the other failed once, and the only peer has left."""
    state = tmp_path / paths.ROOT
    with Peer.join(tmp_path, "one") as peer:
        for end in (peer.fail, peer.fail, lambda task, _: peer.complete(task), peer.fail):
            task = peer.request()
            assert task is not None
            end(task, "not yet")
        (state / "events" / "gone.jsonl.1").write_text("{}\n")
    Janitor(queue, "x").tidy()
    done = next(path.name for path in (state / "queue" / "done").rglob("*") if path.is_file())
    before = kept(state)
    assert (len(before["results"]), before["departed"]) == (4, {"one"})
    queue.root.protocol["settings"]["retention_days"] = days
    age(monkeypatch, days - 1)
    Archivist(queue.root).run()
    assert kept(state) == before
    age(monkeypatch, days + 1)
    Archivist(queue.root).run()
    after = kept(state)
    assert after["departed"] == set()
    assert {"gone.jsonl.1", "one.jsonl"} & after["events"] == {"one.jsonl"}
    mine = {name for name in after["results"] if name.startswith(f"{done}~")}
    assert [name.rpartition(".json")[0].rpartition(".")[2] for name in mine] == ["done"], (
        "of a done task only the last result is kept"
    )
    assert len(after["results"] - mine) == 1, "attempts of an open task still count"


def test_what_is_not_sealed_is_no_tombstone_yet(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, state = Peer.join(tmp_path, "one"), tmp_path / paths.ROOT
    peer.request()
    home = state / peer.membership.home
    home.rename(state / "departed" / f"{home.name}~two~1.x")
    age(monkeypatch, 400)
    Archivist(queue.root).run()
    assert list((state / "departed").glob("*/claims/*"))


def test_a_directory_of_any_depth_expires_and_a_link_in_it_is_not_followed(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").write_text("kept")
    litter = tmp_path / paths.ROOT / paths.TMP
    deep = litter / "deep"
    deep.mkdir()
    (deep / "link").symlink_to(foreign)
    made = [f"{deep}{'/a' * depth}" for depth in range(1, 1201)]
    for path in made:
        os.mkdir(path)
    age(monkeypatch, 1)
    try:
        Archivist(queue.root).litter()
        assert list(litter.iterdir()) == []
    finally:  # what pytest itself cannot remove
        for path in filter(os.path.exists, reversed(made)):
            os.rmdir(path)
    assert (foreign / "file").read_text() == "kept"
