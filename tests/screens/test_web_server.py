"""However many connections other programs open, the person's browser is answered."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.concurrency import run_in_threadpool

from peercoord.errors import StorageError
from peercoord.screens.web import app, server
from peercoord.screens.web.app import Page
from peercoord.screens.web.guard import Door
from peercoord.screens.web.model import Source
from peercoord.store import paths
from peercoord.store import root as roots

MOST = 6


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A page that is served, with a low limit."""
    monkeypatch.setattr(server, "CONNECTIONS_MOST", MOST)
    roots.create(str(tmp_path / paths.ROOT), "app")
    listening = socket.create_server((server.HOST, 0))
    found = listening.getsockname()[1]
    served = server.Server(Page(Source(str(tmp_path), str(tmp_path / paths.ROOT)), Door(lambda _: None), found))
    running = threading.Thread(target=served.run, args=[[listening]])
    running.start()
    yield found
    served.should_exit = True
    running.join()


def test_only_this_machine_can_connect() -> None:
    with server.listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(StorageError, match="cannot be used"):
            server.listen(listening.getsockname()[1])


def test_the_code_is_told_in_the_terminal_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents of the same user can read command lines, environments and files."""
    roots.create(str(tmp_path / paths.ROOT), "app")
    told: list[str] = []
    opened: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    monkeypatch.setattr(server.Server, "run", lambda _, sockets: sockets[0].close())
    server.serve(Source(str(tmp_path), str(tmp_path / paths.ROOT)), 0, True, None, told.append)
    code = told[-1].rpartition(" ")[2]
    assert len(code) == 16
    assert f"/in/{code} " in told[-1]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", opened[0])
    assert code not in str(os.environ)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and code.encode() in path.read_bytes()]


Opener = Callable[..., socket.socket]


@pytest.fixture
def opened(port: int) -> Iterator[Opener]:
    """Opens a connection to the page, and sends this; it keeps at most ``room`` bytes of what it does not read."""
    with ExitStack() as kept:

        def made(text: str, room: int = 0) -> socket.socket:
            one = kept.enter_context(socket.socket())
            if room:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            one.connect((server.HOST, port))
            one.sendall(text.replace("PORT", str(port)).encode())
            return one

        yield made


def answer(made: socket.socket) -> str:
    with made.makefile("rb") as file:
        return file.readline().decode()


def is_open(made: socket.socket) -> bool:
    made.setblocking(False)
    try:
        return made.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


GET = "GET /in HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
FORM = "POST /in HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\nContent-Length: 9\r\n"
WHEN_READ = "Expect: 100-continue\r\n\r\n"  # the server says when it reads on


def test_connections_that_ask_nothing_make_room(opened: Opener) -> None:
    """Neither those that say nothing, nor those of which the end of a request never comes."""
    made = [opened(text) for text in ("", GET) for _ in range(5 * MOST)]
    assert "200" in answer(opened(f"{GET}\r\n"))
    assert sum(map(is_open, made)) <= MOST


def test_forms_of_which_the_end_never_comes_make_room(opened: Opener) -> None:
    made = [opened(f"{FORM}{WHEN_READ}") for _ in range(MOST)]
    assert ["100" in answer(one) for one in made] == [True] * MOST
    assert "200" in answer(opened(f"{GET}\r\n"))
    made[-1].sendall(b"code=text")
    assert made[-1].recv(30).split()[1] == b"403", "the oldest made room"


def test_connections_that_do_not_take_their_answers_make_room(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    full, pause = threading.Semaphore(0), server.Connection.pause_writing
    monkeypatch.setattr(server.Connection, "pause_writing", lambda one: (pause(one), full.release()))
    asked = f"{GET}\r\n".replace("/in", "/static/vendor/uPlot.iife.min.js") * 80
    for _ in range(MOST):
        opened(asked, 4096)
        assert full.acquire(timeout=20)
    assert "200" in answer(opened(f"{GET}\r\n"))


def test_more_requests_than_the_limit_are_refused(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    made: list[socket.socket] = []

    async def fields(_: object) -> dict[str, str]:
        begun.release()
        await run_in_threadpool(go_on.wait, 20)
        return {}

    monkeypatch.setattr(app, "_fields", fields)
    try:
        for _ in range(2 * MOST - 1):
            made.append(opened(f"{FORM}\r\ncode=text"))
            assert begun.acquire(timeout=20)
        assert "503" in answer(opened(f"{GET}\r\n"))
    finally:
        go_on.set()
    assert all("403" in answer(one) for one in made)
    assert "200" in answer(opened(f"{GET}\r\n"))


def test_a_form_that_does_not_come_is_not_waited_for(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FORM_SECONDS", 0.01)
    assert "403" in answer(opened(f"{FORM}\r\n"))
