"""Serve the page on the loopback interface, until Ctrl-C."""

from __future__ import annotations

import socket
import webbrowser
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from peercoord.errors import StorageError
from peercoord.screens.web.app import Page
from peercoord.screens.web.guard import Door, link

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from peercoord.screens.web.actions import Do
    from peercoord.screens.web.model import Source

HOST = "127.0.0.1"
END_SECONDS = 2  # for requests that go on when it ends
CONNECTIONS_MOST = 128  # from twice as many on, requests are refused


class Connection(H11Protocol):
    """A connection of a browser. Any program of this machine can open thousands: those that wait for it make room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; beyond the limit, end the oldest that waits. If none does, what is asked now is answered with 503."""
        super().connection_made(transport)
        self.began = self.loop.time()
        if len(self.connections) > CONNECTIONS_MOST:
            others = (one for one in self.connections if isinstance(one, Connection) and one is not self)
            oldest = min((one for one in others if one.waits), key=lambda one: one.began, default=None)
            if oldest is not None:
                oldest.transport.abort()

    @property
    def waits(self) -> bool:
        """Whether it waits for its other end: to ask, to send the rest of a form, or to take the answer."""
        if self.transport.is_closing():
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body or self.flow.write_paused


class Server(uvicorn.Server):
    """A server that ends its open streams first."""

    def __init__(self, page: Page) -> None:
        self.page = page
        super().__init__(
            uvicorn.Config(
                page.app,
                http=Connection,
                limit_concurrency=2 * CONNECTIONS_MOST,  # one that asks ahead counts twice for a moment
                log_level="error",  # warnings are about requests: any program of this machine could fill the terminal
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="off",
                timeout_graceful_shutdown=END_SECONDS,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End because of a signal."""
        self.page.live.stop()
        super().handle_exit(sig, frame)


def listen(port: int) -> socket.socket:
    """Listen on the loopback interface: before the address is told, so that a browser which comes at once waits.

    Raises:
        StorageError: The port cannot be used.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise StorageError(f"port {port} cannot be used: {error.strerror}", "leave --port out") from None
    return listening


def serve(source: Source, port: int, opens: bool, do: Do | None, say: Callable[[str], None]) -> None:
    """Serve the page; return after Ctrl-C or SIGTERM.

    Args:
        source: Reads the team.
        port: The port; 0 for any that is free.
        opens: Open the person's browser. Its command line can be seen by other programs, so the code is not in it.
        do: Carries out what the page may do; ``None`` if it only shows.
        say: Prints a line in the terminal.
    """
    listening = listen(port)
    port = listening.getsockname()[1]
    address = f"http://{HOST}:{port}"
    project, may = source.root.protocol.get("project", ""), "with actions" if do else "read-only"
    say(f"{project}: {may}, on this machine only; Ctrl-C ends it")
    door = Door(lambda code: say(f"Open it once with: {link(address, code)}   code: {code}"))
    server = Server(Page(source, door, port, do))
    if opens:
        webbrowser.open(address)
    server.run(sockets=[listening])
