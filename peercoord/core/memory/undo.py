"""Taking a merge back: the document without it.

While nothing else happened since, that is the document as it was, byte for byte. Later it is done section by
section: a section that is as the merge left it becomes what it was; appended text that still stands once is cut out;
anything else goes through a three-way merge, with what the merge left as ancestor. If one section cannot be taken
back, none is, and the message says which.
"""

from __future__ import annotations

from peercoord.core.errors import PeercoordError
from peercoord.core.memory import ledger, outcome, sections
from peercoord.core.memory.draft import Draft
from peercoord.core.memory.ledger import Entry
from peercoord.core.memory.outcome import Outcome
from peercoord.core.memory.sections import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.draft import Node
    from peercoord.core.memory.outcome import Edit
    from peercoord.core.memory.sections import Section


def undo(
    entry: Entry,
    document: bytes | None,
    texts: Mapping[str, bytes],
    merge3: Merge3,
    backup: bytes | None = None,
) -> Outcome:
    """Compute a document without one of its merges.

    Args:
        entry: The merge.
        document: The document as it is.
        texts: Section bytes by hash, those that the entry names.
        merge3: The three-way text merge.
        backup: The document as it was before the merge, if it was kept.

    Returns:
        The document and what changed in it; ``document`` is empty where the merge had made it.

    Raises:
        PeercoordError: It no longer applies (code ``no-longer-applies``).
    """
    now = document or b""
    if ledger.state(document) == entry.after and ledger.state(backup or b"") == (entry.before or digest(b"")):
        return _outcome(now, backup or b"")
    work = _Undo(now, texts, merge3, entry)
    for edit in reversed(entry.edits):
        work.take_back(edit)
    return _outcome(now, work.finish())


class _Undo:
    """One undo, under way."""

    def __init__(self, document: bytes, texts: Mapping[str, bytes], merge3: Merge3, entry: Entry) -> None:
        self.draft = Draft(sections.split(document, entry.document))
        self.texts, self.merge3, self.entry = texts, merge3, entry

    def take_back(self, edit: Edit) -> None:
        """Take back what the merge did to one section."""
        node = self.draft.at(edit.section, edit.occurrence)
        before, after = self._section(edit.before), self._section(edit.after)
        if after is None or (edit.before and before is None):
            raise self._refusal(edit, "its text was not kept")
        if node is None:
            if edit.before and edit.contributions:
                raise self._refusal(edit, "the section is no longer there")
        elif digest(node.span) == edit.after and before:
            node.head, node.lead, node.core, node.tail = before.head, before.lead, before.core, before.tail
        elif before is None or before.text != after.text:
            self._reconcile(edit, node, before.text if before else "", after.text)
            if before is None and not node.core and not self._has_children(node):
                self.draft.remove(node)

    def finish(self) -> bytes:
        """Give the document, after a look whether its sections are those that are meant."""
        document = self.draft.join()
        meant = [(node.level, sections.fold(node.path)) for node in self.draft]
        if [(s.level, sections.fold(s.path)) for s in sections.split(document).sections] != meant:
            raise PeercoordError(
                f"the merge {self.entry.id} of {self.entry.document} can no longer be taken back: its sections moved",
                hint="edit the document by hand",
                code="no-longer-applies",
            )
        return document

    def _reconcile(self, edit: Edit, node: Node, before: str, after: str) -> None:
        text = node.text
        if text == after:
            result: str | None = before
        elif not before or after.startswith(before + "\n"):
            result = _without(text, after[len(before) :].strip("\n"))
        else:
            result = None
        if result is None:
            merged = self.merge3(*(f"{part}\n" if part else "" for part in (text, after, before)))
            if not merged.clean:
                raise self._refusal(edit, "its text was changed since")
            result = sections.trimmed(merged.take(ours=True, theirs=True))
        if not self.draft.put(edit.section, edit.occurrence, result, free=True):
            raise self._refusal(edit, "what is left would not stand alone")

    def _has_children(self, node: Node) -> bool:
        return node.next is not None and node.next.level > node.level

    def _section(self, name: str) -> Section | None:
        if name not in self.texts:
            return None
        found = sections.split(self.texts[name]).sections
        return found[1] if len(found) > 1 and not found[0].span else found[0]

    def _refusal(self, edit: Edit, why: str) -> PeercoordError:
        where = f"{self.entry.document}, {sections.shown(edit.section, edit.occurrence)}"
        return PeercoordError(
            f"the merge {self.entry.id} can no longer be taken back: {where}: {why}",
            hint="edit the document by hand",
            code="no-longer-applies",
        )


def _without(text: str, part: str) -> str | None:
    """Cut whole lines out of a text; ``None`` if they do not stand there exactly once."""
    inside, cut = f"\n{text}\n", f"\n{part}\n"
    at = inside.find(cut)
    if not part or at < 0 or inside.find(cut, at + 1) >= 0:
        return None
    head, tail = inside[:at].rstrip("\n"), inside[at + len(cut) :].strip("\n")
    tight = not inside[:at].endswith("\n") and not inside[at + len(cut) :].startswith("\n")
    return sections.trimmed(head + ("\n" if tight else "\n\n") + tail)


def _outcome(before: bytes, after: bytes) -> Outcome:
    edits, texts = outcome.compare(sections.split(before), sections.split(after))
    return Outcome(document=after, edits=edits, texts=texts)
