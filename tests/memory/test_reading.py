from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import DOCUMENTS, TECH, at

from peercoord.errors import UsageError
from peercoord.memory.contribution import Author
from peercoord.memory.document import path_text, split_document
from peercoord.memory.reader import from_call, from_file
from peercoord.memory.targets import purpose

if TYPE_CHECKING:
    from peercoord.memory.reader import Reading

BANK = {"techContext.md": TECH, "activeContext.md": DOCUMENTS["active_context"], "progress.md": b"# Progress\n"}


def who(time: int = 0, peer: str = "instance-1") -> Author:
    return Author(peer, "7", at(time))


def read(file: str, text: str | bytes, time: int = 0, bank: dict[str, bytes] = BANK, **more: object) -> Reading:
    data = text.encode() if isinstance(text, str) else text
    return from_file(who(time), file, data, bank, **more)  # type: ignore[arg-type]


def call(content: str, section: str = "", *, briefed: bytes | None = TECH, **more: object) -> Reading:
    return from_call(who(), "techContext.md", content, "n1", section=section, briefed=briefed, **more)  # type: ignore[arg-type]


def brief(found: Reading) -> list[tuple[str, str, str]]:
    return [(one.kind, path_text(one.section, one.occurrence), one.content) for one in found.contributions]


# -- calls -------------------------------------------------------------------------------------------------------


def test_a_call_keeps_the_text_that_its_author_saw() -> None:
    found = call("- a", "limits")
    base = found.contributions[0].base
    assert found.texts[base] == split_document(TECH).sections[3].core
    assert brief(call("- a", "Sizes", briefed=None)) == [("addition", "Sizes", "- a")]
    assert brief(call("\ufeff- b"))[0][2] == "- b"


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        ("- a", {"kind": "replace"}, "usage"),
        ("a\x1b[0m", {}, "binary"),
        ("half \ud800", {}, "binary"),
        ("- a", {"section": "x" * 600}, "bad-section"),
    ],
)
def test_a_call_is_refused_whole(content: str, more: dict[str, str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(content, **more)
    assert caught.value.code == code


TWICE = b"# P\n\n## Back\n\n### Status\n\n- green\n\n## Front\n\n### Status\n\n- red\n"
TWINS = b"# P\n\n## Status\n\n- green\n\n## Status\n\n- red\n"


@pytest.mark.parametrize(
    ("document", "said", "found"),
    [(TWICE, "Front › Status", "P › Front › Status"), (TWINS, "Status (2)", "P › Status (2)")],
)
def test_a_call_that_names_several_sections_is_refused_with_their_paths(document: bytes, said: str, found: str) -> None:
    """And the path that the refusal shows is understood."""
    for kind in ("addition", "update"):
        with pytest.raises(UsageError) as caught:
            call("- amber", "Status", briefed=document, kind=kind)
        assert caught.value.code == "unclear-section"
        assert "2 sections" in caught.value.message
        assert found in caught.value.message
        assert "--section" in caught.value.hint
    assert brief(call("- amber", said, briefed=document)) == [("addition", found, "- amber")]


# -- what a file is for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "document", "kind", "prefix"),
    [
        ("techContext-additions.md", "techContext.md", "addition", ()),
        ("TECHCONTEXT-updates.md", "techContext.md", "update", ()),
        ("systempatterns-additions.md", "systemPatterns.md", "addition", ()),
        ("own-additions.md", "own.md", "addition", ()),
        ("learnings.md", "activeContext.md", "addition", ("Learnings",)),
        ("progress-report.md", "progress.md", "addition", ("Progress reports", "instance-1")),
        ("techcontext.md", "techContext.md", "copy", ()),
    ],
)
def test_a_file_says_by_its_name_what_it_is_for(file: str, document: str, kind: str, prefix: tuple[str, ...]) -> None:
    aim = purpose(file, "instance-1", BANK)
    assert (aim.document, aim.kind, aim.prefix) == (document, kind, prefix)
    own = purpose("learnings.md", "i", {"learnings.md": b""})
    assert (own.document, own.prefix) == ("learnings.md", ()), "a document of that name comes first"


@pytest.mark.parametrize(
    ("file", "why"),
    [
        *((file, "is not a contribution") for file in ("notes.md", "x.txt", "systemPatterns.md")),
        *(
            (file, "document name")
            for file in ("../x-additions.md", "a/b-updates.md", "-additions.md", ".x-updates.md")
        ),
    ],
)
def test_a_file_that_is_for_nothing_is_refused_and_no_name_becomes_a_path(file: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(file, "text")


# -- additions and updates ---------------------------------------------------------------------------------------


def test_an_edited_update_keeps_its_first_base() -> None:
    first = read("techContext-updates.md", "## Limits\n\none\n").contributions
    bank = {**BANK, "techContext.md": TECH.replace(b"20", b"30")}
    (second,) = read("techContext-updates.md", "## Limits\n\ntwo\n", 5, bank=bank, earlier=first).contributions
    assert second.base == first[0].base


def test_an_update_of_an_update_that_was_merged_starts_from_it() -> None:
    first = read("techContext-updates.md", "## Limits\n\none\n").contributions
    found = read("techContext-updates.md", "## Limits\n\ntwo\n", 5, earlier=first, merged={first[0].id})
    assert found.texts[found.contributions[0].base] == b"one"


# -- edited copies -----------------------------------------------------------------------------------------------


def test_a_copy_of_each_document_of_the_corpus_is_no_contribution() -> None:
    for name, data in DOCUMENTS.items():
        if name == "control_characters":
            continue  # refused as binary
        found = read("techContext.md", data, bank={"techContext.md": data})
        assert (found.contributions, found.refused, found.withdrawn) == ([], [], []), name


# -- marks and titles of files -----------------------------------------------------------------------------------


SYSTEM = {"systemPatterns.md": b"# System patterns\n\nHow it is built.\n", "activeContext.md": b"# Active context\n"}


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("systemPatterns-additions.md", "## Patterns\n\n- x\n", "System patterns › Patterns"),
        ("systemPatterns-additions.md", "# System Patterns\n\n- x\n", "System patterns"),
        ("systemPatterns-additions.md", "# Patterns Additions\n\n- x\n", "System patterns"),
        ("systemPatterns-additions.md", "## Proposed additions\n\n- x\n", "System patterns"),
        ("systemPatterns-additions.md", "# System Patterns\n\n## Patterns\n\n- x\n", "System patterns › Patterns"),
        ("learnings.md", "## Learnings\n\n- x\n", "Active context › Learnings"),
        ("learnings.md", "## Insights\n\n- x\n", "Active context › Learnings › Insights"),
    ],
)
def test_a_lone_heading_of_a_lower_level_is_no_title(file: str, text: str, where: str) -> None:
    assert brief(read(file, text, bank=SYSTEM)) == [("addition", where, "- x")]
