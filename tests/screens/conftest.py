"""One team for all tests of the screens: tests that change it get a copy of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from screens import scene
from support.project import Project, clear, copy


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


_BUILT: list[Path] = []  # tests get copies of one team: it takes two seconds to make


@pytest.fixture
def team(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with scene.at():
        if not _BUILT:
            home = Path(os.path.realpath(tmp_path_factory.mktemp("team")))
            scene.at_work(home)
            _BUILT.append(home)
        made = copy(_BUILT[0], Path(os.path.realpath(tmp_path)))
        made.worktree = scene.tree(made, 3)
        yield made
