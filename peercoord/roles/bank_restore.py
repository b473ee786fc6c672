"""Ways to put merged text back that vanished from its document: what a person decided comes back as it was decided."""

from __future__ import annotations

from dataclasses import replace

from peercoord.core.errors import PeercoordError
from peercoord.core.memory import merge as pure
from peercoord.core.memory import sections
from peercoord.core.memory import undo as undoing
from peercoord.core.memory.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.ledger import Entry, Vanished
    from peercoord.roles.bank_store import Store


class Missing:
    """Merged text that is no longer in its document, though no one took it back by ``undo``.

    Attributes:
        id: ``v-`` and 16 hexadecimal digits, the same at every look.
        document: File name in the memory bank.
        vanished: Entry, section and lines.
        contribution: What it was merged from.
    """

    __slots__ = ("contribution", "document", "id", "vanished")

    def __init__(self, document: str, vanished: Vanished, contribution: Contribution) -> None:
        self.document, self.vanished, self.contribution = document, vanished, contribution
        self.id = "v-" + sections.digest(f"{document}\n{vanished.entry}\n{contribution.id}".encode())[:16]


def restored(store: Store, one: Missing, before: bytes | None, merge3: Merge3) -> Outcome:
    """Compute a document with a missing text in it again.

    Args:
        store: What the memory bank keeps.
        one: The missing text.
        before: The document as it is; ``None`` if there is none.
        merge3: The three-way text merge.

    Raises:
        PeercoordError: What stands there now differs (code ``no-longer-applies``).
    """
    entry = next((each for each in store.entries(one.document) if each.id == one.vanished.entry), None)
    decided = entry is not None and entry.kind == "decision"
    for again in (True, False) if decided else (False, True):
        found = _again(store, one, entry, before, merge3) if again else _alone(store, one, before, merge3)
        if found.edits:
            return found
    raise PeercoordError(
        f"{one.id} cannot be put back into {one.document}: what stands there now differs",
        hint=f"contribute it again: peercoord memory add --file {one.document}",
        code="no-longer-applies",
    )


def _alone(store: Store, one: Missing, before: bytes | None, merge3: Merge3) -> Outcome:
    """Merge the contribution again."""
    found = pure.merge(one.document, before, [one.contribution], store.texts, merge3)
    if found.candidates and not found.candidates[0].conflict:  # it would wait for a person: here is one
        proposed = found.candidates[0]
        return pure.decide(one.document, before, proposed, proposed.proposed)
    return found


def _again(store: Store, one: Missing, entry: Entry | None, before: bytes | None, merge3: Merge3) -> Outcome:
    """Do again what the entry did to the section, where that is as it was before the entry."""
    key = one.vanished.section, one.vanished.occurrence
    edits = [edit for edit in entry.edits if (edit.section, edit.occurrence) == key] if entry else []
    there = sections.split(before or b"", one.document).find(*key)
    if entry is None or len(edits) != 1 or there is None or sections.digest(there.span) != edits[0].before:
        return Outcome()
    back = replace(edits[0], before=edits[0].after, after=edits[0].before)  # an undo, the other way round
    return undoing.undo(replace(entry, before="", after="", edits=(back,)), before, store.texts, merge3)
