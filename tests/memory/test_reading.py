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


def test_a_call_names_a_section_as_people_do() -> None:
    found = call("- a", "limits")
    assert brief(found) == [("addition", "Tech context › Limits", "- a")]
    base = found.contributions[0].base
    assert found.texts[base] == split_document(TECH).sections[3].core


def test_a_call_with_headings_gives_one_contribution_for_each() -> None:
    found = call("own\n\n### Sizes\n\nbig\n\n### Times\n\nlong", "Limits", kind="update")
    assert brief(found) == [
        ("update", "Tech context › Limits", "own"),
        ("update", "Tech context › Limits › Sizes", "big"),
        ("update", "Tech context › Limits › Times", "long"),
    ]
    assert [one.base == "" for one in found.contributions] == [False, True, True]


def test_a_call_that_repeats_the_heading_means_the_section() -> None:
    assert brief(call("## Limits\n\nnew", "Limits", kind="update")) == [("update", "Tech context › Limits", "new")]


def test_an_update_that_names_no_section_adds() -> None:
    found = call("Added TypeScript configuration details", kind="update")
    assert brief(found) == [("addition", "Tech context", "Added TypeScript configuration details")]


def test_an_update_may_empty_a_section() -> None:
    assert brief(call("", "Limits", kind="update")) == [("update", "Tech context › Limits", "")]


def test_a_new_section_is_placed_below_the_one_that_is_named() -> None:
    assert brief(call("- a", "Limits › Sizes")) == [("addition", "Tech context › Limits › Sizes", "- a")]
    assert brief(call("- a", "Sizes", briefed=None)) == [("addition", "Sizes", "- a")]


def test_a_rule_at_the_beginning_of_a_call_is_text() -> None:
    assert brief(call("---\nkey: value\n\n***\nmore", "Limits"))[0][2].startswith("---\nkey: value")


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        ("", {}, "usage"),
        ("  \n", {"kind": "update"}, "usage"),
        ("- a", {"kind": "replace"}, "usage"),
        ("```\nopen", {"section": "Limits"}, "open-block"),
        ("a\x1b[0m", {}, "binary"),
        ("half \ud800", {}, "binary"),
        ("- a", {"section": "x" * 600}, "bad-section"),
    ],
)
def test_a_call_is_refused_whole(content: str, more: dict[str, str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(content, **more)
    assert caught.value.code == code


def test_a_call_without_text_is_refused_by_its_headings() -> None:
    for content, section in (("## Lonely heading", ""), ("### One\n\n### Two\n", "Limits")):
        with pytest.raises(UsageError, match="no text stands under") as caught:
            call(content, section)
        assert caught.value.code == "no-text"
        assert content.partition("\n")[0].strip("# ") in caught.value.message
    with pytest.raises(UsageError, match="nothing to contribute"):
        call("## Limits\n", "Limits")


def test_a_call_is_told_which_of_its_headings_hold_nothing() -> None:
    found = call("## Full\n\n- a\n\n## Empty\n\n## Above\n\n### Below\n\n- b\n")
    assert [one.section[1:] for one in found.contributions] == [("Full",), ("Above", "Below")]
    assert found.notes == ["left out: no text stands under 'Empty', contributed to techContext.md"]
    assert call("- a\n\n## More\n\n- b").notes == []


@pytest.mark.parametrize("content", ["---\nfoo: bar\n---", "---\nfoo: bar\n---\n\n- text", "+++\na = 1\n+++\n- b"])
def test_front_matter_of_a_call_is_refused_whole(content: str) -> None:
    with pytest.raises(UsageError, match="front matter") as caught:
        call(content)
    assert caught.value.code == "front-matter"
    assert brief(call("---\n\nfoo: bar\n\n---"))[0][2] == "---\n\nfoo: bar\n\n---"
    assert brief(call("\ufeff- b"))[0][2] == "- b"


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


def test_learnings_go_into_the_document_of_that_name_if_any() -> None:
    aim = purpose("learnings.md", "i", {"learnings.md": b""})
    assert (aim.document, aim.prefix) == ("learnings.md", ())


@pytest.mark.parametrize("file", ["notes.md", "x.txt", "systemPatterns.md"])
def test_a_file_that_is_for_nothing_is_refused(file: str) -> None:
    with pytest.raises(UsageError, match="is not a contribution"):
        read(file, "text")


@pytest.mark.parametrize("file", ["../x-additions.md", "a/b-updates.md", "-additions.md", ".x-additions.md"])
def test_a_file_name_never_becomes_a_path(file: str) -> None:
    with pytest.raises(UsageError, match="document name"):
        read(file, "text")


# -- additions and updates ---------------------------------------------------------------------------------------


def test_a_file_read_again_gives_the_same_ids() -> None:
    text = "## Limits\n\n- a\n\n## Tools\n\n- b\n"
    first = read("techContext-additions.md", text).contributions
    assert read("techContext-additions.md", text, 5, earlier=first).contributions == []
    rest = read("techContext-additions.md", text, 5, earlier=first[:1]).contributions
    assert [one.id for one in rest] == [first[1].id]
    merged = {one.id for one in first}
    assert read("techContext-additions.md", text, 5, earlier=first, merged=merged).contributions == []


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


@pytest.mark.parametrize(
    ("front", "critical"),
    [
        ("---\ncritical: true\n---\n", True),
        ("---\nCriticality: 'critical'\n---\n\n", True),
        ("+++\ncritical = true  # a person shall look\n+++\n", True),
        ("---\ncritical: perhaps\n---\n", True),
        ("---\n# no\ncritical: no\n---\n", False),
        ("", False),
    ],
)
def test_a_file_may_be_marked_critical(front: str, critical: bool) -> None:
    found = read("techContext-additions.md", f"{front}## Limits\n\n- a\n\n## New\n\n- b\n")
    assert found.refused == []
    assert [one.critical for one in found.contributions] == [critical, critical]
    assert [one.content for one in found.contributions] == ["- a", "- b"]


def test_the_front_matter_of_a_document_does_not_mark_its_copy() -> None:
    document = "---\ncritical: true\n---\n" + TECH.decode()
    found = read("techContext.md", document + "\n- more\n", bank={"techContext.md": document.encode()})
    assert [one.critical for one in found.contributions] == [False]


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
