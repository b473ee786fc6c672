"""An open page hears of a change by another process, and nothing runs for a page that is closed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from peercoord.queue.queue import Queue
from peercoord.screens.web import live, parts
from peercoord.screens.web.app import Page
from peercoord.screens.web.guard import Door
from peercoord.screens.web.model import Source
from peercoord.store import paths, records
from peercoord.store import root as roots

LONG = 60.0  # nobody waits so long: a stream that says nothing until then has failed


class Stream:
    """A browser's stream of changes, without a network: what came, and whether it hung up."""

    def __init__(self, page: Page, query: str) -> None:
        self.page, self.query = page, query
        self.status = 0
        self.text, self.came, self.gone = "", asyncio.Event(), asyncio.Event()
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        token = self.page.door.exchange(self.page.door.code)
        headers = [(b"host", b"127.0.0.1:1"), (b"cookie", f"peercoord-1={token}".encode())]
        path = f"{self.page.door.home}/live"
        scope = {"type": "http", "method": "GET", "path": path, "query_string": self.query.encode()}
        scope |= {
            "headers": headers,
            "http_version": "1.1",
            "scheme": "http",
            "raw_path": path.encode(),
            "root_path": "",
        }
        await self.page.app({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.came.set()

    async def until(self, words: str) -> None:
        async with asyncio.timeout(LONG):
            while words not in self.text:
                self.came.clear()
                await self.came.wait()

    async def hang_up(self) -> None:
        self.gone.set()
        await self.running


@pytest.fixture
def page(tmp_path: Path) -> Page:
    root = roots.create(str(tmp_path / paths.ROOT), "app")
    Queue(root).add(records.define("1", "First"))
    return Page(Source(str(tmp_path), str(tmp_path / paths.ROOT)), Door(lambda _: None), 1)


def test_a_change_of_another_process_reaches_an_open_page(page: Page) -> None:
    other = Queue(roots.open_root(page.source.path))

    async def scenario() -> None:
        stream = Stream(page, "page=board&ident=&known=")
        await stream.until("First")
        assert "Second" not in stream.text
        await asyncio.to_thread(other.add, records.define("2", "Second"))
        await stream.until("Second")
        assert stream.text.count("id: ") >= 2
        await stream.hang_up()

    asyncio.run(scenario())
    assert page.live._watching is None


def test_a_change_is_sent_as_the_part_that_changed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(['<h1>Board</h1><!--[a--><p id="a">one</p><!--]-->'])
    later = '<h1>Board</h1><!--[a--><p id="a">two</p><!--]-->'
    monkeypatch.setattr(page, "content", lambda *_: next(drawn, later))

    async def scenario() -> str:
        stream = Stream(page, "page=board&ident=&known=")
        await stream.until("two")
        await stream.hang_up()
        return stream.text

    sent = asyncio.run(scenario())
    assert sent.count("<h1>") == 1
    assert 'data: <hx-partial hx-target="[id=\'a\']" hx-swap="outerMorph"><p id="a">two</p></hx-partial>' in sent


def test_a_page_that_knows_what_is_shown_is_not_drawn_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_SECONDS", 0.01)
    known = parts.mark(page.content("board", "", {}, "/"))

    async def scenario() -> str:
        stream = Stream(page, f"page=board&ident=&known={known}")
        await stream.until(": still here\n\n: still here")
        await stream.hang_up()
        return stream.text

    assert "data:" not in asyncio.run(scenario())


@pytest.mark.parametrize("name", ["name", "self", "here"])
def test_a_question_of_any_name_is_streamed(page: Page, name: str) -> None:
    async def scenario() -> None:
        stream = Stream(page, f"page=tasks&ident=&known=&q-{name}=1")
        await stream.until("First")
        await stream.hang_up()

    asyncio.run(scenario())


def test_a_team_that_is_gone_is_said(page: Page) -> None:
    async def scenario() -> None:
        stream = Stream(page, "page=board&ident=&known=")
        await stream.until("First")
        shutil.rmtree(page.source.path)
        await stream.until("It cannot be shown")
        await stream.hang_up()

    asyncio.run(scenario())


def test_the_end_of_the_server_ends_the_streams(page: Page) -> None:
    async def scenario() -> None:
        stream = Stream(page, "page=board&ident=&known=")
        await stream.until("First")
        page.live.stop()
        async with asyncio.timeout(LONG):
            await stream.running

    asyncio.run(scenario())


def test_no_more_pages_than_a_limit_are_kept_up_to_date(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_MOST", 1)

    async def scenario() -> tuple[Stream, Stream]:
        first = Stream(page, "page=board&ident=&known=")
        await first.until("First")
        second = Stream(page, "page=tasks&ident=&known=")
        await second.running
        await first.hang_up()
        third = Stream(page, "page=tasks&ident=&known=")
        await third.until("First")
        await third.hang_up()
        return second, third

    refused, served = asyncio.run(scenario())
    assert (refused.status, served.status) == (503, 200)
    assert "too many pages are open" in refused.text


def test_a_stream_of_no_page_is_refused(page: Page) -> None:
    async def scenario() -> str:
        stream = Stream(page, "page=../app&ident=&known=")
        await stream.running
        return stream.text

    assert "There is no such page" not in asyncio.run(scenario())
    assert page.live._watching is None
