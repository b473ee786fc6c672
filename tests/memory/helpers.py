"""What the tests of the memory bank share: the corpus, and short words for contributions."""

from __future__ import annotations

import json
from pathlib import Path

from peercoord.memory import contribution
from peercoord.memory.contribution import Author, Contribution
from peercoord.memory.document import split_document
from peercoord.memory.outcome import Outcome

CORPUS = Path(__file__).parent / "corpus"
DOCUMENTS = {path.stem: path.read_bytes() for path in sorted(CORPUS.glob("*.md"))}
OUTLINES: dict[str, list[list[str | int]]] = json.loads((CORPUS / "outlines.json").read_text())

TECH = b"""# Tech context

How to build and run.

## Language

- Python 3.11

## Limits

Sessions expire after 20 minutes.
Uploads are at most 5 MB.
Names are unique.

## Tools

Use ruff.
"""
LIMITS = ("Tech context", "Limits")


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"


def note(
    content: str,
    section: tuple[str, ...] = LIMITS,
    *,
    peer: str = "instance-1",
    time: int = 0,
    kind: str = "addition",
    base: str = "",
    occurrence: int = 1,
    critical: bool = False,
    document: str = "techContext.md",
    supersedes: tuple[str, ...] = (),
    source: str = "call:1",
) -> Contribution:
    return contribution.make(
        Author(peer, "7", at(time)),
        source,
        document,
        section,
        content,
        occurrence=occurrence,
        kind=kind,
        base=base,
        critical=critical,
        supersedes=supersedes,
    )


def change(content: str, section: tuple[str, ...] = LIMITS, *, of: bytes = TECH, **more: object) -> Contribution:
    """An update made from a section as it stands in a document."""
    found = split_document(of).find(section)
    return note(content, section, kind="update", base=found.hash if found else "", **more)  # type: ignore[arg-type]


def texts(*documents: bytes) -> dict[str, bytes]:
    """The store of section texts that holds all sections of these documents."""
    return {section.hash: section.core for one in documents for section in split_document(one).sections}


def places(outcome: Outcome) -> dict[str, str]:
    """Where each contribution ended; an assertion fails if one is in two places."""
    found: dict[str, str] = {}
    members = [one for candidate in (*outcome.candidates, *outcome.standing) for one in candidate.members]
    for word, ids in (
        ("applied", outcome.applied),
        ("duplicate", outcome.duplicates),
        ("superseded", outcome.superseded),
        ("candidate", members),
        ("waiting", outcome.waiting),
        ("rejected", outcome.rejected),
    ):
        for one in ids:
            assert one not in found, f"{one} is {found[one]} and {word}"
            found[one] = word
    return found


def text_of(document: bytes, *path: str) -> str:
    section = split_document(document).find(path)
    assert section is not None, path
    return section.text
