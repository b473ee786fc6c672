"""The scripted model as a server on loopback, in a network namespace: ``python -m agents.model_server DIRECTORY``.

It tells what it was asked and what it answered, one JSON object a line, on standard output and in ``requests.jsonl``;
the first line names its port. ``accidents.json`` says what befalls a session at its n-th request, by the directory that
it works in: ``{"instance-1": {"3": "hang", "5": "compact", "7": "limit"}}``. It ends when its standard input does.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import traceback
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agents import wires
from agents.brain import think

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
RESETS_SECONDS = 5
NEAR_THE_WINDOW = 990_000  # input tokens: the session compacts its conversation
SUMMARY = re.compile(r"create a detailed summary of|CONTEXT CHECKPOINT COMPACTION")
AT_WORK = re.compile(
    r"(?:working directory(?: is)?: |<cwd>|Workspace Directories:\*\*\\n *- )[^\s\"\\<>]*-(instance-\d+)", re.IGNORECASE
)
LIMIT = {
    "type": "error",
    "error": {"type": "rate_limit_error", "message": "This request would exceed the rate limit. Try again in 5 s."},
}


class Model:
    """What all requests share: the log, and how many each session made."""

    def __init__(self, home: Path, goes_on: bool) -> None:
        self.home, self.goes_on = home, goes_on
        self.accidents = json.loads((home / "accidents.json").read_text())
        self.log = (home / "requests.jsonl").open("a", encoding="utf-8")
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.ended = threading.Event()

    def tell(self, **what: Any) -> None:
        with self.lock:
            for stream in (self.log, sys.stdout):
                stream.write(json.dumps(what) + "\n")
                stream.flush()

    def whose(self, body: dict[str, Any]) -> str:
        """Return the instance whose worktree a request comes from: agents tell the model where they work."""
        found = AT_WORK.search(json.dumps(body))
        return found[1] if found else ""

    def accident(self, who: str) -> str:
        with self.lock:
            self.asked[who] += 1
            return self.accidents.get(who, {}).get(str(self.asked[who]), "")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """An agent that hangs up may do so; whatever else goes wrong in here ends the server, and so the test."""
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()
            os._exit(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.model.tell(path=self.path)
        self.say(200 if self.path.split("?")[0].endswith("/models") else 404, {"data": [], "models": []})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path, body = self.path.split("?")[0], json.loads(raw or b"{}")
        asked = wires.read(path, body)
        if asked is None:
            self.model.tell(path=path)
            return self.say(404, {"error": {"message": "not here"}})
        who = self.model.whose(body)
        told = next((text for kind, text in reversed(asked.entries) if kind == "told"), "")
        if not asked.shell or SUMMARY.search(told):
            self.model.tell(path=path, who=who, aside=told)
            return self.answer(asked, wires.Step("A summary: work goes on."))
        accident = self.model.accident(who)
        self.model.tell(path=path, who=who, entries=asked.entries, accident=accident)
        if accident == "hang":
            self.model.ended.wait()
        if accident == "limit":
            return self.say(429, LIMIT, {"retry-after": "1", "anthropic-ratelimit-unified-status": "rejected"})
        step = think(asked.entries, goes_on=self.model.goes_on)
        step.input_tokens = NEAR_THE_WINDOW if accident == "compact" else step.input_tokens
        self.model.tell(who=who, text=step.text, command=step.command)
        return self.answer(asked, step, used_up() if accident == "use up" else {})

    def answer(self, asked: wires.Asked, step: wires.Step, headers: dict[str, str] | None = None) -> None:
        kind, content = wires.answer(asked, step)
        self.send(200, kind, content, headers or {})

    def say(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.send(status, "application/json", json.dumps(body).encode(), headers or {})

    def send(self, status: int, kind: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def used_up() -> dict[str, str]:
    """Return what tells Codex that nothing is left of its limit for some seconds."""
    told = {"used-percent": "100", "window-minutes": "300", "reset-at": str(int(time.time()) + RESETS_SECONDS)}
    return {f"x-codex-primary-{name}": value for name, value in told.items()}


def loopback_up() -> None:
    """A new network namespace has its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def main(home: str, goes_on: str = "") -> None:
    if goes_on != "here":
        loopback_up()
    Handler.model = Model(Path(home), goes_on == "goes-on")
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.model.tell(port=server.server_address[1])
    sys.stdin.read()
    os._exit(0)  # without waiting for an answer that hangs


if __name__ == "__main__":
    main(*sys.argv[1:])
