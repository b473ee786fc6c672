"""Starting, stopping and asking the background agent of a worktree.

Promises: one agent per worktree, held by a lock that the kernel frees with the process, so none can go stale; a start
that returns has an agent that has joined; a pid is only ever signalled together with its start time, so a reused one
never is. Files, all below ``.claude-instance/``::

    agent.lock   held while an agent runs
    agent.json   which process it is: pid, start, where, incarnation, version
    agent.log    what it says, rotated
"""

from __future__ import annotations

import os
import signal
import sys

from peercoord.core import names, records
from peercoord.core.errors import LostError, PeercoordError
from peercoord.edges import context
from peercoord.edges.host import path
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles import root as roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json
    from peercoord.edges.context import Place

START_SECONDS = 15.0
STOP_SECONDS = 15.0
LOG = "agent.log"


def place_of(worktree: str) -> Place:
    """Find the joined worktree that ``worktree`` is or lies in.

    Raises:
        NotFoundError: It is none.
    """
    place = context.find(given=worktree)
    place.require_worktree()
    return place


# -- running -----------------------------------------------------------------------------------------------------


def run(worktree: str, ready: int = -1, aloud: bool = False) -> None:
    """Be the agent of a worktree, in this process, until told to stop.

    Args:
        worktree: Which.
        ready: A descriptor to write a line to once it has joined; -1 for none.
        aloud: Say on stderr what the log is told.

    Raises:
        LostError: Another agent runs there.
    """
    from peercoord.edges.host import Log, Worktree
    from peercoord.fs.mutex import held
    from peercoord.fs.watch import Wakeups
    from peercoord.roles.agent import Agent

    place = place_of(worktree)
    sys.setswitchinterval(0.001)  # who waits at the door should not wait for a duty's turn of the interpreter
    with held(path(place.worktree, "agent.lock"), wait=0, busy=f"an agent of {place.worktree} runs already"):
        wake = Wakeups()
        host = Worktree(place, Log(path(place.worktree, LOG), aloud), start_apart)
        agent = Agent(host, place.files(), wake)
        if ready >= 0:
            os.write(ready, b"ready\n")
            os.close(ready)
        again = agent.run()
        wake.close()
    if again:
        words = [*command(), "-C", place.worktree, "agent", "run", *(["--foreground"] if aloud else [])]
        os.execv(words[0], words)  # noqa: S606 - no shell is wanted


def command() -> list[str]:
    """Give the words that call this very installation."""
    return [sys.executable, "-I" if _isolated() else "-P", "-m", "peercoord"]


def _isolated() -> bool:
    """Tell whether this package is found without the user's own site directory."""
    import site

    return not __file__.startswith(site.getusersitepackages() + os.sep)


# -- from outside ------------------------------------------------------------------------------------------------


def start(worktree: str) -> int:
    """Start the agent of a worktree, detached, and wait until it has joined.

    Args:
        worktree: Which.

    Returns:
        Its pid, also if one ran already.

    Raises:
        PeercoordError: It ended again at once; the message quotes its log.
    """
    import select

    place = place_of(worktree)
    running = running_agent(place.worktree)
    if running:
        return int(running["pid"])
    read, write = os.pipe()
    try:
        try:
            pid = _spawn([*command(), "-C", place.worktree, "agent", "run", "--ready-fd", str(write)], place, write)
        finally:
            os.close(write)
        said = os.read(read, 16) if select.select([read], [], [], START_SECONDS)[0] else b""
    finally:
        os.close(read)
    other = {} if said else _other(place.worktree)
    if not said and not other:
        raise PeercoordError(
            f"the agent of {place.worktree} did not start: {_last_line(place.worktree)}",
            hint=f"see {path(place.worktree, LOG)}, or run it in sight: "
            f"peercoord -C {place.worktree} agent run --foreground",
            code="agent",
        )
    return pid if said else int(other["pid"])


def _other(worktree: str) -> Json:
    """Wait for the agent that another start, at the same moment, has under way: it is as good. Empty if there is none.

    It holds the lock from its first moment, and says which process it is once it has joined.
    """
    import time

    end = time.monotonic() + START_SECONDS
    while not (found := running_agent(worktree)) and locked(worktree) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def start_apart(worktree: str) -> None:
    """Start the agent of a worktree and do not wait for it. Where one runs, the second ends at once.

    That none holds the lock is not asked first: a process that was killed is seen gone while the last of its threads
    still holds it.
    """
    try:
        place = place_of(worktree)
        _spawn([*command(), "-C", place.worktree, "agent", "run"], place)
    except (PeercoordError, OSError):
        return  # a worktree that is gone has no agent to start


def _spawn(words: list[str], place: Place, ready: int = -1) -> int:
    """Start a process in a session of its own, with nothing of ours but the log. A thread collects it when it ends."""
    import subprocess
    import threading

    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(path(place.worktree, LOG), flags, 0o600)
    try:
        child = subprocess.Popen(
            words,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[ready] if ready >= 0 else [],
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key != "PEERCOORD_PROJECT"},
        )
    finally:
        os.close(log)
    threading.Thread(target=child.wait, daemon=True).start()
    return child.pid


def stop(worktree: str, give_back: bool = False) -> bool:
    """Stop the agent of a worktree and wait until it is gone.

    Args:
        worktree: Which.
        give_back: It gives its claims back and leaves the team.

    Returns:
        Whether one ran.

    Raises:
        LostError: It did not end in time.
    """
    import select

    from peercoord.fs.watch import ExitWatch

    place = place_of(worktree)
    running = running_agent(place.worktree)
    if not running:
        return False
    if not _here(running):
        raise LostError(f"the agent of {place.worktree} runs in another container", "stop it from there")
    pid = int(running["pid"])
    try:
        watch = ExitWatch(pid)
    except OSError:
        return True
    try:
        if process.running(running):
            os.kill(pid, signal.SIGUSR2 if give_back else signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
            if not select.select([watch], [], [], STOP_SECONDS)[0]:
                raise LostError(f"the agent of {place.worktree}, process {pid}, does not end", hint=f"kill {pid}")
    finally:
        watch.close()
    return True


def status(worktree: str) -> Json:
    """Say how the agent of a worktree is.

    Returns:
        ``instance_id``, ``running``, ``stopped`` (by a signal), ``pid``, ``incarnation``, ``present``
        (it is a peer), ``leads`` (its term, or ``None``), ``version``, ``log``.
    """
    place = place_of(worktree)
    running = running_agent(place.worktree)
    root = roots.open_root(place.coordination, place.store_id)
    me = place.incarnation
    entries = root.files.scan(names.peer_dir(me)) if me else []
    terms = [term for term in map(names.parse_leader, entries) if term is not None]
    return {
        "instance_id": place.instance,
        "running": bool(running),
        "stopped": bool(running and process.stopped(running)),
        "pid": running.get("pid"),
        "incarnation": str(me) if me else None,
        "present": bool(me and members.Membership(root, me).present()),
        "leads": max(terms, default=None),
        "version": running.get("version"),
        "log": path(place.worktree, LOG),
    }


def running_agent(worktree: str) -> Json:
    """Give what ``agent.json`` says of the agent that runs; empty if none does, or it has not joined yet.

    From another pid namespace the pid it gives means nothing; that an agent runs is known by its lock.
    """
    if not locked(worktree):
        return {}
    try:
        with open(path(worktree, "agent.json"), "rb") as handle:
            found = records.decode(handle.read(), "agent.json")
    except OSError:
        return {}
    return found if not _here(found) or process.running(found) else {}


def locked(worktree: str) -> bool:
    """Tell whether an agent holds the worktree's lock: it runs, or is about to."""
    from peercoord.fs.mutex import held

    try:
        with held(path(worktree, "agent.lock"), wait=0):
            return False
    except LostError:
        return True


def _here(agent: Json) -> bool:
    """Tell whether an agent's pid can be looked up from here."""
    return all(agent.get(key) == value for key, value in process.here().items())


def _last_line(worktree: str) -> str:
    try:
        with open(path(worktree, LOG), encoding="utf-8", errors="replace") as handle:
            lines = [line for line in handle.read()[-4000:].splitlines() if line.strip() and line[:5] != "hint:"]
    except OSError:
        return "it wrote no log"
    return lines[-1][:300] if lines else "it wrote no log"
