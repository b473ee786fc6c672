"""One terminal session for each worktree: opened once, left alone ever after, closed on request.

A session of tmux rather than a window: sessions can be attached to side by side, windows of one session cannot. It is
ours if it says so (the user option ``@peercoord``, a mark of the worktree's path), so a session that happens to have
the name, or belongs to a project of the same name elsewhere, is neither taken nor closed.

Commands are lists of words. They run through ``env``, since tmux would hand a single word to a shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from contextlib import suppress

from peercoord.core.errors import NotFoundError, PeercoordError, UsageError
from peercoord.core.ids import shown
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action
from peercoord.edges.team.setup import INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psutil

    from peercoord.edges.team.plan import Seat

WAYS = ("tmux", "print")
DEFAULT_COMMAND = "claude"
_OPTION = "@peercoord"
END_SECONDS = 5.0  # for what runs in a session to end once it is closed


def command_words(command: str) -> list[str]:
    """Split a command line into words as a shell would, without one.

    Args:
        command: What people gave; empty: the default command where it is installed.

    Returns:
        The words; none if nothing was given and the default is not installed.

    Raises:
        UsageError: A quote is not closed.
    """
    if not command:
        return [DEFAULT_COMMAND] if shutil.which(DEFAULT_COMMAND) else []
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{shown(command)} cannot be split into words: {error}", "close the quote") from None


def lines(seats: Iterable[Seat], command: Sequence[str]) -> list[str]:
    """Give, for each worktree, the line a person types to start a session there.

    Args:
        seats: The worktrees.
        command: The command; empty: the default one, installed or not.
    """
    words = shlex.join(command or [DEFAULT_COMMAND])
    return [f"cd {shlex.quote(str(seat.directory))} && {INDEX}={seat.index} {words}" for seat in seats]


def plan_open(seats: Iterable[Seat], command: Sequence[str], env: Mapping[str, str] | None = None) -> list[Action]:
    """Plan a tmux session for each worktree that has none.

    Args:
        seats: The worktrees, there or about to be.
        command: What runs there, as a list of words.
        env: Further variables for it.

    Raises:
        UsageError: There is no command.
        NotFoundError: There is no tmux, or no such command.
    """
    if not command:
        raise UsageError("there is nothing to run in the sessions", "name it: --command 'claude'")
    if not shutil.which("tmux"):
        raise NotFoundError("there is no tmux on this machine", "install tmux, or start by hand: --launch print")
    if not shutil.which(command[0]) and not ("/" in command[0] and not os.path.isabs(command[0])):
        raise NotFoundError(f"there is no program {shown(command[0])}", "name another: --command", code="no-command")
    ours, taken = _sessions()
    actions = []
    for seat in seats:
        if _mark(seat) not in ours:
            name = session_name(seat, taken)
            taken.add(name)
            actions.append(_open_action(seat, name, list(command), dict(env or {})))
    return actions


def opened(seats: Iterable[Seat]) -> dict[str, str]:
    """Map the peers whose worktrees have a session to its name; empty where there is no tmux."""
    ours = _sessions()[0] if shutil.which("tmux") else {}
    return {seat.peer: ours[_mark(seat)][1] for seat in seats if _mark(seat) in ours}


def plan_close(seats: Iterable[Seat]) -> list[Action]:
    """Plan to close the sessions that were opened for worktrees, with all that runs in them."""
    ours = _sessions()[0] if shutil.which("tmux") else {}
    return [_close_action(*ours[_mark(seat)]) for seat in seats if _mark(seat) in ours]


def session_name(seat: Seat, taken: Iterable[str] = ()) -> str:
    """Give the name of a worktree's session: the worktree's own, in letters that need no quoting.

    Args:
        seat: The worktree.
        taken: Names in use; then a few digits of the worktree's mark are added.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", seat.worktree.name).strip("_-") or seat.peer
    return f"{name}-{_mark(seat)[:6]}" if name in set(taken) else name


def _mark(seat: Seat) -> str:
    """Give what tells a worktree from every other; tmux prints a path only as its client's locale allows."""
    return hashlib.sha256(os.fsencode(seat.directory)).hexdigest()[:16]


def _open_action(seat: Seat, name: str, command: list[str], env: dict[str, str]) -> Action:
    def do() -> str:
        settings = [f"{key}={value}" for key, value in {**env, INDEX: str(seat.index)}.items()]
        # tmux expands "#" in a directory, and takes a ";" that ends a word for the end of its own command
        words = [re.sub(r";$", r"\\;", word) for word in ("env", *settings, *command)]
        where = ["-c", str(seat.directory).replace("#", "##"), "-s", name]
        _tmux("new-session", "-d", *where, *words, ";", "set-option", "-t", f"={name}:", _OPTION, _mark(seat))
        return ""

    return Action(f"open tmux session {name}: {shown_path(shlex.join(command))} (tmux attach -t {name})", do)


def _close_action(session: str, name: str) -> Action:
    import psutil

    def do() -> str:
        if session not in {known for known, _ in _sessions()[0].values()}:
            return ""
        running = _running_in(session)
        _tmux("kill-session", "-t", session)
        _, left = psutil.wait_procs(running, timeout=END_SECONDS)
        return f"process {left[0].pid} of tmux session {shown_path(name)} has not ended" if left else ""

    return Action(f"close tmux session {shown_path(name)}", do)


def _running_in(session: str) -> list[psutil.Process]:
    """List what runs in a session: the programs of its panes and all they started."""
    import psutil

    found = []
    for pid in _tmux("list-panes", "-s", "-t", session, "-F", "#{pane_pid}").split():
        with suppress(psutil.NoSuchProcess):
            pane = psutil.Process(int(pid))
            found += [pane, *pane.children(recursive=True)]
    return found


def _sessions() -> tuple[dict[str, tuple[str, str]], set[str]]:
    """List the sessions of this user: ours by mark (id and name), and all names."""
    ours, taken = {}, set()
    for line in _tmux("list-sessions", "-F", f"#{{session_id}} #{{{_OPTION}}} #{{session_name}}").splitlines():
        session, _, rest = line.partition(" ")
        mark, _, name = rest.partition(" ")
        taken.add(name)
        if mark:
            ours[mark] = (session, name)
    return ours, taken


def _tmux(*words: str) -> str:
    import subprocess

    # from the root directory: a server started in a worktree would stay there and keep it from being removed
    done = subprocess.run(["tmux", *words], cwd="/", capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return done.stdout
    if words[0] == "list-sessions" and ("no server running" in done.stderr or "error connecting" in done.stderr):
        return ""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
    raise PeercoordError(f"tmux {words[0]} failed: {shown(said[0])}", "look with: tmux list-sessions", code="tmux")
