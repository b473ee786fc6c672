"""Type into the tmux window of a coding session, where its program can be woken in no other way.

The window is found by the user option ``@peercoord``, a mark of the worktree's path, which ``up`` gives it.
"""

from __future__ import annotations

import hashlib
import os

from peercoord.system.clock import wait_until

OPTION = "@peercoord"
SHOWN_CHARS = 20  # of a line that a window must show
SHOWN_SECONDS, LOOK_SECONDS = 3.0, 0.1  # for a window to show a line, and between two looks
ANSWER_SECONDS = 10.0  # for a tmux server to answer


def mark(worktree: str) -> str:
    """Return the mark of a worktree's window."""
    return hashlib.sha256(os.fsencode(worktree)).hexdigest()[:16]


def type_into(worktree: str, text: str) -> bool:
    """Type a line into the window of a worktree's session; ``False`` if it has none, or does not take the line.

    The line is pasted, since programs take keys that come fast for a paste and do not act on the Enter after them. It
    is entered only once the window shows it: a dialog shows nothing of a paste, and Enter would accept the dialog.

    Args:
        worktree: The directory that holds ``.claude-instance/``.
        text: The line.
    """
    form = f"#{{window_id}} #{{pane_id}} #{{pane_in_mode}} #{{{OPTION}}}"
    listed = [line.split(" ") for line in (_tmux("list-panes", "-a", "-F", form) or "").splitlines()]
    panes = sorted({(int(one[1][1:]), one[0], one[2]) for one in listed if one[-1] == mark(worktree)})
    # the first pane runs the session; a person may have split others off, or scroll back in it, where Enter ends that
    if len({window for _, window, _ in panes}) != 1 or panes[0][2] != "0":
        return False
    pane, start, buffer = f"%{panes[0][0]}", text[:SHOWN_CHARS], f"peercoord-{mark(worktree)}"
    before = _shown(pane).count(start)
    if _tmux("set-buffer", "-b", buffer, "--", text) is None:
        return False
    _tmux("paste-buffer", "-p", "-d", "-b", buffer, "-t", pane)
    is_shown = wait_until(lambda: _shown(pane).count(start) > before, SHOWN_SECONDS, LOOK_SECONDS)
    return is_shown and _tmux("send-keys", "-t", pane, "Enter") is not None


def _shown(pane: str) -> str:
    return _tmux("capture-pane", "-p", "-t", pane) or ""


def _tmux(*words: str) -> str | None:
    """Ask tmux; ``None`` if it is missing, refuses or hangs."""
    import subprocess

    try:
        done = subprocess.run(["tmux", *words], capture_output=True, check=False, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
