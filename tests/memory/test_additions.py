"""Additions follow the habits of their section; headings are found as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import note, texts

from peercoord.errors import UsageError
from peercoord.memory.contribution import Author
from peercoord.memory.document import split_document
from peercoord.memory.markdown import heading_text
from peercoord.memory.merge import merge
from peercoord.memory.reader import from_call

if TYPE_CHECKING:
    from peercoord.memory.outcome import Merge3, Outcome

NAME = "techContext.md"


def add(merge3: Merge3, before: str, *texts_given: str, section: tuple[str, ...] = ("S",)) -> Outcome:
    """Merge additions into a document with the section ``## S``."""
    given = [note(text, section, time=at, peer=f"instance-{at + 1}") for at, text in enumerate(texts_given)]
    return merge(NAME, before.encode(), given, texts(before.encode()), merge3)


def test_lines_that_stay_keep_their_own_line_endings(merge3: Merge3) -> None:
    done = add(merge3, "# T\n\n## S\n\n- a\r\n- b\n\n---\r\n", "- c")
    assert done.document == b"# T\n\n## S\n\n- a\r\n- b\n- c\n\n---\r\n"


# -- headings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "said", "same"),
    [
        *(
            (heading, "Tools", True)
            for heading in ("🚀 Tools", "1. Tools", "2.3 Tools", "Tools:", "Tools (in progress)")
        ),
        ("Tools ✅", "tools", True),
        ("Résumé", "Resume", True),
        ("CI/CD – set-up", "CI CD set up", True),
        ("Tools", "🛠 Tools", True),
        ("C", "C++", False),
        ("C#", "C", False),
        ("Phase 1", "Phase 2", False),
        ("1. Tools", "2. Tools", False),
    ],
)
def test_headings_are_found_as_people_say_them(heading: str, said: str, same: bool) -> None:
    found = split_document(f"# T\n\n## {heading}\n\nx\n\n## Other\n\ny\n".encode()).find((said,))
    assert (found and found.path) == (("T", heading_text(heading)) if same else None)


def test_the_closest_match_wins() -> None:
    document = split_document(b"# T\n\n## 1. Tools\n\nx\n\n## Tools\n\ny\n")
    assert [section.path for section in document.matching(("tools",))] == [("T", "Tools")]


TWICE = b"# P\n\n## Back\n\n### Status\n\n- green\n\n## Front\n\n### Status\n\n- red\n"
TWINS = b"# P\n\n## Status\n\n- green\n\n## Status\n\n- red\n"


@pytest.mark.parametrize("document", [TWICE, TWINS])
@pytest.mark.parametrize("kind", ["addition", "update"])
def test_a_call_that_names_several_sections_is_refused(document: bytes, kind: str) -> None:
    author = Author("instance-1", "", "2025-01-01T00:00:00Z")
    with pytest.raises(UsageError) as caught:
        from_call(author, "progress.md", "- amber", "n", briefed=document, section="Status", kind=kind)
    assert caught.value.code == "unclear-section"
    assert "2 sections" in caught.value.message
    assert "--section" in caught.value.hint


@pytest.mark.parametrize(
    ("document", "said", "under"), [(TWICE, "Front › Status", "- red"), (TWINS, "Status (2)", "- red")]
)
def test_the_path_that_the_refusal_shows_is_understood(merge3: Merge3, document: bytes, said: str, under: str) -> None:
    author = Author("instance-1", "", "2025-01-01T00:00:00Z")
    made = from_call(author, "progress.md", "- amber", "n", briefed=document, section=said).contributions
    done = merge("progress.md", document, made, texts(document), merge3)
    assert done.document == document.replace(under.encode() + b"\n", under.encode() + b"\n- amber\n")
