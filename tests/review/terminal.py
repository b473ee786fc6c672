"""Terminals for tests: what a person sees and types.

``Terminal`` is a shell with no program above it but the system's first: the tests may run below a coding agent, a
person's terminal does not. ``Program`` is one call of ``peercoord`` in a copy of this process, which is much quicker.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from peercoord.cli import main as cli
from peercoord.review import actions, terminal

ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\([A-B]|[=>])")
PROMPT = re.compile(r"<<(\d+)>>")
SECONDS = 240.0  # after which a test fails
_APART = """
import fcntl, os, sys, termios
if os.fork():
    os._exit(0)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv("/bin/sh", [sys.argv[1], "-i"])
"""


def environment(at: Path, env: dict[str, str] | None) -> dict[str, str]:
    """The few variables of a person's terminal, and those of a test."""
    home = at.parent / "home"
    home.mkdir(exist_ok=True)
    usual = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    return {**usual, "PAGER": "cat", **(env or {})}


class Screen:
    """The person's end of a terminal."""

    def __init__(self, master: int) -> None:
        self.master, self.raw, self.read = master, "", 0
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a character may come in two pieces

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait(self, words: str) -> str:
        """Wait until words stand on the screen; everything that is new there."""
        return self.find(re.compile(re.escape(words)))[1]

    def asked(self, words: str = "\n › ") -> str:
        """Wait until words stand on the screen and a key is waited for; everything that is new there."""
        said = self.wait(words)
        self.until(True)
        return said

    def until(self, waits: bool) -> None:
        """Wait until the program waits for a key, or no longer does."""
        end = time.monotonic() + SECONDS
        while bool(termios.tcgetattr(self.master)[3] & termios.ICANON) == waits:
            assert time.monotonic() < end, "a key is waited for" if not waits else "no key is waited for"
            select.select([], [], [], 0.002)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def restored(self) -> bool:
        """Whether the terminal is in the mode in which the program found it."""
        now: list[Any] = termios.tcgetattr(self.master)
        return now == self.mode

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)

    def find(self, pattern: re.Pattern[str]) -> tuple[re.Match[str], str]:
        """Wait until something stands on the screen; everything that is new there."""
        end = time.monotonic() + SECONDS
        while True:
            text = ANSI.sub("", self.raw).replace("\r\n", "\n")
            found = pattern.search(text, self.read)
            if found:
                said = text[self.read : found.end()]
                self.read = found.end()
                return found, said
            left = end - time.monotonic()
            assert left > 0, f"not on the screen: {pattern.pattern}\n{text[self.read :]}"
            if select.select([self.master], [], [], left)[0]:
                self.more()

    def more(self) -> None:
        self.raw += self.decode(os.read(self.master, 65536))


class Terminal(Screen):
    """A shell in a terminal, under the name of a program."""

    def __init__(self, at: Path, program: str = "sh", *, columns: int = 100, env: dict[str, str] | None = None) -> None:
        master, slave = pty.openpty()
        super().__init__(master)
        self.resize(columns, 40)
        own = {"PS1": "<<$?>>", "PYTHONPATH": str(Path(__file__).parents[2])}
        words = [sys.executable, "-c", _APART, program]
        streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        subprocess.run(words, cwd=at, env={**environment(at, env), **own}, check=True, **streams)  # type: ignore[call-overload]
        os.close(slave)
        self.find(PROMPT)
        self.mode = termios.tcgetattr(self.master)
        self(f'peercoord() {{ "{sys.executable}" -m peercoord "$@"; }}')

    def __call__(self, line: str) -> tuple[int, str]:
        """Run a line; its exit code and what it printed."""
        self.type(f"{line}\n")
        return self.prompt()

    def prompt(self) -> tuple[int, str]:
        """Wait for the shell's prompt; the exit code of what ran, and what is new on the screen."""
        found, said = self.find(PROMPT)
        return int(found[1]), said.partition("\n")[2]


class Program(Screen):
    """One call of ``peercoord`` in a terminal of its own, which no coding agent seems to have made."""

    def __init__(self, at: Path, *words: str, columns: int = 100, env: dict[str, str] | None = None) -> None:
        ready, go = os.pipe()
        variables = environment(at, env)
        self.pid, master = pty.fork()
        if not self.pid:
            os.close(go)
            os.read(ready, 1)  # the window has its size
            self.run(at, variables, words)
        os.close(ready)
        super().__init__(master)
        self.mode = termios.tcgetattr(master)
        self.resize(columns, 40)
        os.close(go)
        self.ended = False

    @staticmethod
    def run(at: Path, env: dict[str, str], words: tuple[str, ...]) -> NoReturn:
        code = 70
        try:
            os.chdir(at)
            os.environ.clear()
            os.environ.update(env)
            actions.coding_session = lambda _: ""
            encoding = env.get("PYTHONIOENCODING", "utf-8")
            sys.argv, sys.stdin = ["peercoord", *words], open(0, closefd=False)  # noqa: SIM115
            sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding, line_buffering=True)  # noqa: SIM115
            sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), encoding, line_buffering=True)  # noqa: SIM115
            cli.run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # noqa: BLE001 - the test shows it
            traceback.print_exc()
        finally:
            os._exit(code)

    def end(self) -> tuple[int, str]:
        """Wait until it ends; its exit code and what is new on the screen."""
        while True:
            try:
                self.more()
            except OSError:  # the other end is closed
                break
        self.ended = True
        said = ANSI.sub("", self.raw).replace("\r\n", "\n")[self.read :]
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), said

    def close(self) -> None:
        super().close()  # programs that still run get SIGHUP
        if not self.ended:
            os.waitpid(self.pid, 0)


assert terminal.Review  # what a review imports is imported here, once for all programs
