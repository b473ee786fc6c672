"""The coordination directory is deleted during a sync: no row is cancelled because of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.lists import Lists

from peercoord.errors import LostError
from peercoord.membership.leadership import current_term
from peercoord.store import paths


def vanish(state: Path) -> None:
    state.rename(state.with_name("gone"))


def lose_tasks(state: Path) -> None:
    """A deletion (``rm -rf``, ``git clean``) that is half done: the leader's ticket is still there."""
    for name in (paths.BIRTHS, paths.TASKS, paths.QUEUE, paths.RESULTS):
        shutil.rmtree(state / name)


@pytest.mark.parametrize("accident", [vanish, lose_tasks])
@pytest.mark.parametrize("at", [1, 2])
def test_a_directory_deleted_during_a_sync_cancels_no_row(
    lists: Lists, accident: Callable[[Path], None], at: int
) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.settled()
    worker = lists.join()
    worker.request()
    lists.settled()
    worker.complete("1")
    term, calls = current_term(lists.root), 0

    def leads() -> bool:
        nonlocal calls
        calls += 1
        still = current_term(lists.root) == term
        if calls == at:
            accident(lists.home / paths.ROOT)
        return still

    with suppress(LostError):
        lists.sync(leads=leads)
    assert (lists.row(1, "status"), lists.row(2, "status")) == ("in-progress", "pending")
