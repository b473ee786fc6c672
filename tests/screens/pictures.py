"""``python tests/screens/pictures.py``: draw the README's pictures of the dash again, from a real team."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # run as a file: find these packages as pytest finds them
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from screens import scene
from screens.seen import Played

from peercoord.screens.dash import Dash

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


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peercoord-pictures-") as home, scene.at():
        source = scene.source(scene.at_work(Path(os.path.realpath(home))))
        picture = asyncio.run(dash(source, ("3",), (104, 30)))
    (PICTURES / "dash.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
