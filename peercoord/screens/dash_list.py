"""A list that draws only the lines in sight, so that its length does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from textual import events


class Rows(ScrollView, can_focus=True):
    """A list of items, one of which is chosen.

    Args:
        key: What an item is recognised by after the list was read again.
        draw: Draws an item, for a width, as ``lines`` lines.
        lines: Lines of one item.
        ident: The widget's id.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--chosen"}
    DEFAULT_CSS = "Rows { overflow-x: hidden; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(0)", show=False),
        Binding("end,G", "edge(1)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Chosen(Message):
        """Another item is chosen, or the same one anew."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

    class Opened(Chosen):
        """A person wants to see all of the chosen item."""

    class Left(Message):
        """A person moved on from the first or last item."""

        def __init__(self, rows: Rows, step: int) -> None:
            super().__init__()
            self.rows, self.step = rows, step

    def __init__(
        self, key: Callable[[Any], Hashable], draw: Callable[[Any, int], list[Text]], lines: int = 1, ident: str = ""
    ) -> None:
        super().__init__(id=ident or None)
        self._key, self._draw, self.lines_each = key, draw, lines
        self.items: Sequence[Any] = ()
        self.at = 0
        self._shown: list[Text] = []

    @property
    def chosen(self) -> Any:
        """The chosen item; ``None`` in an empty list."""
        return self.items[self.at] if self.at < len(self.items) else None

    def fill(self, items: Sequence[Any]) -> None:
        """Show other items. The chosen one stays chosen, in its place on the screen."""
        was, before = self.chosen, self.at
        self.items = items
        if was is not None:
            wanted = self._key(was)
            there = before < len(items) and self._key(items[before]) == wanted
            found = before if there else next((i for i, one in enumerate(items) if self._key(one) == wanted), None)
            self.at = before if found is None else found
        self.at = max(0, min(self.at, len(items) - 1))
        self.virtual_size = Size(self.size.width, len(items) * self.lines_each)
        if self.at != before and self.scroll_offset.y:
            self.scroll_to(y=self.scroll_offset.y + (self.at - before) * self.lines_each, animate=False)
        self._shown = []
        self.refresh()
        self.post_message(self.Chosen(self))

    def tick(self) -> None:
        """Draw again if what is in sight reads differently by now."""
        shown = [text for index in self._visible() for text in self._draw(self.items[index], self._width)]
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    @property
    def _width(self) -> int:
        return int(self.scrollable_content_region.width)

    def _visible(self) -> range:
        first = self.scroll_offset.y // self.lines_each
        return range(first, min(len(self.items), first + self.size.height // self.lines_each + 2))

    def render_line(self, y: int) -> Strip:
        """Draw one line in sight."""
        width = self._width
        index, line = divmod(self.scroll_offset.y + y, self.lines_each)
        if index >= len(self.items):
            return Strip.blank(width, self.rich_style)
        drawn = self._draw(self.items[index], width)
        text = drawn[line] if line < len(drawn) else Text()
        style = self.rich_style
        if index == self.at:
            style += self.get_component_rich_style("rows--chosen", partial=True)
        strip = Strip(text.render(self.app.console)).adjust_cell_length(width)
        return strip.apply_style(style)

    def choose(self, index: int) -> None:
        """Choose an item by its place."""
        index = max(0, min(index, len(self.items) - 1))
        if index != self.at:
            self.at = index
            self.refresh()
            self.post_message(self.Chosen(self))
        top, height = index * self.lines_each, self.size.height
        if top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)
        elif top + self.lines_each > self.scroll_offset.y + height:
            self.scroll_to(y=top + self.lines_each - height, animate=False)

    def action_move(self, step: int) -> None:
        """Go to the next item, and from the last one on to the next list."""
        if 0 <= self.at + step < len(self.items):
            self.choose(self.at + step)
        else:
            self.post_message(self.Left(self, step))

    def action_page(self, step: int) -> None:
        """Go one screen on."""
        self.choose(self.at + step * max(1, self.size.height // self.lines_each - 1))

    def action_edge(self, last: int) -> None:
        """Go to the first or the last item."""
        self.choose(last * len(self.items))

    def action_open(self) -> None:
        """Show all of the chosen item."""
        if self.items:
            self.post_message(self.Opened(self))

    def on_click(self, event: events.Click) -> None:
        """Choose what is clicked; a second click opens it."""
        index = (self.scroll_offset.y + event.y - self.gutter.top) // self.lines_each
        if 0 <= index < len(self.items):
            self.choose(index)
            if event.chain > 1:
                self.action_open()

    def on_resize(self) -> None:
        """Keep the length of the list, and the chosen item in sight."""
        self.virtual_size = Size(self.size.width, len(self.items) * self.lines_each)
        self.choose(self.at)
