"""What the background agent needs of the world outside the protocol: its worktree, the verbs, other programs.

Everything a caller behind the door says is executed here, outside its sandbox, so it gets the four verbs and
``release`` and nothing else, for this worktree alone, and no request may name a file for the agent to read.
"""

from __future__ import annotations

import os
import sys
import traceback

from peercoord import __version__
from peercoord.core import door, names, records
from peercoord.core.door import Answer
from peercoord.core.errors import EvictedError, PeercoordError, UsageError
from peercoord.core.schedule import FAULTS
from peercoord.edges import context
from peercoord.edges.gathering import Collector
from peercoord.fs import clock as clocks
from peercoord.fs import process
from peercoord.fs.disk import Disk
from peercoord.fs.files import Files
from peercoord.roles import membership as members
from peercoord.roles import root as roots
from peercoord.roles.leader import Duty
from peercoord.roles.outbox import refusal
from peercoord.roles.peer import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peercoord.core.door import Request
    from peercoord.core.names import Incarnation, Ticket
    from peercoord.core.records import Json
    from peercoord.edges.context import Place
    from peercoord.roles.observer import Observer

CONTENT = "--file-content"  # how a request carries the progress file that its caller named
LEAST_VIEWS_SECONDS = 1.0


def path(worktree: str, name: str) -> str:
    """Give the absolute path of a file of a worktree's ``.claude-instance/``."""
    return f"{worktree}/{names.INSTANCE}/{name}"


class Worktree:
    """The agent's own worktree.

    Args:
        place: Where it is.
        log: Writes a line for people.
        start: Starts the agent of another worktree, without waiting for it.
    """

    def __init__(self, place: Place, log: Callable[[str], None], start: Callable[[str], None]) -> None:
        self.tree = place.worktree
        self.log = log
        self.revive = start
        self._identity = process.identify(os.getpid())
        self._installed = _installed()
        self._place: Place | None = None
        self._placed = self._seen = _state("")
        self._known: bytes | None = None  # what progress.json holds, as far as it was taken in
        self._refused: dict[str, list[str]] = {}  # by task: what progress.json said that was not taken
        self._collector = Collector(self.tree, self.place, self._known_session, log)

    def place(self) -> Place:
        """Say where this worktree stands now; read again only when ``info.json`` is another one."""
        state = _state(path(self.tree, "info.json"))
        if self._place is None or state != self._placed:
            self._place, self._placed = context.find(given=self.tree), state
        return self._place

    # -- joining ---------------------------------------------------------------------------------------------

    def connect(self, sessions: Sequence[Json]) -> Peer:
        """Resume the worktree's peer, or join, as the process that stands for it from now on.

        Args:
            sessions: Coding sessions known to run in it.
        """
        from peercoord.fs.mutex import held

        with held(path(self.tree, "call.lock"), busy="another call of this worktree is at work"):
            place = self.place()
            root = roots.open_root(place.coordination, place.store_id)
            facts: Json = {
                **process.here(),
                "agent": self._identity,
                "worktree": self.tree,
                "branch": str(place.info.get("branch", "")),
                "version": __version__,
                "heartbeat_seconds": root.number("heartbeat_seconds"),
                "stopped_at": None,
                **({"sessions": list(sessions)} if sessions else {}),
            }
            peer = self._resumed(place, root, facts) or Peer.join(
                place.project,
                place.instance,
                record=facts,
                expected_store=place.store_id,
                least=place.incarnation.number + 1 if place.incarnation else 1,
            )
            me = str(peer.membership.me)
            place.remember(incarnation=me, store_id=root.store_id)
            mine = {"schema_version": 1, **(self._identity or {}), "incarnation": me, "version": __version__}
            context.write_instance(self.tree, "agent.json", {**process.here(), **mine})
            return peer

    def _resumed(self, place: Place, root: roots.Root, facts: Json) -> Peer | None:
        me = place.incarnation or self._left_behind(place, root)
        if me is None:
            return None
        try:
            peer = Peer.resume(root, me)
            peer.membership.update(**facts)
        except EvictedError:
            return None
        return peer

    def _left_behind(self, place: Place, root: roots.Root) -> Incarnation | None:
        """Find this worktree's own incarnation where ``info.json`` lost it: to note it is the last step of joining."""
        here = process.here()
        for who in members.living(root):
            record = members.read_record(root, names.peer_dir(who)) or {}
            theirs = (who.peer, record.get("worktree"), record.get("host"), record.get("machine", ""))
            if theirs == (place.instance, self.tree, here["host"], here["machine"]):
                return who
        return None

    # -- the door --------------------------------------------------------------------------------------------

    def standing(self) -> tuple[str, Sequence[Ticket]]:
        """Give the incarnation and tickets that this worktree has now."""
        place = self.place()
        me = place.incarnation
        if me is None:
            return "", []
        files = Files(Disk(place.coordination), clocks.token)
        claims = files.scan(names.claims_dir(names.peer_dir(me)))
        tickets = sorted((t for t in map(names.parse_ticket, claims) if t and not t.done), key=str)
        return str(me), tickets

    def serve(self, request: Request) -> Answer:
        """Execute a request, shielded: one that meets a fault of the program costs its caller an answer, no more."""
        try:
            return self._execute(request)
        except PeercoordError as error:
            return refusal(error, request.words)
        except FAULTS as error:
            self.log(f"{request.verb}:\n{traceback.format_exc()}")
            fault = PeercoordError(f"{request.verb} met a fault: {error}", f"see {path(self.tree, 'agent.log')}")
            return refusal(fault, request.words)

    def _execute(self, request: Request) -> Answer:
        from peercoord.edges.cli import main as cli

        if request.verb not in (*door.QUESTIONS, *door.STATEMENTS):
            raise UsageError(f"{request.verb or 'nothing'} is not for the agent to do", "call it outside the sandbox")
        named = door.named_file(request.words)
        if named:
            raise UsageError(f"the agent reads no file for a caller: {named}", "coordinate.sh sends what it holds")
        self._take_edits()
        words, scratch = self._unpacked(request.words)
        call = cli.Call(self.place(), self._session(request), request.number)
        try:
            answer = Answer(*cli.serve(words, call, name="coordinate.sh"))
        finally:
            if scratch:
                os.unlink(scratch)
        self._known = self._mirror()
        return answer

    def _session(self, request: Request) -> Json | None:
        """Give the coding session behind a request; this agent's own identity where it cannot be told.

        A caller in a pid namespace of its own names a pid that is another process here, or none.
        """
        pid = request.pid
        ours = pid and process.parent_of(pid) == request.parent
        if ours and any(word.endswith("coordinate.sh") for word in process.words_of(pid)):
            return process.session_of(pid) or self._identity
        return self._known_session()

    def _known_session(self) -> Json | None:
        place = self.place()
        if place.incarnation is None:
            return self._identity
        data = Files(Disk(place.coordination), clocks.token).read(names.peer_record(names.peer_dir(place.incarnation)))
        record = records.decode(data, "peer.json") if data else {}
        session = record.get("session")
        return session if isinstance(session, dict) and process.running(session) else self._identity

    def _unpacked(self, words: Sequence[str]) -> tuple[list[str], str]:
        """Put the progress file that a request carries where the verb can read it, and its caller cannot."""
        if CONTENT not in words[:-1] or words[0] != "report-progress":
            return list(words), ""
        import tempfile

        at = words.index(CONTENT)
        handle, scratch = tempfile.mkstemp(prefix="peercoord-")
        with os.fdopen(handle, "wb") as file:
            file.write(words[at + 1].encode("utf-8", "surrogateescape"))
        return [*words[:at], "--file", scratch, *words[at + 2 :]], scratch

    # -- edits by hand ---------------------------------------------------------------------------------------

    def pick_up(self) -> float | None:
        """Act on a changed ``progress.json``, and collect what lies in ``memory-contributions/``.

        Returns:
            Seconds after which to look again; ``None`` if that does not press.
        """
        try:
            self._take_report()
        finally:  # a report that cannot be read holds up no contribution
            again = self._collector.run()
        return again

    def _take_report(self) -> None:
        """Report what ``progress.json`` says, and end the tasks that it says have ended."""
        from peercoord.edges import handwork
        from peercoord.edges.cli import main as cli
        from peercoord.fs.mutex import held

        place = self.place()
        with held(path(self.tree, "call.lock"), busy="another call of this worktree is at work"):
            data = self._mirror()
            said = [] if data in (None, self._known) else handwork.statements(place, data or b"", self._known)
            self._known = data
        for words in said:
            if self._refused.get(words[1]) == words:
                continue  # it was told so; nothing has changed since
            call = cli.Call(place, self._known_session())
            call.quiet = True  # nobody reads what is said of it
            code, _, err = cli.serve(words, call, name=handwork.NAME)
            self._refused[words[1]] = words if code else []
            if code:
                self.log(f"{handwork.NAME}: {err.decode('utf-8', 'replace').strip()}")
            self._known = self._mirror()

    def _take_edits(self) -> None:
        """Take in what was edited before a call, which will mirror what is published over it."""
        if _state(path(self.tree, "progress.json")) == self._seen:
            return
        try:
            self._take_report()
        except PeercoordError as error:
            self.log(f"progress.json: {error.message}")

    def _mirror(self) -> bytes | None:
        self._seen = _state(path(self.tree, "progress.json"))
        return self.place().files().read("progress.json")

    # -- leading, and other programs -------------------------------------------------------------------------

    def duties(self, peer: Peer, observer: Observer) -> Sequence[Duty]:
        """Give what the leader does, and how often."""
        from peercoord.edges import banking, syncing
        from peercoord.edges.agentctl import command
        from peercoord.roles.archivist import Archivist
        from peercoord.roles.leader import Leadership
        from peercoord.roles.publisher import Publisher
        from peercoord.roles.views import Reader

        root = peer.root
        leadership = Leadership(peer.membership)
        publisher = Publisher(Reader(peer.queue, observer.verdict), lambda: leadership.term() is not None)
        archivist = Archivist(root)
        keeper = syncing.Keeper(root, self.tree, command())
        memory = banking.Keeper(root, self.tree, command())
        return [
            Duty("views", root.number("state_seconds"), publisher.run, LEAST_VIEWS_SECONDS / 2, publisher.rest),
            Duty("clearing up", 15, archivist.litter),
            Duty("archive", 3600, archivist.run),
            Duty("database", root.number("database_seconds"), keeper.run, syncing.LEAST_SECONDS),
            Duty("memory", root.number("merge_seconds"), memory.run, banking.LEAST_SECONDS, memory.rest),
        ]

    def renewed(self) -> bool:
        """Tell whether the program was replaced by another one, and that one starts."""
        import subprocess

        now = _installed()
        if now == self._installed:
            return False
        from peercoord.edges.agentctl import command

        try:
            tried = subprocess.run([*command(), "--version"], capture_output=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        if tried.returncode != 0:
            return False  # still being installed: the next look tells
        self._installed = now
        return True


def _installed() -> tuple[int, int, int]:
    """What tells the program on disk from the one that runs: its first file."""
    return _state(sys.modules["peercoord"].__file__ or "")


def _state(name: str) -> tuple[int, int, int]:
    """What tells one state of a file from another, without reading it."""
    try:
        seen = os.lstat(name)
    except OSError:
        return 0, 0, 0
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


class Log:
    """The agent's log: lines with their time, rotated once. Links are not followed: others may write beside it.

    Args:
        name: Absolute path of the file.
        aloud: Say it on stderr as well.
        most: Bytes at which it is rotated.
    """

    def __init__(self, name: str, aloud: bool = False, most: int = 1 << 20) -> None:
        self.name, self.aloud, self.most = name, aloud, most

    def __call__(self, message: str) -> None:
        """Write a line. When that is impossible it is lost, and the work goes on."""
        import time

        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} [{os.getpid()}] {message}\n"
        if self.aloud:
            sys.stderr.write(line)
            sys.stderr.flush()
        try:
            self._write(line.encode("utf-8", "backslashreplace"))
        except OSError:
            return

    def _write(self, line: bytes) -> None:
        handle = os.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size > self.most:
                os.replace(self.name, f"{self.name}.1")
            os.write(handle, line)
        finally:
            os.close(handle)
