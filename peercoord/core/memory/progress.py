"""The section of ``progress.md`` that the leader keeps: what all peers do, between two markers.

What stands outside the markers belongs to people and is never touched. The same facts give the same bytes, so that
a document in which nothing happened is not rewritten. Titles and notes come from tasks and agents: they are shown
as plain text and can neither end the section nor become markup.
"""

from __future__ import annotations

import re

from peercoord.core.memory import sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = "<!-- peercoord: progress -->"
END = "<!-- peercoord: end of progress -->"
HEADING = "Progress of all instances"
_TEXT_CHARS = 200
_MARKUP = re.compile(r"([\\`*_{}\[\]#|~!])")


class Line:
    """What one peer does.

    Attributes:
        peer: Its name.
        state: What it is doing, in a word or two: ``working``, ``waits for a person``, ``gone``.
        task: Id of the task it holds, ``""`` if none.
        title: The task's title.
        progress: 0 … 1.
        estimated: The progress is the peer's own estimate, not steps done of all.
        note: Its newest achievement or blocker.
    """

    __slots__ = ("estimated", "note", "peer", "progress", "state", "task", "title")

    def __init__(
        self,
        peer: str,
        state: str,
        task: str = "",
        title: str = "",
        progress: float = 0.0,
        estimated: bool = False,
        note: str = "",
    ) -> None:
        self.peer, self.state, self.task, self.title = peer, state, task, title
        self.progress, self.estimated, self.note = progress, estimated, note


class Facts:
    """The aggregated progress.

    Attributes:
        total: Tasks not cancelled.
        done: Of these, done.
        in_progress: Of these, held now.
        blocked: Of these, waiting for others or parked.
        overall: Mean progress of all, 0 … 1.
        lines: The peers, in the order to show.
    """

    __slots__ = ("blocked", "done", "in_progress", "lines", "overall", "total")

    def __init__(
        self, total: int, done: int, in_progress: int, blocked: int, overall: float, lines: Sequence[Line] = ()
    ) -> None:
        self.total, self.done, self.in_progress, self.blocked = total, done, in_progress, blocked
        self.overall, self.lines = overall, tuple(lines)


def with_progress(document: bytes, facts: Facts) -> bytes:
    """Give a document with its kept section as the facts are now.

    Where the markers are missing, the section is added at the end (at the beginning, if the end lies in an open
    code fence); a document without any text gets a title too.

    Args:
        document: The document; empty if there is none yet.
        facts: What to show.

    Raises:
        UsageError: The document is not valid UTF-8.
    """
    first = sections.EOL.search(document)
    eol = first.group() if first else b"\n"
    text = sections.styled(_table(facts), eol)
    place = _between(document)
    if place:
        return document[: place[0]] + text + document[place[1] :]
    block = sections.styled(f"## {HEADING}\n\n{BEGIN}\n{_table(facts)}{END}\n", eol)
    if not document.strip():
        return document + sections.styled("# Progress\n\n", eol) + block
    gap = b"" if document.endswith((b"\n", b"\r")) else eol
    longer = document + gap + eol + block
    if _between(longer):
        return longer
    start = sections.front(document)
    return document[:start] + block + eol + document[start:]


def without_progress(document: bytes) -> bytes:
    """Give a document as it was before the kept section was added at its end; as it is, if that stands elsewhere."""
    place = _between(document)
    for eol in (b"\n", b"\r\n") if place else ():
        head, tail = sections.styled(f"\n## {HEADING}\n\n{BEGIN}\n", eol), sections.styled(f"{END}\n", eol)
        if place and document[: place[0]].endswith(head) and document[place[1] :] == tail:
            return document[: place[0] - len(head)]
    return document


def kept(text: str) -> bool:
    """Tell whether a section's text holds a marker: such a section is no peer's to rewrite."""
    return any(line.strip() in (BEGIN, END) for line in text.split("\n"))


def _between(document: bytes) -> tuple[int, int] | None:
    """Find the bytes between the markers: the first end, and the last beginning before it."""
    begin = None
    for start, end, comment in sections.comments(document, "progress.md"):
        if comment == BEGIN:
            begin = end
        elif comment == END and begin is not None:
            return begin, start
    return None


def _table(facts: Facts) -> str:
    rows = [
        f"**{percent(facts.overall)}** · {facts.done} of {facts.total} tasks done · "
        f"{facts.in_progress} in progress · {facts.blocked} blocked\n"
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
    """Give someone's words as Markdown that reads the same: one line, no markup, cut."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(plain) > _TEXT_CHARS:
        plain = plain[: _TEXT_CHARS - 1] + "…"
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)
