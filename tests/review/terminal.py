"""For tests: a person's terminal. A shell on a terminal of its own, with no program above it but the system's first.

The tests themselves may run below a coding agent, or in its environment; a person's terminal does neither.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\([A-B]|[=>])")
PROMPT = re.compile(r"<<(\d+)>>")
_APART = """
import fcntl, os, sys, termios
if os.fork():
    os._exit(0)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv("/bin/sh", [sys.argv[1], "-i"])
"""


class Terminal:
    """A shell in a terminal.

    Args:
        at: Its working directory.
        program: The name under which the shell runs.
        columns: Width of the window.
        lines: Height of the window.
        env: Variables for it, beside the few that it has.
    """

    def __init__(
        self, at: Path, program: str = "sh", *, columns: int = 100, lines: int = 40, env: dict[str, str] | None = None
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        home = at.parent / "home"
        home.mkdir(exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PS1": "<<$?>>",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PAGER": "cat",
            **(env or {}),
        }
        words = [sys.executable, "-c", _APART, program]
        subprocess.run(words, cwd=at, env=environ, stdin=slave, stdout=slave, stderr=slave, check=True)
        os.close(slave)
        self.raw = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a character may come in two pieces
        self.read = 0
        self._wait(PROMPT)
        self.mode = termios.tcgetattr(self.master)
        self(f'peercoord() {{ "{sys.executable}" -m peercoord "$@"; }}')

    def __call__(self, line: str) -> tuple[int, str]:
        """Run a line; its exit code and what it printed."""
        self.type(f"{line}\n")
        return self.prompt()

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.master, text.encode())

    def prompt(self, seconds: float = 240.0) -> tuple[int, str]:
        """Wait for the shell's prompt; the exit code of what ran, and what is new on the screen."""
        found, said = self._wait(PROMPT, seconds)
        return int(found[1]), said.partition("\n")[2]

    def wait(self, words: str, seconds: float = 240.0) -> str:
        """Wait until words stand on the screen; everything that is new there."""
        return self._wait(re.compile(re.escape(words)), seconds)[1]

    def asked(self, words: str = "\n › ", seconds: float = 240.0) -> str:
        """Wait until words stand on the screen and a key is waited for; everything that is new there."""
        said = self.wait(words, seconds)
        self.until(True, seconds)
        return said

    def until(self, waits: bool, seconds: float = 240.0) -> None:
        """Wait until the program waits for a key, or no longer does."""
        end = time.monotonic() + seconds
        while bool(termios.tcgetattr(self.master)[3] & termios.ICANON) == waits:
            assert time.monotonic() < end, "a key is waited for" if not waits else "no key is waited for"
            select.select([], [], [], 0.005)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def restored(self) -> bool:
        """Tell whether the terminal is in the mode in which the shell found it."""
        now: list[Any] = termios.tcgetattr(self.master)
        return now == self.mode

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)

    def _wait(self, pattern: re.Pattern[str], seconds: float = 240.0) -> tuple[re.Match[str], str]:
        end = time.monotonic() + seconds
        while True:
            text = ANSI.sub("", self.raw).replace("\r\n", "\n")
            found = pattern.search(text, self.read)
            if found:
                said = text[self.read : found.end()]
                self.read = found.end()
                return found, said
            left = end - time.monotonic()
            assert left > 0, f"not on the screen in {seconds} s: {pattern.pattern}\n{text[self.read :]}"
            if select.select([self.master], [], [], left)[0]:
                self.raw += self.decode(os.read(self.master, 65536))
