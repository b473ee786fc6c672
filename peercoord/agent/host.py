"""The agent's worktree: joining, serving its requests, watching its files, and the duties of a leader.

Requests are carried out here, outside the caller's sandbox. So a request may ask for the four verbs and ``release``
only, for this worktree only, and must not name a file for the agent to read.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord import __version__
from peercoord.agent.duties import Duty
from peercoord.errors import EvictedError, PeercoordError, StorageError, UsageError
from peercoord.mailbox import protocol, verbs
from peercoord.mailbox.protocol import Answer
from peercoord.mailbox.server import refusal
from peercoord.membership import liveness
from peercoord.queue.peer import Peer
from peercoord.store import down, instance_records, paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.system import child, gitdirs, process
from peercoord.system.schedule import FAULTS
from peercoord.system.sessions import Caller
from peercoord.worktree import actions, context
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.collecting import CollectionJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peercoord.agent.monitor import Observer
    from peercoord.foreign import Json
    from peercoord.mailbox.protocol import Request
    from peercoord.store.paths import Ticket
    from peercoord.worktree.context import Place

    _Fingerprint = tuple[int, int, int]

LEAST_VIEWS_SECONDS = 0.5  # between two publications that changes bring forward
LITTER_SECONDS, ARCHIVE_SECONDS = 15.0, 3600.0  # between two removals of litter, and of what has expired
_ABSENT = (0, 0, 0)  # the fingerprint of a file that is not there
_LAZY = (  # imported by calls and duties where they need it
    *("ctypes", "difflib", "encodings.utf_16_be", "re", "select", "shlex", "shutil", "subprocess", "tempfile"),
    *("threading", "orjson", "portalocker", "psutil", "rich.text", "watchdog.observers"),
    *(f"peercoord.memory.{name}" for name in ("cleanup", "copy", "reader", "store", "collector", "runner")),
    *(f"peercoord.status.{name}" for name in ("board", "dashboard", "needs", "publisher")),
    *(f"peercoord.store.{name}" for name in ("lock", "manifest", "inspection", "kept_work")),
    *(f"peercoord.worktree.{name}" for name in ("contributing", "hand_edits", "merging")),
    *(f"peercoord.{name}" for name in ("agent.while_down", "agent.windows", "membership.leadership", "queue.counts")),
    *(f"peercoord.{name}" for name in ("queue.retention", "system.git", "tasklists.runner")),
)
_NOTES = ("assigned_tasks", "memory_told", "definitions_told")  # keys of info.json that each call updates


class Worktree:
    """The agent's own worktree; ``start`` starts the agent of another one, without waiting for it."""

    def __init__(self, place: Place, log: Callable[[str], None], start: Callable[[str, str], None]) -> None:
        self.tree = place.worktree
        self.log = log
        self.revive = lambda worktree: start(place.project, worktree)
        self._identity = process.identify(os.getpid())
        self._installed = _installed()
        self._place = place
        self._files = place.files()
        place.seen = place.state()
        self._seen: _Fingerprint = _ABSENT
        self._git_dir = ""
        self._collector = CollectionJob(self.tree, self.place, log)

    def place(self) -> Place:
        """Return the worktree, with what calls that the agent did not serve have noted in ``info.json``.

        Project, instance and worktree stay as they were when this process began.
        """
        state = self._place.state()
        if state != self._place.seen:
            self._place.seen = state
            copy = context.read_copy(self._files)
            self._place.info.update({key: copy[key] for key in _NOTES if key in copy})
            self._place.info.update(self._joined(self._place.shared_files()))
        return self._place

    def _joined(self, files: Files) -> Json:
        place = self._place
        return context.joined(files, place.instance, self.tree, str(place.info.get("incarnation", "")))

    def _fingerprint_of(self, name: str) -> _Fingerprint:
        """Return a fingerprint of a file of this worktree, without reading it."""
        return _fingerprint(self._files.beneath.lstat, name)

    # -- joining ---------------------------------------------------------------------------------------------

    def connect(self, sessions: Sequence[Json]) -> Peer:
        """Resume the worktree's peer, or join; from now on the peer is alive while this process runs."""
        with self._files.held("call.lock", busy="another call of this worktree is at work"):
            place = self.place()
            root = roots.open_root(place.coordination, place.store_id)
            down.require_up(root.files)
            facts: Json = {
                **process.here(),
                "agent": self._identity,
                "worktree": self.tree,
                "branch": str(place.info.get("branch", "")),
                "version": __version__,
                "heartbeat_seconds": root.number("heartbeat_seconds"),
                "stopped_at": None,
                "waiting": None,
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
            self._record(root, place, me)
            self._git_dir = str(instance_records.read(root, place.instance).get("git_dir", ""))
            place.remember(incarnation=me, store_id=root.store_id)
            mine = {"schema_version": 1, **(self._identity or {}), "incarnation": me, "version": __version__}
            self._files.replace("agent.json", records.encode({**process.here(), **mine}))
            return peer

    def _record(self, root: roots.Root, place: Place, me: str) -> None:
        """Record the worktree's incarnation; and its path, if an earlier version set it up.

        No other record outside the worktree is certain to survive: a power cut may leave ``peer.json`` blank.
        """
        facts: Json = {}
        if not instance_records.read(root, place.instance):
            git_dir, checkout = gitdirs.find(place.project, self.tree)
            if not git_dir:
                return
            facts = {"worktree": self.tree, "checkout": checkout, "git_dir": git_dir}
        try:
            instance_records.write(root, place.instance, **facts, incarnation=me)
        except StorageError as error:
            self.log(f"{place.instance} is not recorded: {error.message}")

    def _resumed(self, place: Place, root: roots.Root, facts: Json) -> Peer | None:
        place.info.update(self._joined(root.files))
        me = place.incarnation
        if me is None:
            return None
        try:
            peer = Peer.resume(root, me)
            record = peer.membership.record()
            known = [] if liveness.elsewhere(record, process.here()) else liveness.known_sessions(record)
            peer.membership.update(**{"session": known[0] if known else None, "sessions": known, **facts})
        except EvictedError:
            return None
        return peer

    # -- requests --------------------------------------------------------------------------------------------

    def standing(self) -> tuple[str, Sequence[Ticket]]:
        """Return the worktree's incarnation and tickets now."""
        place = self.place()
        me = place.incarnation
        if me is None:
            return "", []
        claims = place.shared_files().scan(paths.claims_dir(paths.peer_dir(me)))
        tickets = sorted((t for t in map(paths.parse_ticket, claims) if t and not t.done), key=str)
        return str(me), tickets

    def closed(self, request: Request) -> Answer | None:
        """Return the answer to a request while the team is down; ``None`` while it is up."""
        files = self._place.shared_files()
        mark = down.read(files)
        if mark is None:
            return None
        from peercoord.agent import while_down

        return while_down.answer(files, request, mark)

    def late(self, request: Request) -> Answer | None:
        """Serve a statement about a claim that the worktree gave back since; ``None`` for any other."""
        from peercoord.agent import while_down

        try:
            given_back = while_down.given_back(self._place, request)
        except PeercoordError:
            return None  # served as any other statement, which fails with the reason
        return self.serve(request, given_back) if given_back else None

    def serve(self, request: Request, late: Mapping[str, Ticket] | None = None) -> Answer:
        """Carry out a request; a fault of the program becomes an answer too."""
        try:
            return self._execute(request, late)
        except PeercoordError as error:
            return refusal(error, verbs.of(request).as_json)
        except FAULTS as error:
            self.log(f"{request.verb}:\n{traceback.format_exc()}")
            hint = f"see {context.instance_path(self.tree, 'agent.log')}"
            fault = PeercoordError(f"{request.verb} failed unexpectedly: {error}", hint)
            return refusal(fault, verbs.of(request).as_json)

    def _execute(self, request: Request, late: Mapping[str, Ticket] | None) -> Answer:
        verb = verbs.of(request)
        named = verbs.file_option(verb)
        if named:
            raise UsageError(f"the agent reads no file for a caller: {named}", "coordinate.sh sends what it holds")
        # ``standing`` has just looked whether another call changed what is noted
        call = WorktreeCall(self._place, self._caller(request), request.number, late=late)
        try:
            reply = actions.answer(call, verb)
            served = reply.render(verb.as_json)
        except BaseException:
            call.withdraw()
            raise
        withdraw = call.withdraw if isinstance(verb, verbs.RequestTask) else None
        return Answer(*served, withdraw=withdraw, unready=actions.unready(verb, reply))

    def _caller(self, request: Request) -> Caller:
        """Return who made a request: the process that has its FIFO open. Unknown if that cannot be seen.

        A caller in a pid namespace of its own gives a pid that is another process here, or none.
        """
        try:
            fifo = self._files.beneath.lstat(protocol.fifo(request.number))
        except OSError:
            return Caller()  # no caller waits
        named = request.pid if request.pid and process.parent_of(request.pid) == request.parent else 0
        name = os.path.basename(protocol.fifo(request.number))
        pid = process.holder_of(named, name, (fifo.st_dev, fifo.st_ino))
        return process.caller_of(pid) if pid else Caller()

    # -- edits by hand ---------------------------------------------------------------------------------------

    def pick_up(self) -> float | None:
        """Take in edits of ``progress.json``, and collect contributions; return the seconds until the next look."""
        try:
            state = self._fingerprint_of("progress.json")
            if state != self._seen:
                for note in WorktreeCall(self.place(), Caller(), heard=False).pick_up():
                    self.log(note)
                self._seen = state
        finally:  # an unreadable report must not stop contributions
            again = self._collector.run()
        return again

    def signs_of_work(self) -> object:
        """Return a fingerprint of work without a call: edits by hand, git's index, commits, calls of tools."""
        seen = []
        beat = f"{self._place.coordination}/{paths.quiet(self.tree)}/{paths.QUIET_BEAT}"
        for path in (beat, *((f"{self._git_dir}/index", f"{self._git_dir}/logs/HEAD") if self._git_dir else ())):
            with suppress(OSError):
                seen.append(os.lstat(path).st_mtime_ns)
        return self._fingerprint_of("progress.json"), self._fingerprint_of("memory-contributions"), seen

    def type_into(self, text: str) -> bool:
        """Type a line into the tmux window of the worktree's session; ``False`` if it has none."""
        from peercoord.agent import windows

        return windows.type_into(self.tree, text)

    def work_left(self, ticket: Ticket) -> Json:
        """Return what a session left that is gone, and keep in git what it did not commit."""
        call = WorktreeCall(self.place(), Caller(), heard=False)
        left = call.work_left(ticket)
        for note in call.notes:
            self.log(note)
        return left

    # -- leading, and other programs -------------------------------------------------------------------------

    def duties(self, peer: Peer, observer: Observer) -> Sequence[Duty]:
        """Return the duties of a leader, with their intervals."""
        from peercoord.membership.leadership import Leadership
        from peercoord.memory import cleanup
        from peercoord.memory import copy as bank_copy
        from peercoord.memory import runner as merge_runner
        from peercoord.queue.retention import Archivist
        from peercoord.status.board import Reader
        from peercoord.status.publisher import Publisher
        from peercoord.tasklists import runner as sync_runner

        root = peer.root
        leadership = Leadership(peer.membership)
        publisher = Publisher(Reader(peer.queue, observer.verdict), lambda: leadership.term() is not None)
        archivist = Archivist(root, lambda now, old: cleanup.clear(root, now, old))
        sync = sync_runner.SyncJob(root, self.tree, child.command())
        merge = merge_runner.MergeJob(root, self.tree, child.command())
        copy = bank_copy.CopyJob(root)
        return [
            Duty("views", root.number("state_seconds"), publisher.run, LEAST_VIEWS_SECONDS, publisher.rest),
            Duty("bank copy", bank_copy.EVERY_SECONDS, copy.run, bank_copy.LEAST_SECONDS, copy.rest),
            Duty("clearing up", LITTER_SECONDS, archivist.litter),
            Duty("archive", ARCHIVE_SECONDS, archivist.run),
            Duty("database", root.number("database_seconds"), sync.run, sync_runner.LEAST_SECONDS, apart=True),
            Duty("memory", root.number("merge_seconds"), merge.run, merge_runner.LEAST_SECONDS, merge.rest, apart=True),
        ]

    def renewed(self) -> bool:
        """Check whether another version of the program is installed, and starts."""
        now = _installed()
        if now == self._installed or not child.starts():  # that does not start is still being installed
            return False
        self._installed = now
        return True


def preload() -> None:
    """Import what verbs and duties need, so that the agent works on when its installation is moved or removed."""
    from importlib import import_module

    from peercoord.memory import markdown

    for name in _LAZY:
        import_module(name)
    markdown.parse("text")
    verbs.read(["check-status", "--no-such-option"])  # a usage error needs more modules


def _installed() -> _Fingerprint:
    """Return a fingerprint of the program on disk, without reading it."""
    return _fingerprint(os.lstat, sys.modules["peercoord"].__file__ or "")


def _fingerprint(lstat: Callable[[str], os.stat_result], path: str) -> _Fingerprint:
    try:
        seen = lstat(path)
    except OSError:
        return _ABSENT
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
