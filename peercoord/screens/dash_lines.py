"""Draw one line of the dash from values. Nothing here touches the world.

Every text from a task, an agent or a file goes through ``plain`` and into a ``Text``, whose markup nobody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from peercoord.foreign import plain
from peercoord.review.items import local_time
from peercoord.status.dashboard import age, bar, overall, words
from peercoord.status.needs import doing
from peercoord.status.screen import fit, in_order
from peercoord.status.sentences import sentence
from peercoord.store import paths
from peercoord.store.records import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.landing.forecast import Forecast
    from peercoord.screens.dash_source import View
    from peercoord.status.needs import Need
    from peercoord.status.views import PeerView, Row

NEEDED_MOST = 3  # of the tasks that another one waits for
CLOCK_CELLS = 8  # at the right of the first line
NAME_CELLS = 24  # of the project's name there, at least, if that line is not very short
TONES = {
    "working": "green",
    "waiting": "blue",
    "idle": "dim",
    "permission": "bold yellow",
    "asks": "bold yellow",
    "limited": "magenta",
    "stuck": "yellow",
    "silent": "yellow",
    "turn-failed": "red",
    "gone": "red",
    "no-session": "dim",
}
"""The colour of what an instance does; its sign and words say the same."""

SIGNS = {
    "in-progress": ("●", "green"),
    "ready": ("›", "cyan"),
    "waiting": ("…", "dim"),
    "done": ("✓", "green"),
    "cancelled": ("–", "dim"),
    "failed": ("✗", "red"),
}
"""Sign and colour of a task; any other state is one that a person looks at, or set aside."""

KEYS = {
    "permission": "t attach",
    "asks": "t attach",
    "turn": "t attach",
    "not-started": "t attach",
    "limit": "t attach",
    "blocked": "a answer",
    "review": "a accept",
    "failed": "o reopen",
    "conflict": "↵ review",
    "approval": "↵ review",
    "silent": "↵ look",
    "gone": "↵ look",
}
"""The key that goes about a need."""


def fitted(left: Text, right: Text, width: int) -> Text:
    """One line of exactly this width: the left part is cut with ``…`` where the right part needs the room."""
    left, right = in_order(left.copy()), in_order(right.copy())
    right.truncate(max(0, width - 1), overflow="ellipsis")
    room = max(0, width - right.cell_len - (1 if right.cell_len else 0))
    left.truncate(room, overflow="ellipsis")
    gap = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * max(0, gap), right, no_wrap=True, end="")


def header(view: View, now: str, width: int) -> Text:
    """The first line: the project, how far it is, who is needed."""
    board, count = view.board, len(view.needs)
    needed = (
        (f" {count} need{'s' if count == 1 else ''} you ", "bold black on yellow") if count else ("all well", "dim")
    )
    project = plain(board.project) or "project"
    for far in (overall(board), percent(board.progress), ""):
        name = (f" {fit(project, max(NAME_CELLS, width // 4) if far else NAME_CELLS // 2)}  ", "bold")
        left = Text.assemble(name, (bar(board.progress) if far else "", "green"), f" {far}  " if far else "", needed)
        if left.cell_len < width - CLOCK_CELLS:
            break
    count = len(board.peers)
    there = f"{count} instance{'' if count == 1 else 's'}"
    leads = f"led by {plain(board.leader)}" if board.leader else "nobody leads"
    changed = local_time(board.now, now)
    for said in (f"{there} · {leads} · {changed} ", f"{leads} · {changed} ", f"{changed} "):
        if left.cell_len + cell_len(said) < width:
            return fitted(left, Text(said, "dim"), width)
    return fitted(left, Text(), width)


def need(one: Need, now: str, width: int) -> list[Text]:
    """One thing that needs a person: what it is, why, since when, the key that goes about it."""
    why = f": {plain(one.why)}" if one.why else ""
    urgent = "bold yellow" if one.sign == "?" or one.kind in ("permission", "turn") else "yellow"
    who = f" ({plain(one.who)})" if one.who and one.who != one.about else ""
    left = Text.assemble(
        (f" {one.sign} ", urgent), (plain(one.about), "bold"), (f" {plain(one.what)}", urgent), f"{why}{who}"
    )
    key = KEYS.get(one.kind, "↵ look")
    return [fitted(left, Text.assemble(f"{age(one.since, now):>4}", (f"  {key:<8} ", "cyan")), width)]


def peer(one: PeerView, view: View, now: str, width: int) -> list[Text]:
    """An instance in two lines: what it does and how its branch stands; its task and how far that is."""
    does = doing(view.board, one)
    tone = TONES.get(does.state, "yellow")
    said = words(does, now)
    crown = ("*", "dim") if one.leads else ""
    left = Text.assemble((f" {does.sign} ", tone), (plain(one.name), "bold"), crown, "  ", (said, tone))
    ends = branch(one, view.team.forecasts.get(one.branch))
    end = next((end for end in ends if left.cell_len + end.cell_len + 3 <= width), ends[-1])
    if does.why and left.cell_len + end.cell_len + 9 < width:
        left.append(f": {plain(does.why)}", "dim")
    return [fitted(left, Text.assemble(end, " "), width), *_tasks_of(one, view, width)]


def branch(one: PeerView, forecast: Forecast | None) -> list[Text]:
    """How the branch of an instance stands, from the longest to the shortest way to say it."""
    if not one.branch:
        return [Text()]
    name = Text(plain(one.branch), "dim")
    if forecast is None:
        return [name, Text()]
    if forecast.landed:
        figures = Text("landed", "dim")
    else:
        parts = [f"+{forecast.ahead}" if forecast.ahead else "", f"−{forecast.behind}" if forecast.behind else ""]
        figures = Text(" ".join(filter(None, parts)) or "level", "dim")
    files = forecast.conflicts
    if not files:
        return [Text.assemble(name, " ", figures), figures]
    more = f" +{len(files) - 1}" if len(files) > 1 else ""
    file = Text(f" ⚔ {plain(files[0])}{more}", "yellow")
    short = Text(f" ⚔ {plain(files[0].rpartition('/')[2])}{more}", "yellow")
    lone = Text(f" ⚔ {len(files)}", "yellow")
    return [Text.assemble(name, " ", figures, file), *(Text.assemble(figures, one) for one in (file, short, lone))]


def _tasks_of(one: PeerView, view: View, width: int) -> list[Text]:
    rows = view.board.held_by(one.incarnation) or ([one.last] if one.last else [])
    if not rows:
        return [fitted(Text("   no task", "dim"), Text(), width)]
    row = rows[0]
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    left = Text.assemble("   ", (f"#{row.task} ", "cyan"), plain(row.title), (more, "dim"))
    if row.status == "done":
        return [fitted(left, Text("✓ done ", "green"), width)]
    return [fitted(left, Text.assemble((bar(row.progress), "green"), f" {percent(row.progress):>4} "), width)]


def task(row: Row, width: int, needed: Sequence[str] = ()) -> list[Text]:
    """A task of the pipeline: its state, id and title; who holds it, or what it waits for (``needed``)."""
    sign, tone = SIGNS.get(row.status, ("!", "yellow") if row.status != "deferred" else ("‖", "dim"))
    left = Text.assemble((f" {sign} ", tone), (f"#{row.task} ", "cyan"), plain(row.title))
    return [fitted(left, _beside(row, tone, needed), width)]


def _beside(row: Row, tone: str, needed: Sequence[str]) -> Text:
    if row.holder:
        return Text.assemble((plain(row.holder), "dim"), f" {percent(row.progress):>4} ")
    if row.waits_for:
        more = " …" if len(needed) > NEEDED_MOST else ""
        return Text(f"waits for #{', #'.join(map(plain, needed[:NEEDED_MOST] or row.waits_for))}{more} ", "dim")
    if row.status == "ready" and row.definition is not None:
        return Text(f"ready, {paths.PRIORITIES[row.definition.level]} ", tone)
    if row.finished_by:
        return Text(f"{plain(row.finished_by)} ", "dim")
    return Text(f"{paths.PARKED_WORDS.get(row.status, row.status)} ", tone)


def event(one: Json, now: str, width: int) -> list[Text]:
    """Something that happened: when, and a sentence."""
    return [fitted(Text.assemble((f" {local_time(str(one.get('at')), now)} ", "dim"), sentence(one)), Text(), width)]


def pipeline(view: View) -> str:
    """The counts of the pipeline."""
    board = view.board
    parked = sum(board.count(why) for why in paths.PARKED_WHY if why != "cancelled")
    parts = [("ready", board.count("ready")), ("waiting", board.count("waiting")), ("parked", parked)]
    return " · ".join(f"{word} {count}" for word, count in [*parts, ("done", board.count("done"))])


def memory(view: View, now: str) -> Text:
    """The memory bank in one line."""
    counts, synced = view.board.memory, str(view.board.synced.get("last_ok") or "")
    pending, conflicts = int(counts.get("pending", 0)), int(counts.get("conflicts", 0))
    merged = age(str(counts.get("last_merge") or ""), now)
    parts = [f"{pending} to merge", f"{conflicts} in conflict" if conflicts else "no conflict"]
    parts += [f"merged {merged} ago" if merged else "", f"synced {age(synced, now)} ago" if synced else ""]
    return Text.assemble((" MEMORY BANK ", "bold"), (" · ".join(filter(None, parts)), "dim"))


def keys(pairs: Sequence[tuple[str, str]], width: int) -> Text:
    """The line of keys; those that do not fit are left out from the end, but never the last."""
    shown = list(pairs)
    while len(shown) > 1 and sum(cell_len(key) + cell_len(word) + 3 for key, word in shown) > width:
        del shown[-2]
    parts = [part for key, word in shown for part in ((f" {key}", "bold cyan"), (f" {word} ", "dim"))]
    return fitted(Text.assemble(*parts), Text(), width)
