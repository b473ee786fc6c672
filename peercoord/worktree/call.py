"""One call made in a worktree, on behalf of the worktree's peer.

A call keeps the worktree's copies of its state (``info.json``, ``progress.json``). If the peer was evicted, the call
fails and names who holds the tasks now; the next call joins again under a new incarnation.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import EvictedError, LostError, PeercoordError, StorageError, UsageError
from peercoord.membership import liveness
from peercoord.queue.peer import Peer
from peercoord.store import down, ids, paths
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.system.schedule import FAULTS
from peercoord.system.sessions import Caller
from peercoord.worktree import notices
from peercoord.worktree.handover import SHELL, TaskNotices
from peercoord.worktree.progress_file import ProgressFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from peercoord.foreign import Json
    from peercoord.store.paths import Ticket
    from peercoord.store.root import Root
    from peercoord.worktree.context import Place

QUESTIONS = ("check-status",)  # verbs by which a caller claims and reports nothing
DIRTY_MOST = 200  # files named that are not committed


class WorktreeCall:
    """One call made in a worktree that has joined."""

    def __init__(
        self,
        place: Place,
        caller: Caller | None = None,
        request: str = "",
        heard: bool = True,
        late: Mapping[str, Ticket] | None = None,
    ) -> None:
        place.require_worktree()
        self.place = place
        self.caller = process.caller_of(os.getpid()) if caller is None else caller
        self.root: Root = roots.open_root(place.coordination, place.store_id)
        self.request = request  # the id of the mailbox request that is served; empty if there is none
        self.heard = heard  # the caller sees the notes; the next call repeats a note that was not seen
        self.late = late  # by task: a claim that a queued request is about and that was given back since
        self.told: int | None = None  # mark of the memory bank's changes that the worktree knew before this call
        self.notes: list[str] = []
        self.unknown = ""  # why git could not tell the state of the worktree
        self.rejoined: list[str] = []
        self.claimed: Ticket | None = None  # the claim that this call made

    # -- the worktree's peer ---------------------------------------------------------------------------------

    @contextmanager
    def peer(self, verb: str = "") -> Iterator[Peer]:
        """Act as the worktree's peer, one call at a time; join if there is no such peer, or no longer."""
        down.require_up(self.root.files)
        with self.place.files().held("call.lock", busy="another call of this worktree is at work"):
            peer = self._member(verb)
            peer.worker.assignments.caller = self.caller if verb else None
            self.told = notices.mark(self.place)
            self.tasks = TaskNotices(peer, self.place.info.get("definitions_told"))
            if self.heard:
                self.notes += [f"memory bank: {line}" for line in notices.told(self.place, self.root.files)]
            self._take_edits(peer)
            try:
                yield peer
            except LostError as error:
                raise LostError("; ".join([*self.rejoined, error.message]), error.hint, error.code) from None
            finally:
                self._mirror(peer)

    def pick_up(self) -> list[str]:
        """Take in edits of ``progress.json`` without a call; return what there is to tell."""
        file = ProgressFile(self.place.files())
        if not file.edited(lambda: self.root.files.read(paths.report(self.place.instance))):
            return []
        file.content()
        with self.peer():
            return self.progress.notes[len(file.notes) :]

    def _take_edits(self, peer: Peer) -> None:
        """Take in edits of ``progress.json`` before this call writes the file."""
        self.progress = ProgressFile(self.place.files())
        notes = []
        if self.progress.edited(lambda: self.root.files.read(paths.report(peer.name))):
            from peercoord.worktree import hand_edits

            try:
                notes = hand_edits.take(self, peer, self.progress)
            except EvictedError:
                raise
            except PeercoordError as error:
                self.progress.held_back = True
                notes = [f"progress.json is not taken in yet: {error.message}"]
        self.progress.notes += notes
        if self.heard:
            self.notes += self.progress.notes
            self.progress.notes = []

    def _member(self, verb: str) -> Peer:
        me = self.place.incarnation
        if me is not None:
            try:
                peer = Peer.resume(self.root, me)
            except EvictedError as error:
                self.rejoined = [f"{error.message}, and this worktree has joined again"]
                self.notes += self.rejoined
            else:
                with suppress(StorageError):  # a full disk: the call is served without a note of the caller
                    self._note_caller(peer, verb)
                return peer
        place, session = self.place, self.caller.session
        record = {"worktree": place.worktree, "branch": str(place.info.get("branch", "")), "session": session}
        peer = Peer.join(
            place.project,
            place.instance,
            record={**record, **self._call_facts(verb)},
            expected_store=place.store_id,
            least=me.number + 1 if me else 1,
        )
        place.remember(incarnation=str(peer.membership.me), store_id=self.root.store_id)
        return peer

    def _note_caller(self, peer: Peer, verb: str) -> None:
        """Record the call and its coding session. Where no process stands for the peer, a call is its heartbeat."""
        record = peer.membership.record()
        known = liveness.sessions(record)
        if self.caller.session and liveness.elsewhere(record, process.here()) is not None:
            self.caller = Caller(None, self.caller.program)  # called directly from a namespace whose pids mean nothing
        facts, session = self._call_facts(verb), self.caller.session
        if session:
            running = [one for one in known if one != session and process.running(one)]
            facts |= {"session": session, "sessions": [*running, session], "session_ended": None}
        if facts:
            peer.membership.update(record, **facts)
        if verb and not known and not liveness.agent_of(record):
            peer.membership.beat()

    def _call_facts(self, verb: str) -> Json:
        """Return what is recorded of a call. An unknown caller that only asks does not count as working here."""
        if not verb or (self.caller.session is None and verb in QUESTIONS):
            return {}
        call = {"at": self.root.clock.now(), "verb": verb, "program": self.caller.program}
        return {"last_call": call, "silent_since": None}

    def _mirror(self, peer: Peer) -> None:
        """Write the worktree's own copies: its progress, and the ids it holds."""
        with suppress(PeercoordError):
            worker = peer.worker
            tickets = worker.held() if worker.seen_held is None else worker.seen_held
            report = worker.report_of(tickets, worker.reports.written)
            empty: Json = {"instance_id": peer.name, "assigned_tasks": [], "memory_contributions": []}
            self.progress.write({**empty, **report})
            held = [ticket.task for ticket in tickets]
            self.place.remember(assigned_tasks=[*map(ids.public, held)], definitions_told=self.tasks.kept(held))

    # -- what the actions share ------------------------------------------------------------------------------

    def note_task(self, task: str, stop: str = "", edited: str = "") -> None:
        """Note for the holder of a task that it was cancelled or edited; unseen notes are left for the next call."""
        note = self.tasks.note(task, stop, edited) if self.heard else ""
        self.notes += [note] if note else []

    def only_task(self, peer: Peer) -> str:
        """Return the one task that the peer holds; an error names them if it holds several."""
        held = peer.worker.held()
        if len(held) == 1:
            return held[0].task
        if not held:
            raise LostError(f"{peer.name} holds no task", hint=f"ask for one: {SHELL} request-task")
        listed = ", ".join(ticket.task for ticket in held)
        raise UsageError(f"{peer.name} holds several tasks: {listed}", hint=f"name one: {SHELL} report-progress TASK")

    def git_facts(self, tree: str = "") -> Json:
        """Return what git knows of a worktree, this one by default: branch, commit, files not committed."""
        from peercoord.store import inspection

        own = not tree or tree == self.place.worktree
        tree = tree or self.place.worktree
        facts: Json = {"worktree": tree}
        try:
            with inspection.of_instance(self.root, self.place.project, tree, self.place.instance if own else "") as git:
                try:
                    found = git.changes()
                except PeercoordError:  # an index that cannot be read hides no commit
                    facts["commit"], facts["branch"] = git.text("rev-parse", "HEAD", "--abbrev-ref", "HEAD").split("\n")
                    raise
                inner, root = inspection.submodule_changes(git), git.checkout.tree
        except PeercoordError as error:
            self._note_unknown(f"git could not be asked: {error.message}")
            return facts
        facts |= {"commit": found.commit, "branch": found.branch} if found.commit else {"branch": found.branch}
        changed = [path for how, path in found.entries if how != "??" or not _is_placeholder(os.path.join(root, path))]
        facts["dirty_files"] = list(dict.fromkeys([*changed, *inner.paths()]))[:DIRTY_MOST]
        unsure = [*found.unsure, *inner.unsure]
        if unsure:
            some = foreign.shown(unsure[0])
            self._note_unknown(f"git cannot tell whether {foreign.counted(unsure, 'file')} changed, {some} among them")
        return facts

    def work_left(self, ticket: Ticket, tree: str = "") -> Json:
        """Return what git knows of a worktree whose session, with this claim, is gone; keep its uncommitted work."""
        from peercoord.store import inspection, kept_work

        facts = self.git_facts(tree)
        own = self.place.instance if facts["worktree"] == self.place.worktree else ""
        if facts.get("dirty_files"):
            ref = kept_work.reference(ticket.task, ticket.epoch)
            try:
                with inspection.of_instance(self.root, self.place.project, facts["worktree"], own) as git:
                    if kept_work.keep(git, ref, f"task {ticket.task}, claim {ticket.epoch}: what was not committed"):
                        facts["kept"] = ref
            except PeercoordError as error:
                self._note_unknown(f"what is not committed could not be kept: {error.message}")
        return facts

    def _note_unknown(self, why: str) -> None:
        self.unknown = why
        self.notes.append(why)

    def withdraw(self) -> str:
        """Release what this call claimed, because its caller did not learn of it; return what became of it."""
        ticket, self.claimed = self.claimed, None
        if ticket is None:
            return ""
        try:
            with self.peer() as peer:
                if ticket in peer.worker.held():
                    peer.worker.release(ticket.task, "its holder was not told of it")
        except (PeercoordError, *FAULTS) as error:
            return f"task {ticket.task} is still held: {error}"
        return f"task {ticket.task} was given back"


def _is_placeholder(path: str) -> bool:
    """Check whether a file is empty and read-only: a sandbox makes such files as placeholders."""
    with suppress(OSError):
        seen = os.lstat(path)
        return stat.S_ISREG(seen.st_mode) and seen.st_size == 0 and not seen.st_mode & 0o222
    return False
