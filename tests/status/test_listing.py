"""Lists of tasks: a table and a tree, in any width, with any title."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from peercoord.foreign import plain
from peercoord.status import listing
from peercoord.status.screen import written
from status.boards import BOARDS, row
from status.test_screens import same_as_kept


@pytest.mark.parametrize("width", [None, 80])
@pytest.mark.parametrize("draw", [listing.table, listing.tree], ids=["table", "tree"])
@pytest.mark.parametrize("name", ["at-work", "foreign"])
def test_the_list(name: str, draw: object, width: int | None, request: pytest.FixtureRequest) -> None:
    assert draw in (listing.table, listing.tree)
    shape = listing.table if draw is listing.table else listing.tree
    lines = written(shape(BOARDS[name]().rows, width))
    assert all(line == plain(line) for line in lines)
    assert width is None or max(map(cell_len, lines)) <= width
    same_as_kept(lines, f"list-{shape.__name__}-{name}-{width or 'whole'}", request)


def test_a_tree_names_each_task_once_also_in_circles_and_long_chains() -> None:
    chain = [row(str(number), "t", "waiting", str(number - 1), needed=[str(number - 1)]) for number in range(1, 3000)]
    ring = [row("a", "t", "waiting", "b", needed=["b"]), row("b", "t", "waiting", "a", needed=["a"])]
    alone = [row("s", "t", "waiting", "s", needed=["s", "gone"])]
    for rows in (chain, ring, alone, [*ring, *chain, *alone]):
        lines = written(listing.tree(rows))
        assert sorted(line.split("#")[1].split()[0] for line in lines) == sorted(one.task for one in rows)
        assert max(map(len, lines)) < 80, "however deep a task lies, it can be read"


def test_the_list_names_all_that_a_task_waits_for() -> None:
    rows = [row("1", "One", "ready"), row("2", "Two", "done"), row("3", "Three", "in-progress", holder="instance-1")]
    rows += [row("4", "Four", "waiting", "1", needed=["1", "2", "3"]), row("5", "Five", "ready", needed=["2"])]
    board = replace(BOARDS["at-work"](), rows=rows)
    lines = written(listing.table(rows, None, board.waits_for))
    assert [line.split()[-2:] for line in lines[-2:]] == [["3", "Four"], ["medium", "Five"]]
    assert "1, 3" in lines[-2]


def test_a_tree_says_what_else_a_task_needs() -> None:
    rows = [row("1", "One", "ready"), row("2", "Two", "ready"), row("3", "Three", "waiting", "1", needed=["1", "2"])]
    assert written(listing.tree(rows)) == ["#1 ready  One", "└─ #3 waiting, also needs #2  Three", "#2 ready  Two"]
    assert Path(__file__).exists()
