"""One tmux session for each worktree: opened once, left alone afterwards, closed on request.

A session rather than a window, since sessions can be attached to side by side. The user option ``@peercoord``, a mark
of the worktree's path, says that a session is ours, so another session of that name is never taken or closed.

Commands are lists of words. They run through ``env``, since tmux would hand a single word to a shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError, UsageError
from peercoord.foreign import shown
from peercoord.system.git import shown_path
from peercoord.team.hooks import INDEX
from peercoord.team.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psutil

    from peercoord.team.plan import Instance

DEFAULT_COMMAND = "claude"
_OPTION = "@peercoord"
ANSWER_SECONDS = 10.0  # for a tmux server to answer
END_SECONDS = 5.0  # for what runs in a session to end once it is closed


def command_words(command: str) -> list[str]:
    """Split a command line into words; without one, the default command where it is installed."""
    if not command:
        return [DEFAULT_COMMAND] if shutil.which(DEFAULT_COMMAND) else []
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{shown(command)} cannot be split into words: {error}", "close the quote") from None


def lines_to_type(instances: Iterable[Instance], command: Sequence[str]) -> list[str]:
    """Return the line that starts a session in each worktree, by default of the default command."""
    words = shlex.join(command or [DEFAULT_COMMAND])
    return [f"cd {shlex.quote(str(instance.directory))} && {INDEX}={instance.index} {words}" for instance in instances]


def plan_open(
    instances: Iterable[Instance], command: Sequence[str], env: Mapping[str, str] | None = None
) -> list[Action]:
    """Plan a tmux session for each worktree that has none."""
    if not command:
        text = f"there is nothing to run in the sessions: {DEFAULT_COMMAND} is not installed"
        raise NotFoundError(text, "name a program: --command CMD; or start by hand: --launch none", code="no-command")
    if not shutil.which("tmux"):
        raise NotFoundError(
            "there is no tmux on this machine", "install it, or start the sessions by hand: --launch none"
        )
    if not shutil.which(command[0]) and not ("/" in command[0] and not os.path.isabs(command[0])):
        raise NotFoundError(
            f"there is no program {shown(command[0])}", "name another: --command CMD", code="no-command"
        )
    ours, taken = _sessions()
    actions = []
    for instance in instances:
        if _mark(instance) not in ours:
            name = session_name(instance, taken)
            taken.add(name)
            actions.append(_open_action(instance, name, list(command), dict(env or {})))
    return actions


def open_sessions(instances: Iterable[Instance]) -> dict[str, str]:
    """Map peers to the names of their open sessions."""
    ours = _sessions()[0] if shutil.which("tmux") else {}
    return {instance.peer: ours[_mark(instance)][1] for instance in instances if _mark(instance) in ours}


def plan_close(instances: Iterable[Instance]) -> list[Action]:
    """Plan to close the sessions of worktrees and all that runs in them."""
    ours = _sessions()[0] if shutil.which("tmux") else {}
    return [_close_action(*ours[_mark(instance)]) for instance in instances if _mark(instance) in ours]


def session_name(instance: Instance, taken: Iterable[str] = ()) -> str:
    """Return a session name from the worktree's, in letters that need no quoting."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", instance.worktree.name).strip("_-") or instance.peer
    return f"{name}-{_mark(instance)[:6]}" if name in set(taken) else name


def _mark(instance: Instance) -> str:
    """Return a digest of the worktree's path; tmux cannot print every path."""
    return hashlib.sha256(os.fsencode(instance.directory)).hexdigest()[:16]


def _open_action(instance: Instance, name: str, command: list[str], env: dict[str, str]) -> Action:
    def do() -> None:
        settings = [f"{key}={value}" for key, value in {**env, INDEX: str(instance.index)}.items()]
        # tmux expands "#" in a directory, and takes a ";" that ends a word for the end of its own command
        words = [re.sub(r";$", r"\\;", word) for word in ("env", *settings, *command)]
        where = ["-c", str(instance.directory).replace("#", "##"), "-s", name]
        _tmux("new-session", "-d", *where, *words, ";", "set-option", "-t", f"={name}:", _OPTION, _mark(instance))

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
    """List the processes of a session's panes and their children."""
    import psutil

    found = []
    for pid in _tmux("list-panes", "-s", "-t", session, "-F", "#{pane_pid}").split():
        with suppress(psutil.NoSuchProcess):
            pane = psutil.Process(int(pid))
            found += [pane, *pane.children(recursive=True)]
    return found


def _sessions() -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Return our sessions by mark (id and name), and all session names."""
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
    try:
        done = subprocess.run(
            ["tmux", *words],
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        text = f"tmux {words[0]}: its server has not answered for {ANSWER_SECONDS:.0f} s"
        raise PeercoordError(text, "is it stopped? look with: pgrep -a tmux", code="tmux") from None
    if done.returncode == 0:
        return done.stdout
    if words[0] == "list-sessions" and ("no server running" in done.stderr or "error connecting" in done.stderr):
        return ""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
    raise PeercoordError(f"tmux {words[0]} failed: {shown(said[0])}", "look with: tmux list-sessions", code="tmux")
