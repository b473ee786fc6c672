"""The sections that the leader generates in ``progress.md`` and ``activeContext.md``, between two markers.

Text outside the markers belongs to people and is never touched. The same facts give the same bytes, so that an
unchanged document is not rewritten. Titles and notes come from tasks and agents: they are shown as plain text, and can
neither end the section nor become markup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.foreign import clean
from peercoord.membership import liveness
from peercoord.memory.document import EOL, front_matter_end, html_comments, with_eol
from peercoord.status import views
from peercoord.store import records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.status.views import Board, PeerView, Row

BEGIN = "<!-- peercoord: progress -->"
END = "<!-- peercoord: end of progress -->"
_TEXT_CHARS = 200
_MARKUP = re.compile(r"([\\`*_{}\[\]#|~!])")


@dataclass(frozen=True, slots=True)
class GeneratedSection:
    """A section that the leader keeps."""

    heading: str  # its heading
    title: str  # the title of a document that is made for it
    begin: str  # the line before its text
    end: str  # the line after its text

    @property
    def head(self) -> str:
        """What stands before its text."""
        return f"## {self.heading}\n\n{self.begin}\n"


PROGRESS = GeneratedSection("Progress of all instances", "Progress", BEGIN, END)
FOCUS = GeneratedSection(
    "Current focus of all instances", "Active context", "<!-- peercoord: focus -->", "<!-- peercoord: end of focus -->"
)
ALL = (PROGRESS, FOCUS)


@dataclass(frozen=True, slots=True)
class PeerLine:
    """What one peer does."""

    peer: str  # its name
    state: str  # what it is doing, in a word or two: ``working``, ``waits for a person``, ``gone``
    task: str = ""  # id of the task it holds, ``""`` if none
    title: str = ""  # the task's title
    progress: float = 0.0  # 0 … 1
    estimated: bool = False  # the progress is the peer's own estimate, not steps done of all
    note: str = ""  # its newest achievement or blocker
    since: str = ""  # when it claimed the task, RFC 3339; ``""`` if that is not known


@dataclass(frozen=True, slots=True)
class ProgressFacts:
    """The aggregated progress."""

    total: int  # tasks not cancelled
    done: int  # of these, done
    in_progress: int  # of these, held now
    blocked: int  # of these, waiting for others
    overall: float  # mean progress of all, 0 … 1
    lines: Sequence[PeerLine] = ()  # the peers, in the order to show
    parked: int = 0  # of all tasks, set aside


def with_progress(document: bytes, facts: ProgressFacts, kept: GeneratedSection = PROGRESS) -> bytes:
    """Return a document with its kept section as the facts are now.

    Where the markers are missing, the section is added at the end (at the beginning, if the end lies in an open
    code fence); a document without any text gets a title too.
    """
    first = EOL.search(document)
    eol = first.group() if first else b"\n"
    table = _focus(facts) if kept is FOCUS else _table(facts)
    text = with_eol(table, eol)
    place = _between(document, kept)
    if place:
        return document[: place[0]] + text + document[place[1] :]
    block = with_eol(f"{kept.head}{table}{kept.end}\n", eol)
    if not document.strip():
        return document + with_eol(f"# {kept.title}\n\n", eol) + block
    gap = b"" if document.endswith((b"\n", b"\r")) else eol
    longer = document + gap + eol + block
    if _between(longer, kept):
        return longer
    start = front_matter_end(document)
    return document[:start] + block + eol + document[start:]


def without_progress(document: bytes) -> bytes:
    """Return a document without a kept section added at its end; unchanged if the section stands elsewhere."""
    for kept in ALL:
        place = _between(document, kept)
        for eol in (b"\n", b"\r\n") if place else ():
            head, tail = with_eol(f"\n{kept.head}", eol), with_eol(f"{kept.end}\n", eol)
            if place and document[: place[0]].endswith(head) and document[place[1] :] == tail:
                return document[: place[0] - len(head)]
    return document


def is_generated(text: str) -> bool:
    """Check whether a section's text holds a marker: no peer may rewrite it."""
    marks = [mark for kept in ALL for mark in (kept.begin, kept.end)]
    return any(line.strip() in marks for line in text.split("\n"))


def _between(document: bytes, kept: GeneratedSection) -> tuple[int, int] | None:
    """Find the bytes between the markers: the first end, and the last beginning before it."""
    begin = None
    for start, end, comment in html_comments(document, kept.title):
        if comment == kept.begin:
            begin = end
        elif comment == kept.end and begin is not None:
            return begin, start
    return None


def _focus(facts: ProgressFacts) -> str:
    held = [line for line in facts.lines if line.task]
    if not held:
        return "No instance works on a task now.\n"
    rows = ["| Instance | Works on | Since | Newest |\n", "| --- | --- | --- | --- |\n"]
    for line in held:
        since = line.since.replace("T", " ").removesuffix("Z")[:16]
        state = "" if line.state == "working" else f" ({escaped(line.state)})"
        task = f"{escaped(line.task)} {escaped(line.title)}".strip()
        cells = (escaped(line.peer) + state, task, f"{escaped(since)} UTC" if since else "–", escaped(line.note) or "–")
        rows.append(f"| {' | '.join(cells)} |\n")
    return "".join(rows)


def _table(facts: ProgressFacts) -> str:
    parked = f" · {facts.parked} parked" if facts.parked else ""
    rows = [
        f"**{percent(facts.overall)}** · {facts.done} of {facts.total} tasks done · "
        f"{facts.in_progress} in progress · {facts.blocked} blocked{parked}\n"
    ]
    if facts.lines:
        rows += ["\n| Instance | State | Task | Progress | Newest |\n", "| --- | --- | --- | --- | --- |\n"]
    for line in facts.lines:
        task = f"{escaped(line.task)} {escaped(line.title)}".strip() if line.task else "–"
        share = f"{'~' * line.estimated}{percent(line.progress)}" if line.task else "–"
        cells = (escaped(line.peer), escaped(line.state), task, share, escaped(line.note) or "–")
        rows.append(f"| {' | '.join(cells)} |\n")
    return "".join(rows)


def percent(share: float) -> str:
    """Write 0 … 1 as a percentage; only what is finished is 100."""
    return f"{min(int(share * 100 + 0.5), 99 if share < 1 else 100)} %"


def escaped(text: str) -> str:
    """Escape foreign text as one line of plain Markdown, cut to its limit."""
    plain = " ".join(clean(text).split())
    if len(plain) > _TEXT_CHARS:
        plain = plain[: _TEXT_CHARS - 1] + "…"
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


_DOUBTED = {liveness.SUSPECT: "not heard of lately", liveness.DEAD: "gone"}


def facts_of(board: Board) -> ProgressFacts:
    """Gather the facts of all peers and their tasks."""
    figures = views.summary(board.rows)
    return ProgressFacts(
        total=board.wanted,
        done=figures["completed"],
        in_progress=figures["in_progress"],
        blocked=board.count("waiting"),
        parked=figures["parked"] - figures["cancelled"],
        overall=figures["overall_progress"],
        lines=[line for peer in board.peers for line in _lines(board, peer)],
    )


def _lines(board: Board, peer: PeerView) -> list[PeerLine]:
    doubt = _DOUBTED.get(peer.verdict.state)
    held = board.held_by(peer.incarnation)
    if not held:
        return [PeerLine(peer.name, doubt or "idle")]
    return [
        PeerLine(
            peer.name,
            doubt or "working",
            row.task,
            row.title,
            row.progress,
            estimated=row.definition is not None and not row.definition.steps,
            note=_newest(row),
            since=str(row.assignment.get("assigned_at") or row.entry.get("started_at") or ""),
        )
        for row in held
    ]


def _newest(row: Row) -> str:
    """Return the newest blocker, since it may need a person; else the newest achievement."""
    blockers = records.notes(row.entry.get("blockers"))
    return f"blocked: {blockers[-1]}" if blockers else next(iter(records.notes(row.entry.get("achievements"))[-1:]), "")
