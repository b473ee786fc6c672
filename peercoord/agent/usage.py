"""What the coding sessions of one worktree used for each task: read from their own files, noted in reports and results.

A task is charged with the answers of the model between its claim and its end, to the second, if it was the only one in
hand. What was not read whole is not known, and nothing is written then.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.agent.sessions import LOCK_SECONDS
from peercoord.agent.transcripts import Transcript, files_of, is_named_so, opened
from peercoord.store import ids, paths, records, session_records
from peercoord.store.paths import Ticket
from peercoord.system import clock
from peercoord.system.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.queue.peer import Peer
    from peercoord.store.beneath import InstanceFiles

SETTLES_SECONDS = 3.0  # after the end of a task, until its session has written its last answer
LOOK_SECONDS = 1.0  # for one look: the agent has other work
AGAIN_SECONDS = 0.1  # until more is read
ALL_ANSWERS_MOST = 200_000  # kept of all files of a worktree; nothing is known of more
COSTS_BYTES = 4 << 20  # read of the end of the costs that a status line was told
NO_SESSION = "-"  # in place of a session in a line of the costs
COST_MOST, LATEST = 10**9, 10**11  # dollars and seconds: more makes no sense
_ENDS = ("done", "failed", "released")  # outcomes that a holder writes itself


class UsageWatch:
    """Notes what the tasks of a worktree took, for its agent."""

    def __init__(self, instance: InstanceFiles) -> None:
        self.instance = instance
        self._tree = os.path.dirname(instance.place)
        self._files: dict[str, Transcript] = {}
        self._settled: set[tuple[str, int]] = set()  # claims that ended and were looked at
        self._costs: dict[str, list[tuple[str, float]]] = {}  # by session, what it had cost at some seconds

    def joined(self, peer: Peer) -> None:
        """Act as this peer from now on."""
        self.peer, self.root = peer, peer.root
        self._settled.clear()

    def check(self) -> float | None:
        """Note what held and ended claims took; return the seconds until the next look, if it is due sooner."""
        sessions = self._sessions()
        if not sessions or not self._unsettled(self.peer.worker.reports.read(self.peer.name)):
            return None
        files = [file for session in sessions for file in self._transcripts(session)]
        self._files = {file.path: file for file in files}
        ends, answers = time.monotonic() + LOOK_SECONDS, 0
        for file in files:
            if not file.follow() or time.monotonic() > ends:
                return AGAIN_SECONDS
            answers += file.size
            if answers > ALL_ANSWERS_MOST:
                self._files.clear()
                return None
        with self.instance.held("call.lock", wait=LOCK_SECONDS):
            return self._note(sessions)

    def _sessions(self) -> Sequence[Json]:
        """List the sessions of this worktree that named a transcript, the oldest first."""
        listed = session_records.read(self.root.files, self.peer.name).get("transcripts")
        found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        keys = ("agent", "session_id", "path", "since", "source")
        texts = [{key: str(one.get(key) or "") for key in keys} for one in found]
        return [one for one in texts if is_named_so(one["agent"], one["session_id"], one["path"], self._tree)]

    def _transcripts(self, session: Json) -> list[Transcript]:
        agent = session["agent"]
        return [self._files.setdefault(path, Transcript(path, agent)) for path in files_of(session["path"], agent)]

    def _unsettled(self, report: Json) -> list[tuple[Ticket, Json]]:
        """List the claims of a report that are held, or ended and were not looked at."""
        found = []
        for entry in report["assigned_tasks"]:
            task, epoch = ids.read(entry.get("task_id")), foreign.whole(entry.get("epoch"))
            if task and epoch is not None and (task, epoch) not in self._settled:
                found.append((Ticket(task, epoch), entry))
        return found

    # -- notes -----------------------------------------------------------------------------------------------

    def _note(self, sessions: Sequence[Json]) -> float | None:
        report = self.peer.worker.reports.read(self.peer.name)
        held = {(ticket.task, ticket.epoch) for ticket in self.peer.worker.held()}
        entries = report["assigned_tasks"]
        reported = {(ids.read(entry.get("task_id")), foreign.whole(entry.get("epoch"))) for entry in entries}
        others = [*entries, *({"status": "in-progress"} for claim in held if claim not in reported)]
        now, news, waits = self.root.clock.now(), False, []
        self._costs = self._read_costs()
        for ticket, entry in self._unsettled(report):
            if (ticket.task, ticket.epoch) in held:
                used = self._used(entry, others, sessions, now)
                news |= used != entry.pop("usage", None)
                entry |= {"usage": used} if used is not None else {}
                continue
            path, result = self._result(ticket)
            left = seconds(result.get("at")) + SETTLES_SECONDS - seconds(now)
            if result and 0 < left <= SETTLES_SECONDS:
                waits.append(left)
                continue
            self._settled.add((ticket.task, ticket.epoch))
            used = self._used(entry, others, sessions, str(result.get("at"))) if result else None
            if used is not None and used != result.get("usage"):
                data = records.encode_stored({**result, "usage": used})
                self.root.files.put(path, data, durable=True)  # the result that it replaces was flushed
        if news:
            self.peer.worker.reports.note(self.peer.membership.me, report)
        return min(waits, default=None)

    def _result(self, ticket: Ticket) -> tuple[str, Json]:
        """Return this peer's own result of a claim, and its path; empty if there is none."""
        for outcome in _ENDS:
            path = paths.result(ticket.task, ticket.epoch, outcome)
            found = self.peer.queue.read_record(path) or {}
            if found.get("peer") == self.peer.name:
                return path, found
        return "", {}

    # -- what was used ---------------------------------------------------------------------------------------

    def _used(self, entry: Json, claims: Sequence[Json], sessions: Sequence[Json], until: str) -> Json | None:
        """Return what a claim took up to a second; ``None`` if that is not known."""
        began = str(entry.get("started_at") or "")
        if not seconds(began) or any(_overlaps(one, began, until) for one in claims if one is not entry):
            return None
        if len(sessions) == session_records.TRANSCRIPTS_MOST and began < sessions[0]["since"]:
            return None  # earlier sessions are not listed any more
        answers = tokens_in = tokens_out = 0
        cost: float | None = 0.0
        for at, session in enumerate(sessions):
            files = self._transcripts(session)
            replaced = at + 1 < len(sessions) and sessions[at + 1]["since"] <= began
            if files[0].broken and replaced:
                continue  # it was over before, and its file is gone
            found = [file.used(began, until) for file in files]
            if None in found:
                return None
            counts = [one for one in found if one is not None]
            if some := sum(one[0] for one in counts):
                answers += some
                tokens_in += sum(one[1] for one in counts)
                tokens_out += sum(one[2] for one in counts)
                lost = max((when for when, _ in self._costs.get(NO_SESSION, [])), default="")
                part = _spent(self._costs.get(session["session_id"], []), session, began, until, lost)
                cost = None if cost is None or part is None else cost + part
        if not answers:
            return None
        known = {} if cost is None else {"cost_usd": round(cost, 6)}
        return {"input_tokens": tokens_in, "output_tokens": tokens_out, **known}

    def _read_costs(self) -> dict[str, list[tuple[str, float]]]:
        """Read what status lines were told: by session, what it had cost at some seconds.

        A line of no session says that there were lines before it.
        """
        path = f"{self.root.files.place}/{paths.quiet(self._tree)}/{paths.COSTS}"
        found: dict[str, list[tuple[str, float]]] = {}
        try:
            with opened(path) as (handle, seen):
                lines = os.pread(handle, COSTS_BYTES, max(0, seen.st_size - COSTS_BYTES)).split(b"\n")[:-1]
        except OSError:
            return found
        if seen.st_size > COSTS_BYTES:
            lines[:1] = [b"%b %b 0" % (one.split(b" ")[0], NO_SESSION.encode()) for one in lines[1:2]]
        for line in lines:
            words = line.decode("ascii", "replace").split(" ")
            try:
                at, session, cost = words
                if not 0 <= float(cost) < COST_MOST or not 0 <= int(at) < LATEST:
                    continue
            except ValueError:
                continue
            found.setdefault(session, []).append((clock.moment(int(at)), float(cost)))
        return found


def _overlaps(other: Json, began: str, until: str) -> bool:
    """Check whether another claim was in hand at the same time."""
    end = "~" if other.get("status") == "in-progress" else str(other.get("updated_at") or "")
    return str(other.get("started_at") or "") < until and began < end


def _spent(costs: Sequence[tuple[str, float]], session: Json, began: str, until: str, lost: str = "") -> float | None:
    """Return what a session cost between two seconds; ``None`` if that is not known.

    Args:
        costs: What it had cost at some seconds.
        session: How and when it began.
        began: The first second.
        until: The last second.
        lost: What was noted up to this second may be lost; empty if nothing is.
    """
    before = [cost for at, cost in costs if at <= began]
    within = [cost for at, cost in costs if began < at <= until]
    is_new = session["source"] == "startup" and (not lost or lost <= session["since"])  # a resumed one goes on counting
    first = before[-1] if before else 0.0 if is_new else None
    if not within or first is None or [first, *within] != sorted([first, *within]):  # or begins to count again
        return None
    return within[-1] - first
