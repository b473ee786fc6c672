"""The screen of the dash: its lists, the chosen row, and the keys that move on it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from peercoord.foreign import plain
from peercoord.screens import dash_acting, dash_lines, dash_look, dash_story
from peercoord.screens.dash_list import Rows
from peercoord.status.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from peercoord.screens.dash_source import Source, View
    from peercoord.status.needs import Need
    from peercoord.status.views import PeerView, Row

LISTS = ("needs", "peers", "tasks", "events")  # from top to bottom
TOLD_SECONDS = 10.0  # that the outcome of an action stands in place of the keys
SETTLE_SECONDS = 0.12  # that a row stays chosen before its story is read
NEEDS_MOST, EVENTS_LINES = 4, 3  # lines of these lists in a low window
CLOSED = ("done", "cancelled")

KEYS = (
    ("↵", "open"),
    ("a", "answer"),
    ("r", "reassign"),
    ("R", "release"),
    ("o", "reopen"),
    ("t", "attach"),
    ("l", "land"),
    ("/", "filter"),
    ("?", "help"),
)


class TeamScreen(Screen[None]):
    """The team: who needs a person, who does what, all tasks, what happened.

    Args:
        source: Reads the details of the chosen row.
        settle: The seconds that a row stays chosen before its story is read.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "panel(1)", show=False, priority=True),
        Binding("shift+tab", "panel(-1)", show=False, priority=True),
        *(Binding(str(number), f"go('{ident}')", show=False) for number, ident in enumerate(LISTS, 1)),
        Binding("slash", "filter", show=False),
        Binding("escape", "clear", show=False),
        Binding("d", "closed", show=False),
    ]

    def __init__(self, source: Source, settle: float = SETTLE_SECONDS) -> None:
        super().__init__()
        self.source, self.settle = source, settle
        self.view: View | None = None
        self.undoable = False  # whether the last action can be taken back
        self._word = ""  # the filter
        self._whole = False  # whether done and cancelled tasks are listed too
        self._told: tuple[Text, float] | None = None  # the outcome of an action, and until when it is shown
        self._beside = ("", "")  # the chosen row whose details stand beside the lists

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Static(id="header")
        yield Rows(_need_key, self._draw_need, ident="needs")
        yield Static(id="standing")
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield Rows(lambda one: one.name, self._draw_peer, lines=2, ident="peers")
                yield Rows(lambda one: one.task, self._draw_task, ident="tasks")
            with VerticalScroll(id="detail", can_focus=False):
                yield Static(id="told")
        yield Static(id="memory")
        yield Rows(repr, lambda one, width: dash_lines.event(one, self.source.now(), width), ident="events")
        yield Input(placeholder="filter: id, title, instance, state", id="filter")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Begin with the instances."""
        self.query_one("#filter").display = False
        self.query_one("#standing").display = False
        self._show_keys()
        self.rows("peers").focus()

    def rows(self, ident: str) -> Rows:
        """One of the lists."""
        return self.query_one(f"#{ident}", Rows)

    def on_resize(self) -> None:
        """Arrange the lists for another size of the window."""
        if self.view is not None:
            self.show(self.view)
        self._show_keys()

    # -- showing -------------------------------------------------------------------------------------------------

    def show(self, view: View) -> None:
        """Show what was read; every list keeps its order and its chosen row."""
        self.view = view
        word = self._word.casefold()
        needs = [(i, one) for i, one in enumerate(view.needs) if _has(word, one.about, one.what, one.why, one.who)]
        tasks = view.rows if self._whole else [row for row in view.rows if row.status not in CLOSED]
        if word:
            tasks = [row for row in tasks if _has(word, f"#{row.task}", row.title, row.status, row.holder)]
        peers = [one for one in view.peers if _has(word, one.name, one.branch, *self._holds(view, one))]
        events = [one for one in view.events if not word or _has(word, sentence(one))]
        found: tuple[Sequence[Any], ...] = (needs, peers, tasks, events)
        for ident, items in zip(LISTS, found, strict=True):
            self.rows(ident).fill(items)
        self._arrange(view)
        self.show_header()

    def _holds(self, view: View, one: PeerView) -> list[str]:
        return [f"#{row.task} {row.title}" for row in view.board.held_by(one.incarnation)] if self._word else []

    def _arrange(self, view: View) -> None:
        """Give each list its title, and the room that it needs."""
        needs, peers, tasks, events = map(self.rows, LISTS)
        height, found = self.size.height, len(view.needs)
        shown = f"{len(needs.items)} of {found}" if len(needs.items) != found else str(found)
        needs.border_title = Content(f"NEEDS YOU {shown}" if found else "Nothing needs you.")
        needs.styles.height = 1 + min(max(1, len(needs.items)), max(NEEDS_MOST, height // 5)) if found else 1
        needs.set_class(not found, "quiet")
        needs.can_focus = bool(needs.items)
        standing = self.query_one("#standing", Static)
        standing.display = bool(view.standing)
        standing.update(Text("\n").join(Text(f" {plain(line)}", "bold") for line in view.standing))
        peers.border_title = Content(f"INSTANCES {len(view.peers)}")
        peers.styles.height = 1 + max(1, min(2 * len(peers.items), max(4, (height - 12) // 2)))
        tasks.border_title = Content(f"TASKS  {dash_lines.pipeline(view)}")
        self.query_one("#memory", Static).update(dash_lines.memory(view, self.source.now()))
        events.border_title = Content("EVENTS")
        events.styles.height = 1 + max(EVENTS_LINES, height // 7)
        self.query_one("#detail").display = self.size.width >= dash_look.DETAIL_FROM

    def show_header(self, problem: str = "") -> None:
        """Show the line at the top; why nothing can be read, if so."""
        header = self.query_one("#header", Static)
        if problem:
            header.update(Text(f" {plain(problem)}", "bold red", no_wrap=True))
        elif self.view is not None:
            header.update(dash_lines.header(self.view, self.source.now(), self.size.width))

    def tick(self) -> None:
        """Let ages grow; draw only what reads differently."""
        if self.view is not None:
            for ident in ("needs", "peers", "events"):
                self.rows(ident).tick()
        if self._told and time.monotonic() > self._told[1]:
            self.tell("", "")

    def tell(self, text: str, tone: str) -> bool:
        """Show the outcome of an action for a while in place of the keys, or them; return whether it fits there."""
        if cell_len(text) >= self.size.width:
            return False
        line = Text(f" {plain(text)}", f"bold {tone}", no_wrap=True, overflow="ellipsis")
        self._told = (line, time.monotonic() + TOLD_SECONDS) if text else None
        self._show_keys()
        return True

    def _show_keys(self) -> None:
        pairs = [*KEYS[:-1], *([("u", "undo")] if self.undoable else []), KEYS[-1]]
        shown = self._told[0] if self._told else dash_lines.keys(pairs, self.size.width)
        self.query_one("#keys", Static).update(shown)

    def _draw_need(self, one: tuple[int, Need], width: int) -> list[Text]:
        return dash_lines.need(one[1], self.source.now(), width)

    def _draw_peer(self, one: PeerView, width: int) -> list[Text]:
        return dash_lines.peer(one, self.view, self.source.now(), width) if self.view else []

    def _draw_task(self, one: Row, width: int) -> list[Text]:
        return dash_lines.task(one, width, self.view.board.waits_for(one) if self.view else ())

    # -- the chosen row ------------------------------------------------------------------------------------------

    def target(self) -> tuple[str, str]:
        """What the chosen row is about: ``task``, ``peer``, ``review`` or ``need``, and its name."""
        rows = self.focused if isinstance(self.focused, Rows) else self.rows("peers")
        item = rows.chosen
        if item is None or self.view is None:
            return "", ""
        if rows.id == "needs":
            index, one = item
            return dash_acting.about(self.view, index, one)
        if rows.id == "peers":
            return "peer", item.name
        if rows.id == "tasks":
            return "task", item.task
        task = str(item.get("task") or "")
        return ("task", task) if self.view.row(task) else ("peer", str(item.get("peer") or ""))

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        """Tell of the chosen row beside the lists, once the cursor rests."""
        if event.rows.has_focus:
            self._tell_soon()

    def on_descendant_focus(self) -> None:
        """Tell of what is chosen in the list that has the cursor now."""
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self.query_one("#detail").display:
            self.run_worker(self._tell_beside(), group="detail", exclusive=True)

    async def _tell_beside(self) -> None:
        await asyncio.sleep(self.settle)
        (kind, name), detail = self.target(), self.query_one("#detail")
        width = max(20, detail.scrollable_content_region.width)
        drawn = await asyncio.to_thread(dash_story.of, self.source, self.view, kind, name, width)
        self.query_one("#told", Static).update(drawn)
        if (kind, name) != self._beside:
            self._beside = kind, name
            detail.scroll_to(y=0, animate=False)

    # -- moving --------------------------------------------------------------------------------------------------

    def on_rows_left(self, event: Rows.Left) -> None:
        """Go on into the next list."""
        lists = self._filled()
        at = lists.index(event.rows) + event.step
        if 0 <= at < len(lists):
            self.set_focus(lists[at])
            lists[at].action_edge(0 if event.step > 0 else 1)

    def action_panel(self, step: int) -> None:
        """Go to the next list."""
        lists = self._filled()
        at = next((i for i, one in enumerate(lists) if one is self.focused), -1)
        if lists:
            self.set_focus(lists[(at + step) % len(lists)])

    def _filled(self) -> list[Rows]:
        return [rows for rows in map(self.rows, LISTS) if rows.items]

    def action_go(self, ident: str) -> None:
        """Go to a list."""
        self.set_focus(self.rows(ident))  # at once: the next key is meant for it

    def action_filter(self) -> None:
        """Ask for a word that rows must contain."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while a person types."""
        self._word = event.value.strip()
        if self.view is not None:
            self.show(self.view)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go to the first list that has rows."""
        event.input.display = bool(self._word)
        (next(iter(self._filled()), None) or self.rows("tasks")).focus()

    def action_clear(self) -> None:
        """Drop the filter."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.rows("tasks").focus()

    def action_closed(self) -> None:
        """List done and cancelled tasks too, or no longer."""
        self._whole = not self._whole
        if self.view is not None:
            self.show(self.view)


def _need_key(one: tuple[int, Need]) -> tuple[str, str, str]:
    return one[1].kind, one[1].about, one[1].who


def _has(word: str, *texts: str) -> bool:
    return not word or any(word in text.casefold() for text in texts)
