"""Commands of this installation, run as processes of their own.

An agent lives for weeks: the memory that a sync or a merge takes is free again when its process ends.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, StorageError
from peercoord.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json

SECONDS = 300.0  # timeout of a command
START_SECONDS = 30.0  # timeout of ``starts``


def command() -> list[str]:
    """Return the words that call this installation."""
    import site

    is_users = __file__.startswith(site.getusersitepackages() + os.sep)  # then Python must look there
    return [sys.executable, "-P" if is_users else "-I", "-m", "peercoord"]


def starts() -> bool:
    """Check whether the program that is installed now starts. It may have been moved, or be half installed."""
    import subprocess

    try:
        tried = subprocess.run([*command(), "--version"], capture_output=True, timeout=START_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def ask(command: Sequence[str], project: str, worktree: str, words: Sequence[str], what: str, hint: str) -> Json:
    """Run a command of the installation, for a worktree of the project, and return the data of its answer.

    Raises:
        StorageError: It could not be started, did not end, or answered nothing that can be read.
    """
    import subprocess

    import orjson

    try:
        ended = subprocess.run(
            [*command, "-C", worktree, "--project", project, *words, "--json"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StorageError(f"{what} did not end in {SECONDS:.0f} s", hint=hint) from None
    except OSError as error:
        raise StorageError(f"{what} could not be started: {error.strerror}", hint=hint) from None
    try:
        answer = orjson.loads(ended.stdout)
    except ValueError:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise StorageError(f"{what} failed: {shown(said[0], 300)}", hint=hint) from None
    refusal = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refusal, dict):
        message, hint, code = (str(refusal.get(key) or "") for key in ("message", "hint", "code"))
        raise PeercoordError(message, hint, code or "failed")
    data = answer.get("data") if isinstance(answer, dict) else None
    return data if isinstance(data, dict) else {}
