"""What a coding session does, as its hooks tell: the record of it, and what each event makes of the record."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import plain, whole
from peercoord.store import session_records
from peercoord.system import clock, process
from peercoord.system.sessions import LIMITED, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.store.files import Files

__all__ = ["STATES", "Session", "limited_until", "process_of"]

WHY_CHARS = 200
NOTED_MOST = 50  # notices remembered as told
ASKED_MOST = 50  # claims remembered as asked about


def process_of(agent: CodingAgent, environ: Mapping[str, str]) -> Json | None:
    """Return the process of the session that runs this hook, ``{"pid", "start", "program"}``; ``None`` if unseen.

    The agent names it, or it is the nearest coding agent above this process.
    """
    named = environ.get(agent.pid_variable, "") if agent.pid_variable else ""
    found = process.identify(int(named)) if named.isascii() and named.isdigit() and len(named) < 10 else None
    return {**found, "program": agent.program} if found else process.caller_of(os.getpid()).session


class Session:
    """The record of an instance's coding session.

    Args:
        files: The coordination directory.
        peer: The instance.
        agent: What kind of coding agent it is.
        ident: The agent's own id of the session; empty if it gives none.
        process: Its process, if that is known.
    """

    def __init__(self, files: Files, peer: str, agent: CodingAgent, ident: str, process: Json | None) -> None:
        self.files, self.peer, self.agent, self.ident, self.process = files, peer, agent, ident, process
        self.reload()

    def reload(self) -> None:
        """Read the record again: other hooks of the session write it too."""
        self._written = session_records.read(self.files, self.peer)
        self.record: Json = dict(self._written)

    @property
    def state(self) -> str:
        """What it does."""
        return str(self.record.get("state", ""))

    @property
    def is_known(self) -> bool:
        """Whether the record is about this very session: another one ran here before, or runs beside it."""
        if self.ident and self.record.get("session_id"):
            return bool(self.record["session_id"] == self.ident)
        return bool(self.process) and session_records.is_of(self.record, self.process or {})

    def begin(self, now: str, **facts: object) -> None:
        """Put this session on record in place of the one before."""
        own = ("worked", "asked") if self.is_known else ()
        kept: Json = {key: self.record[key] for key in (*own, "transcripts") if key in self.record}
        self.record = {
            "agent": self.agent.key,
            "session_id": self.ident,
            "process": self.process or {},
            "started": now,
            "waiter": self.agent.wakes,
            "blocks": 0,
            **kept,
            **facts,
        }

    def becomes(self, state: str, now: str, why: str = "", **facts: object) -> None:
        """Note what the session does from now on.

        Args:
            state: One of ``STATES``.
            now: The present moment, RFC 3339.
            why: The reason, in the words of the agent; may be empty.
            facts: Further facts to keep.
        """
        since = now if state != self.state else self.record.get("since", now)
        self.record.pop("until", None)
        self.record |= {"state": state, "since": since, "why": plain(why)[:WHY_CHARS], **facts}
        if self.record != self._written:
            before, self._written = self._written, dict(self.record)
            session_records.write(self.files, self.peer, self.record)
            if (before.get("state") == LIMITED) != (state == LIMITED):
                self._log_limit()

    def _log_limit(self) -> None:
        """Log that a rate limit began or is over: the record itself shows the present only."""
        from peercoord.store.root import open_root

        begins = self.state == LIMITED
        known = {"until": self.record.get("until"), "reason": self.record["why"]} if begins else {}
        facts = {key: value for key, value in known.items() if value}
        with suppress(PeercoordError):  # work goes on without the note
            open_root(self.files.place).event(self.peer, "limited" if begins else "limit-over", **facts)

    def note_transcript(self, path: str, now: str, source: str) -> None:
        """Remember the file that its program keeps of it: the worktree's agent reads there what it used.

        Args:
            path: Where the file is, as a hook names it; may be empty.
            now: The present moment, RFC 3339.
            source: How the session began, as its program says at the start.
        """
        found = self.record.get("transcripts")
        known = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        if path and path not in [one.get("path") for one in known]:
            own = {"agent": self.agent.key, "session_id": self.ident, "path": path, "since": now, "source": source}
            self.record["transcripts"] = [*known, own][-session_records.TRANSCRIPTS_MOST :]

    # -- what is remembered of it ----------------------------------------------------------------------------

    @property
    def blocks(self) -> int:
        """Stops in a row that it was kept from."""
        return whole(self.record.get("blocks")) or 0

    def asked(self, claim: str) -> bool:
        """Check whether it was asked for a report on a claim."""
        return claim in self._listed("asked")

    def note_asked(self, claim: str) -> None:
        """Remember that it was asked for a report on a claim."""
        self.record["asked"] = [*self._listed("asked"), claim][-ASKED_MOST:]

    def note_pending(self, notes: list[str]) -> None:
        """Keep notices for the next time that the session is told something."""
        if notes:
            self.record["pending"] = [*self._listed("pending"), *notes][-NOTED_MOST:]

    def pending(self) -> list[str]:
        """Return the notices that were kept, and keep them no longer."""
        kept = self._listed("pending")
        self.record.pop("pending", None)
        return kept

    def untold(self, notes: list[str]) -> list[str]:
        """Return those of some notices that it was not told yet, and remember them as told."""
        told = self._listed("told")
        new = [note for note in dict.fromkeys(notes) if note not in told]
        if new:
            self.record["told"] = [*told, *new][-NOTED_MOST:]
        return new

    def _listed(self, key: str) -> list[str]:
        found = self.record.get(key)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def limited_until(files: Files, peers: list[str], agent: str, now: float) -> float:
    """Return until when sessions of a kind of agent are limited, by what those of some instances said; 0 if none is."""
    found = [session_records.read(files, peer) for peer in peers]
    ends = [
        clock.seconds(one.get("until"))
        for one in found
        if (one.get("agent"), one["state"] if one else "") == (agent, LIMITED)
    ]
    return max((end for end in ends if now < end <= now + session_records.LONGEST_SECONDS), default=0.0)
