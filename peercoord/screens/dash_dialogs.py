"""What the dash shows above itself: a question, a choice, a text to write, a whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from peercoord.screens.dash_lines import fitted
from peercoord.screens.dash_list import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from textual import events
    from textual.app import ComposeResult


class Confirm(ModalScreen[bool]):
    """A question of yes or no. ``y`` is yes; ``n``, escape and enter on what is focused first are no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", show=False),
        Binding("n,escape", "answer(False)", show=False),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, lines: Sequence[str] = (), command: str = "") -> None:
        super().__init__()
        self._question, self._lines, self._command = question, lines, command

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            if self._lines:
                with VerticalScroll(can_focus=False):
                    yield Static(Text("\n").join(map(Text, self._lines)))
            if self._command:
                yield Static(Text(f"the same by hand: {self._command}", "dim"))
            with Horizontal(classes="buttons"):
                yield Button(Text("No (n)"), id="no", compact=True)
                yield Button(Text("Yes (y)"), id="yes", compact=True)

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Close with the answer of a button."""
        self.dismiss(event.button.id == "yes")


class Notice(ModalScreen[None]):
    """A text that a person reads and closes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space", "dismiss", show=False)]

    def __init__(self, text: str, tone: str) -> None:
        super().__init__()
        self._text, self._tone = text, tone

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._text, self._tone))
            yield Static(Text("enter closes it", "dim"), classes="below")


class Choose(ModalScreen[str]):
    """One of several; escape is none of them."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss('')", show=False)]

    def __init__(self, question: str, choices: Sequence[tuple[str, Text]]) -> None:
        super().__init__()
        self._question, self._choices = question, choices

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            rows = Rows(lambda one: one[0], lambda one, width: [fitted(one[1], Text(), width)])
            rows.styles.height = min(10, len(self._choices))
            yield rows
            yield Static(Text("enter takes it, escape leaves", "dim"))

    def on_mount(self) -> None:
        """Show the choices."""
        rows = self.query_one(Rows)
        rows.fill(self._choices)
        rows.focus()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """Close with what was chosen."""
        event.stop()
        self.dismiss(event.rows.chosen[0])


class Ask(ModalScreen[str]):
    """A line that a person writes; escape leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", show=False)]

    def __init__(self, question: str, lines: Sequence[str] = ()) -> None:
        super().__init__()
        self._question, self._lines = question, lines

    def compose(self) -> ComposeResult:
        """Build the dialog."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            if self._lines:
                yield Static(Text("\n").join(map(Text, self._lines)))
            yield Input()
            yield Static(Text("enter sends it, escape leaves", "dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the line."""
        self.dismiss(event.value.strip())


class Story(ModalScreen[str]):
    """All of one thing, with the keys that act on it; closes with the key that was pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss('')", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("space,pagedown", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
    ]

    def __init__(self, title: str, draw: Callable[[int], RenderableType], keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._draw, self._acts = title, draw, dict(keys)

    def compose(self) -> ComposeResult:
        """Build the screen."""
        with Vertical(classes="story"):
            yield Static(Text(self._title, "bold"), classes="title")
            with VerticalScroll():
                yield Static(id="story")
            pairs = [*self._acts.items(), ("esc", "back")]
            yield Static(
                Text.assemble(*(part for k, w in pairs for part in ((f" {k}", "bold cyan"), (f" {w} ", "dim")))),
                classes="keys",
            )

    def on_mount(self) -> None:
        """Draw, for the width that there is."""
        self.query_one("#story", Static).update(self._draw(max(20, self.app.size.width - 8)))

    def action_scroll(self, lines: int) -> None:
        """Scroll by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_key(self, event: events.Key) -> None:
        """Close with a key that acts; it has no other meaning then."""
        if event.character and event.character in self._acts:
            event.stop()
            event.prevent_default()
            self.dismiss(event.character)
