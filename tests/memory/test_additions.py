"""Additions follow the habits of their section; headings are found as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import note, texts

from peercoord.errors import UsageError
from peercoord.memory.contribution import Author
from peercoord.memory.document import split_document
from peercoord.memory.journal import new_entry, undo_entry
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


HABITS = {
    "above a rule": ("- make\n\n---\n", ["- ruff"], "- make\n- ruff\n\n---\n"),
    "above a rule alone": ("---\n", ["- ruff"], "- ruff\n\n---\n"),
    "above a rule and a footer": (
        "- 5 MB\n\n---\n\n*Last updated: 2025-01-01*\n",
        ["- 10 requests"],
        "- 5 MB\n- 10 requests\n\n---\n\n*Last updated: 2025-01-01*\n",
    ),
    "above the date of the last update": (
        "Text.\n\nLast updated: 2025-01-01\n",
        ["More."],
        "Text.\n\nMore.\n\nLast updated: 2025-01-01\n",
    ),
    "above link definitions": ("See [a].\n\n[a]: https://a\n", ["- b"], "See [a].\n\n- b\n\n[a]: https://a\n"),
    "below a rule within the text": ("one\n\n---\n\ntwo\n", ["three"], "one\n\n---\n\ntwo\n\nthree\n"),
    "the section's bullet": ("* a\n", ["- b\n  more"], "* a\n* b\n  more\n"),
    "the section's indentation": (" - a\n", ["- b\n  more"], " - a\n - b\n   more\n"),
    "the section's numbers": ("1. a\n2. b\n", ["3. c", "3. d"], "1. a\n2. b\n3. c\n4. d\n"),
    "numbers for bullets": ("8. a\n9. b\n", ["- c\n  more"], "8. a\n9. b\n10. c\n    more\n"),
    "lazy numbers": ("1. a\n1. b\n", ["2. c"], "1. a\n1. b\n1. c\n"),
    "brackets": ("1) a\n2) b\n", ["1. c"], "1) a\n2) b\n3) c\n"),
    "a loose list stays loose": ("- a\n\n- b\n", ["- c"], "- a\n\n- b\n\n- c\n"),
    "a bullet after the list is over": ("* a\n\nText.\n", ["- b"], "* a\n\nText.\n\n* b\n"),
    "a numbered list after bullets": ("- a\n", ["1. b"], "- a\n\n1. b\n"),
    "checked": ("* [ ] write docs\n* [ ] b\n", ["- [x] Write docs."], "* [x] write docs\n* [ ] b\n"),
    "already checked": ("- [x] write docs\n", ["- [ ] write docs"], "- [x] write docs\n"),
    "newest first": (
        "- 2025-01-03: c\n- 2025-01-02: b\n",
        ["- 2025-01-04: d", "- 2025-01-05: e"],
        "- 2025-01-05: e\n- 2025-01-04: d\n- 2025-01-03: c\n- 2025-01-02: b\n",
    ),
    "newest first, a late entry": (
        "- **2025-01-05** c\n- **2025-01-02** b\n",
        ["- 2025-01-03 late"],
        "- **2025-01-05** c\n- 2025-01-03 late\n- **2025-01-02** b\n",
    ),
    "oldest first": (
        "- 2025-01-02 b\n- 2025-01-03 c\n",
        ["- 2025-01-04 d"],
        "- 2025-01-02 b\n- 2025-01-03 c\n- 2025-01-04 d\n",
    ),
    "the same but for case, emphasis, full stop": (
        "* Retries are capped at five\n",
        ["- retries are capped at **five**.", "1. Retries are *capped* at five!"],
        "* Retries are capped at five\n",
    ),
    "code keeps its letters": (
        "- set `A_B`\n",
        ["- set `a_b`", "- set `AB`"],
        "- set `A_B`\n- set `a_b`\n- set `AB`\n",
    ),
    "words that differ": ("- use snake_case\n", ["- use snakecase"], "- use snake_case\n- use snakecase\n"),
    "paragraphs are compared as they are": ("Capped.\n", ["capped"], "Capped.\n\ncapped\n"),
}


@pytest.mark.parametrize("case", HABITS)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize("more", ["", "\n## Next\n\nx\n"])
def test_additions_follow_the_section(merge3: Merge3, case: str, eol: str, more: str) -> None:
    """And what was added is undone, also when something came below it since."""
    before, given, after = HABITS[case]
    document = f"# T\n\n## S\n\n{before}{more}".replace("\n", eol)
    done = add(merge3, document, *given)
    assert done.document.decode() == f"# T\n\n## S\n\n{after}{more}".replace("\n", eol)
    if done.edits and more:
        entry = new_entry(NAME, "merge", document.encode(), done, previous="", by="i", at="t")
        later = f"{eol}## Later{eol}{eol}y{eol}".encode()
        assert undo_entry(entry, done.document + later, done.texts, merge3).document == document.encode() + later


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
