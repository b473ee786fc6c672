"""The standard streams of a command, which may be closed or full.

The next file that is opened would get a closed descriptor, and messages would be written into that file. So closed
streams are opened on the null device first. An answer that cannot be written does not undo the work.
"""

from __future__ import annotations

import os
import sys

_closed: set[str] = set()


def open_closed() -> None:
    """Open each closed standard stream on the null device."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number, inheritable=True)
        if getattr(sys, name) is None:
            _closed.add(name)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def heard() -> bool:
    """Check whether standard output was open when the command began."""
    return "stdout" not in _closed


def say(messages: bytes) -> None:
    """Write to standard error; messages that cannot be written are lost."""
    try:
        sys.stderr.buffer.write(messages)
        sys.stderr.flush()
    except OSError:
        _forget(2)


def deliver(answer: bytes) -> OSError | None:
    """Write to standard output; return the error, if it could not be written."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    except OSError as error:
        _forget(1)
        return error
    return None


def show(text: str) -> None:
    """Show a step on standard output; a failure to show it is ignored."""
    deliver(f"{text}\n".encode())


def end() -> int:
    """Flush standard output; return the exit code for that."""
    return int(deliver(b"") is not None)


def _forget(number: int) -> None:
    """Send a stream to the null device, so that its buffer cannot fail when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
