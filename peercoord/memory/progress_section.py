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
from peercoord.store.records import percent

if TYPE_CHECKING:
    from peercoord.status.views import Board, Row

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


def with_progress(document: bytes, table: str, kept: GeneratedSection = PROGRESS) -> bytes:
    """Return a document with this text (lines that end with ``LF``) in its kept section.

    Where the markers are missing, the section is added at the end (at the beginning, if the end lies in an open
    code fence); a document without any text gets a title too.
    """
    first = EOL.search(document)
    eol = first.group() if first else b"\n"
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


def focus(board: Board) -> str:
    """Write who works on what: a row for each task that is held now."""
    rows = [(peer, row) for peer in board.peers for row in board.held_by(peer.incarnation)]
    if not rows:
        return "No instance works on a task now.\n"
    lines = ["| Instance | Works on | Since | Newest |\n", "| --- | --- | --- | --- |\n"]
    for peer, row in rows:
        since = str(row.assignment.get("assigned_at") or row.entry.get("started_at") or "")
        since = since.replace("T", " ").removesuffix("Z")[:16]
        doubt = _DOUBTED.get(peer.verdict.state)
        who = f"{escaped(peer.name)} ({doubt})" if doubt else escaped(peer.name)
        lines.append(f"| {who} | {_named(row)} | {f'{escaped(since)} UTC' if since else '–'} | {_newest(row)} |\n")
    return "".join(lines)


def progress(board: Board) -> str:
    """Write the progress of all: counts of tasks, and a row for each peer, or for each task that it holds."""
    figures = views.summary(board.rows)
    parked = figures["parked"] - figures["cancelled"]
    more = f" · {parked} parked" if parked else ""
    lines = [
        f"**{percent(figures['overall_progress'])}** · {figures['completed']} of {board.wanted} tasks done · "
        f"{figures['in_progress']} in progress · {board.count('waiting')} blocked{more}\n"
    ]
    if board.peers:
        lines += ["\n| Instance | State | Task | Progress | Newest |\n", "| --- | --- | --- | --- | --- |\n"]
    for peer in board.peers:
        name, held, doubt = escaped(peer.name), board.held_by(peer.incarnation), _DOUBTED.get(peer.verdict.state)
        if not held:
            lines.append(f"| {name} | {doubt or 'idle'} | – | – | – |\n")
        for row in held:
            estimated = "~" if row.definition and not row.definition.steps else ""
            share = f"{estimated}{percent(row.progress)}"
            lines.append(f"| {name} | {doubt or 'working'} | {_named(row)} | {share} | {_newest(row)} |\n")
    return "".join(lines)


def escaped(text: str) -> str:
    """Escape foreign text as one line of plain Markdown, cut to its limit."""
    plain = " ".join(clean(text).split())
    if len(plain) > _TEXT_CHARS:
        plain = plain[: _TEXT_CHARS - 1] + "…"
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


_DOUBTED = {liveness.SUSPECT: "not heard of lately", liveness.DEAD: "gone"}


def _named(row: Row) -> str:
    return f"{escaped(row.task)} {escaped(row.title)}".strip()


def _newest(row: Row) -> str:
    """Return the newest blocker, since it may need a person; else the newest achievement."""
    blockers = records.notes(row.entry.get("blockers"))
    said = f"blocked: {blockers[-1]}" if blockers else "".join(records.notes(row.entry.get("achievements"))[-1:])
    return escaped(said) or "–"
