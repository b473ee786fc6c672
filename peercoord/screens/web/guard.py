"""Who may see the page: the browser of the person who started it, and nobody else on this machine or the network.

Every program of the same user reaches the loopback interface, coding agents too. So the page asks for a code that is
shown in the terminal alone and is good for one use; the browser gets a random token for it, in a cookie that no script
can read. Neither stands in an argument, in the environment or in a file. A page of another origin gets nothing, also
through a name that leads here (``Host``), and can cause nothing (``Origin``, and a second token in every form).

A browser sends a cookie to every port of its host, so also to a server that an agent runs here and the person looks at.
All pages therefore lie below a random path, and the cookie is for that path alone.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CODE_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
CODE_LENGTH = 16  # 79 bits
SIGN_IN = "/in"
CSRF = "csrf"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with "no-referrer" a browser names no origin in its own forms either
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Door:
    """The code that opens the page once, and the tokens of the browsers that it opened it for.

    Args:
        tell: Called with each new code; it shows it to the person, and to nobody else.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.csrf = secrets.token_urlsafe(32)
        self.home = f"/{secrets.token_urlsafe(16)}"  # the path that all pages lie below
        self._tokens: set[str] = set()
        self._new_code()

    def _new_code(self) -> None:
        self.code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        self.tell(self.code)

    def exchange(self, code: str) -> str:
        """Take a code; return a new browser's token, or nothing if the code is wrong. A code is good once.

        Wrong codes change nothing: nobody guesses 79 bits, and nobody keeps the person out by trying.
        """
        if not _same(code.strip().lower().replace("-", ""), self.code):
            return ""
        token = secrets.token_urlsafe(32)
        self._tokens.add(token)
        self._new_code()
        return token

    def knows(self, token: str) -> bool:
        """Check a browser's token."""
        return sum(_same(token, one) for one in self._tokens) > 0  # all are compared: the time it takes tells nothing


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())


class Guard:
    """Lets through what comes from a browser that the door was opened for; everything else is answered here.

    Args:
        app: The page.
        door: Its door.
        port: The port that the page is served at.
    """

    def __init__(self, app: ASGIApp, door: Door, port: int) -> None:
        self.app, self.door, self.port = app, door, port
        self.cookie = f"peercoord-{port}"
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"} | ({"127.0.0.1", "localhost"} if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        refusal = self._refused(scope)
        if scope["path"].startswith(f"{self.door.home}/"):
            scope = {**scope, "path": scope["path"][len(self.door.home) :]}
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        if headers.get("host", "") not in self.hosts:
            return PlainTextResponse("This page is served to this machine alone, at 127.0.0.1.\n", 421)
        origin = headers.get("origin")
        changes = scope["method"] not in ("GET", "HEAD")
        if (origin is not None or changes) and origin != f"http://{headers['host']}":
            return PlainTextResponse("A page of another origin may not do that.\n", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("A page of another origin may not do that.\n", 403)
        if public(path):
            return None
        cookies = cookie_parser(headers.get("cookie", ""))  # those of other servers of this host may look like anything
        if path.startswith(f"{self.door.home}/") and self.door.knows(cookies.get(self.cookie, "")):
            return None
        if path.endswith("/live"):
            return PlainTextResponse("Sign in first.\n", 401)
        return RedirectResponse(SIGN_IN, 303)

    def let_in(self, token: str) -> Response:
        """Answer a right code: with the cookie, and on to the page."""
        home = f"{self.door.home}/"
        response = RedirectResponse(home, 303)
        response.set_cookie(self.cookie, token, httponly=True, samesite="strict", path=home)
        return response

    def may_change(self, given: object) -> bool:
        """Check the second token, of a form; cookie and origin were checked before."""
        return isinstance(given, str) and _same(given, self.door.csrf)


def public(path: str) -> bool:
    """Check whether a path is answered without a cookie, and so tells nothing of the team or of where its pages lie."""
    return path == SIGN_IN or path.startswith(("/static/", f"{SIGN_IN}/"))


def link(address: str, code: str) -> str:
    """The address that opens the page once."""
    return f"{address}{SIGN_IN}/{quote(code)}"
