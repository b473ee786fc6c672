"""The dash, cell for cell, in colour and without: a change of it is seen, and read by a person.

``python -m pytest -m "" tests/screens --regenerate`` writes the screens again; then read ``git diff``. To see one as a
terminal shows it: ``sed 's/␛/\\x1b/g' FILE``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.color import ColorSystem
from screens.seen import Played, played
from status.boards import BOARDS, HOSTILE, NOW, TITLES

from peercoord.errors import NotFoundError
from peercoord.landing.forecast import Forecast
from peercoord.screens.dash_source import Source, View
from peercoord.screens.overview import Overview
from peercoord.status.needs import needs
from peercoord.status.screen import MARK
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.store.records import Definition

GOLDEN = Path(__file__).parent / "golden"
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?[349][0-8][;m]")  # any but the default of the terminal: 39, 49
REVERSE = re.compile(r"\x1b\[(?:[0-9;]*;)?7[;m]")
SIZES = ((80, 24), (120, 36))
pytestmark = pytest.mark.slow  # each runs an app: half a second


class MadeUp(Source):
    """A team that is made up: nothing of it lies on a disk."""

    def __init__(self, name: str, home: Path) -> None:
        super().__init__("/nowhere", roots.create(str(home / paths.ROOT), "app"))
        self.board = BOARDS[name]()

    def now(self) -> str:
        return NOW

    def view(self) -> View:
        board = self.board
        forecasts = {one.branch: Forecast(one.branch, "main", 3, 1, "", (HOSTILE, "b.py")) for one in board.peers[1:3]}
        facts: list[dict[str, Any]] = [{"event": "claimed", "task": "1"}, {"event": "added", "task": HOSTILE}]
        facts += [{"event": "parked", "task": str(at), "why": "blocked", "reason": t} for at, t in enumerate(TITLES)]
        events = [{"at": NOW, "peer": "instance-1", **one} for one in facts]
        return View(Overview(board, needs(board), None, forecasts, [], "", ""), board.rows, events)

    @property
    def queue(self) -> Any:
        return self

    def definition(self, task: str) -> Definition:
        found = self.board.by_task[task].definition
        if found is None:
            raise NotFoundError("there is none")
        return found

    def result(self, _: str) -> None:
        return None

    def attempts(self, *_: object) -> list[Any]:
        return []


def coloured(shown: Played) -> str:
    """The screen with the sequences that a terminal gets."""
    lines = shown.app.screen._compositor.render_strips()
    drawn = (
        "".join(
            one.style.render(one.text, color_system=ColorSystem.TRUECOLOR) if one.style else one.text for one in line
        )
        for line in lines
    )
    return "".join(f"{line.rstrip()}\n" for line in drawn)


@pytest.mark.parametrize("colour", [True, False], ids=["coloured", "no-colour"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
@pytest.mark.parametrize("name", ["at-work", "foreign"])
def test_a_team_is_drawn(
    name: str,
    size: tuple[int, int],
    colour: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    kept = GOLDEN / f"{name}-{size[0]}-{'coloured' if colour else 'no-colour'}.txt"

    async def play(shown: Played) -> None:
        await shown.keys("3")
        assert {cell_len(line) for line in shown.text(whole=True).splitlines()} == {size[0]}
        drawn = coloured(shown).replace(MARK, "⟨LRM⟩")
        assert bool(COLOUR.search(drawn)) == colour
        assert colour or REVERSE.search(drawn), "the chosen row is seen without a colour"
        if request.config.getoption("--regenerate"):
            kept.write_text(drawn.replace("\x1b", "␛"))
        assert drawn.replace("\x1b", "␛") == kept.read_text()

    played(MadeUp(name, tmp_path), play, size)
