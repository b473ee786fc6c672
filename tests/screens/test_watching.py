"""A screen wakes at what it shows, and sleeps through everything else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from peercoord.queue.queue import Queue
from peercoord.screens import watching
from peercoord.screens.watching import Watching
from peercoord.store import paths, records, session_records
from peercoord.store import root as roots
from peercoord.store.root import Root
from peercoord.system import process

LONG = 60.0  # nobody waits so long: a test that sleeps to its end has failed


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return roots.create(str(tmp_path / paths.ROOT), "app")


@pytest.fixture
def watched(root: Root) -> Iterator[Watching]:
    made = Watching(root)
    made.renew()
    yield made
    made.close()


def test_a_change_of_the_queue_wakes(root: Root, watched: Watching) -> None:
    Queue(root).add(records.define("1", "One"))
    assert watched.wait(LONG)


def test_an_event_and_a_report_wake(root: Root, watched: Watching) -> None:
    root.event("one", "progress", task="1")
    assert watched.wait(LONG)


def test_what_a_session_says_wakes_once_its_directory_is_there(root: Root, watched: Watching) -> None:
    session_records.write(root.files, "one", {"state": "working"})
    watched.renew()
    while watched.wait(0.2):
        pass
    session_records.write(root.files, "one", {"state": "idle"})
    assert watched.wait(LONG)


def test_the_end_of_a_process_wakes(watched: Watching) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as running:
        session = {**(process.identify(running.pid) or {}), "program": "claude"}
        watched.renew([{**process.here(), "session": session}])
        assert running.stdin is not None
        running.stdin.close()
        assert watched.wait(LONG)


def test_reading_the_board_and_other_files_wake_nobody(root: Root, watched: Watching) -> None:
    while watched.wait(0.2):
        pass
    root.files.put(paths.STATE, b"{}")
    [root.files.scan(name) for name in watching.SHOWN]
    assert not watched.wait(0.1)


def test_looks_are_rare_where_events_come_and_where_a_look_is_long(
    root: Root, watched: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (watched.pause(0.0), watched.pause(1.0)) == (watching.LOOK_SECONDS, watching.SHARE)
    monkeypatch.setattr(watching, "is_local", lambda _: False)
    far = Watching(root)
    far.renew()
    assert far.pause(0.0) == watching.DEAF_SECONDS
    far.close()


def test_closing_frees_every_descriptor(root: Root) -> None:
    before = {*os.listdir("/proc/self/fd")} if os.path.isdir("/proc/self/fd") else set()
    made = Watching(root)
    made.renew()
    made.close()
    assert not before or {*os.listdir("/proc/self/fd")} <= before  # fewer, if those of an earlier test were collected
