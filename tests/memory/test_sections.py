from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.helpers import DOCUMENTS, OUTLINES

from peercoord.errors import UsageError
from peercoord.memory import markdown
from peercoord.memory.document import digest, join_sections, lf_text, parse_path, path_text, split_document

PIECES = st.sampled_from(
    [
        *(
            "# A",
            "## B",
            "B\n---",
            "x\n===",
            "- a",
            "  - b",
            "> # q",
            "```",
            "~~~",
            "<!--",
            "-->",
            "| a |\n|---|",
            "---",
        ),
        *("text", "    code", "\t", " ", "<div>", "[a]: b", "+++", "\ufeff", "\u2028", "\x00", "1. x", "# ", "#", "é"),
    ]
)
ENDINGS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "", " \n", "\n   \n"])
MARKDOWN = st.lists(st.tuples(PIECES, ENDINGS), max_size=25).map(lambda parts: "".join(a + b for a, b in parts))


def test_every_document_of_the_corpus_has_its_outline() -> None:
    assert len(DOCUMENTS) >= 40
    assert DOCUMENTS.keys() == OUTLINES.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_the_row_of_its_expected_sections(name: str) -> None:
    document = split_document(DOCUMENTS[name])
    assert join_sections(document.sections) == DOCUMENTS[name]
    assert [[*section.path, section.occurrence] for section in document.sections[1:]] == OUTLINES[name]


@given(st.one_of(MARKDOWN, st.text()))
def test_any_text_is_the_row_of_its_sections(text: str) -> None:
    found = split_document(text.encode()).sections
    assert join_sections(found) == text.encode()
    assert found[0].level == 0
    assert all(section.head for section in found[1:])
    for section in found:
        assert section.core == section.core.strip(b"\r\n")
        assert not section.lead.strip()
        assert not section.tail.strip()


@given(MARKDOWN)
def test_a_section_alone_reads_as_it_does_in_its_document(text: str) -> None:
    for section in split_document(text.encode()).sections[1:]:
        alone = split_document(b"\n" + section.span).sections
        assert [one.path[-1:] for one in alone] == [(), section.path[-1:]]
        assert alone[1].core == section.core


@given(MARKDOWN)
def test_every_line_with_text_is_in_one_block_and_blocks_are_those_of_sections(text: str) -> None:
    whole = lf_text(text.encode())
    lines = [line for block in markdown.blocks(whole) for line in block.text.split("\n")]
    assert [line for line in lines if line.strip()] == [line for line in whole.split("\n") if line.strip()]
    for section in split_document(text.encode()).sections:
        together = [(block.text, block.marker) for block in section.blocks]
        assert together == [(block.text, block.marker) for block in markdown.blocks(section.text)]


def test_bytes_that_are_no_utf8_are_refused_with_their_place() -> None:
    with pytest.raises(UsageError, match=r"notes\.md is not valid UTF-8 \(byte 3\)"):
        split_document(b"abc\xff\n", "notes.md")


def test_blank_lines_around_a_text_are_in_no_hash() -> None:
    close, loose = (split_document(text).find(("A",)) for text in (b"# A\ntext\n## B\n", b"# A\n\n\ntext\n\n\n## B\n"))
    assert close
    assert loose
    assert close.hash == loose.hash == digest(b"text")


@pytest.mark.parametrize(
    ("name", "guarded"),
    [
        ("approval_marks", ["Patterns › Money", "Patterns › Money › Rounding", "Patterns › Keys"]),
        ("approval_of_everything", ["the text above the first heading", "Charter", "Charter › Scope"]),
        ("approval_only_talked_about", []),  # a mark in code
    ],
)
def test_a_mark_guards_its_section_and_what_is_below_it(name: str, guarded: list[str]) -> None:
    sections = split_document(DOCUMENTS[name]).sections
    assert [path_text(section.path) for section in sections if section.guarded] == guarded


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("Log", "Monday", "Done"), "Log › Monday › Done"),
        (("log", "MONDAY", "done"), "Log › Monday › Done"),
        (("Tuesday", "Done"), "Log › Tuesday › Done"),
        (("Open",), "Log › Monday › Open"),
        (("Done",), None),  # there are three, and none of them is meant more than another
        (("Wednesday",), None),
    ],
)
def test_a_section_is_found_as_people_name_it(wanted: tuple[str, ...], found: str | None) -> None:
    section = split_document(DOCUMENTS["duplicates_below_duplicates"]).find(wanted)
    assert (section and path_text(section.path)) == found


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
    assert (found and found.path) == (("T", markdown.heading_text(heading)) if same else None)


def test_the_closest_match_wins() -> None:
    document = split_document(b"# T\n\n## 1. Tools\n\nx\n\n## Tools\n\ny\n")
    assert [section.path for section in document.matching(("tools",))] == [("T", "Tools")]


def test_base_then_number_tell_equal_headings_apart() -> None:
    document = split_document(DOCUMENTS["duplicate_headings"])
    path = ("Decisions", "Decision")
    redis = document.sections[3]
    assert document.find(path, 1, redis.hash) is redis
    assert document.find(path, 2) is redis
    assert document.find(path, 9) is document.sections[4]


def test_the_root_is_the_one_title_of_a_document() -> None:
    assert split_document(b"# T\n\n## A\n").root.path == ("T",)
    assert split_document(b"## A\n\n# T\n").root.path == ()
    assert split_document(b"# A\n\n# B\n").root.path == ()


@pytest.mark.parametrize(
    ("raw", "text"),
    [("  A   b ", "A b"), ("A ##", "A"), ("C#", "C#"), ("A <!-- x --> b", "A b"), ("#", ""), ("a <!-- b", "a <!-- b")],
)
def test_heading_text(raw: str, text: str) -> None:
    assert markdown.heading_text(raw) == text


@pytest.mark.parametrize(
    ("said", "path"),
    [("Tech › Limits > Sizes", ("Tech", "Limits", "Sizes")), ("## Limits", ("Limits",)), ("a>b", ("a>b",))],
)
def test_a_path_is_read_as_people_write_it(said: str, path: tuple[str, ...]) -> None:
    assert parse_path(said) == path


def test_blocks_that_say_the_same_have_one_key() -> None:
    keys = [block.key for text in ("- a  ", "* a", "+ a", "1. a", "7. a") for block in markdown.blocks(text)]
    assert keys == ["- a", "- a", "- a", "1. a", "1. a"]


@pytest.mark.parametrize(
    "text",
    [
        "# " + "<!--" * 50_000,
        "`" * 100_000 + "<!-- peercoord: approval -->",
        ">" * 100_000,
        "- " * 50_000,
        "[a" * 50_000,
    ],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    assert join_sections(split_document(text.encode()).sections) == text.encode()
