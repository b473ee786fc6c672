"""Colours, layout and help of the dash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.terminal_theme import TerminalTheme
from rich.text import Text
from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

DETAIL_FROM = 76  # columns from which the chosen row is told of beside the lists

DARK = Theme(
    "peercoord-dark",
    primary="#7aa2d6",
    foreground="#d5dae1",
    background="#121417",
    surface="#1a1d21",
    panel="#262b31",
    warning="#e5c07b",
    error="#e9807f",
    success="#8cc48c",
    accent="#7aa2d6",
    dark=True,
    variables={"chosen": "#233a55"},
)
LIGHT = Theme(
    "peercoord-light",
    primary="#2a5ea8",
    foreground="#1d232b",
    background="#fbfbf9",
    surface="#f1f1ee",
    panel="#e2e4e4",
    warning="#8a6100",
    error="#b3261e",
    success="#2b6e32",
    accent="#2a5ea8",
    dark=False,
    variables={"chosen": "#cfdff3"},
)


def _ansi(background: str, foreground: str, *eight: str) -> TerminalTheme:
    """The eight colours of a terminal, for texts that name one."""

    def rgb(text: str) -> tuple[int, int, int]:
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)

    colours = [rgb(one) for one in eight]
    return TerminalTheme(rgb(background), rgb(foreground), colours, colours)


ANSI_DARK = _ansi(
    *("#121417", "#d5dae1", "#121417", "#e9807f", "#8cc48c", "#e5c07b", "#82aee0", "#c79ad8", "#6fc2c8", "#d5dae1"),
)
ANSI_LIGHT = _ansi(
    *("#fbfbf9", "#1d232b", "#fbfbf9", "#b3261e", "#2b6e32", "#8a6100", "#2a5ea8", "#8a3fa0", "#0f6a72", "#1d232b"),
)

CSS = """
* { scrollbar-color: $panel; scrollbar-color-hover: $primary; scrollbar-color-active: $primary;
    scrollbar-background: $background; scrollbar-background-hover: $background;
    scrollbar-background-active: $background; }
Screen { background: $background; color: $foreground; }
#memory { height: 1; color: $text-muted; }
#header { height: 1; background: $panel; }
#standing { height: auto; color: $warning; }
#keys { height: 1; background: $surface; }
#middle { height: 1fr; }
#left { width: 1fr; }
#tasks { height: 1fr; }
#detail { width: 46%; border-left: solid $panel; padding: 0 1; scrollbar-size-vertical: 1; }
#filter { height: 1; border: none; background: $panel; padding: 0 1; }
Rows {
    background: $background; border-top: solid $panel; border-title-color: $text-muted; border-title-style: bold;
}
Rows:focus { border-top: solid $primary; border-title-color: $primary; }
Rows > .rows--chosen { background: $surface; }
Rows:focus > .rows--chosen { background: $chosen; }
Rows:nocolor:focus { border-title-style: bold reverse; }
Rows:nocolor:focus > .rows--chosen { text-style: reverse; }
#needs { border-title-color: $warning; }
#needs.quiet { border-title-color: $text-muted; border-title-style: none; }
Confirm, Choose, Ask, Notice { align: center middle; background: $background 60%; }
.dialog { width: 72; max-width: 94%; height: auto; max-height: 80%; background: $surface; border: solid $primary;
    padding: 1 2; }
.dialog VerticalScroll { height: auto; max-height: 10; margin-top: 1; }
.dialog Static { height: auto; }
.dialog Rows { background: $surface; border: none; margin: 1 0; }
.dialog Input { margin: 1 0; border: none; height: 1; background: $panel; }
.dialog .below { margin-top: 1; }
.buttons { height: 1; margin-top: 1; }
.buttons Button { margin-right: 2; min-width: 10; background: $panel; color: $foreground; }
.buttons Button:focus { background: $primary; color: $background; text-style: bold; }
.buttons Button:nocolor:focus { text-style: bold reverse; }
.story { background: $background; }
.story .title { background: $panel; padding: 0 1; height: 1; }
.story .keys { background: $surface; height: 1; }
.story VerticalScroll { padding: 1 2; scrollbar-size-vertical: 1; }
"""

HELP = (
    ("Move", ""),
    ("↑ ↓  j k", "the next row, and on into the next list"),
    ("tab  1 2 3 4", "the next list; needs, instances, tasks, events"),
    ("enter", "open the chosen row in full; so does a double click"),
    ("/  escape", "only rows with a word; all rows again"),
    ("d", "list done and cancelled tasks too"),
    ("", ""),
    ("Act on the chosen row; each asks first", ""),
    ("a", "answer a blocked task, accept one in review,"),
    ("", "approve a change of the memory bank"),
    ("e  x", "edit a change of the memory bank; reject it"),
    ("r  R", "reassign a task; release it to the queue"),
    ("o", "reopen a task that is done or parked"),
    ("t", "show the tmux window of the instance"),
    ("", ""),
    ("Act on the team", ""),
    ("m", "decide on the first change of the memory bank"),
    ("l", "land finished work, after a look at what would"),
    ("u", "take back the last approval, acceptance, landing"),
    ("T  ?  q", "dark or light; this help; leave"),
    ("", ""),
    ("Signs", ""),
    ("● ◌ ○", "works, waits for a task, is idle"),
    ("? ! ‖", "asks you, needs a look, waits for a rate limit"),
    ("✕ –", "is gone, no session runs"),
    ("*", "leads the team"),
    ("+3 −1 ⚔ api.py", "commits ahead, behind; a file in conflict"),
)


def help_text() -> Text:
    """The keys and signs, a line each."""
    lines = [Text(key, "bold") if not word else Text.assemble((f"  {key:<16}", "cyan"), word) for key, word in HELP]
    return Text("\n").join(lines)


def dress(app: App[Any]) -> None:
    """Give the app its colours."""
    app.register_theme(DARK)
    app.register_theme(LIGHT)
    app.ansi_theme_dark, app.ansi_theme_light = ANSI_DARK, ANSI_LIGHT
    app.theme = DARK.name


def toggle(app: App[Any]) -> None:
    """Change between dark and light."""
    app.theme = LIGHT.name if app.theme == DARK.name else DARK.name
