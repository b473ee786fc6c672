"""One team for all tests of the screens: tests that change it get a copy of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from screens import scene
from support.project import Project, clear


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    clear(monkeypatch)
    for name in ("NO_COLOR", "TMUX", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Project]:
    with scene.at():
        yield scene.at_work(Path(os.path.realpath(tmp_path)))
