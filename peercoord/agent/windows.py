"""Type into the tmux window of a coding session, where its program can be woken in no other way.

The window is found by the user option ``@peercoord``, a mark of the worktree's path, which ``up`` gives it.
"""

from __future__ import annotations

import hashlib
import os

OPTION = "@peercoord"
ANSWER_SECONDS = 10.0  # for a tmux server to answer


def mark(worktree: str) -> str:
    """Return the mark of a worktree's window."""
    return hashlib.sha256(os.fsencode(worktree)).hexdigest()[:16]


def type_into(worktree: str, text: str) -> bool:
    """Type a line into the window of a worktree's session; ``False`` if it has none, or tmux does not answer.

    Args:
        worktree: The directory that holds ``.claude-instance/``.
        text: The line.
    """
    listed = _tmux("list-windows", "-a", "-F", f"#{{window_id}} #{{{OPTION}}}") or ""
    found = [line.split(" ")[0] for line in listed.splitlines() if line.endswith(f" {mark(worktree)}")]
    if len(found) != 1:
        return False
    typed = _tmux("send-keys", "-t", found[0], "-l", "--", text)
    return typed is not None and _tmux("send-keys", "-t", found[0], "Enter") is not None


def _tmux(*words: str) -> str | None:
    """Ask tmux; ``None`` if it is missing, refuses or hangs."""
    import subprocess

    try:
        done = subprocess.run(["tmux", *words], capture_output=True, check=False, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
