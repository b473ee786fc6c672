"""Type into the tmux window of a coding session, where its program can be woken in no other way.

The window is found by the user option ``@peercoord``, a mark of the worktree's path, which ``up`` gives it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from peercoord.system.clock import wait_until

if TYPE_CHECKING:
    import subprocess

    from rich.text import Text

OPTION = "@peercoord"
SHOWN_CHARS = 20  # of a line that a window must show
SHOWN_SECONDS, LOOK_SECONDS = 3.0, 0.1  # for a window to show a line, and between two looks
ANSWER_SECONDS = 10.0  # for a tmux server to answer
DRAFT_LINES = 10  # above the cursor, in which the first line of a draft is looked for
_PROMPTS, _BORDERS = "›❯>", " \u00a0│┃|"


def mark(directory: str | os.PathLike[str]) -> str:
    """Return the mark of a window or session: a digest of a path, since tmux cannot print every path."""
    return hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]


def type_into(worktree: str, text: str) -> bool:
    """Type a line into the window of a worktree's session; ``False`` if it has none, or does not take the line.

    The line is pasted, since programs take keys that come fast for a paste and do not act on the Enter after them. It
    is entered only once the window shows it: a dialog shows nothing of a paste, and Enter would accept the dialog. What
    a person has typed there and not sent is not entered: nothing is typed until it is gone.
    """
    form = f"#{{window_id}} #{{pane_id}} #{{pane_in_mode}} #{{{OPTION}}}"
    listed = [line.split(" ") for line in (_tmux("list-panes", "-a", "-F", form) or "").splitlines()]
    panes = sorted({(int(one[1][1:]), one[0], one[2]) for one in listed if one[-1] == mark(worktree)})
    # the first pane runs the session; a person may have split others off, or scroll back in it, where Enter ends that
    if len({window for _, window, _ in panes}) != 1 or panes[0][2] != "0":
        return False
    pane, start, buffer = f"%{panes[0][0]}", text[:SHOWN_CHARS], f"peercoord-{mark(worktree)}"
    if _input_line(pane)[0]:
        return False
    before = _shown(pane).count(start)
    if _tmux("set-buffer", "-b", buffer, "--", text) is None:
        return False
    _tmux("paste-buffer", "-p", "-d", "-b", buffer, "-t", pane)
    is_shown = wait_until(lambda: _shown(pane).count(start) > before, SHOWN_SECONDS, LOOK_SECONDS)
    typed, has_prompt = _input_line(pane)
    is_alone = typed.startswith(start.strip()) or not has_prompt  # else a person typed at the same moment
    return is_shown and is_alone and _tmux("send-keys", "-t", pane, "Enter") is not None


def _input_line(pane: str) -> tuple[str, bool]:
    """Return what is typed around the cursor of a pane and not sent, and whether a prompt stands before it."""
    from rich.text import Text

    place = (_tmux("display-message", "-p", "-t", pane, "#{cursor_x} #{cursor_y}") or "").split()
    if len(place) != 2:
        return "", False
    column, row = map(int, place)
    top = str(max(0, row - DRAFT_LINES))
    taken = _tmux("capture-pane", "-p", "-e", "-t", pane, "-S", top, "-E", str(row)) or ""
    *above, last = Text.from_ansi(taken).split("\n")
    lines = [*map(_typed, above), _typed(last, column)]
    first = next((k for k in reversed(range(len(lines))) if lines[k].startswith(tuple(_PROMPTS))), None)
    if first is None:
        return lines[-1], False
    return " ".join([lines[first][1:], *lines[first + 1 :]]).strip(_BORDERS), True


def _typed(line: Text, column: int | None = None) -> str:
    """Return what is typed in a line: not what a program shows in an empty one, dim, or coloured behind the cursor."""
    hidden: set[int] = set()
    for span in line.spans:
        style = span.style
        if isinstance(style, str):
            continue
        start = span.start if style.dim or column is None else max(span.start, column)
        if style.dim or (column is not None and style.color is not None and not style.color.is_default):
            hidden.update(range(start, span.end))
    return "".join(one for at, one in enumerate(line.plain) if at not in hidden).strip(_BORDERS)


def _shown(pane: str) -> str:
    return _tmux("capture-pane", "-p", "-t", pane) or ""


def _tmux(*words: str) -> str | None:
    """Ask tmux; ``None`` if it is missing, refuses or hangs."""
    try:
        done = run_tmux(*words)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def run_tmux(*words: str) -> subprocess.CompletedProcess[str]:
    """Call tmux; a ``TimeoutError``, which is an ``OSError``, says that its server does not answer."""
    import subprocess

    # from the root directory: a server started in a worktree would stay there and keep it from being removed
    try:
        return subprocess.run(
            ["tmux", *words],
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"tmux {words[0]}: its server has not answered for {ANSWER_SECONDS:.0f} s") from None
