"""What is drawn: the same facts at every width, nothing wider than the window, no text of an author but print."""

from __future__ import annotations

import re
from functools import cache

import pytest
from memory.helpers import TECH, change, note
from rich.cells import cell_len

from peercoord.core.memory import conflicts, merge
from peercoord.core.memory.contributions import Contribution
from peercoord.edges.review import model, screen, words
from peercoord.edges.review.model import View
from peercoord.fs.textmerge import merger
from peercoord.roles.bank import Waiting

NOW = "2026-01-01T09:00:00Z"
OLD = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."


def view(*given: Contribution, number: int = 4) -> View:
    """What is shown of the first candidate that a merge of these gives."""
    with merger() as merge3:
        found = merge.merge("techContext.md", TECH, given, {given[0].base: OLD.encode()}, merge3)
    known = {one.id: one for one in given}
    return model.waiting(Waiting(found.candidates[0], NOW, "candidates"), number, known.get, NOW, 30)


@cache
def clash(left: str, right: str) -> View:
    return view(change(left, peer="instance-1", time=1), change(right, peer="instance-2", time=2))


def long(last: str) -> str:
    return "\n".join([f"- line {number} of {last}" for number in range(200)])


WIDE = clash(OLD.replace("20", "日本語の三十"), OLD.replace("20", "🙂" * 40 + "ŷ" * 300))


@pytest.mark.parametrize("width", [40, 41, 60, 79, 80, 81, 100, 133, 200])
@pytest.mark.parametrize("height", [12, 24, 60, None])
def test_nothing_is_wider_than_the_window_and_every_frame_closes(width: int, height: int | None) -> None:
    for shown in (WIDE, clash(long("a"), long("b")), clash(OLD.replace("20", "30"), OLD.replace("20", "60"))):
        lines = [line.plain for line in screen.draw(shown, width, height, "1 of 2")]
        assert max(map(cell_len, lines)) <= width
        framed = [line for line in lines if line[0] in "┌│├└"]
        assert {cell_len(line) for line in framed} == {width}
        assert all(line[-1] in "┐│┤┘" for line in framed)
        text = " ".join(lines)
        for fact in ("instance-1", "instance-2", "task 7", "1 of 2", "two updates", "proposed"):
            assert fact in text, (fact, width)
        if height:
            assert "q leave pending" in text


@pytest.mark.parametrize("width", [40, 79, 80, 200])
def test_long_lines_are_broken_and_no_character_of_them_is_lost(width: int) -> None:
    text = "".join(line.plain for line in screen.draw(WIDE, width, None))
    assert [text.count(char) for char in "ŷ🙂語"] == [600, 80, 2], "on its side, and in what is proposed"


@pytest.mark.parametrize("width", [40, 100])
@pytest.mark.parametrize("height", [24, 40, 60])
def test_what_is_too_long_is_cut_to_the_window_and_the_cut_says_so(width: int, height: int) -> None:
    lines = [line.plain for line in screen.draw(clash(long("a"), long("b")), width, height, "1 of 1")]
    assert len(lines) < height or len(lines) <= 15 + screen.BODY_LEAST
    assert re.search(r"… \d+ more lines, d shows all", "\n".join(lines))
    whole = [line.plain for line in screen.draw(clash(long("a"), long("b")), width, None)]
    assert "more lines" not in "\n".join(whole)
    assert sum("of b" in line for line in whole) >= 400


def test_untouched_lines_are_folded_away_and_counted() -> None:
    many = "\n".join(f"- fact {number}" for number in range(30))
    left, right = (many.replace("fact 15", text) for text in ("fact A", "fact B"))
    document = b"# Tech context\n\n## Limits\n\n" + many.encode() + b"\n"
    given = [change(left, of=document, peer="instance-1"), change(right, of=document, peer="instance-2", time=1)]
    with merger() as merge3:
        found = merge.merge("techContext.md", document, given, {given[0].base: many.encode()}, merge3)
    shown = model.waiting(Waiting(found.candidates[0], NOW, "candidates"), 1, {}.get, NOW, 30)
    text = "\n".join(line.plain for line in screen.draw(shown, 100, 40))
    assert "⋯ 13 lines unchanged" in text
    assert "- fact 12" not in text
    assert "- fact 14" in text


def test_no_control_character_colour_or_turned_text_of_an_author_reaches_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;title\x07\u202egnp.exe\u2066\x9b31m\u200b\x00 done"
    shown = clash(OLD.replace("20", "30"), OLD.replace("20", "60"))
    left, right = shown.sides
    forged = View(
        shown.ident,
        1,
        f"techContext.md › {evil}",
        evil,
        f"{shown.base}\n{evil}",
        evil,
        (model.Said(evil, evil, f"{left.text}\n{evil}"), model.Said("b", "", right.text)),
        f"{shown.proposed}\n{evil}",
        shown.marker,
        shown.takes,
        30,
    )
    drawn = [*screen.draw(forged, 100, 60, "1 of 1"), *screen.draw(forged, 40, None), *screen.full(forged)]
    assert drawn
    for line in drawn:
        assert line.plain.isprintable(), ascii(line.plain)
    assert "done" in "".join(line.plain for line in drawn)


def test_a_time_is_told_by_the_readers_own_clock_and_what_is_none_is_harmless() -> None:
    assert re.fullmatch(r"\d\d:\d\d", model.when("2026-01-01T09:00:00Z", "2026-01-01T09:00:01Z"))
    assert re.fullmatch(r"2025-0\d-\d\d \d\d:\d\d", model.when("2025-06-15T09:00:00Z", NOW))
    assert model.when("\x1b[2J", NOW) == "·[2J"


def test_a_change_that_merges_cleanly_is_one_text() -> None:
    shown = view(note("- mypy", ("Tech context", "Tools"), critical=True))
    text = "\n".join(line.plain for line in screen.draw(shown, 100, 40))
    assert "proposed: instance-1" in text
    assert "<<<<" not in text
    assert [key for key, _ in screen.keys(shown)] == ["1", "2", "e", "x", "n", "d", "q"]


# -- words -------------------------------------------------------------------------------------------------------


def texts(old: str, new: str) -> tuple[list[str], list[str]] | None:
    found = words.changed_words(old, new)
    return found and ([old[a:b] for a, b in found[0]], [new[a:b] for a, b in found[1]])  # type: ignore[return-value]


def test_words_that_differ_are_found_and_lines_with_little_in_common_are_new() -> None:
    assert texts("Uploads are at most 5 MB.", "Uploads are at most 8 MB.") == (["5"], ["8"])
    assert texts("a fast cache", "a very fast cache") == ([], [" very"])
    assert texts("Uploads are at most 5 MB.", "Completely other words here now") is None


def test_both_sides_are_laid_along_their_base() -> None:
    base, left, right = "a\nb\nc", "a\nnew\nb\nc", "a\nc"
    marks = [[(line.mark, line.text) if line else None for line in row.sides] for row in words.rows(base, left, right)]
    assert marks == [
        [(" ", "a"), (" ", "a")],
        [("+", "new"), None],
        [(" ", "b"), ("-", "b")],
        [(" ", "c"), (" ", "c")],
    ]


def test_what_two_sides_add_in_one_place_is_compared_with_each_other() -> None:
    left, right = "a\n- Sessions expire after 30 min", "a\n- Sessions expire after 60 min"
    added = words.rows("a", left, right)[-1]
    assert [[line.text[a:b] for a, b in line.changed] for line in added.sides if line] == [["30"], ["60"]]
    alone = words.rows("a", left, "a")[-1]
    assert [line and line.changed for line in alone.sides] == [(), None]


def test_a_section_of_many_thousand_lines_is_compared_in_no_time() -> None:
    import time

    base = "\n".join(f"- same {number % 7}" for number in range(20_000))
    before = time.process_time()
    found = words.folded(words.rows(base, f"{base}\n- new", base))
    assert len(found) < 20
    assert time.process_time() - before < 5


def test_two_long_paragraphs_are_compared_in_no_time() -> None:
    import random
    import time

    chance = random.Random(1)
    left, right = (" ".join(chance.choice("abcdefghij") for _ in range(490)) for _ in range(2))
    before = time.process_time()
    words.changed_words(left, right)
    words.changed_words(left * 10, right * 10)
    assert time.process_time() - before < 1


def test_markers_of_the_usual_length_in_the_document_itself_are_no_markers() -> None:
    own = "<<<<<<< example\nx\n>>>>>>> example"
    shown = clash(f"{OLD}\n{own}".replace("20", "30"), f"{OLD}\n{own}".replace("20", "60"))
    assert shown.marker == 8
    rows = words.marked(shown.proposed, shown.marker)
    assert sum(row.sides[0].mark == words.MARKER for row in rows if row.sides[0]) == 4
    assert conflicts.marker_size(own) == 8
