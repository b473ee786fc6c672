"""Play keys to a dash without a terminal, and read what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from peercoord.screens.dash import Dash
from peercoord.screens.dash_source import Source


class Played:
    """A dash at work in a test."""

    def __init__(self, app: Dash, pilot: Pilot[Any]) -> None:
        self.app, self.pilot = app, pilot

    async def keys(self, *keys: str) -> str:
        """Press keys, wait until all is done that they began, and return what is shown then."""
        for key in keys:
            await self.pilot.press(key)
            await self.settled()
        return self.text()

    async def typed(self, text: str) -> str:
        return await self.keys(*({" ": "space"}.get(letter, letter) for letter in text))

    async def settled(self) -> None:
        for _ in range(2):
            await self.pilot.pause()
            await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def look(self) -> str:
        """Read everything again, as after a change."""
        self.app.team.show(self.app.source.view())
        await self.settled()
        return self.text()

    def text(self, whole: bool = False) -> str:
        """The screen as text, without colours; ``whole``: with the blanks at the ends of lines."""
        lines = self.app.screen._compositor.render_strips()
        found = ("".join(segment.text for segment in line) for line in lines)
        return "\n".join(line if whole else line.rstrip() for line in found) + "\n"


def played(source: Source, play: Callable[[Played], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Run a dash of this size, and play to it."""

    async def run() -> None:
        app = Dash(source, watched=False)
        async with app.run_test(size=size) as pilot:
            shown = Played(app, pilot)
            await shown.settled()
            await play(shown)

    asyncio.run(run())
