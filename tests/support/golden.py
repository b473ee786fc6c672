"""Tests as files: what is done, step by step, and what came of it. ``--regenerate`` writes the results again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

Play = Callable[[str], str]


def files(folder: Path) -> pytest.MarkDecorator:
    """Run a test for each file of a folder."""
    found = sorted(folder.glob("*.txt"))
    assert found, folder
    return pytest.mark.parametrize("path", found, ids=lambda path: path.stem)


def steps(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the title of a file, and the head and body of each step, which begins with ``>>>``."""
    title, *parts = re.split("(?m)^>>> ", text)
    return title, [part.partition("\n")[::2] for part in parts]


def check(path: Path, play: Play, request: pytest.FixtureRequest) -> None:
    """Assert that a file holds what comes of its own steps."""
    written = play(path.read_text())
    if request.config.getoption("--regenerate"):
        path.write_text(written)
    assert path.read_text() == written
