"""``peercoord dash``: one screen for the team, with keys and mouse.

One thread reads the files when something changes. The screen itself only draws: what is in sight, and ages as they
grow. Actions run in threads of their own and call the functions of the commands.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.screens import dash_acting, dash_lines, dash_look, dash_story
from peercoord.screens.dash_dialogs import Notice, Story
from peercoord.screens.dash_list import Rows
from peercoord.screens.watching import Watching
from peercoord.status.sentences import sentence
from peercoord.team import tmux

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from textual.app import ComposeResult

    from peercoord.screens.dash_source import Source, View
    from peercoord.status.needs import Need
    from peercoord.status.views import PeerView, Row

REST_SECONDS = 0.15  # between a change and the look at it: changes come in bursts
WHOLE_SHARE = 9  # reading every task of a large team is followed by a rest from that so many times as long
SAID_SECONDS = 10.0  # that the outcome of an action stands in place of the keys
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


class Dash(dash_acting.Acting, App[None]):
    """The screen.

    Args:
        source: Reads the project.
        watched: Whether to look again at each change; a test looks itself.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = dash_look.CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", show=False),
        Binding("tab", "panel(1)", show=False, priority=True),
        Binding("shift+tab", "panel(-1)", show=False, priority=True),
        Binding("1", "go('needs')", show=False),
        Binding("2", "go('peers')", show=False),
        Binding("3", "go('tasks')", show=False),
        Binding("4", "go('events')", show=False),
        Binding("slash", "filter", show=False),
        Binding("escape", "clear", show=False),
        Binding("d", "closed", show=False),
        Binding("question_mark", "help", show=False),
        Binding("T", "theme", show=False),
        *dash_acting.BINDINGS,
    ]

    class Seen(Message):
        """Everything was read again."""

        def __init__(self, view: View | None, problem: str = "") -> None:
            super().__init__()
            self.view, self.problem = view, problem

    def __init__(self, source: Source, watched: bool = True) -> None:
        super().__init__()
        dash_look.dress(self)
        self.source, self.watched = source, watched
        self.view: View | None = None
        self.problem = ""
        self.wanted = ""  # the filter
        self.closed = False  # whether done and cancelled tasks are listed too
        self._ends = threading.Event()
        self._watching = Watching(source.root) if watched else None
        self._thread: threading.Thread | None = None
        self._told: tuple[Text, float] | None = None

    # -- building ------------------------------------------------------------------------------------------------

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
        yield Rows(repr, lambda one, w: dash_lines.event(one, self.source.now(), w), ident="events")
        yield Input(placeholder="filter: id, title, instance, state", id="filter")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#filter", Input).display = False
        self.query_one("#standing").display = False
        self._show_keys()
        if self.watched:
            self.set_interval(1.0, self.tick)
            self._thread = threading.Thread(target=self._look_on, daemon=True)
            self._thread.start()
        else:
            self.show(self.source.view())
        self.rows("peers").focus()

    def on_unmount(self) -> None:
        """End the looking."""
        self._ends.set()
        if self._watching is not None and self._thread is not None:
            self._watching.wake()
            self._thread.join(5)
            if not self._thread.is_alive():
                self._watching.close()

    def rows(self, ident: str) -> Rows:
        """One of the lists."""
        return self.screen_stack[0].query_one(f"#{ident}", Rows)

    # -- looking -------------------------------------------------------------------------------------------------

    def _look_on(self) -> None:
        """Read at each change, in a thread of its own."""
        watching = self._watching
        if watching is None:
            return
        watching.renew()
        due = 0.0  # when every task of a large team may be read again
        while not self._ends.is_set():
            began, view = time.monotonic(), None
            try:
                view = self.source.view()
                took = time.monotonic() - began
                self.post_message(self.Seen(view))
                if self.source.lags and time.monotonic() >= due:
                    begin = time.monotonic()
                    self.post_message(self.Seen(self.source.catch_up(view)))
                    due = time.monotonic() + WHOLE_SHARE * (time.monotonic() - begin)
            except (PeercoordError, OSError) as error:
                took = time.monotonic() - began
                self.post_message(self.Seen(None, str(error)))
            watching.renew([peer.record for peer in view.board.peers] if view else [])
            pause = watching.pause(took)
            watching.wait(max(0.0, min(pause, due - time.monotonic())) if self.source.lags else pause)
            self._ends.wait(max(REST_SECONDS, took))

    def on_dash_seen(self, message: Seen) -> None:
        """Show what was read."""
        self.problem = message.problem
        if message.view is not None:
            self.show(message.view)
        self._show_header()

    def show(self, view: View) -> None:
        """Show what was read; every list keeps its order and its chosen row."""
        self.view = view
        word = self.wanted.casefold()
        needs = [(i, one) for i, one in enumerate(view.needs) if _has(word, one.about, one.what, one.why, one.who)]
        tasks = view.rows if self.closed else [row for row in view.rows if row.status not in CLOSED]
        if word:
            tasks = [row for row in tasks if _has(word, f"#{row.task}", row.title, row.status, row.holder)]
        peers = [one for one in view.peers if _has(word, one.name, one.branch, *self._holds(view, one))]
        events = [one for one in view.events if not word or _has(word, sentence(one))]
        for ident, items in (("needs", needs), ("peers", peers), ("tasks", tasks), ("events", events)):
            self.rows(ident).fill(items)
        self._arrange(view)
        self._show_header()

    def _holds(self, view: View, one: PeerView) -> list[str]:
        return [f"#{row.task} {row.title}" for row in view.board.held_by(one.incarnation)] if self.wanted else []

    def _arrange(self, view: View) -> None:
        """Give each list its title, and the room that it needs."""
        needs, peers, events = self.rows("needs"), self.rows("peers"), self.rows("events")
        height = self.size.height
        found = len(view.needs)
        needs.styles.height = 1 + min(max(1, len(needs.items)), max(NEEDS_MOST, height // 5))
        shown = f"{len(needs.items)} of {found}" if len(needs.items) != found else str(found)
        needs.border_title = Content(f"NEEDS YOU {shown}" if found else "Nothing needs you.")
        needs.set_class(not found, "quiet")
        needs.can_focus = bool(needs.items)
        if not found:
            needs.styles.height = 1
        standing = self.query_one("#standing", Static)
        standing.display = bool(view.standing)
        standing.update(Text("\n").join(Text(f" {plain(line)}", "bold") for line in view.standing))
        peers.border_title = Content(f"INSTANCES {len(view.peers)}")
        peers.styles.height = 1 + max(1, min(2 * len(peers.items), max(4, (height - 12) // 2)))
        tasks = f"TASKS  {dash_lines.pipeline(view)}"
        self.rows("tasks").border_title = Content(tasks)
        self.query_one("#memory", Static).update(dash_lines.memory(view, self.source.now()))
        events.border_title = Content("EVENTS")
        events.styles.height = 1 + max(EVENTS_LINES, height // 7)
        self.query_one("#detail").display = self.size.width >= dash_look.DETAIL_FROM

    def tick(self) -> None:
        """Let ages grow; draw only what reads differently."""
        if self.view is not None:
            for ident in ("needs", "peers", "events"):
                self.rows(ident).tick()
        if self._told and time.monotonic() > self._told[1]:
            self._told = None
            self._show_keys()

    def on_resize(self) -> None:
        """Arrange the lists for another size of the window."""
        if self.view is not None:
            self.show(self.view)
        self._show_keys()

    # -- drawing -------------------------------------------------------------------------------------------------

    def _draw_need(self, one: tuple[int, Need], width: int) -> list[Text]:
        return dash_lines.need(one[1], self.source.now(), width)

    def _draw_peer(self, one: PeerView, width: int) -> list[Text]:
        return dash_lines.peer(one, self.view, self.source.now(), width) if self.view else []

    def _draw_task(self, one: Row, width: int) -> list[Text]:
        return dash_lines.task(one, width, self.view.board.waits_for(one) if self.view else ())

    def _show_header(self) -> None:
        header = self.screen_stack[0].query_one("#header", Static)
        if self.problem:
            header.update(Text(f" {plain(self.problem)}", "bold red", no_wrap=True))
        elif self.view is not None:
            header.update(dash_lines.header(self.view, self.source.now(), self.size.width))

    def _show_keys(self) -> None:
        pairs = [*KEYS[:-1], *([("u", "undo")] if self.undoable else []), KEYS[-1]]
        shown = self._told[0] if self._told else dash_lines.keys(pairs, self.size.width)
        self.screen_stack[0].query_one("#keys", Static).update(shown)

    def tell(self, text: str, tone: str = "green") -> None:
        """Say what became of an action, for a while in place of the keys; what is longer, in a dialog."""
        if cell_len(text) >= self.size.width:
            self.push_screen(Notice(plain(text), tone))
            return
        self._told = (
            Text(f" {plain(text)}", f"bold {tone}", no_wrap=True, overflow="ellipsis"),
            (time.monotonic() + SAID_SECONDS),
        )
        self._show_keys()

    # -- what is chosen ------------------------------------------------------------------------------------------

    def target(self) -> tuple[str, str]:
        """What the chosen row is about: ``task``, ``peer``, ``review`` or ``need``, and its name."""
        focused = self.screen_stack[0].focused
        rows = focused if isinstance(focused, Rows) else self.rows("peers")
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

    def story(self, kind: str, name: str, width: int) -> RenderableType:
        """Read all of one thing."""
        view = self.view
        if view is None or not kind:
            return Text()
        try:
            if kind == "review":
                return dash_story.review(self.source, name, width)
            if kind == "need":
                found = (one for one in view.needs if f"{one.kind} {one.about}" == name)
                return Text("\n").join(line for one in found for line in dash_story.needed(one))
            lines = dash_story.task(self.source, view, name) if kind == "task" else dash_story.instance(view, name)
        except (PeercoordError, OSError) as error:
            return Text(plain(error), "yellow")
        return Text("\n").join(lines)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        """Tell of the chosen row beside the lists, once the cursor rests."""
        if event.rows.has_focus:
            self._tell_soon()

    def on_descendant_focus(self) -> None:
        """Tell of what is chosen in the list that has the cursor now."""
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self.screen_stack[0].query_one("#detail").display:
            self.run_worker(self._tell, group="detail", exclusive=True)

    async def _tell(self) -> None:
        import asyncio

        if self.watched:
            await asyncio.sleep(SETTLE_SECONDS)
        kind, name = self.target()
        detail = self.screen_stack[0].query_one("#detail")
        width = max(20, detail.scrollable_content_region.width)
        drawn = await asyncio.to_thread(self.story, kind, name, width)
        self.screen_stack[0].query_one("#told", Static).update(drawn)
        if (kind, name) != getattr(self, "_told_of", None):
            self._told_of = kind, name
            detail.scroll_to(y=0, animate=False)

    def on_rows_opened(self) -> None:
        """Show all of the chosen row."""
        self.open(*self.target())

    def on_rows_left(self, event: Rows.Left) -> None:
        """Go on into the next list."""
        self._go(self._lists(), event.rows, event.step, edge=True)

    def open(self, kind: str, name: str) -> None:
        """Show all of one thing, with the keys that act on it."""
        if not kind:
            return
        titles = {"task": f"Task #{name}", "peer": name, "review": "Memory bank: a change waits for you"}
        keys = dash_acting.keys_for(self, kind, name)
        screen = Story(plain(titles.get(kind, "")), lambda width: self.story(kind, name, width), keys)
        self.push_screen(screen, lambda key: self.act(key, kind, name) if key else None)

    # -- moving --------------------------------------------------------------------------------------------------

    def _lists(self) -> list[Rows]:
        return [rows for ident in ("needs", "peers", "tasks", "events") if (rows := self.rows(ident)).items]

    def _go(self, lists: Sequence[Rows], rows: object, step: int, edge: bool = False) -> None:
        at = next((i for i, one in enumerate(lists) if one is rows), -1) + step
        if edge and not 0 <= at < len(lists):
            return
        if lists:
            found = lists[at % len(lists)]
            self.screen_stack[0].set_focus(found)
            if edge:
                found.action_edge(0 if step > 0 else 1)

    def action_panel(self, step: int) -> None:
        """Go to the next list; in a dialog, to the next field."""
        if len(self.screen_stack) > 1:
            self.screen.focus_next() if step > 0 else self.screen.focus_previous()
        else:
            self._go(self._lists(), self.focused, step)

    def action_go(self, ident: str) -> None:
        """Go to a list."""
        self.screen_stack[0].set_focus(self.rows(ident))  # at once: the next key is meant for it

    def action_filter(self) -> None:
        """Ask for a word that rows must contain."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while a person types."""
        if event.input.id == "filter" and self.view is not None:
            self.wanted = event.value.strip()
            self.show(self.view)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go to the first list that has rows."""
        if event.input.id == "filter":
            event.input.display = bool(self.wanted)
            (next(iter(self._lists()), None) or self.rows("tasks")).focus()

    def action_clear(self) -> None:
        """Drop the filter."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.rows("tasks").focus()

    def action_closed(self) -> None:
        """List done and cancelled tasks too, or no longer."""
        self.closed = not self.closed
        if self.view is not None:
            self.show(self.view)

    def action_theme(self) -> None:
        """Change between dark and light."""
        dash_look.toggle(self)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Story("Keys", lambda _: dash_look.help_text(), ()))

    # -- tmux ----------------------------------------------------------------------------------------------------

    def attach(self, peer: PeerView) -> None:
        """Show the tmux window of an instance; leaving it comes back here."""
        try:
            words = tmux.looked_at(str(peer.record.get("worktree") or ""))
        except PeercoordError as error:
            self.tell(f"✗ {error.message}", "red")
            return
        if not words:
            self.tell(f"{peer.name} has no tmux window: {peer.record.get('worktree') or 'no worktree'}", "yellow")
        elif os.environ.get("TMUX"):
            subprocess.run(words, check=False)
        else:
            with self.suspend():
                subprocess.run(words, check=False)


def _need_key(one: tuple[int, Need]) -> tuple[str, str, str]:
    return one[1].kind, one[1].about, one[1].who


def _has(word: str, *texts: str) -> bool:
    return not word or any(word in text.casefold() for text in texts)
