"""Decisions, one function for each: what the screen's keys and the commands do alike.

Each gives what happened as one record. What a person wrote in their editor is not lost when the decision is refused:
it stays in its file, and the error says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from peercoord.core.errors import LostError, PeercoordError, UsageError
from peercoord.edges.review import editor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from peercoord.core.memory.ledger import Entry
    from peercoord.core.records import Json
    from peercoord.edges.review.model import View
    from peercoord.edges.review.pile import Pile
    from peercoord.roles.bank import Bank, Decider

PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of something that waited.

    Attributes:
        view: What waited.
        action: ``approved``, ``rejected``, ``restored``, ``dismissed``, or ``PENDING``.
        detail: Which side, or why; for people.
        entry: What it did to the document; ``None`` if nothing.
    """

    view: View
    action: str
    detail: str = ""
    entry: Entry | None = None

    def as_json(self, by: str) -> Json:
        """Give it for programs."""
        return {
            "id": self.view.ident,
            "number": self.view.number or None,
            "place": self.view.place,
            "action": self.action,
            "detail": self.detail,
            "entry": self.entry.id if self.entry else None,
            "by": by,
        }

    @property
    def told(self) -> str:
        """Say it in one line."""
        mark = "·" if self.action == PENDING else "✓"
        word = "waits on" if self.action == PENDING else self.action
        detail = f" ({self.detail})" if self.detail else ""
        undo = f"   undo: peercoord review undo {self.entry.id}" if self.entry and self.entry.edits else ""
        return f"{mark} {self.view.called} {word}{detail}: {self.view.place}{undo}"


def take(bank: Bank, view: View, choice: str, by: Decider) -> Done:
    """Approve one of the texts there are to take, or restore text that is gone.

    Args:
        bank: The memory bank.
        view: What waits.
        choice: ``left``, ``right``, ``both`` or ``proposed``; empty for what is proposed where nothing is to settle.
        by: Who decides.

    Raises:
        UsageError: Two sides differ and none was named; or there are no sides.
    """
    if view.gone:
        if choice:
            raise UsageError(f"{view.called} is text that is gone: there is no side to take", _restoring(view))
        return Done(view, "restored", "", bank.restore(view.ident, by))
    if view.conflict and choice in ("", "proposed"):
        raise UsageError(
            f"{view.called} has two sides that differ: {' and '.join(side.label for side in view.sides)}",
            f"peercoord review approve {view.ident} --take left|right|both, or: peercoord review edit {view.ident}",
        )
    labels = [side.label for side in view.sides]
    said = {"left": labels[0] if view.conflict else "as it stands", "right": labels[-1], "both": "both"}
    text = view.takes[choice or "proposed"]
    return Done(view, "approved", said.get(choice, labels[-1]), bank.approve(view.ident, text, by))


def reject(pile: Pile, view: View, reason: str, by: Decider) -> Done:
    """Reject a change, or let go of text that is gone.

    Args:
        pile: What waits.
        view: What of it.
        reason: Why.
        by: Who decides.

    Raises:
        UsageError: No reason is given.
    """
    if not reason.strip():
        raise UsageError("say why: the authors are told", f"peercoord review reject {view.ident} --reason TEXT")
    if view.gone:
        for ident in pile.alike(view.ident):
            pile.bank.dismiss(ident, reason, by)
        return Done(view, "dismissed", reason)
    pile.bank.reject(view.ident, reason, by)
    return Done(view, "rejected", reason)


def edit(bank: Bank, view: View, by: Decider, ask: Callable[[str], bool], environ: Mapping[str, str]) -> Done:
    """Let a person write the text, and approve what they wrote.

    Args:
        bank: The memory bank.
        view: What waits.
        by: Who decides.
        ask: Asks them a question; gives yes or no.
        environ: The environment that names the editor.

    Raises:
        UsageError: Conflict markers are left in it, or it is text that is gone.
    """
    if view.gone:
        raise UsageError(f"{view.called} is text that is gone: there is nothing to edit", _restoring(view))
    proposed = view.takes["proposed"]
    draft = editor.Draft(proposed, view.place.split(" ", 1)[0])
    while True:
        text = draft.edit(environ)
        if not marked(view, text):
            break
        if text.strip() == proposed.strip():
            draft.discard()
            return Done(view, PENDING, "unchanged")
        if not ask("The text still holds conflict markers. Edit it again?"):
            raise UsageError(f"the text still holds conflict markers: nothing is decided; {draft.kept}", _again(view))
    question = _doubt(text, proposed)
    if question and not ask(question):
        draft.discard()
        return Done(view, PENDING, "nothing was written" if text.strip() else "the text was empty")
    try:
        entry = bank.approve(view.ident, text, by)
    except PeercoordError as error:
        _refused(error, draft)
    draft.discard()
    return Done(view, "approved", "edited", entry)


def marked(view: View, text: str) -> bool:
    """Tell whether a text still holds the conflict markers that were proposed."""
    size = view.marker
    return view.conflict and any(line.startswith(("<" * size, ">" * size)) for line in text.split("\n"))


def _doubt(text: str, proposed: str) -> str:
    if not text.strip():
        return "The text is empty. Empty the section?"
    return "The text is as it was proposed. Approve it?" if text.strip() == proposed.strip() else ""


def _refused(error: PeercoordError, draft: editor.Draft) -> NoReturn:
    """Say where the text lies that a person wrote for nothing."""
    kind = (
        LostError if isinstance(error, LostError) else UsageError if isinstance(error, UsageError) else PeercoordError
    )
    raise kind(f"{error.message}; {draft.kept}", error.hint, error.code) from None


def _restoring(view: View) -> str:
    return f"restore it: peercoord review approve {view.ident}; or let it go: peercoord review reject {view.ident}"


def _again(view: View) -> str:
    return f"peercoord review edit {view.ident}"
