"""Serve the page of a team in this process, for a browser."""

from __future__ import annotations

import queue
import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from support.project import Project

from peercoord.screens.web import server
from peercoord.screens.web.model import Source

if TYPE_CHECKING:
    from peercoord.screens.web.actions import Do


class Door(NamedTuple):
    """Where the page is served, and the code that opens it once."""

    origin: str
    code: str

    @property
    def link(self) -> str:
        return f"{self.origin}/in/{self.code}"


def serve(team: Project, do: Do | None = None) -> Door:
    """Serve until this process ends; with ``do``, the page has actions and gives it their words."""
    told: queue.Queue[str] = queue.Queue()
    source = Source(str(team.main), str(team.state))
    threading.Thread(target=server.serve, args=[source, 0, False, do, told.put], daemon=True).start()
    told.get()
    found = re.search(r"(http://[^/]+)/in/(\w+)", told.get())
    assert found
    return Door(*found.groups())
