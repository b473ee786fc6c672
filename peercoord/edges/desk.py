"""The desk: what the four verbs of ``coordinate.sh`` do, for the worktree's own peer.

Called by the command line and by the background agent alike. It keeps the worktree's copy of what it says
(``info.json``, ``progress.json``) and rejoins by itself when its peer was evicted: an evicted peer's call fails and
says who holds its task now; the next call works again, under a new incarnation.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from peercoord.core import ids, names, records
from peercoord.core.errors import (
    BrokenFileError,
    EvictedError,
    LostError,
    NotFoundError,
    PeercoordError,
    StorageError,
    UsageError,
)
from peercoord.core.limits import DOCUMENT_BYTES
from peercoord.edges import handout
from peercoord.edges.context import write_instance
from peercoord.edges.handout import Tidings, claim_lines, nothing
from peercoord.edges.reply import Reply, bar, percent, plain
from peercoord.edges.review import notices
from peercoord.fs import process
from peercoord.roles import root as roots
from peercoord.roles.peer import Peer
from peercoord.roles.progress import Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from peercoord.core.names import Ticket
    from peercoord.core.records import Json
    from peercoord.edges.context import Place
    from peercoord.roles.root import Root
    from peercoord.roles.worker import Claim

SHELL = handout.SHELL
_NOBODY = "nobody goes on with it"
_NEXT = "whoever has it next is given it as it is now"
_AFTER = {"failed": "set aside, too many attempts", "cancelled": "set aside, it is cancelled"}


class Desk:
    """The worktree's place at the table.

    Args:
        place: Where the call stands; must be a joined worktree.
        session: The coding session on whose behalf the call is made; found from this process if not given.
        request: The id of the request that is executed; empty if the call is none.
        heard: Someone reads the notes of the answer. What nobody hears counts as not told.
    """

    def __init__(
        self,
        place: Place,
        session: Json | None = None,
        request: str = "",
        heard: bool = True,
    ) -> None:
        place.require_worktree()
        self.place = place
        self.session = session or process.session_of(os.getpid())
        self.root: Root = roots.open_root(place.coordination, place.store_id)
        self.asked = request
        self.heard = heard
        self.told: int | None = None  # how far the worktree was told of the memory bank before this call
        self.notes: list[str] = []
        self.rejoined: list[str] = []

    # -- the worktree's peer ---------------------------------------------------------------------------------

    @contextmanager
    def peer(self) -> Iterator[Peer]:
        """Act as the worktree's peer, one call at a time; joins if it is none, or no longer."""
        with self._alone():
            peer = self._member()
            self.told = notices.mark(self.place)
            self.tidings = Tidings(peer, self.place.info.get("definitions_told"))
            if self.heard:
                self.notes += [f"memory bank: {line}" for line in notices.told(self.place, self.root.files)]
            try:
                yield peer
            except LostError as error:
                raise LostError("; ".join([*self.rejoined, error.message]), error.hint, error.code) from None
            finally:
                self._mirror(peer)

    def _alone(self) -> AbstractContextManager[None]:
        from peercoord.fs.mutex import held

        lock = f"{self.place.worktree}/{names.INSTANCE}/call.lock"
        return held(lock, busy="another call of this worktree is at work")

    def _member(self) -> Peer:
        me = self.place.incarnation
        if me is not None:
            try:
                peer = Peer.resume(self.root, me)
            except EvictedError as error:
                self.rejoined = [f"{error.message}, and this worktree has joined again"]
                self.notes += self.rejoined
            else:
                if self.session:
                    with suppress(StorageError):  # on a full disk who calls is not noted; what is asked is done
                        peer.membership.update(session=self.session)
                return peer
        peer = Peer.join(
            self.place.project,
            self.place.instance,
            record={
                "worktree": self.place.worktree,
                "branch": str(self.place.info.get("branch", "")),
                "session": self.session,
            },
            expected_store=self.place.store_id,
            least=me.number + 1 if me else 1,
        )
        self.place.remember(incarnation=str(peer.membership.me), store_id=self.root.store_id)
        return peer

    def _mirror(self, peer: Peer) -> None:
        """Keep the worktree's own copies: its progress, and the ids it holds."""
        with suppress(PeercoordError):
            report = Reports(peer.queue).read(peer.name)
            if self.place.files().read("progress.json") != records.encode(report):
                write_instance(self.place.worktree, "progress.json", report)
            held = [ticket.task for ticket in peer.worker.held()]
            self.place.remember(assigned_tasks=[*map(ids.public, held)], definitions_told=self.tidings.kept(held))

    # -- request-task ----------------------------------------------------------------------------------------

    def request(self) -> Reply:
        """Claim the next task, or say why there is none."""
        with self.peer() as peer:
            peer.worker.session = self.session
            before = self._had()
            claim = peer.worker.request()
            self._note_withdrawn(peer, before, claim.task if claim else "")
            if claim is None:
                return nothing(peer, self.notes)
            if claim.again:
                self._note_other_session(peer, claim)
                self._note(claim.task, edited="this is what it is now")
            self.tidings.handed_out(claim.task)
            data = self._claimed(peer, claim)
        return Reply(data, claim_lines(data), self.notes)

    def _note(self, task: str, stop: str = "", edited: str = "") -> None:
        """Tell the holder of a task what became of it. What nobody hears is left to be told."""
        note = self.tidings.note(task, stop, edited) if self.heard else ""
        self.notes += [note] if note else []

    def _had(self) -> list[str]:
        """List what this worktree held after its last call."""
        known = self.place.info.get("assigned_tasks")
        return [task for task in map(str, known if isinstance(known, list) else []) if ids.is_id(task)]

    def _note_withdrawn(self, peer: Peer, before: list[str], claimed: str) -> None:
        """Tell which tasks asking for the next one took from this worktree, because they were cancelled."""
        gone = [task for task in before if task != claimed]
        held = {ticket.task for ticket in peer.worker.held()} if gone else set()
        for task in gone:
            if task in held:
                self._note(task)
            else:
                self.notes += filter(None, [self.tidings.withdrawn(task)])

    def _note_other_session(self, peer: Peer, claim: Claim) -> None:
        """Tell a second coding session of this worktree that the first one, still alive, works on the task."""
        record = peer.queue.read_record(names.assignment(peer.membership.home, claim.ticket)) or {}
        other, mine = record.get("session"), self.session or {}
        same = isinstance(other, dict) and (other.get("pid"), other.get("start")) == (
            mine.get("pid"),
            mine.get("start"),
        )
        if same or other == peer.membership.record().get("agent"):
            return  # asked again by itself; or by someone of whom only the agent was known
        if isinstance(other, dict) and process.running(other):
            who = f"{other.get('program', 'another coding session')}, process {other.get('pid')}"
            self.notes.append(f"task {claim.task} was claimed by {who} of this worktree, which still runs")

    def _claimed(self, peer: Peer, claim: Claim) -> Json:
        entry = peer.worker.reports.entry(peer.name, claim.ticket) or {}
        raw = claim.definition.raw
        steps, done = claim.definition.steps, set(entry.get("steps_done", []))
        return {
            **{key: raw[key] for key in ("task_id", "title", "description", "details", "priority") if raw.get(key)},
            "epoch": claim.ticket.epoch,
            "held_before": claim.again,
            "progress": entry.get("progress", 0.0),
            "dependencies": raw.get("dependencies", []),
            "steps": [{"id": s.step, "title": s.title, "done": s.done or s.step in done} for s in steps],
            "notes": raw.get("notes", []),
            "hand_over": self._hand_over(claim),
            "merge": self._missing_commits(peer, claim),
            "definition": raw,
        }

    def _hand_over(self, claim: Claim) -> Json:
        """Add to what the last holder left what its worktree shows now, where that is on this machine."""
        from pathlib import Path

        left = claim.hand_over
        tree = left.get("worktree")
        if not isinstance(tree, str) or not Path(tree, ".git").exists():
            return left
        return {**left, **{key: value for key, value in self._facts(tree).items() if key not in left}}

    def _missing_commits(self, peer: Peer, claim: Claim) -> list[Json]:
        """Name the dependencies whose commits are not in this worktree yet, with the line that brings them."""
        missing = []
        for dependency in claim.definition.dependencies:
            record = (peer.queue.result(dependency) or (0, "", {}))[2]
            commit, branch = record.get("commit"), record.get("branch")
            if isinstance(commit, str) and _is_commit(commit) and not self._contains(commit):
                line = f"git merge {commit[:12]}"
                missing.append({"task_id": ids.public(dependency), "branch": branch, "commit": commit, "command": line})
        return missing

    def _contains(self, commit: str) -> bool:
        from peercoord.edges.team import git

        try:
            return (
                git.ask(self.place.worktree, "merge-base", "--is-ancestor", commit, "HEAD", ok=(0, 1, 128)).status == 0
            )
        except PeercoordError:
            return True  # no git to ask: nothing to say about merging

    # -- report-progress -------------------------------------------------------------------------------------

    def report(self, task: str, said: Json, status: str = "", reason: str = "") -> Reply:
        """Report on a task: progress, or how it ends.

        Args:
            task: Its id; empty if only one is held.
            said: See ``progress.updated``.
            status: ``in-progress`` (or empty), ``done``, ``blocked``, ``review`` or ``failed``.
            reason: For a task that ends undone; the last blocker if not given.
        """
        with self.peer() as peer:
            task = ids.check(task) if task else self._only(peer)
            if status in ("", "in-progress"):
                entry = peer.worker.report(task, said)
                shown = "" if entry.get("steps") else "~"
                line = f"task {task}: {shown}{percent(entry['progress'])} reported"
                self._note(task)
                return Reply({"task_id": ids.public(task), "status": "in-progress", **entry}, [line], self.notes)
            return self._ended(peer, task, said, status, reason)

    def _ended(self, peer: Peer, task: str, said: Json, status: str, reason: str) -> Reply:
        facts = self._facts()
        reason = reason or next(reversed(records.notes(said.get("blockers"))), "") or f"reported as {status}"
        if status == "done":
            self._check_committed(facts)
            fits = f"see whether what is done fits: peercoord task show {task}"
            self._note(task, stop="what is done is done all the same", edited=fits)
            result = peer.worker.complete(task, said, {k: v for k, v in facts.items() if k != "dirty_files"})
            lines = [f"task {task} is done (epoch {result['epoch']})", f"next: {SHELL} request-task"]
            return Reply({"task_id": ids.public(task), "status": "done", **result}, lines, self.notes)
        self._note(task, stop=_NOBODY, edited=_NEXT)
        if status == "failed":
            where = peer.worker.fail(task, reason, said, facts)
            line = f"task {task}: attempt failed; {_whereabouts(where)}"
        else:
            peer.worker.park(task, status, reason, said, facts)
            line = f"task {task} is parked as {status}: {plain(reason)}"
        return Reply({"task_id": ids.public(task), "status": status, "reason": reason}, [line], self.notes)

    def _facts(self, tree: str = "") -> Json:
        """Say what git knows of a worktree, this one by default: branch, commit, files not committed."""
        from peercoord.edges.team import git

        tree = tree or self.place.worktree
        facts: Json = {"worktree": tree}
        try:
            facts["branch"] = git.text(tree, "rev-parse", "--abbrev-ref", "HEAD")
            facts["commit"] = git.text(tree, "rev-parse", "HEAD")
            changed = git.fields(tree, "status", "--porcelain", "-z", "--no-renames")
            facts["dirty_files"] = [line[3:] for line in changed][:200]
        except PeercoordError as error:
            self.notes.append(f"git could not be asked: {error.message}")
        return facts

    def _check_committed(self, facts: Json) -> None:
        dirty = facts.get("dirty_files") or []
        if not dirty:
            return
        what = f"{len(dirty)} file(s) of this worktree are not committed, {ids.shown(dirty[0])} among them"
        if self.root.setting("uncommitted") == "refuse":
            raise UsageError(
                f"the task is not completed: {what}", hint="commit, then report it done again", code="dirty"
            )
        self.notes.append(f"{what}: others will not see that work before it is committed")

    def _only(self, peer: Peer) -> str:
        held = peer.worker.held()
        if len(held) == 1:
            return held[0].task
        if not held:
            raise LostError(f"{peer.name} holds no task", hint=f"ask for one: {SHELL} request-task")
        listed = ", ".join(ticket.task for ticket in held)
        raise UsageError(f"{peer.name} holds several tasks: {listed}", hint=f"name one: {SHELL} report-progress TASK")

    def report_file(self, path: str) -> Reply:
        """Report what a progress file in the mission's schema says, every task of it that this peer holds."""
        said = self._progress_file(path)
        done, skipped = [], []
        with self.peer() as peer:
            held = {ticket.task for ticket in peer.worker.held()}
            for entry in said:
                task = ids.check(entry.get("task_id"))
                if task in held:
                    peer.worker.report(task, _said(entry))
                    self._note(task)
                    done.append(task)
                elif entry.get("status") in (None, "in-progress"):
                    skipped.append(task)
        self.notes += [f"task {task} is not held here: what {path} says of it was passed over" for task in skipped]
        lines = [f"reported from {path}: {', '.join(done) or 'nothing'}"]
        return Reply({"reported": done, "passed_over": skipped}, lines, self.notes)

    def _progress_file(self, path: str) -> list[Json]:
        try:
            with open(path, "rb") as handle:  # the user's own file, named on the command line
                raw = records.decode(handle.read(), path)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}", hint="name a progress file: --file PATH") from None
        except BrokenFileError as error:
            raise BrokenFileError(error.message, f"mend it, or report in words: {SHELL} report-progress TASK") from None
        entries = raw.get("assigned_tasks")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BrokenFileError(f"{path}: assigned_tasks must be a list of objects", f"see {SHELL} check-status")
        return entries

    # -- update-memory ---------------------------------------------------------------------------------------

    def remember(self, document: str, section: str, kind: str, content: str, critical: bool) -> Reply:
        """Queue a contribution to the memory bank, durably, before answering.

        Args:
            document: The bank's document, as ``techContext.md``.
            section: Its heading; empty for the document as a whole.
            kind: ``addition`` or ``update``.
            content: The text.
            critical: It waits for a person.
        """
        from peercoord.core.memory import contributions, reading
        from peercoord.roles.bank_store import Store

        store = Store(self.root)
        with self.peer() as peer:
            held = peer.worker.held()
            author = contributions.Author(peer.name, held[0].task if held else "", self.root.clock.now())
            found = reading.from_call(
                author,
                document,
                content,
                self.asked or self.root.files.token(),  # a request executed again contributes nothing twice
                briefed=store.briefed(document, self._bank_document(document), self.told, peer.name),
                section=section,
                kind=kind,
                critical=critical,
            )
            store.texts.keep(found.texts)  # before what names them
            for one in found.contributions:
                store.publish(one)
                peer.worker.reports.contributed(peer.membership.me, one.raw)
                self.root.event(peer.name, "contributed", id=one.id, file=document)
        self.root.files.ring()
        queued = [{"id": one.id, "file": document, "section": list(one.section)} for one in found.contributions]
        lines = [f"queued for {plain(document)}: {len(queued)} contribution(s)"]
        return Reply({"queued": queued, "critical": critical}, lines, [*self.notes, *found.notes])

    def _bank_document(self, document: str) -> bytes | None:
        """Read a document of the memory bank as this worktree sees it; only a plain name ever becomes a path."""
        from peercoord.core.memory import contributions

        name = contributions.check_document(document)
        place = f"{self.place.worktree}/{names.BANK}"
        if not os.path.isdir(place):  # it has another name in this project
            from pathlib import Path

            from peercoord.edges import banking

            place = banking.directory(Path(self.place.project))
        try:
            with open(f"{place}/{name}", "rb") as handle:
                return handle.read(DOCUMENT_BYTES)
        except OSError:
            return None

    # -- release, check-status -------------------------------------------------------------------------------

    def release(self, task: str, reason: str) -> Reply:
        """Give a task back."""
        with self.peer() as peer:
            task = ids.check(task) if task else self._only(peer)
            self._note(task, stop=_NOBODY, edited=_NEXT)
            where = peer.worker.release(task, reason or "released", self._facts())
        line = f"task {task} is {_whereabouts(where)}"
        return Reply({"task_id": ids.public(task), "ticket": where}, [line], self.notes)

    def check(self) -> Reply:
        """Say where this worktree stands: what it holds, what is ready, what others do."""
        from peercoord.roles.tally import leading, tally

        with self.peer() as peer:
            mine = [self._standing(peer, ticket) for ticket in peer.worker.held()]
            counts = tally(self.root.files)
            leader = leading(self.root.files)
        data: Json = {
            "instance_id": peer.name,
            "incarnation": str(peer.membership.me),
            "assigned_tasks": mine,
            **counts,
            "leader": leader,
        }
        lines = [
            f"{peer.name} ({plain(self.place.info.get('branch', ''))}) holds {len(mine)} task(s)",
            *(
                f"  task {m['task_id']} {plain(m['title'])}  {bar(m['progress'])} {percent(m['progress'])}"
                for m in mine
            ),
            f"{data['done']} of {data['total_tasks']} done, {data['in_progress']} in progress, {data['ready']} ready, "
            f"{data['waiting']} waiting",
        ]
        return Reply(data, lines, self.notes)

    def _standing(self, peer: Peer, ticket: Ticket) -> Json:
        entry = peer.worker.reports.entry(peer.name, ticket) or {}
        self._note(ticket.task)
        try:
            title = peer.queue.definition(ticket.task).title
        except (BrokenFileError, NotFoundError):
            title = "(its definition cannot be read)"
        share = entry.get("progress", 0.0)
        return {"task_id": ids.public(ticket.task), "title": title, "progress": share, "epoch": ticket.epoch}


def _said(entry: Json) -> Json:
    known = {key: entry.get(key) for key in ("achievements", "blockers", "time_spent", "progress")}
    return {**known, "estimate": entry.get("completion_estimate"), "steps": entry.get("steps_done") or []}


def _whereabouts(path: str) -> str:
    """Say where a ticket lies that left this worktree's hands."""
    home, _, why = path.rpartition("/")[0].rpartition("/")
    return _AFTER.get(why, "set aside") if home == names.PARKED else "back in the queue"


def _is_commit(text: str) -> bool:
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")
