"""What a browser test needs besides Debian's chromium: playwright from PyPI, and axe-core from npm.

Playwright drives the browser, axe-core judges what people with impairments can use.
``python -m screens.programs DIRECTORY`` installs axe-core there; the tests find it by ``PEERCOORD_BROWSER``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AXE = "axe-core@4.14.1"


def chromium() -> str:
    """Return the path of the browser; skip the test if it is not here."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return found


def axe() -> str:
    """Return the source of axe-core; skip the test if it is not here."""
    home = os.environ.get("PEERCOORD_BROWSER", "")
    path = Path(home, "node_modules", "axe-core", "axe.min.js")
    if not home or not path.is_file():
        pytest.skip("axe-core is not installed: python -m screens.programs DIRECTORY, and PEERCOORD_BROWSER=DIRECTORY")
    return path.read_text(encoding="utf-8")


def install(place: str) -> None:
    """Install axe-core by npm, at its pinned version."""
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", place, AXE], check=True)


if __name__ == "__main__":
    install(sys.argv[1])
