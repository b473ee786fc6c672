"""Start, stop and show the background agent of a worktree.

One agent per worktree: it holds a lock that the kernel frees with the process. ``start`` returns when the agent has
joined. A process is signalled only through ``membership.signals``. The agent's process is read from the coordination
directory (``peer.json``): a coding agent may write anything in the worktree. Files in ``.claude-instance/``::

    agent.lock   held while an agent runs
    agent.json   for people: the agent's process
    agent.log    the agent's log, rotated
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError, StorageError
from peercoord.membership import liveness, signals
from peercoord.membership import membership as members
from peercoord.store import down, instance_records, paths
from peercoord.store import root as roots
from peercoord.system import child, process
from peercoord.system.clock import wait_until
from peercoord.worktree import context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.store.root import Root
    from peercoord.worktree.context import Place

START_SECONDS = 15.0
PROBE_SECONDS = 0.5  # calls that check the lock hold it for a moment
PAUSE_SECONDS, POLL_SECONDS = 0.02, 0.05
SWITCH_SECONDS = 0.001  # after which one thread of an agent yields to another; Python's own is 5 ms
LOG_TAIL = 4000  # bytes of the log in which the reason of an end is looked for
STOP_SECONDS = 15.0
LOG, LOCK = "agent.log", "agent.lock"
NAMED = "PEERCOORD_AGENT_NAMED"  # set in an agent that was started again with its worktree in its command line
GIVE_BACK = signal.SIGUSR2  # as in ``agent.loop``


def place_of(worktree: str, project: str = "") -> Place:
    """Return the joined worktree that a directory is, or lies in.

    A caller that knows the project names it, and the directory that holds ``.claude-instance/``: then nothing in the
    worktree is trusted for it.
    """
    place = context.at(project, worktree) if project else context.find(given=worktree)
    place.require_worktree()
    return place


# -- running -----------------------------------------------------------------------------------------------------


def run(worktree: str, ready: int = -1, aloud: bool = False, project: str = "") -> None:
    """Run the agent of a worktree in this process, until told to stop; ``LostError`` if another one runs there.

    It writes a line to the descriptor ``ready`` once it has joined (-1: none), and its log to stderr too if ``aloud``.
    Version 0.1.0 gives no project: it is found as for a call in the worktree.
    """
    from peercoord.agent.host import Worktree, preload
    from peercoord.agent.loop import Agent
    from peercoord.system.log import Log
    from peercoord.system.watch import Wakeups

    place = place_of(worktree, project)
    files = place.files()
    sys.setswitchinterval(SWITCH_SECONDS)  # a caller should not wait for a thread with a duty
    again = True
    while again:
        with _alone(place):
            with suppress(OSError):  # a missing coordination directory is reported below
                files.restrict(place.coordination)
            wake = Wakeups()
            host = Worktree(place, Log(files.beneath, LOG, aloud), start_apart)
            agent = Agent(host, files, wake)
            if ready >= 0:
                os.write(ready, b"ready\n")
                os.close(ready)
                ready = -1
            with suppress(ImportError):
                preload()
            again = agent.run()
            wake.close()
        if again and child.starts():
            words = [*_run_words(place), *(["--foreground"] if aloud else [])]
            os.execv(words[0], words)  # noqa: S606 - no shell is wanted


def name_process(worktree: str, ready: int = -1, aloud: bool = False, project: str = "") -> None:
    """Start again with the worktree in the command line, if it is missing there: agents are found by it.

    Arguments as for ``run``.
    """
    place = place_of(worktree, project)
    words = [*_run_words(place), *(["--ready-fd", str(ready)] if ready >= 0 else [])]
    words += ["--foreground"] if aloud else []
    seen = process.command_line(os.getpid())
    if seen and signals.worktree_of(seen) != place.worktree and not os.environ.get(NAMED):
        os.environ[NAMED] = "1"  # once: Python may be started by a wrapper here that changes the words
        os.execv(words[0], words)  # noqa: S606 - no shell is wanted


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Hold the worktree's agent lock; ``LostError`` while another agent runs or starts there.

    A lock held by anything but an agent of the worktree is replaced. A call that checks the lock holds it for a moment,
    so a busy lock is tried again.
    """
    import time

    files, busy = place.files(), f"an agent of {place.worktree} runs already"
    began = alone_since = time.monotonic()
    while True:
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(files.held(LOCK, wait=0, busy=busy))
                ours = _stands(place, handle)
            except (LostError, StorageError):
                now, others = time.monotonic(), _others(place)
                if now - began > START_SECONDS or any(map(_comes_first, others)):
                    raise
                if others:
                    alone_since = now
                elif now - alone_since > PROBE_SECONDS:
                    files.remove(LOCK)
            else:
                if ours:
                    yield
                    return
        time.sleep(PAUSE_SECONDS)


def _others(place: Place) -> list[Json]:
    """Return the records of the agents of a worktree that are not this process."""
    mine = process.identify(os.getpid())
    return [record for record in agents_of(opened(place), place.worktree) if record["agent"] != mine]


def _comes_first(other: Json) -> bool:
    """Check whether another agent has joined, or is older than this process.

    A younger agent that has not joined either has the lock and joins, or ends: this process waits for it.
    """
    mine = process.identify(os.getpid()) or {}
    agent = other["agent"]
    return bool(other.get("incarnation")) or (agent["start"], agent["pid"]) < (mine["start"], mine["pid"])


def _stands(place: Place, handle: int) -> bool:
    """Check whether a locked file is still at the lock's path; another start may have replaced it."""
    try:
        return os.path.samestat(os.fstat(handle), place.files().beneath.lstat(LOCK))
    except OSError:
        return False


def _run_words(place: Place) -> list[str]:
    """Return the words that run the agent of a worktree."""
    return [*child.command(), "-C", place.worktree, "agent", "run", "--project", place.project]


# -- from outside ------------------------------------------------------------------------------------------------


def start(worktree: str, project: str = "") -> int:
    """Start the agent of a worktree, detached; return its pid once it has joined, also if it ran already.

    The error for an agent that ended at once quotes its log; a ``DownError`` says that a person took the team down.
    """
    import select

    place = place_of(worktree, project)
    down.require_up(place.shared_files())
    running = running_agent(place)
    if running:
        return int(running["pid"])
    read, write = os.pipe()
    try:
        try:
            pid = _spawn([*_run_words(place), "--ready-fd", str(write)], place, write)
        finally:
            os.close(write)
        said = os.read(read, 16) if select.select([read], [], [], START_SECONDS)[0] else b""
    finally:
        os.close(read)
    if said:
        return pid
    # the agent of another start at the same moment is visible at once, and recorded when it has joined
    wait_until(lambda: running_agent(place) or not signals.visible([place.worktree]), START_SECONDS, POLL_SECONDS)
    other = running_agent(place)
    if not other:
        import shlex

        text = f"the agent of {place.worktree} did not start: {_last_line(place)}"
        in_sight = f"peercoord -C {shlex.quote(place.worktree)} agent run --foreground"
        hint = f"see {context.instance_path(place.worktree, LOG)}, or run it in sight: {in_sight}"
        raise PeercoordError(text, hint, code="agent")
    return int(other["pid"])


def start_apart(project: str, worktree: str) -> None:
    """Start the agent of a worktree without waiting for it. If one runs already, the second ends at once.

    The lock is not checked first: after a kill, a thread may hold it when its process is gone already.
    """
    try:
        place = place_of(worktree, project)
        down.require_up(place.shared_files())
        _spawn(_run_words(place), place)
    except (PeercoordError, OSError):
        return  # a worktree that is gone has no agent to start


def _spawn(words: list[str], place: Place, ready: int = -1) -> int:
    """Start a process in its own session, with its output in the log; a thread collects its exit status."""
    import subprocess
    import threading

    log = place.files().beneath.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        started = subprocess.Popen(
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
    threading.Thread(target=started.wait, daemon=True).start()
    return started.pid


def stop(worktree: str, give_back: bool = False) -> bool:
    """Stop the agent of a worktree and wait until it is gone; ``False`` if none ran."""
    place = place_of(worktree)
    found = agents_of(opened(place), place.worktree)
    for record in found:
        if not signals.send(record, GIVE_BACK if give_back else signal.SIGTERM, signal.SIGCONT, wait=STOP_SECONDS):
            pid = record["agent"]["pid"]
            raise LostError(f"the agent of {place.worktree}, process {pid}, does not end", hint=f"kill -9 {pid}")
    return bool(found)


def opened(place: Place) -> Root | None:
    """Open the coordination directory of a worktree; ``None`` if it cannot be read."""
    try:
        return roots.open_root(place.coordination, place.store_id)
    except PeercoordError:
        return None


def agents_of(root: Root | None, worktree: str, peer: str = "") -> list[Json]:
    """Return the records of a worktree's agents that run, or may run where they cannot be seen.

    First the recorded ones, of ``peer`` also with the path from before a move; then agents seen by their command line
    alone, which have not joined yet.
    """
    here = process.here()
    found: list[Json] = []
    joined = [(who, members.record_of(root, who)) for who in members.living(root)] if root else []
    for who, known in joined:
        if not liveness.agent_of(known) or (known.get("worktree") != worktree and who.peer != peer):
            continue
        record = {**known, "incarnation": str(who)}
        if liveness.elsewhere(record, here) is None:
            runs = process.running(record["agent"])
        else:
            checkout = instance_records.of_worktree(root, worktree).get("checkout", "") if root else ""
            runs = not liveness.in_sight(record, here) and locked(worktree, str(checkout))
        if runs:
            found.append(record)
    agents = [record["agent"] for record in found]
    trees = {worktree, *(str(record.get("worktree")) for record in found)}
    return found + [record for record in signals.visible(trees) if record["agent"] not in agents]


def status(worktree: str) -> Json:
    """Return the state of a worktree's agent.

    Returns:
        ``instance_id``, ``running``, ``stopped`` (by a signal), ``pid``, ``incarnation``, ``present``
        (the worktree is a peer), ``leads`` (its term, or ``None``), ``version``, ``log``.
    """
    place = place_of(worktree)
    running = running_agent(place)
    root = roots.open_root(place.coordination, place.store_id)
    me = place.incarnation
    entries = root.files.scan(paths.peer_dir(me)) if me else []
    terms = paths.terms(entries)
    return {
        "instance_id": place.instance,
        "running": bool(running),
        "stopped": bool(running and process.stopped(running)),
        "pid": running.get("pid"),
        "incarnation": str(me) if me else None,
        "present": bool(me and members.Membership(root, me).present()),
        "leads": max(terms, default=None),
        "version": running.get("version"),
        "log": context.instance_path(place.worktree, LOG),
    }


def running_agent(place: Place) -> Json:
    """Return the record of the agent that serves a worktree; empty if there is none, or it has not joined yet.

    An agent without the worktree's lock serves it no longer: its ``.claude-instance/`` was deleted, with its lock and
    mailbox. The pid of an agent in another pid namespace means nothing here.
    """
    for record in agents_of(opened(place), place.worktree):
        mine = record.get("incarnation") and record.get("worktree") == place.worktree
        if mine and locked(place.worktree, place.checkout):
            return {**record, **record["agent"]}
    return {}


def locked(worktree: str, checkout: str = "") -> bool:
    """Check whether any process holds the agent lock of a worktree, whose root may be a ``checkout`` above."""
    try:
        with context.instance_files(worktree, checkout).held(LOCK, wait=0):
            return False
    except LostError:
        return True
    except StorageError as error:  # without the directory there is no lock
        return error.code not in ("enoent", "enotdir")


def _last_line(place: Place) -> str:
    try:
        said = place.files().read_tail(LOG)[-LOG_TAIL:].decode("utf-8", "replace")
    except PeercoordError:
        return "it wrote no log"
    lines = [line for line in said.splitlines() if line.strip() and line[:5] != "hint:"]
    return lines[-1][:300] if lines else "it wrote no log"
