from __future__ import annotations

import pytest
from memory.helpers import LIMITS, note

from peercoord.errors import BrokenFileError, UsageError
from peercoord.memory import contribution
from peercoord.memory.contribution import CONTENT_BYTES, Contribution
from peercoord.store import records
from peercoord.store.settings import RECORD_BYTES


def test_a_record_is_the_same_after_it_was_written_and_read() -> None:
    made = note("- a\n\n„text“", kind="update", base="0" * 64, critical=True, supersedes=("c-1",))
    raw = records.decode(records.encode(made.raw), "x.json") | {"colour": "blue"}
    read = Contribution.read(raw, "x.json")
    assert {name: getattr(read, name) for name in Contribution.__slots__ if name != "raw"} == {
        name: getattr(made, name) for name in Contribution.__slots__ if name != "raw"
    }
    assert read.raw["colour"] == "blue"
    assert read.raw["file"] == "techContext.md"  # the words of the mission's own schema
    assert read.raw["type"] == "update"


def test_the_id_follows_from_author_source_place_and_text_alone() -> None:
    one = note("- a", time=1)
    assert note("- a", time=2, base="1" * 64).id == one.id
    others = [
        note("- b"),
        note("- a", peer="instance-2"),
        note("- a", (*LIMITS, "x")),
        note("- a", source="call:2"),
        note("- a", kind="update"),
        note("- a", occurrence=2),
        note("- a", supersedes=("c-1",)),
        note("- a", document="other.md"),
    ]
    assert len({one.id, *(other.id for other in others)}) == 9


def test_words_that_run_together_are_told_apart() -> None:
    paths = [("a", "b"), ("ab",), ("a", "b", "c"), ("a b",), ("a/b",), ("b", "a"), ()]
    assert len({note("x", path).id for path in paths}) == len(paths)


@pytest.mark.parametrize(
    "name",
    [
        *("../x.md", "/etc/x.md", "a/b.md", "x.txt", ".md", ".hidden.md", "x", "x.MD", "a b.md", "ä.md", "~x.md"),
        *("..md", "-x.md", "x\n.md", "x\x00.md", "a" * 70 + ".md", "", None, 5),
    ],
)
def test_what_is_no_plain_document_name_is_refused(name: object) -> None:
    with pytest.raises(UsageError, match="document name") as caught:
        contribution.check_document(name)
    assert caught.value.code == "bad-document"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("```\nopen", "open-block"),
        ("<!-- open", "open-block"),
        ("<script>\nx", "open-block"),
        ("text\n===\n\n<!-- open", "open-block"),
        ("# heading", "heading"),
        ("text\n---", "heading"),
        ("a\0b", "binary"),
        ("\x1b[31mred", "binary"),
        ("half \ud800", "binary"),
        ("x" * (CONTENT_BYTES + 1), "too-large"),
        ("é" * (CONTENT_BYTES // 2 + 1), "too-large"),
        (None, "bad-content"),
    ],
)
def test_a_text_that_would_do_harm_is_refused_with_its_reason(content: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        contribution.check_content(content)
    assert caught.value.code == code
    assert caught.value.hint or code == "bad-content"


@pytest.mark.parametrize(
    "content", ["", "- a", "```\n# closed\n```", "| a |\n|---|", "    # code", "> # quote", "> ```"]
)
def test_a_text_that_does_no_harm_is_taken(content: str) -> None:
    assert contribution.check_content(content) == content


def test_the_largest_contribution_is_still_a_record() -> None:
    made = note('"' * CONTENT_BYTES)
    assert len(records.encode(made.raw)) < RECORD_BYTES


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("id", ["../x"]), ("instance_id", ["a/b"]), ("task_id", ["-"]), ("file", ["../x.md"]),
        ("section", ["Limits", [5], ["two\nlines"], ["closed #"], ["x"] * 7, ["x" * 501], ["\x1b"]]),
        ("occurrence", [0, True]), ("type", ["replace"]), ("criticality", ["very"]), ("base", ["abc", 5]),
        ("timestamp", ["yesterday", None]), ("supersedes", ["c-1", ["a/b"]]), ("content", [5]),
    ],
)  # fmt: skip
def test_a_record_that_is_wrong_or_lacks_something_says_where(key: str, values: list[object]) -> None:
    whole = note("- a").raw
    for value in values:
        with pytest.raises(BrokenFileError, match=r"^queued/x\.json: "):
            Contribution.read({**whole, key: value}, "queued/x.json")
    if key in ("id", "instance_id", "file", "section", "type", "content", "timestamp"):
        with pytest.raises(BrokenFileError):
            Contribution.read({name: value for name, value in whole.items() if name != key}, "x.json")


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff\xfe", "not-utf8"), (b"a\0b", "binary"), (b"x" * (contribution.FILE_BYTES + 1), "too-large")],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        contribution.decode(data, "x.md")
    assert caught.value.code == code


def test_a_file_is_read_with_one_line_ending_and_without_mark() -> None:
    assert contribution.decode(b"\xef\xbb\xbfa\r\nb\rc\n", "x.md") == "a\nb\nc\n"
