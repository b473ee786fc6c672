"""``python tests/screens/pictures.py``: draw the README's pictures again, from a real team.

Those of the page need what the browser tests need.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # run as a file: find these packages as pytest finds them
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from rich.console import Console
from screens import programs, scene
from screens.seen import Played
from screens.serving import serve
from support.project import Project

from peercoord.membership.membership import judge
from peercoord.screens.dash import Dash
from peercoord.screens.overview import Overview, overview
from peercoord.status.board import Reader
from peercoord.status.screen import draw

PICTURES = Path(__file__).resolve().parents[2] / "examples" / "pictures"
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def plain(svg: str) -> str:
    """The same picture without anything from another place: it names fonts that the reader has."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", svg)
    svg = re.sub(r"terminal-\d+", "dash", svg)
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)


async def dash(source: object, keys: tuple[str, ...], size: tuple[int, int]) -> str:
    """Draw the dash after some keys."""
    app = Dash(source, watched=False)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        shown = Played(app, pilot)
        await shown.settled()
        await shown.keys(*keys)
        return plain(app.export_screenshot(title="peercoord dash", simplify=True))


PAGES = (("board", "/", "light", (1280, 960)), ("timeline", "/timeline", "dark", (1280, 440)))

SHORT = "home => document.querySelectorAll('code').forEach(o => o.textContent = o.textContent.replace(home, '~/code'))"
"""Names the team's directory as a person would have it."""


def pages(project: Project) -> None:
    """Take pictures of the page in a browser whose clock stands still too."""
    from playwright.sync_api import sync_playwright

    door = serve(project)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=programs.chromium(), args=["--no-sandbox"])
        page = browser.new_page(timezone_id="UTC")
        page.clock.set_fixed_time(scene.NOW)
        page.goto(door.link)
        address = page.url.rstrip("/")
        for name, path, scheme, (width, height) in PAGES:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{address}{path}")
            page.wait_for_selector("#connection.live")
            page.evaluate(SHORT, str(project.main.parent))
            page.screenshot(path=PICTURES / f"{name}.png")
        browser.close()


def status(seen: Overview, home: str) -> str:
    """Draw the status screen, as if the team were in /code."""
    words = [[tuple(word.replace(home, "/code") for word in one) for one in need.commands] for need in seen.needs]
    wanted = [replace(need, commands=commands) for need, commands in zip(seen.needs, words, strict=True)]
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    for line in draw(seen.board, width=80, above=seen.standing, branches=seen.branches, wanted=wanted):
        console.print(line)
    return plain(console.export_svg(title="claude-coordination-status"))


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peercoord-pictures-") as home, scene.at():
        project = scene.at_work(Path(os.path.realpath(home)))
        root = project.queue.root
        reader = Reader(project.queue, lambda who: judge(root, who))
        text = status(overview(reader, str(project.main)), str(project.main.parent))
        picture = asyncio.run(dash(scene.source(project), ("3",), (104, 30)))
        pages(project)
    (PICTURES / "status.svg").write_text(text, encoding="utf-8")
    (PICTURES / "dash.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
