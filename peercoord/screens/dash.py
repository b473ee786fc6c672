"""``peercoord dash``: one screen for the team, with keys and mouse.

One thread reads the files when something changes. The screen itself only draws: what is in sight, and ages as they
grow. Actions run in threads of their own and call the functions of the commands.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.screens import dash_acting, dash_look, dash_story
from peercoord.screens.dash_dialogs import Notice, Story
from peercoord.screens.dash_looking import Looking
from peercoord.screens.dash_screen import SETTLE_SECONDS, TeamScreen
from peercoord.team import tmux

if TYPE_CHECKING:
    from peercoord.screens.dash_list import Rows
    from peercoord.screens.dash_source import Source, View
    from peercoord.status.views import PeerView

TITLES = {"task": "Task #{}", "peer": "{}", "review": "Memory bank: a change waits for you"}


class Dash(dash_acting.Acting, App[None]):
    """The dash.

    Args:
        source: Reads the project.
        watched: Whether to look again at each change; a test looks itself.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = dash_look.CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", show=False),
        Binding("question_mark", "help", show=False),
        Binding("T", "theme", show=False),
        *dash_acting.BINDINGS,
    ]

    class Seen(Message):
        """Everything was read again, or why that could not be."""

        def __init__(self, view: View | None, problem: str) -> None:
            super().__init__()
            self.view, self.problem = view, problem

    def __init__(self, source: Source, watched: bool = True) -> None:
        super().__init__(ansi_color="NO_COLOR" in os.environ or None)  # the terminal's own colours, or none
        dash_look.dress(self)
        self.source = source
        self.team = TeamScreen(source, SETTLE_SECONDS if watched else 0)
        self.looking = Looking(source, lambda view, why: self.post_message(self.Seen(view, why))) if watched else None

    def get_default_screen(self) -> TeamScreen:
        """The screen that all others lie above."""
        return self.team

    def on_ready(self) -> None:
        """Begin to look, once the screen is there."""
        if self.looking is not None:
            self.set_interval(1.0, self.team.tick)
            self.looking.thread.start()
        else:
            self.team.show(self.source.view())

    def on_unmount(self) -> None:
        """End the looking."""
        if self.looking is not None:
            self.looking.end()

    def on_dash_seen(self, message: Seen) -> None:
        """Show what was read."""
        if message.view is not None:
            self.team.show(message.view)
        self.team.show_header(message.problem)

    @property
    def view(self) -> View | None:
        """What is shown."""
        return self.team.view

    def rows(self, ident: str) -> Rows:
        """One of the lists."""
        return self.team.rows(ident)

    def target(self) -> tuple[str, str]:
        """What the chosen row is about."""
        return self.team.target()

    def tell(self, text: str, tone: str = "green") -> None:
        """Tell the outcome of an action, in a dialog if it is long."""
        self.team.undoable = self.undoable
        if not self.team.tell(text, tone):
            self.push_screen(Notice(plain(text), tone))

    def open(self, kind: str, name: str) -> None:
        """Show all of one thing, with the keys that act on it."""
        if not kind:
            return
        keys = dash_acting.keys_for(self.view, kind, name)
        title = plain(TITLES.get(kind, "").format(name))
        story = Story(title, lambda width: dash_story.of(self.source, self.view, kind, name, width), keys)
        self.push_screen(story, lambda key: self.act(key, kind, name) if key else None)

    def on_rows_opened(self) -> None:
        """Show all of the chosen row."""
        self.open(*self.target())

    def action_theme(self) -> None:
        """Change between dark and light."""
        dash_look.toggle(self)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Story("Keys", lambda _: dash_look.help_text(), ()))

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
