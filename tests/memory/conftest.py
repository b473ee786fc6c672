from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.banks import Scene, quick

from peercoord.memory import change
from peercoord.memory.textmerge import merger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.memory.outcome import Merge3


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents count as whole at once: what is written here was written to be merged."""
    monkeypatch.setattr(change, "SETTLE_SECONDS", 0.0)


@pytest.fixture(scope="session")
def merge3() -> Iterator[Merge3]:
    """The real one: git."""
    with merger() as found:
        yield found


@pytest.fixture
def shared(merge3: Merge3) -> Iterator[None]:
    """Let all merges of a test share one directory for git."""
    with quick(merge3):
        yield


@pytest.fixture
def scene() -> Scene:
    """A memory bank with a document in it."""
    made = Scene()
    made.write()
    return made
