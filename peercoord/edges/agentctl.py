"""Starting, stopping and asking the background agent of a worktree.

Promises: one agent per worktree, held by a lock that the kernel frees with the process, so none can go stale; a start
that returns has an agent that has joined; a pid is only ever signalled together with its start time, so a reused one
never is. Files, all below ``.claude-instance/``::

    agent.lock   held while an agent runs
    agent.json   which process it is: pid, start, incarnation, version
    agent.log    what it says, rotated
"""

from __future__ import annotations

import os
import signal
import sys

from peercoord import __version__
from peercoord.core import names, records
from peercoord.core.errors import EvictedError, LostError, NotFoundError, PeercoordError
from peercoord.edges import context
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles import root as roots
from peercoord.roles.peer import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.edges.context import Place
    from peercoord.roles.agent import Duty

LOG_BYTES = 1 << 20
START_SECONDS = 15.0
STOP_SECONDS = 15.0


def _path(worktree: str, name: str) -> str:
    return f"{worktree}/{names.INSTANCE}/{name}"


def place_of(worktree: str) -> Place:
    """Find the joined worktree that ``worktree`` is or lies in.

    Raises:
        NotFoundError: It is none.
    """
    place = context.find(given=worktree)
    if not place.worktree:
        raise NotFoundError(
            f"{place.project} is the main checkout, no instance's worktree",
            hint="name a worktree: peercoord -C WORKTREE agent …",
            code="no-instance",
        )
    return place


# -- running -----------------------------------------------------------------------------------------------------


def run(worktree: str, ready: int = -1, aloud: bool = False) -> None:
    """Be the agent of a worktree, in this process, until told to stop.

    Args:
        worktree: Which.
        ready: A descriptor to write its pid to once it has joined, after leaving the caller's process behind;
            -1 to stay in it.
        aloud: Say on stderr what the log is told.

    Raises:
        LostError: Another agent runs there.
    """
    from peercoord.fs.mutex import held
    from peercoord.fs.watch import Wakeups
    from peercoord.roles.agent import Agent

    place = place_of(worktree)
    if ready >= 0 and os.fork():  # nobody has to collect us when we end, however long our starter lives
        os._exit(0)
    with held(_path(place.worktree, "agent.lock"), wait=0, busy=f"an agent of {place.worktree} runs already"):
        wake = Wakeups()
        log = Log(_path(place.worktree, "agent.log"), aloud)
        agent = Agent(lambda: connect(place.worktree), wake, log, duties)
        if ready >= 0:
            os.write(ready, b"%d\n" % os.getpid())
            os.close(ready)
        agent.run()
        wake.close()


def connect(worktree: str) -> Peer:
    """Resume the worktree's peer, or join, as the process that stands for it from now on."""
    from peercoord.fs.mutex import held

    with held(_path(worktree, "call.lock"), busy="another call of this worktree is at work"):
        place = place_of(worktree)
        root = roots.open_root(place.coordination, place.store_id)
        facts: Json = {
            **process.here(),
            "agent": process.identify(os.getpid()),
            "worktree": place.worktree,
            "branch": str(place.info.get("branch", "")),
            "version": __version__,
            "stopped_at": None,
        }
        peer = _resumed(place, root, facts) or Peer.join(
            place.project,
            place.instance,
            record=facts,
            expected_store=place.store_id,
            least=place.incarnation.number + 1 if place.incarnation else 1,
        )
        me = str(peer.membership.me)
        place.remember(incarnation=me, store_id=root.store_id)
        mine = {"schema_version": 1, **(process.identify(os.getpid()) or {}), "incarnation": me, "version": __version__}
        context.write_instance(place.worktree, "agent.json", {**process.here(), **mine})
        return peer


def _resumed(place: Place, root: roots.Root, facts: Json) -> Peer | None:
    me = place.incarnation or _left_behind(place, root)
    if me is None:
        return None
    try:
        peer = Peer.resume(root, me)
        peer.membership.update(**facts)
    except EvictedError:
        return None
    return peer


def _left_behind(place: Place, root: roots.Root) -> Incarnation | None:
    """Find this worktree's own incarnation where ``info.json`` lost it: the last step of joining is to note it."""
    for who in members.living(root):
        record = members.read_record(root, names.peer_dir(who)) or {}
        if (who.peer, record.get("worktree"), record.get("host")) == (
            place.instance,
            place.worktree,
            process.here()["host"],
        ):
            return who
    return None


def duties(peer: Peer) -> Sequence[Duty]:
    """Give what the leader does, and how often."""
    from peercoord.roles.agent import Duty
    from peercoord.roles.peer import judge
    from peercoord.roles.views import Reader

    root = peer.root
    reader = Reader(peer.queue, lambda who: judge(root, who))
    return [Duty("views", root.number("state_seconds"), lambda _: reader.publish())]


class Log:
    """The agent's log: lines with their time, rotated once.

    Args:
        path: Absolute path of the file.
        aloud: Say it on stderr as well.
    """

    def __init__(self, path: str, aloud: bool = False) -> None:
        self.path = path
        self.aloud = aloud

    def __call__(self, message: str) -> None:
        """Write a line. When that is impossible it is lost, and the work goes on."""
        import time

        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} [{os.getpid()}] {message}\n"
        if self.aloud:
            sys.stderr.write(line)
            sys.stderr.flush()
        try:
            if os.path.getsize(self.path) > LOG_BYTES:
                os.replace(self.path, f"{self.path}.1")
        except OSError:
            pass
        try:
            with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as handle:
                handle.write(line)
        except OSError:
            return


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
    import subprocess

    place = place_of(worktree)
    running = _running(place.worktree)
    if running:
        return int(running["pid"])
    read, write = os.pipe()
    words = [*command(), "-C", place.worktree, "agent", "run", "--ready-fd", str(write)]
    try:
        with open(_path(place.worktree, "agent.log"), "ab") as log:
            child = subprocess.Popen(
                words,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write],
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if k != "PEERCOORD_PROJECT"},
            )
        os.close(write)
        child.wait()
        said = b""
        if select.select([read], [], [], START_SECONDS)[0]:
            said = os.read(read, 16)
    finally:
        os.close(read)
    if said:
        return int(said)
    other = _running(place.worktree)  # two starts at once: the other one's agent is as good
    if other:
        return int(other["pid"])
    raise PeercoordError(
        f"the agent of {place.worktree} did not start: {_last_line(place.worktree)}",
        hint=f"see {_path(place.worktree, 'agent.log')}, or run it in sight: "
        f"peercoord -C {place.worktree} agent run --foreground",
        code="agent",
    )


def command() -> list[str]:
    """Give the words that call this very installation."""
    return [sys.executable, "-I" if _isolated() else "-P", "-m", "peercoord"]


def _isolated() -> bool:
    """Tell whether this package is found without the user's own site directory."""
    import site

    home = site.getusersitepackages()
    return not __file__.startswith(home + os.sep)


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
    running = _running(place.worktree)
    if not running:
        return False
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
        ``running``, ``pid``, ``incarnation``, ``present`` (it is a peer), ``leads`` (its term, or ``None``),
        ``version``, ``log``.
    """
    place = place_of(worktree)
    running = _running(place.worktree)
    root = roots.open_root(place.coordination, place.store_id)
    me = place.incarnation
    entries = root.files.scan(names.peer_dir(me)) if me else []
    terms = [term for term in map(names.parse_leader, entries) if term is not None]
    return {
        "instance_id": place.instance,
        "running": bool(running),
        "pid": running.get("pid") if running else None,
        "incarnation": str(me) if me else None,
        "present": bool(me and members.Membership(root, me).present()),
        "leads": max(terms, default=None),
        "version": running.get("version") if running else None,
        "log": _path(place.worktree, "agent.log"),
    }


def _running(worktree: str) -> Json:
    """Give what ``agent.json`` says of the agent that runs; empty if none does."""
    from peercoord.fs.mutex import held

    try:
        with held(_path(worktree, "agent.lock"), wait=0):
            return {}
    except LostError:
        pass
    try:
        with open(_path(worktree, "agent.json"), "rb") as handle:
            found = records.decode(handle.read(), "agent.json")
    except OSError:
        return {}
    return found if process.running(found) else {}


def _last_line(worktree: str) -> str:
    try:
        with open(_path(worktree, "agent.log"), encoding="utf-8", errors="replace") as handle:
            lines = [line for line in handle.read()[-4000:].splitlines() if line.strip()]
    except OSError:
        return "it wrote no log"
    return lines[-1][:300] if lines else "it wrote no log"
