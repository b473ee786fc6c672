"""Merges as files: each file of ``merges/`` holds a document, what is contributed to it, and what comes of it.

After a change that is meant, write the results again with ``pytest tests/memory/test_merge_cases.py --regenerate``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from memory.helpers import note, places, texts
from support import golden

from peercoord.memory.document import parse_path, path_text, split_document
from peercoord.memory.journal import new_entry, undo_entry
from peercoord.memory.merge import merge

if TYPE_CHECKING:
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.outcome import Merge3, Outcome

GIVEN = re.compile(r"(\d+): (\S+) (adds to|updates) (.*?)((?:, (?:critical|from earlier))*)$")


class Case:
    """A file: its title, then parts that begin with ``>>>``.

    ``>>> techContext.md`` is the document; it does not exist if the part is missing. ``>>> earlier`` is the document
    as some authors saw it. ``>>> 1: instance-1 adds to Tools, critical`` is a contribution. The rest is the result.
    """

    def __init__(self, path: Path) -> None:
        self.title, *parts = path.read_text().split(">>> ")
        self.parts = [part.partition("\n")[::2] for part in parts]
        named = dict(self.parts)
        self.document, self.earlier, self.given = "techContext.md", named.get("earlier", ""), []
        self.before: bytes | None = None
        self.kept: list[tuple[str, str]] = []
        for head, body in self.parts:
            found = GIVEN.match(head)
            if head.split(" ")[0].endswith(".md"):
                self.document = head.split(" ")[0]
                self.before = None if head.endswith("does not exist") else body.encode()
            elif found:
                self.given.append(self.contribution(body, *found.groups()))
            elif head != "earlier":
                continue
            self.kept.append((head, body))

    def contribution(self, body: str, number: str, peer: str, verb: str, place: str, words: str) -> Contribution:
        section = () if place == "the document" else parse_path(place)
        more = {"time": int(number), "peer": peer, "document": self.document, "critical": "critical" in words}
        if verb == "adds to":
            return note(body.strip("\n"), section, **more)  # type: ignore[arg-type]
        saw = self.earlier.encode() if "from earlier" in words else self.before or b""
        base = split_document(saw).find(section)
        return note(body.strip("\n"), section, kind="update", base=base.hash if base else "", **more)  # type: ignore[arg-type]

    def merge(self, merge3: Merge3, *given: Contribution, document: bytes | None = None) -> Outcome:
        before = self.before if document is None else document
        return merge(self.document, before, given, texts(self.before or b"", self.earlier.encode()), merge3)

    def written(self, outcome: Outcome) -> str:
        """The file with this result."""
        found, words = places(outcome), []
        for number, one in enumerate(self.given, 1):
            why = outcome.superseded.get(one.id) or outcome.rejected.get(one.id, "")
            later = next((f"by {at}" for at, other in enumerate(self.given, 1) if other.id == why), why)
            words.append(f"{number} {found[one.id]}{f' {later}' if later else ''}\n")
        after = outcome.document.decode() if outcome.document != (self.before or b"") else ""
        parts = [*self.kept, ("outcome", "".join(words)), ("after" if after else "nothing changed", after)]
        for one in outcome.candidates:
            place = path_text(one.section, one.occurrence)
            parts.append((f"waits for a person: {place}: {one.why}", f"{one.proposed}\n"))
        return self.title + "".join(f">>> {head}\n{body}" for head, body in parts)


@golden.files(Path(__file__).parent / "merges")
def test_a_merge_gives_what_its_file_says(path: Path, merge3: Merge3, request: pytest.FixtureRequest) -> None:
    """Also in another order, with other line ends, and a second time; and it can be undone, now or later."""
    case = Case(path)
    outcome = case.merge(merge3, *case.given)
    if request.config.getoption("--regenerate"):
        path.write_text(case.written(outcome))
    assert path.read_text() == case.written(outcome)
    other = case.merge(merge3, *reversed(case.given))
    assert (other.document, places(other), other.candidates) == (outcome.document, places(outcome), outcome.candidates)
    applied = [one for one in case.given if one.id in outcome.applied and one.kind == "addition"]
    assert case.merge(merge3, *applied, document=outcome.document).document == outcome.document
    before, after = case.before or b"", outcome.document
    if before and len(applied) == len(case.given):
        dos = case.merge(merge3, *case.given, document=before.replace(b"\n", b"\r\n"))
        assert dos.document == after.replace(b"\n", b"\r\n")
    if outcome.edits:
        entry = new_entry(case.document, "merge", case.before, outcome, previous="", by="i", at="t")
        assert undo_entry(entry, after, outcome.texts, merge3).document == before
        later = b"\n## Later\n\ny\n"
        if before.endswith(b"\n"):
            assert undo_entry(entry, after + later, outcome.texts, merge3).document == before + later
