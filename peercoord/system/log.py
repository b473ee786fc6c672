"""The log of a background process."""

from __future__ import annotations

import os
import time
from typing import Protocol

from peercoord.foreign import clean
from peercoord.system import streams


class Directory(Protocol):
    """The directory that holds a log."""

    def open(self, path: str, flags: int, mode: int = ..., /) -> int: ...  # noqa: D102

    def rename(self, source: str, target: str, /) -> None: ...  # noqa: D102


class Log:
    """A log file: lines with their time, rotated once at ``most`` bytes; ``aloud`` on stderr as well."""

    def __init__(self, directory: Directory, name: str, aloud: bool = False, most: int = 1 << 20) -> None:
        self.directory, self.name, self.aloud, self.most = directory, name, aloud, most

    def __call__(self, message: str) -> None:
        """Write a line; if that fails, the line is lost."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} [{os.getpid()}] {clean(message)}\n"
        if self.aloud:
            streams.say(line.encode("utf-8", "backslashreplace"))
        try:
            self._write(line.encode("utf-8", "backslashreplace"))
        except OSError:
            return

    def _write(self, line: bytes) -> None:
        handle = self.directory.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(handle).st_size > self.most:
                self.directory.rename(self.name, f"{self.name}.1")
            os.write(handle, line)
        finally:
            os.close(handle)
