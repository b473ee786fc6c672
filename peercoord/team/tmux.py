"""One tmux session for each team: a window for each worktree, and one with the live status.

Windows are opened once, left alone afterwards, and closed on request. The window option ``@peercoord``, a mark of the
worktree's path, says which worktree a window is for; the session option ``@peercoord-team`` says whose team a session
is. So a session or window of somebody else's is never taken or closed, whatever its name is.

Commands are lists of words. They run through ``env``, since tmux would hand a single word to a shell.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.agent import windows
from peercoord.agent.windows import mark as _mark
from peercoord.errors import NotFoundError, PeercoordError
from peercoord.foreign import shown
from peercoord.integrations.launch import WORKTREE
from peercoord.system import child, clock
from peercoord.system.git import shown_path
from peercoord.team.hooks import INDEX
from peercoord.team.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from peercoord.team.plan import Instance

_WINDOW, _SESSION = windows.OPTION, "@peercoord-team"
_OPENED = "@peercoord-opened"  # when a window was opened for a coding agent with hooks, in seconds since the epoch
STATUS = "status"
STATUS_SECONDS = 5
COMMAND_CHARS = 100  # shown of a command that a window runs
END_SECONDS = 5.0  # for what runs in a window to end once it is closed
START_SECONDS = 20  # for a coding agent to fire its first hook


@dataclass(frozen=True, slots=True)
class Window:
    """What runs in the window of one worktree."""

    instance: Instance  # there, or about to be
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def check(programs: Iterable[str]) -> None:
    """Refuse to go on without tmux, or without a program that is to run in it."""
    if not shutil.which("tmux"):
        hint = "install it, or start the sessions by hand: --launch none"
        raise NotFoundError("there is no tmux on this machine", hint)
    for program in programs:
        if not shutil.which(program) and not ("/" in program and not os.path.isabs(program)):
            hint = "name another: --agent AGENT or --command CMD; or start by hand: --launch none"
            raise NotFoundError(f"there is no program {shown(program)}", hint, code="no-command")


def plan_open(project: Path, wanted: Iterable[Window]) -> list[Action]:
    """Plan a window for each worktree that has none, in the team's session."""
    wanted = list(wanted)
    check(window.command[0] for window in wanted)
    known = _windows()
    return [_open_action(project, window) for window in wanted if _mark(window.instance.directory) not in known]


def open_windows(instances: Iterable[Instance]) -> dict[str, str]:
    """Map peers to their open windows, as ``tmux attach -t`` takes them."""
    known = _windows()
    there = {instance.peer: known.get(_mark(instance.directory)) for instance in instances}
    return {peer: f"{window.session}:{window.name}" for peer, window in there.items() if window is not None}


def looked_at(worktree: str) -> tuple[str, ...]:
    """Return the command that shows the window of a worktree; empty if it has none."""
    window = _windows().get(_mark(worktree))
    verb = "switch-client" if os.environ.get("TMUX") else "attach"
    return ("tmux", verb, "-t", f"{window.session}:{window.name}") if window else ()


def hooks_due(worktrees: Iterable[str]) -> dict[str, float]:
    """Return when a coding agent was started in the windows of worktrees, where its first hook is due by now.

    Whether a hook has fired the caller knows.
    """
    known = _windows()
    there = {tree: known[_mark(tree)].opened for tree in worktrees if _mark(tree) in known}
    return {tree: float(at) for tree, at in there.items() if at and clock.wall() - at >= START_SECONDS}


def started_again(project: Path, worktree: str) -> tuple[str, ...]:
    """Return the command that opens the window of a worktree again; empty if it has one, or the team no session."""
    there = not session_of(project) or looked_at(worktree)
    return () if there else ("peercoord", "up", "--launch", "tmux")


def session_of(project: Path) -> str:
    """Return the name of the team's session; empty if it has none."""
    return _sessions().get(_mark(project), "")


def plan_close(instances: Iterable[Instance], project: Path | None = None) -> list[Action]:
    """Plan to close the windows of worktrees, and a project's status window, with all that runs in them."""
    known = _windows()
    marks = [_mark(instance.directory) for instance in instances]
    marks += [_mark(project)] if project is not None else []
    return [_close_action(known[mark]) for mark in marks if mark in known]


def session_name(project: Path, taken: Iterable[str] = ()) -> str:
    """Return a session name from the project's, in letters that need no quoting."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", project.name).strip("_-") or "team"
    return f"{name}-{_mark(project)[:6]}" if name in set(taken) else name


# -- opening -------------------------------------------------------------------------------------------------------


def _open_action(project: Path, window: Window) -> Action:
    instance = window.instance
    session = session_of(project) or session_name(project, _sessions().values())

    def do() -> str:
        home = _session(project)
        settings = [f"{key}={value}" for key, value in {**window.env, INDEX: str(instance.index)}.items()]
        program = shutil.which(window.command[0]) or window.command[0]  # the server may have another PATH
        words = _literal(["env", *settings, program, *window.command[1:]])
        where = ["-t", f"={home}:", "-n", instance.peer, "-c", str(instance.directory).replace("#", "##")]
        made = _tmux("new-window", "-d", "-P", "-F", "#{window_id}", *where, *words).strip()
        try:
            _tmux("set-option", "-w", "-t", made, _WINDOW, _mark(instance.directory))
            if WORKTREE in window.env:  # it has hooks of ours
                _tmux("set-option", "-w", "-t", made, _OPENED, str(int(clock.wall())))
        except PeercoordError:
            return f"{shown(window.command[0])} ended at once in the window of {instance.peer}"
        return ""

    text = shown_path(shlex.join(window.command))
    text = text if len(text) <= COMMAND_CHARS else f"{text[:COMMAND_CHARS]}…"
    return Action(f"open tmux window {instance.peer}: {text} (tmux attach -t {session})", do)


def _session(project: Path) -> str:
    """Return the team's session, made with its status window if it is not there."""
    sessions = _sessions()
    mark = _mark(project)
    if mark in sessions:
        return sessions[mark]
    name = session_name(project, _tmux("list-sessions", "-F", "#{session_name}").splitlines())
    again = f'while :; do "$@"; sleep {STATUS_SECONDS}; done'  # also after it was left, and after the team was down
    status = _literal(["/bin/sh", "-c", again, STATUS, *child.command(), "-C", str(project), "status", "--watch"])
    marks = [";", "set-option", "-t", f"={name}:", _SESSION, mark, ";", "set-option", "-w", "-t", f"={name}:"]
    _tmux("new-session", "-d", "-c", "/", "-s", name, "-n", STATUS, *status, *marks, _WINDOW, mark)
    return name


def _literal(words: Iterable[str]) -> list[str]:
    """Keep tmux from taking a ``;`` that ends a word for the end of its own command."""
    return [re.sub(r";$", r"\\;", word) for word in words]


# -- closing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Open:
    ident: str
    session: str
    name: str
    opened: int = 0


def _close_action(window: _Open) -> Action:
    import psutil

    where = shown_path(f"{window.session}:{window.name}")

    def do() -> str:
        if window.ident not in {known.ident for known in _windows().values()}:
            return ""
        running = []
        for pid in _tmux("list-panes", "-t", window.ident, "-F", "#{pane_pid}").split():
            with suppress(psutil.NoSuchProcess):
                pane = psutil.Process(int(pid))
                running += [pane, *pane.children(recursive=True)]
        _tmux("kill-window", "-t", window.ident)
        _, left = psutil.wait_procs(running, timeout=END_SECONDS)
        return f"process {left[0].pid} of tmux window {where} has not ended" if left else ""

    return Action(f"close tmux window {where}", do)


# -- what is open --------------------------------------------------------------------------------------------------


def _windows() -> dict[str, _Open]:
    """Return the open windows by mark: a worktree's, or the project's for its status."""
    found = {}
    fields = f"#{{window_id}} #{{{_WINDOW}}} #{{{_OPENED}}} #{{session_name}}\t#{{window_name}}"
    for line in _tmux("list-windows", "-a", "-F", fields).splitlines():
        ident, _, rest = line.partition(" ")
        mark, _, rest = rest.partition(" ")
        opened, _, names = rest.partition(" ")
        session, _, name = names.partition("\t")
        if mark:
            found[mark] = _Open(ident, session, name, int(opened) if opened.isdecimal() else 0)
    return found


def _sessions() -> dict[str, str]:
    """Return the names of the teams' sessions by mark."""
    lines = _tmux("list-sessions", "-F", f"#{{{_SESSION}}} #{{session_name}}").splitlines()
    return {mark: name for mark, _, name in (line.partition(" ") for line in lines) if mark}


def _tmux(*words: str) -> str:
    asks = words[0] in ("list-sessions", "list-windows")
    if asks and not shutil.which("tmux"):
        return ""
    try:
        done = windows.run_tmux(*words)
    except TimeoutError as error:
        raise PeercoordError(str(error), "is it stopped? look with: pgrep -a tmux", code="tmux") from None
    if done.returncode == 0:
        return done.stdout
    if asks and ("no server running" in done.stderr or "error connecting" in done.stderr):
        return ""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
    raise PeercoordError(f"tmux {words[0]} failed: {shown(said[0])}", "look with: tmux list-sessions", code="tmux")
