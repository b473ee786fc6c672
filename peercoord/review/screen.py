"""The review screen: both sides, what they change, what is proposed, and the keys.

Agents wrote the text that is drawn here. Every piece of it goes through ``plain`` and into a ``Text`` of rich, so that
no escape sequence, markup or invisible character of it reaches the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from peercoord.foreign import plain
from peercoord.review import diff
from peercoord.review.diff import ADDED, CONTEXT, MARKER, TAKEN, Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from peercoord.review.diff import Row
    from peercoord.review.items import Item

BESIDE = 80  # columns from which two sides stand beside each other; else one after the other
ROWS_LEAST = 4  # of each table, however low the window is
_AROUND, _FRAME = 14, 5  # lines of the window around the tables, and of each table around its rows
STYLES = {ADDED: "green", TAKEN: "red", MARKER: "bold yellow"}


def draw(item: Item, width: int, height: int | None = None, place: str = "", ascii_only: bool = False) -> Group:
    """Draw an item: a heading, one table for each text or pair of texts, and the keys.

    The tables are cut to ``height`` lines; with ``None`` they are whole, without keys. ``place`` is where the item
    stands among others, as ``1 of 2``.
    """
    labels, texts = [plain(side.label) for side in item.sides], [side.text for side in item.sides]
    tables: list[tuple[list[str], list[Row]]]
    if not item.conflict:
        tables = [([f"proposed: {labels[0]}"], diff.rows(item.base, texts[0]))]
    elif width >= BESIDE:
        tables = [(labels, diff.rows(item.base, *texts))]
    else:
        tables = [([label], diff.rows(item.base, text)) for label, text in zip(labels, texts, strict=True)]
    if item.conflict:
        tables.append((["proposed"], diff.marked(item.proposed, item.marker)))
    limit = None if height is None else max(ROWS_LEAST, (height - _AROUND) // len(tables) - _FRAME)
    frame = box.ASCII if ascii_only else box.SQUARE
    drawn = [_table(titles, rows, limit, frame) for titles, rows in tables]
    return Group(*_heading(item, place), *drawn, *([below(item)] if height else []))


def keys(item: Item) -> list[tuple[str, str]]:
    """List the keys for an item, each with what it does."""
    if item.conflict:
        takes = [(str(at), f"take {plain(side.label)}") for at, side in enumerate(item.sides, 1)]
        own = [*takes, ("b", "both")]
    else:
        own = [("1", "keep as it is"), ("2", f"take {plain(item.sides[0].label)}'s")]
    return [*own, ("e", "edit in $EDITOR"), ("x", "reject"), ("n", "next"), ("d", "full diff"), ("q", "leave pending")]


def below(item: Item) -> Group:
    """Draw the keys, and that nothing happens without one."""
    note = Text(f" Nothing is written until you choose; undo keeps {item.days} days.", style="dim")
    parts = [Text.assemble((name, "bold cyan"), f" {does}") for name, does in keys(item)]
    return Group(note, Padding(Columns(parts, padding=(0, 2)), (0, 0, 0, 1), expand=False))


def full(item: Item) -> list[Text]:
    """Return every line of every side, with what it changes, for the pager."""
    found: list[Text] = []
    for side in item.sides:
        found.append(Text(f"{plain(side.label)}: {plain(side.about)}", style="bold"))
        found += [_marked(line) for row in diff.rows(item.base, side.text) for line in row.sides if line]
    if item.proposed:
        found.append(Text("proposed", style="bold"))
        found += [_marked(line) for row in diff.marked(item.proposed, item.marker) for line in row.sides if line]
    return found


def _heading(item: Item, place: str) -> list[RenderableType]:
    facts = [item.base_about, *(f"{side.label}  {side.about}" for side in item.sides)]
    below_title = [Text(plain(item.why), style="yellow"), *(Text(plain(fact), style="dim") for fact in facts)]
    title = Text.assemble((plain(f"{item.called}  {item.place}"), "bold"), f"    {place}" if place else "")
    return [title, *(Padding(text, (0, 0, 0, 4), expand=False) for text in below_title)]


def _table(titles: Sequence[str], rows: Sequence[Row], limit: int | None, frame: box.Box) -> Table:
    """A table with one column for each side. Rows beyond the limit are counted in its last row."""
    table = Table(box=frame, expand=True, header_style="bold", padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(Text(f" {title}"), ratio=1, overflow="fold")
    folded = diff.folded(rows, CONTEXT)
    for row in folded[:limit]:
        if isinstance(row, int):
            table.add_row(*(Text(f" ⋯ {row} line{'' if row == 1 else 's'} unchanged", style="dim") for _ in titles))
        else:
            table.add_row(*(_cell(line) for line in row.sides))
    more = len(folded) - len(folded[:limit])
    if more:
        table.add_row(Text(f" … {more} more line{'' if more == 1 else 's'}, d shows all", style="dim"))
    return table


def _cell(line: Line | None) -> RenderableType:
    """A line with its mark. A long line continues beside the mark, never below it."""
    if line is None:
        return ""
    cell = Table.grid(expand=True)
    cell.add_column(width=3)
    cell.add_column(ratio=1, overflow="fold")
    cell.add_row(_mark(line), _coloured(line))
    return cell


def _marked(line: Line) -> Text:
    return Text.assemble(_mark(line), _coloured(line))


def _mark(line: Line) -> Text:
    return Text(f" {line.mark if line.mark in (ADDED, TAKEN) else ' '} ", style=STYLES.get(line.mark, ""))


def _coloured(line: Line) -> Text:
    text = Text(plain(line.text), style=STYLES.get(line.mark, ""))
    for start, end in line.changed:
        text.stylize("bold underline" if line.mark == ADDED else "bold strike", start, end)
    return text
