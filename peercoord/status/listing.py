"""Lists of tasks as text: a table, and a tree of what waits for what. The title stands last, so nothing moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from peercoord.foreign import plain
from peercoord.status.screen import fit
from peercoord.store import paths
from peercoord.store.records import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peercoord.status.views import Row

    WaitsFor = Callable[[Row], Sequence[str]]

HEADS = ("ID", "STATE", "PRIORITY", "HOLDER", "WAITS FOR", "TITLE")
CELLS = (20, 11, 8, 20, 20)  # of each column but the last, at most
INDENT = 36  # cells at most before a task in the tree: what lies deeper stands below one another
STYLES = {
    "done": "green",
    "in-progress": "cyan",
    "waiting": "dim",
    "cancelled": "dim",
    "deferred": "dim",
    "held": "dim",
    "blocked": "yellow",
    "review": "yellow",
    "failed": "red",
    "unreadable": "red",
    "missing": "red",
}
"""The colour of how a task stands."""


def table(rows: Sequence[Row], width: int | None = None, waits_for: WaitsFor | None = None) -> list[Text]:
    """Draw tasks as a table with a header; a column that would be empty is left out.

    Args:
        rows: The tasks, in order.
        width: The cells of a line; ``None``: titles are not cut.
        waits_for: What a task waits for; ``None``: the dependency that its ticket names.
    """
    cells = [_cells(row, waits_for(row) if waits_for else row.waits_for) for row in rows]
    widths = [max((cell_len(line[at]) for line in cells), default=0) for at in range(len(CELLS))]
    widths = [max(wide, len(head)) if wide else 0 for wide, head in zip(widths, HEADS, strict=False)]
    lines = [_line(HEADS, widths, width, "bold", "bold")]
    return lines + [
        _line(line, widths, width, STYLES.get(row.status, ""), "") for row, line in zip(rows, cells, strict=True)
    ]


def _cells(row: Row, needed: Sequence[str]) -> tuple[str, ...]:
    level = paths.PRIORITIES[row.definition.level] if row.definition else "?"
    share = f" {percent(row.progress)}" if row.holder else ""
    holder = fit(row.holder or row.finished_by, CELLS[3] - len(share)) + share
    waits = fit(", ".join(needed), CELLS[4])
    return fit(row.task, CELLS[0]), paths.PARKED_WORDS.get(row.status, row.status), level, holder, waits, row.title


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None, state: str, title: str) -> Text:
    line = Text(" " * (widths[0] - cell_len(cells[0])) + cells[0], "bold" if title else "")
    for at in range(1, len(widths)):
        if widths[at]:
            line += Text("  ") + Text(cells[at], state if at == 1 else title)
            line += Text(" " * (widths[at] - cell_len(cells[at])))
    room = None if width is None else width - line.cell_len - 2
    said = plain(cells[-1]) if room is None else fit(cells[-1], room)
    return line + Text("  ") + Text(said, title)


def tree(rows: Sequence[Row], width: int | None = None) -> list[Text]:
    """Draw tasks below what they depend on: each below the first of its dependencies, and named with the others."""
    known = {row.task: row for row in rows}
    below: dict[str, list[str]] = {}
    for row in rows:
        below.setdefault(_above(row, known), []).append(row.task)
    drawn: set[str] = set()
    lines = [*_branches("", below, known, drawn, width)]
    for row in rows:  # tasks that depend on each other hang below none
        if row.task not in drawn:
            drawn.add(row.task)
            lines.append(_leaf("", row, "", width))
            lines += _branches(row.task, below, known, drawn, width)
    return lines


def _above(row: Row, known: dict[str, Row]) -> str:
    needed = row.definition.dependencies if row.definition else []
    return next((task for task in needed if task in known and task != row.task), "")


def _branches(
    root: str, below: dict[str, list[str]], known: dict[str, Row], drawn: set[str], width: int | None
) -> Iterator[Text]:
    """Draw what hangs below a task; with a stack, for chains may be longer than calls may be deep."""
    left = [(task, "", last) for task, last in _marked(below.get(root, []))]
    while left:
        task, before, last = left.pop()
        if task in drawn:
            continue
        drawn.add(task)
        above = _above(known[task], known)
        yield _leaf(before + ("└─ " if last else "├─ ") if root or above else "", known[task], above, width)
        deeper = before + ("   " if last else "│  ") if (root or above) and len(before) < INDENT else before
        left += [(one, deeper, is_last) for one, is_last in _marked(below.get(task, []))]


def _marked(tasks: Sequence[str]) -> list[tuple[str, bool]]:
    """Tasks in the order in which a stack returns them the other way round, the last one marked."""
    return [(task, at == len(tasks) - 1) for at, task in reversed([*enumerate(tasks)])]


def _leaf(before: str, row: Row, above: str, width: int | None) -> Text:
    others = [f"#{task}" for task in (row.definition.dependencies if row.definition else []) if task != above]
    word = paths.PARKED_WORDS.get(row.status, row.status)
    holder = f", {row.holder} {percent(row.progress)}" if row.holder else ""
    also = f", also needs {', '.join(others[:5])}{' …' if len(others) > 5 else ''}" if others else ""
    start = Text(f"{before}#{plain(row.task)} ") + Text(word, STYLES.get(row.status, ""))
    rest = f"{holder}{also}"
    room = None if width is None else max(8, width - start.cell_len - cell_len(rest) - 2)
    line = start + Text(f"{rest}  ", "dim") + Text(plain(row.title) if room is None else fit(row.title, room))
    if width is not None and line.cell_len > width:
        line.truncate(width, overflow="ellipsis")
    return line
