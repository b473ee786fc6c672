from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peercoord.fs.textmerge import merger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.memory.conflicts import Merge3


@pytest.fixture(scope="session")
def merge3() -> Iterator[Merge3]:
    """The real one: git."""
    with merger() as found:
        yield found
