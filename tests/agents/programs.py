"""The real coding agents: where they are, in the versions that the tests were written for.

They are found below ``PEERCOORD_AGENTS``, a directory in which npm installed them, or on PATH. They are proprietary in
part and large, so nothing of them is kept in the repository; ``.ci/run`` installs them. ``python -m agents.programs
DIRECTORY`` does the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.332",
    "codex": "@openai/codex@0.171.0",
    "gemini": "@google/gemini-cli@0.61.0",
}
EXTRA = {  # 540 MB: only where PEERCOORD_MORE_AGENTS is set
    "copilot": "@github/copilot@1.0.102",
    "opencode": "opencode-ai@1.18.33",
}


def find(name: str) -> str:
    """Return the path of a program; skip the test if it is not here."""
    if name in EXTRA and not os.environ.get("PEERCOORD_MORE_AGENTS"):
        pytest.skip(f"{name} is tried only where PEERCOORD_MORE_AGENTS is set")
    installed = f"{os.environ.get('PEERCOORD_AGENTS', '')}/node_modules/.bin"
    found = shutil.which(name, path=f"{installed}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed: python -m agents.programs DIRECTORY, and PEERCOORD_AGENTS=DIRECTORY")
    return found


def install(place: str) -> None:
    """Install the programs by npm, at their pinned versions."""
    packages = [*PACKAGES.values(), *(EXTRA.values() if os.environ.get("PEERCOORD_MORE_AGENTS") else ())]
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", place, *packages], check=True)


if __name__ == "__main__":
    install(sys.argv[1])
