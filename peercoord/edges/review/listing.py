"""What lies before a person, as a list: for people, each with the one command that settles it, and for programs."""

from __future__ import annotations

from peercoord.core.memory import sections
from peercoord.edges.reply import plain
from peercoord.edges.review import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.memory.ledger import Entry
    from peercoord.core.records import Json
    from peercoord.edges.review.model import View
    from peercoord.edges.review.pile import Pile

LINE_MOST = 70  # characters of gone text that are quoted


def data(pile: Pile) -> Json:
    """Give the list for programs."""
    return {
        "waiting": [candidate(pile, ident) for ident in pile.waiting],
        "missing": [missing(pile, ident) for ident in pile.missing],
        "foreign": [_change(entry) for entry in pile.foreign],
        "recent": [_change(entry) for entry in pile.recent()],
    }


def lines(pile: Pile) -> list[str]:
    """Give the list for people."""
    found: list[str] = []
    views = [pile.view(ident) for ident in pile.waiting]
    if views:
        found.append(f"{_counted(len(views), 'change')} {'waits' if len(views) == 1 else 'wait'} for a person:")
        for view in views:
            found += _waiting(view)
    for view in (pile.view(ident) for ident in pile.missing):
        first = next(iter(view.base.split("\n")), "")
        quoted = f"{first[:LINE_MOST]}…" if len(first) > LINE_MOST else first
        found += [
            f"merged text is gone from {plain(view.place)}: {plain(quoted) or '(its section was reverted)'}",
            f"  {view.called}  {view.ident}  {plain(view.sides[0].label)}, {plain(view.sides[0].about)}",
            f"    put it back: peercoord review approve {view.ident}",
            f"    let it go:   peercoord review reject {view.ident} --reason TEXT",
        ]
    for entry in pile.foreign:
        found.append(f"changed by no one known: {_where(entry)}, seen {model.when(entry.at, pile.now)}")
    recent = pile.recent()
    if recent:
        found.append("merged lately:")
        found += [
            f"  {entry.id}  {model.when(entry.at, pile.now)}  {_where(entry)}  {plain('; '.join(pile.authors(entry)))}"
            for entry in recent
        ]
        found.append("    take one back: peercoord review undo ID")
    if views:
        found.append("decide: peercoord review, in a terminal of your own")
    return found or ["nothing waits for a person"]


def candidate(pile: Pile, ident: str) -> Json:
    """Give a candidate for programs."""
    one = pile.waiting[ident]
    return {**one.candidate.record(one.made_at), "number": pile.numbers.get(ident), "state": one.state}


def missing(pile: Pile, ident: str) -> Json:
    """Give text that is gone for programs."""
    one = pile.missing[ident]
    return {
        "id": ident,
        "number": pile.numbers.get(ident),
        "file": one.document,
        "section": list(one.vanished.section),
        "occurrence": one.vanished.occurrence,
        "entry": one.vanished.entry,
        "contribution": one.contribution.id,
        "instance_id": one.contribution.peer,
        "lines": list(one.vanished.lines),
        "restore": f"peercoord review approve {ident}",
    }


def _waiting(view: View) -> list[str]:
    sides = " × ".join(f"{one.label} ({one.about})" for one in view.sides)
    how = " --take left|right|both" if view.conflict else ""
    return [
        f"  {view.called}  {view.ident}  {plain(view.place)}",
        f"    {plain(view.why)}: {plain(sides)}",
        f"    look: peercoord review show {view.ident}   decide: peercoord review approve {view.ident}{how}",
    ]


def _change(entry: Entry) -> Json:
    return {
        "id": entry.id,
        "file": entry.document,
        "kind": entry.kind,
        "sections": [list(edit.section) for edit in entry.edits],
        "contributions": list(entry.contributions),
        "by": entry.by,
        "at": entry.at,
    }


def _where(entry: Entry) -> str:
    named = dict.fromkeys(sections.shown(edit.section, edit.occurrence) for edit in entry.edits)
    inner = "; ".join(list(named)[:3]) + (" …" if len(named) > 3 else "")
    return plain(f"{entry.document} › {inner}" if inner else entry.document)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
