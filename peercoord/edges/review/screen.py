"""The review screen: both sides beside each other, what they change, what is proposed, and the keys.

It draws text that agents wrote, so nothing of that text reaches the terminal but printable characters, each in the
cells it takes. From 80 columns the sides stand beside each other, below it under each other; what does not fit the
window is cut, and the cut says by how much.
"""

from __future__ import annotations

from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from peercoord.edges.reply import plain
from peercoord.edges.review import words
from peercoord.edges.review.words import ADDED, CONTEXT, MARKER, TAKEN, Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from peercoord.edges.review.model import View
    from peercoord.edges.review.words import Row

LEAST_WIDTH = 24
BESIDE = 80  # columns from which two sides stand beside each other
BODY_LEAST = 9  # lines for texts, however low the window is
PROPOSED_LEAST = 3
ROUND, ASCII = "┌┬┐├┴┤└┘─│┼", "++++++++-|+"
STYLES = {ADDED: "green", TAKEN: "red", MARKER: "bold yellow"}
_WRAPPER = Console(width=BESIDE, color_system=None)


def draw(view: View, width: int, height: int | None = None, place: str = "", frame: str = ROUND) -> list[Text]:
    """Draw what waits.

    Args:
        view: What waits.
        width: Columns.
        height: Lines of the window; ``None`` for no limit.
        place: Where it stands among others, as ``1 of 2``.
        frame: The characters of the frame: ``ROUND`` or ``ASCII``.
    """
    width = max(width, LEAST_WIDTH)
    head, foot = _head(view, width, place), below(view, width) if height else []
    panes = _panes(view, width, CONTEXT)
    if not height:
        return [*head, *_framed(panes, [pane.need for pane in panes], width, frame)]
    frames = len(panes) + 1
    room = max(BODY_LEAST, height - len(head) - len(foot) - frames - 1)
    if sum(pane.need for pane in panes) > room:
        panes = _panes(view, width, 0)
    if sum(pane.need for pane in panes) > room:
        room -= len(panes)  # for the lines that say what was cut
    return [*head, *_framed(panes, _shares([pane.need for pane in panes], room), width, frame), *foot]


def keys(view: View) -> list[tuple[str, str]]:
    """Give the keys that mean something for what is shown, with what they do."""
    if view.gone:
        own = [("r", "restore it"), ("x", "it is meant to be gone")]
    elif view.conflict:
        takes = [(str(at), f"take {plain(side.label)}") for at, side in enumerate(view.sides, 1)]
        own = [*takes, ("b", "both"), ("e", "edit in $EDITOR"), ("x", "reject")]
    else:
        own = [("1", "keep as it is"), ("2", f"take {plain(view.sides[0].label)}'s"), ("e", "edit in $EDITOR")]
        own.append(("x", "reject"))
    return [*own, ("n", "next"), ("d", "full diff"), ("q", "leave pending")]


def below(view: View, width: int) -> list[Text]:
    """Give what stands below: that nothing happens by itself, and the keys."""
    note = f"Nothing is written until you choose; undo keeps {view.days} days."
    parts = [Text.assemble((name, "bold cyan"), f" {does}") for name, does in keys(view)]
    return [*_wrapped(Text(note, style="dim"), width - 1, " "), *_spread(parts, width, " ", "  ")]


def full(view: View) -> list[Text]:
    """Give every line of every side, with what it changes."""
    found: list[Text] = []
    for side in view.sides:
        found += [Text(f"{plain(side.label)}: {plain(side.about)}", style="bold")]
        found += [_marked(line) for row in words.rows(view.base, side.text) for line in row.sides if line]
    if view.proposed:
        found += [Text("proposed", style="bold")]
        found += [_marked(line) for row in words.marked(view.proposed, view.marker) for line in row.sides if line]
    return found


# -- above and below -------------------------------------------------------------------------------------------


def _head(view: View, width: int, place: str) -> list[Text]:
    title, indent = plain(f"{view.called}  {view.place}"), "    "
    why = Text(plain(view.why), style="yellow")
    room = width - cell_len(title) - cell_len(why.plain) - cell_len(place)
    facts = [view.base_about, *(f"{side.label}  {side.about}" for side in view.sides)]
    if room >= 6:
        gap = " " * (room // 2)
        right = " " * (room - room // 2)
        first = [Text.assemble((title, "bold"), gap, why, right if place else "", place)]
    else:
        first = [*_spread([Text(title, style="bold"), *([Text(place)] if place else [])], width, "")]
        first += _wrapped(why, width - len(indent), indent)
    return [*first, *_spread([Text(plain(fact), style="dim") for fact in facts], width, indent)]


def _spread(parts: Iterable[Text], width: int, indent: str, between: str = "     ") -> list[Text]:
    """Put parts on as few lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + len(between) + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], between, part)
        else:
            lines += _wrapped(part, width - len(indent), indent)
    return lines


def _wrapped(text: Text, width: int, indent: str = "") -> list[Text]:
    """Break a line where it must be broken, by the cells it takes."""
    broken = text.wrap(_WRAPPER, max(width, 1), overflow="fold") or [text]
    return [Text.assemble(indent, line) for line in broken]


# -- the panes -------------------------------------------------------------------------------------------------


class _Pane:
    """A part of the frame: one text, or two beside each other, under their titles.

    Attributes:
        titles: One for each column.
        widths: Inner widths of the columns.
        lines: Its lines; of each, one part for each column.
        need: How many lines it has.
    """

    def __init__(self, titles: Sequence[str], widths: Sequence[int], rows: Iterable[Row | int]) -> None:
        self.titles, self.widths = titles, widths
        self.lines = [line for row in rows for line in self._line(row)] or [[Text()] * len(widths)]
        self.need = len(self.lines)

    def _line(self, row: Row | int) -> Iterator[list[Text]]:
        if isinstance(row, int):
            yield [Text(f" ⋯ {row} line{'' if row == 1 else 's'} unchanged", style="dim") for _ in self.widths]
            return
        parts = [_cell(line, width) for line, width in zip(row.sides, self.widths, strict=True)]
        for group in zip_longest(*parts):
            yield [part or Text() for part in group]


def _panes(view: View, width: int, context: int) -> list[_Pane]:
    inner, both = width - 2, [plain(side.label) for side in view.sides]
    if view.gone:
        return [_Pane([f"gone: {both[0]}"], [inner], words.rows(view.base, ""))]

    def fold(rows: Sequence[Row]) -> Sequence[Row | int]:
        return words.folded(rows, context)

    if not view.conflict:
        return [_Pane([f"proposed: {both[0]}"], [inner], fold(words.rows(view.base, view.sides[0].text)))]
    texts = [side.text for side in view.sides]
    if width >= BESIDE:
        left = (inner - 1) // 2
        panes = [_Pane(both, [left, inner - 1 - left], fold(words.rows(view.base, *texts)))]
    else:
        columns = zip(both, texts, strict=True)
        panes = [_Pane([title], [inner], fold(words.rows(view.base, text))) for title, text in columns]
    return [*panes, _Pane(["proposed"], [inner], fold(words.marked(view.proposed, view.marker)))]


def _cell(line: Line | None, width: int) -> list[Text]:
    if line is None:
        return [Text()]
    mark = line.mark if line.mark in (ADDED, TAKEN) else " "
    style = STYLES.get(line.mark, "")
    lines = _wrapped(_coloured(line), width - 3) or [Text()]
    heads = [f" {mark} ", *["   "] * (len(lines) - 1)]
    return [Text.assemble((head, style), part) for head, part in zip(heads, lines, strict=True)]


def _coloured(line: Line) -> Text:
    text = Text(plain(line.text), style=STYLES.get(line.mark, ""))
    for start, end in line.changed:
        text.stylize("bold underline" if line.mark == ADDED else "bold strike", start, end)
    return text


def _marked(line: Line) -> Text:
    mark = line.mark if line.mark in (ADDED, TAKEN) else " "
    return Text.assemble((f" {mark} ", STYLES.get(line.mark, "")), _coloured(line))


def _framed(panes: Sequence[_Pane], shares: Sequence[int], width: int, frame: str) -> list[Text]:
    lines: list[Text] = []
    above: Sequence[int] = ()
    for pane, share in zip(panes, shares, strict=True):
        lines.append(_rule(pane, above, frame))
        shown = pane.lines[:share]
        more = len(pane.lines) - len(shown)
        lines += [_between(line, pane.widths, frame[9]) for line in shown]
        if more:
            said = Text(f" … {more} more line{'' if more == 1 else 's'}, d shows all", style="dim")
            lines.append(_between([said], [width - 2], frame[9]))
        above = pane.widths
    lines.append(_edge(above, frame))
    return lines


def _shares(needs: Sequence[int], room: int) -> list[int]:
    """Share lines out. What is proposed follows from the sides, so they come first, in equal parts."""
    if sum(needs) <= room:
        return list(needs)
    *sides, last = needs
    left = room - min(last, PROPOSED_LEAST) if sides else room
    given = [0] * len(sides)
    for count, at in enumerate(sorted(range(len(sides)), key=sides.__getitem__)):
        given[at] = max(1, min(sides[at], left // (len(sides) - count)))
        left -= given[at]
    return [*given, max(1, min(last, room - sum(given)))]


def _between(parts: Sequence[Text], widths: Sequence[int], bar: str) -> Text:
    line = Text(bar)
    for part, width in zip(parts, widths, strict=True):
        fitted = part.copy()
        fitted.truncate(width, overflow="crop", pad=True)
        line = Text.assemble(line, fitted, bar)
    return line


def _rule(pane: _Pane, above: Sequence[int], frame: str) -> Text:
    left, right = (frame[3], frame[5]) if above else (frame[0], frame[2])
    line = left
    for at, (title, size) in enumerate(zip(pane.titles, pane.widths, strict=True)):
        ends = above[0] if len(above) > len(pane.widths) else None
        label = f" {set_cell_size(title, min(cell_len(title), (ends or size) - 4)).rstrip()} "
        rest = frame[8] * (size - cell_len(label))
        if ends is not None:
            at_end = ends - cell_len(label)
            rest = f"{rest[:at_end]}{frame[4]}{rest[at_end + 1 :]}"
        line += label + rest + ("" if at == len(pane.widths) - 1 else frame[1])
    return Text(line + right)


def _edge(above: Sequence[int], frame: str) -> Text:
    return Text(frame[6] + frame[4].join(frame[8] * size for size in above) + frame[7])
