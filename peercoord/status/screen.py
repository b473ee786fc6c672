"""The status screen: what needs a person first, then the mission's blocks, in colour and in the width there is.

Colour never carries a meaning alone: a sign and a word say the same. Every text from outside is made safe, cut by the
cells that it takes on a terminal, and never broken inside a word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

from peercoord.foreign import plain
from peercoord.status import dashboard, needs, views
from peercoord.status.dashboard import age, ago, bar, overall, tasks
from peercoord.store import ids, paths
from peercoord.store.records import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.segment import Segment

    from peercoord.status.needs import Need
    from peercoord.status.views import Board, PeerView

WIDTH = 80
STATE_CELLS = 26  # right of an instance's task, for what it does
STATE_CELLS_MOST = 40  # the same on a wide screen
NARROW = 72  # below this many cells nothing stands to the right
NAME_CELLS = 20
TITLE_CELLS_LEAST = 8
WHY_CELLS = 160  # of what is said of a branch
WHY_LINES = 3  # of a need; all of it is in `task show`
NEEDS_MOST = 30  # needs that a screen shows; `--json` has all

STYLES = {
    "working": "green",
    "waiting": "blue",
    "idle": "dim",
    "no-session": "dim",
    "permission": "bold yellow",
    "asks": "bold yellow",
    "limited": "magenta",
    "silent": "yellow",
    "stuck": "yellow",
    "turn-failed": "red",
    "gone": "red",
}
"""The colour of what an instance does."""
RED = ("gone", "turn", "failed", "unreadable", "missing", "worktree")  # kinds of needs: something is lost or broken
COMMAND = "cyan"

MARK = "\u200e"  # left-to-right mark; in text from outside it is made visible
_LETTER = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
_RIGHT_TO_LEFT = re.compile(f"{_LETTER}(?:[^A-Za-z█░]*{_LETTER})*")  # words, and what stands between them

_WRAPS = Console(width=1000, force_terminal=False)  # breaks lines and reads styles; nothing is printed on it


def draw(
    board: Board,
    *,
    width: int = WIDTH,
    above: Sequence[str] = (),
    at: str = "",
    branches: Mapping[str, str] | None = None,
    wanted: Sequence[Need] | None = None,
    changed: str = "",
) -> list[Text]:
    """Draw the board.

    Args:
        board: The board.
        width: The cells of a line.
        above: Lines on the state of the team, below the needs.
        at: The project's path, if commands are for a shell elsewhere.
        branches: How each branch stands to the project's own.
        wanted: The needs, if the caller has listed them.
        changed: When something changed last, for a screen that stays; empty for one that is drawn once.
    """
    found = needs.needs(board) if wanted is None else wanted
    peers = sorted([*board.peers, *board.lost], key=lambda peer: ids.natural(peer.name))
    standing = [Text(line, COMMAND if line.startswith(" ") else "bold") for line in above or _standing(board)]
    asked = [*needed(found, board.now, at, width), *(line for one in standing for line in _unbroken(one, width))]
    progress = f"📊 Overall Progress: {bar(board.progress)} {overall(board)}"
    blocks = [
        Text("🤖 Multi-Agent Progress Dashboard", "bold"),
        Text("=====================================", "dim"),
        Text(),
        Text(progress, "bold"),
        Text(),
        Text("🎯 Active Instances:", "bold"),
        *(
            [in_order(line) for peer in peers for line in _peer(board, peer, branches or {}, width)]
            or [Text("   none", "dim")]
        ),
        Text(),
        Text("📋 Task Pipeline:", "bold"),
        Text(f"   ✅ Completed: {tasks(board.count('done'))}"),
        Text(f"   🔄 In Progress: {tasks(board.count('in-progress'))}"),
        Text(f"   📋 Ready: {tasks(board.count('ready'))}"),
        Text(f"   ⏳ Blocked: {tasks(board.count('waiting'))} (waiting for dependencies)"),
        *_parked(board),
        Text(),
        Text("🧠 Memory Updates:", "bold"),
        *_memory(board),
    ]
    top = [*_header(board, width, changed), Text(), *(asked or [Text("Nothing needs you.", "dim")]), Text()]
    return [*top, *(part for line in blocks for part in _wrapped(line, width, 6))]


def written(lines: Iterable[Text], colour: bool = False) -> list[str]:
    """Write drawn lines for a terminal with colours, or without."""
    if not colour:
        return [line.plain.rstrip() for line in lines]
    return ["".join(map(_coloured, line.render(_WRAPS))) for line in lines]


def _coloured(part: Segment) -> str:
    return part.style.render(part.text, color_system=ColorSystem.STANDARD) if part.style else part.text


def fit(text: object, cells: int) -> str:
    """Cut a text to the cells that it may take, with an ellipsis; steering characters are made visible."""
    said = plain(text)
    if cell_len(said) <= cells:
        return said
    cut = Text(said)
    cut.truncate(max(1, cells), overflow="ellipsis")
    return f"{cut.plain[:-1].rstrip()}…"


def in_order(line: Text) -> Text:
    """Keep what follows right-to-left words in its place: a terminal that reorders them would draw bars among them.

    An invisible mark of the writing direction ends each run of such words. Commands get none: people paste them.
    """
    if line.plain.isascii():
        return line
    ends = [found.end() for found in _RIGHT_TO_LEFT.finditer(line.plain)]
    return Text(MARK, end=line.end, no_wrap=line.no_wrap).join(line.divide(ends)) if ends else line


def _unbroken(line: Text, width: int) -> list[Text]:
    """Break a line between words, unless it is a command, which people paste: that begins with blanks."""
    return [line] if line.plain.startswith(" ") else _wrapped(line, width, 2)


def _wrapped(line: Text, width: int, indent: int) -> list[Text]:
    """Break a line between words; the lines after the first are indented."""
    if cell_len(line.plain) <= width:
        return [line]
    first, *_ = line.wrap(_WRAPS, width)
    rest = line[len(first.plain) :]
    more = [one for one in rest.wrap(_WRAPS, width - indent) if one.plain.strip()]
    for one in more:
        one.rstrip()
    return [first, *(Text(" " * indent) + one[len(one.plain) - len(one.plain.lstrip()) :] for one in more)]


def _header(board: Board, width: int, changed: str) -> list[Text]:
    hosts = {str(peer.record.get("machine") or peer.record.get("host") or "") for peer in board.peers}
    where = f" on {len(hosts)} host{'' if len(hosts) == 1 else 's'}" if hosts else ""
    there = f"{len(board.peers)} instance{'' if len(board.peers) == 1 else 's'}{where}"
    leads = [f"led by {fit(board.leader, NAME_CELLS)}" if board.leader else "nobody leads"] if board.peers else []
    clock = f"changed {dashboard.local_time(changed)}" if changed else dashboard.local_time(board.now)
    rest = "".join(f" · {part}" for part in (there, *leads))
    room = width - cell_len(rest) - len(clock) - 2
    name = fit(board.project or "project", max(room, TITLE_CELLS_LEAST))
    left = Text.assemble((name, "bold"), rest)
    if left.cell_len + len(clock) + 2 <= width:
        return [in_order(left) + Text(" " * (width - left.cell_len - len(clock))) + Text(clock, "dim")]
    return [*_wrapped(left, width, 2), Text(clock, "dim")]


def _standing(board: Board) -> list[str]:
    """The line for a list that is empty or done."""
    if not board.total:
        return ['No tasks yet: peercoord task add "…"']
    return [dashboard.all_done(board)] if board.finished else []


# -- what needs a person -----------------------------------------------------------------------------------------


def needed(found: Sequence[Need], now: str, at: str, width: int) -> list[Text]:
    """Draw the needs, each with the commands that settle it; no line if there is no need."""
    if not found:
        return []
    shown = [line for need in found[:NEEDS_MOST] for line in _need(need, now, at, width)]
    more = len(found) - NEEDS_MOST
    rest = [Text(f" … and {more} more: see them with --json", "dim")] if more > 0 else []
    return [Text(f"NEEDS YOU ({len(found)})", "bold yellow"), *shown, *rest]


def _need(need: Need, now: str, at: str, width: int) -> list[Text]:
    since = age(need.since, now)
    colour = "bold red" if need.kind in RED else "bold yellow"
    line = Text.assemble((f" {need.sign} ", colour), _quoted(need.about, width // 2), " ", (plain(need.what), colour))
    line += Text(f" {since}" if since else "")
    line += Text(f": {' '.join(plain(need.why).split())}" if need.why else "")
    line += Text(f" ({fit(need.who, NAME_CELLS)})" if need.who and need.who != need.about else "", "dim")
    said = _wrapped(line, width, 4)
    if len(said) > WHY_LINES:
        said = [*said[: WHY_LINES - 1], Text(fit(f"{said[WHY_LINES - 1].plain} {' ' * width}", width))]
    said, commands = [in_order(line) for line in said], dashboard.commands(need, at)
    if len(commands) == 1 and said[-1].cell_len + 2 + cell_len(commands[0]) <= width and width >= NARROW:
        return [*said[:-1], said[-1] + _right(commands[0], width - said[-1].cell_len)]
    if width < NARROW:
        return [*said, *(Text("    ") + Text(command, COMMAND) for command in commands)]
    return [*said, *(_right(command, width) for command in commands)]


def _right(command: str, cells: int) -> Text:
    """A command at the right edge; one that is long begins at the left, for it must not be cut."""
    return Text(" " * max(2, cells - cell_len(command))) + Text(command, COMMAND)


def _quoted(about: str, cells: int) -> str:
    """Cut what a need is about; a title keeps its closing quotation mark."""
    said = plain(about)
    if cell_len(said) <= cells or not said.endswith('"'):
        return fit(said, cells)
    return f'{fit(said[:-1], cells - 1)}"'


# -- instances ---------------------------------------------------------------------------------------------------


def _peer(board: Board, peer: PeerView, branches: Mapping[str, str], width: int) -> Iterator[Text]:
    """Draw an instance: a line for each task it holds, what it does to the right, its branch and the reason below."""
    rows = board.held_by(peer.incarnation) or ([peer.last] if peer.last else [])
    name = fit(f"{peer.name[:1].upper()}{peer.name[1:]}", NAME_CELLS)
    doing = needs.doing(board, peer)
    colour, words = STYLES[doing.state], dashboard.state(doing, board.now, why=False)
    right = min(STATE_CELLS_MOST, STATE_CELLS + max(0, width - WIDTH) // 2) if width >= NARROW else 0
    left, indent = width - right - 1 if right else width, cell_len(name) + 5
    drawn = [_held(f"   {name}: ", row, left) for row in rows] or [Text(f"   {name}: no task")]
    beside = right and drawn[0].cell_len <= left and cell_len(words) <= right
    yield drawn[0] + Text(" " * (left + 1 - drawn[0].cell_len)) + Text(words, colour) if beside else drawn[0]
    yield from drawn[1:]
    below = [] if beside else [Text(words, colour)]
    if doing.why and doing.state not in needs.ATTENTION:  # the reason of those stands at the top
        below.append(Text(fit(doing.why, width - indent), colour))
    if peer.branch:
        told = branches.get(peer.branch, "")
        branch = Text(fit(peer.branch, width - indent), "dim")
        branch += Text(f", {fit(told, WHY_CELLS)}" if told else "", "dim")
        branch.highlight_regex("would conflict.*", "yellow not dim")
        below.append(branch)
    yield from (Text(" " * indent) + part for line in below for part in _wrapped(line, width - indent, 0))


def _held(before: str, row: views.Row, cells: int) -> Text:
    """Draw a task that an instance has in hand, or finished last. Where there is no room, its bar wraps."""
    ticked = " ✅" if row.status == "done" else ""
    name, share = f"{before}Task #{plain(row.task)} ", f"{bar(row.progress)} {percent(row.progress)}"
    room = cells - cell_len(f'{name}"" {share}{ticked}')
    title = fit(row.title, room if room >= TITLE_CELLS_LEAST else max(1, cells - cell_len(name) - 2))
    return Text.assemble(name, f'"{title}" ', (share, "cyan"), ticked)


# -- pipeline and memory -----------------------------------------------------------------------------------------


def _parked(board: Board) -> list[Text]:
    """The parked tasks; cancelled ones on a line of their own, because they count nowhere else."""
    found = [(why, board.count(why)) for why in paths.PARKED_WHY if why != "cancelled" and board.count(why)]
    words = [(paths.PARKED_WORDS.get(why, why), count) for why, count in found]
    kinds = ", ".join(f"{count} {word}" if len(found) > 1 else word for word, count in words)
    above = ", see above" if any(why in ("blocked", "review", "failed", "unreadable") for why, _ in found) else ""
    parked = f"   ⏸ Parked: {tasks(sum(count for _, count in found))} ({kinds}{above})"
    cancelled = board.count("cancelled")
    return [
        *([Text(parked)] if found else []),
        *([Text(f"   🚫 Cancelled: {tasks(cancelled)}")] if cancelled else []),
    ]


def _memory(board: Board) -> list[Text]:
    pending, conflicts, queued = (int(board.memory.get(key, 0)) for key in ("pending", "conflicts", "queued"))
    merged, synced = str(board.memory.get("last_merge") or ""), str(board.synced.get("last_ok") or "")
    held = max(0, queued - pending)
    wait = f" ({held} {'waits' if held == 1 else 'wait'} for the decision above)" if held else ""
    times = [f"{what}: {ago(at, board.now) if at else 'never'}" for what, at in (("sync", synced), ("merge", merged))]
    return [
        Text(f"   📝 Pending merges: {pending + held} contribution{'' if pending + held == 1 else 's'}{wait}"),
        Text(f"   🔄 Last {' · last '.join(times)}"),
        Text.assemble((f"   ⚠️ Conflicts: {conflicts}", "yellow"), " → ", ("peercoord review", COMMAND))
        if conflicts
        else Text("   ✅ Conflicts: 0"),
    ]
