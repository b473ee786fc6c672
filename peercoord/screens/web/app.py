"""The page: its addresses, its live changes, and what it may do for the person who started it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.screens.web import pages, parts
from peercoord.screens.web.actions import Actions
from peercoord.screens.web.drawing import Site, draw
from peercoord.screens.web.guard import SIGN_IN, Door, Guard, public
from peercoord.screens.web.live import Live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from peercoord.screens.web.actions import Do
    from peercoord.screens.web.model import Source

    Answer = Callable[[Request], Awaitable[Response]]

STATIC = Path(__file__).parent / "static"
SCRIPTS = {"progress": ["uPlot.iife.min.js"], "graph": ["dagre.min.js"]}
"""What a page loads besides the scripts of every page."""
FORM_MOST = 64 * 1024  # bytes
FORM_SECONDS = 20.0  # in which all of a form must have come


class Page:
    """The page of one project.

    Args:
        source: Reads the team.
        door: Lets browsers in.
        port: The port that it is served at.
        do: Carries out a command for the person; ``None`` if the page only shows.
    """

    def __init__(self, source: Source, door: Door, port: int, do: Do | None = None) -> None:
        self.source, self.door = source, door
        self.live = Live(source)
        self.actions = Actions(do) if do else None
        routes = [
            *(Route(path, self._page(name)) for name, (path, _) in Site().pages.items()),
            Route("/task/{ident}", self._of("task")),
            Route("/instance/{ident}", self._of("instance")),
            Route("/live", self._stream),
            Route(SIGN_IN, self._sign_in, methods=["GET", "POST"]),
            Route(f"{SIGN_IN}/{{code}}", self._sign_in),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        if self.actions:
            routes.append(Route("/do/{action}", self._do, methods=["POST"]))
        handlers = {404: self._lost, PeercoordError: self._failed}
        self.guard = Guard(Starlette(routes=routes, exception_handlers=handlers), door, port)

    @property
    def app(self) -> ASGIApp:
        """The application that a server runs."""
        return self.guard

    def site(self, here: str, now: str = "") -> Site:
        """What the templates need to know about this page."""
        return Site(actions=self.actions is not None, csrf=self.door.csrf, home=self.door.home, here=here, now=now)

    # -- pages ---------------------------------------------------------------------------------------------------

    def content(self, name: str, ident: str, query: Mapping[str, str], here: str) -> str:
        """Draw what changes on a page."""
        with self.source.lock:
            return self._drawn(name, ident, query, here)

    def _drawn(self, name: str, ident: str, query: Mapping[str, str], here: str) -> str:
        scene = self.source.scene()
        site = self.site(here, scene.board.now)
        if name == "task":
            return pages.task(scene, site, ident)
        if name == "instance":
            return pages.instance(scene, site, ident)
        return pages.PAGES[name](scene, site, query)

    def _page(self, name: str) -> Answer:
        async def shown(request: Request) -> Response:
            return await self._show(request, name)

        return shown

    def _of(self, name: str) -> Answer:
        async def shown(request: Request) -> Response:
            return await self._show(request, name, request.path_params["ident"])

        return shown

    async def _show(self, request: Request, name: str, ident: str = "") -> Response:
        path = f"{self.door.home}{request.url.path}"
        here = f"{path}?{request.url.query}" if request.url.query else path
        query = dict(request.query_params)
        content = await run_in_threadpool(self.content, name, ident, query, here)
        live = f"{self.door.home}/live?{self._asked(name, ident, query, parts.mark(content))}"
        title = (ident and f"{'#' if name == 'task' else ''}{ident}") or Site().pages[name][1]
        return self._shell(parts.whole(content), title, name, here, live=live)

    @staticmethod
    def _asked(name: str, ident: str, query: Mapping[str, str], known: str) -> str:
        return urlencode({"page": name, "ident": ident, "known": known, **{f"q-{k}": v for k, v in query.items()}})

    def _shell(
        self, content: str, title: str, name: str, here: str, live: str = "", signed_in: bool = True, code: int = 200
    ) -> Response:
        text = draw(
            "shell.html",
            self.site(here) if signed_in else Site(),
            content=Markup(content),  # noqa: S704 - drawn by a template
            title=title,
            name=name,
            project=str(self.source.root.protocol.get("project", "")) if signed_in else "peercoord",
            live=live,
            signed_in=signed_in,
            scripts=SCRIPTS.get(name, []),
        )
        return HTMLResponse(text, code)

    # -- live changes --------------------------------------------------------------------------------------------

    async def _stream(self, request: Request) -> Response:
        asked = dict(request.query_params)
        name, ident = asked.get("page", ""), asked.get("ident", "")
        if name not in ("task", "instance", *pages.PAGES):
            raise NotFoundError("there is no such page", code="no-page")
        if self.live.full:  # as a stream, so that the page says it and tries again later
            return Response(": too many pages are open\n\n", 503, media_type="text/event-stream")
        query = {key[2:]: value for key, value in asked.items() if key.startswith("q-")}
        known = request.headers.get("last-event-id") or asked.get("known", "")
        home = self.door.home
        here = f"{home}/{name}/{ident}" if name in ("task", "instance") else self.site("").page(name, **query)

        async def events() -> AsyncIterator[str]:
            nonlocal known
            shown: parts.Shown | None = None
            async for changed in self.live.changes():
                try:
                    content = await run_in_threadpool(self.content, name, ident, query, here) if changed else ""
                except PeercoordError as error:
                    content = draw("lost.html", self.site(here), heading="It cannot be shown", said=str(error))
                now = parts.mark(content) if content else known
                if now == known:
                    shown = parts.shown(content) if content else shown
                    yield ": still here\n\n"
                    continue
                known, told, shown = now, parts.changed(shown, content), parts.shown(content)
                lines = "".join(f"data: {line}\n" for line in told.split("\n"))
                yield f"id: {known}\n{lines}\n"

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)

    # -- signing in, doing something, failing --------------------------------------------------------------------

    async def _sign_in(self, request: Request) -> Response:
        code = request.path_params.get("code", "")
        if request.method == "POST":
            code = (await _fields(request)).get("code") or "-"
        token = self.door.exchange(code) if code else ""
        if token:
            return self.guard.let_in(token)
        content = draw("signin.html", Site(), wrong=bool(code))
        return self._shell(content, "Sign in", "", "/", signed_in=False, code=403 if code else 200)

    async def _do(self, request: Request) -> Response:
        assert self.actions is not None  # noqa: S101 - the route is there only then
        fields = await _fields(request)
        if not self.guard.may_change(fields.get("csrf")):
            content = draw("lost.html", self.site("/"), heading="Not done", said="This form is not of this page.")
            return self._shell(content, "Not done", "", "/", code=403)
        code, said = await run_in_threadpool(self.actions.run, request.path_params["action"], fields)
        back = fields.get("here", "")
        back = back if back.startswith(f"{self.door.home}/") else f"{self.door.home}/"
        content = draw("result.html", self.site(back), ok=code == 0, said=said, back=back)
        return self._shell(content, "Done" if code == 0 else "Not done", "", back)

    async def _lost(self, request: Request, _error: Exception) -> Response:
        signed_in = not public(request.url.path)
        site = self.site("/") if signed_in else Site()
        content = draw("lost.html", site, heading="There is no such page", said="")
        return self._shell(content, "Not found", "", "/", signed_in=signed_in, code=404)

    async def _failed(self, _request: Request, error: Exception) -> Response:
        missing = isinstance(error, NotFoundError)
        heading = "It is not there" if missing else "It cannot be shown"
        content = draw("lost.html", self.site("/"), heading=heading, said=str(error))
        return self._shell(content, heading, "", "/", code=404 if missing else 500)


async def _fields(request: Request) -> dict[str, str]:
    """Read the fields of a form; none of one that is too large, or does not come."""
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_MOST:
                    return {}
    except (TimeoutError, ClientDisconnect):
        return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
