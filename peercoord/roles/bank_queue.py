"""What of the queue goes into one merge of one document.

An entry of the ledger names all contributions that it settles, and is a record: so a merge takes some thousands at the
most. They are taken in the order in which a merge of all of them would take them, so that nothing changes but the
number of entries.
"""

from __future__ import annotations

from collections import Counter

from peercoord.core.memory import additions, markdown, places
from peercoord.core.memory.contributions import Contribution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from peercoord.roles.bank_store import Store

MOST = 2000


class Batch:
    """One merge's contributions."""

    __slots__ = ("document", "given")

    def __init__(self, document: str, given: list[Contribution]) -> None:
        self.document, self.given = document, given


def spelt(document: str, *known: Collection[str]) -> str:
    """Give a document's name as the bank spells it: capitals do not matter."""
    same = (name for names in (*known, places.KNOWN) for name in names if name.casefold() == document.casefold())
    return next(same, document)


def batches(store: Store, document: str, queued: list[Contribution]) -> Iterator[Batch]:
    """Divide what is queued for a document: at least one batch, since an empty one settles what a crash left."""
    held = {one for candidate, _, _ in store.waiting() if candidate.document == document for one in candidate.members}
    members = [one for one in queued if one.id in held]
    others = sorted((one for one in queued if one.id not in held), key=lambda one: one.order)
    for at in range(0, max(1, len(others)), MOST):
        part = others[at : at + MOST]
        yield Batch(document, [*members, *(trimmed(store, one) for one in part)] if at == 0 else part)


def trimmed(store: Store, one: Contribution) -> Contribution:
    """Give an addition without what its author's earlier one, which it replaces, has brought already.

    A file may be edited at the very moment at which its earlier text is merged: whoever read it could not know.
    """
    if one.kind != "addition" or not one.supersedes:
        return one
    earlier = [old for old in store.merged(one.supersedes).values() if old.kind == "addition" and old.key == one.key]
    taken = Counter(block.key for old in earlier for block in markdown.blocks(old.content))
    blocks = markdown.blocks(one.content)
    left = []
    for block in blocks:
        if taken[block.key]:
            taken[block.key] -= 1
        else:
            left.append(block)
    if len(left) == len(blocks):
        return one
    return Contribution({**one.raw, "content": additions.together(left)})
